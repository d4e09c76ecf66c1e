"""The compiled core: arrays in, arrays out. No checks here; callers check.

Shapes: N plans, L lines, T periods, D draws, K KPIs, J carry-over periods after the first. Curve families are
numbered as in `curves.FAMILIES`.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Slopes are taken no closer to zero than this share of `first`: some families have an infinite slope at 0.
TINY = 1e-12


@njit(cache=True, error_model="numpy", inline="always")
def _saturate(family: int, a: float, first: float, second: float) -> float:
    """S(a) of one family."""
    if family == 0 or a <= 0.0:
        return 0.0
    if family == 1:
        return a
    if family == 2:
        # Written with the ratio so that neither power overflows.
        return 1.0 / (1.0 + (first / a) ** second)
    if family == 3:
        return a / (first + a)
    if family == 4:
        return float(a**second)
    return float(np.log1p(a / first))


@njit(cache=True, error_model="numpy", inline="always")
def _slope(family: int, a: float, first: float, second: float) -> float:
    """dS/da of one family, at a no nearer to zero than `TINY * first`."""
    if family == 0:
        return 0.0
    if family == 1:
        return 1.0
    a = max(a, TINY * first)
    if family == 2:
        # S (1 - S) is the same for a ratio and its inverse; the smaller one cannot overflow.
        ratio = (a / first if a < first else first / a) ** second
        return second * ratio / (1.0 + ratio) / (1.0 + ratio) / a
    if family == 3:
        return first / (first + a) / (first + a)
    if family == 4:
        return float(second * a ** (second - 1.0))
    return 1.0 / (first + a)


@njit(cache=True, error_model="numpy")
def outcomes(
    media: Floats,
    history: Floats,
    weights: Floats,
    family: Ints,
    scale: Floats,
    first: Floats,
    second: Floats,
    season: Floats,
    out: Floats,
) -> None:
    """Add every line's effect on every KPI, by plan and draw.

    Parameters
    ----------
    media : (N, L, T)
        Media bought in each period.
    history : (L, J)
        Media of the periods before the first, the latest last.
    weights : (D, K, L, J + 1)
        Adstock weights, the current period first.
    family : (K, L)
        Curve family codes.
    scale, first, second : (D, K, L)
        Curve parameters.
    season : (K, T)
        Seasonal effectiveness.
    out : (N, D, K)
        Written: the sum over lines and periods.
    """
    n_plans, n_lines, n_periods = media.shape
    n_draws, n_kpis, _, n_weights = weights.shape
    n_history = history.shape[1]
    for n in range(n_plans):
        for d in range(n_draws):
            for k in range(n_kpis):
                total = 0.0
                for line in range(n_lines):
                    if family[k, line] == 0:
                        continue
                    effect = 0.0
                    for t in range(n_periods):
                        a = 0.0
                        for j in range(n_weights):
                            if t - j >= 0:
                                a += weights[d, k, line, j] * media[n, line, t - j]
                            elif n_history + t - j >= 0:
                                a += weights[d, k, line, j] * history[line, n_history + t - j]
                        effect += season[k, t] * _saturate(
                            family[k, line], a, first[d, k, line], second[d, k, line]
                        )
                    total += scale[d, k, line] * effect
                out[n, d, k] = total


@njit(cache=True, error_model="numpy")
def line_effects(
    spend: Floats,
    unit: Floats,
    history: Floats,
    weights: Floats,
    family: Ints,
    scale: Floats,
    first: Floats,
    second: Floats,
    season: Floats,
    value: Floats,
    slope: Floats,
) -> None:
    """Each line's effect and its slope in the line's total spend, flighting fixed.

    Parameters
    ----------
    spend : (L,)
        Total spend of each line over the horizon.
    unit : (L, T)
        Media in each period for one unit of total spend (share of the period over its price).
    value, slope : (D, K, L)
        Written: effect over the horizon, and its derivative by total spend.

    The other arguments are those of `outcomes`.
    """
    n_lines, n_periods = unit.shape
    n_draws, n_kpis, _, n_weights = weights.shape
    n_history = history.shape[1]
    for d in range(n_draws):
        for k in range(n_kpis):
            for line in range(n_lines):
                effect, rise = 0.0, 0.0
                if family[k, line] != 0:
                    for t in range(n_periods):
                        a, per_unit = 0.0, 0.0
                        for j in range(n_weights):
                            if t - j >= 0:
                                per_unit += weights[d, k, line, j] * unit[line, t - j]
                            elif n_history + t - j >= 0:
                                a += weights[d, k, line, j] * history[line, n_history + t - j]
                        a += per_unit * spend[line]
                        code, p, q = family[k, line], first[d, k, line], second[d, k, line]
                        effect += season[k, t] * _saturate(code, a, p, q)
                        rise += season[k, t] * per_unit * _slope(code, a, p, q)
                value[d, k, line] = scale[d, k, line] * effect
                slope[d, k, line] = scale[d, k, line] * rise
