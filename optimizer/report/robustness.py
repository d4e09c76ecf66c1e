"""How a plan does when things go badly: over draws, by KPI, and as regret against other plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..plan import Plan, plain
from ..preferences import bound
from ..simulate import simulate

Floats = NDArray[np.float64]
Row = dict[str, Any]
BAD, TAIL = 0.05, 0.1
# What points of a front are called that are held against but not listed.
POINT = "point "


def by_kpi(plan: Plan, today: Plan) -> list[Row]:
    """Return how badly each KPI with a direction may come out; nothing with one draw.

    Returns
    -------
    list of dict
        ``kpi``; for ``current`` and ``plan`` each: ``_bad`` (the value that 5 % of draws are worse than) and
        ``_cvar`` (mean of the worst tenth of draws); ``limit`` and ``p_kept`` (share of draws in which the plan
        keeps the guardrail), None where there is none.
    """
    scenario = plan.scenario
    if scenario.response.draws < 2:
        return []
    made = {"current": simulate(scenario, today.spend), "plan": simulate(scenario, plan.spend)}
    rows = []
    for name, kpi in scenario.spec.kpis.items():
        if kpi.direction is None or plan.without_draws(name):
            continue
        sign = 1.0 if kpi.direction == "maximize" else -1.0
        row: Row = {"kpi": name, "unit": kpi.unit, "direction": kpi.direction}
        for words, table in made.items():
            worth = np.sort(sign * table[name].to_numpy(dtype=float))
            row[f"{words}_bad"] = plain(sign * float(np.quantile(worth, BAD)))
            row[f"{words}_cvar"] = plain(sign * _tail(worth))
        limit = scenario.spec.preferences.floors.get(name)
        row["limit"], row["p_kept"] = None, None
        if limit is not None:
            row["limit"] = bound(limit)
            row["p_kept"] = float(np.mean(sign * (made["plan"][name] - row["limit"]) >= 0))
        rows.append(row)
    return rows


def _tail(worth: Floats) -> float:
    """Mean of the worst tenth of sorted draws; a draw on the edge counts in part."""
    size = TAIL * len(worth)
    counted = np.clip(size - np.arange(len(worth)), 0.0, 1.0)
    return float((worth * counted).sum() / size)


def regret(plan: Plan, rivals: Mapping[str, pd.Series | pd.DataFrame]) -> Row | None:
    """Return by how much plans are behind the best of all of them, draw by draw.

    The value of a plan in a draw is the stated weighted sum of the objectives, or their worth. Where one plan is
    best in every draw, its regret is zero.

    Parameters
    ----------
    plan : Plan
        Its scenario says what is wanted.
    rivals : mapping
        Spend by name; points of the front (``point 0`` ..) are held against but not listed.

    Returns
    -------
    dict or None
        ``measure``, ``plans`` (how many) and ``rows``: ``plan``, ``mean``, ``bad`` (5 % of draws are worse) and
        ``p_best``. None with one draw, or where the trade-off gives a draw no single value.
    """
    scenario = plan.scenario
    weighed = worth(plan)
    if weighed is None or scenario.response.draws < 2 or len(rivals) < 2:
        return None
    table = simulate(scenario, np.stack([spend.to_numpy(dtype=float) for spend in rivals.values()]))
    parts = (factor * table[name].to_numpy(dtype=float) for name, factor in weighed.items())
    values = np.asarray(sum(parts)).reshape(len(rivals), -1)
    if not np.isfinite(values).all():
        return None
    behind = values.max(axis=0) - values
    rows = [
        {
            "plan": name,
            "mean": float(row.mean()),
            "bad": float(np.quantile(row, 1 - BAD)),
            "p_best": float(np.mean(row <= 0)),
        }
        for name, row in zip(rivals, behind, strict=True)
        if not name.startswith(POINT)
    ]
    return {"measure": plan.certificate.measure, "plans": len(rivals), "rows": rows}


def worth(plan: Plan) -> dict[str, float] | None:
    """Return what one more unit of each objective counts for, less than zero where less is better.

    None where the stated trade-off, targets or priorities, gives it no single worth.
    """
    preferences, kpis = plan.scenario.spec.preferences, plan.scenario.spec.kpis
    signs = {name: 1.0 if kpis[name].direction == "maximize" else -1.0 for name in plan.scenario.objectives}
    if len(signs) == 1:
        return signs
    if preferences.worth:
        return {name: signs[name] * preferences.worth[name] for name in signs}
    if not preferences.weights:
        return None
    total, scale = sum(preferences.weights.values()), preferences.scale
    found = {}
    for name in signs:
        ends = scale.get(name)
        if ends is None or isinstance(ends, str):
            return None
        found[name] = preferences.weights.get(name, 0.0) / total / (float(ends[1]) - float(ends[0]))
    return found
