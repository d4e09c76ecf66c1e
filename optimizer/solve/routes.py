"""Pick the route: `solve` one plan, or the `frontier` of all that are best for some trade-off."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import InfeasibleError, SolverError

if TYPE_CHECKING:
    from ..front import Front
    from ..plan import Plan
    from ..scenario import Scenario
    from .convex import Point
    from .problem import Goal, Problem

TOLERANCE = 1e-6


def solve(
    scenario: Scenario,
    *,
    tolerance: float = TOLERANCE,
    time_limit: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> Plan:
    """Find the best plan under the scenario's stated preferences.

    Parameters
    ----------
    scenario : Scenario
        A scale given as ``payoff`` is computed first and frozen in ``plan.scenario``.
    tolerance : float
        Largest accepted gap: on the stated scale, or, where no scale is stated, as a share of what all lines
        could add to the KPI with the whole budget each.
    time_limit : float, optional
        Seconds after which a search over periods (free flighting) ends with the best plan found and its gap.
    progress : callable, optional
        Called by such a search with the share of the work done, 0 to 1.

    Returns
    -------
    Plan
        With a certificate whose bound is proven.

    Raises
    ------
    InfeasibleError
        If no plan keeps every rule and floor; it names a smallest set of rules in conflict and what would mend it.
    SolverError
        If the problem is outside what the routes can prove, or time is up before there is any plan.
    """
    deadline = None if time_limit is None else time.monotonic() + time_limit
    try:
        return _solve(scenario, tolerance, deadline, progress)
    except InfeasibleError as error:
        from .conflict import explain_infeasible

        raise explain_infeasible(scenario, error) from None


def _solve(
    scenario: Scenario, tolerance: float, deadline: float | None, progress: Callable[[float], None] | None
) -> Plan:
    from .cells import problem_of
    from .chance import chance_floors, solve_with_chances
    from .payoff import freeze_scale
    from .tradeoff import make_plan, maximise_preferences

    route = pick_route(scenario)
    timed = {"deadline": deadline} if scenario.free else {}
    scenario = freeze_scale(scenario, partial(route, **timed))
    told = {"progress": progress} if scenario.free else {}
    solver: Any = partial(route, **timed, **told)

    def best(problem: Problem) -> tuple[Point, Goal]:
        return maximise_preferences(problem, solver(problem).maximise, tolerance)

    def bound(problem: Problem, goal: Goal) -> float:
        return solver(problem).maximise(goal, tolerance).proof.bound

    if not chance_floors(scenario):
        problem = problem_of(scenario)
        return make_plan(problem, *best(problem), tolerance, route)
    problem, point, goal, free = solve_with_chances(scenario, best, bound)
    # Of the earlier priorities nothing is proven where the floors were asked for.
    known = free or not scenario.spec.preferences.priorities
    return make_plan(problem, point, goal, tolerance, route, known)


def pick_route(scenario: Scenario) -> Any:
    """Return the solver class for a scenario's structure: made of a `Problem`, it can ``maximise`` a `Goal`.

    Raises
    ------
    SolverError
        For on/off rules under free flighting.
    """
    from .convex import ConvexSolver
    from .mixed_integer import MixedIntegerSolver

    if scenario.free:
        from .flighting import FlightingSolver

        if scenario.polyhedron.switches is not None:
            raise SolverError(
                "no route can prove a plan under on/off rules with free flighting",
                "drop minimum_if_on and most_on, or give the flighting",
            )
        return FlightingSolver
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

    if scenario.free:
        raise SolverError("no route finds a front under free flighting", "give the flighting for the front: flat")
    try:
        return outer_approximation(scenario, tolerance, progress)
    except InfeasibleError as error:
        from .conflict import explain_infeasible

        raise explain_infeasible(scenario, error) from None
