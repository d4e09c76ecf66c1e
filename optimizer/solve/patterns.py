"""Boxes of lines' ranges that bound what plans in a front's hollows can attain: branch and bound on which are on.

Each line's range is cut where its curves stop bending upwards, so that a box says of some lines that they are on,
off, or between. What any plan of a box comes to is bounded for all weights at once (`kernels_patterns`); boxes are
cut at the line that lowers them most in the cell where they are furthest above what plans attain.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .. import kernels_hollows as kernels
from .. import kernels_patterns
from ..kernels_attained import Tradeoffs
from ..kernels_tables import BEND, OFFSET, RATE, place
from ..tables import ResponseTables
from .separable import SeparableSolver

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BOXES = 40_000
# Lines whose curves bend are cut into parts from the first bend to the last: so many of all lines together, but no
# fewer and no more than these of each.
ALL_PARTS, LEAST_PARTS, MOST_PARTS = 100, 5, 24
# Grid points of a line: so many from its first bend, each as much further on.
POINTS, FINEST = 13, 110
# Prices of money tried at each weight: they differ from the best there by up to this factor's logarithm over the
# number of lines, in steps of about so much. The fewer lines, the more it matters that one is off.
REACH, STEP, MOST_STEPS = 7.0, 0.085, 30
# Bends at once are taken to be a little apart.
SPREAD = 1.2
# So many weights are written between two looks at the clock.
WRITTEN = 100
# Cells where a box may be above what is attained (N,), its planes that are lowest in their middles, and how high.
Open = tuple[Ints, Ints, Floats]


class Patterns:
    """Boxes, and what no plan in them exceeds.

    Parameters
    ----------
    solver : SeparableSolver
        Of the problem on the scale on which the front is measured.
    tradeoffs
        Weights at which boxes are bounded.
    levels : (W,)
        What is known of all plans at these weights; infinite where nothing is.
    cells
        Cells of the scale, and what plans attain there (`kernels_hollows`).
    near : float
        A box is done with in a cell where it is above what is attained by less.
    """

    def __init__(
        self,
        solver: SeparableSolver,
        tradeoffs: Tradeoffs,
        levels: Floats,
        cells: kernels.Cells,
        near: float,
    ) -> None:
        self.solver, self.tradeoffs, self.cells, self.near = solver, tradeoffs, cells, near
        problem = solver.problem
        lines, n_weights = len(problem.lower), len(levels)
        self.tables = ResponseTables(solver.tables.terms, problem.lower, problem.upper, POINTS)
        ends = self._parts()
        steps = math.ceil(REACH / lines / STEP - 1e-9)
        shares = np.linspace(-1.0, 1.0, 2 * min(steps, MOST_STEPS) + 1)
        self._prices = np.expm1(np.sign(shares) * np.abs(shares) ** 1.5 * REACH / lines)
        n_prices = len(shares)
        rows = (lines, ends.shape[1], n_weights * n_prices)
        self.peaks: kernels_patterns.Peaks = (np.empty((n_weights, n_prices)), np.empty(rows), np.empty(rows))
        weights = tradeoffs[0]
        self.slopes = np.ascontiguousarray((weights[:, :-1] / weights[:, -1:]).T)
        self.count = 1
        self.spans = np.zeros((BOXES, 2, lines), dtype=np.int64)
        self.spans[0, 1] = np.maximum((np.diff(ends, axis=1) > 0).sum(axis=1) - 1, 0)
        self.levels = np.empty((BOXES, n_weights))
        self.levels[0] = levels
        self.excess = np.zeros(BOXES)
        n_cells = len(cells[2])
        self.open: list[Open] = [
            (bricks(cells[0], cells[1]), np.zeros(n_cells, dtype=np.int64), np.full(n_cells, np.inf))
        ]
        self._sums = np.empty(rows[2])
        # Plans to start from, and the weights that they are for.
        self.starts: list[tuple[Floats, Ints]] = []
        self._cuts: list[tuple[int, int]] = [(-1, 0)]
        self.ends = ends

    def _parts(self) -> Ints:
        """Cut lines' ranges into parts; return the grid points at their ends, (L, M + 1)."""
        problem, terms = self.solver.problem, self.solver.tables.terms
        n_kpis, n_lines = terms.family.shape
        table = terms.table
        n_parts = min(max(ALL_PARTS // n_lines, LEAST_PARTS), MOST_PARTS)
        cuts = np.full((n_lines, n_parts - 1), np.nan)
        points = np.full((n_lines, FINEST), np.nan)
        for line in range(n_lines):
            bends: list[float] = []
            for k in range(n_kpis):
                own = table[:, terms.starts[k * n_lines + line] : terms.starts[k * n_lines + line + 1]]
                own = own[:, (own[BEND] > 0) & (own[RATE] > 0)]
                bends += ((own[BEND] - own[OFFSET]) / own[RATE]).tolist()
            inside = [b for b in bends if problem.lower[line] < b < problem.upper[line]]
            if not inside:
                continue
            first, last = min(inside) / SPREAD, max(inside) * SPREAD
            # With few parts what is below the first bend is one; it is as good as off.
            below = (n_parts - LEAST_PARTS) // 2
            low = problem.lower[line]
            cuts[line, :below] = low + (first - low) * np.arange(1, below + 1) / (below + 1)
            cuts[line, below:] = np.geomspace(first, last, n_parts - 1 - below)
            points[line] = np.geomspace(0.5 * first, problem.upper[line], FINEST)
        while self.tables.grid.shape[1] < POINTS + n_parts + FINEST + 4:
            self.tables.grow()
        for column in (*cuts.T, *points.T):
            self.tables.insert(np.ascontiguousarray(column))
        ends = np.empty((n_lines, n_parts + 1), dtype=np.int64)
        for line in range(n_lines):
            grid, n = self.tables.grid[line], int(self.tables.count[line])
            at = [0 if np.isnan(c) else int(place(grid, n, c)) for c in cuts[line]]
            inner = sorted({a for a in at if 0 < a < n - 1})
            # Parts that are none come last.
            ends[line] = [0, *inner, *[n - 1] * (n_parts - len(inner))]
        return ends

    def compile(self) -> None:
        """Have all kernels compiled: call each once, with one weight where it is slow."""
        self._write(0, 1)
        none = np.empty(0, dtype=np.int64)
        self.bound(self.spans[0], self.levels[0].copy(), none)
        self._look(self.spans[0], none, 0, np.full(len(self.tradeoffs[0]), np.inf))
        kernels.cover(none, none, np.empty(0), self.slopes, self.cells[1], self.cells[3])

    def begin(self, stop: Callable[[], bool]) -> bool:
        """Bound the box of all plans, unless ``stop`` says so before; tell whether it is."""
        n_weights = len(self.tradeoffs[0])
        for first in range(0, n_weights, WRITTEN):
            if stop():
                return False
            self._write(first, min(first + WRITTEN, n_weights))
        self._bound_box(0, self.open[0][0])
        return True

    def _write(self, first: int, behind: int) -> None:
        """Write what lines come to at the weights from the ``first`` on."""
        kernels_patterns.write_peaks(
            self.ends,
            self._prices,
            self.solver.budget,
            self.solver.exactly,
            self.tradeoffs,
            self.tables.arrays(),
            (first, behind),
            self.peaks,
        )

    def _bound_box(self, box: int, some: Ints) -> None:
        """Bound a box in some cells, and remember where to cut it."""
        self.open[box], self.excess[box], self._cuts[box] = self.bound(self.spans[box], self.levels[box], some)

    def bound(self, span: Ints, levels: Floats, some: Ints) -> tuple[Open, float, tuple[int, int]]:
        """Bound a box (2, L) in some cells, where it may be above what is attained.

        Parameters
        ----------
        levels : (W,)
            What is known of it at each weight; lowered.

        Returns
        -------
        Open, float, (line, part)
            Where it is above, how far in all cells together, and where to cut it.
        """
        bounds = np.full(len(levels), np.inf)
        kernels_patterns.levels(span, self.solver.budget, self.tradeoffs[3], self.peaks, self._sums, bounds)
        np.minimum(levels, bounds, out=levels)
        wanted = np.zeros(len(levels), dtype=np.bool_)
        planes = levels / self.tradeoffs[0][:, -1]
        left = kernels.where_above(some, self.near, self.slopes, planes, self.cells, wanted)
        if not len(left[0]):
            return left, 0.0, (-1, 0)
        above = left[2] - self.cells[2][left[0]]
        worst = int(left[0][np.argmax(above)])
        return left, float(above.sum()), self._look(span, np.flatnonzero(wanted), worst, bounds)

    def _look(self, span: Ints, some: Ints, worst: int, bounds: Floats) -> tuple[int, int]:
        """Note the plans that bound a box (2, L) at ``some`` weights; return where to cut it for a cell."""
        budget, z = self.solver.budget, np.empty((len(some), span.shape[1]))
        kernels_patterns.splits(span, some, budget, self.peaks, self._sums, z)
        self.starts.append((z, some))
        return kernels_patterns.line_to_cut(
            span,
            np.ascontiguousarray(self.cells[0][:, worst]),
            0.1 * self.near,
            budget,
            self.tradeoffs,
            self.peaks,
            self._sums,
            bounds,
        )

    def cut(self, most: int, stop: Callable[[], bool]) -> bool:
        """Cut boxes, those first that are furthest above what is attained; tell whether there are more."""
        for _ in range(most):
            n = self.count
            at = int(np.argmax(self.excess[:n])) if n else 0
            if n == 0 or self.excess[at] <= 0 or n == BOXES:
                return False
            if stop():
                return True
            line, part = self._cuts[at]
            if line < 0:
                # Nothing to cut: what is left is for finer weights or more plans.
                self.excess[at] = 0.0
                continue
            some = self.open[at][0]
            self.spans[n], self.levels[n] = self.spans[at], self.levels[at]
            self.spans[at, 1, line], self.spans[n, 0, line] = part, part + 1
            self.count = n + 1
            self.open.append(self.open[at])
            self._cuts.append((-1, 0))
            for i in (n, at):
                self._bound_box(i, some)
                if not len(self.open[i][0]):
                    self._drop(i)
        return True

    def _drop(self, box: int) -> None:
        """Put the last box in the place of one."""
        self.count -= 1
        for part in (self.spans, self.levels, self.excess):
            part[box] = part[self.count]
        self.open[box], self._cuts[box] = self.open[-1], self._cuts[-1]
        self.open.pop()
        self._cuts.pop()

    def settle(self) -> None:
        """Be done with boxes where plans by now attain next to as much."""
        _, half, low, corners = self.cells
        for box in reversed(range(self.count)):
            some, which, heights = self.open[box]
            above = heights - low[some]
            left = above > self.near
            if not left.all():
                done = ~left
                kernels.cover(some[done], which[done], heights[done], self.slopes, half, corners)
                self.open[box] = some[left], which[left], heights[left]
            # A box that cannot be cut stays so.
            self.excess[box] = above[left].sum() if self._cuts[box][0] >= 0 else 0.0
            if not left.any():
                self._drop(box)

    def cover(self) -> Floats:
        """The highest that any plan may come to, on average over each cell: (C,)."""
        self.settle()
        reached = self.cells[3].copy()
        for one in self.open:
            kernels.cover(*one, self.slopes, self.cells[1], reached)
        return np.asarray(reached.mean(axis=1))


def bricks(places: Floats, half: float) -> Ints:
    """Order of places (N, C), ``2 * half`` apart: those in a brick of `TOGETHER` come one after another."""
    width = round(kernels.TOGETHER ** (1.0 / len(places))) * 2.0 * half
    return np.lexsort(np.floor((places + 1.0) / width + 1e-9)[::-1])
