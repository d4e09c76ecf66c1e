"""The ledger on the command line: who agreed to what, what is live, and whether anybody touched the record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import terminal
from .errors import SpecError

if TYPE_CHECKING:
    from .batch import Reallocation
    from .ledger import Ledger
    from .plan import Plan
    from .scenario import Scenario


class Level(StrEnum):
    """Who must agree."""

    auto = "auto"
    confirm = "confirm"
    two_person = "two_person"
    blocked = "blocked"


class State(StrEnum):
    """How far a recommendation has come."""

    draft = "draft"
    review = "review"
    approved = "approved"
    active = "active"
    superseded = "superseded"
    rolled_back = "rolled_back"


class Light(StrEnum):
    """How far a KPI has left its reference."""

    yellow = "yellow"
    red = "red"


app = typer.Typer(
    name="ledger",
    help="The record of runs, recommendations and who agreed: LEDGER is a file, or a postgresql:// URL.",
    epilog="'plan' and 'reallocate' with --ledger write to it. Exit codes: 0 done; 1 a finding (an altered row, "
    "other numbers, some refused); 2 bad input, or a move that is not allowed.",
    no_args_is_help=True,
)
review = typer.Typer(name="review", help="Reviews of KPIs that left their reference.", no_args_is_help=True)
app.add_typer(review)

Where = Annotated[str, typer.Argument(metavar="LEDGER", help="A file, or postgresql://USER@HOST/DATABASE.")]
Id = Annotated[
    str, typer.Argument(metavar="ID", help="run-7/acme; run-7 where it made one recommendation, or with --all.")
]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who does it.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept.")]
Every = Annotated[bool, typer.Option("--all", help="All recommendations of the run that are in the state for it.")]
OfLevel = Annotated[Level | None, typer.Option("--level", help="All recommendations of the run at this level.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Also write JSON and CSV there.")]
# What ``plan`` and ``reallocate`` take.
LedgerOption = Annotated[
    str | None,
    typer.Option("--ledger", metavar="LEDGER", help="Record the run and what it recommends: a file, or a URL."),
]
ByOption = Annotated[str | None, typer.Option("--by", metavar="NAME", help="With --ledger: who made the run.")]


@contextmanager
def _open(where: str, *, create: bool = False) -> Iterator[Ledger]:
    from .ledger import Ledger

    with Ledger(where, create=create) as ledger:
        yield ledger


def _say(text: str) -> None:
    from .report.formats import clean

    terminal.console().print(clean(text), markup=False, soft_wrap=True)


@app.command()
def verify(
    where: Where,
    head: Annotated[
        str | None, typer.Option(metavar="HASH", help="One an earlier check printed, which must still be there.")
    ] = None,
    out: Out = None,
) -> None:
    """Check that no row was altered, removed or put in; name the first that was."""
    from .report.files import json_text, write_all
    from .report.ledgers import print_verification

    with _open(where) as ledger:
        found = ledger.verify(head)
    if out is not None:
        write_all(out, {"verify.json": json_text(found.to_dict())})
    print_verification(terminal.console(), found)
    if not found.sound:
        raise typer.Exit(terminal.FINDING)


@app.command(epilog=terminal.CSV_NOTE)
def log(
    where: Where,
    subject: Annotated[
        str | None,
        typer.Argument(metavar="SUBJECT", help="A scenario, account, KPI or run; all unless given."),
    ] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Of this kind; may be given again.")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many rows to print; files hold all.")] = 50,
    out: Out = None,
) -> None:
    """Show what happened, the latest last."""
    from .report.files import write_all
    from .report.ledgers import log_files, print_log

    with _open(where) as ledger:
        rows = ledger.log(subject, tuple(kind) if kind else None)
    if out is not None:
        write_all(out, log_files(rows))
    print_log(terminal.console(), rows, last)


@app.command("list", epilog=terminal.CSV_NOTE)
def list_(
    where: Where,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="A run; all unless given.")] = None,
    state: Annotated[State | None, typer.Option(help="In this state.")] = None,
    level: Annotated[Level | None, typer.Option(help="At this level.")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many to print; files hold all.")] = 50,
    out: Out = None,
) -> None:
    """Show recommendations: how far each has come, and who has approved it."""
    from .report.files import write_all
    from .report.ledgers import decision_files, print_decisions

    with _open(where) as ledger:
        found = ledger.decisions.list(run, state, level)
    if out is not None:
        write_all(out, decision_files(found))
    print_decisions(terminal.console(), found, last)


@app.command()
def show(where: Where, id: Id) -> None:
    """Show one recommendation: what it moves, why its level is what it is, and who has agreed."""
    from .report.ledgers import print_decision

    with _open(where) as ledger:
        print_decision(terminal.console(), ledger.decisions.get(id), ledger.decisions.content(id))


@app.command()
def submit(where: Where, id: Id, by: By, every: Every = False, level: OfLevel = None) -> None:
    """Ask for approval. What the level 'auto' asks for is nobody's: it is approved at once."""
    _move("submit", where, id, by, every, level)


