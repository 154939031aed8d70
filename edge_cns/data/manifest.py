"""``labels.csv``: which frame has which label, and whose it is."""

from __future__ import annotations

import csv
import hashlib
import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_cns.errors import BadInputError

__all__ = ["COLUMNS", "REQUIRED", "SPLITS", "Manifest", "Row", "read_manifest"]

REQUIRED = ("path", "label", "patient_id")
COLUMNS = (
    *REQUIRED,
    "exam_id",
    "fetus_id",
    "plane",
    "gestational_age_weeks",
    "site",
    "device",
    "subtype",
    "reference_standard",
    "evidence",
    "seconds",
    "split",
)
"""Columns with a meaning of their own; any other column is a subgroup."""
SPLITS = ("train", "fit", "stop", "calibrate", "gate", "test")
"""``train`` (or empty): drawn by the training. ``test``: never used by it. The other four: put there by hand."""

_MAX_BYTES = 64 * 1024 * 1024
_AGE_WEEKS = (4.0, 45.0)
_LONGEST_EXAM = 86_400.0  # s
_EVIDENCE = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled frame.

    Attributes:
        line: line of the csv on which the row ends, from 1.
        path: the image file; a relative path starts at the folder of the csv.
        label: class name.
        patient_id: who must never be in two sets.
        exam_id: examination, or empty; so too the text fields below.
        fetus_id: fetus of a multiple pregnancy.
        plane: anatomical plane.
        gestational_age_weeks: 4 to 45, or ``None``.
        site: hospital or practice.
        device: ultrasound machine.
        subtype: finer label.
        reference_standard: what the label rests on (``phantom`` for simulated frames).
        evidence: whether the sign can be seen on this frame; ``None`` where nobody said.
        seconds: capture time within the exam, 0 or more, for frames of a clip; ``None`` for stills.
        split: one of ``SPLITS``.
        extra: the other columns, as text.
    """

    line: int
    path: Path
    label: str
    patient_id: str
    exam_id: str = ""
    fetus_id: str = ""
    plane: str = ""
    gestational_age_weeks: float | None = None
    site: str = ""
    device: str = ""
    subtype: str = ""
    reference_standard: str = ""
    evidence: bool | None = None
    seconds: float | None = None
    split: str = "train"
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def phantom(self) -> bool:
        """Whether the frame is simulated."""
        return self.reference_standard.casefold() == "phantom"

    def value(self, column: str) -> str:
        """A column as text, for grouping; empty where the row has none."""
        if column not in COLUMNS:
            return self.extra.get(column, "")
        value = getattr(self, column)
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The rows of a ``labels.csv``.

    Attributes:
        path: the csv.
        rows: in the order of the file.
        columns: names in the order of the file.
        sha256: hex digest of the file's bytes.
    """

    path: Path
    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    sha256: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, sorted: the class order of everything that follows."""
        return tuple(sorted({row.label for row in self.rows}))

    @property
    def patients(self) -> tuple[str, ...]:
        """Patient ids, sorted."""
        return tuple(sorted({row.patient_id for row in self.rows}))

    @property
    def phantom(self) -> bool:
        """Whether any frame is simulated; every report says so."""
        return any(row.phantom for row in self.rows)

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Columns without a meaning of their own: subgroups."""
        return tuple(name for name in self.columns if name not in COLUMNS)

    def of_patients(self, patients: Iterable[str]) -> tuple[Row, ...]:
        """Rows of these patients, in the order of the file."""
        wanted = set(patients)
        return tuple(row for row in self.rows if row.patient_id in wanted)

    def require_labels(self, names: Sequence[str]) -> None:
        """Refuse labels that a model does not have.

        Raises:
            BadInputError: the text names the line.
        """
        for row in self.rows:
            if row.label not in names:
                raise BadInputError(
                    f"{self.path} line {row.line}: label {row.label!r} is not in the contract ({', '.join(names)}); "
                    "use the labels that the model was trained on"
                )

    def for_training(self) -> tuple[Row, ...]:
        """Rows that a training may use: not those kept for testing, nor those on which the sign cannot be seen.

        A frame with ``evidence`` = ``false`` carries its patient's label but not the label's sign: to learn from it is
        to learn something else.
        """
        return tuple(row for row in self.rows if row.split != "test" and row.evidence is not False)


