"""Rules and the polyhedron they compile to: rows by hand, and which plans they let through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import make_scenario
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import optimizer as opt
from optimizer.constraints import Polyhedron

# Three lines with currents 100, 200, 300; a third attribute on one of them only.
LINES = [
    {"name": "brand", "current": 100.0, "channel": "search", "market": "uk"},
    {"name": "generic", "current": 200.0, "channel": "search", "market": "de"},
    {"name": "tv", "current": 300.0, "channel": "video", "market": "uk", "daypart": "prime"},
]


def scenario(constraints: dict[str, Any], lines: list[dict[str, Any]] | None = None) -> opt.Scenario:
    data = make_scenario(3, 1)
    data["lines"] = [dict(line) for line in lines or LINES]
    entry = {"curve": {"kind": "linear", "scale": 1.0}}
    data["response"] = {"kpi0": {line["name"]: entry for line in data["lines"]}}
    data["constraints"] = {"budget": {"total": 600.0}} | constraints
    return opt.Scenario.from_dict(data)


def row(polyhedron: Polyhedron, *words: str) -> tuple[list[float], float, bool]:
    """The one row whose name has all these words: coefficients, bound, whether it is an equality."""
    found = [i for i, name in enumerate(polyhedron.names) if all(word in name for word in words)]
    assert len(found) == 1, polyhedron.names
    return (
        polyhedron.A.toarray()[found[0]].tolist(),
        float(polyhedron.b[found[0]]),
        bool(polyhedron.equal[found[0]]),
    )


def with_line(index: int, **fields: Any) -> list[dict[str, Any]]:
    return [line | fields if i == index else line for i, line in enumerate(LINES)]


def test_total_budget_is_an_equality():
    assert row(scenario({}).polyhedron, "budget") == ([1.0, 1.0, 1.0], 600.0, True)


def test_budget_at_most_is_an_inequality():
    assert row(scenario({"budget": {"max": 500.0}}).polyhedron, "budget") == ([1.0, 1.0, 1.0], 500.0, False)


def test_min_and_max_of_a_line():
    polyhedron = scenario({}, with_line(1, min=50.0, max=400.0)).polyhedron
    assert row(polyhedron, "generic", "min") == ([0.0, -1.0, 0.0], -50.0, False)
    assert row(polyhedron, "generic", "max") == ([0.0, 1.0, 0.0], 400.0, False)
    # No line may go below zero, even where the file says nothing.
    assert row(polyhedron, "brand", "min") == ([-1.0, 0.0, 0.0], 0.0, False)
    assert not any("brand" in name and "max" in name for name in polyhedron.names)


def test_change_limits_are_shares_of_current():
    polyhedron = scenario({"change": {"up": 0.5, "down": 0.25}}).polyhedron
    assert row(polyhedron, "generic", "up") == ([0.0, 1.0, 0.0], 300.0, False)
    assert row(polyhedron, "generic", "down") == ([0.0, -1.0, 0.0], -150.0, False)
    assert row(polyhedron, "tv", "up") == ([0.0, 0.0, 1.0], 450.0, False)


def test_a_line_overrides_the_change_of_all():
    polyhedron = scenario({"change": {"up": 0.5, "down": 0.25}}, with_line(1, change={"up": 2.0})).polyhedron
    assert row(polyhedron, "generic", "up") == ([0.0, 1.0, 0.0], 600.0, False)
    assert not any("generic" in name and "down" in name for name in polyhedron.names)
    polyhedron = scenario({"change": {"up": 0.5}}, with_line(1, change="free")).polyhedron
    assert not any("generic" in name and "change" in name for name in polyhedron.names)
    assert row(polyhedron, "brand", "up") == ([1.0, 0.0, 0.0], 150.0, False)


def test_a_change_down_by_all_of_it_may_go_to_zero():
    assert row(scenario({"change": {"down": 1.0}}).polyhedron, "tv", "down") == ([0.0, 0.0, -1.0], 0.0, False)


def test_a_locked_line_keeps_its_current_spend_whatever_else_is_said():
    lines = with_line(2, locked=True, min=0.0, max=1000.0)
    polyhedron = scenario({"change": {"up": 0.5}}, lines).polyhedron
    assert row(polyhedron, "tv") == ([0.0, 0.0, 1.0], 300.0, True)


def test_shares_are_of_total_spend():
    polyhedron = scenario({"shares": [{"select": {"channel": "search"}, "min": 0.25, "max": 0.75}]}).polyhedron
    assert row(polyhedron, "channel search", "at most") == ([0.25, 0.25, -0.75], 0.0, False)
    assert row(polyhedron, "channel search", "at least") == ([-0.75, -0.75, 0.25], 0.0, False)


@pytest.mark.parametrize(
    ("select", "picked"),
    [
        ({"channel": "search"}, [1, 1, 0]),
        ({"market": "uk"}, [1, 0, 1]),
        ({"channel": "search", "market": "uk"}, [1, 0, 0]),
        ({"channel": ["search", "video"]}, [1, 1, 1]),
        ({"channel": ["search", "video"], "market": ["de"]}, [0, 1, 0]),
        ({"daypart": "prime"}, [0, 0, 1]),
        ({"line": ["tv", "brand"]}, [1, 0, 1]),
    ],
)
def test_selectors(select, picked):
    coefficients, _, _ = row(scenario({"shares": [{"select": select, "max": 0.5}]}).polyhedron, "share", "at most")
    assert coefficients == [one - 0.5 for one in picked]


@pytest.mark.parametrize(
    ("select", "path"),
    [
        ({"region": "uk"}, ["select"]),
        ({"channel": "radio"}, ["select", "channel"]),
        ({"channel": ["search", "radio"]}, ["select", "channel"]),
        ({"line": "TV"}, ["select", "line"]),
        ({"channel": "video", "market": "de"}, ["select"]),
        ({}, ["select"]),
        ({"channel": []}, ["select"]),
    ],
)
def test_selectors_that_pick_nothing_are_refused(select, path):
    fine = {"select": {"channel": "search"}, "max": 0.9}
    with pytest.raises(opt.SpecError) as caught:
        scenario({"shares": [fine, {"select": select, "max": 0.5}]})
    assert caught.value.path == ("constraints", "shares", 1, *path)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("constraints", "lines", "path"),
    [
        ({"budget": {}}, None, ("constraints", "budget")),
        ({"budget": {"total": 5.0, "max": 6.0}}, None, ("constraints", "budget")),
        ({"budget": {"total": -5.0}}, None, ("constraints", "budget", "total")),
        ({"shares": [{"select": {"channel": "video"}}]}, None, ("constraints", "shares", 0)),
        (
            {"shares": [{"select": {"channel": "video"}, "min": 0.6, "max": 0.5}]},
            None,
            ("constraints", "shares", 0, "min"),
        ),
        ({"shares": [{"select": {"channel": "video"}, "max": 1.5}]}, None, ("constraints", "shares", 0, "max")),
        ({"change": {"down": 1.5}}, None, ("constraints", "change", "down")),
        ({"change": {"up": -0.5}}, None, ("constraints", "change", "up")),
        ({"change": {"up": 0.5}}, with_line(1, current=0.0), ("lines", 1, "current")),
        ({}, with_line(1, min=500.0, max=400.0), ("lines", 1, "min")),
        ({}, with_line(1, min=-1.0), ("lines", 1, "min")),
        ({}, with_line(1, current=-1.0), ("lines", 1, "current")),
        ({}, with_line(1, channel=7), ("lines", 1, "channel")),
    ],
)
def test_impossible_rules_are_refused_with_their_path(constraints, lines, path):
    with pytest.raises(opt.SpecError) as caught:
        scenario(constraints, lines)
    assert caught.value.path == path
    assert caught.value.hint


def test_two_rules_of_one_name_are_refused():
    # Plans list rules by name: a second one of the same name would hide the first.
    shares = [{"select": {"channel": "video"}, "max": 0.5, "name": "video"}] * 2
    with pytest.raises(opt.SpecError, match="video"):
        scenario({"shares": shares})


def test_a_line_without_current_spend_may_have_its_own_freedom():
    polyhedron = scenario({"change": {"up": 0.5}}, with_line(1, current=0.0, change="free")).polyhedron
    assert row(polyhedron, "generic", "min") == ([0.0, -1.0, 0.0], 0.0, False)


def test_names_say_the_line_first():
    names = scenario({"change": {"up": 0.5}}).polyhedron.names
    assert len(set(names)) == len(names)
    assert [name for name in names if name.startswith("tv: ")] == [name for name in names if "tv" in name]


def test_each_row_knows_the_line_it_is_about():
    # Names alone cannot say it: a line may be called 'budget', or like the start of another line's name.
    shares = [{"select": {"line": "tv"}, "max": 0.9}]
    polyhedron = scenario({"change": {"up": 0.5}, "shares": shares}, with_line(1, locked=True)).polyhedron
    for name, owner in zip(polyhedron.names, polyhedron.owner, strict=True):
        line = name.split(":")[0]
        assert owner == (["brand", "generic", "tv"].index(line) if line in ("brand", "generic", "tv") else -1), (
            name
        )
    assert set(polyhedron.owner) == {-1, 0, 1, 2}


def of_rows(*rows: tuple[list[float], float, bool]) -> Polyhedron:
    coefficients, bounds, equal = zip(*rows, strict=True)
    return Polyhedron(
        sparse.csr_matrix(np.array(coefficients)),
        np.array(bounds),
        np.array(equal),
        tuple(f"row {i}" for i in range(len(rows))),
        (-1,) * len(rows),
        tuple(-1 for _ in rows),
    )


def test_box_takes_the_tightest_of_the_single_variable_rows():
    polyhedron = of_rows(
        ([1.0, 0.0, 0.0], 9.0, False),
        ([2.0, 0.0, 0.0], 8.0, False),
        ([-1.0, 0.0, 0.0], -1.0, False),
        ([-0.5, 0.0, 0.0], -1.0, False),
        ([0.0, -4.0, 0.0], -12.0, True),
        ([1.0, 1.0, 1.0], 1.0, True),
        ([0.0, 1.0, -1.0], 0.0, False),
    )
    lower, upper = polyhedron.box()
    assert lower.tolist() == [2.0, 3.0, -np.inf]
    assert upper.tolist() == [4.0, 3.0, np.inf]


def test_box_ignores_a_row_that_says_nothing():
    lower, upper = of_rows(([0.0, 0.0], 0.0, False), ([0.0, 1.0], 5.0, False)).box()
    assert lower.tolist() == [-np.inf, -np.inf]
    assert upper.tolist() == [np.inf, 5.0]


def test_box_of_a_scenario():
    lines = [LINES[0] | {"min": 20.0}, LINES[1] | {"max": 250.0}, LINES[2] | {"locked": True}]
    lower, upper = scenario({"change": {"up": 0.5, "down": 0.9}}, lines).polyhedron.box()
    # brand: change down to 10, min 20, change up to 150; generic: down to 20, max 250 beside change up to 300.
    assert lower.tolist() == pytest.approx([20.0, 20.0, 300.0])
    assert upper.tolist() == pytest.approx([150.0, 250.0, 300.0])


def test_slack_is_the_room_left_and_minus_the_miss():
    polyhedron = of_rows(
        ([1.0, 0.0], 9.0, False), ([-1.0, 0.0], -1.0, False), ([1.0, 1.0], 10.0, True), ([1.0, 1.0], 3.0, True)
    )
    assert polyhedron.slack(np.array([4.0, 2.0])).tolist() == [5.0, 3.0, -4.0, -3.0]
    assert polyhedron.slack(np.array([10.0, 0.0])).tolist() == [-1.0, 9.0, 0.0, -7.0]


def keeps(data: dict[str, Any], spend: list[float]) -> bool:
    """Whether a plan keeps all rules, read straight from the file.

    Amounts are whole tens and shares whole tenths: a real breach is far above the rounding let through.
    """
    rules, total = data["constraints"], sum(spend)
    margins = [-abs(total - rules["budget"]["total"])] if "total" in rules["budget"] else []
    margins += [rules["budget"]["max"] - total] if "max" in rules["budget"] else []
    for line, amount in zip(data["lines"], spend, strict=True):
        if line.get("locked"):
            margins.append(-abs(amount - line["current"]))
            continue
        margins += [amount - line.get("min", 0.0), line.get("max", 1e9) - amount]
        change = line.get("change", rules["change"])
        if change != "free":
            margins.append(line["current"] * (1 + change["up"]) - amount)
            margins.append(amount - line["current"] * (1 - change["down"]))
    for rule in rules["shares"]:
        part = sum(
            amount
            for line, amount in zip(data["lines"], spend, strict=True)
            if all(
                line[key] in ([value] if isinstance(value, str) else value)
                for key, value in rule["select"].items()
            )
        )
        margins += [part - rule["min"] * total, rule["max"] * total - part]
    return min(margins) >= -1e-9


@st.composite
def ruled(draw: Any) -> tuple[dict[str, Any], list[float]]:
    """A scenario with rules of all kinds, and a plan near its limits."""
    tens = st.integers(0, 20).map(lambda n: n * 10.0)
    near = st.sampled_from([0.0, 0.0, 0.0, 10.0, -10.0, 20.0, -20.0, 50.0, -50.0])
    lines = []
    for index in range(draw(st.integers(1, 4))):
        line = {
            "name": f"line{index}",
            "current": draw(tens.filter(bool)),
            "channel": draw(st.sampled_from("ab")),
        }
        line["market"] = draw(st.sampled_from("xy"))
        if draw(st.booleans()):
            line["min"] = max(0.0, line["current"] - draw(tens))
            line["max"] = line["current"] + draw(tens)
        if draw(st.integers(0, 4)) == 0:
            line["locked"] = True
        if draw(st.integers(0, 3)) == 0:
            line["change"] = draw(st.sampled_from(["free", {"up": 1.0, "down": 1.0}]))
        lines.append(line)
    lines[0] |= {"channel": "a", "market": "x"}
    selects = [
        {"channel": "a"},
        {"market": "x"},
        {"channel": "a", "market": "x"},
        {"channel": ["a"], "market": ["x"]},
    ]
    shares = [
        {
            "select": draw(st.sampled_from(selects)),
            "min": 0.1 * index,
            "max": 0.7 + 0.1 * index,
            "name": f"s{index}",
        }
        for index in range(draw(st.integers(0, 2)))
    ]
    spend = [max(0.0, line["current"] + draw(near)) for line in lines]
    total = sum(spend) + draw(st.sampled_from([0.0, 0.0, 0.0, -10.0, 10.0]))
    budget = {draw(st.sampled_from(["total", "max"])): max(total, 0.0)}
    change = {"up": draw(st.sampled_from([0.5, 2.0, 100.0])), "down": draw(st.sampled_from([0.5, 1.0]))}
    return {"lines": lines, "constraints": {"budget": budget, "change": change, "shares": shares}}, spend


@given(ruled())
@settings(max_examples=300)
def test_the_polyhedron_lets_through_just_the_plans_that_keep_every_rule(case):
    data, spend = case
    polyhedron = scenario(data["constraints"], data["lines"]).polyhedron
    assert bool(np.all(polyhedron.slack(np.array(spend)) >= -1e-9)) == keeps(data, spend)


@given(ruled())
def test_the_box_holds_every_plan_let_through(case):
    data, spend = case
    lower, upper = scenario(data["constraints"], data["lines"]).polyhedron.box()
    if keeps(data, spend):
        assert np.all(lower <= np.array(spend) + 1e-9)
        assert np.all(upper >= np.array(spend) - 1e-9)
