"""Pareto fronts by outer approximation, certified.

The attained KPI values of a concave problem fill a convex set, down to anything worse. Half-spaces around it (from
the duals of solved problems) and the attained points inside it close in on the front: each step takes a corner of
the outer set, finds the plan nearest below it (achievement scalarisation in direction 1), and cuts the corner off
(Benson, J. Glob. Opt. 13, 1998; Loehne, Rudloff & Ulus, arXiv 1308.6809).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, HalfspaceIntersection

from ..errors import InfeasibleError, SolverError, SpecError
from ..front import Front, FrontCertificate, non_dominated
from ..preferences import SMALLEST_RANGE
from ..simulate import Simulator, kpi_values
from .chance import chance_floors
from .convex import ConvexSolver
from .payoff import freeze_scale, payoff_points
from .problem import Goal, Problem

if TYPE_CHECKING:
    from ..scenario import Scenario

Floats = NDArray[np.float64]

LEAST_POINTS = 21
SOLVES = 400
SOLVE_TOLERANCE = 1e-6
# A corner this close to an attained plan (in steps of the scale) has nothing left to find.
CLOSE = 1e-5
# Three objectives and more: the payoff table's worst values may lie above the nadir, so the box starts lower.
MARGIN = 0.1
WHY = "every curve has falling returns, so half-spaces around the front can be proven"
STRICT = (
    "; floors with a probability are kept in their stricter form, on average over the worst draws, so that plans "
    "between the two forms are missing"
)


def outer_approximation(
    scenario: Scenario, tolerance: float, progress: Callable[[float], None] | None = None
) -> Front:
    """Find a front whose proven hypervolume gap is at most ``tolerance``; see `routes.frontier`."""
    names = scenario.objectives
    if not 2 <= len(names) <= 3:
        raise SpecError(
            f"a front needs two or three objectives, not {len(names)}",
            "give two or three KPIs a weight and a scale",
            path=("preferences",),
        )
    if scenario.polyhedron.switches is not None:
        raise SolverError(
            "no route can prove a front under on/off rules", "drop minimum_if_on and most_on for the front"
        )
    scenario = freeze_scale(scenario, ConvexSolver)
    base = Problem(scenario)
    try:
        ends = payoff_points(base, ConvexSolver(base).maximise)
    except InfeasibleError:
        if not chance_floors(scenario):
            raise
        raise SolverError(
            "a front needs floors with a probability in their stricter form, which no plan keeps",
            "drop or lower them for the front",
        ) from None
    table = np.array([point.u for point in ends])
    box = _Box(base, table)
    scaled = Problem(scenario, scale=box.ends(base))
    search = _Search(ConvexSolver(scaled), len(names))
    for point in ends:
        search.take(point.z)
    while not search.done(tolerance):
        search.step()
        if progress is not None:
            progress(min(1.0, tolerance / max(search.gap, 1e-12)))
    if progress is not None:
        progress(1.0)
    return _front(scenario, base, table, search)


class _Box:
    """The region of the scale in which the front is measured."""

    def __init__(self, problem: Problem, table: Floats) -> None:
        best, worst = np.diag(table), table.min(axis=0)
        kpis = np.array([abs(float(form.kpi(u))) for form, u in zip(problem.objectives, best, strict=True)])
        units = np.array([abs(form.unit) for form in problem.objectives])
        # Where KPIs hardly conflict the box stays as wide as a range must be to mean anything.
        span = np.maximum(best - worst, SMALLEST_RANGE * np.maximum(kpis, 1e-9 * units) / units)
        self.best = best
        self.low = best - span * (1.0 + (MARGIN if len(table) > 2 else 0.0))

    def ends(self, problem: Problem) -> dict[str, tuple[float, float]]:
        forms = zip(problem.objectives, self.low, self.best, strict=True)
        return {form.name: (float(form.kpi(low)), float(form.kpi(best))) for form, low, best in forms}


class _Search:
    """Inner points and outer half-spaces, on a scale where the box is [0, 1] in every objective."""

    def __init__(self, solver: ConvexSolver, n: int) -> None:
        self.solver = solver
        self.z: list[Floats] = []
        self.values: list[Floats] = []
        # Rows (w, -c) of w @ y <= c; the box first. Above 1 nothing exists: each optimum was proven.
        slack = 1.0 + 2 * SOLVE_TOLERANCE
        self.outside = [np.append(row, -slack) for row in np.eye(n)]
        self.outside += [np.append(-row, 0.0) for row in np.eye(n)]
        self.hypervolume, self.bound, self.gap = 0.0, 1.0, 1.0

    def take(self, z: Floats) -> None:
        """Keep a plan."""
        self.z.append(z)
        self.values.append(self.solver.problem.state(z).u)

    def corners(self) -> Floats:
        """Corners of the outer set: (V, O)."""
        inside = np.maximum(np.mean(self.values, axis=0), 1e-9) * 0.5
        return np.unique(HalfspaceIntersection(np.array(self.outside), inside).intersections.round(12), axis=0)

    def done(self, tolerance: float) -> bool:
        """Measure both sides; whether the front is complete enough."""
        corners = self.corners()
        values = np.clip(np.array(self.values), 0.0, None)
        self.bound = _volume(corners)
        masks = np.array(list(itertools.product((0.0, 1.0), repeat=values.shape[1])))
        self.hypervolume = _volume((values[:, None, :] * masks).reshape(-1, values.shape[1]))
        self.gap = max(0.0, (self.bound - self.hypervolume) / self.bound)
        distance = np.max(corners[:, None, :] - values[None], axis=2).min(axis=1)
        self.next_corner = corners[int(np.argmax(distance))]
        enough = self.gap <= tolerance and len(self.values) >= LEAST_POINTS
        return enough or distance.max() <= CLOSE or self.solver.solves >= SOLVES

    def step(self) -> None:
        """Solve below the corner farthest from any plan, and cut it off."""
        corner = self.next_corner
        near = self.z[int(np.argmin(np.max(corner - np.array(self.values), axis=1)))]
        point = self.solver.maximise(Goal(np.zeros(len(corner)), corner), SOLVE_TOLERANCE, near=near)
        weights = point.proof.weights
        self.outside.append(np.append(weights, -(point.proof.bound + float(weights @ corner))))
        self.take(point.z)


def _volume(points: Floats) -> float:
    if np.ptp(points, axis=0).min() < 1e-9:
        return 0.0
    return float(ConvexHull(points, qhull_options="QJ").volume)


def _front(scenario: Scenario, base: Problem, table: Floats, search: _Search) -> Front:
    names = list(scenario.objectives)
    spend = np.array([base.spend(z) for z in search.z])
    simulator = Simulator.of(scenario)
    plans = np.vstack([spend, scenario.current])
    values = kpi_values(scenario, simulator.outcomes(plans).mean(axis=1), plans)
    kpis = np.column_stack([values[name] for name in names])
    keep = non_dominated(np.round(np.array(search.values), 9))
    columns = [*names, *[f"spend {line}" for line in scenario.lines]]
    points = pd.DataFrame(np.hstack([kpis[:-1], spend])[keep], columns=columns)
    points = points.sort_values(names, ignore_index=True)
    payoff = pd.DataFrame(
        {form.name: form.kpi(table[:, column]) for column, form in enumerate(base.objectives)}, index=names
    )
    reference = {form.name: float(form.worst) for form in search.solver.problem.objectives}
    strict = bool(chance_floors(scenario))
    certificate = FrontCertificate(
        "none" if strict else "global",
        search.hypervolume,
        search.bound,
        search.gap,
        reference,
        "frontier",
        WHY + (STRICT if strict else ""),
        search.solver.solves + len(table),
    )
    return Front(scenario, points, payoff, pd.Series(kpis[-1], index=names, name="current"), certificate)
