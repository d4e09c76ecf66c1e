"""Kernels that close hollows of fronts, against slow and obvious twins."""

from __future__ import annotations

import naive_hollows
import numpy as np
import pytest
from test_hollows import shaped

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
    patterns, low = hollows.patterns, hollows.cells[2]
    spans, levels, alive, excess, _ = patterns.boxes
    patterns.begin()
    most, weights = spans[0, 1].copy(), patterns.tradeoffs[0]
    rng = np.random.default_rng(0)
    low[:] = np.maximum(low, 0.3)
    for first, last in [(0 * most, most), *np.sort(rng.integers(0, most + 1, (20, 2, 3)), axis=1)]:
        spans[0], levels[0], alive[0] = (first, last), np.inf, True
        lines = np.arange(3)
        ends = (patterns.tables.grid[lines, patterns.ends[lines, at]] for at in (first, last + 1))
        plans = naive_hollows.splits(*ends, hollows.solver.budget, 30)
        patterns.bound(0)
        if len(plans):
            values = objectives(hollows.solver.problem, plans)
            assert np.all(levels[0] >= (values @ hollows.tradeoffs[0].T).max(axis=0) - 1e-9)
        total = 0.0
        for cell, centre in enumerate(hollows.cells[0]):
            above = naive_hollows.lowest(weights, levels[0], centre)[0] - low[cell]
            assert alive[0, cell] == (above > hollows._near)
            total += above * alive[0, cell]
        assert excess[0] == pytest.approx(total)
        # The line to cut has parts to cut it between.
        line, part = patterns._cuts[0]
        assert line < 0 or first[line] <= part < last[line]


def test_climbing_keeps_the_budget_and_loses_nothing(hollows: Hollows) -> None:
    hollows.cells[2][:] = hollows._lowest
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
    weights, (centres, half, _, corners) = hollows.patterns.tradeoffs[0], hollows.cells
    corners[:] = rng.uniform(-0.2, 0.3, corners.shape)
    _, levels, alive, _, count = hollows.patterns.boxes
    count[0] = 3
    levels[:3] = rng.uniform(0.2, 1.0, (3, len(weights)))
    alive[:3] = rng.random((3, len(centres))) < 0.5
    some = rng.choice(len(centres), 40, replace=False)
    found = hollows.patterns.cover()[some]
    wanted = naive_hollows.cover(weights, centres[some], half, corners[some], levels[:3], alive[:3][:, some])
    np.testing.assert_allclose(found, wanted, atol=1e-12)
