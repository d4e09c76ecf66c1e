"""Branch and bound over the boxes of many accounts at once, round by round (numba).

A round takes every open box of every account, a block of them at a time (`kernels_boxes`): the best split near the
one it begins with, and a bound. Boxes that may hold something better than their account's best by more than the
tolerance are cut in two for the next round. What an account's boxes are depends on that account alone.

Shapes: A accounts, R rows (a line of an account each; an account's rows stand together), K KPIs, B boxes, L lines
of the account that has most.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_accounts import Curves
from .kernels_boxes import (
    BLOCK,
    BOUND,
    BUDGET,
    CUT,
    ENOUGH,
    HIGH,
    LINE,
    LOW,
    NONE,
    RATHER,
    REACH,
    TRY,
    WHICH,
    WORTH,
    Z,
    bound,
    climb,
)
from .kernels_lanes import LANES, STEEPEST, TERM, TINY, gather, prepare, prepare_zero, room_for, take_logs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Rounds, and boxes an account, after which another search is the better one.
ROUNDS, MOST_BOXES = 30, 60
# A split is near enough to an optimum when a step gains less than this share of the tolerance.
ENOUGH_GAIN = 1e-2
# What a split may miss its budget by, and a range's end be beside 0, as a share of the budget and of the most.
MISS, BESIDE_ZERO = 1e-9, 1e-9
# A line without spend begins at this share of its most: an endless slope at 0 shows nothing.
BEGIN = 1e-3
# A line that rises endlessly steeply from 0 falls to no less than this share of itself in one step.
SLOW = 1.0 / 16.0


@njit(cache=True, nogil=True, error_model="numpy")
def search(
    which: Ints,
    exactly: bool,
    tolerance: Floats,
    factors: Floats,
    starts: Ints,
    current: Floats,
    lower: Floats,
    upper: Floats,
    budget: Floats,
    curves: Curves,
    plan: Floats,
    worth: Floats,
    bounds: Floats,
    boxes: Ints,
) -> None:
    """Find the best splits of accounts' budgets, and bounds.

    Parameters
    ----------
    which : (N,)
        Accounts, fewest draws and lines first.
    tolerance, factors : (A,), (A, K)
        Accepted gap, and what one unit of each KPI counts for.
    plan, worth, bounds, boxes : (R,), (A,), (A,), (A,)
        Written: the best split, what it is worth, the proven bound (NaN where the gap did not close in good time)
        and boxes looked at.

    The other arguments are those of `kernels_batch.split_each`; ``current`` (R,) is spend today, to begin at.
    """
    n_lines = room_for(which, starts, curves[0])[0]
    for a in which:
        worth[a], bounds[a], boxes[a] = -np.inf, -np.inf, 0
    owner, box = which.copy(), np.empty((len(which), 3, n_lines))
    for b in range(len(which)):
        rows = slice(starts[which[b]], starts[which[b] + 1])
        for i in range(rows.stop - rows.start):
            row = rows.start + i
            low, high = lower[row], upper[row]
            box[b, 0, i], box[b, 1, i] = low, high
            box[b, 2, i] = min(max(max(current[row], BEGIN * high), low), high)
    for _ in range(ROUNDS):
        if not len(owner):
            break
        found = np.empty((len(owner), 5))
        for first in range(0, len(owner), LANES):
            last = min(first + LANES, len(owner))
            _solve(
                owner[first:last],
                box[first:last],
                exactly,
                tolerance,
                factors,
                starts,
                budget,
                curves,
                found[first:last],
            )
        for b in range(len(owner)):
            a = owner[b]
            boxes[a] += 1
            if found[b, 0] > worth[a]:
                worth[a] = found[b, 0]
                for i in range(starts[a + 1] - starts[a]):
                    plan[starts[a] + i] = box[b, 2, i]
        owner, box = _cut(owner, box, found, exactly, tolerance, starts, budget, worth, bounds, boxes)
    for a in which:
        closed = np.isfinite(worth[a]) and boxes[a] <= MOST_BOXES
        bounds[a] = max(bounds[a], worth[a]) if closed else np.nan
    for a in owner:
        bounds[a] = np.nan


@njit(cache=True, inline="always", nogil=True, error_model="numpy")
def _solve(
    owner: Ints,
    box: Floats,
    exactly: bool,
    tolerance: Floats,
    factors: Floats,
    starts: Ints,
    budget: Floats,
    curves: Curves,
    found: Floats,
) -> None:
    """Solve a block of boxes: write splits to ``box[:, 2]``; worth, bound, line, cut, end to ``found`` (B, 5)."""
    draws, family, at, values = curves
    n_kpis = len(family)
    n_lines, n_draws = room_for(owner, starts, draws)
    n_terms = n_kpis * n_draws
    terms, lines, block = np.empty(n_lines * n_terms * TERM), np.empty(n_lines * LINE), np.zeros(BLOCK)
    factor = np.zeros((n_kpis, LANES))
    for j in range(LANES):
        # Lanes that are left over do what the first does.
        b = j if j < len(owner) else 0
        a = owner[b]
        block[BUDGET + j], block[ENOUGH + j] = budget[a], ENOUGH_GAIN * tolerance[a]
        for k in range(n_kpis):
            factor[k, j] = factors[a, k]
        n_own = starts[a + 1] - starts[a]
        gather(j, starts[a], n_own, n_lines, draws[a], n_draws, family, at, values, terms)
        for i in range(n_lines):
            low, high = (box[b, 0, i], box[b, 1, i]) if i < n_own else (0.0, 0.0)
            at_line = i * LINE + j
            lines[at_line + LOW], lines[at_line + HIGH] = low, high
            start = min(max(box[b, 2, i], low), high) if i < n_own else 0.0
            lines[at_line + TRY], lines[at_line + Z] = start, start
            lines[at_line + NONE] = TINY * high if high > 0.0 else 1.0
    take_logs(n_lines * n_terms, terms)
    for m in range(n_lines * n_terms):
        prepare(terms[m * TERM : (m + 1) * TERM], factor[m // n_draws % n_kpis])
    for i in range(n_lines):
        line = lines[i * LINE : (i + 1) * LINE]
        line[REACH : REACH + LANES] = 0.0
        if np.min(line[LOW : LOW + LANES]) > 0.0:
            continue
        for m in range(i * n_terms, (i + 1) * n_terms):
            prepare_zero(terms[m * TERM : (m + 1) * TERM])
            for j in range(LANES):
                endless = terms[m * TERM + STEEPEST + j] == np.inf and line[LOW + j] == 0.0
                line[REACH + j] = SLOW if endless else line[REACH + j]
    climb(n_lines, n_terms, terms, lines, block, exactly)
    bound(n_lines, n_terms, terms, lines, block)
    for j in range(len(owner)):
        total, sound = 0.0, True
        for i in range(n_lines):
            line = lines[i * LINE : (i + 1) * LINE]
            z, high = line[Z + j], line[HIGH + j]
            total += z
            sound &= not 0.0 < z < BESIDE_ZERO * high and not 0.0 < line[LOW + j] < BESIDE_ZERO * high
            box[j, 2, i] = z
        miss = total - block[BUDGET + j]
        sound &= (abs(miss) if exactly else miss) <= MISS * block[BUDGET + j]
        found[j, 0] = block[WORTH + j] if sound else -np.inf
        found[j, 1] = block[BOUND + j] if sound else np.inf
        found[j, 2], found[j, 3], found[j, 4] = block[WHICH + j], block[CUT + j], block[RATHER + j]


@njit(cache=True, inline="always", nogil=True, error_model="numpy")
def _cut(
    owner: Ints,
    box: Floats,
    found: Floats,
    exactly: bool,
    tolerance: Floats,
    starts: Ints,
    budget: Floats,
    worth: Floats,
    bounds: Floats,
    boxes: Ints,
) -> tuple[Ints, Floats]:
    """Close boxes that hold nothing better and cut the others in two; what no split is in is left out."""
    n = 0
    new_owner, new_box = np.empty(2 * len(owner), np.int64), np.empty((2 * len(owner), *box.shape[1:]))
    for b in range(len(owner)):
        a = owner[b]
        if found[b, 1] - worth[a] <= tolerance[a]:
            bounds[a] = max(bounds[a], found[b, 1])
            continue
        if boxes[a] > MOST_BOXES:
            continue
        which, cut, rather, n_lines = int(found[b, 2]), found[b, 3], found[b, 4], starts[a + 1] - starts[a]
        for side in range(2):
            new_box[n] = box[b]
            new_box[n, 1 - side, which] = cut
            if (rather >= cut) == (side == 1):
                new_box[n, 2, which] = rather
            near = MISS * budget[a]
            least, most = np.sum(new_box[n, 0, :n_lines]), np.sum(new_box[n, 1, :n_lines])
            if least <= budget[a] + near and (most >= budget[a] - near or not exactly):
                new_owner[n] = a
                n += 1
    return new_owner[:n], new_box[:n]
