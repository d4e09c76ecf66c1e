"""Plans that weigh doubt: the worst weights of draws, the proof, and where caution is stated."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy.optimize import minimize

import optimizer as opt
from optimizer.next_test import TOLERANCE
from optimizer.next_test import _gains as brings
from optimizer.preferences import CAUTION
from optimizer.report.formats import percent
from optimizer.report.testing import print_next_test
from optimizer.response import ResponseModel
from optimizer.solve.cautious import worst_weights
from optimizer.solve.cells import problem_of

LINES = ("a", "b", "c")
DRAWS = 40


def model(**fields: object) -> ResponseModel:
    """Three lines of about the same return: the first well known, the last hardly."""
    rng = np.random.default_rng(5)
    doubt = np.array([0.05, 0.3, 0.9])
    scale = np.array([900.0, 950.0, 1100.0]) * np.exp(doubt * rng.normal(size=(DRAWS, 1, 3)) - doubt**2 / 2)
    shape = (DRAWS, 1, 3)
    return ResponseModel(
        kpis=("sales",),
        lines=LINES,
        family=np.full((1, 3), 3),
        scale=scale,
        first=np.full(shape, 120.0),
        second=np.ones(shape),
        rate=np.zeros(shape),
        length=np.ones((1, 3), dtype=np.int64),
        normalised=np.ones((1, 3), dtype=bool),
        baseline=np.full((DRAWS, 1, 1), 500.0),
        observed=np.full((3, 2), np.nan),
        history=np.zeros((3, 0)),
        **fields,  # type: ignore[arg-type]
    )


def scenario(folder: Path, *, fitted: bool = False, **preferences: object) -> opt.Scenario:
    """A scenario on those curves."""
    attributes = {"history_sha256": "0" * 64} if fitted else {}
    model(attributes=attributes).save(folder / "response.nc")
    return opt.Scenario.from_dict(
        {
            "name": "doubt",
            "currency": "EUR",
            "horizon": {"start": "2026-01-05", "periods": 4, "every": "week"},
            "lines": [{"name": name, "current": 400.0} for name in LINES],
            "kpis": {"sales": {"direction": "maximize", "unit": "order"}},
            "response": {"file": "response.nc"},
            "constraints": {"budget": {"total": 1200.0}, "change": {"up": 0.5, "down": 0.5}},
            "preferences": preferences,
        },
        folder,
    )


def gains(given: opt.Scenario, spend: np.ndarray) -> np.ndarray:
    now, then = (opt.simulate(given, x)["sales"].to_numpy() for x in (given.current, spend))
    return then - now


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30), st.floats(0.01, 2.0))
@settings(max_examples=60, deadline=None)
def test_worst_weights_are_the_least_of_their_ball(values: list[float], caution: float) -> None:
    drawn = np.round(np.array(values), 3)
    share = worst_weights(drawn, caution)
    assert share.min() >= 0
    assert share.mean() == pytest.approx(1.0)
    assert share.std() <= caution * (1 + 1e-9)
    least = float(np.mean(share * drawn))
    assert least >= drawn.mean() - caution * drawn.std() - 1e-6
    # Any others of the ball come to no less.
    rng = np.random.default_rng(1)
    for _ in range(50):
        other = rng.exponential(size=len(drawn))
        other /= other.mean()
        other = 1 + (other - 1) * min(1.0, caution / max(other.std(), 1e-12))
        assert np.mean(other * drawn) >= least - 1e-6


def test_a_cautious_plan_is_mean_less_spread_and_proven(tmp_path: Path) -> None:
    plain, wary = (scenario(tmp_path, caution=caution) for caution in (0.0, 0.3))
    plan, average = opt.solve(wary), opt.solve(plain)
    assert plan.certificate.guarantee == "global"
    assert "0.3 standard deviations" in plan.certificate.why

    def value(spend: np.ndarray) -> float:
        found = gains(wary, spend)
        return float(found.mean() - 0.3 * found.std())

    rules = {"type": "eq", "fun": lambda x: x.sum() - 1200.0}
    tries = [
        minimize(lambda x: -value(x), start, bounds=[(200.0, 600.0)] * 3, constraints=rules, method="SLSQP")
        for start in ([400.0, 400.0, 400.0], [500.0, 450.0, 250.0], [250.0, 450.0, 500.0])
    ]
    assert value(plan.spend.to_numpy()) == pytest.approx(-min(found.fun for found in tries), rel=1e-3)
    # Less spread for less mean: the line that is hardly known is moved less than on average alone.
    assert abs(plan.spend["c"] - 400.0) < abs(average.spend["c"] - 400.0) - 1
    assert gains(wary, plan.spend.to_numpy()).std() < gains(wary, average.spend.to_numpy()).std()


def test_caution_keeps_floors_and_switches_with_a_bound(tmp_path: Path) -> None:
    data = scenario(tmp_path, caution=0.3).resolved()
    del data["hash"]
    data["constraints"]["minimum_if_on"] = [{"select": {"line": "c"}, "amount": 300.0}]
    plan = opt.solve(opt.Scenario.from_dict(data, tmp_path))
    assert plan.certificate.value <= plan.certificate.bound + 1e-9
    assert plan.spend["c"] >= 300.0 - 1e-6


def test_fitted_curves_are_planned_with_caution_and_it_is_stated(tmp_path: Path) -> None:
    fitted = scenario(tmp_path, fitted=True)
    assert fitted.resolved()["preferences"]["caution"] == CAUTION
    assert opt.solve(fitted).to_dict()["preferences"]["caution"] == CAUTION
    assert scenario(tmp_path, fitted=True, caution=0.0).spec.preferences.caution == 0.0
    assert scenario(tmp_path).spec.preferences.caution is None


def test_caution_without_a_sum_is_refused(tmp_path: Path) -> None:
    with pytest.raises(opt.SpecError, match="caution does not go with targets or priorities") as caught:
        scenario(tmp_path, caution=0.2, priorities=["sales"])
    assert caught.value.path == ("preferences", "caution")


def test_a_test_moves_limits_that_are_those_of_the_evidence(tmp_path: Path) -> None:
    # What is known best pays best, and may not have more.
    data = scenario(tmp_path, caution=0.0).resolved()
    del data["hash"], data["constraints"]["change"]
    for line, most in zip(data["lines"], (420.0, 600.0, 440.0), strict=True):
        line |= {"min": 300.0, "max": most}
    held = opt.Scenario.from_dict(data, tmp_path)
    for line in data["lines"]:
        line["limits"] = "evidence"
    open_ = opt.Scenario.from_dict(data, tmp_path)
    by_rule, by_evidence = (opt.what_to_test(opt.solve(one)) for one in (held, open_))
    stops = [found.plan.allocation.loc["a", "stopped_by"] for found in (by_rule, by_evidence)]
    assert stops == ["max", "max of the evidence"]
    keys, ends = ["line", "spend"], ["min", "max"]
    first = by_rule.table.set_index(keys)
    assert (first.loc["a", ends] == [300.0, 420.0]).all(axis=None)
    then = by_evidence.table.set_index(keys)
    assert then.loc[("a", 2.0), ends].tolist() == [300.0, 800.0]
    assert then.loc[("c", 0.0), ends].tolist() == [0.0, 440.0]
    # Half as much again is no further than this line may go already.
    assert then.loc[("b", 1.5), ends].tolist() == [300.0, 600.0]
    assert (then["gain"] >= first["gain"].reindex(then.index) - 1e-9).all()
    assert by_evidence.table["gain"].iloc[0] > 1.5 * by_rule.table["gain"].iloc[0]
    assert by_evidence.table["gain"].iloc[0] <= by_evidence.perfect * (1 + 1e-9)
    # A test that measures nothing still moves the limits, and a plan gains by that alone.
    blind = opt.what_to_test(by_evidence.plan, error=1e6).table.set_index(keys)
    wider = opt.solve(open_.with_limits({"c": (300.0, 800.0)}))
    moved, now = (gains(held, x.spend.to_numpy()).mean() for x in (wider, by_evidence.plan))
    step = problem_of(open_).objectives[0].unit
    assert blind.loc[("c", 2.0), "gain"] * step == pytest.approx(moved - now, rel=1e-3)
    console = Console(record=True, width=120, file=io.StringIO())
    print_next_test(console, by_evidence)
    assert "once its limits reach as far as it was tested" in " ".join(console.export_text().split())


def test_what_to_test_is_the_line_that_is_hardly_known(tmp_path: Path) -> None:
    plan = opt.solve(scenario(tmp_path, caution=0.0))
    found = opt.what_to_test(plan)
    assert found.line == "c"
    assert (found.table["gain"] >= 0).all()
    assert found.table["typical"].is_monotonic_decreasing
    assert found.table["gain"].max() <= found.perfect * (1 + 1e-9)
    # A test that measures nothing teaches nothing.
    assert opt.what_to_test(plan, error=1e6).table["gain"].max() <= 1e-6 * found.perfect
    assert found.table["chance"].between(0, 1).all()
    assert found.table.equals(opt.what_to_test(plan, seed=found.seed).table)
    assert found.people("sales", 0.02).treated > 0
    assert found.to_dict()["tests"][0]["line"] == "c"
    console = Console(record=True, width=120, file=io.StringIO())
    print_next_test(console, found)
    words = " ".join(console.export_text().split())
    assert "What to test next" in words
    first = found.table.loc[0]
    shares = (first["typical"] / found.perfect, first["gain"] / found.perfect, first["chance"])
    assert " ".join(map(percent, shares)) in words


def test_the_test_that_gains_most_in_the_middle_draw_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the one that gains most in the mean, by a few draws; the mean is over results first."""
    rare_or_steady = iter([(5, 50.0), (40, 1.0), (40, 0.5)])

    def gains(worth: object, units: object, results: np.ndarray) -> np.ndarray:
        often, much = next(rare_or_steady)
        by_draw = np.where(np.arange(DRAWS) < often, much, 0.0)
        return np.array([by_draw + r for r in (-3.0, -1.0, 1.0, 3.0)])

    monkeypatch.setattr("optimizer.next_test._gains", gains)
    table = opt.what_to_test(opt.solve(scenario(tmp_path, caution=0.0)), sizes=(2.0,)).table
    assert table["line"].tolist() == ["b", "c", "a"]
    assert table["typical"].tolist() == [1.0, 0.5, 0.0]
    assert table["gain"].tolist() == [1.0, 0.5, 6.25]


