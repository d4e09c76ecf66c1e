"""The audits on the command line; exit code 1 where a verdict is red."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import terminal
from .errors import SpecError

if TYPE_CHECKING:
    from .audit.drift import Drift


class Law(StrEnum):
    """How a KPI varies by chance."""

    binomial = "binomial"
    poisson = "poisson"
    normal = "normal"


class Side(StrEnum):
    """Which way is worse."""

    down = "down"
    up = "up"


class Change(StrEnum):
    """How a history's changes are counted."""

    share = "share"
    level = "level"


app = typer.Typer(
    name="audit",
    help="Is the KPI the right one? Checked on your own data, before money moves and after.",
    epilog="Exit codes: 0 nothing found, or it cannot be told; 1 a red verdict; 2 bad input.",
    no_args_is_help=True,
)

DataFile = Annotated[Path, typer.Argument(metavar="DATA", help="CSV or Parquet.")]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="COLUMN=VALUE", help="Only these rows of the file; may be given again."),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where the JSON and the page go.", show_default="./results/<file>"),
]


@app.command()
def alignment(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="The scenario, a YAML file.")],
    goal: Annotated[
        str | None,
        typer.Option(
            metavar="KPI", help="What the loss is told in; what the platform's KPI stands for if not given."
        ),
    ] = None,
    out: Out = None,
) -> None:
    """Say what steering by the ad platform's KPI costs in the KPI the business wants."""
    from .audit.alignment import alignment as audit
    from .scenario import Scenario

    directory = terminal.directory(out, scenario)
    found = audit(Scenario.load(scenario), goal=goal)
    terminal.finish_audit(found, "alignment", directory)


@app.command()
def proxy(
    data: DataFile,
    proxy: Annotated[str, typer.Option(metavar="COLUMN", help="The KPI that is seen soon.")],
    goal: Annotated[str, typer.Option(metavar="COLUMN", help="The KPI it shall stand for.")],
    test: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Rows are people in tests: which test.")
    ] = None,
    arm: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Which of its two arms; the control first by alphabet.")
    ] = None,
    date: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Alone: rows are periods of a history. With tests: their order."),
    ] = None,
    lag: Annotated[
        int | None,
        typer.Option(min=0, max=52, help="A history: periods until the goal follows; found if not given."),
    ] = None,
    segment: Annotated[str | None, typer.Option(metavar="COLUMN", help="Look at each segment too.")] = None,
    change: Annotated[
        Change, typer.Option(help="A history: relative changes, or plain ones for what can be 0 or negative.")
    ] = Change.share,
    where: Where = None,
    out: Out = None,
) -> None:
    """Say whether a KPI that is seen soon stands for the one that counts, by effects and not by people."""
    from .audit import effects as kinds
    from .audit.proxy import validate
    from .audit.rows import load

    if (test is None) != (arm is None):
        raise SpecError("people in tests need both --test and --arm", "name the column of each")
    if test is not None and lag is not None:
        raise SpecError("--lag is for a history", "people's goals are those of the same row")
    directory = terminal.directory(out, data)
    names = {"proxy": proxy, "goal": goal, "test": test, "arm": arm, "date": date, "segment": segment}
    rows = load(data, names, where or ())
    if test is not None:
        effects = kinds.effects_of_tests(rows)
    elif date is not None:
        effects = kinds.effects_of_history(rows, lag, change.value)
    else:
        effects = kinds.effects_of_rows(rows)
    terminal.finish_audit(validate(effects), "proxy", directory)


@app.command()
def segments(
    data: DataFile,
    period: Annotated[str, typer.Option(metavar="COLUMN", help="The period, or the cohort.")],
    segment: Annotated[str, typer.Option(metavar="COLUMN", help="The segment.")],
    count: Annotated[str, typer.Option(metavar="COLUMN", help="How many did it.")],
    size: Annotated[str, typer.Option(metavar="COLUMN", help="Of how many.")],
    before: Annotated[str | None, typer.Option(metavar="PERIOD", help="The first by order if not given.")] = None,
    after: Annotated[str | None, typer.Option(metavar="PERIOD", help="The last by order if not given.")] = None,
    where: Where = None,
    out: Out = None,
) -> None:
    """Split a rate's change into who came (mix) and what they did (rate); flag reversals."""
    from .audit.rows import load
    from .audit.segments import decompose

    directory = terminal.directory(out, data)
    rows = load(data, {"period": period, "segment": segment, "count": count, "size": size}, where or ())
    terminal.finish_audit(decompose(rows, before, after), "segments", directory)


