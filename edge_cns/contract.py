"""The contract: everything a model expects of a frame, and everything its outputs mean.

One frozen dataclass, stored as ``contract.json`` in a bundle. Training, conversion, evaluation and runtime
all read it; none of them keeps a second opinion. ``contract.schema.json`` beside this file is its JSON Schema.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from edge_cns.errors import BadInputError, UnsupportedError
from edge_cns.frames import Region
from edge_cns.strict_json import load_json, parse

__all__ = [
    "INPUT_SCALE",
    "INPUT_ZERO_POINT",
    "OUTPUTS",
    "SCHEMA_VERSION",
    "SIGNATURE",
    "Aggregation",
    "ClassDefinition",
    "ConformalRule",
    "Contract",
    "Decision",
    "ExamRule",
    "InputSpec",
    "IntendedUse",
    "NoveltyRule",
    "Rule",
    "ViewRule",
]

SCHEMA_VERSION = 1
SIGNATURE = "serving_default"
"""TFLite signature through which inputs and outputs are found."""
OUTPUTS = ("logits", "cam", "embedding")
"""Signature names of the outputs: ``(1, K)``, ``(1, h, w, K)`` and ``(1, C)``."""
INPUT_SCALE = 1 / 255
INPUT_ZERO_POINT = -128
"""A pixel p is the int8 value p - 128, which is p / 255 to the graph: exact for all 256 grey levels."""

Rule = Literal["mean_softmax", "majority_vote", "log_odds", "sustained_evidence"]
"""How the frames of a patient may be aggregated."""

_MAX_CLASSES = 256
_HEALTHY = "normal"  # no statement of an exam may say it
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class ClassDefinition:
    """A class by the name that labels use, and what a reader should understand by it."""

    name: str
    definition: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise BadInputError("contract: a class has an empty name; give each class the name its labels use")
        if _CONTROL.search(self.name):
            raise BadInputError(f"contract: class name {self.name!r} has control characters; give it plain text")


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How a frame becomes the input tensor ``(1, height, width, 1)``.

    Attributes:
        height, width: of the tensor, px.
        region: ``auto`` finds the ultrasound image in the frame (a region that the frame itself carries is
            believed first), ``whole`` takes the frame, ``fixed`` takes ``fixed_region``.
        fixed_region: pixels of the source frame; only with ``region="fixed"``.
        letterbox: keep the aspect ratio and pad with black; otherwise stretch.
    """

    height: int
    width: int
    region: Literal["auto", "whole", "fixed"] = "auto"
    fixed_region: Region | None = None
    letterbox: bool = True

    def __post_init__(self) -> None:
        if not (32 <= self.height <= 1024 and 32 <= self.width <= 1024):
            raise BadInputError(f"contract: input is {self.width}x{self.height} px; sides must be 32 to 1024")
        if (self.region == "fixed") != (self.fixed_region is not None):
            raise BadInputError("contract: region 'fixed' and fixed_region go together; give both or neither")


@dataclass(frozen=True, slots=True)
class ConformalRule:
    """Class-conditional conformal sets: which classes a frame can be, at a stated coverage.

    Attributes:
        coverage: share of new patients' frames, in each class, whose set shall hold the true class.
        thresholds: for each class, the probability from which it is in a frame's set.
        pooled: classes with too few calibration patients for a threshold of their own; theirs is that of all
            classes together, and their coverage is promised on average only.
    """

    coverage: float
    thresholds: tuple[float, ...]
    pooled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _share("conformal.coverage", self.coverage)
        _shares("conformal.thresholds", self.thresholds)


@dataclass(frozen=True, slots=True)
class NoveltyRule:
    """From which score on a frame is not a supported view. The arrays behind the score are in ``decision.npz``.

    Attributes:
        threshold: the largest score of a supported view.
        false_alarm: share of supported frames above it that was asked for.
    """

    threshold: float
    false_alarm: float

    def __post_init__(self) -> None:
        _share("novelty.false_alarm", self.false_alarm)


