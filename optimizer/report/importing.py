"""What an import writes and prints: the response, a summary, a scenario to start from."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ..documents import DATE
from ..errors import SpecError
from .files import json_text, yaml_text
from .formats import clean, number
from .tables import block, columns, print_warnings

if TYPE_CHECKING:
    from ..evidence.imported import Import

RESPONSE, SUMMARY, READABLE, SCENARIO = "response.nc", "import.json", "import.md", "scenario.yaml"
SHOWN = 8


def import_files(found: Import, kpi: str | None, start: str | None) -> dict[str, str | bytes]:
    """Return every file of an import by its name: the response, a summary twice, a scenario to start from."""
    if start is not None and not DATE.fullmatch(start):
        raise SpecError(f"--start is '{start}'", "write it as 2026-01-31")
    try:
        first = date.fromisoformat(start) if start else None
    except ValueError:
        raise SpecError(f"--start is '{start}', which is no date", "write it as 2026-01-31") from None
    scenario = yaml_text(found.starter(RESPONSE, kpi, first))
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / RESPONSE
        found.model.save(path)
        content = path.read_bytes()
    return {
        RESPONSE: content,
        SUMMARY: json_text(found.summary()),
        READABLE: summary_text(found),
        SCENARIO: scenario,
    }


def summary_text(found: Import) -> str:
    """Return the summary as Markdown."""
    data = found.summary()
    every = data["period"] or "period"
    rows = [f"# Imported from {found.source}", ""]
    rows += [f"- {key}: {_cell(value)}" for key, value in data["about"].items()]
    rows += [f"- draws: {data['draws']}", ""]
    rows += [f"| line | latest spend a {every}, {found.currency} | seen | returns |", "|---|---:|---:|---|"]
    for name, line in data["lines"].items():
        low, high = (number(end) if end is not None else "" for end in line["observed"])
        shape = "falling" if line["falling_returns"] else "S-shaped in part"
        rows.append(f"| {_cell(name)} | {number(line['current'])} | {low} to {high} | {shape} |")
    rows += ["", f"Recomputed, and refused above a mismatch of {data['tolerance']:g}:", ""]
    rows += ["| KPI | line | against | numbers | worst |", "|---|---|---|---:|---:|"]
    rows += [
        f"| {_cell(check.kpi)} | {_cell(check.line)} | {check.against} | {check.cells:,} | {check.worst:.1e} |"
        for check in found.checks
    ]
    return "\n".join([*rows, "", *(f"- {_cell(note)}" for note in data["notes"]), ""])


def _cell(value: object) -> str:
    return clean(value).replace("|", "\\|").replace("\n", " ")


def print_import(console: Console, found: Import) -> None:
    """Print what was read and how far the recomputation was off."""
    model = found.model
    what = f"{len(model.lines)} lines, {', '.join(model.kpis)}, {model.draws} draws, from {found.source}"
    console.print(Text(clean(what), style="bold"))
    table = columns("Compared with", "Numbers", "Worst mismatch")
    for against in dict.fromkeys(check.against for check in found.checks):
        checks = [check for check in found.checks if check.against == against]
        worst = max(check.worst for check in checks)
        table.add_row(clean(against), number(sum(check.cells for check in checks)), f"{worst:.1e}")
    console.print()
    console.print(block("Recomputed by our simulator", table))
    shown = model.notes if len(model.notes) <= SHOWN else (*model.notes[:SHOWN], f"and more, see {READABLE}")
    print_warnings(console, shown, "To know")
