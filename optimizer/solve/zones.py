"""A front that is not convex: search zones between attained plans, and what solves have excluded.

A weighted sum misses plans in the hollows of such a front. Here every part of the scale that no plan dominates is
covered by zones ``y >= corner`` (Klamroth, Lacour & Vanderpooten, EJOR 245, 2015, turned upside down); the plan
nearest above a corner (achievement scalarisation in direction 1) either splits the zone or empties it. A bound on
that solve excludes everything beyond ``corner + bound``, so what is left is proven.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..volumes import dominated_volume

Floats = NDArray[np.float64]

# Cells of the grid on which the set that is left is measured, over all objectives but one.
CELLS = 40_000


class Zones:
    """Attained values, excluded corners and half-spaces on a scale where the box is [0, 1] in every objective.

    Parameters
    ----------
    outside : (H, O + 1)
        Rows (w, -c) of proven half-spaces ``w @ y <= c`` with ``w >= 0``; a last column of minus the level.
    values : (N, O)
        Objectives of attained plans.
    """

    def __init__(self, outside: Floats, values: Floats) -> None:
        n = values.shape[1]
        self.outside = outside[(outside[:, :-1] >= 0).all(axis=1)]
        self.excluded = np.empty((0, n))
        self.corners = np.zeros((1, n))
        self.values = np.empty((0, n))
        for row in values:
            self.attain(row)

    def attain(self, values: Floats) -> None:
        """Split the zones that an attained plan (O,) lies in."""
        values = np.clip(values, 0.0, 1.0)
        self.values = np.vstack([self.values, values])
        inside = np.all(self.corners < values, axis=1)
        if not inside.any():
            return
        split = self.corners[inside]
        new = []
        for j in range(len(values)):
            moved = split.copy()
            moved[:, j] = values[j]
            new.append(moved)
        self.corners = _smallest(self.corners[~inside], np.vstack(new))

    def exclude(self, corner: Floats) -> None:
        """Remember that no plan lies strictly above ``corner`` (O,) in every objective."""
        self.excluded = np.vstack([self.excluded, corner])

    def room(self) -> Floats:
        """How far each zone reaches beyond its corner, in direction 1, before it is proven empty: (Z,)."""
        w, c = self.outside[:, :-1], -self.outside[:, -1]
        room = ((c - self.corners @ w.T) / w.sum(axis=1)).min(axis=1)
        if len(self.excluded):
            beyond = (self.excluded[None] - self.corners[:, None]).max(axis=2).min(axis=1)
            room = np.minimum(room, beyond)
        return np.maximum(room, 0.0)

    def measure(self) -> tuple[float, float]:
        """Volume dominated by the plans, exactly, and of the set where plans may be, from above.

        The latter is a sum over a grid of cells in all objectives but the last, in which it is exact.
        """
        n = self.values.shape[1]
        side = max(round(CELLS ** (1.0 / (n - 1))), 2)
        ends = np.linspace(0.0, 1.0, side + 1)
        low = np.stack(np.meshgrid(*[ends[:-1]] * (n - 1), indexing="ij"), axis=-1).reshape(-1, n - 1)
        outer = np.ones(len(low))
        for row in self.outside:
            left = -row[-1] - low @ row[:-2]
            if row[-2] > 0:
                outer = np.minimum(outer, np.maximum(left / row[-2], 0.0))
            else:
                outer = np.where(left < 0.0, 0.0, outer)
        for row in self.excluded:
            outer = np.where(np.all(low > row[:-1], axis=1), np.minimum(outer, max(row[-1], 0.0)), outer)
        return dominated_volume(self.values), float(outer.mean())


def _smallest(old: Floats, new: Floats) -> Floats:
    """Old corners and those new ones that no other corner is below."""
    new = np.unique(new, axis=0)
    keep = np.ones(len(new), dtype=bool)
    for i, row in enumerate(new):
        below_old = np.all(old <= row, axis=1).any() if len(old) else False
        below_new = np.all(new <= row, axis=1) & keep
        below_new[i] = False
        keep[i] = not (below_old or below_new.any())
    return np.vstack([old, new[keep]])
