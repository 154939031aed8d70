"""The one place that imports TensorFlow and Keras: ``from edge_cns.training.keras import keras, tf``.

Keras means tf_keras (Keras 2) throughout: the model optimisation toolkit refuses Keras 3 models.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from edge_cns.errors import MissingExtraError

__all__ = ["keras", "tf"]

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # read when TensorFlow and its toolkits are imported
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hold back what native code writes to standard error; show it if the block fails.

    TensorFlow's libraries write several lines about absent accelerators before any log level applies.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


try:
    with _quiet_stderr():
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")  # tf_keras reports TensorFlow's own deprecations as it is imported
        import tf_keras as keras

        tf.config.list_physical_devices()  # asks the drivers now, while their complaints are held back
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "tensorflow", "train") from error
