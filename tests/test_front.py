"""Front: which points are kept, how one is read, and plain JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_scenario
from hypothesis import given, settings
from hypothesis import strategies as st

import optimizer as opt
from optimizer.front import non_dominated
from optimizer.front_certificate import FrontCertificate


def kept(rows: list[list[float]]) -> list[bool]:
    """The obvious way: a row goes if another is as good everywhere, and better somewhere or its earlier twin."""
    flags = []
    for i, row in enumerate(rows):
        beaten = False
        for j, other in enumerate(rows):
            as_good = all(there >= here for here, there in zip(row, other, strict=True))
            better = any(there > here for here, there in zip(row, other, strict=True))
            if as_good and (better or j < i):
                beaten = True
        flags.append(not beaten)
    return flags


grids = st.integers(1, 4).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from([-1.0, -0.0, 0.0, 1.0, 2.0, 3.0]), min_size=n, max_size=n),
        min_size=1,
        max_size=12,
    )
)


@given(grids)
@settings(max_examples=300)
def test_non_dominated_agrees_with_the_obvious_way(rows):
    assert non_dominated(np.array(rows)).tolist() == kept(rows)


@given(st.lists(st.tuples(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300)), min_size=1, max_size=20))
def test_non_dominated_at_any_size(rows):
    assert non_dominated(np.array(rows)).tolist() == kept([list(row) for row in rows])


@pytest.mark.parametrize(
    ("rows", "flags"),
    [
        ([[1, 1]], [True]),
        ([[1, 2], [2, 1], [1, 1]], [True, True, False]),
        ([[1, 1], [1, 1], [1, 1]], [True, False, False]),
        ([[1, 1], [1, 2]], [False, True]),
        ([[0, 0, 3], [0, 3, 0], [3, 0, 0], [0, 0, 2]], [True, True, True, False]),
    ],
)
def test_non_dominated_by_hand(rows, flags):
    assert non_dominated(np.array(rows, dtype=float)).tolist() == flags


@given(grids, st.randoms(use_true_random=False))
def test_the_same_points_are_kept_in_any_order(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)

    def points(given_rows: list[list[float]]) -> list[tuple[float, ...]]:
        flags = non_dominated(np.array(given_rows))
        return sorted(tuple(row) for row, keep in zip(given_rows, flags, strict=True) if keep)

    assert points(rows) == points(shuffled)


def front_of(kpis: tuple[str, str] = ("kpi0", "kpi1"), **changes: Any) -> opt.Front:
    """A front written by hand: three plans of two lines."""
    data = make_scenario(2, 2)
    data["kpis"] = {name: {"direction": "maximize", "unit": "things"} for name in kpis}
    data["response"] = dict(zip(kpis, data["response"].values(), strict=True))
    data["preferences"] = {"weights": dict.fromkeys(kpis, 1.0), "scale": {name: [0.0, 50.0] for name in kpis}}
    fields: dict[str, Any] = {
        "guarantee": "global",
        "hypervolume": 0.5,
        "bound": 0.6,
        "gap": 1 / 6,
        "reference": dict.fromkeys(kpis, 0.0),
        "route": "by hand",
        "why": "a test",
        "solves": 3,
    }
    points = [[1.0, 9.0, 100.0, 900.0], [2.5, 8.0, 500.0, 500.0], [4.0, 1 / 3, 900.0, 100.0]]
    return opt.Front(
        opt.Scenario.from_dict(data),
        pd.DataFrame(points, columns=[*kpis, "spend line0", "spend line1"]),
        pd.DataFrame([[4.0, 1 / 3], [1.0, 9.0]], index=list(kpis), columns=list(kpis)),
        pd.Series([2.0, 5.0], index=list(kpis), name="current"),
        FrontCertificate(**(fields | changes)),
    )


def test_spend_of_a_point_is_by_line():
    spend = front_of().spend(1)
    assert spend.to_dict() == {"line0": 500.0, "line1": 500.0}
    assert front_of().spend(-1).to_dict() == {"line0": 900.0, "line1": 100.0}
    assert spend.name == "spend"
    with pytest.raises(IndexError):
        front_of().spend(3)


def test_a_point_can_be_simulated_as_it_is():
    front = front_of()
    found = opt.simulate(front.scenario, front.spend(0))
    assert found.equals(opt.simulate(front.scenario, np.array([100.0, 900.0])))


@pytest.mark.parametrize("changes", [{}, {"bound": math.inf, "gap": math.nan}])
def test_to_dict_is_strict_json(changes):
    front = front_of(**changes)
    found = json.loads(json.dumps(front.to_dict(), allow_nan=False))
    assert found == front.to_dict()
    assert found["scenario_hash"] == front.scenario.hash
    assert found["points"][2] == {
        "point": 2,
        "kpi0": 4.0,
        "kpi1": 1 / 3,
        "spend line0": 900.0,
        "spend line1": 100.0,
    }
    assert found["payoff"] == [
        {"optimised": "kpi0", "kpi0": 4.0, "kpi1": 1 / 3},
        {"optimised": "kpi1", "kpi0": 1.0, "kpi1": 9.0},
    ]
    assert found["objectives"]["kpi1"] == {
        "unit": "things",
        "direction": "maximize",
        "scale": [0.0, 50.0],
        "current": 5.0,
    }
    assert found["certificate"]["solves"] == 3


@pytest.mark.parametrize("name", ["point", "optimised"])
def test_names_of_the_output_are_reserved(name):
    with pytest.raises(opt.SpecError, match="reserved"):
        front_of((name, "kpi1"))


@pytest.mark.parametrize("name", ["index", "line"])
def test_any_other_kpi_name_can_be_written(name):
    found = front_of((name, "kpi1")).to_dict()
    assert found["objectives"][name]["current"] == 2.0
    assert [row["kpi1"] for row in found["points"]] == [9.0, 8.0, 1 / 3]
    assert [row["kpi1"] for row in found["payoff"]] == [1 / 3, 9.0]


def test_a_kpi_named_like_a_spend_column_does_not_hide_it():
    data = make_scenario(2, 2)
    data["kpis"]["spend line0"] = data["kpis"].pop("kpi0")
    data["response"]["spend line0"] = data["response"].pop("kpi0")
    data["preferences"] = {
        "weights": {"spend line0": 1.0, "kpi1": 1.0},
        "scale": {"spend line0": [0.0, 50.0], "kpi1": [0.0, 50.0]},
    }
    try:
        scenario = opt.Scenario.from_dict(data)
    except opt.SpecError:
        return
    front = opt.frontier(scenario, tolerance=0.2)
    assert front.spend(0).sum() == pytest.approx(1000.0, rel=1e-6)
