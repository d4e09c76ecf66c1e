"""A solved point: a real plan, what it is worth, and what bounds it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .duality import Proof
from .forms import Goal
from .problem import KEPT, Problem

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """A real plan: scaled spend, its objective forms ``u`` (O,), its value under the goal, and the proof.

    ``route`` is the solver module that found it, ``why`` why that one; ``local`` says that no small change
    improves it, where that is known.
    """

    z: Floats
    u: Floats
    value: float
    proof: Proof
    route: str
    why: str
    local: bool = False

    @property
    def gap(self) -> float:
        """How far the bound is above the value."""
        return max(0.0, self.proof.bound - self.value)

    def bounded(self, bound: float) -> Point:
        """Return the point under another bound, if that is lower."""
        return replace(self, proof=replace(self.proof, bound=min(bound, self.proof.bound)))


class Solver(Protocol):
    """A route: solves one problem for many goals."""

    name: str
    why: str
    solves: int

    def maximise(self, goal: Goal, tolerance: float, near: Floats | None = None) -> Point:
        """Find a plan within ``tolerance`` of its bound, or tell the gap; ``near``, a guess, only saves time."""
        ...


def evaluate(problem: Problem, z: Floats, goal: Goal) -> tuple[Floats, float] | None:
    """Objective forms and value of a plan as simulated; None where it breaks a rule or floor."""
    state = problem.state(z)
    broken = np.any(state.room < -KEPT) or np.any(problem.slack(z) < -KEPT)
    if goal.least is not None:
        broken |= np.any(state.u < goal.least - KEPT)
    return None if broken else (state.u, goal.value(state.u))
