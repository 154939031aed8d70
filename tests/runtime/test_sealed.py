"""Memory that two processes share."""

from __future__ import annotations

import os

import pytest

from edge_cns.runtime.sealed import is_sealed, sealed_memory


def test_its_size_stays_and_its_content_may_change():
    descriptor = sealed_memory("test", 4096)
    assert is_sealed(descriptor)
    os.pwrite(descriptor, b"x", 0)
    for size in (0, 8192):
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, size)
    os.close(descriptor)


def test_sealed_content_cannot_be_changed():
    descriptor = sealed_memory("test", 4, b"seal")
    assert is_sealed(descriptor)
    assert os.pread(descriptor, 10, 0) == b"seal"
    with pytest.raises(PermissionError):
        os.pwrite(descriptor, b"x", 0)
    os.close(descriptor)


def test_what_may_shrink_is_not_sealed(tmp_path):
    memory = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    with (tmp_path / "file").open("wb") as file:
        assert not is_sealed(memory)
        assert not is_sealed(file.fileno())
    os.close(memory)
