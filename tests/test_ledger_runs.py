"""Runs in the ledger: what is recorded, and that it can be computed again or says what stands in the way."""

from __future__ import annotations

import doctest
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import make_model, make_scenario, scenario_on_file
from naive_batch import make_accounts, make_rules

import optimizer as opt
import optimizer.ledger
from optimizer.batch.rules import load_rules
from optimizer.ledger import Ledger, RefusedError
from optimizer.report.files import yaml_text


@pytest.fixture
def ledger(ledger_place: str) -> Iterator[Ledger]:
    with Ledger(ledger_place, create=True) as ledger:
        yield ledger


def planned(ledger: Ledger, scenario: opt.Scenario, file: Path | None = None, **options: Any) -> str:
    plan = opt.solve(scenario, **options)
    return ledger.runs.record_plan(scenario, opt.recommend(scenario, plan), "ann", file=file, options=options)


def run_of(id: str) -> str:
    return id.partition("/")[0]


def test_the_example_in_the_docstring_runs() -> None:
    assert doctest.testmod(optimizer.ledger).failed == 0


def test_a_plan_is_recorded_with_all_it_came_from_and_replays(ledger: Ledger) -> None:
    scenario = opt.Scenario.from_dict(make_scenario(kpis=2))
    id = planned(ledger, scenario, time_limit=30.0)
    row = ledger.runs.get(run_of(id))
    assert row.actor == "ann"
    assert row.payload["scenario"]["hash"] == scenario.hash
    assert row.payload["versions"]["numpy"]
    assert row.payload["kpis"] == {"kpi0": 1, "kpi1": 1}
    assert row.payload["options"] == {"time_limit": 30.0}
    decision = ledger.decisions.get(id)
    assert (decision.state, decision.level, decision.target) == ("draft", "confirm", "test")
    assert ledger.decisions.spend(id) == pytest.approx(opt.solve(scenario).totals.to_dict())
    found = ledger.replay(run_of(id))
    assert (found.sound, found.reproduced, found.changed, found.found) == (True, True, (), found.recorded)
    assert ledger.verify().sound


def test_a_scale_from_the_payoff_table_replays(ledger: Ledger) -> None:
    data = make_scenario(kpis=2)
    data["preferences"]["scale"] = {"kpi0": "payoff", "kpi1": "payoff"}
    base = opt.Scenario.from_dict(data)
    assert ledger.replay(run_of(planned(ledger, base))).sound
    assert ledger.replay(run_of(planned(ledger, base.variant("more", budget=1.1)))).sound


def test_a_changed_scenario_file_is_named_with_what_changed_in_it(ledger: Ledger, tmp_path: Path) -> None:
    file, data = tmp_path / "mine.yaml", make_scenario()
    file.write_text(yaml_text(data))
    run = run_of(planned(ledger, opt.Scenario.load(file), file))
    file.write_text("# a remark changes nothing\n" + yaml_text(data))
    assert ledger.replay(run).sound
    data["constraints"]["budget"]["total"] = 900.0
    file.write_text(yaml_text(data))
    found = ledger.replay(run)
    assert (found.sound, found.reproduced) == (False, True)
    assert found.changed == (f"scenario {file} was changed: constraints",)
    for text, says in (("name: [", "cannot be read"), (yaml_text({**data, "name": "other"}), "was changed: name")):
        file.write_text(text)
        assert says in ledger.replay(run).changed[0]
    file.unlink()
    assert ledger.replay(run).changed == (f"scenario {file} is missing",)


def test_a_changed_response_file_is_named(ledger: Ledger, tmp_path: Path) -> None:
    scenario = scenario_on_file(tmp_path, make_model())
    run, file = run_of(planned(ledger, scenario)), tmp_path / "response.nc"
    assert ledger.replay(run).sound
    make_model(seed=1).save(file)
    found = ledger.replay(run)
    assert (found.reproduced, found.found) == (False, None)
    assert found.changed == (f"response file {file} was changed",)
    assert found.why == "an input has changed since"
    file.unlink()
    assert ledger.replay(run).changed == (f"response file {file} is missing",)


