"""Charts as static SVG: drawn once, readable without scripts, the same bytes each time."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..plan import INTERVAL
from ..simulate import Simulator
from .formats import clean
from .view import View

if TYPE_CHECKING:
    import altair as alt

    from ..front import Front

Floats = NDArray[np.float64]

# Okabe & Ito's palette: told apart with any colour vision, and by shape where it matters.
BLUE, BAND, INK, GREY, OBSERVED, ORANGE = "#0072B2", "#9CC9E6", "#1f2933", "#5f6b7a", "#EEF0F3", "#D55E00"
FONT = "Arial, Helvetica, sans-serif"
POINTS = 61
MARGIN = 1.12
REACH = 3.0
LABEL_LENGTH, LABEL_WIDTH = 46, 220
STRETCH = 1.25
# SI prefixes where an axis reaches 10,000; else plain numbers (SI would write a thousandth as "1m").
PREFIXED = "datum.value == 0 ? '0' : replace(format(datum.value, '~s'), 'G', 'bn')"
PLAIN = "format(datum.value, ',.6~g')"


@dataclass(frozen=True)
class Figure:
    """One chart with its caption and its description in words.

    Attributes
    ----------
    caption : str
        What it shows.
    svg : str
        Inline SVG, labelled with ``alt``.
    """

    caption: str
    svg: str


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
    for kpi in _leaves(view):
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


def _leaves(view: View) -> list[str]:
    """Additive KPIs behind the objectives, in the scenario's order."""
    tree, found, waiting = view.scenario.tree, set(), list(view.scenario.objectives)
    while waiting:
        name = waiting.pop()
        formula = tree.kpis[name].formula if name in tree.kpis else None
        if formula is not None:
            waiting += [part for part in formula[1] if isinstance(part, str)]
        elif name in tree.leaves:
            found.add(name)
    return [name for name in tree.leaves if name in found]


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
    x = alt.X("x:Q", title=f"Spend, {view.currency} over the horizon", axis=_axis(curve["x"].max(), 5))
    y = alt.Y("y:Q", title=_short(unit), axis=_axis(curve["high"].max(), 4), scale=alt.Scale(zero=True))
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
    return Figure(line, _svg(chart, words))


TODAY = {"shape": "circle", "filled": False, "size": 90, "color": INK, "strokeWidth": 2}
PLAN = {"shape": "diamond", "filled": True, "size": 130, "color": ORANGE, "opacity": 1.0}


def flighting_chart(view: View) -> Figure | None:
    """Draw when each line spends: lines by periods, the darker the more of the line's largest period."""
    import altair as alt

    if not view.flighting:
        return None
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
    return Figure("Flighting", _svg(chart, f"Spend by line and period: {'; '.join(peaks)}."))


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
    x = alt.X(
        "x:Q", title=_axis_title(first, kpis[first].unit), scale=scale, axis=_axis(frame["x"].abs().max(), 5)
    )
    y = alt.Y(
        "y:Q", title=_axis_title(second, kpis[second].unit), scale=scale, axis=_axis(frame["y"].abs().max(), 5)
    )
    layers: list[Any] = []
    if len(view.scenario.objectives) == 2:
        layers.append(alt.Chart(frame).mark_line(color=BLUE, strokeWidth=1, opacity=0.6).encode(x=x, y=y))
    layers.append(alt.Chart(frame).mark_point(filled=True, size=36, color=BLUE, opacity=0.9).encode(x=x, y=y))
    marks = [
        (worst, NADIR),
        (best, IDEAL),
        (front.current, TODAY),
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
    return Figure(f"{first} against {second}", _svg(chart, words))


IDEAL = {"shape": "triangle-up", "filled": False, "size": 90, "color": GREY, "strokeWidth": 1.5}
NADIR = {"shape": "triangle-down", "filled": False, "size": 90, "color": GREY, "strokeWidth": 1.5}


def _axis(largest: float, ticks: int) -> alt.Axis:
    import altair as alt

    return alt.Axis(tickCount=ticks, labelExpr=PREFIXED if largest >= 10_000 else PLAIN, labelFlush=False)


def _axis_title(name: str, unit: str) -> str:
    return _short(f"{name} ({unit})" if unit and unit != name else name)


def _short(text: str) -> str:
    """Cut a label to what fits along an axis; the caption has it in full."""
    text = clean(text).replace("\n", " ")
    return text if len(text) <= LABEL_LENGTH else f"{text[: LABEL_LENGTH - 1]}…"


def _svg(chart: Any, words: str) -> str:
    """Draw a chart and make its SVG fit to stand in a page: described, scalable, without ids or fixed size."""
    import vl_convert

    text = {"labelFont": FONT, "titleFont": FONT, "labelFontSize": 12, "titleFontSize": 12}
    chart = chart.configure(
        aria=False,
        font=FONT,
        background="white",
        padding={"left": 2, "right": 14, "top": 8, "bottom": 2},
        # The whole figure has the given size, whatever its labels take: figures in a grid line up.
        autosize={"type": "fit", "contains": "padding"},
    )
    chart = chart.configure_axis(
        **text,
        labelColor=INK,
        titleColor=INK,
        titleFontWeight="normal",
        gridColor="#e4e7eb",
        domainColor="#9aa5b1",
        tickColor="#9aa5b1",
        labelLimit=0,
        titleLimit=0,
    ).configure_view(stroke=None)
    return _embed(vl_convert.vegalite_to_svg(chart.to_dict()), words)


def _embed(svg: str, words: str) -> str:
    from markupsafe import escape

    head, body = svg.split(">", 1)
    found = re.search(r'width="([\d.]+)" height="([\d.]+)" viewBox="([^"]+)"', head)
    width, box = (float(found.group(1)), found.group(3)) if found else (300.0, "0 0 300 200")
    widest = f"max-width:{STRETCH * width:.0f}px"
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="{box}" style="{widest}" '
        f'aria-label="{escape(clean(words))}">'
    )
    return opening + body
