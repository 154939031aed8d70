"""``edge-cns demo``: the whole path on phantom frames, in a few minutes."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import cv2

from edge_cns.atomic import write_bytes, write_json
from edge_cns.commands._shared import PATH, progress_line
from edge_cns.errors import BadInputError, OperationError
from edge_cns.progress import Progress

__all__ = ["command"]

_IMAGE_SIZE = 160  # px: the phantom's signs are still plain, and training takes half the time of 224
_EPOCHS = 10
_SEED = 7
_PATIENTS, _CALIBRATION_PATIENTS, _TEST_PATIENTS = 120, 60, 20
_CLIP_FPS = 15


@click.command(name="demo")
@click.option("--out", type=PATH, required=True, help="New folder for everything the demo makes.")
def command(*, out: Path) -> None:
    """Go the whole way on phantom frames: data, train, convert, gate, calibrate, evaluate, predict, bench.

    Takes a few minutes on two cores. Every frame is simulated: no figure is a clinical one. Research use only.

    \b
    Example:
      edge-cns demo --out demo
    """
    if out.exists():
        raise BadInputError(f"{out} exists already; remove it or choose another --out")
    out.mkdir(parents=True)
    progress = progress_line()
    started = time.monotonic()
    counts = f"{_PATIENTS} to learn from, {_CALIBRATION_PATIENTS} to calibrate with, {_TEST_PATIENTS} to test on"
    with _step(f"1/7 drawing phantom patients: {counts}"):
        _draw(out, progress)
    with _step("2/7 training"):
        _train(out, progress)
    with _step("3/7 quantising to int8, and the gate"):
        _convert(out, progress)
    with _step("4/7 calibrating: what lets a verdict abstain"):
        _calibrate(out)
    with _step("5/7 evaluating on the test patients"):
        _evaluate(out)
    with _step("6/7 drawing heat maps, and a clip of each class with its verdicts"):
        _show(out, progress)
    with _step("7/7 timing frame to verdict"):
        _bench(out)
    click.echo(
        f"\nDone in {time.monotonic() - started:.0f} s. Phantom frames only: no figure is a clinical one.\n"
        f"Look at {out / 'evaluation' / 'report.html'}, {out / 'heatmaps'}, {out / 'verdicts.mp4'} and "
        f"{out / 'phantom' / 'clips'};\nthen: edge-cns predict {out / 'phantom.cns'} IMAGE --heatmap overlays\n"
        f"or live: edge-cns run {out / 'phantom.cns'} --source 'synthetic://phantom?class=anencephaly' "
        "--sink http://127.0.0.1:8080"
    )


@contextmanager
def _step(title: str) -> Iterator[None]:
    click.echo(title)
    started = time.monotonic()
    yield
    click.echo(f"    {time.monotonic() - started:.0f} s")


def _draw(out: Path, progress: Progress) -> None:
    from edge_cns.data.phantom import write_dataset

    write_dataset(out / "phantom", patients=_PATIENTS, frames=6, seed=_SEED, progress=progress)
    for number, (name, patients) in enumerate(
        (("phantom-test", _TEST_PATIENTS), ("phantom-calibration", _CALIBRATION_PATIENTS)), start=1
    ):
        write_dataset(out / name, patients=patients, frames=6, seed=_SEED + number, clips=False, progress=progress)


def _train(out: Path, progress: Progress) -> None:
    from edge_cns.data.manifest import read_manifest
    from edge_cns.training.run import Settings, kept_epoch
    from edge_cns.training.train import train
    from edge_cns.training.weights import available

    backbone = "mobilenet_v2"
    if not available(backbone, 1.0, _IMAGE_SIZE):
        backbone = "efficientnet_lite0"
        click.echo("    MobileNetV2's ImageNet weights cannot be reached: using EfficientNet-Lite0's from its package")
    settings = Settings(backbone=backbone, image_size=_IMAGE_SIZE, epochs=_EPOCHS, seed=_SEED)
    record = train(read_manifest(out / "phantom" / "labels.csv"), out / "run", settings, progress)
    best = kept_epoch(record["history"])
    click.echo(f"    {backbone} from {record['weights']['origin']}; kept epoch {best['epoch']}")


def _convert(out: Path, progress: Progress) -> None:
    from converters.convert import convert, report_path

    bundle = out / "phantom.cns"
    report = convert(out / "run", bundle, progress=progress)
    click.echo(f"    gate {report['outcome']}: {report['reason']}; agreement {report['agreement']:.3f}")
    if not report["written"]:
        raise OperationError(f"the gate refused the model; its report is {report_path(bundle)}")


def _calibrate(out: Path) -> None:
    """On the training's own calibration patients, a tenth of all, and on those who were drawn for it."""
    from edge_cns.commands.calibrate import command as calibrate

    rows: list[dict[str, str]] = []
    for name in ("phantom", "phantom-calibration"):
        with (out / name / "labels.csv").open(encoding="utf-8", newline="") as file:
            rows += [{**row, "path": f"{name}/{row['path']}"} for row in csv.DictReader(file)]
    with (out / "calibration.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    calibrate.main([str(out / "phantom.cns"), str(out / "calibration.csv")], standalone_mode=False)


def _evaluate(out: Path) -> None:
    from edge_cns.commands.evaluate import command as evaluate

    labels = out / "phantom-test" / "labels.csv"
    arguments = [str(out / "phantom.cns"), str(labels), "--out", str(out / "evaluation"), "--run", str(out / "run")]
    evaluate.main(arguments, standalone_mode=False)


def _show(out: Path, progress: Progress) -> None:
    """Overlays of test frames on which a sign can be seen, and the clips with the verdict on each frame."""
    from edge_cns.data.images import read_image
    from edge_cns.data.manifest import read_manifest
    from edge_cns.frames import Frame
    from edge_cns.runtime.classifier import load
    from edge_cns.runtime.overlay import draw_overlay
    from edge_cns.runtime.sources.table import open_source

    (out / "heatmaps").mkdir()
    rows = [row for row in read_manifest(out / "phantom-test" / "labels.csv").rows if row.evidence is True]
    with load(out / "phantom.cns") as classifier:
        spec = classifier.contract.input
        for row in rows[::6]:
            frame = read_image(row.path)
            _, png = cv2.imencode(".png", draw_overlay(frame, classifier.classify(frame), spec))
            write_bytes(out / "heatmaps" / f"{row.label}-{row.plane}-{row.patient_id}.png", png.tobytes())
        writer = None
        clips = sorted((out / "phantom" / "clips").glob("*.mp4"))
        for i, clip in enumerate(clips):
            for frame in (d for d in open_source(str(clip)) if isinstance(d, Frame)):
                picture = draw_overlay(frame, classifier.classify(frame), spec)
                if writer is None:
                    size = (picture.shape[1], picture.shape[0])
                    codec = cv2.VideoWriter.fourcc(*"mp4v")
                    writer = cv2.VideoWriter(str(out / "verdicts.mp4"), codec, _CLIP_FPS, size)
                writer.write(picture)
            progress("verdicts on the clips", i + 1, len(clips))
        if writer is not None:
            writer.release()


def _bench(out: Path) -> None:
    """In a process of its own, as on a device: this one has TensorFlow in its memory."""
    from edge_cns.commands.bench import describe

    command = [sys.executable, "-m", "edge_cns", "bench", str(out / "phantom.cns"), "--frames", "300", "--json"]
    result = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)  # noqa: S603  # ourselves
    write_json(out / "bench.json", result)
    click.echo(describe(result))
