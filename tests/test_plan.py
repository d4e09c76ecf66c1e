"""What a Plan tells: outcomes with intervals over draws, allocation, rules, claims, warnings, and plain JSON."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pandas as pd
import pytest
from conftest import make_model, make_scenario, scenario_on_file

import optimizer as opt

DRAWS = 21


def certificate(**changes: Any) -> opt.Certificate:
    fields = {
        "guarantee": "none",
        "value": 1.0,
        "bound": 2.0,
        "gap": 0.5,
        "measure": "scale",
        "route": "by hand",
        "why": "a test",
    }
    return opt.Certificate(**(fields | changes))


def plan_of(scenario: opt.Scenario, *spend: float, **fields: Any) -> opt.Plan:
    series = pd.Series(list(spend), index=pd.Index(scenario.lines, name="line"), name="spend")
    return opt.Plan(scenario, series, fields.pop("certificate", certificate()), **fields)


def quantile(values: list[float], share: float) -> float:
    """The linear one: between the two order statistics around ``share`` of the way."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])


def uncertain(tmp_path: Path, **blocks: Any) -> opt.Scenario:
    """Two lines with linear effects: ``a`` brings 1, ``b`` 0.0, 0.1 .. 2.0 by draw; currents 300 and 100."""
    scale = np.ones((DRAWS, 1, 2))
    scale[:, 0, 1] = np.random.default_rng(1).permutation(DRAWS) / 10
    model = make_model(
        DRAWS,
        ("sales",),
        ("a", "b"),
        past=0,
        family=np.ones((1, 2), int),
        scale=scale,
        length=np.ones((1, 2), int),
        baseline=np.full((DRAWS, 1, 6), 0.0),
        observed=np.array([[40.0, 80.0], [20.0, 60.0]]),
    )
    lines = [{"name": "a", "current": 300.0, "max": 400.0}, {"name": "b", "current": 100.0, "max": 400.0}]
    kpis = {
        "sales": {"direction": "maximize", "unit": "orders"},
        "cost": {"ratio": ["spend", "sales"], "direction": "minimize", "unit": "EUR", "role": "monitor"},
        "half": {"ratio": ["sales", 2.0]},
    }
    changes = {"lines": lines, "kpis": kpis, "constraints": {"budget": {"total": 400.0}}, "preferences": {}}
    return scenario_on_file(tmp_path, model, changes=changes | blocks)


def test_outcomes_by_hand(tmp_path):
    scenario = uncertain(tmp_path)
    table = plan_of(scenario, 100.0, 300.0).outcomes
    assert table.index.name == "kpi"
    assert list(table.index) == ["sales", "cost", "half"]
    assert list(table.columns) == [
        "current",
        "expected",
        "low",
        "high",
        "change",
        "change_low",
        "change_high",
        "p_better",
        "unit",
        "direction",
        "role",
    ]
    # Today 300 + 100 s, planned 100 + 300 s, with s = 0.0 .. 2.0, mean 1.
    steps = [index / 10 for index in range(DRAWS)]
    today, planned = [300 + 100 * s for s in steps], [100 + 300 * s for s in steps]
    changes = [new / old - 1 for new, old in zip(planned, today, strict=True)]
    sales = table.loc["sales"]
    assert sales["current"] == pytest.approx(400.0, rel=1e-12)
    assert sales["expected"] == pytest.approx(400.0, rel=1e-12)
    assert sales["change"] == pytest.approx(0.0, abs=1e-12)
    assert sales["low"] == pytest.approx(quantile(planned, 0.05), rel=1e-12) == pytest.approx(130.0)
    assert sales["high"] == pytest.approx(quantile(planned, 0.95), rel=1e-12) == pytest.approx(670.0)
    assert sales["change_low"] == pytest.approx(quantile(changes, 0.05), rel=1e-12)
    assert sales["change_high"] == pytest.approx(quantile(changes, 0.95), rel=1e-12)
    # Better where s > 1: ten of 21 draws; at s = 1 both are equal, or a rounding apart.
    assert sales["p_better"] * DRAWS == pytest.approx(10, abs=1.01)
    assert (sales["unit"], sales["direction"], sales["role"]) == ("orders", "maximize", "objective")


