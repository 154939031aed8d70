"""The bundle ``NAME.cns/``: the unit that is shipped, verified and loaded.

``manifest.json`` lists the SHA-256 of every other file and is checked first; a signature, ``model.sig``, is checked
before that. Each file is read once, into memory; what was hashed is what is used.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.atomic import new_folder, replaced_folder, write_bytes
from edge_cns.contract import Contract
from edge_cns.errors import BadInputError, TamperedError, UnsupportedError
from edge_cns.signing.policy import UNCHECKED, Policy, SignatureState
from edge_cns.signing.signed_file import SIGNATURE
from edge_cns.strict_json import load_json

__all__ = [
    "CALIBRATION",
    "DECISION",
    "FOR_CONVERSION",
    "MANIFEST",
    "REQUIRED",
    "Bundle",
    "read_arrays",
    "read_bundle",
    "reseal",
    "strip",
    "update_bundle",
    "write_arrays",
    "write_bundle",
    "write_signature",
]

FORMAT = 1
MANIFEST = "manifest.json"
REQUIRED = ("model.tflite", "contract.json", "golden.npz", "quantisation.json", "model_card.md", "patients.json")
FOR_CONVERSION = ("float.tflite", "calibration.npz")
"""What later targets are converted from; a device does not need it."""
CALIBRATION = "calibration.json"
"""What a calibration fitted, on whom; there once a bundle was calibrated."""
DECISION = "decision.npz"
"""Arrays behind the decision's rules on novelty and views; there where the contract has such a rule."""
_MAX_FILE = 512 * 2**20  # bytes: twenty times the largest model of the family
_MAX_MANIFEST = 64 * 2**10
_MAX_SIGNATURE = 256 * 2**10
OUTCOMES = ("passed", "undecided", "failed")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle in memory.

    Attributes:
        path: where it was read from.
        files: content by file name, as the manifest lists them.
        contract: parsed ``contract.json``.
        quantisation: parsed ``quantisation.json``: the gate's report.
        digests: SHA-256 (hex) of every file but ``model.sig``, the manifest among them, by name.
        signature: what is known of who vouches for it.
    """

    path: Path
    files: Mapping[str, bytes]
    contract: Contract
    quantisation: Mapping[str, Any]
    digests: Mapping[str, str] = field(default_factory=dict)
    signature: SignatureState = UNCHECKED

    @property
    def proof(self) -> str:
        """The gate's outcome: ``passed``, ``undecided``, or ``failed`` (written with ``--allow-drift``)."""
        return str(self.quantisation["outcome"])

    @property
    def patients(self) -> Mapping[str, Any]:
        """``salt`` and ``sets``: hashes of patient ids by set, as ``data.splits`` wrote them.

        Raises:
            BadInputError: ``patients.json`` is something else.
        """
        value = load_json(self.files["patients.json"], "patients.json")
        salt, sets = (value.get(key) for key in ("salt", "sets")) if isinstance(value, dict) else (None, None)
        if isinstance(salt, str) and isinstance(sets, dict) and all(isinstance(h, list) for h in sets.values()):
            return {"salt": salt, "sets": sets}
        raise BadInputError(f"{self.path}: patients.json has no salt and sets; convert the model again")

    def require_proof(self) -> None:
        """Refuse a bundle whose quantisation was not proven.

        Raises:
            UnsupportedError: the gate's outcome is not ``passed``.
        """
        if self.proof != "passed":
            raise UnsupportedError(
                f"{self.path}: quantisation is {self.proof}, and --require-proof asks for a proof; "
                "convert it with more gate patients, or leave the option out"
            )


