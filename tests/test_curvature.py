"""Second derivatives by line against differences cell by cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import make_model, scenario_on_file

from optimizer.solve.cells import CellProblem
from optimizer.solve.curvature import bowl, curvature


@pytest.mark.parametrize("length", [1, 3])
def test_curvature_is_that_of_every_pair_of_cells(tmp_path: Path, length: int) -> None:
    model = make_model(4, length=np.full((2, 3), length))
    cells = CellProblem(scenario_on_file(tmp_path, model, periods=6, changes={"flighting": "free"}))
    z = np.random.default_rng(0).dirichlet(np.full(len(cells.lower), 20.0))
    found = curvature(cells, z)
    for i in range(len(z)):
        step = np.eye(len(z))[i] * 1e-6
        column = (cells.mean_gradients((z + step)[None]) - cells.mean_gradients((z - step)[None]))[0] / 2e-6
        line, period = divmod(i, 6)
        column = column.reshape(2, 3, 6)
        assert found[:, line, :, period] == pytest.approx(column[:, line], rel=2e-2, abs=1e-3)
        assert np.delete(column, line, axis=1) == pytest.approx(0.0, abs=1e-12)


def test_a_bowl_bends_no_way_but_up() -> None:
    rng = np.random.default_rng(0)
    good = -np.einsum("lij,lkj->lik", *2 * [rng.normal(size=(3, 4, 4))])
    assert bowl(good) == pytest.approx(-good, rel=1e-12)
    bent = good + np.diag([5.0, 0, 0, 0])
    found = bowl(bent)
    assert np.linalg.eigvalsh(found).min() >= -1e-12
    assert np.abs(found + bent).max() > 1e-3
    assert bowl(np.zeros((2, 3, 3))) == pytest.approx(0.0)
