"""What is allowed: named rules over lines, compiled to one polyhedron ``A x <= b``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator
from scipy import sparse

from .documents import Spec
from .errors import SpecError

Floats = NDArray[np.float64]
Money = Annotated[float, Field(ge=0, le=1e15)]
Share = Annotated[float, Field(ge=0, le=1)]
Selector = dict[str, str | list[str]]


class Change(Spec):
    """How far a line may move from its current spend, as a share of it: ``up: 0.5`` is at most +50 %."""

    up: Annotated[float, Field(ge=0, le=1000)] | None = None
    down: Share | None = None


class Line(Spec):
    """A media-plan line item; money in currency over the horizon. Further fields are attributes to select by."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str] = Field(init=False)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    current: Money
    min: Money = 0.0
    max: Money | None = None
    locked: bool = False
    change: Change | Literal["free"] | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise SpecError(f"min {self.min:,g} is above max {self.max:,g}", "swap or mend them", path=("min",))
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
            raise SpecError("needs either 'total' or 'max'", "total: spend exactly; max: spend at most")
        return self


class ShareRule(Spec):
    """Share of total spend that the selected lines take together."""

    select: Selector
    min: Share | None = None
    max: Share | None = None
    name: str | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.min is None and self.max is None:
            raise SpecError("needs 'min', 'max' or both", "shares are between 0 and 1")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise SpecError(f"min {self.min:g} is above max {self.max:g}", "swap them", path=("min",))
        return self


class ConstraintsSpec(Spec):
    """The ``constraints`` block."""

    budget: Budget
    change: Change | None = None
    shares: list[ShareRule] = []


@dataclass(frozen=True)
class Polyhedron:
    """All plans that keep every rule: ``A x <= b``, and ``A x = b`` in the rows marked ``equal``.

    Attributes
    ----------
    A : (M, L) sparse
        One row a rule, over spend by line.
    b : (M,)
        Currency over the horizon.
    equal : (M,) bool
        Rows that hold with equality.
    names : tuple of str
        What each row says, for people.
    """

    A: Any
    b: Floats
    equal: NDArray[np.bool_]
    names: tuple[str, ...]

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
        """Room left in each row, currency; below zero the rule is broken. Equality rows: minus the miss."""
        room = self.b - self.A @ spend
        return np.where(self.equal, -np.abs(room), room)


class _Rows:
    """Collects rows while rules are compiled."""

    def __init__(self, n_lines: int) -> None:
        self.n_lines = n_lines
        self.rows: list[Floats] = []
        self.b: list[float] = []
        self.equal: list[bool] = []
        self.names: list[str] = []

    def add(self, name: str, row: Floats, bound: float, equal: bool = False) -> None:
        self.rows.append(row)
        self.b.append(bound)
        self.equal.append(equal)
        self.names.append(name)

    def unit(self, index: int, sign: float = 1.0) -> Floats:
        row = np.zeros(self.n_lines)
        row[index] = sign
        return row


def chosen(select: Selector, lines: Sequence[Line], path: tuple[str | int, ...]) -> NDArray[np.bool_]:
    """Return which lines a selector picks: (L,) bool.

    Raises
    ------
    SpecError
        For an attribute no line has, a value no line has, or a selection that is empty.
    """
    picked = np.ones(len(lines), dtype=bool)
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


def compile_rules(lines: Sequence[Line], rules: ConstraintsSpec) -> Polyhedron:
    """Compile lines and rules into one polyhedron over spend by line.

    Raises
    ------
    SpecError
        For a selector that picks nothing, or a change limit on a line without current spend.
    """
    rows = _Rows(len(lines))
    everything = np.ones(len(lines))
    if rules.budget.total is not None:
        rows.add("budget: total", everything, rules.budget.total, equal=True)
    elif rules.budget.max is not None:
        rows.add("budget: at most", everything, rules.budget.max)
    for index, line in enumerate(lines):
        _line_rows(rows, index, line, rules.change)
    for index, rule in enumerate(rules.shares):
        picked = chosen(rule.select, lines, ("constraints", "shares", index, "select"))
        label = rule.name or _describe(rule.select)
        if rule.max is not None:
            rows.add(f"share of {label}: at most {rule.max:.0%}", picked.astype(float) - rule.max, 0.0)
        if rule.min is not None:
            rows.add(f"share of {label}: at least {rule.min:.0%}", rule.min - picked.astype(float), 0.0)
    return Polyhedron(
        sparse.csr_matrix(np.array(rows.rows)), np.array(rows.b), np.array(rows.equal), tuple(rows.names)
    )


def _line_rows(rows: _Rows, index: int, line: Line, change: Change | None) -> None:
    if line.locked:
        rows.add(f"{line.name}: locked", rows.unit(index), line.current, equal=True)
        return
    rows.add(f"{line.name}: min", rows.unit(index, -1.0), -line.min)
    if line.max is not None:
        rows.add(f"{line.name}: max", rows.unit(index), line.max)
    limit = change if line.change is None else None if line.change == "free" else line.change
    if limit is None:
        return
    if line.current == 0 and limit.up is not None:
        raise SpecError(
            "a change limit in percent keeps a line without current spend at zero",
            f"give '{line.name}' its own 'change: free' and a max, or 'locked: true'",
            path=("lines", index, "current"),
        )
    if limit.up is not None:
        rows.add(f"{line.name}: change up {limit.up:.0%}", rows.unit(index), line.current * (1 + limit.up))
    if limit.down is not None:
        least = -line.current * (1 - limit.down)
        rows.add(f"{line.name}: change down {limit.down:.0%}", rows.unit(index, -1.0), least)


def _describe(select: Selector) -> str:
    parts = [f"{key} {value if isinstance(value, str) else '/'.join(value)}" for key, value in select.items()]
    return ", ".join(parts)
