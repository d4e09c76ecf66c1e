"""Kinds of curves that a history speaks for: odds against their twin, what is told, and what is left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fit_worlds import history_of, lines_of, spec_of

from optimizer.curves import Floats
from optimizer.evidence import kinds
from optimizer.evidence.baseline import baseline
from optimizer.evidence.fit import Fit, fit
from optimizer.evidence.history import History
from optimizer.evidence.regression import Draws, Setup, assemble, draw, stiffness
from optimizer.evidence.shapes import Candidates, candidates, grid


def bent(seed: int, noise: float, scale: float = 1.0, periods: int = 140) -> History:
    """Three lines: an S-shaped one, a straight one and a concave one, in that order."""
    rng = np.random.default_rng(seed)
    spend = np.exp(rng.normal(0, 0.8, (3, periods))) * np.array([[50.0], [80.0], [60.0]])
    s_shaped = 400 * spend[0] ** 3 / (60**3 + spend[0] ** 3)
    sales = 1000 + s_shaped + 3 * spend[1] + 500 * spend[2] / (40 + spend[2])
    return history_of(scale * spend, sales + noise * rng.normal(size=periods))


def curves(found: Fit) -> list[str]:
    return [line["curve"] for line in found.diagnostics["lines"].values()]


def small(seed: int) -> tuple[Setup, np.ndarray, np.ndarray, Draws]:
    """A setup of three lines over sixteen weeks, their spend, a series and draws."""
    rng = np.random.default_rng(seed)
    history = bent(seed, 20.0, periods=16)
    spec = spec_of(3, season=0, chasing=1.0)
    spend = history.spend.to_numpy().T
    setup = assemble(spend, baseline(history, spec), dict.fromkeys(lines_of(3), "concave"), spec, 16)
    series = history.kpis["sales"].to_numpy() / 300.0
    return setup, spend, series, draw(setup, series, 12, int(rng.integers(100)))


def twin_log_odds(setup: Setup, other: Candidates, series: Floats, draws: Draws) -> Floats:
    """Mean over draws of a line's log odds of other candidates, sizes integrated on a grid, all dense: (L,)."""
    known, stiff = setup.known, stiffness(setup, series)
    wide = np.column_stack([setup.free[:known], setup.demand])
    found = np.empty(draws.gamma.shape)
    for d in range(len(draws.gamma)):
        memory, variance, level = draws.memory[d], draws.variance[d], draws.level[d]
        away = np.abs(np.subtract.outer(np.arange(known), np.arange(known)))
        noise = variance * memory**away / (1.0 - memory**2)
        # A coefficient that no prior holds may be anything.
        spread = [variance / max(one, 1e-9) for one in stiff]
        spread += [variance / (1.0 - memory**2) * sd**2 for sd in setup.demand_sd]
        inverse = np.linalg.inv(noise + wide @ np.diag(spread) @ wide.T)
        for line in range(found.shape[1]):
            rest = series - setup.signed[:known] @ draws.control[d]
            for one in range(found.shape[1]):
                if one != line:
                    rest = rest - draws.gamma[d, one] * setup.media.columns[draws.shape[d, one], :known]
            weights = []
            for media in (other, setup.media):
                likely = []
                for column in media.columns[media.first[line] : media.first[line + 1], :known]:
                    for width in (0.5, 1.0, 2.0):
                        sizes = np.linspace(0.0, level * (1.0 + 8.0 * width), 2001)
                        prior = np.exp(-0.5 * ((sizes / level - 1.0) / width) ** 2)
                        prior[0] /= 2.0
                        # Squares of rest - size * column, less that of rest.
                        misfit = sizes**2 * (column @ inverse @ column) - 2.0 * sizes * (rest @ inverse @ column)
                        fits = prior @ np.exp(-0.5 * (misfit - misfit.min()))
                        likely.append(np.log(fits / prior.sum()) - 0.5 * misfit.min())
                most = max(likely)
                weights.append(most + np.log(np.mean(np.exp(np.array(likely) - most))))
            found[d, line] = weights[0] - weights[1]
    return found.mean(axis=0)


@pytest.mark.parametrize("seed", range(3))
def test_odds_are_those_of_the_twin(seed: int) -> None:
    setup, spend, series, draws = small(seed)
    others = [candidates(spend, [kind] * 3, "week", 8, setup.known) for kind in kinds.OTHERS]
    expected = np.array([twin_log_odds(setup, other, series, draws) for other in others])
    assert kinds.log_odds(setup, others, series, draws) == pytest.approx(expected, abs=1e-4)


