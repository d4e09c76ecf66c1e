"""The picture of each audit, drawn from what its JSON holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from .drawing import BAND, BLUE, GREY, INK, ORANGE

if TYPE_CHECKING:
    import altair as alt

WIDTH, HEIGHT = 520, 280
# Of the bars of one line or segment.
ROW = 44
LIGHTS = {"green": "#009E73", "yellow": "#E69F00", "red": ORANGE, "grey": GREY}


def _alignment(data: dict[str, Any]) -> tuple[str, alt.Chart]:
    import altair as alt

    plans = ["today", "platform", "business"]
    rows = [{"line": row["line"], "plan": plan, "spend": row[plan]} for row in data["moves"] for plan in plans]
    chart = alt.Chart(pd.DataFrame(rows)).mark_bar()
    chart = chart.encode(
        x=alt.X("spend:Q", title="spend over the horizon", axis=alt.Axis(tickCount=6)),
        y=alt.Y("line:N", title=None, sort=None),
        yOffset=alt.YOffset("plan:N", sort=plans),
        color=alt.Color("plan:N", sort=plans, scale=alt.Scale(domain=plans, range=[GREY, ORANGE, BLUE])),
    )
    return f"Spend by line: today, best for {data['platform_kpi']} (platform), and best for the business", chart


def _proxy(data: dict[str, Any]) -> tuple[str, alt.Chart]:
    import altair as alt

    table = pd.DataFrame(data["points"], columns=["proxy", "goal", "segment"])
    chart = alt.Chart(table).mark_point(color=BLUE)
    chart = chart.encode(
        x=alt.X("proxy:Q", title="effect on the proxy"), y=alt.Y("goal:Q", title="effect on the goal")
    )
    shown, of = len(table), data["effects"]
    which = "Each effect" if shown == of else f"{shown:,} of {of:,} effects, evenly picked:"
    return f"{which} on the proxy against its effect on the goal", chart


def _segments(data: dict[str, Any]) -> tuple[str, alt.Chart]:
    import altair as alt

    parts = ["mix", "rate"]
    rows = [
        {"segment": str(row["segment"]), "part": part, "points": 100 * row[part]}
        for row in data["segments"]
        for part in parts
    ]
    chart = alt.Chart(pd.DataFrame(rows)).mark_bar()
    chart = chart.encode(
        x=alt.X("points:Q", title="percentage points", axis=alt.Axis(tickCount=6)),
        y=alt.Y("segment:N", title=None, sort=None),
        yOffset=alt.YOffset("part:N", sort=parts),
        color=alt.Color("part:N", sort=parts, scale=alt.Scale(domain=parts, range=[GREY, BLUE])),
    )
    return "What each segment adds to the change of the overall rate, by mix and by rate", chart


def _drift(data: dict[str, Any]) -> tuple[str, alt.LayerChart]:
    import altair as alt

    table = pd.DataFrame(data["periods"])
    table["reference"] = data["reference"]
    base = alt.Chart(table).encode(x=alt.X("date:T", title=None, scale=alt.Scale(type="utc")))
    value = alt.Y("value:Q", title="value", scale=alt.Scale(zero=False))
    names = list(LIGHTS)
    light = alt.Color("light:N", sort=names, scale=alt.Scale(domain=names, range=list(LIGHTS.values())))
    line, dots = (
        base.mark_line(color=GREY).encode(y=value),
        base.mark_circle(size=70, opacity=1).encode(y=value, color=light),
    )
    rule = base.mark_line(color=GREY, strokeDash=[4, 4]).encode(y="reference:Q")
    return "The KPI by period with its lights; dashed: the reference", rule + line + dots


def _leads(data: dict[str, Any]) -> tuple[str, alt.LayerChart]:
    import altair as alt

    table = pd.DataFrame(data["calibration"])
    top = float(table[["expected", "observed"]].max().max()) or 1.0
    ends = pd.DataFrame({"expected": [0.0, top], "observed": [0.0, top]})
    x = alt.X("expected:Q", title="share expected to buy", axis=alt.Axis(format="%"))
    y = alt.Y("observed:Q", title="share that bought", axis=alt.Axis(format="%"))
    straight = alt.Chart(ends).mark_line(color=GREY, strokeDash=[4, 4]).encode(x=x, y=y)
    points = alt.Chart(table).mark_line(color=BLUE, point=alt.OverlayMarkDef(color=BLUE, size=60)).encode(x=x, y=y)
    return (
        "Of the later leads, how many bought and how many were expected to; dashed: as expected",
        straight + points,
    )


def _experiment(data: dict[str, Any]) -> tuple[str, alt.Chart | alt.LayerChart]:
    if data["kind"] in ("plan", "plan-regions"):
        return _power(data)
    return _groups(data) if data["series"] else _interval(data)


def _power(data: dict[str, Any]) -> tuple[str, alt.LayerChart]:
    import altair as alt

    people, figures = data["kind"] == "plan", data["figures"]
    title = "people in all" if people else "lift"
    at = figures["treated"] + figures["control"] if people else abs(figures["lift"])
    table = pd.DataFrame(data["curve"]).abs()
    y = alt.Y("power:Q", title="chance to find it", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    line = alt.Chart(table).mark_line(color=BLUE).encode(x=alt.X("x:Q", title=title), y=y)
    chosen = pd.DataFrame({"x": [at], "power": [figures["power"]]})
    mark = alt.Chart(chosen).mark_point(color=ORANGE, filled=True, size=120, shape="diamond")
    return f"The chance that the test finds it, by {title}; the diamond is the test planned", (
        line + mark.encode(x="x:Q", y=y)
    )


def _groups(data: dict[str, Any]) -> tuple[str, alt.LayerChart]:
    import altair as alt

    table = pd.DataFrame(data["series"])
    names, figures = ["treated", "control"], data["figures"]
    span = pd.DataFrame({"start": [figures["start"]], "end": [figures["end"]]})
    x = alt.X("date:T", title=None, scale=alt.Scale(type="utc"))
    band = alt.Chart(span).mark_rect(color=BAND, opacity=0.35)
    band = band.encode(x=alt.X("start:T", title=None, scale=alt.Scale(type="utc")), x2="end:T")
    lines = (
        alt.Chart(table)
        .mark_line()
        .encode(
            x=x,
            y=alt.Y("value:Q", title="share of its mean before the test", scale=alt.Scale(zero=False)),
            color=alt.Color(
                "group:N", sort=names, title=None, scale=alt.Scale(domain=names, range=[ORANGE, GREY])
            ),
        )
    )
    return "Both groups before and during the test (shaded): alike before, apart in it, is an effect", band + lines


def _interval(data: dict[str, Any]) -> tuple[str, alt.LayerChart]:
    import altair as alt

    scaled = [{**row, **{key: 100 * row[key] for key in ("value", "low", "high")}} for row in data["effects"]]
    base = alt.Chart(pd.DataFrame(scaled))
    y = alt.Y("name:N", title=None)
    bar = base.mark_rule(color=BLUE, strokeWidth=3).encode(
        x=alt.X("low:Q", title="difference, percentage points"), x2="high:Q", y=y
    )
    point = base.mark_point(color=BLUE, filled=True, size=120).encode(x="value:Q", y=y)
    lines = [{"at": 0.0, "what": "no effect"}]
    if data["figures"].get("margin"):
        lines.append({"at": -100 * data["figures"]["margin"], "what": "loss allowed"})
    names = ["no effect", "loss allowed"][: len(lines)]
    colour = alt.Color("what:N", title=None, scale=alt.Scale(domain=names, range=[INK, ORANGE][: len(lines)]))
    rules = alt.Chart(pd.DataFrame(lines)).mark_rule(strokeDash=[4, 4]).encode(x="at:Q", color=colour)
    return "The difference between the groups with its interval", rules + bar + point


CHARTS = {
    "alignment": _alignment,
    "proxy": _proxy,
    "segments": _segments,
    "drift": _drift,
    "leads": _leads,
    "experiment": _experiment,
}
