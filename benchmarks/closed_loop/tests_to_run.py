"""Follow the advice on what to test next, or test another line, and see what replanning truly gains.

The other line is drawn among the lines that were not advised: drawn among all, it would be the advised one in some
worlds, and a tie by construction. It is tested at the size that tells most of it, though that is advice too: a
size drawn at random would make the rival weaker than it need be. Both tests are read with the same errors,
`RESULTS` times over, each with a plan made after it, within limits that reach as far as the line was tested, on
curves as `fit --calibrate` corrects them: of many draws of the same fit those that foretell the result. What
counts is the mean true gain of those plans, without noise.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import optimizer as opt
from optimizer.evidence.calibrate import LiftTest, calibrate, foretold
from optimizer.evidence.fit import CANDIDATES, check_history, fit
from optimizer.next_test import NextTest

from .pipeline import TOLERANCE, Referee, scenario_of
from .worlds import World

# Results that a test may have, by its own error: enough that their mean is what a line's test brings.
RESULTS = 8
MANY = "many.nc"


def try_tests(world: World, folder: Path) -> dict[str, Any]:
    """Test the advised line and one drawn among the others, each at its most telling size, and replan: plain data.

    A test measures the true lift with the error that the advice reckons with.
    """
    began = time.process_time()
    referee, scenario = Referee(world, folder), scenario_of(world, folder)
    plan = opt.solve(scenario, tolerance=TOLERANCE)
    advice = opt.what_to_test(plan)
    draws, many = scenario.response.draws, _many(world, folder)
    rng = np.random.default_rng([world.seed, 11])
    other = str(rng.choice([line for line in world.lines if line != advice.line]))
    errors = rng.standard_normal((RESULTS, len(advice.error)))
    return {
        "seed": world.seed,
        "habit": world.habit,
        "before": referee.gain(plan.totals.to_numpy(dtype=float)),
        "advised": advice.line,
        "drawn": other,
        "expected": float(advice.table["gain"].iloc[0]),
        "gain_share": float(advice.table["gain_share"].iloc[0]),
        "after": {
            line: [_after(world, referee, many, draws, advice, line, one) for one in errors]
            for line in (advice.line, other)
        },
        "seconds": time.process_time() - began,
    }


def _many(world: World, folder: Path) -> opt.Scenario:
    """The planner's scenario on all the draws that `fit --calibrate` weighs: results only choose among them."""
    history, spec = check_history(folder / "history.csv", folder / "fit.yaml")
    path = folder / MANY
    fit(history, spec.model_copy(update={"draws": CANDIDATES})).model.save(path)
    found = scenario_of(world, folder, MANY)
    path.unlink()
    return found


def _after(
    world: World,
    referee: Referee,
    many: opt.Scenario,
    draws: int,
    advice: NextTest,
    line: str,
    errors: NDArray[np.float64],
) -> float:
    """What the plan made after a line's test truly gains over today; ``errors`` (K,) are standard normal.

    It is picked by as many of the ``many`` draws as plans are: ``draws``.
    """
    row = advice.test(line)
    size = float(row["spend"])
    usual = world.today[world.lines.index(line)] / many.spec.horizon.periods
    tests = []
    for (kpi, error), off in zip(advice.error.items(), errors, strict=True):
        said = {"name": kpi, "line": line, "kpi": kpi, "spend": [usual, usual * size], "periods": advice.periods}
        lift = float(foretold(referee.scenario.response, LiftTest(**said, lift=0.0, se=error))[0])
        tests.append(LiftTest(**said, lift=lift + float(off) * error, se=error))
    chosen = calibrate(many.response, tests).pick(draws, 1)
    # What `fit --calibrate` would write: curves as the test has corrected them, limits that it has moved.
    scenario = replace(
        many.with_limits({line: (row["min"], row["max"])}), response=many.response.with_draws(chosen)
    )
    found = opt.solve(scenario, tolerance=TOLERANCE)
    return referee.gain(found.totals.to_numpy(dtype=float))
