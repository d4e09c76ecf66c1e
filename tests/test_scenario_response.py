"""Scenarios on a response file: what the file must know, and how its dates meet the horizon's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_model, make_scenario, scenario_on_file, write_yaml

import optimizer as opt
from optimizer import response


def test_the_hash_does_not_depend_on_where_the_response_file_lies(tmp_path):
    model = make_model()
    one, other = tmp_path / "one", tmp_path / "other" / "deep"
    one.mkdir()
    other.mkdir(parents=True)
    first = scenario_on_file(one, model)
    (other / "renamed.nc").write_bytes((one / "response.nc").read_bytes())
    data = first.resolved() | {"response": {"file": "renamed.nc"}}
    del data["hash"]
    moved = opt.Scenario.from_dict(data, other)
    assert moved.hash == first.hash
    absolute = opt.Scenario.from_dict(data | {"response": {"file": str(other / "renamed.nc")}})
    assert absolute.hash == first.hash


def test_another_response_file_is_another_hash(tmp_path):
    one = scenario_on_file(tmp_path, make_model(seed=1))
    first = one.hash
    assert scenario_on_file(tmp_path, make_model(seed=2)).hash != first


def test_a_resolved_scenario_insists_on_its_response_file(tmp_path):
    scenario = scenario_on_file(tmp_path, make_model(seed=1))
    resolved = scenario.resolved()
    assert resolved["response"]["sha256"] == response.file_hash(tmp_path / "response.nc")
    again = opt.Scenario.load(write_yaml(resolved, tmp_path / "resolved.yaml"))
    assert again.hash == scenario.hash
    assert again.resolved() == resolved
    make_model(seed=2).save(tmp_path / "response.nc")
    with pytest.raises(opt.SpecError, match="not the file") as caught:
        opt.Scenario.load(tmp_path / "resolved.yaml")
    assert caught.value.path == ("response", "sha256")
    assert caught.value.line is not None


def on_file(tmp_path: Path, response_block: dict[str, Any], **blocks: Any) -> opt.Scenario:
    return scenario_on_file(tmp_path, make_model(), changes={"response": response_block, **blocks})


@pytest.mark.parametrize(
    ("block", "path", "said"),
    [
        ({"file": "nowhere.nc"}, ("response", "file"), "nowhere.nc"),
        ({"file": "."}, ("response", "file"), "folder"),
        ({"file": "response.nc", "sha256": "0" * 64}, ("response", "sha256"), "not the file"),
        (
            {"file": "response.nc", "kpi0": {"line0": {"curve": {"kind": "linear", "scale": 1.0}}}},
            ("response",),
            "beside a file",
        ),
    ],
)
def test_response_files_that_cannot_be_used(tmp_path, block, path, said):
    with pytest.raises(opt.OptimizerError, match=said) as caught:
        on_file(tmp_path, block)
    assert caught.value.path == path
    assert caught.value.hint


def test_a_response_file_that_is_none_is_named(tmp_path):
    (tmp_path / "text.nc").write_text("hello")
    with pytest.raises(opt.DataError, match=r"text\.nc") as caught:
        on_file(tmp_path, {"file": "text.nc"})
    assert caught.value.path == ("response", "file")


def test_kpis_and_lines_the_file_does_not_know(tmp_path):
    make_model(1, ("kpi0",), ("line0", "line1")).save(tmp_path / "small.nc")
    data = make_scenario(2, 2) | {"response": {"file": "small.nc"}}
    with pytest.raises(opt.SpecError, match="no KPI 'kpi1'") as caught:
        opt.Scenario.from_dict(data, tmp_path)
    assert caught.value.path == ("response", "file")
    data = make_scenario(3, 1) | {"response": {"file": "small.nc"}}
    with pytest.raises(opt.SpecError, match="no line 'line2'"):
        opt.Scenario.from_dict(data, tmp_path)


def test_a_line_of_the_file_must_be_named_or_left_out(tmp_path):
    make_model(1, ("kpi0",), ("line0", "extra", "line1")).save(tmp_path / "large.nc")
    data = make_scenario(2, 1) | {"response": {"file": "large.nc"}}
    with pytest.raises(opt.SpecError, match="'extra'") as caught:
        opt.Scenario.from_dict(data, tmp_path)
    assert "extra" in caught.value.hint
    data["response"]["leave_out"] = ["extra"]
    scenario = opt.Scenario.from_dict(data, tmp_path)
    assert scenario.response.lines == ("line0", "line1")


def test_the_file_s_order_does_not_matter(tmp_path):
    model = make_model(3, ("kpi1", "kpi0"), ("line2", "line0", "line1"))
    model.save(tmp_path / "response.nc")
    data = make_scenario(3, 2) | {"response": {"file": "response.nc"}}
    scenario = opt.Scenario.from_dict(data, tmp_path)
    assert scenario.response.kpis == ("kpi0", "kpi1")
    assert scenario.response.lines == ("line0", "line1", "line2")
    spend = {"line0": 10.0, "line1": 200.0, "line2": 3000.0}
    wanted = scenario_on_file(tmp_path, model)
    import pandas as pd

    found = opt.simulate(scenario, pd.Series(spend))
    pd.testing.assert_frame_equal(found, opt.simulate(wanted, pd.Series(spend))[["kpi0", "kpi1"]], rtol=1e-14)


# Horizon against the periods a response foresees


def at(tmp_path: Path, begin: str, periods: int, every: str = "week", **fields: Any) -> opt.Scenario:
    """One line, one KPI, baseline 1, 2, 4, 8, 16, 32 from 2026-01-05 and one period of history."""
    baseline = np.array([[[1.0, 2, 4, 8, 16, 32]]])
    model = make_model(1, ("kpi0",), ("line0",), past=1, **({"baseline": baseline} | fields))
    changes = {"horizon": {"start": begin, "periods": periods, "every": every}}
    return scenario_on_file(tmp_path, model, changes=changes)


@pytest.mark.parametrize(
    ("start", "periods", "total"),
    [("2026-01-05", 6, 63), ("2026-01-05", 1, 1), ("2026-01-12", 2, 6), ("2026-02-09", 1, 32)],
)
def test_the_baseline_is_cut_to_the_horizon(tmp_path, start, periods, total):
    assert at(tmp_path, start, periods).baseline.tolist() == [[total]]


@pytest.mark.parametrize(
    ("start", "periods"),
    [
        ("2026-01-05", 7),
        ("2026-01-12", 6),
        ("2025-12-29", 2),
        ("2026-01-06", 1),
        ("2026-02-16", 1),
        ("2027-01-04", 1),
    ],
)
def test_a_horizon_beyond_what_the_response_foresees_is_refused(tmp_path, start, periods):
    with pytest.raises(opt.SpecError) as caught:
        at(tmp_path, start, periods)
    assert caught.value.path == ("horizon", "start")
    assert caught.value.hint


def test_history_counts_only_where_it_adjoins(tmp_path):
    near = at(tmp_path, "2026-01-05", 2)
    assert near.response.history.shape == (1, 1)
    assert not near.notes
    late = at(tmp_path, "2026-01-12", 2)
    assert late.response.history.shape == (1, 0)
    assert any("2026-01-05" in note and "2026-01-12" in note for note in late.notes)


def test_days_and_weeks_do_not_mix(tmp_path):
    with pytest.raises(opt.SpecError, match="by week") as caught:
        at(tmp_path, "2026-01-05", 2, every="day")
    assert caught.value.path == ("horizon", "every")
    daily = at(tmp_path, "2026-01-07", 3, every="day", period="day")
    assert daily.baseline.tolist() == [[4 + 8 + 16]]


def test_a_response_without_dates_suits_any_horizon(tmp_path):
    for start in ("2026-01-05", "1999-05-05"):
        steady = at(tmp_path, start, 3, start=None, period=None, baseline=np.array([[[5.0]]]))
        assert steady.baseline.tolist() == [[15.0]]
    fitting = at(tmp_path, "2026-01-05", 6, start=None, period=None)
    assert fitting.baseline.tolist() == [[63.0]]


@pytest.mark.parametrize("periods", [2, 5, 7])
def test_a_baseline_of_other_length_without_dates_is_refused(tmp_path, periods):
    # Six periods of unknown date for two or seven: neither the sum of six nor of the first two is right.
    with pytest.raises(opt.OptimizerError):
        at(tmp_path, "2026-01-05", periods, start=None, period=None)


def test_a_steady_baseline_with_a_start_holds_in_every_period(tmp_path):
    # ResponseModel: a baseline of one period is the same in every period.
    steady = at(tmp_path, "2026-01-05", 3, baseline=np.array([[[5.0]]]))
    assert steady.baseline.tolist() == [[15.0]]


# Flighting, names, scale
