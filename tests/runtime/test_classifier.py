from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import edge_cns
from edge_cns.bundle import Bundle, read_bundle
from edge_cns.contract import ClassDefinition, Decision, InputSpec, IntendedUse
from edge_cns.decision.verdict import softmax
from edge_cns.errors import BadInputError, EdgeCnsError, UnsupportedError
from edge_cns.latency.environment import memory
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.runtime.classifier import Classifier


@pytest.fixture
def classifier(tiny_bundle):
    with edge_cns.load(tiny_bundle) as loaded:
        yield loaded


def around(bundle: Bundle, **changes: object) -> Classifier:
    """A classifier with another contract."""
    return Classifier(
        replace(bundle, contract=replace(bundle.contract, **changes)), LiteRT(bundle.files["model.tflite"])
    )


def test_classifies_pixels_that_were_captured_now(classifier, phantom_pixels):
    before = time.monotonic_ns()
    verdict = classifier.classify(phantom_pixels)
    after = time.monotonic_ns()
    assert before <= verdict.captured_ns <= verdict.emitted_ns <= after
    assert verdict.sequence == 0
    assert not verdict.expired(after)
    assert verdict.expires_ns == verdict.captured_ns + 500_000_000
    assert 0 < verdict.latency_ms <= (after - before) / 1e6


def test_what_a_verdict_says(classifier, phantom_pixels):
    verdict = classifier.classify(phantom_pixels)
    assert verdict.state is edge_cns.State.CLASS
    assert list(verdict.probabilities) == ["anencephaly", "encephalocele", "normal"]
    assert sum(verdict.probabilities.values()) == pytest.approx(1, abs=1e-12)
    assert verdict.label == max(verdict.probabilities, key=verdict.probabilities.get)
    assert verdict.probability == verdict.probabilities[verdict.label]
    assert verdict.reason == classifier.remarks == "uncalibrated, quantisation undecided, trained on phantom frames"
    assert (verdict.calibrated, verdict.proof, verdict.novelty) == (False, "undecided", None)
    assert verdict.heatmap.shape == (8, 8)
    assert verdict.heatmap.dtype == np.float32


def test_a_frame_keeps_its_time_and_number(classifier, phantom_pixels):
    verdict = classifier.classify(edge_cns.Frame(phantom_pixels, captured_ns=5_000, sequence=42))
    assert (verdict.captured_ns, verdict.sequence) == (5_000, 42)
    assert verdict.expired(time.monotonic_ns()), "it was captured long ago"
    assert verdict.age_ms(1_005_000) == 1.0
    assert verdict.latency_ms < verdict.age_ms(verdict.emitted_ns)


def test_a_frame_without_a_time_counts_from_the_call(classifier, phantom_pixels):
    before = time.monotonic_ns()
    assert classifier.classify(edge_cns.Frame(phantom_pixels)).captured_ns >= before


def test_the_frames_region_is_what_is_classified(classifier, phantom_pixels):
    screen = np.random.default_rng(0).integers(0, 256, (600, 800), dtype=np.uint8)
    screen[100:356, 200:456] = phantom_pixels
    region = edge_cns.Region(200, 100, 256, 256)
    own = classifier.classify(edge_cns.Frame(phantom_pixels, region=edge_cns.Region(0, 0, 256, 256)))
    assert classifier.classify(edge_cns.Frame(screen, region=region)).probabilities == own.probabilities
    assert classifier.classify(screen).probabilities != own.probabilities


def test_outputs_in_real_units(classifier, phantom_pixels):
    verdict = classifier.classify(phantom_pixels)
    logits, cam = classifier.output("logits"), classifier.output("cam")
    assert (logits.shape, cam.shape, classifier.output("embedding").shape) == ((3,), (8, 8, 3), (32,))
    assert {logits.dtype, cam.dtype} == {np.dtype(np.float32)}
    assert list(verdict.probabilities.values()) == softmax(logits, Decision()).tolist()
    best = int(logits.argmax())
    np.testing.assert_allclose(verdict.heatmap, cam[..., best] - cam.mean(axis=-1), atol=1e-6)


def test_one_frame_says_nothing_about_the_next(classifier, phantom_pixels):
    other = cv2.flip(phantom_pixels, 0)
    first = classifier.classify(phantom_pixels)
    assert classifier.classify(np.pad(other, ((0, 100), (0, 0)))).probabilities != first.probabilities
    again = classifier.classify(phantom_pixels)
    assert again.probabilities == first.probabilities
    assert np.array_equal(again.heatmap, first.heatmap)


def test_a_verdict_outlives_the_next_frame(classifier, phantom_pixels):
    first = classifier.classify(phantom_pixels)
    kept = first.heatmap.copy()
    classifier.classify(cv2.flip(phantom_pixels, 0))
    assert np.array_equal(first.heatmap, kept)


