"""Plans under concave curves: against brute force, by properties, and the proof of the bound."""

import itertools
import json

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import optimizer as opt

PROPERTY = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def problem(seed: int, n_lines: int, n_kpis: int, floors: bool = False, rules: bool = True) -> dict:
    """A random scenario as plain data: concave curves of all families, weights, and rules."""
    rng = np.random.default_rng(seed)
    lines = [f"line {i}" for i in range(n_lines)]
    kpis = [f"kpi {k}" for k in range(n_kpis)]
    budget = 1000.0

    def curve() -> dict:
        scale, half = rng.uniform(1, 10), rng.uniform(5, 60)
        return [
            {"kind": "hill", "scale": scale, "half": half, "slope": rng.uniform(0.6, 1.0)},
            {"kind": "michaelis_menten", "scale": scale, "half": half},
            {"kind": "power", "scale": scale / 5, "exponent": rng.uniform(0.3, 0.8)},
            {"kind": "log1p", "scale": scale / 2, "knee": half},
        ][rng.integers(4)]

    data = {
        "name": "random",
        "currency": "EUR",
        "horizon": {"start": "2026-01-05", "periods": 13},
        "lines": [
            {"name": name, "current": budget / n_lines, "max": budget, "channel": "ab"[i % 2]}
            for i, name in enumerate(lines)
        ],
        "kpis": {kpi: {"direction": "maximize", "unit": "things"} for kpi in kpis},
        "response": {
            kpi: {
                line: {
                    "curve": curve(),
                    "adstock": {"kind": "geometric", "rate": rng.uniform(0, 0.8), "length": 6},
                }
                for line in lines
            }
            for kpi in kpis
        },
        "constraints": {"budget": {"total": budget}},
        "preferences": {},
    }
    if n_kpis > 1:
        data["preferences"] = {
            "weights": {kpi: float(rng.uniform(0.2, 1)) for kpi in kpis},
            "scale": dict.fromkeys(kpis, "payoff"),
        }
    if rules and n_lines > 1:
        data["constraints"] |= {
            "change": {"up": 1.5, "down": 0.8},
            "shares": [{"select": {"channel": "a"}, "min": 0.3, "max": 0.65}],
        }
    if floors:
        data["kpis"]["cost"] = {"direction": "minimize", "role": "guardrail", "ratio": ["spend", kpis[-1]]}
        # Half-way between the cost of an even split and the least cost there is.
        alone = {kpi: {"role": "monitor"} for kpi in kpis[:-1]} | {kpis[-1]: {"role": "objective"}}
        single = data | {"preferences": {}, "kpis": {k: v | alone.get(k, {}) for k, v in data["kpis"].items()}}
        costs = opt.solve(opt.Scenario.from_dict(single)).outcomes.loc["cost", ["current", "expected"]]
        data["preferences"]["floors"] = {"cost": float(costs.mean())}
    return data


def grid(n_lines: int, steps: int) -> np.ndarray:
    """All splits of 1 into ``n_lines`` multiples of ``1 / steps``."""
    cuts = itertools.product(range(steps + 1), repeat=n_lines - 1)
    return np.array([(*c, steps - sum(c)) for c in cuts if sum(c) <= steps]) / steps


def goal(plan: opt.Plan, spend: np.ndarray) -> np.ndarray:
    """The stated objective of plans (N, L), recomputed from simulation: higher is better."""
    scenario = plan.scenario
    kpis = opt.simulate(scenario, spend).groupby(level="plan").mean()
    weights = scenario.spec.preferences.weights
    if not weights:
        return kpis[scenario.objectives[0]].to_numpy()
    total = sum(weights.values())
    value = np.zeros(len(kpis))
    for name, weight in weights.items():
        worst, best = scenario.spec.preferences.scale[name]
        value += weight / total * ((kpis[name] - worst) / (best - worst)).to_numpy()
    return value


def allowed(scenario: opt.Scenario, spend: np.ndarray) -> np.ndarray:
    polyhedron = scenario.polyhedron
    room = polyhedron.b - spend @ polyhedron.A.T.toarray()
    kept = np.all(np.where(polyhedron.equal, np.abs(room) < 1e-6, room > -1e-6), axis=1)
    kpis = opt.simulate(scenario, spend).groupby(level="plan").mean()
    for name, limit in scenario.spec.preferences.floors.items():
        rising = scenario.spec.kpis[name].direction == "maximize"
        kept &= (kpis[name] >= limit * (1 - 1e-9)) if rising else (kpis[name] <= limit * (1 + 1e-9))
    return kept


