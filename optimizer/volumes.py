"""Volumes of point sets: what plans dominate, and what lies under their hull."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

Floats = NDArray[np.float64]

# Points closer to a plane than this have no volume to speak of.
FLAT = 1e-9


def dominated_volume(values: Floats) -> float:
    """Volume of all that some row (N, O) matches or beats, above the origin; higher is better.

    Exact: a sweep over two columns, else pymoo's implementation of Fonseca, Paquete & Lopez-Ibanez (CEC 2006).
    """
    above = values[(values > 0).all(axis=1)]
    if not len(above):
        return 0.0
    if values.shape[1] == 2:
        return _staircase(above)
    from pymoo.indicators.hv import HV

    return float(HV(ref_point=np.zeros(values.shape[1]))(-above))


def _staircase(values: Floats) -> float:
    sorted_values = values[np.lexsort((-values[:, 1], -values[:, 0]))]
    reached = np.maximum.accumulate(sorted_values[:, 1])
    steps = np.diff(reached, prepend=0.0)
    return float(sorted_values[:, 0] @ steps)


def shadows(values: Floats) -> Floats:
    """Rows (N, O), clipped at the origin, with every choice of columns set to zero: (N * 2**O, O)."""
    masks = np.array(list(itertools.product((0.0, 1.0), repeat=values.shape[1])))
    return (np.clip(values, 0.0, None)[:, None, :] * masks).reshape(-1, values.shape[1])


def hull(points: Floats) -> ConvexHull | None:
    """Convex hull of points (N, O), joggled where they are degenerate; None where they are flat."""
    if np.ptp(points, axis=0).min() < FLAT:
        return None
    try:
        return ConvexHull(points, qhull_options="QJ Pp")
    except QhullError:
        return None


def hull_volume(points: Floats) -> float:
    """Volume of the hull of points (N, O); 0 where they are flat."""
    found = hull(points)
    return 0.0 if found is None else float(found.volume)
