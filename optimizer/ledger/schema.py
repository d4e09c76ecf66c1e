"""Where the ledger lies: a table of rows that is only ever added to, and a record of its head.

A SQLite file by default, PostgreSQL by URL. Triggers in the database refuse to change or delete rows; they stop
accidents, not somebody who may drop them: that is what the chain of hashes is for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url

from ..errors import DataError, SpecError

LAYOUT = 1
GENESIS = "0" * 64
# Seconds to wait for others who write to the same file.
PATIENCE = 120.0
# Any number, the same for all who make tables: two who open a new database at once make them once.
MAKING = 4_210_587

metadata = sa.MetaData()
rows = sa.Table(
    "ledger",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, index=True),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("time", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
)
head = sa.Table(
    "ledger_head",
    metadata,
    sa.Column("layout", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
)

_REFUSED = "the ledger is append-only"
TRIGGERS = {
    "sqlite": [
        f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {what} BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
        for name, what in (
            ("ledger_no_update", "UPDATE ON ledger"),
            ("ledger_no_delete", "DELETE ON ledger"),
            ("ledger_head_no_delete", "DELETE ON ledger_head"),
            ("ledger_head_forward", "UPDATE ON ledger_head WHEN NEW.seq <= OLD.seq"),
        )
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSED}'; END $$",
        *(
            f"CREATE OR REPLACE TRIGGER {name} BEFORE {what} EXECUTE FUNCTION ledger_refuse()"
            for name, what in (
                ("ledger_no_change", "UPDATE OR DELETE ON ledger FOR EACH ROW"),
                ("ledger_no_truncate", "TRUNCATE ON ledger"),
                ("ledger_head_no_delete", "DELETE ON ledger_head FOR EACH ROW"),
                ("ledger_head_no_truncate", "TRUNCATE ON ledger_head"),
                ("ledger_head_forward", "UPDATE ON ledger_head FOR EACH ROW WHEN (NEW.seq <= OLD.seq)"),
            )
        ),
    ],
}


def address(where: str | Path) -> URL:
    """The database that a file name or URL means.

    Raises
    ------
    SpecError
        For a URL of another database.
    """
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite", database=str(where))
    try:
        url = make_url(where)
    except (sa.exc.ArgumentError, ValueError):
        raise SpecError("is no database URL", "name a file, or postgresql://USER@HOST/DATABASE") from None
    if url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite" or not url.database:
        raise SpecError(
            f"no ledger in a database of the kind '{url.get_backend_name()}'",
            "name a file, or postgresql://USER@HOST/DATABASE",
        )
    return url.set(drivername="sqlite")


def connect(where: str | Path, *, create: bool) -> Engine:
    """Open the database, and make the tables where they are wanted and missing.

    Raises
    ------
    DataError
        If it cannot be opened, is no database, or holds no ledger and none is to be made.
    SpecError
        As for `address`.
    """
    url = address(where)
    shown = url.database if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite":
        _check_file(Path(str(url.database)), create)
    engine = _engine(url)
    with told(str(shown)):
        if create:
            _make(engine)
        if not sa.inspect(engine).has_table(head.name):
            raise DataError("holds no ledger", "the first 'plan --ledger' makes one", file=str(shown))
        with engine.connect() as connection:
            layouts = list(connection.execute(sa.select(head.c.layout)).scalars())
    if layouts != [LAYOUT]:
        raise DataError(
            f"its head record is not of layout {LAYOUT}",
            "it was altered, or written by another version of this package",
            file=str(shown),
        )
    return engine


def _check_file(file: Path, create: bool) -> None:
    if file.is_dir():
        raise DataError("is a directory", "name a file, such as ledger.db", file=str(file))
    if not create and not file.exists():
        raise DataError("no such ledger", "check the path; the first 'plan --ledger' makes one", file=str(file))
    if not file.parent.exists():
        raise DataError("its directory does not exist", "make it, or name another", file=str(file))


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        try:
            return sa.create_engine(url)
        except ImportError:
            what = "PostgreSQL needs psycopg, which is not installed"
            raise DataError(what, "pip install 'campaign-optimizer[postgres]'") from None
    engine = sa.create_engine(url, connect_args={"timeout": PATIENCE})
    sa.event.listen(engine, "connect", _as_we_say)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _as_we_say(connection: sqlite3.Connection, _: Any) -> None:
    # The driver would begin transactions of its own, too late for a lock that is there from the first read on.
    connection.isolation_level = None
    # Bytes that are no text must reach the check of the hashes and not stop at the driver.
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _make(engine: Engine) -> None:
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MAKING)))
        if sa.inspect(connection).has_table(head.name):
            return
        metadata.create_all(connection)
        for statement in TRIGGERS[engine.dialect.name]:
            connection.exec_driver_sql(statement)
        connection.execute(head.insert().values(layout=LAYOUT, seq=0, hash=GENESIS))


@contextmanager
def told(shown: str) -> Iterator[None]:
    """Turn what a database raises into one clear error that names it."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise DataError(
            f"the database says: {reason}",
            "check that it is a ledger, that you may write to it, and that it is not damaged ('ledger verify')",
            file=shown,
        ) from None