@app.command()
def drift(
    data: DataFile,
    kind: Annotated[Law, typer.Option(help="A share of people, a count, or a mean.")],
    date: Annotated[str, typer.Option(metavar="COLUMN", help="First day of the period.")],
    value: Annotated[str, typer.Option(metavar="COLUMN", help="How many did it; for normal the mean.")],
    size: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="binomial: of how many; poisson: exposure, if it differs.")
    ] = None,
    target: Annotated[float | None, typer.Option(help="The value it is held against, such as 0.14.")] = None,
    baseline: Annotated[int | None, typer.Option(min=1, help="Or: how many first periods are.")] = None,
    worse: Annotated[Side, typer.Option(help="Which way is worse.")] = Side.down,
    ledger: Annotated[
        str | None,
        typer.Option(metavar="LEDGER", help="On red, open a review there: until it is closed, no plan goes live."),
    ] = None,
    kpi: Annotated[str | None, typer.Option(metavar="KPI", help="With --ledger: its name there.")] = None,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="With --ledger: who opens it.")] = None,
    where: Where = None,
    out: Out = None,
) -> None:
    """Watch a KPI: has it left its reference beyond what chance does, and since when?"""
    from .audit.drift import monitor
    from .audit.rows import load

    if kind is Law.binomial and size is None:
        raise SpecError("a share needs --size", "name the column that says of how many")
    if kind is Law.normal and size is not None:
        raise SpecError("a mean has no --size", "drop it")
    if len({ledger is None, kpi is None, by is None}) > 1:
        raise SpecError("--ledger, --kpi and --by go together", "name the ledger, the KPI and yourself")
    directory = terminal.directory(out, data)
    name = "value" if kind is Law.normal else "count"
    rows = load(data, {"date": date, name: value, "size": size}, where or ())
    found = monitor(rows, kind.value, worse=worse.value, target=target, baseline=baseline)
    if ledger is not None and kpi is not None and by is not None:
        _open_review(found, ledger, kpi, by)
    terminal.finish_audit(found, "drift", directory)


def _open_review(found: Drift, where: str, kpi: str, by: str) -> None:
    """Open a review of a KPI that is red, or name the one that is open already."""
    from .ledger import Ledger
    from .report.formats import clean

    if not found.verdict.found:
        return
    with Ledger(where, create=True) as ledger:
        known = [each for each in ledger.reviews.list(kpi) if each.light == "red"]
        review = known[0] if known else ledger.reviews.open(kpi, "red", found.verdict.reason, by)
    said = f"{review.id} {'was' if known else 'is'} open on {kpi}; its next step is '{review.next}'"
    terminal.console().print(clean(said), markup=False, soft_wrap=True)


@app.command()
def leads(
    data: DataFile,
    date: Annotated[str, typer.Option(metavar="COLUMN", help="The day of the lead.")],
    score: Annotated[str, typer.Option(metavar="COLUMN", help="Any number that rises with the chance to buy.")],
    bought: Annotated[str, typer.Option(metavar="COLUMN", help="1 if it bought, 0 if not.")],
    threshold: Annotated[
        list[float] | None,
        typer.Option(help="A probability from which a lead counts; may be given again. Quartiles if not given."),
    ] = None,
    line: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The line it came from, named as in the scenario.")
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option(metavar="SCENARIO", help="Also say what each way to count does to this plan.")
    ] = None,
    kpi: Annotated[str | None, typer.Option(metavar="KPI", help="With --scenario: the KPI of leads.")] = None,
    where: Where = None,
    out: Out = None,
) -> None:
    """Count leads above a threshold or by calibrated probability; check that on later leads."""
    from dataclasses import replace

    from .audit.leads import plans_by_choice, qualify
    from .audit.rows import load
    from .scenario import Scenario

    if (scenario is None) != (kpi is None) or (scenario is not None and line is None):
        raise SpecError(
            "plans need --scenario, --kpi and --line", "name the scenario, its KPI of leads, the column"
        )
    directory = terminal.directory(out, data)
    given = None if scenario is None else Scenario.load(scenario)
    rows = load(data, {"date": date, "score": score, "bought": bought, "line": line}, where or ())
    found = qualify(rows, tuple(threshold) if threshold else None)
    if given is not None and kpi is not None:
        found = replace(found, plans=plans_by_choice(given, kpi, found))
    terminal.finish_audit(found, "leads", directory)
