"""A simulator's mean effects written out as sums of curves of each line's total spend.

Shapes: K KPIs, L lines, T periods, H periods of history, J lags, D draws, M terms.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_curves import HILL, add_values, divisor
from .kernels_tables import BEND, OFFSET, RATE, SECOND, STEEPEST, WEIGHT

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# What a simulator holds, in the order that `write_terms` tells.
Response = tuple[Floats, Floats, Floats, Ints, Ints, Ints, Floats, Floats, Floats, Floats, Floats]

NONE = 0


@njit(cache=True, nogil=True, error_model="numpy")
def write_terms(
    order: Ints, money: float, size: Floats, response: Response
) -> tuple[Ints, Floats, Ints, Floats, Floats]:
    """Write every KPI's and line's terms, one after the other.

    Periods alike in everything but what they count for are one term a draw; terms that count for nothing are left
    out.

    Parameters
    ----------
    order : (L,)
        Lines in the order they are wanted in.
    money : float
        Currency per unit of spend.
    size : (K,)
        KPI units per unit of an effect.
    response
        Of a simulator: unit (L, T), history (L, H), weights (K, L, J, D), length, after, family (K, L), scale,
        first, second (K, L, D), knots (K, L, 3, P) and season (K, T).

    Returns
    -------
    family : (K, L)
        Curve family codes, like all that is returned by lines in the order wanted.
    table : (6, M)
        The terms.
    starts : (K * L + 1,)
        The first column of each KPI and line.
    constant : (K, L)
        What does not depend on spend.
    knots : (K, L, 3, P)
        Pieces of curves through points.
    """
    unit, scale, n_lines = response[0], response[6], len(order)
    n_kpis, _, draws = scale.shape
    periods = unit.shape[1]
    starts, constant = np.empty(n_kpis * n_lines + 1, np.int64), np.empty((n_kpis, n_lines))
    family, knots = np.empty((n_kpis, n_lines), np.int64), np.empty((n_kpis, n_lines, *response[9].shape[2:]))
    most = periods * draws
    table, n = np.empty((6, n_kpis * n_lines * draws + most)), 0
    rate, offset, counted = np.empty((periods, draws)), np.empty((periods, draws)), np.empty((periods, draws))
    starts[0] = 0
    for k in range(n_kpis):
        for i in range(n_lines):
            line = order[i]
            constant[k, i] = 0.0
            family[k, i], knots[k, i] = response[5][k, line], response[9][k, line]
            if family[k, i] != NONE:
                constant[k, i] = _by_period(k, line, money, response, rate, offset, counted) / (draws * size[k])
                if n + most > table.shape[1]:
                    longer = np.empty((6, 2 * table.shape[1]))
                    longer[:, :n] = table[:, :n]
                    table = longer
                kinds = _merge(rate, offset, counted)
                n = _append(k, line, kinds, draws * size[k], response, rate, offset, counted, table, n)
            starts[k * n_lines + i + 1] = n
    return family, table[:, :n].copy(), starts, constant, knots


@njit(cache=True, inline="always", nogil=True, error_model="numpy")
def _by_period(
    k: int, line: int, money: float, response: Response, rate: Floats, offset: Floats, counted: Floats
) -> float:
    """Write one KPI's and line's curves by period and draw, ``counted * S(rate * z + offset)``, (T, D) each.

    Returns what the history adds whatever is spent, summed over draws.
    """
    unit, history, weights, length, after, family, scale, first, second, knots, season = response
    periods, draws, back, lags = unit.shape[1], scale.shape[2], history.shape[1], length[k, line]
    code = family[k, line]
    divide = divisor(code, first[k, line], np.ones(draws))
    rate[:], offset[:], counted[:] = 0.0, 0.0, 0.0
    constant = 0.0
    if not after[k, line]:
        for t in range(periods):
            for lag in range(min(lags, t + back + 1)):
                # Media of this period and those before it, the history's where none of them is left.
                given = unit[line, t - lag] * money if lag <= t else history[line, back - (lag - t)]
                for d in range(draws):
                    share = weights[k, line, lag, d] / divide[d]
                    if lag <= t:
                        rate[t, d] += given * share
                    else:
                        offset[t, d] += given * share
            for d in range(draws):
                counted[t, d] = season[k, t] * scale[k, line, d]
        return constant
    for t in range(periods):
        for d in range(draws):
            rate[t, d] = unit[line, t] * money / divide[d]
        for lag in range(min(lags, periods - t)):
            for d in range(draws):
                counted[t, d] += season[k, t + lag] * weights[k, line, lag, d] * scale[k, line, d]
    factor, effect = np.empty(draws), np.empty(draws)
    for h in range(max(0, back - lags + 1), back):
        factor[:], effect[:] = 0.0, 0.0
        for lag in range(back - h, min(lags, back - h + periods)):
            for d in range(draws):
                factor[d] += season[k, h + lag - back] * weights[k, line, lag, d] * scale[k, line, d]
        add_values(code, history[line, h] / divide, second[k, line], knots[k, line], factor, effect)
        constant += effect.sum()
    return constant


@njit(cache=True, nogil=True, error_model="numpy")
def _merge(rate: Floats, offset: Floats, counted: Floats) -> int:
    """Move periods of equal rates and offsets together, adding up what they count for; return how many stay."""
    periods, draws = rate.shape
    kinds = 0
    for t in range(periods):
        same = kinds
        for kind in range(kinds):
            alike = True
            for d in range(draws):
                if rate[t, d] != rate[kind, d] or offset[t, d] != offset[kind, d]:
                    alike = False
                    break
            if alike:
                same = kind
                break
        for d in range(draws):
            if same == kinds:
                rate[kinds, d], offset[kinds, d], counted[kinds, d] = rate[t, d], offset[t, d], counted[t, d]
            else:
                counted[same, d] += counted[t, d]
        kinds += 1 if same == kinds else 0
    return kinds


@njit(cache=True, inline="always", nogil=True, error_model="numpy")
def _append(
    k: int,
    line: int,
    kinds: int,
    divide: float,
    response: Response,
    rate: Floats,
    offset: Floats,
    counted: Floats,
    table: Floats,
    n: int,
) -> int:
    """Add one KPI's and line's terms to a table with ``n`` of them; return how many it then has."""
    code, second = response[5][k, line], response[8][k, line]
    bend, steepest = np.zeros(len(second)), np.zeros(len(second))
    if code == HILL:
        for d in range(len(second)):
            bend[d], steepest[d] = bend_of(second[d])
    for t in range(kinds):
        for d in range(len(second)):
            if counted[t, d] > 0.0:
                table[RATE, n], table[OFFSET, n], table[SECOND, n] = rate[t, d], offset[t, d], second[d]
                table[WEIGHT, n] = counted[t, d] / divide
                table[BEND, n], table[STEEPEST, n] = bend[d], steepest[d]
                n += 1
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def bend_of(slope: float) -> tuple[float, float]:
    """Where a Hill curve bends from convex to concave, and its slope there; 0 for one that does not.

    ``d2/dx2 [x^s / (1 + x^s)] = 0`` at ``x^s = (s - 1) / (s + 1)``.
    """
    if slope <= 1.0:
        return 0.0, 0.0
    power = (slope - 1.0) / (slope + 1.0)
    bend = power ** (1.0 / slope)
    return bend, slope * power / (1.0 + power) ** 2 / bend
