"""Variants: what is merged how, on whose scale, and where faults are found in files."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from conftest import make_model, make_scenario, scenario_on_file

import optimizer as opt

FILE = """\
name: base
currency: EUR
horizon: {start: 2026-01-05, periods: 4}
lines:
  - {name: a, current: 500, max: 1000}
  - {name: b, current: 500, max: 1000}
kpis:
  sales: {direction: maximize, unit: things}
  fame: {direction: maximize, unit: points}
response:
  sales:
    a: {curve: {kind: hill, scale: 9, half: 90}}
    b: {curve: {kind: hill, scale: 3, half: 80}}
  fame:
    a: none
    b: {curve: {kind: hill, scale: 5, half: 60}}
constraints:
  budget: {total: 1000}
  reserve: 10
preferences:
  weights: {sales: 0.7, fame: 0.3}
  scale: {sales: payoff, fame: payoff}
  floors: {sales: 1}
claims:
  - {kpi: sales, change: 0.1, tolerance: 0.01}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(FILE)
    return tmp_path


@pytest.fixture
def base(folder: Path) -> opt.Scenario:
    return opt.Scenario.load(folder / "base.yaml")


def written(folder: Path, text: str) -> Path:
    (folder / "variants.yaml").write_text(dedent(text))
    return folder / "variants.yaml"


def test_a_budget_multiplies_and_all_else_stays(base: opt.Scenario) -> None:
    more = base.variant("more", budget=1.1)
    assert more.name == "more"
    assert more.spec.constraints.budget.total == pytest.approx(1100.0)
    assert more.spec.constraints.reserve == 10.0
    assert more.spec.preferences == base.spec.preferences
    assert more.spec.claims == []
    assert more.base is base


def test_what_is_said_replaces_and_none_takes_out(base: opt.Scenario) -> None:
    said = base.variant(
        "other",
        preferences={"targets": {"sales": 20.0, "fame": 9.0}, "floors": {"fame": 2.0, "sales": None}},
        constraints={"reserve": None, "change": {"up": 0.5}},
        response={"sales": {"a": "none"}},
    )
    assert said.spec.preferences.mode == "targets"
    assert said.spec.preferences.weights == {}
    assert said.spec.preferences.floors == {"fame": 2.0}
    assert said.spec.constraints.reserve == 0.0
    assert said.spec.constraints.change.up == 0.5
    assert said.spec.response.curves["sales"]["a"] == "none"
    assert said.spec.response.curves["sales"]["b"] == base.spec.response.curves["sales"]["b"]


@pytest.mark.parametrize(
    "changed",
    [
        {"budget": 2.0},
        {"constraints": {"change": {"up": 0.1, "down": 0.1}}},
        {"response": {"sales": {"a": "none"}}},
        {"preferences": {"weights": {"sales": 0.1, "fame": 0.9}}},
    ],
)
def test_a_variant_is_on_the_scale_of_its_base(base: opt.Scenario, changed: dict) -> None:
    own = opt.solve(base).scenario.spec.preferences.scale
    assert opt.solve(base.variant("v", **changed)).scenario.spec.preferences.scale == own


def test_a_scale_that_only_the_variant_asks_for_is_computed_on_the_base() -> None:
    data = make_scenario(3, 2, changes={"preferences": {"exchange": [{"kpi0": 1.0, "kpi1": 2.0}]}})
    base = opt.Scenario.from_dict(data)
    said = {"weights": {"kpi0": 1.0, "kpi1": 1.0}, "scale": {"kpi0": "payoff", "kpi1": "payoff"}}
    twin = opt.Scenario.from_dict(data | {"preferences": said})
    found = opt.solve(base.variant("v", budget=1.5, preferences=said)).scenario.spec.preferences.scale
    assert found == opt.solve(twin).scenario.spec.preferences.scale


def test_an_unresolved_scale_of_the_base_counts_in_the_hash(base: opt.Scenario) -> None:
    rich = opt.Scenario.from_dict(base.resolved()).variant("base", budget=3.0)
    one = rich.variant("v", budget=1 / 3)
    other = base.variant("v", budget=1.0)
    assert one.spec.constraints == other.spec.constraints
    assert one.hash != other.hash
    with pytest.raises(opt.SpecError, match="not yet computed"):
        other.resolved()
    solved = opt.solve(other).scenario
    assert opt.Scenario.from_dict(solved.resolved()).hash == solved.hash


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"budget": 0.0}, "budget"),
        ({"budget": 1.1, "constraints": {"budget": {"max": 5.0}}}, "both"),
        ({"preferences": {"scale": {"sales": [0.0, 9.0]}}}, "another scale"),
        ({"preferences": {"weights": {"nothing": 1.0}}}, "nothing"),
        ({"preferences": {"floors": 3}}, "fields and values"),
        ({"response": {"sales": {"nowhere": "none"}}}, "nowhere"),
    ],
)
def test_bad_overrides_are_refused(base: opt.Scenario, changed: dict, message: str) -> None:
    with pytest.raises(opt.SpecError, match=message):
        base.variant("v", **changed)


def test_another_response_file(tmp_path: Path) -> None:
    base = scenario_on_file(tmp_path, make_model())
    make_model(seed=3).save(tmp_path / "other.nc")
    other = base.variant("other", response={"file": "other.nc"})
    assert (other.response.scale != base.response.scale).any()
    assert other.variant("third", budget=1.5).base is other


