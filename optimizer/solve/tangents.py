"""A linear program over tangents: it over-estimates concave effects, so its optimum bounds every real plan."""

from __future__ import annotations

from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

from ..errors import InfeasibleError, SolverError
from . import highs
from .duality import Proof
from .forms import Form, Goal
from .problem import Problem

Floats = NDArray[np.float64]

START = (0.0, 1e-3, 0.01, 0.04, 0.12, 0.3, 0.6, 1.0)
SLOTS = 16
FAR = 1e4
# Settings of the linear solver to try in turn.
ATTEMPTS: tuple[dict[str, Any], ...] = (
    {"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9},
    {},
    {"solver": "ipm"},
)


class TangentModel:
    """One cvxpy problem with parameters, re-solved as tangents, weights, references or limits change.

    Every effect (K, L) has tangents of its own; an objective or a floor over the worst draws has tangents over all
    lines at once, and the objective a value (V,) that none of them is below.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        # Solvers that cvxpy makes greet on the console unless one has done so before.
        highs.quiet_solver()
        n_kpis, n_lines = len(problem.size), len(problem.lower)
        self.tails = [index for index, form in enumerate(problem.floors) if form.tail is not None]
        self.risky = [index for index, form in enumerate(problem.objectives) if form.tail is not None]
        self.risk_slope = np.empty((0, len(self.risky), n_lines))
        self.risk_intercept = np.empty((0, len(self.risky)))
        self.slope = np.empty((0, n_kpis, n_lines))
        self.intercept = np.empty((0, n_kpis, n_lines))
        self.tail_slope = np.empty((0, len(self.tails), n_lines))
        self.tail_intercept = np.empty((0, len(self.tails)))
        for share in START:
            self.add(problem.lower + share * (problem.upper - problem.lower))
        self._build(SLOTS)

    def add(self, z: Floats) -> None:
        """Add the tangents at scaled spend z (L,)."""
        state = self.problem.state(self.problem.beside(z))
        effects, slopes = state.effects.value.mean(axis=0), state.effects.slope.mean(axis=0)
        self.slope = np.concatenate([self.slope, slopes[None]])
        self.intercept = np.concatenate([self.intercept, (effects - slopes * state.z)[None]])
        rises = state.room_rises[self.tails]
        self.tail_slope = np.concatenate([self.tail_slope, rises[None]])
        self.tail_intercept = np.concatenate(
            [self.tail_intercept, (state.room[self.tails] - rises @ state.z)[None]]
        )

        rises = state.rises[self.risky]
        self.risk_slope = np.concatenate([self.risk_slope, rises[None]])
        self.risk_intercept = np.concatenate([self.risk_intercept, (state.u[self.risky] - rises @ state.z)[None]])

    def _build(self, n_slots: int) -> None:
        problem = self.problem
        n_kpis, n_lines = self.slope.shape[1:]
        n = len(problem.objectives)
        self.z = cp.Variable(n_lines)
        self.effects = cp.Variable((n_kpis, n_lines))
        self.worst_off = cp.Variable()
        self._slope = cp.Parameter((n_slots, n_kpis * n_lines))
        self._intercept = cp.Parameter((n_slots, n_kpis * n_lines))
        self._weights = cp.Parameter(n)
        self._reach = cp.Parameter(nonneg=True)
        self._reference = cp.Parameter(n)
        self._least = cp.Parameter(n)
        spread = np.tile(np.eye(n_lines), n_kpis)
        flat = cp.reshape(self.effects, (1, n_kpis * n_lines), order="C")
        repeated = np.ones((n_slots, 1)) @ cp.reshape(self.z @ spread, (1, n_kpis * n_lines), order="C")
        cuts = np.ones((n_slots, 1)) @ flat <= self._intercept + cp.multiply(self._slope, repeated)
        values = self._forms(problem.objectives)
        risks = self._risks(n_slots)
        if self.risky:
            # The value of an objective over the worst draws stands for its mean.
            place = np.eye(n)[:, self.risky]
            values = cp.multiply(1.0 - place.sum(axis=1), values) + place @ self.risks
        self._worst = values - self._reference >= self.worst_off
        self._held = values >= self._least
        self._at_most = problem.A[~problem.equal] @ self.z <= problem.b[~problem.equal]
        rules = [cuts, self._worst, self._held, self._at_most, cp.abs(self.worst_off) <= FAR]
        rules += risks + self._more_rules(n_slots)
        goal = self._weights @ values + self._reach * self.worst_off
        self._program = cp.Problem(cp.Maximize(goal), rules)
        if not self._program.is_dcp(dpp=True):
            raise SolverError("the tangent program lost its parametrised form", "report this as a fault")

    def _risks(self, n_slots: int) -> list[Any]:
        """Objectives over the worst draws under their tangents, slot by slot."""
        self._risk = None
        if not self.risky:
            return []
        rows = n_slots * len(self.risky)
        self.risks = cp.Variable(len(self.risky))
        self._risk_slope = cp.Parameter((rows, len(self.problem.lower)))
        self._risk_intercept = cp.Parameter(rows)
        each = np.tile(np.eye(len(self.risky)), (n_slots, 1))
        self._risk = each @ self.risks <= self._risk_slope @ self.z + self._risk_intercept
        return [self._risk]

    def _more_rules(self, n_slots: int) -> list[Any]:
        """Rules that only some problems have."""
        problem = self.problem
        self._exactly = self._floor = self._tail = None
        rules: list[Any] = []
        if problem.equal.any():
            self._exactly = problem.A[problem.equal] @ self.z == problem.b[problem.equal]
            rules.append(self._exactly)
        plain = [form for form in problem.floors if form.tail is None]
        if plain:
            self._floor = self._forms(plain) >= 0
            rules.append(self._floor)
        if self.tails:
            rows = n_slots * len(self.tails)
            self._tail_slope = cp.Parameter((rows, len(problem.lower)))
            self._tail_intercept = cp.Parameter(rows)
            self._tail = self._tail_slope @ self.z + self._tail_intercept >= 0
            rules.append(self._tail)
        if problem.boxed:
            rules += [self.z >= problem.lower, self.z <= problem.upper]
        k, i = np.nonzero(problem.straight)
        if len(k):
            # Straight lines are exact, so they may count in either direction.
            slope, intercept = self.slope[0][k, i], self.intercept[0][k, i]
            rules.append(self.effects[k, i] == cp.multiply(slope, self.z[i]) + intercept)
        return rules

    def _forms(self, forms: list[Form] | tuple[Form, ...]) -> Any:
        kpis = np.array([form.kpis for form in forms])
        spend = np.array([form.spend for form in forms])
        constant = np.array([form.constant for form in forms])
        return kpis @ cp.sum(self.effects, axis=1) + spend * cp.sum(self.z) + constant

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
        self._load(goal)
        self._solve()
        return np.clip(self.z.value, self.problem.lower, self.problem.upper), self._proof(goal)

    def _load(self, goal: Goal) -> None:
        """Fill the parameters; free slots repeat the last tangent, which changes nothing."""
        if len(self.slope) > self._slope.shape[0]:
            self._build(2 * len(self.slope))
        n_slots = self._slope.shape[0]
        for parameter, held in ((self._slope, self.slope), (self._intercept, self.intercept)):
            parameter.value = _padded(held, n_slots).reshape(n_slots, -1)
        if self.tails:
            rows = n_slots * len(self.tails)
            self._tail_slope.value = _padded(self.tail_slope, n_slots).reshape(rows, -1)
            self._tail_intercept.value = _padded(self.tail_intercept, n_slots).reshape(rows)
        if self.risky:
            rows = n_slots * len(self.risky)
            self._risk_slope.value = _padded(self.risk_slope, n_slots).reshape(rows, -1)
            self._risk_intercept.value = _padded(self.risk_intercept, n_slots).reshape(rows)
        n = len(goal.weights)
        self._weights.value = goal.weights
        self._reach.value = 0.0 if goal.reference is None else 1.0
        self._reference.value = np.full(n, -FAR) if goal.reference is None else goal.reference
        self._least.value = np.full(n, -FAR) if goal.least is None else goal.least

    def _solve(self) -> None:
        for options in ATTEMPTS:
            try:
                self._program.solve(solver=cp.HIGHS, highs_options=options)
            except (cp.error.SolverError, ValueError):
                # cvxpy has a ValueError for solvers that end without a status it knows.
                continue
            if self._program.status == cp.INFEASIBLE:
                raise InfeasibleError("no plan keeps every rule and floor at once", "loosen a rule or a floor")
            if self._program.status == cp.OPTIMAL:
                return
        raise SolverError("the linear solver gave up on the tangent program", "loosen the rules slightly")

    def _proof(self, goal: Goal) -> Proof:
        problem = self.problem
        extra = held = np.zeros(len(goal.weights))
        if goal.reference is not None:
            extra = np.maximum(self._worst.dual_value, 0.0)
            extra = extra / extra.sum() if extra.sum() > 0 else np.full(len(extra), 1.0 / len(extra))
        if goal.least is not None:
            held = np.maximum(self._held.dual_value, 0.0)
        rows = np.zeros(len(problem.b))
        rows[~problem.equal] = np.maximum(self._at_most.dual_value, 0.0)
        if self._exactly is not None:
            rows[problem.equal] = self._exactly.dual_value
        floors = np.zeros(len(problem.floors))
        tails = np.zeros((self._slope.shape[0], len(self.tails)))
        if self._floor is not None:
            plain = [index for index in range(len(floors)) if index not in self.tails]
            floors[plain] = np.maximum(self._floor.dual_value, 0.0)
        if self._tail is not None:
            tails = np.maximum(self._tail.dual_value, 0.0).reshape(tails.shape)
        bound = self._weak_duality(goal.weights + extra + held, floors, tails, rows)
        bound -= 0.0 if goal.reference is None else float(extra @ goal.reference)
        bound -= 0.0 if goal.least is None else float(held @ goal.least)
        floors[self.tails] = tails.sum(axis=0)
        return Proof(bound, goal.weights + extra, held, floors, rows)

    def _weak_duality(self, up: Floats, floors: Floats, tails: Floats, rows: Floats) -> float:
        """Return the largest Lagrangian value over the box: an upper bound for any multipliers >= 0."""
        problem = self.problem
        forms = [*problem.objectives, *problem.floors]
        factors = np.concatenate([up, floors])
        risks = self._risk_shares(up)
        factors[self.risky] = 0.0
        kpis = np.sum([f * form.kpis for f, form in zip(factors, forms, strict=True)], axis=0)
        spend = float(sum(f * form.spend for f, form in zip(factors, forms, strict=True)))
        constant = float(sum(f * form.constant for f, form in zip(factors, forms, strict=True)))
        price = rows @ problem.A - spend
        if self.tails:
            n_slots = len(tails)
            price = price - np.einsum("sf,sfl->l", tails, _padded(self.tail_slope, n_slots))
            constant += float(np.sum(tails * _padded(self.tail_intercept, n_slots)))
        if self.risky:
            n_slots = len(risks)
            price = price - np.einsum("sf,sfl->l", risks, _padded(self.risk_slope, n_slots))
            constant += float(np.sum(risks * _padded(self.risk_intercept, n_slots)))
        points = self._corners()
        over = (self.intercept[:, None] + self.slope[:, None] * points[None, :, None, :]).min(axis=0)
        lagrangian = np.tensordot(kpis, over, axes=(0, 1)) - price * points
        return constant + float(rows @ problem.b) + float(lagrangian.max(axis=0).sum())

    def _risk_shares(self, up: Floats) -> Floats:
        """What tangents to objectives over the worst draws count for, by slot: (S, V), adding up to theirs.

        No tangent is below the objective, so no mixture of them is.
        """
        if self._risk is None:
            return np.empty((0, 0))
        shares = np.maximum(self._risk.dual_value, 0.0).reshape(-1, len(self.risky))
        shares[-1] += np.where(shares.sum(axis=0) > 0, 0.0, 1.0)
        return np.asarray(shares / shares.sum(axis=0) * up[self.risky])

    def _corners(self) -> Floats:
        """Where the over-estimates bend, and the ends of the box: (P, L). Their maxima lie on these."""
        order = np.argsort(-self.slope, axis=0, kind="stable")
        slope = np.take_along_axis(self.slope, order, axis=0)
        intercept = np.take_along_axis(self.intercept, order, axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            bends = np.diff(intercept, axis=0) / -np.diff(slope, axis=0)
        lower, upper = self.problem.lower, self.problem.upper
        bends = np.where(np.isfinite(bends), bends, lower)
        bends = np.clip(bends.reshape(-1, len(lower)), lower, upper)
        return np.concatenate([bends, lower[None], upper[None]])


def _padded(rows: Floats, n: int) -> Floats:
    return np.concatenate([rows, np.repeat(rows[-1:], n - len(rows), axis=0)])
