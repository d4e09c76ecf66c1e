"""What is measured: KPI definitions, and the tree that recomputes derived KPIs from their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from .documents import Spec
from .errors import SpecError

Floats = NDArray[np.float64]
SPEND = "spend"
RESERVED = (SPEND, "file", "sha256", "leave_out")
FORMULAS = ("ratio", "product", "sum", "difference")

Part = str | float


class Kpi(Spec):
    """One KPI: what it is for, how it is counted, which way is better.

    A KPI with one of ``ratio``, ``product``, ``sum`` or ``difference`` is derived: it is recomputed from its
    parts at every level. Parts are KPI names, ``spend`` (total spend of the plan) or numbers. Any other KPI is
    additive: ``baseline`` plus what the lines add, as the response says.
    """

    goal: str = ""
    direction: Literal["maximize", "minimize"] | None = None
    unit: str = ""
    level: Literal["input", "output", "outcome"] | None = None
    layer: Literal["operational", "business"] | None = None
    horizon: Literal["proximal", "distal"] | None = None
    proxy_for: str | None = None
    so_what: str = ""
    source: str = ""
    calculation: str = ""
    role: Literal["objective", "guardrail", "counter", "monitor"] | None = None
    baseline: float | None = None
    ratio: Annotated[list[Part], Field(min_length=2, max_length=2)] | None = None
    product: Annotated[list[Part], Field(min_length=2)] | None = None
    sum: Annotated[list[Part], Field(min_length=2)] | None = None
    difference: Annotated[list[Part], Field(min_length=2, max_length=2)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        given = [name for name in FORMULAS if getattr(self, name) is not None]
        if len(given) > 1:
            raise SpecError(f"has both {given[0]} and {given[1]}", "keep one formula", path=(given[1],))
        if given and self.baseline is not None:
            raise SpecError(
                f"a KPI with a {given[0]} has no baseline of its own",
                "put it on its parts",
                path=("baseline",),
            )
        if self.proxy_for is not None and self.horizon == "distal":
            raise SpecError(
                "a distal KPI stands for itself",
                "drop proxy_for or set horizon: proximal",
                path=("proxy_for",),
            )
        return self

    @property
    def formula(self) -> tuple[str, list[Part]] | None:
        """The formula's name and parts, or None for an additive KPI."""
        for name in FORMULAS:
            parts = getattr(self, name)
            if parts is not None:
                return name, parts
        return None


@dataclass(frozen=True)
class Affine:
    """``constant + sum of coefficient x leaf``, leaves being additive KPIs and ``spend``."""

    coefficients: Mapping[str, float]
    constant: float = 0.0

    def __add__(self, other: Affine) -> Affine:
        total = dict(self.coefficients)
        for name, value in other.coefficients.items():
            total[name] = total.get(name, 0.0) + value
        return Affine(total, self.constant + other.constant)

    def __mul__(self, factor: float) -> Affine:
        scaled = {name: factor * value for name, value in self.coefficients.items()}
        return Affine(scaled, factor * self.constant)


