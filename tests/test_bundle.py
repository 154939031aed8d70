from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import socket
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_cns import bundle as bundle_module
from edge_cns.bundle import (
    FOR_CONVERSION,
    MANIFEST,
    REQUIRED,
    read_arrays,
    read_bundle,
    reseal,
    strip,
    write_arrays,
    write_bundle,
)
from edge_cns.errors import BadInputError, EdgeCnsError, TamperedError, UnsupportedError
from edge_cns.runtime.classifier import load

REFUSALS = (TamperedError, BadInputError, UnsupportedError)


def rewrite(path: Path, position: int, value: int) -> bytes:
    """Change one byte; returns what the file was."""
    old = path.read_bytes()
    path.write_bytes(old[:position] + bytes([value]) + old[position + 1 :])
    return old


def refused(path: Path) -> EdgeCnsError:
    with pytest.raises(REFUSALS) as caught:
        read_bundle(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return caught.value


def test_reads_what_was_written(tiny_bundle):
    bundle = read_bundle(tiny_bundle)
    assert set(bundle.files) == {*REQUIRED, *FOR_CONVERSION}
    assert all(bundle.files[name] == (tiny_bundle / name).read_bytes() for name in bundle.files)
    assert bundle.contract.class_names == ("anencephaly", "encephalocele", "normal")
    assert bundle.proof == "undecided"
    assert {name: len(hashes) for name, hashes in bundle.patients["sets"].items()}["fit"] == 2


def test_the_manifest_is_what_other_programs_expect(tiny_bundle):
    manifest = json.loads((tiny_bundle / MANIFEST).read_text())
    assert manifest["format"] == 1
    assert set(manifest["files"]) == set(os.listdir(tiny_bundle)) - {MANIFEST}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((tiny_bundle / name).read_bytes()).hexdigest() == digest


# Tampering


def test_every_byte_of_the_manifest_counts(tiny_bundle, tmp_path):
    files = read_bundle(tiny_bundle).files
    light = {name: files[name] if name.endswith(".json") else b"short" for name in REQUIRED}  # quick to hash
    write_bundle(tmp_path / "light.cns", light)
    manifest = tmp_path / "light.cns" / MANIFEST
    original = manifest.read_bytes()
    for position, byte in enumerate(original):
        for value in {byte ^ 1, byte ^ 0x80, ord('"')} - {byte}:
            rewrite(manifest, position, value)
            refused(tmp_path / "light.cns")
            manifest.write_bytes(original)


@pytest.mark.parametrize("name", sorted({*REQUIRED, *FOR_CONVERSION}))
def test_any_byte_of_any_file_counts(bundle_copy, name):
    path = bundle_copy / name
    size = path.stat().st_size
    for position in np.unique(np.linspace(0, size - 1, 60).astype(int)):
        old = rewrite(path, position, path.read_bytes()[position] ^ (1 << position % 8))
        error = refused(bundle_copy)
        assert isinstance(error, TamperedError)
        assert name in str(error)
        path.write_bytes(old)
    for other in (b"", old[:-1], old + b"\0"):
        path.write_bytes(other)
        assert isinstance(refused(bundle_copy), TamperedError)


@pytest.mark.parametrize("name", [*REQUIRED, *FOR_CONVERSION, MANIFEST])
def test_a_missing_file(bundle_copy, name):
    (bundle_copy / name).unlink()
    assert name in str(refused(bundle_copy))


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        cwd = Path.cwd()
        os.chdir(path.parent)  # a socket's path is short
        made.bind(path.name)
        os.chdir(cwd)


KINDS = {
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to the same content": lambda path: path.symlink_to(path.parent.parent / "kept"),
    "FIFO": os.mkfifo,
    "folder": Path.mkdir,
    "socket": make_socket,
}


@pytest.mark.parametrize("name", ["model.tflite", MANIFEST])
@pytest.mark.parametrize("kind", KINDS)
def test_something_else_in_place_of_a_file(bundle_copy, name, kind):
    path = bundle_copy / name
    path.rename(bundle_copy.parent / "kept")
    KINDS[kind](path)
    error = refused(bundle_copy)
    if not (name == MANIFEST and kind == "link to itself"):  # that reads as no manifest at all
        assert isinstance(error, TamperedError)
        assert "is not a regular file" in str(error)


@pytest.mark.parametrize("name", ["extra", ".hidden", "model.tflite~", "évil\n.txt"])
def test_an_extra_file(bundle_copy, name):
    (bundle_copy / name).touch()
    error = refused(bundle_copy)
    assert isinstance(error, TamperedError)
    assert f"{name!r} is not listed" in str(error)


def test_no_file_descriptor_is_lost(bundle_copy):
    (bundle_copy / "model.tflite").unlink()
    (bundle_copy / "model.tflite").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        refused(bundle_copy)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "name",
    ["../outside", "/etc/passwd", "a/b", "", ".", "..", MANIFEST, "a\0b", "a\nb", "\ud800", "model.sig", "x" * 300],
)
def test_a_manifest_cannot_name_what_is_no_file_of_a_bundle(bundle_copy, name):
    (bundle_copy.parent / "outside").write_bytes(b"")
    manifest = json.loads((bundle_copy / MANIFEST).read_text())
    manifest["files"][name] = hashlib.sha256(b"").hexdigest()
    (bundle_copy / MANIFEST).write_text(json.dumps(manifest))
    assert isinstance(refused(bundle_copy), TamperedError)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"files":{},"format":1}',
        b'{"files":[],"format":1}',
        b'{"files":{"model.tflite":3},"format":1}',
        b'{"files":{},"format":true}',
        b'{"files":{},"format":2}',
        b'{"files":{},"format":1,"more":1}',
        b'{"files":{},"files":{},"format":1}',
        b"\xff\xfe",
        b"[" * 60_000,
        b" " * 70_000,
    ],
    ids=lambda c: c[:30].decode("latin-1"),
)
def test_a_manifest_that_is_none(bundle_copy, content):
    (bundle_copy / MANIFEST).write_bytes(content)
    refused(bundle_copy)


