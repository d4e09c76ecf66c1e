"""Find the first row of a ledger that was altered."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .chain import BLOCK, COLUMNS, Verification, digest
from .schema import GENESIS, rows
from .schema import head as heads


def verify(connection: Connection, head: str | None) -> Verification:
    """Check each row against its hash and the row before it, the last against the head record."""
    count, before = 0, GENESIS
    passed = head is None or head == GENESIS
    # By the rows themselves: an index that was altered must hide none of them.
    query = sa.select(*(rows.c[name] for name in COLUMNS)).order_by(rows.c.seq)
    try:
        for row in connection.execute(query.execution_options(yield_per=BLOCK)):
            fault = _fault(tuple(row), count, before)
            if fault is not None:
                return Verification(count, before, *fault)
            count, before = row.seq, row.hash
            passed = passed or before == head
        end = connection.execute(sa.select(heads.c.seq, heads.c.hash)).one()
        damage = _damage(connection)
    except sa.exc.DatabaseError as error:
        reason = str(error.orig).strip().splitlines()[0]
        return Verification(count, before, count + 1, f"row {count + 1} or one after it cannot be read: {reason}")
    if end.seq != count or end.hash != before:
        return Verification(count, before, *_at_the_end(count, end))
    if not passed:
        return Verification(count, before, None, "the hash noted earlier is not in the chain: it was rewritten")
    return Verification(count, before, None, damage)


def _fault(row: tuple[Any, ...], count: int, before: str) -> tuple[int, str] | None:
    """The number of an altered row and what is wrong with it."""
    seq, previous, found = row[0], row[-2], row[-1]
    expected = count + 1
    if seq != expected:
        if seq < expected:
            return seq, f"row {seq} has a number that was not given"
        return expected, f"row {expected} is missing: {seq} follows {count}"
    if not all(isinstance(value, str) for value in row[1:]) or digest(*row[:-1]) != found:
        return seq, f"row {seq} was altered: its content does not fit its hash"
    if previous != before:
        if count == 0:
            return seq, f"row {seq} was altered: it follows another row"
        return count, f"row {count} was altered, hash and all: row {seq} follows another"
    return None


def _at_the_end(count: int, end: Any) -> tuple[int, str]:
    if end.seq > count:
        return count + 1, f"rows from {count + 1} to {end.seq} are missing"
    if end.seq < count:
        return end.seq + 1, f"row {end.seq + 1} and later are not in the head record"
    return count, f"row {count} or the head record was altered: they do not fit"


def _damage(connection: Connection) -> str:
    """What SQLite finds wrong with the file: pages and indexes."""
    if connection.engine.dialect.name != "sqlite":
        return ""
    found = str(connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar())
    return "" if found == "ok" else f"every row is sound, but the file is damaged: {found}"
