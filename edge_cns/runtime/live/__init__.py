"""Live frames in, verdicts out: what `edge-cns run` is made of."""
