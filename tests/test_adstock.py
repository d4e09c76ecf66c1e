"""Carry-over weights against their twins and sources, and what an adstock block may say."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from conftest import make_scenario
from hypothesis import given, settings
from hypothesis import strategies as st

import optimizer as opt
from optimizer import adstock
from optimizer.adstock import KINDS


def weights(kind: str, length: int, rate=0.0, spread=1.0, bend=1.0, normalised=False) -> list[float]:
    parts = (np.array([part]) for part in (rate, spread, bend))
    return adstock.weights(KINDS[kind], length, *parts, normalised)[0].tolist()


@pytest.mark.parametrize("kind", KINDS)
@given(
    st.integers(1, 104),
    st.one_of(st.just(0.0), st.floats(1e-3, 0.999)),
    st.floats(0.01, 100.0),
    st.floats(0.05, 20.0),
    st.booleans(),
)
@settings(max_examples=150)
def test_weights_agree_with_their_twin(kind, length, rate, spread, bend, normalised):
    found = np.array(weights(kind, length, rate, spread, bend, normalised))
    wanted = np.array(naive.adstock_weights(rate, length, normalised, kind, spread, bend))
    assert np.all(np.isfinite(found))
    assert np.all(found >= 0)
    # A Weibull density is taken over its least: what is left of a difference has no more digits than that.
    rounding = 1e-12 * wanted.max() if kind == "weibull_pdf" else 1e-290
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=rounding)


@pytest.mark.parametrize(
    ("kind", "parts", "wanted"),
    [
        ("geometric", {"rate": 0.5}, [1, 0.5, 0.25]),
        ("geometric", {"rate": 0.0}, [1, 0, 0]),
        ("delayed", {"rate": 0.5, "spread": 1.0}, [0.5, 1, 0.5]),
        ("delayed", {"rate": 0.5, "spread": 2.0}, [0.0625, 0.5, 1]),
        # 1 / rate - 1 = 1: straight down to 0 after the last period.
        ("binomial", {"rate": 0.5}, [1, 2 / 3, 1 / 3]),
        ("binomial", {"rate": 0.0}, [1, 0, 0]),
        # Shape 1 is exponential: densities exp(-1), exp(-2), exp(-3) from 0 to 1.
        ("weibull_pdf", {"spread": 1.0}, [1, (np.exp(-2) - np.exp(-3)) / (np.exp(-1) - np.exp(-3)), 0]),
        # 1 - F(j) = exp(-j), multiplied up.
        ("weibull_cdf", {"spread": 1.0}, [1, np.exp(-1), np.exp(-3)]),
    ],
)
def test_weights_by_hand(kind, parts, wanted):
    assert weights(kind, 3, **parts) == pytest.approx(wanted, rel=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_normalised_weights_add_up_to_one(kind):
    assert sum(weights(kind, 8, 0.6, 2.0, 1.5, normalised=True)) == pytest.approx(1, rel=1e-14)


def scenario(**block: object) -> opt.Scenario:
    data = make_scenario(1, 1)
    data["response"]["kpi0"]["line0"]["adstock"] = block
    return opt.Scenario.from_dict(data)


@pytest.mark.parametrize(
    "block",
    [
        {"kind": "geometric", "rate": 0.5, "length": 4},
        {"kind": "delayed", "rate": 0.5, "length": 4, "delay": 1.5},
        {"kind": "binomial", "rate": 0.3, "length": 4, "after_saturation": True},
        {"kind": "weibull_pdf", "length": 4, "scale": 2.0, "shape": 1.5},
        {"kind": "weibull_cdf", "length": 4, "scale": 2.0, "shape": 0.7, "normalised": False},
    ],
    ids=lambda block: block["kind"],
)
def test_every_kind_reaches_the_model_and_survives_a_file(block, tmp_path):
    model = scenario(**block).response
    spread = block.get("delay", block.get("scale", 1.0))
    found = weights(
        block["kind"], 4, block.get("rate", 0.0), spread, block.get("shape", 1.0), block.get("normalised", True)
    )
    np.testing.assert_array_equal(model.weights()[0, 0, 0], found)
    model.save(tmp_path / "model.nc")
    from optimizer.response import load

    again = load(tmp_path / "model.nc")
    for name in ("carryover", "spread", "bend", "after", "points"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name), err_msg=name)


@pytest.mark.parametrize(
    ("block", "field"),
    [
        ({"kind": "geometric", "rate": 0.5, "length": 4, "delay": 1.0}, "delay"),
        ({"kind": "delayed", "rate": 0.5, "length": 4}, "delay"),
        ({"kind": "delayed", "rate": 0.5, "length": 4, "delay": 3.5}, "delay"),
        ({"kind": "weibull_pdf", "length": 4, "scale": 2.0}, "shape"),
        ({"kind": "weibull_cdf", "length": 4, "shape": 2.0}, "scale"),
        ({"kind": "binomial", "rate": 0.5, "length": 4, "shape": 2.0}, "shape"),
    ],
)
def test_parameters_must_suit_the_kind(block, field):
    with pytest.raises(opt.SpecError) as caught:
        scenario(**block)
    assert field in caught.value.path
