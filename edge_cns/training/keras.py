"""The one place that imports TensorFlow and Keras: ``from edge_cns.training.keras import keras, tf``.

Keras means tf_keras (Keras 2) throughout: the model optimisation toolkit refuses Keras 3 models.
"""

from __future__ import annotations

import os

from edge_cns.errors import MissingExtraError
from edge_cns.quiet import quiet_stderr

__all__ = ["keras", "tf"]

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # read when TensorFlow and its toolkits are imported
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # elsewhere the default: a quarter faster without AVX-512, too


try:
    with quiet_stderr():
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")  # tf_keras reports TensorFlow's own deprecations as it is imported
        import tf_keras as keras

        tf.config.list_physical_devices()  # asks the drivers now, while their complaints are held back
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "tensorflow", "train") from error
