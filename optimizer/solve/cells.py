"""A scenario with free flighting as numbers: one variable for each line and period, a cell.

The forms are those of `problem`, over cells instead of line totals: the mean response is concave in the spend of
all periods together, as carry-over only adds up and curves are concave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..curves import FAMILIES
from ..errors import InfeasibleError
from ..preferences import Floor, tail_weights
from ..simulate import Simulator
from .forms import Effects, Form, State
from .problem import BESIDE_ZERO, Problem

if TYPE_CHECKING:
    from ..scenario import Scenario

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class CellProblem(Problem):
    """Scaled arrays of a scenario with free flighting: z (L * T,), lines in name order, periods in time order.

    See `Problem`; ``A`` is sparse, ``columns``, ``lower``, ``upper`` and ``pinned`` are by cell.
    """

    @property
    def periods(self) -> int:
        """Periods of the horizon."""
        return int(self.scenario.spec.horizon.periods)

    @property
    def parts(self) -> int:
        """Variables of each line: its periods."""
        return self.periods

    @property
    def forms(self) -> tuple[Form, ...]:
        """Objectives, then floors: P forms."""
        return (*self.objectives, *self.floors)

    def _columns(self) -> Ints:
        return (self.order[:, None] * self.periods + np.arange(self.periods)).reshape(-1)

    def _matrix(self) -> Any:
        return self.scenario.polyhedron.A[:, self.columns].tocsr()

    def _natural_box(self) -> tuple[Floats, Floats]:
        scenario = self.scenario
        lower, upper = scenario.polyhedron.box()
        lower = np.maximum(lower, 0.0)
        upper = np.minimum(upper, scenario.spec.constraints.budget.amount)
        worst = int(np.argmax(lower - upper))
        if lower[worst] > upper[worst] + 1e-12 * self.money:
            line, period = divmod(worst, self.periods)
            raise InfeasibleError(
                f"'{scenario.lines[line]}' must spend at least {lower[worst]:,.10g} and at most "
                f"{upper[worst]:,.10g} in period {period + 1}",
                "loosen the rules for that period or the budget",
            )
        return lower[self.columns] / self.money, upper[self.columns] / self.money

    def _most(self, z: Floats) -> Floats:
        """Each additive KPI's effects with the whole budget on each line, spread evenly: (K,) KPI units."""
        even = np.full(len(z), 1.0 / self.periods)
        found: Floats = self.simulator.line_outcomes(self.spend(np.minimum(z, even))[None])[0].mean(axis=0)
        return found

    def _look_for_curves(self, name: str, kpis: Floats) -> None:
        model = self.scenario.response
        for k in np.flatnonzero(kpis[: len(model.kpis)]):
            shaped = ~(model.linear() if kpis[k] < 0 else model.concave())[k]
            if shaped.any() and not self.curved:
                line, leaf = self.scenario.lines[int(np.argmax(shaped))], self.scenario.tree.leaves[k]
                what = "has an S-shaped curve" if kpis[k] > 0 else "counts against it with falling returns"
                self.curved = f"for '{name}', {leaf} of line '{line}' {what}"

    def spend(self, z: Floats) -> Floats:
        """Currency by line and period in the scenario's order: (L, T)."""
        return super().spend(z).reshape(-1, self.periods)

    def plans(self, z: Floats) -> Floats:
        """Currency of many plans (N, L * T) in the scenario's order: (N, L, T)."""
        return super().plans(z).reshape(len(z), len(self.order), self.periods)

    def values(self, z: Floats) -> Floats:
        """Every form at z: (P,)."""
        totals = self._totals(z)
        return np.array([self._value(form, totals, z)[0] for form in self.forms])

    def state(self, z: Floats) -> State:
        """Evaluate every form at z (L * T,), with gradients at `beside(z)`."""
        values, rises = self.evaluate(z, self.forms)
        n = len(self.objectives)
        # Effects by draw and line are not kept.
        effects = Effects(np.empty((0, len(self.size), 0)), np.empty((0, len(self.size), 0)))
        return State(z, values[:n], rises[:n], values[n:], rises[n:], effects)

    def evaluate(self, z: Floats, forms: Sequence[Form]) -> tuple[Floats, Floats]:
        """Values of some forms at z, and gradients at `beside(z)`: (F,), (F, n)."""
        if not forms:
            return np.empty(0), np.empty((0, len(z)))
        totals = self._totals(z)
        found = [self._value(form, totals, z) for form in forms]
        # One adjoint pass for the mean, and one for each form that counts its worst draws only.
        counted = [
            np.full(len(totals), 1.0 / len(totals)),
            *(weights for _, weights in found if weights is not None),
        ]
        passes = iter(self.mean_gradients(np.stack([self.beside(z)] * len(counted)), np.array(counted)))
        mean = next(passes)
        rises = np.array(
            [
                form.kpis @ (mean if weights is None else next(passes)) + form.spend
                for form, (_, weights) in zip(forms, found, strict=True)
            ]
        )
        return np.array([value for value, _ in found]), rises

    def effects_by_line(self, z: Floats) -> tuple[Floats, Floats]:
        """Mean scaled effects of each line, and their slopes, at a plan that no slope is infinite at.

        In one group, or where curves have kinks in one group for each period that effects fall into: there
        tangents to the parts fit much closer than tangents to their sum.

        Returns
        -------
        (K, L, groups), (K, L, groups, parts)
        """
        spend = self.spend(z)[None]
        whole = self.simulator
        values, slopes = [], []
        for season in self._seasons:
            part = replace(whole, season=season)
            alone = [replace(part, family=np.ascontiguousarray(whole.family * mask)) for mask in self._masks]
            values.append(np.array([line.line_outcomes(spend)[0].mean(axis=0) / self.size for line in alone]).T)
            slopes.append(self._gradients(z[None], part)[0].reshape(len(self.size), -1, self.parts))
        return np.stack(values, axis=2), np.stack(slopes, axis=2)

    @property
    def groups(self) -> int:
        """Groups of `effects_by_line`."""
        return len(self._seasons)

    @cached_property
    def _masks(self) -> NDArray[np.bool_]:
        """Each line alone, in name order: (L, L)."""
        return np.arange(len(self.order)) == self.order[:, None]

    @cached_property
    def _seasons(self) -> list[Floats]:
        """The season as a whole, or period by period where curves have kinks: each (K, T)."""
        season = self.simulator.season
        if not np.any(self.simulator.family == FAMILIES["points"].code):
            return [season]
        return [season * (np.arange(season.shape[1]) == t) for t in range(season.shape[1])]

    def mean_gradients(self, z: Floats, counted: Floats | None = None) -> Floats:
        """Gradients of scaled effects by cell.

        Parameters
        ----------
        z : (N, L * T)
            Off zero where a curve is infinitely steep there.
        counted : (N, D), optional
            What each draw counts for; all the same unless given.

        Returns
        -------
        (N, K, L * T)
        """
        found = self._gradients(z, self.simulator, counted)
        if not len(self.own):
            return found
        # One plan, whatever the draws count for: its differences are asked for once.
        own: dict[bytes, Floats] = {}
        for row in z:
            if row.tobytes() not in own:
                own[row.tobytes()] = self.own.slopes(row, self.lower, self.upper, self.plans)
        slopes = np.stack([own[row.tobytes()] for row in z]) / self.size[-len(self.own) :, None]
        draws = slopes.shape[1]
        counted = np.full((len(z), draws), 1.0 / draws) if counted is None else counted
        return np.concatenate([found, np.einsum("nd,ndfl->nfl", counted, slopes)], axis=1)

    def _gradients(self, z: Floats, simulator: Simulator, counted: Floats | None = None) -> Floats:
        spend = np.stack([self.spend(row) for row in z])
        n_draws, n_kpis = self.simulator.baseline.shape
        share = None
        if counted is not None:
            share = np.broadcast_to(counted[:, :, None], (len(z), n_draws, n_kpis))
        raw = simulator.gradients(spend, share)[..., : self.periods]
        flat = raw.reshape(*raw.shape[:2], -1)[:, :, self.columns] * (self.money / self.size[:n_kpis, None])
        return np.where(self.pinned, 0.0, flat)

    def _totals(self, z: Floats) -> Floats:
        """Scaled effects of all lines and periods together, by draw: (D, K)."""
        spend = self.spend(z)[None]
        found = self.simulator.line_outcomes(spend)[0]
        if len(self.own):
            found = np.concatenate([found, self.own.values(spend)[0]], axis=1)
        return np.asarray(found / self.size)

    def _value(self, form: Form, totals: Floats, z: Floats) -> tuple[float, Floats | None]:
        """A form's value, and what each draw counts for in it; None where all count the same."""
        if form.tail is None:
            return float(form.constant + form.kpis @ totals.mean(axis=0) + form.spend * z.sum()), None
        by_draw = form.constant if form.constants is None else form.constants
        values = by_draw + totals @ form.kpis + form.spend * z.sum()
        weights = np.empty(len(values))
        weights[np.argsort(values, kind="stable")] = tail_weights(form.tail, len(values))
        return float(weights @ values), weights


