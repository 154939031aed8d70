from __future__ import annotations

import stat
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="signatures need the sign extra")

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from edge_cns.errors import BadInputError
from edge_cns.signing.maker import make_keys, read_private_key
from edge_cns.signing.policy import choose_policy
from tests.signing.pki import issue, root, write_secret


@pytest.fixture
def keys(tmp_path) -> Path:
    """The folder with ``maker.key``; ``trust/`` in it has ``maker.pub``."""
    (tmp_path / "trust").mkdir()
    make_keys(tmp_path / "maker.key", tmp_path / "trust" / "maker.pub")
    return tmp_path


def test_keys_are_secret_and_never_overwritten(keys, tmp_path):
    assert stat.S_IMODE((keys / "maker.key").stat().st_mode) == 0o600
    before = (keys / "maker.key").read_bytes()
    with pytest.raises(BadInputError, match="exists already"):
        make_keys(keys / "maker.key", tmp_path / "new.pub")
    assert not (tmp_path / "new.pub").exists()
    assert (keys / "maker.key").read_bytes() == before
    (keys / "maker.key").chmod(0o640)
    with pytest.raises(BadInputError, match="chmod 600"):
        read_private_key(keys / "maker.key", str)


def test_keys_that_cannot_sign(keys, tmp_path):
    koblitz = ec.generate_private_key(ec.SECP256K1())
    content = koblitz.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(BadInputError, match="P-256"):
        read_private_key(write_secret(tmp_path / "k", content), str)
    with pytest.raises(BadInputError, match="no private key"):
        read_private_key(write_secret(tmp_path / "g", b"garbage"), str)
    with pytest.raises(BadInputError, match="cannot be read"):
        read_private_key(tmp_path / "none", str)
    make_keys(tmp_path / "locked.key", tmp_path / "locked.pub", "secret")
    assert read_private_key(tmp_path / "locked.key", lambda: "secret")
    for wrong in ("Secret", ""):
        with pytest.raises(BadInputError, match="cannot be opened with that password") as caught:
            read_private_key(tmp_path / "locked.key", lambda wrong=wrong: wrong)
        assert "secret" not in str(caught.value).lower()


def test_a_trust_folder_holds_nothing_else(keys, tmp_path):
    trust, authority = keys / "trust", root()
    (trust / ".hidden").write_text("not looked at")
    choose_policy(trust)
    (trust / "root.pem").write_bytes(authority.pem)
    choose_policy(trust)
    koblitz = ec.generate_private_key(ec.SECP256K1()).public_key()
    wrong = {
        "a private key": (keys / "maker.key").read_bytes(),
        "a signer's certificate": issue("maker", authority).pem,
        "another curve": koblitz.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "notes": b"do not delete",
    }
    for what, content in wrong.items():
        (trust / what).write_bytes(content)
        with pytest.raises(BadInputError, match=f"{what} is neither a public key"):
            choose_policy(trust)
        (trust / what).unlink()
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError, match="0 files"):
        choose_policy(tmp_path / "empty")
    with pytest.raises(BadInputError, match="cannot be read"):
        choose_policy(tmp_path / "nowhere")
