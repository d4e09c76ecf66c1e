"""What a fit found, on one self-contained page: curves with their doubt, shares of spend and effect, misses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from ..evidence.shapes import WORDS
from . import formats
from .drawing import BAND, BLUE, GREY, INK, OBSERVED, ORANGE, Figure, axis, short, styled

if TYPE_CHECKING:
    import altair as alt

    from ..evidence.fit import Fit

CURVE = {"width": 310, "height": 190}
SHARES_WIDTH, SHARES_ROW = 360, 34
SERIES = {"width": 560, "height": 190}


def render_fit(fit: Fit) -> str:
    """Render the page; every number in it is in fit.json. Text from files is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("optimizer.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clean": formats.clean, "number": formats.number, "percent": formats.percent}
    kpis = [
        {
            "name": name,
            "figures": kpi,
            "effects": fit.diagnostics["effects"][name],
            "curves": [
                {"line": line, "svg": Markup(_curve(fit, name, line))} for line in fit.diagnostics["effects"][name]
            ],
            "shares": Markup(_shares(fit, name)),
            "series": Markup(_series(fit, name)),
            "left": Markup(_left(fit, name)),
        }
        for name, kpi in fit.diagnostics["kpis"].items()
    ]
    return environment.get_template("fit.html").render(
        about=fit.model.attributes,
        kpis=kpis,
        lines=fit.diagnostics["lines"],
        words=WORDS,
        notes=fit.notes,
        repairs=fit.repairs,
        calibration=fit.diagnostics.get("calibration"),
        period=fit.spec.period,
        money=fit.spec.currency or "spent",
    )


def _curve(fit: Fit, kpi: str, line: str) -> str:
    """Effect a period against spend a period, its band, and the range the history holds."""
    import altair as alt

    effect, seen = fit.diagnostics["effects"][kpi][line], fit.diagnostics["lines"][line]
    table = pd.DataFrame(effect["curve"]).rename(columns={"effect": "y", "spend": "x"})
    money = fit.spec.currency or "spend"
    x = alt.X("x:Q", title=f"{money} a {fit.spec.period}", axis=axis(float(table["x"].max()), 5))
    y = alt.Y("y:Q", title=short(f"{kpi} a {fit.spec.period}"), axis=axis(float(table["high"].max()), 4))
    ends = pd.DataFrame({"x": [seen["low"]], "x2": [seen["high"]]})
    mean = pd.DataFrame({"x": [seen["mean"]]})
    layers = [
        alt.Chart(ends).mark_rect(color=OBSERVED).encode(x=x, x2="x2:Q"),
        alt.Chart(table).mark_area(color=BAND, opacity=0.55).encode(x=x, y=alt.Y("low:Q"), y2="high:Q"),
        alt.Chart(table).mark_line(color=BLUE, strokeWidth=2).encode(x=x, y=y),
        alt.Chart(mean).mark_rule(color=GREY, strokeDash=[3, 3]).encode(x=x),
    ]
    words = (
        f"What {line} does for {kpi} a {fit.spec.period}: seen from {seen['low']:,.0f} to {seen['high']:,.0f} "
        f"{money}, {seen['mean']:,.0f} on average; at most drawn it brings {table['y'].iloc[-1]:,.4g} "
        f"({table['low'].iloc[-1]:,.4g} to {table['high'].iloc[-1]:,.4g})."
    )
    return _drawn(alt.layer(*layers).properties(**CURVE), words)


def _shares(fit: Fit, kpi: str) -> str:
    """Each line's share of all spend beside its share of what all lines bring, with its interval."""
    import altair as alt

    effects, lines = fit.diagnostics["effects"][kpi], fit.diagnostics["lines"]
    rows = [
        {
            "line": formats.clean(line),
            "spend": lines[line]["share_of_spend"],
            **effect["share_of_effect"],
        }
        for line, effect in effects.items()
    ]
    table = pd.DataFrame(rows)
    y = alt.Y("line:N", title=None, sort=None, axis=alt.Axis(labelLimit=160))
    base = alt.Chart(table).encode(y=y)
    x = alt.X("mean:Q", title="share of spend (circle) and of effect (bar, 90 %)", axis=alt.Axis(format="%"))
    layers: list[Any] = [
        base.mark_rule(color=BLUE, strokeWidth=5, opacity=0.45).encode(x="low:Q", x2="high:Q"),
        base.mark_tick(color=BLUE, thickness=3, size=16).encode(x=x),
        base.mark_point(shape="circle", filled=False, size=80, color=INK, strokeWidth=2).encode(x="spend:Q"),
    ]
    words = f"Shares of spend and of the effect on {kpi}: " + "; ".join(
        f"{row['line']} {row['spend']:.0%} of spend, {row['mean']:.0%} of effect" for row in rows
    )
    chart = alt.layer(*layers).properties(width=SHARES_WIDTH, height=60 + SHARES_ROW * len(rows))
    return _drawn(chart, words)


def _series(fit: Fit, kpi: str) -> str:
    """The KPI as it was and as fitted."""
    import altair as alt

    table = _periods(fit, kpi)
    x, scale = _time(), alt.Scale(zero=False)
    y = alt.Y("actual:Q", title=short(kpi), scale=scale, axis=axis(float(table["actual"].abs().max()), 4))
    chart = alt.layer(
        alt.Chart(table).mark_line(color=GREY, strokeWidth=1.5).encode(x=x, y=y),
        alt.Chart(table).mark_line(color=BLUE, strokeWidth=1.5).encode(x=x, y=alt.Y("expected:Q", scale=scale)),
    )
    return _drawn(chart.properties(**SERIES), f"{kpi} by {fit.spec.period}, as it was and as fitted.")


def _left(fit: Fit, kpi: str) -> str:
    """What the fit leaves of every period."""
    import altair as alt

    table = _periods(fit, kpi)
    table["left"] = table["actual"] - table["expected"]
    y = alt.Y("left:Q", title=short(f"left of {kpi}"), axis=axis(float(table["left"].abs().max()), 4))
    chart = alt.layer(
        alt.Chart(table).mark_bar(color=ORANGE, opacity=0.7, size=3).encode(x=_time(), y=y),
        alt.Chart(pd.DataFrame({"y": [0.0]})).mark_rule(color=INK).encode(y="y:Q"),
    )
    worst = table.loc[table["left"].abs().idxmax()]
    words = (
        f"What the fit leaves of {kpi}: at most {worst['left']:,.4g}, in the {fit.spec.period} of {worst['day']}."
    )
    return _drawn(chart.properties(**SERIES), words)


def _time() -> alt.X:
    import altair as alt

    shown = alt.Axis(format="%b %Y", tickCount=6, labelOverlap="greedy", labelSeparation=8)
    return alt.X("day:T", title=None, scale=alt.Scale(type="utc"), axis=shown)


def _periods(fit: Fit, kpi: str) -> pd.DataFrame:
    series = fit.diagnostics["series"]
    return pd.DataFrame({"day": series["starts"], **series[kpi]})


def _drawn(chart: Any, words: str) -> str:
    return Figure(words, styled(chart), words).svg
