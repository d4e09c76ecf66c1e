"""One split of a budget: over-estimates of lines, their best split, and the nearest local optimum (numba).

Shapes: L lines, G grid points, K KPIs.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_tables import OVER_LEFT, OVER_RIGHT, UNDER_LEFT, UNDER_RIGHT, place, value_and_slope

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# The first look at how fast a slope falls is over this share of a line's range.
STEP = 1e-6
POLISHES = 30
# Rounding in sums of many terms, as a share of the values: added to every bound.
ROUNDING = 1e-13


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def hull(
    line: int,
    low: float,
    high: float,
    factors: Floats,
    per_money: float,
    grid: Floats,
    count: Ints,
    value: Floats,
    lines: Floats,
    x: Floats,
    y: Floats,
) -> int:
    """Upper hull of a line's response between two grid points: write its corners, return how many.

    Parameters
    ----------
    low, high : float
        Grid points of the line.
    factors : (K,)
        What one unit of each KPI's effect counts for, of either sign.
    per_money : float
        What one unit of spend counts for by itself.
    grid, count, value, lines
        The response tables: `kernels_tables.insert`.
    x, y : (>= 2 G,)
        Written: spend and over-estimate, slopes falling.
    """
    first, last = place(grid[line], count[line], low), place(grid[line], count[line], high)
    n = 0
    for i in range(first, last + 1):
        a = grid[line, i]
        at = per_money * a
        for k in range(len(factors)):
            at += factors[k] * value[k, line, i]
        n = _push(x, y, n, a, at)
        if i == last:
            break
        left, right, ahead = per_money, per_money, per_money * grid[line, i + 1]
        for k in range(len(factors)):
            up = factors[k] >= 0.0
            if factors[k] != 0.0:
                left += factors[k] * lines[k, line, OVER_LEFT if up else UNDER_LEFT, i]
                right += factors[k] * lines[k, line, OVER_RIGHT if up else UNDER_RIGHT, i]
            ahead += factors[k] * value[k, line, i + 1]
        width = grid[line, i + 1] - a
        # Where the lines from both ends meet: nowhere below the curve. Nearly parallel lines meet anywhere; then
        # the ends are the corners, and what is missed is of the order of rounding.
        rise = ahead - at - right * width
        if rise <= 0.0 or not left > right:
            continue
        meet = 0.0 if left == np.inf else min(rise / (left - right), width)
        n = _push(x, y, n, a + meet, ahead - right * (width - meet))
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def _push(x: Floats, y: Floats, n: int, at: float, value: float) -> int:
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
    low, high, at = np.zeros(n_lines, np.int64), corners - 1, np.zeros(n_lines, np.int64)
    steep, flat = -np.inf, np.inf
    for line in range(n_lines):
        if corners[line] > 1:
            steep = max(steep, _slope(x, y, line, 0))
            flat = min(flat, _slope(x, y, line, corners[line] - 2))
    if not exactly:
        # At no price below nothing is money left over.
        flat, steep = max(min(flat, steep), 0.0), max(steep, 0.0)
    # `low` is where lines stop at a price known to be too high, `high` at one too low.
    top = steep + 1e-9 * abs(steep) + 1e-300
    bottom = flat - 1e-9 * abs(flat) - 1e-300 if exactly else flat
    for _ in range(200):
        middle = 0.5 * (top + bottom)
        if not bottom < middle < top or np.sum(high - low) <= 1:
            break
        spent = 0.0
        for line in range(n_lines):
            at[line] = _corner_at(middle, x, y, line, low[line], high[line])
            spent += x[line, at[line]]
        if spent > budget:
            bottom = middle
            high[:] = at
        else:
            top = middle
            low[:] = at
    left = budget
    for line in range(n_lines):
        z[line], over[line] = x[line, low[line]], y[line, low[line]]
        left -= z[line]
    price = _spend_left(x, y, corners, low, left, top, exactly, z, over)
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


@njit(cache=True, nogil=True, error_model="numpy")
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


@njit(cache=True, nogil=True, error_model="numpy")
def response_at(
    line: int,
    z: float,
    factors: Floats,
    per_money: float,
    family: Ints,
    terms: Floats,
    starts: Ints,
    constant: Floats,
    knots: Floats,
    work: Floats,
) -> tuple[float, float]:
    """A line's response and its slope, computed rather than read off the tables."""
    value, slope = per_money * z, per_money
    for k in range(len(factors)):
        if factors[k] != 0.0:
            cell = k * family.shape[1] + line
            v, s = value_and_slope(family[k, line], terms, knots[k, line], starts[cell], starts[cell + 1], z, work)
            value += factors[k] * (constant[k, line] + v)
            slope += factors[k] * s
    return value, slope


