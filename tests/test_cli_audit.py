"""The audits on the command line: exit codes, files, what is printed, and one clear error a fault."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_audit_drift import weeks
from test_audit_leads import scored
from test_audit_proxy import history, known_effects, people_of
from test_audit_segments import two_cohorts

from optimizer.cli import main

ROOT = Path(__file__).parents[1]
FUNNEL = ROOT.parent / "shared" / "data" / "simulated" / "meridian_geo_full_funnel.csv"
SCENARIO = str(ROOT / "scenarios" / "insurance.yaml")


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["audit", *map(str, arguments)])
    said = capsys.readouterr()
    return code, " ".join(said.out.split()), " ".join(said.err.split())


def test_alignment(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, out, _ = run(capsys, "alignment", SCENARIO, "--out", tmp_path)
    assert code == 1
    assert "RED: misaligned" in out
    assert "-30.6 %" in out
    found = json.loads((tmp_path / "audit-alignment.json").read_text())
    assert found["change"] == pytest.approx(-0.3056, abs=0.005)
    assert found["verdict"]["light"] == "red"


def test_every_audit_has_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    two_cohorts().replace("new", "<b>new</b>").to_csv(tmp_path / "s.csv", index=False)
    weeks(np.full(12, 140), 1000).to_csv(tmp_path / "d.csv", index=False)
    history(np.random.default_rng(1), 60, 0, 0.9).to_csv(tmp_path / "p.csv", index=False)
    count = ("--period", "period", "--segment", "segment", "--count", "count", "--size", "size")
    calls = {
        "alignment": (SCENARIO,),
        "segments": (tmp_path / "s.csv", *count),
        "drift": (
            tmp_path / "d.csv",
            "--kind",
            "binomial",
            "--date",
            "date",
            "--value",
            "count",
            "--size",
            "size",
        ),
        "proxy": (tmp_path / "p.csv", "--proxy", "proxy", "--goal", "goal", "--date", "date"),
    }
    for name, given in calls.items():
        more = ("--target", 0.14) if name == "drift" else ()
        run(capsys, name, *given, *more, "--out", tmp_path)
        page = (tmp_path / f"audit-{name}.html").read_text()
        data = json.loads((tmp_path / f"audit-{name}.json").read_text())
        assert "<svg" in page
        assert data["verdict"]["answer"] in page
        assert "Next:" in page
        assert "<b>new" not in page
        # Nothing is loaded from elsewhere.
        assert "://" not in page.replace("http://www.w3.org/", "")


def test_proxy_of_effects_people_and_a_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rng = np.random.default_rng(2)
    tables = {
        "effects": (known_effects(rng, 40, 400, 0.95)[["proxy", "goal"]], []),
        "people": (people_of(rng, 40, 200, 0.95), ["--test", "test", "--arm", "arm"]),
        "history": (history(rng, 100, 0, 0.95), ["--date", "date"]),
    }
    for name, (table, more) in tables.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        given = ("proxy", tmp_path / f"{name}.csv", "--proxy", "proxy", "--goal", "goal", *more, "--out", tmp_path)
        code, out, err = run(capsys, *given)
        assert (code, err) == (0, "")
        assert ("YELLOW: weak" if name == "effects" else "GREEN: supported") in out
    people_of(rng, 60, 300, -0.7).to_csv(tmp_path / "bait.csv", index=False)
    code, out, _ = run(
        capsys,
        "proxy",
        tmp_path / "bait.csv",
        "--proxy",
        "proxy",
        "--goal",
        "goal",
        *tables["people"][1],
        "--out",
        tmp_path,
    )
    assert code == 1
    assert "RED: contradicted" in out
    assert json.loads((tmp_path / "audit-proxy.json").read_text())["verdict"]["answer"] == "contradicted"


def test_segments(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    two_cohorts().to_csv(tmp_path / "a.csv", index=False)
    given = ("--period", "period", "--segment", "segment", "--count", "count", "--size", "size", "--out", tmp_path)
    code, out, _ = run(capsys, "segments", tmp_path / "a.csv", *given)
    assert code == 1
    assert "mix +0.607 and rate -0.117 points" in out
    data = json.loads((tmp_path / "audit-segments.json").read_text())
    assert data["mix"] + data["rate"] == pytest.approx(data["change"], abs=1e-15)


def test_drift(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rates = np.concatenate([np.full(12, 0.14), np.full(12, 0.09)])
    weeks(np.round(1000 * rates), 1000).to_csv(tmp_path / "a.csv", index=False)
    given = ("drift", tmp_path / "a.csv", "--date", "date", "--value", "count", "--out", tmp_path, "--kind")
    code, out, _ = run(capsys, *given, "binomial", "--size", "size", "--target", 0.14)
    assert code == 1
    assert "RED: drifting" in out
    assert json.loads((tmp_path / "audit-drift.json").read_text())["changed"] == "2026-03-30"
    assert run(capsys, *given, "binomial", "--size", "size", "--target", 0.14, "--worse", "up")[0] == 0
    assert run(capsys, *given, "poisson", "--baseline", 12)[0] == 1
    assert run(capsys, *given, "binomial")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("proxy", "a.csv", "--proxy", "p", "--goal", "g", "--test", "t"), "need both --test and --arm"),
        (("proxy", "a.csv", "--proxy", "p", "--goal", "g"), "No such file"),
        (("drift", "a.csv", "--kind", "binomial", "--date", "d", "--value", "v"), "a share needs --size"),
        (("alignment", SCENARIO, "--goal", "profit"), "unknown KPI 'profit'"),
    ],
)
def test_faults_are_one_clear_message(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert words.lower() in err.lower()
    assert "hint:" in err


def test_an_absent_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "statsmodels.stats.proportion", None)
    two_cohorts().to_csv(tmp_path / "a.csv", index=False)
    given = ("--period", "period", "--segment", "segment", "--count", "count", "--size", "size", "--out", tmp_path)
    code, _, err = run(capsys, "segments", tmp_path / "a.csv", *given)
    assert code == 2
    assert "pip install 'campaign-optimizer[stats]'" in err
    assert not (tmp_path / "audit-segments.json").exists()


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom optimizer.cli import main\nmain(['audit', '--help'])\n"
        "print([name for name in ('numba', 'cvxpy', 'statsmodels', 'sklearn', 'ruptures') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip().endswith("[]")


@pytest.mark.skipif(not FUNNEL.exists(), reason="the funnel data set is not here")
def test_the_funnel_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    # Some impressions are 0 in single regions: their changes have no ratio, and the whole country's have.
    given = (
        "--proxy",
        "PerformanceNative_impression",
        "--goal",
        "conversions",
        "--date",
        "time",
        "--out",
        tmp_path,
    )
    code, _, err = run(capsys, "proxy", FUNNEL, *given, "--segment", "geo")
    assert code == 2
    assert "'proxy' is not positive" in err
    table = pd.read_csv(FUNNEL).groupby("time").sum(numeric_only=True)
    table.reset_index().to_csv(tmp_path / "a.csv", index=False)
    code, out, err = run(capsys, "proxy", tmp_path / "a.csv", *given)
    assert (code, err) == (0, "")
    # Impressions of one channel move a small part of all conversions: no proxy for them.
    assert "YELLOW: weak" in out
    assert "changes in the history" in out


def test_leads_and_what_each_way_to_count_does_to_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    leads = scored(4000)
    names = dict(zip(sorted(leads["line"].unique()), ["high_intent", "price_shopping"], strict=True))
    leads.assign(line=leads["line"].map(names)).to_csv(tmp_path / "leads.csv", index=False)
    columns = ("--date", "date", "--score", "score", "--bought", "bought")
    options = ("--line", "line", "--scenario", SCENARIO, "--kpi", "forms", "--threshold", 0.2)
    code, out, _ = run(capsys, "leads", tmp_path / "leads.csv", *columns, *options, "--out", tmp_path / "out")
    assert code == 0
    assert "probability from 0.2" in out
    found = json.loads((tmp_path / "out" / "audit-leads.json").read_text())
    assert found["plans"][0]["choice"] == "every lead"
    page = (tmp_path / "out" / "audit-leads.html").read_text()
    assert "<svg" in page
    assert "What each way does to the plan" in page
    code, _, err = run(capsys, "leads", tmp_path / "leads.csv", *columns, "--kpi", "forms")
    assert code == 2
    assert "--scenario, --kpi and --line" in err


def test_a_red_drift_opens_a_review_and_holds_the_plan_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    weeks(np.linspace(140, 80, 26).astype(int), 1000).to_csv(tmp_path / "d.csv", index=False)
    kind = ("--kind", "binomial", "--date", "date", "--value", "count", "--size", "size", "--target", "0.14")
    where = tmp_path / "ledger.db"
    ledger = ("--ledger", where, "--kpi", "policies", "--by", "ann")
    for said in ("is open on policies", "was open on policies"):
        code, out, _ = run(capsys, "drift", tmp_path / "d.csv", *kind, *ledger, "--out", tmp_path / "out")
        assert code == 1
        assert f"{said}; its next step is 'data quality'" in out
    decide = ("plan", SCENARIO, "--ledger", where, "--by", "ann", "--out", tmp_path / "plan")
    assert main([*map(str, decide)]) == 0
    id = capsys.readouterr().out.split("Recorded as ")[1].split("/")[0]
    assert main(["ledger", "submit", str(where), id, "--by", "ann"]) in (0, 2)
    assert main(["ledger", "approve", str(where), id, "--by", "bob"]) == 2
    assert "a red review is open on policies" in capsys.readouterr().err
    code, _, err = run(capsys, "drift", tmp_path / "d.csv", *kind, "--ledger", where)
    assert code == 2
    assert "go together" in err
