"""Picks from a front against the obvious way, and their bounds against solving for them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from test_convex import problem
from test_front import front_of

import optimizer as opt


@cache
def front(n: int) -> opt.Front:
    return opt.frontier(opt.Scenario.from_dict(problem(n, 5, n)), tolerance=0.03)


def on_scale(found: opt.Front) -> np.ndarray:
    """All points on the stated scale, the obvious way."""
    scale = found.scenario.spec.preferences.scale
    columns = [(found.points[k] - scale[k][0]) / (scale[k][1] - scale[k][0]) for k in found.scenario.objectives]
    return np.column_stack(columns)


def at(found: opt.Front, plan: opt.Plan) -> int:
    """Which point of the front a plan is."""
    spend = found.points[[f"spend {line}" for line in found.scenario.lines]].to_numpy()
    (index,) = np.flatnonzero((spend == plan.spend.to_numpy()).all(axis=1))
    return int(index)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_weights_pick_the_largest_sum_and_bound_every_plan(n: int, seed: int) -> None:
    found, rng = front(n), np.random.default_rng(seed)
    weights = dict(zip(found.scenario.objectives, rng.uniform(0.1, 1, n), strict=True))
    plan = found.pick(weights=weights)
    w = np.array(list(weights.values())) / sum(weights.values())
    sums = on_scale(found) @ w
    assert at(found, plan) == sums.argmax()
    best = opt.solve(plan.scenario).certificate
    assert plan.certificate.value == pytest.approx(sums.max(), abs=1e-12)
    assert plan.certificate.value <= best.bound
    assert best.value <= plan.certificate.bound
    assert plan.certificate.gap <= 0.03
    assert plan.certificate.guarantee == "global"
    assert plan.scenario.spec.preferences.weights == pytest.approx(weights)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_targets_pick_the_least_short_and_bound_every_plan(n: int, seed: int) -> None:
    found, rng = front(n), np.random.default_rng(seed)
    names, scale = found.scenario.objectives, found.scenario.spec.preferences.scale
    r = rng.uniform(0.3, 1.0, n)
    targets = {k: scale[k][0] + at_k * (scale[k][1] - scale[k][0]) for k, at_k in zip(names, r, strict=True)}
    plan = found.pick(targets=targets)
    reached = (on_scale(found) - r).min(axis=1) + 1e-4 * on_scale(found).mean(axis=1)
    assert at(found, plan) == reached.argmax()
    best = opt.solve(plan.scenario).certificate
    assert plan.certificate.value <= best.bound
    assert best.value <= plan.certificate.bound
    assert plan.certificate.gap <= 0.05
    assert plan.certificate.measure == best.measure == "steps"


def test_the_knee_is_farthest_from_the_line_through_the_ends() -> None:
    found = front(2)
    names = list(found.scenario.objectives)
    kpis = found.points[names].to_numpy()
    u = (kpis - kpis.min(axis=0)) / np.ptp(kpis, axis=0)
    start, end = u[0], u[-1]
    along = (end - start) / np.linalg.norm(end - start)
    away = [np.linalg.norm(row - start - ((row - start) @ along) * along) for row in u]
    assert at(found, found.knee()) == int(np.argmax(away))
    assert found.knee().certificate.measure == "front"


@pytest.mark.parametrize("n", [2, 3])
def test_nearest_finds_every_point_itself_however_it_is_given(n: int) -> None:
    found = front(n)
    names = list(found.scenario.objectives)
    for point in range(0, len(found.points), 7):
        plan = found.plan(point)
        for given in (
            plan,
            plan.spend,
            plan.spend.iloc[::-1],
            plan.spend.to_numpy(),
            found.points.loc[point, names],
        ):
            assert at(found, found.nearest(given)) == point
        assert plan.certificate.value == 0.0
        assert 0.0 <= plan.certificate.gap <= 0.03
    middle = found.points[names].median()
    distance = np.linalg.norm(
        on_scale(found)
        - [(middle[k] - s[0]) / (s[1] - s[0]) for k, s in found.scenario.spec.preferences.scale.items()],
        axis=1,
    )
    # Of an even number of points the middle may lie as far from one as from another.
    assert distance[at(found, found.nearest(middle))] == pytest.approx(distance.min(), rel=1e-9)


def test_a_pick_can_be_read_like_any_plan() -> None:
    plan = front(2).knee()
    point = front(2).points.iloc[at(front(2), plan)]
    for name in plan.scenario.objectives:
        assert plan.outcomes.loc[name, "expected"] == pytest.approx(point[name], rel=1e-12)
    assert plan.spend.index.name == "line"
    assert plan.to_dict()["certificate"]["route"] == "frontier"
    assert set(plan.rules.columns) == {"slack", "binding", "shadow_price"}


def test_where_nothing_is_proven_nothing_is_claimed() -> None:
    plan = front_of().pick(weights={"kpi0": 1.0})
    assert plan.spend.to_dict() == {"line0": 900.0, "line1": 100.0}
    assert plan.certificate.guarantee == "none"
    assert np.isnan(plan.certificate.bound)
    filtered = front(2).where(least={"kpi 0": front(2).points["kpi 0"].median()})
    assert filtered.knee().certificate.guarantee == "none"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "either weights or targets"),
        ({"weights": {"kpi0": 1.0}, "targets": {"kpi0": 1.0}}, "either weights or targets"),
        ({"weights": {"kpi9": 1.0}}, "'kpi9' is not an objective"),
        ({"weights": {"kpi0": -1.0, "kpi1": 2.0}}, "not be negative"),
        ({"weights": {"kpi0": 0.0}}, "nor all zero"),
        ({"weights": {"kpi0": float("nan")}}, "finite"),
        ({"targets": {"kpi0": 1.0}}, "no target for 'kpi1'"),
    ],
)
def test_unclear_picks_are_refused(asked: dict, words: str) -> None:
    with pytest.raises(opt.SpecError, match=words):
        front_of().pick(**asked)


def test_a_pick_by_weights_needs_a_scale() -> None:
    data = problem(3, 3, 2)
    data["preferences"] = {"values": dict.fromkeys(data["kpis"], 3.0)}
    found = opt.frontier(opt.Scenario.from_dict(data), tolerance=0.1)
    with pytest.raises(opt.SpecError, match="scale"):
        found.pick(weights={"kpi 0": 1.0})
    assert found.nearest(found.current).certificate.guarantee == "global"


@pytest.mark.parametrize("given", [np.ones(3), [1.0, -1.0], [1.0, float("nan")], "spend"])
def test_nearest_to_what_is_no_plan(given: object) -> None:
    with pytest.raises(opt.SpecError, match="nearest needs"):
        front_of().nearest(given)
