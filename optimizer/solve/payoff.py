"""The payoff table: each objective optimised alone, ties broken in favour of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..preferences import check_range
from .cells import problem_of
from .forms import Goal
from .problem import Problem

if TYPE_CHECKING:
    from ..scenario import Scenario

Floats = NDArray[np.float64]

TOLERANCE = 1e-7
# Weight of the other objectives while one is optimised: enough to break ties, too little to move an optimum.
TIE_BREAK = 1e-6


def payoff_points(problem: Problem, maximise: Callable[..., Any]) -> list[Any]:
    """The solved point of each objective alone.

    Ties are broken by a weight of `TIE_BREAK` on the others. For two objectives the worst values are then the
    nadir point; for three and more they are estimates (Ehrgott & Tenfelde-Podehl, EJOR 151, 2003).
    """
    n = len(problem.objectives)
    rows = np.where(np.eye(n) > 0, 1.0, TIE_BREAK)
    return [maximise(Goal(row), TOLERANCE) for row in rows]


def freeze_scale(scenario: Scenario, solver: Callable[[Problem], Any]) -> Scenario:
    """Return the scenario with every scale given as ``payoff`` pinned to its numbers.

    The table is computed under the constraints without floors, so that moving a floor does not move the scale.
    A variant's is that of its base: under the base's constraints and response, whatever the variant's own.

    Raises
    ------
    SpecError
        If a KPI's range over the table is too small to mean anything.
    """
    scale = scenario.spec.preferences.scale
    asked = [name for name in scenario.objectives if scale.get(name) == "payoff"]
    if not asked:
        return scenario
    if scenario.base is not None:
        return scenario.with_scale(_of_base(scenario, scenario.base, asked, solver))
    problem = problem_of(scenario, floors={})
    table = np.array([point.u for point in payoff_points(problem, solver(problem).maximise)])
    pinned = {}
    for column, form in enumerate(problem.objectives):
        if form.name in asked:
            worst = float(form.kpi(table[:, column].min()))
            best = float(form.kpi(table[column, column]))
            check_range(form.name, worst, best, ("preferences", "scale", form.name))
            pinned[form.name] = (worst, best)
    return scenario.with_scale(pinned)


def _of_base(
    scenario: Scenario, base: Scenario, asked: list[str], solver: Callable[[Problem], Any]
) -> dict[str, tuple[float, float]]:
    """The ends of a variant's scales: the base's own, else from the base's payoff table over its objectives."""
    own = [name for name in asked if name in base.spec.preferences.scale and name in base.objectives]
    scale = freeze_scale(base, solver).spec.preferences.scale if own else {}
    found = {name: scale[name] for name in own}
    if len(own) < len(asked):
        preferences = scenario.spec.preferences.model_dump(exclude_none=True)
        preferences["scale"] |= found
        data = base.spec.model_dump(exclude_none=True, exclude={"hash", "claims"}) | {"preferences": preferences}
        traded = base.restated(data)
        scale = freeze_scale(traded, solver).spec.preferences.scale
    pinned = {name: scale[name] for name in asked}
    return {name: (float(ends[0]), float(ends[1])) for name, ends in pinned.items() if ends != "payoff"}
