"""What is promised: targets for KPIs, and the green, yellow and red of a KPI over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, Field, Tag, model_validator

from .documents import Day, Spec
from .errors import SpecError

Floats = NDArray[np.float64]
Series = Sequence[float | None] | Floats
Direction = Literal["maximize", "minimize"]
Light = Literal["green", "yellow", "red", "grey"]

FORMS = ("level", "growth", "lift", "percentile", "band")
LIGHTS: tuple[Light, ...] = ("red", "yellow", "green")


class Percentile(Spec):
    """``value`` or better in at least this ``share`` of cases: "under 5 minutes in 95 % of cases"."""

    value: float = Field(description="The value each counted case must reach, in the KPI's unit.")
    share: float = Field(gt=0, le=1, description="The least share of cases that reach it: 0.95 is 95 %.")


class Target(Spec):
    """What a KPI shall reach, in exactly one of five forms.

    The value held against a target is the KPI over one period as it is measured, which for a plan is the plan's
    horizon. A value exactly at a limit reaches it.
    """

    level: float | None = Field(None, description="This value or better, in the KPI's unit.")
    growth: float | None = Field(None, description="Relative to the baseline: 0.10 is 10 % above it.")
    lift: float | None = Field(None, description="Added to the baseline, in the KPI's unit.")
    percentile: Percentile | None = Field(None, description="A value reached in a share of cases.")
    band: Annotated[list[float], Field(min_length=2, max_length=2)] | None = Field(
        None, description="[low, high]: between the two, ends included."
    )
    baseline: float | None = Field(
        None, description="What growth and lift start from; today's value where none is stated."
    )
    run: int = Field(1, ge=1, le=1000, description="Met in so many periods in a row.")
    deadline: Day | None = Field(None, description="The day it is due.")
    owner: str = Field("", description="Who answers for it.")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = [name for name in FORMS if getattr(self, name) is not None]
        if len(given) != 1:
            found = f"has both {given[0]} and {given[1]}" if given else "says no value"
            raise SpecError(found, f"give one of: {', '.join(FORMS)}", path=(given[1],) if given else ())
        if self.band is not None and self.band[0] >= self.band[1]:
            low, high = self.band
            raise SpecError(f"{low:g} is not below {high:g}", "write [low, high]", path=("band",))
        if self.growth is not None and self.baseline == 0:
            raise SpecError("growth relative to zero says nothing", "use lift or level", path=("baseline",))
        return self


class Width(Spec):
    """A width as a share of the limit it belongs to."""

    share: float = Field(ge=0, lt=1, description="0.02 is 2 % of the limit.")


class Thresholds(Spec):
    """Limits of the lights in the KPI's direction: at ``green`` or better green, at ``yellow`` or better yellow,
    beyond it red; nothing measured is grey.
    """

    green: float = Field(description="The last value that is green, in the KPI's unit.")
    yellow: float = Field(description="The last value that is yellow; beyond it is red.")
    hysteresis: Annotated[
        Annotated[float, Field(ge=0), Tag("number")] | Annotated[Width, Tag("share")],
        Discriminator(lambda width: "share" if isinstance(width, dict | Width) else "number"),
    ] = Field(
        0.0,
        description="How far past a limit a value must be before a light that got worse gets better again: "
        "in the KPI's unit, or {share: 0.02} of the limit.",
    )


def check_order(thresholds: Thresholds, direction: Direction) -> None:
    """Refuse limits that run against the direction.

    Raises
    ------
    SpecError
        If yellow begins on the better side of green; equal limits leave no yellow and are accepted.
    """
    sign = _sign(direction)
    if sign * thresholds.yellow > sign * thresholds.green:
        raise SpecError(
            f"yellow {thresholds.yellow:g} is better than green {thresholds.green:g} for a KPI to {direction}",
            "swap them",
            path=("thresholds", "yellow"),
        )


def light(values: Series, thresholds: Thresholds, direction: Direction) -> list[Light]:
    """Return the light of each value of a series.

    Bad news shows at once, good news only when it is clear: a light gets worse as soon as a value misses its
    limit, and gets better when a value is past the better light's limit by the hysteresis or more. The first
    known value has no light before it and takes the one its limits say. Noise narrower than the hysteresis
    thus never turns a light back and forth.

    Parameters
    ----------
    values : (T,)
        In time order. None, NaN and infinite values are missing: grey, and the next known value goes on from
        the light before the gap.
    thresholds : Thresholds
        The limits; a value exactly at a limit has reached it.
    direction : "maximize" or "minimize"
        Which way is better.

    Returns
    -------
    list of str
        ``green``, ``yellow``, ``red`` or ``grey``, one a value.
    """
    sign, width = _sign(direction), thresholds.hysteresis
    limits = sign * np.array([thresholds.yellow, thresholds.green])
    widths = width.share * np.abs(limits) if isinstance(width, Width) else np.full(2, width)
    lights: list[Light] = []
    state: int | None = None
    for value in sign * np.asarray(values, dtype=float):
        if not np.isfinite(value):
            lights.append("grey")
            continue
        plain = _rank(value, limits)
        state = plain if state is None else max(min(state, plain), _rank(value, limits + widths))
        lights.append(LIGHTS[state])
    return lights


def _rank(value: float, limits: Floats) -> int:
    """Return the index of the best light whose limit is reached: 0 red, 1 yellow, 2 green."""
    reached = np.flatnonzero(value >= limits)
    return int(reached[-1]) + 1 if len(reached) else 0


def required(target: Target, current: float = float("nan")) -> float | tuple[float, float]:
    """Return what a plan must reach over the horizon: a value, or the ends of a band.

    Growth is ``baseline + growth |baseline|``, so that more is more of a negative baseline too; a percentile
    gives the value that its share of cases must reach.

    Parameters
    ----------
    target : Target
        What is promised.
    current : float
        Today's value, the baseline where the target states none.

    Raises
    ------
    SpecError
        If growth or lift has no baseline, or growth starts from zero.
    """
    if target.band is not None:
        return target.band[0], target.band[1]
    if target.percentile is not None:
        return target.percentile.value
    if target.level is not None:
        return target.level
    baseline = target.baseline if target.baseline is not None else current
    if not np.isfinite(baseline):
        raise SpecError("no baseline is stated, and there is no value today", "add a baseline", path=("target",))
    if target.lift is not None:
        return baseline + target.lift
    if baseline == 0:
        raise SpecError("growth relative to zero says nothing", "use lift or level", path=("target", "growth"))
    return baseline + float(target.growth or 0.0) * abs(baseline)


def met(target: Target, values: Series, direction: Direction | None, current: float = float("nan")) -> bool:
    """Whether a target is met as of the last value: in each of the last ``run`` periods.

    A missing value (None, NaN, infinite) meets nothing, so it breaks a run; a series shorter than the run does
    not meet it.

    Parameters
    ----------
    target : Target
        What is promised.
    values : (T,), or (T, N) or (N,) for a percentile
        In time order; cut them at the deadline to ask whether it was kept. For a percentile, the N cases (or
        draws) of each period; missing cases count as not reached.
    direction : "maximize", "minimize" or None
        Which way is better; only a band goes without.
    current : float
        Today's value, for growth and lift without a stated baseline.
    """
    series = np.asarray(values, dtype=float)
    if target.percentile is not None:
        cases = reaches(np.atleast_2d(series), target.percentile.value, direction)
        kept = cases.mean(axis=1) >= target.percentile.share if cases.size else np.zeros(0, dtype=bool)
    else:
        kept = reaches(series, required(target, current), direction)
    return len(kept) >= target.run and bool(np.all(kept[-target.run :]))


def reaches(values: Floats, limit: float | tuple[float, float], direction: Direction | None) -> NDArray[np.bool_]:
    """Return which values are at the limit or better, or in the band with its ends: the shape of ``values``."""
    known = np.isfinite(values)
    if isinstance(limit, tuple):
        return known & (values >= limit[0]) & (values <= limit[1])
    sign = _sign(direction)
    return known & (sign * values >= sign * limit)


def _sign(direction: Direction | None) -> float:
    if direction is None:
        raise SpecError("a KPI without a direction has no better or worse", "add direction: maximize or minimize")
    return 1.0 if direction == "maximize" else -1.0
