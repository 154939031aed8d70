from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.contract import ConformalRule
from edge_cns.decision.conformal import fit_conformal, prediction_set, single_class
from edge_cns.decision.quantile import fewest_patients
from edge_cns.errors import BadInputError

CLASSES = ("cord", "head")


def of_true(values: list[float], label: int = 0) -> np.ndarray:
    """Two classes; the true one has these probabilities."""
    rows = np.stack([np.array(values), 1 - np.array(values)], axis=1)
    return rows if label == 0 else rows[:, ::-1]


def fit(values: list[float], patients: str, coverage: float, classes: tuple[str, ...] = CLASSES) -> ConformalRule:
    """All frames of class 0; the letters are the patients."""
    return fit_conformal(of_true(values), np.zeros(len(values), np.int64), list(patients), classes, coverage)


def test_nine_patients_of_one_frame_by_hand():
    values = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    assert fit(values, "abcdefghi", 0.9).thresholds[0] == 0.1  # 9 of 10 weights: the last one is needed
    assert fit(values, "abcdefghi", 0.5).thresholds[0] == 0.5
    assert fit(values, "abcdefghi", 0.51).thresholds[0] == 0.4


def test_each_patient_weighs_one_whatever_the_frames():
    # Weights 1/8, 1/8; 1/4; 1/16 four times; the new patient's 1/4 is never reached.
    values, patients = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3], "aabcccc"
    assert fit(values, patients, 0.25).thresholds[0] == 0.8
    assert fit(values, patients, 0.5).thresholds[0] == 0.7
    assert fit(values, patients, 0.6).thresholds[0] == 0.5
    assert fit(values, patients, 0.75).thresholds[0] == 0.3


@pytest.mark.parametrize(("coverage", "patients"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_fewest_patients_is_sharp(coverage, patients):
    assert fewest_patients(coverage) == patients
    values = np.linspace(0.5, 0.9, patients).tolist()
    letters = "".join(chr(1000 + i) for i in range(patients))
    assert fit(values, letters, coverage).thresholds[0] == 0.5
    assert fit(values, letters, coverage).pooled == ("head",)
    assert fit(values[1:], letters[1:], coverage).thresholds == (0.0, 0.0)


def test_a_class_with_few_patients_gets_the_threshold_of_all():
    probabilities = np.concatenate([of_true([0.9, 0.8, 0.7, 0.5]), of_true([0.95, 0.6], label=1)])
    labels = np.array([0, 0, 0, 0, 1, 1])
    rule = fit_conformal(probabilities, labels, list("abcdef"), CLASSES, 0.7)
    assert rule.pooled == ("head",)
    assert rule.thresholds[0] == 0.5  # 0.7 of 5 weights: all four of its own
    assert rule.thresholds[1] == pytest.approx(0.6)  # 0.7 of 7 weights: five of the six
    assert rule.coverage == 0.7


def test_a_patient_may_have_frames_of_several_classes():
    probabilities = np.concatenate([of_true([0.9, 0.8]), of_true([0.6, 0.7], label=1)])
    rule = fit_conformal(probabilities, np.array([0, 0, 1, 1]), ["a", "b", "a", "b"], CLASSES, 0.6)
    assert rule.thresholds == (0.8, 0.6)
    assert rule.pooled == ()


def test_sets_of_frames():
    rule = ConformalRule(0.9, (0.5, 0.2, 0.3))
    sets = prediction_set(np.array([[0.5, 0.2, 0.3], [0.9, 0.1, 0.0], [0.45, 0.15, 0.25]]), rule)
    assert sets.tolist() == [[True, True, True], [True, False, False], [False, False, False]]
    assert [single_class(row) for row in sets] == [None, 0, None]
    assert prediction_set(np.array([0.1, 0.8, 0.1]), rule).shape == (3,)
    assert prediction_set(np.full((2, 4, 3), 0.3), rule).shape == (2, 4, 3)


FRAMES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 2), st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0])), min_size=1
)


def fit_frames(frames: list[tuple[int, int, float]], coverage: float) -> ConformalRule:
    probabilities = np.full((len(frames), 3), 0.1)
    for row, (_, label, value) in enumerate(frames):
        probabilities[row, label] = value
    labels = np.array([label for _, label, _ in frames])
    return fit_conformal(probabilities, labels, [f"p{p}" for p, _, _ in frames], ("a", "b", "c"), coverage)


