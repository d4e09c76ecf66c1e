"""A real brand, from its history to a plan, by the command line (the data are not part of the project)."""

import json
import shutil
from pathlib import Path

import pytest

from optimizer.cli import main

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data" / "conjura" / "weekly.parquet"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not DATA.exists():
        pytest.skip("the brand's history is not here")
    out = tmp_path_factory.mktemp("brand") / "fitted"
    assert main(["fit", str(DATA), "--config", str(HERE / "conjura" / "fit.yaml"), "--out", str(out)]) == 0
    return out


def test_fit_and_plan_next_quarter(fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    shutil.copy(HERE / "conjura" / "scenario.yaml", fitted)
    assert main(["plan", str(fitted / "scenario.yaml"), "--out", str(out)]) == 0, capsys.readouterr().err
    plan = json.loads((out / "plan.json").read_text())
    outcomes = {row["kpi"]: row for row in plan["outcomes"]}
    assert sum(plan["spend"].values()) == pytest.approx(120_046.25)
    # Better than today on both, and within the guardrail; every figure with an interval.
    for kpi in ("new_customers", "revenue"):
        assert outcomes[kpi]["change"] > 0
        assert outcomes[kpi]["low"] < outcomes[kpi]["expected"] < outcomes[kpi]["high"]
    assert outcomes["cost_per_new_customer"]["expected"] <= 30
    assert plan["certificate"]["guarantee"] == "global"
    # It says what the data cannot know.
    said = " ".join(plan["warnings"])
    for words in ("Mostly off", "may do nothing", "not what caused what"):
        assert words in said


def test_spend_beyond_the_observed_is_marked(fitted: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = (HERE / "conjura" / "scenario.yaml").read_text()
    text = text.replace("current: 0, change: free, max: 2000", "current: 0, change: free, min: 26000, max: 26000")
    (fitted / "scenario.yaml").write_text(text)
    assert main(["plan", str(fitted / "scenario.yaml"), "--out", str(out)]) == 0
    plan = json.loads((out / "plan.json").read_text())
    video = next(row for row in plan["allocation"] if row["line"] == "video")
    assert video["per_period"] == pytest.approx(2000.0)
    assert video["beyond_observed"] == "above"
    assert any(warning.startswith("video: 2,000 USD a period is above") for warning in plan["warnings"])
    assert "above" in (out / "report.html").read_text()
