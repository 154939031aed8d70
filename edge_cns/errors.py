"""The exception tree. The type of an error says what the operator does next; its text is one line.

    EdgeCnsError
    ├── BadInputError          mend the file, option or frame that the line names
    ├── UnsupportedError       use another format, engine or version
    ├── InitialisationError    nothing has run yet: mend the installation, then start again
    │   ├── MissingExtraError  install the extra that the line names
    │   └── GoldenMismatchError  this machine does not reproduce the bundle: do not use it here
    ├── OperationError         it ran and then failed: restart; report if it happens again
    ├── OperationTimeoutError  it did not answer in time: treat its last answer as gone
    └── TamperedError          the bundle is not the one that was sealed: fetch it again

Every message says what happened, the value, and the mend. The command line prints it and exits 2.
"""

from __future__ import annotations

__all__ = [
    "BadInputError",
    "EdgeCnsError",
    "GoldenMismatchError",
    "InitialisationError",
    "MissingExtraError",
    "OperationError",
    "OperationTimeoutError",
    "TamperedError",
    "UnsupportedError",
    "brief",
    "told",
]


class EdgeCnsError(Exception):
    """Base of everything this package raises on purpose."""


class BadInputError(EdgeCnsError, ValueError):
    """A file, option or frame from outside cannot be used."""


class UnsupportedError(EdgeCnsError):
    """The request is well formed, but this version cannot do it."""


class InitialisationError(EdgeCnsError):
    """An engine or a device could not be started."""


class MissingExtraError(InitialisationError):
    """A library that only some installations have is needed.

    Args:
        library: import name of what is missing.
        extra: the extra of this distribution that brings it.
    """

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed; run: pip install 'edge-cns[{extra}]'")


class GoldenMismatchError(InitialisationError):
    """A self-test output differs from the bundle's golden vectors by more than the bundle allows."""


class OperationError(EdgeCnsError):
    """An engine that was running has failed."""


class OperationTimeoutError(EdgeCnsError):
    """An engine did not answer in time."""


class TamperedError(EdgeCnsError):
    """The content of a bundle does not match its manifest, or its signature."""


def brief(error: BaseException, longest: int = 200) -> str:
    """What another library says of an error, on one line of at most ``longest`` characters: for a line of ours."""
    return " ".join(str(error).split())[:longest]


def told(error: BaseException, longest: int = 200) -> str:
    """Anybody's error on one line, for a log: ours by its text, others with their type, no path of an `OSError`."""
    if isinstance(error, EdgeCnsError):
        return brief(error, longest)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {brief(error, longest)}"
