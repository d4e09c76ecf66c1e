"""What commands share on the terminal: exit codes, the console, progress bars, and where the files went."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

DONE, FINDING, BAD_INPUT = 0, 1, 2
CSV_NOTE = (
    "In CSV files, text that begins with = + - @, a tab or a line break gets a leading ' so that no spreadsheet "
    "runs it as a formula."
)


def directory(out: Path | None, file: Path) -> Path:
    """Return where files go: what was asked for, else ``results`` and the file's name; refused if it cannot be."""
    from .report.files import check_directory

    found = out if out is not None else Path("results") / file.stem
    check_directory(found)
    return found


def say_where(console: Console, directory: Path, files: Sequence[str] | dict[str, str] = ()) -> None:
    """Print where the files went, and their names."""
    console.print()
    names = f": {', '.join(sorted(files))}" if files else ""
    console.print(f"Written to {directory}{names}", markup=False, highlight=False, soft_wrap=True)


def console() -> Console:
    """Return a console that shows text as it is, without colouring numbers."""
    from rich.console import Console

    return Console(highlight=False)


def finish_audit(found: Any, name: str, directory: Path, files: dict[str, str] | None = None) -> None:
    """Write an audit's JSON, its page and other files, print it, and leave with 1 where something was found."""
    from typer import Exit

    from .report.audit_page import render_audit
    from .report.auditing import print_audit
    from .report.files import json_text, write_all

    data = found.to_dict()
    page = {f"audit-{name}.html": render_audit(name, data), f"audit-{name}.json": json_text(data)}
    written = {**page, **(files or {})}
    write_all(directory, written)
    shown = console()
    print_audit(shown, name, found)
    say_where(shown, directory, written)
    if found.verdict.found:
        raise Exit(FINDING)


class Bar:
    """A progress bar: called with the share of the work done, and told what to say beside it."""

    def __init__(self, bar: Any, label: str) -> None:
        self.bar, self.task = bar, bar.add_task(label, total=1.0, said="")

    def __call__(self, done: float) -> None:
        """Show the share of the work done, 0 to 1."""
        self.bar.update(self.task, completed=done)

    def say(self, words: str) -> None:
        """Show words beside the bar."""
        self.bar.update(self.task, said=words)


@contextmanager
def progress(label: str) -> Iterator[Bar]:
    """Show a progress bar on stderr while something runs; nothing where stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    said = TextColumn("{task.fields[said]}")
    columns: list[Any] = [TextColumn(label), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), said]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield Bar(bar, label)


@contextmanager
def counted(label: str) -> Iterator[Callable[[int, int], None]]:
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
