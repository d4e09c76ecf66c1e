"""One world from its history to what its plans truly do: fit, state a trade-off, plan, and be judged."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import optimizer as opt
from optimizer.evidence.fit import run_fit
from optimizer.report.files import yaml_text
from optimizer.response import BY_DRAW, ResponseModel, load
from optimizer.simulate import Simulator

from .worlds import CARRY, QUARTER, World

Floats = NDArray[np.float64]
# The ends of the planner's scale, about a usual quarter.
SCALE = (0.8, 1.2)
FITTED, TRUTH, POINT, STARTER = "response.nc", "truth.nc", "point.nc", "starter.json"
LEVELS = (0.8, 0.9)
# Of the stated scale.
TOLERANCE = 1e-4


def prepare(world: World, folder: Path) -> float:
    """Write what an analyst has, fit it as the command does, and put the truth beside it; unless it is there.

    Returns
    -------
    float
        Processor seconds that the fit took.
    """
    done = folder / "fitted.json"
    if done.exists():
        return float(json.loads(done.read_text())["seconds"])
    began = time.process_time()
    folder.mkdir(parents=True, exist_ok=True)
    world.table().to_csv(folder / "history.csv", index=False)
    config = {
        "date": "week",
        "period": "week",
        "currency": "EUR",
        "lines": {name: {"spend": name} for name in world.lines},
        "kpis": {name: {"column": name} for name in world.kpis},
        # How well it would have foretold the past changes no plan.
        "folds": 1,
    }
    (folder / "fit.yaml").write_text(yaml_text(config))
    found = run_fit(folder / "history.csv", folder / "fit.yaml", out_dir=folder)
    write_json(folder / STARTER, found.starter(FITTED))
    fitted = load(folder / FITTED)
    past = world.spend[:, -CARRY:]
    truth = replace(world.truth, history=past, start=fitted.start, period="week")
    truth.save(folder / TRUTH)
    point(fitted).save(folder / POINT)
    seconds = time.process_time() - began
    write_json(done, {"seconds": seconds})
    return seconds


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a whole file or none."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(data, indent=1))
    part.replace(path)


def point(model: ResponseModel) -> ResponseModel:
    """The model at its mean parameters: what a tool without draws plans on."""
    means: dict[str, Any] = {name: model.by_draw(name).mean(axis=0, keepdims=True) for name in BY_DRAW}
    return replace(model, baseline=model.baseline.mean(axis=0, keepdims=True), **means)


def starter(folder: Path) -> dict[str, Any]:
    """The scenario that the fit wrote to start from."""
    found: dict[str, Any] = json.loads((folder / STARTER).read_text())
    return found


def limits(folder: Path) -> dict[str, tuple[float, float]]:
    """The least and the most each line may get, as the starter says."""
    return {line["name"]: (line["min"], line["max"]) for line in starter(folder)["lines"]}


def usual(world: World) -> dict[str, float]:
    """What each KPI comes to in a usual week: its mean of the last 52."""
    return {name: float(values[-52:].mean()) for name, values in world.kpis.items()}


def scenario_of(world: World, folder: Path, response: str = FITTED, **preferences: Any) -> opt.Scenario:
    """What a planner writes: today's budget, the starter's limits, weights on a scale about what is usual."""
    today, ends = world.today, limits(folder)
    data = {
        "name": f"world {world.seed}",
        "currency": "EUR",
        "horizon": {"start": world.start.isoformat(), "periods": QUARTER, "every": "week"},
        "lines": [
            {
                "name": name,
                "current": float(spend),
                "min": ends[name][0],
                "max": ends[name][1],
                "limits": "evidence",
            }
            for name, spend in zip(world.lines, today, strict=True)
        ],
        "kpis": {name: {"direction": "maximize", "unit": name} for name in world.kpis},
        "response": starter(folder)["response"] if response == FITTED else {"file": response},
        "constraints": {"budget": {"total": float(np.sum(today))}},
        "preferences": {
            "weights": world.weights,
            "scale": {name: [end * mean * QUARTER for end in SCALE] for name, mean in usual(world).items()},
            **preferences,
        },
    }
    return opt.Scenario.from_dict(data, folder)


class Referee:
    """What plans truly do; demand and noise are the same for all of them."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.scenario = scenario_of(world, folder, TRUTH)
        self.simulator = Simulator.of(self.scenario)
        self.kpis = self.scenario.tree.leaves
        self.anyway = np.array([world.anyway[name].sum() for name in self.kpis])
        self.weights = np.array([world.weights[name] for name in self.kpis])
        self.now = self.outcome(world.today)

    def outcome(self, spend: Floats) -> Floats:
        """True KPIs of the quarter: (K,)."""
        return self.simulator.line_outcomes(np.asarray(spend, dtype=float)[None])[0, 0] + self.anyway

    def gains(self, spend: Floats) -> Floats:
        """True changes from today's split, each as a share of the KPI: (K,)."""
        return (self.outcome(spend) - self.now) / self.now

    def gain(self, spend: Floats) -> float:
        """The change that the planner's weights make of them, as a share of the KPIs."""
        return float(self.weights @ self.gains(spend))


