"""The separable route end to end: scenarios with one budget and a range for each line."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_scenario

import optimizer as opt
from optimizer.errors import InfeasibleError, SolverError
from optimizer.solve import separable
from optimizer.solve.convex import ConvexSolver
from optimizer.solve.forms import Goal
from optimizer.solve.problem import Problem
from optimizer.solve.separable import SeparableSolver, budget_of

ONE = np.ones(1)


def curved(lines: int, seed: int, **options) -> dict:
    """A scenario whose Hill slopes are 0.6 to 4, with ranges from tight to loose."""
    data = make_scenario(lines, seed=seed, **options)
    rng = np.random.default_rng(seed)
    width = rng.choice([0.1, 0.5, 1.0])
    for line in data["lines"]:
        line["min"] = line["current"] * (1 - width)
        line["max"] = line["current"] * (1 + width * rng.choice([1.0, 10.0]))
    for kpi in data["response"].values():
        for entry in kpi.values():
            entry["curve"]["slope"] = float(rng.uniform(0.6, 4.0))
    return data


def problem(data: dict) -> Problem:
    return Problem(opt.Scenario.from_dict(data))


@pytest.mark.parametrize("seed", range(6))
def test_plans_keep_the_rules_and_are_worth_what_they_say(seed):
    scenario = opt.Scenario.from_dict(curved(8, seed))
    plan = opt.solve(scenario)
    assert plan.certificate.route == "separable"
    assert plan.certificate.guarantee == "global"
    assert plan.certificate.gap <= 1e-4
    assert plan.certificate.bound >= plan.certificate.value
    assert plan.spend.sum() == pytest.approx(1000.0, abs=1e-6)
    simulated = opt.simulate(scenario, plan.spend)["kpi0"].mean()
    assert plan.certificate.value == pytest.approx(simulated, rel=1e-9)
    rng = np.random.default_rng(seed)
    low, high = (np.array([getattr(line, end) for line in scenario.spec.lines]) for end in ("min", "max"))
    tried = 0
    for _ in range(200):
        spend = np.clip(rng.dirichlet(np.ones(8)) * 1000, low, high)
        spend *= 1000 / spend.sum()
        if np.all((spend >= low) & (spend <= high)):
            tried += 1
            assert opt.simulate(scenario, spend)["kpi0"].mean() <= plan.certificate.bound * (1 + 1e-12)
    assert tried or seed


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_convex_route_on_concave_curves(seed):
    held = problem(make_scenario(12, seed=seed))
    assert not held.curved
    z, bound = SeparableSolver(held).split(ONE, 1e-8)
    point = ConvexSolver(held).maximise(Goal(ONE), 1e-8)
    mine = float(held.state(z).u[0])
    assert mine == pytest.approx(point.value, abs=1e-6)
    assert bound >= point.value - 1e-11
    assert point.proof.bound >= mine - 1e-11
    assert bound - mine <= 1e-8 + 1e-11


def test_tables_learn_and_answer_the_same(monkeypatch):
    held = problem(curved(9, 3, kpis=2))
    warm = SeparableSolver(held)
    rng = np.random.default_rng(0)
    for _ in range(12):
        weights = rng.dirichlet(np.ones(2))
        z, bound = warm.split(weights, 1e-6)
        fresh, fresh_bound = SeparableSolver(held).split(weights, 1e-6)
        value, other = (weights @ held.state(at).u for at in (z, fresh))
        assert value == pytest.approx(other, abs=1.1e-6)
        assert value <= bound <= value + 1e-6 + 1e-11
        assert max(value, other) <= min(bound, fresh_bound) + 1e-11


def test_a_maximum_leaves_money_that_does_harm():
    data = curved(5, 1)
    for line in data["lines"]:
        line["min"], line["max"] = 0.0, 1000.0
    data["kpis"]["kpi0"]["role"] = "guardrail"
    data["kpis"]["worth"] = {
        "product": [30.0, "kpi0"],
        "direction": "maximize",
        "unit": "EUR",
        "role": "guardrail",
    }
    data["kpis"]["profit"] = {"difference": ["worth", "spend"], "direction": "maximize", "unit": "EUR"}
    forced = opt.solve(opt.Scenario.from_dict(data))
    data["constraints"]["budget"] = {"max": 1000.0}
    plan = opt.solve(opt.Scenario.from_dict(data))
    assert plan.certificate.route == forced.certificate.route == "separable"
    assert plan.spend.sum() < 990.0
    assert forced.spend.sum() == pytest.approx(1000.0)
    assert plan.certificate.value > forced.certificate.value
    assert plan.certificate.gap <= 1e-4


def test_what_does_not_fit_is_infeasible():
    data = make_scenario(3)
    held = problem(data)
    solver = SeparableSolver(held)
    held.upper[:] = 0.1
    with pytest.raises(InfeasibleError, match="does not fit"):
        solver.split(ONE, 1e-6)
    held.lower[:], held.upper[:] = 0.5, 1.0
    with pytest.raises(InfeasibleError, match="does not fit"):
        solver.split(ONE, 1e-6)
    for line in data["lines"]:
        line["max"] = 100.0
    with pytest.raises(InfeasibleError):
        opt.solve(opt.Scenario.from_dict(data))


def test_other_rules_go_elsewhere():
    data = make_scenario(4)
    assert budget_of(problem(data)) == (1.0, True)
    data["constraints"]["budget"] = {"max": 1000.0}
    assert budget_of(problem(data)) == (1.0, False)
    data["constraints"]["shares"] = [{"select": {"channel": "a"}, "max": 0.4}]
    shared = problem(data)
    assert budget_of(shared) is None
    with pytest.raises(SolverError, match="one budget"):
        SeparableSolver(shared)


def test_a_search_out_of_room_ends_in_an_honest_certificate(monkeypatch):
    data = curved(10, 2)
    for line in data["lines"]:
        line["min"], line["max"] = 0.0, 1000.0
    data["constraints"]["budget"] = {"total": 300.0}
    full = opt.solve(opt.Scenario.from_dict(data))
    monkeypatch.setattr(separable, "BOXES", 3)
    short = opt.solve(opt.Scenario.from_dict(data))
    assert short.certificate.value <= full.certificate.bound
    assert short.certificate.bound >= full.certificate.value
    assert short.certificate.guarantee == "none" or short.certificate.gap <= 1e-4


def test_units_currency_and_order_do_not_matter():
    data = curved(6, 4)
    plan = opt.solve(opt.Scenario.from_dict(data))
    cents = curved(6, 4)
    cents["constraints"]["budget"]["total"] *= 100
    for line in cents["lines"]:
        for key in ("current", "min", "max"):
            line[key] *= 100
    for entry in cents["response"]["kpi0"].values():
        entry["curve"]["half"] *= 100
        entry["curve"]["scale"] /= 1000
    cents["lines"].reverse()
    other = opt.solve(opt.Scenario.from_dict(cents))
    assert other.certificate.value * 1000 == pytest.approx(plan.certificate.value, rel=1e-6)
    np.testing.assert_allclose(other.spend[plan.spend.index] / 100, plan.spend, atol=0.5)
