"""``data check``: what to know about a data set before an hour of training is spent on it.

Every image is read once, as the training would read it. What makes the training refuse is a *refusal*; a column or a
mark in the pixels that finds a class without the anatomy is a *shortcut*, which every later report repeats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.data.association import Association, associate
from edge_cns.data.burned_in import text_fraction
from edge_cns.data.findings import LEVELS, ClassCount, Finding, Findings, Level
from edge_cns.data.images import read_image
from edge_cns.data.manifest import Manifest, Row
from edge_cns.data.splits import draw_sets
from edge_cns.errors import BadInputError
from edge_cns.frames import Frame
from edge_cns.progress import Progress, silent

__all__ = ["check"]

_FEW_PATIENTS = 20  # one patient in a gate or calibration set of two is half of it
_STRONG = 0.5  # Cramér's V
_BLANK = 8  # grey levels of 255 between darkest and brightest
_AGE_BANDS = ((14.0, "below 14 weeks"), (20.0, "14 to 20 weeks"), (28.0, "20 to 28 weeks"), (99.0, "from 28 weeks"))
_TEXT, _SIZE, _FORMAT = "burned-in text", "image size", "pixel format"
_FRAME_PROPERTIES = (_TEXT, _SIZE, _FORMAT)


@dataclass(frozen=True, slots=True)
class _Seen:
    """One readable frame: what is compared between frames."""

    row: Row
    pixels: bytes
    sixteen_bits: bool
    peak: int
    blank: bool
    properties: Mapping[str, str]


def check(manifest: Manifest, *, progress: Progress = silent) -> Findings:
    """Read every image of a manifest and report what would harm or stop a training.

    Args:
        manifest: a read ``labels.csv``.
        progress: called after each frame.
    """
    seen: list[_Seen] = []
    unreadable: list[str] = []
    for done, row in enumerate(manifest.rows, start=1):
        try:
            seen.append(_look(row, read_image(row.path)))
        except BadInputError as error:
            unreadable.append(f"line {row.line}: {error}")
        progress("reading frames", done, len(manifest.rows))
    findings: list[Finding] = []
    if unreadable:
        findings.append(_unreadable(manifest, unreadable))
    duplicates, linked = _duplicates(seen)
    associations = _associations(manifest, seen)
    findings += duplicates + _drawable(manifest, linked) + _labels(manifest) + _pixels(seen)
    for association in associations:
        findings += _association(association)
    return Findings(
        path=manifest.path,
        sha256=manifest.sha256,
        frames=len(manifest.rows),
        patients=len(manifest.patients),
        classes=_counts(manifest),
        several_labels=_several_labels(manifest),
        phantom=manifest.phantom,
        associations=associations,
        findings=tuple(sorted(findings, key=lambda finding: LEVELS.index(finding.level))),
        unreadable=tuple(unreadable),
        linked_patients=linked,
    )


def _look(row: Row, frame: Frame) -> _Seen:
    """Reduce a frame to what is compared. Colour with three equal channels is grey."""
    pixels: NDArray[Any] = frame.pixels
    if pixels.ndim == 3 and all(np.array_equal(pixels[..., 0], pixels[..., k]) for k in (1, 2)):
        pixels = pixels[..., 0]
    height, width = pixels.shape[:2]
    digest = hashlib.sha256(f"{pixels.shape}{pixels.dtype}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    sixteen = pixels.dtype == np.uint16
    low, high = int(pixels.min()), int(pixels.max())
    return _Seen(
        row=row,
        pixels=digest.digest(),
        sixteen_bits=sixteen,
        peak=high,
        blank=high - low < _BLANK * (257 if sixteen else 1),
        properties={
            _TEXT: "present" if text_fraction(frame) > 0 else "absent",
            _SIZE: f"{width}x{height}",
            _FORMAT: f"{'16' if sixteen else '8'}-bit {'colour' if pixels.ndim == 3 else 'grey'}",
        },
    )


def _counts(manifest: Manifest) -> dict[str, ClassCount]:
    """Counts by class, in class order."""
    counts = {}
    for label in manifest.classes:
        rows = [row for row in manifest.rows if row.label == label]
        hidden = sum(row.evidence is False for row in rows)
        counts[label] = ClassCount(len(rows), len({row.patient_id for row in rows}), hidden)
    return counts


def _several_labels(manifest: Manifest) -> int:
    """Patients with two labels or more."""
    labels: dict[str, set[str]] = {}
    for row in manifest.rows:
        labels.setdefault(row.patient_id, set()).add(row.label)
    return sum(len(found) > 1 for found in labels.values())


def _unreadable(manifest: Manifest, lines: Sequence[str]) -> Finding:
    """Refuse images that cannot be used."""
    first = lines[0].partition(": ")[2]
    text = (
        f"{len(lines)} of {len(manifest.rows)} images cannot be used; the first ({lines[0].partition(':')[0]}): {first}"
    )
    return Finding("refusal", "unreadable", text)


def _duplicates(seen: Sequence[_Seen]) -> tuple[list[Finding], tuple[tuple[str, ...], ...]]:
    """Frames with the same pixels: harmless, linking two patients, or contradicting each other."""
    groups: dict[bytes, list[Row]] = {}
    for one in seen:
        groups.setdefault(one.pixels, []).append(one.row)
    same = [rows for rows in groups.values() if len(rows) > 1]
    findings: list[Finding] = []

    def add(level: Level, kind: str, where: Callable[[list[Row]], bool], what: str, mend: str) -> None:
        hits = [rows for rows in same if where(rows)]
        if hits:
            first = ", ".join(f"line {row.line} ({row.patient_id}, {row.label})" for row in hits[0][:4])
            findings.append(Finding(level, kind, f"{what}: {len(hits)}, the first on {first}; {mend}"))

    add(
        "refusal",
        "duplicate-labels",
        lambda rows: len({row.label for row in rows if row.evidence is not False}) > 1,
        "images with the same pixels and different labels",
        "keep the right one",
    )
    add("refusal", "duplicate-splits", _torn, "images with the same pixels in two splits", "keep them in one split")
    add(
        "warning",
        "duplicate-patients",
        lambda rows: len({row.patient_id for row in rows}) > 1,
        "images with the same pixels under two patients",
        "the training keeps these patients in one set; give them one patient_id, or remove the copies",
    )
    add(
        "warning",
        "duplicate-frames",
        lambda rows: len({row.patient_id for row in rows}) < len(rows),
        "images repeated within a patient",
        "they count twice; remove the copies",
    )
    linked = {tuple(sorted({row.patient_id for row in rows})) for rows in same}
    return findings, tuple(sorted(group for group in linked if len(group) > 1))


def _torn(rows: Sequence[Row]) -> bool:
    """Whether ``split`` puts these rows in different sets; ``train`` goes with any set of the training."""
    splits = {row.split for row in rows}
    return len(splits - {"train"}) > 1 or splits == {"train", "test"}


def _drawable(manifest: Manifest, linked: Sequence[Sequence[str]]) -> list[Finding]:
    """Whether the four sets can be drawn."""
    try:
        draw_sets(manifest.for_training(), seed=0, together=linked)
    except BadInputError as error:
        return [Finding("refusal", "sets", str(error))]
    return []


def _labels(manifest: Manifest) -> list[Finding]:
    """Small classes, class names that differ by case only, and simulated frames among real ones."""
    findings: list[Finding] = []
    counts = _counts(manifest)
    few = [f"{label!r} {count.patients}" for label, count in counts.items() if count.patients < _FEW_PATIENTS]
    if few:
        text = f"classes with fewer than {_FEW_PATIENTS} patients: {', '.join(few)}; expect wide intervals"
        findings.append(Finding("warning", "few-patients", text))
    folded: dict[str, str] = {}
    for label in counts:
        twin = folded.setdefault(label.casefold(), label)
        if twin != label:
            text = f"classes {twin!r} and {label!r} differ only in case; if they are one class, write them alike"
            findings.append(Finding("warning", "class-names", text))
    simulated = sum(row.phantom for row in manifest.rows)
    if simulated:
        rest = len(manifest.rows) - simulated
        mixed = f" and {rest} are not: figures on the mixture say nothing about either" if rest else ""
        text = f"{simulated} frames are a phantom (simulated){mixed}"
        findings.append(Finding("warning" if rest else "note", "phantom", text))
    return findings


def _pixels(seen: Sequence[_Seen]) -> list[Finding]:
    """16-bit files that use 12 bits, and frames without a picture."""
    findings: list[Finding] = []
    sixteen = [one for one in seen if one.sixteen_bits]
    peak = max((one.peak for one in sixteen), default=0xFFFF)
    if peak < 1 << 12:
        text = (
            f"all {len(sixteen)} 16-bit images stay below 4096 (largest value {peak}): 12 bits look stored, and they "
            f"will be read as nearly black; multiply the pixels by {1 << (16 - max(8, peak.bit_length()))}"
        )
        findings.append(Finding("warning", "twelve-bits", text))
    blank = [one.row for one in seen if one.blank]
    if blank:
        text = f"{len(blank)} images are blank (one grey level), first line {blank[0].line}; remove them"
        findings.append(Finding("warning", "blank", text))
    return findings


def _associations(manifest: Manifest, seen: Sequence[_Seen]) -> tuple[Association, ...]:
    """Class against columns and against what the pixels show, strongest first."""
    rows = manifest.rows
    found = [
        associate(column, ((row.patient_id, row.label, row.value(column)) for row in rows))
        for column in ("site", "device", "plane", *manifest.extra_columns)
    ]
    aged = [row for row in rows if row.gestational_age_weeks is not None]
    found.append(associate("gestational age", ((row.patient_id, row.label, _age_band(row)) for row in aged)))
    for name in _FRAME_PROPERTIES:
        found.append(associate(name, ((one.row.patient_id, one.row.label, one.properties[name]) for one in seen)))
    return tuple(sorted((a for a in found if a is not None), key=lambda a: (-a.cramers_v, a.column)))


def _age_band(row: Row) -> str:
    """Gestational age in four bands."""
    weeks = row.gestational_age_weeks or 0.0
    return next(name for limit, name in _AGE_BANDS if weeks < limit)


def _association(a: Association) -> list[Finding]:
    """Put an association into words, at most one line for each class."""
    named = ("site", "device", "gestational age", *_FRAME_PROPERTIES)
    if a.restates_label and a.column not in named:
        labels = ", ".join(map(repr, [*a.separated, *(c.label for c in a.confined)]))
        text = (
            f"{a.column} changes with the label inside patients and restates {labels}; it is what the frame shows, "
            "not how it was taken, so it is no shortcut"
        )
        return [Finding("note", "restates-label", text)]
    findings: list[Finding] = []
    danger = f"the network can learn the {a.column} instead of the anatomy; add frames that break the tie"
    if len(a.separated) == len(next(iter(a.table.values()))):
        text = f"{a.column} separates all classes perfectly: no value occurs with two of them; {danger}"
        return [Finding("shortcut", "separated", text)]
    for label in a.separated:
        values = [value or "(empty)" for value, counts in a.table.items() if counts[label]]
        shown = ", ".join(map(repr, values[:3])) + (f" and {len(values) - 3} more" if len(values) > 3 else "")
        text = f"{a.column} separates class {label!r} perfectly: all of it has {shown}, nothing else has; {danger}"
        findings.append(Finding("shortcut", "separated", text))
    for one in a.confined:
        loud = one.elsewhere <= 0.5
        text = (
            f"class {one.label!r} ({one.patients} patients) has only {a.column} {one.value or '(empty)'!r}, which "
            f"{one.elsewhere:.0%} of the other patients have; "
            + ("any other value rules the class out without the anatomy; " if loud else "")
            + "add frames of the class with other values"
        )
        findings.append(Finding("shortcut" if loud else "warning", "confined", text))
    if a.cramers_v >= _STRONG and not findings:
        text = f"{a.column} goes with the class (Cramér's V {a.cramers_v:.2f}); compare accuracy within each value"
        findings.append(Finding("warning", "association", text))
    return findings
