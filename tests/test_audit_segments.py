"""Segments: the decomposition adds up, the fixture's figures, reversals, and who a plan is for."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from optimizer import DataError, Scenario, SpecError, simulate, solve
from optimizer.audit.segments import by_segment, decompose

ROOT = Path(__file__).parents[1]


def table(*rows: tuple[str, str, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["period", "segment", "count", "size"])


def two_cohorts() -> pd.DataFrame:
    """New 2.00 -> 1.80 %, returning 6.00 -> 5.895 %; the overall rate 5.20 -> 5.69 %."""
    size, new = 10_000_000, 0.2
    later = (0.05895 - 0.0569) / (0.05895 - 0.018)
    return table(
        ("Q1", "new", 0.02 * new * size, new * size),
        ("Q1", "returning", 0.06 * (1 - new) * size, (1 - new) * size),
        ("Q2", "new", 0.018 * later * size, later * size),
        ("Q2", "returning", 0.05895 * (1 - later) * size, (1 - later) * size),
    )


def test_the_fixture():
    found = decompose(two_cohorts())
    assert 100 * found.before == pytest.approx(5.20, abs=1e-9)
    assert 100 * found.after == pytest.approx(5.69, abs=1e-9)
    assert 100 * found.mix == pytest.approx(0.607, abs=5e-4)
    assert 100 * found.rate == pytest.approx(-0.117, abs=5e-4)
    assert found.mix + found.rate == pytest.approx(found.after - found.before, abs=1e-15)
    assert found.reversal
    assert found.verdict.found
    assert "mix +0.607 and rate -0.117" in found.verdict.reason


sizes = st.integers(0, 10_000)
cells = st.lists(st.tuples(sizes, sizes, st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6)


@given(cells)
def test_mix_and_rate_add_up_exactly(drawn):
    rows = []
    for i, (n0, n1, r0, r1) in enumerate(drawn):
        rows += [("a", f"s{i}", np.floor(r0 * n0), n0), ("b", f"s{i}", np.floor(r1 * n1), n1)]
    given_rows = table(*rows)
    if (given_rows.groupby("period")["size"].sum() <= 0).any():
        with pytest.raises(DataError, match="nobody is in"):
            decompose(given_rows)
        return
    found = decompose(given_rows)
    assert found.mix + found.rate == pytest.approx(found.after - found.before, abs=1e-12)
    swapped = decompose(given_rows, "b", "a")
    assert (swapped.mix, swapped.rate) == pytest.approx((-found.mix, -found.rate), abs=1e-12)


def test_the_same_mix_is_all_rate_and_the_same_rates_are_all_mix():
    same_mix = decompose(table(("a", "x", 10, 100), ("a", "y", 5, 100), ("b", "x", 12, 100), ("b", "y", 9, 100)))
    assert same_mix.mix == 0
    same_rates = decompose(table(("a", "x", 10, 100), ("a", "y", 5, 100), ("b", "x", 30, 300), ("b", "y", 5, 100)))
    assert same_rates.rate == 0
    assert not same_rates.reversal


def test_a_segment_that_comes_new_is_mix():
    found = decompose(table(("a", "x", 10, 100), ("b", "x", 10, 100), ("b", "y", 50, 100)))
    assert found.table.loc["y", "rate"] == 0
    assert np.isnan(found.table.loc["y", "rate before"])
    assert found.mix == pytest.approx(found.after - found.before)


def test_reversals_are_flagged_both_ways_and_nothing_else_is():
    down = decompose(two_cohorts(), "Q2", "Q1")
    assert down.reversal
    rng = np.random.default_rng(0)
    for _ in range(50):
        n, r = rng.integers(500, 1000, (2, 3)), rng.uniform(0.1, 0.2, 3)
        rows = [("ab"[t], f"s{i}", round((r[i] + 0.1 * t) * n[t, i]), n[t, i]) for t in range(2) for i in range(3)]
        assert not decompose(table(*rows)).reversal


def test_rows_of_one_person_each_are_added_up():
    people = pd.DataFrame({"period": ["a"] * 4 + ["b"] * 4, "segment": ["x", "y"] * 4})
    people["count"], people["size"] = [1, 0, 0, 0, 1, 1, 0, 0], 1
    found = decompose(people)
    assert (found.before, found.after) == (0.25, 0.5)


def test_what_moved_by_chance_is_told_from_what_did_not():
    rows = (("a", "x", 100, 1000), ("a", "y", 50, 1000), ("b", "x", 200, 1000), ("b", "y", 52, 1000))
    assert "rates that moved: x" in decompose(table(*rows)).verdict.reason


def test_bad_tables_are_refused():
    with pytest.raises(DataError, match="5 of 4 in 'x', a, is no share"):
        decompose(table(("a", "x", 5, 4), ("b", "x", 1, 4)))
    with pytest.raises(SpecError, match="no period 'c'"):
        decompose(two_cohorts(), "Q1", "c")
    with pytest.raises(SpecError, match="one period only"):
        decompose(table(("a", "x", 1, 4)))


def test_a_plan_says_who_it_is_for():
    plan = solve(Scenario.load(ROOT / "scenarios" / "insurance.yaml"))
    found = by_segment(plan, "segment")
    assert list(found.index) == ["high intent", "price shopping"]
    assert found["spend"].to_numpy() == pytest.approx(plan.totals.to_numpy())
    assert found["policies"].sum() == pytest.approx(plan.outcomes.loc["policies", "expected"])
    shares = found[[name for name in found if name.endswith(" share")]]
    assert shares.sum().to_numpy() == pytest.approx(1.0)
    with pytest.raises(DataError, match="no line has the attribute"):
        by_segment(plan, "country")


def outcome_share(floor: float | None) -> Scenario:
    """The insurance case with a least share of policies for one of its segments."""
    data = YAML(typ="safe").load((ROOT / "scenarios" / "insurance.yaml").read_text())
    data.pop("claims", None)
    for kpi in data["kpis"].values():
        kpi["role"] = "monitor"
    data["kpis"]["policies"]["role"] = "objective"
    data["kpis"]["shoppers"] = {"direction": "maximize", "role": "monitor"}
    data["kpis"]["share"] = {"ratio": ["shoppers", "policies"], "direction": "maximize"}
    curve = data["response"]["policies"]["price_shopping"]
    data["response"]["shoppers"] = {"high_intent": "none", "price_shopping": copy.deepcopy(curve)}
    data["preferences"] = {"floors": {"share": floor}} if floor else {}
    if not floor:
        data["kpis"]["share"]["role"] = "monitor"
    return Scenario.from_dict(data)


@pytest.mark.parametrize("floor", [0.2, 0.5])
def test_a_least_share_of_an_outcome_is_kept_and_proven(floor: float):
    """Against every split on a fine grid: a share of concave effects makes no convex set, and is still proven."""
    plan = solve(outcome_share(floor))
    assert plan.outcomes.loc["share", "expected"] >= floor - 1e-6
    assert plan.certificate.guarantee == "global"
    free = outcome_share(None)
    shopping = np.linspace(0, 250_000, 5001)
    splits = np.stack([250_000 - shopping, shopping], axis=1)
    found = simulate(free, splits).groupby(level="plan").mean()
    best = found.loc[found["share"] >= floor, "policies"].max()
    assert plan.outcomes.loc["policies", "expected"] >= best * (1 - 1e-6)
    assert plan.outcomes.loc["policies", "expected"] <= best * (1 + 1e-3)
