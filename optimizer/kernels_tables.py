"""Mean responses to a line's total spend, between grid points too: proven over- and under-estimators.

With flighting fixed, a line's mean effect on a KPI is a sum of terms ``weight * S(rate * z + offset)``, one for
each period and draw, of its total spend ``z``. Between two grid points a term is concave, convex, or bends from
convex to concave once; each has straight lines that it cannot cross, and sums of such lines hold for the sum:

- from the left end: ``F(a) + under_left (z - a) <= F(z) <= F(a) + over_left (z - a)``,
- from the right end: ``F(b) - under_right (b - z) <= F(z) <= F(b) - over_right (b - z)``.

A concave term is below its tangents and above its chord, a convex one the other way round; one that bends rises
nowhere faster than at its bend and nowhere slower than at the flatter of its ends.

Shapes: K KPIs, L lines, G grid points, M terms of all lines and KPIs, one after the other.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from . import kernels_math as fast
from .kernels_curves import HILL, POINTS, POWER, TINY, add_values, slopes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BLOCK = 128
# Grid points nearer to each other than this share of the line's range are one.
APART = 1e-10
# Rows of the terms' table, and of the lines over an interval.
RATE, OFFSET, SECOND, WEIGHT, BEND, STEEPEST = range(6)
OVER_LEFT, OVER_RIGHT, UNDER_LEFT, UNDER_RIGHT = range(4)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def hill(x: float, slope: float) -> tuple[float, float]:
    """Value and slope of a Hill curve at ``x >= 0``, from one power; the slope no nearer to zero than `TINY`."""
    at = max(x, TINY)
    ratio = fast.exp2(-slope * fast.log2(at))
    value = 1.0 / (1.0 + ratio)
    return (value if x > TINY else _near_zero(x, slope)), value * (ratio * value) * slope / at


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _near_zero(x: float, slope: float) -> float:
    return 1.0 / (1.0 + fast.exp2(-slope * fast.log2(x))) if x > 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def curves_at(family: int, terms: Floats, knots: Floats, begin: int, n: int, z: float, out: Floats) -> None:
    """Write where ``n`` terms are on their curve's axis at ``z``, their values and slopes there: (3, >= n)."""
    x, value, slope = out[0], out[1], out[2]
    if family == HILL:
        for i in range(n):
            x[i] = max(terms[RATE, begin + i] * z + terms[OFFSET, begin + i], 0.0)
            value[i], slope[i] = hill(x[i], terms[SECOND, begin + i])
        return
    for i in range(n):
        x[i] = max(terms[RATE, begin + i] * z + terms[OFFSET, begin + i], 0.0)
        value[i], slope[i] = 0.0, 1.0
    second = terms[SECOND, begin : begin + n]
    add_values(family, x[:n], second, knots, slope[:n], value[:n])
    slopes(family, x[:n], second, knots, slope[:n])


@njit(cache=True, nogil=True, error_model="numpy")
def value_and_slope(
    family: int, terms: Floats, knots: Floats, start: int, stop: int, z: float, work: Floats
) -> tuple[float, float]:
    """Sum of the terms ``start`` to ``stop`` at ``z``, and its slope (at a kink, to the right)."""
    value, slope, out = 0.0, 0.0, work[0]
    for begin in range(start, stop, BLOCK):
        n = min(BLOCK, stop - begin)
        curves_at(family, terms, knots, begin, n, z, out)
        for i in range(n):
            value += terms[WEIGHT, begin + i] * out[1, i]
            slope += terms[WEIGHT, begin + i] * terms[RATE, begin + i] * out[2, i]
    return value, slope


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def add_lines(
    family: int,
    terms: Floats,
    knots: Floats,
    begin: int,
    n: int,
    width: float,
    left: Floats,
    right: Floats,
    out: Floats,
) -> None:
    """Add the gradients of ``n`` terms' lines over an interval.

    Parameters
    ----------
    family : int
        Curve family code of all these terms.
    terms : (6, M)
        Rate, offset, second curve parameter, weight, where a term bends from convex to concave, and its steepest
        slope there (both on the curve's own axis).
    knots : (3, P)
        Pieces of a curve through points.
    begin, n : int
        The first term, and how many.
    width : float
        Of the interval.
    left, right : (3, BLOCK)
        At its ends: places on the curve's axis, values and slopes (`curves_at`).
    out : (4,)
        Added to: ``over_left`` (infinite where the curve rises infinitely steeply), ``over_right``,
        ``under_left``, ``under_right``.
    """
    over_left, over_right, under_left, under_right = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        rate = terms[WEIGHT, begin + i] * terms[RATE, begin + i]
        chord = terms[WEIGHT, begin + i] * (right[1, i] - left[1, i]) / width
        low, high, bend = rate * left[2, i], rate * right[2, i], terms[BEND, begin + i]
        if family == POINTS:
            flat, top = _gradients_between(knots, left[0, i], right[0, i])
            over_left += rate * top
            over_right += rate * flat
            under_left += rate * flat
            under_right += rate * top
        elif left[0, i] >= bend:
            endless = left[0, i] < TINY and family in (HILL, POWER) and terms[SECOND, begin + i] < 1.0
            over_left += np.inf if endless and rate > 0.0 else low
            over_right += high
            under_left += chord
            under_right += chord
        elif right[0, i] <= bend:
            over_left += chord
            over_right += chord
            under_left += low
            under_right += high
        else:
            top = rate * terms[STEEPEST, begin + i]
            over_left += top
            over_right += min(low, high)
            under_left += min(low, high)
            under_right += top
    out[OVER_LEFT] += over_left
    out[OVER_RIGHT] += over_right
    out[UNDER_LEFT] += under_left
    out[UNDER_RIGHT] += under_right


