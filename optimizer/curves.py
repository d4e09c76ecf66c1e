"""Response families: what one line does for one KPI as its adstocked media grows.

Every family is ``scale * S(a)`` with ``a`` the adstocked media of one period. `FAMILIES` is the one list of
them; `kernels` evaluates them by their code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from .documents import Spec
from .errors import SpecError

Floats = NDArray[np.float64]


def _divisible(number: float) -> float:
    if number < 1e-30:
        raise SpecError(f"{number!r} is too small to divide by", "1e-30 is the least")
    return number


Positive = Annotated[float, Field(gt=0, le=1e15), AfterValidator(_divisible)]
NonNegative = Annotated[float, Field(ge=0, le=1e15)]


@dataclass(frozen=True)
class Family:
    """One response family.

    Attributes
    ----------
    code : int
        The number the kernels know it by.
    parameters : tuple of str
        YAML names of the first and second curve parameter, after ``scale``; media units a period for the
        first (``half``, ``knee``), none for the second (``slope``, ``exponent``).
    formula : str
        ``S(a)`` in words a reader can check.
    """

    code: int
    parameters: tuple[str, ...]
    formula: str


FAMILIES = {
    "none": Family(0, (), "0"),
    "linear": Family(1, (), "a"),
    "hill": Family(2, ("half", "slope"), "a^slope / (half^slope + a^slope)"),
    "michaelis_menten": Family(3, ("half",), "a / (half + a)"),
    "power": Family(4, ("exponent",), "a^exponent"),
    "log1p": Family(5, ("knee",), "log(1 + a / knee)"),
    "logistic": Family(6, ("half",), "(1 - exp(-lam a)) / (1 + exp(-lam a)), lam = log(3) / half"),
    "tanh": Family(7, ("half",), "tanh(artanh(1/2) a / half)"),
    "points": Family(8, (), "straight lines from (0, 0) through the points, level after the last"),
}
NAMES = {family.code: name for name, family in FAMILIES.items()}


class LinearCurve(Spec):
    """``scale * a``: every unit of media does the same."""

    kind: Literal["linear"]
    scale: NonNegative


class HillCurve(Spec):
    """``scale * a^slope / (half^slope + a^slope)``: concave up to slope 1, S-shaped above."""

    kind: Literal["hill"]
    scale: NonNegative
    half: Positive
    slope: Annotated[float, Field(gt=0, le=20)] = 1.0


class MichaelisMentenCurve(Spec):
    """``scale * a / (half + a)``."""

    kind: Literal["michaelis_menten"]
    scale: NonNegative
    half: Positive


class PowerCurve(Spec):
    """``scale * a^exponent`` with an exponent in (0, 1]: no saturation, falling returns."""

    kind: Literal["power"]
    scale: NonNegative
    exponent: Annotated[float, Field(gt=0, le=1)]


class Log1pCurve(Spec):
    """``scale * log(1 + a / knee)``; at ``a = knee`` the marginal return has halved."""

    kind: Literal["log1p"]
    scale: NonNegative
    knee: Positive


class LogisticCurve(Spec):
    """``scale * (1 - exp(-lam a)) / (1 + exp(-lam a))`` with ``lam = log(3) / half`` (PyMC-Marketing's form)."""

    kind: Literal["logistic"]
    scale: NonNegative
    half: Positive


class TanhCurve(Spec):
    """``scale * tanh(artanh(1/2) a / half)``: the logistic curve by its other name, half of it at ``half``."""

    kind: Literal["tanh"]
    scale: NonNegative
    half: Positive


class PointsCurve(Spec):
    """Straight lines from (0, 0) through ``points``, level after the last; each is [adstocked media, effect]."""

    kind: Literal["points"]
    scale: NonNegative = 1.0
    points: Annotated[
        list[Annotated[list[NonNegative], Field(min_length=2, max_length=2)]], Field(min_length=1, max_length=1000)
    ]

    @model_validator(mode="after")
    def _rising(self) -> Self:
        before = [0.0, 0.0]
        for index, point in enumerate(self.points):
            if index == 0 and point == before:
                continue
            if point[0] <= before[0]:
                raise SpecError(
                    f"media {point[0]:g} is not above the {before[0]:g} before it",
                    "order the points by media; without media there is no effect",
                    path=("points", index),
                )
            if point[1] < before[1]:
                raise SpecError(
                    f"the effect falls from {before[1]:g} to {point[1]:g}",
                    "more media never does less",
                    path=("points", index),
                )
            before = point
        return self


Curve = Annotated[
    LinearCurve
    | HillCurve
    | MichaelisMentenCurve
    | PowerCurve
    | Log1pCurve
    | LogisticCurve
    | TanhCurve
    | PointsCurve,
    Field(discriminator="kind"),
]


def parameters(curve: Curve) -> tuple[int, float, float, float]:
    """Return ``(code, scale, first, second)`` of a curve; a parameter the family lacks is 1."""
    family = FAMILIES[curve.kind]
    # The exponent of a power curve travels in the second slot, where Hill has its slope.
    first, second = 1.0, 1.0
    for name in family.parameters:
        value = float(getattr(curve, name))
        if name in ("slope", "exponent"):
            second = value
        else:
            first = value
    return family.code, float(curve.scale), first, second


def rising(points: Floats) -> NDArray[np.bool_]:
    """Whether media rises and effects do not fall from (0, 0) on, NaN only after the last: (K, L)."""
    ends = np.concatenate([np.zeros((*points.shape[:2], 1, 2)), points], axis=2)
    step, there = np.diff(ends, axis=2), np.isfinite(ends).all(axis=3)
    good = (step[..., 0] > 0) & (step[..., 1] >= 0) & there[..., :-1]
    return np.all(good | np.isnan(points).all(axis=3), axis=2)


def most(code: int, points: Floats) -> float:
    """What S of the family comes up to but never passes: the last effect of points (P, 2), else 1 or infinity."""
    name = NAMES[code]
    if name == "none":
        return 0.0
    if name == "points":
        return float(np.nanmax(points[:, 1], initial=0.0))
    return 1.0 if name in ("hill", "michaelis_menten", "logistic", "tanh") else np.inf


def is_linear(code: int) -> bool:
    """Whether the family is a straight line through zero (or nothing at all)."""
    return code in (FAMILIES["none"].code, FAMILIES["linear"].code)


def pieces(points: Floats) -> Floats:
    """Straight pieces of curves through points.

    Parameters
    ----------
    points : (K, L, P, 2)
        Adstocked media and effect, rising, NaN after the last; (0, 0) comes before the first.

    Returns
    -------
    (K, L, 3, P)
        Start, width and gradient; zeros after the last.
    """
    ends = np.concatenate([np.zeros((*points.shape[:2], 1, 2)), points], axis=2)
    width, rise = np.moveaxis(np.nan_to_num(np.diff(ends, axis=2)), 3, 0)
    gradient = np.divide(rise, width, out=np.zeros_like(width), where=width > 0)
    start = np.nan_to_num(ends[:, :, :-1, 0])
    return np.ascontiguousarray(np.stack([start, width, gradient], axis=2))


def concave(family: NDArray[np.int64], second: Floats, points: Floats) -> NDArray[np.bool_]:
    """Which families with these slopes or exponents (D, K, L), or points, have falling returns: (K, L)."""
    gradient = pieces(points)[:, :, 2]
    # Pieces of the same gradient, computed, may differ in the last digit.
    falling = np.all(np.diff(gradient, axis=2) <= 1e-12 * gradient[..., :-1], axis=2)
    through, hill = family == FAMILIES["points"].code, family == FAMILIES["hill"].code
    return np.where(through, falling, ~hill | np.all(second <= 1.0, axis=0))
