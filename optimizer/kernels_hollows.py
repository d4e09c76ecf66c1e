"""Fronts that are not convex, closed by branch and bound on the lines' ranges for all trade-offs at once (numba).

A box gives each line a range. Each weight gives a plane that no plan of the box is above (`kernels_patterns`). The
scale, seen along the diagonal (`attained`), is cut into cells; in a cell a box is bounded by the plane that is
lowest in its middle, and it is done with where that is next to what plans are known to attain (Ehrgott &
Gandibleux, Comput. Oper. Res. 34, 2007).

Shapes: L lines, K KPIs, O objectives, W weights, C cells, F plans.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_attained import Tradeoffs, objectives
from .kernels_polish import polish_within
from .kernels_tables import Tables

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
# Cells: their middles (O - 1, C), half their width, what is attained there (C,), and the highest that boxes done
# with come to at each corner (C, 2 ** (O - 1)).
Cells = tuple[Floats, float, Floats, Floats]
# Plans found: spend (F, L), objectives (F, O), how many (1,), and the weights each was found for (F,).
Found = tuple[Floats, Floats, Ints, Ints]

# So many cells are looked at together; planes that are no lower than another by less than this are looked at too.
TOGETHER, SLACK = 64, 1e-12
# Plans whose first and last objectives differ by less are one.
SAME = 1e-5
# Plans are kept that have this much less than nothing of an objective.
BEYOND = 0.05


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def lowest(
    some: Ints, slopes: Floats, levels: Floats, places: Floats, half: float, which: Ints, heights: Floats
) -> None:
    """Write the plane that is lowest at each of some places (N,), and its height there.

    Places next to each other are looked at together: of most planes one look tells that another is lower in all.

    Parameters
    ----------
    slopes, levels : (O - 1, W), (W,)
        Of planes: a height is the level less the slopes times the place.
    places : (O - 1, C)
        Those near each other next to each other (`bricks`).
    half : float
        Half of how far places are from their neighbours; those of a brick of them are looked at together.
    """
    n, n_planes = slopes.shape
    width = 2.0 * half * TOGETHER ** (1.0 / n)
    low, high = np.empty(n), np.empty(n)
    at, left = np.empty(n_planes), np.empty(n_planes, np.int64)
    start = 0
    while start < len(some):
        end = _near(some, start, places, width, low, high)
        for w in range(n_planes):
            at[w] = levels[w]
        for j in range(n):
            middle = 0.5 * (low[j] + high[j])
            for w in range(n_planes):
                at[w] -= slopes[j, w] * middle
        best = 0
        for w in range(n_planes):
            best = w if at[w] < at[best] else best
        least = at[best]
        for j in range(n):
            for w in range(n_planes):
                at[w] -= abs(slopes[j, w] - slopes[j, best]) * 0.5 * (high[j] - low[j])
        count = 0
        for w in range(n_planes):
            if at[w] < least + SLACK:
                left[count] = w
                count += 1
        for i in range(start, end):
            which[i], heights[i] = 0, np.inf
            for w in left[:count]:
                level = levels[w]
                for j in range(n):
                    level -= slopes[j, w] * places[j, some[i]]
                if level < heights[i]:
                    which[i], heights[i] = w, level
        start = end


@njit(cache=True, nogil=True, error_model="numpy")
def _near(some: Ints, start: int, places: Floats, width: float, low: Floats, high: Floats) -> int:
    """Behind the places that are near the first; write the ends of their ranges."""
    for j in range(len(low)):
        low[j] = high[j] = places[j, some[start]]
    for i in range(start + 1, min(start + TOGETHER, len(some))):
        for j in range(len(low)):
            at = places[j, some[i]]
            if max(high[j], at) - min(low[j], at) > width:
                return i
        for j in range(len(low)):
            low[j], high[j] = min(low[j], places[j, some[i]]), max(high[j], places[j, some[i]])
    return min(start + TOGETHER, len(some))


@njit(cache=True, nogil=True, error_model="numpy")
def bury(cell: int, which: int, height: float, slopes: Floats, half: float, corners: Floats) -> None:
    """Remember at a cell's corners how high a plane is there."""
    for corner in range(corners.shape[1]):
        at = height
        for j in range(len(slopes)):
            step = half * slopes[j, which]
            at += -step if (corner >> j) & 1 else step
        corners[cell, corner] = max(corners[cell, corner], at)


