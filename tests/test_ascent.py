"""Plans that climb side by side: slopes as of one plan at a time, rules kept, nothing worse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_evolve import RULES, linked

import optimizer as opt
from optimizer.solve.ascent import ascend, rises_of
from optimizer.solve.cells import problem_of
from optimizer.solve.forms import Goal
from optimizer.solve.projection import Projection
from optimizer.solve.seeds import spread
from optimizer.solve.values import form_rises, form_values


@pytest.mark.parametrize("free", [False, True])
def test_slopes_are_those_of_one_plan(free: bool) -> None:
    blocks: dict[str, Any] = {"flighting": "free"} if free else {}
    problem = problem_of(opt.Scenario.from_dict(linked(1, 3, 2, **blocks)), {"kpi0": 1.0})
    plans = spread(problem, 5, 0)
    u, room, rises, room_rises = form_rises(problem, plans)
    for i, plan in enumerate(plans):
        state = problem.state(plan)
        assert u[i] == pytest.approx(state.u, rel=1e-9)
        assert room[i] == pytest.approx(state.room, rel=1e-9)
        assert rises[i] == pytest.approx(state.rises, rel=1e-7, abs=1e-9)
        assert room_rises[i] == pytest.approx(state.room_rises, rel=1e-7, abs=1e-9)


def test_plans_climb_within_the_rules() -> None:
    problem = problem_of(opt.Scenario.from_dict(linked(0, 6, 2, constraints=RULES)))
    projection = Projection(problem)
    starts = projection(spread(problem, 4, 0))[0]
    goals = [Goal(np.array([1e-4, 1e-4]), w) for w in ([0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [0.0, 0.2])]
    goals = [Goal(goal.weights, np.array(goal.reference)) for goal in goals]
    found = ascend(rises_of(problem), projection, starts, goals, 40)
    assert projection.keeps(found).all()
    before, after = form_values(problem, starts)[0], form_values(problem, found)[0]
    assert all(goal.value(b) > goal.value(a) for goal, a, b in zip(goals, before, after, strict=True))
