"""The piecewise program against plans drawn at random, and against every plan of a fine grid."""

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, milp

import optimizer as opt
from optimizer.measured import kpi_means
from optimizer.simulate import Simulator
from optimizer.solve.forms import Goal
from optimizer.solve.mixed_integer import MixedIntegerSolver
from optimizer.solve.piecewise import PiecewiseModel
from optimizer.solve.problem import Problem
from optimizer.solve.tradeoff import goal_of
from optimizer.tables import ResponseTables, Terms

BUDGET = 1000.0
CONCAVE = ("hill", "michaelis_menten", "power", "log1p", "logistic", "tanh", "linear")


def random_curve(rng: np.random.Generator, shaped: float) -> dict[str, Any]:
    """One curve of any family; with probability ``shaped`` one that is not concave."""
    scale, half = float(rng.uniform(1, 10)), float(rng.uniform(5, 60))
    if rng.random() < shaped:
        if rng.random() < 0.75:
            return {"kind": "hill", "scale": scale, "half": half, "slope": float(rng.uniform(1.1, 4.0))}
        steps = np.cumsum(rng.uniform(0.1, 1, 3))
        return {
            "kind": "points",
            "scale": scale / 4,
            "points": [[float(half * (i + 1)), float(y)] for i, y in enumerate(steps)],
        }
    kind = str(rng.choice(CONCAVE))
    own = {
        "hill": {"half": half, "slope": float(rng.uniform(0.5, 1.0))},
        "power": {"exponent": float(rng.uniform(0.3, 0.9))},
        "log1p": {"knee": half},
        "linear": {},
    }.get(kind, {"half": half})
    smaller = {"power": 5.0, "linear": 60.0}.get(kind, 1.0)
    return {"kind": kind, "scale": scale / smaller, **own}


def random_problem(
    seed: int,
    n_lines: int = 4,
    *,
    shaped: float = 0.5,
    against: bool = False,
    shares: bool = False,
    floor: float = 0.0,
    cost: float = 0.0,
    least: float = 0.0,
    most: int = 0,
    package: float = 0.0,
    unspent: bool = False,
) -> dict[str, Any]:
    """Return a scenario of two KPIs on pinned scales, as plain data.

    Parameters
    ----------
    shaped : float
        Share of curves that are not concave.
    against : bool
        Less of the second KPI is better, so that its curves count against a plan.
    shares : bool
        Shares of channel a between 25 and 60 %.
    floor, cost : float
        Floors, as shares of what today's plan has: on the sum of both KPIs, and on what one of the first costs.
    least, most, package : float, int, float
        On/off rules and packages; amounts as shares of an even split.
    unspent : bool
        The budget is a ceiling.
    """
    rng = np.random.default_rng(seed)
    names, kpis = [f"line {i}" for i in range(n_lines)], ["kpi 0", "kpi 1"]
    even = BUDGET / n_lines
    data: dict[str, Any] = {
        "name": "random",
        "currency": "EUR",
        "horizon": {"start": "2026-01-05", "periods": 5},
        "lines": [
            {"name": name, "current": even, "max": float(BUDGET * rng.uniform(0.4, 1)), "channel": "ab"[i % 2]}
            for i, name in enumerate(names)
        ],
        "kpis": {kpi: {"direction": "maximize", "unit": "things"} for kpi in kpis},
        "response": {
            kpi: {
                name: {
                    "curve": random_curve(rng, shaped),
                    "adstock": {"kind": "geometric", "rate": float(rng.uniform(0, 0.8)), "length": 3},
                }
                for name in names
            }
            for kpi in kpis
        },
        "constraints": {"budget": {"max" if unspent else "total": BUDGET}},
        "preferences": {
            "weights": {kpi: float(rng.uniform(0.2, 1)) for kpi in kpis},
            "scale": {kpi: [0.0, 50.0] for kpi in kpis},
        },
    }
    if against:
        data["kpis"]["kpi 1"]["direction"] = "minimize"
        data["preferences"]["scale"]["kpi 1"] = [50.0, 0.0]
    if shares:
        data["constraints"]["shares"] = [{"select": {"channel": "a"}, "min": 0.25, "max": 0.6}]
    if least:
        data["constraints"]["minimum_if_on"] = [{"select": {"channel": "a"}, "amount": least * even}]
    if most:
        data["constraints"]["most_on"] = [{"lines": most}]
    if package:
        for line in data["lines"][::2]:
            line["package"] = package * even
    scenario = opt.Scenario.from_dict(data)
    today = opt.simulate(scenario, scenario.current).mean()
    floors = {}
    if floor:
        data["kpis"]["both"] = {"direction": "maximize", "role": "guardrail", "sum": kpis}
        floors["both"] = float((today["kpi 0"] + today["kpi 1"]) * floor)
    if cost:
        data["kpis"]["dear"] = {"direction": "minimize", "role": "guardrail", "ratio": ["spend", "kpi 0"]}
        floors["dear"] = float(BUDGET / today["kpi 0"] * cost)
    data["preferences"]["floors"] = floors
    return data


