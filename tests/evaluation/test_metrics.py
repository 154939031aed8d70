from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    auc,
    average_precision_score,
    balanced_accuracy_score,
    confusion_matrix,
    precision_score,
    recall_score,
    roc_auc_score,
)

from edge_cns.contract import Aggregation
from edge_cns.decision.aggregation import RULES
from edge_cns.errors import BadInputError
from edge_cns.evaluation.intervals import wilson
from edge_cns.evaluation.metrics import SCHEMA_VERSION, evaluate, headline, probability_figures
from edge_cns.evaluation.predictions import CaseDecisions


def test_every_frame_figure_agrees_with_scikit_learn(make_predictions) -> None:
    predictions = make_predictions(several_labels=True)
    frame = evaluate(predictions, resamples=50)["frame"]
    truth, said, scores = predictions.labels, predictions.predicted, predictions.probabilities
    assert 0.5 < frame["accuracy"] < 0.95  # the example is neither trivial nor hopeless
    assert frame["accuracy"] == pytest.approx(accuracy_score(truth, said))
    assert frame["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, said))
    assert frame["auroc_macro"] == pytest.approx(roc_auc_score(truth, scores, multi_class="ovr", average="macro"))
    assert frame["auroc_micro"] == pytest.approx(roc_auc_score(np.eye(3)[truth], scores, average="micro"))
    macro = average_precision_score(np.eye(3)[truth], scores, average="macro")
    assert frame["average_precision_macro"] == pytest.approx(macro)
    assert frame["confusion"] == confusion_matrix(truth, said, labels=range(3)).tolist()
    for c, name in enumerate(predictions.classes):
        entry = frame["per_class"][name]
        assert entry["n"] == (truth == c).sum()
        assert entry["n_predicted"] == (said == c).sum()
        assert entry["sensitivity"]["value"] == pytest.approx(recall_score(truth == c, said == c))
        assert entry["specificity"]["value"] == pytest.approx(recall_score(truth == c, said == c, pos_label=0))
        assert entry["ppv"]["value"] == pytest.approx(precision_score(truth == c, said == c))
        assert entry["npv"]["value"] == pytest.approx(precision_score(truth != c, said != c))
        assert entry["ppv"]["n"] == entry["n_predicted"] == len(truth) - entry["npv"]["n"]
        assert entry["auroc"]["value"] == pytest.approx(roc_auc_score(truth == c, scores[:, c]))
        assert entry["average_precision"]["value"] == pytest.approx(average_precision_score(truth == c, scores[:, c]))
        assert entry["average_precision"]["chance"] == pytest.approx((truth == c).mean())
        hits = int(((truth == c) & (said == c)).sum())
        assert entry["sensitivity"]["wilson"] == list(wilson(hits, entry["n"]))


def test_patient_figures_count_cases_by_every_rule(make_predictions) -> None:
    predictions = replace(make_predictions(several_labels=True, frames=6), negative="head")
    cases = predictions.cases()
    patient = evaluate(predictions, resamples=50)["patient"]
    assert patient["unit"] == "cases (patient_id, label)"
    assert patient["n"] == len(cases.labels) == 120
    assert list(patient["rules"]) == list(RULES)
    for rule, found in patient["rules"].items():
        scores = predictions.case_scores(Aggregation(rule=rule))
        assert found["accuracy"] == pytest.approx(accuracy_score(cases.labels, scores.argmax(axis=1)))
        assert found["auroc_macro"] == pytest.approx(roc_auc_score(cases.labels, scores, multi_class="ovr"))
        assert found["confusion"] == confusion_matrix(cases.labels, scores.argmax(axis=1)).tolist()
    assert patient["aggregation"] == "mean softmax"
    for key in ("accuracy", "accuracy_interval", "auroc_macro", "confusion"):
        assert patient[key] == patient["rules"]["mean_softmax"][key]
    assert patient["majority_vote"] == patient["rules"]["majority_vote"]
    assert len({json.dumps(found["confusion"]) for found in patient["rules"].values()}) > 1


def test_numbers_of_the_rules_can_be_given(make_predictions) -> None:
    predictions = replace(make_predictions(frames=6), seconds=np.tile(np.arange(6.0), 40), negative="head")
    narrow = Aggregation(rule="log_odds", frames=5, window_seconds=10.0)
    rules = evaluate(predictions, resamples=50, aggregation=narrow)["patient"]["rules"]
    scores = predictions.case_scores(replace(narrow, rule="sustained_evidence"))
    assert rules["sustained_evidence"]["accuracy"] == accuracy_score(predictions.cases().labels, scores.argmax(axis=1))
    assert rules["sustained_evidence"] != evaluate(predictions, resamples=50)["patient"]["rules"]["sustained_evidence"]


def test_decisions_are_measured_at_their_operating_point_in_every_set(make_predictions) -> None:
    predictions = replace(make_predictions(several_labels=True, patients=60), negative="head")
    cases = predictions.cases()
    scores = predictions.case_scores(Aggregation())
    rules = tuple(RULES[i % 2] for i in range(len(scores)))
    decisions = CaseDecisions(scores, scores >= 0.3, rules, 0.9)
    metrics = evaluate(predictions, resamples=50, decisions=decisions, prevalence=0.01)
    of = {"unseen": ("unseen",), "seen": ("fit", "gate"), "fit": ("fit",), "gate": ("gate",)}
    sets = dict(zip(predictions.patient_ids, predictions.sets, strict=True))
    for name, block in {"all": metrics, **metrics["by_set"]}.items():
        inside = np.array([name == "all" or sets[patient] in of[name] for patient in cases.patient_ids])
        found = block["patient"]["decisions"]
        calls, labels = decisions.calls[inside], cases.labels[inside]
        assert found["n"] == inside.sum()
        assert found["target_sensitivity"] == 0.9
        assert sum(found["rules"].values()) == inside.sum()
        assert found["n_without_call"] == (~calls.any(axis=1)).sum()
        assert found["n_several_calls"] == (calls.sum(axis=1) > 1).sum() > 0
        for c, label in enumerate(predictions.classes):
            entry = found["per_class"][label]
            assert entry["n_called"] == calls[:, c].sum()
            assert entry["sensitivity"]["value"] == pytest.approx(calls[labels == c, c].mean())
            assert entry["specificity"]["value"] == pytest.approx(1 - calls[labels != c, c].mean())
            assert entry["sensitivity"]["wilson"][0] < entry["sensitivity"]["value"]
        rare = found["at_prevalence"]
        assert rare["prevalence"] == 0.01
        assert rare["per_class"]["cord"]["false_alarms_per_exam"]["value"] == pytest.approx(
            0.99 * calls[labels == 1, 0].mean()
        )
    assert "decisions" not in evaluate(predictions, resamples=50)["patient"]
    with pytest.raises(BadInputError, match="fit them on the same rows"):
        evaluate(predictions, decisions=decisions.select(np.arange(len(scores)) > 0))


def test_prevalence_is_stated_and_checked(make_predictions) -> None:
    predictions = make_predictions()
    metrics = evaluate(predictions, resamples=50)
    assert metrics["prevalence"] == metrics["patient"]["at_prevalence"]["prevalence"] == 0.001
    assert metrics["negative"] is None
    with pytest.raises(BadInputError, match="prevalence is 2"):
        evaluate(predictions, prevalence=2)


def test_curves_and_subgroups_are_of_the_patients_that_are_quoted(make_predictions) -> None:
    predictions = make_predictions(several_labels=True, patients=60)
    unseen = predictions.select(predictions.in_sets("unseen"))
    metrics = evaluate(predictions, resamples=50)
    assert metrics["curves"]["whose"] == metrics["subgroups"]["whose"] == "unseen patients"
    assert sum(group["n_frames"] for group in metrics["subgroups"]["columns"]["site"]["groups"]) == len(unseen)
    for level in ("frame", "patient"):
        for c, name in enumerate(predictions.classes):
            curve = metrics["curves"][level][name]
            roc, pr = curve["roc"], curve["pr"]
            assert len(roc["sensitivity"]) == len(roc["false_positive_rate"]) <= 65
            assert (roc["false_positive_rate"][0], roc["sensitivity"][-1]) == (0, 1)
            area = metrics["by_set"]["unseen"][level]["per_class"][name]["auroc"]["value"]
            assert auc(roc["false_positive_rate"], roc["sensitivity"]) == pytest.approx(area, abs=0.02)
            assert pr["sensitivity"] == sorted(pr["sensitivity"])
            assert pr["sensitivity"][-1] == 1
            if level == "frame":
                assert pr["ppv"][-1] >= (unseen.labels == c).mean()


def test_probability_figures_are_those_of_the_quoted_frames(make_predictions) -> None:
    predictions = make_predictions()
    found = probability_figures(predictions, seed=1, resamples=50)
    frame = evaluate(predictions, seed=1, resamples=50)["by_set"]["unseen"]["frame"]
    assert found == {key: frame[key] for key in found}
    assert {"brier", "log_loss", "calibration"} <= set(found)


def test_one_label_a_patient_means_patients(make_predictions) -> None:
    metrics = evaluate(make_predictions(), resamples=50)
    assert metrics["patient"]["unit"] == "patients"
    assert (metrics["n_frames"], metrics["n_patients"], metrics["n_cases"]) == (160, 40, 40)


def test_seen_and_unseen_patients_are_apart(make_predictions) -> None:
    predictions = make_predictions()
    metrics = evaluate(predictions, resamples=50)
    by_set = metrics["by_set"]
    assert list(by_set) == ["unseen", "seen", "fit", "gate"]
    unseen = predictions.select(predictions.in_sets("unseen"))
    assert by_set["unseen"]["frame"]["accuracy"] == accuracy_score(unseen.labels, unseen.predicted)
    assert by_set["unseen"]["n_frames"] + by_set["seen"]["n_frames"] == metrics["n_frames"]
    assert by_set["fit"]["n_patients"] + by_set["gate"]["n_patients"] == by_set["seen"]["n_patients"]
    assert metrics["sets"] == {"fit": 56, "gate": 52, "unseen": 52}
    assert headline(metrics) == ("unseen patients", by_set["unseen"])


def test_without_unseen_patients_the_headline_says_so(make_predictions) -> None:
    metrics = evaluate(make_predictions(sets=("fit",)), resamples=50)
    assert metrics["by_set"]["unseen"] is None
    assert headline(metrics) == ("patients the model has seen", metrics)


def test_an_absent_class_is_left_out_and_named(make_predictions) -> None:
    predictions = make_predictions()
    predictions = predictions.select(predictions.labels != 1)
    frame = evaluate(predictions, resamples=50)["frame"]
    assert frame["auroc_left_out"] == frame["classes_without_rows"] == ["head"]
    assert frame["per_class"]["head"]["sensitivity"] == {"value": None, "n": 0, "interval": None, "wilson": None}
    assert frame["per_class"]["head"]["specificity"]["value"] < 1
    present = [roc_auc_score(predictions.labels == c, predictions.probabilities[:, c]) for c in (0, 2)]
    assert frame["auroc_macro"] == pytest.approx(np.mean(present))
    recalls = [(predictions.predicted == c)[predictions.labels == c].mean() for c in (0, 2)]
    assert frame["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert np.array(frame["confusion"]).shape == (3, 3)


def test_one_class_and_one_patient_give_null_not_nan(make_predictions) -> None:
    predictions = make_predictions(patients=1, frames=3)
    metrics = evaluate(predictions, resamples=50)
    json.dumps(metrics, allow_nan=False)
    assert metrics["frame"]["auroc_macro"] is None
    assert metrics["frame"]["auroc_macro_interval"] is None
    assert metrics["patient"]["per_class"]["cord"]["auroc"] == {"value": None, "interval": None}
    assert metrics["frame"]["auroc_left_out"] == ["cord", "head", "spine"]
    assert metrics["frame"]["brier_skill"] is None
    assert metrics["frame"]["brier_interval"] is None
    assert metrics["curves"]["frame"] == {}


def test_a_class_of_one_patient_leaves_the_macro_intervals_open(make_predictions) -> None:
    predictions = make_predictions()
    rare = predictions.labels == 1
    lone = np.array(predictions.patient_ids) == predictions.patient_ids[int(np.flatnonzero(rare)[0])]
    frame = evaluate(predictions.select(~rare | lone), resamples=50)["frame"]
    assert frame["per_class"]["head"]["n_patients"] == 1
    assert frame["per_class"]["head"]["auroc"]["interval"] is None
    assert frame["auroc_macro"] is not None
    assert frame["auroc_macro_interval"] is None
    assert frame["balanced_accuracy_interval"] is None
    assert frame["accuracy_interval"] is not None


def test_a_model_that_is_always_right_has_no_zero_width_interval(make_predictions) -> None:
    frame = evaluate(make_predictions(signal=50, sets=("unseen",)), resamples=50)["frame"]
    assert frame["accuracy"] == frame["auroc_macro"] == 1.0
    assert frame["accuracy_interval"] == pytest.approx([0.025 ** (1 / 40), 1.0])
    assert frame["auroc_macro_interval"] is None
    assert frame["balanced_accuracy_interval"] is None


def test_intervals_hold_their_figure_and_repeat_with_the_seed(make_predictions) -> None:
    predictions = make_predictions()
    metrics = evaluate(predictions, seed=5, resamples=400)
    assert metrics == evaluate(predictions, seed=5, resamples=400)
    assert metrics["frame"] != evaluate(predictions, seed=6, resamples=400)["frame"]
    for level in (metrics["frame"], metrics["patient"]):
        for key in ("accuracy", "balanced_accuracy", "auroc_macro", "auroc_micro", "average_precision_macro"):
            low, high = level[f"{key}_interval"]
            assert 0 <= low < level[key] < high <= 1
        for entry in level["per_class"].values():
            for key in ("sensitivity", "specificity", "ppv", "npv", "auroc", "average_precision"):
                low, high = entry[key]["interval"]
                assert low <= entry[key]["value"] <= high


def test_copies_of_a_patients_frames_do_not_narrow_the_clustered_interval(make_predictions) -> None:
    once = make_predictions(frames=1)
    rows = np.repeat(np.arange(len(once)), 20)
    copies = replace(
        once,
        paths=tuple(str(i) for i in range(len(rows))),
        labels=once.labels[rows],
        probabilities=once.probabilities[rows],
        patient_ids=tuple(once.patient_ids[i] for i in rows),
        sets=tuple(once.sets[i] for i in rows),
        subgroups={},
    )
    before, after = (evaluate(p, resamples=300)["frame"] for p in (once, copies))
    assert after["accuracy_interval"] == pytest.approx(before["accuracy_interval"])
    assert after["auroc_macro_interval"] == pytest.approx(before["auroc_macro_interval"])
    assert np.ptp(after["accuracy_wilson"]) < np.ptp(before["accuracy_wilson"]) / 3


def test_schema(make_predictions) -> None:
    metrics = evaluate(make_predictions(phantom=True), seed=3, resamples=20)
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert metrics["schema_version"] == SCHEMA_VERSION == 1
    assert metrics["phantom"] is True
    assert metrics["classes"] == ["cord", "head", "spine"]
    assert (metrics["seed"], metrics["resamples"], metrics["level"]) == (3, 20, 0.95)


def test_figures_need_numpy_only() -> None:
    code = (
        "import sys, edge_cns.evaluation.metrics, edge_cns.evaluation.noninferiority, edge_cns.evaluation.figures;"
        "print([m for m in ('scipy', 'sklearn', 'matplotlib', 'tensorflow') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
