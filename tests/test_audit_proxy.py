"""Proxies of known worth: good ones, clickbait, useless ones, too few effects, and lags in a history."""

from __future__ import annotations

import collections
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optimizer import DataError
from optimizer.audit import proxy
from optimizer.audit.effects import Effects, effects_of_history, effects_of_rows, effects_of_tests
from optimizer.audit.proxy import validate

CONJURA = Path(__file__).parents[2] / "shared" / "data" / "conjura" / "weekly.parquet"
# Effects of tests have this standard deviation; people differ by 1, and those who click more also buy more.
MOVED, OWN = 0.15, 0.5


def known_effects(rng: np.random.Generator, tests: int, people: int, rho: float) -> pd.DataFrame:
    """Effects as they come out of tests with so many people an arm."""
    proxy = rng.normal(0, MOVED, tests)
    goal = rho * proxy + np.sqrt(1 - rho**2) * rng.normal(0, MOVED, tests)
    noise = 2 / people * np.array([[1 + OWN**2, 1.0], [1.0, 1 + OWN**2]])
    seen = rng.multivariate_normal([0, 0], noise, tests)
    columns = {"proxy": proxy + seen[:, 0], "goal": goal + seen[:, 1]}
    return pd.DataFrame(columns | {"var_proxy": noise[0, 0], "var_goal": noise[1, 1], "cov": noise[0, 1]})


def people_of(rng: np.random.Generator, tests: int, people: int, rho: float) -> pd.DataFrame:
    """The same world, person by person."""
    proxy = rng.normal(0, MOVED, tests)
    goal = rho * proxy + np.sqrt(1 - rho**2) * rng.normal(0, MOVED, tests)
    test, arm = np.repeat(np.arange(tests), 2 * people), np.tile(np.repeat([0, 1], people), tests)
    keen = rng.normal(0, 1, len(test))
    return pd.DataFrame(
        {
            "test": test.astype(str),
            "arm": np.array(["a control", "b new"])[arm],
            "proxy": arm * proxy[test] + keen + rng.normal(0, OWN, len(test)),
            "goal": arm * goal[test] + keen + rng.normal(0, OWN, len(test)),
        }
    )


def answers(rho: float, runs: int = 400, tests: int = 40, people: int = 400) -> collections.Counter[str]:
    rng = np.random.default_rng(17)
    tables = (known_effects(rng, tests, people, rho) for _ in range(runs))
    return collections.Counter(validate(effects_of_rows(table), resamples=300).verdict.answer for table in tables)


def test_a_good_surrogate_is_supported():
    found = answers(0.9)
    assert found["supported"] >= 0.9 * 400
    assert found["contradicted"] == 0


@pytest.mark.parametrize("people", [50, 400])
def test_clickbait_is_supported_in_at_most_one_case_in_twenty(people):
    # With few people an arm most of what is seen is what people differ by, which is strongly positive.
    found = answers(-0.6, people=people)
    assert found["supported"] <= 0.05 * 400
    assert people < 400 or found["contradicted"] >= 0.8 * 400


def test_a_useless_proxy_is_not_supported():
    found = answers(0.0)
    assert found["supported"] + found["contradicted"] <= 0.1 * 400


def test_a_short_history_cannot_tell():
    rng = np.random.default_rng(5)
    for rho in (0.9, -0.6):
        found = validate(effects_of_rows(known_effects(rng, 8, 400, rho)))
        assert (found.verdict.light, found.verdict.answer) == ("grey", "cannot be told")


def test_people_agree_and_effects_do_not():
    people = people_of(np.random.default_rng(7), 60, 300, -0.6)
    assert np.corrcoef(people["proxy"], people["goal"])[0, 1] > 0.7
    found = validate(effects_of_tests(people))
    assert found.verdict.answer == "contradicted"
    assert found.verdict.found
    assert found.figures.loc["correlation", "high"] < 0
    good = validate(effects_of_tests(people_of(np.random.default_rng(8), 60, 300, 0.9)))
    assert good.verdict.answer == "supported"
    assert good.figures.loc["slope", "low"] < 0.9 < good.figures.loc["slope", "high"]


