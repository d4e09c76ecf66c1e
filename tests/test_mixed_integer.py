"""On/off rules against brute force over every choice of lines."""

import itertools

import pytest
from test_convex import problem

import optimizer as opt


def with_switches(seed: int, n_lines: int) -> dict:
    data = problem(seed, n_lines, 2)
    data["constraints"].pop("change")
    data["kpis"]["kpi 2"] = {"direction": "maximize", "role": "guardrail", "sum": ["kpi 0", "kpi 1"]}
    today = opt.simulate(opt.Scenario.from_dict(data), opt.Scenario.from_dict(data).current)
    data["preferences"]["floors"] = {"kpi 2": float(today["kpi 2"].mean() * 0.8)}
    data["constraints"]["minimum_if_on"] = [{"select": {"channel": "a"}, "amount": 220.0}]
    data["constraints"]["most_on"] = [{"lines": n_lines - 2}, {"select": {"channel": "b"}, "lines": 1}]
    return data


@pytest.mark.parametrize("seed", [0, 1, 2, 4, 8])
def test_equals_the_best_of_every_choice_of_lines(seed: int) -> None:
    data = with_switches(seed, 5)
    plan = opt.solve(opt.Scenario.from_dict(data))
    scale = plan.scenario.spec.preferences.scale
    best = -1.0
    for on in itertools.product((False, True), repeat=5):
        lines = [
            line | ({"min": 220.0 if line["channel"] == "a" else 0.0} if chosen else {"max": 0.0})
            for line, chosen in zip(data["lines"], on, strict=True)
        ]
        if (
            sum(on) > 3
            or sum(chosen for line, chosen in zip(lines, on, strict=True) if line["channel"] == "b") > 1
        ):
            continue
        constraints = {k: v for k, v in data["constraints"].items() if k not in ("minimum_if_on", "most_on")}
        preferences = data["preferences"] | {"scale": scale}
        held = data | {"lines": lines, "constraints": constraints, "preferences": preferences}
        try:
            best = max(best, opt.solve(opt.Scenario.from_dict(held)).certificate.value)
        except opt.InfeasibleError:
            continue
    assert best > -1.0
    assert plan.certificate.value == pytest.approx(best, abs=2e-6)
    assert plan.certificate.bound >= best
    assert plan.certificate.gap <= 1e-5
    on = plan.spend[plan.spend > 1e-3]
    assert (on.drop(["line 1", "line 3"], errors="ignore") >= 220.0 - 1e-3).all()
    assert len(on) <= 3
    assert len(on.index.intersection(["line 1", "line 3"])) <= 1
    assert plan.certificate.route == "mixed_integer"
    rules = plan.rules
    assert rules.loc["at most 1 on of channel b", "slack"] == 1 - (plan.spend[["line 1", "line 3"]] > 1).sum()
    for line in ("line 0", "line 2", "line 4"):
        if plan.spend[line] > 1:
            assert rules.loc[f"{line}: at least 220 if on", "slack"] == pytest.approx(plan.spend[line] - 220.0)
        else:
            assert f"{line}: at least 220 if on" not in rules.index


def test_loosening_an_on_off_rule_never_makes_the_plan_worse() -> None:
    data = with_switches(11, 6)
    data["preferences"]["scale"] = dict(
        opt.solve(opt.Scenario.from_dict(problem(11, 6, 2))).scenario.spec.preferences.scale
    )
    values = []
    for most, amount in ((3, 260.0), (4, 260.0), (4, 150.0), (6, 50.0)):
        data["constraints"]["most_on"] = [{"lines": most}]
        data["constraints"]["minimum_if_on"][0]["amount"] = amount
        values.append(opt.solve(opt.Scenario.from_dict(data)).certificate.value)
    assert all(later >= earlier - 1e-6 for earlier, later in itertools.pairwise(values))
