"""Curves written out in a scenario, and the one-draw model they make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import make_scenario

import optimizer as opt
from optimizer.curves import FAMILIES
from optimizer.written import ResponseSpec, from_spec


def spec(**by_kpi: Any) -> ResponseSpec:
    return ResponseSpec.model_validate(by_kpi)


ENTRY = {"curve": {"kind": "linear", "scale": 1.0}}


def test_curves_written_out_become_a_model():
    model = from_spec(
        spec(
            sales={
                "tv": {
                    "curve": {"kind": "hill", "scale": 9.0, "half": 70.0, "slope": 0.8},
                    "adstock": {"kind": "geometric", "rate": 0.5, "length": 4, "normalised": False},
                },
                "search": {"curve": {"kind": "power", "scale": 2.0, "exponent": 0.4}},
                "mail": "none",
            },
            clicks={
                "search": {"curve": {"kind": "log1p", "scale": 3.0, "knee": 20.0}},
                "tv": {"curve": {"kind": "michaelis_menten", "scale": 4.0, "half": 30.0}},
                "mail": {"curve": {"kind": "linear", "scale": 5.0}},
            },
        ),
        ["clicks", "sales"],
        ["search", "tv", "mail"],
    )
    assert (model.kpis, model.lines, model.draws) == (("clicks", "sales"), ("search", "tv", "mail"), 1)
    names = {family.code: name for name, family in FAMILIES.items()}
    assert [[names[int(code)] for code in row] for row in model.family] == [
        ["log1p", "michaelis_menten", "linear"],
        ["power", "hill", "none"],
    ]
    assert model.scale[0].tolist() == [[3.0, 4.0, 5.0], [2.0, 9.0, 0.0]]
    assert [model.first[0, 0, 0], model.first[0, 0, 1], model.first[0, 1, 1]] == [20.0, 30.0, 70.0]
    assert [model.second[0, 1, 0], model.second[0, 1, 1]] == [0.4, 0.8]
    assert model.rate[0].tolist() == [[0.0, 0.0, 0.0], [0.0, 0.5, 0.0]]
    assert model.length.tolist() == [[1, 1, 1], [1, 4, 1]]
    assert not model.normalised[1, 1]
    assert np.isnan(model.observed).all()
    assert not model.baseline.any()


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ({"sales": {"tv": ENTRY}}, ("response", "sales")),
        ({"sales": {"tv": ENTRY, "search": ENTRY, "radio": ENTRY}}, ("response", "sales", "radio")),
        ({"sales": {"tv": ENTRY, "search": ENTRY}, "clicks": {"tv": ENTRY}}, ("response", "clicks")),
        ({}, ("response", "sales")),
    ],
)
def test_curves_missing_or_unknown_are_refused(written, path):
    with pytest.raises(opt.SpecError) as caught:
        from_spec(spec(**written), ["sales"], ["search", "tv"])
    assert caught.value.path == path
    assert caught.value.hint


@pytest.mark.parametrize("kind", ["hill", "michaelis_menten", "log1p"])
def test_a_half_too_small_for_a_double_to_divide_by_is_refused_or_harmless(kind):
    # 1e-320 has hardly any digits; divided by it, slopes and values are infinite or NaN.
    data = make_scenario(1, 1)
    curve = {"kind": kind, "scale": 1.0, "knee" if kind == "log1p" else "half": 1e-320}
    data["response"]["kpi0"]["line0"] = {"curve": curve}
    try:
        scenario = opt.Scenario.from_dict(data)
    except opt.SpecError:
        return
    from optimizer.simulate import Simulator

    for spend in (0.0, 1000.0):
        for array in Simulator.of(scenario).effects(np.array([spend])):
            assert np.isfinite(array).all()
