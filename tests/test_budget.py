"""More money, less money, and what a target costs."""

import json

import numpy as np
import pytest
from conftest import make_scenario
from test_convex import problem

import optimizer as opt
from optimizer.budget import at_budget


def curved(data: dict) -> dict:
    """The scenario with an S-shaped curve on its first line."""
    for lines in data["response"].values():
        lines["line0"]["curve"] = {"kind": "hill", "scale": 8.0, "half": 120.0, "slope": 2.5}
    return data


@pytest.mark.parametrize("shape", ["concave", "curved"])
def test_each_budget_is_solved_and_more_is_never_worse(shape: str) -> None:
    data = make_scenario(kpis=2)
    curve = opt.budget_curve(opt.Scenario.from_dict(curved(data) if shape == "curved" else data))
    points = curve.points
    assert list(points.index) == pytest.approx([1000.0 * share for share in np.arange(5, 16) / 10])
    assert (points["status"] == "solved").all()
    assert (points["guarantee"] == "global").all()
    assert (points["value"].diff().dropna() > 0).all()
    assert (points["bound"] >= points["value"]).all()
    spend = points.filter(like="spend ").sum(axis=1)
    assert spend.to_numpy() == pytest.approx(points.index.to_numpy())
    for budget in (700.0, 1300.0):
        plan = opt.solve(at_budget(curve.scenario, budget))
        assert plan.certificate.value == pytest.approx(points.loc[budget, "value"], abs=1e-9)
    assert json.loads(json.dumps(curve.to_dict()))["points"][0]["budget"] == pytest.approx(500.0)


def test_the_shadow_price_is_the_slope_of_the_curve() -> None:
    curve = opt.budget_curve(opt.Scenario.from_dict(make_scenario()), [999.0, 1000.0, 1001.0])
    points = curve.points
    slope = (points["value"].iloc[2] - points["value"].iloc[0]) / 2.0 * 1000.0
    assert points["shadow_price"].iloc[1] == pytest.approx(slope, rel=1e-3)


def test_a_budget_that_no_plan_keeps_is_told() -> None:
    data = make_scenario(
        changes={"constraints": {"budget": {"total": 1000.0}, "change": {"up": 0.1, "down": 0.1}}}
    )
    points = opt.budget_curve(opt.Scenario.from_dict(data), [500.0, 950.0, 1200.0]).points
    assert list(points["status"]) == ["infeasible", "solved", "infeasible"]
    assert points["value"].isna().tolist() == [True, False, True]


@pytest.mark.parametrize("amount", [100.0, -100.0])
def test_where_the_next_money_goes(amount: float) -> None:
    curve = opt.budget_curve(opt.Scenario.from_dict(make_scenario()), [1000.0])
    moves = curve.move(amount)
    assert moves["difference"].sum() == pytest.approx(amount)
    assert (moves["difference"] * np.sign(amount) >= -1e-3).all()


@pytest.mark.parametrize("budgets", [[0.0], [-1.0], [float("nan")], [float("inf")]])
def test_a_budget_is_a_positive_number(budgets: list[float]) -> None:
    with pytest.raises(opt.SpecError, match="budget"):
        opt.budget_curve(opt.Scenario.from_dict(make_scenario()), budgets)


@pytest.mark.parametrize("shape", ["concave", "curved"])
def test_the_least_budget_for_a_value(shape: str) -> None:
    data = make_scenario()
    scenario = opt.Scenario.from_dict(curved(data) if shape == "curved" else data)
    best = opt.solve(at_budget(scenario, 800.0))
    plan = opt.budget_for(scenario, "kpi0", value=best.certificate.value)
    assert plan.spend.sum() == pytest.approx(800.0, rel=1e-4)
    assert plan.outcomes.loc["kpi0", "expected"] >= best.certificate.value - 1e-6


def test_a_value_out_of_reach() -> None:
    with pytest.raises(opt.InfeasibleError):
        opt.budget_for(opt.Scenario.from_dict(make_scenario()), "kpi0", value=1e6)


def test_a_return_on_spend_and_a_marginal_one() -> None:
    scenario = opt.Scenario.from_dict(make_scenario())
    budgets = np.linspace(100.0, 3000.0, 59)
    curve = opt.budget_curve(scenario, budgets).points
    ratio = curve["value"] / curve.index
    at = float(ratio.loc[ratio.index[20]])
    plan = opt.budget_for(scenario, "kpi0", per_spend=at)
    assert plan.spend.sum() == pytest.approx(ratio.index[20], rel=1e-4)
    slope = float(curve["shadow_price"].iloc[30]) / 1000.0
    plan = opt.budget_for(scenario, "kpi0", marginal=slope)
    assert plan.spend.sum() == pytest.approx(budgets[30], rel=1e-3)


def test_bad_targets_are_refused() -> None:
    scenario = opt.Scenario.from_dict(make_scenario())
    with pytest.raises(opt.SpecError, match="0 of"):
        opt.budget_for(scenario, "kpi0")
    with pytest.raises(opt.SpecError, match="2 of"):
        opt.budget_for(scenario, "kpi0", value=1.0, marginal=1.0)
    with pytest.raises(opt.SpecError, match="no KPI"):
        opt.budget_for(scenario, "nothing", value=1.0)
    data = problem(0, 3, 1)
    del data["lines"][0]["max"]
    open_ended = opt.Scenario.from_dict(data)
    with pytest.raises(opt.SpecError, match="no max"):
        opt.budget_for(open_ended, "kpi 0", value=1.0)
    assert opt.budget_for(open_ended, "kpi 0", value=1.0, up_to=1000.0).spend.sum() > 0
