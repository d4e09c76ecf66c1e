"""What no plan exceeds, from half-spaces that hold for a problem nowhere below the real one."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import HalfspaceIntersection, QhullError

from ..limits import Limits
from ..volumes import hull_volume
from .problem import Problem

Floats = NDArray[np.float64]

# Steps in which weights are spread over the simplex, by number of objectives: 13, 28, 35 and 35 of them.
DIVISIONS = {2: 12, 3: 6, 4: 4, 5: 3}
# A weight of nothing leaves ties open; this breaks them.
LEAST_WEIGHT = 1e-6
# With less weight than this share in every half-space, an objective is as good as not bounded.
LEAST_SHARE = 1e-3


def weights(n: int) -> Floats:
    """Return weights spread evenly over the simplex (W, n), each KPI alone first.

    As Das & Dennis have it (SIAM J. Optim. 8, 1998).
    """
    parts = DIVISIONS[n]
    rows = [row for row in itertools.product(range(parts + 1), repeat=n) if sum(row) == parts]
    rows.sort(key=lambda row: (-max(row), [-part for part in row]))
    # The ends, then from the middle outwards: where time is short the whole front is bounded, if roughly.
    found = np.array(rows[:n] + rows[: n - 1 : -1], dtype=float) / parts
    found = np.maximum(found, LEAST_WEIGHT)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


class Outer:
    """Half-spaces ``w @ u <= c`` over the objective forms ``u`` of a problem.

    Parameters
    ----------
    problem : Problem
        Whose scale they are on.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.rows: list[Floats] = []
        self.levels: list[float] = []

    def add(self, w: Floats, level: float, of: Problem | None = None) -> None:
        """Keep a half-space (O,), on another problem's scale where one is given; infinite levels say nothing."""
        if not np.isfinite(level):
            return
        ratio, start = _between(of or self.problem, self.problem)
        self.rows.append(w * ratio)
        self.levels.append(level - float(w @ start))

    def limits(self, problem: Problem) -> Limits | None:
        """Return them on another problem's scale; None where some objective is not bounded."""
        if not self.rows:
            return None
        ratio, start = _between(self.problem, problem)
        w, c = np.array(self.rows), np.array(self.levels)
        rows, levels = w * ratio, c - w @ start
        if not (rows > LEAST_SHARE * rows.sum(axis=1, keepdims=True)).any(axis=0).all():
            return None
        return Limits(rows, levels, np.empty((0, rows.shape[1])))


def volume(limits: Limits | None, n: int) -> float:
    """Return the volume that limits leave of the orthant above the origin; NaN where none is known."""
    if limits is None:
        return float("nan")
    w, c = limits.weights, limits.levels
    if c.min() <= 0:
        return 0.0
    outside = np.vstack([np.column_stack([w, -c]), np.column_stack([-np.eye(n), np.zeros(n)])])
    inside = np.full(n, 0.5 * float((c / w.sum(axis=1)).min()))
    try:
        corners = HalfspaceIntersection(outside, inside).intersections
    except QhullError:
        return float("nan")
    corners = corners[np.isfinite(corners).all(axis=1)]
    return hull_volume(corners) or float("nan")


def _between(one: Problem, other: Problem) -> tuple[Floats, Floats]:
    """Factor and offset from another scale's forms to one's: ``u_one = factor * u_other + offset``."""
    pairs = list(zip(one.objectives, other.objectives, strict=True))
    ratio = np.array([b.unit / a.unit for a, b in pairs])
    return ratio, np.array([(b.worst - a.worst) / a.unit for a, b in pairs])
