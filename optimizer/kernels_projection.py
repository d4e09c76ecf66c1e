"""The plan nearest to a given one that keeps all linear rules: Euclidean projection onto a polyhedron (numba).

Rows are sparse (CSR: ``starts``, ``columns``, ``factors``); N plans of n variables, M rows. With multipliers
``y`` of the rows, the nearest point in the box is ``x(y) = clip(point - A' y, lower, upper)``, and the best ``y``
maximise a concave, piecewise quadratic dual. Newton's method on it (semismooth: Qi & Sun, Math. Prog. 58, 1993) is
exact after the last change of pieces; a sweep over single rows (Hildreth, Naval Res. Logist. Q. 4, 1957) follows
each step. Where that stalls, an active-set method takes over.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_active import project_active

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SWEEPS, HALVINGS = 1, 5
# How exactly rows are kept, in units of the variables: as good as rounding allows.
EXACT = 1e-14
# What Newton's method may leave, so that the projection is not handed on for its last digits.
RESIDUE = 1e-12
# Conjugate gradients stop at this share of the first residual.
CLOSE = 1e-14


@njit(cache=True, nogil=True, error_model="numpy")
def along(point: Floats, row: Floats, step: float, lower: Floats, upper: Floats, out: Floats) -> float:
    """Write ``clip(point - step * row)`` and return ``row @`` it."""
    total = 0.0
    for i in range(len(point)):
        out[i] = min(max(point[i] - step * row[i], lower[i]), upper[i])
        total += row[i] * out[i]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def project_row(
    points: Floats, lower: Floats, upper: Floats, row: Floats, b: float, equal: bool, out: Floats, miss: Floats
) -> None:
    """Project onto one row and a box.

    Newton's method on the multiplier, between two ends that close in: halved where Newton would leave them.

    Parameters
    ----------
    points, lower, upper : (N, n)
        Plans, and the box of each.
    row, b, equal : (n,), float, bool
        ``row @ x <= b``, or ``= b``.
    out : (N, n)
        The projections.
    miss : (N,)
        How much the row is missed by: rounding, or more where box and row have no plan in common.
    """
    for k in range(len(points)):
        point, low, high, x = points[k], lower[k], upper[k], out[k]
        total = along(point, row, 0.0, low, high, x)
        if total <= b and not equal:
            miss[k] = 0.0
            continue
        # Beyond these ends every variable is at a bound.
        left, right = 0.0, 0.0
        for i in range(len(point)):
            if row[i] != 0.0:
                one, other = (point[i] - low[i]) / row[i], (point[i] - high[i]) / row[i]
                left, right = min(left, one, other), max(right, one, other)
        step = 0.0
        for _ in range(200):
            rise = 0.0
            for i in range(len(point)):
                if low[i] < x[i] < high[i]:
                    rise += row[i] * row[i]
            if total > b:
                left = max(left, step)
            else:
                right = min(right, step)
            if abs(total - b) <= EXACT * (1.0 + abs(b)) or right - left <= 1e-17 * (1.0 + abs(left)):
                break
            move = step + (total - b) / rise if rise > 0.0 else left - 1.0
            step = move if left < move < right else 0.5 * (left + right)
            total = along(point, row, step, low, high, x)
        miss[k] = abs(total - b)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def times(starts: Ints, columns: Ints, factors: Floats, x: Floats, out: Floats) -> None:
    """Write ``A x`` (M,)."""
    for row in range(len(out)):
        total = 0.0
        for at in range(starts[row], starts[row + 1]):
            total += factors[at] * x[columns[at]]
        out[row] = total


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def back(starts: Ints, columns: Ints, factors: Floats, y: Floats, out: Floats) -> None:
    """Write ``A' y`` (n,)."""
    out[:] = 0.0
    for row in range(len(y)):
        if y[row] != 0.0:
            for at in range(starts[row], starts[row + 1]):
                out[columns[at]] += factors[at] * y[row]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def dual(
    point: Floats,
    lower: Floats,
    upper: Floats,
    starts: Ints,
    columns: Ints,
    factors: Floats,
    b: Floats,
    y: Floats,
    x: Floats,
    rise: Floats,
) -> float:
    """Write ``x(y)`` and the dual's gradient ``A x - b``; return the dual's value."""
    back(starts, columns, factors, y, x)
    value = 0.0
    for i in range(len(x)):
        x[i] = min(max(point[i] - x[i], lower[i]), upper[i])
        value += 0.5 * (x[i] - point[i]) ** 2
    times(starts, columns, factors, x, rise)
    for row in range(len(y)):
        rise[row] -= b[row]
        value += y[row] * rise[row]
    return value


