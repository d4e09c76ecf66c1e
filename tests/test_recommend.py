"""Recommendations for one scenario: moves, reasons, and who must agree."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from conftest import make_scenario

import optimizer as opt

DECISIONS = {"confirm": {"shift": 0.01}, "two_person": {"shift": 0.9}}


def planned(**changes: Any) -> tuple[opt.Scenario, opt.Plan]:
    scenario = opt.Scenario.from_dict(make_scenario(4, 2, seed=3, changes=changes))
    return scenario, opt.solve(scenario)


def test_moves_add_up_to_the_plan() -> None:
    scenario, plan = planned(decisions=DECISIONS)
    found = opt.recommend(scenario, plan)
    steps = plan.spend - scenario.current
    for line, step in steps.items():
        moves = found.moves
        into = moves.loc[moves["to"] == line, "amount"].sum()
        out = moves.loc[moves["from"] == line, "amount"].sum()
        assert into - out == pytest.approx(step, abs=1e-6)
    assert found.level == "confirm"
    assert found.reasons == ("shift above 0.01: confirm",)
    assert found.risks["shift"] == pytest.approx(np.abs(steps).sum() / 2 / scenario.current.sum())


def test_each_move_says_why() -> None:
    scenario, plan = planned(decisions=DECISIONS)
    for _, move in opt.recommend(scenario, plan).moves.iterrows():
        for word in ("kpi0", "kpi1", move["from"], move["to"]):
            assert word in move["reason"]


def test_money_that_is_added_comes_from_the_budget() -> None:
    scenario, plan = planned(decisions=DECISIONS, constraints={"budget": {"total": 1300.0}})
    moves = opt.recommend(scenario, plan).moves
    assert moves.loc[moves["from"].isna(), "amount"].sum() == pytest.approx(300.0)
    assert moves["to"].notna().all()


def test_without_stated_rules_a_person_confirms() -> None:
    scenario, plan = planned()
    found = opt.recommend(scenario, plan)
    assert found.level == "confirm"
    assert "states no decision rules" in found.reasons[0]


def test_what_is_not_known_asks_for_somebody() -> None:
    scenario, plan = planned(decisions={"blocked": {"data_quality": 0.5}, "unknown": "two_person"})
    assert opt.recommend(scenario, plan).level == "two_person"
    assert opt.recommend(scenario, plan, data_quality=0.6).level == "auto"
    assert opt.recommend(scenario, plan, data_quality=0.4).level == "blocked"


def test_a_guardrails_light_counts() -> None:
    kpis = {
        "kpi0": {"direction": "maximize"},
        "kpi1": {"direction": "maximize", "role": "guardrail", "thresholds": {"green": 2e9, "yellow": 1e9}},
    }
    scenario, plan = planned(kpis=kpis, preferences={}, decisions={"blocked": {"guardrail": "red"}})
    found = opt.recommend(scenario, plan)
    assert found.level == "blocked"
    assert found.reasons == ("guardrail red: blocked",)


def test_todays_plan_needs_no_moves() -> None:
    _, plan = planned(decisions=DECISIONS)
    data = make_scenario(4, 2, seed=3, changes={"decisions": DECISIONS})
    for line in data["lines"]:
        line["current"] = float(plan.spend[line["name"]])
    again = opt.recommend(opt.Scenario.from_dict(data), plan)
    assert again.moves.empty
    assert again.level == "auto"


def test_a_plan_for_other_lines_is_refused() -> None:
    _, plan = planned()
    other = opt.Scenario.from_dict(make_scenario(3, 2))
    with pytest.raises(opt.DataError, match="other lines"):
        opt.recommend(other, plan)
    with pytest.raises(opt.DataError, match="data_quality"):
        opt.recommend(plan.scenario, plan, data_quality=1.5)


def test_it_is_plain_json() -> None:
    scenario, plan = planned(decisions=DECISIONS)
    data = json.loads(json.dumps(opt.recommend(scenario, plan).to_dict(), allow_nan=False))
    assert data["level"] == "confirm"
    assert data["risks"]["data_quality"] is None
    assert data["moves"][0]["amount"] > 0


def test_decisions_travel_with_the_resolved_scenario() -> None:
    scenario, _ = planned(decisions=DECISIONS)
    again = opt.Scenario.from_dict(scenario.resolved())
    assert again.spec.decisions == scenario.spec.decisions
