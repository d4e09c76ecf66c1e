"""Many scenarios solved, in processes where that repays: results as values, kept over an interruption."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, OptimizerError, SolverError
from ..functions import check_sent
from ..plan import Certificate, Plan, labelled
from .routes import solve

if TYPE_CHECKING:
    from ..scenario import Scenario

Result = Plan | OptimizerError
# Of a certificate; NaN where there is no bound.
NUMBERS = ("value", "bound", "gap")
# Seconds of work from which further processes repay their start, which loads every library anew.
WORTH_PROCESSES = 20.0


def solve_all(
    scenarios: Sequence[Scenario],
    *,
    workers: int | None = 1,
    keep: Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[Result]:
    """Solve each scenario; those that fail give their error, the others complete.

    Parameters
    ----------
    scenarios : sequence of Scenario
        With every scale frozen to numbers. Those of equal content, names apart, are solved once.
    workers : int, optional
        Processes; 1 works in this one. None takes one a core where the first solve says that it repays. Processes
        are started anew, so a script that asks for them needs ``if __name__ == "__main__":``.
    keep : Path, optional
        A directory where plans are kept as they are found, and read instead of found again.
    progress : callable, optional
        Called with the share of the work done, 0 to 1.

    Returns
    -------
    list of Plan or OptimizerError
        In the order given.
    """
    keys = [content(scenario) for scenario in scenarios]
    todo = dict(zip(reversed(keys), reversed(scenarios), strict=True))
    todo = {key: todo[key] for key in dict.fromkeys(keys)}
    found: dict[str, Result] = {}
    for key, scenario in todo.items():
        kept = _read(keep, key, scenario)
        if kept is not None:
            found[key] = kept
    waiting = {key: scenario for key, scenario in todo.items() if key not in found}
    for key, result in _solved(waiting, workers):
        found[key] = result
        if keep is not None and isinstance(result, Plan):
            _write(keep, key, result)
        if progress is not None:
            progress(len(found) / len(todo))
    return [_named(found[key], scenario) for key, scenario in zip(keys, scenarios, strict=True)]


def content(scenario: Scenario) -> str:
    """Return a key of what is solved: a hash of the content, whatever the scenario is called."""
    data = scenario.resolved()
    for field in ("name", "notes", "claims", "hash"):
        data.pop(field, None)
    # The file counts by its own hash.
    data["response"].pop("file", None)
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _named(result: Result, scenario: Scenario) -> Result:
    if isinstance(result, OptimizerError):
        return result
    return Plan(scenario, result.spend, result.certificate, result.prices)


def _try(scenario: Scenario) -> Result:
    try:
        return solve(scenario)
    except OptimizerError as error:
        return error


def _job(scenario: Scenario) -> tuple[Any, ...] | OptimizerError:
    """What comes back from another process: a plan's parts, or an error made anew of its own."""
    result = _try(scenario)
    return result if isinstance(result, OptimizerError) else _parts(result)


def _parts(plan: Plan) -> tuple[Any, ...]:
    return plan.spend.to_numpy(dtype=float), plan.certificate, dict(plan.prices)


def _plan(scenario: Scenario, parts: tuple[Any, ...]) -> Plan:
    spend, certificate, prices = parts
    return Plan(scenario, labelled(scenario, spend), certificate, prices)


def _solved(waiting: dict[str, Scenario], workers: int | None) -> Iterator[tuple[str, Result]]:
    """Results as they come."""
    rest = dict(waiting)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers is None:
        costs: list[float] = []
        # The first solve compiles kernels; those after it tell what one costs.
        while rest and (len(costs) < 2 or costs[-1] * len(rest) < WORTH_PROCESSES):
            key = next(iter(rest))
            started = time.monotonic()
            result = _try(rest.pop(key))
            costs.append(time.monotonic() - started)
            yield key, result
        workers = cores
    if workers < 2 or len(rest) < 2:
        for key, scenario in rest.items():
            yield key, _try(scenario)
        return
    for scenario in rest.values():
        check_sent(scenario.functions)
    with ProcessPoolExecutor(min(workers, len(rest)), mp_context=get_context("spawn")) as pool:
        # Scales are frozen: the base is not needed there.
        jobs = {pool.submit(_job, replace(scenario, base=None)): key for key, scenario in rest.items()}
        try:
            for job in as_completed(jobs):
                key, parts = jobs[job], _result(job)
                yield key, parts if isinstance(parts, OptimizerError) else _plan(rest[key], parts)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _result(job: Future[tuple[Any, ...] | OptimizerError]) -> tuple[Any, ...] | OptimizerError:
    try:
        return job.result()
    except BrokenProcessPool:
        return SolverError(
            "a process ended before its plan was found",
            "put the call under 'if __name__ == \"__main__\":', or ask for fewer workers if memory is short",
        )


def _read(keep: Path | None, key: str, scenario: Scenario) -> Plan | None:
    if keep is None:
        return None
    try:
        data = json.loads((keep / f"{key}.json").read_text(encoding="utf-8"))
        certificate = Certificate(**{**data["certificate"], **{k: float(data["certificate"][k]) for k in NUMBERS}})
        return _plan(scenario, (np.array(data["spend"]), certificate, data["prices"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"not a plan that was kept: {error}"
        raise DataError(what, "remove it; it will be found again", file=str(keep / f"{key}.json")) from None


def _write(keep: Path, key: str, plan: Plan) -> None:
    spend, certificate, prices = _parts(plan)
    data = {"spend": spend.tolist(), "certificate": asdict(certificate), "prices": prices}
    part = keep / f".{key}.part"
    try:
        keep.mkdir(parents=True, exist_ok=True)
        # Numbers that are not finite are written by name: they are read by this module alone.
        part.write_text(json.dumps(data), encoding="utf-8")
        part.replace(keep / f"{key}.json")
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        reason = (error.strerror or "unknown reason").lower()
        raise DataError(f"cannot be written: {reason}", "name another directory", file=str(keep)) from None


def forget(keep: Path) -> None:
    """Remove plans that were kept, and their directory if nothing else is in it."""
    for file in [*keep.glob("*.json"), *keep.glob(".*.part")]:
        file.unlink(missing_ok=True)
    with suppress(OSError):
        keep.rmdir()
