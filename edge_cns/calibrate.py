"""Calibration: everything that lets a bundle's verdicts abstain, fitted on its patients, written into its contract.

Novelty and views are fitted on *fit* patients. Temperature, conformal sets, thresholds and the exam rule are fitted on
*calibrate* patients, and on patients whom neither training nor conversion has met. *Stop* and *gate* patients have
already chosen something by how well they were read, so they say nothing about probabilities. But no weight and no
direction was learned from them, and no label of theirs is looked at here: they join the others for the novelty limit
alone, which few patients would leave to chance. Rows of ``split`` = ``test`` are kept for judging and never used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.atomic import json_bytes
from edge_cns.bundle import CALIBRATION, DECISION, Bundle, read_bundle, update_bundle, write_arrays
from edge_cns.contract import ConformalRule, Contract, Decision, ExamRule, NoveltyRule, ViewRule
from edge_cns.data.images import read_image
from edge_cns.data.manifest import Manifest, Row
from edge_cns.data.splits import set_of
from edge_cns.decision.calibration import fit_temperature, patient_shares
from edge_cns.decision.conformal import fit_conformal, prediction_set
from edge_cns.decision.drift import fit_reference
from edge_cns.decision.exam_rule import fit_exam_rule
from edge_cns.decision.novelty import fit_novelty, fit_threshold, leading
from edge_cns.decision.quantile import fewest_patients
from edge_cns.decision.verdict import softmax
from edge_cns.decision.views import fit_view_threshold, fit_views
from edge_cns.errors import BadInputError
from edge_cns.preprocess import image, quantise_into
from edge_cns.progress import Progress, silent
from edge_cns.runtime.backends.table import open_backend
from edge_cns.runtime.classifier import Classifier
from edge_cns.runtime.rows import Outputs, classify_rows
from edge_cns.training.augment import Augmentation, augment

__all__ = ["CalibrationSettings", "calibrate"]

_VARIANTS = 3  # of each fit frame
_VIEW_DIRECTIONS = 64  # in which planes are told apart, whatever the classes
_OTHER_SCANNERS = Augmentation(
    aspect=1.5,
    zoom=(0.65, 1.3),
    rotation_degrees=20.0,
    shift=0.1,
    gamma=1.7,
    contrast=1.5,
    brightness=0.1,
)  # wider than a training's: the network need not read these, it must only not call them strange
_NEGATIVE = "normal"  # the class that means none of the findings, unless somebody says otherwise


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """What is asked of a calibration.

    Attributes:
        target_sensitivity: share of each class's calibration patients that the exam's thresholds find.
        false_alarm: share of supported frames that may be called no supported view.
        coverage: share of frames whose conformal set shall hold the true class.
        negative: the class that means none of the findings; ``None`` takes ``normal`` where the contract has it.
        required_views: planes an exam must show; ``None`` takes all that can be told, where there is a negative class.
    """

    target_sensitivity: float = 0.95
    false_alarm: float = 0.05
    coverage: float = 0.90
    negative: str | None = None
    required_views: tuple[str, ...] | None = None


def calibrate(
    path: Path,
    manifest: Manifest,
    settings: CalibrationSettings | None = None,
    *,
    card: Callable[[Contract], str] | None = None,
    threads: int = 1,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Fit the decision of a bundle and write it into the bundle; an earlier one is replaced, signatures are dropped.

    Args:
        path: ``NAME.cns``.
        manifest: labelled frames; the bundle knows which patients were in which set.
        settings: what is asked for.
        card: writes ``model_card.md`` anew for the calibrated contract; left out, the old card stays.
        threads: CPU threads the engine may use.
        progress: told as work goes on.

    Returns:
        The record that was written as ``calibration.json``.

    Raises:
        BadInputError: labels of another model, a class without a calibration patient, an unknown class or view.
        TamperedError, UnsupportedError: the bundle cannot be used.
    """
    asked = settings or CalibrationSettings()
    bundle = read_bundle(path)
    groups = _groups(bundle, manifest)
    _check(bundle, manifest, groups, asked)
    plain = replace(bundle, contract=replace(bundle.contract, decision=Decision()))
    engine: Any = open_backend("litert", bundle.files["model.tflite"], threads=threads)
    with Classifier(plain, engine) as classifier:
        held = classify_rows(classifier, groups.calibrate, "classifying calibration frames", progress)
        fit = classify_rows(classifier, groups.fit, "classifying fit frames", progress) if groups.fit else None
        chose = None
        if fit is not None and groups.chose:
            chose = classify_rows(classifier, groups.chose, "classifying stop and gate frames", progress)
        varied = np.empty((0, 0), np.float32) if fit is None else _varied(classifier, fit, progress)
    decision, arrays, record = _Fitting(bundle, asked, groups.unknown, held, fit, chose, varied).run()
    contract = replace(bundle.contract, decision=decision)
    record |= {"settings": asdict(asked), "labels_sha256": manifest.sha256}
    files = {"contract.json": json_bytes(contract.to_json()), CALIBRATION: json_bytes(record)}
    if arrays:
        files[DECISION] = write_arrays(arrays)
    if card is not None:
        files["model_card.md"] = card(contract).encode()
    update_bundle(path, files, drop=(DECISION,))
    return record


