"""An audit as one self-contained page: the verdict, its picture, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from .drawing import BLUE, GREY, ORANGE, Figure, styled

if TYPE_CHECKING:
    import altair as alt

WIDTH, HEIGHT = 620, 300
LIGHTS = {"green": "#009E73", "yellow": "#E69F00", "red": ORANGE, "grey": GREY}


def render_audit(name: str, data: dict[str, Any]) -> str:
    """Render an audit's page from what its JSON holds; text from files is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from .formats import clean

    environment = Environment(
        loader=PackageLoader("optimizer.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clean"] = clean
    caption, chart = CHARTS[name](data)
    svg = Markup(Figure(caption, styled(chart.properties(width=WIDTH, height=HEIGHT)), caption).svg)
    template = environment.get_template("audit.html")
    return template.render(
        name=name, verdict=data["verdict"], caption=caption, svg=svg, notes=data.get("notes", [])
    )


def _alignment(data: dict[str, Any]) -> tuple[str, alt.Chart]:
    import altair as alt

    plans = ["today", "platform", "business"]
    rows = [{"line": row["line"], "plan": plan, "spend": row[plan]} for row in data["moves"] for plan in plans]
    chart = alt.Chart(pd.DataFrame(rows)).mark_bar()
    chart = chart.encode(
        x=alt.X("spend:Q", title="spend over the horizon"),
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
    return "Each effect on the proxy against its effect on the goal", chart


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
        x=alt.X("points:Q", title="percentage points"),
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
    line, dots = base.mark_line(color=GREY).encode(y=value), base.mark_circle(size=60).encode(y=value, color=light)
    rule = base.mark_line(color=GREY, strokeDash=[4, 4]).encode(y="reference:Q")
    return "The KPI by period with its lights; dashed: the reference", rule + line + dots


CHARTS = {"alignment": _alignment, "proxy": _proxy, "segments": _segments, "drift": _drift}
