"""The audits on the command line; exit code 1 where a verdict is red."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from . import terminal
from .errors import SpecError


class Law(StrEnum):
    """How a KPI varies by chance."""

    binomial = "binomial"
    poisson = "poisson"
    normal = "normal"


class Side(StrEnum):
    """Which way is worse."""

    down = "down"
    up = "up"


app = typer.Typer(
    name="audit",
    help="Is the KPI the right one? Checked on your own data, before money moves and after.",
    epilog="Exit codes: 0 nothing found, or it cannot be told; 1 a red verdict; 2 bad input.",
    no_args_is_help=True,
)

DataFile = Annotated[Path, typer.Argument(metavar="DATA", help="CSV or Parquet.")]
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
    from .report.auditing import print_alignment
    from .scenario import Scenario

    directory = terminal.directory(out, scenario)
    found = audit(Scenario.load(scenario), goal=goal)
    _finish(found, "alignment", directory, print_alignment)


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
    out: Out = None,
) -> None:
    """Say whether a KPI that is seen soon stands for the one that counts, by effects and not by people."""
    from .audit import proxy as audit
    from .audit.rows import load
    from .report.auditing import print_proxy

    if (test is None) != (arm is None):
        raise SpecError("people in tests need both --test and --arm", "name the column of each")
    if test is not None and lag is not None:
        raise SpecError("--lag is for a history", "people's goals are those of the same row")
    directory = terminal.directory(out, data)
    names = {"proxy": proxy, "goal": goal, "test": test, "arm": arm, "date": date, "segment": segment}
    rows = load(data, names)
    if test is not None:
        effects = audit.effects_of_tests(rows)
    elif date is not None:
        effects = audit.effects_of_history(rows, lag)
    else:
        effects = audit.effects_of_rows(rows)
    _finish(audit.validate(effects), "proxy", directory, print_proxy)


@app.command()
def segments(
    data: DataFile,
    period: Annotated[str, typer.Option(metavar="COLUMN", help="The period, or the cohort.")],
    segment: Annotated[str, typer.Option(metavar="COLUMN", help="The segment.")],
    count: Annotated[str, typer.Option(metavar="COLUMN", help="How many did it.")],
    size: Annotated[str, typer.Option(metavar="COLUMN", help="Of how many.")],
    before: Annotated[str | None, typer.Option(metavar="PERIOD", help="The first by order if not given.")] = None,
    after: Annotated[str | None, typer.Option(metavar="PERIOD", help="The last by order if not given.")] = None,
    out: Out = None,
) -> None:
    """Split a rate's change into who came (mix) and what they did (rate); flag reversals."""
    from .audit.rows import load
    from .audit.segments import decompose
    from .report.auditing import print_segments

    directory = terminal.directory(out, data)
    rows = load(data, {"period": period, "segment": segment, "count": count, "size": size})
    _finish(decompose(rows, before, after), "segments", directory, print_segments)


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
    out: Out = None,
) -> None:
    """Watch a KPI: has it left its reference beyond what chance does, and since when?"""
    from .audit.drift import monitor
    from .audit.rows import load
    from .report.auditing import print_drift

    if kind is Law.binomial and size is None:
        raise SpecError("a share needs --size", "name the column that says of how many")
    if kind is Law.normal and size is not None:
        raise SpecError("a mean has no --size", "drop it")
    directory = terminal.directory(out, data)
    name = "value" if kind is Law.normal else "count"
    rows = load(data, {"date": date, name: value, "size": size})
    found = monitor(rows, kind.value, worse=worse.value, target=target, baseline=baseline)
    _finish(found, "drift", directory, print_drift)


def _finish(found: Any, name: str, directory: Path, show: Any) -> None:
    """Write the JSON and the page, print, and leave with 1 where something was found."""
    from .report.audit_page import render_audit
    from .report.files import json_text, write_all

    data = found.to_dict()
    files = {f"audit-{name}.html": render_audit(name, data), f"audit-{name}.json": json_text(data)}
    write_all(directory, files)
    console = terminal.console()
    show(console, found)
    terminal.say_where(console, directory, files)
    if found.verdict.found:
        raise typer.Exit(terminal.FINDING)
