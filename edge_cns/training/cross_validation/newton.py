"""Newton's method for the multinomial regressions of many folds at once, which share one matrix of features.

Newton steps with conjugate gradients (Nocedal & Wright 2006, *Numerical Optimization*, ch. 7), one curvature as
preconditioner of all folds. The weights of K classes have K - 1 degrees of freedom, because softmax does not see a
constant that is added to all logits: they are kept as coordinates in an orthonormal basis of the contrasts between
classes (Helmert's).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import OperationError

__all__ = ["Array", "System", "contrasts_of", "solve", "to_classes"]

Array = NDArray[np.float32]

_FORCING = 0.1  # conjugate gradients stop when the error's energy norm has shrunk so much
_MAX_STEPS = 50
_MAX_INNER_STEPS = 300
_MAX_HALVINGS = 20
_ROUNDING = 1e-6  # of the objective in float32
_LEAST_CURVATURE = 1e-3  # of the intercept, which has no penalty, where every frame is certain


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """The objectives of F folds, ``sum_i w_if loss_if + 1/2 sum_dk r_df v_dkf^2``.

    Attributes:
        x: ``(N, D)`` with the column of ones.
        target: ``(K, N, 1)`` one-hot labels.
        weights: ``(N, F)``, 0 for a removed frame.
        penalty: ``(D, F)``, 0 for the intercept.
        present: ``(K, F)``, classes with a frame; the others have probability 0.
    """

    x: Array
    target: Array
    weights: Array
    penalty: Array
    present: NDArray[np.bool_]

    def probabilities(self, contrasts: Array) -> Array:
        """``(K - 1, N, F)`` to ``(K, N, F)``."""
        values = to_classes(contrasts)
        if not self.present.all():
            values += np.where(self.present, np.float32(0), np.float32(-1e9))[:, None, :]
        values -= values.max(axis=0)
        np.exp(values, out=values)
        values /= values.sum(axis=0)
        return values

    def objective(self, probabilities: Array, coordinates: Array) -> NDArray[np.float64]:
        """``(F,)``."""
        likelihood = np.einsum("kni,knf->nf", self.target, probabilities)
        losses = (self.weights * np.log(np.maximum(likelihood, np.float32(1e-30)))).sum(axis=0, dtype=np.float64)
        squares = np.einsum("df,dkf,dkf->f", self.penalty, coordinates, coordinates)
        return np.asarray(0.5 * squares - losses, np.float64)

    def gradient(self, probabilities: Array, coordinates: Array) -> Array:
        """``(D, K - 1, F)``."""
        residuals = self.weights * (probabilities - self.target)
        return self._gather(residuals) + self.penalty[:, None] * coordinates

    def curvature(self, probabilities: Array, direction: Array, contrasts: Array) -> Array:
        """Hessian times ``direction``, whose contrasts are given: ``(D, K - 1, F)``."""
        values = to_classes(contrasts)
        values -= np.einsum("knf,knf->nf", probabilities, values)
        values *= probabilities
        values *= self.weights
        return self._gather(values) + self.penalty[:, None] * direction

    def preconditioner(self, coordinates: Array) -> Array:
        """Inverse ``(D, D)`` of the first fold's curvature at its coordinates, averaged over the contrasts."""
        probabilities = self.probabilities(contrasts_of(self.x, coordinates))[:, :, 0]
        mean = self.weights[:, 0] * (1 - np.square(probabilities).sum(axis=0)) / coordinates.shape[1]
        scaled = self.x * np.sqrt(np.maximum(mean, 0))[:, None]
        hessian = scaled.T @ scaled
        hessian[np.diag_indices_from(hessian)] += self.penalty[:, 0]
        hessian[-1, -1] += _LEAST_CURVATURE * len(self.x)
        inverse = np.linalg.inv(hessian)
        return np.asarray((inverse + inverse.T) / 2, np.float32)

    def _gather(self, residuals: Array) -> Array:
        """``(K, N, F)`` over the frames to ``(D, K - 1, F)``."""
        classes, n, folds = residuals.shape
        contrasts = (_basis(classes).T @ residuals.reshape(classes, -1)).reshape(classes - 1, n, folds)
        columns = np.moveaxis(contrasts, 0, 1).reshape(n, -1)  # one wide product is faster than K - 1 narrow ones
        return np.asarray((self.x.T @ columns).reshape(-1, classes - 1, folds), np.float32)


