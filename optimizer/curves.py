"""Response families: what one line does for one KPI as its adstocked media grows.

Every family is ``scale * S(a)`` with ``a`` the adstocked media of one period. `FAMILIES` is the one list of
them; `kernels` evaluates them by their code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

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


Curve = Annotated[
    LinearCurve | HillCurve | MichaelisMentenCurve | PowerCurve | Log1pCurve, Field(discriminator="kind")
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


def is_linear(code: int) -> bool:
    """Whether the family is a straight line through zero (or nothing at all)."""
    return code in (FAMILIES["none"].code, FAMILIES["linear"].code)


def is_concave(code: int, second: Floats) -> bool:
    """Whether the family with these slopes or exponents (one a draw) has falling returns everywhere."""
    return code != FAMILIES["hill"].code or bool(np.all(second <= 1.0))
