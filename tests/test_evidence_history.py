"""History files: what is read, and that every fault is one message naming file and place, with nothing written."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optimizer import documents
from optimizer.errors import DataError, OptimizerError, SpecError
from optimizer.evidence import tabular
from optimizer.evidence.fit import run_fit
from optimizer.evidence.history import FitSpec, load_history

WEEKS = 60
CONFIG = """\
date: week
period: week
lines:
  tv: {spend: tv_cost}
  search: {spend: search_cost}
kpis:
  sales: {column: sales}
season: 0
draws: 20
"""


def frame(weeks: int = WEEKS) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    start = date(2023, 1, 2)
    return pd.DataFrame(
        {
            "week": [(start + timedelta(days=7 * i)).isoformat() for i in range(weeks)],
            "tv_cost": rng.uniform(100, 200, weeks).round(2),
            "search_cost": rng.uniform(10, 90, weeks).round(2),
            "sales": rng.uniform(1000, 1200, weeks).round(1),
            "price": rng.uniform(9, 11, weeks).round(2),
        }
    )


def lines_of(table: pd.DataFrame) -> list[str]:
    return table.to_csv(index=False).splitlines()


def spec_of(text: str = CONFIG) -> FitSpec:
    return documents.check(documents.parse(text), FitSpec)


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def cell(lines: list[str], line: int, column: str, value: str) -> list[str]:
    """Put a value into a line of the file, counted from 1."""
    spot = lines[0].split(",").index(column)
    parts = lines[line - 1].split(",")
    parts[spot] = value
    return [*lines[: line - 1], ",".join(parts), *lines[line:]]


def refused(tmp_path: Path, history: Path, config: str = CONFIG) -> OptimizerError:
    """Run a fit that must fail, and check that it leaves nothing behind."""
    given, out = tmp_path / "fit.yaml", tmp_path / "out"
    given.write_text(config, encoding="utf-8")
    with pytest.raises(OptimizerError) as caught:
        run_fit(history, given, out)
    assert type(caught.value) in (DataError, SpecError)
    assert caught.value.hint
    assert not out.exists()
    return caught.value


def test_reads_csv_in_any_order_of_rows(tmp_path: Path) -> None:
    table = frame()
    lines = lines_of(table)
    history = load_history(write(tmp_path / "h.csv", [lines[0], *lines[:0:-1], ""]), spec_of())
    assert list(history.dates.strftime("%Y-%m-%d")) == list(table["week"])
    np.testing.assert_array_equal(history.spend["tv"], table["tv_cost"])
    np.testing.assert_array_equal(history.kpis["sales"], table["sales"])
    assert history.repairs == ()


@pytest.mark.parametrize("kind", ["text", "datetime", "date"])
def test_parquet_equals_csv(tmp_path: Path, kind: str) -> None:
    table = frame()
    write(tmp_path / "h.csv", lines_of(table))
    if kind == "datetime":
        table["week"] = pd.to_datetime(table["week"])
    elif kind == "date":
        table["week"] = [date.fromisoformat(day) for day in table["week"]]
    table.to_parquet(tmp_path / "h.parquet")
    first, second = (load_history(tmp_path / name, spec_of()) for name in ("h.csv", "h.parquet"))
    pd.testing.assert_frame_equal(first.spend, second.spend)
    pd.testing.assert_frame_equal(first.kpis, second.kpis)


def test_reads_byte_order_mark_quotes_and_exponents(tmp_path: Path) -> None:
    lines = cell(lines_of(frame()), 3, "tv_cost", '" 1.5e2 "')
    path = tmp_path / "h.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert load_history(path, spec_of()).spend["tv"].iloc[1] == 150.0


def test_filter_sum_and_stated_blanks_are_listed(tmp_path: Path) -> None:
    table = frame().assign(brand="a", more=1.0)
    table.loc[4, "tv_cost"] = np.nan
    other = frame().assign(brand="b", more=2.0)
    path = write(tmp_path / "h.csv", lines_of(pd.concat([table, other])))
    text = CONFIG.replace("{spend: tv_cost}", "{spend: tv_cost, blank: zero}")
    text = text.replace("{column: sales}", "{sum: [sales, more]}") + "filter: {brand: a}\n"
    history = load_history(path, spec_of(text))
    assert history.spend["tv"].iloc[4] == 0.0
    np.testing.assert_allclose(history.kpis["sales"], table["sales"] + 1.0)
    assert history.repairs == (
        "the filter keeps 60 of 120 rows",
        "tv: blanks of tv_cost (1) are read as 0, as 'blank: zero' asks",
    )


LONG = (
    CONFIG.replace("spend: tv_cost", "rows: TV").replace("spend: search_cost", "rows: Search")
    + "long: {line: channel, spend: cost}\n"
)


def long_frame() -> pd.DataFrame:
    wide = frame().rename(columns={"tv_cost": "TV", "search_cost": "Search"}).assign(Radio=1.0)
    return wide.melt(["week", "sales", "price"], ["TV", "Search", "Radio"], "channel", "cost")


def test_long_equals_wide(tmp_path: Path) -> None:
    wide = load_history(write(tmp_path / "w.csv", lines_of(frame())), spec_of())
    path = write(tmp_path / "l.csv", lines_of(long_frame()))
    long = load_history(path, spec_of(LONG))
    pd.testing.assert_frame_equal(long.spend, wide.spend)
    pd.testing.assert_frame_equal(long.kpis, wide.kpis)
    assert long.repairs == ("rows of Radio are left aside: no line names them",)


def test_long_faults(tmp_path: Path) -> None:
    table = long_frame()
    missing = write(tmp_path / "a.csv", lines_of(table.drop(index=70)))
    error = refused(tmp_path, missing, LONG)
    assert "'Search' has no row on 2023-03-13" in str(error)
    stated = LONG.replace("{rows: Search}", "{rows: Search, blank: zero}")
    assert "dates without a row (1)" in load_history(missing, spec_of(stated)).repairs[1]
    twice = write(tmp_path / "b.csv", lines_of(pd.concat([table, table.iloc[[3]]])))
    assert "stands twice for 'TV'" in str(refused(tmp_path, twice, LONG))
    table.loc[65, "sales"] = 1.0
    differs = write(tmp_path / "c.csv", lines_of(table))
    assert refused(tmp_path, differs, LONG).line == 67
    unknown = refused(tmp_path, missing, LONG.replace("rows: TV", "rows: Tv"))
    assert "no row has 'Tv'" in str(unknown)
    assert unknown.line == 4


# Line of the file, column, what is written there, and words of the message.
CELLS = [
    (7, "tv_cost", "abc", "'abc' is not a number"),
    (7, "tv_cost", '"1,234.5"', "is not a number"),
    (7, "tv_cost", "1_000", "is not a number"),
    (7, "tv_cost", "£5", "is not a number"),
    (7, "tv_cost", "\x1d9.0", "is not a number"),
    (7, "tv_cost", "٣", "is not a number"),
    (7, "tv_cost", "", "blank"),
    (61, "search_cost", "NaN", "blank"),
    (7, "sales", "na", "blank"),
    (2, "tv_cost", "-0.01", "negative spend"),
    (7, "tv_cost", "inf", "infinite or too large"),
    (7, "sales", "-Infinity", "infinite or too large"),
    (7, "tv_cost", "1e16", "infinite or too large"),
    (7, "sales", "1e999", "infinite or too large"),
    (7, "week", "13/02/2023", "is not a date"),
    (7, "week", "", "is not a date"),
    (7, "week", "2023-02-30", "is not a date"),
    (7, "week", "2023-02-06T13:00", "is not a whole day"),
    (7, "week", "2023-02-08", "9 days apart"),
    (7, "week", "2023-01-30", "stands twice"),
    (61, "week", "2024-03-04", "21 days apart"),
]


@pytest.mark.parametrize(("line", "column", "value", "words"), CELLS)
def test_bad_cells_are_named_by_line(tmp_path: Path, line: int, column: str, value: str, words: str) -> None:
    path = write(tmp_path / "h.csv", cell(lines_of(frame()), line, column, value))
    error = refused(tmp_path, path)
    assert words in error.message
    assert (error.line, error.path, error.file) == (line, (column,), str(path))


@pytest.mark.parametrize(("line", "column", "value", "words"), [c for c in CELLS if c[2] != ""])
def test_bad_cells_of_parquet_are_named_by_row(
    tmp_path: Path, line: int, column: str, value: str, words: str
) -> None:
    table = frame().astype(object)
    table.loc[line - 2, column] = value.strip('"')
    table.astype(str).to_parquet(tmp_path / "h.parquet")
    error = refused(tmp_path, tmp_path / "h.parquet")
    assert words in error.message
    assert f"row {line - 1}:" in error.message


FILES = {
    "empty": (b"", "empty"),
    "blank": (b" \n\n", "empty"),
    "header only": (b"week,tv_cost,search_cost,sales\n", "no rows"),
    "encoding": (
        "week,tv_cost,search_cost,sales\n2023-01-02,1,2,3\n2023-01-09,\xa35,2,3".encode("latin-1"),
        "UTF-8",
    ),
    "utf-16": ("week,tv_cost,search_cost,sales\n".encode("utf-16"), "UTF-8"),
    "NUL": (b"week,tv_cost,search_cost,sales\n2023-01-02,1,2,3\n2023-01-09,1,\x00,3\n", "NUL"),
    "short row": (b"week,tv_cost,search_cost,sales\n2023-01-02,1,2,3\n2023-01-09,1,2\n", "3 cells"),
    "long row": (b"week,tv_cost,search_cost,sales\n2023-01-02,1,2,3\n2023-01-09,1,2,3,4\n", "5 cells"),
    "open quote": (b'week,tv_cost,search_cost,sales\n2023-01-02,1,2,3\n2023-01-09,"1,2,3\n', "not CSV"),
    "column twice": (b"week,tv_cost,search_cost,sales,tv_cost\n2023-01-02,1,2,3,4\n", "twice"),
    "semicolons": (b"week;tv_cost;search_cost;sales\n2023-01-02;1;2;3\n", "no column"),
    "spreadsheet": (b"PK\x03\x04" + b"\x00" * 50, "spreadsheet"),
    "not parquet": (b"PAR1 and nothing else", "Parquet"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_files(tmp_path: Path, name: str) -> None:
    content, words = FILES[name]
    path = tmp_path / "h.csv"
    path.write_bytes(content)
    error = refused(tmp_path, path)
    assert words in error.message
    assert str(path) in str(error)
    if name in ("encoding", "NUL", "short row", "long row", "open quote"):
        assert error.line == 3
    if name == "semicolons":
        assert "semicolons" in error.hint


def test_missing_file_folder_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no such file" in str(refused(tmp_path, tmp_path / "none.csv"))
    assert "directory" in str(refused(tmp_path, tmp_path))
    path = write(tmp_path / "h.csv", lines_of(frame()))
    monkeypatch.setattr(tabular, "ROWS_LIMIT", 10)
    assert "60 rows; at most 10" in str(refused(tmp_path, path))
    monkeypatch.setattr(tabular, "BYTES_LIMIT", 100)
    assert "at most 100" in str(refused(tmp_path, path))


def test_truncated_and_damaged_parquet(tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "whole.parquet")
    raw = (tmp_path / "whole.parquet").read_bytes()
    path = tmp_path / "h.parquet"
    for size in (3, 4, 8, 100, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:size])
        assert "Parquet" in str(refused(tmp_path, path))


def test_parquet_of_unexpected_types(tmp_path: Path) -> None:
    table = frame()
    table["tv_cost"] = [[1.0]] * WEEKS
    table.to_parquet(tmp_path / "h.parquet")
    assert "not a number" in str(refused(tmp_path, tmp_path / "h.parquet"))
    table["tv_cost"] = True
    table.to_parquet(tmp_path / "h.parquet")
    assert "not a number" in str(refused(tmp_path, tmp_path / "h.parquet"))
    table["tv_cost"], table["week"] = 1.0, datetime(2023, 1, 2, 5)
    table.to_parquet(tmp_path / "h.parquet")
    assert "not a whole day" in str(refused(tmp_path, tmp_path / "h.parquet"))


# What replaces what in the config; words of the message; the line of the config.
CONFIGS = [
    ("{spend: tv_cost}", "{spend: tv_csot}", "no column 'tv_csot'", 4),
    ("{spend: tv_cost}", "{spend: search_cost}", "already line 'tv'", 5),
    ("{spend: tv_cost}", "{spend: week}", "already the date", 4),
    ("{spend: tv_cost}", "{rows: tv}", "needs 'spend'", 4),
    ("{spend: tv_cost}", "{spend: 7}", "must be text", 4),
    ("{spend: tv_cost}", "{spend: tv_cost, blank: none}", "zero", 4),
    ("{column: sales}", "{column: tv_cost}", "already line 'tv'", 7),
    ("{column: sales}", "{}", "needs either", 7),
    ("{column: sales}", "{sum: [sales, sales]}", "already in this sum", 7),
    ("{column: sales}", "{sum: [sales, seles]}", "no column 'seles'", 7),
    ("{column: sales}", "{column: sales, media_share: 0}", "greater than 0", 7),
    ("  sales:", "  tv:", "also a line", 7),
    ("period: week", "period: month", "'day' or 'week'", 2),
    ("period: week", "period: day", "7 days apart, not 1", None),
    ("season: 0", "seasons: 0", "unknown field", 8),
    ("season: 0", "season: 0\nfilter: {sales: 0}", "no row has '0'", 9),
    ("season: 0", "season: 0\ncontrols: [tv_cost]", "already line 'tv'", 9),
    ("draws: 20", "draws: 5", "greater than or equal to 20", 9),
    ("draws: 20", "draws: 20\nevents: {sale: [2021-01-01]}", "outside history", 10),
    ("draws: 20", "draws: 20\nevents: {sale: [2024-03-01]}", "no date in the history", 10),
    ("draws: 20", "draws: 20\nevents: {sale: [soon]}", "date", 10),
    ("draws: 20", "draws: 20\nholdout: 50", "too few", None),
]


@pytest.mark.parametrize(("old", "new", "words", "line"), CONFIGS)
def test_bad_configs(tmp_path: Path, old: str, new: str, words: str, line: int | None) -> None:
    path = write(tmp_path / "h.csv", lines_of(frame()))
    assert old in CONFIG
    error = refused(tmp_path, path, CONFIG.replace(old, new))
    assert words in str(error)
    if line is not None:
        assert (error.line, error.file) == (line, str(tmp_path / "fit.yaml"))


def test_histories_that_cannot_be_fitted(tmp_path: Path) -> None:
    short = write(tmp_path / "short.csv", lines_of(frame(20)))
    assert "20 weeks are too few" in str(refused(tmp_path, short))
    yearly = CONFIG.replace("season: 0", "season: 1")
    assert "need a year" in str(refused(tmp_path, write(tmp_path / "y.csv", lines_of(frame(50))), yearly))
    for column, config, words in (
        ("tv_cost", CONFIG, "no spend in any week"),
        ("sales", CONFIG, "never varies"),
        ("price", CONFIG + "controls: [price]\n", "never varies"),
    ):
        table = frame()
        table[column] = 0.0
        assert words in str(refused(tmp_path, write(tmp_path / "h.csv", lines_of(table)), config))
