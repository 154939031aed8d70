from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from edge_cns.plugins import find_plugin, plugin_names

TABLE = {"join": ("os.path", "join"), "dumps": ("json", "dumps")}


@pytest.fixture
def installed(monkeypatch):
    points = [EntryPoint("sqrt", "math:sqrt", "some"), EntryPoint("join", "math:sin", "some")]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points if group == "some" else [])


def test_the_table_first_then_what_is_installed(installed):
    import json
    import math
    import os

    assert find_plugin("dumps", TABLE, "some") is json.dumps
    assert find_plugin("join", TABLE, "some") is os.path.join, "nobody takes one of our names"
    assert find_plugin("sqrt", TABLE, "some") is math.sqrt
    assert find_plugin("sqrt", TABLE, "other") is None
    assert plugin_names(TABLE, "some") == ["join", "dumps", "sqrt"]


def test_packages_are_not_looked_through_for_a_name_of_ours(monkeypatch):
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: pytest.fail("it was looked for"))
    assert find_plugin("dumps", TABLE, "some") is not None
