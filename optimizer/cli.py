"""The command line: a thin layer over the public names. Heavy libraries load inside the commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cli_audit import app as audit
from .errors import DataError, InfeasibleError, OptimizerError, SolverError, SpecError

if TYPE_CHECKING:
    from rich.console import Console

    from .explain import Explanation
    from .front import Front
    from .plan import Plan
    from .scenario import Scenario

DONE, FINDING, BAD_INPUT = 0, 1, 2
CSV_NOTE = (
    "In CSV files, text that begins with = + - @, a tab or a line break gets a leading ' so that no spreadsheet "
    "runs it as a formula."
)


class Source(StrEnum):
    """What can be imported."""

    meridian = "meridian"
    pymc_marketing = "pymc-marketing"
    robyn = "robyn"
    points = "points"


app = typer.Typer(
    name="campaign-optimizer",
    help="Plan a media budget against several KPIs under stated trade-offs, with a proof of how good the plan is.",
    epilog="Exit codes: 0 done; 1 a finding (no plan keeps the rules, a check failed); 2 bad input.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(audit)

ScenarioFile = Annotated[Path, typer.Argument(metavar="SCENARIO", help="The scenario, a YAML file.")]
OutDir = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where the files go.", show_default="./results/<scenario file>"),
]
Budgets = Annotated[
    bool | None,
    typer.Option(
        "--budgets/--no-budgets",
        help="Also find the best plan at other budgets, and where the next amount goes.",
        show_default="where each plan takes seconds",
    ),
]
ChartFiles = Annotated[bool, typer.Option("--charts", help="Also write each chart as SVG and PNG.")]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process if not given.
    """
    for stream in (sys.stdout, sys.stderr):
        # A line's name that the terminal cannot show must not stop the plan.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        app(args=None if argv is None else list(argv), prog_name="campaign-optimizer")
    except OptimizerError as error:
        from .report.formats import clean

        print(f"error: {clean(error)}", file=sys.stderr)
        return FINDING if isinstance(error, InfeasibleError | SolverError) else BAD_INPUT
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else BAD_INPUT
    return DONE


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The scenario to write, a YAML file.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
) -> None:
    """Write a commented starter scenario that plans as it stands."""
    from importlib import resources

    from .report.files import check_directory, write_all

    if file.is_dir():
        raise DataError("is a directory", "name a file, such as scenario.yaml", file=str(file))
    if file.exists() and not force:
        raise DataError("exists already", "name another file, or add --force to overwrite it", file=str(file))
    check_directory(file.parent)
    text = resources.files("optimizer").joinpath("starter.yaml").read_text(encoding="utf-8")
    write_all(file.parent, {file.name: text.replace("THIS_FILE", file.name)})
    console = _console()
    console.print(f"Wrote {file}. Next: campaign-optimizer plan {file}", markup=False, highlight=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a scenario, for editors that complete and check as you type."""
    import json

    from .scenario import ScenarioSpec

    found = ScenarioSpec.model_json_schema()
    found = {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
    print(json.dumps(found, indent=1, allow_nan=False))


@app.command(epilog=CSV_NOTE)
def plan(
    scenario: ScenarioFile,
    out: OutDir = None,
    front: Annotated[
        bool, typer.Option("--front", help="Also compute the front and show it in the report.")
    ] = False,
    time_limit: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            help="With free flighting: end the search by then, and tell how far the plan may be from the best.",
        ),
    ] = None,
    budgets: Budgets = None,
    charts: ChartFiles = False,
) -> None:
    """Find the best plan under the scenario's stated preferences; print it and write a report."""
    directory = _directory(out, scenario)
    given, found = _solve(scenario, time_limit)
    _finish(given, found, _frontier(given) if front else None, directory, budgets=budgets, charts=charts)


@app.command(epilog=CSV_NOTE)
def front(
    scenario: ScenarioFile,
    out: OutDir = None,
    tolerance: Annotated[
        float,
        typer.Option(
            help="Stop when plans not yet found could add at most this share to the front.", min=1e-6, max=0.5
        ),
    ] = 0.01,
    time_limit: Annotated[
        float,
        typer.Option(
            "--time-limit",
            help="Seconds for the search, which Ctrl-C ends too.",
            min=0.1,
        ),
    ] = 120.0,
    budgets: Budgets = None,
    charts: ChartFiles = False,
) -> None:
    """Find the plans among which no KPI can be had better without another getting worse.

    The plan under the stated preferences comes with them. When time is up, or after Ctrl-C, what was found is kept
    and its proof says how much may be missing.
    """
    directory = _directory(out, scenario)
    given, found = _solve(scenario)
    found_front = _frontier(given, tolerance=tolerance, time_limit=time_limit)
    _finish(given, found, found_front, directory, budgets=budgets, charts=charts)


@app.command(epilog=CSV_NOTE)
def compare(
    scenarios: Annotated[
        list[Path],
        typer.Argument(metavar="S1 S2 ...", help="Scenarios and variants, YAML files; the first is the base."),
    ],
    out: OutDir = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes.", show_default="one a core where that repays"),
    ] = None,
    charts: ChartFiles = False,
) -> None:
    """Compare the plans of scenarios and variants, all on the scale of the first.

    A file with 'base' is about variants of another; its base comes first. Ctrl-C loses nothing: the same command
    goes on where it was.
    """
    from .compare import compare as compared
    from .report.comparing import comparison_charts, comparison_files, print_comparison
    from .report.files import write_all
    from .scenario import Scenario
    from .solve.jobs import forget

    directory = _directory(out, scenarios[0].with_name(f"{scenarios[0].stem} compared.yaml"))
    given: list[Scenario] = []
    for file in scenarios:
        # The base of a file of variants may have been named before.
        hashes = [scenario.hash for scenario in given]
        given += [scenario for scenario in Scenario.load_all(file) if scenario.hash not in hashes]
    keep = directory / "kept"
    with _progress("Plans") as progress:
        found = compared(given, workers=workers, keep=keep, progress=progress)
    files = comparison_files(found)
    write_all(directory, files)
    if charts:
        write_all(directory / "charts", comparison_charts(found))
    forget(keep)
    console = _console()
    print_comparison(console, found)
    _say_where(console, directory, [*files, *(["charts/"] if charts else [])])
    if len(found.failed):
        raise typer.Exit(FINDING)


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

    A test that contradicts the model is told and not used; the exit code is then 1.
    """
    from .evidence.fit import run_fit
    from .report.files import check_directory, write_all
    from .report.fit_page import render_fit
    from .report.fitting import print_fit

    check_directory(out)
    with _progress("Fitting") as progress:
        found = run_fit(history, config, out_dir=out, progress=progress, tests_path=calibrate)
    write_all(out, {"evidence.html": render_fit(found)})
    console = _console()
    print_fit(console, found)
    _say_where(console, out, ("response.nc", "fit.json", "evidence.html"))
    if found.conflicts:
        raise typer.Exit(FINDING)


@app.command(epilog=CSV_NOTE)
def reallocate(
    accounts: Annotated[
        Path, typer.Argument(metavar="ACCOUNTS", help="Lines of accounts: CSV or Parquet, a file or a folder.")
    ],
    rules: Annotated[Path, typer.Option("--rules", metavar="RULES", help="What all keep to, a YAML file.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")],
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="parquet or csv; both unless given.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Chunks worked on at a time; one a core unless given.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a dask.distributed cluster that is to solve the chunks."),
    ] = None,
) -> None:
    """Recommend a split of its budget to every account; run again after an interruption, it goes on."""
    from .batch import reallocate as run
    from .report.batches import print_batch

    with _counted("Accounts") as progress:
        found = run(
            accounts,
            rules,
            out=out,
            formats=formats or ("parquet", "csv"),
            threads=threads,
            scheduler=scheduler,
            progress=progress,
        )
    console = _console()
    print_batch(console, found)
    _say_where(console, out, ("accounts/", "lines/", "moves/", "failed/", "summary.json"))
    if found.summary["failed"]:
        raise typer.Exit(FINDING)


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
    console = _console()
    print_import(console, found)
    _say_where(console, out, list(files))


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
) -> None:
    """Say whether a scenario or a history is sound, and what will be made of it. Writes nothing."""
    if config is not None:
        _check_history(file, config, backtest)
    elif backtest:
        raise SpecError("--backtest needs a history and --config", "a scenario has no past", file=str(file))
    elif file.suffix.lower() in (".csv", ".parquet", ".pq", ".tsv"):
        raise SpecError(
            "a history needs --config", "name the fit config that says which columns to read", file=str(file)
        )
    else:
        _check_scenario(file)


def _check_scenario(file: Path) -> None:
    from .lint import lint
    from .reach import reachability
    from .report.tables import print_check, print_findings
    from .report.view import View
    from .scenario import Scenario
    from .solve.routes import solve

    given = Scenario.load(file)
    console = _console()
    try:
        found = solve(given)
    except (InfeasibleError, SolverError):
        print_findings(console, lint(given), ())
        console.print(f"{file} reads well, but there is no plan:", markup=False, highlight=False)
        raise
    reaches = reachability(given)
    findings = lint(given, reaches)
    print_check(console, View(found, given, explanation=_explain(found)))
    print_findings(console, findings, reaches)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(FINDING)
    console.print(f"\n{file.name} is sound, and its rules can be kept.", markup=False, style="green")


def _check_history(file: Path, config: Path, backtest: bool) -> None:
    from .evidence import checks
    from .evidence.backtest import backtest as run_backtest
    from .evidence.fit import check_history
    from .report.fitting import print_backtest, print_data_findings, print_history

    report = checks.check(file, config)
    if report.failed:
        print_data_findings(_console(), report)
        raise typer.Exit(FINDING)
    history, spec = check_history(file, config)
    print_history(_console(), history, spec)
    print_data_findings(_console(), report)
    if backtest:
        with _progress("Backtest") as progress:
            found = run_backtest(history, spec, progress)
        print_backtest(_console(), found, spec)


def _solve(file: Path, time_limit: float | None = None) -> tuple[Scenario, Plan]:
    from .scenario import Scenario
    from .solve.routes import solve

    given = Scenario.load(file)
    with _progress("Plan") as progress:
        return given, solve(given, time_limit=time_limit, progress=progress)


def _frontier(given: Scenario, **options: float) -> Front:
    from .solve.routes import frontier

    with _progress("Front") as progress:
        return frontier(given, progress=progress, **options)


def _finish(
    given: Scenario, found: Plan, front: Front | None, directory: Path, *, budgets: bool | None, charts: bool
) -> None:
    """Compute every file, write them, then print."""
    from .report import tables
    from .report.files import write_all
    from .report.outlook import outlook, quick
    from .report.planning import plan_charts, plan_files
    from .report.view import View

    asked = quick(found.scenario) if budgets is None else budgets
    ahead = None
    try:
        with _progress("Budgets") as progress:
            ahead = outlook(found, progress) if asked else None
    except KeyboardInterrupt:
        print("Other budgets are left out: interrupted.", file=sys.stderr)
    view = View(found, given, front, _explain(found), ahead)
    files = plan_files(view, directory)
    drawn = plan_charts(view) if charts else {}
    write_all(directory, files)
    if drawn:
        write_all(directory / "charts", drawn)
    console = _console()
    tables.print_plan(console, view)
    tables.print_front(console, view)
    _say_where(console, directory, [*files, *(["charts/"] if drawn else [])])


def _explain(found: Plan) -> Explanation | None:
    """Explain a plan; None under rules that let no trade-off be read off it."""
    from .explain import explain

    try:
        return explain(found)
    except SolverError:
        return None


def _directory(out: Path | None, scenario: Path) -> Path:
    from .report.files import check_directory

    directory = out if out is not None else Path("results") / scenario.stem
    check_directory(directory)
    return directory


def _say_where(console: Console, directory: Path, files: Sequence[str] | dict[str, str] = ()) -> None:
    console.print()
    names = f": {', '.join(sorted(files))}" if files else ""
    console.print(f"Written to {directory}{names}", markup=False, highlight=False, soft_wrap=True)


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


@contextmanager
def _progress(label: str) -> Iterator[Callable[[float], None]]:
    """Show a progress bar on stderr while something runs; nothing where stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns: list[Any] = [TextColumn(label), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=1.0)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def _counted(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many are done, the rate and the time left on stderr; nothing where stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    rate = TextColumn("{task.fields[rate]}")
    columns: list[Any] = [TextColumn(label), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn()]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None, rate="")

        def show(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)
            speed = bar.tasks[0].speed
            bar.update(task, rate=f"{speed:,.0f}/s" if speed else "")

        yield show


if __name__ == "__main__":
    sys.exit(main())