def test_effects_of_tests_are_differences_of_means():
    people = people_of(np.random.default_rng(9), 3, 50, 0.5)
    table = effects_of_tests(people).table
    for i in range(3):
        one = people[people["test"] == str(i)]
        control, new = one[one["arm"] == "a control"], one[one["arm"] == "b new"]
        assert table.loc[i, "goal"] == pytest.approx(new["goal"].mean() - control["goal"].mean())
        noise = sum(arm[["proxy", "goal"]].cov() / len(arm) for arm in (control, new))
        assert table.loc[i, "cov"] == pytest.approx(noise.loc["proxy", "goal"])
        assert table.loc[i, "var_proxy"] == pytest.approx(noise.loc["proxy", "proxy"])


def test_the_order_of_rows_changes_nothing():
    people = people_of(np.random.default_rng(10), 20, 40, 0.5)
    shuffled = people.sample(frac=1.0, random_state=1)
    one, other = (effects_of_tests(rows).table.drop(columns="segment") for rows in (people, shuffled))
    pd.testing.assert_frame_equal(one, other)


def test_effects_of_unknown_noise_support_no_proxy():
    # Tests of few people: nearly all that is seen is what people differ by, and it looks like a good proxy.
    table = known_effects(np.random.default_rng(3), 60, 5, -0.6)[["proxy", "goal"]]
    found = validate(effects_of_rows(table))
    assert found.figures.loc["correlation", "low"] > 0.5
    assert found.verdict.answer == "weak"
    assert "judge it from people's rows" in found.verdict.reason


def test_a_segment_in_which_it_fails_is_named():
    rng = np.random.default_rng(11)
    good = known_effects(rng, 80, 1000, 0.95).assign(segment="old")
    bad = known_effects(rng, 25, 1000, -0.9).assign(segment="new")
    found = validate(effects_of_rows(pd.concat([good, bad], ignore_index=True).sample(frac=1.0, random_state=2)))
    assert found.segments["fails"].to_dict() == {"new": True, "old": False}
    assert found.verdict.answer == "weak"
    assert "points the wrong way in new" in found.verdict.reason


def test_what_held_only_at_first_is_not_supported():
    rng = np.random.default_rng(12)
    table = pd.concat([known_effects(rng, 70, 1000, 0.95), known_effects(rng, 30, 1000, -0.2)], ignore_index=True)
    found = validate(effects_of_rows(table))
    assert found.figures.loc["correlation", "earlier"] > 0.8
    assert found.verdict.answer == "weak"
    assert "the latest effects" in found.verdict.reason


def history(rng: np.random.Generator, weeks: int, lag: int, rho: float) -> pd.DataFrame:
    clicks = np.cumsum(rng.normal(0, 0.2, weeks + lag))
    bought = rho * clicks[: weeks + lag] + 0.05 * np.cumsum(rng.normal(0, 1, weeks + lag))
    dates = pd.date_range("2024-01-01", periods=weeks, freq="7D")
    goal = np.exp(bought[:weeks])
    return pd.DataFrame({"date": dates, "proxy": np.exp(clicks[lag : weeks + lag]), "goal": goal})


@pytest.mark.parametrize("lag", [0, 3])
def test_the_lag_of_a_history_is_found(lag):
    effects = effects_of_history(history(np.random.default_rng(13), 120, lag, 0.9))
    assert effects.lag == lag
    found = validate(effects)
    assert found.verdict.answer == "supported"
    assert "moved together, not what caused what" in found.verdict.reason
    # Units drop out.
    assert effects_of_history(history(np.random.default_rng(13), 120, lag, 0.9).assign(lag=1)).lag == lag


def test_a_short_history_by_week_cannot_tell():
    assert validate(effects_of_history(history(np.random.default_rng(1), 10, 0, 0.9))).verdict.light == "grey"


