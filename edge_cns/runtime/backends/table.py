"""The engines by name, imported only when chosen. Installed packages add rows by the entry point below."""

from __future__ import annotations

from collections.abc import Callable

from edge_cns.errors import BadInputError
from edge_cns.plugins import find_plugin, plugin_names
from edge_cns.runtime.backends.base import Backend

__all__ = ["BACKENDS", "CONVERTED", "ENTRY_POINT_GROUP", "open_backend"]

ENTRY_POINT_GROUP = "edge_cns.backends"

BACKENDS: dict[str, tuple[str, str]] = {
    # name: (module, class)
    "litert": ("edge_cns.runtime.backends.litert", "LiteRT"),
    "tflite_runtime": ("edge_cns.runtime.backends.tflite_runtime", "TfliteRuntime"),
    "onnxruntime": ("edge_cns.runtime.backends.onnx", "OnnxRuntime"),
    "openvino": ("edge_cns.runtime.backends.openvino", "OpenVino"),
    "edgetpu": ("edge_cns.runtime.backends.edgetpu", "EdgeTPU"),
    "fake": ("edge_cns.runtime.backends.fake", "Fake"),
}

CONVERTED: dict[str, str] = {
    # name: target of `edge-cns convert-to` that makes its model; engines that are not here run ``model.tflite`` itself
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "edgetpu": "edgetpu",
}


def open_backend(name: str, model: bytes, *, threads: int = 1) -> Backend:
    """Load a model on an engine.

    Args:
        name: a name of `BACKENDS` or of the entry point group ``edge_cns.backends``.
        model: what `edge_cns.runtime.target.choose` says that the engine loads.
        threads: CPU threads the engine may use.

    Raises:
        BadInputError: no such engine; the text lists those there are.
        InitialisationError, UnsupportedError: see `Backend`.
    """
    factory: Callable[..., Backend] | None = find_plugin(name, BACKENDS, ENTRY_POINT_GROUP)
    if factory is None:
        known = ", ".join(sorted(plugin_names(BACKENDS, ENTRY_POINT_GROUP)))
        raise BadInputError(f"there is no backend {name!r}; choose one of {known}")
    return factory(model, threads=threads)
