"""The compiled core: arrays in, arrays out. No checks here; callers check.

Shapes: N plans, L lines, T periods, D draws, K KPIs, J carry-over periods after the first, H periods of history,
P pieces of curves through points. Curve families are numbered as in `curves.FAMILIES`.

Draws are the last axis, and every loop over them runs through blocks of `BLOCK`, in which nothing branches and
nothing is called: that is what the compiler turns into vector code. A block's scratch stays in the first cache,
and no array of plans x lines x periods x draws exists. Work is divided into numbered tasks that write to
different places, so that a caller may give ranges of them to threads (the interpreter's lock is released); a
result does not depend on how.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_curves import add_values, divisor, slopes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Draws at once: long enough for vectors, short enough that a dozen lags of weights stay in the first cache.
BLOCK = 128
# Lags at once: one pass over a block adds four, so that sums are loaded and stored a quarter as often.
LAGS = 4


@njit(cache=True)
def blocks(n_draws: int) -> int:
    """How many blocks the draws make."""
    return (n_draws + BLOCK - 1) // BLOCK


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def block_weights(weights: Floats, begin: int, lags: int, divisor: Floats, out: Floats) -> int:
    """Write a block's adstock weights over ``divisor``; return how many lags there are, a multiple of `LAGS`.

    Parameters
    ----------
    weights : (J + 1, D)
        Adstock weights of one KPI and line.
    begin, lags : int
        The block's first draw, and the lags that are not zero.
    divisor : (B,)
        What they are divided by.
    out : (>= lags, B)
        Written: zeros beyond ``lags``.
    """
    padded = (lags + LAGS - 1) // LAGS * LAGS
    n = len(divisor)
    for j in range(padded):
        for b in range(n):
            out[j, b] = weights[j, begin + b] / divisor[b] if j < lags else 0.0
    return padded


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def carry(series: Floats, at: int, weights: Floats, lags: int, out: Floats) -> None:
    """Write ``sum_j weights[j] * series[at - j]``, draw by draw; ``lags`` is a multiple of `LAGS`."""
    n = len(out)
    for b in range(n):
        out[b] = 0.0
    for j in range(0, lags, LAGS):
        m0, m1, m2, m3 = series[at - j], series[at - j - 1], series[at - j - 2], series[at - j - 3]
        if m0 == 0.0 and m1 == 0.0 and m2 == 0.0 and m3 == 0.0:
            continue
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        for b in range(n):
            out[b] += w0[b] * m0 + w1[b] * m1 + w2[b] * m2 + w3[b] * m3


@njit(cache=True, nogil=True)
def lay_out(media: Floats, history: Floats, pad: int, out: Floats) -> None:
    """Write zeros up to ``pad``, the history ending there, then the media."""
    out[:] = 0.0
    for h in range(len(history)):
        out[pad - len(history) + h] = history[h]
    for t in range(len(media)):
        out[pad + t] = media[t]


@njit(cache=True, nogil=True)
def lay_out_back(season: Floats, pad: int, out: Floats) -> None:
    """Write zeros, then the season backwards from ``pad``: what carries on, seen from where it comes from."""
    out[:] = 0.0
    n_periods = len(season)
    for t in range(n_periods):
        out[pad + n_periods - 1 - t] = season[t]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def outcomes(
    media: Floats,
    history: Floats,
    weights: Floats,
    length: Ints,
    after: Ints,
    family: Ints,
    scale: Floats,
    first: Floats,
    second: Floats,
    knots: Floats,
    season: Floats,
    start: int,
    stop: int,
    out: Floats,
) -> None:
    """Add every line's effect on every KPI, by plan and draw.

    Parameters
    ----------
    media : (N, L, T)
        Media bought in each period.
    history : (L, H)
        Media of the periods before the first, the latest last.
    weights : (K, L, J + 1, D)
        Adstock weights, the current period first.
    length : (K, L)
        How many of them are not zero.
    after : (K, L)
        1 where effects carry over (media saturates first), 0 where media does.
    family : (K, L)
        Curve family codes.
    scale, first, second : (K, L, D)
        Curve parameters.
    knots : (K, L, 3, P)
        Start, width and gradient of the pieces of curves through points.
    season : (K, T)
        Seasonal effectiveness.
    start, stop : int
        Tasks to do, of ``N * K * blocks(D)``.
    out : (N, K, D)
        Written: the sum over lines and periods.
    """
    n_lines, n_periods = media.shape[1:]
    n_kpis, n_draws = scale.shape[0], scale.shape[2]
    n_history, most = history.shape[1], weights.shape[2] + LAGS
    pad = max(most, n_history)
    series = np.empty(pad + n_periods + n_history)
    lagged = np.empty((most, BLOCK))
    scratch = np.empty((4, BLOCK))
    for task in range(start, stop):
        rest, block = divmod(task, blocks(n_draws))
        n, k = divmod(rest, n_kpis)
        begin = block * BLOCK
        size = min(BLOCK, n_draws - begin)
        x, factor, total, ones = scratch[0, :size], scratch[1, :size], scratch[2, :size], scratch[3, :size]
        ones[:] = 1.0
        result = out[n, k, begin : begin + size]
        result[:] = 0.0
        for line in range(n_lines):
            code = family[k, line]
            if code == 0:
                continue
            p = divisor(code, first[k, line, begin : begin + size], ones)
            q = second[k, line, begin : begin + size]
            total[:] = 0.0
            if after[k, line] == 0:
                lags = block_weights(weights[k, line], begin, length[k, line], p, lagged)
                lay_out(media[n, line], history[line], pad, series)
                for t in range(n_periods):
                    if season[k, t] == 0.0:
                        continue
                    factor[:] = season[k, t]
                    carry(series, pad + t, lagged, lags, x)
                    add_values(code, x, q, knots[k, line], factor, total)
            else:
                lags = block_weights(weights[k, line], begin, length[k, line], ones, lagged)
                lay_out_back(season[k], pad, series)
                for t in range(-n_history, n_periods):
                    bought = media[n, line, t] if t >= 0 else history[line, n_history + t]
                    carry(series, pad + n_periods - 1 - t, lagged, lags, factor)
                    for b in range(size):
                        x[b] = bought / p[b]
                    add_values(code, x, q, knots[k, line], factor, total)
            for b in range(size):
                result[b] += scale[k, line, begin + b] * total[b]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def line_effects(
    spend: Floats,
    unit: Floats,
    history: Floats,
    weights: Floats,
    length: Ints,
    after: Ints,
    family: Ints,
    scale: Floats,
    first: Floats,
    second: Floats,
    knots: Floats,
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
    value, slope : (K, L, D)
        Written: effect over the horizon, and its derivative by total spend.

    The other arguments are those of `outcomes`.
    """
    n_lines, n_periods = unit.shape
    n_kpis, n_draws = scale.shape[0], scale.shape[2]
    n_history, most = history.shape[1], weights.shape[2] + LAGS
    pad = max(most, n_history)
    series, rises = np.empty(pad + n_periods + n_history), np.empty(pad + n_periods)
    lagged = np.empty((most, BLOCK))
    scratch = np.empty((5, BLOCK))
    nothing = np.empty(0)
    for task in range(n_kpis * n_lines * blocks(n_draws)):
        rest, block = divmod(task, blocks(n_draws))
        k, line = divmod(rest, n_lines)
        begin = block * BLOCK
        size = min(BLOCK, n_draws - begin)
        x, more, steep = scratch[0, :size], scratch[1, :size], scratch[2, :size]
        factor, ones = scratch[3, :size], scratch[4, :size]
        ones[:] = 1.0
        code = family[k, line]
        p = divisor(code, first[k, line, begin : begin + size], ones)
        q = second[k, line, begin : begin + size]
        total, rise = value[k, line, begin : begin + size], slope[k, line, begin : begin + size]
        total[:], rise[:] = 0.0, 0.0
        if code == 0:
            continue
        if after[k, line] == 0:
            lags = block_weights(weights[k, line], begin, length[k, line], p, lagged)
            lay_out(unit[line] * spend[line], history[line], pad, series)
            lay_out(unit[line], nothing, pad, rises)
            for t in range(n_periods):
                factor[:] = season[k, t]
                carry(series, pad + t, lagged, lags, x)
                add_values(code, x, q, knots[k, line], factor, total)
                carry(rises, pad + t, lagged, lags, more)
                slopes(code, x, q, knots[k, line], steep)
                for b in range(size):
                    rise[b] += season[k, t] * (more[b] * steep[b])
        else:
            lags = block_weights(weights[k, line], begin, length[k, line], ones, lagged)
            lay_out_back(season[k], pad, series)
            for t in range(-n_history, n_periods):
                bought = unit[line, t] * spend[line] if t >= 0 else history[line, n_history + t]
                carry(series, pad + n_periods - 1 - t, lagged, lags, factor)
                for b in range(size):
                    x[b] = bought / p[b]
                add_values(code, x, q, knots[k, line], factor, total)
                if t >= 0:
                    slopes(code, x, q, knots[k, line], steep)
                    for b in range(size):
                        rise[b] += factor[b] * (unit[line, t] / p[b] * steep[b])
        for b in range(size):
            total[b] *= scale[k, line, begin + b]
            rise[b] *= scale[k, line, begin + b]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def pull_back(weights: Floats, lags: int, pull: Floats, at: int, out: Floats) -> None:
    """Add ``sum_b weights[j, b] * pull[b]`` to ``out[at - j]``: the transpose of `carry`.

    Sums over draws may be taken in any order here, which is what lets them be vector code.
    """
    n = len(pull)
    for j in range(0, lags, LAGS):
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for b in range(n):
            s0 += w0[b] * pull[b]
            s1 += w1[b] * pull[b]
            s2 += w2[b] * pull[b]
            s3 += w3[b] * pull[b]
        out[at - j] += s0
        out[at - j - 1] += s1
        out[at - j - 2] += s2
        out[at - j - 3] += s3


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def dot(a: Floats, b: Floats) -> float:
    """The scalar product."""
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def gradients(
    media: Floats,
    history: Floats,
    weights: Floats,
    length: Ints,
    after: Ints,
    family: Ints,
    scale: Floats,
    first: Floats,
    second: Floats,
    knots: Floats,
    season: Floats,
    share: Floats,
    start: int,
    stop: int,
    out: Floats,
) -> None:
    """Gradients of weighted means over draws of `outcomes`, by media in each period: its adjoint.

    Parameters
    ----------
    share : (N, K, D)
        What each draw counts for: ``1 / D`` for the mean, more for the draws of a tail and nothing elsewhere for
        CVaR.
    start, stop : int
        Tasks to do, of ``N * K * L``.
    out : (N, K, L, T)
        Written: the derivative of ``sum_d share[n, k, d] * outcomes[n, k, d]`` by ``media[n, l, t]``.

    The other arguments are those of `outcomes`.
    """
    n_lines, n_periods = media.shape[1:]
    n_kpis, n_draws = scale.shape[0], scale.shape[2]
    n_history, most = history.shape[1], weights.shape[2] + LAGS
    pad = max(most, n_history)
    series = np.empty(pad + n_periods + n_history)
    back = np.empty(pad + n_periods)
    lagged = np.empty((most, BLOCK))
    scratch = np.empty((5, BLOCK))
    for task in range(start, stop):
        rest, line = divmod(task, n_lines)
        n, k = divmod(rest, n_kpis)
        code = family[k, line]
        back[:] = 0.0
        for block in range(blocks(n_draws) if code != 0 else 0):
            begin = block * BLOCK
            size = min(BLOCK, n_draws - begin)
            x, steep, pull = scratch[0, :size], scratch[1, :size], scratch[2, :size]
            factor, ones = scratch[3, :size], scratch[4, :size]
            ones[:] = 1.0
            p = divisor(code, first[k, line, begin : begin + size], ones)
            q = second[k, line, begin : begin + size]
            for b in range(size):
                pull[b] = share[n, k, begin + b] * scale[k, line, begin + b]
            if after[k, line] == 0:
                lags = block_weights(weights[k, line], begin, length[k, line], p, lagged)
                lay_out(media[n, line], history[line], pad, series)
                for t in range(n_periods):
                    carry(series, pad + t, lagged, lags, x)
                    slopes(code, x, q, knots[k, line], steep)
                    for b in range(size):
                        steep[b] *= pull[b] * season[k, t]
                    pull_back(lagged, lags, steep, pad + t, back)
            else:
                lags = block_weights(weights[k, line], begin, length[k, line], ones, lagged)
                lay_out_back(season[k], pad, series)
                for t in range(n_periods):
                    carry(series, pad + n_periods - 1 - t, lagged, lags, factor)
                    for b in range(size):
                        x[b] = media[n, line, t] / p[b]
                    slopes(code, x, q, knots[k, line], steep)
                    for b in range(size):
                        steep[b] *= factor[b] / p[b]
                    back[pad + t] += dot(steep, pull)
        for t in range(n_periods):
            out[n, k, line, t] = back[pad + t]
