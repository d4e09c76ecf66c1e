"""Route for concave curves under any polyhedron, certified.

With flighting fixed, each line's mean response is a concave function of the line's total spend, whatever the
number of draws and periods. A tangent to it is never below it, so a linear program over tangents bounds every
real plan from above; adding tangents where its solution lies closes the gap (Kelley, J. SIAM 8, 1960). The bound
is taken from the program's duals by weak duality, so it holds whatever the solver's tolerances.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import SolverError
from ..plan import Certificate, Plan
from .duality import Proof, prove
from .payoff import freeze_scale
from .polish import keeps_rules, polish
from .problem import Goal, Problem
from .tangents import TangentModel

if TYPE_CHECKING:
    from ..scenario import Scenario

Floats = NDArray[np.float64]

ROUNDS = 80
FLOOR_TOLERANCE = 1e-9
WHY = "every curve has falling returns, so tangents bound the best plan"


@dataclass(frozen=True)
class Point:
    """A real plan: scaled spend, its objective forms ``u`` (O,), its value under the goal, and the proof."""

    z: Floats
    u: Floats
    value: float
    proof: Proof


class ConvexSolver:
    """Solves one problem for many goals; tangents found for one goal serve the next."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.solves = 0

    @cached_property
    def model(self) -> TangentModel:
        """The linear program, built when first needed."""
        return TangentModel(self.problem)

    def maximise(self, goal: Goal, tolerance: float, near: Floats | None = None) -> Point:
        """Find a plan within ``tolerance`` of a proven bound.

        ``near`` (L,), a guess at the plan, only saves time: from a good guess a local solve and its
        multipliers are proof enough; the tangents settle the rest.

        Raises
        ------
        InfeasibleError
            If no plan keeps every rule and floor.
        SolverError
            If the gap does not close.
        """
        self.solves += 1
        best = None if near is None else self._polished(near, goal)
        for _ in range(ROUNDS):
            if best is not None and best.proof.bound - best.value <= tolerance:
                return best
            z, proof = self.model.maximise(goal)
            self.model.add(z)
            best = self._better(best, self._polished(z, goal))
            best = self._better(best, self._point(z, goal, proof))
            if best is not None and proof.bound < best.proof.bound:
                best = replace(best, proof=proof)
        raise SolverError(
            "the gap to the proven bound did not close", "loosen the tolerance, or report this as a fault"
        )

    def _polished(self, z: Floats, goal: Goal) -> Point | None:
        z = polish(self.problem, z, goal)
        return self._point(z, goal, prove(self.problem, z, goal))

    @staticmethod
    def _better(one: Point | None, other: Point | None) -> Point | None:
        if one is None or other is None:
            return one or other
        best = other if other.value > one.value else one
        proof = min(one.proof, other.proof, key=lambda proof: proof.bound)
        return replace(best, proof=proof)

    def _point(self, z: Floats, goal: Goal, proof: Proof) -> Point | None:
        """Evaluate a plan for real; None where it breaks a rule or floor."""
        effects, _ = self.problem.effects(z)
        u = np.array([form.value(effects, z) for form in self.problem.objectives])
        room = [form.value(effects, z) for form in self.problem.floors]
        if goal.least is not None:
            room += list(u - goal.least)
        if any(value < -FLOOR_TOLERANCE for value in room) or not keeps_rules(self.problem, z):
            return None
        return Point(z, u, goal.value(u), proof)


def solve(scenario: Scenario, tolerance: float) -> Plan:
    """Find the best plan of a scenario whose curves are concave; see `routes.solve`."""
    scenario = freeze_scale(scenario, lambda problem: ConvexSolver(problem).maximise)
    problem = Problem(scenario)
    weights = scenario.spec.preferences.weights
    share = np.array([weights.get(name, 0.0) for name in scenario.objectives])
    share = share / share.sum() if weights else np.ones(1)
    point = ConvexSolver(problem).maximise(Goal(weights=share), tolerance)
    return make_plan(problem, point, Goal(weights=share))


def make_plan(problem: Problem, point: Point, goal: Goal) -> Plan:
    """Turn a solved point into a Plan in the scenario's own units and order."""
    scenario = problem.scenario
    spend = pd.Series(problem.spend(point.z), index=pd.Index(scenario.lines, name="line"), name="spend")
    value, bound = point.value, max(point.proof.bound, point.value)
    gap, unit = bound - value, 1.0
    if len(scenario.objectives) == 1:
        # A single KPI is told in its own unit.
        form = problem.objectives[0]
        unit = abs(form.unit)
        value, bound = float(form.kpi(value)), float(form.kpi(bound))
        gap = abs(bound - value) / max(abs(bound), 1e-300)
    prices = {
        name: 1000.0 / problem.money * unit * float(dual)
        for name, dual in zip(scenario.polyhedron.names, point.proof.rows, strict=True)
    }
    for form, dual in zip(problem.floors, point.proof.floors, strict=True):
        prices[form.name] = unit * float(dual) * form.unit
    return Plan(scenario, spend, Certificate("global", value, bound, gap, "convex", WHY), prices)