def test_derived_outcomes_come_from_expected_parts_and_their_intervals_from_draws(tmp_path):
    table = plan_of(uncertain(tmp_path), 200.0, 200.0).outcomes
    planned = [200 + 200 * index / 10 for index in range(DRAWS)]
    cost = table.loc["cost"]
    # 400 over the mean of sales, which is 400; the mean of the ratios would be another number.
    assert cost["expected"] == pytest.approx(1.0, rel=1e-12)
    assert abs(np.mean([400 / sales for sales in planned]) - 1.0) > 0.05
    assert cost["low"] == pytest.approx(quantile([400 / sales for sales in planned], 0.05), rel=1e-12)
    assert cost["high"] == pytest.approx(quantile([400 / sales for sales in planned], 0.95), rel=1e-12)
    # Sales differ from today's by 100 s - 100: less is better for cost, so it is better where sales are higher.
    assert cost["p_better"] == table.loc["sales", "p_better"]
    assert (cost["direction"], cost["role"]) == ("minimize", "monitor")
    half = table.loc["half"]
    assert half["expected"] == pytest.approx(200.0, rel=1e-12)
    assert half["high"] == pytest.approx(table.loc["sales", "high"] / 2, rel=1e-12)
    assert math.isnan(half["p_better"])
    assert half["direction"] == ""


@pytest.mark.parametrize(("direction", "share"), [("maximize", 0.0), ("minimize", 1.0)])
def test_better_is_less_of_a_kpi_to_minimize(tmp_path, direction, share):
    # 200 + 100 s is less than today's 300 + 100 s in every draw.
    scenario = uncertain(tmp_path, kpis={"sales": {"direction": direction}})
    assert plan_of(scenario, 200.0, 100.0).outcomes.loc["sales", "p_better"] == share


def test_the_interval_narrows_with_less_money_on_the_uncertain_line(tmp_path):
    scenario = uncertain(tmp_path)
    safe, risky = plan_of(scenario, 390.0, 10.0).outcomes, plan_of(scenario, 10.0, 390.0).outcomes
    width = [table.loc["sales", "high"] - table.loc["sales", "low"] for table in (safe, risky)]
    assert width[1] == pytest.approx(39 * width[0], rel=1e-9)


def test_one_draw_has_no_interval_and_says_so():
    plan = plan_of(opt.Scenario.from_dict(make_scenario(2, 1)), 600.0, 400.0)
    row = plan.outcomes.loc["kpi0"]
    assert all(math.isnan(row[name]) for name in ("low", "high", "change_low", "change_high", "p_better"))
    assert sum("one draw" in warning for warning in plan.warnings) == 1


def test_change_from_nothing_has_no_value():
    data = make_scenario(2, 1)
    for line in data["lines"]:
        line["current"] = 0.0
    plan = plan_of(opt.Scenario.from_dict(data), 600.0, 400.0)
    assert plan.outcomes.loc["kpi0", "current"] == 0.0
    assert math.isnan(plan.outcomes.loc["kpi0", "change"])
    assert plan.allocation["change"].isna().all()


def test_allocation_by_hand(tmp_path):
    scenario = uncertain(tmp_path, constraints={"budget": {"total": 400.0}, "change": {"up": 0.5, "down": 0.5}})
    table = plan_of(scenario, 250.0, 150.0).allocation
    assert table.index.name == "line"
    assert list(table.index) == ["a", "b"]
    assert list(table.columns) == [
        "current",
        "plan",
        "difference",
        "change",
        "share",
        "marginal sales",
        "stopped_by",
        "observed_low",
        "observed_high",
        "per_period",
        "beyond_observed",
    ]
    assert table["current"].tolist() == [300.0, 100.0]
    assert table["plan"].tolist() == [250.0, 150.0]
    assert table["difference"].tolist() == [-50.0, 50.0]
    assert table["change"].tolist() == pytest.approx([-1 / 6, 0.5])
    assert table["share"].tolist() == [0.625, 0.375]
    # Linear: 1 and, over draws, 1 on average, for each unit of money; told for 1,000.
    assert table["marginal sales"].tolist() == pytest.approx([1000.0, 1000.0])
    assert table["stopped_by"].iloc[0] == ""
    assert "change up" in table["stopped_by"].iloc[1]
    assert table["per_period"].tolist() == [62.5, 37.5]
    assert table["observed_low"].tolist() == [40.0, 20.0]
    assert table["observed_high"].tolist() == [80.0, 60.0]
    assert table["beyond_observed"].tolist() == ["", ""]


