"""What is allowed: named rules over lines, as a scenario states them, and the polyhedron they compile to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from .documents import Spec
from .errors import SpecError

Floats = NDArray[np.float64]
Money = Annotated[float, Field(ge=0, le=1e15)]
Share = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(gt=1e-100, le=1e15)]
Price = Annotated[
    Annotated[Amount, Tag("one")] | Annotated[list[Amount], Tag("each")],
    Discriminator(lambda price: "each" if isinstance(price, list) else "one"),
]
Growth = Annotated[float, Field(ge=0, le=1000)]
Period = Annotated[int, Field(ge=1)]
Selector = dict[str, str | list[str]]
# How rows about one period of one line are called, after the line's name.
MAX_IN_PERIOD = "max in period"


class Change(Spec):
    """How far a line may move from its current spend, as a share of it: ``up: 0.5`` is at most +50 %."""

    up: Growth | None = None
    down: Share | None = None


LineChange = Annotated[
    Annotated[Change, Tag("limits")] | Annotated[Literal["free"], Tag("free")],
    Discriminator(lambda change: "free" if isinstance(change, str) else "limits"),
]


class Line(Spec):
    """A media-plan line item; money in currency over the horizon. Further fields are attributes to select by.

    ``price`` is what one unit of media costs, the same in all periods or one for each; curves are in media. With
    price 1 media is spend. ``history`` is the spend of the periods just before the horizon, the latest last; it
    is bought at the first period's price. ``max_per_period`` caps the spend of every period. ``package`` is what a
    line is sold in: its spend is a whole number of packages of so much currency, none among them. ``limits:
    evidence`` says that ``min`` and ``max`` are as far as there is evidence of what money does, not a rule: a test
    beyond them moves them, see `what_to_test`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str] = Field(init=False)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    current: Money
    min: Money = 0.0
    max: Money | None = None
    limits: Literal["evidence"] | None = None
    max_per_period: Money | None = None
    locked: bool = False
    change: LineChange | None = None
    price: Price = 1.0
    package: Amount | None = None
    history: Annotated[list[Money], Field(max_length=1000)] | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        _ordered(self.min, self.max)
        return self

    @property
    def attributes(self) -> Mapping[str, str]:
        """The line's attributes, its name among them."""
        return {**(self.__pydantic_extra__ or {}), "line": self.name}


class Budget(Spec):
    """Total spend: exactly ``total``, or at most ``max`` (money may stay unspent)."""

    total: Money | None = None
    max: Money | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.total is None) == (self.max is None):
            raise SpecError("needs 'total' or 'max', and not both", "total: spend exactly; max: spend at most")
        return self

    @property
    def amount(self) -> float:
        """The money there is."""
        return self.total if self.total is not None else self.max or 0.0


class GroupBudget(Spec):
    """Spend of the selected lines together, currency; over the periods ``first`` to ``last`` where given."""

    select: Selector | None = None
    min: Money | None = None
    max: Money | None = None
    first: Period | None = None
    last: Period | None = None
    name: str | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.min is None and self.max is None:
            raise SpecError("needs 'min', 'max' or both", "currency over the horizon, or over its periods")
        _ordered(self.min, self.max)
        _ordered(self.first, self.last, "first", "last")
        return self


class ShareRule(Spec):
    """Share of spend that the selected lines take together: of all lines, or of those ``of`` selects."""

    select: Selector
    of: Selector | None = None
    min: Share | None = None
    max: Share | None = None
    name: str | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.min is None and self.max is None:
            raise SpecError("needs 'min', 'max' or both", "shares are between 0 and 1")
        _ordered(self.min, self.max)
        return self


class MinimumIfOn(Spec):
    """Each selected line spends nothing, or at least ``amount`` (currency over the horizon)."""

    select: Selector
    amount: Annotated[float, Field(gt=0, le=1e15)]


class MostOn(Spec):
    """At most ``lines`` of the selected lines spend anything."""

    select: Selector | None = None
    lines: Annotated[int, Field(ge=0)]


class Pacing(Spec):
    """How far spend may move from one period to the next, as a share of the earlier one."""

    select: Selector | None = None
    up: Growth | None = None
    down: Share | None = None


class ConstraintsSpec(Spec):
    """The ``constraints`` block; ``reserve`` is money of the budget kept back for tests."""

    budget: Budget
    reserve: Money = 0.0
    change: Change | None = None
    groups: list[GroupBudget] = []
    shares: list[ShareRule] = []
    pacing: list[Pacing] = []
    minimum_if_on: list[MinimumIfOn] = []
    most_on: list[MostOn] = []

    @model_validator(mode="after")
    def _reserve(self) -> Self:
        if self.reserve > self.budget.amount:
            raise SpecError(
                f"the reserve {self.reserve:,g} is above the budget {self.budget.amount:,g}",
                "lower it",
                path=("reserve",),
            )
        return self


