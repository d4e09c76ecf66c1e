"""Targets and thresholds: what they accept, and what exactly happens at their limits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from conftest import make_scenario
from hypothesis import given
from hypothesis import strategies as st

from optimizer import Scenario, SpecError
from optimizer.targets import LIGHTS, Direction, Target, Thresholds, light, met, required

DIRECTIONS = st.sampled_from(["maximize", "minimize"])
# Quarters are exact in floating point, so values do fall on limits.
VALUES = st.integers(-400, 400).map(lambda n: n / 4)
NAN = math.nan


def target(**fields: Any) -> Target:
    return Target.model_validate(fields)


@st.composite
def thresholds(draw: st.DrawFn, direction: Direction) -> Thresholds:
    green, yellow = sorted([draw(VALUES), draw(VALUES)], reverse=direction == "maximize")
    width = draw(st.one_of(st.integers(0, 80).map(lambda n: n / 4), st.just({"share": 0.125})))
    return Thresholds.model_validate({"green": green, "yellow": yellow, "hysteresis": width})


# --- lights -------------------------------------------------------------------------------------------------


def test_a_value_at_a_limit_has_reached_it() -> None:
    limits = Thresholds(green=10, yellow=5)
    assert light([10, 9.99, 5, 4.99], limits, "maximize") == ["green", "yellow", "yellow", "red"]
    limits = Thresholds(green=5, yellow=10)
    assert light([5, 5.01, 10, 10.01], limits, "minimize") == ["green", "yellow", "yellow", "red"]


def test_equal_limits_leave_no_yellow() -> None:
    assert light([6, 5, 4], Thresholds(green=5, yellow=5), "maximize") == ["green", "green", "red"]


def test_worse_at_once_better_only_past_the_limit_by_the_hysteresis() -> None:
    limits = Thresholds(green=10, yellow=5, hysteresis=1)
    found = light([10, 9.9, 10.9, 11, 4.9, 5.9, 6, 10.5, 20], limits, "maximize")
    assert found == ["green", "yellow", "yellow", "green", "red", "red", "yellow", "yellow", "green"]


def test_hysteresis_as_a_share_of_the_limit() -> None:
    limits = Thresholds.model_validate({"green": 10, "yellow": 20, "hysteresis": {"share": 0.25}})
    found = light([21, 15.1, 15, 10, 7.6, 7.5], limits, "minimize")
    assert found == ["red", "red", "yellow", "yellow", "yellow", "green"]


def test_missing_is_grey_and_the_light_goes_on_after_the_gap() -> None:
    limits = Thresholds(green=10, yellow=5, hysteresis=1)
    found = light([None, 9, NAN, 10.5, math.inf, -math.inf, 11], limits, "maximize")
    assert found == ["grey", "yellow", "grey", "yellow", "grey", "grey", "green"]
    assert light([], limits, "maximize") == []


@given(st.data(), DIRECTIONS)
def test_a_better_value_never_gives_a_worse_light(data: st.DataObject, direction: Direction) -> None:
    limits = data.draw(thresholds(direction))
    before = data.draw(st.lists(VALUES, max_size=4))
    one, other = sorted(data.draw(st.tuples(VALUES, VALUES)), reverse=direction == "minimize")
    worse, better = (light([*before, value], limits, direction)[-1] for value in (one, other))
    assert LIGHTS.index(better) >= LIGHTS.index(worse)


@given(st.data(), DIRECTIONS)
def test_grey_where_nothing_is_known_and_nowhere_else(data: st.DataObject, direction: Direction) -> None:
    limits = data.draw(thresholds(direction))
    values = data.draw(st.lists(st.one_of(VALUES, st.none(), st.just(NAN))))
    found = light(values, limits, direction)
    assert [one == "grey" for one in found] == [value is None or math.isnan(value) for value in values]
    # A gap changes nothing about the lights of the known values.
    known = [value for value in values if value is not None and not math.isnan(value)]
    assert [one for one in found if one != "grey"] == light(known, limits, direction)


@given(st.data(), DIRECTIONS)
def test_noise_narrower_than_the_hysteresis_never_turns_a_light_back(
    data: st.DataObject, direction: Direction
) -> None:
    limits = data.draw(thresholds(direction))
    before = data.draw(st.lists(VALUES, max_size=3))
    sizes = (abs(limits.green), abs(limits.yellow))
    width = limits.hysteresis if isinstance(limits.hysteresis, float) else limits.hysteresis.share * min(sizes)
    middle = data.draw(VALUES)
    noise = data.draw(st.lists(st.floats(-0.499, 0.499), min_size=2, max_size=8))
    found = light([*before, *(middle + width * step for step in noise)], limits, direction)[len(before) :]
    ranks = [LIGHTS.index(one) for one in found]
    steps = np.sign(np.diff(ranks))
    assert not (1 in steps and -1 in steps)


@given(st.lists(st.one_of(VALUES, st.none())), st.data())
def test_minimize_mirrors_maximize(values: list[float | None], data: st.DataObject) -> None:
    limits = data.draw(thresholds("maximize"))
    mirrored = Thresholds(green=-limits.green, yellow=-limits.yellow, hysteresis=limits.hysteresis)
    turned = [None if value is None else -value for value in values]
    assert light(values, limits, "maximize") == light(turned, mirrored, "minimize")


# --- targets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_target", "current", "wanted"),
    [
        (target(level=500), NAN, 500),
        (target(growth=0.1), 200, 220),
        (target(growth=0.1, baseline=100), 200, 110),
        (target(growth=-0.1), 200, 180),
        (target(growth=0.1), -200, -180),
        (target(lift=50), 200, 250),
        (target(lift=-5, baseline=0), NAN, -5),
        (target(percentile={"value": 5, "share": 0.95}), NAN, 5),
        (target(band=[1, 2]), NAN, (1, 2)),
    ],
    ids=lambda value: str(value),
)
def test_what_a_plan_must_reach(given_target: Target, current: float, wanted: float | tuple[float, float]) -> None:
    assert required(given_target, current) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("given_target", "current", "says"),
    [
        (target(growth=0.1), NAN, "no baseline"),
        (target(lift=1), NAN, "no baseline"),
        (target(growth=0.1), 0.0, "relative to zero"),
    ],
)
def test_growth_and_lift_need_something_to_start_from(given_target: Target, current: float, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        required(given_target, current)


def test_met_at_the_limit_exactly() -> None:
    assert met(target(level=5), [5], "maximize")
    assert met(target(level=5), [5], "minimize")
    assert not met(target(level=5), [4.999], "maximize")
    assert not met(target(level=5), [5.001], "minimize")
    for value, inside in [(0.999, False), (1, True), (1.5, True), (2, True), (2.001, False)]:
        assert met(target(band=[1, 2]), [value], None) == inside
    assert met(target(growth=0.5), [30], "maximize", current=20)
    assert not met(target(lift=11), [30], "maximize", current=20)


def test_a_run_counts_back_from_the_last_period() -> None:
    three = target(level=5, run=3)
    assert met(three, [1, 5, 6, 7], "maximize")
    assert not met(three, [5, 6, 7, 1], "maximize")
    assert not met(three, [5, 1, 6, 7], "maximize")
    assert not met(three, [6, 7], "maximize")
    assert not met(three, [5, 6, None, 7], "maximize")
    assert not met(target(level=5), [], "maximize")
    assert not met(target(level=5), [9, NAN], "maximize")
    assert not met(target(level=5), [math.inf], "maximize")


def test_percentile_of_cases() -> None:
    under_five = target(percentile={"value": 5, "share": 0.95})
    assert met(under_five, [5] * 19 + [60], "minimize")
    assert not met(under_five, [5] * 18 + [60] * 2, "minimize")
    # A case nobody timed is not known to have kept it.
    assert not met(under_five, [5] * 18 + [60, NAN], "minimize")
    assert not met(under_five, [], "minimize")
    twice = target(percentile={"value": 5, "share": 0.5}, run=2)
    assert met(twice, np.array([[9, 9], [1, 9], [1, 1]]), "minimize")
    assert not met(twice, np.array([[1, 1], [9, 9], [1, 1]]), "minimize")
    assert not met(twice, [1, 1], "minimize")


@given(st.lists(VALUES, min_size=1, max_size=6), VALUES, DIRECTIONS, st.integers(0, 40), st.integers(1, 3))
def test_better_values_never_break_a_target(
    values: list[float], level: float, direction: Direction, by: int, run: int
) -> None:
    better = [value + (by if direction == "maximize" else -by) for value in values]
    for one in (target(level=level, run=run), target(percentile={"value": level, "share": 0.75})):
        assert met(one, better, direction) >= met(one, values, direction)


def test_a_level_without_a_direction_is_not_judged() -> None:
    with pytest.raises(SpecError, match="direction"):
        met(target(level=5), [5], None)


# --- definitions: every impossible combination names its field ----------------------------------------------

UNCLEAR: list[tuple[str, dict[str, Any], str, str]] = [
    ("two forms", {"target": {"level": 5, "growth": 0.1}}, "target.growth", "both level and growth"),
    ("no form", {"target": {"owner": "Ana"}}, "target", "says no value"),
    ("band upside down", {"target": {"band": [5, 5]}}, "target.band", "not below"),
    ("band of one", {"target": {"band": [5]}}, "target.band", ""),
    ("growth from zero", {"target": {"growth": 0.1, "baseline": 0}}, "target.baseline", "relative to zero"),
    ("run of none", {"target": {"level": 5, "run": 0}}, "target.run", ""),
    ("share above one", {"target": {"percentile": {"value": 5, "share": 95}}}, "target.percentile.share", ""),
    ("deadline in words", {"target": {"level": 5, "deadline": "soon"}}, "target.deadline", ""),
    ("yellow above green", {"thresholds": {"green": 5, "yellow": 6}}, "thresholds.yellow", "better than green"),
    ("no yellow", {"thresholds": {"green": 5}}, "thresholds.yellow", "missing"),
    (
        "negative hysteresis",
        {"thresholds": {"green": 5, "yellow": 4, "hysteresis": -1}},
        "thresholds.hysteresis",
        "",
    ),
    (
        "hysteresis of everything",
        {"thresholds": {"green": 5, "yellow": 4, "hysteresis": {"share": 1}}},
        "thresholds.hysteresis.share",
        "",
    ),
    ("lag without proxy", {"horizon": "proximal", "lag": 2}, "lag", "until another KPI follows"),
    ("lag of a distal KPI", {"horizon": "distal", "lag": 2}, "lag", "until another KPI follows"),
    (
        "lag of what is not said to be proximal",
        {"proxy_for": "kpi1", "lag": 2},
        "lag",
        "until another KPI follows",
    ),
    ("lag back in time", {"horizon": "proximal", "proxy_for": "kpi1", "lag": -1}, "lag", ""),
    ("distal proxy", {"horizon": "distal", "proxy_for": "kpi1"}, "proxy_for", "stands for itself"),
    ("proxy for nobody", {"horizon": "proximal", "proxy_for": "sales"}, "proxy_for", "unknown KPI"),
    ("proxy for itself", {"horizon": "proximal", "proxy_for": "kpi0"}, "proxy_for", "kpi0 -> kpi0"),
    ("needless waiver", {"waiver": "we know"}, "waiver", "nothing to waive"),
    (
        "waiver beside a proxy",
        {"horizon": "proximal", "proxy_for": "kpi1", "waiver": "we know"},
        "waiver",
        "nothing to waive",
    ),
    ("worth nothing", {"value": 0}, "value", ""),
    ("unknown cadence", {"review": "sometimes"}, "review", ""),
    ("target without direction", {"direction": None, "target": {"level": 5}}, "target", "which way"),
    (
        "thresholds without direction",
        {"direction": None, "thresholds": {"green": 5, "yellow": 4}},
        "thresholds",
        "which way",
    ),
    ("objective without direction", {"direction": None, "role": "objective"}, "role", "which way"),
]


@pytest.mark.parametrize(("fields", "path", "says"), [case[1:] for case in UNCLEAR], ids=[c[0] for c in UNCLEAR])
def test_unclear_definitions(fields: dict[str, Any], path: str, says: str) -> None:
    data = make_scenario(kpis=2)
    data["kpis"]["kpi0"] |= fields
    with pytest.raises(SpecError) as caught:
        Scenario.from_dict(data)
    assert ".".join(map(str, caught.value.path)) == f"kpis.kpi0.{path}"
    assert says in caught.value.message


def test_kpis_that_stand_for_each_other_in_a_circle() -> None:
    data = make_scenario(kpis=3)
    for one, other in (("kpi0", "kpi1"), ("kpi1", "kpi2"), ("kpi2", "kpi1")):
        data["kpis"][one] |= {"horizon": "proximal", "proxy_for": other}
    with pytest.raises(SpecError, match="kpi1 -> kpi2 -> kpi1") as caught:
        Scenario.from_dict(data)
    assert caught.value.path == ("kpis", "kpi1", "proxy_for")


def test_a_full_definition_comes_back_from_the_resolved_scenario() -> None:
    data = make_scenario(kpis=2)
    full = {
        "goal": "more of them",
        "level": "output",
        "layer": "operational",
        "horizon": "proximal",
        "proxy_for": "kpi1",
        "lag": 4,
        "so_what": "they pay",
        "source": "crm",
        "calculation": "a count",
        "owner": "Ana",
        "review": "monthly",
        "value": 12.5,
        "role": "objective",
        "target": {"growth": 0.1, "baseline": 20.0, "run": 3, "deadline": "2026-12-31", "owner": "Bo"},
        "thresholds": {"green": 20.0, "yellow": 10.0, "hysteresis": {"share": 0.02}},
    }
    data["kpis"]["kpi0"] |= full
    scenario = Scenario.from_dict(data)
    resolved = scenario.resolved()
    assert {key: resolved["kpis"]["kpi0"][key] for key in full} == full
    assert Scenario.from_dict(resolved).hash == scenario.hash