@given(st.binary(max_size=300))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_manifest_is_refused_in_one_line(bundle_copy, content):
    (bundle_copy / MANIFEST).write_bytes(content)
    refused(bundle_copy)


def test_a_bundle_is_a_folder(tmp_path):
    for path, word in ((tmp_path / "none.cns", "does not exist"), (tmp_path, "has no manifest.json")):
        with pytest.raises(BadInputError, match=word):
            read_bundle(path)
    (tmp_path / "file.cns").touch()
    with pytest.raises(BadInputError, match="is a file"):
        read_bundle(tmp_path / "file.cns")


# Sealed, but not a bundle of ours


def reseal_with(path: Path, name: str, content: bytes) -> None:
    (path / name).write_bytes(content)
    assert reseal(path) == (name,)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("contract.json", b"{}"),
        ("contract.json", b"\xff"),
        ("contract.json", b'{"classes":[],"input":{},"intended_use":{},"decision":{},"schema_version":1}'),
        ("quantisation.json", b"[]"),
        ("quantisation.json", b"{}"),
        ("quantisation.json", b'{"outcome":"fine"}'),
        ("quantisation.json", b'{"outcome":["passed"]}'),
        ("quantisation.json", b'{"outcome":"passed","x":NaN}'),
    ],
)
def test_sealed_nonsense_is_bad_input(bundle_copy, name, content):
    reseal_with(bundle_copy, name, content)
    error = refused(bundle_copy)
    assert isinstance(error, BadInputError)
    assert name in str(error) or "contract" in str(error)


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"salt":1,"sets":{}}', b'{"salt":"","sets":{"fit":3}}', b"x"])
def test_sealed_patients_that_are_none(bundle_copy, content):
    reseal_with(bundle_copy, "patients.json", content)
    with pytest.raises(BadInputError, match=r"patients\.json"):
        _ = read_bundle(bundle_copy).patients


def test_a_required_file_that_is_sealed_out(bundle_copy):
    (bundle_copy / "golden.npz").unlink()
    reseal(bundle_copy)
    with pytest.raises(BadInputError, match=r"golden\.npz is missing"):
        read_bundle(bundle_copy)


# reseal and strip


def test_reseal_accepts_a_change_made_on_purpose(bundle_copy):
    contract = json.loads((bundle_copy / "contract.json").read_text())
    contract["decision"]["temperature"] = 2.0
    (bundle_copy / "contract.json").write_text(json.dumps(contract))
    (bundle_copy / "model.sig").write_bytes(b"a signature")
    refused(bundle_copy)
    assert reseal(bundle_copy) == ("contract.json",)
    assert not (bundle_copy / "model.sig").exists(), "it signs what is no more"
    assert read_bundle(bundle_copy).contract.decision.temperature == 2.0
    assert reseal(bundle_copy) == ()
    with load(bundle_copy) as classifier:
        assert classifier.contract.decision.temperature == 2.0


