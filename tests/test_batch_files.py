"""Result files of a batch: whole or not there, the same bytes however often it was interrupted."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from naive_batch import make_accounts, make_rules

import optimizer as opt
from optimizer import batch
from optimizer.batch.writing import csv_bytes
from optimizer.cli import main


def content(directory: Path) -> dict[str, str]:
    """Hashes of all files by path."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def slowly(file: Path, rules: dict[str, Any], out: Path) -> None:
    """Run a batch, each chunk a twentieth of a second longer than it takes."""
    solve = batch.solve_table

    def slow(table: Any, rules: Any) -> Any:
        time.sleep(0.05)
        return solve(table, rules)

    batch.solve_table = slow  # type: ignore[assignment]
    opt.reallocate(file, rules, out=out, chunk=2, threads=2)


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, rules, out = tmp_path / "a.parquet", make_rules(), tmp_path / "out"
    make_accounts(120, seed=3).to_parquet(file)
    opt.reallocate(file, rules, out=tmp_path / "whole", chunk=2)
    whole = content(tmp_path / "whole")
    chance = random.Random(5)
    # Processes that begin with everything imported and compiled, by one that finds modules where the tests do.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["batch_ready"])
    notes, kills = out / "chunks", 0
    for _ in range(10):
        process = context.Process(target=slowly, args=(file, rules, out))
        before = len(list(notes.glob("0*.json"))) if notes.exists() else 0
        process.start()
        while process.is_alive() and (not notes.exists() or len(list(notes.glob("0*.json"))) <= before):
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        if process.is_alive():
            process.kill()
            kills += 1
        process.join()
        if (out / "summary.json").exists():
            break
        for path in out.rglob("*.parquet"):
            pd.read_parquet(path)
    assert kills == 10
    process = context.Process(target=slowly, args=(file, rules, out))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert content(out) == whole


def test_a_finished_batch_is_kept_and_a_chunk_that_was_touched_done_again(tmp_path: Path) -> None:
    accounts, rules, out = make_accounts(6), make_rules(), tmp_path / "out"
    first = opt.reallocate(accounts, rules, out=out, chunk=2)
    before = content(out)
    again = opt.reallocate(accounts, rules, out=out, chunk=2)
    assert (first.kept, again.kept) == (0, 6)
    assert again.summary == first.summary
    (out / "lines" / "000001.parquet").write_bytes(b"half")
    (out / "moves" / "000002.csv").unlink()
    (out / "lines" / ".000000.csv.1.part").write_bytes(b"half")
    assert opt.reallocate(accounts, rules, out=out, chunk=2).kept == 2
    assert content(out) == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a, r: (a.assign(current=a["current"] * 2), r, 2), "the accounts changed since"),
        (lambda a, r: (a, {**r, "tolerance": 1e-4}, 2), "the rules changed since"),
        (lambda a, r: (a, r, 3), "the accounts a chunk changed since"),
    ],
)
def test_changed_accounts_or_rules_are_refused_by_name(change, says, tmp_path: Path) -> None:
    accounts, rules = make_accounts(6), make_rules()
    opt.reallocate(accounts, rules, out=tmp_path, chunk=2)
    before = content(tmp_path)
    accounts, rules, chunk = change(accounts, rules)
    with pytest.raises(opt.DataError, match=says):
        opt.reallocate(accounts, rules, out=tmp_path, chunk=chunk)
    assert content(tmp_path) == before


def test_a_directory_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(opt.DataError, match="holds other files"):
        opt.reallocate(make_accounts(1), make_rules(), out=tmp_path)
    assert content(tmp_path).keys() == {"thesis.txt"}
    with pytest.raises(opt.DataError, match="cannot be written"):
        opt.reallocate(make_accounts(1), make_rules(), out=tmp_path / "thesis.txt")


def test_no_text_is_a_formula_in_csv(tmp_path: Path) -> None:
    accounts = make_accounts(4)
    bad = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)"]
    accounts["account"] = accounts["account"].map(dict(zip(dict.fromkeys(accounts["account"]), bad, strict=True)))
    accounts["line"] = "=" + accounts["line"]
    found = opt.reallocate(accounts, make_rules(), out=tmp_path)
    assert list(found.accounts.index) == bad
    for path in tmp_path.rglob("*.csv"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        for column in table.select_dtypes(["object", "string"]):
            numbers = pd.to_numeric(table[column], errors="coerce").notna()
            assert not table[column][~numbers].str.match(r"[=+\-@\t\r\n]").any(), (path, column)
    assert next(iter(pd.read_csv(tmp_path / "accounts" / "000000.csv")["account"])) == "'=1+1"


def test_tabs_and_line_breaks_at_the_start_are_made_harmless_too() -> None:
    import pyarrow as pa

    text = csv_bytes(pa.table({"=a": ["\tx", "\rx", "\nx", "x=", None]})).decode()
    assert text == '"\'=a"\n"\'\tx"\n"\'\rx"\n"\'\nx"\n"x="\n\n'


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    opt.reallocate(make_accounts(5, draws=3), make_rules(), out=tmp_path)
    for kind in ("accounts", "lines", "moves"):
        csv = pd.read_csv(tmp_path / kind / "000000.csv")
        parquet = pd.read_parquet(tmp_path / kind / "000000.parquet")
        assert list(csv.columns) == list(parquet.columns)
        numbers = parquet.select_dtypes("number").columns
        pd.testing.assert_frame_equal(csv[numbers].astype(float), parquet[numbers].astype(float), rtol=1e-12)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accounts = make_accounts(4)
    accounts["current"] = accounts["current"].where(accounts["account"] != "account 2", -1.0)
    accounts.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "rules.yaml").write_text(json.dumps(make_rules()))
    command = ["reallocate", str(tmp_path / "a.parquet"), "--rules", str(tmp_path / "rules.yaml")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr().out
    assert "3 of 4 accounts solved, 1 failed" in shown
    assert "a second" in shown
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    assert "4 kept from an earlier run" in " ".join(capsys.readouterr().out.split())
    assert main([*command, "--out", str(tmp_path / "csv"), "--format", "csv"]) == 1
    assert not list((tmp_path / "csv").rglob("*.parquet"))
    assert main([*command, "--out", str(tmp_path / "csv"), "--format", "xls"]) == 2
    assert main(["reallocate", str(tmp_path / "none"), *command[2:], "--out", str(tmp_path / "o")]) == 2
