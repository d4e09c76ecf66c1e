"""Branch and bound against brute force, and at the edges of what can be asked."""

from __future__ import annotations

from dataclasses import replace

import naive_tables
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from optimizer.curves import FAMILIES
from optimizer.kernels_separable import CLOSED, DONE, FULL, OPEN, VALUE, best_split
from optimizer.kernels_tables import number_twins
from optimizer.tables import ResponseTables, Terms


def solve(
    terms: Terms,
    lower,
    upper,
    budget: float,
    exactly: bool = True,
    factors=(1.0,),
    per_money: float = 0.0,
    tolerance: float = 1e-6,
    boxes: int = 4096,
    points: int = 7,
):
    """Best split, its value, the bound and how the search ended; the value is what the split is really worth."""
    lower, upper = np.array(lower, dtype=float), np.array(upper, dtype=float)
    tables = ResponseTables(terms, lower, upper, points)
    room, bounds = np.empty((boxes, 2, len(lower))), np.empty(boxes)
    state, best = np.zeros(4), np.full(len(lower), np.nan)
    room[0], bounds[0] = (lower, upper), np.inf
    state[OPEN], state[VALUE], state[CLOSED] = 1, -np.inf, -np.inf
    while True:
        ended = best_split(
            budget,
            exactly,
            tolerance,
            np.array(factors),
            per_money,
            room,
            bounds,
            state,
            best,
            tables.arrays(),
        )
        if ended != FULL:
            break
        tables.grow()
    bound = max(state[VALUE], state[CLOSED], bounds[: int(state[OPEN])].max(initial=-np.inf))
    assert np.all((best >= lower) & (best <= upper * (1 + 1e-15)))
    assert (
        best.sum() == pytest.approx(budget, rel=1e-11, abs=1e-300)
        if exactly
        else best.sum() <= budget * (1 + 1e-11)
    )
    value = sum(
        float(naive_tables.response(terms, factors, per_money, line, best[line])) for line in range(len(lower))
    )
    assert value == pytest.approx(state[VALUE], rel=1e-10, abs=1e-11)
    return best, value, bound, ended


def a_case(seed: int, n_lines: int, n_kpis: int = 1, n_terms: int = 1, families=("hill",), slopes=(0.6, 4.0)):
    """Terms, a box and a budget that fits into it, from tight to loose."""
    rng = np.random.default_rng(seed)
    terms = naive_tables.make_terms(rng, n_lines, n_kpis, n_terms, families, slopes, history=n_terms > 1)
    today, width = rng.dirichlet(np.full(n_lines, 3.0)), rng.choice([0.05, 0.3, 1.0])
    lower = today * (1.0 - width)
    upper = today * (1.0 + width * rng.choice([1.0, 5.0, 30.0]))
    return terms, lower, np.minimum(upper, 1.0), 1.0


def functions(terms: Terms, factors=(1.0,), per_money: float = 0.0):
    return [
        (lambda z, line=line: naive_tables.response(terms, factors, per_money, line, z))
        for line in range(terms.family.shape[1])
    ]


@given(
    seed=st.integers(0, 10**6),
    n_lines=st.integers(1, 6),
    exactly=st.booleans(),
    n_terms=st.integers(1, 3),
    slopes=st.sampled_from([(0.6, 4.0), (0.3, 1.0), (2.0, 12.0), (20.0, 20.0)]),
)
@settings(max_examples=15)
def test_no_split_on_a_grid_is_above_the_bound_or_much_above_the_plan(seed, n_lines, exactly, n_terms, slopes):
    terms, lower, upper, budget = a_case(seed, n_lines, 1, n_terms, list(FAMILIES), slopes)
    _best, value, bound, ended = solve(terms, lower, upper, budget, exactly)
    assert ended == DONE
    assert value <= bound <= value + 1e-6 + 1e-11
    grid = naive_tables.best_of_grid(functions(terms), lower, upper, budget, 400, exactly)
    assert grid <= bound + 1e-11


@given(
    seed=st.integers(0, 10**6),
    n_lines=st.integers(2, 5),
    exactly=st.booleans(),
    per_money=st.sampled_from([0.0, -0.5, -3.0, 0.5]),
)
@settings(max_examples=15)
def test_kpis_that_count_against_it_and_spend_that_costs(seed, n_lines, exactly, per_money):
    terms, lower, upper, budget = a_case(seed, n_lines, 3, 2, list(FAMILIES), (0.5, 5.0))
    factors = np.random.default_rng(seed).normal(size=3).round(1)
    _best, value, bound, ended = solve(terms, lower, upper, budget, exactly, factors, per_money, 1e-5)
    assert ended == DONE
    assert value <= bound <= value + 1e-5 + 1e-10
    grid = naive_tables.best_of_grid(functions(terms, factors, per_money), lower, upper, budget, 400, exactly)
    assert grid <= bound + 1e-10


