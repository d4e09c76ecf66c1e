"""What each line brings for its money, today and under the plan: effects, returns, shares and marginal returns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..plan import INTERVAL, Plan, labelled, plain
from ..simulate import BASELINE, Simulator, simulate

Floats = NDArray[np.float64]
Row = dict[str, Any]
PER = 1000.0
TAILS = ((1 - INTERVAL) / 2, (1 + INTERVAL) / 2)


def today_as_plan(plan: Plan) -> Plan:
    """Return today's spend as a plan of the same scenario; the certificate says nothing of it."""
    return Plan(plan.scenario, labelled(plan.scenario, plan.scenario.today), plan.certificate)


def line_effects(plan: Plan) -> list[Row]:
    """Return what each line's spend does for each additive KPI that it can move.

    An effect is what the line's spend within the horizon brings: with it, less what earlier spend alone carries
    in. Returns are per 1,000 of currency, costs the currency for one unit; both are NaN where there is nothing to
    divide by. Intervals are over draws, None with one.

    Returns
    -------
    list of dict
        ``kpi``, ``line``, ``unit``; ``current``, ``expected`` and ``difference`` (KPI units over the horizon),
        ``effect_share`` (of what all lines bring) beside ``spend_share``; ``return_current``, ``return`` and
        ``cost``; ``marginal_current`` and ``marginal`` (KPI units for the next 1,000), each with ``_low`` and
        ``_high``.
    """
    scenario = plan.scenario
    today = today_as_plan(plan)
    none = labelled(scenario, np.zeros_like(scenario.today))
    before, after, carried = (_by_line(plan, each) for each in (today.spend, plan.spend, none))
    before, after = before - carried, after - carried
    slopes = _slopes(today), _slopes(plan)
    spent = today.totals.to_numpy(dtype=float), plan.totals.to_numpy(dtype=float)
    rows = []
    for kpi, line in _cells(plan):
        i, k = scenario.lines.index(line), scenario.tree.leaves.index(kpi)
        # (D,) each
        old, new = before[:, i, k], after[:, i, k]
        whole = after[:, :, k]
        row: Row = {"kpi": kpi, "line": line, "unit": scenario.spec.kpis[kpi].unit}
        row |= _figure("current", old, old.mean()) | _figure("expected", new, new.mean())
        row |= _figure("difference", new - old, new.mean() - old.mean())
        row |= {"spend_share": plain(_part(spent[1][i], spent[1].sum()))}
        shares = _part(new, whole.sum(axis=1))
        row |= _figure("effect_share", shares, _part(new.mean(), whole.mean(axis=0).sum()))
        for name, effect, money in (("return_current", old, spent[0][i]), ("return", new, spent[1][i])):
            row |= _figure(name, _part(PER * effect, money), _part(PER * effect.mean(), money))
        spend = np.full_like(new, spent[1][i])
        row |= _figure("cost", _part(spend, new), _part(spent[1][i], new.mean()))
        for name, (draws, mean) in zip(("marginal_current", "marginal"), slopes, strict=True):
            by_draw = np.full(1, np.nan) if draws is None else PER * draws[:, k, i]
            row |= _figure(name, by_draw, PER * mean[k, i])
        rows.append(row)
    return rows


def _cells(plan: Plan) -> Iterator[tuple[str, str]]:
    """Pairs of additive KPI and line that have a curve."""
    scenario = plan.scenario
    for k, kpi in enumerate(scenario.tree.leaves):
        for i, line in enumerate(scenario.lines):
            if scenario.response.family[k, i]:
                yield kpi, line


def _by_line(plan: Plan, spend: Any) -> Floats:
    """Effects by draw, line and additive KPI: (D, L, K)."""
    scenario = plan.scenario
    table = simulate(scenario, spend, by="line").drop(index=BASELINE, level="line")
    parts = [table.loc[line, list(scenario.tree.leaves)].to_numpy(dtype=float) for line in scenario.lines]
    return np.stack(parts, axis=1)


def _slopes(plan: Plan) -> tuple[Floats | None, Floats]:
    """Marginal returns by draw (D, K, L), None where periods are chosen freely, and their mean (K, L)."""
    if plan.scenario.free:
        return None, plan.marginal
    return Simulator.of(plan.scenario).effects(plan.totals.to_numpy(dtype=float))[1], plan.marginal


def _part(value: Any, of: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(of) > 0, np.divide(value, of), np.nan)[()]


def _figure(name: str, draws: Floats, expected: float) -> Row:
    """An expected value and its interval, None where it has none."""
    low = high = None
    if len(draws) > 1 and np.isfinite(draws).all():
        low, high = (plain(end) for end in np.quantile(draws, TAILS))
    return {name: plain(np.float64(expected)), f"{name}_low": low, f"{name}_high": high}
