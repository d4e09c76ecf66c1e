"""Terms and response tables against the simulator: every family and option of a scenario."""

from __future__ import annotations

import naive_tables
import numpy as np
import pytest
from conftest import make_model, scenario_on_file

from optimizer.curves import FAMILIES
from optimizer.kernels_polish import responses
from optimizer.kernels_tables import number_twins
from optimizer.kernels_terms import bend_of
from optimizer.simulate import Simulator
from optimizer.tables import ResponseTables, Terms

NAMES = ["hill", "points", "michaelis_menten", "power", "log1p", "linear", "logistic", "tanh", "none", "hill"]
LINES = tuple(f"line{i}" for i in range(len(NAMES)))


def simulator(
    tmp_path, seed: int, *, carry_out: bool, past: int = 2, draws: int = 5, flat: bool = False
) -> Simulator:
    """All families on two KPIs, effects or media carrying over, seasons, prices and uneven flighting."""
    rng = np.random.default_rng(seed)
    codes = np.array([np.roll([FAMILIES[name].code for name in NAMES], shift) for shift in (0, 3)])
    points = np.full((2, len(LINES), 5, 2), np.nan)
    points[codes == FAMILIES["points"].code] = np.array(naive_tables.POINTS) * [100.0, 1.0]
    power = codes == FAMILIES["power"].code
    model = make_model(
        draws,
        lines=LINES,
        seed=seed,
        past=past,
        family=codes,
        second=np.where(
            power, rng.uniform(0.3, 1.0, (draws, 1, 1)), rng.uniform(0.4, 4.0, (draws, 2, len(LINES)))
        ),
        first=np.where(np.isin(codes, [1, 4, 8]), 1.0, rng.uniform(20, 200, (draws, 2, len(LINES)))),
        after=rng.random((2, len(LINES))) < 0.5,
        points=points,
    )
    season = [0.5, 1.0, 1.5, 0.0] if not flat else [1.0] * 4
    changes = {"carry_out": carry_out}
    if not flat:
        changes["flighting"] = {name: rng.dirichlet(np.ones(4)).tolist() for name in LINES}
    scenario = scenario_on_file(tmp_path, model, changes=changes)
    found = Simulator.of(scenario)
    # Seasons and prices by hand: what a scenario writes for them is tested elsewhere.
    season = np.concatenate([season, np.ones(found.season.shape[1] - 4)])
    unit = found.unit / rng.uniform(0.5, 2.0, (len(LINES), 1))
    object.__setattr__(found, "season", np.ascontiguousarray(np.broadcast_to(season, found.season.shape)))
    object.__setattr__(found, "unit", unit)
    return found


