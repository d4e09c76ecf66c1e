"""Many plans climb side by side, each towards its own goal: projected gradients, all plans in one simulation.

Spectral steps (Birgin, Martinez & Raydan, SIAM J. Optim. 10, 2000), one simulation a round: a plan whose step does
not gain enough tries a shorter one in the next round. The worst-off of a goal is softened, less and less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .forms import Goal
from .problem import Problem
from .values import form_rises

Floats = NDArray[np.float64]
# Objective forms, the room in floors, and the gradients of both, of plans (N, n).
Rises = Callable[[Floats], tuple[Floats, Floats, Floats, Floats]]

# Softness of the worst-off at first and in the end, in steps, and what a step of a missing floor costs.
SOFT, PRICE = (0.05, 2e-3), 10.0
# A step must gain this share of what its slope promises; else it is cut to that share.
GAIN, CUT = 1e-4, 0.25
# A first step moves plans by about so much, in money units; none moves a variable by more than so many even
# shares: from far away the way back to many rules is long.
FIRST, FARTHEST = 0.1, 10.0
KEPT = 1e-9
# Plans that no round has bettered by this, in steps, for so many rounds have arrived.
LITTLE, ROUNDS = 1e-7, 8


def rises_of(problem: Problem) -> Rises:
    """Return what `ascend` asks of a problem."""
    return lambda plans: form_rises(problem, plans)


def ascend(
    rises: Rises,
    project: Callable[[Floats], tuple[Floats, NDArray[np.bool_]]],
    plans: Floats,
    goals: Sequence[Goal],
    rounds: int,
    watch: Callable[[Floats], bool] | None = None,
) -> Floats:
    """Improve plans, each under its own goal.

    Parameters
    ----------
    rises : callable
        Values and gradients; see `rises_of`.
    project : callable
        Onto the rules; returns plans, and which keep them all.
    plans : (N, n)
        Plans that keep the linear rules.
    goals : sequence of Goal
        One a plan; all with a reference or none, and the same least values.
    rounds : int
        Simulations at most.
    watch : callable, optional
        Called with the best plans so far every few rounds; returns whether to stop.

    Returns
    -------
    (N, n)
        The best plan on each way that keeps all floors; one that misses fewer where none does.
    """
    climb = _Climb(rises, goals)
    at = plans.copy()
    best, best_worth = at.copy(), np.full(len(at), -np.inf)
    state: tuple[Floats, ...] = rises(at)
    first, far = climb.goal_at(state, 0.0)[1], min(1.0, FARTHEST / at.shape[1])
    step = FIRST / np.maximum(np.linalg.norm(first, axis=1), 1e-12)
    step = np.minimum(step, far / np.maximum(np.abs(first).max(axis=1), 1e-12))
    since = np.zeros(len(at), dtype=int)
    for number in range(rounds):
        done = number / rounds
        value, rise = climb.goal_at(state, done)
        worth = climb.worth(state)
        better = worth > best_worth + LITTLE
        since = np.where(better, 0, since + 1)
        better = worth > best_worth
        best[better], best_worth[better] = at[better], worth[better]
        if watch is not None and number % 4 == 3 and watch(best):
            break
        if np.all(since > ROUNDS):
            break
        way = project(at + step[:, None] * rise)[0] - at
        slope = np.einsum("ni,ni->n", rise, way)
        there = rises(at + way)
        gained, after = climb.goal_at(there, done)
        taken = gained >= value + GAIN * slope
        turn = -np.einsum("ni,ni->n", way, after - rise)
        longest = far / np.maximum(np.abs(after).max(axis=1), 1e-12)
        spectral = np.where(turn > 0, np.einsum("ni,ni->n", way, way) / np.maximum(turn, 1e-300), 4.0 * step)
        step = np.where(taken, np.minimum(np.maximum(spectral, 1e-3 * step), longest), CUT * step)
        at = np.where(taken[:, None], at + way, at)
        state = tuple(_where(taken, new, old) for new, old in zip(there, state, strict=True))
    worth = climb.worth(state)
    better = worth > best_worth
    best[better] = at[better]
    return best


class _Climb:
    """Goals as arrays."""

    def __init__(self, rises: Rises, goals: Sequence[Goal]) -> None:
        self.weights = np.array([goal.weights for goal in goals])
        references = [goal.reference for goal in goals if goal.reference is not None]
        self.reference = np.array(references) if references else None
        self.least = goals[0].least

    def goal_at(self, state: tuple[Floats, ...], done: float) -> tuple[Floats, Floats]:
        """The softened goals less the price of what is missing, and their gradients: (N,), (N, n)."""
        u, room, rises, room_rises = state
        value = np.einsum("no,no->n", self.weights, u)
        counted = self.weights
        if self.reference is not None:
            soft = SOFT[0] * (SOFT[1] / SOFT[0]) ** min(1.0, 1.5 * done)
            lead = u - self.reference
            least = lead.min(axis=1)
            shares = np.exp((least[:, None] - lead) / soft)
            total = shares.sum(axis=1)
            value = value + least - soft * np.log(total)
            counted = counted + shares / total[:, None]
        if self.least is not None:
            short = u - self.least
            value = value + PRICE * np.minimum(short, 0.0).sum(axis=1)
            counted = counted + PRICE * (short < 0)
        rise = np.einsum("no,noi->ni", counted, rises)
        if room.shape[1]:
            value = value + PRICE * np.minimum(room, 0.0).sum(axis=1)
            rise = rise + PRICE * np.einsum("nf,nfi->ni", (room < 0).astype(float), room_rises)
        return value, rise

    def worth(self, state: tuple[Floats, ...]) -> Floats:
        """The goals themselves; where floors are missed, far below by as much: (N,)."""
        u, room = state[0], state[1]
        value = np.einsum("no,no->n", self.weights, u)
        if self.reference is not None:
            value = value + (u - self.reference).min(axis=1)
        missing = -np.minimum(room + KEPT, 0.0).sum(axis=1)
        if self.least is not None:
            missing = missing - np.minimum(u - self.least + KEPT, 0.0).sum(axis=1)
        return np.asarray(np.where(missing > 0, -1e6 * (1.0 + missing), value))


def _where(taken: NDArray[np.bool_], new: Floats, old: Floats) -> Floats:
    return np.where(taken.reshape(-1, *[1] * (new.ndim - 1)), new, old)
