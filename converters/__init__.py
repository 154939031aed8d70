"""From a trained Keras model to a proven int8 bundle, and to the formats of other engines."""
