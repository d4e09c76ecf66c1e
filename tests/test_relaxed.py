"""The relaxed problem is nowhere below the real one: for synergy of either sign, S-shapes over cells, points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_model, make_scenario, scenario_on_file
from hypothesis import given
from hypothesis import strategies as st

import optimizer as opt
from optimizer.simulate import Simulator
from optimizer.solve.cells import problem_of
from optimizer.solve.relaxed import _raised, _steepest, relaxed, unlinked, upper_hull
from optimizer.solve.values import form_values
from optimizer.synergy import Synergy

LINES = ("line0", "line1", "line2", "line3")


@given(st.floats(1.0001, 12.0))
def test_the_tanh_is_nowhere_below_the_hill(slope: float) -> None:
    r = np.logspace(-6, 6, 20_001)
    hill = 1.0 / (1.0 + r**-slope)
    above = np.tanh(_steepest(slope) * r)
    assert np.all(above >= hill - 1e-15)
    # And touches it.
    assert (above / hill).min() < 1 + 1e-4


@given(st.floats(0.2, 6.0))
def test_a_raised_hill_is_nowhere_below_a_steeper_one(slope: float) -> None:
    r = np.logspace(-8, 8, 20_001)
    above = _raised(slope) / (1.0 + r ** -min(slope, 1.0))
    assert np.all(above >= 1.0 / (1.0 + r**-slope) - 1e-15)


def test_the_hull_of_points() -> None:
    points = np.array([[1.0, 0.1], [2.0, 4.0], [3.0, 4.5], [5.0, 7.0], [np.nan, np.nan]])
    hull = upper_hull(points)
    assert hull[:2].tolist() == [[2.0, 4.0], [5.0, 7.0]]
    assert np.isnan(hull[2:]).all()


def model(seed: int, draws: int = 4) -> opt.ResponseModel:
    """Two KPIs, four lines, S-shapes in some draws or all, and gains up and down."""
    rng = np.random.default_rng(seed)
    pairs = (
        ("kpi0", "line0", "line1"),
        ("kpi0", "line2", "line1"),
        ("kpi0", "line1", "line0"),
        ("kpi1", "line3", "line0"),
    )
    points = np.full((2, 4, 4, 2), np.nan)
    points[0, 3] = [[50, 0.2], [100, 5], [150, 5.5], [400, 9]]
    points[1, 1] = [[50, 2], [100, 3], [150, 3.5], [400, 4]]
    some = make_model(
        draws,
        lines=LINES,
        family=np.array([[2, 2, 6, 8], [7, 8, 2, 1]]),
        second=rng.uniform(0.6, 3.0, (draws, 2, 4)),
        after=rng.random((2, 4)) < 0.4,
        points=points,
    )
    gain = rng.uniform(-0.05, 1.0, (draws, 4))
    # A straight line gives without end: what it gives is small, and never below zero.
    gain[:, 3] = np.abs(gain[:, 3]) / 100
    return replace(some, synergy=Synergy(pairs, gain))


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("against", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_no_plan_is_above_it(tmp_path, seed: int, against: bool, free: bool) -> None:
    blocks: dict = {"flighting": "free"} if free else {}
    if against:
        blocks["kpis"] = {
            "kpi0": {"direction": "maximize"},
            "kpi1": {"direction": "minimize"},
        }
        blocks["preferences"] = {
            "weights": {"kpi0": 1.0, "kpi1": 1.0},
            "scale": {"kpi0": [0.0, 100.0], "kpi1": [300.0, 0.0]},
            "floors": {},
        }
    scenario = scenario_on_file(tmp_path, model(seed), changes=blocks)
    problem = problem_of(scenario)
    above = relaxed(problem)
    assert above is not None
    assert not above.tangled
    assert not (free and above.curved)
    rng = np.random.default_rng(seed)
    plans = rng.dirichlet(np.full(len(problem.lower), 0.3), 200)
    real, over = form_values(problem, plans)[0], form_values(above, plans)[0]
    assert np.all(over >= real - 1e-12)
    assert (over - real).max() > 1e-6
    # It is another problem: what it was made from is as it was.
    assert problem.tangled
    assert problem.simulator.links is not None


def test_floors_that_pull_the_other_way_are_left_out() -> None:
    data = make_scenario(2, 2)
    data["response"]["synergy"] = {"kpi0": {"line0": {"line1": 0.5}}}
    data["kpis"]["less"] = {"sum": ["kpi0", 0.0], "direction": "minimize"}
    data["preferences"]["floors"] = {"less": 1000.0, "kpi1": 0.1}
    problem = problem_of(opt.Scenario.from_dict(data))
    above = relaxed(problem)
    assert above is not None
    assert len(problem.floors) == 2
    assert [form.name for form in above.floors] == ["kpi1 at least 0.1"]


def test_objectives_that_pull_both_ways_have_none() -> None:
    data = make_scenario(2, 2)
    data["response"]["synergy"] = {"kpi0": {"line0": {"line1": 0.5}}}
    data["kpis"]["less"] = {"difference": ["kpi1", "kpi0"], "direction": "maximize"}
    data["kpis"]["kpi1"] = {"unit": "things"}
    data["preferences"] = {
        "weights": {"kpi0": 1.0, "less": 1.0},
        "scale": {"kpi0": [0.0, 50.0], "less": [-50.0, 50.0]},
    }
    assert relaxed(problem_of(opt.Scenario.from_dict(data))) is None


def test_without_links_the_rest_is_the_same() -> None:
    data = make_scenario(3)
    plain = Simulator.of(opt.Scenario.from_dict(data))
    data["response"]["synergy"] = {"kpi0": {"line0": {"line1": 0.5}}}
    apart = unlinked(problem_of(opt.Scenario.from_dict(data)))
    spend = np.array([[100.0, 300.0, 600.0]])
    assert np.array_equal(apart.simulator.outcomes(spend), plain.outcomes(spend))
