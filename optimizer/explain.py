"""Why a plan is as it is: what stops more, what KPIs exchange for, and which trade-off a plan implies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import SolverError
from .plan import Plan, labelled, plain, records

if TYPE_CHECKING:
    from .scenario import Scenario
    from .solve.point import Solver

Floats = NDArray[np.float64]

# A plan is called beaten when another is better on every KPI by more than this step of the scale.
BEATEN = 1e-6
# Weights are a plan's own when no plan is better for them by more than this step of the scale.
SUPPORTED = 1e-5
TRIES = 30


@dataclass(frozen=True)
class ImpliedTradeoff:
    """The trade-off under which a plan would be the best one, or the plan that beats it.

    Neither where the rules and floors keep every plan behind it: then it is better than they allow. Nor where
    curves are S-shaped, or lines can be on or off, and the plan is not beaten but best for no weights at all.

    Attributes
    ----------
    spend : Series or DataFrame
        The plan in question, currency by line, or by line and period.
    weights : Series or None
        By objective KPI, adding up to one, on ``scale``: the weights that make the plan best.
    exchange : DataFrame or None
        Row i, column j: units of KPI i given up for one unit of KPI j at the plan.
    better : Plan or None
        A plan that keeps the rules and is better on every objective KPI.
    gain : Series or None
        By objective KPI: how much better, in its unit; positive is better whatever the direction.
    scale : dict
        ``(worst, best)`` of each objective KPI.
    unsupported : bool
        Whether the plan is not beaten but best for no weights.
    """

    spend: pd.Series | pd.DataFrame
    weights: pd.Series | None
    exchange: pd.DataFrame | None
    better: Plan | None
    gain: pd.Series | None
    scale: dict[str, tuple[float, float]]
    unsupported: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data."""
        return {
            "weights": None if self.weights is None else {k: plain(v) for k, v in self.weights.items()},
            "exchange": None if self.exchange is None else records(self.exchange.rename_axis("give")),
            "beaten_by": None if self.better is None else {k: plain(v) for k, v in self.better.totals.items()},
            "gain": None if self.gain is None else {k: plain(v) for k, v in self.gain.items()},
            "scale": {name: list(ends) for name, ends in self.scale.items()},
            "unsupported": self.unsupported,
        }


