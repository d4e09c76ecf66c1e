"""A plan as a workbook: live totals, spend by period, and the tables of its JSON."""

from __future__ import annotations

from typing import Any

from .view import View
from .workbook import FIRST, Book

Row = dict[str, Any]
# Tables of plan.json as they are, with what the sheet is about.
SHEETS = {
    "outcomes": "Each KPI today and under the plan; low and high are its interval, empty where it has none.",
    "effects": "What each line's spend brings of each KPI; returns are per 1,000 of currency, costs for one unit.",
    "rules": "Rules and guardrails: the room left, whether they bind, and what loosening them brings.",
    "robustness": "How bad KPIs may get: 5 % of draws are worse than 'bad'; 'cvar' is the worst tenth's mean.",
    "targets": "Targets held against today and the plan.",
    "claims": "What was claimed, and what the model gives.",
}


def plan_workbook(view: View) -> bytes:
    """Return an xlsx file of a plan, and of its front where there is one; every number is one of the JSON's."""
    book = Book()
    _allocation(book, view)
    _pacing(book, view)
    for name, about in SHEETS.items():
        if view.data[name]:
            _table(book, name.capitalize(), about, view.data[name])
    if view.data["decision"]["moves"]:
        about = f"What to move, {view.currency}; the decision level is {view.data['decision']['level']}."
        _table(book, "Moves", about, view.data["decision"]["moves"])
    if view.data["outlook"]:
        points = view.data["outlook"]["points"]
        columns = list(dict.fromkeys(key for row in points for key in row))
        _table(
            book,
            "Budgets",
            "The best plan at each budget.",
            [{key: r.get(key) for key in columns} for r in points],
        )
    if view.front_data:
        _table(book, "Front", "Plans of the front: KPIs, then spend by line.", view.front_data["points"])
    made = [{"what": "scenario", "is": view.data["scenario"]}, {"what": "hash", "is": view.data["scenario_hash"]}]
    made += [{"what": name, "is": version} for name, version in view.data["versions"].items()]
    _table(book, "Made with", view.proof, made)
    return book.done()


def _table(book: Book, name: str, about: str, rows: list[Row]) -> None:
    columns = list(rows[0])
    book.sheet(name, about, columns, [[row[column] for column in columns] for row in rows])


def _allocation(book: Book, view: View) -> None:
    """Spend by line with live differences and totals: a changed amount changes them."""
    from xlsxwriter.utility import xl_rowcol_to_cell

    rows = [
        [row["line"], row["current"], row["plan"], None, row["share"], row["stopped_by"]] for row in view.lines
    ]
    about = f"{view.currency} over the horizon; differences and totals follow what is changed here."
    sheet = book.sheet("Allocation", about, ["line", "current", "plan", "difference", "share", "stopped_by"], rows)
    for index, row in enumerate(view.lines):
        before, after = (xl_rowcol_to_cell(FIRST + index, column) for column in (1, 2))
        sheet.write_formula(FIRST + index, 3, f"={after}-{before}", book.large, row["difference"])
    totals = view.totals
    book.total(sheet, len(rows), {1: totals["current"], 2: totals["plan"], 3: totals["difference"]})


def _pacing(book: Book, view: View) -> None:
    """Spend by line and period, with live totals by line and by period."""
    from xlsxwriter.utility import xl_range

    pacing = view.data["pacing"]
    starts, spend = pacing["periods"], pacing["spend"]
    rows = [[line, *by_period, None] for line, by_period in spend.items()]
    about = f"{view.currency} by period (its first day); totals follow what is changed here."
    sheet = book.sheet("Pacing", about, ["line", *starts, "total"], rows)
    for index, by_period in enumerate(spend.values()):
        area = xl_range(FIRST + index, 1, FIRST + index, len(starts))
        sheet.write_formula(FIRST + index, len(starts) + 1, f"=SUM({area})", book.large, sum(by_period))
    columns = {place + 1: sum(row[place] for row in spend.values()) for place in range(len(starts))}
    book.total(sheet, len(rows), {**columns, len(starts) + 1: sum(map(sum, spend.values()))})
