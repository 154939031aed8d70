"""Where the time goes: each stage of the product's path, interleaved with a bare ``invoke()`` of the same model.

The two alternate frame by frame in one process, so that whatever the machine does meanwhile happens to both; the
ratio of their medians travels between machines better than any absolute time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.data.phantom import CLASSES, draw_patient, render
from edge_cns.data.phantom.cart import cart_screen
from edge_cns.errors import BadInputError, OperationError, OperationTimeoutError
from edge_cns.frames import Frame
from edge_cns.latency.environment import environment, memory
from edge_cns.runtime.backends.table import open_backend
from edge_cns.runtime.classifier import load
from edge_cns.runtime.sources.table import open_source
from edge_cns.runtime.target import choose
from edge_cns.signing.policy import Mode

__all__ = ["STAGES", "cart_frames", "cold_start", "measure"]

STAGES = ("bare_invoke", "preprocess", "invoke", "postprocess", "total")
_PERCENTILES = (50, 90, 99)
_WARM_UP = 20
_COLD_TIMEOUT_S = 120
_HELD = 32  # frames of a source that are kept and repeated: reading is not what is measured

_COLD = """
import sys, time, numpy as np, edge_cns
imported = time.monotonic_ns()
path, backend, threads, begun, trust, signature = sys.argv[1:]
classifier = edge_cns.load(
    path, backend=backend, threads=int(threads), trust=trust or None, signature=signature or None
)
loaded = time.monotonic_ns()
classifier.classify(np.zeros((1080, 1920), np.uint8))
done = time.monotonic_ns()
print([(t - int(begun)) / 1e6 for t in (imported, loaded, done)])
"""


def measure(
    path: Path,
    *,
    frames: int = 500,
    backend: str = "litert",
    threads: int = 1,
    source: str | None = None,
    require_proof: bool = False,
    trust: Path | None = None,
    signature: Mode | None = None,
) -> dict[str, Any]:
    """Measure a bundle on this machine.

    Args:
        path: the bundle.
        frames: how many frames are timed.
        backend: engine by name.
        threads: CPU threads of the engine.
        source: URI of the frames; by default 1080p grey screens with a phantom fan.
        require_proof: refuse a bundle whose quantisation gate did not pass.
        trust, signature: as for `edge_cns.load`.

    Returns:
        JSON-ready: ``stages.NAME`` with ``p50_ms``, ``p90_ms``, ``p99_ms`` and ``mean_ms`` for `STAGES`,
        ``total_over_bare_invoke`` (ratio of medians), ``cold_start_ms``, ``memory``, ``environment``.

    Raises:
        BadInputError: the bundle or the source cannot be used.
    """
    opened = load(path, backend=backend, threads=threads, require_proof=require_proof, trust=trust, signature=signature)
    with opened as classifier:
        held = _frames_of(source) if source else cart_frames()
        bare = open_backend(backend, choose(classifier.bundle, backend).model, threads=threads)
        samples = {name: np.empty(frames) for name in STAGES}
        endless: Iterator[Frame] = cycle(held)
        for i in range(-_WARM_UP, frames):
            frame = next(endless)
            t0 = time.perf_counter_ns()
            bare.invoke()
            t1 = time.perf_counter_ns()
            started = time.monotonic_ns()
            t2 = time.perf_counter_ns()
            classifier.preprocess(frame)
            t3 = time.perf_counter_ns()
            classifier.backend.invoke()
            t4 = time.perf_counter_ns()
            classifier.postprocess(frame, started)
            t5 = time.perf_counter_ns()
            if i >= 0:
                for name, span in zip(STAGES, (t1 - t0, t3 - t2, t4 - t3, t5 - t4, t5 - t2), strict=True):
                    samples[name][i] = span / 1e6
        memory_now = memory()
    stages = {name: _summary(values) for name, values in samples.items()}
    height, width = held[0].pixels.shape[:2]
    return {
        "bundle": path.name,
        "proof": classifier.bundle.proof,
        "frames": frames,
        "frame_size": [width, height],
        "source": source or "phantom on a 1080p screen",
        "backend": backend,
        "threads": threads,
        "stages": stages,
        "total_over_bare_invoke": stages["total"]["p50_ms"] / stages["bare_invoke"]["p50_ms"],
        "cold_start_ms": cold_start(path, backend=backend, threads=threads, trust=trust, signature=signature),
        "memory": memory_now,
        "environment": environment(),
    }


def cold_start(
    path: Path,
    *,
    backend: str = "litert",
    threads: int = 1,
    trust: Path | None = None,
    signature: Mode | None = None,
) -> dict[str, float]:
    """Milliseconds from the start of a fresh process until ``imported``, ``loaded`` (self-tested), ``first_verdict``.

    Raises:
        OperationError: the process failed.
        OperationTimeoutError: it took more than 120 s.
    """
    arguments = [str(path), backend, str(threads), str(time.monotonic_ns()), str(trust or ""), signature or ""]
    command = [sys.executable, "-c", _COLD, *arguments]
    try:
        result = subprocess.run(  # noqa: S603 - ourselves
            command, capture_output=True, text=True, timeout=_COLD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise OperationTimeoutError(
            f"the cold start took more than {_COLD_TIMEOUT_S} s; look at what else runs here"
        ) from None
    if result.returncode != 0:
        raise OperationError(f"the cold start failed ({(result.stderr.strip() or 'no message').splitlines()[-1]})")
    imported, loaded, first = json.loads(result.stdout)
    return {"imported": imported, "loaded": loaded, "first_verdict": first}


def cart_frames() -> list[Frame]:
    """Screens of a cart: 1920x1080 grey, a phantom fan of about 1000x900 px in the middle, text beside it."""
    pictures = [
        render(draw_patient(name, seed=i), "transthalamic", view=i).pixels for i, name in enumerate(CLASSES[:4])
    ]
    return [Frame(cart_screen(picture), sequence=i) for i, picture in enumerate(pictures)]


def _frames_of(uri: str) -> list[Frame]:
    source = open_source(uri)
    try:
        frames = list(islice((d for d in source if isinstance(d, Frame)), _HELD))
    finally:
        source.close()
    if not frames:
        raise BadInputError(f"{uri} delivers no frames; give a clip, a folder of images or a phantom")
    return frames


def _summary(values: NDArray[np.float64] | Sequence[float]) -> dict[str, float]:
    summary = {f"p{p}_ms": float(v) for p, v in zip(_PERCENTILES, np.percentile(values, _PERCENTILES), strict=True)}
    return summary | {"mean_ms": float(np.mean(values))}
