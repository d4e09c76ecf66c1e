"""From plans to outcomes: shapes, names, carry-over in and out, flighting, draws; all against hand or twin."""

from __future__ import annotations

import math

import naive
import numpy as np
import pandas as pd
import pytest
from conftest import make_model, make_scenario, scenario_on_file

import optimizer as opt
from optimizer.curves import NAMES
from optimizer.simulate import Simulator
from optimizer.synergy import Synergy


def linear(rate: float = 0.0, length: int = 1, normalised: bool = False, scale: float = 1.0) -> dict:
    adstock = {"kind": "geometric", "rate": rate, "length": length, "normalised": normalised}
    return {"curve": {"kind": "linear", "scale": scale}, "adstock": adstock}


def one_line(entry: dict, periods: int, **blocks: object) -> opt.Scenario:
    data = make_scenario(1, 1, periods=periods, changes=blocks)
    return opt.Scenario.from_dict(data | {"response": {"kpi0": {"line0": entry}}})


def twin(scenario: opt.Scenario, spend: np.ndarray) -> np.ndarray:
    """Additive KPIs (N, D, K) of a scenario with flat flighting, the slow way."""
    model = scenario.response
    periods = scenario.spec.horizon.periods
    baseline = model.baseline[:, :, :periods].sum(axis=2)
    found = np.zeros((len(spend), *baseline.shape))
    for (n, line), amount in np.ndenumerate(spend):
        for d, k in np.ndindex(*baseline.shape):
            rate, length = float(model.rate[d, k, line]), int(model.length[k, line])
            found[n, d, k] += naive.line_effect(
                [amount / periods] * periods,
                model.history[line].tolist(),
                naive.adstock_weights(rate, length, bool(model.normalised[k, line])),
                [1.0] * periods,
                NAMES[int(model.family[k, line])],
                model.scale[d, k, line],
                model.first[d, k, line],
                model.second[d, k, line],
            )
    return found + baseline


@pytest.fixture
def many(tmp_path):
    """Three lines, two KPIs, five draws, with history and baseline."""
    return scenario_on_file(tmp_path, make_model())


def test_one_plan_gives_one_row_a_draw(many):
    found = opt.simulate(many, np.array([100.0, 200.0, 300.0]))
    assert found.index.name == "draw"
    assert list(found.index) == [0, 1, 2, 3, 4]
    assert list(found.columns) == ["kpi0", "kpi1"]


def test_plans_and_draws_agree_with_the_twin(many):
    spend = np.random.default_rng(3).uniform(0, 600, (4, 3))
    spend[1, 2] = 0.0
    found = opt.simulate(many, spend)
    assert found.index.names == ["plan", "draw"]
    assert list(found.index) == [(plan, draw) for plan in range(4) for draw in range(5)]
    wanted = twin(many, spend)
    np.testing.assert_allclose(found.to_numpy().reshape(4, 5, 2), wanted, rtol=1e-12)
    # A plan among others is what it is alone.
    alone = opt.simulate(many, spend[2])
    np.testing.assert_array_equal(alone.to_numpy(), found.loc[2].to_numpy())


def test_no_plans_give_no_rows(many):
    assert opt.simulate(many, np.empty((0, 3))).shape == (0, 2)


def test_series_is_matched_by_name(many):
    spend = pd.Series({"line2": 300.0, "line0": 100.0, "line1": 200.0})
    wanted = opt.simulate(many, np.array([100.0, 200.0, 300.0]))
    pd.testing.assert_frame_equal(opt.simulate(many, spend), wanted, check_exact=True)


def test_frame_is_matched_by_name_and_keeps_its_labels(many):
    frame = pd.DataFrame(
        {"line1": [200.0, 2.0], "line2": [300.0, 3.0], "line0": [100.0, 1.0]}, index=["today", "plan"]
    )
    found = opt.simulate(many, frame)
    assert list(found.index.get_level_values("plan").unique()) == ["today", "plan"]
    wanted = opt.simulate(many, np.array([[100.0, 200.0, 300.0], [1.0, 2.0, 3.0]]))
    np.testing.assert_array_equal(found.to_numpy(), wanted.to_numpy())


