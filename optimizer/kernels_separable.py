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

from .kernels_polish import polish, responses
from .kernels_split import Hulls, fill, new_hulls, update_hulls
from .kernels_tables import Tables, apart, insert, number_twins, place

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Of the box at hand: the split its over-estimates prefer, what they and the responses are there, slopes.
Split = tuple[Floats, Floats, Floats, Floats]

ROUNDS = 40
# Rounds of a finer grid between two polishes: most end in the same place.
POLISH_EVERY = 2
# A polish ends when it gains less than this share of the tolerance.
ENOUGH = 1e-2
# What a box may miss the budget by, as a share of it, before no split is in it.
MISS = 1e-12
DONE, FULL, STOPPED = 0, 1, 2
# In place of a line to cut.
NOWHERE, NO_ROOM = -1, -2
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
    tables: Tables,
) -> int:
    """Find the best split of a budget and bound it, by branch and bound.

    Of splits that only swap lines that nothing tells apart one is looked at: the first of them gets most.

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
    tables
        The response tables, from end to end of the first box: `kernels_tables.insert`.

    Returns
    -------
    int
        `DONE`, `FULL` (the tables need more room) or `STOPPED` (no room for boxes).
    """
    n_lines, room = tables[5].shape
    hulls, twins = new_hulls(n_lines, room), number_twins(tables)
    split = np.empty(n_lines), np.empty(n_lines), np.empty(n_lines), np.empty(n_lines)
    while True:
        n_open, at = int(state[OPEN]), 0
        for i in range(1, n_open):
            at = i if bounds[i] > bounds[at] else at
        if n_open == 0 or bounds[at] - state[VALUE] <= tolerance:
            # Within the tolerance there may still be a step to the local optimum.
            for line in range(n_lines):
                split[0][line] = best[line]
            worth = polish(split[0], budget, exactly, ENOUGH * tolerance, factors, per_money, tables)
            _keep(split[0], worth, state, best)
            return DONE
        if n_open + 1 >= len(bounds):
            return STOPPED
        bounds[at], line, cut = _tighten(
            boxes[at],
            bounds[at],
            budget,
            exactly,
            tolerance,
            factors,
            per_money,
            state,
            best,
            split,
            twins,
            hulls,
            tables,
        )
        if line == NO_ROOM:
            return FULL
        state[SEEN] += 1
        if bounds[at] - state[VALUE] <= tolerance:
            state[CLOSED] = max(state[CLOSED], bounds[at])
            _copy(n_open - 1, at, boxes, bounds)
            state[OPEN] = n_open - 1
            continue
        if line == NOWHERE:
            return STOPPED
        _copy(at, n_open, boxes, bounds)
        boxes[at, 1, line], boxes[n_open, 0, line] = cut, cut
        _order_twins(line, cut, twins, boxes[at], boxes[n_open], tables)
        keep = n_open + 1
        for i in (n_open, at):
            least, most = 0.0, 0.0
            for j in range(n_lines):
                least += boxes[i, 0, j]
                most += boxes[i, 1, j]
            if least > budget * (1.0 + MISS) or (exactly and most < budget * (1.0 - MISS)):
                keep -= 1
                _copy(keep, i, boxes, bounds)
        state[OPEN] = keep


@njit(cache=True, nogil=True, error_model="numpy")
def _order_twins(line: int, cut: float, twins: Ints, below: Floats, above: Floats, tables: Tables) -> None:
    """Where a line is cut, its twins after it get no more than it below the cut, those before it no less above.

    Boxes end at grid points: the nearest ones that leave nothing out.
    """
    grid, count = tables[5], tables[6]
    for i in range(len(twins)):
        if twins[i] != twins[line] or i == line:
            continue
        at = place(grid[i], count[i], cut)
        if i > line:
            at = at if grid[i, at] >= cut else at + 1
            below[1, i] = max(min(below[1, i], grid[i, at]), below[0, i])
        else:
            above[0, i] = min(max(above[0, i], grid[i, at]), above[1, i])


@njit(cache=True, nogil=True, error_model="numpy")
def _copy(source: int, target: int, boxes: Floats, bounds: Floats) -> None:
    bounds[target] = bounds[source]
    for end in range(2):
        for line in range(boxes.shape[2]):
            boxes[target, end, line] = boxes[source, end, line]