def read_manifest(path: Path) -> Manifest:
    """Read a ``labels.csv``: UTF-8 (with or without a byte-order mark), comma-separated, one header row.

    Cells are stripped of surrounding blanks; empty lines are skipped; text is normalised to Unicode NFC, so that a
    name typed in two ways is one class. Image paths may be absolute or climb with ``..``: whoever writes the csv can
    already read what the reader reads. Whether the images exist is for ``check`` and the training to find.

    Raises:
        BadInputError: not a readable csv, a missing, doubled or unnamed column, an empty or impossible cell, no
            rows, or a patient in two splits. One line, with the line of the csv and the value.
    """
    content = _read(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadInputError(
            f"{path} line {line} is not UTF-8 (byte 0x{content[error.start]:02x}); save it as CSV UTF-8"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise BadInputError(f"{path} line {line} has a NUL byte; save the table again as CSV UTF-8")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    columns: tuple[str, ...] | None = None
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if not any(stripped):
                continue
            if columns is None:
                columns = _header(path, stripped)
            else:
                rows.append(_row(path, columns, stripped, reader.line_num))
    except csv.Error as error:
        raise BadInputError(f"{path} line {reader.line_num} is not CSV ({error}); mend its quotes") from None
    if not rows or columns is None:
        raise BadInputError(f"{path} has no rows; give one line for each frame under {','.join(REQUIRED)}")
    _one_split_each(path, rows)
    return Manifest(path, tuple(rows), columns, hashlib.sha256(content).hexdigest())


def _read(path: Path) -> bytes:
    """The bytes of the csv, if it is a regular file of a sane size."""
    try:
        if not path.exists():
            raise BadInputError(f"{path} does not exist; give a labels.csv")
        if not path.is_file():
            what = "a folder" if path.is_dir() else "not a regular file"
            raise BadInputError(f"{path} is {what}; give a labels.csv")
        if path.stat().st_size > _MAX_BYTES:
            raise BadInputError(f"{path} is larger than {_MAX_BYTES >> 20} MiB; give a labels.csv, or split it")
        return path.read_bytes()
    except OSError as error:
        raise BadInputError(f"{path} cannot be read ({error.strerror}); check its permissions") from None


def _header(path: Path, names: list[str]) -> tuple[str, ...]:
    """Check the header row."""
    found = ", ".join(repr(name) for name in names[:20])
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise BadInputError(
            f"{path} has no column {', '.join(missing)}; its header needs {','.join(REQUIRED)}, found {found}"
        )
    for name in names:
        if not name:
            raise BadInputError(f"{path} has a column without a name (header: {found}); name or remove it")
        if names.count(name) > 1:
            raise BadInputError(f"{path} has the column {name!r} {names.count(name)} times; keep one")
    return tuple(names)


def _row(path: Path, columns: tuple[str, ...], cells: list[str], line: int) -> Row:
    """Check and convert one row."""
    where = f"{path} line {line}"
    if len(cells) != len(columns):
        raise BadInputError(
            f"{where} has {len(cells)} cells, the header {len(columns)}; quote a value that contains a comma"
        )
    values = dict(zip(columns, cells, strict=True))
    for name, value in values.items():
        if any(unicodedata.category(character) == "Cc" for character in value):
            raise BadInputError(f"{where} has a control character in {name} ({value[:40]!r}); remove it")
        if name != "path":  # a file name is the bytes that the file system has
            values[name] = unicodedata.normalize("NFC", value)
    for name in REQUIRED:
        if not values[name]:
            raise BadInputError(f"{where} has an empty {name}; fill it in or remove the row")
    return Row(
        line=line,
        path=path.parent / values["path"],
        label=values["label"],
        patient_id=values["patient_id"],
        exam_id=values.get("exam_id", ""),
        fetus_id=values.get("fetus_id", ""),
        plane=values.get("plane", ""),
        gestational_age_weeks=_age(where, values.get("gestational_age_weeks", "")),
        site=values.get("site", ""),
        device=values.get("device", ""),
        subtype=values.get("subtype", ""),
        reference_standard=values.get("reference_standard", ""),
        evidence=_evidence(where, values.get("evidence", "")),
        seconds=_seconds(where, values.get("seconds", "")),
        split=_split(where, values.get("split", "")),
        extra={name: value for name, value in values.items() if name not in COLUMNS},
    )


def _age(where: str, text: str) -> float | None:
    """Gestational age in weeks."""
    if not text:
        return None
    low, high = _AGE_WEEKS
    try:
        weeks = float(text)
    except ValueError:
        weeks = float("nan")
    if not low <= weeks <= high:
        raise BadInputError(f"{where} has gestational_age_weeks {text!r}; give weeks, {low:g} to {high:g}, or none")
    return weeks


def _evidence(where: str, text: str) -> bool | None:
    """Whether the sign can be seen."""
    if not text:
        return None
    if text.lower() not in _EVIDENCE:
        raise BadInputError(f"{where} has evidence {text!r}; give true, false, or nothing")
    return _EVIDENCE[text.lower()]


def _seconds(where: str, text: str) -> float | None:
    """Capture time within the exam."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = float("nan")
    if not 0 <= seconds <= _LONGEST_EXAM:
        raise BadInputError(f"{where} has seconds {text!r}; give seconds since the exam began, or nothing for a still")
    return seconds


def _split(where: str, text: str) -> str:
    """The set the row was put in; empty means that the training draws it."""
    if text and text not in SPLITS:
        raise BadInputError(f"{where} has split {text!r}; give one of {', '.join(SPLITS)}, or nothing")
    return text or "train"


def _one_split_each(path: Path, rows: list[Row]) -> None:
    """Refuse a patient whose rows say different splits."""
    first: dict[str, Row] = {}
    for row in rows:
        known = first.setdefault(row.patient_id, row)
        if known.split != row.split:
            raise BadInputError(
                f"{path}: patient {row.patient_id!r} is in split {known.split!r} (line {known.line}) and in "
                f"{row.split!r} (line {row.line}); put all rows of a patient in one"
            )
