"""Route for S-shaped curves and on/off rules under any polyhedron and floors; certified.

A mixed-integer program over proven estimates of the curves bounds every plan (`piecewise`). Its choice is improved
to the nearest local optimum by SLSQP on the exact curves; both become grid points, where the estimates are exact,
and the program is solved again until bound and plan meet (outer approximation: Duran & Grossmann, Math. Prog. 36,
1986; for curves that are not concave: Misener & Floudas, J. Glob. Opt. 57, 2013).
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import SolverError
from ..tables import ResponseTables, Terms
from .duality import prove
from .forms import Goal
from .piecewise import PiecewiseModel
from .point import Point, evaluate
from .polish import polish
from .problem import KEPT, Problem, switches_of

Floats = NDArray[np.float64]

SECONDS = 120.0
# The solver's own tolerances leave this much, in steps of the goal.
CLOSEST = 3e-6
# The program is solved to this share of the gap that is left, no further: its estimates are coarser than that.
SHARE = 0.1
# A line that spends more than this, in money units, is on.
ON = 1e-12
WHY = (
    "lines can be on or off, or curves are S-shaped: a program with a binary for each choice bounds the best plan"
)


class MixedIntegerSolver:
    """Solves one problem for many goals; what its tables learn for one serves the next.

    Parameters
    ----------
    problem : Problem
        With any curves; floors over the worst draws only where all are concave.
    seconds : float
        Time for one goal; then the best plan so far is returned with the gap as it is.
    """

    name = "mixed_integer"
    why = WHY

    def __init__(self, problem: Problem, seconds: float = SECONDS) -> None:
        tails = [form for form in problem.objectives if form.tail is not None]
        if problem.curved:
            tails += [form for form in problem.floors if form.tail is not None]
        if tails:
            what = problem.curved or "lines can be on or off"
            raise SolverError(
                f"no route can prove a plan under a floor over the worst draws here: {what}",
                "bound the expected value instead, or use curves with falling returns",
            )
        self.problem = problem
        self.seconds = seconds
        self.solves = 0
        self.switches = switches_of(problem)
        terms = Terms.of(problem.simulator, problem.order, problem.money, problem.size)
        self.tables = ResponseTables(terms, problem.lower, problem.upper)
        self.model = PiecewiseModel(problem, self.tables)

    def maximise(self, goal: Goal, tolerance: float, near: Floats | None = None) -> Point:
        """Find a plan within ``tolerance`` of a proven bound, or as near as time allows.

        ``near`` (L,), a guess at the plan, only saves time.

        Raises
        ------
        InfeasibleError
            If no plan keeps every rule and floor.
        SolverError
            If no plan was found in time.
        """
        self.solves += 1
        ends = time.monotonic() + self.seconds
        tolerance = max(tolerance, CLOSEST)
        best = None if near is None else self._local(near, near > ON, goal)
        ceiling, gap = np.inf, 1e-3
        while True:
            left = ends - time.monotonic()
            if left <= 0:
                return self._out_of_time(best, ceiling)
            choice, bound = self.model.maximise(goal, gap, left)
            ceiling = min(ceiling, bound)
            if choice is None:
                return self._out_of_time(best, ceiling)
            z, on = choice
            point = self._local(z, on, goal)
            best = point if best is None or (point is not None and point.value > best.value) else best
            if best is not None and ceiling < best.value - tolerance:
                raise SolverError(
                    "the solver's bound contradicts a plan it found", "report this with the scenario"
                )
            if best is not None and ceiling - best.value <= tolerance:
                return _bounded(best, ceiling)
            new = self.model.learn(z) + (self.model.learn(point.z) if point is not None else 0)
            apart = 1e-3 if best is None else SHARE * (ceiling - best.value)
            closer = max(apart, 0.3 * tolerance)
            if not new and closer >= gap:
                # What is left is below what the solver can tell apart.
                return self._stuck(best, ceiling)
            gap = min(gap, closer)

    def _stuck(self, best: Point | None, ceiling: float) -> Point:
        if best is None:
            raise SolverError("no plan was found, and none is proven to be impossible", "loosen a rule or a floor")
        return _bounded(best, ceiling)

    def _out_of_time(self, best: Point | None, ceiling: float) -> Point:
        if best is None:
            raise SolverError(
                f"no plan that keeps every rule and floor was found in {self.seconds:g} s",
                "give it more time (time_limit), or loosen a rule or a floor",
            )
        return _bounded(best, ceiling)

    def _local(self, z: Floats, on: NDArray[np.bool_], goal: Goal) -> Point | None:
        """The best of a plan and the local optimum near it, with these lines on; None where neither is allowed."""
        problem = self.problem
        if self.switches is not None:
            off = self.switches.decided & ~on
            lower = np.where(off, problem.lower, np.maximum(problem.lower, self.switches.least))
            upper = np.where(off, np.minimum(problem.upper, 0.0), problem.upper)
            # Packages stay as they were chosen.
            size = self.switches.package
            whole = np.where(size > 0, size * np.round(z / np.where(size > 0, size, 1.0)), z)
            lower = np.where(size > 0, np.maximum(lower, whole), lower)
            upper = np.where(size > 0, np.minimum(upper, whole), upper)
            if np.any(lower > upper + KEPT):
                return None
            problem = problem.within(np.minimum(lower, upper), upper)
        best: Point | None = None
        start = np.clip(z, problem.lower, problem.upper)
        for at in (start, polish(problem, start, goal)):
            real = evaluate(problem, at, goal)
            if real is not None and (best is None or real[1] > best.value):
                # Multipliers hold near the plan; what bounds all plans is the program.
                proof = replace(prove(problem, at, goal), bound=np.inf)
                best = Point(at, *real, proof, self.name, self.why)
        return best


def _bounded(best: Point, ceiling: float) -> Point:
    """A plan under the program's bound, raised by what plans may gain from rules kept but for rounding."""
    return best.bounded(ceiling + best.proof.curved_admitted)
