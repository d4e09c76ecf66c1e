"""The ledger on the command line: a plan from its run to going live and back, exit codes and errors."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from conftest import make_scenario
from naive_batch import make_accounts, make_rules

import optimizer as opt
from optimizer.cli import main
from optimizer.cli_ledger import check_options, record_plan
from optimizer.report.files import yaml_text


class Terminal:
    """Runs commands on one ledger and gives what they print, in one line."""

    def __init__(self, at: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.at, self.capsys = at, capsys
        self.ledger = str(at / "ledger.db")

    def run(self, *words: object) -> tuple[int, str]:
        code = main([str(word) for word in words])
        said = self.capsys.readouterr()
        return code, " ".join((said.out + said.err).split())

    def __call__(self, command: str, *words: object, code: int = 0) -> str:
        found, text = self.run("ledger", *command.split(), self.ledger, *words)
        assert found == code, text
        return text

    def plan(self, file: Path) -> tuple[int, str]:
        """Record a plan by the command itself."""
        out = ("--out", self.at / "out", "--no-budgets")
        return self.run("plan", file, *out, "--ledger", self.ledger, "--by", "ann")

    def record(self, file: Path) -> None:
        """Record a plan without its report, which takes a second."""
        check_options(self.ledger, "ann")
        given = opt.Scenario.load(file)
        record_plan(self.ledger, "ann", given, opt.solve(given), file)


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(tmp_path, capsys)


def scenario(at: Path, **changes: object) -> Path:
    file = at / "mine.yaml"
    file.write_text(yaml_text(make_scenario() | changes))
    return file


def test_a_plan_from_its_run_to_going_live_and_back(terminal: Terminal, tmp_path: Path) -> None:
    file = scenario(tmp_path)
    code, said = terminal.plan(file)
    assert code == 0
    assert "Recorded as run-2/test, level confirm" in said
    assert "1 must still approve" in terminal("submit", "run-2", "--by", "ann")
    assert "ann wrote run-2/test and cannot approve it" in terminal("approve", "run-2", "--by", "ann", code=2)
    assert "is approved" in terminal("approve", "run-2/test", "--by", "bob")
    assert "is active" in terminal("activate", "run-2", "--by", "bob")
    terminal.record(file)
    edit = ("--by", "cleo", "--reason", "the client asks", "--spend", "line0=200", "--spend", "line1=100.5")
    assert "is draft, level two_person" in terminal("edit", "run-7", *edit)
    said = terminal("show", "run-7")
    assert "run-7/test: draft, level two_person" in said
    assert "Written by: ann, cleo Approved by: nobody" in said
    assert "line0 333 200 -133" in said
    terminal("submit", "run-7", "--by", "ann")
    assert "is draft" in terminal("reject", "run-7", "--by", "bob", "--reason", "too bold")
    terminal("submit", "run-7", "--by", "ann")
    for by in ("bob", "dan"):
        terminal("approve", "run-7", "--by", by)
    terminal("activate", "run-7", "--by", "ann")
    assert "run-2/test superseded" in terminal("list")
    assert "run-2/test is active" in terminal("rollback", "run-7", "--by", "bob", "--reason", "it failed")
    out = tmp_path / "files"
    assert "run-7/test rolled back two_person ann, cleo bob, dan" in terminal("list", "--out", out)
    decisions = json.loads((out / "decisions.json").read_text())["decisions"]
    assert [each["state"] for each in decisions] == ["active", "rolled_back"]
    assert (out / "decisions.csv").read_text().count("\n") == 3
    said = terminal("log", "test", "--out", out)
    assert "rollback" in said
    rows = json.loads((out / "log.json").read_text())["rows"]
    assert [row["kind"] for row in rows][-2:] == ["rollback", "restore"]
    assert len((out / "log.csv").read_text().splitlines()) == len(rows) + 1
    assert "The last 2 of" in terminal("log", "--last", 2)
    assert "No recommendations." in terminal("list", "--state", "review")
    assert "all sound" in terminal("verify")


def test_verify_names_the_altered_row(terminal: Terminal, tmp_path: Path) -> None:
    terminal.record(scenario(tmp_path))
    out = tmp_path / "files"
    terminal("verify", "--out", out)
    head = json.loads((out / "verify.json").read_text())["head"]
    terminal("verify", "--head", head)
    assert "noted earlier is not in the chain" in terminal("verify", "--head", "0" * 63 + "1", code=1)
    with sqlite3.connect(terminal.ledger) as connection:
        connection.execute("DROP TRIGGER ledger_no_update")
        connection.execute("UPDATE ledger SET actor = 'eve' WHERE seq = 3")
    connection.close()
    said = terminal("verify", "--out", out, code=1)
    assert "ALTERED: row 3 was altered" in said
    assert json.loads((out / "verify.json").read_text())["first_altered_row"] == 3


def test_replay(terminal: Terminal, tmp_path: Path) -> None:
    file = scenario(tmp_path)
    terminal.record(file)
    assert "run-2: the same numbers" in terminal("replay", "run-2")
    scenario(tmp_path, constraints={"budget": {"total": 900.0}})
    said = terminal("replay", "run-2", "--out", tmp_path / "files", code=1)
    assert f"scenario {file} was changed: constraints" in said
    assert json.loads((tmp_path / "files" / "replay.json").read_text())["reproduced"]


def test_kpis_change_by_new_versions(terminal: Terminal, tmp_path: Path) -> None:
    file = scenario(tmp_path)
    terminal.record(file)
    value = ("--period", "2026-09", "--by", "ann")
    assert "measured under version 1" in terminal("value", "kpi0", "--value", 12.5, *value)
    assert "is 12.5 in 2026-09 already" in terminal("value", "kpi0", "--value", 13, *value, code=2)
    file = scenario(tmp_path, kpis={"kpi0": {"direction": "maximize", "unit": "other things"}})
    code, said = terminal.plan(file)
    assert code == 2
    assert not (tmp_path / "out").exists()
    assert "kpis.kpi0: the definition of 'kpi0' is not that of version 1 in the ledger: unit" in said
    define = (file, "--by", "bob", "--reason", "things differ")
    assert "unknown KPI 'x'" in terminal("define", *define, "--kpi", "x", code=2)
    assert "kpi0: version 2 recorded" in terminal("define", *define, "--kpi", "kpi0")
    assert "kpi0: version 2 says just that" in terminal("define", *define)
    terminal.record(file)
    back = ("rollback", "kpi0", "--by", "ann", "--reason", "they do not")
    assert "give the number of a version" in terminal(*back, "--to", "first", code=2)
    assert "version 3, which says what version 1 said" in terminal(*back, "--to", "1")
    assert "12.5" in terminal("value", "kpi0", "--value", 12.5, *value)


def test_reviews(terminal: Terminal, tmp_path: Path) -> None:
    terminal.record(scenario(tmp_path))
    terminal("submit", "run-2", "--by", "ann")
    why = ("--by", "ann", "--reason", "fell since October")
    assert "review-5 is open on kpi0; the first step is 'data quality'" in terminal(
        "review open", "kpi0", "--light", "red", *why
    )
    assert "a red review is open on kpi0" in terminal("approve", "run-2", "--by", "bob", code=2)
    assert "'refit' is not the next step" in terminal(
        "review step", "review-5", "refit", "--by", "bob", "--note", "x", code=2
    )
    for step in ("data quality", "recalibration", "refit"):
        assert step in terminal("review list")
        terminal("review step", "review-5", step, "--by", "bob", "--note", "looked at")
    assert "is closed" in terminal("review close", "review-5", "--by", "bob", "--note", "mended")
    assert "No reviews." in terminal("review list")
    assert "closed" in terminal("review list", "--closed")
    assert "is approved" in terminal("approve", "run-2", "--by", "bob")


def test_a_batch(terminal: Terminal, tmp_path: Path) -> None:
    accounts, rules = tmp_path / "a.parquet", tmp_path / "rules.yaml"
    make_accounts(12, draws=3).to_parquet(accounts)
    decisions = {"confirm": {"shift": 0.2}, "two_person": {"shift": 0.4}}
    rules.write_text(json.dumps({**make_rules(), "decisions": decisions}))
    batch = ("reallocate", accounts, "--rules", rules, "--out", tmp_path / "out", "--by", "ann")
    code, said = terminal.run(*batch, "--ledger", terminal.ledger, "--format", "csv")
    assert (code, "--ledger needs the results as Parquet" in said) == (2, True)
    code, said = terminal.run(*batch, "--ledger", terminal.ledger)
    assert (code, "Recorded as run-1" in said) == (0, True)
    assert "run-1 made 12 recommendations" in terminal("submit", "run-1", "--by", "ann", code=2)
    assert "submit: 12 done, 0 refused" in terminal("submit", "run-1", "--all", "--by", "ann")
    live = terminal("activate", "run-1", "--level", "auto", "--by", "ann")
    count = int(live.split()[1])
    assert 0 < count < 12
    assert "cannot approve" in terminal("approve", "run-1", "--all", "--by", "ann", code=1)
    assert "0 refused" in terminal("approve", "run-1", "--level", "confirm", "--by", "bob")
    terminal("list", "run-1", "--state", "active", "--out", tmp_path / "files")
    found = json.loads((tmp_path / "files" / "decisions.json").read_text())["decisions"]
    assert [each["level"] for each in found] == ["auto"] * count
    assert "run-1: the same numbers" in terminal("replay", "run-1")


def test_what_is_wrong_is_said(terminal: Terminal, tmp_path: Path) -> None:
    file = scenario(tmp_path)
    assert "no such ledger" in terminal("verify", code=2)
    assert not Path(terminal.ledger).exists()
    for words, says in (
        (("--ledger", terminal.ledger), "--ledger needs --by"),
        (("--by", "ann"), "add --ledger, or drop it"),
        (("--by", "ann", "--ledger", tmp_path), "is a directory"),
    ):
        code, said = terminal.run("plan", file, "--out", tmp_path / "out", *words)
        assert (code, says in said) == (2, True), said
    assert not (tmp_path / "out").exists()
    terminal.record(file)
    edit = ("run-2", "--by", "ann", "--reason", "why", "--spend")
    assert "write it as LINE=AMOUNT" in terminal("edit", *edit, "line0", code=2)
    assert "unknown line 'x'" in terminal("edit", *edit, "x=1", code=2)
    assert "no recommendation 'run-9'" in terminal("submit", "run-9", "--by", "ann", code=2)
    assert "is draft; to activate, it must be approved" in terminal("activate", "run-2", "--by", "ann", code=2)
