"""Weights of objectives."""

from __future__ import annotations

import numpy as np

from optimizer.solve.weights import even_weights, normals


def test_even_weights_are_all_there() -> None:
    found = even_weights(3, 4)
    assert len(found) == 15
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert len({tuple(row) for row in found.round(9)}) == 15


def test_normals_are_the_same_for_all_corners_of_a_facet_and_none_is_below_nothing() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(size=(50, 3, 3))
    found = normals(corners)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert found.min() > 0.0
    edges = corners[:, 1:] - corners[:, :1]
    wanted = np.cross(edges[:, 0], edges[:, 1])
    wanted *= np.sign(wanted.sum(axis=1, keepdims=True))
    facing = wanted.min(axis=1) > 0.0
    assert facing.any()
    wanted /= wanted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found[facing], wanted[facing], rtol=1e-4, atol=1e-6)
