"""Read a dataset of accounts in chunks of whole accounts, however long it is and in whatever order its rows are.

A first pass reads the names of accounts alone. Where each account's rows stand together, chunks are stretches of
the file; where they do not, rows are first sorted into files on disk. Memory holds a few chunks either way.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from . import columns

if TYPE_CHECKING:
    import pandas as pd

FORMATS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}
BATCH = 65536
# A chunk's rows in memory, and how many accounts that may be.
CHUNK_BYTES = 32 * 2**20
CHUNK_ACCOUNTS = (50, 10_000)


@dataclass(frozen=True)
class Source:
    """A file of accounts or a folder of such files, all CSV or all Parquet."""

    path: Path
    files: tuple[Path, ...]
    kind: str
    table: Any = None

    @classmethod
    def of(cls, path: str | Path | pd.DataFrame) -> Source:
        """Find the files, or take a table that is in memory.

        Raises
        ------
        DataError
            If there are none, or of two kinds.
        """
        if not isinstance(path, str | Path):
            return cls(Path("accounts"), (), "memory", _table(path))
        path = Path(path)
        if path.is_dir():
            found = sorted(
                p for p in path.rglob("*") if p.suffix.lower() in FORMATS and not p.name.startswith(".")
            )
        else:
            found = [path] if path.suffix.lower() in FORMATS else []
        kinds = {FORMATS[p.suffix.lower()] for p in found}
        if not path.exists():
            raise DataError("no such file or directory", "check the path", file=str(path))
        if len(kinds) != 1:
            what = (
                "holds both CSV and Parquet files" if kinds else "is no CSV or Parquet file, nor a folder of them"
            )
            raise DataError(what, "name files .csv or .parquet, of one kind", file=str(path))
        return cls(path, tuple(found), kinds.pop())

    @cached_property
    def names(self) -> list[str]:
        """Column names of the first file; the others have the same (`batches` holds them to it)."""
        return list(self.table.column_names) if self.table is not None else self._names(self.files[0])

    def hash(self) -> str:
        """SHA-256 of the files' content, in the order of their paths; of a table in memory, of its values."""
        import pyarrow as pa

        found = hashlib.sha256()
        if self.table is not None:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, self.table.schema) as writer:
                writer.write_table(self.table)
            found.update(sink.getvalue())
        for file in self.files:
            found.update(str(file.stat().st_size).encode())
            with file.open("rb") as stream:
                found.update(hashlib.file_digest(stream, "sha256").digest())
        return found.hexdigest()

    def batches(self, only: list[str] | None = None) -> Iterator[Any]:
        """Read record batches file by file, all columns of a CSV file as text.

        Raises
        ------
        DataError
            If a file cannot be read, or has other columns than the first.
        """
        import pyarrow as pa

        if self.table is not None:
            yield from self.table.select(only or self.names).to_batches(max_chunksize=BATCH)
        for file in self.files:
            try:
                if sorted(self._names(file)) != sorted(self.names):
                    raise DataError(
                        f"has other columns than {self.files[0].name}", "give all files the same", file=str(file)
                    )
                for batch in self._open(file, only or self.names):
                    yield batch.select(only or self.names)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError, OSError) as error:
                raise DataError(_first_line(error), "mend the file", file=str(file)) from None

    def _names(self, file: Path) -> list[str]:
        import pyarrow as pa
        import pyarrow.parquet as pq
        from pyarrow import csv

        try:
            if self.kind == "parquet":
                return list(pq.read_schema(file).names)
            with csv.open_csv(file, parse_options=csv.ParseOptions(newlines_in_values=True)) as reader:
                return list(reader.schema.names)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            raise DataError(_first_line(error), "mend the file", file=str(file)) from None

    def _open(self, file: Path, only: list[str]) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq
        from pyarrow import csv

        if self.kind == "parquet":
            with pq.ParquetFile(file) as reader:
                # One row group after the other: read as a whole, all of those read before stay in memory.
                for group in range(reader.num_row_groups):
                    yield from reader.iter_batches(BATCH, row_groups=[group], columns=only, use_threads=False)
            return
        convert = csv.ConvertOptions(
            column_types=dict.fromkeys(self.names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            include_columns=only,
        )
        options = csv.ReadOptions(use_threads=False, block_size=8 * 2**20)
        with csv.open_csv(file, options, csv.ParseOptions(newlines_in_values=True), convert) as reader:
            yield from reader


def _table(frame: pd.DataFrame) -> Any:
    import pyarrow as pa

    try:
        return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError) as error:
        raise DataError(_first_line(error), "give each column one type") from None


