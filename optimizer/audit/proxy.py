"""Does the KPI that is seen soon stand for the one that counts? Judged by effects, never by users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..plan import plain, records
from .effects import FEWEST, LATER, Effects, figures, moments
from .verdict import Verdict

Floats = NDArray[np.float64]

RESAMPLES = 1000
GOOD = 0.5
"""Correlation of effects, and share of right choices above a coin's, that a supported proxy needs."""
SEED = 20260105
POINTS = 2000
"""Effects that the JSON and the picture hold at most, evenly picked."""
MANY = 5000
"""Effects, or blocks of them, of which resamples are drawn."""


@dataclass(frozen=True)
class Proxy:
    """How far a proxy stands for a goal.

    Attributes
    ----------
    figures : DataFrame
        Rows ``slope`` (goal units for one unit of the proxy), ``correlation`` (of the effects, sampling noise
        taken out where it is known), ``agreement`` (share of effects, each weighing as its effect on the goal, in
        which both point the same way: the proxy would have chosen the winner); columns ``value``, ``low``,
        ``high`` (95 % bootstrap interval), ``earlier``, ``later`` (the value in the two slices of time).
    segments : DataFrame
        By segment: ``effects``, ``correlation``, ``agreement``, ``fails`` (the effects in it correlate negatively,
        and 97.5 % of the resamples do).
    effects, lag : int
        How many effects, and the periods by which the goal follows.
    kind : str
        As `Effects.kind`.
    lags : DataFrame
        As `Effects.lags`.
    verdict : Verdict
    """

    figures: pd.DataFrame
    segments: pd.DataFrame
    effects: int
    lag: int
    kind: str
    verdict: Verdict
    table: pd.DataFrame = field(repr=False)
    lags: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data, numbers unrounded; NaN becomes null."""
        return {
            "audit": "proxy",
            "kind": self.kind,
            "effects": self.effects,
            "lag": self.lag,
            "figures": records(self.figures),
            "segments": records(self.segments),
            "lags": records(self.lags),
            "points": [
                {key: plain(row[key]) for key in ("proxy", "goal", "segment")}
                for row in self.table.iloc[:: -(-max(len(self.table), 1) // POINTS)].to_dict(orient="records")
            ],
            "verdict": self.verdict.to_dict(),
        }


def validate(effects: Effects, *, resamples: int = RESAMPLES) -> Proxy:
    """Judge whether effects on the proxy foretell effects on the goal.

    With people's data the two effects of a test share their people's noise: users who click more also buy more,
    whatever the test did. That part is known and is taken out of the covariance of the effects (method of
    moments; Cunningham & Kim, Interpreting Experiments with Multiple Outcomes, 2020).

    Parameters
    ----------
    effects : Effects
        From tests or from history.
    resamples : int
        Of effects, for the intervals; blocks of neighbouring ones where they come from a history.
    """
    table = effects.table
    rng = np.random.default_rng(SEED)
    values = table[["proxy", "goal", "var_proxy", "var_goal", "cov"]].to_numpy(dtype=float)
    draws = _draws(values, rng, resamples, 4 if effects.kind == "history" else 1)
    split = len(values) - int(np.ceil(LATER * len(values)))
    point, earlier, later = (moments(part[None]) for part in (values, values[:split], values[split:]))
    rows = {}
    for name in ("slope", "correlation", "agreement"):
        low, high = _interval(draws[name])
        rows[name] = (point[name][0], low, high, earlier[name][0], later[name][0])
    columns = ["value", "low", "high", "earlier", "later"]
    figures = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("figure")
    segments = _segments(table, resamples, rng)
    return Proxy(
        figures,
        segments,
        len(values),
        effects.lag,
        effects.kind,
        _verdict(figures, segments, len(values), effects.kind),
        table,
        effects.lags,
    )


def _draws(values: Floats, rng: np.random.Generator, resamples: int, block: int) -> dict[str, Floats]:
    """Slope, correlation and agreement of each resample: (B,) each.

    Of very many effects, `MANY` blocks of neighbours are drawn by their sums: to draw each by itself would take
    a thousand times the memory of the file.
    """
    if len(values) <= MANY:
        return moments(values[_resampled(rng, len(values), resamples, block)])
    proxy, goal = (values[:, :2] - values[:, :2].mean(axis=0)).T
    right = np.abs(values[:, 1]) * (values[:, 0] * values[:, 1] > 0)
    parts = [np.ones(len(values)), proxy, goal, proxy**2, goal**2, proxy * goal, *values[:, 2:].T]
    starts = np.linspace(0, len(values), MANY, endpoint=False).astype(np.int64)
    columns = np.stack([*parts, np.abs(values[:, 1]), right], axis=1)
    sums = np.add.reduceat(columns, starts, axis=0)
    n, p, g, pp, gg, pg, vp, vg, cov, weight, agreed = np.stack(
        [sums[rng.integers(0, MANY, MANY)].sum(axis=0) for _ in range(resamples)]
    ).T
    var_proxy, var_goal = (pp - p**2 / n) / (n - 1) - vp / n, (gg - g**2 / n) / (n - 1) - vg / n
    return figures((pg - p * g / n) / (n - 1) - cov / n, var_proxy, var_goal, agreed, weight)


def _resampled(rng: np.random.Generator, size: int, resamples: int, block: int) -> NDArray[np.int64]:
    """Rows of each resample: (B, N); whole blocks of neighbours, the end joined to the start."""
    if size == 0:
        return np.zeros((resamples, 0), dtype=np.int64)
    starts = rng.integers(0, size, (resamples, -(-size // block)))
    return ((starts[:, :, None] + np.arange(block)).reshape(resamples, -1) % size)[:, :size]


def _interval(draws: Floats) -> tuple[float, float]:
    """The 95 % interval; without ends where more than one resample in twenty has no value."""
    if np.isnan(draws).mean() > 0.05:
        return float("nan"), float("nan")
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _segments(table: pd.DataFrame, resamples: int, rng: np.random.Generator) -> pd.DataFrame:
    rows = {}
    for segment, part in table.groupby("segment", sort=True):
        values = part[["proxy", "goal", "var_proxy", "var_goal", "cov"]].to_numpy(dtype=float)
        point = moments(values[None])
        fails = False
        if len(values) >= FEWEST and point["correlation"][0] < 0:
            fails = _interval(_draws(values, rng, resamples, 1)["correlation"])[1] < 0
        rows[segment] = (len(values), point["correlation"][0], point["agreement"][0], bool(fails))
    columns = ["effects", "correlation", "agreement", "fails"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("segment")


def _verdict(figures: pd.DataFrame, segments: pd.DataFrame, count: int, kind: str) -> Verdict:
    """Say it in words; see `Proxy` for what the figures are."""
    test_it = "run tests that move the proxy, and follow their people until the goal is known"
    if count < FEWEST:
        reason = f"{count} effects; below {FEWEST} chance alone makes any picture"
        return Verdict("grey", "cannot be told", reason, test_it)
    value, low, high, _, later = (float(x) for x in figures.loc["correlation"])
    if not np.isfinite([value, low, high]).all():
        reason = f"over {count} effects, what moved cannot be told from sampling noise"
        return Verdict("grey", "cannot be told", reason, test_it)
    agreed = float(figures.loc["agreement", "value"])
    said = (
        f"over {count} {'changes in the history' if kind == 'history' else 'tests'} the effects correlate by "
        f"{value:+.2f} (95 % interval {low:+.2f} to {high:+.2f}), and the proxy would have chosen right in "
        f"{100 * agreed:.0f} % (weighted by what was at stake)"
    )
    if high < 0:
        return Verdict("red", "contradicted", f"{said}: what raises it lowers the goal", "do not optimise for it")
    if low <= 0:
        if high < GOOD:
            return Verdict("yellow", "weak", f"{said}: a good proxy is ruled out", "look for another proxy")
        return Verdict("grey", "cannot be told", f"{said}: both a good and a useless proxy are possible", test_it)
    failing = [str(name) for name in segments.index[segments["fails"]]]
    doubts = _doubts(value, agreed, later, failing)
    if kind == "effects":
        doubts.append(
            "how much of that is noise which both effects share is not known: judge it from people's rows"
        )
    if doubts:
        return Verdict(
            "yellow", "weak", f"{said}, but {', and '.join(doubts)}", "use it with its goal as guardrail"
        )
    caution = "" if kind != "history" else "; a history shows what moved together, not what caused what"
    return Verdict("green", "supported", said + caution, "use it, and ask again when something changes")


def _doubts(value: float, agreed: float, later: float, failing: Sequence[str]) -> list[str]:
    found = []
    if value < GOOD:
        found.append(f"{GOOD} and more is wanted")
    if agreed < 0.5 + GOOD / 2:
        found.append(f"it chooses right in less than {100 * (0.5 + GOOD / 2):.0f} %")
    if not np.isfinite(later):
        found.append("the latest effects alone cannot be told from noise")
    elif later <= GOOD * value:
        found.append(f"the latest effects correlate by {later:+.2f} only")
    if failing:
        found.append(f"it points the wrong way in {', '.join(failing)}")
    return found
