"""The slow, obvious twin of synergy between lines, and of KPIs that follow late: one KPI, one draw, one plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import MAX_EMAX, MIN_EMIN, Decimal, localcontext
from typing import Any

import naive


def share(
    t: int,
    media: Sequence[float],
    history: Sequence[float],
    weights: Sequence[float],
    family: str,
    first: float,
    second: float,
    points: Any,
    after: bool,
    late: int = 0,
    more: Sequence[float] | None = None,
) -> Decimal:
    """A line's share of its curve that arrives in period ``t``, ``late`` periods after the media works.

    With ``more``, the derivative of it where each period's media grows by that; history stays.
    """

    def bought(s: int) -> float:
        return media[s] if s >= 0 else history[len(history) + s] if len(history) + s >= 0 else 0.0

    def rise(s: int) -> float:
        return more[s] if more is not None and s >= 0 else 0.0

    curve = (first, second, points)
    lags = [(Decimal(weight), t - late - lag) for lag, weight in enumerate(weights)]
    if after and more is None:
        return sum((w * naive.saturation(family, bought(s), *curve) for w, s in lags), Decimal(0))
    if after:
        slopes = (w * Decimal(rise(s)) * naive.saturation_slope(family, bought(s), *curve) for w, s in lags)
        return sum(slopes, Decimal(0))
    adstocked = sum((w * Decimal(bought(s)) for w, s in lags), Decimal(0))
    if more is None:
        return naive.saturation(family, adstocked, *curve)
    risen = sum((w * Decimal(rise(s)) for w, s in lags), Decimal(0))
    return risen * naive.saturation_slope(family, adstocked, *curve)


def line_effects(
    lines: Sequence[Mapping[str, Any]],
    scales: Sequence[float],
    gains: Mapping[tuple[int, int], float],
    season: Sequence[float],
) -> list[float]:
    """Each line's effect on the KPI: its own, times what every giver makes of it.

    Parameters
    ----------
    lines : sequence of mapping
        Arguments of `share`, by line.
    gains : mapping
        By giver and taker.
    """
    found = [Decimal(0)] * len(lines)
    with localcontext(prec=naive.DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN):
        for t, weight in enumerate(season):
            shares = [share(t, **line) for line in lines]
            for taker, scale in enumerate(scales):
                effect = Decimal(weight) * Decimal(scale) * shares[taker]
                for (giver, to), gain in gains.items():
                    if to == taker:
                        effect *= 1 + Decimal(gain) * shares[giver]
                found[taker] += effect
    return [float(effect) for effect in found]


def slope(
    lines: Sequence[Mapping[str, Any]],
    scales: Sequence[float],
    gains: Mapping[tuple[int, int], float],
    season: Sequence[float],
    more: Sequence[Sequence[float]],
) -> float:
    """Derivative of the sum of `line_effects` where each line's media grows by ``more``: the product rule."""
    total = Decimal(0)
    with localcontext(prec=naive.DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN):
        for t, weight in enumerate(season):
            shares = [share(t, **line) for line in lines]
            rises = [share(t, **line, more=grows) for line, grows in zip(lines, more, strict=True)]
            for taker, scale in enumerate(scales):
                # Factors and their derivatives: the line's own share, then what each giver makes of it.
                factors = [(shares[taker], rises[taker])]
                for (giver, to), gain in gains.items():
                    if to == taker:
                        factors.append((1 + Decimal(gain) * shares[giver], Decimal(gain) * rises[giver]))
                for i in range(len(factors)):
                    term = Decimal(weight) * Decimal(scale)
                    for j, (value, rise) in enumerate(factors):
                        term *= rise if i == j else value
                    total += term
    return float(total)
