"""The compiled core: arrays in, arrays out. No checks here; callers check.

Shapes: N plans, L lines, T periods, D draws, K KPIs, J carry-over periods after the first, H periods of history,
P pieces of curves through points. Curve families are numbered as in `curves.FAMILIES`.

Draws are the last axis, and every loop over them runs through blocks of `BLOCK`, in which nothing branches and
nothing is called: that is what the compiler turns into vector code. A block's room stays in the first cache,
and no array of plans x lines x periods x draws exists. Work is divided into numbered tasks that write to
different places, so that a caller may give ranges of them to threads (the interpreter's lock is released); a
result does not depend on how.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_blocks import (
    BLOCK,
    FACTOR,
    FIRST,
    LAGS,
    ONES,
    ROOM,
    SECOND,
    TOTAL,
    X,
    Y,
    block_weights,
    blocks,
    carry,
    in_use,
    lay_out,
    lay_out_back,
)
from .kernels_curves import add_values, slopes
from .kernels_lines import add_carried, add_carried_on, prepare, pull_carried, pull_carried_on, settled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Plans of one task: what is prepared for a line and block serves all of them.
PLANS = 4


@njit(cache=True)
def tasks(n_plans: int, n_kpis: int, n_draws: int) -> int:
    """How many tasks `outcomes` has."""
    return (n_plans + PLANS - 1) // PLANS * n_kpis * blocks(n_draws)


@njit(cache=True)
def gradient_tasks(n_plans: int, n_kpis: int, n_lines: int) -> int:
    """How many tasks `gradients` has."""
    return (n_plans + PLANS - 1) // PLANS * n_kpis * n_lines


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
        Tasks to do, of ``tasks(N, K, D)``.
    out : (N, K, D)
        Written: the sum over lines and periods.
    """
    n_plans, n_lines, n_periods = media.shape
    n_kpis, n_draws = scale.shape[0], scale.shape[2]
    n_history, most = history.shape[1], weights.shape[2] + LAGS
    pad = max(most, n_history)
    series = np.empty(pad + n_periods + n_history)
    lagged = np.empty((most, BLOCK))
    room = np.empty(ROOM)
    for task in range(start, stop):
        rest, block = divmod(task, blocks(n_draws))
        group, k = divmod(rest, n_kpis)
        plans = range(group * PLANS, min(n_plans, (group + 1) * PLANS))
        begin = block * BLOCK
        size = min(BLOCK, n_draws - begin)
        wide = in_use(size)
        p, ones, total = room[FIRST : FIRST + wide], room[ONES : ONES + wide], room[TOTAL : TOTAL + wide]
        for n in plans:
            out[n, k, begin : begin + size] = 0.0
        for line in range(n_lines):
            code = family[k, line]
            if code == 0:
                continue
            quick = prepare(code, first[k, line], second[k, line], begin, wide, room)
            before = after[k, line] == 0
            lags = block_weights(weights[k, line], begin, length[k, line], p if before else ones, lagged)
            for n in plans:
                total[:] = 0.0
                if before:
                    lay_out(media[n, line], history[line], pad, series)
                    add_carried(
                        code,
                        quick,
                        series,
                        pad,
                        length[k, line],
                        lagged,
                        lags,
                        knots[k, line],
                        season[k],
                        room,
                        wide,
                    )
                else:
                    lay_out_back(season[k], pad, series)
                    add_carried_on(
                        code, media[n, line], history[line], series, pad, lagged, lags, knots[k, line], room, wide
                    )
                for b in range(size):
                    out[n, k, begin + b] += scale[k, line, begin + b] * total[b]


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
    room = np.empty(ROOM)
    nothing = np.empty(0)
    for task in range(n_kpis * n_lines * blocks(n_draws)):
        rest, block = divmod(task, blocks(n_draws))
        k, line = divmod(rest, n_lines)
        begin = block * BLOCK
        size = min(BLOCK, n_draws - begin)
        wide = in_use(size)
        code = family[k, line]
        prepare(code, first[k, line], second[k, line], begin, wide, room)
        p, q, ones = room[FIRST : FIRST + wide], room[SECOND : SECOND + wide], room[ONES : ONES + wide]
        factor, total = room[FACTOR : FACTOR + wide], room[TOTAL : TOTAL + wide]
        x, more, steep = room[X : X + wide], room[X + BLOCK : X + BLOCK + wide], room[Y : Y + wide]
        rise = room[Y + BLOCK : Y + BLOCK + wide]
        total[:], rise[:] = 0.0, 0.0
        value[k, line, begin : begin + size], slope[k, line, begin : begin + size] = 0.0, 0.0
        if code == 0:
            continue
        if after[k, line] == 0:
            lags = block_weights(weights[k, line], begin, length[k, line], p, lagged)
            lay_out(unit[line] * spend[line], history[line], pad, series)
            lay_out(unit[line], nothing, pad, rises)
            last = max(
                settled(series, pad + n_periods, pad, length[k, line]),
                settled(rises, pad + n_periods, pad, length[k, line]),
            )
            for t in range(last + 1):
                counted = season[k, t] if t < last else season[k, last:].sum()
                factor[:] = counted
                carry(series, pad + t, lagged, lags, x)
                add_values(code, x, q, knots[k, line], factor, total)
                carry(rises, pad + t, lagged, lags, more)
                slopes(code, x, q, knots[k, line], steep)
                for b in range(wide):
                    rise[b] += counted * (more[b] * steep[b])
        else:
            lags = block_weights(weights[k, line], begin, length[k, line], ones, lagged)
            lay_out_back(season[k], pad, series)
            for t in range(-n_history, n_periods):
                bought = unit[line, t] * spend[line] if t >= 0 else history[line, n_history + t]
                carry(series, pad + n_periods - 1 - t, lagged, lags, factor)
                for b in range(wide):
                    x[b] = bought / p[b]
                add_values(code, x, q, knots[k, line], factor, total)
                if t >= 0:
                    slopes(code, x, q, knots[k, line], steep)
                    for b in range(wide):
                        rise[b] += factor[b] * (unit[line, t] / p[b] * steep[b])
        for b in range(size):
            value[k, line, begin + b] = scale[k, line, begin + b] * total[b]
            slope[k, line, begin + b] = scale[k, line, begin + b] * rise[b]


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
        Tasks to do, of ``gradient_tasks(N, K, L)``.
    out : (N, K, L, T)
        Written: the derivative of ``sum_d share[n, k, d] * outcomes[n, k, d]`` by ``media[n, l, t]``.

    The other arguments are those of `outcomes`.
    """
    n_plans, n_lines, n_periods = media.shape
    n_kpis, n_draws = scale.shape[0], scale.shape[2]
    n_history, most = history.shape[1], weights.shape[2] + LAGS
    pad = max(most, n_history)
    series = np.empty(pad + n_periods + n_history)
    back = np.empty((PLANS, pad + n_periods))
    lagged = np.empty((most, BLOCK))
    room = np.empty(ROOM)
    for task in range(start, stop):
        rest, line = divmod(task, n_lines)
        group, k = divmod(rest, n_kpis)
        plans = range(group * PLANS, min(n_plans, (group + 1) * PLANS))
        code, before = family[k, line], after[k, line] == 0
        back[:] = 0.0
        for block in range(blocks(n_draws) if code != 0 else 0):
            begin = block * BLOCK
            size = min(BLOCK, n_draws - begin)
            wide = in_use(size)
            quick = prepare(code, first[k, line], second[k, line], begin, wide, room)
            p, ones, pull = room[FIRST : FIRST + wide], room[ONES : ONES + wide], room[TOTAL : TOTAL + wide]
            lags = block_weights(weights[k, line], begin, length[k, line], p if before else ones, lagged)
            for n in plans:
                found = back[n - plans.start]
                # Draws repeated to fill the row count for nothing.
                pull[:] = 0.0
                for b in range(size):
                    pull[b] = share[n, k, begin + b] * scale[k, line, begin + b]
                if before:
                    lay_out(media[n, line], history[line], pad, series)
                    pull_carried(
                        code, quick, series, pad, lagged, lags, knots[k, line], season[k], room, wide, found
                    )
                else:
                    lay_out_back(season[k], pad, series)
                    pull_carried_on(
                        code, media[n, line], series, pad, lagged, lags, knots[k, line], room, wide, found
                    )
        for n in plans:
            for t in range(n_periods):
                out[n, k, line, t] = back[n - plans.start, pad + t]
