"""Floors with a probability, on draws that no solver has seen; means over the worst draws, against simulation.

    python -m pytest benchmarks/test_fresh_draws.py -s

A hundred random problems of 3 to 8 lines whose curves are known up to a spread of 30 %, in 200 or 1,000 draws. The
floor is one that the plan without it breaks, so that the solver works its way down to it, which is where draws
flatter a plan. Each plan is simulated on 5,000 fresh draws from the same spread.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from test_chance import drawn, worst_mean
from test_convex import problem

import optimizer as opt

PROBLEMS, FRESH, KPI = 100, 5000, "kpi 1"
# Of sampling; 95 in 100 shares lie within.
ERRORS = 1.96


def planned(folder: Path, seed: int) -> tuple[opt.Plan, opt.Scenario, float, int] | None:
    """A plan under a floor with a probability, fresh draws, probability and draws used; None if no plan."""
    rng = np.random.default_rng(seed)
    data = problem(seed, int(rng.integers(3, 9)), 2)
    data["kpis"][KPI]["role"] = "guardrail"
    data["preferences"] = {}
    model = opt.Scenario.from_dict(data).response
    draws, wanted = int(rng.choice([200, 1000])), float(rng.choice([0.8, 0.9, 0.95]))
    for name, number in (("used", draws), ("fresh", FRESH)):
        drawn(model, number, rng).save(folder / f"{name}.nc")
    data["response"] = {"file": "used.nc"}
    free = opt.solve(opt.Scenario.from_dict(data, folder))
    values = opt.simulate(free.scenario, free.spend)[KPI]
    level = float(np.quantile(values, (1.0 - wanted) * rng.uniform(1.2, 2.5)))
    data["preferences"] = {"floors": {KPI: {"value": level, "probability": wanted}}}
    try:
        plan = opt.solve(opt.Scenario.from_dict(data, folder))
    except opt.InfeasibleError:
        return None
    return plan, opt.Scenario.from_dict(data | {"response": {"file": "fresh.nc"}}, folder), wanted, draws


def test_floors_with_a_probability_hold_on_fresh_draws(tmp_path: Path) -> None:
    within, alone, short, solved, seed = 0, 0, [], 0, -1
    while solved < PROBLEMS:
        seed += 1
        (folder := tmp_path / str(seed)).mkdir()
        found = planned(folder, seed)
        if found is None:
            continue
        solved += 1
        plan, fresh, wanted, draws = found
        floor = plan.scenario.spec.preferences.floors[KPI].value
        used = opt.simulate(plan.scenario, plan.spend)[KPI].to_numpy()
        assert np.mean(used >= floor) >= wanted
        share = float(np.mean(opt.simulate(fresh, plan.spend)[KPI].to_numpy() >= floor))
        error = wanted * (1.0 - wanted)
        within += share >= wanted - ERRORS * np.sqrt(error / draws + error / FRESH)
        alone += share >= wanted - ERRORS * np.sqrt(error / FRESH)
        short.append(wanted - share)
    print(f"\n{PROBLEMS} problems, {seed + 1 - PROBLEMS} more without a plan")
    print(f"the floor holds within the sampling error of the draws used and the fresh ones in {within}, ", end="")
    print(f"within that of the fresh ones alone in {alone}; short by {np.mean(short):.2%} on average, ", end="")
    print(f"{max(short):.2%} at most")
    assert within >= 95


@pytest.mark.parametrize("share", [0.05, 0.15, 0.5])
def test_means_over_the_worst_draws_are_those_simulated(tmp_path: Path, share: float) -> None:
    apart, beside, plans = 0.0, 0.0, 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        data = problem(seed, int(rng.integers(3, 9)), 2)
        drawn(opt.Scenario.from_dict(data).response, 200, rng).save(tmp_path / "response.nc")
        data |= {"response": {"file": "response.nc"}, "preferences": {}}
        data["kpis"][KPI]["role"] = "guardrail"
        free = opt.solve(opt.Scenario.from_dict(data, tmp_path))
        level = worst_mean(opt.simulate(free.scenario, free.spend)[KPI].to_numpy(), share) * 1.01
        data["preferences"] = {"floors": {KPI: {"value": level, "cvar": share}}}
        try:
            plan = opt.solve(opt.Scenario.from_dict(data, tmp_path))
        except opt.InfeasibleError:
            continue
        told = level + float(plan.rules["slack"].iloc[-1])
        held = worst_mean(opt.simulate(plan.scenario, plan.spend)[KPI].to_numpy(), share)
        # The floor costs something, so the solver stops where its own mean of the worst draws is at the level.
        apart, beside, plans = max(apart, abs(told / held - 1.0)), max(beside, abs(held / level - 1.0)), plans + 1
    print(f"\nworst {share:.0%}, {plans} plans: told and simulated differ by at most {apart:.1e}, ", end="")
    print(f"the level and what the solver stopped at by {beside:.1e}")
    assert plans >= 20
    assert max(apart, beside) <= 1e-6
