"""The files of a finished cross-validation: predictions, figures, report, and last the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_cns.atomic import write_json
from edge_cns.data.findings import Findings
from edge_cns.data.manifest import Manifest
from edge_cns.training.cross_validation.folds import Folds
from edge_cns.training.cross_validation.journal import METRICS
from edge_cns.training.cross_validation.problem import Labelled
from edge_cns.training.cross_validation.results import Gathered

__all__ = ["PREDICTIONS", "write_output"]

PREDICTIONS = "predictions.csv"


def write_output(
    out: Path,
    manifest: Manifest,
    known: Labelled,
    folds: Folds,
    gathered: Gathered,
    record: Mapping[str, Any],
    findings: Findings,
) -> dict[str, Any]:
    """Measure and write; ``metrics.json`` comes last and makes the cross-validation finished.

    Args:
        out: its folder.
        manifest: N rows.
        known: what is known of them.
        folds: who was tested when.
        gathered: what was said of them.
        record: how it came about: the block ``cross_validation``.
        findings: of the data check.

    Returns:
        The metrics.
    """
    from edge_cns.evaluation.figures import draw, write_figures
    from edge_cns.evaluation.metrics import evaluate
    from edge_cns.evaluation.prediction_file import write_predictions
    from edge_cns.evaluation.report import Report, write_report

    predictions = known.predictions(manifest.rows, gathered.probabilities, phantom=manifest.phantom)
    metrics = evaluate(predictions, decisions=gathered.decisions) | {
        "calibrated": gathered.decisions is not None,
        "labels_sha256": manifest.sha256,
        "n_unreadable": 0,
        "unreadable": [],
        "shortcut_warnings": list(findings.shortcut_warnings),
        "flow": {
            "rows": len(manifest.rows),
            "patients": len(manifest.patients),
            "excluded": [],
            "analysed": {"rows": len(manifest.rows), "patients": len(manifest.patients)},
            "by_set": {"unseen": {"rows": len(manifest.rows), "patients": len(manifest.patients)}},
        },
        "cross_validation": dict(record),
    }
    if known.teaches.any() and not known.teaches.all():
        # Figures over all rows blame the model for signs that are not on the frame.
        metrics["evident"] = evaluate(predictions.select(known.teaches))
    figures = draw(predictions, metrics)
    write_figures(out, figures)
    names = [folds.names[fold] for fold in folds.fold]
    metrics["predictions"] = write_predictions(out / PREDICTIONS, predictions, columns={"fold": names})
    warnings = [finding.text for finding in findings.findings if finding.level in ("shortcut", "warning")]
    report = Report(
        title=f"Cross-validation of {manifest.path.resolve().parent.name}/{manifest.path.name}",
        metrics=metrics,
        figures=figures,
        warnings=warnings,
        settings={"labels": manifest.path.name, "labels_sha256": manifest.sha256},
    )
    write_report(out / "report.html", report)
    write_json(out / METRICS, metrics)
    return metrics
