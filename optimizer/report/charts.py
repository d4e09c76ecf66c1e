"""Charts of a plan: response curves, the calendar and the front."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..budget import FEASIBLE
from ..plan import INTERVAL
from ..simulate import Simulator
from .drawing import (
    BAND,
    BLUE,
    IDEAL,
    LABEL_WIDTH,
    NADIR,
    OBSERVED,
    PICKS,
    PLAN,
    TODAY,
    Figure,
    axis,
    axis_title,
    short,
    styled,
)
from .formats import clean, number
from .view import View

if TYPE_CHECKING:
    from ..front import Front

Floats = NDArray[np.float64]

POINTS = 61
MARGIN = 1.12
REACH = 3.0


@dataclass(frozen=True)
class CurveGroup:
    """Response curves of one KPI, one figure a line."""

    kpi: str
    figures: tuple[Figure, ...]


def response_curves(view: View) -> list[CurveGroup]:
    """Draw what each line does for each KPI that is optimised, or that an optimised KPI is made of."""
    scenario = view.scenario
    grids = _spend_grids(view)
    today, planned = _flightings(view)
    # (POINTS, D, K, L)
    sampled = _sampled(view, planned, grids)
    at = ((today, scenario.current), (planned, _planned(view)))
    spots = np.array([_sampled(view, spread, row[None])[0].mean(axis=0) for spread, row in at])
    groups = []
    for kpi in view.moved:
        k = scenario.tree.leaves.index(kpi)
        figures = []
        for i, line in enumerate(scenario.lines):
            if scenario.response.family[k, i] == 0:
                continue
            curve = _curve_frame(grids[:, i], sampled[:, :, k, i])
            figures.append(_curve_figure(view, kpi, line, i, curve, spots[:, k, i]))
        groups.append(CurveGroup(kpi, tuple(figures)))
    return groups


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


def _curve_frame(spend: Floats, values: Floats) -> pd.DataFrame:
    tails = [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2]
    low, high = np.quantile(values, tails, axis=1)
    return pd.DataFrame({"x": spend, "y": values.mean(axis=1), "low": low, "high": high})


def _curve_figure(view: View, kpi: str, line: str, i: int, curve: pd.DataFrame, spots: Floats) -> Figure:
    import altair as alt

    unit = view.scenario.spec.kpis[kpi].unit or kpi
    today, plan = float(view.scenario.current[i]), float(_planned(view)[i])
    x = alt.X("x:Q", title=f"Spend, {view.currency} over the horizon", axis=axis(curve["x"].max(), 5))
    y = alt.Y("y:Q", title=short(unit), axis=axis(curve["high"].max(), 4), scale=alt.Scale(zero=True))
    layers: list[Any] = []
    low, high = _observed(view)[i]
    if np.isfinite(high) and low < curve["x"].max():
        seen = pd.DataFrame({"x": [low], "x2": [min(high, float(curve["x"].max()))]})
        layers.append(alt.Chart(seen).mark_rect(color=OBSERVED).encode(x=x, x2="x2:Q"))
    if view.has_intervals:
        layers.append(
            alt.Chart(curve).mark_area(color=BAND, opacity=0.55).encode(x=x, y=alt.Y("low:Q"), y2="high:Q")
        )
    layers.append(alt.Chart(curve).mark_line(color=BLUE, strokeWidth=2).encode(x=x, y=y))
    for at, value, style in ((today, spots[0], TODAY), (plan, spots[1], PLAN)):
        spot = pd.DataFrame({"x": [at], "y": [float(value)]})
        layers.append(alt.Chart(spot).mark_point(**style).encode(x=x, y=y))
    chart = alt.layer(*layers).properties(width=310, height=220)
    words = (
        f"Response curve of {line} for {kpi}: at today's {today:,.0f} {view.currency} it brings "
        f"{spots[0]:,.4g} {unit}, at the planned {plan:,.0f} {spots[1]:,.4g}."
    )
    return Figure(line, styled(chart), words)


def flighting_chart(view: View) -> list[Figure]:
    """Draw when each line spends, the darker the more of its largest period; none where periods are fixed."""
    import altair as alt

    if not view.flighting:
        return []
    starts = view.data["flighting"]["periods"]
    cells = [
        {"line": clean(row["line"]), "period": start, "part": spend / row["peak"] if row["peak"] else 0.0}
        for row in view.flighting
        for start, spend in zip(starts, row["spend"], strict=True)
    ]
    names = [clean(row["line"]) for row in view.flighting]
    shown = starts[:: max(1, -(-len(starts) // 13))]
    shades = alt.Scale(domain=[0, 1], range=["#FFFFFF", BLUE], interpolate="rgb")
    chart = (
        alt.Chart(pd.DataFrame(cells))
        .mark_rect()
        .encode(
            x=alt.X("period:O", sort=starts, title=None, axis=alt.Axis(values=shown, labelAngle=-45)),
            y=alt.Y("line:N", sort=names, title=None, axis=alt.Axis(labelLimit=LABEL_WIDTH)),
            color=alt.Color("part:Q", scale=shades, legend=None),
        )
        .properties(width=760, height=90 + 22 * len(view.flighting))
    )
    peaks = (f"{row['line']} most in {starts[row['spend'].index(row['peak'])]}" for row in view.flighting)
    return [Figure("Spend by period", styled(chart), f"Spend by line and period: {'; '.join(peaks)}.")]


def front_charts(view: View) -> list[Figure]:
    """Draw the front for each pair of objectives: its plans, today, the stated preferences' plan, ideal, nadir."""
    if view.front is None:
        return []
    return [
        _front_figure(view, view.front, first, second)
        for first, second in combinations(view.scenario.objectives, 2)
    ]


