"""Local improvement of a plan with exact gradients: never outside the rules, never worse than it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from ..constraints import Switches
from .duality import Proof
from .forms import Goal, State
from .point import Point, evaluate
from .polish import polish
from .problem import Problem
from .projection import KEPT, ON, Projection

Floats = NDArray[np.float64]

# A plan is locally best where the slopes promise no more than this, in steps, anywhere within the rules.
STATIONARY = 1e-4
# And where none of so many plans this near, in money units, is better by more than rounding.
NEIGHBOURS, NEAR, BETTER = 24, (1e-2, 1e-3), 1e-7
# Climbing over cells: steps, the softness of the worst-off, and what a step of a missing floor costs.
CLIMBS, SOFT, PRICES = 120, 1e-3, (3.0, 30.0)
SHORTEST = 1e-12


def improve(
    problem: Problem, projection: Projection, z: Floats, goal: Goal, late: Callable[[], bool] = lambda: False
) -> Point | None:
    """Return the better of a plan and the local optimum near it; None where neither keeps every rule and floor.

    Lines that are off by decision stay off, packages stay as they are. Line totals: SLSQP (`polish`); cells: a
    projected gradient climb (spectral steps: Birgin, Martinez & Raydan, SIAM J. Optim. 10, 2000).

    Parameters
    ----------
    problem : Problem
        Any.
    projection : Projection
        Onto its rules.
    z : (n,)
        Scaled spend that keeps the linear rules; floors it may miss.
    goal : Goal
        What to maximise.
    late : callable, optional
        Whether time is up: what is reached then is taken.
    """
    within = held(problem, projection.switches, z)
    if problem.scenario.free:
        near = _climb(problem, projection, z, goal, late)
    else:
        near = projection(polish(within, np.clip(z, within.lower, within.upper), goal, late))[0][0]
    best: Point | None = None
    for at in (z, near):
        real = evaluate(problem, at, goal)
        allowed = projection.switches is None or projection.switches.kept(at, KEPT)
        if real is not None and allowed and (best is None or real[1] > best.value):
            best = Point(at, *real, unproven(problem, goal), "evolve", "")
    return best


def held(problem: Problem, switches: Switches | None, z: Floats) -> Problem:
    """Return the problem with on/off choices and packages as in a plan."""
    if switches is None:
        return problem
    off = switches.decided & (z <= ON)
    packed = switches.package > 0
    lower = np.where(
        off, problem.lower, np.maximum(problem.lower, np.where(switches.decided, switches.least, 0.0))
    )
    upper = np.where(off, np.minimum(problem.upper, 0.0), problem.upper)
    lower, upper = np.where(packed, z, np.minimum(lower, upper)), np.where(packed, z, upper)
    return problem.within(lower, upper)


def unproven(problem: Problem, goal: Goal) -> Proof:
    """Return a proof of nothing."""
    n, floors, rows = len(problem.objectives), len(problem.floors), problem.b.shape
    return Proof(np.inf, goal.weights.copy(), np.zeros(n), np.zeros(floors), np.zeros(rows))


def is_local(problem: Problem, projection: Projection, point: Point, goal: Goal, seed: int = 0) -> bool:
    """Whether no small change improves a plan: to first order anywhere within the rules, and by trial nearby."""
    if promised(held(problem, projection.switches, point.z), point.z, goal) > STATIONARY:
        return False
    rng = np.random.default_rng(seed)
    away = rng.normal(size=(NEIGHBOURS, len(point.z))) / np.sqrt(len(point.z))
    near = point.z + np.repeat(NEAR, NEIGHBOURS // len(NEAR))[:, None] * away
    if projection.switches is not None:
        near = np.where(projection.switches.decided & (point.z <= ON), 0.0, near)
    plans, kept = projection(near)
    for z in plans[kept]:
        real = evaluate(problem, z, goal)
        if real is not None and real[1] > point.value + BETTER:
            return False
    return True


def promised(problem: Problem, z: Floats, goal: Goal) -> float:
    """Return how much the goal rises at most if everything goes on as its slopes at the plan say.

    A linear program over the polyhedron, floors and held values by their tangents; infinite where it fails.
    """
    state = problem.state(z)
    racing = goal.reference is not None
    n = len(z)
    less = ~problem.equal
    A = sparse.csr_matrix(problem.A)
    slack = problem.b - A @ z
    rows, ends = [A[less]], [np.maximum(slack[less], 0.0)]
    rows.append(sparse.csr_matrix(-state.room_rises.reshape(-1, n)))
    ends.append(np.maximum(state.room, 0.0))
    if goal.least is not None:
        rows.append(sparse.csr_matrix(-state.rises))
        ends.append(np.maximum(state.u - goal.least, 0.0))
    table = sparse.vstack(rows)
    table = sparse.hstack([table, sparse.csr_matrix((table.shape[0], 1))])
    limits = np.concatenate(ends)
    if goal.reference is not None:
        lead = state.u - goal.reference
        race = sparse.csr_matrix(np.hstack([-state.rises, np.ones((len(lead), 1))]))
        table, limits = sparse.vstack([table, race]), np.append(limits, lead - lead.min())
    found = linprog(
        -np.append(goal.weights @ state.rises, float(racing)),
        table.tocsr(),
        limits,
        sparse.hstack([A[~less], sparse.csr_matrix((int((~less).sum()), 1))]).tocsr(),
        np.zeros(int((~less).sum())),
        [
            *zip(np.minimum(problem.lower - z, 0.0), np.maximum(problem.upper - z, 0.0), strict=True),
            (None, None) if racing else (0.0, 0.0),
        ],
        method="highs",
    )
    return float(-found.fun) if found.status == 0 else np.inf


def _climb(problem: Problem, projection: Projection, z: Floats, goal: Goal, late: Callable[[], bool]) -> Floats:
    """Climb by projected gradients; of the plans on the way that keep all floors, return the best."""
    best, best_value = z, -np.inf
    for price in PRICES if problem.floors or goal.least is not None else PRICES[:1]:
        at = best
        state = problem.state(at)
        value, rise = _penalised(state, goal, price)
        step = 0.1 / max(float(np.abs(rise).max()), 1e-12) / np.sqrt(len(z))
        for _ in range(CLIMBS):
            if _missing(state, goal) <= 0.0 and goal.value(state.u) > best_value:
                best, best_value = at, goal.value(state.u)
            if late():
                return best
            target = projection(at + step * rise)[0][0]
            way = target - at
            slope = float(rise @ way)
            if slope <= SHORTEST:
                break
            share = 1.0
            while share > 1e-4:
                there = problem.state(at + share * way)
                gained, after = _penalised(there, goal, price)
                if gained >= value + 1e-4 * share * slope:
                    break
                share *= 0.3
            else:
                break
            moved, bent = share * way, rise - after
            at, state, value, rise = at + moved, there, gained, after
            turn = float(moved @ bent)
            longest = 1.0 / max(float(np.abs(rise).max()), 1e-12)
            step = min(float(moved @ moved) / turn, longest) if turn > 0 else min(4.0 * step, longest)
    return best


def _missing(state: State, goal: Goal) -> float:
    """What floors and held values are missed by together, in steps."""
    missing = np.maximum(-state.room, 0.0).sum()
    if goal.least is not None:
        missing += np.maximum(goal.least - state.u, 0.0).sum()
    return float(missing)


def _penalised(state: State, goal: Goal, price: float) -> tuple[float, Floats]:
    """The goal with the worst-off softened, less the price of what is missing, and its gradient."""
    value, rise = float(goal.weights @ state.u), goal.weights @ state.rises
    if goal.reference is not None:
        lead = state.u - goal.reference
        shares = np.exp((lead.min() - lead) / SOFT)
        value += float(lead.min() - SOFT * np.log(shares.sum()))
        rise = rise + (shares / shares.sum()) @ state.rises
    limits = [(state.room, state.room_rises)]
    if goal.least is not None:
        limits.append((state.u - goal.least, state.rises))
    for room, rises in limits:
        value -= price * float(np.maximum(-room, 0.0).sum())
        rise = rise + price * (room < 0) @ rises
    return value, rise


def proven_to(point: Point, bound: float) -> Point:
    """Return the point under a bound proven elsewhere."""
    return replace(point, proof=replace(point.proof, bound=max(bound, point.value)))
