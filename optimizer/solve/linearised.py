"""Tangents of all effects over the polyhedron of cells: a linear program that bounds, a quadratic one that steps.

A tangent to a concave effect is nowhere below it, so the best that the tangents allow bounds every plan. The
bound is taken from the linear program's multipliers by weak duality, so it rests on no solver's tolerance.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from ..errors import InfeasibleError
from .cells import CellProblem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Tangents kept: the latest. Older ones lie too far from the plan to matter.
KEPT = 30
TIGHT = {"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-10}


@dataclass(frozen=True)
class Aim:
    """What to maximise over P forms: ``weights @ forms``, plus the least of ``forms - reference`` where given.

    Attributes
    ----------
    weights : (P,)
        Of the weighted sum.
    reference : (P,)
        What the worst-off is measured from; NaN for forms that do not take part.
    least : (P,)
        Values that must be kept; -inf where there is none.
    """

    weights: Floats
    reference: Floats
    least: Floats

    @property
    def worst_off(self) -> NDArray[np.bool_]:
        """Forms among which the worst-off counts: (P,)."""
        return ~np.isnan(self.reference)

    def value(self, forms: Floats) -> float:
        """Return what is maximised, at the forms' values (P,)."""
        lead = (forms - self.reference)[self.worst_off]
        return float(self.weights @ forms) + (float(lead.min()) if len(lead) else 0.0)

    def room(self, forms: Floats) -> Floats:
        """Room above the values that must be kept: (P,)."""
        return forms - self.least


@dataclass(frozen=True)
class Multipliers:
    """What a step of each form, and of each rule, is worth; ``worst`` adds up to one, or to nothing."""

    worst: Floats
    held: Floats
    rows: Floats


@dataclass(frozen=True)
class Step:
    """Where to go: the plan ``z`` (n,), what it promises to gain, and what room in each form is worth (P,)."""

    z: Floats
    gain: float
    worth: Floats


@dataclass(frozen=True, eq=False)
class Tangent:
    """Effects and forms over the worst draws at a plan, and their slopes.

    Attributes
    ----------
    at : (n,)
        The plan.
    values, slopes : (C,), (C, parts)
        Effects by KPI, line and group, and their slopes in the line's cells.
    line : (C,) int
        The line of each.
    tail_values, tail_rises : (V,), (V, n)
        Forms over the worst draws.
    """

    at: Floats
    values: Floats
    slopes: Floats
    line: Ints
    tail_values: Floats
    tail_rises: Floats

    @cached_property
    def constants(self) -> Floats:
        """The effects' tangents at zero spend: (C,)."""
        return self.values - (self.slopes * self.at.reshape(-1, self.slopes.shape[1])[self.line]).sum(axis=1)

    @cached_property
    def tail_constants(self) -> Floats:
        """The other tangents at zero spend: (V,)."""
        return self.tail_values - self.tail_rises @ self.at

    @cached_property
    def rows(self) -> sparse.csr_matrix:
        """Over all variables: ``effect - slope @ z``, then ``form - rise @ z`` of forms over the worst draws."""
        n_effects, parts = self.slopes.shape
        n, n_tails = len(self.at), len(self.tail_values)
        columns = (parts * self.line[:, None] + np.arange(parts)).reshape(-1)
        at = (np.repeat(np.arange(n_effects), parts), columns)
        slopes = sparse.csr_matrix((-self.slopes.reshape(-1), at), shape=(n_effects, n))
        slopes.eliminate_zeros()
        cells = sparse.vstack([slopes, sparse.csr_matrix(-self.tail_rises.reshape(n_tails, n))])
        extra = sparse.csr_matrix((n_effects + n_tails, 1))
        return sparse.hstack([cells, sparse.eye_array(n_effects + n_tails), extra], format="csr")


