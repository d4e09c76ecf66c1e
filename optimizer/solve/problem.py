"""A scenario as the numbers every route works on: lines in name order, money and KPIs scaled to about one.

Because all routes see only these numbers, neither units nor the order of lines can sway a plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InfeasibleError, SolverError, SpecError
from ..kpis import SPEND, Affine
from ..plan import floor_label
from ..simulate import Simulator

if TYPE_CHECKING:
    from ..scenario import Scenario

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Form:
    """``constant + kpis @ (sum over lines of effects) + spend * (sum of z)``: a KPI or a floor's slack.

    Attributes
    ----------
    name : str
        The KPI, or the floor in words.
    kpis : (K,)
        Factor of each additive KPI's scaled effect.
    spend : float
        Factor of total spend in money units.
    constant : float
        The rest.
    unit : float
        Objectives: KPI units of one step of the form, negative where less is better. Floors: steps of the form
        for one unit of the KPI's limit; NaN where that depends on the plan.
    worst : float
        Objectives: the KPI where the form is zero.
    """

    name: str
    kpis: Floats
    spend: float
    constant: float
    unit: float
    worst: float = 0.0

    def value(self, effects: Floats, z: Floats) -> float:
        """Evaluate at scaled effects (K, L) and scaled spend (L,)."""
        return float(self.constant + self.kpis @ effects.sum(axis=1) + self.spend * z.sum())

    def kpi(self, value: Floats | float) -> Any:
        """Return the KPI in its own unit, from the form's value."""
        return self.worst + self.unit * np.asarray(value)

    def gradient(self, slopes: Floats) -> Floats:
        """Return the derivative by z: (L,), from scaled slopes (K, L)."""
        return np.asarray(self.kpis @ slopes + self.spend)


@dataclass(frozen=True)
class Goal:
    """What to maximise over the objective forms ``u`` (O,).

    Attributes
    ----------
    weights : (O,), optional
        Maximise ``weights @ u``.
    reference : (O,), optional
        Maximise the worst-off, ``min(u - reference)``, instead (achievement scalarising function in direction
        1, Wierzbicki 1980; Pascoletti & Serafini 1984).
    least : (O,), optional
        Values every plan must reach.
    """

    weights: Floats | None = None
    reference: Floats | None = None
    least: Floats | None = None

    def value(self, u: Floats) -> float:
        """Return what is maximised, at ``u``."""
        if self.reference is not None:
            return float(np.min(u - self.reference))
        return float(np.dot(self.weights if self.weights is not None else np.ones(len(u)), u))


