"""With shuffled weights, do the maps lose the lesion?

A map that stays where it was when the network has forgotten everything shows the picture, not the network
(Adebayo et al. 2018, "Sanity checks for saliency maps").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.decision.verdict import evidence
from edge_cns.evaluation.heatmaps.localisation import localise
from edge_cns.evaluation.heatmaps.maps import rank_correlation
from edge_cns.evaluation.heatmaps.shown import FloatModel, Settings, Shown
from edge_cns.progress import Progress

__all__ = ["SHUFFLES", "STAGES", "randomisation"]

STAGES: tuple[tuple[str, float], ...] = (
    ("head", 0.0),
    ("head and last quarter", 0.25),
    ("head and last half", 0.5),
    ("all layers", 1.0),
)
"""What is shuffled, and which share of the layers below the head that is."""
SHUFFLES = 3
"""Each stage is shuffled so often, with other seeds; a frame's figure is the mean."""


def randomisation(
    settings: Settings, reference: FloatModel, shown: Sequence[Shown], progress: Progress
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """The float model on outlined frames, whole, and with more and more of its layers shuffled.

    Args:
        settings: shared ones.
        reference: the float model.
        shown: at least one.
        progress: told as work goes on.

    Returns:
        The ``randomisation`` block, and the maps ``(N, h, w, K)`` of the last of the wholly shuffled networks.
    """
    images = np.stack([s.seen.image for s in shown])
    patients = [s.seen.row.patient_id for s in shown]
    cams = reference.cams(images)
    trained = _evidence(cams, shown)
    whole = found = np.stack(_localised(settings, cams, shown))
    stages = [{"name": "trained", "share": None, **_stage(settings, whole, patients)}]
    for done, (name, share) in enumerate(STAGES):
        runs = []
        for i in range(SHUFFLES):
            cams = reference.shuffled_cams(images, share, settings.seed + i)
            alike = rank_correlation(trained, _evidence(cams, shown))
            runs.append(np.stack([*_localised(settings, cams, shown), alike]))
            progress("heat maps of shuffled weights", done * SHUFFLES + i + 1, len(STAGES) * SHUFFLES)
        found = _mean(np.stack(runs))
        stages.append({"name": name, "share": share, **_stage(settings, found, patients)})
    lost = {name: settings.mean(whole[i] - found[i], patients) for i, name in enumerate(("pointing", "mass"))}
    limits = lost["pointing"]["interval"]
    block = {
        "n_frames": len(shown),
        "n_patients": len(set(patients)),
        "shuffles": SHUFFLES,
        "stages": stages,
        "lost": lost,
        "loses_the_lesion": None if limits is None else bool(limits[0] > 0),
    }
    return block, cams


def _evidence(cams: NDArray[np.float32], shown: Sequence[Shown]) -> NDArray[np.float32]:
    """``(N, h, w)``: evidence for each frame's true class."""
    return np.stack([evidence(c, s.label) for c, s in zip(cams, shown, strict=True)])


def _localised(
    settings: Settings, cams: NDArray[np.float32], shown: Sequence[Shown]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    maps = [settings.drawn(c, s.label, s.seen.box) for c, s in zip(cams, shown, strict=True)]
    return localise(maps, shown)


def _mean(runs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over runs ``(R, 3, N)`` of the finite values; NaN where there is none."""
    finite = np.isfinite(runs)
    sums, counts = np.where(finite, runs, 0.0).sum(axis=0), finite.sum(axis=0)
    return np.asarray(np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0))


def _stage(settings: Settings, found: NDArray[np.float64], patients: Sequence[str]) -> dict[str, Any]:
    names = ("pointing", "mass", "correlation")  # the trained network has no correlation with itself to report
    return {name: settings.mean(values, patients) for name, values in zip(names, found, strict=False)}