@njit(cache=True, nogil=True, error_model="numpy")
def residual(y: Floats, rise: Floats, equal: Bools) -> float:
    """How far from the optimum: the largest miss of a row, or of complementarity in a row with room."""
    worst = 0.0
    for row in range(len(y)):
        miss = abs(rise[row]) if equal[row] else abs(min(y[row], -rise[row]))
        worst = max(worst, miss)
    return worst


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def newton(
    starts: Ints, columns: Ints, factors: Floats, free: Bools, active: Bools, rise: Floats, step: Floats
) -> None:
    """Solve ``A_I F A_I' step = rise_I`` by conjugate gradients, over active rows I and free variables F."""
    n_rows = len(rise)
    wide = np.empty(len(free))
    rest, way, image = np.zeros(n_rows), np.zeros(n_rows), np.empty(n_rows)
    step[:] = 0.0
    size = 0.0
    for row in range(n_rows):
        if active[row]:
            rest[row] = rise[row]
            way[row] = rise[row]
            size += rise[row] ** 2
    first = size
    for _ in range(2 * n_rows + 10):
        if size <= CLOSE * CLOSE * first or size == 0.0:
            return
        back(starts, columns, factors, way, wide)
        for i in range(len(free)):
            if not free[i]:
                wide[i] = 0.0
        times(starts, columns, factors, wide, image)
        bend = 0.0
        for row in range(n_rows):
            if active[row]:
                bend += way[row] * image[row]
        if bend <= 1e-14 * size:
            return
        share = size / bend
        after = 0.0
        for row in range(n_rows):
            if active[row]:
                step[row] += share * way[row]
                rest[row] -= share * image[row]
                after += rest[row] ** 2
        for row in range(n_rows):
            way[row] = rest[row] + after / size * way[row]
        size = after


@njit(cache=True, nogil=True, error_model="numpy")
def move_of(
    point: Floats, shift: Floats, lower: Floats, upper: Floats, columns: Ints, factors: Floats, b: float
) -> float:
    """How far one row's multiplier must move for the row to hold exactly, the others held.

    Newton's method between two ends that close in; beyond these every variable of the row is at a bound.
    """
    left, right, step = 0.0, 0.0, 0.0
    for at in range(len(columns)):
        i = columns[at]
        if factors[at] != 0.0:
            raw = point[i] - shift[i]
            one, other = (raw - lower[i]) / factors[at], (raw - upper[i]) / factors[at]
            left, right = min(left, one, other), max(right, one, other)
    for _ in range(200):
        miss, rise = -b, 0.0
        for at in range(len(columns)):
            i = columns[at]
            raw = point[i] - shift[i] - step * factors[at]
            miss += factors[at] * min(max(raw, lower[i]), upper[i])
            if lower[i] < raw < upper[i]:
                rise += factors[at] * factors[at]
        if miss > 0.0:
            left = max(left, step)
        else:
            right = min(right, step)
        if abs(miss) <= 0.1 * EXACT or right - left <= 1e-17 * (1.0 + abs(left)):
            break
        move = step + miss / rise if rise > 0.0 else left - 1.0
        step = move if left < move < right else 0.5 * (left + right)
    return step


