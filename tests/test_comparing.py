"""A comparison's files and what the terminal shows: the same numbers everywhere, text as text."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import openpyxl
import pytest
from conftest import make_model, make_scenario, scenario_on_file

import optimizer as opt
from optimizer.cli import main
from optimizer.compare import TABLES
from optimizer.report.comparing import comparison_files
from optimizer.report.files import yaml_text
from optimizer.report.workbook import FIRST

EVIL = ["=HYPERLINK(0)", "+1", "-1", "@x", "<script>", "https://example.org"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> opt.Comparison:
    model = make_model(20, lines=tuple(EVIL[:3]))
    base = scenario_on_file(tmp_path_factory.mktemp("model"), model)
    changed = {"budget": 1.2, "preferences": {"weights": {"kpi0": 0.9, "kpi1": 0.1}}}
    names = [base.variant(name, **changed) for name in EVIL]
    stuck = base.variant("stuck", budget=3.0, constraints={"change": {"up": 0.1}})
    return opt.compare([base, *names, stuck])


@pytest.fixture(scope="module")
def files(compared: opt.Comparison) -> dict[str, str | bytes]:
    return comparison_files(compared)


def sheets(files: dict[str, str | bytes], values: bool = True) -> openpyxl.Workbook:
    return openpyxl.load_workbook(io.BytesIO(files["comparison.xlsx"]), data_only=values)


def test_every_number_of_the_workbook_is_that_of_the_json(files: dict[str, str | bytes]) -> None:
    data, book = json.loads(files["comparison.json"]), sheets(files)
    for name in TABLES:
        head, *rows = list(book[name.capitalize()].iter_rows(min_row=FIRST, values_only=True))
        assert len(rows) == len(data[name])
        for found, row in zip(rows, data[name], strict=True):
            for key, value in row.items():
                # The format keeps 16 digits.
                close = pytest.approx(value, rel=1e-15) if isinstance(value, float) else value
                assert found[head.index(key)] == close
    head, *rows, total = list(book["Allocation"].iter_rows(min_row=FIRST, values_only=True))
    spend = {name: plan["spend"] for name, plan in data["plans"].items()}
    for row in rows:
        given = {name: pytest.approx(by[row[0]], rel=1e-15) for name, by in spend.items()}
        assert dict(zip(head[1:], row[1:], strict=True)) == given
    sums = dict(zip(head[1:], total[1:], strict=True))
    assert sums == {name: pytest.approx(sum(by.values())) for name, by in spend.items()}
    for row in book["Pacing"].iter_rows(min_row=FIRST + 1, values_only=True):
        assert row[-1] == pytest.approx(spend[row[0]][row[1]])
        assert sum(row[2:-1]) == pytest.approx(row[-1])


def test_every_number_of_the_csv_files_is_that_of_the_json(files: dict[str, str | bytes]) -> None:
    data = json.loads(files["comparison.json"])
    for name in TABLES:
        rows = list(csv.DictReader(io.StringIO(files[f"{name}.csv"])))
        assert len(rows) == len(data[name])
        for found, row in zip(rows, data[name], strict=True):
            for key, value in row.items():
                if isinstance(value, float):
                    assert float(found[key]) == value
                elif isinstance(value, str):
                    assert found[key].removeprefix("'") == value


def test_text_stays_text_and_formulas_are_ours(files: dict[str, str | bytes]) -> None:
    seen = set()
    for sheet in sheets(files, values=False):
        for cell in (cell for row in sheet.iter_rows() for cell in row):
            assert cell.hyperlink is None
            if cell.data_type == "f":
                assert cell.value.startswith("=SUM(")
            seen |= {cell.value}
    assert set(EVIL) <= seen


def test_what_does_not_apply_is_absent(files: dict[str, str | bytes]) -> None:
    scenario = opt.Scenario.from_dict(make_scenario())
    made = comparison_files(opt.compare([scenario, scenario.variant("same")]))
    assert set(files) - set(made) == {"flows.csv", "drivers.csv", "failed.csv"}
    assert set(sheets(files).sheetnames) - set(sheets(made).sheetnames) == {"Flows", "Drivers", "Failed"}


def test_two_runs_give_the_same_bytes(compared: opt.Comparison, files: dict[str, str | bytes]) -> None:
    assert comparison_files(compared) == files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(yaml_text(make_scenario(2, 2)))
    (tmp_path / "more.yaml").write_text("base: base.yaml\nname: =more\nbudget: 1.1\n")
    (tmp_path / "grid.yaml").write_text("base: base.yaml\ngrid: {budget: [0.9, 1.2]}\n")
    return tmp_path


def test_the_command_prints_and_writes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = [str(folder / name) for name in ("base.yaml", "more.yaml", "grid.yaml")]
    assert main(["compare", *named, "--out", str(folder / "out")]) == 0
    text = capsys.readouterr().out
    for part in (
        "=more",
        "budget 1.2",
        "Differences from the base",
        "What moved",
        "no difference has an interval",
    ):
        assert part in text
    assert max(map(len, text.splitlines()[:-1])) <= 80
    data = json.loads((folder / "out" / "comparison.json").read_text())
    assert list(data["plans"]) == sorted(data["plans"])
    assert set(data["plans"]) == {"test", "=more", "budget 0.9", "budget 1.2"}
    assert data["base"] == "test"
    assert not (folder / "out" / "kept").exists()


def test_an_interrupted_command_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from optimizer.solve import jobs

    solved: list[str] = []

    def stop_after_two(scenario: opt.Scenario) -> opt.Plan:
        if len(solved) == 2:
            raise KeyboardInterrupt
        solved.append(scenario.name)
        return opt.solve(scenario)

    command = ["compare", str(folder / "grid.yaml"), "--out", str(folder / "out")]
    monkeypatch.setattr(jobs, "solve", stop_after_two)
    assert main(command) != 0
    resumed: list[str] = []
    monkeypatch.setattr(jobs, "solve", lambda scenario: resumed.append(scenario.name) or opt.solve(scenario))
    assert main(command) == 0
    assert len(solved) == 2
    assert len(resumed) == 1


def test_a_scenario_without_a_plan_is_a_finding(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stuck = "base: base.yaml\nname: stuck\nbudget: 3\nconstraints: {change: {up: 0.1}}\n"
    (folder / "stuck.yaml").write_text(stuck)
    assert main(["compare", str(folder / "stuck.yaml"), "--out", str(folder / "out")]) == 1
    assert "stuck has no plan" in capsys.readouterr().out
    assert "stuck" in (folder / "out" / "failed.csv").read_text()


def test_bad_input_is_told_with_its_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.yaml").write_text("base: base.yaml\nname: bad\nbudget: no\n")
    assert main(["compare", str(folder / "bad.yaml"), "--out", str(folder / "out")]) == 2
    assert "bad.yaml:3: budget" in capsys.readouterr().err
    assert not (folder / "out").exists()
