from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import pytest

from edge_cns.atomic import json_bytes, new_folder, replaced_folder, write_bytes, write_json, write_text
from edge_cns.errors import BadInputError


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_whole_and_readable_by_all(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"one")
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os if step == "fsync" else Path, step, full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "file", b"new")
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []


def test_a_folder_in_the_way_stays(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_bytes(tmp_path / "file", b"new")
    assert os.listdir(tmp_path) == ["file"]


def test_text_and_json(tmp_path):
    write_text(tmp_path / "a", "é\n")
    write_json(tmp_path / "b", {"é": [1, None]})
    assert (tmp_path / "a").read_bytes() == "é\n".encode()
    assert json.loads((tmp_path / "b").read_bytes()) == {"é": [1, None]}
    for number in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not JSON compliant"):
            json_bytes({"x": number})


def test_a_new_folder_appears_whole(tmp_path):
    path = tmp_path / "parent" / "folder"
    with new_folder(path) as folder:
        (folder / "a").write_text("a")
        assert not path.exists()
    assert os.listdir(path) == ["a"]
    assert path.stat().st_mode & 0o777 == 0o755
    assert os.listdir(path.parent) == ["folder"]


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_a_new_folder_replaces_nothing(tmp_path, kind):
    path = tmp_path / "it"
    {"folder": path.mkdir, "file": path.touch, "dangling link": lambda: path.symlink_to("nowhere")}[kind]()
    with pytest.raises(BadInputError, match="exists already"), new_folder(path):
        pass
    assert os.listdir(tmp_path) == ["it"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), ValueError("bug")])
def test_a_new_folder_that_fails_leaves_nothing(tmp_path, error):
    def fails() -> None:
        with new_folder(tmp_path / "it") as folder:
            (folder / "a").write_text("a")
            raise error

    with pytest.raises(type(error)):
        fails()
    assert os.listdir(tmp_path) == []


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "it"
    path.mkdir()
    (path / "old").write_text("old")
    return path


def test_a_folder_is_replaced(tmp_path, old):
    with replaced_folder(old) as folder:
        (folder / "new").write_text("new")
        assert os.listdir(old) == ["old"]
    assert os.listdir(old) == ["new"]
    assert os.listdir(tmp_path) == ["it"]


def test_replacing_through_a_link_and_a_dot(tmp_path, old, monkeypatch):
    (tmp_path / "link").symlink_to("it")
    with replaced_folder(tmp_path / "link") as folder:
        (folder / "new").touch()
    assert (tmp_path / "link").is_symlink()
    assert os.listdir(old) == ["new"]
    monkeypatch.chdir(old)
    with replaced_folder(Path()) as folder:
        (folder / "newer").touch()
    assert os.listdir(old) == ["newer"]


def test_the_old_folder_survives_whatever_fails(tmp_path, old, monkeypatch):
    def fails() -> None:
        with replaced_folder(old) as folder:
            (folder / "new").touch()
            full_disk()

    with pytest.raises(OSError, match="No space"):
        fails()
    assert os.listdir(tmp_path) == ["it"]
    assert os.listdir(old) == ["old"]

    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda a, b: full_disk() if (a / "new").exists() else rename(a, b))
    with pytest.raises(OSError, match="No space"), replaced_folder(old) as folder:
        (folder / "new").touch()
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["it"]
    assert os.listdir(old) == ["old"]
