"""Simulation by period and by group, summaries, prices, seasons, spend before the horizon, and gradients."""

from __future__ import annotations

import sys

import naive
import numpy as np
import pandas as pd
import pytest
from conftest import make_model, make_scenario, scenario_on_file

import optimizer as opt
from optimizer.simulate import Simulator, tail_shares


@pytest.fixture
def many(tmp_path):
    """Three lines, two KPIs, five draws, four periods."""
    return scenario_on_file(tmp_path, make_model())


def one_line(curve: dict, periods: int, line: dict | None = None, kpi: dict | None = None, **adstock: object):
    data = make_scenario(1, 1, periods=periods)
    data["response"] = {"kpi0": {"line0": {"curve": curve, "adstock": adstock}}}
    data["lines"][0] |= line or {}
    data["kpis"]["kpi0"] |= kpi or {}
    return opt.Scenario.from_dict(data)


LINEAR = {"kind": "linear", "scale": 1.0}


def test_spend_by_period_is_the_flighting_written_out(many):
    plans = np.random.default_rng(1).uniform(0, 500, (6, 3))
    flat = np.repeat(plans[:, :, None] / 4, 4, axis=2)
    wanted = opt.simulate(many, plans)
    pd.testing.assert_frame_equal(opt.simulate(many, flat), wanted, rtol=1e-14)
    alone = opt.simulate(many, flat[0])
    assert alone.index.name == "draw"
    np.testing.assert_allclose(alone, wanted.loc[0], rtol=1e-14)
    frame = pd.DataFrame(flat[0], index=list(many.lines)).iloc[::-1]
    pd.testing.assert_frame_equal(opt.simulate(many, frame), alone)


def test_a_shape_with_two_readings_is_refused(tmp_path):
    scenario = scenario_on_file(tmp_path, make_model(periods=3), periods=3)
    with pytest.raises(opt.DataError, match="may be 3 plans, or one plan"):
        opt.simulate(scenario, np.ones((3, 3)))
    frame = pd.DataFrame(np.ones((3, 3)), columns=list(scenario.lines))
    assert opt.simulate(scenario, frame).shape == (15, 2)
    assert opt.simulate(scenario, np.ones((1, 3, 3))).shape == (5, 2)


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 4, 3), (1, 1, 1, 3)])
def test_wrong_shapes_by_period_are_refused(many, shape):
    with pytest.raises(opt.DataError, match="shape"):
        opt.simulate(many, np.ones(shape))


@pytest.mark.parametrize(("by", "groups"), [("channel", ["a", "b"]), ("line", ["line0", "line1", "line2"])])
def test_groups_add_up_to_the_whole(many, by, groups):
    plans = np.random.default_rng(1).uniform(0, 500, (2, 3))
    found = opt.simulate(many, plans, by=by)
    assert found.index.names == ["plan", by, "draw"]
    assert list(found.index.get_level_values(by).unique()) == [*groups, "baseline"]
    total = found.groupby(level=["plan", "draw"]).sum()
    np.testing.assert_allclose(total, opt.simulate(many, plans), rtol=1e-13)
    # A group is what its lines do with nothing spent on the others and nothing carried in for them.
    values = Simulator.of(many).effects(plans[0])[0]
    first = found.xs((0, groups[0]), level=["plan", by])
    members = [0, 2] if by == "channel" else [0]
    np.testing.assert_allclose(first, values[:, :, members].sum(axis=2), rtol=1e-13)


def test_periods_add_up_to_the_whole(many):
    spend = np.array([100.0, 200.0, 300.0])
    found = opt.simulate(many, spend, by="period")
    assert list(found.index.get_level_values("period").unique()) == [0, 1, 2, 3, "baseline"]
    np.testing.assert_allclose(found.groupby(level="draw").sum(), opt.simulate(many, spend), rtol=1e-13)


def test_an_unknown_attribute_is_refused(many):
    with pytest.raises(opt.DataError, match="no line has the attribute 'market'"):
        opt.simulate(many, np.ones(3), by="market")


def test_a_summary_is_mean_and_quantiles_over_draws(many):
    spend = np.array([100.0, 200.0, 300.0])
    draws, found = opt.simulate(many, spend), opt.simulate(many, spend, summary=True)
    assert found.index.name == "kpi"
    np.testing.assert_allclose(found["mean"], draws.mean(), rtol=1e-14)
    np.testing.assert_allclose(found["low"], draws.quantile(0.05), rtol=1e-14)
    np.testing.assert_allclose(found["high"], draws.quantile(0.95), rtol=1e-14)
    parts = opt.simulate(many, np.stack([spend, spend]), by="channel", summary=True)
    assert parts.index.names == ["plan", "channel", "kpi"]


def test_price_turns_money_into_media():
    # 100 a period at 2 and 4 buys 50 and 25.
    scenario = one_line(LINEAR, 2, {"price": [2.0, 4.0]})
    assert opt.simulate(scenario, np.array([200.0]))["kpi0"].item() == pytest.approx(75)
    assert opt.simulate(scenario, np.array([[200.0, 0.0]]))["kpi0"].item() == pytest.approx(100)
    steady = one_line(LINEAR, 2, {"price": 2.0})
    assert opt.simulate(steady, np.array([200.0]))["kpi0"].item() == pytest.approx(100)


