"""What a replay found: counts, the largest differences, and the first places where something differs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import OUTPUTS

__all__ = ["DIFFERENT", "IDENTICAL", "WITHIN_TOLERANCE", "Report", "differing_fields"]

IDENTICAL = "identical"
WITHIN_TOLERANCE = "within tolerance of another engine"
DIFFERENT = "different"

_PLACES = 10  # of differences that are named
_ROUNDING = 1e-6  # of a probability, between processors whose exponential functions differ in their last bit


@dataclass(slots=True, eq=False)
class Report:
    """Gathers comparisons.

    Attributes:
        recorded, here: what identifies bundle and engine, then and now.
        tolerances: int8 steps by which outputs of another engine may differ.
        notes: remarks on the recording and on the comparison, one line each.
    """

    recorded: Mapping[str, Any]
    here: Mapping[str, Any]
    tolerances: Mapping[str, int]
    notes: list[str] = field(default_factory=list)
    kept: int = 0
    not_kept: int = 0
    frames_differing: int = 0
    outputs_differing: Counter[str] = field(default_factory=Counter)
    largest_steps: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTPUTS, 0))
    verdicts: int = 0
    verdicts_differing: int = 0
    fields_differing: Counter[str] = field(default_factory=Counter)
    records: int = 0
    records_differing: int = 0
    records_left_out: int = 0
    wrong: list[dict[str, Any]] = field(default_factory=list)
    expected: list[dict[str, Any]] = field(default_factory=list)
    unexplained: int = 0

    @property
    def same_engine(self) -> bool:
        """Whether engine, version and machine are those of the recording."""
        return bool(self.recorded["engine"] == self.here["engine"])

    @property
    def same_bundle(self) -> bool:
        """Whether model and contract are those of the recording."""
        return all(self.recorded.get(name) == self.here[name] for name in ("model_sha256", "contract_sha256"))

    @property
    def places(self) -> list[dict[str, Any]]:
        """The first differences, those first that another engine does not explain."""
        return (self.wrong + self.expected)[:_PLACES]

    @property
    def result(self) -> str:
        """`IDENTICAL`, `WITHIN_TOLERANCE` or `DIFFERENT`."""
        if not self.frames_differing + self.verdicts_differing + self.records_differing:
            return IDENTICAL
        return DIFFERENT if self.unexplained or not self.same_bundle else WITHIN_TOLERANCE

    def outputs(
        self, where: str, recorded: Mapping[str, NDArray[np.int8]], here: Mapping[str, NDArray[np.int8]], other: bool
    ) -> bool:
        """Compare the outputs of one frame.

        Args:
            where: segment and record, and the frame.
            recorded, here: int8 by name.
            other: whether they come from different engines.

        Returns:
            Whether they are identical.
        """
        self.kept += 1
        differing: dict[str, int] = {}
        for name in OUTPUTS:
            then, now = recorded[name].astype(np.int64), here[name].astype(np.int64)
            steps = int(np.abs(then - now).max()) if then.shape == now.shape else 256  # 256: of another shape
            self.largest_steps[name] = max(self.largest_steps[name], steps)
            if steps:
                differing[name] = steps
                self.outputs_differing[name] += 1
        if differing:
            self.frames_differing += 1
            beyond = not other or any(steps > self.tolerances[name] for name, steps in differing.items())
            self._differs(where, "outputs", differing, explained=not beyond)
        return not differing

    def verdict(self, where: str, recorded: Mapping[str, Any], here: Mapping[str, Any], *, explained: bool) -> None:
        """Compare the verdict on one frame; ``explained`` if its outputs came out otherwise."""
        self.verdicts += 1
        if fields := differing_fields(recorded, here):
            self.verdicts_differing += 1
            self.fields_differing.update(fields)
            explained = explained or (not self.same_engine and not differing_fields(recorded, here, _ROUNDING))
            self._differs(where, "verdict", fields, explained=explained)

    def said(self, where: str, recorded: Sequence[Any], here: Sequence[Any], *, explained: bool) -> None:
        """Compare the records that followed from one observation; ``explained`` if an earlier output was another."""
        self.records += len(recorded)
        if not _close(recorded, here, 0.0):
            pairs = sum(not _close(then, now, 0.0) for then, now in zip(recorded, here, strict=False))
            self.records_differing += pairs + abs(len(recorded) - len(here))
            explained = explained or (not self.same_engine and _close(recorded, here, _ROUNDING))
            self._differs(where, "records", [_first(recorded, here)], explained=explained)

    def to_json(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        frames = {"classified": self.kept + self.not_kept, "not_kept": self.not_kept}
        fields = dict(sorted(self.fields_differing.items()))
        return {
            "result": self.result,
            "recorded": dict(self.recorded),
            "here": dict(self.here),
            "same_engine": self.same_engine,
            "same_bundle": self.same_bundle,
            "frames": frames | _counts(self.kept, self.frames_differing),
            "outputs": {name: self._output(name) for name in OUTPUTS},
            "verdicts": _counts(self.verdicts, self.verdicts_differing) | {"fields": fields},
            "records": _counts(self.records, self.records_differing) | {"left_out": self.records_left_out},
            "first_differences": self.places,
            "notes": self.notes,
        }

    def _output(self, name: str) -> dict[str, int]:
        return {
            "differing": self.outputs_differing[name],
            "largest_steps": self.largest_steps[name],
            "tolerance_steps": self.tolerances[name],
        }

    def _differs(self, where: str, what: str, how: Any, *, explained: bool) -> None:
        self.unexplained += not explained
        places = self.expected if explained else self.wrong
        if len(places) < _PLACES:
            places.append({"where": where, "what": what, "how": how, "expected": explained})


def _counts(compared: int, differing: int) -> dict[str, int]:
    return {"compared": compared, "identical": max(0, compared - differing), "differing": differing}


def differing_fields(then: Mapping[str, Any], now: Mapping[str, Any], slack: float = 0.0) -> list[str]:
    """Names of the fields that differ; numbers by more than ``slack``."""
    names = list(dict.fromkeys((*then, *now)))
    return [name for name in names if not _close(then.get(name), now.get(name), slack)]


def _close(then: Any, now: Any, slack: float) -> bool:
    if isinstance(then, dict) and isinstance(now, dict):
        return then.keys() == now.keys() and all(_close(then[key], now[key], slack) for key in then)
    if isinstance(then, list) and isinstance(now, list):
        return len(then) == len(now) and all(_close(a, b, slack) for a, b in zip(then, now, strict=True))
    if slack and type(then) is float and type(now) is float:
        return math.isclose(then, now, rel_tol=0.0, abs_tol=slack)
    return type(then) is type(now) and bool(then == now)


def _first(recorded: Sequence[Any], here: Sequence[Any]) -> str:
    """Which record differs first, and in what."""
    for then, now in zip(recorded, here, strict=False):
        if _close(then, now, 0.0):
            continue
        alike = [isinstance(r, list) and len(r) == 2 and isinstance(r[1], dict) for r in (then, now)]
        if all(alike) and then[0] == now[0]:
            return f"{str(then[0])[:40]}: {', '.join(differing_fields(then[1], now[1]))[:200]}"
        return "one of another kind"
    return f"{len(recorded)} were recorded, {len(here)} follow here"