@pytest.mark.parametrize("carry_out", [False, True])
@pytest.mark.parametrize("past", [0, 2, 9])
@pytest.mark.parametrize("flat", [False, True])
def test_terms_are_the_mean_over_draws_of_the_simulators_effects(tmp_path, carry_out, past, flat):
    sim = simulator(tmp_path, 7 * past + carry_out, carry_out=carry_out, past=past, flat=flat)
    order, money, size = np.random.default_rng(past).permutation(len(LINES)), 250.0, np.array([3.0, 0.2])
    terms = Terms.of(sim, order, money, size)
    tables = ResponseTables(terms, np.zeros(len(LINES)), np.full(len(LINES), 4.0))
    for z in (np.zeros(len(LINES)), np.full(len(LINES), 1e-3), np.linspace(0.1, 4.0, len(LINES))):
        spend = np.empty(len(LINES))
        spend[order] = z * money
        value, slope = sim.effects(spend)
        wanted = value.mean(axis=0)[:, order] / size[:, None]
        rises = slope.mean(axis=0)[:, order] * money / size[:, None]
        for k in range(2):
            one = np.eye(2)[k]
            found, rise = np.empty(len(LINES)), np.empty(len(LINES))
            responses(z, one, 0.0, tables.arrays(), found, rise)
            np.testing.assert_allclose(found, wanted[k], rtol=1e-12, atol=1e-14)
            written = [naive_tables.effect(terms, k, line, z[line]) for line in range(len(LINES))]
            np.testing.assert_allclose(written, wanted[k], rtol=1e-12, atol=1e-14)
            if z.min() > 0 or past == 0:
                np.testing.assert_allclose(rise, rises[k], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("carry_out", [False, True])
@pytest.mark.parametrize("past", [0, 3])
def test_terms_are_those_of_every_period_and_draw(tmp_path, carry_out, past):
    sim = simulator(tmp_path, past, carry_out=carry_out, past=past, draws=3)
    order, size = np.random.default_rng(1).permutation(len(LINES)), np.array([3.0, 0.2])
    terms = Terms.of(sim, order, 250.0, size)
    for k, i in np.ndindex(2, len(LINES)):
        if terms.family[k, i] == 0:
            continue
        cell = slice(*terms.starts[k * len(LINES) + i :][:2])
        wanted, constant = naive_tables.terms_of(sim, k, int(order[i]), 250.0, size[k])
        assert terms.constant[k, i] == pytest.approx(constant, rel=1e-12, abs=1e-15)
        # The same curve may have been written once for several periods: compare what each counts for in all.
        found = terms.table[[0, 1, 3], cell]
        for which in np.unique(np.round(wanted[:2] / np.abs(wanted[:2]).max(), 12), axis=1).T:
            near = [
                np.all(np.abs(rows[:2] / np.abs(wanted[:2]).max() - which[:, None]) < 1e-11, axis=0)
                for rows in (wanted, found)
            ]
            weights = [rows[2, where].sum() for rows, where in zip((wanted, found), near, strict=True)]
            assert weights[1] == pytest.approx(weights[0], rel=1e-12, abs=1e-15)


def test_lines_are_twins_where_nothing_tells_them_apart():
    terms = naive_tables.make_terms(np.random.default_rng(0), 4, 2, 3)
    same = [0, 1, 1, 0]
    family, constant, knots = terms.family[:, same], terms.constant[:, same], terms.knots[:, same]
    cells = [slice(*terms.starts[k * 4 + line :][:2]) for k in range(2) for line in same]
    table = np.concatenate([terms.table[:, cell] for cell in cells], axis=1)
    twins = Terms(*map(np.ascontiguousarray, (family, table, terms.starts, constant, knots)))

    def numbers(upper):
        return number_twins(ResponseTables(twins, np.zeros(4), np.array(upper)).arrays()).tolist()

    assert numbers([1.0, 1.0, 1.0, 1.0]) == [0, 1, 1, 0]
    assert numbers([1.0, 1.0, 2.0, 1.0]) == [0, 1, 2, 0]
    twins.table[3, -1] *= 1 + 1e-15
    assert numbers([1.0, 1.0, 1.0, 1.0]) == [0, 1, 1, 3]


def test_periods_that_are_alike_are_one_term(tmp_path):
    sim = simulator(tmp_path, 1, carry_out=False, past=0, flat=True)
    terms = Terms.of(sim, np.arange(len(LINES)), 1.0, np.ones(2))
    counts = np.diff(terms.starts).reshape(2, -1)
    after = sim.after.astype(bool)
    assert np.all(counts[terms.family == 0] == 0)
    # Effects that carry over: each period's media is the same; media that carries over builds up first.
    assert np.all(counts[after & (terms.family != 0)] == 5)
    assert np.all(
        counts[~after & (terms.family != 0)] <= 5 * np.minimum(4, sim.length)[~after & (terms.family != 0)]
    )


def test_terms_that_count_for_nothing_are_left_out(tmp_path):
    sim = simulator(tmp_path, 2, carry_out=False)
    sim.scale[:, 3] = 0.0
    terms = Terms.of(sim, np.arange(len(LINES)), 1.0, np.ones(2))
    assert np.all(np.diff(terms.starts).reshape(2, -1)[:, 3] == 0)
    assert np.all(terms.table[3] > 0)


@pytest.mark.parametrize("slope", [1.0 + 1e-9, 1.5, 4.0, 20.0])
def test_hill_curves_are_steepest_where_they_bend(slope):
    bend, steepest = bend_of(slope)
    x = bend * np.linspace(0.5, 1.5, 2001) if bend > 1e-3 else np.geomspace(1e-12, 1.0, 2001)
    rise = slope * x ** (slope - 1) / (1 + x**slope) ** 2
    assert rise.max() <= steepest * (1 + 1e-12)
    assert rise.max() >= steepest * (1 - 1e-6)


def test_growing_keeps_what_is_known():
    terms = naive_tables.make_terms(np.random.default_rng(0), 2, 2, 3)
    tables = ResponseTables(terms, np.zeros(2), np.array([1.0, 0.0]), points=3)
    room = tables.grid.shape[1]
    for z in np.linspace(0.01, 0.99, 4 * room):
        tables.add(0, z)
    assert tables.grid.shape[1] > 4 * room - 3
    fresh = ResponseTables(terms, np.zeros(2), np.array([1.0, 0.0]), points=3)
    for i in range(tables.count[0]):
        fresh.add(0, tables.grid[0, i])
    n = tables.count[0]
    assert n == fresh.count[0]
    assert tables.count[1] == 1
    np.testing.assert_array_equal(tables.value[:, :, :n], fresh.value[:, :, :n])
    np.testing.assert_array_equal(tables.lines[:, 0, :, : n - 1], fresh.lines[:, 0, :, : n - 1])