def by_return(scenario: opt.Scenario) -> Floats:
    """Money in proportion to each line's estimated return at today's spend, within the same limits: (L,)."""
    value, _ = Simulator.of(scenario).effects(scenario.current)
    preferences = scenario.spec.preferences
    steps = np.array(
        [
            preferences.weights[k] / (preferences.scale[k][1] - preferences.scale[k][0])
            for k in scenario.tree.leaves
        ]
    )
    wanted = steps @ value.mean(axis=0) / np.maximum(scenario.current, 1e-9)
    low, high = np.array([(line.min, line.max) for line in scenario.spec.lines], dtype=float).T
    small, large, budget = 0.0, high.max() / max(wanted[wanted > 0].min(), 1e-300), scenario.current.sum()
    for _ in range(200):
        factor = (small + large) / 2
        if np.clip(factor * wanted, low, high).sum() < budget:
            small = factor
        else:
            large = factor
    return np.asarray(np.clip(factor * wanted, low, high))


def covered(scenario: opt.Scenario, spend: Floats, referee: Referee) -> dict[str, Any]:
    """Whether the plan's outcomes and changes lie in their intervals, by level and KPI."""
    today, plan = (opt.simulate(scenario, x) for x in (scenario.current, spend))
    truth, change = referee.outcome(spend), referee.gains(spend)
    found: dict[str, Any] = {}
    for level in LEVELS:
        tails = [(1 - level) / 2, (1 + level) / 2]
        for kind, draws, true in (
            ("outcome", plan, truth),
            ("change", plan / today - 1.0, change),
        ):
            inside = []
            for k, name in enumerate(referee.kpis):
                low, high = np.quantile(draws[name], tails)
                inside.append(bool(low - 1e-12 <= true[k] <= high + 1e-12))
            found[f"{kind} {level:.0%}"] = inside
    return found


def solved(scenario: opt.Scenario) -> Floats:
    """The plan of a scenario: (L,) currency."""
    return opt.solve(scenario, tolerance=TOLERANCE).totals.to_numpy(dtype=float)


def judge(world: World, folder: Path) -> dict[str, Any]:
    """Run one world and return its record, plain data."""
    fit_seconds = prepare(world, folder)
    began = time.process_time()
    referee = Referee(world, folder)
    scenario = scenario_of(world, folder)
    plan = opt.solve(scenario, tolerance=TOLERANCE)
    spend = plan.totals.to_numpy(dtype=float)
    plans = {
        "plan": spend,
        "no caution": solved(scenario_of(world, folder, caution=0.0)),
        "point estimates": solved(scenario_of(world, folder, POINT)),
        "by return": by_return(scenario),
        "oracle": solved(referee.scenario),
    }
    return {
        "seed": world.seed,
        "habit": world.habit,
        **world.traits,
        "kpis": len(world.kpis),
        "gain": {name: referee.gain(spend) for name, spend in plans.items()},
        "expected": float(referee.weights @ [plan.outcomes.loc[k, "change"] for k in referee.kpis]),
        "covered": covered(scenario, spend, referee),
        "caution": plan.scenario.spec.preferences.caution,
        "guarantee": plan.certificate.guarantee,
        "gap": plan.certificate.gap,
        "seconds": fit_seconds + time.process_time() - began,
    }
