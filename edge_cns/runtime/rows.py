"""The rows of a label file, run through a classifier: what calibration fits on and what evaluation measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_cns.data.images import read_image
from edge_cns.data.manifest import Row
from edge_cns.decision.verdict import Verdict
from edge_cns.errors import BadInputError
from edge_cns.progress import Progress, silent
from edge_cns.runtime.classifier import Classifier

__all__ = ["Outputs", "classify_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """What a classifier said about N rows that could be read.

    Attributes:
        rows: N rows.
        logits: ``(N, K)`` float32.
        embeddings: ``(N, C)`` float32.
        verdicts: N verdicts, without their heat maps.
        unreadable: a line for each row that could not be read.
    """

    rows: tuple[Row, ...]
    logits: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    verdicts: tuple[Verdict, ...]
    unreadable: tuple[str, ...]

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """``(N, K)``, as the verdicts have them."""
        return np.array([list(verdict.probabilities.values()) for verdict in self.verdicts])

    @property
    def patients(self) -> list[str]:
        """N patient ids."""
        return [row.patient_id for row in self.rows]

    @property
    def seconds(self) -> NDArray[np.float64] | None:
        """``(N,)`` capture times within the exam, or ``None`` unless every row has one."""
        times = [row.seconds for row in self.rows]
        return None if None in times else np.array(times, np.float64)

    def labels(self, classes: Sequence[str]) -> NDArray[np.int64]:
        """``(N,)`` index of each row's label."""
        index = {name: c for c, name in enumerate(classes)}
        return np.array([index[row.label] for row in self.rows], np.int64)


def classify_rows(classifier: Classifier, rows: Sequence[Row], task: str, progress: Progress = silent) -> Outputs:
    """Classify every row as the runtime does, leaving out what cannot be read.

    Raises:
        BadInputError: not one readable image.
    """
    kept, verdicts, logits, embeddings, unreadable = [], [], [], [], []
    for i, row in enumerate(rows):
        try:
            verdict = classifier.classify(read_image(row.path))
        except BadInputError as error:
            unreadable.append(str(error))
        else:
            kept.append(row)
            verdicts.append(replace(verdict, heatmap=None))
            logits.append(classifier.output("logits"))
            embeddings.append(classifier.output("embedding"))
        progress(task, i + 1, len(rows))
    if not kept:
        why = f"none of its {len(unreadable)} images can be read ({unreadable[0]})" if unreadable else "it has no rows"
        raise BadInputError(f"there is nothing to classify: {why}")
    return Outputs(tuple(kept), np.stack(logits), np.stack(embeddings), tuple(verdicts), tuple(unreadable))