@njit(cache=True, nogil=True, error_model="numpy")
def _gradients_between(knots: Floats, x0: float, x1: float) -> tuple[float, float]:
    """Least and greatest gradient of a curve through points between two places; level after its last."""
    n = knots.shape[1]
    low, top = np.inf, 0.0
    end = 0.0
    for p in range(n):
        if knots[1, p] > 0.0:
            end = knots[0, p] + knots[1, p]
            if knots[0, p] < x1 and end > x0:
                low, top = min(low, knots[2, p]), max(top, knots[2, p])
    if x1 > end:
        low = 0.0
    return min(low, top), top


@njit(cache=True, nogil=True)
def place(grid: Floats, count: int, z: float) -> int:
    """Index of the last grid point at or below ``z`` (0 where all are above)."""
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        if grid[middle] <= z:
            low = middle
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _measure(
    line: int,
    first: int,
    last: int,
    family: Ints,
    terms: Floats,
    starts: Ints,
    constant: Floats,
    knots: Floats,
    grid: Floats,
    value: Floats,
    lines: Floats,
    work: Floats,
) -> None:
    """Write a line's values at the grid points ``first`` to ``last``, and the lines between them."""
    left, right = work[0], work[1]
    for k in range(family.shape[0]):
        cell = k * family.shape[1] + line
        value[k, line, first : last + 1] = constant[k, line]
        lines[k, line, :, first:last] = 0.0
        for begin in range(starts[cell], starts[cell + 1], BLOCK):
            n = min(BLOCK, starts[cell + 1] - begin)
            for i in range(first, last + 1):
                curves_at(family[k, line], terms, knots[k, line], begin, n, grid[line, i], right)
                for term in range(n):
                    value[k, line, i] += terms[WEIGHT, begin + term] * right[1, term]
                if i > first:
                    width = grid[line, i] - grid[line, i - 1]
                    out = lines[k, line, :, i - 1]
                    add_lines(family[k, line], terms, knots[k, line], begin, n, width, left, right, out)
                left, right = right, left


@njit(cache=True, nogil=True)
def begin(
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
) -> None:
    """Fill the tables from their grid points; arguments are those of `insert`."""
    for line in range(family.shape[1]):
        _measure(line, 0, count[line] - 1, family, terms, starts, constant, knots, grid, value, lines, work)


@njit(cache=True, nogil=True)
def insert(
    line: int,
    z: float,
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
) -> bool:
    """Add a grid point to a line, unless it stands next to nothing from one already; tell whether.

    Parameters
    ----------
    line : int
        Which line.
    z : float
        Within the line's grid.
    family, constant : (K, L)
        Curve family codes, and what does not depend on spend.
    terms, work : (6, M), (2, 3, BLOCK)
        As for `add_lines`; scratch.
    starts : (K * L + 1,)
        First term of each KPI and line.
    knots : (K, L, 3, P)
        Pieces of curves through points.
    grid, count : (L, G), (L,)
        Grid points, rising, and how many there are; there must be room for one more.
    value, lines : (K, L, G), (K, L, 4, G)
        Values at grid points; the lines over the interval to the right of each.
    """
    n = count[line]
    near = APART * max(grid[line, n - 1] - grid[line, 0], abs(grid[line, n - 1]) * 1e-3)
    at = place(grid[line], n, z) + 1
    if z - grid[line, at - 1] <= near or at == n or grid[line, at] - z <= near:
        return False
    for i in range(n, at, -1):
        grid[line, i] = grid[line, i - 1]
        for k in range(family.shape[0]):
            value[k, line, i] = value[k, line, i - 1]
            lines[k, line, :, i] = lines[k, line, :, i - 1]
    grid[line, at] = z
    count[line] = n + 1
    _measure(line, at - 1, at + 1, family, terms, starts, constant, knots, grid, value, lines, work)
    return True
