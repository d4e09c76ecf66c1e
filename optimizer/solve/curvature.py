"""How effects bend with free flighting: second derivatives by line, from differences of exact gradients.

Periods further apart than the longest carry-over do not act together, so cells that far apart are moved at once
(Curtis, Powell & Reid, J. Inst. Maths Applics 13, 1974); lines never act together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .cells import CellProblem

Floats = NDArray[np.float64]

# Cells are moved by this share of their spend, and of an even share of the budget: at zero curves may be so steep
# that only a step of some length says how they bend.
STEP, LEAST_STEP = 1e-3, 1e-3
ROUNDING = 1e-12


def curvature(problem: CellProblem, z: Floats) -> Floats:
    """Return the second derivatives of mean effects by z: (K, L, T, T), lines in name order; T of `parts`.

    They steer the search only; no bound rests on them.
    """
    periods, n_lines = problem.parts, len(problem.order)
    reach = min(int(problem.scenario.response.length.max(initial=1)), periods) - 1
    colours = min(2 * reach + 1, periods)
    z = problem.beside(z)
    step = np.where(problem.pinned, 1.0, STEP * z + LEAST_STEP / len(z))
    of = np.tile(np.arange(periods) % colours, n_lines)
    moved = z + np.where(of[None, :] == np.arange(colours)[:, None], step, 0.0)
    base = problem.mean_gradients(z[None])[0]
    # (colours, K, L, T): how the gradient in each period answers to each colour
    answers = (problem.mean_gradients(moved) - base).reshape(colours, -1, n_lines, periods)
    found = np.zeros((*answers.shape[1:], periods))
    for t in range(periods):
        near = slice(max(0, t - reach), t + reach + 1)
        answer = answers[t % colours, :, :, near]
        found[:, :, near, t] = answer / step.reshape(n_lines, periods)[None, :, t, None]
    return (found + np.swapaxes(found, 2, 3)) / 2


def bowl(blocks: Floats) -> Floats:
    """Return the nearest matrices to ``-blocks`` (L, T, T) that bend no way but up: rounding left out."""
    rounding = ROUNDING * np.abs(blocks).max(initial=0.0) + np.finfo(float).tiny
    try:
        np.linalg.cholesky(rounding * np.eye(blocks.shape[-1]) - blocks)
        return -blocks
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(-blocks)
    return (vectors * np.maximum(values, 0.0)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
