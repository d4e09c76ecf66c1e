"""Mean responses to a line's total spend, between grid points too: proven over- and under-estimators.

With flighting fixed, a line's mean effect on a KPI is a sum of terms ``weight * S(rate * z + offset)``, one for
each period and draw, of its total spend ``z``. Between two grid points a term is concave, convex, or bends from
convex to concave once; each has straight lines that it cannot cross, and sums of such lines hold for the sum:

- from the left end: ``F(a) + under_left (z - a) <= F(z) <= F(a) + over_left (z - a)``,
- from the right end: ``F(b) - under_right (b - z) <= F(z) <= F(b) - over_right (b - z)``.

A concave term is below its tangents and above its chord, a convex one the other way round; one that bends rises
nowhere faster than at its bend and nowhere slower than at the flatter of its ends.

Shapes: K KPIs, L lines, G grid points, M terms of all lines and KPIs, one after the other. Kernels work on all
lines at once: where a line has few terms, vector code runs over the terms of many lines.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from . import kernels_math as fast
from .kernels_curves import HILL, POINTS, POWER, TINY, add_values, slopes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
# Terms, where each KPI's and line's terms begin, grids and what is known on them; see `insert`.
Tables = tuple[Ints, Floats, Ints, Floats, Floats, Floats, Ints, Floats, Floats, Floats]

# Grid points nearer to each other than this share of the line's range are one.
APART = 1e-10
# Rows of the terms' table, and of the lines over an interval.
RATE, OFFSET, SECOND, WEIGHT, BEND, STEEPEST = range(6)
OVER_LEFT, OVER_RIGHT, UNDER_LEFT, UNDER_RIGHT = range(4)


@njit(cache=True, inline="always", nogil=True, error_model="numpy", fastmath={"contract"})
def curves_at(family: int, x: Floats, second: Floats, knots: Floats, value: Floats, slope: Floats) -> None:
    """Write values and slopes of curves at ``x >= 0`` (B,); slopes no nearer to zero than `TINY`."""
    n = len(x)
    if family != HILL:
        for i in range(n):
            value[i], slope[i] = 0.0, 1.0
        add_values(family, x, second, knots, slope, value)
        slopes(family, x, second, knots, slope)
        return
    for i in range(n):
        # Value and slope from one power.
        at = max(x[i], TINY)
        ratio = fast.exp2(-second[i] * fast.log2(at))
        value[i] = 1.0 / (1.0 + ratio)
        slope[i] = value[i] * (ratio * value[i]) * second[i] / at
    for i in range(n):
        if x[i] < TINY:
            value[i] = 1.0 / (1.0 + fast.exp2(-second[i] * fast.log2(x[i]))) if x[i] > 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def evaluate(
    k: int,
    z: Floats,
    wanted: Flags,
    family: Ints,
    terms: Floats,
    starts: Ints,
    knots: Floats,
    out: Floats,
) -> None:
    """Evaluate the terms of one KPI and the lines ``wanted`` (L,), at spends ``z`` (L,).

    Parameters
    ----------
    out : (3, M)
        Written: places on the curves' axes, values and slopes there (at a kink, to the right).

    The other arguments are those of `insert`.
    """
    n_lines = family.shape[1]
    line = 0
    while line < n_lines:
        first, cell = line, k * n_lines
        line += 1
        if not wanted[first]:
            continue
        code = family[k, first]
        # Neighbours of one family are one run; knots belong to a single line.
        while line < n_lines and wanted[line] and family[k, line] == code and code != POINTS:
            line += 1
        for i in range(first, line):
            for term in range(starts[cell + i], starts[cell + i + 1]):
                out[0, term] = max(terms[RATE, term] * z[i] + terms[OFFSET, term], 0.0)
        run = slice(starts[cell + first], starts[cell + line])
        curves_at(code, out[0, run], terms[SECOND, run], knots[k, first], out[1, run], out[2, run])


@njit(cache=True, inline="always", nogil=True, error_model="numpy", fastmath={"contract"})
def add_lines(
    family: int,
    terms: Floats,
    knots: Floats,
    begin: int,
    end: int,
    width: float,
    left: Floats,
    right: Floats,
    out: Floats,
) -> None:
    """Add the gradients of the lines of terms ``begin`` to ``end`` over an interval.

    Parameters
    ----------
    family : int
        Curve family code of all these terms.
    terms : (6, M)
        Rate, offset, second curve parameter, weight, where a term bends from convex to concave, and its steepest
        slope there (both on the curve's own axis).
    knots : (3, P)
        Pieces of a curve through points.
    width : float
        Of the interval.
    left, right : (3, M)
        At its ends: places on the curve's axis, values and slopes (`evaluate`).
    out : (4,)
        Added to: ``over_left`` (infinite where the curve rises infinitely steeply), ``over_right``,
        ``under_left``, ``under_right``.
    """
    over_left, over_right, under_left, under_right = 0.0, 0.0, 0.0, 0.0
    for i in range(begin, end):
        rate = terms[WEIGHT, i] * terms[RATE, i]
        chord = terms[WEIGHT, i] * (right[1, i] - left[1, i]) / width
        low, high, bend = rate * left[2, i], rate * right[2, i], terms[BEND, i]
        if family == POINTS:
            flat, top = gradients_between(knots, left[0, i], right[0, i])
            over_left += rate * top
            over_right += rate * flat
            under_left += rate * flat
            under_right += rate * top
            continue
        # Slopes are computed beside zero: at zero a curve that bends is level, and one that does not and has an
        # exponent below 1 endlessly steep.
        if left[0, i] < TINY and bend > 0.0:
            low = 0.0
        if left[0, i] >= bend:
            endless = left[0, i] < TINY and family in (HILL, POWER) and terms[SECOND, i] < 1.0
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
            top = rate * terms[STEEPEST, i]
            over_left += top
            over_right += min(low, high)
            under_left += min(low, high)
            under_right += top
    out[OVER_LEFT] += over_left
    out[OVER_RIGHT] += over_right
    out[UNDER_LEFT] += under_left
    out[UNDER_RIGHT] += under_right


@njit(cache=True, nogil=True, error_model="numpy")
def gradients_between(knots: Floats, x0: float, x1: float) -> tuple[float, float]:
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
def apart(grid: Floats, count: int) -> float:
    """How near to each other grid points are one."""
    return APART * max(grid[count - 1] - grid[0], abs(grid[count - 1]) * 1e-3)


@njit(cache=True, inline="always", nogil=True, error_model="numpy", fastmath={"contract"})
def _measure(first: Ints, steps: Ints, wanted: Flags, tables: Tables) -> None:
    """Write values at grid points ``first`` (L,) and ``steps`` (L,) after them, and the lines between them."""
    family, terms, starts, constant, knots, grid, _, value, lines, work = tables
    n_kpis, n_lines = family.shape
    there, z = np.empty(n_lines, np.bool_), np.empty(n_lines)
    left, right = work[0], work[1]
    most = 0
    for line in range(n_lines):
        most = max(most, steps[line])
    for step in range(most + 1):
        for line in range(n_lines):
            there[line] = wanted[line] and step <= steps[line]
            if there[line]:
                z[line] = grid[line, first[line] + step]
        for k in range(n_kpis):
            evaluate(k, z, there, family, terms, starts, knots, right)
            for line in range(n_lines):
                if there[line]:
                    i, begin, end = first[line] + step, starts[k * n_lines + line], starts[k * n_lines + line + 1]
                    total = constant[k, line]
                    for term in range(begin, end):
                        total += terms[WEIGHT, term] * right[1, term]
                    value[k, line, i] = total
                    if step > 0:
                        width, out = z[line] - grid[line, i - 1], lines[k, line, :, i - 1]
                        for row in range(4):
                            out[row] = 0.0
                        add_lines(family[k, line], terms, knots[k, line], begin, end, width, left, right, out)
        left, right = right, left


@njit(cache=True, nogil=True, error_model="numpy")
def begin(lower: Floats, upper: Floats, points: int, tables: Tables) -> None:
    """Fill the tables on ``points`` grid points from ``lower`` to ``upper`` (L,); on one where they are equal.

    They are denser near the lower end: curves bend most there, and most money cannot go to every line.
    """
    grid, count = tables[5], tables[6]
    for line in range(len(lower)):
        count[line] = points if upper[line] > lower[line] else 1
        for i in range(points):
            share = (i / (points - 1)) ** 2
            grid[line, i] = lower[line] * (1.0 - share) + upper[line] * share
    _measure(np.zeros(len(lower), np.int64), count - 1, np.ones(len(lower), np.bool_), tables)


@njit(cache=True, nogil=True, error_model="numpy")
def insert(z: Floats, tables: Tables) -> int:
    """Add a grid point to each line, unless it stands next to nothing from one already; return how many are new.

    Parameters
    ----------
    z : (L,)
        New grid points; NaN for lines that get none.
    tables
        In this order:

        family, terms : (K, L), (6, M)
            Curve family codes; as for `add_lines`, by KPI, then by line.
        starts : (K * L + 1,)
            First term of each KPI and line.
        constant : (K, L)
            What does not depend on spend.
        knots : (K, L, 3, P)
            Pieces of curves through points.
        grid, count : (L, G), (L,)
            Grid points, rising, and how many there are; there must be room for one more.
        value, lines : (K, L, G), (K, L, 4, G)
            Values at grid points; the lines over the interval to the right of each.
        work : (2, 3, M)
            Scratch.
    """
    grid, count, value, lines = tables[5], tables[6], tables[7], tables[8]
    n_lines = len(count)
    before, wanted, new = np.zeros(n_lines, np.int64), np.zeros(n_lines, np.bool_), 0
    for line in range(n_lines):
        n = count[line]
        # Not so for NaN either.
        if not grid[line, 0] < z[line] < grid[line, n - 1]:
            continue
        at = place(grid[line], n, z[line]) + 1
        near = apart(grid[line], n)
        if z[line] - grid[line, at - 1] <= near or grid[line, at] - z[line] <= near:
            continue
        for i in range(n, at, -1):
            grid[line, i] = grid[line, i - 1]
            for k in range(len(value)):
                value[k, line, i] = value[k, line, i - 1]
                for row in range(4):
                    lines[k, line, row, i] = lines[k, line, row, i - 1]
        grid[line, at] = z[line]
        count[line] = n + 1
        before[line], wanted[line] = at - 1, True
        new += 1
    if new > 0:
        _measure(before, np.full(n_lines, 2), wanted, tables)
    return new


@njit(cache=True, nogil=True)
def number_twins(tables: Tables) -> Ints:
    """Number lines, the same number for lines that nothing tells apart, neither terms nor ends: (L,)."""
    grid, count = tables[5], tables[6]
    out = np.arange(len(count))
    for line in range(len(count)):
        for other in range(line):
            ends_differ = (
                grid[line, 0] != grid[other, 0] or grid[line, count[line] - 1] != grid[other, count[other] - 1]
            )
            if not ends_differ and out[other] == other and _alike(line, other, tables):
                out[line] = other
                break
    return out


@njit(cache=True, nogil=True)
def _alike(line: int, other: int, tables: Tables) -> bool:
    """Whether two lines do the same for every KPI, whatever is spent."""
    family, terms, starts, constant, knots = tables[0], tables[1], tables[2], tables[3], tables[4]
    n_kpis, n_lines = family.shape
    for k in range(n_kpis):
        a, b = starts[k * n_lines + line], starts[k * n_lines + other]
        n = starts[k * n_lines + line + 1] - a
        if family[k, line] != family[k, other] or constant[k, line] != constant[k, other]:
            return False
        if n != starts[k * n_lines + other + 1] - b:
            return False
        for term in range(n):
            for row in range(len(terms)):
                if terms[row, a + term] != terms[row, b + term]:
                    return False
        for row in range(3):
            for p in range(knots.shape[3]):
                if knots[k, line, row, p] != knots[k, other, row, p]:
                    return False
    return True
