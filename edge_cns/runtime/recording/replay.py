"""A recorded session once more: the same frames through an engine, the same observations through a fresh monitor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns import __version__
from edge_cns.bundle import Bundle, read_bundle
from edge_cns.contract import OUTPUTS
from edge_cns.decision.verdict import State, Verdict
from edge_cns.errors import BadInputError
from edge_cns.frames import MIN_SIDE, EventKind, Frame, Region
from edge_cns.preprocess import prepare, quantise_into
from edge_cns.progress import Progress, silent
from edge_cns.runtime.backends.table import open_backend
from edge_cns.runtime.classifier import Classifier
from edge_cns.runtime.live.monitor import Monitor
from edge_cns.runtime.live.observations import EngineChanged, Machine, Observation, Result
from edge_cns.runtime.recording.codec import KeptResult, decode
from edge_cns.runtime.recording.layout import Kind
from edge_cns.runtime.recording.reader import Recording, Stored
from edge_cns.runtime.recording.recorder import identity
from edge_cns.runtime.recording.report import Report
from edge_cns.runtime.selftest import check_golden, engine_identity
from edge_cns.runtime.target import choose
from edge_cns.signing.policy import Policy

__all__ = ["replay"]


def replay(
    folder: Path,
    *,
    bundle: Path | None = None,
    key: bytes | None = None,
    backend: str | None = None,
    policy: Policy | None = None,
    progress: Progress = silent,
) -> Report:
    """Replay a recording and compare everything with what was recorded.

    Args:
        folder: that `edge-cns run --record` wrote.
        bundle: to replay with; ``None`` looks for the recorded one beside the folder and in the working folder.
        key: with which it was sealed.
        backend: engine; ``None`` takes the recorded one.
        policy: what to do about the bundle's signature; ``None`` does not check it.
        progress: told how far it is, in MB.

    Raises:
        BadInputError, UnsupportedError: the recording is damaged, or cannot be read with this key or bundle.
        TamperedError, InitialisationError: bundle or engine cannot be used here.
    """
    recording = Recording(folder, key)
    recorded = _checked(recording.header)
    chosen = read_bundle(_find(folder, recorded["bundle"]) if bundle is None else bundle, policy)
    here = identity(chosen)
    if bundle is None:
        _require_same(chosen, recorded, here)
    name = str(recorded["engine"].get("name")) if backend is None else backend
    loaded = choose(chosen, name)
    with Classifier(loaded.bundle, open_backend(name, loaded.model)) as classifier:
        check_golden(loaded.bundle, classifier.backend)
        tolerances = {name: int(loaded.bundle.quantisation["golden"]["tolerance_steps"][name]) for name in OUTPUTS}
        report = Report(recorded, here | {"engine": engine_identity(classifier.backend)}, tolerances)
        _Replay(recording, classifier, report, progress).run()
    if not report.verdicts + report.records:
        raise BadInputError(f"{folder} holds nothing to replay: it ends before anything was said")
    return report


class _Replay:
    """One pass over a recording."""

    def __init__(self, recording: Recording, classifier: Classifier, report: Report, progress: Progress) -> None:
        self._recording, self._classifier, self._report = recording, classifier, report
        self._monitor = Monitor(classifier.bundle)
        self._backend = ""
        # Only while everything since the session began was there does the monitor know what the recorded one knew.
        self._whole = recording.first == 1
        self._same = True  # every output so far is the recorded one
        self._progress = progress

    def run(self) -> None:
        """Fill the report."""
        notes = self._report.notes
        if not self._whole:
            notes.append(
                f"it begins in mid-session, with segment {self._recording.first}: "
                "frames and verdicts are compared, what was said of the session is not"
            )
        if not self._recording.encrypted:
            notes.append("it is not encrypted: damage is found, but not what somebody changed on purpose")
        if not self._report.same_bundle:
            notes.append("the bundle is another than the recorded one")
        if (version := self._report.recorded.get("edge_cns")) != __version__:
            notes.append(f"it was recorded with edge-cns {str(version)[:20]}, this is {__version__}")
        for stored in self._read():
            self._take(stored)
        if self._recording.cut_short:
            notes.append(f"the recording is cut short: {self._recording.cut_short}")
        if self._report.not_kept:
            notes.append(f"{self._report.not_kept} frames were not kept: their verdicts follow from recorded outputs")

    def _read(self) -> Iterator[Stored]:
        done, total = 0, max(1, self._recording.size)
        for stored in self._recording:
            yield stored
            done += len(stored.attached)
            self._progress("replay", min(done, total - 1) // 10**6, total // 10**6 + 1, "MB")
        self._progress("replay", total // 10**6 + 1, total // 10**6 + 1, "MB")

    def _take(self, stored: Stored) -> None:
        if stored.kind is Kind.OBSERVATION:
            seen, recorded = decode(stored.value, stored.attached, stored.where)
            if isinstance(seen, KeptResult):
                self._say(stored.where, self._result(stored.where, seen), recorded)
                return
            if isinstance(seen, EngineChanged) and seen.up:
                self._backend = seen.backend
            self._say(stored.where, seen, recorded)
        elif stored.kind is Kind.GAP:
            if self._whole:
                text = f"{stored.where}: {_lost(stored)} observations before it were not kept, and from there on what"
                self._report.notes.append(f"{text} was said of the session is not compared")
            self._whole = False
            self._resume(stored)
        elif stored.kind is Kind.END and stored.value.get("lost") != 0:
            self._report.notes.append(f"{_lost(stored)} observations at its end were not kept")
        elif stored.kind is Kind.HEADER and stored.value.get("header") != self._recording.header:
            raise BadInputError(f"{stored.where}: its header is of another recording; copy the recording again")
        elif stored.kind is Kind.HEADER and not self._backend:
            self._resume(stored)

    def _resume(self, stored: Stored) -> None:
        """Learn how things stood: what was seen before this is not here."""
        stands = stored.value.get("stands")
        mode, backend = (stands.get(name) if isinstance(stands, dict) else None for name in ("mode", "backend"))
        if not isinstance(mode, str) or not isinstance(backend, str):
            raise BadInputError(f"{stored.where}: it does not say how things stood; copy the recording again")
        self._backend = backend
        if mode or self._monitor.unreadable:
            self._monitor.observe(Machine(0, EventKind.MODE, mode))

    def _say(self, where: str, seen: Observation | None, recorded: list[Any]) -> None:
        """What the monitor says to an observation, against what it said then."""
        said = () if seen is None else self._monitor.observe(seen).records
        if self._whole and seen is not None:
            here = [[record.type.value, _as_read(record.value)] for record in said]
            self._report.said(where, recorded, here, explained=not self._same)
        else:
            self._report.records_left_out += len(recorded)

    def _result(self, where: str, kept: KeptResult) -> Result | None:
        """A frame's verdict made anew; ``None`` where it cannot be."""
        report, outputs = self._report, kept.outputs
        where = f"{where}, frame {kept.verdict['sequence']}"
        if kept.frame is None:
            report.not_kept += 1
            if not self._fits(outputs):
                self._whole = False
                report.notes.append(f"{where}: its frame was not kept, and its outputs are of another model")
                return None
            frame, unreadable = self._stand_in(kept)
            region, explained = Region(*kept.verdict["region"]), False
        else:
            frame = kept.frame
            outputs, region, unreadable = self._run(frame)
            other = not report.same_engine or self._backend != report.recorded["engine"].get("name")
            explained = not report.outputs(where, kept.outputs, outputs, other)
            self._same &= not explained
        unreadable = unreadable or self._monitor.unreadable
        verdict = self._classifier.reading.verdict(frame, outputs, 1, unreadable=unreadable)
        verdict = _as_then(verdict, kept.verdict)
        said = _as_read(verdict.to_json() | {"region": [region.x, region.y, region.width, region.height]})
        report.verdict(where, kept.verdict, said, explained=explained)
        return Result(kept.now_ns, kept.arrived_ns, verdict, region, kept.stages_ms, kept.frame)

    def _run(self, frame: Frame) -> tuple[dict[str, NDArray[np.int8]], Region, str]:
        """Outputs of the engine here, the region that was classified, and why it cannot be read, if so."""
        backend = self._classifier.backend
        prepared = prepare(frame, self._classifier.contract.input)
        quantise_into(prepared.image, backend.input())
        backend.invoke()
        return {name: backend.output(name)[0] for name in OUTPUTS}, prepared.region, prepared.unreadable

    def _fits(self, outputs: Mapping[str, NDArray[np.int8]]) -> bool:
        backend = self._classifier.backend
        return all(outputs[name].shape == backend.output(name).shape[1:] for name in OUTPUTS)

    def _stand_in(self, kept: KeptResult) -> tuple[Frame, str]:
        """For a frame that was not kept; what only its pixels can tell is taken from the verdict."""
        then = kept.verdict
        blank = np.zeros((MIN_SIDE, MIN_SIDE), np.uint8)
        frame = Frame(blank, captured_ns=then["captured_ns"], sequence=then["sequence"])
        if then["state"] != State.NOT_SUPPORTED_VIEW.value:
            return frame, ""
        remarks = self._classifier.remarks
        return frame, str(then["reason"]).removesuffix(f", {remarks}" if remarks else "")


