"""Worlds with known truth: a history made by planners' habits, and curves that nobody but the referee sees.

A world is its seed. Sales answer to spend through the product's own simulator; a proxy (leads) and at times brand
searches answer too, each line in its own way. Budgets are pushed in season, move together, chase demand, or never
move at all, so that what a fit can learn differs from world to world.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.evidence.recompute import by_period
from optimizer.response import ResponseModel
from optimizer.written import ResponseSpec, from_spec

Floats = NDArray[np.float64]

QUARTER, CARRY = 13, 8
START = date(2023, 1, 2)
YEAR = 52.18
MEAN = {"sales": 40_000.0, "leads": 3_000.0, "searches": 9_000.0}
FAMILIES = ("michaelis_menten", "hill", "s_shaped", "logistic", "tanh", "log1p", "power", "linear")
CHANCES = (0.26, 0.14, 0.14, 0.1, 0.08, 0.12, 0.1, 0.06)
# What planners do. In clear worlds each line is moved by itself, in large steps, by nobody who looks at demand.
HABITS = ("clear", "blurred", "confounded")
HABIT_CHANCES = (0.4, 0.35, 0.25)


@dataclass(frozen=True)
class World:
    """A history and the truth behind it.

    Attributes
    ----------
    seed : int
    habit : "clear", "blurred" or "confounded"
        Whether spend varied enough to identify every line, or not, or followed the demand that moves the KPIs.
    traits : dict
        Size of the noise, lines, periods, whether there is synergy or drift.
    spend : (L, T)
        Currency a week.
    kpis : dict of (T,)
        What was measured.
    truth : ResponseModel
        One draw: the curves as they are in the quarter to come; synergy included.
    anyway : dict of (13,)
        Each KPI in the quarter to come without any line, demand and noise included: the same for every plan.
    weights : dict
        The planner's trade-off between the KPIs.
    """

    seed: int
    habit: str
    traits: dict[str, Any]
    spend: Floats
    kpis: dict[str, Floats]
    truth: ResponseModel
    anyway: dict[str, Floats]
    weights: dict[str, float]

    @property
    def lines(self) -> tuple[str, ...]:
        """Line names."""
        return self.truth.lines

    @property
    def today(self) -> Floats:
        """Today's plan: what was spent in the last quarter, (L,) currency."""
        return np.round(self.spend[:, -QUARTER:].sum(axis=1), 2)

    @property
    def start(self) -> date:
        """First day of the quarter to come."""
        return START + timedelta(weeks=self.spend.shape[1])

    def table(self) -> pd.DataFrame:
        """Return the history as the file that an analyst exports."""
        weeks = [(START + timedelta(weeks=t)).isoformat() for t in range(self.spend.shape[1])]
        spend = dict(zip(self.lines, np.round(self.spend, 2), strict=True))
        return pd.DataFrame({"week": weeks, **spend, **self.kpis})


def world(seed: int) -> World:
    """Make the world of a seed."""
    rng = np.random.default_rng([seed, 2026])
    habit = str(rng.choice(HABITS, p=HABIT_CHANCES))
    n_lines, periods = int(rng.integers(3, 13)), int(rng.integers(104, 157))
    quietest, loudest = {"clear": (0.015, 0.04), "blurred": (0.015, 0.1), "confounded": (0.03, 0.1)}[habit]
    noise = float(np.exp(rng.uniform(np.log(quietest), np.log(loudest))))
    drift = habit != "clear" and rng.random() < 0.25
    synergy = habit != "clear" and n_lines > 3 and rng.random() < 0.25
    kpis = ["sales", "leads"] + (["searches"] if rng.random() < 0.4 else [])
    lines = [f"line{i + 1}" for i in range(n_lines)]
    demand = autoregression(rng, periods + QUARTER, rng.uniform(0.3, 0.8))
    spend = spending(rng, n_lines, periods, demand[:periods], habit)
    truth = _truth(rng, kpis, lines, spend, bool(synergy))
    change = np.where(rng.random(n_lines) < 0.5, rng.uniform(-0.4, 0.4, n_lines), 0.0) * drift
    measured, anyway = _measured(rng, truth, spend, change, demand, noise)
    share = float(rng.choice([0.4, 0.6, 0.8]))
    weights = {name: (share if name == "sales" else (1 - share) / (len(kpis) - 1)) for name in kpis}
    traits = {
        "lines": n_lines,
        "periods": periods,
        "noise": noise,
        "drift": bool(drift),
        "synergy": bool(synergy),
        "weight": share,
    }
    return World(seed, habit, traits, spend, measured, truth, anyway, weights)


def autoregression(rng: np.random.Generator, periods: int, memory: float) -> Floats:
    """Noise of standard deviation 1, each period holding part of the one before: (T,)."""
    found = rng.normal(size=periods)
    for t in range(1, periods):
        found[t] = memory * found[t - 1] + np.sqrt(1 - memory**2) * found[t]
    return found


