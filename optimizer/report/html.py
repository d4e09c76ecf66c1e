"""The report: one self-contained HTML file that opens from disk, loads nothing and needs no scripts."""

from __future__ import annotations

from functools import partial
from typing import Any

from . import formats
from .charts import flighting_chart, front_charts, response_curves
from .view import View


def render(view: View) -> str:
    """Render the report of a plan, and of its front where there is one.

    Every number comes from plan.json or front.json and stands in a ``<data value="...">`` element with its
    unrounded value. Text from files is escaped.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup, escape

    environment = Environment(
        loader=PackageLoader("optimizer.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )

    def data(write: Any, value: float | None, *args: Any, **named: Any) -> Markup:
        text = write(value, *args, **named)
        if value is None:
            return escape(text)
        return Markup('<data value="{}">{}</data>').format(repr(float(value)), text)

    environment.filters |= {
        "number": partial(data, formats.number),
        "percent": partial(data, formats.percent),
        "change": partial(data, formats.percent, sign=True),
        "signed": partial(data, formats.signed),
        "chance": partial(data, formats.chance),
        "room": partial(data, formats.room),
        "clean": formats.clean,
        # Names may break after an underscore.
        "name": lambda text: escape(formats.clean(text)).replace("_", Markup("_<wbr>")),
    }
    # SVG is ours: its only text from files was escaped when it was drawn.
    groups = [
        {"kpi": group.kpi, "figures": [{"caption": f.caption, "svg": Markup(f.svg)} for f in group.figures]}
        for group in response_curves(view)
    ]
    fronts = [{"caption": f.caption, "svg": Markup(f.svg)} for f in front_charts(view)]
    calendar = flighting_chart(view)
    largest = max([row["plan"] for row in view.lines] + [row["current"] for row in view.lines]) or 1.0
    template = environment.get_template("report.html")
    return template.render(
        view=view, curves=groups, fronts=fronts, calendar=calendar and Markup(calendar.svg), largest=largest
    )
