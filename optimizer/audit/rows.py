"""The columns of a data file that an audit asks for, under the names it uses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ..evidence.tabular import Table, cell_day, cell_number, read

TEXT, DAY, NUMBER = "text", "day", "number"
# What each name that audits use holds.
KINDS = {"date": DAY, "test": TEXT, "arm": TEXT, "segment": TEXT, "period": TEXT}


def load(file: Path, columns: Mapping[str, str | None]) -> pd.DataFrame:
    """Read a CSV or Parquet file.

    Parameters
    ----------
    file : Path
    columns : mapping
        The file's column by the name an audit uses; None is left out.

    Raises
    ------
    DataError, SpecError
        If the file cannot be read, a column is not there, or a cell is blank or no such value; with its place.
    """
    asked = {name: column for name, column in columns.items() if column is not None}
    table = read(file, {column: (f"--{name}",) for name, column in asked.items()})
    return pd.DataFrame({name: _values(table, name, column) for name, column in asked.items()})


def _values(table: Table, name: str, column: str) -> list[object]:
    kind = KINDS.get(name, NUMBER)
    found: list[object] = []
    for row in range(len(table.places)):
        value: object
        if kind == DAY:
            value = cell_day(table, row, column)
        elif kind == NUMBER:
            value = cell_number(table, row, column)
        else:
            cell = table.cells[column][row]
            value = str(cell).strip() if cell is not None and str(cell).strip() else None
        if value is None:
            raise table.fault(row, column, "the cell is blank", "fill it or leave the row out: nothing is guessed")
        found.append(value)
    return found
