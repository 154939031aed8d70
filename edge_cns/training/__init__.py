"""From labelled frames to ``model.keras``. TensorFlow lives here and in ``converters``."""
