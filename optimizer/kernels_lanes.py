"""Hill curves of several accounts side by side, so that every step of many small accounts is vector code (numba).

A block holds `LANES` accounts, or boxes of accounts; a number of each stands beside that of the others, and every
innermost loop runs over the lanes. No lane reads another's numbers, so that no account sways another.

Hill curves and Michaelis-Menten ones (Hill with slope 1) are known here, all counting for the better. With
``S = p / (1 + p)``, ``p = (z / half)^s``:

- S'  = s S (1 - S) / z
- S'' = S' (s - 1 - 2 s S) / z. For s > 2 it rises to a peak, falls below zero and rises towards it; for smaller s
  there is no peak: over a range it is nowhere above its ends and the peak, if that lies inside. The peak is at the
  smaller root of ``(s - 1)(s - 2) - 4 (s^2 - 1) p + (s + 1)(s + 2) p^2``, where S''' is 0.
- The steepest straight line from 0 to the curve touches it at ``p = s - 1``, or 0 for s <= 1.

Rows are stretches of `LANES` numbers in flat arrays: indices are then sums of constants and the lane, by which the
compiler sees that rows do not overlap. Loops over lanes have no branch, take all before they choose, and
add up integers only: else they stay scalar.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from . import kernels_math as fast
from .kernels_accounts import FIRST, SCALE, SECOND, Curves

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LANES = 32
# Rows of a term: log2 of half, slope, weight; log2 of the spend at which its curvature peaks, and the peak; log2
# of the spend at which the steepest line from 0 touches, and its slope; curvature at the point before.
HALF, SLOPE, WEIGHT, PEAK_AT, PEAK, TOUCH_AT, STEEPEST, BEFORE = (row * LANES for row in range(8))
# Eight more than there are: at a power of two, terms would crowd each other out of the cache.
TERM = 8 * LANES + 8
# Spend this near to 0, as a share of the most, has slopes computed as if it were so much.
TINY = 1e-12
# Far below the log2 of any spend.
NEVER = -1e4


@njit(cache=True, nogil=True)
def room_for(which: Ints, starts: Ints, draws: Ints) -> tuple[int, int]:
    """Lines and draws of the accounts ``which`` (N,) that have most."""
    n_lines, n_draws = 0, 1
    for a in which:
        n_lines, n_draws = max(n_lines, starts[a + 1] - starts[a]), max(n_draws, draws[a])
    return n_lines, n_draws


@njit(cache=True, nogil=True, error_model="numpy")
def gather(
    lane: int,
    start: int,
    n_own: int,
    n_lines: int,
    own_draws: int,
    n_draws: int,
    family: Ints,
    at: Ints,
    values: Floats,
    terms: Floats,
) -> None:
    """Copy an account's curves to one lane of a block's terms: `HALF` itself, slope and a draw's share of weight.

    Parameters
    ----------
    start, n_own, own_draws : int
        The account's first row, its lines and draws. The block has ``n_lines`` and ``n_draws``; what is missing
        does nothing.
    family, at, values
        As `kernels_batch` has them.
    terms : (L K D (8 W + 8),)
        Written.
    """
    n_kpis = len(family)
    for k in range(n_kpis):
        codes = family[k, start : start + n_own]
        halves = at[k, FIRST, start : start + n_own + 1]
        slopes = at[k, SECOND, start : start + n_own + 1]
        scales = at[k, SCALE, start : start + n_own + 1]
        for i in range(n_lines):
            base = (i * n_kpis + k) * n_draws * TERM + lane
            if i >= n_own or codes[i] == 0:
                for _ in range(n_draws):
                    terms[base + HALF], terms[base + SLOPE], terms[base + WEIGHT] = 1.0, 1.0, 0.0
                    base += TERM
                continue
            half, slope, scale = halves[i], slopes[i], scales[i]
            n_slopes = slopes[i + 1] - slope
            if n_draws == 1:
                terms[base + HALF], terms[base + WEIGHT] = values[half], values[scale]
                terms[base + SLOPE] = values[slope] if n_slopes > 0 else 1.0
                continue
            # How far on the next draw's numbers are: nowhere, where one is for all.
            half_step, slope_step, scale_step = halves[i + 1] - half > 1, n_slopes > 1, scales[i + 1] - scale > 1
            for d in range(n_draws):
                there = d < own_draws
                terms[base + HALF] = values[half + d * half_step] if there else 1.0
                terms[base + SLOPE] = values[slope + d * slope_step] if there and n_slopes > 0 else 1.0
                terms[base + WEIGHT] = values[scale + d * scale_step] / own_draws if there else 0.0
                base += TERM


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def take_logs(n_terms: int, terms: Floats) -> None:
    """Replace half by its log2."""
    for m in range(n_terms):
        half = terms[m * TERM + HALF : m * TERM + HALF + LANES]
        for j in range(LANES):
            half[j] = fast.log2_normal(half[j])


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def prepare(term: Floats, factor: Floats) -> None:
    """Multiply a term's weight by ``factor`` (W,) and work out where its curvature peaks: (8 W + 8,)."""
    for j in range(LANES):
        s, half = term[SLOPE + j], term[HALF + j]
        weight = term[WEIGHT + j] * factor[j]
        term[WEIGHT + j] = weight
        q = s * s - 1.0
        p = (2.0 * q - s * np.sqrt(3.0 * max(q, 0.0))) / ((s + 1.0) * (s + 2.0))
        at = half + fast.log2_normal(max(p, 1e-300)) / s
        size = fast.exp2(-at)
        value = p / (1.0 + p)
        curve = s * value * (1.0 - value) * (s - 1.0 - 2.0 * s * value) * size * size
        term[PEAK_AT + j] = at if s > 2.0 else NEVER
        term[PEAK + j] = weight * curve


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def prepare_zero(term: Floats) -> None:
    """Work out, after `prepare`, what a term needs where spend may be 0: its steepest line from there."""
    for j in range(LANES):
        s, half, weight = term[SLOPE + j], term[HALF + j], term[WEIGHT + j]
        touch = fast.log2_normal(max(s - 1.0, 1e-300)) / s
        # The line's slope, t^(s - 1) / (1 + t^s) at t^s = s - 1.
        steepest = fast.exp2((s - 1.0) * touch - half) / s
        term[TOUCH_AT + j] = half + touch if s > 1.0 else NEVER
        steepest = steepest if s > 1.0 else fast.exp2(-half)
        steepest = steepest if s >= 1.0 else np.inf
        term[STEEPEST + j] = weight * steepest if weight > 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def locate(z: Floats, tiny: Floats, place: Floats) -> None:
    """Write log2 of spends ``z`` (W,) and what to divide by: (2 W,); no nearer to 0 than ``tiny`` (W,)."""
    for j in range(LANES):
        at = max(z[j], tiny[j])
        place[j] = fast.log2_normal(at)
        place[LANES + j] = 1.0 / at


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def respond(term: Floats, z: Floats, place: Floats, out: Floats) -> None:
    """Add a term's value, slope and curvature at spends to the rows of ``out`` (3 W,)."""
    for j in range(LANES):
        s, over = term[SLOPE + j], place[LANES + j]
        ratio = fast.exp2(s * (term[HALF + j] - place[j]))
        value = 1.0 / (1.0 + ratio)
        slope = term[WEIGHT + j] * s * (value * (ratio * value)) * over
        out[j] += term[WEIGHT + j] * value if z[j] > 0.0 else 0.0
        out[LANES + j] += slope
        out[2 * LANES + j] += slope * (s - 1.0 - 2.0 * s * value) * over


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def span(term: Floats, z: Floats, place: Floats, left: Floats, first: bool, out: Floats) -> None:
    """Add a term at the right ends ``z`` of intervals to ``out`` (5 W,), and what bounds it between.

    Parameters
    ----------
    left : (W,)
        log2 of the left ends; where one is 0, `NEVER`.
    first : bool
        Whether any left end is 0.
    out : (5 W,)
        Added to: value and slope at the right end; the greatest curvature between the ends. Where the left end is
        0, instead of the last, two slopes of straight lines the term is nowhere above: from the left end and from
        the right.
    """
    for j in range(LANES):
        s, over, weight = term[SLOPE + j], place[LANES + j], term[WEIGHT + j]
        ratio = fast.exp2(s * (term[HALF + j] - place[j]))
        value = 1.0 / (1.0 + ratio)
        slope = weight * s * (value * (ratio * value)) * over
        curve = slope * (s - 1.0 - 2.0 * s * value) * over
        chord = weight * value * over
        value = weight * value if z[j] > 0.0 else 0.0
        at, from_zero = term[PEAK_AT + j], left[j] <= NEVER
        between = max(curve, term[BEFORE + j])
        between = max(between, term[PEAK + j] if left[j] < at and at < place[j] else between)
        term[BEFORE + j] = curve
        out[j] += value
        out[LANES + j] += slope
        out[2 * LANES + j] += 0.0 if from_zero else between
        if first:
            out[3 * LANES + j] += chord if place[j] < term[TOUCH_AT + j] else term[STEEPEST + j]
            out[4 * LANES + j] += min(slope, chord)


