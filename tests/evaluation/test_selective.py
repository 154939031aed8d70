from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_cns.evaluation.rows import make_rows
from edge_cns.evaluation.selective import selective


def measured(confidence: np.ndarray, wrong: np.ndarray, patients: int | None = None, resamples: int = 100) -> dict:
    """Two classes: the first is said with that confidence, and is wrong where told."""
    n = len(confidence)
    ids = [str(i % (patients or n)) for i in range(n)]
    rows = make_rows(wrong.astype(np.int64), ids, ("said", "other"), seed=0, resamples=resamples)
    return selective(rows, np.stack([confidence, 1 - confidence], axis=1))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30), st.randoms())
def test_area_is_the_mean_risk_whatever_the_order_of_equals(rows: list[tuple[int, bool]], shuffler) -> None:
    confidence = np.array([0.55 + 0.08 * step for step, _ in rows])
    wrong = np.array([flag for _, flag in rows])
    expected = np.mean([wrong[confidence >= c].mean() for c in confidence])
    found = measured(confidence, wrong)
    assert found["aurc"] == pytest.approx(expected)
    assert found["aurc_best"] <= found["aurc"] + 1e-12
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    assert measured(confidence[order], wrong[order])["aurc"] == pytest.approx(expected)


def test_a_perfect_ranking_reaches_the_best_and_its_published_limit() -> None:
    n, errors = 20_000, 2_000
    confidence = np.linspace(0.99, 0.55, n)
    found = measured(confidence, np.arange(n) >= n - errors, patients=50, resamples=20)
    rate = errors / n
    assert found["aurc"] == pytest.approx(found["aurc_best"])
    # Geifman, Uziel & El-Yaniv 2019 (Bias-reduced uncertainty estimation), equation 4
    assert found["aurc_best"] == pytest.approx(rate + (1 - rate) * np.log(1 - rate), abs=1e-4)
    assert found["aurc_random"] == rate


def test_sureness_that_says_nothing_has_the_error_rate_as_its_area() -> None:
    rng = np.random.default_rng(0)
    wrong = rng.random(20_000) < 0.2
    found = measured(rng.uniform(0.5, 1, 20_000), wrong, patients=200, resamples=50)
    assert found["aurc"] == pytest.approx(found["aurc_random"], abs=0.01)
    low, high = found["aurc_interval"]
    assert low < 0.2 < high


def test_the_curve_answers_more_and_more() -> None:
    rng = np.random.default_rng(1)
    confidence = np.round(rng.uniform(0.5, 1, 300), 2)
    wrong = rng.random(300) > confidence
    curve = measured(confidence, wrong, patients=60)["curve"]
    coverage = [point["coverage"] for point in curve]
    assert coverage == sorted(coverage)
    assert coverage[-1] == 1
    assert len(curve) <= 20
    assert curve[-1]["risk"] == pytest.approx(wrong.mean())
    for point in curve:
        answered = confidence >= point["threshold"]
        assert point["n"] == answered.sum() == round(point["coverage"] * 300)
        assert point["risk"] == pytest.approx(wrong[answered].mean())


def test_all_equally_sure_is_one_point() -> None:
    found = measured(np.full(10, 0.8), np.arange(10) < 3)
    assert [point["coverage"] for point in found["curve"]] == [1.0]
    assert found["aurc"] == pytest.approx(0.3)
