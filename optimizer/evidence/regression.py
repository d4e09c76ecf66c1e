"""Non-negative least squares on saturating, adstocked media, with a stated prior and block-bootstrap draws.

For one KPI, over T periods and L lines,

    y[t] = F[t] theta + sum_l gamma[l] c[l,t] + noise,    c[l,t] = u[l] S(a[l,t]) / mean_t S(a[l,t])

where F are the columns of the baseline (free in sign), S(a) = a / (half + a) of geometric adstock, u[l] the
share of the line in all spend, and y is counted in ``media_share`` of the KPI's mean. So ``gamma[l] = 1``
says that the line brings its part, by spend, of what all lines are expected to bring: before the data speak
every unit of money is taken to do the same. The estimate minimises

    |y - F theta - C gamma|^2 / sigma^2 + sum_l (gamma[l] - 1)^2 / PRIOR_SD^2,    gamma >= 0

which is ridge regression towards equal returns. Carry-over rate and half-saturation come from `grid`, every
point as likely as any other beforehand. A draw (i) picks each line's grid point in turn with its likelihood,
profiled over the coefficients; (ii) adds circular blocks of residuals to the observed series, and a normal
deviate to the prior's centre; (iii) solves again. That is "randomise, then optimise" (Bardsley, Solonen,
Haario & Laine 2014, SIAM J. Sci. Comput. 36) with the circular block bootstrap of Politis & Romano (1992) for
the noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import nnls

from ..curves import Floats

Ints = NDArray[np.int64]

PRIOR_SD = 1.0
# Half-saturation in multiples of a line's average spend while it is on. Beyond eight times, a curve is all
# but straight over what has been seen; below a quarter, all but flat.
HALVES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
RATES = {"week": (0.0, 0.15, 0.3, 0.45, 0.6, 0.75), "day": (0.0, 0.3, 0.5, 0.7, 0.8, 0.9)}
# Where a search begins, and what is compared before anything is fitted: the third rate, half at typical spend.
MIDDLE = 2 * len(HALVES) + HALVES.index(1.0)
SWEEPS = 20
# Autocorrelation beyond this is taken for a missing column, not for noise to be allowed for.
MOST_AUTOCORRELATION = 0.8


def grid(period: str) -> Floats:
    """Carry-over rate a period, and half-saturation in multiples of typical spend: (G, 2)."""
    return np.array(list(product(RATES[period], HALVES)))


def saturated(spend: Floats, typical: Floats, points: Floats, length: int) -> Floats:
    """Saturated adstock of every line at every grid point: (L, G, T).

    Parameters
    ----------
    spend : (L, T)
        Currency a period.
    typical : (L,)
        Currency a period; what half-saturation is counted in.
    points : (G, 2)
        See `grid`.
    length : int
        Periods an effect lasts.

    Notes
    -----
    Spend before the first period is unknown. It is taken to be the weighted mean of the periods that are
    known, so that a line with steady spend does not seem to start at the first row.
    """
    n_lines, n_periods = spend.shape
    scaled = spend / typical[:, None]
    out = np.empty((n_lines, len(points), n_periods))
    for rate in np.unique(points[:, 0]):
        weights = rate ** np.arange(min(length, n_periods))
        known = np.convolve(np.ones(n_periods), weights)[:n_periods]
        adstock = np.array([np.convolve(row, weights)[:n_periods] for row in scaled]) / known
        for g in np.flatnonzero(points[:, 0] == rate):
            out[:, g] = adstock / (points[g, 1] + adstock)
    return out


@dataclass(frozen=True)
class Design:
    """What a regression is made of, and the products it needs again and again.

    Attributes
    ----------
    free : (T, q)
        Columns of the baseline, free in sign.
    columns : (L, G, T)
        Media columns c by line and grid point.
    share : (L,)
        Share of each line in all spend, the mean of its columns over the whole history.
    basis : (T, r)
        Orthonormal basis of ``free``.
    gram : (L, G, L, G)
        Inner products of the media columns after ``free`` is taken out.
    """

    free: Floats
    columns: Floats
    share: Floats
    basis: Floats
    gram: Floats

    @classmethod
    def of(cls, free: Floats, curves: Floats, share: Floats) -> Design:
        """Scale the curves S(a), (L, G, T), to columns and build the products."""
        return cls._of(free, curves * (share[:, None] / curves.mean(axis=-1))[..., None], share)

    @classmethod
    def _of(cls, free: Floats, columns: Floats, share: Floats) -> Design:
        left, sizes, _ = np.linalg.svd(free, full_matrices=False)
        basis = left[:, sizes > sizes[0] * 1e-10]
        n_lines, n_points, n_periods = columns.shape
        flat = columns.reshape(-1, n_periods)
        flat = flat - (flat @ basis) @ basis.T
        gram = (flat @ flat.T).reshape(n_lines, n_points, n_lines, n_points)
        return cls(free, columns, share, basis, gram)

    def first_periods(self, count: int) -> Design:
        """The same regression on the first periods alone."""
        return Design._of(self.free[:count], self.columns[:, :, :count], self.share)

    def without_free(self, series: Floats) -> Floats:
        """Take the baseline's columns out of a series: (T,)."""
        return np.asarray(series - self.basis @ (self.basis.T @ series))

    def media(self, shape: Ints) -> Floats:
        """Columns at one grid point a line: (T, L)."""
        return self.columns[np.arange(len(shape)), shape].T

    def baseline(self, series: Floats) -> Floats:
        """Coefficients of ``free``, the shortest ones where they are not unique: (q,)."""
        return np.asarray(np.linalg.lstsq(self.free, series, rcond=1e-10)[0])

    def system(self, shape: Ints, ridge: float) -> Floats:
        """Normal matrix of the media coefficients: (L, L)."""
        lines = np.arange(len(shape))
        inner = self.gram[lines, shape][:, lines, shape]
        return np.asarray(inner + ridge * np.eye(len(shape)))

    def solve(self, shape: Ints, series: Floats, ridge: float, centre: Floats) -> Floats:
        """Media coefficients, none negative, nearest to series and prior: (L,)."""
        factor = cholesky(self.system(shape, ridge), lower=True)
        target = self.media(shape).T @ self.without_free(series) + ridge * centre
        return np.asarray(nnls(factor.T, solve_triangular(factor, target, lower=True))[0])

    def gains(self, line: int, shape: Ints, active: NDArray[np.bool_], target: Floats, ridge: float) -> Floats:
        """How far each grid point of one line lowers the penalised sum of squares: (G,).

        The other lines keep their grid points, and those that are ``active`` adapt their coefficients.

        Parameters
        ----------
        target : (L, G)
            Right-hand side of the normal equations at every grid point.
        """
        others = np.flatnonzero(active & (np.arange(len(shape)) != line))
        own, diagonal = target[line], np.diagonal(self.gram[line, :, line, :]) + ridge
        if len(others):
            cross = self.gram[line][:, others, shape[others]]
            inner = self.gram[others, shape[others]][:, others, shape[others]] + ridge * np.eye(len(others))
            solved = cho_solve(cho_factor(inner), cross.T)
            own = own - target[others, shape[others]] @ solved
            diagonal = diagonal - np.einsum("go,og->g", cross, solved)
        return np.asarray(np.maximum(own, 0.0) ** 2 / diagonal)


