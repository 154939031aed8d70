"""What a machine says beside its images: a STRING, or a metadata entry of any message, named ``EDGE_CNS_EVENT``.

    {"kind": "exam", "value": "7f3a"}    {"kind": "exam_end"}    {"kind": "mode", "value": "B"}    {"kind": "freeze"}

The kinds are those of `edge_cns.frames.EventKind`, which says what their values mean.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_cns.errors import BadInputError, UnsupportedError
from edge_cns.frames import EventKind
from edge_cns.strict_json import load_json, parse

__all__ = ["EVENT_NAME", "parse_event"]

EVENT_NAME = "EDGE_CNS_EVENT"
"""Device name of the STRING, or key of the metadata."""

_LONGEST = 64  # characters of a value
_KINDS = {kind.value: kind for kind in EventKind if kind not in (EventKind.CONNECTED, EventKind.DISCONNECTED)}


@dataclass(frozen=True, slots=True)
class _Said:
    kind: str
    value: str


def parse_event(text: str) -> tuple[EventKind, str]:
    """Kind and value of an event; a value that is left out is empty.

    Args:
        text: JSON as above.

    Raises:
        UnsupportedError: a kind that this version does not know.
        BadInputError: not such JSON, or a value of more than 64 or of unprintable characters. Errors repeat nothing of
            the text: it may hold what no log may.
    """
    try:
        value = load_json(text.encode("utf-8", "surrogatepass"), EVENT_NAME)
        said = parse(_Said, {"value": "", **value} if isinstance(value, dict) else value, EVENT_NAME)
    except BadInputError:
        raise BadInputError(
            f'an {EVENT_NAME} is not {{"kind": "...", "value": "..."}}; see docs/openigtlink.md'
        ) from None
    if len(said.value) > _LONGEST or not said.value.isprintable():
        raise BadInputError(f"{EVENT_NAME}'s value has {len(said.value)} characters; send up to {_LONGEST} printable")
    if said.kind not in _KINDS:
        raise UnsupportedError(f"an {EVENT_NAME} is of an unknown kind; send one of {', '.join(_KINDS)}")
    return _KINDS[said.kind], said.value
