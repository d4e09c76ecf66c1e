"""What no plan can exceed: linear programs against brute force over the sets they stand for."""

import numpy as np
import pytest

from optimizer.limits import SLACK, Limits


def sample(seed: int, n: int) -> tuple[Limits, np.ndarray]:
    """Half-spaces around a part of a ball, an excluded corner, and points on it below that corner somewhere."""
    rng = np.random.default_rng(seed)
    weights = np.vstack([np.eye(n), np.abs(rng.normal(size=(20, n)))])
    levels = np.linalg.norm(weights, axis=1)
    corner = np.full((1, n), 0.5 / np.sqrt(n))
    points = np.abs(rng.normal(size=(20_000, n)))
    points /= np.linalg.norm(points, axis=1)[:, None]
    return Limits(weights, levels, corner), points[(points <= corner).any(axis=1)]


@pytest.mark.parametrize("n", [2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(3))
def test_no_point_exceeds_the_bounds(seed: int, n: int) -> None:
    limits, points = sample(seed, n)
    rng = np.random.default_rng(seed)
    for _ in range(10):
        w, start = rng.uniform(0, 1, n), rng.uniform(-0.5, 0.8, n)
        steps, few = rng.uniform(0.2, 3, n), 1e-3 * rng.uniform(0, 1, n)
        assert limits.highest(w) >= (points @ w).max()
        reached = (points * steps - start).min(axis=1) + (points * steps) @ few
        assert limits.farthest(steps, start, few) >= reached.max()


def test_bounds_are_no_wider_than_the_half_spaces() -> None:
    limits = Limits(np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]), np.array([1.0, 1.0, 0.6]), np.empty((0, 2)))
    assert limits.highest(np.array([0.5, 0.5])) == pytest.approx(0.6, abs=2 * SLACK)
    assert limits.highest(np.array([1.0, 0.0])) == pytest.approx(1.0, abs=2 * SLACK)
    assert limits.farthest(np.ones(2), np.zeros(2), np.zeros(2)) == pytest.approx(0.6, abs=2 * SLACK)
    corner = Limits(limits.weights, limits.levels, np.array([[0.3, 0.4]]))
    assert corner.farthest(np.ones(2), np.zeros(2), np.zeros(2)) == pytest.approx(0.4, abs=3 * SLACK)


def test_normal_is_the_mean_of_the_weights_a_point_is_best_for() -> None:
    limits = Limits(np.array([[2.0, 0.0], [0.0, 1.0], [0.5, 0.5]]), np.array([2.0, 1.0, 0.6]), np.empty((0, 2)))
    assert limits.normal(np.array([0.7, 0.5]), 1e-9) == pytest.approx([0.5, 0.5])
    assert limits.normal(np.array([1.0, 0.2]), 1e-9) == pytest.approx([0.75, 0.25])
    assert limits.normal(np.array([0.5, 0.5]), 1e-9) is None
