from __future__ import annotations

import sys

import pytest

from edge_cns.errors import MissingExtraError
from edge_cns.runtime.recording.seal import BadSealError, make_seal
from tests.runtime.recording.made import KEY

NONCE, PLACE = bytes(12), b"segment 1, record 2"


@pytest.mark.parametrize("key", [KEY, None])
@pytest.mark.parametrize("plain", [b"", b"a patient", bytes(100_000)])
def test_what_was_sealed_comes_back_from_its_own_place_alone(key, plain):
    seal = make_seal(key)
    sealed = seal.seal(plain, NONCE, PLACE)
    assert len(sealed) == len(plain) + seal.overhead
    assert seal.unseal(sealed, NONCE, PLACE) == plain
    changed = bytes([sealed[0] ^ 1]) + sealed[1:]
    for wrong in (
        (changed, NONCE, PLACE),
        (sealed, b"1" * 12, PLACE),
        (sealed, NONCE, b"elsewhere"),
        (b"", NONCE, b""),
    ):
        with pytest.raises(BadSealError):
            seal.unseal(*wrong)


def test_another_key_opens_nothing_and_is_told_apart():
    one, other = make_seal(KEY), make_seal(KEY[::-1])
    sealed = one.seal(b"a patient", NONCE, PLACE)
    assert b"patient" not in sealed
    with pytest.raises(BadSealError):
        other.unseal(sealed, NONCE, PLACE)
    assert one.key_check(b"r" * 16) != other.key_check(b"r" * 16)
    assert one.key_check(b"r" * 16) != one.key_check(b"s" * 16), "two recordings cannot be linked by it"


def test_without_the_library_the_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(MissingExtraError, match=r"edge-cns\[live\]"):
        make_seal(KEY)
    make_seal(None)
