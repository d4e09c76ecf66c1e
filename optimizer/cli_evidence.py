"""Commands on evidence: fit a history, import a model, check what there is."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from . import terminal
from .errors import DataError, InfeasibleError, SolverError, SpecError


class Source(StrEnum):
    """What can be imported."""

    meridian = "meridian"
    pymc_marketing = "pymc-marketing"
    robyn = "robyn"
    points = "points"


app = typer.Typer()


@app.command()
def fit(
    history: Annotated[Path, typer.Argument(metavar="HISTORY", help="Weekly or daily history, CSV or Parquet.")],
    config: Annotated[Path, typer.Option("--config", metavar="FIT", help="Which columns to read, a YAML file.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the response model goes.")],
    calibrate: Annotated[
        Path | None,
        typer.Option("--calibrate", metavar="TESTS", help="Lifts measured by experiments, a YAML file."),
    ] = None,
) -> None:
    """Fit response curves with uncertainty to a history of spend and KPIs; experiments correct them.

    A scenario to start from is written too, unless there is one. A test that contradicts the model is told and
    not used; the exit code is then 1.
    """
    from .evidence.fit import run_fit
    from .report.files import check_directory, write_all, yaml_text
    from .report.fit_page import render_fit
    from .report.fitting import print_fit

    check_directory(out)
    with terminal.progress("Fitting") as progress:
        found = run_fit(history, config, out_dir=out, progress=progress, tests_path=calibrate)
    files = {"evidence.html": render_fit(found)}
    console = terminal.console()
    print_fit(console, found)
    if (out / "scenario.yaml").exists():
        console.print("\nThe scenario.yaml that is there is left as it is.")
    else:
        try:
            files["scenario.yaml"] = yaml_text(found.starter())
        except SpecError as error:
            console.print(f"\nNo scenario to start from: {error}", markup=False, soft_wrap=True)
    write_all(out, files)
    terminal.say_where(console, out, ("response.nc", "fit.json", *files))
    if found.conflicts:
        raise typer.Exit(terminal.FINDING)


@app.command("import")
def import_(
    source: Annotated[Source, typer.Argument(metavar="SOURCE", help="meridian, pymc-marketing, robyn or points.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The saved model, or the budget simulator's CSV.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the response model goes.")],
    currency: Annotated[str, typer.Option(help="Of the spend: three letters, such as EUR.")],
    kpi: Annotated[str | None, typer.Option(help="What to call the KPI; for points, the one to plan for.")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="CSV", help="meridian: the data the model was fitted to.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="meridian: columns and settings, a YAML file.")
    ] = None,
    ensemble: Annotated[
        Path | None, typer.Option(metavar="DIR", help="robyn: its pareto_*.csv, each model a draw.")
    ] = None,
    period: Annotated[str | None, typer.Option(help="points: what a budget is for, day or week.")] = None,
    start: Annotated[
        str | None, typer.Option(metavar="DATE", help="First day of the starter scenario, such as 2026-01-05.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a scenario that is there.")] = False,
) -> None:
    """Import a fitted model or a platform's points, checked against the source; write a scenario to start from."""
    from .evidence import sources
    from .report.files import check_directory, write_all
    from .report.importing import import_files, print_import

    check_directory(out)
    if (out / "scenario.yaml").exists() and not force:
        raise DataError("exists already", "name another --out, or add --force", file=str(out / "scenario.yaml"))
    given = {"data": data, "config": config, "ensemble": ensemble, "period": period}
    found = sources.read(source.value, file, currency, kpi, given)
    files = import_files(found, kpi, start)
    write_all(out, files)
    console = terminal.console()
    print_import(console, found)
    terminal.say_where(console, out, list(files))


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="SCENARIO|HISTORY", help="A scenario (YAML), or a history.")],
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FIT", help="For a history: which columns to read.")
    ] = None,
    backtest: Annotated[
        bool,
        typer.Option("--backtest", help="For a history: how well would a fit have foretold it, again and again."),
    ] = False,
    next_test: Annotated[
        bool,
        typer.Option(
            "--next-test", help="For a scenario: the line and size of test that would most improve the plan."
        ),
    ] = False,
) -> None:
    """Say whether a scenario or a history is sound, and what will be made of it. Writes nothing."""
    if config is not None and next_test:
        raise SpecError(
            "--next-test needs a scenario", "fit the history and write a scenario first", file=str(file)
        )
    if config is not None:
        _check_history(file, config, backtest)
    elif backtest:
        raise SpecError("--backtest needs a history and --config", "a scenario has no past", file=str(file))
    elif file.suffix.lower() in (".csv", ".parquet", ".pq", ".tsv"):
        raise SpecError(
            "a history needs --config", "name the fit config that says which columns to read", file=str(file)
        )
    else:
        _check_scenario(file, next_test)


def _check_scenario(file: Path, next_test: bool) -> None:
    from .explain import try_explain
    from .lint import lint
    from .reach import reachability
    from .report.tables import print_check, print_findings
    from .report.view import View
    from .scenario import Scenario
    from .solve.routes import solve

    given = Scenario.load(file)
    console = terminal.console()
    try:
        found = solve(given)
    except (InfeasibleError, SolverError):
        print_findings(console, lint(given), ())
        console.print(f"{file} reads well, but there is no plan:", markup=False, highlight=False)
        raise
    reaches = reachability(given)
    findings = lint(given, reaches)
    print_check(console, View(found, given, explanation=try_explain(found)))
    print_findings(console, findings, reaches)
    if next_test:
        from .next_test import what_to_test
        from .report.testing import print_next_test

        print_next_test(console, what_to_test(found))
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(terminal.FINDING)
    console.print(f"\n{file.name} is sound, and its rules can be kept.", markup=False, style="green")


def _check_history(file: Path, config: Path, backtest: bool) -> None:
    from .evidence import checks
    from .evidence.backtest import backtest as run_backtest
    from .evidence.fit import check_history
    from .report.fitting import print_backtest, print_data_findings, print_history

    report = checks.check(file, config)
    if report.failed:
        print_data_findings(terminal.console(), report)
        raise typer.Exit(terminal.FINDING)
    history, spec = check_history(file, config)
    print_history(terminal.console(), history, spec)
    print_data_findings(terminal.console(), report)
    if backtest:
        with terminal.progress("Backtest") as progress:
            found = run_backtest(history, spec, progress)
        print_backtest(terminal.console(), found, spec)
