"""Movements of spend that demand may have caused: what makes a fit doubt lines that moved in step with each other.

A budget that is raised when customers come looks as if it had brought them. No history tells the two apart; what
can be done is to count how much of what a line seems to do could be demand's doing, see `regression`.
"""

from __future__ import annotations

import numpy as np

from ..curves import Floats
from .shapes import Candidates

# What all lines' own movements may make together, in parts of what their common movement may make.
OWN_CHASING = 0.7
# Relative size below which what is left of a column is rounding.
NOTHING = 1e-6


def chased(spend: Floats, free: Floats, media: Candidates, chasing: float) -> tuple[Floats, Floats]:
    """Movements of spend that demand may have caused: (known, e) and how large they may be (e,).

    Parameters
    ----------
    spend : (L, known)
        Currency a period.
    free : (known, q)
        Columns of the baseline: what they explain is no doubt.
    chasing : float
        Standard deviation of the common movement's part, in those of the noise; 0 for none.
    """
    n_known = spend.shape[1]
    if chasing == 0 or not len(spend):
        return np.empty((n_known, 0)), np.empty(0)
    basis = _basis(free)
    own = media.columns[media.middle, :n_known]
    own_left = own - (own @ basis) @ basis.T
    logs = np.log1p(spend / media.typical[:, None])
    left = logs - (logs @ basis) @ basis.T
    moved = (np.linalg.norm(own_left, axis=1) > NOTHING * np.linalg.norm(own, axis=1)) & (
        np.linalg.norm(left, axis=1) > NOTHING * np.linalg.norm(logs, axis=1)
    )
    if not moved.any():
        return np.empty((n_known, 0)), np.empty(0)
    left, own_left = _unit(left[moved]), _unit(own_left[moved])
    weights = np.linalg.eigh(left @ left.T)[1][:, -1]
    common = _unit(weights * np.sign(weights[np.argmax(np.abs(weights))]) @ left)
    sizes = np.full(len(left), chasing * OWN_CHASING / np.sqrt(len(left)))
    return np.column_stack([*own_left, common]), np.append(sizes, chasing)


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.sqrt(np.mean(rows**2, axis=-1, keepdims=True)))


def _basis(columns: Floats) -> Floats:
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, sizes > sizes[0] * 1e-10])
