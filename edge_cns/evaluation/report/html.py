"""Pieces of HTML. What is passed as text is escaped here; cells of tables are HTML already."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from edge_cns.evaluation.pictures import media_type

__all__ = [
    "Section",
    "area",
    "banner",
    "count",
    "decimals",
    "flat",
    "note",
    "percent",
    "pictures",
    "rate",
    "share",
    "share_of",
    "small",
    "table",
]

_DASH = "\u2013"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report: the name that links lead to, its heading, and its HTML."""

    name: str
    title: str
    body: str


def table(header: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table that stacks on a narrow screen.

    Args:
        header: text.
        rows: cells as HTML; the first of each names the row.
        kind: further CSS classes.
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = []
    for first, *cells in rows:
        data = "".join(
            f'<td data-label="{escape(name)}"><span>{cell}</span></td>'
            for name, cell in zip(header[1:], cells, strict=True)
        )
        body.append(f'<tr><th scope="row">{first}</th>{data}</tr>')
    classes = f"stack {kind}".strip()
    return f'<table class="{classes}"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'


def pictures(items: Iterable[tuple[bytes, str]], kind: str) -> str:
    """Pictures with captions: the bytes of a PNG or JPEG file and a text each."""
    parts = []
    for image, caption in items:
        data, text = base64.b64encode(image).decode(), escape(caption)
        source = f"data:{media_type(image)};base64,{data}"
        parts.append(f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>')
    return f'<div class="{kind}">{"".join(parts)}</div>' if parts else ""


def banner(colour: str, title: str, text: str) -> str:
    """A box that nobody misses."""
    return f'<div class="banner {colour}" role="note"><strong>{escape(title)}</strong>{escape(text)}</div>'


def note(*texts: str) -> str:
    """A paragraph of small text for each, without the empty ones."""
    return "".join(f'<p class="soft">{escape(text)}</p>' for text in texts if text)


def small(text: str) -> str:
    """A second line in a cell, where there is one."""
    return f"<small>{text}</small>" if text else ""


def count(number: int, patients: int | None = None) -> str:
    """A number of rows, and of the patients behind them."""
    return f"{number:,}" + small("" if patients is None else f"{patients:,} patient{'s' * (patients != 1)}")


def rate(value: Mapping[str, Any]) -> str:
    """A proportion with its interval over patients, and Wilson's in brackets where there is one."""
    wilson = _percents(value.get("wilson"))
    return percent(value["value"]) + small(_percents(value["interval"])) + small(wilson and f"({wilson})")


def share(value: Mapping[str, Any]) -> str:
    """A proportion with its interval over patients."""
    return percent(value["value"]) + small(_percents(value["interval"]))


def share_of(part: Mapping[str, Any], key: str) -> str:
    """A share whose interval stands under ``KEY_interval``."""
    return percent(part[key]) + small(_percents(part[f"{key}_interval"]))


def area(value: Mapping[str, Any], places: int = 3) -> str:
    """A number with its interval over patients."""
    return decimals(value["value"], value["interval"], places)


def decimals(value: float | None, interval: Sequence[float] | None, places: int = 3) -> str:
    """A number with its interval, or a dash; almost one is not one."""
    if value is None:
        return "-"
    joined = " to " if interval and interval[0] < 0 else _DASH
    text, one = f"{value:.{places}f}", f"{1:.{places}f}"
    if text == one and value < 1:
        text = f"&gt; {1 - 10**-places:.{places}f}"
    return text + small(joined.join(f"{limit:.{places}f}" for limit in interval or ()))


def percent(value: float | None) -> str:
    """A share; almost all is not all."""
    if value is None:
        return "-"
    text = f"{value:.1%}"
    return "&gt; 99.9%" if text == "100.0%" and value < 1 else text


def _percents(interval: Sequence[float] | None) -> str:
    return _DASH.join(f"{100 * limit:.1f}" for limit in interval) + "%" if interval else ""


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Dotted names and printable values of nested mappings."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            yield f"{prefix}{key}", text
