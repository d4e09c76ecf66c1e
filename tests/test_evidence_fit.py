"""The fit: does it recover what is known, does it stay the same under other units, and is it repeatable."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fit_worlds import own_world, planned_world

from optimizer import documents
from optimizer.errors import SpecError
from optimizer.evidence.fit import Fit, fit, run_fit
from optimizer.evidence.history import FitSpec, History, load_history
from optimizer.evidence.shapes import grid, saturated

DATA = Path(__file__).parents[1].parent / "shared" / "data"
CONJURA = Path(__file__).parent / "conjura" / "fit.yaml"
LINES = ("tv", "search", "social", "video", "radio")


def needs(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path


def spec_of(lines: tuple[str, ...] = LINES, kpis: tuple[str, ...] = ("sales",), **fields: Any) -> FitSpec:
    return FitSpec(
        date="date",
        period=fields.pop("period", "week"),
        lines={line: {"spend": line} for line in lines},
        kpis={kpi: {"column": kpi} for kpi in kpis},
        **{"draws": 60, "folds": 1, **fields},
    )


def history_of(spend: pd.DataFrame, kpis: pd.DataFrame, period: str = "week") -> History:
    index = pd.date_range("2022-01-03", periods=len(spend), freq="7D" if period == "week" else "D")
    spend.index = kpis.index = index
    return History(
        index, period, spend, kpis, pd.DataFrame(index=index), pd.DataFrame(index=index), (), "h.csv", "0" * 64
    )


def simulate(seed: int, periods: int = 104, noise: float = 0.04) -> tuple[History, pd.Series]:
    """A brand with five lines of different size, return, carry-over and saturation; and the true shares."""
    rng = np.random.default_rng(seed)
    spend = np.empty((len(LINES), periods))
    for i, level in enumerate(np.exp(rng.normal(8, 1, len(LINES)))):
        wave = rng.normal(size=periods)
        for t in range(1, periods):
            wave[t] = 0.6 * wave[t - 1] + 0.8 * wave[t]
        spend[i] = level * np.exp(0.5 * wave) * (rng.random(periods) < (0.5 if i % 2 else 1.0))
    typical = spend.sum(axis=1) / (spend > 0).sum(axis=1)
    curve = np.array([[rng.uniform(0, 0.6), np.exp(rng.uniform(-0.7, 1.4)), 1.0] for _ in LINES])
    effect = np.array(
        [
            saturated(spend[i], typical[i], curve[[i]], 8)[0] * share
            for i, share in enumerate(spend.sum(axis=1) * np.exp(rng.normal(0, 0.7, len(LINES))))
        ]
    )
    effect *= 0.3 / effect.mean(axis=1).sum()
    t = np.arange(periods)
    base = 0.7 + 0.1 * t / periods + 0.08 * np.sin(2 * np.pi * t / 52.18)
    sales = 5000 * (base + effect.sum(axis=0) + rng.normal(0, noise, periods))
    share = pd.Series(5000 * effect.sum(axis=1) / sales.sum(), LINES)
    return history_of(pd.DataFrame(spend.T, columns=LINES), pd.DataFrame({"sales": sales})), share


def shares(found: Fit, kpi: str = "sales") -> pd.DataFrame:
    return pd.DataFrame({line: e["share"] for line, e in found.diagnostics["effects"][kpi].items()}).T


def test_true_effects_lie_in_their_intervals() -> None:
    inside, errors = [], []
    for seed in range(8):
        history, truth = simulate(seed)
        found = shares(fit(history, spec_of()))
        inside += list((found["low"] <= truth) & (truth <= found["high"]))
        errors.append(float((found["mean"] - truth).abs().sum()))
    # 90 % intervals; the lines of one history are not independent, so some room is left.
    assert np.mean(inside) >= 0.8
    assert np.mean(errors) < 0.15


def test_pymc_marketing_simulation() -> None:
    """Two channels whose true effects are known (simulated by PyMC-Marketing's example notebook)."""
    path = needs(DATA / "simulated" / "mmm_roas_data.csv")
    spec = FitSpec(
        date="date",
        period="week",
        lines={"x1": {"spend": "x1"}, "x2": {"spend": "x2"}},
        kpis={"y": {"column": "y"}},
        controls=["z"],
    )
    truth = pd.read_csv(path)
    found = shares(fit(load_history(path, spec), spec), "y")
    # What the file's own counterfactual series take away when a channel is switched off.
    for line, without in (("x1", "y01"), ("x2", "y02")):
        share = (truth["y"] - truth[without]).sum() / truth["y"].sum()
        assert found.loc[line, "low"] <= share <= found.loc[line, "high"]


def test_curves_in_the_model_add_up_to_the_reported_shares() -> None:
    history, _ = simulate(3)
    found = fit(history, spec_of())
    model, total = found.model, float(history.kpis["sales"].sum())
    weights = model.weights()
    for i, line in enumerate(model.lines):
        spend = history.spend[line].to_numpy()
        by_draw = []
        for d in range(model.draws):
            w = weights[d, 0, i]
            known = np.convolve(np.ones(len(spend)), w)[: len(spend)]
            a = np.convolve(spend, w)[: len(spend)] / known
            by_draw.append(model.scale[d, 0, i] * np.sum(a / (model.first[d, 0, i] + a)) / total)
        assert np.mean(by_draw) == pytest.approx(shares(found).loc[line, "mean"], rel=1e-9)


def test_model_describes_the_periods_after_the_history() -> None:
    history, _ = simulate(3)
    found = fit(history, spec_of(forecast=30, carryover=6, currency="GBP"))
    model = found.model
    assert model.start == (history.dates[-1] + timedelta(days=7)).date()
    assert (model.period, model.lines, model.kpis) == ("week", LINES, ("sales",))
    assert model.baseline.shape == (60, 1, 30)
    assert model.concave().all()
    np.testing.assert_array_equal(model.history, history.spend.to_numpy()[-6:].T)
    np.testing.assert_array_equal(model.observed[:, 1], history.spend.max().to_numpy())
    # The base grows from 0.7 to 0.8 of 5000 and swings by 0.08.
    assert 0.55 * 5000 < model.baseline.mean() < 1.0 * 5000
    assert model.attributes["currency"] == "GBP"
    assert model.notes == found.notes


@pytest.mark.parametrize(("spend_unit", "kpi_unit"), [(1e6, 1.0), (1.0, 1e6), (1e-6, 1e-6), (0.79, 1e3)])
def test_units_change_nothing_but_units(spend_unit: float, kpi_unit: float) -> None:
    history, _ = simulate(4)
    other = replace(history, spend=history.spend * spend_unit, kpis=history.kpis * kpi_unit)
    one, two = (fit(given, spec_of()).model for given in (history, other))
    np.testing.assert_allclose(two.scale, one.scale * kpi_unit, rtol=1e-6, atol=1e-9 * kpi_unit)
    np.testing.assert_allclose(two.first, one.first * spend_unit, rtol=1e-9)
    np.testing.assert_array_equal(two.rate, one.rate)
    np.testing.assert_allclose(two.baseline, one.baseline * kpi_unit, rtol=1e-6)


def test_order_of_lines_and_kpis_changes_nothing() -> None:
    history, _ = simulate(4)
    history = replace(history, kpis=history.kpis.assign(visits=history.kpis["sales"] ** 0.5))
    kpis = ("sales", "visits")
    one = fit(history, spec_of(kpis=kpis)).model
    two = fit(history, spec_of(LINES[::-1], kpis[::-1])).model
    assert two.lines == LINES[::-1]
    same = two.select(kpis, LINES)
    for name in ("scale", "first", "rate", "baseline", "observed", "history"):
        np.testing.assert_array_equal(getattr(same, name), getattr(one, name))


def test_kpis_that_move_together_do_so_in_the_draws() -> None:
    history, _ = simulate(6)
    history = replace(history, kpis=history.kpis.assign(revenue=history.kpis["sales"] * 30.0))
    model = fit(history, spec_of(kpis=("sales", "revenue"))).model
    np.testing.assert_allclose(model.scale[:, 1], 30.0 * model.scale[:, 0], rtol=1e-6, atol=1e-6)


def test_a_line_that_never_varied_keeps_the_expectation_and_its_doubt() -> None:
    history, _ = simulate(7)
    spend = history.spend.copy()
    spend["radio"] = spend["radio"].mean()
    found = fit(replace(history, spend=spend), spec_of(draws=200))
    effect = found.diagnostics["effects"]["sales"]["radio"]
    expected = 0.3 * found.diagnostics["lines"]["radio"]["share_of_spend"]
    assert effect["learned"] < 0.01
    # What the lines together bring is learned, and that it brings its part of it is the expectation.
    together = found.diagnostics["kpis"]["sales"]["media_share"]["mean"]
    mean = effect["share"]["mean"]
    assert mean == pytest.approx(together * expected / 0.3, rel=0.4)
    assert effect["share"]["low"] < 0.2 * mean
    assert effect["share"]["high"] > 2 * mean
    assert any("radio: spend never varied" in note for note in found.notes)


def test_lines_that_moved_together_are_named() -> None:
    history, _ = simulate(8)
    spend = history.spend.assign(search=history.spend["tv"] * 0.3)
    found = fit(replace(history, spend=spend), spec_of())
    pairs = [sorted(pair["lines"]) for pair in found.diagnostics["alike"]]
    assert ["search", "tv"] in pairs
    assert any("cannot tell their effects apart" in note for note in found.notes)


def test_notes_warn_of_a_useless_fit_and_a_negative_baseline() -> None:
    history, _ = simulate(9)
    rng = np.random.default_rng(0)
    noise = pd.DataFrame({"sales": rng.exponential(10.0, len(history.dates)) ** 2}, index=history.dates)
    found = fit(replace(history, kpis=noise), spec_of(season=6, folds=3))
    text = "\n".join(found.notes)
    assert "do not trust its level" in text
    assert "falls below zero" in text
    assert found.model.baseline.min() < 0


def test_events_are_taken_out_and_repeated_where_dated() -> None:
    history, _ = simulate(10)
    sales = history.kpis["sales"].copy()
    sales.iloc[[20, 72]] += 20_000.0
    history = replace(history, kpis=sales.to_frame())
    days = [(history.dates[20] + timedelta(days=5)).date(), history.dates[72].date()]
    after = history.dates[-1].date() + timedelta(days=7 * 4)
    found = fit(history, spec_of(events={"sale": [*days, after]}))
    baseline = found.model.baseline[:, 0].mean(axis=0)
    assert baseline[3] - baseline[[2, 4]].mean() == pytest.approx(20_000, rel=0.05)
    assert found.diagnostics["kpis"]["sales"]["r2"] > 0.9
    with pytest.raises(SpecError, match="outside history"):
        fit(history, spec_of(events={"sale": [*days, after.replace(year=2035)]}))


def test_daily_history_with_a_weekly_pattern() -> None:
    rng = np.random.default_rng(2)
    n = 400
    spend = pd.DataFrame({"tv": rng.gamma(2.0, 50.0, n), "search": rng.gamma(2.0, 20.0, n)})
    weekend = np.where(np.arange(n) % 7 >= 5, 300.0, 0.0)
    sales = 1000 + weekend + 200 * spend["tv"] / (100 + spend["tv"]) + rng.normal(0, 20, n)
    spec = spec_of(("tv", "search"), period="day", draws=20, season=1)
    assert (spec.holdout, spec.carryover) == (28, 28)
    found = fit(history_of(spend, pd.DataFrame({"sales": sales}), "day"), spec)
    assert found.diagnostics["kpis"]["sales"]["r2"] > 0.9
    assert found.diagnostics["kpis"]["sales"]["holdout"]["error"] < 0.04
    week = found.model.baseline[:, 0, :7].mean(axis=0)
    assert np.ptp(week) == pytest.approx(300, rel=0.2)


@pytest.fixture(scope="module")
def conjura() -> Fit:
    path = needs(DATA / "conjura" / "weekly.parquet")
    begun = perf_counter()
    found = run_fit(path, CONJURA)
    assert perf_counter() - begun < 20
    return found


def test_real_brand_finds_the_clicks_each_channel_reports(conjura: Fit) -> None:
    """The fit sees paid clicks in total only; the file also has them by channel, so it can be checked."""
    spec = documents.check(documents.read(CONJURA), FitSpec)
    table = pd.read_parquet(DATA / "conjura" / "weekly.parquet")
    table = table[table["MMM_TIMESERIES_ID"] == spec.filter["MMM_TIMESERIES_ID"]]
    inside = {}
    for line, effect in conjura.diagnostics["effects"]["clicks"].items():
        column = str(spec.lines[line].spend)
        clicks = table[column.replace("_SPEND", "_CLICKS")].sum() / table[column].sum()
        inside[line] = effect["return"]["low"] <= clicks <= effect["return"]["high"]
    assert sum(inside.values()) >= 5
    assert inside["performance_max"]
    assert inside["facebook"]
    assert inside["paid_search"]


def test_real_brand_is_sane_and_says_what_it_cannot_know(conjura: Fit) -> None:
    for effect in conjura.diagnostics["effects"]["revenue"].values():
        assert 0 <= effect["return"]["mean"] < 10
    for kpi in ("new_customers", "revenue"):
        assert 0.02 < conjura.diagnostics["kpis"][kpi]["media_share"]["mean"] < 0.6
        assert conjura.diagnostics["kpis"][kpi]["r2"] > 0.8
    text = "\n".join(conjura.notes)
    assert "Mostly off" in text
    assert "video" in text
    assert "not what caused what" in text
    assert conjura.model.observed.shape == (6, 2)
    assert len(conjura.repairs) == 11


def test_shared_grid_is_ordered_by_rate_and_half() -> None:
    points = grid("week")
    assert len(points) == 42
    assert (np.diff(points[:, 0]) >= 0).all()


def test_curves_may_be_straight_or_s_shaped() -> None:
    rng = np.random.default_rng(8)
    spend = pd.DataFrame({"tv": rng.uniform(0, 100, 140), "radio": rng.uniform(0, 80, 140)})
    s_shaped = 400 * spend["tv"] ** 3 / (60**3 + spend["tv"] ** 3)
    history = history_of(
        spend, pd.DataFrame({"sales": 1000 + s_shaped + 3 * spend["radio"] + rng.normal(0, 10, 140)})
    )
    lines = {"tv": {"spend": "tv", "curve": "s_shaped"}, "radio": {"spend": "radio", "curve": "linear"}}
    spec = FitSpec(
        date="date",
        period="week",
        lines=lines,
        kpis={"sales": {"column": "sales"}},
        draws=60,
        season=0,
        chasing=0.0,
    )
    found = fit(history, spec)
    model = found.model
    assert model.linear().tolist() == [[False, True]]
    assert model.concave().tolist() == [[False, True]]
    assert model.second[:, 0, 0].mean() > 1.7
    # Half at 60, which may be anywhere near it on the grid; 3 for each unit of radio.
    assert np.median(model.first[:, 0, 0]) == pytest.approx(60, rel=0.4)
    assert model.scale[:, 0, 1].mean() == pytest.approx(3.0, rel=0.15)
    curve = found.diagnostics["effects"]["sales"]["radio"]["curve"]
    assert curve["effect"][-1] == pytest.approx(curve["spend"][-1] * model.scale[:, 0, 1].mean())


def test_control_with_a_stated_sign_keeps_it() -> None:
    history, _ = simulate(12)
    rng = np.random.default_rng(3)
    price = rng.normal(10, 1, len(history.dates))
    sales = history.kpis["sales"] - 200 * (price - 10)
    controls = pd.DataFrame({"price": price}, index=history.dates)
    history = replace(history, kpis=sales.to_frame("sales"), controls=controls)
    found = fit(history, spec_of(controls=["price"], signs={"price": "negative"}))
    without = fit(history, spec_of(controls=["price"], signs={"price": "positive"}))
    miss = [f.diagnostics["kpis"]["sales"]["typical_miss"] for f in (found, without)]
    assert miss[0] < 0.9 * miss[1]
    with pytest.raises(ValueError, match="no control"):
        spec_of(signs={"weather": "positive"})


def test_budgets_that_follow_demand_leave_doubt() -> None:
    """With the doubt, intervals hold the truth as often as promised; without it they do not."""
    inside: dict[float, list[bool]] = {0.0: [], 1.0: []}
    for chasing in inside:
        for seed in range(6):
            world = planned_world(seed, chase=1.0, push=0.5, together=0.5, chasing=chasing)
            found = shares(fit(world.history, world.spec))
            inside[chasing] += list((found["low"] <= world.shares) & (world.shares <= found["high"]))
    assert np.mean(inside[0.0]) < 0.6
    assert np.mean(inside[1.0]) > 0.75


def test_chains_agree_and_lines_bring_no_more_than_there_is() -> None:
    world = own_world(1)
    found = fit(world.history, world.spec)
    kpi = found.diagnostics["kpis"]["sales"]
    assert kpi["agreement"] < 1.1
    assert kpi["media_share"]["high"] <= 1.0
    text = " ".join(found.notes)
    for words in ("give or take a factor of 2.0", "0.5, 1, 2 times", "followed demand"):
        assert words in text


def test_too_many_candidates() -> None:
    history, _ = simulate(1)
    names = [f"line{i}" for i in range(30)]
    spend = pd.DataFrame(dict.fromkeys(names, history.spend["tv"]))
    lines = {name: {"spend": name, "curve": "s_shaped"} for name in names}
    spec = FitSpec(date="date", period="week", lines=lines, kpis={"sales": {"column": "sales"}}, season=0)
    with pytest.raises(SpecError, match="too many"):
        fit(replace(history, spend=spend), spec)