@pytest.mark.parametrize(
    ("spend", "said"),
    [
        (np.ones(2), "shape"),
        (np.ones((2, 4)), "shape"),
        (np.ones((1, 1, 3)), "shape"),
        (np.float64(3.0), "shape"),
        (np.array([1.0, -1e-9, 1.0]), "negative"),
        (np.array([1.0, np.nan, 1.0]), "NaN"),
        (np.array([1.0, np.inf, 1.0]), "infinite"),
        (pd.Series({"line0": 1.0, "line1": 1.0}), "line2"),
        (pd.Series({"line0": 1.0, "line1": 1.0, "line2": 1.0, "tv": 1.0}), "tv"),
        (pd.Series([1.0, 1.0, 1.0, 1.0], index=["line0", "line1", "line2", "line2"]), "twice"),
        (pd.DataFrame({"line0": [1.0], "line1": [1.0], "radio": [1.0]}), "line2"),
        (pd.Series({"line0": 1.0, "line1": None, "line2": 1.0}), "NaN"),
        (pd.Series({"line0": 1.0, "line1": "a lot", "line2": 1.0}), "number"),
        (pd.Series({"line0": 1.0, "line1": pd.NA, "line2": 1.0}), "NaN"),
    ],
)
def test_wrong_spend_is_refused(many, spend, said):
    with pytest.raises(opt.DataError, match=said):
        opt.simulate(many, spend)


def test_effects_add_up_to_outcomes_and_slopes_are_differences(many):
    simulator = Simulator.of(many)
    spend = np.array([100.0, 200.0, 300.0])
    value, slope = simulator.effects(spend)
    assert value.shape == slope.shape == (5, 2, 3)
    outcomes = simulator.outcomes(spend[None])[0]
    np.testing.assert_allclose(value.sum(axis=2) + simulator.baseline, outcomes, rtol=1e-13)
    for line in range(3):
        step = np.eye(3)[line] * 0.01
        low, high = simulator.outcomes(np.stack([spend - step, spend + step]))
        np.testing.assert_allclose(slope[:, :, line], (high - low) / 0.02, rtol=1e-6)


def test_arrays_reach_the_kernels_in_one_layout(many, tmp_path):
    # Each other memory layout would compile the kernels anew.
    pairs = (("kpi1", "line2", "line0"), ("kpi0", "line0", "line1"))
    mutual = scenario_on_file(tmp_path, make_model(synergy=Synergy(pairs, np.full((5, 2), 0.1))))
    for scenario in (many, mutual):
        arrays = dict(vars(Simulator.of(scenario)))
        links = arrays.pop("links")
        assert (links is None) == (scenario is many)
        for name, array in [*arrays.items(), *(links._asdict().items() if links else ())]:
            assert array.flags.c_contiguous, name


def test_the_mean_is_over_responses_not_over_parameters(tmp_path):
    # One line, one period, Michaelis-Menten with half 100 or 300 and spend 300: 3/4 and 1/2, mean 5/8.
    # At the mean parameter, 200, it would be 3/5.
    model = make_model(
        2,
        ("kpi0",),
        ("line0",),
        periods=1,
        past=0,
        family=np.array([[3]]),
        scale=np.ones((2, 1, 1)),
        first=np.array([[[100.0]], [[300.0]]]),
        length=np.ones((1, 1), int),
        baseline=np.zeros((2, 1, 1)),
    )
    scenario = scenario_on_file(tmp_path, model, periods=1)
    found = opt.simulate(scenario, np.array([300.0]))["kpi0"]
    assert found.tolist() == pytest.approx([0.75, 0.5], rel=1e-15)
    assert found.mean() == pytest.approx(0.625, rel=1e-15)


