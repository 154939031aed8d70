"""The texts of a C folder: header, facts, tables of preprocessing, and what a firmware engineer reads first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Any

from numpy.typing import NDArray

from converters.c_source import array, comment, real, string
from converters.micro_arena import MicroRun
from converters.micro_model import ModelFacts, TensorFacts
from converters.micro_plan import Plan, Step
from edge_cns import __version__
from edge_cns.bundle import Bundle
from edge_cns.contract import OUTPUTS, Contract

__all__ = ["Facts", "facts_source", "header", "plan_source", "readme"]

_MARGIN_SHARE, _MARGIN_BYTES = 10, 8 * 1024  # a tenth, and what CMSIS-NN's depthwise and 3x3 kernels take for buffers
_MARGIN = "a tenth and 8 KiB"
_ALIGNMENT = 16


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """All that the texts tell.

    Attributes:
        steps: largest difference of tflite-micro from the golden vectors, int8 steps by output.
        golden: the bundle's golden vectors.
        sha256: of ``model.tflite``.
    """

    bundle: Bundle
    model: ModelFacts
    plan: Plan
    run: MicroRun
    steps: Mapping[str, int]
    golden: Mapping[str, NDArray[Any]]
    sha256: str

    @property
    def model_bytes(self) -> int:
        """Size of the network."""
        return len(self.bundle.files["model.tflite"])

    @property
    def arena(self) -> int:
        """The arena that is advised, bytes: what was measured and a margin."""
        wanted = self.run.arena + self.run.arena // _MARGIN_SHARE + _MARGIN_BYTES
        return -(-wanted // _ALIGNMENT) * _ALIGNMENT

    @property
    def flash(self) -> int:
        """Constants, bytes: the network and the tables. Programs come on top."""
        return self.model_bytes + self.plan.table_bytes

    @property
    def ram(self) -> int:
        """Arena and scratch, bytes. Frames, stack and the rest of the firmware come on top."""
        return self.arena + 2 * self.plan.scratch_words


def header(told: Facts) -> str:
    """``edge_cns_model.h``."""
    bundle, plan, model, contract = told.bundle, told.plan, told.model, told.bundle.contract
    region, golden = plan.region, told.golden["image"][0]
    record = bundle.quantisation["golden"]["tolerance_steps"]
    return _template("edge_cns_model.h.in").substitute(
        statement=comment(contract.intended_use.statement),
        version=__version__,
        bundle=comment(bundle.path.name),
        model_bytes=told.model_bytes,
        sha256=told.sha256,
        proof=bundle.proof,
        micro_version=told.run.version,
        arena_measured=told.run.arena,
        arena_bytes=told.arena,
        margin=_MARGIN,
        operator_count=len(model.operators),
        operators=" ".join(f"X({name})" for name in model.operators),
        frame_width=plan.frame[0],
        frame_height=plan.frame[1],
        region_x=region.x,
        region_y=region.y,
        region_width=region.width,
        region_height=region.height,
        scratch_words=plan.scratch_words,
        picture_left=plan.place[0],
        picture_top=plan.place[1],
        picture_width=plan.place[2],
        picture_height=plan.place[3],
        tensors="".join(_tensor(tensor) for tensor in (model.input, *model.outputs)),
        class_count=len(contract.classes),
        calibrated=int(contract.decision.calibrated),
        temperature=real(contract.decision.temperature),
        rules=_rules(contract),
        golden_input_size=golden.size,
        steps=", ".join(f"{told.steps[name]} ({name})" for name in OUTPUTS),
        tolerance=int(record["logits"]),
    )


def facts_source(told: Facts) -> str:
    """``edge_cns_facts.c``: class names, thresholds and the golden vector."""
    contract, decision = told.bundle.contract, told.bundle.contract.decision
    names = ", ".join(string(name) for name in contract.class_names)
    image = (told.golden["image"][0].astype(int) - 128).ravel()
    pieces = [
        '#include "edge_cns_model.h"\n',
        f"const char *const edge_cns_class_names[EDGE_CNS_CLASS_COUNT] = {{{names}}};\n",
    ]
    for name, rule in (("conformal", decision.conformal), ("exam", decision.exam)):
        if rule is not None:
            values = ", ".join(real(value) for value in rule.thresholds)
            pieces.append(f"const float edge_cns_{name}_thresholds[EDGE_CNS_CLASS_COUNT] = {{{values}}};\n")
    sizes = f"const signed char edge_cns_golden_input[{image.size}]"
    logits = ", ".join(str(value) for value in told.golden["logits"][0].ravel())
    pieces += [
        f"{sizes} = {array(str(value) for value in image)};\n",
        f"const signed char edge_cns_golden_logits[EDGE_CNS_CLASS_COUNT] = {{{logits}}};\n",
    ]
    return "\n".join(pieces)


def plan_source(plan: Plan) -> str:
    """``edge_cns_plan.c``: the tables of preprocessing."""
    pieces = ['#include "edge_cns_model.h"\n']
    for number, step in enumerate(plan.steps):
        for name, taps in (("columns", step.columns), ("rows", step.rows)):
            if len(taps):
                values = array(f"{{{', '.join(map(str, tap))}}}" for tap in taps.tolist())
                pieces.append(f"static const edge_cns_micro_tap {name}_{number}[{len(taps)}] = {values};\n")
    if plan.steps:
        steps = ",\n".join(
            f"    {_step(*row)}" for row in zip(range(len(plan.steps)), plan.steps, plan.memory[:-1], strict=True)
        )
        pieces.append(f"static const edge_cns_micro_step steps[{len(plan.steps)}] = {{\n{steps},\n}};\n")
    region = plan.region
    fields = {
        "frame_width": plan.frame[0],
        "frame_height": plan.frame[1],
        "region_x": region.x,
        "region_y": region.y,
        "region_width": region.width,
        "region_height": region.height,
        "tensor_width": plan.tensor[0],
        "tensor_height": plan.tensor[1],
        "left": plan.place[0],
        "top": plan.place[1],
        "width": plan.place[2],
        "height": plan.place[3],
        "step_count": len(plan.steps),
        "row": plan.memory[-1],
        "scratch_words": plan.scratch_words,
        "steps": "steps" if plan.steps else "NULL",
    }
    body = "".join(f"    .{name} = {value},\n" for name, value in fields.items())
    pieces.append(f"const edge_cns_micro_plan edge_cns_plan = {{\n{body}}};\n")
    return "\n".join(pieces)


def readme(told: Facts) -> str:
    """``README.md`` of the folder."""
    contract, plan = told.bundle.contract, told.plan
    return _template("README.md.in").substitute(
        bundle=told.bundle.path.name,
        statement=" ".join(contract.intended_use.statement.split()),
        phantom=" Trained on simulated frames: no figure is a clinical one." if contract.intended_use.phantom else "",
        proof=told.bundle.proof,
        sha256=told.sha256,
        model_bytes=told.model_bytes,
        table_bytes=plan.table_bytes,
        arena=told.arena,
        arena_measured=told.run.arena,
        margin=_MARGIN,
        micro_version=told.run.version,
        scratch=2 * plan.scratch_words,
        golden=told.golden["image"][0].size + len(contract.classes),
        frame=f"{plan.frame[0]}x{plan.frame[1]}",
        steps=", ".join(f"{told.steps[name]} steps in `{name}`" for name in OUTPUTS),
    )


def _tensor(tensor: TensorFacts) -> str:
    prefix = f"#define EDGE_CNS_{tensor.name.upper() if tensor.name != 'image' else 'INPUT'}_"
    height, width = tensor.shape[1:3] if len(tensor.shape) == 4 else (None, None)
    rows = [f"INDEX {tensor.index}"]
    if height is not None:
        rows += [f"HEIGHT {height}", f"WIDTH {width}"]
    rows += [
        f"CHANNELS {tensor.shape[-1]}",
        f"SCALE {real(tensor.scale)}",
        f"ZERO_POINT ({tensor.zero_point})",
    ]
    return "".join(f"{prefix}{row}\n" for row in rows) + "\n"


def _rules(contract: Contract) -> str:
    decision, lines = contract.decision, []
    if decision.conformal is not None:
        coverage = f"{decision.conformal.coverage:g}"
        lines += [
            f"/* Classes that a frame can be, at a coverage of {coverage}: probability from here on. */",
            "extern const float edge_cns_conformal_thresholds[EDGE_CNS_CLASS_COUNT];\n",
        ]
    if decision.exam is not None:
        lines += [
            f"/* An exam's statement: the score by the rule {decision.exam.aggregation.rule}, from here on. */",
            "extern const float edge_cns_exam_thresholds[EDGE_CNS_CLASS_COUNT];\n",
        ]
    if decision.novelty is not None:
        lines += [
            "/* Above this score a frame is no supported view. The arrays behind the score are not in this folder. */",
            f"#define EDGE_CNS_NOVELTY_THRESHOLD {real(decision.novelty.threshold)}\n",
        ]
    return "".join(f"{line}\n" for line in lines)


def _step(number: int, step: Step, memory: int) -> str:
    columns, rows = (f"columns_{number}", f"rows_{number}") if not step.mean else ("NULL", "NULL")
    return f"{{{columns}, {rows}, {step.width}, {step.height}, {step.mean}, {memory}}}"


def _template(name: str) -> Template:
    return Template((files("converters") / "c_array_templates" / name).read_text(encoding="utf-8"))
