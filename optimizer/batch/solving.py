"""Solve a chunk of accounts: the batch kernel for all, and the routes of `solve` for those that other rules bind.

The kernel knows one budget and a range for each line. Where its plan keeps the other rules too, it is the best
under them as well, as fewer rules allow every plan that more rules do; only the accounts whose plan breaks one are
solved again, as scenarios.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import OptimizerError
from ..plan import INTERVAL
from .accounts import Accounts, Bools, Floats, Ints
from .rules import RulesSpec, Tradeoff
from .splitting import (
    NO_SCALE,
    SCALED,
    SINGLE,
    SKIPPED,
    SOLVED,
    WORTH,
    Splits,
    measure_plans,
    split_budgets,
    todays_split_is_allowed,
)

if TYPE_CHECKING:
    from ..plan import Plan

KERNEL = "separable"
# The solver libraries make no promise about threads.
ONE_AT_A_TIME = Lock()
WHY_NOT = (
    "",
    "{kpi} is 0 today: a scale in shares of today's value has no size",
    "no line does anything at what it may spend",
    "the gap to the proven bound did not close",
)


@dataclass(frozen=True)
class Solved(Splits):
    """What was found for a chunk of accounts, under all rules.

    Attributes
    ----------
    wanted : (A,)
        Accounts that are solved.
    routes : (A,)
        The solver module that found the plan.
    guarantees : (A,)
        As in a `Certificate`.
    binding : dict
        By account: rules that bind beside its lines' ranges, in words.
    """

    wanted: Bools
    routes: NDArray[np.object_]
    guarantees: NDArray[np.object_]
    binding: dict[int, list[str]]


def tradeoffs(rules: RulesSpec) -> tuple[Ints, Floats]:
    """Modes (T,) and weights (T, K) of the tiers as `split_budgets` reads them."""
    modes, rows = [], []
    for tradeoff in rules.tiers.values() or (rules.tradeoff,):
        modes.append(SCALED if tradeoff.weights else WORTH if tradeoff.values else SINGLE)
        rows.append(_weights(rules, tradeoff))
    return np.array(modes), np.array(rows)


def _weights(rules: RulesSpec, tradeoff: Tradeoff) -> list[float]:
    if tradeoff.weights:
        total = sum(tradeoff.weights.values())
        return [
            tradeoff.weights[name] / total / (tradeoff.scale[name][1] - tradeoff.scale[name][0])
            for name in rules.kpis
        ]
    signs = [1.0 if kpi.direction == "maximize" else -1.0 for kpi in rules.kpis.values()]
    return [sign * tradeoff.values.get(name, 1.0) for sign, name in zip(signs, rules.kpis, strict=True)]


def solve_chunk(accounts: Accounts, rules: RulesSpec) -> Solved:
    """Solve every sound account; those that cannot be are added to the accounts' faults."""
    tails = np.array([(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    modes, weights = tradeoffs(rules)
    splits = split_budgets(accounts, modes, weights, rules.budget.spend == "all", rules.tolerance, tails)
    for a in np.flatnonzero((splits.status != SOLVED) & (splits.status != SKIPPED)).tolist():
        accounts.faults[a] = _why_not(accounts, rules, a, int(splits.status[a]))
    n = len(splits.status)
    solved = Solved(
        **vars(splits),
        wanted=splits.status == SOLVED,
        routes=np.full(n, KERNEL, dtype=object),
        guarantees=np.full(n, "global", dtype=object),
        binding={},
    )
    if rules.more:
        _keep_other_rules(accounts, rules, solved, weights[accounts.tier], modes[accounts.tier], tails)
    return solved


def _why_not(accounts: Accounts, rules: RulesSpec, a: int, status: int) -> str:
    if status != NO_SCALE:
        return WHY_NOT[status]
    # Named by what its lines do today: nothing.
    nothing = []
    for k, name in enumerate(rules.kpis):
        rows = slice(accounts.starts[a], accounts.starts[a + 1])
        if not np.any((accounts.family[k, rows] > 0) & (accounts.current[rows] > 0)):
            nothing.append(name)
    return WHY_NOT[status].format(kpi=" and ".join(nothing) or "a KPI")


def _keep_other_rules(
    accounts: Accounts, rules: RulesSpec, solved: Solved, weights: Floats, modes: Ints, tails: Floats
) -> None:
    """Solve again the accounts whose plan breaks a rule that the kernel does not know."""
    from .. import kernels_accounts as entries
    from ..solve.routes import solve
    from .scenarios import breaks, scenario_of

    again = solved.wanted & breaks(accounts, rules, solved.plan, solved.kpis[:, :, entries.PLANNED], solved.kpis)
    if not again.any():
        return
    scale = np.where((modes == SCALED)[:, None], solved.kpis[:, :, entries.TODAY], 1.0)
    factors = np.divide(weights, scale, out=np.zeros_like(weights), where=weights != 0)
    gap = np.zeros(len(again))
    for a in np.flatnonzero(again).tolist():
        rows = slice(accounts.starts[a], accounts.starts[a + 1])
        try:
            scenario = scenario_of(accounts, rules, a, solved.kpis[a, :, entries.TODAY])
            with ONE_AT_A_TIME:
                found = solve(scenario, tolerance=rules.tolerance)
        except OptimizerError as error:
            accounts.faults[a] = error.message
            again[a] = solved.wanted[a] = False
            continue
        solved.plan[rows] = np.clip(found.spend.to_numpy(dtype=float), accounts.lower[rows], accounts.upper[rows])
        solved.routes[a], solved.guarantees[a] = found.certificate.route, found.certificate.guarantee
        gap[a] = abs(found.certificate.bound - found.certificate.value)
        solved.binding[a] = _binding(found)

    measure_plans(accounts, np.flatnonzero(again), factors, tails, solved)
    bound = solved.found[:, entries.IS] + gap
    today = solved.kpis[:, :, entries.TODAY]
    worse = again & todays_split_is_allowed(accounts, rules.budget.spend == "all")
    worse &= ~breaks(accounts, rules, accounts.current, today, solved.kpis)
    worse &= solved.found[:, entries.IS] <= solved.found[:, entries.WAS]
    stay = np.repeat(worse, np.diff(accounts.starts))
    solved.plan[stay] = accounts.current[stay]
    measure_plans(accounts, np.flatnonzero(worse), factors, tails, solved)
    solved.found[again, entries.BOUND] = np.maximum(bound, solved.found[:, entries.IS])[again]
    solved.found[again, entries.BOXES] = np.nan


def _binding(plan: Plan) -> list[str]:
    """Rules that bind, in words, beside the budget and the lines' own."""
    polyhedron = plan.scenario.polyhedron
    own = {name for name, owner in zip(polyhedron.names, polyhedron.owner, strict=True) if owner >= 0}
    binding = plan.rules.index[plan.rules["binding"].to_numpy(dtype=bool)]
    return [str(name) for name in binding if name not in own and not str(name).startswith("budget: ")]
