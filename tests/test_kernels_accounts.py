"""Kernels over accounts against their slow, obvious twins."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_batch import curve_of, effect, make_accounts, make_rules, moves

from optimizer import kernels_accounts as kernels
from optimizer.batch.accounts import read_accounts
from optimizer.batch.rules import load_rules

amounts = st.floats(0, 1e6).map(lambda x: round(x, 2))


@given(st.lists(st.tuples(amounts, amounts), min_size=1, max_size=8))
def test_moves_are_those_of_the_twin(pairs: list[tuple[float, float]]) -> None:
    current, plan = (np.array(side) for side in zip(*pairs, strict=True))
    n = len(pairs)
    count, giver, taker, amount = np.zeros(1, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n)
    kernels.find_moves(np.ones(1, bool), np.array([0, n]), current, plan, count, giver, taker, amount)
    wanted = moves(current, plan)
    assert count[0] == len(wanted)
    for i, (source, sink, moved) in enumerate(wanted):
        assert (giver[i], taker[i]) == (source, sink)
        assert amount[i] == pytest.approx(moved, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("draws", [1, 4])
def test_curves_slopes_and_draws_are_those_of_the_twin(seed: int, draws: int) -> None:
    table = make_accounts(1, lines=4, seed=seed, draws=draws)
    accounts = read_accounts(pa.Table.from_pandas(table), load_rules(make_rules()))
    terms, cells, knots = kernels.curves_of(0, 4, draws, accounts.family, accounts.at, accounts.values)
    for share in (0.0, 0.3, 1.0, 2.7):
        spend = share * accounts.current
        found = kernels.effects_at(spend, accounts.family, terms, cells, knots)
        total = kernels.totals(found, terms, cells, 2)
        for k in range(2):
            naive = [
                [
                    effect(curve_of(row, f"kpi{k}"), x, d)
                    for (_, row), x in zip(table.iterrows(), spend, strict=True)
                ]
                for d in range(draws)
            ]
            assert total[k] == pytest.approx(np.sum(naive) / draws, rel=1e-9)
            for i in range(4):
                cell = slice(cells[4 * k + i], cells[4 * k + i + 1])
                by_draw = terms[3, cell] * found[1, cell] * draws
                np.testing.assert_allclose(by_draw, [row[i] for row in naive], rtol=1e-9, atol=1e-12)


def test_marginals_are_differences() -> None:
    table = make_accounts(1, lines=4, seed=2, draws=2)
    accounts = read_accounts(pa.Table.from_pandas(table), load_rules(make_rules()))
    terms, cells, knots = kernels.curves_of(0, 4, 2, accounts.family, accounts.at, accounts.values)
    today, planned, step = accounts.current, 1.3 * accounts.current, 1e-5 * accounts.current
    marginal = np.zeros((2, 2, 4))
    for side, spend in enumerate((today, planned)):
        effects = kernels.effects_at(spend, accounts.family, terms, cells, knots)
        kernels.marginals(effects, terms, cells, marginal[side])
    for side, spend in enumerate((today, planned)):
        for i in range(4):
            unit = np.eye(4)[i] * step[i]
            up, down = (
                kernels.totals(kernels.effects_at(at, accounts.family, terms, cells, knots), terms, cells, 2)
                for at in (spend + unit, spend - unit)
            )
            np.testing.assert_allclose(marginal[side, :, i], (up - down) / (2 * step[i]), rtol=1e-4)
