"""Columns for audits: both formats, and blanks and wrong cells named with their place."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from optimizer import DataError, SpecError
from optimizer.audit import rows
from optimizer.audit.rows import load
from optimizer.evidence.tabular import read

TEXT = "day,how many,who\n2026-01-05,3,new\n2026-01-12,4.5,old\n"
DAYS = ["2026-01-05", "2026-01-12"]
ASKED = {"date": "day", "count": "how many", "segment": "who", "size": None}


def test_both_formats_read_the_same(tmp_path: Path):
    (tmp_path / "a.csv").write_text(TEXT)
    frame = pd.DataFrame(
        {"day": pd.to_datetime(["2026-01-05", "2026-01-12"]), "how many": [3, 4.5], "who": ["new", "old"]}
    )
    frame.to_parquet(tmp_path / "a.parquet")
    one, other = load(tmp_path / "a.csv", ASKED), load(tmp_path / "a.parquet", ASKED)
    pd.testing.assert_frame_equal(one, other)
    assert list(one.columns) == ["date", "count", "segment"]
    assert one["date"].tolist() == [date(2026, 1, 5), date(2026, 1, 12)]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("4.5", "", "3: how many: the cell is blank"),
        ("old", " ", "3: who: the cell is blank"),
        ("4.5", "many", "not a number"),
    ],
)
def test_bad_cells_are_named(tmp_path: Path, old: str, new: str, words: str):
    file = tmp_path / "a.csv"
    file.write_text(TEXT.replace(old, new))
    with pytest.raises(DataError) as caught:
        load(file, ASKED)
    assert words in str(caught.value)


def test_an_unknown_column_is_refused(tmp_path: Path):
    (tmp_path / "a.csv").write_text(TEXT)
    with pytest.raises(SpecError, match="has no column 'whom'"):
        load(tmp_path / "a.csv", {**ASKED, "segment": "whom"})


ODD = [
    "1e3",
    "+5",
    "-5",
    ".5",
    "1.",
    "inf",
    "nan",
    "0x10",
    "1_000",
    " 7",
    "7\t",
    "１",
    "1,5",
    "true",
    "",
    "1e16",
    "-0",
]


@pytest.mark.parametrize("cell", [*ODD, "2026-1-5", "2026-01-05", " 2026-01-05", "20260105", "0001-01-01", "x"])
@pytest.mark.parametrize("name", ["count", "date", "segment"])
def test_read_whole_or_cell_by_cell_is_the_same(tmp_path: Path, name: str, cell: str):
    """What Arrow takes, the check of each cell takes too, and for the same value."""
    file = tmp_path / "a.csv"
    file.write_text(f'a,b\n"{cell}",1\n')
    found = rows._fast(file, {name: "a"}, {})
    if found is not None:
        table = read(file, {"a": ("--a",)})
        assert found[name].tolist() == rows._values(table, name, "a", [0])


@pytest.mark.parametrize("values", [["2026-01-05 12:00"], ["2026-01-05"]])
def test_moments_are_no_days(tmp_path: Path, values: list[str]):
    pd.DataFrame({"day": pd.to_datetime(values)}).to_parquet(tmp_path / "a.parquet")
    if "12:00" in values[0]:
        with pytest.raises(DataError, match="not a whole day"):
            load(tmp_path / "a.parquet", {"date": "day"})
    else:
        assert load(tmp_path / "a.parquet", {"date": "day"})["date"].tolist() == [date(2026, 1, 5)]


def test_sound_files_are_read_whole(tmp_path: Path):
    (tmp_path / "a.csv").write_text(TEXT)
    assert rows._fast(tmp_path / "a.csv", {"date": "day", "count": "how many"}, {}) is not None


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_of_one_brand(tmp_path: Path, suffix: str):
    """What other brands have in the file, blanks too, is not looked at."""
    frame = pd.DataFrame({"who": ["old", "new", "new"], "how many": [None, 2.0, 3.0], "day": ["x", *DAYS]})
    file = tmp_path / f"a.{suffix}"
    frame.to_csv(file, index=False) if suffix == "csv" else frame.to_parquet(file)
    found = load(file, {"date": "day", "count": "how many"}, ["who=new"])
    assert found["count"].tolist() == [2.0, 3.0]
    for text in ("who=nobody", "who"):
        with pytest.raises(SpecError):
            load(file, {"count": "how many"}, [text])
