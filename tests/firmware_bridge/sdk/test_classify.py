"""Classifying in C: the same tensors as Python, bit for bit, the same verdict, and the same refusals."""

from __future__ import annotations

import ctypes as c
import dataclasses
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

import edge_cns
from edge_cns.atomic import json_bytes
from edge_cns.bundle import DECISION, read_arrays, read_bundle, reseal, update_bundle, write_arrays
from edge_cns.contract import OUTPUTS, ConformalRule, Decision, NoveltyRule, ViewRule
from edge_cns.data.phantom import CLASSES, PLANES, draw_patient, render
from edge_cns.decision.novelty import NoveltyModel
from edge_cns.decision.verdict import LIFETIME_NS, softmax
from edge_cns.frames import Frame, Region
from tests.firmware_bridge.sdk import abi
from tests.firmware_bridge.sdk.classifier import (
    ENGINE,
    MISMATCH,
    STATES,
    TAMPERED,
    UNSUPPORTED,
    UNUSABLE,
    Classifier,
    litert_library,
)
from tests.firmware_bridge.sdk.conftest import SDK
from tests.firmware_bridge.sdk.native import CLASSIFY, RING, STRICT, compile_shared

GIVEN = os.environ.get("EDGE_CNS_BUNDLE")  # a bundle of one's own, beside the tiny one
PLANE_NAMES = ("axial", "coronal", "sagittal")


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> c.CDLL:
    return compile_shared(tmp_path_factory.mktemp("classify"), *CLASSIFY, *RING)


def with_decision(bundle: Path, decision: Decision, arrays: dict[str, np.ndarray]) -> None:
    contract = dataclasses.replace(read_bundle(bundle).contract, decision=decision)
    update_bundle(bundle, {"contract.json": json_bytes(contract.to_json()), DECISION: write_arrays(arrays)})


