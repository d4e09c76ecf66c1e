"""A scenario as the numbers every route works on: lines in name order, money and KPIs scaled to about one.

Because all routes see only these numbers, neither units nor the order of lines can sway a plan.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..constraints import Switches
from ..errors import InfeasibleError, SpecError
from ..kpi_tree import Affine
from ..kpis import SPEND
from ..preferences import Floor, bound, floor_label
from ..simulate import Simulator
from .forms import Effects, Form, State
from .own import OwnKpis

if TYPE_CHECKING:
    from ..scenario import Scenario

Floats = NDArray[np.float64]
# Rules are kept to this, in money units and steps of forms.
KEPT = 1e-9
Ints = NDArray[np.int64]

# Some curves rise infinitely steeply at zero: slopes are taken just beside it.
BESIDE_ZERO = 1e-9


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
    joint : (M,) bool
        Its rows that more than one variable stands in; the others are bounds.
    lower, upper : (L,)
        Box around the polyhedron; finite.
    pinned : (L,) bool
        Lines that must stay at zero.
    own : OwnKpis
        Functions of the user's own that its forms count. They come after the additive KPIs wherever those stand:
        K in all.
    size : (K,)
        KPI units of one step of a scaled effect.
    objectives, floors : tuple of Form
        Objectives rise when better, on the scale where one is pinned. Floors hold when not negative.
    curved : str
        The first response that keeps the forms from being concave, in words; empty where all are.
    tangled : str
        Why nothing bounds the forms line by line, in words: lines that multiply each other's effects, a
        function of the user's own, or a mean over the worst draws where curves are not concave. Empty where they
        add up.
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
        self.joint = np.asarray((self.A != 0).sum(axis=1)).ravel() > 1
        self.b = scenario.polyhedron.b / self.money
        self.equal = scenario.polyhedron.equal
        self.boxed = False
        self.lower, self.upper = self._natural_box()
        self.pinned = self.upper <= BESIDE_ZERO
        self.limits = dict(scenario.spec.preferences.floors if floors is None else floors)
        rests = frozenset().union(*map(scenario.tree.rests_on, (*scenario.objectives, *self.limits)))
        self.own = OwnKpis(scenario, [name for name in scenario.tree.functions if name in rests])
        most = self._most(self.upper)
        self.size = np.append(np.where(most > 0, most, 1.0), self._own_sizes())
        self.curved = self.tangled = ""
        ends = scenario.spec.preferences.scale if scale is None else scale
        self.objectives = tuple(self._objective(name, ends.get(name)) for name in scenario.objectives)
        self.floors = tuple(self._floor(name, limit) for name, limit in self.limits.items())
        risky = [form.name for form in self.objectives if form.tail is not None]
        obstacle = self.curved or (
            "lines are on or off by rule" if scenario.polyhedron.switches is not None else ""
        )
        if risky and obstacle and not self.tangled:
            self.tangled = f"'{risky[0]}' is a mean over the worst draws, and {obstacle}"

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

    def _own_sizes(self) -> Floats:
        """What functions move by, from today's plan half-way to each variable alone: (F,) KPI units."""
        if not len(self.own):
            return np.empty(0)
        alone = np.diag(self.upper)[~self.pinned]
        return self.own.sizes(self.scenario.today, self.plans(0.5 * (self.scaled(self.scenario.today) + alone)))

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
        if len(self.own):
            # Of a function only the whole is known: it is spread evenly over the lines.
            whole = self.own.values(self.spend(z)[None])[0][:, :, None]
            value = np.concatenate([value, np.repeat(whole / len(z), len(z), axis=2)], axis=1)
            slope = np.concatenate([slope, self.own.slopes(z, self.lower, self.upper, self.plans)], axis=1)
        slope = np.where(self.pinned, 0.0, slope)
        return Effects(value / self.size[:, None], slope / self.size[:, None])

    def outcomes(self, plans: Floats) -> Floats:
        """Scaled effects of all lines together, of plans (N, n) and by draw: (N, D, K)."""
        spend = self.plans(plans)
        found = self.simulator.line_outcomes(spend)
        if len(self.own):
            found = np.concatenate([found, self.own.values(spend)], axis=2)
        return found / self.size

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

    def plans(self, z: Floats) -> Floats:
        """Currency of many plans (N, n) in the scenario's order, as simulation takes them."""
        spend = np.empty_like(z)
        spend[:, self.columns] = z * self.money
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
        factors = np.array([affine.coefficients.get(name, 0.0) for name in (*leaves, *self.own.names)])
        constants = affine.constant + self.simulator.baseline @ factors[: len(leaves)]
        return factors * self.size, affine.coefficients.get(SPEND, 0.0) * self.money, constants

    def _objective(self, name: str, ends: Any) -> Form:
        scenario = self.scenario
        of, tail = scenario.tree.tails.get(name, (name, None))
        affine = scenario.tree.affine(of)
        if affine is None:
            raise SpecError(
                f"'{of}' is a ratio or product: it cannot be optimised by itself",
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
        self._look_for_tangles(name, kpis)
        self._look_for_curves(name, kpis / span)
        if tail is not None:
            self._check_draws(name, ("kpis", name, "cvar"))
        by_draw = None if tail is None else (constants - worst) / span
        mean = (float(constants.mean()) - worst) / span
        return Form(name, kpis / span, spend / span, mean, span, worst, tail, by_draw)

    def _floor(self, name: str, limit: float | Floor, toward: str | None = None) -> Form:
        tree = self.scenario.tree
        if name in tree.tails:
            if isinstance(limit, Floor):
                raise SpecError(
                    f"'{name}' is a mean over the worst draws already",
                    "bound it with a number",
                    path=("preferences", "floors", name),
                )
            of, share = tree.tails[name]
            form = self._floor(of, Floor(value=limit, cvar=share), name)
            return replace(
                form, name=floor_label(name, limit, self.scenario.spec.kpis[name].direction == "maximize")
            )
        rising = self.scenario.spec.kpis[toward or name].direction == "maximize"
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
        self._look_for_tangles(label, kpis)
        self._look_for_curves(label, kpis)
        tail = None
        if isinstance(limit, Floor):
            self._check_draws(name, ("preferences", "floors", name))
            tail = limit.cvar if limit.cvar is not None else 1.0 - float(limit.probability or 0.0)
        constants = constants / size
        mean = float(constants.mean())
        return Form(label, kpis / size, spend / size, mean, per_unit / size, 0.0, tail, constants)

    def _check_draws(self, name: str, path: tuple[str, ...]) -> None:
        """Refuse a measure over draws of a KPI that rests on functions alone which give none."""
        rests = self.scenario.tree.rests_on(name) - {SPEND}
        if rests and rests <= self.scenario.functions.keys() and not self.own.by_draw(rests):
            raise SpecError(
                f"the function of '{name}' gives no draws, so nothing holds over them",
                "bound its value with a number",
                path=path,
            )

    def _look_for_tangles(self, name: str, kpis: Floats) -> None:
        """Remember the first function, or the first line that multiplies what another does, for a form."""
        leaves = self.scenario.tree.leaves
        for k, own in enumerate(self.own.names):
            if kpis[len(leaves) + k] and not self.tangled:
                self.tangled = f"for '{name}', {own} is a function of the user's own, known by its values alone"
        counted = {leaves[k] for k in np.flatnonzero(kpis[: len(leaves)])}
        for kpi, giver, taker in self.scenario.response.synergy.pairs:
            if kpi in counted and not self.tangled:
                self.tangled = f"for '{name}', line '{giver}' multiplies what line '{taker}' does for {kpi}"

    def _look_for_curves(self, name: str, kpis: Floats) -> None:
        """Remember the first response that makes a form anything but concave."""
        concave = self.scenario.response.concave()[:, self.order]
        for k in np.flatnonzero(kpis[: len(concave)]):
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
