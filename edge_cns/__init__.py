"""edge-cns: put an ultrasound classifier inside the ultrasound machine.

Research use only. Not a medical device.

    >>> import edge_cns
    >>> verdict = edge_cns.load("NAME.cns").classify(frame)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_cns.decision.verdict import State, Verdict
    from edge_cns.frames import Frame, Region
    from edge_cns.runtime.classifier import Classifier, load

__all__ = ["Classifier", "Frame", "Region", "State", "Verdict", "__version__", "load"]

__version__ = "0.1.0"

_WHERE = {
    "Classifier": "edge_cns.runtime.classifier",
    "Frame": "edge_cns.frames",
    "Region": "edge_cns.frames",
    "State": "edge_cns.decision.verdict",
    "Verdict": "edge_cns.decision.verdict",
    "load": "edge_cns.runtime.classifier",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: an engine's process needs neither OpenCV nor the rest."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
