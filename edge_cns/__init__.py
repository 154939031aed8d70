"""edge-cns: put an ultrasound classifier inside the ultrasound machine.

Research use only. Not a medical device.

    >>> import edge_cns
    >>> verdict = edge_cns.load("NAME.cns").classify(frame)  # doctest: +SKIP
"""

from edge_cns.decision.verdict import State, Verdict
from edge_cns.frames import Frame, Region
from edge_cns.runtime.classifier import Classifier, load

__all__ = ["Classifier", "Frame", "Region", "State", "Verdict", "__version__", "load"]

__version__ = "0.1.0"
