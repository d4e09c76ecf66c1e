"""Accounts that cannot be solved are listed with the reason, and change nothing for the others."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from naive_batch import break_some, make_accounts, make_rules

import optimizer as opt

NAN, INF = float("nan"), float("inf")
# What is wrong with the first line of an account (column and value), and what is said of it.
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no current": ({"current": None}, "line 'line 0': current is missing"),
    "current no number": ({"current": "many"}, "current is not a finite number"),
    "current infinite": ({"current": "inf"}, "current is not a finite number"),
    "current negative": ({"current": -5.0}, "current -5 is negative"),
    "current several": ({"current": "1;2"}, "current holds several numbers"),
    "current huge": ({"current": 1e16}, "current is above 1e+15"),
    "min no number": ({"min": "x"}, "min is not a finite number"),
    "min above max": ({"min": 500.0, "max": 400.0}, "min 500 is above max 400"),
    "max negative": ({"max": -1.0}, "max -1 is negative"),
    "min above budget": ({"min": 1e9, "max": None}, "must spend 1e+09 at least"),
    "line without name": ({"line": None}, "the line has no name"),
    "line twice": ({"line": "line 1"}, "line 'line 1': comes twice"),
    "mixed currencies": ({"currency": "USD"}, "currency 'EUR', but 'USD' on another line"),
    "two tiers": ({"guardrail": "red"}, "guardrail '', but 'red' on another line"),
    "kind unknown": ({"kpi0.kind": "sigmoid"}, "kpi0.kind 'sigmoid' is none of"),
    "kind missing": ({"kpi0.kind": None}, "kpi0.kind '' is none of"),
    "scale missing": ({"kpi0.kind": "hill", "kpi0.scale": None}, "kpi0.scale is missing"),
    "half zero": (
        {"kpi0.kind": "hill", "kpi0.scale": 1.0, "kpi0.half": 0.0, "kpi0.slope": 1.0},
        "kpi0.half must hold",
    ),
    "slope huge": (
        {"kpi0.kind": "hill", "kpi0.scale": 1.0, "kpi0.half": 1.0, "kpi0.slope": 99.0},
        "from 1e-30 to 20",
    ),
    "scale no number": ({"kpi0.kind": "linear", "kpi0.scale": "1;?"}, "kpi0.scale must hold numbers"),
    "draws differ": ({"kpi0.kind": "linear", "kpi0.scale": "1;2;3"}, "draws where the account has"),
    "points differ": ({"kpi0.kind": "points", "kpi0.spend": "1;2", "kpi0.effect": "1"}, "differ in length"),
    "points not rising": (
        {"kpi0.kind": "points", "kpi0.spend": "2;1", "kpi0.effect": "1;2"},
        "spend does not rise",
    ),
    "effect falls": ({"kpi0.kind": "points", "kpi0.spend": "1;2", "kpi0.effect": "2;1"}, "effect falls"),
    "effect for nothing": (
        {"kpi0.kind": "points", "kpi0.spend": "0;2", "kpi0.effect": "1;2"},
        "at no spend is not 0",
    ),
    "quality above one": ({"data_quality": 1.5}, "data_quality is above 1"),
    "observed": ({"observed_low": 5.0, "observed_high": 1.0}, "observed_low is above observed_high"),
}
# The same for all lines of an account.
BROKEN_ALL: dict[str, tuple[dict[str, Any], str]] = {
    "other currency": ({"currency": "USD"}, "currency 'USD' is not the rules' EUR"),
    "unknown state": ({"guardrail": "purple"}, "guardrail 'purple' is none of"),
    "nothing spent": ({"current": 0.0}, "spends nothing today"),
    "room too small": ({"max": 1.0, "min": 0.0}, "the lines may together spend at most 3"),
    "min too large": ({"min": 5e4, "max": 1e6, "current": 6e3}, "line 'line 0': must spend 50,000 at least"),
    "no effect today": ({"kpi1.kind": "none"}, "kpi1 is 0 today"),
}


def broken_accounts() -> tuple[pd.DataFrame, dict[str, str]]:
    """Sound accounts among broken ones, as text, and what must be said of those."""
    sound = make_accounts(len(BROKEN) + len(BROKEN_ALL) + 3, seed=1, draws=2)
    sound["currency"], sound["guardrail"], sound["data_quality"] = "EUR", "", 0.9
    table = sound.map(_text).astype(object)
    says = {}
    names = list(dict.fromkeys(table["account"]))
    cases = [(name, case, False) for name, case in BROKEN.items()]
    cases += [(name, case, True) for name, case in BROKEN_ALL.items()]
    for account, (_, (cells, reason), everywhere) in zip(names, cases, strict=False):
        rows = table.index[table["account"] == account]
        for column, value in cells.items():
            table.loc[rows if everywhere else rows[:1], column] = _text(value)
        says[account] = reason
    return table, says


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return ";".join(map(repr, value))
    return value if value is None or isinstance(value, str) else "" if value != value else repr(value)


def test_every_broken_account_is_listed_and_all_others_are_solved() -> None:
    table, says = broken_accounts()
    assert len(says) >= 20
    found = opt.reallocate(table, make_rules())
    assert set(found.failed.index) == set(says)
    for account, reason in says.items():
        assert reason in found.failed.loc[account, "reason"], account
    sound = table[~table["account"].isin(list(says))]
    alone = opt.reallocate(sound, make_rules())
    assert len(alone.accounts) == 3
    pd.testing.assert_frame_equal(alone.accounts, found.accounts)
    pd.testing.assert_frame_equal(alone.lines, found.lines)
    assert found.summary["failed"] == len(says)
    assert found.summary["solved"] + found.summary["failed"] == found.summary["accounts"]


def test_one_account_in_a_hundred_is_broken_and_no_other_is_touched(tmp_path: Path) -> None:
    sound = make_accounts(2000, kpis=1, seed=6, kinds=("hill",))
    for name in ("scale", "half", "slope"):
        sound[f"kpi0.{name}"] = [cell[0] for cell in sound[f"kpi0.{name}"]]
    table, says = break_some(sound, 0.01, seed=1)
    assert len(says) == 20
    table.to_parquet(tmp_path / "a.parquet")
    rules = make_rules(1)
    found = opt.reallocate(tmp_path / "a.parquet", rules, chunk=300)
    assert set(found.failed.index) == set(says)
    for account, reason in says.items():
        assert reason in found.failed.loc[account, "reason"], account
    alone = opt.reallocate(sound[~sound["account"].isin(list(says))], rules)
    pd.testing.assert_frame_equal(found.lines.loc[alone.accounts.index], alone.lines)
    assert len(alone.accounts) == 1980


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"floors": {"kpi0": 50.0}}, "no plan keeps these together: kpi0 at least"),
        ({"floors": {"kpi0": 50.0}, "change": {"up": 0.1, "down": 0.1}}, "kpi0 at least"),
        (
            {"shares": [{"select": {"channel": c}, "min": 0.9} for c in "ab"]},
            "share of channel a: at least 90.0%; share of channel b: at least 90.0%",
        ),
        ({"minimum_if_on": [{"select": {"channel": ["a", "b"]}, "amount": 1e6}]}, "line 0: at least 1e+06 if on"),
    ],
)
def test_rules_that_no_plan_of_an_account_keeps_are_named(rules: dict[str, Any], says: str) -> None:
    table = make_accounts(3, lines=4, seed=3, kinds=("hill",)).assign(min=0.0)
    # S-shaped, all of them.
    table["kpi0.slope"] = 2.5
    found = opt.reallocate(table, make_rules(**rules))
    assert len(found.failed) == 3
    for reason in found.failed["reason"]:
        assert says in reason


def test_an_account_without_a_name_is_listed() -> None:
    table = make_accounts(2)
    table.loc[table["account"] == "account 0", "account"] = None
    found = opt.reallocate(table, make_rules())
    assert found.failed.loc["", "reason"] == "the account has no name"
    assert list(found.accounts.index) == ["account 1"]


def test_numbers_may_be_text_lists_or_numbers(tmp_path: Path) -> None:
    table = make_accounts(3, draws=2)
    found = opt.reallocate(table, make_rules())
    table.map(_text).to_csv(tmp_path / "a.csv", index=False)
    table.to_parquet(tmp_path / "a.parquet")
    for file in ("a.csv", "a.parquet"):
        other = opt.reallocate(tmp_path / file, make_rules())
        pd.testing.assert_frame_equal(found.accounts, other.accounts)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop(columns="current"), "the column 'current' is missing"),
        (lambda t: t.drop(columns="kpi1.kind"), "the column 'kpi1.kind' is missing"),
        (lambda t: t.rename(columns={"kpi1.slope": "kpi1.slop"}), "'kpi1.slop' is no part of a curve"),
        (
            lambda t: t.rename(columns={"kpi1.slope": "kpi7.slope"}),
            "'kpi7.slope' is of a KPI the rules do not know",
        ),
        (lambda t: t.iloc[:0], "holds no rows"),
        (lambda t: t.assign(current=pd.Timestamp("2026-01-01")), "'current' must hold numbers"),
        (lambda t: t.assign(current=True), "'current' must hold numbers"),
    ],
)
def test_a_table_that_cannot_be_accounts_is_refused(change: Any, says: str) -> None:
    with pytest.raises(opt.DataError) as caught:
        opt.reallocate(change(make_accounts(2)), make_rules())
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"account,line,current,current\na,b,1,2\n", "comes twice"),
        (b"account,line\na,b\n", "'current' is missing"),
        (b"account,line\na,b,c\n", "Expected 2 columns, got 3"),
        (b"PAR1nonsense\n\x00\xff", "'account' is missing"),
    ],
)
def test_a_file_that_is_no_table_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(opt.DataError) as caught:
        opt.reallocate(tmp_path / "a.csv", make_rules())
    assert says in str(caught.value)


def test_a_ragged_file_is_refused(tmp_path: Path) -> None:
    text = make_accounts(2).map(_text).to_csv(index=False)
    (tmp_path / "a.csv").write_text(text + "one,two\n")
    with pytest.raises(opt.DataError, match="columns"):
        opt.reallocate(tmp_path / "a.csv", make_rules())


def test_files_of_two_kinds_or_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(opt.DataError, match="no such file"):
        opt.reallocate(tmp_path / "missing", make_rules())
    with pytest.raises(opt.DataError, match="is no CSV or Parquet"):
        opt.reallocate(tmp_path, make_rules())
    (tmp_path / "a.csv").write_text("a")
    (tmp_path / "b.parquet").write_text("a")
    with pytest.raises(opt.DataError, match="both CSV and Parquet"):
        opt.reallocate(tmp_path, make_rules())
    (tmp_path / "a.csv").unlink()
    with pytest.raises(opt.DataError, match=r"b\.parquet"):
        opt.reallocate(tmp_path, make_rules())


def test_a_folder_is_read_whole_however_accounts_are_spread(tmp_path: Path) -> None:
    table = make_accounts(6, seed=9)
    found = opt.reallocate(table, make_rules())
    for i in range(3):
        table.iloc[i::3].to_parquet(tmp_path / f"{i}.parquet")
    other = opt.reallocate(tmp_path, make_rules(), chunk=2)
    pd.testing.assert_frame_equal(found.accounts, other.accounts.loc[found.accounts.index])
    pd.testing.assert_frame_equal(found.lines.sort_index(), other.lines.sort_index())


def test_a_name_with_quotes_line_breaks_and_commas_survives(tmp_path: Path) -> None:
    table = make_accounts(1).map(_text)
    name = 'a "b", ../../etc/passwd\nDROP TABLE accounts;'
    table["account"] = name
    buffer = io.StringIO()
    table.to_csv(buffer, index=False)
    (tmp_path / "a.csv").write_text(buffer.getvalue())
    found = opt.reallocate(tmp_path / "a.csv", make_rules(), out=tmp_path / "out")
    assert list(found.accounts.index) == [name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "out"]
    again = pd.read_csv(tmp_path / "out" / "accounts" / "000000.csv")
    assert again["account"][0] == name
    assert np.isfinite(again["gain"][0])
