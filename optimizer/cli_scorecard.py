"""The scorecard and the KPI playbook on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import terminal
from .errors import SpecError

if TYPE_CHECKING:
    from .ledger import Ledger

app = typer.Typer()

ScenarioFile = Annotated[Path, typer.Argument(metavar="SCENARIO", help="The scenario that defines the KPIs.")]
LedgerOption = Annotated[
    str | None, typer.Option("--ledger", metavar="LEDGER", help="For versions, values and open reviews.")
]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where the files go.")]


@contextmanager
def _opened(where: str | None) -> Iterator[Ledger | None]:
    if where is None:
        yield None
        return
    from .ledger import Ledger

    with Ledger(where) as ledger:
        yield ledger


@app.command()
def scorecard(
    scenario: ScenarioFile,
    history: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="CSV or Parquet: a row a period, columns named as the KPIs."),
    ] = None,
    date: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="With --history: the period's first day.")
    ] = None,
    ledger: LedgerOption = None,
    out: Out = None,
) -> None:
    """Where each KPI stands: value, target, light, trend, version and owner; operational beside business.

    A KPI that neither the history nor the ledger knows is shown as the curves say it is under today's plan.
    """
    from .audit.scorecard import read_history
    from .audit.scorecard import scorecard as audit
    from .report.files import json_text, write_all
    from .report.scorecards import print_scorecard, scorecard_page
    from .scenario import Scenario

    if (history is None) != (date is None):
        raise SpecError("--history and --date go together", "name the file and its column of dates")
    directory = terminal.directory(out, scenario)
    given = Scenario.load(scenario)
    known = None if history is None or date is None else read_history(history, date, given)
    with _opened(ledger) as opened:
        found = audit(given, known, opened)
    files = {"scorecard.json": json_text(found.to_dict()), "scorecard.html": scorecard_page(found)}
    write_all(directory, files)
    console = terminal.console()
    print_scorecard(console, found)
    terminal.say_where(console, directory, files)


@app.command()
def playbook(scenario: ScenarioFile, ledger: LedgerOption = None, out: Out = None) -> None:
    """One page a KPI, made from its definition: the same version is the same page, byte for byte."""
    from .report.files import write_all
    from .report.playbook import playbook as pages
    from .scenario import Scenario

    directory = terminal.directory(out, scenario) / "playbook"
    with _opened(ledger) as opened:
        files = pages(Scenario.load(scenario).spec.kpis, opened)
    write_all(directory, files)
    terminal.say_where(terminal.console(), directory, files)
