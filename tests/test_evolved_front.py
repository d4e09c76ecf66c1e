"""Fronts found by search: near what is known, within what is proven, rules kept, never below a start."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flighting_cases
import numpy as np
import pytest
from conftest import make_scenario
from test_evolve import linked
from test_frontier import hollow

import optimizer as opt
from optimizer.front import spend_columns
from optimizer.solve import evolution
from optimizer.solve.evolved_front import _Search
from optimizer.solve.routes import pick_route

SMALL = opt.Evolution(population=20, evaluations=200)


def kpis_of(scenario: opt.Scenario, plans: np.ndarray) -> np.ndarray:
    found = opt.simulate(scenario, plans).groupby(level="plan").mean()
    return found[list(scenario.objectives)].to_numpy()


def check(front: opt.Front) -> None:
    """Points are what simulation says, keep every rule, and lie within what is proven."""
    scenario, money = front.scenario, front.scenario.spec.constraints.budget.amount
    kpis = front.points[list(scenario.objectives)].to_numpy()
    assert kpis == pytest.approx(kpis_of(scenario, front.plans), rel=1e-12)
    for plan in front.plans:
        assert scenario.polyhedron.slack(plan).min() >= -1e-6 * money
        switches = scenario.polyhedron.switches
        assert switches is None or switches.kept(plan, 1e-6 * money)
    if front.limits is not None:
        assert (front.steps(kpis) @ front.limits.weights.T <= front.limits.levels + 1e-9).all()
        assert front.certificate.hypervolume <= front.certificate.bound


@pytest.mark.parametrize("seed", [0, 1])
def test_two_lines_with_known_front(seed: int) -> None:
    scenario = opt.Scenario.from_dict(linked(seed, 2, 2))
    front = opt.frontier(scenario, search=opt.Evolution(population=50, evaluations=3000))
    check(front)
    first = np.linspace(0.0, 1000.0, 10_001)
    known = kpis_of(scenario, np.column_stack([first, 1000.0 - first]))
    assert front.hypervolume >= 0.99 * front.hypervolume_of(known)
    assert (front.steps(known) @ front.limits.weights.T <= front.limits.levels + 1e-9).all()
    assert front.certificate.route == "evolved_front"
    assert front.certificate.seed == 0
    assert "multiplies" in front.certificate.why
    assert "SMSEMOA" in front.certificate.why


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [(make_scenario(5, 2, 3), 1e-3), (make_scenario(4, 3, 4), 0.01), (hollow(), 0.02)],
    ids=["concave", "three KPIs", "hollow"],
)
def test_it_comes_near_certified_fronts(data: dict[str, Any], tolerance: float) -> None:
    scenario = opt.Scenario.from_dict(data)
    known = opt.frontier(scenario, tolerance=tolerance)
    front = opt.frontier(scenario, route="evolve", search=opt.Evolution(population=60, evaluations=2000))
    check(front)
    kpis = front.points[list(scenario.objectives)]
    assert known.hypervolume_of(kpis) >= 0.99 * known.hypervolume
    assert (known.steps(kpis) @ known.limits.weights.T <= known.limits.levels + 1e-6).all()
    # What it proves itself holds for every plan of the certified front too.
    others = front.steps(known.points[list(scenario.objectives)])
    assert (others @ front.limits.weights.T <= front.limits.levels + 1e-6).all()


def coupled() -> dict[str, Any]:
    """Six lines under ten rows that couple several of them, and one line on or off."""
    rng = np.random.default_rng(3)
    groups = [
        {"select": {"line": [f"line{i}" for i in rng.permutation(6)[:3]]}, "max": 620.0, "name": f"rule {j}"}
        for j in range(8)
    ]
    shares = [{"select": {"channel": "a"}, "min": 0.3, "max": 0.7}]
    rules = {"budget": {"total": 1000.0}, "groups": groups, "shares": shares}
    switched = [{"select": {"line": "line1"}, "amount": 120.0}]
    return linked(5, 6, 2, constraints=rules | {"minimum_if_on": switched})


def test_ten_coupled_rows_are_kept() -> None:
    scenario = opt.Scenario.from_dict(coupled())
    assert (np.diff(scenario.polyhedron.A.tocsr().indptr) > 1).sum() >= 10
    check(opt.frontier(scenario, search=SMALL, time_limit=6.0))


def test_no_start_plan_is_better() -> None:
    scenario = opt.Scenario.from_dict(linked(2, 4, 2))
    search = _Search(scenario, SMALL, partial(pick_route), np.inf, None)
    search.run()
    front = search.front(0.01)
    starts = kpis_of(scenario, np.array([search.base.spend(z) for z in search.starts]))
    found = front.points[list(scenario.objectives)].to_numpy()
    assert len(starts) > 10
    assert all((found >= start * (1 - 1e-9)).all(axis=1).any() for start in starts)
    assert (found >= kpis_of(scenario, scenario.current[None])).all(axis=1).any()


def test_the_same_seed_finds_the_same_front_and_goes_on_from_any_generation(tmp_path: Path) -> None:
    scenario = opt.Scenario.from_dict(linked(4, 3, 2))
    whole = opt.frontier(scenario, search=SMALL)
    other = opt.frontier(scenario, search=opt.Evolution(population=20, evaluations=200, seed=7))
    assert other.certificate.seed == 7
    assert not other.points.equals(whole.points)
    for last in (1, 6):
        file = tmp_path / f"stopped after {last}"

        def stop(at: evolution.Generation, last: int = last) -> None:
            if at.number == last:
                raise KeyboardInterrupt

        kept = {"population": 20, "evaluations": 200, "checkpoint": file}
        stopped = opt.frontier(scenario, search=opt.Evolution(**kept, report=stop))
        assert "interrupted" in stopped.certificate.ended
        check(stopped)
        assert opt.frontier(scenario, search=opt.Evolution(**kept)).points.equals(whole.points)
    with pytest.raises(opt.DataError, match="another search"):
        opt.frontier(scenario, search=opt.Evolution(population=20, seed=1, checkpoint=file))
    file.write_bytes(b"nothing")
    with pytest.raises(opt.DataError, match="not a checkpoint"):
        opt.frontier(scenario, search=opt.Evolution(population=20, evaluations=200, checkpoint=file))


@pytest.mark.parametrize("calls", [1, 3])
def test_an_interrupt_keeps_what_is_there(calls: int) -> None:
    seen = []

    def interrupt(done: float) -> None:
        seen.append(done)
        if len(seen) == calls:
            raise KeyboardInterrupt

    front = opt.frontier(opt.Scenario.from_dict(linked(1, 3, 2)), progress=interrupt, search=SMALL)
    assert "interrupted" in front.certificate.ended
    assert len(front.points) >= 2
    check(front)


def test_no_time_leaves_an_honest_front() -> None:
    front = opt.frontier(opt.Scenario.from_dict(linked(1, 3, 2)), time_limit=0.0)
    assert "time" in front.certificate.ended
    check(front)


def test_the_algorithm_is_picked_or_given() -> None:
    from pymoo.algorithms.moo.nsga2 import NSGA2

    data = linked(3, 3, 2)
    given = opt.Evolution(population=20, evaluations=200, algorithm=NSGA2)
    assert "(NSGA2," in opt.frontier(opt.Scenario.from_dict(data), search=given).certificate.why
    scale = {"kpi0": [0.0, 60.0], "kpi1": [0.0, 60.0]}
    data["preferences"] = {"targets": {"kpi0": 30.0, "kpi1": 25.0}, "scale": scale}
    assert "(RNSGA2," in opt.frontier(opt.Scenario.from_dict(data), search=SMALL).certificate.why
    # Running this one compiles for seconds.
    search = SimpleNamespace(scores=4)
    assert type(evolution._algorithm(search, np.ones((20, 3)), SMALL, None, None)).__name__ == "AGEMOEA2"


def test_floors_are_kept() -> None:
    data = linked(1, 3, 2)
    free = opt.frontier(opt.Scenario.from_dict(data), search=SMALL, time_limit=6.0)
    least = float(free.points["kpi0"].quantile(0.5))
    data["preferences"] |= {"floors": {"kpi0": least}}
    front = opt.frontier(opt.Scenario.from_dict(data), search=SMALL, time_limit=6.0)
    assert front.points["kpi0"].min() >= least * (1 - 1e-9)
    check(front)


def shaped_flights(kpis: int = 2) -> dict[str, Any]:
    data = flighting_cases.problem(1, 2, 4, kpis)
    for entry in data["response"]["kpi 0"].values():
        entry["curve"] = {"kind": "hill", "scale": 5.0, "half": 90.0, "slope": 2.5}
    return data


def test_free_flighting_with_s_shapes(tmp_path: Path) -> None:
    scenario = opt.Scenario.from_dict(shaped_flights())
    front = opt.frontier(scenario, search=SMALL)
    check(front)
    assert front.plans.shape[1:] == (2, 4)
    assert list(front.points) == [*scenario.objectives, *spend_columns(scenario)]
    totals = front.points[[f"spend {line}" for line in scenario.lines]].to_numpy()
    assert totals == pytest.approx(front.plans.sum(axis=2))
    assert "S-shaped" in front.certificate.why
    plan = front.pick(weights={"kpi 0": 1.0, "kpi 1": 1.0})
    assert plan.spend.shape == (2, 4)
    assert plan.outcomes.loc["kpi 0", "expected"] in front.points["kpi 0"].to_numpy()
    assert front.nearest(plan).spend.equals(plan.spend)
    front.save(tmp_path / "front.json")
    assert opt.Front.load(tmp_path / "front.json").points.equals(front.points)


def test_compiled_modules_are_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evolution.compiled()
    monkeypatch.setattr("pymoo.functions.is_compiled", lambda: False)
    with pytest.warns(RuntimeWarning, match="compiled modules are missing"):
        assert not evolution.compiled()
