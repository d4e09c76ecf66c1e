"""The columns of a data file that an audit asks for, under the names it uses.

Sound files, which may have a million rows, are read whole by Arrow. Where that fails, or a cell is not what it
must be, the file is read again cell by cell, so that the fault has its place.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import SpecError
from ..evidence.tabular import NUMBER_LIMIT, ROWS_LIMIT, Table, cell_day, cell_number, read

if TYPE_CHECKING:
    import pyarrow as pa

TEXT, DAY, NUMBER = "text", "day", "number"
# What each name that audits use holds.
KINDS = {"date": DAY} | dict.fromkeys(("test", "arm", "segment", "period", "line", "unit", "group"), TEXT)
# A million rows of a dozen columns.
BYTES_LIMIT = 300_000_000


def load(file: Path, columns: Mapping[str, str | None], where: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV or Parquet file.

    Parameters
    ----------
    file : Path
    columns : mapping
        The file's column by the name an audit uses; None is left out.
    where : sequence of str
        ``COLUMN=VALUE``: only rows with that text in that column, for files that hold several brands.

    Raises
    ------
    DataError, SpecError
        If the file cannot be read, a column is not there, or a cell is blank or no such value; with its place.
    """
    asked = {name: column for name, column in columns.items() if column is not None}
    picked = dict(_condition(text) for text in where)
    found = _fast(file, asked, picked)
    if found is not None:
        return found
    fields = dict.fromkeys(picked, ("--where",)) | {c: (f"--{name}",) for name, c in asked.items()}
    table = read(file, fields, BYTES_LIMIT)
    rows = [
        row
        for row in range(len(table.places))
        if all(str(table.cells[column][row]).strip() == value for column, value in picked.items())
    ]
    if not rows:
        said = " and ".join(f"{column}={value}" for column, value in picked.items())
        raise SpecError(f"{file} has no row with {said}", "check the value, its case too", path=("--where",))
    return pd.DataFrame({name: _values(table, name, column, rows) for name, column in asked.items()})


def _condition(text: str) -> tuple[str, str]:
    column, sign, value = text.partition("=")
    if not sign or not column:
        raise SpecError(f"'{text}' names no column and value", "write COLUMN=VALUE", path=("--where",))
    return column, value.strip()


def _fast(file: Path, asked: Mapping[str, str], picked: Mapping[str, str]) -> pd.DataFrame | None:
    """The columns as Arrow reads them; None where a cell must be looked at by itself."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        table = _arrow(file, list(dict.fromkeys([*asked.values(), *picked])))
        for column, value in picked.items():
            table = table.filter(pc.equal(pc.utf8_trim_whitespace(table.column(column)), value))
        if not 0 < table.num_rows <= ROWS_LIMIT:
            return None
        found = {name: _column(table.column(column), KINDS.get(name, NUMBER)) for name, column in asked.items()}
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError):
        return None
    return pd.DataFrame(found)


def _arrow(file: Path, names: list[str]) -> pa.Table:
    """Columns of a CSV, all as text, or of a Parquet file."""
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    if file.stat().st_size > BYTES_LIMIT:
        raise ValueError("too large")
    raw = file.read_bytes()
    if raw[:4] == b"PAR1":
        return pq.read_table(pa.BufferReader(raw), columns=names)
    header = next(csv.reader(io.StringIO(raw.partition(b"\n")[0].decode("utf-8-sig"), newline="")), [])
    if b"\0" in raw or any(header.count(name) != 1 for name in names):
        raise ValueError("to be told by its place")
    return pc.read_csv(
        pa.BufferReader(raw),
        parse_options=pc.ParseOptions(newlines_in_values=True),
        convert_options=pc.ConvertOptions(
            include_columns=names, column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )


def _column(values: pa.ChunkedArray, kind: str) -> pd.Series:
    """One column as `_values` gives it; raises ValueError where a cell may be no such value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if values.null_count or pa.types.is_boolean(values.type):
        raise ValueError("blank cells")
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        values = pc.utf8_trim_whitespace(values)
    elif kind == TEXT:
        raise ValueError("not text")
    if kind == TEXT:
        if pc.any(pc.equal(values, "")).as_py():
            raise ValueError("blank cells")
        return values.to_pandas().astype(object)
    if kind == NUMBER:
        numbers = values.cast(pa.float64()).to_pandas()
        if not (numbers.abs() <= NUMBER_LIMIT).all():
            raise ValueError("no number")
        return numbers
    days: Any = values.cast(pa.date32())
    if not pa.types.is_string(values.type) and (
        not pa.types.is_temporal(values.type) or not days.cast(values.type).equals(values)
    ):
        raise ValueError("no whole days")
    years = pc.min_max(pc.year(days)).as_py()
    if not 1900 <= years["min"] <= years["max"] <= 2200:
        raise ValueError("no date")
    return days.to_pandas(date_as_object=True)


def _values(table: Table, name: str, column: str, rows: Sequence[int]) -> list[object]:
    kind = KINDS.get(name, NUMBER)
    found: list[object] = []
    for row in rows:
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
