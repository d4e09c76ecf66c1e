"""Shapes of flights: continuity, bursts, pulses, a share by period; a few numbers a line instead of one a period.

What a line does for each KPI is simulated for every shape at a few totals, each line alone. How much each line
gets, and in which shape, is then a split of the budget between lines (dynamic programming on a grid). Where
effects add up that is the best plan of the library but for the grid; in any case it is a place to climb from with
every period free. Shapes keep the pacing rules, which hold for a line whatever it spends.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..constraints import chosen
from ..simulate import Simulator
from .ascent import Rises, ascend
from .cells import CellProblem
from .forms import Goal
from .problem import Problem
from .projection import Projection
from .values import form_rises

Floats = NDArray[np.float64]

# Bursts by number and length in periods, and where in their turn they begin; what pulses keep on between bursts.
NUMBERS, LENGTHS = (1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 26), (1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 20, 26, 39)
PHASES, BASE = (0.0, 0.25, 0.5, 0.75), 0.4
# Shares of a line's most that are simulated, and steps of the budget that lines share out.
LEVELS, FINE = (np.concatenate([[0.0], np.geomspace(0.004, 1.0, n)]) for n in (17, 60))
STEPS = 200
# Draws that are enough to choose shapes by; the climb counts all of them.
DRAWS = 32
# Plans with values out by about this share give other choices nearly as good.
NOISE, OTHERS = 0.03, 6
# Rounds of the climb with lines flat.
FLAT_ROUNDS = 60
FLAT, FOLLOWING, BURSTS, PULSES = range(4)


def library(periods: int, seasons: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return shares by period of each shape (P, T), flat first, and each one's kind (P,).

    ``seasons`` (S, T) are shares that flights may follow.
    """
    found, kinds = [np.full(periods, 1.0 / periods)], [FLAT]
    for season in seasons:
        if season.sum() > 0 and np.ptp(season) > 0:
            found.append(season / season.sum())
            kinds.append(FOLLOWING)
    for number in NUMBERS:
        turn = periods / number
        for length in LENGTHS:
            if length >= turn:
                continue
            for phase in PHASES:
                begins = np.floor((np.arange(number) + phase) * turn).astype(int)
                on = np.zeros(periods)
                on[(begins[:, None] + np.arange(length)).reshape(-1) % periods] = 1.0
                found += [on / on.sum(), BASE / periods + (1.0 - BASE) * on / on.sum()]
                kinds += [BURSTS, PULSES]
    return np.array(found), np.array(kinds)


