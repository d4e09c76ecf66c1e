"""Route where lines multiply each other's effects, or free flighting meets S-shapes: search, and a bound beside.

A relaxed problem that is nowhere below the real one is solved by the routes that prove (`relaxed`): its bound
holds here too. Its plan, that without synergy, today's and a spread are improved with exact gradients
(`local`), and evolution goes on from them (`evolution`); its best plans are improved again. What is returned is
no worse than any start plan.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import InfeasibleError, SolverError
from .ascent import ascend, rises_of
from .cells import CellProblem
from .evolution import LATE, Evolution, evolve
from .forms import Goal
from .local import improve, is_local, proven_to
from .point import Point, Solver, evaluate
from .problem import KEPT, Problem
from .projection import Projection
from .relaxed import relaxed, unlinked
from .seeds import different, population, spread, today
from .shapes import Shapes, bought
from .values import form_values

Floats = NDArray[np.float64]
Pick = Callable[..., Solver]

# For one goal: plans a generation and in all; how many are improved with gradients before it and after.
ONE = Evolution(population=60, evaluations=6_000)
TRIED, POLISHED = 6, 5
# Plans closer than this, in money units, are improved to the same optimum.
APART = 1e-3
# The relaxed problem is solved to this, or as far as this share of the time goes.
RELAXED_TOLERANCE, RELAXED_SECONDS, SHARE = 1e-5, 30.0, 0.4
FAR = 1e2
# Rounds in which plans with shapes climb with every period free.
SHAPED_ROUNDS = 120
# The share of the time left that this takes at most: then lines swap flights, and the best plans climb alone.
SHAPING = 0.6
# The share of the time kept back for what comes after the search: whether small changes improve its plan.
KEPT_BACK = 0.05
# How often lines swap their flights between them.
CROSSED = 3
BOUNDED = "the bound is that of a simpler problem that is nowhere below this one"
UNBOUNDED = "nothing bounds how much better another could be"


def gradients(problem: Problem) -> str:
    """Return what plans are improved with, in words."""
    return "gradients, in part by differences" if len(problem.own) else "exact gradients"


class PlanSearch:
    """Plans as evolution sees them: genes are scaled spend, repaired by projection.

    Parameters
    ----------
    problem : Problem
        What plans are of.
    projection : Projection
        Onto its rules.
    goal : Goal, optional
        One score; all objective forms, each a score, unless given.
    """

    def __init__(self, problem: Problem, projection: Projection, goal: Goal | None = None) -> None:
        self.problem, self.projection, self.goal = problem, projection, goal
        self.lower, self.upper = projection.lower, projection.upper
        self.scores = len(problem.objectives) if goal is None else 1
        held = 0 if goal is None or goal.least is None else len(problem.objectives)
        self.limits = len(problem.floors) + held + 1

    def repair(self, genes: Floats) -> Floats:
        """Project plans (N, n)."""
        return self.projection(genes)[0]

    def evaluate(self, genes: Floats) -> tuple[Floats, Floats]:
        """Return scores, and the room in floors, held values and, the last column, rules."""
        u, room = form_values(self.problem, genes)
        parts = [room]
        if self.goal is not None and self.goal.least is not None:
            parts.append(u - self.goal.least)
        rules = np.where(self.projection.keeps(genes), 0.0, -1.0)
        return self._scores(u), np.column_stack([*parts, rules]) + KEPT

    def _scores(self, u: Floats) -> Floats:
        goal = self.goal
        if goal is None:
            return u
        worst = 0.0 if goal.reference is None else (u - goal.reference).min(axis=1)
        return np.asarray(u @ goal.weights + worst)[:, None]


class EvolveSolver:
    """Searches one problem for many goals.

    Parameters
    ----------
    problem : Problem
        Any, over line totals or over cells.
    pick : callable
        Picks a solver that proves, for the relaxed problem.
    deadline : float, optional
        When to stop with what there is, on the clock of `time.monotonic`.
    progress : callable, optional
        Called with the share of the work done, 0 to 1.
    settings : Evolution
        How large the search is.
    """

    name = "evolve"

    def __init__(
        self,
        problem: Problem,
        pick: Pick,
        deadline: float | None = None,
        progress: Callable[[float], None] | None = None,
        settings: Evolution = ONE,
    ) -> None:
        self.problem = problem
        self.pick = pick
        now = time.monotonic()
        self.deadline = np.inf if deadline is None else now + (1.0 - KEPT_BACK) * (deadline - now)
        self.progress = progress
        self.settings = settings
        self.projection = Projection(problem)
        self.solves = 0
        self._proven: list[tuple[Solver, bool]] | None = None
        self.why = (
            f"{problem.tangled or problem.curved}; plans were searched for from seed {settings.seed} and improved "
            f"with {gradients(problem)}, and "
        )
        self._above: Problem | None = None

    def maximise(self, goal: Goal, tolerance: float, near: Floats | None = None) -> Point:
        """Search for the best plan; the gap to the proven bound is told.

        ``near`` (n,), a guess at the plan, is one of those the search starts from.

        Raises
        ------
        InfeasibleError
            If no plan keeps every rule and floor: proven.
        SolverError
            If none was found that does.
        """
        self.solves += 1
        bound, guesses = self.bound(goal)
        flat = None
        if self.shapes is not None:
            flat, shaped = self._shaped(self.shapes, goal)
            guesses = [*shaped, *guesses]
        starts = self.starts(guesses if near is None else [near, *guesses])
        best = self.improved(starts, goal)
        if best is None or (bound - best.value > tolerance and not self._late()):
            best = self._evolved(starts, best, goal)
        if best is None:
            raise SolverError(
                "no plan was found that keeps every rule and floor, and none is proven to be impossible",
                "loosen a rule or a floor",
            )
        if self.progress is not None:
            self.progress(1.0)
        local = is_local(self.problem, self.projection, best, goal, self.settings.seed)
        why = self.why + (BOUNDED if self._above is not None else UNBOUNDED)
        if self._late():
            why += f"; {LATE}"
        if self.shapes is not None:
            why += f"; {bought(self.problem, best.u, flat)}"
        why += self.problem.own.said(len(best.z))
        return replace(proven_to(best, bound), why=why, local=local)

    def _late(self) -> bool:
        return time.monotonic() > self.deadline

    @cached_property
    def shapes(self) -> Shapes | None:
        """Flights with shapes; None where periods are fixed, or a function's part of a line is not known."""
        if not isinstance(self.problem, CellProblem) or len(self.problem.own):
            return None
        return Shapes(self.problem, self.projection)

    def _shaped(self, shapes: Shapes, goal: Goal) -> tuple[Floats | None, list[Floats]]:
        """What the best flat plan is worth (O,); plans that climbed from shapes with every period free, and it."""
        found = [] if self._late() else self._climbed(shapes, goal)
        plans, kept = shapes.flat(self.problem, [goal])
        real = evaluate(self.problem, plans[0], goal) if kept[0] else None
        return (None, found) if real is None else (real[0], [*found, plans[0]])

    def _climbed(self, shapes: Shapes, goal: Goal) -> list[Floats]:
        rises, project = rises_of(self.problem), self.projection
        plans = project(shapes.plans(goal, self.settings.seed))[0]
        now = time.monotonic()
        until = now + SHAPING * (self.deadline - now)
        goals = [goal] * len(plans)
        found = [*ascend(rises, project, plans, goals, SHAPED_ROUNDS, lambda _: time.monotonic() > until)]
        for _ in range(CROSSED):
            if self._late():
                break
            plans = project(shapes.crossed(np.array(found), goal))[0]
            found += [*ascend(rises, project, plans, [goal], SHAPED_ROUNDS, lambda _: self._late())]
        return found

    def bound(self, goal: Goal, tolerance: float = RELAXED_TOLERANCE) -> tuple[float, list[Floats]]:
        """Return what no plan exceeds, infinite where nothing bounds it, and plans that are best without synergy.

        ``tolerance`` is the gap to which the simpler problems are solved.

        Raises
        ------
        InfeasibleError
            If no plan keeps every rule and floor.
        """
        if self._proven is None:
            self._proven = self._relaxations()
        bound, guesses = np.inf, []
        for solver, bounds in self._proven:
            try:
                point = solver.maximise(goal, tolerance)
            except InfeasibleError:
                if bounds:
                    raise
                continue
            except SolverError:
                continue
            guesses.append(point.z)
            if bounds:
                bound = point.proof.bound
        return bound, guesses

    def _relaxations(self) -> list[tuple[Solver, bool]]:
        """Solvers that prove, and whether what they prove is a bound here."""
        problem = self.problem
        found: list[tuple[Solver, bool]] = []
        self._above = above = relaxed(problem)
        kinds = [(above, True)] if above is not None else []
        if problem.tangled and not problem.scenario.free:
            kinds.append((unlinked(problem), False))
        for kind, bounds in kinds:
            if kind.curved or kind.scenario.polyhedron.switches is not None:
                # No route takes floors over the worst draws there; without them the bound is only higher.
                kind.floors = tuple(form for form in kind.floors if form.tail is None)
                # Nor means over them: the mean over all draws is nowhere below.
                kind.objectives = tuple(replace(form, tail=None) for form in kind.objectives)
            found.append((self._solver(kind), bounds))
        return found

    def _solver(self, problem: Problem) -> Solver:
        seconds = min(RELAXED_SECONDS, SHARE * max(self.deadline - time.monotonic(), 1.0))
        return self.pick(problem, deadline=time.monotonic() + seconds)

    def starts(self, guesses: list[Floats]) -> Floats:
        """Plans to start from that keep the linear rules: (P, n)."""
        problem, projection = self.problem, self.projection
        found, again = np.empty((0, len(problem.lower))), np.empty((0, len(problem.lower)))
        if len(guesses):
            # What a solver proved keeps the rules but for rounding: their choice of lines is known to be possible.
            plans, kept = projection(np.array(guesses))
            found, again = plans[kept], np.array(guesses)[~kept]
            projection.safe = different(np.vstack([projection.safe, found]))
        many = max(4 * TRIED, self.settings.population // 2)
        others = np.vstack([today(problem), spread(problem, many, self.settings.seed)])
        if len(projection.safe) and self._late():
            others = others[:1]
        plans, kept = projection(np.vstack([again, others]))
        found = np.vstack([found, plans[kept]])
        if not len(found):
            raise SolverError("no plan was found that keeps every rule", "loosen a rule")
        projection.safe = different(np.vstack([projection.safe, found]))[: self.settings.population]
        return different(found)

    def improved(self, plans: Floats, goal: Goal, most: int | None = None) -> Point | None:
        """The best of the plans' local optima: the first ones, and the best of the others."""
        values, room = PlanSearch(self.problem, self.projection, goal).evaluate(plans)
        missing = np.minimum(room, 0.0).sum(axis=1)
        order = np.lexsort((-values[:, 0], -missing))
        first = list(range(min(len(plans), TRIED // 2))) if most is None else []
        chosen: list[int] = []
        for index in [*first, *order.tolist()]:
            if len(chosen) == (most or TRIED):
                break
            if all(np.abs(plans[index] - plans[other]).max() > APART for other in chosen):
                chosen.append(index)
        points = [improve(self.problem, self.projection, plans[index], goal, self._late) for index in chosen]
        if self._late() and all(point is None for point in points):
            # Better late than no plan that keeps every floor.
            points = [improve(self.problem, self.projection, plans[chosen[0]], goal)]
        return max((point for point in points if point is not None), key=lambda point: point.value, default=None)

    def _evolved(self, starts: Floats, best: Point | None, goal: Goal) -> Point | None:
        good = starts if best is None else np.vstack([best.z, starts])
        search = PlanSearch(self.problem, self.projection, goal)
        settings = replace(self.settings, checkpoint=None, report=None)
        first = population(self.problem, self.projection, good, settings.population, settings.seed)
        found = evolve(search, first, settings, deadline=self.deadline, progress=self.progress)
        better = self.improved(found.genes, goal, POLISHED)
        if best is None or (better is not None and better.value > best.value):
            return better
        return best
