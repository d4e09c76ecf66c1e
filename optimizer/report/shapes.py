"""What each line does at every spend: the points that response curves are drawn through."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..plan import plain
from ..simulate import Simulator
from .effects import TAILS

if TYPE_CHECKING:
    from .view import View

Floats = NDArray[np.float64]
Row = dict[str, Any]
POINTS = 61
MARGIN = 1.12
REACH = 3.0


def response_points(view: View) -> list[Row]:
    """Return what each line does for each KPI that is optimised, or that an optimised KPI is made of.

    Returns
    -------
    list of dict
        ``kpi``, ``unit``, ``line``; ``spend`` (currency over the horizon) with ``expected``, ``low`` and ``high``
        (KPI units, what earlier spend carries in included; the interval None with one draw), lists of one length;
        ``today`` and ``plan`` with ``spend`` and ``expected``; ``observed_low`` and ``observed_high``, the spend
        that was observed as a total over the horizon, None where nothing was.
    """
    scenario = view.scenario
    grids = _spend_grids(view)
    today, planned = _flightings(view)
    # (POINTS, D, K, L)
    sampled = _sampled(view, planned, grids)
    at = {"today": (today, scenario.current), "plan": (planned, _planned(view))}
    spots = {name: _sampled(view, spread, row[None])[0].mean(axis=0) for name, (spread, row) in at.items()}
    observed = _observed(view)
    rows = []
    for kpi in view.moved:
        k = scenario.tree.leaves.index(kpi)
        for i, line in enumerate(scenario.lines):
            if scenario.response.family[k, i] == 0:
                continue
            row: Row = {"kpi": kpi, "unit": view.unit(kpi), "line": line, "spend": grids[:, i].tolist()}
            row |= _curve(sampled[:, :, k, i])
            for name, (_, spend) in at.items():
                row[name] = {"spend": float(spend[i]), "expected": float(spots[name][k, i])}
            row["observed_low"], row["observed_high"] = (plain(end) for end in observed[i])
            rows.append(row)
    return rows


def _curve(values: Floats) -> Row:
    """Expected effects and their interval at each spend, of values (POINTS, D)."""
    ends: list[Any] = [None, None]
    if values.shape[1] > 1:
        ends = np.quantile(values, TAILS, axis=1).tolist()
    return {"expected": values.mean(axis=1).tolist(), "low": ends[0], "high": ends[1]}


def _flightings(view: View) -> tuple[Simulator, Simulator]:
    """What spend does as it is spread today, and as the plan spreads it."""
    scenario = view.scenario
    today = planned = Simulator.of(scenario)
    if scenario.free:
        beyond = today.unit.shape[1] - scenario.shares.shape[1]
        unit = np.pad(_pattern(view) / scenario.price, ((0, 0), (0, beyond)))
        planned = replace(today, unit=np.ascontiguousarray(unit))
    return today, planned


def _sampled(view: View, simulator: Simulator, grids: Floats) -> Floats:
    """Effects of each line at its own spends (POINTS, L), the others as planned: (POINTS, D, K, L)."""
    if simulator.links is None:
        return np.array([simulator.effects(row)[0] for row in grids])
    by_line = []
    for line in range(grids.shape[1]):
        rows = np.tile(_planned(view), (len(grids), 1))
        rows[:, line] = grids[:, line]
        by_line.append([simulator.effects(row)[0][:, :, line] for row in rows])
    return np.moveaxis(np.array(by_line), 0, -1)


def _planned(view: View) -> Floats:
    return view.plan.totals.to_numpy(dtype=float)


def _pattern(view: View) -> Floats:
    """Share of each line's planned spend by period: (L, T); even where nothing is planned."""
    planned = _planned(view)[:, None]
    spread = np.divide(view.plan.by_period.to_numpy(dtype=float), np.where(planned > 0, planned, 1.0))
    return np.where(planned > 0, spread, view.scenario.shares)


def _observed(view: View) -> Floats:
    """Observed spend range of each line as a total over the horizon at the plan's flighting: (L, 2)."""
    peak = _pattern(view).max(axis=1)
    return np.asarray(view.scenario.response.observed / np.where(peak > 0, peak, np.nan)[:, None])


def _spend_grids(view: View) -> Floats:
    """Spend to draw each curve at: (POINTS, L), from zero to a little beyond all that is marked."""
    spent = np.maximum(view.scenario.current, _planned(view))
    # Spend observed far beyond today and plan would squeeze both into a corner.
    top = np.maximum(spent, np.minimum(np.nan_to_num(_observed(view)[:, 1], nan=0.0), REACH * spent))
    # A line without any spend is drawn as far as the average line goes.
    top[top == 0] = top.mean() or 1.0
    # Squared steps: curves bend most near zero.
    return np.asarray(np.linspace(0.0, 1.0, POINTS)[:, None] ** 2 * top * MARGIN)
