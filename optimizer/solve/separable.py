"""Route for one budget and boxes: any mix of concave and S-shaped curves, to the global optimum, certified.

Each line's response to its total spend has a proven concave over-estimator; over those the best split of the
budget is a matter of sorting slopes. The gap that is left where curves are S-shaped is closed by branch and bound
on the lines' ranges (Udell & Boyd, Maximizing a Sum of Sigmoids, 2013; `kernels_separable`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .. import kernels_attained
from .. import kernels_separable as kernels
from ..errors import InfeasibleError, SolverError
from ..tables import ResponseTables, Terms
from .convex import ConvexSolver
from .duality import prove
from .forms import Goal
from .mixed_integer import SECONDS, MixedIntegerSolver
from .point import Point
from .problem import KEPT, Problem

Floats = NDArray[np.float64]

BOXES = 4096
WHY = "one budget and a range for each line, so over-estimates of the curves and branch and bound prove the best"


class SeparableSolver:
    """Solves one problem for many weights; what its tables learn for one serves the next.

    Parameters
    ----------
    problem : Problem
        One budget and a range for each line; any curves.
    seconds : float
        Time for a goal that is no weighted sum of curves that are not concave: `MixedIntegerSolver`.

    Raises
    ------
    SolverError
        If the problem has other rules or floors.
    """

    name = "separable"
    why = WHY

    def __init__(self, problem: Problem, seconds: float = SECONDS) -> None:
        budget = budget_of(problem)
        if budget is None:
            raise SolverError(
                "the separable route takes one budget and a range for each line, nothing else",
                "leave the route out, and one that takes other rules and floors is picked",
            )
        self.problem = problem
        self.seconds = seconds
        self.solves = 0
        terms = Terms.of(problem.simulator, problem.order, problem.money, problem.size)
        self.tables = ResponseTables(terms, problem.lower, problem.upper)
        self.budget, self.exactly = budget
        self.forms = np.array([form.kpis for form in problem.objectives])
        self.per_money = np.array([form.spend for form in problem.objectives])
        self.constant = np.array([form.constant for form in problem.objectives])
        n_lines = len(problem.lower)
        self._boxes, self._bounds = np.empty((BOXES, 2, n_lines)), np.empty(BOXES)

    def maximise(self, goal: Goal, tolerance: float, near: Floats | None = None) -> Point:
        """Find a plan within ``tolerance`` of a proven bound.

        Goals that ask more than a weighted sum, values to be reached or a worst-off, go to the route for any
        polyhedron; ``near`` (L,), a guess at the plan, is for that one.

        Raises
        ------
        InfeasibleError
            If no plan keeps every rule.
        SolverError
            If the route for any polyhedron fails.
        """
        self.solves += 1
        if goal.reference is not None or goal.least is not None:
            return self.general.maximise(goal, tolerance, near)
        z, bound = self.split(goal.weights, tolerance)
        state = self.problem.state(z)
        value = goal.value(state.u)
        proof = prove(self.problem, z, goal)
        # The multipliers prove a bound too where curves are concave.
        bound = min(bound + proof.curved_admitted, np.inf if self.problem.curved else proof.bound)
        return Point(z, state.u, value, replace(proof, bound=max(bound, value)), self.name, self.why)

    @cached_property
    def general(self) -> ConvexSolver | MixedIntegerSolver:
        """The route for goals that are no weighted sum."""
        return (
            MixedIntegerSolver(self.problem, self.seconds) if self.problem.curved else ConvexSolver(self.problem)
        )

    def objectives(self, z: Floats) -> Floats:
        """The objectives (O,) of a plan (L,), from the response tables."""
        out = np.empty(len(self.constant))
        kernels_attained.objectives(z, self.forms, self.per_money, self.constant, self.tables.arrays(), out)
        return out

    def split(self, weights: Floats, tolerance: float) -> tuple[Floats, float]:
        """Return the best split of the budget for a weighted sum of the objectives, (L,), and a proven bound.

        Raises
        ------
        InfeasibleError
            If no plan keeps every rule.
        """
        tables, problem = self.tables, self.problem
        state, best = np.zeros(4), np.empty(len(problem.lower))
        state[kernels.OPEN], state[kernels.VALUE], state[kernels.CLOSED] = 1, -np.inf, -np.inf
        short = self.exactly and problem.upper.sum() < self.budget * (1.0 - KEPT)
        if short or problem.lower.sum() > self.budget * (1.0 + KEPT):
            raise InfeasibleError(
                "the budget does not fit what the lines may spend",
                "loosen the budget, or a line's min, max or limits",
            )
        self._boxes[0] = problem.lower, problem.upper
        self._bounds[0] = np.inf
        factors, per_money = weights @ self.forms, float(weights @ self.per_money)
        while True:
            ended = kernels.best_split(
                self.budget,
                self.exactly,
                tolerance,
                factors,
                per_money,
                self._boxes,
                self._bounds,
                state,
                best,
                tables.arrays(),
            )
            if ended != kernels.FULL:
                break
            tables.grow()
        # Where boxes ran out, the bound is as good as it got: the caller sees the gap.
        still_open = self._bounds[: int(state[kernels.OPEN])].tolist()
        bound = max(state[kernels.VALUE], state[kernels.CLOSED], *still_open)
        return best, float(weights @ self.constant + bound)


def budget_of(problem: Problem) -> tuple[float, bool] | None:
    """Return the budget in money units and whether all of it must be spent.

    None if the problem is more than one budget and a range for each line, or counts its worst draws only.
    """
    if any(form.tail is not None for form in problem.objectives):
        return None
    joint = problem.joint.nonzero()[0]
    if len(joint) != 1 or problem.floors or problem.scenario.polyhedron.switches is not None:
        return None
    row = int(joint[0])
    factors = problem.A[row]
    factor = float(factors[0])
    if factor <= 0.0 or np.count_nonzero(factors == factor) < len(factors):
        return None
    return float(problem.b[row]) / factor, bool(problem.equal[row])
