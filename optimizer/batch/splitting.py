"""Split budgets of many accounts that ranges bind and nothing else: all together, by the kernels.

Accounts whose curves `kernels_search` knows go side by side, the others one by one; so do those whose gap it does
not close.

A: accounts, R: rows (a line of an account each), K: KPIs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .accounts import NEAR, Accounts, Bools, Floats, Ints

# What a trade-off is stated in: steps of a scale, money, or nothing where there is a single KPI.
SCALED, WORTH, SINGLE = range(3)
# How an account ended.
SOLVED, NO_SCALE, NO_EFFECT, NOT_CLOSED, SKIPPED = range(5)
# Accounts whose numbers stay in the processor's cache from one step to the next.
TOGETHER = 2048


@dataclass(frozen=True)
class Splits:
    """What was found for a chunk of accounts.

    Attributes
    ----------
    status : (A,)
        How it ended.
    found : (A, 6)
        Objective today and planned, its bound, one step of it, boxes looked at, share of draws in which it is
        better.
    kpis : (A, K, 7)
        Today, planned, the planned KPI's interval, its change's, and share of draws in which it is better.
    plan : (R,)
        Spend.
    marginal : (2, K, R)
        KPI units for one more of currency, today and planned.
    """

    status: Ints
    found: Floats
    kpis: Floats
    plan: Floats
    marginal: Floats

    @classmethod
    def none(cls, accounts: Accounts) -> Splits:
        """Nothing yet."""
        n, (n_kpis, rows) = len(accounts.budget), accounts.family.shape
        return cls(
            np.full(n, SKIPPED),
            np.full((n, 6), np.nan),
            np.full((n, n_kpis, 7), np.nan),
            np.full(rows, np.nan),
            np.full((2, n_kpis, rows), np.nan),
        )


def split_budgets(
    accounts: Accounts, modes: Ints, weights: Floats, exactly: bool, tolerance: float, tails: Floats
) -> Splits:
    """Find the best split of each sound account's budget.

    Parameters
    ----------
    modes, weights : (T,), (T, K)
        Each tier's trade-off: what one unit of a KPI counts for, negative where less is better. `SCALED`:
        multiplied by the KPI today, so that it is per share of today's.
    exactly : bool
        Whether all of a budget must be spent.
    tolerance : float
        Accepted gap, in steps of the scale; without one as a share of what all lines could do at their most.
    tails : (2,)
        Probabilities of the intervals' ends.
    """
    todo = _Todo(accounts, Splits.none(accounts))
    # Fewest draws and lines first: a block has as many as the most of its accounts.
    rank = accounts.draws * len(accounts.current) + np.diff(accounts.starts)
    parts = [np.flatnonzero(accounts.sound[first : first + TOGETHER]) for first in range(0, len(rank), TOGETHER)]
    parts = [part + TOGETHER * place for place, part in enumerate(parts)]
    parts = [part[np.argsort(rank[part], kind="stable")] for part in parts]
    for part in parts:
        todo.weigh(part, modes, weights)
        todo.split(todo.solved(part), exactly, tolerance)
    todo.settle()
    for part in parts:
        todo.measure_plans(todo.solved(part))
    todo.compare(exactly, tails)
    return todo.splits


class _Todo:
    """A chunk's accounts and what is known of their splits so far.

    ``quick`` (A,): accounts whose lines are such as `kernels_search` knows. ``factors`` (A, K): what one unit of a
    KPI counts for. ``bounds``, ``boxes`` (A,): of the splits found.
    """

    def __init__(self, accounts: Accounts, splits: Splits) -> None:
        from ..kernels_curves import HILL, MICHAELIS_MENTEN
        from ..kernels_search import BESIDE_ZERO

        n = len(accounts.budget)
        smooth = np.isin(accounts.family, (0, HILL, MICHAELIS_MENTEN)).all(axis=0)
        beside_zero = (accounts.lower > 0.0) & (accounts.lower < BESIDE_ZERO * accounts.upper)
        self.accounts, self.splits = accounts, splits
        self.quick = np.logical_and.reduceat(smooth & ~beside_zero, accounts.starts[:-1])
        self.factors = np.zeros((n, len(accounts.family)))
        self.bounds, self.boxes = np.full(n, np.nan), np.zeros(n, np.int64)

    def solved(self, which: Ints) -> Ints:
        """Those of the accounts that nothing stopped so far."""
        return which[self.splits.status[which] == SOLVED]

    def measure(self, which: Ints, spend: Floats, kpis: Floats, marginal: Floats) -> None:
        """Write what spends (R,) do to KPIs (A, K), and KPI units for one more of currency (K, R)."""
        from ..kernels_batch import measure_each
        from ..kernels_lanes import measure

        accounts, quick = self.accounts, self.quick[which]
        curves = accounts.draws, accounts.family, accounts.at, accounts.values
        measure(which[quick], spend, accounts.starts, accounts.upper, curves, kpis, marginal)
        if not quick.all():
            measure_each(which[~quick], spend, accounts.starts, curves, kpis, marginal)

    def weigh(self, which: Ints, modes: Ints, weights: Floats) -> None:
        """Work out KPIs today, what a unit of each counts for, and one step of the objective."""
        from ..kernels_accounts import TODAY, UNIT

        accounts, splits = self.accounts, self.splits
        self.measure(which, accounts.current, splits.kpis[:, :, TODAY], splits.marginal[0])
        mode, weight = modes[accounts.tier[which]], weights[accounts.tier[which]]
        today, scaled = splits.kpis[which, :, TODAY], (mode == SCALED)[:, None] & (weight != 0.0)
        has_scale = np.all(~scaled | (today > 0.0), axis=1)
        factors = np.divide(weight, today, out=weight.copy(), where=scaled & (today > 0.0))
        unit, status = np.ones(len(which)), np.where(has_scale, SOLVED, NO_SCALE)
        others = mode != SCALED
        if others.any():
            most, spare = np.zeros((*self.factors.shape, 1)), np.empty_like(splits.marginal[0])
            self.measure(which[others], accounts.upper, most[:, :, 0], spare)
            unit[others] = np.sum(np.abs(factors) * most[which, :, 0], axis=1)[others]
            status[others] = np.where(unit[others] > 0.0, SOLVED, NO_EFFECT)
        splits.status[which], splits.found[which, UNIT], self.factors[which] = status, unit, factors

    def split(self, which: Ints, exactly: bool, tolerance: float) -> None:
        """Find the best splits."""
        from ..kernels_accounts import UNIT
        from ..kernels_batch import split_each
        from ..kernels_search import search

        accounts, splits, plan = self.accounts, self.splits, self.splits.plan
        curves = accounts.draws, accounts.family, accounts.at, accounts.values
        gaps, worth = tolerance * splits.found[:, UNIT], np.empty(len(self.bounds))
        ranges, rules = (accounts.lower, accounts.upper, accounts.budget), (exactly, gaps, self.factors)
        together = which[self.quick[which] & (self.factors[which].min(axis=1, initial=np.inf) >= 0.0)]
        told = self.bounds, self.boxes
        search(together, *rules, accounts.starts, accounts.current, *ranges, curves, plan, worth, *told)
        left = which[~np.isfinite(self.bounds[which])]
        if len(left):
            split_each(left, *rules, accounts.starts, *ranges, curves, plan, *told)
            splits.status[left[~np.isfinite(self.bounds[left])]] = NOT_CLOSED

    def settle(self) -> None:
        """Keep to the ranges to the last digit; leave lines where they are that moved by next to nothing."""
        from ..kernels_accounts import DUST

        accounts, plan = self.accounts, self.splits.plan
        kept = np.clip(plan, accounts.lower, accounts.upper)
        near = np.abs(kept - accounts.current) <= DUST * np.repeat(accounts.budget, np.diff(accounts.starts))
        inside = (accounts.lower <= accounts.current) & (accounts.current <= accounts.upper)
        plan[:] = np.where(near & inside, accounts.current, kept)

    def measure_plans(self, which: Ints) -> None:
        """Work out what splits do."""
        from ..kernels_accounts import PLANNED

        self.measure(which, self.splits.plan, self.splits.kpis[:, :, PLANNED], self.splits.marginal[1])

    def compare(self, exactly: bool, tails: Floats) -> None:
        """Keep today's split where none is better and it is allowed; tell what all bring."""
        from ..kernels_accounts import BOUND, BOXES, IS, PLANNED, TODAY

        accounts, splits = self.accounts, self.splits
        which = np.flatnonzero(splits.status == SOLVED)
        gain = np.sum(self.factors * (splits.kpis[:, :, PLANNED] - splits.kpis[:, :, TODAY]), axis=1)
        worse = (splits.status == SOLVED) & ~(gain > 0.0) & todays_split_is_allowed(accounts, exactly)
        stay = np.repeat(worse, np.diff(accounts.starts))
        splits.plan[stay] = accounts.current[stay]
        splits.kpis[worse, :, PLANNED] = splits.kpis[worse, :, TODAY]
        splits.marginal[1][:, stay] = splits.marginal[0][:, stay]
        tell(accounts, which, self.factors, tails, splits)
        splits.found[which, BOUND] = np.maximum(self.bounds[which], splits.found[which, IS])
        splits.found[which, BOXES] = self.boxes[which]


