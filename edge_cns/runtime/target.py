"""What an engine loads of a bundle: its ``model.tflite``, or the model that was converted for it.

A converted model is a folder beside the bundle: ``NAME.onnxruntime/`` beside ``NAME.cns/`` is for the engine
``onnxruntime``. Its ``target.json`` names, by digest, the model that it was made from and every file beside itself. It
has golden vectors of its own: it rounds differently, and shall do so on every machine as it did where it was proven.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_cns.bundle import Bundle
from edge_cns.errors import BadInputError, TamperedError, UnsupportedError
from edge_cns.runtime.backends.packed import pack
from edge_cns.runtime.backends.table import CONVERTED
from edge_cns.strict_json import load_json

__all__ = ["FORMAT", "GOLDEN", "RECORD", "Chosen", "choose", "target_path"]

RECORD = "target.json"
GOLDEN = "golden.npz"
FORMAT = 1
_LARGEST_RECORD = 2**18  # bytes
_LARGEST_FILE = 512 * 2**20  # bytes, as of a bundle's


@dataclass(frozen=True, slots=True)
class Chosen:
    """What runs.

    Attributes:
        backend: name in the table of backends.
        model: bytes that the engine loads.
        bundle: the bundle, with the golden vectors that this engine has to reproduce.
    """

    backend: str
    model: bytes
    bundle: Bundle


def choose(bundle: Bundle, backend: str) -> Chosen:
    """Find what an engine loads.

    Args:
        bundle: verified.
        backend: name in the table of backends.

    Raises:
        BadInputError: the converted model is not there, is of another bundle, or damaged.
        TamperedError: it is not what its record says.
        UnsupportedError: the bundle's signature was verified, and would not cover it.
    """
    if backend not in CONVERTED:
        return Chosen(backend, bundle.files["model.tflite"], bundle)
    path = target_path(bundle.path, backend)
    if bundle.signature.verified:
        raise UnsupportedError(
            f"{bundle.path} is signed, and its signature does not cover what was converted from it; "
            f"run it on an engine that takes its own model.tflite, or {backend} with --signature off"
        )
    mend = f"run: edge-cns convert-to {CONVERTED[backend]} {bundle.path.name} --out {path.name}"
    if not (path / RECORD).exists():
        raise BadInputError(f"{backend} needs a converted model, and there is none at {path}; {mend}")
    record = _record(path, mend)
    files = _files(path, record["files"], mend)
    if record["model_sha256"] != hashlib.sha256(bundle.files["model.tflite"]).hexdigest():
        raise BadInputError(f"{path} was converted from another model than {bundle.path} has; remove it and {mend}")
    if record["backend"] != backend:
        raise BadInputError(f"{path} is for {record['backend']}, not for {backend}; remove it and {mend}")
    dressed = replace(
        bundle,
        files={**bundle.files, "golden.npz": files.pop(GOLDEN)},
        quantisation={**bundle.quantisation, "golden": record["golden"]},
    )
    return Chosen(backend, pack(files), dressed)


def target_path(bundle: Path, backend: str) -> Path:
    """Where the model of an engine lies: ``NAME.BACKEND`` beside ``NAME.cns``, wherever a link to that points."""
    real = bundle.resolve()
    return real.with_name(f"{real.name.removesuffix('.cns')}.{backend}")


def _record(path: Path, mend: str) -> Mapping[str, Any]:
    record: Any = load_json(_read(path / RECORD, _LARGEST_RECORD), f"{path}: {RECORD}")
    known = isinstance(record, dict) and {"format", "backend", "model_sha256", "golden", "files"} <= set(record)
    if not known or not isinstance(record["files"], dict) or GOLDEN not in record["files"]:
        raise BadInputError(f"{path} is no converted model; remove it and {mend}")
    if record["format"] != FORMAT:
        raise UnsupportedError(f"{path} has format {record['format']!r}, this program reads {FORMAT}; {mend}")
    return dict(record)


def _files(path: Path, digests: Mapping[str, Any], mend: str) -> dict[str, bytes]:
    """Read once what the record lists; what was hashed is what is used."""
    files = {}
    for name, digest in digests.items():
        if name != Path(name).name or name in ("", ".", ".."):
            raise TamperedError(f"{path}: {RECORD} lists {name!r}, which is no file of a converted model")
        files[name] = _read(path / name, _LARGEST_FILE)
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise TamperedError(f"{path}: {name} does not match its digest in {RECORD}; remove the folder and {mend}")
    return files


def _read(path: Path, limit: int) -> bytes:
    try:
        if path.is_symlink() or not path.is_file():
            raise TamperedError(f"{path} is not a regular file; convert the bundle again")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise BadInputError(f"{path} cannot be read ({error.strerror}); check its permissions") from None
    if len(content) > limit:
        raise BadInputError(f"{path} has more than {limit} bytes; it is no part of a converted model")
    return content
