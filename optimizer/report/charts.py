"""Charts of a plan: response curves, the calendar and the front."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..budget import FEASIBLE
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

Row = dict[str, Any]


@dataclass(frozen=True)
class CurveGroup:
    """Response curves of one KPI, one figure a line."""

    kpi: str
    figures: tuple[Figure, ...]


def response_curves(view: View) -> list[CurveGroup]:
    """Draw what each line does for each KPI that is optimised, or that an optimised KPI is made of."""
    rows = view.curves
    return [
        CurveGroup(kpi, tuple(_curve_figure(view.currency, row) for row in rows if row["kpi"] == kpi))
        for kpi in view.moved
    ]


def _curve_figure(currency: str, row: Row) -> Figure:
    import altair as alt

    unit, known = row["unit"] or row["kpi"], row["high"] is not None
    curve = pd.DataFrame({"x": row["spend"], "y": row["expected"]})
    if known:
        curve["low"], curve["high"] = row["low"], row["high"]
    end, top = curve["x"].max(), curve["high" if known else "y"].max()
    x = alt.X("x:Q", title=f"Spend, {currency} over the horizon", axis=axis(end, 5))
    y = alt.Y("y:Q", title=short(unit), axis=axis(top, 4), scale=alt.Scale(zero=True))
    layers: list[Any] = []
    low, high = row["observed_low"] or 0.0, row["observed_high"]
    if high is not None and low < end:
        seen = pd.DataFrame({"x": [low], "x2": [min(high, end)]})
        layers.append(alt.Chart(seen).mark_rect(color=OBSERVED).encode(x=x, x2="x2:Q"))
    if known:
        layers.append(
            alt.Chart(curve).mark_area(color=BAND, opacity=0.55).encode(x=x, y=alt.Y("low:Q"), y2="high:Q")
        )
    layers.append(alt.Chart(curve).mark_line(color=BLUE, strokeWidth=2).encode(x=x, y=y))
    for at, style in (("today", TODAY), ("plan", PLAN)):
        spot = pd.DataFrame({"x": [row[at]["spend"]], "y": [row[at]["expected"]]})
        layers.append(alt.Chart(spot).mark_point(**style).encode(x=x, y=y))
    chart = alt.layer(*layers).properties(width=310, height=220)
    today, plan = row["today"], row["plan"]
    words = (
        f"Response curve of {row['line']} for {row['kpi']}: at today's {number(today['spend'])} {currency} it "
        f"brings {number(today['expected'])} {unit}, at the planned {number(plan['spend'])} {currency} "
        f"{number(plan['expected'])}."
    )
    return Figure(row["line"], styled(chart), words)


def flighting_chart(view: View) -> list[Figure]:
    """Draw when each line spends, the darker the more of its largest period; none where all are alike."""
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
        f"{len(frame)} plans of the front, {first} against {second}: from {number(frame['x'].min())} and "
        f"{number(frame['y'].iloc[int(frame['x'].argmin())])} to {number(frame['x'].max())} and "
        f"{number(frame['y'].iloc[int(frame['x'].argmax())])}; today {number(front.current[first])} and "
        f"{number(front.current[second])}; the plan {number(expected[first])} and {number(expected[second])}."
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
