"""Fits from files: what they write, the tables they hold, and the scenario to start from."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_evidence_fit import LINES, simulate

import optimizer as opt
from optimizer import response
from optimizer.errors import DataError, SpecError
from optimizer.evidence.fit import check_history, run_fit
from optimizer.evidence.starter import rounded


def config_of(folder: Path, extra: str = "") -> tuple[Path, Path]:
    history, _ = simulate(11, periods=60)
    table = history.spend.join(history.kpis).rename_axis("date").reset_index()
    table.to_csv(folder / "h.csv", index=False)
    lines = "\n".join(f"  {line}: {{spend: {line}}}" for line in LINES)
    text = f"date: date\nperiod: week\nlines:\n{lines}\nkpis:\n  sales: {{column: sales}}\ndraws: 30\n{extra}"
    (folder / "fit.yaml").write_text(text, encoding="utf-8")
    return folder / "h.csv", folder / "fit.yaml"


def test_same_bytes_twice_and_readable_files(tmp_path: Path) -> None:
    paths = config_of(tmp_path)
    heard: list[float] = []
    found = run_fit(*paths, tmp_path / "a", heard.append)
    run_fit(*paths, tmp_path / "b")
    assert heard[-1] == 1.0
    for name in ("response.nc", "fit.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["fit.json", "response.nc"]
    content = json.loads((tmp_path / "a" / "fit.json").read_text(encoding="utf-8"))
    assert content["diagnostics"] == json.loads(json.dumps(found.diagnostics))
    assert content["about"]["rows"] == 60
    assert content["config"]["seed"] == 1
    loaded = response.load(tmp_path / "a" / "response.nc")
    np.testing.assert_array_equal(loaded.scale, found.model.scale)
    assert loaded.notes == found.notes


def test_another_seed_gives_other_draws_about_the_same(tmp_path: Path) -> None:
    one = run_fit(*config_of(tmp_path)).model
    two = run_fit(*config_of(tmp_path, "seed: 2\n")).model
    assert not np.array_equal(one.scale, two.scale)
    np.testing.assert_allclose(one.baseline.mean(), two.baseline.mean(), rtol=0.1)


def test_results_that_cannot_be_written(tmp_path: Path) -> None:
    paths = config_of(tmp_path)
    (tmp_path / "out").write_text("a file, not a folder")
    with pytest.raises(DataError) as caught:
        run_fit(*paths, tmp_path / "out")
    assert caught.value.file == str(tmp_path / "out")
    assert check_history(*paths)[0].repairs == ()


@pytest.mark.parametrize(("draws", "used"), [(399, 399), (400, 200), (750, 200), (1000, 200), (2000, 200)])
def test_the_starter_picks_plans_by_some_of_many_draws(tmp_path: Path, draws: int, used: int) -> None:
    found = run_fit(*config_of(tmp_path, "currency: GBP\n"))
    model = found.model.with_draws(np.arange(draws) % found.model.draws)
    model.save(tmp_path / "response.nc")
    scenario = opt.Scenario.from_dict(replace(found, model=model).starter(), tmp_path)
    assert scenario.response.draws == used
    assert (scenario.fresh.draws if scenario.fresh else 0) == draws - used
    assert any("held out" in note for note in scenario.notes) == (draws > used)


def test_the_starter_plans_within_what_any_quarter_saw(tmp_path: Path) -> None:
    found = run_fit(*config_of(tmp_path, "currency: GBP\n"), tmp_path)
    spend = pd.read_csv(tmp_path / "h.csv")[list(LINES)]
    quarters = spend.rolling(13).sum().dropna()
    scenario = opt.Scenario.from_dict(found.starter(), tmp_path)
    for line in scenario.spec.lines:
        seen = quarters[line.name]
        assert [line.current, line.min, line.max] == pytest.approx(
            [seen.iloc[-1], seen.min(), seen.max()], rel=1e-5
        )
        assert line.min <= seen.min()
        assert line.max >= seen.max()
    assert "13 weeks in a row" in " ".join(scenario.spec.notes)
    plan = opt.solve(scenario)
    assert plan.totals.sum() == pytest.approx(quarters.iloc[-1].sum(), rel=1e-5)
    assert plan.certificate.guarantee == "global"
    short = run_fit(*config_of(tmp_path, "forecast: 4\n"))
    assert short.diagnostics["lines"][LINES[0]]["latest"]["spend"] == pytest.approx(
        spend[LINES[0]].iloc[-4:].sum()
    )
    with pytest.raises(SpecError, match="no currency"):
        short.starter()


@pytest.mark.parametrize("amount", [0.0, 1e-9, 0.123456789, 1.0, 99999.96, 123456.7, 1234567.0, 9.876543e14])
def test_amounts_are_rounded_outwards(amount: float) -> None:
    low, high = rounded(amount, math.floor), rounded(amount, math.ceil)
    assert low <= amount <= high
    assert low <= rounded(amount) <= high
    assert high - low <= 1e-5 * amount * (1 + 1e-9)


def test_tables_hold_every_line_and_kpi(tmp_path: Path) -> None:
    found = run_fit(*config_of(tmp_path, "currency: GBP\n"))
    tables = found.tables()
    assert list(tables["lines"]["line"]) == list(LINES)
    assert len(tables["effects"]) == len(LINES)
    assert "per 1,000 GBP" in tables["effects"].columns
    assert list(tables["kpis"]["KPI"]) == ["sales"]


def test_event_given_by_a_column(tmp_path: Path) -> None:
    paths = config_of(tmp_path)
    table = pd.read_csv(paths[0])
    table["is_sale"] = 0
    table.loc[[5, 40], "is_sale"] = 1
    table.loc[[5, 40], "sales"] += 9000.0
    table.to_csv(paths[0], index=False)
    text = paths[1].read_text() + "event_columns: {sale: is_sale}\n"
    after = (pd.Timestamp(table["date"].iloc[-1]) + timedelta(days=14)).date()
    paths[1].write_text(text + f"events: {{sale: [{after}]}}\n")
    baseline = run_fit(*paths).model.baseline[:, 0].mean(axis=0)
    assert baseline[1] - baseline[[0, 2]].mean() == pytest.approx(9000, rel=0.1)
