"""The model card: what the bundle is, what it was made from, what was measured, and what it must not be taken for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_cns.contract import Contract, Decision
from edge_cns.data.manifest import Manifest
from edge_cns.evaluation.metrics import headline

__all__ = ["model_card"]

_COLUMNS = ("sensitivity", "specificity", "ppv", "auroc")
_OUTCOMES = {
    "passed": "The int8 model is shown to be no worse than the float model, class by class.",
    "undecided": "The gate's patients are too few to show that nothing was lost. Nothing was shown to be lost either.",
    "failed": "**The gate failed: the int8 model is worse than the float model.** It was written with --allow-drift.",
}


def model_card(
    contract: Contract,
    quantisation: Mapping[str, Any],
    manifest: Manifest | None = None,
    *,
    metrics: dict[str, Any] | None = None,
) -> str:
    """Write the card as Markdown.

    Args:
        contract: of the model.
        quantisation: content of ``quantisation.json``.
        manifest: the data it was trained on, where they are at hand.
        metrics: content of an evaluation's ``metrics.json``: the card then quotes what the report shows.
    """
    use, training = contract.intended_use, quantisation["training"]
    settings, frames = training["settings"], training["frames"]
    weights = training["weights"]["origin"] if training["weights"] else "random numbers"
    lines = [
        f"# {settings['backbone']} for {', '.join(contract.class_names)}",
        "",
        f"**{use.statement}**",
        *(["", "**Trained on simulated (phantom) frames: no figure here is a clinical one.**"] if use.phantom else []),
        "",
        "## Classes",
        "",
        *(f"- `{c.name}`: {c.definition}" for c in contract.classes),
        "",
        "## Intended use",
        "",
        f"- Frames: {' and '.join(use.modes)} mode; input {contract.input.width}x{contract.input.height} px grey",
        f"- Planes in the training data: {', '.join(use.planes) or 'not recorded'}",
        f"- Gestational age in the training data: {_range(use.gestational_age_weeks, 'weeks')}",
        f"- Pixel spacing in the training data: {_range(use.mm_per_pixel, 'mm')}",
        "",
        "## Limits",
        "",
        *_limits(contract, metrics),
        "",
        "## Training",
        "",
        *([] if manifest is None else [_data(manifest)]),
        f"- Frames by patient-disjoint set: {', '.join(f'{name} {count}' for name, count in frames.items())}",
        f"- Start: {weights}; {settings['epochs']} epochs at most, seed {settings['seed']}",
        *(f"- **Shortcut warning:** {text}" for text in quantisation["shortcut_warnings"]),
        "",
        "## Quantisation",
        "",
        f"Method `{quantisation['method']}`, gate **{quantisation['outcome']}** at margin {quantisation['margin']:g}.",
        _OUTCOMES[quantisation["outcome"]],
        "",
        *_gate_table(quantisation),
        "",
        f"Agreement {quantisation['agreement']:.4f} on {quantisation['n_frames']} frames of "
        f"{quantisation['n_patients']} patients; float accuracy {quantisation['float_accuracy']:.4f}, "
        f"int8 {quantisation['int8_accuracy']:.4f}.",
        "",
        "## Calibration",
        "",
        *_decision(contract.decision),
        *([] if metrics is None else ["", *_measured(metrics)]),
    ]
    return "\n".join(lines) + "\n"


def _data(manifest: Manifest) -> str:
    return f"- Data: {len(manifest.rows)} frames of {len(manifest.patients)} patients, sha256 `{manifest.sha256}`"


def _limits(contract: Contract, metrics: dict[str, Any] | None) -> list[str]:
    """What must not be concluded; what is known of these data makes it sharper."""
    rule = contract.decision.exam
    lines = [
        "- Telling the listed classes apart in these data is not detection in a population: there, findings are rare, "
        "other diseases occur, and patients differ from these.",
        "- An anomaly that is not listed is not looked for. Nothing the model says means that a patient is healthy.",
        "- One frame cannot exclude what it does not show.",
    ]
    if contract.decision.novelty is None:
        lines.append("- Every frame is sorted into one of the classes, also one that belongs to none of them.")
    if rule is not None and rule.required_views:
        lines.append(f"- Nothing is called absent before these views were seen: {', '.join(rule.required_views)}.")
    if metrics is None:
        lines.append("- No evaluation is quoted here; figures of the gate only compare int8 with float.")
        return lines
    if metrics["by_set"]["unseen"] is None:
        lines.append("- **Measured on patients whom the model has met only:** expect worse on new ones.")
    flagged = _flagged(metrics)
    if flagged:
        lines.append(f"- Groups whose accuracy differs from the whole (chance flags some): {', '.join(flagged)}.")
    if metrics.get("heatmaps", {}).get("randomisation", {}).get("loses_the_lesion") is False:
        lines.append("- **Heat maps survive shuffled weights: they do not show what the model rests on.**")
    return lines


def _flagged(metrics: dict[str, Any]) -> list[str]:
    columns = metrics.get("subgroups", {}).get("columns", {})
    return [
        f"{column['title']} {group['name']} ({group['accuracy']:.3f})"
        for column in columns.values()
        for group in column["groups"]
        if "accuracy" in group["flags"]
    ]


def _decision(decision: Decision) -> list[str]:
    """What the bundle does with a probability."""
    if not decision.calibrated:
        return ["None: probabilities are raw softmax, and nothing abstains."]
    lines = [f"- Temperature {decision.temperature:.3f}, fitted on calibration patients"]
    if decision.conformal is not None:
        lines.append(f"- Conformal sets at a coverage of {decision.conformal.coverage:.0%}; one class or no verdict")
        pooled = ", ".join(f"`{name}`" for name in decision.conformal.pooled)
        lines += [f"- Too few calibration patients for a threshold of their own: {pooled}"] if pooled else []
    if decision.novelty is not None:
        share = decision.novelty.false_alarm
        lines.append(f"- Not a supported view: {share:.0%} of the supported frames were allowed to be called so")
    if decision.exam is not None:
        rule, target = decision.exam.aggregation.rule, decision.exam.target_sensitivity
        lines.append(f"- Exams: `{rule}`, with thresholds for a sensitivity of {target:.0%}")
    return lines


def _measured(metrics: dict[str, Any]) -> list[str]:
    """The figures to quote, as the report has them."""
    whose, figures = headline(metrics)
    frame, patient = figures["frame"], figures["patient"]
    unit = "cases (patient_id, label)" if patient["unit"] != "patients" else "patients"
    phantom = ["**Phantom data: no figure is a clinical one.**", ""] if metrics["phantom"] else []
    lines = [
        "## Measured",
        "",
        *phantom,
        f"On {figures['n_frames']} frames of {figures['n_patients']} {whose}; 95 % intervals resample patients.",
        "",
        "| | by frame | by " + unit + " |",
        "| --- | --- | --- |",
        *(
            f"| {name} | {_figure(frame, key)} | {_figure(patient, key)} |"
            for name, key in (
                ("accuracy", "accuracy"),
                ("balanced accuracy", "balanced_accuracy"),
                ("macro AUROC", "auroc_macro"),
            )
        ),
        "",
        "| class | frames | sensitivity | specificity | PPV in these data | AUROC |",
        "| --- " * 6 + "|",
        *(
            " | ".join([f"| {_cell(name)}", str(row["n"]), *(_rate(row[key]) for key in _COLUMNS)]) + " |"
            for name, row in frame["per_class"].items()
        ),
        "",
        *_rare(patient),
        f"- Expected calibration error by frame: {_figure(frame['calibration'], 'ece')}",
    ]
    if "conformal" in metrics:
        lines.append(f"- Conformal sets hold the true class: {_rate(metrics['conformal']['overall'])}")
    if "exams" in metrics:
        exams = metrics["exams"]
        lines.append(f"- Exams answered: {_rate(exams['answered'])}; wrong among those: {_rate(exams['error'])}")
        if exams["unlisted_clear"]["n"]:
            lines.append(f"- Exams with an unlisted anomaly that are called clear: {_rate(exams['unlisted_clear'])}")
    return lines


def _rare(patient: dict[str, Any]) -> list[str]:
    """What a call means where findings are rare."""
    block = patient.get("decisions", patient).get("at_prevalence")
    if not block:
        return []
    entries = {"any finding": block["any_finding"]} if "any_finding" in block else block["per_class"]
    one_in = round(1 / block["prevalence"])
    return [
        f"- If 1 in {one_in:,} exams had the finding ({name}): PPV {_rate(entry['ppv'])}, "
        f"{_rate(entry['false_alarms_per_exam'])} false alarms an exam"
        for name, entry in entries.items()
    ]


def _figure(part: Mapping[str, Any], key: str) -> str:
    return _with_interval(part[key], part.get(f"{key}_interval"))


def _rate(rate: Mapping[str, Any]) -> str:
    return _with_interval(rate["value"], rate["interval"])


def _with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def _cell(name: str) -> str:
    """A class name in a table."""
    return name.replace("|", "\\|")


def _gate_table(quantisation: Mapping[str, Any]) -> list[str]:
    rows = ["| class | frames | patients | float | int8 | difference (95 % bounds) | outcome |", "| --- " * 7 + "|"]
    for name, row in quantisation["classes"].items():
        if row["difference"] is None:
            rows.append(f"| {_cell(name)} | 0 | 0 | | | | {row['outcome']} |")
            continue
        rows.append(
            f"| {_cell(name)} | {row['n_frames']} | {row['n_patients']} | {row['float_sensitivity']:.3f} | "
            f"{row['int8_sensitivity']:.3f} | {row['difference']:+.3f} ({row['lower']:+.3f} to {row['upper']:+.3f}) | "
            f"{row['outcome']} |"
        )
    return rows


def _range(values: tuple[float, float] | None, unit: str) -> str:
    return "not recorded" if values is None else f"{values[0]:.3g} to {values[1]:.3g} {unit}"
