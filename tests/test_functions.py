"""KPIs that functions of the user's own compute: known optima are found, no bound is claimed, faults are told."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flighting_cases
import numpy as np
import pytest
from conftest import make_model, make_scenario, scenario_on_file
from numba import njit
from test_evolved_front import check, kpis_of

import optimizer as opt
from optimizer.functions import check_sent
from optimizer.ledger import Ledger
from optimizer.report.html import render
from optimizer.report.view import View
from optimizer.solve import evolution
from optimizer.solve.cells import CellProblem
from optimizer.solve.evolved_front import _Search
from optimizer.solve.problem import Problem
from optimizer.solve.routes import pick_route

SMALL = opt.Evolution(population=20, evaluations=200)


def lift(spend: np.ndarray) -> float:
    """Two bumps that no curve of a line has: it is best with the money in a certain ratio."""
    share = spend[0] / 1000.0
    return float(10.0 * np.exp(-((share - 0.3) ** 2) / 0.01) + 12.0 * np.exp(-((share - 0.75) ** 2) / 0.005))


def lifts(spend: np.ndarray) -> np.ndarray:
    """The same for many plans at once."""
    share = spend[:, 0] / 1000.0
    return 10.0 * np.exp(-((share - 0.3) ** 2) / 0.01) + 12.0 * np.exp(-((share - 0.75) ** 2) / 0.005)


@njit
def evenness(spend: np.ndarray) -> float:
    """A numba function of one plan."""
    total = spend.sum() + 1e-9
    return 100.0 * (1.0 - ((spend / total) ** 2).sum())


def owned(lines: int = 2, kpis: int = 1, name: str = "lift", **kpi: Any) -> dict[str, Any]:
    """A scenario whose last KPI is a function, traded against the additive ones."""
    data = make_scenario(lines, kpis, 1)
    data["kpis"][name] = {"function": name, "direction": "maximize", "unit": "points", **kpi}
    scale = {key: [0.0, 50.0] for key in data["kpis"]} | {name: [0.0, 20.0]}
    data["preferences"] = {"weights": dict.fromkeys(data["kpis"], 1.0), "scale": scale}
    return data


def alone(function: Callable[..., Any], lines: int = 2) -> opt.Scenario:
    """A scenario with a function as its only KPI."""
    kpis = {"own": {"function": "f", "direction": "maximize"}}
    return opt.Scenario.from_dict(make_scenario(lines) | {"kpis": kpis, "response": {}}, functions={"f": function})


def test_a_known_optimum_is_found_and_nothing_proven_of_it() -> None:
    first = np.linspace(0, 1000, 20_001)
    best = lifts(np.column_stack([first, 1000 - first])).max()
    plan = opt.solve(alone(lift))
    certificate = plan.certificate
    assert certificate.value >= best * (1 - 1e-3)
    assert certificate.route == "evolve"
    assert certificate.guarantee == "local"
    assert np.isnan(certificate.bound)
    for said in ("own is a function", "nothing bounds", "slower"):
        assert said in certificate.why
    assert any("without the function" in note for note in plan.warnings)


def test_one_many_and_numba_agree() -> None:
    data = owned()
    one = opt.Scenario.from_dict(data, functions={"lift": lift})
    many = opt.Scenario.from_dict(data, functions={"lift": opt.KpiFunction(lifts, many=True)})
    plans = np.random.default_rng(0).dirichlet([1.0, 1.0], 5) * 1000
    assert opt.simulate(one, plans).equals(opt.simulate(many, plans))
    assert opt.simulate(one, plans)["lift"].to_numpy() == pytest.approx([lift(plan) for plan in plans])
    assert opt.solve(alone(evenness, 3), search=SMALL).spend.to_numpy() == pytest.approx(
        np.full(3, 1000 / 3), abs=0.5
    )
    assert one.hash != many.hash


def test_the_order_of_lines_does_not_matter_to_one_that_names_them() -> None:
    data = owned()
    function = opt.KpiFunction(lift, lines=["line1", "line0"])
    turned = data | {"lines": data["lines"][::-1]}
    one, two = (opt.Scenario.from_dict(each, functions={"lift": function}) for each in (data, turned))
    spend = opt.solve(one, search=SMALL).spend
    again = opt.solve(two, search=SMALL).spend[spend.index]
    assert again.to_numpy() == pytest.approx(spend.to_numpy(), abs=1e-6)
    assert opt.simulate(one, spend)["lift"].iloc[0] == pytest.approx(lift(spend[["line1", "line0"]].to_numpy()))


def test_a_front_with_a_function_is_known_and_keeps_its_promises() -> None:
    scenario = opt.Scenario.from_dict(owned(), functions={"lift": opt.KpiFunction(lifts, many=True)})
    search = _Search(scenario, opt.Evolution(50, 2000), pick_route, np.inf, None)
    search.run()
    front = search.front(0.01)
    check(front)
    first = np.linspace(0.0, 1000.0, 10_001)
    known = kpis_of(scenario, np.column_stack([first, 1000.0 - first]))
    assert front.hypervolume >= 0.99 * front.hypervolume_of(known)
    assert front.certificate.guarantee == "none"
    assert front.limits is None
    assert np.isnan(front.certificate.bound)
    for said in ("lift is a function", "nothing bounds", "slower", "by differences"):
        assert said in front.certificate.why
    # No start plan is better, nor today's.
    starts = kpis_of(scenario, np.vstack([*(search.base.spend(z) for z in search.starts), scenario.current]))
    found = front.points[list(scenario.objectives)].to_numpy()
    assert all((found >= start * (1 - 1e-9)).all(axis=1).any() for start in starts)
    assert front.pick(weights={"kpi0": 0.2, "lift": 0.8}).outcomes.loc["lift", "expected"] > 9.0


def test_the_same_seed_finds_the_same_front_and_goes_on_from_any_generation(tmp_path: Path) -> None:
    given = {"lift": opt.KpiFunction(lifts, many=True)}
    scenario = opt.Scenario.from_dict(owned(), functions=given)
    kept: dict[str, Any] = {"population": 12, "evaluations": 84, "checkpoint": tmp_path / "checkpoint"}
    whole = opt.frontier(scenario, search=opt.Evolution(12, 84))

    def stop(at: evolution.Generation) -> None:
        if at.number == 3:
            raise KeyboardInterrupt

    assert "interrupted" in opt.frontier(scenario, search=opt.Evolution(**kept, report=stop)).certificate.ended
    assert opt.frontier(scenario, search=opt.Evolution(**kept)).points.equals(whole.points)
    other = opt.Scenario.from_dict(owned(), functions={"lift": opt.KpiFunction(lambda x: 2 * lifts(x), many=True)})
    with pytest.raises(opt.DataError, match="another search"):
        opt.frontier(other, search=opt.Evolution(**kept))
    # A front comes back with the same function only.
    whole.save(tmp_path / "front.json")
    assert opt.Front.load(tmp_path / "front.json", functions=given).points.equals(whole.points)
    with pytest.raises(opt.DataError, match="needs the Python function 'lift'"):
        opt.Front.load(tmp_path / "front.json")


def test_rules_and_floors_are_kept() -> None:
    data = owned(4, 1, "even") | {"name": "rules"}
    shares = [{"select": {"channel": "a"}, "min": 0.3, "max": 0.4}]
    groups = [{"select": {"line": ["line0", "line1"]}, "max": 500.0}]
    on = [{"select": {"line": "line3"}, "amount": 150.0}]
    data["constraints"] = {"budget": {"total": 1000.0}, "shares": shares, "groups": groups, "minimum_if_on": on}
    data["kpis"]["cost_of_even"] = {"ratio": ["spend", "even"], "direction": "minimize"}
    data["preferences"]["floors"] = {"cost_of_even": 1000 / 60.0}
    scenario = opt.Scenario.from_dict(data, functions={"even": evenness})
    front = opt.frontier(scenario, search=SMALL, time_limit=2.0)
    check(front)
    assert front.points["even"].min() >= 60.0 * (1 - 1e-9)


def test_a_bound_that_a_function_does_not_touch_still_holds() -> None:
    data = make_scenario(3, 1, 2)
    data["kpis"]["even"] = {"function": "even", "direction": "maximize"}
    data["preferences"] = {"floors": {"even": 60.0}}
    plan = opt.solve(opt.Scenario.from_dict(data, functions={"even": evenness}))
    del data["preferences"]
    data["kpis"]["even"]["role"] = "monitor"
    free = opt.solve(opt.Scenario.from_dict(data, functions={"even": evenness}))
    assert free.certificate.guarantee == "global"
    assert plan.certificate.value <= free.certificate.value <= plan.certificate.bound * (1 + 1e-6)
    assert plan.outcomes.loc["even", "expected"] >= 60.0 - 1e-6


def test_slopes_are_those_of_the_function() -> None:
    def wavy(spend: np.ndarray) -> float:
        return float(np.sin(spend / 200.0).sum() * 5.0 + spend[0] * spend[1] / 1e5)

    problem = Problem(alone(wavy))
    z = np.array([0.4, 0.6])
    state = problem.state(z)
    by_hand = np.cos(z * 5.0) * 25.0 + 10.0 * z[::-1]
    assert state.rises[0] * problem.objectives[0].unit == pytest.approx(by_hand, rel=1e-6)
    # At an end of the box it looks inwards.
    at_end = problem.state(np.array([0.0, 1.0])).rises[0] * problem.objectives[0].unit
    assert at_end == pytest.approx([25.0 + 10.0, np.cos(5.0) * 25.0], rel=1e-3)


def test_free_flighting_gives_spend_by_line_and_period() -> None:
    seen = []

    def early(spend: np.ndarray) -> float:
        seen.append(spend.shape)
        return float((np.sqrt(spend) / np.arange(1, 5)).sum())

    data = flighting_cases.problem(1, 2, 4, 1)
    data["kpis"]["early"] = {"function": "early", "direction": "maximize", "unit": "points"}
    data["preferences"] = {"weights": {"kpi 0": 1.0, "early": 1.0}, "scale": {"kpi 0": [0, 50], "early": [0, 100]}}
    scenario = opt.Scenario.from_dict(data, functions={"early": early})
    problem = CellProblem(scenario)
    z = np.full(8, 0.125)
    rises = problem.state(z).rises[1] * problem.objectives[1].unit / problem.money
    by_hand = (0.5 / np.sqrt(0.125 * problem.money) / np.tile(np.arange(1, 5), 2))[np.argsort(np.argsort(z))]
    assert rises == pytest.approx(by_hand, rel=1e-5)
    front = opt.frontier(scenario, search=SMALL, time_limit=2.0)
    check(front)
    assert set(seen) == {(2, 4)}
    best = front.spend(int(front.points["early"].argmax())).sum()
    assert best.iloc[0] > best.iloc[-1]


def test_without_draws_there_is_no_interval(tmp_path: Path) -> None:
    kpis = {
        "kpi0": {"direction": "maximize"},
        "own": {"function": "f", "role": "monitor", "direction": "maximize"},
    }
    kpis["per_own"] = {"ratio": ["spend", "own"], "role": "monitor", "direction": "minimize"}
    model = make_model(5, ("kpi0",))
    made = scenario_on_file(tmp_path, model)
    data = made.resolved() | {"kpis": kpis}
    del data["hash"]
    plain = opt.Scenario.from_dict(data, tmp_path, functions={"f": evenness})
    plan = opt.solve(plain)
    columns = ["low", "high", "change_low", "change_high", "p_better"]
    assert plan.outcomes.loc[["own", "per_own"], columns].isna().to_numpy().all()
    assert plan.outcomes.loc["kpi0", columns].notna().all()
    assert any("own: its function gives no draws" in said for said in plan.warnings)
    # With draws it has one.
    by_draw = opt.Scenario.from_dict(data, tmp_path, functions={"f": lambda x: evenness(x) + np.arange(5.0)})
    row = opt.solve(by_draw).outcomes.loc["own"]
    assert row["low"] < row["expected"] < row["high"]
    # What cannot be held over draws is refused.
    data["preferences"] = {"floors": {"own": {"value": 50.0, "cvar": 0.2}}}
    data["kpis"]["own"]["role"] = "guardrail"
    with pytest.raises(opt.SpecError, match="gives no draws"):
        opt.solve(opt.Scenario.from_dict(data, tmp_path, functions={"f": evenness}))
    spread = opt.Scenario.from_dict(data, tmp_path, functions={"f": lambda x: evenness(x) + np.arange(5.0)})
    worst = opt.simulate(spread, opt.solve(spread, search=SMALL).spend)["own"].min()
    assert worst >= 50.0 - 1e-6


FAULTS: dict[str, tuple[Callable[..., Any], str]] = {
    "raises": (lambda spend: [][1], "raised IndexError"),
    "NaN": (lambda spend: np.nan if spend[0] > 900 else 1.0, "NaN or infinity where lines spend"),
    "shape": (lambda spend: spend, r"shape \(2,\), not one number or 1"),
    "nothing": (lambda spend: None, "no number|NaN"),
    "text": (lambda spend: "many", "returned str"),
    "random": (lambda spend: np.random.default_rng().random(), "for the same plan"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_function_does_wrong_is_told(fault: str) -> None:
    function, said = FAULTS[fault]
    with pytest.raises(opt.DataError, match=said) as error:
        opt.solve(alone(function))
    assert error.value.path == ("kpis", "own", "function")


def test_what_is_given_wrong_is_told(tmp_path: Path) -> None:
    data = owned()
    with pytest.raises(opt.SpecError, match="needs the Python function 'lift'") as error:
        opt.Scenario.from_dict(data)
    assert "functions={'lift': ...}" in str(error.value.hint)
    with pytest.raises(opt.SpecError, match="no KPI has the function 'other'"):
        opt.Scenario.from_dict(data, functions={"lift": lift, "other": lift})
    with pytest.raises(opt.SpecError, match="no Python or numba function"):
        opt.KpiFunction(np.sum)
    with pytest.raises(opt.SpecError, match="takes the line 'tv'"):
        opt.Scenario.from_dict(data, functions={"lift": opt.KpiFunction(lift, lines=["tv"])})
    resolved = opt.Scenario.from_dict(data, functions={"lift": lift}).resolved()
    with pytest.raises(opt.SpecError, match="not the function this scenario was made with"):
        opt.Scenario.from_dict(resolved, functions={"lift": evenness})
    data["kpis"]["lift"]["baseline"] = 1.0
    with pytest.raises(opt.SpecError, match="no baseline of its own"):
        opt.Scenario.from_dict(data, functions={"lift": lift})
    data = owned()
    data["preferences"]["caution"] = 0.2
    with pytest.raises(opt.SpecError, match="functions of the user's own"):
        opt.Scenario.from_dict(data, functions={"lift": lift})


def test_it_goes_to_other_processes_where_it_can_be_imported() -> None:
    scenario = opt.Scenario.from_dict(owned(), functions={"lift": lift})
    check_sent(scenario.functions)
    sent = pickle.loads(pickle.dumps(scenario))
    assert opt.simulate(sent, sent.current).equals(opt.simulate(scenario, scenario.current))
    local = opt.Scenario.from_dict(owned(), functions={"lift": lambda spend: 1.0})
    with pytest.raises(opt.SpecError, match="cannot be sent to another process"):
        check_sent(local.functions)


def test_it_is_compared_recorded_and_reported(tmp_path: Path) -> None:
    scenario = opt.Scenario.from_dict(owned(), functions={"lift": lift})
    found = opt.compare([scenario, scenario.variant("more", budget=1.1)])
    assert set(found.summary.columns) >= {"kpi0", "lift"}
    plan = found.plans["test"]
    assert "lift" in render(View(plan, scenario))
    with Ledger(tmp_path / "ledger.db", create=True) as ledger:
        id = ledger.runs.record_plan(scenario, opt.recommend(scenario, plan), "analyst")
        run = id.split("/")[0]
        (told,) = ledger.runs.get(run).payload["functions"]
        assert told["function"] == "lift"
        assert told["sha256"] == scenario.functions["lift"].sha256
        assert told["of"] == "source"
        assert "Without the function" in told["note"]
        assert "needs the Python function" in ledger.replay(run).why
        assert ledger.replay(run, functions={"lift": lift}).reproduced
