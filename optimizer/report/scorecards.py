"""The scorecard on the terminal and as a page: operational and business layers side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.columns import Columns
from rich.console import Console
from rich.text import Text

from .auditing import COLOUR
from .formats import clean, number, percent
from .tables import block, columns

if TYPE_CHECKING:
    from ..audit.scorecard import Scorecard

TITLES = {"operational": "Operational", "business": "Business", "": "Layer not stated"}


def print_scorecard(console: Console, found: Scorecard) -> None:
    """Print both layers, side by side where the terminal is wide enough."""
    tables = []
    for layer, title in TITLES.items():
        rows = found.layer(layer)
        if not rows:
            continue
        table = columns("KPI", "Value", "Target", "Light", "Trend", "Version", "Owner")
        for row in rows:
            light = Text(row["light"], style=COLOUR[row["light"]])
            style = "" if row["better"] is None else "green" if row["better"] else "red"
            trend = Text(percent(row["trend"], sign=True), style=style)
            version = str(row["version"] or "–")
            table.add_row(
                clean(row["kpi"]), number(row["value"]), _wanted(row), light, trend, version, clean(row["owner"])
            )
        tables.append(block(title, table))
    console.print(Columns(tables))
    for row in found.rows:
        for note in row["notes"]:
            console.print(Text(clean(f"{row['kpi']}: {note}"), style="yellow"))


def _wanted(row: dict[str, Any]) -> str:
    low, high = row["low"], row["high"]
    if low is not None and high is not None:
        return f"{number(low)} to {number(high)}"
    if low is None and high is None:
        return "–"
    return f"≥ {number(low)}" if low is not None else f"≤ {number(high)}"


def scorecard_page(found: Scorecard) -> str:
    """Return the scorecard as one self-contained page."""
    from .html import environment

    data = {"scorecard": list(found.rows), "before": found.to_dict()["before"]}
    template = environment().get_template("scorecard.html")
    return template.render(title=f"Scorecard: {found.scenario}", data=data)
