"""What a missing or a bad signature means here: a refusal, a warning, or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal, get_args

from edge_cns.errors import BadInputError, TamperedError, UnsupportedError
from edge_cns.signing.signed_file import SignedFile, digests_of
from edge_cns.signing.trust import Trust

__all__ = ["TRUST_DIR", "UNCHECKED", "Mode", "Policy", "SignatureState", "choose_policy"]

Mode = Literal["require", "warn", "off"]
TRUST_DIR = "EDGE_CNS_TRUST_DIR"
"""Environment variable with the trust folder of a device."""


@dataclass(frozen=True, slots=True)
class SignatureState:
    """What is known of a bundle's signature.

    Attributes:
        text: ``verified by NAME``, ``not checked``, ``not signed``, or ``not verified: WHY``.
        remark: what every verdict has to say of it; empty if nothing.
    """

    text: str
    remark: str = ""

    @property
    def verified(self) -> bool:
        """Whether somebody who is trusted has signed the bundle."""
        return self.text.startswith("verified")


UNCHECKED = SignatureState("not checked")


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do about signatures.

    Attributes:
        mode: ``require`` refuses what is not verified, ``warn`` says so, ``off`` does not look.
        trust: whom to believe; there unless ``off``.
    """

    mode: Mode = "off"
    trust: Trust | None = None

    def judge(self, content: bytes | None, found: Callable[[Mapping[str, str]], None]) -> SignatureState:
        """Judge the signature of a folder.

        Args:
            content: of ``model.sig``; ``None`` where there is none.
            found: given the signed digests by file name; raises `TamperedError` unless they are those of the folder.

        Raises:
            TamperedError, UnsupportedError: the signature is required and does not hold.
        """
        if self.trust is None:
            return SignatureState("not signed") if content is None else UNCHECKED
        try:
            if content is None:
                raise TamperedError("it is not signed; ask its maker for a signed one")
            signed = SignedFile.parse(content)
            name = self.trust.signer(signed, datetime.now(timezone.utc))
            found(digests_of(signed.payload))
        except (TamperedError, UnsupportedError) as error:
            if self.mode == "require":
                raise
            return SignatureState(f"not verified: {error}", "signature not verified")
        return SignatureState(f"verified by {name}")


def choose_policy(trust: str | os.PathLike[str] | None = None, mode: str | None = None) -> Policy:
    """The policy that was asked for.

    Args:
        trust: folder of trusted keys and roots, or one such file; by default `TRUST_DIR` of the environment.
        mode: ``require``, ``warn`` or ``off``; by default ``require`` where there is a trust folder, else ``off``.

    Raises:
        BadInputError: no such mode, the folder cannot be used, or there is none and the mode needs it.
        MissingExtraError: cryptography is not installed, and something is to be verified.
    """
    place = trust if trust is not None else os.environ.get(TRUST_DIR) or None
    if mode is not None and mode not in get_args(Mode):
        raise BadInputError(f"signature is {mode!r}; it must be one of {', '.join(get_args(Mode))}")
    if mode == "off" or (mode is None and place is None):
        return Policy()
    if place is None:
        raise BadInputError(f"signature {mode} needs somebody to trust; give a trust folder, or set {TRUST_DIR}")
    return Policy("warn" if mode == "warn" else "require", Trust.read(Path(place)))
