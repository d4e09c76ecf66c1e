"""Slow, obvious twins of the compiled kernels, and optima by trying everything.

Curves are written as a textbook has them and computed with many digits, so that neither rounding nor overflow
needs a clever form here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from decimal import MAX_EMAX, MIN_EMIN, Decimal, localcontext
from typing import Any

DIGITS = 100
# The stated point nearest to zero, as a share of `first`, at which a slope is taken.
NEAREST = Decimal("1e-12")


def saturation(family: str, a: Any, first: Any, second: Any, points: Any = ()) -> Decimal:
    """S(a) of a family, exact to about 90 digits; ``points`` are media and effect, rising from (0, 0)."""
    with localcontext(prec=DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN):
        a, first, second = Decimal(a), Decimal(first), Decimal(second)
        if family == "none" or a == 0:
            return Decimal(0)
        if family == "linear":
            return a
        if family == "hill":
            return a**second / (first**second + a**second)
        if family == "michaelis_menten":
            return a / (first + a)
        if family == "power":
            return a**second
        if family == "log1p":
            return _log1p(a / first)
        if family in ("logistic", "tanh"):
            # Both as PyMC-Marketing's logistic has it: half at `first` with lam = log(3) / first.
            u = Decimal(3).ln() * a / first
            if u < Decimal("1e-30"):
                return u / 2
            return (1 - (-u).exp()) / (1 + (-u).exp())
        if family == "points":
            for (low, below), (high, above) in _pieces(points):
                if a < high:
                    return below + (above - below) * (a - low) / (high - low)
            return Decimal(points[-1][1]) if len(points) else Decimal(0)
    raise ValueError(family)


def _pieces(points: Any) -> Iterator[tuple[tuple[Decimal, Decimal], tuple[Decimal, Decimal]]]:
    ends = [(Decimal(0), Decimal(0)), *((Decimal(x), Decimal(y)) for x, y in points)]
    return itertools.pairwise(ends)


def _log1p(x: Decimal) -> Decimal:
    if x > Decimal("1e-10"):
        return (1 + x).ln()
    return x - x**2 / 2 + x**3 / 3 - x**4 / 4


def saturation_slope(family: str, a: Any, first: Any, second: Any, points: Any = ()) -> Decimal:
    """dS/da of a family by the rules of calculus, no nearer to zero than `NEAREST` of ``first``."""
    with localcontext(prec=DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN):
        a, first, second = Decimal(a), Decimal(first), Decimal(second)
        if family == "none":
            return Decimal(0)
        if family == "linear":
            return Decimal(1)
        if family in ("hill", "power"):
            a = max(a, NEAREST * (first if family == "hill" else 1))
        if family == "hill":
            above = first**second * second * a ** (second - 1)
            return above / (first**second + a**second) ** 2
        if family == "michaelis_menten":
            return first / (first + a) ** 2
        if family == "power":
            return second * a ** (second - 1)
        if family == "log1p":
            return 1 / (first + a)
        if family in ("logistic", "tanh"):
            lam = Decimal(3).ln() / first
            e = (-lam * a).exp()
            return 2 * lam * e / (1 + e) ** 2
        if family == "points":
            for (low, below), (high, above) in _pieces(points):
                if a < high:
                    return (above - below) / (high - low)
            return Decimal(0)
    raise ValueError(family)


def adstock_weights(
    rate: float,
    length: int,
    normalised: bool,
    kind: str = "geometric",
    spread: float = 1.0,
    bend: float = 1.0,
) -> list[float]:
    """Carry-over, the current period first: each kind as its source writes it, lag by lag."""
    if kind == "geometric":
        weights = [1.0]
        while len(weights) < length:
            weights.append(weights[-1] * rate)
    elif kind == "delayed":
        weights = [rate ** ((lag - spread) ** 2) for lag in range(length)]
    elif kind == "binomial":
        power = 1 / rate - 1 if rate > 0 else math.inf
        weights = [(1 - lag / length) ** power for lag in range(length)]
    elif kind == "weibull_pdf":
        density = [
            bend / spread * (t / spread) ** (bend - 1) * math.exp(-((t / spread) ** bend))
            for t in range(1, length + 1)
        ]
        low, high = min(density), max(density)
        weights = [(d - low) / (high - low) if high > low else float(i == 0) for i, d in enumerate(density)]
    else:
        weights = [1.0]
        for t in range(1, length):
            weights.append(weights[-1] * math.exp(-((t / spread) ** bend)))
    total = sum(weights) if normalised else 1.0
    return [weight / total if total > 0 else weight for weight in weights]


def adstock(media: Sequence[float], history: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Adstocked media in each period of ``media``; ``history`` is what came just before, the latest last."""
    past = [0.0] * len(weights) + list(history)
    everything = past + list(media)
    return [
        sum(weight * everything[len(past) + t - lag] for lag, weight in enumerate(weights))
        for t in range(len(media))
    ]


