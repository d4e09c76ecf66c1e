"""Experiments: what is planted is found as often as intervals and planned power promise; a published example."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from optimizer.audit import experiments
from optimizer.errors import DataError, SpecError

DATA = Path(__file__).parents[1].parent / "shared" / "data"
START = date(2025, 2, 3)


def panel(
    rng: np.random.Generator,
    units: int = 40,
    before: int = 20,
    during: int = 20,
    lift: float = 0.0,
    drift: float = 0.0,
) -> tuple[pd.DataFrame, list[str]]:
    """Units of their own size with noise that stays, half of them treated from `START`."""
    level = rng.normal(100, 30, units)[:, None]
    noise = rng.normal(size=(units, before + during))
    for t in range(1, noise.shape[1]):
        noise[:, t] = 0.5 * noise[:, t - 1] + noise[:, t]
    values = level + 3 * noise + np.sin(np.arange(before + during) / 3)
    treated = np.arange(units) < units // 2
    values[np.ix_(treated, np.arange(before + during) >= before)] += lift
    values[treated] += drift * np.arange(before + during)
    days = pd.date_range(START - timedelta(days=before), periods=before + during)
    names = np.array([f"u{i}" for i in range(units)])
    columns = {"date": np.tile(days, units), "unit": np.repeat(names, len(days)), "value": values.reshape(-1)}
    return pd.DataFrame(columns), [f"u{i}" for i in np.flatnonzero(treated)]


def test_planted_lift_lies_in_its_interval_and_is_found_as_often_as_planned() -> None:
    rng = np.random.default_rng(11)
    # The same units and periods as the tests have: what the power is planned on.
    quiet = [panel(rng, units=400)[0] for _ in range(3)]
    planned = np.mean([experiments.difference_power(rows, 20, 20, 20, 1.5) for rows in quiet])
    assert 0.6 < planned < 0.95
    inside, found = [], []
    for _ in range(1000):
        rows, treated = panel(rng, lift=1.5)
        effect = experiments.difference_in_differences(rows, treated, START, START + timedelta(days=19)).effect
        inside.append(effect.low <= 1.5 <= effect.high)
        found.append(effect.low > 0)
    assert 0.93 <= np.mean(inside) <= 0.97
    assert np.mean(found) == pytest.approx(planned, abs=0.02)


def test_by_level_it_is_welch_on_changes() -> None:
    rows, treated = panel(np.random.default_rng(1), lift=2.0)
    found = experiments.difference_in_differences(rows, treated, START, START + timedelta(days=19))
    wide = rows.pivot_table(index="unit", columns="date", values="value")
    before = wide.columns < pd.Timestamp(START)
    change = wide.loc[:, ~before].mean(axis=1) - wide.loc[:, before].mean(axis=1)
    inside = change.index.isin(treated)
    assert found.effect.value == pytest.approx(change[inside].mean() - change[~inside].mean())
    welch = ttest_ind(change[inside], change[~inside], equal_var=False)
    assert found.effect.value / found.effect.error == pytest.approx(welch.statistic)
    assert found.lift.value == pytest.approx(20 * 20 * found.effect.value)
    assert found.before.low < 0 < found.before.high
    assert found.series.loc[START:, "treated"].mean() > found.series.loc[START:, "control"].mean()


def test_groups_that_drift_apart_before_show_it() -> None:
    rows, treated = panel(np.random.default_rng(2), drift=0.5)
    found = experiments.difference_in_differences(rows, treated, START, START + timedelta(days=19))
    assert found.before.value == pytest.approx(0.5, abs=0.3)
    assert found.before.p < 0.01


def test_geo_experiment_of_matched_markets() -> None:
    """50,000 was spent on top in the 50 treated regions; the example's own threshold of interest is 3 for 1."""
    folder = DATA / "geo"
    if not folder.exists():
        pytest.skip("the data are not here")
    groups = pd.read_csv(folder / "geoassignment.csv")
    rows = pd.read_csv(folder / "salesandcost.csv").rename(columns={"geo": "unit", "sales": "value"})
    treated = [str(geo) for geo in groups.loc[groups["geo.group"] == 2, "geo"]]
    # A day without a row is a day without sales, in the small regions.
    found = experiments.difference_in_differences(
        rows, treated, date(2015, 2, 16), date(2015, 3, 15), by="share", missing="zero"
    )
    assert (found.treated, found.control) == (50, 50)
    per_cost = found.lift.times(1 / 50_000)
    assert per_cost.value == pytest.approx(3.0, abs=0.15)
    assert per_cost.low < 3.0 < per_cost.high
    assert per_cost.high - per_cost.low < 1.5
    assert found.before.low < 0 < found.before.high


