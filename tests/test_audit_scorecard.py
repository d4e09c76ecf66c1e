"""The scorecard and the playbook: values, lights, trends, versions; one version, one page."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

import optimizer as opt
from optimizer.audit.scorecard import BEFORE, of_plan, read_history, scorecard
from optimizer.cli import main
from optimizer.errors import DataError, SpecError
from optimizer.ledger import Ledger
from optimizer.ledger.states import RefusedError
from optimizer.report.playbook import playbook

FILE = Path(__file__).parents[1] / "scenarios" / "insurance.yaml"
DATES = pd.date_range("2026-01-05", periods=6, freq="W-MON").strftime("%Y-%m-%d")


def data() -> dict:
    found = YAML(typ="safe").load(FILE.read_text())
    found["kpis"]["policies"]["target"] = {"level": 60}
    found["kpis"]["forms"]["thresholds"] = {"green": 900, "yellow": 800, "hysteresis": 50}
    return found


@pytest.fixture
def scenario() -> opt.Scenario:
    return opt.Scenario.from_dict(data())


@pytest.fixture
def history(tmp_path: Path) -> Path:
    table = pd.DataFrame({"week": DATES, "forms": [950, 950, 850, 920, 920, 920], "spend": 20_000.0})
    table["policies"] = [50.0, 50, 50, 50, 50, 65]
    table.to_csv(tmp_path / "history.csv", index=False)
    return tmp_path / "history.csv"


def test_values_targets_lights_and_trends(scenario: opt.Scenario, history: Path):
    found = scorecard(scenario, read_history(history, "week", scenario))
    rows = {row["kpi"]: row for row in found.rows}
    assert [row["kpi"] for row in found.layer("operational")] == ["forms"]
    policies = rows["policies"]
    assert (policies["value"], policies["period"], policies["source"]) == (65, DATES[-1], "history")
    assert policies["trend"] == pytest.approx(65 / 50 - 1)
    assert (policies["better"], policies["low"], policies["light"]) == (True, 60, "green")
    # 920 is past the limit by less than the hysteresis: the light does not flicker back.
    assert rows["forms"]["light"] == "yellow"
    # Derived KPIs are recomputed from their parts.
    assert rows["purchase_rate"]["value"] == pytest.approx(65 / 920)
    assert rows["cost_per_policy"]["value"] == pytest.approx(20_000 / 65)
    assert rows["cost_per_policy"]["better"] is True
    assert len(policies["series"]) == len(DATES) > BEFORE


def test_what_nobody_measured_is_modelled_and_says_so(scenario: opt.Scenario):
    rows = {row["kpi"]: row for row in scorecard(scenario).rows}
    assert {row["source"] for row in rows.values()} == {"model"}
    assert rows["policies"]["value"] == pytest.approx(930, abs=1)
    plan = opt.solve(scenario)
    planned = {row["kpi"]: row for row in of_plan(plan).rows}
    assert planned["policies"]["value"] == plan.outcomes.loc["policies", "expected"]
    assert planned["policies"]["trend"] == pytest.approx(0.44, abs=0.005)


def test_versions_rollback_and_reviews(scenario: opt.Scenario, tmp_path: Path):
    """A formula changes by a new version only; after a rollback the value is what it was, to the last bit."""
    with Ledger(tmp_path / "ledger.db", create=True) as ledger:
        kpis = scenario.spec.kpis
        for name, kpi in kpis.items():
            ledger.kpis.define(name, kpi, "ann", "as counted now")
        ledger.kpis.record_value("cost_per_policy", "2026-10", 250.1 / 3, "ann")
        before = {row["kpi"]: row for row in scorecard(scenario, ledger=ledger).rows}
        page = playbook(kpis, ledger)["cost_per_policy.html"]
        changed = data()
        changed["kpis"]["cost_per_policy"]["ratio"] = ["spend", "forms"]
        other = opt.Scenario.from_dict(changed)
        told = {row["kpi"]: row for row in scorecard(other, ledger=ledger).rows}["cost_per_policy"]
        assert told["notes"] == ["the scenario says otherwise than version 1: ratio"]
        with pytest.raises(RefusedError):
            ledger.kpis.define("policies", kpis["policies"], "ann", "the same again")
        ledger.kpis.define("cost_per_policy", other.spec.kpis["cost_per_policy"], "ann", "by form")
        ledger.kpis.record_value("cost_per_policy", "2026-10", 21.0, "ann")
        ledger.kpis.rollback("cost_per_policy", "bob", "policies count")
        after = {row["kpi"]: row for row in scorecard(scenario, ledger=ledger).rows}["cost_per_policy"]
        assert after["value"] == before["cost_per_policy"]["value"] == 250.1 / 3
        assert (after["version"], after["source"]) == (3, "ledger")
        assert [each.version for each in ledger.kpis.versions("cost_per_policy")] == [1, 2, 3]
        assert "restores version 1" in playbook(kpis, ledger)["cost_per_policy.html"]
        # The page of a version is the same whenever it is made.
        assert (
            page == playbook(scenario.variant("other", budget=0.5).spec.kpis, _At(ledger))["cost_per_policy.html"]
        )
        ledger.reviews.open("forms", "red", "it fell", "ann")
        forms = {row["kpi"]: row for row in scorecard(scenario, ledger=ledger).rows}["forms"]
        assert forms["light"] == "red"
        assert "is open (red)" in forms["notes"][0]


class _At:
    """The ledger as it was at the first version of each KPI."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.kpis = ledger, self

    def current(self, name: str):
        return self.ledger.kpis.versions(name)[0]


def test_the_playbook_has_one_page_a_kpi(scenario: opt.Scenario):
    pages = playbook(scenario.spec.kpis)
    assert set(pages) == {f"{name}.html" for name in scenario.spec.kpis}
    assert "spend / policies" in pages["cost_per_policy.html"]
    assert "at least" not in pages["policies.html"]
    assert "target: level" in pages["policies.html"]
    assert pages == playbook(scenario.spec.kpis)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda table: table[["week"]], SpecError, "no column named as a KPI"),
        (lambda table: pd.concat([table, table.tail(1)]), DataError, "stands twice"),
        (lambda table: table.assign(forms=[None, *table["forms"][1:]]), DataError, "blank"),
    ],
)
def test_bad_histories(scenario: opt.Scenario, history: Path, change, error, words: str):
    change(pd.read_csv(history)).to_csv(history, index=False)
    with pytest.raises(error, match=words):
        read_history(history, "week", scenario)


def test_on_the_command_line(history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    options = ["--history", str(history), "--date", "week", "--out", str(out)]
    assert main(["audit", "scorecard", str(FILE), *options]) == 0
    assert "head of growth" in capsys.readouterr().out.replace("\n", " ")
    rows = json.loads((out / "scorecard.json").read_text())["kpis"]
    page = (out / "scorecard.html").read_text()
    assert all(f'<data value="{float(row["value"])!r}">' in page for row in rows)
    assert main(["audit", "playbook", str(FILE), "--out", str(out)]) == 0
    assert len(list((out / "playbook").iterdir())) == 4
    assert main(["audit", "scorecard", str(FILE), "--history", str(history)]) == 2
