"""The self-test: golden vectors show that this machine computes what the bundle's maker computed.

They are exact on the engine, version and kind of CPU that recorded them. Elsewhere an output may differ by the
tolerance that the gate measured and stored, and the class must be the same wherever its lead exceeds that.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.bundle import Bundle, read_arrays
from edge_cns.contract import OUTPUTS, InputSpec
from edge_cns.errors import BadInputError, GoldenMismatchError
from edge_cns.frames import Frame
from edge_cns.preprocess import image, quantise_into
from edge_cns.runtime.backends.base import Backend

__all__ = ["Run", "check_golden", "compare_golden", "engine_identity", "identity", "record_golden"]

Run: TypeAlias = Callable[[NDArray[np.uint8]], Mapping[str, NDArray[np.int8]]]
"""From the network's image, ``(height, width)`` uint8, to its outputs by name, int8 without their batch axis."""

_VECTOR_EXTENSIONS = (
    *("avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx_vnni", "amx_int8"),
    *("neon", "asimd", "asimddp", "i8mm", "sve", "sve2"),
)
_IMAGE_TOLERANCE = 2  # grey levels by which another OpenCV or processor may round differently


def engine_identity(backend: Backend) -> dict[str, Any]:
    """`identity` of an engine."""
    return identity(backend.name, backend.version)


def identity(name: str, version: str) -> dict[str, Any]:
    """What golden outputs are exact for: engine, version, machine, vector extensions, and OpenCV's version."""
    cpuinfo = Path("/proc/cpuinfo")
    words = set(cpuinfo.read_text(errors="replace").split()) if cpuinfo.exists() else set()
    return {
        "name": name,
        "version": version,
        "machine": platform.machine(),
        "cpu_features": [e for e in _VECTOR_EXTENSIONS if e in words],
        "opencv": cv2.__version__,
    }


def record_golden(backend: Backend, frames: list[NDArray[np.uint8]], spec: InputSpec) -> dict[str, NDArray[Any]]:
    """Run frames and keep every stage.

    Args:
        backend: an engine with the int8 model.
        frames: ``(H, W)`` uint8, all of one shape.
        spec: the contract's input.

    Returns:
        ``frames (N, H, W)`` uint8, ``image (N, height, width)`` uint8 and the outputs ``(N, ...)`` int8 by name.
    """
    rows: dict[str, list[NDArray[Any]]] = {name: [] for name in ("image", *OUTPUTS)}
    for frame in frames:
        rows["image"].append(image(Frame(frame), spec))
        for name, output in _run(backend, rows["image"][-1]).items():
            rows[name].append(output)
    return {"frames": np.stack(frames)} | {name: np.stack(values) for name, values in rows.items()}


def check_golden(bundle: Bundle, backend: Backend) -> bool:
    """Run the bundle's golden vectors on an engine: see `compare_golden`."""
    return compare_golden(bundle, engine_identity(backend), lambda picture: _run(backend, picture))


def compare_golden(bundle: Bundle, here: Mapping[str, Any], run: Run) -> bool:
    """Run the bundle's golden vectors, in their order.

    Args:
        bundle: verified.
        here: `identity` of what runs them.
        run: runs one.

    Returns:
        Whether the comparison was exact (same engine, version and CPU features) rather than within tolerance.

    Raises:
        GoldenMismatchError: names the tensor, by how much it differs and how much is allowed.
        BadInputError: ``golden.npz`` is not what a bundle holds.
    """
    golden = read_arrays(bundle.files["golden.npz"], "golden.npz")
    record = bundle.quantisation.get("golden")
    spec = bundle.contract.input
    try:
        recorded, tolerances = dict(record["engine"]), {n: int(record["tolerance_steps"][n]) for n in OUTPUTS}  # type: ignore[index]
        count = len(golden["frames"])
        usable = count > 0 and golden["image"].shape == (count, spec.height, spec.width)
        usable = usable and all(len(golden[n]) == count and golden[n].dtype == np.int8 for n in OUTPUTS)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInputError(
            f"{bundle.path}: golden.npz or its record in quantisation.json is damaged ({error}); "
            "convert the model again"
        ) from None
    if not usable or golden["image"].dtype != np.uint8 or min(tolerances.values()) < 0:
        raise BadInputError(f"{bundle.path}: golden.npz does not fit the contract; convert the model again")
    exact_image = all(recorded.get(key) == here[key] for key in ("opencv", "machine", "cpu_features"))
    exact = bool(recorded == here)
    for i in range(count):
        picture = image(Frame(golden["frames"][i]), spec)
        _compare(
            f"golden frame {i}: preprocessed image", picture, golden["image"][i], 0 if exact_image else _IMAGE_TOLERANCE
        )
        outputs = run(golden["image"][i])
        for name in OUTPUTS:
            allowed = 0 if exact else tolerances[name]
            _compare(f"golden frame {i}: output {name!r}", outputs[name], golden[name][i], allowed)
        _same_class(i, outputs["logits"], golden["logits"][i], tolerances["logits"])
    return exact


def _run(backend: Backend, picture: NDArray[np.uint8]) -> dict[str, NDArray[np.int8]]:
    quantise_into(picture, backend.input())
    backend.invoke()
    return {name: backend.output(name)[0] for name in OUTPUTS}


def _compare(what: str, here: NDArray[Any], golden: NDArray[Any], allowed: int) -> None:
    if here.shape != golden.shape:
        raise GoldenMismatchError(
            f"{what} has shape {here.shape}, the bundle recorded {golden.shape}; do not use it here"
        )
    largest = int(np.abs(here.astype(np.int64) - golden.astype(np.int64)).max())
    if largest > allowed:
        raise GoldenMismatchError(
            f"{what} differs by {largest} steps, {allowed} are allowed; this machine does not reproduce the bundle"
        )


def _same_class(i: int, here: NDArray[np.int8], golden: NDArray[np.int8], tolerance: int) -> None:
    ordered = np.sort(golden.astype(np.int64))
    if ordered[-1] - ordered[-2] > tolerance and here.argmax() != golden.argmax():
        raise GoldenMismatchError(
            f"golden frame {i}: class {here.argmax()} instead of {golden.argmax()}; "
            "this machine does not reproduce the bundle"
        )
