"""What more or less money would do: the best plan at each budget, the next money, what a target costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .errors import InfeasibleError, SpecError
from .plan import Plan, plain, records
from .scenario import Scenario
from .solve.routes import solve

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
FEASIBLE, INFEASIBLE = "solved", "infeasible"


@dataclass(frozen=True)
class BudgetCurve:
    """The best plan at each of some budgets, all on the scale of the scenario's own budget.

    Attributes
    ----------
    scenario : Scenario
        With every scale frozen to numbers.
    points : DataFrame
        Index ``budget`` (currency over the horizon, rising). Columns: ``status`` (``solved``, or ``infeasible``
        where no plan keeps every rule: the rest is NaN then), ``value`` and ``bound`` (the objective, in the
        certificate's measure), ``guarantee``, ``shadow_price`` (what the objective gains from 1,000 more of
        currency; NaN where the solver gave none), one column for each KPI (expected value), then one for each
        line (``spend <line>``, currency over the horizon).
    """

    scenario: Scenario
    points: pd.DataFrame

    def move(self, amount: float) -> pd.DataFrame:
        """Where an amount of money would go, or a cut would come from: two best plans, compared.

        Parameters
        ----------
        amount : float
            Currency on top of the scenario's budget; negative for a cut.

        Returns
        -------
        DataFrame
            By line: ``now``, ``then`` and ``difference``, currency over the horizon.

        Raises
        ------
        InfeasibleError, SolverError
            As for `solve`.
        """
        budget = self.scenario.spec.constraints.budget.amount
        now, then = (solve(at_budget(self.scenario, at)).totals for at in (budget, budget + amount))
        return pd.DataFrame({"now": now, "then": then, "difference": then - now}).rename_axis("line")

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data, numbers unrounded; NaN becomes null."""
        return {
            "scenario": self.scenario.name,
            "scenario_hash": self.scenario.hash,
            "currency": self.scenario.spec.currency,
            "budget": plain(self.scenario.spec.constraints.budget.amount),
            "points": records(self.points),
        }


def at_budget(scenario: Scenario, amount: float) -> Scenario:
    """Return the scenario with another budget, currency over the horizon; all else as it is, the scale too."""
    # Not a multiplier: the amount asked for is kept to the last digit.
    kinds = scenario.spec.constraints.budget.model_dump(exclude_none=True)
    rules = {"budget": dict.fromkeys(kinds, float(amount))}
    return scenario.variant(f"{scenario.name}, budget {amount:,g}"[:200], constraints=rules)


def budget_curve(
    scenario: Scenario,
    budgets: Iterable[float] | None = None,
    *,
    progress: Callable[[float], None] | None = None,
) -> BudgetCurve:
    """Solve for the best plan at each budget.

    Parameters
    ----------
    scenario : Scenario
        A scale given as ``payoff`` is computed at the scenario's own budget, then held.
    budgets : iterable of float, optional
        Currency over the horizon; half to one and a half times the scenario's budget unless given.
    progress : callable, optional
        Called with the share of the work done, 0 to 1.

    Returns
    -------
    BudgetCurve
        With a row for every budget, those without a plan too.

    Raises
    ------
    InfeasibleError, SolverError
        If the scenario's own budget has no plan, as for `solve`.
    SpecError
        If a budget is not a positive number.
    """
    base = solve(scenario)
    scenario = base.scenario
    own = scenario.spec.constraints.budget.amount
    asked = sorted({own * share for share in SHARES} if budgets is None else {float(at) for at in budgets})
    for at in asked:
        if not (np.isfinite(at) and at > 0):
            raise SpecError(f"a budget of {at:g}", "give positive amounts of currency", path=("budgets",))
    rows = {}
    for done, at in enumerate(asked):
        rows[at] = _row(scenario, base if at == own else None, at)
        if progress is not None:
            progress((done + 1) / len(asked))
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("budget")
    return BudgetCurve(scenario, table)


