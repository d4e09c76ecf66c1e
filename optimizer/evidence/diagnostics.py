"""What a fit has seen, how well it predicts, what the data cannot tell: figures, and sentences of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..curves import Floats
from .history import FitSpec, History
from .regression import MIDDLE, PRIOR_SD, Design, Draws, Estimate, estimate, evidence

LOW, HIGH = 0.05, 0.95
YEAR = {"day": 364, "week": 52}
# Where the notes begin to warn.
LITTLE_LEARNED = 0.2
ALIKE = 0.8
OWN_MOVEMENT = 0.2
MOSTLY_OFF = 0.25
FAR_FROM_EXPECTED = 2.0
AUTOCORRELATED = 0.5
NEGATIVE = -0.5

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
    """

    name: str
    unit: float
    series: Floats
    design: Design
    best: Estimate
    draws: Draws


def _interval(values: Floats) -> dict[str, float]:
    low, high = np.quantile(values, [LOW, HIGH])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def _r2(actual: Floats, expected: Floats) -> float:
    return float(1.0 - np.sum((actual - expected) ** 2) / max(np.sum((actual - actual.mean()) ** 2), 1e-300))


def _error(actual: Floats, expected: Floats | float) -> float:
    """Sum of absolute errors over the sum of the actual values: unlike MAPE it stands a period of zero."""
    return float(np.sum(np.abs(actual - expected)) / max(np.sum(np.abs(actual)), 1e-300))


def holdout(fitted: KpiFit, periods: int, year: int) -> Report:
    """Fit without the last periods and predict them from what was spent in them.

    ``error_of_mean`` and ``error_of_last_year`` are those of two forecasts that need no model: the mean of
    the earlier periods, and the same period a year before (None where the history is too short).
    """
    known = len(fitted.series) - periods
    design, series = fitted.design, fitted.series
    before = design.first_periods(known)
    best = estimate(before, series[:known])
    theta = before.baseline(series[:known] - before.media(best.shape) @ best.gamma)
    expected = (design.free @ theta + design.media(best.shape) @ best.gamma)[known:]
    actual = series[known:]
    compares = known >= year >= periods
    return {
        "periods": periods,
        "error": _error(actual, expected),
        "r2": _r2(actual, expected),
        "error_of_mean": _error(actual, float(series[:known].mean())),
        "error_of_last_year": _error(actual, series[known - year : len(series) - year]) if compares else None,
    }


def report(fitted: Sequence[KpiFit], baseline: Floats, history: History, spec: FitSpec, points: Floats) -> Report:
    """All figures as plain data, lines in the order of the config; ``baseline`` is (D, K, P) in KPI units."""
    design = fitted[0].design
    lines = line_report(history, design)
    effects = {one.name: effect_report(one, history, spec, points) for one in fitted}
    return {
        "kpis": {one.name: kpi_report(one, spec, baseline[:, k]) for k, one in enumerate(fitted)},
        "lines": {line: lines[line] for line in spec.lines},
        "effects": {kpi: {line: by[line] for line in spec.lines} for kpi, by in effects.items()},
        "alike": alike(history, design),
    }


def kpi_report(fitted: KpiFit, spec: FitSpec, future: Floats) -> Report:
    """Figures of one KPI's fit; ``future`` is its baseline forecast (D, P) in KPI units."""
    design, draws = fitted.design, fitted.draws
    in_draws = [
        design.free @ theta + design.media(shape) @ gamma
        for theta, shape, gamma in zip(draws.theta, draws.shape, draws.gamma, strict=True)
    ]
    expected = np.mean(in_draws, axis=0)
    media = draws.gamma @ design.share
    prior = spec.kpis[fitted.name].media_share
    return {
        "mean": float(np.mean(fitted.series) * fitted.unit),
        "media_share_expected": prior,
        "media_share": _interval(media * prior),
        "r2": _r2(fitted.series, expected),
        "typical_miss": float(np.sqrt(np.mean((fitted.series - expected) ** 2)) * fitted.unit),
        "autocorrelation": fitted.best.autocorrelation,
        "holdout": holdout(fitted, spec.holdout, YEAR[spec.period]),
        "baseline": _interval(future.mean(axis=1)),
        "baseline_draws_below_zero": float(np.mean(future.min(axis=1) < 0)),
    }


