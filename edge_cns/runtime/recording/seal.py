"""What protects each record: AES-256-GCM with a key, or a SHA-256 that shows damage but keeps nobody out."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Protocol

from edge_cns.extras import require
from edge_cns.runtime.recording.key import KEY_BYTES

__all__ = ["NONCE_BYTES", "AesGcm", "BadSealError", "Digest", "Seal", "make_seal"]

NONCE_BYTES = 12


class BadSealError(ValueError):
    """A record is not what was sealed."""


class Seal(Protocol):
    """Protects bytes together with the place at which they stand.

    Attributes:
        code: how a file says which seal it has.
        overhead: bytes that sealing adds.
    """

    code: int
    overhead: int

    def key_check(self, recording: bytes) -> bytes:
        """Eight bytes that tell one key from another, of one recording alone."""

    def seal(self, plain: bytes, nonce: bytes, place: bytes) -> bytes:
        """Protect ``plain``. A nonce (12 bytes) must never be used twice; ``place`` is protected but not kept."""

    def unseal(self, sealed: bytes, nonce: bytes, place: bytes) -> bytes:
        """Give back what was sealed.

        Raises:
            BadSealError: it is something else, or was sealed for another place.
        """


class AesGcm:
    """AES-256-GCM.

    Args:
        key: 32 bytes.

    Raises:
        MissingExtraError: the ``live`` extra is not installed.
    """

    code = 1
    overhead = 16

    def __init__(self, key: bytes) -> None:
        assert len(key) == KEY_BYTES
        self._key = key
        self._cipher: Any = require("cryptography.hazmat.primitives.ciphers.aead", "live").AESGCM(key)
        self._wrong: Any = require("cryptography.exceptions", "live").InvalidTag

    def key_check(self, recording: bytes) -> bytes:
        """See `Seal.key_check`."""
        return hmac.digest(self._key, b"edge-cns recording" + recording, "sha256")[:8]

    def seal(self, plain: bytes, nonce: bytes, place: bytes) -> bytes:
        """See `Seal.seal`."""
        return bytes(self._cipher.encrypt(nonce, plain, place))

    def unseal(self, sealed: bytes, nonce: bytes, place: bytes) -> bytes:
        """See `Seal.unseal`."""
        try:
            return bytes(self._cipher.decrypt(nonce, sealed, place))
        except self._wrong:
            raise BadSealError from None


class Digest:
    """No encryption: a SHA-256 before the bytes."""

    code = 0
    overhead = hashlib.sha256().digest_size

    def key_check(self, recording: bytes) -> bytes:
        """There is no key."""
        return bytes(8)

    def seal(self, plain: bytes, nonce: bytes, place: bytes) -> bytes:
        """See `Seal.seal`."""
        return _digest(plain, nonce, place) + plain

    def unseal(self, sealed: bytes, nonce: bytes, place: bytes) -> bytes:
        """See `Seal.unseal`."""
        plain = sealed[self.overhead :]
        if _digest(plain, nonce, place) != sealed[: self.overhead]:
            raise BadSealError
        return plain


def make_seal(key: bytes | None) -> Seal:
    """The seal of a key, or of none."""
    return Digest() if key is None else AesGcm(key)


def _digest(plain: bytes, nonce: bytes, place: bytes) -> bytes:
    hasher = hashlib.sha256(nonce + place)
    hasher.update(plain)
    return hasher.digest()
