"""A scenario with free flighting as numbers: forms and their gradients by cell, and with lines spread evenly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import make_model, make_scenario, scenario_on_file

import optimizer as opt
from optimizer.solve.cells import CellProblem, EvenCells, problem_of
from optimizer.solve.problem import Problem


def test_gradients_are_those_of_the_values(tmp_path: Path) -> None:
    changes = {"flighting": "free"}
    scenario = scenario_on_file(tmp_path, make_model(7, past=3), periods=6, changes=changes)
    data = scenario.spec.model_dump(exclude_none=True)
    data["preferences"]["floors"] = {"kpi0": {"value": 1.0, "cvar": 0.3}, "kpi1": 1.0}
    cells = CellProblem(opt.Scenario.from_dict(data, tmp_path))
    z = np.random.default_rng(0).dirichlet(np.full(len(cells.lower), 5.0))
    for part, at in ((cells, z), (EvenCells(cells), np.random.default_rng(1).dirichlet(np.full(3, 5.0)))):
        state = part.state(at)
        rises = np.concatenate([state.rises, state.room_rises])
        assert part.values(at) == pytest.approx(np.append(state.u, state.room), rel=1e-12)
        for i in range(len(at)):
            step = np.eye(len(at))[i] * 1e-6
            slope = (part.values(at + step) - part.values(at - step)) / 2e-6
            assert slope == pytest.approx(rises[:, i], rel=1e-5, abs=1e-8)


def test_the_even_problem_is_the_same_problem_without_its_freedom() -> None:
    data = make_scenario(3, 2, periods=4, changes={"flighting": "free"})
    data["constraints"] |= {
        "pacing": [{"up": 0.1, "down": 0.1}],
        "groups": [{"first": 2, "last": 3, "max": 600.0}],
    }
    data["lines"][1]["max_per_period"] = 150.0
    cells = CellProblem(opt.Scenario.from_dict(data))
    even = EvenCells(cells)
    z = np.array([0.3, 0.5, 0.2])
    assert even.values(z) == pytest.approx(cells.values(even.spread(z)), rel=1e-14)
    assert even.slack(z) == pytest.approx(cells.slack(even.spread(z)), abs=1e-15)
    assert even.upper == pytest.approx([4.0, 0.6, 4.0])
    flat = Problem(opt.Scenario.from_dict(data | {"flighting": "flat"}))
    assert even.spend(z).sum(axis=1) == pytest.approx(flat.spend(z))
    assert isinstance(problem_of(flat.scenario), Problem)
    assert isinstance(problem_of(cells.scenario), CellProblem)


def test_a_tangent_beside_zero_is_above_the_form_at_zero() -> None:
    data = make_scenario(2, 1, periods=3, changes={"flighting": "free"})
    data["response"]["kpi0"]["line0"]["curve"] = {"kind": "power", "scale": 1.0, "exponent": 0.5}
    cells = CellProblem(opt.Scenario.from_dict(data))
    nothing = np.zeros(6)
    beside = cells.beside(nothing)
    state = cells.state(beside)
    assert np.all(np.isfinite(state.rises))
    for z in (nothing, np.full(6, 1 / 6), np.eye(6)[0]):
        assert cells.values(z)[0] <= state.u[0] + state.rises[0] @ (z - beside) + 1e-12
