"""From today's spend to a plan: what to move, why, at what risk, and who must agree before it goes live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .decisions import LEVELS, STATES, highest, levels, reasons
from .errors import DataError
from .plan import plain, records
from .simulate import Simulator
from .targets import light

if TYPE_CHECKING:
    from .plan import Plan
    from .scenario import Scenario

NOT_STATED = "the scenario states no decision rules: confirm"


@dataclass(frozen=True)
class Recommendation:
    """What to move, and who must agree.

    Attributes
    ----------
    moves : DataFrame
        One row a move: ``from``, ``to`` (None for the budget itself), ``amount`` (currency) and ``reason``. The
        moves add up to the change from today's spend to the plan.
    level : str
        One of ``auto``, ``confirm``, ``two_person``, ``blocked``.
    reasons : tuple of str
        What asks for more than ``auto``, the highest level first.
    risks : Series
        The measures that the levels are decided by (`decisions.Limits`), NaN where not known.
    plan : Plan
        The plan, with its outcomes, rules that bind, and certificate.
    """

    moves: pd.DataFrame
    level: str
    reasons: tuple[str, ...]
    risks: pd.Series
    plan: Plan

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the plan as plain JSON data; NaN becomes null."""
        return {
            "scenario": self.plan.scenario.name,
            "scenario_hash": self.plan.scenario.hash,
            "level": self.level,
            "reasons": list(self.reasons),
            "risks": {str(name): plain(value) for name, value in self.risks.items()},
            "moves": records(self.moves.rename_axis("move")),
        }


def recommend(scenario: Scenario, plan: Plan, *, data_quality: float | None = None) -> Recommendation:
    """Say what to move to get from today's spend to a plan, and who must agree.

    Parameters
    ----------
    scenario : Scenario
        Today's spend, and the ``decisions`` block. Without one a person has to confirm.
    plan : Plan
        For the same lines.
    data_quality : float, optional
        How far the evidence can be trusted, 0 to 1.

    Raises
    ------
    DataError
        If the plan is for other lines, or the data quality is not a share.
    """
    if set(plan.scenario.lines) != set(scenario.lines):
        odd = sorted(set(plan.scenario.lines) ^ set(scenario.lines))[0]
        raise DataError(f"the plan is for other lines: {odd}", "recommend a plan for the scenario it was made for")
    if data_quality is not None and not 0.0 <= data_quality <= 1.0:
        raise DataError(f"data_quality is {data_quality:g}", "give a share from 0 to 1")
    current = pd.Series(scenario.current, index=list(scenario.lines))
    spend = plan.totals[list(scenario.lines)]
    risks = _risks(scenario, plan, current, spend)
    risks["data_quality"] = np.nan if data_quality is None else data_quality
    moves = _moves(plan, current, spend)
    decisions = scenario.spec.decisions
    if decisions is None:
        return Recommendation(moves, "confirm", (NOT_STATED,), pd.Series(risks), plan)
    asked = levels({name: np.array([value]) for name, value in risks.items()}, decisions)
    level, why = LEVELS[int(highest(asked)[0])], tuple(reasons(asked[0], decisions))
    return Recommendation(moves, level, why, pd.Series(risks), plan)


def _risks(scenario: Scenario, plan: Plan, current: pd.Series, spend: pd.Series) -> dict[str, float]:
    step = (spend - current).to_numpy()
    moved = float(max(np.maximum(step, 0.0).sum(), np.maximum(-step, 0.0).sum()))
    today, total = float(current.sum()), float(spend.sum())
    # Observed spend is by period: what lies outside it is summed over the periods.
    low, high = (part[:, None] for part in scenario.response.observed.T)
    periods = plan.by_period.loc[list(scenario.lines)].to_numpy(dtype=float)
    beyond = float((np.maximum(periods - high, 0.0) + np.maximum(np.nan_to_num(low) - periods, 0.0)).sum())
    outcomes = plan.outcomes.loc[list(scenario.objectives)]
    width = outcomes["change_high"] - outcomes["change_low"]
    return {
        "shift": moved / today if today > 0 else float("inf") if moved > 0 else 0.0,
        "spend_at_risk": moved,
        "extrapolation": beyond / total if total > 0 else 0.0,
        "interval": float("nan") if width.isna().any() else float(width.max()),
        "guardrail": _guardrail(scenario, plan),
    }


def _guardrail(scenario: Scenario, plan: Plan) -> float:
    """The worst state of the guardrails under the plan; NaN where none has thresholds."""
    worst = float("nan")
    for name, kpi in scenario.spec.kpis.items():
        if kpi.thresholds is None or kpi.direction is None or scenario.role(name) != "guardrail":
            continue
        state = STATES[light([float(plan.outcomes.loc[name, "expected"])], kpi.thresholds, kpi.direction)[0]]
        worst = float(np.fmax(worst, state))
    return worst


def _moves(plan: Plan, current: pd.Series, spend: pd.Series) -> pd.DataFrame:
    from . import kernels_accounts as kernels

    names = sorted(current.index)
    today, planned = (np.array(part[names], dtype=float) for part in (current, spend))
    n = len(names)
    count, giver, taker = np.zeros(1, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    amount = np.zeros(n)
    kernels.find_moves(np.ones(1, dtype=bool), np.array([0, n]), today, planned, count, giver, taker, amount)
    slopes = _slopes(plan, current)
    rows = []
    for i in range(int(count[0])):
        source = names[giver[i]] if giver[i] >= 0 else None
        sink = names[taker[i]] if taker[i] >= 0 else None
        rows.append((source, sink, float(amount[i]), _reason(plan, slopes, source, sink)))
    return pd.DataFrame(rows, columns=["from", "to", "amount", "reason"])


def _slopes(plan: Plan, current: pd.Series) -> pd.DataFrame:
    """KPI units for the next 1,000 today, by line and objective that lines add to."""
    scenario = plan.scenario
    _, slope = Simulator.of(scenario).effects(current[list(scenario.lines)].to_numpy(dtype=float))
    leaves = [name for name in scenario.objectives if name in scenario.tree.leaves]
    places = [scenario.tree.leaves.index(name) for name in leaves]
    return pd.DataFrame(1000.0 * slope.mean(axis=0)[places].T, index=list(scenario.lines), columns=leaves)


def _reason(plan: Plan, slopes: pd.DataFrame, source: str | None, sink: str | None) -> str:
    """Why money goes from one line to another: what the next 1,000 does on each today, and what stops them."""
    lines = [line for line in (sink, source) if line is not None]
    parts = []
    for name in slopes.columns:
        sides = [f"{slopes.loc[line, name]:.4g} on {line}" for line in lines]
        parts.append(f"{name} for the next 1,000: {' against '.join(sides)}")
    stops = plan.allocation["stopped_by"]
    return "; ".join([*parts, *(f"{line} is stopped by {stops[line]}" for line in lines if stops[line])])
