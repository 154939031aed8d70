"""What conversions for other engines on the CPU share: proven against the float model, then written as a folder.

The engine that is proven is the runtime's own backend. A model that says something else than the float model on the
calibration frames or the golden pictures is not written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.gate import LEAST_TOLERANCE
from edge_cns.atomic import json_bytes, new_folder, write_bytes
from edge_cns.bundle import FOR_CONVERSION, Bundle, read_arrays, write_arrays
from edge_cns.contract import OUTPUTS, SIGNATURE
from edge_cns.errors import BadInputError, UnsupportedError
from edge_cns.preprocess import as_float, quantise_into
from edge_cns.runtime.backends.base import Backend
from edge_cns.runtime.backends.converted import TENSORS, tensor_facts
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.runtime.backends.packed import pack
from edge_cns.runtime.backends.table import open_backend
from edge_cns.runtime.fit import check_model
from edge_cns.runtime.selftest import engine_identity, record_golden
from edge_cns.runtime.target import FORMAT, GOLDEN, RECORD, target_path

__all__ = ["LEAST_AGREEMENT", "Made", "float_model", "network_images", "signature_names", "write_engine_model"]

LEAST_AGREEMENT = 0.99
"""Share of frames whose leading class must be the float model's; more where the gate's margin is below 0.01."""


@dataclass(frozen=True, slots=True)
class Made:
    """A converted model before it is proven.

    Attributes:
        backend: engine that it is for.
        files: content by name, as that backend reads them.
        versions: of the libraries that made it.
        options: that it was made with.
    """

    backend: str
    files: Mapping[str, bytes]
    versions: Mapping[str, str]
    options: Mapping[str, Any]


def float_model(bundle: Bundle) -> bytes:
    """The bundle's ``float.tflite``.

    Raises:
        BadInputError: the bundle was stripped.
    """
    if missing := [name for name in FOR_CONVERSION if name not in bundle.files]:
        raise BadInputError(f"{bundle.path} has no {missing[0]}: it was stripped; convert the bundle before that")
    return bundle.files["float.tflite"]


def signature_names(model: bytes) -> dict[str, str]:
    """Of a ``.tflite``: ``image`` and the outputs' names by the tensors' own, which other converters keep."""
    engine = LiteRT(model)
    details = engine.interpreter.get_signature_runner(SIGNATURE)
    image = next(iter(details.get_input_details().values()))
    names = {str(image["name"]): "image"}
    names |= {str(d["name"]): name for name, d in details.get_output_details().items() if name in OUTPUTS}
    engine.close()
    return names


def network_images(bundle: Bundle) -> NDArray[np.uint8]:
    """The calibration frames, ``(N, H, W)`` uint8: those that set the ranges of ``model.tflite``.

    Raises:
        BadInputError: the bundle was stripped, or they do not fit the contract.
    """
    float_model(bundle)
    images = read_arrays(bundle.files["calibration.npz"], "calibration.npz").get("images")
    spec = bundle.contract.input
    if images is None or images.dtype != np.uint8 or images.shape[1:] != (spec.height, spec.width) or not len(images):
        raise BadInputError(f"{bundle.path}: calibration.npz does not fit the contract; convert the model again")
    return images


def write_engine_model(bundle: Bundle, out: Path, made: Made) -> list[str]:
    """Prove a converted model and write it.

    Args:
        bundle: verified.
        out: the folder; must not exist.
        made: what the conversion has made.

    Returns:
        Lines for a person.

    Raises:
        UnsupportedError: it does not agree with the float model; nothing is written.
        InitialisationError: the engine refuses it.
    """
    original = LiteRT(bundle.files["model.tflite"])
    golden = read_arrays(bundle.files["golden.npz"], "golden.npz")
    images = np.concatenate([network_images(bundle), golden["image"]])
    exact = _float_logits(bundle, images)
    files = _corrected(bundle, made, original, exact)
    engine = open_backend(made.backend, pack(files))
    try:
        proof = _prove(bundle, engine, original, images, exact)
        files[GOLDEN] = write_arrays(record_golden(engine, list(golden["frames"]), bundle.contract.input))
        identity = engine_identity(engine)
    finally:
        engine.close()
        original.close()
    record = {
        "format": FORMAT,
        "backend": made.backend,
        "model_sha256": hashlib.sha256(bundle.files["model.tflite"]).hexdigest(),
        "versions": dict(made.versions),
        "options": dict(made.options),
        "proof": proof,
        "golden": {"engine": identity, "tolerance_steps": dict.fromkeys(OUTPUTS, LEAST_TOLERANCE)},
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    with new_folder(out) as folder:
        for name, content in files.items():
            write_bytes(folder / name, content)
        write_bytes(folder / RECORD, json_bytes(json.loads(json.dumps(record))))
    return _summary(bundle, out, made, proof)


def _corrected(bundle: Bundle, made: Made, original: Backend, exact: NDArray[np.float64]) -> dict[str, bytes]:
    """The files, with `TENSORS` that keep the mean of each logit where the float model has it, as in ``model.tflite``.

    Unnoticed frame by frame, a shift of the mean adds up over the frames of an exam. See `converters.bias`.
    """
    images = network_images(bundle)
    facts: dict[str, Any] = {name: asdict(fact) for name, fact in tensor_facts(original).items()}
    plain = {**made.files, TENSORS: json_bytes(facts | {"shift": [0.0] * exact.shape[1]})}
    engine = open_backend(made.backend, pack(plain))
    try:
        check_model(engine, bundle.contract)
        shift = (_logits(engine, images) - exact[: len(images)]).mean(axis=0)
    finally:
        engine.close()
    return {**made.files, TENSORS: json_bytes(facts | {"shift": shift.tolist()})}


def _float_logits(bundle: Bundle, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    reference = LiteRT(float_model(bundle))
    rows = []
    for picture in images:
        reference.input()[:] = as_float(picture[None])
        reference.invoke()
        rows.append(reference.output("logits")[0])
    reference.close()
    return np.array(rows, np.float64)


def _prove(
    bundle: Bundle, engine: Backend, original: Backend, images: NDArray[np.uint8], exact: NDArray[np.float64]
) -> dict[str, Any]:
    """Agreement with the float model, beside that of ``model.tflite``.

    Raises:
        UnsupportedError: too little of it.
    """
    ours, theirs = (_compare(exact, _logits(candidate, images)) for candidate in (engine, original))
    least = max(LEAST_AGREEMENT, 1 - float(bundle.quantisation.get("margin", 1)))
    if ours["agreement"] < least:
        raise UnsupportedError(
            f"the model for {engine.name} agrees with the float model on {ours['agreement']:.4f} of {len(images)} "
            f"frames, {least:g} is the least (model.tflite: {theirs['agreement']:.4f}); nothing was written"
        )
    return {"frames": len(images), "least_agreement": least, **ours, "model_tflite": theirs}


def _logits(engine: Backend, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    scale, zero_point = engine.quantisation("logits")
    rows = []
    for picture in images:
        quantise_into(picture, engine.input())
        engine.invoke()
        rows.append((engine.output("logits")[0].astype(np.float64) - zero_point) * scale)
    return np.array(rows)


def _compare(exact: NDArray[Any], logits: NDArray[Any]) -> dict[str, float]:
    return {
        "agreement": float((exact.argmax(axis=1) == logits.argmax(axis=1)).mean()),
        "max_abs_difference": float(np.abs(exact - logits).max()),
    }


def _summary(bundle: Bundle, out: Path, made: Made, proof: Mapping[str, Any]) -> list[str]:
    size, other = sum(map(len, made.files.values())), proof["model_tflite"]
    lines = [
        f"{out}: for {made.backend}, {size / 1e6:.2f} MB",
        f"agrees with the float model on {proof['agreement']:.4f} of {proof['frames']} frames "
        f"(model.tflite: {other['agreement']:.4f}); logits differ by at most {proof['max_abs_difference']:.3g} "
        f"({other['max_abs_difference']:.3g})",
    ]
    wanted = target_path(bundle.path, made.backend)
    if out.resolve() == wanted:
        return [*lines, f"used by --backend {made.backend}"]
    return [*lines, f"note: --backend {made.backend} looks for it at {wanted.name} beside {bundle.path.name}"]