def todays_split_is_allowed(accounts: Accounts, exactly: bool) -> Bools:
    """Whether today's split keeps the budget and the ranges: (A,)."""
    first = accounts.starts[:-1]
    # Accounts with faults may have numbers that are none.
    with np.errstate(invalid="ignore"):
        over = np.add.reduceat(accounts.current, first) - accounts.budget
    near = NEAR * accounts.budget
    good = (np.abs(over) if exactly else over) <= near
    inside = (accounts.current >= accounts.lower) & (accounts.current <= accounts.upper)
    return good & np.logical_and.reduceat(inside, first)


def measure_plans(accounts: Accounts, which: Ints, factors: Floats, tails: Floats, splits: Splits) -> None:
    """Write what plans do that were found elsewhere; ``factors`` (A, K)."""
    from ..kernels_accounts import PLANNED
    from ..kernels_batch import measure_each

    curves = accounts.draws, accounts.family, accounts.at, accounts.values
    measure_each(which, splits.plan, accounts.starts, curves, splits.kpis[:, :, PLANNED], splits.marginal[1])
    tell(accounts, which, factors, tails, splits)


def tell(accounts: Accounts, which: Ints, factors: Floats, tails: Floats, splits: Splits) -> None:
    """Write what plans are worth against today's spend, and what draws say of that."""
    from .. import kernels_batch as kernels

    curves = accounts.draws, accounts.family, accounts.at, accounts.values
    kernels.tell(
        which, accounts.starts, accounts.current, splits.plan, curves, factors, tails, splits.found, splits.kpis
    )
