"""The slow, obvious twin of the projection: Dykstra's alternating projections onto one rule after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def project(
    point: Floats,
    lower: Floats,
    upper: Floats,
    A: Floats,
    b: Floats,
    equal: NDArray[np.bool_],
    rounds: int = 20_000,
) -> Floats:
    """Project one plan (n,) onto ``A x <= b``, or ``= b`` where equal, and a box (Boyle & Dykstra 1986)."""
    x = point.copy()
    given = np.zeros((len(b) + 1, len(x)))
    for _ in range(rounds):
        before = x.copy()
        for rule in range(len(b) + 1):
            start = x + given[rule]
            if rule == len(b):
                x = np.clip(start, lower, upper)
            else:
                over = A[rule] @ start - b[rule]
                x = start - (over if equal[rule] else max(over, 0.0)) / (A[rule] @ A[rule]) * A[rule]
            given[rule] = start - x
        if np.abs(x - before).max() < 1e-15:
            break
    return x
