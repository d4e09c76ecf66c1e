"""The columns of an accounts file, and their cells as numbers: one, several (by draw, or points), or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .rules import RulesSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NAMES = ("account", "line")
# One number a row, and one a row that is the same in all rows of an account.
NUMBERS = ("current", "min", "max", "observed_low", "observed_high", "data_quality")
ACCOUNT_TEXTS = ("tier", "currency", "guardrail")
REQUIRED = ("account", "line", "current")
CURVE = ("kind", "scale", "half", "knee", "slope", "exponent", "spend", "effect")


def check_columns(names: Sequence[str], rules: RulesSpec, file: str) -> None:
    """Refuse a file whose columns cannot be what the rules speak of.

    Raises
    ------
    DataError
        For a column that is missing, comes twice, or looks like a curve's and is none.
    """
    for name in names:
        if list(names).count(name) > 1:
            raise DataError(f"the column '{name}' comes twice", "keep one of them", file=file)
    needed = [*REQUIRED, *(["tier"] if rules.tiers else []), *(f"{kpi}.kind" for kpi in rules.kpis)]
    for name in needed:
        if name not in names:
            raise DataError(
                f"the column '{name}' is missing", f"the columns there are: {', '.join(names)}", file=file
            )
    for name in names:
        kpi, dot, part = name.rpartition(".")
        if dot and kpi in rules.kpis and part not in CURVE:
            raise DataError(
                f"the column '{name}' is no part of a curve",
                f"parts are: {', '.join(CURVE)}; names of attributes hold no dot",
                file=file,
            )
        if dot and kpi not in rules.kpis and part in CURVE:
            raise DataError(
                f"the column '{name}' is of a KPI the rules do not know",
                f"add '{kpi}' to the rules' kpis, or leave the column out",
                file=file,
            )


def attributes(names: Sequence[str]) -> list[str]:
    """The columns that rules may select lines by."""
    known = {*NAMES, *NUMBERS, *ACCOUNT_TEXTS}
    return [name for name in names if name not in known and name.rpartition(".")[2] not in CURVE]


@dataclass(frozen=True)
class Numbers:
    """The numbers of a column: those of row ``r`` are ``values[at[r]:at[r + 1]]``; what is no number is NaN."""

    values: Floats
    at: Ints

    @property
    def counts(self) -> Ints:
        """How many each row has: (R,)."""
        return np.diff(self.at)

    def single(self) -> tuple[Floats, NDArray[np.bool_]]:
        """The only number of each row (R,), NaN where there is none, and which rows are empty or have several."""
        counts = self.counts
        found = np.full(len(counts), np.nan)
        one = counts == 1
        found[one] = self.values[self.at[:-1][one]]
        return found, ~one


def texts(table: Any, name: str) -> Any:
    """A column as strings, nulls as empty text; empty text throughout where there is no such column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if name not in table.column_names:
        return pa.array([""] * table.num_rows, pa.string())
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not pa.types.is_string(column.type):
        try:
            column = column.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise DataError(f"the column '{name}' must hold text, not {column.type}", "mend the file") from None
    return pc.fill_null(column, "").combine_chunks()


def numbers(table: Any, name: str) -> Numbers:
    """A column's numbers: of a number column, of a list column, or of text with numbers between semicolons."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = table.num_rows
    if name not in table.column_names:
        return Numbers(np.zeros(0), np.zeros(rows + 1, np.int64))
    column = table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = pc.utf8_trim_whitespace(column)
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
        column = pc.split_pattern(column, ";")
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        at = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Numbers(_floats(column.flatten(), name), at)
    there = column.is_valid().to_numpy(zero_copy_only=False)
    at = np.concatenate([[0], np.cumsum(there)]).astype(np.int64)
    return Numbers(_floats(column.drop_null(), name), at)


def _floats(array: Any, name: str) -> Floats:
    import pandas as pd
    import pyarrow as pa

    if pa.types.is_boolean(array.type) or not (
        pa.types.is_string(array.type)
        or pa.types.is_large_string(array.type)
        or pa.types.is_integer(array.type)
        or pa.types.is_floating(array.type)
        or pa.types.is_decimal(array.type)
        or pa.types.is_null(array.type)
    ):
        raise DataError(f"the column '{name}' must hold numbers, not {array.type}", "mend the file")
    try:
        cast = array.cast(pa.float64(), safe=False)
    except pa.ArrowInvalid:
        return np.asarray(pd.to_numeric(array.to_pandas(), errors="coerce"), dtype=float)
    return np.array(cast.to_numpy(zero_copy_only=False), dtype=float)
