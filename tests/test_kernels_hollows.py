"""Kernels that close hollows of fronts, against slow and obvious twins."""

from __future__ import annotations

import naive_hollows
import numpy as np
import pytest
from test_hollows import shaped

from optimizer import kernels_hollows
from optimizer.solve.hollows import Hollows
from optimizer.solve.problem import Problem
from optimizer.solve.routes import frozen
from optimizer.solve.sandwich import Sandwich
from optimizer.solve.separable import SeparableSolver


def objectives(problem: Problem, plans: np.ndarray) -> np.ndarray:
    return np.array([problem.state(z).u for z in plans])


@pytest.fixture(scope="module", params=[2, 3])
def hollows(request: pytest.FixtureRequest) -> Hollows:
    n = request.param
    problem = Problem(frozen(shaped(n, 3, n)))
    solver = SeparableSolver(problem)

    def weighted(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        z, bound = solver.split(weights, 1e-6)
        return z, problem.state(z).u, bound

    sandwich = Sandwich(weighted, n)
    for weights in np.maximum(np.vstack([np.eye(n), np.full(n, 1.0 / n)]), 1e-6):
        sandwich.solve(weights)
    return Hollows(solver, sandwich, 0.02)


def test_planes_of_a_box_are_above_all_its_plans_and_cells_are_done_with_rightly(hollows: Hollows) -> None:
    ranges, levels, own, alive, excess, _ = hollows.boxes
    for half in (1.0, 0.4):
        ranges[0] = hollows.tables.grid[:, 0], [hollows._grid_point(line, half) for line in range(3)]
        levels[0], own[0], alive[0] = np.inf, False, True
        hollows.cells[2][:] = 0.3
        hollows._bound(0)
        plans = naive_hollows.splits(*ranges[0], hollows.solver.budget, 40)
        assert len(plans)
        values = objectives(hollows.solver.problem, plans)
        weights = hollows.tradeoffs[0]
        reached = (values @ weights.T).max(axis=0)
        assert own[0].any()
        assert np.all(levels[0] >= reached - 1e-9)
        total = 0.0
        for cell, centre in enumerate(hollows.cells[0]):
            above = naive_hollows.lowest(weights, levels[0], centre)[0] - max(hollows.cells[2][cell], 0.0)
            assert alive[0, cell] or above <= hollows._near + 1e-12
            total += above * alive[0, cell]
        # What was seen at the last look: planes have only come down since.
        assert excess[0] >= total - 1e-9


def test_climbing_keeps_the_budget_and_loses_nothing(hollows: Hollows) -> None:
    hollows.cells[2][:] = 0.0
    problem, budget = hollows.solver.problem, hollows.solver.budget
    rng = np.random.default_rng(1)
    # Beside the plan that is best for even weights, so that most are in the measured box.
    starts = 0.95 * hollows.z[len(problem.objectives)] + 0.05 * budget * rng.dirichlet(np.ones(3), 20)
    weights = rng.dirichlet(np.ones(len(problem.objectives)), 20)
    first = len(hollows.z)
    for i, (start, w) in enumerate(zip(starts, weights, strict=True)):
        known = len(hollows.z)
        hollows._climb(start[None], np.array([i]), w[None] if i % 2 else None)
        if len(hollows.z) == known:
            # It was out of the measured box, or known.
            continue
        z, u = hollows.z[known], hollows.values[known]
        np.testing.assert_allclose(u, problem.state(z).u, atol=1e-9)
        assert hollows.found[3][known] == i
        assert z.sum() == pytest.approx(budget, abs=1e-12)
        assert np.all((z >= problem.lower) & (z <= problem.upper))
        if i % 2:
            assert w @ u >= w @ problem.state(start).u - 1e-12
        else:
            np.testing.assert_array_equal(z, start)
    assert len(hollows.z) > first


def test_the_cover_is_the_highest_of_the_boxes_lowest_planes(hollows: Hollows) -> None:
    rng = np.random.default_rng(2)
    weights, (centres, half, _, corners) = hollows.tradeoffs[0], hollows.cells
    corners[:] = rng.uniform(-0.2, 0.3, corners.shape)
    hollows.boxes[5][0] = 3
    hollows.boxes[1][:3] = rng.uniform(0.2, 1.0, (3, len(weights)))
    hollows.boxes[3][:3] = rng.random((3, len(centres))) < 0.5
    some = rng.choice(len(centres), 40, replace=False)
    found = kernels_hollows.cover(hollows.tradeoffs, hollows.cells, hollows.boxes)[some]
    wanted = naive_hollows.cover(
        weights, centres[some], half, corners[some], hollows.boxes[1][:3], hollows.boxes[3][:3][:, some]
    )
    np.testing.assert_allclose(found, wanted, atol=1e-12)
