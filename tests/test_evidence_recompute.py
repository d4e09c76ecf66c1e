"""A line's effect by period, against a slow twin; comparisons that must fail where they should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_model
from naive import saturation

from optimizer import DataError
from optimizer.curves import NAMES
from optimizer.evidence.recompute import adstocked, by_period, compare, draw_and_date, hill


@pytest.mark.parametrize("after", [False, True])
def test_by_period_is_the_plain_sum(after: bool) -> None:
    model = make_model(draws=3)
    model = replace(model, after=np.full((2, 3), after))
    rng = np.random.default_rng(4)
    spend, season = rng.uniform(0, 200, 9), rng.uniform(0.5, 1.5, 9)
    weights = model.weights()
    for k, kpi in enumerate(model.kpis):
        for i, line in enumerate(model.lines):
            found = by_period(model, kpi, line, spend, season)
            for d in range(3):

                def effect(media: float, d: int = d, k: int = k, i: int = i) -> float:
                    name = NAMES[int(model.family[k, i])]
                    first, second = model.first[d, k, i], model.second[d, k, i]
                    return float(model.scale[d, k, i]) * float(saturation(name, media, first, second))

                for t in range(9):
                    lags = range(min(t + 1, int(model.length[k, i])))
                    if after:
                        wanted = sum(weights[d, k, i, lag] * effect(spend[t - lag]) for lag in lags)
                    else:
                        wanted = effect(sum(weights[d, k, i, lag] * spend[t - lag] for lag in lags))
                    assert found[d, t] == pytest.approx(wanted * season[t], rel=1e-9)


def test_the_worst_cell_is_named() -> None:
    theirs = np.arange(1.0, 13.0).reshape(3, 4)
    ours = theirs.copy()
    ours[1, 2] *= 1.002
    ours[2, 3] *= 1.01
    with pytest.raises(DataError, match=r"'tv', draw 2, d: the file is 12, .* 2 of 12 numbers") as caught:
        compare(ours, theirs, ("sales", "tv"), "the file", draw_and_date("abcd"), "m.nc")
    assert caught.value.path == ("sales", "tv")
    assert caught.value.file == "m.nc"
    ours = theirs * 1.0009
    assert compare(ours, theirs, ("sales", "tv"), "it", draw_and_date("abcd"), "").worst == pytest.approx(9e-4)


def test_cells_next_to_nothing_are_held_to_the_peak() -> None:
    theirs = np.array([[0.0, 1e-9, 100.0], [0.0, 0.0, 0.0]])
    same = draw_and_date("abc")
    assert compare(theirs + 1e-6 * (theirs > 50), theirs, ("k", "l"), "it", same, "").worst < 1e-6
    for nudge in ([[1e-3, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 1e-9, 0]]):
        with pytest.raises(DataError):
            compare(theirs + np.array(nudge), theirs, ("k", "l"), "it", same, "")


def test_nan_never_passes() -> None:
    for ours, theirs in (([[np.nan]], [[1.0]]), ([[1.0]], [[np.nan]])):
        with pytest.raises(DataError):
            compare(np.array(ours), np.array(theirs), ("k", "l"), "it", draw_and_date("a"), "")


def test_plain_adstock_and_hill() -> None:
    media, weights = np.array([1.0, 0.0, 2.0]), np.array([[1.0, 0.5], [1.0, 0.0]])
    assert adstocked(media, weights).tolist() == [[1.0, 0.5, 2.0], [1.0, 0.0, 2.0]]
    assert hill(np.array([[3.0]]), np.array([3.0]), np.array([2.0])).tolist() == [[0.5]]
