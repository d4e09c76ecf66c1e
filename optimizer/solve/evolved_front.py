"""Fronts where lines multiply each other's effects, or spend is free over the periods: search, and a bound beside.

Weighted sums of a problem that is nowhere below the real one (`relaxed`) bound the front and give the first plans;
these are improved with exact gradients, and evolution goes on from them. In the end plans spread over the front
are improved on all objectives at once. No start plan is lost but to one that is as good on every objective.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import SolverError, SpecError
from ..front import Front, non_dominated, spend_columns
from ..front_certificate import FrontCertificate, share_missing
from ..measured import kpi_means
from ..simulate import Simulator
from ..versions import versions
from ..volumes import dominated_volume
from .ascent import ascend, rises_of
from .box import Box
from .cells import CellProblem
from .chance import chance_floors
from .evolution import INTERRUPTED, LATE, Evolution, Generation, evolve, measured
from .evolve import EvolveSolver, PlanSearch, gradients
from .forms import Goal
from .frontier import MOST_OBJECTIVES, STRICT
from .local import improve, is_local
from .outer import LEAST_WEIGHT, Outer, volume, weights
from .payoff import freeze_scale
from .point import Solver
from .problem import KEPT, Problem
from .seeds import different, population
from .shapes import Shapes, bought
from .tradeoff import AUGMENT, goal_of
from .values import form_values

if TYPE_CHECKING:
    from ..scenario import Scenario

Floats = NDArray[np.float64]
Pick = Callable[..., Solver]

# So much of the time goes into bounds and first plans, and so many plans are improved in the end.
SEEDING, POLISHED = 0.4, 24
# Rounds of climbing side by side.
CLIMBED = 40
# Simpler problems are solved to this, in steps: their bounds hold whatever it is.
ROUGH = 1e-3
# Share of the work done before evolution and after it, for progress.
SEEDED, EVOLVED = 0.2, 0.9
# Values are compared to this, in steps of the box.
DIGITS = 9


def find_evolved_front(
    scenario: Scenario,
    settings: Evolution,
    tolerance: float,
    pick: Pick,
    time_limit: float,
    progress: Callable[[float], None] | None,
) -> Front:
    """Search for a front; see `routes.frontier`."""
    names = scenario.objectives
    if not 2 <= len(names) <= MOST_OBJECTIVES:
        raise SpecError(
            f"a front needs two to five objectives, not {len(names)}",
            "give two to five KPIs a weight and a scale",
            path=("preferences",),
        )
    ends = time.monotonic() + time_limit
    scenario = freeze_scale(scenario, pick)
    search = _Search(scenario, settings, pick, ends, progress)
    search.run()
    return search.front(tolerance)


class _Search:
    """One search for a front; it may be interrupted (Ctrl-C), or run out of time, and keeps what it has."""

    def __init__(
        self,
        scenario: Scenario,
        settings: Evolution,
        pick: Pick,
        ends: float,
        progress: Callable[[float], None] | None,
    ) -> None:
        self.scenario, self.settings, self.ends = scenario, settings, ends
        self.progress = progress
        self.base = _problem(scenario)
        self.solver = EvolveSolver(self.base, pick, time.monotonic() + SEEDING * (ends - time.monotonic()))
        self.projection = self.solver.projection
        self.outer = Outer(self.base)
        # Plans that keep all rules and floors (N, n), and their objectives on the base's scale.
        self.z = np.empty((0, len(self.base.lower)))
        self.u = np.empty((0, len(self.base.objectives)))
        # Where evolution starts: plans that keep the linear rules.
        self.starts = self.z
        self.scaled = self.base
        # Objectives of the best flat plans, where periods are free.
        self.flat = self.u
        self.solves = self.generations = self.polished = self.settled = 0
        self.algorithm = self.ended = ""

    def run(self) -> None:
        """Search until evolution ends, or the search is stopped."""
        try:
            self._first()
            self._bounds()
            self._tell(SEEDED)
            self._evolve()
            self._polish()
        except KeyboardInterrupt:
            self.ended = INTERRUPTED
        self._tell(1.0)

    def _first(self) -> None:
        """Improve each objective alone, which makes the box, then plans along lines through it in direction 1."""
        n = len(self.base.objectives)
        goals = [Goal(row) for row in _tie_breaking(n)]
        try:
            self.starts = self.solver.starts([])
        except SolverError:
            # What a solver proves best for a simpler problem shows which lines can be on together.
            self.starts = self.solver.starts([z for goal in goals for z in self.solver.bound(goal, ROUGH)[1]])
        self._take(self.starts)
        self._report()
        if self.solver.shapes is not None:
            self._shape(self.solver.shapes)
        # Each objective alone, which makes the box, and weighted sums of all.
        self._ascend([Goal(w) for w in (*_tie_breaking(n), *weights(n)[n:])], CLIMBED)
        self.scaled = self._boxed()
        # Weighted sums miss the hollows of a front; these do not.
        self._ascend([Goal(np.full(n, AUGMENT / n), w) for w in weights(n)], CLIMBED)

    def _shape(self, shapes: Shapes) -> None:
        """Start from flights with shapes, and remember the best flat plans."""
        goals = [Goal(w) for w in weights(len(self.base.objectives))]
        plans, kept = self.projection(np.array([shapes.best(goal) for goal in goals]))
        self.starts = different(np.vstack([plans[kept], self.starts]))
        self._take(plans[kept])
        self._report()
        plans, kept = shapes.flat(self.base, goals)
        self._take(plans[kept])
        u, room = form_values(self.base, plans[kept])
        self.flat = u[np.all(room >= -KEPT, axis=1)]

    def _ascend(self, goals: list[Goal], rounds: int, others: Floats | None = None) -> None:
        """Improve, side by side, the best plan known for each goal on the scaled problem, or others (N, n)."""
        if others is None:
            known = self.z if len(self.z) else self.starts
            u = form_values(self.scaled, known)[0]
            others = known[[int(np.argmax([goal.value(row) for row in u])) for goal in goals]]
        if not len(others):
            return

        def watch(plans: Floats) -> bool:
            self._take(plans)
            self._report()
            return self._late()

        self._take(ascend(rises_of(self.scaled), self._projected, others, goals, rounds, watch))
        self._report()

    def _projected(self, plans: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        return self.projection(plans)

    def _bounds(self) -> None:
        """Bound weighted sums and improve the plans that come with them, as far as the time for them goes."""
        n, deadline = len(self.scaled.objectives), self.solver.deadline
        solver = EvolveSolver(self.scaled, self.solver.pick, deadline)
        solver.projection = self.projection
        found: list[tuple[Goal, Floats]] = []
        for index, w in enumerate(weights(n)):
            if time.monotonic() > deadline and index >= n:
                break
            goal = Goal(w)
            bound, guesses = solver.bound(goal, ROUGH)
            self.solves += 1
            self.outer.add(w, bound, self.scaled)
            near, kept = self.projection(np.array(guesses).reshape(-1, self.z.shape[1]))
            self.starts = different(np.vstack([self.starts, near[kept]]))
            self._take(near[kept])
            self._report()
            found += [(goal, z) for z in near[kept]]
        if found:
            goals, near = [goal for goal, _ in found], np.array([z for _, z in found])
            self._ascend(goals, CLIMBED, near)

    def _evolve(self) -> None:
        most = self.settings.population // 2
        first = different(np.vstack([self._chosen(most), self.starts]))[:most]
        first = population(self.base, self.projection, first, self.settings.population, self.settings.seed)
        box = Box(self.base, self._table())
        preferences = self.scenario.spec.preferences
        found = evolve(
            PlanSearch(self.base, self.projection),
            first,
            self.settings,
            key=self._key(),
            deadline=self.ends,
            targets=goal_of(self.base).reference if preferences.mode == "targets" else None,
            box=(box.low, box.best),
            progress=lambda done: self._tell(SEEDED + (EVOLVED - SEEDED) * done),
        )
        self.generations, self.algorithm, self.ended = found.generation, found.algorithm, found.ended
        self._take(found.genes)
        self.scaled = self._boxed()

    def _polish(self) -> None:
        """Improve plans spread over the front on all objectives at once, until the time is over."""
        if self.ended == INTERRUPTED:
            return
        n = len(self.scaled.objectives)
        for z in self._chosen(POLISHED):
            if self._late():
                self.ended = LATE
                return
            u = form_values(self.scaled, z[None])[0][0]
            goal = Goal(np.full(n, AUGMENT / n), u)
            point = improve(self.scaled, self.projection, z, goal, self._late)
            if point is None:
                continue
            self.polished += 1
            self.settled += is_local(self.scaled, self.projection, point, goal, self.settings.seed)
            self._take(point.z[None])

    def _late(self) -> bool:
        return time.monotonic() > self.ends

    def _take(self, plans: Floats) -> None:
        """Keep plans (N, n) that keep all rules and floors, and no other is better than."""
        u, room = PlanSearch(self.base, self.projection).evaluate(plans)
        kept = np.all(room >= 0.0, axis=1)
        self.z, self.u = np.vstack([self.z, plans[kept]]), np.vstack([self.u, u[kept]])
        if len(self.z):
            keep = non_dominated(np.round(self._steps(), DIGITS))
            self.z, self.u = self.z[keep], self.u[keep]

    def _steps(self) -> Floats:
        """Objectives of the plans kept, in steps of what they span."""
        low, high = self.u.min(axis=0), self.u.max(axis=0)
        return (self.u - low) / np.where(high > low, high - low, 1.0)

    def _chosen(self, most: int) -> Floats:
        """Plans kept that lie far apart, each objective's best first: (M, n)."""
        if not len(self.z):
            return self.z
        steps = self._steps()
        chosen = list(dict.fromkeys(int(i) for i in steps.argmax(axis=0)))
        distance = np.min([np.linalg.norm(steps - steps[i], axis=1) for i in chosen], axis=0)
        while len(chosen) < min(most, len(steps)):
            chosen.append(int(distance.argmax()))
            distance = np.minimum(distance, np.linalg.norm(steps - steps[chosen[-1]], axis=1))
        return self.z[chosen]

    def _table(self) -> Floats:
        """The payoff table of the plans kept, on the base's scale; of the start plans where none is kept."""
        u = self.u if len(self.u) else PlanSearch(self.base, self.projection).evaluate(self.starts)[0]
        # Ties are broken in favour of the others.
        worth = u @ _tie_breaking(u.shape[1]).T
        return u[worth.argmax(axis=0)]

    def _boxed(self) -> Problem:
        scaled = _problem(self.scenario, Box(self.base, self._table()).ends(self.base))
        # One count of what functions were asked for.
        scaled.own = self.base.own
        return scaled

    def _tell(self, done: float) -> None:
        if self.progress is not None:
            self.progress(done)

    def _report(self) -> None:
        if self.settings.report is not None and len(self.u):
            box = Box(self.base, self._table())
            steps = measured(self.u, (box.low, box.best))
            self.settings.report(Generation(0, 0, dominated_volume(steps), self.u))

    def _key(self) -> str:
        settings = self.settings
        name = "" if settings.algorithm is None else getattr(settings.algorithm, "__name__", "given")
        return f"front {self.scenario.hash} {settings.population} {settings.seed} {name} {versions()}"

    def front(self, tolerance: float) -> Front:
        """Return the front of the plans kept.

        Raises
        ------
        SolverError
            If there is none.
        """
        if not len(self.z):
            raise SolverError(
                "no plan was found that keeps every rule and floor, and none is proven to be impossible",
                "loosen a rule or a floor",
            )
        scenario, base = self.scenario, self.base
        self.scaled = scaled = self._boxed()
        limits = self.outer.limits(scaled)
        attained = dominated_volume(form_values(scaled, self.z)[0])
        bound = max(volume(limits, self.u.shape[1]), attained) if limits is not None else float("nan")
        gap = share_missing(attained, bound)
        strict = bool(chance_floors(scenario))
        certificate = FrontCertificate(
            "global" if gap <= tolerance and not strict else "none",
            attained,
            bound,
            gap,
            {form.name: float(form.worst) for form in scaled.objectives},
            "evolved_front",
            self._why(gap) + (STRICT if strict else ""),
            self.solves,
            False,
            self.ended if not gap <= tolerance else "",
            self.settings.seed,
        )
        names = list(scenario.objectives)
        table = self._table()
        payoff = pd.DataFrame(
            {form.name: form.kpi(table[:, column]) for column, form in enumerate(base.objectives)}, index=names
        )
        points, current = _tables(scenario, base, self.z)
        return Front(scenario, points, payoff, current, certificate, None if strict else limits)

    def _why(self, gap: float) -> str:
        base = self.base
        cause = base.tangled or base.curved or "it was asked for"
        how = (
            f"{cause}; plans were searched for from seed {self.settings.seed} by evolution"
            f" ({self.algorithm or 'not begun'}, {self.generations} generations)"
        )
        local = (
            f"; of {self.polished} improved with {gradients(base)} {self.settled} are local optima: no small "
            "change betters all objectives at once"
        )
        if np.isfinite(gap):
            bound = (
                "; the bound is that of a simpler problem that is nowhere below this one: missing plans "
                f"could add at most {100 * gap:.2g} % to what is covered"
            )
        else:
            bound = "; nothing bounds what is missing"
        return how + (local if self.polished else "") + bound + self._bought() + base.own.said(len(base.lower))

    def _bought(self) -> str:
        """What free flighting buys, in words: the share of the box covered, and each KPI at its best."""
        if self.solver.shapes is None:
            return ""
        if not len(self.flat):
            return f"; {bought(self.base, self.u.max(axis=0), None)}"
        box = Box(self.base, self._table())
        covered = [dominated_volume(measured(u, (box.low, box.best))) for u in (self.u, self.flat)]
        return (
            f"; plans cover {covered[0]:.1%} of the box, flat ones {covered[1]:.1%}"
            f"; {bought(self.base, self.u.max(axis=0), self.flat.max(axis=0), 'each KPI at its best')}"
        )


def _problem(scenario: Scenario, scale: dict[str, tuple[float, float]] | None = None) -> Problem:
    return (CellProblem if scenario.free else Problem)(scenario, scale=scale)


def _tie_breaking(n: int) -> Floats:
    """Each objective alone, with next to no weight on the others: (n, n)."""
    return np.where(np.eye(n) > 0, 1.0, LEAST_WEIGHT)


def _tables(scenario: Scenario, problem: Problem, z: Floats) -> tuple[pd.DataFrame, pd.Series]:
    """The front's points and today's KPIs, as simulated."""
    names = list(scenario.objectives)
    spend = np.array([problem.spend(plan) for plan in z])
    plans = np.concatenate([spend, scenario.today[None]])
    values = kpi_means(scenario, Simulator.of(scenario).outcomes(plans), plans)
    kpis = np.column_stack([values[name] for name in names])
    flat = spend.reshape(len(z), -1)
    if scenario.free:
        flat = np.hstack([spend.sum(axis=2), flat])
    points = pd.DataFrame(np.hstack([kpis[:-1], flat]), columns=[*names, *spend_columns(scenario)])
    return points.sort_values(names, ignore_index=True), pd.Series(kpis[-1], index=names, name="current")