def _front_figure(view: View, front: Front, first: str, second: str) -> Figure:
    import altair as alt

    kpis = view.scenario.spec.kpis
    frame = pd.DataFrame({"x": front.points[first], "y": front.points[second]})
    best = {name: front.payoff.loc[name, name] for name in (first, second)}
    worst = {
        name: (front.payoff[name].min() if kpis[name].direction == "maximize" else front.payoff[name].max())
        for name in (first, second)
    }
    expected = view.plan.outcomes["expected"]
    scale = alt.Scale(zero=False, nice=True, padding=14)
    x = alt.X("x:Q", title=axis_title(first, kpis[first].unit), scale=scale, axis=axis(frame["x"].abs().max(), 5))
    y = alt.Y(
        "y:Q", title=axis_title(second, kpis[second].unit), scale=scale, axis=axis(frame["y"].abs().max(), 5)
    )
    layers: list[Any] = []
    if len(view.scenario.objectives) == 2:
        layers.append(alt.Chart(frame).mark_line(color=BLUE, strokeWidth=1, opacity=0.6).encode(x=x, y=y))
    # The script that lets readers choose a point finds the points by this name, in the order of the front.
    named = alt.Chart(frame, name="front")
    layers.append(named.mark_point(filled=True, size=36, color=BLUE, opacity=0.9).encode(x=x, y=y))
    marks = [
        (worst, NADIR),
        (best, IDEAL),
        (front.current, TODAY),
        *((row["kpis"], PICKS[row["pick"]]) for row in view.picks if row["pick"] in PICKS),
        (expected, PLAN),
    ]
    for place, style in marks:
        spot = pd.DataFrame({"x": [float(place[first])], "y": [float(place[second])]})
        layers.append(alt.Chart(spot).mark_point(**style).encode(x=x, y=y))
    chart = alt.layer(*layers).properties(width=400, height=330)
    words = (
        f"{len(frame)} plans of the front, {first} against {second}: from {frame['x'].min():,.4g} and "
        f"{frame['y'].iloc[int(frame['x'].argmin())]:,.4g} to {frame['x'].max():,.4g} and "
        f"{frame['y'].iloc[int(frame['x'].argmax())]:,.4g}; today {front.current[first]:,.4g} and "
        f"{front.current[second]:,.4g}; the plan {expected[first]:,.4g} and {expected[second]:,.4g}."
    )
    return Figure(f"{first} against {second}", styled(chart), words)


def budget_charts(view: View) -> list[Figure]:
    """Draw each objective of the best plan by budget, the scenario's own marked; none without an outlook."""
    outlook = view.data["outlook"]
    if outlook is None:
        return []
    solved = [row for row in outlook["points"] if row["status"] == FEASIBLE]
    return [_budget_figure(view, name, solved, outlook["budget"]) for name in view.scenario.objectives]


def _budget_figure(view: View, kpi: str, rows: list[dict[str, Any]], own: float) -> Figure:
    import altair as alt

    frame = pd.DataFrame({"x": [row["budget"] for row in rows], "y": [row[kpi] for row in rows]})
    x = alt.X("x:Q", title=f"Budget, {view.currency}", axis=axis(frame["x"].max(), 5), scale=alt.Scale(zero=True))
    title = axis_title(kpi, view.unit(kpi))
    y = alt.Y("y:Q", title=title, axis=axis(frame["y"].abs().max(), 5), scale=alt.Scale(zero=True))
    line = alt.Chart(frame).mark_line(color=BLUE, strokeWidth=2, point={"color": BLUE, "size": 30})
    here = alt.Chart(frame[frame["x"] == own]).mark_point(**PLAN).encode(x=x, y=y)
    said = "; ".join(f"{number(row['budget'])}: {number(row[kpi])}" for row in rows)
    words = f"{kpi} of the best plan at each budget in {view.currency}: {said}."
    chart = alt.layer(line.encode(x=x, y=y), here).properties(width=420, height=250)
    return Figure(kpi, styled(chart), words)
