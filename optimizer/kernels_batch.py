"""Many accounts at once: each one's best split of its budget, what it does by draw, and the moves to it (numba).

One call takes a range of accounts and holds no interpreter lock, so threads share accounts out among them. All of
an account's working memory is its own: what one account does can never sway another.

Shapes: A accounts, R rows (a line of an account each; an account's rows stand together), K KPIs, T tiers, D draws
of an account, L lines of an account.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_accounts import (
    BOUND,
    BOXES,
    DUST,
    IS,
    PLANNED,
    TODAY,
    UNIT,
    curves_of,
    effects_at,
    marginals,
    spread,
    totals,
    twins_of,
    weigh,
)
from .kernels_lanes import measure
from .kernels_search import known, search
from .kernels_separable import CLOSED, DONE, FULL, OPEN, SEEN, VALUE, best_split
from .kernels_tables import begin

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# What a trade-off is stated in: steps of a scale, money, or nothing where there is a single KPI.
SCALED, WORTH, SINGLE = range(3)
# How an account ended.
SOLVED, NO_SCALE, NO_EFFECT, NOT_CLOSED, SKIPPED = range(5)
POINTS_TO_BEGIN = 7
MOST_BOXES = 32768


@njit(cache=True, nogil=True, error_model="numpy")
def solve_accounts(
    begin_at: int,
    end_at: int,
    wanted: Bools,
    starts: Ints,
    current: Floats,
    lower: Floats,
    upper: Floats,
    budget: Floats,
    exactly: bool,
    tolerance: float,
    tails: Floats,
    tier: Ints,
    mode: Ints,
    weight: Floats,
    draws: Ints,
    family: Ints,
    at: Ints,
    values: Floats,
    status: Ints,
    found: Floats,
    kpis: Floats,
    plan: Floats,
    marginal: Floats,
) -> None:
    """Solve a range of accounts.

    Parameters
    ----------
    begin_at, end_at : int
        The range.
    wanted : (A,)
        Accounts to be solved; the others are marked `SKIPPED`.
    starts : (A + 1,)
        First row of each account.
    current, lower, upper : (R,)
        Spend today, least and most; currency.
    budget : (A,)
        Currency; there must be a plan that keeps it and the ranges.
    exactly : bool
        Whether all of the budget must be spent.
    tolerance : float
        Accepted gap, in steps of the scale; without one as a share of what all lines could do at their most.
    tails : (2,)
        Probabilities of the interval's ends.
    tier, mode, weight : (A,), (T,), (T, K)
        The trade-off: what one unit of a KPI counts for, negative where less is better. `SCALED`: multiplied by
        the KPI today, so that it is per share of today's.
    draws : (A,)
        Draws of the account's curves.
    family, at, values : (K, R), (K, 5, R + 1), flat
        Curve family codes, and where the numbers of each curve lie in the values: scale, first and second
        parameter (one for each draw, one for all, or none), spend and effect of points.
    status, found, kpis, plan, marginal : (A,), (A, 6), (A, K, 7), (R,), (2, K, R)
        Written: how it ended; objective today and planned, its bound, one step of it, boxes looked at, share of
        draws in which it is better; the same by KPI in KPI units; spend; KPI units for one more of currency,
        today and planned.
    """
    curves, n_kpis = (draws, family, at, values), len(family)
    factors, gaps, quick = np.zeros((end_at, n_kpis)), np.empty(end_at), np.zeros(end_at, np.bool_)
    for a in range(begin_at, end_at):
        status[a] = SOLVED if wanted[a] else SKIPPED
        quick[a] = wanted[a] and known(starts[a], starts[a + 1], family, lower, upper)
    _measure_any(begin_at, current, quick, status, starts, upper, curves, kpis, TODAY, marginal, 0)
    most = np.zeros((end_at, n_kpis, 1))
    if np.any(mode != SCALED):
        spare = np.empty((1, n_kpis, len(current)))
        _measure_any(begin_at, upper, quick, status, starts, upper, curves, most, 0, spare, 0)
    for a in range(begin_at, end_at):
        if status[a] == SOLVED:
            factors[a], unit, status[a] = _factors(
                mode[tier[a]], weight[tier[a]], kpis[a, :, TODAY], most[a, :, 0]
            )
            found[a, UNIT], gaps[a] = unit, tolerance * unit
            quick[a] = status[a] == SOLVED and quick[a]
    sought = quick.copy()
    for a in range(begin_at, end_at):
        sought[a] = quick[a] and np.min(factors[a]) >= 0.0
    boxes, bounds, worth = np.zeros(end_at, np.int64), np.full(end_at, np.nan), np.empty(end_at)
    search(
        _in_order(sought, starts, draws),
        exactly,
        gaps,
        factors,
        starts,
        current,
        lower,
        upper,
        budget,
        draws,
        family,
        at,
        values,
        plan,
        worth,
        bounds,
        boxes,
    )
    for a in range(begin_at, end_at):
        rows = slice(starts[a], starts[a + 1])
        if status[a] == SOLVED and not np.isfinite(bounds[a]):
            terms, cells, knots = curves_of(rows.start, rows.stop, draws[a], family, at, values)
            fam = np.ascontiguousarray(family[:, rows])
            plan[rows], bounds[a], boxes[a] = _split(
                budget[a], exactly, gaps[a], factors[a], lower[rows], upper[rows], fam, terms, cells, knots
            )
            status[a] = SOLVED if np.isfinite(bounds[a]) else NOT_CLOSED
        if status[a] == SOLVED:
            _settle(plan[rows], current[rows], lower[rows], upper[rows], budget[a])
        else:
            quick[a] = False
    _measure_any(begin_at, plan, quick, status, starts, upper, curves, kpis, PLANNED, marginal, 1)
    for a in range(begin_at, end_at):
        if status[a] != SOLVED:
            continue
        rows = slice(starts[a], starts[a + 1])
        worse = np.sum(factors[a] * kpis[a, :, PLANNED]) <= np.sum(factors[a] * kpis[a, :, TODAY])
        if worse and _allowed(current[rows], lower[rows], upper[rows], budget[a], exactly):
            plan[rows], kpis[a, :, PLANNED] = current[rows], kpis[a, :, TODAY]
            marginal[1, :, rows] = marginal[0, :, rows]
        weigh(factors[a], found[a], kpis[a])
        found[a, BOUND], found[a, BOXES] = max(bounds[a], found[a, IS]), boxes[a]
        if draws[a] > 1:
            terms, cells, knots = curves_of(rows.start, rows.stop, draws[a], family, at, values)
            fam = np.ascontiguousarray(family[:, rows])
            before = effects_at(current[rows], fam, terms, cells, knots)
            after = effects_at(plan[rows], fam, terms, cells, knots)
            spread(before, after, draws[a], tails, factors[a], terms, cells, found[a], kpis[a])


@njit(cache=True, nogil=True, error_model="numpy")
def _measure_any(
    begin_at: int,
    spend: Floats,
    quick: Bools,
    status: Ints,
    starts: Ints,
    upper: Floats,
    curves: tuple[Ints, Ints, Ints, Floats],
    kpis: Floats,
    column: int,
    marginal: Floats,
    side: int,
) -> None:
    """Work out what spends (R,) do to KPIs, the ``quick`` accounts side by side, the others one by one."""
    draws, family, at, values = curves
    measure(
        _in_order(quick, starts, draws),
        spend,
        starts,
        upper,
        draws,
        family,
        at,
        values,
        kpis,
        column,
        marginal,
        side,
    )
    for a in range(begin_at, len(quick)):
        if status[a] == SOLVED and not quick[a]:
            rows = slice(starts[a], starts[a + 1])
            terms, cells, knots = curves_of(rows.start, rows.stop, draws[a], family, at, values)
            effects = effects_at(spend[rows], np.ascontiguousarray(family[:, rows]), terms, cells, knots)
            kpis[a, :, column] = totals(effects, terms, cells, len(family))
            marginals(effects, terms, cells, marginal[side, :, rows])


@njit(cache=True, nogil=True)
def _in_order(wanted: Bools, starts: Ints, draws: Ints) -> Ints:
    """The accounts wanted, fewest draws and then lines first: a block has as many as the most of its accounts."""
    which = np.flatnonzero(wanted)
    rank = np.empty(len(which), np.int64)
    for i in range(len(which)):
        a = which[i]
        rank[i] = draws[a] * starts[-1] + starts[a + 1] - starts[a]
    return which[np.argsort(rank, kind="mergesort")]


@njit(cache=True, nogil=True, error_model="numpy")
def measure_accounts(
    begin_at: int,
    end_at: int,
    wanted: Bools,
    starts: Ints,
    current: Floats,
    tails: Floats,
    factors: Floats,
    draws: Ints,
    family: Ints,
    at: Ints,
    values: Floats,
    found: Floats,
    kpis: Floats,
    plan: Floats,
    marginal: Floats,
) -> None:
    """Write what plans do that were found elsewhere; ``factors`` (A, K), the rest as for `solve_accounts`."""
    for a in range(begin_at, end_at):
        if not wanted[a]:
            continue
        rows = slice(starts[a], starts[a + 1])
        terms, cells, knots = curves_of(rows.start, rows.stop, draws[a], family, at, values)
        fam = np.ascontiguousarray(family[:, rows])
        before = effects_at(current[rows], fam, terms, cells, knots)
        after = effects_at(plan[rows], fam, terms, cells, knots)
        for side, column, effects in ((0, TODAY, before), (1, PLANNED, after)):
            kpis[a, :, column] = totals(effects, terms, cells, len(fam))
            marginals(effects, terms, cells, marginal[side, :, rows])
        weigh(factors[a], found[a], kpis[a])
        if draws[a] > 1:
            spread(before, after, draws[a], tails, factors[a], terms, cells, found[a], kpis[a])


@njit(cache=True, nogil=True, error_model="numpy")
def _factors(mode: int, weight: Floats, today: Floats, most: Floats) -> tuple[Floats, float, int]:
    """What one unit of each KPI counts for (K,), one step of the objective, and whether there is such a thing."""
    factors = weight.copy()
    if mode == SCALED:
        for k in range(len(weight)):
            if weight[k] != 0.0:
                if not today[k] > 0.0:
                    return factors, 1.0, NO_SCALE
                factors[k] = weight[k] / today[k]
        return factors, 1.0, SOLVED
    unit = np.sum(np.abs(factors) * most)
    return factors, unit, SOLVED if unit > 0.0 else NO_EFFECT


@njit(cache=True, nogil=True, error_model="numpy")
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
    twins = twins_of(lower, upper, family, terms, cells, knots)
    boxes, bounds = np.empty((n_boxes, 2, n_lines)), np.empty(n_boxes)
    boxes[0, 0], boxes[0, 1], bounds[0] = lower, upper, np.inf
    state, best = np.zeros(4), np.empty(n_lines)
    state[OPEN], state[VALUE], state[CLOSED] = 1, -np.inf, -np.inf
    while True:
        tables = (family, terms, cells, constant, knots, grid, count, value, lines, work)
        ended = best_split(budget, exactly, tolerance, factors, 0.0, boxes, bounds, state, best, twins, tables)
        n_open = int(state[OPEN])
        if ended == DONE:
            top = max(state[VALUE], state[CLOSED])
            return best, max(top, np.max(bounds[:n_open])) if n_open else top, int(state[SEEN])
        if ended == FULL:
            grid, value, lines = _roomier(grid), _roomier(value), _roomier(lines)
        elif n_open + 1 >= len(bounds) and len(bounds) < MOST_BOXES:
            more, higher = np.empty((4 * len(bounds), 2, n_lines)), np.empty(4 * len(bounds))
            more[:n_open], higher[:n_open] = boxes[:n_open], bounds[:n_open]
            boxes, bounds = more, higher
        else:
            return best, np.nan, int(state[SEEN])


@njit(cache=True, nogil=True)
def _roomier(table: Floats) -> Floats:
    wider = np.zeros((*table.shape[:-1], 2 * table.shape[-1]))
    wider[..., : table.shape[-1]] = table
    return wider


@njit(cache=True, nogil=True, error_model="numpy")
def _settle(best: Floats, current: Floats, lower: Floats, upper: Floats, budget: float) -> None:
    """Leave lines exactly where they are that moved by next to nothing; keep to the ranges to the last digit."""
    for i in range(len(best)):
        best[i] = min(max(best[i], lower[i]), upper[i])
        if abs(best[i] - current[i]) <= DUST * budget and lower[i] <= current[i] <= upper[i]:
            best[i] = current[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _allowed(current: Floats, lower: Floats, upper: Floats, budget: float, exactly: bool) -> bool:
    """Whether today's split keeps the rules."""
    total = np.sum(current)
    near = 1e-12 * budget
    if total > budget + near or (exactly and total < budget - near):
        return False
    return bool(np.all(current >= lower) and np.all(current <= upper))
