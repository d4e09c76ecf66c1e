"""A comparison as a workbook: live totals and shares, spend by period, and every table of its JSON."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..compare import TABLES, Comparison
from ..errors import DataError

# One date in every file: the same comparison gives the same bytes.
CREATED = datetime(2000, 1, 1)
ABOUT = {
    "summary": "Each scenario's plan; money over the horizon, value in its measure, KPIs as expected.",
    "differences": "Each KPI against the base's plan: low and high are the 90 % interval of the difference.",
    "moves": "Spend by line against the base's plan.",
    "flows": "What went from which line to which, in proportion to what each lost and gained.",
    "drivers": "What each change alone does to each KPI.",
    "regret": "Each plan under each scenario's assumptions: how much worse than the scenario's own plan.",
    "failed": "Scenarios without a plan.",
}
WIDEST, FIRST = 40, 3


class Book:
    """Sheets that hold text as text: nothing a file says is read as a formula or a link."""

    def __init__(self) -> None:
        import xlsxwriter

        self.buffer = io.BytesIO()
        plain = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
        self.book = xlsxwriter.Workbook(self.buffer, {"in_memory": True, **plain})
        self.book.set_properties({"created": CREATED})
        self.bold = self.book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        self.number = self.book.add_format({"num_format": "#,##0.00"})
        self.large = self.book.add_format({"num_format": "#,##0"})
        self.percent = self.book.add_format({"num_format": "0.0%"})
        self.grey = self.book.add_format({"italic": True, "font_color": "#595959"})

    def sheet(self, name: str, about: str, head: list[str], rows: list[list[Any]]) -> Any:
        """Add a sheet: what it is about, a blank row, a heading, rows; NaN and None stay empty."""
        sheet = self.book.add_worksheet(name)
        self.put(sheet, 0, 0, about, self.grey)
        for column, title in enumerate(head):
            self.put(sheet, FIRST - 1, column, title, self.bold)
        for index, row in enumerate(rows):
            for column, value in enumerate(row):
                self.put(sheet, FIRST + index, column, value, self.style(head[column], value))
        for column, title in enumerate(head):
            texts = [title, *(row[column] for row in rows if isinstance(row[column], str))]
            sheet.set_column(column, column, min(max(12, *map(len, texts)) + 1, WIDEST))
        sheet.freeze_panes(FIRST, 1)
        return sheet

    def style(self, column: str, value: Any) -> Any:
        """Return how a number in a column is shown; None as it is."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        if column.startswith(("share", "change", "p_better")):
            return self.percent
        return self.large if abs(value) >= 1000 else self.number if value == 0 or abs(value) >= 0.01 else None

    def put(self, sheet: Any, row: int, column: int, value: Any, style: Any = None) -> None:
        """Write one value as what it is.

        Raises
        ------
        DataError
            If it does not fit into a cell.
        """
        if value is None:
            return
        if isinstance(value, bool):
            failed = sheet.write_boolean(row, column, value, style)
        elif isinstance(value, int | float):
            failed = sheet.write_number(row, column, value, style)
        else:
            failed = sheet.write_string(row, column, str(value), style)
        if failed:
            raise DataError("a text or a table is too long for a workbook", "use the JSON or CSV files")

    def total(self, sheet: Any, rows: int, columns: Mapping[int, float]) -> None:
        """Add a row of live sums below ``rows`` rows; ``columns`` gives what each comes to."""
        from xlsxwriter.utility import xl_range

        self.put(sheet, FIRST + rows, 0, "Total", self.bold)
        for column, result in columns.items():
            area = xl_range(FIRST, column, FIRST + rows - 1, column)
            sheet.write_formula(FIRST + rows, column, f"=SUM({area})", self.large, result)

    def done(self) -> bytes:
        """Return the file."""
        self.book.close()
        return self.buffer.getvalue()


def workbook(comparison: Comparison, data: Mapping[str, Any]) -> bytes:
    """Return an xlsx file of a comparison.

    Parameters
    ----------
    comparison : Comparison
        The plans and their periods.
    data : mapping
        Its ``to_dict()``: every number in the tables is read from there.
    """
    book = Book()
    for name in TABLES:
        if data[name]:
            columns = list(data[name][0])
            rows = [[row[column] for column in columns] for row in data[name]]
            book.sheet(name.capitalize(), ABOUT[name], columns, rows)
    _allocation(book, data)
    _pacing(book, comparison)
    return book.done()


def _allocation(book: Book, data: Mapping[str, Any]) -> None:
    """Spend by line, a column a scenario, with live totals: a changed amount changes its total."""
    plans = {name: plan["spend"] for name, plan in data["plans"].items()}
    lines = list(dict.fromkeys(line for spend in plans.values() for line in spend))
    rows = [[line, *(spend.get(line, 0.0) for spend in plans.values())] for line in lines]
    about = f"{data['currency']} over the horizon, by line and scenario; totals follow what is changed here."
    sheet = book.sheet("Allocation", about, ["line", *plans], rows)
    totals = {column: sum(spend.values()) for column, spend in enumerate(plans.values(), start=1)}
    book.total(sheet, len(rows), totals)


def _pacing(book: Book, comparison: Comparison) -> None:
    """Spend by scenario, line and period, with live totals by row and by period."""
    from xlsxwriter.utility import xl_range

    plans = comparison.plans
    longest = max(plans.values(), key=lambda plan: plan.scenario.spec.horizon.periods)
    starts = longest.scenario.spec.horizon.starts
    rows: list[list[Any]] = []
    for name, plan in plans.items():
        for line, spend in zip(plan.by_period.index, plan.by_period.to_numpy(dtype=float).tolist(), strict=True):
            rows.append([name, line, *spend, *[None] * (len(starts) - len(spend))])
    # Scenarios need not begin on one day: their periods are counted.
    alike = all(
        plan.scenario.spec.horizon.starts == starts[: len(plan.by_period.columns)] for plan in plans.values()
    )
    titles = starts if alike else [f"period {number}" for number in range(1, len(starts) + 1)]
    about = f"{longest.scenario.spec.currency} by period (its first day); totals follow what is changed here."
    sheet = book.sheet("Pacing", about, ["scenario", "line", *titles, "total"], [[*row, None] for row in rows])
    last = len(starts) + 1
    for index, row in enumerate(rows):
        area = xl_range(FIRST + index, 2, FIRST + index, last)
        spent = sum(value for value in row[2:] if value is not None)
        sheet.write_formula(FIRST + index, last + 1, f"=SUM({area})", book.large, spent)
