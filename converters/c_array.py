"""A bundle as C for a microcontroller: the network as an array, what a firmware must know of it, and preprocessing.

The folder compiles with any C11 compiler and is used from C or C++ beside TensorFlow Lite Micro, which is not in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from converters.c_source import array, comment
from converters.c_text import Facts, facts_source, header, plan_source, readme
from converters.micro_arena import MicroRun, run_micro
from converters.micro_model import ModelFacts, read_model
from converters.micro_parts import find_part, shortages
from converters.micro_plan import Plan, make_plan, render
from edge_cns.atomic import new_folder, write_text
from edge_cns.bundle import Bundle, read_arrays
from edge_cns.contract import OUTPUTS, InputSpec
from edge_cns.errors import BadInputError, GoldenMismatchError
from edge_cns.frames import MAX_SIDE, MIN_SIDE, Frame, Region
from edge_cns.preprocess import image
from edge_cns.runtime.selftest import compare_golden, identity

__all__ = ["to_c_array"]

_SAME = 2  # grey levels by which another OpenCV or processor rounds differently, as in the self-test
_COPIED = ("include/edge_cns_micro.h", "src/edge_cns_micro.c")


def to_c_array(
    bundle: Bundle,
    out: Path,
    *,
    frame: tuple[int, int] | None = None,
    region: Region | None = None,
    part: str | None = None,
) -> list[str]:
    """Write the folder.

    Args:
        bundle: verified.
        out: the folder; must not exist.
        frame: width and height of the camera's grey frames, px; without it those of the network's image.
        region: the part of the frame that the network sees; without it what the contract fixes, or the whole frame.
        part: a microcontroller of `converters.micro_parts.PARTS`, whose limits are compared with what is needed.

    Returns:
        Lines for a person; warnings begin with ``warning:``.

    Raises:
        BadInputError: a size that cannot be, an unknown part, or ``out`` exists.
        UnsupportedError: tflite-micro cannot run the model.
        GoldenMismatchError: tflite-micro's outputs, or the planned preprocessing, are not those of Python.
        MissingExtraError: tflite-micro is not installed.
    """
    if part is not None:
        find_part(part)
    spec = bundle.contract.input
    size = (spec.width, spec.height) if frame is None else frame
    plan = make_plan(size, settle_region(size, region, spec), spec)
    model, facts = bundle.files["model.tflite"], read_model(bundle.files["model.tflite"])
    golden = _golden(bundle)
    run = run_micro(model, golden["image"], len(facts.outputs))
    steps = _compare(bundle, facts, run, golden)
    grey = _compare_images(plan, spec, golden["frames"])
    told = Facts(bundle, facts, plan, run, steps, golden, hashlib.sha256(model).hexdigest())
    with new_folder(out) as folder:
        _write(folder, told, model)
    lines = _summary(out, told, grey, part, auto=spec.region == "auto" and region is None)
    own = (
        f"note: for frames of the network's own size, {size[0]}x{size[1]}; give the camera's with --frame WIDTHxHEIGHT"
    )
    return lines if frame else [*lines, own]


def settle_region(frame: tuple[int, int], region: Region | None, spec: InputSpec) -> Region:
    """The part of each frame that the network sees.

    Raises:
        BadInputError: the frame's size cannot be, or the contract says otherwise than ``region``.
    """
    width, height = frame
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in frame):
        raise BadInputError(f"--frame is {width}x{height}; both sides must be {MIN_SIDE} to {MAX_SIDE} px")
    whole = Region(0, 0, width, height)
    fixed = {"whole": whole, "fixed": spec.fixed_region}.get(spec.region)
    if fixed is not None and region not in (None, fixed):
        raise BadInputError(f"--region is {region}, but the contract says {spec.region} ({fixed}); leave --region out")
    return fixed or region or whole


def _golden(bundle: Bundle) -> dict[str, NDArray[Any]]:
    """The golden vectors, of which only the images are looked at before tflite-micro runs them."""
    golden, spec = read_arrays(bundle.files["golden.npz"], "golden.npz"), bundle.contract.input
    images = golden.get("image", np.empty(0))
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (spec.height, spec.width) or not len(images):
        raise BadInputError(f"{bundle.path}: golden.npz does not fit the contract; convert the model again")
    return golden


def _compare(bundle: Bundle, facts: ModelFacts, run: MicroRun, golden: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """The largest difference from the golden vectors, int8 steps by output; refused beyond the bundle's tolerance."""
    recorded = iter(range(len(golden["image"])))

    def outputs(_: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:  # tflite-micro has run them all already
        i = next(recorded)
        return {tensor.name: run.outputs[tensor.index][i] for tensor in facts.outputs}

    compare_golden(bundle, identity("tflite-micro", run.version), outputs)
    return {
        tensor.name: int(np.abs(run.outputs[tensor.index].astype(int) - golden[tensor.name].astype(int)).max())
        for tensor in facts.outputs
    }


def _compare_images(plan: Plan, spec: InputSpec, frames: NDArray[np.uint8]) -> int:
    """The largest difference in grey levels between the plan and this machine's Python, on the golden frames."""
    largest = 0
    for small in frames:
        pixels = np.asarray(cv2.resize(small, plan.frame, interpolation=cv2.INTER_CUBIC), np.uint8)
        there, here = render(plan, pixels), image(Frame(pixels, region=plan.region), spec)
        largest = max(largest, int(np.abs(there.astype(int) - here.astype(int)).max()))
    if largest > _SAME:
        raise GoldenMismatchError(
            f"the planned preprocessing differs from this machine's by {largest} grey levels, {_SAME} are allowed; "
            "convert on another machine, or with another version of OpenCV"
        )
    return largest


def _write(folder: Path, told: Facts, model: bytes) -> None:
    write_text(folder / "edge_cns_model.h", header(told))
    values = array(str(byte) for byte in model)
    model_source = (
        f'/* model.tflite of {comment(told.bundle.path.name)}, sha256 {told.sha256} */\n#include "edge_cns_model.h"\n\n'
        f"_Alignas(16) const unsigned char edge_cns_model[EDGE_CNS_MODEL_BYTES] = {values};\n"
    )
    write_text(folder / "edge_cns_model.c", model_source)
    write_text(folder / "edge_cns_facts.c", facts_source(told))
    write_text(folder / "edge_cns_plan.c", plan_source(told.plan))
    sources = files("firmware_bridge") / "micro"
    for name in _COPIED:
        write_text(folder / Path(name).name, (sources / name).read_text(encoding="utf-8"))
    cmake = files("converters") / "c_array_templates" / "CMakeLists.txt"
    write_text(folder / "CMakeLists.txt", cmake.read_text(encoding="utf-8"))
    write_text(folder / "README.md", readme(told))


def _summary(out: Path, told: Facts, grey: int, part: str | None, *, auto: bool) -> list[str]:
    plan, run = told.plan, told.run
    same = "equal to Python's" if grey == 0 else f"up to {grey} grey levels from this machine's Python"
    region = plan.region
    lines = [
        f"{out}: written",
        f"  flash      {told.flash} bytes: network {told.model_bytes}, tables of preprocessing {plan.table_bytes}",
        f"  memory     {told.ram} bytes: arena {told.arena} (measured {run.arena}), scratch {2 * plan.scratch_words}",
        f"  operators  {', '.join(told.model.operators)}",
        f"  frame      {plan.frame[0]}x{plan.frame[1]} grey, region {region.width}x{region.height} at {region.x},"
        f"{region.y}; preprocessing {same} on {len(told.golden['frames'])} frames",
        f"  outputs    at most {_steps(told.steps)} from the golden vectors (tflite-micro {run.version})",
    ]
    if auto:
        lines.append(
            "note: the contract finds the region in each frame; here it is the whole frame. Where a screen has menus, "
            "give --region X,Y,W,H"
        )
    return lines + (shortages(part, flash=told.flash, ram=told.ram) if part else [])


def _steps(steps: Mapping[str, int], names: Sequence[str] = OUTPUTS) -> str:
    return ", ".join(f"{steps[name]} steps in {name}" for name in names)
