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
    kept, count, keep = np.empty((n, n_columns)), 0, np.zeros(n, np.bool_)
    for at in order:
        beaten = False
        for j in range(count):
            no_less = True
            for o in range(n_columns):
                no_less &= kept[j, o] >= values[at, o]
            if no_less:
                beaten = True
                # What beats one beats those like it: it is looked at first next time.
                for o in range(n_columns):
                    kept[j, o], kept[j // 2, o] = kept[j // 2, o], kept[j, o]
                break
        if not beaten:
            for o in range(n_columns):
                kept[count, o] = values[at, o]
            count += 1
            keep[at] = True
    return np.flatnonzero(keep)
