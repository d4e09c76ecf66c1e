"""Pick the route: `solve` one plan, or the `frontier` of all that are best for some trade-off."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import InfeasibleError

if TYPE_CHECKING:
    from ..front import Front
    from ..plan import Plan
    from ..scenario import Scenario
    from .convex import ConvexSolver, Point
    from .mixed_integer import MixedIntegerSolver
    from .problem import Goal, Problem

TOLERANCE = 1e-6


def solve(scenario: Scenario, *, tolerance: float = TOLERANCE) -> Plan:
    """Find the best plan under the scenario's stated preferences.

    Parameters
    ----------
    scenario : Scenario
        A scale given as ``payoff`` is computed first and frozen in ``plan.scenario``.
    tolerance : float
        Largest accepted gap: on the stated scale, or, where no scale is stated, as a share of what all lines
        could add to the KPI with the whole budget each.

    Returns
    -------
    Plan
        With a certificate whose bound is proven.

    Raises
    ------
    InfeasibleError
        If no plan keeps every rule and floor; it names a smallest set of rules in conflict and what would mend it.
    SolverError
        If the problem is outside what the routes can prove.
    """
    try:
        return _solve(scenario, tolerance)
    except InfeasibleError as error:
        from .conflict import explain_infeasible

        raise explain_infeasible(scenario, error) from None


def _solve(scenario: Scenario, tolerance: float) -> Plan:
    from .chance import chance_floors, solve_with_chances
    from .payoff import freeze_scale
    from .problem import Problem
    from .tradeoff import make_plan, maximise_preferences

    route = pick_route(scenario)
    scenario = freeze_scale(scenario, route)

    def best(problem: Problem) -> tuple[Point, Goal]:
        return maximise_preferences(problem, route(problem).maximise, tolerance)

    def bound(problem: Problem, goal: Goal) -> float:
        return route(problem).maximise(goal, tolerance).proof.bound

    if not chance_floors(scenario):
        problem = Problem(scenario)
        return make_plan(problem, *best(problem), tolerance, route)
    problem, point, goal, free = solve_with_chances(scenario, best, bound)
    # Of the earlier priorities nothing is proven where the floors were asked for.
    known = free or not scenario.spec.preferences.priorities
    return make_plan(problem, point, goal, tolerance, route, known)


def pick_route(scenario: Scenario) -> type[ConvexSolver] | type[MixedIntegerSolver]:
    """Return the solver for a scenario's structure."""
    from .convex import ConvexSolver
    from .mixed_integer import MixedIntegerSolver

    return ConvexSolver if scenario.polyhedron.switches is None else MixedIntegerSolver


def frontier(
    scenario: Scenario, *, tolerance: float = 0.01, progress: Callable[[float], None] | None = None
) -> Front:
    """Find the Pareto front over the scenario's objective KPIs.

    Parameters
    ----------
    scenario : Scenario
        With two or three objective KPIs.
    tolerance : float
        Stop when an unseen plan could add at most this share of the front's hypervolume.
    progress : callable, optional
        Called with the share of the work done, 0 to 1.

    Returns
    -------
    Front
        Non-dominated plans and a certificate of how complete they are.

    Raises
    ------
    SpecError
        If fewer than two or more than three KPIs are objectives.
    InfeasibleError, SolverError
        As for `solve`.
    """
    from .frontier import outer_approximation

    try:
        return outer_approximation(scenario, tolerance, progress)
    except InfeasibleError as error:
        from .conflict import explain_infeasible

        raise explain_infeasible(scenario, error) from None
