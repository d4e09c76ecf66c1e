"""The peers' own optimiser runs as scenarios on their terms: horizon, bounds, budget, carry-over rule.

Each function returns the scenario and the value the peer reached, in what our plan's objective counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from peer_files import HERE, PEERS

from optimizer import ResponseModel, Scenario
from optimizer.evidence import meridian, pymc_marketing, robyn

# (peer, run, scenario, the value the peer reached)
Run = tuple[str, str, Scenario, float]


def scenario_of(model: ResponseModel, folder: Path, data: dict[str, Any]) -> Scenario:
    model.save(folder / "response.nc")
    base = {"name": "on the peer's terms", "currency": "USD", "response": {"file": "response.nc"}}
    return Scenario.from_dict(base | data, folder)


def meridian_runs(folder: Path) -> Iterator[Run]:
    """Spend in the history's own pattern, nothing before it, revenue at each week's worth, no baseline."""
    files = (PEERS / "meridian" / name for name in ("idata_national_full.nc", "input_national.csv"))
    model = meridian.read(*files, HERE / "meridian.yaml", currency="USD").model
    data = pd.read_csv(PEERS / "meridian" / "input_national.csv")
    media = {name: data[f"{name}_impression"].to_numpy(dtype=float) for name in model.lines}
    worth = data["revenue_per_conversion"]
    revenue = {"unit": "USD", "baseline": 0.0, "season": (worth / worth.mean()).tolist()}
    for run in json.loads((PEERS / "meridian" / "optimizer_national.json").read_text()):
        said = run["optimized"]["attrs"]
        sides = zip(
            run["channels"], run["nonoptimized"]["spend"], run["spend_lower"], run["spend_upper"], strict=True
        )
        scenario: dict[str, Any] = {
            "horizon": {"start": "2024-01-22", "periods": len(data)},
            "lines": [
                {"name": name, "current": now, "min": low, "max": high, "history": [0.0]}
                for name, now, low, high in sides
            ],
            "flighting": {name: (series / series.sum()).tolist() for name, series in media.items()},
            "kpis": {"revenue": {**revenue, "direction": "maximize"}},
            "constraints": {"budget": {"total": said["budget"]}},
        }
        reached = said["total_incremental_outcome"]
        if not said["fixed_budget"]:
            scenario["constraints"] = {"budget": {"max": float(sum(run["spend_upper"]))}}
            if "target_roi" in said:
                scenario["kpis"]["roi"] = {"unit": "", "ratio": ["revenue", "spend"], "direction": "maximize"}
                scenario["preferences"] = {"floors": {"roi": said["target_roi"]}}
                scenario["kpis"]["roi"]["role"] = "guardrail"
            else:
                scenario["kpis"]["revenue"] = revenue
                scenario["kpis"]["profit"] = {
                    "unit": "USD",
                    "difference": ["revenue", "spend"],
                    "direction": "maximize",
                }
                reached = said["profit"]
        yield "Meridian 2.1.0", run["name"], scenario_of(model, folder, scenario), reached


def pymc_runs(folder: Path) -> Iterator[Run]:
    """The same spend in each of 8 weeks, nothing before it, its effect after it counted, no baseline."""
    model = pymc_marketing.read(PEERS / "pymc_marketing" / "idata_logistic_full.nc", currency="USD").model
    said = json.loads((PEERS / "pymc_marketing" / "optimizer_logistic_p8.json").read_text())
    periods = said["num_periods"]
    for run in said["runs"]:
        bounds = said["bounds"] if "nobounds" not in run["name"] else [[0.0, said["budget_per_period"]]] * 2
        lines = [
            {"name": name, "current": now * periods, "min": low * periods, "max": high * periods, "history": [0.0]}
            for name, now, (low, high) in zip(said["channels"], said["current"], bounds, strict=True)
        ]
        data = {
            "horizon": {"start": said["start"], "periods": periods},
            "lines": lines,
            "carry_out": True,
            "kpis": {"y": {"unit": "y", "direction": "maximize", "baseline": 0.0}},
            "constraints": {"budget": {"total": run["sum"] * periods}},
        }
        yield "PyMC-Marketing 0.19.2", run["name"], scenario_of(model, folder, data), run["objective"]


def robyn_runs(folder: Path) -> Iterator[Run]:
    """One week whose spend is added to the window's mean carry-over, whatever the spend."""
    export = PEERS / "robyn"
    model = robyn.read(export / "RobynModel-1_277_1.json", currency="EUR").model
    raw = pd.DataFrame(json.loads((export / "RobynModel-1_277_1.json").read_text())["Extras"]["raw_data"])
    said = json.loads((export / "allocator_spend_max_response_0.5.json").read_text())
    order = [said["channels"].index(line) for line in model.lines]
    carried = robyn_carry_over(model, raw)
    # What is left after a week of the spend before it is that mean.
    before = np.array([carried[line] for line in model.lines]) / model.rate[0, 0]
    model = replace(
        model, length=np.full_like(model.length, 2), history=before[:, None], baseline=np.zeros((1, 1, 1))
    )
    lines = [
        {
            "name": line,
            "current": said["init"][at],
            "min": said["low"] * said["init"][at],
            "max": said["up"] * said["init"][at],
        }
        for line, at in zip(model.lines, order, strict=True)
    ]
    data = {
        "horizon": {"start": str(model.start), "periods": 1},
        "lines": lines,
        "kpis": {"revenue": {"unit": "EUR", "direction": "maximize"}},
        "constraints": {"budget": {"total": float(sum(said["init"]))}},
    }
    reached = said["optmResponseUnitTotal"]
    yield "Robyn 3.12.1", "max_response, 0.5 to 2 times", scenario_of(model, folder, data), reached


def robyn_carry_over(model: ResponseModel, raw: pd.DataFrame) -> dict[str, float]:
    """Mean of adstocked less plain spend over the window, by channel."""
    found = {}
    for i, line in enumerate(model.lines):
        left, carried = 0.0, []
        for value in raw[line].to_numpy(dtype=float):
            left *= model.rate[0, 0, i]
            carried.append(left)
            left += value
        found[line] = float(np.mean(carried[6:163]))
    return found
