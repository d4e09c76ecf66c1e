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
from optimizer.curves import FAMILIES, pieces

NAMES = list(FAMILIES)
# A curve through points that is neither concave nor convex, and level in between.
POINTS = [[10.0, 1.0], [20.0, 5.0], [40.0, 5.0], [1000.0, 30.0]]
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


def one_curve(family: str, a: float, first: float, second: float, points: Any = POINTS) -> tuple[float, float]:
    """Value and slope of one curve with scale 1, through the public kernel: one line, one period."""
    cell = np.ones((1, 1, 1))
    whole = np.zeros((1, 1), dtype=np.int64)
    value, slope = np.empty((1, 1, 1)), np.empty((1, 1, 1))
    kernels.line_effects(
        np.array([a]),
        np.ones((1, 1)),
        np.zeros((1, 0)),
        np.ones((1, 1, 1, 1)),
        whole + 1,
        whole,
        whole + FAMILIES[family].code,
        cell,
        cell * first,
        cell * second,
        pieces(np.array(points)[None, None]),
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
    first = 1.0 if family in ("power", "points") else first
    value, slope = one_curve(family, a, first, second)
    wanted = float(naive.saturation(family, a, first, second, POINTS))
    assert value == pytest.approx(wanted, rel=CLOSE, abs=NOTHING)
    wanted = float(naive.saturation_slope(family, a, first, second, POINTS))
    # Compared as the effect of a step of one's own size, which underflows only where the value does, or the slope
    # by relative media, which is far below it where media are far beyond the curve.
    step = max(a, 1e-12 * first)
    assert slope * step == pytest.approx(wanted * step, rel=CLOSE, abs=NOTHING * max(1.0, step / first))


@pytest.mark.parametrize("family", NAMES)
@given(data=st.data())
@settings(max_examples=60)
def test_slope_is_the_central_difference_of_the_value(family, data):
    a, second = data.draw(st.floats(1e-3, 1e5)), data.draw(shape_of(family))
    if family == "points":
        # A kink has no slope to compare.
        a = next((knot * 1.01 for knot, _ in POINTS if abs(a / knot - 1) < 1e-3), a)
    first = 1.0 if family in ("power", "points") else a * data.draw(st.floats(1e-2, 1e2))
    _, slope = one_curve(family, a, first, second)
    with localcontext(prec=naive.DIGITS):
        step = Decimal(a) * Decimal("1e-9")
        high = naive.saturation(family, Decimal(a) + step, first, second, POINTS)
        low = naive.saturation(family, Decimal(a) - step, first, second, POINTS)
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
        ("logistic", 3.0, 3.0, 1.0, 0.5),
        ("tanh", 3.0, 3.0, 1.0, 0.5),
        # Two half-lives of exp(-lam a): (1 - 1/9) / (1 + 1/9).
        ("logistic", 6.0, 3.0, 1.0, 0.8),
        ("points", 15.0, 1.0, 1.0, 3.0),
        ("points", 30.0, 1.0, 1.0, 5.0),
        ("points", 2000.0, 1.0, 1.0, 30.0),
    ],
)
def test_curve_values_by_hand(family, a, first, second, value):
    assert one_curve(family, a, first, second)[0] == pytest.approx(value, rel=4e-16)


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
    assert slope == pytest.approx(beside, rel=1e-11)
    assert slope > 0


