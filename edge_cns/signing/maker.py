"""What a maker does, offline: make a key pair, and sign a folder with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edge_cns.errors import BadInputError
from edge_cns.extras import require
from edge_cns.signing.certificates import certificates_in
from edge_cns.signing.keys import algorithm, fingerprint, known, pem, read_pem
from edge_cns.signing.signed_file import SignedFile, statement

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509 import Certificate

__all__ = ["make_keys", "read_private_key", "sign"]


def make_keys(private: Path, public: Path, password: str = "") -> None:
    """Make a key pair on NIST P-256, in PEM.

    Args:
        private: new file of the private key (PKCS #8), for its owner alone.
        public: new file of the public key.
        password: encrypts the private key; empty leaves it as it is.

    Raises:
        BadInputError: one of the files exists already.
        MissingExtraError: cryptography is not installed.
        OSError: the folder cannot be written; no file is left behind.
    """
    require("cryptography", "sign")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    cipher = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)
    _write_new(public, pem(key.public_key()), 0o644)
    try:
        _write_new(private, secret, 0o600)
    except BaseException:
        public.unlink(missing_ok=True)
        raise


def read_private_key(path: Path, password: Callable[[], str]) -> ec.EllipticCurvePrivateKey:
    """Read a private key.

    Args:
        path: PEM file.
        password: asked if the key is encrypted.

    Raises:
        BadInputError: no such file, others may read it, it is no key of a known curve, or the password is wrong.
        MissingExtraError: cryptography is not installed.
    """
    require("cryptography", "sign")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content, secret = read_pem(path, secret=True), None
    try:
        try:
            key = load_pem_private_key(content, None)
        except TypeError:  # it is encrypted
            secret = password()
            key = load_pem_private_key(content, secret.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        what = "is no private key in PEM" if secret is None else "cannot be opened with that password"
        raise BadInputError(f"{path} {what}; make one with edge-cns bundle keygen") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or known(key.public_key()) is None:
        raise BadInputError(f"{path} is no key on P-256, P-384 or P-521; make one with edge-cns bundle keygen")
    return key


def sign(
    name: str, digests: Mapping[str, str], key: ec.EllipticCurvePrivateKey, chain: Path | None = None
) -> SignedFile:
    """Sign the files of a folder.

    Args:
        name: of the folder; only informative.
        digests: SHA-256 (hex) of every file in it but ``model.sig``, by name.
        key: the signer's.
        chain: PEM file with the signer's certificate first, then those between it and a root.

    Raises:
        BadInputError: the chain cannot be read, or is of another key.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    certificates: tuple[Certificate, ...] = ()
    public = key.public_key()
    if chain is not None:
        certificates = certificates_in(read_pem(chain))
        if not certificates or certificates[0].public_key() != public:
            raise BadInputError(f"{chain} does not begin with a certificate of this key; put the signer's first")
    payload = statement(name, digests)
    signature = key.sign(SignedFile.to_sign(payload), algorithm(public))
    ders = tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates)
    return SignedFile(payload, signature, fingerprint(public), ders)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that is not there yet; never readable by others for a moment."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise BadInputError(f"{path} exists already, and keys are never overwritten; choose another --out") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
