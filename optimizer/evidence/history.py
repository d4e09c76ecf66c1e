"""History of spend and KPIs: what a fit config names, read from CSV or Parquet and checked cell by cell."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, StringConstraints, model_validator

from ..adstock import MAX_LENGTH
from ..documents import Day, Spec
from ..errors import DataError, SpecError
from ..response import file_hash
from .tabular import Table, cell_day, cell_number, read

PERIODS_LIMIT = 4_000
STEP = {"day": timedelta(days=1), "week": timedelta(days=7)}
# What a daily config has where it says nothing; the fields' own defaults are for weeks.
DAILY = {"holdout": 28, "forecast": 182, "carryover": 28}

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\r\n]*$")]


class LineSpec(Spec):
    """Where a line's spend stands: a column (wide) or the rows that carry a label (long); what its curve may be.

    ``curve`` is ``concave`` (falling returns from the first), ``s_shaped`` (returns may rise first), ``linear``,
    or ``auto``: concave, unless the history speaks for one of the others, see `kinds`.
    """

    spend: Name | None = None
    rows: Name | None = None
    blank: Literal["zero"] | None = None
    curve: Literal["auto", "concave", "s_shaped", "linear"] = "auto"


class KpiSpec(Spec):
    """Where a KPI stands: a column, or columns to add up; and how much of it all lines may bring.

    ``media_share`` is what is expected before the data speak, see `regression`.
    """

    column: Name | None = None
    sum: Annotated[list[Name], Field(min_length=1, max_length=200)] | None = None
    blank: Literal["zero"] | None = None
    media_share: Annotated[float, Field(gt=0, le=1)] = 0.3

    @property
    def columns(self) -> list[str]:
        """The columns the KPI is read from."""
        return [self.column] if self.column is not None else list(self.sum or [])


class LongSpec(Spec):
    """The columns of a long file, one row a date and line: the line's label and its spend."""

    line: Name
    spend: Name


class ChecksSpec(Spec):
    """What `checks` should know of the data.

    ``decision`` is the day the plan is decided, today unless given; nothing may be dated after it. ``fresh`` is
    how many periods old the latest row may be then. ``currency`` names a column that holds the currency of each
    row. ``at_most`` names KPIs that another can never be below, such as ``{purchases: clicks}``. ``recorded``
    gives columns the column of the day on which their values were known.
    """

    decision: Day | None = None
    fresh: Annotated[int, Field(ge=1, le=1000)] = 4
    currency: Name | None = None
    at_most: dict[Name, Name] = Field(default_factory=dict)
    recorded: dict[Name, Name] = Field(default_factory=dict)