@njit(cache=True, nogil=True, error_model="numpy")
def sweep(
    point: Floats,
    lower: Floats,
    upper: Floats,
    starts: Ints,
    columns: Ints,
    factors: Floats,
    b: Floats,
    equal: Bools,
    y: Floats,
    shift: Floats,
) -> None:
    """One pass over the rows: the multiplier of each moved to its optimum, the others held.

    ``shift`` (n,) is ``A' y``, kept up to date.
    """
    for row in range(len(y)):
        of = slice(starts[row], starts[row + 1])
        change = move_of(point, shift, lower, upper, columns[of], factors[of], b[row])
        if not equal[row]:
            change = max(change, -y[row])
        if change != 0.0:
            y[row] += change
            for at in range(starts[row], starts[row + 1]):
                shift[columns[at]] += change * factors[at]


@njit(cache=True, nogil=True, error_model="numpy")
def dense(starts: Ints, columns: Ints, factors: Floats, n: int) -> Floats:
    """The rows written out: (M, n)."""
    A = np.zeros((len(starts) - 1, n))
    for row in range(len(A)):
        for at in range(starts[row], starts[row + 1]):
            A[row, columns[at]] += factors[at]
    return A


@njit(cache=True, nogil=True, error_model="numpy")
def project_rows(
    points: Floats,
    lower: Floats,
    upper: Floats,
    starts: Ints,
    columns: Ints,
    factors: Floats,
    b: Floats,
    equal: Bools,
    rounds: int,
    out: Floats,
    miss: Floats,
) -> None:
    """Project onto any rows and a box; arguments are those of `project_row`, rows (M,).

    ``rounds`` bounds the Newton steps a plan; where they do not do, `kernels_active` finds the projection. A
    ``miss`` (N,) above rounding means that box and rows have no plan in common.
    """
    n_rows, n = len(b), points.shape[1]
    y, trial, step = np.empty(n_rows), np.empty(n_rows), np.empty(n_rows)
    rise, later = np.empty(n_rows), np.empty(n_rows)
    x, shift = np.empty(n), np.empty(n)
    free, active = np.empty(n, np.bool_), np.empty(n_rows, np.bool_)
    enough, A = EXACT, np.empty((0, n))
    for row in range(n_rows):
        enough = max(enough, EXACT * (1.0 + abs(b[row])))
    for k in range(len(points)):
        point, low, high = points[k], lower[k], upper[k]
        y[:] = 0.0
        value = dual(point, low, high, starts, columns, factors, b, y, x, rise)
        for _ in range(rounds):
            if residual(y, rise, equal) <= enough:
                break
            back(starts, columns, factors, y, shift)
            for i in range(n):
                free[i] = low[i] < point[i] - shift[i] < high[i]
            for row in range(n_rows):
                active[row] = equal[row] or y[row] > 0.0 or rise[row] > 0.0
            newton(starts, columns, factors, free, active, rise, step)
            share, moved = 1.0, False
            for _ in range(HALVINGS):
                gain = 0.0
                for row in range(n_rows):
                    trial[row] = y[row] + share * step[row]
                    if not equal[row]:
                        trial[row] = max(trial[row], 0.0)
                    gain += rise[row] * (trial[row] - y[row])
                found = dual(point, low, high, starts, columns, factors, b, trial, x, later)
                if gain > 0.0 and found >= value + 1e-4 * gain:
                    moved = True
                    break
                share *= 0.5
            if moved:
                y[:] = trial
            back(starts, columns, factors, y, shift)
            for _ in range(SWEEPS):
                sweep(point, low, high, starts, columns, factors, b, equal, y, shift)
            value = dual(point, low, high, starts, columns, factors, b, y, x, rise)
        if residual(y, rise, equal) > RESIDUE:
            if len(A) == 0:
                A = dense(starts, columns, factors, n)
            if project_active(point, low, high, A, b, equal, x):
                for i in range(n):
                    x[i] = min(max(x[i], low[i]), high[i])
            times(starts, columns, factors, x, rise)
            for row in range(n_rows):
                rise[row] -= b[row]
        worst = 0.0
        for row in range(n_rows):
            worst = max(worst, abs(rise[row]) if equal[row] else rise[row])
        out[k], miss[k] = x, worst
