"""Tangents of all forms over the polyhedron of cells: a linear program that bounds, a quadratic one that steps.

A tangent to a concave form is nowhere below it, so the best that the tangents allow bounds every plan. The bound
is taken from the linear program's multipliers by weak duality, so it rests on no solver's tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from ..errors import InfeasibleError
from .cells import CellProblem

Floats = NDArray[np.float64]

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
    """Where to go: the plan ``z`` (n,), what it promises to gain, and what forms were worth (P,), (P,)."""

    z: Floats
    gain: float
    worst: Floats
    held: Floats


@dataclass(frozen=True)
class Tangent:
    """Forms at a plan: they are at most ``values + rises @ (z - at)`` anywhere. Shapes (n,), (P,), (P, n)."""

    at: Floats
    values: Floats
    rises: Floats

    @property
    def constants(self) -> Floats:
        """Values of the tangents at zero spend: (P,)."""
        return self.values - self.rises @ self.at


class Linearised:
    """The latest tangents of a problem's forms, for one aim."""

    def __init__(self, problem: CellProblem, aim: Aim) -> None:
        self.problem = problem
        self.aim = aim
        self.tangents: list[Tangent] = []
        self.limited = np.flatnonzero(np.isfinite(aim.least))
        self.racing = np.flatnonzero(aim.worst_off)

    def add(self, tangent: Tangent) -> None:
        """Take a tangent in; the oldest goes."""
        self.tangents = [*self.tangents[1 - KEPT :], tangent]

    def bound(self) -> tuple[float, Multipliers] | None:
        """Return a proven bound on the aim, and the multipliers that prove it; None if the linear solver gives up.

        Raises
        ------
        InfeasibleError
            If no plan keeps the rules, or the tangents allow none that keeps what must be kept.
        """
        problem, n = self.problem, len(self.problem.lower)
        weighted, racing = bool(np.any(self.aim.weights)), len(self.racing) > 0
        cuts, limits = self._cuts(weighted)
        program = (
            np.append(np.zeros(n), [-float(weighted), -float(racing)]),
            sparse.vstack([cuts, _wide(problem.A[~problem.equal])], format="csr"),
            np.concatenate([limits, problem.b[~problem.equal]]),
            _wide(problem.A[problem.equal]),
            problem.b[problem.equal],
            [*zip(problem.lower, problem.upper, strict=True), *(_free(weighted), _free(racing))],
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

    def _cuts(self, weighted: bool) -> tuple[sparse.csr_matrix, Floats]:
        """Rows ``a @ (z, v, t) <= b``: v under the weighted sum, t under each in the race, and what is kept."""
        aim, rows, limits = self.aim, [], []
        for tangent in self.tangents:
            constants = tangent.constants
            if weighted:
                rows.append(np.append(-aim.weights @ tangent.rises, [1.0, 0.0]))
                limits.append(float(aim.weights @ constants))
            for k in self.racing:
                rows.append(np.append(-tangent.rises[k], [0.0, 1.0]))
                limits.append(float(constants[k] - aim.reference[k]))
            for k in self.limited:
                rows.append(np.append(-tangent.rises[k], [0.0, 0.0]))
                limits.append(float(constants[k] - aim.least[k]))
        return sparse.csr_matrix(np.array(rows).reshape(len(rows), len(self.problem.lower) + 2)), np.array(limits)

    def _weak_duality(self, duals: Floats, rows: Floats) -> tuple[float, Multipliers]:
        """Maximise the Lagrangian of the tangents over the box: a bound for any multipliers >= 0."""
        problem, aim, n_forms = self.problem, self.aim, len(self.aim.weights)
        weighted = int(np.any(aim.weights))
        split = duals.reshape(len(self.tangents), weighted + len(self.racing) + len(self.limited))
        total = _normal(split[:, :weighted])
        race = _normal(split[:, weighted : weighted + len(self.racing)])
        worst, held = np.zeros(n_forms), np.zeros(n_forms)
        constant, gradient = float(rows @ problem.b), -(problem.A.T @ rows)
        for j, tangent in enumerate(self.tangents):
            factors = aim.weights * total[j].sum()
            factors[self.racing] += race[j]
            factors[self.limited] += split[j, weighted + len(self.racing) :]
            constant += float(factors @ tangent.constants)
            gradient = gradient + factors @ tangent.rises
            worst[self.racing] += race[j]
            held[self.limited] += split[j, weighted + len(self.racing) :]
        constant -= float(worst[self.racing] @ aim.reference[self.racing])
        constant -= float(held[self.limited] @ aim.least[self.limited])
        climb = np.maximum(gradient * problem.lower, gradient * problem.upper)
        return constant + float(climb.sum()), Multipliers(worst, held, rows)

    def step(self, tangent: Tangent, bend: sparse.csc_matrix, spread: float) -> Step | None:
        """Maximise what the tangents allow, less what forms lose by their bend, from the plan of the latest.

        Parameters
        ----------
        tangent : Tangent
            At the plan.
        bend : (n, n)
            Second derivatives of the Lagrangian, sign turned: positive semidefinite.
        spread : float
            Length that counts as one.

        Returns
        -------
        Step
            None if the solver gives up.
        """
        problem, aim, n = self.problem, self.aim, len(self.problem.lower)
        weighted, racing = bool(np.any(aim.weights)), len(self.racing) > 0
        cuts, limits = self._cuts(weighted)
        # Levels count from those of the plan, so that small gains are not lost in rounding.
        lead = (tangent.values - aim.reference)[self.racing].min(initial=np.inf) if racing else 0.0
        here = np.concatenate([tangent.at, [float(aim.weights @ tangent.values), lead]])
        same, less = _wide(problem.A[problem.equal]), _wide(problem.A[~problem.equal])
        identity = sparse.eye_array(n, n + 2, format="csr")
        ends = np.concatenate([problem.b[problem.equal], limits, problem.b[~problem.equal]])
        rows = sparse.vstack([same, cuts, less], format="csr")
        box = [problem.upper - tangent.at, tangent.at - problem.lower]
        found = quadratic(
            # A level that nothing counts for is held at zero.
            sparse.block_diag([bend * spread, np.diag([1.0 - weighted, 1.0 - racing])], format="csc"),
            -np.append(np.zeros(n), [float(weighted), float(racing)]),
            sparse.vstack([rows, identity, -identity], format="csc"),
            np.concatenate([ends - rows @ here, *box]) / spread,
            same.shape[0],
        )
        if found is None:
            return None
        move, duals = found
        split = duals[same.shape[0] :][: len(limits)].reshape(len(self.tangents), -1)[:, int(weighted) :]
        worst, kept = np.zeros(len(aim.weights)), np.zeros(len(aim.weights))
        worst[self.racing] = split[:, : len(self.racing)].sum(axis=0)
        kept[self.limited] = split[:, len(self.racing) :].sum(axis=0)
        gain = spread * float(move[n:].sum() - move[:n] @ (bend @ move[:n]) * spread / 2)
        return Step(np.clip(tangent.at + spread * move[:n], problem.lower, problem.upper), gain, worst, kept)


def _wide(rows: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows over cells, over the two levels too: of the weighted sum, and of the worst-off."""
    return sparse.hstack([rows, sparse.csr_matrix((rows.shape[0], 2))], format="csr")


def quadratic(
    P: sparse.csc_matrix, q: Floats, A: sparse.csc_matrix, b: Floats, n_equal: int
) -> tuple[Floats, Floats] | None:
    """Minimise ``x @ P @ x / 2 + q @ x`` with ``A x = b`` in the first rows and ``A x <= b`` in the others."""
    import clarabel

    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
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


def _free(there: bool) -> tuple[float | None, float | None]:
    return (None, None) if there else (0.0, 0.0)
