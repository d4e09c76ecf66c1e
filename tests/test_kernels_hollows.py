"""Kernels that close hollows of fronts, against slow and obvious twins."""

from __future__ import annotations

import naive_hollows
import numpy as np
import pytest
from test_hollows import shaped

from optimizer import kernels_hollows
from optimizer.solve.hollows import Hollows, left_in_cells
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
    assert patterns.begin(lambda: False)
    corners = hollows.cells[3].copy()
    most, weights = patterns.spans[0, 1].copy(), patterns.tradeoffs[0]
    rng = np.random.default_rng(0)
    looked_at = np.sort(rng.choice(len(low), 400, replace=False))
    low[:] = np.maximum(low, 0.3)
    for first, last in [(0 * most, most), *np.sort(rng.integers(0, most + 1, (20, 2, 3)), axis=1)]:
        hollows.cells[3][:], levels = corners, np.full(len(weights), np.inf)
        lines = np.arange(3)
        ends = (patterns.tables.grid[lines, patterns.ends[lines, at]] for at in (first, last + 1))
        plans = naive_hollows.splits(*ends, hollows.solver.budget, 30)
        (some, which, heights), excess, (line, part) = patterns.bound(np.array([first, last]), levels, looked_at)
        if len(plans):
            values = objectives(hollows.solver.problem, plans)
            assert np.all(levels >= (values @ hollows.tradeoffs[0].T).max(axis=0) - 1e-9)
        wanted = np.full(len(low), np.nan)
        wanted[looked_at] = [
            naive_hollows.lowest(weights, levels, centre)[0] for centre in hollows.cells[0].T[looked_at]
        ]
        above = wanted - low
        np.testing.assert_array_equal(some, np.flatnonzero(above > hollows._near))
        np.testing.assert_allclose(heights, wanted[some], atol=1e-12)
        slopes = weights[which, :-1] / weights[which, -1:]
        planes = levels[which] / weights[which, -1] - (slopes * hollows.cells[0].T[some]).sum(axis=1)
        np.testing.assert_allclose(planes, heights, atol=1e-12)
        assert excess == pytest.approx(above[some].sum())
        # A box is remembered at the corners of cells where it is done with, and nowhere else.
        done = np.isin(np.arange(len(low)), np.setdiff1d(looked_at, some))
        np.testing.assert_array_equal(hollows.cells[3][~done], corners[~done])
        centres, half = hollows.cells[0].T[done], hollows.cells[1]
        once = np.ones((1, len(centres)))
        there = naive_hollows.cover(weights, centres, half, corners[done], levels[None], once)
        np.testing.assert_allclose(hollows.cells[3][done].mean(axis=1), there, atol=1e-12)
        # The line to cut has parts to cut it between.
        assert line < 0 or first[line] <= part < last[line]
    hollows.cells[3][:] = corners


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_lowest_of_planes_is_found_wherever_places_lie(n: int) -> None:
    rng = np.random.default_rng(n)
    places, slopes, levels = rng.uniform(-1.0, 1.0, (n, 300)), rng.random((n, 50)), rng.uniform(1.0, 1.3, 50)
    wanted = levels - places.T @ slopes
    for half in (0.0, 0.02, 1.0):
        some = rng.permutation(300)[:200]
        which, heights = np.empty(200, dtype=np.int64), np.empty(200)
        kernels_hollows.lowest(some, slopes, levels, places, half, which, heights)
        np.testing.assert_allclose(heights, wanted[some].min(axis=1), atol=1e-14)
        np.testing.assert_allclose(wanted[some, which], heights, atol=1e-14)


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
    weights, (centres, half, low, corners) = hollows.patterns.tradeoffs[0], hollows.cells
    corners[:] = rng.uniform(-0.2, 0.3, corners.shape)
    low[:] = 0.0
    patterns, levels = hollows.patterns, rng.uniform(1.0, 2.0, (3, len(weights)))
    alive, patterns.count, patterns.open = rng.random((3, len(low))) < 0.5, 3, []
    patterns._cuts = [(0, 0)] * 3
    for one, open_in in zip(levels, alive, strict=True):
        some = np.flatnonzero(open_in)
        found = [naive_hollows.lowest(weights, one, centres[:, cell]) for cell in some]
        heights, which = (np.array(part) for part in zip(*found, strict=True))
        # The second half is done with: plans attain as much there.
        patterns.open.append((some, which, heights))
    low[len(low) // 2 :] = 10.0
    checked = rng.choice(len(low), 40, replace=False)
    wanted = naive_hollows.cover(weights, centres.T[checked], half, corners[checked], levels, alive[:, checked])
    np.testing.assert_allclose(patterns.cover()[checked], wanted, atol=1e-12)
    assert patterns.count == 3
    for box, (some, _, heights) in enumerate(patterns.open):
        assert some.max() < len(low) // 2
        assert patterns.excess[box] == pytest.approx(heights.sum())


def test_half_spaces_leave_no_less_than_is_said() -> None:
    rng = np.random.default_rng(3)
    side, weights = 6, np.column_stack([rng.random((20, 2)), np.ones(20)])
    levels = rng.uniform(0.4, 0.6, 20)
    dense = (np.arange(side * 40) + 0.5) / (side * 20) - 1.0
    places = np.stack(np.meshgrid(dense, dense, indexing="ij"), axis=-1)
    left = (levels - places @ weights[:, :2].T).min(axis=-1)
    exact = np.maximum(left, np.maximum(0.0, -places.min(axis=-1)))
    exact = exact.reshape(side, 40, side, 40).mean(axis=(1, 3)).ravel()
    coarse, fine = (left_in_cells(weights, levels, side, finer) for finer in (1, 8))
    assert np.all(coarse <= exact + 1e-4)
    assert np.all(fine <= exact + 1e-4)
    np.testing.assert_allclose(fine, exact, atol=2e-3)
