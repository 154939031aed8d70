"""Training on several machines at once: each worker learns from its share of every batch, and gradients are summed.

TensorFlow's MultiWorkerMirroredStrategy carries the sums. Every worker holds the whole network and starts each epoch
from the chief's weights, so all of them take the steps that one process would take, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError, InitialisationError, OperationError, OperationTimeoutError, brief
from edge_cns.progress import Progress, silent
from edge_cns.quiet import quiet_stderr
from edge_cns.training.meeting import VARIABLE, Cluster, meet

__all__ = ["ALONE", "Workers", "join"]

_STUCK_SECONDS = 1800.0  # a dead worker is noticed in seconds; this ends a wait for one that lives and does nothing


@dataclass(frozen=True, slots=True)
class Workers:
    """The processes that train together; alone by default.

    Attributes:
        index: which of them this one is; 0 is the chief, who writes.
        count: how many there are.
        strategy: TensorFlow's, or ``None`` for one process.
    """

    index: int = 0
    count: int = 1
    strategy: Any = None

    @property
    def chief(self) -> bool:
        """Whether this one writes checkpoints and results."""
        return self.index == 0

    def share(self, count: int) -> slice:
        """This worker's share of ``count`` things in a row; shares differ by one at most."""
        return slice(self.index * count // self.count, (self.index + 1) * count // self.count)

    def summed(self, function: Callable[..., Sequence[Any]], arguments: Sequence[Any]) -> Sequence[Any]:
        """Call ``function`` everywhere and sum the tensors it returns over all workers, in a graph or outside one."""
        if self.strategy is None:
            return function(*arguments)
        from edge_cns.training.keras import tf

        def reduced(*values: Any) -> Sequence[Any]:
            context = tf.distribute.get_replica_context()
            return list(context.all_reduce(tf.distribute.ReduceOp.SUM, list(function(*values))))

        return list(self.strategy.run(reduced, args=tuple(arguments)))

    def total(self, values: NDArray[Any]) -> NDArray[Any]:
        """Sum an array over all workers."""
        if self.strategy is None:
            return values
        from edge_cns.training.keras import tf

        return np.asarray(self.summed(lambda value: [tf.identity(value)], [tf.constant(values)])[0])

    def from_chief(self, content: bytes) -> bytes:
        """The chief's bytes, whatever the others give."""
        if self.strategy is None:
            return content
        size = int(self.total(np.array([len(content) if self.chief else 0], np.int64))[0])
        words = np.zeros(-(-size // 8), np.int64)
        if self.chief:  # the others add zeros
            words.view(np.uint8)[:size] = np.frombuffer(content, np.uint8)
        return self.total(words).tobytes()[:size]

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turn what TensorFlow raises when another worker is gone into one line.

        Raises:
            OperationError: a worker has stopped.
            OperationTimeoutError: a worker has not answered for half an hour.
        """
        if self.strategy is None:
            yield
            return
        from edge_cns.training.keras import tf

        mend = "see the other workers' messages, then start all of them again: they go on from the last whole epoch"
        gone = tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError
        try:
            yield
        except tf.errors.DeadlineExceededError:
            raise OperationTimeoutError(f"a worker has not answered for {_STUCK_SECONDS:g} s; {mend}") from None
        except (*gone, tf.errors.FailedPreconditionError):
            raise OperationError(f"another worker has stopped; {mend}") from None
        except tf.errors.OpError as error:
            reason = " ".join(str(error.message).split())[-160:]
            raise OperationError(f"the training on several machines failed ({reason}); {mend}") from None


ALONE = Workers()


def join(cluster: Cluster, request: Mapping[str, Any], seconds: float, progress: Progress = silent) -> Workers:
    """Meet the other workers and start TensorFlow's strategy; before TensorFlow has computed anything.

    Args:
        cluster: as ``TF_CONFIG`` has it; TensorFlow reads the variable itself.
        request: what all must have been asked for alike.
        seconds: how long to wait for the others.
        progress: told how many have come.

    Raises:
        OperationTimeoutError: somebody did not come in time.
        BadInputError: somebody was asked for something else, or this worker has several GPUs.
        InitialisationError: TensorFlow cannot start the workers.
    """
    meet(cluster, request, seconds, progress)
    if len(cluster.addresses) == 1:
        return ALONE
    from edge_cns.training.keras import tf

    communication = tf.distribute.experimental.CommunicationOptions(timeout_seconds=_STUCK_SECONDS)
    try:
        with quiet_stderr():
            strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=communication)
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        reason = brief(error)
        raise InitialisationError(
            f"{cluster.name(cluster.index)} could not be started ({reason}); check that its port is free and that each "
            "worker is a process of its own"
        ) from None
    if strategy.num_replicas_in_sync != len(cluster.addresses):
        raise BadInputError(
            f"{cluster.name(cluster.index)} sees several GPUs; start one worker for each, with its own address in "
            f"{VARIABLE} and its own CUDA_VISIBLE_DEVICES"
        )
    return Workers(cluster.index, len(cluster.addresses), strategy)
