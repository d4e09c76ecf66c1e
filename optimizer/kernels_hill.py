"""Hill curves over several periods of a block at once, where numbers are ordinary: the case that takes most time.

S(x) = 1 / (1 + 2^y) with y = -slope log2 x: `logistic2`. Two loops, one to y and one from it: in a single one,
each draw's steps form a chain longer than the processor looks ahead. With ordinary numbers nothing needs to be
held in range, and whether they are is seen in y alone. Where they are not, nothing is written that counts;
`kernels_curves` is to be asked.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from . import kernels_math as fast
from .kernels_blocks import BLOCK, SECOND, TOTAL, X, Y, in_use
from .kernels_curves import TINY

Floats = NDArray[np.float64]

# Slopes from here on: then 0, and numbers too small for `log2_normal`, have a y of 511 at least, which is not
# ordinary.
LEAST_SLOPE = 0.5
# The size of y up to which values, and slopes with their square of 2^y over x, neither overflow nor vanish.
ORDINARY, ORDINARY_SLOPES = np.float64(500.0).view(np.uint64), np.float64(250.0).view(np.uint64)
SIZE = np.uint64(0x7FFFFFFFFFFFFFFF)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def size(y: float) -> np.uint64:
    """The bits of ``abs(y)``, which are in the order of the numbers; their largest is found by vector code."""
    return fast.bits(y) & SIZE


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def add_hill(room: Floats, wide: int, f0: float, f1: float, f2: float, f3: float) -> bool:
    """Add ``sum_i f_i * S(x_i)``, over the rows from `X` on, to the row `TOTAL`.

    Returns False, with nothing added, where numbers are not ordinary.
    The slopes, in the row `SECOND`, are `LEAST_SLOPE` at least.
    """
    n = in_use(wide)
    largest = np.uint64(0)
    for b in range(n):
        s = -room[SECOND + b]
        y0 = s * fast.log2_normal(room[X + b])
        y1 = s * fast.log2_normal(room[X + BLOCK + b])
        y2 = s * fast.log2_normal(room[X + 2 * BLOCK + b])
        y3 = s * fast.log2_normal(room[X + 3 * BLOCK + b])
        largest = max(largest, max(max(size(y0), size(y1)), max(size(y2), size(y3))))
        room[Y + b], room[Y + BLOCK + b], room[Y + 2 * BLOCK + b], room[Y + 3 * BLOCK + b] = y0, y1, y2, y3
    if largest > ORDINARY:
        return False
    for b in range(n):
        early = fast.logistic2(f0, room[Y + b]) + fast.logistic2(f1, room[Y + BLOCK + b])
        y2, y3 = room[Y + 2 * BLOCK + b], room[Y + 3 * BLOCK + b]
        room[TOTAL + b] += early + (fast.logistic2(f2, y2) + fast.logistic2(f3, y3))
    return True


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def hill_slope(x: float, second: float, y: float) -> float:
    """dS/dx = S (1 - S) slope / x, with 1 - S = 2^y S."""
    ratio = fast.exp2_within(y)
    return second * ratio / ((1.0 + ratio) * (1.0 + ratio) * max(x, TINY))


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def hill_slopes(room: Floats, wide: int) -> bool:
    """Write dS/dx, no closer to 0 than `TINY`, of the rows from `X` on to those from `Y` on.

    Returns False, with nothing written that counts, where numbers are not ordinary.
    The slopes, in the row `SECOND`, are `LEAST_SLOPE` at least.
    """
    n = in_use(wide)
    largest = np.uint64(0)
    for b in range(n):
        s = -room[SECOND + b]
        y0 = s * fast.log2_normal(max(room[X + b], TINY))
        y1 = s * fast.log2_normal(max(room[X + BLOCK + b], TINY))
        y2 = s * fast.log2_normal(max(room[X + 2 * BLOCK + b], TINY))
        y3 = s * fast.log2_normal(max(room[X + 3 * BLOCK + b], TINY))
        largest = max(largest, max(max(size(y0), size(y1)), max(size(y2), size(y3))))
        room[Y + b], room[Y + BLOCK + b], room[Y + 2 * BLOCK + b], room[Y + 3 * BLOCK + b] = y0, y1, y2, y3
    if largest > ORDINARY_SLOPES:
        return False
    for b in range(n):
        s = room[SECOND + b]
        room[Y + b] = hill_slope(room[X + b], s, room[Y + b])
        room[Y + BLOCK + b] = hill_slope(room[X + BLOCK + b], s, room[Y + BLOCK + b])
        room[Y + 2 * BLOCK + b] = hill_slope(room[X + 2 * BLOCK + b], s, room[Y + 2 * BLOCK + b])
        room[Y + 3 * BLOCK + b] = hill_slope(room[X + 3 * BLOCK + b], s, room[Y + 3 * BLOCK + b])
    return True
