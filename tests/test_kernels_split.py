"""Upper hulls and the split over them, against brute force and a linear program."""

from __future__ import annotations

import naive_tables
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer import kernels_split
from optimizer.curves import FAMILIES
from optimizer.tables import ResponseTables


def hull_of(tables: ResponseTables, line: int, first: int, last: int, factors, per_money: float):
    room = 2 * tables.grid.shape[1]
    x, y = np.empty(room), np.empty(room)
    sums = np.empty((3, room))
    n = kernels_split.hull(
        line, first, last, np.asarray(factors), per_money, tables.grid, tables.value, tables.lines, sums, x, y
    )
    return x[:n], y[:n]


@given(
    seed=st.integers(0, 10**6),
    n_kpis=st.integers(1, 3),
    n_terms=st.integers(1, 6),
    per_money=st.sampled_from([0.0, -0.3, 2.0]),
    signed=st.booleans(),
)
@settings(max_examples=60)
def test_hull_is_concave_and_above_the_response_and_its_least(seed, n_kpis, n_terms, per_money, signed):
    rng = np.random.default_rng(seed)
    terms = naive_tables.make_terms(rng, 1, n_kpis, n_terms, list(FAMILIES), (0.3, 12.0), True)
    tables = ResponseTables(terms, np.zeros(1), rng.uniform(0.1, 3.0, 1), points=6)
    factors = rng.normal(size=n_kpis) if signed else rng.uniform(0.0, 1.0, n_kpis)
    first, last = sorted(rng.choice(6, 2, replace=False))
    x, y = hull_of(tables, 0, int(first), int(last), factors, per_money)
    grid, value, lines = tables.grid[0], tables.value[:, 0], tables.lines[:, 0]
    assert x[0] == grid[first]
    assert x[-1] == grid[last]
    assert np.all(np.diff(x) > 0)
    slopes = np.diff(y) / np.diff(x)
    assert np.all(np.diff(slopes) <= 1e-9 * np.abs(slopes).max())
    z = np.linspace(x[0], x[-1], 400)
    size = np.abs(y).max() + 1.0
    assert np.all(np.interp(z, x, y) >= naive_tables.response(terms, factors, per_money, 0, z) - 1e-12 * size)
    # No higher than the envelope of the lines' own crossings.
    at, over = [], []
    for i in range(first, last + 1):
        at.append(grid[i])
        over.append(per_money * grid[i] + factors @ value[:, i])
        if i < last:
            left = per_money + sum(f * lines[k, 0 if f > 0 else 2, i] for k, f in enumerate(factors) if f)
            right = per_money + sum(f * lines[k, 1 if f > 0 else 3, i] for k, f in enumerate(factors) if f)
            width = grid[i + 1] - grid[i]
            ahead = per_money * grid[i + 1] + factors @ value[:, i + 1]
            rise = ahead - over[-1] - right * width
            meet = 0.0 if np.isinf(left) or left <= right else min(max(rise / (left - right), 0.0), width)
            at.append(grid[i] + meet)
            over.append(max(ahead - right * (width - meet), over[-1] if meet == 0.0 else -np.inf))
    for place in np.linspace(x[0], x[-1], 17):
        wanted = naive_tables.envelope(at, over, place)
        if np.isfinite(wanted):
            assert np.interp(place, x, y) <= wanted + 1e-9 * size


def concave(rng: np.random.Generator, n: int, falling: bool):
    """Corners of a random concave piecewise linear response."""
    x = np.concatenate([[0.0], np.cumsum(rng.uniform(0.01, 1.0, n - 1))]) + rng.choice([0.0, 0.2])
    slopes = np.sort(rng.normal(-1.0 if falling else 1.0, 1.0, n - 1))[::-1].round(int(rng.integers(0, 8)))
    keep = np.concatenate([[True], np.diff(slopes) < 0, [True]]) if n > 1 else np.ones(1, bool)
    y = np.concatenate([[rng.normal()], slopes * np.diff(x)]).cumsum() if n > 1 else rng.normal(size=1)
    return x[keep], y[keep]


