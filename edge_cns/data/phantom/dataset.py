"""Write a phantom data set: labelled frames, masks, counterfactual pairs, films, and how it was made."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import default_rng

from edge_cns import atomic
from edge_cns.data.phantom.anatomy import CLASSES, PLANES, WEEKS, Patient, draw_patient
from edge_cns.data.phantom.clip import write_clip
from edge_cns.data.phantom.machines import MACHINES, SITES
from edge_cns.data.phantom.planes import section_pair
from edge_cns.data.phantom.png import encode_png
from edge_cns.data.phantom.rendering import Rendering, render_sections
from edge_cns.data.phantom.view import View, draw_view
from edge_cns.errors import BadInputError
from edge_cns.progress import Progress, silent

__all__ = ["DEFINITIONS", "LABEL_COLUMNS", "PNG_TEXT", "PlannedFrame", "planned_frames", "write_dataset"]

LABEL_COLUMNS = (
    "path",
    "label",
    "patient_id",
    "exam_id",
    "plane",
    "gestational_age_weeks",
    "site",
    "device",
    "subtype",
    "reference_standard",
    "evidence",
    "mm_per_pixel",
)
PNG_TEXT = {"Source": "edge-cns phantom", "Disclaimer": "Simulated, no patient. Research use only."}
"""``tEXt`` chunks of every picture."""
DEFINITIONS = {
    "anencephaly": "no calvarium and no brain above the orbits; face and skull base are there",
    "encephalocele": "a gap in the skull bone and a continuous sac through it, with or without brain",
    "holoprosencephaly": "the forebrain is not divided: one ventricle, fused thalami, or joined frontal horns",
    "normal": "none of the other four drawn",
    "rachischisis": "a long open spine without skin or sac over it, or the cranial signs of one",
}
"""What a drawn class means: ``classes.json``, from which a contract takes its definitions."""

_PAIR_COLUMNS = ("path", "counterfactual", "mask", "label", "patient_id", "plane", "signs")


@dataclass(frozen=True, slots=True)
class PlannedFrame:
    """One frame to draw."""

    name: str
    patient_id: str
    patient: Patient
    plane: str
    view: View


def write_dataset(
    out: Path,
    *,
    patients: int = 60,
    frames: int = 6,
    seed: int = 7,
    size: int = 256,
    clips: bool = True,
    progress: Progress = silent,
) -> None:
    """Write ``labels.csv`` and ``images/``, ``masks/``, ``pairs/`` with ``pairs.csv``, ``clips/`` and two descriptions.

    ``classes.json`` says what each class means, ``phantom.json`` how each frame was made.

    The folder appears whole or not at all; the same arguments give the same bytes on the same machine.

    Args:
        out: new folder.
        patients: in all, dealt to the five classes in turn.
        frames: of each patient; six cover the six planes.
        seed: 0 or more.
        size: side of the pictures, 64 to 1024 px.
        clips: whether to film each class.
        progress: called after each step.

    Raises:
        BadInputError: ``out`` exists, or a number is out of range.
        OSError: nothing could be written there.
    """
    if patients < len(CLASSES) or frames < 1 or seed < 0:
        raise BadInputError(
            f"phantom of {patients} patients, {frames} frames, seed {seed}; give at least {len(CLASSES)} patients, "
            "1 frame, and a seed of 0 or more"
        )
    if not 64 <= size <= 1024:
        raise BadInputError(f"phantom size is {size} px; give 64 to 1024")
    jobs = list(planned_frames(patients, frames, seed, size))
    settings = {"patients": patients, "frames": frames, "seed": seed, "size": size}
    with atomic.new_folder(out) as folder:
        for name in ("images", "masks", "pairs", *(["clips"] if clips else [])):
            (folder / name).mkdir()
        results = _run(folder, jobs, size, seed if clips else None, progress)
        (folder / "labels.csv").write_text(_csv(LABEL_COLUMNS, [r["label"] for r in results]))
        (folder / "pairs.csv").write_text(_csv(_PAIR_COLUMNS, [r["pair"] for r in results if r["pair"]]))
        description = {
            "source": PNG_TEXT["Source"],
            "settings": settings,
            "classes": CLASSES,
            "planes": PLANES,
            "weeks": WEEKS,
            "frames": [r["nuisances"] for r in results],
        }
        (folder / "classes.json").write_bytes(atomic.json_bytes(DEFINITIONS))
        (folder / "phantom.json").write_bytes(atomic.json_bytes(description))
        (folder / "README.md").write_text(_readme(settings))


def _run(
    folder: Path, jobs: list[PlannedFrame], size: int, clip_seed: int | None, progress: Progress
) -> list[dict[str, Any]]:
    """Draw frames and films on as many threads as there are cores; the order of the results is that of the jobs."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        films: list[Future[Any]] = []
        if clip_seed is not None:
            films = [pool.submit(write_clip, folder / "clips" / f"{c}.mp4", c, seed=clip_seed) for c in CLASSES]
        drawn: list[Future[Any]] = [pool.submit(_write_frame, folder, job, size) for job in jobs]
        try:
            for done, future in enumerate(as_completed([*films, *drawn]), start=1):
                future.result()
                progress("drawing the phantom", done, len(films) + len(drawn))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        return [future.result() for future in drawn]


