"""The compiled kernels against their naive twins, at ordinary, zero, tiny and huge numbers."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer import kernels
from optimizer.curves import FAMILIES

NAMES = list(FAMILIES)
# Relative agreement asked of a kernel and its twin; below `NOTHING` a double has no digits left.
CLOSE, NOTHING = 1e-12, 1e-290

wide = st.builds(lambda digits, power: digits * 10.0**power, st.floats(1.0, 10.0), st.integers(-100, 99))
media = st.one_of(st.just(0.0), wide, st.floats(0.1, 1000.0))
rate = st.one_of(st.just(0.0), st.floats(1e-6, 0.99))
# Within a sum of many factors extremes are kept so far apart that no intermediate product underflows.
spread = st.one_of(st.just(0.0), st.sampled_from([1e-30, 1e-12, 1e12, 1e30]), st.floats(0.1, 1000.0))


def shape_of(family: str) -> st.SearchStrategy[float]:
    """The second parameter where the family has one: Hill slopes up to 20, power exponents up to 1."""
    return {"hill": st.floats(0.05, 20.0), "power": st.floats(1e-3, 1.0)}.get(family, st.just(1.0))


def one_curve(family: str, a: float, first: float, second: float) -> tuple[float, float]:
    """Value and slope of one curve with scale 1, through the public kernel: one line, one period."""
    cell = np.ones((1, 1, 1))
    value, slope = np.empty((1, 1, 1)), np.empty((1, 1, 1))
    kernels.line_effects(
        np.array([a]),
        np.ones((1, 1)),
        np.zeros((1, 0)),
        np.ones((1, 1, 1, 1)),
        np.array([[FAMILIES[family].code]]),
        cell,
        cell * first,
        cell * second,
        np.ones((1, 1)),
        value,
        slope,
    )
    return float(value[0, 0, 0]), float(slope[0, 0, 0])


@pytest.mark.parametrize("family", NAMES)
@given(data=st.data())
@settings(max_examples=150)
def test_curve_agrees_with_its_twin(family, data):
    a, first, second = data.draw(media), data.draw(wide), data.draw(shape_of(family))
    # The slope in a power curve's media is clipped at a fixed point: it has no `first`.
    first = 1.0 if family == "power" else first
    value, slope = one_curve(family, a, first, second)
    assert value == pytest.approx(float(naive.saturation(family, a, first, second)), rel=CLOSE, abs=NOTHING)
    wanted = float(naive.saturation_slope(family, a, first, second))
    # Compared as the effect of a step of one's own size, which underflows only where the value does.
    step = max(a, 1e-12 * first)
    assert slope * step == pytest.approx(wanted * step, rel=CLOSE, abs=NOTHING)


@pytest.mark.parametrize("family", NAMES)
@given(data=st.data())
@settings(max_examples=60)
def test_slope_is_the_central_difference_of_the_value(family, data):
    a, second = data.draw(st.floats(1e-3, 1e5)), data.draw(shape_of(family))
    first = 1.0 if family == "power" else a * data.draw(st.floats(1e-2, 1e2))
    _, slope = one_curve(family, a, first, second)
    with localcontext(prec=naive.DIGITS):
        step = Decimal(a) * Decimal("1e-9")
        high = naive.saturation(family, Decimal(a) + step, first, second)
        low = naive.saturation(family, Decimal(a) - step, first, second)
        difference = float((high - low) / (2 * step))
    assert slope == pytest.approx(difference, rel=1e-6, abs=NOTHING)


@pytest.mark.parametrize(
    ("family", "a", "first", "second", "value"),
    [
        ("none", 7.0, 3.0, 1.0, 0.0),
        ("linear", 7.0, 3.0, 1.0, 7.0),
        ("hill", 3.0, 3.0, 4.0, 0.5),
        ("hill", 6.0, 3.0, 2.0, 0.8),
        ("michaelis_menten", 6.0, 3.0, 1.0, 2 / 3),
        ("power", 16.0, 1.0, 0.25, 2.0),
        ("log1p", 3.0, 3.0, 1.0, 0.6931471805599453),
    ],
)
def test_curve_values_by_hand(family, a, first, second, value):
    assert one_curve(family, a, first, second)[0] == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("family", NAMES)
@given(data=st.data())
@settings(max_examples=100)
def test_finite_in_finite_out(family, data):
    a = data.draw(st.one_of(st.just(0.0), st.floats(5e-324, 1e17), wide))
    first, second = data.draw(wide), data.draw(shape_of(family))
    value, slope = one_curve(family, a, first, second)
    assert np.isfinite(value)
    assert np.isfinite(slope)
    assert value >= 0
    assert slope >= 0


@pytest.mark.parametrize("family", ["hill", "michaelis_menten", "power", "log1p"])
def test_slope_at_zero_is_the_slope_just_beside_it(family):
    first = 1.0 if family == "power" else 50.0
    _, slope = one_curve(family, 0.0, first, 0.5)
    _, beside = one_curve(family, 1e-12 * first, first, 0.5)
    assert slope == beside
    assert slope > 0


@st.composite
def arrays(draw: Any) -> dict[str, Any]:
    """Small random inputs of every kernel, with ordinary numbers here and there replaced by extremes."""
    n, d, k, n_lines, t, j, h = (draw(st.integers(low, 3)) for low in (1, 1, 1, 1, 1, 0, 0))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    family = np.array([[draw(st.sampled_from(NAMES)) for _ in range(n_lines)] for _ in range(k)])
    second = rng.uniform(0.3, 4.0, (d, k, n_lines))
    second[:, family == "power"] = rng.uniform(0.05, 1.0, (d, int((family == "power").sum())))
    first = rng.uniform(1, 100, (d, k, n_lines))
    first[:, family == "power"] = 1.0
    lengths = rng.integers(1, j + 2, (k, n_lines))
    weights = np.zeros((d, k, n_lines, j + 1))
    for at in np.ndindex(d, k, n_lines):
        found = naive.adstock_weights(draw(rate), int(lengths[at[1:]]), bool(rng.random() < 0.5))
        weights[at][: len(found)] = found
    bought = rng.uniform(0, 100, (n, n_lines, t)) * (rng.random((n, n_lines, t)) < 0.7)
    bought.flat[rng.integers(bought.size)] = draw(spread)
    history = rng.uniform(0, 100, (n_lines, h))
    if history.size:
        history.flat[rng.integers(history.size)] = draw(spread)
    scale = rng.uniform(0, 100, (d, k, n_lines)) * (rng.random((d, k, n_lines)) < 0.9)
    scale.flat[rng.integers(scale.size)] = draw(st.sampled_from([0.0, 1e-50, 1e15]))
    return {
        "media": bought,
        "history": history,
        "weights": weights,
        "family": family,
        "scale": scale,
        "first": first,
        "second": second,
        "season": rng.uniform(0.5, 1.5, (k, t)),
    }


def codes(family: np.ndarray) -> np.ndarray:
    return np.array([[FAMILIES[name].code for name in row] for row in family], dtype=np.int64)


@given(arrays())
@settings(max_examples=120)
def test_outcomes_agree_with_their_twin(case):
    out = np.full((len(case["media"]), *case["scale"].shape[:2]), np.nan)
    kernels.outcomes(**(case | {"family": codes(case["family"])}), out=out)
    np.testing.assert_allclose(out, naive.outcomes(**case), rtol=CLOSE, atol=NOTHING)


@given(arrays(), spread)
@settings(max_examples=120)
def test_line_effects_agree_with_their_twin(case, spend):
    unit = case.pop("media")[0] / 100
    case |= {"unit": unit, "spend": np.full(len(unit), spend)}
    value, slope = np.full_like(case["scale"], np.nan), np.full_like(case["scale"], np.nan)
    kernels.line_effects(**(case | {"family": codes(case["family"])}), value=value, slope=slope)
    values, slopes = naive.line_effects(**case)
    np.testing.assert_allclose(value, values, rtol=CLOSE, atol=NOTHING)
    np.testing.assert_allclose(slope, slopes, rtol=CLOSE, atol=NOTHING)


@given(arrays(), st.floats(1.0, 1000.0))
@settings(max_examples=60)
def test_line_effects_slope_is_the_central_difference(case, spend):
    case["history"] = np.minimum(case["history"], 100.0)
    # No share so small that the slope is taken at the nearest point to zero instead.
    unit = np.clip(case.pop("media")[0] / 100, 1e-3, 1.0)
    case["family"] = codes(case["family"])

    def effects(at: float) -> tuple[np.ndarray, np.ndarray]:
        value, slope = np.empty_like(case["scale"]), np.empty_like(case["scale"])
        kernels.line_effects(np.full(len(unit), at), unit, **case, value=value, slope=slope)
        return value, slope

    step = 1e-4 * spend
    value, slope = effects(spend)
    low, high = effects(spend - step)[0], effects(spend + step)[0]
    lower, higher = effects(spend - 2 * step)[0], effects(spend + 2 * step)[0]
    # Five points: the error is of the fourth power of the step, and what is left is rounding of the values.
    difference = (8 * (high - low) - (higher - lower)) / (12 * step)
    rounding = 1e-14 * np.abs(value) / step
    assert np.all(np.abs(slope - difference) <= 1e-6 * np.abs(slope) + rounding)


def test_line_effects_add_up_to_outcomes():
    rng = np.random.default_rng(5)
    shape = (4, 3, 5)
    case = {
        "history": rng.uniform(0, 50, (5, 2)),
        "weights": rng.uniform(0, 1, (*shape, 4)),
        "family": rng.integers(0, 6, (3, 5)),
        "scale": rng.uniform(0, 9, shape),
        "first": rng.uniform(1, 50, shape),
        "second": rng.uniform(0.2, 1, shape),
        "season": rng.uniform(0.5, 1.5, (3, 6)),
    }
    spend, unit = rng.uniform(0, 500, 5), rng.dirichlet(np.ones(6), 5)
    out, value, slope = np.empty((1, 4, 3)), np.empty(shape), np.empty(shape)
    kernels.outcomes(media=(spend[:, None] * unit)[None], out=out, **case)
    kernels.line_effects(spend=spend, unit=unit, value=value, slope=slope, **case)
    np.testing.assert_allclose(value.sum(axis=2), out[0], rtol=1e-13)


@given(media, st.lists(media, min_size=1, max_size=5), st.floats(1e-6, 0.99))
def test_adstock_of_a_linear_line_is_the_weighted_sum_of_its_past(before, bought, decay):
    # By hand, for two lags: y[t] = m[t] + r m[t - 1] + r^2 m[t - 2], with one period of history.
    out = np.empty((1, 1, 1))
    cell = np.ones((1, 1, 1))
    periods = len(bought)
    kernels.outcomes(
        np.array([[bought]]),
        np.array([[before]]),
        np.array([[[[1.0, decay, decay**2]]]]),
        np.array([[1]]),
        cell,
        cell,
        cell,
        np.ones((1, periods)),
        out,
    )
    past = [0.0, before, *bought]
    wanted = sum(past[t + 2] + decay * past[t + 1] + decay**2 * past[t] for t in range(periods))
    assert out[0, 0, 0] == pytest.approx(wanted, rel=CLOSE, abs=NOTHING)
