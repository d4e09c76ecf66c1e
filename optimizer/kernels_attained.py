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
# Trade-offs: weights that add up to one (W, O); factors of each KPI's effect (W, K), of spend (W,) and a constant
# (W,); weights worth trying next to each (W, N); factors (O, K), (O,), (O,) of the objectives themselves.
Tradeoffs = tuple[Floats, Floats, Floats, Floats, Ints, Floats, Floats, Floats]

# Blends of plans whose objectives are nearer to a line are left out.
FLAT = 1e-9


@njit(cache=True, nogil=True, error_model="numpy")
def objectives(z: Floats, tradeoffs: Tradeoffs, tables: Tables, out: Floats) -> None:
    """Write the objectives (O,) of a plan (L,)."""
    family, terms, starts, constant, knots = tables[0], tables[1], tables[2], tables[3], tables[4]
    forms, spend, base = tradeoffs[5], tradeoffs[6], tradeoffs[7]
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
def blends(facets: Ints, plans: Floats, values: Floats, tradeoffs: Tradeoffs, tables: Tables) -> Floats:
    """What blends of O plans each attain at least: objectives less what is missed, (S, O, O)."""
    n = facets.shape[1]
    out, missed = np.empty((len(facets), n, n)), np.empty(n)
    low, high = np.empty(plans.shape[1]), np.empty(plans.shape[1])
    for i in range(len(facets)):
        for line in range(len(low)):
            low[line] = high[line] = plans[facets[i, 0], line]
            for j in range(1, n):
                low[line] = min(low[line], plans[facets[i, j], line])
                high[line] = max(high[line], plans[facets[i, j], line])
        missed_by_blends(low, high, tradeoffs, tables, missed)
        for j in range(n):
            for o in range(n):
                out[i, j, o] = values[facets[i, j], o] - missed[o]
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
def raster(corners: Floats, side: int, heights: Floats) -> None:
    """Raise heights on a grid over [0, 1] to what blends of plans attain.

    Parameters
    ----------
    corners : (S, O, O)
        Objectives of O plans each, whose blends attain at least what lies between them.
    side : int
        Cells of the grid in each objective but the last.
    heights : ((side + 1) ** (O - 1),)
        The last objective at the grid's nodes, the first objective outermost; replaced.
    """
    n = corners.shape[2] - 1
    first, last, index = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    rise = np.empty(n)
    for simplex in corners:
        base = simplex[n]
        matrix, empty = np.zeros((n, 2 * n)), False
        for j in range(n):
            least, most = base[j], base[j]
            for i in range(n):
                matrix[j, i] = simplex[i, j] - base[j]
                least, most = min(least, simplex[i, j]), max(most, simplex[i, j])
            matrix[j, n + j] = 1.0
            first[j] = max(int(np.ceil(least * side - 1e-12)), 0)
            last[j] = min(int(np.floor(most * side + 1e-12)), side)
            empty |= first[j] > last[j]
        if empty or not _invert(matrix):
            continue
        for j in range(n):
            rise[j], index[j] = simplex[j, n] - base[n], first[j]
        while True:
            inside, left, height, flat = True, 1.0, base[n], 0
            for i in range(n):
                share = 0.0
                for j in range(n):
                    share += matrix[i, n + j] * (index[j] / side - base[j])
                left -= share
                inside &= share >= 0.0
                height += share * rise[i]
            if inside and left >= 0.0:
                for j in range(n):
                    flat = flat * (side + 1) + index[j]
                heights[flat] = max(heights[flat], height)
            j = n - 1
            while j >= 0:
                index[j] += 1
                if index[j] <= last[j]:
                    break
                index[j] = first[j]
                j -= 1
            if j < 0:
                break


@njit(cache=True, nogil=True)
def unbeaten(values: Floats) -> Ints:
    """Which rows (N, O) no other row beats in all columns, of equal ones the first; higher is better."""
    n, keep, count = len(values), np.empty(len(values), np.int64), 0
    for i in range(n):
        beaten = False
        for j in range(n):
            no_less, more = True, j < i
            for o in range(values.shape[1]):
                no_less &= values[j, o] >= values[i, o]
                more |= values[j, o] > values[i, o]
            if j != i and no_less and more:
                beaten = True
                break
        if not beaten:
            keep[count] = i
            count += 1
    return keep[:count]
