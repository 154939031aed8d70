"""What the model gets right: by class, by rule for a patient, at the operating point, and where findings are rare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from edge_cns.evaluation.metrics import headline
from edge_cns.evaluation.report.html import Section, area, count, decimals, note, pictures, rate, share, share_of, table

__all__ = ["classes", "curves", "patients", "prevalence"]

_RULES = {
    "mean_softmax": "mean softmax",
    "majority_vote": "majority vote",
    "log_odds": "accumulated log-odds",
    "sustained_evidence": "sustained evidence",
}
_CURVES = {
    "sensitivity": "Sensitivity and specificity by class. The bars are 95 % intervals over patients.",
    "confusion": "Frames: counts, and the share of each true class.",
    "confusion_patients": "Patients, by the mean of their frames' probabilities.",
    "roc": "Receiver operating characteristic of each class against the rest, by frame.",
    "precision_recall": "Positive predictive value against sensitivity, by frame. It holds at the share of each class "
    "in these data: where a finding is rarer the curve lies lower.",
}


def classes(metrics: dict[str, Any]) -> Section:
    """Rates and areas of each class, by frame and by patient."""
    whose, figures = headline(metrics)
    unit = "case" if figures["patient"]["unit"] != "patients" else "patient"
    text = (
        "In brackets: Wilson's interval, which takes rows as independent. PPV and NPV hold at the share of each class "
        "in these data."
    )
    body = (
        f"<h3>By frame, {escape(whose)}</h3>"
        + _by_class(figures["frame"]["per_class"], "Frames")
        + f"<h3>By {unit}, mean softmax</h3>"
        + _by_class(figures["patient"]["per_class"], f"{unit.capitalize()}s")
        + note(text)
    )
    return Section("classes", "By class", body)


def _by_class(per_class: dict[str, Any], rows_are: str) -> str:
    titles = {"sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV"}
    areas = {"auroc": "AUROC", "average_precision": "Average precision"}
    rows = [
        [
            escape(name),
            count(entry["n"], entry["n_patients"] if entry["n_patients"] != entry["n"] else None),
            *(rate(entry[key]) for key in titles),
            *(area(entry[key]) for key in areas),
        ]
        for name, entry in per_class.items()
    ]
    return table(["Class", rows_are, *titles.values(), *areas.values()], rows, "dense")


def curves(figures: Mapping[str, bytes], shown_elsewhere: Sequence[str]) -> Section | None:
    """The curves and matrices, then the figures that no section knows."""
    names = [name for name in _CURVES if name in figures]
    names += [name for name in figures if name not in _CURVES and name not in shown_elsewhere]
    items = [(figures[name], _CURVES.get(name, name)) for name in names]
    return Section("figures", "Figures", pictures(items, "figures")) if items else None


def patients(metrics: dict[str, Any]) -> Section | None:
    """The rules that make one answer of a patient's frames, and the operating point that calibration fitted."""
    patient = headline(metrics)[1]["patient"]
    rules, decisions = patient.get("rules"), patient.get("decisions")
    if not rules and decisions is None:
        return None
    parts = []
    if rules:
        rows = [
            [
                escape(_RULES.get(name, name)),
                share_of(part, "accuracy"),
                share_of(part, "balanced_accuracy"),
                decimals(part["auroc_macro"], part["auroc_macro_interval"]),
            ]
            for name, part in rules.items()
        ]
        header = [f"{patient['n']} {patient['unit']}", "Accuracy", "Balanced accuracy", "AUROC, macro"]
        parts.append(table(header, rows, "lines"))
        text = "All rules are shown on the same patients; none was chosen by looking at this table."
        parts.append(note(text))
    if decisions is not None:
        parts.append(_operating_point(decisions))
    return Section("patients", "From frames to a patient", "".join(parts))


def _operating_point(decisions: dict[str, Any]) -> str:
    rows = [
        [
            escape(name),
            count(entry["n"], entry["n_patients"]),
            f"{entry['n_called']:,}",
            *(rate(entry[key]) for key in ("sensitivity", "specificity", "ppv", "npv")),
        ]
        for name, entry in decisions["per_class"].items()
    ]
    header = ["Class", "Cases", "Called", "Sensitivity", "Specificity", "PPV", "NPV"]
    used = [name for name, n in decisions["rules"].items() if n]
    chosen = ", ".join(f"{_RULES.get(name, name)} ({decisions['rules'][name]})" for name in used)
    text = (
        f"Thresholds were fitted on other patients for a sensitivity of {decisions['target_sensitivity']:.0%}. "
        f"Rule, and cases it decided: {chosen}. {decisions['n_without_call']} of {decisions['n']} cases reach no "
        f"threshold, {decisions['n_several_calls']} reach several."
    )
    return "<h3>At the fitted operating point</h3>" + table(header, rows) + note(text)


def prevalence(metrics: dict[str, Any]) -> Section | None:
    """What a call means where findings are rare: at the fitted operating point, else at the largest probability."""
    patient = headline(metrics)[1]["patient"]
    fitted = patient.get("decisions", {}).get("at_prevalence")
    block = fitted or patient.get("at_prevalence")
    if block is None:
        return None
    entries = dict(block["per_class"])
    if "any_finding" in block:
        entries["any of the findings"] = block["any_finding"]
    if not entries:
        return None
    rows = [
        [
            escape(name),
            share(entry["sensitivity"]),
            share(entry["specificity"]),
            share(entry["ppv"]),
            _in_thousand(entry["false_alarms_per_exam"]),
            area(entry["false_alarms_per_finding"], 1),
        ]
        for name, entry in entries.items()
    ]
    one_in = f"1 in {round(1 / block['prevalence']):,}"
    header = ["Finding", "Sensitivity", "Specificity", "PPV", "False alarms in 1,000 exams", "False alarms per finding"]
    text = (
        f"If {one_in} exams had the finding, which is about what screening meets, and sensitivity and specificity were "
        f"those measured here ({'at the fitted operating point' if fitted else 'class of the largest probability'}; "
        f"specificity over {block['specificity_over']}). Sensitivity alone misleads: most calls would be false alarms "
        "wherever the PPV is below one half."
    )
    return Section("prevalence", f"If {one_in} exams had the finding", table(header, rows) + note(text))


def _in_thousand(value: dict[str, Any]) -> str:
    interval = value["interval"]
    limits = None if interval is None else [1000 * limit for limit in interval]
    return decimals(None if value["value"] is None else 1000 * value["value"], limits, 1)