def read_bundle(path: Path, policy: Policy | None = None) -> Bundle:
    """Read and verify a bundle.

    Args:
        path: ``NAME.cns``.
        policy: what to do about its signature; ``None`` does not check it.

    Raises:
        BadInputError: not a bundle, or a file in it cannot be parsed.
        TamperedError: the signature does not hold and must; a file is missing, unlisted, or differs from its digest.
        UnsupportedError: written in a format this version does not know.
    """
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise BadInputError(f"{path} {what}; a bundle is a folder NAME.cns made by edge-cns convert")
    manifest = _manifest_bytes(path)
    signature = _judge_signature(path, manifest, policy or Policy())
    digests = _parse_manifest(path, manifest)
    present = {entry.name for entry in os.scandir(path)} - {MANIFEST, SIGNATURE}
    if odd := sorted(present ^ set(digests)):
        word = "is listed but missing" if odd[0] in digests else "is not listed in the manifest"
        raise TamperedError(f"{path}: {odd[0]!r} {word}; fetch the bundle again")
    files: dict[str, bytes] = {}
    for name, digest in digests.items():
        files[name] = _read_regular(path / name, _MAX_FILE)
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise TamperedError(f"{path}: {name} does not match its digest in {MANIFEST}; fetch the bundle again")
    if missing := sorted(set(REQUIRED) - set(files)):
        raise BadInputError(f"{path}: {missing[0]} is missing; make the bundle with edge-cns convert")
    try:
        contract = Contract.from_bytes(files["contract.json"])
        quantisation = load_json(files["quantisation.json"], "quantisation.json")
    except BadInputError as error:
        raise BadInputError(f"{path}: {error}") from None
    if not isinstance(quantisation, dict) or quantisation.get("outcome") not in OUTCOMES:
        raise BadInputError(
            f"{path}: quantisation.json has no outcome of {', '.join(OUTCOMES)}; convert the model again"
        )
    _check_decision(path, files, contract)
    return Bundle(path, files, contract, quantisation, _with_manifest(digests, manifest), signature)


