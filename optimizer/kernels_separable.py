"""One budget, boxes, any curves: the best split of money over lines, with a bound (branch and bound in numba).

Udell & Boyd, Maximizing a Sum of Sigmoids (2013): over a box the sum of the lines' responses is at most the sum of
their concave over-estimators, whose best split is found by sorting slopes. Where that split is further from real
than the tolerance allows, the box is divided at the line with the worst gap. Over-estimators here are upper hulls
of the proven lines in the response tables; where a curve is concave, a grid point at the optimum closes the gap.

Shapes: L lines, G grid points, K KPIs, B boxes.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_split import fill, hull, polish, response_at
from .kernels_tables import insert, place

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDS = 40
# Rounds of a finer grid between two polishes: most end in the same place.
POLISH_EVERY = 4
DONE, FULL, STOPPED = 0, 1, 2
# Entries of the state that a call leaves for the next.
OPEN, VALUE, CLOSED, SEEN = range(4)


@njit(cache=True, nogil=True, error_model="numpy")
def best_split(
    budget: float,
    exactly: bool,
    tolerance: float,
    factors: Floats,
    per_money: float,
    boxes: Floats,
    bounds: Floats,
    state: Floats,
    best: Floats,
    family: Ints,
    terms: Floats,
    starts: Ints,
    constant: Floats,
    knots: Floats,
    grid: Floats,
    count: Ints,
    value: Floats,
    lines: Floats,
    work: Floats,
) -> int:
    """Find the best split of a budget and bound it, by branch and bound.

    Parameters
    ----------
    budget, exactly : float, bool
        Total spend, and whether all of it must be spent.
    tolerance : float
        Accepted distance of the best split from the bound.
    factors, per_money : (K,), float
        What one unit of each KPI's effect, and of spend, counts for.
    boxes, bounds : (B, 2, L), (B,)
        Room for open boxes and their bounds. The first ``state[OPEN]`` are there on entry; grid points all.
    state : (4,)
        Open boxes, value of the best split, largest bound of the boxes closed, boxes looked at; read and written,
        so that a call that ran out of room goes on.
    best : (L,)
        Best split so far; written.

    The other arguments are those of `kernels_tables.insert`.

    Returns
    -------
    int
        `DONE`, `FULL` (the tables need more room) or `STOPPED` (no room for boxes).
    """
    n_lines, room = grid.shape
    x, y = np.empty((n_lines, 2 * room)), np.empty((n_lines, 2 * room))
    corners, z, over = np.empty(n_lines, np.int64), np.empty(n_lines), np.empty(n_lines)
    lower, upper, split = grid[:, 0].copy(), np.empty(n_lines), np.empty(n_lines)
    for line in range(n_lines):
        upper[line] = grid[line, count[line] - 1]
    while True:
        n_open = int(state[OPEN])
        if n_open == 0:
            return DONE
        at = int(np.argmax(bounds[:n_open]))
        if bounds[at] - state[VALUE] <= tolerance:
            return DONE
        if n_open + 1 >= len(bounds):
            return STOPPED
        low, high = boxes[at, 0], boxes[at, 1]
        bound = bounds[at]
        for turn in range(ROUNDS):
            if np.max(count) + 2 >= room:
                bounds[at] = bound
                return FULL
            for line in range(n_lines):
                corners[line] = hull(
                    line, low[line], high[line], factors, per_money, grid, count, value, lines, x[line], y[line]
                )
            found, _ = fill(x, y, corners, budget, exactly, z, over)
            before, bound = bound, min(bound, found)
            if bound - state[VALUE] <= tolerance:
                break
            if turn % POLISH_EVERY == 0:
                split[:] = z
                worth = polish(
                    split,
                    lower,
                    upper,
                    budget,
                    exactly,
                    factors,
                    per_money,
                    family,
                    terms,
                    starts,
                    constant,
                    knots,
                    work,
                )
                if worth > state[VALUE]:
                    state[VALUE] = worth
                    best[:] = split
            new = 0
            for line in range(n_lines):
                for place_at in (z[line], split[line]):
                    if low[line] < place_at < high[line] and insert(
                        line, place_at, family, terms, starts, constant, knots, grid, count, value, lines, work
                    ):
                        new += 1
            gap = bound - state[VALUE]
            # A finer grid no longer helps where the hull spans a part that is not concave.
            if new == 0 or gap <= tolerance or (turn > 0 and before - bound < 0.25 * gap):
                break
        state[SEEN] += 1
        last = n_open - 1
        if bound - state[VALUE] <= tolerance:
            state[CLOSED] = max(state[CLOSED], bound)
            boxes[at], bounds[at] = boxes[last], bounds[last]
            state[OPEN] = last
            continue
        line, cut = _where_to_cut(
            low,
            high,
            z,
            over,
            factors,
            per_money,
            family,
            terms,
            starts,
            constant,
            knots,
            grid,
            count,
            value,
            lines,
            work,
        )
        if line < 0:
            bounds[at] = bound
            return STOPPED
        boxes[n_open] = boxes[at]
        boxes[at, 1, line], boxes[n_open, 0, line] = cut, cut
        bounds[at], bounds[n_open] = bound, bound
        keep = n_open + 1
        for i in (n_open, at):
            if np.sum(boxes[i, 0]) > budget * (1.0 + 1e-12) or (
                exactly and np.sum(boxes[i, 1]) < budget * (1.0 - 1e-12)
            ):
                keep -= 1
                boxes[i], bounds[i] = boxes[keep], bounds[keep]
        state[OPEN] = keep


@njit(cache=True, nogil=True, error_model="numpy")
def _where_to_cut(
    low: Floats,
    high: Floats,
    z: Floats,
    over: Floats,
    factors: Floats,
    per_money: float,
    family: Ints,
    terms: Floats,
    starts: Ints,
    constant: Floats,
    knots: Floats,
    grid: Floats,
    count: Ints,
    value: Floats,
    lines: Floats,
    work: Floats,
) -> tuple[int, float]:
    """The line whose over-estimate is furthest from real at a split, and a grid point inside its box."""
    worst, line, cut = -np.inf, -1, 0.0
    for i in range(len(z)):
        if not low[i] < high[i]:
            continue
        real, _ = response_at(i, z[i], factors, per_money, family, terms, starts, constant, knots, work)
        at = grid[i, place(grid[i], count[i], z[i])]
        if not low[i] < at < high[i]:
            at = 0.5 * (low[i] + high[i])
            insert(i, at, family, terms, starts, constant, knots, grid, count, value, lines, work)
            at = grid[i, place(grid[i], count[i], at)]
        if over[i] - real > worst and low[i] < at < high[i]:
            worst, line, cut = over[i] - real, i, at
    return line, cut