class FitSpec(Spec):
    """The ``fit`` config: which columns to read and how to fit them. Periods count days or weeks.

    ``season`` is the number of yearly sine and cosine pairs; ``events`` gives each named event (a holiday, a
    sale) the dates it touches, in the history or the forecast, and ``event_columns`` a column that is not zero
    where it took place; ``signs`` says that a control can only add (positive) or take away (negative);
    ``carryover`` is the longest an effect may last; ``holdout`` periods are forecast from each of ``folds``
    origins; ``chasing`` says how far budgets may have followed demand, in standard deviations of the noise, see
    `regression`: 0 where they were set at random; ``draws`` are kept in the response file, of which the starter
    picks plans by 200.
    """

    date: Name
    period: Literal["day", "week"]
    filter: dict[Name, str | int | float] = Field(default_factory=dict)
    long: LongSpec | None = None
    lines: Annotated[dict[Name, LineSpec], Field(min_length=1, max_length=60)]
    kpis: Annotated[dict[Name, KpiSpec], Field(min_length=1, max_length=20)]
    controls: list[Name] = Field(default_factory=list)
    events: dict[Name, Annotated[list[Day], Field(min_length=1)]] = Field(default_factory=dict)
    event_columns: dict[Name, Name] = Field(default_factory=dict)
    signs: dict[Name, Literal["positive", "negative"]] = Field(default_factory=dict)
    season: Annotated[int, Field(ge=0, le=6)] = 2
    chasing: Annotated[float, Field(ge=0, le=5)] = 1.5
    currency: Name | None = None
    draws: Annotated[int, Field(ge=20, le=2000)] = 1000
    seed: Annotated[int, Field(ge=0, le=2**32)] = 1
    holdout: Annotated[int, Field(ge=2, le=365)] = 8
    folds: Annotated[int, Field(ge=1, le=26)] = 3
    forecast: Annotated[int, Field(ge=1, le=730)] = 26
    carryover: Annotated[int, Field(ge=1, le=MAX_LENGTH)] = 8
    checks: ChecksSpec = ChecksSpec()

    @model_validator(mode="before")
    @classmethod
    def _daily_defaults(cls, data: Any) -> Any:
        return {**DAILY, **data} if isinstance(data, dict) and data.get("period") == "day" else data

    @model_validator(mode="after")
    def _whole(self) -> FitSpec:
        wanted, other, layout = ("spend", "rows", "wide (no 'long')")
        if self.long is not None:
            wanted, other, layout = ("rows", "spend", "long")
        for name, line in self.lines.items():
            if getattr(line, wanted) is None or getattr(line, other) is not None:
                raise SpecError(
                    f"needs '{wanted}' and no '{other}': the layout is {layout}",
                    "'spend' names a column of a wide file, 'rows' the label of a line in a long one",
                    path=("lines", name),
                )
        for name, kpi in self.kpis.items():
            if (kpi.column is None) == (kpi.sum is None):
                hint = "name one column, or a list of columns to add up"
                raise SpecError("needs either 'column' or 'sum'", hint, path=("kpis", name))
            if name in self.lines:
                raise SpecError(f"'{name}' is also a line", "rename one of them", path=("kpis", name))
        for name in self.signs:
            if name not in self.controls:
                hint = f"controls are: {', '.join(self.controls)}" if self.controls else "state 'controls'"
                raise SpecError(f"'{name}' is no control", hint, path=("signs", name))
        self._check_each_once()
        self._check_the_checks()
        return self

    @property
    def named_events(self) -> list[str]:
        """Every event, given by dates, by a column or by both."""
        return list(dict.fromkeys([*self.events, *self.event_columns]))

    def _check_the_checks(self) -> None:
        for name, most in self.checks.at_most.items():
            for kpi in (name, most):
                if kpi not in self.kpis:
                    hint = f"KPIs are: {', '.join(self.kpis)}"
                    raise SpecError(f"'{kpi}' is no KPI", hint, path=("checks", "at_most", name))
        if self.checks.currency is not None and self.currency is None:
            raise SpecError(
                "nothing says what the currency should be", "state 'currency'", path=("checks", "currency")
            )

    def _check_each_once(self) -> None:
        """A column has one role; KPIs may share columns with each other, not with anything else."""
        owner = {self.date: "the date"}
        if self.long is not None:
            owner |= {self.long.line: "the line's label", self.long.spend: "the spend"}
        roles: list[tuple[tuple[str | int, ...], str, str]] = [
            (("lines", name), line.spend or f"rows {line.rows}", f"line '{name}'")
            for name, line in self.lines.items()
        ]
        roles += [(("controls", i), column, "a control") for i, column in enumerate(self.controls)]
        roles += [(("event_columns", name), column, "an event") for name, column in self.event_columns.items()]
        for path, column, what in roles:
            if column in owner:
                raise SpecError(f"'{column}' is already {owner[column]}", "use each once", path=path)
            owner[column] = what
        for name, kpi in self.kpis.items():
            for column in kpi.columns:
                if column in owner or kpi.columns.count(column) > 1:
                    what = owner.get(column, "in this sum")
                    raise SpecError(f"'{column}' is already {what}", "use each once", path=("kpis", name))