def _ordered(low: float | None, high: float | None, least: str = "min", most: str = "max") -> None:
    if low is not None and high is not None and low > high:
        raise SpecError(f"{least} {low:,g} is above {most} {high:,g}", "swap or mend them", path=(least,))


@dataclass(frozen=True)
class Switches:
    """Rules on which lines are on at all, and on lines that are bought in whole packages.

    Attributes
    ----------
    decided : (L,) bool
        Lines whose being on or off is a decision.
    least : (L,)
        Currency a decided line spends at least when on.
    most : tuple of (name, (L,) bool, int)
        At most so many of these lines are on.
    names : tuple of str
        What the minimum of each line says; empty for lines without one.
    package : (L,)
        Currency of one package; 0 for lines sold in any amount.
    packages : tuple of str
        What the package of each line says; empty for lines without one.
    """

    decided: NDArray[np.bool_]
    least: Floats
    most: tuple[tuple[str, NDArray[np.bool_], int], ...]
    names: tuple[str, ...]
    package: Floats
    packages: tuple[str, ...]

    def missed(self, spend: Floats) -> Floats:
        """Currency between a plan (L,) and the nearest whole packages: (L,)."""
        size = np.where(self.package > 0, self.package, 1.0)
        return np.where(self.package > 0, np.abs(spend - size * np.round(spend / size)), 0.0)

    def kept(self, spend: Floats, tolerance: float) -> bool:
        """Whether a plan (L,) keeps the rules, to ``tolerance`` of currency."""
        on = spend > tolerance
        enough = spend >= self.least - tolerance
        counts = [int((on & mask).sum()) <= count for _, mask, count in self.most]
        whole = self.missed(spend) <= tolerance
        return bool(np.all((~on | enough | ~self.decided) & whole)) and all(counts)


@dataclass(frozen=True)
class Polyhedron:
    """All plans that keep the linear rules: ``A x <= b``, and ``A x = b`` in the rows marked ``equal``.

    Spend itself is never negative.

    Attributes
    ----------
    A : (M, L) or (M, L * T) sparse
        One row a rule, over spend by line; with free flighting over spend by line and period, a line's periods
        next to each other.
    b : (M,)
        Currency over the horizon.
    equal : (M,) bool
        Rows that hold with equality.
    names : tuple of str
        What each row says, for people.
    owner : tuple of int
        The line a row is about, -1 where it is about several.
    switches : Switches or None
        On/off rules, where there are any.
    """

    A: Any
    b: Floats
    equal: NDArray[np.bool_]
    names: tuple[str, ...]
    owner: tuple[int, ...]
    switches: Switches | None = None

    def box(self) -> tuple[Floats, Floats]:
        """Lower and upper bound of each variable that the single-variable rows give: (L,), (L,)."""
        lower = np.full(self.A.shape[1], -np.inf)
        upper = np.full(self.A.shape[1], np.inf)
        for row in range(self.A.shape[0]):
            start, stop = self.A.indptr[row], self.A.indptr[row + 1]
            if stop - start != 1:
                continue
            column, factor = self.A.indices[start], self.A.data[start]
            bound = self.b[row] / factor
            if factor > 0 or self.equal[row]:
                upper[column] = min(upper[column], bound)
            if factor < 0 or self.equal[row]:
                lower[column] = max(lower[column], bound)
        return lower, upper

    def slack(self, spend: Floats) -> Floats:
        """Room left in each row, currency; below zero the rule is broken. Equality rows: minus the miss.

        ``spend`` is (L,), or (L, T) with free flighting.
        """
        room = self.b - self.A @ spend.reshape(-1)
        return np.where(self.equal, -np.abs(room), room)


def chosen(select: Selector | None, lines: Sequence[Line], path: tuple[str | int, ...]) -> NDArray[np.bool_]:
    """Return which lines a selector picks: (L,) bool; None picks all.

    Raises
    ------
    SpecError
        For an attribute no line has, a value no line has, or a selection that is empty.
    """
    picked = np.ones(len(lines), dtype=bool)
    if select is None:
        return picked
    for key, wanted in select.items():
        values = [line.attributes.get(key) for line in lines]
        known = sorted({value for value in values if value is not None})
        if not known:
            attributes = sorted({name for line in lines for name in line.attributes})
            raise SpecError(
                f"no line has the attribute '{key}'", f"attributes are: {', '.join(attributes)}", path=path
            )
        names = [wanted] if isinstance(wanted, str) else wanted
        for name in names:
            if name not in known:
                raise SpecError(
                    f"no line has {key} '{name}'", f"{key} is one of: {', '.join(known)}", path=(*path, key)
                )
        picked &= np.array([value in names for value in values])
    if not select or not picked.any():
        raise SpecError("selects no line", "name attributes that some line has", path=path)
    return picked


def describe(select: Selector | None) -> str:
    """Name a selection in words."""
    if select is None:
        return "all lines"
    parts = [f"{key} {value if isinstance(value, str) else '/'.join(value)}" for key, value in select.items()]
    return ", ".join(parts)