def test_marginals_are_the_slopes_of_the_mean_response(tmp_path):
    scenario = scenario_on_file(tmp_path, make_model())
    spend = np.array([100.0, 350.0, 550.0])
    table = plan_of(scenario, *spend).allocation
    for line in range(3):
        step = np.eye(3)[line] * 0.05
        low, high = (opt.simulate(scenario, spend + sign * step).mean() for sign in (-1, 1))
        for kpi in ("kpi0", "kpi1"):
            wanted = 1000 * (high[kpi] - low[kpi]) / 0.1
            assert table[f"marginal {kpi}"].iloc[line] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("spend", "beyond"),
    [
        ((320.0, 80.0), ["", ""]),
        ((320.1, 79.9), ["above", "below"]),
        ((159.9, 240.1), ["below", "above"]),
        ((400.0, 0.0), ["above", "below"]),
    ],
)
def test_spend_beyond_what_was_observed_is_marked_and_warned_of(tmp_path, spend, beyond):
    # Four periods: 40 to 80 a period for a, 20 to 60 for b.
    plan = plan_of(uncertain(tmp_path), *spend)
    assert plan.allocation["beyond_observed"].tolist() == beyond
    for line, where in zip("ab", beyond, strict=True):
        told = [warning for warning in plan.warnings if warning.startswith(f"{line}: ")]
        assert len(told) == (where != "")
        if where:
            assert where in told[0]
            assert "EUR" in told[0]
            edge = {("a", "above"): "80", ("a", "below"): "40", ("b", "above"): "60", ("b", "below"): "20"}[
                line, where
            ]
            assert f"({edge})" in told[0]


def test_the_largest_period_counts_under_uneven_flighting(tmp_path):
    flighting = {"a": [0.25] * 4, "b": [0.7, 0.1, 0.1, 0.1]}
    plan = plan_of(uncertain(tmp_path, flighting=flighting), 300.0, 100.0)
    assert plan.allocation["per_period"].tolist() == pytest.approx([75.0, 70.0])
    assert plan.allocation["beyond_observed"].tolist() == ["", "above"]


def test_unobserved_lines_are_never_beyond():
    plan = plan_of(opt.Scenario.from_dict(make_scenario(2, 1)), 1000.0, 0.0)
    assert plan.allocation["observed_high"].isna().all()
    assert plan.allocation["beyond_observed"].tolist() == ["", ""]


def test_warnings_pass_the_notes_on(tmp_path):
    scenario = scenario_on_file(tmp_path, make_model(notes=("thin evidence",)), changes={"notes": ["made up"]})
    assert plan_of(scenario, 1.0, 2.0, 3.0).warnings[-2:] == ("made up", "thin evidence")


def guarded(**preferences: Any) -> opt.Scenario:
    """Two lines, linear: kpi0 = x0 + 2 x1, kpi1 = 3 x0; kpi1 guarded."""
    data = make_scenario(2, 2)
    one = {"curve": {"kind": "linear", "scale": 1.0}}
    two, three = ({"curve": {"kind": "linear", "scale": scale}} for scale in (2.0, 3.0))
    data["response"] = {"kpi0": {"line0": one, "line1": two}, "kpi1": {"line0": three, "line1": "none"}}
    data["preferences"] = {"floors": {"kpi1": 900.0}} | preferences
    data["kpis"]["cost"] = {"ratio": ["spend", "kpi0"], "direction": "minimize"}
    data["preferences"]["floors"]["cost"] = 0.75
    data["constraints"] |= {"shares": [{"select": {"channel": "a"}, "max": 0.5, "name": "half"}]}
    return opt.Scenario.from_dict(data)


def rule(plan: opt.Plan, *words: str) -> pd.Series:
    found = [name for name in plan.rules.index if all(word in name for word in words)]
    assert len(found) == 1, list(plan.rules.index)
    return plan.rules.loc[found[0]]


