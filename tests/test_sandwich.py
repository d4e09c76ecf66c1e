"""The sandwich on sets whose volumes are known: bounds on both sides, progress, and degenerate sets."""

import math

import numpy as np
import pytest

from optimizer.solve.sandwich import Sandwich
from optimizer.volumes import dominated_volume

Floats = np.ndarray
# Volume of the part of a ball of radius 1 where no coordinate is negative.
PARTS = {n: math.pi ** (n / 2) / math.gamma(n / 2 + 1) / 2**n for n in (2, 3, 4, 5)}


def ball(weights: Floats) -> tuple[Floats, Floats, float]:
    at = weights / np.linalg.norm(weights)
    return at, at, float(weights @ at)


def closed_in(weighted, n: int, rounds: int, ends: Floats) -> Sandwich:
    sandwich = Sandwich(weighted, n)
    for row in ends:
        sandwich.take(row, row)
    for _ in range(rounds):
        for weights in sandwich.measure():
            sandwich.solve(weights)
    sandwich.measure()
    return sandwich


@pytest.mark.parametrize(("n", "rounds", "gap"), [(2, 6, 1e-3), (3, 7, 0.01), (4, 7, 0.065), (5, 4, 0.28)])
def test_a_ball_is_bracketed_ever_closer(n: int, rounds: int, gap: float) -> None:
    gaps = []
    for fewer in range(rounds + 1):
        found = closed_in(ball, n, fewer, np.eye(n))
        assert found.hypervolume <= PARTS[n] <= found.bound
        gaps.append(found.gap)
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] <= gap


@pytest.mark.parametrize("n", [2, 3, 4])
def test_everything_attained_lies_in_the_outer_set(n: int) -> None:
    found = closed_in(ball, n, 3, np.eye(n))
    random = np.abs(np.random.default_rng(n).normal(size=(500, n)))
    random /= np.linalg.norm(random, axis=1)[:, None]
    outside = np.array(found.outside)
    assert (random @ outside[:, :-1].T <= -outside[:, -1] + 1e-12).all()
    assert dominated_volume(random) <= found.bound


def test_weights_are_not_solved_twice() -> None:
    asked = []

    def weighted(weights: Floats) -> tuple[Floats, Floats, float]:
        asked.append(tuple(np.round(weights, 6)))
        return ball(weights)

    closed_in(weighted, 3, 5, np.eye(3))
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("n", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("one plan is best at everything", lambda w: np.ones(len(w))),
        ("hardly any range in all but one", lambda w: np.append(np.full(len(w) - 1, 1.0 - 1e-10), 1.0)),
        ("nothing but a corner", lambda w: np.append(np.full(len(w) - 1, 1e-12), 1.0)),
        ("a plane", lambda w: np.eye(len(w))[int(np.argmax(w))]),
        ("next to nothing", lambda w: np.full(len(w), 1e-9)),
    ],
)
def test_degenerate_sets_end_without_an_error(name: str, point, n: int) -> None:
    def weighted(weights: Floats) -> tuple[Floats, Floats, float]:
        at = point(weights)
        return at, at, float(weights @ at)

    rows = np.array([point(row) for row in np.eye(n)])
    found = closed_in(weighted, n, 3, rows)
    assert 0.0 <= found.hypervolume <= found.bound <= (1 + 1e-5) ** n, name
    assert dominated_volume(rows) <= found.bound + 1e-9
