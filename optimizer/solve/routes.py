"""Pick the route: `solve` one plan, or the `frontier` of all that are best for some trade-off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
        Largest accepted gap: on the stated scale, or as a share of the KPI where one KPI is optimised.

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

    if not chance_floors(scenario):
        problem = Problem(scenario)
        point, goal = best(problem)
        return make_plan(problem, point, goal, tolerance, route)
    problem, (point, goal), bound = solve_with_chances(scenario, best)
    point = replace(point, proof=replace(point.proof, bound=bound))
    return make_plan(problem, point, goal, tolerance, route)


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

    return outer_approximation(scenario, tolerance, progress)
