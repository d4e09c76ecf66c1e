"""Alignment: the loss against closed forms, proportional KPIs, several objectives, and what is refused."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer import Scenario, SpecError
from optimizer.audit.alignment import alignment
from optimizer.response import BY_DRAW

ROOT = Path(__file__).parents[1]


def scenario(rates: tuple[float, float] = (0.2, 0.05), **changes: Any) -> Scenario:
    """Two lines with square-root curves; orders are leads at each line's rate."""

    def curves(scales: tuple[float, ...]) -> dict[str, Any]:
        return {
            name: {"curve": {"kind": "power", "scale": scale, "exponent": 0.5}}
            for name, scale in zip(("brand", "generic"), scales, strict=True)
        }

    leads = (1.0, 2.0)
    data: dict[str, Any] = {
        "name": "two lines",
        "currency": "EUR",
        "horizon": {"start": "2026-01-05", "periods": 4},
        "platform_kpi": "leads",
        "lines": [
            {"name": "brand", "current": 500, "max": 1000},
            {"name": "generic", "current": 500, "max": 1000},
        ],
        "kpis": {
            "orders": {"direction": "maximize", "unit": "orders"},
            "leads": {"direction": "maximize", "unit": "leads", "role": "monitor"},
        },
        "response": {
            "leads": curves(leads),
            "orders": curves(tuple(rate * scale for rate, scale in zip(rates, leads, strict=True))),
        },
        "constraints": {"budget": {"total": 1000}},
    }
    return Scenario.from_dict(data | copy.deepcopy(changes))


def test_the_insurance_case_loses_three_policies_in_ten():
    found = alignment(Scenario.load(ROOT / "scenarios" / "insurance.yaml"))
    assert (found.kpi, found.goal) == ("forms", "policies")
    assert found.change == pytest.approx(-0.3056, abs=0.005)
    assert found.verdict.light == "red"
    assert found.verdict.found
    assert found.rank == -1.0
    assert "30.6 % worse" in found.verdict.reason
    # A form of the one segment is worth 0.18996 policies, of the other 0.04.
    assert found.moves["worth"].to_numpy() == pytest.approx([0.18996, 0.04], rel=1e-4)


def test_the_loss_is_the_closed_form():
    # Under a budget B, sum a_i sqrt(x_i) is best at x_i = B a_i^2 / sum a^2.
    found = alignment(scenario())
    a, b = np.array([1.0, 2.0]), np.array([0.2, 0.1])
    at_leads, at_orders = a**2 / (a**2).sum(), b**2 / (b**2).sum()
    ratio = (b @ np.sqrt(at_leads)) / (b @ np.sqrt(at_orders))
    assert found.change == pytest.approx(ratio - 1.0, rel=1e-5)
    assert found.platform.totals.to_numpy() == pytest.approx(1000 * at_leads, rel=1e-3)
    assert found.moves["move"].to_numpy() == pytest.approx(1000 * (at_orders - at_leads), rel=1e-2)
    assert found.regret == pytest.approx(-found.change * found.outcomes.loc["orders", "business"])


def test_a_proportional_kpi_is_green_and_loses_nothing():
    found = alignment(scenario(rates=(0.1, 0.1)))
    assert found.regret == pytest.approx(0.0, abs=1e-4 * found.outcomes.loc["orders", "business"])
    assert found.verdict.light == "green"
    assert not found.verdict.found
    assert found.rank == 1.0


def test_a_kpi_to_minimize_loses_by_rising():
    kpis = {
        "cost": {"direction": "minimize", "ratio": ["spend", "orders"], "role": "monitor"},
        "orders": {"direction": "maximize"},
        "leads": {"direction": "maximize", "role": "monitor", "proxy_for": "cost", "horizon": "proximal"},
    }
    found = alignment(scenario(kpis=kpis))
    assert found.goal == "cost"
    assert found.regret > 0
    assert found.change > 0
    assert found.verdict.light == "red"


def test_floors_do_not_bind_the_platform():
    free = alignment(scenario())
    floored = alignment(scenario(preferences={"floors": {"leads": 60}}))
    assert floored.platform.totals.to_numpy() == pytest.approx(free.platform.totals.to_numpy())
    assert floored.outcomes.loc["leads", "business"] >= 60 - 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_no_line_order_changes_the_answer(seed):
    base = scenario()
    data = base.spec.model_dump(exclude_none=True)
    order = np.random.default_rng(seed).permutation(2)
    data["lines"] = [data["lines"][i] for i in order]
    assert alignment(Scenario.from_dict(data)).regret == pytest.approx(alignment(base).regret, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"platform_kpi": None}, "does not say what the ad platform optimises"),
        (
            {"kpis": {"orders": {"direction": "maximize"}, "leads": {"unit": "leads"}}},
            "'leads' has no direction",
        ),
        (
            {
                "kpis": {
                    "orders": {"direction": "maximize"},
                    "leads": {"direction": "maximize", "role": "monitor"},
                    "margin": {"direction": "maximize", "product": ["orders", 5]},
                },
                "preferences": {"values": {"orders": 1.0, "margin": 2.0}},
            },
            "which is 'leads' held against",
        ),
    ],
)
def test_what_is_not_clear_is_asked_for(changes, words):
    with pytest.raises(SpecError, match=words):
        alignment(scenario(**changes))


def test_an_unknown_goal_is_refused():
    with pytest.raises(SpecError, match="unknown KPI 'profit'"):
        alignment(scenario(), goal="profit")


@pytest.mark.parametrize(("spread", "light"), [(0.05, "red"), (1.5, "yellow")])
def test_a_loss_that_the_draws_are_not_sure_of_is_yellow(tmp_path, spread, light):
    draws = 200
    base = scenario(rates=(0.2, 0.07)).response
    rng = np.random.default_rng(4)
    noise = np.exp(rng.normal(0, spread, (draws, 2, 2)))
    noise[:, base.kpis.index("leads")] = 1.0
    by_draw = {
        name: np.repeat(getattr(base, name), draws, axis=0) for name in BY_DRAW if getattr(base, name).ndim > 1
    }
    by_draw["scale"] = by_draw["scale"] * noise / noise.mean(axis=0)
    replace(base, **by_draw, baseline=np.zeros((draws, *base.baseline.shape[1:]))).save(tmp_path / "response.nc")
    data = scenario().spec.model_dump(exclude_none=True)
    data["response"] = {"file": "response.nc"}
    found = alignment(Scenario.from_dict(data, tmp_path))
    assert found.verdict.light == light
    assert (found.low < found.change < found.high) or light == "yellow"
    assert (found.high < 0) == (light == "red")
