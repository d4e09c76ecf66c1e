"""The route without a proof: known optima are found, rules kept, bounds hold, and what is not known is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import make_scenario
from test_routes import check_kept

import optimizer as opt

FOUND = 1e-3


def linked(seed: int, lines: int, kpis: int = 1, **blocks: Any) -> dict[str, Any]:
    """A random scenario with S-shapes and every line giving to another."""
    rng = np.random.default_rng(seed)
    data = make_scenario(lines, kpis, seed, changes=blocks)
    for name in data["kpis"]:
        for entry in data["response"][name].values():
            entry["curve"]["slope"] = float(rng.uniform(0.6, 3.0))
    data["response"]["synergy"] = {
        name: {f"line{i}": {f"line{(i + 1) % lines}": float(rng.uniform(-0.6, 2.5))} for i in range(lines)}
        for name in data["kpis"]
    }
    return data


@pytest.mark.parametrize("seed", range(10))
def test_two_lines_with_known_optimum(seed: int) -> None:
    scenario = opt.Scenario.from_dict(linked(seed, 2))
    first = np.linspace(0, 1000, 20_001)
    best = opt.simulate(scenario, np.column_stack([first, 1000 - first])).to_numpy().max()
    plan = opt.solve(scenario)
    assert plan.certificate.route == "evolve"
    assert plan.certificate.value >= best * (1 - FOUND)
    assert plan.certificate.bound >= best * (1 - 1e-9)
    assert plan.certificate.guarantee in ("local", "global")
    assert "multiplies" in plan.certificate.why


RULES: dict[str, Any] = {
    "budget": {"total": 1000.0},
    "shares": [
        {"select": {"channel": "a"}, "min": 0.2, "max": 0.6},
        {
            "select": {"line": ["line0", "line1"]},
            "of": {"line": ["line0", "line1", "line2"]},
            "min": 0.3,
            "max": 0.9,
        },
        {"select": {"line": ["line2", "line5"]}, "min": 0.1, "max": 0.5, "name": "two"},
    ],
    "groups": [
        {"select": {"line": ["line0", "line3"]}, "min": 100.0, "max": 500.0, "name": "three"},
        {"select": {"line": ["line4", "line5"]}, "max": 450.0, "name": "four"},
        {"select": {"line": ["line1", "line2", "line3"]}, "min": 250.0, "name": "five"},
    ],
}
SWITCHED = {
    "minimum_if_on": [{"select": {"channel": "b"}, "amount": 150.0}],
    "most_on": [{"lines": 4}],
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("switched", [False, True])
def test_rules_are_kept(seed: int, switched: bool) -> None:
    data = linked(seed, 6, constraints=RULES | (SWITCHED if switched else {}))
    if seed == 2:
        data["lines"][1]["package"] = 60.0
    scenario = opt.Scenario.from_dict(data)
    plan = opt.solve(scenario)
    check_kept(scenario, plan.spend.to_numpy())
    assert plan.certificate.bound >= plan.certificate.value
    rng = np.random.default_rng(seed)
    others = 1000 * rng.dirichlet(np.full(6, 0.7), 4000)
    slack = np.array([scenario.polyhedron.slack(plan).min() for plan in others]) >= 0
    if not switched and seed < 2 and slack.any():
        values = opt.simulate(scenario, others[slack]).to_numpy()
        assert values.max() <= plan.certificate.value * (1 + 1e-9)


def test_floors_are_kept() -> None:
    data = linked(1, 4, 2)
    free = opt.solve(opt.Scenario.from_dict(data)).outcomes.loc["kpi0", "expected"]
    data["preferences"] |= {"floors": {"kpi0": 1.4 * free}}
    plan = opt.solve(opt.Scenario.from_dict(data))
    assert plan.outcomes.loc["kpi0", "expected"] >= 1.4 * free * (1 - 1e-9)


def test_a_floor_that_is_neither_reached_nor_ruled_out_is_told() -> None:
    data = linked(1, 4, 2)
    data["preferences"] |= {"floors": {"kpi1": 50.0}}
    with pytest.raises(opt.SolverError, match="none is proven to be impossible"):
        opt.solve(opt.Scenario.from_dict(data))


def test_what_cannot_be_is_proven_so() -> None:
    data = linked(1, 4, 2)
    data["preferences"] |= {"floors": {"kpi1": 1e6}}
    with pytest.raises(opt.InfeasibleError, match="kpi1"):
        opt.solve(opt.Scenario.from_dict(data))


def test_the_same_seed_finds_the_same_plan() -> None:
    scenario = opt.Scenario.from_dict(linked(4, 5, 2))
    one, two = opt.solve(scenario), opt.solve(scenario)
    assert one.spend.equals(two.spend)
    assert "seed 0" in one.certificate.why


def test_it_is_used_by_name_where_others_prove() -> None:
    scenario = opt.Scenario.from_dict(make_scenario(5, 2))
    proven, searched = opt.solve(scenario), opt.solve(scenario, route="evolve")
    assert searched.certificate.route == "evolve"
    assert searched.certificate.value == pytest.approx(proven.certificate.value, abs=1e-6)
    # Nothing was relaxed, so its bound is as good.
    assert searched.certificate.guarantee == "global"


@pytest.mark.parametrize("preferences", ["priorities", "targets", "values"])
def test_every_kind_of_preference(preferences: str) -> None:
    data = linked(3, 4, 2)
    scale = {"kpi0": "payoff", "kpi1": "payoff"}
    data["preferences"] = {
        "priorities": {"priorities": [{"kpi": "kpi0", "slack": 0.05}, "kpi1"]},
        "targets": {"targets": {"kpi0": 20.0, "kpi1": 15.0}, "scale": scale},
        "values": {"values": {"kpi0": 3.0, "kpi1": 2.0}},
    }[preferences]
    plan = opt.solve(opt.Scenario.from_dict(data))
    assert plan.certificate.route == "evolve"
    assert plan.spend.sum() == pytest.approx(1000.0)
