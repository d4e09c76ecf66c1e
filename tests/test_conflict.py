"""Infeasible problems: the set named is smallest, and each way out is one."""

import numpy as np
import pytest
from scipy.optimize import linprog
from test_convex import problem

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
