"""Models of different KPIs put together: lines by name, draws by stated pairing, odd ones listed."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_model, scenario_on_file

from optimizer import DataError, ResponseModel, simulate
from optimizer.evidence.combine import combine
from optimizer.response import BY_DRAW
from optimizer.synergy import Synergy

LINES = ("line0", "line1", "line2")


def one(kpi: str, **given: Any) -> ResponseModel:
    return make_model(kpis=(kpi,), **given)


def test_lines_go_by_name(tmp_path: Path) -> None:
    first, second = one("orders"), one("reach", seed=1)
    shuffled = second.select(("reach",), LINES[::-1])
    found = combine([first, replace(shuffled, history=first.history[::-1])])
    assert found.kpis == ("orders", "reach")
    assert found.lines == LINES
    assert np.array_equal(found.scale[:, 1], second.scale[:, 0])
    assert np.array_equal(found.length[1], second.length[0])
    spend = np.array([300.0, 200.0, 100.0])
    both = simulate(scenario_on_file(tmp_path, found), spend)
    alone = simulate(scenario_on_file(tmp_path, replace(second, history=first.history)), spend)
    assert np.allclose(both["reach"], alone["reach"])


def test_points_and_curves_go_together() -> None:
    points = np.full((1, 3, 2, 2), np.nan)
    points[0, 0] = [[10, 1], [20, 2]]
    family = np.full((1, 3), 8)
    first = one("orders")
    second = replace(one("reach", points=points, family=family), history=first.history)
    found = combine([first, second])
    assert found.points.shape == (2, 3, 2, 2)
    assert np.isnan(found.points[0]).all()


def test_different_draws_are_drawn_anew_when_asked() -> None:
    first, second = one("orders", draws=5), one("reach", draws=8)
    second = replace(second, history=first.history)
    with pytest.raises(DataError, match="orders: 5, reach: 8") as caught:
        combine([first, second])
    assert "draws=" in caught.value.hint
    found = combine([first, second], draws=6, seed=2)
    again = combine([first, second], draws=6, seed=2)
    assert found.draws == 6
    assert np.array_equal(found.scale, again.scale)
    # Whole draws, each model's own, and none twice where there are enough.
    where = [[int(np.argwhere((second.scale[:, 0] == row).all(axis=1))[0][0])] for row in found.scale[:, 1]]
    assert len({tuple(each) for each in where}) == 6
    assert any("seed 2" in note for note in found.notes)
    assert not np.array_equal(found.scale, combine([first, second], draws=6, seed=3).scale)


def test_every_part_of_a_model_is_combined() -> None:
    """A part that a model gains must be put together too, or it would be lost without a word."""
    together = {"kpis", "lines", *BY_DRAW, "family", "length", "normalised", "carryover", "after", "points"}
    together |= {"baseline", "observed", "history", "synergy", "start", "period", "notes", "attributes"}
    assert {field.name for field in fields(ResponseModel)} == together


def test_synergy_comes_along() -> None:
    mutual = Synergy((("orders", "line0", "line1"),), np.linspace(0.1, 0.5, 5)[:, None])
    both = combine([replace(one("reach")), replace(one("orders"), synergy=mutual)])
    assert both.synergy == mutual
    assert not combine([one("reach"), one("orders")]).synergy


def test_odd_lines_are_listed() -> None:
    with pytest.raises(DataError, match=r"'line2' \(only in the first\), 'tv' \(only in reach\)"):
        combine([one("orders"), one("reach", lines=("line0", "line1", "tv"))])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"period": "day"}, "'period' is week for orders, day for reach"),
        ({"start": None}, "'start' is 2026-01-05 for orders"),
        ({"kpis": ("orders",)}, "two models of 'orders'"),
        ({"baseline": np.ones((5, 1, 3))}, "baselines of 3 and 6 periods"),
        ({"history": np.full((3, 2), 5e5)}, "know other spend of 'line0'"),
        ({"observed": np.tile([2e6, 3e6], (3, 1))}, "quite different spend"),
    ],
)
def test_models_that_do_not_go_together(change: dict[str, Any], words: str) -> None:
    first = one("orders")
    second = replace(one("reach"), **({"history": first.history} | change))
    with pytest.raises(DataError, match=words):
        combine([first, second])


def test_slightly_other_spend_is_told() -> None:
    first = one("orders")
    second = replace(one("reach"), history=first.history * [[1.05], [1.0], [1.0]])
    found = combine([first, second])
    assert np.array_equal(found.history, first.history)
    assert any(note.endswith("one is used: line0.") for note in found.notes)


def test_a_single_baseline_holds_for_all_periods() -> None:
    first = one("orders")
    second = replace(one("reach", periods=1), history=first.history[:, 1:])
    found = combine([first, second])
    assert found.baseline.shape == (5, 2, 6)
    assert np.array_equal(found.history, first.history)
    with pytest.raises(DataError, match="no models"):
        combine([])
    with pytest.raises(DataError, match="0 draws"):
        combine([first], draws=0)
