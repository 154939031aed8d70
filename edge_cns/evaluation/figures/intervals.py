"""Figures with their intervals: sensitivity and specificity by class, and accuracy by subgroup."""

from __future__ import annotations

from typing import Any

from edge_cns.evaluation.figures.style import COLOURS, WIDTH, drawing, legend, short

__all__ = ["sensitivity_png", "subgroups_png"]

_FIGURE_NAMES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auroc_macro": "macro AUROC"}
_MOST_GROUPS = 40  # rows of the forest plot; the table of the report has them all


def sensitivity_png(per_class: dict[str, Any], title: str, *, phantom: bool = False) -> bytes:
    """Sensitivity and specificity of each class with 95 % intervals over patients.

    Args:
        per_class: ``frame.per_class`` of the metrics; where the patients are too few for their interval, Wilson's.
        title: whose rows these are.
        phantom: say so above the title.
    """
    kinds = (("sensitivity", COLOURS[0], "o", -0.14), ("specificity", COLOURS[1], "s", 0.14))
    names = list(per_class)
    height = 1.6 + 0.55 * len(names) + 0.2 * phantom
    with drawing(WIDTH, height, title, phantom=phantom) as (figure, buffer):
        axes = figure.subplots()
        handles = []
        for kind, colour, marker, shift in kinds:
            for row, name in enumerate(names):
                rate = per_class[name][kind]
                if rate["value"] is None:
                    continue
                low, high = rate["interval"] or rate["wilson"]
                axes.plot([low, high], [row + shift] * 2, color=colour, linewidth=2)
                axes.plot([rate["value"]], [row + shift], marker=marker, color=colour, markersize=6)
            handles += axes.plot([], [], marker=marker, color=colour, linewidth=2)
        axes.set_yticks(range(len(names)), [f"{short(name)}\n(n={per_class[name]['n']})" for name in names])
        axes.set(xlim=(-0.02, 1.02), ylim=(len(names) - 0.5, -0.5))
        axes.set_xlabel("share, with 95 % interval over patients")
        axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
        legend(figure, handles, [kind for kind, *_ in kinds])
    return buffer.getvalue()


def subgroups_png(subgroups: dict[str, Any], *, phantom: bool = False) -> bytes | None:
    """Forest plot of the accuracy of each subgroup, beside the accuracy of all.

    Args:
        subgroups: the block of the metrics. A group whose interval excludes the overall figure is drawn as a diamond
            in another colour; where the patients are too few for their interval, Wilson's is drawn thin.
        phantom: say so above the title.

    Returns:
        ``None`` where there is no group.
    """
    lines: list[tuple[str, dict[str, Any] | None]] = []
    for column in subgroups["columns"].values():
        if column["groups"] and len(lines) < _MOST_GROUPS:
            lines.append((column["title"], None))
            lines += [(group["name"], group) for group in column["groups"]]
    if not lines:
        return None
    overall = subgroups["overall"]["accuracy"]
    height = 1.5 + 0.3 * len(lines) + 0.2 * phantom
    with drawing(WIDTH, height, f"Accuracy by frame, {subgroups['whose']}", phantom=phantom) as (figure, buffer):
        axes = figure.subplots()
        axes.axvline(overall, color="#777777", linewidth=1.2, linestyle=(0, (4, 3)))
        for row, (_, group) in enumerate(lines):
            if group is not None:
                _forest_row(axes, row, group)
        names = [short(n, 28) if group is None else f"{short(n, 28)}  ({group['n_frames']})" for n, group in lines]
        axes.set_yticks(range(len(lines)), names, fontsize=9)
        for text, (_, group) in zip(axes.get_yticklabels(), lines, strict=True):
            text.set_fontweight("bold" if group is None else "normal")
        lowest = min((g["accuracy_interval"] or g["accuracy_wilson"])[0] for _, g in lines if g is not None)
        axes.set(xlim=(max(-0.02, min(lowest, overall) - 0.05), 1.02), ylim=(len(lines) - 0.4, -0.6))
        axes.set_xlabel(f"accuracy, 95 % interval over patients\ndashed: all frames, {overall:.3f}", fontsize=10)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    return buffer.getvalue()


def _forest_row(axes: Any, row: int, group: dict[str, Any]) -> None:
    flagged = "accuracy" in group["flags"]
    colour = COLOURS[1] if flagged else COLOURS[0]
    interval = group["accuracy_interval"]
    low, high = interval or group["accuracy_wilson"]
    axes.plot([low, high], [row, row], color=colour, linewidth=2 if interval else 0.8)
    axes.plot([group["accuracy"]], [row], marker="D" if flagged else "o", color=colour, markersize=6)
