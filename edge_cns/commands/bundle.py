"""``edge-cns bundle``: look into a bundle, seal it again, strip it for a device."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import click

from edge_cns.bundle import Bundle, read_bundle, reseal, strip
from edge_cns.commands._shared import PATH, as_json, require_proof

__all__ = ["command"]

_BUNDLE = click.argument("path", type=PATH, metavar="NAME.cns")


@click.group(name="bundle")
def command() -> None:
    """Look into a bundle, seal it again, or strip it for a device."""


@command.command(name="inspect")
@_BUNDLE
@as_json
@require_proof
def inspect_command(path: Path, *, as_json: bool, require_proof: bool) -> None:
    """Verify a bundle and tell what it is.

    \b
    Example:
      edge-cns bundle inspect brain.cns
    """
    bundle = read_bundle(path)
    if require_proof:
        bundle.require_proof()
    facts = _facts(bundle)
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else _text(facts))


@command.command(name="reseal")
@_BUNDLE
def reseal_command(path: Path) -> None:
    """Make the manifest fit files that were changed on purpose; signatures are dropped.

    \b
    Example:
      edge-cns bundle reseal brain.cns
    """
    changed = reseal(path)
    click.echo(f"{path}: resealed, {', '.join(changed) or 'nothing'} had changed; signatures, if any, were dropped")


@command.command(name="strip")
@_BUNDLE
def strip_command(path: Path) -> None:
    """Drop what only conversion needs (float model, calibration frames), for a device.

    \b
    Example:
      edge-cns bundle strip brain.cns
    """
    dropped = strip(path)
    click.echo(f"{path}: dropped {', '.join(dropped)}" if dropped else f"{path}: nothing to drop")


def _facts(bundle: Bundle) -> dict[str, Any]:
    gate = bundle.quantisation
    keys = ("outcome", "drift_allowed", "method", "margin", "reason", "agreement", "n_frames", "n_patients")
    return {
        "path": str(bundle.path),
        "files": {name: {"bytes": len(c), "sha256": hashlib.sha256(c).hexdigest()} for name, c in bundle.files.items()},
        "contract": bundle.contract.to_json(),
        "quantisation": {key: gate.get(key) for key in keys},
        "patients": {name: len(hashes) for name, hashes in bundle.patients["sets"].items()},
        "shortcut_warnings": gate.get("shortcut_warnings", []),
        "golden_engine": gate["golden"].get("engine") if isinstance(gate.get("golden"), dict) else None,
    }


def _text(facts: dict[str, Any]) -> str:
    contract, gate = facts["contract"], facts["quantisation"]
    use, spec = contract["intended_use"], contract["input"]
    calibrated = "calibrated" if contract["decision"]["calibrated"] else "uncalibrated"
    drift = " (written with --allow-drift)" if gate["drift_allowed"] else ""
    lines = [
        f"{facts['path']}: {use['statement']}",
        f"  gate       {gate['outcome']}{drift}: {gate['reason']}",
        f"  decision   {calibrated}",
        f"  input      {spec['width']}x{spec['height']} grey, region {spec['region']}, "
        f"{'letterbox' if spec['letterbox'] else 'stretched'}",
        f"  patients   {', '.join(f'{name} {count}' for name, count in facts['patients'].items())}",
        *(["  PHANTOM    trained on simulated frames: no figure is a clinical one"] if use["phantom"] else []),
        *(f"  SHORTCUT   {text}" for text in facts["shortcut_warnings"]),
        *(f"  class      {c['name']}: {c['definition']}" for c in contract["classes"]),
        *(f"  file       {name}, {f['bytes']} bytes, sha256 {f['sha256'][:16]}" for name, f in facts["files"].items()),
    ]
    return "\n".join(lines)
