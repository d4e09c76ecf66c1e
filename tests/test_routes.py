"""All routes give the same answer where they overlap, and no bound is below a plan that any of them finds."""

from typing import Any

import numpy as np
import pytest
from test_piecewise import floors_kept, on_scale, random_plans, random_problem

import optimizer as opt
from optimizer.solve.problem import Problem
from optimizer.solve.routes import pick_route
from optimizer.solve.separable import budget_of

AGREE = 1e-5


def one_of_all(seed: int) -> dict[str, Any]:
    """A random problem of 2 to 7 lines: each kind of rule, floor and curve in about a third of them."""
    rng = np.random.default_rng(seed + 10_000)
    n_lines = int(rng.integers(2, 8))
    alone = rng.random() < 0.4
    some = [bool(rng.random() < 0.35) and not alone for _ in range(6)]
    return random_problem(
        seed,
        n_lines,
        shaped=float(rng.choice([0.0, 0.0, 0.3, 0.7, 1.0])),
        against=bool(rng.random() < 0.2),
        shares=some[0] and n_lines > 2,
        floor=0.8 * some[1],
        cost=1.2 * some[2],
        least=0.8 * some[3],
        most=(n_lines + 1) // 2 * some[4],
        package=0.25 * some[5],
        unspent=bool(rng.random() < 0.3),
    )


def routes_of(scenario: opt.Scenario) -> list[str]:
    """The routes that can take a scenario."""
    problem = Problem(scenario)
    routes = ["mixed_integer"]
    if budget_of(problem) is not None:
        routes.append("separable")
    if not problem.curved and scenario.polyhedron.switches is None:
        routes.append("convex")
    return routes


def check_agreement(seed: int) -> tuple[str, float, float, float]:
    """Solve by every route and compare.

    Returns the kind, the largest difference, the largest gap and how far all bounds are above all plans.
    """
    scenario = opt.Scenario.from_dict(one_of_all(seed))
    plans = random_plans(scenario, np.random.default_rng(seed), 8)
    routes = routes_of(scenario)
    try:
        found = [opt.solve(scenario, route=route) for route in routes]
    except opt.InfeasibleError:
        assert not len(plans)
        return "infeasible", 0.0, 0.0, np.inf
    values = np.array([plan.certificate.value for plan in found])
    bounds = np.array([plan.certificate.bound for plan in found])
    spend = np.array([plan.spend.to_numpy() for plan in found])
    assert all(plan.certificate.guarantee == "global" for plan in found)
    assert np.ptp(values) <= AGREE, (routes, values)
    assert np.allclose(on_scale(scenario, spend), values, atol=1e-9)
    best = max(values.max(), on_scale(scenario, plans).max() if len(plans) else -np.inf)
    # Plans keep rules to rounding, and bounds are of all that do.
    assert bounds.min() >= best, (routes, bounds, values, best)
    for plan in spend:
        check_kept(scenario, plan)
    gap, clear = float((bounds - values).max()), float(bounds.min() - best)
    return "+".join(sorted(routes)), float(np.ptp(values)), gap, clear


def check_kept(scenario: opt.Scenario, spend: np.ndarray) -> None:
    """Rules hold to a millionth of the budget, floors as simulated."""
    money = scenario.spec.constraints.budget.amount
    assert np.all(spend >= 0.0)
    assert np.all(scenario.polyhedron.slack(spend) >= -1e-6 * money)
    switches = scenario.polyhedron.switches
    assert switches is None or switches.kept(spend, 1e-6 * money)
    # Nothing at all may be spent: then a ratio to spend has no value.
    assert not spend.any() or floors_kept(scenario, spend[None], 1e-6).all()


# 275 has pieces as narrow as 1e-10, over which the mixed-integer solver once lost the best plan.
@pytest.mark.parametrize("seed", [*range(40), 275])
def test_routes_agree_and_bounds_hold(seed: int) -> None:
    check_agreement(seed)


def test_the_route_is_picked_by_the_problem() -> None:
    picked = {
        "separable": ({"shaped": 1.0}, {"shaped": 0.0}),
        "convex": ({"shaped": 0.0, "shares": True}, {"shaped": 0.0, "floor": 0.8}),
        "mixed_integer": ({"shaped": 1.0, "shares": True}, {"shaped": 0.0, "most": 2}, {"package": 0.3}),
    }
    for route, kinds in picked.items():
        for kind in kinds:
            problem = Problem(opt.Scenario.from_dict(random_problem(0, **kind)))
            assert pick_route(problem).name == route


def test_a_route_by_name_is_used_or_refuses() -> None:
    plain = opt.Scenario.from_dict(random_problem(0, shaped=0.0))
    for route in ("separable", "convex", "mixed_integer"):
        assert opt.solve(plain, route=route).certificate.route == route
    shaped = opt.Scenario.from_dict(random_problem(0, shaped=1.0))
    with pytest.raises(opt.SolverError, match="falling returns alone"):
        opt.solve(shaped, route="convex")
    for rules in ({"shares": True}, {"floor": 0.8}, {"most": 2}):
        with pytest.raises(opt.SolverError, match="one budget and a range"):
            opt.solve(opt.Scenario.from_dict(random_problem(0, **rules)), route="separable")
    for rules in ({"most": 2}, {"least": 0.5}, {"package": 0.3}):
        with pytest.raises(opt.SolverError, match=r"no on/off rules and no packages"):
            opt.solve(opt.Scenario.from_dict(random_problem(0, shaped=0.0, **rules)), route="convex")


def test_running_out_of_time_tells_the_gap() -> None:
    scenario = opt.Scenario.from_dict(random_problem(0, 7, shaped=1.0, shares=True, floor=0.9, least=0.8))
    plan = opt.solve(scenario)
    hurried = opt.solve(scenario, time_limit=0.3)
    check_kept(scenario, hurried.spend.to_numpy())
    assert hurried.certificate.bound >= plan.certificate.value
    assert hurried.certificate.gap == pytest.approx(hurried.certificate.bound - hurried.certificate.value)
    assert (hurried.certificate.guarantee == "global") == (hurried.certificate.gap <= 1e-4)


def test_no_time_at_all_is_told() -> None:
    scenario = opt.Scenario.from_dict(random_problem(0, 7, shaped=1.0, shares=True, floor=0.9))
    with pytest.raises(opt.SolverError, match="found in 0 s") as error:
        opt.solve(scenario, time_limit=1e-9)
    assert "time_limit" in error.value.hint
