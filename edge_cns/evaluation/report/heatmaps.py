"""Are the heat maps right?"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from edge_cns.evaluation.report.html import Section, area, count, decimals, note, pictures, share, table

__all__ = ["FIGURES", "heatmaps"]

_CAPTIONS = {
    "heatmaps": "One frame for each class, the one with the median share of evidence in the lesion (without outlined "
    "lesions: frames at three quantiles of the correlation): neither the best nor the worst. Red is the strongest "
    "evidence for the class; the map without the lesion has the scale of the map beside it.",
    "heatmaps_agreement": "Rank correlation of the int8 map with the float model's Grad-CAM, frame by frame.",
    "heatmaps_sanity": "Pointing game and mass in the lesion, beside two levels of chance and shuffled weights.",
}
FIGURES = tuple(_CAPTIONS)
"""Names of the figures that this section shows."""


def heatmaps(metrics: dict[str, Any], figures: Mapping[str, bytes]) -> Section | None:
    """Agreement with the float model, lesions, counterfactual pairs, and shuffled weights."""
    block = metrics.get("heatmaps")
    if not block:
        return None
    parts = [
        make(block[key])
        for key, make in (
            ("agreement", _agreement),
            ("lesions", _lesions),
            ("counterfactual", _counterfactual),
            ("randomisation", _randomisation),
        )
        if key in block
    ]
    parts += [
        pictures([(figures[name], _CAPTIONS[name]) for name in ("heatmaps",) if name in figures], "wide"),
        pictures([(figures[name], _CAPTIONS[name]) for name in FIGURES[1:] if name in figures], "figures"),
    ]
    return Section("heatmaps", "Are the heat maps right?", "".join(parts))


def _agreement(block: dict[str, Any]) -> str:
    quantiles = [decimals(block["quantiles"][share], None) for share in ("0.05", "0.5", "0.95")]
    rows = [
        ["with both signs", area(block["signed"])],
        ["as drawn, only evidence for the class", area(block["drawn"])],
        ["Grad-CAM of the logit alone, not minus the mean logit", area(block["logit_alone"])],
        ["5 %, 50 %, 95 % quantile of the frames", ", ".join(quantiles)],
    ]
    text = (
        f"{block['n_frames']} frames of {block['n_patients']} patients, {block['places']} places each: the int8 map of "
        "the class said against Grad-CAM of the float model (Selvaraju et al. 2017). It shows what quantisation costs "
        "the maps, not that they point at a disease."
    )
    undefined = block["n_undefined"]
    extra = f"{undefined} frames with a constant map have no correlation." if undefined else ""
    header = ["Rank correlation", "Mean over frames"]
    return "<h3>int8 against the float model</h3>" + table(header, rows, "lines") + note(text, extra)


def _lesions(block: dict[str, Any]) -> str:
    groups = {"all frames with an outlined lesion": block}
    if block["right"]:
        groups["of these, those the model has right"] = block["right"]
    groups |= block["per_class"]
    rows = [
        [
            escape(name),
            count(part["n_frames"], part["n_patients"]),
            *(share(part[key]) for key in ("pointing", "pointing_swapped", "pointing_area")),
            *(share(part[key]) for key in ("mass", "mass_swapped", "mass_area")),
        ]
        for name, part in groups.items()
    ]
    header = ["Lesions", "Frames", "Points at it", "others' maps", "area", "Mass in it", "others' mass", "area"]
    limits = block["pointing_gain"]["interval"]
    more = "more" if limits is not None and limits[0] > 0 else "not shown to be more"
    text = (
        f"Points at it: the largest value lies in the outlined lesion or within {block['tolerance_px']} px of it, of "
        f"{block['input_px'][0]} (Zhang et al. 2016). Mass: share of the evidence for the class inside the lesion. The "
        f"map of the true class, {block['grid'][0]} by {block['grid'][1]} places. Chance, twice: maps of other "
        "patients laid over this lesion (what knowing where lesions lie gives), and the area that the lesion covers. "
        f"Against others' maps this is {more} than knowing where lesions lie."
    )
    left_out = (
        f"{block['n_outside']} lesions lie outside the region that the model sees." if block["n_outside"] else "",
        f"{block['n_without_evidence']} maps hold no evidence for the class and have no mass."
        if block["n_without_evidence"]
        else "",
    )
    return "<h3>On the lesions</h3>" + table(header, rows, "dense") + note(text, *left_out)


def _counterfactual(block: dict[str, Any]) -> str:
    rows = [
        ["the class's logit falls by (against the mean logit)", area(block["logit_fall"], 2), "0"],
        ["pairs in which it falls", share(block["share_falling"]), "50%"],
        ["evidence in the lesion's place that is left", share(block["evidence_left"]), "100%"],
        ["share of the fall that lies in the lesion", share(block["fall_inside"]), share(block["fall_inside_area"])],
        ["the right verdict leaves the class", share(block["verdict_leaves"]), "0%"],
    ]
    text = (
        f"{block['n_pairs']} pairs of {block['n_patients']} patients: one frame drawn with and without its lesion, all "
        "else equal. The last column is what no effect, or chance, would give."
    )
    return "<h3>Without the lesion</h3>" + table(["", "Measured", "No effect"], rows, "lines") + note(text)


def _randomisation(block: dict[str, Any]) -> str:
    rows = [
        [
            "trained" if stage["share"] is None else f"shuffled: {escape(stage['name'])}",
            share(stage["pointing"]),
            share(stage["mass"]),
            area(stage["correlation"], 2) if "correlation" in stage else "-",
        ]
        for stage in block["stages"]
    ]
    verdict = {
        True: "With all weights shuffled the maps lose the lesion, as they must.",
        False: "With all weights shuffled the maps are not shown to lose the lesion: do not trust them.",
        None: "Too few patients to say whether shuffled weights lose the lesion.",
    }[block["loses_the_lesion"]]
    text = (
        f"The float model on {block['n_frames']} frames of {block['n_patients']} patients, its weights shuffled from "
        f"the output down, {block['shuffles']} times each (Adebayo et al. 2018)."
    )
    header = ["Float model", "Points at the lesion", "Mass in it", "Rank correlation with the trained map"]
    return "<h3>With shuffled weights</h3>" + table(header, rows, "lines") + note(verdict, text)
