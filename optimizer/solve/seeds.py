"""Where evolution starts: plans that are proven to be best for a simpler problem, today's, and a spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .problem import Problem
from .projection import Projection

Floats = NDArray[np.float64]

# Blends of good plans are moved by this, in money units, so that none comes twice.
MOVED = 0.02
# Plans the same to this, in money units, are one.
SAME = 1e-9


def today(problem: Problem) -> Floats:
    """Return today's plan: (n,) scaled spend."""
    return problem.scaled(problem.scenario.today)


def spread(problem: Problem, n: int, seed: int) -> Floats:
    """Return plans from even to all on few lines: (n, variables); they need not keep the rules."""
    rng = np.random.default_rng(seed)
    width = problem.upper - problem.lower
    open_ = np.maximum(width, 0.0)
    # Concentrations from very uneven to nearly even, in turn.
    by_plan = np.resize([0.1, 0.3, 1.0, 5.0], n)
    parts = np.array([rng.gamma(np.full(len(open_), a)) + 1e-300 for a in by_plan])
    parts = parts * open_
    money = max(1.0 - float(problem.lower.sum()), 0.0)
    return problem.lower + money * parts / np.maximum(parts.sum(axis=1, keepdims=True), 1e-300)


def different(plans: Floats) -> Floats:
    """Return plans (N, n) without those that are the same as an earlier one."""
    kept: list[Floats] = []
    for plan in plans:
        if all(np.abs(plan - other).max() > SAME for other in kept):
            kept.append(plan)
    return np.array(kept).reshape(-1, plans.shape[1])


def population(problem: Problem, projection: Projection, good: Floats, size: int, seed: int) -> Floats:
    """Return a whole first population (size, n): the good plans first, then blends of them, then a spread.

    Parameters
    ----------
    problem, projection
        What the plans are of, and what they are projected onto.
    good : (G, n)
        Plans that keep the rules; more than ``size`` are cut off at the end.
    size : int
        How many plans pymoo takes as its population: it does not fill one up.
    seed : int
        Of the random numbers.
    """
    rng = np.random.default_rng(seed)
    found = different(good)[:size]
    while len(found) < size:
        more = size - len(found)
        pairs = rng.integers(0, max(len(good), 1), (more, 2))
        shares = rng.random((more, 1))
        blends = spread(problem, more, int(rng.integers(2**31)))
        half = np.arange(more) % 2 == 0
        if len(good):
            mixed = shares * good[pairs[:, 0]] + (1.0 - shares) * good[pairs[:, 1]]
            away = MOVED * rng.normal(size=mixed.shape)
            blends = np.where(half[:, None], mixed + away, blends)
        plans, kept = projection(blends)
        before = len(found)
        found = different(np.vstack([found, plans[kept]]))[:size]
        if len(found) == before:
            # The rules leave so few plans that they repeat themselves.
            again = found if len(found) else plans
            found = np.vstack([found, np.resize(again, (more, again.shape[1]))])
    return found
