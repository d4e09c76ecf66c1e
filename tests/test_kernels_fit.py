"""The fit's sampler against its twin, its deviates against scipy, and against a posterior known in closed form."""

from __future__ import annotations

import math
from typing import Any

import naive_fit
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, truncnorm

from optimizer import kernels_fit


@given(st.floats(-60, 60))
def test_log_phi(x: float) -> None:
    assert kernels_fit.log_phi(x) == pytest.approx(norm.logcdf(x), rel=1e-9, abs=1e-15)


@settings(max_examples=300, deadline=None)
@given(
    mean=st.floats(-6, 12),
    sd=st.floats(0.2, 5),
    most=st.one_of(st.just(math.inf), st.floats(0.05, 10)),
    u=st.floats(1e-6, 1 - 1e-6),
)
def test_deviates_between_zero_and_a_limit(mean: float, sd: float, most: float, u: float) -> None:
    wanted = naive_fit.held_normal(mean, sd, most, u)
    assert kernels_fit.held_normal(mean, sd, most, u) == pytest.approx(wanted, rel=1e-6, abs=1e-7 * sd)


@pytest.mark.parametrize("mean", [-38.0, -20.0, 45.0])
def test_deviates_far_in_the_tail(mean: float) -> None:
    drawn = np.array([kernels_fit.held_normal(mean, 1.0, 2.0, u) for u in (np.arange(999) + 0.5) / 999])
    law = truncnorm(-mean, 2.0 - mean, loc=mean)
    assert drawn.min() >= 0
    assert drawn.max() <= 2
    assert drawn.mean() == pytest.approx(law.mean(), rel=1e-3)


@settings(max_examples=300)
@given(
    means=st.lists(st.floats(-5, 30), min_size=1, max_size=6),
    root=st.floats(0.1, 8),
    room=st.one_of(st.just(math.inf), st.floats(0.5, 20)),
    seed=st.integers(0, 99),
)
def test_what_columns_weigh(means: list[float], root: float, room: float, seed: int) -> None:
    """Also where some are left out of the close look: what they would weigh is lost in the sum."""
    rng = np.random.default_rng(seed)
    prior, roots = rng.random(len(means)), root * rng.uniform(0.5, 2, len(means))
    found = np.empty(len(means) + 2)
    kernels_fit.weigh(prior, np.array(means), roots, room, found)
    wanted = np.array(
        [
            p - math.log(r) + 0.5 * (m * r) ** 2 + naive_fit.log_mass(m, 1 / r, room)
            for p, m, r in zip(prior, means, roots, strict=True)
        ]
    )
    shares = [np.exp(logs - logs.max()) for logs in (found[: len(means)], wanted)]
    np.testing.assert_allclose(*shares, rtol=1e-6, atol=1e-18)


def problem(seed: int, lines: int = 3, memories: int = 2, sweeps: int = 12) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    first = np.cumsum([0, *rng.integers(1, 5, lines)]).astype(np.int64)
    columns = rng.random((first[-1], 30))
    series = columns[first[:-1]].sum(axis=0) + rng.normal(size=30)
    weights = [rng.random(30) + 0.5 for _ in range(memories)]
    own = np.zeros(lines)
    own[-1] = rng.choice([0.0, 0.7])
    return {
        "gram": np.array([(columns * w) @ columns.T for w in weights]),
        "right": np.array([(columns * w) @ series for w in weights]),
        "total": np.array([(series * w) @ series for w in weights]),
        "weight": rng.random(memories),
        "first": first,
        "prior": rng.random(first[-1]),
        "own": own,
        "part": np.where(own > 0, 0.0, rng.random(lines)),
        "most": float(rng.choice([2.0, math.inf])),
        "widths": np.array([0.5, 1.0, 2.0]),
        "width_weight": rng.random(3),
        "levels": np.array([0.5, 1.0, 2.0]),
        "level_weight": rng.random(3),
        "uniform": rng.random((sweeps, 3 * lines + 2)),
        "gammas": rng.standard_gamma(12.0, sweeps),
        "keep": sweeps // 3,
    }


@pytest.mark.parametrize("seed", range(12))
def test_sampler_equals_its_twin(seed: int) -> None:
    given = problem(seed, lines=1 + seed % 4)
    chosen, gamma, variance, memory, level = kernels_fit.sample(**given)
    for d, wanted in enumerate(naive_fit.sample(**given)):
        assert chosen[d].tolist() == wanted["chosen"]
        np.testing.assert_allclose(gamma[d], wanted["gamma"], rtol=1e-6, atol=1e-9)
        assert variance[d] == pytest.approx(wanted["variance"], rel=1e-6)
        assert (memory[d], level[d]) == (wanted["memory"], wanted["level"])


def test_one_line_has_the_posterior_of_the_textbook() -> None:
    """One column, one memory, a given level and width: integrating the normal over the noise is a sum."""
    rng = np.random.default_rng(3)
    column = rng.random(40)
    series = 0.3 * column + rng.normal(size=40)
    gram, right, total = column @ column, column @ series, series @ series
    sweeps = 40_000
    sizes = kernels_fit.sample(
        np.array([[[gram]]]),
        np.array([[right]]),
        np.array([total]),
        np.zeros(1),
        np.array([0, 1]),
        np.zeros(1),
        np.zeros(1),
        np.ones(1),
        math.inf,
        np.ones(1),
        np.zeros(1),
        np.ones(1),
        np.zeros(1),
        rng.random((sweeps, 5)),
        rng.standard_gamma(20.0, sweeps),
        sweeps // 2,
    )[1][200:, 0]
    grid = np.linspace(0, 4, 4001)
    density = np.exp(-0.5 * (grid - 1) ** 2) * (total - 2 * right * grid + gram * grid**2) ** -20.0
    density /= density.sum()
    assert sizes.mean() == pytest.approx((grid * density).sum(), rel=0.02)
    at = grid[np.searchsorted(np.cumsum(density), [0.05, 0.5, 0.95])]
    np.testing.assert_allclose(np.quantile(sizes, [0.05, 0.5, 0.95]), at, atol=0.02)


def test_no_line_at_all_still_has_noise() -> None:
    none = np.empty((1, 0, 0))
    found = kernels_fit.sample(
        none,
        np.empty((1, 0)),
        np.array([30.0]),
        np.zeros(1),
        np.array([0]),
        np.empty(0),
        np.empty(0),
        np.empty(0),
        math.inf,
        np.ones(1),
        np.zeros(1),
        np.ones(1),
        np.zeros(1),
        np.full((10, 2), 0.5),
        np.full(10, 15.0),
        5,
    )
    assert found[1].shape == (5, 0)
    np.testing.assert_allclose(found[2], 1.0)