def test_history_carries_in(tmp_path):
    # Spend before: 40 then 80, the latest last. Weights 1, 1/2, 1/4 and 10 a period bring
    # 10 + 40 + 10, 10 + 5 + 20 and 10 + 5 + 2.5; then nothing is left of the history.
    model = make_model(
        1,
        ("kpi0",),
        ("line0",),
        periods=4,
        family=np.array([[1]]),
        scale=np.ones((1, 1, 1)),
        rate=np.full((1, 1, 1), 0.5),
        length=np.array([[3]]),
        normalised=np.array([[False]]),
        baseline=np.zeros((1, 1, 4)),
        history=np.array([[7.0, 40.0, 80.0]]),
    )
    scenario = scenario_on_file(tmp_path, model, periods=4)
    found = opt.simulate(scenario, np.array([40.0]))
    assert found["kpi0"].item() == pytest.approx(60 + 35 + 17.5 + 17.5, rel=1e-15)


def test_normalised_weights_keep_steady_spend_as_it_is():
    # 1, 1/2, 1/4 normalised: 4/7, 2/7, 1/7. The first two periods lack the past: 10 a period make
    # 40/7, 60/7, 10, 10.
    scenario = one_line(linear(0.5, 3, normalised=True), 4)
    found = opt.simulate(scenario, np.array([40.0]))["kpi0"].item()
    assert found == pytest.approx(100 / 7 + 20, rel=1e-15)


def test_effects_after_the_horizon_count_when_asked():
    # 10 a period for four periods with weights 1, 1/2, 1/4: 17.5 for each, in the end.
    within = one_line(linear(0.5, 3), 4)
    after = one_line(linear(0.5, 3), 4, carry_out=True)
    assert opt.simulate(within, np.array([40.0]))["kpi0"].item() == pytest.approx(10 + 15 + 17.5 + 17.5)
    assert opt.simulate(after, np.array([40.0]))["kpi0"].item() == pytest.approx(4 * 17.5, rel=1e-15)


def test_carry_out_saturates_the_periods_after_too():
    # One period, Michaelis-Menten with half 30 and spend 30, weights 1 and 1/3: 30/60 then 10/40.
    entry = {
        "curve": {"kind": "michaelis_menten", "scale": 1.0, "half": 30.0},
        "adstock": {"kind": "geometric", "rate": 1 / 3, "length": 2, "normalised": False},
    }
    found = opt.simulate(one_line(entry, 1, carry_out=True), np.array([30.0]))["kpi0"].item()
    assert found == pytest.approx(0.75, rel=1e-15)


def test_flighting_shares_set_the_spend_a_period():
    # Michaelis-Menten with half 100: 100 + 300 makes 1/2 + 3/4; flat, 200 + 200 makes 4/3.
    entry = {"curve": {"kind": "michaelis_menten", "scale": 1.0, "half": 100.0}}
    flat = one_line(entry, 2)
    pulsed = one_line(entry, 2, flighting={"line0": [0.25, 0.75]})
    assert opt.simulate(flat, np.array([400.0]))["kpi0"].item() == pytest.approx(4 / 3, rel=1e-15)
    assert opt.simulate(pulsed, np.array([400.0]))["kpi0"].item() == pytest.approx(1.25, rel=1e-15)


def test_flighting_shares_are_matched_by_line_name():
    data = make_scenario(2, 1, periods=2)
    entry = {"curve": {"kind": "michaelis_menten", "scale": 1.0, "half": 100.0}}
    data["response"] = {"kpi0": {"line0": entry, "line1": "none"}}
    data["flighting"] = {"line1": [0.5, 0.5], "line0": [0.25, 0.75]}
    found = opt.simulate(opt.Scenario.from_dict(data), np.array([400.0, 0.0]))
    assert found["kpi0"].item() == pytest.approx(1.25, rel=1e-15)


