"""What it costs to have planned under one scenario's assumptions if another's are true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .plan import Plan, labelled
from .preferences import bound

# A rule or floor missed by less than this, as a share of the money or of the floor, is kept.
KEPT = 1e-5
COLUMNS = ["value", "best", "regret", "measure", "allowed", "broken"]


def regret_table(plans: Mapping[str, Plan]) -> pd.DataFrame:
    """Hold every plan against the best plan of every scenario.

    Parameters
    ----------
    plans : mapping
        Best plans by scenario, every scale frozen.

    Returns
    -------
    DataFrame
        Index ``plan``, ``scenario``; columns as in `Comparison.regret`. ``value`` is NaN where the scenario has
        an order of KPIs (priorities), not a value, or where it does not know what the plan spends on.
    """
    from .solve.cells import problem_of
    from .solve.tradeoff import value_of

    rows: dict[tuple[str, str], list[Any]] = {}
    for name, own in plans.items():
        problem = problem_of(own.scenario)
        best, measure = own.certificate.value, own.certificate.measure
        for other, plan in plans.items():
            spend, why = _taken(plan, own)
            if spend is None:
                rows[other, name] = [np.nan, best, np.nan, measure, False, why]
                continue
            value = best if plan is own else value_of(problem, spend.to_numpy(dtype=float))
            broken = [] if plan is own else _broken(own, spend)
            behind = np.nan if value is None else _sign(own) * (best - value)
            rows[other, name] = [value, best, behind, measure, not broken, ", ".join(broken)]
    order = [(plan, scenario) for plan in plans for scenario in plans]
    index = pd.MultiIndex.from_tuples(order, names=["plan", "scenario"])
    return pd.DataFrame([rows[pair] for pair in order], index=index, columns=COLUMNS).astype({"value": float})


def _taken(plan: Plan, own: Plan) -> tuple[pd.Series | pd.DataFrame | None, str]:
    """A plan's spend as another scenario takes it, or why that cannot be."""
    lines, scenario = list(own.scenario.lines), own.scenario
    strange = [line for line, spend in plan.totals.items() if spend > 0 and line not in lines]
    if strange:
        return None, f"spends on {', '.join(map(str, strange))}, which the scenario does not have"
    if plan.scenario.free and not scenario.free:
        return None, "chooses spend by period, which the scenario fixes"
    if not scenario.free:
        return plan.totals.reindex(lines, fill_value=0.0), ""
    if plan.scenario.spec.horizon.periods != scenario.spec.horizon.periods:
        return None, "covers another number of periods"
    spread = plan.by_period.reindex(lines, fill_value=0.0)
    return labelled(scenario, spread.to_numpy(dtype=float)), ""


def _sign(plan: Plan) -> float:
    """-1 where less of the certificate's measure is better."""
    kpi = plan.scenario.spec.kpis.get(plan.certificate.measure)
    single = len(plan.scenario.objectives) == 1
    return -1.0 if single and kpi is not None and kpi.direction == "minimize" else 1.0


def _broken(own: Plan, spend: pd.Series | pd.DataFrame) -> list[str]:
    """The rules and floors of a scenario that a plan does not keep."""
    rules = Plan(own.scenario, spend, own.certificate).rules["slack"]
    floors = own.scenario.spec.preferences.floors
    money = max(float(spend.to_numpy().sum()), own.scenario.spec.constraints.budget.amount)
    sizes = [money] * (len(rules) - len(floors)) + [abs(bound(limit)) for limit in floors.values()]
    # A floor that cannot be reckoned (a ratio with nothing below) is not kept.
    return [str(name) for (name, room), size in zip(rules.items(), sizes, strict=True) if not room >= -KEPT * size]