def test_rules_by_hand():
    plan = plan_of(guarded(), 300.0, 700.0)
    assert plan.rules.index.name == "rule"
    assert list(plan.rules.columns) == ["slack", "binding", "shadow_price"]
    assert len(plan.rules) == len(plan.scenario.polyhedron.names) + 2
    wanted = {
        ("budget",): (0.0, True),
        ("line0", "min"): (300.0, False),
        ("line0", "max"): (700.0, False),
        ("line1", "min"): (700.0, False),
        ("line1", "max"): (300.0, False),
        ("half",): (200.0, False),
        # 3 x 300 is the floor itself; 1000 / (300 + 1400) leaves room below 0.75.
        ("kpi1", "at least"): (0.0, True),
        ("cost", "at most"): (0.75 - 1000 / 1700, False),
    }
    for words, (slack, binding) in wanted.items():
        found = rule(plan, *words)
        assert found["slack"] == pytest.approx(slack, abs=1e-9), words
        assert bool(found["binding"]) is binding, words
    assert plan.rules["shadow_price"].isna().all()


def test_broken_rules_have_negative_slack_and_bind():
    plan = plan_of(guarded(), 600.0, 500.0)
    assert rule(plan, "budget")["slack"] == pytest.approx(-100.0)
    assert rule(plan, "half")["slack"] == pytest.approx(-50.0)
    assert rule(plan, "budget")["binding"]
    assert rule(plan, "half")["binding"]


def test_shadow_prices_stand_beside_their_rule():
    scenario = guarded()
    names = scenario.polyhedron.names
    floor = rule(plan_of(scenario, 300.0, 700.0), "kpi1", "at least").name
    plan = plan_of(scenario, 300.0, 700.0, prices={names[0]: 1.5, floor: -2.0})
    assert plan.rules.loc[names[0], "shadow_price"] == 1.5
    assert plan.rules.loc[floor, "shadow_price"] == -2.0
    assert plan.rules["shadow_price"].isna().sum() == len(plan.rules) - 2


def test_stopped_by_names_rules_of_the_line_alone():
    data = make_scenario(2, 1)
    data["lines"][0] |= {"name": "Search", "max": 900.0}
    data["lines"][1] |= {"name": "Search: brand", "max": 400.0}
    curve = {"curve": {"kind": "linear", "scale": 1.0}}
    data["response"] = {"kpi0": {"Search": curve, "Search: brand": curve}}
    stopped = plan_of(opt.Scenario.from_dict(data), 600.0, 400.0).allocation["stopped_by"]
    assert stopped["Search: brand"] == "max"
    assert stopped["Search"] == ""


def test_stopped_by_a_budget_is_not_stopped_by_a_line_of_that_name():
    data = make_scenario(2, 1)
    data["lines"][0]["name"] = "budget"
    data["response"]["kpi0"]["budget"] = data["response"]["kpi0"].pop("line0")
    stopped = plan_of(opt.Scenario.from_dict(data), 600.0, 400.0).allocation["stopped_by"]
    assert stopped.tolist() == ["", ""]


def test_claims_are_held_against_the_plan(tmp_path):
    claims = [
        {"kpi": "half", "change": 0.25, "tolerance": 0.001, "source": "story"},
        {"kpi": "half", "change": 0.26, "tolerance": 0.001},
        {"kpi": "sales", "today": 400.0, "plan": 500.0, "tolerance": 0.5},
        {"kpi": "sales", "today": 400.0, "plan": 501.0, "tolerance": 0.5},
        {"kpi": "sales", "today": 399.0, "plan": 500.0, "tolerance": 0.5},
    ]
    scenario = uncertain(tmp_path, claims=claims)
    table = plan_of(scenario, 350.0, 150.0).claims
    assert table.index.tolist() == ["half", "half", "sales", "sales", "sales"]
    assert table["reproduced"].tolist() == [True, False, True, False, False]
    assert table["source"].tolist() == ["story", "", "", "", ""]
    assert "25" in table["claim"].iloc[0]
    assert "25" in table["computed"].iloc[1]
    assert plan_of(uncertain(tmp_path), 1.0, 2.0).claims.empty