def planned_frames(patients: int, frames: int, seed: int, size: int) -> Iterable[PlannedFrame]:
    """Every patient draws age, machine and site from the same distributions, whatever the class.

    Dealing them out in equal shares would be no better: whoever knows the others' cards knows the last one.
    """
    names = default_rng([seed, 11]).permutation(patients)  # so that the number of a patient tells nothing either
    for index in range(patients):
        label, turn = CLASSES[index % len(CLASSES)], index // len(CLASSES)
        rng = default_rng([seed, 12, index])
        patient = draw_patient(label, int(rng.integers(2**31)))
        machine, site = MACHINES[int(rng.integers(len(MACHINES)))], SITES[int(rng.integers(len(SITES)))]
        patient_id = f"S{seed}P{names[index] + 1:03d}"  # with the seed: patients of two sets are never confused
        for number in range(frames):
            plane = PLANES[(number + turn) % len(PLANES)]
            view = draw_view(patient, plane, int(rng.integers(2**31)), machine=machine, site=site, size=size)
            yield PlannedFrame(f"{patient_id}_{number + 1:02d}.png", patient_id, patient, plane, view)


def _write_frame(folder: Path, job: PlannedFrame, size: int) -> dict[str, Any]:
    ill, healthy = section_pair(job.patient, job.plane, pixels=2 * size)
    shown = render_sections(job.patient, job.plane, job.view, ((ill, 1.0),), size=size)
    (folder / "images" / job.name).write_bytes(encode_png(shown.pixels, **PNG_TEXT))
    pair: dict[str, Any] | None = None
    if shown.evidence:
        twin = render_sections(job.patient, job.plane, job.view, ((healthy, 1.0),), size=size)
        (folder / "masks" / job.name).write_bytes(
            encode_png(shown.lesion_mask.astype(np.uint8) * np.uint8(255), **PNG_TEXT)
        )
        (folder / "pairs" / job.name).write_bytes(encode_png(twin.pixels, **PNG_TEXT))
        pair = {
            "path": f"images/{job.name}",
            "counterfactual": f"pairs/{job.name}",
            "mask": f"masks/{job.name}",
            "label": job.patient.label,
            "patient_id": job.patient_id,
            "plane": job.plane,
            "signs": ";".join(shown.signs),
        }
    return {"label": _label_row(job, shown), "pair": pair, "nuisances": _nuisances(job, shown)}


def _label_row(job: PlannedFrame, shown: Rendering) -> dict[str, Any]:
    lesion = job.patient.lesion
    return {
        "path": f"images/{job.name}",
        "label": job.patient.label,
        "patient_id": job.patient_id,
        "exam_id": f"{job.patient_id}-E1",
        "plane": job.plane,
        "gestational_age_weeks": f"{job.patient.gestational_age_weeks:.1f}",
        "site": job.view.site,
        "device": job.view.machine.name,
        "subtype": lesion.subtype if lesion else "",
        "reference_standard": "phantom",
        # Nothing is looked for in a normal patient, so the column is empty there.
        "evidence": str(shown.evidence).lower() if lesion else "",
        "mm_per_pixel": f"{shown.mm_per_pixel:.5f}",
    }


def _nuisances(job: PlannedFrame, shown: Rendering) -> dict[str, Any]:
    view, box = job.view, shown.region
    return {
        "path": f"images/{job.name}",
        "patient_seed": job.patient.seed,
        "gestational_age_weeks": job.patient.gestational_age_weeks,
        "view_seed": view.seed,
        "region": [box.x, box.y, box.width, box.height],
        "frequency_mhz": round(view.probe.frequency_mhz, 3),
        "depth_mm": round(view.probe.depth_mm, 2),
        "gain_db": round(view.gain_db, 2),
        "dynamic_range_db": round(view.dynamic_range_db, 2),
        "turn_rad": round(view.pose.turn, 4),
        "flip": view.pose.flip,
        "placenta": view.placenta,
        "text": list(view.text),
        "callipers": view.callipers,
        "twin": job.patient.twin,
        "lemon_outline": job.patient.lemon_outline,
    }


def _csv(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _readme(settings: dict[str, int]) -> str:
    options = " ".join(f"--{name} {value}" for name, value in settings.items())
    return f"""# Phantom data set

Simulated ultrasound: no patient, no clinical meaning, research use only.
Figures measured on it say whether software works, never how well an anomaly is recognised.

Made by `edge-cns data phantom --out DIR {options}`.

- `labels.csv`: one row a frame. `evidence` is `false` where the lesion cannot be seen on that frame, and empty for
  normal patients. `reference_standard` is `phantom` on every row.
- `images/`: frames; each PNG carries a text chunk `Source: {PNG_TEXT["Source"]}`.
- `masks/`: where the lesion changed the tissue, for frames with evidence.
- `pairs/`, `pairs.csv`: the same frame without the lesion.
- `clips/`: a sweep through the six planes for each class.
- `phantom.json`: all settings, and the nuisances of each frame.
"""
