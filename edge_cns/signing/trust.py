"""What a site trusts: public keys of makers, and roots of its own certificates, in one folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edge_cns.errors import BadInputError, TamperedError
from edge_cns.extras import require
from edge_cns.signing.certificates import certificates_in, common_name, is_authority, verified_signer
from edge_cns.signing.keys import fingerprint, known, public_key_in, read_pem, verifies
from edge_cns.signing.signed_file import SignedFile

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509 import Certificate

__all__ = ["Trust"]

_MAX_FILES = 100


@dataclass(frozen=True)
class Trust:
    """Keys and roots.

    Attributes:
        keys: trusted public keys by name.
        roots: certificates of trusted authorities.
    """

    keys: dict[str, ec.EllipticCurvePublicKey]
    roots: tuple[Certificate, ...]

    @classmethod
    def read(cls, path: Path) -> Trust:
        """Read a folder, every file of which is a public key or a root certificate in PEM; or one such file.

        A key is called as its file, without the suffix. Hidden files are left out.

        Raises:
            BadInputError: it cannot be read, is empty, or holds something else.
            MissingExtraError: cryptography is not installed.
        """
        require("cryptography", "sign")
        keys: dict[str, ec.EllipticCurvePublicKey] = {}
        roots: list[Certificate] = []
        for file in _files(path):
            content = read_pem(file)
            key, certificates = public_key_in(content), certificates_in(content)
            if key is not None:
                keys[file.stem] = key
            elif certificates and all(is_authority(certificate) for certificate in certificates):
                roots += certificates
            else:
                raise BadInputError(
                    f"{file} is neither a public key (P-256, P-384, P-521) nor the certificate of an authority in PEM; "
                    "a trust folder holds nothing else"
                )
        return cls(keys, tuple(roots))

    def signer(self, signed: SignedFile, now: datetime) -> str:
        """Who signed, by name, once the signature holds.

        Args:
            signed: what `SignedFile.parse` read.
            now: for certificates; with a time zone.

        Raises:
            TamperedError: nobody who is trusted, or the signature does not hold.
        """
        if signed.certificates:
            signer = verified_signer(signed.certificates, self.roots, now)
            key, name = known(signer.public_key()), common_name(signer)
            if key is None or not verifies(signed, key):
                raise TamperedError(f"the signature is not by {name}, whose certificate comes with it")
            return name
        for name, key in self.keys.items():
            if signed.key in ("", fingerprint(key)) and verifies(signed, key):
                return name
        if any(signed.key == fingerprint(key) for key in self.keys.values()):
            raise TamperedError("the signature does not hold: what was signed was changed")
        raise TamperedError(f"it is signed with a key that is not trusted here ({_short(signed.key)})")


def _files(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    if not 0 < len(files) <= _MAX_FILES:
        raise BadInputError(f"the trust folder {path} has {len(files)} files; put the maker's public key there")
    return files


def _short(key: str) -> str:
    return f"{key[:16]}..." if key.isalnum() and key.isascii() else "which it does not name"