class Shapes:
    """Plans of one problem over cells whose lines have shapes.

    Parameters
    ----------
    problem : CellProblem
        Any.
    projection : Projection
        Onto its rules.
    """

    def __init__(self, problem: CellProblem, projection: Projection) -> None:
        self.problem, self.projection = problem, projection
        scenario, n_lines = problem.scenario, len(problem.order)
        shares, self.kinds = library(problem.periods, scenario.season)
        history = scenario.history[problem.order]
        # (L, P, T); the last shape of a line follows its own past, or is flat where it has none.
        past = np.full((n_lines, 1, problem.periods), 1.0 / problem.periods)
        for line, spent in enumerate(history):
            if spent.sum() > 0:
                again = np.resize(spent, problem.periods)
                past[line, 0] = again / again.sum() if again.sum() > 0 else past[line, 0]
        self.shares = np.concatenate([np.broadcast_to(shares, (n_lines, *shares.shape)), past], axis=1)
        self.kinds = np.append(self.kinds, FOLLOWING)
        for index, rule in enumerate(scenario.spec.constraints.pacing):
            picked = chosen(rule.select, scenario.spec.lines, ("constraints", "pacing", index, "select"))
            up, down = (np.inf if rule.up is None else rule.up), (1.0 if rule.down is None else rule.down)
            for line in np.flatnonzero(picked[problem.order]).tolist():
                self.shares[line] = paced(self.shares[line], up, down)
        self.levels = LEVELS
        self.least, self.most = _totals(problem)

    @cached_property
    def table(self) -> Floats:
        """Scaled mean effects of each line alone, by shape and level: (L, P, G, K)."""
        problem, size = self.problem, self.problem.size
        found = np.empty((*self.shares.shape[:2], len(self.levels), len(size)))
        for line, of in enumerate(problem.order):
            alone = _alone(problem.simulator, int(of))
            cells = self.shares[line][:, None, :] * (self.most[line] * self.levels)[None, :, None] * problem.money
            flat = cells.reshape(-1, 1, problem.periods)
            found[line] = (alone.line_outcomes(flat).mean(axis=1) / size).reshape(found[line].shape)
        return found

    def plans(self, goal: Goal, seed: int) -> Floats:
        """Return plans good for a goal, before any rule but the budget: (S, n).

        The best of the library; the best of each kind; and what is best with values a little wrong.
        """
        rng = np.random.default_rng(seed)
        worth = self._worth(goal)
        found = [self.best(goal)]
        found += [
            self.best(goal, np.isin(self.kinds, kinds)) for kinds in ((FLAT,), (FLAT, BURSTS), (FLAT, PULSES))
        ]
        for _ in range(OTHERS):
            found.append(self._shared_out(worth * (1.0 + NOISE * rng.normal(size=worth.shape[:2])[:, :, None])))
        return np.array(found)

    def crossed(self, plans: Floats, goal: Goal) -> Floats:
        """Return the best plan whose lines have flights of these plans (S, n), larger or smaller: (n,)."""
        periods = self.problem.periods
        flights = np.moveaxis(np.maximum(plans, 0.0).reshape(len(plans), -1, periods), 0, 1)
        totals = flights.sum(axis=2, keepdims=True)
        other = copy.copy(self)
        vars(other).pop("table", None)
        other.levels = FINE
        other.shares = np.where(totals > 1e-9, flights / np.maximum(totals, 1e-9), 1.0 / periods)
        return other.best(goal)

    def best(self, goal: Goal, allowed: NDArray[np.bool_] | None = None) -> Floats:
        """Return the best plan with shapes of the library, or of the ``allowed`` (P,) ones: (n,)."""
        worth = self._worth(goal)
        if allowed is not None:
            worth = np.where(allowed[None, :, None], worth, -np.inf)
        return self._shared_out(worth)

    def _worth(self, goal: Goal) -> Floats:
        """What the goal makes of each line in each shape at each level: (L, P, G)."""
        problem = self.problem
        counted = goal.weights + (0.0 if goal.reference is None else 1.0 / len(goal.weights))
        forms = problem.objectives
        kpis = counted @ np.array([form.kpis for form in forms])
        spend = float(counted @ np.array([form.spend for form in forms]))
        return np.asarray(self.table @ kpis + spend * (self.most[:, None] * self.levels)[:, None, :])

    def _shared_out(self, worth: Floats) -> Floats:
        """Share the budget out between lines, in steps (dynamic programming): the plan (n,)."""
        totals = np.arange(STEPS + 1) / STEPS
        best = np.full(STEPS + 1, 0.0)
        taken: list[NDArray[np.int64]] = []
        chosen: list[NDArray[np.int64]] = []
        for line in range(len(worth)):
            at = self.most[line] * self.levels
            fewest, n_steps = (int(end * STEPS + 1e-9) for end in (self.least[line], self.most[line]))
            right = np.clip(np.searchsorted(at, totals[: n_steps + 1]), 1, len(at) - 1)
            share = (totals[: n_steps + 1] - at[right - 1]) / np.maximum(at[right] - at[right - 1], 1e-300)
            known = np.isfinite(worth[line]).all(axis=1)
            values = np.full((len(worth[line]), n_steps + 1), -np.inf)
            low, high = worth[line][known][:, right - 1], worth[line][known][:, right]
            values[known] = low + share * (high - low)
            chosen.append(values.argmax(axis=0))
            alone = values.max(axis=0)
            after, how = np.full(STEPS + 1, -np.inf), np.zeros(STEPS + 1, dtype=np.int64)
            for step, value in enumerate(alone[fewest:], fewest):
                trial = np.append(np.full(step, -np.inf), best[: STEPS + 1 - step] + value)
                better = trial > after
                after[better], how[better] = trial[better], step
            best = after
            taken.append(how)
        left = STEPS if self._exactly else int(best.argmax())
        plan = np.zeros(self.shares[:, 0].shape)
        for line in range(len(worth) - 1, -1, -1):
            step = int(taken[line][left])
            plan[line] = totals[step] * self.shares[line, chosen[line][step]]
            left -= step
        return plan.reshape(-1)

    @property
    def _exactly(self) -> bool:
        return self.problem.scenario.spec.constraints.budget.total is not None

    def flat(self, problem: Problem, goals: list[Goal]) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the best flat plans found for goals on a problem's scale (W, n), and which keep all rules."""
        n_lines, periods = self.problem.order.size, self.problem.periods
        even = sparse.csr_matrix(sparse.kron(sparse.eye_array(n_lines), np.full((periods, 1), 1.0 / periods)))
        rules = self.problem.within(
            periods * self.problem.lower.reshape(n_lines, -1).max(axis=1),
            periods * self.problem.upper.reshape(n_lines, -1).min(axis=1),
        )
        rules.A = sparse.csr_matrix(rules.A @ even)
        _box(rules)
        project = Projection(rules)
        starts = np.array([self.best(goal, self.kinds == FLAT) for goal in goals])
        totals, kept = project(starts.reshape(len(goals), n_lines, -1).sum(axis=2))
        totals = ascend(self._flat_rises(problem), project, totals, goals, FLAT_ROUNDS)
        return np.repeat(totals / periods, periods, axis=1), kept

    def _flat_rises(self, problem: Problem) -> Rises:
        periods = self.problem.periods

        def rises(totals: Floats) -> tuple[Floats, Floats, Floats, Floats]:
            u, room, by_cell, room_by_cell = form_rises(problem, np.repeat(totals / periods, periods, axis=1))
            return u, room, _by_line(by_cell, periods), _by_line(room_by_cell, periods)

        return rises