@njit(cache=True, nogil=True, error_model="numpy")
def measure(
    which: Ints,
    spend: Floats,
    starts: Ints,
    upper: Floats,
    curves: Curves,
    kpis: Floats,
    marginal: Floats,
) -> None:
    """Work out what spends do to KPIs, mean over draws, block by block.

    Parameters
    ----------
    which : (N,)
        Accounts, fewest draws and lines first.
    spend : (R,)
        Currency.
    kpis : (A, K)
        Written: what all lines add to each KPI.
    marginal : (K, R)
        Written: KPI units for one more of currency.

    The other arguments are those of `kernels_batch.split_each`.
    """
    draws, family, at, values = curves
    n_kpis = len(family)
    total, z, tiny = np.empty((n_kpis, LANES)), np.empty(LANES), np.empty(LANES)
    place, out = np.empty(2 * LANES), np.empty(5 * LANES)
    for first in range(0, len(which), LANES):
        n = min(LANES, len(which) - first)
        n_lines, n_draws = room_for(which[first : first + n], starts, draws)
        terms = np.empty(n_lines * n_kpis * n_draws * TERM)
        for j in range(LANES):
            a = which[first + min(j, n - 1)]
            gather(j, starts[a], starts[a + 1] - starts[a], n_lines, draws[a], n_draws, family, at, values, terms)
        take_logs(n_lines * n_kpis * n_draws, terms)
        total[:] = 0.0
        for i in range(n_lines):
            for j in range(LANES):
                a = which[first + min(j, n - 1)]
                there = i < starts[a + 1] - starts[a]
                z[j], tiny[j] = (spend[starts[a] + i], TINY * upper[starts[a] + i]) if there else (0.0, 1.0)
                tiny[j] = tiny[j] if tiny[j] > 0.0 else 1.0
            locate(z, tiny, place)
            for k in range(n_kpis):
                out[:] = 0.0
                for d in range(n_draws):
                    m = (i * n_kpis + k) * n_draws + d
                    respond(terms[m * TERM : (m + 1) * TERM], z, place, out)
                for j in range(LANES):
                    total[k, j] += out[j]
                for j in range(n):
                    a = which[first + j]
                    if i < starts[a + 1] - starts[a]:
                        marginal[k, starts[a] + i] = out[LANES + j]
        for j in range(n):
            for k in range(n_kpis):
                kpis[which[first + j], k] = total[k, j]
