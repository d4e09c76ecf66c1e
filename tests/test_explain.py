"""Shadow prices and exchange rates against re-solved problems; implied trade-offs against known ones."""

import copy

import numpy as np
import pandas as pd
import pytest
from test_convex import problem
from test_piecewise import on_scale, random_problem

import optimizer as opt


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_kpis", [1, 2])
def test_shadow_prices_match_resolved_problems(seed: int, n_kpis: int) -> None:
    data = problem(seed, 6, n_kpis, floors=True)
    plan = opt.solve(opt.Scenario.from_dict(data))
    data = plan.scenario.resolved()
    del data["hash"]
    rules = plan.rules

    def value(change: float) -> float:
        other = copy.deepcopy(data)
        other["constraints"]["budget"]["total"] += change
        return opt.solve(opt.Scenario.from_dict(other)).certificate.value

    step = 0.5
    slope = (value(step) - value(-step)) / (2 * step) * 1000
    assert rules.loc["budget: total", "shadow_price"] == pytest.approx(slope, rel=0.01)
    slack = rules[~rules["binding"] & rules["shadow_price"].notna()]
    assert len(slack)
    assert (slack["shadow_price"].abs() < 1e-6 * rules["shadow_price"].abs().max()).all()


@pytest.mark.parametrize("seed", range(3))
def test_price_of_a_line_bound_and_of_a_floor(seed: int) -> None:
    data = problem(seed, 5, 2)
    data["kpis"]["kpi 1"]["role"] = "guardrail"
    data["preferences"] = {}
    free = opt.solve(opt.Scenario.from_dict(data))
    line = free.spend.idxmax()
    index = list(free.spend.index).index(line)
    data["lines"][index]["max"] = float(free.spend[line] * 0.8)
    capped = opt.solve(opt.Scenario.from_dict(data))
    floor = float(capped.outcomes.loc["kpi 1", "expected"] * 1.005)
    data["preferences"] = {"floors": {"kpi 1": floor}}
    plan = opt.solve(opt.Scenario.from_dict(data))

    def value(cap: float, least: float) -> float:
        other = copy.deepcopy(data)
        other["lines"][index]["max"] += cap
        other["preferences"]["floors"]["kpi 1"] += least
        return opt.solve(opt.Scenario.from_dict(other)).certificate.value

    prices = plan.rules["shadow_price"]
    assert prices[f"{line}: max"] == pytest.approx((value(0.5, 0) - value(-0.5, 0)) * 1000, rel=0.01)
    step = 1e-4 * floor
    # Loosening the floor by one unit: the objective's fall as the floor rises, turned round.
    expected = (value(0, -step) - value(0, step)) / (2 * step)
    assert prices[f"kpi 1 at least {floor:g}"] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_exchange_rates_match_resolved_problems(seed: int) -> None:
    data = problem(seed, 6, 2)
    plan = opt.solve(opt.Scenario.from_dict(data))
    rate = opt.explain(plan).plan.exchange.loc["kpi 0", "kpi 1"]
    level = plan.outcomes.loc["kpi 1", "expected"]
    data["kpis"]["kpi 1"]["role"] = "guardrail"

    def best(least: float) -> float:
        data["preferences"] = {"floors": {"kpi 1": float(least)}}
        return opt.solve(opt.Scenario.from_dict(data)).certificate.value

    step = 1e-4 * level
    assert rate == pytest.approx((best(level - step) - best(level + step)) / (2 * step), rel=0.01)


def test_known_weights_come_back() -> None:
    """200 plans, each the best for random weights; the weights are read off the plan alone."""
    rng = np.random.default_rng(0)
    count = 0
    for seed in range(20):
        data = problem(seed, 6, int(rng.integers(2, 4)), rules=False)
        base = opt.solve(opt.Scenario.from_dict(data)).scenario
        for _ in range(10):
            weights = {name: float(rng.uniform(0.15, 1)) for name in base.objectives}
            data["preferences"] = {"weights": weights, "scale": base.spec.preferences.scale}
            plan = opt.solve(opt.Scenario.from_dict(data))
            implied = opt.implied_tradeoff(base, plan.spend)
            total = sum(weights.values())
            assert implied.better is None
            for name, weight in weights.items():
                assert implied.weights[name] == pytest.approx(weight / total, rel=0.01)
            count += 1
    assert count == 200


