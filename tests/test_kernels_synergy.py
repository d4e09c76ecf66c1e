"""The compiled kernels of synergy against their naive twin, at ordinary, zero, tiny and huge numbers."""

from __future__ import annotations

from typing import Any

import naive_synergy as twin
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_kernels import CLOSE, NAMES, NOTHING, arrays, compiled, ordinary

from optimizer import kernels_synergy as kernels
from optimizer.synergy import Links, Synergy

ORDER = ("history", "weights", "length", "after", "family", "scale", "first", "second", "knots", "season")
# Givers whose share is never above 1, if their weights do not add up to more.
LEVEL = ("hill", "michaelis_menten", "logistic", "tanh")

Gains = dict[tuple[int, int, int], np.ndarray]


@st.composite
def gains(draw: Any, case: dict[str, Any]) -> Gains:
    """Gains (D,) by KPI, giver and taker: none, some, a thousand, and down to what leaves nothing of an effect."""
    n_kpis, n_lines, n_draws = case["scale"].shape
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    found = {}
    for k, giver, taker in np.ndindex(n_kpis, n_lines, n_lines):
        names = case["family"][k, giver], case["family"][k, taker]
        if giver == taker or "none" in names or rng.random() < 0.3:
            continue
        some = rng.uniform(-1.0, 3.0, n_draws)
        some[rng.integers(n_draws)] = rng.choice([0.0, 1e-30, 1000.0, -1.0])
        carried = case["weights"][k, giver].sum(axis=0) if case["after"][k, giver] else np.ones(n_draws)
        falling = some / np.maximum(carried, 1.0) if names[0] in LEVEL else np.zeros(n_draws)
        found[k, giver, taker] = np.where(some < 0, falling, some)
    return found


def links(case: dict[str, Any], found: Gains) -> Links:
    n_kpis, n_lines, n_draws = case["scale"].shape
    names = tuple((f"{k}", f"{giver:02d}", f"{taker:02d}") for k, giver, taker in found)
    gain = np.array(list(found.values())).reshape(-1, n_draws).T
    numbered = Synergy(names, gain).links([f"{k}" for k in range(n_kpis)], [f"{i:02d}" for i in range(n_lines)])
    assert numbered is not None
    return numbered


def arguments(case: dict[str, Any], found: Gains) -> tuple[Any, Any, np.ndarray]:
    """Parameters and links as the kernels take them, and which lines they look at: (K, L)."""
    prepared, linked = compiled(case), links(case, found)
    return tuple(prepared[name] for name in ORDER), tuple(linked), linked.slots >= 0


def for_twin(
    case: dict[str, Any], found: Gains, media: np.ndarray, k: int, d: int, sign: bool = True
) -> dict[str, Any]:
    """The twin's arguments for one KPI and draw; without sign, every gain as if it were one."""
    names = ("family", "points", "after")
    lines = [
        {
            "media": media[line],
            "history": case["history"][line],
            "weights": case["weights"][k, line, :, d],
            **{name: case[name][k, line, d] for name in ("first", "second")},
            **{name: case[name][k, line] for name in names},
        }
        for line in range(len(media))
    ]
    mutual = {(giver, to): gain[d] if sign else abs(gain[d]) for (at, giver, to), gain in found.items() if at == k}
    return {"lines": lines, "scales": case["scale"][k, :, d], "gains": mutual, "season": case["season"][k]}


def close(found: np.ndarray, wanted: np.ndarray, size: np.ndarray) -> None:
    """Agreement relative to ``size``: what it is without taking away, where digits cancel."""
    assert np.all(np.isfinite(found))
    assert np.all(np.abs(found - wanted) <= CLOSE * size + NOTHING)


def all_outcomes(case: dict[str, Any], found: Gains) -> np.ndarray:
    """Outcomes of the lines that give or take: (N, K, D)."""
    n_kpis, _, n_draws = case["scale"].shape
    out = np.zeros((len(case["media"]), n_kpis, n_draws))
    given, linked, _ = arguments(case, found)
    kernels.outcomes(case["media"], given, linked, 0, out[..., 0].size * kernels.blocks(n_draws), out)
    return out


@st.composite
def cases(draw: Any) -> tuple[dict[str, Any], Gains]:
    case = draw(arrays())
    found = draw(gains(case))
    assume(found)
    return case, found


@given(cases())
@settings(max_examples=20)
def test_outcomes_agree_with_their_twin(both):
    case, found = both
    linked = arguments(case, found)[2]
    values = all_outcomes(case, found)
    for n, k, d in np.ndindex(values.shape):
        wanted, size = (
            np.array(twin.line_effects(**for_twin(case, found, case["media"][n], k, d, sign)))[linked[k]].sum()
            for sign in (True, False)
        )
        close(values[n, k, d], wanted, size)


@given(cases())
@settings(max_examples=12)
def test_line_effects_agree_with_their_twin(both):
    case, found = both
    n_kpis, n_lines, n_draws = case["scale"].shape
    unit, spend = case["media"][0] / 100, np.full(n_lines, 100.0)
    given, linked, used = arguments(case, found)
    value, slope = np.full_like(case["scale"], -7.0), np.full_like(case["scale"], -7.0)
    kernels.line_effects(spend, unit, given, linked, value, slope)
    # What it does not look at, it leaves.
    assert np.all(value[~used] == -7.0)
    assert np.all(slope[~used] == -7.0)
    for k, d in np.ndindex(n_kpis, n_draws):
        kinds = [for_twin(case, found, unit * spend[:, None], k, d, sign) for sign in (True, False)]
        wanted, size = (np.array(twin.line_effects(**kind)) for kind in kinds)
        close(value[k, used[k], d], wanted[used[k]], size[used[k]])
        for line in np.flatnonzero(used[k]):
            more = np.where(np.arange(n_lines)[:, None] == line, unit, 0.0)
            close(slope[k, line, d], *(np.array(twin.slope(**kind, more=more)) for kind in kinds))


