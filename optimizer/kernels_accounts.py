"""One account of a batch: its curves as response tables read them, what a plan does by draw, moves (numba).

Shapes: A accounts, R rows (a line of an account each; an account's rows stand together), K KPIs, D draws of an
account, L lines of an account.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_curves import HILL, LINEAR, POINTS, POWER
from .kernels_tables import evaluate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
# Of all accounts: draws (A,), family (K, R), at (K, 5, R + 1), values, as `kernels_batch` tells.
Curves = tuple[Ints, Ints, Ints, Floats]

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
def effects_at(spend: Floats, family: Ints, terms: Floats, cells: Ints, knots: Floats) -> Floats:
    """Every term's place on its curve's axis, value and slope there: (3, M)."""
    out, all_lines = np.empty((3, terms.shape[1])), np.ones(len(spend), np.bool_)
    for k in range(family.shape[0]):
        evaluate(k, spend, all_lines, family, terms, cells, knots, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def totals(effects: Floats, terms: Floats, cells: Ints, n_kpis: int) -> Floats:
    """What all lines add to each KPI, mean over draws: (K,) from what `effects_at` returns."""
    total, n_lines = np.zeros(n_kpis), (len(cells) - 1) // n_kpis
    for k in range(n_kpis):
        for m in range(cells[k * n_lines], cells[(k + 1) * n_lines]):
            total[k] += terms[3, m] * effects[1, m]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def marginals(effects: Floats, terms: Floats, cells: Ints, marginal: Floats) -> None:
    """Write KPI units for one more of currency (K, L), mean over draws, from what `effects_at` returns."""
    n_kpis, n_lines = marginal.shape
    for k in range(n_kpis):
        for i in range(n_lines):
            marginal[k, i] = 0.0
            for m in range(cells[k * n_lines + i], cells[k * n_lines + i + 1]):
                marginal[k, i] += terms[3, m] * terms[0, m] * effects[2, m]


@njit(cache=True, nogil=True)
def weigh(factors: Floats, found: Floats, kpis: Floats) -> None:
    """Write what an account's KPIs are worth today and planned; what draws say of them is not known yet."""
    found[WAS], found[IS], found[BETTER] = 0.0, 0.0, np.nan
    for k in range(len(factors)):
        found[WAS] += factors[k] * kpis[k, TODAY]
        found[IS] += factors[k] * kpis[k, PLANNED]
        kpis[k, LOW:] = np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def spread(
    today: Floats,
    planned: Floats,
    n_draws: int,
    tails: Floats,
    factors: Floats,
    terms: Floats,
    cells: Ints,
    found: Floats,
    kpis: Floats,
) -> None:
    """Write what two draws and more say of a plan against today's spend, to one account's `found` and `kpis`.

    ``today`` and ``planned`` (3, M) are what `effects_at` returns; the rest is told in `kernels_batch`.
    """
    n_kpis = len(factors)
    by_draw, gain, n_lines = np.zeros((2, n_draws)), np.zeros(n_draws), (len(cells) - 1) // n_kpis
    for k in range(n_kpis):
        by_draw[:] = 0.0
        for i in range(n_lines):
            first, last = cells[k * n_lines + i], cells[k * n_lines + i + 1]
            for m in range(first, last):
                weight = terms[3, m] * n_draws
                by_draw[0, m - first] += weight * today[1, m]
                by_draw[1, m - first] += weight * planned[1, m]
        change = by_draw[1] - by_draw[0]
        gain += factors[k] * change
        kpis[k, KPI_BETTER] = np.mean((change if factors[k] >= 0.0 else -change) > 0.0)
        kpis[k, LOW], kpis[k, HIGH] = _interval(by_draw[1], tails)
        kpis[k, CHANGE_LOW], kpis[k, CHANGE_HIGH] = _interval(change, tails)
    found[BETTER] = np.mean(gain > 0.0)


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
        Accounts that have a plan; first row of each account; currency.
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
