"""A history as far as it can be read: its cells, and a finding for each that cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import documents
from ..curves import Floats
from ..errors import DataError, SpecError
from . import tabular
from .history import FitSpec, keep_rows, named_columns
from .tabular import Table, cell_day, cell_number

SHOWN = 5
Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """Something about a history that its user should know.

    Attributes
    ----------
    level : "error", "warning" or "note"
        ``error``: no fit can use the file as it is.
    rule : str
        The rule's name.
    message : str
        What was found, at its first place.
    hint : str
        What to do about it.
    place : str
        File, line and column of the first.
    rows : tuple of int
        Every row: lines of a CSV counted from 1, rows of a Parquet file.
    """

    level: Level
    rule: str
    message: str
    hint: str
    place: str
    rows: tuple[int, ...] = ()

    def __str__(self) -> str:
        text = f"{self.level} [{self.rule}] {self.place}: {self.message}"
        if len(self.rows) > 1 and self.level != "note":
            rest = ", ".join(map(str, self.rows[1:SHOWN]))
            text += f"; also {rest}" + (f" and {len(self.rows) - SHOWN} more" if len(self.rows) > SHOWN else "")
        return f"{text}\n  hint: {self.hint}" if self.hint else text


@dataclass
class CheckData:
    """A file as far as it can be read; columns that are missing are left out."""

    spec: FitSpec
    config: documents.Document
    table: Table
    decision: date
    days: list[date | None] = field(default_factory=list)
    numbers: dict[str, Floats] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    unread: set[tuple[str, int]] = field(default_factory=set)

    def add(
        self, level: Level, rule: str, message: str, hint: str, column: str = "", rows: Sequence[int] = ()
    ) -> None:
        """Note a finding; ``rows`` counts within the table."""
        if rows:
            place = str(self.table.fault(rows[0], column, "", "")).removesuffix(": ")
        else:
            place = f"{self.table.file}: {column}" if column else self.table.file
        self.findings.append(Finding(level, rule, message, hint, place, tuple(self.table.places[r] for r in rows)))

    @property
    def dated(self) -> list[int]:
        """Rows with a date, in its order."""
        return sorted((row for row, day in enumerate(self.days) if day), key=lambda row: str(self.days[row]))

    def lines(self) -> Iterator[tuple[str, str, list[int]]]:
        """Name, spend column and rows in order of date, of each line that can be read."""
        for name, line in self.spec.lines.items():
            if self.spec.long is None:
                if str(line.spend) in self.numbers:
                    yield name, str(line.spend), self.dated
            elif {self.spec.long.spend, self.spec.long.line} <= set(self.table.cells):
                labels = self.table.cells[self.spec.long.line]
                yield name, self.spec.long.spend, [row for row in self.dated if str(labels[row]) == line.rows]

    def kpi(self, name: str) -> Floats | None:
        """A KPI by row, blanks as NaN; None if a column of it is missing."""
        columns = self.spec.kpis[name].columns
        if not set(columns) <= set(self.numbers):
            return None
        parts = np.array([self.numbers[column] for column in columns])
        return np.asarray(np.nan_to_num(parts).sum(axis=0) if self.spec.kpis[name].blank else parts.sum(axis=0))


def read_data(path: Path, spec: FitSpec, document: documents.Document, today: date) -> CheckData:
    """Read what can be read; missing columns and unreadable cells become findings."""
    wanted = named_columns(spec)
    if spec.checks.currency is not None:
        wanted[spec.checks.currency] = ("checks", "currency")
    for name, column in spec.checks.recorded.items():
        wanted |= {name: wanted.get(name, ("checks", "recorded", name)), column: ("checks", "recorded", name)}
    header = tabular.columns(path)
    there = {column: place for column, place in wanted.items() if header.count(column) == 1}
    if not there:
        # Nothing of it is there: say so as a fit does.
        tabular.read(path, wanted)
    data = CheckData(spec, document, tabular.read(path, there), spec.checks.decision or today)
    for column, place in wanted.items():
        if header.count(column) > 1:
            data.add("error", "schema", "the column stands twice in the file", "keep one", column)
        elif column not in there:
            try:
                tabular.check_columns(header, {column: place}, str(path))
            except SpecError as error:
                located = document.locate(error)
                where = str(located).split("\n")[0].removesuffix(f": {error.message}")
                data.findings.append(Finding("error", "schema", error.message, error.hint, where))
    if set(spec.filter) <= set(there):
        keep_rows(data.table, spec)
    if spec.long is not None and spec.long.line in there:
        _keep_named(data, spec.long.line)
    _parse(data, there)
    return data


def _keep_named(data: CheckData, column: str) -> None:
    """Leave aside the rows of a long file that no line names, as a fit does."""
    table, names = data.table, {str(line.rows) for line in data.spec.lines.values()}
    kept = [row for row, label in enumerate(table.cells[column]) if str(label) in names]
    if len(kept) < len(table.places):
        message = f"rows that no line names are left aside ({len(table.places) - len(kept)})"
        data.add("note", "schema", message, "", column)
    table.cells = {name: [cells[row] for row in kept] for name, cells in table.cells.items()}
    table.places = [table.places[row] for row in kept]


def _parse(data: CheckData, columns: dict[str, tuple[str | int, ...]]) -> None:
    """Read dates and numbers; what is neither is a finding."""
    spec, rows = data.spec, range(len(data.table.places))
    data.days = [None] * len(rows)
    if spec.date in columns:
        data.days = each(data, spec.date, rows, cell_day)
    texts = {spec.date, *spec.filter, spec.checks.currency, *spec.checks.recorded.values()}
    if spec.long is not None:
        texts.add(spec.long.line)
    for column in columns:
        if column not in texts:
            values = each(data, column, rows, cell_number)
            data.numbers[column] = np.array([np.nan if value is None else value for value in values])


def each(data: CheckData, column: str, rows: range, read: Callable[[Table, int, str], Any]) -> list[Any]:
    """Read every cell of a column; those that cannot be read are one finding, and None."""
    found: list[Any] = []
    bad: list[tuple[int, DataError]] = []
    for row in rows:
        try:
            found.append(read(data.table, row, column))
        except DataError as error:
            bad.append((row, error))
            found.append(None)
    data.unread |= {(column, row) for row, _ in bad}
    if bad:
        first = bad[0][1]
        message = first.message.split(": ", 1)[1] if first.message.startswith("row ") else first.message
        data.add("error", "schema", message, first.hint, column, [row for row, _ in bad])
    return found
