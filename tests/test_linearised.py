"""Tangents over cells: the bound holds from any plans, the step climbs, and quadratic programs are solved."""

from __future__ import annotations

import numpy as np
import pytest
from flighting_cases import BUDGET, problem, random_plans
from scipy import sparse

import optimizer as opt
from optimizer.solve.cells import CellProblem
from optimizer.solve.linearised import Aim, Linearised, check_rules, quadratic

NOT = np.nan


def cells_of(seed: int, floor: float | None = None) -> CellProblem:
    data = problem(seed, 3, 4)
    for line in data["lines"]:
        line["max"] = BUDGET
    data["preferences"]["scale"] = {"kpi 0": [0.0, 100.0], "kpi 1": [0.0, 100.0]}
    if floor is not None:
        data["preferences"]["floors"] = {"kpi 1": floor}
    return CellProblem(opt.Scenario.from_dict(data))


def aims(n_floors: int) -> list[Aim]:
    """A weighted sum, the worst-off of two, and both with a level held; floors count where there are any."""
    more, none = np.zeros(n_floors), np.full(n_floors, -np.inf)
    return [
        Aim(np.append([0.3, 0.7], more), np.append([NOT, NOT], NOT * more), np.append([-np.inf, -np.inf], none)),
        Aim(np.append([0.0, 0.0], more), np.append([0.1, 0.2], NOT * more), np.append([-np.inf, -np.inf], none)),
        Aim(np.append([1e-3, 1e-3], more), np.append([0.1, 0.2], NOT * more), np.append([0.05, -np.inf], more)),
    ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", range(3))
def test_tangents_anywhere_bound_every_plan(seed: int, kind: int) -> None:
    cells = cells_of(seed, 1.0)
    aim = aims(1)[kind]
    plans = [cells.scaled(plan) for plan in random_plans(cells.scenario, 300, seed)]
    forms = np.array([cells.values(z) for z in plans])
    best = max(aim.value(row) for row in forms if np.all(aim.room(row) >= 0))
    model, before = Linearised(cells, aim), np.inf
    for z in plans[:6]:
        model.add(cells.beside(z))
        found = model.bound()
        assert found is not None
        bound, multipliers = found
        assert bound >= best
        # More tangents bound as well at least.
        assert bound <= before + 1e-7
        before = bound
        assert np.all(multipliers.held >= 0)
        assert multipliers.worst.sum() == pytest.approx(1.0 if kind else 0.0)


@pytest.mark.parametrize("kind", range(3))
def test_a_step_leads_up_and_keeps_the_rules(kind: int) -> None:
    cells = cells_of(1, 1.0)
    aim = aims(1)[kind]
    z = cells.beside(np.full(12, 1 / 12))
    model = Linearised(cells, aim)
    model.add(z)
    forms = cells.values(z)
    found = model.step(forms, sparse.csc_matrix(np.eye(12)), 1 / 12)
    assert found is not None
    assert found.gain > 0
    assert cells.slack(found.z).min() >= -1e-7
    between = cells.values(z + 0.01 * (found.z - z))
    assert aim.value(between) > aim.value(forms)


def test_a_floor_out_of_reach_is_infeasible() -> None:
    cells = cells_of(2, 1e6)
    model = Linearised(cells, Aim(np.array([1.0, 0, 0]), np.full(3, NOT), np.array([-np.inf, -np.inf, 0.0])))
    model.add(cells.beside(np.full(12, 1 / 12)))
    with pytest.raises(opt.InfeasibleError):
        model.bound()


def test_rules_without_a_plan_are_seen() -> None:
    data = problem(2, 2, 3)
    check_rules(CellProblem(opt.Scenario.from_dict(data | {"preferences": {"priorities": ["kpi 0", "kpi 1"]}})))
    for line in data["lines"]:
        line["max_per_period"] = 10.0
    with pytest.raises(opt.InfeasibleError):
        check_rules(
            CellProblem(opt.Scenario.from_dict(data | {"preferences": {"priorities": ["kpi 0", "kpi 1"]}}))
        )


def test_a_quadratic_program_by_hand() -> None:
    # Nearest to (2, 1) on x + y = 1, x <= 0.8: (0.8, 0.2), where the multiplier of the cap is 0.4.
    rows = sparse.csc_matrix([[1.0, 1.0], [1.0, 0.0]])
    found = quadratic(sparse.csc_matrix(np.eye(2)), -np.array([2.0, 1.0]), rows, np.array([1.0, 0.8]), 1)
    assert found is not None
    x, duals = found
    assert x == pytest.approx([0.8, 0.2], abs=1e-6)
    assert duals == pytest.approx([0.8, 0.4], abs=1e-5)
