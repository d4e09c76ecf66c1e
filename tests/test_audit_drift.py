"""Drift: false alarms and delays on series of known truth, lights that do not flicker, the date of a change."""

from __future__ import annotations

import sys
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, norm

from optimizer import DataError, SpecError
from optimizer.audit import drift
from optimizer.audit.drift import limits, monitor

WEEKS = 26


def weeks(count: np.ndarray, size: float) -> pd.DataFrame:
    days = [date(2026, 1, 5) + timedelta(weeks=int(i)) for i in range(len(count))]
    return pd.DataFrame({"date": days, "count": count, "size": size})


FALLING, STABLE = np.linspace(0.14, 0.08, WEEKS), np.full(WEEKS, 0.14)


def first_reds(rates: np.ndarray, leads: int, runs: int, past: int = 0, seed: int = 1) -> np.ndarray:
    """The week of the first red light of each series; infinite where there is none."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        series = np.concatenate([rng.binomial(leads, 0.14, past), rng.binomial(leads, rates)])
        given = {"baseline": past} if past else {"target": 0.14}
        lights = monitor(weeks(series, leads), "binomial", **given).table["light"].to_numpy()
        red = np.flatnonzero(lights == "red")
        found.append(red[0] + 1 if len(red) else np.inf)
    return np.array(found)


def first_beyond(rates: np.ndarray, leads: int, runs: int) -> np.ndarray:
    """The same for a known reference, without the lights: quick enough for thousands of series."""
    count = np.random.default_rng(7).binomial(leads, rates, (runs, WEEKS))
    table = pd.DataFrame({"count": count.ravel(), "size": float(leads)})
    cusum, ewma = drift._paths(-drift._scores(table, "binomial", 0.14, 1.0).reshape(runs, WEEKS))
    limit = limits(0).loc["red"]
    beyond = (cusum >= limit["cusum"]) | (ewma >= limit["ewma"])
    return np.where(beyond.any(axis=1), beyond.argmax(axis=1) + 1, np.inf)


@pytest.mark.parametrize(("leads", "week", "false"), [(500, 10, 0.06), (150, 15, 0.12)])
def test_a_fall_is_seen_in_time_and_stable_weeks_are_left_alone(leads, week, false):
    # At 500 leads the median lies just within week 10: 400 series alone would tell by luck.
    assert np.median(first_beyond(FALLING, leads, 8000)) <= week
    assert np.isfinite(first_beyond(STABLE, leads, 8000)).mean() <= false
    # And the lights are those charts.
    one, other = first_reds(FALLING, leads, 100), first_beyond(FALLING, leads, 8000)
    assert np.median(one) == pytest.approx(np.median(other), abs=1)


def test_a_reference_from_few_periods_gives_no_more_false_alarms():
    assert np.isfinite(first_reds(STABLE, 500, 300, past=26, seed=3)).mean() <= 0.09
    # Against limits for a known reference it would.
    assert limits(26).loc["red", "cusum"] > limits(0).loc["red", "cusum"] + 0.3


def test_limits_hold_what_they_promise():
    rng = np.random.default_rng(99)
    for past in (0, 20):
        z = rng.standard_normal((20_000, WEEKS)) - (
            rng.standard_normal((20_000, 1)) / np.sqrt(past) if past else 0
        )
        cusum, ewma = drift._paths(z)
        for light, share in drift.FALSE.items():
            limit = limits(past).loc[light]
            seen = ((cusum >= limit["cusum"]) | (ewma >= limit["ewma"])).any(axis=1).mean()
            assert seen == pytest.approx(share, abs=0.01)


def test_the_chart_is_the_slow_sum():
    rng = np.random.default_rng(4)
    count = rng.binomial(400, 0.14, 20)
    found = monitor(weeks(count, 400), "binomial", target=0.14)
    total, mean = 0.0, 0.0
    for i, n in enumerate(count):
        below = sum(binom.pmf(k, 400, 0.14) for k in range(n)) + 0.5 * binom.pmf(n, 400, 0.14)
        z = -norm.ppf(below)
        total = max(0.0, total + z - 0.5)
        mean = 0.8 * mean + 0.2 * z
        assert found.table["cusum"].iloc[i] * found.limits.loc["red", "cusum"] == pytest.approx(total)
        assert found.table["ewma"].iloc[i] * found.limits.loc["red", "ewma"] == pytest.approx(mean)


def test_a_step_is_dated():
    rates = np.concatenate([np.full(20, 0.14), np.full(10, 0.08)])
    rng = np.random.default_rng(6)
    found = monitor(weeks(rng.binomial(1000, rates), 1000), "binomial", target=0.14)
    assert found.light == "red"
    assert found.verdict.found
    assert abs((found.changed - (date(2026, 1, 5) + timedelta(weeks=20))).days) <= 7
    data = found.to_dict()
    assert [step["step"] for step in data["review"]] == ["data quality", "recalibration", "refit"]
    assert data["periods"][-1]["light"] == "red"


def test_rising_is_worse_for_a_cost():
    rates = np.concatenate([np.full(10, 0.08), np.full(10, 0.14)])
    series = weeks(np.round(1000 * rates), 1000)
    assert monitor(series, "binomial", target=0.08, worse="up").light == "red"
    assert monitor(series, "binomial", target=0.08, worse="down").light == "green"


def test_a_light_does_not_flicker_and_goes_back_when_mended():
    z = np.array([0.0] * 5 + [3.0] * 5 + [-0.2, 0.6] * 2 + [-2.0] * 12)
    lights = list(drift._chart(z, limits(0))["light"])
    red = lights.index("red")
    changes = sum(a != b for a, b in pairwise(lights))
    assert lights[red : red + 8] == ["red"] * 8
    assert lights[-1] == "green"
    assert changes <= 3


def test_small_periods_are_grey_and_said():
    found = monitor(weeks(np.array([1, 0, 2, 1]), 10), "binomial", target=0.14)
    assert found.light == "grey"
    assert found.verdict.answer == "cannot be told"
    assert "4 periods are too small" in found.notes[0]


def test_a_small_period_takes_no_light_back():
    table = weeks(np.concatenate([np.full(12, 80.0), [1.0]]), 1000)
    table["size"] = table["size"].where(table["count"] > 1, 10)
    found = monitor(table, "binomial", target=0.14)
    assert found.table["light"].iloc[-1] == "grey"
    assert found.light == "red"


def test_a_count_that_varies_more_than_its_law_widens_the_limits():
    rng = np.random.default_rng(8)
    count = rng.poisson(200 * rng.gamma(20, 1 / 20, 60))
    found = monitor(weeks(count, 1.0), "poisson", baseline=40)
    assert found.spread == pytest.approx(np.sqrt(1 + 200 / 20), rel=0.35)
    assert "varies" in found.notes[0]
    assert found.light != "red"


def test_means_take_their_spread_from_the_baseline():
    rng = np.random.default_rng(9)
    values = rng.normal(50, 5, 60)
    values[45:] -= 12
    days = weeks(values, 1.0)["date"]
    found = monitor(pd.DataFrame({"date": days, "value": values}), "normal", baseline=30)
    assert found.light == "red"
    assert found.reference == pytest.approx(values[:30].mean())
    assert abs((found.changed - days[45]).days) <= 7
    wider = limits(30, 30).loc["red"]
    assert (wider[["cusum", "ewma"]] > limits(30).loc["red", ["cusum", "ewma"]]).all()


def test_people_are_added_up_by_date():
    people = pd.DataFrame({"date": [date(2026, 1, 5)] * 300, "count": [1.0] * 40 + [0.0] * 260, "size": 1.0})
    found = monitor(people, "binomial", target=0.14)
    assert found.table["value"].tolist() == [40 / 300]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "nothing to hold the KPI against"),
        ({"baseline": 4}, "a baseline of 4 periods out of 20"),
        ({"target": 14.0}, "no binomial rate"),
    ],
)
def test_references_that_are_none_are_refused(given, words):
    with pytest.raises(SpecError, match=words):
        monitor(weeks(np.full(20, 70), 500), "binomial", **given)


def test_impossible_counts_are_refused():
    with pytest.raises(DataError, match="600 of 500 on 2026-01-05"):
        monitor(weeks(np.full(20, 600), 500), "binomial", target=0.14)
    twice = pd.DataFrame({"date": [date(2026, 1, 5)] * 20, "value": 1.0})
    with pytest.raises(DataError, match="stands twice"):
        monitor(twice, "normal", baseline=10)


def test_an_absent_library_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ruptures", None)
    with pytest.raises(SpecError, match=r"pip install 'campaign-optimizer\[stats\]'"):
        monitor(weeks(np.full(20, 30), 500), "binomial", target=0.14)
