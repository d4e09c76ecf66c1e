"""The summary of a batch on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .formats import clean, number, percent

if TYPE_CHECKING:
    from rich.console import Console

    from ..batch import Reallocation


def print_batch(console: Console, found: Reallocation) -> None:
    """Print how many accounts there are by decision level, what the plans do, and the rate."""
    from rich.table import Table
    from rich.text import Text

    summary = found.summary
    done = summary["accounts"] - found.kept
    console.print(clean(summary["name"]), style="bold", markup=False)
    rate = f"{done / found.seconds:,.0f} a second" if done else "nothing left to do"
    kept = f", {found.kept:,} kept from an earlier run" if found.kept else ""
    console.print(
        f"{summary['solved']:,} of {summary['accounts']:,} accounts solved, {summary['failed']:,} failed, in "
        f"{found.seconds:.1f} s ({rate}{kept})",
        markup=False,
    )
    table = Table("decision", "accounts")
    for level, count in summary["levels"].items():
        table.add_row(level, f"{count:,}")
    console.print(table)
    table = Table("KPI", "today", "expected", "change")
    for name, row in summary["kpis"].items():
        change = row["expected"] / row["today"] - 1.0 if row["today"] > 0 else None
        table.add_row(Text(clean(name)), number(row["today"]), number(row["expected"]), percent(change, sign=True))
    console.print(table)
    console.print(
        f"{number(summary['moved'])} of {number(summary['spend_today'])} {summary['currency']} moved; every plan "
        f"is within {summary['largest_gap']:.1e} of its proven bound",
        markup=False,
    )