def test_two_proportions_and_guardrails() -> None:
    found = experiments.two_proportions(260, 2000, 200, 2000)
    assert found.value == pytest.approx(0.03)
    assert found.low < 0.03 < found.high
    assert found.p < 0.01
    assert experiments.no_worse(found, 0.01)
    assert not experiments.no_worse(experiments.two_proportions(200, 2000, 205, 2000), 0.01)
    assert experiments.two_proportions(0, 10, 0, 10).p == 1.0
    with pytest.raises(SpecError, match="no loss"):
        experiments.no_worse(found, 0.0)
    with pytest.raises(DataError, match="no share"):
        experiments.two_proportions(11, 10, 1, 10)


def test_planned_power_of_proportions_is_reached() -> None:
    rng, rate, change = np.random.default_rng(5), 0.10, 0.02
    size = experiments.sample_size(rate, change)
    draws = 4000
    found = [
        experiments.two_proportions(a, size.treated, b, size.control).low > 0
        for a, b in zip(
            rng.binomial(size.treated, rate + change, draws), rng.binomial(size.control, rate, draws), strict=True
        )
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.02)
    assert size.periods(500) == -(-(size.treated + size.control) // 500)


def test_planned_power_of_a_guardrail_is_reached_and_losers_are_stopped() -> None:
    rng, rate, margin = np.random.default_rng(6), 0.20, 0.03
    size = experiments.sample_size(rate, 0.0, margin=margin)
    passed = {}
    for true in (0.0, -margin):
        passed[true] = np.mean(
            [
                experiments.no_worse(experiments.two_proportions(a, size.treated, b, size.control), margin)
                for a, b in zip(
                    rng.binomial(size.treated, rate + true, 3000),
                    rng.binomial(size.control, rate, 3000),
                    strict=True,
                )
            ]
        )
    assert passed[0.0] == pytest.approx(0.8, abs=0.02)
    assert passed[-margin] == pytest.approx(0.025, abs=0.01)


def test_sizes_that_cannot_be() -> None:
    for given in ((0.0, 0.1), (0.5, 0.6), (0.1, 0.0)):
        with pytest.raises(SpecError):
            experiments.sample_size(*given)
    with pytest.raises(SpecError, match="nobody comes"):
        experiments.sample_size(0.1, 0.05).periods(0)


def test_faults_of_panels() -> None:
    rows, treated = panel(np.random.default_rng(3), units=8)
    end = START + timedelta(days=19)
    for bad, given, words in (
        (rows.iloc[1:], treated, "lacks some"),
        (rows.assign(value=rows["value"].where(rows["unit"] != "u3")), treated, "'u3' lacks some"),
        (pd.concat([rows, rows.iloc[:1]]), treated, "two rows"),
        (rows, [*treated, "nowhere"], "no unit"),
        (rows, treated[:2], "at least"),
    ):
        with pytest.raises(DataError, match=words):
            experiments.difference_in_differences(bad, given, START, end)
    with pytest.raises(DataError, match="dates before"):
        experiments.difference_in_differences(rows, treated, START - timedelta(days=20), end)
    nothing = rows.assign(value=rows["value"].where(rows["unit"] != "u1", 0.0))
    with pytest.raises(DataError, match="had nothing"):
        experiments.difference_in_differences(nothing, treated, START, end, by="share")
    with pytest.raises(DataError, match="too few"):
        experiments.difference_power(rows, 4, 4, 30, 1.0)
