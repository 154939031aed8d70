"""Plug-ins: a visible table ``name -> (module, attribute)``, imported on demand, that installed packages extend.

A name of the table wins over one of a package, and packages are looked for only where the table has no such name:
finding them reads the metadata of every distribution.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

__all__ = ["find_plugin", "plugin_names"]

Table = Mapping[str, tuple[str, str]]


def find_plugin(name: str, table: Table, group: str) -> Any:
    """What a name stands for.

    Args:
        name: to look up.
        table: ours.
        group: of the entry points that extend it.

    Returns:
        The attribute of the module; ``None`` for an unknown name.
    """
    row = table.get(name) or _installed(group).get(name)
    return None if row is None else getattr(importlib.import_module(row[0]), row[1])


def plugin_names(table: Table, group: str) -> list[str]:
    """All names, those of the table first."""
    return [*table, *sorted(set(_installed(group)) - set(table))]


def _installed(group: str) -> dict[str, tuple[str, str]]:
    from importlib.metadata import entry_points

    return {entry.name: (entry.module, entry.attr) for entry in entry_points(group=group)}
