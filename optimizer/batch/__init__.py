"""Reallocate budgets for many accounts at once, in chunks: read, solved and written with bounded memory."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import DataError, SpecError
from .reading import Source, chunks, index
from .results import Chunk, total
from .rules import RulesSpec, load_rules

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Progress = Callable[[int, int], None]
Done = tuple[int, Chunk, dict[str, bytes]]


@dataclass(frozen=True)
class Reallocation:
    """The result of a batch.

    Attributes
    ----------
    summary : dict
        Counts of accounts by level and route, and sums over the solved ones.
    seconds : float
        Time it took; chunks that an earlier run had finished are in ``kept``.
    kept : int
        Accounts whose results an earlier run had left.
    directory : Path or None
        Where the files are; without one the tables are held in memory.
    """

    summary: dict[str, Any]
    seconds: float
    kept: int
    directory: Path | None
    _parts: Sequence[Chunk] = field(default=(), repr=False)

    @cached_property
    def accounts(self) -> pd.DataFrame:
        """One row a solved account: level and reasons, spend, gain, certificate, KPIs, risk, rules that bind.

        ``gain``, ``most_gain`` (proven) and ``gap`` are in steps of the stated scale, or where none is stated as
        shares of what all lines could do at their most. By KPI: ``today``, ``expected``, ``low`` and ``high``
        (90 % interval over draws), ``change_low`` and ``change_high`` (the same of the change), ``p_better``;
        null where there is a single draw.
        """
        return self._table("accounts").set_index("account")

    @cached_property
    def lines(self) -> pd.DataFrame:
        """One row a line: spend today and planned, its range, what stops it, KPI units for the next 1,000."""
        return self._table("lines").set_index(["account", "line"])

    @cached_property
    def moves(self) -> pd.DataFrame:
        """One row a move: account, from, to, amount; no line where money comes from or goes to the budget."""
        return self._table("moves")

    @cached_property
    def failed(self) -> pd.DataFrame:
        """Accounts that could not be solved, and why."""
        return self._table("failed").set_index("account")

    def pieces(self, kind: Literal["accounts", "lines", "moves", "failed"]) -> Iterator[pa.Table]:
        """Arrow tables of one kind, chunk by chunk, for batches that are larger than memory.

        Raises
        ------
        DataError
            If the batch was written without Parquet files.
        """
        import pyarrow.parquet as pq

        if self.directory is None:
            yield from (part.tables[kind] for part in self._parts)
            return
        files = sorted((self.directory / kind).glob("*.parquet"))
        if not files:
            raise DataError("holds no Parquet files", "ask for the format parquet", file=str(self.directory))
        for file in files:
            yield pq.read_table(file)

    def _table(self, kind: Any) -> pd.DataFrame:
        import pyarrow as pa

        return pa.concat_tables(list(self.pieces(kind))).to_pandas()


def reallocate(
    accounts: str | Path | pd.DataFrame,
    rules: str | Path | Mapping[str, Any] | RulesSpec,
    *,
    out: str | Path | None = None,
    formats: Sequence[str] = ("parquet", "csv"),
    threads: int | None = None,
    chunk: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Reallocation:
    """Recommend a split of its budget to every account.

    Parameters
    ----------
    accounts : path or DataFrame
        One row a line of an account: ``account, line, current``, optionally ``min, max, observed_low,
        observed_high``, and for each KPI ``<kpi>.kind`` and its parameters; by account ``tier, currency,
        guardrail, data_quality``; further columns are attributes. A CSV or Parquet file, or a folder of either.
    rules : path, mapping or RulesSpec
        What all accounts keep to.
    out : path, optional
        Directory for the results. One that holds part of the same batch is gone on with.
    formats : sequence of "parquet", "csv"
        Of the files.
    threads : int, optional
        Chunks worked on at a time; as many as the machine has cores unless given. Never changes a result.
    chunk : int, optional
        Accounts a chunk; from the size of their rows unless given. Changes only how results are cut into files.
    scheduler : str, optional
        Address of a ``dask.distributed`` scheduler whose workers are to solve the chunks in place of threads;
        files are read and written here. On the same kind of processor results are the same, byte for byte.
    progress : callable, optional
        Called with the accounts done and their number.

    Raises
    ------
    SpecError
        For rules that are unclear or impossible.
    DataError
        If the accounts cannot be read at all, or the directory holds results of other accounts or rules. An
        account that cannot be solved is listed under ``failed`` instead.
    SolverError
        If a cluster has no workers, or loses them again and again.
    """
    from ..versions import versions
    from .cluster import in_cluster
    from .columns import check_columns
    from .scenarios import check_selectors
    from .writing import FORMATS, Results

    began = time.perf_counter()
    checked = load_rules(rules)
    if not formats or set(formats) - set(FORMATS):
        raise SpecError(f"formats {', '.join(formats) or 'are none'}", f"formats are: {', '.join(FORMATS)}")
    for name, number in (("threads", threads), ("chunk", chunk)):
        if number is not None and number < 1:
            raise SpecError(f"{name} is {number}", "give 1 or more")
    source = Source.of(accounts)
    check_columns(source.names, checked, str(source.path))
    check_selectors(source.names, checked, str(source.path))
    found = index(source, chunk)
    results = None
    if out is not None:
        manifest = {
            "input": source.hash(),
            "rules": checked.hash,
            "chunk": found.chunk,
            "formats": sorted(set(formats), key=FORMATS.index),
            "versions": versions(),
        }
        results = Results.start(Path(out), manifest)
    summaries: dict[int, dict[str, Any]] = {}
    parts: dict[int, Chunk] = {}
    for number in range(found.chunks if results else 0):
        before = results.finished(number) if results else None
        if before is not None:
            summaries[number] = before
    kept = sum(summary["accounts"] for summary in summaries.values())
    done, wanted = kept, set(range(found.chunks)) - set(summaries)

    work = Work(checked, results.formats if results else ())

    def keep(solved: Done) -> tuple[int, Chunk]:
        number, part, files = solved
        if results is not None:
            results.write(number, part.summary, files)
        return number, part

    with scratch(out) as folder:
        given = chunks(source, found, wanted, folder)
        if scheduler is None:
            finished = _in_threads(
                lambda number, table: keep(work(number, table)), given, threads or os.cpu_count() or 1
            )
        else:
            finished = map(keep, in_cluster(scheduler, work, given))
        for number, part in finished:
            summaries[number], parts[number] = part.summary, part
            done += part.summary["accounts"]
            if progress is not None:
                progress(done, len(found.names))
    summary = {"name": checked.name, "currency": checked.currency}
    summary |= total([summaries[number] for number in sorted(summaries)])
    if results is not None:
        results.finish(summary)
    held = [parts[number] for number in sorted(parts)] if results is None else ()
    seconds = time.perf_counter() - began
    return Reallocation(summary, seconds, kept, None if out is None else Path(out), held)


@dataclass(frozen=True)
class Work:
    """What is done to a chunk, here or elsewhere: solve it and, if there are formats, put it as files."""

    rules: RulesSpec
    formats: tuple[str, ...]

    def __call__(self, number: int, table: Any) -> tuple[int, Chunk, dict[str, bytes]]:
        """Return the chunk's number, its result, and the content of its files by path."""
        from .writing import encode

        part = solve_table(table, self.rules)
        if not self.formats:
            return number, part, {}
        return number, Chunk({}, part.summary), encode(number, part, self.formats)


def solve_table(table: Any, rules: RulesSpec) -> Chunk:
    """Solve the accounts of an Arrow table of rows; what one account holds never touches another."""
    from .accounts import read_accounts
    from .results import tabulate
    from .solving import solve_chunk

    accounts = read_accounts(table, rules)
    return tabulate(accounts, rules, solve_chunk(accounts, rules))


@contextmanager
def scratch(out: str | Path | None) -> Iterator[Path]:
    """A place to sort rows in: beside the results, as there is room for those."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix=".batch-", dir=out) as folder:
        yield Path(folder)


def _in_threads(
    work: Callable[[int, Any], tuple[int, Chunk]], given: Iterator[tuple[int, Any]], threads: int
) -> Iterator[tuple[int, Chunk]]:
    """Results in order; no more chunks are read than there are threads to work on them, and one."""
    waiting: deque[Future[tuple[int, Chunk]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for number, table in given:
            waiting.append(pool.submit(work, number, table))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
