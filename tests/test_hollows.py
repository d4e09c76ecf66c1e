"""Hollows of S-shaped fronts: claims of what is attained and what is not, against dense grids of real plans."""

from __future__ import annotations

import itertools

import naive_tables
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optimizer as opt
from optimizer import kernels_attained, kernels_raster
from optimizer.curves import FAMILIES
from optimizer.front import non_dominated
from optimizer.solve.attained import Attained, floor, mean_of_corners
from optimizer.solve.hollows import Hollows
from optimizer.solve.problem import Problem
from optimizer.solve.routes import frozen
from optimizer.solve.sandwich import Sandwich
from optimizer.solve.separable import SeparableSolver
from optimizer.solve.weights import even_weights
from optimizer.tables import ResponseTables
from optimizer.volumes import dominated_volume, hull_volume, shadows


def shaped(seed: int, n_lines: int, n_kpis: int, half: tuple[float, float] = (150.0, 500.0)) -> opt.Scenario:
    """S-shaped curves under one budget, each line good for another KPI."""
    rng = np.random.default_rng(seed)
    lines, kpis = [f"line{i}" for i in range(n_lines)], [f"kpi{k}" for k in range(n_kpis)]

    def curve() -> dict:
        scale, at, slope = (float(rng.uniform(*ends)) for ends in ((1.0, 10.0), half, (1.2, 3.0)))
        return {"curve": {"kind": "hill", "scale": scale, "half": at, "slope": slope}}

    return opt.Scenario.from_dict(
        {
            "name": "hollows",
            "currency": "EUR",
            "horizon": {"start": "2026-01-05", "periods": 1},
            "lines": [{"name": line, "current": 1000.0 / n_lines, "max": 1000.0} for line in lines],
            "kpis": {kpi: {"direction": "maximize", "unit": "things"} for kpi in kpis},
            "response": {kpi: {line: curve() for line in lines} for kpi in kpis},
            "constraints": {"budget": {"total": 1000.0}},
            "preferences": {"weights": dict.fromkeys(kpis, 1.0), "scale": dict.fromkeys(kpis, "payoff")},
        }
    )


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile the kernels before anything has a time limit."""
    opt.frontier(shaped(0, 3, 2), tolerance=0.5)
    opt.frontier(shaped(0, 3, 2), tolerance=0.02, time_limit=0.5)


def every_split(n_lines: int, steps: int) -> np.ndarray:
    return 1000.0 * even_weights(n_lines, steps)


@pytest.mark.parametrize(
    ("seed", "n_lines", "n_kpis", "steps"),
    [(0, 3, 2, 250), (1, 4, 2, 60), (2, 3, 3, 250), (3, 4, 3, 60), (4, 3, 4, 80)],
)
def test_real_plans_lie_between_what_is_attained_and_the_bound(
    seed: int, n_lines: int, n_kpis: int, steps: int
) -> None:
    scenario = shaped(seed, n_lines, n_kpis)
    front = opt.frontier(scenario, tolerance=0.02, time_limit=2.0)
    certificate = front.certificate
    plans = every_split(n_lines, steps)
    kpis = opt.simulate(scenario, plans).groupby(level="plan").mean()[list(scenario.objectives)]
    known = front.hypervolume_of(kpis)
    assert known <= certificate.bound
    # What the grid's plans dominate is what all plans do but for a step of the grid.
    finest = front.steps(kpis) + 1.5 * n_lines / steps
    assert certificate.hypervolume <= dominated_volume(finest)
    assert front.hypervolume <= certificate.hypervolume + 1e-9
    assert front.hypervolume >= 0.9 * known
    assert certificate.gap == pytest.approx(1.0 - certificate.hypervolume / certificate.bound)
    # No plan is beyond what is proven of all.
    assert (front.steps(kpis) @ front.limits.weights.T <= front.limits.levels + 1e-9).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_front_of_two_kpis_and_twenty_lines_is_closed_to_one_percent(seed: int) -> None:
    front = opt.frontier(shaped(seed, 20, 2, half=(20.0, 200.0)), tolerance=0.01)
    assert front.certificate.gap <= 0.01
    assert front.certificate.guarantee == "global"
    assert "hollows" in front.certificate.why
    assert front.hypervolume >= 0.98 * front.certificate.bound


def test_equal_runs_give_equal_fronts() -> None:
    fronts = [opt.frontier(shaped(6, 5, 2), tolerance=0.01) for _ in range(2)]
    np.testing.assert_array_equal(fronts[0].points.to_numpy(), fronts[1].points.to_numpy())
    assert fronts[0].certificate == fronts[1].certificate


@given(
    seed=st.integers(0, 10**6),
    family=st.sampled_from([name for name in FAMILIES if name != "none"]),
    slopes=st.sampled_from([(0.3, 1.0), (1.0, 1.05), (1.2, 4.0), (4.0, 20.0)]),
    signs=st.sampled_from([(1.0, 1.0), (1.0, -0.5)]),
)
@settings(max_examples=120)
def test_blends_fall_short_by_no_more_than_is_said(seed: int, family: str, slopes, signs) -> None:
    rng = np.random.default_rng(seed)
    terms = naive_tables.make_terms(rng, 3, 2, 4, [family], slopes, history=bool(seed % 2))
    tables = ResponseTables(terms, np.zeros(3), np.ones(3))
    forms = np.array([[signs[0], signs[1]], [0.0, 1.0]])
    zeros = np.zeros(2)
    tradeoffs = (np.eye(2), forms, zeros, zeros, np.zeros((2, 1), dtype=np.int64), forms, zeros, zeros)
    plans = rng.uniform(0.0, 1.0, (3, 3)) ** rng.integers(1, 4)
    plans[:, 1] = plans[0, 1]
    plans[rng.random((3, 3)) < 0.2] = 0.0

    def objectives(z: np.ndarray) -> np.ndarray:
        effects = [sum(naive_tables.effect(terms, k, line, z[:, line]) for line in range(3)) for k in range(2)]
        return np.array(effects).T @ forms.T

    values, out = objectives(plans), np.empty(2)
    kernels_attained.objectives(plans[0], *tradeoffs[5:], tables.arrays(), out)
    np.testing.assert_allclose(out, values[0], rtol=1e-12, atol=1e-14)
    facets = np.array([[0, 1], [1, 2]])
    missed = kernels_attained.missed_by_facets(facets, plans, tradeoffs, tables.arrays())
    shares = np.linspace(0.0, 1.0, 101)[:, None]
    for facet, short in zip(facets, missed, strict=True):
        a, b = plans[facet]
        real = objectives(a + shares * (b - a))
        said = values[facet[0]] + shares * (values[facet[1]] - values[facet[0]]) - short
        assert np.all(real >= said - 1e-12 * (1.0 + np.abs(values).max()))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_raster_is_what_blends_of_corners_come_to(n: int) -> None:
    rng = np.random.default_rng(n)
    side, corners, missed = 7, rng.uniform(-0.1, 1.1, (6, n, n)), rng.uniform(0.0, 0.2, 6)
    start, size = np.zeros(n - 1, dtype=np.int64), np.full(n - 1, side + 1)
    heights, drops = np.full((2, (side + 1) ** (n - 1)), -np.inf), np.zeros(side ** (n - 1))
    kernels_raster.raster(corners, missed, 0.0, side, start, size, heights, drops)
    matrices = [np.vstack([simplex[:, :-1].T, np.ones(n)]) for simplex in corners]
    for index, node in enumerate(itertools.product(np.arange(side + 1) / side, repeat=n - 1)):
        best = [-np.inf, -np.inf]
        for simplex, matrix, short in zip(corners, matrices, missed, strict=True):
            shares = np.linalg.solve(matrix, [*node, 1.0])
            if shares.min() >= 0.0:
                height = float(shares @ simplex[:, -1])
                best = [max(best[0], height), max(best[1], height - short)]
        np.testing.assert_allclose(heights[:, index], best, atol=1e-9)
    # In each cell no less is noted than what any set that reaches into it may miss.
    for index, cell in enumerate(itertools.product(range(side), repeat=n - 1)):
        points = (cell + np.random.default_rng(index).random((20, n - 1))) / side
        for matrix, short in zip(matrices, missed, strict=True):
            shares = np.linalg.solve(matrix, np.column_stack([points, np.ones(20)]).T)
            if (shares.min(axis=0) >= 0.0).any():
                assert drops[index] >= short


@pytest.mark.parametrize("n", [2, 3, 4])
def test_levels_are_what_is_attained_with_less_of_an_objective(n: int) -> None:
    rng = np.random.default_rng(n)
    side, step = 6, 0.1
    grid = rng.uniform(0.0, 1.0, (side,) * (n - 1))
    least, most = np.full_like(grid, -np.inf), np.full_like(grid, -np.inf)
    for at in np.ndindex(*grid.shape):
        for other in np.ndindex(*grid.shape):
            # A place is reached from another by going on in all places, then back in some: where that is on the
            # grid at least.
            on = max(0, max(a - b for a, b in zip(at, other, strict=True)))
            most[at] = max(most[at], grid[other] - on * step)
            if all(b + on < side for b in other):
                least[at] = max(least[at], grid[other] - on * step)
    kernels_raster.level(grid.ravel(), n - 1, step)
    assert np.all((least - 1e-12 <= grid) & (grid <= most + 1e-12))


@pytest.mark.parametrize("n", [2, 3])
def test_what_is_attained_is_no_more_than_plans_and_their_blends_dominate(n: int) -> None:
    rng = np.random.default_rng(n)
    # Plans on a sphere: all can be blended and nothing is missed.
    values = np.abs(rng.normal(size=(40, n)))
    values *= 0.8 / np.linalg.norm(values, axis=1, keepdims=True)
    exact = hull_volume(shadows(values))
    for side in (24, 96):
        attained = Attained(n, side, 1.0)
        attained.reach(values)
        attained.take([b""] * len(values), 0)
        terms = naive_tables.make_terms(rng, 1, 1, 1, ["none"], (1.0, 1.0), history=False)
        tables = ResponseTables(terms, np.zeros(1), np.ones(1))
        forms, zeros = np.zeros((n, 1)), np.zeros(n)
        tradeoffs = (np.eye(n), forms, zeros, zeros, np.zeros((n, 1), dtype=np.int64), forms, zeros, zeros)
        attained.blend(np.zeros((len(values), 1)), values, tradeoffs, tables.arrays(), lambda: False)
        volume = 2.0 ** (n - 1) * float((attained.cells(4) - attained.lowest(4)).mean())
        assert exact * (1.0 - 3.0 / side) <= volume <= exact * (1.0 + 1e-9)


@pytest.mark.parametrize("n", [2, 3])
def test_facets_taken_in_bit_by_bit_attain_what_they_attain_at_once(n: int) -> None:
    rng = np.random.default_rng(n)
    values = np.abs(rng.normal(size=(60, n)))
    values *= 0.8 / np.linalg.norm(values, axis=1, keepdims=True)
    terms = naive_tables.make_terms(rng, 1, 1, 1, ["hill"], (1.2, 3.0), history=False)
    tables = ResponseTables(terms, np.zeros(1), np.ones(1))
    # What blends fall short by differs from plan to plan.
    plans = rng.uniform(0.0, 1.0, (60, 1))
    forms, zeros = np.full((n, 1), 0.01), np.zeros(n)
    tradeoffs = (np.eye(n), forms, zeros, zeros, np.zeros((n, 1), dtype=np.int64), forms, zeros, zeros)
    found, most = [], [1e-3]
    for sizes in ([60], [30, 40, 41, 60]):
        attained = Attained(n, 48, 1e-3)
        for known, size in zip([0, *sizes], sizes, strict=False):
            attained.reach(values[known:size])
            attained.take([b""] * (size - known), known)
            attained.blend(plans[:size], values[:size], tradeoffs, tables.arrays(), lambda: False)
        found.append(attained.cells(4))
        most.append(attained.facets[1].max())
    # Blends that were made in between stay: they may miss less, at most what blends made at once miss.
    assert np.all(found[1] >= found[0] - 1e-12)
    np.testing.assert_allclose(found[1], found[0], atol=max(most))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_beside_new_facets_are_those_that_share_a_cell_with_one(n: int) -> None:
    rng = np.random.default_rng(n)
    low = rng.integers(0, 8, (40, n))
    high = np.minimum(low + rng.integers(0, 3, (40, n)), 8)
    new = rng.random(40) < 0.2
    start, size = low[new].min(axis=0), high[new].max(axis=0) + 2 - low[new].min(axis=0)
    drops = np.full(size - 1, np.inf)
    found = kernels_raster.beside(low, high, new, 0.25, start, size, drops.ravel())
    cells = [set(itertools.product(*map(range, a, b + 1))) for a, b in zip(low, high, strict=True)]
    theirs = set().union(*(cells[i] for i in np.flatnonzero(new)))
    np.testing.assert_array_equal(found, [not one.isdisjoint(theirs) for one in cells])
    for index in np.ndindex(*drops.shape):
        assert drops[index] == (0.25 if tuple(np.array(index) + start) in theirs else np.inf)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_what_cells_have_is_the_mean_of_what_their_cells_have(n: int) -> None:
    rng = np.random.default_rng(n)
    side, fine = 6, 2
    nodes, means = (rng.random((size,) * n) - 0.3 for size in (side + 1, side))
    attained = Attained(n + 1, side, 0.0)
    attained.nodes, attained.means = nodes, means
    out, lowest = attained.cells(fine), attained.lowest(fine)
    floors = mean_of_corners(floor(np.linspace(-1.0, 1.0, side + 1), n + 1))
    for index, cell in enumerate(itertools.product(range(side // fine), repeat=n)):
        parts = [tuple(fine * np.array(cell) + at) for at in itertools.product(range(fine), repeat=n)]
        highest = [max(nodes[tuple(np.array(p) + 1)], means[p], floors[p]) for p in parts]
        assert out[index] == pytest.approx(np.mean(highest))
        assert lowest[index] == pytest.approx(np.mean([floors[p] for p in parts]))


def test_unbeaten_rows_are_those_no_other_row_beats() -> None:
    values = np.random.default_rng(0).integers(0, 6, (80, 3)).astype(float)
    wanted = np.flatnonzero(non_dominated(values))
    np.testing.assert_array_equal(kernels_attained.unbeaten(values), wanted)


@pytest.mark.parametrize("looks", [0, 1, 2, 4, 9])
def test_stopped_anywhere_what_is_claimed_holds(looks: int) -> None:
    problem = Problem(frozen(shaped(3, 3, 3)))
    solver = SeparableSolver(problem)

    def weighted(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        z, bound = solver.split(weights, 1e-6)
        return z, problem.state(z).u, bound

    sandwich = Sandwich(weighted, 3)
    for weights in np.maximum(np.vstack([np.eye(3), np.full(3, 1.0 / 3)]), 1e-6):
        sandwich.solve(weights)
    stopped, whole, left = Hollows(solver, sandwich, 0.02), Hollows(solver, sandwich, 0.02), iter(range(looks))
    stopped.close(0.02, lambda: next(left, None) is None)
    whole.close(0.02, lambda: False)
    assert stopped.gap > whole.gap
    assert 0.0 < stopped.hypervolume <= whole.bound
    assert whole.hypervolume <= stopped.bound <= sandwich.bound
