"""How fast and how steady is a live session? 1080p screens, the real command, beside a bare ``invoke()``.

    python -m benchmarks.live NAME.cns                      # latency, throughput, cold start: about two minutes
    python -m benchmarks.live NAME.cns --soak 600 --fps 60  # a table by minute

Sessions are `edge-cns run` in processes of their own. The bare invoke is paced like the session and takes turns with it
in slices of a few seconds, because a processor that rests between frames is slower than one that does not.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_cns.bundle import read_bundle
from edge_cns.errors import EdgeCnsError, OperationError
from edge_cns.latency.stages import cart_frames
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.runtime.engine.process import EngineProcess

__all__ = ["Run", "latency", "main", "minutes", "soak", "throughput"]

_SLICE_S = 8.0
_SLICES = 4
_SETTLE_S = 1.0  # of a session, left out


class Run:
    """`edge-cns run` with its log.

    Args:
        bundle: ``NAME.cns``.
        source: URI.
        arguments: more of the command line.
    """

    def __init__(self, bundle: Path, source: str, *arguments: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.log = Path(self._folder.name) / "log.jsonl"
        self.started_ns = time.monotonic_ns()
        command = [sys.executable, "-m", "edge_cns", "run", str(bundle), "--source", source]
        command += ["--sink", f"jsonl://{self.log}?max_mb=100000", *arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def records(self) -> list[dict[str, Any]]:
        """What it has said so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def stop(self) -> list[dict[str, Any]]:
        """End it; all that it said.

        Raises:
            OperationError: it did not end well.
        """
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=20)
        if self.process.returncode != 0:
            raise OperationError(f"edge-cns run failed: {err.strip()}")
        records = self.records()
        self._folder.cleanup()
        return records


def classified(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """First verdict of each frame."""
    found: dict[int, dict[str, Any]] = {}
    for record in records:
        if record["type"] == "verdict" and record["probabilities"]:
            found.setdefault(record["captured_ns"], record)
    return list(found.values())


def latency(path: Path, fps: float) -> dict[str, Any]:
    """Capture to verdict at a rate, against a bare invoke at the same rate, in turns."""
    model = read_bundle(path).files["model.tflite"]
    bare = LiteRT(model)
    ages: list[float] = []
    invokes: list[float] = []
    for _ in range(_SLICES):
        run = Run(path, f"synthetic://cart?class=normal&fps={fps:g}")
        time.sleep(_SLICE_S)
        records = run.stop()
        settled = records[1]["at_ns"] + _SETTLE_S * 1e9
        ages += [v["age_ms"] for v in classified(records) if v["captured_ns"] > settled]
        due = time.perf_counter()
        for _ in range(round(_SLICE_S / 2 * fps)):
            due += 1 / fps
            time.sleep(max(0.0, due - time.perf_counter()))
            begun = time.perf_counter_ns()
            bare.invoke()
            invokes.append((time.perf_counter_ns() - begun) / 1e6)
    hand_off = _hand_off(model, fps)
    p50, p99 = np.percentile(ages, (50, 99))
    invoke = float(np.median(invokes))
    return {
        "fps": fps,
        "frames": len(ages),
        "capture_to_verdict_ms": {"p50": float(p50), "p99": float(p99), "max": max(ages)},
        "bare_invoke_ms": invoke,
        "hand_off_ms": hand_off,
        "ratio": float((p50 - hand_off) / invoke),
        "p99_within_a_30_fps_period": bool(p99 < 1000 / 30),
    }


def _hand_off(model: bytes, fps: float) -> float:
    """Median milliseconds between submitting a run and its reply, less the run itself."""
    engine = EngineProcess(model)
    try:
        engine.connect()
        spent = []
        for _ in range(100):
            time.sleep(1 / fps)
            begun = time.perf_counter_ns()
            engine.submit(0)
            reply = engine.reply(5)
            assert reply is not None
            spent.append(time.perf_counter_ns() - begun - reply.nanoseconds)
    finally:
        engine.close()
    return float(np.median(spent)) / 1e6


def throughput(path: Path) -> dict[str, Any]:
    """Frames a second of policy ``every``, against what a bare invoke alone could do, in turns."""
    bare = LiteRT(read_bundle(path).files["model.tflite"])
    rates, alone = [], []
    for _ in range(_SLICES):
        run = Run(path, "synthetic://cart?class=normal&fps=1000", "--policy", "every")
        time.sleep(_SLICE_S / 2)
        frames = classified(run.stop())[50:]
        rates.append((len(frames) - 1) / (frames[-1]["emitted_ns"] - frames[0]["emitted_ns"]) * 1e9)
        count, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < _SLICE_S / 4:
            bare.invoke()
            count += 1
        alone.append(count / (time.perf_counter() - begun))
    every, bare_rate = float(np.median(rates)), float(np.median(alone))
    return {"every_fps": every, "bare_invoke_fps": bare_rate, "ratio": every / bare_rate}


def cold_start(path: Path, runs: int = 5) -> dict[str, float]:
    """Milliseconds from the command to the first verdict on a frame."""
    spent = []
    folder = tempfile.TemporaryDirectory()
    clip = Path(folder.name) / "clip.mp4"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, (1920, 1080))
    for screen in cart_frames() * 8:
        writer.write(cv2.cvtColor(screen.pixels, cv2.COLOR_GRAY2BGR))
    writer.release()
    for _ in range(runs):
        run = Run(path, str(clip))
        until = time.monotonic() + 20
        while not classified(run.records()) and time.monotonic() < until:
            time.sleep(0.3)
        spent.append((classified(run.stop())[0]["emitted_ns"] - run.started_ns) / 1e6)
    folder.cleanup()
    return {"median_ms": float(np.median(spent)), "max_ms": max(spent)}


