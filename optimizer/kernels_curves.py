"""The response families over a block of draws: values and slopes, in loops that become vector code.

``x`` is adstocked media as a multiple of the curve's first parameter: S(x) is what `curves.FAMILIES` lists as a
function of ``a / first``. Families are told apart outside the loops over draws.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from . import kernels_math as fast

Floats = NDArray[np.float64]

# Slopes are taken no closer to zero than this share of `first`: some families have an infinite slope at 0.
TINY = 1e-12
# tanh of this is one half.
HALF_WAY = float(np.log(3.0) / 2.0)
LINEAR, HILL, MICHAELIS_MENTEN, POWER, LOG1P, LOGISTIC, TANH, POINTS = 1, 2, 3, 4, 5, 6, 7, 8


@njit(cache=True, nogil=True)
def divisor(family: int, first: Floats, ones: Floats) -> Floats:
    """What media is taken as a multiple of: ``first``, or nothing for a family that has no such parameter."""
    return ones if family in (LINEAR, POWER, POINTS) else first


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def add_values(family: int, x: Floats, second: Floats, knots: Floats, factor: Floats, total: Floats) -> None:
    """Add ``factor * S(x)`` to ``total``, draw by draw.

    Parameters
    ----------
    x, second, factor, total : (B,)
        Relative media, the curve's second parameter, what one unit of S counts for, and the sum so far.
    knots : (3, P)
        Pieces of a curve through points: start, width and gradient.
    """
    n = len(x)
    if family == HILL:
        for b in range(n):
            ratio = fast.exp2(-second[b] * fast.log2(x[b]))
            value = 1.0 / (1.0 + ratio)
            total[b] += factor[b] * (value if x[b] > 0.0 else 0.0)
    elif family == MICHAELIS_MENTEN:
        for b in range(n):
            # Not x / (1 + x), which has no value where x overflows.
            total[b] += factor[b] / (1.0 + 1.0 / x[b])
    elif family == POWER:
        for b in range(n):
            value = fast.exp2(second[b] * fast.log2(x[b]))
            total[b] += factor[b] * (value if x[b] > 0.0 else 0.0)
    elif family == LOG1P:
        for b in range(n):
            total[b] += factor[b] * fast.log1p(x[b])
    elif family in (LOGISTIC, TANH):
        for b in range(n):
            total[b] += factor[b] * fast.tanh(HALF_WAY * x[b])
    elif family == POINTS:
        for p in range(knots.shape[1]):
            start, width, gradient = knots[0, p], knots[1, p], knots[2, p]
            for b in range(n):
                total[b] += factor[b] * (gradient * min(max(x[b] - start, 0.0), width))
    else:
        for b in range(n):
            total[b] += factor[b] * x[b]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def slopes(family: int, x: Floats, second: Floats, knots: Floats, out: Floats) -> None:
    """Write dS/dx, draw by draw, at an x no nearer to zero than `TINY`; at a kink the slope to its right.

    Parameters
    ----------
    x, second, out : (B,)
        Relative media, the curve's second parameter, and what is written.
    knots : (3, P)
        Pieces of a curve through points: start, width and gradient.
    """
    n = len(x)
    if family == HILL:
        for b in range(n):
            at = max(x[b], TINY)
            ratio = fast.exp2(-second[b] * fast.log2(at))
            value = 1.0 / (1.0 + ratio)
            # S (1 - S) slope / x, with 1 - S = ratio S: no difference, and nothing overflows.
            out[b] = value * (ratio * value) * second[b] / at
    elif family == MICHAELIS_MENTEN:
        for b in range(n):
            value = 1.0 / (1.0 + x[b])
            out[b] = value * value
    elif family == POWER:
        for b in range(n):
            out[b] = second[b] * fast.exp2((second[b] - 1.0) * fast.log2(max(x[b], TINY)))
    elif family == LOG1P:
        for b in range(n):
            out[b] = 1.0 / (1.0 + x[b])
    elif family in (LOGISTIC, TANH):
        for b in range(n):
            # 1 - tanh^2, which is a difference, from exp(-2 u) = 3^-x, which is none.
            # As a square it falls to 0, where exp2 alone stops above.
            root = fast.exp2(-(HALF_WAY * fast.LOG2_E) * x[b])
            e = root * root
            out[b] = 4.0 * HALF_WAY * e / ((1.0 + e) * (1.0 + e))
    elif family == POINTS:
        for b in range(n):
            out[b] = 0.0
        for p in range(knots.shape[1]):
            start, end, gradient = knots[0, p], knots[0, p] + knots[1, p], knots[2, p]
            for b in range(n):
                out[b] += gradient if x[b] >= start and x[b] < end else 0.0
    else:
        for b in range(n):
            out[b] = 1.0