def solve(system: System, start: Array, preconditioner: Array, tolerance: float) -> Array:
    """Newton steps until one moves no probability by more than ``tolerance``.

    Args:
        system: F objectives.
        start: ``(D, K - 1, F)``.
        preconditioner: ``(D, D)``, positive definite.
        tolerance: over all frames of the system, removed ones as well.

    Returns:
        ``(D, K - 1, F)``.

    Raises:
        OperationError: no convergence.
    """
    coordinates = start
    contrasts = contrasts_of(system.x, coordinates)
    probabilities = system.probabilities(contrasts)
    objective = system.objective(probabilities, coordinates)
    moved = np.inf
    for _ in range(_MAX_STEPS):
        gradient = system.gradient(probabilities, coordinates)
        direction, change = _conjugate_gradients(system, probabilities, gradient, preconditioner)
        step = np.ones(coordinates.shape[2], np.float32)
        for _ in range(_MAX_HALVINGS):
            reached = contrasts + step * change
            new = system.probabilities(reached)
            there = system.objective(new, coordinates + step * direction)
            worse = there > objective + _ROUNDING * np.abs(objective)
            if not worse.any():
                break
            step[worse] /= 2
        moved = float((np.abs(new - probabilities).max(axis=(0, 1)) / step).max())
        coordinates, contrasts, probabilities, objective = coordinates + step * direction, reached, new, there
        if moved <= tolerance:
            return coordinates
    raise OperationError(
        f"a fold's regression did not converge: its probabilities still move by {moved:.2g} after {_MAX_STEPS} steps; "
        "features far out of scale may be the cause"
    )


def contrasts_of(x: Array, coordinates: Array) -> Array:
    """Logits of frames ``(N, D)`` in the basis of contrasts, ``(K - 1, N, F)``."""
    return np.ascontiguousarray(np.moveaxis(_times(x, coordinates), 1, 0))


def to_classes(contrasts: Array) -> Array:
    """``(K - 1, N, F)`` to logits ``(K, N, F)`` that sum to 0."""
    k, n, folds = contrasts.shape
    return np.asarray((_basis(k + 1) @ contrasts.reshape(k, -1)).reshape(k + 1, n, folds), np.float32)


def _conjugate_gradients(
    system: System, probabilities: Array, gradient: Array, preconditioner: Array
) -> tuple[Array, Array]:
    """Solve the Newton equations of all folds; returns the direction and the contrasts it adds ``(K - 1, N, F)``."""
    direction = np.zeros_like(gradient)
    change = np.zeros((gradient.shape[1], *system.weights.shape), np.float32)
    residual = -gradient
    scaled = _times(preconditioner, residual)
    search = scaled
    energy = np.einsum("dkf,dkf->f", residual, scaled)
    enough = _FORCING**2 * energy
    for _ in range(_MAX_INNER_STEPS):
        contrasts = contrasts_of(system.x, search)
        bent = system.curvature(probabilities, search, contrasts)
        along = np.einsum("dkf,dkf->f", search, bent)
        going = (energy > enough) & (along > 0)
        length = np.divide(energy, along, out=np.zeros_like(energy), where=going)
        direction += length * search
        change += length * contrasts
        residual -= length * bent
        scaled = _times(preconditioner, residual)
        before, energy = energy, np.where(going, np.einsum("dkf,dkf->f", residual, scaled), energy)
        if (~going | (energy <= enough)).all():
            break
        search = scaled + np.divide(energy, before, out=np.zeros_like(energy), where=before > 0) * search
    return direction, change


def _times(matrix: Array, coordinates: Array) -> Array:
    """``(M, D)`` times ``(D, K - 1, F)``: ``(M, K - 1, F)``."""
    d, k, folds = coordinates.shape
    return np.asarray((matrix @ coordinates.reshape(d, -1)).reshape(-1, k, folds), np.float32)


def _basis(classes: int) -> Array:
    """``(K, K - 1)`` orthonormal contrasts between classes; every column sums to 0."""
    basis = np.zeros((classes, classes - 1))
    for j in range(1, classes):
        basis[:j, j - 1], basis[j, j - 1] = 1, -j
        basis[:, j - 1] /= np.sqrt(j * (j + 1))
    return basis.astype(np.float32)