def test_runs_for_long_without_growing(classifier, phantom_pixels):
    frames = [
        phantom_pixels,
        cv2.merge([phantom_pixels] * 3),
        cv2.resize(phantom_pixels, (1000, 900)).astype(np.uint16),
    ]
    for i in range(30):
        classifier.classify(frames[i % 3])
    before = memory()["rss_mib"]
    for i in range(300):
        classifier.classify(frames[i % 3])
    if before is not None:
        assert memory()["rss_mib"] - before < 16


@pytest.mark.parametrize(
    "value", [None, "frame.png", [[0]], np.zeros((64, 64), np.float32), np.zeros((63, 64), np.uint8)]
)
def test_what_is_no_frame(classifier, phantom_pixels, value):
    with pytest.raises(BadInputError):
        classifier.classify(value)
    assert classifier.classify(phantom_pixels).label, "it still works"


def test_a_fixed_region_outside_the_frame(tiny_bundle, phantom_pixels):
    spec = InputSpec(64, 64, "fixed", edge_cns.Region(200, 200, 100, 100))
    with around(read_bundle(tiny_bundle), input=spec) as classifier, pytest.raises(BadInputError, match="does not fit"):
        classifier.classify(phantom_pixels)


def test_remarks(tiny_bundle, phantom_pixels):
    bundle = read_bundle(tiny_bundle)
    proven = replace(bundle, quantisation={**bundle.quantisation, "outcome": "passed"})
    calibrated = Decision(calibrated=True, temperature=0.5, model_sha256="0" * 64)
    with around(proven, decision=calibrated, intended_use=IntendedUse("x")) as classifier:
        verdict = classifier.classify(phantom_pixels)
        assert (classifier.remarks, verdict.reason, verdict.proof, verdict.calibrated) == ("", "", "passed", True)
        assert (
            list(verdict.probabilities.values())
            == softmax(classifier.output("logits"), Decision(temperature=0.5)).tolist()
        )
    drifted = replace(bundle, quantisation={**bundle.quantisation, "outcome": "failed"})
    with around(drifted, intended_use=IntendedUse("x")) as classifier:
        assert classifier.classify(phantom_pixels).reason == "uncalibrated, quantisation failed"


def test_require_proof(tiny_bundle):
    with pytest.raises(UnsupportedError, match="quantisation is undecided, and --require-proof asks for a proof"):
        edge_cns.load(tiny_bundle, require_proof=True)


def test_paths_and_options(tiny_bundle, phantom_pixels):
    with edge_cns.load(str(tiny_bundle), threads=2, backend="litert") as classifier:
        assert classifier.classify(phantom_pixels).label
        classifier.close()  # and once more by the context
    with pytest.raises(BadInputError, match="no backend 'tpu'"):
        edge_cns.load(tiny_bundle, backend="tpu")
    with pytest.raises(BadInputError, match="does not exist"):
        edge_cns.load(Path("nowhere.cns"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"input": InputSpec(64, 96)}, r"takes \(1, 64, 64, 1\), the contract says \(1, 64, 96, 1\)"),
        ({"classes": (ClassDefinition("a"), ClassDefinition("b"))}, "for 2 classes; they are not of one bundle"),
        ({"classes": tuple(ClassDefinition(c) for c in "abcd")}, "for 4 classes"),
    ],
)
def test_a_contract_of_another_model(tiny_bundle, changes, text):
    with pytest.raises(UnsupportedError, match=text) as caught:
        around(read_bundle(tiny_bundle), **changes)
    assert "\n" not in str(caught.value)


def test_a_model_with_float_input(tiny_bundle):
    bundle = read_bundle(tiny_bundle)
    with pytest.raises(UnsupportedError, match=r"takes float32 input; a bundle's model is int8: use edge-cns convert"):
        Classifier(bundle, LiteRT(bundle.files["float.tflite"]))


class Dressed(LiteRT):
    """LiteRT that says something else about one tensor."""

    def __init__(self, model: bytes, tensor: str, quantisation: tuple[float, int]) -> None:
        super().__init__(model)
        self.dressed = {tensor: quantisation}

    def quantisation(self, name: str) -> tuple[float, int]:
        return self.dressed.get(name) or super().quantisation(name)


@pytest.mark.parametrize(
    ("tensor", "quantisation", "text"),
    [
        ("image", (1 / 128, -128), "quantises its input by 0.0078125, -128"),
        ("image", (1 / 255, 0), "quantises its input by 0.00392157, 0"),
        ("logits", (0.0, 3), "output 'logits' is not quantised to int8"),
        ("cam", (float("nan"), 3), "output 'cam' is not quantised"),
    ],
)
def test_a_model_with_other_scales(tiny_bundle, tensor, quantisation, text):
    bundle = read_bundle(tiny_bundle)
    with pytest.raises(UnsupportedError, match=text):
        Classifier(bundle, Dressed(bundle.files["model.tflite"], tensor, quantisation))


def test_every_refusal_is_of_one_tree():
    for error in (BadInputError, UnsupportedError):
        assert issubclass(error, EdgeCnsError)
