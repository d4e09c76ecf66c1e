"""Where each KPI stands: its place in the tree, its target, its traffic light."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import SpecError
from ..plan import Plan, plain
from ..simulate import simulate
from ..targets import Target, light, met, reaches, required

Row = dict[str, Any]


def targets(plan: Plan) -> list[Row]:
    """Return each KPI's target held against today and the plan.

    Returns
    -------
    list of dict
        ``kpi``, ``form``, ``low`` and ``high`` (what must be reached; of a level one of the two), ``current``,
        ``expected``, ``met`` (None where it cannot be told), ``p_met`` (share of draws that reach it, None with
        one), ``deadline``, ``owner``, ``run``.
    """
    rows = []
    for name, kpi in plan.scenario.spec.kpis.items():
        if kpi.target is None:
            continue
        outcome = plan.outcomes.loc[name]
        row: Row = {"kpi": name, "unit": kpi.unit, "words": _words(kpi.target), "low": None, "high": None}
        row |= {"current": plain(outcome["current"]), "expected": plain(outcome["expected"])}
        row |= {"met": None, "p_met": None, "share": None, "owner": kpi.target.owner, "run": kpi.target.run}
        row["deadline"] = kpi.target.deadline.isoformat() if kpi.target.deadline else ""
        try:
            limit = required(kpi.target, float(outcome["current"]))
        except SpecError:
            rows.append(row)
            continue
        if isinstance(limit, tuple):
            row["low"], row["high"] = limit
        else:
            row["high" if kpi.direction == "minimize" else "low"] = limit
        draws = simulate(plan.scenario, plan.spend)[name].to_numpy(dtype=float)
        reached = reaches(draws, limit, kpi.direction)
        if kpi.target.percentile is not None:
            row["share"] = kpi.target.percentile.share
            row["met"] = bool(np.mean(reached) >= row["share"])
        elif kpi.target.run == 1:
            row["met"] = met(kpi.target, [float(outcome["expected"])], kpi.direction, float(outcome["current"]))
        row["p_met"] = float(np.mean(reached)) if len(draws) > 1 else None
        rows.append(row)
    return rows


def _words(target: Target) -> str:
    if target.growth is not None:
        return f"{target.growth:+.1%} on the baseline"
    if target.lift is not None:
        return f"{target.lift:+g} on the baseline"
    if target.percentile is not None:
        return f"in {target.percentile.share:.0%} of cases"
    return "between" if target.band is not None else "level"


def lights(plan: Plan) -> list[Row]:
    """Return the traffic light of each KPI with thresholds, today and under the plan."""
    rows = []
    for name, kpi in plan.scenario.spec.kpis.items():
        if kpi.thresholds is None or kpi.direction is None:
            continue
        outcome = plan.outcomes.loc[name]
        row: Row = {"kpi": name, "green": kpi.thresholds.green, "yellow": kpi.thresholds.yellow}
        for key in ("current", "expected"):
            row[key] = plain(outcome[key])
            row[f"{key}_light"] = light([float(outcome[key])], kpi.thresholds, kpi.direction)[0]
        rows.append(row)
    return rows


def tree(plan: Plan) -> list[Row]:
    """Return KPIs with those they are made of below them: ``kpi``, ``formula``, ``parts``, ``proxy_for``."""
    kpis = plan.scenario.spec.kpis
    roots = [name for name in kpis if not any(name in _parts(plan, other) for other in kpis if other != name)]
    if all(not _parts(plan, name) and not kpis[name].proxy_for for name in kpis):
        return []
    return [_branch(plan, name) for name in roots]


def _branch(plan: Plan, name: str) -> Row:
    kpi = plan.scenario.spec.kpis.get(name)
    formula = kpi.formula if kpi else None
    return {
        "kpi": name,
        "formula": formula[0] if formula else "",
        "proxy_for": (kpi.proxy_for or "") if kpi else "",
        "parts": [_branch(plan, part) for part in _parts(plan, name)],
    }


def _parts(plan: Plan, name: str) -> list[str]:
    kpi = plan.scenario.spec.kpis.get(name)
    formula = kpi.formula if kpi else None
    return [] if formula is None else [part for part in formula[1] if isinstance(part, str)]