@dataclass(frozen=True, slots=True)
class ViewRule:
    """Planes that can be told from the embedding. The arrays behind it are in ``decision.npz``.

    Attributes:
        names: planes, sorted.
        threshold: probability from which a plane counts as recognised.
    """

    names: tuple[str, ...]
    threshold: float

    def __post_init__(self) -> None:
        _share("views.threshold", self.threshold)
        if len(self.names) < 2 or list(self.names) != sorted(set(self.names)):
            raise BadInputError(f"contract: views.names are {list(self.names)}; give two or more, sorted and distinct")


@dataclass(frozen=True, slots=True)
class Aggregation:
    """How the frames of a patient become one score a class; see `edge_cns.decision.aggregation`.

    Attributes:
        rule: ``mean_softmax``, ``majority_vote``, ``log_odds`` or ``sustained_evidence``.
        frames: of sustained evidence: so many frames must agree.
        window_seconds: of sustained evidence: within so long a time.
        correlation_seconds: frames that follow sooner than this are not new evidence in full.
        correlation: between any two frames of a patient, in [0, 1): what remains however long they are apart.
    """

    rule: Rule = "mean_softmax"
    frames: int = 2
    window_seconds: float = 3.0
    correlation_seconds: float = 1.0
    correlation: float = 0.2

    def __post_init__(self) -> None:
        if not 1 <= self.frames <= 1000:
            raise BadInputError(f"contract: aggregation.frames is {self.frames}; it must be 1 to 1000")
        for name in ("window_seconds", "correlation_seconds"):
            if not 0 < getattr(self, name) <= 3600:
                raise BadInputError(f"contract: aggregation.{name} is {getattr(self, name)}; it must be 0 to 3600")
        if not 0 <= self.correlation < 1:
            raise BadInputError(f"contract: aggregation.correlation is {self.correlation}; it must be 0 to below 1")


@dataclass(frozen=True, slots=True)
class ExamRule:
    """How the frames of an exam become a statement; see `edge_cns.decision.exam`.

    Attributes:
        aggregation: of the frames.
        thresholds: for each class, the aggregated score from which it is stated.
        target_sensitivity: share of each class's calibration patients that the thresholds find.
        negative: the class that means none of the findings, or ``None`` where every class is one.
        required_views: planes that must have been seen before anything can be called absent.
        clear_abstention: largest share of frames that may abstain in an exam in which nothing is found.
        clear_novelty: largest mean novelty of its supported frames, or ``None`` without a novelty score. An anomaly
            that nobody listed may show itself by these two alone.
    """

    aggregation: Aggregation
    thresholds: tuple[float, ...]
    target_sensitivity: float
    negative: str | None = None
    required_views: tuple[str, ...] = ()
    clear_abstention: float = 1.0
    clear_novelty: float | None = None

    def __post_init__(self) -> None:
        _share("exam.target_sensitivity", self.target_sensitivity)
        _shares("exam.thresholds", self.thresholds)
        _shares("exam.clear_abstention", (self.clear_abstention,))


@dataclass(frozen=True, slots=True)
class Decision:
    """How scores become a statement. Without calibration the temperature is 1 and nothing abstains.

    Attributes:
        calibrated: whether all this was fitted on calibration patients.
        temperature: divisor of the logits before softmax (Guo et al. 2017).
        model_sha256: hex digest of the ``model.tflite`` whose outputs it was fitted on; empty if not calibrated.
        conformal, novelty, views, exam: what may make a verdict abstain; ``None`` where it was not fitted.
    """

    calibrated: bool = False
    temperature: float = 1.0
    model_sha256: str = ""
    conformal: ConformalRule | None = None
    novelty: NoveltyRule | None = None
    views: ViewRule | None = None
    exam: ExamRule | None = None

    def __post_init__(self) -> None:
        if not 0.01 <= self.temperature <= 100:
            raise BadInputError(f"contract: temperature is {self.temperature}; it must be 0.01 to 100")
        rules = (self.conformal, self.novelty, self.views, self.exam)
        if not self.calibrated and (self.model_sha256 or any(rule is not None for rule in rules)):
            raise BadInputError("contract: a decision that is not calibrated has rules; use edge-cns calibrate")
        if self.calibrated and not _DIGEST.fullmatch(self.model_sha256):
            raise BadInputError("contract: a calibrated decision names no model_sha256; use edge-cns calibrate")


