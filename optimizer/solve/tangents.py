"""A linear program over tangents: it over-estimates concave effects, so its optimum bounds every real plan."""

from __future__ import annotations

from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

from ..errors import InfeasibleError, SolverError
from .duality import BESIDE_ZERO, Proof
from .problem import Goal, Problem

Floats = NDArray[np.float64]

START = (0.0, 1e-3, 0.01, 0.04, 0.12, 0.3, 0.6, 1.0)
SLOTS = 16
WINDOW = 3
BROKEN = 1e-9
FAR = 1e4


class TangentModel:
    """One cvxpy problem with parameters, re-solved as tangents, weights, references or limits change.

    All tangents ever taken are kept; the program holds those around the solution, and others enter when its
    solution breaks them.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        n_kpis, n_lines = len(problem.size), len(problem.lower)
        self.at = np.empty((0, n_lines))
        self.slope = np.empty((0, n_kpis, n_lines))
        self.intercept = np.empty((0, n_kpis, n_lines))
        self.used = np.empty((0, n_kpis, n_lines), dtype=np.intp)
        for share in START:
            self.add(problem.lower + share * (problem.upper - problem.lower))
        self._build(SLOTS)

    def add(self, z: Floats) -> None:
        """Add the tangents of every effect at scaled spend z (L,)."""
        # Some curves rise infinitely steeply at zero: their tangent is taken just beside it.
        at = np.maximum(z, BESIDE_ZERO)
        effects, slopes = self.problem.effects(at)
        self.at = np.concatenate([self.at, at[None]])
        self.slope = np.concatenate([self.slope, slopes[None]])
        self.intercept = np.concatenate([self.intercept, (effects - slopes * at)[None]])
        self._use(np.full((1, *slopes.shape), len(self.at) - 1))

    def focus(self, z: Floats) -> None:
        """Start the program from the tangents nearest to z (L,), and those at the ends."""
        n = len(self.at)
        order = np.argsort(self.at, axis=0, kind="stable")
        rank = (np.take_along_axis(self.at, order, axis=0) < z).sum(axis=0)
        near = np.clip(rank + np.arange(-WINDOW, WINDOW)[:, None], 0, n - 1)
        ranks = np.concatenate([near, np.zeros_like(near[:1]), np.full_like(near[:1], n - 1)])
        chosen = np.take_along_axis(order, ranks, axis=0)
        self.used = np.repeat(chosen[:, None, :], self.slope.shape[1], axis=1)

    def _use(self, rows: NDArray[np.intp]) -> None:
        self.used = np.concatenate([self.used, rows])

    def _in_use(self) -> tuple[Floats, Floats]:
        """Slopes and intercepts in the program: (S, K, L) each."""
        slope = np.take_along_axis(self.slope, self.used, axis=0)
        return slope, np.take_along_axis(self.intercept, self.used, axis=0)

    def _build(self, n_slots: int) -> None:
        problem = self.problem
        n_kpis, n_lines = self.slope.shape[1:]
        self.z = cp.Variable(n_lines)
        self.effects = cp.Variable((n_kpis, n_lines))
        self.worst_off = cp.Variable()
        self._slope = cp.Parameter((n_slots, n_kpis * n_lines))
        self._intercept = cp.Parameter((n_slots, n_kpis * n_lines))
        self._weights = cp.Parameter(len(problem.objectives), nonneg=True)
        self._reach = cp.Parameter(nonneg=True)
        self._reference = cp.Parameter(len(problem.objectives))
        self._least = cp.Parameter(len(problem.objectives))
        spread = np.tile(np.eye(n_lines), n_kpis)
        flat = cp.reshape(self.effects, (1, n_kpis * n_lines), order="C")
        repeated = np.ones((n_slots, 1)) @ cp.reshape(self.z @ spread, (1, n_kpis * n_lines), order="C")
        cuts = np.ones((n_slots, 1)) @ flat <= self._intercept + cp.multiply(self._slope, repeated)
        values = self._forms(problem.objectives)
        self._worst = values - self._reference >= self.worst_off
        self._floor = self._forms(problem.floors) >= 0 if problem.floors else None
        equal = problem.equal
        self._at_most = problem.A[~equal] @ self.z <= problem.b[~equal]
        self._exactly = problem.A[equal] @ self.z == problem.b[equal] if equal.any() else None
        self._held = values >= self._least
        rules = [cuts, self._worst, self._held, self._at_most]
        rules += [cp.abs(self.worst_off) <= FAR]
        rules += [rule for rule in (self._floor, self._exactly) if rule is not None]
        rules += self._straight()
        goal = self._weights @ values + self._reach * self.worst_off
        self._program = cp.Problem(cp.Maximize(goal), rules)
        if not self._program.is_dcp(dpp=True):
            raise SolverError("the tangent program lost its parametrised form", "report this as a fault")

    def _forms(self, forms: Any) -> Any:
        kpis = np.array([form.kpis for form in forms])
        spend = np.array([form.spend for form in forms])
        constant = np.array([form.constant for form in forms])
        return kpis @ cp.sum(self.effects, axis=1) + spend * cp.sum(self.z) + constant

    def _straight(self) -> list[Any]:
        """Effects that are straight lines are exact, so they may count in either direction."""
        k, i = np.nonzero(self.problem.straight)
        if not len(k):
            return []
        slope, intercept = self.slope[0][k, i], self.intercept[0][k, i]
        return [self.effects[k, i] == cp.multiply(slope, self.z[i]) + intercept]

    def maximise(self, goal: Goal) -> tuple[Floats, Proof]:
        """Solve for a goal.

        Returns
        -------
        z : (L,)
            Scaled spend; keeps every linear rule, floors only as far as the tangents know.
        proof : Proof
            From the program's duals.

        Raises
        ------
        InfeasibleError
            If even the over-estimates cannot keep every rule: then no real plan can.
        SolverError
            If the linear solver gives up.
        """
        n = len(self.problem.objectives)
        self._weights.value = np.zeros(n) if goal.reference is not None else goal.weights
        self._reach.value = 0.0 if goal.reference is None else 1.0
        self._reference.value = np.full(n, -FAR) if goal.reference is None else goal.reference
        self._least.value = np.full(n, -FAR) if goal.least is None else goal.least
        while True:
            self._load()
            self._solve()
            if not self._missed():
                break
        return self._relaxed(goal)

    def _load(self) -> None:
        """Put the tangents in use into the parameters; free slots repeat the last, which changes nothing."""
        n_slots = self._slope.shape[0]
        if len(self.used) > n_slots:
            goal = self._weights.value, self._reach.value, self._reference.value, self._least.value
            self._build(2 * len(self.used))
            self._weights.value, self._reach.value, self._reference.value, self._least.value = goal
            n_slots = self._slope.shape[0]
        for parameter, held in zip((self._slope, self._intercept), self._in_use(), strict=True):
            padded = np.concatenate([held, np.repeat(held[-1:], n_slots - len(held), axis=0)])
            parameter.value = padded.reshape(n_slots, -1)

    def _missed(self) -> bool:
        """Take in the kept tangents that the program's solution breaks; whether there were any."""
        lines = self.intercept + self.slope * self.z.value
        tightest = lines.argmin(axis=0)
        lowest = np.take_along_axis(lines, tightest[None], axis=0)[0]
        over = self.effects.value > lowest + BROKEN
        if not over.any():
            return False
        known = (self.used == tightest).any(axis=0)
        if np.all(known[over]):
            return False
        self._use(np.where(over, tightest, self.used[-1])[None])
        return True

    def _solve(self) -> None:
        tight = {"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9}
        for options in (tight, {}, {"solver": "ipm"}):
            try:
                self._program.solve(solver=cp.HIGHS, **options)
            except cp.error.SolverError:
                continue
            if self._program.status == cp.INFEASIBLE:
                raise InfeasibleError("no plan keeps every rule and floor at once", "loosen a rule or a floor")
            if self._program.status == cp.OPTIMAL:
                return
        raise SolverError("the linear solver gave up on the tangent program", "loosen the rules slightly")

    def _relaxed(self, goal: Goal) -> tuple[Floats, Proof]:
        problem = self.problem
        if goal.reference is None:
            up = np.asarray(goal.weights, dtype=float)
        else:
            up = np.maximum(self._worst.dual_value, 0.0)
            up = up / up.sum() if up.sum() > 0 else np.full(len(up), 1.0 / len(up))
        floors = np.zeros(0) if self._floor is None else np.maximum(self._floor.dual_value, 0.0)
        rows = np.zeros(len(problem.b))
        rows[~problem.equal] = np.maximum(self._at_most.dual_value, 0.0)
        if self._exactly is not None:
            rows[problem.equal] = self._exactly.dual_value
        held = np.zeros(len(up)) if goal.least is None else np.maximum(self._held.dual_value, 0.0)
        bound = self._weak_duality(up + held, floors, rows)
        bound -= 0.0 if goal.reference is None else float(up @ goal.reference)
        bound -= 0.0 if goal.least is None else float(held @ goal.least)
        z = np.clip(self.z.value, problem.lower, problem.upper)
        return z, Proof(bound, up, floors, rows)

    def _weak_duality(self, up: Floats, floors: Floats, rows: Floats) -> float:
        """Return the largest Lagrangian value over the box: an upper bound for any multipliers >= 0."""
        problem = self.problem
        forms = [*problem.objectives, *problem.floors]
        factors = np.concatenate([up, floors])
        kpis = np.sum([f * form.kpis for f, form in zip(factors, forms, strict=True)], axis=0)
        spend = float(sum(f * form.spend for f, form in zip(factors, forms, strict=True)))
        constant = float(sum(f * form.constant for f, form in zip(factors, forms, strict=True)))
        price = rows @ problem.A - spend
        points = self._corners()
        over = self._over(points)
        lagrangian = np.tensordot(kpis, over, axes=(0, 1)) - price * points
        return constant + float(rows @ problem.b) + float(lagrangian.max(axis=0).sum())

    def _over(self, points: Floats) -> Floats:
        """Over-estimates at points (P, L): (P, K, L)."""
        slope, intercept = self._in_use()
        lines = intercept[:, None] + slope[:, None] * points[None, :, None, :]
        return np.asarray(lines.min(axis=0))

    def _corners(self) -> Floats:
        """Where the over-estimates bend, and the ends of the box: (P, L). Their maxima lie on these."""
        slope, intercept = self._in_use()
        order = np.argsort(-slope, axis=0, kind="stable")
        slope = np.take_along_axis(slope, order, axis=0)
        intercept = np.take_along_axis(intercept, order, axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            bends = np.diff(intercept, axis=0) / -np.diff(slope, axis=0)
        lower, upper = self.problem.lower, self.problem.upper
        bends = np.where(np.isfinite(bends), bends, lower)
        bends = np.clip(bends.reshape(-1, len(lower)), lower, upper)
        return np.concatenate([bends, lower[None], upper[None]])
