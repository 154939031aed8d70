"""Do the maps point at the lesion, and how much of the evidence lies in it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.evaluation.heatmaps.maps import Map, mass_inside, pointing, tolerance_px
from edge_cns.evaluation.heatmaps.shown import Settings, Shown

__all__ = ["localisation", "localise"]

_SWAPS = 32  # other patients' maps laid over each lesion


def localise(maps: Sequence[Map], shown: Sequence[Shown]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pointing and mass ``(N,)`` of a map for each outlined frame."""
    hits = [pointing(heatmap, s.target) for heatmap, s in zip(maps, shown, strict=True)]
    masses = [mass_inside(heatmap, s.mask) for heatmap, s in zip(maps, shown, strict=True)]
    return np.array(hits), np.array(masses)


def localisation(settings: Settings, shown: Sequence[Shown]) -> dict[str, Any]:
    """The ``lesions`` block: over all outlined frames, those the model has right, and by class.

    Two levels of chance stand beside each figure. *Area* is what a place drawn at random would reach. *Swapped* is
    what the maps of other patients reach on this patient's lesion: what knowing where lesions lie would reach. *Gain*
    is the difference to it, frame by frame.

    Args:
        settings: shared ones.
        shown: at least one; each map is that of the true class.
    """
    hits, masses = localise([settings.drawn(s.seen.cams, s.label, s.seen.box) for s in shown], shown)
    swapped_hits, swapped_masses = _swapped(settings, shown)
    columns = {
        "pointing": hits,
        "pointing_area": np.array([s.target.mean() for s in shown]),
        "pointing_swapped": swapped_hits,
        "pointing_gain": hits - swapped_hits,
        "mass": masses,
        "mass_area": np.array([s.mask.mean() for s in shown]),
        "mass_swapped": swapped_masses,
        "mass_gain": masses - swapped_masses,
    }
    patients = np.array([s.seen.row.patient_id for s in shown])

    def figures(chosen: NDArray[np.bool_]) -> dict[str, Any]:
        ids = patients[chosen].tolist()
        means = {name: settings.mean(values[chosen], ids) for name, values in columns.items()}
        return {"n_frames": len(ids), "n_patients": len(set(ids)), **means}

    labels, right = np.array([s.label for s in shown]), np.array([s.right for s in shown])
    names, spec = settings.contract.class_names, settings.contract.input
    return {
        **figures(np.ones(len(shown), bool)),
        "n_without_evidence": int(np.isnan(masses).sum()),
        "tolerance_px": tolerance_px(spec),
        "input_px": [spec.width, spec.height],
        "grid": list(shown[0].seen.cams.shape[1::-1]),
        "right": figures(right) if right.any() else None,
        "per_class": {names[c]: figures(labels == c) for c in np.unique(labels)},
    }


def _swapped(settings: Settings, shown: Sequence[Shown]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean pointing and mass ``(N,)`` of other patients' maps on each lesion; NaN where there is no other patient."""
    rng = np.random.default_rng(settings.seed)
    patients = np.array([s.seen.row.patient_id for s in shown])
    hits, masses = np.full(len(shown), np.nan), np.full(len(shown), np.nan)
    for i, s in enumerate(shown):
        others = np.flatnonzero(patients != patients[i])
        if others.size == 0:
            continue
        drawn = rng.choice(others, min(_SWAPS, others.size), replace=False)
        maps = [settings.drawn(shown[j].seen.cams, shown[j].label, s.seen.box) for j in drawn]
        found = localise(maps, [s] * len(maps))
        hits[i] = found[0].mean()
        if np.isfinite(found[1]).any():
            masses[i] = np.nanmean(found[1])
    return hits, masses
