"""Front: the plans among which no KPI can be had better without another getting worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .archive import HINT, read_archive, write_archive
from .errors import DataError, SpecError
from .front_certificate import FrontCertificate, read_certificate, share_missing
from .kpis import SPEND
from .limits import Limits
from .markup import Block, card
from .picks import Picks
from .plan import labelled, plain, records
from .risk import lost_words, on_fresh_draws
from .volumes import dominated_volume, hull_volume, shadows

if TYPE_CHECKING:
    from .scenario import Functions, Scenario

Floats = NDArray[np.float64]

# Boxes of two fronts that differ by less, in steps, are the same.
SAME_BOX = 1e-9
# A plan this close under a proven half-space, in steps, is as good as best for its weights: at least and at most,
# between them the front's own gap.
SUPPORTED = (1e-3, 1e-2)
# With less weight than this share on a KPI there is no rate between it and another.
SMALLEST_WEIGHT = 1e-4


@dataclass(frozen=True)
class Front(Picks):
    """A Pareto front under a scenario.

    Attributes
    ----------
    scenario : Scenario
        With every scale frozen to numbers.
    points : DataFrame
        One row a plan: a column for each objective KPI (expected value, in its unit over the horizon), then one
        for each line (``spend <line>``, currency over the horizon), and with free flighting one for each line and
        period (``spend in period <t>: <line>``); sorted by the first KPI.
    payoff : DataFrame
        Row: the KPI optimised alone; column: the value each objective then takes.
    current : Series
        Today's value of each objective KPI.
    certificate : FrontCertificate
        How complete it provably is.
    limits : Limits, optional
        What no plan can exceed, on the front's box; None where that holds only for a stricter problem.
    """

    scenario: Scenario
    points: pd.DataFrame
    payoff: pd.DataFrame
    current: pd.Series
    certificate: FrontCertificate
    limits: Limits | None = None

    @cached_property
    def box(self) -> pd.DataFrame:
        """The box the front is measured in, in KPI units: columns ``worst`` (the reference) and ``best``."""
        names = list(self.scenario.objectives)
        worst = [self.certificate.reference[name] for name in names]
        best = [self.payoff.loc[name, name] for name in names]
        return pd.DataFrame({"worst": worst, "best": best}, index=names, dtype=float)

    def steps(self, kpis: Any) -> Floats:
        """Return KPI values (N, O) in steps of the box: 0 at the reference, 1 at the KPI's own optimum."""
        worst, best = self.box.to_numpy().T
        return np.asarray((np.asarray(kpis, dtype=float) - worst) / (best - worst))

    @property
    def hypervolume(self) -> float:
        """Volume of the box that the points dominate, exactly; blends of points are not counted."""
        return self.hypervolume_of(self.points[list(self.scenario.objectives)])

    def hypervolume_of(self, kpis: Any) -> float:
        """Return the volume of this front's box that any KPI values dominate, for comparison.

        Parameters
        ----------
        kpis : DataFrame or (N, O)
            By objective, in KPI units; columns of an array in the order of ``scenario.objectives``.
        """
        if isinstance(kpis, pd.DataFrame):
            kpis = kpis[list(self.scenario.objectives)]
        return dominated_volume(self.steps(kpis))

    def spend(self, point: int) -> pd.Series | pd.DataFrame:
        """Return the spend of one point as a `Plan` holds it: by line, with free flighting by line and period."""
        return labelled(self.scenario, self.plans[point])

    @cached_property
    def plans(self) -> Floats:
        """Spend of all points as `simulate` takes it: (N, L), with free flighting (N, L, T); currency."""
        spend = self.points[spend_columns(self.scenario)].to_numpy(dtype=float)
        lines = len(self.scenario.lines)
        return spend[:, lines:].reshape(len(spend), lines, -1) if self.scenario.free else spend

    @cached_property
    def fresh(self) -> pd.DataFrame | None:
        """The points on draws that the search has not seen: KPIs, and ``loss <kpi>`` in its unit.

        See `risk.on_fresh_draws`; None where no draws were held out (``response.held_out``).
        """
        return on_fresh_draws(self.scenario, self.plans)

    @cached_property
    def lost(self) -> float:
        """Share of the hypervolume that is lost on draws the search has not seen; NaN where none were held out.

        Of the points less their losses; see `fresh`.
        """
        if self.fresh is None or self.hypervolume <= 0:
            return float("nan")
        names = list(self.scenario.objectives)
        signs = np.where(self.box["best"] > self.box["worst"], 1.0, -1.0)
        losses = self.fresh[[f"loss {name}" for name in names]].to_numpy()
        return 1.0 - self.hypervolume_of(self.points[names].to_numpy() - signs * losses) / self.hypervolume

    def exchange(self) -> pd.DataFrame:
        """Return what one KPI costs in another at each point.

        Rates are those of the weights for which the point is proven best but for a thousandth of the box, or for
        the front's own gap where that is wider, up to a hundredth: the normal of the nearest proven half-space,
        the mean where several are as near. They are no differences between neighbours.

        Returns
        -------
        DataFrame
            Row: a point; column (i, j): units of KPI i given up for one unit of KPI j, each better in its own
            direction. NaN where no weights make the point best (in the hollow of a front that is not convex),
            where one of the two has next to no weight, and where nothing is proven.
        """
        names = list(self.scenario.objectives)
        size = np.abs(self.box["best"] - self.box["worst"]).to_numpy()
        pairs = [(i, j) for i in range(len(names)) for j in range(len(names)) if i != j]
        named = [(names[i], names[j]) for i, j in pairs]
        columns = pd.MultiIndex.from_tuples(named, names=["give", "get"])
        rows, within = [], float(np.clip(np.nan_to_num(self.certificate.gap), *SUPPORTED))
        for y in self.steps(self.points[names]):
            weights = None if self.limits is None else self.limits.normal(y, within)
            worth = np.full(len(names), np.nan)
            if weights is not None:
                worth = np.where(weights >= SMALLEST_WEIGHT, weights, np.nan) / size
            rows.append([worth[j] / worth[i] for i, j in pairs])
        return pd.DataFrame(rows, index=self.points.index, columns=columns)

    def where(self, *, least: Mapping[str, float] | None = None, most: Mapping[str, float] | None = None) -> Front:
        """Return the points within limits.

        Parameters
        ----------
        least, most : mapping
            By column of ``points``, a KPI or ``spend <line>``, or ``spend`` for all lines together.

        Returns
        -------
        Front
            Its certificate says that it was filtered: nothing is proven of what else keeps these limits. For
            that, put them into the scenario.

        Raises
        ------
        SpecError
            If a column is unknown, or no point is left.
        """
        keep, said = np.ones(len(self.points), dtype=bool), []
        for words, limits, sign in (("at least", least, 1.0), ("at most", most, -1.0)):
            for name, limit in (limits or {}).items():
                keep &= sign * (self._column(name) - limit) >= 0
                said.append(f"{name} {words} {limit:g}")
        if not keep.any():
            raise SpecError(
                f"no point of the front has {' and '.join(said)}",
                "loosen a limit, or put it into the scenario and find the front of that",
            )
        if keep.all():
            return self
        points = self.points[keep].reset_index(drop=True)
        why = f"{self.certificate.why}; filtered to {', '.join(said)}"
        return self._with(points, replace(self.certificate, guarantee="none", why=why, blends=False))

    def _column(self, name: str) -> Floats:
        if name in self.points:
            return self.points[name].to_numpy(dtype=float)
        if name == SPEND:
            return self.points[[f"spend {line}" for line in self.scenario.lines]].sum(axis=1).to_numpy()
        raise SpecError(f"the front has no '{name}'", f"it has: {', '.join(self.points)}, {SPEND}")

    def merge(self, other: Front) -> Front:
        """Return both fronts' points without those that others beat.

        Each proven limit of one holds for the other too, so the lower bound of the two is the bound of both.

        Raises
        ------
        SpecError
            If the scenarios, or the boxes they are measured in, are not the same.
        """
        if self.scenario.hash != other.scenario.hash:
            raise SpecError(
                "fronts of different scenarios cannot be merged",
                "rules, curves, scale and preferences must all be the same",
            )
        corners = other.box.to_numpy().T
        if np.abs(self.steps(corners) - [[0.0], [1.0]]).max() > SAME_BOX:
            raise SpecError("the two fronts are not measured on the same scale", "find both with this release")
        names = list(self.scenario.objectives)
        points = pd.concat([self.points, other.points]).drop_duplicates(ignore_index=True)
        keep = non_dominated(np.round(self.steps(points[names]), 9))
        points = points[keep].sort_values(names, ignore_index=True)
        certificates = [self.certificate, other.certificate]
        # The points of a whole front are all there, or beaten: what was proven of it holds for both together.
        whole = [each for each in certificates if each.guarantee == "global"]
        certificate = replace(
            certificates[0],
            guarantee="global" if whole else "none",
            bound=float(np.fmin(self.certificate.bound, other.certificate.bound)),
            why="; merged with: ".join(dict.fromkeys(each.why for each in whole or certificates)),
            solves=sum(each.solves for each in certificates),
            blends=any(each.blends for each in certificates),
            ended="; ".join(dict.fromkeys(each.ended for each in certificates if each.ended)),
        )
        limits = self.limits
        if limits is not None and other.limits is not None:
            pairs = zip(_arrays(limits), _arrays(other.limits), strict=True)
            limits = Limits(*map(np.concatenate, pairs))
        return replace(self._with(points, certificate), limits=limits)

    def _with(self, points: pd.DataFrame, certificate: FrontCertificate) -> Front:
        """Return the front with other points, measured anew."""
        steps = self.steps(points[list(self.scenario.objectives)])
        volume = hull_volume(shadows(steps)) if certificate.blends else dominated_volume(steps)
        gap = share_missing(volume, certificate.bound)
        return replace(self, points=points, certificate=replace(certificate, hypervolume=volume, gap=gap))

    def save(self, path: str | Path) -> None:
        """Write the front and its scenario to one JSON file; `load` reads it back exactly.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        certificate = {key: plain(value) for key, value in asdict(self.certificate).items()}
        names = list(self.scenario.objectives)
        content = {
            "columns": list(self.points),
            "points": self.points.to_numpy(dtype=float).tolist(),
            "payoff": self.payoff.loc[names, names].to_numpy(dtype=float).tolist(),
            "current": self.current[names].to_numpy(dtype=float).tolist(),
            "certificate": certificate,
            "limits": None if self.limits is None else [part.tolist() for part in _arrays(self.limits)],
        }
        write_archive(path, content, self.scenario)

    @classmethod
    def load(cls, path: str | Path, *, functions: Functions | None = None) -> Front:
        """Read a front that `save` wrote; its scenario comes with it, but for ``functions`` of the user's own.

        They are given as for `Scenario.load`.

        Raises
        ------
        DataError
            If the file is missing, is not such a file, or was changed.
        """
        content, scenario = read_archive(path, functions)
        names = list(scenario.objectives)
        columns = [*names, *spend_columns(scenario)]
        n = len(names)
        try:
            points = _numbers(content["points"], (None, len(columns)))
            payoff, current = _numbers(content["payoff"], (n, n)), _numbers(content["current"], (n,))
            limits = None
            if content["limits"] is not None:
                shapes: list[tuple[int | None, ...]] = [(None, n), (None,), (None, n)]
                parts = [_numbers(*pair) for pair in zip(content["limits"], shapes, strict=True)]
                if len(parts[0]) != len(parts[1]):
                    raise ValueError
                limits = Limits(*parts)
            if content["columns"] != columns or not len(points):
                raise ValueError
            certificate = read_certificate(content["certificate"], names)
        except (KeyError, TypeError, ValueError):
            raise DataError("does not hold a whole front", HINT, file=str(path)) from None
        return cls(
            scenario,
            pd.DataFrame(points, columns=columns),
            pd.DataFrame(payoff, index=names, columns=names),
            pd.Series(current, index=names, name="current"),
            certificate,
            limits,
        )

    def _repr_html_(self) -> str:
        certificate = self.certificate
        lines = [
            f"{len(self.points)} plans from {certificate.solves} solves; {certificate.guarantee} guarantee, "
            f"hypervolume gap {certificate.gap:.2g}; money in {self.scenario.spec.currency}."
        ]
        payoff = self.payoff.rename_axis("optimised alone")
        current = self.current.to_frame().T.rename_axis("").set_axis(["today"])
        points = Block("Plans: KPIs and spend", self.points.rename_axis("point"))
        blocks = [Block("Payoff table", payoff), Block("Today", current), points]
        if self.scenario.fresh is not None:
            lines.append(f"On draws that no search has seen it {lost_words(self.lost)} of its hypervolume.")
        return card(f"Front: {self.scenario.name}", lines, blocks)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data, numbers unrounded."""
        scale = self.scenario.spec.preferences.scale
        return {
            "scenario": self.scenario.name,
            "scenario_hash": self.scenario.hash,
            "currency": self.scenario.spec.currency,
            "objectives": {
                name: {
                    "unit": self.scenario.spec.kpis[name].unit,
                    "direction": self.scenario.spec.kpis[name].direction,
                    "scale": scale.get(name),
                    "current": float(self.current[name]),
                }
                for name in self.scenario.objectives
            },
            "certificate": {key: plain(value) for key, value in asdict(self.certificate).items()},
            "hypervolume": self.hypervolume,
            "fresh": None if self.fresh is None else records(self.fresh.rename_axis("point")),
            "lost": plain(self.lost),
            "payoff": records(self.payoff.rename_axis("optimised")),
            "points": records(self.points.rename_axis("point")),
        }