def test_what_to_test_is_reckoned_from_draws_that_were_held_out_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = scenario(tmp_path, caution=0.0).resolved()
    del data["hash"]
    data["response"]["held_out"] = 0.8
    part = opt.Scenario.from_dict(data, tmp_path)
    plan = opt.solve(part)
    found = opt.what_to_test(plan)
    assert (part.response.draws, found.draws, found.to_dict()["draws"]) == (8, DRAWS, DRAWS)
    assert found.plan is plan
    assert part.fresh is not None
    joined = part.response.followed_by(part.fresh)
    assert np.unique(joined.scale[:, 0, 2]).tolist() == np.unique(model().scale[:, 0, 2]).tolist()
    whole = replace(part, response=joined, fresh=None)
    alike = opt.what_to_test(opt.solve(whole, tolerance=TOLERANCE))
    pd.testing.assert_frame_equal(found.table, alike.table)
    # No more than are needed, evenly spread.
    monkeypatch.setattr("optimizer.next_test.DRAWS", 20)
    fewer = opt.what_to_test(plan)
    half = replace(whole, response=joined.with_draws(np.arange(0, DRAWS, 2)))
    assert fewer.draws == 20
    pd.testing.assert_frame_equal(fewer.table, opt.what_to_test(opt.solve(half, tolerance=TOLERANCE)).table)


