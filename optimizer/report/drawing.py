"""How charts are drawn: one style, static SVG with a description, the same bytes each time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .formats import clean

if TYPE_CHECKING:
    import altair as alt

# Okabe & Ito's palette: told apart with any colour vision, and by shape where it matters.
BLUE, BAND, INK, GREY, OBSERVED, ORANGE = "#0072B2", "#9CC9E6", "#1f2933", "#5f6b7a", "#EEF0F3", "#D55E00"
PALE = "#9aa5b1"
FONT = "Arial, Helvetica, sans-serif"
LABEL_LENGTH, LABEL_WIDTH = 46, 220
STRETCH = 1.25
# SI prefixes where an axis reaches 10,000; else plain numbers (SI would write a thousandth as "1m").
PREFIXED = "datum.value == 0 ? '0' : replace(format(datum.value, '~s'), 'G', 'bn')"
PLAIN = "format(datum.value, ',.6~g')"
TODAY = {"shape": "circle", "filled": False, "size": 90, "color": INK, "strokeWidth": 2}
PLAN = {"shape": "diamond", "filled": True, "size": 130, "color": ORANGE, "opacity": 1.0}
IDEAL = {"shape": "triangle-up", "filled": False, "size": 90, "color": GREY, "strokeWidth": 1.5}
NADIR = {"shape": "triangle-down", "filled": False, "size": 90, "color": GREY, "strokeWidth": 1.5}

PICKS = {
    "knee": {"shape": "square", "filled": False, "size": 110, "color": INK, "strokeWidth": 1.5},
    "nearest to today": {"shape": "cross", "filled": False, "size": 110, "color": INK, "strokeWidth": 1.5},
}


@dataclass(frozen=True)
class Figure:
    """One chart with its caption and its description in words.

    Attributes
    ----------
    caption : str
        What it shows.
    chart : altair chart
        In the report's style.
    words : str
        What it shows, for those who cannot see it.
    """

    caption: str
    chart: alt.LayerChart
    words: str

    @cached_property
    def svg(self) -> str:
        """Inline SVG: described, scalable, without ids or fixed size."""
        return _embed(self.drawing, self.words)

    @cached_property
    def drawing(self) -> str:
        """A complete SVG file."""
        import vl_convert

        text: str = vl_convert.vegalite_to_svg(self.chart.to_dict(validate=False))
        return text

    @property
    def png(self) -> bytes:
        """A PNG file at twice the size."""
        import vl_convert

        picture: bytes = vl_convert.vegalite_to_png(self.chart.to_dict(validate=False), scale=2.0)
        return picture


def axis(largest: float, ticks: int) -> alt.Axis:
    """Return an axis whose labels suit values up to ``largest``."""
    import altair as alt

    return alt.Axis(tickCount=ticks, labelExpr=PREFIXED if largest >= 10_000 else PLAIN, labelFlush=False)


def axis_title(name: str, unit: str) -> str:
    """Return a KPI with its unit, short enough for an axis."""
    return short(f"{name} ({unit})" if unit and unit != name else name)


def short(text: str) -> str:
    """Cut a label to what fits along an axis; the caption has it in full."""
    text = clean(text).replace("\n", " ")
    return text if len(text) <= LABEL_LENGTH else f"{text[: LABEL_LENGTH - 1]}…"


def styled(chart: Any) -> alt.LayerChart:
    """Return a chart in the report's style; the whole figure has the given size, whatever its labels take."""
    import altair as alt

    text = {"labelFont": FONT, "titleFont": FONT, "labelFontSize": 12, "titleFontSize": 12}
    axes = alt.AxisConfig(
        **text,
        labelColor=INK,
        titleColor=INK,
        titleFontWeight="normal",
        gridColor="#e4e7eb",
        domainColor=PALE,
        tickColor=PALE,
        labelLimit=0,
        titleLimit=0,
    )
    # One copy: each configure_...() makes a deep one, which is most of the time that a chart takes.
    chart = chart.copy(deep=False)
    chart.config = alt.Config(
        aria=False,
        font=FONT,
        background="white",
        padding={"left": 2, "right": 14, "top": 8, "bottom": 2},
        autosize={"type": "fit", "contains": "padding"},
        axis=axes,
        view=alt.ViewConfig(stroke=None),
    )
    return chart


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


def chart_files(named: Iterable[tuple[str, Figure]]) -> dict[str, str | bytes]:
    """Return charts as SVG and PNG files, numbered in their order."""
    files: dict[str, str | bytes] = {}
    for number, (name, figure) in enumerate(named, start=1):
        # Names are for people to find a chart; what a file system may not like is left out.
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
        stem = f"{number:02d}-{plain}"
        files[f"{stem}.svg"] = figure.drawing
        files[f"{stem}.png"] = figure.png
    return files
