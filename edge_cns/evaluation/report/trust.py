"""When the model should be believed: calibration, abstention, conformal sets, novelty, and statements on exams."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from edge_cns.evaluation.metrics import headline
from edge_cns.evaluation.report.html import Section, area, decimals, note, pictures, rate, table

__all__ = ["FIGURES", "abstention", "calibration", "exams", "novelty"]

FIGURES = ("reliability", "risk_coverage", "risk_coverage_exams")
"""Names of the figures that these sections show."""

_OUTCOMES = {
    "right_finding": "Right finding",
    "wrong_finding": "Wrong finding",
    "no_listed_finding": "No listed finding",
    "indeterminate": "Indeterminate",
    "not_supported_view": "Not a supported view",
}
_EXAM_RATES = {
    "answered": "answered: a finding stated, or the listed ones excluded",
    "error": "wrong, among those answered",
    "found": "of exams with a listed finding: it is stated",
    "missed": "of exams with a listed finding: reported clear",
    "false_finding": "of exams without one: a finding is stated",
    "cleared": "of exams without one: reported clear",
    "unlisted_clear": "of exams with an anomaly that is not listed: reported clear",
    "unlisted_found": "of exams with an anomaly that is not listed: a listed finding is stated",
}


def calibration(metrics: dict[str, Any], figures: Mapping[str, bytes]) -> Section | None:
    """Can a probability be taken at its word, and does leaving out the least sure help?"""
    frame = headline(metrics)[1]["frame"]
    if "calibration" not in frame:
        return None
    before = metrics.get("before_calibration")
    columns = [("as it is", frame)] if before is None else [("before calibration", before), ("after", frame)]
    rows = [
        ["Expected calibration error (ECE)", *(_figure(part["calibration"], "ece") for _, part in columns)],
        ["ECE that chance alone gives", *(_figure(part["calibration"], "ece_if_calibrated") for _, part in columns)],
        ["Mean probability of the class said", *(_figure(part["calibration"], "confidence") for _, part in columns)],
        ["Share that is right", *(_figure(part["calibration"], "accuracy") for _, part in columns)],
        ["Brier score (0 to 2)", *(_figure(part, "brier") for _, part in columns)],
        ["Log loss, nats", *(_figure(part, "log_loss") for _, part in columns)],
    ]
    selective = frame.get("selective")
    texts = [
        f"ECE over {frame['calibration']['binning']} (Guo et al. 2017), by frame; 0 is best.",
        ""
        if selective is None
        else f"Area under risk against coverage {selective['aurc']:.4f}; a perfect ranking of these errors would give "
        f"{selective['aurc_best']:.4f}, no ranking {selective['aurc_random']:.4f}.",
    ]
    captions = {
        "reliability": "Reliability: on the line a probability is what it says. Below it the model is too sure.",
        "risk_coverage": "Error among the frames answered, when the least sure are left out first.",
    }
    drawn = pictures([(figures[name], text) for name, text in captions.items() if name in figures], "figures")
    body = table(["", *(name for name, _ in columns)], rows, "lines") + note(*texts) + drawn
    return Section("calibration", "Can the probabilities be believed?", body)


def _figure(part: Mapping[str, Any], key: str) -> str:
    return decimals(part[key], part.get(f"{key}_interval"))


def abstention(metrics: dict[str, Any]) -> Section | None:
    """What frame verdicts say, and whether conformal sets hold what they promise."""
    states, conformal = metrics.get("states"), metrics.get("conformal")
    parts = []
    if states is not None:
        names = {"class": "a class", "indeterminate": "indeterminate", "not_supported_view": "not a supported view"}
        rows = [[escape(text), rate(states[key])] for key, text in names.items() if key in states]
        if "error_of_class" in states:
            rows.append(["wrong, among those that state a class", rate(states["error_of_class"])])
        parts.append(table(["A frame's verdict is", "Share of frames"], rows, "lines"))
    if conformal is not None:
        rows = [["all frames", rate(conformal["overall"])]]
        rows += [[escape(name), rate(value)] for name, value in conformal["per_class"].items()]
        promised = f"Sets hold the true class (promised: {conformal['coverage']:.0%})"
        parts.append(table(["Conformal sets", promised], rows, "lines"))
        rows = [["sets of one class", rate(conformal["single"])], ["empty sets", rate(conformal["empty"])]]
        rows.append(["wrong, among sets of one class", rate(conformal["error_of_single"])])
        parts.append(table(["", "Share of frames"], rows, "lines"))
        pooled = ", ".join(conformal["pooled"])
        parts.append(note(pooled and f"Too few calibration patients for a threshold of their own: {pooled}."))
    if not parts:
        return None
    text = "A class is stated only for a supported view whose set has exactly one class; otherwise it abstains."
    return Section("abstention", "Abstention", "".join(parts) + note(text))


def novelty(metrics: dict[str, Any]) -> Section | None:
    """Whether frames of anything else are told from supported views."""
    block = metrics.get("novelty")
    if block is None:
        return None
    others = block.get("others", {})
    header, absent = ["Frames of", "Flagged as no supported view"], []
    if others:
        header, absent = [*header, "AUROC", "Frames"], ["-", "-"]
    rows = [["these data, all frames", rate(block["flagged"]), *absent]]
    rows += [[f"these data, {escape(name)}", rate(value), *absent] for name, value in block["per_class"].items()]
    for name, other in others.items():
        rows.append([escape(name), rate(other["flagged"]), area(other["auroc"]), f"{other['n']:,}"])
    text = (
        f"The threshold was set for {block['false_alarm']:.0%} false alarms on calibration patients: of these data "
        "about as many should be flagged."
    )
    more = "Of anything else nearly all should be flagged. AUROC: these data against the others." if others else ""
    return Section("novelty", "Is it a supported view at all?", table(header, rows, "lines") + note(text, more))


def exams(metrics: dict[str, Any], figures: Mapping[str, bytes]) -> Section | None:
    """What is said of whole exams."""
    block = metrics.get("exams")
    if block is None:
        return None
    rows = [
        [escape(text), rate(block[key]), f"{block[key]['n']:,}"]
        for key, text in _EXAM_RATES.items()
        if block.get(key) is not None and block[key]["n"]
    ]
    parts = [table([f"Of {block['n']:,} exams", "Share", "Counted over"], rows, "lines")]
    outcomes = block["outcomes"]
    present = [key for key in _OUTCOMES if any(counts.get(key) for counts in outcomes.values())]
    rows = [[escape(truth), *(f"{counts.get(key, 0):,}" for key in present)] for truth, counts in outcomes.items()]
    parts.append(table(["Truth", *(_OUTCOMES[key] for key in present)], rows))
    missing = ", ".join(f"{view} ({n})" for view, n in block["views_missing"].items() if n)
    required = ", ".join(block["required_views"])
    text = (
        "A statement is a finding, indeterminate, not a supported view, or none of the listed findings in the views "
        "analysed. It never says that a patient is healthy: an anomaly that is not listed is not looked for."
    )
    extra = (required and f"Required views: {required}.", missing and f"Views that were missing, and exams: {missing}.")
    name = "risk_coverage_exams"
    caption = "Error among the exams answered, when the least sure are left out first."
    drawn = pictures([(figures[name], caption)] if name in figures else [], "figures")
    return Section("exams", "Statements on whole exams", "".join(parts) + note(text, *extra) + drawn)
