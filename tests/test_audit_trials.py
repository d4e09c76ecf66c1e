"""Experiments as audits: verdicts, pictures, and a tests.yaml that a fit takes as it is."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from optimizer import DataError, SpecError, documents
from optimizer.audit import trials
from optimizer.cli import main
from optimizer.evidence.calibrate import LiftTests

START, END = date(2026, 3, 30), date(2026, 5, 10)


def regions(lift: float, drift: float = 0.0, seed: int = 3) -> pd.DataFrame:
    """24 regions over 18 weeks, ten of them treated in the last six."""
    rng = np.random.default_rng(seed)
    days = pd.date_range("2026-01-05", periods=18, freq="W-MON")
    rows = [
        (f"r{i}", day.date(), 100 * (1 + i / 5) * factor, "a" if i < 10 else "b")
        for i in range(24)
        for t, day in enumerate(days)
        for factor in [1 + 0.05 * rng.standard_normal() + (i < 10) * (drift * t + lift * (t >= 12))]
    ]
    return pd.DataFrame(rows, columns=["unit", "date", "value", "group"])


def arms(treated: int, control: int, people: int = 10_000) -> pd.DataFrame:
    return pd.DataFrame({"arm": ["control", "new"], "count": [control, treated], "size": [people, people]})


def test_a_plan_says_how_many_and_how_long():
    found = trials.plan_people(0.05, 0.005, per_period=4000)
    assert found.verdict.answer == "planned"
    assert found.figures["treated"] == pytest.approx(31_234, abs=2)
    assert found.figures["periods"] == 16
    at = min(found.curve, key=lambda point: abs(point["x"] - 2 * found.figures["treated"]))
    assert at["power"] == pytest.approx(0.8, abs=0.02)
    rising = [point["power"] for point in found.curve]
    assert rising == sorted(rising)
    held = trials.plan_people(0.05, 0.0, margin=0.005)
    assert "loses less than 0.5 points" in held.verdict.reason


@pytest.mark.parametrize(
    ("lift", "answer"), [(0.015, "too small"), (-0.05, "large enough"), (0.10, "large enough")]
)
def test_a_plan_over_regions(lift: float, answer: str):
    found = trials.plan_regions(regions(0.0), 10, 14, 6, lift)
    assert found.verdict.answer == answer
    powers = [point["power"] for point in found.curve]
    assert np.isfinite(powers).all()
    assert powers == sorted(powers)


@pytest.mark.parametrize(
    ("treated", "margin", "light", "answer"),
    [
        (700, None, "green", "it works"),
        (400, None, "red", "it harms"),
        (510, None, "grey", "cannot be told"),
        (510, 0.01, "green", "guardrail held"),
        (350, 0.005, "red", "guardrail lost"),
        (480, 0.005, "grey", "cannot be told"),
    ],
)
def test_people(treated: int, margin: float | None, light: str, answer: str):
    found = trials.read_people(arms(treated, 500), "control", margin=margin)
    assert (found.verdict.light, found.verdict.answer) == (light, answer)
    assert found.lift is not None
    assert found.lift.value == pytest.approx(treated - 500)


def test_a_broken_split_comes_before_any_result():
    rows = arms(700, 500).assign(size=[10_000, 9_000])
    assert trials.read_people(rows, "control", split=0.5).verdict.answer == "split is broken"
    assert trials.read_people(arms(700, 500), "control", split=0.5).verdict.answer == "it works"


@pytest.mark.parametrize(
    ("lift", "drift", "answer"),
    [
        (0.1, 0.0, "it works"),
        (-0.1, 0.0, "it harms"),
        (0.0, 0.0, "cannot be told"),
        (0.1, 0.02, "groups not alike"),
    ],
)
def test_regions(lift: float, drift: float, answer: str):
    found = trials.read_regions(regions(lift, drift), [f"r{i}" for i in range(10)], START, END)
    assert found.verdict.answer == answer
    assert len(found.series) == 2 * 18


def test_bad_input():
    for rows, error in (
        (arms(700, 500).replace("control", "old"), SpecError),
        (arms(20_000, 500), DataError),
        (pd.concat([arms(7, 5), arms(7, 5).assign(arm="third")]), DataError),
    ):
        with pytest.raises(error):
            trials.read_people(rows, "control")
    with pytest.raises(SpecError, match="a plan has no lift"):
        trials.plan_people(0.05, 0.01).as_test("t", "tv", "sales", (0, 1), 4)
    with pytest.raises(SpecError, match="changed no spend"):
        trials.read_people(arms(700, 500), "control").as_test("t", "tv", "sales", (5, 5), 4)


REGIONS = "--unit unit --date date --value value"
READ = f"{REGIONS} --group group --treated a --start 2026-03-30 --end 2026-05-10"
TEST = "--line tv --kpi sales --spend 0 2000 --periods 6 --part 0.4"


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    regions(0.1).to_csv(tmp_path / "geo.csv", index=False)
    arms(700, 500).to_csv(tmp_path / "ab.csv", index=False)
    calls = {
        "plan": "--rate 0.05 --change 0.005 --per-period 4000",
        "plan-regions": f"{tmp_path / 'geo.csv'} {REGIONS} --treated 10 --control 14 --periods 6 --lift 0.015",
        "read": f"{tmp_path / 'ab.csv'} --arm arm --control control --count count --size size --margin 0.005",
        "read-regions": f"{tmp_path / 'geo.csv'} {READ} {TEST}",
    }
    for name, options in calls.items():
        command = ["audit", "experiment", name, *options.split(), "--out", str(tmp_path / name)]
        assert main(command) == 0, name
        page = (tmp_path / name / "audit-experiment.html").read_text()
        found = json.loads((tmp_path / name / "audit-experiment.json").read_text())
        assert "<svg" in page
        assert "Next:" in page
        assert found["kind"] == name
    out = capsys.readouterr().out
    assert "GREEN: guardrail held" in out
    written = YAML(typ="safe").load((tmp_path / "read-regions" / "tests.yaml").read_text())
    (test,) = documents.check(documents.read(tmp_path / "read-regions" / "tests.yaml"), LiftTests).tests
    assert (test.line, test.periods, test.part) == ("tv", 6, 0.4)
    assert written["tests"][0]["lift"] == found["lift"]["value"]
    command = ["audit", "experiment", "read-regions", *calls["read-regions"].replace(" --kpi sales", "").split()]
    assert main(command) == 2
    assert "give all four" in capsys.readouterr().err
