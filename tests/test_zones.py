"""Search zones against a grid over the whole box, and their measures against sampling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.solve.zones import Zones
from optimizer.volumes import dominated_volume

STEPS = [0.0, 0.2, 0.35, 0.5, 0.8, 1.0]
values_of = st.integers(2, 4).flatmap(
    lambda n: st.lists(st.lists(st.sampled_from(STEPS), min_size=n, max_size=n), min_size=1, max_size=8)
)


def box(n: int) -> np.ndarray:
    """Half-spaces of the box alone."""
    return np.hstack([np.eye(n), -np.ones((n, 1))])


def between(n: int) -> np.ndarray:
    """A point inside each cell between the steps, so that no coordinate equals a step."""
    middles = (np.array(STEPS[1:]) + np.array(STEPS[:-1])) / 2
    return np.stack(np.meshgrid(*[middles] * n, indexing="ij"), axis=-1).reshape(-1, n)


@given(values_of)
@settings(max_examples=150)
def test_zones_cover_exactly_what_no_plan_dominates(rows):
    values = np.array(rows)
    zones = Zones(box(values.shape[1]), values)
    cells = between(values.shape[1])
    free = ~np.array([(cell <= values).all(axis=1).any() for cell in cells])
    # A zone holds points that are better than every plan in some objective; a beaten cell may lie above a corner
    # too, but no corner itself is beaten, and every free cell is in a zone.
    covered = np.array([(zones.corners <= cell).all(axis=1).any() for cell in cells])
    assert covered[free].all()
    for corner in zones.corners:
        assert not (corner < values).all(axis=1).any()
    assert len(np.unique(zones.corners, axis=0)) == len(zones.corners)


@given(values_of)
@settings(max_examples=50)
def test_no_zone_lies_in_another(rows):
    corners = Zones(box(len(rows[0])), np.array(rows)).corners
    for i, corner in enumerate(corners):
        others = np.delete(corners, i, axis=0)
        assert not (others <= corner).all(axis=1).any()


def sampled(n: int, seed: int) -> tuple[Zones, np.ndarray, np.ndarray]:
    """Zones with half-spaces and exclusions of a known set, with points in it and what may be attained."""
    rng = np.random.default_rng(seed)
    points = np.abs(rng.normal(size=(30, n)))
    # A front with a hollow: the curve sum of square roots = 1, bent inward.
    points = (points / points.sum(axis=1)[:, None]) ** 1.5
    w = rng.uniform(0.1, 1, (4, n))
    outside = np.vstack([box(n), np.hstack([w, -w.max(axis=1)[:, None]])])
    zones = Zones(outside, points)
    for corner in rng.uniform(0.3, 0.9, (5, n)):
        if (np.cbrt(np.minimum(corner, 1.0) ** 2)).sum() > 1:
            zones.exclude(corner)
    cloud = rng.uniform(0, 1, (40_000, n))
    allowed = (cloud @ w.T <= w.max(axis=1)).all(axis=1)
    for corner in zones.excluded:
        allowed &= ~(cloud > corner).all(axis=1)
    return zones, cloud, allowed


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_measures_are_exact_from_below_and_safe_from_above(n: int, seed: int) -> None:
    zones, cloud, allowed = sampled(n, seed)
    inner, outer = zones.measure()
    dominated = np.array([(point <= zones.values).all(axis=1).any() for point in cloud])
    noise = 4 * 0.5 / np.sqrt(len(cloud))
    assert inner == dominated_volume(zones.values)
    assert abs(inner - dominated.mean()) <= noise
    assert outer >= allowed.mean() - noise
    # The grid over all objectives but one is fine enough to stay near.
    assert outer <= allowed.mean() + noise + {2: 0.001, 3: 0.02, 4: 0.15}[n]


@pytest.mark.parametrize("n", [2, 3, 4])
def test_nothing_is_allowed_farther_above_a_corner_than_its_room(n: int) -> None:
    zones, cloud, allowed = sampled(n, 7)
    for corner, room in zip(zones.corners, zones.room(), strict=True):
        above = (cloud[allowed] - corner).min(axis=1)
        assert above.max(initial=0.0) <= room + 1e-9


def test_excluding_a_corner_leaves_no_room_above_it() -> None:
    zones = Zones(box(2), np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert zones.room().max() == pytest.approx(1.0)
    zones.exclude(np.array([0.25, 0.25]))
    assert zones.room().max() == pytest.approx(0.25)
    zones.attain(np.array([0.25, 0.25]))
    assert sorted(zones.corners.tolist()) == [[0.0, 0.25], [0.25, 0.0]]
