"""``edge-cns run``: classify live frames."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from edge_cns.commands._shared import PATH, require_proof, threads, trusting
from edge_cns.errors import BadInputError

if TYPE_CHECKING:
    from edge_cns.runtime.live.dispatcher import Dispatcher
    from edge_cns.signing.policy import Mode

__all__ = ["command"]


@click.command(name="run")
@click.argument("bundle", type=PATH, metavar="NAME.cns")
@click.option("--source", required=True, metavar="URI", help="Where frames come from, e.g. v4l2:///dev/video0.")
@click.option("--sink", "sinks", multiple=True, metavar="URI", help="Where verdicts go; may be repeated.")
@click.option(
    "--backend", default="auto", show_default=True, metavar="NAME", help="Engine; some need edge-cns convert-to first."
)
@click.option(
    "--allow-fallback", is_flag=True, help="Run on the CPU if the backend cannot be had; every verdict says so."
)
@click.option(
    "--policy",
    type=click.Choice(["latest", "every"]),
    help="When frames come too fast: keep the newest, or make the source wait.  "
    "[default: latest; every for dicom-scp://, whose frames do not come live]",
)
@click.option("--max-fps", type=float, metavar="N", help="Most frames to classify a second.")
@click.option("--hot-celsius", type=float, default=85.0, show_default=True, help="Heat that reduces the rate.")
@click.option("--low-percent", type=float, default=20.0, show_default=True, help="Battery charge that reduces it.")
@click.option("--reduced-fps", type=float, default=10.0, show_default=True, help="Frames a second then.")
@click.option("--record", type=PATH, metavar="DIR", help="Keep frames, outputs and verdicts; for edge-cns replay.")
@click.option("--record-key", type=PATH, metavar="FILE", help="Key that seals the recording.")
@click.option(
    "--record-limit-mb",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help="Size from which the oldest part of the recording is deleted.",
)
@click.option("--allow-plaintext", is_flag=True, help="Record without a key: anybody can look at it.")
@click.option("--forward", metavar="AE@HOST:PORT", help="DICOM reports of accepted findings go there.")
@click.option(
    "--forward-queue",
    type=PATH,
    metavar="DIR",
    help="Where reports wait until they are sent.  [default: edge-cns/forward in the user's state folder]",
)
@click.option("--forward-unreviewed", is_flag=True, help="Reports of every exam that nobody rejected, accepted or not.")
@click.option(
    "--log",
    "log_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Log on standard error: what needs attention as text, or all events as JSON lines.",
)
@threads
@require_proof
@trusting
def command(
    bundle: Path,
    *,
    source: str,
    sinks: tuple[str, ...],
    backend: str,
    allow_fallback: bool,
    policy: str | None,
    max_fps: float | None,
    hot_celsius: float,
    low_percent: float,
    reduced_fps: float,
    record: Path | None,
    record_key: Path | None,
    record_limit_mb: int,
    allow_plaintext: bool,
    forward: str | None,
    forward_queue: Path | None,
    forward_unreviewed: bool,
    log_format: str,
    threads: int,
    require_proof: bool,
    trust: Path | None,
    signature: Mode | None,
) -> None:
    """Classify live frames until the source ends, or SIGTERM or Ctrl-C. Research use only.

    Without a sink, what changes is printed.

    \b
    Examples:
      edge-cns run brain.cns --source 'synthetic://phantom?class=anencephaly'
      edge-cns run brain.cns --source v4l2:///dev/video0 --sink http://127.0.0.1:8080 --sink jsonl:///var/log/brain.jsonl
    """
    signals = _Signals()
    from edge_cns.runtime import log
    from edge_cns.runtime.live.session import SessionSettings, run_session

    if log_format == "json":
        log.configure("json")
    else:
        log.configure("text", quiet=True)
    settings = SessionSettings(
        source=source,
        sinks=(sinks or ("console://",)) + _forward(source, forward, forward_queue, unreviewed=forward_unreviewed),
        backend=backend,
        threads=threads,
        allow_fallback=allow_fallback,
        policy="every" if (policy or _usual_policy(source)) == "every" else "latest",
        max_fps=max_fps,
        hot_celsius=hot_celsius,
        low_percent=low_percent,
        reduced_fps=reduced_fps,
        require_proof=require_proof,
        trust=trust,
        signature=signature,
        record=record,
        record_key=record_key,
        record_limit_mb=record_limit_mb,
        allow_plaintext=allow_plaintext,
    )

    def ready(dispatcher: Dispatcher, addresses: Sequence[str]) -> None:
        signals.stop(dispatcher)
        for address in addresses:
            log.say("serving", address, level=log.NOTICE)

    run_session(bundle, settings, ready)


def _usual_policy(source: str) -> str:
    return "every" if source.startswith("dicom-scp://") else "latest"


def _forward(source: str, to: str | None, queue: Path | None, *, unreviewed: bool) -> tuple[str, ...]:
    """The sink that sends reports, if it is asked for."""
    if to is None:
        if queue is not None or unreviewed:
            raise BadInputError("--forward-queue and --forward-unreviewed say how to send; give --forward AE@HOST:PORT")
        return ()
    if not source.startswith("dicom-scp://"):
        raise BadInputError("--forward sends reports on DICOM studies; give --source dicom-scp://HOST:PORT with it")
    return (f"dicom-scu://{to}?queue={quote(str(queue or _usual_queue()))}&reviewed={int(not unreviewed)}",)


def _usual_queue() -> Path:
    """A folder that outlives the program (XDG Base Directory Specification, state)."""
    try:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "edge-cns"
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise BadInputError(f"there is no folder for reports that wait ({error}); give --forward-queue DIR") from None
    return state / "forward"


class _Signals:
    """SIGTERM, SIGHUP and Ctrl-C are the usual end of a session; asking twice changes nothing.

    Until there is a session, what is being opened is given up, as by Ctrl-C in any other command.
    """

    def __init__(self) -> None:
        self._dispatcher: Dispatcher | None = None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._asked)

    def stop(self, dispatcher: Dispatcher) -> None:
        """From now on it is this session that is stopped."""
        self._dispatcher = dispatcher

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self._dispatcher is None:
            raise KeyboardInterrupt
        self._dispatcher.stop()
