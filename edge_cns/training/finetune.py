"""Second stage of transfer learning: the whole network, batch normalisation frozen, resumable after each epoch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError, OperationError, brief
from edge_cns.progress import Progress
from edge_cns.training.batches import batches
from edge_cns.training.dataset import Frames, in_parts
from edge_cns.training.distribute import ALONE, Workers
from edge_cns.training.head import class_weights
from edge_cns.training.keras import keras, tf
from edge_cns.training.model import predict_logits, trunk_of
from edge_cns.training.run import (
    Checkpoint,
    Settings,
    kept_epoch,
    pack_checkpoint,
    read_checkpoint,
    unpack_checkpoint,
    write_checkpoint,
)

__all__ = ["finetune"]

_WARM_UP_STEPS = 100


def finetune(
    model: Any,
    fit: Frames,
    stop: Frames,
    settings: Settings,
    *,
    path: Path,
    progress: Progress,
    workers: Workers = ALONE,
) -> list[dict[str, float]]:
    """Fine-tune in place; the model ends with the average weights of the best epoch on the *stop* patients.

    Args:
        model: a classifier with a fitted head. Of several workers the chief's counts.
        fit, stop: what teaches, and what says when to stop; the same for every worker.
        settings: of the training.
        path: folder for the checkpoint; if one is there, its epoch is where this goes on. Only the chief uses it.
        progress: told after each step.
        workers: those who train together. Each learns from its share of every batch; batches, variation and dropout
            are those of one process.

    Returns:
        The history: a row for each epoch with ``loss``, ``stop_loss`` and ``stop_accuracy``.

    Raises:
        BadInputError: the checkpoint is damaged or of another network, or there are more workers than frames.
        OperationError: the loss is no longer a number, or another worker has stopped.
    """
    whole = min(settings.batch_size, len(fit.labels))
    if workers.count > min(whole, len(stop.labels)):
        raise BadInputError(f"{workers.count} workers share {min(whole, len(stop.labels))} frames; start fewer workers")
    weights = class_weights(fit.labels, model.output["logits"].shape[-1])
    state = _State(model, settings, weights, whole, workers)
    with workers.failures():
        history = _start(state, path, workers)
        steps = max(1, len(fit.labels) // settings.batch_size)
        for epoch in range(len(history), settings.epochs):
            if _exhausted(history, settings.patience):
                break
            loss = 0.0
            for step, (images, labels) in enumerate(batches(fit, settings, epoch, steps, workers)):
                loss += state.step(images, labels, epoch * steps + step, settings.epochs * steps)
                progress(f"fine-tuning, epoch {epoch + 1} of {settings.epochs}", step + 1, steps)
            row = {"epoch": epoch + 1, "loss": loss / steps} | state.evaluate(stop)
            if not math.isfinite(row["loss"] + row["stop_loss"]):
                raise OperationError(f"epoch {epoch + 1} ended with loss {row['loss']:g}: the training diverged")
            history.append(row)
            if kept_epoch(history) is row:
                state.keep_best()
            checkpoint = Checkpoint(epoch + 1, history, state.arrays())
            if workers.chief:
                write_checkpoint(path, checkpoint)
            if workers.count > 1:  # rounding differs between machines, and must not add up
                state.restore(_of_chief(checkpoint, workers).arrays)
    state.use_best()
    return history


def _start(state: _State, path: Path, workers: Workers) -> list[dict[str, float]]:
    """Put the last whole epoch, and the chief's weights, into the state; returns the history so far."""
    checkpoint = read_checkpoint(path) if workers.chief else None
    if workers.count > 1:
        checkpoint = _of_chief(checkpoint or Checkpoint(0, [], state.arrays()), workers)
    if checkpoint is None:
        return []
    try:
        state.restore(checkpoint.arrays)
    except (KeyError, ValueError) as error:
        reason = brief(error)
        raise BadInputError(f"the checkpoint in {path} does not fit ({reason}); remove it to start again") from None
    return checkpoint.history


def _of_chief(checkpoint: Checkpoint, workers: Workers) -> Checkpoint:
    return unpack_checkpoint(workers.from_chief(pack_checkpoint(checkpoint)), "the chief's checkpoint")


