"""The report, the charts and the files: one offline page, whose numbers are those of the JSON."""

from __future__ import annotations

import csv
import doctest
import io
import json
import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_scenario
from rich.console import Console
from ruamel.yaml import YAML

import optimizer as opt
from optimizer.report import charts, files, formats, tables
from optimizer.report.figures import Charts, charts_of
from optimizer.report.html import render
from optimizer.report.planning import plan_files
from optimizer.report.view import View

STARTER = Path(__file__).parent.parent / "optimizer" / "starter.yaml"
VOID = {"meta", "br", "img", "input", "link", "hr", "wbr"}
EVIL = "<img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """What a browser would make of a report: elements, texts, and the values behind its numbers."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.values: list[tuple[float, str]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "data":
            self.values.append((float(str(dict(attrs)["value"])), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] == "data":
            self.values[-1] = (self.values[-1][0], data)


def _starter(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = YAML(typ="safe", pure=True).load(STARTER)
    return {**data, **changes}


def _with_draws(directory: Path, data: dict[str, Any]) -> opt.Scenario:
    """Give a scenario's curves 40 draws, a baseline, observed spend and history, as a fit would."""
    model = opt.Scenario.from_dict(data).response
    random = np.random.default_rng(1)
    n_draws, n_kpis, n_lines = 40, len(model.kpis), len(model.lines)

    def drawn(values: Any, spread: float) -> Any:
        return values * np.exp(random.normal(0.0, spread, (n_draws, *values.shape[1:])))

    current = np.array([line["current"] for line in data["lines"]]) / 13
    baseline = np.array([data["kpis"][name].pop("baseline") for name in model.kpis]) / 13
    replace(
        model,
        scale=drawn(model.scale, 0.2),
        first=drawn(model.first, 0.2),
        second=np.ones((n_draws, n_kpis, n_lines)),
        rate=np.repeat(model.rate, n_draws, axis=0),
        baseline=drawn(np.repeat(baseline[None, :, None], 13, axis=2), 0.02),
        observed=np.stack([0.5 * current, 1.2 * current], axis=1),
        history=np.repeat(current[:, None], 8, axis=1),
        start=date(2026, 3, 2),
        period="week",
        notes=("The data cannot tell tv and online_video apart.",),
        attributes={"method": "made up", "seed": 1},
    ).save(directory / "fitted.nc")
    return opt.Scenario.from_dict({**data, "response": {"file": "fitted.nc"}}, directory)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> View:
    """A plan and a front of a scenario with draws, whose texts try to be markup."""
    data = _starter(name=f"Spring {EVIL} & “more”", notes=["<script>alert(2)</script>"])
    data["kpis"]["orders"]["goal"] = EVIL
    data["kpis"]["awareness"]["unit"] = EVIL
    data["lines"][0]["channel"] = "=HYPERLINK(1)"
    scenario = _with_draws(tmp_path_factory.mktemp("drawn"), data)
    return View(opt.solve(scenario), scenario, opt.frontier(scenario))


@pytest.fixture(scope="module")
def page(drawn: View) -> Page:
    return Page(render(drawn))


@pytest.fixture(scope="module")
def single() -> View:
    """A plan of the starter as it is: one draw, no front."""
    scenario = opt.Scenario.load(STARTER)
    return View(opt.solve(scenario), scenario)


def _numbers(data: Any) -> set[float]:
    if isinstance(data, dict):
        return set().union(*map(_numbers, data.values()), set())
    if isinstance(data, list):
        return set().union(*map(_numbers, data), set())
    return {float(data)} if isinstance(data, int | float) else set()


def test_every_number_is_in_the_json(drawn: View, page: Page) -> None:
    found = _numbers(json.loads(files.json_text(drawn.data)))
    found |= _numbers(json.loads(files.json_text(drawn.front_data or {})))
    assert len(page.values) > 100
    assert {value for value, _ in page.values} <= found


def test_numbers_are_rounded_for_display_only(page: Page) -> None:
    for value, text in page.values:
        match = re.fullmatch(r"([+-]?[\d,]+(?:\.\d+)?(?:e-?\d+)?)( %)?", text)
        if match is None:
            assert text in ("> 99 %", "< 1 %")
            continue
        shown = float(match[1].replace(",", "")) / (100 if match[2] else 1)
        assert (
            shown == pytest.approx(value, rel=0.006, abs=0.0051 if match[2] else 1e-3 * abs(value) + 1e-6)
            or text == "0"
        )


def test_every_outcome_is_shown_with_its_interval(drawn: View, page: Page) -> None:
    shown = {value for value, _ in page.values}
    outcomes = drawn.plan.outcomes[
        ["current", "expected", "low", "high", "change", "change_low", "change_high", "p_better"]
    ]
    assert set(outcomes.to_numpy().ravel()) <= shown
    assert set(drawn.plan.spend) <= shown


def test_page_is_offline_and_runs_only_its_own_script(page: Page, single: View) -> None:
    tags = {tag for tag, _ in page.elements}
    assert [a.get("type") for tag, a in page.elements if tag == "script"] == ["application/json", None]
    assert "script" not in {tag for tag, _ in Page(render(single)).elements}
    assert not tags & {"link", "iframe", "img", "object", "embed", "image", "use", "foreignobject"}
    for _, attributes in page.elements:
        assert not {"src", "xlink:href", "srcset", "background"} & set(attributes)
        assert str(attributes.get("href", "#")).startswith("#")
        assert not any(name.startswith("on") for name in attributes)
        assert "url(" not in " ".join(str(value) for value in attributes.values())
    policy = [a["content"] for tag, a in page.elements if tag == "meta" and "http-equiv" in a]
    assert policy
    assert str(policy[0]).startswith("default-src 'none'")
    assert re.search(r"script-src 'sha256-[\w+/=]+'$", str(policy[0]))


def test_text_from_files_stays_text(page: Page) -> None:
    assert page.text.count(EVIL) >= 4
    assert "<script>alert(2)</script>" in page.text
    assert "=HYPERLINK(1)" in page.text


def test_charts_are_described_and_carry_no_ids(drawn: View, page: Page) -> None:
    drawings = [a for tag, a in page.elements if tag == "svg" and "aria-hidden" not in a]
    # Five lines for orders, four for awareness (one does nothing for it), and one front; the change of spend; for
    # each of the two KPIs a waterfall, and four charts of returns.
    assert len(drawings) == 10 + 1 + 2 + 8
    for attributes in drawings:
        assert attributes["role"] == "img"
        assert len(str(attributes["aria-label"])) > 40
        assert "viewbox" in attributes
    for group in charts.response_curves(drawn):
        assert all(" id=" not in figure.svg for figure in group.figures)


def test_sections_that_do_not_apply_are_absent(single: View, page: Page) -> None:
    headings = re.findall(r"<h2 id=\"(\w+)\"", render(single))
    assert "front" not in headings
    assert "claims" not in headings
    assert "scale" in headings
    assert {"outcomes", "allocation", "curves", "rules", "kpis", "made", "before"} <= set(headings)
    assert "front" in {a.get("id") for tag, a in page.elements if tag == "h2"}


def test_one_draw_says_that_nothing_has_an_interval(single: View) -> None:
    text = Page(render(single)).text
    assert "no figure has an interval" in text
    assert "90 % interval" not in text


def test_a_report_repeats_byte_for_byte(single: View) -> None:
    assert render(single) == render(View(opt.solve(single.given), single.given))


def test_three_objectives_give_three_charts() -> None:
    data = _starter()
    data["kpis"]["margin"] = {"direction": "maximize", "unit": "EUR", "difference": ["revenue", "spend"]}
    data["kpis"]["revenue"] = {"product": ["orders", 45.0], "unit": "EUR"}
    data["constraints"]["budget"] = {"max": 380000}
    data["preferences"]["weights"] = {"orders": 0.4, "awareness": 0.4, "margin": 0.2}
    data["preferences"]["scale"] = dict.fromkeys(("orders", "awareness", "margin"), "payoff")
    data["preferences"]["floors"] = {"cost_per_order": 40}
    scenario = opt.Scenario.from_dict(data)
    view = View(opt.solve(scenario), scenario, opt.frontier(scenario, tolerance=0.1))
    assert [figure.caption for figure in charts.front_charts(view)] == [
        "orders against awareness",
        "orders against margin",
        "awareness against margin",
    ]
    assert {row["origin"] for row in view.scale} == {"payoff table, without guardrails"}
    # Margin is made of orders and spend: orders are drawn once, and nothing for margin itself.
    assert [group.kpi for group in charts.response_curves(view)] == ["orders", "awareness"]


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"values": {"orders": 45, "awareness": 9000}}, "One unit of awareness is worth 9000 EUR."),
        ({"exchange": [{"orders": 200, "awareness": 1}]}, "200 of orders is worth as much as 1 of awareness."),
        (
            {
                "targets": {"orders": 10700, "awareness": 34},
                "scale": {"orders": [1e4, 1.1e4], "awareness": [32, 38]},
            },
            "The target for orders is 10700.",
        ),
        ({"priorities": [{"kpi": "orders", "slack": 0.02}, "awareness"]}, "Priority 1: orders"),
    ],
    ids=["values", "exchange", "targets", "priorities"],
)
def test_other_ways_to_state_a_trade_off(stated: dict[str, Any], said: str) -> None:
    scenario = opt.Scenario.from_dict(_starter(preferences={**stated, "floors": {"cost_per_order": 40}}))
    view = View(opt.solve(scenario), scenario)
    assert said in Page(render(view)).text
    assert said in _printed(view, 120)


