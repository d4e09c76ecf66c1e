"""Volumes of point sets against sums over a grid, inclusion and exclusion, and by their properties."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.volumes import dominated_volume, hull, hull_volume, shadows


def by_inclusion_and_exclusion(values: np.ndarray) -> float:
    """The obvious way: volumes of all intersections of the points' boxes, with alternating signs."""
    total = 0.0
    for size in range(1, len(values) + 1):
        for chosen in itertools.combinations(np.clip(values, 0.0, None), size):
            total += (-1.0) ** (size + 1) * float(np.min(chosen, axis=0).prod())
    return total


sets = st.integers(2, 5).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from([-0.5, 0.0, 0.2, 0.4, 0.5, 0.9, 1.0]), min_size=n, max_size=n),
        min_size=1,
        max_size=7,
    )
)


@given(sets)
def test_dominated_volume_agrees_with_inclusion_and_exclusion(rows):
    values = np.array(rows)
    assert dominated_volume(values) == pytest.approx(by_inclusion_and_exclusion(values), abs=1e-12)


@given(sets, st.randoms(use_true_random=False))
def test_dominated_volume_does_not_depend_on_order_or_beaten_points(rows, random):
    values = np.array(rows)
    shuffled = [*rows, [at - 0.1 for at in rows[0]]]
    random.shuffle(shuffled)
    columns = random.sample(range(values.shape[1]), values.shape[1])
    assert dominated_volume(np.array(shuffled)[:, columns]) == pytest.approx(dominated_volume(values), abs=1e-12)


def test_no_points_have_no_volume():
    assert dominated_volume(np.empty((0, 3))) == 0.0
    assert dominated_volume(np.array([[0.5, -0.1]])) == 0.0


@pytest.mark.parametrize("n", [2, 3, 4])
def test_hull_of_shadows_of_one_point_is_its_box(n):
    point = np.linspace(0.3, 0.9, n)
    assert hull_volume(shadows(point[None])) == pytest.approx(point.prod(), rel=1e-9)


def test_flat_sets_have_no_hull():
    assert hull(np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.0]])) is None
    assert hull_volume(np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.5, 0.2, 0.0]])) == 0.0


def test_points_on_a_slanted_line_do_not_raise():
    assert hull_volume(np.array([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]])) == pytest.approx(0.0, abs=1e-6)