@pytest.mark.parametrize(
    ("curve", "value"),
    [
        ({"kind": "linear", "scale": 2.0}, 2 * 100.0),
        ({"kind": "hill", "scale": 2.0, "half": 50.0, "slope": 2.0}, 2 * 0.8),
        ({"kind": "hill", "scale": 2.0, "half": 50.0}, 2 * 2 / 3),
        ({"kind": "michaelis_menten", "scale": 2.0, "half": 300.0}, 2 * 0.25),
        ({"kind": "power", "scale": 2.0, "exponent": 0.5}, 2 * 10.0),
        ({"kind": "log1p", "scale": 2.0, "knee": 100.0}, 2 * math.log(2)),
    ],
)
def test_each_curve_by_hand_through_a_scenario(curve, value):
    # Three periods of 100 each, no carry-over; the baseline is over the horizon, not a period.
    scenario = one_line({"curve": curve}, 3, kpis={"kpi0": {"direction": "maximize", "baseline": 7.0}})
    found = opt.simulate(scenario, np.array([300.0]))["kpi0"].item()
    assert found == pytest.approx(3 * value + 7, rel=1e-14)


def test_a_stated_baseline_replaces_the_fitted_one(tmp_path):
    model = make_model(3, ("kpi0",), ("line0",), past=0)
    changes = {"kpis": {"kpi0": {"direction": "maximize", "baseline": 1000.0}}}
    found = opt.simulate(scenario_on_file(tmp_path, model, changes=changes), np.zeros(1))
    assert found["kpi0"].tolist() == [1000.0] * 3


def test_fitted_baseline_is_summed_over_the_horizon_by_draw(tmp_path):
    model = make_model(2, ("kpi0",), ("line0",), past=0, baseline=np.array([[[1.0, 2, 3]], [[10.0, 20, 30]]]))
    found = opt.simulate(scenario_on_file(tmp_path, model, periods=2), np.zeros(1))
    assert found["kpi0"].tolist() == [3.0, 30.0]


def test_derived_kpis_are_recomputed_in_each_draw(tmp_path):
    kpis = {
        "cost": {"ratio": ["spend", "kpi0"], "direction": "minimize", "role": "monitor"},
        "kpi0": {"direction": "maximize"},
        "kpi1": {"direction": "maximize", "role": "monitor"},
        "both": {"sum": ["kpi0", "kpi1"]},
    }
    scenario = scenario_on_file(tmp_path, make_model(), changes={"kpis": kpis, "preferences": {}})
    found = opt.simulate(scenario, np.array([[100.0, 200.0, 300.0], [0.0, 50.0, 0.0]]))
    assert list(found.columns) == list(kpis)
    spend = np.repeat([600.0, 50.0], 5)
    np.testing.assert_allclose(found["cost"], spend / found["kpi0"], rtol=1e-15)
    np.testing.assert_allclose(found["both"], found["kpi0"] + found["kpi1"], rtol=1e-15)


def test_a_kpi_of_numbers_alone_is_the_same_in_every_plan_and_draw(tmp_path):
    kpis = {"kpi0": {"direction": "maximize"}, "kpi1": {}, "constant": {"sum": [2.0, 3.0]}}
    scenario = scenario_on_file(tmp_path, make_model(), changes={"kpis": kpis, "preferences": {}})
    assert opt.simulate(scenario, np.ones((2, 3)))["constant"].tolist() == [5.0] * 10


def test_a_ratio_without_a_denominator_has_no_value():
    data = make_scenario(1, 1)
    data["kpis"] |= {"cost": {"ratio": ["spend", "kpi0"]}}
    found = opt.simulate(opt.Scenario.from_dict(data), np.zeros(1))
    assert math.isnan(found["cost"].item())


def test_kpis_of_spend_alone_need_no_response():
    data = make_scenario(2, 1)
    data["kpis"] = {"left": {"difference": [1000.0, "spend"], "direction": "maximize"}}
    data["response"] = {}
    found = opt.simulate(opt.Scenario.from_dict(data), np.array([100.0, 200.0]))
    assert found["left"].item() == 700.0
