"""Inference in a supervised process: what crashes, hangs or lies there is replaced, and never silently."""
