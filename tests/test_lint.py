"""The linter: one change to a sound scenario trips one rule, and what is shipped trips none."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from optimizer import Scenario
from optimizer.errors import field_path
from optimizer.lint import Finding, lint
from optimizer.reach import Reach

ROOT = Path(__file__).parents[1]
SHIPPED = [*sorted((ROOT / "scenarios").glob("*.yaml")), ROOT / "optimizer" / "starter.yaml"]

DEFINED = {"goal": "grow", "source": "crm", "calculation": "a count", "owner": "Ana", "so_what": "it pays"}
SOUND: dict[str, Any] = {
    "name": "sound",
    "currency": "EUR",
    "horizon": {"start": "2026-01-05", "periods": 4},
    "lines": [{"name": "search", "current": 600}, {"name": "video", "current": 400}],
    "kpis": {
        "orders": {
            **DEFINED,
            "direction": "maximize",
            "level": "outcome",
            "horizon": "distal",
            "target": {"level": 20, "deadline": "2026-02-01"},
        },
        "leads": {
            **DEFINED,
            "direction": "maximize",
            "level": "output",
            "horizon": "proximal",
            "proxy_for": "orders",
        },
        "cost_per_order": {"direction": "minimize", "ratio": ["spend", "orders"], "so_what": "we pay it"},
    },
    "response": {
        "orders": {
            "search": {"curve": {"kind": "hill", "scale": 10, "half": 100}},
            "video": {"curve": {"kind": "hill", "scale": 8, "half": 150}},
        },
        "leads": {
            "search": {"curve": {"kind": "hill", "scale": 20, "half": 100}},
            "video": {"curve": {"kind": "hill", "scale": 90, "half": 150}},
        },
    },
    "constraints": {"budget": {"total": 1000}},
    "preferences": {
        "weights": {"orders": 0.8, "leads": 0.2},
        "scale": {"orders": [20, 60], "leads": [0, 200]},
        "floors": {"cost_per_order": 60},
    },
}

Edit = Callable[[dict[str, Any]], None]


def scenario(*edits: Edit) -> Scenario:
    data = copy.deepcopy(SOUND)
    for edit in edits:
        edit(data)
    return Scenario.from_dict(data)


def kpi(name: str, **fields: Any) -> Edit:
    """Change fields of one KPI; None removes one."""

    def edit(data: dict[str, Any]) -> None:
        changed = data["kpis"].setdefault(name, {}) | fields
        data["kpis"][name] = {key: value for key, value in changed.items() if value is not None}

    return edit


def monitors(number: int) -> Edit:
    def edit(data: dict[str, Any]) -> None:
        for index in range(number):
            data["kpis"][f"extra{index}"] = {"sum": ["orders", float(index)]}

    return edit


def more_objectives(*names: str) -> Edit:
    def edit(data: dict[str, Any]) -> None:
        for name in names:
            add(data, name)

    def add(data: dict[str, Any], name: str) -> None:
        data["kpis"][name] = {**DEFINED, "direction": "maximize", "level": "outcome", "product": [2.0, "orders"]}
        data["preferences"]["weights"][name] = 1.0
        data["preferences"]["scale"][name] = [0, 200]

    return edit


def no_floors(data: dict[str, Any]) -> None:
    del data["preferences"]["floors"]
    data["kpis"]["cost_per_order"]["role"] = "monitor"


def no_cost(data: dict[str, Any]) -> None:
    del data["kpis"]["cost_per_order"]
    data["preferences"]["floors"] = {"leads": 1}


def unprovable_target(data: dict[str, Any]) -> None:
    """A product of two KPIs: no route proves its best plan."""
    product = {"product": ["leads", "orders"], "direction": "maximize", "role": "monitor"}
    data["kpis"]["visits"] = product | {"target": {"level": 1e9}}


def odd_package(data: dict[str, Any]) -> None:
    data["lines"][0]["package"] = data["lines"][0]["current"] * 0.3


def growth_from_nothing(data: dict[str, Any]) -> None:
    for line in data["lines"]:
        line["current"] = 0
    data["kpis"]["leads"]["target"] = {"growth": 0.1}


COST_TWICE = {"direction": "minimize", "role": "guardrail", "ratio": ["spend", "leads"], "so_what": "dear leads"}

WAIVED = {"verdict": "contradicted", "waived_by": "Ana", "reason": "until orders are matched to leads"}
BROKEN: list[tuple[str, str, Edit, str]] = [
    ("no-outcome-path", "error", kpi("leads", proxy_for=None, horizon="distal"), "kpis.leads.level"),
    ("no-proxy-for", "error", kpi("orders", horizon="proximal"), "kpis.orders.horizon"),
    ("contradicted-proxy", "error", kpi("leads", proxy={"verdict": "contradicted"}), "kpis.leads.proxy"),
    ("waived-proxy", "warning", kpi("leads", proxy=WAIVED), "kpis.leads.proxy"),
    ("unsupported-proxy", "warning", kpi("leads", proxy={"verdict": "weak"}), "kpis.leads.proxy"),
    ("no-level", "warning", kpi("orders", level=None), "kpis.orders.level"),
    ("no-guard", "warning", no_floors, "kpis"),
    ("guardrail-without-floor", "warning", kpi("cost_per_order_2", **COST_TWICE), "kpis.cost_per_order_2.role"),
    ("too-many-objectives", "warning", more_objectives("double", "triple"), "preferences"),
    ("too-many-kpis", "warning", monitors(9), "kpis"),
    ("no-so-what", "warning", kpi("leads", so_what=None), "kpis.leads.so_what"),
    ("no-so-what", "warning", kpi("cost_per_order", so_what=" "), "kpis.cost_per_order.so_what"),
    (
        "deadline-before-end",
        "warning",
        kpi("orders", target={"level": 20, "deadline": "2026-01-31"}),
        "kpis.orders.target.deadline",
    ),
    ("delay-beyond-end", "warning", kpi("leads", delay=4), "kpis.leads.delay"),
    ("lag-without-delay", "note", kpi("leads", lag=2), "kpis.orders.delay"),
    ("target-unreachable", "warning", kpi("orders", target={"level": 80}), "kpis.orders.target"),
    ("target-undecided", "note", growth_from_nothing, "kpis.leads.target"),
    ("target-undecided", "note", unprovable_target, "kpis.visits.target"),
    ("current-not-in-packages", "warning", odd_package, "lines[0].package"),
    ("incomplete-definition", "note", kpi("orders", owner=None), "kpis.orders"),
    ("cost-not-counted", "note", no_cost, "kpis"),
]


def test_the_sound_scenario_is_clean() -> None:
    assert lint(scenario()) == ()


@pytest.mark.parametrize(
    ("rule", "level", "edit", "path"), BROKEN, ids=[f"{c[0]}-{i}" for i, c in enumerate(BROKEN)]
)
def test_one_change_trips_one_rule(rule: str, level: str, edit: Edit, path: str) -> None:
    found = lint(scenario(edit))
    assert [(one.rule, one.level, field_path(one.path)) for one in found] == [(rule, level, path)]


def test_every_rule_has_a_broken_case() -> None:
    source = (ROOT / "optimizer" / "lint.py").read_text(encoding="utf-8")
    rules = set(re.findall(r'"(?:error|warning|note)",\s*"([a-z]+-[a-z-]+)"', source))
    assert rules == {rule for rule, *_ in BROKEN}


@pytest.mark.parametrize(
    "edit",
    [
        kpi("leads", proxy_for=None, waiver="agreed with the board until leads are matched to orders"),
        kpi("leads", proxy_for=None, horizon=None, level="outcome"),
        kpi("cost_per_order", role="counter"),
        monitors(8),
        more_objectives("double"),
        kpi("orders", target={"level": 20, "deadline": "2027-02-01"}),
        kpi("orders", target={"band": [20, 60]}),
        kpi("orders", target={"level": 20, "run": 3}),
    ],
    ids=["waiver", "outcome", "counter", "eleven", "three", "late", "band", "run"],
)
def test_what_no_rule_objects_to(edit: Edit) -> None:
    assert lint(scenario(edit)) == ()


def test_a_lag_that_the_delays_say_too_is_no_finding() -> None:
    delays = kpi("leads", lag=2, delay=1), kpi("orders", delay=3, target={"level": 1})
    assert lint(scenario(*delays)) == ()


def test_what_comes_too_late_is_no_finding_where_it_counts() -> None:
    def counted(data: dict[str, Any]) -> None:
        data["carry_out"] = True

    assert lint(scenario(kpi("leads", delay=9), counted)) == ()


def test_a_part_of_an_outcome_leads_to_it() -> None:
    def part(data: dict[str, Any]) -> None:
        data["kpis"]["leads"] |= {"horizon": "distal"}
        del data["kpis"]["leads"]["proxy_for"]
        data["kpis"]["all_leads"] = {"sum": ["leads", 10.0]}
        data["kpis"]["contacts"] = {"product": ["all_leads", 2.0], "level": "outcome"}

    assert lint(scenario(part)) == ()


def test_a_chain_of_proxies_that_ends_in_an_output() -> None:
    def chain(data: dict[str, Any]) -> None:
        data["kpis"]["leads"]["proxy_for"] = "calls"
        data["kpis"]["calls"] = {"sum": ["leads", 1.0], "level": "output"}
        data["kpis"]["visits"] = {"sum": ["calls", 1.0], "proxy_for": "leads"}

    (found,) = lint(scenario(chain))
    assert (found.rule, found.path) == ("no-outcome-path", ("kpis", "leads", "level"))
    assert "'leads' stands for 'calls', an output" in found.message


def test_a_floor_under_an_objective_guards_it_against_the_others() -> None:
    def floor(data: dict[str, Any]) -> None:
        no_floors(data)
        data["preferences"]["floors"] = {"orders": 1}

    assert lint(scenario(floor)) == ()


def test_a_floor_under_the_only_objective_guards_nothing_else() -> None:
    def alone(data: dict[str, Any]) -> None:
        no_floors(data)
        data["kpis"]["leads"]["role"] = "monitor"
        data["kpis"]["orders"]["role"] = "objective"
        data["preferences"] = {"floors": {"orders": 1}}

    assert [finding.rule for finding in lint(scenario(alone))] == ["no-guard"]


def test_errors_come_first_and_say_where_and_why() -> None:
    found = lint(scenario(kpi("orders", owner=None), kpi("leads", proxy_for=None, so_what="")))
    assert [finding.level for finding in found] == ["error", "error", "warning", "note"]
    assert str(found[0]).startswith("error [no-outcome-path] kpis.leads.level: 'leads' is an output, and nothing")


def test_reaches_at_hand_are_not_worked_out_again() -> None:
    reach = Reach("orders", "unreachable", 20.0, 10.0, "unreachable: best is 50 % of it")
    (found,) = lint(scenario(), [reach])
    message = "the target of 'orders' is unreachable: best is 50 % of it"
    assert found == Finding("warning", "target-unreachable", message, ("kpis", "orders", "target"))


def test_without_any_plan_the_other_rules_still_speak() -> None:
    def impossible(data: dict[str, Any]) -> None:
        data["lines"][0]["max"] = data["lines"][1]["max"] = 100
        data["kpis"]["leads"]["so_what"] = ""

    assert [finding.rule for finding in lint(scenario(impossible))] == ["no-so-what"]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_what_is_shipped_is_clean(file: Path) -> None:
    found = lint(Scenario.load(file))
    assert [str(finding) for finding in found if finding.level != "note"] == []
