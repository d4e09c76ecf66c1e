"""On/off rules and S-shaped curves against brute force over every choice of lines."""

import itertools
from typing import Any

import numpy as np
import pytest
from test_convex import problem
from test_piecewise import grid, on_scale, random_problem

import optimizer as opt
from optimizer.measured import kpi_means
from optimizer.simulate import Simulator


def with_switches(seed: int, n_lines: int) -> dict:
    data = problem(seed, n_lines, 2)
    data["constraints"].pop("change")
    data["kpis"]["kpi 2"] = {"direction": "maximize", "role": "guardrail", "sum": ["kpi 0", "kpi 1"]}
    today = opt.simulate(opt.Scenario.from_dict(data), opt.Scenario.from_dict(data).current)
    data["preferences"]["floors"] = {"kpi 2": float(today["kpi 2"].mean() * 0.8)}
    data["constraints"]["minimum_if_on"] = [{"select": {"channel": "a"}, "amount": 220.0}]
    data["constraints"]["most_on"] = [{"lines": n_lines - 2}, {"select": {"channel": "b"}, "lines": 1}]
    return data


@pytest.mark.parametrize("seed", [0, 1, 2, 4, 8])
def test_equals_the_best_of_every_choice_of_lines(seed: int) -> None:
    data = with_switches(seed, 5)
    plan = opt.solve(opt.Scenario.from_dict(data))
    scale = plan.scenario.spec.preferences.scale
    best = -1.0
    for on in itertools.product((False, True), repeat=5):
        lines = [
            line | ({"min": 220.0 if line["channel"] == "a" else 0.0} if chosen else {"max": 0.0})
            for line, chosen in zip(data["lines"], on, strict=True)
        ]
        if (
            sum(on) > 3
            or sum(chosen for line, chosen in zip(lines, on, strict=True) if line["channel"] == "b") > 1
        ):
            continue
        constraints = {k: v for k, v in data["constraints"].items() if k not in ("minimum_if_on", "most_on")}
        preferences = data["preferences"] | {"scale": scale}
        held = data | {"lines": lines, "constraints": constraints, "preferences": preferences}
        try:
            best = max(best, opt.solve(opt.Scenario.from_dict(held)).certificate.value)
        except opt.InfeasibleError:
            continue
    assert best > -1.0
    assert plan.certificate.value == pytest.approx(best, abs=2e-6)
    assert plan.certificate.bound >= best
    assert plan.certificate.gap <= 1e-5
    on = plan.spend[plan.spend > 1e-3]
    assert (on.drop(["line 1", "line 3"], errors="ignore") >= 220.0 - 1e-3).all()
    assert len(on) <= 3
    assert len(on.index.intersection(["line 1", "line 3"])) <= 1
    assert plan.certificate.route == "mixed_integer"
    rules = plan.rules
    assert rules.loc["at most 1 on of channel b", "slack"] == 1 - (plan.spend[["line 1", "line 3"]] > 1).sum()
    for line in ("line 0", "line 2", "line 4"):
        if plan.spend[line] > 1:
            assert rules.loc[f"{line}: at least 220 if on", "slack"] == pytest.approx(plan.spend[line] - 220.0)
        else:
            assert f"{line}: at least 220 if on" not in rules.index


def test_loosening_an_on_off_rule_never_makes_the_plan_worse() -> None:
    data = with_switches(11, 6)
    data["preferences"]["scale"] = dict(
        opt.solve(opt.Scenario.from_dict(problem(11, 6, 2))).scenario.spec.preferences.scale
    )
    values = []
    for most, amount in ((3, 260.0), (4, 260.0), (4, 150.0), (6, 50.0)):
        data["constraints"]["most_on"] = [{"lines": most}]
        data["constraints"]["minimum_if_on"][0]["amount"] = amount
        values.append(opt.solve(opt.Scenario.from_dict(data)).certificate.value)
    assert all(later >= earlier - 1e-6 for earlier, later in itertools.pairwise(values))


def shaped(seed: int, **rules: Any) -> dict[str, Any]:
    """Three lines with S-shaped curves, group shares, a floor and minimum spends if on."""
    return random_problem(seed, 3, shaped=0.8, **({"shares": True, "floor": 0.6, "least": 0.6} | rules))


