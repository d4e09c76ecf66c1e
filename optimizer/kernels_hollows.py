"""Fronts that are not convex, closed by branch and bound on the lines' ranges for all trade-offs at once (numba).

A box gives each line a range. Over a box the best weighted sum of the objectives is bounded by the sum of the
lines' concave over-estimates (`kernels_split`), so every weight gives a plane that no plan of the box is above.
The scale is cut into cells in all objectives but the last; in a cell a box is bounded by the plane that is lowest
in its middle, and it is done with where that is next to what plans are known to attain. Boxes are cut at the line
that keeps them from real in the cell where they are furthest above (bound sets: Ehrgott & Gandibleux, Comput.
Oper. Res. 34, 2007).

Shapes: L lines, K KPIs, O objectives, W weights, B boxes, C cells, F plans.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_attained import Tradeoffs, objectives
from .kernels_polish import polish_within, responses
from .kernels_split import Hulls, fill, new_hulls, update_hulls
from .kernels_tables import (
    OVER_LEFT,
    OVER_RIGHT,
    UNDER_LEFT,
    UNDER_RIGHT,
    Tables,
    apart,
    insert,
    place,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
# Cells: their middles (C, O - 1), half their width, what is attained there (C,), and the highest that boxes done
# with come to at each corner (C, 2 ** (O - 1)).
Cells = tuple[Floats, float, Floats, Floats]
# Boxes: ranges (B, 2, L), planes' levels (B, W), whether they are this box's own (B, W), the cells it may reach
# (B, C), how far it is above what is attained, in all (B,), and the number of boxes (1,).
Boxes = tuple[Floats, Floats, Flags, Flags, Floats, Ints]
# Plans found: spend (F, L), objectives (F, O), how many (1,), and the weights each was found for (F,).
Found = tuple[Floats, Floats, Ints, Ints]

TURNS = 12
REFINEMENTS = 2
# Plans whose first and last objectives differ by less are one.
SAME = 1e-5


@njit(cache=True, nogil=True)
def _short_of_room(tables: Tables) -> bool:
    """Whether a line has next to no room for more grid points."""
    most = 0
    for n in tables[6]:
        most = max(most, n)
    return bool(most + 2 > tables[5].shape[1])


@njit(cache=True, nogil=True, error_model="numpy")
def _lowest(
    box: int, cell: int, but: Flags, tradeoffs: Tradeoffs, cells: Cells, boxes: Boxes
) -> tuple[int, float]:
    """The plane, of all ``but`` some (W,), that is lowest in the middle of a cell, and its height there."""
    weights, planes, centres = tradeoffs[0], boxes[1], cells[0]
    n = weights.shape[1] - 1
    which, height = 0, np.inf
    for w in range(len(weights)):
        level = planes[box, w]
        for j in range(n):
            level -= weights[w, j] * centres[cell, j]
        level /= weights[w, n]
        if level < height and not but[w]:
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
def bound_box(
    box: int,
    budget: float,
    exactly: bool,
    near: float,
    fine: float,
    tradeoffs: Tradeoffs,
    cells: Cells,
    boxes: Boxes,
    found: Found,
    tables: Tables,
) -> tuple[int, float]:
    """Bound a box where it may reach, by the planes that are lowest there and those next to them.

    Parameters
    ----------
    budget, exactly : float, bool
        Total spend, and whether all of it must be spent.
    near : float
        A box this little above what is attained in a cell is done with there.
    fine : float
        Over-estimates are refined until they are this near to real where curves are concave.
    tables
        The response tables (`kernels_tables.insert`); found plans must have room for one for each weight.

    Returns
    -------
    line, cut : int, float
        The line that keeps the box from real where it is furthest above what is attained, and where to cut its
        range; -1 for none. There the bound is that of a blend of the splits of its lowest planes. What a line's
        over-estimates in these have over its response to the blend is what no plan attains.
    """
    ranges, planes, own, _, _, _ = boxes
    weights, factors, per_money, neighbours = tradeoffs[0], tradeoffs[1], tradeoffs[2], tradeoffs[4]
    n_weights, n_lines, n = planes.shape[1], ranges.shape[2], weights.shape[1]
    hulls = new_hulls(n_lines, tables[5].shape[1])
    z, over, real, slope = np.empty(n_lines), np.empty(n_lines), np.empty(n_lines), np.empty(n_lines)
    worth = np.empty(n_lines)
    blend, missed = np.zeros(n_lines), np.zeros(n_lines)
    wanted, todo = np.zeros(n_weights, np.bool_), np.zeros(n_weights, np.bool_)
    first = 0
    for turn in range(TURNS + 1):
        worst = _where_above(box, near, wanted, tradeoffs, cells, boxes)
        if worst < 0:
            return -1, 0.0
        last = True
        for w in range(n_weights):
            todo[w] = False
        for w in range(n_weights):
            if wanted[w] and turn < TURNS:
                for i in range(neighbours.shape[1]):
                    if not own[box, neighbours[w, i]]:
                        todo[neighbours[w, i]], last = True, False
        if last:
            # The lowest planes in the worst cell, the lowest of all first.
            for i in range(n):
                which = _lowest(box, worst, todo, tradeoffs, cells, boxes)[0]
                todo[which] = True
                first = which if i == 0 else first
        for w in range(n_weights):
            if not todo[w]:
                continue
            bound = _split(ranges[box], w, budget, exactly, fine, tradeoffs, hulls, tables, z, over, real)
            planes[box, w] = min(planes[box, w], bound)
            own[box, w] = True
            if last:
                responses(z, factors[first], per_money[first], tables, worth, slope)
                for line in range(n_lines):
                    missed[line] += (over[line] - real[line] + worth[line]) / n
                    blend[line] += z[line] / n
                polish_within(
                    z, ranges[box, 0], ranges[box, 1], budget, exactly, fine, factors[w], per_money[w], tables
                )
            _keep(z, w, tradeoffs, cells, found, tables)
        if last:
            responses(blend, factors[first], per_money[first], tables, worth, slope)
            for line in range(n_lines):
                missed[line] -= worth[line]
            break
    _keep(blend, first, tradeoffs, cells, found, tables)
    return _line_to_cut(ranges[box], blend, missed, tables)


@njit(cache=True, nogil=True, error_model="numpy")
def _where_above(box: int, near: float, wanted: Flags, tradeoffs: Tradeoffs, cells: Cells, boxes: Boxes) -> int:
    """The cell where a box is furthest above what is attained, -1 if it is nowhere; cells where it is not are done
    with. Written are its planes that are lowest in a cell, (W,), and how far above it is in all."""
    _, _, _, alive, excess, _ = boxes
    low, none = cells[2], np.zeros(len(wanted), np.bool_)
    for w in range(len(wanted)):
        wanted[w] = False
    total, worst, furthest = 0.0, -1, 0.0
    for cell in range(len(low)):
        if not alive[box, cell]:
            continue
        which, height = _lowest(box, cell, none, tradeoffs, cells, boxes)
        above = height - max(low[cell], 0.0)
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
def _split(
    box: Floats,
    w: int,
    budget: float,
    exactly: bool,
    fine: float,
    tradeoffs: Tradeoffs,
    hulls: Hulls,
    tables: Tables,
    z: Floats,
    over: Floats,
    real: Floats,
) -> float:
    """Bound a weighted sum over a box; write the split, its over-estimates and responses by line."""
    factors, per_money, constants = tradeoffs[1], tradeoffs[2], tradeoffs[3]
    x, y, corners, known = hulls
    n_lines = len(z)
    slope, new = np.empty(n_lines), np.empty(n_lines)
    bound = np.inf
    # Over-estimates of other weights are others.
    for line in range(n_lines):
        known[line, 2] = 0.0
    for _ in range(REFINEMENTS):
        update_hulls(box[0], box[1], factors[w], per_money[w], tables, hulls)
        bound = min(bound, fill(x, y, corners, budget, exactly, z, over)[0])
        responses(z, factors[w], per_money[w], tables, real, slope)
        if _short_of_room(tables):
            break
        for line in range(n_lines):
            new[line] = np.nan
            if over[line] - real[line] > fine / n_lines and box[0, line] < z[line] < box[1, line]:
                # Where the hull spans a part that is not concave a finer grid does not help.
                above = _local_over(line, z[line], factors[w], per_money[w], tables) - real[line]
                new[line] = z[line] if above > fine / n_lines else np.nan
        if insert(new, tables) == 0:
            break
    return bound + constants[w]


@njit(cache=True, nogil=True, error_model="numpy")
def _local_over(line: int, z: float, factors: Floats, per_money: float, tables: Tables) -> float:
    """What a line's response is at most at a spend, by the lines from the grid points beside it."""
    grid, count, value, lines = tables[5], tables[6], tables[7], tables[8]
    i = min(place(grid[line], count[line], z), count[line] - 2)
    left, right = per_money * z, per_money * z
    for k in range(len(factors)):
        rows = (OVER_LEFT, OVER_RIGHT) if factors[k] > 0.0 else (UNDER_LEFT, UNDER_RIGHT)
        if factors[k] != 0.0:
            left += factors[k] * (value[k, line, i] + lines[k, line, rows[0], i] * (z - grid[line, i]))
            right += factors[k] * (value[k, line, i + 1] - lines[k, line, rows[1], i] * (grid[line, i + 1] - z))
    return min(left, right)


