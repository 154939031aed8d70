"""Do the int8 maps rank places as the float model's Grad-CAM does?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.decision.verdict import evidence
from edge_cns.evaluation.heatmaps.maps import Map, rank_correlation
from edge_cns.evaluation.heatmaps.shown import FloatModel, Seen, Settings

__all__ = ["QUANTILES", "agreement"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BINS = 100


def agreement(
    settings: Settings, reference: FloatModel, frames: Sequence[Seen]
) -> tuple[dict[str, Any], NDArray[np.float64], list[Map]]:
    """Spearman's rank correlation between two maps of each frame, for the class that the int8 model says.

    A verdict's heat map is the class's map minus the mean map of all classes, so Grad-CAM explains the same: the logit
    minus the mean logit. Both are compared over all places with their signs, since Grad-CAM's ReLU makes ties of most
    of them, and once more as they are drawn, clipped at zero.

    Args:
        settings: shared ones.
        reference: the float model.
        frames: at least one.

    Returns:
        The ``agreement`` block, the correlation of each frame ``(N,)``, and the Grad-CAM maps ``(h, w)``.
    """
    images = np.stack([seen.image for seen in frames])
    said = np.array([seen.said for seen in frames], np.int64)
    patients = [seen.row.patient_id for seen in frames]
    int8 = np.stack([evidence(seen.cams, seen.said) for seen in frames])
    exact = reference.grad_cams(images, said, against_mean=True)
    alone = reference.grad_cams(images, said, against_mean=False)
    signed = rank_correlation(int8, exact)
    finite = signed[np.isfinite(signed)]
    counts, edges = np.histogram(finite, bins=_BINS, range=(-1, 1))
    quantiles = np.quantile(finite, QUANTILES).tolist() if finite.size else [None] * len(QUANTILES)
    block = {
        "n_frames": len(frames),
        "n_patients": len(set(patients)),
        "n_undefined": int(signed.size - finite.size),
        "places": int(int8[0].size),
        "signed": settings.mean(signed, patients),
        "drawn": settings.mean(rank_correlation(np.maximum(int8, 0), np.maximum(exact, 0)), patients),
        "logit_alone": settings.mean(rank_correlation(int8, alone), patients),
        "quantiles": {f"{share:g}": value for share, value in zip(QUANTILES, quantiles, strict=True)},
        "histogram": {"edges": edges.round(6).tolist(), "counts": counts.tolist()},
    }
    return block, signed, list(exact)