def values(scenario: opt.Scenario, plans: np.ndarray) -> np.ndarray:
    """Both KPIs of plans: (N, 2)."""
    leaves = Simulator.of(scenario).outcomes(plans)
    found = kpi_means(scenario, leaves, plans)
    return np.column_stack([found["kpi 0"], found["kpi 1"]])


@pytest.mark.parametrize("seed", range(4))
def test_shaped_curves_equal_the_best_of_every_choice_of_lines(seed: int) -> None:
    """Each choice of lines on its own, over a grid of the budget."""
    data = shaped(seed, most=2)
    scenario = opt.Scenario.from_dict(data)
    plan = opt.solve(scenario)
    plans, best = grid(scenario, 400), -np.inf
    for on in itertools.product((False, True), repeat=3):
        held = plans[np.all((plans > 0) == on, axis=1)]
        if len(held):
            best = max(best, on_scale(scenario, held).max())
    assert best - 1e-6 <= plan.certificate.value <= best + 0.02
    assert plan.certificate.bound >= best
    assert plan.certificate.gap <= 1e-5
    assert (plan.spend > 1e-6).sum() <= 2


@pytest.mark.parametrize("seed", range(4))
def test_targets_under_shaped_curves_equal_brute_force(seed: int) -> None:
    data = shaped(seed)
    data["preferences"].pop("weights")
    data["preferences"]["targets"] = {"kpi 0": 20.0, "kpi 1": 25.0}
    scenario = opt.Scenario.from_dict(data)
    plan = opt.solve(scenario)
    found = values(scenario, grid(scenario, 400))
    ahead = (found - [20.0, 25.0]) / 50.0
    best = (ahead.min(axis=1) + 1e-4 * (found / 50.0).mean(axis=1)).max()
    assert best - 1e-6 <= plan.certificate.value <= best + 0.02
    assert plan.certificate.bound >= best
    assert plan.certificate.guarantee == "global"


@pytest.mark.parametrize("seed", range(4))
def test_priorities_under_shaped_curves_equal_brute_force(seed: int) -> None:
    data = shaped(seed)
    data["preferences"] = {"floors": data["preferences"]["floors"]}
    data["preferences"]["priorities"] = [{"kpi": "kpi 0", "slack": 0.05}, "kpi 1"]
    scenario = opt.Scenario.from_dict(data)
    plan = opt.solve(scenario)
    found = values(scenario, grid(scenario, 400))
    first = plan.outcomes.loc["kpi 0", "expected"]
    assert first >= 0.95 * found[:, 0].max() - 1e-6
    kept = found[found[:, 0] >= first - 1e-9, 1]
    assert not len(kept) or plan.outcomes.loc["kpi 1", "expected"] >= kept.max() - 1e-4
    # No plan of the grid that keeps the first KPI within its slack has more of the second than is proven.
    data["preferences"].pop("priorities")
    data["kpis"]["kpi 1"]["role"] = "monitor"
    alone = opt.solve(opt.Scenario.from_dict(data))
    held = found[found[:, 0] >= 0.95 * alone.certificate.bound, 1]
    assert not len(held) or plan.certificate.bound >= held.max()


@pytest.mark.parametrize("seed", range(4))
def test_a_ceiling_on_cost_under_shaped_curves_holds_and_is_best(seed: int) -> None:
    data = shaped(seed, floor=0.0, cost=1.2)
    scenario = opt.Scenario.from_dict(data)
    plan = opt.solve(scenario)
    limit = data["preferences"]["floors"]["dear"]
    assert plan.outcomes.loc["dear", "expected"] <= limit * (1 + 1e-9)
    best = on_scale(scenario, grid(scenario, 400)).max()
    assert best - 1e-6 <= plan.certificate.value <= best + 0.02
    assert plan.certificate.bound >= best


def test_a_floor_over_the_worst_draws_is_refused_where_curves_are_shaped() -> None:
    data = shaped(0)
    data["preferences"]["floors"] = {"kpi 1": {"value": 1.0, "cvar": 0.1}}
    with pytest.raises(opt.SolverError, match=r"worst draws.*S-shaped") as error:
        opt.solve(opt.Scenario.from_dict(data))
    assert "expected value" in error.value.hint
