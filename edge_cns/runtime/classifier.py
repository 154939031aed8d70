"""From a frame to a verdict: three stages over one engine's own memory."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.bundle import Bundle, read_bundle
from edge_cns.contract import OUTPUTS
from edge_cns.decision.verdict import Verdict
from edge_cns.frames import Frame
from edge_cns.preprocess import prepare, quantise_into
from edge_cns.runtime.backends.base import Backend
from edge_cns.runtime.backends.table import open_backend
from edge_cns.runtime.fit import check_model
from edge_cns.runtime.reading import Reading
from edge_cns.runtime.selftest import check_golden
from edge_cns.runtime.target import choose
from edge_cns.signing.policy import Mode, choose_policy

__all__ = ["Classifier", "load"]


class Classifier:
    """A loaded bundle. Not thread-safe: one thread at a time.

    Args:
        bundle: verified bundle.
        backend: engine with the bundle's model.

    Raises:
        UnsupportedError: the model's input or outputs are not what the contract means; the text names the tensor.
    """

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self.bundle = bundle
        self.contract = bundle.contract
        self.backend = backend
        check_model(backend, bundle.contract)
        self._image = np.empty((self.contract.input.height, self.contract.input.width), np.uint8)
        self.reading = Reading(bundle, backend.quantisation, backend.output("embedding").shape[1])
        self.remarks = self.reading.remarks
        """What every verdict of this bundle has to say: uncalibrated, unproven, phantom; empty if nothing."""
        self._unreadable = ""

    def __enter__(self) -> Classifier:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def classify(self, frame: Frame | NDArray[np.uint8] | NDArray[np.uint16]) -> Verdict:
        """Classify one frame.

        Args:
            frame: a `Frame`, or its pixels, which are then taken as captured now.

        Returns:
            A verdict of state ``class``, ``indeterminate`` or ``not_supported_view``.

        Raises:
            BadInputError: pixels that cannot be a frame.
            OperationError: the engine failed.
        """
        if not isinstance(frame, Frame):
            frame = Frame.now(frame)
        started = time.monotonic_ns()
        self.preprocess(frame)
        self.backend.invoke()
        return self.postprocess(frame, started)

    def preprocess(self, frame: Frame) -> None:
        """First stage: the frame into the engine's input tensor."""
        prepared = prepare(frame, self.contract.input, self._image)
        self._unreadable = prepared.unreadable
        quantise_into(prepared.image, self.backend.input())

    def postprocess(self, frame: Frame, started_ns: int) -> Verdict:
        """Last stage: the engine's outputs into a verdict.

        Args:
            frame: the one that was preprocessed.
            started_ns: ``CLOCK_MONOTONIC`` ns from which latency counts.
        """
        outputs = {name: self.backend.output(name)[0] for name in OUTPUTS}
        return self.reading.verdict(frame, outputs, started_ns, unreadable=self._unreadable)

    def output(self, name: str) -> NDArray[np.float32]:
        """An output of the last run in real units: ``logits (K,)``, ``cam (h, w, K)`` or ``embedding (C,)`` float32."""
        return self.reading.real(name, self.backend.output(name)[0])

    def close(self) -> None:
        """Release the engine."""
        self.backend.close()


def load(
    path: str | os.PathLike[str],
    *,
    backend: str = "litert",
    threads: int = 1,
    require_proof: bool = False,
    trust: str | os.PathLike[str] | None = None,
    signature: Mode | None = None,
) -> Classifier:
    """Load a bundle, verify it, and run its golden vectors.

    Args:
        path: folder ``NAME.cns``.
        backend: engine by name; some need a converted model beside the bundle (`edge_cns.runtime.target`).
        threads: CPU threads the engine may use.
        require_proof: refuse a bundle whose quantisation gate did not pass.
        trust: folder of trusted public keys and root certificates; by default ``EDGE_CNS_TRUST_DIR``.
        signature: ``require`` one by somebody who is trusted, ``warn`` in every verdict where there is none, or
            ``off``; by default ``require`` where there is a trust folder, else ``off``.

    Returns:
        A classifier that is ready to run.

    Raises:
        BadInputError, TamperedError, UnsupportedError: the bundle cannot be used.
        InitialisationError: the engine cannot be started, or does not reproduce the golden vectors.

    Example:
        >>> import edge_cns
        >>> verdict = edge_cns.load("demo/phantom.cns").classify(pixels)  # doctest: +SKIP
        >>> verdict.label, verdict.probability  # doctest: +SKIP
        ('encephalocele', 0.93)
    """
    bundle = read_bundle(Path(path), choose_policy(trust, signature))
    if require_proof:
        bundle.require_proof()
    chosen = choose(bundle, backend)
    engine: Any = open_backend(backend, chosen.model, threads=threads)
    classifier = Classifier(chosen.bundle, engine)
    check_golden(chosen.bundle, engine)
    return classifier
