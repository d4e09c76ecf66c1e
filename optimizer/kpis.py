"""What is measured: the definition of a KPI."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from .documents import Spec
from .errors import SpecError
from .proxies import ProxySpec
from .targets import Direction, Target, Thresholds, check_order

Floats = NDArray[np.float64]
SPEND = "spend"
RESERVED = (SPEND, "file", "sha256", "leave_out", "synergy", "scale", "steps", "point", "optimised", "held_out")
# As far as an adstock can reach.
MOST_DELAY = 104
FORMULAS = ("ratio", "product", "sum", "difference")

Part = str | float


class Kpi(Spec):
    """One KPI: what it is for, how it is counted, which way is better.

    A KPI with one of ``ratio``, ``product``, ``sum`` or ``difference`` is derived: it is recomputed from its
    parts at every level. Parts are KPI names, ``spend`` (total spend of the plan) or numbers. A KPI with a
    ``function`` is what that function makes of spend. A KPI with ``cvar`` is the mean of another over a share of
    its worst draws: what is at risk. Any other KPI is additive: ``baseline`` plus what the lines
    add, as the response says.
    """

    goal: str = Field("", description="The wish behind the number.")
    direction: Direction | None = Field(None, description="Which way is better; without one it is only shown.")
    unit: str = Field("", description="What it is counted in.")
    level: Literal["input", "output", "outcome"] | None = Field(
        None, description="What is put in, what comes out of the work, or what that changes for the business."
    )
    layer: Literal["operational", "business"] | None = Field(None, description="Who steers by it.")
    horizon: Literal["proximal", "distal"] | None = Field(
        None, description="Proximal: seen soon, stands for another KPI (proxy_for). Distal: the end itself."
    )
    proxy_for: str | None = Field(None, description="The KPI that a proximal one stands for.")
    lag: int | None = Field(
        None,
        ge=0,
        le=1000,
        description="Periods until the KPI it stands for follows. Plans count that one by its own delay.",
    )
    proxy: ProxySpec | None = Field(
        None, description="What `audit proxy` found of it, and who waives a contradiction by name."
    )
    waiver: str = Field("", description="Why a proximal objective is accepted without proxy_for.")
    so_what: str = Field("", description="What changes for the business when it moves.")
    source: str = Field("", description="The system and field it is read from.")
    calculation: str = Field("", description="How it is counted, in words.")
    owner: str = Field("", description="Who answers for the definition and the figure.")
    review: Literal["weekly", "monthly", "quarterly", "yearly"] | None = Field(
        None, description="How often somebody asks whether it is still the right KPI."
    )
    target: Target | None = Field(None, description="What it shall reach.")
    thresholds: Thresholds | None = Field(None, description="The limits of green, yellow and red.")
    role: Literal["objective", "guardrail", "counter", "monitor"] | None = Field(
        None,
        description="Objective: optimised. Guardrail: kept within limits. Counter: shows harm that the objectives "
        "hide. Monitor: only shown. Without one, its place in the preferences says it.",
    )
    baseline: float | None = Field(None, description="What comes over the horizon without any of the lines.")
    season: Annotated[list[Annotated[float, Field(ge=0, le=1e6)]], Field(min_length=1)] | None = Field(
        None,
        description="How effective all lines are for what arrives in each period, 1 being as the response says.",
    )
    delay: int | None = Field(
        None,
        ge=0,
        le=MOST_DELAY,
        description="Periods by which all that lines do for it comes later than the response says: 2 where a "
        "policy is bought two weeks after the lead. What comes after the horizon counts with carry_out only.",
    )
    value: float | None = Field(
        None,
        gt=0,
        description="What one unit is worth in the scenario's currency: earned by one more of a KPI to maximize, "
        "saved by one less of a KPI to minimize.",
    )
    ratio: Annotated[list[Part], Field(min_length=2, max_length=2)] | None = Field(
        None, description="[numerator, denominator]"
    )
    product: Annotated[list[Part], Field(min_length=2)] | None = Field(None, description="The factors.")
    sum: Annotated[list[Part], Field(min_length=2)] | None = Field(None, description="The parts.")
    difference: Annotated[list[Part], Field(min_length=2, max_length=2)] | None = Field(
        None, description="[from, minus]"
    )
    function: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="A function of the user's own that computes it from spend, by the name it is given under: "
        "Scenario.load(file, functions={...}) in Python.",
    )
    cvar: Annotated[list[Part], Field(min_length=2, max_length=2)] | None = Field(
        None,
        description="[KPI, share]: the mean of that KPI over this share of its worst draws, 0.1 being a tenth. "
        "Worst are the lowest of a KPI to maximize, the highest of one to minimize.",
    )
    function_sha256: str | None = Field(None, description="Which function it was when the scenario was resolved.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        given = [name for name in FORMULAS if getattr(self, name) is not None]
        given += [name for name in ("function", "cvar") if getattr(self, name) is not None]
        self._check_tail()
        if self.function_sha256 is not None and self.function is None:
            raise SpecError("the hash of no function", "name it in function", path=("function_sha256",))
        if len(given) > 1:
            raise SpecError(f"has both {given[0]} and {given[1]}", "keep one formula", path=(given[1],))
        for name in ("season", "baseline", "delay"):
            if given and getattr(self, name) is not None:
                raise SpecError(
                    f"a KPI with a {given[0]} has no {name} of its own", "put it on its parts", path=(name,)
                )
        self._check_horizon()
        self._check_direction()
        return self

    def _check_tail(self) -> None:
        if self.cvar is None:
            return
        of, share = self.cvar
        if not isinstance(of, str) or not isinstance(share, float) or not 0 < share < 1:
            raise SpecError("is no KPI and a share of its draws", "cvar: [policies, 0.1]", path=("cvar",))
        if self.direction is None:
            raise SpecError(
                "without a direction nothing says which draws are the worst",
                "add direction: maximize or minimize",
                path=("cvar",),
            )

    @property
    def tail(self) -> tuple[str, float] | None:
        """Of which KPI it is the mean over the worst draws, and over what share of them; None where it is not."""
        return None if self.cvar is None else (str(self.cvar[0]), float(self.cvar[1]))

    def _check_horizon(self) -> None:
        if self.proxy_for is not None and self.horizon == "distal":
            raise SpecError(
                "a distal KPI stands for itself",
                "drop proxy_for or set horizon: proximal",
                path=("proxy_for",),
            )
        if self.lag is not None and (self.horizon != "proximal" or self.proxy_for is None):
            raise SpecError(
                "a lag is the time until another KPI follows",
                "add horizon: proximal and proxy_for, or drop the lag",
                path=("lag",),
            )
        if self.proxy is not None and self.proxy_for is None:
            raise SpecError(
                "an audit says whether a KPI stands for another, and this one stands for none",
                "name that KPI in proxy_for, or drop proxy",
                path=("proxy",),
            )
        if self.waiver and (self.horizon != "proximal" or self.proxy_for is not None):
            raise SpecError(
                "there is nothing to waive: only a proximal KPI without proxy_for needs a waiver",
                "drop the waiver",
                path=("waiver",),
            )

    def _check_direction(self) -> None:
        if self.direction is not None:
            if self.thresholds is not None:
                check_order(self.thresholds, self.direction)
            return
        needs = {
            "role": self.role == "objective",
            "thresholds": self.thresholds is not None,
            "target": self.target is not None and self.target.band is None,
        }
        for name, needed in needs.items():
            if needed:
                raise SpecError(
                    "without a direction nothing says which way is better",
                    "add direction: maximize or minimize",
                    path=(name,),
                )

    @property
    def formula(self) -> tuple[str, list[Part]] | None:
        """The formula's name and parts, or None for a KPI that is not derived."""
        for name in FORMULAS:
            parts = getattr(self, name)
            if parts is not None:
                return name, parts
        return None