@pytest.mark.parametrize("seed", range(12))
def test_never_below_local_search_from_many_starts(seed):
    terms, lower, upper, budget = a_case(seed, 8)
    _, value, bound, ended = solve(terms, lower, upper, budget)
    assert ended == DONE
    rate, _, slope, weight = terms.table[:4]

    def loss(z):
        x = np.maximum(rate * z, 1e-12)
        power = x**-slope
        s = 1.0 / (1.0 + power)
        return -float(weight @ s), -weight * s * s * power * slope / x * rate

    rng = np.random.default_rng(seed)
    rule = {"type": "eq", "fun": lambda z: budget - z.sum(), "jac": lambda z: -np.ones(8)}
    for _ in range(20):
        start = np.clip(rng.dirichlet(np.ones(8)), lower, upper)
        found = minimize(
            loss, start, jac=True, bounds=list(zip(lower, upper, strict=True)), constraints=[rule], method="SLSQP"
        )
        z = np.clip(found.x, lower, upper)
        if abs(z.sum() - budget) < 1e-9:
            assert -loss(z)[0] <= value + 1e-6
            assert -loss(z)[0] <= bound + 1e-9


def test_money_that_earns_nothing_is_left():
    # Each line is best at about a third of its range; all of it together is under the budget.
    terms = naive_tables.make_terms(np.random.default_rng(0), 4, slopes=(0.8, 3.0))
    lower, upper = np.zeros(4), np.full(4, 0.5)
    z, value, _bound, _ = solve(terms, lower, upper, 1.9, False, per_money=-0.4)
    assert z.sum() < 1.5
    forced = solve(terms, lower, upper, 1.9, True, per_money=-0.4)
    assert forced[0].sum() == pytest.approx(1.9)
    assert forced[1] < value - 0.01
    nothing = solve(terms, lower, upper, 1.9, False, per_money=-1e3)
    np.testing.assert_array_equal(nothing[0], 0.0)


@pytest.mark.parametrize("exactly", [True, False])
def test_edges_of_the_box(exactly):
    terms = naive_tables.make_terms(np.random.default_rng(1), 5, slopes=(0.5, 4.0))
    lower, upper = np.array([0.1, 0.0, 0.2, 0.0, 0.05]), np.array([0.5, 0.3, 0.2, 0.0, 0.4])
    at_least = solve(terms, lower, upper, lower.sum(), exactly)
    np.testing.assert_allclose(at_least[0], lower, atol=1e-12)
    at_most = solve(terms, lower, upper, upper.sum(), exactly)
    np.testing.assert_allclose(at_most[0], upper, atol=1e-12)
    pinned = solve(terms, lower, lower, lower.sum(), exactly)
    np.testing.assert_array_equal(pinned[0], lower)
    for _, value, bound, ended in (at_least, at_most, pinned):
        assert ended == DONE
        assert value <= bound <= value + 1e-6


@pytest.mark.parametrize("exactly", [True, False])
def test_lines_that_do_nothing_and_a_single_line(exactly):
    terms = naive_tables.make_terms(np.random.default_rng(1), 3)
    idle = replace(terms, table=terms.table * np.array([1, 1, 1, 0, 1, 1])[:, None])
    _, value, bound, ended = solve(idle, np.zeros(3), np.ones(3), 1.0, exactly)
    assert (ended, value) == (DONE, 0.0)
    assert bound <= 1e-6
    one = naive_tables.make_terms(np.random.default_rng(2), 1)
    z, *_ = solve(one, [0.0], [2.0], 1.0, exactly)
    np.testing.assert_allclose(z, 1.0, rtol=1e-9)
    none = naive_tables.make_terms(np.random.default_rng(2), 3, families=["none"])
    assert solve(none, np.zeros(3), np.ones(3), 1.0, exactly)[3] == DONE


def test_nothing_to_spend():
    terms = naive_tables.make_terms(np.random.default_rng(1), 3)
    for exactly in (True, False):
        z, value, bound, ended = solve(terms, np.zeros(3), np.ones(3), 0.0, exactly)
        np.testing.assert_array_equal(z, 0.0)
        assert ended == DONE
        assert value <= bound <= value + 1e-6