def line_effect(
    media: Sequence[float],
    history: Sequence[float],
    weights: Sequence[float],
    season: Sequence[float],
    family: str,
    scale: float,
    first: float,
    second: float,
    points: Any = (),
    after: bool = False,
) -> float:
    """What one line adds to one KPI over the horizon in one draw."""
    total = Decimal(0)
    if after:
        everything = [saturation(family, m, first, second, points) for m in [*history, *media]]
        for t, lag in itertools.product(range(len(media)), range(len(weights))):
            at = len(history) + t - lag
            if at >= 0:
                total += Decimal(season[t]) * Decimal(weights[lag]) * everything[at]
    else:
        for t, a in enumerate(adstock(media, history, weights)):
            total += Decimal(season[t]) * saturation(family, a, first, second, points)
    return float(Decimal(scale) * total)


def outcomes(
    media: Any,
    history: Any,
    weights: Any,
    after: Any,
    family: Sequence[Sequence[str]],
    scale: Any,
    first: Any,
    second: Any,
    points: Any,
    season: Any,
) -> list[list[list[float]]]:
    """Every line's effect on every KPI added up: by plan, KPI and draw. Families by name, draws last."""

    def one(plan: Any, k: int, d: int) -> float:
        return sum(
            line_effect(
                plan[line],
                history[line],
                [row[d] for row in weights[k][line]],
                season[k],
                family[k][line],
                scale[k][line][d],
                first[k][line][d],
                second[k][line][d],
                points[k][line],
                after[k][line],
            )
            for line in range(len(plan))
        )

    draws = len(scale[0][0])
    return [[[one(plan, k, d) for d in range(draws)] for k in range(len(family))] for plan in media]


def line_slope(
    media: Sequence[float],
    more: Sequence[float],
    history: Sequence[float],
    weights: Sequence[float],
    season: Sequence[float],
    family: str,
    scale: float,
    first: float,
    second: float,
    points: Any = (),
    after: bool = False,
) -> float:
    """Derivative of `line_effect` where each period's media grows by ``more``; history stays."""
    total = Decimal(0)
    if after:
        for t, lag in itertools.product(range(len(media)), range(len(weights))):
            if t - lag >= 0:
                slope = saturation_slope(family, media[t - lag], first, second, points)
                total += Decimal(season[t]) * Decimal(weights[lag]) * Decimal(more[t - lag]) * slope
    else:
        rises = adstock(more, [], weights)
        for t, a in enumerate(adstock(media, history, weights)):
            total += Decimal(season[t]) * Decimal(rises[t]) * saturation_slope(family, a, first, second, points)
    return float(Decimal(scale) * total)


def splits(total: float, lines: int, steps: int) -> Iterator[tuple[float, ...]]:
    """All ways to give ``steps`` equal parts of a total to the lines."""
    for cuts in itertools.combinations(range(steps + lines - 1), lines - 1):
        ends = [-1, *cuts, steps + lines - 1]
        yield tuple(total * (high - low - 1) / steps for low, high in itertools.pairwise(ends))


def best_split(
    value: Callable[[tuple[float, ...]], float],
    total: float,
    lines: int,
    steps: int = 200,
    allowed: Callable[[tuple[float, ...]], bool] = lambda spend: True,
) -> tuple[tuple[float, ...], float]:
    """Return the best allowed split of a total over the lines, and its value, by trying every one."""
    tried = ((value(spend), spend) for spend in splits(total, lines, steps) if allowed(spend))
    best, spend = max(tried)
    return spend, best
