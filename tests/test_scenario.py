"""A scenario as a whole: loaded, resolved, hashed, and put together with its response file."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_model, make_scenario, scenario_on_file, write_yaml

import optimizer as opt

STARTER = Path(opt.__file__).parent / "starter.yaml"


RICH = {
    "lines": [
        {"name": "line0", "current": 300, "channel": "a", "market": "uk", "max": 900.0, "change": "free"},
        {"name": "line1", "current": 300.5, "channel": "b", "change": {"up": 1.0}},
        {"name": "line2", "current": 399.5, "channel": "b", "locked": True},
    ],
    "kpis": {
        "kpi0": {"direction": "maximize", "baseline": 12.5, "goal": "grow", "horizon": "distal"},
        "kpi1": {"direction": "minimize", "proxy_for": "kpi0", "horizon": "proximal"},
        "cost": {"ratio": ["spend", "kpi0"], "direction": "minimize"},
        "seen": {"sum": ["kpi0", 2]},
    },
    "constraints": {
        "budget": {"max": 1000.0},
        "change": {"up": 0.5, "down": 1},
        "shares": [{"select": {"channel": ["a", "b"]}, "max": 1.0, "name": "all"}],
    },
    "preferences": {
        "weights": {"kpi0": 0.7, "kpi1": 0.3},
        "scale": {"kpi0": "payoff", "kpi1": [100, 1e-7]},
        "floors": {"cost": 1e16},
    },
    "flighting": {"line2": [0.1, 0.2, 0.3, 0.4], "line1": [0, 0, 0, 1], "line0": [0.25, 0.25, 0.25, 0.25]},
    "carry_out": True,
    "platform_kpi": "kpi1",
    "claims": [{"kpi": "cost", "change": -0.1, "tolerance": 0.01}],
    "notes": ["ü: #hash, 'quotes' and \"more\""],
}


def rich() -> opt.Scenario:
    return opt.Scenario.from_dict(make_scenario(3, 2, changes=RICH))


def test_load_reads_what_from_dict_takes(tmp_path):
    data = make_scenario(3, 2, changes=RICH)
    path = write_yaml(data, tmp_path / "scenario.yaml")
    assert opt.Scenario.load(path).hash == opt.Scenario.from_dict(data).hash == opt.Scenario.load(str(path)).hash


def test_the_starter_scenario_loads():
    scenario = opt.Scenario.load(STARTER)
    assert scenario.objectives == ("orders", "awareness")


@pytest.mark.parametrize("how", ["dict", "yaml", "json as yaml"])
@pytest.mark.parametrize("which", ["plain", "rich", "starter", "single"])
def test_resolved_loads_again_with_the_same_hash_and_plans_the_same(tmp_path, which, how):
    scenario = {
        "plain": lambda: opt.Scenario.from_dict(make_scenario(2, 2)),
        "rich": rich,
        "starter": lambda: opt.Scenario.load(STARTER),
        "single": lambda: opt.Scenario.from_dict(make_scenario(2, 1)),
    }[which]()
    resolved = scenario.resolved()
    path = tmp_path / "resolved.yaml"
    if how == "dict":
        again = opt.Scenario.from_dict(resolved)
    elif how == "yaml":
        again = opt.Scenario.load(write_yaml(resolved, path))
    else:
        path.write_text(json.dumps(resolved, allow_nan=False), encoding="utf-8")
        again = opt.Scenario.load(path)
    assert again.hash == scenario.hash == resolved["hash"]
    assert again.resolved() == resolved
    assert again.objectives == scenario.objectives
    spend = np.linspace(1, 2, len(scenario.lines)) * 100
    np.testing.assert_array_equal(opt.simulate(again, spend), opt.simulate(scenario, spend))
    np.testing.assert_array_equal(again.polyhedron.A.toarray(), scenario.polyhedron.A.toarray())
    np.testing.assert_array_equal(again.polyhedron.b, scenario.polyhedron.b)


def test_resolved_spells_defaults_out():
    resolved = opt.Scenario.from_dict(make_scenario(2, 1)).resolved()
    assert resolved["horizon"] == {"start": "2026-01-05", "periods": 4, "every": "week"}
    assert resolved["flighting"] == "flat"
    assert resolved["carry_out"] is False
    assert resolved["lines"][0]["min"] == 0.0
    assert resolved["lines"][0]["locked"] is False
    assert resolved["lines"][0]["channel"] == "a"
    assert resolved["kpis"]["kpi0"]["role"] == "objective"
    assert resolved["kpis"]["kpi0"]["baseline"] == 0.0
    entry = resolved["response"]["kpi0"]["line0"]
    assert entry["adstock"]["normalised"] is True
    resolved = rich().resolved()
    assert {name: kpi["role"] for name, kpi in resolved["kpis"].items()} == {
        "kpi0": "objective",
        "kpi1": "objective",
        "cost": "guardrail",
        "seen": "monitor",
    }


def test_resolved_holds_plain_data_only():
    text = json.dumps(rich().resolved(), allow_nan=False)
    assert json.loads(text) == rich().resolved()


def test_an_edited_resolved_file_is_refused(tmp_path):
    path = write_yaml(rich().resolved(), tmp_path / "resolved.yaml")
    text = path.read_text(encoding="utf-8")
    assert text.count("300.5") == 1
    path.write_text(text.replace("300.5", "300.6"), encoding="utf-8")
    with pytest.raises(opt.SpecError, match="changed after it was resolved") as caught:
        opt.Scenario.load(path)
    assert caught.value.path == ("hash",)
    assert text.splitlines()[caught.value.line - 1].startswith("hash:")
    assert "hash" in caught.value.hint
    # Without its hash line the edited file is a scenario of its own.
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("hash:")]
    path.write_text("\n".join(kept), encoding="utf-8")
    assert opt.Scenario.load(path).hash != rich().hash


def test_every_change_of_content_changes_the_hash():
    base = make_scenario(3, 2, changes=RICH)

    def changed(*path: Any, to: Any) -> str:
        data = json.loads(json.dumps(base))
        part = data
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = to
        return opt.Scenario.from_dict(data).hash

    hashes = [
        opt.Scenario.from_dict(base).hash,
        changed("name", to="other"),
        changed("currency", to="GBP"),
        changed("horizon", "start", to="2026-01-12"),
        changed("horizon", "every", to="day"),
        changed("lines", 0, "current", to=300.0000001),
        changed("lines", 0, "market", to="de"),
        changed("lines", 1, "locked", to=True),
        changed("flighting", "line1", to=[1, 0, 0, 0]),
        changed("carry_out", to=False),
        changed("kpis", "kpi0", "baseline", to=12.6),
        changed("kpis", "kpi0", "goal", to="shrink"),
        changed("kpis", "seen", "sum", to=["kpi0", 3]),
        changed("response", "kpi0", "line0", to="none"),
        changed("response", "kpi0", "line1", "adstock", "length", to=2),
        changed("constraints", "budget", to={"total": 1000.0}),
        changed("constraints", "shares", to=[]),
        changed("preferences", "weights", "kpi0", to=0.70001),
        changed("preferences", "scale", "kpi0", to=[1.0, 2.0]),
        changed("preferences", "floors", "cost", to=7.0),
        changed("claims", to=[]),
        changed("notes", to=[]),
    ]
    assert len(set(hashes)) == len(hashes)


def test_spelling_does_not_change_the_hash(tmp_path):
    data = make_scenario(2, 1)
    spelled = json.loads(json.dumps(data))
    spelled["horizon"] = {"every": "week", "periods": 4, "start": date(2026, 1, 5)}
    spelled["flighting"] = "flat"
    spelled["lines"][0] |= {"min": 0, "current": 500}
    spelled["kpis"]["kpi0"] |= {"baseline": 0, "role": "objective"}
    spelled = dict(reversed(spelled.items()))
    assert opt.Scenario.from_dict(spelled).hash == opt.Scenario.from_dict(data).hash


def test_the_hash_is_the_same_in_another_process():
    import subprocess
    import sys

    code = "import json, sys; import optimizer as opt;print(opt.Scenario.from_dict(json.load(sys.stdin)).hash)"
    text = json.dumps(make_scenario(3, 2, changes=RICH))
    found = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == rich().hash


def test_the_caller_s_data_is_left_as_it_was():
    data = make_scenario(3, 2, changes=RICH)
    before = json.dumps(data)
    scenario = opt.Scenario.from_dict(data)
    scenario.resolved()
    scenario.with_scale({"kpi0": (0.0, 1.0)})
    assert json.dumps(data) == before


# Response files


@pytest.mark.parametrize(
    ("flighting", "path", "said"),
    [
        ({"line0": [0.5, 0.5]}, ("flighting",), "line1"),
        ({"line0": [0.5, 0.5], "line1": [1.0]}, ("flighting", "line1"), "1 shares for 2 periods"),
        ({"line0": [0.5, 0.5], "line1": [1.0, 0.0, 0.0]}, ("flighting", "line1"), "3 shares for 2 periods"),
        ({"line0": [0.5, 0.5], "line1": [0.5, 0.4]}, ("flighting", "line1"), "0.9"),
        ({"line0": [0.5, 0.5], "line1": [0.0, 0.0]}, ("flighting", "line1"), "add up to 0"),
        ({"line0": [0.5, 0.5], "line1": [0.5, 0.5], "tv": [0.5, 0.5]}, ("flighting", "tv"), "unknown line"),
    ],
)
def test_flighting_that_cannot_be(flighting, path, said):
    with pytest.raises(opt.SpecError, match=said) as caught:
        opt.Scenario.from_dict(make_scenario(2, 1, periods=2, changes={"flighting": flighting}))
    assert caught.value.path == path


def test_negative_flighting_names_its_period():
    flighting = {"line0": [0.5, 0.5], "line1": [1.5, -0.5]}
    with pytest.raises(opt.SpecError) as caught:
        opt.Scenario.from_dict(make_scenario(2, 1, periods=2, changes={"flighting": flighting}))
    assert caught.value.path == ("flighting", "line1", 1)


def test_shares_by_line_and_period():
    flat = opt.Scenario.from_dict(make_scenario(2, 1, periods=4))
    assert flat.shares.tolist() == [[0.25] * 4] * 2
    assert rich().shares.tolist() == [[0.25] * 4, [0, 0, 0, 1], [0.1, 0.2, 0.3, 0.4]]


@pytest.mark.parametrize(
    ("block", "value", "path"),
    [
        ("platform_kpi", "nowhere", ("platform_kpi",)),
        ("claims", [{"kpi": "nowhere", "change": 0.1, "tolerance": 0.1}], ("claims", 0, "kpi")),
        ("claims", [{"kpi": "kpi0", "tolerance": 0.1}], ("claims", 0)),
        ("claims", [{"kpi": "kpi0", "today": 1.0, "tolerance": 0.1}], ("claims", 0)),
        ("claims", [{"kpi": "kpi0", "change": 1.0, "today": 1.0, "plan": 2.0, "tolerance": 0.1}], ("claims", 0)),
        ("claims", [{"kpi": "kpi0", "change": 0.1, "tolerance": 0.0}], ("claims", 0, "tolerance")),
        ("lines", [], ("lines",)),
        ("kpis", {}, ("kpis",)),
        ("name", "", ("name",)),
        ("currency", "eur", ("currency",)),
    ],
)
def test_parts_that_cannot_be(block, value, path):
    with pytest.raises(opt.SpecError) as caught:
        opt.Scenario.from_dict(make_scenario(2, 1) | {block: value})
    assert caught.value.path == path


def test_two_lines_of_one_name():
    data = make_scenario(3, 1)
    data["lines"][2]["name"] = "line0"
    with pytest.raises(opt.SpecError, match="line0") as caught:
        opt.Scenario.from_dict(data)
    assert caught.value.path == ("lines", 2, "name")


def test_with_scale_pins_what_it_is_given_and_nothing_else():
    scenario = rich()
    pinned = scenario.with_scale({"kpi0": (np.float64(10.0), 20)})
    scale = pinned.spec.preferences.scale
    assert scale == {"kpi0": [10.0, 20.0], "kpi1": [100.0, 1e-7]}
    assert scenario.spec.preferences.scale["kpi0"] == "payoff"
    one, other = scenario.resolved(), pinned.resolved()
    assert other["hash"] != one["hash"]
    for data in (one, other):
        del data["preferences"]["scale"], data["hash"]
    assert one == other
    # A resolved scenario may be pinned too: its hash was of the content before.
    assert opt.Scenario.from_dict(scenario.resolved()).with_scale({"kpi0": (10.0, 20.0)}).hash == pinned.hash


def test_with_scale_keeps_the_response_file(tmp_path):
    scenario = scenario_on_file(tmp_path, make_model(notes=("a note",)))
    pinned = scenario.with_scale({"kpi0": (1.0, 2.0)})
    assert pinned.notes == scenario.notes
    np.testing.assert_array_equal(opt.simulate(pinned, np.ones(3)), opt.simulate(scenario, np.ones(3)))


def test_with_scale_refuses_a_reversed_scale():
    with pytest.raises(opt.SpecError, match="worst to best"):
        rich().with_scale({"kpi0": (20.0, 10.0)})


def test_with_limits_moves_these_lines_alone():
    scenario = rich()
    first, *others = scenario.spec.lines
    moved = scenario.with_limits({first.name: (np.float64(1.0), 5e6)})
    assert (moved.spec.lines[0].min, moved.spec.lines[0].max) == (1.0, 5e6)
    assert list(moved.spec.lines[1:]) == others
    assert moved.response is scenario.response
    again = moved.resolved()
    del again["hash"]
    assert opt.Scenario.from_dict(again).polyhedron.b.tolist() == moved.polyhedron.b.tolist()
    with pytest.raises(opt.SpecError, match="there is no line 'radio'"):
        scenario.with_limits({"radio": (0.0, 1.0)})
    with pytest.raises(opt.SpecError) as caught:
        scenario.with_limits({first.name: (2.0, 1.0)})
    assert caught.value.path[:2] == ("lines", 0)


def test_notes_come_from_the_scenario_and_its_response(tmp_path):
    model = replace(make_model(), notes=("the evidence is thin",))
    scenario = scenario_on_file(tmp_path, model, changes={"notes": ["figures are made up"]})
    assert scenario.notes == ("figures are made up", "the evidence is thin")


def test_a_scenario_is_frozen():
    with pytest.raises(AttributeError):
        rich().spec = None
    with pytest.raises(Exception, match="frozen"):
        rich().spec.name = "other"
