"""Qualified leads: calibration that holds, that drifted, scores that tell nothing, and what a threshold costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from test_audit_alignment import scenario

from optimizer import DataError, SpecError
from optimizer.audit.leads import EXPECTED, plans_by_choice, qualify


def scored(count: int = 6000, seed: int = 0, later: float = 1.0, noise: float = 0.0) -> pd.DataFrame:
    """Leads whose score rises with their chance to buy; later ones buy ``later`` times as much."""
    rng = np.random.default_rng(seed)
    chance = rng.beta(1.2, 8, count)
    day = np.sort(rng.integers(0, 200, count))
    score = 40 + 900 * chance**2 + noise * rng.normal(0, 1, count)
    true = np.clip(chance * np.where(day >= 140, later, 1.0), 0, 1)
    return pd.DataFrame(
        {
            "date": [date(2026, 1, 1) + timedelta(days=int(d)) for d in day],
            "score": score,
            "bought": (rng.random(count) < true).astype(int),
            "line": np.where(rng.random(count) < 0.5 + chance, "brand", "generic"),
            "chance": chance,
        }
    )


def test_calibration_finds_the_probabilities():
    leads = scored(60_000)
    found = qualify(leads)
    assert np.abs(found.probability - leads["chance"]).mean() < 0.01
    assert (found.verdict.light, found.verdict.answer) == ("green", "calibrated")
    assert found.figures["ratio_low"] < 1 < found.figures["ratio_high"]
    assert found.calibration["expected"].to_numpy() == pytest.approx(found.calibration["observed"], abs=0.02)
    assert found.choices.loc[EXPECTED, "counted"] == pytest.approx(found.figures["purchases"], rel=0.05)


def test_few_leads_get_a_logistic_shape():
    leads = scored(1300, seed=3)
    found = qualify(leads)
    assert found.probability.corr(leads["chance"], method="spearman") == pytest.approx(1.0)
    assert found.verdict.light in ("green", "grey")


def test_a_rate_that_fell_since_is_red():
    found = qualify(scored(20_000, later=0.6))
    assert (found.verdict.light, found.verdict.answer) == ("red", "not calibrated")
    assert found.figures["ratio"] == pytest.approx(0.6, abs=0.06)


def test_false_alarms_are_rare():
    lights = [qualify(scored(3000, seed=seed)).verdict.light for seed in range(100)]
    assert lights.count("red") <= 5


def test_a_score_that_tells_nothing_is_not_green():
    leads = scored(20_000)
    leads["score"] = np.random.default_rng(1).permutation(leads["score"].to_numpy())
    found = qualify(leads)
    assert found.figures["auc"] == pytest.approx(0.5, abs=0.03)
    assert (found.verdict.light, found.verdict.answer) == ("red", "scores tell nothing")


def test_thresholds_catch_fewer_of_more_likely_leads():
    found = qualify(scored(20_000), (0.05, 0.15, 0.3)).choices.iloc[1:]
    assert found["counted"].is_monotonic_decreasing
    assert found["purchases caught"].is_monotonic_decreasing
    assert found["rate"].is_monotonic_increasing


def test_the_expected_value_plans_as_purchases_would():
    leads = scored(40_000)
    found = qualify(leads, (0.02, 0.3))
    assert found.lines.loc["brand", "observed"] > found.lines.loc["generic", "observed"]
    plans = plans_by_choice(scenario(), "leads", found)
    assert list(plans.index) == [
        "every lead",
        EXPECTED,
        "probability from 0.02",
        "probability from 0.3",
        "observed",
    ]
    assert plans.loc["observed", "lost"] == 0
    assert (plans["lost"] >= -1e-9).all()
    assert plans.loc[EXPECTED, "lost"] < 1e-3
    assert plans.loc["every lead", "lost"] > 10 * plans.loc[EXPECTED, "lost"]
    # sum a_i sqrt(x_i): the best split is by a_i^2.
    a = np.array([1.0, 2.0]) * found.lines["observed"].to_numpy()
    assert plans.loc["observed", ["brand", "generic"]].to_numpy(dtype=float) == pytest.approx(
        1000 * a**2 / (a**2).sum(), rel=1e-3
    )


def test_what_cannot_be_used_is_refused():
    leads = scored(2000)
    with pytest.raises(DataError, match="other than 0 and 1"):
        qualify(leads.assign(bought=2))
    with pytest.raises(DataError, match="the earlier leads have"):
        qualify(leads.iloc[:200])
    found = qualify(leads)
    with pytest.raises(SpecError, match="is no additive KPI"):
        plans_by_choice(scenario(), "clicks", found)
    found = replace(found, lines=found.lines.drop(index="generic"))
    with pytest.raises(SpecError, match="no lead is from line 'generic'"):
        plans_by_choice(scenario(), "leads", found)
