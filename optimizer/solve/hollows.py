"""Hollows of a front that is not convex, under one budget: what plans attain, and what none can.

Weighted sums find the plans on a front's hull and prove half-spaces around it; between two of them that differ in
which S-shaped lines are on, the front is hollow. Branch and bound over lines' ranges, for all weights at once
(`patterns`), bounds what is in there and finds plans on the way. What these attain is more than the plans
alone: plans with the same lines on can be blended, and where curves are concave a blend is worth at least the
blended objectives; where they are not, what it may fall short by is bounded and taken off.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .. import kernels_attained
from .. import kernels_hollows as kernels
from ..kernels_tables import BEND
from .attained import LEAST_FACET, Attained, coarse, floor, mean_of_corners, slanted, upper_facets
from .patterns import Patterns, bricks
from .sandwich import LEAST_WEIGHT, Sandwich
from .separable import SeparableSolver
from .weights import even_weights, normals

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# By number of objectives: steps of the grid of weights, weights tried next to each, cells a side, and steps of the
# grid of attained heights in each cell.
SIZES = {2: (64, 3, 512, 32), 3: (14, 7, 144, 2), 4: (8, 10, 64, 3), 5: (6, 12, 15, 3)}
# What half-spaces leave of a cell is told by so many parts of it a side.
HULL = {2: 4, 3: 2, 4: 1, 5: 1}
# Boxes are bounded at these weights too: steps of a grid of them, by number of objectives.
FINER = {2: 200, 3: 30, 4: 12, 5: 8}
# Of plans found on the way with the same lines on, one is kept in each cell of this many a side.
DENSEST = {2: 4096, 3: 128, 4: 32, 5: 16}
PLANS = 200_000
# Boxes cut before the first look for plans, and between two looks: at first, and at most.
FIRST, CUTS, MOST_CUTS = 16, {2: 32, 3: 96, 4: 512, 5: 512}, 16_384
# After so many cuts what is left is measured.
MEASURED = 32
# Plans of a box taken in as they are.
AS_THEY_ARE = 8
# A line that spends more than this, in money units, is on.
ON = 1e-9
# All choices of as many lines are tried between two plans.
MOST_MIXED = 4
# A box is done with in a cell where it is above what is attained by less than this share of the tolerance.
NEAR = 0.5
# Over-estimates are refined, where curves are concave, to this share of that.
FINE = 0.5
# What a box may miss the budget by, as a share of it, before no split is in it.
MISS = 1e-12
# Of plans in the middle of facets so many are taken in at once.
MOST_REFINED = 2000
# So many plans are moved between two looks at the clock.
MOST_CLIMBS = 2000
# As shares of that: what blends on a patch may miss, and how far a facet is above what is attained to be cut.
MISSED, RAISED = 0.1, 0.1


class Hollows:
    """Plans, what their blends attain, and boxes that bound the rest.

    Parameters
    ----------
    solver : SeparableSolver
        Of the problem on the scale on which the front is measured.
    sandwich : Sandwich
        Half-spaces and plans from weighted sums.
    tolerance : float
        Gap of the hypervolume to come to.

    Attributes
    ----------
    z, values : (F, L), (F, O)
        Plans found, those of the sandwich first, and their objectives.
    hypervolume, bound : float
        Of what is attained, from below, and of what any plan could be, from above.
    """

    def __init__(self, solver: SeparableSolver, sandwich: Sandwich, tolerance: float) -> None:
        self.solver, self.tolerance = solver, tolerance
        problem, n = solver.problem, len(solver.problem.objectives)
        steps, neighbours, self.side, self.fine = SIZES[n]
        outside = np.array(sandwich.outside)
        outside = outside[(outside[:, :-1] >= 0).all(axis=1)]
        sums = outside[:, :-1].sum(axis=1)
        known = len(outside)
        grids = [np.maximum(even_weights(n, each), LEAST_WEIGHT) for each in (steps, FINER[n])]
        weights = np.vstack(
            [outside[:, :-1] / sums[:, None], *[grid / grid.sum(axis=1)[:, None] for grid in grids]]
        )
        apart = np.linalg.norm(weights[:, None] - weights[None, known : known + len(grids[0])], axis=2)
        nearest = known + np.argsort(apart, axis=1, kind="stable")[:, :neighbours]
        self.tradeoffs: kernels_attained.Tradeoffs = (
            weights,
            weights @ solver.forms,
            weights @ solver.per_money,
            weights @ solver.constant,
            np.ascontiguousarray(np.column_stack([np.arange(len(weights)), nearest])),
            solver.forms,
            solver.per_money,
            solver.constant,
        )
        levels = np.full(len(weights), np.inf)
        levels[:known] = -outside[:, -1] / sums
        # Places of cells, and heights along the diagonal: `attained`.
        ends = np.linspace(-1.0, 1.0, self.side + 1)
        places = ends[:-1] + 1.0 / self.side
        centres, floors = _everywhere(places, n), floor(ends, n)
        # The first objective is the lowest bit of a corner's number.
        corners = np.stack(
            [
                floors[tuple(slice((c >> j) & 1, ((c >> j) & 1) + self.side) for j in range(n - 1))].ravel()
                for c in range(2 ** (n - 1))
            ],
            axis=1,
        )
        slanted_weights = np.column_stack([weights[:, :-1], weights.sum(axis=1)])
        self._hull = left_in_cells(slanted_weights[:known], levels[:known], self.side, HULL[n])
        # Heights are over places: so much of them the front is seen over.
        self._width = 2.0 ** (n - 1)
        seen = self._width * float(np.mean(self._hull > floor(places, n).ravel()))
        self._near = NEAR * tolerance * sandwich.bound / seen
        self.attained = Attained(n, self.side * self.fine, MISSED * self._near)
        self._lowest = self.attained.lowest(self.fine)
        self.cells: kernels.Cells = (centres, 1.0 / self.side, self._lowest.copy(), corners)
        lines = len(problem.lower)
        self.patterns = Patterns(solver, (slanted_weights, *self.tradeoffs[1:]), levels, self.cells, self._near)
        self.tables = self.patterns.tables
        self.found: kernels.Found = (
            np.empty((PLANS, lines)),
            np.empty((PLANS, n)),
            np.zeros(1, dtype=np.int64),
            np.empty(PLANS, dtype=np.int64),
        )
        # Lines whose curves bend: plans in which the same of these are on can be blended.
        terms = solver.tables.terms
        bends = np.add.reduceat(
            np.append(terms.table[BEND], 0.0), np.minimum(terms.starts[:-1], terms.table.shape[1])
        )
        bends[np.diff(terms.starts) == 0] = 0.0
        self._bending = bends.reshape(terms.family.shape).sum(axis=0) > 0
        self._tried: dict[bytes, NDArray[np.bool_]] = {}
        self._started: set[tuple[bytes, int]] = set()
        self._held: set[bytes] = set()
        self._seen = 0
        for z, u in zip(sandwich.z, sandwich.values, strict=True):
            self._add(z, u)
        self.hypervolume, self.bound, self.limit = 0.0, sandwich.bound, sandwich.bound

    @property
    def z(self) -> Floats:
        """Plans found: (F, L)."""
        return self.found[0][: self.found[2][0]]

    @property
    def values(self) -> Floats:
        """Their objectives: (F, O)."""
        return self.found[1][: self.found[2][0]]

    def picked(self, most: int) -> Ints:
        """Which plans found no other beats, ``most`` or fewer, spread over the front."""
        # Comparing all with all takes long: a few times as many as are wanted are.
        left = _thinned(self.values, np.arange(len(self.z)), 4 * most)
        left = left[kernels_attained.unbeaten(np.round(self.values[left], 9))]
        return _thinned(self.values, left, most)

    @property
    def gap(self) -> float:
        """Share of the bound that is undecided."""
        return max(0.0, (self.bound - self.hypervolume) / self.bound)

    def _keys(self, plans: Ints) -> list[bytes]:
        """Which lines are on in some plans, of those whose curves bend."""
        on = self.found[0][plans][:, self._bending] > ON
        return [row.tobytes() for row in np.packbits(on, axis=1)]

    def _add(self, z: Floats, u: Floats) -> None:
        plans, values, count, weighted = self.found
        plans[count[0]], values[count[0]] = z, u
        weighted[count[0]] = np.argmin(np.abs(self.patterns.levels[0] - self.tradeoffs[0] @ u))
        count[0] += 1

    def compile(self) -> None:
        """Have all kernels compiled: call each with nothing to do."""
        n, lines = self.values.shape[1], self.z.shape[1]
        self.patterns.compile()
        self._climb(np.empty((0, lines)), np.empty(0, dtype=np.int64), np.empty((0, n)))
        self.attained.compile(self.z, self.tradeoffs, self.tables.arrays())
        kernels_attained.unbeaten(np.empty((0, n)))

    def close(self, tolerance: float, stop: Callable[[], bool]) -> None:
        """Cut boxes until the gap is at most ``tolerance``, nothing is left to cut, or ``stop`` says so."""
        cuts = CUTS[self.values.shape[1]]
        self._mix(stop)
        self._spread(stop)
        self.measure()
        # Half-spaces alone bound what is missing until boxes do.
        if self.gap <= tolerance or not self.patterns.begin(stop):
            return
        # Boxes show where plans are that weighted sums do not find: a few before the first look for more.
        self._start(stop)
        some = FIRST
        while True:
            more = self._cut(some, tolerance, stop)
            if self.gap > tolerance:
                self._start(stop)
                self._spread(stop)
                self.measure()
            if self.gap <= tolerance or stop() or not more:
                return
            some, cuts = cuts, min(2 * cuts, MOST_CUTS)

    def _cut(self, most: int, tolerance: float, stop: Callable[[], bool]) -> bool:
        """Cut boxes until the gap is at most ``tolerance``; tell whether there are more."""
        more = True
        for done in range(0, most, MEASURED):
            more = self.patterns.cut(min(MEASURED, most - done), stop)
            self.measure()
            if self.gap <= tolerance or not more or stop():
                break
        return more

    def _start(self, stop: Callable[[], bool]) -> None:
        """Take in plans like those that boxes are bounded by."""
        if not self.patterns.starts:
            return
        # Where curves bend upwards plans of a box are best as they are: those of a few weights of each.
        some = [
            (z[:: len(z) // AS_THEY_ARE + 1], w[:: len(w) // AS_THEY_ARE + 1]) for z, w in self.patterns.starts
        ]
        plans, aimed = (np.concatenate(part) for part in zip(*some, strict=True))
        self._take(plans, aimed, False, stop)
        plans, aimed = (np.concatenate(part) for part in zip(*self.patterns.starts, strict=True))
        self.patterns.starts = []
        # One each for what is on and a weight.
        on = np.packbits(plans[:, self._bending] > ON, axis=1)
        new = []
        for i, (key, w) in enumerate(zip(on, aimed.tolist(), strict=True)):
            if (key.tobytes(), w) not in self._started:
                self._started.add((key.tobytes(), w))
                new.append(i)
        if new:
            self._take(plans[new], aimed[new], True, stop)

    def _take(self, plans: Floats, aimed: Ints, moved: bool, stop: Callable[[], bool]) -> None:
        """Bring plans (S, L) up to the budget, and where ``moved`` to the local optima for weights (S,)."""
        # With none of the lines on there is nothing to bring up to the budget.
        some = plans.sum(axis=1) > 0
        plans, aimed = plans[some], aimed[some]
        problem, budget = self.solver.problem, self.solver.budget
        plans = np.clip(plans * (budget / plans.sum(axis=1))[:, None], problem.lower, problem.upper)
        kept = np.flatnonzero(np.abs(plans.sum(axis=1) - budget) <= MISS * budget)
        for some in np.array_split(kept, len(kept) // MOST_CLIMBS + 1):
            if stop():
                return
            self._climb(plans[some], aimed[some], self.tradeoffs[0][aimed[some]] if moved else None)

    def _mix(self, stop: Callable[[], bool]) -> None:
        """Look between neighbours on the hull: at blends, and at plans with some of the lines on that one has.

        Where they differ in more than `MOST_MIXED` lines, one is changed at a time.
        """
        pairs = {
            tuple(sorted(pair))
            for f in upper_facets(slanted(self.values)).tolist()
            for pair in itertools.combinations(f, 2)
        }
        starts, aims = [], []
        for pair in sorted(pairs):
            a, b = (self.z[i] for i in pair)
            differ = np.flatnonzero(self._bending & ((a > ON) != (b > ON)))
            d, least, most = len(differ), np.minimum(a, b)[differ], np.maximum(a, b)[differ]
            if d <= MOST_MIXED:
                choices = [np.array(c) for c in itertools.product((False, True), repeat=d)]
            else:
                choices = [(end[differ] > ON) ^ one for end in (a, b) for one in np.eye(d, dtype=bool)]
            for choice in choices:
                z = 0.5 * (a + b)
                z[differ] = np.where(choice, most, least)
                starts += [z, z]
                aims += [self.found[3][i] for i in pair]
        if starts:
            self._take(np.array(starts), np.array(aims), True, stop)

    def _climb(self, starts: Floats, aims: Ints, weights: Floats | None) -> None:
        """Take in plans (S, L), moved to the local optima for weights (S, O), or as they are."""
        solver = self.solver
        moved = weights is not None
        towards = np.zeros((0, len(solver.forms[0]))) if weights is None else weights @ solver.forms
        kernels.climb(
            starts,
            aims,
            moved,
            towards,
            towards[:, 0] if weights is None else weights @ solver.per_money,
            solver.budget,
            solver.exactly,
            FINE * self._near,
            self.tradeoffs,
            self.cells,
            self.found,
            self.tables.arrays(),
        )

    def _refine(self, stop: Callable[[], bool]) -> None:
        """Take in plans in the middle of facets that are above what is attained, best for the facets' weights."""
        self.measure()
        if self.gap <= self.tolerance or stop():
            return
        facets, missed = self.attained.facets
        corners = self.values[facets]
        above = self.attained.above(corners.mean(axis=1))
        wide = np.ptp(corners, axis=1).max(axis=1) > LEAST_FACET / self.attained.side
        coarse = missed > self.attained.missed
        worth = np.flatnonzero(wide & (above > np.where(coarse, RAISED, -RAISED) * self._near))
        worth = worth[np.argsort(-above[worth] - coarse[worth], kind="stable")][:MOST_REFINED]
        if not len(worth) or len(self.z) + 2 * len(worth) > PLANS:
            return
        facets, corners = facets[worth], corners[worth]
        pairs = np.array(list(itertools.combinations(range(facets.shape[1]), 2)))
        plans = self.z[facets]
        long = np.linalg.norm(plans[:, pairs[:, 0]] - plans[:, pairs[:, 1]], axis=2).argmax(axis=1)
        edges = np.sort(np.take_along_axis(facets, pairs[long], axis=1), axis=1)
        edges, first = np.unique(edges, axis=0, return_index=True)
        known = len(self.z)
        middles = self.z[edges].mean(axis=1)
        self._climb(middles, self.found[3][edges[:, 0]], normals(corners[first]))
        self._climb(middles, self.found[3][edges[:, 0]], None)
        if len(self.z) == known:
            return
        self.attain(stop)

    def _spread(self, stop: Callable[[], bool]) -> None:
        """Look for more plans like those that are new, and take in what all attain."""
        neighbours, weighted, new = self.tradeoffs[4], self.found[3], self._seen
        self.attain()
        starts, aims = [], []
        for i, key in enumerate(self._keys(np.arange(new, len(self.z))), new):
            tried = self._tried.setdefault(key, np.zeros(len(neighbours), dtype=np.bool_))
            # The first neighbour is the plan's own weight.
            aim = neighbours[weighted[i], 1:]
            aim = aim[~tried[aim]]
            tried[aim] = True
            starts += [i] * len(aim)
            aims += aim.tolist()
        if len(self.z) + len(starts) > PLANS:
            starts = []
        for some in np.array_split(np.arange(len(starts)), len(starts) // MOST_CLIMBS + 1):
            if not len(some) or stop():
                break
            aimed = np.array(aims)[some]
            self._climb(self.z[np.array(starts)[some]], aimed, self.tradeoffs[0][aimed])
        self.attain(stop)
        self._refine(stop)

    def measure(self) -> None:
        """Measure what is attained, and what the half-spaces leave less what the boxes take off in each cell."""
        self.hypervolume = self._width * float((self.cells[2] - self._lowest).mean())
        over = self.patterns.cover()
        self.bound = min(self.bound, self.limit - self._width * float(np.maximum(self._hull - over, 0.0).mean()))

    def _alone(self, plans: Ints, keys: list[bytes]) -> list[int]:
        """Which of some plans are the first known in their small cells with the same lines on."""
        cells = np.round(self.values[plans] * DENSEST[self.values.shape[1]])
        alone = []
        for i, (key, cell) in enumerate(zip(keys, cells, strict=True)):
            own = key + cell.tobytes()
            if own not in self._held:
                self._held.add(own)
                alone.append(i)
        return alone

    def attain(self, stop: Callable[[], bool] | None = None) -> None:
        """Take in what new plans attain alone; where ``stop`` is given, blended too until it says so."""
        new = self._seen
        plans, values, count, weighted = self.found
        keep = new + np.flatnonzero(~self.attained.reach(self.values[new:]))
        keys = self._keys(keep)
        if stop is None:
            alone = self._alone(keep, keys)
            keep, keys = keep[alone], [keys[i] for i in alone]
        count[0] = self._seen = new + len(keep)
        for part in (plans, values, weighted):
            part[new : self._seen] = part[keep]
        self.attained.take(keys, new)
        if stop is not None:
            self.attained.blend(self.z, self.values, self.tradeoffs, self.tables.arrays(), stop)
        self.cells[2][:] = self.attained.cells(self.fine)


def left_in_cells(weights: Floats, levels: Floats, side: int, finer: int) -> Floats:
    """What half-spaces leave of each cell of a grid on average, from below: (C,).

    That is concave, so that on average over a part of a cell it is above the mean of its corners, and the floor
    bends upwards, so that it is above the floor in the middle.
    """
    n, parts = weights.shape[1], side * finer
    ends = np.linspace(-1.0, 1.0, parts + 1)
    nodes = _everywhere(ends, n)
    slopes = np.ascontiguousarray((weights[:, :-1] / weights[:, -1:]).T)
    order = bricks(nodes, 1.0 / parts)
    which, heights, grid = np.empty_like(order), np.empty(len(order)), np.empty((parts + 1,) * (n - 1))
    kernels.lowest(order, slopes, levels / weights[:, -1], nodes, 1.0 / parts, which, heights)
    grid.ravel()[order] = heights
    middles = 0.5 * (ends[:-1] + ends[1:])
    return coarse(np.maximum(mean_of_corners(grid), floor(middles, n)), finer)


def _everywhere(places: Floats, n: int) -> Floats:
    """All combinations of places, the last one fastest: (n - 1, C)."""
    return np.stack([each.ravel() for each in np.meshgrid(*[places] * (n - 1), indexing="ij")])


def _thinned(values: Floats, left: Ints, most: int) -> Ints:
    """Of some rows (N, O) ``most`` or fewer: of those in one small cell the one with the largest sum."""
    left = left[np.argsort(-values[left].sum(axis=1), kind="stable")]
    # As many cells a side as can be numbered, with room for rows a little beyond the scale.
    n, steps = values.shape[1], 4096
    while (4 * steps) ** n >= 2**63:
        steps //= 2
    while len(left) > most:
        cells = np.clip(np.round(values[left] * steps).astype(np.int64) + steps, 0, 4 * steps - 1)
        _, first = np.unique(cells @ (4 * steps) ** np.arange(n), return_index=True)
        left = left[np.sort(first)]
        steps //= 2
    return np.sort(left)
