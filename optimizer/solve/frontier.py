"""Pareto fronts, certified: which plans are best for some trade-off, and what could be missing.

First weighted sums close in on the front from both sides (`sandwich`). Where every curve has falling returns and
no line is on or off by rule, that is all: blends of neighbouring plans attain what lies between them. Where not,
the front has hollows: under one budget and ranges they are closed by branch and bound for all weights at once
(`hollows`), else plans are looked for in the zones that nothing dominates (`zones`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import InfeasibleError, SolverError, SpecError
from ..front import Front, non_dominated
from ..front_certificate import FrontCertificate
from ..limits import Limits
from ..measured import kpi_means
from ..simulate import Simulator
from ..volumes import dominated_volume
from .box import Box
from .chance import chance_floors
from .forms import Goal
from .hollows import Hollows
from .mixed_integer import MixedIntegerSolver
from .payoff import freeze_scale, payoff_points
from .point import Point, Solver
from .problem import KEPT, Problem
from .sandwich import Sandwich
from .separable import SeparableSolver
from .values import form_values
from .zones import Zones

if TYPE_CHECKING:
    from ..scenario import Scenario

Floats = NDArray[np.float64]
Pick = Callable[[Problem], Solver]

LEAST_POINTS = 21
MOST_OBJECTIVES = 5
SOLVE_TOLERANCE = 1e-6
# Mixed-integer solves take long to close the last of a gap: this share of the tolerance of the front will do.
CLOSED = 0.01
# Where plans between neighbours are tried in a front that is not convex: this many steps along each edge.
BLENDS = 8
# And in one that is convex, where a blend attains at least the blended KPIs: the longest edges first.
FILLED_STEPS = 4
MOST_FILLED = 200
# Measuring again with what was filled in costs seconds from four objectives up, and adds next to nothing.
MOST_MEASURED = 3
# However little time is left, a solve gets this many seconds.
LEAST_SECONDS = 0.5
# Where hollows follow, half-spaces close in to this share of the tolerance first.
CLOSED_IN = 0.35
# And take no more than this share of the time.
CLOSING = 0.3
# A front keeps no more plans than this: of those in the same small cell one, the others are between them.
MOST_PLANS = 1500
# Zones between more plans than this take longer to keep than to find.
MOST_ZONED = 1000
# Zones with less room than this share of the tolerance are left alone.
ROOM = 0.1
CONCAVE = "every curve has falling returns, so half-spaces around the front can be proven"
ZONES = (
    "curves are S-shaped or lines on or off by rule, so half-spaces around the front and zones proven empty bound "
    "what is missing; blends of its plans are not counted"
)
HOLLOWS = (
    "curves are S-shaped, so half-spaces around the front and branch and bound in its hollows bound what is "
    "missing; blends of plans with the same lines on are counted, less what they may fall short by"
)
STRICT = (
    "; floors with a probability are kept in their stricter form, on average over the worst draws, so that plans "
    "between the two forms are missing"
)


def find_front(
    scenario: Scenario,
    tolerance: float,
    pick: Pick,
    time_limit: float,
    progress: Callable[[float], None] | None,
) -> Front:
    """Find a front whose proven hypervolume gap is at most ``tolerance``; see `routes.frontier`."""
    names = scenario.objectives
    if not 2 <= len(names) <= MOST_OBJECTIVES:
        raise SpecError(
            f"a front needs two to five objectives, not {len(names)}",
            "give two to five KPIs a weight and a scale",
            path=("preferences",),
        )
    ends = time.monotonic() + time_limit
    scenario = freeze_scale(scenario, pick)
    base = Problem(scenario)
    try:
        corners = payoff_points(base, pick(base).maximise)
    except InfeasibleError:
        if not chance_floors(scenario):
            raise
        raise SolverError(
            "a front needs floors with a probability in their stricter form, which no plan keeps",
            "drop or lower them for the front",
        ) from None
    table = np.array([point.u for point in corners])
    scaled = Problem(scenario, scale=Box(base, table).ends(base))
    solver = pick(scaled)
    if isinstance(solver, SeparableSolver):
        # The corners take milliseconds then, or the seconds that compiling does: the clock starts behind it.
        ends = time.monotonic() + time_limit
    search = _Search(scaled, solver, tolerance, ends, progress)
    for point in corners:
        search.sandwich.take(point.z, scaled.state(point.z).u)
    search.run()
    return _front(scenario, base, table, search)


class _Search:
    """One search for a front; it may be interrupted (Ctrl-C), or run out of time, and keeps what it has."""

    def __init__(
        self,
        problem: Problem,
        solver: Solver,
        tolerance: float,
        ends: float,
        progress: Callable[[float], None] | None,
    ) -> None:
        self.problem = problem
        self.solver = solver
        self.tolerance = tolerance
        self.ends = ends
        self.began = time.monotonic()
        self.progress = progress
        self.sandwich = Sandwich(self._weighted, len(problem.objectives))
        self.concave = not problem.curved and problem.scenario.polyhedron.switches is None
        self.solves = 0
        self.z: list[Floats] = []
        # Their objectives, where all are known and no plan beats another.
        self.values: Floats | None = None
        self.zones: Zones | None = None
        self.hollows: Hollows | None = None
        self.hypervolume, self.bound = 0.0, 1.0
        # Why it ended before the gap was small enough, in words.
        self.ended = ""

    @property
    def gap(self) -> float:
        """Share of the outer set that is undecided."""
        return max(0.0, (self.bound - self.hypervolume) / self.bound)

    def run(self) -> None:
        """Search until the gap is small enough, nothing is left to find, or the search is stopped."""
        try:
            self._close_in()
            if not self.concave:
                self._fill_hollows()
        except KeyboardInterrupt:
            self.ended = "it was interrupted"
        except SolverError as error:
            self.ended = error.message
        self._take_stock()
        if self.progress is not None:
            self.progress(1.0)

    def limits(self) -> Limits:
        """What the search has proven of every plan."""
        outside = np.array(self.sandwich.outside)
        outside = outside[(outside[:, :-1] >= 0).all(axis=1)]
        corners = np.empty((0, outside.shape[1] - 1)) if self.zones is None else self.zones.excluded
        return Limits(outside[:, :-1], -outside[:, -1], corners)

    def _weighted(self, weights: Floats) -> tuple[Floats, Floats, float]:
        self.solves += 1
        if isinstance(self.solver, SeparableSolver):
            z, bound = self.solver.split(weights, SOLVE_TOLERANCE)
            return z, self.solver.objectives(z), bound
        near = self.sandwich.z[int(np.argmax(np.array(self.sandwich.values) @ weights))]
        point = self._maximise(Goal(weights), SOLVE_TOLERANCE if self.concave else CLOSED * self.tolerance, near)
        return point.z, point.u, point.proof.bound

    def _maximise(self, goal: Goal, tolerance: float, near: Floats | None = None) -> Point:
        """Solve a goal in no more than the time that is left."""
        left = max(self.ends - time.monotonic(), LEAST_SECONDS)
        solver = self.solver
        if isinstance(solver, SeparableSolver) and self.problem.curved:
            solver = solver.general
        if isinstance(solver, MixedIntegerSolver):
            solver.seconds = left
        return solver.maximise(goal, tolerance, near)

    def _stop(self) -> bool:
        if self.zones is None and self.hollows is not None:
            self.hypervolume, self.bound = self.hollows.hypervolume, self.hollows.bound
        if self.progress is not None:
            self.progress(min(1.0, self.tolerance / max(self.gap, 1e-12)))
        if time.monotonic() > self.ends:
            self.ended = "the time limit was reached"
        return bool(self.ended)

    def _close_in(self) -> None:
        """Weighted sums, until they say no more."""
        sandwich, tolerance = self.sandwich, self.tolerance
        if not self.concave and isinstance(self.solver, SeparableSolver):
            tolerance *= CLOSED_IN
            enough_time = self.began + CLOSING * (self.ends - self.began)
        else:
            enough_time = self.ends
        while True:
            weights = sandwich.measure()
            self.hypervolume, self.bound = sandwich.hypervolume, sandwich.bound
            enough = self.gap <= tolerance and len(sandwich.z) >= LEAST_POINTS
            if enough or not weights:
                return
            for each in weights:
                sandwich.solve(each)
                if self._stop() or time.monotonic() > enough_time:
                    return

    def _fill_hollows(self) -> None:
        """Branch and bound, or blends of neighbours and then the plans nearest above the corners of what nothing
        dominates."""
        if isinstance(self.solver, SeparableSolver):
            if not self.ended:
                self.hollows = Hollows(self.solver, self.sandwich, self.tolerance)
                began = time.monotonic()
                self.hollows.compile()
                # A first run may compile for longer than the whole search may take.
                self.ends += time.monotonic() - began
                self.hollows.close(self.tolerance, self._stop)
            if (
                self.hollows is None
                or self.ended
                or self.hollows.gap <= self.tolerance
                or len(self.hollows.z) > MOST_ZONED
            ):
                return
            # Weights and cells are too coarse for what is left.
            plans = self.hollows.z[self.hollows.picked(MOST_ZONED)]
        else:
            plans = np.vstack([np.array(self.sandwich.z), self._blends(BLENDS)])
        values = _objectives(self.problem, plans)
        keep = non_dominated(np.round(values, 9))
        self.z, zones = list(plans[keep]), Zones(np.array(self.sandwich.outside), values[keep])
        self.zones = zones
        n = values.shape[1]
        while True:
            self._measure_zones(zones)
            room = zones.room()
            at = int(np.argmax(room))
            if self.gap <= self.tolerance or room[at] <= ROOM * self.tolerance or self._stop():
                return
            corner = zones.corners[at]
            self.solves += 1
            point = self._maximise(Goal(np.zeros(n), corner), max(SOLVE_TOLERANCE, ROOM * room[at]))
            self.z.append(point.z)
            zones.exclude(corner + point.proof.bound)
            zones.attain(point.u)

    def _measure_zones(self, zones: Zones) -> None:
        """Measure zones; what was known before still holds."""
        self.hypervolume, self.bound = zones.measure()
        if self.hollows is not None:
            self.hypervolume = max(self.hypervolume, self.hollows.hypervolume)
            self.bound = min(self.bound, self.hollows.bound)

    def _take_stock(self) -> None:
        """Measure what there is, wherever the search ended."""
        if self.concave:
            self._fill_in()
            if len(self.problem.objectives) <= MOST_MEASURED:
                self.sandwich.measure()
            self.z = list(self.sandwich.z)
            self.hypervolume, self.bound = self.sandwich.hypervolume, self.sandwich.bound
            return
        if self.zones is None and self.hollows is not None and self.hollows.hypervolume > 0.0:
            # As last measured: where it was interrupted, boxes may be half cut.
            self.hypervolume, self.bound = self.hollows.hypervolume, self.hollows.bound
            picked = self.hollows.picked(MOST_PLANS)
            self.z, self.values = list(self.hollows.z[picked]), self.hollows.values[picked]
            # Where cells are coarse, plans alone may dominate more than what was measured by them.
            alone = dominated_volume(np.minimum(self.values, 1.0))
            self.hypervolume = max(self.hypervolume, alone)
            return
        if self.zones is None:
            self.z = list(self.sandwich.z)
            self.zones = Zones(np.array(self.sandwich.outside), np.array(self.sandwich.values))
        self._measure_zones(self.zones)

    def _fill_in(self) -> None:
        """Take plans between neighbours of a convex front, so that its points alone leave no wide gaps."""
        self.sandwich.measure()
        blends = self._blends(FILLED_STEPS if len(self.problem.objectives) == 2 else 2)[:MOST_FILLED]
        for z, u in zip(blends, _objectives(self.problem, blends), strict=True):
            self.sandwich.take(z, u)

    def _blends(self, n_steps: int) -> Floats:
        """Plans between neighbours on the front that keep every rule and floor, widest apart first: (N, L)."""
        if self.problem.scenario.polyhedron.switches is not None:
            return np.empty((0, len(self.problem.lower)))
        plans, values = np.array(self.sandwich.z), np.array(self.sandwich.values)
        n = values.shape[1]
        distance = np.linalg.norm(values[:, None] - values[None], axis=2)
        near = np.argsort(distance, axis=1)[:, 1 : 2 * n + 1]
        pairs = {(min(i, int(j)), max(i, int(j))) for i, row in enumerate(near) for j in row}
        steps = np.arange(1, n_steps) / n_steps
        widest = sorted(pairs, key=lambda pair: (-distance[pair], pair))
        blends = [plans[i] + step * (plans[j] - plans[i]) for i, j in widest for step in steps]
        found = np.array(blends).reshape(-1, plans.shape[1])
        if self.problem.floors:
            kept = [bool(np.all(self.problem.state(z).room >= -KEPT)) for z in found]
            found = found[kept]
        return found


def _objectives(problem: Problem, plans: Floats) -> Floats:
    """Objective forms of many plans at once: (N, L) scaled spend to (N, O)."""
    return form_values(problem, plans)[0]


def _front(scenario: Scenario, base: Problem, table: Floats, search: _Search) -> Front:
    names = list(scenario.objectives)
    spend = np.array([base.spend(z) for z in search.z])
    simulator = Simulator.of(scenario)
    plans = np.vstack([spend, scenario.current])
    values = kpi_means(scenario, simulator.outcomes(plans), plans)
    kpis = np.column_stack([values[name] for name in names])
    keep = np.ones(len(spend), dtype=np.bool_)
    if search.values is None:
        keep = non_dominated(np.round(_objectives(search.problem, np.array(search.z)), 9))
    columns = [*names, *[f"spend {line}" for line in scenario.lines]]
    points = pd.DataFrame(np.hstack([kpis[:-1], spend])[keep], columns=columns)
    points = points.sort_values(names, ignore_index=True)
    payoff = pd.DataFrame(
        {form.name: form.kpi(table[:, column]) for column, form in enumerate(base.objectives)}, index=names
    )
    reference = {form.name: float(form.worst) for form in search.problem.objectives}
    strict = bool(chance_floors(scenario))
    why = (CONCAVE if search.concave else ZONES if search.hollows is None else HOLLOWS) + (
        STRICT if strict else ""
    )
    certificate = FrontCertificate(
        "none" if strict else "global",
        search.hypervolume,
        search.bound,
        search.gap,
        reference,
        "frontier",
        why,
        search.solves + len(table),
        search.concave,
        search.ended if search.gap > search.tolerance else "",
    )
    current = pd.Series(kpis[-1], index=names, name="current")
    return Front(scenario, points, payoff, current, certificate, None if strict else search.limits())