@dataclass(frozen=True)
class Estimate:
    """The best fit of one KPI: grid points (L,), coefficients (L,), noise variance, residuals (T,)."""

    shape: Ints
    gamma: Floats
    variance: float
    residual: Floats
    autocorrelation: float

    @property
    def ridge(self) -> float:
        """Weight of the prior beside the sum of squares."""
        return self.variance / PRIOR_SD**2


def _noise(design: Design, residual: Floats, gamma: Floats) -> tuple[float, float]:
    """Variance of the noise, counted up for autocorrelation, and that autocorrelation at lag 1.

    Positively correlated periods hold less evidence than their number says: (1 + r) / (1 - r) is the long-run
    variance of a first-order autoregression.
    """
    free = len(residual) - design.basis.shape[1] - int(np.sum(gamma > 0))
    total = float(residual @ residual)
    if total <= 0:
        return 1e-12, 0.0
    r = float(np.clip(residual[1:] @ residual[:-1] / total, 0.0, MOST_AUTOCORRELATION))
    return max(total / max(free, 1) * (1 + r) / (1 - r), 1e-12), r


def _target(design: Design, series: Floats, ridge: float) -> Floats:
    return np.asarray(design.columns @ design.without_free(series) + ridge)


def estimate(design: Design, series: Floats) -> Estimate:
    """Find grid points and coefficients by coordinate descent, the noise variance along with them."""
    n_lines = len(design.columns)
    shape, gamma = np.full(n_lines, MIDDLE), np.ones(n_lines)
    residual = design.without_free(series)
    variance, r = _noise(design, residual, gamma)
    for _ in range(SWEEPS):
        ridge, before = variance / PRIOR_SD**2, shape.copy()
        target = _target(design, series, ridge)
        for line in range(n_lines):
            shape[line] = int(np.argmax(design.gains(line, shape, gamma > 0, target, ridge)))
            gamma = design.solve(shape, series, ridge, np.ones(n_lines))
        residual = design.without_free(series - design.media(shape) @ gamma)
        last, (variance, r) = variance, _noise(design, residual, gamma)
        if np.array_equal(before, shape) and abs(variance - last) <= 1e-6 * last:
            break
    return Estimate(shape, gamma, variance, residual, r)


