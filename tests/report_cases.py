"""A plan as large as reports get: twenty lines, three objectives with draws, a front of two hundred plans."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from conftest import make_model

import optimizer as opt
from optimizer.curves import FAMILIES
from optimizer.report.outlook import outlook
from optimizer.report.view import View
from optimizer.simulate import Simulator

LINES = tuple(f"{channel}_{market}" for channel in ("search", "social", "video", "display") for market in
              ("north", "south", "east", "west", "everywhere_else"))  # fmt: skip
EVIL = ("<script>alert(1)</script>", '=HYPERLINK("http://localhost/x","y")')
OBJECTIVES = ("orders", "awareness", "visits")
BUDGET, PERIODS, POINTS = 1_000_000.0, 13, 200
# What such a report may weigh, in bytes, and take to open, in seconds.
LIMIT, OPENS = 3_000_000, 2.0


def large_scenario(directory: Path) -> opt.Scenario:
    """Return a scenario with everything a report has a section for, and two lines whose names try to be code."""
    lines = (*EVIL, *LINES[2:])
    random = np.random.default_rng(8)
    spread, weekly = (60, len(OBJECTIVES), len(lines)), BUDGET / len(lines) / PERIODS
    base = random.uniform(0.5, 1.5, (1, *spread[1:])) * np.array([60.0, 0.05, 400.0])[:, None]
    model = make_model(
        spread[0],
        OBJECTIVES,
        lines,
        periods=PERIODS,
        family=np.full(spread[1:], FAMILIES["hill"].code),
        scale=base * np.exp(random.normal(0.0, 0.2, spread)),
        first=random.uniform(0.6, 2.0, (1, *spread[1:])) * weekly * np.exp(random.normal(0.0, 0.1, spread)),
        second=np.ones(spread),
        observed=np.array([[0.3, 1.25]] * len(lines)) * weekly,
        history=np.full((len(lines), 4), weekly),
        baseline=np.array([300.0, 1.6, 2000.0])[:, None] * random.normal(1.0, 0.02, (spread[0], 3, PERIODS)),
        attributes={"method": "made up", "seed": 8},
    )
    model.save(directory / "large.nc")
    return opt.Scenario.from_dict(_stated(lines), directory)


def _stated(lines: tuple[str, ...]) -> dict[str, Any]:
    kpis: dict[str, Any] = {name: {"direction": "maximize", "unit": name} for name in OBJECTIVES}
    kpis["orders"] |= {"goal": "grow", "target": {"level": 9000, "deadline": "2026-12-31", "owner": "sales"}}
    kpis["cost_per_order"] = {
        "direction": "minimize",
        "unit": "EUR per order",
        "ratio": ["spend", "orders"],
        "thresholds": {"green": 100, "yellow": 140},
    }
    return {
        "name": "a large plan",
        "currency": "EUR",
        "horizon": {"start": "2026-01-05", "periods": PERIODS},
        "lines": [
            {"name": name, "current": BUDGET / len(lines), "channel": name.split("_")[0], "market": "abc"[i % 3]}
            for i, name in enumerate(lines)
        ],
        "kpis": kpis,
        "response": {"file": "large.nc"},
        "constraints": {"budget": {"total": BUDGET}, "change": {"up": 0.5, "down": 0.5}},
        "preferences": {
            "weights": dict(zip(OBJECTIVES, (0.5, 0.3, 0.2), strict=True)),
            "scale": dict.fromkeys(OBJECTIVES, "payoff"),
            "floors": {"cost_per_order": 160},
        },
        "decisions": {"confirm": {"shift": 0.05}, "two_person": {"extrapolation": 0.02}},
    }


def large_view(directory: Path) -> View:
    """Return its plan, front and outlook; the front blended out to two hundred plans, its proof left as it was."""
    given = large_scenario(directory)
    plan = opt.solve(given)
    front = opt.frontier(given, tolerance=0.1)
    return View(plan, given, _filled(front), opt.explain(plan), outlook(plan))


def _filled(front: opt.Front) -> opt.Front:
    """Add blends of the front's plans: they keep all rules, and a report need not know where points come from."""
    random = np.random.default_rng(0)
    spend = front.points.filter(like="spend ").to_numpy()
    share = random.dirichlet(np.full(len(spend), 0.2), POINTS - len(spend))
    spend = np.vstack([spend, share @ spend])
    points = front.points.reindex(range(POINTS))
    points[[f"spend {line}" for line in front.scenario.lines]] = spend
    points[list(front.scenario.objectives)] = Simulator.of(front.scenario).outcomes(spend).mean(axis=1)
    return replace(front, points=points.sort_values(front.scenario.objectives[0]).reset_index(drop=True))
