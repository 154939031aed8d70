"""Public keys: elliptic curve keys on the NIST curves that OpenSSF Model Signing knows, in PEM."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from edge_cns.errors import BadInputError
from edge_cns.signing.signed_file import SignedFile

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["algorithm", "fingerprint", "known", "pem", "public_key_in", "read_pem", "verifies"]

_MAX_PEM = 256 * 2**10  # bytes


def read_pem(path: Path, *, secret: bool = False) -> bytes:
    """Read a small file of keys or certificates.

    Args:
        path: the file.
        secret: it holds a private key, which only its owner may read.

    Raises:
        BadInputError: no such file, too large, no regular file, or others may read what is secret.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadInputError(f"{path} cannot be read ({error.strerror}); give a PEM file") from None
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise BadInputError(f"{path} is not a regular file; give a PEM file")
        if secret and mode & 0o077:
            raise BadInputError(f"the key {path} may be read by others than its owner; run: chmod 600 {path}")
        content = file.read(_MAX_PEM + 1)
    if len(content) > _MAX_PEM:
        raise BadInputError(f"{path} has more than {_MAX_PEM} bytes; give a PEM file")
    return content


def public_key_in(content: bytes) -> ec.EllipticCurvePublicKey | None:
    """The public key in a PEM text; ``None`` if it is none on a known curve."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        return known(load_pem_public_key(content))
    except (ValueError, UnsupportedAlgorithm):
        return None


def known(key: object) -> ec.EllipticCurvePublicKey | None:
    """The key, if it is on P-256, P-384 or P-521."""
    from cryptography.hazmat.primitives.asymmetric import ec

    curves = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
    return key if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, curves) else None


def pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key in PEM (SubjectPublicKeyInfo)."""
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 (hex) of a public key in PEM, by which a signature names it."""
    return hashlib.sha256(pem(key)).hexdigest()


def algorithm(key: ec.EllipticCurvePublicKey) -> ec.ECDSA:
    """ECDSA with the hash that belongs to the curve: SHA-256, SHA-384 or SHA-512."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    by_size: dict[int, hashes.HashAlgorithm] = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    return ec.ECDSA(by_size[key.curve.key_size])


def verifies(signed: SignedFile, key: ec.EllipticCurvePublicKey) -> bool:
    """Whether this key made the signature."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signed.signature, SignedFile.to_sign(signed.payload), algorithm(key))
    except InvalidSignature:
        return False
    return True
