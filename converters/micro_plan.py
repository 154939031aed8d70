"""Preprocessing for one size of frame, planned for integers: what `edge_cns.preprocess` does, step by step.

On a microcontroller the size of the frame is known when the firmware is built. Every place and weight of a bilinear
sample is then a constant, and what is left to do at run time are sums and shifts of integers:

    sample   (a * wa + b * wb) / 2048 along x, then along y, as OpenCV's INTER_LINEAR rounds uint8
    mean     of squares of 2x2 or 3x3 px, as OpenCV's INTER_AREA by two and `cv2.blur` round them

`firmware_bridge/micro` has the C that follows such a plan; `render` is the same in numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import InputSpec
from edge_cns.errors import BadInputError
from edge_cns.frames import Region
from edge_cns.preprocess import COARSE, FINE, TRIPLE, fit_within

__all__ = ["MAX_STEPS", "Plan", "Step", "make_plan", "render"]

MAX_STEPS = 10
"""As in ``edge_cns_micro.h``."""
_ONE = 2048  # weights are fixed point with 11 bits
_HEADER = 2  # words of memory that a step has beside its rows
_Size = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One pass over an image.

    Attributes:
        width, height: of what it makes, px.
        mean: side of the squares that it takes means of, 2 or 3; 0 where it samples.
        columns, rows: ``(width, 4)`` and ``(height, 4)`` uint16, the taps of a sampling step: the two neighbours'
            places and their weights, which add up to 2048; ``(0, 4)`` for means.
    """

    width: int
    height: int
    mean: int
    columns: NDArray[np.uint16]
    rows: NDArray[np.uint16]

    @property
    def words(self) -> int:
        """Memory that it needs while it runs, in words of 16 bits."""
        return _HEADER + self.width * (1 if self.mean else 2)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """From a frame of one size to a tensor of one size.

    Attributes:
        frame: width and height, px.
        region: the part of the frame that the network sees.
        tensor: width and height, px.
        place: where the picture lies in the tensor: left, top, width, height, px.
        steps: in order; none where the region has the picture's size.
    """

    frame: _Size
    region: Region
    tensor: _Size
    place: tuple[int, int, int, int]
    steps: tuple[Step, ...]

    @property
    def memory(self) -> tuple[int, ...]:
        """Where each step's memory begins in the scratch, and last where a finished row lies, in words."""
        starts = [0]
        for step in self.steps:
            starts.append(starts[-1] + step.words)
        return tuple(starts)

    @property
    def scratch_words(self) -> int:
        """The whole scratch, in words of 16 bits; at least one, for C has no empty array."""
        return max(1, self.memory[-1] + (max((step.width for step in self.steps), default=0) + 1) // 2)

    @property
    def table_bytes(self) -> int:
        """The taps, in bytes of flash."""
        return sum(step.columns.nbytes + step.rows.nbytes for step in self.steps)


def make_plan(frame: _Size, region: Region, spec: InputSpec) -> Plan:
    """Plan the way from a grey frame to the network's image.

    Args:
        frame: width and height, px.
        region: inside it.
        spec: the contract's input; its rule for the region has been settled by the caller.

    Raises:
        BadInputError: the region lies outside the frame, or Python's own resize is not one of integers at this size;
            the text says which sizes work.
    """
    if region.x + region.width > frame[0] or region.y + region.height > frame[1]:
        raise BadInputError(f"{region} does not fit a frame of {frame[0]}x{frame[1]} px; give a region inside it")
    place = fit_within(region.width, region.height, spec)
    sizes = _sizes((region.width, region.height), place[2:])
    if sizes is None:
        raise BadInputError(_refusal(region, spec))
    steps = tuple(_step(*size) for size in sizes)
    assert len(steps) <= MAX_STEPS, "a frame of at most 8192 px is halved at most six times"
    return Plan(frame, region, (spec.width, spec.height), place, steps)


def render(plan: Plan, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Follow a plan.

    Args:
        frame: ``(height, width)`` uint8.

    Returns:
        The network's image, ``(height, width)`` uint8.
    """
    region, (left, top, width, height) = plan.region, plan.place
    picture = frame[region.y : region.y + region.height, region.x : region.x + region.width]
    for step in plan.steps:
        picture = _mean(picture, step) if step.mean else _sample(picture, step)
    out = np.zeros(plan.tensor[::-1], np.uint8)
    out[top : top + height, left : left + width] = picture
    return out


def _sizes(size: _Size, target: _Size) -> list[tuple[_Size, _Size, int]] | None:
    """The resizes of `edge_cns.preprocess.resize`: from, to, and side of means; ``None`` if one is fractional."""
    found: list[tuple[_Size, _Size, int]] = []
    reduction = min(size[0] / target[0], size[1] / target[1])
    while reduction >= COARSE:
        half = ((size[0] + 1) // 2, (size[1] + 1) // 2)
        found.append((size, half, _linear(size, half)))
        size, reduction = half, reduction / 2
    if reduction < FINE:
        shrunk = (min(target[0], size[0]), min(target[1], size[1])) if reduction < 1 else target
        if shrunk != size:
            if size != (2 * shrunk[0], 2 * shrunk[1]):
                return None
            found.append((size, shrunk, 2))
        if target != shrunk:
            found.append((shrunk, target, 0))
        return found
    side = 3 if reduction < TRIPLE else 4
    samples = (target[0] * side, target[1] * side)
    if samples != size:
        found.append((size, samples, _linear(size, samples)))
    if side == 3:
        return [*found, (samples, target, 3)]
    half = (target[0] * 2, target[1] * 2)
    return [*found, (samples, half, 2), (half, target, 2)]


def _linear(size: _Size, target: _Size) -> int:
    """OpenCV takes means where INTER_LINEAR shrinks both sides by exactly two."""
    return 2 if size == (2 * target[0], 2 * target[1]) else 0


def _step(size: _Size, target: _Size, mean: int) -> Step:
    none = np.empty((0, 4), np.uint16)
    if mean:
        return Step(*target, mean, none, none)
    return Step(*target, 0, _taps(size[0], target[0], clamp=True), _taps(size[1], target[1], clamp=False))


def _taps(size: int, target: int, *, clamp: bool) -> NDArray[np.uint16]:
    """Places and weights of OpenCV's INTER_LINEAR: computed in double, kept in float, rounded to 11 bits.

    Args:
        clamp: at the edges, which have a neighbour on one side only, give it all the weight (as along x) in place of
            sharing the weight between twice the same (as along y).
    """
    scale = 1.0 / (target / size)
    position = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
    place = np.floor(position).astype(np.int64)
    share = position - place.astype(np.float32)
    if clamp:
        share[(place < 0) | (place >= size - 1)] = 0
    far = np.rint(share * np.float32(_ONE)).astype(np.int64)
    near = np.rint((np.float32(1) - share) * np.float32(_ONE)).astype(np.int64)
    assert np.all(near + far == _ONE), "weights add up"
    return np.stack([place.clip(0, size - 1), (place + 1).clip(0, size - 1), near, far], axis=1).astype(np.uint16)


def _sample(picture: NDArray[np.uint8], step: Step) -> NDArray[np.uint8]:
    left, right, near, far = step.columns.astype(np.int64).T
    along = (picture[:, left] * near + picture[:, right] * far) >> 4
    above, below, near, far = step.rows.astype(np.int64).T
    terms = (along[above] * near[:, None] >> 16) + (along[below] * far[:, None] >> 16)
    return np.asarray((terms + 2) >> 2, np.uint8)


def _mean(picture: NDArray[np.uint8], step: Step) -> NDArray[np.uint8]:
    n = step.mean
    squares = picture[: step.height * n, : step.width * n].reshape(step.height, n, step.width, n)
    return np.asarray((squares.sum(axis=(1, 3), dtype=np.int64) + n * n // 2) // (n * n), np.uint8)


def _refusal(region: Region, spec: InputSpec) -> str:
    size = (region.width, region.height)
    _, _, width, height = fit_within(*size, spec)
    larger = next(_working(size, spec), None)
    advice = f"{larger[0]}x{larger[1]}, " if larger else ""
    return (
        f"a region of {size[0]}x{size[1]} px becomes {width}x{height}, and Python resizes that with fractions, which "
        f"integers do not reproduce; give a --region of, for instance, {advice}{width}x{height} or "
        f"{2 * width}x{2 * height} px"
    )


def _working(size: _Size, spec: InputSpec) -> Iterator[_Size]:
    """Larger regions of the same shape from which on integers do."""
    for width in range(size[0] + 1, 4 * size[0]):
        larger = (width, round(width * size[1] / size[0]))
        target = fit_within(*larger, spec)[2:]
        if min(larger[0] / target[0], larger[1] / target[1]) >= FINE:
            yield larger
