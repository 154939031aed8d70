"""What the Edge TPU would run of each network of this project: ``python -m benchmarks.edgetpu``.

The networks have random weights, which does not change which operators there are, and are quantised as bundles are.
Beside them stands Keras's MobileNetV3-Small, whose hard-swish becomes an operator of its own. Models in
``EDGE_CNS_CORAL_DIR`` that lie beside what Google's compiler made of them are compared first.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from converters.edgetpu_check import Check, check_file, check_model, left_outside
from converters.tflite import to_int8
from edge_cns.training.backbones.build import build
from edge_cns.training.backbones.table import BACKBONES
from edge_cns.training.keras import keras
from edge_cns.training.model import make_classifier

SIDE = 224
CLASSES = 5


def main() -> None:
    """Print a table of pairs, if there are any, and one of our networks."""
    folder = Path(os.environ.get("EDGE_CNS_CORAL_DIR", "/nonexistent"))
    for path in sorted(folder.glob("*.tflite")):
        compiled = path.with_name(f"{path.stem}_edgetpu.tflite")
        if compiled.exists():
            check, outside = check_file(path), len(left_outside(compiled.read_bytes(), compiled.name))
            print(
                f"{path.stem:55} mapped {check.mapped} of {len(check.rows)}; the compiler {len(check.rows) - outside}"
            )
    print()
    for name in BACKBONES:
        show(name, build(name, alpha=1.0, image_size=SIDE, weights=None))
    settings = {"input_shape": (SIDE, SIDE, 1), "include_top": False, "weights": None, "include_preprocessing": False}
    show("Keras's MobileNetV3-Small", keras.applications.MobileNetV3Small(**settings))
    show("the same, minimalistic", keras.applications.MobileNetV3Small(minimalistic=True, **settings))


def show(name: str, backbone: Any) -> None:
    """Quantise a network with noise for pictures, and print a line."""
    pictures = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE), dtype=np.uint8)
    check: Check = check_model(to_int8(make_classifier(backbone, CLASSES), pictures), name)
    first = next(
        (f"; first obstacle: {row.index} {row.name}, {row.reason}" for row in check.rows if not row.mapped), ""
    )
    print(f"{name:27} {check.mapped} of {len(check.rows)} operators{first}", flush=True)


if __name__ == "__main__":
    main()
