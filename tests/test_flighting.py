"""Plans that choose their spend by period: against brute force, by properties, and the proof of the bound."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import numpy as np
import pytest
from conftest import make_model, scenario_on_file
from flighting_cases import BUDGET, allowed, goal, grid, problem, random_plans, smooth, solve, with_floor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import optimizer as opt
from optimizer.solve.cells import CellProblem
from optimizer.solve.flighting import FlightingSolver
from optimizer.solve.forms import Goal

PROPERTY = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.mark.parametrize(("lines", "periods", "steps"), [(2, 2, 40), (1, 4, 40), (2, 3, 14)])
@pytest.mark.parametrize("kpis", [1, 2])
@pytest.mark.parametrize("floors", [False, True])
def test_plan_equals_brute_force(lines: int, periods: int, steps: int, kpis: int, floors: bool) -> None:
    data = problem(lines + 7 * kpis, lines, periods, kpis)
    for line in data["lines"]:
        line["max"] = BUDGET
    if floors and kpis > 1:
        data = with_floor(data)
    plan = solve(data)
    scenario, shape = plan.scenario, (-1, lines, periods)
    plans = BUDGET * grid(lines * periods, steps).reshape(shape)
    plans = plans[allowed(scenario, plans)]
    # Finer grids around the best so far: the problem is concave.
    for zoom in (0.2, 0.03, 0.004):
        around = zoom * BUDGET * (grid(lines * periods, steps) * lines * periods - 1) / 2
        finer = plans[goal(plan, plans).argmax()] + around.reshape(shape)
        finer = finer[(finer >= 0).all(axis=(1, 2))]
        plans = np.concatenate([plans, finer[allowed(scenario, finer)]])
    best = goal(plan, plans).max()
    found = goal(plan, plan.spend.to_numpy()[None])[0]
    assert found >= best - 2e-6 * abs(best)
    assert found == pytest.approx(plan.certificate.value, rel=1e-9, abs=1e-9)
    assert found <= best + (4e-3 if plan.scenario.spec.preferences.floors else 1e-3) * max(abs(best), 1.0)
    assert plan.certificate.bound >= best - 1e-12
    assert plan.certificate.guarantee == "global"
    assert allowed(scenario, plan.spend.to_numpy()[None])[0]


@pytest.mark.parametrize("seed", range(3))
def test_bound_is_above_every_plan(seed: int) -> None:
    data = with_floor(problem(seed))
    plan = solve(data)
    most = solve(data | {"preferences": {"priorities": ["kpi 1", "kpi 0"]}})
    spend = random_plans(plan.scenario, 3000, seed)
    # Plans near the best one, too: where a bound that cuts too deep would show.
    between = np.random.default_rng(seed).uniform(0, 0.5, (len(spend), 1, 1))
    near = (1 - between) * plan.spend.to_numpy() + between * most.spend.to_numpy()
    spend = np.concatenate([spend, 0.98 * near + 0.02 * spend, 0.999 * near + 0.001 * spend])
    spend = spend[allowed(plan.scenario, spend)]
    assert len(spend) > 100
    assert goal(plan, spend).max() <= plan.certificate.bound + 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_bound_holds_when_time_is_up(seed: int) -> None:
    data = problem(seed, 5, 12)
    best = solve(data)
    scale = best.scenario.spec.preferences.scale
    pinned = data | {"preferences": data["preferences"] | {"scale": {k: list(v) for k, v in scale.items()}}}
    plan = solve(pinned, time_limit=1e-9)
    certificate = plan.certificate
    assert certificate.guarantee == "none"
    assert certificate.value < best.certificate.value <= certificate.bound
    assert certificate.gap == pytest.approx(certificate.bound - certificate.value)
    assert allowed(plan.scenario, plan.spend.to_numpy()[None])[0]


def test_no_plan_in_time_is_an_error_not_a_broken_floor() -> None:
    data = with_floor(problem(3))
    data["preferences"]["scale"] = {"kpi 0": [0.0, 100.0], "kpi 1": [0.0, 100.0]}
    data["preferences"]["floors"]["kpi 1"] *= 1.02
    with pytest.raises(opt.SolverError, match="time"):
        solve(data, time_limit=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_beats_the_best_flat_plan(seed: int) -> None:
    data = problem(seed)
    free = solve(data)
    scale = {k: list(v) for k, v in free.scenario.spec.preferences.scale.items()}
    pinned = data | {"preferences": data["preferences"] | {"scale": scale}}
    flat = solve(pinned | {"flighting": "flat"})
    assert free.certificate.value > flat.certificate.value + 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_is_the_flat_plan_when_pacing_forces_it(seed: int) -> None:
    data = problem(seed)
    data["constraints"]["pacing"] = [
        {"select": {"line": line["name"]}, "up": 0, "down": 0} for line in data["lines"]
    ]
    data["preferences"]["scale"] = {"kpi 0": [0.0, 100.0], "kpi 1": [0.0, 100.0]}
    free, flat = solve(data), solve(data | {"flighting": "flat"})
    assert free.certificate.value == pytest.approx(flat.certificate.value, abs=2e-6)
    assert free.certificate.bound >= flat.certificate.value - 1e-12
    spend = free.spend.to_numpy()
    assert np.ptp(spend, axis=1).max() <= 1e-5 * BUDGET


def test_floors_hold_as_simulated(tmp_path: Any) -> None:
    model = make_model(25, past=3)
    season = [3.0, 3.0, 1.0, 1.0, 0.3, 0.3]
    kpis = {
        "kpi0": {"direction": "maximize", "season": season},
        "kpi1": {"direction": "maximize", "season": season[::-1]},
    }
    wanted = {"weights": {"kpi0": 10.0, "kpi1": 1.0}, "scale": {"kpi0": [0.0, 5000.0], "kpi1": [0.0, 5000.0]}}
    changes = {"flighting": "free", "kpis": kpis, "preferences": wanted}
    base = scenario_on_file(tmp_path, model, periods=6, changes=changes)
    best = opt.solve(base)
    draws = opt.simulate(base, best.spend)["kpi1"]
    worst = float(np.sort(draws)[:5].mean())
    data = base.spec.model_dump(exclude_none=True)
    for floor, holds in (
        (
            {"value": 1.004 * worst, "cvar": 0.2},
            lambda found: np.sort(found)[:5].mean() >= 1.004 * worst * (1 - 1e-9),
        ),
        ({"value": 1.004 * worst, "probability": 0.9}, lambda found: (found >= 1.004 * worst).mean() >= 0.9),
        (1.004 * float(draws.mean()), lambda found: found.mean() >= 1.004 * float(draws.mean()) * (1 - 1e-9)),
    ):
        data["preferences"]["floors"] = {"kpi1": floor}
        plan = opt.solve(opt.Scenario.from_dict(data, tmp_path))
        assert holds(opt.simulate(plan.scenario, plan.spend)["kpi1"].to_numpy())
        assert plan.certificate.value <= best.certificate.value + 1e-6


@pytest.mark.parametrize("mode", ["targets", "priorities", "values"])
def test_every_way_to_state_a_trade_off(mode: str) -> None:
    data = problem(5)
    data["preferences"] = {
        "targets": {"targets": {"kpi 0": 60.0, "kpi 1": 60.0}, "scale": {"kpi 0": [0, 50], "kpi 1": [0, 50]}},
        "priorities": {"priorities": [{"kpi": "kpi 0", "slack": 0.02}, "kpi 1"]},
        "values": {"values": {"kpi 0": 3.0, "kpi 1": 5.0}},
    }[mode]
    plan = solve(data)
    assert plan.certificate.guarantee == "global"
    spend = random_plans(plan.scenario, 3000, 0)
    spend = np.concatenate([spend, 0.97 * plan.spend.to_numpy() + 0.03 * spend])
    kpis = opt.simulate(plan.scenario, spend).groupby(level="plan").mean()[allowed(plan.scenario, spend)]
    mine = plan.outcomes["expected"]
    if mode == "values":
        assert (3 * kpis["kpi 0"] + 5 * kpis["kpi 1"]).max() <= plan.certificate.bound
    elif mode == "targets":
        assert kpis.min(axis=1).max() <= mine.min() + 0.05
    else:
        rivals = kpis[kpis["kpi 0"] >= mine["kpi 0"]]
        assert rivals["kpi 1"].max() <= plan.certificate.bound + 1e-9


def shares(data: dict[str, Any]) -> dict[str, np.ndarray]:
    plan = solve(data)
    return {line: row.to_numpy() / plan.spend.to_numpy().sum() for line, row in plan.spend.iterrows()}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert set(one) == set(other)
    for line, row in one.items():
        # Plans within the tolerance of the best may lie this far apart.
        assert other[line] == pytest.approx(row, abs=2e-3)


@PROPERTY
@given(seed=st.integers(0, 50), exponent=st.integers(-6, 6), kpi=st.integers(0, 1))
def test_unit_of_a_kpi_never_changes_the_plan(seed: int, exponent: int, kpi: int) -> None:
    data = smooth(seed)
    before = shares(data)
    for entry in data["response"][f"kpi {kpi}"].values():
        entry["curve"]["scale"] *= 10.0**exponent
    assert_same(before, shares(data))


@PROPERTY
@given(seed=st.integers(0, 50), exponent=st.integers(-6, 6))
def test_currency_never_changes_the_plan(seed: int, exponent: int) -> None:
    data, factor = smooth(seed), 10.0**exponent
    before = shares(data)
    for line in data["lines"]:
        line["current"], line["max"] = line["current"] * factor, line["max"] * factor
        line["price"] = [price * factor for price in line["price"]]
        line["history"] = [spend * factor for spend in line["history"]]
    data["constraints"]["budget"]["total"] *= factor
    assert_same(before, shares(data))


@PROPERTY
@given(seed=st.integers(0, 50), order=st.permutations(range(3)))
def test_order_of_lines_and_kpis_never_changes_the_plan(seed: int, order: list[int]) -> None:
    data = smooth(seed)
    before = shares(data)
    data["lines"] = [data["lines"][i] for i in order]
    data["kpis"] = dict(reversed(data["kpis"].items()))
    data["response"] = dict(reversed(data["response"].items()))
    after = shares(data)
    for line, row in before.items():
        assert after[line] == pytest.approx(row, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_looser_rules_are_never_worse(seed: int) -> None:
    data = problem(seed)
    data["preferences"]["scale"] = {"kpi 0": [0.0, 100.0], "kpi 1": [0.0, 100.0]}
    values = []
    for most, pace in ((60.0, 0.1), (80.0, 0.1), (80.0, 0.5), (None, 0.5), (None, None)):
        for line in data["lines"]:
            line |= {"max_per_period": most}
        data["constraints"]["pacing"] = [] if pace is None else [{"up": pace, "down": pace}]
        values.append(solve(data).certificate)
    for tighter, looser in itertools.pairwise(values):
        assert looser.bound >= tighter.value - 1e-12
        assert looser.value >= tighter.value - 2e-6


def test_rules_by_period_are_kept() -> None:
    data = problem(2)
    data["lines"][0]["max_per_period"] = 40.0
    data["constraints"]["pacing"] = [{"select": {"channel": "b"}, "up": 0.2, "down": 0.1}]
    data["constraints"]["groups"] = [{"select": {"channel": "a"}, "first": 2, "last": 3, "min": 150.0}]
    data["constraints"]["shares"] = [{"select": {"channel": "b"}, "min": 0.5}]
    plan = solve(data)
    spend = plan.spend
    assert spend.loc["line 0"].max() <= 40.0 * (1 + 1e-9)
    together = spend.loc[["line 1", "line 3"]].sum().to_numpy()
    assert np.all(together[1:] <= 1.2 * together[:-1] + 1e-6)
    assert np.all(together[1:] >= 0.9 * together[:-1] - 1e-6)
    assert spend.loc[["line 0", "line 2"], [2, 3]].to_numpy().sum() >= 150.0 - 1e-6
    assert together.sum() >= 500.0 - 1e-6
    assert plan.rules.loc["pacing of channel b: period 2 up 20%", "slack"] >= -1e-6
    priced = plan.rules["shadow_price"]
    assert (priced[plan.rules["slack"] > 1.0].abs() < 1e-6).all()


def test_max_per_period_under_given_flighting() -> None:
    data = problem(2) | {"flighting": "flat"}
    data["lines"][0]["max_per_period"] = 20.0
    scenario = opt.Scenario.from_dict(data)
    assert "line 0: max in period 1" in scenario.polyhedron.names
    assert opt.solve(scenario).spend["line 0"] <= 20.0 * 6 + 1e-6


def test_plan_tells_its_spend_by_period() -> None:
    plan = solve(problem(1, 3, 5))
    assert list(plan.spend.columns) == [1, 2, 3, 4, 5]
    assert list(plan.spend.index) == ["line 0", "line 1", "line 2"]
    assert plan.totals.to_numpy() == pytest.approx(plan.spend.to_numpy().sum(axis=1))
    assert plan.allocation["plan"].to_numpy() == pytest.approx(plan.totals.to_numpy())
    assert plan.allocation["per_period"].to_numpy() == pytest.approx(plan.spend.to_numpy().max(axis=1))
    told = json.loads(json.dumps(plan.to_dict(), allow_nan=False))
    assert told["flighting"]["periods"][:2] == ["2026-01-05", "2026-01-12"]
    assert told["flighting"]["spend"]["line 1"] == plan.spend.loc["line 1"].tolist()
    # Today's plan is spread evenly.
    today = plan.scenario.current[:, None] * np.full((1, 5), 0.2)
    assert plan.outcomes.loc["kpi 0", "current"] == pytest.approx(
        opt.simulate(plan.scenario, today[None])["kpi 0"].mean()
    )


def test_marginal_returns_are_equal_where_nothing_stops_a_line() -> None:
    plan = solve(
        smooth(4)
        | {
            "kpis": {k: v for k, v in smooth(4)["kpis"].items() if k == "kpi 0"},
            "response": {"kpi 0": smooth(4)["response"]["kpi 0"]},
            "preferences": {},
        }
    )
    table = plan.allocation
    free = table["marginal kpi 0"][(table["stopped_by"] == "") & (table["plan"] > 1.0)]
    assert len(free) > 1
    assert free.to_numpy() == pytest.approx(free.mean(), rel=1e-2)
    assert plan.rules.loc["budget: total", "shadow_price"] == pytest.approx(free.mean(), rel=1e-2)


def test_explain_says_what_the_plan_implies() -> None:
    plan = solve(smooth(6))
    found = opt.explain(plan)
    weights = plan.scenario.spec.preferences.weights
    stated = np.array([weights[name] for name in plan.scenario.objectives]) / sum(weights.values())
    assert found.plan.weights.to_numpy() == pytest.approx(stated, abs=0.02)
    assert found.today.better is not None
    assert np.all(found.today.gain > 0)


def test_targets_are_checked_over_all_flightings() -> None:
    data = problem(7, kpis=1)
    best = solve(data).certificate
    for level, verdict in ((0.99 * best.value, "reachable"), (1.01 * best.bound, "unreachable")):
        data["kpis"]["kpi 0"]["target"] = {"level": float(level)}
        assert opt.reachability(opt.Scenario.from_dict(data))[0].verdict == verdict


def test_rules_in_conflict_are_named() -> None:
    data = problem(1, 2, 3)
    for line in data["lines"]:
        line["max_per_period"] = 100.0
    with pytest.raises(opt.InfeasibleError, match="max in period"):
        solve(data)


def test_floors_out_of_reach_are_named() -> None:
    data = with_floor(problem(1, 2, 3))
    data["preferences"]["floors"]["kpi 1"] *= 3
    with pytest.raises(opt.InfeasibleError, match="kpi 1 at least"):
        solve(data)


def test_rules_of_one_period_in_conflict() -> None:
    data = problem(1, 2, 3)
    data["lines"][0]["max_per_period"] = 10.0
    data["constraints"]["groups"] = [{"select": {"line": "line 0"}, "first": 2, "last": 2, "min": 20.0}]
    with pytest.raises(opt.InfeasibleError, match="period 2"):
        solve(data)


def test_on_off_rules_are_refused() -> None:
    data = problem(1, 2, 3, 1) | {"constraints": {"budget": {"total": BUDGET}, "most_on": [{"lines": 1}]}}
    with pytest.raises(opt.SolverError, match="on/off"):
        solve(data)


def test_progress_ends_at_one_and_time_is_kept() -> None:
    seen: list[float] = []
    solve(problem(2, 5, 12), progress=seen.append)
    assert seen == sorted(seen) or max(seen) == seen[-1]
    assert seen[-1] == pytest.approx(1.0)
    began = time.monotonic()
    solve(problem(2, 8, 26), time_limit=0.2)
    assert time.monotonic() - began < 5.0


def test_budget_may_stay_unspent() -> None:
    data = problem(3, 2, 3, 1)
    data["kpis"]["profit"] = {"difference": ["kpi 0", "cost"], "direction": "maximize"}
    data["kpis"]["cost"] = {"product": [0.02, "spend"]}
    data["kpis"]["kpi 0"]["role"] = "monitor"
    data["constraints"]["budget"] = {"max": BUDGET}
    plan = solve(data)
    assert plan.certificate.guarantee == "global"
    assert 0 < plan.totals.sum() < BUDGET
    spend = random_plans(plan.scenario, 2000, 0) * np.random.default_rng(1).uniform(0, 1, (1998, 1, 1))
    values = opt.simulate(plan.scenario, spend).groupby(level="plan").mean()["profit"]
    assert values[allowed(plan.scenario, spend)].max() <= plan.certificate.bound


def test_a_plan_beside_the_rules_is_brought_back() -> None:
    data = problem(2)
    data["constraints"]["shares"] = [{"select": {"channel": "b"}, "min": 0.5}]
    cells = CellProblem(opt.Scenario.from_dict(data | {"preferences": {"priorities": ["kpi 0", "kpi 1"]}}))
    solver = FlightingSolver(cells)
    z = solver.maximise(Goal(np.array([1.0, 0.0])), 1e-6).z
    off = z + np.random.default_rng(0).normal(0, 1e-7, len(z))
    back = solver.mended(off)
    assert cells.slack(back).min() >= -1e-14
    assert np.abs(back - z).max() < 1e-5


def test_a_floor_at_the_edge_of_what_can_be_reached() -> None:
    data = smooth(2)
    most = solve(data | {"preferences": {"priorities": ["kpi 1", "kpi 0"]}})
    data["preferences"]["floors"] = {"kpi 1": most.outcomes.loc["kpi 1", "expected"] * (1 - 1e-9)}
    data["preferences"]["scale"] = {"kpi 0": [0.0, 100.0], "kpi 1": [0.0, 100.0]}
    plan = solve(data)
    kept = plan.outcomes.loc["kpi 1", "expected"] / data["preferences"]["floors"]["kpi 1"]
    assert kept >= 1 - 1e-8
    assert plan.certificate.bound >= plan.certificate.value
    assert plan.certificate.gap < 0.02
