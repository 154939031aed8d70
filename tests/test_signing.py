"""A signed bundle as those who make it, ship it and load it see it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="signatures need the sign extra")

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_cns.bundle import MANIFEST, read_bundle, reseal, strip, write_signature
from edge_cns.errors import BadInputError, MissingExtraError, TamperedError
from edge_cns.runtime.classifier import load
from edge_cns.signing.maker import make_keys, read_private_key, sign
from edge_cns.signing.policy import TRUST_DIR, choose_policy
from edge_cns.signing.signed_file import SIGNATURE, SignedFile
from tests.peers.model_signing import model_signing, need_model_signing
from tests.signing.pki import SERVER, Holder, issue, root, write_secret


@pytest.fixture(autouse=True)
def nobody_is_trusted(monkeypatch):
    monkeypatch.delenv(TRUST_DIR, raising=False)
    monkeypatch.delenv("EDGE_CNS_KEY_PASSWORD", raising=False)


@pytest.fixture
def keys(tmp_path) -> Path:
    """The folder with ``maker.key``; ``trust/`` in it has ``maker.pub``."""
    (tmp_path / "trust").mkdir()
    make_keys(tmp_path / "maker.key", tmp_path / "trust" / "maker.pub")
    return tmp_path


@pytest.fixture
def signed(bundle_copy, keys) -> Path:
    sign_with(bundle_copy, keys / "maker.key")
    return bundle_copy


def sign_with(path: Path, key: Path, chain: Path | None = None) -> None:
    private = read_private_key(key, str)
    write_signature(path, sign(path.name, read_bundle(path).digests, private, chain).to_bytes())


def refused(path: Path, trust: Path) -> str:
    """Why it is refused; with ``warn`` the same is said, unless it is no whole bundle either."""
    with pytest.raises(TamperedError) as caught:
        read_bundle(path, choose_policy(trust))
    text = str(caught.value)
    assert "\n" not in text
    assert text.count(str(path)) == 1
    return text


def warned(path: Path, trust: Path) -> str:
    state = read_bundle(path, choose_policy(trust, "warn")).signature
    assert state.remark == "signature not verified"
    return state.text


# Who vouches


def test_signed_and_verified(signed, keys):
    bundle = read_bundle(signed, choose_policy(keys / "trust"))
    assert bundle.signature.text == "verified by maker"
    assert bundle.signature.remark == ""
    assert set(bundle.digests) == set(os.listdir(signed)) - {SIGNATURE}


def test_policies(signed, bundle_copy, keys, monkeypatch):
    trust = keys / "trust"
    assert read_bundle(signed).signature.text == "not checked"
    assert read_bundle(signed, choose_policy(trust, "off")).signature.text == "not checked"
    assert read_bundle(signed, choose_policy(trust, "warn")).signature.text == "verified by maker"
    (signed / SIGNATURE).unlink()
    assert read_bundle(signed).signature.text == "not signed"
    assert "is not signed" in warned(signed, trust)
    assert "is not signed" in refused(signed, trust)
    monkeypatch.setenv(TRUST_DIR, str(trust))
    assert choose_policy().mode == "require"
    assert choose_policy(mode="off").mode == "off"
    monkeypatch.delenv(TRUST_DIR)
    assert choose_policy().mode == "off"
    with pytest.raises(BadInputError, match="needs somebody to trust"):
        choose_policy(mode="require")


def test_the_runtime_refuses_and_remarks(signed, keys, phantom_pixels):
    with load(signed, trust=keys / "trust") as classifier:
        assert "signature" not in classifier.classify(phantom_pixels).reason
    (signed / SIGNATURE).write_bytes(b"{}")
    with pytest.raises(TamperedError):
        load(signed, trust=keys / "trust")
    with load(signed, trust=keys / "trust", signature="warn") as classifier:
        assert "signature not verified" in classifier.classify(phantom_pixels).reason
    with load(signed, trust=keys / "trust", signature="off") as classifier:
        assert "signature" not in classifier.classify(phantom_pixels).reason


# Attacks


def test_a_byte_changed(signed, keys):
    model = signed / "model.tflite"
    model.write_bytes(model.read_bytes()[:-1] + b"\x55")
    assert "model.tflite does not match" in refused(signed, keys / "trust")
    signature = (signed / SIGNATURE).read_bytes()
    reseal(signed)  # whoever can write to the folder can make the digests fit
    (signed / SIGNATURE).write_bytes(signature)
    assert "is not the one that was signed" in refused(signed, keys / "trust")
    assert "is not the one that was signed" in warned(signed, keys / "trust")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_bit_changed_of_what_was_signed_or_of_the_signature(signed, keys, data):
    original = (signed / SIGNATURE).read_bytes()
    file = SignedFile.parse(original)
    field = data.draw(st.sampled_from(["payload", "signature"]))
    changed = bytearray(getattr(file, field))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (signed / SIGNATURE).write_bytes(replace(file, **{field: bytes(changed)}).to_bytes())
    try:
        assert "the signature does not hold" in refused(signed, keys / "trust")
    finally:
        (signed / SIGNATURE).write_bytes(original)


@pytest.mark.parametrize("resealed", [False, True])
@pytest.mark.parametrize("what", ["extra", "missing"])
def test_a_file_too_many_or_too_few(signed, keys, what, resealed):
    if what == "extra":
        (signed / "extra.txt").write_text("more")
    else:
        (signed / "float.tflite").unlink()
    signature = (signed / SIGNATURE).read_bytes()
    if resealed:
        reseal(signed)
        (signed / SIGNATURE).write_bytes(signature)
    why = "is not the one that was signed" if resealed else "not listed" if what == "extra" else "listed but missing"
    assert why in refused(signed, keys / "trust")


@pytest.mark.parametrize("name", ["model.tflite", MANIFEST, SIGNATURE])
def test_a_file_swapped_for_a_link(signed, keys, name):
    (signed / name).rename(keys / "elsewhere")
    (signed / name).symlink_to(keys / "elsewhere")
    assert "not a regular file" in refused(signed, keys / "trust")


def test_a_link_to_the_bundle_may_be_swapped(signed, keys):
    """How an update switches over: what counts is what is read."""
    link = keys / "current.cns"
    link.symlink_to(signed)
    assert read_bundle(link, choose_policy(keys / "trust")).signature.text == "verified by maker"


def test_another_key(signed, keys, tmp_path):
    make_keys(tmp_path / "evil.key", tmp_path / "evil.pub")
    sign_with(signed, tmp_path / "evil.key")
    assert "a key that is not trusted here" in refused(signed, keys / "trust")
    value = json.loads((signed / SIGNATURE).read_text())
    for hint in ("", "x" * 64, sign_hint(keys)):  # it may claim to be by whom it likes
        value["verificationMaterial"]["publicKey"]["hint"] = hint
        (signed / SIGNATURE).write_text(json.dumps(value))
        refused(signed, keys / "trust")


def sign_hint(keys: Path) -> str:
    return sign("x", {}, read_private_key(keys / "maker.key", str)).key


def test_the_signature_of_another_bundle(signed, keys, tmp_path):
    other = Path(shutil.copytree(signed, tmp_path / "other.cns"))
    strip(other)
    assert not (other / SIGNATURE).exists()
    shutil.copy(signed / SIGNATURE, other / SIGNATURE)
    assert "is not the one that was signed" in refused(other, keys / "trust")
    sign_with(other, keys / "maker.key")
    assert read_bundle(other, choose_policy(keys / "trust")).signature.text == "verified by maker"


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 100_000, b"null", b'{"mediaType": 1}'])
def test_garbage(signed, keys, content):
    (signed / SIGNATURE).write_bytes(content)
    refused(signed, keys / "trust")
    warned(signed, keys / "trust")


def test_a_signature_over_a_part_of_the_files(signed, keys):
    digests = dict(read_bundle(signed).digests)
    del digests["model.tflite"]
    key = read_private_key(keys / "maker.key", str)
    write_signature(signed, sign("x", digests, key).to_bytes())
    assert "'model.tflite' is not signed" in refused(signed, keys / "trust")


# Certificates


@pytest.fixture
def site(tmp_path) -> tuple[Holder, Path]:
    """A hospital's root, and its trust folder."""
    holder = root()
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "root.pem").write_bytes(holder.pem)
    return holder, tmp_path / "site"


