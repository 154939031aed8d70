from __future__ import annotations

import json
import sys

import pytest

from edge_cns.errors import MissingExtraError
from edge_cns.extras import require


def test_returns_the_module() -> None:
    assert require("json", "evaluate") is json


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    for module in ("matplotlib", "matplotlib.figure"):
        with pytest.raises(MissingExtraError, match=r"matplotlib.*pip install 'edge-cns\[evaluate\]'"):
            require(module, "evaluate")


def test_a_library_that_is_there_but_broken_keeps_its_error(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_installed.py").write_text("import a_part_that_is_gone\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="a_part_that_is_gone"):
        require("half_installed", "evaluate")