def random_plans(scenario: opt.Scenario, rng: np.random.Generator, n: int) -> np.ndarray:
    """Plans (N, L) that keep every rule and floor: corners of the polyhedron, and points between two of them."""
    polyhedron, n_lines = scenario.polyhedron, len(scenario.lines)
    A, b, equal = polyhedron.A.toarray(), polyhedron.b, polyhedron.equal
    switches = polyhedron.switches
    eye, none = np.eye(n_lines), np.zeros((n_lines, n_lines))
    rules = [LinearConstraint(np.hstack([A, np.zeros((len(b), 2 * n_lines))]), np.where(equal, b, -np.inf), b)]
    whole = np.zeros(3 * n_lines)
    if switches is not None:
        least = np.where(switches.decided, switches.least, 0.0)
        rules.append(LinearConstraint(np.hstack([eye, -BUDGET * eye, none]), ub=0.0))
        rules.append(LinearConstraint(np.hstack([eye, -np.diag(least), none]), lb=0.0))
        for _, mask, count in switches.most:
            rules.append(LinearConstraint(np.concatenate([np.zeros(n_lines), mask, np.zeros(n_lines)]), ub=count))
        packed = switches.package > 0
        equation = np.hstack([eye, none, -np.diag(switches.package)])[packed]
        rules.append(LinearConstraint(equation, 0.0, 0.0)) if packed.any() else None
        whole[n_lines : 2 * n_lines], whole[2 * n_lines :] = 1, packed
    upper = np.concatenate([np.full(n_lines, BUDGET), np.ones(n_lines), np.full(n_lines, np.inf)])
    corners = []
    for _ in range(n):
        found = milp(rng.normal(size=3 * n_lines), integrality=whole, bounds=(0.0, upper), constraints=rules)
        if found.x is not None:
            corners.append(found.x[:n_lines])
    if not corners:
        return np.empty((0, n_lines))
    plans = np.array(corners)
    mixed = [plans]
    for _ in range(20):
        share = rng.random((len(plans), 1))
        mixed.append(share * plans + (1 - share) * rng.permutation(plans))
    plans = np.concatenate(mixed)
    kept = [
        np.all(polyhedron.slack(plan) >= -1e-9 * BUDGET)
        and (switches is None or (switches.kept(plan, 1e-9 * BUDGET) and np.all(switches.missed(plan) <= 1e-7)))
        for plan in plans
    ]
    plans = plans[kept]
    return plans[floors_kept(scenario, plans)]


def floors_kept(scenario: opt.Scenario, plans: np.ndarray, room: float = 0.0) -> np.ndarray:
    """Which plans (N, L) keep the floors on expected values as simulated, to a share ``room`` of the limit."""
    leaves = Simulator.of(scenario).outcomes(plans)
    values = kpi_means(scenario, leaves, plans)
    kept = np.ones(len(plans), dtype=bool)
    for name, limit in scenario.spec.preferences.floors.items():
        sign = 1.0 if scenario.spec.kpis[name].direction == "maximize" else -1.0
        kept &= sign * (values[name] - limit) >= -room * abs(limit)
    return kept


def on_scale(scenario: opt.Scenario, plans: np.ndarray) -> np.ndarray:
    """The weighted sum on the stated scale, worked out from the KPIs: (N,)."""
    preferences = scenario.spec.preferences
    leaves = Simulator.of(scenario).outcomes(plans)
    values, total = kpi_means(scenario, leaves, plans), 0.0
    for name, weight in preferences.weights.items():
        worst, best = preferences.scale[name]
        total = total + weight * (values[name] - worst) / (best - worst)
    return np.asarray(total) / sum(preferences.weights.values())


def grid(scenario: opt.Scenario, steps: int) -> np.ndarray:
    """Every plan of three lines on a grid of the budget (all of it spent) that keeps every rule and floor."""
    counts = [c for c in itertools.product(range(steps + 1), repeat=2) if sum(c) <= steps]
    plans = np.array([[i, j, steps - i - j] for i, j in counts]) * (BUDGET / steps)
    polyhedron = scenario.polyhedron
    room = polyhedron.b - plans @ polyhedron.A.T.toarray()
    kept = np.all(np.where(polyhedron.equal, -np.abs(room), room) >= -1e-9 * BUDGET, axis=1)
    plans = plans[kept]
    if polyhedron.switches is not None:
        plans = plans[[polyhedron.switches.kept(plan, 1e-9 * BUDGET) for plan in plans]]
    return plans[floors_kept(scenario, plans)]