@njit(cache=True, nogil=True, error_model="numpy")
def _keep(z: Floats, w: int, tradeoffs: Tradeoffs, cells: Cells, found: Found, tables: Tables) -> None:
    """Remember a plan unless what is attained beside it is higher."""
    (_, half, low, _), (plans, values, count, weighted) = cells, found
    n, at = count[0], values[count[0]]
    objectives(z, tradeoffs, tables, at)
    side, cell = round(0.5 / half), 0
    for j in range(len(at) - 1):
        if at[j] < 0.0:
            return
        cell = cell * side + min(int(at[j] / (2.0 * half)), side - 1)
    if at[-1] <= 0.0 or at[-1] < low[cell] - half:
        return
    for i in range(n):
        if abs(values[i, 0] - at[0]) < SAME and abs(values[i, -1] - at[-1]) < SAME:
            return
    for line in range(len(z)):
        plans[n, line] = z[line]
    weighted[n] = w
    count[0] = n + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _line_to_cut(box: Floats, blend: Floats, missed: Floats, tables: Tables) -> tuple[int, float]:
    """The line of which most is missed, and where to cut its range: at the blend, or in the middle."""
    grid, count = tables[5], tables[6]
    line, cut, worst = -1, 0.0, 1e-9
    for i in range(len(blend)):
        low, high = box[0, i], box[1, i]
        if missed[i] > worst and high - low > 4.0 * apart(grid[i], count[i]):
            inside = low + apart(grid[i], count[i]) < blend[i] < high - apart(grid[i], count[i])
            line, cut, worst = i, blend[i] if inside else 0.5 * (low + high), missed[i]
    return line, cut


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
    alive, count = boxes[3], boxes[5]
    reached, none = corners.copy(), np.zeros(len(tradeoffs[0]), np.bool_)
    sofar = (centres, half, low, reached)
    for box in range(count[0]):
        for cell in range(len(low)):
            if alive[box, cell]:
                which, height = _lowest(box, cell, none, tradeoffs, cells, boxes)
                bury(cell, which, height, tradeoffs, sofar)
    out = np.zeros(len(low))
    for cell in range(len(low)):
        for corner in range(corners.shape[1]):
            out[cell] += max(reached[cell, corner], 0.0) / corners.shape[1]
    return out
