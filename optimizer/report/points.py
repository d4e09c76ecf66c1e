"""What the report says of a front beyond its points: outcomes of each, picks, exchange rates."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..front import Front
from ..measured import kpi_means, kpi_values, without_draws
from ..plan import Plan, plain
from ..simulate import Simulator
from .effects import TAILS

Row = dict[str, Any]


def point_outcomes(front: Front) -> list[Row]:
    """Return every KPI of every point: by KPI ``expected``, and ``low`` and ``high``, None with one draw."""
    scenario = front.scenario
    spend = front.plans
    leaves = Simulator.of(scenario).outcomes(spend)
    expected = kpi_means(scenario, leaves, spend)
    draws = kpi_values(scenario, leaves, spend)
    ends: dict[str, Any] = {}
    if leaves.shape[1] > 1:
        ends = {
            name: np.quantile(values, TAILS, axis=1)
            for name, values in draws.items()
            if not without_draws(scenario, name, values)
        }
    rows = []
    for point in range(len(spend)):
        row = {}
        for name in scenario.spec.kpis:
            low, high = (ends[name][end][point] for end in (0, 1)) if name in ends else (None, None)
            row[name] = {"expected": plain(expected[name][point]), "low": plain(low), "high": plain(high)}
        rows.append(row)
    return rows


def picks(front: Front, plan: Plan) -> list[Row]:
    """Return the points that say most, each with its number, KPIs, spend, and what one KPI costs in another there.

    The knee, the point nearest to today's plan, the point nearest to the plan under the stated preferences, and
    each objective's own best.
    """
    names = list(front.scenario.objectives)
    chosen = {"knee": front.knee(), "nearest to today": front.nearest(front.current)}
    expected = plan.outcomes["expected"]
    chosen["nearest to the plan"] = front.nearest(expected[names])
    places = {words: _place(front, made) for words, made in chosen.items()}
    for name in names:
        rising = front.scenario.spec.kpis[name].direction == "maximize"
        column = front.points[name]
        places[f"best {name}"] = int(column.argmax() if rising else column.argmin())
    rates = front.exchange()
    rows = []
    for words, point in places.items():
        at = front.points.iloc[point]
        rows.append(
            {
                "pick": words,
                "point": point,
                "kpis": {name: float(at[name]) for name in names},
                "spend": {line: float(at[f"spend {line}"]) for line in front.scenario.lines},
                "exchange": [
                    {"give": give, "get": get, "rate": plain(rates.iloc[point][give, get])}
                    for give, get in rates.columns
                ],
            }
        )
    return rows


def _place(front: Front, made: Plan) -> int:
    away = np.abs(front.plans - made.spend.to_numpy(dtype=float)).reshape(len(front.points), -1)
    return int(away.sum(axis=1).argmin())