def spend_columns(scenario: Scenario) -> list[str]:
    """Return what the columns of spend are called: by line, then with free flighting by line and period."""
    columns = [f"spend {line}" for line in scenario.lines]
    if scenario.free:
        periods = range(1, scenario.spec.horizon.periods + 1)
        columns += [f"spend in period {t}: {line}" for line in scenario.lines for t in periods]
    return columns


def non_dominated(values: np.ndarray) -> np.ndarray:
    """Return which rows no other row matches or beats on every column (higher is better): (N,) bool."""
    keep = np.zeros(len(values), dtype=bool)
    # A row that beats another has the larger sum; where rounding hides that, it comes first by its columns.
    left = np.lexsort((*-values.T[::-1], -values.sum(axis=1)))
    while len(left):
        best = left[0]
        keep[best] = True
        left = left[~np.all(values[left] <= values[best], axis=1)]
    return keep


def _arrays(limits: Limits) -> tuple[Floats, Floats, Floats]:
    return limits.weights, limits.levels, limits.corners


def _numbers(values: Any, shape: tuple[int | None, ...]) -> Floats:
    """Return nested lists as an array of this shape (None: any length); ValueError where they are not that."""
    found = np.array(values, dtype=float)
    if len(shape) == 2 and not found.size:
        found = found.reshape(0, shape[1] or 0)
    sizes = zip(shape, found.shape, strict=False)
    fits = found.ndim == len(shape) and all(want in (None, has) for want, has in sizes)
    if not fits or not np.isfinite(found).all():
        raise ValueError
    return found
