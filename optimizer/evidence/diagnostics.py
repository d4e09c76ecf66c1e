"""What a fit has seen, how well it forecasts, and what it found: figures, as plain data and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..curves import Floats
from .demand import NOTHING
from .forecast import INTERVAL, Forecast
from .history import FitSpec, History
from .posterior import evidence, known_fit
from .regression import Draws, Setup
from .shapes import WORDS
from .starter import PERIODS, stretches

LOW, HIGH = 0.05, 0.95
# Correlation from which two lines are said to have moved together.
ALIKE = 0.8
# Points along a line's curve in the report, from no spend to this many times the most observed.
CURVE_POINTS, CURVE_REACH = 31, 1.25

Report = dict[str, Any]


@dataclass(frozen=True)
class KpiFit:
    """One KPI's fit, counted as in `regression`.

    Attributes
    ----------
    unit : float
        KPI units in one unit of the regression: ``media_share`` of the KPI's mean.
    series : (T,)
        The KPI in those units.
    forecast : Forecast
        How the same fit would have done on periods it did not know.
    """

    name: str
    unit: float
    series: Floats
    draws: Draws
    forecast: Forecast


def _interval(values: Floats) -> dict[str, float]:
    low, high = np.quantile(values, [LOW, HIGH])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def _r2(actual: Floats, expected: Floats) -> float:
    return float(1.0 - np.sum((actual - expected) ** 2) / max(np.sum((actual - actual.mean()) ** 2), 1e-300))


def report(fitted: Sequence[KpiFit], setup: Setup, baseline: Floats, history: History, spec: FitSpec) -> Report:
    """All figures as plain data, lines in the order of the config; ``baseline`` is (D, K, P) in KPI units."""
    lines = line_report(history, setup, min(PERIODS[spec.period], spec.forecast))
    effects = {one.name: effect_report(one, setup, history, spec) for one in fitted}
    return {
        "kpis": {one.name: kpi_report(one, setup, spec, baseline[:, k]) for k, one in enumerate(fitted)},
        "lines": {line: lines[line] for line in spec.lines},
        "effects": {kpi: {line: by[line] for line in spec.lines} for kpi, by in effects.items()},
        "alike": alike(history, setup),
        "series": {
            "starts": [day.date().isoformat() for day in history.dates],
            **{one.name: series_report(one, setup) for one in fitted},
        },
    }


def series_report(fitted: KpiFit, setup: Setup) -> Report:
    """What happened and what the fit makes of it, by period."""
    expected = known_fit(setup, fitted.draws).mean(axis=0)
    return {
        "actual": (fitted.series * fitted.unit).tolist(),
        "expected": (expected * fitted.unit).tolist(),
    }


def kpi_report(fitted: KpiFit, setup: Setup, spec: FitSpec, future: Floats) -> Report:
    """Figures of one KPI's fit; ``future`` is its baseline forecast (D, P) in KPI units."""
    draws = fitted.draws
    expected = known_fit(setup, draws).mean(axis=0)
    media = draws.gamma @ setup.media.share
    prior = spec.kpis[fitted.name].media_share
    return {
        "mean": float(np.mean(fitted.series) * fitted.unit),
        "media_share_expected": prior,
        "media_share": _interval(media * prior),
        "r2": _r2(fitted.series, expected),
        "typical_miss": float(np.sqrt(np.mean((fitted.series - expected) ** 2)) * fitted.unit),
        "memory": float(draws.memory.mean()),
        "agreement": draws.agreement,
        "holdout": holdout(fitted.forecast, spec.holdout),
        "baseline": _interval(future.mean(axis=1)),
        "baseline_draws_below_zero": float(np.mean(future.min(axis=1) < 0)),
    }


def holdout(forecast: Forecast, periods: int) -> Report:
    """How the fit forecasts periods it does not know, and how forecasts that need no media do.

    ``error_of_mean`` and ``error_of_last_year`` are those of the mean of the earlier periods and of the same
    period a year before (None where the history is too short); ``error_without_media`` that of the same model
    without any line.
    """
    return {
        "periods": periods,
        "origins": len(forecast.totals),
        "error": forecast.error(),
        "r2": forecast.r2(),
        "error_of_mean": forecast.error("mean"),
        "error_of_last_year": forecast.error("last_year"),
        "error_without_media": forecast.error("without_media"),
        "interval": INTERVAL,
        "covered": forecast.covered(),
        "totals_covered": forecast.totals_covered(),
    }


def effect_report(fitted: KpiFit, setup: Setup, history: History, spec: FitSpec) -> Report:
    """What each line does for one KPI: share of it, KPI units for a unit of currency, curve, evidence."""
    per_period = fitted.unit / float(history.spend.to_numpy().sum(axis=1).mean())
    known = evidence(setup, fitted.series, fitted.draws)
    media, draws = setup.media, fitted.draws
    share = media.share * spec.kpis[fitted.name].media_share
    brought = draws.gamma * media.share
    together = np.maximum(brought.sum(axis=1), 1e-300)
    effects = {}
    for i, line in enumerate(history.spend.columns):
        gamma, chosen = draws.gamma[:, i], draws.shape[:, i]
        effects[str(line)] = {
            "share": _interval(gamma * share[i]),
            "share_of_effect": _interval(brought[:, i] / together),
            "return": _interval(gamma * per_period),
            "learned": float(known.learned[i]),
            "score_free_of_sign": float(known.score[i]),
            "carryover_rate": float(media.rate[chosen].mean()),
            "half_of_typical_spend": float(np.median(media.half[chosen])),
            "curve": curve_report(fitted, setup, history, i),
        }
    return effects


