"""Free flighting with S-shapes and carry-over, 52 weeks x 20 lines: what shapes buy over flat and plain search.

    python -m pytest benchmarks/test_shapes.py -s -n 0

Every line (a brand, a market) has most of its money to itself, and it is so scarce that most lines cannot be past
the bend of their curve in every week. The flat plan is the certified optimum of the same scenario with flat
flighting; the search without shapes is the same evolution, of the same size and seed, from relaxed problems,
today's plan and a spread, with the same climbs.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import optimizer as opt
from optimizer.solve.evolve import EvolveSolver

BUDGET, LINES, PERIODS = 1e6, 20, 52


def problem(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    names = [f"line{i:02d}" for i in range(LINES)]
    even = BUDGET / LINES / PERIODS
    return {
        "name": "flights",
        "currency": "EUR",
        "horizon": {"start": "2026-01-05", "periods": PERIODS},
        "flighting": "free",
        "lines": [
            {"name": name, "current": BUDGET / LINES, "min": 0.04 * BUDGET, "max": BUDGET / 5} for name in names
        ],
        "kpis": {"sales": {"direction": "maximize", "unit": "sale"}},
        "response": {
            "sales": {
                name: {
                    "curve": {
                        "kind": "hill",
                        "scale": float(rng.uniform(50, 300)),
                        "half": float(even * rng.uniform(1, 8)),
                        "slope": float(rng.uniform(1.2, 3.5)),
                    },
                    "adstock": {"kind": "geometric", "rate": float(rng.uniform(0.1, 0.8)), "length": 8},
                }
                for name in names
            }
        },
        "constraints": {"budget": {"total": BUDGET}},
        "preferences": {},
    }


def solved(data: dict[str, Any]) -> tuple[opt.Plan, float]:
    scenario = opt.Scenario.from_dict(data)
    begun = time.process_time()
    plan = opt.solve(scenario, time_limit=90)
    return plan, time.process_time() - begun


def test_shapes_against_flat_and_none(monkeypatch: pytest.MonkeyPatch) -> None:
    solved(problem(0))
    print("\nseed      flat    without    shapes   bound   seconds without, with")
    for seed in range(3):
        data = problem(seed)
        flat, _ = solved(data | {"flighting": "flat"})
        own, seconds = solved(data)
        with monkeypatch.context() as patched:
            patched.setattr(EvolveSolver, "_shaped", lambda solver, shapes, goal: (None, []))
            without, longer = solved(data)
        values = [plan.certificate.value for plan in (flat, without, own)]
        print(f"{seed:4} " + "".join(f"{value:10,.0f}" for value in values), end="")
        print(f"{own.certificate.bound:10,.0f} {longer:8.1f} {seconds:6.1f}", end="")
        print(f"   {values[2] / values[0] - 1:+.1%} over flat, {values[2] / values[1] - 1:+.2%} over none")
        assert values[2] >= values[0]
        assert values[2] >= values[1] * (1 - 1e-6)
        assert own.spend.to_numpy().sum() == pytest.approx(BUDGET, rel=1e-6)
