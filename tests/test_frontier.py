"""Pareto fronts: their ends, their completeness, and what random plans can say against them."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from test_convex import allowed, grid, problem

import optimizer as opt


def scaled(front: opt.Front, kpis: np.ndarray) -> np.ndarray:
    """KPI values (N, O) on the box from the certificate's reference to the payoff optima."""
    low = np.array([front.certificate.reference[name] for name in front.scenario.objectives])
    best = np.diag(front.payoff.to_numpy())
    return (kpis - low) / (best - low)


def dominated_area(points: np.ndarray) -> float:
    """Area below a staircase of two-KPI points, above the origin."""
    area, reached = 0.0, 0.0
    for x, y in sorted(points.tolist(), reverse=True):
        if y > reached:
            area, reached = area + x * (y - reached), y
    return area


@pytest.mark.parametrize("n_kpis", [2, 3])
@pytest.mark.parametrize("floors", [False, True])
def test_front_is_feasible_non_dominated_and_certified(n_kpis: int, floors: bool) -> None:
    front = opt.frontier(opt.Scenario.from_dict(problem(n_kpis, 6, n_kpis, floors)), tolerance=0.01)
    names = list(front.scenario.objectives)
    kpis, spend = front.points[names].to_numpy(), front.points.filter(like="spend ").to_numpy()
    assert len(front.points) >= 20
    assert front.certificate.gap <= 0.01
    assert allowed(front.scenario, spend).all()
    again = opt.simulate(front.scenario, spend).groupby(level="plan").mean()[names].to_numpy()
    assert np.allclose(kpis, again, rtol=1e-12)
    for i, row in enumerate(kpis):
        others = np.delete(kpis, i, axis=0)
        assert not np.any(np.all(others >= row, axis=1) & np.any(others > row, axis=1))


@pytest.mark.parametrize("n_kpis", [2, 3])
def test_ends_are_the_single_objective_optima(n_kpis: int) -> None:
    data = problem(7, 5, n_kpis)
    front = opt.frontier(opt.Scenario.from_dict(data))
    for name in front.scenario.objectives:
        alone = {k: v | {"role": "objective" if k == name else "monitor"} for k, v in data["kpis"].items()}
        plan = opt.solve(opt.Scenario.from_dict(data | {"kpis": alone, "preferences": {}}))
        assert front.points[name].max() == pytest.approx(plan.certificate.value, rel=1e-6)
        assert front.payoff.loc[name, name] == pytest.approx(plan.certificate.value, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_brute_force_finds_no_more_than_the_bound_and_no_less_than_the_front(seed: int) -> None:
    scenario = opt.Scenario.from_dict(problem(seed, 3, 2))
    front = opt.frontier(scenario, tolerance=0.005)
    plans = 1000.0 * grid(3, 200)
    plans = plans[allowed(scenario, plans)]
    kpis = opt.simulate(scenario, plans).groupby(level="plan").mean()[list(scenario.objectives)].to_numpy()
    known = dominated_area(np.clip(scaled(front, kpis), 0, None))
    ours = np.clip(scaled(front, front.points[list(scenario.objectives)].to_numpy()), 0, None)
    assert known <= front.certificate.bound
    assert dominated_area(ours) <= front.certificate.bound
    # The hull of the front, which blends attain, covers what brute force attains up to the certified gap.
    hull = ConvexHull(np.vstack([ours, ours * [0, 1], ours * [1, 0], [[0, 0]]])).volume
    assert hull == pytest.approx(front.certificate.hypervolume, rel=1e-6)
    assert hull >= known - 1e-9


def test_blends_of_neighbours_attain_the_blended_kpis() -> None:
    scenario = opt.Scenario.from_dict(problem(4, 6, 2))
    front = opt.frontier(scenario)
    names = list(scenario.objectives)
    spend = front.points.filter(like="spend ").to_numpy()
    middle = opt.simulate(scenario, (spend[1:] + spend[:-1]) / 2).groupby(level="plan").mean()[names].to_numpy()
    kpis = front.points[names].to_numpy()
    assert np.all(middle >= (kpis[1:] + kpis[:-1]) / 2 - 1e-9 * np.abs(kpis[1:]))


def test_one_objective_has_no_front() -> None:
    with pytest.raises(opt.SpecError, match="objectives"):
        opt.frontier(opt.Scenario.from_dict(problem(1, 3, 1)))
