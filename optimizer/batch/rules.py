"""The rules of a batch, as a YAML file states them for all accounts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from .. import documents
from ..constraints import Change, MinimumIfOn, ShareRule
from ..decisions import DecisionsSpec
from ..documents import Document, Spec
from ..errors import SpecError
from ..preferences import SMALLEST_RANGE, Ends
from ..stated import Currency
from ..targets import Direction

Name = Annotated[str, Field(min_length=1, max_length=200)]
Positive = Annotated[float, Field(gt=0, le=1e15)]


class BatchKpi(Spec):
    """A KPI that the accounts' lines add to."""

    direction: Direction = Field(description="Which way is better.")
    unit: str = Field(default="", description="What it is counted in.")


class Tradeoff(Spec):
    """How KPIs trade off: weights on a stated scale, or what one unit of each is worth.

    A ``scale`` is ``[worst, best]`` in changes of the KPI against today, as shares: ``[-0.1, 0.2]`` counts from
    10 % below today's value to 20 % above. It thus means the same for a large account and a small one, and
    nothing is read off the size of an account's numbers.
    """

    weights: dict[str, Annotated[float, Field(ge=0, le=1e15)]] = {}
    scale: dict[str, Ends] = {}
    values: dict[str, Positive] = {}


class BatchBudget(Spec):
    """The budget of each account, relative to what it spends today."""

    change: Annotated[float, Field(ge=-1, le=1000)] = Field(
        default=0.0, description="0.1 is 10 % more than today."
    )
    spend: Literal["all", "at_most"] = Field(default="all", description="Whether all of it must be spent.")


class RulesSpec(Spec):
    """The rules file of a batch.

    Attributes
    ----------
    kpis : dict
        The KPIs that every account has curves for.
    tradeoff, tiers : Tradeoff, dict
        The trade-off of all accounts, or one for each value of the column ``tier``.
    change : Change
        Step limits of every line, as shares of its current spend.
    floors : dict
        Least value of a KPI (most, of one to minimize) as a share of today's: 0.95 gives up at most 5 %.
    shares, minimum_if_on : list
        As in a scenario; a rule speaks of the accounts that have lines it selects.
    tolerance : float
        Largest accepted gap between a plan and its bound, on the scale, or where no scale is stated as a share of
        what all lines could do at their most.
    """

    name: Name
    currency: Currency
    kpis: Annotated[dict[Name, BatchKpi], Field(min_length=1)]
    tradeoff: Tradeoff = Tradeoff()
    tiers: dict[Name, Tradeoff] = {}
    budget: BatchBudget = BatchBudget()
    change: Change | None = None
    floors: dict[str, Annotated[float, Field(ge=0, le=1000)]] = {}
    shares: list[ShareRule] = []
    minimum_if_on: list[MinimumIfOn] = []
    decisions: DecisionsSpec
    tolerance: Annotated[float, Field(ge=1e-6, le=0.1)] = 1e-3

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tiers and self.tradeoff != Tradeoff():
            raise SpecError(
                "both 'tradeoff' and 'tiers' say how KPIs trade off", "keep one of them", path=("tradeoff",)
            )
        for name in self.floors:
            self._known(name, ("floors", name))
        for tier, tradeoff in self.tiers.items():
            self._check(tradeoff, ("tiers", tier))
        if not self.tiers:
            self._check(self.tradeoff, ("tradeoff",))
        return self

    def _known(self, name: str, path: tuple[str, ...]) -> None:
        if name not in self.kpis:
            raise SpecError(f"unknown KPI '{name}'", f"KPIs are: {', '.join(self.kpis)}", path=path)

    def _check(self, tradeoff: Tradeoff, path: tuple[str, ...]) -> None:
        for block in ("weights", "scale", "values"):
            for name in getattr(tradeoff, block):
                self._known(name, (*path, block, name))
        if tradeoff.weights and tradeoff.values:
            raise SpecError("both weights and values say how KPIs trade off", "keep one", path=(*path, "values"))
        if not tradeoff.weights and not tradeoff.values:
            if len(self.kpis) > 1:
                raise SpecError(
                    f"no trade-off is stated between {' and '.join(self.kpis)}",
                    "add weights with a scale, or what one unit of each is worth under 'values'",
                    path=path,
                )
            return
        stated = tradeoff.weights or tradeoff.values
        if sum(stated.values()) <= 0:
            raise SpecError("the weights sum to zero", "make one positive", path=(*path, "weights"))
        for name, kpi in self.kpis.items():
            if name not in stated:
                block = "weights" if tradeoff.weights else "values"
                raise SpecError(
                    f"'{name}' has no part in the trade-off",
                    "give it one; a weight of 0 says that it does not count",
                    path=(*path, block),
                )
            if tradeoff.weights:
                self._check_scale(name, kpi, tradeoff, (*path, "scale"))

    def _check_scale(self, name: str, kpi: BatchKpi, tradeoff: Tradeoff, path: tuple[str, ...]) -> None:
        if name not in tradeoff.scale:
            raise SpecError(
                f"'{name}' has a weight but no scale",
                f"add {name}: [worst, best], as changes against today: [-0.1, 0.2]",
                path=path,
            )
        worst, best = tradeoff.scale[name]
        if (best > worst) != (kpi.direction == "maximize") or abs(best - worst) < SMALLEST_RANGE:
            raise SpecError(
                f"[{worst:g}, {best:g}] is not from worst to best for a KPI to {kpi.direction}, at least "
                f"{SMALLEST_RANGE:g} apart",
                "write [worst, best]",
                path=(*path, name),
            )

    @property
    def more(self) -> bool:
        """Whether there are rules beyond one budget and a range for each line."""
        return bool(self.floors or self.shares or self.minimum_if_on)

    @property
    def hash(self) -> str:
        """SHA-256 of the rules, every default spelled out."""
        data = self.model_dump(mode="json", exclude_none=True)
        return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def load_rules(rules: str | Path | Mapping[str, Any] | RulesSpec) -> RulesSpec:
    """Read and check rules from a file or plain data.

    Raises
    ------
    SpecError
        For anything unclear or impossible, with the field's path, the line and a hint.
    """
    if isinstance(rules, RulesSpec):
        return rules
    document = Document(dict(rules)) if isinstance(rules, Mapping) else documents.read(rules)
    return documents.check(document, RulesSpec)
