"""Fronts that are not convex, closed by branch and bound on the lines' ranges for all trade-offs at once (numba).

A box gives each line a range. Each weight gives a plane that no plan of the box is above (`kernels_patterns`). The
scale, seen along the diagonal (`attained`), is cut into cells; in a cell a box is bounded by the plane that is
lowest in its middle, and it is done with where that is next to what plans are known to attain (Ehrgott &
Gandibleux, Comput. Oper. Res. 34, 2007).

Shapes: L lines, K KPIs, O objectives, W weights, B boxes, C cells, F plans.
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
# Cells: their middles (C, O - 1), half their width, what is attained there (C,), and the highest that boxes done
# with come to at each corner (C, 2 ** (O - 1)).
Cells = tuple[Floats, float, Floats, Floats]
# Boxes: first and last parts of lines' ranges (B, 2, L), planes' levels (B, W), the cells it may reach (B, C), how
# far it is above what is attained, in all (B,), and the number of boxes (1,).
Boxes = tuple[Ints, Floats, Flags, Floats, Ints]
# Plans found: spend (F, L), objectives (F, O), how many (1,), and the weights each was found for (F,).
Found = tuple[Floats, Floats, Ints, Ints]

# Plans whose first and last objectives differ by less are one.
SAME = 1e-5
# Plans are kept that have this much less than nothing of an objective.
BEYOND = 0.05


@njit(cache=True, nogil=True, error_model="numpy")
def _lowest(box: int, cell: int, tradeoffs: Tradeoffs, cells: Cells, boxes: Boxes) -> tuple[int, float]:
    """The plane that is lowest in the middle of a cell, and its height there."""
    weights, planes, centres = tradeoffs[0], boxes[1], cells[0]
    n = weights.shape[1] - 1
    which, height = 0, np.inf
    for w in range(len(weights)):
        level = planes[box, w]
        for j in range(n):
            level -= weights[w, j] * centres[cell, j]
        level /= weights[w, n]
        if level < height:
            which, height = w, level
    return which, height


@njit(cache=True, nogil=True, error_model="numpy")
def bury(cell: int, which: int, height: float, tradeoffs: Tradeoffs, cells: Cells) -> None:
    """Remember at a cell's corners how high a plane is there."""
    weights, (_, half, _, corners) = tradeoffs[0], cells
    n = weights.shape[1] - 1
    for corner in range(corners.shape[1]):
        at = height
        for j in range(n):
            step = half * weights[which, j] / weights[which, n]
            at += -step if (corner >> j) & 1 else step
        corners[cell, corner] = max(corners[cell, corner], at)


@njit(cache=True, nogil=True, error_model="numpy")
def where_above(box: int, near: float, wanted: Flags, tradeoffs: Tradeoffs, cells: Cells, boxes: Boxes) -> int:
    """The cell where a box is furthest above what is attained, -1 if it is nowhere; cells where it is not are done
    with. Written are its planes that are lowest in a cell, (W,), and how far above it is in all."""
    _, _, alive, excess, _ = boxes
    low = cells[2]
    for w in range(len(wanted)):
        wanted[w] = False
    total, worst, furthest = 0.0, -1, 0.0
    for cell in range(len(low)):
        if not alive[box, cell]:
            continue
        which, height = _lowest(box, cell, tradeoffs, cells, boxes)
        above = height - low[cell]
        if above <= near:
            alive[box, cell] = False
            bury(cell, which, height, tradeoffs, cells)
            continue
        total += above
        wanted[which] = True
        if above > furthest:
            worst, furthest = cell, above
    excess[box] = total
    return worst


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


@njit(cache=True, nogil=True, error_model="numpy")
def cover(tradeoffs: Tradeoffs, cells: Cells, boxes: Boxes) -> Floats:
    """The highest that any plan may come to, on average over each cell: (C,).

    A box's lowest plane in a cell's middle is above it in all of the cell; the highest of such planes bends
    upwards, so that its mean over the cell is at most the mean over its corners.
    """
    centres, half, low, corners = cells
    alive, count = boxes[2], boxes[4]
    reached = corners.copy()
    sofar = (centres, half, low, reached)
    for box in range(count[0]):
        for cell in range(len(low)):
            if alive[box, cell]:
                which, height = _lowest(box, cell, tradeoffs, cells, boxes)
                bury(cell, which, height, tradeoffs, sofar)
    out = np.zeros(len(low))
    for cell in range(len(low)):
        for corner in range(corners.shape[1]):
            out[cell] += reached[cell, corner] / corners.shape[1]
    return out
