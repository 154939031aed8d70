from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax as scipy_softmax

from edge_cns.contract import Decision
from edge_cns.decision.verdict import LIFETIME_NS, State, Verdict, evidence, softmax

LOGITS = arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(2, 9)), elements=st.floats(-1e4, 1e4, width=32))


@given(LOGITS, st.floats(0.01, 100))
def test_softmax_is_scipys(logits, temperature):
    ours = softmax(logits, Decision(temperature=temperature))
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, scipy_softmax(logits.astype(np.float64) / temperature, axis=-1), atol=1e-12)
    np.testing.assert_allclose(ours.sum(axis=-1), 1, atol=1e-12)


def test_temperature_softens():
    logits = np.array([2.0, 1.0, -1.0], np.float32)
    sharp, plain, soft = (softmax(logits, Decision(temperature=t)) for t in (0.5, 1.0, 4.0))
    assert sharp[0] > plain[0] > soft[0] > 1 / 3
    assert sharp.argmax() == soft.argmax()


def test_large_logits_do_not_overflow():
    assert softmax(np.array([3e38, 0.0], np.float32), Decision(temperature=0.01)).tolist() == [1.0, 0.0]


@given(arrays(np.float32, (4, 5, 3), elements=st.floats(-50, 50, width=32)), st.integers(0, 2))
def test_mean_evidence_is_the_logit_above_the_mean_logit(cam, index):
    over = evidence(cam, index)
    assert over.shape == (4, 5)
    assert over.dtype == np.float32
    logits = cam.mean(axis=(0, 1), dtype=np.float64)
    assert over.mean(dtype=np.float64) == pytest.approx(logits[index] - logits.mean(), abs=1e-4)


def test_evidence_of_all_classes_cancels():
    cam = np.random.default_rng(0).normal(size=(7, 7, 5)).astype(np.float32)
    np.testing.assert_allclose(sum(evidence(cam, i) for i in range(5)), 0, atol=1e-5)


def verdict(**changes):
    values = {
        "state": State.CLASS,
        "label": "normal",
        "probability": 0.75,
        "probabilities": {"ill": 0.25, "normal": 0.75},
        "reason": "uncalibrated",
        "sequence": 3,
        "captured_ns": 1_000_000_000,
        "emitted_ns": 1_004_000_000,
        "expires_ns": 1_000_000_000 + LIFETIME_NS,
        "latency_ms": 2.5,
        "heatmap": np.zeros((2, 2), np.float32),
        "calibrated": False,
        "proof": "undecided",
    }
    return Verdict(**(values | changes))


def test_a_verdict_ages_and_expires():
    made = verdict()
    assert made.age_ms(1_010_000_000) == 10
    assert not made.expired(1_499_999_999)
    assert made.expired(1_500_000_000)
    assert LIFETIME_NS == 500_000_000


def test_json_is_all_but_the_map():
    value = verdict().to_json()
    assert json.loads(json.dumps(value)) == value
    assert {"state", "label", "probability", "probabilities", "reason", "proof", "calibrated"} <= set(value)
    assert value["state"] == "class"
    assert "heatmap" not in value
    assert "novelty" not in value
    assert verdict(novelty=3.5).to_json()["novelty"] == 3.5
    nothing = verdict(state=State.NO_SIGNAL, label=None, probability=None, probabilities={}).to_json()
    assert (nothing["state"], nothing["label"], nothing["probability"]) == ("no_signal", None, None)


def test_states_are_words_for_programs():
    assert [state.value for state in State] == ["class", "indeterminate", "not_supported_view", "frozen", "no_signal"]
