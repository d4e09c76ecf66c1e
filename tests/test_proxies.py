"""A contradicted proxy as an objective stops a plan, unless somebody waives it by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import optimizer as opt
from optimizer.audit.alignment import alignment
from optimizer.cli import main
from optimizer.errors import DataError, SpecError
from optimizer.lint import lint

SCENARIO = Path(__file__).parents[1] / "scenarios" / "insurance.yaml"
WAIVER = {"waived_by": "Ada Brown", "reason": "until policies are matched to clicks"}


def data(proxy: dict, objective: str = "forms") -> dict:
    found = YAML(typ="safe").load(SCENARIO.read_text())
    found["kpis"]["forms"]["proxy"] = proxy
    found["preferences"] = {}
    for name, kpi in found["kpis"].items():
        kpi["role"] = "objective" if name == objective else "monitor"
    found.pop("claims", None)
    return found


def scenario(proxy: dict, objective: str = "forms", directory: Path = Path()) -> opt.Scenario:
    return opt.Scenario.from_dict(data(proxy, objective), directory)


def write_audit(directory: Path, answer: str) -> None:
    verdict = {"light": "red", "answer": answer, "reason": "over 40 tests the effects correlate by -0.60"}
    text = json.dumps({"audit": "proxy", "verdict": verdict})
    (directory / "audit-proxy.json").write_text(text)


def test_no_plan_is_made_for_a_contradicted_proxy(tmp_path: Path):
    write_audit(tmp_path, "contradicted")
    given = scenario({"audit": "audit-proxy.json"}, directory=tmp_path)
    for make in (opt.solve, opt.frontier):
        with pytest.raises(SpecError, match=r"contradicted proxy for 'policies'.*correlate by -0.60") as caught:
            make(given)
        assert "waived_by" in caught.value.hint
        assert caught.value.path == ("kpis", "forms", "proxy")
    found = [each for each in lint(given, ()) if each.rule == "contradicted-proxy"]
    assert [each.level for each in found] == ["error"]


def test_a_waiver_by_name_lets_it_pass_and_is_told_everywhere(tmp_path: Path):
    write_audit(tmp_path, "contradicted")
    given = scenario({"audit": "audit-proxy.json", **WAIVER}, directory=tmp_path)
    plan = opt.solve(given)
    told = [text for text in plan.to_dict()["warnings"] if "waived by Ada Brown" in text]
    assert len(told) == 1
    assert "until policies are matched to clicks" in told[0]
    assert "waived-proxy" in {each.rule for each in lint(given, ())}
    # The answer is in the resolved scenario: it plans the same where the audit's file is not.
    again = opt.Scenario.from_dict(given.resolved())
    assert again.hash == given.hash
    assert again.spec.kpis["forms"].proxy.verdict == "contradicted"


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "mine.yaml"
    for waiver, code in (({}, 2), (WAIVER, 0)):
        with file.open("w") as stream:
            YAML(typ="safe").dump(data({"verdict": "contradicted", **waiver}), stream)
        assert main(["plan", str(file), "--out", str(tmp_path / "out")]) == code
    assert "'forms' is a contradicted proxy" in capsys.readouterr().err
    report = (tmp_path / "out" / "report.html").read_text()
    assert "waived by Ada Brown" in report
    assert "Ada Brown" in (tmp_path / "out" / "plan.json").read_text()


@pytest.mark.parametrize("objective", ["purchase_rate", "cost_per_form"])
def test_what_is_made_of_it_is_refused_too(objective: str):
    given = data({"verdict": "contradicted"}, "cost_per_form")
    given["kpis"]["cost_per_form"] = {
        "ratio": ["spend", "forms"],
        "direction": "minimize",
        "role": "objective",
    }
    if objective == "purchase_rate":
        given["kpis"]["cost_per_form"]["role"] = "monitor"
        given["kpis"]["purchase_rate"]["role"] = "objective"
    with pytest.raises(SpecError, match=f"'forms', a part of '{objective}',"):
        opt.solve(opt.Scenario.from_dict(given))


@pytest.mark.parametrize("verdict", ["supported", "weak", "cannot be told", "contradicted"])
def test_only_objectives_that_are_contradicted_stop_a_plan(verdict: str):
    objective = "policies" if verdict == "contradicted" else "forms"
    given = scenario({"verdict": verdict}, objective)
    assert opt.solve(given).totals.sum() == pytest.approx(250_000)
    rules = {each.rule for each in lint(given, ())}
    assert ("unsupported-proxy" in rules) == (verdict in ("weak", "cannot be told"))


def test_alignment_still_says_what_steering_by_it_costs():
    found = alignment(scenario({"verdict": "contradicted"}, "policies"))
    assert found.change == pytest.approx(-0.3056, abs=0.005)


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        ({}, "neither what was found nor where"),
        ({"verdict": "weak", "audit": "a.json"}, "says it twice"),
        ({"verdict": "contradicted", "waived_by": "Ada Brown"}, "a name and a reason"),
        ({"verdict": "contradicted", "waived_by": " ", "reason": "because"}, "a name and a reason"),
        ({"verdict": "weak", **WAIVER}, "only a contradicted proxy is waived"),
        ({"audit": "missing.json"}, "cannot read 'missing.json'"),
        ({"audit": "other.json"}, "no audit of a proxy"),
        ({"audit": "audit-proxy.json", **WAIVER}, "nothing to waive"),
    ],
)
def test_bad_input(proxy: dict, message: str, tmp_path: Path):
    (tmp_path / "other.json").write_text('{"audit": "drift", "verdict": {"answer": "weak", "reason": ""}}')
    write_audit(tmp_path, "supported")
    with pytest.raises((SpecError, DataError), match=message):
        scenario(proxy, directory=tmp_path)


def test_an_audit_without_a_goal_is_refused():
    given = data({"verdict": "weak"})
    del given["kpis"]["forms"]["proxy_for"]
    with pytest.raises(SpecError, match="stands for none"):
        opt.Scenario.from_dict(given)
