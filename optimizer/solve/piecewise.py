"""A mixed-integer linear program over the response tables: it over-estimates any curves, so it bounds every plan.

Each line's range is cut into pieces over which its proven estimates are concave (for KPIs that count for a plan)
and convex (for those that count against it); a binary says which piece a line is in, and within it straight lines
hold the effect. Written as a union of polyhedra (disaggregated; Vielma, SIAM Review 57, 2015), so that a concave
curve needs no binary at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels_tables import OVER_LEFT, OVER_RIGHT, UNDER_LEFT, UNDER_RIGHT
from ..tables import ResponseTables
from . import highs
from .forms import Goal
from .problem import KEPT, Problem, switches_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# HiGHS ends within its feasibility tolerances of the true optimum: this share is added to its bound.
MARGIN = 1e-7
FAR = 1e4
# A new point beside a steep one is nearer than the last by this factor.
NEARER = 0.01
# A range that misses a whole number of packages by this share of one has it.
WHOLE = 1e-9


@dataclass(frozen=True)
class Piece:
    """A part of a line's range over which one set of straight lines holds.

    Attributes
    ----------
    line : int
        Which line.
    low, high : float
        Ends, scaled spend.
    over, under : tuple of (C, 2)
        By KPI: slope and intercept of lines that the effect is nowhere above, and nowhere below.
    on : bool
        Whether a line here counts as on.
    """

    line: int
    low: float
    high: float
    over: tuple[Floats, ...]
    under: tuple[Floats, ...]
    on: bool


class PiecewiseModel:
    """The program, built anew whenever the tables have learned something.

    Parameters
    ----------
    problem : Problem
        What to bound.
    tables : ResponseTables
        Its lines' responses over at least the box of the problem.
    """

    def __init__(self, problem: Problem, tables: ResponseTables) -> None:
        self.problem = problem
        self.tables = tables
        factors = np.array([form.kpis for form in (*problem.objectives, *problem.floors)])
        self._counts_for, self._counts_against = np.any(factors > 0, axis=0), np.any(factors < 0, axis=0)
        self._switches = switches_of(problem)
        n_lines = len(problem.lower)
        self._package = np.zeros(n_lines) if self._switches is None else self._switches.package
        self._tails: list[tuple[int, Floats, float]] = []
        if self._switches is not None:
            # The part of a range in which a line is on starts at a grid point.
            least = np.where(self._switches.decided, self._switches.least, 0.0)
            for line, at in enumerate(np.clip(least, problem.lower, problem.upper)):
                tables.add(line, float(at))

    def learn(self, z: Floats) -> int:
        """Add a plan (L,) to the tables, and tangents of floors over the worst draws; count new points."""
        new = sum(self.tables.add(line, float(at)) or self._steep(line, float(at)) for line, at in enumerate(z))
        tails = [index for index, form in enumerate(self.problem.floors) if form.tail is not None]
        if tails:
            state = self.problem.state(self.problem.beside(z))
            for index in tails:
                rises = state.room_rises[index]
                self._tails.append((index, rises, float(state.room[index] - rises @ state.z)))
        return new

    def _steep(self, line: int, z: float) -> bool:
        """Add a point beside one where a curve rises infinitely steeply: its lines are loose until one is near."""
        n = int(self.tables.count[line])
        grid = self.tables.grid[line, :n]
        at = int(np.searchsorted(grid, z, side="right")) - 1
        if at >= n - 1 or np.all(np.isfinite(self.tables.lines[:, line, OVER_LEFT, at])):
            return False
        return self.tables.add(line, float(grid[at] + NEARER * (grid[at + 1] - grid[at])))

    def maximise(
        self, goal: Goal, gap: float, seconds: float
    ) -> tuple[tuple[Floats, NDArray[np.bool_]] | None, float]:
        """Solve for a goal.

        Parameters
        ----------
        goal : Goal
            What is maximised.
        gap : float
            Where the solver may stop, in steps of the goal.
        seconds : float
            When it must.

        Returns
        -------
        choice : ((L,), (L,)) or None
            Scaled spend and which lines are on; keeps every linear rule, floors only as far as the lines know.
            None where time ran out first.
        bound : float
            No plan has a higher goal.

        Raises
        ------
        InfeasibleError
            If even the over-estimates cannot keep every rule: then no real plan can.
        SolverError
            If the solver failed.
        """
        pieces = [piece for line in range(len(self.problem.lower)) for piece in self._pieces(line)]
        rows = _Rows(self.problem, pieces, self._package)
        self._fill(rows, goal)
        x, bound = highs.maximise(rows.program(goal), gap, seconds)
        choice = None if x is None else rows.plan(x)
        return choice, rows.constant(goal) + bound + MARGIN * max(1.0, abs(bound))

    def _fill(self, rows: _Rows, goal: Goal) -> None:
        problem = self.problem
        rows.hold_together()
        rows.hold_effects()
        for row, limit, equal in zip(problem.A, problem.b, problem.equal, strict=True):
            rows.add(rows.spend(row), limit if equal else -np.inf, limit)
        for form in problem.floors:
            if form.tail is None:
                rows.add(rows.form(form), -form.constant, np.inf)
        for _, rises, room in self._tails:
            rows.add(rows.spend(rises), -room, np.inf)
        for index, form in enumerate(problem.objectives):
            at = rows.form(form)
            if goal.least is not None:
                rows.add(at, goal.least[index] - form.constant, np.inf)
            if goal.reference is not None:
                worst_off = at.copy()
                worst_off[rows.worst_off] = -1.0
                rows.add(worst_off, goal.reference[index] - form.constant, np.inf)
        if self._switches is not None:
            for _, mask, count in self._switches.most:
                rows.add(rows.count(mask), -np.inf, float(count))

    def _pieces(self, line: int) -> list[Piece]:
        """Cut a line's range where its estimates stop being concave (or convex, where they count against)."""
        switches, tables = self._switches, self.tables
        n = int(tables.count[line])
        grid, value, lines = tables.grid[line, :n], tables.value[:, line, :n], tables.lines[:, line]
        pieces = []
        least = 0.0
        if switches is not None and switches.decided[line]:
            # The grid may have its nearest point just below.
            least = float(switches.least[line]) - KEPT
            if grid[0] <= 0.0:
                pieces.append(Piece(line, 0.0, 0.0, *_level(value[:, 0]), False))
        first = start = int(np.searchsorted(grid, least))
        if first == n - 1 and not (n == 1 and pieces):
            pieces.append(Piece(line, float(grid[first]), float(grid[first]), *_level(value[:, first]), True))
        for i in range(first, n - 1):
            if i == n - 2 or not self._smooth(lines, i):
                pieces.append(self._piece(line, start, i + 1, grid, value, lines))
                start = i + 1
        return pieces

    def _smooth(self, lines: Floats, i: int) -> bool:
        """Whether the estimates go on concave (convex) from interval ``i`` to the next."""
        over = lines[:, OVER_RIGHT, i] >= lines[:, OVER_LEFT, i + 1]
        under = lines[:, UNDER_RIGHT, i] <= lines[:, UNDER_LEFT, i + 1]
        return bool(np.all(over | ~self._counts_for) and np.all(under | ~self._counts_against))

    def _piece(self, line: int, start: int, stop: int, grid: Floats, value: Floats, lines: Floats) -> Piece:
        over: list[Floats] = []
        under: list[Floats] = []
        for k in range(len(value)):
            sides = ((over, OVER_LEFT, OVER_RIGHT), (under, UNDER_LEFT, UNDER_RIGHT))
            for (side, left, right), used in zip(
                sides, (self._counts_for[k], self._counts_against[k]), strict=True
            ):
                slope = np.concatenate([lines[k, left, start:stop], lines[k, right, start:stop]])
                at = np.concatenate([np.arange(start, stop), np.arange(start + 1, stop + 1)])
                keep = np.isfinite(slope) & used
                slope, at = slope[keep], at[keep]
                side.append(np.column_stack([slope, value[k, at] - slope * grid[at]]))
        return Piece(line, float(grid[start]), float(grid[stop]), tuple(over), tuple(under), True)


