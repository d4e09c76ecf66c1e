"""Follow the advice on what to test next, or test another line, and see what replanning truly gains."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import optimizer as opt
from optimizer.evidence.calibrate import LiftTest, calibrate, foretold
from optimizer.next_test import NextTest

from .pipeline import TOLERANCE, Referee, scenario_of
from .worlds import World


def try_tests(world: World, folder: Path) -> dict[str, Any]:
    """Test each line in turn, at the size that is said to tell most of it, and replan: plain data.

    The test measures the true lift with the error that the advice reckons with. ``random`` is a line drawn.
    """
    began = time.process_time()
    referee, scenario = Referee(world, folder), scenario_of(world, folder)
    plan = opt.solve(scenario, tolerance=TOLERANCE)
    advice = opt.what_to_test(plan)
    rng = np.random.default_rng([world.seed, 11])
    gains = {line: _after(world, referee, plan, advice, line, rng) for line in world.lines}
    return {
        "seed": world.seed,
        "habit": world.habit,
        "before": referee.gain(plan.totals.to_numpy(dtype=float)),
        "oracle": referee.gain(opt.solve(referee.scenario, tolerance=TOLERANCE).totals.to_numpy(dtype=float)),
        "advised": advice.line,
        "random": str(rng.choice(world.lines)),
        "gain_share": float(advice.table["gain_share"].iloc[0]),
        "after": gains,
        "seconds": time.process_time() - began,
    }


def _after(
    world: World, referee: Referee, plan: opt.Plan, advice: NextTest, line: str, rng: np.random.Generator
) -> float:
    """What the plan made after a line's test truly gains over today's split."""
    row = advice.test(line)
    size = float(row["spend"])
    usual = world.today[world.lines.index(line)] / plan.scenario.spec.horizon.periods
    tests = []
    for kpi, error in advice.error.items():
        said = {"name": kpi, "line": line, "kpi": kpi, "spend": [usual, usual * size], "periods": advice.periods}
        lift = float(foretold(referee.scenario.response, LiftTest(**said, lift=0.0, se=error))[0])
        tests.append(LiftTest(**said, lift=lift + float(rng.normal(0, error)), se=error))
    model = plan.scenario.response
    chosen = calibrate(model, tests).pick(model.draws, 1)
    found = opt.solve(replace(plan.scenario, response=model.with_draws(chosen)), tolerance=TOLERANCE)
    return referee.gain(found.totals.to_numpy(dtype=float))
