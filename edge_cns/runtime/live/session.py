"""A live session from its URIs: open everything, test the engine, run, close everything."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_cns.bundle import FOR_CONVERSION, Bundle, read_bundle
from edge_cns.errors import BadInputError
from edge_cns.frames import FrameSource
from edge_cns.runtime import log
from edge_cns.runtime.engine.supervisor import SelfTest, Supervisor
from edge_cns.runtime.live.dispatcher import Dispatcher
from edge_cns.runtime.live.intake import Policy
from edge_cns.runtime.live.limiter import LEAST_FPS, Limiter
from edge_cns.runtime.power import PowerPolicy
from edge_cns.runtime.reading import standing_remarks
from edge_cns.runtime.recording.key import key_to_record
from edge_cns.runtime.recording.recorder import Recorder
from edge_cns.runtime.selftest import engine_identity
from edge_cns.runtime.sinks.base import Record, RecordType, ResultSink, Session
from edge_cns.runtime.sinks.runner import SinkRunner, close_all
from edge_cns.runtime.sinks.table import open_sink
from edge_cns.runtime.sources.table import open_source
from edge_cns.runtime.uri import public_uri
from edge_cns.signing.policy import Mode, choose_policy

__all__ = ["SessionSettings", "run_session"]

_FLUSH_SECONDS = 0.6  # for sinks and recording to finish, where that is left of the time to stop


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
        hot_celsius, low_percent: heat and battery charge at which the rate is reduced.
        reduced_fps: frames a second then.
        require_proof: refuse a bundle whose quantisation gate did not pass.
        trust: folder of trusted public keys and root certificates; ``None`` takes that of the environment, if any.
        signature: what a missing or a bad signature means; ``None`` requires one where there is a trust folder.
        record: new folder in which the session is kept; ``None`` keeps nothing.
        record_key: file with the key that seals it.
        record_limit_mb: size, in 10^6 bytes, from which its oldest segments are deleted.
        allow_plaintext: keep it unencrypted.
    """

    source: str
    sinks: tuple[str, ...] = ("console://",)
    backend: str = "auto"
    threads: int = 1
    allow_fallback: bool = False
    policy: Policy = "latest"
    max_fps: float | None = None
    hot_celsius: float = 85.0
    low_percent: float = 20.0
    reduced_fps: float = 10.0
    require_proof: bool = False
    trust: Path | None = None
    signature: Mode | None = None
    record: Path | None = None
    record_key: Path | None = None
    record_limit_mb: int = 2000
    allow_plaintext: bool = False


def run_session(
    path: Path, settings: SessionSettings, ready: Callable[[Dispatcher, Sequence[str]], None] | None = None
) -> None:
    """Run a session to its end.

    Args:
        path: bundle ``NAME.cns``.
        settings: what is asked for.
        ready: given the dispatcher before it runs, so that somebody can stop it, and the URLs of what is served.

    Raises:
        BadInputError, UnsupportedError, MissingExtraError, TamperedError: something cannot be opened; nothing has run.
        InitialisationError: the engine cannot be started, or does not reproduce the golden vectors.
        EdgeCnsError, OSError: the source failed for good.
    """
    limiter, power = Limiter(settings.max_fps), _power(settings)
    bundle = read_bundle(path, choose_policy(settings.trust, settings.signature))
    if settings.require_proof:
        bundle.require_proof()
    if bundle.signature.remark:
        log.say("signature_not_verified", f"{path.name} is {bundle.signature.text}", level=logging.WARNING)
    # What other targets are converted from is verified like the rest, and then only takes memory.
    bundle = replace(bundle, files={n: content for n, content in bundle.files.items() if n not in FOR_CONVERSION})
    uri = public_uri(settings.source)
    key = _record_key(settings)
    with ExitStack() as open_things:
        # The engine's process loads while this one opens the rest.
        supervisor = Supervisor(
            bundle, settings.backend, threads=settings.threads, allow_fallback=settings.allow_fallback
        )
        open_things.callback(supervisor.close)
        source = open_source(settings.source, live=True)
        open_things.callback(source.close)
        sinks = [(name, open_things.enter_context(_closing(sink))) for name, sink in _sinks(settings, source)]
        recorder = None
        if settings.record is not None:
            recorder = open_things.enter_context(_recorder(settings.record, bundle, settings, key, uri))
        tested = supervisor.start()
        dispatcher = Dispatcher(
            bundle,
            supervisor,
            source,
            policy=settings.policy,
            limiter=limiter,
            power=power,
            journal=recorder,
            uri=uri,
        )
        runners = [SinkRunner(sink, name, dispatcher.sink_said) for name, sink in sinks]
        if recorder is not None:
            recorder.start(engine_identity(supervisor.engine), dispatcher.recording_said)
        open_things.callback(_flush, dispatcher, runners, recorder)
        session = Session(bundle, uri, dispatcher)
        for runner in runners:
            runner.start(session)
            runner.put(Record(RecordType.SELFTEST, _selftest(bundle, tested)))
        if ready is not None:
            ready(dispatcher, [runner.address for runner in runners if runner.address])
        dispatcher.run(runners)