def test_a_claim_about_a_kpi_without_a_value_is_not_reproduced():
    data = make_scenario(2, 1)
    for line in data["lines"]:
        line["current"] = 0.0
    data["claims"] = [{"kpi": "kpi0", "change": 0.1, "tolerance": 100.0}]
    plan = plan_of(opt.Scenario.from_dict(data), 600.0, 400.0)
    assert plan.claims["reproduced"].tolist() == [False]
    assert strict(plan)["claims"][0]["reproduced"] is False


def strict(result: Any) -> Any:
    """Write and read back as JSON of the strict kind: no NaN, no infinity, no NumPy."""
    return json.loads(json.dumps(result.to_dict(), allow_nan=False))


@pytest.mark.parametrize("which", ["many draws", "one draw", "zero", "infinite bound"])
def test_to_dict_is_strict_json(tmp_path, which):
    attributes = {"method": "test", "seed": 3, "share": 0.1, "odd": float("nan")}
    if which == "many draws":
        scenario = scenario_on_file(tmp_path, make_model(attributes=attributes))
        plan = plan_of(scenario, 100.0, 200.0, 300.0, prices={scenario.polyhedron.names[0]: math.nan})
    elif which == "zero":
        data = make_scenario(2, 1)
        data["kpis"]["cost"] = {"ratio": ["spend", "kpi0"], "direction": "minimize", "role": "monitor"}
        plan = plan_of(opt.Scenario.from_dict(data), 0.0, 0.0)
    elif which == "infinite bound":
        scenario = opt.Scenario.from_dict(make_scenario(2, 1))
        unknown = certificate(bound=math.inf, gap=math.nan)
        plan = plan_of(scenario, 1.0, 2.0, certificate=unknown)
    else:
        plan = plan_of(guarded(), 300.0, 700.0)
    data = plan.to_dict()
    found = strict(plan)
    assert found == data
    assert found["spend"] == plan.spend.to_dict()
    assert [row["kpi"] for row in found["outcomes"]] == list(plan.outcomes.index)
    assert [row["line"] for row in found["allocation"]] == list(plan.scenario.lines)
    assert [row["rule"] for row in found["rules"]] == list(plan.rules.index)
    for row in found["outcomes"]:
        for name in ("current", "expected", "low", "change_high"):
            value = plan.outcomes.loc[row["kpi"], name]
            assert row[name] == (value if math.isfinite(value) else None)
    assert found["draws"] == plan.scenario.response.draws
    assert found["scenario_hash"] == plan.scenario.hash
    assert found["interval"] == 0.9
    assert found["warnings"] == list(plan.warnings)


def test_a_plan_whose_spend_has_no_index_name_says_line_all_the_same():
    scenario = opt.Scenario.from_dict(make_scenario(2, 1))
    plan = opt.Plan(scenario, pd.Series({"line0": 1.0, "line1": 2.0}), certificate())
    assert [row["line"] for row in strict(plan)["allocation"]] == ["line0", "line1"]


@pytest.mark.parametrize(("lines", "steps"), [(2, 200), (3, 50)])
@pytest.mark.parametrize("seed", [1, 2])
def test_no_split_on_a_grid_beats_the_plan_or_its_bound(lines, steps, seed):
    data = make_scenario(lines, 1, seed)
    plan = opt.solve(opt.Scenario.from_dict(data))

    @functools.cache
    def effect(line: int, amount: float) -> float:
        entry = data["response"]["kpi0"][f"line{line}"]
        curve, adstock = entry["curve"], entry["adstock"]
        weights = naive.adstock_weights(adstock["rate"], adstock["length"], True)
        carried = naive.adstock([amount / 4] * 4, [], weights)
        return curve["scale"] * float(
            sum(naive.saturation("hill", a, curve["half"], curve["slope"]) for a in carried)
        )

    def value(spend: tuple[float, ...]) -> float:
        return sum(effect(line, amount) for line, amount in enumerate(spend))

    _, best = naive.best_split(value, 1000.0, lines, steps)
    found = value(tuple(plan.spend))
    assert plan.outcomes.loc["kpi0", "expected"] == pytest.approx(found, rel=1e-12)
    assert found >= best - 1e-9
    # The grid is fine enough that its best is nearly the best there is: a plan far above it would be a fault too.
    assert found == pytest.approx(best, rel=1e-3)
    assert plan.certificate.bound >= found - 1e-12
