"""Free-flighting scenarios as plain data, plans of every kind under them, and what those are worth."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

import optimizer as opt

BUDGET = 1000.0


def problem(seed: int, lines: int = 4, periods: int = 6, kpis: int = 2, **blocks: Any) -> dict[str, Any]:
    """A random scenario as plain data: concave curves, carry-over in from history, prices and season by period."""
    rng = np.random.default_rng(seed)
    names, measured = [f"line {i}" for i in range(lines)], [f"kpi {k}" for k in range(kpis)]

    def curve() -> dict[str, Any]:
        scale, half = rng.uniform(1, 10), rng.uniform(20, 90)
        return [
            {"kind": "hill", "scale": scale, "half": half, "slope": rng.uniform(0.6, 1.0)},
            {"kind": "michaelis_menten", "scale": scale, "half": half},
            {"kind": "power", "scale": scale / 5, "exponent": rng.uniform(0.3, 0.8)},
            {"kind": "log1p", "scale": scale / 2, "knee": half},
            {"kind": "points", "points": [[0, 0], [half, scale], [3 * half, 1.7 * scale], [9 * half, 2 * scale]]},
        ][rng.integers(5)]

    return {
        "name": "random",
        "currency": "EUR",
        "horizon": {"start": "2026-01-05", "periods": periods},
        "flighting": "free",
        "lines": [
            {
                "name": name,
                "current": BUDGET / lines,
                "max": BUDGET * 0.7,
                "channel": "ab"[i % 2],
                "price": rng.uniform(0.7, 1.4, periods).tolist(),
                "history": rng.uniform(0, 60, 3).tolist(),
            }
            for i, name in enumerate(names)
        ],
        "kpis": {
            kpi: {"direction": "maximize", "unit": "things", "season": rng.uniform(0.5, 1.5, periods).tolist()}
            for kpi in measured
        },
        "response": {
            kpi: {
                name: {
                    "curve": curve(),
                    "adstock": {
                        "kind": "geometric",
                        "rate": rng.uniform(0, 0.8),
                        "length": int(rng.integers(1, 5)),
                    },
                }
                for name in names
            }
            for kpi in measured
        },
        "constraints": {"budget": {"total": BUDGET}},
        "preferences": {
            "weights": {kpi: float(rng.uniform(0.2, 1)) for kpi in measured},
            "scale": dict.fromkeys(measured, "payoff"),
        }
        if kpis > 1
        else {},
    } | blocks


def with_floor(data: dict[str, Any]) -> dict[str, Any]:
    """Add a floor on the last KPI, half-way between what it has in the best plan and the most it could have."""
    kpi = list(data["kpis"])[-1]
    now = solve(data).outcomes.loc[kpi, "expected"]
    others = {name: spec | {"role": "monitor"} for name, spec in data["kpis"].items() if name != kpi}
    most = solve(data | {"kpis": data["kpis"] | others, "preferences": {}}).outcomes.loc[kpi, "expected"]
    return data | {"preferences": data["preferences"] | {"floors": {kpi: float((now + most) / 2)}}}


def solve(data: dict[str, Any], **options: Any) -> opt.Plan:
    return opt.solve(opt.Scenario.from_dict(data), **options)


def goal(plan: opt.Plan, spend: np.ndarray) -> np.ndarray:
    """The stated objective of plans (N, L, T), recomputed from simulation: higher is better."""
    scenario = plan.scenario
    kpis = opt.simulate(scenario, spend).groupby(level="plan").mean()
    weights = scenario.spec.preferences.weights
    if not weights:
        return kpis[scenario.objectives[0]].to_numpy()
    value = np.zeros(len(kpis))
    for name, weight in weights.items():
        worst, best = scenario.spec.preferences.scale[name]
        value += weight / sum(weights.values()) * ((kpis[name] - worst) / (best - worst)).to_numpy()
    return value


def allowed(scenario: opt.Scenario, spend: np.ndarray) -> np.ndarray:
    polyhedron = scenario.polyhedron
    room = polyhedron.b - spend.reshape(len(spend), -1) @ polyhedron.A.T.toarray()
    kept = np.all(np.where(polyhedron.equal, np.abs(room) < 1e-6 * BUDGET, room > -1e-6 * BUDGET), axis=1)
    kept &= np.all(spend >= 0, axis=(1, 2))
    kpis = opt.simulate(scenario, spend).groupby(level="plan").mean()
    for name, limit in scenario.spec.preferences.floors.items():
        kept &= kpis[name].to_numpy() >= limit * (1 - 1e-9)
    return kept


def grid(cells: int, steps: int) -> np.ndarray:
    """All splits of 1 into ``cells`` multiples of ``1 / steps``."""
    cuts = itertools.product(range(steps + 1), repeat=cells - 1)
    return np.array([(*c, steps - sum(c)) for c in cuts if sum(c) <= steps]) / steps


def random_plans(scenario: opt.Scenario, n: int, seed: int) -> np.ndarray:
    """Plans that spend the whole budget: even, spiky and in between."""
    rng = np.random.default_rng(seed)
    shape = (len(scenario.lines), scenario.spec.horizon.periods)
    parts = [rng.dirichlet(np.full(shape[0] * shape[1], a), n // 3) for a in (0.2, 1.0, 20.0)]
    return BUDGET * np.concatenate(parts).reshape(-1, *shape)


def smooth(seed: int) -> dict[str, Any]:
    """A problem whose best plan is one: no curve through points, no straight line."""
    data = problem(seed, 3, 4)
    for by_line in data["response"].values():
        for entry in by_line.values():
            if entry["curve"]["kind"] == "points":
                entry["curve"] = {"kind": "michaelis_menten", "scale": 5.0, "half": 50.0}
    return data
