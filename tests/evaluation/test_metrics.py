from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    recall_score,
    roc_auc_score,
)

from edge_cns.evaluation.intervals import wilson
from edge_cns.evaluation.metrics import SCHEMA_VERSION, evaluate, headline


def test_every_frame_figure_agrees_with_scikit_learn(make_predictions) -> None:
    predictions = make_predictions(several_labels=True)
    frame = evaluate(predictions, resamples=50)["frame"]
    truth, said, scores = predictions.labels, predictions.predicted, predictions.probabilities
    assert 0.5 < frame["accuracy"] < 0.95  # the example is neither trivial nor hopeless
    assert frame["accuracy"] == pytest.approx(accuracy_score(truth, said))
    assert frame["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, said))
    assert frame["auroc_macro"] == pytest.approx(roc_auc_score(truth, scores, multi_class="ovr", average="macro"))
    assert frame["confusion"] == confusion_matrix(truth, said, labels=range(3)).tolist()
    for c, name in enumerate(predictions.classes):
        entry = frame["per_class"][name]
        assert entry["n"] == (truth == c).sum()
        assert entry["n_predicted"] == (said == c).sum()
        assert entry["sensitivity"]["value"] == pytest.approx(recall_score(truth == c, said == c))
        assert entry["specificity"]["value"] == pytest.approx(recall_score(truth == c, said == c, pos_label=0))
        assert entry["auroc"]["value"] == pytest.approx(roc_auc_score(truth == c, scores[:, c]))
        hits = int(((truth == c) & (said == c)).sum())
        assert entry["sensitivity"]["wilson"] == list(wilson(hits, entry["n"]))


def test_patient_figures_count_cases_by_mean_softmax_and_by_vote(make_predictions) -> None:
    predictions = make_predictions(several_labels=True, frames=6)
    cases = predictions.cases()
    patient = evaluate(predictions, resamples=50)["patient"]
    assert patient["unit"] == "cases (patient_id, label)"
    assert patient["n"] == len(cases.labels) == 120
    assert patient["accuracy"] == pytest.approx(accuracy_score(cases.labels, cases.predicted))
    assert patient["auroc_macro"] == pytest.approx(roc_auc_score(cases.labels, cases.mean_softmax, multi_class="ovr"))
    vote = patient["majority_vote"]
    assert vote["accuracy"] == pytest.approx(accuracy_score(cases.labels, cases.predicted_by_vote))
    assert vote["confusion"] == confusion_matrix(cases.labels, cases.predicted_by_vote).tolist()


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
        for key in ("accuracy", "balanced_accuracy", "auroc_macro"):
            low, high = level[f"{key}_interval"]
            assert 0 <= low < level[key] < high <= 1
        for entry in level["per_class"].values():
            for key in ("sensitivity", "specificity"):
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
