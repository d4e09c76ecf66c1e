"""One line in one block of draws: its effect on one KPI, and what that changes by with its media.

Media carry over and then saturate, or saturate and then carry on. Everything but a line's series and weights
stands in the block's room, as `kernels_blocks` lays it out.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_blocks import (
    BLOCK,
    FACTOR,
    FIRST,
    ONES,
    SECOND,
    TILE,
    TOTAL,
    X,
    Y,
    carry,
    carry_tile,
    dot,
    fill,
    pull_back,
    pull_back_tile,
)
from .kernels_curves import HILL, add_values, divisor, slopes
from .kernels_hill import LEAST_SLOPE, add_hill, hill_slopes

Floats = NDArray[np.float64]


@njit(cache=True, nogil=True)
def prepare(family: int, first: Floats, second: Floats, begin: int, wide: int, room: Floats) -> bool:
    """Write a block's curve parameters to its room: ones and first or what stands for it, and second.

    Returns
    -------
    bool
        Whether `kernels_hill` may be asked for these curves.
    """
    p, q, ones = room[FIRST : FIRST + wide], room[SECOND : SECOND + wide], room[ONES : ONES + wide]
    ones[:] = 1.0
    fill(second, begin, q)
    fill(first, begin, p)
    relative = divisor(family, p, ones)
    steep = True
    for b in range(wide):
        p[b] = relative[b]
        steep = steep and q[b] >= LEAST_SLOPE
    return family == HILL and steep


@njit(cache=True, nogil=True)
def settled(series: Floats, end: int, pad: int, length: int) -> int:
    """The first period from which on carried media stay the same, up to the last one, ``end - pad - 1``.

    Parameters
    ----------
    series : (>= end,)
        Media, from ``pad`` on those of the horizon.
    length : int
        Lags that are not zero: as many media that are the same settle it.
    """
    first = end - 1
    while first > 0 and series[first - 1] == series[end - 1]:
        first -= 1
    return min(max(first + length - 1 - pad, 0), end - pad - 1)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def add_carried(
    family: int,
    quick: bool,
    series: Floats,
    pad: int,
    length: int,
    lagged: Floats,
    lags: int,
    knots: Floats,
    season: Floats,
    room: Floats,
    wide: int,
) -> None:
    """Add ``sum_t season[t] * S(carried media)`` to the row `TOTAL`: media carry over, then saturate.

    Periods with the same carried media, once it has settled, are dealt with at once.
    """
    n_periods = len(season)
    x, q, factor = room[X : X + wide], room[SECOND : SECOND + wide], room[FACTOR : FACTOR + wide]
    total = room[TOTAL : TOTAL + wide]
    last = settled(series, pad + n_periods, pad, length)
    tiled = (n_periods if last == n_periods - 1 else last) // TILE * TILE if quick else 0
    for t in range(0, tiled, TILE):
        carry_tile(series, pad + t, lagged, lags, room, wide)
        if not add_hill(room, wide, season[t], season[t + 1], season[t + 2], season[t + 3]):
            for i in range(TILE):
                row = X + i * BLOCK
                factor[:] = season[t + i]
                add_values(family, room[row : row + wide], q, knots, factor, total)
    for t in range(tiled, last + 1):
        factor[:] = season[t] if t < last else season[last:].sum()
        carry(series, pad + t, lagged, lags, x)
        add_values(family, x, q, knots, factor, total)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def add_carried_on(
    family: int,
    media: Floats,
    history: Floats,
    series: Floats,
    pad: int,
    lagged: Floats,
    lags: int,
    knots: Floats,
    room: Floats,
    wide: int,
) -> None:
    """Add ``sum_t (carried season) * S(media[t])`` to the row `TOTAL`: media saturate, then effects carry over.

    Periods after each other with the same media are dealt with at once.
    """
    n_periods, n_history = len(media), len(history)
    p, q, factor = room[FIRST : FIRST + wide], room[SECOND : SECOND + wide], room[FACTOR : FACTOR + wide]
    x, total = room[X : X + wide], room[TOTAL : TOTAL + wide]
    factor[:] = 0.0
    for t in range(-n_history, n_periods):
        bought = media[t] if t >= 0 else history[n_history + t]
        carry(series, pad + n_periods - 1 - t, lagged, lags, x)
        factor += x
        if t < n_periods - 1 and bought == (media[t + 1] if t >= -1 else history[n_history + t + 1]):
            continue
        for b in range(wide):
            x[b] = bought / p[b]
        add_values(family, x, q, knots, factor, total)
        factor[:] = 0.0


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def pull_carried(
    family: int,
    quick: bool,
    series: Floats,
    pad: int,
    lagged: Floats,
    lags: int,
    knots: Floats,
    season: Floats,
    room: Floats,
    wide: int,
    back: Floats,
) -> None:
    """Add to ``back`` what `add_carried` changes by with its series, each draw counted by the row `TOTAL`."""
    n_periods = len(season)
    x, q, steep = room[X : X + wide], room[SECOND : SECOND + wide], room[Y : Y + wide]
    tiled = n_periods // TILE * TILE if quick else 0
    for t in range(0, tiled, TILE):
        carry_tile(series, pad + t, lagged, lags, room, wide)
        done = hill_slopes(room, wide)
        for i in range(TILE):
            row, to = X + i * BLOCK, Y + i * BLOCK
            if not done:
                slopes(family, room[row : row + wide], q, knots, room[to : to + wide])
            for b in range(wide):
                room[to + b] *= room[TOTAL + b] * season[t + i]
        pull_back_tile(lagged, lags, room, wide, pad + t, back)
    for t in range(tiled, n_periods):
        carry(series, pad + t, lagged, lags, x)
        slopes(family, x, q, knots, steep)
        for b in range(wide):
            steep[b] *= room[TOTAL + b] * season[t]
        pull_back(lagged, lags, steep, pad + t, back)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def pull_carried_on(
    family: int,
    media: Floats,
    series: Floats,
    pad: int,
    lagged: Floats,
    lags: int,
    knots: Floats,
    room: Floats,
    wide: int,
    back: Floats,
) -> None:
    """Add to ``back`` what `add_carried_on` changes by with its media, each draw counted by the row `TOTAL`."""
    n_periods = len(media)
    p, q, factor = room[FIRST : FIRST + wide], room[SECOND : SECOND + wide], room[FACTOR : FACTOR + wide]
    x, steep, pull = room[X : X + wide], room[Y : Y + wide], room[TOTAL : TOTAL + wide]
    for t in range(n_periods):
        carry(series, pad + n_periods - 1 - t, lagged, lags, factor)
        for b in range(wide):
            x[b] = media[t] / p[b]
        slopes(family, x, q, knots, steep)
        for b in range(wide):
            steep[b] *= factor[b] / p[b]
        back[pad + t] += dot(steep, pull)