@given(seed=st.integers(0, 10**6), n_lines=st.integers(2, 10))
@settings(max_examples=30)
def test_the_order_of_lines_and_units_do_not_matter(seed, n_lines):
    terms, lower, upper, budget = a_case(seed, n_lines)
    _, value, _bound, _ = solve(terms, lower, upper, budget, tolerance=1e-8)
    turn = np.random.default_rng(seed).permutation(n_lines)
    turned = replace(terms, table=np.ascontiguousarray(terms.table[:, turn]))
    other = solve(turned, lower[turn], upper[turn], budget, tolerance=1e-8)
    assert other[1] == pytest.approx(value, abs=1.1e-8)
    # Money in cents, effects in thousands.
    row = np.array([0.01, 1.0, 1.0, 1e-3, 1.0, 1.0])[:, None]
    scaled = replace(terms, table=terms.table * row)
    scaled_value = solve(scaled, lower * 100, upper * 100, budget * 100, tolerance=1e-11)[1]
    assert scaled_value * 1e3 == pytest.approx(value, abs=2e-8)


@given(seed=st.integers(0, 10**6), n_lines=st.integers(2, 10))
@settings(max_examples=30)
def test_looser_bounds_are_never_worse_and_tolerance_is_kept(seed, n_lines):
    terms, lower, upper, budget = a_case(seed, n_lines)
    _, tight, _, _ = solve(terms, lower, upper, budget)
    _, loose, _, _ = solve(terms, lower * 0.5, upper * 1.5, budget)
    assert loose >= tight - 1e-6
    for tolerance in (1e-2, 1e-4, 1e-8):
        _, value, bound, ended = solve(terms, lower, upper, budget, tolerance=tolerance)
        assert ended == DONE
        assert value <= bound <= value + tolerance + 1e-11
        assert bound >= tight - 1e-11


@pytest.mark.parametrize("points", [2, 3, 20])
def test_any_first_grid_will_do(points):
    terms, lower, upper, budget = a_case(5, 12)
    _, value, _bound, ended = solve(terms, lower, upper, budget, points=points)
    assert ended == DONE
    assert value == pytest.approx(solve(terms, lower, upper, budget)[1], abs=1e-6)


def test_a_search_out_of_room_tells_an_honest_bound():
    terms = naive_tables.make_terms(np.random.default_rng(4), 12, slopes=(3.0, 8.0))
    lower, upper = np.zeros(12), np.ones(12)
    done = solve(terms, lower, upper, 0.3)
    assert done[3] == DONE
    _, value, bound, ended = solve(terms, lower, upper, 0.3, boxes=3)
    assert value <= done[1] + 1e-6
    assert bound >= done[1] - 1e-11
    assert ended != DONE or bound - value <= 1e-6


@pytest.mark.parametrize("spread", [1e-9, 1e-4, 1e4, 1e9])
def test_lines_of_very_different_size(spread):
    rng = np.random.default_rng(3)
    terms = naive_tables.make_terms(rng, 8)
    table = terms.table.copy()
    table[0, ::2] /= spread
    terms = replace(terms, table=table)
    _, value, bound, ended = solve(terms, np.zeros(8), np.ones(8), 1.0)
    assert ended == DONE
    assert value <= bound <= value + 1e-6 + 1e-11
    grid = naive_tables.best_of_grid(functions(terms), np.zeros(8), np.ones(8), 1.0, 500)
    assert grid <= bound + 1e-11


def alike(seed: int, n: int) -> Terms:
    """One line, ``n`` times."""
    one = naive_tables.make_terms(np.random.default_rng(seed), 1, slopes=(2.0, 4.0))
    return Terms(
        np.repeat(one.family, n, axis=1),
        np.repeat(one.table, n, axis=1),
        np.arange(n + 1),
        np.repeat(one.constant, n, axis=1),
        np.repeat(one.knots, n, axis=1),
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [2, 5, 16, 40])
def test_lines_exactly_alike(seed, n):
    # Nothing tells them apart: the search must not try every subset.
    terms, upper = alike(seed, n), np.ones(n)
    upper[n // 2 :] = 0.8
    _, value, bound, ended = solve(terms, np.zeros(n), upper, 0.33 * n, tolerance=1e-6)
    assert ended == DONE
    assert value <= bound <= value + 1e-6 + 1e-10
    grid = naive_tables.best_of_grid(functions(terms), np.zeros(n), upper, 0.33 * n, 33 * n)
    assert grid <= bound + 1e-10


def test_twins_are_alike_in_everything():
    terms = alike(0, 4)
    lower, upper = np.zeros(4), np.ones(4)

    def twins():
        return number_twins(ResponseTables(terms, lower, upper).arrays())

    np.testing.assert_array_equal(twins(), 0)
    upper[1] = 0.5
    np.testing.assert_array_equal(twins(), [0, 1, 0, 0])
    terms.table[2, 3] += 1e-15
    np.testing.assert_array_equal(twins(), [0, 1, 0, 3])
    terms.constant[0, 2] = 1.0
    np.testing.assert_array_equal(twins(), [0, 1, 2, 3])