def _by_line(rises: Floats, periods: int) -> Floats:
    """Slopes by line total, spread evenly, from those by cell."""
    return np.asarray(rises.reshape(*rises.shape[:2], rises.shape[2] // periods, periods).mean(axis=3))


def _box(rules: Problem) -> None:
    """Make bounds of rows with one variable each: a projection takes them from there."""
    single = np.flatnonzero(np.diff(rules.A.indptr) == 1)
    for row in single.tolist():
        column, factor = rules.A.indices[rules.A.indptr[row]], rules.A.data[rules.A.indptr[row]]
        end = rules.b[row] / factor
        if factor > 0 or rules.equal[row]:
            rules.upper[column] = min(rules.upper[column], end)
        if factor < 0 or rules.equal[row]:
            rules.lower[column] = max(rules.lower[column], end)


def _totals(problem: CellProblem) -> tuple[Floats, Floats]:
    """The least and the most that each line may spend, by its cells and by rows over all of them: (L,) each."""
    periods, A = problem.periods, sparse.csr_matrix(problem.A)
    least = problem.lower.reshape(-1, periods).sum(axis=1)
    most = np.minimum(problem.upper.reshape(-1, periods).sum(axis=1), 1.0)
    for row in np.flatnonzero(np.diff(A.indptr) == periods).tolist():
        at = slice(A.indptr[row], A.indptr[row + 1])
        lines, factors = A.indices[at] // periods, A.data[at]
        if np.ptp(lines) == 0 and np.ptp(factors) == 0:
            line, end = lines[0], problem.b[row] / factors[0]
            if factors[0] > 0 or problem.equal[row]:
                most[line] = min(most[line], end)
            if factors[0] < 0 or problem.equal[row]:
                least[line] = max(least[line], end)
    return np.minimum(least, most), most


def _alone(simulator: Simulator, line: int) -> Simulator:
    """The simulator of one line, without what others add to it, over some of the draws."""
    by_line = {name: getattr(simulator, name)[line : line + 1] for name in ("unit", "per_currency", "history")}
    names = ("weights", "length", "after", "family", "scale", "first", "second", "knots")
    by_kpi = {name: getattr(simulator, name)[:, line : line + 1] for name in names}
    some = slice(None, None, max(1, simulator.scale.shape[2] // DRAWS))
    by_kpi |= {name: by_kpi[name][..., some] for name in ("weights", "scale", "first", "second")}
    arrays = {name: np.ascontiguousarray(array) for name, array in (by_line | by_kpi).items()}
    return replace(simulator, **arrays, links=None)


def paced(shares: Floats, up: float, down: float) -> Floats:
    """Return shares (P, T) that move by no more than ``up`` and ``down`` from one period to the next.

    The lowest series nowhere below them that does, scaled back: whatever a line spends keeps the rule.
    """
    found = shares.copy()
    for t in range(1, found.shape[1]):
        found[:, t] = np.maximum(found[:, t], (1.0 - down) * found[:, t - 1])
    for t in range(found.shape[1] - 2, -1, -1):
        found[:, t] = np.maximum(found[:, t], found[:, t + 1] / (1.0 + up))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def bought(problem: Problem, u: Floats, flat: Floats | None, where: str = "") -> str:
    """Return what free flighting buys over the best flat plan found, KPI by KPI, in words.

    Parameters
    ----------
    u, flat : (O,)
        Objective forms of the plan and of the flat one; None where no flat plan was found.
    where : str
        What is compared, where it is not the plan.
    """
    if flat is None:
        return "no flat plan was found that keeps every rule"
    parts = []
    for form, own, even in zip(problem.objectives, u, flat, strict=True):
        new, old = float(form.kpi(own)), float(form.kpi(even))
        share = f" ({(new - old) / abs(old):+.1%})" if old else ""
        parts.append(f"{form.name} {new:,.6g} instead of {old:,.6g}{share}")
    where = f", {where}" if where else ""
    return f"what free flighting buys over the best flat plan found{where}: " + ", ".join(parts)