@njit(cache=True, inline="always", nogil=True, error_model="numpy")
def _tighten(
    box: Floats,
    bound: float,
    budget: float,
    exactly: bool,
    tolerance: float,
    factors: Floats,
    per_money: float,
    state: Floats,
    best: Floats,
    split: Split,
    twins: Ints,
    hulls: Hulls,
    tables: Tables,
) -> tuple[float, int, float]:
    """Refine the grid where a box's over-estimates put money, until that no longer helps.

    Returns
    -------
    bound : float
        Of the box.
    line, cut : int, float
        Where to cut it: the line whose over-estimate is furthest from real, and a grid point inside; `NOWHERE` if
        no line has one, `NO_ROOM` if the tables need more room first.
    """
    z, over, real, slope = split
    x, y, corners, _ = hulls
    count = tables[6]
    n_lines, room = tables[5].shape
    polished, new = np.empty(n_lines), np.empty(n_lines)
    for turn in range(ROUNDS):
        # Two points a round, and one where the box is cut.
        for line in range(n_lines):
            if count[line] + 3 > room:
                return bound, NO_ROOM, 0.0
        update_hulls(box[0], box[1], factors, per_money, tables, hulls)
        found, price = fill(x, y, corners, budget, exactly, z, over)
        before, bound = bound, min(bound, found)
        if bound - state[VALUE] <= tolerance:
            return bound, NOWHERE, 0.0
        worth = responses(z, factors, per_money, tables, real, slope)
        _keep(z, worth, state, best)
        added = 0
        if turn % POLISH_EVERY == 0:
            for line in range(n_lines):
                polished[line] = z[line]
            worth = polish(polished, budget, exactly, ENOUGH * tolerance, factors, per_money, tables)
            _keep(polished, worth, state, best)
            for line in range(n_lines):
                inside = box[0, line] < polished[line] < box[1, line]
                new[line] = polished[line] if inside else np.nan
            added += insert(new, tables)
        gap = bound - state[VALUE]
        for line in range(n_lines):
            # Lines with less than half their share of the gap are near enough.
            far, at = over[line] - real[line] > 0.5 * gap / n_lines, z[line]
            if far and at <= box[0, line] and corners[line] > 1:
                at += _beside_end(price, real[line], x[line], y[line])
            new[line] = at if far and box[0, line] < at < box[1, line] else np.nan
        added += insert(new, tables)
        # A finer grid no longer helps where the hull spans a part that is not concave.
        if added == 0 or gap <= tolerance or (turn > 0 and before - bound < gap):
            break
    line, cut = _where_to_cut(box, split, tables)
    for i in range(n_lines):
        new[i] = cut if line >= 0 and twins[i] == twins[line] else np.nan
    insert(new, tables)
    return bound, line, cut


@njit(cache=True, nogil=True, error_model="numpy")
def _beside_end(price: float, real: float, x: Floats, y: Floats) -> float:
    """How far from the lower end of its range a line is likely to stop at a price of money.

    For lines that rise so steeply there that the over-estimate's first corner is above ``real``: as a power of
    spend, ``c z^e``, whose slope at the next corner is the over-estimate's, and whose slope here is the price.
    """
    width, rise = x[1] - x[0], y[1] - y[0]
    share = 0.125
    if 0.0 < rise < y[1] - real and price > 0.0:
        share = (rise / width / price) ** (1.0 / (1.0 - rise / (y[1] - real)))
    return width * min(max(share, 1e-9), 0.5)


@njit(cache=True, nogil=True, error_model="numpy")
def _keep(z: Floats, worth: float, state: Floats, best: Floats) -> None:
    """Remember a split if it is the best so far."""
    if worth > state[VALUE]:
        state[VALUE] = worth
        for line in range(len(z)):
            best[line] = z[line]


@njit(cache=True, inline="always", nogil=True, error_model="numpy")
def _where_to_cut(box: Floats, split: Split, tables: Tables) -> tuple[int, float]:
    """The line whose over-estimate is furthest from real at a split, and where to cut its range: at the split, or
    in the middle where the split is at an end."""
    z, over, real, _ = split
    grid, count = tables[5], tables[6]
    worst, line, cut = -np.inf, NOWHERE, 0.0
    for i in range(len(z)):
        low, high = box[0, i], box[1, i]
        if low < high and over[i] - real[i] > worst:
            # A split next to a grid point was not inserted: it may be the one before or the one after.
            before = place(grid[i], count[i], z[i])
            at = grid[i, before]
            if (
                not low < at < high
                and before + 1 < count[i]
                and grid[i, before + 1] - z[i] <= apart(grid[i], count[i])
            ):
                at = grid[i, before + 1]
            if not low < at < high:
                at = 0.5 * (low + high)
                if high - low <= 3.0 * apart(grid[i], count[i]):
                    continue
            worst, line, cut = over[i] - real[i], i, at
    return line, cut
