"""What a page may be told that the patient can see. Names of classes stay on the server."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

from edge_cns.contract import Contract

__all__ = ["Discretion", "source_name"]

_HEALTHY = "normal"
_SHORT = 3  # letters: so short a name is looked for as a word, for it is part of many


class Discretion:
    """Knows which classes call for a review, and finds their names in texts.

    A class is *neutral* if it means none of the findings, or is a plane and no finding; every other one calls for a
    review.

    Args:
        contract: of the bundle.
    """

    def __init__(self, contract: Contract) -> None:
        names, decision = contract.class_names, contract.decision
        planes = set(contract.intended_use.planes)
        planes |= set(decision.exam.required_views) if decision.exam else set()
        planes |= set(decision.views.names) if decision.views else set()
        negative = decision.exam.negative if decision.exam else None
        self._negative = {n for n in names if n == negative or n.casefold() == _HEALTHY}
        self._neutral = self._negative | (planes & set(names))
        self._numbers = {name: number for number, name in enumerate(names, 1)}
        plain = {_plain(name) for name in names} - {""}
        self._words = {name for name in plain if len(name) <= _SHORT}
        self._parts = plain - self._words
        self._odd = {name.casefold() for name in names if not _plain(name)}

    def review(self, label: str | None) -> bool | None:
        """Whether a class calls for a review; ``None`` without one."""
        return None if label is None else label not in self._neutral

    def negative(self, label: str | None) -> bool:
        """Whether a class means none of the findings."""
        return label in self._negative

    def names_a_class(self, text: str) -> bool:
        """Whether a class can be read in a text, however it is written: ``Open spine``, ``open_spine%20.mp4``."""
        text = unquote(text)
        joined, lower = _plain(text), text.casefold()
        words = {_plain(word) for word in re.split(r"[\W_]+", text)}
        found = any(part in joined for part in self._parts) or any(odd in lower for odd in self._odd)
        return found or not self._words.isdisjoint(words)

    def quiet(self, text: str) -> str:
        """The text, or nothing at all if it names a class: what is left of a sentence would still tell."""
        return "" if self.names_a_class(text) else text

    def view(self, name: str) -> str:
        """A plane by its name, or by a number where classes are planes."""
        if not self.names_a_class(name):
            return name
        return f"view {self._numbers[name]}" if name in self._numbers else "a view"


def source_name(uri: str) -> str:
    """A source in few words: ``file *.mp4``, ``rtsp camera:554``, ``v4l2 video0``, ``synthetic phantom``.

    Args:
        uri: as `edge_cns.runtime.uri.public_uri` leaves it.
    """
    scheme, _, rest = uri.partition("?")[0].partition("://")
    name = rest.partition("/")[0] or rest.rstrip("/").rpartition("/")[2]
    return f"{scheme} {name}".strip()


def _plain(text: str) -> str:
    """Letters and digits alone, in one case."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())
