"""Bounds for boxes of lines' ranges at many weights and prices of money at once, by weak duality (numba).

Each line's range is cut into parts, so that where its curves are S-shaped it is off in some and on in others. At a
price of money the best of each part is known once and for all: at any price, a weighted sum over a box is at most
the budget's worth and, for each line, the best of the parts that the box has, less what it spends. A box is then
bounded at all weights by adding rows up, and what cutting it would do is seen before it is cut (strong branching).

Shapes: L lines, M parts, W weights, P prices, C cells, O objectives.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_attained import Tradeoffs
from .kernels_split import ROUNDING, fill, hull, push
from .kernels_tables import Tables

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Prices (W, P), rising; the best of each part, and in the last row of all of them, less what is spent (L, M + 1,
# W * P); what is spent there (L, M + 1, W * P).
Peaks = tuple[Floats, Floats, Floats]

# Cutting is tried at this many of the weights that are lowest in a cell.
TRIED = 40


@njit(cache=True, nogil=True, error_model="numpy")
def write_peaks(
    ends: Ints,
    steps: Floats,
    budget: float,
    exactly: bool,
    tradeoffs: Tradeoffs,
    tables: Tables,
    some: tuple[int, int],
    peaks: Peaks,
) -> None:
    """Write prices, beside the best one of each weight, and the best of each part.

    Parameters
    ----------
    ends : (L, M + 1)
        Grid points at the ends of the parts; parts that end where they begin are none, but for the first.
    steps : (P,)
        Prices as a share of the best one, less one; rising.
    budget, exactly : float, bool
        Total spend, and whether all of it must be spent.
    some : (int, int)
        The first of the weights to write for, and the one behind the last.
    """
    prices, best, spent = peaks
    factors, per_money = tradeoffs[1], tradeoffs[2]
    grid, value, lines = tables[5], tables[7], tables[8]
    n_lines, n_parts = len(ends), ends.shape[1] - 1
    # Hulls of a line's parts, one behind another, and of all of the line.
    room = 2 * grid.shape[1] + n_parts
    x, y, behind = np.empty((n_lines, room)), np.empty((n_lines, room)), np.empty((n_lines, n_parts), np.int64)
    whole_x, whole_y, corners = np.empty((n_lines, room)), np.empty((n_lines, room)), np.empty(n_lines, np.int64)
    z, over, sums = np.empty(n_lines), np.empty(n_lines), np.empty((3, room))
    for w in range(some[0], some[1]):
        for line in range(n_lines):
            at, n = 0, 0
            for part in range(n_parts):
                first, last = ends[line, part], ends[line, part + 1]
                if first < last or part == 0:
                    begin = at
                    own_x, own_y = x[line, at:], y[line, at:]
                    at += hull(line, first, last, factors[w], per_money[w], grid, value, lines, sums, own_x, own_y)
                    for i in range(begin, at):
                        n = push(whole_x[line], whole_y[line], n, x[line, i], y[line, i])
                behind[line, part] = at
            corners[line] = n
        bound, price = fill(whole_x, whole_y, corners, budget, exactly, z, over)
        # Where money is worth next to nothing, other prices are beside what it is worth on average.
        size = max(abs(price), 1e-3 * abs(bound) / max(budget, 1e-12))
        for p in range(len(steps)):
            prices[w, p] = price + size * steps[p]
            if not exactly:
                prices[w, p] = max(prices[w, p], 0.0)
        for line in range(n_lines):
            for part in range(n_parts + 1):
                for p in range(len(steps)):
                    best[line, part, w * len(steps) + p] = -np.inf
                    spent[line, part, w * len(steps) + p] = 0.0
            begin = 0
            for part in range(n_parts):
                at = behind[line, part] - 1
                for p in range(len(steps) if at >= begin else 0):
                    price, wp = prices[w, p], w * len(steps) + p
                    while at > begin and y[line, at] - y[line, at - 1] <= price * (x[line, at] - x[line, at - 1]):
                        at -= 1
                    there, paid = y[line, at], price * x[line, at]
                    best[line, part, wp] = there - paid + ROUNDING * (abs(there) + abs(paid))
                    spent[line, part, wp] = x[line, at]
                    if best[line, part, wp] > best[line, n_parts, wp]:
                        best[line, n_parts, wp], spent[line, n_parts, wp] = best[line, part, wp], x[line, at]
                begin = behind[line, part]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def best_of(line: int, first: int, last: int, best: Floats, out: Floats) -> None:
    """Write the best of the parts from ``first`` to ``last`` of a line, (W * P,)."""
    if first == 0 and last >= best.shape[1] - 2:
        first = last = best.shape[1] - 1
    for wp in range(len(out)):
        out[wp] = best[line, first, wp]
    for part in range(first + 1, last + 1):
        for wp in range(len(out)):
            out[wp] = max(out[wp], best[line, part, wp])


@njit(cache=True, nogil=True, error_model="numpy")
def levels(span: Ints, budget: float, constants: Floats, peaks: Peaks, sums: Floats, out: Floats) -> None:
    """Bound weighted sums over a box.

    Parameters
    ----------
    span : (2, L)
        First and last part of each line that the box has.
    sums : (W * P,)
        Written: what lines come to at each weight and price, less what they spend.
    out : (W,)
        Lowered to the bounds.
    """
    prices, best = peaks[0], peaks[1]
    row = np.empty(len(sums))
    sums[:] = 0.0
    for line in range(span.shape[1]):
        best_of(line, span[0, line], span[1, line], best, row)
        for wp in range(len(sums)):
            sums[wp] += row[wp]
    n = prices.shape[1]
    for w in range(len(prices)):
        for p in range(n):
            worth = prices[w, p] * budget
            level = sums[w * n + p] + worth + constants[w]
            # Rounding of the sums.
            level += 10.0 * ROUNDING * (abs(sums[w * n + p]) + abs(worth))
            out[w] = min(out[w], level)


@njit(cache=True, nogil=True, error_model="numpy")
def splits(span: Ints, some: Ints, budget: float, peaks: Peaks, sums: Floats, z: Floats) -> None:
    """Write plans of a box for ``some`` weights (S,): (S, L).

    What lines spend at the price that bounds the box best is more or less than the budget, and the other way round
    at the price beside it: blends of the two spend it all where there are such.
    """
    prices = peaks[0]
    n, other = prices.shape[1], np.empty(z.shape[1])
    for i in range(len(some)):
        w, at = some[i], 0
        for p in range(n):
            if sums[w * n + p] + prices[w, p] * budget < sums[w * n + at] + prices[w, at] * budget:
                at = p
        total = _spend(span, w * n + at, peaks, z[i])
        beside = at + 1 if total > budget else at - 1
        if total == budget or beside < 0 or beside == n:
            continue
        total_beside = _spend(span, w * n + beside, peaks, other)
        if (total - budget) * (total_beside - budget) < 0.0:
            share = (budget - total) / (total_beside - total)
            for line in range(len(other)):
                z[i, line] += share * (other[line] - z[i, line])


@njit(cache=True, nogil=True, error_model="numpy")
def _spend(span: Ints, wp: int, peaks: Peaks, z: Floats) -> float:
    """Write what lines of a box spend at a weight and price; return the sum."""
    best, spent, total = peaks[1], peaks[2], 0.0
    for line in range(len(z)):
        top = span[0, line]
        for part in range(span[0, line] + 1, span[1, line] + 1):
            if best[line, part, wp] > best[line, top, wp]:
                top = part
        z[line] = spent[line, top, wp]
        total += z[line]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def line_to_cut(
    span: Ints,
    at: Floats,
    least: float,
    budget: float,
    tradeoffs: Tradeoffs,
    peaks: Peaks,
    sums: Floats,
    bounds: Floats,
) -> tuple[int, int]:
    """The line, and the part behind which to cut it, that lowers a box most where it is looked at; -1 for none.

    Parameters
    ----------
    at : (O - 1,)
        Where: all objectives but the last.
    least : float
        What both halves are lowered by at least counts as this much.
    sums, bounds : (W * P,), (W,)
        Of the box: `levels`.
    """
    weights, constants, (prices, best, _) = tradeoffs[0], tradeoffs[3], peaks
    n, n_prices, n_parts = weights.shape[1] - 1, prices.shape[1], best.shape[1] - 1
    heights, beside = np.empty(len(weights)), np.empty(len(weights))
    for w in range(len(weights)):
        beside[w] = 0.0
        for j in range(n):
            beside[w] -= weights[w, j] * at[j]
        heights[w] = (bounds[w] + beside[w]) / weights[w, n]
    lowest = np.argsort(heights)[:TRIED]
    now, highest = heights[lowest[0]], -np.inf
    line_at, part_at = -1, 0
    before, behind = np.empty(n_parts), np.empty(n_parts)
    left, right = np.empty(n_parts), np.empty(n_parts)
    for line in range(span.shape[1]):
        first, last = span[0, line], span[1, line]
        if first == last:
            continue
        left[:], right[:] = np.inf, np.inf
        for w in lowest:
            for p in range(n_prices):
                wp = w * n_prices + p
                before[first], behind[last] = best[line, first, wp], best[line, last, wp]
                for part in range(first + 1, last + 1):
                    before[part] = max(before[part - 1], best[line, part, wp])
                for part in range(last - 1, first - 1, -1):
                    behind[part] = max(behind[part + 1], best[line, part, wp])
                base = sums[wp] - before[last] + prices[w, p] * budget + constants[w] + beside[w]
                for part in range(first, last):
                    left[part] = min(left[part], (base + before[part]) / weights[w, n])
                    right[part] = min(right[part], (base + behind[part + 1]) / weights[w, n])
        for part in range(first, last):
            one, other = max(now - left[part], 0.0), max(now - right[part], 0.0)
            gain = (one + least) * (other + least)
            if one + other > least and gain > highest:
                line_at, part_at, highest = line, part, gain
    return line_at, part_at
