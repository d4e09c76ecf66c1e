"""From a split of a budget to the local optimum near it, by Newton's method (numba).

Shapes: L lines, K KPIs.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .kernels_tables import RATE, WEIGHT, Tables, evaluate

Floats = NDArray[np.float64]

# The first look at how fast a slope falls is over this share of a line's range.
STEP = 1e-6
POLISHES = 15
# A step towards a quadratic model's optimum that makes things worse is cut to a quarter, so often.
CUTS = 4
# What a split may miss the budget by, as a share of it, before it is put right.
ROUNDING = 1e-15


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def responses(
    z: Floats, factors: Floats, per_money: float, tables: Tables, response: Floats, slope: Floats
) -> float:
    """Write lines' responses and slopes (L,), computed rather than read off the tables; return their sum."""
    family, terms, starts, constant, knots = tables[0], tables[1], tables[2], tables[3], tables[4]
    n_lines, out = len(z), tables[9][0]
    all_lines = np.ones(n_lines, np.bool_)
    for line in range(n_lines):
        response[line], slope[line] = per_money * z[line], per_money
    for k in range(len(factors)):
        if factors[k] == 0.0:
            continue
        evaluate(k, z, all_lines, family, terms, starts, knots, out)
        for line in range(n_lines):
            value, rise = constant[k, line], 0.0
            for term in range(starts[k * n_lines + line], starts[k * n_lines + line + 1]):
                value += terms[WEIGHT, term] * out[1, term]
                rise += terms[WEIGHT, term] * terms[RATE, term] * out[2, term]
            response[line] += factors[k] * value
            slope[line] += factors[k] * rise
    total = 0.0
    for line in range(n_lines):
        total += response[line]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def polish(
    z: Floats,
    budget: float,
    exactly: bool,
    enough: float,
    factors: Floats,
    per_money: float,
    tables: Tables,
) -> float:
    """Move a split to the nearest optimum within the grid's ends: see `polish_within`."""
    n_lines = len(z)
    lower, upper = np.empty(n_lines), np.empty(n_lines)
    for line in range(n_lines):
        lower[line], upper[line] = tables[5][line, 0], tables[5][line, tables[6][line] - 1]
    return polish_within(z, lower, upper, budget, exactly, enough, factors, per_money, tables)


@njit(cache=True, nogil=True, error_model="numpy")
def polish_within(
    z: Floats,
    lower: Floats,
    upper: Floats,
    budget: float,
    exactly: bool,
    enough: float,
    factors: Floats,
    per_money: float,
    tables: Tables,
) -> float:
    """Move a split to the nearest optimum by Newton's method on slopes; return what the split is worth.

    Lines where the response is not falling off in slope stay where they are: where they should go is for the
    branching to say.

    Parameters
    ----------
    z : (L,)
        A split that keeps the budget and the ends; replaced.
    lower, upper : (L,)
        Ends of what lines may spend.
    enough : float
        A step that gains less is the last.
    """
    n_lines = len(z)
    slope, bend, new, new_slope = np.empty(n_lines), np.zeros(n_lines), np.empty(n_lines), np.empty(n_lines)
    response = np.empty(n_lines)
    value = responses(z, factors, per_money, tables, response, slope)
    for line in range(n_lines):
        step = STEP * (upper[line] - lower[line])
        new[line] = z[line] + step if z[line] + step <= upper[line] else z[line] - step
    # A first look at how fast slopes fall; from then on the steps themselves tell.
    responses(new, factors, per_money, tables, response, new_slope)
    for line in range(n_lines):
        if new[line] != z[line]:
            bend[line] = max((slope[line] - new_slope[line]) / (new[line] - z[line]), 0.0)
    for _ in range(POLISHES):
        if not newton(z, lower, upper, slope, bend, budget, exactly, new):
            break
        gain = -np.inf
        for _ in range(CUTS):
            gain = responses(new, factors, per_money, tables, response, new_slope) - value
            if gain > 0.0:
                break
            for line in range(n_lines):
                new[line] = z[line] + 0.25 * (new[line] - z[line])
        if not gain > 0.0:
            break
        value += gain
        for line in range(n_lines):
            step = new[line] - z[line]
            if abs(step) > STEP * STEP * (upper[line] - lower[line]):
                bend[line] = max((slope[line] - new_slope[line]) / step, 0.0)
            z[line], slope[line] = new[line], new_slope[line]
        if gain <= enough:
            break
    return value


@njit(cache=True, inline="always", nogil=True, error_model="numpy")
def newton(
    z: Floats, lower: Floats, upper: Floats, slope: Floats, bend: Floats, budget: float, exactly: bool, new: Floats
) -> bool:
    """Write the split over the lines that bend which a quadratic model prefers; tell if there is one.

    Each line goes where its slope has fallen to the price of money, ``z + (slope - price) / bend``, within its
    grid. What that spends falls with the price in straight pieces, so Newton's method finds the price, held
    between prices known to be too low and too high.
    """
    low, high = np.inf, -np.inf
    for line in range(len(z)):
        new[line] = z[line]
        if bend[line] <= 0.0:
            budget -= z[line]
        else:
            low = min(low, slope[line] - bend[line] * (upper[line] - z[line]))
            high = max(high, slope[line] + bend[line] * (z[line] - lower[line]))
    if not low <= high:
        return False
    if not exactly:
        low, high = max(low, 0.0), max(high, 0.0)
    price, total = low, 0.0
    for _ in range(100):
        total, rate = _at_price(price, z, lower, upper, slope, bend, new)
        if abs(total - budget) <= ROUNDING * abs(budget) or (total < budget and price <= low):
            break
        low, high = (price, high) if total > budget else (low, price)
        price = price + (total - budget) / rate if rate > 0.0 else np.inf
        if not low < price < high:
            price = 0.5 * (low + high)
            if not low < price < high:
                break
    # What rounding leaves over goes where there is room; what it overspends comes from where there is some.
    left = budget - total
    for line in range(len(z)):
        if bend[line] > 0.0 and (left < 0.0 or exactly or price > 0.0):
            more = min(max(left, lower[line] - new[line]), upper[line] - new[line])
            new[line] += more
            left -= more
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _at_price(
    price: float, z: Floats, lower: Floats, upper: Floats, slope: Floats, bend: Floats, new: Floats
) -> tuple[float, float]:
    """Write where lines go at a price of money; return what they spend, and how fast that falls with the price."""
    total, rate = 0.0, 0.0
    for line in range(len(z)):
        if bend[line] > 0.0:
            at = z[line] + (slope[line] - price) / bend[line]
            if lower[line] < at < upper[line]:
                rate += 1.0 / bend[line]
            new[line] = min(max(at, lower[line]), upper[line])
            total += new[line]
    return total, rate