@pytest.mark.parametrize("seed", range(5))
def test_a_beaten_plan_gets_the_plan_that_beats_it(seed: int) -> None:
    scenario = opt.Scenario.from_dict(problem(seed, 6, 3))
    today = pd.Series(scenario.current, index=scenario.lines)
    implied = opt.implied_tradeoff(scenario, today)
    assert implied.weights is None
    before = opt.simulate(scenario, today).mean()
    after = opt.simulate(scenario, implied.better.spend).mean()
    for name in scenario.objectives:
        assert after[name] > before[name]
        assert implied.gain[name] == pytest.approx(after[name] - before[name], rel=1e-6)
    assert scenario.polyhedron.slack(implied.better.spend.to_numpy()).min() >= -1e-6


def test_marginal_returns_match_differences() -> None:
    plan = opt.solve(opt.Scenario.from_dict(problem(2, 5, 2)))
    table = opt.explain(plan).marginal
    for line in plan.spend.index:
        up, down = plan.spend.copy(), plan.spend.copy()
        up[line], down[line] = up[line] + 0.01, down[line] - 0.01
        for name in plan.scenario.objectives:
            rise = (
                opt.simulate(plan.scenario, up).mean()[name] - opt.simulate(plan.scenario, down).mean()[name]
            ) / 0.02
            assert table.loc[line, f"{name} per 1000"] == pytest.approx(1000 * rise, rel=1e-4)
            assert table.loc[line, f"cost per {name}"] == pytest.approx(1 / rise, rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_weights_implied_under_shaped_curves_make_the_plan_best(seed: int) -> None:
    data = random_problem(seed, 3, shaped=1.0, shares=True)
    plan = opt.solve(opt.Scenario.from_dict(data))
    implied = opt.implied_tradeoff(plan.scenario, plan.spend)
    assert implied.better is None
    assert implied.weights is not None
    again = opt.Scenario.from_dict(
        data | {"preferences": data["preferences"] | {"weights": dict(implied.weights)}}
    )
    best = opt.solve(again).certificate.value
    assert on_scale(again, plan.spend.to_numpy()[None])[0] >= best - 2e-5


def test_a_plan_that_is_not_beaten_but_best_for_no_weights_is_told() -> None:
    """Two lines, each KPI moved by one of them through an S-shape: a split is between two better extremes."""
    shape = {"curve": {"kind": "hill", "scale": 20, "half": 100, "slope": 4}}
    data = random_problem(0, 2, shaped=1.0)
    data["response"] = {"kpi 0": {"line 0": shape, "line 1": "none"}, "kpi 1": {"line 0": "none", "line 1": shape}}
    for line in data["lines"]:
        line |= {"max": 1000.0, "current": 500.0}
    data["constraints"] = {"budget": {"total": 600.0}}
    scenario = opt.Scenario.from_dict(data)
    split = pd.Series([300.0, 300.0], index=list(scenario.lines))
    implied = opt.implied_tradeoff(scenario, split)
    assert implied.better is None
    assert implied.weights is None
    assert implied.unsupported
    extreme = pd.Series([600.0, 0.0], index=list(scenario.lines))
    assert not opt.implied_tradeoff(scenario, extreme).unsupported


def test_a_better_plan_is_found_under_on_off_rules_and_packages() -> None:
    data = random_problem(3, 4, shaped=1.0, most=2, package=0.4)
    scenario = opt.Scenario.from_dict(data)
    poor = pd.Series([0.0, 0.0, 0.0, 10.0], index=list(scenario.lines))
    implied = opt.implied_tradeoff(scenario, poor)
    assert implied.better is not None
    assert (implied.gain > 0).all()
    switches = scenario.polyhedron.switches
    assert switches is not None
    assert switches.kept(implied.better.spend.to_numpy(), 1e-6)
