"""Synergy between lines: what it refuses, what survives a file and a selection, and what plans do with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import make_model, make_scenario, scenario_on_file

import optimizer as opt
from optimizer import response
from optimizer.explain import marginal_returns
from optimizer.plan import Certificate
from optimizer.report.shapes import _sampled
from optimizer.report.view import View
from optimizer.simulate import Simulator, tail_shares
from optimizer.synergy import Synergy

# line0 gives to line1 and takes from line2, in one KPI; in the other, line1 and line2 give to each other.
PAIRS = (
    ("kpi0", "line0", "line1"),
    ("kpi0", "line2", "line0"),
    ("kpi1", "line1", "line2"),
    ("kpi1", "line2", "line1"),
)
LINES = ("line0", "line1", "line2", "line3")
SPEND = np.array([100.0, 200.0, 300.0, 50.0])


def model(draws: int = 5, pairs: Any = PAIRS, gain: Any = None, **fields: Any) -> opt.ResponseModel:
    """Four lines that level off, of which the last gives and takes nothing."""
    rng = np.random.default_rng(3)
    if gain is None:
        gain = rng.uniform(-0.5, 0.5, (draws, len(pairs)))
    families = np.array([[2, 3, 6, 4], [7, 2, 3, 1]])
    after = np.array([[True, False, False, False], [False, True, True, False]])
    some = make_model(draws, lines=LINES, family=families, after=after, **fields)
    return replace(some, synergy=Synergy(tuple(pairs), np.asarray(gain)))


@pytest.fixture
def mutual(tmp_path: Path) -> opt.Scenario:
    return scenario_on_file(tmp_path, model())


def written(synergy: Any, periods: int = 1, **blocks: Any) -> opt.Scenario:
    """Two lines with half 10 and scales 8 and 3, and a third whose media counts as it is."""
    data = make_scenario(3, 1, periods=periods, changes=blocks)
    curve = {"kind": "michaelis_menten", "half": 10.0}
    data["response"] = {
        "kpi0": {
            "line0": {"curve": curve | {"scale": 8.0}},
            "line1": {"curve": curve | {"scale": 3.0}},
            "line2": {"curve": {"kind": "linear", "scale": 1.0}},
        },
        "synergy": synergy,
    }
    return opt.Scenario.from_dict(data)


def test_by_hand():
    # Halves of their curves: 4 and 1.5; the first is raised by 0.6 x 1/2 and by 0.01 x 20.
    scenario = written({"kpi0": {"line0": {"line1": 0.6, "line2": 0.01}}})
    found = opt.simulate(scenario, np.array([10.0, 10.0, 20.0]))["kpi0"].item()
    assert found == pytest.approx(4 * 1.3 * 1.2 + 1.5 + 20, rel=1e-14)
    # Nothing given, nothing gained.
    alone = opt.simulate(scenario, np.array([10.0, 0.0, 0.0]))["kpi0"].item()
    assert alone == pytest.approx(4, rel=1e-14)


def test_a_giver_that_is_late_gives_late():
    # line1 spends in the first period, half of which lasts into the second; line0 in both.
    data = make_scenario(2, 1, periods=2)
    curve = {"kind": "michaelis_menten", "scale": 1.0, "half": 10.0}
    lasting = {"kind": "geometric", "rate": 0.5, "length": 2, "normalised": False}
    for after, second in ((True, 0.25), (False, 5 / 15)):
        giver = {"curve": curve, "adstock": lasting | {"after_saturation": after}}
        data["response"] = {
            "kpi0": {"line0": {"curve": curve}, "line1": giver},
            "synergy": {"kpi0": {"line0": {"line1": 1.0}}},
        }
        scenario = opt.Scenario.from_dict(data)
        found = opt.simulate(scenario, np.array([[[10.0, 10.0], [10.0, 0.0]]]))["kpi0"].item()
        assert found == pytest.approx(0.5 * 1.5 + 0.5 * (1 + second) + 0.5 + second, rel=1e-14)


@pytest.mark.parametrize(
    ("synergy", "path", "says"),
    [
        ({"clicks": {"line0": {"line1": 0.1}}}, "clicks.line0.line1", "unknown KPI 'clicks'"),
        ({"kpi0": {"line9": {"line1": 0.1}}}, "kpi0.line9.line1", "unknown line 'line9'"),
        ({"kpi0": {"line0": {"line9": 0.1}}}, "kpi0.line0.line9", "unknown line 'line9'"),
        ({"kpi0": {"line0": {"line0": 0.1}}}, "kpi0.line0.line0", "gives to itself"),
        ({"kpi0": {"line0": {"line1": -1.01}}}, "kpi0.line0.line1", "negative"),
        ({"kpi0": {"line0": {"line2": -0.001}}}, "kpi0.line0.line2", "negative"),
        ({"kpi0": {"line0": {"line1": 1001.0}}}, "kpi0.line0.line1", ""),
        ({"kpi0": {"line0": {"line1": "much"}}}, "kpi0.line0.line1", ""),
        ({"kpi0": {"line0": 0.2}}, "kpi0.line0", ""),
    ],
)
def test_what_cannot_be_is_refused(synergy, path, says):
    with pytest.raises(opt.SpecError) as caught:
        written(synergy)
    assert ".".join(map(str, caught.value.path)) == f"response.synergy.{path}"
    assert says in caught.value.message
    assert caught.value.hint


def test_a_gain_may_take_all_of_an_effect_away():
    scenario = written({"kpi0": {"line0": {"line1": -1.0}}})
    assert opt.simulate(scenario, np.array([10.0, 1e9, 0.0]))["kpi0"].item() == pytest.approx(3.0)


def test_a_line_that_does_nothing_neither_gives_nor_takes():
    data = make_scenario(2, 1)
    data["response"]["kpi0"]["line1"] = "none"
    for pair in ({"line0": {"line1": 0.1}}, {"line1": {"line0": 0.1}}):
        with pytest.raises(opt.SpecError, match="'line1' does nothing for 'kpi0'"):
            opt.Scenario.from_dict(data | {"response": data["response"] | {"synergy": {"kpi0": pair}}})


@pytest.mark.parametrize(
    ("pairs", "gain", "says"),
    [
        (PAIRS[:1], np.full((4, 1), 0.1), "4 draws, not 5"),
        (PAIRS[:1], np.full((5, 2), 0.1), "for 1 pairs"),
        ((PAIRS[0], PAIRS[0]), np.full((5, 2), 0.1), "twice"),
        (PAIRS[:1], np.full((5, 1), np.nan), "not a number"),
        (PAIRS[:1], np.array([[0.1], [0.1], [np.inf], [0.1], [0.1]]), "not a number"),
    ],
)
def test_models_that_cannot_be_are_refused(pairs, gain, says):
    with pytest.raises(opt.DataError, match=says):
        model(pairs=pairs, gain=gain)


def test_unnormalised_effects_may_add_up_to_more_than_one():
    # Weights 1 and 1/2 after saturation: a share of 3/2 at the most, so no gain below -2/3.
    lasting = {"kind": "geometric", "rate": 0.5, "length": 2, "normalised": False, "after_saturation": True}
    data = make_scenario(2, 1)
    data["response"]["kpi0"]["line1"]["adstock"] = lasting
    data["response"]["synergy"] = {"kpi0": {"line0": {"line1": -2 / 3}}}
    opt.Scenario.from_dict(data)
    data["response"]["synergy"] = {"kpi0": {"line0": {"line1": -0.67}}}
    with pytest.raises(opt.SpecError, match="negative") as caught:
        opt.Scenario.from_dict(data)
    assert "-0.666667" in str(caught.value.hint)


def test_a_curve_through_points_gives_by_the_effect_it_states():
    data = make_scenario(2, 1, periods=1)
    data["response"]["kpi0"] = {
        "line0": {"curve": {"kind": "linear", "scale": 1.0}},
        "line1": {"curve": {"kind": "points", "scale": 3.0, "points": [[10.0, 2.0], [20.0, 4.0]]}},
    }
    data["response"]["synergy"] = {"kpi0": {"line0": {"line1": -0.25}}}
    scenario = opt.Scenario.from_dict(data)
    for spend, lent, own in ((10.0, 0.5, 6.0), (20.0, 0.0, 12.0), (50.0, 0.0, 12.0)):
        found = opt.simulate(scenario, np.array([8.0, spend]))["kpi0"].item()
        assert found == pytest.approx(8 * lent + own)
    data["response"]["synergy"] = {"kpi0": {"line0": {"line1": -0.26}}}
    with pytest.raises(opt.SpecError, match="negative"):
        opt.Scenario.from_dict(data)


def test_a_file_without_synergy_is_as_it_was(tmp_path):
    make_model().save(tmp_path / "plain.nc")
    with xr.open_dataset(tmp_path / "plain.nc", engine="h5netcdf") as found:
        assert not [name for name in found.variables if "synergy" in str(name)]
        assert found.attrs["format"] == "campaign-optimizer response 1"
    assert not response.load(tmp_path / "plain.nc").synergy


def test_a_file_that_lacks_a_part_is_refused(tmp_path):
    dataset = model().to_dataset().drop_vars("synergy_giver")
    dataset.to_netcdf(tmp_path / "part.nc", engine="h5netcdf")
    with pytest.raises(opt.DataError, match="synergy_giver"):
        response.load(tmp_path / "part.nc")


def test_it_cannot_stand_beside_a_file(tmp_path):
    block = {"file": "response.nc", "synergy": {"kpi0": {"line0": {"line1": 0.1}}}}
    with pytest.raises(opt.SpecError, match="synergy beside a file"):
        scenario_on_file(tmp_path, make_model(), changes={"response": block})


def test_it_comes_back_from_the_resolved_scenario():
    scenario = written({"kpi0": {"line0": {"line1": 0.2}}})
    resolved = scenario.resolved()
    assert resolved["response"]["synergy"] == {"kpi0": {"line0": {"line1": 0.2}}}
    again = opt.Scenario.from_dict(resolved)
    assert again.hash == scenario.hash
    assert again.hash != written({"kpi0": {"line0": {"line1": 0.3}}}).hash
    assert "synergy" not in opt.Scenario.from_dict(make_scenario()).resolved()["response"]


def test_no_order_matters(tmp_path):
    one = model()
    chosen = np.random.default_rng(1).permutation(5)
    order = [2, 0, 3, 1]
    lines, kpis = [LINES[i] for i in order], ["kpi1", "kpi0"]
    by_draw = {name: one.by_draw(name)[chosen] for name in response.BY_DRAW}
    shuffled = Synergy(one.synergy.pairs[::-1], one.synergy.gain[chosen][:, ::-1])
    other = replace(one, baseline=one.baseline[chosen], synergy=shuffled, **by_draw).select(kpis, lines)
    # The pairs come in one order whatever order they are given in.
    assert other.synergy.pairs == one.synergy.pairs
    for name in "ab":
        (tmp_path / name).mkdir()
    first, second = (scenario_on_file(tmp_path / name, found) for name, found in (("a", one), ("b", other)))
    wanted = opt.simulate(first, SPEND)
    found = opt.simulate(second, SPEND[order])[list(wanted.columns)]
    np.testing.assert_allclose(found, wanted.to_numpy()[chosen], rtol=1e-13)
    slopes, moved = (Simulator.of(s).effects(x)[1] for s, x in ((first, SPEND), (second, SPEND[order])))
    np.testing.assert_allclose(moved[:, ::-1], slopes[chosen][:, :, order], rtol=1e-12)


def test_a_line_left_out_gives_nothing(tmp_path):
    one = model()
    part = one.select(("kpi0",), ("line0", "line1"))
    assert part.synergy.pairs == (("kpi0", "line0", "line1"),)
    np.testing.assert_array_equal(part.synergy.gain, one.synergy.gain[:, [1]])
    assert not one.select(("kpi0",), ("line1", "line2")).synergy


def test_one_draw_of_a_model(tmp_path):
    one = model(spread=np.full((5, 2, 4), 2.0), carryover=np.full((2, 4), 1), length=np.full((2, 4), 4))
    whole = opt.simulate(scenario_on_file(tmp_path, one), SPEND)
    for draw in range(5):
        alone = opt.simulate(scenario_on_file(tmp_path, one.one_draw(draw)), SPEND)
        np.testing.assert_allclose(alone, whole.iloc[[draw]], rtol=1e-13)


# What plans do


def test_without_gain_it_is_as_if_it_were_not_there(tmp_path):
    plans = np.random.default_rng(1).uniform(0, 500, (3, 4))
    found = []
    for name, some in (("with", model(gain=np.zeros((5, 4)))), ("without", replace(model(), synergy=Synergy()))):
        (tmp_path / name).mkdir()
        simulator = Simulator.of(scenario_on_file(tmp_path / name, some))
        assert (simulator.links is None) == (name == "without")
        found.append((simulator.outcomes(plans), simulator.gradients(plans), *simulator.effects(plans[0])))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_effects_add_up_and_slopes_are_those_of_the_whole(mutual):
    simulator = Simulator.of(mutual)
    value, slope = simulator.effects(SPEND)
    np.testing.assert_allclose(value.sum(axis=2), simulator.line_outcomes(SPEND[None])[0], rtol=1e-13)
    for line in range(4):
        step = np.eye(4)[line] * 0.01
        low, high = simulator.outcomes(np.stack([SPEND - step, SPEND + step]))
        np.testing.assert_allclose(slope[:, :, line], (high - low) / 0.02, rtol=1e-6)


def test_gradients_are_central_differences_of_the_mean_and_of_cvar(mutual):
    simulator = Simulator.of(mutual)
    spend = np.random.default_rng(2).uniform(20, 80, (2, 4, 4))
    share = tail_shares(simulator.outcomes(spend), 0.5)
    mean, tail = simulator.gradients(spend), simulator.gradients(spend, share)
    for line, t in np.ndindex(4, 4):
        step = np.zeros((4, 4))
        step[line, t] = 1e-3
        change = (simulator.outcomes(spend + step) - simulator.outcomes(spend - step)) / 2e-3
        np.testing.assert_allclose(mean[:, :, line, t], change.mean(axis=1), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(tail[:, :, line, t], (change * share).sum(axis=1), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("by", ["line", "channel", "period"])
def test_parts_add_up_to_the_whole(mutual, by):
    plans = np.random.default_rng(1).uniform(0, 500, (2, 4))
    found = opt.simulate(mutual, plans, by=by)
    total = found.groupby(level=["plan", "draw"]).sum()
    np.testing.assert_allclose(total, opt.simulate(mutual, plans), rtol=1e-13)


def test_a_groups_part_is_what_its_lines_do_beside_the_others(mutual):
    found = opt.simulate(mutual, SPEND, by="channel")
    values = Simulator.of(mutual).effects(SPEND)[0]
    for channel, members in (("a", [0, 2]), ("b", [1, 3])):
        part = found.xs(channel, level="channel")
        np.testing.assert_allclose(part, values[:, :, members].sum(axis=2), rtol=1e-13)


def test_spend_before_and_effects_after_the_horizon(tmp_path):
    # One period of two with the same: what is carried out of the first is what the second carries in.
    wide = model(draws=2, periods=2, past=3, start=None)
    wide = replace(wide, baseline=np.zeros((2, 2, 1)))
    short = scenario_on_file(tmp_path, wide, periods=1)
    (tmp_path / "late").mkdir()
    bought = np.array([40.0, 10.0, 30.0, 20.0])
    past = np.column_stack([wide.history[:, 1:], bought])
    late = scenario_on_file(tmp_path / "late", replace(wide, history=past), periods=1)
    (tmp_path / "both").mkdir()
    both = scenario_on_file(tmp_path / "both", wide, periods=2)
    spend = np.array([5.0, 25.0, 15.0, 35.0])
    whole = opt.simulate(both, np.column_stack([bought, spend]))
    parts = opt.simulate(short, bought) + opt.simulate(late, spend)
    np.testing.assert_allclose(parts, whole, rtol=1e-13)
    (tmp_path / "out").mkdir()
    out = scenario_on_file(tmp_path / "out", wide, periods=2, changes={"carry_out": True})
    (tmp_path / "long").mkdir()
    long = scenario_on_file(tmp_path / "long", wide, periods=6)
    ended = np.column_stack([bought, spend, np.zeros((4, 4))])
    np.testing.assert_allclose(
        opt.simulate(out, np.column_stack([bought, spend])), opt.simulate(long, ended), rtol=1e-13
    )


def test_the_next_money_counts_for_what_it_does_through_others():
    scenario = written({"kpi0": {"line0": {"line1": 0.6}}}, periods=1)
    spend = np.array([10.0, 10.0, 0.0])
    # d/dm of m / (10 + m) is 10 / 400 at 10: of 3 its own, and of 0.6 x 4 that it lends line0.
    wanted = 1000 * (10 / 400) * (3 + 0.6 * 4)
    certificate = Certificate("none", 0.0, np.nan, np.nan, "kpi0", "test", "")
    plan = opt.Plan(scenario, pd.Series(spend, pd.Index(scenario.lines, name="line")), certificate)
    assert plan.allocation.loc["line1", "marginal kpi0"] == pytest.approx(wanted, rel=1e-12)
    assert marginal_returns(plan).loc["line1", "kpi0 per 1000"] == pytest.approx(wanted, rel=1e-12)
    # A line's curve is drawn with the others as planned.
    drawn = _sampled(View(plan, scenario), Simulator.of(scenario), np.array([[0.0, 0.0, 0.0], [30.0, 30.0, 30.0]]))
    np.testing.assert_allclose(drawn[:, 0, 0], [[0, 0, 0], [6 * 1.3, 2.25, 30]], rtol=1e-13)


def test_routes_that_prove_refuse_it_by_name():
    scenario = written({"kpi0": {"line0": {"line1": 0.6}}})
    for route in ("separable", "convex", "mixed_integer"):
        with pytest.raises(opt.SolverError, match=r"add up: .* line 'line1' multiplies .* 'line0'"):
            opt.solve(scenario, route=route)


def test_a_kpi_that_is_only_shown_may_have_it():
    data = make_scenario(2, 2)
    data["preferences"] = {}
    del data["kpis"]["kpi1"]["direction"]
    without = opt.solve(opt.Scenario.from_dict(data))
    data["response"]["synergy"] = {"kpi1": {"line0": {"line1": 0.5}}}
    plan = opt.solve(opt.Scenario.from_dict(data))
    assert plan.certificate.guarantee == "global"
    np.testing.assert_allclose(plan.spend, without.spend, rtol=1e-9)
    assert plan.outcomes.loc["kpi1", "expected"] > without.outcomes.loc["kpi1", "expected"]