@st.composite
def arrays(draw: Any) -> dict[str, Any]:
    """Small random inputs of every kernel, with ordinary numbers here and there replaced by extremes."""
    n, d, k, n_lines, t, j, h = (draw(st.integers(low, 3)) for low in (1, 1, 1, 1, 1, 0, 0))
    # Sometimes more lags and periods than one pass takes, and more draws than a vector holds.
    j, d, t = (size + draw(st.sampled_from([0, 0, more])) for size, more in ((j, 4), (d, 16), (t, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    family = np.array([[draw(st.sampled_from(NAMES)) for _ in range(n_lines)] for _ in range(k)])
    cells = (k, n_lines, d)
    second = rng.uniform(0.3, 4.0, cells)
    second[family == "power"] = rng.uniform(0.05, 1.0, (int((family == "power").sum()), d))
    first = rng.uniform(1, 100, cells)
    length = rng.integers(1, j + 2, (k, n_lines))
    weights = np.zeros((k, n_lines, j + 1, d))
    for at in np.ndindex(*cells):
        found = naive.adstock_weights(draw(rate), int(length[at[:2]]), bool(rng.random() < 0.5))
        weights[at[0], at[1], : len(found), at[2]] = found
    bought = rng.uniform(0, 100, (n, n_lines, t)) * (rng.random((n, n_lines, t)) < 0.7)
    bought.flat[rng.integers(bought.size)] = draw(spread)
    history = rng.uniform(0, 100, (n_lines, h))
    if draw(st.booleans()):
        # Media that stay the same from somewhere on; sometimes they were so before the horizon.
        begin = int(rng.integers(t))
        bought[..., begin:] = bought[..., begin : begin + 1]
        if draw(st.booleans()):
            history[:] = bought[0, :, :1]
    if history.size:
        history.flat[rng.integers(history.size)] = draw(spread)
    scale = rng.uniform(0, 100, cells) * (rng.random(cells) < 0.9)
    scale.flat[rng.integers(scale.size)] = draw(st.sampled_from([0.0, 1e-50, 1e15]))
    return {
        "media": bought,
        "history": history,
        "weights": weights,
        "length": length,
        "after": rng.integers(0, 2, (k, n_lines)),
        "family": family,
        "scale": scale,
        "first": first,
        "second": second,
        "points": np.cumsum(rng.uniform(1, 50, (k, n_lines, 3, 2)), axis=2),
        "season": rng.uniform(0.5, 1.5, (k, t)) * (rng.random((k, t)) < 0.9),
    }


def compiled(case: dict[str, Any]) -> dict[str, Any]:
    """The same inputs as the kernels take them: families by code, points as pieces."""
    codes = np.array([[FAMILIES[name].code for name in row] for row in case["family"]], dtype=np.int64)
    rest = {name: value for name, value in case.items() if name != "points"}
    return rest | {"family": codes, "knots": pieces(case["points"])}


def slow(case: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in case.items() if name != "length"}


def all_outcomes(case: dict[str, Any]) -> np.ndarray:
    n_kpis, _, n_draws = case["scale"].shape
    out = np.full((len(case["media"]), n_kpis, n_draws), np.nan)
    kernels.outcomes(**compiled(case), start=0, stop=kernels.tasks(len(out), n_kpis, n_draws), out=out)
    return out


@given(arrays())
@settings(max_examples=150)
def test_outcomes_agree_with_their_twin(case):
    np.testing.assert_allclose(all_outcomes(case), naive.outcomes(**slow(case)), rtol=CLOSE, atol=NOTHING)


def each_line(case: dict[str, Any], media: np.ndarray) -> Any:
    """The arguments of a twin for each KPI, line and draw."""
    n_kpis, n_lines, n_draws = case["scale"].shape
    for k, line, d in np.ndindex(n_kpis, n_lines, n_draws):
        yield (
            (k, line, d),
            media[line],
            {
                "history": case["history"][line],
                "weights": case["weights"][k, line, :, d],
                "season": case["season"][k],
                "family": case["family"][k, line],
                **{name: case[name][k, line, d] for name in ("scale", "first", "second")},
                "points": case["points"][k, line],
                "after": case["after"][k, line],
            },
        )


@given(arrays(), spread)
@settings(max_examples=150)
def test_line_effects_agree_with_their_twin(case, spend):
    unit = case.pop("media")[0] / 100
    value, slope = np.full_like(case["scale"], np.nan), np.full_like(case["scale"], np.nan)
    kernels.line_effects(np.full(len(unit), spend), unit, **compiled(case), value=value, slope=slope)
    values, slopes = np.empty_like(value), np.empty_like(slope)
    for at, share, parts in each_line(case, unit):
        values[at] = naive.line_effect(share * spend, **parts)
        slopes[at] = naive.line_slope(share * spend, share, **parts)
    np.testing.assert_allclose(value, values, rtol=CLOSE, atol=NOTHING)
    np.testing.assert_allclose(slope, slopes, rtol=CLOSE, atol=NOTHING)


def all_gradients(case: dict[str, Any], share: np.ndarray) -> np.ndarray:
    n_plans, n_lines, n_periods = case["media"].shape
    out = np.full((n_plans, len(case["scale"]), n_lines, n_periods), np.nan)
    stop = kernels.gradient_tasks(n_plans, len(case["scale"]), n_lines)
    kernels.gradients(**compiled(case), share=share, start=0, stop=stop, out=out)
    return out


@given(arrays())
@settings(max_examples=40)
def test_gradients_agree_with_their_twin(case):
    n_kpis, n_lines, n_draws = case["scale"].shape
    n_periods = case["season"].shape[1]
    share = np.random.default_rng(1).dirichlet(np.ones(n_draws), (len(case["media"]), n_kpis))
    found = all_gradients(case, share)
    for n, media in enumerate(case["media"]):
        wanted = np.zeros((n_kpis, n_lines, n_periods))
        for (k, line, d), bought, parts in each_line(case, media):
            for t in range(n_periods):
                more = np.eye(n_periods)[t]
                wanted[k, line, t] += share[n, k, d] * naive.line_slope(bought, more, **parts)
        np.testing.assert_allclose(found[n], wanted, rtol=CLOSE, atol=NOTHING)


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("family", NAMES)
def test_gradients_are_central_differences(family, after):
    case = ordinary(1, 2, 2, 5, 40)
    case["family"] = np.full((2, 2), family)
    case["after"][:] = after
    share = np.random.default_rng(1).dirichlet(np.ones(40), (1, 2))
    found = all_gradients(case, share)[0]

    def mean(media: np.ndarray) -> np.ndarray:
        return (all_outcomes(case | {"media": media}) * share).sum(axis=2)[0]

    for line, t in np.ndindex(2, 5):
        step = np.zeros_like(case["media"])
        step[0, line, t] = 1e-3 * case["media"][0, line, t]
        size = step.sum()
        near = mean(case["media"] + step) - mean(case["media"] - step)
        far = mean(case["media"] + 2 * step) - mean(case["media"] - 2 * step)
        np.testing.assert_allclose(found[:, line, t], (8 * near - far) / (12 * size), rtol=1e-6)


def ordinary(n: int, k: int, n_lines: int, t: int, d: int, lags: int = 3) -> dict[str, Any]:
    """Inputs of the size asked for, without extremes; points far from where media comes to lie."""
    rng = np.random.default_rng(5)
    cells = (k, n_lines, d)
    return {
        "media": rng.uniform(20, 100, (n, n_lines, t)),
        "history": rng.uniform(20, 50, (n_lines, 2)),
        "weights": rng.dirichlet(np.ones(lags), cells).transpose(0, 1, 3, 2).copy(),
        "length": np.full((k, n_lines), lags),
        "after": rng.integers(0, 2, (k, n_lines)),
        "family": rng.choice(NAMES, (k, n_lines)),
        "scale": rng.uniform(0, 9, cells),
        "first": rng.uniform(10, 50, cells),
        "second": rng.uniform(0.2, 1, cells),
        "points": np.tile([[5.0, 1.0], [1000.0, 20.0]], (k, n_lines, 1, 1)),
        "season": rng.uniform(0.5, 1.5, (k, t)),
    }


def test_line_effects_add_up_to_outcomes_in_every_block():
    # More draws than two blocks hold, the last one not full.
    case = ordinary(1, 3, 5, 6, 2 * kernels.BLOCK + 7)
    spend, unit = case["media"][0].sum(axis=1), case["media"][0] / case["media"][0].sum(axis=1, keepdims=True)
    value, slope = np.empty_like(case["scale"]), np.empty_like(case["scale"])
    rest = {name: array for name, array in compiled(case).items() if name != "media"}
    kernels.line_effects(spend, unit, **rest, value=value, slope=slope)
    np.testing.assert_allclose(value.sum(axis=1), all_outcomes(case)[0], rtol=1e-13)


def test_a_result_does_not_depend_on_how_tasks_are_shared_out():
    case = ordinary(7, 2, 3, 5, 300)
    whole, parts = all_outcomes(case), np.full((7, 2, 300), np.nan)
    for task in reversed(range(kernels.tasks(7, 2, 300))):
        kernels.outcomes(**compiled(case), start=task, stop=task + 1, out=parts)
    np.testing.assert_array_equal(parts, whole)


def test_plans_of_one_task_do_not_know_of_each_other():
    # More plans than one task has.
    case, share = ordinary(7, 2, 3, 5, 20), np.random.default_rng(0).random((7, 2, 20))
    alone = [
        all_gradients(case | {"media": case["media"][n : n + 1]}, share[n : n + 1]) for n in range(len(share))
    ]
    np.testing.assert_array_equal(all_gradients(case, share), np.concatenate(alone))


@given(media, st.lists(media, min_size=1, max_size=5), st.floats(1e-6, 0.99))
def test_adstock_of_a_linear_line_is_the_weighted_sum_of_its_past(before, bought, decay):
    # By hand, for two lags: y[t] = m[t] + r m[t - 1] + r^2 m[t - 2], with one period of history.
    periods = len(bought)
    case = ordinary(1, 1, 1, periods, 1) | {
        "media": np.array([[bought]]),
        "history": np.array([[before]]),
        "weights": np.array([1.0, decay, decay**2]).reshape(1, 1, 3, 1),
        "family": np.array([["linear"]]),
        "scale": np.ones((1, 1, 1)),
        "season": np.ones((1, periods)),
    }
    past = [0.0, before, *bought]
    wanted = sum(past[t + 2] + decay * past[t + 1] + decay**2 * past[t] for t in range(periods))
    assert all_outcomes(case).item() == pytest.approx(wanted, rel=CLOSE, abs=NOTHING)