def curve_report(fitted: KpiFit, setup: Setup, history: History, line: int) -> Report:
    """Effect a period of the same spend in every period, with its 90 % interval."""
    media, draws = setup.media, fitted.draws
    name = str(history.spend.columns[line])
    spend = np.linspace(0.0, CURVE_REACH * float(history.spend[name].max()), CURVE_POINTS)
    chosen, at = draws.shape[:, line], spend / media.typical[line]
    value = np.broadcast_to(at, (len(chosen), len(at)))
    if media.kinds[line] != "linear":
        half, slope = media.half[chosen][:, None], media.slope[chosen][:, None]
        value = at**slope / (half**slope + at**slope)
    effect = value * (draws.gamma[:, line] * media.share[line] * fitted.unit / media.mean[chosen])[:, None]
    low, high = np.quantile(effect, [LOW, HIGH], axis=0)
    return {
        "spend": spend.tolist(),
        "effect": effect.mean(axis=0).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
    }


def line_report(history: History, setup: Setup, periods: int) -> Report:
    """What the history holds of each line, whatever the KPI; ``latest`` is of so many ``periods`` in a row.

    ``own_movement`` is the share of the variance of a line's saturated media that neither the baseline's
    columns nor other lines make too: the inverse of its variance inflation factor. ``off_for`` counts the
    periods without spend at the end.
    """
    spend = history.spend.to_numpy().T
    known = setup.known
    media = setup.media.columns[setup.media.middle, :known].T
    base = np.column_stack([setup.free[:known], setup.signed[:known]])
    lines, latest = {}, stretches(spend, periods)
    for i, line in enumerate(history.spend.columns):
        others = np.column_stack([base, np.delete(media, i, axis=1)])
        rest = media[:, i] - others @ np.linalg.lstsq(others, media[:, i], rcond=1e-10)[0]
        varies = bool(np.ptp(spend[i]) > 1e-9 * spend[i].max())
        lines[str(line)] = {
            "low": float(spend[i].min()),
            "high": float(spend[i].max()),
            "mean": float(spend[i].mean()),
            "latest": latest[i],
            "curve": setup.media.kinds[i],
            "share_of_spend": float(setup.media.share[i]),
            "periods_on": int(np.sum(spend[i] > 0)),
            "off_for": int(known - 1 - np.flatnonzero(spend[i] > 0)[-1]),
            "varies": varies,
            "own_movement": float(np.sum(rest**2) / np.sum((media[:, i] - media[:, i].mean()) ** 2))
            if varies
            else 0.0,
        }
    return lines


def alike(history: History, setup: Setup) -> list[Report]:
    """Pairs of lines that move together once the baseline's columns are taken out."""
    media = setup.media.columns[setup.media.middle, : setup.known]
    base = np.column_stack([setup.free[: setup.known], setup.signed[: setup.known]])
    rest = media - (base @ np.linalg.lstsq(base, media.T, rcond=1e-10)[0]).T
    size = np.linalg.norm(rest, axis=1)
    # A line that never varied leaves rounding noise behind, which must not be correlated with anything.
    size[size <= NOTHING * np.linalg.norm(media, axis=1)] = np.inf
    correlation = (rest @ rest.T) / np.outer(size, size)
    names = [str(name) for name in history.spend.columns]
    return [
        {"lines": [names[i], names[j]], "correlation": float(correlation[i, j])}
        for i in range(len(names))
        for j in range(i + 1, len(names))
        if abs(correlation[i, j]) >= ALIKE
    ]


def tables(found: Report, currency: str | None) -> dict[str, pd.DataFrame]:
    """Return the figures as tables to read: ``kpis``, ``lines`` and ``effects``."""
    kpis = [
        {
            "KPI": name,
            "mean a period": kpi["mean"],
            "R2": kpi["r2"],
            "held-out R2": kpi["holdout"]["r2"],
            "held-out error": kpi["holdout"]["error"],
            "error of mean": kpi["holdout"]["error_of_mean"],
            "error of last year": kpi["holdout"]["error_of_last_year"],
            "error without media": kpi["holdout"]["error_without_media"],
            "media share": kpi["media_share"]["mean"],
            "low": kpi["media_share"]["low"],
            "high": kpi["media_share"]["high"],
        }
        for name, kpi in found["kpis"].items()
    ]
    lines = [
        {
            "line": name,
            "lowest spend": line["low"],
            "mean spend": line["mean"],
            "highest spend": line["high"],
            "share of spend": line["share_of_spend"],
            "periods on": line["periods_on"],
            "own movement": line["own_movement"],
            "curve": WORDS[line["curve"]],
        }
        for name, line in found["lines"].items()
    ]
    gain = f"per 1,000 {currency}" if currency else "per 1,000 spent"
    effects = [
        {
            "KPI": kpi,
            "line": line,
            "share of KPI": effect["share"]["mean"],
            "share low": effect["share"]["low"],
            "share high": effect["share"]["high"],
            gain: 1000 * effect["return"]["mean"],
            f"{gain}, low": 1000 * effect["return"]["low"],
            f"{gain}, high": 1000 * effect["return"]["high"],
            "learned": effect["learned"],
        }
        for kpi, by_line in found["effects"].items()
        for line, effect in by_line.items()
    ]
    return {"kpis": pd.DataFrame(kpis), "lines": pd.DataFrame(lines), "effects": pd.DataFrame(effects)}
