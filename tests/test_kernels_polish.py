"""Responses against their sums written out, and local optima against SciPy's SLSQP."""

from __future__ import annotations

import naive_tables
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from optimizer import kernels_polish
from optimizer.curves import FAMILIES
from optimizer.tables import ResponseTables

SMOOTH = ["hill", "michaelis_menten", "log1p", "tanh", "logistic"]


@given(seed=st.integers(0, 10**6), n_lines=st.integers(1, 6), n_kpis=st.integers(1, 3))
@settings(max_examples=50)
def test_responses_are_the_sums_written_out(seed, n_lines, n_kpis):
    rng = np.random.default_rng(seed)
    terms = naive_tables.make_terms(rng, n_lines, n_kpis, 4, list(FAMILIES), (0.5, 6.0), True)
    tables = ResponseTables(terms, np.zeros(n_lines), np.ones(n_lines))
    factors, z = rng.normal(size=n_kpis) * (rng.random(n_kpis) < 0.8), rng.uniform(0.1, 1.0, n_lines)
    found, slope = np.empty(n_lines), np.empty(n_lines)
    total = kernels_polish.responses(z, factors, 0.3, tables.arrays(), found, slope)
    wanted = [naive_tables.response(terms, factors, 0.3, line, z[line]) for line in range(n_lines)]
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)
    assert total == pytest.approx(sum(wanted), rel=1e-11, abs=1e-12)
    if not np.isin(terms.family, FAMILIES["points"].code).any():
        step = 1e-5
        ahead, behind = (
            np.array([naive_tables.response(terms, factors, 0.3, i, z[i] + s) for i in range(n_lines)])
            for s in (step, -step)
        )
        np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-5)


@given(
    seed=st.integers(0, 10**6),
    n_lines=st.integers(1, 10),
    exactly=st.booleans(),
    per_money=st.sampled_from([0, -1]),
)
@settings(max_examples=50)
def test_polish_reaches_the_optimum_of_concave_curves(seed, n_lines, exactly, per_money):
    rng = np.random.default_rng(seed)
    terms = naive_tables.make_terms(rng, n_lines, 1, 2, SMOOTH, (0.5, 1.0), False)
    lower, upper = rng.uniform(0.001, 0.02, n_lines), rng.uniform(0.05, 1.0, n_lines)
    budget = float(rng.uniform(lower.sum(), upper.sum()))
    tables = ResponseTables(terms, lower, upper)
    start = lower + (upper - lower) * (budget - lower.sum()) / (upper - lower).sum()
    z = start.copy()
    one = np.ones(1)
    before = kernels_polish.responses(z, one, per_money, tables.arrays(), np.empty(n_lines), np.empty(n_lines))
    worth = kernels_polish.polish(z, budget, exactly, 1e-13, one, float(per_money), tables.arrays())
    assert worth >= before
    assert np.all((z >= lower - 1e-15) & (z <= upper + 1e-15))
    assert z.sum() == pytest.approx(budget, rel=1e-12) if exactly else z.sum() <= budget * (1 + 1e-12)

    def loss(v):
        value, slope = np.empty(n_lines), np.empty(n_lines)
        total = kernels_polish.responses(v, one, float(per_money), tables.arrays(), value, slope)
        return -total, -slope

    rule = {
        "type": "eq" if exactly else "ineq",
        "fun": lambda v: budget - v.sum(),
        "jac": lambda v: -np.ones(n_lines),
    }
    found = minimize(
        loss,
        start,
        jac=True,
        bounds=list(zip(lower, upper, strict=True)),
        constraints=[rule],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    feasible = np.clip(found.x, lower, upper)
    if abs(feasible.sum() - budget) <= 1e-12 or (not exactly and feasible.sum() <= budget):
        assert worth >= -loss(feasible)[0] - 1e-7


@given(
    seed=st.integers(0, 10**6),
    n_lines=st.integers(1, 10),
    exactly=st.booleans(),
    share=st.sampled_from([0.0, 1e-9, 0.01, 0.5, 0.99, 1.0]),
)
@settings(max_examples=100)
def test_newton_step_is_the_optimum_of_the_quadratic_model(seed, n_lines, exactly, share):
    rng = np.random.default_rng(seed)
    lower, upper = np.zeros(n_lines), rng.uniform(0.1, 1.0, n_lines)
    z = upper * share
    budget = float(z.sum())
    slope = rng.normal(0.5, 1.0, n_lines)
    bend = 10.0 ** rng.uniform(-6, 6, n_lines) * (rng.random(n_lines) < 0.9)
    new = np.empty(n_lines)
    if not kernels_polish.newton(z, lower, upper, slope, bend, budget, exactly, new):
        assert not bend.any()
        return
    np.testing.assert_array_equal(new[bend == 0], z[bend == 0])
    assert np.all((new >= lower) & (new <= upper))
    assert new.sum() == pytest.approx(budget, rel=1e-12) if exactly else new.sum() <= budget * (1 + 1e-12)
    # But for rounding, one price of money for all lines inside their ranges; those at an end would go further.
    price = slope - bend * (new - z)
    moving, tight = bend > 0, new.sum() >= budget * (1 - 1e-12)
    at_low, at_high = new <= lower + 1e-9 * budget, new >= upper - 1e-9 * budget
    size = 1e-6 * (np.abs(slope).max() + (bend * upper).max())
    highest = np.max(price[moving & ~at_high], initial=-np.inf)
    lowest = np.min(price[moving & ~at_low], initial=np.inf)
    assert highest <= lowest + size
    if not exactly:
        assert lowest >= -size
        assert tight or highest <= size