def test_season_weighs_the_periods_effects():
    # 10 a period with weights 1 and 1/2: 10 and 15, counted once and three times.
    scenario = one_line(
        LINEAR, 2, kpi={"season": [1.0, 3.0]}, kind="geometric", rate=0.5, length=2, normalised=False
    )
    assert opt.simulate(scenario, np.array([20.0]))["kpi0"].item() == pytest.approx(10 + 45)


def test_a_lines_own_history_carries_in():
    # 40 before, bought at 2 like the first period: 20 units, half of which carry over.
    line = {"history": [7.0, 40.0], "price": [2.0, 5.0]}
    scenario = one_line(LINEAR, 2, line, kind="geometric", rate=0.5, length=2, normalised=False)
    assert opt.simulate(scenario, np.array([0.0]))["kpi0"].item() == pytest.approx(10)


def test_effects_may_carry_over_after_saturation():
    # Half of the most in each of two periods; the second adds half of the first's.
    curve = {"kind": "michaelis_menten", "scale": 1.0, "half": 30.0}
    scenario = one_line(curve, 2, kind="geometric", rate=0.5, length=2, normalised=False, after_saturation=True)
    assert opt.simulate(scenario, np.array([60.0]))["kpi0"].item() == pytest.approx(0.5 + 0.75)


def test_a_curve_through_points():
    curve = {"kind": "points", "points": [[100.0, 5.0], [200.0, 7.0]]}
    scenario = one_line(curve, 1)
    for spend, effect in [(0.0, 0.0), (50.0, 2.5), (150.0, 6.0), (1000.0, 7.0)]:
        assert opt.simulate(scenario, np.array([spend]))["kpi0"].item() == pytest.approx(effect)
    assert scenario.response.concave().all()
    dented = {"kind": "points", "points": [[100.0, 5.0], [200.0, 11.0]]}
    assert not one_line(dented, 1).response.concave().any()


@pytest.mark.parametrize(
    ("block", "change", "path"),
    [
        ("lines", {"price": [1.0, 2.0, 3.0]}, ("lines", 0, "price")),
        ("lines", {"price": 0.0}, ("lines", 0, "price")),
        ("kpis", {"season": [1.0]}, ("kpis", "kpi0", "season")),
    ],
)
def test_lists_must_cover_the_horizon(block, change, path):
    with pytest.raises(opt.SpecError) as caught:
        one_line(LINEAR, 2, **{"line" if block == "lines" else "kpi": change})
    assert caught.value.path[: len(path)] == path


@pytest.mark.parametrize("points", [[], [[0.0, 1.0]], [[10.0, 1.0], [10.0, 2.0]], [[10.0, 2.0], [20.0, 1.0]]])
def test_points_must_rise(points):
    with pytest.raises(opt.SpecError):
        one_line({"kind": "points", "points": points}, 1)


def test_gradients_are_central_differences_of_the_mean_and_of_cvar(many):
    simulator = Simulator.of(many)
    spend = np.random.default_rng(2).uniform(20, 80, (2, 3, 4))
    share = tail_shares(simulator.outcomes(spend), 0.5)
    mean, tail = simulator.gradients(spend), simulator.gradients(spend, share)
    assert mean.shape == (2, 2, 3, 4)
    for line, t in np.ndindex(3, 4):
        step = np.zeros((3, 4))
        step[line, t] = 1e-3
        change = (simulator.outcomes(spend + step) - simulator.outcomes(spend - step)) / 2e-3
        np.testing.assert_allclose(mean[:, :, line, t], change.mean(axis=1), rtol=1e-6)
        np.testing.assert_allclose(tail[:, :, line, t], (change * share).sum(axis=1), rtol=1e-6)


def test_tail_shares_give_the_mean_of_the_worst():
    values = np.array([5.0, 1.0, 4.0, 2.0, 3.0]).reshape(1, 5, 1)
    # The worst half of five: 1, 2 and half of 3.
    low = (tail_shares(values, 0.5) * values).sum()
    assert low == pytest.approx((1 + 2 + 1.5) / 2.5)
    high = (tail_shares(values, 0.5, "high") * values).sum()
    assert high == pytest.approx((5 + 4 + 1.5) / 2.5)


def test_threads_change_nothing(many, monkeypatch):
    simulator, plans = Simulator.of(many), np.random.default_rng(1).uniform(0, 500, (40, 3))
    alone = simulator.outcomes(plans), simulator.gradients(plans)
    monkeypatch.setattr(sys.modules[Simulator.__module__], "WORTH_THREADS", 0)
    np.testing.assert_array_equal(simulator.outcomes(plans), alone[0])
    np.testing.assert_array_equal(simulator.gradients(plans), alone[1])


def test_after_saturation_agrees_with_the_twin():
    curve = {"kind": "hill", "scale": 3.0, "half": 40.0, "slope": 2.0}
    scenario = one_line(
        curve, 3, {"history": [30.0]}, kind="weibull_pdf", length=3, scale=2.0, shape=1.5, after_saturation=True
    )
    wanted = naive.line_effect(
        [25.0, 50.0, 0.0],
        [30.0],
        naive.adstock_weights(0.0, 3, True, "weibull_pdf", 2.0, 1.5),
        [1.0] * 3,
        "hill",
        3.0,
        40.0,
        2.0,
        after=True,
    )
    found = opt.simulate(scenario, np.array([[25.0, 50.0, 0.0]]))["kpi0"].item()
    assert found == pytest.approx(wanted, rel=1e-12)