@pytest.mark.parametrize("lag", [None, 0])
def test_series_that_have_nothing_to_do_with_each_other(lag):
    supported = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        one, other = history(rng, 104, 0, 0.9), history(rng, 104, 0, 0.9)
        effects = effects_of_history(one.assign(goal=other["goal"]), lag)
        supported += validate(effects, resamples=200).verdict.answer == "supported"
    assert supported <= 2


def test_what_does_not_move_cannot_be_told():
    table = pd.DataFrame({"proxy": np.ones(20), "goal": np.linspace(0, 1, 20)})
    assert validate(effects_of_rows(table)).verdict.light == "grey"
    assert validate(Effects(effects_of_rows(table).table.iloc[:0], "tests")).verdict.light == "grey"


def test_bad_tables_are_refused():
    people = people_of(np.random.default_rng(1), 2, 3, 0.5)
    with pytest.raises(DataError, match="test '1' needs two arms"):
        effects_of_tests(people[(people["test"] == "0") | (people["arm"] == "b new")])
    weeks = history(np.random.default_rng(1), 30, 0, 0.5)
    with pytest.raises(DataError, match="not evenly spaced"):
        effects_of_history(weeks.drop(index=4))
    with pytest.raises(DataError, match="'goal' is not positive on 2024-01-22"):
        effects_of_history(weeks.assign(goal=[0.0 if i == 3 else 1.0 for i in range(30)]))


@pytest.mark.skipif(not CONJURA.exists(), reason="the brand's history is not here")
@pytest.mark.parametrize(
    ("proxy", "goal", "answer"),
    [
        ("FIRST_PURCHASES", "REVENUE_NET", "supported"),
        ("GOOGLE_PMAX_CLICKS", "FIRST_PURCHASES", "weak"),
        ("DIRECT_CLICKS", "FIRST_PURCHASES", "supported"),
    ],
)
def test_what_stands_for_what_at_a_brand(proxy, goal, answer):
    table = pd.read_parquet(CONJURA)
    brand = table[table["ORGANISATION_ID"] == table["ORGANISATION_ID"].iloc[0]]
    names = {"WEEK_START": "date", proxy: "proxy", goal: "goal"}
    found = validate(effects_of_history(brand[list(names)].rename(columns=names)))
    assert found.lag == 0
    assert found.verdict.answer == answer


def test_plain_changes_serve_what_can_be_negative():
    rows = history(np.random.default_rng(3), 80, 2, 0.9)
    moved = rows.assign(proxy=np.log(rows["proxy"]) - 5.0, goal=np.log(rows["goal"]))
    with pytest.raises(DataError, match="not positive"):
        effects_of_history(moved)
    one, other = effects_of_history(rows), effects_of_history(moved, by="level")
    assert one.lag == other.lag == 2
    assert validate(one).figures.loc["correlation", "value"] == pytest.approx(
        validate(other).figures.loc["correlation", "value"]
    )
    with pytest.raises(DataError, match="never changes"):
        effects_of_history(moved.assign(proxy=0.0), by="level")


def test_very_many_effects_are_drawn_by_the_sums_of_blocks(monkeypatch):
    """The same figures, and intervals as wide, as if each were drawn by itself."""
    rng = np.random.default_rng(1)
    values = rng.standard_normal((6000, 5)) * [1, 1, 0.1, 0.1, 0.02] + [0.2, 0.1, 0.3, 0.3, 0.1]
    values[:, 1] += 0.7 * values[:, 0]
    many = proxy._draws(values, np.random.default_rng(2), 300, 1)
    monkeypatch.setattr(proxy, "MANY", 10_000)
    single = proxy._draws(values, np.random.default_rng(2), 300, 1)
    for name, draws in single.items():
        assert many[name].mean() == pytest.approx(draws.mean(), abs=0.3 * draws.std())
        assert many[name].std() == pytest.approx(draws.std(), rel=0.25)