@pytest.fixture(scope="module")
def ruled(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with a rule of each kind, such that phantom frames get every kind of verdict."""
    path = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("ruled") / "ruled.cns"))
    embeddings, shares = [], []
    with edge_cns.load(path) as classifier:
        for frame in frames():
            classifier.classify(frame)
            embeddings.append(classifier.output("embedding"))
            shares.append(softmax(classifier.output("logits"), Decision(temperature=1.7)))
    directions = np.linalg.qr(np.array(embeddings[:6], np.float64).T)[0].T.astype(np.float32).reshape(2, 3, -1)
    kernel = np.random.default_rng(1).normal(0, 4, (3, directions.shape[2])).astype(np.float32)
    arrays = {"novelty_directions": directions, "views_kernel": kernel, "views_bias": np.zeros(3, np.float32)}
    strange = np.unique(NoveltyModel(directions).score(np.array(embeddings)).round(5))
    cut = len(strange) * 4 // 5  # between two scores: sums of float32 differ in their last bits
    decision = Decision(
        calibrated=True,
        temperature=1.7,
        model_sha256=hashlib.sha256((path / "model.tflite").read_bytes()).hexdigest(),
        conformal=ConformalRule(0.9, tuple(np.quantile(shares, 0.613, axis=0).tolist())),
        novelty=NoveltyRule(float(strange[cut - 1 : cut + 1].mean()), 0.05),
        views=ViewRule(PLANE_NAMES, 0.5),
    )
    with_decision(path, decision, arrays)
    return path


def phantoms() -> list[np.ndarray]:
    return [
        render(draw_patient(name, seed=i), plane, view=i, size=200).pixels
        for i, (name, plane) in enumerate((n, p) for n in CLASSES for p in PLANES[:2])
    ]


def frames() -> list[Frame]:
    """Frames of every format, with and without a region, on screens of several sizes."""
    made = []
    for i, fan in enumerate(phantoms()):
        screen = np.zeros((480, 640), np.uint8)
        screen[20:460, 100:540] = cv2.resize(fan, (440, 440))
        made += [Frame(fan), Frame(screen, region=Region(100, 20, 440, 440) if i % 2 else None)]
        made += [Frame(cv2.merge([screen] * 3)), Frame(screen.astype(np.uint16) * 16, bits_stored=12)]
    flow = cv2.cvtColor(phantoms()[0], cv2.COLOR_GRAY2BGR)
    cv2.circle(flow, (100, 100), 30, (30, 60, 220), -1)
    noise = np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8)
    return [*made, Frame(flow), Frame(noise), Frame(noise[:, :333])]


def same_verdict(here: Classifier, there: edge_cns.Classifier, frame: Frame) -> str:
    result, verdict = here.classify(frame), there.classify(frame)
    assert here.status == 0, here.error
    assert np.array_equal(here.tensor("image"), there.backend.input()[0])
    for name in OUTPUTS:
        assert np.array_equal(here.tensor(name), there.backend.output(name)[0]), name
    assert STATES[result.state] == verdict.state.value
    assert (here.name(result.label) or None) == verdict.label
    assert list(verdict.probabilities) == [here.name(i) for i in range(result.classes)]
    np.testing.assert_allclose(result.probabilities[: result.classes], list(verdict.probabilities.values()), rtol=1e-6)
    expected = np.nan if verdict.probability is None else verdict.probability
    np.testing.assert_allclose(result.probability, expected, rtol=1e-6)
    novelty = np.nan if verdict.novelty is None else verdict.novelty
    np.testing.assert_allclose(result.novelty, novelty, atol=2e-6)
    assert (result.view.decode() or None) == verdict.view
    assert result.reason.decode() == verdict.reason
    heat = np.array(result.heat[: result.heat_rows * result.heat_columns], np.float32)
    if verdict.heatmap is None:
        assert heat.size == 0
    else:
        assert np.array_equal(heat.reshape(result.heat_rows, result.heat_columns), verdict.heatmap)
    return verdict.state.value


def compare(sdk: c.CDLL, bundle: Path) -> set[str]:
    with Classifier(sdk, bundle) as here, edge_cns.load(bundle) as there:
        assert sdk.edge_cns_classifier_exact(here.handle) == 1
        assert sdk.edge_cns_classifier_remarks(here.handle).decode() == there.remarks
        return {same_verdict(here, there, frame) for frame in frames()}


def test_without_rules_as_python(sdk, tiny_bundle):
    assert compare(sdk, tiny_bundle) == {"class", "not_supported_view"}


def test_with_every_rule_as_python(sdk, ruled):
    assert compare(sdk, ruled) == {"class", "indeterminate", "not_supported_view"}


@pytest.mark.skipif(GIVEN is None, reason="EDGE_CNS_BUNDLE is unset: no bundle of one's own")
def test_a_bundle_of_ones_own_as_python(sdk):
    compare(sdk, Path(str(GIVEN)))


def test_golden_vectors_bit_for_bit(sdk, tiny_bundle):
    golden = read_arrays((tiny_bundle / "golden.npz").read_bytes(), "golden.npz")
    with Classifier(sdk, tiny_bundle) as here:
        for i, pixels in enumerate(golden["frames"]):
            here.classify(Frame(pixels))
            assert np.array_equal(here.tensor("image").view(np.uint8)[..., 0] ^ 0x80, golden["image"][i])
            for name in OUTPUTS:
                assert np.array_equal(here.tensor(name), golden[name][i])


def test_threads_change_nothing(sdk, tiny_bundle):
    with Classifier(sdk, tiny_bundle, threads=2) as two, Classifier(sdk, tiny_bundle) as one:
        for pixels in phantoms():
            one.classify(Frame(pixels))
            two.classify(Frame(pixels))
            assert all(np.array_equal(one.tensor(name), two.tensor(name)) for name in OUTPUTS)


def test_time_and_numbers_of_a_result(sdk, ruled):
    pixels = phantoms()[0]
    with Classifier(sdk, ruled) as here:
        for i in range(3):
            before = here.sdk.edge_cns_now
            before.restype = c.c_int64
            earliest = before()
            result = here.classify(Frame(pixels))
            assert result.sequence == i
            assert earliest <= result.captured_ns <= result.emitted_ns
            assert result.expires_ns == result.captured_ns + LIFETIME_NS
            assert result.frames_seen == result.frames_classified == i + 1
            assert (result.steady_state, result.steady_label) == (result.state, result.label)
            assert (result.flags, result.outcome, result.finding) == (1, 0, -1)
        assert here.classify(Frame(pixels), captured_ns=5).expires_ns == 5 + LIFETIME_NS
        assert here.name(-1) == here.name(3) == ""


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"width": 63}, "frame is 63x200 px; both sides must be 64 px at least, and 1920x1080 px at most"),
        ({"width": 1921, "stride": 0}, "frame is 1921x200 px"),
        ({"height": 2**31}, "frame is 200x2147483648 px"),
        ({"format": 0}, "pixel format 0 is not known"),
        ({"format": 4}, "pixel format 4"),
        ({"stride": 199}, "a row has 200 bytes, the stride is 199"),
        ({"format": 2, "stride": 0, "bits_stored": 17}, "bits_stored is 17"),
        ({"region": (1, 0, 200, 200)}, "the region does not lie inside the frame"),
        ({"region": (-1, 0, 20, 20)}, "the region does not lie inside the frame"),
        ({"region": (0, 0, 2**31 - 1, 20)}, "the region does not lie inside the frame"),
    ],
)
def test_a_frame_that_is_none(sdk, tiny_bundle, fields, text):
    with Classifier(sdk, tiny_bundle) as here:
        frame = Frame(phantoms()[0])
        region = fields.pop("region", None)
        fields |= {} if region is None else {"region": (c.c_int32 * 4)(*region)}
        here.classify(frame, **fields)
        assert here.status == abi.BAD_ARGUMENT
        assert text in here.error
        here.classify(frame)
        assert here.status == 0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"size": 8}, "EDGE_CNS_CLASSIFIER_OPTIONS_INIT"),
        ({"litert_library": None}, "litert_library is missing"),
        ({"threads": 0}, "threads is 0"),
        ({"max_width": 63}, "the largest frame is 63x1080"),
        ({"max_height": 8193}, "the largest frame is 1920x8193"),
    ],
)
def test_options_that_are_none(sdk, tiny_bundle, changes, text):
    here = Classifier(sdk, tiny_bundle, **changes)
    assert here.status == abi.BAD_ARGUMENT
    assert text in here.error


# Refusals


def refused(sdk: c.CDLL, bundle: Path, status: int, *, library: Path | None = None, **changes) -> str:
    here = Classifier(sdk, bundle, library, **changes)
    assert here.status == status, here.error
    assert "\n" not in here.error
    return here.error


@pytest.mark.parametrize("name", ["contract.json", "model.tflite", "golden.npz", "float.tflite", "patients.json"])
def test_a_changed_byte(sdk, bundle_copy, name):
    content = bytearray((bundle_copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle_copy / name).write_bytes(content)
    assert f"{name} does not match its digest" in refused(sdk, bundle_copy, TAMPERED)


def test_files_that_do_not_belong_there(sdk, bundle_copy, tmp_path):
    (bundle_copy / "more").write_bytes(b"")
    assert "more is not listed in the manifest" in refused(sdk, bundle_copy, TAMPERED)
    (bundle_copy / "more").unlink()
    (bundle_copy / "model.sig").write_bytes(b"a signature")
    Classifier(sdk, bundle_copy).__enter__().__exit__()
    card = bundle_copy / "model_card.md"
    card.rename(tmp_path / "card")
    assert "model_card.md is listed but missing" in refused(sdk, bundle_copy, TAMPERED)
    card.symlink_to(tmp_path / "card")
    assert "model_card.md is not a regular file" in refused(sdk, bundle_copy, TAMPERED)
    card.unlink()
    os.mkfifo(card)
    assert "model_card.md is not a regular file" in refused(sdk, bundle_copy, TAMPERED)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"", TAMPERED),
        (b"[]", TAMPERED),
        (b'{"files":{},"format":1}', TAMPERED),
        (b'{"files":{},"format":2}', UNSUPPORTED),
        (b'{"files":{"../x":"0"},"format":1}', TAMPERED),
        (b'{"files":{"manifest.json":"0"},"format":1}', TAMPERED),
        (b'{"files":{},"format":1,"more":0}', TAMPERED),
        (b" " * 70000, UNUSABLE),
    ],
)
def test_a_manifest_that_is_none(sdk, bundle_copy, text, status):
    (bundle_copy / "manifest.json").write_bytes(text)
    refused(sdk, bundle_copy, status)


def test_no_bundle(sdk, tmp_path):
    assert "is no folder" in refused(sdk, tmp_path / "nothing.cns", UNUSABLE)
    (tmp_path / "empty.cns").mkdir()
    assert "there is no manifest.json" in refused(sdk, tmp_path / "empty.cns", UNUSABLE)


@pytest.mark.parametrize("name", ["golden.npz", "quantisation.json", "model_card.md"])
def test_a_sealed_bundle_without_a_file(sdk, bundle_copy, name):
    (bundle_copy / name).unlink()
    reseal(bundle_copy)
    assert f"{name} is missing" in refused(sdk, bundle_copy, UNUSABLE)


def test_a_contract_of_another_version_or_with_another_field(sdk, bundle_copy):
    value = read_bundle(bundle_copy).contract.to_json()
    for change, status, text in (
        ({"schema_version": 2}, UNSUPPORTED, "schema_version 2, this SDK reads 1"),
        ({"colours": True}, UNUSABLE, 'unknown field "colours"; it may need a newer SDK'),
    ):
        (bundle_copy / "contract.json").write_bytes(json_bytes(value | change))
        reseal(bundle_copy)
        assert text in refused(sdk, bundle_copy, status)


def test_a_decision_for_another_model(sdk, ruled, tmp_path):
    path = Path(shutil.copytree(ruled, tmp_path / "other.cns"))
    decision = dataclasses.replace(read_bundle(path).contract.decision, model_sha256="0" * 64)
    contract = dataclasses.replace(read_bundle(path).contract, decision=decision)
    (path / "contract.json").write_bytes(json_bytes(contract.to_json()))
    reseal(path)
    assert "calibrated for another model" in refused(sdk, path, UNUSABLE)


@pytest.mark.parametrize("damage", ["missing", "no array", "nan", "size", "type", "planes"])
def test_arrays_that_do_not_fit(sdk, ruled, tmp_path, damage):
    path = Path(shutil.copytree(ruled, tmp_path / "other.cns"))
    arrays = read_arrays((path / DECISION).read_bytes(), DECISION)
    novelty = arrays["novelty_directions"]
    changes = {
        "no array": {"novelty_directions": novelty[0]},
        "nan": {"novelty_directions": novelty * np.nan},
        "size": {"novelty_directions": novelty[..., :-1]},
        "type": {"novelty_directions": novelty.astype(np.float64)},
        "planes": {"views_kernel": arrays["views_kernel"][:2], "views_bias": arrays["views_bias"][:2]},
    }
    if damage == "missing":
        (path / DECISION).unlink()
    else:
        (path / DECISION).write_bytes(write_arrays(arrays | changes[damage]))
    reseal(path)
    assert "decision.npz" in refused(sdk, path, UNUSABLE)


def test_another_model(sdk, bundle_copy, tiny_bundle):
    shutil.copy(tiny_bundle.with_name("another.tflite"), bundle_copy / "model.tflite")
    reseal(bundle_copy)
    assert "convert" in refused(sdk, bundle_copy, UNSUPPORTED)


def test_a_model_of_another_size(sdk, bundle_copy):
    value = read_bundle(bundle_copy).contract.to_json()
    value["input"] |= {"width": 96}
    (bundle_copy / "contract.json").write_bytes(json_bytes(value))
    reseal(bundle_copy)
    assert "not of one bundle" in refused(sdk, bundle_copy, UNSUPPORTED)


@pytest.mark.parametrize("name", ["image", *OUTPUTS])
def test_golden_vectors_of_another_machine(sdk, bundle_copy, name):
    arrays = read_arrays((bundle_copy / "golden.npz").read_bytes(), "golden.npz")
    for steps, status in ((2, 0), (4, MISMATCH)):
        moved = arrays[name].astype(int)
        value = moved[1].reshape(-1)
        value[0] += -steps if value[0] > 0 and name != "image" else steps
        changed = arrays | {name: moved.astype(arrays[name].dtype)}
        (bundle_copy / "golden.npz").write_bytes(write_arrays(changed))
        reseal(bundle_copy)
        here = Classifier(sdk, bundle_copy)
        assert here.status == status, here.error
        if status == 0:
            assert sdk.edge_cns_classifier_exact(here.handle) == 0
            here.__exit__()
        else:
            assert "golden frame 1" in here.error


def test_a_proof_that_is_required(sdk, tiny_bundle):
    assert "quantisation is undecided" in refused(sdk, tiny_bundle, UNSUPPORTED, require_proof=1)


def test_another_library(sdk, tiny_bundle, tmp_path):
    other = tmp_path / "libLiteRt.so"
    assert "cannot be read" in refused(sdk, tiny_bundle, ENGINE, library=other)
    other.write_bytes(litert_library().read_bytes()[:-1])
    assert "no LiteRT that the SDK knows" in refused(sdk, tiny_bundle, UNSUPPORTED, library=other)


# The example, and memory


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Path:
    """The example with both sanitisers, in a process of its own."""
    program = tmp_path_factory.mktemp("example") / "classify_raw"
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    files = [str(SDK / "src" / f"{name}.c") for name in (*CLASSIFY, *RING)]
    options = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    paths = (f"-I{SDK / 'include'}", f"-I{SDK / 'src'}")
    command = [
        compiler,
        *STRICT,
        *options,
        *paths,
        str(SDK / "examples" / "classify_raw.c"),
        *files,
        "-o",
        str(program),
    ]
    done = subprocess.run([*command, "-lm", "-ldl", "-pthread"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def play(example: Path, *arguments: object, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [str(example), *map(str, arguments)]
    return subprocess.run(command, input=content, capture_output=True, check=False)


def test_the_example_under_the_sanitisers(example, ruled):
    shown = [f for f in frames() if f.pixels.shape == (480, 640) and f.pixels.dtype == np.uint8]
    pixels = [f.pixels for f in shown if f.region is None]
    done = play(example, ruled, litert_library(), 640, 480, "grey8", "-", content=b"".join(p.tobytes() for p in pixels))
    assert done.returncode == 0, done.stderr.decode()
    lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
    with edge_cns.load(ruled) as classifier:
        for number, (line, frame) in enumerate(zip(lines, pixels, strict=True)):
            verdict = classifier.classify(Frame(frame))
            assert line[:3] == [str(number), verdict.state.value, verdict.label or ""]
            assert line[6] == verdict.reason


def test_the_example_says_what_is_wrong(example, tmp_path):
    done = play(example, tmp_path, litert_library(), 640, 480, "grey8", "-")
    assert done.returncode == 2
    assert b"there is no manifest.json" in done.stderr
    assert play(example, "a", "b").returncode == 2


def test_nothing_is_kept_by_a_bundle_that_was_refused(sdk, bundle_copy):
    """Descriptors: none is left open, whatever is refused."""
    before = len(os.listdir("/proc/self/fd"))
    (bundle_copy / "more").write_bytes(b"")
    for _ in range(3):
        refused(sdk, bundle_copy, TAMPERED)
        refused(sdk, bundle_copy / "nothing", UNUSABLE)
    assert len(os.listdir("/proc/self/fd")) == before
