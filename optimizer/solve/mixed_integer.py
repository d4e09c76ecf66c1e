"""Route for on/off rules: minimum spends if on, and at most so many lines on; certified.

The tangent program of `tangents` with a binary for each line that is a decision (outer approximation: Duran &
Grossmann, Math. Prog. 36, 1986). Its optimum bounds every plan; the plan is found by the convex route with the
program's choice of lines held, and gives new tangents where the two differ.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

from ..constraints import Switches
from ..errors import InfeasibleError, SolverError
from .convex import ConvexSolver, Point
from .duality import Proof
from .problem import Goal, Problem
from .tangents import TangentModel

Floats = NDArray[np.float64]

ROUNDS = 200
MIP_GAP = 1e-7
# HiGHS ends within its gap and feasibility tolerances of the true optimum: this much is added to its value.
MARGIN = 1e-6
WHY = "lines can be on or off, so a program with a binary for each bounds the best plan"


class SwitchModel(TangentModel):
    """The tangent program with a binary for each line that can be off."""

    def _more_rules(self, n_slots: int) -> list[Any]:
        problem = self.problem
        switches = switches_of(problem)
        on = cp.Variable(len(problem.lower), boolean=True)
        rules = [
            *super()._more_rules(n_slots),
            self.z <= cp.multiply(problem.upper, on),
            self.z >= cp.multiply(np.where(switches.decided, switches.least, 0.0), on),
        ]
        # A line that is off has exactly the effect of no spend, whatever its steep first tangent would allow.
        nothing = problem.effects(np.zeros(len(problem.lower))).value.mean(axis=0)
        most = problem.effects(problem.upper).value.mean(axis=0)
        rules += [self.effects <= nothing + cp.multiply(most - nothing, np.ones((len(most), 1)) @ on[None, :])]
        rules += [cp.sum(on[mask]) <= count for _, mask, count in switches.most]
        rules += [on[i] == 1 for i in np.flatnonzero(~switches.decided)]
        self.on = on
        return rules

    def _options(self) -> tuple[dict[str, Any], ...]:
        return ({"mip_rel_gap": MIP_GAP, "mip_abs_gap": MIP_GAP, "mip_feasibility_tolerance": 1e-9}, {})

    def _proof(self, goal: Goal) -> Proof:
        n = len(goal.weights)
        value = float(self._program.value)
        bound = value + MARGIN * max(1.0, abs(value))
        nothing = np.zeros(n), np.zeros(len(self.problem.floors)), np.zeros(len(self.problem.b))
        return Proof(bound, goal.weights, *nothing)


def switches_of(problem: Problem) -> Switches:
    """Return the on/off rules over scaled spend, lines in name order."""
    switches = problem.scenario.polyhedron.switches
    if switches is None:
        raise ValueError("the scenario has no on/off rules")
    order = problem.order
    most = tuple((name, mask[order], count) for name, mask, count in switches.most)
    names = tuple(switches.names[i] for i in order)
    return Switches(switches.decided[order], switches.least[order] / problem.money, most, names)


class MixedIntegerSolver:
    """Solves one problem with on/off rules for many goals."""

    name = "mixed_integer"
    why = WHY

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.switches = switches_of(problem)
        self.model = SwitchModel(problem)
        self.solves = 0

    def maximise(self, goal: Goal, tolerance: float, near: Floats | None = None) -> Point:
        """Find a plan within ``tolerance`` of a proven bound; ``near`` is not needed here.

        Raises
        ------
        InfeasibleError
            If no plan keeps every rule and floor.
        SolverError
            If the gap does not close.
        """
        self.solves += 1
        tolerance = max(tolerance, 3 * MARGIN)
        best: Point | None = None
        ceiling = np.inf
        for _ in range(ROUNDS):
            z, proof = self.model.maximise(goal)
            ceiling = min(ceiling, proof.bound)
            point = self._held(z, self.model.on.value > 0.5, goal, tolerance)
            if point is not None:
                self.model.add(point.z)
                if best is None or point.value > best.value:
                    best = point
            if best is not None and ceiling - best.value <= tolerance:
                return replace(best, proof=replace(best.proof, bound=ceiling))
            self.model.add(z)
        raise SolverError("the gap to the proven bound did not close", "loosen the tolerance, or simplify rules")

    def _held(self, z: Floats, on: NDArray[np.bool_], goal: Goal, tolerance: float) -> Point | None:
        """The best plan with these lines on, or None where there is none."""
        problem = self.problem
        off = self.switches.decided & ~on
        lower = np.where(off, problem.lower, np.maximum(problem.lower, self.switches.least))
        upper = np.where(off, np.minimum(problem.upper, 0.0), problem.upper)
        if np.any(lower > upper):
            return None
        held = Problem(problem.scenario, floors=problem.limits, box=(lower, upper))
        try:
            return ConvexSolver(held).maximise(goal, tolerance, near=np.clip(z, lower, upper))
        except InfeasibleError:
            return None