def soak(path: Path, seconds: float, fps: float, sinks: Sequence[str]) -> dict[str, Any]:
    """A long session; a row a minute, and whether anything grows."""
    run = Run(path, f"synthetic://cart?class=normal&fps={fps:g}", *(word for s in sinks for word in ("--sink", s)))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(5.0, max(0.0, end - time.monotonic())))
        print(f"\rsoak: {seconds - max(0.0, end - time.monotonic()):.0f}/{seconds:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)
    records = run.stop()
    summary = records[-1]
    frames = summary["frames"]
    rows = minutes(records)
    memory = [(s["at_ns"] / 60e9, s["rss_mib"]) for s in records if s["type"] == "status"]
    settled = [m for m in memory if m[0] - memory[0][0] > min(1.0, seconds / 120)]
    slope = float(np.polyfit(*np.array(settled).T, 1)[0]) if len(settled) > 2 else None
    return {
        "rows": rows,
        "summary": summary,
        "counts_add_up": frames["pending"] == 0,  # nothing may be left unaccounted for at the end
        "rss_slope_mib_per_minute": slope,
    }


def minutes(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """By minute: frames, latency, memory, what was dropped so far."""
    frames, statuses = classified(records), [r for r in records if r["type"] == "status"]
    begun = frames[0]["captured_ns"]
    rows = []
    for minute in range(int((frames[-1]["captured_ns"] - begun) / 60e9) + 1):
        first, last = begun + minute * 60e9, begun + (minute + 1) * 60e9
        ages = [f["age_ms"] for f in frames if first <= f["captured_ns"] < last]
        then = [s for s in statuses if first <= s["at_ns"] < last]
        if not ages or not then:
            continue
        p50, p99 = np.percentile(ages, (50, 99))
        rows.append(
            {
                "minute": minute + 1,
                "frames": len(ages),
                "p50_ms": float(p50),
                "p99_ms": float(p99),
                "max_ms": max(ages),
                "rss_mib": float(np.median([s["rss_mib"] for s in then])),
                "dropped": sum(then[-1]["frames"]["dropped"].values()),
            }
        )
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("bundle", type=Path, metavar="NAME.cns")
    parser.add_argument("--soak", type=float, metavar="SECONDS")
    parser.add_argument("--fps", type=float, default=60)
    parser.add_argument("--sink", action="append", default=[], metavar="URI", help="of the soak, beside its log")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    try:
        result = soak(asked.bundle, asked.soak, asked.fps, asked.sink) if asked.soak else _all(asked.bundle)
    except EdgeCnsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print(json.dumps(result, indent=2) if asked.json else _text(result))


def _all(path: Path) -> dict[str, Any]:
    return {
        "latency": [latency(path, fps) for fps in (30, 60)],
        "throughput": throughput(path),
        "cold_start": cold_start(path),
    }


def _text(result: dict[str, Any]) -> str:
    if "rows" in result:
        keys = ("minute", "frames", "p50_ms", "p99_ms", "max_ms", "rss_mib", "dropped")
        lines = ["".join(f"{key:>10}" for key in keys)]
        lines += [
            "".join(f"{row[key]:>10.2f}" if "_" in key else f"{row[key]:>10}" for key in keys) for row in result["rows"]
        ]
        lines.append(
            f"counts add up: {'yes' if result['counts_add_up'] else 'NO'}; memory grows by "
            f"{result['rss_slope_mib_per_minute']:+.3f} MiB a minute; frames {result['summary']['frames']}"
        )
        return "\n".join(lines)
    lines = []
    for row in result["latency"]:
        spent = row["capture_to_verdict_ms"]
        lines.append(
            f"{row['fps']:g} fps: capture to verdict p50 {spent['p50']:.2f} ms, p99 {spent['p99']:.2f} ms; bare invoke "
            f"{row['bare_invoke_ms']:.2f} ms, hand-off {row['hand_off_ms']:.2f} ms; ratio {row['ratio']:.2f}"
        )
    through, cold = result["throughput"], result["cold_start"]
    lines.append(
        f"every: {through['every_fps']:.0f} frames a second, bare invoke {through['bare_invoke_fps']:.0f}; "
        f"ratio {through['ratio']:.2f}"
    )
    lines.append(f"command to first verdict: {cold['median_ms']:.0f} ms, at most {cold['max_ms']:.0f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
