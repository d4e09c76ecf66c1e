"""Chunks of a batch on a `dask.distributed` cluster: the same work, sent elsewhere.

A chunk's rows travel with the task, so that a worker that dies takes nothing with it: the scheduler gives the task
to another. Results come back as bytes and are written here, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from ..errors import DataError, SolverError, SpecError
from ..versions import versions

# How long to wait for the scheduler and for a first worker; seconds.
PATIENCE = 30
# Chunks on their way for each thread of the cluster: one worked on and one next.
AHEAD = 2


def in_cluster(address: str, work: Callable[..., Any], given: Iterator[tuple[int, Any]]) -> Iterator[Any]:
    """Work on chunks on a cluster; results in order.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://10.0.0.5:8786``.
    work : callable
        Takes a chunk's number and table; travels to the workers.
    given : iterator
        Numbers and tables; no more are read than the cluster has threads to work on them, twice over.

    Raises
    ------
    SpecError
        If Dask is not installed, or nothing answers at the address.
    SolverError
        If there is no worker, or workers die of a chunk again and again.
    DataError
        If a worker has other packages: its results might not be the same.
    """
    try:
        dask: Any = import_module("dask")
        distributed: Any = import_module("distributed")
    except ImportError:
        raise SpecError(
            "the package distributed is not installed", "pip install 'campaign-optimizer[distributed]'"
        ) from None
    try:
        client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError):
        raise SpecError(
            f"no scheduler answers at '{address}'", "start one: dask scheduler, and workers: dask worker ADDRESS"
        ) from None
    # Tables are meant to travel with their tasks.
    with client, dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GiB"}):
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise SolverError(
                f"the scheduler at {address} has no workers", "start some: dask worker ADDRESS"
            ) from None
        waiting: deque[Any] = deque()
        most = AHEAD * max(sum(client.ncores().values()), 1)
        try:
            for number, table in given:
                waiting.append(client.submit(_checked, work, number, table, versions(), pure=False))
                if len(waiting) > most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except distributed.KilledWorker:
            raise SolverError(
                "workers died of the same chunk again and again",
                "give workers more memory, or take fewer accounts a chunk",
            ) from None


def _checked(work: Callable[..., Any], number: int, table: Any, wanted: dict[str, str]) -> Any:
    here = versions()
    other = [f"{name} {here[name]}" for name in wanted if here[name] != wanted[name]]
    if other:
        raise DataError(
            f"a worker has {' and '.join(other)}",
            "install the same versions on workers as here: results depend on them",
        )
    return work(number, table)
