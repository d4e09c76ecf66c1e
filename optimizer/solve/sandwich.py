"""A front between two sets: what plans attain, and what half-spaces leave of the scale.

Each solved weighted sum adds a plan inside and a proven half-space outside. Where all curves have falling returns
the attained values fill a convex set, so that the two close in on each other; the next weights are the normals of
the inner hull's facets, those first behind which most volume is undecided (the dual algorithm of Loehne, Rudloff &
Ulus, arXiv 1308.6809; Rennen, van Dam & den Hertog, INFORMS J. Comput. 23, 2011).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, HalfspaceIntersection, QhullError

from ..volumes import hull, hull_volume, shadows

Floats = NDArray[np.float64]
# Weights (O,) to a plan (L,), its objectives (O,) and a bound on the weighted sum of any plan's.
Weighted = Callable[[Floats], tuple[Floats, Floats, float]]

# Above 1 nothing exists: each optimum was proven, to its tolerance.
SLACK = 2e-6
# Weights of the same facet, computed twice, differ by less.
SAME = 1e-6
# A weight of nothing leaves ties open; this breaks them.
LEAST_WEIGHT = 1e-6
# Facets solved at once: those with this share of the undecided volume, but no more than `BATCH`. Measuring costs
# more with more objectives, but so does every solve for a facet that another one would have cut off.
SHARE = 0.9
BATCH = 64
# Facets looked at, largest first: five objectives can have a hundred thousand.
FACETS = 4000
# Facets closer to the outer set than this, in steps of the scale, have nothing left to find.
CLOSE = 1e-6


class Sandwich:
    """Inner points and outer half-spaces, on a scale where the box is [0, 1] in every objective.

    Parameters
    ----------
    weighted : callable
        Solves a weighted sum.
    n : int
        Number of objectives.

    Attributes
    ----------
    z, values : list of (L,), list of (O,)
        Plans and their objectives.
    hypervolume, bound, gap : float
        Of the inner hull, of the outer set, and the share of the latter that is undecided.
    """

    def __init__(self, weighted: Weighted, n: int) -> None:
        self.weighted = weighted
        self.z: list[Floats] = []
        self.values: list[Floats] = []
        # Rows (w, -c) of w @ y <= c; the box first.
        self.outside = [np.append(row, -1.0 - SLACK) for row in np.eye(n)]
        self.outside += [np.append(-row, 0.0) for row in np.eye(n)]
        self.hypervolume, self.bound, self.gap = 0.0, (1.0 + SLACK) ** n, 1.0
        # Corners of the outer set; those of the inner hull, and how many plans it is of.
        self._corners = np.array(list(itertools.product((0.0, 1.0 + SLACK), repeat=n)))
        self._vertices, self._measured = np.empty((0, n)), 0
        self._tried: set[tuple[int, ...]] = set()

    def take(self, z: Floats, u: Floats) -> None:
        """Keep a plan and its objectives."""
        self.z.append(z)
        self.values.append(u)

    def solve(self, weights: Floats) -> None:
        """Solve a weighted sum: a plan inside, a half-space outside."""
        z, u, bound = self.weighted(weights)
        self.take(z, u)
        self.outside.append(np.append(weights, -max(bound, float(weights @ u))))

    def measure(self) -> list[Floats]:
        """Measure both sets; return the weights to solve next, none where nothing is left to find.

        Where Qhull cannot tell the shape of a set, its last measure stands: the outer set was no smaller then, the
        inner hull no larger.
        """
        values = np.clip(np.array(self.values), 0.0, None)
        inside = np.maximum(values.mean(axis=0), 1e-9) * 0.5
        with suppress(QhullError):
            corners = HalfspaceIntersection(np.array(self.outside), inside).intersections
            if np.isfinite(corners).all():
                self._corners = corners
        self.bound = min(self.bound, hull_volume(self._corners) or self.bound)
        points = np.unique(np.vstack([self._vertices, shadows(values[self._measured :])]), axis=0)
        inner = hull(points)
        if inner is None:
            return []
        self._vertices, self._measured = points[inner.vertices], len(values)
        self.hypervolume = max(self.hypervolume, float(inner.volume))
        self.gap = max(0.0, (self.bound - self.hypervolume) / self.bound)
        return self._weights(inner, points, self._corners)

    def _weights(self, inner: ConvexHull, points: Floats, corners: Floats) -> list[Floats]:
        """Weights of the facets behind which most volume is undecided."""
        normals, level = inner.equations[:, :-1], -inner.equations[:, -1]
        # Facets of the box's lower sides, and joggled slivers of them, look away from the front.
        front = np.flatnonzero((normals.min(axis=1) > -SAME) & (level > SAME))
        edges = points[inner.simplices[front]]
        sides = edges[:, 1:] - edges[:, :1]
        area = np.sqrt(np.maximum(np.linalg.det(sides @ np.moveaxis(sides, 1, 2)), 0.0))
        largest = np.argsort(-area, kind="stable")[:FACETS]
        front, area = front[largest], area[largest]
        ahead = (corners @ normals[front].T).max(axis=0) - level[front]
        undecided = ahead * area
        weights: list[Floats] = []
        total, sofar = undecided.sum(), 0.0
        for index in np.argsort(-undecided):
            if len(weights) == BATCH or sofar > SHARE * total or ahead[index] <= CLOSE:
                break
            sofar += undecided[index]
            w = np.maximum(normals[front[index]], LEAST_WEIGHT)
            w = w / w.sum()
            key = tuple(np.round(w / SAME).astype(int).tolist())
            if key not in self._tried:
                self._tried.add(key)
                weights.append(w)
        return weights