def test_a_contract_that_was_calibrated_for_another_model(bundle_copy):
    contract = json.loads((bundle_copy / "contract.json").read_text())
    contract["decision"] |= {"calibrated": True, "model_sha256": "0" * 64}
    (bundle_copy / "contract.json").write_text(json.dumps(contract))
    reseal(bundle_copy)
    with pytest.raises(BadInputError, match=r"calibrated for another model \(sha256 000000000000, model.tflite has"):
        read_bundle(bundle_copy)


def test_a_decision_whose_arrays_are_missing(bundle_copy):
    contract = json.loads((bundle_copy / "contract.json").read_text())
    digest = hashlib.sha256((bundle_copy / "model.tflite").read_bytes()).hexdigest()
    novelty = {"threshold": 1.0, "false_alarm": 0.05}
    contract["decision"] |= {"calibrated": True, "model_sha256": digest, "novelty": novelty}
    (bundle_copy / "contract.json").write_text(json.dumps(contract))
    reseal(bundle_copy)
    with pytest.raises(BadInputError, match=r"decision\.npz is missing"):
        read_bundle(bundle_copy)


def test_a_signature_beside_the_files_is_no_extra_file(bundle_copy):
    (bundle_copy / "model.sig").write_bytes(b"a signature")
    read_bundle(bundle_copy)


def test_reseal_mends_a_broken_manifest(bundle_copy):
    (bundle_copy / MANIFEST).write_bytes(b"{")
    assert set(reseal(bundle_copy)) == {*REQUIRED, *FOR_CONVERSION}
    read_bundle(bundle_copy)


def test_a_reseal_that_fails_keeps_manifest_and_signature(bundle_copy, monkeypatch):
    (bundle_copy / "model.sig").write_bytes(b"a signature")
    (bundle_copy / "model_card.md").write_text("changed")
    before = (bundle_copy / MANIFEST).read_bytes()
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        reseal(bundle_copy)
    assert (bundle_copy / MANIFEST).read_bytes() == before
    assert (bundle_copy / "model.sig").exists()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("model.tflite")])
def test_reseal_seals_regular_files_only(bundle_copy, make):
    before = (bundle_copy / MANIFEST).read_bytes()
    make(bundle_copy / "odd")
    with pytest.raises(TamperedError, match="odd is not a regular file"):
        reseal(bundle_copy)
    assert (bundle_copy / MANIFEST).read_bytes() == before


@pytest.mark.parametrize("action", [reseal, strip])
def test_reseal_and_strip_need_a_bundle(tmp_path, action):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "none", tmp_path / "file"):
        with pytest.raises(BadInputError):
            action(path)


def test_strip_leaves_what_a_device_needs(bundle_copy):
    whole = read_bundle(bundle_copy)
    (bundle_copy / "model.sig").write_bytes(b"a signature")
    assert strip(bundle_copy) == FOR_CONVERSION
    assert set(os.listdir(bundle_copy)) == {*REQUIRED, MANIFEST}
    assert os.listdir(bundle_copy.parent) == ["copy.cns"]
    assert bundle_copy.stat().st_mode & 0o777 == 0o755
    assert read_bundle(bundle_copy).files == {name: whole.files[name] for name in REQUIRED}
    assert strip(bundle_copy) == ()
    with load(bundle_copy) as classifier:
        assert classifier.classify(np.full((100, 100), 90, np.uint8)).label


def test_strip_does_not_touch_a_tampered_bundle(bundle_copy):
    rewrite(bundle_copy / "model.tflite", 100, 7)
    with pytest.raises(TamperedError):
        strip(bundle_copy)
    assert (bundle_copy / "float.tflite").exists()


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_strip_that_fails_keeps_the_bundle(bundle_copy, monkeypatch):
    whole = read_bundle(bundle_copy).files
    rename, renamed = Path.rename, []

    def second_fails(source: Path, target: Path) -> object:
        renamed.append(source)
        return full_disk() if len(renamed) == 2 else rename(source, target)

    for owner, name, broken in ((os, "fsync", full_disk), (Path, "rename", second_fails)):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, broken)
            with pytest.raises(OSError, match="No space"):
                strip(bundle_copy)
        assert read_bundle(bundle_copy).files == whole
        assert os.listdir(bundle_copy.parent) == ["copy.cns"]


# Writing


