"""The command line: what it writes, what it prints, how it ends."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

import optimizer as opt
from optimizer import cli, terminal

ROOT = Path(__file__).parent.parent
INSURANCE = ROOT / "scenarios" / "insurance.yaml"
PLAN_FILES = {"plan.json", "plan.xlsx", "curves.json", "spend.csv", "outcomes.csv", "report.html"}
PLAN_FILES |= {"scenario.resolved.yaml"}
FRONT_FILES = PLAN_FILES | {"front.json", "front.csv"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def _plan(file: Path, out: Path) -> dict[str, object]:
    assert cli.main(["plan", str(file), "--out", str(out)]) == terminal.DONE
    found: dict[str, object] = json.loads((out / "plan.json").read_text(encoding="utf-8"))
    return found


def test_plan_prints_and_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", str(INSURANCE)]) == terminal.DONE
    out, err = capsys.readouterr()
    assert err == ""
    assert _names(Path("results/insurance")) == PLAN_FILES
    for words in ("policies", "high_intent", "+44.0 %", "NOT reproduced", "(proven)", "synthetic", "results"):
        assert words in out
    assert max(map(len, out.splitlines())) <= 80 or out.splitlines()[-1].startswith("Written to")


def test_claims_are_printed_with_their_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["plan", str(INSURANCE)])
    printed = capsys.readouterr().out
    table = printed[printed.index("Claimed") :].splitlines()
    verdicts = {line.split()[0]: "NOT" not in line for line in table if "reproduced" in line}
    assert verdicts == {"forms": True, "purchase_rate": True, "policies": False, "cost_per_policy": False}


def test_repeated_runs_give_the_same_bytes(tmp_path: Path) -> None:
    for out in ("first", "second"):
        assert cli.main(["plan", str(INSURANCE), "--front", "--out", out]) == terminal.DONE
    assert _names(Path("first")) == FRONT_FILES
    for name in FRONT_FILES:
        assert Path("first", name).read_bytes() == Path("second", name).read_bytes(), name


def test_plan_json_matches_the_library(tmp_path: Path) -> None:
    found = _plan(INSURANCE, tmp_path / "out")
    plan = opt.solve(opt.Scenario.load(INSURANCE))
    assert found["spend"] == plan.spend.to_dict()
    assert found["scenario_hash"] == plan.scenario.hash
    versions = found["versions"]
    assert isinstance(versions, dict)
    assert {"campaign-optimizer", "numpy", "numba", "cvxpy", "pymoo"} <= set(versions)
    text = (tmp_path / "out" / "plan.json").read_text(encoding="utf-8")
    assert text == json.dumps(found, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def test_resolved_scenario_plans_the_same(tmp_path: Path) -> None:
    first = _plan(INSURANCE, tmp_path / "first")
    second = _plan(tmp_path / "first" / "scenario.resolved.yaml", tmp_path / "second")
    assert second["spend"] == first["spend"]
    assert second["scenario_hash"] == first["scenario_hash"]


def test_resolved_scenario_finds_its_response_file(tmp_path: Path) -> None:
    scenario = opt.Scenario.load(INSURANCE)
    scenario.response.save(tmp_path / "fitted.nc")
    yaml = YAML(typ="safe", pure=True)
    data = yaml.load(INSURANCE)
    data["response"] = {"file": "fitted.nc"}
    yaml.dump(data, Path("fitted.yaml"))
    first = _plan(Path("fitted.yaml"), tmp_path / "deep" / "first")
    second = _plan(tmp_path / "deep" / "first" / "scenario.resolved.yaml", tmp_path / "second")
    assert second["spend"] == first["spend"]


def test_csv_files_hold_the_same_numbers(tmp_path: Path) -> None:
    found = _plan(INSURANCE, tmp_path)
    with (tmp_path / "spend.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["line"]: float(row["plan"]) for row in rows} == found["spend"]


def test_front(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["front", str(INSURANCE), "--tolerance", "0.05", "--out", "out"]) == terminal.DONE
    assert _names(Path("out")) == FRONT_FILES
    found = json.loads(Path("out/front.json").read_text(encoding="utf-8"))
    assert found["certificate"]["gap"] <= 0.05
    with Path("out/front.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["policies"]) for row in rows] == [point["policies"] for point in found["points"]]
    assert "Payoff table" in capsys.readouterr().out


def test_new_then_plan_and_front(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["new", "my plan.yaml"]) == terminal.DONE
    assert cli.main(["check", "my plan.yaml"]) == terminal.DONE
    assert "is sound" in capsys.readouterr().out
    assert cli.main(["plan", "my plan.yaml"]) == terminal.DONE
    assert cli.main(["front", "my plan.yaml"]) == terminal.DONE
    assert _names(Path("results/my plan")) == FRONT_FILES


def test_new_does_not_overwrite(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.yaml").write_text("kept")
    assert cli.main(["new", "mine.yaml"]) == terminal.BAD_INPUT
    assert "--force" in capsys.readouterr().err
    assert Path("mine.yaml").read_text() == "kept"
    assert cli.main(["new", "mine.yaml", "--force"]) == terminal.DONE
    assert opt.Scenario.load("mine.yaml").objectives == ("orders", "awareness")


def _schema(capsys: pytest.CaptureFixture[str]) -> jsonschema.Draft202012Validator:
    assert cli.main(["schema"]) == terminal.DONE
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("file", [INSURANCE, ROOT / "optimizer" / "starter.yaml"], ids=lambda file: file.stem)
def test_schema_accepts_shipped_scenarios(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = YAML(typ="safe", pure=True).load(file)
    data["horizon"]["start"] = str(data["horizon"]["start"])
    validator = _schema(capsys)
    validator.validate(data)
    resolved = opt.Scenario.load(file).resolved()
    validator.validate(resolved)
    data["constraints"]["budgett"] = 1
    assert not validator.is_valid(data)
    del data["constraints"]["budgett"]
    data["lines"][0]["current"] = "many"
    assert not validator.is_valid(data)


@pytest.mark.parametrize("command", ["plan", "front", "check"])
def test_infeasible_is_a_finding(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = INSURANCE.read_text(encoding="utf-8").replace("cost_per_policy: 250", "cost_per_policy: 1")
    Path("scenario.yaml").write_text(text, encoding="utf-8")
    assert cli.main([command, "scenario.yaml"]) == terminal.FINDING
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert _names(Path()) == {"scenario.yaml"}


@pytest.mark.parametrize("argv", [["plan"], ["nonsense"], ["plan", "x.yaml", "--nonsense"], ["fit", "x.csv"]])
def test_wrong_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == terminal.BAD_INPUT
    assert "Traceback" not in capsys.readouterr().err


def test_history_needs_a_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "history.csv"]) == terminal.BAD_INPUT
    assert "--config" in capsys.readouterr().err


def test_names_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = INSURANCE.read_text(encoding="utf-8")
    text = text.replace("name: insurance paid search, one quarter", 'name: "\\e[31m[bold]red[/bold]"')
    Path("scenario.yaml").write_text(text, encoding="utf-8")
    assert cli.main(["plan", "scenario.yaml"]) == terminal.DONE
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[bold]red[/bold]" in out


def test_a_full_disk_leaves_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write = Path.write_bytes

    def fail_late(path: Path, data: bytes) -> int:
        if "report" in path.name:
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fail_late)
    assert cli.main(["plan", str(INSURANCE), "--out", "out"]) == terminal.BAD_INPUT
    assert "no space left" in capsys.readouterr().err
    assert not Path("out").exists()


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from optimizer import cli; cli.main(['--help'])\n"
        "heavy = {'cvxpy', 'numba', 'altair', 'xarray', 'pymoo', 'jinja2', 'vl_convert'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "plan" in run.stdout


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[1] / "scenarios").glob("*.yaml")), ids=lambda f: f.stem
)
def test_check_on_shipped_scenarios_is_clean(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(file)]) == 0
    said = capsys.readouterr().out
    assert "is sound" in said
    assert "error [" not in said
    assert "warning [" not in said


def test_check_fails_on_an_objective_that_leads_nowhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parents[1] / "scenarios" / "awareness_conversion.yaml").read_text()
    file = tmp_path / "odd.yaml"
    file.write_text(text.replace("level: outcome", "level: output"))
    assert cli.main(["check", str(file)]) == 1
    said = capsys.readouterr().out
    assert "error [no-outcome-path]" in said
    assert "is sound" not in said


def test_free_flighting_is_written_by_period(capsys: pytest.CaptureFixture[str]) -> None:
    text = INSURANCE.read_text(encoding="utf-8").replace("\nlines:", "\nflighting: free\nlines:")
    Path("free.yaml").write_text(text, encoding="utf-8")
    assert cli.main(["plan", "free.yaml", "--out", "free", "--time-limit", "60"]) == terminal.DONE
    assert "When the money is spent" in capsys.readouterr().out
    assert _names(Path("free")) == PLAN_FILES | {"flighting.csv"}
    rows = list(csv.reader(Path("free/flighting.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[0][:3] == ["line", "2026-01-05", "2026-01-12"]
    told = json.loads(Path("free/plan.json").read_text(encoding="utf-8"))
    for name, *spend in rows[1:]:
        assert [float(value) for value in spend] == told["flighting"]["spend"][name]
        assert sum(map(float, spend)) == pytest.approx(told["spend"][name])
    again = cli.main(["plan", "free/scenario.resolved.yaml", "--out", "again"])
    assert again == terminal.DONE
    asked = ["front", "free.yaml", "--evaluations", "200", "--time-limit", "5", "--seed", "3", "--out", "front"]
    assert cli.main(asked) == terminal.DONE
    front = json.loads(Path("front/front.json").read_text(encoding="utf-8"))
    assert front["certificate"]["seed"] == 3
    name = told["allocation"][0]["line"]
    point = front["points"][0]
    by_period = [point[f"spend in period {t}: {name}"] for t in range(1, len(rows[0]))]
    assert sum(by_period) == pytest.approx(point[f"spend {name}"])


def test_a_front_stopped_early_is_written_with_its_proof(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import contextmanager

    def stop(done: float) -> None:
        if done < 1.0:
            raise KeyboardInterrupt

    @contextmanager
    def interrupted(label: str):
        yield stop

    monkeypatch.setattr(terminal, "progress", interrupted)
    assert cli.main(["front", str(INSURANCE), "--tolerance", "1e-6", "--out", "out"]) == terminal.DONE
    found = json.loads(Path("out/front.json").read_text(encoding="utf-8"))
    assert found["certificate"]["ended"] == "it was interrupted"
    assert 1e-6 < found["certificate"]["gap"] < 1.0
    said = " ".join(capsys.readouterr().out.split())
    assert "The search stopped early: it was interrupted." in said


def test_a_front_keeps_to_the_time_limit_and_shows_its_picks(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["front", str(INSURANCE), "--time-limit", "30", "--out", "out"]) == terminal.DONE
    found = json.loads(Path("out/front.json").read_text(encoding="utf-8"))
    assert [row["pick"] for row in found["picks"]][:3] == ["knee", "nearest to today", "nearest to the plan"]
    for row in found["picks"]:
        assert any(all(point[k] == pytest.approx(v) for k, v in row["kpis"].items()) for point in found["points"])
    said = capsys.readouterr().out
    assert "Picks from the front" in said
    assert "knee" in said
    assert cli.main(["front", str(INSURANCE), "--time-limit", "0"]) == terminal.BAD_INPUT
