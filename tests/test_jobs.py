"""Many scenarios solved: in processes as in one, once each, and on after an interruption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import make_scenario

import optimizer as opt
from optimizer.solve import jobs


def grid(count: int) -> list[opt.Scenario]:
    base = opt.Scenario.from_dict(make_scenario(3, 2))
    return [base, *(base.variant(f"budget {i}", budget=0.6 + 0.02 * i) for i in range(count))]


def test_fifty_variants_in_processes_equal_one_by_one() -> None:
    scenarios = grid(50)
    one_by_one = [opt.solve(scenario) for scenario in scenarios]
    heard: list[float] = []
    found = jobs.solve_all(scenarios, workers=2, progress=heard.append)
    for alone, plan, scenario in zip(one_by_one, found, scenarios, strict=True):
        assert isinstance(plan, opt.Plan)
        assert plan.scenario is scenario
        np.testing.assert_array_equal(plan.spend, alone.spend)
        assert plan.certificate == alone.certificate
        assert plan.prices == alone.prices
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenarios, keep = grid(6), tmp_path / "kept"
    whole = jobs.solve_all(scenarios)
    solved: list[str] = []

    def stop_after_three(scenario: opt.Scenario) -> opt.Plan:
        if len(solved) == 3:
            raise KeyboardInterrupt
        solved.append(scenario.name)
        return opt.solve(scenario)

    monkeypatch.setattr(jobs, "solve", stop_after_three)
    with pytest.raises(KeyboardInterrupt):
        jobs.solve_all(scenarios, keep=keep)
    assert len(list(keep.glob("*.json"))) == 3
    resumed: list[str] = []
    monkeypatch.setattr(jobs, "solve", lambda scenario: resumed.append(scenario.name) or opt.solve(scenario))
    found = jobs.solve_all(scenarios, keep=keep)
    assert not set(resumed) & set(solved)
    for one, other in zip(whole, found, strict=True):
        np.testing.assert_array_equal(one.spend, other.spend)
        assert one.certificate == other.certificate
        assert dict(one.prices) == dict(other.prices)
    jobs.forget(keep)
    assert not keep.exists()


def test_equal_content_is_solved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    base = opt.Scenario.from_dict(make_scenario())
    solved: list[str] = []
    monkeypatch.setattr(jobs, "solve", lambda scenario: solved.append(scenario.name) or opt.solve(scenario))
    found = jobs.solve_all([base, base.variant("again"), base.variant("more", budget=1.1)])
    assert solved == ["test", "more"]
    assert [plan.scenario.name for plan in found] == ["test", "again", "more"]


@pytest.mark.parametrize("workers", [1, 2])
def test_failures_come_back_as_values(workers: int) -> None:
    scenarios = grid(2)
    stuck = scenarios[0].variant("stuck", budget=5.0, constraints={"change": {"up": 0.1}})
    one, error, two = jobs.solve_all([scenarios[1], stuck, scenarios[2]], workers=workers)
    assert isinstance(error, opt.InfeasibleError)
    assert "no plan keeps" in error.message
    assert error.hint
    assert isinstance(one, opt.Plan)
    assert isinstance(two, opt.Plan)


def test_few_quick_scenarios_stay_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "ProcessPoolExecutor", None)
    assert len(jobs.solve_all(grid(3), workers=None)) == 4


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    scenarios = grid(1)
    jobs.solve_all(scenarios, keep=tmp_path)
    file = next(tmp_path.glob("*.json"))
    file.write_text("{}")
    with pytest.raises(opt.DataError, match="not a plan that was kept"):
        jobs.solve_all(scenarios, keep=tmp_path)


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(opt.DataError, match="directory"):
        jobs.solve_all(grid(1), keep=tmp_path / "file" / "below")


def end_at_once(scenario: opt.Scenario) -> None:
    import os

    os._exit(1)


def test_a_process_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_job", end_at_once)
    for error in jobs.solve_all(grid(2), workers=2):
        assert isinstance(error, opt.SolverError)
        assert "__main__" in error.hint
