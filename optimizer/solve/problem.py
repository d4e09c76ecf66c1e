"""A scenario as the numbers every route works on: lines in name order, money and KPIs scaled to about one.

Because all routes see only these numbers, neither units nor the order of lines can sway a plan.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..constraints import Switches
from ..errors import InfeasibleError, SpecError
from ..kpis import SPEND, Affine
from ..preferences import Floor, bound, floor_label, tail_weights
from ..simulate import Simulator

if TYPE_CHECKING:
    from ..scenario import Scenario

Floats = NDArray[np.float64]
# Rules are kept to this, in money units and steps of forms.
KEPT = 1e-9
Ints = NDArray[np.int64]

# Some curves rise infinitely steeply at zero: slopes are taken just beside it.
BESIDE_ZERO = 1e-9


@dataclass(frozen=True)
class Form:
    """``constant + kpis @ (sum over lines of effects) + spend * (sum of z)``: a KPI, or the room in a floor.

    Attributes
    ----------
    name : str
        The KPI, or the floor in words.
    kpis : (K,)
        Factor of each additive KPI's scaled effect.
    spend : float
        Factor of total spend in money units.
    constant : float
        The rest, mean over draws.
    unit : float
        Objectives: KPI units of one step of the form, negative where less is better. Floors: steps of the form
        for one unit of the KPI's limit; NaN where that depends on the plan.
    worst : float
        Objectives: the KPI where the form is zero.
    tail : float, optional
        Take the mean over this share of the worst draws instead of over all.
    constants : (D,)
        The rest by draw.
    """

    name: str
    kpis: Floats
    spend: float
    constant: float
    unit: float
    worst: float = 0.0
    tail: float | None = None
    constants: Floats | None = None

    def kpi(self, value: Floats | float) -> Any:
        """Return the KPI in its own unit, from the form's value."""
        return self.worst + self.unit * np.asarray(value)

    def at(self, effects: Effects, z: Floats) -> tuple[float, Floats]:
        """Value, and gradient by z (L,); both of a function that is concave where its curves are."""
        if self.tail is None:
            value = self.constant + self.kpis @ effects.value.mean(axis=0).sum(axis=1) + self.spend * z.sum()
            return float(value), self.kpis @ effects.slope.mean(axis=0) + self.spend
        values = self.constants + effects.value.sum(axis=2) @ self.kpis + self.spend * z.sum()
        order = np.argsort(values, kind="stable")
        weights = np.empty(len(values))
        weights[order] = tail_weights(self.tail, len(values))
        rises = np.einsum("d,dkl,k->l", weights, effects.slope, self.kpis) + self.spend
        return float(weights @ values), rises


@dataclass(frozen=True)
class Effects:
    """Scaled effects and their slopes by z: (D, K, L) each."""

    value: Floats
    slope: Floats


@dataclass(frozen=True)
class Goal:
    """What to maximise over the objective forms ``u`` (O,): ``weights @ u + min(u - reference)``.

    Attributes
    ----------
    weights : (O,)
        Weighted sum; zero where only the worst-off counts.
    reference : (O,), optional
        Adds the worst-off, ``min(u - reference)`` (achievement scalarising function in direction 1: Wierzbicki
        1980; with small weights its augmented form, Steuer & Choo 1983).
    least : (O,), optional
        Values every plan must reach.
    """

    weights: Floats
    reference: Floats | None = None
    least: Floats | None = None

    def value(self, u: Floats) -> float:
        """Return what is maximised, at ``u``."""
        worst = 0.0 if self.reference is None else float(np.min(u - self.reference))
        return float(self.weights @ u) + worst


@dataclass(frozen=True)
class State:
    """Everything about one plan: forms' values and gradients by z."""

    z: Floats
    u: Floats
    rises: Floats
    room: Floats
    room_rises: Floats
    effects: Effects


