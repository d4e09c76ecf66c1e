"""The closed loop's worlds and measures: a world is its seed, and the figures are what they say."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.closed_loop import peers
from benchmarks.closed_loop.measures import beyond, by_advice, by_plan, captured, coverage, summary
from benchmarks.closed_loop.page import render
from benchmarks.closed_loop.pipeline import STARTER, write_json
from benchmarks.closed_loop.versions import code_of, of_one_code
from benchmarks.closed_loop.worlds import CARRY, QUARTER, world


def record(seed: int, habit: str, plan: float, oracle: float) -> dict[str, object]:
    gains = {"plan": plan, "no caution": plan, "point estimates": plan, "by return": 0.0, "oracle": oracle}
    traits = {"noise": 0.02, "lines": 5, "drift": False, "synergy": False, "weight": 0.6, "seconds": 1.0}
    return {
        "seed": seed,
        "habit": habit,
        **traits,
        "gain": gains,
        "covered": {"outcome 80%": [True, plan > 0]},
    }


def test_a_world_is_its_seed_and_what_its_truth_makes_of_it() -> None:
    one, again, other = world(3), world(3), world(4)
    assert one.table().equals(again.table())
    assert not one.table().equals(other.table())
    assert one.weights["sales"] + sum(v for k, v in one.weights.items() if k != "sales") == pytest.approx(1.0)
    assert one.truth.draws == 1
    assert int(one.truth.length.max()) == CARRY
    assert all(len(values) == QUARTER for values in one.anyway.values())
    assert (one.today > 0).all()


def test_habits_are_as_they_are_called() -> None:
    found = [world(seed) for seed in range(30)]
    assert {one.habit for one in found} == {"clear", "blurred", "confounded"}
    clear = next(one for one in found if one.habit == "clear" and (one.spend > 0).all())
    alike = np.corrcoef(np.log(clear.spend))
    assert np.median(np.abs(alike[np.triu_indices(len(alike), 1)])) < 0.4


def test_records_of_other_code_are_told_and_taken_away_only_when_asked(tmp_path: Path) -> None:
    for seed, code in ((1, code_of("record.json")), (2, "older")):
        folder = tmp_path / "worlds" / str(seed)
        folder.mkdir(parents=True)
        write_json(folder / "record.json", {"seed": seed, "code": code})
    (tmp_path / "worlds" / "1" / "tested.json").write_text('{"seed": 1}')
    with pytest.raises(SystemExit, match="made by other code"):
        of_one_code(tmp_path, anew=False)
    of_one_code(tmp_path, anew=True)
    assert [path.name for path in (tmp_path / "worlds").iterdir()] == ["1"]
    assert not (tmp_path / "worlds" / "1" / "tested.json").exists()


def test_measures_by_hand() -> None:
    part = [record(1, "clear", 0.02, 0.04), record(2, "blurred", -0.01, 0.02), record(1001, "clear", 0.03, 0.03)]
    assert captured(part[0], "plan") == pytest.approx(0.5)
    row = by_plan(part).loc["plan"]
    assert row["captured"] == pytest.approx(0.5)
    assert row["together"] == pytest.approx(0.04 / 0.09)
    assert row["harmed"] == pytest.approx(1 / 3)
    assert row["mean harm"] == row["worst"] == pytest.approx(-0.01)
    more = beyond(part).loc["by return"]
    assert more["captured"] == pytest.approx(0.5)
    assert more["together"] == pytest.approx(row["together"])
    assert more["harmed"] == pytest.approx(1 / 3)
    assert more["better"] == pytest.approx(2 / 3)
    assert more["together, error"] > 0
    assert (beyond(part).loc["point estimates", ["captured", "captured, error", "together, error"]] == 0).all()
    assert coverage(part) == pytest.approx(5 / 6)
    assert summary(part)["held out"]["all"]["worlds"] == 1
    tests = [
        {"after": {"a": [0.03, 0.01], "b": [0.01, 0.02]}, "advised": "a", "drawn": "b", "before": 0.01},
        {"after": {"a": [0.02, 0.02], "b": [0.03, 0.01]}, "advised": "a", "drawn": "b", "before": 0.02},
    ]
    found = by_advice(tests)
    assert found["better than the line drawn"] == found["as good"] == 0.5
    assert found["better, by single results"] == 0.5
    assert found["gained by the advice"] == pytest.approx(0.005)
    page = render(part, tests)
    assert "Held-out worlds: 1" in page
    assert page.count("<svg") == 4


def test_a_peer_gets_the_trade_off_budget_and_limits_that_the_plan_has(tmp_path: Path) -> None:
    made = world(3)
    ends = [
        {"name": name, "min": 0.5 * spend, "max": 2 * spend}
        for name, spend in zip(made.lines, made.today, strict=True)
    ]
    write_json(tmp_path / STARTER, {"lines": ends})
    found = peers.hand_over(made, tmp_path, tmp_path)
    task, history = json.loads((tmp_path / "task.json").read_text()), pd.read_csv(tmp_path / "history.csv")
    assert task["hash"] == found == peers.hand_over(made, tmp_path, tmp_path)
    assert list(history.columns) == ["week", *made.lines, "y"]
    # Each KPI over its usual week, so that the weights add up to a mean of 1 in the last year.
    assert history["y"].tail(52).mean() == pytest.approx(1.0)
    assert task["budget"] == pytest.approx(made.today.sum())
    assert task["limits"][made.lines[0]] == pytest.approx([0.5 * made.today[0], 2 * made.today[0]])
    assert (pd.Timestamp(task["end"]) - pd.Timestamp(task["start"])).days == 7 * (QUARTER - 1)


def test_a_peer_is_judged_on_the_worlds_that_it_planned_or_left_out_with_how_to_get_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = [record(1, "clear", 0.02, 0.04), record(1001, "clear", 0.03, 0.03)]
    chains = {"r-hat": 1.01, "divergences": 3, "draws": 1000, "fit seconds": 60.0, "plan seconds": 5.0}
    planned = [{"seed": 1001, "peer": "meridian", "version": "2", "gain": -0.01, **chains}]
    table = peers.figures(found, planned)["meridian"]
    assert table["seeds"] == [1001]
    assert table["plans"]["meridian"]["harmed"] == table["beyond"]["meridian"]["better"] == 1.0
    assert "Beside Meridian, worlds: 1" in render(found, (), planned)
    assert not peers.there("meridian", sys.executable)
    assert "pip install google-meridian" in capsys.readouterr().out