def _printed(view: View, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    tables.print_plan(console, view)
    tables.print_front(console, view)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_the_terminal(drawn: View, width: int) -> None:
    printed = _printed(drawn, width)
    assert max(map(len, printed.splitlines())) <= width
    for line in drawn.scenario.lines:
        assert line in printed
    assert "▲" in printed
    assert "(proven)" in printed


def test_formats() -> None:
    assert doctest.testmod(formats).failed == 0
    assert formats.number(float("nan")) == formats.DASH
    assert formats.number(0.0) == formats.number(-0.0) == "0"
    assert formats.number(999.7) == "1,000"
    assert formats.number(99.96) == "100"
    assert formats.number(123456789.4) == "123,456,789"
    assert formats.number(-0.0123456) == "-0.0123"
    assert formats.percent(12.345, sign=True) == "+1,234 %"
    assert formats.chance(0.123) == "12 %"


@pytest.mark.parametrize(
    ("gap", "said"),
    [
        (0.0, "0.0001 %"),
        (3e-7, "0.0001 %"),
        (1.2e-5, "0.002 %"),
        (0.01, "1 %"),
        (0.011, "2 %"),
        (0.3, "30 %"),
        (0.96, "100 %"),
    ],
)
def test_proofs_round_up(gap: float, said: str) -> None:
    certificate = {"guarantee": "global", "gap": gap, "measure": "policies"}
    assert f"by more than {said} (proven)" in formats.plan_proof(certificate)
    assert f"{said} of the stated scale (proven)" in formats.plan_proof({**certificate, "measure": "scale"})
    assert "(proven)" not in formats.plan_proof({**certificate, "guarantee": "none", "gap": None})


def test_csv_neutralises_formulas_and_keeps_numbers() -> None:
    table = pd.DataFrame(
        {"text": ["=1+1", "-x", "fine", "\tx"], "=number": [-1.5, float("nan"), 0.1, 1e300]},
        index=pd.Index(["@a", "+b", "c", 'd, "e"'], name="line"),
    )
    rows = list(csv.reader(io.StringIO(files.csv_text(table))))
    assert rows == [
        ["line", "text", "'=number"],
        ["'@a", "'=1+1", "-1.5"],
        ["'+b", "'-x", ""],
        ["c", "fine", "0.1"],
        ['d, "e"', "'\tx", "1e+300"],
    ]


def test_json_refuses_what_is_not_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.json_text({"x": float("nan")})


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    files.write_all(tmp_path / "deep" / "out", {"a.txt": "one", "b.txt": "two"})
    files.write_all(tmp_path / "deep" / "out", {"a.txt": "three"})
    found = {path.name: path.read_text() for path in (tmp_path / "deep" / "out").iterdir()}
    assert found == {"a.txt": "three", "b.txt": "two"}


@pytest.fixture(scope="module")
def spread() -> View:
    """A plan that chose its spend by period, with a season to follow."""
    kpi = {"direction": "maximize", "unit": "orders", "season": [0.5, 1.0, 2.0, 1.0]}
    data = make_scenario(2, 1, periods=4, changes={"flighting": "free", "kpis": {"kpi0": kpi}})
    data["lines"][0]["name"] = EVIL
    data["response"]["kpi0"][EVIL] = data["response"]["kpi0"].pop("line0")
    given = opt.Scenario.from_dict(data)
    return View(opt.solve(given), given)


def test_free_flighting_is_shown_by_period(spread: View) -> None:
    page = Page(render(spread))
    assert "When the money is spent" in page.text
    numbers = _numbers(spread.data)
    assert all(value in numbers for value, _ in page.values)
    shown = {value for value, _ in page.values}
    for row in spread.data["flighting"]["spend"].values():
        assert set(row) <= shown
    (figure,) = charts.flighting_chart(spread)
    assert "most in 2026-01-19" in figure.svg
    assert "<img" not in figure.svg
    assert "2026-01-19" in _printed(spread, 80)
    assert max(map(len, _printed(spread, 80).splitlines())) <= 80


def test_charts_are_those_of_the_page_and_can_be_restyled(drawn: View, page: Page) -> None:
    made = charts_of(drawn.plan, drawn.front)
    assert list(made) == [name for name, _ in Charts(drawn).named() if not name.startswith("budgets")]
    assert any(name.startswith("front") for name in made)
    assert not any(name.startswith("front") for name in charts_of(drawn.plan))
    name = next(iter(made))
    restyled = made[name].properties(title="Mine").to_dict()
    assert restyled["title"] == "Mine"
    assert restyled["layer"]


@pytest.mark.parametrize(
    "stated", [{"targets": {"orders": 2000, "awareness": 9}}, {"priorities": ["awareness", "orders"]}]
)
def test_worth_of_lines_is_told_without_weights(stated: dict[str, Any]) -> None:
    """Of two lines that moved and that nothing stops, the next money is worth the same by the implied weights."""
    data = _starter()
    data["kpis"]["cost_per_order"]["role"] = "monitor"
    data["constraints"] = {"budget": data["constraints"]["budget"]}
    data["preferences"] = stated | {"scale": dict.fromkeys(("orders", "awareness"), "payoff")}
    given = opt.Scenario.from_dict(data)
    plan = opt.solve(given)
    view = View(plan, given, explanation=opt.explain(plan))
    free = [
        row["plan"] for row, line in zip(view.data["worth"], view.lines, strict=True) if not line["stopped_by"]
    ]
    assert free == pytest.approx([free[0]] * len(free), rel=1e-2)
    text = Page(render(view)).text
    assert "is worth on the scale, by the weights for which this plan is the best one" in text
    assert View(plan, given).data["worth"] == []


def test_stated_shares_are_shown_by_period(tmp_path: Path) -> None:
    shares = {"line0": [0.7, 0.0, 0.3], "line1": [0.2, 0.3, 0.5]}
    given = opt.Scenario.from_dict(make_scenario(2, 1, periods=3, changes={"flighting": shares}))
    view = View(opt.solve(given), given)
    written = plan_files(view, tmp_path)
    page = Page(str(written["report.html"]))
    assert "spread by the shares stated" in page.text
    assert "spread evenly" not in page.text
    shown = {value for value, _ in page.values}
    for line, share in shares.items():
        spend = view.data["flighting"]["spend"][line]
        assert spend == pytest.approx([part * view.plan.totals[line] for part in share])
        assert set(spend) <= shown
    assert "2026-01-19" in str(written["flighting.csv"])
    assert view.data["flighting"]["periods"] == given.spec.horizon.starts


def test_curves_are_drawn_as_the_plan_spreads_the_money(spread: View) -> None:
    figure = charts.response_curves(spread)[0].figures[1]
    planned = opt.simulate(spread.scenario, spread.plan.spend, by="line")["kpi0"]["line1"].mean()
    (row,) = [row for row in spread.curves if row["line"] == "line1"]
    assert row["plan"]["expected"] == pytest.approx(planned)
    assert figure.words.endswith(f"{formats.number(row['plan']['spend'])} EUR {formats.number(planned)}.")


def test_a_strip_shows_the_largest_of_what_it_draws_together() -> None:
    assert tables._strip([0.0, 1.0, 8.0]) == " ▁█"
    assert tables._strip([0.0] * 40 + [5.0]) == " " * 20 + "█"
    assert tables._strip([0.0, 0.0]) == "  "
