"""Which operators of a model the Edge TPU will run, told before Google's compiler is asked.

The compiler moves operators into one custom operator. What an operator is by itself decides `edgetpu_rules.obstacle`;
whether it moves also depends on where it stands: what comes behind an operator that stays on the processor stays there
too, since there is only one custom operator. Graphs are cut as TFLite cuts them for a delegate, and the compiler takes
the first part.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.edgetpu_rules import obstacle
from converters.tflite_graph import Graph, Operator, read_graph
from edge_cns.bundle import read_bundle
from edge_cns.errors import BadInputError
from edge_cns.runtime.backends.edgetpu import OPERATOR

__all__ = ["Check", "Row", "check_file", "check_model", "left_outside"]

_MAPPED = "runs on the Edge TPU"
_MAX_BYTES = 2**31 - 1  # a flatbuffer cannot be larger


@dataclass(frozen=True, slots=True)
class Row:
    """An operator of the model.

    Attributes:
        index: its place in the order in which they run.
        name: ``CONV_2D`` and so on; a custom operator's own name.
        mapped: it runs on the Edge TPU.
        reason: why, or why not.
    """

    index: int
    name: str
    mapped: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Check:
    """What the checker predicts.

    Attributes:
        name: the model's, without its folder.
        sha256: of the model.
        rows: one an operator.
    """

    name: str
    sha256: str
    rows: tuple[Row, ...]

    @property
    def mapped(self) -> int:
        """Operators that run on the Edge TPU."""
        return sum(row.mapped for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: ``model``, ``sha256`` and ``operators`` with ``mapped``, ``unmapped`` and ``rows``."""
        rows = [{"index": r.index, "name": r.name, "mapped": r.mapped, "reason": r.reason} for r in self.rows]
        counts = {"mapped": self.mapped, "unmapped": len(self.rows) - self.mapped}
        return {"model": self.name, "sha256": self.sha256, "operators": {**counts, "rows": rows}}

    def lines(self) -> list[str]:
        """For a person: a row an operator that stays on the processor, and a summary."""
        outside = [row for row in self.rows if not row.mapped]
        table = [("index", "operator", "why it stays on the processor")] if outside else []
        table += [(str(row.index), row.name, row.reason) for row in outside]
        width = max((len(name) for _, name, _ in table), default=0)
        return [*(f"{index:>5}  {name:{width}}  {reason}" for index, name, reason in table), self.summary()]

    def summary(self) -> str:
        """One line."""
        text = f"{self.name}: {self.mapped} of {len(self.rows)} operators will run on the Edge TPU"
        if self.mapped:
            names = Counter(row.name for row in self.rows if row.mapped)
            return f"{text} ({', '.join(f'{count} {name}' for name, count in names.most_common())})"
        if any("float" in row.reason for row in self.rows):
            return f"{text}: it is not fully quantised; quantise it with edge-cns convert"
        return f"{text}: the first of them stays on the processor, or none is supported"


def check_file(path: Path) -> Check:
    """Check a ``.tflite`` file, or the int8 model of a bundle.

    Raises:
        BadInputError: the file cannot be read, is not a TFLite model, or was compiled already.
        TamperedError: the bundle is not the one that was sealed.
    """
    if path.is_dir():
        return check_model(read_bundle(path).files["model.tflite"], f"{path.name}/model.tflite")
    try:
        if (size := path.stat().st_size) > _MAX_BYTES:
            raise BadInputError(f"{path} has {size} bytes; a TFLite model has at most {_MAX_BYTES}")
        return check_model(path.read_bytes(), path.name)
    except OSError as error:
        raise BadInputError(f"{path} cannot be read ({error.strerror}); give a .tflite file or a bundle") from None


def check_model(model: bytes, name: str) -> Check:
    """Predict what the compiler will map by default.

    Args:
        model: content of a ``.tflite`` file, before the compiler.
        name: what lines call it.

    Raises:
        BadInputError: not a TFLite model, or compiled already.
    """
    graph = read_graph(model, name)
    if any(operator.name == OPERATOR for operator in graph.operators):
        raise BadInputError(f"{name} was compiled for the Edge TPU already; give the model that was compiled")
    obstacles = [_obstacle(place, operator, name) for place, operator in enumerate(graph.operators)]
    mapped = _first_part(graph, [reason is None for reason in obstacles])
    rows = []
    for place, (operator, reason) in enumerate(zip(graph.operators, obstacles, strict=True)):
        why = _MAPPED if place in mapped else reason or _behind(place, graph, obstacles, mapped)
        rows.append(Row(place, operator.name, place in mapped, why))
    return Check(name, hashlib.sha256(model).hexdigest(), tuple(rows))


def left_outside(compiled: bytes, name: str) -> list[tuple[str, tuple[str, ...]]]:
    """What the compiler has left on the processor: names of the operators, and of the tensors that they compute.

    Raises:
        BadInputError: not a TFLite model.
    """
    operators = read_graph(compiled, name).operators
    return [(o.name, tuple(t.name for t in o.outputs)) for o in operators if o.name != OPERATOR]


def _obstacle(place: int, operator: Operator, name: str) -> str | None:
    try:
        return obstacle(operator)
    except (IndexError, StopIteration, ValueError, TypeError) as error:
        text = f"{name}: operator {place} ({operator.name}) is damaged ({error}); fetch or convert the model again"
        raise BadInputError(text) from None


def _first_part(graph: Graph, able: list[bool]) -> set[int]:
    """The operators of the first part that the Edge TPU runs.

    As TFLite partitions a graph for a delegate: a part takes every operator of its kind whose inputs are there, until
    none is left; then a part of the other kind begins.
    """
    made = {tensor.index for operator in graph.operators for tensor in operator.outputs}
    waiting = list(range(len(graph.operators)))

    def ready(place: int) -> bool:
        return not any(t is not None and t.index in made for t in graph.operators[place].inputs)

    while waiting:
        kind: bool | None = None
        part: set[int] = set()
        grew = True
        while grew:
            grew = False
            for place in [p for p in waiting if p not in part]:
                if (kind is None or able[place] == kind) and ready(place):
                    kind, grew = able[place], True
                    part.add(place)
                    made -= {tensor.index for tensor in graph.operators[place].outputs}
        if kind or not part:  # without a part, the rest waits for tensors that nothing makes
            return part
        waiting = [place for place in waiting if place not in part]
    return set()


def _behind(place: int, graph: Graph, obstacles: list[str | None], mapped: set[int]) -> str:
    """Name the operator that keeps this one, which could run, from the Edge TPU."""
    makers = {tensor.index: p for p, operator in enumerate(graph.operators) for tensor in operator.outputs}
    seen, stack = {place}, [place]
    culprits = []
    while stack:
        for tensor in graph.operators[stack.pop()].inputs:
            maker = makers.get(tensor.index) if tensor is not None else None
            if maker is None or maker in seen or maker in mapped:
                continue
            seen.add(maker)
            stack.append(maker)
            if obstacles[maker] is not None:
                culprits.append(maker)
    if not culprits:
        return "could run, but only one part of a graph is mapped"
    return f"could run, but comes behind operator {min(culprits)} ({graph.operators[min(culprits)].name})"