def write_bundle(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a bundle whole or not at all.

    Args:
        path: ``NAME.cns``; must not exist.
        files: content by name; at least `REQUIRED`.

    Raises:
        BadInputError: ``path`` exists or does not end in ``.cns``.
        OSError: full disk or read-only folder; nothing is left behind.
    """
    if path.suffix != ".cns":
        raise BadInputError(f"{path} is not a bundle's name; end it in .cns")
    assert set(REQUIRED) <= set(files)
    with new_folder(path) as folder:
        _write_files(folder, files)


def reseal(path: Path) -> tuple[str, ...]:
    """Make the manifest fit the files again and drop signatures, which no longer hold.

    Returns:
        Names of the files whose digest changed.
    """
    _check_folder(path)
    try:
        old = _parse_manifest(path, _manifest_bytes(path))
    except (TamperedError, BadInputError, UnsupportedError):
        old = {}
    names = sorted({entry.name for entry in os.scandir(path)} - {MANIFEST, SIGNATURE})
    digests = {name: hashlib.sha256(_read_regular(path / name, _MAX_FILE)).hexdigest() for name in names}
    write_bytes(path / MANIFEST, _manifest(digests))
    (path / SIGNATURE).unlink(missing_ok=True)
    return tuple(name for name in names if old.get(name) != digests[name])


def strip(path: Path) -> tuple[str, ...]:
    """Drop what only conversion needs (`FOR_CONVERSION`) from a verified bundle, for a device; signatures go too.

    Returns:
        Names of the files that were dropped.

    Raises:
        BadInputError, TamperedError, UnsupportedError: see `read_bundle`.
        OSError: full disk or read-only folder; the bundle is as it was.
    """
    bundle = read_bundle(path)
    dropped = tuple(name for name in FOR_CONVERSION if name in bundle.files)
    if dropped:
        update_bundle(path, {}, drop=dropped)
    return dropped


def update_bundle(path: Path, files: Mapping[str, bytes], *, drop: Iterable[str] = ()) -> None:
    """Put other files into a verified bundle; signatures go, because they no longer hold.

    Args:
        path: ``NAME.cns``.
        files: content by name: new files, or others in the place of old ones.
        drop: names of old files to leave out, unless ``files`` has them.

    Raises:
        BadInputError, TamperedError, UnsupportedError: see `read_bundle`.
        OSError: full disk or read-only folder; the bundle is as it was.
    """
    old = read_bundle(path).files
    kept = {name: content for name, content in old.items() if name not in drop}
    with replaced_folder(path) as folder:
        _write_files(folder, kept | dict(files))


def write_signature(path: Path, content: bytes) -> None:
    """Put a signature into a bundle, in the place of an old one.

    Raises:
        OSError: full disk or read-only folder; the bundle is as it was.
    """
    folder = path.resolve()
    beside = folder.with_name(f".{folder.name}.{SIGNATURE}")  # killed now, it leaves no file too many in the bundle
    write_bytes(beside, content)
    beside.replace(folder / SIGNATURE)


def write_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Encode arrays as a compressed ``.npz`` whose bytes depend on the arrays alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def read_arrays(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    """Decode a ``.npz``, never unpickling and never growing past `_MAX_FILE`.

    Raises:
        BadInputError: not such an archive; the text names the file.
    """
    try:
        arrays: dict[str, NDArray[Any]] = {}
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MAX_FILE:
                raise ValueError("it unpacks to more than a bundle may hold")
            for member in archive.infolist():
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
        return arrays
    except Exception as error:  # zipfile, zlib, lzma and numpy have an exception for every kind of damage
        reason = " ".join(str(error).split())[:200]
        raise BadInputError(f"{name} is not a valid array archive ({reason}); fetch it again") from None


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        write_bytes(folder / name, content)
    write_bytes(folder / MANIFEST, _manifest({n: hashlib.sha256(c).hexdigest() for n, c in files.items()}))


def _manifest(digests: Mapping[str, str]) -> bytes:
    # Not one byte of white space: every byte of the file is then part of what is checked.
    value = {"files": dict(sorted(digests.items())), "format": FORMAT}
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode()


def _manifest_bytes(path: Path) -> bytes:
    if not (path / MANIFEST).exists():
        raise BadInputError(f"{path} has no {MANIFEST}; a bundle is a folder NAME.cns made by edge-cns convert")
    return _read_regular(path / MANIFEST, _MAX_MANIFEST)


def _parse_manifest(path: Path, content: bytes) -> dict[str, str]:
    try:
        value = load_json(content, MANIFEST)
    except BadInputError as error:
        raise TamperedError(f"{path}: {error}") from None
    if not isinstance(value, dict) or set(value) != {"files", "format"} or not isinstance(value["files"], dict):
        raise TamperedError(f"{path}: {MANIFEST} is not a bundle's manifest; fetch the bundle again")
    if type(value["format"]) is not int or value["format"] != FORMAT:
        raise UnsupportedError(f"{path}: bundle format is {value['format']!r}, this program reads {FORMAT}")
    for name, digest in value["files"].items():
        if name != Path(name).name or name in ("", ".", "..", MANIFEST, SIGNATURE) or not isinstance(digest, str):
            raise TamperedError(f"{path}: {MANIFEST} lists {name!r}, which is no file of a bundle")
    return dict(value["files"])


def _with_manifest(digests: Mapping[str, str], manifest: bytes) -> dict[str, str]:
    return {**digests, MANIFEST: hashlib.sha256(manifest).hexdigest()}


def _judge_signature(path: Path, manifest: bytes, policy: Policy) -> SignatureState:
    """Whose the manifest is, before anything in it is believed."""
    there = os.path.lexists(path / SIGNATURE)
    content = _read_regular(path / SIGNATURE, _MAX_SIGNATURE) if there else None

    def found(signed: Mapping[str, str]) -> None:
        if signed.get(MANIFEST) != hashlib.sha256(manifest).hexdigest():
            raise TamperedError(f"{MANIFEST} is not the one that was signed; fetch the bundle again")
        listed = _with_manifest(_parse_manifest(path, manifest), manifest)
        if odd := sorted(name for name in {*signed, *listed} if signed.get(name) != listed.get(name)):
            raise TamperedError(f"{odd[0]!r} is not signed as {MANIFEST} lists it; sign the bundle again")

    try:
        return policy.judge(content, found)
    except (TamperedError, UnsupportedError) as error:
        raise type(error)(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None


def _check_decision(path: Path, files: Mapping[str, bytes], contract: Contract) -> None:
    """A decision is only worth something beside the model that it was fitted on."""
    decision, digest = contract.decision, hashlib.sha256(files["model.tflite"]).hexdigest()
    if decision.calibrated and decision.model_sha256 != digest:
        raise BadInputError(
            f"{path}: contract.json was calibrated for another model (sha256 {decision.model_sha256[:12]}, "
            f"model.tflite has {digest[:12]}); calibrate this bundle with edge-cns calibrate"
        )
    if (decision.novelty or decision.views) and DECISION not in files:
        raise BadInputError(f"{path}: {DECISION} is missing; calibrate the bundle with edge-cns calibrate")


def _check_folder(path: Path) -> None:
    if not (path / MANIFEST).exists():
        raise BadInputError(f"{path} has no {MANIFEST}; a bundle is a folder NAME.cns made by edge-cns convert")


def _read_regular(path: Path, limit: int) -> bytes:
    """Read a file that is no link, folder, device or pipe, from one open."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise TamperedError(f"{path} is not a regular file; fetch the bundle again") from None
        raise BadInputError(f"{path} cannot be read ({error.strerror}); check its permissions") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise TamperedError(f"{path} is not a regular file; fetch the bundle again")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise BadInputError(f"{path} has more than {limit} bytes; it is no part of a bundle")
    return content
