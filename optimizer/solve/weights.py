"""Weights of objectives: even ones, and those that are the same for all corners of a facet."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from .sandwich import LEAST_WEIGHT

Floats = NDArray[np.float64]


def even_weights(n: int, steps: int) -> Floats:
    """Weights (W, n) that are whole multiples of ``1 / steps`` and add up to one."""
    bars = np.array(list(itertools.combinations(range(steps + n - 1), n - 1)))
    ends = np.full((len(bars), 1), steps + n - 1)
    return np.asarray((np.diff(np.hstack([0 * ends - 1, bars, ends])) - 1) / steps)


def normals(corners: Floats) -> Floats:
    """Weights (S, O) that are the same for all corners of facets (S, O, O), those below nothing cut off."""
    n = corners.shape[2]
    edges = corners[:, 1:] - corners[:, :1]
    found = np.stack([(-1.0) ** o * np.linalg.det(np.delete(edges, o, axis=2)) for o in range(n)], axis=1)
    found *= np.sign(found.sum(axis=1, keepdims=True))
    found = np.maximum(found, LEAST_WEIGHT * np.abs(found).max(axis=1, keepdims=True))
    return np.asarray(found / np.maximum(found.sum(axis=1, keepdims=True), LEAST_WEIGHT**4))
