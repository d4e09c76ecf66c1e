"""Hill curves side by side against their twin, and straight lines that they must not cross."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_batch import SMOOTH_KINDS, hill, kpi_of, make_accounts, make_rules

from optimizer import kernels_lanes as kernels
from optimizer.batch.accounts import read_accounts
from optimizer.batch.rules import load_rules

LANES = kernels.LANES


def a_term(rng: np.random.Generator, slopes: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A prepared term with its halves and slopes, one of each lane."""
    half, slope = rng.lognormal(3, 1, LANES), rng.uniform(*slopes, LANES)
    slope[0] = 1.0
    term = np.full(kernels.TERM, np.nan)
    term[kernels.HALF : kernels.HALF + LANES] = half
    term[kernels.SLOPE : kernels.SLOPE + LANES] = slope
    term[kernels.WEIGHT : kernels.WEIGHT + LANES] = 2.0
    kernels.take_logs(1, term)
    kernels.prepare(term, np.full(LANES, 1.5))
    kernels.prepare_zero(term)
    return term, half, slope


@pytest.mark.parametrize("slopes", [(0.2, 1.0), (1.0, 2.0), (2.0, 20.0)])
def test_values_slopes_and_curvatures_are_those_of_the_twin(slopes: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    term, half, slope = a_term(rng, slopes)
    place, out = np.empty(2 * LANES), np.zeros(3 * LANES)
    z = half * rng.lognormal(0, 0.7, LANES)
    kernels.locate(z, np.full(LANES, 1e-12), place)
    kernels.respond(term, z, place, out)
    for j in range(LANES):
        wanted = 3.0 * np.array(hill(z[j], half[j], slope[j]))
        np.testing.assert_allclose(out[j::LANES], wanted, rtol=1e-11, atol=1e-13 * np.abs(wanted).max())
    z[:] = 0.0
    out[:] = 0.0
    kernels.locate(z, np.full(LANES, 1e-12), place)
    kernels.respond(term, z, place, out)
    assert (out[:LANES] == 0.0).all()


@given(
    seed=st.integers(0, 10**6),
    slopes=st.sampled_from([(0.2, 1.0), (1.0, 2.0), (1.001, 1.2), (2.0, 4.0), (4.0, 20.0)]),
    from_zero=st.booleans(),
    width=st.sampled_from([0.01, 0.5, 3.0, 30.0]),
)
@settings(max_examples=150)
def test_no_curve_is_above_its_lines(
    seed: int, slopes: tuple[float, float], from_zero: bool, width: float
) -> None:
    rng = np.random.default_rng(seed)
    term, half, slope = a_term(rng, slopes)
    a = np.zeros(LANES) if from_zero else half * rng.lognormal(-0.5, 0.8, LANES)
    b = a + half * width * rng.uniform(0.5, 1.0, LANES)
    place, left, tiny = np.empty(2 * LANES), np.full(LANES, kernels.NEVER), 1e-12 * b
    ends = []
    for z in (a, b):
        out = np.zeros(5 * LANES)
        kernels.locate(z, tiny, place)
        kernels.span(term, z, place, left, from_zero, out)
        left = np.where(z > 0, place[:LANES], kernels.NEVER)
        ends.append(out.reshape(5, LANES))
    (value_a, rise_a, *_), (value_b, rise_b, most, up_0, down_0) = ends
    more = 0.5 * np.maximum(most, 0.0) * (b - a)
    up, down = (up_0, down_0) if from_zero else (rise_a + more, rise_b - more)
    for j in range(LANES):
        z = np.linspace(a[j], b[j], 300)
        z = z[z > 0]
        value, _, curve = (3.0 * part for part in hill(z, half[j], slope[j]))
        near = 1e-11 * (3.0 + np.abs(value).max())
        if np.isfinite(up[j]):
            assert (value <= value_a[j] + up[j] * (z - a[j]) + near).all()
        else:
            assert from_zero
            assert slope[j] < 1
        assert (value <= value_b[j] - down[j] * (b[j] - z) + near).all()
        if not from_zero:
            assert (curve <= most[j] + 1e-9 * np.abs(curve).max()).all()


@pytest.mark.parametrize("draws", [1, 4])
def test_what_spends_do_is_what_the_twin_says(draws: int) -> None:
    tables = [
        make_accounts(20, lines=n, seed=n, draws=draws, kinds=SMOOTH_KINDS).assign(
            account=lambda t, n=n: f"{n} " + t["account"]
        )
        for n in (1, 3, 5)
    ]
    import pandas as pd

    table = pd.concat(tables)
    accounts = read_accounts(pa.Table.from_pandas(table), load_rules(make_rules()))
    n, rows = len(accounts.starts) - 1, len(accounts.current)
    kpis, marginal = np.full((n, 2, 3), np.nan), np.full((2, 2, rows), np.nan)
    spend = 1.3 * accounts.current
    spend[::4] = 0.0
    curves = accounts.draws, accounts.family, accounts.at, accounts.values
    order = np.argsort(np.diff(accounts.starts), kind="stable")
    kernels.measure(order, spend, accounts.starts, accounts.upper, curves, kpis[:, :, 1], marginal[0])
    step = 1e-6 * accounts.current
    up, down = np.zeros((n, 2, 1)), np.zeros((n, 2, 1))
    spare = np.zeros((1, 2, rows))
    kernels.measure(order, spend + step, accounts.starts, accounts.upper, curves, up[:, :, 0], spare[0])
    kernels.measure(order, spend, accounts.starts, accounts.upper, curves, down[:, :, 0], spare[0])
    for a, name in enumerate(accounts.names.to_pylist()):
        own, at = table[table["account"] == name], slice(accounts.starts[a], accounts.starts[a + 1])
        for k in range(2):
            wanted = kpi_of(own, f"kpi{k}", spend[at], draws).mean()
            assert kpis[a, k, 1] == pytest.approx(wanted, rel=1e-10, abs=1e-12)
            if (spend[at] > 0).all():
                rise = np.sum(marginal[0, k, at] * step[at])
                assert up[a, k, 0] - down[a, k, 0] == pytest.approx(rise, rel=1e-3)
    assert np.isnan(kpis[:, :, 0]).all()
    assert np.isnan(marginal[1]).all()
