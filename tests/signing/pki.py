"""A site's certificates, made for a test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["CODE_SIGNING", "NOW", "SERVER", "Holder", "issue", "key_usage", "root", "write_secret"]

NOW = datetime.now(timezone.utc)
CODE_SIGNING, SERVER = ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True)
class Holder:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def write_key(self, path: Path) -> Path:
        return write_secret(path, self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def write_secret(path: Path, content: bytes) -> Path:
    """A file that only its owner may read."""
    path.touch(0o600)
    path.write_bytes(content)
    return path


def key_usage(*, signs: bool, issues: bool) -> x509.KeyUsage:
    return x509.KeyUsage(signs, False, False, False, False, issues, issues, False, False)


def issue(
    name: str,
    by: Holder | None = None,
    *,
    ca: bool = False,
    path_length: int | None = None,
    usage: x509.KeyUsage | None = None,
    extended=CODE_SIGNING,
    days: tuple[int, int] = (-10, 10),
    extra: x509.ExtensionType | None = None,
) -> Holder:
    """A certificate that is valid between two days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days[0]))
        .not_valid_after(NOW + timedelta(days[1]))
        .add_extension(x509.BasicConstraints(ca, path_length), critical=True)
        .add_extension(usage or key_usage(signs=not ca, issues=ca), critical=True)
    )
    if not ca and extended is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([extended]), critical=False)
    if extra is not None:
        builder = builder.add_extension(extra, critical=True)
    return Holder(builder.sign(by.key if by else key, hashes.SHA256()), key)


def root(name: str = "Hospital root", **options) -> Holder:
    return issue(name, ca=True, **options)