def effect_report(fitted: KpiFit, history: History, spec: FitSpec, points: Floats) -> Report:
    """What each line does for one KPI: share of it, KPI units for one unit of currency, and the evidence."""
    per_period = fitted.unit / float(history.spend.to_numpy().sum(axis=1).mean())
    known = evidence(fitted.design, fitted.series, fitted.best)
    share = fitted.design.share * spec.kpis[fitted.name].media_share
    effects = {}
    for i, line in enumerate(history.spend.columns):
        gamma, chosen = fitted.draws.gamma[:, i], points[fitted.draws.shape[:, i]]
        effects[str(line)] = {
            "share": _interval(gamma * share[i]),
            "return": _interval(gamma * per_period),
            "learned": float(known.learned[i]),
            "score_free_of_sign": float(known.score[i]),
            "draws_at_zero": float(np.mean(gamma == 0)),
            "carryover_rate": float(chosen[:, 0].mean()),
            "half_of_typical_spend": float(np.median(chosen[:, 1])),
        }
    return effects


def line_report(history: History, design: Design) -> Report:
    """What the history holds of each line, whatever the KPI.

    ``own_movement`` is the share of the variance of a line's saturated media that neither the baseline's
    columns nor other lines make too: the inverse of its variance inflation factor.
    """
    spend = history.spend.to_numpy().T
    media = design.media(np.full(len(spend), MIDDLE))
    lines = {}
    for i, line in enumerate(history.spend.columns):
        others = np.column_stack([design.free, np.delete(media, i, axis=1)])
        rest = media[:, i] - others @ np.linalg.lstsq(others, media[:, i], rcond=1e-10)[0]
        varies = bool(np.ptp(spend[i]) > 1e-9 * spend[i].max())
        lines[str(line)] = {
            "low": float(spend[i].min()),
            "high": float(spend[i].max()),
            "mean": float(spend[i].mean()),
            "share_of_spend": float(design.share[i]),
            "periods_on": int(np.sum(spend[i] > 0)),
            "varies": varies,
            "own_movement": float(np.sum(rest**2) / np.sum((media[:, i] - media[:, i].mean()) ** 2))
            if varies
            else 0.0,
        }
    return lines


def alike(history: History, design: Design) -> list[Report]:
    """Pairs of lines that move together once the baseline's columns are taken out."""
    inner = design.gram[:, MIDDLE, :, MIDDLE]
    size = np.sqrt(np.maximum(np.diagonal(inner), 0.0))
    # A line that never varied leaves rounding noise behind, which must not be correlated with anything.
    size[size <= 1e-6 * np.linalg.norm(design.columns[:, MIDDLE], axis=-1)] = np.inf
    correlation = inner / np.outer(size, size)
    names = [str(name) for name in history.spend.columns]
    return [
        {"lines": [names[i], names[j]], "correlation": float(correlation[i, j])}
        for i in range(len(names))
        for j in range(i + 1, len(names))
        if abs(correlation[i, j]) >= ALIKE
    ]


def notes(found: Report, history: History, spec: FitSpec) -> tuple[str, ...]:
    """Say in words what the data cannot tell."""
    said = [
        "A quick fit on history alone: it finds what moved together, not what caused what. "
        "Check a large move by an experiment before it is made in full.",
        *_expectation(spec),
        *_line_notes(found, len(history.dates), spec.period),
        *[note for name in found["kpis"] for note in _kpi_notes(name, found, spec)],
        *_unseen_events(history, spec),
    ]
    control = " Controls stay at their mean of the last year." if spec.controls else ""
    said.append(
        f"The baseline forecast covers {spec.forecast} {spec.period}s: the linear trend carried on, season "
        f"repeated, events where the config dates them.{control}"
    )
    return tuple(said)


