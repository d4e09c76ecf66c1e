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

BOXES = 4000
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
        self.boxes: kernels.Boxes = (
            np.zeros((BOXES, 2, lines), dtype=np.int64),
            np.empty((BOXES, n_weights)),
            np.empty((BOXES, len(cells[2])), dtype=np.bool_),
            np.empty(BOXES),
            np.array([1]),
        )
        spans, planes, alive, _, _ = self.boxes
        spans[0, 1] = np.maximum((np.diff(ends, axis=1) > 0).sum(axis=1) - 1, 0)
        planes[0], alive[0] = levels, True
        self._sums = np.empty(rows[2])
        # Plans to start from, and the weights that they are for.
        self.starts: list[tuple[Floats, Ints]] = []
        self._cuts: list[tuple[int, int]] = [(-1, 0)] * BOXES
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
        self._write(1)
        spans, _, alive, _, count = self.boxes
        alive[1], spans[1] = False, 0
        self.bound(1)
        self._look(spans[1], np.empty(0, dtype=np.int64), 0, np.full(len(self.tradeoffs[0]), np.inf))
        count[0] = 0
        self.cover()
        count[0] = 1

    def begin(self) -> None:
        """Bound the box of all plans."""
        self._write(len(self.tradeoffs[0]))
        self.bound(0)

    def _write(self, weights: int) -> None:
        """Write what lines come to at the first ``weights``."""
        prices, best, spent = self.peaks
        kernels_patterns.write_peaks(
            self.ends,
            self._prices,
            self.solver.budget,
            self.solver.exactly,
            self.tradeoffs,
            self.tables.arrays(),
            (prices[:weights], best, spent),
        )

    def bound(self, box: int) -> None:
        """Bound a box, and remember where to cut it."""
        spans, planes = self.boxes[:2]
        budget, bounds = self.solver.budget, np.full(planes.shape[1], np.inf)
        kernels_patterns.levels(spans[box], budget, self.tradeoffs[3], self.peaks, self._sums, bounds)
        np.minimum(planes[box], bounds, out=planes[box])
        wanted = np.zeros(planes.shape[1], dtype=np.bool_)
        worst = kernels.where_above(box, self.near, wanted, self.tradeoffs, self.cells, self.boxes)
        self._cuts[box] = (-1, 0)
        if worst < 0:
            return
        self._cuts[box] = self._look(spans[box], np.flatnonzero(wanted), worst, bounds)

    def _look(self, span: Ints, some: Ints, worst: int, bounds: Floats) -> tuple[int, int]:
        """Note the plans that bound a box (2, L) at ``some`` weights; return where to cut it for a cell."""
        budget, z = self.solver.budget, np.empty((len(some), span.shape[1]))
        kernels_patterns.splits(span, some, budget, self.peaks, self._sums, z)
        self.starts.append((z, some))
        return kernels_patterns.line_to_cut(
            span,
            self.cells[0][worst],
            0.1 * self.near,
            budget,
            self.tradeoffs,
            self.peaks,
            self._sums,
            bounds,
        )

    def cut(self, most: int, stop: Callable[[], bool]) -> bool:
        """Cut boxes, those first that are furthest above what is attained; tell whether there are more."""
        spans, planes, alive, excess, count = self.boxes
        for _ in range(most):
            n = int(count[0])
            at = int(np.argmax(excess[:n])) if n else 0
            if n == 0 or excess[at] <= 0 or n == BOXES:
                return False
            if stop():
                return True
            line, part = self._cuts[at]
            if line < 0:
                # Nothing to cut: what is left is for finer weights or more plans.
                excess[at] = 0.0
                continue
            spans[n], planes[n], alive[n] = spans[at], planes[at], alive[at]
            spans[at, 1, line], spans[n, 0, line] = part, part + 1
            count[0] = n + 1
            for i in (n, at):
                self.bound(i)
                if not alive[i].any():
                    self._drop(i)
        return True

    def _drop(self, box: int) -> None:
        """Put the last box in the place of one."""
        last = int(self.boxes[4][0]) - 1
        for part in self.boxes[:4]:
            part[box] = part[last]
        self._cuts[box] = self._cuts[last]
        self.boxes[4][0] = last

    def cover(self) -> Floats:
        """The highest that any plan may come to, on average over each cell: (C,)."""
        return np.asarray(kernels.cover(self.tradeoffs, self.cells, self.boxes))
