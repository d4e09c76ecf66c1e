"""What more or less money would do, as far as the report shows it: the budget curve and the next amount."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..budget import BudgetCurve, at_budget, budget_curve
from ..errors import InfeasibleError
from ..plan import Plan, plain
from ..scenario import Scenario
from ..simulate import simulate
from ..solve.routes import solve
from .effects import TAILS

Row = dict[str, Any]
NEXT = 100_000.0


def quick(scenario: Scenario) -> bool:
    """Whether a plan for another budget takes seconds: not with free flighting or on/off rules, nor synergy."""
    return not scenario.free and scenario.polyhedron.switches is None and not scenario.response.synergy


def next_amount(budget: float) -> float:
    """Return the amount to ask about: 100,000, or for small budgets the largest 1, 2 or 5 x 10^n in half of it.

    >>> next_amount(500_000.0), next_amount(60_000.0), next_amount(3.0)
    (100000.0, 20000.0, 1.0)
    """
    if budget / 2 >= NEXT:
        return NEXT
    power = 10.0 ** math.floor(math.log10(budget / 2))
    return max(digit * power for digit in (1.0, 2.0, 5.0) if digit * power <= budget / 2)


def outlook(plan: Plan, progress: Callable[[float], None] | None = None) -> Row:
    """Return the best plans at other budgets, and where the next amount would go.

    Returns
    -------
    dict
        That of `BudgetCurve.to_dict`, and ``next``: ``amount``, ``error`` (why no plan spends it, empty where one
        does), ``lines`` (``line``, ``now``, ``then``, ``difference``, ``share`` of the amount) and ``kpis``
        (``kpi``, ``now``, ``then``, ``difference``, ``low``, ``high``).
    """
    curve: BudgetCurve = budget_curve(plan.scenario, progress=progress)
    budget = plan.scenario.spec.constraints.budget.amount
    amount = next_amount(budget)
    return {**curve.to_dict(), "next": {"amount": amount, **_next(plan, budget + amount, amount)}}


def _next(plan: Plan, budget: float, amount: float) -> Row:
    try:
        then = solve(at_budget(plan.scenario, budget))
    except InfeasibleError as error:
        return {"error": error.message, "lines": [], "kpis": [], "spent": 0.0}
    moved = then.totals - plan.totals
    lines = [
        {
            "line": line,
            "now": float(plan.totals[line]),
            "then": float(then.totals[line]),
            "difference": float(moved[line]),
            "share": float(moved[line]) / amount,
        }
        for line in plan.totals.index
    ]
    before, after = simulate(plan.scenario, plan.spend), simulate(plan.scenario, then.spend)
    kpis = []
    for name in plan.outcomes.index:
        now, later = (float(made.outcomes.loc[name, "expected"]) for made in (plan, then))
        row: Row = {"kpi": name, "now": plain(now), "then": plain(later), "difference": plain(later - now)}
        apart = after[name] - before[name]
        low, high = apart.quantile(list(TAILS)) if len(apart) > 1 else (None, None)
        row |= {"low": plain(low), "high": plain(high)}
        kpis.append(row)
    return {"error": "", "lines": lines, "kpis": kpis, "spent": float(moved.sum())}
