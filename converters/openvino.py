"""For OpenVINO: the float model, quantised to int8 by NNCF on the calibration frames."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from pathlib import Path
from typing import Any

from converters.engine_model import Made, float_model, network_images, signature_names, write_engine_model
from edge_cns.bundle import Bundle
from edge_cns.errors import UnsupportedError
from edge_cns.extras import require
from edge_cns.preprocess import as_float
from edge_cns.quiet import quiet_stderr
from edge_cns.runtime.backends.openvino import MODEL, WEIGHTS, load_openvino

__all__ = ["to_openvino"]


def to_openvino(bundle: Bundle, out: Path) -> list[str]:
    """Write the folder that ``--backend openvino`` reads.

    Args:
        bundle: verified, with the float model.
        out: the folder; must not exist.

    Returns:
        Lines for a person.

    Raises:
        BadInputError: the bundle was stripped.
        UnsupportedError: the network cannot be converted, or the result does not agree with the float model.
        MissingExtraError: OpenVINO or NNCF is not installed.
    """
    library = load_openvino()
    quantiser = require("nncf", "openvino")
    versions = {"openvino": str(library.__version__).partition("-")[0], "nncf": str(quantiser.__version__)}
    quantiser.set_log_level(logging.ERROR)
    images = network_images(bundle)
    network = _read(library, float_model(bundle))
    frames = quantiser.Dataset([as_float(picture[None]) for picture in images])
    try:
        with contextlib.redirect_stdout(io.StringIO()), quiet_stderr():  # its progress goes to standard output
            quantised = quantiser.quantize(network, frames, subset_size=len(images))
    except Exception as error:  # NNCF has no tree of its own for what a graph leads to
        reason = " ".join(str(error).split())[:200]
        raise UnsupportedError(f"NNCF cannot quantise this network ({reason}); use another backbone") from None
    with tempfile.TemporaryDirectory() as folder:
        library.serialize(quantised, str(Path(folder) / MODEL))
        files = {name: (Path(folder) / name).read_bytes() for name in (MODEL, WEIGHTS)}
    return write_engine_model(bundle, out, Made("openvino", files, versions, {}))


def _read(library: Any, model: bytes) -> Any:
    """``float.tflite`` as an OpenVINO model whose tensors have the signature's names."""
    names = signature_names(model)
    try:
        with tempfile.TemporaryDirectory() as folder, quiet_stderr():
            path = Path(folder) / "float.tflite"
            path.write_bytes(model)
            network = library.Core().read_model(str(path))
        for port in (*network.inputs, *network.outputs):
            port.get_tensor().set_names({names[port.get_any_name()]})
    except Exception as error:  # RuntimeError for an operator, KeyError for a name
        reason = " ".join(str(error).split())[:200]
        raise UnsupportedError(f"OpenVINO cannot read this network ({reason}); use another backbone") from None
    return network