class Problem:
    """Scaled, name-ordered arrays of a scenario.

    Parameters
    ----------
    scenario : Scenario
        What to solve.
    floors : mapping, optional
        Floors to keep instead of the scenario's; ``{}`` for none.
    scale : mapping, optional
        Ends ``(worst, best)`` of the objectives instead of the scenario's.

    Attributes
    ----------
    order : (L,) int
        Scenario positions of the lines in name order.
    columns : (L,) int
        Columns of the scenario's polyhedron in the order of z.
    money : float
        Currency per unit of z.
    A, b, equal : (M, L), (M,), (M,)
        The polyhedron over z.
    lower, upper : (L,)
        Box around the polyhedron; finite.
    pinned : (L,) bool
        Lines that must stay at zero.
    size : (K,)
        KPI units of one step of a scaled effect.
    objectives, floors : tuple of Form
        Objectives rise when better, on the scale where one is pinned. Floors hold when not negative.
    curved : str
        The first response that keeps the forms from being concave, in words; empty where all are.
    tangled : str
        Why nothing bounds the forms line by line, in words: lines that multiply each other's effects. Empty where
        they add up.
    """

    def __init__(
        self,
        scenario: Scenario,
        floors: dict[str, float | Floor] | None = None,
        scale: dict[str, tuple[float, float]] | None = None,
    ) -> None:
        self.scenario = scenario
        self.simulator = Simulator.of(scenario)
        self.order = np.array(sorted(range(len(scenario.lines)), key=lambda i: scenario.lines[i]))
        self.columns = self._columns()
        self.money = scenario.spec.constraints.budget.amount or 1.0
        self.A = self._matrix()
        self.b = scenario.polyhedron.b / self.money
        self.equal = scenario.polyhedron.equal
        self.boxed = False
        self.lower, self.upper = self._natural_box()
        self.pinned = self.upper <= BESIDE_ZERO
        most = self._most(self.upper)
        self.size = np.where(most > 0, most, 1.0)
        self.curved = self.tangled = ""
        ends = scenario.spec.preferences.scale if scale is None else scale
        self.objectives = tuple(self._objective(name, ends.get(name)) for name in scenario.objectives)
        self.limits = dict(scenario.spec.preferences.floors if floors is None else floors)
        self.floors = tuple(self._floor(name, limit) for name, limit in self.limits.items())

    def within(self, lower: Floats, upper: Floats) -> Problem:
        """Return the problem with other bounds on scaled spend, (L,) each, beside those of the polyhedron."""
        held = copy.copy(self)
        held.lower, held.upper, held.boxed, held.pinned = lower, upper, True, upper <= BESIDE_ZERO
        return held

    def _columns(self) -> Ints:
        return self.order

    def _matrix(self) -> Any:
        return self.scenario.polyhedron.A.toarray()[:, self.columns]

    def _most(self, z: Floats) -> Floats:
        """Each additive KPI's effects at z, mean over draws: (K,) KPI units."""
        most: Floats = self._raw(z)[0].mean(axis=0).sum(axis=1)
        return most

    def _natural_box(self) -> tuple[Floats, Floats]:
        scenario = self.scenario
        lower, upper = scenario.polyhedron.box()
        upper = np.minimum(upper, scenario.spec.constraints.budget.amount)
        if np.any(lower > upper + 1e-12 * self.money):
            worst = int(np.argmax(lower - upper))
            low, high = lower[worst], upper[worst]
            raise InfeasibleError(
                f"'{scenario.lines[worst]}' must spend at least {low:,.10g} and at most {high:,.10g}",
                "loosen its min, max, change limit or the budget",
            )
        return lower[self.columns] / self.money, upper[self.columns] / self.money

    def _raw(self, z: Floats) -> tuple[Floats, Floats]:
        """Effects in KPI units and slopes by z: (D, K, L) each, in name order."""
        value, slope = self.simulator.effects(self.spend(z))
        return value[:, :, self.order], slope[:, :, self.order] * self.money

    def beside(self, z: Floats) -> Floats:
        """Return z (L,), moved off zero where a slope may be infinite; lines that must stay at zero stay."""
        return np.where(self.pinned, z, np.maximum(z, BESIDE_ZERO))

    def effects(self, z: Floats) -> Effects:
        """Scaled effects at z, and slopes at `beside(z)`."""
        value, slope = self._raw(z)
        beside = self.beside(z)
        if np.any(beside != z):
            slope = self._raw(beside)[1]
        slope = np.where(self.pinned, 0.0, slope)
        return Effects(value / self.size[:, None], slope / self.size[:, None])

    def state(self, z: Floats) -> State:
        """Evaluate every form at z (L,)."""
        effects = self.effects(z)
        u, rises = _stack([form.at(effects, z) for form in self.objectives], len(z))
        room, room_rises = _stack([form.at(effects, z) for form in self.floors], len(z))
        return State(z, u, rises, room, room_rises, effects)

    def spend(self, z: Floats) -> Floats:
        """Currency in the scenario's order, as simulation takes a plan: (L,)."""
        spend = np.empty(len(z))
        spend[self.columns] = z * self.money
        return spend

    def scaled(self, spend: Floats) -> Floats:
        """Scaled spend in name order, from currency in the scenario's order."""
        return np.asarray(spend, dtype=float).reshape(-1)[self.columns] / self.money

    def slack(self, z: Floats) -> Floats:
        """Room in each row of the polyhedron, minus the miss in equality rows: (M,)."""
        room = self.b - self.A @ z
        return np.where(self.equal, -np.abs(room), room)

    @cached_property
    def straight(self) -> NDArray[np.bool_]:
        """Which effects are straight lines in spend: (K, L)."""
        return self.scenario.response.linear()[:, self.order]

    def _parts(self, affine: Affine) -> tuple[Floats, float, Floats]:
        leaves = self.scenario.tree.leaves
        factors = np.array([affine.coefficients.get(name, 0.0) for name in leaves])
        constants = affine.constant + self.simulator.baseline @ factors
        return factors * self.size, affine.coefficients.get(SPEND, 0.0) * self.money, constants

    def _objective(self, name: str, ends: Any) -> Form:
        scenario = self.scenario
        affine = scenario.tree.affine(name)
        if affine is None:
            raise SpecError(
                f"'{name}' is a ratio or product: it cannot be optimised by itself",
                "optimise its parts, and bound it under preferences.floors",
                path=("kpis", name),
            )
        kpis, spend, constants = self._parts(affine)
        rising = scenario.spec.kpis[name].direction == "maximize"
        if ends is None or ends == "payoff":
            size = float(np.abs(kpis).sum() + abs(spend)) or 1.0
            worst, best = (0.0, size) if rising else (size, 0.0)
        else:
            worst, best = float(ends[0]), float(ends[1])
        span = best - worst
        self._look_for_synergy(name, kpis)
        self._look_for_curves(name, kpis / span)
        return Form(name, kpis / span, spend / span, (float(constants.mean()) - worst) / span, span, worst)

    def _floor(self, name: str, limit: float | Floor) -> Form:
        tree = self.scenario.tree
        rising = self.scenario.spec.kpis[name].direction == "maximize"
        affine, sides = tree.affine(name), tree.ratio(name)
        per_unit = 1.0
        if affine is None and sides is not None and not (isinstance(limit, Floor) and limit.cvar):
            # numerator / denominator >= limit, exactly, as numerator - limit x denominator >= 0
            affine, per_unit = sides[0] + sides[1] * -bound(limit), float("nan")
        elif affine is not None:
            affine = affine + Affine({}, -bound(limit))
        if affine is None:
            raise SpecError(
                f"a floor of this kind on '{name}' cannot be kept exactly: its formula is not linear in its parts",
                "put floors on its parts, or bound its expected value",
                path=("preferences", "floors", name),
            )
        kpis, spend, constants = self._parts(affine * (1.0 if rising else -1.0))
        size = float(np.abs(kpis).sum() + abs(spend) + abs(constants.mean())) or 1.0
        label = floor_label(name, limit, rising)
        self._look_for_synergy(label, kpis)
        self._look_for_curves(label, kpis)
        tail = None
        if isinstance(limit, Floor):
            tail = limit.cvar if limit.cvar is not None else 1.0 - float(limit.probability or 0.0)
        constants = constants / size
        mean = float(constants.mean())
        return Form(label, kpis / size, spend / size, mean, per_unit / size, 0.0, tail, constants)

    def _look_for_synergy(self, name: str, kpis: Floats) -> None:
        """Remember the first line that multiplies what another does for a form."""
        counted = {self.scenario.tree.leaves[k] for k in np.flatnonzero(kpis)}
        for kpi, giver, taker in self.scenario.response.synergy.pairs:
            if kpi in counted and not self.tangled:
                self.tangled = f"for '{name}', line '{giver}' multiplies what line '{taker}' does for {kpi}"

    def _look_for_curves(self, name: str, kpis: Floats) -> None:
        """Remember the first response that makes a form anything but concave."""
        concave = self.scenario.response.concave()[:, self.order]
        for k in np.flatnonzero(kpis):
            bad = ~self.straight[k] if kpis[k] < 0 else ~concave[k]
            if bad.any() and not self.curved:
                line = self.scenario.lines[self.order[int(np.argmax(bad))]]
                leaf = self.scenario.tree.leaves[k]
                what = "has an S-shaped curve" if kpis[k] > 0 else "counts against it with falling returns"
                self.curved = f"for '{name}', {leaf} of line '{line}' {what}"


def switches_of(problem: Problem) -> Switches | None:
    """Return the on/off rules and packages over scaled spend, lines in name order; None where there are none."""
    switches = problem.scenario.polyhedron.switches
    if switches is None:
        return None
    order = problem.order
    most = tuple((name, mask[order], count) for name, mask, count in switches.most)
    names, packages = (tuple(part[i] for i in order) for part in (switches.names, switches.packages))
    least, package = switches.least[order] / problem.money, switches.package[order] / problem.money
    return Switches(switches.decided[order], least, most, names, package, packages)


def _stack(rows: list[tuple[float, Floats]], n: int) -> tuple[Floats, Floats]:
    values = np.array([value for value, _ in rows])
    return values, np.array([rise for _, rise in rows]).reshape(len(rows), n)
