"""Experiments on the command line: planned, read, and handed to the fit."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from . import terminal
from .errors import SpecError


class Basis(StrEnum):
    """What a lift over regions is counted in."""

    share = "share"
    level = "level"


app = typer.Typer(
    name="experiment",
    help="Plan an experiment, or read one; what was read goes to 'fit --calibrate' as it is.",
    epilog="Exit codes: 0 nothing found, or it cannot be told; 1 a red verdict; 2 bad input.",
    no_args_is_help=True,
)

DataFile = Annotated[Path, typer.Argument(metavar="DATA", help="CSV or Parquet.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where the files go.")]
Power = Annotated[float, typer.Option(min=0.5, max=0.99, help="Share of tests that shall find it.")]
Level = Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the interval.")]
By = Annotated[Basis, typer.Option(help="share: of what a region had before; level: a period and region.")]
# What an entry of tests.yaml holds beside the lift.
TestLine = Annotated[
    str | None, typer.Option("--line", metavar="LINE", help="Also write tests.yaml: whose spend was changed.")
]
TestKpi = Annotated[str | None, typer.Option("--kpi", metavar="KPI", help="With --line: the fit's KPI.")]
TestSpend = Annotated[
    tuple[float, float] | None,
    typer.Option(
        "--spend", metavar="WITHOUT WITH", help="With --line: its spend a period where treated, without and with."
    ),
]
TestPeriods = Annotated[
    int | None, typer.Option("--periods", min=1, help="With --line: the fit's periods that the test lasted.")
]
TestPart = Annotated[
    float, typer.Option("--part", min=1e-6, max=1.0, help="With --line: share of the market that was treated.")
]


@app.command()
def plan(
    rate: Annotated[float, typer.Option(help="The control's share, such as 0.05.")],
    change: Annotated[float, typer.Option(help="Its change to be found; with --margin the one expected.")] = 0.0,
    margin: Annotated[
        float | None, typer.Option(help="A guardrail: the loss that has to be ruled out, such as 0.005.")
    ] = None,
    power: Power = 0.8,
    level: Level = 0.95,
    per_period: Annotated[
        float | None, typer.Option("--per-period", help="People who come in a period, both sides together.")
    ] = None,
    out: Out = None,
) -> None:
    """How many people a test of a share needs, and how long it takes."""
    from .audit.trials import plan_people

    found = plan_people(rate, change, margin=margin, power=power, level=level, per_period=per_period)
    terminal.finish_audit(found, "experiment", terminal.directory(out, Path("experiment")))


@app.command("plan-regions")
def plan_regions(
    data: DataFile,
    unit: Annotated[str, typer.Option(metavar="COLUMN", help="The region.")],
    date: Annotated[str, typer.Option(metavar="COLUMN", help="The period.")],
    value: Annotated[str, typer.Option(metavar="COLUMN", help="The KPI.")],
    treated: Annotated[int, typer.Option(min=3, help="How many regions would be treated.")],
    control: Annotated[int, typer.Option(min=3, help="How many would not.")],
    periods: Annotated[int, typer.Option(min=1, help="How long the test would last.")],
    lift: Annotated[float, typer.Option(help="The lift to be found: 0.05 is 5 %.")],
    by: By = Basis.share,
    power: Power = 0.8,
    level: Level = 0.95,
    out: Out = None,
) -> None:
    """How likely a test over regions finds a lift, judged by their history."""
    from .audit import trials
    from .audit.rows import load

    directory = terminal.directory(out, data)
    rows = load(data, {"unit": unit, "date": date, "value": value})
    found = trials.plan_regions(rows, treated, control, periods, lift, power=power, level=level, by=by.value)
    terminal.finish_audit(found, "experiment", directory)


@app.command()
def read(
    data: DataFile,
    arm: Annotated[str, typer.Option(metavar="COLUMN", help="Which group a person was in.")],
    control: Annotated[str, typer.Option(metavar="NAME", help="The group that was not treated.")],
    count: Annotated[str, typer.Option(metavar="COLUMN", help="Who did it: 0 or 1, or a count.")],
    size: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Of how many, where a row is more than one.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="It is a guardrail that may lose so much, such as 0.005.")
    ] = None,
    split: Annotated[
        float | None, typer.Option(help="Share that was meant to be treated; is then checked.")
    ] = None,
    level: Level = 0.95,
    line: TestLine = None,
    kpi: TestKpi = None,
    spend: TestSpend = None,
    periods: TestPeriods = None,
    part: TestPart = 1.0,
    out: Out = None,
) -> None:
    """Did it work? Two shares of people, or a guardrail that must not be lost."""
    from .audit.rows import load
    from .audit.trials import read_people

    directory = terminal.directory(out, data)
    asked = _asked(line, kpi, spend, periods)
    rows = load(data, {"arm": arm, "count": count, "size": size})
    found = read_people(rows, control, margin=margin, split=split, level=level)
    files = {} if asked is None else _tests(found.as_test(data.stem, *asked, part))
    terminal.finish_audit(found, "experiment", directory, files)


@app.command("read-regions")
def read_regions(
    data: DataFile,
    unit: Annotated[str, typer.Option(metavar="COLUMN", help="The region.")],
    date: Annotated[str, typer.Option(metavar="COLUMN", help="The period or day.")],
    value: Annotated[str, typer.Option(metavar="COLUMN", help="The KPI.")],
    group: Annotated[str, typer.Option(metavar="COLUMN", help="Which group the region is in.")],
    treated: Annotated[str, typer.Option(metavar="NAME", help="The group that was treated.")],
    start: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="First day of the test.")],
    end: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day of the test.")],
    by: By = Basis.share,
    level: Level = 0.95,
    line: TestLine = None,
    kpi: TestKpi = None,
    spend: TestSpend = None,
    periods: TestPeriods = None,
    part: TestPart = 1.0,
    out: Out = None,
) -> None:
    """Did it work? Treated regions against the others, before and during the test."""
    from .audit import trials
    from .audit.rows import load

    directory = terminal.directory(out, data)
    asked = _asked(line, kpi, spend, periods)
    rows = load(data, {"unit": unit, "date": date, "value": value, "group": group})
    names = sorted(set(rows.loc[rows["group"] == treated, "unit"]))
    if not names:
        known = ", ".join(map(str, sorted(set(rows["group"]))[:8]))
        raise SpecError(f"there is no group '{treated}'", f"groups are: {known}")
    both = set(names) & set(rows.loc[rows["group"] != treated, "unit"])
    if both:
        raise SpecError(f"'{min(both)}' is in two groups", "a region is treated or not, on all its dates")
    found = trials.read_regions(rows, names, start.date(), end.date(), by=by.value, level=level)
    files = {} if asked is None else _tests(found.as_test(data.stem, *asked, part))
    terminal.finish_audit(found, "experiment", directory, files)


def _asked(
    line: str | None, kpi: str | None, spend: tuple[float, float] | None, periods: int | None
) -> tuple[str, str, tuple[float, float], int] | None:
    """What tests.yaml needs, or None where it is not asked for; refused where half is given."""
    if line is None and kpi is None and spend is None and periods is None:
        return None
    if line is None or kpi is None or spend is None or periods is None:
        raise SpecError("tests.yaml needs --line, --kpi, --spend and --periods", "give all four, or none")
    return line, kpi, spend, periods


def _tests(entry: dict[str, object]) -> dict[str, str]:
    import io

    from ruamel.yaml import YAML

    stream = io.StringIO()
    yaml = YAML()
    yaml.dump({"tests": [entry]}, stream)
    return {"tests.yaml": stream.getvalue()}
