"""What plans on a front that is not convex attain: their objectives, and those of blends of them (numba).

A blend of plans attains the blend of their objectives less what curves may bend by between them.

Shapes: L lines, K KPIs, O objectives, W weights, F plans, S sets of O plans each.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_curves import HILL, POINTS
from .kernels_tables import BEND, OFFSET, RATE, STEEPEST, WEIGHT, Tables, curves_at, evaluate, gradients_between

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
# Trade-offs: weights that add up to one (W, O); factors of each KPI's effect (W, K), of spend (W,) and a constant
# (W,); weights worth trying next to each (W, N); factors (O, K), (O,), (O,) of the objectives themselves.
Tradeoffs = tuple[Floats, Floats, Floats, Floats, Ints, Floats, Floats, Floats]

# Blends of plans whose objectives are nearer to a line are left out.
FLAT = 1e-9
# A share of a blend this little below nothing counts as one.
TOUCH = 1e-9


@njit(cache=True, nogil=True, error_model="numpy")
def objectives(z: Floats, forms: Floats, spend: Floats, base: Floats, tables: Tables, out: Floats) -> None:
    """Write the objectives (O,) of a plan (L,), from their factors (O, K), (O,) and (O,)."""
    family, terms, starts, constant, knots = tables[0], tables[1], tables[2], tables[3], tables[4]
    n_kpis, n_lines = family.shape
    everyone, work = np.ones(n_lines, np.bool_), tables[9][0]
    total = 0.0
    for line in range(n_lines):
        total += z[line]
    for o in range(len(out)):
        out[o] = base[o] + spend[o] * total
    for k in range(n_kpis):
        evaluate(k, z, everyone, family, terms, starts, knots, work)
        effect = 0.0
        for line in range(n_lines):
            effect += constant[k, line]
        for term in range(starts[k * n_lines], starts[(k + 1) * n_lines]):
            effect += terms[WEIGHT, term] * work[1, term]
        for o in range(len(out)):
            out[o] += forms[o, k] * effect


@njit(cache=True, nogil=True, error_model="numpy")
def missed_by_blends(low: Floats, high: Floats, tradeoffs: Tradeoffs, tables: Tables, out: Floats) -> None:
    """Write by how much a blend of plans may fall short of the blend of their objectives, (O,).

    A term that is concave between ``low`` and ``high`` (L,) is above its chords, so that it misses nothing. One
    that bends is below its concave hull nowhere by more than the fastest rise over the slope at the lower end, up
    to the bend; a convex one by where its tangents meet. What counts against an objective is taken the other way
    round, by a quarter of what slopes differ by.
    """
    family, terms, starts, knots = tables[0], tables[1], tables[2], tables[4]
    forms = tradeoffs[5]
    n_kpis, n_lines = family.shape
    work = np.empty((2, 3, 1))
    for o in range(len(out)):
        out[o] = 0.0
    for k in range(n_kpis):
        above, below = 0.0, 0.0
        for line in range(n_lines):
            if high[line] <= low[line]:
                continue
            for term in range(starts[k * n_lines + line], starts[k * n_lines + line + 1]):
                rate, second = terms[RATE, term], terms[2, term : term + 1]
                for end in range(2):
                    at = low[line] if end == 0 else high[line]
                    work[end, 0, 0] = max(rate * at + terms[OFFSET, term], 0.0)
                    if family[k, line] != POINTS:
                        curves_at(
                            family[k, line], work[end, 0], second, knots[k, line], work[end, 1], work[end, 2]
                        )
                a, b, weight = work[0, 0, 0], work[1, 0, 0], terms[WEIGHT, term]
                if family[k, line] == POINTS:
                    flat, top = gradients_between(knots[k, line], a, b)
                    above += 0.25 * weight * (top - flat) * (b - a)
                    below += 0.25 * weight * (top - flat) * (b - a)
                    continue
                rise_a, rise_b, bend = work[0, 2, 0], work[1, 2, 0], terms[BEND, term]
                if bend > 0.0 and a < 1e-12:
                    rise_a = 0.0
                if a < bend:
                    top = rise_b if b <= bend else terms[STEEPEST, term]
                    chord = (work[1, 1, 0] - work[0, 1, 0]) / (b - a) if b > a else rise_a
                    most = (top - rise_a) * (min(b, bend) - a)
                    if b <= bend and rise_b > rise_a:
                        most = max(chord - rise_a, 0.0) * max(rise_b - chord, 0.0) / (rise_b - rise_a) * (b - a)
                    # No term is below its hull by more than it rises.
                    above += weight * min(most, work[1, 1, 0] - work[0, 1, 0])
                steep = max(rise_a, rise_b, terms[STEEPEST, term] if family[k, line] == HILL else 0.0)
                below += weight * min(
                    0.25 * (steep - min(rise_a, rise_b)) * (b - a), work[1, 1, 0] - work[0, 1, 0]
                )
        for o in range(len(out)):
            out[o] += forms[o, k] * above if forms[o, k] > 0.0 else -forms[o, k] * below


@njit(cache=True, nogil=True, error_model="numpy")
def missed_by_facets(facets: Ints, plans: Floats, tradeoffs: Tradeoffs, tables: Tables) -> Floats:
    """By how much blends of O plans each may fall short of the blend of their objectives, in any of them: (S,)."""
    out, missed = np.empty(len(facets)), np.empty(facets.shape[1])
    low, high = np.empty(plans.shape[1]), np.empty(plans.shape[1])
    for i in range(len(facets)):
        for line in range(len(low)):
            low[line] = high[line] = plans[facets[i, 0], line]
            for j in range(1, facets.shape[1]):
                low[line] = min(low[line], plans[facets[i, j], line])
                high[line] = max(high[line], plans[facets[i, j], line])
        missed_by_blends(low, high, tradeoffs, tables, missed)
        out[i] = missed.max()
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _invert(matrix: Floats) -> bool:
    """Replace the unit matrix right of a matrix (n, 2 n) by its inverse; tell whether it has one."""
    n = len(matrix)
    for j in range(n):
        pivot = j
        for i in range(j + 1, n):
            pivot = i if abs(matrix[i, j]) > abs(matrix[pivot, j]) else pivot
        if abs(matrix[pivot, j]) < FLAT:
            return False
        for c in range(2 * n):
            matrix[j, c], matrix[pivot, c] = matrix[pivot, c], matrix[j, c]
        scale = 1.0 / matrix[j, j]
        for c in range(2 * n):
            matrix[j, c] *= scale
        for i in range(n):
            share = matrix[i, j] if i != j else 0.0
            for c in range(2 * n):
                matrix[i, c] -= share * matrix[j, c]
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def raster(
    corners: Floats,
    missed: Floats,
    least: float,
    side: int,
    start: Ints,
    size: Ints,
    heights: Floats,
    drops: Floats,
) -> None:
    """Raise heights on a window of a grid over [0, 1] to those of blends of plans.

    Parameters
    ----------
    corners : (S, O, O)
        Places and heights of O plans each.
    missed : (S,)
        By how much their blends may fall short.
    least : float
        As much or less is not noted in ``drops``.
    side : int
        Cells of the grid in each place.
    start, size : (O - 1,)
        The window's first node, and how many nodes it has.
    heights : (2, product of size)
        Heights at the window's nodes, and heights less what is missed there, the first place outermost; raised.
    drops : (product of size - 1,)
        The most that is missed in a cell by any blends that may reach into it; raised.
    """
    n = corners.shape[2] - 1
    first, last, index = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    matrix, rise = np.empty((n, 2 * n)), np.empty(n)
    for s in range(len(corners)):
        simplex, base = corners[s], corners[s, n]
        flat_one = not _shares(simplex, matrix)
        some = _window(simplex, side, start, size, 1, first, last)
        if missed[s] > least and some:
            _drop(simplex, missed[s], flat_one, matrix, side, start, size, first, last, index, drops)
        if flat_one or not _window(simplex, side, start, size, 0, first, last):
            continue
        for j in range(n):
            rise[j], index[j] = simplex[j, n] - base[n], first[j]
        while True:
            # Along the last place shares and heights are straight: a row of nodes at a time.
            low, high, left, less = float(first[n - 1]), float(last[n - 1]), 1.0, 0.0
            height, slope, row = base[n], 0.0, 0
            for i in range(n):
                share, rate = -matrix[i, 2 * n - 1] * base[n - 1], matrix[i, 2 * n - 1] / side
                for j in range(n - 1):
                    share += matrix[i, n + j] * (index[j] / side - base[j])
                left, less = left - share, less - rate
                height, slope = height + share * rise[i], slope + rate * rise[i]
                low, high = _above_0(share, rate, low, high)
            low, high = _above_0(left, less, low, high)
            for j in range(n - 1):
                row = row * size[j] + index[j] - start[j]
            for at in range(int(np.ceil(low)), int(np.floor(high)) + 1):
                flat, here = row * size[n - 1] + at - start[n - 1], height + at * slope
                heights[0, flat] = max(heights[0, flat], here)
                heights[1, flat] = max(heights[1, flat], here - missed[s])
            if not _next(index[: n - 1], first, last):
                break


@njit(cache=True, inline="always", nogil=True, error_model="numpy")
def _above_0(value: float, rate: float, low: float, high: float) -> tuple[float, float]:
    """Cut a range to where ``value + rate * place >= 0``; it ends before it begins where that is nowhere."""
    if rate > 0.0:
        low = max(low, min(-value / rate, high + 1.0))
    elif rate < 0.0:
        high = min(high, max(-value / rate, low - 1.0))
    elif value < 0.0:
        high = low - 1.0
    return low, high


@njit(cache=True, nogil=True, error_model="numpy")
def _drop(
    simplex: Floats,
    missed: float,
    flat_one: bool,
    matrix: Floats,
    side: int,
    start: Ints,
    size: Ints,
    first: Ints,
    last: Ints,
    index: Ints,
    drops: Floats,
) -> None:
    """Note what blends miss in the cells that they may reach into: see `raster`."""
    n = len(first)
    slack, sums = np.zeros(n + 1), np.zeros(n)
    for i in range(n):
        for j in range(n):
            slack[i] += abs(matrix[i, n + j]) * 0.5 / side
            sums[j] += matrix[i, n + j]
    for j in range(n):
        slack[n] += abs(sums[j]) * 0.5 / side
        index[j] = first[j]
    while True:
        low, high, left, less, row = float(first[n - 1]), float(last[n - 1]), 1.0, 0.0, 0
        for i in range(n):
            # A share is at most what it is in the middle of a cell, and what it rises by from there to a corner.
            share = matrix[i, 2 * n - 1] * (0.5 / side - simplex[n, n - 1])
            rate = matrix[i, 2 * n - 1] / side
            for j in range(n - 1):
                share += matrix[i, n + j] * ((index[j] + 0.5) / side - simplex[n, j])
            left, less = left - share, less - rate
            if not flat_one:
                low, high = _above_0(share + slack[i] + TOUCH, rate, low, high)
        if not flat_one:
            low, high = _above_0(left + slack[n] + TOUCH, less, low, high)
        for j in range(n - 1):
            row = row * (size[j] - 1) + index[j] - start[j]
        for at in range(int(np.ceil(low)), int(np.floor(high)) + 1):
            flat = row * (size[n - 1] - 1) + at - start[n - 1]
            drops[flat] = max(drops[flat], missed)
        if not _next(index[: n - 1], first, last):
            break


@njit(cache=True, inline="always", nogil=True, error_model="numpy")
def _window(simplex: Floats, side: int, start: Ints, size: Ints, cell: int, first: Ints, last: Ints) -> bool:
    """Write the nodes, or for ``cell`` of one the cells, that a simplex may hold; tell if there are any."""
    some = True
    for j in range(len(first)):
        least, most = simplex[:, j].min(), simplex[:, j].max()
        if cell:
            first[j], last[j] = int(np.floor(least * side)), int(np.floor(most * side))
        else:
            first[j], last[j] = int(np.ceil(least * side - 1e-12)), int(np.floor(most * side + 1e-12))
        first[j] = max(first[j], start[j])
        last[j] = min(last[j], start[j] + size[j] - 1 - cell)
        some &= first[j] <= last[j]
    return bool(some)


@njit(cache=True, inline="always", nogil=True, error_model="numpy")
def _shares(simplex: Floats, matrix: Floats) -> bool:
    """Write, right in a matrix (n, 2 n), what tells a point's shares of a simplex's corners; False if flat."""
    n = len(matrix)
    for j in range(n):
        for i in range(n):
            matrix[j, i], matrix[j, n + i] = simplex[i, j] - simplex[n, j], 0.0
        matrix[j, n + j] = 1.0
    return _invert(matrix)


@njit(cache=True, inline="always", nogil=True)
def _next(index: Ints, first: Ints, last: Ints) -> bool:
    """Step to the next index of a window, the last one fastest; False behind its end."""
    j = len(index) - 1
    while j >= 0:
        index[j] += 1
        if index[j] <= last[j]:
            return True
        index[j] = first[j]
        j -= 1
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def level(grid: Floats, n_axes: int, step: float) -> None:
    """Raise heights on a grid to what is attained with less of an objective.

    A step back in one place is as high; a step on in all places is ``step`` lower.

    Parameters
    ----------
    grid : (side ** n_axes,)
        Heights, the first place outermost; raised.
    """
    side = round(len(grid) ** (1.0 / n_axes))
    _step_back(grid, n_axes, side)
    rows, behind = len(grid) // side, 0
    index = np.zeros(n_axes, np.int64)
    for _ in range(n_axes - 1):
        behind = behind * side + 1
    for row in range(rows):
        inside, rest = True, row
        for axis in range(n_axes - 2, -1, -1):
            index[axis] = rest % side
            rest //= side
            inside &= index[axis] > 0
        if inside:
            at, last = grid[row * side : (row + 1) * side], grid[(row - behind) * side : (row - behind + 1) * side]
            for i in range(1, side):
                at[i] = max(at[i], last[i - 1] - step)
    _step_back(grid, n_axes, side)


@njit(cache=True, nogil=True, error_model="numpy")
def _step_back(grid: Floats, n_axes: int, side: int) -> None:
    inner = len(grid)
    for _ in range(n_axes):
        outer, inner = len(grid) // inner, inner // side
        for o in range(outer):
            for i in range(side - 2, -1, -1):
                at, ahead = (o * side + i) * inner, (o * side + i + 1) * inner
                for j in range(inner):
                    grid[at + j] = max(grid[at + j], grid[ahead + j])


@njit(cache=True, nogil=True)
def unbeaten(values: Floats) -> Ints:
    """Which rows (N, O) no other row beats in all columns, of equal ones the first; higher is better."""
    n, n_columns = values.shape
    total = np.zeros(n)
    for i in range(n):
        for o in range(n_columns):
            total[i] += values[i, o]
    # A row that beats another has the larger sum, so that rows kept so far are all that can. Where rounding makes
    # the sums equal one may stay too many.
    order = np.argsort(-total, kind="mergesort")
    kept, count, keep = np.empty(n, np.int64), 0, np.zeros(n, np.bool_)
    for at in order:
        beaten = False
        for j in range(count):
            no_less = True
            for o in range(n_columns):
                if values[kept[j], o] < values[at, o]:
                    no_less = False
                    break
            if no_less:
                beaten = True
                # What beats one beats those like it: it is looked at first next time.
                kept[j], kept[j // 2] = kept[j // 2], kept[j]
                break
        if not beaten:
            kept[count] = at
            count += 1
            keep[at] = True
    return np.flatnonzero(keep)
