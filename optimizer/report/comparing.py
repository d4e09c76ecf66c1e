"""A comparison for the terminal, and its files."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..compare import TABLES, Comparison, flat
from .compared import ComparedCharts, render_comparison
from .drawing import chart_files
from .files import csv_text, json_text
from .formats import between, chance, clean, number, percent, signed
from .workbook import workbook


def comparison_files(comparison: Comparison) -> dict[str, str | bytes]:
    """Return the files of a comparison by name: JSON, a CSV for each table that is not empty, workbook, report."""
    data = comparison.to_dict()
    files: dict[str, str | bytes] = {"comparison.json": json_text(data)}
    tables = {name: flat(getattr(comparison, name)) for name in TABLES}
    files |= {f"{name}.csv": csv_text(table) for name, table in tables.items() if len(table)}
    files["comparison.xlsx"] = workbook(comparison, data)
    files["comparison.html"] = render_comparison(data)
    return files


def comparison_charts(comparison: Comparison) -> dict[str, str | bytes]:
    """Return every chart of a comparison's report as SVG and PNG."""
    return chart_files(ComparedCharts(comparison.to_dict()).named())


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print a comparison: plans, differences from the base, what moved, and what has no plan."""
    base = comparison.base.scenario
    console.print(Text(f"Compared with {clean(base.name)}", style="bold"))
    console.print(Text(f"money in {base.spec.currency} over the horizon", style="dim"))
    parts = [("Plans", _plans(comparison)), ("Differences from the base", _differences(comparison))]
    parts += [("What moved", _moves(comparison)), ("What each change does alone", _drivers(comparison))]
    for title, table in parts:
        if table.row_count:
            console.print()
            console.print(Text(title, style="bold"))
            console.print(table)
    if len(comparison.differences) and (comparison.differences["draws"] == "one").all():
        console.print("The curves come without uncertainty (one draw): no difference has an interval.")
    for note in comparison.notes:
        console.print(Text(clean(note), style="yellow"))
    for name, row in comparison.failed.iterrows():
        console.print()
        console.print(Text(f"{clean(name)} has no plan: {clean(row['error'])}", style="red"))
        if row["hint"]:
            console.print(Text(f"  hint: {clean(row['hint'])}"))


def _table(*heads: str, text: int = 1) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, head in enumerate(heads):
        table.add_column(Text(clean(head)), justify="left" if index < text else "right", overflow="fold")
    return table


def _plans(comparison: Comparison) -> Table:
    kpis = list(comparison.base.scenario.spec.kpis)
    table = _table("Scenario", "Spend", *kpis)
    for name, row in comparison.summary.iterrows():
        table.add_row(Text(clean(name)), number(row["spend"]), *(number(row.get(kpi)) for kpi in kpis))
    return table


def _differences(comparison: Comparison) -> Table:
    """Intervals only where there are any: `print_comparison` says so where there are none."""
    rows = comparison.differences
    known = bool((rows["draws"] != "one").any())
    spread = ("90 % interval", "P(better)") if known else ()
    table = _table("Scenario", "KPI", "Difference", "Change", *spread, "Driven by", text=2)
    for (name, kpi), row in rows.iterrows():
        cells = [signed(row["difference"], abs(row["base"])), percent(row["change"], sign=True)]
        if known:
            cells += [between(row["low"], row["high"]), chance(row["p_better"])]
        table.add_row(Text(clean(name)), Text(clean(kpi)), *cells, Text(row["driver"]))
    return table


def _moves(comparison: Comparison) -> Table:
    table = _table("Scenario", "From", "To", "Amount", text=3)
    for (name, source, target), amount in comparison.flows["amount"].items():
        table.add_row(Text(clean(name)), Text(clean(source)), Text(clean(target)), number(amount))
    return table


def _drivers(comparison: Comparison) -> Table:
    kpis = list(comparison.base.scenario.spec.kpis)
    table = _table("Scenario", "Change", *kpis, text=2)
    for (name, change), row in comparison.drivers.iterrows():
        cells = [Text(clean(row["error"]))] if row["error"] else [signed(row[kpi]) for kpi in kpis]
        table.add_row(Text(clean(name)), Text(change), *cells)
    return table