def test_what_a_test_brings_is_what_plans_made_without_the_truth_gain_in_it() -> None:
    rng = np.random.default_rng(3)
    worth, units = rng.normal(size=(12, 4)), rng.normal(size=(12, 2))
    errors = rng.normal(size=(3, 12, 2))
    gains = []
    for r in range(3):
        for truth in range(12):
            others = [d for d in range(12) if d != truth]
            result = units[truth] + errors[r, truth]
            weights = [np.exp(-0.5 * sum((units[d] - result) ** 2)) for d in others]
            expected = [sum(w * worth[d, n] for w, d in zip(weights, others, strict=True)) for n in range(4)]
            gains.append(worth[truth, int(np.argmax(expected))] - worth[truth, 0])
    np.testing.assert_allclose(brings(worth, units, errors).ravel(), gains, atol=1e-12)
    # Where one draw tells another plan than all others, being the truth it is not found again: nothing gains.
    alone = np.zeros((12, 2))
    alone[0] = -1.0, 1.0
    alone[1:, 1] = -0.1
    assert brings(alone, 100.0 * rng.normal(size=(12, 2)), errors).max() <= 0.0


def test_an_exact_test_far_from_every_other_draw_is_read_by_the_nearest() -> None:
    worth = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, -1.0], [0.0, -1.0]])
    units = np.array([[0.0], [1e6], [5e6], [6e6]])
    assert brings(worth, units, np.zeros((1, 4, 1))).tolist() == [[1.0, 1.0, 0.0, 0.0]]
