"""URIs of sources taken apart: what is named, which options it has, and what of it others may read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from edge_cns.errors import BadInputError

__all__ = ["Options", "local_path", "one_line", "public_uri", "scheme_of", "split_uri"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_LONGEST = 200  # characters of hostile input that an error repeats
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}")
_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one URI, over their defaults.

    Attributes:
        source: the URI without its options, for errors.
        values: every option that there is, as text; ``""`` where it is not given and has no default.
    """

    source: str
    values: Mapping[str, str]

    def number(self, name: str, low: float, high: float) -> float:
        """A number from above ``low`` to ``high``; frame rates are all there is.

        Raises:
            BadInputError: no number, or out of range.
        """
        try:
            value = float(self.values[name])
        except ValueError:
            raise self.refused(name, f"is no number; give {name}={high / 2:g}, for instance") from None
        if math.isnan(value) or not low < value <= high:
            raise BadInputError(f"{self.source}: {name} is {value:g}; give more than {low:g} and at most {high:g}")
        return value

    def whole(self, name: str, low: int, high: int, unit: str = "") -> int:
        """A whole number from ``low`` to ``high``.

        Raises:
            BadInputError: no whole number, or out of range.
        """
        text = self.values[name]
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise self.refused(name, f"is no whole number; give {low} to {high}")
        if not low <= int(text) <= high:
            raise BadInputError(f"{self.source}: {name} is {int(text)}{unit}; give {low} to {high}")
        return int(text)

    def flag(self, name: str) -> bool:
        """Yes or no.

        Raises:
            BadInputError: neither.
        """
        if self.values[name] not in _FLAGS:
            raise self.refused(name, f"is neither yes nor no; give {name}=1 or {name}=0")
        return _FLAGS[self.values[name]]

    def choice(self, name: str, among: Sequence[str]) -> str:
        """One of several words.

        Raises:
            BadInputError: none of them.
        """
        if self.values[name] not in among:
            raise self.refused(name, f"is unknown; give one of {', '.join(among)}")
        return self.values[name]

    def refused(self, name: str, why: str) -> BadInputError:
        """The error that says what is wrong with the value of an option."""
        return BadInputError(f"{self.source}: {name} {one_line(self.values[name])!r} {why}")


def scheme_of(uri: str) -> str:
    """``rtsp`` of ``RTSP://camera``; empty for a plain path."""
    found = _SCHEME.match(uri)
    return found[1].lower() if found else ""


def split_uri(uri: str, defaults: Mapping[str, str]) -> tuple[str, Options]:
    """Take the options off a URI.

    Args:
        uri: ``SCHEME://NAME?option=value&option=value``.
        defaults: every option that there is, and its value when it is not given.

    Returns:
        What stands between ``://`` and ``?``, not yet decoded, and the options, decoded.

    Raises:
        BadInputError: an unknown option, or one given twice; the line lists those that there are.
    """
    base, _, query = uri.partition("?")
    source = one_line(base)
    given: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, value = (unquote(half) for half in (part.partition("=")[0], part.partition("=")[2]))
        known = " and ".join(", ".join(defaults).rsplit(", ", 1)) or "no options"
        if name not in defaults:
            raise BadInputError(f"{source}: there is no option {one_line(name)!r}; it goes with {known}")
        if name in given:
            raise BadInputError(f"{source}: {name} is given twice; it goes with {known}, each once")
        given[name] = value
    return base[len(scheme_of(base)) + len("://") :], Options(source, {**defaults, **given})


def local_path(uri: str, rest: str) -> Path:
    """The path of ``SCHEME:///PATH``, percent-decoded; ``SCHEME://localhost/PATH`` is the same.

    Args:
        uri: the whole, for the error.
        rest: what stands after ``://``.

    Raises:
        BadInputError: it names a host, or nothing.
    """
    path = rest.removeprefix("localhost") if rest.startswith("localhost/") else rest
    if not path.startswith("/") or path == "/":
        scheme = scheme_of(uri)
        what = "names a host" if path.strip("/") else "names nothing"
        raise BadInputError(f"{one_line(uri)} {what}; give {scheme}:///PATH with three slashes")
    return Path(unquote(path, errors="surrogateescape"))  # a name on disk may be no UTF-8


def public_uri(uri: str) -> str:
    """A URI as logs, records and pages may show it: no password, no token, no options of a network peer, no file name.

    A file's name may be a patient's, so ``file:///home/me/clip.mp4?loop=1`` becomes ``file:///*.mp4``;
    ``rtsp://me:secret@host/path?token=1`` becomes ``rtsp://host/path``, and of a GStreamer pipeline only the scheme
    stays.
    """
    scheme = scheme_of(uri) or "file"
    rest = uri[len(scheme) + len("://") :] if scheme_of(uri) else uri
    if scheme == "gst":
        return "gst://"
    if scheme in ("file", "dicom"):
        path = unquote(rest.partition("?")[0], errors="replace") if scheme_of(uri) else rest
        suffix = Path(path).suffix
        return f"{scheme}:///*{suffix if _SUFFIX.fullmatch(suffix) else ''}"
    if scheme in ("synthetic", "v4l2"):
        return one_line(f"{scheme}://{rest}")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    behind = rest[len(authority) :]
    if "@" in behind:  # perhaps of a password that has a slash in it: nothing can be told apart any more
        return f"{scheme}://"
    return one_line(f"{scheme}://{authority.rpartition('@')[2]}{re.split(r'[?#]', behind, maxsplit=1)[0]}")


def one_line(text: str) -> str:
    """Text from outside, fit for one line of an error: no control characters, and not for ever."""
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in cut)
