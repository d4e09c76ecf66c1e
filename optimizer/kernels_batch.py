"""Accounts one by one: best splits of budgets, what spends do, what draws say of plans (numba).

A call takes a list of accounts and holds no interpreter lock, so threads share accounts out among them. All of an
account's working memory is its own: what one account does can never sway another. `kernels_search` takes many
side by side, where their curves allow it; this takes all.

Shapes: A accounts, N of them at hand, R rows (a line of an account each; an account's rows stand together),
K KPIs, D draws of an account, L lines of an account. ``curves`` are, for all kernels here:

draws, family, at, values : (A,), (K, R), (K, 5, R + 1), flat
    Draws of the account's curves; curve family codes; where the numbers of each curve lie in the values: scale,
    first and second parameter (one for each draw, one for all, or none), spend and effect of points.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_accounts import Curves, curves_of, effects_at, marginals, spread, totals, weigh
from .kernels_separable import CLOSED, DONE, FULL, OPEN, SEEN, VALUE, best_split
from .kernels_tables import begin

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

POINTS_TO_BEGIN = 7
MOST_BOXES = 32768


@njit(cache=True, nogil=True, error_model="numpy")
def measure_each(which: Ints, spend: Floats, starts: Ints, curves: Curves, kpis: Floats, marginal: Floats) -> None:
    """Work out what spends do to KPIs, mean over draws.

    Parameters
    ----------
    which : (N,)
        Accounts.
    spend, starts : (R,), (A + 1,)
        Currency; first row of each account.
    kpis : (A, K)
        Written: what all lines add to each KPI.
    marginal : (K, R)
        Written: KPI units for one more of currency.
    """
    draws, family, at, values = curves
    for a in which:
        rows = slice(starts[a], starts[a + 1])
        terms, cells, knots = curves_of(rows.start, rows.stop, draws[a], family, at, values)
        effects = effects_at(spend[rows], np.ascontiguousarray(family[:, rows]), terms, cells, knots)
        kpis[a] = totals(effects, terms, cells, len(family))
        marginals(effects, terms, cells, marginal[:, rows])


@njit(cache=True, nogil=True, error_model="numpy")
def tell(
    which: Ints,
    starts: Ints,
    current: Floats,
    plan: Floats,
    curves: Curves,
    factors: Floats,
    tails: Floats,
    found: Floats,
    kpis: Floats,
) -> None:
    """Write what plans are worth against today's spend, and what draws say of that.

    Parameters
    ----------
    current, plan : (R,)
        Currency.
    factors, tails : (A, K), (2,)
        What one unit of each KPI counts for; probabilities of an interval's ends.
    found, kpis : (A, 6), (A, K, 7)
        Entries as `kernels_accounts` names them; today's and planned KPIs are there on entry.
    """
    draws, family, at, values = curves
    for a in which:
        weigh(factors[a], found[a], kpis[a])
        if draws[a] > 1:
            rows = slice(starts[a], starts[a + 1])
            terms, cells, knots = curves_of(rows.start, rows.stop, draws[a], family, at, values)
            own = np.ascontiguousarray(family[:, rows])
            before = effects_at(current[rows], own, terms, cells, knots)
            after = effects_at(plan[rows], own, terms, cells, knots)
            spread(before, after, draws[a], tails, factors[a], terms, cells, found[a], kpis[a])


@njit(cache=True, nogil=True, error_model="numpy")
def split_each(
    which: Ints,
    exactly: bool,
    tolerance: Floats,
    factors: Floats,
    starts: Ints,
    lower: Floats,
    upper: Floats,
    budget: Floats,
    curves: Curves,
    plan: Floats,
    bounds: Floats,
    boxes: Ints,
) -> None:
    """Find the best splits of accounts' budgets, and bounds.

    Parameters
    ----------
    exactly : bool
        Whether all of a budget must be spent.
    tolerance, factors : (A,), (A, K)
        Accepted gap, and what one unit of each KPI counts for.
    lower, upper, budget : (R,), (R,), (A,)
        Least and most; currency. There must be a split that keeps them.
    plan, bounds, boxes : (R,), (A,), (A,)
        Written: the best split, the proven bound (NaN where the gap did not close) and boxes looked at.
    """
    draws, family, at, values = curves
    for a in which:
        rows = slice(starts[a], starts[a + 1])
        terms, cells, knots = curves_of(rows.start, rows.stop, draws[a], family, at, values)
        own = np.ascontiguousarray(family[:, rows])
        plan[rows], bounds[a], boxes[a] = _split(
            budget[a], exactly, tolerance[a], factors[a], lower[rows], upper[rows], own, terms, cells, knots
        )


@njit(cache=True, inline="always", nogil=True, error_model="numpy")
def _split(
    budget: float,
    exactly: bool,
    tolerance: float,
    factors: Floats,
    lower: Floats,
    upper: Floats,
    family: Ints,
    terms: Floats,
    cells: Ints,
    knots: Floats,
) -> tuple[Floats, float, int]:
    """The best split of one budget, a proven bound (NaN where the gap did not close) and boxes looked at."""
    n_kpis, n_lines = family.shape
    room, n_boxes = 4 * POINTS_TO_BEGIN, 32
    grid, count = np.empty((n_lines, room)), np.ones(n_lines, np.int64)
    value, lines = np.empty((n_kpis, n_lines, room)), np.empty((n_kpis, n_lines, 4, room))
    constant, work = np.zeros(family.shape), np.empty((2, 3, terms.shape[1]))
    begin(lower, upper, POINTS_TO_BEGIN, (family, terms, cells, constant, knots, grid, count, value, lines, work))
    if np.max(count) == 1:
        # Nothing can move: there is one split.
        only = 0.0
        for k in range(n_kpis):
            only += factors[k] * np.sum(value[k, :, 0])
        return lower.copy(), only, 0
    boxes, bounds = np.empty((n_boxes, 2, n_lines)), np.empty(n_boxes)
    boxes[0, 0], boxes[0, 1], bounds[0] = lower, upper, np.inf
    state, best = np.zeros(4), np.empty(n_lines)
    state[OPEN], state[VALUE], state[CLOSED] = 1, -np.inf, -np.inf
    while True:
        tables = (family, terms, cells, constant, knots, grid, count, value, lines, work)
        ended = best_split(budget, exactly, tolerance, factors, 0.0, boxes, bounds, state, best, tables)
        n_open = int(state[OPEN])
        if ended == DONE:
            top = max(state[VALUE], state[CLOSED])
            return best, max(top, np.max(bounds[:n_open])) if n_open else top, int(state[SEEN])
        if ended == FULL:
            grid = _roomier(grid)
            value = _roomier(value.reshape((-1, room))).reshape((n_kpis, n_lines, 2 * room))
            lines = _roomier(lines.reshape((-1, room))).reshape((n_kpis, n_lines, 4, 2 * room))
            room *= 2
        elif n_open + 1 >= len(bounds) and len(bounds) < MOST_BOXES:
            more, higher = np.empty((4 * len(bounds), 2, n_lines)), np.empty(4 * len(bounds))
            more[:n_open], higher[:n_open] = boxes[:n_open], bounds[:n_open]
            boxes, bounds = more, higher
        else:
            return best, np.nan, int(state[SEEN])


@njit(cache=True, nogil=True)
def _roomier(table: Floats) -> Floats:
    rows, room = table.shape
    wider = np.zeros((rows, 2 * room))
    wider[:, :room] = table
    return wider
