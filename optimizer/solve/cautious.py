"""From the plan that is best on average to one that weighs doubt: gains less a multiple of their spread.

With ``g_d(x)`` what plan x gains over today's in draw d, on the stated trade-off, a cautious plan maximises

    min over w of mean_d w_d g_d(x)      w >= 0, mean 1, standard deviation at most ``caution``

which is ``mean - caution * sd`` of the gains (Markowitz, J. Finance 7, 1952) as long as no draw gains more than
``1 / caution`` standard deviations above the mean, and never less (Duchi & Namkoong, JMLR 20, 2019). It is of the
difference and not of the level: what moves both plans alike is no reason to stay. For weights w of any plan the
plain weighted mean is nowhere below it, so a bound on that mean bounds every cautious plan; the weights that the
best plan names make it tight. Falling returns keep it concave.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import SolverError
from .duality import Proof, prove
from .forms import Effects, Form, Goal
from .point import Point, Solver, evaluate
from .polish import polish
from .problem import Problem

Floats = NDArray[np.float64]

ROUNDS = 6
HALVINGS = 60
ONE = Goal(np.ones(1))


@dataclass(frozen=True)
class Doubted(Form):
    """A form that counts draws by ``share`` (D,), or, where that is None, less ``caution`` times their spread.

    ``today`` (D,) is what the form is at today's spend, by draw and without its constant.
    """

    today: Floats = field(default_factory=lambda: np.zeros(1))
    caution: float = 0.0
    share: Floats | None = None

    def at(self, effects: Effects, z: Floats) -> tuple[float, Floats]:
        """Value, and gradient by z (L,)."""
        gains = effects.value.sum(axis=2) @ self.kpis - self.today
        share = self.weights(gains) if self.share is None else self.share
        value = self.constant + float(self.today.mean() + np.mean(share * gains)) + self.spend * z.sum()
        rises = np.einsum("d,dkl,k->l", share / len(share), effects.slope, self.kpis) + self.spend
        return float(value), rises

    def weights(self, gains: Floats) -> Floats:
        """What draws count for: (D,), see `worst_weights`."""
        return worst_weights(gains, self.caution)


def worst_weights(gains: Floats, caution: float) -> Floats:
    """Weights of draws that make the mean gain least: (D,), not negative, mean 1, deviation at most ``caution``.

    They are ``max(0, level - g)`` over its mean: lower gains count for more. The level is searched for by halving
    its distance from above, so that the deviation is never above ``caution``.
    """
    away, spread = gains - gains.mean(), float(gains.std())
    if spread <= 1e-12 * max(float(np.abs(gains).max()), 1e-300) or caution == 0:
        return np.ones_like(gains)

    def at(level: float) -> Floats:
        found = np.maximum(level - away, 0.0)
        return np.asarray(found / found.mean())

    # Where no draw is left out the level is where the spread says; with draws left out it is higher.
    low, high = float(away.min()), max(spread / caution, float(away.max())) * 2 + spread / caution
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if middle <= low or middle >= high:
            break
        if at(middle).std() > caution:
            low = middle
        else:
            high = middle
    return at(high)


def cautious(
    problem: Problem,
    start: Point,
    goal: Goal,
    caution: float,
    solver: Callable[[Problem], Solver],
    tolerance: float,
) -> Point:
    """Find the plan that is best with caution, from the one that is best on average.

    Parameters
    ----------
    problem : Problem
        Over line totals.
    start : Point
        The plan that is best on average; it keeps every rule.
    goal : Goal
        A weighted sum.
    caution : float
        Standard deviations that are taken off the mean.
    solver : callable
        Picks a route.

    Returns
    -------
    Point
        Its value is the goal less the spread; its forms are expected values, as ever.
    """
    form = _doubted(problem, goal, caution)
    doubted = _of(problem, (form,))
    today = problem.scaled(problem.scenario.today)
    best, bound, proof = start.z, np.inf, start.proof
    value = doubted.state(start.z).u[0]
    candidates = [start.z, today]
    for _ in range(ROUNDS):
        if problem.scenario.polyhedron.switches is None:
            candidates += [polish(doubted, z, ONE) for z in candidates]
        for z in candidates:
            real = evaluate(doubted, z, ONE)
            if real is not None and real[1] > value:
                best, value = z, real[1]
        candidates, found = _bounded(problem, form, best, goal, solver, tolerance)
        if found.bound < bound:
            bound, proof = found.bound, found
        if bound - value <= tolerance:
            break
    u = problem.state(best).u
    why = (
        f"{start.why}; of the change from today {caution:g} standard deviations over draws are taken off (caution)"
    )
    return Point(best, u, float(value), replace(proof, bound=float(max(bound, value))), start.route, why)


def weighted(problem: Problem, share: Floats) -> Problem:
    """Return the problem in which draws count by their ``share`` (D,), of mean 1.

    A mean over draws of effects times their shares is the weighted mean, whatever the curves.
    """
    made = copy.copy(problem)
    made.simulator = replace(problem.simulator, scale=np.ascontiguousarray(problem.simulator.scale * share))
    return made


def _doubted(problem: Problem, goal: Goal, caution: float) -> Doubted:
    """All objectives in one form."""
    forms = problem.objectives
    kpis = goal.weights @ np.array([form.kpis for form in forms])
    at_today = problem.effects(problem.scaled(problem.scenario.today)).value.sum(axis=2) @ kpis
    return Doubted(
        "caution",
        kpis,
        float(goal.weights @ [form.spend for form in forms]),
        float(goal.weights @ [form.constant for form in forms]),
        1.0,
        today=at_today,
        caution=caution,
    )


def _of(problem: Problem, objectives: tuple[Form, ...]) -> Problem:
    made = copy.copy(problem)
    made.objectives = objectives
    return made


def _bounded(
    problem: Problem,
    form: Doubted,
    z: Floats,
    goal: Goal,
    solver: Callable[[Problem], Solver],
    tolerance: float,
) -> tuple[list[Floats], Proof]:
    """Plans to try next, and a bound on all cautious plans: from the weights that the plan z names."""
    gains = problem.effects(z).value.sum(axis=2) @ form.kpis - form.today
    share = form.weights(gains)
    if not problem.curved and problem.scenario.polyhedron.switches is None:
        fixed = _of(problem, (replace(form, share=share),))
        proof = prove(fixed, z, ONE)
        if proof.bound - fixed.state(z).u[0] <= tolerance:
            return [], proof
        try:
            at = polish(fixed, z, ONE)
        except SolverError:
            return [], proof
        tighter = prove(fixed, at, ONE)
        return [at, (z + at) / 2], min(proof, tighter, key=lambda one: one.bound)
    loose = weighted(problem, share)
    loose.floors, loose.limits = (), {}
    point = solver(loose).maximise(goal, tolerance, near=z)
    # Both count draws by their shares; what they count today's plan for is what lies between them.
    apart = float(form.today.mean() - np.mean(share * form.today))
    return [point.z, (z + point.z) / 2], replace(
        point.proof, bound=point.proof.bound + apart, floors=np.zeros(len(problem.floors))
    )
