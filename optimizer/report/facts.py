"""What the report says of a plan beyond its outcomes and allocation, as plain data for plan.json."""

from __future__ import annotations

from typing import Any

from ..explain import Explanation
from ..plan import Plan
from ..recommend import recommend
from . import robustness, states
from .effects import line_effects, today_as_plan
from .segments import segments
from .worth import line_worth

Row = dict[str, Any]


def plan_facts(plan: Plan, explanation: Explanation | None) -> Row:
    """Return effects and worth by line, robustness, KPI states, segments, the decision, spend by period."""
    implied = None if explanation is None else explanation.plan
    today = today_as_plan(plan)
    decision = recommend(plan.scenario, plan).to_dict()
    budget = plan.scenario.spec.constraints.budget.amount
    spent = float(plan.totals.sum())
    return {
        "effects": line_effects(plan),
        "worth": line_worth(plan, today, implied),
        "robustness": robustness.by_kpi(plan, today),
        "regret": robustness.regret(plan, {"plan": plan.spend, "today": today.spend}),
        "targets": states.targets(plan),
        "lights": states.lights(plan),
        "tree": states.tree(plan),
        "segments": segments(plan, today),
        "decision": decision,
        "pacing": pacing(plan),
        "budget": {"amount": budget, "spent": spent, "unspent": max(0.0, budget - spent)},
    }


def pacing(plan: Plan) -> Row:
    """Return the first days of the periods, and spend by line in each, as fixed or as the plan chose it."""
    spend = {str(line): [float(value) for value in row] for line, row in plan.by_period.iterrows()}
    return {"periods": plan.scenario.spec.horizon.starts, "spend": spend}
