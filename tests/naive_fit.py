"""Slow, obvious twins of the fit's sampler."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.stats import norm, truncnorm


def held_normal(mean: float, sd: float, most: float, u: float) -> float:
    """A normal deviate between zero and ``most``, ``u`` of its probability above it."""
    return float(truncnorm.isf(u, -mean / sd, (most - mean) / sd, loc=mean, scale=sd))


def log_mass(mean: float, sd: float, most: float) -> float:
    """Log probability that a normal deviate lies between zero and ``most``."""
    low, high = -mean / sd, (most - mean) / sd
    if low > 0:
        low, high = -high, -low
    return float(norm.logcdf(high) + math.log1p(-math.exp(norm.logcdf(low) - norm.logcdf(high))))


def pick(logs: list[float], u: float) -> int:
    chance = np.exp(np.array(logs) - max(logs))
    return min(int(np.searchsorted(np.cumsum(chance), u * chance.sum())), len(logs) - 1)


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
) -> list[dict[str, Any]]:
    """The sampler's sweeps one by one, every density written out; all sweeps are kept."""
    lines = range(len(first) - 1)
    chosen = [(int(first[i]) + (int(first[i + 1]) - int(first[i])) // 2) for i in lines]
    gamma, width, memory, level = [0.0 for _ in lines], [len(widths) // 2 for _ in lines], 0, len(levels) // 2
    variance = total[0] / max(gammas[0], 1.0)
    out = []
    for u, shape in zip(uniform, gammas, strict=True):
        for i in lines:
            centre = 0.0 if own[i] > 0 else levels[level]
            sd = own[i] if own[i] > 0 else widths[width[i]] * levels[level]
            room = most - sum(part[j] * gamma[j] for j in lines if j != i)
            room = room / part[i] if part[i] > 0 else math.inf
            posterior = []
            for n in range(first[i], first[i + 1]):
                rest = right[memory, n] - sum(gram[memory, n, chosen[j]] * gamma[j] for j in lines if j != i)
                precision = gram[memory, n, n] / variance + 1 / sd**2
                posterior.append(((rest / variance + centre / sd**2) / precision, precision**-0.5))
            logs = [
                prior[first[i] + g] + math.log(s) + 0.5 * (m / s) ** 2 + log_mass(m, s, room)
                for g, (m, s) in enumerate(posterior)
            ]
            g = pick(logs, u[i])
            chosen[i], gamma[i] = int(first[i]) + g, held_normal(*posterior[g], room, u[len(lines) + i])
        free = [i for i in lines if own[i] == 0]
        for i in free:
            logs = [
                width_weight[w] + truncnorm.logpdf(gamma[i], -1 / x, math.inf, levels[level], x * levels[level])
                for w, x in enumerate(widths)
            ]
            width[i] = pick(logs, u[2 * len(lines) + i])
        logs = [
            level_weight[m]
            + sum(
                truncnorm.logpdf(gamma[i], -1 / widths[width[i]], math.inf, x, widths[width[i]] * x) for i in free
            )
            for m, x in enumerate(levels)
        ]
        level = pick(logs, u[3 * len(lines)])
        misfit = []
        for r in range(len(total)):
            size = np.array(gamma)
            misfit.append(total[r] + size @ (gram[r][np.ix_(chosen, chosen)] @ size - 2 * right[r][chosen]))
        memory = pick([weight[r] - misfit[r] / (2 * variance) for r in range(len(total))], u[3 * len(lines) + 1])
        variance = misfit[memory] / 2 / shape
        out.append({"chosen": list(chosen), "gamma": list(gamma), "variance": variance})
        out[-1] |= {"memory": memory, "level": level}
    return out[len(gammas) // keep - 1 :: len(gammas) // keep]