@pytest.mark.parametrize(("n_lines", "steps"), [(2, 4000), (3, 120)])
@pytest.mark.parametrize("n_kpis", [1, 2, 3])
@pytest.mark.parametrize("floors", [False, True])
def test_plan_equals_brute_force(n_lines: int, steps: int, n_kpis: int, floors: bool) -> None:
    scenario = opt.Scenario.from_dict(problem(n_lines + 7 * n_kpis, n_lines, n_kpis, floors))
    plan = opt.solve(scenario)
    plans = 1000.0 * grid(n_lines, steps)
    plans = plans[allowed(scenario, plans)]
    # Finer grids around the best so far: the problem is concave.
    for zoom in (0.05, 0.004):
        around = zoom * (grid(n_lines, steps) - 1 / n_lines)
        finer = plans[goal(plan, plans).argmax()] + 1000.0 * n_lines * around
        finer = finer[(finer >= 0).all(axis=1)]
        plans = np.vstack([plans, finer[allowed(scenario, finer)]])
    best = goal(plan, plans).max()
    found = goal(plan, plan.spend.to_numpy()[None])[0]
    assert found >= best - 1e-9 * abs(best)
    assert found == pytest.approx(plan.certificate.value, rel=1e-9, abs=1e-9)
    assert found <= best + 1e-4 * max(abs(best), 1.0)
    assert plan.certificate.bound >= best - 1e-12
    assert plan.certificate.gap <= 1e-6
    assert allowed(scenario, plan.spend.to_numpy()[None])[0]


@pytest.mark.parametrize("seed", range(6))
def test_bound_is_above_every_plan(seed: int) -> None:
    data = problem(seed, 8, 2, floors=True)
    plan = opt.solve(opt.Scenario.from_dict(data))
    rng = np.random.default_rng(seed)
    spend = 1000.0 * rng.dirichlet(np.ones(8), size=4000)
    spend = spend[allowed(plan.scenario, spend)]
    assert len(spend)
    assert goal(plan, spend).max() <= plan.certificate.bound + 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_never_worse_than_today(seed: int) -> None:
    plan = opt.solve(opt.Scenario.from_dict(problem(seed, 6, 2)))
    today = goal(plan, plan.scenario.current[None])[0]
    assert goal(plan, plan.spend.to_numpy()[None])[0] >= today - 1e-12


def shares(data: dict) -> dict[str, float]:
    plan = opt.solve(opt.Scenario.from_dict(data))
    return (plan.spend / plan.spend.sum()).to_dict()


def assert_same(one: dict[str, float], other: dict[str, float]) -> None:
    assert set(one) == set(other)
    for line, share in one.items():
        assert other[line] == pytest.approx(share, abs=1e-6)


@PROPERTY
@given(seed=st.integers(0, 50), exponent=st.integers(-6, 6), kpi=st.integers(0, 1))
def test_unit_of_a_kpi_never_changes_the_plan(seed: int, exponent: int, kpi: int) -> None:
    data, factor, name = problem(seed, 5, 2), 10.0**exponent, f"kpi {kpi}"
    before = opt.solve(opt.Scenario.from_dict(data))
    scale = before.scenario.spec.preferences.scale
    for entry in data["response"][name].values():
        entry["curve"]["scale"] *= factor
    # Once with the scale left to the payoff table, once pinned in the new unit.
    assert_same((before.spend / before.spend.sum()).to_dict(), shares(data))
    data["preferences"]["scale"] = {
        other: [end * (factor if other == name else 1.0) for end in ends] for other, ends in scale.items()
    }
    assert_same((before.spend / before.spend.sum()).to_dict(), shares(data))


@PROPERTY
@given(seed=st.integers(0, 50), exponent=st.integers(-6, 6))
def test_currency_never_changes_the_plan(seed: int, exponent: int) -> None:
    data, factor = problem(seed, 5, 2, floors=True), 10.0**exponent
    before = shares(data)
    for line in data["lines"]:
        line["current"], line["max"] = line["current"] * factor, line["max"] * factor
    for by_line in data["response"].values():
        for entry in by_line.values():
            curve = entry["curve"]
            for name in ("half", "knee"):
                if name in curve:
                    curve[name] *= factor
            if curve["kind"] == "power":
                curve["scale"] /= factor ** curve["exponent"]
    data["constraints"]["budget"]["total"] *= factor
    data["preferences"]["floors"]["cost"] *= factor
    assert_same(before, shares(data))


@PROPERTY
@given(seed=st.integers(0, 50), order=st.permutations(range(5)))
def test_order_of_lines_and_kpis_never_changes_the_plan(seed: int, order: list[int]) -> None:
    data = problem(seed, 5, 2, floors=True)
    before = shares(data)
    data["lines"] = [data["lines"][i] for i in order]
    data["kpis"] = dict(reversed(data["kpis"].items()))
    data["response"] = dict(reversed(data["response"].items()))
    data["preferences"]["weights"] = dict(reversed(data["preferences"]["weights"].items()))
    assert_same(before, shares(data))


