"""From an engine's outputs to a verdict: the one place where int8 numbers get a meaning."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from edge_cns.bundle import DECISION, Bundle, read_arrays
from edge_cns.contract import OUTPUTS
from edge_cns.decision.frame import decide
from edge_cns.decision.novelty import NoveltyModel
from edge_cns.decision.verdict import LIFETIME_NS, State, Verdict, evidence, softmax
from edge_cns.decision.views import ViewModel
from edge_cns.errors import BadInputError
from edge_cns.frames import Frame

__all__ = ["Reading", "standing_remarks"]


class Reading:
    """How the outputs of a bundle's model are read.

    Args:
        bundle: verified bundle.
        quantisation: scale and zero point of an output by its signature name.
        channels: C of the embedding.

    Attributes:
        remarks: what every verdict of this bundle has to say: uncalibrated, unproven, phantom; empty if nothing.

    Raises:
        BadInputError: the arrays behind novelty and views do not fit the embedding.
    """

    def __init__(self, bundle: Bundle, quantisation: Callable[[str], tuple[float, int]], channels: int) -> None:
        self._names = bundle.contract.class_names
        self._decision = bundle.contract.decision
        self._proof = bundle.proof
        self._quantisation = {name: quantisation(name) for name in OUTPUTS}
        decision = self._decision
        arrays = read_arrays(bundle.files[DECISION], DECISION) if decision.novelty or decision.views else {}
        self._novelty = NoveltyModel.from_arrays(arrays) if decision.novelty else None
        self._views = ViewModel.from_arrays(arrays) if decision.views else None
        self._check_arrays(channels)
        self.remarks = standing_remarks(bundle)

    def real(self, name: str, values: NDArray[np.int8]) -> NDArray[np.float32]:
        """An output in real units.

        Args:
            name: ``logits``, ``cam`` or ``embedding``.
            values: int8, of any shape.
        """
        scale, zero_point = self._quantisation[name]
        return np.asarray((values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale))

    def verdict(
        self, frame: Frame, outputs: Mapping[str, NDArray[np.int8]], started_ns: int, *, unreadable: str = ""
    ) -> Verdict:
        """State what the outputs say of a frame.

        Args:
            frame: the one that was run.
            outputs: ``logits (K,)``, ``cam (h, w, K)`` and ``embedding (C,)`` int8 by name.
            started_ns: ``CLOCK_MONOTONIC`` ns from which latency counts.
            unreadable: why the frame is no supported view, whatever the outputs say (`edge_cns.preprocess.Prepared`).
        """
        decision = self._decision
        probabilities = softmax(self.real("logits", outputs["logits"]), decision)
        novelty, view = self._embedding_says(outputs["embedding"])
        said = decide(probabilities, self._names, decision, novelty=novelty)
        state, index, reason = said.state, said.index, said.reason
        if unreadable:
            state, index, reason = State.NOT_SUPPORTED_VIEW, None, unreadable
        supported = state is not State.NOT_SUPPORTED_VIEW
        leading = int(probabilities.argmax()) if index is None else index
        captured = frame.captured_ns or started_ns
        heatmap = evidence(self.real("cam", outputs["cam"]), leading) if supported else None
        now = time.monotonic_ns()
        return Verdict(
            state=state,
            label=None if index is None else self._names[index],
            probability=None if index is None else float(probabilities[index]),
            probabilities=dict(zip(self._names, probabilities.tolist(), strict=True)),
            reason=", ".join(filter(None, (reason, self.remarks))),
            sequence=frame.sequence,
            captured_ns=captured,
            emitted_ns=now,
            expires_ns=captured + LIFETIME_NS,
            latency_ms=(now - started_ns) / 1e6,
            heatmap=heatmap,
            calibrated=decision.calibrated,
            proof=self._proof,
            novelty=novelty,
            view=view if supported else None,
        )

    def _embedding_says(self, embedding: NDArray[np.int8]) -> tuple[float | None, str | None]:
        """Novelty score and recognised plane, where the bundle has the rules for them."""
        rule = self._decision.views
        if self._novelty is None and self._views is None:
            return None, None
        values = self.real("embedding", embedding)
        novelty = None if self._novelty is None else float(self._novelty.score(values))
        if self._views is None or rule is None:
            return novelty, None
        shares = self._views.probabilities(values)
        best = int(shares.argmax())
        return novelty, rule.names[best] if shares[best] >= rule.threshold else None

    def _check_arrays(self, channels: int) -> None:
        views = self._decision.views
        fits = self._novelty is None or self._novelty.directions.shape[2] == channels
        if self._views is not None and views is not None:
            fits &= self._views.kernel.shape == (len(views.names), channels)
        if not fits:
            raise BadInputError("decision.npz does not fit the model and the contract; calibrate the bundle again")


def standing_remarks(bundle: Bundle) -> str:
    """What is to be said of all that a bundle says: unsigned, uncalibrated, unproven, phantom; empty if nothing."""
    remarks = [bundle.signature.remark] if bundle.signature.remark else []
    if not bundle.contract.decision.calibrated:
        remarks.append("uncalibrated")
    if bundle.proof != "passed":
        remarks.append(f"quantisation {bundle.proof}")
    if bundle.contract.intended_use.phantom:
        remarks.append("trained on phantom frames")
    return ", ".join(remarks)
