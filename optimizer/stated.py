"""What a scenario file may say, block by block, and what is checked before anything is computed."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from .constraints import ConstraintsSpec, Line
from .decisions import DecisionsSpec
from .documents import Spec
from .errors import SpecError
from .horizon import Horizon
from .kpis import Kpi
from .preferences import PreferencesSpec
from .written import ResponseSpec

Floats = NDArray[np.float64]
Name = Annotated[str, Field(min_length=1, max_length=200)]


def _currency(code: str) -> str:
    if len(code) != 3 or not code.isascii() or not code.isupper():
        raise SpecError(f"{code!r} is not a currency code", "three capital letters, such as EUR, GBP or USD")
    return code


Currency = Annotated[str, AfterValidator(_currency)]
Flighting = Annotated[
    Annotated[Literal["flat", "free"], Tag("word")]
    | Annotated[dict[str, list[Annotated[float, Field(ge=0)]]], Tag("shares")],
    Discriminator(lambda flighting: "shares" if isinstance(flighting, dict) else "word"),
]


class Claim(Spec):
    """A figure somebody states for a KPI, to be held against the plan: a change, or values today and planned."""

    kpi: str
    change: float | None = None
    today: float | None = None
    plan: float | None = None
    tolerance: Annotated[float, Field(gt=0)]
    source: str = ""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.change is None) == (self.today is None or self.plan is None):
            raise SpecError("needs either 'change' or both 'today' and 'plan'", "change: -0.28 is -28 %")
        return self


class ScenarioSpec(Spec):
    """The scenario file. Money is in ``currency`` over the whole horizon; curves are by period.

    ``flighting`` spreads each line's total over the periods: evenly (``flat``), by given shares, or as the plan
    finds best (``free``; today's plan is then taken to be spread evenly).
    """

    name: Name
    currency: Currency
    horizon: Horizon
    lines: Annotated[list[Line], Field(min_length=1)]
    flighting: Flighting = "flat"
    carry_out: bool = False
    platform_kpi: str | None = None
    kpis: Annotated[dict[Name, Kpi], Field(min_length=1)]
    response: ResponseSpec
    constraints: ConstraintsSpec
    preferences: PreferencesSpec = PreferencesSpec()
    decisions: DecisionsSpec | None = None
    claims: list[Claim] = []
    notes: list[str] = []
    hash: str | None = None

    @model_validator(mode="after")
    def _names(self) -> Self:
        seen: dict[str, int] = {}
        for index, line in enumerate(self.lines):
            if line.name in seen:
                raise SpecError(
                    f"line '{line.name}' is already lines[{seen[line.name]}]",
                    "give each line its own name",
                    path=("lines", index, "name"),
                )
            seen[line.name] = index
        if self.platform_kpi is not None and self.platform_kpi not in self.kpis:
            raise SpecError(
                f"unknown KPI '{self.platform_kpi}'",
                f"KPIs are: {', '.join(self.kpis)}",
                path=("platform_kpi",),
            )
        self._check_periods()
        for index, claim in enumerate(self.claims):
            if claim.kpi not in self.kpis:
                raise SpecError(
                    f"unknown KPI '{claim.kpi}'",
                    f"KPIs are: {', '.join(self.kpis)}",
                    path=("claims", index, "kpi"),
                )
        return self

    def _check_periods(self) -> None:
        """Raise SpecError where a list by period does not cover the horizon."""
        periods = self.horizon.periods
        lists: dict[tuple[str | int, ...], object] = {
            **{("lines", i, "price"): line.price for i, line in enumerate(self.lines)},
            **{("kpis", name, "season"): kpi.season for name, kpi in self.kpis.items()},
        }
        for path, values in lists.items():
            if isinstance(values, list) and len(values) != periods:
                raise SpecError(f"{len(values)} values for {periods} periods", "give one a period", path=path)


def shares_of(spec: ScenarioSpec) -> Floats:
    """Share of each line's total spend by period: (L, T); even where the plan chooses."""
    if isinstance(spec.flighting, str):
        return np.full((len(spec.lines), spec.horizon.periods), 1.0 / spec.horizon.periods)
    return np.array([spec.flighting[line.name] for line in spec.lines])


def check_flighting(spec: ScenarioSpec) -> None:
    """Raise SpecError where shares by period do not cover lines and horizon, or do not add up."""
    if isinstance(spec.flighting, str):
        return
    names = [line.name for line in spec.lines]
    for name, shares in spec.flighting.items():
        if name not in names:
            raise SpecError(f"unknown line '{name}'", f"lines are: {', '.join(names)}", path=("flighting", name))
        if len(shares) != spec.horizon.periods:
            raise SpecError(
                f"{len(shares)} shares for {spec.horizon.periods} periods",
                "give one share a period",
                path=("flighting", name),
            )
        if abs(sum(shares) - 1.0) > 1e-6:
            raise SpecError(f"the shares add up to {sum(shares):g}, not 1", "mend them", path=("flighting", name))
    for name in names:
        if name not in spec.flighting:
            raise SpecError(
                f"says nothing about line '{name}'", "give it a share for each period", path=("flighting",)
            )