def test_write_bundle_is_read_bundle_backwards(tiny_bundle, tmp_path):
    whole = read_bundle(tiny_bundle)
    write_bundle(tmp_path / "again.cns", whole.files)
    assert read_bundle(tmp_path / "again.cns").files == whole.files
    assert (tmp_path / "again.cns" / MANIFEST).read_bytes() == (tiny_bundle / MANIFEST).read_bytes()


def test_write_bundle_names_and_replaces(tiny_bundle, tmp_path):
    files = read_bundle(tiny_bundle).files
    with pytest.raises(BadInputError, match=r"end it in \.cns"):
        write_bundle(tmp_path / "bundle", files)
    (tmp_path / "there.cns").mkdir()
    with pytest.raises(BadInputError, match="exists already"):
        write_bundle(tmp_path / "there.cns", files)
    assert os.listdir(tmp_path) == ["there.cns"]


@pytest.mark.parametrize("at", range(1, 10))
def test_a_disk_that_fills_up_leaves_nothing(tiny_bundle, tmp_path, monkeypatch, at):
    files = read_bundle(tiny_bundle).files
    replace, count = Path.replace, [0]

    def fails_at(source: Path, target: Path) -> object:
        count[0] += 1
        return full_disk() if count[0] == at else replace(source, target)

    monkeypatch.setattr(Path, "replace", fails_at)
    with pytest.raises(OSError, match="No space"):
        write_bundle(tmp_path / "new.cns", files)
    assert count[0] == at
    assert os.listdir(tmp_path) == []


# Arrays


ARRAYS = {
    "a": np.arange(12, dtype=np.int8).reshape(3, 4),
    "scalar": np.array(3.5),
    "empty": np.zeros((0, 4), np.uint8),
    "turned": np.arange(12.0).reshape(3, 4).T,
}


def test_arrays_and_back():
    content = write_arrays(ARRAYS)
    back = read_arrays(content, "x.npz")
    assert list(back) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        assert np.array_equal(back[name], array)
    assert np.array_equal(np.load(io.BytesIO(content))["a"], ARRAYS["a"]), "it is numpy's own format"


def test_bytes_depend_on_the_arrays_alone():
    turned = {name: np.asfortranarray(array) if array.ndim > 1 else array for name, array in ARRAYS.items()}
    assert write_arrays(turned) == write_arrays(ARRAYS)


def archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return buffer.getvalue()


def npy(array: np.ndarray, shape: str | None = None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    content = buffer.getvalue()
    if shape is not None:
        header = content[10 : 10 + int.from_bytes(content[8:10], "little")].decode()
        start, end = header.index("("), header.index(")") + 1
        new = (header[:start] + shape + header[end:]).strip().ljust(len(header) - 1)[: len(header) - 1] + "\n"
        content = content[:10] + new.encode() + content[10 + len(header) :]
    return content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"no archive",
        npy(np.zeros(3)),
        npy(np.zeros(3)) + archive({"a.npy": npy(np.zeros(3))})[:-5],
        archive({"a.npy": b""}),
        archive({"a.npy": b"not an array"}),
        archive({"a.npy": npy(np.array([{}], dtype=object))}),
        archive({"a.npy": npy(np.zeros(3), "(99999999999,)")}),
        archive({"a.npy": npy(np.zeros(3), "(10**30,)")}),
        archive({"a.npy": npy(np.zeros(3), f"({10**30},)")}),
        archive({"a.npy": npy(np.zeros(3), "(-1,)")}),
    ],
    ids=range(12),
)
def test_what_is_no_archive_of_arrays(content):
    with pytest.raises(BadInputError, match=r"x\.npz is not a valid array archive") as caught:
        read_arrays(content, "x.npz")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 320


def test_a_bomb_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(bundle_module, "_MAX_FILE", 10 * 2**20)
    bomb = archive({f"{i}.npy": bytes(4 * 2**20) for i in range(3)})
    assert len(bomb) < 2**16
    with pytest.raises(BadInputError, match="more than a bundle may hold"):
        read_arrays(bomb, "x.npz")


@given(st.integers(0, 10_000), st.integers(0, 255), st.integers(1, 40))
def test_damage_is_one_kind_of_error(position, value, length):
    content = bytearray(write_arrays({"a": np.arange(300, dtype=np.int16), "b": np.eye(9)}))
    position %= len(content)
    content[position : position + length] = bytes([value]) * length
    with suppress(BadInputError):  # and nothing else, however it is damaged
        read_arrays(bytes(content), "x.npz")
