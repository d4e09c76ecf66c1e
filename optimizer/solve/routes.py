"""Pick the route: `solve` one plan, or the `frontier` of all that are best for some trade-off."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from ..errors import InfeasibleError, SolverError
from ..proxies import counted, refuse_contradicted

if TYPE_CHECKING:
    from ..front import Front
    from ..plan import Plan
    from ..scenario import Scenario
    from .evolution import Evolution
    from .forms import Goal
    from .point import Point, Solver
    from .problem import Problem

Route = Literal["separable", "convex", "mixed_integer", "evolve"]
TOLERANCE = 1e-6
TIME_LIMIT = 120.0


def solve(
    scenario: Scenario,
    *,
    tolerance: float = TOLERANCE,
    route: Route | None = None,
    time_limit: float | None = None,
    progress: Callable[[float], None] | None = None,
    search: Evolution | None = None,
) -> Plan:
    """Find the best plan under the scenario's stated preferences.

    Parameters
    ----------
    scenario : Scenario
        A scale given as ``payoff`` is computed first and frozen in ``plan.scenario``.
    tolerance : float
        Largest accepted gap: on the stated scale, or, where no scale is stated, as a share of what all lines
        could add to the KPI with the whole budget each.
    route : "separable", "convex", "mixed_integer" or "evolve", optional
        The solver module, for who knows better; picked from the scenario's structure unless given.
    time_limit : float, optional
        Seconds after which a search over periods (free flighting) or over choices (S-shaped curves, on/off rules)
        ends with the best plan found, its certificate telling the gap; `TIME_LIMIT` a solve unless given.
    progress : callable, optional
        Called by a search over periods with the share of the work done, 0 to 1.
    search : Evolution, optional
        How large a search is where nothing can be proven (route ``evolve``), and its seed.

    Returns
    -------
    Plan
        With a certificate whose bound is proven.

    Raises
    ------
    SpecError
        If an objective is a contradicted proxy that nobody waived.
    InfeasibleError
        If no plan keeps every rule and floor; it names a smallest set of rules in conflict and what would mend it.
    SolverError
        If the problem is outside what the routes can prove, or what a route asked for by name can, or time is up
        before there is any plan.
    """
    refuse_contradicted(scenario, counted(scenario))
    deadline = None if time_limit is None else time.monotonic() + time_limit
    try:
        pick = partial(pick_route, route=route, deadline=deadline, progress=progress, search=search)
        return _solve(scenario, tolerance, pick)
    except InfeasibleError as error:
        from .conflict import explain_infeasible

        raise explain_infeasible(scenario, error) from None


def _solve(scenario: Scenario, tolerance: float, solver: Callable[[Problem], Solver]) -> Plan:
    from .cautious import cautious
    from .cells import problem_of
    from .chance import chance_floors, solve_with_chances
    from .payoff import freeze_scale
    from .tradeoff import make_plan, maximise_preferences

    scenario = freeze_scale(scenario, solver)

    def best(problem: Problem) -> tuple[Point, Goal]:
        return maximise_preferences(problem, solver(problem).maximise, tolerance)

    def bound(problem: Problem, goal: Goal) -> float:
        return solver(problem).maximise(goal, tolerance).proof.bound

    if not chance_floors(scenario):
        problem = problem_of(scenario)
        point, goal = best(problem)
        if caution := scenario.spec.preferences.caution:
            point = cautious(problem, point, goal, caution, solver, tolerance)
        return make_plan(problem, point, goal, tolerance)
    problem, point, goal, free = solve_with_chances(scenario, best, bound)
    # Of the earlier priorities nothing is proven where the floors were asked for.
    known = free or not scenario.spec.preferences.priorities
    return make_plan(problem, point, goal, tolerance, known)


def frozen(scenario: Scenario) -> Scenario:
    """Return the scenario with every scale pinned to the numbers that `solve` would take; raises as it does."""
    from .payoff import freeze_scale

    try:
        return freeze_scale(scenario, pick_route)
    except InfeasibleError as error:
        from .conflict import explain_infeasible

        raise explain_infeasible(scenario, error) from None


def pick_route(
    problem: Problem,
    route: Route | None = None,
    deadline: float | None = None,
    progress: Callable[[float], None] | None = None,
    search: Evolution | None = None,
) -> Solver:
    """Return the solver for a problem's structure, or the one asked for.

    Raises
    ------
    SolverError
        If the one asked for cannot take the problem, or for on/off rules under free flighting.
    """
    from .cells import CellProblem
    from .evolve import ONE, EvolveSolver
    from .flighting import FlightingSolver

    switched = problem.scenario.polyhedron.switches is not None
    free = isinstance(problem, CellProblem)
    if free and (switched or route not in (None, "evolve")):
        raise SolverError(
            "no other route, and none with on/off rules, takes free flighting",
            "drop the route, minimum_if_on and most_on, or give the flighting",
        )
    if problem.tangled and route not in (None, "evolve"):
        raise SolverError(
            f"this route takes effects that add up: {problem.tangled}",
            "leave the route out, and one that takes synergy is picked",
        )
    if route == "evolve" or problem.tangled or (free and problem.curved):
        return EvolveSolver(problem, pick_route, deadline, progress, search or ONE)
    if isinstance(problem, CellProblem):
        return FlightingSolver(problem, deadline, progress)
    # These need CVXPY, which takes seconds to load.
    from .convex import ConvexSolver
    from .mixed_integer import MixedIntegerSolver
    from .separable import SeparableSolver, budget_of

    seconds = TIME_LIMIT if deadline is None else max(deadline - time.monotonic(), 0.0)
    if route is None:
        general: Route = "mixed_integer" if switched or problem.curved else "convex"
        route = "separable" if budget_of(problem) is not None else general
    if route == "separable":
        return SeparableSolver(problem, seconds)
    return MixedIntegerSolver(problem, seconds) if route == "mixed_integer" else ConvexSolver(problem)


def frontier(
    scenario: Scenario,
    *,
    tolerance: float = 0.01,
    time_limit: float = TIME_LIMIT,
    progress: Callable[[float], None] | None = None,
    route: Literal["evolve"] | None = None,
    search: Evolution | None = None,
    risk: Mapping[str, float] | None = None,
) -> Front:
    """Find the Pareto front over the scenario's objective KPIs, as they are on average over the draws.

    A caution that the scenario states has no part in it: it belongs to a stated trade-off. ``risk`` puts doubt on
    the front.

    Parameters
    ----------
    scenario : Scenario
        With two to five objective KPIs.
    tolerance : float
        Stop when an unseen plan could add at most this share of the front's hypervolume.
    time_limit : float
        Seconds after which no new plan is looked for. As after Ctrl-C, what was found is kept and its certificate
        tells the gap; measuring it may take a few seconds more with four objectives and more. Compiling does not
        count: the first front of an installation takes up to a minute longer than others, and is as good.
    progress : callable, optional
        Called with the share of the work done, 0 to 1.
    route : "evolve", optional
        Search by evolution even where more can be proven. Where lines multiply each other's effects and under free
        flighting it is taken anyway.
    search : Evolution, optional
        How large that search is, its seed and algorithm, and where its generations are kept.
    risk : mapping, optional
        By objective KPI, a share of its worst draws, 0.1 being a tenth: the mean over them (CVaR) is an objective
        beside the KPI's own mean. A scenario with one objective will do. Where the scenario holds no draws out
        (``response.held_out``) a third are: ``front.fresh`` tells what the plans lose on them.

    Returns
    -------
    Front
        Non-dominated plans and a certificate of how complete they are.

    Raises
    ------
    SpecError
        If fewer than two or more than five KPIs are objectives, or one is a contradicted proxy that nobody waived.
    InfeasibleError, SolverError
        As for `solve`.
    DataError
        If the search's checkpoint is of another search, or damaged.
    """
    from ..risk import with_risk

    scenario = with_risk(scenario, risk) if risk else scenario
    refuse_contradicted(scenario, scenario.objectives)
    front = _frontier(scenario, tolerance, time_limit, progress, route, search)
    return replace(front, certificate=replace(front.certificate, why=front.certificate.why + _lost(front)))


def _lost(front: Front) -> str:
    """What the front loses on draws that the search has not seen, in words."""
    from ..risk import lost_words

    if front.fresh is None or front.scenario.fresh is None:
        return ""
    span = (front.box["best"] - front.box["worst"]).abs()
    losses = [f"{name} {100 * front.fresh[f'loss {name}'].mean() / span[name]:.2g} %" for name in span.index]
    return (
        f"; on {front.scenario.fresh.draws} draws that no search has seen it {lost_words(front.lost)} of "
        f"its hypervolume, and its plans on average lose of what a KPI ranges over: {', '.join(losses)}"
    )


def _frontier(
    scenario: Scenario,
    tolerance: float,
    time_limit: float,
    progress: Callable[[float], None] | None,
    route: Literal["evolve"] | None,
    search: Evolution | None,
) -> Front:
    from .cells import problem_of
    from .evolution import Evolution
    from .evolved_front import find_evolved_front
    from .frontier import find_front

    pick = partial(pick_route, deadline=time.monotonic() + time_limit)
    try:
        if route == "evolve" or scenario.free or problem_of(scenario).tangled:
            return find_evolved_front(scenario, search or Evolution(), tolerance, pick, time_limit, progress)
        return find_front(scenario, tolerance, pick, time_limit, progress)
    except InfeasibleError as error:
        from .conflict import explain_infeasible

        raise explain_infeasible(scenario, error) from None
