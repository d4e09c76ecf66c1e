"""What plans on a front that is not convex attain, blends of them counted, measured on a grid.

Fronts are seen along the diagonal, where they have no cliffs: a point is told by how much more it has of each
objective than of the last, its place, and by the last, its height. Less of everything is attained as well, so that
heights fall no faster than places move (`slanted`, `floor`).

Plans with the same lines on form a patch: its hull's facets are blends of neighbours, lowered by what a blend may
fall short by. In a cell that one facet covers a blend is attained on average as in its middle. Over a patch the
hull is concave, so that in a cell that it covers it is on average above the mean of its corners. Elsewhere no less
is attained in a cell than at its far corner.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from .. import kernels_attained as kernels
from .. import kernels_raster
from ..kernels_tables import Tables

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Facets of this size or less, in cells of the grid, are not cut further for what the patch may bulge beyond them.
LEAST_FACET = 3.0
# Numbers of facets, rising, and what these miss: none but one behind all that there may be.
NONE_KNOWN = np.array([np.iinfo(np.uint64).max], dtype=np.uint64), np.array([np.nan])


class Attained:
    """Heights of what plans attain, over all places: [-1, 1] for every objective but the last.

    Parameters
    ----------
    n : int
        Number of objectives.
    side : int
        Cells of the grid a side.
    missed : float
        Facets whose blends may fall short by more are worth cutting.
    """

    def __init__(self, n: int, side: int, missed: float) -> None:
        self.n, self.side, self.missed = n, side, missed
        self.nodes = np.full((side + 1,) * (n - 1), -1.0)
        self.means = np.full((side,) * (n - 1), -1.0)
        self._patches: dict[bytes, list[int]] = {}
        self._changed: dict[bytes, None] = {}
        self._facets: dict[bytes, tuple[Ints, Floats]] = {}
        # Of each patch, the facets that were taken in, and what they miss; numbers that tell plans apart.
        self._known: dict[bytes, tuple[NDArray[np.uint64], Floats]] = {}
        self._random = np.empty(0, dtype=np.uint64)

    def compile(self, plans: Floats, tradeoffs: kernels.Tradeoffs, tables: Tables) -> None:
        """Have all kernels compiled: call each with nothing to do."""
        n = self.n
        none, ones, nothing = np.empty((0, n), dtype=np.int64), np.ones(n - 1, dtype=np.int64), np.empty(0)
        kernels.missed_by_facets(none, plans, tradeoffs, tables)
        new = np.zeros(0, dtype=np.bool_)
        kernels_raster.beside(none[:, 1:].copy(), none[:, 1:].copy(), new, 0.0, 0 * ones, ones, nothing)
        kernels_raster.raster(
            np.empty((0, n, n)), nothing, 0.0, self.side, 0 * ones, ones, np.empty((2, 1)), nothing
        )
        kernels_raster.level(np.ones(2 ** (n - 1)), n - 1, 1.0)

    def reach(self, values: Floats) -> NDArray[np.bool_]:
        """Take in objectives (N, O) of plans alone; tell which are below what is attained a cell further on."""
        if not len(values):
            return np.zeros(0, dtype=np.bool_)
        places = slanted(values)
        at = places[:, :-1] * self.side
        inside = (places[:, :-1] >= 0.0).all(axis=1)
        index = np.minimum(at[inside].astype(int), self.side)
        np.maximum.at(self.nodes, tuple(index.T), places[inside, -1])
        kernels_raster.level(self.nodes.ravel(), self.n - 1, 2.0 / self.side)
        further = np.clip(np.ceil(at).astype(int), 0, self.side)
        beyond = (places[:, :-1] <= 1.0).all(axis=1)
        return np.asarray(beyond & (self.nodes[tuple(further.T)] > places[:, -1]))

    def take(self, keys: list[bytes], first: int) -> None:
        """Take in plans from the ``first`` on, ``keys`` telling which lines are on."""
        for i, key in enumerate(keys, first):
            self._patches.setdefault(key, []).append(i)
            self._changed[key] = None

    def blend(
        self,
        plans: Floats,
        values: Floats,
        tradeoffs: kernels.Tradeoffs,
        tables: Tables,
        stop: Callable[[], bool],
    ) -> None:
        """Take in blends of plans (F, L) of the patches with new ones, until ``stop`` says so."""
        if not self._changed:
            return
        for key in list(self._changed):
            if stop():
                break
            del self._changed[key]
            group = np.array(self._patches[key])
            points = self._with_less(slanted(values[group]))
            facets = upper_facets(points)
            if len(facets):
                self._take_facets(key, group, points, facets, plans, tradeoffs, tables)
                # Plans below their patch's hull add nothing to it.
                self._patches[key] = group[np.unique(facets % len(group))].tolist()
        self._level()

    def _take_facets(
        self,
        key: bytes,
        group: Ints,
        points: Floats,
        facets: Ints,
        plans: Floats,
        tradeoffs: kernels.Tradeoffs,
        tables: Tables,
    ) -> None:
        """Take in a patch's facets (S, O) of points, which are those of its plans, as they are and with less."""
        less, which = np.divmod(facets, len(group))
        own, corners, ids = group[which], points[facets], self._hashed(group[which], less)
        known, known_missed = self._known.get(key, NONE_KNOWN)
        at = np.searchsorted(known, ids)
        new, missed = known[at] != ids, known_missed[at]
        missed[new] = kernels.missed_by_facets(own[new], plans, tradeoffs, tables)
        order = np.argsort(ids)
        self._known[key] = np.append(ids[order], NONE_KNOWN[0]), np.append(missed[order], NONE_KNOWN[1])
        real = (facets < len(group)).all(axis=1)
        self._facets[key] = own[real], missed[real]
        self._raise(corners, missed, new)

    def _hashed(self, plans: Ints, less: Ints) -> NDArray[np.uint64]:
        """Numbers that tell facets (S, O) of plans, with less of an objective or as they are, from each other."""
        ids = plans * (self.n + 1) + less
        while len(self._random) <= ids.max():
            known = len(self._random)
            more = np.random.default_rng(known).integers(2**60, size=max(known, 4096), dtype=np.uint64)
            self._random = np.concatenate([self._random, more])
        return np.asarray(self._random[ids].sum(axis=1))

    def _with_less(self, points: Floats) -> Floats:
        """Places and heights (N, O), and behind them those with less of each objective: (N * (O + 1), O)."""
        less = 2.0 * LEAST_FACET / self.side
        steps = np.vstack([np.zeros(self.n), slanted(-less * np.eye(self.n)) - slanted(np.zeros(self.n))])
        return np.asarray((points[None] + steps[:, None]).reshape(-1, self.n))

    @property
    def facets(self) -> tuple[Ints, Floats]:
        """Facets of all patches (S, O), and by how much their blends may fall short, (S,)."""
        if not self._facets:
            return np.empty((0, self.n), dtype=np.int64), np.empty(0)
        facets, missed = zip(*self._facets.values(), strict=True)
        return np.concatenate(facets), np.concatenate(missed)

    def _raise(self, corners: Floats, missed: Floats, new: NDArray[np.bool_]) -> None:
        """Raise what is attained to a patch's facets (S, O, O), less what is missed (S,), beside ``new`` ones."""
        places = corners[:, :, :-1] * self.side
        low = np.clip(np.floor(places.min(axis=1)), 0, self.side).astype(np.int64)
        high = np.clip(np.floor(places.max(axis=1)), -1, self.side - 1).astype(np.int64)
        # New ones all below what is attained change nothing.
        centre = np.clip(places.mean(axis=1).astype(np.int64), 0, self.side - 1)
        higher = corners[:, :, -1].max(axis=1) > self.nodes[tuple(centre.T + 1)]
        new = new & higher & (low <= high).all(axis=1)
        if not new.any():
            return
        start = low[new].min(axis=0)
        size = high[new].max(axis=0) + 2 - start
        # What next to all facets miss is taken off everywhere; where none is new nothing is raised.
        least = float(missed[missed <= self.missed].max(initial=0.0))
        heights, drops = np.full((2, *size), -np.inf), np.full(size - 1, np.inf)
        beside = kernels_raster.beside(low, high, new, least, start, size, drops.ravel())
        corners, missed = corners[beside], missed[beside]
        kernels_raster.raster(
            corners, missed, least, self.side, start, size, heights.reshape(2, -1), drops.ravel()
        )
        window = tuple(slice(a, a + b) for a, b in zip(start, size, strict=True))
        np.maximum(self.nodes[window], heights[1], out=self.nodes[window])
        # All of the hull is concave, and on average in a cell above the mean of its corners.
        mean = mean_of_corners(heights[0]) - drops
        inner = tuple(slice(a, a + b - 1) for a, b in zip(start, size, strict=True))
        np.maximum(self.means[inner], mean, out=self.means[inner])

    def _level(self) -> None:
        """Where more is attained of an objective, so is less."""
        for grid in (self.nodes, self.means):
            kernels_raster.level(grid.ravel(), self.n - 1, 2.0 / self.side)
        np.maximum(self.means, self.nodes[(slice(1, None),) * (self.n - 1)], out=self.means)

    def cells(self, fine: int) -> Floats:
        """What is attained on average in cells of ``fine`` cells of the grid a side, from below: (C,)."""
        return self._least(self.nodes.ravel(), self.means.ravel(), fine)

    def lowest(self, fine: int) -> Floats:
        """The same where nothing is attained."""
        return self._least(np.empty(0), np.empty(0), fine)

    def _least(self, nodes: Floats, means: Floats, fine: int) -> Floats:
        out = np.empty((self.side // fine) ** (self.n - 1))
        kernels_raster.cell_means(nodes, means, self.n - 1, self.side, fine, out)
        return out

    def above(self, values: Floats) -> Floats:
        """How far objectives (N, O) are above what is attained beside them: (N,)."""
        places = slanted(values)
        index = np.clip((places[:, :-1] * self.side).astype(int), 0, self.side - 1)
        inside = (values > 0).all(axis=1)
        return np.where(inside, places[:, -1] - self.means[tuple(index.T)], -np.inf)


def coarse(means: Floats, fine: int) -> Floats:
    """Means over cells of ``fine`` cells of a grid a side: (C,)."""
    side, n = len(means) // fine, means.ndim
    shape = tuple(itertools.chain.from_iterable((side, fine) for _ in range(n)))
    return np.asarray(means.reshape(shape).mean(axis=tuple(range(1, 2 * n, 2))).ravel())


def slanted(values: Floats) -> Floats:
    """Objectives (..., O) as places, from 0 to 1 where each is from nothing to one, and heights."""
    return np.concatenate([0.5 * (values[..., :-1] - values[..., -1:] + 1.0), values[..., -1:]], axis=-1)


def floor(places: Floats, n: int) -> Floats:
    """Heights below which some objective is below nothing, where each of n - 1 places is any of some."""
    return np.maximum(0.0, -functools.reduce(np.minimum.outer, [places] * (n - 1)))


def mean_of_corners(grid: Floats) -> Floats:
    """Of heights at nodes, the mean over each cell's corners."""
    for axis in range(grid.ndim):
        low, high = (tuple([slice(None)] * axis + [end]) for end in (slice(None, -1), slice(1, None)))
        grid = 0.5 * (grid[low] + grid[high])
    return grid


def upper_facets(values: Floats) -> Ints:
    """Groups of O neighbours on the upper side of points (N, O): (S, O)."""
    n = values.shape[1]
    none = np.empty((0, n), dtype=np.int64)
    if len(values) < n:
        return none
    if len(values) == n:
        return np.arange(n)[None]
    with suppress(QhullError):
        hull = ConvexHull(values, qhull_options="QJ Pp")
        return np.asarray(hull.simplices[hull.equations[:, n - 1] > 0], dtype=np.int64)
    return none