def spending(rng: np.random.Generator, count: int, periods: int, demand: Floats, habit: str) -> Floats:
    """Spend of lines by planners' habits: (L, T) currency a week."""
    clear = habit == "clear"
    season = np.sin(2 * np.pi * np.arange(periods) / YEAR + rng.uniform(0, 2 * np.pi))
    common = autoregression(rng, periods, 0.7)
    together = 0.0 if clear else rng.choice([0.0, 0.6, 0.9])
    push = rng.uniform(0, 0.3) if clear else rng.uniform(0, 1.0)
    chase = rng.uniform(0.5, 1.2) if habit == "confounded" else 0.0
    spend = np.empty((count, periods))
    for i in range(count):
        own = autoregression(rng, periods, rng.uniform(0.0, 0.6))
        moves = together * common + np.sqrt(1 - together**2) * own
        # Not every budget follows demand alike: those that do look better than those that do not.
        follows = chase * rng.uniform(0.5, 2.0) * (rng.random() < 0.6)
        moves = moves + push * rng.uniform(0.3, 1.5) * season + follows * demand
        size = rng.uniform(0.5, 0.9) if clear else rng.uniform(0.15, 0.6)
        spend[i] = np.exp(rng.normal(8.5, 0.8)) * np.exp(size * moves)
        if rng.random() < (0.4 if clear else 0.15):
            # Flights: on for some weeks, off for some; the last quarter is on.
            on = np.repeat(rng.random(periods // 4 + 1) < 0.65, 4)[:periods]
            on[-QUARTER:] |= ~on[-QUARTER:].any()
            spend[i] *= on
    if not clear and rng.random() < 0.5:
        still = int(rng.integers(count))
        spend[still] = np.median(spend[still]) + 1.0
    return np.round(spend, 2)


def _truth(
    rng: np.random.Generator, kpis: list[str], lines: list[str], spend: Floats, synergy: bool
) -> ResponseModel:
    """Curves of all families: a line carries over alike for every KPI, but does more for one than for another."""
    share = spend.sum(axis=1) / spend.sum()
    # Some plans are far from the best, others have little left to gain.
    quality = np.exp(rng.normal(0, rng.uniform(0.15, 0.8), len(lines)))
    responses: dict[str, Any] = {name: {} for name in kpis}
    families = rng.choice(FAMILIES, len(lines), p=CHANCES)
    rates, bends = rng.uniform(0, 0.7, len(lines)), np.exp(rng.uniform(-0.9, 1.4, len(lines)))
    steep = rng.uniform(1.3, 2.5, len(lines))
    for name in kpis:
        # The proxy knows most of what a line does for sales, and not all.
        own = quality * np.exp(rng.normal(0, 0.0 if name == "sales" else 0.5, len(lines)))
        brings = rng.uniform(0.15, 0.4) * MEAN[name] * share * own / (share @ own)
        for i, line in enumerate(lines):
            typical = spend[i].sum() / (spend[i] > 0).sum()
            curve = _curve(str(families[i]), bends[i] * typical, steep[i], typical)
            adstock = {"kind": "geometric", "rate": float(rates[i]), "length": CARRY, "normalised": True}
            responses[name][line] = {"curve": {**curve, "scale": 1.0}, "adstock": adstock}
            one = from_spec(ResponseSpec(**{name: {line: responses[name][line]}}), [name], [line])
            mean = float(by_period(one, name, line, spend[i])[0].mean())
            responses[name][line]["curve"]["scale"] = float(brings[i] / mean)
    if synergy:
        bounded = [i for i, kind in enumerate(families) if kind not in ("log1p", "power", "linear")]
        if len(bounded) >= 2:
            giver, taker = (lines[i] for i in rng.choice(bounded, 2, replace=False))
            responses["synergy"] = {"sales": {taker: {giver: float(rng.uniform(0.2, 0.8))}}}
    return from_spec(ResponseSpec(**responses), kpis, lines)


def _curve(kind: str, half: float, steep: float, typical: float) -> dict[str, Any]:
    if kind in ("hill", "s_shaped"):
        return {"kind": "hill", "half": half, "slope": 1.0 if kind == "hill" else steep}
    if kind == "log1p":
        return {"kind": kind, "knee": half}
    if kind == "power":
        return {"kind": kind, "exponent": float(np.clip(0.3 + 0.15 * half / typical, 0.3, 0.95))}
    return {"kind": kind} if kind == "linear" else {"kind": kind, "half": half}


def _measured(
    rng: np.random.Generator, truth: ResponseModel, spend: Floats, change: Floats, demand: Floats, noise: float
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """KPIs as measured, and what the quarter to come brings without any line."""
    periods = spend.shape[1]
    total = periods + QUARTER
    t = np.arange(total)
    # Drift ends where the plan begins: the truth to plan for is that of the quarter to come.
    fading = 1.0 - change[:, None] * (1.0 - np.arange(periods) / periods)
    wave = rng.uniform(0, 2 * np.pi)
    measured, anyway = {}, {}
    for k, name in enumerate(truth.kpis):
        effect = np.stack([by_period(truth, name, line, spend[i])[0] for i, line in enumerate(truth.lines)])
        for (kpi, giver, taker), gain in zip(truth.synergy.pairs, truth.synergy.gain[0], strict=True):
            if kpi == name:
                give, take = truth.lines.index(giver), truth.lines.index(taker)
                effect[take] = effect[take] * (1.0 + gain * effect[give] / truth.scale[0, k, give])
        base = MEAN[name] * (
            rng.uniform(0.6, 0.8)
            + rng.uniform(-0.1, 0.15) * t / total
            + rng.uniform(0.02, 0.12) * np.sin(2 * np.pi * t / YEAR + wave)
        )
        shock = 0.8 * demand + 0.6 * rng.normal(size=total)
        base = base + noise * MEAN[name] * shock
        brought = (effect * fading).sum(axis=0)
        measured[name] = np.round(np.maximum(base[:periods] + brought, 0.0), 3)
        anyway[name] = base[periods:]
    return measured, anyway
