"""Boxes and accounts side by side: against brute force, and the search that takes one account at a time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_batch import SMOOTH_KINDS, best_of_grid, hill, kpi_of, make_accounts, make_rules

from optimizer import kernels_boxes as boxes_of
from optimizer import kernels_lanes as lanes
from optimizer.batch.accounts import Accounts, read_accounts
from optimizer.batch.rules import load_rules
from optimizer.kernels_batch import split_each
from optimizer.kernels_search import search

LANES = lanes.LANES


def sought(accounts: Accounts, factors: np.ndarray, tolerance: float, exactly: bool, which=None):
    """Plans, their worth, bounds and boxes."""
    n = len(accounts.starts) - 1
    plan, worth, bounds = np.full(len(accounts.current), np.nan), np.full(n, np.nan), np.full(n, np.nan)
    boxes = np.zeros(n, np.int64)
    search(
        np.arange(n) if which is None else which,
        exactly,
        np.full(n, tolerance),
        factors,
        accounts.starts,
        accounts.current,
        accounts.lower,
        accounts.upper,
        accounts.budget,
        (accounts.draws, accounts.family, accounts.at, accounts.values),
        plan,
        worth,
        bounds,
        boxes,
    )
    return plan, worth, bounds, boxes


def some(seed: int, lines: int, draws: int, least: float, **changes):
    table = make_accounts(6, lines=lines, seed=seed, draws=draws, kinds=SMOOTH_KINDS)
    table["min"] = least * table["current"]
    accounts = read_accounts(pa.Table.from_pandas(table), load_rules(make_rules(**changes)))
    assert not accounts.faults
    today = np.array(
        [
            [kpi_of(rows, kpi, rows["current"].to_numpy(), draws).mean() for kpi in ("kpi0", "kpi1")]
            for _, rows in table.groupby("account")
        ]
    )
    return table, accounts, np.array([1.5, 1.0]) / today


@given(
    seed=st.integers(0, 10**6),
    lines=st.integers(1, 7),
    draws=st.sampled_from([1, 3]),
    least=st.sampled_from([0.0, 0.3]),
    exactly=st.booleans(),
    change=st.sampled_from([-0.3, 0.0, 0.5]),
)
@settings(max_examples=60)
def test_it_agrees_with_the_search_of_one_account(seed, lines, draws, least, exactly, change) -> None:
    rules = {"budget": {"change": change, "spend": "all" if exactly else "at_most"}}
    _, accounts, factors = some(seed, lines, draws, least, **rules)
    plan, worth, bounds, boxes = sought(accounts, factors, 1e-4, exactly)
    others, number = np.empty(6), np.zeros(6, np.int64)
    curves = accounts.draws, accounts.family, accounts.at, accounts.values
    ranges = accounts.lower, accounts.upper, accounts.budget
    same = np.arange(6), exactly, np.full(6, 1e-4), factors, accounts.starts
    split_each(*same, *ranges, curves, np.empty_like(plan), others, number)
    for a in range(6):
        rows = slice(accounts.starts[a], accounts.starts[a + 1])
        bound = others[a]
        if np.isnan(bounds[a]):
            # Left to the other search; a line of its own has nothing to look for.
            assert boxes[a] > 60 or lines == 1
            continue
        assert worth[a] <= bounds[a] <= worth[a] + 1e-4 + 1e-9
        assert worth[a] <= bound + 1e-9
        assert bound - 1e-4 - 1e-9 <= bounds[a]
        total = plan[rows].sum()
        assert total == pytest.approx(accounts.budget[a], rel=1e-9) or (not exactly and total < accounts.budget[a])
        assert (plan[rows] >= accounts.lower[rows]).all()
        assert (plan[rows] <= accounts.upper[rows]).all()


@pytest.mark.parametrize("seed", range(3))
def test_no_split_on_a_grid_is_above_the_bound(seed: int) -> None:
    table, accounts, factors = some(seed, 3, 2, 0.0)
    plan, worth, bounds, _ = sought(accounts, factors, 1e-5, True)
    for a, (_, rows) in enumerate(table.groupby("account")):

        def value(spend, rows=rows, a=a):
            return sum(
                f * kpi_of(rows, k, spend, 2).mean() for f, k in zip(factors[a], ("kpi0", "kpi1"), strict=True)
            )

        own = slice(accounts.starts[a], accounts.starts[a + 1])
        assert value(plan[own]) == pytest.approx(worth[a], rel=1e-10)
        best = best_of_grid(value, accounts.lower[own], accounts.upper[own], accounts.budget[a], 25)
        assert best <= bounds[a] + 1e-10
        assert worth[a] >= best - 1e-5


def test_an_account_is_alone_whoever_stands_beside_it() -> None:
    _, accounts, factors = some(3, 5, 2, 0.0)
    # Some may spend nothing on a line, others may not: what is worked out for those is nothing to these.
    accounts.lower[10:] = 0.1 * accounts.current[10:]
    plan, worth, bounds, boxes = sought(accounts, factors, 1e-5, True)
    for which in (np.array([4]), np.array([5, 2, 0])):
        other = sought(accounts, factors, 1e-5, True, which)
        for a in which:
            rows = slice(accounts.starts[a], accounts.starts[a + 1])
            assert (plan[rows] == other[0][rows]).all()
            assert (worth[a], bounds[a], boxes[a]) == tuple(part[a] for part in other[1:])


@given(seed=st.integers(0, 10**6), least=st.sampled_from([0.0, 0.2]))
@settings(max_examples=30)
def test_one_box_is_bounded_by_every_split_in_it(seed: int, least: float) -> None:
    rng = np.random.default_rng(seed)
    n_lines = 3
    half, slope = rng.lognormal(0, 0.5, (n_lines, LANES)), rng.uniform(0.4, 5.0, (n_lines, LANES))
    terms, lines = np.zeros(n_lines * lanes.TERM), np.zeros(n_lines * boxes_of.LINE)
    block = np.zeros(boxes_of.BLOCK)

    def row(array: np.ndarray, size: int, i: int, at: int) -> np.ndarray:
        return array[i * size + at : i * size + at + LANES]

    for i in range(n_lines):
        row(terms, lanes.TERM, i, lanes.HALF)[:] = half[i]
        row(terms, lanes.TERM, i, lanes.SLOPE)[:] = slope[i]
        row(terms, lanes.TERM, i, lanes.WEIGHT)[:] = 1.0
        row(lines, boxes_of.LINE, i, boxes_of.LOW)[:] = least
        row(lines, boxes_of.LINE, i, boxes_of.HIGH)[:] = 2.0
        row(lines, boxes_of.LINE, i, boxes_of.NONE)[:] = 2e-12
        row(lines, boxes_of.LINE, i, boxes_of.TRY)[:] = 1.0
    lanes.take_logs(n_lines, terms)
    for i in range(n_lines):
        lanes.prepare(terms[i * lanes.TERM : (i + 1) * lanes.TERM], np.ones(LANES))
        lanes.prepare_zero(terms[i * lanes.TERM : (i + 1) * lanes.TERM])
    row(block, boxes_of.BLOCK, 0, boxes_of.BUDGET)[:] = 3.0
    row(block, boxes_of.BLOCK, 0, boxes_of.ENOUGH)[:] = 1e-9
    boxes_of.climb(n_lines, 1, terms, lines, block, True)
    boxes_of.bound(n_lines, 1, terms, lines, block)
    worth, bound = (row(block, boxes_of.BLOCK, 0, at) for at in (boxes_of.WORTH, boxes_of.BOUND))
    z = np.array([row(lines, boxes_of.LINE, i, boxes_of.Z) for i in range(n_lines)])
    np.testing.assert_allclose(z.sum(axis=0), 3.0, rtol=1e-9)

    def value(spend: np.ndarray, j: int) -> np.ndarray:
        parts = [hill(np.maximum(x, 1e-30), half[i, j], slope[i, j])[0] for i, x in enumerate(spend)]
        return np.sum(parts, axis=0)

    x = np.linspace(least, 2.0, 41)
    one, two = (part.ravel() for part in np.meshgrid(x, x))
    inside = (3.0 - one - two >= least) & (3.0 - one - two <= 2.0)
    splits = np.array([one[inside], two[inside], 3.0 - one[inside] - two[inside]])
    for j in range(LANES):
        assert worth[j] == pytest.approx(value(z[:, j], j), rel=1e-9)
        assert worth[j] <= bound[j] + 1e-12
        assert value(splits, j).max() <= bound[j] + 1e-11