def test_a_changed_version_is_named(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(planned(ledger, opt.Scenario.from_dict(make_scenario())))
    now = ledger.runs.get(run).payload["versions"]
    monkeypatch.setattr("optimizer.ledger.replays.versions", lambda: {**now, "scipy": "99.0"})
    assert ledger.replay(run).changed == (f"scipy is 99.0, was {now['scipy']}",)


def test_other_numbers_are_told(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(planned(ledger, opt.Scenario.from_dict(make_scenario())))
    monkeypatch.setattr("optimizer.ledger.replays.numbers_hash", lambda plan: "other")
    found = ledger.replay(run)
    assert (found.sound, found.reproduced, found.found) == (False, False, "other")
    assert found.why.startswith("other numbers from the same inputs")
    with pytest.raises(opt.DataError, match="no run 'run-99'"):
        ledger.replay("run-99")


def test_a_kpi_cannot_change_without_a_new_version(ledger: Ledger) -> None:
    data = make_scenario()
    planned(ledger, opt.Scenario.from_dict(data))
    data["kpis"]["kpi0"] |= {"baseline": 7.0, "role": "objective"}
    planned(ledger, opt.Scenario.from_dict(data))
    data["kpis"]["kpi0"]["calculation"] = "counted otherwise"
    changed = opt.Scenario.from_dict(data)
    before = ledger.verify().rows
    with pytest.raises(RefusedError, match="'kpi0' is not that of version 1 in the ledger: calculation"):
        planned(ledger, changed)
    assert ledger.verify().rows == before
    ledger.kpis.define("kpi0", changed.spec.kpis["kpi0"], "bob", "children do not buy")
    row = ledger.runs.get(run_of(planned(ledger, changed)))
    assert row.payload["kpis"] == {"kpi0": 2}
    ledger.kpis.rollback("kpi0", "bob", "they do")
    with pytest.raises(RefusedError, match="version 3"):
        planned(ledger, changed)


def test_a_batch_is_recorded_account_by_account_and_replays(ledger: Ledger, tmp_path: Path) -> None:
    accounts, rules = make_accounts(6), load_rules(make_rules())
    names = dict(
        zip(dict.fromkeys(accounts["account"]), ("a/b", "=1+1", "tab\there", " x ", "ok", "bad"), strict=True)
    )
    accounts["account"] = accounts["account"].map(names)
    accounts.loc[accounts["account"] == "bad", "current"] = -1.0
    file, rules_file = tmp_path / "a.parquet", tmp_path / "rules.yaml"
    accounts.to_parquet(file)
    rules_file.write_text(json.dumps(make_rules()))
    found = opt.reallocate(file, rules, out=tmp_path / "out", chunk=2)
    run = ledger.runs.record_batch(found, file, rules, "ann", file=rules_file)
    recorded = {each.target: each for each in ledger.decisions.list(run)}
    assert list(recorded) == ["a/b", "=1+1", r"tab\there", recorded_name(" x "), "ok"]
    for name, decision in zip(found.accounts.index, recorded.values(), strict=True):
        assert decision.level == found.accounts.loc[name, "level"]
        assert ledger.decisions.spend(decision.id) == found.lines.loc[name, "plan"].to_dict()
    assert ledger.decisions.submit(f"{run}/a/b", "ann").target == "a/b"
    assert ledger.replay(run).sound
    rules_file.write_text(json.dumps({**make_rules(), "tolerance": 1e-4}))
    assert ledger.replay(run).changed == (f"rules {rules_file} were changed",)
    accounts.assign(current=accounts["current"] * 2).to_parquet(file)
    changed = ledger.replay(run)
    assert (changed.found, changed.changed[1]) == (None, f"accounts {file} was changed")
    assert ledger.verify().sound


def recorded_name(name: str) -> str:
    from optimizer.ledger.runs import shown

    found = shown(name)
    assert found == found.strip()
    assert found != shown(name.strip())
    return found


def test_a_batch_in_memory_has_the_hash_of_the_same_on_file(tmp_path: Path) -> None:
    from optimizer.ledger.runs import batch_hash

    accounts, rules = make_accounts(5), make_rules()
    held = opt.reallocate(accounts, rules, chunk=1)
    assert batch_hash(held) == batch_hash(opt.reallocate(accounts, rules, out=tmp_path / "out", chunk=4))
    other = opt.reallocate(accounts.assign(current=accounts["current"] * 1.1), rules)
    assert batch_hash(held) != batch_hash(other)