@dataclass(frozen=True, slots=True)
class _Groups:
    """Rows by what they may be used for, and the patients among them whom the bundle does not know."""

    fit: tuple[Row, ...]
    calibrate: tuple[Row, ...]
    chose: tuple[Row, ...]  # stop and gate
    unknown: frozenset[str]


def _groups(bundle: Bundle, manifest: Manifest) -> _Groups:
    patients = bundle.patients
    sets = {p: set_of(patients["salt"], p, patients["sets"]) for p in manifest.patients}
    rows = [row for row in manifest.rows if row.split != "test"]
    unknown = frozenset(row.patient_id for row in rows if sets[row.patient_id] is None)
    return _Groups(
        fit=tuple(row for row in rows if sets[row.patient_id] == "fit"),
        calibrate=tuple(row for row in rows if sets[row.patient_id] == "calibrate" or row.patient_id in unknown),
        chose=tuple(row for row in rows if sets[row.patient_id] in ("stop", "gate")),
        unknown=unknown,
    )


def _check(bundle: Bundle, manifest: Manifest, groups: _Groups, asked: CalibrationSettings) -> None:
    """Refuse what cannot be calibrated before any frame is read."""
    names = bundle.contract.class_names
    if asked.negative is not None and asked.negative not in names:
        raise BadInputError(f"--negative {asked.negative!r} is not a class of {bundle.path} ({', '.join(names)})")
    manifest.require_labels(names)
    present = {row.label for row in groups.calibrate if row.evidence is not False}
    if missing := [name for name in names if name not in present]:
        raise BadInputError(
            f"{manifest.path} has no calibration patient of class {missing[0]!r}; give the labels.csv of the training, "
            "or rows of new patients of that class"
        )


def _varied(classifier: Classifier, fit: Outputs, progress: Progress) -> NDArray[np.float32]:
    """``(N * _VARIANTS, C)``: embeddings of *fit* frames as other scanners and operators would have shown them."""
    embeddings = []
    for i, row in enumerate(fit.rows):
        picture = image(read_image(row.path), classifier.contract.input)
        for number in range(_VARIANTS):
            random = np.random.default_rng([i, number])
            quantise_into(augment(picture, _OTHER_SCANNERS, random), classifier.backend.input())
            classifier.backend.invoke()
            embeddings.append(classifier.output("embedding"))
        progress("classifying variants of fit frames", i + 1, len(fit.rows))
    return np.stack(embeddings)


