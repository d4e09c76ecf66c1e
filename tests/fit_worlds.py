"""Histories whose truth is known, to test a fit on: from the fit's own model, and from planners' habits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optimizer.evidence.demand import chased
from optimizer.evidence.history import FitSpec, History
from optimizer.evidence.regression import MEMORIES, WIDTHS, levels
from optimizer.evidence.shapes import candidates, grid, saturated

MEAN = 5000.0
MEDIA_SHARE = 0.3


@dataclass(frozen=True)
class World:
    """A history, how to fit it, and each line's true share of the KPI: its total effect over the history."""

    history: History
    spec: FitSpec
    shares: pd.Series


def lines_of(count: int) -> tuple[str, ...]:
    return tuple(f"line{i}" for i in range(count))


def history_of(spend: np.ndarray, sales: np.ndarray) -> History:
    index = pd.date_range("2022-01-03", periods=spend.shape[1], freq="7D")
    table = pd.DataFrame(spend.T, index=index, columns=lines_of(len(spend)))
    none = pd.DataFrame(index=index)
    kpis = pd.DataFrame({"sales": sales}, index=index)
    return History(index, "week", table, kpis, none, none, (), "h.csv", "0" * 64)


def spec_of(count: int, **fields: Any) -> FitSpec:
    lines = {line: {"spend": line} for line in lines_of(count)}
    kpis = {"sales": {"column": "sales", "media_share": MEDIA_SHARE}}
    return FitSpec(date="date", period="week", lines=lines, kpis=kpis, **{"folds": 1, **fields})


def autoregression(rng: np.random.Generator, periods: int, memory: float) -> np.ndarray:
    """Noise of standard deviation 1, each period holding part of the one before: (T,)."""
    noise = rng.normal(size=periods)
    for t in range(1, periods):
        noise[t] = memory * noise[t - 1] + np.sqrt(1 - memory**2) * noise[t]
    return noise


def spending(
    rng: np.random.Generator,
    count: int,
    periods: int,
    demand: np.ndarray,
    chase: float,
    together: float,
    push: float,
) -> np.ndarray:
    """Spend of lines (L, T): some own movement, some shared, some after demand, some after the season."""
    season = np.sin(2 * np.pi * np.arange(periods) / 52.18 + rng.uniform(0, 6))
    common, spend = rng.normal(size=periods), np.empty((count, periods))
    for i in range(count):
        own = together * common + np.sqrt(1 - together**2) * autoregression(rng, periods, 0.6)
        own = own + chase * rng.uniform(0.5, 1.5) * demand + push * rng.uniform(0, 2) * season
        spend[i] = np.exp(rng.normal(8, 1)) * np.exp(0.4 * own)
        if rng.random() < 0.25:
            spend[i] *= rng.random(periods) < 0.5
    return spend


def baseline(rng: np.random.Generator, periods: int) -> np.ndarray:
    t = np.arange(periods)
    return 0.7 + rng.uniform(-0.1, 0.2) * t / periods + 0.08 * np.sin(2 * np.pi * t / 52.18 + rng.uniform(0, 6))


def own_world(seed: int, **fields: Any) -> World:
    """A world from the model of `regression`: sizes, shapes, noise and demand's part drawn from its prior."""
    rng = np.random.default_rng(seed)
    count, periods = int(rng.integers(2, 9)), int(rng.integers(90, 157))
    spec = spec_of(count, **fields)
    spend = spending(rng, count, periods, np.zeros(periods), 0.0, rng.choice([0.0, 0.5, 0.9]), rng.uniform(0, 1))
    media = candidates(spend, ["concave"] * count, "week", spec.carryover)
    steps, weights = levels()
    chance = np.exp(weights) / np.exp(weights).sum()
    while True:
        level = rng.choice(steps, p=chance)
        sizes = np.array([positive(rng, level, level * rng.choice(WIDTHS)) for _ in range(count)])
        if sizes @ media.share * MEDIA_SHARE < 0.9:
            break
    chosen = media.first[:-1] + rng.integers(0, len(grid("week")), count)
    effect = sizes[:, None] * media.columns[chosen] * MEDIA_SHARE
    noise = np.exp(rng.uniform(np.log(0.02), np.log(0.15)))
    t = np.arange(periods)
    free = np.column_stack(
        [np.ones(periods), t / periods]
        + [f(2 * np.pi * 7 * t * h / 365.25) for h in (1, 2) for f in (np.cos, np.sin)]
    )
    demand, demand_sd = chased(spend, free, media, spec.chasing)
    follows = demand @ (rng.normal(size=len(demand_sd)) * demand_sd)
    rest = noise * (follows + autoregression(rng, periods, rng.choice(MEMORIES[:6])))
    sales = MEAN * (baseline(rng, periods) + effect.sum(axis=0) + rest)
    shares = pd.Series(MEAN * effect.sum(axis=1) / sales.sum(), lines_of(count))
    return World(history_of(spend, sales), spec, shares)


def positive(rng: np.random.Generator, mean: float, sd: float) -> float:
    while True:
        drawn = rng.normal(mean, sd)
        if drawn > 0:
            return float(drawn)


def planned_world(
    seed: int, chase: float = 0.0, together: float = 0.0, push: float = 0.0, memory: float = 0.5, **fields: Any
) -> World:
    """A world that is not of the model: lognormal returns, and budgets that may follow demand's very noise."""
    rng = np.random.default_rng(seed)
    count, periods = int(rng.integers(2, 9)), 130
    spec = spec_of(count, **fields)
    demand = autoregression(rng, periods, memory)
    spend = spending(rng, count, periods, demand, chase, together, push)
    typical = spend.sum(axis=1) / (spend > 0).sum(axis=1)
    size = np.exp(rng.normal(0, 0.7, count)) * spend.sum(axis=1) / spend.sum()
    size *= rng.uniform(0.1, 0.45) / size.sum()
    shape = [np.array([[rng.uniform(0, 0.7), np.exp(rng.uniform(-1, 1.8)), 1.0]]) for _ in range(count)]
    effect = np.stack([saturated(spend[i], typical[i], shape[i], 8)[0] for i in range(count)])
    effect *= (size / effect.mean(axis=1))[:, None]
    sales = MEAN * (baseline(rng, periods) + effect.sum(axis=0) + rng.uniform(0.03, 0.12) * demand)
    shares = pd.Series(MEAN * effect.sum(axis=1) / sales.sum(), lines_of(count))
    return World(history_of(spend, sales), spec, shares)
