"""The sampler of the fit: shapes, sizes, common level, noise and its memory, one after another given the rest.

The model is in `evidence.regression`; here it has become products of columns. Candidate columns of all lines
stand one after another, N in all; ``first[l]`` to ``first[l + 1]`` are those of line ``l``, and one of them is
chosen. Random numbers come from outside, so that equal numbers give equal draws.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

ROOT_2, LOG_2 = math.sqrt(2.0), math.log(2.0)
HALF_LOG_2_PI = 0.5 * math.log(2.0 * math.pi)
# Below this, Phi comes from its asymptotic series (relative error below 1e-9), and erfc is near underflow.
FAR = -12.0
# From here on what lies above is lost beside 1.
SURE = 8.5
# What is lost beside 1 in a sum of some thousand weights, as a logarithm.
NOTHING = 45.0
SMALL = 1e-300


@njit(cache=True)
def log_phi(x: float) -> float:
    """Logarithm of the standard normal distribution function."""
    if x > SURE:
        return 0.0
    if x > FAR:
        return math.log(0.5 * math.erfc(-x / ROOT_2))
    z = 1.0 / (x * x)
    series = 1.0 - z * (1.0 - 3.0 * z * (1.0 - 5.0 * z * (1.0 - 7.0 * z)))
    return -0.5 * x * x - math.log(-x) - HALF_LOG_2_PI + math.log(series)


@njit(cache=True)
def upper(p: float, log_total: float) -> float:
    """The x with log P(X > x) = log(p) + log_total of a standard normal X: bisection's safety, Newton's speed."""
    wanted = math.log(max(p, SMALL)) + log_total
    # -x solves log Phi(-x) = wanted; the start is the tail's leading term, or the middle.
    low, high = -40.0, 40.0
    y = -math.sqrt(max(-2.0 * wanted, 0.0)) if wanted < -2.0 else 0.0
    if wanted < -700.0:
        low = y - 1.0
    for _ in range(60):
        value = log_phi(y)
        if value > wanted:
            high = y
        else:
            low = y
        slope = math.exp(-0.5 * y * y - HALF_LOG_2_PI - value)
        step = (wanted - value) / slope if slope > 0.0 else 0.0
        after = y + step
        if not low < after < high:
            after = 0.5 * (low + high)
        if abs(after - y) <= 1e-13 * max(1.0, abs(y)):
            return -after
        y = after
    return -y


@njit(cache=True)
def log_mass(low: float, high: float) -> float:
    """Logarithm of Phi(high) - Phi(low), for low below high."""
    top = log_phi(high)
    if low == -math.inf or (low < -SURE and high > 0.0):
        return top
    gap = log_phi(low) - top
    # Where both ends lie far above zero, their tails tell them apart.
    if gap > -1e-9:
        bottom = log_phi(-low)
        return bottom + math.log(max(-math.expm1(log_phi(-high) - bottom), SMALL))
    return top + math.log(-math.expm1(gap))


@njit(cache=True)
def held_normal(mean: float, sd: float, most: float, u: float) -> float:
    """Draw a normal deviate between zero and ``most`` by the inverse of its distribution function."""
    above = (mean - most) / sd
    if above > 0.0:
        # Counted down from ``most``, where the deviates are.
        return most - held_normal(most - mean, sd, most, 1.0 - u)
    mass = log_mass(above, mean / sd)
    tail = log_phi(above) if above > -math.inf else -math.inf
    # P(X > x) is what lies above ``most``, and ``u`` of what lies between.
    inside = math.log(max(u, SMALL)) + mass
    top = max(tail, inside)
    x = mean + sd * upper(1.0, top + math.log(math.exp(tail - top) + math.exp(inside - top)))
    return min(max(x, 0.0), most)


@njit(cache=True)
def pick(logs: np.ndarray, count: int, u: float) -> int:
    """Pick one of the first ``count`` by unnormalised log probability; ``logs`` is written over."""
    most = logs[0]
    for i in range(1, count):
        most = max(most, logs[i])
    total = 0.0
    for i in range(count):
        logs[i] = math.exp(logs[i] - most)
        total += logs[i]
    left = u * total
    for i in range(count):
        left -= logs[i]
        if left <= 0.0:
            return i
    return count - 1


@njit(cache=True)
def misfit(gram: np.ndarray, right: np.ndarray, total: float, chosen: np.ndarray, gamma: np.ndarray) -> float:
    """Sum of squares that chosen columns (L,) with sizes ``gamma`` leave of a series."""
    left = total
    for i in range(len(chosen)):
        inner = 0.0
        for j in range(len(chosen)):
            inner += gram[chosen[i], chosen[j]] * gamma[j]
        left += gamma[i] * (inner - 2.0 * right[chosen[i]])
    return left


@njit(cache=True)
def project(
    gram: np.ndarray,
    right: np.ndarray,
    begin: int,
    end: int,
    line: int,
    chosen: np.ndarray,
    gamma: np.ndarray,
    high: np.ndarray,
) -> None:
    """Products of a line's columns ``begin`` to ``end`` with what the other lines leave, into ``high``."""
    for g in range(end - begin):
        high[g] = right[begin + g]
    for other in range(len(chosen)):
        if other != line and gamma[other] != 0.0:
            row, times = gram[chosen[other]], gamma[other]
            for g in range(end - begin):
                high[g] -= row[begin + g] * times


