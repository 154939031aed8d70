"""What a cross-validation is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_cns.errors import BadInputError
from edge_cns.training.cross_validation.folds import SCHEMES, Scheme
from edge_cns.training.head import INVERSE_PENALTY
from edge_cns.training.run import Settings

__all__ = ["INVERSE_PENALTIES", "CrossValidationSettings"]

INVERSE_PENALTIES = (0.0001, 0.001, 0.01, 0.1)
"""scikit-learn's C that a fold may choose, strongest penalty first: around the one that training uses."""

_DEFAULT = Settings()


@dataclass(frozen=True, slots=True)
class CrossValidationSettings:
    """What a cross-validation is asked for.

    Attributes:
        scheme: who is tested together.
        folds: of ``grouped-k-fold``; of no meaning to the other schemes.
        nested: choose penalty, temperature, aggregation rule and thresholds within each fold. Without it the penalty is
            the training's own and nothing is calibrated.
        finetune: train the whole network in each fold, as ``edge-cns train`` does.
        backbone, alpha, weights, image_size, region: the network and its input, as in training.
        epochs: of fine-tuning, at most.
        target_sensitivity: share of each class's cases that the thresholds of a fold are fitted to find.
        negative: class that means none of the findings; ``None`` takes ``normal`` where the labels have it.
        seed: of all that is drawn.

    Raises:
        BadInputError: a value that cannot be used, or options that do not go together.
    """

    scheme: Scheme = "leave-one-patient-out"
    folds: int = 5
    nested: bool = True
    finetune: bool = False
    backbone: str = _DEFAULT.backbone
    alpha: float = _DEFAULT.alpha
    weights: str = _DEFAULT.weights
    image_size: int = _DEFAULT.image_size
    region: Literal["auto", "whole"] = _DEFAULT.region
    epochs: int = _DEFAULT.epochs
    target_sensitivity: float = 0.95
    negative: str | None = None
    seed: int = _DEFAULT.seed

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise BadInputError(f"there is no scheme {self.scheme!r}; use one of {', '.join(SCHEMES)}")
        if not 0 < self.target_sensitivity < 1:
            raise BadInputError(f"target sensitivity is {self.target_sensitivity}; give a share between 0 and 1")
        if self.finetune and self.scheme == "leave-one-patient-out":
            raise BadInputError(
                "--finetune trains a network in every fold, and leave-one-patient-out has a fold for every patient; "
                "give --scheme grouped-k-fold or leave-one-site-out"
            )
        if self.finetune and not self.nested:
            raise BadInputError("--finetune always chooses its settings within each fold; leave out --no-nested")
        self.training()

    @property
    def inverse_penalties(self) -> tuple[float, ...]:
        """scikit-learn's C that are tried, ascending."""
        return INVERSE_PENALTIES if self.nested else (INVERSE_PENALTY,)

    def training(self) -> Settings:
        """The settings of a training with this network."""
        return Settings(
            backbone=self.backbone,
            alpha=self.alpha,
            weights=self.weights,
            image_size=self.image_size,
            region=self.region,
            epochs=self.epochs,
            seed=self.seed,
        )
