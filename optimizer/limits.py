"""Limits: what no plan can exceed, as the search for a front has proven it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# What the linear program's own tolerances may hide, in steps of the scale.
SLACK = 1e-6
# Half-spaces no farther from a point than the nearest by this, in steps, touch it as much.
SUPPORTED = 1e-5


@dataclass(frozen=True)
class Limits:
    """What no plan can exceed, in steps ``y`` from a front's reference (0) to each KPI's own optimum (1).

    Attributes
    ----------
    weights : (H, O)
        Not negative.
    levels : (H,)
        ``weights @ y <= levels`` for every plan that keeps the rules.
    corners : (E, O)
        No such plan is above one of them in every KPI.
    """

    weights: Floats
    levels: Floats
    corners: Floats

    def highest(self, weights: Floats) -> float:
        """Return what ``weights @ y`` of any plan is at most, for weights >= 0 (O,).

        The maximum over all half-spaces, a linear program.
        """
        from scipy.optimize import linprog

        found = linprog(-weights, A_ub=self.weights, b_ub=self.levels, bounds=(None, None), method="highs")
        return float(-found.fun) + SLACK * float(weights.sum()) if found.success else np.inf

    def farthest(self, steps: Floats, start: Floats, weights: Floats) -> float:
        """Return what ``min(steps * y - start) + weights @ (steps * y)`` of any plan is at most; all (O,).

        The maximum over all half-spaces, a linear program with the worst-off as one more variable. Beyond a
        corner no plan is better in every KPI, so the worst-off cannot be either.
        """
        from scipy.optimize import linprog

        n = len(steps)
        cost = -np.append(weights * steps, 1.0)
        rows = np.vstack(
            [
                np.hstack([self.weights, np.zeros((len(self.weights), 1))]),
                np.hstack([-np.diag(steps), np.ones((n, 1))]),
            ]
        )
        levels = np.append(self.levels, -start)
        found = linprog(cost, A_ub=rows, b_ub=levels, bounds=(None, None), method="highs")
        slack = SLACK * float(steps.max() + weights @ steps)
        most = float(-found.fun) + slack if found.success else np.inf
        if len(self.corners):
            beyond = float((steps * self.corners - start).max(axis=1).min())
            most = min(most, beyond + self.highest(weights * steps))
        return most

    def normal(self, y: Floats, within: float) -> Floats | None:
        """Return the weights for which ``y`` (O,) is best but for ``within``, or nearest to it; None if none are.

        The mean where several half-spaces are as near as the nearest.
        """
        sums = self.weights.sum(axis=1)
        room = (self.levels - self.weights @ y) / sums
        tight = (room <= within) & (room <= room.min() + SUPPORTED)
        return (self.weights[tight] / sums[tight, None]).mean(axis=0) if tight.any() else None
