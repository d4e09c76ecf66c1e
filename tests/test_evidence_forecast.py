"""Time-ordered tests of a fit: nothing of the future is used, and the figures are what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fit_worlds import own_world

from optimizer.evidence import forecast
from optimizer.evidence.baseline import baseline
from optimizer.evidence.forecast import Forecast, origins, rolled
from optimizer.evidence.posterior import ahead
from optimizer.evidence.regression import Draws, Setup


def test_origins_are_even_steps_back_from_the_end() -> None:
    assert origins(100, 8, 60) == [60, 68, 76, 84, 92]
    assert origins(100, 8, 60, 2) == [84, 92]
    assert origins(100, 8, 95) == []


def test_the_future_changes_no_forecast_but_by_its_spend() -> None:
    world = own_world(5)
    spec, spend = world.spec, world.history.spend.to_numpy().T
    values = world.history.kpis["sales"].to_numpy()
    base, lines = baseline(world.history, spec), list(world.history.spend)
    first = rolled(spend, values, base, lines, spec, [70], 0.3)
    other = values.copy()
    other[70:] *= 3
    second = rolled(spend, other, base, lines, spec, [70], 0.3)
    for name in ("expected", "low", "high", "without_media", "mean"):
        np.testing.assert_array_equal(first.table[name], second.table[name])
    assert (second.table["actual"] == 3 * first.table["actual"]).all()
    later = spend.copy()
    later[:, 70:] = 0.0
    third = rolled(later, values, base, lines, spec, [70], 0.3)
    assert (third.table["expected"] < first.table["expected"]).all()
    np.testing.assert_array_equal(third.table["without_media"], first.table["without_media"])


def test_lines_and_events_not_seen_before_the_origin_count_as_nothing() -> None:
    world = own_world(6)
    spend = world.history.spend.copy()
    spend.iloc[:70, 0] = 0.0
    day = world.history.dates[72].date()
    spec = world.spec.model_copy(update={"events": {"sale": [day]}})
    history = replace(world.history, spend=spend)
    values = history.kpis["sales"].to_numpy()
    given = (values, baseline(history, spec))
    both = rolled(spend.to_numpy().T, *given, list(spend), spec, [70], 0.3)
    rest = rolled(spend.to_numpy().T[1:], *given, list(spend)[1:], spec, [70], 0.3)
    np.testing.assert_allclose(both.table["expected"], rest.table["expected"])


def table(**columns: list[float]) -> Forecast:
    frame = pd.DataFrame(columns)
    return Forecast(frame, pd.DataFrame({"actual": [5.0], "expected": [5.0], "low": [4.0], "high": [4.5]}))


def test_scores() -> None:
    found = table(
        actual=[10.0, 20.0, 30.0, 40.0],
        expected=[11.0, 18.0, 30.0, 37.0],
        low=[9.0, 17.0, 31.0, 30.0],
        high=[12.0, 19.0, 33.0, 44.0],
        mean=[25.0] * 4,
        last_year=[10.0, 20.0, 30.0, np.nan],
    )
    assert found.error() == pytest.approx(6 / 100)
    assert found.skill("mean") == pytest.approx(1 - 6 / 40)
    assert found.error("last_year") is None
    # Over the three periods that a year before is known of; none where it foretells all to the last digit.
    assert found.skill("last_year") is None
    other = replace(found, table=found.table.assign(last_year=[13.0, 20.0, 30.0, np.nan]))
    assert other.skill("last_year") == pytest.approx(0.0)
    assert found.covered() == 0.5
    assert found.totals_covered() == 0.0
    assert found.r2() == pytest.approx(1 - 14 / 500)


def test_intervals_hold_what_they_promise() -> None:
    covered = []
    # Periods of one world share their luck, so it takes many worlds.
    for seed in range(20):
        world = own_world(seed)
        values, spend = world.history.kpis["sales"].to_numpy(), world.history.spend.to_numpy().T
        base, lines = baseline(world.history, world.spec), list(world.history.spend)
        found = rolled(spend, values, base, lines, world.spec, origins(len(values), 8, 70, 2), 0.3)
        covered.append(found.covered())
    assert 0.7 < np.mean(covered) < 0.9
    assert forecast.INTERVAL == 0.8


def test_what_demand_may_have_done_comes_again_with_the_memory_it_had() -> None:
    known, periods, draws = 400, 13, 4000
    rng = np.random.default_rng(5)
    slow = np.zeros(known)
    for t in range(1, known):
        slow[t] = 0.8 * slow[t - 1] + rng.normal()
    ones = np.ones((known + periods, 1))
    setup = Setup((), None, ones, ones[0], np.empty((known + periods, 0)), slow[:, None], np.ones(1), known)  # type: ignore[arg-type]
    zeros, one = np.zeros(draws), np.ones(draws)
    none = np.empty((draws, 0))
    drawn = Draws(
        none.astype(int), none, none, zeros[:, None], one[:, None], one, zeros, one, 2.0 + slow[-1] * one, 1.0
    )
    expected, path = ahead(setup, drawn, 0)
    memory = slow[1:] @ slow[:-1] / (slow @ slow)
    ahead_of = np.arange(1, periods + 1)
    # What demand left of the last period fades as it did before; the rest of it is noise without memory.
    assert expected[0] == pytest.approx(slow[-1] * memory**ahead_of)
    added = (1 - memory**2) * np.mean(slow**2) * np.sum(((1 - memory**ahead_of) / (1 - memory)) ** 2)
    assert (path - expected).sum(axis=1).std() == pytest.approx(np.sqrt(periods + added), rel=0.05)