@PROPERTY
@given(seed=st.integers(0, 20))
def test_order_of_draws_never_changes_the_plan(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("draws")
    data = problem(seed, 4, 1)
    model = opt.Scenario.from_dict(data).response
    spread = rng.lognormal(0, 0.3, (3, 9, *model.family.shape))
    many = {
        "scale": np.repeat(model.scale, 9, 0) * spread[0],
        "first": np.repeat(model.first, 9, 0) * spread[1],
        "second": np.repeat(model.second, 9, 0),
        "rate": np.repeat(model.rate, 9, 0) * 0.5,
        "baseline": np.repeat(model.baseline, 9, 0),
    }
    found = []
    for name, draws in (("a.nc", np.arange(9)), ("b.nc", rng.permutation(9))):
        parts = {key: value[draws] for key, value in many.items()}
        opt.ResponseModel(**(model.__dict__ | parts)).save(folder / name)
        scenario = opt.Scenario.from_dict(data | {"response": {"file": name}}, folder)
        plan = opt.solve(scenario)
        found.append((plan.spend / plan.spend.sum()).to_dict())
    assert_same(*found)


@PROPERTY
@given(seed=st.integers(0, 50), factor=st.floats(0.9, 0.999))
def test_a_tighter_floor_never_improves_the_plan(seed: int, factor: float) -> None:
    data = problem(seed, 4, 1)
    data["kpis"]["cost"] = {"direction": "minimize", "role": "guardrail", "ratio": ["spend", "kpi 0"]}
    data["constraints"]["budget"] = {"max": 1000.0}
    best = opt.solve(opt.Scenario.from_dict(data))
    cost = best.outcomes.loc["cost", "expected"]
    data["preferences"]["floors"] = {"cost": float(cost * factor)}
    try:
        held = opt.solve(opt.Scenario.from_dict(data))
    except opt.InfeasibleError:
        return
    assert held.certificate.value <= best.certificate.value * (1 + 1e-9)
    assert held.outcomes.loc["cost", "expected"] <= cost * factor * (1 + 1e-6)
    assert held.spend.sum() < 1000.0


def test_same_plan_byte_for_byte() -> None:
    data = problem(3, 6, 3, floors=True)
    first, second = (opt.solve(opt.Scenario.from_dict(data)).to_dict() for _ in range(2))
    assert json.dumps(first) == json.dumps(second)


def test_linear_kpi_counts_in_either_direction() -> None:
    data = problem(1, 3, 1)
    data["kpis"]["half the spend"] = {"direction": "minimize", "product": ["spend", 0.5]}
    data["preferences"] = {
        "weights": {"kpi 0": 1.0, "half the spend": 1.0},
        "scale": {"kpi 0": [0.0, 300.0], "half the spend": [1000.0, 0.0]},
    }
    data["constraints"] = {"budget": {"max": 1000.0}}
    plan = opt.solve(opt.Scenario.from_dict(data))
    plans = np.vstack([total * 1000.0 * grid(3, 30) for total in np.linspace(0, 1, 41)])
    assert goal_with_spend(plan, plan.spend.to_numpy()[None])[0] >= goal_with_spend(plan, plans).max() - 1e-12
    assert 0 < plan.spend.sum() < 1000.0


def goal_with_spend(plan: opt.Plan, spend: np.ndarray) -> np.ndarray:
    kpis = opt.simulate(plan.scenario, spend).groupby(level="plan").mean()
    return 0.5 * kpis["kpi 0"].to_numpy() / 300 + 0.5 * (1000 - kpis["half the spend"].to_numpy()) / 1000


def test_infeasible_and_non_concave_are_told() -> None:
    data = problem(2, 3, 1)
    data["constraints"]["budget"]["total"] = 10.0
    with pytest.raises(opt.InfeasibleError):
        opt.solve(opt.Scenario.from_dict(data))
    data = problem(2, 3, 1)
    data["response"]["kpi 0"]["line 1"]["curve"] = {"kind": "hill", "scale": 3.0, "half": 20.0, "slope": 2.5}
    with pytest.raises(opt.SolverError, match="line 1"):
        opt.solve(opt.Scenario.from_dict(data), route="convex")


@pytest.mark.parametrize("trouble", [cp.error.SolverError("broken"), ValueError("no status known")])
@pytest.mark.parametrize("failures", [1, 2, 3])
def test_a_linear_solver_that_fails_is_asked_otherwise_and_then_told(trouble, failures: int, monkeypatch) -> None:
    scenario, solve = opt.Scenario.from_dict(problem(0, 5, 2)), cp.Problem.solve
    wanted, asked = opt.solve(scenario), []

    def fails_at_first(self, **options):
        asked.append(options)
        if (len(asked) - 1) % 3 < failures:
            raise trouble
        return solve(self, **options)

    monkeypatch.setattr(cp.Problem, "solve", fails_at_first)
    if failures == 3:
        with pytest.raises(opt.SolverError, match="the linear solver gave up"):
            opt.solve(scenario)
        return
    found = opt.solve(scenario)
    assert len(asked) > failures
    assert found.certificate.value == pytest.approx(wanted.certificate.value, abs=1e-6)
    assert found.certificate.value <= found.certificate.bound