class EvenCells(CellProblem):
    """The same problem with each line spread evenly: one variable for each line, its total.

    Forms are those of the problem it is made from, on the same scale.
    """

    def __init__(self, whole: CellProblem) -> None:
        from scipy import sparse

        vars(self).update(vars(whole))
        self.whole = whole
        n_lines, periods = len(whole.order), whole.periods
        even = sparse.kron(sparse.eye_array(n_lines), np.full((periods, 1), 1.0 / periods))
        self.A = sparse.csr_matrix(whole.A @ even)
        self.lower = periods * whole.lower.reshape(n_lines, periods).max(axis=1)
        self.upper = periods * whole.upper.reshape(n_lines, periods).min(axis=1)
        self.pinned = np.asarray(self.upper <= BESIDE_ZERO)

    @property
    def parts(self) -> int:
        """Variables of each line: its total."""
        return 1

    def spread(self, z: Floats) -> Floats:
        """The cells of a plan (L,): (L * T,)."""
        return np.repeat(z / self.periods, self.periods)

    def spend(self, z: Floats) -> Floats:
        """Currency by line and period in the scenario's order: (L, T)."""
        return self.whole.spend(self.spread(z))

    def _gradients(self, z: Floats, simulator: Simulator, counted: Floats | None = None) -> Floats:
        """Gradients of scaled effects by line total: (N, K, L)."""
        cells = self.whole._gradients(np.array([self.spread(row) for row in z]), simulator, counted)
        return cells.reshape(*cells.shape[:2], -1, self.periods).mean(axis=3)


def problem_of(scenario: Scenario, floors: dict[str, float | Floor] | None = None) -> Problem:
    """Return a scenario's problem: over cells with free flighting, else over line totals."""
    return (CellProblem if scenario.free else Problem)(scenario, floors)
