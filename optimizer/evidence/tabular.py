"""Columns of a CSV or Parquet file as cells, each with its place, so that a fault can be named."""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..errors import DataError, SpecError

BYTES_LIMIT = 50_000_000
ROWS_LIMIT = 1_000_000
NUMBER_LIMIT = 1e15
BLANK = {"", "nan", "na", "n/a", "null", "none"}
NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d{1,4})?|inf(inity)?)", re.ASCII | re.IGNORECASE)

Wanted = Mapping[str, tuple[str | int, ...]]


@dataclass
class Table:
    """The columns a config names, as cells, with the place of each row in the file."""

    file: str
    cells: dict[str, list[Any]]
    places: list[int]
    is_text: bool

    def fault(self, row: int, column: str, message: str, hint: str) -> DataError:
        """Name a bad cell: by its line in a CSV, by its row in Parquet."""
        if self.is_text:
            return DataError(message, hint, path=(column,), line=self.places[row], file=self.file)
        return DataError(f"row {self.places[row]}: {message}", hint, path=(column,), file=self.file)


def read(path: Path, wanted: Wanted, limit: int | None = None) -> Table:
    """Read the wanted columns, each with the config field that names it; see `history.load_history`.

    Files of more than ``limit`` bytes are refused.
    """
    raw = _bytes(path, limit)
    if _is_parquet(path, raw):
        return _read_parquet(raw, str(path), wanted)
    return _read_csv(raw, str(path), wanted)


def columns(path: Path) -> list[str]:
    """Names of a file's columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw = _bytes(path)
    if not _is_parquet(path, raw):
        text = _text(raw, str(path))
        return next(csv.reader(io.StringIO(text, newline="")), [])
    try:
        return [str(name) for name in pq.ParquetFile(pa.BufferReader(raw)).schema_arrow.names]
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise _broken_parquet(error, str(path)) from None


def _is_parquet(path: Path, raw: bytes) -> bool:
    return raw[:4] == b"PAR1" or path.suffix.lower() in (".parquet", ".pq")


def _bytes(path: Path, limit: int | None = None) -> bytes:
    limit = BYTES_LIMIT if limit is None else limit
    try:
        size = path.stat().st_size
        if size > limit:
            raise DataError(
                f"the file has {size:,} bytes; at most {limit:,} are read",
                "keep one brand's rows and the columns the config names",
                file=str(path),
            )
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise DataError(reason[0].lower() + reason[1:], "check the path", file=str(path)) from None
    if not raw.strip():
        raise DataError("the file is empty", "export it again", file=str(path))
    return raw


def check_columns(header: Sequence[str], wanted: Wanted, file: str) -> None:
    """Raise unless every wanted column is there once."""
    for column, field in wanted.items():
        if column not in header:
            near = difflib.get_close_matches(column, header, n=3, cutoff=0.5) or list(header)[:12]
            if len(header) == 1 and ";" in header[0]:
                hint = "the file seems to be separated by semicolons: save it with commas"
            else:
                hint = f"columns are, among others: {', '.join(near)}"
            raise SpecError(f"{file} has no column '{column}'", hint, path=field)
        if header.count(column) > 1:
            raise DataError("the column stands twice in the file", "keep one", path=(column,), file=file)


def _text(raw: bytes, file: str) -> str:
    for what, start in (("a spreadsheet or zip file", b"PK\x03\x04"), ("compressed", b"\x1f\x8b")):
        if raw.startswith(start):
            raise DataError(f"the file is {what}, not CSV or Parquet", "save it as CSV, UTF-8", file=file)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError("the file is not UTF-8 text", "save it as CSV, UTF-8", line=line, file=file) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError("the file holds a NUL byte", "export it again as CSV, UTF-8", line=line, file=file)
    return text


def _read_csv(raw: bytes, file: str, wanted: Wanted) -> Table:
    text = _text(raw, file)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, places = [], []
    try:
        header = next(reader)
        check_columns(header, wanted, file)
        spots = {column: header.index(column) for column in wanted}
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise DataError(
                    f"the row has {len(row)} cells, the header {len(header)}",
                    "put text with commas in quotes, and write every cell",
                    line=reader.line_num,
                    file=file,
                )
            rows.append([row[spot] for spot in spots.values()])
            places.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"not CSV: {error}", "check the quotes", line=reader.line_num, file=file) from None
    _check_rows(len(rows), file)
    return Table(file, {column: [row[i] for row in rows] for i, column in enumerate(spots)}, places, True)


def _read_parquet(raw: bytes, file: str, wanted: Wanted) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        source = pq.ParquetFile(pa.BufferReader(raw))
        check_columns(list(source.schema_arrow.names), wanted, file)
        _check_rows(int(source.metadata.num_rows), file)
        content = source.read(columns=list(wanted))
        cells = {column: content.column(column).to_pylist() for column in wanted}
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise _broken_parquet(error, file) from None
    return Table(file, cells, list(range(1, len(cells[next(iter(wanted))]) + 1)), False)


def _broken_parquet(error: Exception, file: str) -> DataError:
    first = (str(error).strip().splitlines() or ["unreadable"])[0].rstrip(".")
    return DataError(f"not a whole Parquet file: {first}", "export it again", file=file)


def _check_rows(rows: int, file: str) -> None:
    if rows == 0:
        raise DataError("the file has column names and no rows", "export it again", file=file)
    if rows > ROWS_LIMIT:
        raise DataError(
            f"the file has {rows:,} rows; at most {ROWS_LIMIT:,} are read", "keep one brand's rows", file=file
        )


def cell_number(table: Table, row: int, column: str) -> float | None:
    """A cell as a number; None if it is blank."""
    cell = table.cells[column][row]
    if isinstance(cell, str):
        cell = cell.strip(" \t")
    if cell is None or (isinstance(cell, str) and cell.lower() in BLANK):
        return None
    if isinstance(cell, str):
        sound = NUMBER.fullmatch(cell) is not None
    else:
        sound = isinstance(cell, int | float | Decimal) and not isinstance(cell, bool)
    shown = f"'{str(cell)[:40]}'"
    if not sound:
        hint = "write numbers without separators, units or signs like % and $"
        raise table.fault(row, column, f"{shown} is not a number", hint)
    try:
        value = float(cell)
    except OverflowError:
        value = math.inf
    if math.isnan(value):
        return None
    if abs(value) > NUMBER_LIMIT:
        hint = f"numbers up to {NUMBER_LIMIT:.0e} are read"
        raise table.fault(row, column, f"{shown} is infinite or too large", hint)
    return value


def cell_day(table: Table, row: int, column: str) -> date:
    """A cell as a date."""
    cell = table.cells[column][row]
    try:
        moment = datetime.fromisoformat(cell.strip()) if isinstance(cell, str) else cell
    except ValueError:
        moment = None
    if isinstance(moment, datetime):
        if moment.time() != datetime.min.time():
            raise table.fault(row, column, f"{cell} is not a whole day", "write dates as 2026-01-31")
        moment = moment.date()
    if not isinstance(moment, date) or not 1900 <= moment.year <= 2200:
        raise table.fault(row, column, f"{str(cell)[:40]!r} is not a date", "write dates as 2026-01-31")
    return moment
