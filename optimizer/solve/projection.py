"""The nearest plan that keeps the rules: Euclidean projection onto the polyhedron, on/off rules and packages kept.

Which lines are on is decided first, as near to the plan as it goes; what is then left is a polyhedron, and the
projection onto it is exact (`kernels_projection`). Where a choice of lines leaves no plan at all, the choice of a
plan known to keep the rules is taken instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..constraints import Switches
from .linearised import quadratic
from .problem import Problem, switches_of

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# A line that spends more than this, in money units, is on.
ON = 1e-12
# Plans whose rules are missed by no more than this, in money units, keep them.
KEPT = 1e-10
# Newton steps a plan before the active-set method takes over.
ROUNDS = 20
# From so many rows on Newton may not arrive, and an interior-point solver is quicker, asked for this.
MANY, CLOSE = 100, 1e-13


class Projection:
    """Projects plans onto the rules of one problem.

    Parameters
    ----------
    problem : Problem
        With a box around its polyhedron; over line totals or over cells.
    """

    def __init__(self, problem: Problem) -> None:
        A = sparse.csr_matrix(problem.A)
        several = np.diff(A.indptr) > 1
        rows = A[several]
        # Rows of length one, so that misses and multipliers are in units of the plan.
        length = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).reshape(-1))
        self.rows = sparse.csr_matrix(sparse.diags_array(1.0 / length) @ rows) if len(length) else rows
        self.b = problem.b[several] / length
        self.equal = np.ascontiguousarray(problem.equal[several])
        self.lower = np.minimum(np.maximum(problem.lower, 0.0), problem.upper)
        self.upper = problem.upper
        self.switches = None if problem.scenario.free else switches_of(problem)
        # Plans known to keep every rule, whose choice of lines others may fall back on.
        self.safe = np.empty((0, len(self.lower)))

    def __call__(self, plans: Floats) -> tuple[Floats, Bools]:
        """Project plans (N, n); return what they became, and which of them keep every rule: (N,).

        Without on/off rules a plan fails only where no plan keeps the rules at all.
        """
        plans = np.ascontiguousarray(np.atleast_2d(plans))
        shape = plans.shape
        low, high = (np.broadcast_to(end, shape).copy() for end in (self.lower, self.upper))
        if self.switches is None:
            return self._within(plans, low, high)
        found, kept = self._switched(plans, self._chosen(plans), low, high)
        for _ in range(2):
            lost = np.flatnonzero(~kept)
            if not len(lost) or not len(self.safe):
                break
            near = np.linalg.norm(plans[lost][:, None] - self.safe[None], axis=2).argmin(axis=1)
            like = self.safe[near]
            found[lost], kept[lost] = self._switched(plans[lost], like > ON, low[lost], high[lost], like)
            plans[lost] = like
        return found, kept

    def keeps(self, plans: Floats) -> Bools:
        """Return which plans (N, n) keep every rule, as they are: (N,)."""
        room = self.b - plans @ self.rows.T if len(self.b) else np.zeros((len(plans), 0))
        room = np.where(self.equal, -np.abs(room), room)
        kept = np.all(room >= -KEPT, axis=1)
        kept &= np.all((plans >= self.lower - KEPT) & (plans <= self.upper + KEPT), axis=1)
        if self.switches is not None:
            kept &= np.array([self.switches.kept(plan, KEPT) for plan in plans], dtype=bool)
        return np.asarray(kept)

    def _within(self, plans: Floats, low: Floats, high: Floats) -> tuple[Floats, Bools]:
        """Project onto the rows and a box for each plan."""
        from ..kernels_projection import project_row, project_rows

        out, miss = np.empty_like(plans), np.zeros(len(plans))
        possible = np.all(low <= high + KEPT, axis=1)
        low = np.minimum(low, high)
        if len(self.b) == 0:
            out = np.clip(plans, low, high)
        elif len(self.b) == 1:
            row = self.rows.toarray()[0]
            project_row(plans, low, high, row, float(self.b[0]), bool(self.equal[0]), out, miss)
        else:
            starts, columns = self.rows.indptr.astype(np.int64), self.rows.indices.astype(np.int64)
            factors = np.ascontiguousarray(self.rows.data)
            lost = np.arange(len(plans))
            if len(self.b) >= MANY:
                out, miss = self._many(plans, low, high)
                lost = np.flatnonzero(miss > KEPT)
            found, left = np.empty((len(lost), plans.shape[1])), np.empty(len(lost))
            ends = low[lost], high[lost]
            project_rows(plans[lost], *ends, starts, columns, factors, self.b, self.equal, ROUNDS, found, left)
            out[lost], miss[lost] = found, left
        return out, possible & (miss <= KEPT)

    def _many(self, plans: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """Project onto many rows with an interior-point solver: what plans become, and what they miss (N,)."""
        order = np.argsort(~self.equal, kind="stable")
        identity = sparse.eye_array(plans.shape[1], format="csc")
        rows = sparse.csc_matrix(sparse.vstack([self.rows[order], identity, -identity]))
        out = np.clip(plans, low, high)
        for k, plan in enumerate(plans):
            if np.array_equal(out[k], plan) and self._missed(plan[None])[0] <= KEPT:
                continue
            ends = np.concatenate([self.b[order], high[k], -low[k]])
            found = quadratic(identity, -plan, rows, ends, int(self.equal.sum()), CLOSE)
            if found is not None:
                out[k] = np.clip(found[0], low[k], high[k])
        return out, self._missed(out)

    def _missed(self, plans: Floats) -> Floats:
        """By how much plans (N, n) miss the rows at most: (N,)."""
        room = self.b - plans @ self.rows.T
        return np.asarray(np.where(self.equal, np.abs(room), -room).max(axis=1))

    def _chosen(self, plans: Floats) -> Bools:
        """Which lines are on: those nearer to their least spend than to nothing, the largest where few may be."""
        switches = self._rules
        on = plans > np.maximum(0.5 * switches.least, ON)
        forced = self.lower > ON
        on |= forced | ~switches.decided
        on &= self.upper > ON
        for _, mask, count in switches.most:
            # Lines that must be on come first, then those that spend most.
            rank = np.where(forced, np.inf, plans)
            rank = np.where(mask & on, rank, -np.inf)
            behind = np.argsort(np.argsort(-rank, axis=1, kind="stable"), axis=1)
            on &= ~mask | (behind < count)
        return on

    def _switched(
        self, plans: Floats, on: Bools, low: Floats, high: Floats, like: Floats | None = None
    ) -> tuple[Floats, Bools]:
        """Project with these lines on; packages are rounded, or those of ``like`` (N, n) where given."""
        switches = self._rules
        off = switches.decided & ~on
        high = np.where(off, 0.0, high)
        low = np.where(off, np.minimum(low, 0.0), np.where(switches.decided, np.maximum(low, switches.least), low))
        possible = np.all(np.where(off, self.lower, 0.0) <= ON, axis=1)
        packed = switches.package > 0
        if not packed.any():
            found, kept = self._within(plans, low, high)
            return found, kept & possible
        size = np.where(packed, switches.package, 1.0)
        first = self._within(plans, low, high)[0] if like is None else like
        least, most = np.ceil(low / size - 1e-9), np.floor(high / size + 1e-9)
        whole = size * np.clip(np.round(first / size), least, np.maximum(least, most))
        low, high = np.where(packed, np.maximum(low, whole), low), np.where(packed, np.minimum(high, whole), high)
        found, kept = self._within(plans, low, high)
        return found, kept & possible

    @property
    def _rules(self) -> Switches:
        assert self.switches is not None
        return self.switches
