"""A live session from its URIs: open everything, test the engine, run, close everything."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from edge_cns.bundle import FOR_CONVERSION, Bundle, read_bundle
from edge_cns.runtime.engine.supervisor import SelfTest, Supervisor
from edge_cns.runtime.live.dispatcher import Dispatcher
from edge_cns.runtime.live.intake import Policy
from edge_cns.runtime.live.limiter import Limiter
from edge_cns.runtime.power import PowerPolicy
from edge_cns.runtime.sinks.base import Record, RecordType, ResultSink, Session
from edge_cns.runtime.sinks.runner import SinkRunner, close_all
from edge_cns.runtime.sinks.table import open_sink
from edge_cns.runtime.sources.table import open_source

__all__ = ["SessionSettings", "run_session", "without_password"]

_FLUSH_SECONDS = 0.7  # for the sinks to finish: SIGTERM promises one second in all


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What is asked of a session.

    Attributes:
        source: URI.
        sinks: URIs.
        backend: name in the table, or ``auto``.
        threads: CPU threads of the engine.
        allow_fallback: take the CPU where the backend cannot be had.
        policy: what happens to frames that come faster than they can be classified.
        max_fps: most frames a second; ``None`` for no limit.
        require_proof: refuse a bundle whose quantisation gate did not pass.
    """

    source: str
    sinks: tuple[str, ...] = ("console://",)
    backend: str = "auto"
    threads: int = 1
    allow_fallback: bool = False
    policy: Policy = "latest"
    max_fps: float | None = None
    require_proof: bool = False


def run_session(path: Path, settings: SessionSettings, ready: Callable[[Dispatcher], None] | None = None) -> None:
    """Run a session to its end.

    Args:
        path: bundle ``NAME.cns``.
        settings: what is asked for.
        ready: given the dispatcher before it runs, so that somebody can stop it.

    Raises:
        BadInputError, UnsupportedError, MissingExtraError, TamperedError: something cannot be opened; nothing has run.
        InitialisationError: the engine cannot be started, or does not reproduce the golden vectors.
        EdgeCnsError, OSError: the source failed for good.
    """
    limiter = Limiter(settings.max_fps)
    bundle = read_bundle(path)
    if settings.require_proof:
        bundle.require_proof()
    # What other targets are converted from is verified like the rest, and then only takes memory.
    bundle = replace(bundle, files={n: content for n, content in bundle.files.items() if n not in FOR_CONVERSION})
    with ExitStack() as open_things:
        # The engine's process loads while this one opens the rest.
        supervisor = Supervisor(
            bundle, settings.backend, threads=settings.threads, allow_fallback=settings.allow_fallback
        )
        open_things.callback(supervisor.close)
        source = open_source(settings.source, live=True)
        open_things.callback(source.close)
        sinks = [(name, open_things.enter_context(_closing(open_sink(uri)))) for name, uri in _named(settings.sinks)]
        tested = supervisor.start()
        uri = without_password(settings.source)
        dispatcher = Dispatcher(
            bundle, supervisor, source, policy=settings.policy, limiter=limiter, power=PowerPolicy(), uri=uri
        )
        runners = [SinkRunner(sink, name, dispatcher.sink_said) for name, sink in sinks]
        open_things.callback(close_all, runners, _FLUSH_SECONDS)
        session = Session(bundle, uri, dispatcher)
        for runner in runners:
            runner.start(session)
            runner.put(Record(RecordType.SELFTEST, _selftest(bundle, tested)))
        if ready is not None:
            ready(dispatcher)
        dispatcher.run(runners)


def without_password(uri: str) -> str:
    """A URI as it may be shown: no user, no password, no query, of a file its name alone."""
    if "://" not in uri:
        return Path(uri).name
    parts = urlsplit(uri)
    if not parts.netloc:
        return f"{parts.scheme}:///{Path(parts.path).name}"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _named(uris: Sequence[str]) -> list[tuple[str, str]]:
    """Sinks by their scheme, and by a number from the second of a scheme on."""
    named: list[tuple[str, str]] = []
    for uri in uris:
        scheme = uri.partition("://")[0]
        before = sum(other.partition("://")[0] == scheme for _, other in named)
        named.append((f"{scheme}-{before + 1}" if before else scheme, uri))
    return named


@contextmanager
def _closing(sink: ResultSink) -> Iterator[ResultSink]:
    try:
        yield sink
    finally:
        sink.close()


def _selftest(bundle: Bundle, tested: SelfTest) -> dict[str, Any]:
    remarks = [] if not tested.fallback else [tested.fallback]
    if not bundle.contract.decision.calibrated:
        remarks.append("uncalibrated")
    if bundle.proof != "passed":
        remarks.append(f"quantisation {bundle.proof}")
    if bundle.contract.intended_use.phantom:
        remarks.append("trained on phantom frames")
    return {
        "bundle": bundle.path.name,
        "model_sha256": hashlib.sha256(bundle.files["model.tflite"]).hexdigest(),
        "proof": bundle.proof,
        "calibrated": bundle.contract.decision.calibrated,
        "backend": tested.backend,
        "engine_version": tested.version,
        "engine_pid": tested.pid,
        "golden": "exact" if tested.exact else "within tolerance",
        "load_ms": tested.load_ms,
        "warm_up_ms": tested.warm_up_ms,
        "classes": list(bundle.contract.class_names),
        "research_use_only": True,
        "remarks": ", ".join(remarks),
        "started_at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
    }
