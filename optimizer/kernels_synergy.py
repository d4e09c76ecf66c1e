"""The compiled core of synergy: lines whose effects other lines multiply.

The effect of line ``l`` on a KPI in period ``t`` is ``season[t] * scale[l] * C[l, t] * prod (1 + gain * C[j, t])``
over the lines ``j`` that give to it. ``C`` is a line's share of its own curve in that period: S of the adstocked
media, or the sum of S carried over where effects carry over instead of media; without scale and season.

Only lines that give or take are looked at here, `kernels` does all others. Conventions are those of `kernels`;
``parameters`` are its arguments from ``history`` to ``season``, in that order. Beyond them there are P pairs of a
giver and a taker, sorted by KPI and taker, and M, the most such lines a KPI has. ``links`` are:

slots : (K, L)
    A line's number among its KPI's lines that give or take; -1 where it does neither.
ends : (K, L + 1)
    Line ``l`` takes for KPI ``k`` in the pairs from ``ends[k, l]`` to before ``ends[k, l + 1]``.
givers : (P,)
    The slot of each pair's giver.
gain : (P, D)
    What all of the giver's curve adds to the taker's effect, as a share of it.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_blocks import LAGS, block_weights, carry, dot, lay_out
from .kernels_curves import add_values, divisor, slopes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Parameters = tuple[Floats, Floats, Ints, Ints, Ints, Floats, Floats, Floats, Floats, Floats]
Links = tuple[Ints, Ints, Ints, Floats]

# Draws at once. Shares of all lines in all periods are kept for a block, so it is shorter than that of `kernels`.
BLOCK = 64
# With so few draws periods are what loops run through instead: vector code wants long rows.
FEW = 4


@njit(cache=True)
def blocks(n_draws: int) -> int:
    """How many blocks the draws make."""
    return (n_draws + BLOCK - 1) // BLOCK


@njit(cache=True)
def room(slots: Ints, n_periods: int, n_draws: int) -> Floats:
    """Room for one number by line that gives or takes, period and draw of a block: (M, T, BLOCK or fewer)."""
    return np.empty((slots.max() + 1, n_periods, min(n_draws, BLOCK)))


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def carry_through(series: Floats, pad: int, length: int, lagged: Floats, b: int, out: Floats) -> None:
    """Write one draw's ``sum_j weights[j] * series[pad + t - j]`` for all periods t: (T,)."""
    out[:] = 0.0
    for j in range(length):
        weight, start = lagged[j, b], pad - j
        for t in range(len(out)):
            out[t] += weight * series[start + t]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def write_shares(
    media: Floats, parameters: Parameters, k: int, line: int, begin: int, size: int, out: Floats
) -> None:
    """Write one line's share C in each period in which the season counts, zeros in the others: (T, BLOCK).

    Parameters
    ----------
    media : (T,)
        The line's.
    begin, size : int
        The block's first draw, and how many it has.
    """
    history, weights, length, after, family, _, first, second, knots, season = parameters
    n_periods, n_history = len(media), history.shape[1]
    most = weights.shape[2] + LAGS
    lagged, scratch = np.empty((most, BLOCK)), np.ones((3, BLOCK))
    x, single, ones = scratch[0, :size], scratch[1, :size], scratch[2, :size]
    code, curve = family[k, line], knots[k, line]
    p = divisor(code, first[k, line, begin : begin + size], ones)
    q = second[k, line, begin : begin + size]
    out[:] = 0.0
    if after[k, line] == 0:
        pad = max(most, n_history)
        series = np.empty(pad + n_periods)
        lags = block_weights(weights[k, line], begin, length[k, line], p, lagged)
        lay_out(media, history[line], pad, series)
        if size <= FEW:
            wide = np.ones((4, n_periods))
            for b in range(size):
                carry_through(series, pad, length[k, line], lagged, b, wide[0])
                wide[1, :], wide[2, :] = q[b], 0.0
                add_values(code, wide[0], wide[1], curve, wide[3], wide[2])
                for t in range(n_periods):
                    out[t, b] = wide[2, t] if season[k, t] != 0.0 else 0.0
            return
        for t in range(n_periods):
            if season[k, t] != 0.0:
                carry(series, pad + t, lagged, lags, x)
                add_values(code, x, q, curve, ones, out[t, :size])
        return
    block_weights(weights[k, line], begin, length[k, line], ones, lagged)
    for s in range(-n_history, n_periods):
        bought = media[s] if s >= 0 else history[line, n_history + s]
        if bought == 0.0:
            continue
        for b in range(size):
            x[b] = bought / p[b]
        single[:] = 0.0
        add_values(code, x, q, curve, ones, single)
        for j in range(max(-s, 0), min(length[k, line], n_periods - s)):
            if season[k, s + j] != 0.0:
                share, weight = out[s + j], lagged[j]
                for b in range(size):
                    share[b] += weight[b] * single[b]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def write_effect(
    shares: Floats, parameters: Parameters, links: Links, k: int, line: int, begin: int, out: Floats
) -> None:
    """Write one line's effect over all periods, from the shares (M, T, BLOCK) of its KPI's lines: (B,)."""
    scale, season = parameters[5], parameters[9]
    slots, ends, givers, gain = links
    size, slot = len(out), slots[k, line]
    product = np.empty(size)
    out[:] = 0.0
    for t in range(shares.shape[1]):
        if season[k, t] == 0.0:
            continue
        own = shares[slot, t]
        for b in range(size):
            product[b] = season[k, t] * own[b]
        for pair in range(ends[k, line], ends[k, line + 1]):
            giver, by = shares[givers[pair], t], gain[pair, begin : begin + size]
            for b in range(size):
                product[b] *= 1.0 + by[b] * giver[b]
        for b in range(size):
            out[b] += product[b]
    for b in range(size):
        out[b] *= scale[k, line, begin + b]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def add_pulls(
    shares: Floats, parameters: Parameters, links: Links, k: int, line: int, begin: int, size: int, out: Floats
) -> None:
    """Add the derivatives of one line's effect by its own share and by its givers' to ``out``: (M, T, BLOCK).

    A product without one of its factors comes from those before it and those after it, never from a division:
    a factor may be zero.
    """
    scale, season = parameters[5], parameters[9]
    slots, ends, givers, gain = links
    slot, start, stop = slots[k, line], ends[k, line], ends[k, line + 1]
    many = stop - start
    before, behind = np.empty((many + 1, BLOCK)), np.empty(BLOCK)
    for t in range(shares.shape[1]):
        if season[k, t] == 0.0:
            continue
        for b in range(size):
            before[0, b] = season[k, t] * scale[k, line, begin + b]
            behind[b] = shares[slot, t, b]
        for i in range(many):
            giver, by = shares[givers[start + i], t], gain[start + i, begin : begin + size]
            last, product = before[i], before[i + 1]
            for b in range(size):
                product[b] = last[b] * (1.0 + by[b] * giver[b])
        own = out[slot, t]
        for b in range(size):
            own[b] += before[many, b]
        for i in range(many - 1, -1, -1):
            at = givers[start + i]
            giver, by, last, pull = shares[at, t], gain[start + i, begin : begin + size], before[i], out[at, t]
            for b in range(size):
                pull[b] += last[b] * by[b] * behind[b]
                behind[b] *= 1.0 + by[b] * giver[b]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def gather(pull: Floats, t: int, length: int, lagged: Floats, out: Floats) -> None:
    """Write ``sum_j weights[j] * pull[t + j]``, draw by draw: what comes of period ``t`` later on."""
    out[:] = 0.0
    for j in range(min(length, len(pull) - t)):
        later, weight = pull[t + j], lagged[j]
        for b in range(len(out)):
            out[b] += weight[b] * later[b]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def pull_to_media(
    media: Floats, parameters: Parameters, k: int, line: int, begin: int, size: int, pull: Floats
) -> None:
    """Turn derivatives by one line's shares into derivatives by its media (T,), in place: (T, BLOCK)."""
    history, weights, length, after, family, _, first, second, knots, season = parameters
    n_periods, most = len(media), weights.shape[2] + LAGS
    lagged, scratch = np.empty((most, BLOCK)), np.ones((3, BLOCK))
    x, steep, ones = scratch[0, :size], scratch[1, :size], scratch[2, :size]
    code, curve, lasting = family[k, line], knots[k, line], length[k, line]
    p = divisor(code, first[k, line, begin : begin + size], ones)
    q = second[k, line, begin : begin + size]
    if after[k, line] == 0:
        pad = max(most, history.shape[1])
        series = np.empty(pad + n_periods)
        lags = block_weights(weights[k, line], begin, lasting, p, lagged)
        lay_out(media, history[line], pad, series)
        if size <= FEW:
            wide = np.empty((3, n_periods))
            for b in range(size):
                carry_through(series, pad, lasting, lagged, b, wide[0])
                wide[1, :] = q[b]
                slopes(code, wide[0], wide[1], curve, wide[2])
                # Where the season does not count, nothing pulls.
                for t in range(n_periods):
                    wide[1, t], wide[0, t] = pull[t, b] * wide[2, t], 0.0
                for j in range(min(lasting, n_periods)):
                    for t in range(n_periods - j):
                        wide[0, t] += lagged[j, b] * wide[1, t + j]
                for t in range(n_periods):
                    pull[t, b] = wide[0, t]
            return
        for t in range(n_periods):
            if season[k, t] == 0.0:
                continue
            carry(series, pad + t, lagged, lags, x)
            slopes(code, x, q, curve, steep)
            for b in range(size):
                pull[t, b] *= steep[b]
        # Nothing before t is needed for t: what is written there may stand.
        for t in range(n_periods):
            gather(pull, t, lasting, lagged, x)
            pull[t, :size] = x
        return
    block_weights(weights[k, line], begin, lasting, ones, lagged)
    for t in range(n_periods):
        for b in range(size):
            x[b] = media[t] / p[b]
        slopes(code, x, q, curve, steep)
        gather(pull, t, lasting, lagged, x)
        for b in range(size):
            pull[t, b] = x[b] * (steep[b] / p[b])