@dataclass(frozen=True, slots=True)
class IntendedUse:
    """What the model was made for. Outside it, nothing is claimed.

    Attributes:
        statement: one sentence that is shown to people.
        planes: standard planes in the training data; empty when they were not recorded.
        gestational_age_weeks: lowest and highest in the training data, or ``None``.
        modes: imaging modes, as DICOM names them (``B`` is two-dimensional grey scale).
        mm_per_pixel: smallest and largest pixel spacing in the training data in mm, or ``None``.
        phantom: the training data contain simulated frames, so no figure is a clinical one.
    """

    statement: str
    planes: tuple[str, ...] = ()
    gestational_age_weeks: tuple[float, float] | None = None
    modes: tuple[str, ...] = ("B",)
    mm_per_pixel: tuple[float, float] | None = None
    phantom: bool = False

    def __post_init__(self) -> None:
        for name in ("gestational_age_weeks", "mm_per_pixel"):
            span = getattr(self, name)
            if span is not None and not 0 < span[0] <= span[1] < math.inf:
                raise BadInputError(f"contract: {name} is {span}; give the lowest and the highest, above 0")


@dataclass(frozen=True, slots=True)
class Contract:
    """All that a program needs to know to feed a model and to read it.

    Raises:
        BadInputError: a value out of range, classes unsorted or doubled; the text names the field.
    """

    classes: tuple[ClassDefinition, ...]
    input: InputSpec
    intended_use: IntendedUse
    decision: Decision = Decision()
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.schema_version != SCHEMA_VERSION:
            raise UnsupportedError(
                f"contract schema_version is {self.schema_version}, this program reads {SCHEMA_VERSION}; "
                "use the edge-cns that wrote it"
            )
        names = self.class_names
        if not 2 <= len(names) <= _MAX_CLASSES:
            raise BadInputError(f"contract: {len(names)} classes; a classifier has 2 to {_MAX_CLASSES}")
        if list(names) != sorted(set(names)):
            raise BadInputError("contract: class names must be sorted and distinct, so that order is never chance")
        self._check_decision(names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in the order of the model's outputs: always sorted."""
        return tuple(c.name for c in self.classes)

    def _check_decision(self, names: tuple[str, ...]) -> None:
        conformal, exam = self.decision.conformal, self.decision.exam
        for rule, where in ((conformal, "conformal"), (exam, "exam")):
            if rule is not None and len(rule.thresholds) != len(names):
                raise BadInputError(
                    f"contract: {where} has {len(rule.thresholds)} thresholds for {len(names)} classes; calibrate again"
                )
        named = (() if conformal is None else conformal.pooled) + ((exam.negative,) if exam and exam.negative else ())
        if unknown := sorted(set(named) - set(names)):
            raise BadInputError(f"contract: decision names the class {unknown[0]!r}, which is not listed")
        healthy = [name for name in names if name.casefold() == _HEALTHY]
        if exam is not None and any(name != exam.negative for name in healthy):
            raise BadInputError(
                f"contract: class {healthy[0]!r} is not exam.negative, and no statement may call a fetus that; "
                f"calibrate again with --negative {healthy[0]}"
            )

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready mapping; ``from_json`` is its inverse."""
        value: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return value

    @classmethod
    def from_json(cls, value: Any) -> Contract:
        """Build from parsed JSON, strictly: unknown, missing or wrongly typed fields are refused."""
        return parse(cls, value, "contract")

    @classmethod
    def from_bytes(cls, content: bytes) -> Contract:
        """Parse ``contract.json``."""
        return cls.from_json(load_json(content, "contract.json"))


def _share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise BadInputError(f"contract: {name} is {value}; it must be between 0 and 1")


def _shares(name: str, values: tuple[float, ...]) -> None:
    if not all(0 <= value <= 1 for value in values):
        raise BadInputError(f"contract: {name} are {list(values)}; each must be 0 to 1")
