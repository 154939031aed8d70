"""From a finished training to a bundle: what is written when, what is in it, and what is left after a failure."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import converters.convert as module
import edge_cns
from converters.convert import convert, report_path
from edge_cns import bundle as bundle_module
from edge_cns.bundle import FOR_CONVERSION, REQUIRED, read_arrays, read_bundle
from edge_cns.cli import run
from edge_cns.contract import OUTPUTS
from edge_cns.data.images import read_image
from edge_cns.data.manifest import read_manifest
from edge_cns.data.splits import patient_hash
from edge_cns.errors import BadInputError
from edge_cns.preprocess import as_float, image
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.runtime.selftest import check_golden
from edge_cns.training.dataset import load_images, rows_of
from edge_cns.training.model import predict_logits, read_classifier
from tests.converters.faults import widen_range
from tests.trained import Trained


@pytest.fixture
def instant(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """The two TFLite models come from the session's bundle: the rest of the conversion is what is tested."""
    monkeypatch.setattr(module, "to_float", lambda model: trained.bundle.files["float.tflite"])
    monkeypatch.setattr(module, "to_int8", lambda model, calibration: trained.bundle.files["model.tflite"])
    return trained


@pytest.fixture
def broken(instant: Trained, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """The same, with one layer's range 50 times too wide."""
    model = widen_range(instant.bundle.files["model.tflite"], "block_1_project", 50)
    monkeypatch.setattr(module, "to_int8", lambda *_: model)
    return instant


def converted(trained: Trained, out: Path, *options: str) -> int:
    return run(["convert", str(trained.run.path), "--out", str(out), *options])


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


class TestOutcomes:
    def test_failed_writes_the_report_and_no_bundle(self, broken: Trained, tmp_path: Path, capsys) -> None:
        out = tmp_path / "new" / "x.cns"  # the folder is made for the report too
        assert converted(broken, out) == 1
        captured = capsys.readouterr()
        assert "gate failed: int8 loses sensitivity in: " in captured.out
        assert "noise enters at layer block_1_project (CONV_2D)" in captured.out
        assert captured.err.splitlines() == [
            f"error: the gate failed; no bundle was written, the report is {tmp_path}/new/x.quantisation.json"
        ]
        assert [path.name for path in out.parent.iterdir()] == ["x.quantisation.json"]
        report = json.loads(report_path(out).read_text())
        assert (report["outcome"], report["written"], report["drift_allowed"]) == ("failed", False, False)
        assert report["layers"][0]["layer"] == "block_1_project"
        assert report["int8_accuracy"] < report["float_accuracy"]

    def test_allow_drift_writes_it_and_stamps_it(self, broken: Trained, tmp_path: Path, capsys) -> None:
        out = tmp_path / "x.cns"
        assert converted(broken, out, "--allow-drift") == 0
        assert f"{out}: written although the gate failed (--allow-drift)" in capsys.readouterr().out
        bundle = read_bundle(out)
        assert bundle.proof == "failed"
        assert bundle.quantisation["drift_allowed"] is True
        assert "**The gate failed" in bundle.files["model_card.md"].decode()
        assert run(["bundle", "inspect", str(out)]) == 0
        assert "failed (written with --allow-drift)" in capsys.readouterr().out
        with edge_cns.load(out) as classifier:
            assert "quantisation failed" in classifier.remarks
        assert run(["bundle", "inspect", str(out), "--require-proof"]) == 2

    def test_undecided_is_written_and_stamped(self, instant: Trained, tmp_path: Path, capsys) -> None:
        out = tmp_path / "x.cns"
        assert converted(instant, out) == 0
        assert "of the 149 patients that a margin of 0.02 needs" in json.dumps(read_bundle(out).quantisation)
        assert read_bundle(out).proof == "undecided"
        assert "too few to show that nothing was lost" in (out / "model_card.md").read_text()
        with edge_cns.load(out) as classifier:
            verdict = classifier.classify(read_image(instant.labels.parent / "p000-0.png"))
        assert verdict.proof == "undecided"
        assert "quantisation undecided" in verdict.reason

    @pytest.mark.parametrize("options", [[], ["--allow-drift"]])
    def test_require_proof_refuses_undecided(self, instant: Trained, tmp_path: Path, capsys, options) -> None:
        out = tmp_path / "x.cns"
        assert converted(instant, out, "--require-proof", *options) == 1
        assert "did not pass, and --require-proof asks for a proof" in one_line(capsys)
        assert [path.name for path in tmp_path.iterdir()] == ["x.quantisation.json"]

    def test_require_proof_is_stronger_than_allow_drift(self, broken: Trained, tmp_path: Path) -> None:
        assert converted(broken, tmp_path / "x.cns", "--require-proof", "--allow-drift") == 1
        assert not (tmp_path / "x.cns").exists()

    def test_passed_with_a_margin_that_the_patients_can_show(self, trained: Trained) -> None:
        assert trained.bundle.proof == "passed"
        trained.bundle.require_proof()
        assert trained.bundle.quantisation["margin"] == 0.4


class TestContent:
    def test_files(self, trained: Trained) -> None:
        assert set(trained.bundle.files) == {*REQUIRED, *FOR_CONVERSION}

    def test_quantisation_json(self, trained: Trained) -> None:
        record = trained.bundle.quantisation
        assert record["method"] == "ptq"
        assert record["written"] is True
        assert record["calibration_frames"] == 72
        assert record["n_frames"] == 81
        assert record["n_patients"] == 27
        assert set(record["classes"]) == set(trained.run.contract.class_names)
        assert record["training"]["settings"] == trained.run.record["settings"]
        assert record["training"]["frames"] == {"fit": 72, "stop": 18, "calibrate": 18, "gate": 81}
        assert record["golden"]["tolerance_steps"].keys() == set(OUTPUTS)
        assert record["shortcut_warnings"] == []
        assert "p000" not in trained.bundle.files["quantisation.json"].decode()  # no patient id

    def test_float_model_is_the_trained_one(self, trained: Trained) -> None:
        rows = rows_of(read_manifest(trained.labels), trained.run.sets, "gate")[::9]
        images = load_images(rows, trained.run.contract, "").images
        engine = LiteRT(trained.bundle.files["float.tflite"])
        for picture, logits in zip(images, predict_logits(read_classifier(trained.run.model), images), strict=True):
            engine.input()[:] = as_float(picture[None])
            engine.invoke()
            np.testing.assert_allclose(engine.output("logits")[0], logits, atol=1e-3)

    def test_outputs_are_found_by_name_and_fit_together(self, trained: Trained) -> None:
        """The average of the maps is the logits, in either model, whatever order the converter gave the outputs."""
        frame = read_image(trained.labels.parent / "p004-1.png")
        with edge_cns.load(trained.bundle.path) as classifier:
            classifier.classify(frame)
            logits, cam, embedding = (classifier.output(name) for name in OUTPUTS)
            steps = [classifier.backend.quantisation(name)[0] for name in OUTPUTS]
        assert (logits.shape, cam.shape, embedding.shape) == ((3,), (8, 8, 3), (64,))
        np.testing.assert_allclose(cam.mean(axis=(0, 1)), logits, atol=2 * steps[0] + steps[1])
        kernel, bias = read_classifier(trained.run.model).get_layer("cam").get_weights()
        np.testing.assert_allclose(embedding @ kernel[0, 0] + bias, logits, atol=0.3)

    def test_calibration_holds_fit_patients_only(self, trained: Trained) -> None:
        manifest, sets = read_manifest(trained.labels), trained.run.sets
        spec = trained.run.contract.input
        owner = {image(read_image(row.path), spec).tobytes(): row.patient_id for row in manifest.rows}
        images = read_arrays(trained.bundle.files["calibration.npz"], "calibration.npz")["images"]
        patients = {owner[picture.tobytes()] for picture in images}
        assert patients == {patient for patient, name in sets.items() if name == "fit"}

    def test_patients_are_hashed_with_a_salt_of_the_bundle(self, instant: Trained, tmp_path: Path) -> None:
        patients = instant.bundle.patients
        expected = {name: set() for name in ("fit", "stop", "calibrate", "gate")}
        for patient, name in instant.run.sets.items():
            expected[name].add(patient_hash(patients["salt"], patient))
        assert {name: set(hashes) for name, hashes in patients["sets"].items()} == expected
        assert not any(
            row.patient_id in instant.run.sets for row in read_manifest(instant.labels).rows if row.split == "test"
        )
        convert(instant.run.path, tmp_path / "x.cns")
        assert read_bundle(tmp_path / "x.cns").patients["salt"] != patients["salt"]

    def test_golden_vectors_hold(self, trained: Trained) -> None:
        with edge_cns.load(trained.bundle.path) as classifier:
            assert check_golden(trained.bundle, classifier.backend) is True  # exact: this machine recorded them

    def test_model_card(self, trained: Trained) -> None:
        card = trained.bundle.files["model_card.md"].decode()
        assert card.startswith("# mobilenet_v2 for bars, coarse, fine\n\n**Research use only. Not a medical device.")
        assert "64x64 px grey" in card
        assert "Data: 216 frames of 72 patients" in card
        assert "fit 72, stop 18, calibrate 18, gate 81" in card
        assert "Start: random numbers" in card
        assert "gate **passed** at margin 0.4" in card
        assert all(f"| {name} | 27 | 9 | " in card for name in ("bars", "coarse", "fine"))

    def test_calibration_rows_take_each_class_in_turn(self, trained: Trained, monkeypatch) -> None:
        monkeypatch.setattr(module, "_CALIBRATION_FRAMES", 10)
        fit = rows_of(read_manifest(trained.labels), trained.run.sets, "fit")
        labels = [row.label for row in module._calibration_rows(fit)]
        assert labels == ["bars", "coarse", "fine"] * 3 + ["bars"]


class TestRefusals:
    """Each is one line and exit 2, and leaves nothing behind."""

    def refused(self, arguments: list[str], capsys) -> str:
        assert run(["convert", *arguments]) == 2
        return one_line(capsys)

    @pytest.fixture
    def copy(self, trained: Trained, tmp_path: Path) -> Path:
        path = tmp_path / "run"
        shutil.copytree(trained.run.path, path)
        return path

    def test_labels_have_changed(self, trained: Trained, copy: Path, tmp_path: Path, capsys) -> None:
        labels = tmp_path / "labels.csv"
        labels.write_text(trained.labels.read_text().replace("p000-0.png,bars", "p000-0.png,fine"))
        record = json.loads((copy / "run.json").read_text()) | {"labels": str(labels)}
        (copy / "run.json").write_text(json.dumps(record))
        message = self.refused([str(copy), "--out", str(tmp_path / "x.cns")], capsys)
        assert f"{labels} has changed since {copy} was trained on it" in message
        assert not (tmp_path / "x.cns").exists()

    def test_labels_are_gone(self, copy: Path, tmp_path: Path, capsys) -> None:
        record = json.loads((copy / "run.json").read_text()) | {"labels": str(tmp_path / "gone.csv")}
        (copy / "run.json").write_text(json.dumps(record))
        assert "gone.csv does not exist" in self.refused([str(copy), "--out", str(tmp_path / "x.cns")], capsys)

    def test_output_exists(self, trained: Trained, tmp_path: Path, capsys) -> None:
        (tmp_path / "x.cns").mkdir()
        assert "exists already" in self.refused([str(trained.run.path), "--out", str(tmp_path / "x.cns")], capsys)
        assert list((tmp_path / "x.cns").iterdir()) == []

    @pytest.mark.parametrize("name", ["x", "x.tflite", "x.cns.zip"])
    def test_output_is_not_a_bundles_name(self, trained: Trained, tmp_path: Path, capsys, name: str) -> None:
        message = self.refused([str(trained.run.path), "--out", str(tmp_path / name)], capsys)
        assert "must end in .cns" in message

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda run: None, "does not exist"),
            (lambda run: run.write_text("x"), "is a file"),
            (lambda run: run.mkdir(), "is no training"),
            (lambda run: (run.mkdir(), (run / "settings.json").write_text("{}")), "is unfinished; repeat its train"),
            (lambda run: (run.mkdir(), (run / "run.json").write_text("[]")), "run.json is damaged"),
            (lambda run: (run.mkdir(), (run / "run.json").write_text('{"contract": {}}')), "run.json is damaged"),
            (lambda run: (run.mkdir(), (run / "run.json").write_bytes(b"\xff")), "run.json is not valid JSON"),
        ],
    )
    def test_no_finished_training(self, tmp_path: Path, capsys, make, message: str) -> None:
        make(tmp_path / "run")
        assert message in self.refused([str(tmp_path / "run"), "--out", str(tmp_path / "x.cns")], capsys)

    def test_margin_out_of_range(self, trained: Trained, tmp_path: Path, capsys) -> None:
        arguments = [str(trained.run.path), "--out", str(tmp_path / "x.cns"), "--margin", "2"]
        assert "--margin" in self.refused(arguments, capsys)

    def test_an_image_is_gone(self, instant: Trained, copy: Path, tmp_path: Path, capsys) -> None:
        folder = tmp_path / "set"
        shutil.copytree(instant.labels.parent, folder)
        (folder / "p040-0.png").unlink()  # of the gate
        record = json.loads((copy / "run.json").read_text()) | {"labels": str(folder / "labels.csv")}
        (copy / "run.json").write_text(json.dumps(record))
        assert "p040-0.png does not exist" in self.refused([str(copy), "--out", str(tmp_path / "x.cns")], capsys)
        assert {path.name for path in tmp_path.iterdir()} == {"run", "set"}

    @pytest.mark.parametrize("name", ["model.tflite", "float.tflite", "manifest.json"])
    def test_a_full_disk_leaves_nothing(self, instant: Trained, tmp_path: Path, capsys, monkeypatch, name: str) -> None:
        write = bundle_module.write_bytes

        def full(path: Path, content: bytes) -> None:
            if path.name == name:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            write(path, content)

        monkeypatch.setattr(bundle_module, "write_bytes", full)
        message = self.refused([str(instant.run.path), "--out", str(tmp_path / "x.cns")], capsys)
        assert "No space left on device" in message
        assert list(tmp_path.iterdir()) == []

    def test_a_float_model_that_is_not_the_trained_one(
        self, instant: Trained, monkeypatch, tmp_path: Path, capsys
    ) -> None:
        from ai_edge_litert import schema_py_generated as schema

        root = schema.ModelT.InitFromPackedBuf(instant.bundle.files["float.tflite"], 0)
        graph = root.subgraphs[0]
        operator = next(op for op in graph.operators if b"block_4_expand" in graph.tensors[op.outputs[0]].name)
        buffer = root.buffers[graph.tensors[operator.inputs[1]].buffer]
        buffer.data = np.zeros(len(buffer.data), np.uint8)
        builder = schema.flatbuffers.Builder(1 << 16)
        builder.Finish(root.Pack(builder), b"TFL3")
        monkeypatch.setattr(module, "to_float", lambda model: bytes(builder.Output()))
        message = self.refused([str(instant.run.path), "--out", str(tmp_path / "x.cns")], capsys)
        assert "the float model differs from Keras by" in message


def test_damaged_model(trained: Trained, tmp_path: Path) -> None:
    content = trained.run.model.read_bytes()
    rng = np.random.default_rng(0)
    damages = [b"", content[: len(content) // 2], content[:-30], b"PK" + content[2:4] + bytes(100)]
    for _ in range(6):
        flipped = bytearray(content)
        for position in rng.integers(0, len(content), 20):
            flipped[position] ^= 0xFF
        damages.append(bytes(flipped))
    for number, damage in enumerate(damages):
        path = tmp_path / f"{number}.keras"
        path.write_bytes(damage)
        with pytest.raises(BadInputError, match="cannot be loaded"):
            read_classifier(path)