@njit(cache=True, nogil=True, error_model="numpy")
def polish(
    z: Floats,
    lower: Floats,
    upper: Floats,
    budget: float,
    exactly: bool,
    factors: Floats,
    per_money: float,
    family: Ints,
    terms: Floats,
    starts: Ints,
    constant: Floats,
    knots: Floats,
    work: Floats,
) -> float:
    """Move a split to the nearest optimum by Newton's method on slopes; return what the split is worth.

    Lines where the response is not falling off in slope stay where they are: where they should go is for the
    branching to say.

    Parameters
    ----------
    z : (L,)
        A split that keeps the budget and the box; replaced.
    lower, upper : (L,)
        The box.
    """
    n_lines = len(z)
    slope, bend, new, new_slope = np.empty(n_lines), np.zeros(n_lines), np.empty(n_lines), np.empty(n_lines)
    value = 0.0
    for line in range(n_lines):
        v, slope[line] = response_at(
            line, z[line], factors, per_money, family, terms, starts, constant, knots, work
        )
        value += v
        step = STEP * (upper[line] - lower[line])
        if step > 0.0:
            # A first look at how fast the slope falls; from then on the steps themselves tell.
            beside = z[line] + step if z[line] + step <= upper[line] else z[line] - step
            _, s = response_at(line, beside, factors, per_money, family, terms, starts, constant, knots, work)
            bend[line] = max((slope[line] - s) / (beside - z[line]), 0.0)
    for _ in range(POLISHES):
        _newton(z, lower, upper, slope, bend, budget, exactly, new)
        worth, share = -np.inf, 1.0
        for _ in range(4):
            total = 0.0
            for line in range(n_lines):
                at = z[line] + share * (new[line] - z[line])
                v, new_slope[line] = response_at(
                    line, at, factors, per_money, family, terms, starts, constant, knots, work
                )
                total += v
            if total > value:
                worth = total
                break
            share *= 0.25
        if not worth > value:
            break
        gain, value = worth - value, worth
        for line in range(n_lines):
            step = share * (new[line] - z[line])
            if abs(step) > STEP * STEP * (upper[line] - lower[line]):
                bend[line] = max((slope[line] - new_slope[line]) / step, 0.0)
            z[line] += step
            slope[line] = new_slope[line]
        if gain <= 1e-14 * abs(value):
            break
    return value


@njit(cache=True, nogil=True, error_model="numpy")
def _newton(
    z: Floats, lower: Floats, upper: Floats, slope: Floats, bend: Floats, budget: float, exactly: bool, new: Floats
) -> None:
    """Write the split of a budget over the lines that bend which a quadratic model of them prefers."""
    low, high = np.inf, -np.inf
    for line in range(len(z)):
        new[line] = z[line]
        if bend[line] <= 0.0:
            budget -= z[line]
        if bend[line] > 0.0:
            low = min(low, slope[line] - bend[line] * (upper[line] - z[line]))
            high = max(high, slope[line] + bend[line] * (z[line] - lower[line]))
    if not exactly:
        low, high = max(low, 0.0), max(high, 0.0)
    if not low <= high:
        return
    for _ in range(100):
        price = 0.5 * (low + high)
        total = _at_price(price, z, lower, upper, slope, bend, new)
        if total > budget:
            low = price
        else:
            high = price
        if not low < 0.5 * (low + high) < high:
            break
    left = budget - _at_price(high, z, lower, upper, slope, bend, new)
    # What rounding leaves over goes where there is room.
    for line in range(len(z)):
        if left > 0.0 and bend[line] > 0.0 and (exactly or high > 0.0):
            more = min(left, upper[line] - new[line])
            new[line] += more
            left -= more


@njit(cache=True, nogil=True, error_model="numpy")
def _at_price(
    price: float, z: Floats, lower: Floats, upper: Floats, slope: Floats, bend: Floats, new: Floats
) -> float:
    """Write where lines go at a price of money; return the total."""
    total = 0.0
    for line in range(len(z)):
        if bend[line] > 0.0:
            new[line] = min(max(z[line] + (slope[line] - price) / bend[line], lower[line]), upper[line])
            total += new[line]
    return total
