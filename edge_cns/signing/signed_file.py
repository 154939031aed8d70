"""``model.sig``: a Sigstore bundle (v0.3, JSON) around a DSSE envelope around an in-toto statement on every file.

The form is that of OpenSSF Model Signing 1.0 (predicate ``https://model_signing/signature/v1.0``), so that its own
program verifies what is written here, and what it signed is read here. Nothing is trusted by reading it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_cns.errors import BadInputError, TamperedError, UnsupportedError
from edge_cns.strict_json import load_json

__all__ = ["SIGNATURE", "SignedFile", "digests_of", "statement"]

SIGNATURE = "model.sig"
_SIGSTORE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_IN_TOTO = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_MAX_CERTIFICATES = 10
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class SignedFile:
    """What ``model.sig`` says, as yet unverified.

    Attributes:
        payload: the statement that was signed, JSON.
        signature: ECDSA over `to_sign` of it, DER.
        key: SHA-256 (hex) of the signer's public key in PEM; empty if it does not say.
        certificates: DER, the signer's first, then those between it and a root; empty where a bare key signed.
    """

    payload: bytes
    signature: bytes
    key: str = ""
    certificates: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, content: bytes) -> SignedFile:
        """Read a signature file.

        Raises:
            TamperedError: it is no such file.
        """
        value = _json(content, SIGNATURE)
        if _get(value, "mediaType") != _SIGSTORE:
            raise _garbage(f"its mediaType is not {_SIGSTORE}")
        envelope = _get(value, "dsseEnvelope")
        if _get(envelope, "payloadType") != _IN_TOTO:
            raise _garbage(f"its payloadType is not {_IN_TOTO}")
        signatures = _get(envelope, "signatures")
        if not isinstance(signatures, list) or len(signatures) != 1:
            raise _garbage("it has not exactly one signature")
        material = _get(value, "verificationMaterial")
        chain, hint = _get(_get(material, "x509CertificateChain"), "certificates"), _get(material, "publicKey", "hint")
        if chain is not None and (not isinstance(chain, list) or not 0 < len(chain) <= _MAX_CERTIFICATES):
            raise _garbage(f"it has not 1 to {_MAX_CERTIFICATES} certificates")
        return cls(
            payload=_bytes(_get(envelope, "payload")),
            signature=_bytes(_get(signatures[0], "sig")),
            key=hint if isinstance(hint, str) else "",
            certificates=tuple(_bytes(_get(one, "rawBytes")) for one in chain or ()),
        )

    def to_bytes(self) -> bytes:
        """The file."""
        material: dict[str, Any] = {"publicKey": {"hint": self.key}}
        if self.certificates:
            material = {"x509CertificateChain": {"certificates": [{"rawBytes": _text(c)} for c in self.certificates]}}
        envelope = {
            "payload": _text(self.payload),
            "payloadType": _IN_TOTO,
            "signatures": [{"sig": _text(self.signature), "keyid": ""}],
        }
        return json.dumps(
            {"mediaType": _SIGSTORE, "verificationMaterial": material | {"tlogEntries": []}, "dsseEnvelope": envelope}
        ).encode()

    @staticmethod
    def to_sign(payload: bytes) -> bytes:
        """What is signed for a payload: DSSE 1.0's pre-authentication encoding."""
        return b"DSSEv1 %d %s %d %s" % (len(_IN_TOTO), _IN_TOTO.encode(), len(payload), payload)


def statement(name: str, digests: Mapping[str, str]) -> bytes:
    """The statement on a folder.

    Args:
        name: of the folder; only informative.
        digests: SHA-256 (hex) of every file in it but ``model.sig``, by name.
    """
    files = sorted(digests.items())
    predicate = {
        "serialization": {
            "method": "files",
            "hash_type": "sha256",
            "allow_symlinks": False,
            "ignore_paths": [SIGNATURE],
        },
        "resources": [{"name": name, "algorithm": "sha256", "digest": digest} for name, digest in files],
    }
    subject = {"name": name, "digest": {"sha256": _root([digest for _, digest in files])}}
    return json.dumps(
        {"_type": _STATEMENT, "subject": [subject], "predicateType": _PREDICATE, "predicate": predicate}
    ).encode()


def digests_of(payload: bytes) -> dict[str, str]:
    """SHA-256 (hex) by file name, as a statement lists them.

    Args:
        payload: a statement whose signature holds.

    Raises:
        TamperedError: it is no such statement, or contradicts itself.
        UnsupportedError: files were hashed in another way.
    """
    value = _json(payload, "the signed statement")
    if (_get(value, "_type"), _get(value, "predicateType")) != (_STATEMENT, _PREDICATE):
        raise _garbage("what was signed is no model")
    predicate, subjects = _get(value, "predicate"), _get(value, "subject")
    way = (_get(predicate, "serialization", "method"), _get(predicate, "serialization", "hash_type"))
    if way != ("files", "sha256"):
        raise UnsupportedError(
            f"{SIGNATURE} is over {str(way[0])[:20]!r} by {str(way[1])[:20]!r}; sign again, over files by sha256"
        )
    resources = _get(predicate, "resources")
    if not isinstance(resources, list) or not isinstance(subjects, list) or len(subjects) != 1:
        raise _garbage("what was signed has no list of files")
    listed = [(_get(r, "name"), _get(r, "digest")) for r in resources if _get(r, "algorithm") == "sha256"]
    sound = all(isinstance(n, str) and isinstance(d, str) and _SHA256.fullmatch(d) for n, d in listed)
    if not sound or len(listed) != len(resources) or len({name for name, _ in listed}) != len(listed):
        raise _garbage("its list of files is damaged")
    if _get(subjects[0], "digest", "sha256") != _root([str(digest) for _, digest in listed]):
        raise _garbage("its digest is not that of its list of files")
    return {str(name): str(digest) for name, digest in listed}


def _root(digests: Sequence[str]) -> str:
    """The digest of the whole model: SHA-256 over the files' digests, in their order."""
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests)).hexdigest()


def _json(content: bytes, name: str) -> Any:
    try:
        return load_json(content, name)
    except BadInputError as error:
        raise TamperedError(" ".join(str(error).split())[:200]) from None


def _get(value: Any, *keys: str) -> Any:
    """A member of nested objects; ``None`` where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) and text else _missing()
    except ValueError:
        raise _garbage("a part of it is not base64") from None


def _missing() -> bytes:
    raise _garbage("a part of it is missing")


def _garbage(why: str) -> TamperedError:
    return TamperedError(f"{SIGNATURE} is no signature of a bundle ({why}); fetch the bundle again")
