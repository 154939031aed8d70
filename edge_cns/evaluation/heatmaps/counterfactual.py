"""Without the lesion, does the evidence go?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_cns.evaluation.clustered import clustered_ratio
from edge_cns.evaluation.heatmaps.maps import mass_inside
from edge_cns.evaluation.heatmaps.shown import Seen, Settings, Shown

__all__ = ["counterfactual"]


def counterfactual(settings: Settings, shown: Sequence[Shown]) -> dict[str, Any] | None:
    """The ``counterfactual`` block: one frame with and without its lesion, all else equal.

    Args:
        settings: shared ones.
        shown: outlined frames; those without a twin are left out.

    Returns:
        ``None`` where no frame has a twin.
    """
    pairs = [(s, s.twin) for s in shown if s.twin is not None]
    if not pairs:
        return None
    patients = [s.seen.row.patient_id for s, _ in pairs]
    logit, before, after, inside, right, leaves = np.array([_compare(settings, s, twin) for s, twin in pairs]).T
    drawing = {"seed": settings.seed, "resamples": settings.resamples}
    return {
        "n_pairs": len(pairs),
        "n_patients": len(set(patients)),
        "logit_fall": settings.mean(logit, patients),
        "share_falling": settings.mean(logit > 0, patients),
        "evidence_left": clustered_ratio(after, before, patients, **drawing),
        "fall_inside": settings.mean(inside, patients),
        "fall_inside_area": settings.mean([s.mask.mean() for s, _ in pairs], patients),
        "verdict_leaves": clustered_ratio(leaves * right, right, patients, **drawing),
    }


def _compare(settings: Settings, shown: Shown, twin: Seen) -> tuple[float, ...]:
    """Fall of the logit, evidence in the lesion before and after, share of the fall in it, right, leaves the class."""
    with_it = settings.drawn(shown.seen.cams, shown.label, shown.seen.box)
    without = settings.drawn(twin.cams, shown.label, shown.seen.box)
    before, after = (seen.cams.mean(axis=(0, 1), dtype=np.float64) for seen in (shown.seen, twin))
    return (
        float((before[shown.label] - before.mean()) - (after[shown.label] - after.mean())),
        float(np.maximum(with_it, 0)[shown.mask].sum(dtype=np.float64)),
        float(np.maximum(without, 0)[shown.mask].sum(dtype=np.float64)),
        mass_inside(with_it - without, shown.mask),
        float(shown.right),
        float(twin.said != shown.label),
    )