@dataclass(frozen=True)
class Explanation:
    """What there is to say about a plan beyond its outcomes.

    Attributes
    ----------
    rules : DataFrame
        As `Plan.rules`: slack, binding, shadow price.
    marginal : DataFrame
        By line, for each objective KPI that lines add to: ``<kpi> per 1000`` (KPI units for the next 1,000 of
        currency), ``cost per <kpi>`` (currency for the next unit) and ``stopped_by``.
    today, plan : ImpliedTradeoff
        The trade-off that today's plan, and this plan, imply.
    """

    rules: pd.DataFrame
    marginal: pd.DataFrame
    today: ImpliedTradeoff
    plan: ImpliedTradeoff

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data."""
        return {
            "marginal": records(self.marginal),
            "today": self.today.to_dict(),
            "plan": self.plan.to_dict(),
        }


def explain(plan: Plan) -> Explanation:
    """Explain a plan: binding rules, marginal returns, exchange rates, and the trade-offs implied.

    Parameters
    ----------
    plan : Plan
        Under a scenario without floors with a probability.

    Raises
    ------
    SolverError
        If the scenario is outside what can be proven.
    """
    scenario = plan.scenario
    today = labelled(scenario, scenario.today)
    return Explanation(
        plan.rules,
        marginal_returns(plan),
        implied_tradeoff(scenario, today),
        implied_tradeoff(scenario, plan.spend),
    )


def try_explain(plan: Plan) -> Explanation | None:
    """Explain a plan; None under rules that let no trade-off be read off it."""
    try:
        return explain(plan)
    except SolverError:
        return None


def marginal_returns(plan: Plan) -> pd.DataFrame:
    """Return what the next money on each line does, and what stops it; see `Explanation`."""
    scenario = plan.scenario
    table = pd.DataFrame(index=plan.totals.index)
    for k, name in enumerate(scenario.tree.leaves):
        if name in scenario.objectives:
            rise = plan.marginal[k]
            with np.errstate(divide="ignore"):
                table[f"{name} per 1000"], table[f"cost per {name}"] = 1000.0 * rise, 1.0 / rise
    table["stopped_by"] = plan.allocation["stopped_by"]
    return table


def implied_tradeoff(scenario: Scenario, spend: pd.Series | pd.DataFrame) -> ImpliedTradeoff:
    """Find the weights that make a plan the best one, or a plan that beats it on every objective KPI.

    The plan's own outcomes are the reference point of an achievement scalarising problem: if some plan is ahead
    of it on every KPI, that plan is the answer; if none is, the multipliers of the problem are the weights
    (a plan that is not beaten is best for some weights where KPIs are concave; Geoffrion, J. Math. Anal. Appl. 22,
    1968). Where they are not, or lines can be on or off, weights are looked for among all.

    Parameters
    ----------
    scenario : Scenario
        Scales that are not pinned are taken from the payoff table.
    spend : Series or DataFrame
        Currency by line, with free flighting by line and period; it need not keep the rules.

    Raises
    ------
    SolverError
        If the scenario has floors with a probability, or curves whose best plan cannot be proven.
    """
    from .solve.cells import problem_of
    from .solve.chance import chance_floors
    from .solve.forms import Goal
    from .solve.payoff import freeze_scale
    from .solve.routes import pick_route
    from .solve.tradeoff import make_plan

    if chance_floors(scenario):
        raise SolverError(
            "a trade-off cannot be read off a plan under floors with a probability",
            "use a floor with cvar instead",
        )
    if len(scenario.objectives) > 1:
        missing = [name for name in scenario.objectives if name not in scenario.spec.preferences.scale]
        scenario = freeze_scale(scenario.with_scale(dict.fromkeys(missing, "payoff")), pick_route)
    problem = problem_of(scenario)
    if problem.tangled or (scenario.free and problem.curved):
        raise SolverError(
            f"a trade-off cannot be read off a plan that nothing proves: {problem.tangled or problem.curved}",
            "marginal returns are in the plan's allocation",
        )
    z = problem.scaled(spend.loc[list(scenario.lines)].to_numpy(dtype=float))
    u = problem.state(z).u
    goal = Goal(np.zeros(len(u)), u)
    solver = pick_route(problem)
    point = solver.maximise(goal, BEATEN / 10, near=np.clip(z, problem.lower, problem.upper))
    names = [form.name for form in problem.objectives]
    units = np.array([abs(form.unit) for form in problem.objectives])
    scale = {form.name: (form.worst, form.worst + form.unit) for form in problem.objectives}
    if point.value > BEATEN:
        better = make_plan(problem, point, goal, BEATEN)
        return ImpliedTradeoff(spend, None, None, better, pd.Series((point.u - u) * units, names), scale)
    if point.gap > BEATEN:
        raise SolverError("the gap to the proven bound did not close", "loosen rules, or report this as a fault")
    if point.value < -BEATEN:
        return ImpliedTradeoff(spend, None, None, None, None, scale)
    weights = point.proof.weights
    if problem.curved or scenario.polyhedron.switches is not None:
        supporting = _supporting(solver, u, weights)
        if supporting is None:
            return ImpliedTradeoff(spend, None, None, None, None, scale, unsupported=True)
        weights = supporting
    with np.errstate(divide="ignore", invalid="ignore"):
        exchange = (weights / units)[None, :] / (weights / units)[:, None]
    table = pd.DataFrame(exchange, index=names, columns=names)
    return ImpliedTradeoff(spend, pd.Series(weights, names), table, None, None, scale)


def _supporting(solver: Solver, u: Floats, weights: Floats) -> Floats | None:
    """Return weights for which no plan is better than one with objectives ``u`` (O,), None where there are none.

    Weights are tried, and each plan that is better for them rules some out, until they hold or none are left.
    """
    from scipy.optimize import linprog

    from .solve.forms import Goal

    n, rivals = len(u), np.empty((0, len(u)))
    for _ in range(TRIES):
        best = solver.maximise(Goal(weights), SUPPORTED / 10)
        if best.value <= float(weights @ u) + SUPPORTED:
            return weights
        rivals = np.vstack([rivals, best.u - u])
        # The least lead that rivals must have under any weights, and the weights that leave them so little.
        rows = np.hstack([rivals, np.full((len(rivals), 1), -1.0)])
        ends = [(0.0, 1.0)] * n + [(None, None)]
        found = linprog(np.eye(n + 1)[n], rows, np.zeros(len(rows)), [[1.0] * n + [0.0]], [1.0], ends)
        if found.x is None or found.x[n] > SUPPORTED:
            return None
        weights = found.x[:n]
    raise SolverError("no weights were found that make the plan best, nor a proof that there are none")
