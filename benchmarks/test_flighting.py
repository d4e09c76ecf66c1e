"""Free flighting at the size of a year: 52 weeks x 20 lines x 200 draws, against the best flat plan.

    python -m pytest benchmarks/test_flighting.py -s --benchmark-enable

Hill curves with slopes up to 1, normalised geometric carry-over of 8 weeks with 8 weeks of history, prices and
seasons by week. Certified gap, seconds, and the value beside the best flat plan's are printed.
"""

from __future__ import annotations

import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from conftest import make_model

import optimizer as opt

LINES, PERIODS, DRAWS, PAST = 20, 52, 200, 8
A_WEEK = 2000.0


def year(directory: Path, seed: int, kpis: int = 1, **blocks: Any) -> dict[str, Any]:
    """A year's scenario as plain data, its response saved beside."""
    rng = np.random.default_rng(seed)
    names, measured = tuple(f"line{i:02d}" for i in range(LINES)), tuple(f"kpi{k}" for k in range(kpis))
    cell, by_draw, week = (kpis, LINES), (DRAWS, kpis, LINES), np.arange(PERIODS)
    model = make_model(
        DRAWS,
        measured,
        names,
        periods=PERIODS,
        seed=seed,
        family=np.full(cell, 2),
        scale=rng.uniform(1, 9, cell) * rng.lognormal(0, 0.2, by_draw),
        first=rng.uniform(500, 5000, cell) * rng.lognormal(0, 0.2, by_draw),
        second=np.clip(rng.uniform(0.6, 1, cell) * rng.lognormal(0, 0.05, by_draw), 0.4, 1),
        rate=np.clip(rng.uniform(0.2, 0.8, cell) + rng.normal(0, 0.05, by_draw), 0, 0.95),
        length=np.full(cell, PAST),
        normalised=np.ones(cell, bool),
        history=rng.uniform(0, 2 * A_WEEK, (LINES, PAST)),
    )
    model.save(directory / "response.nc")
    budget = A_WEEK * LINES * PERIODS
    return {
        "name": "a year",
        "currency": "EUR",
        "horizon": {"start": "2026-01-05", "periods": PERIODS},
        "flighting": "free",
        "lines": [
            {
                "name": name,
                "current": budget / LINES,
                "max": 4 * budget / LINES,
                "price": (1 + 0.3 * np.sin(week / 8 + i)).tolist(),
            }
            for i, name in enumerate(names)
        ],
        "kpis": {
            name: {
                "direction": "maximize",
                "season": (1 + 0.5 * np.cos(2 * np.pi * week / PERIODS + k)).tolist(),
            }
            for k, name in enumerate(measured)
        },
        "response": {"file": "response.nc"},
        "constraints": {"budget": {"total": budget}},
        "preferences": {"weights": dict.fromkeys(measured, 1.0), "scale": dict.fromkeys(measured, "payoff")}
        if kpis > 1
        else {},
    } | blocks


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", ["one KPI", "three KPIs", "pacing"])
def test_a_year_of_free_flighting(tmp_path: Path, benchmark: Any, seed: int, case: str) -> None:
    data = year(tmp_path, seed, 3 if case == "three KPIs" else 1)
    if case == "pacing":
        data["constraints"]["pacing"] = [
            {"select": {"line": line["name"]}, "up": 0.25, "down": 0.2} for line in data["lines"]
        ]
    scenario = opt.Scenario.from_dict(data, tmp_path)
    began = time.perf_counter()
    plan = benchmark.pedantic(opt.solve, (scenario,), rounds=1)
    seconds = time.perf_counter() - began
    pinned = {name: list(ends) for name, ends in plan.scenario.spec.preferences.scale.items()}
    wanted = data["preferences"] | ({"scale": pinned} if pinned else {})
    flat = opt.solve(opt.Scenario.from_dict(data | {"flighting": "flat", "preferences": wanted}, tmp_path))
    certificate = plan.certificate
    print(
        f"\n{case}, seed {seed}: gap {certificate.gap:.1e}, {seconds:.1f} s, value {certificate.value:.6g} "
        f"({certificate.measure}), best flat {flat.certificate.value:.6g}; {platform.processor()} "
        f"Python {platform.python_version()}, NumPy {np.__version__}"
    )
    assert certificate.gap <= 1e-3
    assert certificate.value >= flat.certificate.value
    assert scenario.polyhedron.slack(plan.spend.to_numpy()).min() >= -1e-6 * A_WEEK * LINES * PERIODS
    assert seconds < 60
