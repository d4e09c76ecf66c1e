"""Each way to state a trade-off: what never changes a plan, and what each promises."""

import copy
import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_convex import assert_same, problem, shares

import optimizer as opt

PROPERTY = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
MODES = ("weights", "values", "exchange", "targets", "priorities")


def stated(mode: str, seed: int = 0, n_lines: int = 5, n_kpis: int = 2) -> dict:
    """A random scenario whose trade-off is stated in one of the modes."""
    data = problem(seed, n_lines, n_kpis)
    names = list(data["kpis"])
    if mode == "weights":
        return data
    frozen = opt.solve(opt.Scenario.from_dict(data)).scenario.spec.preferences.scale
    if mode == "values":
        data["preferences"] = {"values": {name: 3.0 + 2 * i for i, name in enumerate(names)}}
    elif mode == "exchange":
        pairs = itertools.pairwise(names)
        data["preferences"] = {"exchange": [{one: 2.0, other: 3.0} for one, other in pairs]}
    elif mode == "targets":
        targets = {name: 0.4 * frozen[name][0] + 0.6 * frozen[name][1] for name in names}
        data["preferences"] = {"targets": targets, "scale": dict.fromkeys(names, "payoff")}
    else:
        data["preferences"] = {"priorities": [{"kpi": names[0], "slack": 0.01}, *names[1:]]}
    return data


def rescaled(data: dict, name: str, factor: float) -> dict:
    """The same scenario with one KPI counted in another unit."""
    data = copy.deepcopy(data)
    for entry in data["response"][name].values():
        entry["curve"]["scale"] *= factor
    preferences = data["preferences"]
    for block, power in (("values", -1), ("targets", 1)):
        if name in preferences.get(block, {}):
            preferences[block][name] *= factor**power
    for pair in preferences.get("exchange", []):
        if name in pair:
            pair[name] *= factor
    return data


@pytest.mark.parametrize("mode", MODES)
@PROPERTY
@given(seed=st.integers(0, 30), exponent=st.integers(-6, 6), kpi=st.integers(0, 1))
def test_unit_never_changes_the_plan(mode: str, seed: int, exponent: int, kpi: int) -> None:
    data = stated(mode, seed)
    assert_same(shares(data), shares(rescaled(data, f"kpi {kpi}", 10.0**exponent)))


@pytest.mark.parametrize("mode", MODES)
@PROPERTY
@given(seed=st.integers(0, 30), exponent=st.integers(-6, 6))
def test_currency_never_changes_the_plan(mode: str, seed: int, exponent: int) -> None:
    data, factor = stated(mode, seed), 10.0**exponent
    before, other = shares(data), copy.deepcopy(data)
    for line in other["lines"]:
        line["current"], line["max"] = line["current"] * factor, line["max"] * factor
    for by_line in other["response"].values():
        for entry in by_line.values():
            curve = entry["curve"]
            for name in {"half", "knee"} & set(curve):
                curve[name] *= factor
            if curve["kind"] == "power":
                curve["scale"] /= factor ** curve["exponent"]
    other["constraints"]["budget"]["total"] *= factor
    for name in other["preferences"].get("values", {}):
        other["preferences"]["values"][name] *= factor
    assert_same(before, shares(other))


@pytest.mark.parametrize("mode", MODES)
@PROPERTY
@given(seed=st.integers(0, 30), order=st.permutations(range(5)))
def test_order_never_changes_the_plan(mode: str, seed: int, order: list[int]) -> None:
    data = stated(mode, seed)
    other = copy.deepcopy(data)
    other["lines"] = [other["lines"][i] for i in order]
    for block in ("kpis", "response"):
        other[block] = dict(reversed(other[block].items()))
    for block in ("weights", "values", "targets", "scale"):
        if block in other["preferences"]:
            other["preferences"][block] = dict(reversed(other["preferences"][block].items()))
    for index, pair in enumerate(other["preferences"].get("exchange", [])):
        other["preferences"]["exchange"][index] = dict(reversed(pair.items()))
    assert_same(shares(data), shares(other))


@PROPERTY
@given(seed=st.integers(0, 60), slack=st.floats(0.0, 0.1))
def test_priorities_never_cost_the_first_more_than_its_slack(seed: int, slack: float) -> None:
    data = stated("priorities", seed, n_kpis=3)
    data["preferences"]["priorities"][0] = {"kpi": "kpi 0", "slack": slack}
    alone = copy.deepcopy(data)
    alone["preferences"] = {}
    for name in ("kpi 1", "kpi 2"):
        alone["kpis"][name]["role"] = "monitor"
    best = opt.solve(opt.Scenario.from_dict(alone)).certificate.value
    plan = opt.solve(opt.Scenario.from_dict(data))
    assert plan.outcomes.loc["kpi 0", "expected"] >= best * (1 - slack) * (1 - 1e-6)
    # The slack is used: the second KPI is better than where the first stands alone.
    if slack > 0.001:
        first = opt.solve(opt.Scenario.from_dict(alone)).outcomes.loc["kpi 1", "expected"]
        assert plan.outcomes.loc["kpi 1", "expected"] > first


