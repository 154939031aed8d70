"""Are the heat maps right? Against the float model, on lesions, without the lesion, and with shuffled weights."""

from __future__ import annotations

from edge_cns.evaluation.heatmaps.lesions import LesionFrame, read_lesions
from edge_cns.evaluation.heatmaps.shown import CamModel, FloatModel
from edge_cns.evaluation.heatmaps.study import HeatmapStudy, Panel, measure_heatmaps

__all__ = ["CamModel", "FloatModel", "HeatmapStudy", "LesionFrame", "Panel", "measure_heatmaps", "read_lesions"]
