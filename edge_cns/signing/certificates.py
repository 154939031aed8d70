"""A signer's certificate, up to a root that a site trusts (X.509, RFC 5280)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from edge_cns.errors import TamperedError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["certificates_in", "common_name", "is_authority", "verified_signer"]


def certificates_in(content: bytes) -> tuple[Certificate, ...]:
    """The certificates in a PEM text; empty if it holds none, or a damaged one."""
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return tuple(load_pem_x509_certificates(content))
    except Exception:  # the parser has an exception for every kind of damage
        return ()


def is_authority(certificate: Certificate) -> bool:
    """Whether it may issue others."""
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except Exception:  # none, or its extensions are damaged
        return False


def common_name(certificate: Certificate) -> str:
    """Whose it is, fit for one line."""
    from cryptography.x509.oid import NameOID

    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(names[0].value) if names else certificate.subject.rfc4514_string()
    return "".join(c if c.isprintable() else " " for c in text)[:80].strip() or "no name"


def verified_signer(ders: Sequence[bytes], roots: Iterable[Certificate], now: datetime) -> Certificate:
    """The signer's certificate, once a chain leads from it to a root, and all of the chain is valid now.

    Args:
        ders: DER, the signer's first.
        roots: what is trusted.
        now: with a time zone.

    Raises:
        TamperedError: there is no such chain, it has expired, or the certificate is not for signing.
    """
    from cryptography import x509
    from cryptography.x509 import verification

    if not (anchors := list(roots)):
        raise TamperedError("it is signed with a certificate, and no root is trusted here; put the root with the keys")
    try:
        signer, *between = (x509.load_der_x509_certificate(der) for der in ders)
        for certificate in (signer, *between):
            _check_dates(certificate, now)
        anyone = verification.ExtensionPolicy.permit_all()
        authority = anyone.require_present(
            x509.BasicConstraints, verification.Criticality.AGNOSTIC, _issues
        ).may_be_present(x509.KeyUsage, verification.Criticality.AGNOSTIC, _may_issue)
        builder = verification.PolicyBuilder().store(verification.Store(anchors)).time(now)
        builder = builder.extension_policies(ca_policy=authority, ee_policy=anyone)
        chain = builder.build_client_verifier().verify(signer, between).chain
        for certificate in chain:
            _check_extensions(certificate)
        _check_use(signer)
    except TamperedError:
        raise
    except Exception as error:  # the parser has an exception for every kind of damage
        reason = " ".join(str(error).split())[:150]
        raise TamperedError(
            f"no valid chain leads from the signer's certificate to a trusted root ({reason})"
        ) from None
    return signer


def _check_dates(certificate: Certificate, now: datetime) -> None:
    """The verifier checks them as well, without saying what is wrong."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= now <= end:
        word = f"expired on {end:%Y-%m-%d}" if now > end else f"is valid from {start:%Y-%m-%d} on"
        raise TamperedError(f"the certificate of {common_name(certificate)} {word}, and here it is {now:%Y-%m-%d}")


def _issues(_policy: object, _certificate: object, constraints: object) -> None:
    if not getattr(constraints, "ca", False):
        raise ValueError("a certificate in the chain may not issue others")


def _may_issue(_policy: object, _certificate: object, usage: object) -> None:
    if usage is not None and not getattr(usage, "key_cert_sign", False):
        raise ValueError("a certificate in the chain may not issue others")


def _check_extensions(certificate: Certificate) -> None:
    """Refuse what is critical and not understood (RFC 5280, 4.2)."""
    from cryptography.x509.oid import ExtensionOID as Known

    understood = {
        Known.BASIC_CONSTRAINTS,
        Known.KEY_USAGE,
        Known.EXTENDED_KEY_USAGE,
        Known.NAME_CONSTRAINTS,
        Known.SUBJECT_ALTERNATIVE_NAME,
    }
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in understood:
            raise ValueError(f"critical extension {extension.oid.dotted_string} of {common_name(certificate)}")


def _check_use(signer: Certificate) -> None:
    """A certificate that a site gave a web server shall not sign models."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    usages = {e.oid: e.value for e in signer.extensions}
    usage, extended = (usages.get(kind.oid) for kind in (x509.KeyUsage, x509.ExtendedKeyUsage))
    signs = isinstance(usage, x509.KeyUsage) and usage.digital_signature
    code = isinstance(extended, x509.ExtendedKeyUsage) and ExtendedKeyUsageOID.CODE_SIGNING in extended
    allowed = signs if extended is None else code and (signs or usage is None)
    if not allowed:
        raise TamperedError(f"the certificate of {common_name(signer)} is not for signing code")
