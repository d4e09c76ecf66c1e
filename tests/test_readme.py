"""The README's examples run as they stand, and its figures are those of the shipped scenario."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import optimizer as opt
from optimizer.cli import main

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", TEXT, re.S))
def test_python_examples_run(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out


def test_the_first_command_writes_the_report(tmp_path: Path) -> None:
    assert "campaign-optimizer plan scenarios/insurance.yaml" in TEXT
    assert main(["plan", "scenarios/insurance.yaml", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_the_commands_for_a_scenario_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = str(tmp_path / "mine.yaml"), str(tmp_path / "results")
    commands = {
        "new": [file],
        "schema": [],
        "check": [file],
        "plan": [file, "--out", out],
        "front": [file, "--out", out],
    }
    for command, arguments in commands.items():
        assert f"campaign-optimizer {command}" in TEXT
        assert main([command, *arguments]) == 0, capsys.readouterr().err


def test_the_variants_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = str(tmp_path / "mine.yaml"), str(tmp_path / "results")
    variants = re.search(r"```yaml\n(base: mine.yaml\n.*?)```", TEXT, re.S)
    assert variants is not None
    (tmp_path / "variants.yaml").write_text(variants[1])
    assert "campaign-optimizer compare mine.yaml variants.yaml" in TEXT
    assert main(["new", file]) == 0
    assert main(["compare", file, str(tmp_path / "variants.yaml"), "--out", out]) == 0, capsys.readouterr()


def test_the_table_of_claims_is_what_is_computed() -> None:
    outcomes = opt.solve(opt.Scenario.load("scenarios/insurance.yaml")).outcomes
    row = {line.split("|")[1].strip(): line for line in TEXT.splitlines() if line.startswith("| ")}
    for kpi in ("forms", "policies", "cost per policy"):
        assert f"| {100 * outcomes.loc[kpi.replace(' ', '_'), 'change']:+.1f} % |" in row[kpi]
    rate = outcomes.loc["purchase_rate"]
    assert f"| {100 * rate['current']:.1f} % -> {100 * rate['expected']:.1f} % |" in row["purchase rate"]


def test_the_batch_of_the_readme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accounts, rules = str(tmp_path / "accounts.parquet"), "scenarios/batch/rules.yaml"
    assert "python scenarios/batch/generate.py accounts.parquet --accounts 1000" in TEXT
    assert f"campaign-optimizer reallocate accounts.parquet --rules {rules}" in TEXT
    generate = [sys.executable, "scenarios/batch/generate.py", accounts, "--accounts", "20"]
    subprocess.run(generate, check=True)
    assert main(["reallocate", accounts, "--rules", rules, "--out", str(tmp_path / "out")]) == 0
    assert "20 of 20 accounts solved" in capsys.readouterr().out


def test_the_ledger_of_the_readme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block = next(part for part in re.findall(r"```sh\n(.*?)```", TEXT, re.S) if "--ledger ledger.db" in part)
    assert main(["new", str(tmp_path / "mine.yaml")]) == 0
    for line in block.splitlines():
        words = line.partition("#")[0].split()[1:]
        places = {"mine.yaml": str(tmp_path / "mine.yaml"), "ledger.db": str(tmp_path / "ledger.db")}
        words = [places.get(word, word) for word in words]
        if words[0] == "plan":
            words += ["--out", str(tmp_path / "out"), "--no-budgets"]
        assert main(words) == 0, capsys.readouterr().err
    assert "all sound" in capsys.readouterr().out
