"""Pages that open from disk and load nothing: every number with its unrounded value, text from files escaped."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from . import formats
from .choosing import script
from .figures import Charts
from .view import View

if TYPE_CHECKING:
    from jinja2 import Environment


def render(view: View, charts: Charts | None = None) -> str:
    """Render the report of a plan, and of its front where there is one.

    Every number comes from plan.json or front.json and stands in a ``<data value="...">`` element with its
    unrounded value. Text from files is escaped. Only a front brings a script, which the page works without.
    """
    return (
        environment()
        .get_template("report.html")
        .render(
            view=view,
            data=view.data,
            level=round(100 * view.data["interval"]),
            title=f"{view.data['scenario']} – media plan",
            charts=charts or Charts(view),
            pages=pages(view),
            script=script(view),
            largest=max([row["plan"] for row in view.lines] + [row["current"] for row in view.lines]) or 1.0,
        )
    )


def pages(view: View) -> list[str]:
    """Return the names of the sections that apply, in their order."""
    data = view.data
    there = {
        "outcomes": True,
        "before": data["warnings"],
        "scorecard": True,
        "moves": True,
        "allocation": True,
        "flighting": view.flighting,
        "waterfall": view.moved,
        "returns": view.moved,
        "outlook": data["outlook"],
        "claims": data["claims"],
        "scale": view.scale or view.tradeoff,
        "front": view.front_data,
        "rules": True,
        "robustness": data["robustness"],
        "segments": data["segments"],
        "curves": view.moved,
        "kpis": True,
        "made": True,
    }
    return [name for name, applies in there.items() if applies]


def environment() -> Environment:
    """Return the templates' environment: escaping, and filters that write numbers and names."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup, escape

    made = Environment(
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

    def sections(content: str) -> list[tuple[str, Markup]]:
        return [(found[1], Markup(found[2])) for found in re.finditer(r'<h2 id="(\w+)">(.*?)</h2>', content)]

    made.filters |= {
        "number": partial(data, formats.number),
        "percent": partial(data, formats.percent),
        "change": partial(data, formats.percent, sign=True),
        "signed": partial(data, formats.signed),
        "chance": partial(data, formats.chance),
        "room": partial(data, formats.room),
        "clean": formats.clean,
        # Names may break after an underscore.
        "name": lambda text: escape(formats.clean(text)).replace("_", Markup("_<wbr>")),
        # SVG is ours: its only text from files was escaped when it was drawn.
        "drawing": Markup,
        "sections": sections,
    }
    return made
