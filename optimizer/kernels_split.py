"""One split of a budget: over-estimates of lines, and their best split (numba).

Shapes: L lines, G grid points, K KPIs.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_tables import OVER_LEFT, OVER_RIGHT, UNDER_LEFT, UNDER_RIGHT, Tables, place

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Over-estimates of all lines: spend and response at corners, how many corners, and for which ends and how many
# grid points they were computed; see `update_hulls`.
Hulls = tuple[Floats, Floats, Ints, Floats]

# Rounding in sums of many terms, as a share of the values: added to every bound.
ROUNDING = 1e-12


@njit(cache=True, nogil=True, error_model="numpy")
def new_hulls(n_lines: int, room: int) -> Hulls:
    """Room for the over-estimates of lines whose grids have room for ``room`` points."""
    x, y = np.empty((n_lines, 2 * room)), np.empty((n_lines, 2 * room))
    # Nothing is known yet: no line has a grid of no points.
    return x, y, np.zeros(n_lines, np.int64), np.zeros((n_lines, 3))


@njit(cache=True, nogil=True, error_model="numpy")
def update_hulls(
    low: Floats, high: Floats, factors: Floats, per_money: float, tables: Tables, hulls: Hulls
) -> None:
    """Compute the over-estimates between grid points ``low`` and ``high`` (L,), where anything changed.

    Parameters
    ----------
    factors : (K,)
        What one unit of each KPI's effect counts for, of either sign.
    per_money : float
        What one unit of spend counts for by itself.
    tables
        The response tables: `kernels_tables.insert`.
    hulls
        Written: each line's upper hull (`hull`) of the same factors.
    """
    x, y, corners, known = hulls
    grid, count, value, lines = tables[5], tables[6], tables[7], tables[8]
    sums = np.empty((3, grid.shape[1]))
    for line in range(len(low)):
        n = count[line]
        if known[line, 0] == low[line] and known[line, 1] == high[line] and known[line, 2] == n:
            continue
        first, last = place(grid[line], n, low[line]), place(grid[line], n, high[line])
        corners[line] = hull(line, first, last, factors, per_money, grid, value, lines, sums, x[line], y[line])
        known[line, 0], known[line, 1], known[line, 2] = low[line], high[line], n


@njit(cache=True, nogil=True, error_model="numpy")
def hull(
    line: int,
    first: int,
    last: int,
    factors: Floats,
    per_money: float,
    grid: Floats,
    value: Floats,
    lines: Floats,
    sums: Floats,
    x: Floats,
    y: Floats,
) -> int:
    """Upper hull of a line's response between two grid points: write its corners, return how many.

    Parameters
    ----------
    first, last : int
        Which grid points.
    grid, value, lines
        The response tables: `kernels_tables.insert`.
    sums : (3, >= G)
        Scratch.
    x, y : (>= 2 G,)
        Written: spend and over-estimate, slopes falling.

    The other arguments are those of `update_hulls`.
    """
    here, left, right = sums[0], sums[1], sums[2]
    for i in range(first, last + 1):
        here[i] = per_money * grid[line, i]
        left[i] = right[i] = per_money
    for k in range(len(factors)):
        factor = factors[k]
        if factor == 0.0:
            continue
        values = value[k, line]
        from_left = lines[k, line, OVER_LEFT if factor > 0.0 else UNDER_LEFT]
        from_right = lines[k, line, OVER_RIGHT if factor > 0.0 else UNDER_RIGHT]
        for i in range(first, last):
            here[i] += factor * values[i]
            left[i] += factor * from_left[i]
            right[i] += factor * from_right[i]
        here[last] += factor * values[last]
    n = push(x, y, 0, grid[line, first], here[first])
    for i in range(first, last):
        # Where the lines from both ends meet: nowhere below the curve. Nearly parallel lines meet anywhere; then
        # the ends are the corners, and what is missed is of the order of rounding.
        width = grid[line, i + 1] - grid[line, i]
        rise = here[i + 1] - here[i] - right[i] * width
        if rise > 0.0 and left[i] > right[i]:
            meet = 0.0 if left[i] == np.inf else min(rise / (left[i] - right[i]), width)
            n = push(x, y, n, grid[line, i] + meet, here[i + 1] - right[i] * (width - meet))
        n = push(x, y, n, grid[line, i + 1], here[i + 1])
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def push(x: Floats, y: Floats, n: int, at: float, value: float) -> int:
    """Add a corner to the right of an upper hull of ``n`` corners; return how many it has then."""
    while n > 0:
        if at <= x[n - 1]:
            if value <= y[n - 1]:
                return n
            n -= 1
        elif n > 1 and (y[n - 1] - y[n - 2]) * (at - x[n - 1]) <= (value - y[n - 1]) * (x[n - 1] - x[n - 2]):
            n -= 1
        else:
            break
    x[n], y[n] = at, value
    return n + 1


@njit(cache=True, nogil=True, error_model="numpy")
def fill(
    x: Floats, y: Floats, corners: Ints, budget: float, exactly: bool, z: Floats, over: Floats
) -> tuple[float, float]:
    """Split a budget over concave piecewise linear responses: steepest pieces first.

    Parameters
    ----------
    x, y : (L, 2 G)
        Corners of each line's response, slopes falling.
    corners : (L,)
        How many each has.
    budget, exactly : float, bool
        Total spend, and whether all of it must be spent.
    z, over : (L,)
        Written: the split, and each line's response there.

    Returns
    -------
    bound, price : float
        The optimum, from the price of money by weak duality, and that price.
    """
    n_lines = len(corners)
    # Lines stop at `low` at a price known to be too high, at `high` at one too low.
    low, high, at = np.zeros(n_lines, np.int64), np.empty(n_lines, np.int64), np.empty(n_lines, np.int64)
    price = -np.inf
    for line in range(n_lines):
        high[line] = corners[line] - 1
        if not exactly:
            # At no price below nothing is money left over.
            high[line] = _corner_at(0.0, x, y, line, 0, high[line])
        if corners[line] > 1:
            price = max(price, _slope(x, y, line, 0))
    price = max(price, 0.0) if not exactly or price == -np.inf else price
    while True:
        # The price to try next is the slope in the middle of the line least is known of.
        widest, most = 0, 0
        for line in range(n_lines):
            if high[line] - low[line] > most:
                widest, most = line, high[line] - low[line]
        if most == 0:
            break
        middle = _slope(x, y, widest, (low[widest] + high[widest]) // 2)
        spent, changed = 0.0, False
        for line in range(n_lines):
            at[line] = _corner_at(middle, x, y, line, low[line], high[line])
            spent += x[line, at[line]]
        for line in range(n_lines):
            if spent > budget:
                changed |= high[line] > at[line]
                high[line] = at[line]
            else:
                changed |= low[line] < at[line]
                low[line] = at[line]
        price = price if spent > budget else middle
        if not changed:
            break
    left = budget
    for line in range(n_lines):
        z[line], over[line] = x[line, low[line]], y[line, low[line]]
        left -= z[line]
    price = _spend_left(x, y, corners, low, left, price, exactly, z, over)
    bound, size = price * budget, abs(price * budget)
    for line in range(n_lines):
        best = _corner_at(price, x, y, line, 0, corners[line] - 1)
        bound += y[line, best] - price * x[line, best]
        size += abs(y[line, best]) + abs(price * x[line, best])
    return bound + ROUNDING * size, price


@njit(cache=True, nogil=True, error_model="numpy")
def _slope(x: Floats, y: Floats, line: int, piece: int) -> float:
    return (y[line, piece + 1] - y[line, piece]) / (x[line, piece + 1] - x[line, piece])


@njit(cache=True, nogil=True, error_model="numpy")
def _corner_at(price: float, x: Floats, y: Floats, line: int, low: int, high: int) -> int:
    """The corner that maximises the response less its price, known to be from ``low`` to ``high``."""
    while low < high:
        middle = (low + high) // 2
        if y[line, middle + 1] - y[line, middle] >= price * (x[line, middle + 1] - x[line, middle]):
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, inline="always", nogil=True, error_model="numpy")
def _spend_left(
    x: Floats,
    y: Floats,
    corners: Ints,
    low: Ints,
    left: float,
    price: float,
    exactly: bool,
    z: Floats,
    over: Floats,
) -> float:
    """Spend what is left on the next pieces, steepest first; return the price of money then."""
    while left > 0.0:
        best, steepest = -1, -np.inf if exactly else 0.0
        for line in range(len(corners)):
            if low[line] + 1 < corners[line]:
                slope = _slope(x, y, line, low[line])
                if slope > steepest:
                    best, steepest = line, slope
        if best < 0:
            return price if exactly else 0.0
        price = steepest
        width = x[best, low[best] + 1] - x[best, low[best]]
        if width <= left:
            low[best] += 1
            z[best], over[best] = x[best, low[best]], y[best, low[best]]
        else:
            z[best] += left
            over[best] += steepest * left
        left -= width
    return price