VARIANTS: dict[str, dict[str, Any]] = {
    "budget alone": {},
    "money left": {"unspent": True},
    "less is better": {"against": True, "unspent": True},
    "shares": {"shares": True},
    "a floor": {"shares": True, "floor": 0.9},
    "a ratio": {"cost": 1.1, "unspent": True},
    "minimum if on": {"shares": True, "least": 0.8},
    "at most so many": {"most": 2, "floor": 0.5},
    "packages": {"package": 0.2},
    "all of it": {"against": True, "shares": True, "floor": 0.6, "least": 0.5, "most": 3, "package": 0.2},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", range(3))
def test_the_first_bound_is_above_any_plan(variant: str, seed: int) -> None:
    """Before anything is learned, and for goals of either kind."""
    scenario = opt.Scenario.from_dict(random_problem(seed, **VARIANTS[variant]))
    problem = Problem(scenario)
    terms = Terms.of(problem.simulator, problem.order, problem.money, problem.size)
    model = PiecewiseModel(problem, ResponseTables(terms, problem.lower, problem.upper))
    rng = np.random.default_rng(seed)
    plans = random_plans(scenario, rng, 12)
    forms = np.array([problem.state(problem.scaled(plan)).u for plan in plans])
    for goal in (
        goal_of(problem),
        Goal(np.array([0.01, 0.01]), rng.uniform(0.2, 0.5, 2)),
        Goal(np.array([0.0, 1.0])),
    ):
        try:
            _, bound = model.maximise(goal, 1e-3, 30.0)
        except opt.InfeasibleError:
            assert not len(plans)
            continue
        assert all(goal.value(u) <= bound for u in forms)


@pytest.mark.parametrize("variant", [name for name, rules in VARIANTS.items() if "unspent" not in rules])
@pytest.mark.parametrize("seed", range(3))
def test_equals_brute_force(variant: str, seed: int) -> None:
    rules = VARIANTS[variant] | ({"package": 0.3} if "package" in VARIANTS[variant] else {})
    scenario = opt.Scenario.from_dict(random_problem(seed, 3, **rules))
    plans = grid(scenario, 300)
    assert len(plans)
    plan = opt.solve(scenario, route="mixed_integer")
    best = on_scale(scenario, plans).max()
    assert plan.certificate.guarantee == "global"
    assert plan.certificate.gap <= 1e-5
    assert plan.certificate.value >= best - 1e-6
    spend = plan.spend.to_numpy()[None]
    assert plan.certificate.value == pytest.approx(on_scale(scenario, spend)[0], abs=1e-9)
    assert floors_kept(scenario, spend, 1e-6).all()
    # Brute force is as good, but for the width of its grid.
    assert best >= plan.certificate.value - 0.02


def test_packages_are_whole_and_as_good_as_every_choice_of_their_numbers() -> None:
    data = random_problem(5, 3, shares=True)
    for line, size in zip(data["lines"], (130.0, 90.0), strict=False):
        line["package"] = size
    plan = opt.solve(opt.Scenario.from_dict(data))
    best = -np.inf
    for numbers in itertools.product(range(8), range(12)):
        held = opt.Scenario.from_dict(random_problem(5, 3, shares=True)).spec.model_dump(exclude_none=True)
        for line, size, number in zip(held["lines"], (130.0, 90.0), numbers, strict=False):
            line |= {"current": size * number, "locked": True}
        try:
            best = max(best, opt.solve(opt.Scenario.from_dict(held), route="mixed_integer").certificate.value)
        except (opt.InfeasibleError, opt.SpecError):
            continue
    assert plan.certificate.value == pytest.approx(best, abs=5e-6)
    for line, size in (("line 0", 130.0), ("line 1", 90.0)):
        assert plan.spend[line] / size == pytest.approx(round(plan.spend[line] / size), abs=1e-9)
        row = plan.rules.loc[f"{line}: whole packages of {size:g}"]
        assert row["slack"] == pytest.approx(0.0, abs=1e-6)
        assert row["binding"]


def test_nothing_is_learned_twice() -> None:
    problem = Problem(opt.Scenario.from_dict(random_problem(1, shaped=1.0)))
    solver = MixedIntegerSolver(problem)
    z = 0.37 * problem.upper
    assert solver.model.learn(z) == 4
    assert solver.model.learn(z) == 0


def test_beside_an_infinite_slope_points_come_ever_nearer() -> None:
    data = random_problem(1)
    for line in data["response"]["kpi 0"].values():
        line["curve"] = {"kind": "power", "scale": 1.0, "exponent": 0.4}
    problem = Problem(opt.Scenario.from_dict(data))
    solver = MixedIntegerSolver(problem)
    before = solver.tables.grid[:, 1].copy()
    assert solver.model.learn(np.zeros(4)) == 4
    assert np.all(solver.tables.grid[:, 1] < 0.02 * before)


def test_the_helpers_know_the_formulas() -> None:
    """A floor that holds by its formula holds by the helper, and the other way round."""
    scenario = opt.Scenario.from_dict(random_problem(2, floor=0.9, cost=1.2))
    assert floors_kept(scenario, scenario.current[None]).all()
    assert not floors_kept(scenario, np.zeros((1, 4)) + 1e-9).any()
