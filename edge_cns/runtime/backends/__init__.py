"""Engines that run ``model.tflite`` or what it was converted to: one file each, one row each in `table`."""
