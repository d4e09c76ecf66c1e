"""A block of draws: how its parameters are laid out, and how media are carried through time in it.

A block is held in rows of `BLOCK` draws, of which ``wide`` are in use: a whole number of the widest vectors, the
last draw repeated to fill them, so that no loop has a remainder to be done one by one. Rows of the one array
``room`` are apart by constants. So the compiler knows that they do not overlap, and makes vector code alone; told
only at run time, it keeps a second, scalar loop, and loads each constant anew with every turn.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Draws at once, a power of two: long enough for vectors, short enough that a dozen lags of weights stay in the
# first cache.
BLOCK = 128
# A row in use is a multiple of this long: two of the widest vectors, which the compiler likes to take at a time.
LANES = 16
# Lags and periods at once: each weight loaded is used four times, each sum stored holds four products.
LAGS = 4
TILE = 4
# Where the rows of a block's room begin: first and second curve parameter, ones, what effects count for, the sum
# so far (or what each draw counts for), and two times as many rows as periods are dealt with at once.
FIRST, SECOND, ONES, FACTOR, TOTAL = 0 * BLOCK, 1 * BLOCK, 2 * BLOCK, 3 * BLOCK, 4 * BLOCK
X, Y = 5 * BLOCK, (5 + TILE) * BLOCK
ROOM = (5 + 2 * TILE) * BLOCK


@njit(cache=True)
def blocks(n_draws: int) -> int:
    """How many blocks the draws make."""
    return (n_draws + BLOCK - 1) // BLOCK


@njit(cache=True, nogil=True)
def in_use(size: int) -> int:
    """The next multiple of `LANES`: itself for one.

    Written so that the compiler sees that it is one, from `LANES` to `BLOCK`; where it has come as an argument, it
    is taken once more, because there it sees no more of it.
    """
    return ((size - 1) & (BLOCK - LANES)) + LANES


@njit(cache=True, nogil=True)
def fill(values: Floats, begin: int, out: Floats) -> None:
    """Write the values from ``begin`` on, the last one again and again where they end."""
    size = min(len(out), len(values) - begin)
    for b in range(size):
        out[b] = values[begin + b]
    for b in range(size, len(out)):
        out[b] = out[size - 1]


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
    size = min(n, weights.shape[1] - begin)
    for j in range(padded):
        row = out[j]
        for b in range(size):
            row[b] = weights[j, begin + b] / divisor[b] if j < lags else 0.0
        for b in range(size, n):
            row[b] = row[size - 1]
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


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def carry_tile(series: Floats, at: int, weights: Floats, lags: int, room: Floats, wide: int) -> None:
    """`carry` for `TILE` periods from ``at`` on, to the rows of ``room`` from `X` on."""
    n = in_use(wide)
    for j in range(0, lags, LAGS):
        i = at - j
        m0, m1, m2, m3 = series[i - 3], series[i - 2], series[i - 1], series[i]
        m4, m5, m6 = series[i + 1], series[i + 2], series[i + 3]
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        if j == 0:
            for b in range(n):
                room[X + b] = w0[b] * m3 + w1[b] * m2 + w2[b] * m1 + w3[b] * m0
                room[X + BLOCK + b] = w0[b] * m4 + w1[b] * m3 + w2[b] * m2 + w3[b] * m1
                room[X + 2 * BLOCK + b] = w0[b] * m5 + w1[b] * m4 + w2[b] * m3 + w3[b] * m2
                room[X + 3 * BLOCK + b] = w0[b] * m6 + w1[b] * m5 + w2[b] * m4 + w3[b] * m3
        else:
            for b in range(n):
                room[X + b] += w0[b] * m3 + w1[b] * m2 + w2[b] * m1 + w3[b] * m0
                room[X + BLOCK + b] += w0[b] * m4 + w1[b] * m3 + w2[b] * m2 + w3[b] * m1
                room[X + 2 * BLOCK + b] += w0[b] * m5 + w1[b] * m4 + w2[b] * m3 + w3[b] * m2
                room[X + 3 * BLOCK + b] += w0[b] * m6 + w1[b] * m5 + w2[b] * m4 + w3[b] * m3


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
def pull_back_tile(weights: Floats, lags: int, room: Floats, wide: int, at: int, out: Floats) -> None:
    """`pull_back` for `TILE` periods from ``at`` on, from the rows of ``room`` from `Y` on."""
    n = in_use(wide)
    for j in range(0, lags, LAGS):
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        s0, s1, s2, s3, s4, s5, s6 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for b in range(n):
            p0, p1 = room[Y + b], room[Y + BLOCK + b]
            p2, p3 = room[Y + 2 * BLOCK + b], room[Y + 3 * BLOCK + b]
            s0 += w3[b] * p0
            s1 += w2[b] * p0 + w3[b] * p1
            s2 += w1[b] * p0 + w2[b] * p1 + w3[b] * p2
            s3 += w0[b] * p0 + w1[b] * p1 + w2[b] * p2 + w3[b] * p3
            s4 += w0[b] * p1 + w1[b] * p2 + w2[b] * p3
            s5 += w0[b] * p2 + w1[b] * p3
            s6 += w0[b] * p3
        i = at - j
        out[i - 3] += s0
        out[i - 2] += s1
        out[i - 1] += s2
        out[i] += s3
        out[i + 1] += s4
        out[i + 2] += s5
        out[i + 3] += s6


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def dot(a: Floats, b: Floats) -> float:
    """The scalar product."""
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


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
