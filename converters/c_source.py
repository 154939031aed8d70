"""Text of C: literals that no compiler warns about, whatever is put into them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["array", "comment", "real", "string"]

_COLUMNS = 110  # of a line of values
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-.,:;()/+*=<>[]{}|!#$%&@^~'`")


def string(text: str) -> str:
    """A string literal in UTF-8; what could end it, escape or form a trigraph is written as an octal number."""
    pieces = (chr(byte) if chr(byte) in _PLAIN else f"\\{byte:03o}" for byte in text.encode())
    return f'"{"".join(pieces)}"'


def real(value: float) -> str:
    """A ``float`` constant that rounds to the same float32."""
    return f"{float(value):.9g}f" if "." in f"{float(value):.9g}" or "e" in f"{float(value):.9g}" else f"{value:.1f}f"


def comment(text: str) -> str:
    """Text for within a comment, on one line and unable to end it."""
    return " ".join(text.split()).replace("*/", "* /").replace("/*", "/ *")


def array(values: Sequence[str] | Iterable[str]) -> str:
    """Values between braces, many a line."""
    lines, line = [], ""
    for value in values:
        if len(line) + len(value) > _COLUMNS:
            lines.append(line)
            line = ""
        line += f"{value}, "
    lines.append(line)
    body = "\n".join("    " + text.rstrip() for text in lines if text)
    return f"{{\n{body}\n}}"
