"""log2, exp2, log1p and tanh without a branch or a call, so that loops over them become vector code.

The wheels of llvmlite carry no vector mathematics library: a loop with `pow` or `log` in it stays scalar. Here
exponents are read from and written to the bits of a double, what is left goes through a polynomial, and rounding
to an integer is adding a number so large that no digits are left behind the point. Relative errors are a few
1e-16 (`tests/test_kernels_math.py`). Arguments are taken to be finite; results are.

numba's cache does not see that a function called from another file has changed: after a change here or in
`kernels_curves`, delete ``__pycache__`` (the tests do).
"""

from __future__ import annotations

import numpy as np
from numba import njit

ONE = np.float64(1.0).view(np.uint64)
# The bits of sqrt(1/2): mantissas are taken between it and sqrt(2), so that log2 is exact around 1.
ROOT_HALF = np.uint64(0x3FE6A09E667F3BCD)
MANTISSA = np.uint64(0x000FFFFFFFFFFFFF)
EXPONENT_BITS = np.uint64(52)
# An integer below 2^52 written into the mantissa of 2^52 is that integer more.
TWO_52 = np.float64(2.0**52)
TWO_52_BITS = TWO_52.view(np.uint64)
BIAS = 1023.0
# Adding 1.5 * 2^52 rounds a double to the nearest integer, which then stands in its lowest bits.
ROUND = 1.5 * 2.0**52
SMALLEST, SUBNORMAL_UP, SUBNORMAL_BITS = 2.0**-1022, 2.0**54, 54.0
# Results of exp2 stay normal and finite.
LOWEST, HIGHEST = -1021.0, 1023.0

LN2 = float(np.log(2.0))
LOG2_E = 1.0 / LN2
# log2((1 + s) / (1 - s)) / s as a polynomial in s^2 for |s| < 0.172, and (2^f - 1) / f in f for |f| <= 1/2, once
# for itself and once, a term shorter, as part of 2^f: through exact values at Chebyshev's nodes, relative errors
# 2e-16, 6e-18, and 6e-16 of 2^f. Horner's rule takes the fewest steps; that each waits for the one before matters
# little where many draws are on their way.
L0, L1, L2, L3 = 2.885390081777927, 0.9617966939243345, 0.5770780172463286, 0.4121984020482752
L4, L5, L6 = 0.32061638813224547, 0.2614442493522915, 0.2429160853987535
E0, E1, E2, E3 = 0.6931471805599453, 0.24022650695910097, 0.0555041086648216, 0.009618129107606888
E4, E5, E6, E7 = 0.0013333558146416936, 0.0001540353044173605, 1.525273382983612e-05, 1.321544258792169e-06
E8, E9, E10 = 1.0178062445845774e-07, 7.072585949269223e-09, 4.4549605981865186e-10
P0, P1, P2, P3 = 0.6931471805599462, 0.24022650695910075, 0.05550410866465167, 0.009618129107618665
P4, P5, P6, P7 = 0.0013333558200794592, 0.00015403530424776529, 1.5252672924850737e-05, 1.3215451633221434e-06
P8, P9 = 1.0205905413765595e-07, 7.070977866508138e-09
# tanh(f log(2) / 2) = f (z^2 + T1 z + T0) / (B2 z^2 + B1 z + B0) with z = f^2, through exact values at Chebyshev's
# nodes: relative error 5e-18.
T0, T1 = 65550.99013061202, 874.7432766047971
B0, B1, B2 = 189140.17677359065, 10096.72290640831, 43.30054141477767


@njit(cache=True)
def bits(x: float) -> np.uint64:
    """The bits of a double."""
    return np.float64(x).view(np.uint64)


@njit(cache=True)
def number(i: np.uint64) -> float:
    """The double with these bits."""
    return np.uint64(i).view(np.float64)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def split(x: float) -> tuple[float, float]:
    """Exponent ``k`` and ``m - 1`` with ``x = 2^k m``, ``m`` from sqrt(1/2) to sqrt(2), of a normal ``x > 0``."""
    shifted = bits(x) + (ONE - ROOT_HALF)
    exponent = number((shifted >> EXPONENT_BITS) | TWO_52_BITS) - (TWO_52 + BIAS)
    return exponent, number((shifted & MANTISSA) + ROOT_HALF) - 1.0


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def log2_near_1(f: float) -> float:
    """log2(1 + f) for f from sqrt(1/2) - 1 to sqrt(2) - 1."""
    s = f / (2.0 + f)
    z = s * s
    return s * (L0 + z * (L1 + z * (L2 + z * (L3 + z * (L4 + z * (L5 + z * L6))))))


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def exp2_near_0(f: float) -> float:
    """2^f - 1 for f from -1/2 to 1/2."""
    high = E5 + f * (E6 + f * (E7 + f * (E8 + f * (E9 + f * E10))))
    return f * (E0 + f * (E1 + f * (E2 + f * (E3 + f * (E4 + f * high)))))


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def log2_normal(x: float) -> float:
    """log2(x) for x > 0 that is no subnormal number. Of others some number of size 1022 or more."""
    exponent, f = split(x)
    return exponent + log2_near_1(f)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def log2(x: float) -> float:
    """log2(x) for x > 0, subnormal numbers included."""
    tiny = x < SMALLEST
    return log2_normal(x * SUBNORMAL_UP if tiny else x) - (SUBNORMAL_BITS if tiny else 0.0)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def exp2_within(y: float) -> float:
    """2^y for y from -1021 to 1023."""
    rounded = y + ROUND
    f = y - (rounded - ROUND)
    high = P4 + f * (P5 + f * (P6 + f * (P7 + f * (P8 + f * P9))))
    near_1 = 1.0 + f * (P0 + f * (P1 + f * (P2 + f * (P3 + f * high))))
    return number(bits(near_1) + (bits(rounded) << EXPONENT_BITS))


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def exp2(y: float) -> float:
    """2^y, held between 2^-1021 and 2^1023."""
    return exp2_within(min(max(y, LOWEST), HIGHEST))


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def logistic2(top: float, y: float) -> float:
    """``top / (1 + 2^y)`` for y from -500 to 500.

    2^f = (1 + h) / (1 - h) with h = tanh(f log(2) / 2), itself a ratio b / a: so one division serves for all,
    ``top (a - b) / (a - b + 2^k (a + b))``.
    """
    rounded = y + ROUND
    f = y - (rounded - ROUND)
    z = f * f
    a, b = B0 + z * (B1 + z * B2), f * (T0 + z * (T1 + z))
    low = a - b
    return top * low / (low + number(bits(a + b) + (bits(rounded) << EXPONENT_BITS)))


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def log1p(x: float) -> float:
    """log(1 + x) for x >= 0."""
    u = 1.0 + x
    exponent, f = split(u)
    # What was rounded away from x in u: to first order log(1 + x) is log(u) + lost / u.
    lost = x - (u - 1.0) if u < TWO_52 else 0.0
    return LN2 * (exponent + log2_near_1(f)) + lost / u


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def tanh(u: float) -> float:
    """tanh(u) for u >= 0, as -E / (2 + E) with E = exp(-2 u) - 1, which keeps its digits around 0."""
    y = max(-2.0 * LOG2_E * u, -100.0)
    rounded = y + ROUND
    power = number(ONE + (bits(rounded) << EXPONENT_BITS))
    e = power * exp2_near_0(y - (rounded - ROUND)) + (power - 1.0)
    return -e / (2.0 + e)
