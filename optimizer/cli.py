"""The command line: a thin layer over the public names. Heavy libraries load inside the commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import terminal
from .cli_audit import app as audit
from .cli_evidence import app as evidence
from .cli_experiment import app as experiment
from .cli_ledger import ByOption, LedgerOption, check_kpis, check_options, record_batch, record_plan
from .cli_ledger import app as ledger_app
from .cli_scorecard import app as scorecard
from .errors import DataError, InfeasibleError, OptimizerError, SolverError, SpecError

if TYPE_CHECKING:
    from .front import Front
    from .plan import Plan
    from .scenario import Scenario

app = typer.Typer(
    name="campaign-optimizer",
    help="Plan a media budget against several KPIs under stated trade-offs, with a proof of how good the plan is.",
    epilog="Exit codes: 0 done; 1 a finding (no plan keeps the rules, a check failed); 2 bad input.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(evidence)
audit.add_typer(experiment)
audit.add_typer(scorecard)
app.add_typer(audit)
app.add_typer(ledger_app)

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
        return terminal.FINDING if isinstance(error, InfeasibleError | SolverError) else terminal.BAD_INPUT
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else terminal.BAD_INPUT
    return terminal.DONE


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
    console = terminal.console()
    console.print(f"Wrote {file}. Next: campaign-optimizer plan {file}", markup=False, highlight=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a scenario, for editors that complete and check as you type."""
    import json

    from .stated import ScenarioSpec

    found = ScenarioSpec.model_json_schema()
    found = {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
    print(json.dumps(found, indent=1, allow_nan=False))


@app.command(epilog=terminal.CSV_NOTE)
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
    ledger: LedgerOption = None,
    by: ByOption = None,
) -> None:
    """Find the best plan under the scenario's stated preferences; print it and write a report."""
    directory = terminal.directory(out, scenario)
    check_options(ledger, by)
    given = _load(scenario)
    if ledger is not None:
        check_kpis(ledger, given)
    found = _solve(given, time_limit)
    _finish(given, found, _frontier(given) if front else None, directory, budgets=budgets, charts=charts)
    if ledger is not None and by is not None:
        record_plan(ledger, by, given, found, scenario, time_limit=time_limit)


@app.command(epilog=terminal.CSV_NOTE)
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
    seed: Annotated[int, typer.Option(min=0, help="Where plans are searched for: of the random numbers.")] = 0,
    evaluations: Annotated[
        int, typer.Option(min=100, help="Where plans are searched for: how many to simulate at most.")
    ] = 20_000,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Where plans are searched for: a file to keep the search in, and to go on from."),
    ] = None,
    budgets: Budgets = None,
    charts: ChartFiles = False,
) -> None:
    """Find the plans among which no KPI can be had better without another getting worse.

    The plan under the stated preferences comes with them. When time is up, or after Ctrl-C, what was found is kept
    and its proof says how much may be missing.
    """
    directory = terminal.directory(out, scenario)
    given = _load(scenario)
    found = _solve(given)
    search = {"seed": seed, "evaluations": evaluations, "checkpoint": checkpoint}
    found_front = _frontier(given, search, tolerance=tolerance, time_limit=time_limit)
    _finish(given, found, found_front, directory, budgets=budgets, charts=charts)


@app.command(epilog=terminal.CSV_NOTE)
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

    directory = terminal.directory(out, scenarios[0].with_name(f"{scenarios[0].stem} compared.yaml"))
    given: list[Scenario] = []
    for file in scenarios:
        # The base of a file of variants may have been named before.
        hashes = [scenario.hash for scenario in given]
        given += [scenario for scenario in Scenario.load_all(file) if scenario.hash not in hashes]
    keep = directory / "kept"
    with terminal.progress("Plans") as progress:
        found = compared(given, workers=workers, keep=keep, progress=progress)
    files = comparison_files(found)
    write_all(directory, files)
    if charts:
        write_all(directory / "charts", comparison_charts(found))
    forget(keep)
    console = terminal.console()
    print_comparison(console, found)
    terminal.say_where(console, directory, [*files, *(["charts/"] if charts else [])])
    if len(found.failed):
        raise typer.Exit(terminal.FINDING)


@app.command(epilog=terminal.CSV_NOTE)
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
    ledger: LedgerOption = None,
    by: ByOption = None,
) -> None:
    """Recommend a split of its budget to every account; run again after an interruption, it goes on."""
    from .batch import reallocate as run
    from .report.batches import print_batch

    check_options(ledger, by)
    if ledger is not None and formats and "parquet" not in formats:
        raise SpecError("--ledger needs the results as Parquet", "add --format parquet")
    with terminal.counted("Accounts") as progress:
        found = run(
            accounts,
            rules,
            out=out,
            formats=formats or ("parquet", "csv"),
            threads=threads,
            scheduler=scheduler,
            progress=progress,
        )
    console = terminal.console()
    print_batch(console, found)
    terminal.say_where(console, out, ("accounts/", "lines/", "moves/", "failed/", "summary.json"))
    if ledger is not None and by is not None:
        record_batch(ledger, by, found, accounts, rules)
    if found.summary["failed"]:
        raise typer.Exit(terminal.FINDING)


def _load(file: Path) -> Scenario:
    from .scenario import Scenario

    return Scenario.load(file)


def _solve(given: Scenario, time_limit: float | None = None) -> Plan:
    from .solve.routes import solve

    with terminal.progress("Plan") as progress:
        return solve(given, time_limit=time_limit, progress=progress)


def _frontier(given: Scenario, search: dict[str, Any] | None = None, **options: Any) -> Front:
    from .solve.evolution import Evolution
    from .solve.routes import frontier

    with terminal.progress("Front") as progress:
        shown = Evolution(**(search or {}), report=lambda at: progress.say(f"covers {at.hypervolume:.4f}"))
        return frontier(given, progress=progress, search=shown, **options)


def _finish(
    given: Scenario, found: Plan, front: Front | None, directory: Path, *, budgets: bool | None, charts: bool
) -> None:
    """Compute every file, write them, then print."""
    from .explain import try_explain
    from .report import tables
    from .report.figures import Charts
    from .report.files import write_all
    from .report.outlook import outlook, quick
    from .report.planning import plan_charts, plan_files
    from .report.view import View

    asked = quick(found.scenario) if budgets is None else budgets
    ahead = None
    try:
        with terminal.progress("Budgets") as progress:
            ahead = outlook(found, progress) if asked else None
    except KeyboardInterrupt:
        print("Other budgets are left out: interrupted.", file=sys.stderr)
    view = View(found, given, front, try_explain(found), ahead)
    pictures = Charts(view)
    files = plan_files(view, directory, pictures)
    drawn = plan_charts(pictures) if charts else {}
    write_all(directory, files)
    if drawn:
        write_all(directory / "charts", drawn)
    console = terminal.console()
    tables.print_plan(console, view)
    tables.print_front(console, view)
    terminal.say_where(console, directory, [*files, *(["charts/"] if drawn else [])])


if __name__ == "__main__":
    sys.exit(main())
