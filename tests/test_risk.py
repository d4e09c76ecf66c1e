"""A KPI against its own worst draws: the front is known or proven, and fresh draws tell what it loses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_model, make_scenario, scenario_on_file
from test_evolved_front import check, kpis_of

import optimizer as opt
from optimizer.changes import evidence
from optimizer.curves import FAMILIES
from optimizer.report.formats import front_proof
from optimizer.report.points import point_outcomes
from optimizer.response import ResponseModel
from optimizer.risk import lost_words
from optimizer.simulate import Simulator
from optimizer.solve.forms import Goal
from optimizer.solve.problem import Problem
from optimizer.solve.relaxed import relaxed

RISK = "kpi0, worst 0.1"


def doubtful(lines: int = 3, draws: int = 60, slope: float = 1.0, **fields: Any) -> ResponseModel:
    """The more a line promises the less it is known."""
    rng = np.random.default_rng(4)
    names, shape = tuple(f"line{i}" for i in range(lines)), (draws, 1, lines)
    spread = np.exp(rng.normal(size=shape) * np.linspace(0.02, 0.9, lines))
    parts: dict[str, Any] = {
        "family": np.full((1, lines), FAMILIES["hill"].code),
        "scale": spread / spread.mean(axis=0) * np.linspace(5.0, 9.0, lines),
        "first": np.full(shape, 150.0),
        "second": np.full(shape, slope),
        "rate": np.full(shape, 0.3),
    }
    return make_model(draws, ("kpi0",), names, **(parts | fields))


def worst_mean(values: np.ndarray, share: float) -> np.ndarray:
    """The mean of the lowest draws, plainly: values (N, D), a share that makes whole draws."""
    count = round(share * values.shape[1])
    return np.sort(values, axis=1)[:, :count].mean(axis=1)


def test_values_are_means_of_the_worst_draws(tmp_path: Path) -> None:
    scenario = scenario_on_file(tmp_path, doubtful())
    data = scenario.resolved()
    del data["hash"]
    data["kpis"] |= {
        "low": {"cvar": ["kpi0", 0.25], "direction": "maximize", "role": "monitor"},
        "cost_of_kpi0": {"ratio": ["spend", "kpi0"], "direction": "minimize", "role": "monitor"},
        "dear": {"cvar": ["cost_of_kpi0", 0.1], "direction": "minimize", "role": "monitor"},
    }
    made = opt.Scenario.from_dict(data, tmp_path)
    plans = np.random.default_rng(0).dirichlet(np.ones(3), 4) * 1000
    found = opt.simulate(made, plans).groupby(level="plan").mean()
    draws = Simulator.of(made).outcomes(plans)[:, :, 0]
    assert found["low"].to_numpy() == pytest.approx(worst_mean(draws, 0.25))
    costs = 1000 / draws
    assert found["dear"].to_numpy() == pytest.approx(-worst_mean(-costs, 0.1))
    plan = opt.solve(made)
    assert plan.outcomes.loc[["low", "dear"], ["low", "high", "p_better"]].isna().to_numpy().all()
    assert plan.outcomes.loc["low", "expected"] < plan.outcomes.loc["kpi0", "expected"]


def test_the_certified_front_is_the_known_one(tmp_path: Path) -> None:
    scenario = scenario_on_file(tmp_path, doubtful(2))
    front = opt.frontier(scenario, risk={"kpi0": 0.1})
    check(front)
    certificate = front.certificate
    assert certificate.route == "frontier"
    assert certificate.guarantee == "global"
    assert certificate.gap <= 0.01
    first = np.linspace(0.0, 1000.0, 4001)
    known = kpis_of(front.scenario, np.column_stack([first, 1000.0 - first]))
    assert front.hypervolume_of(known) <= certificate.bound + 1e-9
    assert front.hypervolume >= 0.99 * front.hypervolume_of(known)
    assert (front.steps(known) @ front.limits.weights.T <= front.limits.levels + 1e-6).all()
    # The two ends are the plans that are best for the mean and for the worst draws.
    assert front.points["kpi0"].max() == pytest.approx(known[:, 0].max(), rel=1e-4)
    assert front.points[RISK].max() == pytest.approx(known[:, 1].max(), rel=1e-4)
    assert front.points["kpi0"].iloc[-1] > front.points["kpi0"].iloc[0] * 1.01


def test_fresh_draws_tell_what_is_lost(tmp_path: Path) -> None:
    scenario = scenario_on_file(tmp_path, doubtful(2))
    front = opt.frontier(scenario, risk={"kpi0": 0.1}, tolerance=0.05)
    used, fresh = front.scenario.response, front.scenario.fresh
    assert (used.draws, fresh.draws) == (41, 19)
    assert not np.isin(fresh.scale[:, 0, 0], used.scale[:, 0, 0]).any()
    # By hand: what plans gain over today's, on either part of the draws.
    both = np.vstack([front.plans, front.scenario.today])
    means = []
    for name, model in (("used", used), ("fresh", fresh)):
        (tmp_path / name).mkdir()
        on_file = scenario_on_file(tmp_path / name, model)
        means.append(Simulator.of(on_file).outcomes(both)[:, :, 0].mean(axis=1))
    gains = [each[:-1] - each[-1] for each in means]
    assert front.fresh["kpi0"].to_numpy() == pytest.approx(means[1][:-1])
    assert front.fresh["loss kpi0"].to_numpy() == pytest.approx(gains[0] - gains[1], abs=1e-9)
    # Nobody pairs the draws of one part with all of them.
    assert evidence(front.scenario) != evidence(scenario)
    assert np.isfinite(front.lost)
    assert "19 draws that no search has seen it" in front.certificate.why
    assert lost_words(front.lost) in front_proof(front.to_dict()["certificate"], 9, front.lost)
    assert all(row[RISK]["low"] is None and row["kpi0"]["low"] is not None for row in point_outcomes(front))
    assert front.to_dict()["fresh"][0].keys() >= {"kpi0", f"loss {RISK}"}
    picked = front.pick(weights={"kpi0": 1.0, RISK: 1.0})
    assert picked.fresh.loc["kpi0", "fresh"] in front.fresh["kpi0"].to_numpy()
    front.save(tmp_path / "front.json")
    again = opt.Front.load(tmp_path / "front.json")
    assert again.fresh.equals(front.fresh)
    assert again.scenario.spec.response.held_out == front.scenario.spec.response.held_out == 0.33


def test_s_shapes_are_searched_under_the_bound_of_means(tmp_path: Path) -> None:
    scenario = scenario_on_file(tmp_path, doubtful(2, slope=2.0))
    front = opt.frontier(scenario, risk={"kpi0": 0.1}, search=opt.Evolution(40, 1200))
    check(front)
    assert front.certificate.route == "evolved_front"
    assert "mean over the worst draws" in front.certificate.why
    first = np.linspace(0.0, 1000.0, 4001)
    known = kpis_of(front.scenario, np.column_stack([first, 1000.0 - first]))
    assert front.hypervolume >= 0.99 * front.hypervolume_of(known)
    assert (front.steps(known) @ front.limits.weights.T <= front.limits.levels + 1e-6).all()
    assert front.certificate.bound >= front.hypervolume_of(known)


def test_slopes_and_relaxed_problem(tmp_path: Path) -> None:
    scenario = scenario_on_file(tmp_path, doubtful(3, slope=2.0))
    data = scenario.resolved()
    del data["hash"]
    data["kpis"]["low"] = {"cvar": ["kpi0", 0.1], "direction": "maximize"}
    data["preferences"] = {
        "weights": {"kpi0": 1.0, "low": 1.0},
        "scale": {"kpi0": [0.0, 90.0], "low": [0.0, 90.0]},
    }
    problem = Problem(opt.Scenario.from_dict(data, tmp_path))
    z, step = np.array([0.3, 0.3, 0.4]), 1e-6
    by_hand = [(problem.state(z + d).u - problem.state(z - d).u) / (2 * step) for d in step * np.eye(3)]
    assert problem.state(z).rises == pytest.approx(np.array(by_hand).T, rel=1e-5)
    above, plans = relaxed(problem), np.random.default_rng(1).dirichlet(np.ones(3), 20)
    assert all((above.state(plan).u >= problem.state(plan).u - 1e-12).all() for plan in plans)
    # A floor on it is the floor over the worst draws that it stands for.
    low = problem.objectives[1].kpi(problem.state(z).u[1])
    data["preferences"]["floors"] = {"low": float(low)}
    held = Problem(opt.Scenario.from_dict(data, tmp_path))
    assert held.state(z).room == pytest.approx([0.0], abs=1e-12)
    assert held.floors[0].tail == 0.1
    assert Goal(np.ones(2)).value(held.state(z).u) == pytest.approx(held.state(z).u.sum())


def test_what_makes_no_sense_is_told(tmp_path: Path) -> None:
    data = make_scenario(2)
    tail = {"cvar": ["kpi0", 0.1], "direction": "maximize", "role": "monitor"}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"low": tail}, "one draw, so none is the worst"),
        ({"low": tail | {"cvar": ["other", 0.1]}}, "unknown KPI 'other'"),
        ({"low": tail | {"cvar": ["kpi0", 2.0]}}, "a share of its draws"),
        ({"low": tail | {"direction": "minimize"}}, "another direction"),
        ({"low": {"cvar": ["kpi0", 0.1]}}, "which draws are the worst"),
        ({"low": tail, "sum": {"sum": ["low", 1.0]}}, "no part of others"),
    ]
    for kpis, said in cases:
        with pytest.raises(opt.SpecError, match=said):
            opt.Scenario.from_dict(data | {"kpis": data["kpis"] | kpis})
    scenario = scenario_on_file(tmp_path, doubtful(2, 5))
    with pytest.raises(opt.SpecError, match="is no objective"):
        opt.frontier(scenario, risk={"other": 0.1})
    with pytest.raises(opt.SpecError, match="too few to use or to hold out"):
        opt.frontier(scenario, risk={"kpi0": 0.1})
    with pytest.raises(opt.SpecError, match="no share of the draws"):
        opt.frontier(scenario, risk={"kpi0": 1.5})