@given(FRAMES, st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_more_coverage_gives_larger_sets(frames, one, other):
    low, high = sorted((one, other))
    less, more = fit_frames(frames, low), fit_frames(frames, high)
    assert set(less.pooled) <= set(more.pooled)
    for name, wide, narrow in zip("abc", more.thresholds, less.thresholds, strict=True):
        if (name in more.pooled) == (name in less.pooled):  # a class that joins the others takes their threshold
            assert wide <= narrow


@given(FRAMES, st.randoms(), st.floats(0.05, 0.95))
def test_neither_order_nor_repeated_frames_of_a_patient_matter(frames, random, coverage):
    rule = fit_frames(frames, coverage)
    patient = frames[0][0]
    repeated = frames + [frame for frame in frames if frame[0] == patient]
    random.shuffle(repeated)
    assert fit_frames(repeated, coverage) == rule


def simulated(rng: np.random.Generator, patients: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames of one class: patients differ, and those who are easy have many frames."""
    ease = rng.normal(size=patients)
    frames = rng.integers(1, 4, patients) + 12 * (ease > 0)
    patient = np.repeat(np.arange(patients), frames)
    logits = 1.5 * ease[patient] + rng.normal(size=len(patient))
    return 1 / (1 + np.exp(-logits)), patient


@pytest.mark.parametrize(("coverage", "patients"), [(0.9, 12), (0.8, 40)])
def test_coverage_of_frames_of_new_patients(coverage, patients):
    rng = np.random.default_rng(0)
    ours, naive = [], []
    for _ in range(250):
        true, patient = simulated(rng, patients)
        new, whose = simulated(rng, 60)
        rule = fit_conformal(
            np.stack([true, 1 - true], 1), np.zeros(len(true), np.int64), [f"{p}" for p in patient], CLASSES, coverage
        )
        weights = 1 / np.bincount(whose)[whose] / 60
        ours.append(float(weights[new >= rule.thresholds[0]].sum()))
        frame_by_frame = np.sort(true)[::-1][int(np.ceil(coverage * (len(true) + 1))) - 1]
        naive.append(float(weights[new >= frame_by_frame].sum()))
    error = np.std(ours) / np.sqrt(len(ours))
    assert np.mean(ours) >= coverage - 2 * error
    assert np.mean(ours) <= coverage + 1 / (patients + 1) + 0.02
    assert np.mean(naive) < coverage - 0.05, "frames are not exchangeable, patients are"


def test_coverage_of_each_class():
    rng = np.random.default_rng(1)
    covered = np.zeros(2)
    for _ in range(200):
        labels = np.repeat([0, 1], [30, 60])
        patients = [f"{i // 3}" for i in range(90)]
        logits = rng.normal(np.where(labels == 0, 0.5, 2.5), 1) + np.repeat(rng.normal(size=30), 3)
        true = 1 / (1 + np.exp(-logits))
        probabilities = np.where((labels == 0)[:, None], of_true(true.tolist()), of_true(true.tolist(), 1))
        rule = fit_conformal(probabilities, labels, patients, CLASSES, 0.85)
        assert rule.pooled == ()
        for c, mean in enumerate((0.5, 2.5)):
            fresh = 1 / (1 + np.exp(-(mean + rng.normal(size=200) + rng.normal(size=200))))
            covered[c] += (fresh >= rule.thresholds[c]).mean() / 200
    assert (covered >= 0.84).all()
    assert covered[0] == pytest.approx(10 / 11, abs=0.03)  # ten patients: nothing between 9/11 and 10/11 is possible
    assert covered[1] == pytest.approx(0.857, abs=0.03)


@pytest.mark.parametrize(
    ("probabilities", "labels", "coverage", "message"),
    [
        (of_true([0.9]), [0], 1.0, "coverage is 1.0"),
        (of_true([0.9]), [2], 0.9, "labels go from 2 to 2"),
        (of_true([0.9]), [0, 1], 0.9, "they need"),
        (np.array([[np.nan, 1.0]]), [0], 0.9, "not all from 0 to 1"),
    ],
)
def test_bad_input_is_one_line(probabilities, labels, coverage, message):
    with pytest.raises(BadInputError, match=message) as caught:
        fit_conformal(probabilities, np.array(labels), ["a"], CLASSES, coverage)
    assert "\n" not in str(caught.value)
