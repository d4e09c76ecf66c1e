"""Result files of a batch: whole or not there, kept from one run to the next, and the same bytes every time.

A file is written under a temporary name and renamed into place. A chunk counts as finished once its note under
``chunks/`` is there, which is written last and holds the hashes of its files; a rerun keeps such chunks.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError
from .results import KINDS, Chunk

FORMAT = "campaign-optimizer batch 1"
FORMATS = ("parquet", "csv")
# Text that spreadsheets would run as a formula begins with one of these; in CSV it gets a leading '.
FORMULA = r"^[=+\-@\t\r\n]"
WORDS = {
    "input": "the accounts",
    "rules": "the rules",
    "chunk": "the accounts a chunk",
    "formats": "the formats asked for",
    "versions": "the installed packages",
}


@dataclass(frozen=True)
class Results:
    """The directory of a batch's results."""

    directory: Path
    formats: tuple[str, ...]

    @classmethod
    def start(cls, directory: Path, manifest: dict[str, Any]) -> Results:
        """Make the directory, or go on in it.

        Parameters
        ----------
        manifest : dict
            What the results depend on, by the keys of `WORDS`.

        Raises
        ------
        DataError
            If it holds something else, or results that something has changed for since, which is named.
        """
        manifest = {"format": FORMAT, **manifest}
        results = cls(directory, tuple(manifest["formats"]))
        place = directory / "manifest.json"
        try:
            if place.exists():
                before = json.loads(place.read_text(encoding="utf-8"))
                changed = [WORDS.get(key, key) for key in manifest if before.get(key) != manifest[key]]
                if changed:
                    raise DataError(
                        f"holds results of another run: {' and '.join(changed)} changed since",
                        "name another directory with --out, or undo the change to go on",
                        file=str(directory),
                    )
            elif directory.exists() and any(directory.iterdir()):
                raise DataError(
                    "holds other files and no results of a batch", "name another with --out", file=str(directory)
                )
            for kind in (*KINDS, "chunks"):
                (directory / kind).mkdir(parents=True, exist_ok=True)
                for part in (directory / kind).glob(".*.part"):
                    part.unlink()
            results._write(place, _json(manifest))
        except (OSError, ValueError) as error:
            raise _unwritable(error, directory) from None
        return results

    def finished(self, number: int) -> dict[str, Any] | None:
        """The summary of a chunk that is finished and whole; None where it is not."""
        try:
            note = json.loads(self._note(number).read_text(encoding="utf-8"))
            for name, digest in note["files"].items():
                with (self.directory / name).open("rb") as stream:
                    if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                        return None
        except (OSError, ValueError, KeyError):
            return None
        return dict(note["summary"])

    def write(self, number: int, summary: dict[str, Any], files: dict[str, bytes]) -> None:
        """Write a chunk's files (content by path, from `encode`), then its note."""
        try:
            for path, content in files.items():
                self._write(self.directory / path, content)
            digests = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
            self._write(self._note(number), _json({"files": digests, "summary": summary}))
        except OSError as error:
            raise _unwritable(error, self.directory) from None

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary: all is done."""
        self._write(self.directory / "summary.json", _json(summary))

    def _note(self, number: int) -> Path:
        return self.directory / "chunks" / f"{number:06d}.json"

    def _write(self, place: Path, content: bytes) -> None:
        part = place.with_name(f".{place.name}.{os.getpid()}.part")
        with part.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(place)


def encode(number: int, chunk: Chunk, formats: Sequence[str]) -> dict[str, bytes]:
    """The content of a chunk's files, by their paths in the directory."""
    return {
        f"{kind}/{number:06d}.{name}": _parquet(table) if name == "parquet" else csv_bytes(table)
        for kind, table in chunk.tables.items()
        for name in formats
    }


def _unwritable(error: Exception, directory: Path) -> DataError:
    reason = (getattr(error, "strerror", None) or str(error) or "unknown reason").lower()
    return DataError(f"cannot be written: {reason}", "name another with --out", file=str(directory))


def _json(data: dict[str, Any]) -> bytes:
    return (json.dumps(data, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _parquet(table: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=1)
    return sink.getvalue().to_pybytes()


def csv_bytes(table: Any) -> bytes:
    """A table as CSV; lists between semicolons, nothing for null, and no text that a spreadsheet would run."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    columns = []
    for column in table.columns:
        if pa.types.is_list(column.type):
            column = pc.binary_join(column, "; ")
        if pa.types.is_string(column.type):
            column = _harmless(column)
        columns.append(column)
    names = _harmless(pa.array(table.column_names)).to_pylist()
    sink = pa.BufferOutputStream()
    csv.write_csv(pa.table(columns, names=names), sink)
    return sink.getvalue().to_pybytes()


def _harmless(column: Any) -> Any:
    import pyarrow.compute as pc

    odd = pc.match_substring_regex(column, FORMULA)
    return pc.if_else(odd, pc.binary_join_element_wise("'", column, ""), column)
