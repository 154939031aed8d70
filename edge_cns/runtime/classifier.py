"""From a frame to a verdict: three stages over one engine's own memory."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.bundle import DECISION, Bundle, read_arrays, read_bundle
from edge_cns.contract import INPUT_SCALE, INPUT_ZERO_POINT, OUTPUTS
from edge_cns.decision.frame import decide
from edge_cns.decision.novelty import NoveltyModel
from edge_cns.decision.verdict import LIFETIME_NS, State, Verdict, evidence, softmax
from edge_cns.decision.views import ViewModel
from edge_cns.errors import BadInputError, UnsupportedError
from edge_cns.frames import Frame
from edge_cns.preprocess import image, quantise_into
from edge_cns.runtime.backends.base import Backend
from edge_cns.runtime.backends.table import open_backend
from edge_cns.runtime.selftest import check_golden

__all__ = ["Classifier", "load"]


class Classifier:
    """A loaded bundle. Not thread-safe: one thread at a time.

    Args:
        bundle: verified bundle.
        backend: engine with the bundle's ``model.tflite``.

    Raises:
        UnsupportedError: the model's input or outputs are not what the contract means; the text names the tensor.
    """

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self.bundle = bundle
        self.contract = bundle.contract
        self.backend = backend
        self._check_model()
        self._image = np.empty((self.contract.input.height, self.contract.input.width), np.uint8)
        self._names = self.contract.class_names
        decision = self.contract.decision
        arrays = read_arrays(bundle.files[DECISION], DECISION) if decision.novelty or decision.views else {}
        self._novelty = NoveltyModel.from_arrays(arrays) if decision.novelty else None
        self._views = ViewModel.from_arrays(arrays) if decision.views else None
        self._check_arrays()
        self.remarks = self._standing_remarks()
        """What every verdict of this bundle has to say: uncalibrated, unproven, phantom; empty if nothing."""

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
        quantise_into(image(frame, self.contract.input, self._image), self.backend.input())

    def postprocess(self, frame: Frame, started_ns: int) -> Verdict:
        """Last stage: the engine's outputs into a verdict.

        Args:
            frame: the one that was preprocessed.
            started_ns: ``CLOCK_MONOTONIC`` ns from which latency counts.
        """
        decision = self.contract.decision
        probabilities = softmax(self.output("logits"), decision)
        novelty, view = self._embedding_says()
        said = decide(probabilities, self._names, decision, novelty=novelty)
        leading = int(probabilities.argmax())
        supported = said.state is not State.NOT_SUPPORTED_VIEW
        now = time.monotonic_ns()
        captured = frame.captured_ns or started_ns
        return Verdict(
            state=said.state,
            label=None if said.index is None else self._names[said.index],
            probability=None if said.index is None else float(probabilities[said.index]),
            probabilities=dict(zip(self._names, probabilities.tolist(), strict=True)),
            reason=", ".join(filter(None, (said.reason, self.remarks))),
            sequence=frame.sequence,
            captured_ns=captured,
            emitted_ns=now,
            expires_ns=captured + LIFETIME_NS,
            latency_ms=(now - started_ns) / 1e6,
            heatmap=evidence(self.output("cam"), leading if said.index is None else said.index) if supported else None,
            calibrated=decision.calibrated,
            proof=self.bundle.proof,
            novelty=novelty,
            view=view if supported else None,
        )

    def output(self, name: str) -> NDArray[np.float32]:
        """An output of the last run in real units: ``logits (K,)``, ``cam (h, w, K)`` or ``embedding (C,)`` float32."""
        scale, zero_point = self.backend.quantisation(name)
        values = self.backend.output(name)[0].astype(np.float32)
        return np.asarray((values - np.float32(zero_point)) * np.float32(scale))

    def close(self) -> None:
        """Release the engine."""
        self.backend.close()

    def _embedding_says(self) -> tuple[float | None, str | None]:
        """Novelty score and recognised plane of the last run, where the bundle has the rules for them."""
        rule = self.contract.decision.views
        if self._novelty is None and self._views is None:
            return None, None
        embedding = self.output("embedding")
        novelty = None if self._novelty is None else float(self._novelty.score(embedding))
        if self._views is None or rule is None:
            return novelty, None
        shares = self._views.probabilities(embedding)
        best = int(shares.argmax())
        return novelty, rule.names[best] if shares[best] >= rule.threshold else None

    def _check_model(self) -> None:
        spec, classes = self.contract.input, len(self.contract.classes)
        shape, dtype = self.backend.input().shape, self.backend.dtype("image")
        if dtype != np.int8:
            raise UnsupportedError(f"model.tflite takes {dtype} input; a bundle's model is int8: use edge-cns convert")
        if shape != (1, spec.height, spec.width, 1):
            raise UnsupportedError(
                f"model.tflite takes {shape}, the contract says {(1, spec.height, spec.width, 1)}; "
                "they are not of one bundle"
            )
        scale, zero_point = self.backend.quantisation("image")
        if abs(scale - INPUT_SCALE) > 1e-7 or zero_point != INPUT_ZERO_POINT:
            raise UnsupportedError(
                f"model.tflite quantises its input by {scale:.6g}, {zero_point}; "
                f"a bundle's model by {INPUT_SCALE:.6g}, {INPUT_ZERO_POINT}: use edge-cns convert"
            )
        shapes = {name: self.backend.output(name).shape for name in OUTPUTS}
        fits = shapes["logits"] == (1, classes) and len(shapes["cam"]) == 4 and shapes["cam"][3] == classes
        if not fits or len(shapes["embedding"]) != 2:
            raise UnsupportedError(
                f"model.tflite has outputs {shapes} for {classes} classes; they are not of one bundle"
            )
        for name in shapes:
            scale, _ = self.backend.quantisation(name)
            if self.backend.dtype(name) != np.int8 or not (np.isfinite(scale) and scale > 0):
                raise UnsupportedError(f"model.tflite output {name!r} is not quantised to int8: use edge-cns convert")

    def _check_arrays(self) -> None:
        """The arrays behind novelty and views must fit the model's embedding."""
        channels, views = self.backend.output("embedding").shape[1], self.contract.decision.views
        fits = self._novelty is None or self._novelty.directions.shape[2] == channels
        if self._views is not None and views is not None:
            fits &= self._views.kernel.shape == (len(views.names), channels)
        if not fits:
            raise BadInputError("decision.npz does not fit the model and the contract; calibrate the bundle again")

    def _standing_remarks(self) -> str:
        remarks = []
        if not self.contract.decision.calibrated:
            remarks.append("uncalibrated")
        if self.bundle.proof != "passed":
            remarks.append(f"quantisation {self.bundle.proof}")
        if self.contract.intended_use.phantom:
            remarks.append("trained on phantom frames")
        return ", ".join(remarks)


def load(
    path: str | os.PathLike[str],
    *,
    backend: str = "litert",
    threads: int = 1,
    require_proof: bool = False,
) -> Classifier:
    """Load a bundle, verify it, and run its golden vectors.

    Args:
        path: folder ``NAME.cns``.
        backend: engine by name.
        threads: CPU threads the engine may use.
        require_proof: refuse a bundle whose quantisation gate did not pass.

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
    bundle = read_bundle(Path(path))
    if require_proof:
        bundle.require_proof()
    engine: Any = open_backend(backend, bundle.files["model.tflite"], threads=threads)
    classifier = Classifier(bundle, engine)
    check_golden(bundle, engine)
    return classifier
