"""The top of the report: what nobody may miss, the figures to quote, and who was in."""

from __future__ import annotations

from html import escape
from typing import Any

from edge_cns.evaluation.metrics import headline
from edge_cns.evaluation.predictions import UNSEEN
from edge_cns.evaluation.report.content import GateState, Report
from edge_cns.evaluation.report.html import Section, area, banner, count, decimals, note, share_of, table

__all__ = ["SET_NAMES", "banners", "flow", "headline_figures", "sets"]

SET_NAMES = {
    UNSEEN: "unseen patients",
    "seen": "seen patients, all",
    "fit": "fit (trained on)",
    "stop": "stop (chose the epoch)",
    "calibrate": "calibrate",
    "gate": "gate (judged the int8 model)",
}


def banners(report: Report) -> str:
    """What nobody may miss, above all figures."""
    metrics = report.metrics
    boxes = [banner("red", "Research use only. Not a medical device.", "")]
    if metrics["phantom"]:
        boxes.append(banner("violet", "PHANTOM DATA", "Simulated frames: these figures say nothing about patients."))
    if metrics["by_set"][UNSEEN] is None:
        text = "Training or conversion has met every patient in these data: expect worse figures on new patients."
        boxes.append(banner("red", "No unseen patients", text))
    if report.gate is not None:
        boxes.append(_gate(report.gate))
    if report.warnings:
        boxes.append(_list("Shortcuts: a model may have learned these instead of the anatomy", report.warnings))
    remarks = metrics.get("calibration_record", {}).get("warnings", ())
    if remarks:
        boxes.append(_list("What the calibration could not do", remarks))
    return "\n".join(boxes)


def _gate(gate: GateState) -> str:
    if gate.outcome == "failed":
        allowed = "; the model was released because drift was allowed" if gate.drift_allowed else ""
        return banner("red", "The int8 model failed its gate", gate.reason + allowed)
    colour = "green" if gate.outcome == "passed" else "amber"
    return banner(colour, f"Gate of the int8 model: {gate.outcome}", gate.reason)


def _list(title: str, texts: Any) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<div class="banner amber" role="note"><strong>{escape(title)}</strong><ul>{items}</ul></div>'


def headline_figures(metrics: dict[str, Any]) -> Section:
    """Accuracy, balanced accuracy and areas by frame and by patient, of the patients that count."""
    whose, figures = headline(metrics)
    frame, patient = figures["frame"], figures["patient"]
    vote, unit = patient["majority_vote"], patient["unit"]
    columns = (
        f"{figures['n_frames']} frames",
        f"{patient['n']} {unit}, mean softmax",
        f"{vote['n']} {unit}, majority vote",
    )
    rows = [
        ["Accuracy", *(share_of(part, "accuracy") for part in (frame, patient, vote))],
        ["Balanced accuracy", *(share_of(part, "balanced_accuracy") for part in (frame, patient, vote))],
    ]
    for key, name in (
        ("auroc_macro", "AUROC, macro one-vs-rest"),
        ("auroc_micro", "AUROC, micro"),
        ("average_precision_macro", "Average precision, macro"),
    ):
        if frame.get(key) is not None or patient.get(key) is not None:
            rows.append([name, *(decimals(p[key], p[f"{key}_interval"]) for p in (frame, patient)), "-"])
    texts = []
    if "evident" in metrics:
        shown = headline(metrics["evident"])[1]
        texts.append(
            f"Some frames carry their patient's label but do not show its sign. On the {shown['n_frames']} others the "
            f"accuracy by frame is {shown['frame']['accuracy']:.1%}."
        )
    texts.append(
        f"{figures['n_patients']} patients. Below each figure: 95 % interval; patients are resampled, not frames. "
        "A dash: cannot be computed."
    )
    if unit != "patients":
        texts.append("Some patients carry several labels: a case is one patient with one label.")
    if frame["auroc_left_out"]:
        texts.append(f"Not in the AUROC, for lack of frames: {', '.join(frame['auroc_left_out'])}.")
    texts.append("Telling the listed classes apart in these data is not the same as finding them in a population.")
    title = whose[0].upper() + whose[1:]
    return Section("headline", title, table(["", *columns], rows, "headline") + note(*texts))


def flow(metrics: dict[str, Any]) -> Section | None:
    """Who was in: rows of the label file, what was left out and why, and the sets."""
    block = metrics.get("flow")
    if block is None:
        return None
    left_out = "".join(f"<li>{escape(_left_out(part))}</li>" for part in block["excluded"] if part["rows"])
    sets = "".join(
        f'<div class="box"><strong>{escape(SET_NAMES.get(name, name))}</strong>{escape(_frames(part))}</div>'
        for name, part in block["by_set"].items()
        if name != "seen"
    )
    body = (
        f'<div class="flow"><div class="box"><strong>In the label file</strong>{escape(_frames(block))}</div>'
        + (f'<div class="box side"><strong>Left out</strong><ul>{left_out}</ul></div>' if left_out else "")
        + f'<div class="box"><strong>Analysed</strong>{escape(_frames(block["analysed"]))}</div>'
        f'<div class="split">{sets}</div></div>'
    )
    text = "A patient is in one set only." + ("" if left_out else " No row was left out.")
    return Section("flow", "Flow of patients", body + note(text))


def _left_out(part: dict[str, Any]) -> str:
    whole = f", and with them {part['patients']:,} patients" if part["patients"] else ""
    return f"{part['rows']:,} frames{whole}: {part['reason']}"


def _frames(part: dict[str, Any]) -> str:
    return f"{part['rows']:,} frames of {part['patients']:,} patients"


def sets(metrics: dict[str, Any]) -> Section:
    """The headline figures apart for each set of patients, and the float model's beside them."""
    groups = {SET_NAMES[name]: block for name, block in metrics["by_set"].items() if block is not None}
    groups["all rows"] = metrics
    rows = [
        [
            escape(name),
            count(block["n_frames"], block["n_patients"]),
            share_of(block["frame"], "accuracy"),
            share_of(block["frame"], "balanced_accuracy"),
            area({"value": block["frame"]["auroc_macro"], "interval": block["frame"]["auroc_macro_interval"]}),
            share_of(block["patient"], "accuracy"),
        ]
        for name, block in groups.items()
    ]
    header = ["Set", "Frames", "Accuracy", "Balanced accuracy", "AUROC, macro"]
    header.append(f"Accuracy, {metrics['patient']['unit'].split(' ')[0]}")
    texts = ["Only unseen patients tell how the model does on new ones; the others it has met."]
    if "float" in metrics:
        whole = metrics["float"]["by_set"][UNSEEN] or metrics["float"]
        same = metrics["agreement" if metrics.get("agreement_unseen") is None else "agreement_unseen"]
        texts.append(
            f"The float model that the int8 one was made from: accuracy {whole['frame']['accuracy']:.1%} by frame on "
            f"the patients above; the two say the same on {same:.1%} of the frames."
        )
    return Section("sets", "By set of patients", table(header, rows) + note(*texts))
