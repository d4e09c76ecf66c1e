"""Batches: what is recommended to each account, that nothing but the account decides it, and its rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_batch import ALL_KINDS, SMOOTH_KINDS, best_of_grid, kpi_of, make_accounts, make_rules

import optimizer as opt
from optimizer.batch.accounts import read_accounts
from optimizer.batch.reading import Source
from optimizer.batch.rules import load_rules
from optimizer.batch.scenarios import scenario_of


def one(accounts: pd.DataFrame, rules: dict[str, Any]) -> Any:
    found = opt.reallocate(accounts, rules)
    assert found.failed.empty, found.failed
    return found


# The result of an account


@pytest.mark.parametrize("seed", range(2))
def test_kpis_are_what_the_curves_say_and_no_grid_point_is_better_than_the_bound(seed: int) -> None:
    accounts = make_accounts(3, lines=3, seed=seed, draws=3)
    found = one(accounts, make_rules())
    for name, rows in accounts.groupby("account"):
        row, plan = found.accounts.loc[name], found.lines.loc[name]["plan"].to_numpy()
        current = rows["current"].to_numpy()
        today = {kpi: kpi_of(rows, kpi, current, 3) for kpi in ("kpi0", "kpi1")}
        for kpi in today:
            by_draw = kpi_of(rows, kpi, plan, 3)
            assert row[f"{kpi}.today"] == pytest.approx(today[kpi].mean(), rel=1e-9)
            assert row[f"{kpi}.expected"] == pytest.approx(by_draw.mean(), rel=1e-9)
            low, high = np.quantile(by_draw, [0.05, 0.95])
            assert (row[f"{kpi}.low"], row[f"{kpi}.high"]) == pytest.approx((low, high), rel=1e-9)
            change = np.quantile(by_draw - today[kpi], [0.05, 0.95])
            assert (row[f"{kpi}.change_low"], row[f"{kpi}.change_high"]) == pytest.approx(tuple(change), abs=1e-9)
            assert row[f"{kpi}.p_better"] == pytest.approx(np.mean(by_draw > today[kpi]))

        def worth(spend: np.ndarray, rows: pd.DataFrame = rows, today: dict[str, Any] = today) -> float:
            return sum(0.5 * (kpi_of(rows, kpi, spend, 3).mean() / today[kpi].mean() - 1) / 0.4 for kpi in today)

        assert row["gain"] == pytest.approx(worth(plan), abs=1e-9)
        best = best_of_grid(worth, rows["min"].to_numpy(), rows["max"].to_numpy(), current.sum(), 15)
        assert row["most_gain"] >= best - 1e-9
        assert row["gap"] <= 1e-5
        gain = sum((kpi_of(rows, k, plan, 3) - today[k]) / today[k].mean() for k in today)
        assert row["p_improvement"] == pytest.approx(np.mean(gain > 0))


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 3), st.sampled_from([-0.3, 0.0, 0.2]))
def test_rules_are_kept_moves_add_up_and_nobody_is_worse_off(
    seed: int, lines: int, kpis: int, change: float
) -> None:
    accounts = make_accounts(3, lines=lines, kpis=kpis, seed=seed)
    found = one(accounts, make_rules(kpis, budget={"change": change}))
    for name, rows in accounts.groupby("account"):
        lines_of, row = found.lines.loc[name], found.accounts.loc[name]
        current = rows["current"].to_numpy()
        assert (lines_of["current"].to_numpy() == current).all()
        plan = lines_of["plan"].to_numpy()
        assert plan.sum() == pytest.approx(current.sum() * (1 + change), rel=1e-9)
        assert (plan >= rows["min"].to_numpy()).all()
        assert (plan <= rows["max"].to_numpy()).all()
        moves = found.moves[found.moves["account"] == name]
        assert (moves["amount"] > 0).all()
        steps = dict(zip(lines_of.index, plan - current, strict=True))
        for line, step in steps.items():
            into = moves.loc[moves["to"] == line, "amount"].sum()
            out = moves.loc[moves["from"] == line, "amount"].sum()
            assert into - out == pytest.approx(step, abs=1e-9 * current.sum())
            assert into == 0 or out == 0
        added = moves.loc[moves["from"].isna(), "amount"].sum() - moves.loc[moves["to"].isna(), "amount"].sum()
        assert added == pytest.approx(change * current.sum(), abs=1e-9 * current.sum())
        assert 0 <= row["gap"] <= 1e-5
        if change == 0:
            assert row["gain"] >= 0


@settings(max_examples=15)
@given(
    st.integers(0, 10_000),
    st.sampled_from([SMOOTH_KINDS, ALL_KINDS]),
    st.fixed_dictionaries(
        {},
        optional={
            "floors": st.sampled_from([{"kpi1": 0.99}, {"kpi0": 1.02}]),
            "shares": st.sampled_from([[{"select": {"channel": "b"}, "max": 0.4}]]),
            "minimum_if_on": st.sampled_from([[{"select": {"channel": "a"}, "amount": 120.0}]]),
            "change": st.sampled_from([{"up": 0.4, "down": 0.3}]),
        },
    ),
)
def test_no_rule_is_broken_and_todays_split_is_never_better_where_it_is_allowed(
    seed: int, kinds: tuple[str, ...], rules: dict[str, Any]
) -> None:
    accounts = make_accounts(3, seed=seed, kinds=kinds)
    found = opt.reallocate(accounts, make_rules(**rules))
    for name, row in found.accounts.iterrows():
        rows = accounts[accounts["account"] == name]
        today, plan = rows["current"].to_numpy(), found.lines.loc[name]["plan"].to_numpy()
        assert keeps(rows, plan, rules)
        if keeps(rows, today, rules):
            assert row["gain"] >= 0
    for name in found.failed.index:
        rows = accounts[accounts["account"] == name]
        assert not keeps(rows, rows["current"].to_numpy(), rules)


def keeps(rows: pd.DataFrame, spend: np.ndarray, rules: dict[str, Any]) -> bool:
    """Whether a split of an account keeps budget, ranges and rules."""
    today = rows["current"].to_numpy()
    total, near = today.sum(), 1e-9 * today.sum()
    good = abs(spend.sum() - total) <= near and bool(
        np.all((spend >= rows["min"] - near) & (spend <= rows["max"] + near))
    )
    if "change" in rules:
        up, down = rules["change"]["up"], rules["change"]["down"]
        good &= bool(np.all((spend <= today * (1 + up) + near) & (spend >= today * (1 - down) - near)))
    for rule in rules.get("shares", []):
        chosen = (rows["channel"] == rule["select"]["channel"]).to_numpy()
        good &= bool(spend[chosen].sum() <= rule["max"] * spend.sum() + near)
    for rule in rules.get("minimum_if_on", []):
        chosen = (rows["channel"] == rule["select"]["channel"]).to_numpy()
        good &= bool(np.all((spend[chosen] <= near) | (spend[chosen] >= rule["amount"] - near)))
    for kpi, share in rules.get("floors", {}).items():
        floor = share * kpi_of(rows, kpi, today).mean()
        good &= bool(kpi_of(rows, kpi, spend).mean() >= floor * (1 - 1e-8))
    return good


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(2, 4), st.sampled_from([SMOOTH_KINDS, ALL_KINDS]))
def test_small_accounts_equal_solve_whatever_their_curves(seed: int, lines: int, kinds: tuple[str, ...]) -> None:
    table, rules = make_accounts(3, lines=lines, seed=seed, kinds=kinds).assign(min=0.0), make_rules()
    found, checked = one(table, rules), load_rules(rules)
    accounts = read_accounts(pa.Table.from_pandas(table), checked)
    for a, name in enumerate(accounts.names.to_pylist()):
        rows = table[table["account"] == name]
        today = np.array([kpi_of(rows, k, rows["current"].to_numpy()).mean() for k in checked.kpis])
        plan = opt.solve(scenario_of(accounts, checked, a, today), tolerance=1e-6)
        planned = plan.outcomes.loc[list(checked.kpis), "expected"].to_numpy()
        best = float(np.mean((planned / today - 1.0) / 0.4))
        row = found.accounts.loc[name]
        assert row["gain"] == pytest.approx(best, abs=2e-5)
        assert row["most_gain"] >= best - 1e-9
        assert row["route"] == "separable"


@settings(max_examples=12)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_neither_order_nor_chunks_nor_threads_change_a_result(seed: int, random: Any) -> None:
    accounts, rules = make_accounts(7, seed=seed, draws=2), make_rules()
    found = one(accounts, rules)
    order = list(range(len(accounts)))
    random.shuffle(order)
    for other in (
        opt.reallocate(accounts.iloc[order], rules),
        opt.reallocate(accounts, rules, chunk=2, threads=2),
        opt.reallocate(accounts.iloc[::-1], rules, chunk=3, threads=1),
        opt.reallocate(accounts[accounts["account"] != "account 3"], rules),
    ):
        names = other.accounts.index
        pd.testing.assert_frame_equal(found.accounts.loc[names], other.accounts)
        pd.testing.assert_frame_equal(found.lines.loc[names], other.lines)
        kept = found.moves[found.moves["account"].isin(names)].set_index("account").loc[names.unique()]
        moved = [name for name in names if name in set(kept.index)]
        pd.testing.assert_frame_equal(kept.loc[moved], other.moves.set_index("account").loc[moved])


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_units_of_kpis_and_money_change_no_recommendation(factor: float) -> None:
    accounts, rules = make_accounts(5, seed=3), make_rules()
    found = one(accounts, rules)
    scaled = accounts.copy()
    scaled["kpi1.scale"] = [None if s is None else [x * factor for x in s] for s in scaled["kpi1.scale"]]
    scaled["kpi1.effect"] = [None if s is None else [x * factor for x in s] for s in scaled["kpi1.effect"]]
    other = one(scaled, rules)
    np.testing.assert_allclose(other.lines["plan"], found.lines["plan"], rtol=1e-3)
    np.testing.assert_allclose(other.accounts["gain"], found.accounts["gain"], atol=2e-5)
    assert list(other.accounts["level"]) == list(found.accounts["level"])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tradeoff": {"values": {"kpi0": 3.0, "kpi1": 0.5}}},
        {"budget": {"change": 0.2, "spend": "at_most"}},
        {"change": {"up": 0.3, "down": 0.2}},
        {"floors": {"kpi1": 1.02}},
        {"shares": [{"select": {"channel": "b"}, "max": 0.3}]},
        {"minimum_if_on": [{"select": {"channel": "a"}, "amount": 150.0}]},
    ],
    ids=["plain", "values", "at most", "steps", "floors", "shares", "minimum if on"],
)
@pytest.mark.parametrize("draws", [1, 3])
def test_small_accounts_equal_solve(changes: dict[str, Any], draws: int) -> None:
    table = make_accounts(4, seed=12, draws=draws)
    table["min"] = 0.0
    rules = make_rules(**changes)
    found = opt.reallocate(table, rules)
    checked = load_rules(rules)
    accounts = read_accounts(pa.Table.from_batches(Source.of(table).batches()), checked)
    routes = set()
    for a, name in enumerate(accounts.names.to_pylist()):
        rows = table[table["account"] == name]
        today = np.array([kpi_of(rows, k, rows["current"].to_numpy(), draws).mean() for k in checked.kpis])
        try:
            plan = opt.solve(scenario_of(accounts, checked, a, today), tolerance=1e-6)
        except opt.OptimizerError:
            assert name in found.failed.index
            continue
        row = found.accounts.loc[name]
        routes.add(row["route"])
        for k in checked.kpis:
            spend = found.lines.loc[name]["plan"].to_numpy()
            assert row[f"{k}.expected"] == pytest.approx(kpi_of(rows, k, spend, draws).mean(), rel=1e-9)
        weights = {k: 0.5 / 0.4 / t for k, t in zip(checked.kpis, today, strict=True)}
        if "tradeoff" in changes:
            weights = changes["tradeoff"]["values"]
        size = sum(weights[k] * row[f"{k}.expected"] for k in checked.kpis)
        best = sum(weights[k] * plan.outcomes.loc[k, "expected"] for k in checked.kpis)
        assert size == pytest.approx(best, rel=1e-4)
    if {"floors", "shares", "minimum_if_on"} & set(changes):
        assert routes - {"separable"}


def test_todays_split_is_kept_where_it_is_best() -> None:
    accounts = make_accounts(3, seed=5)
    found = one(accounts, make_rules())
    best = accounts.copy()
    best["current"] = found.lines["plan"].to_numpy()
    best["min"] = best["max"] = best["current"]
    again = one(best, make_rules())
    assert again.moves.empty
    assert (again.accounts["gain"] == 0).all()
    assert (again.lines["stopped_by"] == "fixed").all()


def test_an_account_of_one_line_stays_where_it_is() -> None:
    found = one(make_accounts(2, lines=1), make_rules())
    assert found.moves.empty
    assert (found.lines["difference"] == 0).all()


def test_less_is_better_where_the_direction_says_so() -> None:
    accounts = make_accounts(3, seed=2)
    rules = make_rules()
    rules["kpis"]["kpi1"]["direction"] = "minimize"
    rules["tradeoff"]["scale"]["kpi1"] = [0.2, -0.2]
    found, other = one(accounts, rules), one(accounts, make_rules())
    assert (found.accounts["kpi1.expected"] <= other.accounts["kpi1.expected"] + 1e-6).all()
    assert (found.accounts["gain"] >= 0).all()


def test_what_stops_a_line_is_named() -> None:
    accounts = make_accounts(4, seed=8)
    found = one(accounts, make_rules(change={"up": 0.1, "down": 0.1}))
    lines = found.lines
    assert set(lines["stopped_by"]) & {"change up", "change down"}
    up = lines[lines["stopped_by"] == "change up"]
    np.testing.assert_allclose(up["plan"], 1.1 * up["current"])
    for name, row in found.accounts.iterrows():
        stops = lines.loc[name]["stopped_by"]
        assert list(row["binding"]) == [f"{line}: {stop}" for line, stop in stops.items() if stop]


def test_tiers_state_their_own_trade_off() -> None:
    accounts = make_accounts(4, seed=4)
    accounts["tier"] = np.where(accounts["account"].isin(["account 0", "account 1"]), "a", "b")
    scale = {"kpi0": [-0.2, 0.2], "kpi1": [-0.2, 0.2]}
    rules = make_rules()
    del rules["tradeoff"]
    rules["tiers"] = {
        "a": {"weights": {"kpi0": 1.0, "kpi1": 0.0}, "scale": scale},
        "b": {"weights": {"kpi0": 0.0, "kpi1": 1.0}, "scale": scale},
    }
    found = one(accounts, rules)
    swapped = accounts.assign(tier=np.where(accounts["tier"] == "a", "b", "a"))
    other = one(swapped, rules)
    for name, row in found.accounts.iterrows():
        kpi = "kpi0" if name in ("account 0", "account 1") else "kpi1"
        assert row[f"{kpi}.expected"] >= other.accounts.loc[name, f"{kpi}.expected"] - 1e-6


# Rules that say nothing clear


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tradeoff": {}}, "no trade-off is stated"),
        ({"tradeoff": {"weights": {"kpi0": 1.0, "kpi1": 1.0}}}, "no scale"),
        ({"tradeoff": {"weights": {"kpi0": 1.0}, "scale": {"kpi0": [0, 1]}}}, "no part in the trade-off"),
        ({"tradeoff": {"weights": {"kpi9": 1.0}}}, "unknown KPI 'kpi9'"),
        ({"tradeoff": {"values": {"kpi0": 1.0, "kpi1": -1.0}}}, "greater than 0"),
        ({"floors": {"kpi9": 1.0}}, "unknown KPI 'kpi9'"),
        ({"currency": "euro"}, "not a currency code"),
        ({"budget": {"change": -2.0}}, "greater than or equal"),
        ({"decisions": {"confirm": {"shift": 0.5}, "blocked": {"shift": 0.1}}}, "stricter"),
        ({"tiers": {"a": {}}}, "keep one of them"),
        ({"extra": 1}, "unknown field"),
        ({"shares": [{"select": {"market": "x"}, "max": 0.5}]}, "'market', which is no column"),
    ],
)
def test_unclear_rules_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(opt.SpecError if "market" not in says else opt.DataError) as caught:
        opt.reallocate(make_accounts(1), make_rules(**changes))
    assert says in str(caught.value)
