"""What the draws of a fit say: of the known periods, of those to come, and how much of it the data taught."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..curves import Floats
from .regression import CHAINS, MEMORIES, Draws, Setup, stiffness, system, whitened


def known_fit(setup: Setup, draws: Draws) -> Floats:
    """What each draw expects of every known period, demand's part with it: (D, known)."""
    media = np.stack(
        [g @ setup.media.columns[s, : setup.known] for g, s in zip(draws.gamma, draws.shape, strict=True)]
    )
    return np.asarray(
        draws.theta @ setup.free[: setup.known].T
        + draws.delta @ setup.demand.T
        + draws.control @ setup.signed[: setup.known].T
        + media
    )


def ahead(setup: Setup, draws: Draws, seed: int) -> tuple[Floats, Floats]:
    """Baseline of the periods after the known ones, as expected and as it may come: both (D, P).

    What is left of the last known period fades with the noise's memory; the second adds noise to come. What
    demand may have done to the known periods it may do to those to come, unforeseen: that part fades, and comes
    anew, with the memory it had. Budgets that follow demand take its slow swings out of the noise; with the
    noise's memory alone a quarter would seem far surer than it is.
    """
    periods = len(setup.free) - setup.known
    expected = draws.theta @ setup.free[setup.known :].T + draws.control @ setup.signed[setup.known :].T
    followed = draws.delta @ setup.demand.T
    size, memory = np.mean(followed**2, axis=1), _memory(followed)
    steps = np.arange(1, periods + 1)
    own = draws.last - followed[:, -1]
    fading = own[:, None] * draws.memory[:, None] ** steps + followed[:, -1:] * memory[:, None] ** steps
    rng = np.random.default_rng([seed, CHAINS + 1])
    noise = _noise(rng, draws.memory, draws.variance, periods)
    demand = _noise(rng, memory, (1.0 - memory**2) * size, periods)
    return expected + fading, expected + fading + noise + demand


def _memory(series: Floats) -> Floats:
    """Correlation of each series (D, T) about zero with itself a period before, 0 to the longest memory: (D,)."""
    square = np.sum(series**2, axis=1)
    found = np.sum(series[:, 1:] * series[:, :-1], axis=1) / np.where(square > 0, square, 1.0)
    return np.asarray(np.clip(found, 0.0, MEMORIES[-1]))


def _noise(rng: np.random.Generator, memory: Floats, variance: Floats, periods: int) -> Floats:
    """Noise that starts at zero, new by ``variance`` (D,) in every period: (D, P)."""
    new = rng.standard_normal((len(memory), periods))
    # Every other draw has the opposite noise, so that the mean over few draws has next to none.
    new[1::2] = -new[: len(new) - len(new) % 2 : 2]
    path, state = np.empty_like(new), np.zeros(len(new))
    for t in range(periods):
        state = memory * state + np.sqrt(variance) * new[:, t]
        path[:, t] = state
    return path


@dataclass(frozen=True)
class Evidence:
    """What the data say of each line: all (L,).

    Attributes
    ----------
    learned : (L,)
        How far the data narrow the prior, 0 (not at all) to 1: one less posterior over prior variance, at the
        likeliest shapes, given the level, and without the bound at zero.
    score : (L,)
        Coefficient in standard deviations, its sign left free. Far below zero, something is missing from the
        columns: no sound estimate would be negative, and the small one that is reported proves nothing.
    """

    learned: Floats
    score: Floats


def evidence(setup: Setup, series: Floats, draws: Draws) -> Evidence:
    """Say how much was learned, and what the signs would be."""
    known = setup.known
    memory = float(MEMORIES[np.argmin(np.abs(MEMORIES - draws.memory.mean()))])
    variance, typical = float(draws.variance.mean()), float(draws.level.mean())
    found = system(setup, stiffness(setup, series))
    r = int(np.flatnonzero(memory == MEMORIES)[0])
    chosen = np.array([np.bincount(column).argmax() for column in draws.shape.T], dtype=np.int64)
    left, _, _ = found.parts[r]
    alone = series - setup.signed[:known] @ draws.control.mean(axis=0)
    white, columns = whitened(alone, memory), whitened(setup.media.columns[chosen, :known], memory)
    right = columns @ white - (columns @ left) @ (left.T @ white)
    inverse = np.linalg.inv(found.gram[r][np.ix_(chosen, chosen)] / variance + np.eye(len(chosen)) / typical**2)
    score = inverse @ (right / variance + 1.0 / typical) / np.sqrt(np.diagonal(inverse))
    return Evidence(np.clip(1.0 - np.diagonal(inverse) / typical**2, 0.0, 1.0), score)