@app.command()
def approve(where: Where, id: Id, by: By, every: Every = False, level: OfLevel = None) -> None:
    """Agree. Nobody approves their own; 'two_person' needs two; 'blocked' cannot be approved."""
    _move("approve", where, id, by, every, level)


@app.command()
def activate(where: Where, id: Id, by: By, every: Every = False, level: OfLevel = None) -> None:
    """Make an approved recommendation the live one of its scenario or account."""
    _move("activate", where, id, by, every, level)


def _move(action: str, where: str, id: str, by: str, every: bool, level: Level | None) -> None:
    with _open(where) as ledger:
        if not every and level is None:
            _tell(getattr(ledger.decisions, action)(id, by))
            return
        done, refused = ledger.decisions.all(action, id, by, level)
    _say(f"{action}: {len(done):,} done, {len(refused):,} refused")
    for reason in list(refused.values())[:10]:
        _say(f"  {reason}")
    if len(refused) > 10:
        _say(f"  and {len(refused) - 10:,} more")
    if refused:
        raise typer.Exit(terminal.FINDING)


def _tell(found: Any) -> None:
    from .ledger.states import said

    left = f"; {found.missing} must still approve" if found.state == "review" and found.missing else ""
    _say(f"{found.id} is {said(found.state)}, level {found.level}{left}")


@app.command()
def reject(where: Where, id: Id, by: By, reason: Reason) -> None:
    """Send a recommendation back to its authors."""
    with _open(where) as ledger:
        _tell(ledger.decisions.reject(id, by, reason))


@app.command()
def edit(
    where: Where,
    id: Id,
    by: By,
    reason: Reason,
    spend: Annotated[list[str], typer.Option("--spend", metavar="LINE=AMOUNT", help="May be given again.")],
) -> None:
    """Change spend by hand: a draft again, and two people must agree."""
    amounts = {}
    for text in spend:
        line, _, amount = text.rpartition("=")
        try:
            amounts[line] = float(amount)
        except ValueError:
            raise SpecError(f"--spend {text}", "write it as LINE=AMOUNT, such as search=12000") from None
    with _open(where) as ledger:
        _tell(ledger.decisions.edit(id, by, amounts, reason))


@app.command()
def rollback(
    where: Where,
    what: Annotated[str, typer.Argument(metavar="ID|KPI", help="A live recommendation, or a KPI.")],
    by: By,
    reason: Reason,
    to: Annotated[
        str | None,
        typer.Option(metavar="ID|VERSION", help="The one to restore; the one before unless given."),
    ] = None,
) -> None:
    """Restore an older plan, or an older version of a KPI, as a new row."""
    with _open(where) as ledger:
        if ledger.kpis.current(what) is None:
            found = ledger.decisions.rollback(what, by, reason, to)
            _say(f"{found.id} is {found.state.replace('_', ' ')}")
            return
        if to is not None and not to.isdecimal():
            raise SpecError(f"--to {to}", "give the number of a version, such as 1")
        version = ledger.kpis.rollback(what, by, reason, None if to is None else int(to))
        _say(f"{what} is at version {version.version}, which says what version {version.same_as} said")


@app.command()
def replay(
    where: Where, run: Annotated[str, typer.Argument(metavar="RUN", help="run-7")], out: Out = None
) -> None:
    """Compute a run again: the same numbers, or the input that changed."""
    from .report.files import json_text, write_all
    from .report.ledgers import print_replay

    with _open(where) as ledger, terminal.counted("Accounts") as progress:
        found = ledger.replay(run, progress)
    if out is not None:
        write_all(out, {"replay.json": json_text(found.to_dict())})
    print_replay(terminal.console(), found)
    if not found.sound:
        raise typer.Exit(terminal.FINDING)


@app.command()
def define(
    where: Where,
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="The scenario that defines them.")],
    by: By,
    reason: Reason,
    kpi: Annotated[list[str] | None, typer.Option("--kpi", help="Only this one; may be given again.")] = None,
) -> None:
    """Record new versions of the KPI definitions that a scenario has changed."""
    from .ledger.kpi_versions import changed, defined
    from .scenario import Scenario

    known = Scenario.load(scenario).spec.kpis
    for name in kpi or ():
        if name not in known:
            raise SpecError(f"unknown KPI '{name}'", f"KPIs are: {', '.join(known)}", file=str(scenario))
    with _open(where, create=True) as ledger:
        for name in kpi or known:
            before = ledger.kpis.current(name)
            if before is not None and not changed(before.definition, defined(known[name])):
                _say(f"{name}: version {before.version} says just that")
                continue
            found = ledger.kpis.define(name, known[name], by, reason)
            _say(f"{name}: version {found.version} recorded")