@njit(cache=True, nogil=True, error_model="numpy")
def where_above(
    some: Ints, near: float, slopes: Floats, levels: Floats, cells: Cells, wanted: Flags
) -> tuple[Ints, Ints, Floats]:
    """Find, of some cells, those where a box is above what is attained by more than ``near``; the rest are done.

    Returned are these cells, the box's planes that are lowest there, marked in ``wanted`` (W,), and their heights.
    """
    centres, half, low, corners = cells
    which, heights = np.empty(len(some), np.int64), np.empty(len(some))
    lowest(some, slopes, levels, centres, half, which, heights)
    kept, count = np.empty(len(some), np.int64), 0
    for w in range(len(wanted)):
        wanted[w] = False
    for i in range(len(some)):
        if heights[i] - low[some[i]] <= near:
            bury(some[i], which[i], heights[i], slopes, half, corners)
            continue
        wanted[which[i]] = True
        kept[count], which[count], heights[count] = some[i], which[i], heights[i]
        count += 1
    return kept[:count].copy(), which[:count].copy(), heights[:count].copy()


@njit(cache=True, nogil=True, error_model="numpy")
def cover(some: Ints, which: Ints, heights: Floats, slopes: Floats, half: float, corners: Floats) -> None:
    """Raise at the corners of some cells (N,) how high a box comes, by its lowest planes in their middles.

    A plane that is lowest in a cell's middle is above the box in all of the cell; the highest of such planes bends
    upwards, so that its mean over the cell is at most the mean over its corners (C, 2 ** (O - 1)).
    """
    for i in range(len(some)):
        bury(some[i], which[i], heights[i], slopes, half, corners)


@njit(cache=True, nogil=True, error_model="numpy")
def _keep(z: Floats, w: int, tradeoffs: Tradeoffs, cells: Cells, found: Found, tables: Tables) -> None:
    """Remember a plan unless what is attained beside it is higher."""
    (_, half, low, _), (plans, values, count, weighted) = cells, found
    n, at = count[0], values[count[0]]
    objectives(z, tradeoffs[5], tradeoffs[6], tradeoffs[7], tables, at)
    side, cell = round(1.0 / half), 0
    for j in range(len(at) - 1):
        cell = cell * side + min(max(int((at[j] - at[-1] + 1.0) / (2.0 * half)), 0), side - 1)
    # Plans a little beyond the scale are not on the front, but blends of them with others are.
    if at[-1] < low[cell] - (half if at.min() >= 0.0 else BEYOND):
        return
    for i in range(n):
        if abs(values[i, 0] - at[0]) < SAME and abs(values[i, -1] - at[-1]) < SAME:
            return
    for line in range(len(z)):
        plans[n, line] = z[line]
    weighted[n] = w
    count[0] = n + 1


@njit(cache=True, nogil=True, error_model="numpy")
def climb(
    starts: Floats,
    aims: Ints,
    moved: bool,
    factors: Floats,
    per_money: Floats,
    budget: float,
    exactly: bool,
    fine: float,
    tradeoffs: Tradeoffs,
    cells: Cells,
    found: Found,
    tables: Tables,
) -> None:
    """Take in plans (S, L), each after it was ``moved`` to the local optimum for its factors (S, K) and (S,).

    They are noted as found for the weights ``aims`` (S,).
    Lines stay on or off as they are: where a curve bends upwards, no step is made.
    """
    plans = found[0]
    n_lines = starts.shape[1]
    lower, upper, z = np.empty(n_lines), np.empty(n_lines), np.empty(n_lines)
    for line in range(n_lines):
        lower[line], upper[line] = tables[5][line, 0], tables[5][line, tables[6][line] - 1]
    for i in range(len(starts)):
        if found[2][0] == len(plans):
            return
        for line in range(n_lines):
            z[line] = starts[i, line]
        if moved:
            polish_within(z, lower, upper, budget, exactly, fine, factors[i], per_money[i], tables)
        _keep(z, aims[i], tradeoffs, cells, found, tables)