def test_a_file_of_one_variant(folder: Path) -> None:
    file = written(folder, "base: base.yaml\nname: more\nbudget: 1.2\n")
    found = opt.Scenario.load(file)
    assert (found.name, found.spec.constraints.budget.total) == ("more", 1200.0)
    assert [scenario.name for scenario in opt.Scenario.load_all(file)] == ["base", "more"]
    assert [scenario.name for scenario in opt.Scenario.load_all(folder / "base.yaml")] == ["base"]


def test_a_file_of_variants_and_a_grid(folder: Path) -> None:
    file = written(
        folder,
        """\
        base: base.yaml
        variants:
          - {name: more, budget: 1.2}
        grid:
          budget: [0.9, 1]
          preferences:
            as stated: {}
            fame: {weights: {sales: 0.1, fame: 0.9}}
        """,
    )
    found = opt.Scenario.load_all(file)
    assert [scenario.name for scenario in found] == [
        "base",
        "more",
        "budget 0.9, as stated",
        "budget 0.9, fame",
        "budget 1, as stated",
        "budget 1, fame",
    ]
    assert found[3].spec.constraints.budget.total == 900.0
    assert found[3].spec.preferences.weights["fame"] == 0.9
    with pytest.raises(opt.SpecError, match="several"):
        opt.Scenario.load(file)


@pytest.mark.parametrize(
    ("text", "line", "path", "message"),
    [
        ("base: base.yaml\nname: v\nbudget: -1\n", 3, "budget", "greater"),
        ("base: base.yaml\nname: v\npreference: {}\n", 3, "preference", "unknown field"),
        ("base: base.yaml\n", 1, "", "either"),
        ("base: base.yaml\ngrid: {}\n", 2, "grid", "empty"),
        ("base: base.yaml\nname: v\nvariants:\n  - {name: w}\n", 1, "", "either"),
        ("base: base.yaml\nbudget: 2\nvariants:\n  - {name: w}\n", 2, "budget", "beside"),
        ("base: base.yaml\nvariants:\n  - {name: w}\n  - {name: w}\n", 2, "variants", "two variants"),
        (
            "base: base.yaml\nvariants:\n  - name: w\n    preferences:\n      weights: {nothing: 1}\n",
            5,
            "variants[0].preferences.weights.nothing",
            "unknown KPI",
        ),
        (
            "base: base.yaml\ngrid:\n  response:\n    weak:\n      sales:\n        a: {curve: {kind: hill}}\n",
            6,
            "grid.response.weak.sales.a.curve.scale",
            "missing",
        ),
        (
            "base: base.yaml\nname: v\npreferences:\n  scale: {sales: [1, 9]}\n",
            4,
            "preferences.scale.sales",
            "another scale",
        ),
    ],
)
def test_faults_are_found_where_they_stand(folder: Path, text: str, line: int, path: str, message: str) -> None:
    from optimizer.errors import field_path

    file = written(folder, text)
    with pytest.raises(opt.SpecError, match=message) as caught:
        opt.Scenario.load_all(file)
    assert (caught.value.line, field_path(caught.value.path)) == (line, path)
    assert caught.value.file == str(file)


def test_a_fault_that_the_base_says_is_found_in_the_base(folder: Path) -> None:
    (folder / "base.yaml").write_text(FILE.replace("unit: points", "unit: 3"))
    file = written(folder, "base: base.yaml\nname: v\nbudget: 2\n")
    with pytest.raises(opt.SpecError) as caught:
        opt.Scenario.load(file)
    assert (caught.value.file, caught.value.line) == (str(folder / "base.yaml"), 9)


def test_a_fault_between_the_two_names_the_variant(folder: Path) -> None:
    file = written(folder, "base: base.yaml\nname: v\nbudget: 0.001\n")
    with pytest.raises(opt.SpecError, match=r"reserve 10 is above the budget 1 \(in the variant 'v'\)") as caught:
        opt.Scenario.load(file)
    assert (caught.value.file, caught.value.line) == (str(folder / "base.yaml"), 19)


def test_a_base_is_no_variant_itself(folder: Path) -> None:
    file = written(folder, "base: variants.yaml\nname: v\n")
    with pytest.raises(opt.SpecError, match="a variant itself"):
        opt.Scenario.load(file)


def test_a_response_file_is_looked_for_beside_the_variant(tmp_path: Path) -> None:
    from optimizer.report.files import yaml_text

    below, above = tmp_path / "below", tmp_path / "above"
    below.mkdir()
    above.mkdir()
    base = scenario_on_file(below, make_model())
    (below / "base.yaml").write_text(yaml_text(base.resolved()))
    make_model(seed=3).save(above / "other.nc")
    (above / "v.yaml").write_text("base: ../below/base.yaml\nname: v\nresponse: {file: other.nc}\n")
    assert (opt.Scenario.load(above / "v.yaml").response.scale != base.response.scale).any()


def test_a_grid_that_is_too_large(folder: Path) -> None:
    budgets = ", ".join(f"{1 + i / 10000}" for i in range(1001))
    with pytest.raises(opt.SpecError, match="more than 1000"):
        opt.Scenario.load_all(written(folder, f"base: base.yaml\ngrid:\n  budget: [{budgets}]\n"))
