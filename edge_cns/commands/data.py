"""``edge-cns data``: check a labelled data set, make one of phantom frames, or begin one from DICOM files."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edge_cns.commands._shared import PATH, as_json, progress_line
from edge_cns.data.association import Association
from edge_cns.data.findings import Findings
from edge_cns.errors import BadInputError

__all__ = ["command"]

_SHOWN = 10  # unreadable images that the text names; --json has them all


@click.group(name="data")
def command() -> None:
    """Check a labelled data set, make one of phantom frames, or begin one from DICOM files."""


@command.command()
@click.argument("labels", type=PATH, metavar="LABELS.csv")
@as_json
def check(labels: Path, *, as_json: bool) -> None:
    """Tell what would stop or mislead a training: before it, and without TensorFlow.

    Findings go to standard output. The exit status is 2 if `edge-cns train` would refuse the data.

    \b
    Example:
      edge-cns data check scans/labels.csv
    """
    from edge_cns.data.check import check as check_data
    from edge_cns.data.manifest import read_manifest

    manifest = read_manifest(labels)
    findings = check_data(manifest, progress=progress_line())
    click.echo(json.dumps(findings.as_dict(), indent=2, ensure_ascii=False) if as_json else _text(findings))
    if findings.refusal is not None:
        raise BadInputError(f"train would refuse {labels}: {findings.refusal}")


@command.command()
@click.option("--out", type=PATH, required=True, help="New folder for the data set.")
@click.option("--patients", type=click.IntRange(1), default=60, show_default=True, help="Patients in all.")
@click.option("--frames", type=click.IntRange(1), default=6, show_default=True, help="Frames of each patient.")
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True, help="The same seed, the same pixels.")
@click.option("--size", type=click.IntRange(64), default=256, show_default=True, help="Side of a frame in pixels.")
def phantom(out: Path, *, patients: int, frames: int, seed: int, size: int) -> None:
    """Simulate a data set: every class in every plane, marked as phantom.

    \b
    Example:
      edge-cns data phantom --out phantom --patients 60 --frames 6 --seed 7
    """
    from edge_cns.data.phantom import write_dataset

    write_dataset(out, patients=patients, frames=frames, seed=seed, size=size, progress=progress_line())
    click.echo(f"{out / 'labels.csv'}: {patients * frames} phantom frames of {patients} patients")


@command.command(name="import")
@click.argument("source", type=PATH, metavar="DICOMDIR")
@click.option("--out", type=PATH, required=True, help="New folder for the data set.")
@click.option(
    "--salt",
    type=PATH,
    metavar="FILE",
    help="The site's salt, made if missing; the same salt, the same pseudonyms.  [default: OUT.salt]",
)
@click.option("--whole-frame", is_flag=True, help="Keep frames whole: burned-in names come along.")
@click.option("--every", type=click.IntRange(1), default=1, show_default=True, help="Of a clip, each so-many-th frame.")
def import_(source: Path, *, out: Path, salt: Path | None, whole_frame: bool, every: int) -> None:
    """Begin a data set from DICOM files: lossless frames of the ultrasound region, and a table to label.

    DICOMDIR is such a file, or a folder that is searched. Patients and exams get pseudonyms by a salt that stays with
    the site: keep the file, and never give it away with the frames.

    \b
    Example:
      edge-cns data import /media/export --out scans --salt /etc/edge-cns/site.salt
    """
    from edge_cns.data.dicom_import import import_dicom, read_salt
    from edge_cns.runtime.uri import one_line

    kept = salt or out.with_name(f"{out.name}.salt")
    done = import_dicom(
        source, out, salt=read_salt(kept), whole_frame=whole_frame, every=every, progress=progress_line()
    )
    click.echo(f"{out / 'labels.csv'}: {done.frames} frames, {done.patients} patients, {done.exams} exams; label them")
    if done.left_out:
        click.echo(f"left out: {len(done.left_out)} files", err=True)
        for name, why in done.left_out[:_SHOWN]:
            click.echo(f"  {one_line(name)}: {why}", err=True)
        if len(done.left_out) > _SHOWN:
            click.echo(f"  ... and {len(done.left_out) - _SHOWN} more", err=True)


def _text(findings: Findings) -> str:
    """The report for a person."""
    several = f", {findings.several_labels} of them with several classes" if findings.several_labels else ""
    lines = [f"{findings.path}: {findings.frames} frames, {findings.patients} patients{several}", ""]
    width = max(map(len, (*findings.classes, *(a.column for a in findings.associations), "class"))) + 2
    hidden = any(count.without_evidence for count in findings.classes.values())
    lines.append(f"{'class':<{width}}  frames  patients" + ("  without evidence" if hidden else ""))
    for name, count in findings.classes.items():
        line = f"{name:<{width}}  {count.frames:>6}  {count.patients:>8}"
        lines.append(line + (f"  {count.without_evidence:>16}" if hidden else ""))
    if findings.associations:
        lines += ["", "Association with the class (Cramér's V: 0 none, 1 tells the class)"]
        lines += [f"{a.column:<{width}}  {a.cramers_v:>6.2f}  {_remark(a)}".rstrip() for a in findings.associations]
    if findings.unreadable:
        lines += ["", "Images that cannot be used", *findings.unreadable[:_SHOWN]]
        more = len(findings.unreadable) - _SHOWN
        lines += [f"... and {more} more (--json lists all)"] if more > 0 else []
    lines += ["", *(f"{finding.level.upper():<9} {finding.text}" for finding in findings.findings)]
    lines.append("train would refuse this data" if findings.refusal else "train accepts this data")
    return "\n".join(lines)


def _remark(association: Association) -> str:
    """What the table says beside a figure."""
    if association.restates_label:
        return "changes with the label inside patients"
    remarks = []
    if association.separated:
        remarks.append("separates " + ", ".join(association.separated))
    remarks += [f"{one.label} has only {one.value or '(empty)'}" for one in association.confined]
    return "; ".join(remarks)