def certified(path: Path, tmp_path: Path, signer: Holder, *between: Holder) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_bytes(b"".join(holder.pem for holder in (signer, *between)))
    sign_with(path, signer.write_key(tmp_path / "signer.key"), chain)


def test_certificates(bundle_copy, tmp_path, site, keys):
    between = issue("Models", site[0], ca=True)
    certified(bundle_copy, tmp_path, issue("Dr. Maker", between), between)
    assert read_bundle(bundle_copy, choose_policy(site[1])).signature.text == "verified by Dr. Maker"
    assert "no root is trusted here" in refused(bundle_copy, keys / "trust")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"days": (-9, -2)}, "expired on"),
        ({"days": (2, 9)}, "is valid from"),
        ({"extended": SERVER}, "not for signing"),
    ],
)
def test_certificates_that_are_refused(bundle_copy, tmp_path, site, options, why):
    certified(bundle_copy, tmp_path, issue("Maker", site[0], **options))
    assert why in refused(bundle_copy, site[1])


def test_a_chain_of_another_key(bundle_copy, tmp_path, site, keys):
    stranger = issue("Somebody", site[0])
    (tmp_path / "chain.pem").write_bytes(stranger.pem)
    with pytest.raises(BadInputError, match="does not begin with a certificate of this key"):
        sign_with(bundle_copy, keys / "maker.key", tmp_path / "chain.pem")
    sign_with(bundle_copy, keys / "maker.key")
    value = json.loads((bundle_copy / SIGNATURE).read_text())
    chain = {"certificates": [{"rawBytes": b64encode(stranger.der).decode()}]}
    value["verificationMaterial"] = {"x509CertificateChain": chain, "tlogEntries": []}
    (bundle_copy / SIGNATURE).write_text(json.dumps(value))
    assert "the signature is not by Somebody" in refused(bundle_copy, site[1])