class _Fitting:
    """One calibration: every rule from the frames that may teach it."""

    def __init__(
        self,
        bundle: Bundle,
        asked: CalibrationSettings,
        unknown: frozenset[str],
        held: Outputs,
        fit: Outputs | None,
        chose: Outputs | None,
        varied: NDArray[np.float32],
    ) -> None:
        self._bundle, self._asked, self._unknown = bundle, asked, unknown
        self._held, self._fit, self._chose, self._varied = held, fit, chose, varied
        self._names = bundle.contract.class_names
        self._negative = asked.negative or (_NEGATIVE if _NEGATIVE in self._names else None)
        self._warnings: list[str] = []
        self._arrays: dict[str, NDArray[Any]] = {}
        self._labels = held.labels(self._names)
        # A frame that does not show its label's sign cannot teach what the sign's probability means.
        self._evident = np.array([row.evidence is not False for row in held.rows])

    def run(self) -> tuple[Decision, dict[str, NDArray[Any]], dict[str, Any]]:
        """The decision, the arrays behind it, and the record of what was fitted on whom."""
        temperature = self._temperature()
        probabilities = softmax(self._held.logits, Decision(temperature=temperature))
        conformal = self._conformal(probabilities)
        novelty, scores = self._novelty()
        views = self._views()
        exam, rules = self._exam(probabilities, conformal, novelty, scores, views)
        decision = Decision(
            calibrated=True,
            temperature=temperature,
            model_sha256=hashlib.sha256(self._bundle.files["model.tflite"]).hexdigest(),
            conformal=conformal,
            novelty=novelty,
            views=views,
            exam=exam,
        )
        record = self._whom() | {
            "temperature": temperature,
            "rule": exam.aggregation.rule,
            "rules": rules,
            "drift": self._drift_reference(probabilities, novelty, scores),
            "warnings": self._warnings,
        }
        return decision, self._arrays, record

    def _drift_reference(
        self, probabilities: NDArray[np.float64], novelty: NoveltyRule | None, scores: NDArray[np.float64] | None
    ) -> dict[str, Any] | None:
        """What supported frames of calibration patients look like, for the device to compare its own with."""
        if novelty is None or scores is None:
            return None
        kept = scores <= novelty.threshold
        patients = [p for p, shown in zip(self._held.patients, kept, strict=True) if shown]
        return fit_reference(scores[kept], probabilities[kept].max(axis=1), patient_shares(patients)).to_json()

    def _whom(self) -> dict[str, Any]:
        groups = {"fit": self._fit.rows if self._fit else (), "calibrate": self._held.rows}
        groups["novelty_limit"] = self._limit_rows()
        groups["unknown"] = tuple(row for row in self._held.rows if row.patient_id in self._unknown)
        return {
            "patients": {name: len({row.patient_id for row in rows}) for name, rows in groups.items()},
            "frames": {name: len(rows) for name, rows in groups.items()},
            "unreadable": [line for part in (self._held, self._fit, self._chose) if part for line in part.unreadable],
        }

    def _limit_rows(self) -> tuple[Row, ...]:
        """Of whom the novelty limit is set: nobody without *fit* patients, else all who taught no direction."""
        if self._fit is None:
            return ()
        return self._held.rows + (self._chose.rows if self._chose else ())

    def _temperature(self) -> float:
        patients = self._evident_patients()
        return fit_temperature(
            self._held.logits[self._evident],
            self._labels[self._evident],
            weights=patient_shares(patients),
            trials=len(set(patients)),
        )

    def _evident_patients(self) -> list[str]:
        return [p for p, shown in zip(self._held.patients, self._evident, strict=True) if shown]

    def _conformal(self, probabilities: NDArray[np.float64]) -> ConformalRule:
        rule = fit_conformal(
            probabilities[self._evident],
            self._labels[self._evident],
            self._evident_patients(),
            self._names,
            self._asked.coverage,
        )
        if rule.pooled:
            self._warnings.append(
                f"fewer than {fewest_patients(rule.coverage)} calibration patients of {', '.join(rule.pooled)}: "
                "their conformal threshold is that of all classes together"
            )
        return rule

    def _known(self, fit: Outputs) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Embeddings of *fit* patients and their weights, half for the frames and half for variants of them."""
        shares = patient_shares(fit.patients)
        weights = np.concatenate([shares, np.repeat(shares / _VARIANTS, _VARIANTS)])
        return np.concatenate([fit.embeddings, self._varied]), weights

    def _novelty(self) -> tuple[NoveltyRule | None, NDArray[np.float64] | None]:
        """The limit of a supported view, and the scores of the calibration frames."""
        if self._fit is None:
            self._warnings.append("no rows of fit patients: novelty and views were not fitted; give their labels too")
            return None, None
        embeddings, weights = self._known(self._fit)
        labels = self._fit.labels(self._names)
        model = fit_novelty(embeddings, np.concatenate([labels, np.repeat(labels, _VARIANTS)]), weights)
        self._arrays |= model.to_arrays()
        scores = model.score(self._held.embeddings)
        others = model.score(self._chose.embeddings) if self._chose else np.empty(0)
        patients = [row.patient_id for row in self._limit_rows()]
        threshold, enough = fit_threshold(np.concatenate([scores, others]), patients, self._asked.false_alarm)
        if not enough:
            needed = fewest_patients(1 - self._asked.false_alarm)
            self._warnings.append(f"fewer than {needed} patients for the novelty limit: it is the largest score seen")
        return NoveltyRule(threshold, self._asked.false_alarm), scores

    def _views(self) -> ViewRule | None:
        """Planes that can be told, where the labels name them."""
        if self._fit is None or not any(row.plane for row in self._fit.rows):
            return None
        directions = leading(*self._known(self._fit), _VIEW_DIRECTIONS)
        planes = [row.plane for row in self._fit.rows]
        found = fit_views(directions, self._fit.embeddings, planes, patient_shares(self._fit.patients))
        if found is None:
            return None
        head, names = found
        known = np.array([row.plane in names for row in self._held.rows])
        if not known.any():
            self._warnings.append("no calibration row has a plane: views are not told apart")
            return None
        truth = np.array([names.index(row.plane) for row in self._held.rows if row.plane in names])
        self._arrays |= head.to_arrays()
        shares = head.probabilities(self._held.embeddings[known])
        rule = ViewRule(names, fit_view_threshold(shares, truth))
        recognised = (shares.argmax(axis=1) == truth) & (shares.max(axis=1) >= rule.threshold)
        seldom = [name for v, name in enumerate(names) if (truth == v).any() and recognised[truth == v].mean() < 0.5]
        if seldom:
            self._warnings.append(
                f"{', '.join(seldom)}: recognised on fewer than half of their calibration frames; an exam that "
                "requires them will seldom be complete (--require-view names others)"
            )
        return rule

    def _exam(
        self,
        probabilities: NDArray[np.float64],
        conformal: ConformalRule,
        novelty: NoveltyRule | None,
        scores: NDArray[np.float64] | None,
        views: ViewRule | None,
    ) -> tuple[ExamRule, dict[str, float]]:
        """The exam's rule, from whole exams: frames that do not show the sign are part of them, as at the bedside."""
        keys = [(row.patient_id, row.exam_id, row.label) for row in self._held.rows]
        exams = {key: m for m, key in enumerate(dict.fromkeys(keys))}
        supported = np.ones(len(keys), bool)
        if novelty is not None and scores is not None:
            supported = scores <= novelty.threshold
        rule, rules = fit_exam_rule(
            probabilities,
            np.array([exams[key] for key in keys], np.int64),
            np.array([self._names.index(label) for *_, label in exams], np.int64),
            self._names,
            supported=supported,
            single=prediction_set(probabilities, conformal).sum(axis=1) == 1,
            novelty=scores,
            target_sensitivity=self._asked.target_sensitivity,
            negative=self._negative,
            required_views=self._required(views),
            seconds=self._held.seconds,
        )
        return rule, {str(name): accuracy for name, accuracy in rules.items()}

    def _required(self, views: ViewRule | None) -> tuple[str, ...]:
        """The checklist: what was asked for, else every plane that can be told where something can be excluded."""
        known = () if views is None else views.names
        asked = self._asked.required_views
        if asked is None:
            return known if self._negative is not None else ()
        if unknown := sorted(set(asked) - set(known) - set(self._names)):
            raise BadInputError(
                f"--require-view {unknown[0]!r} is no plane that {self._bundle.path} can tell "
                f"({', '.join(known) or 'none: the labels have no plane column'})"
            )
        return asked