class _State:
    """Weights, their moving average, the best average so far, and AdamW's moments."""

    def __init__(
        self, model: Any, settings: Settings, weights: NDArray[np.float32], whole: int, workers: Workers
    ) -> None:
        for layer in model.layers:
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
        self._model, self._settings, self._workers = model, settings, workers
        self._variables = model.trainable_variables
        self._average = [tf.Variable(v) for v in self._variables]
        self._best = [v.numpy() for v in self._variables]
        self._optimizer = keras.optimizers.AdamW(weight_decay=settings.weight_decay)
        self._optimizer.exclude_from_weight_decay(var_names=["bias"])
        self._optimizer.build(self._variables)
        self._train = self._make_step(tf.constant(weights), whole)

    def _make_step(self, weights: Any, whole: int) -> Any:
        """A step on this worker's share of a batch of ``whole`` frames."""
        trunk, cam = trunk_of(self._model), self._model.get_layer("cam")
        keep, seed = 1 - self._settings.dropout, self._settings.seed
        share = self._workers.share(whole)

        def gradients(images: Any, labels: Any, step: Any) -> Any:
            with tf.GradientTape() as tape:
                features = trunk(images, training=False)
                shape = [whole, 1, 1, features.shape[-1]]  # drawn for all, so that the draw of a frame has one owner
                kept = tf.random.stateless_uniform(shape, tf.stack([seed, step]))[share] < keep
                logits = tf.reduce_mean(cam(features * tf.cast(kept, tf.float32) / keep), axis=(1, 2))
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                loss = tf.reduce_sum(losses * tf.gather(weights, labels)) / whole
            return [loss, *tape.gradient(loss, self._variables)]

        @tf.function
        def train(images: Any, labels: Any, step: Any, decay: Any) -> Any:
            loss, *summed = self._workers.summed(gradients, (images, labels, step))
            self._optimizer.apply_gradients(zip(summed, self._variables, strict=True))
            for average, variable in zip(self._average, self._variables, strict=True):
                average.assign(decay * average + (1 - decay) * variable)
            return loss

        return train

    def step(self, images: NDArray[np.float32], labels: NDArray[np.int64], step: int, total: int) -> float:
        warm_up = min(_WARM_UP_STEPS, max(1, total // 10))
        rate = min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / total))
        self._optimizer.learning_rate.assign(self._settings.learning_rate * rate)
        decay = min(self._settings.average, (1 + step) / (10 + step))  # an average of few steps forgets faster
        arguments = (
            tf.constant(images),
            tf.constant(labels),
            tf.constant(step, tf.int32),
            tf.constant(decay, tf.float32),
        )
        return float(self._train(*arguments))

    def evaluate(self, stop: Frames) -> dict[str, float]:
        """Loss and accuracy of the average weights; each worker classifies its share."""
        current = [v.numpy() for v in self._variables]
        self._assign(self._variables, [v.numpy() for v in self._average])
        mine = self._workers.share(len(stop.labels))
        labels = stop.labels[mine]
        parts = [predict_logits(self._model, part) for part in in_parts(stop.images, mine)]
        logits = np.concatenate(parts).astype(np.float64)
        self._assign(self._variables, current)
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        loss = -log_probabilities[np.arange(len(labels)), labels].sum()
        right = (logits.argmax(axis=1) == labels).sum()
        loss, right = self._workers.total(np.array([loss, right], np.float64)) / len(stop.labels)
        return {"stop_loss": float(loss), "stop_accuracy": float(right)}

    def keep_best(self) -> None:
        self._best = [v.numpy() for v in self._average]

    def use_best(self) -> None:
        self._assign(self._variables, self._best)

    def arrays(self) -> dict[str, NDArray[Any]]:
        named = {"weights": self._variables, "average": self._average, "optimizer": self._optimizer.variables}
        found = {f"{kind}/{i}": v.numpy() for kind, variables in named.items() for i, v in enumerate(variables)}
        return found | {f"best/{i}": values for i, values in enumerate(self._best)}

    def restore(self, arrays: Any) -> None:
        named = {"weights": self._variables, "average": self._average, "optimizer": self._optimizer.variables}
        for kind, variables in named.items():
            self._assign(variables, [arrays[f"{kind}/{i}"] for i in range(len(variables))])
        self._best = [arrays[f"best/{i}"] for i in range(len(self._variables))]

    @staticmethod
    def _assign(variables: Any, values: Any) -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _exhausted(history: list[dict[str, float]], patience: int) -> bool:
    """Whether the last ``patience`` epochs were all worse than the one that is kept."""
    return bool(history) and len(history) - kept_epoch(history)["epoch"] >= patience
