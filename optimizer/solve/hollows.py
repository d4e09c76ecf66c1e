"""Hollows of a front that is not convex, under one budget: what plans attain, and what none can.

Weighted sums find the plans on a front's hull and prove half-spaces around it; between two of them that differ in
which S-shaped lines are on, the front is hollow. Branch and bound over lines' ranges, for all weights at once
(`kernels_hollows`), bounds what is in there and finds plans on the way. What these attain is more than the plans
alone: plans with the same lines on can be blended, and where curves are concave a blend is worth at least the
blended objectives; where they are not, what it may fall short by is bounded and taken off.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from .. import kernels_attained
from .. import kernels_hollows as kernels
from ..kernels_tables import BEND
from ..tables import ResponseTables
from .sandwich import LEAST_WEIGHT, Sandwich
from .separable import SeparableSolver

Floats = NDArray[np.float64]

# By number of objectives: steps of the grid of weights, weights tried next to each, cells a side, and steps of the
# grid of attained heights in each cell.
SIZES = {2: (64, 3, 256, 32), 3: (14, 7, 36, 20), 4: (8, 10, 14, 8), 5: (6, 12, 7, 4)}
BOXES, PLANS, CUTS, MOST_CUTS, SPREADS = 4000, 40_000, 8, 64, 8
POINTS, ROOM = 13, 200
# A line that spends more than this, in money units, is on.
ON = 1e-9
# All choices of as many lines are tried between two plans.
MOST_MIXED = 4
# Steps of blends between neighbours on the hull.
BLENDS = 8
# A box is done with in a cell where it is above what is attained by less than this share of the tolerance.
NEAR = 0.3
# Over-estimates are refined, where curves are concave, to this share of that.
FINE = 0.5
# What a box may miss the budget by, as a share of it, before no split is in it.
MISS = 1e-12
# Where blends may miss more than this share of that, plans in their middle are taken in, so many times over.
WIDE, HALVED = 0.5, 3


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
        self.solver = solver
        problem, n = solver.problem, len(solver.problem.objectives)
        steps, neighbours, self.side, self.fine = SIZES[n]
        self.tables = ResponseTables(solver.tables.terms, problem.lower, problem.upper, POINTS)
        while self.tables.grid.shape[1] < ROOM:
            self.tables.grow()
        outside = np.array(sandwich.outside)
        outside = outside[(outside[:, :-1] >= 0).all(axis=1) & (outside[:, -2] > 0)]
        sums = outside[:, :-1].sum(axis=1)
        grid = np.maximum(even_weights(n, steps), LEAST_WEIGHT)
        weights = np.vstack([outside[:, :-1] / sums[:, None], grid / grid.sum(axis=1)[:, None]])
        known = len(outside)
        apart = np.linalg.norm(weights[:, None] - weights[None, known:], axis=2)
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
        middles = (np.arange(self.side) + 0.5) / self.side
        centres = np.stack(np.meshgrid(*[middles] * (n - 1), indexing="ij"), axis=-1).reshape(-1, n - 1)
        n_cells = len(centres)
        low = np.zeros(n_cells)
        corners = np.full((n_cells, 2 ** (n - 1)), -np.inf)
        self.cells: kernels.Cells = (centres, 0.5 / self.side, low, corners)
        lines = len(problem.lower)
        self.boxes: kernels.Boxes = (
            np.empty((BOXES, 2, lines)),
            np.empty((BOXES, len(weights))),
            np.empty((BOXES, len(weights)), dtype=np.bool_),
            np.empty((BOXES, n_cells), dtype=np.bool_),
            np.empty(BOXES),
            np.array([1]),
        )
        self.boxes[0][0] = problem.lower, problem.upper
        self.boxes[1][0] = np.inf
        self.boxes[1][0, :known] = -outside[:, -1] / sums
        self.boxes[2][0] = np.arange(len(weights)) < known
        self.boxes[3][0] = True
        self.found: kernels.Found = (
            np.empty((PLANS, lines)),
            np.empty((PLANS, n)),
            np.zeros(1, dtype=np.int64),
            np.empty(PLANS, dtype=np.int64),
        )
        self._heights = np.full((self.side * self.fine + 1) ** (n - 1), 0.0)
        # Lines whose curves bend: plans in which the same of these are on can be blended.
        terms = solver.tables.terms
        bends = np.add.reduceat(
            np.append(terms.table[BEND], 0.0), np.minimum(terms.starts[:-1], terms.table.shape[1])
        )
        bends[np.diff(terms.starts) == 0] = 0.0
        self._bending = bends.reshape(terms.family.shape).sum(axis=0) > 0
        # What the half-spaces leave in each cell, from below: that is concave, so where it is above zero at all
        # corners it is on average above their mean.
        ends = np.arange(self.side + 1) / self.side
        nodes = np.stack(np.meshgrid(*[ends] * (n - 1), indexing="ij"), axis=-1)
        planes = weights[:known]
        left = np.full(nodes.shape[:-1], 1.0)
        for w, level in zip(planes, self.boxes[1][0, :known], strict=True):
            np.minimum(left, (level - nodes @ w[:-1]) / w[-1], out=left)
        around = np.stack(
            [left[tuple(slice(i, i + self.side) for i in c)] for c in itertools.product((0, 1), repeat=n - 1)]
        )
        self._hull = np.where(around.min(axis=0) > 0, around.mean(axis=0), 0.0).ravel()
        self._cuts: list[tuple[int, float]] = [(-1, 0.0)] * BOXES
        self._groups: dict[bytes, list[int]] = {}
        self._tried: dict[bytes, NDArray[np.bool_]] = {}
        self._seen = 0
        self._wide: list[NDArray[np.int64]] = []
        for z, u in zip(sandwich.z, sandwich.values, strict=True):
            self._add(z, u)
        self.hypervolume, self.bound, self.limit = 0.0, sandwich.bound, sandwich.bound
        self._near = NEAR * tolerance * sandwich.bound

    @property
    def z(self) -> Floats:
        """Plans found: (F, L)."""
        return self.found[0][: self.found[2][0]]

    @property
    def values(self) -> Floats:
        """Their objectives: (F, O)."""
        return self.found[1][: self.found[2][0]]

    def picked(self, most: int) -> Floats:
        """Plans found that no other beats, ``most`` or fewer, spread over the front: (N, L)."""
        left = kernels_attained.unbeaten(self.values)
        steps = 4096
        while len(left) > most:
            # Of plans in one small cell the first.
            _, first = np.unique(np.round(self.values[left] * steps), axis=0, return_index=True)
            left = left[np.sort(first)]
            steps //= 2
        return self.z[left]

    @property
    def gap(self) -> float:
        """Share of the bound that is undecided."""
        return max(0.0, (self.bound - self.hypervolume) / self.bound)

    def _key(self, plan: int) -> bytes:
        """Which lines are on in a plan, of those whose curves bend."""
        return (self.found[0][plan][self._bending] > ON).tobytes()

    def _add(self, z: Floats, u: Floats) -> None:
        plans, values, count, weighted = self.found
        plans[count[0]], values[count[0]] = z, u
        weighted[count[0]] = np.argmin(np.abs(self.boxes[1][0] - self.tradeoffs[0] @ u))
        count[0] += 1

    def close(self, tolerance: float, stop: Callable[[], bool]) -> None:
        """Cut boxes until the gap is at most ``tolerance``, nothing is left to cut, or ``stop`` says so."""
        cuts, more = CUTS, True
        self._mix()
        self._spread()
        self._bound(0)
        while True:
            self._spread()
            self.measure()
            if self.gap <= tolerance or stop() or not more:
                return
            more = self._cut(cuts, stop)
            cuts = min(2 * cuts, MOST_CUTS)

    def _mix(self) -> None:
        """Look between neighbours on the hull: at blends, and at plans with some of the lines on that one has.

        Where they differ in more than `MOST_MIXED` lines, one is changed at a time.
        """
        pairs = {
            tuple(sorted(pair)) for f in _facets(self.values).tolist() for pair in itertools.combinations(f, 2)
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
        blended = np.arange(1, BLENDS) / BLENDS
        ends = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
        first, second = self.z[ends[:, 0]], self.z[ends[:, 1]]
        between = first[:, None] + blended[:, None] * (second - first)[:, None]
        self._climb(between.reshape(-1, self.z.shape[1]), np.repeat(self.found[3][ends[:, 0]], BLENDS - 1), False)
        if starts:
            plans, aimed = np.array(starts), np.array(aims)
            # With none of the lines on there is nothing to bring up to the budget.
            some = plans.sum(axis=1) > 0
            plans, aimed = plans[some], aimed[some]
            problem, budget = self.solver.problem, self.solver.budget
            plans = np.clip(plans * (budget / plans.sum(axis=1))[:, None], problem.lower, problem.upper)
            kept = np.abs(plans.sum(axis=1) - budget) <= MISS * budget
            self._climb(plans[kept], aimed[kept], True)

    def _climb(self, starts: Floats, aims: NDArray[np.int64], moved: bool) -> None:
        """Take in plans (S, L), moved to the local optima for the weights ``aims`` (S,) or as they are."""
        solver = self.solver
        kernels.climb(
            starts,
            aims,
            moved,
            solver.budget,
            solver.exactly,
            FINE * self._near,
            self.tradeoffs,
            self.cells,
            self.found,
            self.tables.arrays(),
        )

    def _halve(self) -> None:
        """Take in plans in the middle of blends that may miss much."""
        for _ in range(HALVED):
            if not self._wide or len(self.z) + sum(map(len, self._wide)) > PLANS // 2:
                break
            facets = np.concatenate(self._wide)
            self._climb(self.z[facets].mean(axis=1), self.found[3][facets[:, 0]], False)
            self.attain()

    def _spread(self) -> None:
        """Look for more plans like those that are new, and take in what all attain."""
        neighbours, weighted = self.tradeoffs[4], self.found[3]
        for _ in range(SPREADS):
            new = self._seen
            self.attain()
            starts, aims = [], []
            for i in range(new, len(self.z)):
                tried = self._tried.setdefault(self._key(i), np.zeros(len(neighbours), dtype=np.bool_))
                # The first neighbour is the plan's own weight.
                aim = neighbours[weighted[i], 1:]
                aim = aim[~tried[aim]]
                tried[aim] = True
                starts += [i] * len(aim)
                aims += aim.tolist()
            if not starts or len(self.z) + len(starts) > PLANS:
                break
            self._climb(self.z[starts], np.array(aims), True)
        self.attain()
        self._halve()

    def _bound(self, box: int) -> None:
        """Bound a box, and remember where to cut it."""
        solver = self.solver
        if self.tables.count.max() > self.tables.grid.shape[1] - 4:
            self.tables.grow()
        self._cuts[box] = kernels.bound_box(
            box,
            solver.budget,
            solver.exactly,
            self._near,
            FINE * self._near,
            self.tradeoffs,
            self.cells,
            self.boxes,
            self.found,
            self.tables.arrays(),
        )

    def _cut(self, most: int, stop: Callable[[], bool]) -> bool:
        """Cut boxes, those first that are furthest above what is attained; tell whether there are more."""
        ranges, planes, own, alive, excess, count = self.boxes
        room = len(self.found[0]) - 2 * planes.shape[1]
        for _ in range(most):
            n = int(count[0])
            at = int(np.argmax(excess[:n])) if n else 0
            if n == 0 or excess[at] <= 0 or n == BOXES or self.found[2][0] > room:
                return False
            if stop():
                return True
            line, cut = self._cuts[at]
            cut = self._grid_point(line, cut) if line >= 0 else np.nan
            if not ranges[at, 0, line] < cut < ranges[at, 1, line]:
                # Nothing to cut: what is left is for finer weights or more plans.
                excess[at] = 0.0
                continue
            ranges[n], planes[n], alive[n] = ranges[at], planes[at], alive[at]
            own[n] = own[at] = False
            ranges[at, 1, line] = ranges[n, 0, line] = cut
            count[0] = n + 1
            for i in (n, at):
                empty = self._empty(i)
                if not empty:
                    self._bound(i)
                if empty or not alive[i].any():
                    self._drop(i)
        return True

    def _grid_point(self, line: int, cut: float) -> float:
        """The grid point at a cut: a new one, or the one that it is next to."""
        self.tables.add(line, cut)
        grid = self.tables.grid[line, : self.tables.count[line]]
        return float(grid[np.argmin(np.abs(grid - cut))])

    def _empty(self, box: int) -> bool:
        """Whether no split of the budget is within a box."""
        least, most = self.boxes[0][box].sum(axis=1)
        budget = self.solver.budget
        return bool(least > budget * (1.0 + MISS) or (self.solver.exactly and most < budget * (1.0 - MISS)))

    def _drop(self, box: int) -> None:
        """Put the last box in the place of one."""
        last = int(self.boxes[5][0]) - 1
        for part in self.boxes[:5]:
            part[box] = part[last]
        self._cuts[box] = self._cuts[last]
        self.boxes[5][0] = last

    def measure(self) -> None:
        """Measure what is attained, and what the half-spaces leave less what the boxes take off in each cell."""
        self.hypervolume = float(self.cells[2].mean())
        over = kernels.cover(self.tradeoffs, self.cells, self.boxes)
        self.bound = self.limit - float(np.maximum(self._hull - over, 0.0).mean())

    def attain(self) -> None:
        """Take in what new plans attain, alone and blended."""
        n = self.values.shape[1]
        plans, values = self.z, self.values
        changed = set()
        self._wide = []
        for i in range(self._seen, len(plans)):
            key = self._key(i)
            self._groups.setdefault(key, []).append(i)
            changed.add(key)
        self._seen = len(plans)
        for key in changed:
            group = np.array(self._groups[key])
            facets = group[_facets(values[group])]
            if len(facets):
                corners = kernels_attained.blends(facets, plans, values, self.tradeoffs, self.tables.arrays())
                missed = (values[facets[:, 0]] - corners[:, 0]).max(axis=1)
                wide = np.ptp(values[facets], axis=1).max(axis=1) > 1.0 / self.side
                self._wide.append(facets[wide & (missed > WIDE * self._near)])
                kernels_attained.raster(corners, self.side * self.fine, self._heights)
        nodes = self.side * self.fine + 1
        below = values[(values > 0).all(axis=1)]
        index = np.minimum((below[:, :-1] * (nodes - 1)).astype(int), nodes - 1)
        np.maximum.at(self._heights, np.ravel_multi_index(tuple(index.T), (nodes,) * (n - 1)), below[:, -1])
        reached = self._heights.reshape((nodes,) * (n - 1))
        for axis in range(n - 1):
            np.maximum.accumulate(np.flip(reached, axis), axis=axis, out=np.flip(reached, axis))
        # In each small cell no less is attained than at its far corner.
        far = reached[(slice(1, None),) * (n - 1)]
        shape = tuple(itertools.chain.from_iterable((self.side, self.fine) for _ in range(n - 1)))
        self.cells[2][:] = far.reshape(shape).mean(axis=tuple(range(1, 2 * (n - 1), 2))).ravel()


def _facets(values: Floats) -> NDArray[np.int64]:
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


def even_weights(n: int, steps: int) -> Floats:
    """Weights (W, n) that are whole multiples of ``1 / steps`` and add up to one."""
    bars = itertools.combinations(range(steps + n - 1), n - 1)
    return np.array([np.diff([-1, *each, steps + n - 1]) - 1 for each in bars]) / steps
