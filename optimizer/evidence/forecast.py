"""Time-ordered tests of a fit: learn up to an origin, forecast at the spend that happened, go on to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..curves import Floats
from .baseline import YEAR, Baseline
from .history import FitSpec
from .kinds import settle
from .posterior import ahead
from .regression import Draws, Setup, assemble, ceiling, draw

# Draws of a forecast, and the share of outcomes its interval is to hold.
DRAWS = 200
INTERVAL = 0.8


@dataclass(frozen=True)
class Forecast:
    """Forecasts of one KPI from every origin, in KPI units.

    Attributes
    ----------
    table : DataFrame
        One row a period and origin: ``origin`` (periods learned from), ``period`` (its number), ``actual``,
        ``expected``, ``low``, ``high``, ``without_media`` (the same model without any line), ``mean`` (of the
        periods learned from), ``last_year`` (NaN where the history is too short).
    totals : DataFrame
        One row an origin: ``origin``, ``actual``, ``expected``, ``low``, ``high`` over its periods.
    """

    table: pd.DataFrame
    totals: pd.DataFrame

    def error(self, name: str = "expected") -> float | None:
        """Sum of absolute errors over the sum of the actual values; None where a forecast is missing."""
        if self.table[name].isna().any():
            return None
        miss = (self.table["actual"] - self.table[name]).abs().sum()
        return float(miss / max(self.table["actual"].abs().sum(), 1e-300))

    def skill(self, name: str) -> float | None:
        """How much of another forecast's error the fit takes away: 1 all, 0 none, negative if it adds to it.

        Over the periods that the other forecast has; None where it has none.
        """
        both = self.table[self.table[name].notna()]
        other = float((both["actual"] - both[name]).abs().sum())
        return 1.0 - float((both["actual"] - both["expected"]).abs().sum()) / other if other > 0 else None

    def covered(self) -> float:
        """Share of periods within their interval."""
        inside = (self.table["low"] <= self.table["actual"]) & (self.table["actual"] <= self.table["high"])
        return float(inside.mean())

    def totals_covered(self) -> float:
        """Share of origins whose total lies within its interval."""
        inside = (self.totals["low"] <= self.totals["actual"]) & (self.totals["actual"] <= self.totals["high"])
        return float(inside.mean())

    def r2(self) -> float:
        """Share of the variance of all forecast periods that is explained; negative if worse than none."""
        actual = self.table["actual"]
        spread = float(((actual - actual.mean()) ** 2).sum())
        return float(1.0 - ((actual - self.table["expected"]) ** 2).sum() / max(spread, 1e-300))


def origins(periods: int, holdout: int, least: int, most: int | None = None) -> list[int]:
    """How many periods to learn from, for each origin: equal steps of ``holdout`` back from the end.

    Parameters
    ----------
    least : int
        The fewest periods to learn from.
    most : int, optional
        The most origins; as many as there are unless given.
    """
    found = list(range(periods - holdout, least - 1, -holdout))[:most]
    return found[::-1]


def rolled(
    spend: Floats,
    values: Floats,
    base: Baseline,
    lines: Sequence[str],
    spec: FitSpec,
    at: Sequence[int],
    media_share: float,
) -> Forecast:
    """Forecast ``spec.holdout`` periods from every origin in ``at``.

    Parameters
    ----------
    spend : (L, T)
        Currency a period, also of the periods forecast.
    values : (T,)
        The KPI.
    base : Baseline
        Columns of all periods: controls and events are known in the periods forecast.
    media_share : float
        What all lines are expected to bring of the KPI, see `regression`.
    """
    year, rows, totals = YEAR[spec.period], [], []
    for origin in at:
        end = origin + spec.holdout
        size = max(float(np.mean(np.abs(values[:origin]))) * media_share, 1e-300)
        most = ceiling(values[:origin], media_share)
        until = Baseline(base.free[:end], base.sd, base.signed[:end])
        series = values[:origin] / size
        settled = settle(spend[:, :end], until, lines, spec, origin, [(series, most)], DRAWS)
        future, expected = _paths(settled.setup, settled.draws[0], spec.seed)
        bare = assemble(spend[:0, :end], until, {}, spec, origin)
        _, without = _paths(bare, draw(bare, series, DRAWS, spec.seed, most), spec.seed)
        tails = [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2]
        low, high = np.quantile(future, tails, axis=0) * size
        actual, last_year = values[origin:end], np.full(spec.holdout, np.nan)
        if origin >= year >= spec.holdout:
            last_year = values[origin - year : end - year]
        rows.append(
            pd.DataFrame(
                {
                    "origin": origin,
                    "period": np.arange(origin, end),
                    "actual": actual,
                    "expected": expected.mean(axis=0) * size,
                    "low": low,
                    "high": high,
                    "without_media": without.mean(axis=0) * size,
                    "mean": values[:origin].mean(),
                    "last_year": last_year,
                }
            )
        )
        low, high = np.quantile(future.sum(axis=1), tails) * size
        total = float(expected.mean(axis=0).sum() * size)
        totals.append(
            {"origin": origin, "actual": float(actual.sum()), "expected": total, "low": low, "high": high}
        )
    return Forecast(pd.concat(rows, ignore_index=True), pd.DataFrame(totals))


def _paths(setup: Setup, drawn: Draws, seed: int) -> tuple[Floats, Floats]:
    """What may come after the known periods, and what is expected, by draw: both (D, P)."""
    expected, path = ahead(setup, drawn, seed)
    later = setup.media.columns[:, setup.known :]
    media = np.stack([g @ later[s] for g, s in zip(drawn.gamma, drawn.shape, strict=True)])
    return path + media, expected + media
