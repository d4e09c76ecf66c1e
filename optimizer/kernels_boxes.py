"""Many boxes at once: in each the nearest best split of a budget, and what no split of it is above (numba).

A box is an account with a range for each line; a block holds `LANES` of them side by side (`kernels_lanes`). The
split is found by Newton's method: each line goes where its slope falls to the price of money. At that price the
bound is weak duality's, ``price * budget + sum of each line's greatest (response - price * spend)``, where the
response is replaced by straight lines that it is nowhere above: between two points of a line, with ``m >= 0`` no
less than its curvature there, ``g(x) + m / 2 (x - a) (b - x)`` is concave and no less than ``g``, hence below its
tangents at both ends. Where the response is concave they are its own; the bound then is as good as the split.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_lanes import LANES, NEVER, TERM, TINY, locate, respond, span

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Rows of a line: range, spend, slope there and how fast it falls, spend to try, its slope and fall, spend that is
# as good as none (`TINY` of the most), and the share of itself that spend may not fall below in one step.
LOW, HIGH, Z, RISE, FALL, TRY, TRY_RISE, TRY_FALL, NONE, REACH, LEAST, EASE, SPOT = (
    row * LANES for row in range(13)
)
LINE = 13 * LANES
# Rows of a block: budget, what is enough gain to go on, and as found: price of money, what the split is worth, its
# bound, the line to cut the box at, where, and the spend that the bound would rather have on it.
BUDGET, ENOUGH, PRICE, WORTH, BOUND, WHICH, CUT, RATHER = (row * LANES for row in range(8))
BLOCK = 8 * LANES
# Scratch rows.
PLACE, OUT, LOWEST, HIGHEST, SPENT, LEFT, CUTS, TOTAL, WORST, BEST, AT = (
    row * LANES for row in (0, 2, 7, 8, 9, 10, 11, 12, 13, 14, 15)
)
A, VALUE_A, RISE_A, LOG_A, REAL, GAIN = (row * LANES for row in range(16, 22))
SCRATCH = 22 * LANES

TURNS, MOST_CUTS = 8, 4
PRICES = 40
# The least fall of a slope that is reckoned with, as a share of the slope over the most spend.
LEAST_FALL = 1e-3
# A split that misses its budget by less, as a share of it, is put right.
MISS = 1e-12
# Points of a line, as shares of the way from its split to the lower end of its range and to the upper.
POINTS = (-1.0, -0.8, -0.6, -0.4, -0.2, 0.0, 0.1, 0.3, 0.6, 1.0)
# Rounding in sums of many terms, as a share of the values: added to every bound.
ROUNDING = 1e-12


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def climb(n_lines: int, n_terms: int, terms: Floats, lines: Floats, block: Floats, exactly: bool) -> None:
    """Move each box's split from `TRY` to the nearest optimum, left in `Z`, with its worth and price.

    Parameters
    ----------
    terms : (L M 8 W,)
        Lines' terms, M each (`kernels_lanes.prepare`).
    lines, block : (L 10 W,), (8 W,)
        Read: ranges and what is to be tried first, which need not keep the budget; budgets. Written: the rest.
    exactly : bool
        Whether all of the budget must be spent.
    """
    work = np.empty(SCRATCH)
    for j in range(LANES):
        block[WORTH + j], block[PRICE + j], work[CUTS + j] = -np.inf, 0.0, 0.0
    for turn in range(TURNS):
        _try(n_lines, n_terms, terms, lines, work)
        busy = 0
        for j in range(LANES):
            worth, total, cuts, enough = block[WORTH + j], work[TOTAL + j], work[CUTS + j], block[ENOUGH + j]
            gain = total - worth
            better = (cuts <= MOST_CUTS) & ((gain > 0.0) | (turn == 0))
            # What the start is worth is not kept: it may miss the budget.
            block[WORTH + j] = total if better & (turn > 0) else worth
            cuts = 0.0 if better else cuts + 1.0
            work[CUTS + j] = MOST_CUTS + 1.0 if better & (turn > 0) & (gain <= enough) else cuts
            work[BEST + j] = 1.0 if better else 0.0
        for i in range(n_lines):
            line = lines[i * LINE : (i + 1) * LINE]
            for j in range(LANES):
                better, z, tried = work[BEST + j] > 0.0, line[Z + j], line[TRY + j]
                rise, fall, try_rise, try_fall = (
                    line[RISE + j],
                    line[FALL + j],
                    line[TRY_RISE + j],
                    line[TRY_FALL + j],
                )
                line[RISE + j], line[FALL + j] = try_rise if better else rise, try_fall if better else fall
                line[TRY + j] = z + 0.25 * (tried - z)
                line[Z + j] = tried if better else z
        _price(n_lines, lines, block, exactly, work)
        for j in range(LANES):
            # What the next step is about to gain, as far as slopes and how fast they fall can tell.
            better, gain, enough, cuts = work[BEST + j], work[GAIN + j], block[ENOUGH + j], work[CUTS + j]
            cuts = MOST_CUTS + 1.0 if (better > 0.0) & (turn > 0) & (gain <= enough) else cuts
            work[CUTS + j] = cuts
            busy += 1 if cuts <= MOST_CUTS else 0
        if busy == 0:
            break


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _try(n_lines: int, n_terms: int, terms: Floats, lines: Floats, work: Floats) -> None:
    """Work out what the splits in `TRY` are worth, how fast lines rise there and how fast that falls."""
    work[TOTAL : TOTAL + LANES] = 0.0
    place, out = work[PLACE : PLACE + 2 * LANES], work[OUT : OUT + 5 * LANES]
    for i in range(n_lines):
        line = lines[i * LINE : (i + 1) * LINE]
        z = line[TRY : TRY + LANES]
        locate(z, line[NONE : NONE + LANES], place)
        out[:] = 0.0
        for m in range(i * n_terms, (i + 1) * n_terms):
            respond(terms[m * TERM : (m + 1) * TERM], z, place, out)
        for j in range(LANES):
            rise = out[LANES + j]
            least = LEAST_FALL * TINY * rise / line[NONE + j]
            line[TRY_RISE + j] = rise
            # 1e-300 where the line does nothing, lest there is no step.
            line[TRY_FALL + j] = max(max(-out[2 * LANES + j], least), 1e-300)
            work[TOTAL + j] += out[j]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _price(n_lines: int, lines: Floats, block: Floats, exactly: bool, work: Floats) -> None:
    """Write the price at which lines that go where their slopes fall to it spend the budget, and where they go.

    What that spends falls with the price in straight pieces, so Newton's method finds the price, held between
    prices known to be too low and too high. Boxes whose last trial was no better keep the trial they have.
    """
    zero = 0.0 if not exactly else -np.inf
    for j in range(LANES):
        work[LOWEST + j], work[HIGHEST + j], work[AT + j], work[GAIN + j] = np.inf, -np.inf, 0.0, 0.0
    for i in range(n_lines):
        line = lines[i * LINE : (i + 1) * LINE]
        for j in range(LANES):
            # From here on where a line goes is between two ends, ``SPOT - price * EASE``.
            z, rise, fall, high = line[Z + j], line[RISE + j], line[FALL + j], line[HIGH + j]
            lowest, highest, free = work[LOWEST + j], work[HIGHEST + j], line[HIGH + j] > line[LOW + j]
            ease, low = 1.0 / fall, max(line[LOW + j], line[REACH + j] * z)
            line[LEAST + j], line[EASE + j], line[SPOT + j] = low, ease, z + rise * ease
            down, up = rise - fall * (high - z), rise + fall * (z - low)
            work[LOWEST + j] = min(lowest, down) if free else lowest
            work[HIGHEST + j] = max(highest, up) if free else highest
    for j in range(LANES):
        low, high = max(work[LOWEST + j], zero), max(work[HIGHEST + j], zero)
        work[LOWEST + j], work[HIGHEST + j] = low, high
        block[PRICE + j] = min(max(block[PRICE + j], low), high)
    for _ in range(PRICES):
        if _spend(n_lines, lines, block, work) == 0:
            break
    for i in range(n_lines):
        line = lines[i * LINE : (i + 1) * LINE]
        for j in range(LANES):
            z, rise, fall, price, left = (
                line[Z + j],
                line[RISE + j],
                line[FALL + j],
                block[PRICE + j],
                work[LEFT + j],
            )
            low, high, tried, better = line[LOW + j], line[HIGH + j], line[TRY + j], work[BEST + j]
            at = min(max(line[SPOT + j] - price * line[EASE + j], line[LEAST + j]), high)
            # What rounding leaves over goes where there is room.
            more = left if exactly | (price > 0.0) else min(left, 0.0)
            more = min(max(more, low - at), high - at)
            work[LEFT + j] = left - more
            step = at + more - z
            work[GAIN + j] += step * (rise - 0.5 * fall * step)
            line[TRY + j] = at + more if better > 0.0 else tried


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _spend(n_lines: int, lines: Floats, block: Floats, work: Floats) -> int:
    """Work out what is left of budgets at their prices, and the next prices; return how many are not there yet.

    ``work[AT]`` is 1 where a price is found; it is left alone.
    """
    for j in range(LANES):
        work[SPENT + j], work[LEFT + j] = 0.0, 0.0
    for i in range(n_lines):
        line = lines[i * LINE : (i + 1) * LINE]
        for j in range(LANES):
            low, high, ease = line[LEAST + j], line[HIGH + j], line[EASE + j]
            at = line[SPOT + j] - block[PRICE + j] * ease
            work[SPENT + j] += min(max(at, low), high)
            work[LEFT + j] += ease if (low < at) & (at < high) else 0.0
    busy = 0
    for j in range(LANES):
        price, rate, over, near = block[PRICE + j], work[LEFT + j], work[SPENT + j], MISS * block[BUDGET + j]
        over -= block[BUDGET + j]
        lowest, highest, found = work[LOWEST + j], work[HIGHEST + j], work[AT + j]
        low, high = price if over > 0.0 else lowest, highest if over > 0.0 else price
        new = price + over / rate
        new = new if (low < new) & (new < high) else 0.5 * (low + high)
        there = (abs(over) <= near) | ((over < 0.0) & (price <= lowest)) | (found > 0.0)
        there = there | (low >= new) | (new >= high)
        work[LOWEST + j], work[HIGHEST + j] = lowest if there else low, highest if there else high
        block[PRICE + j] = price if there else new
        work[AT + j] = 1.0 if there else 0.0
        work[LEFT + j] = -over
        busy += 0 if there else 1
    return busy


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def bound(n_lines: int, n_terms: int, terms: Floats, lines: Floats, block: Floats) -> None:
    """Write what no split of each box is worth more than, and where to cut the box to know it better.

    The arguments are those of `climb`, after it.
    """
    work = np.empty(SCRATCH)
    for j in range(LANES):
        total = block[PRICE + j] * block[BUDGET + j]
        block[BOUND + j], work[TOTAL + j], work[WORST + j] = total, abs(total), -np.inf
    for i in range(n_lines):
        line = lines[i * LINE : (i + 1) * LINE]
        _greatest(n_terms, terms[i * n_terms * TERM : (i + 1) * n_terms * TERM], line, block, work)
        for j in range(LANES):
            best, z, rather, low, high = work[BEST + j], line[Z + j], work[AT + j], line[LOW + j], line[HIGH + j]
            worst, which, where, end = work[WORST + j], block[WHICH + j], block[CUT + j], block[RATHER + j]
            block[BOUND + j] += best
            work[TOTAL + j] += abs(best) + 2.0 * abs(block[PRICE + j] * z)
            excess, apart, cut = best - work[REAL + j], 1e-3 * (high - low), 0.5 * (z + rather)
            cut = z if abs(rather - z) < 2.0 * apart else cut
            cut = cut if (low + apart < cut) & (cut < high - apart) else 0.5 * (low + high)
            worse = (excess > worst) & (low < high)
            work[WORST + j], block[WHICH + j] = excess if worse else worst, float(i) if worse else which
            block[CUT + j], block[RATHER + j] = cut if worse else where, rather if worse else end
    for j in range(LANES):
        block[BOUND + j] += ROUNDING * work[TOTAL + j]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _greatest(n_terms: int, terms: Floats, line: Floats, block: Floats, work: Floats) -> None:
    """Write what a line's response less its price is nowhere above (`BEST`), where that is (`AT`), and at `Z`."""
    place, out = work[PLACE : PLACE + 2 * LANES], work[OUT : OUT + 5 * LANES]
    z, left = np.empty(LANES), work[LOG_A : LOG_A + LANES]
    for j in range(LANES):
        work[BEST + j], work[AT + j], left[j] = -np.inf, line[LOW + j], NEVER
    for point in range(len(POINTS)):
        share = POINTS[point]
        beginnings = 0
        for j in range(LANES):
            low, high, at = line[LOW + j], line[HIGH + j], line[Z + j]
            at += share * ((high - at) if share > 0.0 else (at - low))
            z[j] = low if share == -1.0 else high if share == 1.0 else at
            beginnings += 1 if left[j] <= NEVER else 0
        locate(z, line[NONE : NONE + LANES], place)
        out[:] = 0.0
        for m in range(n_terms):
            span(terms[m * TERM : (m + 1) * TERM], z, place, left, beginnings > 0, out)
        for j in range(LANES):
            price, value, rise, bend = block[PRICE + j], out[j], out[LANES + j], out[2 * LANES + j]
            from_left, from_right = out[3 * LANES + j], out[4 * LANES + j]
            before, value_before, rise_before = work[A + j], work[VALUE_A + j], work[RISE_A + j]
            log, best, where, real = place[j], work[BEST + j], work[AT + j], work[REAL + j]
            from_zero, spend = left[j] <= NEVER, z[j]
            width = spend - before if point > 0 else 0.0
            more = 0.5 * width * max(bend, 0.0)
            up, down = from_left if from_zero else rise_before + more, from_right if from_zero else rise - more
            # Where the lines from both ends meet; nearly parallel ones meet anywhere, and miss rounding at most.
            jump = value - value_before - down * width if point > 0 else 0.0
            meets = (jump > 0.0) & (up > down)
            back = max(width - jump / (up - down), 0.0) if meets else 0.0
            end, top = value - price * spend, value - down * back - price * (spend - back)
            above = top > end
            at, top = spend - back if above else spend, top if above else end
            work[AT + j] = at if top > best else where
            work[BEST + j] = max(best, top)
            work[REAL + j] = end if share == 0.0 else real
            work[A + j], work[VALUE_A + j], work[RISE_A + j] = spend, value, rise
            left[j] = log if spend > 0.0 else NEVER
