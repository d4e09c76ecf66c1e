"""Lines that no response crosses, against dense sampling of the curves as a textbook has them."""

from __future__ import annotations

import naive_tables
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import saturation_slope

from optimizer import kernels_tables
from optimizer.curves import FAMILIES
from optimizer.tables import ResponseTables

CURVES = [name for name in FAMILIES if name != "none"]


def check_lines(tables: ResponseTables, samples: int = 60) -> None:
    """Every line over every interval holds at sampled spends, ends and places next to them included."""
    terms = tables.terms
    shares = np.concatenate([np.linspace(0.0, 1.0, samples), [1e-9, 1e-6, 1e-3, 1 - 1e-3, 1 - 1e-6]])
    for k, line in np.ndindex(*terms.family.shape):
        n = tables.count[line]
        grid = tables.grid[line, :n]
        assert np.all(np.diff(grid) > 0)
        cell = slice(*terms.starts[k * terms.family.shape[1] + line :][:2])
        top = terms.table[kernels_tables.WEIGHT, cell].sum() if cell.stop > cell.start else 0.0
        real = naive_tables.effect(terms, k, line, grid)
        size = np.abs(real).max() + top + abs(terms.constant[k, line])
        np.testing.assert_allclose(tables.value[k, line, :n], real, rtol=1e-12, atol=1e-13 * size)
        for i in range(n - 1):
            a, b = grid[i], grid[i + 1]
            z = np.clip(a + shares * (b - a), a, b)
            f = naive_tables.effect(terms, k, line, z)
            fa, fb = real[i], real[i + 1]
            over_left, over_right, under_left, under_right = tables.lines[k, line, :, i]
            slack = 1e-12 * size
            with np.errstate(invalid="ignore"):
                left = np.where(z > a, over_left * (z - a), 0.0)
            assert np.all(f <= fa + left + slack)
            assert np.all(f <= fb - over_right * (b - z) + slack)
            assert np.all(f >= fa + under_left * (z - a) - slack)
            assert np.all(f >= fb - under_right * (b - z) - slack)
            assert not np.isnan(tables.lines[k, line, :, i]).any()


@pytest.mark.parametrize("family", CURVES)
@given(
    seed=st.integers(0, 10**6),
    n_terms=st.integers(1, 12),
    slopes=st.sampled_from([(0.3, 1.0), (1.0, 1.0), (1.0, 1.05), (0.3, 4.0), (4.0, 20.0)]),
    history=st.booleans(),
    lower=st.sampled_from([0.0, 1e-13, 0.2]),
    width=st.sampled_from([1e-9, 1e-3, 1.0, 1e6]),
)
@settings(max_examples=40)
def test_no_response_crosses_its_lines(family, seed, n_terms, slopes, history, lower, width):
    terms = naive_tables.make_terms(np.random.default_rng(seed), 2, 1, n_terms, [family], slopes, history)
    check_lines(ResponseTables(terms, np.full(2, lower), np.full(2, lower + width), points=4), samples=25)


@given(
    seed=st.integers(0, 10**6),
    n_lines=st.integers(1, 6),
    n_kpis=st.integers(1, 3),
    places=st.lists(st.floats(-0.1, 1.1), max_size=25),
)
@settings(max_examples=40)
def test_tables_that_grow_hold_what_they_are_told(seed, n_lines, n_kpis, places):
    rng = np.random.default_rng(seed)
    terms = naive_tables.make_terms(rng, n_lines, n_kpis, 3, list(FAMILIES), (0.3, 8.0), True)
    upper = rng.uniform(0.0, 1.0, n_lines) * (rng.random(n_lines) < 0.8)
    tables = ResponseTables(terms, np.zeros(n_lines), upper, points=3)
    for place in places:
        line = int(rng.integers(n_lines))
        z, before = place * upper[line], tables.grid[line, : tables.count[line]].copy()
        new = tables.add(line, z)
        after = tables.grid[line, : tables.count[line]]
        assert new == (len(after) > len(before)) == (z in after and z not in before)
        if not new:
            assert z <= 0.0 or z >= upper[line] or np.abs(before - z).min() <= 1e-9 * upper[line]
    check_lines(tables, samples=10)


def test_a_batch_of_points_is_the_same_as_one_after_the_other():
    rng = np.random.default_rng(3)
    terms = naive_tables.make_terms(rng, 7, 2, 4, list(FAMILIES), history=True)
    lower, upper = np.zeros(7), np.array([1.0, 0.5, 0.0, 1.0, 2.0, 1.0, 1.0])
    one, many = ResponseTables(terms, lower, upper), ResponseTables(terms, lower, upper)
    for _ in range(5):
        z = np.where(rng.random(7) < 0.7, rng.uniform(0.0, 1.2, 7), np.nan)
        added = [one.add(line, at) for line, at in enumerate(z)]
        assert kernels_tables.insert(z, many.arrays()) == sum(added)
        for first, second in zip(one.arrays()[5:9], many.arrays()[5:9], strict=True):
            np.testing.assert_array_equal(first, second)


def test_points_next_to_one_that_is_there_are_not_added():
    terms = naive_tables.make_terms(np.random.default_rng(0), 1)
    tables = ResponseTables(terms, np.zeros(1), np.ones(1), points=3)
    assert not any(tables.add(0, z) for z in (0.0, 1.0, 0.5, 0.5 + 1e-12, 1e-12, 1.0 - 1e-12, -1.0, 2.0, np.nan))
    assert tables.add(0, 0.5 + 1e-8)


@given(points=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8, unique=True), z=st.floats(-1.0, 2.0))
def test_place_is_the_last_grid_point_at_or_below(points, z):
    grid = np.array([*sorted(points), 99.0])
    wanted = max([i for i, at in enumerate(grid[:-1]) if at <= z], default=0)
    assert kernels_tables.place(grid, len(points), z) == wanted


@pytest.mark.parametrize("family", CURVES)
@given(
    x=st.one_of(st.sampled_from([0.0, 1e-300, 1e-13, 1e30]), st.floats(1e-3, 100.0)), slope=st.floats(0.3, 20.0)
)
@settings(max_examples=60)
def test_curves_and_their_slopes_equal_the_exact_ones(family, x, slope):
    second = min(slope, 1.0) if family == "power" else slope
    value, rise = np.empty(1), np.empty(1)
    terms = naive_tables.make_terms(np.random.default_rng(0), 1, families=[family])
    kernels_tables.curves_at(
        FAMILIES[family].code, np.array([x]), np.array([second]), terms.knots[0, 0], value, rise
    )
    assert value[0] == pytest.approx(naive_tables.exactly(family, x, second), rel=1e-12, abs=1e-290)
    wanted = float(saturation_slope(family, x, 1.0, second, naive_tables.POINTS))
    assert rise[0] == pytest.approx(wanted, rel=1e-11, abs=1e-290)
