"""Whether targets can be reached: every claim held against plans found by other means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_model, make_scenario, scenario_on_file

from optimizer import InfeasibleError, Scenario, simulate
from optimizer.curves import FAMILIES
from optimizer.reach import Reach, reachability

BUDGET = 1000.0
FEW = {"select": {"line": ["line0", "line1", "line2"]}, "amount": BUDGET / 2}
COST = {"direction": "minimize", "unit": "EUR per thing", "ratio": ["spend", "kpi0"], "role": "monitor"}


def scenario(kpi: str, target: dict[str, Any], changes: dict[str, Any] | None = None, **fields: Any) -> Scenario:
    """Three lines, one leaf, its cost, with a target on one of the two."""
    data = make_scenario() | (changes or {})
    data["kpis"]["cost"] = dict(COST)
    data["kpis"][kpi] |= fields | {"target": target}
    return Scenario.from_dict(data)


def reach(*args: Any, **fields: Any) -> Reach:
    (found,) = reachability(scenario(*args, **fields))
    return found


def many_plans(of: Scenario) -> np.ndarray:
    """Values of the first KPI and its cost for random splits of the budget: (N, 2)."""
    spend = np.random.default_rng(1).dirichlet(np.full(len(of.lines), 0.7), 4000) * BUDGET
    return simulate(of, spend)[["kpi0", "cost"]].groupby(level="plan").mean().to_numpy()


def test_a_level_is_reachable_up_to_the_best_plan() -> None:
    found = reach("kpi0", {"level": 1.0})
    tried = many_plans(scenario("kpi0", {"level": 1.0}))[:, 0]
    assert tried.max() <= found.best
    assert found.best == pytest.approx(tried.max(), rel=0.002)
    above, below = reach("kpi0", {"level": found.best * 1.0001}), reach("kpi0", {"level": found.best * 0.9999})
    assert (above.verdict, below.verdict) == ("unreachable", "reachable")
    # Solvers stop within a millionth of the best.
    assert reach("kpi0", {"level": found.best * (1 + 5e-7)}).verdict == "reachable"


def test_words_name_the_share_and_the_figures() -> None:
    best = reach("kpi0", {"level": 1.0}).best
    found = reach("kpi0", {"level": best / 0.92})
    assert found.words == f"unreachable: best is 92 % of it ({best:.4g} against {best / 0.92:.4g} things)"
    assert reach("kpi0", {"level": best / 1.04}).words.startswith("reachable: best is 104 % of it")
    # Not quite is not said to be all of it.
    assert reach("kpi0", {"level": best * 1.0004}).words.startswith("unreachable: best is 99.96 % of it")
    assert reach("kpi0", {"level": -5.0}).words.startswith("reachable: best is ")


def test_growth_and_lift_start_from_today_or_the_stated_baseline() -> None:
    plain = scenario("kpi0", {"growth": 0.0})
    today = simulate(plain, plain.current)["kpi0"].mean()
    assert reachability(plain)[0].required == pytest.approx(today)
    assert reach("kpi0", {"lift": 2.0}).required == pytest.approx(today + 2)
    assert reach("kpi0", {"growth": 0.5, "baseline": 10.0}).required == pytest.approx(15)


@pytest.mark.parametrize("budget", [{"total": BUDGET}, {"max": BUDGET}], ids=["exactly", "at most"])
def test_a_ratio_is_recomputed_from_its_parts(budget: dict[str, float]) -> None:
    changes = {"constraints": {"budget": budget}}
    if "max" in budget:
        # At least something is spent, or the cheapest thing is the first.
        changes["lines"] = [{"name": f"line{i}", "current": 100.0, "min": 30.0} for i in range(3)]
    easy = scenario("cost", {"level": 1e6}, changes)
    (found,) = reachability(easy)
    if "total" in budget:
        tried = many_plans(easy)[:, 1]
        assert tried.min() >= found.best
        assert found.best == pytest.approx(tried.min(), rel=0.002)
    for factor, verdict in ((0.999, "unreachable"), (1.001, "reachable")):
        again = reach("cost", {"level": found.best * factor}, changes)
        assert (again.verdict, again.best) == (verdict, pytest.approx(found.best, rel=1e-5))


def test_a_ratio_to_maximise() -> None:
    cheap = reach("cost", {"level": 1.0}).best
    dear = reach("cost", {"level": 1.0}, ratio=["kpi0", "spend"], direction="maximize").best
    assert dear == pytest.approx(1 / cheap, rel=1e-6)


def test_a_band() -> None:
    best = reach("kpi0", {"level": 1.0}).best
    today = reach("kpi0", {"growth": 0.0}).required
    assert isinstance(today, float)
    inside = reach("kpi0", {"band": [today * 0.99, today * 1.01]})
    assert (inside.verdict, inside.best) == ("reachable", today)
    above = reach("kpi0", {"band": [best * 1.25, best * 2]})
    assert above.verdict == "unreachable"
    assert above.words.startswith("unreachable: best is 80 % of its lower end")
    # No plan was found in it, but one on either side: on the way from one to the other there is one.
    middle = reach("kpi0", {"band": [today + (best - today) * 0.4, today + (best - today) * 0.6]})
    assert middle.verdict == "reachable"
    # The least of falling returns is proven too.
    assert reach("kpi0", {"band": [0.001, 0.002]}).verdict == "unreachable"


def test_a_band_without_a_direction() -> None:
    def spend(band: list[float]) -> Reach:
        data = make_scenario(changes={"constraints": {"budget": {"max": BUDGET}}})
        data["kpis"]["money"] = {"product": ["spend", 1.0], "target": {"band": band}}
        return reachability(Scenario.from_dict(data))[0]

    assert spend([100, 200]).verdict == "reachable"
    assert spend([1001, 2000]).verdict == "unreachable"
    assert spend([-20, -10]).words.startswith("unreachable: least is")


def test_on_off_rules_leave_holes_in_a_band() -> None:
    lines = [{"name": f"line{i}", "current": 0.0} for i in range(3)]
    rules = {"budget": {"max": BUDGET}, "minimum_if_on": [FEW]}
    data = make_scenario(changes={"lines": lines, "constraints": rules})
    data["kpis"]["money"] = {"product": ["spend", 1.0], "target": {"band": [100, 200]}}
    assert reachability(Scenario.from_dict(data))[0].verdict == "undecided"


def test_an_s_shape_is_decided() -> None:
    s_shape = {"curve": {"kind": "hill", "scale": 10.0, "half": 100.0, "slope": 3.0}}
    changes = {"response": {"kpi0": dict.fromkeys(("line0", "line1", "line2"), s_shape)}}
    assert reach("kpi0", {"level": 60.0}, changes).verdict == "unreachable"
    rules = {"constraints": {"budget": {"total": BUDGET}, "minimum_if_on": [FEW]}}
    for more in ({}, rules):
        assert reach("kpi0", {"level": 1.0}, changes | more).verdict == "reachable"


def test_a_product_of_kpis_is_not_claimed_either_way() -> None:
    data = make_scenario(kpis=2)
    data["kpis"]["both"] = {
        "direction": "maximize",
        "product": ["kpi0", "kpi1"],
        "role": "monitor",
        "target": {"level": 1e9},
    }
    (found,) = reachability(Scenario.from_dict(data))
    assert found.verdict == "undecided"
    assert "not linear" in found.words


def test_a_denominator_that_may_be_negative_is_not_claimed_either_way() -> None:
    data = make_scenario(kpis=2)
    data["kpis"]["rest"] = {"difference": ["kpi0", 100.0]}
    data["kpis"]["rate"] = {
        "direction": "minimize",
        "ratio": ["spend", "rest"],
        "role": "monitor",
        "target": {"level": -1e9},
    }
    assert "may be negative" in reachability(Scenario.from_dict(data))[0].words


def test_floors_and_other_objectives_are_set_aside() -> None:
    data = make_scenario(kpis=2)
    data["kpis"]["kpi0"]["target"] = {"level": 1.0}
    free = reachability(Scenario.from_dict(data))[0].best
    data["preferences"] = {"floors": {"kpi1": 1e-3}}
    assert reachability(Scenario.from_dict(data))[0].best == pytest.approx(free, rel=1e-6)


def test_a_percentile_is_a_share_of_draws(tmp_path: Path) -> None:
    model = make_model(draws=20, kpis=("kpi0",))
    base = scenario_on_file(tmp_path, model)
    data = base.resolved()
    del data["hash"]

    def percentile(value: float, share: float) -> Reach:
        target = {"percentile": {"value": value, "share": share}}
        kpis = {"kpi0": data["kpis"]["kpi0"] | {"target": target}}
        return reachability(Scenario.from_dict(data | {"kpis": kpis}, tmp_path))[0]

    rng = np.random.default_rng(2)
    tried = simulate(base, rng.dirichlet(np.ones(3), 500) * BUDGET)["kpi0"].unstack("draw").to_numpy()
    for share in (0.6, 0.9):
        attained = np.quantile(tried, 1 - share, axis=1, method="lower").max()
        assert percentile(attained * 0.999, share).verdict == "reachable"
    best_of_each = np.sort(tried.max(axis=0))
    beyond = percentile(float(best_of_each[10]) * 1.05, 0.6)
    assert beyond.verdict == "unreachable"
    assert "% of draws, 60 % wanted" in beyond.words


def test_draws_that_no_plan_serves_together_prove_nothing(tmp_path: Path) -> None:
    # One draw in which nothing works, one in which only the first line does, one in which only the second does.
    linear = {
        "scale": np.array([[[0.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]]),
        "family": np.full((1, 2), FAMILIES["linear"].code, dtype=np.int64),
        "baseline": np.zeros((3, 1, 6)),
        "rate": np.zeros((3, 1, 2)),
    }
    model = make_model(draws=3, kpis=("kpi0",), lines=("line0", "line1"), past=0, **linear)
    data = scenario_on_file(tmp_path, model).resolved()
    del data["hash"]
    data["kpis"]["kpi0"]["target"] = {"percentile": {"value": 0.9 * BUDGET, "share": 0.6}}
    (found,) = reachability(Scenario.from_dict(data, tmp_path))
    assert (found.verdict, found.best) == ("undecided", pytest.approx(1 / 3))


def test_one_draw_makes_a_percentile_a_level() -> None:
    best = reach("kpi0", {"level": 1.0}).best
    assert reach("kpi0", {"percentile": {"value": best * 0.99, "share": 0.95}}).verdict == "reachable"
    assert reach("kpi0", {"percentile": {"value": best * 1.01, "share": 0.95}}).verdict == "unreachable"


def test_no_target_needs_no_solve_and_no_plan_is_an_error() -> None:
    impossible = {"constraints": {"budget": {"total": 4 * BUDGET}}}
    assert reachability(Scenario.from_dict(make_scenario() | impossible)) == ()
    with pytest.raises(InfeasibleError):
        reach("kpi0", {"level": 1.0}, impossible)