class KpiTree:
    """KPI definitions with their derived KPIs in an order in which each comes after its parts.

    Parameters
    ----------
    kpis : mapping of str to Kpi
        Definitions by name.

    Raises
    ------
    SpecError
        For a reserved name, a part that is no KPI, or a KPI that is its own part, directly or not.
    """

    def __init__(self, kpis: Mapping[str, Kpi]) -> None:
        self.kpis = dict(kpis)
        self.leaves = tuple(name for name, kpi in kpis.items() if kpi.formula is None)
        for name, kpi in kpis.items():
            if name in RESERVED:
                raise SpecError(f"'{name}' is a reserved word", "rename the KPI", path=("kpis", name))
            if kpi.proxy_for is not None and kpi.proxy_for not in kpis:
                raise SpecError(f"unknown KPI '{kpi.proxy_for}'", _known(kpis), path=("kpis", name, "proxy_for"))
            formula, parts = kpi.formula or ("", [])
            for index, part in enumerate(parts):
                if isinstance(part, str) and part not in kpis and part != SPEND:
                    raise SpecError(
                        f"unknown KPI '{part}'", _known([*kpis, SPEND]), path=("kpis", name, formula, index)
                    )
        self.derived = self._in_order()

    def _in_order(self) -> tuple[str, ...]:
        order: list[str] = []
        for root in self.kpis:
            # Depth first without recursion: a name is placed when all its parts are.
            stack: list[tuple[str, tuple[str, ...]]] = [(root, (root,))]
            while stack:
                name, chain = stack[-1]
                formula = self.kpis[name].formula
                if formula is None or name in order:
                    stack.pop()
                    continue
                waiting = [p for p in formula[1] if isinstance(p, str) and p != SPEND and p not in order]
                waiting = [p for p in waiting if self.kpis[p].formula is not None]
                if not waiting:
                    order.append(name)
                    stack.pop()
                    continue
                if waiting[0] in chain:
                    loop = " -> ".join([*chain[chain.index(waiting[0]) :], waiting[0]])
                    raise SpecError(
                        f"is part of itself: {loop}", "break the circle", path=("kpis", name, formula[0])
                    )
                stack.append((waiting[0], (*chain, waiting[0])))
        return tuple(order)

    def evaluate(self, leaves: Mapping[str, Floats]) -> dict[str, Floats]:
        """Recompute every KPI from leaf values.

        Parameters
        ----------
        leaves : mapping
            Arrays of one common shape for each additive KPI and for ``spend``.

        Returns
        -------
        dict
            Arrays of the same shape for every KPI, in the order they were defined. A ratio whose denominator
            is zero is NaN: it has no value, not a large one.
        """
        values = {name: np.asarray(value, dtype=float) for name, value in leaves.items()}
        for name in self.derived:
            formula, parts = self.kpis[name].formula or ("", [])
            terms = [values[p] if isinstance(p, str) else np.float64(p) for p in parts]
            values[name] = np.asarray(_combine(formula, terms))
        return {name: values[name] for name in self.kpis if name in values}

    def affine(self, name: str) -> Affine | None:
        """Write a KPI as a weighted sum of leaves, or None where it is none (ratios and true products)."""
        if name == SPEND or self.kpis[name].formula is None:
            return Affine({name: 1.0})
        formula, parts = self.kpis[name].formula or ("", [])
        terms = [self.affine(p) if isinstance(p, str) else Affine({}, p) for p in parts]
        known = [term for term in terms if term is not None]
        if len(known) < len(terms):
            return None
        if formula == "sum":
            return sum(known[1:], known[0])
        if formula == "difference":
            return known[0] + known[1] * -1.0
        numbers = [term for term in known if not term.coefficients]
        if formula == "product" and len(numbers) >= len(known) - 1:
            factor = float(np.prod([term.constant for term in numbers]))
            moving = [term for term in known if term.coefficients]
            return moving[0] * factor if moving else Affine({}, factor)
        if formula == "ratio" and not known[1].coefficients and known[1].constant != 0.0:
            return known[0] * (1.0 / known[1].constant)
        return None

    def ratio(self, name: str) -> tuple[Affine, Affine] | None:
        """Return numerator and denominator of a KPI that is a ratio of two affine parts, else None."""
        formula, parts = self.kpis[name].formula or ("", [])
        if formula != "ratio":
            return None
        sides = [self.affine(p) if isinstance(p, str) else Affine({}, p) for p in parts]
        if sides[0] is None or sides[1] is None:
            return None
        return sides[0], sides[1]


def _combine(formula: str, terms: Sequence[Floats | np.float64]) -> Floats | np.float64:
    if formula == "sum":
        return sum(terms[1:], terms[0])
    if formula == "difference":
        return terms[0] - terms[1]
    if formula == "product":
        return np.prod(np.broadcast_arrays(*terms), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(terms[1]) == 0, np.nan, terms[0] / terms[1])


def _known(names: Sequence[str] | Mapping[str, Kpi]) -> str:
    return f"KPIs are: {', '.join(names)}"
