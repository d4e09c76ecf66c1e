"""What the audits print: the verdict first, then its figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .formats import clean, number, percent
from .tables import block, columns, print_warnings

if TYPE_CHECKING:
    from ..audit.alignment import Alignment
    from ..audit.drift import Drift
    from ..audit.leads import Leads
    from ..audit.proxy import Proxy
    from ..audit.segments import Segments
    from ..audit.trials import Trial
    from ..audit.verdict import Verdict

COLOUR = {"green": "green", "yellow": "yellow", "red": "red", "grey": "dim"}
# Latest periods of a chart that a terminal shows; all are in the JSON.
SHOWN = 26


def print_verdict(console: Console, verdict: Verdict) -> None:
    """Print the answer, the reason and what to do."""
    console.print(Text(f"{verdict.light.upper()}: {verdict.answer}", style=f"bold {COLOUR[verdict.light]}"))
    console.print(Text(clean(verdict.reason[:1].upper() + verdict.reason[1:] + ".")))
    console.print(Text(clean(f"Next: {verdict.next}.")))


def print_alignment(console: Console, found: Alignment) -> None:
    """Print what steering by the platform's KPI costs, and the moves that would mend it."""
    print_verdict(console, found.verdict)
    table = columns("KPI", "Today", f"Best for {clean(found.kpi)}", "Best for the business", "Change")
    for name, row in found.outcomes.iterrows():
        values = (number(row["today"]), number(row["platform"]), number(row["business"]))
        table.add_row(clean(name), *values, percent(row["change"], sign=True))
    console.print()
    foot = f"Rank agreement of marginal returns (Kendall's tau): {number(found.rank)}"
    console.print(block("What each plan brings; change: platform against business", table, foot))
    table = columns("Line", "Today", "Platform", "Business", "Move", f"One of {clean(found.kpi)} is worth")
    for name, row in found.moves.iterrows():
        money = (number(row[key]) for key in ("today", "platform", "business", "move"))
        table.add_row(clean(name), *money, number(row["worth"]))
    console.print()
    console.print(block(f"The moves that mend it; worth in {clean(found.goal)}", table))


def print_proxy(console: Console, found: Proxy) -> None:
    """Print how far a proxy stands for its goal."""
    print_verdict(console, found.verdict)
    lag = f", the goal {found.lag} periods later" if found.kind == "history" else ""
    console.print()
    console.print(block(f"Over {found.effects} effects{lag}; 95 % interval", _table(found.figures)))
    if len(found.segments) > 1:
        console.print()
        console.print(block("By segment", _table(found.segments)))
    if len(found.lags):
        console.print()
        foot = f"The goal is taken {found.lag} periods later: the largest beyond what chance does, else 0"
        console.print(block("By periods until the goal follows, earlier effects", _table(found.lags), foot))


def print_segments(console: Console, found: Segments) -> None:
    """Print a rate's change split into mix and rate."""
    print_verdict(console, found.verdict)
    table = columns("Segment", "Size before", "after", "Rate before", "after", "Mix, points", "Rate, points")
    for name, row in found.table.iterrows():
        sizes = (number(row["size before"]), number(row["size after"]))
        rates = (_share(row["rate before"]), _share(row["rate after"]))
        table.add_row(clean(name), *sizes, *rates, _points(row["mix"]), _points(row["rate"]))
    table.add_section()
    table.add_row(
        "all", "", "", _share(found.before), _share(found.after), _points(found.mix), _points(found.rate)
    )
    console.print()
    console.print(block("What each segment adds to the change", table))


def print_drift(console: Console, found: Drift) -> None:
    """Print the lights of the latest periods."""
    print_verdict(console, found.verdict)
    table = columns("Date", "Value", "CUSUM", "EWMA", "Light")
    for day, row in found.table.iloc[-SHOWN:].iterrows():
        table.add_row(
            str(day),
            number(row["value"]),
            percent(row["cusum"]),
            percent(row["ewma"]),
            Text(row["light"], style=COLOUR[row["light"]]),
        )
    console.print()
    console.print(block(f"Against {number(found.reference)}; charts as shares of their red limits", table))
    print_warnings(console, found.notes, "To know")


def _share(share: float) -> str:
    return f"{number(100 * share)} %"


def _points(share: float) -> str:
    return f"{100 * share:+.3f}"


def _table(frame: pd.DataFrame) -> Table:
    table = columns(str(frame.index.name).capitalize(), *(name.capitalize() for name in frame.columns))
    for name, row in frame.iterrows():
        cells = ("yes" if value is True else "no" if value is False else number(float(value)) for value in row)
        table.add_row(clean(name), *cells)
    return table


def print_leads(console: Console, found: Leads) -> None:
    """Print each way to count leads, and what it does to the plan."""
    print_verdict(console, found.verdict)
    table = columns("A lead counts by", "The KPI", "Purchases caught", "Purchases a counted lead")
    for name, row in found.choices.iterrows():
        shares = (percent(row["purchases caught"]), _share(row["rate"]))
        table.add_row(clean(name), number(row["counted"]), *shares)
    console.print()
    console.print(block("On the later leads", table))
    if len(found.plans):
        lines = [name for name in found.plans if name not in ("purchases", "lost")]
        table = columns("Planned by", "Purchases", "Lost", *(clean(name) for name in lines))
        for name, row in found.plans.iterrows():
            money = (number(row[line]) for line in lines)
            table.add_row(clean(name), number(row["purchases"]), percent(row["lost"]), *money)
        console.print()
        console.print(block("What each way does to the plan; spend by line", table))


def print_experiment(console: Console, found: Trial) -> None:
    """Print an experiment's verdict: its sentence holds the figures."""
    print_verdict(console, found.verdict)


PRINT: dict[str, Callable[[Console, Any], None]] = {
    "alignment": print_alignment,
    "proxy": print_proxy,
    "segments": print_segments,
    "drift": print_drift,
    "leads": print_leads,
    "experiment": print_experiment,
}


def print_audit(console: Console, name: str, found: Any) -> None:
    """Print an audit by its name."""
    PRINT[name](console, found)