@njit(cache=True)
def posterior(
    gram: np.ndarray,
    begin: int,
    end: int,
    variance: float,
    centre: float,
    sd: float,
    high: np.ndarray,
    means: np.ndarray,
    roots: np.ndarray,
) -> None:
    """Mean of a size and root of its precision for each of a line's columns, no limit being set."""
    for g in range(end - begin):
        precision = gram[begin + g, begin + g] / variance + 1.0 / (sd * sd)
        means[g] = (high[g] / variance + centre / (sd * sd)) / precision
        roots[g] = math.sqrt(precision)


@njit(cache=True)
def weigh(prior: np.ndarray, means: np.ndarray, roots: np.ndarray, room: float, logs: np.ndarray) -> None:
    """Log weight of each of a line's columns, its size between zero and ``room`` integrated out, into ``logs``.

    Columns that weigh nothing beside another, whatever their mass, are not looked at closely.
    """
    most = -math.inf
    for g in range(len(prior)):
        up = means[g] * roots[g]
        logs[g] = prior[g] - math.log(roots[g]) + 0.5 * up * up
        # At least half of this one's mass is inside.
        if up > 0.0 and (means[g] - room) * roots[g] < -SURE:
            most = max(most, logs[g] - LOG_2)
    for g in range(len(prior)):
        if logs[g] < most - NOTHING:
            logs[g] = -math.inf
        else:
            logs[g] += log_mass((means[g] - room) * roots[g], means[g] * roots[g])


@njit(cache=True)
def pick_widths(
    gamma: np.ndarray,
    own: np.ndarray,
    widths: np.ndarray,
    weight: np.ndarray,
    level: float,
    u: np.ndarray,
    width: np.ndarray,
    logs: np.ndarray,
) -> None:
    """Draw how far each line's size may be from the level, into ``width``."""
    for line in range(len(gamma)):
        if own[line] > 0.0:
            continue
        for w in range(len(widths)):
            away = (gamma[line] / level - 1.0) / widths[w]
            logs[w] = weight[w] - 0.5 * away * away - math.log(widths[w]) - log_phi(1.0 / widths[w])
        width[line] = pick(logs, len(widths), u[line])


@njit(cache=True)
def pick_level(
    gamma: np.ndarray,
    own: np.ndarray,
    widths: np.ndarray,
    width: np.ndarray,
    levels: np.ndarray,
    weight: np.ndarray,
    u: float,
    logs: np.ndarray,
) -> int:
    """Draw the level that all lines' sizes lie about."""
    for m in range(len(levels)):
        logs[m] = weight[m]
        for line in range(len(gamma)):
            if own[line] == 0.0:
                away = (gamma[line] / levels[m] - 1.0) / widths[width[line]]
                logs[m] -= 0.5 * away * away + math.log(levels[m])
    return pick(logs, len(levels), u)


