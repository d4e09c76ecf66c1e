"""All KPIs of a scenario: which rest on which, and derived ones computed from their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .errors import SpecError
from .kpis import RESERVED, SPEND, Kpi

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """``constant + sum of coefficient x leaf``, leaves being additive KPIs, functions and ``spend``."""

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

    Attributes
    ----------
    leaves : tuple of str
        The additive KPIs.
    functions : tuple of str
        Those that a function of the user's own computes.
    tails : dict
        Those that are means over the worst draws: the KPI they are of, and the share.
    derived : tuple of str
        All others.

    Raises
    ------
    SpecError
        For a reserved name, a part that is no KPI, or a KPI that is its own part, directly or not.
    """

    def __init__(self, kpis: Mapping[str, Kpi]) -> None:
        self.kpis = dict(kpis)
        self.functions = tuple(name for name, kpi in kpis.items() if kpi.function is not None)
        self.tails = {name: kpi.tail for name, kpi in kpis.items() if kpi.tail is not None}
        apart = {*self.functions, *self.tails}
        self.leaves = tuple(name for name, kpi in kpis.items() if kpi.formula is None and name not in apart)
        self._check_tails()
        for name, kpi in kpis.items():
            if name in RESERVED or name.startswith(f"{SPEND} "):
                raise SpecError(f"'{name}' is a reserved word", "rename the KPI", path=("kpis", name))
            if kpi.proxy_for is not None and kpi.proxy_for not in kpis:
                raise SpecError(f"unknown KPI '{kpi.proxy_for}'", _known(kpis), path=("kpis", name, "proxy_for"))
            formula, parts = kpi.formula or ("", [])
            if formula == "ratio" and parts[1] == 0:
                raise SpecError("divides by zero", "name a KPI or a number", path=("kpis", name, formula, 1))
            for index, part in enumerate(parts):
                if isinstance(part, str) and part not in kpis and part != SPEND:
                    raise SpecError(
                        f"unknown KPI '{part}'", _known([*kpis, SPEND]), path=("kpis", name, formula, index)
                    )
        self.derived = self._in_order()
        self._check_proxies()

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

    def _check_tails(self) -> None:
        for name, (of, _) in self.tails.items():
            if of not in self.kpis:
                raise SpecError(f"unknown KPI '{of}'", _known(self.kpis), path=("kpis", name, "cvar", 0))
            if of in self.tails or self.kpis[of].direction not in (None, self.kpis[name].direction):
                raise SpecError(
                    f"'{of}' has another direction, or is such a mean itself",
                    "take the mean over the worst draws of a KPI, in its direction",
                    path=("kpis", name, "cvar", 0),
                )
        for name, kpi in self.kpis.items():
            for part in (kpi.formula or ("", []))[1]:
                if part in self.tails:
                    raise SpecError(
                        f"'{part}' is a mean over the worst draws, which is no part of others",
                        f"take one of '{name}' instead",
                        path=("kpis", name),
                    )

    def _check_proxies(self) -> None:
        """Refuse KPIs that stand for each other in a circle: none of them is the end."""
        ending: set[str] = set()
        for root in self.kpis:
            chain: list[str] = []
            seen: set[str] = set()
            at: str | None = root
            while at is not None and at not in ending:
                if at in seen:
                    loop = chain[chain.index(at) :]
                    raise SpecError(
                        f"stands for itself: {' -> '.join([*loop, at])}",
                        "break the circle",
                        path=("kpis", at, "proxy_for"),
                    )
                chain.append(at)
                seen.add(at)
                at = self.kpis[at].proxy_for
            ending |= seen

    def evaluate(self, leaves: Mapping[str, Floats]) -> dict[str, Floats]:
        """Recompute every KPI from leaf values.

        Parameters
        ----------
        leaves : mapping
            Arrays of one common shape for each additive KPI, each function and ``spend``.

        Returns
        -------
        dict
            Arrays of the same shape for every KPI, in the order they were defined. A ratio whose denominator
            is zero is NaN: it has no value, not a large one.
        """
        values = {name: np.asarray(value, dtype=float) for name, value in leaves.items()}
        shape = np.broadcast_shapes(*(value.shape for value in values.values()))
        for name in self.derived:
            formula, parts = self.kpis[name].formula or ("", [])
            terms = [values[p] if isinstance(p, str) else np.float64(p) for p in parts]
            # A KPI of numbers alone takes the shape of the others.
            values[name] = np.asarray(_combine(formula, terms)) + np.zeros(shape)
        return {name: values[name] for name in self.kpis if name in values}

    def affine(self, name: str) -> Affine | None:
        """Write a KPI as a weighted sum of leaves and functions; None where it is none (ratios, say)."""
        return self._affine.get(name)

    def rests_on(self, name: str) -> frozenset[str]:
        """Return the KPIs without parts that a KPI is computed from, itself included, and ``spend``."""
        return self._rests[self.tails[name][0] if name in self.tails else name]

    @cached_property
    def _rests(self) -> dict[str, frozenset[str]]:
        found = {name: frozenset({name}) for name in (*self.leaves, *self.functions, SPEND)}
        for name in self.derived:
            _, parts = self.kpis[name].formula or ("", [])
            found[name] = frozenset().union(*(found[part] for part in parts if isinstance(part, str)))
        return found

    @cached_property
    def _affine(self) -> dict[str, Affine | None]:
        """Each KPI once, after its parts: formulas can be nested deeply and share parts."""
        found: dict[str, Affine | None] = {
            name: Affine({name: 1.0}) for name in (*self.leaves, *self.functions, SPEND)
        }
        for name in self.derived:
            formula, parts = self.kpis[name].formula or ("", [])
            terms = [found[part] if isinstance(part, str) else Affine({}, part) for part in parts]
            known = [term for term in terms if term is not None]
            found[name] = _combine_affine(formula, known) if len(known) == len(terms) else None
        return found

    def ratio(self, name: str) -> tuple[Affine, Affine] | None:
        """Return numerator and denominator of a KPI that is a ratio of two affine parts, else None."""
        formula, parts = self.kpis[name].formula or ("", [])
        if formula != "ratio":
            return None
        sides = [self.affine(p) if isinstance(p, str) else Affine({}, p) for p in parts]
        if sides[0] is None or sides[1] is None:
            return None
        return sides[0], sides[1]


def _combine_affine(formula: str, terms: Sequence[Affine]) -> Affine | None:
    if formula == "sum":
        return sum(terms[1:], terms[0])
    if formula == "difference":
        return terms[0] + terms[1] * -1.0
    numbers = [term for term in terms if not term.coefficients]
    if formula == "product" and len(numbers) >= len(terms) - 1:
        factor = float(np.prod([term.constant for term in numbers]))
        moving = [term for term in terms if term.coefficients]
        return moving[0] * factor if moving else Affine({}, factor)
    if formula == "ratio" and not terms[1].coefficients and terms[1].constant != 0.0:
        return terms[0] * (1.0 / terms[1].constant)
    return None


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
