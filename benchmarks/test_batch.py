"""Batches: accounts a second from Parquet to Parquet, against SciPy's SLSQP account by account, memory, growth.

Run with ``pytest benchmarks/test_batch.py --benchmark-enable -s``. ``ACCOUNTS`` in the environment sets how many
accounts the end-to-end run has (100,000 unless given).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from naive_batch import break_some

import optimizer as opt
from optimizer.batch.accounts import read_accounts
from optimizer.batch.rules import load_rules
from optimizer.batch.solving import solve_chunk

LINES = 8
WEIGHTS = (0.5, 0.3, 0.2)
RUN = """
import json, resource, sys, time
import optimizer as opt
rules = json.loads(sys.argv[2])
opt.reallocate(sys.argv[4], rules, out=sys.argv[3] + "-first", formats=["parquet"])
started, began, cpu = time.process_time(), time.perf_counter(), time.process_time()
found = opt.reallocate(sys.argv[1], rules, out=sys.argv[3], formats=["parquet"])
print(json.dumps({
    "started": started,
    "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu,
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "summary": found.summary,
}))
"""


def rules(kpis: int) -> dict[str, Any]:
    names = [f"kpi{k}" for k in range(kpis)]
    found: dict[str, Any] = {
        "name": "benchmark",
        "currency": "EUR",
        "kpis": {name: {"direction": "maximize"} for name in names},
        "decisions": {"confirm": {"shift": 0.1, "extrapolation": 0.05}, "two_person": {"shift": 0.3}},
    }
    if kpis > 1:
        weights = dict(zip(names, WEIGHTS, strict=True))
        found["tradeoff"] = {"weights": weights, "scale": {name: [-0.2, 0.2] for name in names}}
    return found


def table(accounts: int, kpis: int, seed: int, first: int = 0) -> pa.Table:
    """Accounts of eight lines, half of their curves S-shaped."""
    rng = np.random.default_rng(seed)
    rows = accounts * LINES
    current = rng.lognormal(5, 1, rows)
    columns: dict[str, Any] = {
        "account": np.repeat([f"account {first + a:07d}" for a in range(accounts)], LINES),
        "line": np.tile([f"line {i}" for i in range(LINES)], accounts),
        "current": current,
        "min": 0.3 * current,
        "max": 3.0 * current,
        "observed_high": 1.5 * current,
    }
    for k in range(kpis):
        columns[f"kpi{k}.kind"] = np.repeat("hill", rows)
        columns[f"kpi{k}.scale"] = current**0.7 * rng.lognormal(0, 0.4, rows)
        columns[f"kpi{k}.half"] = current * rng.lognormal(0, 0.5, rows)
        columns[f"kpi{k}.slope"] = np.where(rng.random(rows) < 0.5, 1.0, rng.uniform(1.2, 3.0, rows))
    return pa.table(columns)


def write(file: Path, accounts: int, kpis: int) -> None:
    with pq.ParquetWriter(file, table(1, kpis, 0).schema) as writer:
        for first in range(0, accounts, 20_000):
            writer.write_table(table(min(20_000, accounts - first), kpis, first, first))


def measured(tmp_path: Path, accounts: int, kpis: int) -> dict[str, Any]:
    """Seconds, processor seconds and peak GB of a process of its own.

    It has done ten accounts before: libraries and compiled code are loaded, which is told apart.
    """
    file, out, first = (tmp_path / f"{accounts}-{kpis}{end}" for end in (".parquet", "", "-ten.parquet"))
    write(file, accounts, kpis)
    write(first, 10, kpis)
    command = [sys.executable, "-c", RUN, *map(str, (file, json.dumps(rules(kpis)), out, first))]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    rate = accounts / found["seconds"]
    print(
        f"\n{accounts:,} x {LINES} x {kpis}: {found['seconds']:.1f} s, {rate:,.0f} a second, "
        f"{1e6 * found['cpu'] / accounts:.0f} us of processor an account, peak {found['peak']:.2f} GB, "
        f"largest gap {found['summary']['largest_gap']:.1e}; {found['started']:.1f} s of processor to start"
    )
    return found


def slsqp(arrays: Any, a: int, weights: np.ndarray) -> tuple[float, float]:
    """SLSQP on one account, well scaled (spend in shares of the budget, gain in steps), gradients analytic."""
    from scipy.optimize import minimize

    rows = slice(arrays.starts[a], arrays.starts[a + 1])
    budget = arrays.budget[a]
    scale, half, slope = (
        np.array([arrays.values[arrays.at[k, slot, rows.start] :][:LINES] for k in range(len(weights))])
        for slot in range(3)
    )
    start = arrays.current[rows] / budget

    def parts(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ratio = (half / (np.maximum(x, 1e-12) * budget)) ** slope
        value = 1.0 / (1.0 + ratio)
        return scale * value, scale * value * value * ratio * slope / np.maximum(x, 1e-12)

    today = parts(start)[0].sum(axis=1)
    factor = weights / today

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, rise = parts(x)
        return -float(factor @ (value.sum(axis=1) - today)), -(factor @ rise)

    bounds = list(zip(arrays.lower[rows] / budget, arrays.upper[rows] / budget, strict=True))
    equal = {"type": "eq", "fun": lambda x: x.sum() - 1.0, "jac": lambda x: np.ones(LINES)}
    began = time.process_time()
    found = minimize(loss, start, jac=True, method="SLSQP", bounds=bounds, constraints=[equal], tol=1e-6)
    return -float(found.fun), time.process_time() - began


@pytest.mark.benchmark(group="batch")
def test_against_slsqp_account_by_account(benchmark: Any) -> None:
    checked = load_rules(rules(3))
    weights = np.array(WEIGHTS) / 0.4
    accounts, sample = 10_000, 200
    arrays = read_accounts(table(accounts, 3, 5), checked)
    chosen = np.random.default_rng(1).choice(accounts, sample, replace=False)
    solve_chunk(arrays, checked)
    ours, theirs, solved = [], [], None
    # Interleaved, and by processor time of one core each: what else the machine does is the same for both. Ours is
    # a chunk as a batch has it, divided by its accounts.
    for turn in range(20):
        began = time.process_time()
        solved = solve_chunk(arrays, checked)
        ours.append((time.process_time() - began) / accounts)
        theirs += [slsqp(arrays, a, weights) for a in chosen[10 * turn : 10 * turn + 10]]
    assert solved is not None
    gain = (solved.found[:, 1] - solved.found[:, 0])[chosen]
    value = np.array([value for value, _ in theirs])
    seconds = np.median([seconds for _, seconds in theirs])
    print(
        f"\nan account: ours {1e6 * np.median(ours):.1f} us, SLSQP {1e6 * seconds:.0f} us, on one core each: "
        f"{seconds / np.median(ours):.0f} times faster; SLSQP below ours by more than 1e-3 in "
        f"{np.mean(value < gain - 1e-3):.1%}, above by at most {np.max(value - gain):.1e}; largest gap "
        f"{np.max(solved.found[:, 2] - solved.found[:, 1]):.1e}"
    )
    assert np.all(solved.found[:, 2] - solved.found[:, 1] <= 1e-3)
    assert np.all(gain >= value - 1e-3)
    benchmark(lambda: solve_chunk(arrays, checked))


@pytest.mark.benchmark(group="batch")
def test_one_in_a_hundred_broken(benchmark: Any, tmp_path: Path) -> None:
    accounts = int(os.environ.get("ACCOUNTS", "100000"))
    frame, says = break_some(table(accounts, 1, 0).to_pandas(), 0.01, seed=1)
    file = tmp_path / "broken.parquet"
    frame.to_parquet(file, row_group_size=20_000)
    found = benchmark.pedantic(lambda: opt.reallocate(file, rules(1), out=tmp_path / "out", formats=["parquet"]))
    reasons = found.failed["reason"]
    print(
        f"\n{found.summary['solved']:,} of {accounts:,} solved, {len(reasons):,} listed, in {found.seconds:.1f} s"
    )
    assert set(reasons.index) == set(says)
    assert all(reason in reasons[account] for account, reason in says.items())
    assert found.summary["solved"] == accounts - len(says)


@pytest.mark.benchmark(group="batch")
def test_end_to_end(benchmark: Any, tmp_path: Path) -> None:
    accounts = int(os.environ.get("ACCOUNTS", "100000"))
    found = benchmark.pedantic(measured, (tmp_path, accounts, 3), rounds=1)
    assert found["summary"]["solved"] == accounts
    assert found["summary"]["largest_gap"] <= 1e-3
    assert found["peak"] < 1.5


@pytest.mark.benchmark(group="batch")
def test_time_and_memory_by_number_of_accounts(benchmark: Any, tmp_path: Path) -> None:
    most = int(os.environ.get("MOST_ACCOUNTS", "1000000"))

    def grow() -> list[dict[str, Any]]:
        return [measured(tmp_path, number, 1) for number in (1_000, 10_000, 100_000, most)]

    found = benchmark.pedantic(grow, rounds=1)
    each = [run["cpu"] / number for run, number in zip(found, (1_000, 10_000, 100_000, most), strict=True)]
    assert found[-1]["peak"] < 1.5
    # Flat: ten times as many accounts never cost an account more, but for what else the machine does.
    assert all(later < 1.3 * before for before, later in pairwise(each))