@njit(cache=True, nogil=True)
def write_derivatives(
    media: Floats, parameters: Parameters, links: Links, k: int, begin: int, size: int, shares: Floats, out: Floats
) -> None:
    """Write shares and, to ``out``, one KPI's derivatives by its lines' media (L, T): (M, T, BLOCK) each."""
    slots = links[0]
    out[:] = 0.0
    for line in range(len(media)):
        if slots[k, line] >= 0:
            write_shares(media[line], parameters, k, line, begin, size, shares[slots[k, line]])
    for line in range(len(media)):
        if slots[k, line] >= 0:
            add_pulls(shares, parameters, links, k, line, begin, size, out)
    for line in range(len(media)):
        if slots[k, line] >= 0:
            pull_to_media(media[line], parameters, k, line, begin, size, out[slots[k, line]])


@njit(cache=True, nogil=True)
def outcomes(media: Floats, parameters: Parameters, links: Links, start: int, stop: int, out: Floats) -> None:
    """Add the effects of lines that give or take, by plan and draw.

    Parameters
    ----------
    media : (N, L, T)
        Media bought in each period.
    start, stop : int
        Tasks to do, of ``N * K * blocks(D)``.
    out : (N, K, D)
        Added to.
    """
    slots = links[0]
    n_kpis, n_draws = len(slots), out.shape[2]
    shares, effect = room(slots, media.shape[2], n_draws), np.empty(BLOCK)
    for task in range(start, stop):
        rest, block = divmod(task, blocks(n_draws))
        n, k = divmod(rest, n_kpis)
        begin = block * BLOCK
        size = min(BLOCK, n_draws - begin)
        for line in range(media.shape[1]):
            if slots[k, line] >= 0:
                write_shares(media[n, line], parameters, k, line, begin, size, shares[slots[k, line]])
        for line in range(media.shape[1]):
            if slots[k, line] >= 0:
                write_effect(shares, parameters, links, k, line, begin, effect[:size])
                for b in range(size):
                    out[n, k, begin + b] += effect[b]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def line_effects(
    spend: Floats, unit: Floats, parameters: Parameters, links: Links, value: Floats, slope: Floats
) -> None:
    """Effects of lines that give or take, and slopes of their KPI in their total spend, flighting fixed.

    Parameters
    ----------
    spend, unit : (L,), (L, T)
        Those of `kernels.line_effects`.
    value, slope : (K, L, D)
        Written for these lines: the effect, what others add to it included; and the derivative of the KPI by the
        line's spend, what it adds to others' effects included.
    """
    slots = links[0]
    media = unit * spend.reshape(-1, 1)
    n_draws = value.shape[2]
    shares, pulls = room(slots, unit.shape[1], n_draws), room(slots, unit.shape[1], n_draws)
    for task in range(len(slots) * blocks(n_draws)):
        k, block = divmod(task, blocks(n_draws))
        begin = block * BLOCK
        size = min(BLOCK, n_draws - begin)
        write_derivatives(media, parameters, links, k, begin, size, shares, pulls)
        for line in range(len(media)):
            slot = slots[k, line]
            if slot < 0:
                continue
            write_effect(shares, parameters, links, k, line, begin, value[k, line, begin : begin + size])
            rise = slope[k, line, begin : begin + size]
            rise[:] = 0.0
            for t in range(unit.shape[1]):
                for b in range(size):
                    rise[b] += unit[line, t] * pulls[slot, t, b]