@app.command()
def value(
    where: Where,
    kpi: Annotated[str, typer.Argument(metavar="KPI")],
    period: Annotated[str, typer.Option(metavar="PERIOD", help="Such as 2026-11 or 2026-W48.")],
    amount: Annotated[float, typer.Option("--value", help="What was measured, in the KPI's unit.")],
    by: By,
    reason: Annotated[str, typer.Option("--reason", help="Why a period that has a value is restated.")] = "",
) -> None:
    """Record what a KPI was in a period, under its current definition."""
    with _open(where) as ledger:
        found = ledger.kpis.record_value(kpi, period, amount, by, reason)
    _say(f"{kpi} is {found.value:g} in {found.period}, measured under version {found.version}")


@review.command("list")
def review_list(
    where: Where, closed: Annotated[bool, typer.Option("--closed", help="Those that are closed too.")] = False
) -> None:
    """Show reviews and the step that each waits for."""
    from .report.ledgers import print_reviews

    with _open(where) as ledger:
        print_reviews(terminal.console(), ledger.reviews.list(closed=closed))


@review.command("open")
def review_open(
    where: Where,
    kpi: Annotated[str, typer.Argument(metavar="KPI")],
    light: Annotated[Light, typer.Option(help="While a red one is open, no plan with this KPI goes live.")],
    by: By,
    reason: Reason,
) -> None:
    """Open a review of a KPI: data quality, recalibration, refit."""
    with _open(where, create=True) as ledger:
        found = ledger.reviews.open(kpi, light.value, reason, by)
    _say(f"{found.id} is open on {kpi}; the first step is '{found.next}'")


@review.command("step")
def review_step(
    where: Where,
    id: Annotated[str, typer.Argument(metavar="REVIEW", help="review-7")],
    step: Annotated[str, typer.Argument(metavar="STEP", help="'data quality', 'recalibration' or 'refit'.")],
    by: By,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="What it found, or why it is not needed.")],
) -> None:
    """Note what a step of a review found."""
    with _open(where) as ledger:
        found = ledger.reviews.step(id, step, note, by)
    _say(f"{id}: the next step is '{found.next}'" if found.next else f"{id}: every step is taken; close it")


@review.command("close")
def review_close(
    where: Where,
    id: Annotated[str, typer.Argument(metavar="REVIEW", help="review-7")],
    by: By,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="What came of it.")],
) -> None:
    """Close a review whose steps were all taken."""
    with _open(where) as ledger:
        ledger.reviews.close(id, note, by)
    _say(f"{id} is closed")


# What ``plan`` and ``reallocate`` call


def check_options(ledger: str | None, by: str | None) -> None:
    """Refuse one of --ledger and --by without the other, before any work is done; and a ledger that is none."""
    if ledger is None and by is not None:
        raise SpecError("--by says who made a run that is recorded", "add --ledger, or drop it")
    if ledger is not None:
        if by is None:
            raise SpecError("--ledger needs --by", "say who made the run: --by NAME")
        with _open(ledger, create=True):
            pass


def check_kpis(where: str, given: Scenario) -> None:
    """Refuse KPIs that the ledger knows by another definition, before any file is written."""
    with _open(where) as ledger:
        ledger.kpis.check(given.spec.kpis)


def record_plan(where: str, by: str, given: Scenario, found: Plan, file: Path, **options: Any) -> None:
    """Record a plan and what it recommends."""
    from .recommend import recommend

    advice = recommend(given, found)
    said = {name: option for name, option in options.items() if option is not None}
    with _open(where) as ledger:
        id = ledger.runs.record_plan(given, advice, by, file=file, options=said)
    _say(f"Recorded as {id}, level {advice.level}. Next: ledger submit LEDGER {id.partition('/')[0]} --by NAME")


def record_batch(where: str, by: str, found: Reallocation, accounts: Path, rules: Path) -> None:
    """Record a batch and a recommendation for each account."""
    from .batch.rules import load_rules

    with _open(where) as ledger, terminal.counted("Recorded") as progress:
        run = ledger.runs.record_batch(found, accounts, load_rules(rules), by, file=rules, progress=progress)
    _say(f"Recorded as {run}. Next: ledger submit LEDGER {run} --all --by NAME")
