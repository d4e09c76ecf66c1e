"""One account of a batch: its curves as response tables read them, what a plan does by draw, moves (numba).

Shapes: A accounts, R rows (a line of an account each; an account's rows stand together), K KPIs, D draws of an
account, L lines of an account.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_curves import HILL, LINEAR, POINTS, POWER
from .kernels_tables import BLOCK, curves_at, value_and_slope

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Columns of a row's curve: where its numbers begin in the flat values.
SCALE, FIRST, SECOND, AT, EFFECT = range(5)
# Entries of an account's result, and of each of its KPIs'.
WAS, IS, BOUND, UNIT, BOXES, BETTER = range(6)
TODAY, PLANNED, LOW, HIGH, CHANGE_LOW, CHANGE_HIGH, KPI_BETTER = range(7)
# Spend nearer to today's than this share of the budget is today's.
DUST = 1e-12


@njit(cache=True, nogil=True, error_model="numpy")
def curves_of(
    start: int, stop: int, n_draws: int, family: Ints, at: Ints, values: Floats
) -> tuple[Floats, Ints, Floats]:
    """An account's curves as `kernels_tables` reads them: terms (6, M), cells (K L + 1,), knots (K, L, 3, P)."""
    n_kpis, n_lines = family.shape[0], stop - start
    pieces, cells = 1, np.zeros(n_kpis * n_lines + 1, np.int64)
    for k in range(n_kpis):
        for i in range(n_lines):
            cell, row = k * n_lines + i, start + i
            pieces = max(pieces, at[k, AT, row + 1] - at[k, AT, row])
            cells[cell + 1] = cells[cell] + (n_draws if family[k, row] > 0 else 0)
    terms, knots = np.zeros((6, cells[-1])), np.zeros((n_kpis, n_lines, 3, pieces))
    for k in range(n_kpis):
        for i in range(n_lines):
            row, code = start + i, family[k, start + i]
            plain = code in (LINEAR, POWER, POINTS)
            for d in range(n_draws if code > 0 else 0):
                m = cells[k * n_lines + i] + d
                scale = _number(at[k, SCALE], row, d, values)
                slope = _number(at[k, SECOND], row, d, values)
                terms[0, m] = 1.0 if plain else 1.0 / _number(at[k, FIRST], row, d, values)
                terms[2, m], terms[3, m] = slope, scale / n_draws
                if code == HILL and slope > 1.0:
                    # d2/dx2 [x^s / (1 + x^s)] = 0 at x^s = (s - 1) / (s + 1)
                    power = (slope - 1.0) / (slope + 1.0)
                    terms[4, m] = power ** (1.0 / slope)
                    terms[5, m] = slope * power / (1.0 + power) ** 2 / terms[4, m]
            if code == POINTS:
                _pieces(at[k, AT, row], at[k, AT, row + 1], at[k, EFFECT, row], values, knots[k, i])
    return terms, cells, knots


@njit(cache=True, nogil=True)
def _number(at: Ints, row: int, draw: int, values: Floats) -> float:
    n = at[row + 1] - at[row]
    if n == 0:
        return 1.0
    return values[at[row] + (draw if n > 1 else 0)]


@njit(cache=True, nogil=True, error_model="numpy")
def _pieces(first: int, last: int, effect: int, values: Floats, knots: Floats) -> None:
    """Straight pieces from (0, 0) through points: start, width and gradient (3, P)."""
    x, y, n = 0.0, 0.0, 0
    for i in range(last - first):
        width = values[first + i] - x
        if width > 0.0:
            knots[0, n], knots[1, n], knots[2, n] = x, width, (values[effect + i] - y) / width
            n += 1
        x, y = values[first + i], values[effect + i]


