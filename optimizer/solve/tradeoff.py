"""From stated preferences to goals a solver can maximise, and from the solved point to a Plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..plan import Certificate, Guarantee, Plan, labelled
from .forms import Goal
from .payoff import TIE_BREAK
from .problem import Problem

if TYPE_CHECKING:
    from .point import Point

Floats = NDArray[np.float64]
Maximise = Callable[..., Any]

# Weight of the sum beside the worst-off: enough that no KPI is left lying, too little to outweigh a target.
AUGMENT = 1e-4
# Room left to a KPI held at its optimum, in steps of its form: no plan can be found in less.
HELD = 1e-8
# A plan further from its bound than this, in steps, is not called globally best.
LOOSEST = 1e-4


def goal_of(problem: Problem) -> Goal:
    """Return the goal that a scenario's preferences state (priorities: that of the first step).

    ``weights``: ``sum w_k u_k`` with the weights scaled to sum to one (weighted sum; Zadeh 1963). ``values`` and
    ``exchange``: the same with ``w_k`` the worth of one step of the scale, so that any scale gives the same
    plan. ``targets``: ``min_k (u_k - r_k) + 1e-4 mean_k u_k`` with ``r_k`` the target on the scale (augmented
    achievement scalarising function; Wierzbicki 1980, Miettinen 1999).
    """
    preferences = problem.scenario.spec.preferences
    forms, n = problem.objectives, len(problem.objectives)
    if preferences.mode == "weights":
        weights = np.array([preferences.weights[form.name] for form in forms])
        return Goal(weights / weights.sum())
    if preferences.mode in ("values", "exchange"):
        weights = np.array([preferences.worth[form.name] * abs(form.unit) for form in forms])
        return Goal(weights / weights.sum())
    if preferences.mode == "targets":
        reference = [(preferences.targets[form.name] - form.worst) / form.unit for form in forms]
        return Goal(np.full(n, AUGMENT / n), np.array(reference))
    return Goal(np.eye(n)[0])


def maximise_preferences(problem: Problem, maximise: Maximise, tolerance: float) -> tuple[Point, Goal]:
    """Solve for the stated preferences; priorities step by step (lexicographic; Ignizio 1976).

    A step without slack leaves the steps after it nothing but ties to break, so they join it with weights too
    small to move its optimum.
    """
    order = problem.scenario.spec.preferences.order
    if not order:
        goal = goal_of(problem)
        return maximise(goal, tolerance), goal
    least, near, start = np.full(len(order), -1e3), None, 0
    while start < len(order):
        end = start + 1
        while end < len(order) and order[end - 1].slack == 0:
            end += 1
        weights = np.zeros(len(order))
        weights[start:end] = TIE_BREAK ** np.arange(end - start)
        goal = Goal(weights, least=least.copy() if start else None)
        point = maximise(goal, tolerance, near=near)
        for index in range(start, end):
            form = problem.objectives[index]
            given = order[index].slack * abs(float(form.kpi(point.u[index]))) / abs(form.unit)
            least[index] = point.u[index] - given - HELD
        start, near = end, point.z
    return point, goal


def make_plan(problem: Problem, point: Point, goal: Goal, tolerance: float, known: bool = True) -> Plan:
    """Turn a solved point into a Plan in the scenario's own units and order.

    ``known`` says whether the goal itself, values held for earlier priorities included, is proven; where it is
    not, a bound on the last priority says nothing of the plan.
    """
    scenario = problem.scenario
    value, bound, unit, measure = _in_units(problem, point, goal)
    gap = abs(bound - value) if measure in ("scale", "steps") else abs(bound - value) / max(abs(bound), 1e-300)
    if not known or not np.isfinite(bound):
        bound = gap = float("nan")
    # A floor with a probability is not convex: the bound holds all the same, but may stay away from the plan.
    proven = known and point.gap <= max(tolerance, LOOSEST)
    prices = {
        name: 1000.0 / problem.money * unit * float(dual)
        for name, dual in zip(scenario.polyhedron.names, point.proof.rows, strict=True)
    }
    for form, dual in zip(problem.floors, point.proof.floors, strict=True):
        prices[form.name] = unit * float(dual) * form.unit
    guarantee: Guarantee = "global" if proven else "local" if point.local else "none"
    certificate = Certificate(guarantee, value, bound, gap, measure, point.route, point.why)
    return Plan(scenario, labelled(scenario, problem.spend(point.z)), certificate, prices)


def _in_units(problem: Problem, point: Point, goal: Goal) -> tuple[float, float, float, str]:
    """Value and bound in what a planner reads, what one step of the goal is in it, and its name."""
    scenario = problem.scenario
    preferences = scenario.spec.preferences
    value, bound = point.value, max(point.proof.bound, point.value)
    if preferences.mode == "weights" and len(problem.objectives) > 1:
        return value, bound, 1.0, "scale"
    if preferences.mode == "targets":
        return value, bound, 1.0, "steps"
    if preferences.mode in ("values", "exchange"):
        offset, unit = _money(problem)
        measure = scenario.spec.currency if preferences.mode == "values" else problem.objectives[0].name
        return offset + unit * value, offset + unit * bound, unit, measure
    first = int(np.argmax(goal.weights))
    form, value = problem.objectives[first], float(point.u[first])
    return float(form.kpi(value)), float(form.kpi(value + point.gap)), abs(form.unit), form.name


def _money(problem: Problem) -> tuple[float, float]:
    """Of what KPIs are worth: the sum where the goal is zero, and what one step of the goal adds."""
    worth = problem.scenario.spec.preferences.worth
    unit = float(sum(worth[form.name] * abs(form.unit) for form in problem.objectives))
    offset = float(sum(worth[form.name] * form.worst * np.sign(form.unit) for form in problem.objectives))
    return offset, unit


def value_of(problem: Problem, spend: Floats) -> float | None:
    """Return what the stated preferences make of any plan, in the certificate's measure.

    Parameters
    ----------
    problem : Problem
        Of a scenario with every scale frozen.
    spend : (L,), or (L, T) with free flighting
        Currency in the scenario's order; it need not keep the rules.

    Returns
    -------
    float or None
        None under priorities: an order of KPIs gives no single value.
    """
    mode = problem.scenario.spec.preferences.mode
    if mode == "priorities":
        return None
    goal, u = goal_of(problem), problem.state(problem.scaled(spend)).u
    if len(u) == 1 and mode not in ("values", "exchange", "targets"):
        return float(problem.objectives[0].kpi(u[0]))
    offset, unit = _money(problem) if mode in ("values", "exchange") else (0.0, 1.0)
    return offset + unit * goal.value(u)