def _row(scenario: Scenario, plan: Plan | None, budget: float) -> dict[str, Any]:
    try:
        plan = plan or solve(at_budget(scenario, budget))
    except InfeasibleError:
        return {"status": INFEASIBLE}
    certificate = plan.certificate
    names = [name for name in plan.prices if name.startswith("budget")]
    row: dict[str, Any] = {"status": FEASIBLE, "value": certificate.value, "bound": certificate.bound}
    row |= {"guarantee": certificate.guarantee, "shadow_price": plan.prices[names[0]] if names else np.nan}
    row |= {str(name): value for name, value in plan.outcomes["expected"].items()}
    return row | {f"spend {line}": float(value) for line, value in plan.totals.items()}


def budget_for(
    scenario: Scenario,
    kpi: str,
    *,
    value: float | None = None,
    per_spend: float | None = None,
    marginal: float | None = None,
    up_to: float | None = None,
) -> Plan:
    """Find the budget that a target for one KPI asks for, and the plan that spends it.

    Rules and floors of the scenario hold; its budget does not.

    Parameters
    ----------
    scenario : Scenario
        What spend does, and what is allowed.
    kpi : str
        An additive KPI to be had more of.
    value : float
        KPI units: the least budget whose plan reaches it.
    per_spend : float
        KPI units per unit of currency (a target return on investment): the plan with most of the KPI that
        reaches it.
    marginal : float
        KPI units per unit of currency (a target marginal return): spend as long as more money brings this much.
        Exactly one of the three must be given.
    up_to : float, optional
        Currency over the horizon that is looked at; the sum of the lines' ``max`` unless given.

    Returns
    -------
    Plan
        Its total spend is the budget asked for; its certificate is in currency, or in the KPI.

    Raises
    ------
    SpecError
        If not exactly one target is given, the KPI cannot be optimised, or a line without ``max`` leaves ``up_to``
        open.
    InfeasibleError, SolverError
        As for `solve`; infeasible where no budget reaches the target.
    """
    targets = {"value": value, "per_spend": per_spend, "marginal": marginal}
    given = {name: at for name, at in targets.items() if at is not None}
    if len(given) != 1:
        raise SpecError(
            f"{len(given)} of 'value', 'per_spend' and 'marginal' are given", "give one of them", path=("target",)
        )
    if kpi not in scenario.spec.kpis or scenario.spec.kpis[kpi].direction != "maximize":
        raise SpecError(f"'{kpi}' is no KPI to maximise", "name one of the scenario's", path=("kpi",))
    ((kind, at),) = given.items()
    data = scenario.spec.model_dump(exclude_none=True, exclude={"hash"})
    for name, made in data["kpis"].items():
        made["role"] = "guardrail" if name in data["preferences"]["floors"] else "monitor"
        made.pop("target", None)
    data["preferences"] = {"floors": data["preferences"]["floors"]}
    data["claims"] = []
    data["constraints"]["budget"] = {"max": _most(scenario, up_to)}
    spent, net, ratio = f"cost of {kpi}", f"{kpi} beyond its cost", f"{kpi} per spend"
    if kind == "value":
        data["kpis"][spent] = {"product": ["spend", 1.0], "direction": "minimize", "role": "objective"}
        data["kpis"][kpi]["role"] = "guardrail"
        data["preferences"]["floors"][kpi] = at
    elif kind == "per_spend":
        data["kpis"][ratio] = {"ratio": [kpi, "spend"], "direction": "maximize", "role": "guardrail"}
        data["kpis"][kpi]["role"] = "objective"
        data["preferences"]["floors"][ratio] = at
    else:
        data["kpis"][spent] = {"product": ["spend", at], "direction": "minimize", "role": "monitor"}
        data["kpis"][net] = {"difference": [kpi, spent], "direction": "maximize", "role": "objective"}
    return solve(scenario.restated(data))


def _most(scenario: Scenario, up_to: float | None) -> float:
    if up_to is not None:
        return up_to
    for index, line in enumerate(scenario.spec.lines):
        if line.max is None:
            raise SpecError(
                f"'{line.name}' has no max, so there is no largest budget to look at",
                "give up_to, or the line a max",
                path=("lines", index, "max"),
            )
    return float(sum(line.max or 0.0 for line in scenario.spec.lines))