def filled(parts, budget: float, exactly: bool):
    room = max(len(x) for x, _ in parts)
    x, y = np.full((len(parts), room), np.nan), np.full((len(parts), room), np.nan)
    for line, (a, b) in enumerate(parts):
        x[line, : len(a)], y[line, : len(b)] = a, b
    corners = np.array([len(a) for a, _ in parts])
    z, over = np.full(len(parts), np.nan), np.full(len(parts), np.nan)
    bound, price = kernels_split.fill(x, y, corners, budget, exactly, z, over)
    return bound, price, z, over


@given(
    seed=st.integers(0, 10**6),
    n_lines=st.integers(1, 8),
    exactly=st.booleans(),
    falling=st.booleans(),
    share=st.sampled_from([0.0, 1e-9, 0.3, 0.77, 1.0]),
)
@settings(max_examples=150)
def test_fill_equals_a_linear_program(seed, n_lines, exactly, falling, share):
    rng = np.random.default_rng(seed)
    parts = [concave(rng, int(rng.integers(1, 9)), falling) for _ in range(n_lines)]
    least, most = sum(x[0] for x, _ in parts), sum(x[-1] for x, _ in parts)
    budget = least + share * (most - least)
    bound, price, z, over = filled(parts, budget, exactly)
    wanted = naive_tables.best_of_pieces([x for x, _ in parts], [y for _, y in parts], budget, exactly)
    size = 1.0 + sum(np.abs(y).max() for _, y in parts)
    assert bound == pytest.approx(wanted, abs=1e-9 * size)
    assert over.sum() == pytest.approx(wanted, abs=1e-9 * size)
    assert bound >= over.sum() - 1e-15 * size
    for (x, y), at, value in zip(parts, z, over, strict=True):
        assert x[0] <= at <= x[-1] * (1 + 1e-15)
        assert value == pytest.approx(np.interp(at, x, y), abs=1e-9 * size)
    assert z.sum() == pytest.approx(budget, rel=1e-12) if exactly else z.sum() <= budget * (1 + 1e-12)
    assert np.isfinite(price)
    assert exactly or price >= 0.0


def test_lines_that_cannot_move_and_ties_are_split_too():
    still = (np.array([0.4]), np.array([2.0]))
    for exactly in (True, False):
        bound, price, z, _ = filled([still, still], 0.8, exactly)
        assert bound == pytest.approx(4.0)
        np.testing.assert_array_equal(z, [0.4, 0.4])
        assert np.isfinite(price)
    twin = (np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.5]))
    bound, price, z, _ = filled([twin] * 6, 3.5, True)
    assert (bound, price, z.sum()) == pytest.approx((3.5, 1.0, 3.5))


def test_hulls_are_computed_anew_only_where_something_changed():
    terms = naive_tables.make_terms(np.random.default_rng(0), 3)
    tables = ResponseTables(terms, np.zeros(3), np.ones(3))
    hulls = kernels_split.new_hulls(3, tables.grid.shape[1])
    x, y, corners, _ = hulls
    low, high, factors = np.zeros(3), np.ones(3), np.ones(1)
    kernels_split.update_hulls(low, high, factors, 0.0, tables.arrays(), hulls)
    y[:] = 7.0
    tables.add(1, 0.123)
    high[2] = tables.grid[2, 3]
    kernels_split.update_hulls(low, high, factors, 0.0, tables.arrays(), hulls)
    assert np.all(y[0] == 7.0)
    for line, last in ((1, 7), (2, 3)):
        wanted = hull_of(tables, line, 0, last, factors, 0.0)
        np.testing.assert_array_equal(x[line, : corners[line]], wanted[0])
        np.testing.assert_array_equal(y[line, : corners[line]], wanted[1])
