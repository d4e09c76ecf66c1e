"""Slow, obvious twins of the kernels that close hollows of fronts: planes over cells, cell by cell."""

from __future__ import annotations

import itertools

import numpy as np

Floats = np.ndarray


def lowest(weights: Floats, levels: Floats, at: Floats) -> tuple[float, int]:
    """The lowest plane ``weights @ y <= levels`` above a point of all objectives but the last, and which it is."""
    heights = (levels - weights[:, :-1] @ at) / weights[:, -1]
    return float(heights.min()), int(np.argmin(heights))


def cover(weights: Floats, centres: Floats, half: float, done: Floats, levels: Floats, alive: Floats) -> Floats:
    """Per cell the mean over its corners of the highest that any box comes to, by its lowest plane: (C,).

    ``done`` (C, corners) is of boxes done with; ``levels`` (B, W) and ``alive`` (B, C) are of the others.
    """
    out = np.zeros(len(centres))
    n = centres.shape[1]
    for cell, centre in enumerate(centres):
        for corner in range(2**n):
            # The first objective is the lowest bit.
            end = centre + half * np.array([1.0 if (corner >> j) & 1 else -1.0 for j in range(n)])
            highest = done[cell, corner]
            for box in np.flatnonzero(alive[:, cell]):
                which = lowest(weights, levels[box], centre)[1]
                highest = max(highest, (levels[box, which] - weights[which, :-1] @ end) / weights[which, -1])
            out[cell] += highest / 2**n
    return out


def splits(lower: Floats, upper: Floats, budget: float, steps: int) -> Floats:
    """Splits of a budget within ranges, from a grid of all lines but the last, which takes the rest: (N, L)."""
    ends = [np.linspace(a, b, steps) for a, b in zip(lower[:-1], upper[:-1], strict=True)]
    plans = np.array(list(itertools.product(*ends)))
    plans = np.column_stack([plans, budget - plans.sum(axis=1)])
    return plans[(plans[:, -1] >= lower[-1]) & (plans[:, -1] <= upper[-1])]
