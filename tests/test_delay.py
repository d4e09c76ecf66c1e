"""KPIs that come late: all that lines do for them arrives some periods after the media works."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import naive_synergy as twin
import numpy as np
import pytest
from conftest import make_model, make_scenario
from hypothesis import given, settings
from hypothesis import strategies as st

import optimizer as opt
from optimizer.curves import NAMES
from optimizer.simulate import Simulator
from optimizer.synergy import Synergy

LINEAR = {"kind": "linear", "scale": 1.0}
HALVED = {"kind": "geometric", "rate": 0.5, "length": 2, "normalised": False}


def one_line(delay: int, periods: int, line: dict[str, Any] | None = None, **blocks: Any) -> opt.Scenario:
    """One line whose media counts as it is, and half of it again a period later."""
    data = make_scenario(1, 1, periods=periods, changes=blocks)
    data["response"] = {"kpi0": {"line0": {"curve": LINEAR, "adstock": HALVED}}}
    data["lines"][0] |= line or {}
    data["kpis"]["kpi0"] |= {"delay": delay} | blocks.get("kpi", {})
    data.pop("kpi", None)
    return opt.Scenario.from_dict(data)


def by_period(scenario: opt.Scenario, spend: list[float]) -> list[float]:
    return list(opt.simulate(scenario, np.array([[spend]]), by="period")["kpi0"].drop("baseline", level="period"))


def test_effects_arrive_late_by_hand():
    spend = [8.0, 4.0, 2.0, 1.0]
    assert by_period(one_line(0, 4), spend) == [8, 8, 4, 2]
    assert by_period(one_line(2, 4), spend) == [0, 0, 8, 8]
    assert by_period(one_line(4, 4), spend) == [0, 0, 0, 0]
    # What comes after the horizon counts when asked for, all of it.
    assert by_period(one_line(2, 4, carry_out=True), spend) == [0, 0, 8, 8, 4, 2, 0.5]


def test_spend_before_the_horizon_arrives_in_it():
    # 16, 32 and 64 before: in full, and half of them again, two periods later.
    line = {"history": [16.0, 32.0, 64.0]}
    assert by_period(one_line(2, 4, line), [8.0, 4.0, 2.0, 1.0]) == [40, 80, 40, 8]


def test_the_season_is_that_of_the_arrival():
    kpi = {"season": [1.0, 10.0, 100.0, 1000.0]}
    assert by_period(one_line(2, 4, kpi=kpi), [8.0, 4.0, 2.0, 1.0]) == [0, 0, 800, 8000]


def test_a_delay_is_the_same_as_spending_later():
    rng = np.random.default_rng(1)
    data = make_scenario(3, 2, periods=8)
    late = make_scenario(3, 2, periods=8)
    for kpi in late["kpis"].values():
        kpi["delay"] = 3
    plans = rng.uniform(0, 100, (4, 3, 8))
    moved = np.concatenate([np.zeros((4, 3, 3)), plans[:, :, :-3]], axis=2)
    found, wanted = opt.Scenario.from_dict(late), opt.Scenario.from_dict(data)
    np.testing.assert_allclose(opt.simulate(found, plans), opt.simulate(wanted, moved), rtol=1e-13)


@st.composite
def scenarios(draw: Any) -> opt.Scenario:
    """Models of all families, before and after saturation, with history, seasons, delays and synergy."""
    seed, periods = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 4))
    rng = np.random.default_rng(seed)
    family = rng.choice([2, 3, 4, 5, 6, 7], (2, 3))
    second = np.where(family == 4, rng.uniform(0.3, 1, (2, 2, 3)), rng.uniform(0.5, 3, (2, 2, 3)))
    some = make_model(
        2, family=family, second=second, after=rng.random((2, 3)) < 0.5, past=draw(st.integers(0, 4)), seed=seed
    )
    pairs = (("kpi0", "line0", "line1"), ("kpi0", "line1", "line0"), ("kpi1", "line0", "line2"))
    if draw(st.booleans()):
        some = replace(some, synergy=Synergy(pairs, rng.uniform(0, 0.5, (2, 3))))
    data = make_scenario(3, 2, periods=periods)
    data["carry_out"] = draw(st.booleans())
    for kpi in data["kpis"].values():
        kpi["delay"] = draw(st.integers(0, 5))
        kpi["season"] = rng.uniform(0.5, 1.5, periods).tolist()
    return replace(opt.Scenario.from_dict(data), response=some)


def for_twin(scenario: opt.Scenario, spend: np.ndarray, k: int, d: int) -> dict[str, Any]:
    """Arguments of the twin, from what the scenario says: no periods are added, no weights moved."""
    model, weights = scenario.response, scenario.response.weights()
    late = int(scenario.delay[k])
    beyond = weights.shape[3] - 1 + int(scenario.delay.max()) if scenario.spec.carry_out else 0
    lines = [
        {
            "media": [*spend[line], *[0.0] * beyond],
            "history": scenario.history[line],
            "weights": weights[d, k, line],
            "family": NAMES[int(model.family[k, line])],
            "first": model.first[d, k, line],
            "second": model.second[d, k, line],
            "points": (),
            "after": model.after[k, line],
            "late": late,
        }
        for line in range(3)
    ]
    gains = {
        (model.lines.index(giver), model.lines.index(taker)): gain
        for (kpi, giver, taker), gain in zip(
            model.synergy.pairs, model.synergy.gain[d : d + 1].ravel(), strict=True
        )
        if kpi == model.kpis[k]
    }
    season = [*scenario.season[k], *[1.0] * beyond]
    return {"lines": lines, "scales": model.scale[d, k], "gains": gains, "season": season}


@given(scenarios())
@settings(max_examples=20)
def test_late_effects_agree_with_their_twin(scenario):
    simulator, periods = Simulator.of(scenario), scenario.spec.horizon.periods
    spend = np.array([100.0, 200.0, 300.0])
    flat = np.repeat(spend[:, None] / periods, periods, axis=1)
    value, slope = simulator.effects(spend)
    outcomes, gradients = simulator.line_outcomes(flat[None])[0], simulator.gradients(flat[None])[0]
    for k, d in np.ndindex(2, 2):
        given_to = for_twin(scenario, flat, k, d)
        wanted = twin.line_effects(**given_to)
        np.testing.assert_allclose(value[d, k], wanted, rtol=1e-12)
        assert outcomes[d, k] == pytest.approx(sum(wanted), rel=1e-12)
        length = len(given_to["season"])
        for line in range(3):
            more = np.zeros((3, length))
            more[line, :periods] = 1 / periods
            assert slope[d, k, line] == pytest.approx(twin.slope(**given_to, more=more), rel=1e-12)
    for k, line, t in np.ndindex(2, 3, periods):
        rises = []
        for d in range(2):
            given_to = for_twin(scenario, flat, k, d)
            more = np.zeros((3, len(given_to["season"])))
            more[line, t] = 1.0
            rises.append(twin.slope(**given_to, more=more))
        assert gradients[k, line, t] == pytest.approx(np.mean(rises), rel=1e-12)


def test_a_plan_says_what_is_not_counted():
    late, lost = "comes 2 weeks late", "What the plan's last 2 weeks would do for kpi0 is not counted"
    unknown = "Spend before the start is not known: what it does for kpi0 is not counted."
    says = opt.solve(one_line(2, 4)).warnings
    for words in (late, lost, unknown):
        assert any(words in note for note in says)
    assert lost not in " ".join(one_line(2, 4, carry_out=True).notes)
    assert "What the whole plan would do" in " ".join(one_line(1, 1).notes)
    assert not one_line(0, 4).notes
    # Two weeks late and two weeks long: three weeks before count.
    for known, said in ((2, "Spend more than 2 weeks before the start is not known"), (3, "")):
        notes = [note for note in one_line(2, 4, {"history": [1.0] * known}).notes if "before" in note]
        assert len(notes) == (1 if said else 0)
        assert all(note.startswith(said) for note in notes)


def test_money_goes_to_the_kpi_that_still_arrives():
    # Two equal lines, one for each KPI; of the late one's four periods only one counts.
    data = make_scenario(2, 2, periods=4, budget=400.0)
    curve = {"curve": {"kind": "michaelis_menten", "scale": 10.0, "half": 50.0}}
    data["response"] = {"kpi0": {"line0": curve, "line1": "none"}, "kpi1": {"line0": "none", "line1": curve}}
    data["preferences"]["scale"] = {"kpi0": [0, 40], "kpi1": [0, 40]}
    even = opt.solve(opt.Scenario.from_dict(data))
    np.testing.assert_allclose(even.spend, [200, 200], rtol=1e-4)
    data["kpis"]["kpi1"]["delay"] = 3
    late = opt.solve(opt.Scenario.from_dict(data))
    assert late.certificate.guarantee == "global"
    assert late.spend["line0"] > 300
    # At the best, the next money does the same for both.
    marginal = [late.allocation.loc[f"line{i}", f"marginal kpi{i}"] for i in range(2)]
    assert marginal[0] == pytest.approx(marginal[1], rel=1e-3)


@pytest.mark.parametrize("delay", [-1, 105, 1.5, "soon"])
def test_a_delay_is_a_number_of_periods(delay):
    with pytest.raises(opt.SpecError) as caught:
        one_line(delay, 4)
    assert caught.value.path[:3] == ("kpis", "kpi0", "delay")


def test_a_derived_kpi_has_no_delay():
    data = make_scenario(2, 1)
    data["kpis"]["double"] = {"product": [2.0, "kpi0"], "delay": 1}
    with pytest.raises(opt.SpecError, match="no delay of its own"):
        opt.Scenario.from_dict(data)


def test_it_comes_back_from_the_resolved_scenario():
    scenario = one_line(2, 4)
    resolved = scenario.resolved()
    assert resolved["kpis"]["kpi0"]["delay"] == 2
    assert opt.Scenario.from_dict(resolved).hash == scenario.hash