@njit(cache=True, nogil=True)
def sample(
    gram: np.ndarray,
    right: np.ndarray,
    total: np.ndarray,
    weight: np.ndarray,
    first: np.ndarray,
    prior: np.ndarray,
    own: np.ndarray,
    part: np.ndarray,
    most: float,
    widths: np.ndarray,
    width_weight: np.ndarray,
    levels: np.ndarray,
    level_weight: np.ndarray,
    uniform: np.ndarray,
    gammas: np.ndarray,
    keep: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gibbs sampling, a column and its size drawn together.

    Parameters
    ----------
    gram, right, total : (R, N, N), (R, N), (R,)
        Products of the columns, with the series, and of the series, for each memory of the noise.
    weight : (R,)
        Log weight of each memory, whatever the misfit.
    first : (L + 1,) int
        Where each line's columns begin.
    prior : (N,)
        Log prior weight of each column within its line.
    own : (L,)
        Prior standard deviation, about zero, of a line that has no part in the level; 0 for those that have.
    part, most : (L,), float
        The sum of sizes, each times its part, is at most ``most``; infinity for no limit.
    widths, width_weight : (W,)
        How far a size may be from the level, in levels, and the log prior weight of that.
    levels, level_weight : (M,)
        Values of the common level and their log prior weights.
    uniform : (S, 3 L + 2)
        Random numbers of each sweep: columns, sizes, widths, then level and memory.
    gammas : (S,)
        Standard gamma deviates of half the degrees of freedom.
    keep : int
        How many sweeps to return, the last of equal stretches.

    Returns
    -------
    tuple
        Chosen columns (D, L), sizes (D, L), noise variance (D,), memory (D,), level (D,).
    """
    n_lines, sweeps = len(first) - 1, len(gammas)
    chosen, gamma, width = first[:-1].copy(), np.zeros(n_lines), np.full(n_lines, len(widths) // 2)
    for line in range(n_lines):
        chosen[line] = first[line] + (first[line + 1] - first[line]) // 2
    memory, level = 0, len(levels) // 2
    variance = max(total[0], SMALL) / max(gammas[0], 1.0)
    size = max(len(levels), len(widths), len(total))
    for line in range(n_lines):
        size = max(size, first[line + 1] - first[line])
    logs, high, means, roots = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    out = (
        np.empty((keep, n_lines), np.int64),
        np.empty((keep, n_lines)),
        np.empty(keep),
        np.empty(keep, np.int64),
        np.empty(keep, np.int64),
    )
    for s in range(sweeps):
        u = uniform[s]
        for line in range(n_lines):
            alone = own[line] > 0.0
            sd = own[line] if alone else widths[width[line]] * levels[level]
            centre = 0.0 if alone else levels[level]
            room = most
            for other in range(n_lines):
                if other != line:
                    room -= part[other] * gamma[other]
            room = max(room, SMALL) / part[line] if part[line] > 0.0 else math.inf
            begin, end = first[line], first[line + 1]
            project(gram[memory], right[memory], begin, end, line, chosen, gamma, high)
            posterior(gram[memory], begin, end, variance, centre, sd, high, means, roots)
            weigh(prior[begin:end], means, roots, room, logs)
            g = pick(logs, end - begin, u[line])
            chosen[line] = begin + g
            gamma[line] = held_normal(means[g], 1.0 / roots[g], room, u[n_lines + line])
        pick_widths(gamma, own, widths, width_weight, levels[level], u[2 * n_lines :], width, logs)
        level = pick_level(gamma, own, widths, width, levels, level_weight, u[3 * n_lines], logs)
        for r in range(len(total)):
            left = misfit(gram[r], right[r], total[r], chosen, gamma)
            logs[r] = weight[r] - 0.5 * left / variance
        memory = pick(logs, len(total), u[3 * n_lines + 1])
        left = misfit(gram[memory], right[memory], total[memory], chosen, gamma)
        variance = max(0.5 * left, SMALL) / gammas[s]
        done = (s + 1) * keep // sweeps
        if done > s * keep // sweeps:
            out[0][done - 1], out[1][done - 1], out[2][done - 1] = chosen, gamma, variance
            out[3][done - 1], out[4][done - 1] = memory, level
    return out
