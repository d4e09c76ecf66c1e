"""Route for concave curves under any polyhedron, certified.

With flighting fixed, each line's mean response is a concave function of the line's total spend, whatever the
number of draws and periods. A local solve (SLSQP) therefore finds the optimum, and its multipliers prove it. Where
that proof is not tight enough, a linear program over tangents closes the gap: a tangent to a concave function is
never below it, so the program bounds every real plan, and tangents where its solution lies pull the bound down
(Kelley, J. SIAM 8, 1960). Bounds come from multipliers by weak duality, so they hold whatever the tolerances.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import SolverError
from .duality import Proof, prove
from .forms import Goal
from .point import Point, evaluate
from .polish import polish
from .problem import Problem
from .tangents import TangentModel

Floats = NDArray[np.float64]

ROUNDS = 150
WHY = "every curve has falling returns, so multipliers prove a bound"


class ConvexSolver:
    """Solves one problem for many goals; tangents found for one goal serve the next."""

    name = "convex"
    why = WHY

    def __init__(self, problem: Problem) -> None:
        if problem.curved:
            raise SolverError(
                f"this route takes falling returns alone: {problem.curved}",
                "use a curve with falling returns (hill with slope <= 1), or drop this objective or floor",
            )
        if problem.scenario.polyhedron.switches is not None:
            raise SolverError(
                "this route takes no on/off rules and no packages",
                "leave the route out, and one that takes them is picked",
            )
        self.problem = problem
        self.solves = 0

    @cached_property
    def model(self) -> TangentModel:
        """The linear program, built when first needed."""
        return TangentModel(self.problem)

    def maximise(self, goal: Goal, tolerance: float, near: Floats | None = None) -> Point:
        """Find a plan within ``tolerance`` of a proven bound.

        ``near`` (L,), a guess at the plan, only saves time.

        Raises
        ------
        InfeasibleError
            If no plan keeps every rule and floor.
        SolverError
            If the gap does not close.
        """
        self.solves += 1
        best = None if near is None else self._polished(near, goal)
        polish_at = 0
        for done in range(ROUNDS):
            if best is not None and best.gap <= tolerance:
                return best
            z, proof = self.model.maximise(goal)
            self.model.add(z)
            best = _better(best, self._point(z, goal, proof))
            # Where floors have kinks a polish runs long and gains little: the tangents come closer first.
            if done >= polish_at:
                best = _better(best, self._polished(z, goal))
                polish_at = 2 * done + 1
            if best is not None and proof.bound < best.proof.bound:
                best = replace(best, proof=proof)
        if best is not None and any(form.tail is not None for form in self.problem.objectives):
            # Means over the worst draws have many kinks: the gap is told as it is.
            return best
        raise SolverError(
            "the gap to the proven bound did not close", "loosen the tolerance, or report this as a fault"
        )

    def _polished(self, z: Floats, goal: Goal) -> Point | None:
        z = polish(self.problem, z, goal)
        return self._point(z, goal, prove(self.problem, z, goal))

    def _point(self, z: Floats, goal: Goal, proof: Proof) -> Point | None:
        """Evaluate a plan for real; None where it breaks a rule or floor."""
        real = evaluate(self.problem, z, goal)
        return None if real is None else Point(z, *real, proof, self.name, self.why)


def _better(one: Point | None, other: Point | None) -> Point | None:
    if one is None or other is None:
        return one or other
    best = other if other.value > one.value else one
    return replace(best, proof=min(one.proof, other.proof, key=lambda proof: proof.bound))
