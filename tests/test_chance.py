"""Floors over draws: on average over the worst, and with a probability."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_convex import problem

import optimizer as opt


def with_draws(folder: Path, seed: int, draws: int = 80, n_lines: int = 5) -> dict:
    """A scenario whose curves are known only up to a spread of 30 %."""
    data = problem(seed, n_lines, 2)
    data["kpis"]["kpi 1"]["role"] = "guardrail"
    data["preferences"] = {}
    drawn(opt.Scenario.from_dict(data).response, draws, np.random.default_rng(seed)).save(folder / "response.nc")
    return data | {"response": {"file": "response.nc"}}


def drawn(model: opt.ResponseModel, draws: int, rng: np.random.Generator) -> opt.ResponseModel:
    """The model with so many draws of its curves, sizes and half-saturations spread by 30 %."""
    parts = {name: np.repeat(getattr(model, name), draws, 0) for name in ("second", "rate", "baseline")}
    for name in ("scale", "first"):
        spread = rng.lognormal(0, 0.3, (draws, *model.family.shape))
        parts[name] = np.repeat(getattr(model, name), draws, 0) * spread
    return replace(model, **parts)


def worst_mean(values: np.ndarray, share: float) -> float:
    """Mean over the worst ``share`` of values, a straddling one in part: counted out one by one."""
    left, total = share * len(values), 0.0
    for value in sorted(values):
        part = min(1.0, left)
        total, left = total + part * value, left - part
    return total / (share * len(values))


@pytest.mark.parametrize("seed", range(3))
def test_cvar_floor_holds_as_simulated_and_is_best(tmp_path: Path, seed: int) -> None:
    data = with_draws(tmp_path, seed)
    free = opt.solve(opt.Scenario.from_dict(data, tmp_path))
    level = worst_mean(opt.simulate(free.scenario, free.spend)["kpi 1"].to_numpy(), 0.15)
    data["preferences"] = {"floors": {"kpi 1": {"value": level * 1.01, "cvar": 0.15}}}
    plan = opt.solve(opt.Scenario.from_dict(data, tmp_path))
    held = worst_mean(opt.simulate(plan.scenario, plan.spend)["kpi 1"].to_numpy(), 0.15)
    assert held == pytest.approx(level * 1.01, rel=1e-6)
    assert plan.certificate.guarantee == "global"
    assert plan.certificate.gap <= 1e-6
    # No random plan that keeps the floor and the rules is above the bound.
    rng = np.random.default_rng(seed)
    spend = plan.spend.to_numpy() + 40 * rng.normal(size=(400, 5)) @ (np.eye(5) - 0.2)
    polyhedron = plan.scenario.polyhedron
    room = polyhedron.b - spend @ polyhedron.A.T.toarray()
    spend = spend[np.all(np.where(polyhedron.equal, True, room >= 0), axis=1) & (spend >= 0).all(axis=1)]
    assert len(spend) > 20
    for _, draws in opt.simulate(plan.scenario, spend).groupby(level="plan"):
        if worst_mean(draws["kpi 1"].to_numpy(), 0.15) >= level * 1.01:
            assert draws["kpi 0"].mean() <= plan.certificate.bound


@pytest.mark.parametrize("seed", range(3))
def test_probability_floor_holds_and_costs_less_than_its_cvar_form(tmp_path: Path, seed: int) -> None:
    data = with_draws(tmp_path, seed)
    free = opt.solve(opt.Scenario.from_dict(data, tmp_path))
    level = float(np.quantile(opt.simulate(free.scenario, free.spend)["kpi 1"], 0.13))
    data["preferences"] = {"floors": {"kpi 1": {"value": level, "probability": 0.9}}}
    plan = opt.solve(opt.Scenario.from_dict(data, tmp_path))
    draws = opt.simulate(plan.scenario, plan.spend)["kpi 1"].to_numpy()
    assert np.mean(draws >= level) >= 0.9
    assert plan.rules["slack"].iloc[-1] >= 0
    assert plan.certificate.value <= plan.certificate.bound
    data["preferences"] = {"floors": {"kpi 1": {"value": level, "cvar": 0.1}}}
    try:
        strict = opt.solve(opt.Scenario.from_dict(data, tmp_path)).certificate.value
    except opt.InfeasibleError:
        strict = -np.inf
    assert plan.certificate.value >= strict - 1e-9
    assert plan.certificate.bound == pytest.approx(free.certificate.value, rel=1e-6)


def test_a_probability_floor_kept_anyway_leaves_the_plan_global(tmp_path: Path) -> None:
    data = with_draws(tmp_path, 5)
    free = opt.solve(opt.Scenario.from_dict(data, tmp_path))
    data["preferences"] = {"floors": {"kpi 1": {"value": 1.0, "probability": 0.95}}}
    plan = opt.solve(opt.Scenario.from_dict(data, tmp_path))
    assert plan.certificate.guarantee == "global"
    assert np.allclose(plan.spend, free.spend)


def test_a_probability_floor_out_of_reach_is_told(tmp_path: Path) -> None:
    data = with_draws(tmp_path, 6)
    data["preferences"] = {"floors": {"kpi 1": {"value": 1e6, "probability": 0.9}}}
    with pytest.raises(opt.InfeasibleError, match="kpi 1"):
        opt.solve(opt.Scenario.from_dict(data, tmp_path))


def test_a_bound_under_priorities_is_for_the_goal_that_was_solved(tmp_path: Path) -> None:
    """The relaxed problem holds its first KPI higher, so its second KPI is no bound for a plan that need not."""
    data = with_draws(tmp_path, 1)
    data["kpis"]["kpi 2"] = {"direction": "maximize", "sum": ["kpi 0", "kpi 1"], "role": "objective"}
    order = {"priorities": [{"kpi": "kpi 0", "slack": 0.001}, "kpi 2"]}
    free = opt.solve(opt.Scenario.from_dict(data | {"preferences": order}, tmp_path))
    level = float(np.quantile(opt.simulate(free.scenario, free.spend)["kpi 1"], 0.14))
    data["preferences"] = order | {"floors": {"kpi 1": {"value": level, "probability": 0.9}}}
    plan = opt.solve(opt.Scenario.from_dict(data, tmp_path))
    assert np.mean(opt.simulate(plan.scenario, plan.spend)["kpi 1"] >= level) >= 0.9
    assert plan.outcomes.loc["kpi 0", "expected"] < free.outcomes.loc["kpi 0", "expected"]
    # The first KPI was given up for the floor, and by how much at least is not proven.
    assert plan.certificate.guarantee == "none"
    assert np.isnan(plan.certificate.bound)


def floor_only_looser_plans_keep(folder: Path) -> dict:
    """Two plans in three draws: the worst draw never pays, so the mean over the worst fails where 2 of 3 hold."""
    data = with_draws(folder, 2, draws=3, n_lines=2)
    data["constraints"] = {"budget": {"total": 1000.0}}
    model = opt.Scenario.from_dict(data, folder).response
    scale = model.scale.copy()
    scale[0] = 0.0
    opt.ResponseModel(**(model.__dict__ | {"scale": scale})).save(folder / "response.nc")
    data["preferences"] = {}
    best = opt.solve(opt.Scenario.from_dict(data, folder))
    draws = np.sort(opt.simulate(best.scenario, best.spend)["kpi 1"])
    data["preferences"] = {"floors": {"kpi 1": {"value": float(draws[1] * 0.99), "probability": 0.66}}}
    return data


def test_a_floor_that_holds_is_not_called_impossible_elsewhere(tmp_path: Path) -> None:
    scenario = opt.Scenario.from_dict(floor_only_looser_plans_keep(tmp_path), tmp_path)
    plan = opt.solve(scenario)
    # What a plan implies cannot be read off a problem that is not convex: said, not guessed.
    with pytest.raises(opt.SolverError, match="probability"):
        opt.explain(plan)


def test_a_front_whose_stricter_floors_cannot_be_kept_is_not_called_infeasible(tmp_path: Path) -> None:
    data = floor_only_looser_plans_keep(tmp_path)
    data["kpis"]["kpi 2"] = {"direction": "maximize", "product": ["spend", -1.0], "role": "objective"}
    data["constraints"] = {"budget": {"max": 1000.0}}
    data["preferences"] |= {"values": {"kpi 0": 1000.0, "kpi 2": 1.0}}
    with pytest.raises(opt.SolverError, match="stricter"):
        opt.frontier(opt.Scenario.from_dict(data, tmp_path))


def test_what_was_not_proven_impossible_is_not_said_to_be(tmp_path: Path) -> None:
    data = with_draws(tmp_path, 6)
    data["preferences"] = {"floors": {"kpi 1": {"value": 1e6, "probability": 0.9}}}
    with pytest.raises(opt.InfeasibleError, match="was found"):
        opt.solve(opt.Scenario.from_dict(data, tmp_path))


def test_a_front_under_stricter_floors_claims_no_more_than_it_proves(tmp_path: Path) -> None:
    data = with_draws(tmp_path, 3)
    free = opt.solve(opt.Scenario.from_dict(data, tmp_path))
    level = float(np.quantile(opt.simulate(free.scenario, free.spend)["kpi 1"], 0.05)) * 0.9
    data["kpis"]["kpi 1"]["role"] = "objective"
    data["preferences"] = {
        "values": {"kpi 0": 1.0, "kpi 1": 1.0},
        "floors": {"kpi 1": {"value": level, "probability": 0.9}},
    }
    certificate = opt.frontier(opt.Scenario.from_dict(data, tmp_path), tolerance=0.05).certificate
    assert certificate.guarantee == "none"
    assert "stricter form" in certificate.why
