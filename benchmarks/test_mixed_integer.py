"""Time and gap at the size asked for: 3 KPIs, 30 lines, S-shapes, group shares, a floor, minimum spends if on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optimizer as opt

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from test_piecewise import random_curve

LINES, KPIS, PERIODS = 30, 3, 13


def thirty_lines(seed: int) -> dict[str, Any]:
    """Return a random scenario of that size as plain data; six in ten curves are not concave."""
    rng = np.random.default_rng(seed)
    names, kpis = [f"line {i:02}" for i in range(LINES)], [f"kpi {k}" for k in range(KPIS)]
    budget = 200.0 * LINES
    data: dict[str, Any] = {
        "name": "thirty lines",
        "currency": "EUR",
        "horizon": {"start": "2026-01-05", "periods": PERIODS},
        "lines": [
            {"name": name, "current": 200.0, "max": float(budget * rng.uniform(0.3, 1)), "channel": "abc"[i % 3]}
            for i, name in enumerate(names)
        ],
        "kpis": {kpi: {"direction": "maximize", "unit": "things"} for kpi in kpis},
        "response": {
            kpi: {
                name: {
                    "curve": random_curve(rng, 0.6),
                    "adstock": {"kind": "geometric", "rate": float(rng.uniform(0, 0.8)), "length": 6},
                }
                for name in names
            }
            for kpi in kpis
        },
        "constraints": {
            "budget": {"total": budget},
            "shares": [
                {"select": {"channel": "a"}, "min": 0.25, "max": 0.5},
                {"select": {"channel": "b"}, "max": 0.45},
            ],
            "minimum_if_on": [{"select": {"channel": channel}, "amount": 200.0} for channel in "ab"],
        },
        "preferences": {
            "weights": {kpi: float(rng.uniform(0.2, 1)) for kpi in kpis},
            "scale": {kpi: [0.0, 240.0] for kpi in kpis},
        },
    }
    scenario = opt.Scenario.from_dict(data)
    today = opt.simulate(scenario, scenario.current).mean()
    data["kpis"]["all"] = {"direction": "maximize", "role": "guardrail", "sum": kpis}
    data["preferences"]["floors"] = {"all": float(today[kpis].sum())}
    return data


@pytest.mark.parametrize("tolerance", [5e-3, 1e-6])
@pytest.mark.parametrize("seed", range(10))
def test_thirty_lines(benchmark: Any, seed: int, tolerance: float) -> None:
    scenario = opt.Scenario.from_dict(thirty_lines(seed))
    plan = benchmark.pedantic(opt.solve, (scenario,), {"tolerance": tolerance, "time_limit": 60.0}, rounds=1)
    certificate = plan.certificate
    benchmark.extra_info["gap"] = certificate.gap / certificate.value
    assert certificate.route == "mixed_integer"
    assert certificate.gap <= 5e-3 * certificate.value
    if benchmark.enabled:
        assert benchmark.stats.stats.max <= 60.0