def _level(value: Floats) -> tuple[tuple[Floats, ...], tuple[Floats, ...]]:
    """Lines over and under a single point, whose effects are known: (K,)."""
    level = tuple(np.array([[0.0, at]]) for at in value)
    return level, level


class _Rows:
    """Columns and rows of the program.

    Columns: a share for each piece (1 in the piece a line is in), the spend in it as a share of its upper end, the
    effects in it by KPI, the level of the worst-off objective, and the number of packages of each line that is
    sold in such. With spend itself for columns, over pieces as narrow as 1e-10 and as steep as 1e5, HiGHS 1.16 was
    seen to call a plan optimal that others beat by far.
    """

    def __init__(self, problem: Problem, pieces: list[Piece], package: Floats) -> None:
        self.problem = problem
        self.pieces = pieces
        self.package = package
        self.packed = np.flatnonzero(package)
        n, n_kpis = len(pieces), len(problem.size)
        self.line = np.array([piece.line for piece in pieces])
        self.low, self.high = (np.array([getattr(piece, end) for piece in pieces]) for end in ("low", "high"))
        self.unit = np.where(self.high > 0.0, self.high, 1.0)
        self.share, self.money = np.arange(n), n + np.arange(n)
        self.effect = 2 * n + np.arange(n_kpis * n).reshape(n_kpis, n)
        self.worst_off = 2 * n + n_kpis * n
        self.packages = self.worst_off + 1 + np.arange(len(self.packed))
        self.width = self.worst_off + 1 + len(self.packed)
        self._parts: list[tuple[Any, Any, Floats]] = []
        self.low_ends: list[float] = []
        self.high_ends: list[float] = []

    def add(self, row: Floats, low: float, high: float) -> None:
        """Add ``low <= row @ x <= high``."""
        at = np.flatnonzero(row)
        self._parts.append((np.full(len(at), len(self.low_ends)), at, row[at]))
        self.low_ends.append(low)
        self.high_ends.append(high)

    def add_many(self, columns: Ints, values: Floats, low: float, high: float) -> None:
        """Add rows of the same number of entries each: (R, E) columns and values."""
        rows = len(self.low_ends) + np.repeat(np.arange(len(columns)), columns.shape[1])
        self._parts.append((rows, columns.ravel(), values.ravel()))
        self.low_ends += [low] * len(columns)
        self.high_ends += [high] * len(columns)

    def hold_together(self) -> None:
        """Every line is in one of its pieces, and spends what that piece allows, in whole packages."""
        for line in range(len(self.problem.lower)):
            row = np.zeros(self.width)
            row[self.share[self.line == line]] = 1.0
            self.add(row, 1.0, 1.0)
        for column, packed in zip(self.packages, self.packed, strict=True):
            row = self.spend(np.eye(len(self.package))[packed])
            row[column] = -self.package[packed]
            self.add(row, 0.0, 0.0)
        columns = np.column_stack([self.money, self.share])
        ones = np.ones(len(self.pieces))
        self.add_many(columns, np.column_stack([ones, -self.high / self.unit]), -np.inf, 0.0)
        self.add_many(columns, np.column_stack([ones, -self.low / self.unit]), 0.0, np.inf)

    def hold_effects(self) -> None:
        """In each piece effects stay within its lines."""
        for index, piece in enumerate(self.pieces):
            for k in range(len(self.effect)):
                for lines, low, high in ((piece.over[k], -np.inf, 0.0), (piece.under[k], 0.0, np.inf)):
                    at = np.array([self.effect[k, index], self.money[index], self.share[index]])
                    values = np.column_stack([np.ones(len(lines)), -lines * (self.unit[index], 1.0)])
                    self.add_many(np.tile(at, (len(lines), 1)), values, low, high)

    def spend(self, factors: Floats) -> Floats:
        """A row with a factor for each line's spend (L,)."""
        row = np.zeros(self.width)
        row[self.money] = factors[self.line] * self.unit
        return row

    def form(self, form: Any) -> Floats:
        """A row that is a form less its constant."""
        row = self.spend(np.full(len(self.problem.lower), form.spend))
        row[self.effect] = form.kpis[:, None]
        return row

    def count(self, mask: NDArray[np.bool_]) -> Floats:
        """A row that counts the lines of a mask (L,) that are on."""
        row = np.zeros(self.width)
        on = np.array([piece.on for piece in self.pieces]) & mask[self.line]
        row[self.share[on]] = 1.0
        return row

    def goal(self, goal: Goal) -> Floats:
        """What is maximised, less its constant."""
        row = np.sum(
            [w * self.form(form) for w, form in zip(goal.weights, self.problem.objectives, strict=True)], 0
        )
        if goal.reference is not None:
            row[self.worst_off] += 1.0
        return row

    def constant(self, goal: Goal) -> float:
        """What `goal` leaves out."""
        return float(sum(w * f.constant for w, f in zip(goal.weights, self.problem.objectives, strict=True)))

    def domain(self) -> tuple[NDArray[np.bool_], Floats, Floats]:
        """Which columns are whole numbers, and the bounds of all."""
        lower, upper = np.full(self.width, -np.inf), np.full(self.width, np.inf)
        lower[self.share], upper[self.share] = 0.0, 1.0
        lower[self.money], upper[self.money] = 0.0, np.maximum(self.high / self.unit, 0.0)
        lower[self.worst_off], upper[self.worst_off] = -FAR, FAR
        integral = np.zeros(self.width, dtype=bool)
        several = np.bincount(self.line, minlength=len(self.problem.lower))[self.line] > 1
        integral[self.share[several]] = True
        integral[self.packages] = True
        size = self.package[self.packed]
        lower[self.packages] = 0.0
        upper[self.packages] = np.floor(self.problem.upper[self.packed] / size + WHOLE)
        return integral, lower, upper

    def program(self, goal: Goal) -> highs.Program:
        """All of it, for HiGHS."""
        from scipy.sparse import csr_array

        rows, columns, values = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        matrix = csr_array((values, (rows, columns)), shape=(len(self.low_ends), self.width))
        whole, lower, upper = self.domain()
        ends = np.array(self.low_ends), np.array(self.high_ends)
        return highs.Program(self.goal(goal), lower, upper, whole, matrix, *ends)

    def plan(self, x: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Scaled spend of each line, and whether it is on."""
        n = len(self.problem.lower)
        z = np.bincount(self.line, weights=x[self.money] * self.unit, minlength=n)
        z[self.packed] = self.package[self.packed] * np.round(x[self.packages])
        on = np.array([piece.on for piece in self.pieces]) & (x[self.share] > 0.5)
        return np.clip(z, self.problem.lower, self.problem.upper), np.bincount(self.line[on], minlength=n) > 0
