"""The chain: each row holds the hash of the row before it, so that none can be altered unseen.

The hash of a row is the SHA-256 of its number, kind, subject, actor, time, payload and the hash before it, as one
JSON list. Whoever alters a row must alter all that follow and the head record; a head that was noted elsewhere
finds even that (`Chain.verify`).
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from ..errors import DataError, SpecError
from . import schema
from .schema import GENESIS, head, rows

LONGEST = 500
# Rows held before they are sent, and read at a time.
BLOCK = 5_000
# Built once: an append is four short statements. On PostgreSQL the lock on the head row makes others wait; with
# SQLite they wait from the beginning of the transaction.
HEAD = sa.select(head.c.seq, head.c.hash).with_for_update()
NEWEST = sa.select(rows.c.seq, rows.c.hash).order_by(rows.c.seq.desc()).limit(1)
ADD = rows.insert()
MOVE = head.update().values(seq=sa.bindparam("last"), hash=sa.bindparam("found"))
COLUMNS = ("seq", "kind", "subject", "actor", "time", "payload", "previous", "hash")


@dataclass(frozen=True)
class Row:
    """One row: what happened (``kind``), to what (``subject``), by whom (``actor``), when (UTC), its content."""

    seq: int
    kind: str
    subject: str
    actor: str
    time: str
    payload: Mapping[str, Any]
    hash: str


@dataclass(frozen=True)
class Verification:
    """What a check of the chain found.

    Attributes
    ----------
    rows : int
        Rows that are sound, counted from the first.
    head : str
        Hash of the last of them. Noted elsewhere, it lets a later check find that the end was rewritten.
    row : int or None
        The first row that was altered, is missing or is one too many; None where all are sound.
    fault : str
        What is wrong, in words; empty where nothing is.
    """

    rows: int
    head: str
    row: int | None = None
    fault: str = ""

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.fault

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        return {
            "sound": self.sound,
            "rows": self.rows,
            "head": self.head,
            "first_altered_row": self.row,
            "fault": self.fault,
        }


def canonical(data: Any) -> str:
    """JSON in one way only: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(seq: int, kind: str, subject: str, actor: str, time: str, payload: str, previous: str) -> str:
    """The hash of a row."""
    text = json.dumps([seq, kind, subject, actor, time, payload, previous], ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def clean_name(text: str, what: str) -> str:
    """Return a name without space around it.

    Raises
    ------
    SpecError
        If nothing is left, it is longer than 500 characters, or holds what cannot be shown.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not name or len(name) > LONGEST or not all(mark.isprintable() for mark in name):
        why = "is empty" if not name else f"{name[:40]!r} is too long" if len(name) > LONGEST else f"{name!r}"
        raise SpecError(f"{what} {why}", f"give 1 to {LONGEST} characters that can be shown")
    return name


@dataclass
class Writer:
    """An open transaction on the chain: nobody else writes until it ends, and all of it is kept or nothing."""

    connection: Connection
    last: int
    hash: str
    began: str
    _held: list[dict[str, Any]] = field(default_factory=list)

    def append(self, kind: str, subject: str, payload: Mapping[str, Any], by: str) -> Row:
        """Add a row and return it."""
        seq, text = self.last + 1, canonical(payload)
        values = (seq, kind, subject, by, self.began, text, self.hash)
        found = digest(*values)
        self._held.append(dict(zip(COLUMNS, (*values, found), strict=True)))
        self.last, self.hash = seq, found
        if len(self._held) >= BLOCK:
            self.flush()
        return Row(seq, kind, subject, by, self.began, json.loads(text), found)

    def rows(self, **wanted: Any) -> Iterator[Row]:
        """Rows as `Chain.rows` gives them, those of this transaction included."""
        self.flush()
        return _read(self.connection, **wanted)

    def flush(self) -> None:
        """Send what is held to the database."""
        if self._held:
            self.connection.execute(ADD, self._held)
            self._held = []


class Chain:
    """The rows of a ledger.

    Parameters
    ----------
    where : str or Path
        A SQLite file, or a URL ``postgresql://USER@HOST/DATABASE``.
    create : bool
        Make the ledger where there is none.
    """

    def __init__(self, where: str | Path, *, create: bool = False) -> None:
        self.engine: Engine = schema.connect(where, create=create)
        url = self.engine.url
        local = url.get_backend_name() == "sqlite"
        self.shown = str(url.database) if local else url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Open a transaction to read and append in; others who write wait until it ends.

        Raises
        ------
        DataError
            If the end of the chain does not fit its head record, or the database cannot be written.
        """
        with (
            schema.told(self.shown),
            self.engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            at = connection.execute(HEAD).one()
            last = connection.execute(NEWEST).first()
            if tuple(at) != (tuple(last) if last is not None else (0, GENESIS)):
                raise DataError(
                    "the last row does not fit the head record", "run 'ledger verify'", file=self.shown
                )
            now = datetime.now(UTC).isoformat(timespec="microseconds")
            writer = Writer(connection, at.seq, at.hash, now)
            yield writer
            writer.flush()
            if writer.last > at.seq:
                connection.execute(MOVE, {"last": writer.last, "found": writer.hash})

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the ledger."""
        with schema.told(self.shown), self.engine.connect() as connection:
            if self.engine.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ")
            transaction = connection.begin()
            try:
                yield connection
            finally:
                # Nothing was written; on a damaged file even a commit of nothing can fail.
                transaction.rollback()

    def rows(self, **wanted: Any) -> Iterator[Row]:
        """Rows in their order.

        Parameters
        ----------
        kinds : sequence of str, optional
            Of these kinds only.
        subject : str, optional
            About this only.
        after : int, optional
            Those after this number.
        """
        with self.reading() as connection:
            yield from _read(connection, **wanted)

    def verify(self, head: str | None = None) -> Verification:
        """Check every row, the order, the end, and on SQLite the file itself.

        Parameters
        ----------
        head : str, optional
            A hash noted at an earlier check, which must still be in the chain.
        """
        from .verify import verify

        with self.reading() as connection:
            return verify(connection, head)


def _read(
    connection: Connection, kinds: Sequence[str] | None = None, subject: str | None = None, after: int = 0
) -> Iterator[Row]:
    query = sa.select(rows).where(rows.c.seq > after).order_by(rows.c.seq)
    if kinds is not None:
        query = query.where(rows.c.kind.in_(kinds))
    if subject is not None:
        query = query.where(rows.c.subject == subject)
    for row in connection.execute(query.execution_options(yield_per=BLOCK)):
        try:
            payload = json.loads(row.payload)
        except (TypeError, ValueError):
            raise DataError(f"row {row.seq} is no JSON: it was altered", "run 'ledger verify'") from None
        yield Row(row.seq, row.kind, row.subject, row.actor, row.time, payload, row.hash)