def test_the_same_candidates_are_as_likely() -> None:
    setup, _, series, draws = small(5)
    assert kinds.log_odds(setup, [setup.media], series, draws) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_a_history_tells_what_is_not_concave(seed: int) -> None:
    found = fit(bent(seed, 10.0), spec_of(3, season=0))
    assert curves(found) == ["s_shaped", "linear", "concave"]
    assert found.model.linear().tolist() == [[False, True, False]]
    note = next(note for note in found.notes if "speaks against" in note)
    assert "line0 (S-shaped, odds above 1,000 to 1)" in note
    assert "line1 (straight" in note
    assert "line2" not in note


@pytest.mark.parametrize("seed", range(4))
def test_noise_tells_nothing(seed: int) -> None:
    assert curves(fit(bent(seed, 1500.0), spec_of(3, season=0))) == ["concave"] * 3


@pytest.mark.parametrize("seed", range(3))
def test_what_is_not_told_may_be_all_but_straight(seed: int) -> None:
    """Kinds are asked of curves that bend; a straight line that is not told is then as straight as curves go."""
    assert set(grid("week", "bent")[:, 1]) == set(grid("week")[:, 1]) - {16.0}
    found = fit(bent(seed, 400.0), spec_of(3, season=0))
    assert found.diagnostics["lines"]["line1"]["curve"] == "concave"
    assert found.diagnostics["effects"]["sales"]["line1"]["half_of_typical_spend"] == 16.0


def test_what_is_stated_stays() -> None:
    """As concave, a line that is S-shaped seems to bring several times what it does where little is spent."""
    history, spec = bent(0, 10.0), spec_of(3, season=0)
    lines = {name: line.model_copy(update={"curve": "concave"}) for name, line in spec.lines.items()}
    stated, told = fit(history, spec.model_copy(update={"lines": lines})), fit(history, spec)
    assert curves(stated) == ["concave"] * 3
    assert not any("speaks against" in note for note in stated.notes)
    assert "log_odds" not in stated.diagnostics["lines"]["line0"]
    found = [one.diagnostics["effects"]["sales"]["line0"]["curve"] for one in (stated, told)]
    brought = [np.interp(20.0, curve["spend"], curve["effect"]) for curve in found]
    truth = 400 * 20**3 / (60**3 + 20**3)
    assert abs(brought[1] - truth) < 0.5 * abs(brought[0] - truth)


def test_odds_know_no_unit_and_no_order() -> None:
    spec = spec_of(3, season=0)
    first, second = (fit(bent(1, 40.0, scale), spec) for scale in (1.0, 117.0))
    turned = dict(reversed(spec.lines.items()))
    third = fit(bent(1, 40.0), spec.model_copy(update={"lines": turned}))
    for name, line in first.diagnostics["lines"].items():
        for found in (second, third):
            assert found.diagnostics["lines"][name]["log_odds"] == pytest.approx(line["log_odds"], abs=1e-6)


def test_kinds_are_those_of_the_clearest_kpi() -> None:
    """A line is S-shaped for all KPIs or for none; where one says nothing, its curve may still be concave."""
    history = bent(2, 10.0)
    leads = 500 + np.random.default_rng(1).normal(0, 50, len(history.dates))
    both = replace(history, kpis=history.kpis.assign(leads=leads))
    spec = spec_of(3, season=0)
    more = {**spec.kpis, "leads": spec.kpis["sales"].model_copy(update={"column": "leads"})}
    found = fit(both, spec.model_copy(update={"kpis": more}))
    assert curves(found) == ["s_shaped", "linear", "concave"]
    alone = fit(history, spec)
    for name, line in alone.diagnostics["lines"].items():
        for kind, odds in line["log_odds"].items():
            assert found.diagnostics["lines"][name]["log_odds"][kind] >= odds - 1e-9


def test_the_clearest_go_first_where_there_is_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """An S-shaped line has 144 candidates where a concave one has 36, a straight one 6."""
    history, spec = bent(3, 10.0), spec_of(3, season=0)
    monkeypatch.setattr(kinds, "MOST_CANDIDATES", 3 * 36 + 50)
    found = fit(history, spec)
    assert curves(found) == ["concave", "linear", "concave"]
    assert any("line0 (S-shaped" in note and "concave all the same" in note for note in found.notes)


def test_every_origin_decides_by_what_it_knew() -> None:
    """Periods to come never change a forecast: not by the kinds of curves either."""
    from optimizer.evidence.forecast import rolled

    history, spec = bent(0, 10.0), spec_of(3, season=0, holdout=8)
    base, spend = baseline(history, spec), history.spend.to_numpy().T
    sales = history.kpis["sales"].to_numpy()
    changed = sales.copy()
    changed[100:] = np.random.default_rng(2).permutation(changed[100:])
    tables = [rolled(spend, values, base, lines_of(3), spec, [100], 0.3).table for values in (sales, changed)]
    same = ["expected", "low", "high"]
    pd.testing.assert_frame_equal(tables[0][same], tables[1][same])
