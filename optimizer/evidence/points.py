"""Import an ad platform's budget simulator: for each campaign, what it says some budgets would bring (CSV).

One row a campaign and budget: columns ``campaign``, ``budget`` and any of ``clicks``, ``conversions``, ``value``.
A column ``current`` may mark each campaign's present budget with ``yes``. Between two budgets, and from nothing to
the lowest, the response is a straight line; beyond the highest it is level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..curves import FAMILIES, Floats
from ..errors import DataError
from ..response import ResponseModel
from . import imported
from .imported import Import
from .recompute import Recomputation, by_period, compare
from .tabular import BLANK, Table, cell_number, columns
from .tabular import read as read_table

KPIS = ("clicks", "conversions", "value")
CURRENT = "current"
YES, NO = {"yes", "true", "1"}, {"no", "false", "0", *BLANK}
# As many as a curve written out in a scenario may have.
POINTS_LIMIT = 1000


def read(path: str | Path, *, currency: str, period: Literal["day", "week"]) -> Import:
    """Read a budget simulator's points.

    Parameters
    ----------
    path : path
        CSV (UTF-8, commas) or Parquet.
    currency : str
        Of the budgets, and of ``value``.
    period : "day" or "week"
        What the budgets and their effects are for.

    Raises
    ------
    DataError
        If a cell is not usable, an effect falls as the budget grows, or a campaign has a budget twice; with the
        line of the file.
    """
    path = Path(path)
    header = columns(path)
    kpis = [name for name in KPIS if name in header]
    if not kpis:
        # A file that is no such table at all says so first.
        read_table(path, {"campaign": (), "budget": ()})
        raise DataError(f"none of the columns {', '.join(KPIS)}", "give at least one of them", file=str(path))
    more = [CURRENT] if CURRENT in header else []
    table = read_table(path, dict.fromkeys(("campaign", "budget", *kpis, *more), ()))
    rows = _rows(table)
    lines = list(rows)
    most = max(len(found) for found in rows.values())
    points = np.full((len(kpis), len(lines), most, 2), np.nan)
    for i, found in enumerate(rows.values()):
        for k, kpi in enumerate(kpis):
            points[k, i, : len(found)] = _curve(table, found, kpi)
    budgets = [points[0, i, : len(found), 0] for i, found in enumerate(rows.values())]
    current, marked = _current(table, rows)
    model = _model(kpis, lines, points, budgets, period)
    notes = [
        "The points are the platform's own estimates, each campaign by itself, without doubt or carry-over.",
        "What comes without these campaigns is not in the file: it counts as 0.",
    ]
    unmarked = [line for line, known in zip(lines, marked, strict=True) if not known]
    if unmarked:
        notes.append(f"No present budget is marked; a middle one is taken instead: {', '.join(unmarked)}.")
    falling = model.concave()
    bent = sorted({lines[i] for k, i in np.argwhere(~falling)})
    if bent:
        notes.append(f"Returns do not fall throughout (from 0 to the lowest budget included): {', '.join(bent)}.")
    about = imported.origin("budget simulator points", {"points": path}, currency=currency)
    model = replace(model, notes=tuple(notes), attributes=about)
    return Import(
        source="budget simulator points",
        model=model,
        checks=tuple(_recompute(model, points, str(path))),
        current=current,
        currency=currency,
        units={kpi: currency if kpi == "value" else kpi for kpi in kpis},
        attributes={line: {"campaign": line} for line in lines},
        read={"campaigns": len(lines), "points": sum(len(found) for found in rows.values())},
    )


def _rows(table: Table) -> dict[str, list[int]]:
    """Rows by campaign, in order of budget."""
    found: dict[str, list[int]] = {}
    budget = [_number(table, row, "budget") for row in range(len(table.places))]
    for row in sorted(range(len(budget)), key=budget.__getitem__):
        name = str(table.cells["campaign"][row]).strip()
        if not name or len(name) > 100 or "\n" in name or "\r" in name:
            raise table.fault(row, "campaign", "the campaign has no usable name", "1 to 100 characters, one line")
        before = found.setdefault(name, [])
        if before and budget[before[-1]] == budget[row]:
            what = f"'{name}' has the budget {budget[row]:g} twice"
            raise table.fault(row, "budget", what, "keep one row of each")
        before.append(row)
        if len(before) > POINTS_LIMIT:
            raise table.fault(row, "budget", f"'{name}' has more than {POINTS_LIMIT:,} points", "keep fewer")
    for name, rows in found.items():
        if budget[rows[-1]] == 0:
            raise table.fault(rows[0], "budget", f"'{name}' has no budget above 0", "give more points")
    first = {str(name).strip(): row for row, name in reversed(list(enumerate(table.cells["campaign"])))}
    return dict(sorted(found.items(), key=lambda item: first[item[0]]))


def _number(table: Table, row: int, column: str) -> float:
    value = cell_number(table, row, column)
    if value is None:
        raise table.fault(row, column, "the cell is blank (NaN)", "leave out the row or the column")
    if value < 0:
        raise table.fault(row, column, f"{value:g} is negative", "budgets and effects are 0 or more")
    return value


def _curve(table: Table, rows: list[int], kpi: str) -> Floats:
    """Points of one campaign and KPI: (P, 2). A first one at (0, 0) is kept out: every curve starts there."""
    found = np.array([[_number(table, row, "budget"), _number(table, row, kpi)] for row in rows])
    for before, effect, row in zip([0.0, *found[:-1, 1]], found[:, 1], rows, strict=True):
        if effect < before:
            what = f"{kpi} fall from {before:g} to {effect:g} as the budget grows"
            raise table.fault(row, kpi, what, "more budget never brings less; leave out the row")
    if found[0, 0] == 0:
        if found[0, 1] > 0:
            raise table.fault(rows[0], kpi, f"{found[0, 1]:g} {kpi} without a budget", "leave out the row")
        # Left as it is the first piece would have no length.
        found = np.vstack([found[1:], np.full((1, 2), np.nan)])
    return found


def _current(table: Table, rows: dict[str, list[int]]) -> tuple[Floats, list[bool]]:
    """Present budget by campaign, the middle one where none is marked; and whether one is."""
    found, known = [], []
    for name, its in rows.items():
        marked = []
        for row in its if CURRENT in table.cells else []:
            text = str(table.cells[CURRENT][row] if table.cells[CURRENT][row] is not None else "").strip().lower()
            if text not in YES | NO:
                raise table.fault(row, CURRENT, f"'{text[:40]}' is neither yes nor no", "write yes or no")
            marked += [row] if text in YES else []
        if len(marked) > 1:
            raise table.fault(marked[1], CURRENT, f"'{name}' has two present budgets", "mark one")
        row = marked[0] if marked else its[len(its) // 2]
        found.append(_number(table, row, "budget"))
        known.append(bool(marked))
    return np.array(found), known


def _model(
    kpis: list[str], lines: list[str], points: Floats, budgets: list[Floats], period: Literal["day", "week"]
) -> ResponseModel:
    cell, by_draw = (len(kpis), len(lines)), (1, len(kpis), len(lines))
    return ResponseModel(
        kpis=tuple(kpis),
        lines=tuple(lines),
        family=np.full(cell, FAMILIES["points"].code, dtype=np.int64),
        scale=np.ones(by_draw),
        first=np.ones(by_draw),
        second=np.ones(by_draw),
        rate=np.zeros(by_draw),
        length=np.ones(cell, dtype=np.int64),
        normalised=np.ones(cell, dtype=bool),
        baseline=np.zeros((1, len(kpis), 1)),
        observed=np.array([[np.nanmin(each), np.nanmax(each)] for each in budgets]),
        history=np.zeros((len(lines), 0)),
        points=points,
        period=period,
    )


def _recompute(model: ResponseModel, points: Floats, file: str) -> list[Recomputation]:
    """Compare at every budget with what the platform said."""
    checks = []
    for k, kpi in enumerate(model.kpis):
        for i, line in enumerate(model.lines):
            known = points[k, i][np.isfinite(points[k, i, :, 0])]
            budgets = known[:, 0]
            ours = by_period(model, kpi, line, budgets)
            name = _budget(budgets)
            checks.append(compare(ours, known[None, :, 1], (kpi, line), "the platform's estimate", name, file))
    return checks


def _budget(budgets: Floats) -> Callable[[tuple[int, ...]], str]:
    return lambda index: f"budget {budgets[index[1]]:g}"
