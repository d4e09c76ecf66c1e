"""Floors that must hold with a probability: the CVaR bound first, then as loose as simulation allows.

If the mean over the worst ``1 - p`` of the draws keeps a floor, at least a share ``p`` of all draws does
(Nemirovski & Shapiro, SIAM J. Optim. 17, 2006). That is convex but too strict, so the level asked of the mean is
lowered as far as the simulated share stays at ``p``, and half a standard error above where that can be had, since
draws that were not used are less kind than those that were. What the floors cost at most is bounded by the plan
without them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InfeasibleError, SolverError
from ..measured import kpi_values
from ..preferences import Floor, measure
from ..simulate import Simulator
from .cells import problem_of
from .forms import Goal
from .problem import Problem

if TYPE_CHECKING:
    from ..scenario import Scenario
    from .point import Point

Floats = NDArray[np.float64]
Floors = dict[str, float | Floor]

HALVINGS = 14
# Standard errors of a share of the draws that are asked for on top of a probability, where a plan gives them.
SURER = 0.5
SUREST = 1.0 - 1e-9


def chance_floors(scenario: Scenario) -> dict[str, Floor]:
    """Return the scenario's floors with a probability."""
    floors = scenario.spec.preferences.floors
    return {k: v for k, v in floors.items() if isinstance(v, Floor) and v.probability is not None}


def solve_with_chances(
    scenario: Scenario, solve: Callable[[Problem], Any], bound: Callable[[Problem, Goal], float]
) -> tuple[Problem, Point, Goal, bool]:
    """Find the best plan under floors with probabilities.

    Parameters
    ----------
    scenario : Scenario
        With at least one such floor.
    solve : callable
        Solves a `Problem`; returns the point and its goal.
    bound : callable
        Bounds a goal over a `Problem`.

    Returns
    -------
    problem, point, goal, free
        The problem as it was tightened, its solution with a bound that is proven whatever these floors ask, the
        goal it is for, and whether the floors hold without having been asked for.

    Raises
    ------
    InfeasibleError
        If no plan was found that keeps every floor.
    """
    chances = chance_floors(scenario)
    others: Floors = {k: v for k, v in scenario.spec.preferences.floors.items() if k not in chances}
    free = problem_of(scenario, floors=others)
    simulated = free.simulator.scale.shape[2]
    relaxed = solve(free)
    spend = free.spend(relaxed[0].z)
    if _kept(scenario, chances, spend):
        return free, *relaxed, True
    surer = {name: _surer(floor, simulated) for name, floor in chances.items()}
    best = barely = None
    spans = {name: _span(scenario, name, floor, spend) for name, floor in chances.items()}
    # 0 asks the worst draws to keep the floor on average, 1 asks next to nothing of them.
    strict, loose = 0.0, 1.0
    for attempt in range(HALVINGS):
        ease = 0.0 if attempt == 0 else (strict + loose) / 2
        levels: Floors = {
            name: Floor(value=floor.value - ease * spans[name], probability=floor.probability)
            for name, floor in chances.items()
        }
        try:
            problem = problem_of(scenario, floors=others | levels)
            found = solve(problem)
        except (InfeasibleError, SolverError):
            # Out of reach, or reached by next to no plan: ask for less.
            strict = ease
            continue
        spend = problem.spend(found[0].z)
        if _kept(scenario, surer, spend):
            best, strict = (problem, found), ease
        else:
            loose = ease
            barely = (problem, found) if _kept(scenario, chances, spend) else barely
    best = best or barely
    if best is None:
        raise InfeasibleError(
            f"no plan was found that keeps the floor on {' and '.join(chances)} with its probability",
            "lower the floor or its probability",
        )
    problem, (point, goal) = best
    # For the goal that was solved: under priorities the free problem holds its first KPIs higher than need be.
    proof = replace(point.proof, bound=bound(free, goal))
    return problem, replace(point, proof=proof), goal, False


def _surer(floor: Floor, draws: int) -> Floor:
    """The floor with half a standard error more probability.

    A plan picked to hold a floor in just so many of the draws used holds it in fewer of others (the optimizer's
    curse: Smith & Winkler, Management Science 52, 2006).
    """
    p = float(floor.probability or 0.0)
    more = SURER * np.sqrt(p * (1.0 - p) / draws)
    return floor.model_copy(update={"probability": min(p + more, SUREST)})


def _draws(scenario: Scenario, name: str, spend: Floats) -> Floats:
    leaves = Simulator.of(scenario).outcomes(spend[None])
    return kpi_values(scenario, leaves, spend[None])[name][0]


def _rising(scenario: Scenario, name: str) -> bool:
    return scenario.spec.kpis[name].direction == "maximize"


def _kept(scenario: Scenario, chances: dict[str, Floor], spend: Floats) -> bool:
    for name, floor in chances.items():
        found = measure(floor, _draws(scenario, name, spend), _rising(scenario, name))
        if (found < floor.value) == _rising(scenario, name) and found != floor.value:
            return False
    return True


def _span(scenario: Scenario, name: str, floor: Floor, spend: Floats) -> float:
    """How far below its quantile the worst draws lie on average, doubled; negative for ceilings."""
    draws, rising = _draws(scenario, name, spend), _rising(scenario, name)
    tail = Floor(value=floor.value, cvar=1.0 - float(floor.probability or 0.0))
    return 2.0 * (measure(floor, draws, rising) - measure(tail, draws, rising))
