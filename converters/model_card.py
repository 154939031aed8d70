"""The model card: what the bundle is, what it was made from, what was measured, and what it must not be taken for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_cns.contract import Contract
from edge_cns.data.manifest import Manifest

__all__ = ["model_card"]

_OUTCOMES = {
    "passed": "The int8 model is shown to be no worse than the float model, class by class.",
    "undecided": "The gate's patients are too few to show that nothing was lost. Nothing was shown to be lost either.",
    "failed": "**The gate failed: the int8 model is worse than the float model.** It was written with --allow-drift.",
}


def model_card(contract: Contract, quantisation: Mapping[str, Any], manifest: Manifest) -> str:
    """Write the card as Markdown.

    Args:
        contract: of the model.
        quantisation: content of ``quantisation.json``.
        manifest: the data it was trained on.
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
        "- Telling the listed classes apart in these data is not detection in a population.",
        "- Every frame is sorted into one of the classes, also one that belongs to none of them.",
        "",
        "## Training",
        "",
        f"- Data: {len(manifest.rows)} frames of {len(manifest.patients)} patients, sha256 `{manifest.sha256}`",
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
        "Calibrated." if contract.decision.calibrated else "None: probabilities are raw softmax, and nothing abstains.",
    ]
    return "\n".join(lines) + "\n"


def _gate_table(quantisation: Mapping[str, Any]) -> list[str]:
    rows = ["| class | frames | patients | float | int8 | difference (95 % bounds) | outcome |", "| --- " * 7 + "|"]
    for name, row in quantisation["classes"].items():
        if row["difference"] is None:
            rows.append(f"| {name} | 0 | 0 | | | | {row['outcome']} |")
            continue
        rows.append(
            f"| {name} | {row['n_frames']} | {row['n_patients']} | {row['float_sensitivity']:.3f} | "
            f"{row['int8_sensitivity']:.3f} | {row['difference']:+.3f} ({row['lower']:+.3f} to {row['upper']:+.3f}) | "
            f"{row['outcome']} |"
        )
    return rows


def _range(values: tuple[float, float] | None, unit: str) -> str:
    return "not recorded" if values is None else f"{values[0]:.3g} to {values[1]:.3g} {unit}"
