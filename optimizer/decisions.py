"""Who must agree before a recommendation goes live: levels from stated limits on what may go wrong.

Every measure of risk is held against the limits of every level; the highest level that any of them asks for is the
answer. More risk crosses more limits and never fewer, so it can never lower the level.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from .documents import Spec
from .errors import SpecError

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]

LEVELS = ("auto", "confirm", "two_person", "blocked")
# What is measured, and whether less of it is the risk.
MEASURES = {
    "shift": False,
    "spend_at_risk": False,
    "extrapolation": False,
    "interval": False,
    "guardrail": False,
    "data_quality": True,
}
# The states of a guardrail as numbers; a grey one is not known.
STATES = {"green": 0.0, "yellow": 1.0, "red": 2.0, "grey": np.nan}
# Added to a level that is asked for because a measure is not known.
UNKNOWN = len(LEVELS)

NonNegative = Annotated[float, Field(ge=0, le=1e15)]


class Limits(Spec):
    """Where one level begins: any measure beyond its limit asks for it."""

    shift: NonNegative | None = Field(default=None, description="Money moved, as a share of today's spend.")
    spend_at_risk: NonNegative | None = Field(
        default=None,
        description="Money spent elsewhere than today, in currency: what is lost if the curves are all wrong.",
    )
    extrapolation: NonNegative | None = Field(
        default=None, description="Share of the plan's spend that lies outside what was observed on its line."
    )
    interval: NonNegative | None = Field(
        default=None,
        description="Width of the interval of the least certain KPI's change, as a share of the KPI today.",
    )
    guardrail: Literal["yellow", "red"] | None = Field(
        default=None, description="A guardrail in this state, or a worse."
    )
    data_quality: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="Data quality below this, 1 being best."
    )

    def crossed(self, measure: str, values: Floats) -> NDArray[np.bool_]:
        """Whether values (A,) of a measure are beyond its limit; not known is not beyond."""
        limit = getattr(self, measure)
        if limit is None:
            return np.zeros(len(values), dtype=bool)
        if measure == "guardrail":
            return values >= STATES[limit]
        return values < limit if MEASURES[measure] else values > limit

    def says(self, measure: str) -> str:
        """The limit in words."""
        limit = getattr(self, measure)
        if measure == "guardrail":
            return f"guardrail {limit}" if limit == "red" else f"guardrail {limit} or worse"
        return f"{measure} {'below' if MEASURES[measure] else 'above'} {limit:g}"


class DecisionsSpec(Spec):
    """The ``decisions`` block: what asks for a person, for two, and what must not go live at all.

    ``unknown`` is the level that a measure asks for which some limit is on and which is not known.
    """

    confirm: Limits = Limits()
    two_person: Limits = Limits()
    blocked: Limits = Limits()
    unknown: Literal["confirm", "two_person", "blocked"] = "confirm"

    @property
    def limits(self) -> dict[str, Limits]:
        """The limits by level, rising."""
        return {level: getattr(self, level) for level in LEVELS[1:]}

    @model_validator(mode="after")
    def _rising(self) -> Self:
        for measure, less in MEASURES.items():
            before = None
            for level, limits in self.limits.items():
                limit = getattr(limits, measure)
                if limit is None:
                    continue
                risk = STATES[limit] if measure == "guardrail" else -limit if less else limit
                if before is not None and risk < before[1]:
                    raise SpecError(
                        f"the limit of {level} is stricter than that of {before[0]}, which nothing would reach",
                        "let limits loosen from confirm to blocked",
                        path=(level, measure),
                    )
                before = (level, risk)
        return self


def levels(measures: Mapping[str, Floats], decisions: DecisionsSpec) -> Codes:
    """Return the level each measure asks for, `UNKNOWN` added where it is not known.

    Parameters
    ----------
    measures : mapping
        Values (A,) by measure, NaN where not known; in the units of `Limits`, guardrails by `STATES`.

    Returns
    -------
    (A, M)
        Indices of `LEVELS`, one column for each of `MEASURES`.
    """
    found = np.zeros((len(next(iter(measures.values()))), len(MEASURES)), np.int8)
    for column, measure in enumerate(MEASURES):
        values = np.asarray(measures[measure], dtype=float)
        for code, limits in enumerate(decisions.limits.values(), start=1):
            found[limits.crossed(measure, values), column] = code
        if any(getattr(limits, measure) is not None for limits in decisions.limits.values()):
            found[np.isnan(values), column] = UNKNOWN + LEVELS.index(decisions.unknown)
    return found


def highest(asked: Codes) -> NDArray[np.int64]:
    """The level of each account, as an index of `LEVELS`: (A,) from what `levels` returns."""
    return np.max(asked % UNKNOWN, axis=1).astype(np.int64)


def reasons(asked: Codes, decisions: DecisionsSpec) -> list[str]:
    """Say what asks for more than ``auto``, from one row of what `levels` returns; the highest level first."""
    found = []
    for measure, code in zip(MEASURES, asked, strict=True):
        level = LEVELS[code % UNKNOWN]
        if code >= UNKNOWN:
            found.append((code % UNKNOWN, f"{measure} is not known: {level}"))
        elif code:
            found.append((code, f"{decisions.limits[level].says(measure)}: {level}"))
    return [text for _, text in sorted(found, key=lambda item: -item[0])]
