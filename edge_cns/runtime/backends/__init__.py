"""Engines that run ``model.tflite``: one file each, one row each in `table`."""
