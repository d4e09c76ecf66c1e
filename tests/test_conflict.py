"""Infeasible problems: the set named is smallest, and each way out is one."""

import numpy as np
import pytest
from scipy.optimize import linprog
from test_convex import problem
from test_piecewise import grid, random_problem

import optimizer as opt
from optimizer.solve.conflict import find_conflict


def over_constrained(seed: int) -> dict:
    """A scenario whose rules may well conflict: narrow bounds, shares and groups drawn at random."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 9))
    data = problem(seed, n, 1, rules=False)
    for line in data["lines"]:
        line["current"] = float(rng.uniform(50, 400))
        line["min"] = float(rng.uniform(0, 200))
        line["max"] = float(line["min"] + rng.uniform(10, 300))
        line["market"] = str(rng.choice(["UK", "IE", "FR"]))
    markets = sorted({line["market"] for line in data["lines"]})
    data["constraints"] = {
        "budget": {"total": 1000.0},
        "change": {"up": float(rng.uniform(0.2, 1.0)), "down": float(rng.uniform(0.1, 0.6))},
        "shares": [
            {"select": {"market": market}, "min": float(rng.uniform(0, 0.4)), "max": float(rng.uniform(0.4, 0.8))}
            for market in markets[:2]
        ],
        "groups": [{"select": {"market": markets[-1]}, "max": float(rng.uniform(100, 500))}],
    }
    return data


def feasible(scenario: opt.Scenario, rows: list[int], loosened: dict[int, float] | None = None) -> bool:
    """Whether some spend >= 0 keeps these rows (a linear program of its own)."""
    polyhedron = scenario.polyhedron
    A, b = polyhedron.A.toarray(), polyhedron.b.copy()
    give = np.zeros(len(b))
    for row, amount in (loosened or {}).items():
        give[row] = amount
    up = list(rows)
    down = [row for row in rows if polyhedron.equal[row]]
    matrix = np.vstack([A[up], -A[down]])
    limit = np.concatenate([(b + give)[up], -(b - give)[down]])
    return linprog(np.zeros(A.shape[1]), A_ub=matrix, b_ub=limit, bounds=(0, None)).status == 0


def test_the_set_is_smallest_and_each_relaxation_restores_feasibility() -> None:
    found = 0
    for seed in range(400):
        scenario = opt.Scenario.from_dict(over_constrained(seed))
        everything = list(range(len(scenario.polyhedron.names)))
        conflict = find_conflict(scenario)
        assert (conflict is None) == feasible(scenario, everything)
        if conflict is None:
            continue
        rows = [scenario.polyhedron.names.index(name) for name in conflict.rules]
        assert not feasible(scenario, rows)
        for row in rows:
            assert feasible(scenario, [other for other in rows if other != row])
        for name, amount in conflict.relaxations.items():
            row = scenario.polyhedron.names.index(name)
            assert feasible(scenario, everything, {row: amount + 1e-6})
            assert not feasible(scenario, everything, {row: amount * 0.999 - 1e-6})
        mix = {scenario.polyhedron.names.index(name): amount + 1e-6 for name, amount in conflict.together.items()}
        assert feasible(scenario, everything, mix)
        found += 1
        if found == 100:
            return
    raise AssertionError(f"only {found} over-constrained problems")


def test_the_message_names_rules_and_ways_out() -> None:
    data = problem(1, 5, 1)
    data["constraints"]["budget"]["total"] = 10.0
    with pytest.raises(opt.InfeasibleError) as caught:
        opt.solve(opt.Scenario.from_dict(data))
    assert "budget: total" in caught.value.message
    assert "loosen 'budget: total' by 190 EUR" in caught.value.hint


def test_floors_out_of_reach_say_what_is_in_reach() -> None:
    data = problem(1, 5, 2, floors=True)
    best = opt.solve(opt.Scenario.from_dict(data | {"preferences": {"priorities": ["kpi 0", "kpi 1"]}}))
    level = best.outcomes.loc["kpi 0", "expected"]
    data["preferences"]["floors"] = {"kpi 0": float(level * 1.02)}
    with pytest.raises(opt.InfeasibleError) as caught:
        opt.solve(opt.Scenario.from_dict(data))
    assert f"kpi 0 at least {level * 1.02:g}" in caught.value.message
    assert f"could be {level:,.6g}" in caught.value.hint
    data["preferences"]["floors"] = {"cost": 0.5}
    with pytest.raises(opt.InfeasibleError, match=r"cost at most 0\.5"):
        opt.solve(opt.Scenario.from_dict(data))


def test_on_off_rules_can_conflict() -> None:
    data = problem(1, 4, 1, rules=False)
    for line in data["lines"]:
        line["max"] = 300.0
    data["constraints"]["most_on"] = [{"lines": 2}]
    with pytest.raises(opt.InfeasibleError, match="at most 2 on"):
        opt.solve(opt.Scenario.from_dict(data))


@pytest.mark.parametrize("seed", range(3))
def test_floors_out_of_reach_of_shaped_curves_are_named_with_what_is_in_reach(seed: int) -> None:
    data = random_problem(seed, 3, shaped=1.0, shares=True, most=2)
    data["kpis"]["both"] = {"direction": "maximize", "role": "guardrail", "sum": ["kpi 0", "kpi 1"]}
    data["preferences"]["floors"] = {"both": 1e4}
    with pytest.raises(opt.InfeasibleError, match="both at least 10000") as error:
        opt.solve(opt.Scenario.from_dict(data))
    reach = float(error.value.hint.split("could be ")[1].split(",")[0])
    data["preferences"]["floors"] = {}
    scenario = opt.Scenario.from_dict(data)
    found = opt.simulate(scenario, grid(scenario, 200))["both"].max()
    assert reach >= found * (1 - 1e-4)
    data["preferences"]["floors"] = {"both": reach * (1 - 1e-4)}
    assert opt.solve(opt.Scenario.from_dict(data)).certificate.route == "mixed_integer"


def test_packages_that_do_not_add_up_to_the_budget_are_named() -> None:
    data = random_problem(0, 3)
    for line in data["lines"]:
        line["package"] = 300.0
    with pytest.raises(opt.InfeasibleError, match=r"budget: total.*line 0: whole packages of 300") as error:
        opt.solve(opt.Scenario.from_dict(data))
    assert "loosen 'budget: total' by 100 EUR" in error.value.hint


def test_a_locked_line_that_is_no_whole_number_of_packages_is_named() -> None:
    data = random_problem(0, 3)
    data["lines"][0] |= {"current": 250.0, "locked": True, "package": 100.0}
    scenario = opt.Scenario.from_dict(data)
    conflict = find_conflict(scenario)
    assert conflict is not None
    assert conflict.rules == ("line 0: locked", "line 0: whole packages of 100")
    assert conflict.relaxations == pytest.approx({"line 0: locked": 50.0})