class Problem:
    """Scaled, name-ordered arrays of a scenario.

    Parameters
    ----------
    scenario : Scenario
        What to solve.
    floors : bool
        Whether the scenario's floors apply.

    Attributes
    ----------
    order : (L,) int
        Scenario positions of the lines in name order.
    money : float
        Currency per unit of z.
    A, b, equal : (M, L), (M,), (M,)
        The polyhedron over z.
    lower, upper : (L,)
        Box around the polyhedron; finite.
    objectives, floors : tuple of Form
        Objectives rise when better, on the scale where one is pinned. Floors hold when not negative.
    """

    def __init__(self, scenario: Scenario, floors: bool = True) -> None:
        self.scenario = scenario
        self.simulator = Simulator.of(scenario)
        self.order = np.array(sorted(range(len(scenario.lines)), key=lambda i: scenario.lines[i]))
        polyhedron = scenario.polyhedron
        budget = scenario.spec.constraints.budget
        total = budget.total if budget.total is not None else budget.max
        self.money = float(total) if total else 1.0
        lower, upper = polyhedron.box()
        upper = np.minimum(upper, float(total or 0.0))
        if np.any(lower > upper + 1e-12 * self.money):
            worst = int(np.argmax(lower - upper))
            low, high = lower[worst], upper[worst]
            raise InfeasibleError(
                f"'{scenario.lines[worst]}' must spend at least {low:,.10g} and at most {high:,.10g}",
                "loosen its min, max, change limit or the budget",
            )
        self.lower, self.upper = lower[self.order] / self.money, upper[self.order] / self.money
        self.A = polyhedron.A.toarray()[:, self.order]
        self.b = polyhedron.b / self.money
        self.equal = polyhedron.equal
        most, _ = self._effects(self.upper)
        self.size = np.maximum(most.sum(axis=1), 0.0)
        self.size[self.size == 0] = 1.0
        self.objectives = tuple(self._objective(name) for name in scenario.objectives)
        limits = scenario.spec.preferences.floors if floors else {}
        self.floors = tuple(self._floor(name, limit) for name, limit in limits.items())

    def _effects(self, z: Floats) -> tuple[Floats, Floats]:
        """Mean effects in KPI units and slopes by z: (K, L) each, in name order."""
        spend = np.empty(len(z))
        spend[self.order] = z * self.money
        value, slope = self.simulator.effects(spend)
        return value.mean(axis=0)[:, self.order], slope.mean(axis=0)[:, self.order] * self.money

    def effects(self, z: Floats) -> tuple[Floats, Floats]:
        """Scaled mean effects and slopes at z: (K, L) each."""
        value, slope = self._effects(z)
        return value / self.size[:, None], slope / self.size[:, None]

    def spend(self, z: Floats) -> Floats:
        """Currency by line, in the scenario's order."""
        spend = np.empty(len(z))
        spend[self.order] = z * self.money
        return spend

    @cached_property
    def straight(self) -> NDArray[np.bool_]:
        """Which effects are straight lines in spend: (K, L)."""
        return self.scenario.response.linear()[:, self.order]

    def _scaled(self, affine: Affine) -> tuple[Floats, float, float]:
        leaves = self.scenario.tree.leaves
        factors = np.array([affine.coefficients.get(name, 0.0) for name in leaves])
        constant = affine.constant + float(factors @ self.simulator.baseline.mean(axis=0))
        return factors * self.size, affine.coefficients.get(SPEND, 0.0) * self.money, constant

    def _objective(self, name: str) -> Form:
        scenario = self.scenario
        affine = scenario.tree.affine(name)
        if affine is None:
            raise SpecError(
                f"'{name}' is a ratio or product: it cannot be optimised by itself",
                "optimise its parts, and bound it under preferences.floors",
                path=("kpis", name),
            )
        kpis, spend, constant = self._scaled(affine)
        rising = scenario.spec.kpis[name].direction == "maximize"
        ends = scenario.spec.preferences.scale.get(name)
        if ends is None or ends == "payoff":
            size = float(np.abs(kpis).sum() + abs(spend)) or 1.0
            worst, best = (0.0, size) if rising else (size, 0.0)
        else:
            worst, best = ends
        span = best - worst
        self._check_concave(name, kpis / span)
        return Form(name, kpis / span, spend / span, (constant - worst) / span, span, worst)

    def _floor(self, name: str, limit: float) -> Form:
        tree = self.scenario.tree
        sign = 1.0 if self.scenario.spec.kpis[name].direction == "maximize" else -1.0
        affine, sides = tree.affine(name), tree.ratio(name)
        if affine is not None:
            room = (affine + Affine({}, -limit)) * sign
            per_unit = 1.0
        elif sides is not None:
            # numerator / denominator >= limit, exactly, as numerator - limit x denominator >= 0
            room = (sides[0] + sides[1] * -limit) * sign
            per_unit = float("nan")
        else:
            raise SpecError(
                f"a floor on '{name}' cannot be kept exactly: its formula is a product of KPIs",
                "put floors on its parts",
                path=("preferences", "floors", name),
            )
        kpis, spend, constant = self._scaled(room)
        size = float(np.abs(kpis).sum() + abs(spend) + abs(constant)) or 1.0
        label = floor_label(name, limit, sign > 0)
        self._check_concave(label, kpis)
        return Form(label, kpis / size, spend / size, constant / size, per_unit / size)

    def _check_concave(self, name: str, kpis: Floats) -> None:
        concave = self.scenario.response.concave()[:, self.order]
        for k in np.flatnonzero(kpis):
            bad = ~self.straight[k] if kpis[k] < 0 else ~concave[k]
            if bad.any():
                line = self.scenario.lines[self.order[int(np.argmax(bad))]]
                leaf = self.scenario.tree.leaves[k]
                what = "has an S-shaped curve" if kpis[k] > 0 else "counts against it with falling returns"
                raise SolverError(
                    f"no route can prove the best plan for '{name}': {leaf} of line '{line}' {what}",
                    "use a curve with falling returns (hill with slope <= 1), or drop this objective or floor",
                )
