"""Frames as the network sees them, with the maps of the int8 model: what all questions about heat maps are asked of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import Contract
from edge_cns.data.images import read_image
from edge_cns.data.manifest import Row
from edge_cns.decision.verdict import evidence
from edge_cns.errors import BadInputError
from edge_cns.evaluation.clustered import clustered_mean
from edge_cns.evaluation.heatmaps.lesions import Box, LesionFrame, content_box, mask_in_tensor
from edge_cns.evaluation.heatmaps.maps import Map, Mask, grown, over_region, tolerance_px
from edge_cns.frames import Frame
from edge_cns.grey import Grey
from edge_cns.preprocess import image, region_of

__all__ = ["CamModel", "Cams", "FloatModel", "Seen", "Settings", "Shown", "see", "show", "spread"]

Cams = NDArray[np.float32]
"""``(h, w, K)`` float32 class activation maps in logits."""
CamModel = Callable[[Frame], Cams]
"""The int8 model: from a frame to its class activation maps."""


class FloatModel(Protocol):
    """The float model that the int8 one was made from; its images are ``(N, H, W)`` uint8."""

    def cams(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class activation maps ``(N, h, w, K)`` in logits."""

    def grad_cams(
        self, images: NDArray[np.uint8], classes: NDArray[np.int64], *, against_mean: bool
    ) -> NDArray[np.float32]:
        """Grad-CAM ``(N, h, w)`` with both signs, of the logits ``classes (N,)`` or of them minus the mean logit."""

    def shuffled_cams(self, images: NDArray[np.uint8], share: float, seed: int) -> NDArray[np.float32]:
        """As ``cams``, with the weights of the head and of this share of the layers below it shuffled."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the questions share: the contract, and how patients are resampled."""

    contract: Contract
    seed: int
    resamples: int

    def mean(self, values: Sequence[float] | NDArray[Any], patients: Sequence[str]) -> dict[str, Any]:
        """Mean of a value a frame, with the interval over patients; see `clustered_mean`."""
        return clustered_mean(np.asarray(values, np.float64), patients, seed=self.seed, resamples=self.resamples)

    def drawn(self, cams: Cams, label: int, box: Box) -> Map:
        """The evidence for a class as a person sees it: over the picture without padding."""
        return over_region(evidence(cams, label), self.contract.input, box)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A frame in the tensor's geometry.

    Attributes:
        row: of the labels.
        image: ``(H, W)`` uint8, with padding.
        box: where in it the picture lies.
        cams: of the int8 model.
    """

    row: Row
    image: Grey
    box: Box
    cams: Cams

    @property
    def said(self) -> int:
        """The class that the int8 model says: its logits are the means of the maps."""
        return int(self.cams.mean(axis=(0, 1)).argmax())

    @property
    def picture(self) -> Grey:
        """The image without padding."""
        x, y, width, height = self.box
        return self.image[y : y + height, x : x + width]


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A frame on which somebody has outlined the lesion.

    Attributes:
        seen: the frame.
        label: index of its true class.
        mask: ``(h, w)`` bool over the picture without padding.
        target: the mask with the pointing game's tolerance around it.
        twin: the frame without the lesion, where there is one.
    """

    seen: Seen
    label: int
    mask: Mask
    target: Mask
    twin: Seen | None

    @property
    def right(self) -> bool:
        """Whether the int8 model says the true class."""
        return self.seen.said == self.label


def see(cam: CamModel, row: Row, frame: Frame, contract: Contract) -> Seen:
    """Run the int8 model on a frame."""
    spec = contract.input
    return Seen(row, image(frame, spec), content_box(frame, spec), np.array(cam(frame)))


def show(cam: CamModel, lesion: LesionFrame, contract: Contract) -> Shown | None:
    """Run the int8 model on an outlined frame and on its twin.

    Returns:
        ``None`` where the lesion lies outside the frame's region.

    Raises:
        BadInputError: an image that cannot be read, or a mask or twin of another size than its frame.
    """
    frame = read_image(lesion.row.path)
    whole = mask_in_tensor(lesion.mask, frame, contract.input)
    if not whole.any():
        return None
    seen = see(cam, lesion.row, frame, contract)
    x, y, width, height = seen.box
    target = grown(whole, tolerance_px(contract.input))
    return Shown(
        seen=seen,
        label=contract.class_names.index(lesion.row.label),
        mask=whole[y : y + height, x : x + width],
        target=target[y : y + height, x : x + width],
        twin=None if lesion.twin is None else see(cam, lesion.row, _twin(lesion.twin, frame, contract), contract),
    )


def _twin(path: Path, frame: Frame, contract: Contract) -> Frame:
    """The frame without the lesion, in the frame's own region: nothing but the lesion may differ."""
    twin = read_image(path)
    if twin.pixels.shape != frame.pixels.shape:
        raise BadInputError(
            f"{path} has the shape {twin.pixels.shape}, its frame {frame.pixels.shape}; they must agree"
        )
    return replace(twin, region=region_of(frame, contract.input))


def spread(items: Sequence[Any], limit: int) -> list[Any]:
    """At most ``limit`` of the items, evenly spread, in order."""
    if len(items) <= limit:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, limit).astype(int)]
