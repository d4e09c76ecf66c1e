"""One broken fixture for each rule; everything wrong with a file in one report; a sound file has no findings."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from peer_files import PEERS, needs

from optimizer import DataError, OptimizerError, SpecError, documents
from optimizer.cli import main
from optimizer.evidence.checks import Report, check
from optimizer.evidence.history import FitSpec, load_history

WEEKS = 60
TODAY = date(2024, 3, 4)
CONFIG = """\
date: week
period: week
currency: EUR
lines:
  tv: {spend: tv_cost}
  search: {spend: search_cost}
kpis:
  sales: {column: sales}
  clicks: {column: clicks}
controls: [price]
season: 0
draws: 20
checks: {currency: money, at_most: {sales: clicks}, recorded: {sales: counted_on}}
"""
LONG = """\
date: week
period: week
long: {line: channel, spend: cost}
lines:
  tv: {rows: TV}
  search: {rows: SEA}
kpis:
  sales: {column: sales}
season: 0
draws: 20
"""


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    start = date(2023, 1, 2)
    days = [start + timedelta(days=7 * i) for i in range(WEEKS)]
    return pd.DataFrame(
        {
            "week": [day.isoformat() for day in days],
            "tv_cost": rng.uniform(100, 200, WEEKS).round(2),
            "search_cost": rng.uniform(10, 90, WEEKS).round(2),
            "sales": rng.uniform(1000, 1200, WEEKS).round(1),
            "clicks": rng.uniform(3000, 4000, WEEKS).round(),
            "price": rng.uniform(9, 11, WEEKS).round(2),
            "money": "EUR",
            "counted_on": [(day + timedelta(days=8)).isoformat() for day in days],
        }
    )


def long_frame() -> pd.DataFrame:
    table = frame()
    parts = [
        table[["week", "sales"]].assign(channel=label, cost=table[column])
        for label, column in (("TV", "tv_cost"), ("SEA", "search_cost"))
    ]
    return pd.concat(parts).sort_values("week", kind="stable").reset_index(drop=True)


def report(folder: Path, table: pd.DataFrame, config: str = CONFIG, *, today: date = TODAY) -> Report:
    table.to_csv(folder / "h.csv", index=False)
    (folder / "fit.yaml").write_text(config)
    return check(folder / "h.csv", folder / "fit.yaml", today=today)


def at(table: pd.DataFrame, rows: list[int], column: str, value: Any) -> pd.DataFrame:
    """Put a value into lines of the file, counted from 1."""
    found = table.astype({column: object})
    found.loc[[row - 2 for row in rows], column] = value
    return found


def test_a_sound_file_has_no_findings(tmp_path: Path) -> None:
    for table, config in ((frame(), CONFIG), (long_frame(), LONG)):
        found = report(tmp_path, table, config)
        assert found.findings == ()
        assert not found.failed
        assert found.rows == len(table)


BROKEN: dict[str, tuple[Any, str, str, tuple[int, ...], str]] = {
    "missing column": (lambda t: t.drop(columns="tv_cost"), "error", "schema", (), "no column 'tv_cost'"),
    "text": (lambda t: at(t, [5, 9], "sales", "many"), "error", "schema", (5, 9), "'many' is not a number"),
    "bad date": (lambda t: at(t, [61], "week", "2024-02-31"), "error", "schema", (61,), "is not a date"),
    "blank": (lambda t: at(t, [4, 8], "tv_cost", None), "error", "blank", (4, 8), "the cell is blank"),
    "na": (lambda t: at(t, [4], "clicks", "na"), "error", "blank", (4,), "the cell is blank"),
    "negative": (lambda t: at(t, [3], "tv_cost", -5), "error", "negative", (3,), "negative spend -5"),
    "twice": (lambda t: pd.concat([t, t.iloc[[7, 8]]]), "error", "duplicate", (62, 63), "2023-02-20 stands twice"),
    "gap": (lambda t: t.drop(index=[10, 30]), "error", "gap", (12, 31), "14 days apart, not 7"),
    "alignment": (lambda t: at(t, [61], "week", "2024-02-13"), "error", "alignment", (61,), "is a Tuesday"),
    "future": (
        lambda t: at(t, [61], "week", "2024-03-11"),
        "error",
        "leakage",
        (61,),
        "2024-03-11 is after the decision on 2024-03-04",
    ),
    "recorded": (
        lambda t: at(t, [60, 61], "counted_on", "2024-03-20"),
        "error",
        "leakage",
        (60, 61),
        "'sales' was recorded on 2024-03-20",
    ),
    "ratio": (lambda t: at(t, [6, 7], "sales", 9999), "error", "ratio", (6, 7), "sales (9999) is above clicks"),
    "currency": (lambda t: at(t, [2], "money", "USD"), "error", "currency", (2,), "'USD', not EUR"),
    "never on": (lambda t: t.assign(tv_cost=0), "error", "constant", (), "no spend in any week"),
    "flat KPI": (lambda t: t.assign(sales=5), "error", "constant", (), "KPI 'sales' never varies"),
    "flat control": (lambda t: t.assign(price=5), "error", "constant", (), "control 'price' never varies"),
    "fixed": (lambda t: t.assign(tv_cost=5), "warning", "fixed", (), "always spends 5"),
    "off": (
        lambda t: at(t, [57, 58, 59, 60, 61], "tv_cost", 0),
        "warning",
        "off",
        (57, 58, 59, 60, 61),
        "'tv' is off since 2024-01-22, for 5 weeks",
    ),
    "proxy": (lambda t: t.assign(price=2 * t["sales"] + 1), "warning", "proxy", (), "exactly as KPI 'sales'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_rule(tmp_path: Path, name: str) -> None:
    change, level, rule, rows, words = BROKEN[name]
    found = report(tmp_path, change(frame()))
    (one,) = [finding for finding in found.findings if finding.rule == rule]
    assert (one.level, one.rows) == (level, rows)
    assert words in str(one)
    assert one.hint
    assert found.failed == (level == "error")
    if rows:
        assert f"h.csv:{rows[0]}: " in one.place
    # Only gaps follow from a date that is wrong.
    others = {finding.rule for finding in found.findings} - {rule}
    assert others <= ({"gap"} if name in ("future", "bad date") else set())


def test_old_data_are_told(tmp_path: Path) -> None:
    (one,) = report(tmp_path, frame(), today=date(2024, 4, 1)).findings
    assert (one.level, one.rule) == ("warning", "fresh")
    assert "the data end with 2024-02-19, 5 weeks before 2024-04-01" in one.message
    stated = CONFIG.replace("checks: {", "checks: {decision: 2024-02-27, ")
    assert report(tmp_path, frame(), stated.replace(", recorded: {sales: counted_on}", "")).findings == ()


def test_stated_blanks_are_listed_not_silent(tmp_path: Path) -> None:
    config = CONFIG.replace("{spend: tv_cost}", "{spend: tv_cost, blank: zero}")
    (one,) = report(tmp_path, at(frame(), [4, 8], "tv_cost", None), config).findings
    assert (one.level, one.rule, one.rows) == ("note", "blank", (4, 8))
    assert "as 'blank: zero' asks" in one.message


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        (lambda t: t.drop(index=[4]), "gap", "'tv' has no row on 2023-01-16"),
        (lambda t: pd.concat([t, t.iloc[[7]]]), "duplicate", "2023-01-23 stands twice for 'SEA'"),
        (lambda t: at(t, [3], "sales", 1), "same", "differs within 2023-01-02"),
        (lambda t: t.assign(channel=t["channel"].replace("SEA", "Search")), "schema", "no row has 'SEA'"),
        (lambda t: at(t, [3], "cost", -1), "negative", "negative spend -1"),
    ],
)
def test_long_files(tmp_path: Path, change: Any, rule: str, words: str) -> None:
    found = report(tmp_path, change(long_frame()), LONG)
    said = [str(finding) for finding in found.findings if finding.rule == rule]
    assert any(words in text for text in said), found.findings


def test_rows_that_no_line_names_do_not_count(tmp_path: Path) -> None:
    extra = long_frame().iloc[[0]].assign(channel="OOH", cost=-9.0)
    found = report(tmp_path, pd.concat([long_frame(), extra]), LONG)
    (one,) = found.findings
    assert (one.level, one.message) == ("note", "rows that no line names are left aside (1)")


def test_everything_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = at(at(frame(), [3], "tv_cost", -5), [9], "sales", "many").drop(index=[20])
    table = at(table, [30], "money", "USD").assign(search_cost=0)
    found = report(tmp_path, table)
    assert [finding.rule for finding in found.findings] == ["schema", "negative", "gap", "constant", "currency"]
    assert list(found.table()["rule"]) == [finding.rule for finding in found.findings]
    before = sorted(tmp_path.iterdir())
    assert main(["check", str(tmp_path / "h.csv"), "--config", str(tmp_path / "fit.yaml")]) == 1
    said = capsys.readouterr()
    assert said.err == ""
    for finding in found.findings:
        assert finding.message in said.out
    assert sorted(tmp_path.iterdir()) == before


def test_parquet_counts_rows(tmp_path: Path) -> None:
    table = frame()
    table.loc[4, "tv_cost"] = -1.0
    table.to_parquet(tmp_path / "h.parquet")
    (tmp_path / "fit.yaml").write_text(CONFIG)
    (one,) = check(tmp_path / "h.parquet", tmp_path / "fit.yaml", today=TODAY).findings
    assert (one.rule, one.rows) == ("negative", (5,))
    assert "row 5" in one.place


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("at_most: {sales: clicks}", "at_most: {sales: visits}", "'visits' is no KPI"),
        ("currency: EUR\n", "", "nothing says what the currency should be"),
    ],
)
def test_checks_that_make_no_sense(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        report(tmp_path, frame(), CONFIG.replace(old, new))


def test_what_is_no_table_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "fit.yaml").write_text(CONFIG)
    (tmp_path / "h.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8"):
        check(tmp_path / "h.csv", tmp_path / "fit.yaml")
    with pytest.raises(DataError):
        check(tmp_path, tmp_path / "fit.yaml")


@pytest.mark.parametrize("seed", range(60))
def test_what_a_fit_refuses_is_found(tmp_path: Path, seed: int) -> None:
    """Some cells at random made bad, or rows dropped or doubled: reading and checking agree."""
    rng = np.random.default_rng(seed)
    long = bool(seed % 2)
    table, config = (long_frame(), LONG) if long else (frame(), CONFIG)
    if rng.random() < 0.5:
        config = config.replace("{rows: TV}", "{rows: TV, blank: zero}").replace(
            "tv_cost}", "tv_cost, blank: zero}"
        )
    table = table.astype(object)
    for _ in range(int(rng.integers(0, 3))):
        spot = int(rng.integers(len(table))), int(rng.integers(4))
        table.iloc[spot] = [None, "na", "x", -3, "2023-03-06", 1e300, "1,5", 7.5][int(rng.integers(8))]
    if rng.random() < 0.2:
        table = table.drop(index=int(rng.integers(len(table))))
    if rng.random() < 0.2:
        table = pd.concat([table, table.iloc[[int(rng.integers(len(table)))]]])
    found = report(tmp_path, table, config)
    spec = documents.check(documents.read(tmp_path / "fit.yaml"), FitSpec)
    beyond = {"leakage", "ratio", "currency", "constant"}
    try:
        load_history(tmp_path / "h.csv", spec)
        read = True
    except OptimizerError:
        read = False
    errors = {one.rule for one in found.findings if one.level == "error"}
    assert errors <= beyond if read else found.failed


def test_a_real_brand_has_its_switched_off_lines_named() -> None:
    data = needs(PEERS.parent / "conjura" / "weekly.parquet")
    found = check(data, Path(__file__).parent / "conjura" / "fit.yaml", today=date(2023, 12, 25))
    assert not found.failed
    off = [one.message for one in found.findings if one.rule == "off"]
    assert [message.split(",")[0] for message in off] == [
        "line 'display' is off since 2023-10-30",
        "line 'video' is off since 2023-04-17",
    ]
