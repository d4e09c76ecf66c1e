"""The shapes a line's effect may have: carry-over and saturation, a grid of candidates for each line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..curves import Floats

Ints = NDArray[np.int64]
CurveKind = Literal["concave", "s_shaped", "linear"]
# What candidates are made of: "bent" is concave, but never all but straight.
GridKind = Literal[CurveKind, "bent"]

# Half-saturation in multiples of a line's average spend while it is on. At sixteen times, a concave curve is all
# but straight over what has been seen; below a quarter, all but flat.
HALVES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
# A steep curve bends within a narrower range, which finer steps have to meet.
STEEP_HALVES = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
# From 1, which is concave, to as steep as peers' priors go.
SLOPES = (1.0, 1.7, 3.0)
RATES = {"week": (0.0, 0.15, 0.3, 0.45, 0.6, 0.75), "day": (0.0, 0.3, 0.5, 0.7, 0.8, 0.9)}
FAMILY: dict[GridKind, str] = {
    "concave": "michaelis_menten",
    "bent": "michaelis_menten",
    "s_shaped": "hill",
    "linear": "linear",
}
WORDS: dict[CurveKind, str] = {"concave": "concave", "s_shaped": "S-shaped", "linear": "straight"}
STEPS: dict[GridKind, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "concave": (HALVES, (1.0,)),
    "bent": (HALVES[:-1], (1.0,)),
    "s_shaped": (STEEP_HALVES, SLOPES),
    "linear": ((1.0,), (1.0,)),
}
# Their products with each other are kept, for each memory of the noise.
MOST_CANDIDATES = 3000
# Before anything is fitted lines are compared at the third rate, half at typical spend.
MIDDLE_HALF = 1.0


@dataclass(frozen=True)
class Candidates:
    """Columns of media, the candidates of a line one after another: N in all.

    Attributes
    ----------
    columns : (N, T)
        Shapes of each line's spend, each of mean ``share`` over the known periods.
    first : (L + 1,)
        Where each line's candidates begin.
    rate, half, slope : (N,)
        Carry-over a period; half-saturation in typical spend, and steepness (1 where a curve has none).
    mean : (N,)
        Mean of S(adstock / typical) over the known periods, what the columns were divided by.
    share, typical : (L,)
        Share in all spend of the known periods; mean spend of the periods that have any, currency.
    kinds : tuple of str
        What each line's curve may be.
    """

    columns: Floats
    first: Ints
    rate: Floats
    half: Floats
    slope: Floats
    mean: Floats
    share: Floats
    typical: Floats
    kinds: tuple[GridKind, ...]

    def of(self, rows: Floats, line: int) -> Floats:
        """Those of rows (N, ...), one a candidate, that are of a line."""
        return rows[self.first[line] : self.first[line + 1]]

    @property
    def middle(self) -> Ints:
        """One candidate a line, in the middle of its grid: (L,)."""
        best = []
        for begin, end in zip(self.first[:-1], self.first[1:], strict=True):
            rates = np.unique(self.rate[begin:end])
            away = np.abs(np.log(self.half[begin:end] / MIDDLE_HALF)) + np.abs(np.log(self.slope[begin:end]))
            away = away + 100.0 * (self.rate[begin:end] != rates[len(rates) // 2 - 1])
            best.append(begin + int(np.argmin(away)))
        return np.array(best, dtype=np.int64)


def grid(period: str, kind: GridKind = "concave") -> Floats:
    """Carry-over rate a period, half-saturation in typical spend, steepness: (G, 3)."""
    halves, slopes = STEPS[kind]
    return np.array(list(product(RATES[period], halves, slopes)))


def saturated(spend: Floats, typical: float, points: Floats, length: int, kind: GridKind = "concave") -> Floats:
    """Saturated adstock of one line at every grid point: (G, T).

    Parameters
    ----------
    spend : (T,)
        Currency a period.
    typical : float
        Currency a period; what half-saturation is counted in.
    points : (G, 3)
        See `grid`.
    length : int
        Periods an effect lasts.

    Notes
    -----
    Spend before the first period is unknown. It is taken to be the weighted mean of the periods that are
    known, so that a line with steady spend does not seem to start at the first row.
    """
    n_periods = len(spend)
    out = np.empty((len(points), n_periods))
    for rate in np.unique(points[:, 0]):
        weights = rate ** np.arange(min(length, n_periods))
        known = np.convolve(np.ones(n_periods), weights)[:n_periods]
        adstock = np.convolve(spend / typical, weights)[:n_periods] / known
        for g in np.flatnonzero(points[:, 0] == rate):
            _, half, slope = points[g]
            out[g] = adstock if kind == "linear" else adstock**slope / (half**slope + adstock**slope)
    return out


def candidates(
    spend: Floats, kinds: Sequence[GridKind], period: str, length: int, known: int | None = None
) -> Candidates:
    """Build the candidates of all lines.

    Parameters
    ----------
    spend : (L, T)
        Currency a period; every line with spend in the known periods.
    kinds : sequence of str
        What each line's curve may be.
    known : int, optional
        How many periods, from the first, may be learned from; all unless given.
    """
    seen = spend[:, :known]
    typical = seen.sum(axis=1) / (seen > 0).sum(axis=1)
    share = seen.sum(axis=1) / seen.sum()
    columns, points, means, sizes = [], [], [], []
    for i, kind in enumerate(kinds):
        grid_points = grid(period, kind)
        curves = saturated(spend[i], typical[i], grid_points, length, kind)
        mean = curves[:, :known].mean(axis=1)
        columns.append(curves * (share[i] / mean)[:, None])
        points.append(grid_points)
        means.append(mean)
        sizes.append(len(mean))
    stacked = np.concatenate([np.empty((0, 3)), *points])
    return Candidates(
        columns=np.concatenate([np.empty((0, spend.shape[1])), *columns]),
        first=np.cumsum([0, *sizes]).astype(np.int64),
        rate=stacked[:, 0],
        half=stacked[:, 1],
        slope=stacked[:, 2],
        mean=np.concatenate([np.empty(0), *means]),
        share=share,
        typical=typical,
        kinds=tuple(kinds),
    )
