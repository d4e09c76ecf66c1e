"""A proof for a plan: multipliers under which no other plan can be much better (weak duality)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from .problem import Goal, Problem

Floats = NDArray[np.float64]

ACTIVE = 1e-7
BESIDE_ZERO = 1e-9


@dataclass(frozen=True)
class Proof:
    """A bound on a goal and the multipliers that prove it.

    Attributes
    ----------
    bound : float
        No plan that keeps the rules has a higher goal.
    weights : (O,)
        How much the goal rises with each objective form: the given weights, or those of the worst-off.
    floors : (F,)
        What a step of room in each floor is worth.
    rows : (M,)
        What a unit of money of room in each polyhedron row is worth; of either sign in equality rows.
    """

    bound: float
    weights: Floats
    floors: Floats
    rows: Floats


def prove(problem: Problem, z: Floats, goal: Goal) -> Proof:
    """Bound a concave problem from one of its plans.

    The Lagrangian with any multipliers >= 0 is concave and nowhere below the goal on the plans that keep the
    rules, so its tangent at ``z``, maximised over the box, is a bound (Boyd & Vandenberghe, Convex Optimization,
    5.1). Multipliers are those of the active rules that leave the smallest gradient (non-negative least squares).

    Parameters
    ----------
    problem : Problem
        With concave forms.
    z : (L,)
        Scaled spend, near the optimum for the bound to be tight.
    goal : Goal
        What is maximised.
    """
    at = np.maximum(z, BESIDE_ZERO)
    effects, slopes = problem.effects(at)
    u = np.array([form.value(effects, at) for form in problem.objectives])
    rises = np.array([form.gradient(slopes) for form in problem.objectives])
    room = np.array([form.value(effects, at) for form in problem.floors])
    floor_rises = np.array([form.gradient(slopes) for form in problem.floors]).reshape(len(room), len(z))
    slack = problem.b - problem.A @ at
    weights, held, floors, rows = _multipliers(problem, goal, u, rises, room, floor_rises, slack)
    lagrangian = float(weights @ u + floors @ room + rows @ slack)
    if goal.reference is not None:
        lagrangian -= float(weights @ goal.reference)
    if goal.least is not None:
        lagrangian += float(held @ (u - goal.least))
    gradient = (weights + held) @ rises + floors @ floor_rises - rows @ problem.A
    climb = np.maximum(gradient * (problem.upper - at), gradient * (problem.lower - at))
    return Proof(lagrangian + float(np.maximum(climb, 0.0).sum()), weights, floors, rows)


def _multipliers(
    problem: Problem,
    goal: Goal,
    u: Floats,
    rises: Floats,
    room: Floats,
    floor_rises: Floats,
    slack: Floats,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Multipliers >= 0 of worst-off objectives, held objectives, floors and rows, smallest gradient first."""
    n = len(u)
    worst_off = np.zeros(n, dtype=bool)
    if goal.reference is not None:
        lead = u - goal.reference
        worst_off = lead <= lead.min() + ACTIVE
    held = np.zeros(n, dtype=bool) if goal.least is None else u <= goal.least + ACTIVE
    tight, active = room <= ACTIVE, problem.equal | (slack <= ACTIVE)
    backward = problem.equal
    parts = [rises[worst_off], rises[held], floor_rises[tight], -problem.A[active], problem.A[backward]]
    columns = np.vstack(parts).T
    target = np.zeros(len(problem.lower))
    if goal.reference is None and goal.weights is not None:
        target = -goal.weights @ rises
    else:
        # The weights of the worst-off add up to one.
        ones = np.concatenate([np.ones(worst_off.sum()), np.zeros(columns.shape[1] - worst_off.sum())])
        columns, target = np.vstack([columns, ones]), np.append(target, 1.0)
    found = nnls(columns, target)[0] if columns.size else np.zeros(0)
    split = np.split(found, np.cumsum([len(part) for part in parts])[:-1])
    weights, holding, floors, rows = np.zeros(n), np.zeros(n), np.zeros(len(room)), np.zeros(len(slack))
    holding[held], floors[tight], rows[active] = split[1], split[2], split[3]
    rows[backward] -= split[4]
    if goal.reference is None and goal.weights is not None:
        weights = goal.weights
    else:
        weights[worst_off] = split[0] / split[0].sum() if split[0].sum() > 0 else 1.0 / worst_off.sum()
    return weights, holding, floors, rows
