"""``edge-cns bundle``: look into a bundle, strip it for a device, sign and verify it, seal it again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_cns.bundle import Bundle, read_bundle, reseal, strip, write_signature
from edge_cns.commands._shared import PATH, as_json, require_proof, trusting
from edge_cns.errors import BadInputError
from edge_cns.signing.maker import make_keys, read_private_key, sign
from edge_cns.signing.policy import choose_policy

if TYPE_CHECKING:
    from edge_cns.signing.policy import Mode

__all__ = ["command"]

_BUNDLE = click.argument("path", type=PATH, metavar="NAME.cns")


@click.group(name="bundle")
def command() -> None:
    """Look into a bundle, strip it for a device, sign it, verify it, or seal it again."""


@command.command(name="inspect")
@_BUNDLE
@as_json
@require_proof
@trusting
def inspect_command(
    path: Path, *, as_json: bool, require_proof: bool, trust: Path | None, signature: Mode | None
) -> None:
    """Verify a bundle and tell what it is.

    \b
    Example:
      edge-cns bundle inspect brain.cns
    """
    bundle = read_bundle(path, choose_policy(trust, signature))
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


@command.command(name="keygen")
@click.option("--out", type=PATH, required=True, metavar="NAME", help="Writes NAME.key and NAME.pub.")
@click.option("--encrypt", is_flag=True, help="Ask for a password that encrypts NAME.key.")
def keygen_command(out: Path, *, encrypt: bool) -> None:
    """Make a key pair to sign bundles with: NAME.key stays with the maker, NAME.pub goes to the devices.

    \b
    Example:
      edge-cns bundle keygen --out maker --encrypt
    """
    private, public = (out.with_name(out.name + suffix) for suffix in (".key", ".pub"))
    make_keys(private, public, _password(new=True) if encrypt else "")
    click.echo(f"{private}: keep it secret and offline\n{public}: put it into the trust folder of every device")


@command.command(name="sign")
@_BUNDLE
@click.option("--key", type=PATH, required=True, metavar="FILE", help="Private key, PEM.")
@click.option(
    "--certificate-chain", "chain", type=PATH, metavar="FILE", help="The key's certificate, then those up to a root."
)
def sign_command(path: Path, *, key: Path, chain: Path | None) -> None:
    """Sign every file of a bundle; the signature is model.sig beside them. An old one is replaced.

    An encrypted key asks for its password, or takes it from EDGE_CNS_KEY_PASSWORD.

    \b
    Example:
      edge-cns bundle sign brain.cns --key maker.key
    """
    private = read_private_key(key, _password)
    bundle = read_bundle(path)
    write_signature(path, sign(path.resolve().name, bundle.digests, private, chain).to_bytes())
    click.echo(f"{path}: signed, {len(bundle.digests)} files")


@command.command(name="verify")
@_BUNDLE
@click.option("--key", type=PATH, metavar="FILE", help="The maker's public key, or a root certificate, PEM.")
@click.option("--trust", type=PATH, metavar="DIR", help="Folder of such files.  [default: EDGE_CNS_TRUST_DIR]")
def verify_command(path: Path, *, key: Path | None, trust: Path | None) -> None:
    """Verify a bundle's signature and every file; exit status 2 if they do not hold.

    \b
    Examples:
      edge-cns bundle verify brain.cns --key maker.pub
      edge-cns bundle verify brain.cns --trust /etc/edge-cns/trust
    """
    if key is not None and trust is not None:
        raise BadInputError("--key and --trust both say whom to trust; give one of them")
    bundle = read_bundle(path, choose_policy(key or trust, "require"))
    click.echo(f"{path}: {bundle.signature.text}, {len(bundle.digests)} files")


def _password(*, new: bool = False) -> str:
    """The password of a private key."""
    given = os.environ.get("EDGE_CNS_KEY_PASSWORD")
    if given is None:
        given = click.prompt("Password of the key", hide_input=True, confirmation_prompt=new, err=True)
    return str(given)


def _facts(bundle: Bundle) -> dict[str, Any]:
    gate = bundle.quantisation
    keys = ("outcome", "drift_allowed", "method", "margin", "reason", "agreement", "n_frames", "n_patients")
    return {
        "path": str(bundle.path),
        "files": {name: {"bytes": len(c), "sha256": hashlib.sha256(c).hexdigest()} for name, c in bundle.files.items()},
        "signature": bundle.signature.text,
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
        f"  signature  {facts['signature']}",
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
