"""HTML for notebooks: text is text, numbers are readable."""

import pandas as pd
from conftest import make_scenario

import optimizer as opt
from optimizer.markup import Block, card

EVIL = '<script>alert("x")</script>'


def test_all_text_is_escaped() -> None:
    table = pd.DataFrame({EVIL: [EVIL]}, index=pd.Index([EVIL], name=EVIL))
    made = card(EVIL, [EVIL], [Block(EVIL, table)])
    assert "<script" not in made
    # Title, sentence, caption, two headings, two cells.
    assert made.count("&lt;script&gt;") == 7


def test_numbers_and_shares() -> None:
    table = pd.DataFrame({"spend": [1234.5], "difference": [3.0], "change": [0.125], "low": [float("nan")]})
    made = card("t", [], [Block("c", table.rename_axis("line"), ("difference",))])
    for text in ("1,234", "+3", "12.5 %", "–"):
        assert f"<td>{text}</td>" in made


def test_long_tables_are_counted_and_empty_ones_absent() -> None:
    made = card("t", [], [Block("long", pd.DataFrame({"a": range(50)})), Block("none", pd.DataFrame({"a": []}))])
    assert "and 20 more rows" in made
    assert "none" not in made


def test_results_show_names_as_written() -> None:
    data = make_scenario(3, 2)
    data["name"] = data["lines"][0]["name"] = EVIL
    for by_line in data["response"].values():
        by_line[EVIL] = by_line.pop("line0")
    scenario = opt.Scenario.from_dict(data)
    plan = opt.solve(scenario)
    compared = opt.compare([scenario, scenario.variant(f"{EVIL} 2", budget=1.2)])
    for made in (scenario, plan, opt.frontier(scenario, tolerance=0.1), compared):
        text = made._repr_html_()
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        assert text.startswith("<div>")
        assert text.count("<table>") == text.count("</table>") >= 2
