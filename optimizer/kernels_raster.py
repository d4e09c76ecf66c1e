"""Heights of blends of plans on a grid of places, from below: node by node and on average in cells (numba).

Shapes: O objectives, S sets of O plans each.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

# Blends of plans whose objectives are nearer to a line are left out.
FLAT = 1e-9
# A share of a blend this little below nothing counts as one.
TOUCH = 1e-9


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
    matrix, rise, rates = np.empty((n, 2 * n)), np.empty(n), np.empty((2, n + 1))
    for s in range(len(corners)):
        simplex, base = corners[s], corners[s, n]
        flat_one = not _shares(simplex, matrix)
        _rates(matrix, side, rates)
        some = _window(simplex, side, start, size, 1, first, last)
        if missed[s] > least and some:
            _drop(simplex, missed[s], flat_one, matrix, rates, side, start, size, first, last, index, drops)
        if flat_one or not _window(simplex, side, start, size, 0, first, last):
            continue
        for j in range(n):
            rise[j], index[j] = simplex[j, n] - base[n], first[j]
        while True:
            # Along the last place shares and heights are straight: a row of nodes at a time.
            low, high, left = float(first[n - 1]), float(last[n - 1]), 1.0
            height, slope, row = base[n], 0.0, 0
            for i in range(n):
                share = -matrix[i, 2 * n - 1] * base[n - 1]
                for j in range(n - 1):
                    share += matrix[i, n + j] * (index[j] / side - base[j])
                left -= share
                height, slope = height + share * rise[i], slope + rates[0, i] * rise[i]
                low, high = _above_0(share, rates[0, i], rates[1, i], low, high)
            low, high = _above_0(left, rates[0, n], rates[1, n], low, high)
            for j in range(n - 1):
                row = row * size[j] + index[j] - start[j]
            at = int(np.ceil(low))
            here, count = height + at * slope, max(int(np.floor(high)) + 1 - at, 0)
            flat = row * size[n - 1] + at - start[n - 1]
            whole, less_missed = heights[0, flat : flat + count], heights[1, flat : flat + count]
            for i in range(count):
                whole[i] = max(whole[i], here + i * slope)
                less_missed[i] = max(less_missed[i], here - missed[s] + i * slope)
            if not _next(index[: n - 1], first, last):
                break


@njit(cache=True, inline="always", nogil=True, error_model="numpy")
def _above_0(value: float, rate: float, against: float, low: float, high: float) -> tuple[float, float]:
    """Cut a range to where ``value + rate * place >= 0``; it ends before it begins where that is nowhere.

    ``against`` is -1 over the rate: dividing once for all rows saves most of the time.
    """
    if rate > 0.0:
        low = max(low, min(value * against, high + 1.0))
    elif rate < 0.0:
        high = min(high, max(value * against, low - 1.0))
    elif value < 0.0:
        high = low - 1.0
    return low, high


@njit(cache=True, nogil=True, error_model="numpy")
def _drop(
    simplex: Floats,
    missed: float,
    flat_one: bool,
    matrix: Floats,
    rates: Floats,
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
        low, high, left, row = float(first[n - 1]), float(last[n - 1]), 1.0, 0
        for i in range(n):
            # A share is at most what it is in the middle of a cell, and what it rises by from there to a corner.
            share = matrix[i, 2 * n - 1] * (0.5 / side - simplex[n, n - 1])
            for j in range(n - 1):
                share += matrix[i, n + j] * ((index[j] + 0.5) / side - simplex[n, j])
            left -= share
            if not flat_one:
                low, high = _above_0(share + slack[i] + TOUCH, rates[0, i], rates[1, i], low, high)
        if not flat_one:
            low, high = _above_0(left + slack[n] + TOUCH, rates[0, n], rates[1, n], low, high)
        for j in range(n - 1):
            row = row * (size[j] - 1) + index[j] - start[j]
        at = int(np.ceil(low))
        flat = row * (size[n - 1] - 1) + at - start[n - 1]
        cells = drops[flat : flat + max(int(np.floor(high)) + 1 - at, 0)]
        for i in range(len(cells)):
            cells[i] = max(cells[i], missed)
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


@njit(cache=True, nogil=True, error_model="numpy")
def _rates(matrix: Floats, side: int, rates: Floats) -> None:
    """Write what shares, that of the last corner last, rise by from node to node in a row, and -1 over it."""
    n = len(matrix)
    rates[0, n] = 0.0
    for i in range(n):
        rates[0, i] = matrix[i, 2 * n - 1] / side
        rates[0, n] -= rates[0, i]
    rates[1] = -1.0 / rates[0]


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
def beside(low: Ints, high: Ints, new: Flags, least: float, start: Ints, size: Ints, drops: Floats) -> Flags:
    """Which of some facets (S,) may reach into a cell that a ``new`` one may reach into.

    Parameters
    ----------
    low, high : (S, O - 1)
        The cells that each may reach into, the first and the last in each place.
    start, size : (O - 1,)
        The window's first node, and how many nodes it has: it holds all new facets.
    drops : (product of size - 1,)
        Written: ``least`` in the cells of new ones.
    """
    n = low.shape[1]
    out, index = new.copy(), np.empty(n, np.int64)
    for s in range(len(out)):
        if not new[s]:
            continue
        index[:] = low[s]
        while True:
            flat = 0
            for j in range(n):
                flat = flat * (size[j] - 1) + index[j] - start[j]
            drops[flat : flat + high[s, n - 1] - low[s, n - 1] + 1] = least
            if not _next(index[: n - 1], low[s], high[s]):
                break
    for s in range(len(out)):
        if out[s]:
            continue
        for other in range(len(out)):
            if not new[other]:
                continue
            meet = True
            for j in range(n):
                meet &= low[s, j] <= high[other, j] and low[other, j] <= high[s, j]
            if meet:
                out[s] = True
                break
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def cell_means(nodes: Floats, means: Floats, n_axes: int, side: int, fine: int, out: Floats) -> None:
    """Write the least that is known of each cell of ``fine`` cells of a grid a side, on average.

    Of a small cell that is the highest of three: what is attained on average, what is attained at its far corner,
    and the floor, below which some objective is below nothing; that bends upwards, so that it is no higher on
    average than at the corners.

    Parameters
    ----------
    nodes : ((side + 1) ** (O - 1),)
        Heights.
    means : (side ** (O - 1),)
        What is attained on average; where nothing is given, (0,), of nodes neither, the floor alone counts.
    out : ((side / fine) ** (O - 1),)
    """
    whole, corners = side // fine, 2 ** (n_axes - 1)
    floors, least, places = np.empty(side + 1), np.empty(corners), np.empty(n_axes - 1, np.int64)
    out[:] = 0.0
    for row in range(side ** (n_axes - 1)):
        # Rows of the grid's nodes at their far corners, and of the cells.
        far, cell, rest, far_step, cell_step = 0, 0, row, 1, 1
        for j in range(n_axes - 1):
            places[j] = rest % side
            far, cell = far + (places[j] + 1) * far_step, cell + places[j] // fine * cell_step
            rest, far_step, cell_step = rest // side, far_step * (side + 1), cell_step * whole
        for corner in range(corners):
            least[corner] = 0.0
            for j in range(n_axes - 1):
                least[corner] = min(least[corner], 2.0 * (places[j] + ((corner >> j) & 1)) / side - 1.0)
        for i in range(side + 1):
            floors[i] = 0.0
            for corner in range(corners):
                floors[i] -= min(least[corner], 2.0 * i / side - 1.0) / corners
        for i in range(side):
            known = 0.5 * (floors[i] + floors[i + 1])
            if len(means):
                known = max(known, nodes[far * (side + 1) + i + 1], means[row * side + i])
            out[cell * whole + i // fine] += known
    out /= float(fine) ** n_axes


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
    """Raise heights to the highest further on, plane by plane, so that little is fetched twice."""
    plane = len(grid) // side
    for i in range(side - 1, -1, -1):
        here = grid[i * plane : (i + 1) * plane]
        if i < side - 1:
            ahead = grid[(i + 1) * plane : (i + 2) * plane]
            for j in range(plane):
                here[j] = max(here[j], ahead[j])
        inner = plane
        for _ in range(n_axes - 2):
            outer, inner = plane // inner, inner // side
            for o in range(outer):
                for k in range(side - 2, -1, -1):
                    at, beyond = (o * side + k) * inner, (o * side + k + 1) * inner
                    for j in range(inner):
                        here[at + j] = max(here[at + j], here[beyond + j])
        if n_axes > 1:
            for end in range(side - 1, plane, side):
                for at in range(end - 1, end - side, -1):
                    here[at] = max(here[at], here[at + 1])
