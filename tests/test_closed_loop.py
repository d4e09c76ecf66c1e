"""The closed loop's worlds and measures: a world is its seed, and the figures are what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.closed_loop.measures import by_advice, by_plan, captured, coverage, summary
from benchmarks.closed_loop.page import render
from benchmarks.closed_loop.pipeline import write_json
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
