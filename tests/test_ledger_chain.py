"""The chain of the ledger: whatever is altered is found, and nothing is lost where two write at once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

import optimizer as opt
from optimizer.ledger import Ledger
from optimizer.ledger.chain import COLUMNS, Chain
from optimizer.ledger.schema import address, connect

WRITE = """
import sys
from optimizer.ledger.chain import Chain
chain = Chain(sys.argv[1], create=True)
for i in range(int(sys.argv[3])):
    with chain.writing() as writer:
        writer.append("note", sys.argv[2], {"number": i}, "ann")
"""


@pytest.fixture
def chain(ledger_place: str) -> Chain:
    chain = Chain(ledger_place, create=True)
    with chain.writing() as writer:
        writer.append("note", "first", {"a": 1.5, "text": "Zoë"}, "ann")
        writer.append("note", "second", {"list": [1, None, True]}, "bob")
    with chain.writing() as writer:
        writer.append("other", "first", {}, "Zoë")
        writer.append("note", "third", {"x": "y"}, "ann")
    yield chain
    chain.close()


def unlocked(chain: Chain, *statements: str, **values: object) -> None:
    """Run SQL as somebody who has first dropped what the database refuses by itself."""
    with chain.engine.connect().execution_options(writes=True) as connection, connection.begin():
        if chain.engine.dialect.name == "sqlite":
            for name in ("ledger_no_update", "ledger_no_delete", "ledger_head_no_delete", "ledger_head_forward"):
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
        else:
            connection.exec_driver_sql("SET session_replication_role = replica")
        for statement in statements:
            connection.execute(sa.text(statement), values)
        if chain.engine.dialect.name != "sqlite":
            connection.exec_driver_sql("SET session_replication_role = DEFAULT")


def test_an_untouched_chain_is_sound(chain: Chain) -> None:
    found = chain.verify()
    assert (found.sound, found.rows, found.row, found.fault) == (True, 4, None, "")
    assert [row.payload for row in chain.rows(subject="first")] == [{"a": 1.5, "text": "Zoë"}, {}]
    assert [row.seq for row in chain.rows(kinds=("note",), after=1)] == [2, 4]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET actor = 'eve'",
        "DELETE FROM ledger",
        "DELETE FROM ledger_head",
        "UPDATE ledger_head SET seq = 1",
    ],
)
def test_the_database_refuses_to_change_rows(chain: Chain, statement: str) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), chain.engine.begin() as connection:
        connection.execute(sa.text(statement))
    assert chain.verify().sound


def flipped(text: str) -> list[str]:
    """The text with each of its bytes changed in turn, as far as it stays text."""
    data = text.encode()
    found = []
    for place, byte in enumerate(data):
        for bit in (0, 3, 7):
            other = bytes([*data[:place], byte ^ 1 << bit, *data[place + 1 :]])
            try:
                found.append(other.decode())
            except UnicodeDecodeError:
                continue
    return [other for other in found if "\x00" not in other]


@pytest.mark.parametrize("row", [1, 4])
@pytest.mark.parametrize("column", COLUMNS[1:])
def test_any_byte_of_any_column_is_found(chain: Chain, column: str, row: int) -> None:
    with chain.engine.connect() as connection:
        before = connection.execute(sa.text(f"SELECT {column} FROM ledger WHERE seq = {row}")).scalar_one()
    set_it = f"UPDATE ledger SET {column} = :value WHERE seq = {row}"
    tried = flipped(before)[:: max(1, len(before) // 6)]
    for value in (*tried, "", before + " ", before[:-1]):
        if value == before:
            continue
        unlocked(chain, set_it, value=value)
        found = chain.verify()
        assert (found.sound, found.row, found.rows) == (False, row, row - 1), (value, found)
        assert f"row {row}" in found.fault
    unlocked(chain, set_it, value=before)
    assert chain.verify().sound


@pytest.mark.parametrize(("row", "bit"), [(1, 0), (2, 0), (3, 2), (4, 0), (4, 1), (4, 6), (1, 31)])
def test_any_bit_of_a_row_s_number_is_found(chain: Chain, row: int, bit: int) -> None:
    other = row ^ 1 << bit if bit < 31 else -row
    clash = 1 <= other <= 4
    if clash:
        unlocked(chain, f"UPDATE ledger SET seq = 99 WHERE seq = {other}")
    unlocked(chain, f"UPDATE ledger SET seq = {other} WHERE seq = {row}")
    found = chain.verify()
    assert not found.sound
    assert found.row in ((min(row, other),) if clash else (row, other)), found


def test_flipped_bytes_of_the_file_itself(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with Ledger(file, create=True) as ledger, ledger.chain.writing() as writer:
        for number in range(1, 4):
            writer.append("note", f"subject {number}", {"number": number}, "ann")
    whole = file.read_bytes()
    with sqlite3.connect(file) as connection:
        stored = list(connection.execute("SELECT * FROM ledger ORDER BY seq"))
    connection.close()
    tried = 0
    for seq, row in enumerate(stored, start=1):
        record = "".join(str(value) for value in row[1:]).encode()
        # The row's header too: its number, and the length and type of each column.
        start = whole.index(record) - 11
        for place in range(start, start + 11 + len(record)):
            if place > start + 30 and place % 9:
                continue
            for bit in (0, 5):
                file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
                with Ledger(file) as ledger:
                    found = ledger.verify()
                assert not found.sound, (seq, place - start)
                assert found.row is not None, (seq, place - start, found)
                assert found.row <= seq + 1, (seq, place - start, found)
                tried += 1
    assert tried > 150
    file.write_bytes(whole)
    with Ledger(file) as ledger:
        assert ledger.verify().sound


@pytest.mark.parametrize(
    ("statements", "row", "says"),
    [
        (["DELETE FROM ledger WHERE seq = 2"], 2, "row 2 is missing"),
        (["DELETE FROM ledger WHERE seq = 1"], 1, "row 1 is missing"),
        (["DELETE FROM ledger WHERE seq >= 3"], 3, "rows from 3 to 4 are missing"),
        (["DELETE FROM ledger"], 1, "rows from 1 to 4 are missing"),
        (
            [f"UPDATE ledger SET seq = {new} WHERE seq = {old}" for old, new in ((2, 9), (3, 2), (9, 3))],
            2,
            "row 2 was altered",
        ),
        (["UPDATE ledger_head SET seq = 3"], 4, "not in the head record"),
        (["UPDATE ledger_head SET hash = 'x'"], 4, "row 4 or the head record was altered"),
    ],
)
def test_missing_and_reordered_rows(chain: Chain, statements: list[str], row: int, says: str) -> None:
    unlocked(chain, *statements)
    found = chain.verify()
    assert (found.sound, found.row) == (False, row)
    assert says in found.fault


def test_a_row_that_was_put_in_is_found(chain: Chain) -> None:
    others = "kind, subject, actor, time, payload, previous, hash"
    unlocked(chain, f"INSERT INTO ledger SELECT 5, {others} FROM ledger WHERE seq = 4")
    assert chain.verify().row == 5


def rewrite(chain: Chain, row: int, actor: str, last: int) -> None:
    """Alter a row and make its hash and those of all rows up to ``last`` fit."""
    from optimizer.ledger.chain import digest

    with chain.engine.connect() as connection:
        rows = [list(r) for r in connection.execute(sa.text("SELECT * FROM ledger ORDER BY seq"))]
    for seq in range(row, last + 1):
        values = rows[seq - 1]
        if seq == row:
            values[3] = actor
        values[6] = rows[seq - 2][7] if seq > row else values[6]
        values[7] = digest(*values[:7])
        sets = ", ".join(f"{name} = :{name}" for name in COLUMNS[1:])
        unlocked(
            chain, f"UPDATE ledger SET {sets} WHERE seq = {seq}", **dict(zip(COLUMNS[1:], values[1:], strict=True))
        )


def test_a_row_altered_with_its_hash_is_found_by_the_next(chain: Chain) -> None:
    rewrite(chain, 2, "eve", 2)
    found = chain.verify()
    assert (found.row, found.rows) == (2, 2)
    assert "row 2 was altered, hash and all" in found.fault


def test_a_chain_rewritten_to_its_end_is_found_by_the_head(chain: Chain) -> None:
    noted = chain.verify().head
    rewrite(chain, 2, "eve", 4)
    assert chain.verify().row == 4
    with chain.engine.connect() as connection:
        new = connection.execute(sa.text("SELECT hash FROM ledger WHERE seq = 4")).scalar_one()
    unlocked(chain, "UPDATE ledger_head SET hash = :new", new=new)
    assert chain.verify().sound
    found = chain.verify(noted)
    assert not found.sound
    assert "noted earlier is not in the chain" in found.fault


def test_a_head_that_was_noted_stays_in_a_chain_that_grows(chain: Chain) -> None:
    noted = chain.verify().head
    with chain.writing() as writer:
        writer.append("note", "fifth", {}, "ann")
    assert chain.verify(noted).sound


def test_nothing_is_added_after_a_broken_end(chain: Chain) -> None:
    unlocked(chain, "DELETE FROM ledger WHERE seq = 4")
    with pytest.raises(opt.DataError, match="does not fit the head record"), chain.writing() as writer:
        writer.append("note", "x", {}, "ann")


def test_a_failed_transaction_leaves_nothing(chain: Chain) -> None:
    def fail() -> None:
        with chain.writing() as writer:
            writer.append("note", "x", {}, "ann")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert chain.verify().rows == 4


def test_two_processes_leave_one_chain_of_2000(ledger_place: str) -> None:
    command = [sys.executable, "-c", WRITE, ledger_place]
    both = [subprocess.Popen([*command, name, "1000"]) for name in ("left", "right")]
    assert [process.wait() for process in both] == [0, 0]
    chain = Chain(ledger_place)
    found = chain.verify()
    assert (found.sound, found.rows) == (True, 2000)
    for name in ("left", "right"):
        assert [row.payload["number"] for row in chain.rows(subject=name)] == list(range(1000))
    chain.close()


# What cannot be opened


def make(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("where", "says"),
    [
        (lambda at: at / "none.db", "no such ledger"),
        (lambda at: at, "is a directory"),
        (lambda at: at / "no" / "ledger.db", "no such ledger"),
        (lambda at: make(at / "a.txt", "thesis " * 500), "file is not a database"),
        (lambda at: make(at / "empty.db", ""), "holds no ledger"),
        (lambda at: "mysql://ann:secret@host/db", "no ledger in a database of the kind 'mysql'"),
        (lambda at: "nonsense://", "database"),
        (lambda at: "postgresql://ann:secret@127.0.0.1:1/none", "the database says"),
    ],
)
def test_what_is_no_ledger_is_said(where: Callable[[Path], str | Path], says: str, tmp_path: Path) -> None:
    with pytest.raises(opt.OptimizerError, match=says) as caught:
        Ledger(where(tmp_path))
    assert "secret" not in str(caught.value)
    assert caught.value.hint


def test_other_layouts_are_refused(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "a.db", create=True)
    unlocked(chain, "UPDATE ledger_head SET layout = 2")
    chain.close()
    with pytest.raises(opt.DataError, match="not of layout 1"):
        Ledger(tmp_path / "a.db")


def test_a_file_is_made_once_and_kept(tmp_path: Path) -> None:
    for number in range(2):
        connect(tmp_path / "a.db", create=True).dispose()
        chain = Chain(str(tmp_path / "a.db"))
        assert chain.verify().rows == number
        with chain.writing() as writer:
            writer.append("note", "x", {}, "ann")
        chain.close()
    assert address(f"sqlite:///{tmp_path}/a.db").database == str(tmp_path / "a.db")
