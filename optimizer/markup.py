"""HTML that notebooks show for results: a heading, lines of text and tables, all text escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

DASH = "–"
# Rows of a table that a notebook shows; the rest is counted.
ROWS = 30
# Columns about these are shares, shown in percent.
SHARES = ("change", "share", "p_better")


@dataclass(frozen=True)
class Block:
    """A table with its caption; ``signed`` columns are differences and show their sign."""

    caption: str
    table: pd.DataFrame
    signed: Sequence[str] = ()


def card(title: str, lines: Sequence[str], blocks: Sequence[Block]) -> str:
    """Return a result as HTML: its name, some sentences, and tables that are not empty."""
    parts = [f"<strong>{html.escape(title)}</strong>"]
    parts += [f"<p>{html.escape(line)}</p>" for line in lines]
    parts += [_table(block) for block in blocks if len(block.table)]
    return f"<div>{''.join(parts)}</div>"


def _table(block: Block) -> str:
    table = block.table.iloc[:ROWS].reset_index(allow_duplicates=True)
    head = "".join(f'<th scope="col">{html.escape(str(name))}</th>' for name in table.columns)
    rows = []
    for row in table.itertuples(index=False, name=None):
        cells = [_cell(value, str(name), block.signed) for name, value in zip(table.columns, row, strict=True)]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    more = len(block.table) - len(table)
    rest = f"<p>and {more} more rows</p>" if more else ""
    caption = f"<caption>{html.escape(block.caption)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{rest}"


def _cell(value: object, column: str, signed: Sequence[str]) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = DASH if value is None else str(value)
        return f'<td style="text-align: left">{html.escape(text)}</td>'
    share = column.startswith(SHARES)
    text = figure(100.0 * value if share else value, column in signed) + (" %" if share else "")
    return f"<td>{text if math.isfinite(value) else DASH}</td>"


def figure(value: float, signed: bool = False) -> str:
    """Write a number: whole with separators from 1,000 up, four significant digits below.

    >>> figure(1234.5), figure(0.08), figure(12.0, signed=True), figure(float("nan"))
    ('1,234', '0.08', '+12', '–')
    """
    if not math.isfinite(value):
        return DASH
    sign = "+" if signed and value > 0 else ""
    return f"{sign}{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{sign}{value + 0.0:.4g}"