# The library


def test_without_the_library(keys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtraError, match=r"edge-cns\[sign\]"):
        choose_policy(keys / "trust")
    assert choose_policy().mode == "off"


def test_nothing_to_verify_loads_no_cryptography(tiny_bundle):
    program = "import sys, edge_cns; edge_cns.load(sys.argv[1]).close(); sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program, str(tiny_bundle)], check=False).returncode == 0


SIGN_AGAIN_AND_AGAIN = """
import sys
from pathlib import Path
from edge_cns.bundle import read_bundle, write_signature
from edge_cns.signing.maker import read_private_key, sign
bundle, key = Path(sys.argv[1]), read_private_key(Path(sys.argv[2]), str)
print("begun", flush=True)
while True:
    write_signature(bundle, sign("x", read_bundle(bundle).digests, key).to_bytes())
"""


def test_killed_while_it_signs(bundle_copy, keys):
    """The bundle stays one: with the old signature, the new one, or none yet."""
    for milliseconds in (0, 2, 4, 7, 11):
        command = [sys.executable, "-c", SIGN_AGAIN_AND_AGAIN, str(bundle_copy), str(keys / "maker.key")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(milliseconds / 1000)
            process.kill()
        state = read_bundle(bundle_copy, choose_policy(keys / "trust", "warn")).signature.text
        assert state == "verified by maker" or "it is not signed" in state


# The command line


def test_commands(cli, bundle_copy, tmp_path, frame_file, monkeypatch):
    key, public, trust = tmp_path / "maker.key", tmp_path / "maker.pub", tmp_path / "trust"
    assert cli("bundle", "keygen", "--out", tmp_path / "maker").status == 0
    assert "not signed" in cli("bundle", "inspect", bundle_copy).out
    assert cli("bundle", "verify", bundle_copy, "--key", public).status == 2
    assert cli("bundle", "sign", bundle_copy, "--key", key).status == 0
    assert "verified by maker" in cli("bundle", "verify", bundle_copy, "--key", public).out
    trust.mkdir()
    public.rename(trust / "maker.pub")
    assert "verified by maker" in cli("bundle", "verify", bundle_copy, "--trust", trust).out
    assert cli("bundle", "inspect", bundle_copy, "--trust", trust, "--json").json["signature"] == "verified by maker"
    monkeypatch.setenv(TRUST_DIR, str(trust))
    assert "verified by maker" in cli("bundle", "verify", bundle_copy).out
    assert cli("predict", bundle_copy, frame_file).status == 0
    (bundle_copy / SIGNATURE).unlink()
    refusal = cli("predict", bundle_copy, frame_file)
    assert (refusal.status, refusal.out, refusal.err.count("\n")) == (2, "", 1)
    assert "is not signed" in refusal.err
    assert "signature not verified" in cli("predict", bundle_copy, frame_file, "--signature", "warn").out
    assert "signature" not in cli("predict", bundle_copy, frame_file, "--signature", "off").out
    assert cli("bench", bundle_copy, "--frames", 10).status == 2
    assert cli("bench", bundle_copy, "--frames", 10, "--signature", "warn").status == 0


def test_an_encrypted_key(cli, bundle_copy, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_CNS_KEY_PASSWORD", "correct horse")
    assert cli("bundle", "keygen", "--out", tmp_path / "maker", "--encrypt").status == 0
    assert b"ENCRYPTED" in (tmp_path / "maker.key").read_bytes()
    assert cli("bundle", "sign", bundle_copy, "--key", tmp_path / "maker.key").status == 0
    monkeypatch.setenv("EDGE_CNS_KEY_PASSWORD", "wrong")
    refusal = cli("bundle", "sign", bundle_copy, "--key", tmp_path / "maker.key")
    assert refusal.status == 2
    assert "wrong" not in refusal.err.replace("wrong password", "")


def test_a_session_says_it(cli, signed, keys, tmp_path, frame_file):
    def run(*options):
        log = tmp_path / "log.jsonl"
        log.unlink(missing_ok=True)
        doors = ("--source", f"file://{frame_file}", "--sink", f"jsonl://{log}")
        done = cli("run", signed, *doors, "--policy", "every", *options)
        return done, [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    trust = ("--trust", keys / "trust")
    done, records = run(*trust)
    assert done.status == 0, done.err
    assert [r["signature"] for r in records if r["type"] == "selftest"] == ["verified by maker"]
    (signed / SIGNATURE).write_bytes(b"{}")
    done, records = run(*trust)
    assert (done.status, records) == (2, [])
    done, records = run(*trust, "--signature", "warn")
    assert done.status == 0
    assert "not verified" in done.err
    selftest = next(r for r in records if r["type"] == "selftest")
    assert selftest["signature"].startswith("not verified: model.sig is no signature")
    assert "signature not verified" in selftest["remarks"]
    reasons = [r["reason"] for r in records if r["type"] == "verdict" and r["probability"] is not None]
    assert reasons
    assert all("signature not verified" in reason for reason in reasons)


# OpenSSF Model Signing's own program


def test_its_program_verifies_ours(signed, keys):
    need_model_signing()
    arguments = ("verify", "key", signed, "--public_key", keys / "trust" / "maker.pub", "--signature")
    assert model_signing(*arguments, signed / SIGNATURE) == 0
    (signed / "model_card.md").write_text("better than it is")
    assert model_signing(*arguments, signed / SIGNATURE) != 0


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_ours_verifies_its_signatures(bundle_copy, tmp_path, curve):
    need_model_signing()
    key = ec.generate_private_key(curve)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    write_secret(tmp_path / "their.key", private)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "their.pub").write_bytes(public)
    signature = ("--signature", bundle_copy / SIGNATURE)
    assert model_signing("sign", "key", bundle_copy, "--private_key", tmp_path / "their.key", *signature) == 0
    assert read_bundle(bundle_copy, choose_policy(tmp_path / "their.pub")).signature.text == "verified by their"
    sign_with(bundle_copy, tmp_path / "their.key")
    assert model_signing("verify", "key", bundle_copy, "--public_key", tmp_path / "their.pub", *signature) == 0


def test_certificates_both_ways(bundle_copy, tmp_path, site):
    need_model_signing()
    between = issue("Models", site[0], ca=True)
    signer = issue("Maker", between)
    certified(bundle_copy, tmp_path, signer, between)
    signature = ("--signature", bundle_copy / SIGNATURE)
    anchors = ("--certificate_chain", site[1] / "root.pem")
    assert model_signing("verify", "certificate", bundle_copy, *anchors, *signature) == 0
    (tmp_path / "signer.pem").write_bytes(signer.pem)
    (tmp_path / "between.pem").write_bytes(between.pem)
    key = ("--private_key", tmp_path / "signer.key", "--signing_certificate", tmp_path / "signer.pem")
    chain = ("--certificate_chain", tmp_path / "between.pem")
    assert model_signing("sign", "certificate", bundle_copy, *key, *chain, *signature) == 0
    assert read_bundle(bundle_copy, choose_policy(site[1])).signature.text == "verified by Maker"