def _as_then(verdict: Verdict, then: Mapping[str, Any]) -> Verdict:
    """With the times at which it was said."""
    return replace(verdict, emitted_ns=then["emitted_ns"], latency_ms=then["latency_ms"])


def _as_read(value: Mapping[str, Any]) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value))


def _lost(stored: Stored) -> str:
    return str(stored.value.get("lost"))[:20]


def _checked(header: Mapping[str, Any]) -> Mapping[str, Any]:
    engine, name = header.get("engine"), header.get("bundle")
    if not isinstance(engine, dict) or not isinstance(name, str) or "Infinity" in json.dumps(header):
        raise BadInputError("the recording does not say on which bundle and engine it was made; copy it again")
    return header


def _find(folder: Path, name: str) -> Path:
    """The recorded bundle, by its name: where it was is not recorded."""
    if name == Path(name).name and name.endswith(".cns"):
        for place in (folder.resolve().parent / name, Path(name)):
            if place.is_dir():
                return place
    raise BadInputError(
        f"the recorded bundle {name[:100]!r} lies neither beside {folder} nor in the working folder; "
        "give --bundle NAME.cns"
    )


def _require_same(bundle: Bundle, recorded: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    for what, key in (("model", "model_sha256"), ("contract", "contract_sha256")):
        if recorded.get(key) != here[key]:
            raise BadInputError(
                f"{bundle.path} has another {what} than the recorded bundle of that name "
                f"(sha256 {here[key][:12]}, recorded {str(recorded.get(key))[:12]}); give --bundle NAME.cns"
            )