@dataclass(frozen=True)
class Chances:
    """The random numbers of all draws, the same for every KPI.

    KPIs that move together in the history then do so in the draws; and where the data say nothing about a
    line, it is better or worse than expected for all KPIs alike.

    Attributes
    ----------
    starts : (D, B)
        First period of each residual block.
    shapes : (D, L)
        Uniform, where in the likelihood of its grid a line's point is picked.
    centres : (D, L)
        Normal deviates of the prior's centre.
    """

    starts: Ints
    shapes: Floats
    centres: Floats

    @classmethod
    def of(cls, seed: int, draws: int, lines: int, periods: int, block: int) -> Chances:
        """Draw them."""
        rng = np.random.default_rng(seed)
        starts = rng.integers(0, periods, size=(draws, -(-periods // block)))
        return cls(starts, rng.random((draws, lines)), rng.standard_normal((draws, lines)))


@dataclass(frozen=True)
class Draws:
    """Grid points (D, L), media coefficients (D, L) and baseline coefficients (D, q)."""

    shape: Ints
    gamma: Floats
    theta: Floats


def draw(design: Design, series: Floats, best: Estimate, chances: Chances, block: int) -> Draws:
    """Sample fits that the series allows; see the top of this module."""
    n_draws, n_lines = chances.shapes.shape
    n_periods, ridge = len(series), best.ridge
    target = _target(design, series, ridge)
    shape, gamma = best.shape.copy(), best.gamma
    out = Draws(
        np.empty((n_draws, n_lines), np.int64),
        np.empty((n_draws, n_lines)),
        np.empty((n_draws, design.free.shape[1])),
    )
    for d in range(n_draws):
        for line in range(n_lines):
            gains = design.gains(line, shape, gamma > 0, target, ridge)
            chance = np.cumsum(np.exp((gains - gains.max()) / (2 * best.variance)))
            shape[line] = int(np.searchsorted(chance, chances.shapes[d, line] * chance[-1], side="right"))
            gamma = design.solve(shape, series, ridge, np.ones(n_lines))
        media = design.media(shape)
        residual = design.without_free(series - media @ gamma)
        used = design.basis.shape[1] + int(np.sum(gamma > 0))
        # Fitted residuals are smaller than the noise by the columns they were fitted with.
        residual = residual * np.sqrt(n_periods / max(n_periods - used, 1))
        places = (chances.starts[d][:, None] + np.arange(block)) % n_periods
        noisy = series + residual[places.ravel()[:n_periods]]
        out.shape[d] = shape
        out.gamma[d] = design.solve(shape, noisy, ridge, 1.0 + PRIOR_SD * chances.centres[d])
        out.theta[d] = design.baseline(noisy - media @ out.gamma[d])
    return out


@dataclass(frozen=True)
class Evidence:
    """What the data say of each line at the best grid points, signs left free: all (L,).

    Attributes
    ----------
    learned : (L,)
        How far the data narrow the prior, 0 (not at all) to 1: one less posterior over prior variance.
    score : (L,)
        Coefficient in standard deviations. Far below zero, something is missing from the columns: no sound
        estimate would be negative, and the zero that is reported in its place proves nothing.
    """

    learned: Floats
    score: Floats


def evidence(design: Design, series: Floats, best: Estimate) -> Evidence:
    """Return the posterior that least squares and prior would give without the bound at zero."""
    inverse = np.linalg.inv(design.system(best.shape, best.ridge))
    target = design.media(best.shape).T @ design.without_free(series) + best.ridge
    variance = np.diagonal(inverse)
    score = inverse @ target / np.sqrt(best.variance * variance)
    return Evidence(np.clip(1.0 - best.ridge * variance, 0.0, 1.0), score)
