"""Slow, obvious twins of the compiled kernels, and optima by trying everything.

Curves are written as a textbook has them and computed with many digits, so that neither rounding nor overflow
needs a clever form here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from decimal import MAX_EMAX, MIN_EMIN, Decimal, localcontext
from typing import Any

DIGITS = 100
# The stated point nearest to zero, as a share of `first`, at which a slope is taken.
NEAREST = Decimal("1e-12")


def saturation(family: str, a: Any, first: Any, second: Any) -> Decimal:
    """S(a) of a family, exact to about 90 digits."""
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
    raise ValueError(family)


def _log1p(x: Decimal) -> Decimal:
    if x > Decimal("1e-10"):
        return (1 + x).ln()
    return x - x**2 / 2 + x**3 / 3 - x**4 / 4


def saturation_slope(family: str, a: Any, first: Any, second: Any) -> Decimal:
    """dS/da of a family by the rules of calculus, no nearer to zero than `NEAREST` of ``first``."""
    with localcontext(prec=DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN):
        a, first, second = Decimal(a), Decimal(first), Decimal(second)
        if family == "none":
            return Decimal(0)
        if family == "linear":
            return Decimal(1)
        a = max(a, NEAREST * first)
        if family == "hill":
            above = first**second * second * a ** (second - 1)
            return above / (first**second + a**second) ** 2
        if family == "michaelis_menten":
            return first / (first + a) ** 2
        if family == "power":
            return second * a ** (second - 1)
        if family == "log1p":
            return 1 / (first + a)
    raise ValueError(family)


def adstock_weights(rate: float, length: int, normalised: bool) -> list[float]:
    """Geometric carry-over, the current period first."""
    weights = [1.0]
    while len(weights) < length:
        weights.append(weights[-1] * rate)
    total = sum(weights) if normalised else 1.0
    return [weight / total for weight in weights]


def adstock(media: Sequence[float], history: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Adstocked media in each period of ``media``; ``history`` is what came just before, the latest last."""
    past = [0.0] * len(weights) + list(history)
    everything = past + list(media)
    return [
        sum(weight * everything[len(past) + t - lag] for lag, weight in enumerate(weights))
        for t in range(len(media))
    ]


def outcomes(
    media: Any,
    history: Any,
    weights: Any,
    family: Sequence[Sequence[str]],
    scale: Any,
    first: Any,
    second: Any,
    season: Any,
) -> list[list[list[float]]]:
    """Every line's effect on every KPI added up: by plan, draw and KPI. Families by name."""
    return [
        [
            [
                sum(
                    _effect(plan[line], history[line], weights[d][k][line], season[k], family[k][line])(
                        scale[d][k][line], first[d][k][line], second[d][k][line]
                    )
                    for line in range(len(plan))
                )
                for k in range(len(family))
            ]
            for d in range(len(scale))
        ]
        for plan in media
    ]


def _effect(media: Any, history: Any, weights: Any, season: Any, family: str) -> Callable[..., float]:
    def effect(scale: float, first: float, second: float) -> float:
        carried = adstock(media, history, weights)
        values = [Decimal(season[t]) * saturation(family, a, first, second) for t, a in enumerate(carried)]
        return float(Decimal(scale) * sum(values))

    return effect


def line_effects(
    spend: Any,
    unit: Any,
    history: Any,
    weights: Any,
    family: Sequence[Sequence[str]],
    scale: Any,
    first: Any,
    second: Any,
    season: Any,
) -> tuple[list[Any], list[Any]]:
    """Each line's effect, and its slope in the line's total spend: by draw, KPI and line."""
    value: list[Any] = []
    slope: list[Any] = []
    for d in range(len(scale)):
        value.append([[0.0] * len(spend) for _ in family])
        slope.append([[0.0] * len(spend) for _ in family])
        for k, line in itertools.product(range(len(family)), range(len(spend))):
            name, p, q = family[k][line], first[d][k][line], second[d][k][line]
            media = [spend[line] * share for share in unit[line]]
            carried = adstock(media, history[line], weights[d][k][line])
            # What one more unit of total spend adds to each period's adstocked media: history adds nothing.
            more = adstock(unit[line], [], weights[d][k][line])
            effect, rise = Decimal(0), Decimal(0)
            for t, a in enumerate(carried):
                effect += Decimal(season[k][t]) * saturation(name, a, p, q)
                rise += Decimal(season[k][t]) * Decimal(more[t]) * saturation_slope(name, a, p, q)
            value[d][k][line] = float(Decimal(scale[d][k][line]) * effect)
            slope[d][k][line] = float(Decimal(scale[d][k][line]) * rise)
    return value, slope


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