@dataclass(frozen=True)
class History:
    """A checked history: T periods without a gap, in order of time.

    Attributes
    ----------
    dates : pandas.DatetimeIndex
        First day of each period.
    period : "day" or "week"
        Their length.
    spend : DataFrame (T, L)
        Currency a period, by line.
    kpis : DataFrame (T, K)
        KPI units a period.
    controls : DataFrame (T, C)
        Named controls.
    marks : DataFrame (T, E)
        Columns of events, by event: not zero where it took place.
    repairs : tuple of str
        What was filled or left aside because the config asks for it.
    file, sha256 : str
        The file read, as the user named it, and the hash of its bytes.
    """

    dates: pd.DatetimeIndex
    period: str
    spend: pd.DataFrame
    kpis: pd.DataFrame
    controls: pd.DataFrame
    marks: pd.DataFrame
    repairs: tuple[str, ...]
    file: str
    sha256: str


def load_history(path: str | Path, spec: FitSpec) -> History:
    """Read and check a history.

    Parameters
    ----------
    path : path
        CSV (UTF-8, commas, first line the column names) or Parquet.
    spec : FitSpec
        Which columns to read.

    Raises
    ------
    DataError
        If the file cannot be read, or a cell, date or row is not usable: file, column and line are named.
        Nothing is dropped, filled or clipped unless the config asks for it; `History.repairs` says so then.
    SpecError
        If the config names a column, label or filter value that the file does not hold.
    """
    path = Path(path)
    table = read(path, named_columns(spec))
    repairs = keep_rows(table, spec)
    days = [cell_day(table, row, spec.date) for row in range(len(table.places))]
    if spec.long is None:
        order = sorted(range(len(days)), key=days.__getitem__)
        spend = {
            name: _numbers(table, order, str(line.spend), line.blank, repairs, name, least=0.0)
            for name, line in spec.lines.items()
        }
    else:
        order, spend = _long_spend(table, spec, days, repairs)
    _check_dates(table, order, days, spec)
    kpis = {}
    for name, kpi in spec.kpis.items():
        parts = [_numbers(table, order, column, kpi.blank, repairs, name) for column in kpi.columns]
        kpis[name] = [math.fsum(values) for values in zip(*parts, strict=True)]
    controls = {name: _numbers(table, order, name, None, repairs, name) for name in spec.controls}
    marks = {
        name: _numbers(table, order, column, None, repairs, name) for name, column in spec.event_columns.items()
    }
    index = pd.DatetimeIndex([days[row] for row in order], name="date")
    return History(
        dates=index,
        period=spec.period,
        spend=pd.DataFrame(spend, index=index),
        kpis=pd.DataFrame(kpis, index=index),
        controls=pd.DataFrame(controls, index=index),
        marks=pd.DataFrame(marks, index=index),
        repairs=tuple(repairs),
        file=str(path),
        sha256=file_hash(path),
    )


def named_columns(spec: FitSpec) -> dict[str, tuple[str | int, ...]]:
    """Every column the config names, with the field that names it."""
    named: dict[str, tuple[str | int, ...]] = {spec.date: ("date",)}
    named |= {column: ("filter", column) for column in spec.filter}
    if spec.long is None:
        named |= {str(line.spend): ("lines", name, "spend") for name, line in spec.lines.items()}
    else:
        named |= {spec.long.line: ("long", "line"), spec.long.spend: ("long", "spend")}
    for name, kpi in spec.kpis.items():
        field: tuple[str | int, ...] = ("kpis", name, "column" if kpi.column else "sum")
        named |= dict.fromkeys(kpi.columns, field)
    named |= {column: ("controls", i) for i, column in enumerate(spec.controls)}
    return named | {column: ("event_columns", name) for name, column in spec.event_columns.items()}


def keep_rows(table: Table, spec: FitSpec) -> list[str]:
    """Keep the rows the config asks for; say how many are left aside."""
    before = len(table.places)
    for column, value in spec.filter.items():
        texts = [str(cell) for cell in table.cells[column]]
        kept = [row for row, text in enumerate(texts) if text == str(value)]
        if not kept:
            seen = ", ".join(sorted(set(texts))[:5])
            raise SpecError(f"no row has '{value}'", f"among others there are: {seen}", path=("filter", column))
        table.cells = {name: [cells[row] for row in kept] for name, cells in table.cells.items()}
        table.places = [table.places[row] for row in kept]
    kept_rows = len(table.places)
    return [f"the filter keeps {kept_rows:,} of {before:,} rows"] if kept_rows < before else []