def _expectation(spec: FitSpec) -> list[str]:
    shares = ", ".join(f"{kpi.media_share:.0%} of {name}" for name, kpi in spec.kpis.items())
    return [
        f"Before the data speak, all lines together are expected to bring {shares} (media_share), each in "
        f"proportion to its spend, with a standard deviation of {PRIOR_SD:.0%} of that. Where the data say "
        "little, this is what a curve holds: equal returns and wide doubt."
    ]


def _line_notes(found: Report, periods: int, period: str) -> list[str]:
    said, lines = [], found["lines"]
    if constant := [name for name, line in lines.items() if not line["varies"]]:
        said.append(f"{_listed(constant)}: spend never varied, so the history says nothing of the effect.")
    if mostly_off := [
        f"{name} ({line['periods_on']})"
        for name, line in lines.items()
        if line["periods_on"] < MOSTLY_OFF * periods
    ]:
        said.append(f"Mostly off ({period}s on, of {periods}): {_listed(mostly_off)}.")
    if shared := [
        f"{name} ({1 - line['own_movement']:.0%})"
        for name, line in lines.items()
        if line["varies"] and line["own_movement"] < OWN_MOVEMENT
    ]:
        said.append(
            f"Most of the movement of {_listed(shared)} is shared with other lines, trend, season, events or "
            "controls: what each does alone is hard to tell."
        )
    for pair in found["alike"]:
        said.append(
            f"{' and '.join(pair['lines'])} moved together (correlation {pair['correlation']:.2f}): "
            "the data cannot tell their effects apart."
        )
    return said


def _kpi_notes(name: str, found: Report, spec: FitSpec) -> list[str]:
    kpi, effects, said = found["kpis"][name], found["effects"][name], []
    little = [line for line, effect in effects.items() if effect["learned"] < LITTLE_LEARNED]
    if little:
        said.append(
            f"{name}: the data say little about {_listed(little)}; less than {LITTLE_LEARNED:.0%} of the "
            "doubt is resolved, the rest is the expectation (media_share)."
        )
    nothing = [line for line, e in effects.items() if e["share"]["low"] <= 0.01 * e["share"]["mean"]]
    if nothing:
        said.append(f"{name}: {_listed(nothing)} may do nothing at all (the 90 % interval touches zero).")
    negative = [line for line, e in effects.items() if e["score_free_of_sign"] < NEGATIVE]
    if negative:
        said.append(
            f"{name}: left free, the effect of {_listed(negative)} would come out negative: something that went "
            f"against {name} at the time is missing from the config. The near-zero reported in its place does "
            "not prove that it does nothing; test before cutting it."
        )
    share, expected = kpi["media_share"]["mean"], kpi["media_share_expected"]
    if share > FAR_FROM_EXPECTED * expected or share < expected / FAR_FROM_EXPECTED:
        said.append(
            f"{name}: the data put the share of all lines at {share:.0%}, far from the {expected:.0%} "
            "expected; check the config, and state another media_share if you find it credible."
        )
    held = kpi["holdout"]
    naive = [held[key] for key in ("error_of_mean", "error_of_last_year") if held[key] is not None]
    if held["error"] > min(naive):
        said.append(
            f"{name}: on the last {held['periods']} {spec.period}s, held out, the fit misses by "
            f"{held['error']:.0%}, a plain forecast (mean, or last year) by {min(naive):.0%}: "
            "do not trust its level."
        )
    if kpi["autocorrelation"] > AUTOCORRELATED:
        said.append(f"{name}: misses come in runs; something that moves {name} is missing from the config.")
    if kpi["baseline_draws_below_zero"] > 0:
        said.append(
            f"{name}: in {kpi['baseline_draws_below_zero']:.0%} of draws the baseline forecast falls below "
            f"zero in some {spec.period}; it is left as it is."
        )
    return said


def _unseen_events(history: History, spec: FitSpec) -> list[str]:
    cut = history.dates[-spec.holdout].date()
    unseen = [name for name, days in spec.events.items() if min(days) >= cut]
    if not unseen:
        return []
    return [f"The held-out {spec.period}s hold {_listed(unseen)}, not seen before: no fit can predict them."]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


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