def _power(settings: SessionSettings) -> PowerPolicy:
    if not settings.reduced_fps >= LEAST_FPS:
        raise BadInputError(f"--reduced-fps is {settings.reduced_fps:g}; give {LEAST_FPS:g} or more, as for --max-fps")
    if not (0 < settings.hot_celsius < 200 and 0 <= settings.low_percent <= 100):
        raise BadInputError(
            f"--hot-celsius is {settings.hot_celsius:g} and --low-percent {settings.low_percent:g}; "
            "give more than 0 and less than 200 degrees, and 0 to 100 percent"
        )
    return PowerPolicy(settings.reduced_fps, settings.hot_celsius, settings.low_percent)


def _record_key(settings: SessionSettings) -> bytes | None:
    """The key of the recording; ``None`` where nothing is recorded, or nothing is to be sealed."""
    if settings.record is not None:
        return key_to_record(settings.record_key, allow_plaintext=settings.allow_plaintext)
    if settings.record_key is not None or settings.allow_plaintext:
        raise BadInputError("--record-key and --allow-plaintext say how to record; give --record DIR with them")
    return None


@contextmanager
def _recorder(
    folder: Path, bundle: Bundle, settings: SessionSettings, key: bytes | None, uri: str
) -> Iterator[Recorder]:
    """A recorder; what it made is gone again where it never came to record anything."""
    options = {
        "source": uri,
        "policy": settings.policy,
        "max_fps": settings.max_fps,
        "threads": settings.threads,
        "backend": settings.backend,
    }
    there = folder.exists()
    recorder = Recorder(folder, bundle, key=key, limit_bytes=settings.record_limit_mb * 10**6, options=options)
    try:
        yield recorder
    finally:
        if not there and not recorder.started:
            with suppress(OSError):
                folder.rmdir()


def _flush(dispatcher: Dispatcher, runners: Sequence[SinkRunner], recorder: Recorder | None) -> None:
    """Let the sinks and the recording finish side by side."""
    if recorder is not None:
        recorder.end(dispatcher.seconds_left(_FLUSH_SECONDS))
    close_all(runners, dispatcher.seconds_left(_FLUSH_SECONDS))
    if recorder is not None:
        recorder.close(dispatcher.seconds_left(_FLUSH_SECONDS))


def _sinks(settings: SessionSettings, source: FrameSource) -> Iterator[tuple[str, ResultSink]]:
    """The sinks that were asked for, and the one that answers the source; asked for, it is not opened twice."""
    reply: ResultSink | None = getattr(source, "reply", None)
    uris = [uri for uri in settings.sinks if reply is None or uri != settings.source]
    for name, uri in _named(uris):
        yield name, open_sink(uri)
    if reply is not None:
        yield "reply", reply


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
    return {
        "bundle": bundle.path.name,
        "model_sha256": hashlib.sha256(bundle.files["model.tflite"]).hexdigest(),
        "proof": bundle.proof,
        "calibrated": bundle.contract.decision.calibrated,
        "signature": bundle.signature.text,
        "backend": tested.backend,
        "engine_version": tested.version,
        "engine_pid": tested.pid,
        "golden": "exact" if tested.exact else "within tolerance",
        "load_ms": tested.load_ms,
        "warm_up_ms": tested.warm_up_ms,
        "classes": list(bundle.contract.class_names),
        "research_use_only": True,
        "remarks": ", ".join(filter(None, (tested.fallback, standing_remarks(bundle)))),
        "started_at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
    }
