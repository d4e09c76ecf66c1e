"""What is measured: KPI definitions, and the tree that recomputes derived KPIs from their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
