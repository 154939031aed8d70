"""DICOM files as a data set: lossless frames of the ultrasound region, and a table for a person to label.

What leaves the files is pixels of the region, and figures about the machine. Patients and exams become pseudonyms:
keyed hashes (HMAC-SHA-256) by a salt that stays with the site, so that another import gives the same patient the same
pseudonym, and nobody without the salt can try numbers out.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from edge_cns import atomic
from edge_cns.data.dicom import discreet, is_dicom
from edge_cns.data.dicom_clip import DicomClip
from edge_cns.data.dicom_identity import Identity
from edge_cns.errors import BadInputError
from edge_cns.extras import require
from edge_cns.frames import MIN_SIDE, Frame, Region
from edge_cns.progress import Progress, silent
from edge_cns.region import find_region

__all__ = ["IMPORT_COLUMNS", "Imported", "import_dicom", "read_salt"]

IMPORT_COLUMNS = ("path", "label", "patient_id", "exam_id", "device", "modality", "seconds", "mm_per_pixel")
"""Of ``labels.csv``; ``label`` is empty."""

_SALT_BYTES = 32
_DIRECTORY = "DICOMDIR"
_START = 132
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"  # Media Storage Directory Storage
_GAP_SECONDS = 1.0  # between clips whose times are not known
_LONGEST_EXAM = 43_200.0  # s; times further apart are not believed


@dataclass(slots=True)
class Imported:
    """What an import made.

    Attributes:
        frames, patients, exams: how many.
        left_out: file, relative to the source, and why; files that are no DICOM are not counted.
    """

    frames: int = 0
    patients: int = 0
    exams: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Clip:
    """A file that can be imported: its header is read again when its frames are, for there may be thousands."""

    name: str
    path: Path
    identity: Identity
    lasts: float


def read_salt(path: Path) -> bytes:
    """The salt of a site: 32 random bytes as hexadecimal text in a file for its owner alone; it is made if missing.

    Raises:
        BadInputError: it cannot be read or made, others can read it, or it holds something else.
    """
    try:
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{secrets.token_hex(_SALT_BYTES)}\n")
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
            raise BadInputError(f"salt {path} can be read by others, or is no file; run chmod 600 on it")
        salt = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise BadInputError(f"salt {path} cannot be used ({error.strerror}); give a file that can be written") from None
    except ValueError as error:
        if isinstance(error, BadInputError):
            raise
        salt = b""
    if len(salt) != _SALT_BYTES:
        raise BadInputError(f"salt {path} does not hold {_SALT_BYTES} bytes as hexadecimal text; give the site's own")
    return salt


def import_dicom(
    source: Path,
    out: Path,
    *,
    salt: bytes,
    whole_frame: bool = False,
    every: int = 1,
    progress: Progress = silent,
) -> Imported:
    """Write ``labels.csv`` and ``images/``: a PNG for each frame. The folder appears whole or not at all.

    A frame is cut to the region that its header names, or else to the ultrasound image that is found in it; text that
    the machine burned in beside it stays behind. A file in which neither is known is left out.

    Args:
        source: a folder, searched with its sub-folders, or a ``DICOMDIR``.
        out: new folder.
        salt: of the site.
        whole_frame: keep frames whole. Burned-in names come along.
        every: each so-many-th frame of a clip, from the first.
        progress: called after each file.

    Raises:
        BadInputError: nothing there, no image in it that can be imported, or ``out`` exists.
        MissingExtraError: pydicom is not installed.
        OSError: ``out`` cannot be written.
    """
    require("pydicom", "dicom")
    done = Imported()
    with atomic.new_folder(out) as folder:
        files = _files(source)
        clips = list(_clips(files, done, progress))
        (folder / "images").mkdir()
        wanted = _Wanted(folder, salt, whole_frame, every)
        rows: list[dict[str, Any]] = []
        for number, (clip, begins) in enumerate(_in_order(clips), 1):
            rows += _write(wanted, clip, begins, number, done)
            progress("write frames", number, len(clips))
        if not rows:
            reason = f"; the first: {done.left_out[0][1]}" if done.left_out else ""
            raise BadInputError(f"{source} has no DICOM image that can be imported{reason}")
        (folder / "labels.csv").write_text(_table(rows), encoding="utf-8")
    done.frames = len(rows)
    done.patients, done.exams = (len({row[key] for row in rows}) for key in ("patient_id", "exam_id"))
    return done


def _files(source: Path) -> list[tuple[str, Path]]:
    """Files by the name that the report shows, in the order of their names."""
    if not source.exists():
        raise BadInputError(f"{source} does not exist; give a folder of DICOM files, or a DICOMDIR")
    if source.is_dir():
        paths = (path for path in source.rglob("*") if path.is_file() and path.name != _DIRECTORY)
        return sorted((str(path.relative_to(source)), path) for path in paths)
    return [(str(path.relative_to(source.parent)), path) for path in _listed(source)]


def _listed(directory: Path) -> list[Path]:
    """The files that a ``DICOMDIR`` lists (PS3.3 F.3), below its own folder."""
    with discreet():
        try:
            dataset = require("pydicom", "dicom").dcmread(directory)
            if dataset.file_meta.MediaStorageSOPClassUID != _DIRECTORY_CLASS:
                raise ValueError
            named = [r.ReferencedFileID for r in dataset.DirectoryRecordSequence if "ReferencedFileID" in r]
            parts = [[one] if isinstance(one, str) else list(one) for one in named]
        except Exception:  # a damaged header makes pydicom raise what it likes, and quote it
            raise BadInputError(f"{directory} is no DICOMDIR; give one, or a folder of DICOM files") from None
    root = directory.parent.resolve()
    paths = [root.joinpath(*map(str, one)) for one in parts]
    return [path for path in paths if path.resolve().is_relative_to(root)]


def _clips(files: Sequence[tuple[str, Path]], done: Imported, progress: Progress) -> Iterator[_Clip]:
    """What can be read; each object once, however many copies of it there are."""
    seen: set[str] = set()
    for number, (name, path) in enumerate(files, 1):
        progress("read headers", number, len(files))
        if not _looks_like_dicom(path):
            continue
        try:
            clip = DicomClip(path, "it")
            identity = clip.identity
        except BadInputError as error:
            done.left_out.append((name, str(error)))
            continue
        if identity.instance and identity.instance in seen:
            done.left_out.append((name, "it is a copy of an earlier file"))
            continue
        seen.add(identity.instance)
        if not identity.study and not identity.attributes.get("PatientID"):
            done.left_out.append((name, "it names neither patient nor study, so nobody knows whose it is"))
            continue
        yield _Clip(name, path, identity, sum(clip.seconds))


def _looks_like_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(_START))
    except OSError:
        return False


def _in_order(clips: Sequence[_Clip]) -> Iterator[tuple[_Clip, float]]:
    """Clips exam by exam in the order of their capture, and when each began, in seconds since its exam did.

    Where a clip of an exam does not say when it was taken, they follow one another.
    """
    exams: dict[tuple[str, str], list[_Clip]] = {}
    for clip in clips:
        exams.setdefault((_patient(clip.identity), clip.identity.study), []).append(clip)
    for exam in exams.values():
        times = [clip.identity.taken for clip in exam if clip.identity.taken is not None]
        if len(times) == len(exam) and (max(times) - min(times)).total_seconds() < _LONGEST_EXAM:
            timed = sorted(zip(times, exam, strict=True), key=lambda one: (one[0], one[1].identity.number, one[1].name))
            for time, clip in timed:
                yield clip, (time - min(times)).total_seconds()
            continue
        begins = 0.0
        for clip in sorted(exam, key=lambda clip: (clip.identity.number, clip.name)):
            yield clip, begins
            begins += clip.lasts + _GAP_SECONDS


def _patient(identity: Identity) -> str:
    """What stands for the patient: number and its issuer; without a number the study, for it is one patient's."""
    number = identity.attributes.get("PatientID", "")
    return f"{number}\0{identity.attributes.get('IssuerOfPatientID', '')}" if number else f"\0study {identity.study}"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked of an import."""

    folder: Path
    salt: bytes
    whole_frame: bool
    every: int


def _write(wanted: _Wanted, clip: _Clip, begins: float, number: int, done: Imported) -> list[dict[str, Any]]:
    """The frames of one file; the rows of the table."""
    patient = _pseudonym(wanted.salt, "p", _patient(clip.identity))
    exam = _pseudonym(wanted.salt, "e", f"{_patient(clip.identity)}\0{clip.identity.study}")
    try:
        content = DicomClip(clip.path, "it")
    except BadInputError as error:  # it has changed since
        done.left_out.append((clip.name, str(error)))
        return []
    seconds, still = begins, len(content.seconds) == 1
    rows: list[dict[str, Any]] = []
    damaged = 0
    for index, (frame, lasts) in enumerate(zip(content, content.seconds, strict=True)):
        at, seconds = seconds, seconds + lasts
        if index % wanted.every:
            continue
        cut = _cut(frame, wanted.whole_frame) if isinstance(frame, Frame) else str(frame)
        if isinstance(cut, str):
            if not rows and index == 0:
                done.left_out.append((clip.name, cut))
                return []
            damaged += 1
            continue
        name = f"images/{exam}-{number:05d}-{index + 1:05d}.png"
        (wanted.folder / name).write_bytes(_png(cut))
        spacing = cut.mm_per_pixel
        rows.append(
            {
                "path": name,
                "label": "",
                "patient_id": patient,
                "exam_id": exam,
                "device": clip.identity.device,
                "modality": clip.identity.modality,
                "seconds": "" if still else f"{at:.3f}",
                "mm_per_pixel": "" if spacing is None else f"{spacing[0]:.5g}x{spacing[1]:.5g}",
            }
        )
    if damaged:
        done.left_out.append((clip.name, f"{damaged} of its frames are damaged; the others were taken"))
    return rows


def _cut(frame: Frame, whole_frame: bool) -> Frame | str:
    """The frame without what is beside its ultrasound image, or why there is none."""
    if whole_frame:
        return frame
    region = frame.region or find_region(frame)
    height, width = frame.pixels.shape[:2]
    if frame.region is None and region == Region(0, 0, width, height):
        return "no ultrasound region is known, so text beside it cannot be left behind; --whole-frame takes it as it is"
    if min(region.width, region.height) < MIN_SIDE:
        return f"its region is {region.width}x{region.height} px; both sides must be {MIN_SIDE} px or more"
    pixels = frame.pixels[region.y : region.y + region.height, region.x : region.x + region.width]
    return Frame(pixels.copy(), mm_per_pixel=frame.mm_per_pixel)


def _png(frame: Frame) -> bytes:
    encoded, content = cv2.imencode(".png", frame.pixels)
    assert encoded, "OpenCV encodes any frame"
    return content.tobytes()


def _pseudonym(salt: bytes, kind: str, text: str) -> str:
    digest = hmac.new(salt, f"{kind}\0{text}".encode(), hashlib.sha256).hexdigest()
    return f"{kind}-{digest[:16]}"


def _table(rows: Sequence[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, IMPORT_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