def all_gradients(case: dict[str, Any], found: Gains, share: np.ndarray) -> np.ndarray:
    n_plans, n_lines, n_periods = case["media"].shape
    out = np.full((n_plans, len(case["scale"]), n_lines, n_periods), -7.0)
    given, linked, _ = arguments(case, found)
    kernels.gradients(case["media"], given, linked, share, 0, n_plans * len(case["scale"]), out)
    return out


@given(cases())
@settings(max_examples=20)
def test_gradients_agree_with_their_twin(both):
    case, found = both
    n_kpis, n_lines, n_draws = case["scale"].shape
    n_plans, n_periods = len(case["media"]), case["season"].shape[1]
    share = np.random.default_rng(1).dirichlet(np.ones(n_draws), (n_plans, n_kpis))
    used, values = arguments(case, found)[2], all_gradients(case, found, share)
    # Some of the cells: the twin takes its time for each.
    cells = list(np.ndindex(n_plans, n_kpis, n_lines, n_periods))
    for n, k, line, t in (cells[i] for i in np.random.default_rng(2).permutation(len(cells))[:12]):
        if not used[k, line]:
            assert values[n, k, line, t] == -7.0
            continue
        more = np.zeros((n_lines, n_periods))
        more[line, t] = 1.0
        wanted, size = (
            sum(
                share[n, k, d] * twin.slope(**for_twin(case, found, case["media"][n], k, d, sign), more=more)
                for d in range(n_draws)
            )
            for sign in (True, False)
        )
        close(values[n, k, line, t], wanted, size)


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("family", [name for name in NAMES if name != "none"])
def test_gradients_are_central_differences(family, after):
    draws = kernels.BLOCK + 7
    case = ordinary(1, 2, 3, 4, draws)
    case["family"] = np.full((2, 3), family)
    case["after"][:] = after
    rng = np.random.default_rng(1)
    pairs = [(0, 0, 1), (0, 1, 0), (0, 2, 1), (1, 2, 0)]
    falls = -0.9 if family in LEVEL else 0.0
    found = {pair: rng.uniform(falls, 0.5, draws) for pair in pairs}
    share = rng.dirichlet(np.ones(draws), (1, 2))
    used, gradients = arguments(case, found)[2], all_gradients(case, found, share)[0]

    def mean(media: np.ndarray) -> np.ndarray:
        return (all_outcomes(case | {"media": media}, found) * share).sum(axis=2)[0]

    for line, t in np.ndindex(3, 4):
        step = np.zeros_like(case["media"])
        step[0, line, t] = 1e-3 * case["media"][0, line, t]
        near = mean(case["media"] + step) - mean(case["media"] - step)
        far = mean(case["media"] + 2 * step) - mean(case["media"] - 2 * step)
        wanted = (8 * near - far) / (12 * step.sum())
        # A gradient near zero, where what is lost meets what is won, is as exact as its terms.
        some, nothing = used[:, line], 1e-9 * np.abs(gradients).max()
        np.testing.assert_allclose(gradients[some, line, t], wanted[some], rtol=1e-6, atol=nothing)


def test_a_result_does_not_depend_on_how_tasks_are_shared_out():
    draws = 2 * kernels.BLOCK + 7
    case = ordinary(3, 2, 3, 5, draws)
    case["family"][:] = "hill"
    found = {(0, 0, 1): np.full(draws, 0.3), (1, 1, 2): np.full(draws, -0.5), (1, 0, 2): np.full(draws, 0.1)}
    whole = all_outcomes(case, found)
    given, linked, _ = arguments(case, found)
    parts = np.zeros_like(whole)
    for task in reversed(range(whole[..., 0].size * kernels.blocks(draws))):
        kernels.outcomes(case["media"], given, linked, task, task + 1, parts)
    np.testing.assert_array_equal(parts, whole)


def test_a_product_of_factors_by_hand():
    # Half, a third and three quarters of their curves; the first takes from both others.
    case = ordinary(1, 1, 3, 1, 1)
    case |= {
        "media": np.array([[[10.0], [10.0], [30.0]]]),
        "history": np.zeros((3, 0)),
        "weights": np.ones((1, 3, 1, 1)),
        "length": np.ones((1, 3), dtype=np.int64),
        "family": np.full((1, 3), "michaelis_menten"),
        "scale": np.array([8.0, 3.0, 4.0]).reshape(1, 3, 1),
        "first": np.array([10.0, 20.0, 10.0]).reshape(1, 3, 1),
        "season": np.full((1, 1), 2.0),
    }
    found = {(0, 1, 0): np.array([0.6]), (0, 2, 0): np.array([-0.4])}
    wanted = 2 * (8 / 2 * (1 + 0.6 / 3) * (1 - 0.4 * 3 / 4) + 3 / 3 + 4 * 3 / 4)
    assert all_outcomes(case, found).item() == pytest.approx(wanted, rel=1e-15)
