"""Flights with shapes: where bursts beat flat they are found, rules are kept, and what it buys is told."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from conftest import make_scenario

import optimizer as opt
from optimizer.solve.cells import CellProblem
from optimizer.solve.forms import Goal
from optimizer.solve.local import improve
from optimizer.solve.projection import Projection
from optimizer.solve.shapes import BURSTS, FLAT, FOLLOWING, PULSES, Shapes, library, paced
from optimizer.solve.values import form_values

SMALL = opt.Evolution(population=20, evaluations=200)


def shaped(lines: int, periods: int, kpis: int = 1, **blocks: Any) -> dict[str, Any]:
    """S-shapes that so little money does not carry past their bend in every period, with carry-over."""
    data = make_scenario(lines, kpis, 3, periods=periods, budget=100.0 * lines, changes=blocks)
    for k, name in enumerate(data["kpis"]):
        for i, entry in enumerate(data["response"][name].values()):
            entry["curve"] = {"kind": "hill", "scale": 4.0 + i + k, "half": 40.0 + 10 * i, "slope": 2.5}
            entry["adstock"] = {"kind": "geometric", "rate": 0.4, "length": 4}
    return data | {"flighting": "free"}


def flat_value(data: dict[str, Any]) -> float:
    plan = opt.solve(opt.Scenario.from_dict(data | {"flighting": "flat"}))
    assert plan.certificate.guarantee == "global"
    return plan.certificate.value


def test_bursts_that_are_best_are_found() -> None:
    data = shaped(2, 4)
    scenario = opt.Scenario.from_dict(data)
    masks = [np.array(mask) / sum(mask) for mask in itertools.product((0, 1), repeat=4) if any(mask)]
    shares = np.linspace(0, 1, 41)
    plans = [
        np.stack([200 * share * one, 200 * (1 - share) * other])
        for one, other, share in itertools.product(masks, masks, shares)
    ]
    best = float(opt.simulate(scenario, np.array(plans)).to_numpy().max())
    plan = opt.solve(scenario, search=SMALL)
    assert plan.certificate.value >= best * (1 - 1e-9)
    assert plan.certificate.value > 1.05 * flat_value(data)
    assert np.any(plan.spend.to_numpy() < 1e-6)


def test_shapes_are_shares() -> None:
    shares, kinds = library(52, np.array([1.0 + np.arange(52) / 52, np.ones(52)]))
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(shares)))
    assert shares.min() >= 0.0
    assert kinds[0] == FLAT
    assert (kinds == FOLLOWING).sum() == 1
    # Off between bursts; never off between pulses.
    assert (shares[kinds == BURSTS].min(axis=1) == 0.0).all()
    assert shares[kinds == PULSES].min() > 0.0


def test_paced_shapes_keep_their_pace() -> None:
    shares = paced(library(13, np.empty((0, 13)))[0], 0.5, 0.4)
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(shares)))
    assert np.all(shares[:, 1:] <= 1.5 * shares[:, :-1] * (1 + 1e-12))
    assert np.all(shares[:, 1:] >= 0.6 * shares[:, :-1] * (1 - 1e-12))


@pytest.mark.parametrize("least", [0.0, 140.0])
def test_the_best_flat_plan_is_that_of_a_flat_scenario(least: float) -> None:
    data = shaped(3, 6)
    data["lines"][2]["min"] = least
    problem = CellProblem(opt.Scenario.from_dict(data))
    shapes = Shapes(problem, Projection(problem))
    goal = Goal(np.ones(1))
    plans, kept = shapes.flat(problem, [goal])
    assert kept.all()
    value = float(problem.objectives[0].kpi(form_values(problem, plans)[0][0, 0]))
    assert value == pytest.approx(flat_value(data), rel=1e-4)
    # What is shared out is the budget, and the best shapes are not worse than flat ones.
    found = shapes.plans(goal, 0)
    assert found.sum(axis=1) == pytest.approx(np.ones(len(found)))
    assert form_values(problem, found[:1])[0][0, 0] >= form_values(problem, plans)[0][0, 0] * (1 - 1e-3)


def test_pacing_is_kept_and_no_plan_is_worse_than_flat() -> None:
    rules = {"budget": {"total": 200.0}, "pacing": [{"select": {"channel": "a"}, "up": 0.5, "down": 0.4}]}
    data = shaped(2, 8, constraints=rules)
    plan = opt.solve(opt.Scenario.from_dict(data), search=SMALL)
    spend = plan.spend.to_numpy()
    assert spend.sum() == pytest.approx(200.0, abs=2e-4)
    paced = spend[0]
    assert np.all(paced[1:] <= 1.5 * paced[:-1] + 2e-4)
    assert np.all(paced[1:] >= 0.6 * paced[:-1] - 2e-4)
    assert spend.min() >= -2e-4
    assert plan.certificate.value >= flat_value(data) * (1 - 1e-6)
    assert "buys over the best flat plan found: kpi0" in plan.certificate.why
    again = opt.solve(opt.Scenario.from_dict(data), search=SMALL)
    assert again.spend.equals(plan.spend)


def test_what_there_is_when_time_is_up_is_returned() -> None:
    data = shaped(3, 6)
    plan = opt.solve(opt.Scenario.from_dict(data), time_limit=1e-3)
    assert "the time limit was reached" in plan.certificate.why
    assert plan.spend.to_numpy().sum() <= 300.0 + 1e-4
    assert plan.certificate.value >= flat_value(data) * (1 - 1e-6)
    problem = CellProblem(opt.Scenario.from_dict(data))
    projection, goal = Projection(problem), Goal(np.ones(1))
    start = projection(np.full((1, 18), 1 / 18))[0][0]
    point = improve(problem, projection, start, goal, lambda: True)
    assert point is not None
    np.testing.assert_array_equal(point.z, start)


def test_a_front_tells_what_it_buys() -> None:
    scenario = opt.Scenario.from_dict(shaped(2, 4, 2))
    front = opt.frontier(scenario, search=SMALL)
    why = front.certificate.why
    assert "of the box, flat ones" in why
    assert "each KPI at its best: kpi0" in why
    problem = CellProblem(scenario)
    flat = Shapes(problem, Projection(problem)).flat(
        problem, [Goal(np.array([w, 1 - w])) for w in (0.1, 0.5, 0.9)]
    )[0]
    own = front.points[["kpi0", "kpi1"]].to_numpy()
    for u in form_values(problem, flat)[0]:
        kpis = [float(form.kpi(value)) for form, value in zip(problem.objectives, u, strict=True)]
        assert np.any(np.all(own >= np.array(kpis) - 1e-6, axis=1))
