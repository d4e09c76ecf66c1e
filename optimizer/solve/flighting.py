"""Route for free flighting with concave curves under any polyhedron, certified.

Sequential quadratic programming over spend by line and period: gradients come from the simulator's adjoint, second
derivatives from differences of them, and each step keeps every linear rule (Nocedal & Wright, Numerical
Optimization, ch. 18). A step that breaks a floor is drawn back towards a plan with room to spare: on the way
between two plans a concave form is nowhere below its straight line. The search starts from the best flat plan, so
no plan it finds is worse. Tangents at the plans visited bound every plan (`linearised`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..errors import InfeasibleError, SolverError
from .cells import CellProblem, EvenCells
from .curvature import bowl, curvature
from .duality import Proof
from .forms import Goal
from .linearised import Aim, Linearised, Multipliers, check_rules, quadratic
from .point import Point

Floats = NDArray[np.float64]

ROUNDS = 200
KEPT = 1e-9
FAR = 1e2
# A climb that gains less than this share of the gap in so many rounds has come to its end.
STALLED = 15
SHARES = (1.0, 0.5, 0.25, 0.1, 0.03)
# A step must gain this share of its promise; when it does not, the next one is held back by this much at least.
ENOUGH, DAMPED = 0.01, 1e-3
# A plan with this share of the room that floors can all have is inside enough to draw others back to.
INSIDE = 0.3
# The gap is worked out when a step promises no more than this many times the tolerance, and now and then.
NEAR, NOW_AND_THEN = 10.0, 6
FLAT_TOLERANCE = 1e-7
WHY = "every curve has falling returns, so tangents over spend by line and period bound every plan"


class FlightingSolver:
    """Solves one problem over lines and periods for many goals.

    Parameters
    ----------
    problem : CellProblem
        With concave forms.
    deadline : float, optional
        When to stop with what there is, on the clock of `time.monotonic`.
    progress : callable, optional
        Called with the share of the work done, 0 to 1.
    """

    name = "flighting"
    why = WHY

    def __init__(
        self,
        problem: CellProblem,
        deadline: float | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.problem = problem
        self.deadline = np.inf if deadline is None else deadline
        self.progress = progress
        self.solves = 0

    def maximise(self, goal: Goal, tolerance: float, near: Floats | None = None) -> Point:
        """Find a plan within ``tolerance`` of a proven bound, or as near as it comes: the gap is told.

        ``near`` (L * T,), a guess at the plan, only saves time.

        Raises
        ------
        InfeasibleError
            If no plan keeps every rule and floor.
        SolverError
            If time is up before a plan that keeps every floor was found.
        """
        self.solves += 1
        aim = self._aim(goal)
        starts = [z for z in (near, self._flat(aim)) if z is not None]
        found = self._search(aim, tolerance, starts)
        if self.progress is not None:
            self.progress(1.0)
        return self._point(goal, *found)

    def _search(self, aim: Aim, tolerance: float, starts: list[Floats]) -> tuple[Floats, float, Multipliers]:
        """Climb from the best of some plans; return the plan, its bound and the multipliers that prove it."""
        starts = [self._projected(self._even()), *starts]
        kept = [z for z in starts if self._keeps(aim, z)]
        inside = None
        if np.any(np.isfinite(aim.least)):
            inside = self._inside(aim, kept or starts)
            kept.append(inside)
        start = max(kept, key=lambda z: aim.value(self.problem.values(z)))
        return _Climb(self, aim, start, inside).run(tolerance)

    def _aim(self, goal: Goal) -> Aim:
        """The goal over objectives and floors alike."""
        problem, n_floors = self.problem, len(self.problem.floors)
        nothing = np.full(len(problem.objectives), np.nan)
        reference = nothing if goal.reference is None else goal.reference
        # Priorities leave KPIs that come later at a level far below anything.
        least = -nothing if goal.least is None else np.where(goal.least > -FAR, goal.least, -np.inf)
        least = np.where(np.isnan(least), -np.inf, least)
        return Aim(
            np.append(goal.weights, np.zeros(n_floors)),
            np.append(reference, np.full(n_floors, np.nan)),
            np.append(least, np.zeros(n_floors)),
        )

    def _even(self) -> Floats:
        return np.full(len(self.problem.lower), 1.0 / len(self.problem.lower))

    def _projected(self, z: Floats) -> Floats:
        """The plan nearest to z that keeps every linear rule."""
        problem, n = self.problem, len(z)
        same, less = problem.A[problem.equal], problem.A[~problem.equal]
        identity = sparse.eye_array(n, format="csr")
        rows = sparse.vstack([same, less, identity, -identity], format="csc")
        ends = np.concatenate([problem.b[problem.equal], problem.b[~problem.equal], problem.upper, -problem.lower])
        found = quadratic(sparse.csc_matrix(identity), -z * n, rows, ends * n, same.shape[0])
        if found is None:
            check_rules(problem)
            raise SolverError("the quadratic solver gave up on the rules", "loosen the rules slightly")
        return self.mended(found[0] / n)

    def mended(self, z: Floats) -> Floats:
        """A plan a rounding error off the rules, brought back to them: each cell moves by its room at most."""
        problem = self.problem
        z = np.clip(z, problem.lower, problem.upper)
        for _ in range(3):
            room = problem.b - problem.A @ z
            off = np.flatnonzero(np.where(problem.equal, np.abs(room), -room) > 1e-15)
            if not len(off):
                break
            give = np.minimum(z - problem.lower, problem.upper - z)
            rows = problem.A[off]
            weighed = rows.multiply(give).tocsr()
            move = np.linalg.lstsq((weighed @ rows.T).toarray(), room[off], rcond=1e-12)[0]
            z = np.clip(z + weighed.T @ move, problem.lower, problem.upper)
        return z

    def _flat(self, aim: Aim) -> Floats | None:
        """The best plan with every line spread evenly; None where the rules have none, or none was found."""
        even = EvenCells(self.problem)
        try:
            z, _, _ = FlightingSolver(even, self.deadline)._search(aim, FLAT_TOLERANCE, [])
        except (InfeasibleError, SolverError):
            return None
        return self.mended(even.spread(z))

    def _keeps(self, aim: Aim, z: Floats) -> bool:
        rules = bool(np.all(self.problem.slack(z) >= -KEPT))
        return rules and bool(np.all(aim.room(self.problem.values(z)) >= -KEPT))

    def _inside(self, aim: Aim, starts: list[Floats]) -> Floats:
        """A plan with room in every floor: the most room they can all have, or a good part of it."""
        limited = np.isfinite(aim.least)
        race = Aim(np.zeros(len(limited)), np.where(limited, aim.least, np.nan), np.full(len(limited), -np.inf))
        start = max(starts, key=lambda z: race.value(self.problem.values(z)))
        climb = _Climb(self, race, start, None)
        z, bound, _ = climb.run(KEPT, lambda value, bound: value > INSIDE * bound or bound < -KEPT)
        if bound < -KEPT:
            raise InfeasibleError("no plan keeps every rule and floor at once", "loosen a rule or a floor")
        if race.value(self.problem.values(z)) < -KEPT:
            raise SolverError("no plan was found that keeps every floor", "lower a floor, or allow more time")
        return z

    def _point(self, goal: Goal, z: Floats, bound: float, found: Multipliers) -> Point:
        n, u = len(self.problem.objectives), self.problem.state(z).u
        proof = Proof(bound, goal.weights + found.worst[:n], found.held[:n], found.held[n:], found.rows)
        return Point(z, u, goal.value(u), proof, self.name, self.why)


class _Climb:
    """One search for one aim."""

    def __init__(self, solver: FlightingSolver, aim: Aim, start: Floats, inside: Floats | None) -> None:
        self.solver, self.problem, self.aim = solver, solver.problem, aim
        self.model = Linearised(solver.problem, aim)
        self.z, self.inside = start, inside
        self.forms = self.problem.values(start)
        self.inside_forms = None if inside is None else self.problem.values(inside)
        self.value = aim.value(self.forms)
        self.bound, self.multipliers = np.inf, self._nothing()
        self.worth, self.damping = self.multipliers.worst, 0.0

    def _nothing(self) -> Multipliers:
        n = len(self.aim.weights)
        return Multipliers(
            self.aim.worst_off / max(1, self.aim.worst_off.sum()), np.zeros(n), np.zeros(len(self.problem.b))
        )

    def run(
        self, tolerance: float, enough: Callable[[float, float], bool] | None = None
    ) -> tuple[Floats, float, Multipliers]:
        """Climb until the gap is within ``tolerance``, ``enough``, time is up, or nothing moves any more."""
        first = gap = np.inf
        idle = 0
        for turn in range(ROUNDS):
            self.model.add(self.problem.beside(self.z))
            promised = self._step(self.problem.beside(self.z))
            late = time.monotonic() > self.solver.deadline
            if late or turn % NOW_AND_THEN == 0 or promised <= NEAR * tolerance:
                self._tighten()
                before, gap = gap, self.bound - self.value
                first = gap if turn == 0 else first
                idle = 0 if gap < 0.9 * before else idle + 1
                self._tell(first, gap, tolerance)
            if late or gap <= tolerance or idle >= STALLED or (enough and enough(self.value, self.bound)):
                break
        return self.z, self.bound, self.multipliers

    def _tell(self, first: float, gap: float, tolerance: float) -> None:
        if self.solver.progress is not None and first > tolerance:
            done = np.log(first / max(gap, tolerance)) / np.log(first / tolerance)
            self.solver.progress(float(np.clip(done, 0.0, 1.0)))

    def _tighten(self) -> None:
        models = [self.model]
        if len(self.model.limited):
            # What floors are worth grows beyond all bounds where next to no plan keeps them.
            models.append(self.model.without_floors())
        for model in models:
            found = model.bound()
            if found is not None and found[0] < self.bound:
                self.bound, self.multipliers = found

    def _step(self, at: Floats) -> float:
        """Move to a better plan, if the step leads to one; return what the step promised."""
        problem = self.problem
        kpis = (self.aim.weights + self.worth) @ np.array([form.kpis for form in problem.forms])
        blocks = bowl(np.tensordot(kpis, curvature(problem, at), axes=(0, 0)))
        spread = 1.0 / len(at)
        damping = self.damping * self.model.steepest(kpis) / spread
        bend = sparse.block_diag(list(blocks)) + damping * sparse.eye_array(len(at))
        found = self.model.step(problem.values(at), sparse.csc_matrix(bend), spread)
        if found is None:
            return np.inf
        self.worth = found.worth
        target = self.solver.mended(found.z)
        for share in SHARES:
            z, forms = self._kept(self.z + share * (target - self.z))
            value = self.aim.value(forms)
            if value > self.value + ENOUGH * share * found.gain and np.all(self.aim.room(forms) >= -KEPT):
                self.z, self.forms, self.value = z, forms, value
                break
            # A kink in the way: its other side is worth knowing before the next step, which then is shorter.
            self.model.add(problem.beside(self.z + share * (target - self.z)))
        self.damping = self.damping / 4 if share == 1.0 else max(4 * self.damping, DAMPED)
        return found.gain

    def _kept(self, z: Floats) -> tuple[Floats, Floats]:
        """A plan that keeps all floors: z, drawn back towards the plan inside as far as it takes."""
        forms = self.problem.values(z)
        if self.inside is None or self.inside_forms is None:
            return z, forms
        miss, spare = -self.aim.room(forms), self.aim.room(self.inside_forms)
        broken = miss > 0
        if not broken.any():
            return z, forms
        back = float(np.max(miss[broken] / np.maximum(miss[broken] + spare[broken], 1e-300)))
        z = z + min(1.0, back) * (self.inside - z)
        return z, self.problem.values(z)
