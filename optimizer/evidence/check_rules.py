"""The rules a history is checked by; `checks` lists them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd

from ..curves import Floats
from . import tabular
from .check_data import CheckData, Level, each
from .history import STEP
from .tabular import Table, cell_day

# Periods at the end without spend from which a line counts as switched off.
OFF = 4
PROXY = 0.999


def _cells(data: CheckData) -> None:
    """Blank cells, negative spend and keys that are there twice, by a pandera schema."""
    import pandera.pandas as pa

    spec = data.spec
    frame = pd.DataFrame(data.numbers, index=range(len(data.table.places)))
    needed = _needed(data, frame)
    keys = ["date of the row"]
    frame[keys[0]] = pd.to_datetime(pd.Series(data.days, index=frame.index))
    if spec.long is not None and spec.long.line in data.table.cells:
        keys.append("line of the row")
        frame[keys[1]] = [str(cell) for cell in data.table.cells[spec.long.line]]
    spends = {column for _, column, _ in data.lines()}
    schema = pa.DataFrameSchema(
        {
            column: pa.Column(float, pa.Check.ge(0.0) if column in spends else None, nullable=not needed[column])
            for column in data.numbers
        }
    )
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        _report_cells(data, errors.failure_cases)
    dated = frame[frame[keys[0]].notna()]
    twice = dated.index[dated.duplicated(keys, keep="first")].tolist()
    if twice:
        label = f" for '{frame.loc[twice[0], keys[1]]}'" if len(keys) > 1 else ""
        hint = "keep one row of each; pick a series by 'filter', or state 'long' if each line has its row"
        message = f"{data.days[twice[0]]} stands twice{label}"
        data.add("error", "duplicate", message, hint, spec.date, twice)


def _needed(data: CheckData, frame: pd.DataFrame) -> dict[str, bool]:
    """Which columns may have no blanks; those with stated blanks get a note."""
    spec = data.spec
    stated = {str(line.spend): line.blank for line in spec.lines.values()}
    if spec.long is not None:
        # Whether a blank may stand there is said line by line.
        _blanks_by_line(data)
        stated = {}
    for kpi in spec.kpis.values():
        # A column shared by KPIs is read as the stricter has it.
        stated |= {column: kpi.blank and stated.get(column, kpi.blank) for column in kpi.columns}
    for column, blank in stated.items():
        if blank == "zero" and column in frame:
            _tell_blanks(data, column, np.flatnonzero(frame[column].isna()).tolist(), blank)
    by_line = spec.long.spend if spec.long is not None else None
    return {column: stated.get(column) != "zero" and column != by_line for column in frame.columns}


def _blanks_by_line(data: CheckData) -> None:
    for name, column, rows in data.lines():
        blank = [row for row in rows if column in data.numbers and np.isnan(data.numbers[column][row])]
        _tell_blanks(data, column, blank, data.spec.lines[name].blank)


def _tell_blanks(data: CheckData, column: str, rows: list[int], stated: str | None) -> None:
    """Blank cells: a note where the config states what they are. What cannot be read was told already."""
    rows = [row for row in rows if (column, row) not in data.unread]
    if rows and stated == "zero":
        data.add("note", "blank", f"blanks ({len(rows)}) are read as 0, as 'blank: zero' asks", "", column, rows)
    elif rows:
        hint = "fill it in; a line or KPI may state 'blank: zero' where it means none was spent or counted"
        data.add("error", "blank", "the cell is blank (NaN)", hint, column, rows)


def _report_cells(data: CheckData, cases: pd.DataFrame) -> None:
    for (column, kind), group in cases.groupby(["column", "check"], sort=False):
        rows = sorted(int(row) for row in group["index"])
        if kind != "not_nullable":
            message = f"negative spend {data.numbers[column][rows[0]]:g}"
            data.add("error", "negative", message, "book refunds and credits elsewhere", column, rows)
        else:
            _tell_blanks(data, str(column), rows, None)


def _time(data: CheckData) -> None:
    """Gaps and weeks that begin on another day."""
    step = STEP[data.spec.period]
    first: dict[date, int] = {}
    for row in data.dated:
        first.setdefault(_day(data, row), row)
    days = sorted(first)
    if data.spec.period == "week" and days:
        weekdays = [day.weekday() for day in days]
        usual = max(sorted(set(weekdays)), key=weekdays.count)
        off = [first[day] for day in days if day.weekday() != usual]
        if off:
            name = f"{days[weekdays.index(usual)]:%A}"
            message = f"{_day(data, off[0])} is a {_day(data, off[0]):%A}; most weeks begin on a {name}"
            data.add("error", "alignment", message, "every week begins on the same day", data.spec.date, off)
            days = [day for day in days if day.weekday() == usual]
    late = [after for before, after in itertools.pairwise(days) if after - before > step]
    if late:
        before = days[days.index(late[0]) - 1]
        away = (late[0] - before).days
        message = f"{late[0]} follows {before}: {away} days apart, not {step.days}"
        hint = f"every {data.spec.period} needs its row; 'period' says how far apart rows are"
        data.add("error", "gap", message, hint, data.spec.date, [first[day] for day in late])


def _day(data: CheckData, row: int) -> date:
    day = data.days[row]
    assert day is not None
    return day


def _long(data: CheckData) -> None:
    """Long files: dates that a line has no row for, KPIs that differ within a date."""
    if data.spec.long is None:
        return
    days = sorted({_day(data, row) for row in data.dated})
    used: set[int] = set()
    for name, _, rows in data.lines():
        used |= set(rows)
        if not rows:
            message = f"no row has '{data.spec.lines[name].rows}', the rows of line '{name}'"
            data.add("error", "schema", message, "check its label", data.spec.long.line)
        own = {_day(data, row) for row in rows}
        missing = [day for day in days if day not in own]
        blank = data.spec.lines[name].blank
        if missing and rows:
            level: Level = "note" if blank == "zero" else "error"
            hint = "" if blank == "zero" else f"add them, or state 'blank: zero' for line '{name}'"
            message = f"'{name}' has no row on {missing[0]}" + (
                f" and {len(missing) - 1} more" * (len(missing) > 1)
            )
            data.add(level, "gap", message, hint, data.spec.long.line)
    first: dict[date, int] = {}
    for row in (row for row in data.dated if row in used):
        first.setdefault(_day(data, row), row)
    for column in [c for kpi in data.spec.kpis.values() for c in kpi.columns] + [
        *data.spec.controls,
        *data.spec.event_columns.values(),
    ]:
        cells = data.table.cells.get(column)
        odd = [row for row in sorted(used) if cells and str(cells[row]) != str(cells[first[_day(data, row)]])]
        if odd:
            message = f"differs within {_day(data, odd[0])}"
            data.add("error", "same", message, "one value a date, in all its rows", column, odd)


def _lines(data: CheckData) -> None:
    """Lines never on, always the same, or switched off."""
    for name, column, rows in data.lines():
        spend = np.nan_to_num(data.numbers[column][rows])
        on = np.flatnonzero(spend > 0)
        if not len(spend):
            continue
        if not len(on):
            message = f"line '{name}' has no spend in any {data.spec.period}"
            data.add("error", "constant", message, "leave it out", column)
            continue
        quiet = len(spend) - 1 - int(on[-1])
        if quiet >= OFF:
            message = f"line '{name}' is off since {_day(data, rows[on[-1] + 1])}, for {quiet} {data.spec.period}s"
            hint = "is it switched off, or is its spend missing? what it would do now is not in recent data"
            data.add("warning", "off", message, hint, column, rows[int(on[-1]) + 1 :])
        if np.ptp(spend[on]) <= 1e-9 * spend[on].max():
            message = f"line '{name}' always spends {spend[on[0]]:g} where it is on"
            data.add("warning", "fixed", message, "its curve cannot be seen in these data", column)


def _kpis(data: CheckData) -> None:
    """KPIs and controls that never vary, ratios above 1, controls that are a KPI in disguise."""
    series = {name: data.kpi(name) for name in data.spec.kpis}
    found = {name: values for name, values in series.items() if values is not None}
    for name, values in [*found.items(), *((c, data.numbers[c]) for c in data.spec.controls if c in data.numbers)]:
        known = values[np.isfinite(values)]
        if len(known) and np.ptp(known) <= 1e-12 * np.abs(known).max():
            kind = "KPI" if name in found else "control"
            column = data.spec.kpis[name].columns[0] if name in found else name
            data.add("error", "constant", f"{kind} '{name}' never varies", "check its column", column)
    for name, most in data.spec.checks.at_most.items():
        if name in found and most in found:
            above = np.flatnonzero(found[name] > found[most]).tolist()
            if above:
                one, other = found[name][above[0]], found[most][above[0]]
                message = f"{name} ({one:g}) is above {most} ({other:g}), which can never be"
                hint = "is one counted on other days, or twice?"
                data.add("error", "ratio", message, hint, data.spec.kpis[name].columns[0], above)
    for control in data.spec.controls:
        for name, values in found.items():
            if control in data.numbers and _alike(data.numbers[control], values):
                message = f"control '{control}' moves exactly as KPI '{name}' does"
                hint = "known only afterwards, it would take the lines' effect away: leave it out"
                data.add("warning", "proxy", message, hint, control)


def _alike(one: Floats, other: Floats) -> bool:
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < 3 or np.ptp(one[both]) == 0 or np.ptp(other[both]) == 0:
        return False
    return bool(abs(np.corrcoef(one[both], other[both])[0, 1]) > PROXY)


def _currency(data: CheckData) -> None:
    column = data.spec.checks.currency
    if column is None or column not in data.table.cells:
        return
    cells = [str(cell).strip() for cell in data.table.cells[column]]
    odd = [row for row, cell in enumerate(cells) if cell != data.spec.currency]
    if odd:
        message = f"'{cells[odd[0]]}', not {data.spec.currency}"
        data.add("error", "currency", message, "convert them, or keep one currency by 'filter'", column, odd)


def _leakage(data: CheckData) -> None:
    """What nobody could know at the decision; and data that end long before it."""
    later = [row for row in data.dated if _day(data, row) > data.decision]
    if later:
        message = f"{_day(data, later[0])} is after the decision on {data.decision}"
        data.add("error", "leakage", message, "leave out what is not known yet", data.spec.date, later)
    for name, column in data.spec.checks.recorded.items():
        if column in data.table.cells:
            days = each(data, column, range(len(data.table.places)), _recorded)
            late = [row for row, day in enumerate(days) if day is not None and day > data.decision]
            if late:
                message = f"'{name}' was recorded on {days[late[0]]}, after the decision on {data.decision}"
                data.add("error", "leakage", message, "use what was known then", column, late)
    if data.dated:
        last, step = _day(data, data.dated[-1]), STEP[data.spec.period]
        old = (data.decision - (last + step)) // step
        if old >= data.spec.checks.fresh:
            message = f"the data end with {last}, {old} {data.spec.period}s before {data.decision}"
            data.add("warning", "fresh", message, "add what has come since", data.spec.date)


def _recorded(table: Table, row: int, column: str) -> date | None:
    """A cell as a date; None if it is blank."""
    cell = table.cells[column][row]
    if cell is None or (isinstance(cell, str) and cell.strip().lower() in tabular.BLANK):
        return None
    return cell_day(table, row, column)


RULES: tuple[Callable[[CheckData], None], ...] = (_cells, _time, _long, _lines, _kpis, _currency, _leakage)