def _first_line(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else "cannot be read"
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


@dataclass(frozen=True)
class Index:
    """Where accounts are in a source: distinct names in the order they first come in, and their rows.

    ``ends`` (C,) are the rows at which chunks end, None where an account's rows do not stand together.
    """

    names: Any
    rows: int
    chunk: int
    ends: list[int] | None

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-len(self.names) // self.chunk)


def index(source: Source, chunk: int | None = None) -> Index:
    """Read the accounts' names.

    Parameters
    ----------
    chunk : int, optional
        Accounts a chunk; so many as fit `CHUNK_BYTES` unless given.

    Raises
    ------
    DataError
        If there are no rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    runs, begins, rows, before = [], [], 0, None
    for batch in source.batches(["account"]):
        names = columns.texts(pa.table(batch), "account")
        if not len(names):
            continue
        new = np.ones(len(names), dtype=bool)
        new[1:] = pc.not_equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False)
        new[0] = names[0].as_py() != before
        before = names[-1].as_py()
        runs.append(names.filter(pa.array(new)))
        begins.append(rows + np.flatnonzero(new))
        rows += len(names)
    if not rows:
        raise DataError("holds no rows", "one row is one line of an account", file=str(source.path))
    found = pa.concat_arrays(runs)
    distinct = pc.unique(found)
    if chunk is None:
        chunk = _fitting(source, rows / len(distinct))
    ends = None
    if len(distinct) == len(found):
        ends = [*np.concatenate(begins)[chunk::chunk].tolist(), rows]
    return Index(distinct, rows, chunk, ends)


def _fitting(source: Source, lines: float) -> int:
    """Accounts whose rows fill `CHUNK_BYTES`, judged by the first rows."""
    first = next(iter(source.batches()))
    by_account = first.nbytes / max(first.num_rows, 1) * lines
    return int(np.clip(CHUNK_BYTES / max(by_account, 1.0), *CHUNK_ACCOUNTS))


def chunks(source: Source, found: Index, wanted: set[int], scratch: Path) -> Iterator[tuple[int, Any]]:
    """Read the wanted chunks: their numbers and rows, as tables; ``scratch`` is where rows may be sorted."""
    import pyarrow as pa

    if found.ends is None:
        yield from _sorted_chunks(source, found, wanted, scratch)
        return
    number, row, parts = 0, 0, []
    for batch in source.batches():
        at = 0
        while at < batch.num_rows:
            take = min(found.ends[number] - row, batch.num_rows - at)
            if number in wanted:
                parts.append(batch.slice(at, take))
            at, row = at + take, row + take
            if row == found.ends[number]:
                if parts:
                    yield number, pa.Table.from_batches(parts)
                number, parts = number + 1, []


def _sorted_chunks(source: Source, found: Index, wanted: set[int], scratch: Path) -> Iterator[tuple[int, Any]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    with tempfile.TemporaryDirectory(prefix=".sorting-", dir=scratch) as folder:
        for batch in source.batches():
            table = pa.Table.from_batches([batch])
            place = pc.index_in(columns.texts(table, "account"), found.names).to_numpy(zero_copy_only=False)
            number = place // found.chunk
            for one in np.unique(number).tolist():
                if one in wanted:
                    with (
                        (Path(folder) / str(one)).open("ab") as stream,
                        pa.ipc.new_stream(stream, table.schema) as writer,
                    ):
                        writer.write_table(table.take(np.flatnonzero(number == one)))
        for one in sorted(wanted):
            parts = []
            file = Path(folder) / str(one)
            size = file.stat().st_size
            with pa.OSFile(str(file), "rb") as stream:
                while stream.tell() < size:
                    parts.append(pa.ipc.open_stream(stream).read_all())
            file.unlink()
            yield one, pa.concat_tables(parts)