def test_values_maximise_money() -> None:
    data = stated("values", 3)
    plan = opt.solve(opt.Scenario.from_dict(data))
    rng = np.random.default_rng(0)
    spend = 1000.0 * rng.dirichlet(np.ones(5), 3000)
    scenario = plan.scenario
    keep = np.all(spend @ scenario.polyhedron.A.T.toarray() <= scenario.polyhedron.b + 1e-9, axis=1)
    assert keep.sum() > 50
    kpis = opt.simulate(scenario, spend[keep]).groupby(level="plan").mean()
    money = 3.0 * kpis["kpi 0"] + 5.0 * kpis["kpi 1"]
    assert plan.certificate.measure == "EUR"
    assert money.max() <= plan.certificate.bound
    assert plan.certificate.value == pytest.approx(
        3 * plan.outcomes.expected["kpi 0"] + 5 * plan.outcomes.expected["kpi 1"]
    )


def test_exchange_equals_the_weights_it_resolves_to() -> None:
    data = stated("exchange", 4, n_kpis=3)
    plan = opt.solve(opt.Scenario.from_dict(data))
    weighted = problem(4, 5, 3)
    scale = opt.solve(opt.Scenario.from_dict(weighted)).scenario.spec.preferences.scale
    # 2 of one are worth 3 of the next, so one of the next is worth 2/3 of it.
    worth = {"kpi 0": 1.0, "kpi 1": 2 / 3, "kpi 2": 4 / 9}
    weighted["preferences"]["weights"] = {k: w * (scale[k][1] - scale[k][0]) for k, w in worth.items()}
    assert_same((plan.spend / plan.spend.sum()).to_dict(), shares(weighted))


def test_targets_within_reach_are_met_and_out_of_reach_are_missed_evenly() -> None:
    data = stated("targets", 5)
    scale = opt.solve(opt.Scenario.from_dict(problem(5, 5, 2))).scenario.spec.preferences.scale
    data["preferences"]["scale"] = dict(scale)
    data["preferences"]["targets"] = {name: worst + 0.3 * (best - worst) for name, (worst, best) in scale.items()}
    plan = opt.solve(opt.Scenario.from_dict(data))
    for name, target in data["preferences"]["targets"].items():
        assert plan.outcomes.loc[name, "expected"] >= target
    data["preferences"]["targets"] = {name: worst + 1.5 * (best - worst) for name, (worst, best) in scale.items()}
    plan = opt.solve(opt.Scenario.from_dict(data))
    missed = [
        (data["preferences"]["targets"][name] - plan.outcomes.loc[name, "expected"]) / (best - worst)
        for name, (worst, best) in scale.items()
    ]
    assert missed[0] == pytest.approx(missed[1], abs=1e-3)


@pytest.mark.parametrize("mode", ["weights", "values", "targets", "priorities"])
def test_tightening_a_floor_never_improves_the_objective(mode: str) -> None:
    data = stated(mode, 6)
    data["preferences"]["scale"] = dict(
        opt.solve(opt.Scenario.from_dict(problem(6, 5, 2))).scenario.spec.preferences.scale
    )
    free = opt.solve(opt.Scenario.from_dict(data))
    level, top = free.outcomes.loc["kpi 1", "expected"], data["preferences"]["scale"]["kpi 1"][1]
    values = [free.certificate.value]
    for share in (0.2, 0.5, 0.8):
        data["preferences"]["floors"] = {"kpi 1": float(level + share * (top - level))}
        plan = opt.solve(opt.Scenario.from_dict(data))
        assert plan.outcomes.loc["kpi 1", "expected"] >= data["preferences"]["floors"]["kpi 1"] * (1 - 1e-9)
        if mode == "priorities":
            values.append(plan.outcomes.loc["kpi 0", "expected"])
        else:
            values.append(plan.certificate.value)
    checked = values[1:] if mode == "priorities" else values
    assert all(later <= earlier + 1e-9 * abs(earlier) for earlier, later in itertools.pairwise(checked))


def test_recall_floor_pattern() -> None:
    """A guardrail with a hard floor, the other KPI maximised under it: slack and price are told."""
    data = problem(8, 5, 2)
    data["kpis"]["kpi 1"]["role"] = "guardrail"
    data["preferences"] = {}
    free = opt.solve(opt.Scenario.from_dict(data))
    level = float(free.outcomes.loc["kpi 1", "expected"])
    data["preferences"]["floors"] = {"kpi 1": level * 0.9}
    loose = opt.solve(opt.Scenario.from_dict(data)).rules.loc[f"kpi 1 at least {level * 0.9:g}"]
    assert loose["slack"] == pytest.approx(level * 0.1, rel=1e-4)
    assert not loose["binding"]
    assert loose["shadow_price"] == 0.0
    data["preferences"]["floors"] = {"kpi 1": level * 1.01}
    held = opt.solve(opt.Scenario.from_dict(data))
    tight = held.rules.loc[f"kpi 1 at least {level * 1.01:g}"]
    assert tight["binding"]
    assert tight["shadow_price"] > 0
    assert held.outcomes.loc["kpi 1", "expected"] == pytest.approx(level * 1.01, rel=1e-6)
    assert held.outcomes.loc["kpi 0", "expected"] < free.outcomes.loc["kpi 0", "expected"]
