"""OpenVINO on the CPU, with an int8 model that ``edge-cns convert-to openvino`` made."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import OUTPUTS
from edge_cns.errors import InitialisationError, brief
from edge_cns.extras import require
from edge_cns.quiet import quiet_stderr
from edge_cns.runtime.backends.converted import ConvertedModel

__all__ = ["MODEL", "WEIGHTS", "OpenVino", "load_openvino"]

MODEL = "model.xml"
WEIGHTS = "model.bin"


def load_openvino() -> Any:
    """The library, without its telemetry: as it comes, the mere import reports to its makers.

    Raises:
        MissingExtraError: it is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # not importable: it then does without
    return require("openvino", "openvino")


class OpenVino(ConvertedModel):
    """A converted model in OpenVINO.

    Args:
        model: what `edge_cns.runtime.backends.packed.pack` made of `MODEL`, `WEIGHTS` and its tensors.
        threads: CPU threads.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        InitialisationError: it refuses the model.
        UnsupportedError: its tensors are not those of the bundle.
    """

    name = "openvino"

    def __init__(self, model: bytes, *, threads: int = 1) -> None:
        library = load_openvino()
        self.version = str(library.__version__).partition("-")[0]
        files, content = self.member(model, MODEL)
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # bound to a core, it waits there for whoever else is on it
            "INFERENCE_PRECISION_HINT": "f32",  # of what is not int8; some processors would take bfloat16
        }
        try:
            with quiet_stderr():
                core = library.Core()
                compiled = core.compile_model(core.read_model(content, files[WEIGHTS]), "CPU", settings)
                self._request: Any = compiled.create_infer_request()
            shapes = {p.get_any_name(): tuple(p.shape) for p in (*compiled.inputs, *compiled.outputs)}
        except Exception as error:  # RuntimeError, TypeError, KeyError: whatever the damage leads to
            reason = brief(error)
            raise InitialisationError(
                f"{MODEL} cannot be loaded by OpenVINO {self.version} ({reason}); install the version that "
                "converted it, or convert the bundle again"
            ) from None
        super().__init__(files, shapes)

    def run(self, image: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """See `ConvertedModel.run`."""
        self._request.infer({"image": image}, share_inputs=True)
        return {name: self._request.get_tensor(name).data for name in OUTPUTS}

    def close(self) -> None:
        """See `Backend.close`."""
        self._request = None