@njit(cache=True, nogil=True)
def gradients(
    media: Floats, parameters: Parameters, links: Links, share: Floats, start: int, stop: int, out: Floats
) -> None:
    """Gradients of weighted means over draws by the media of lines that give or take.

    Parameters
    ----------
    media, share : (N, L, T), (N, K, D)
        Those of `kernels.gradients`.
    start, stop : int
        Tasks to do, of ``N * K``.
    out : (N, K, L, T)
        Written for these lines.
    """
    slots = links[0]
    n_lines, n_periods = media.shape[1:]
    n_kpis, n_draws = share.shape[1:]
    shares, pulls = room(slots, n_periods, n_draws), room(slots, n_periods, n_draws)
    for task in range(start, stop):
        n, k = divmod(task, n_kpis)
        for block in range(blocks(n_draws)):
            begin = block * BLOCK
            size = min(BLOCK, n_draws - begin)
            write_derivatives(media[n], parameters, links, k, begin, size, shares, pulls)
            counted = share[n, k, begin : begin + size]
            for line in range(n_lines):
                if slots[k, line] >= 0:
                    if block == 0:
                        out[n, k, line] = 0.0
                    for t in range(n_periods):
                        out[n, k, line, t] += dot(counted, pulls[slots[k, line], t, :size])
