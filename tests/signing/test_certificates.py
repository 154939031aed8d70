from __future__ import annotations

import pytest

pytest.importorskip("cryptography", reason="signatures need the sign extra")

from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.errors import TamperedError
from edge_cns.signing.certificates import certificates_in, common_name, verified_signer
from tests.signing.pki import NOW, SERVER, issue, key_usage, root

ROOT = root()
BETWEEN = issue("Hospital models", ROOT, ca=True, path_length=0)


def refused(ders, roots=(ROOT,), now=NOW) -> str:
    with pytest.raises(TamperedError) as caught:
        verified_signer(ders, [holder.certificate for holder in roots], now)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("by", [ROOT, BETWEEN], ids=["root", "between"])
def test_a_chain_to_a_trusted_root(by):
    signer = issue("Model maker", by)
    ders = [signer.der] if by is ROOT else [signer.der, BETWEEN.der]
    assert common_name(verified_signer(ders, [ROOT.certificate], NOW)) == "Model maker"
    assert common_name(verified_signer([*ders, ROOT.der], [root("x").certificate, ROOT.certificate], NOW))


def test_without_key_usage_the_purpose_says_enough():
    """A root as ``openssl req -x509`` makes it, and a signer with the purpose alone."""
    assert verified_signer([issue("maker", ROOT, extended=None).der], [ROOT.certificate], NOW)


def test_expired_and_not_yet_valid():
    old, new = issue("Old maker", ROOT, days=(-9, -2)), issue("New maker", ROOT, days=(3, 9))
    assert "certificate of Old maker expired on" in refused([old.der])
    assert "certificate of New maker is valid from" in refused([new.der])
    stale = issue("Stale", ROOT, ca=True, days=(-9, -2))
    assert "Stale expired" in refused([issue("maker", stale).der, stale.der])
    dead = root("Dead root", days=(-9, -2))
    assert "no valid chain" in refused([issue("maker", dead).der], roots=[dead])


def test_chains_that_lead_nowhere():
    assert "no valid chain" in refused([issue("maker", root("Hospital root")).der])  # of the same name
    assert "no valid chain" in refused([issue("maker", BETWEEN).der])  # the one between is missing
    assert "no valid chain" in refused([issue("maker").der])  # signed by itself
    assert "no root is trusted" in refused([issue("maker", ROOT).der], roots=[])


def test_who_may_not_issue():
    leaf = issue("A maker", ROOT)
    assert "no valid chain" in refused([issue("evil", leaf).der, leaf.der])
    wrong_use = issue("B", ROOT, ca=True, usage=key_usage(signs=True, issues=False))
    assert "no valid chain" in refused([issue("evil", wrong_use).der, wrong_use.der])
    deeper = issue("C", BETWEEN, ca=True)  # the one above may only issue signers
    assert "no valid chain" in refused([issue("evil", deeper).der, deeper.der, BETWEEN.der])


def test_what_may_not_sign():
    assert "not for signing code" in refused([issue("web server", ROOT, extended=SERVER).der])
    other_use = key_usage(signs=False, issues=False)
    assert "not for signing code" in refused([issue("x", ROOT, usage=other_use).der])


def test_a_critical_extension_that_is_not_understood():
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert "critical extension" in refused([issue("maker", ROOT, extra=odd).der])


SIGNER = issue("maker", ROOT)


@given(st.data())
def test_damaged_certificates(data):
    der = bytearray(SIGNER.der)
    position = data.draw(st.integers(0, len(der) - 1))
    der[position] ^= data.draw(st.integers(1, 255))
    refused([bytes(der)])


@given(st.binary(max_size=200))
def test_any_bytes(content):
    refused([content])
    assert certificates_in(b"-----BEGIN CERTIFICATE-----\n" + content + b"\n-----END CERTIFICATE-----\n") == ()
