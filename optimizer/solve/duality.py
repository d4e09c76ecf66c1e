"""A proof for a plan: multipliers under which no other plan can be much better (weak duality)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from .forms import Goal, State
from .problem import KEPT, Problem

Floats = NDArray[np.float64]

ACTIVE = 1e-7
# Multipliers hold near a plan; where curves are S-shaped other plans may gain more from rounding. How much is not
# proven: so many times as much is granted, and at most this, in steps, as multipliers there may be of any size.
STEEPER, MOST_ADMITTED = 10.0, 1e-8


@dataclass(frozen=True)
class Proof:
    """A bound on a goal and the multipliers that prove it.

    Attributes
    ----------
    bound : float
        No plan that keeps the rules has a higher goal.
    weights : (O,)
        How much the goal rises with each objective form: the given weights and those of the worst-off.
    held : (O,)
        What a step of room above each ``least`` is worth.
    floors : (F,)
        What a step of room in each floor is worth.
    rows : (M,)
        What a unit of money of room in each polyhedron row is worth; of either sign in equality rows.
    """

    bound: float
    weights: Floats
    held: Floats
    floors: Floats
    rows: Floats

    @property
    def admitted(self) -> float:
        """What the goal may gain from rules that are kept to `KEPT` alone, as those of all plans are.

        A plan with ``slack >= -KEPT`` in each rule is above the bound for slack >= 0 by at most that times the
        multipliers, however good it is: without this a bound could lie below a plan that was found.
        """
        return KEPT * float(np.abs(self.rows).sum() + self.floors.sum() + self.held.sum())

    @property
    def curved_admitted(self) -> float:
        """The same where curves are S-shaped, so that multipliers tell what holds near the plan alone."""
        return min(STEEPER * self.admitted, MOST_ADMITTED)


def prove(problem: Problem, z: Floats, goal: Goal) -> Proof:
    """Bound a concave problem from one of its plans.

    The Lagrangian with any multipliers >= 0 is concave and nowhere below the goal on the plans that keep the
    rules, so its tangent at the plan, maximised over the box, is a bound (Boyd & Vandenberghe, Convex
    Optimization, 5.1). Multipliers are those of the active rules that leave the smallest gradient (non-negative
    least squares).

    Parameters
    ----------
    problem : Problem
        With concave forms.
    z : (L,)
        Scaled spend near the optimum, for the bound to be tight.
    goal : Goal
        What is maximised.
    """
    state = problem.state(problem.beside(z))
    slack = problem.b - problem.A @ state.z
    extra, held, floors, rows = _multipliers(problem, goal, state, slack)
    weights = goal.weights + extra
    lagrangian = float(weights @ state.u + floors @ state.room + rows @ slack)
    if goal.reference is not None:
        lagrangian -= float(extra @ goal.reference)
    if goal.least is not None:
        lagrangian += float(held @ (state.u - goal.least))
    gradient = (weights + held) @ state.rises + floors @ state.room_rises - rows @ problem.A
    climb = np.maximum(gradient * (problem.upper - state.z), gradient * (problem.lower - state.z))
    proof = Proof(lagrangian + float(np.maximum(climb, 0.0).sum()), weights, held, floors, rows)
    return replace(proof, bound=proof.bound + proof.admitted)


def _multipliers(
    problem: Problem, goal: Goal, state: State, slack: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Multipliers >= 0 of worst-off objectives, held objectives, floors and rows, smallest gradient first."""
    n = len(state.u)
    worst_off = np.zeros(n, dtype=bool)
    if goal.reference is not None:
        lead = state.u - goal.reference
        worst_off = lead <= lead.min() + ACTIVE
    held = np.zeros(n, dtype=bool) if goal.least is None else state.u <= goal.least + ACTIVE
    tight, active, backward = state.room <= ACTIVE, problem.equal | (slack <= ACTIVE), problem.equal
    parts = [
        state.rises[worst_off],
        state.rises[held],
        state.room_rises[tight],
        -problem.A[active],
        problem.A[backward],
    ]
    # A line at an end of a box that no rule draws is held there by nothing in the list: leave its row out.
    inner = ~_held_by_box(problem, state.z) if problem.boxed else np.ones(len(state.z), dtype=bool)
    columns, target = np.vstack(parts).T[inner], (-goal.weights @ state.rises)[inner]
    if goal.reference is not None:
        # The weights of the worst-off add up to one.
        ones = np.concatenate([np.ones(worst_off.sum()), np.zeros(columns.shape[1] - worst_off.sum())])
        columns, target = np.vstack([columns, ones]), np.append(target, 1.0)
    found = nnls(columns, target)[0] if columns.size else np.zeros(columns.shape[1])
    split = np.split(found, np.cumsum([len(part) for part in parts])[:-1])
    extra, holding = np.zeros(n), np.zeros(n)
    floors, rows = np.zeros(len(state.room)), np.zeros(len(slack))
    holding[held], floors[tight], rows[active] = split[1], split[2], split[3]
    rows[backward] -= split[4]
    if goal.reference is not None:
        extra[worst_off] = split[0] / split[0].sum() if split[0].sum() > 0 else 1.0 / worst_off.sum()
    return extra, holding, floors, rows


def _held_by_box(problem: Problem, z: Floats) -> NDArray[np.bool_]:
    return (z <= problem.lower + ACTIVE) | (z >= problem.upper - ACTIVE)
