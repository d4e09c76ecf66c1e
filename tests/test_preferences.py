"""What is wanted: which KPIs are optimised, and every way a trade-off can be left unclear."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from conftest import make_scenario

import optimizer as opt

UP, DOWN = {"direction": "maximize"}, {"direction": "minimize"}


def scenario(kpis: dict[str, Any], preferences: dict[str, Any]) -> opt.Scenario:
    entry = {"line0": {"curve": {"kind": "linear", "scale": 1.0}}}
    response = {name: entry for name, kpi in kpis.items() if "ratio" not in kpi}
    data = make_scenario(1, 1)
    return opt.Scenario.from_dict(data | {"kpis": kpis, "preferences": preferences, "response": response})


@pytest.mark.parametrize(
    ("kpis", "preferences", "objectives"),
    [
        # One KPI with a direction needs no trade-off.
        ({"a": UP}, {}, ("a",)),
        ({"a": DOWN}, {}, ("a",)),
        ({"a": UP, "shown": {}}, {}, ("a",)),
        # A floor, or a role, takes a KPI out of the trade-off.
        ({"a": UP, "b": UP}, {"floors": {"b": 5.0}}, ("a",)),
        ({"a": UP, "b": UP | {"role": "monitor"}}, {}, ("a",)),
        ({"a": UP, "b": UP | {"role": "counter"}}, {}, ("a",)),
        ({"a": UP, "b": UP | {"role": "guardrail"}}, {"floors": {"b": 5.0}}, ("a",)),
        # A floor on the objective itself does not, where its role says so.
        ({"a": UP | {"role": "objective"}}, {"floors": {"a": 5.0}}, ("a",)),
        ({"a": UP, "b": UP}, {"weights": {"a": 1.0}, "floors": {"a": 1.0, "b": 5.0}}, ("a",)),
        # Weights name the objectives, in their own order.
        ({"a": UP, "b": DOWN}, {"weights": {"b": 2.0, "a": 1.0}, "scale": {"a": [0, 1], "b": [1, 0]}}, ("b", "a")),
        (
            {"a": UP, "b": UP},
            {"weights": {"a": 0.0, "b": 1.0}, "scale": {"a": "payoff", "b": "payoff"}},
            ("a", "b"),
        ),
        # One weight alone needs no scale.
        ({"a": UP, "b": UP | {"role": "monitor"}}, {"weights": {"a": 1.0}}, ("a",)),
    ],
)
def test_what_is_optimised(kpis, preferences, objectives):
    assert scenario(kpis, preferences).objectives == objectives


BOTH = {"a": UP, "b": UP}
SCALE = {"a": [0.0, 1.0], "b": [0.0, 1.0]}


@pytest.mark.parametrize(
    ("kpis", "preferences", "path", "said"),
    [
        (BOTH, {}, "", "no trade-off is stated between a and b"),
        (BOTH, {"scale": SCALE}, "", "no trade-off"),
        (BOTH | {"c": DOWN}, {"floors": {"c": 3.0}}, "", "between a and b"),
        ({"a": UP | {"role": "objective"}, "b": UP}, {"floors": {"a": 1.0}}, "", "between a and b"),
        (BOTH, {"weights": {"a": 1.0, "b": 1.0}, "scale": {"a": [0, 1]}}, "weights.b", "no scale"),
        (BOTH, {"weights": {"a": 1.0, "b": 1.0}}, "weights.a", "no scale"),
        (BOTH, {"weights": {"a": -1.0, "b": 1.0}, "scale": SCALE}, "weights.a", "greater than or equal to 0"),
        (BOTH, {"weights": {"a": 0.0, "b": 0.0}, "scale": SCALE}, "weights", "zero"),
        (BOTH, {"weights": {"a": 0.0}}, "weights", "zero"),
        (BOTH, {"weights": {"a": float("nan"), "b": 1.0}, "scale": SCALE}, "weights.a", "finite"),
        (BOTH, {"weights": {"a": float("inf"), "b": 1.0}, "scale": SCALE}, "weights.a", "finite"),
        (BOTH, {"weights": {"a": "0.5", "b": 1.0}, "scale": SCALE}, "weights.a", "number"),
        (BOTH, {"weights": {"a": True, "b": 1.0}, "scale": SCALE}, "weights.a", "number"),
        (BOTH, {"weights": {"a": 1.0, "c": 1.0}, "scale": SCALE}, "weights.c", "unknown KPI 'c'"),
        (BOTH, {"weights": {"a": 1.0, "b": 1.0}, "scale": SCALE | {"c": [0, 1]}}, "scale.c", "unknown KPI 'c'"),
        ({"a": UP}, {"floors": {"c": 1.0}}, "floors.c", "unknown KPI 'c'"),
        ({"a": UP, "b": {}}, {"weights": {"a": 1.0, "b": 1.0}, "scale": SCALE}, "weights.b", "no direction"),
        ({"a": UP, "b": {}}, {"floors": {"b": 1.0}}, "floors.b", "no direction"),
        (
            BOTH,
            {"weights": {"a": 1.0, "b": 1.0}, "scale": SCALE | {"b": [1.0, 0.0]}},
            "scale.b",
            "worst to best",
        ),
        ({"a": DOWN}, {"weights": {"a": 1.0}, "scale": {"a": [0.0, 1.0]}}, "scale.a", "worst to best"),
        ({"a": UP}, {"weights": {"a": 1.0}, "scale": {"a": [1.0, 1.0]}}, "scale.a", "worst to best"),
        ({"a": UP}, {"weights": {"a": 1.0}, "scale": {"a": [1000.0, 1000.9]}}, "scale.a", "narrower"),
        ({"a": DOWN}, {"weights": {"a": 1.0}, "scale": {"a": [-1000.0, -1000.9]}}, "scale.a", "narrower"),
        ({"a": UP}, {"weights": {"a": 1.0}, "scale": {"a": [1.0]}}, "scale.a", "at least 2"),
        ({"a": UP}, {"weights": {"a": 1.0}, "scale": {"a": [1.0, 2.0, 3.0]}}, "scale.a", "at most 2"),
        ({"a": UP}, {"weights": {"a": 1.0}, "scale": {"a": "best"}}, "scale.a", "payoff"),
        (BOTH, {"weight": {"a": 1.0}}, "weight", "unknown field"),
        *(
            (
                {"a": UP, "b": UP | {"role": role}},
                {"weights": {"a": 1.0, "b": 1.0}, "scale": SCALE},
                "weights.b",
                role,
            )
            for role in ("monitor", "counter")
        ),
    ],
)
def test_an_unclear_trade_off_is_refused_with_its_place(kpis, preferences, path, said):
    with pytest.raises(opt.SpecError, match=said) as caught:
        scenario(kpis, preferences)
    assert ".".join(map(str, caught.value.path)) == f"preferences.{path}".rstrip(".")
    assert caught.value.hint


def test_a_directed_kpi_left_out_of_the_weights_is_refused():
    kpis = BOTH | {"c": UP}
    with pytest.raises(opt.SpecError, match="'c' has a direction") as caught:
        scenario(kpis, {"weights": {"a": 1.0, "b": 1.0}, "scale": SCALE})
    assert caught.value.path == ("kpis", "c")


def test_nothing_to_optimise_is_refused():
    with pytest.raises(opt.SpecError, match="no KPI to optimise") as caught:
        scenario({"a": {}}, {})
    assert caught.value.path == ("kpis",)


def test_an_objective_without_a_direction_is_refused():
    with pytest.raises(opt.SpecError, match="direction") as caught:
        scenario({"a": UP, "b": {"role": "objective"}}, {})
    assert caught.value.path[:2] == ("kpis", "b")


def test_a_scale_just_wide_enough_is_taken():
    # 0.5 % of its values is the limit.
    scenario({"a": UP}, {"weights": {"a": 1.0}, "scale": {"a": [1000.0, 1005.1]}})
    scenario({"a": UP}, {"weights": {"a": 1.0}, "scale": {"a": [-1e-9, 1e-9]}})


@pytest.mark.parametrize(
    ("kpi", "preferences", "role"),
    [
        (UP, {}, "objective"),
        (UP, {"floors": {"b": 1.0}}, "guardrail"),
        ({}, {}, "monitor"),
        (UP | {"role": "counter"}, {}, "counter"),
    ],
)
def test_roles_follow_from_the_preferences(kpi, preferences, role):
    kpis = {"b": kpi} if role == "objective" else {"a": UP, "b": kpi}
    assert scenario(kpis, preferences).role("b") == role


def test_weights_too_large_to_add_up_mean_what_they_say():
    # Their sum overflows a double; equal weights are equal weights, or refused as too large.
    data = make_scenario(2, 2)
    plan = opt.solve(opt.Scenario.from_dict(data))
    data["preferences"]["weights"] = {"kpi0": 1e308, "kpi1": 1e308}
    with contextlib.suppress(opt.SpecError):
        huge = opt.solve(opt.Scenario.from_dict(data))
        assert huge.certificate.value == pytest.approx(plan.certificate.value, rel=1e-6)


def test_a_worth_that_contradicts_the_definition_is_refused():
    kpis = {"a": UP | {"value": 60.0}, "b": UP}
    scenario(kpis, {"values": {"a": 60.0, "b": 2.0}})
    with pytest.raises(opt.SpecError, match="60") as caught:
        scenario(kpis, {"values": {"a": 50.0, "b": 2.0}})
    assert caught.value.path == ("preferences", "values", "a")
