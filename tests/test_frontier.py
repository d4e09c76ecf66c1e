"""Pareto fronts: their ends, their completeness, and what random plans can say against them."""

import numpy as np
import pandas as pd
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


def hollow(slope: float = 3.0, half: float = 590.0, scale: float = 10.0, **changes: object) -> dict:
    """Two lines, each S-shaped and for one KPI only: the best mixes lie in a hollow between the two ends."""
    lines, kpis = ["first", "second"], ["reach", "sales"]
    curve = {"kind": "hill", "scale": scale, "half": half, "slope": slope}
    data = {
        "name": "hollow",
        "currency": "EUR",
        "horizon": {"start": "2026-01-05", "periods": 1},
        "lines": [{"name": line, "current": 500.0, "max": 1000.0} for line in lines],
        "kpis": {kpi: {"direction": "maximize", "unit": "things"} for kpi in kpis},
        "response": {
            "reach": {"first": {"curve": curve}, "second": "none"},
            "sales": {"first": "none", "second": {"curve": curve}},
        },
        "constraints": {"budget": {"total": 1000.0}},
        "preferences": {"weights": dict.fromkeys(kpis, 1.0), "scale": {kpi: [0.0, scale] for kpi in kpis}},
    }
    return data | changes


def test_a_front_has_the_points_that_weighted_sums_miss() -> None:
    data = hollow()
    scenario = opt.Scenario.from_dict(data)
    ends = {
        tuple(np.round(opt.solve(opt.Scenario.from_dict(data | {"preferences": stated})).spend.sort_values()))
        for share in (0.01, 0.3, 0.5, 0.7, 0.99)
        for stated in [data["preferences"] | {"weights": {"reach": share, "sales": 1.0 - share}}]
    }
    assert ends == {(0.0, 1000.0)}
    front = opt.frontier(scenario, tolerance=0.05)
    assert front.certificate.gap <= 0.05
    assert front.certificate.guarantee == "global"
    assert len(front.points) > 20
    # Every split of the budget is on the true front.
    first = np.linspace(0.0, 1000.0, 5001)
    known = opt.simulate(scenario, np.column_stack([first, 1000.0 - first])).groupby(level="plan").mean()
    whole = front.hypervolume_of(known)
    assert front.hypervolume <= whole <= front.certificate.bound
    assert front.hypervolume >= whole * 0.95
    assert front.points.filter(like="spend ").sum(axis=1).to_numpy() == pytest.approx(1000.0)
    assert np.diff(np.sort(front.points["spend first"])).max() < 200.0
    exchange = front.exchange()
    assert exchange.iloc[len(exchange) // 2].isna().all()


def test_on_off_fronts_equal_brute_force() -> None:
    data = problem(5, 3, 2, rules=False)
    data["constraints"]["minimum_if_on"] = [{"select": {"channel": "a"}, "amount": 420.0}]
    data["constraints"]["most_on"] = [{"lines": 2}]
    front = opt.frontier(opt.Scenario.from_dict(data), tolerance=0.02)
    plans = 1000.0 * grid(3, 200)
    on = plans > 0
    kept = (on.sum(axis=1) <= 2) & ~((plans[:, [0, 2]] > 0) & (plans[:, [0, 2]] < 420.0)).any(axis=1)
    plans = plans[kept]
    known = opt.simulate(front.scenario, plans).groupby(level="plan").mean()
    whole = front.hypervolume_of(known)
    assert whole <= front.certificate.bound
    assert front.hypervolume >= whole - 0.02 * front.certificate.bound
    spend = front.points.filter(like="spend ").to_numpy()
    assert ((spend > 1e-6).sum(axis=1) <= 2).all()
    assert not ((spend[:, [0, 2]] > 1e-6) & (spend[:, [0, 2]] < 420.0 - 1e-6)).any()


@pytest.mark.parametrize(("n_kpis", "tolerance"), [(4, 0.05), (5, 0.15)])
def test_four_and_five_kpis(n_kpis: int, tolerance: float) -> None:
    scenario = opt.Scenario.from_dict(problem(n_kpis, 4, n_kpis, rules=False))
    front = opt.frontier(scenario, tolerance=tolerance)
    assert front.certificate.gap <= tolerance
    random = 1000.0 * np.random.default_rng(0).dirichlet(np.full(4, 0.7), 400)
    known = opt.simulate(scenario, random).groupby(level="plan").mean()
    assert front.hypervolume_of(known) <= front.hypervolume <= front.certificate.bound
    assert allowed(scenario, front.points.filter(like="spend ").to_numpy()).all()
    limits = front.limits
    assert limits is not None
    steps = front.steps(known[list(scenario.objectives)])
    assert (steps @ limits.weights.T <= limits.levels + 1e-9).all()


@pytest.mark.parametrize("floors", [False, True])
def test_no_real_plan_is_outside_the_proven_limits(floors: bool) -> None:
    data = problem(9, 4, 3, floors)
    scenario = opt.Scenario.from_dict(data)
    front = opt.frontier(scenario, tolerance=0.05)
    plans = 1000.0 * np.random.default_rng(1).dirichlet(np.ones(4), 4000)
    plans = plans[allowed(scenario, plans)]
    assert len(plans) > 20
    steps = front.steps(opt.simulate(scenario, plans).groupby(level="plan").mean()[list(scenario.objectives)])
    assert front.limits is not None
    assert (steps @ front.limits.weights.T <= front.limits.levels + 1e-9).all()


@pytest.mark.parametrize("shaped", [False, True])
def test_no_time_leaves_an_honest_front(shaped: bool) -> None:
    scenario = opt.Scenario.from_dict(hollow() if shaped else problem(6, 6, 3))
    front = opt.frontier(scenario, tolerance=1e-4, time_limit=0.0)
    assert "time" in front.certificate.ended
    assert len(front.points) >= 2
    assert front.certificate.gap > 1e-4
    whole = opt.frontier(scenario, tolerance=0.05)
    assert whole.hypervolume <= front.certificate.bound
    assert whole.certificate.ended == ""


@pytest.mark.parametrize("shaped", [False, True])
@pytest.mark.parametrize("calls", [1, 4, 30])
def test_an_interrupt_keeps_what_is_there(shaped: bool, calls: int) -> None:
    scenario = opt.Scenario.from_dict(hollow() if shaped else problem(6, 6, 3))
    seen = []

    def interrupt(done: float) -> None:
        seen.append(done)
        if len(seen) == calls:
            raise KeyboardInterrupt

    front = opt.frontier(scenario, tolerance=1e-4, progress=interrupt)
    assert "interrupted" in front.certificate.ended
    assert len(front.points) >= 2
    # The two ends of a hollow front alone cover nothing.
    assert 1e-4 < front.certificate.gap <= 1.0
    assert front.hypervolume <= front.certificate.bound
    assert seen[-1] == 1.0
    assert min(seen) >= 0.0


@pytest.mark.parametrize("n_kpis", [2, 3, 4])
@pytest.mark.parametrize("kind", ["identical", "opposite scale", "one cannot move", "nearly a point", "one line"])
def test_degenerate_fronts_are_found_without_an_error(kind: str, n_kpis: int) -> None:
    data = problem(3, 3, n_kpis, rules=False)
    kpis = list(data["kpis"])
    if kind == "identical":
        data["response"] = dict.fromkeys(kpis, data["response"][kpis[0]])
    elif kind == "opposite scale":
        entry = data["response"][kpis[0]]
        small = {
            line: at | {"curve": at["curve"] | {"scale": 1e-6 * at["curve"]["scale"]}}
            for line, at in entry.items()
        }
        data["response"] = dict.fromkeys(kpis, entry) | {kpis[-1]: small}
    elif kind == "one cannot move":
        data["response"][kpis[-1]] = {line["name"]: "none" for line in data["lines"]}
        data["kpis"][kpis[-1]]["baseline"] = 5.0
    elif kind == "nearly a point":
        for line in data["lines"]:
            line |= {"min": 333.3333, "max": 333.3334}
    else:
        for line in data["lines"][1:]:
            line |= {"max": 0.0, "current": 0.0}
    data["preferences"]["scale"] = {kpi: [0.0, 100.0] for kpi in kpis}
    front = opt.frontier(opt.Scenario.from_dict(data), tolerance=0.05, time_limit=20.0)
    assert len(front.points) >= 1
    assert front.hypervolume <= front.certificate.bound + 1e-9
    assert 0.0 <= front.certificate.gap <= 0.05
    assert front.knee().spend.sum() == pytest.approx(1000.0, rel=1e-6)
    assert front.plan(0).certificate.gap <= 0.05
    assert front.exchange().shape == (len(front.points), n_kpis * (n_kpis - 1))


def test_order_and_units_do_not_change_a_front() -> None:
    data = problem(8, 4, 3)
    front = opt.frontier(opt.Scenario.from_dict(data), tolerance=0.02)
    other = {**data, "lines": data["lines"][::-1]}
    for block in ("kpis", "response"):
        other[block] = dict(reversed(data[block].items()))
    scaled_by = dict(zip(data["kpis"], (1000.0, 1.0, 1e-3), strict=True))
    other["response"] = {
        kpi: {
            line: at | {"curve": at["curve"] | {"scale": scaled_by[kpi] * at["curve"]["scale"]}}
            for line, at in entry.items()
        }
        for kpi, entry in other["response"].items()
    }
    changed = opt.frontier(opt.Scenario.from_dict(other), tolerance=0.02)
    assert changed.certificate.hypervolume == pytest.approx(front.certificate.hypervolume, rel=0.01)
    assert changed.certificate.gap <= 0.02
    for name, factor in scaled_by.items():
        assert changed.payoff.loc[name, name] == pytest.approx(factor * front.payoff.loc[name, name], rel=1e-6)
        assert changed.certificate.reference[name] == pytest.approx(
            factor * front.certificate.reference[name], rel=1e-4
        )
    kpis = changed.points[list(scaled_by)] / pd.Series(scaled_by)
    assert front.hypervolume_of(kpis) == pytest.approx(front.hypervolume, rel=0.01)


def test_filtered_and_merged_fronts_say_what_is_proven() -> None:
    front = opt.frontier(opt.Scenario.from_dict(problem(2, 4, 2)), tolerance=0.02)
    middle = float(front.points["kpi 0"].median())
    above, below = front.where(least={"kpi 0": middle}), front.where(most={"kpi 0": middle})
    for part in (above, below):
        assert part.certificate.guarantee == "none"
        assert "filtered" in part.certificate.why
        assert part.hypervolume == part.certificate.hypervolume < front.hypervolume
    assert (above.points["kpi 0"] >= middle).all()
    assert front.where(least={"spend line 0": 0.0}, most={"spend": 1e6}) is front
    both = above.merge(below)
    assert both.points.equals(front.points)
    assert both.certificate.guarantee == "none"
    whole = above.merge(front)
    assert whole.points.equals(front.points)
    assert whole.certificate.guarantee == "global"
    assert whole.certificate.gap == pytest.approx(front.certificate.gap, abs=1e-9)
    rough = opt.frontier(front.scenario, tolerance=0.2)
    merged = front.merge(rough)
    assert merged.certificate.bound == min(front.certificate.bound, rough.certificate.bound)
    assert merged.hypervolume >= max(front.hypervolume, rough.hypervolume) - 1e-9
    with pytest.raises(opt.SpecError, match="different scenarios"):
        front.merge(opt.frontier(opt.Scenario.from_dict(problem(3, 4, 2)), tolerance=0.2))
    with pytest.raises(opt.SpecError, match="no point"):
        front.where(least={"kpi 0": 1e9})
    with pytest.raises(opt.SpecError, match="no 'kpi 9'"):
        front.where(least={"kpi 9": 1.0})


def test_exchange_rates_are_the_slopes_of_the_front() -> None:
    front = opt.frontier(opt.Scenario.from_dict(problem(1, 6, 2, rules=False)), tolerance=1e-3)
    names = ["kpi 0", "kpi 1"]
    rates = front.exchange()["kpi 0", "kpi 1"].to_numpy()
    assert front.exchange()["kpi 1", "kpi 0"].to_numpy() == pytest.approx(1 / rates, nan_ok=True)
    # The more there is of a KPI, the more the next unit of it costs.
    known = rates[np.isfinite(rates)]
    assert len(known) >= 50
    assert (np.diff(known) <= 1e-9 * known[:-1]).all()
    # On a concave front the rate at a point that was solved for lies between the slopes to its neighbours.
    assert front.limits is not None
    room = front.limits.levels - front.steps(front.points[names]) @ front.limits.weights.T
    solved = room.min(axis=1) <= 3e-6
    kpis, rates = front.points[names].to_numpy()[solved], rates[solved][1:-1]
    slopes = -np.diff(kpis[:, 0]) / np.diff(kpis[:, 1])
    low, high = np.minimum(slopes[1:], slopes[:-1]), np.maximum(slopes[1:], slopes[:-1])
    known = np.isfinite(rates)
    assert known.sum() >= 10
    assert (rates[known] >= low[known] * 0.95).all()
    assert (rates[known] <= high[known] * 1.05).all()