def _long_spend(
    table: Table, spec: FitSpec, days: list[date], repairs: list[str]
) -> tuple[list[int], dict[str, list[float]]]:
    """Spend by line from one row a date and line, and the first row of each date."""
    assert spec.long is not None
    labels = [str(label) for label in table.cells[spec.long.line]]
    names = {str(line.rows): name for name, line in spec.lines.items()}
    for label, name in names.items():
        if label not in labels:
            seen = ", ".join(sorted(set(labels))[:8])
            raise SpecError(
                f"no row has '{label}'", f"among others there are: {seen}", path=("lines", name, "rows")
            )
    unused = sorted({label for label in labels if label not in names})
    if unused:
        repairs.append(f"rows of {', '.join(unused[:8])} are left aside: no line names them")
    rows: dict[tuple[date, str], int] = {}
    first: dict[date, int] = {}
    shared = [column for kpi in spec.kpis.values() for column in kpi.columns] + spec.controls
    shared += list(spec.event_columns.values())
    for row, (day, label) in enumerate(zip(days, labels, strict=True)):
        if label not in names:
            continue
        if (day, label) in rows:
            raise table.fault(row, spec.date, f"{day} stands twice for '{label}'", "keep one row of each")
        rows[day, label] = row
        top = first.setdefault(day, row)
        for column in shared:
            if str(table.cells[column][row]) != str(table.cells[column][top]):
                raise table.fault(
                    row,
                    column,
                    f"differs within {day}",
                    "a KPI or control has one value a date, in all its rows",
                )
    ordered = sorted(first)
    spend = {}
    for label, name in names.items():
        blank, found = spec.lines[name].blank, [rows.get((day, label)) for day in ordered]
        missing = [day for day, row in zip(ordered, found, strict=True) if row is None]
        if missing and blank is None:
            raise DataError(
                f"'{label}' has no row on {missing[0]}",
                f"add it, or state 'blank: zero' for line '{name}'",
                path=(spec.long.line,),
                file=table.file,
            )
        if missing:
            repairs.append(f"{name}: dates without a row ({len(missing)}) are read as 0, as 'blank: zero' asks")
        present = [row for row in found if row is not None]
        values = iter(_numbers(table, present, spec.long.spend, blank, repairs, name, least=0.0))
        spend[name] = [0.0 if row is None else next(values) for row in found]
    return [first[day] for day in ordered], spend


def _numbers(
    table: Table,
    rows: Iterable[int],
    column: str,
    blank: str | None,
    repairs: list[str],
    name: str,
    least: float = -math.inf,
) -> list[float]:
    values, blanks = [], 0
    for row in rows:
        value = cell_number(table, row, column)
        if value is None:
            if blank is None:
                hint = "fill it in; a line or KPI may state 'blank: zero' where it means none was spent or counted"
                raise table.fault(row, column, "the cell is blank (NaN)", hint)
            blanks, value = blanks + 1, 0.0
        if value < least:
            raise table.fault(row, column, f"negative spend {value:g}", "book refunds and credits elsewhere")
        values.append(value)
    if blanks:
        repairs.append(f"{name}: blanks of {column} ({blanks}) are read as 0, as 'blank: zero' asks")
    return values


def _check_dates(table: Table, order: list[int], days: list[date], spec: FitSpec) -> None:
    step = STEP[spec.period]
    for before, row in itertools.pairwise(order):
        gap = days[row] - days[before]
        if not gap:
            hint = "keep one row a date; pick a series by 'filter', or state 'long' if each line has its row"
            raise table.fault(row, spec.date, f"{days[row]} stands twice", hint)
        if gap != step:
            raise table.fault(
                row,
                spec.date,
                f"{days[row]} follows {days[before]}: {gap.days} days apart, not {step.days}",
                f"every {spec.period} needs its row; 'period' says how far apart rows are",
            )
    if len(order) > PERIODS_LIMIT:
        raise DataError(
            f"{len(order):,} periods; at most {PERIODS_LIMIT:,} are fitted",
            "keep recent ones",
            file=table.file,
        )
