"""How one plan differs from another: KPIs draw by draw, money line by line, and change by change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import changes
from .errors import OptimizerError
from .plan import BINDING, INTERVAL, Plan
from .simulate import simulate

Floats = NDArray[np.float64]
Alone = Mapping[tuple[str, str], Plan | OptimizerError]

# Pairs of independent draws that are looked at: beyond, draws are thinned evenly.
PAIRS = 4_000_000
TOGETHER, INTERACTION = "together", "interaction"
MORE, LESS = "(more spend)", "(less spend)"
DIFFERENCES = [
    *("scenario", "kpi", "base", "planned", "difference", "low", "high", "change", "p_better"),
    *("unit", "direction", "draws", "driver"),
]


def alike(base: Plan, other: Plan) -> list[str]:
    """Return the KPIs that have the same unit and direction under both."""
    one, two = base.scenario.spec.kpis, other.scenario.spec.kpis
    return [
        name
        for name, kpi in one.items()
        if name in two and (kpi.unit, kpi.direction) == (two[name].unit, two[name].direction)
    ]


def kpi_differences(base: Plan, others: Mapping[str, Plan], drivers: pd.DataFrame) -> pd.DataFrame:
    """Return each scenario's KPIs against the base's; see `Comparison.differences`."""
    one = simulate(base.scenario, base.spend)
    rows = []
    for name, plan in others.items():
        two = simulate(plan.scenario, plan.spend)
        pairing = _pairing(base, plan)
        for kpi in alike(base, plan):
            before, after = (float(made.outcomes.loc[kpi, "expected"]) for made in (base, plan))
            row: dict[str, Any] = {"scenario": name, "kpi": kpi, "base": before, "planned": after}
            row["difference"] = after - before
            row |= dict.fromkeys(("low", "high"), np.nan)
            row["change"] = after / before - 1.0 if before > 0 else np.nan
            row["p_better"] = np.nan
            spec = base.scenario.spec.kpis[kpi]
            if pairing != "one" and not base.without_draws(kpi):
                apart = _apart(one[kpi].to_numpy(), two[kpi].to_numpy(), pairing == "same")
                row |= _spread(apart, spec.direction)
            row |= {"unit": spec.unit, "direction": spec.direction or "", "draws": pairing}
            rows.append(row | {"driver": _driver(drivers, name, kpi)})
    return pd.DataFrame(rows, columns=DIFFERENCES).set_index(["scenario", "kpi"])


def _pairing(base: Plan, other: Plan) -> str:
    if base.scenario.response.draws == other.scenario.response.draws == 1:
        return "one"
    return "same" if changes.evidence(base.scenario) == changes.evidence(other.scenario) else "independent"


def _apart(one: Floats, two: Floats, paired: bool) -> Floats:
    """Differences: draw by draw, or of each draw of one with each of the other."""
    if paired:
        return two - one
    most = int(np.sqrt(PAIRS))
    one, two = (
        draws[np.linspace(0, len(draws) - 1, most).astype(int)] if len(one) * len(two) > PAIRS else draws
        for draws in (one, two)
    )
    return (two[:, None] - one[None, :]).ravel()


def _spread(apart: Floats, direction: str | None) -> dict[str, float]:
    found: dict[str, float] = {}
    if np.all(np.isfinite(apart)):
        found["low"], found["high"] = (
            float(end) for end in np.quantile(apart, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
        )
    if direction is not None and np.any(apart != 0):
        found["p_better"] = float(np.mean((1.0 if direction == "maximize" else -1.0) * apart > 0))
    return found


def line_moves(base: Plan, others: Mapping[str, Plan]) -> pd.DataFrame:
    """Return each scenario's spend by line against the base's; a line not in one of them gets nothing there."""
    tables = []
    for name, plan in others.items():
        table = pd.DataFrame({"base": base.totals, "planned": plan.totals})
        lines = list(dict.fromkeys([*base.totals.index, *plan.totals.index]))
        table = table.reindex(lines).fillna(0.0)
        table["difference"] = table["planned"] - table["base"]
        for share, spend in (("share_base", "base"), ("share", "planned")):
            total = table[spend].sum()
            table[share] = table[spend] / total if total > 0 else 0.0
        tables.append(table.assign(scenario=name).rename_axis("line").reset_index())
    columns = ["scenario", "line", "base", "planned", "difference", "share_base", "share"]
    made = pd.concat(tables)[columns] if tables else pd.DataFrame(columns=columns)
    return made.set_index(["scenario", "line"])


def line_flows(moves: pd.DataFrame) -> pd.DataFrame:
    """Return what went from which line to which, from `line_moves`; see `Comparison.flows`."""
    rows = []
    for name, table in moves.groupby(level="scenario", sort=False):
        apart = table["difference"].droplevel("scenario")
        stake = max(float(table["base"].sum()), float(table["planned"].sum()), 1e-300)
        apart = apart[apart.abs() > BINDING * stake]
        total = float(apart.sum())
        if abs(total) > BINDING * stake:
            apart = pd.concat([apart, pd.Series({MORE if total > 0 else LESS: -total})])
        gains, losses = apart[apart > 0], -apart[apart < 0]
        for source, lost in losses.items():
            rows += [(name, source, line, lost * gain / gains.sum()) for line, gain in gains.items()]
    columns = ["scenario", "from", "to", "amount"]
    return pd.DataFrame(rows, columns=columns).set_index(columns[:3])


def change_effects(base: Plan, others: Mapping[str, Plan], alone: Alone) -> pd.DataFrame:
    """Return what each change alone does to each KPI's expected value; see `Comparison.drivers`."""
    kpis = list(base.scenario.spec.kpis)
    rows: list[dict[str, Any]] = []

    def effect(plan: Plan) -> pd.Series:
        return (plan.outcomes["expected"] - base.outcomes["expected"]).reindex(alike(base, plan)).reindex(kpis)

    for name, plan in others.items():
        blocks = changes.changed(base.scenario, plan.scenario)
        whole = effect(plan)
        if len(blocks) == 1:
            rows.append({"scenario": name, "change": blocks[0], **whole, "error": ""})
            continue
        known = []
        for block in blocks:
            made = alone[name, block]
            if isinstance(made, Plan):
                known.append(effect(made))
                rows.append({"scenario": name, "change": block, **known[-1], "error": ""})
            else:
                rows.append({"scenario": name, "change": block, "error": made.message})
        if blocks:
            rows.append({"scenario": name, "change": TOGETHER, **whole, "error": ""})
        # With a change missing, what is left is not what the changes do to each other.
        if blocks and len(known) == len(blocks):
            rows.append({"scenario": name, "change": INTERACTION, **(whole - sum(known)), "error": ""})
    return pd.DataFrame(rows, columns=["scenario", "change", *kpis, "error"]).set_index(["scenario", "change"])


def _driver(drivers: pd.DataFrame, name: str, kpi: str) -> str:
    """The change that alone moves a KPI most; nothing where none does."""
    if name not in drivers.index.get_level_values("scenario"):
        return ""
    effects = drivers.loc[name, kpi].drop([TOGETHER, INTERACTION], errors="ignore").astype(float).abs().dropna()
    return str(effects.idxmax()) if len(effects) and effects.max() > 0 else ""