@njit(cache=True, nogil=True, error_model="numpy")
def totals(spend: Floats, family: Ints, terms: Floats, cells: Ints, knots: Floats, work: Floats) -> Floats:
    """What all lines add to each KPI, mean over draws: (K,)."""
    n_kpis, n_lines = family.shape
    total = np.zeros(n_kpis)
    for k in range(n_kpis):
        for i in range(n_lines):
            cell = k * n_lines + i
            total[k] += value_and_slope(
                family[k, i], terms, knots[k, i], cells[cell], cells[cell + 1], spend[i], work
            )[0]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def report(
    current: Floats,
    plan: Floats,
    n_draws: int,
    tails: Floats,
    factors: Floats,
    family: Ints,
    terms: Floats,
    cells: Ints,
    knots: Floats,
    work: Floats,
    found: Floats,
    kpis: Floats,
) -> None:
    """Write what a plan does by draw against today's: one account's `found` and `kpis`."""
    n_kpis, n_lines = family.shape
    effects, gain, out = np.zeros((2, n_draws)), np.zeros(n_draws), work[0]
    for k in range(n_kpis):
        effects[:] = 0.0
        for i in range(n_lines):
            cell = k * n_lines + i
            for first in range(cells[cell], cells[cell + 1], BLOCK):
                n, d = min(BLOCK, cells[cell + 1] - first), first - cells[cell]
                for side in range(2):
                    spend = plan[i] if side else current[i]
                    curves_at(family[k, i], terms, knots[k, i], first, n, spend, out)
                    for j in range(n):
                        effects[side, d + j] += out[1, j] * terms[3, first + j] * n_draws
        kpis[k, TODAY], kpis[k, PLANNED] = np.mean(effects[0]), np.mean(effects[1])
        gain += factors[k] * (effects[1] - effects[0])
        kpis[k, LOW:] = np.nan
        if n_draws > 1:
            sign = 1.0 if factors[k] >= 0.0 else -1.0
            kpis[k, KPI_BETTER] = np.mean(sign * (effects[1] - effects[0]) > 0.0)
            kpis[k, LOW], kpis[k, HIGH] = _interval(effects[1], tails)
            kpis[k, CHANGE_LOW], kpis[k, CHANGE_HIGH] = _interval(effects[1] - effects[0], tails)
    found[BETTER] = np.mean(gain > 0.0) if n_draws > 1 else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def _interval(values: Floats, tails: Floats) -> tuple[float, float]:
    """Quantiles of values at two probabilities, straight lines between order statistics."""
    ordered = np.sort(values)
    last = len(ordered) - 1
    low, high = tails[0] * last, tails[1] * last
    below, above = min(int(low), last - 1), min(int(high), last - 1)
    return (
        ordered[below] + (low - below) * (ordered[below + 1] - ordered[below]),
        ordered[above] + (high - above) * (ordered[above + 1] - ordered[above]),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def marginals(
    current: Floats,
    plan: Floats,
    family: Ints,
    terms: Floats,
    cells: Ints,
    knots: Floats,
    work: Floats,
    out: Floats,
) -> None:
    """Write each line's slope by KPI, today and planned: (2, K, L)."""
    n_kpis, n_lines = family.shape
    for k in range(n_kpis):
        for i in range(n_lines):
            first, last = cells[k * n_lines + i], cells[k * n_lines + i + 1]
            out[0, k, i] = value_and_slope(family[k, i], terms, knots[k, i], first, last, current[i], work)[1]
            out[1, k, i] = value_and_slope(family[k, i], terms, knots[k, i], first, last, plan[i], work)[1]


@njit(cache=True, nogil=True, error_model="numpy")
def find_moves(
    wanted: Bools,
    starts: Ints,
    current: Floats,
    plan: Floats,
    n_moves: Ints,
    giver: Ints,
    taker: Ints,
    amount: Floats,
) -> None:
    """Write the moves from today's spend to the plan: the greatest giver pays the greatest taker, and so on.

    Parameters
    ----------
    wanted, starts, current, plan : (A,), (A + 1,), (R,), (R,)
        As for `solve_accounts`.
    n_moves : (A,)
        Written: how many moves an account has, never more than lines.
    giver, taker, amount : (R,)
        Written from the account's first row on: rows, -1 for the budget itself; currency.
    """
    for a in range(len(wanted)):
        n_moves[a] = 0
        if not wanted[a]:
            continue
        start, stop = starts[a], starts[a + 1]
        # What a party has to give (or, below zero, is to get); the last party is the budget itself.
        parties = np.empty(stop - start + 1)
        for i in range(stop - start):
            parties[i] = current[start + i] - plan[start + i]
        parties[-1] = -np.sum(parties[:-1])
        least = 4.0 * DUST * (np.sum(current[start:stop]) + np.sum(plan[start:stop]))
        if abs(parties[-1]) <= least:
            parties[-1] = 0.0
        while n_moves[a] < stop - start:
            source, sink = int(np.argmax(parties)), int(np.argmin(parties))
            moved = min(parties[source], -parties[sink])
            if not moved > 0.0:
                break
            # What is left of a party by rounding goes with its last move.
            if abs(parties[source] - moved) <= least:
                moved = parties[source]
            parties[source] -= moved
            parties[sink] += moved
            at = start + n_moves[a]
            giver[at] = start + source if start + source < stop else -1
            taker[at] = start + sink if start + sink < stop else -1
            amount[at] = moved
            n_moves[a] += 1
