"""Picks from a front: the plan that weights, targets or the front's own shape point at, with its proof."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import SpecError
from .front_certificate import FrontCertificate
from .measured import kpi_means
from .plan import Certificate, Plan
from .preferences import MODES
from .simulate import Simulator

if TYPE_CHECKING:
    from .limits import Limits
    from .scenario import Scenario

Floats = NDArray[np.float64]

# Weight of the sum beside the worst-off under targets, as `solve` has it.
AUGMENT = 1e-4


class Picks:
    """Ways to pick one plan from a front; every pick is one of its points."""

    scenario: Scenario
    points: pd.DataFrame
    certificate: FrontCertificate
    limits: Limits | None
    box: pd.DataFrame

    if TYPE_CHECKING:

        def spend(self, point: int) -> pd.Series | pd.DataFrame:
            """Return the spend of one point, by line, with free flighting by line and period."""

        def steps(self, kpis: Any) -> Floats:
            """Return KPI values in steps of the box."""

    def pick(
        self, *, weights: Mapping[str, float] | None = None, targets: Mapping[str, float] | None = None
    ) -> Plan:
        """Return the point that is best under weights, or nearest to targets, on the stated scale.

        ``weights``: the largest ``sum w_k u_k``, weights scaled to sum to one; KPIs left out weigh nothing.
        ``targets``: the largest ``min_k (u_k - r_k) + 1e-4 mean_k u_k``, ``r_k`` the target on the scale
        (augmented achievement scalarising function; Wierzbicki 1980, Miettinen 1999). The plan's scenario states
        this preference in place of its own. Its bound is proven by the limits found with the front: no plan, on
        the front or not, is better under these weights or targets. Where a KPI weighs nothing the limits may
        be wide; `solve` of the plan's scenario then proves more.

        Parameters
        ----------
        weights : mapping
            By objective, not negative.
        targets : mapping
            By objective, all of them, in KPI units.

        Raises
        ------
        SpecError
            If not one of the two is given, a KPI is no objective, or the scenario states no scale.
        """
        names = list(self.scenario.objectives)
        if (weights is None) == (targets is None):
            raise SpecError("a pick needs either weights or targets", "pick(weights={...}) or pick(targets={...})")
        given = dict(weights if weights is not None else targets or {})
        for name in given:
            if name not in names:
                raise SpecError(
                    f"'{name}' is not an objective of this front", f"objectives are: {', '.join(names)}"
                )
        for name, value in given.items():
            if not np.isfinite(value):
                raise SpecError(f"{value} for '{name}' is not a finite number", "give one for it")
        span, worst, u = self._stated()
        if weights is not None:
            w = np.array([float(given.get(name, 0.0)) for name in names])
            if w.min() < 0 or w.sum() <= 0:
                raise SpecError("weights must not be negative, nor all zero", "make one positive")
            w = w / w.sum()
            stated = {name: float(given.get(name, 0.0)) for name in names}
            return self._by_weights(w, u, span, worst, self._restated("weights", stated), "scale")
        if missing := [name for name in names if name not in given]:
            raise SpecError(f"no target for '{missing[0]}'", "give one for each objective")
        return self._by_targets({name: float(given[name]) for name in names}, u, span, worst)

    def knee(self) -> Plan:
        """Return the point of the front that lies farthest out over its ends.

        Each KPI is measured from its worst (0) to its best value (1) on the front; the knee has the largest sum.
        With two KPIs that is the point farthest from the line through the front's ends (Das, On characterizing
        the 'knee' of the Pareto curve, Structural Optimization 18, 1999); with more, from the plane through the
        points that are best in one KPI and worst in all others. A KPI that is the same all along the front has
        no say.
        """
        kpis = self.points[list(self.scenario.objectives)].to_numpy(dtype=float)
        rising = np.sign((self.box["best"] - self.box["worst"]).to_numpy())
        low, high = (kpis * rising).min(axis=0), (kpis * rising).max(axis=0)
        moves = high > low
        span, worst = rising * np.where(moves, high - low, 1.0), rising * low
        w = moves / max(int(moves.sum()), 1)
        return self._by_weights(w, (kpis - worst) / span, span, worst, self.scenario, "front")

    def nearest(self, plan: Plan | pd.Series | Any) -> Plan:
        """Return the point nearest to a plan: the smallest Euclidean distance on the scale.

        The scale is the stated one, or the front's box where a KPI has none.

        Parameters
        ----------
        plan : Plan, Series, DataFrame or (L,)
            A plan, the value of each objective KPI by name, or spend: by line, or in the order of the lines; with
            free flighting by line and period.

        Returns
        -------
        Plan
            Certified as any `plan` of the front is: how far another plan can be better on every KPI at once.

        Raises
        ------
        SpecError
            If it is none of these.
        """
        names = list(self.scenario.objectives)
        at = self._kpis(plan)
        scale = self.scenario.spec.preferences.scale
        ends = [scale.get(name, self.box.loc[name].tolist()) for name in names]
        span = np.array([float(end[1]) - float(end[0]) for end in ends])
        distance = np.linalg.norm((self.points[names].to_numpy(dtype=float) - at) / span, axis=1)
        return self.plan(int(np.argmin(distance)))

    def plan(self, point: int) -> Plan:
        """Return a point of the front as a plan.

        Its certificate tells how far any plan can be better on every objective at once, in steps of the front's
        box: ``value`` is 0, ``bound`` the largest ``min_k (y_k - y_k of this point)``.
        """
        y = self.steps(self.points[list(self.scenario.objectives)].iloc[point])
        ones, none = np.ones(len(y)), np.zeros(len(y))
        bound = np.nan if self.limits is None else self.limits.farthest(ones, y, none)
        why = "a point of the front; the bound says by how much all objectives at once could be better"
        return self._made(point, self.scenario, 0.0, bound, "front", why)

    def _by_weights(
        self, w: Floats, u: Floats, span: Floats, worst: Floats, scenario: Scenario, measure: str
    ) -> Plan:
        """The best point for a weighted sum on the scale where ``u`` (N, O) is ``(kpi - worst) / span``."""
        values = u @ w
        best = int(np.argmax(values))
        stretch, start = self._from_box(span, worst)
        bound = np.nan
        if self.limits is not None:
            bound = float(w @ start) + self.limits.highest(w * stretch)
        why = "the point of the front with the largest weighted sum; half-spaces proven with the front bound it"
        return self._made(best, scenario, float(values[best]), bound, measure, why)

    def _by_targets(self, targets: dict[str, float], u: Floats, span: Floats, worst: Floats) -> Plan:
        r = (np.array(list(targets.values())) - worst) / span
        w = np.full(len(r), AUGMENT / len(r))
        values = (u - r).min(axis=1) + u @ w
        best = int(np.argmax(values))
        stretch, start = self._from_box(span, worst)
        bound = np.nan
        if self.limits is not None:
            bound = float(w @ start) + self.limits.farthest(stretch, r - start, w)
        why = "the point of the front that is nearest to the targets; limits proven with the front bound it"
        return self._made(best, self._restated("targets", targets), float(values[best]), bound, "steps", why)

    def _from_box(self, span: Floats, worst: Floats) -> tuple[Floats, Floats]:
        """Factor and offset that turn steps of the box into a scale: (O,) each."""
        low, high = self.box.to_numpy().T
        return (high - low) / span, (low - worst) / span

    def _made(self, point: int, scenario: Scenario, value: float, bound: float, measure: str, why: str) -> Plan:
        bound = max(bound, value) if np.isfinite(bound) else np.nan
        proven = self.certificate.guarantee == "global" and np.isfinite(bound)
        certificate = Certificate(
            "global" if proven else "none", value, bound, bound - value, measure, self.certificate.route, why
        )
        return Plan(scenario, self.spend(point), certificate)

    def _stated(self) -> tuple[Floats, Floats, Floats]:
        """Span and worst of the stated scale (O,), and the points on it (N, O)."""
        names = list(self.scenario.objectives)
        scale = self.scenario.spec.preferences.scale
        if missing := [name for name in names if name not in scale]:
            raise SpecError(
                f"a pick needs a scale, and the scenario states none for '{missing[0]}'",
                f"add preferences.scale: {{{missing[0]}: [worst, best]}}, or payoff, and find the front again",
            )
        ends = np.array([[float(end) for end in scale[name]] for name in names])
        span, worst = ends[:, 1] - ends[:, 0], ends[:, 0]
        return span, worst, (self.points[names].to_numpy(dtype=float) - worst) / span

    def _restated(self, mode: str, values: Mapping[str, float]) -> Scenario:
        """Return the scenario under other preferences, scale and floors kept."""
        data = self.scenario.spec.model_dump(exclude_none=True, exclude={"hash"})
        for other in MODES:
            data["preferences"].pop(other, None)
        data["preferences"][mode] = dict(values)
        return self.scenario.restated(data)

    def _kpis(self, plan: Plan | pd.Series | Any) -> Floats:
        """KPI values (O,) of a plan, of KPI values by name, or of spend."""
        names, lines = list(self.scenario.objectives), list(self.scenario.lines)
        if isinstance(plan, Plan):
            plan = plan.spend
        if isinstance(plan, pd.DataFrame) and set(lines) == set(plan.index) and not plan.index.has_duplicates:
            plan = plan.loc[lines].to_numpy(dtype=float)
        if isinstance(plan, pd.Series) and not plan.index.has_duplicates:
            if set(names) <= set(plan.index):
                return plan[names].to_numpy(dtype=float)
            if set(lines) == set(plan.index):
                plan = plan[lines].to_numpy(dtype=float)
        try:
            spend = np.empty(0) if isinstance(plan, pd.Series) else np.asarray(plan, dtype=float)
        except (TypeError, ValueError):
            spend = np.empty(0)
        if spend.shape != self.scenario.today.shape or not np.isfinite(spend).all() or spend.min() < 0:
            raise SpecError(
                "nearest needs a plan, a value for each objective, or spend for each line",
                f"objectives are: {', '.join(names)}; lines: {', '.join(lines)}",
            )
        plans = spend[None]
        leaves = Simulator.of(self.scenario).outcomes(plans)
        values = kpi_means(self.scenario, leaves, plans)
        return np.array([float(values[name][0]) for name in names])