class Linearised:
    """The latest tangents of a problem, for one aim.

    Variables: cells z (n,), effects by KPI, line and group (C,) with tangents of their own, forms over the worst
    draws (V,) with tangents over all lines at once, and the level of the worst-off. Other forms are their sums.
    """

    def __init__(self, problem: CellProblem, aim: Aim) -> None:
        self.problem = problem
        self.aim = aim
        self.tangents: list[Tangent] = []
        forms = problem.forms
        self.tails = [index for index, form in enumerate(forms) if form.tail is not None]
        factors = np.array([form.kpis * (form.tail is None) for form in forms]).reshape(len(forms), -1)
        self.used = np.flatnonzero(np.any(factors != 0, axis=0))
        # Straight effects are as their tangent says, in either direction; all others at most.
        groups = problem.groups
        self.straight = np.repeat(problem.straight[self.used].reshape(-1), groups)
        n_lines, n = problem.straight.shape[1], len(problem.lower)
        wide = [np.repeat(factors[:, self.used], n_lines * groups, axis=1), np.eye(len(forms))[:, self.tails]]
        spend = np.array([form.spend * (form.tail is None) for form in forms])
        self.rows = np.hstack([np.repeat(spend[:, None], n, axis=1), *wide, np.zeros((len(forms), 1))])
        self.constants = np.array([form.constant * (form.tail is None) for form in forms])
        self.limited = np.flatnonzero(np.isfinite(aim.least))
        self.racing = np.flatnonzero(aim.worst_off)

    def add(self, z: Floats) -> None:
        """Take in the tangents at a plan that is nowhere steeper than can be told; the oldest go."""
        known = [tangent for tangent in self.tangents if np.array_equal(tangent.at, z)]
        others = [tangent for tangent in self.tangents if tangent not in known]
        self.tangents = [*others[1 - KEPT :], *(known or [self._tangent(z)])]

    def _tangent(self, z: Floats) -> Tangent:
        values, slopes = self.problem.effects_by_line(z)
        tails = self.problem.evaluate(z, [self.problem.forms[index] for index in self.tails])
        parts = self.problem.parts
        n_kpis, (n_lines, groups) = len(self.used), values.shape[1:]
        line = np.tile(np.repeat(np.arange(n_lines), groups), n_kpis)
        return Tangent(z, values[self.used].reshape(-1), slopes[self.used].reshape(-1, parts), line, *tails)

    def without_floors(self) -> Linearised:
        """The same tangents with nothing that must be kept: its bound is one for all that keep more."""
        other = copy(self)
        other.limited = self.limited[:0]
        return other

    def steepest(self, kpis: Floats) -> float:
        """The steepest slope of the latest effects, each KPI counted for a factor (K,)."""
        slopes = self.tangents[-1].slopes
        steep = np.abs(slopes).reshape(len(self.used), -1).max(axis=1, initial=0.0)
        return float((np.abs(kpis[self.used]) * steep).max(initial=0.0))

    def bound(self) -> tuple[float, Multipliers] | None:
        """Return a proven bound on the aim, and the multipliers that prove it; None if the linear solver gives up.

        Raises
        ------
        InfeasibleError
            If no plan keeps the rules, or the tangents allow none that keeps what must be kept.
        """
        problem = self.problem
        cuts, limits = self._cuts()
        wide = cuts.shape[1]
        free = [(None, None)] * (wide - len(problem.lower) - 1)
        program = (
            -self._worth(),
            sparse.vstack([cuts, self._wide(problem.A[~problem.equal])], format="csr"),
            np.concatenate([limits, problem.b[~problem.equal]]),
            self._wide(problem.A[problem.equal]),
            problem.b[problem.equal],
            [
                *zip(problem.lower, problem.upper, strict=True),
                *free,
                (None, None) if len(self.racing) else (0.0, 0.0),
            ],
        )
        for method, tolerances in (("highs", TIGHT), ("highs", {}), ("highs-ipm", {})):
            found = linprog(*program, method=method, options=tolerances)
            if found.status == 2:
                raise InfeasibleError("no plan keeps every rule and floor at once", "loosen a rule or a floor")
            if found.status == 0:
                break
        else:
            return None
        duals = np.maximum(-found.ineqlin.marginals, 0.0)
        rows = np.zeros(len(problem.b))
        rows[~problem.equal] = duals[len(limits) :]
        rows[problem.equal] = -found.eqlin.marginals
        return self._weak_duality(duals[: len(limits)], rows)

    def _worth(self) -> Floats:
        """What the aim counts each variable for."""
        worth: Floats = self.aim.weights @ self.rows
        worth[-1] = float(len(self.racing) > 0)
        return worth

    def _cuts(self) -> tuple[sparse.csr_matrix, Floats]:
        """Rows ``a @ variables <= b``: the race, what is kept, then the tangents, straight ones backwards last."""
        aim, level = self.aim, np.eye(self.rows.shape[1])[-1]
        tops = [level - self.rows[self.racing], -self.rows[self.limited]]
        limits = [self.constants - aim.reference, self.constants - aim.least]
        ends = [limits[0][self.racing], limits[1][self.limited]]
        rows = [sparse.csr_matrix(np.vstack(tops))]
        for tangent in self.tangents:
            rows += [tangent.rows]
            ends += [tangent.constants, tangent.tail_constants]
        last = self.tangents[-1]
        rows.append(-last.rows[: len(self.straight)][self.straight])
        ends.append(-last.constants[self.straight])
        return sparse.vstack(rows, format="csr"), np.concatenate(ends)

    def _weak_duality(self, duals: Floats, rows: Floats) -> tuple[float, Multipliers]:
        """Maximise the Lagrangian of the tangents over the box: a bound for any multipliers >= 0."""
        problem, aim, n = self.problem, self.aim, len(self.problem.lower)
        n_top, n_effects = len(self.racing) + len(self.limited), len(self.straight)
        worst, held = np.zeros(len(aim.weights)), np.zeros(len(aim.weights))
        worst[self.racing] = _normal(duals[: len(self.racing)])
        held[self.limited] = duals[len(self.racing) : n_top]
        factors = aim.weights + worst + held
        price = factors @ self.rows
        # (tangents, effects and tails): each variable's tangents share what the variable is worth.
        shares = duals[n_top : n_top + len(self.tangents) * (n_effects + len(self.tails))].reshape(
            len(self.tangents), -1
        )
        total = shares.sum(axis=0)
        exact = np.append(self.straight, np.zeros(len(self.tails), bool)) | (total <= 0)
        latest = np.eye(len(shares))[-1][:, None]
        shares = np.where(exact, latest, shares / np.where(exact, 1.0, total)) * price[n:-1]
        gradient = price[:n] - problem.A.T @ rows
        constant = float(factors @ self.constants + rows @ problem.b)
        for share, tangent in zip(shares, self.tangents, strict=True):
            by_line = np.zeros((n // tangent.slopes.shape[1], tangent.slopes.shape[1]))
            np.add.at(by_line, tangent.line, share[:n_effects, None] * tangent.slopes)
            gradient = gradient + by_line.reshape(-1) + share[n_effects:] @ tangent.tail_rises
            constant += float(share[:n_effects] @ tangent.constants + share[n_effects:] @ tangent.tail_constants)
        constant -= float(worst[self.racing] @ aim.reference[self.racing])
        constant -= float(held[self.limited] @ aim.least[self.limited])
        climb = np.maximum(gradient * problem.lower, gradient * problem.upper)
        return constant + float(climb.sum()), Multipliers(worst, held, rows)

    def step(self, forms: Floats, bend: sparse.csc_matrix, spread: float) -> Step | None:
        """Maximise what the tangents allow, less what forms lose by their bend, from the plan of the latest.

        Parameters
        ----------
        forms : (P,)
            Values at the plan.
        bend : (n, n)
            Second derivatives of the Lagrangian, sign turned: positive semidefinite.
        spread : float
            Length that counts as one.

        Returns
        -------
        Step
            None if the solver gives up.
        """
        problem, at, n = self.problem, self.tangents[-1], len(self.problem.lower)
        cuts, limits = self._cuts()
        # All variables count from where the plan has them, so that small gains are not lost in rounding.
        level = (forms - self.aim.reference)[self.racing].min(initial=np.inf) if len(self.racing) else 0.0
        here = np.concatenate([at.at, at.values, at.tail_values, [level]])
        same, less = self._wide(problem.A[problem.equal]), self._wide(problem.A[~problem.equal])
        identity = sparse.eye_array(n, len(here), format="csr")
        ends = np.concatenate([problem.b[problem.equal], limits, problem.b[~problem.equal]])
        rows = sparse.vstack([same, cuts, less], format="csr")
        box = [problem.upper - at.at, at.at - problem.lower]
        # A level that nothing races for is held at zero.
        rest = np.append(np.zeros(len(here) - n - 1), float(len(self.racing) == 0))
        worth = self._worth()
        found = quadratic(
            sparse.block_diag([bend * spread, sparse.diags_array(rest)], format="csc"),
            -worth,
            sparse.vstack([rows, identity, -identity], format="csc"),
            np.concatenate([ends - rows @ here, *box]) / spread,
            same.shape[0],
        )
        if found is None:
            return None
        move, duals = found
        top = duals[same.shape[0] :][: len(self.racing) + len(self.limited)]
        priced = np.zeros(len(forms))
        np.add.at(priced, np.append(self.racing, self.limited), top)
        gain = spread * float(worth @ move - move[:n] @ (bend @ move[:n]) * spread / 2)
        return Step(np.clip(at.at + spread * move[:n], problem.lower, problem.upper), gain, priced)

    def _wide(self, rows: sparse.csr_matrix) -> sparse.csr_matrix:
        """Rows over cells, over all variables."""
        more = self.rows.shape[1] - rows.shape[1]
        return sparse.hstack([rows, sparse.csr_matrix((rows.shape[0], more))], format="csr")


def check_rules(problem: CellProblem) -> None:
    """Raise InfeasibleError if no plan keeps the linear rules."""
    found = linprog(
        np.zeros(len(problem.lower)),
        problem.A[~problem.equal],
        problem.b[~problem.equal],
        problem.A[problem.equal],
        problem.b[problem.equal],
        np.column_stack([problem.lower, problem.upper]),
        method="highs",
    )
    if found.status == 2:
        raise InfeasibleError("no plan keeps every rule at once", "loosen a rule")


def quadratic(
    P: sparse.csc_matrix, q: Floats, A: sparse.csc_matrix, b: Floats, n_equal: int, close: float = 1e-8
) -> tuple[Floats, Floats] | None:
    """Minimise ``x @ P @ x / 2 + q @ x`` with ``A x = b`` in the first rows and ``A x <= b`` in the others.

    ``close``: what the solver is asked for; the nearest it comes to is taken.
    """
    import clarabel

    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = close
    scale = 1.0 / max(float(np.abs(q).max(initial=0.0)), 1e-300)
    cones = [clarabel.ZeroConeT(n_equal), clarabel.NonnegativeConeT(len(b) - n_equal)]
    upper = sparse.csc_matrix(sparse.triu(P * scale))
    found = clarabel.DefaultSolver(upper, q * scale, sparse.csc_matrix(A), b, cones, settings).solve()
    x, duals = np.array(found.x), np.array(found.z)
    if not np.all(np.isfinite(x)) or str(found.status) not in ("Solved", "AlmostSolved", "InsufficientProgress"):
        return None
    return x, duals / scale


def _normal(duals: Floats) -> Floats:
    """Return multipliers that add up to one, as they do but for the solver's tolerance."""
    total = duals.sum()
    return duals / total if total > 0 else np.full(duals.shape, 1.0 / max(duals.size, 1))
