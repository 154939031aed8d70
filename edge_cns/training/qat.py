"""Quantisation-aware training: the classifier learns on with int8 rounding simulated in its graph.

Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_cns.contract import OUTPUTS
from edge_cns.errors import UnsupportedError
from edge_cns.extras import require
from edge_cns.preprocess import as_float
from edge_cns.progress import Progress, silent
from edge_cns.training.augment import Augmentation, augment
from edge_cns.training.dataset import LabelledImages
from edge_cns.training.head import class_weights
from edge_cns.training.keras import keras, tf

__all__ = ["train_quantised"]

_RATE = 1e-5
_BATCH = 16
_STEPS_AT_LEAST = 60
_RANGE_BATCHES = 8


def train_quantised(
    model: Any,
    fit: LabelledImages,
    augmentation: Augmentation,
    *,
    epochs: int = 2,
    seed: int = 0,
    progress: Progress = silent,
) -> Any:
    """Fine-tune a copy of a trained classifier with simulated quantisation; batch normalisation stays frozen.

    Args:
        model: trained classifier; untouched.
        fit: frames of *fit* patients.
        augmentation: the variation it was trained with.
        epochs: passes over the frames; small sets get more, until there are enough steps.
        seed: of everything that is drawn.
        progress: told after each step.

    Returns:
        A model with the same input and outputs whose conversion uses the learned ranges; its input range is pinned to
        [0, 1].

    Raises:
        UnsupportedError: the network has a layer that the toolkit cannot quantise.
        MissingExtraError: tensorflow-model-optimization is not installed.
    """
    random = np.random.default_rng(seed)
    plain = keras.Model(model.input, [model.output[name] for name in OUTPUTS])
    quantised = _simulate(plain)
    _start_ranges(quantised, plain, fit, augmentation, random)
    variables = quantised.trainable_variables
    optimizer = keras.optimizers.Adam(_RATE)
    weights = tf.constant(class_weights(fit.labels, model.output["logits"].shape[-1]))

    @tf.function
    def step(images: Any, labels: Any) -> None:
        with tf.GradientTape() as tape:
            logits = quantised(images, training=True)["logits"]
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses * tf.gather(weights, labels))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    per_epoch = max(1, len(fit.labels) // _BATCH)
    steps = max(epochs * per_epoch, _STEPS_AT_LEAST)
    for i in range(steps):
        if i % per_epoch == 0:
            order = random.permutation(len(fit.labels))
        chosen = order[(i % per_epoch) * _BATCH :][:_BATCH]
        step(_varied(fit, chosen, augmentation, random), tf.constant(fit.labels[chosen]))
        progress("quantisation-aware training", i + 1, steps)
    return quantised


def _simulate(plain: Any) -> Any:
    """Copy the model with simulated quantisation at every layer; the copy has its outputs by name."""
    quantize = require("tensorflow_model_optimization.quantization.keras", "train")
    try:
        wrapped = quantize.quantize_model(plain)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split()).split(". ")[0][:160]
        raise UnsupportedError(f"this network cannot be trained quantised ({reason}); use --quantize ptq") from None
    for layer in wrapped.layers:
        inner = getattr(layer, "layer", layer)
        if isinstance(inner, keras.layers.BatchNormalization):
            inner.trainable = False
    _pin_input(wrapped)
    return keras.Model(wrapped.input, dict(zip(OUTPUTS, wrapped.output, strict=True)))


def _start_ranges(
    quantised: Any, plain: Any, fit: LabelledImages, augmentation: Augmentation, random: np.random.Generator
) -> None:
    """Start the range of each activation where the float network has it: the extremes of some batches.

    The toolkit starts them all at [-6, 6] and lets them move by a thousandth of the way in a step. A training of
    some hundred steps would end near where it began, with a fraction of the 256 levels in use.
    """
    ranges = {}
    for layer in quantised.layers:
        named = {v.name.split("/")[-1].split(":")[0]: v for v in layer.variables}
        for kind in ("output", "post_activation"):
            if f"{kind}_min" in named:
                ranges[layer.name.removeprefix("quant_")] = named[f"{kind}_min"], named[f"{kind}_max"]
    probe = keras.Model(plain.input, [plain.get_layer(name).output for name in ranges])

    @tf.function
    def extremes(images: Any) -> Any:
        return tf.stack([(tf.reduce_min(values), tf.reduce_max(values)) for values in probe(images, training=False)])

    batches = [
        random.choice(len(fit.labels), min(_BATCH, len(fit.labels)), replace=False) for _ in range(_RANGE_BATCHES)
    ]
    found = np.stack([extremes(_varied(fit, chosen, augmentation, random)) for chosen in batches])
    for i, (low, high) in enumerate(ranges.values()):
        low.assign(min(found[:, i, 0].min(), 0.0))
        high.assign(max(found[:, i, 1].max(), 0.0))


def _varied(fit: LabelledImages, chosen: Any, augmentation: Augmentation, random: np.random.Generator) -> Any:
    return tf.constant(as_float(np.stack([augment(fit.images[i], augmentation, random) for i in chosen])))


def _pin_input(wrapped: Any) -> None:
    """Fix the range of the input to [0, 1]: its quantiser only ever widens what it starts with."""
    layer = next(layer for layer in wrapped.layers if type(layer).__name__ == "QuantizeLayer")
    for variable in layer.variables:
        if "min" in variable.name:
            variable.assign(0.0)
        elif "max" in variable.name:
            variable.assign(1.0)
