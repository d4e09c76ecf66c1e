"""Calibration by experiments: Bayes' rule on draws, conflicts told, and a geo experiment that moves a curve."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fit_worlds import MEAN, history_of, spec_of
from scipy.stats import norm

from optimizer import response
from optimizer.audit.experiments import difference_in_differences
from optimizer.cli import main
from optimizer.curves import FAMILIES
from optimizer.errors import SpecError
from optimizer.evidence.calibrate import LiftTest, calibrate, foretold, read_tests
from optimizer.evidence.fit import fit
from optimizer.response import ResponseModel

GEO = Path(__file__).parents[1].parent / "shared" / "data" / "geo"


def straight(scale: np.ndarray, **fields: Any) -> ResponseModel:
    """One line that brings ``scale`` for every unit of currency, by draw."""
    shape = (len(scale), 1, 1)
    return ResponseModel(
        kpis=("sales",),
        lines=("tv",),
        scale=scale.reshape(shape),
        **{
            "family": np.array([[FAMILIES["linear"].code]]),
            "first": np.ones(shape),
            "second": np.ones(shape),
            "rate": np.zeros(shape),
            "length": np.ones((1, 1), dtype=np.int64),
            "normalised": np.ones((1, 1), dtype=bool),
            "baseline": np.zeros((len(scale), 1, 1)),
            "observed": np.array([[0.0, 100.0]]),
            "history": np.zeros((1, 0)),
            **fields,
        },
    )


def test_of(**fields: Any) -> LiftTest:
    given = {"name": "test", "line": "tv", "kpi": "sales", "spend": [0.0, 10.0], "periods": 4, "lift": 100.0}
    return LiftTest(**{**given, "se": 10.0, **fields})


test_of.__test__ = False  # type: ignore[attr-defined]


def test_weights_are_bayes_rule() -> None:
    """Normal draws and a normal test have a normal posterior whose mean and spread are known."""
    scale = norm.ppf((np.arange(20_000) + 0.5) / 20_000, loc=2.0, scale=0.4)
    model = straight(scale)
    found = calibrate(model, [test_of()])
    # The test measured 100 / 40 = 2.5 a unit with an error of 0.25.
    precision = 1 / 0.4**2 + 1 / 0.25**2
    mean = (2.0 / 0.4**2 + 2.5 / 0.25**2) / precision
    result = found.results[0]
    assert result.after["mean"] == pytest.approx(40 * mean, rel=1e-3)
    assert result.after["high"] == pytest.approx(40 * (mean + 1.645 / precision**0.5), rel=1e-2)
    kept = scale[found.pick(500, seed=1)]
    assert kept.mean() == pytest.approx(mean, rel=1e-2)
    assert kept.std() == pytest.approx(precision**-0.5, rel=0.02)
    assert 0 < found.effective < len(scale)
    assert result.before["mean"] == pytest.approx(80.0, rel=1e-3)
    assert not found.conflicts
    # The same test twice weighs as one with half the variance.
    twice = calibrate(model, [test_of(), test_of(name="again")])
    once = calibrate(model, [test_of(se=10 / 2**0.5)])
    np.testing.assert_allclose(twice.weights, once.weights)


def test_a_lift_is_counted_with_its_carry_over_and_part() -> None:
    model = straight(
        np.array([3.0]),
        rate=np.full((1, 1, 1), 0.5),
        length=np.full((1, 1), 3),
        family=np.array([[FAMILIES["michaelis_menten"].code]]),
        first=np.full((1, 1, 1), 20.0),
    )
    weights = np.array([1.0, 0.5, 0.25]) / 1.75

    def effect(spend: list[float]) -> float:
        carried = np.convolve(spend, weights)[2 : len(spend)]
        return float((3 * carried / (20 + carried)).sum())

    usual, test = [5.0] * 8, [5.0, 5.0, 15.0, 15.0, 15.0, 5.0, 5.0, 5.0]
    given = test_of(spend=[5.0, 15.0], periods=3, after=3)
    assert foretold(model, given) == pytest.approx([effect(test) - effect(usual)])
    half = test_of(spend=[2.5, 7.5], periods=3, after=3, part=0.5)
    assert foretold(model, half) == pytest.approx(foretold(model, given) / 2)


def test_a_conflict_is_told_and_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    model = straight(rng.normal(2.0, 0.1, 400))
    found = calibrate(model, [test_of(lift=200.0)])
    assert [one.name for one in found.conflicts] == ["test"]
    np.testing.assert_allclose(found.weights, 1 / 400)
    assert found.effective == pytest.approx(400)
    assert "contradict each other" in found.notes()[0]
    assert "not used" in found.notes()[0]
    # Another test is used all the same.
    both = calibrate(model, [test_of(lift=200.0), test_of(name="second", lift=84.0, se=4.0)])
    assert both.results[1].after["mean"] > both.results[1].before["mean"]
    assert len(both.conflicts) == 1


def test_intervals_and_unknown_names() -> None:
    assert test_of(se=None, low=80.4, high=119.6).error == pytest.approx(10.0, rel=1e-3)
    assert test_of(se=None, low=83.55, high=116.45, level=0.9).error == pytest.approx(10.0, rel=1e-3)
    with pytest.raises(SpecError, match="not in the model"):
        calibrate(straight(np.ones(3)), [test_of(line="radio")])


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("se: 1, spend: [3, 3]", "changed no spend"),
        ("spend: [0, 3]", "needs either"),
        ("se: 1, low: 0, high: 2, spend: [0, 3]", "needs either"),
        ("low: 2, high: 3, spend: [0, 3]", "not between"),
        ("se: 0, spend: [0, 3]", "greater than 0"),
        ("se: 1, spend: [0, 3], line: nothing", "not in the fit config"),
    ],
)
def test_bad_files_of_tests(tmp_path: Path, entry: str, words: str) -> None:
    file = tmp_path / "tests.yaml"
    line = "" if "line:" in entry else ", line: line0"
    file.write_text(f"tests:\n  - {{name: a, kpi: sales, periods: 2, lift: 1.0{line}, {entry}}}\n")
    with pytest.raises(SpecError, match=words) as caught:
        read_tests(file, spec_of(2))
    assert caught.value.line == 2
    assert caught.value.file == str(file)


def confounded() -> tuple[Any, Any, float]:
    """Two lines that always moved together; the truth of the first is known: 600 a week at its usual spend."""
    rng = np.random.default_rng(4)
    wave = np.exp(0.4 * rng.normal(size=110))
    spend = np.stack([1000 * wave, 800 * wave * np.exp(0.03 * rng.normal(size=110))])
    effect = 1200 * spend[0] / (1000 + spend[0])
    sales = MEAN * 0.7 + effect + rng.normal(0, 100, 110)
    return history_of(spend, sales), spec_of(2, season=0), 1200 * 0.5


def test_a_test_tells_apart_lines_that_moved_together() -> None:
    history, spec, gain = confounded()
    # For four weeks the line was off.
    cut = LiftTest(name="off", line="line0", kpi="sales", spend=[1000.0, 0.0], periods=4, lift=-4 * gain, se=100.0)
    before, after = fit(history, spec), fit(history, spec, tests=[cut])
    assert before.conflicts == after.conflicts == 0
    shares = [f.diagnostics["effects"]["sales"] for f in (before, after)]
    widths = [s["line0"]["share"]["high"] - s["line0"]["share"]["low"] for s in shares]
    assert widths[1] < 0.5 * widths[0]
    truth = float(
        (1200 * history.spend["line0"] / (1000 + history.spend["line0"])).sum() / history.kpis["sales"].sum()
    )
    miss = [abs(s["line0"]["share"]["mean"] - truth) for s in shares]
    assert miss[1] < miss[0]
    told = after.diagnostics["calibration"]
    assert told["effective"] > 50
    assert "off" in after.notes[0]
    assert after.model.attributes["calibrated_by"] == "off"
    assert after.model.draws == spec.draws


def test_a_test_moves_how_far_the_evidence_goes_unless_it_is_a_conflict() -> None:
    history, spec, gain = confounded()
    spec = spec.model_copy(update={"currency": "EUR"})
    # Half the market: what was spent there stands for twice as much.
    cut = {"name": "off", "line": "line0", "kpi": "sales", "spend": [500.0, 0.0], "periods": 4, "part": 0.5}
    ends = {}
    for kind, lift in (("none", None), ("agrees", -2 * gain), ("conflict", 4000.0)):
        tests = [] if lift is None else [LiftTest(**cut, lift=lift, se=100.0)]
        found = fit(history, spec, tests=tests)
        starter = {line["name"]: line for line in found.starter()["lines"]}
        assert {line["limits"] for line in starter.values()} == {"evidence"}
        row = found.model.lines.index("line0")
        ends[kind] = [
            starter["line0"]["min"],
            starter["line0"]["max"],
            starter["line1"]["min"],
            *found.model.observed[row],
        ]
        assert ("tested in an experiment" in " ".join(found.starter()["notes"])) == (kind == "agrees")
    low = history.spend["line0"].min()
    assert ends["none"][0] > 0
    assert ends["conflict"] == ends["none"]
    assert ends["none"][3] == low
    assert ends["agrees"] == [0.0, *ends["none"][1:3], 0.0, ends["none"][4]]


def test_geo_experiment_moves_the_curve_towards_it() -> None:
    if not GEO.exists():
        pytest.skip("the data are not here")
    groups = pd.read_csv(GEO / "geoassignment.csv")
    rows = pd.read_csv(GEO / "salesandcost.csv").rename(columns={"geo": "unit", "sales": "value"})
    treated = [str(geo) for geo in groups.loc[groups["geo.group"] == 2, "geo"]]
    lift = difference_in_differences(
        rows, treated, date(2015, 2, 16), date(2015, 3, 15), by="share", missing="zero"
    ).lift
    rng = np.random.default_rng(2)
    model = straight(np.exp(rng.normal(np.log(1.8), 0.5, 4000)), period="day")
    half = LiftTest(
        name="geo",
        line="tv",
        kpi="sales",
        spend=[0.0, 50_000 / 28],
        periods=28,
        part=0.5,
        lift=lift.value,
        low=lift.low,
        high=lift.high,
    )
    found = calibrate(model, [half])
    result = found.results[0]
    assert not result.conflict
    assert result.before["mean"] < result.after["mean"] < result.measured["high"]
    assert result.after["mean"] == pytest.approx(result.measured["mean"], rel=0.1)
    assert result.after["high"] - result.after["low"] < 0.5 * (result.before["high"] - result.before["low"])
    moved = model.with_draws(found.pick(200, 1))
    assert moved.scale.mean() == pytest.approx(3.0, rel=0.1)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history, _, gain = confounded()
    table = history.spend.join(history.kpis).rename_axis("date").reset_index()
    table.to_csv(tmp_path / "h.csv", index=False)
    lines = "".join(f"  {name}: {{spend: {name}}}\n" for name in history.spend)
    config = f"date: date\nperiod: week\nseason: 0\nfolds: 1\ndraws: 60\nlines:\n{lines}"
    config += "currency: EUR\nkpis:\n  sales: {column: sales}\n"
    (tmp_path / "fit.yaml").write_text(config)
    (tmp_path / "out1").mkdir()
    (tmp_path / "out1" / "scenario.yaml").write_text("edited")
    for lift, code, words in ((-4 * gain, 0, "foretold"), (4000.0, 1, "contradict each other")):
        entry = f"{{name: off, line: line0, kpi: sales, spend: [1000, 0], periods: 4, lift: {lift}, se: 100}}"
        (tmp_path / "tests.yaml").write_text(f"tests:\n  - {entry}\n")
        out = tmp_path / f"out{code}"
        given = ["fit", str(tmp_path / "h.csv"), "--config", str(tmp_path / "fit.yaml"), "--out", str(out)]
        assert main([*given, "--calibrate", str(tmp_path / "tests.yaml")]) == code
        said = " ".join(capsys.readouterr().out.split())
        assert words in said
        assert bool(code) == ("is left as it is" in said)
        content = json.loads((out / "fit.json").read_text())
        assert content["diagnostics"]["calibration"]["tests"][0]["conflict"] is bool(code)
        assert words in " ".join(response.load(out / "response.nc").notes)
        assert words in (out / "evidence.html").read_text()
    # One to start from, unless there is one.
    assert "13 weeks in a row" in (tmp_path / "out0" / "scenario.yaml").read_text()
    assert (tmp_path / "out1" / "scenario.yaml").read_text() == "edited"
    assert main(["check", str(tmp_path / "out0" / "scenario.yaml")]) == 0
    (tmp_path / "fit.yaml").write_text(config.replace("currency: EUR\n", ""))
    assert main([*given[:-1], str(tmp_path / "out2")]) == 0
    assert "No scenario to start from: the config names no currency" in capsys.readouterr().out


def test_draws_by_number() -> None:
    model = straight(np.arange(1.0, 6.0))
    assert model.with_draws(np.array([4, 4, 0])).scale.ravel().tolist() == [5.0, 5.0, 1.0]
    assert replace(model).one_draw(2).scale.ravel().tolist() == [3.0]
