"""From plans to KPI outcomes, draw by draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import DataError
from .kpis import SPEND

if TYPE_CHECKING:
    from .scenario import Scenario

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Simulator:
    """A scenario's response as the arrays the kernels take; make one with `Simulator.of`.

    Attributes
    ----------
    unit : (L, T)
        Media in each period for one unit of a line's total spend, flighting fixed. Where effects after the
        horizon count, T includes the empty periods they fall into.
    history : (L, H)
        Media before the first period, the latest last.
    weights : (D, K, L, J + 1)
        Adstock weights.
    season : (K, T)
        Seasonal effectiveness.
    baseline : (D, K)
        KPI units over the horizon without any line.
    """

    unit: Floats
    history: Floats
    weights: Floats
    family: NDArray[np.int64]
    scale: Floats
    first: Floats
    second: Floats
    season: Floats
    baseline: Floats

    @classmethod
    def of(cls, scenario: Scenario) -> Simulator:
        """Prepare a scenario's response for simulation."""
        model = scenario.response
        weights = model.weights()
        unit = scenario.shares
        if scenario.spec.carry_out:
            unit = np.pad(unit, ((0, 0), (0, weights.shape[3] - 1)))
        # The kernels are compiled for contiguous arrays.
        return cls(
            np.ascontiguousarray(unit),
            np.ascontiguousarray(model.history),
            weights,
            np.ascontiguousarray(model.family),
            np.ascontiguousarray(model.scale),
            np.ascontiguousarray(model.first),
            np.ascontiguousarray(model.second),
            np.ones((len(model.kpis), unit.shape[1])),
            np.ascontiguousarray(scenario.baseline),
        )

    def outcomes(self, spend: Floats) -> Floats:
        """Additive KPIs of plans by draw.

        Parameters
        ----------
        spend : (N, L)
            Total spend by line, currency over the horizon.

        Returns
        -------
        (N, D, K)
            KPI units over the horizon, baseline included.
        """
        from . import kernels

        out = np.empty((len(spend), *self.baseline.shape))
        media = np.ascontiguousarray(spend[:, :, None] * self.unit)
        kernels.outcomes(
            media,
            self.history,
            self.weights,
            self.family,
            self.scale,
            self.first,
            self.second,
            self.season,
            out,
        )
        return out + self.baseline

    def effects(self, spend: Floats) -> tuple[Floats, Floats]:
        """Each line's effect and its slope in the line's total spend.

        Parameters
        ----------
        spend : (L,)
            Currency over the horizon.

        Returns
        -------
        value, slope : (D, K, L)
            KPI units over the horizon, and the same per unit of currency.
        """
        from . import kernels

        value = np.empty_like(self.scale)
        slope = np.empty_like(self.scale)
        kernels.line_effects(
            np.ascontiguousarray(spend, dtype=float),
            self.unit,
            self.history,
            self.weights,
            self.family,
            self.scale,
            self.first,
            self.second,
            self.season,
            value,
            slope,
        )
        return value, slope


def simulate(scenario: Scenario, spend: pd.Series | pd.DataFrame | Floats) -> pd.DataFrame:
    """Simulate plans: every KPI, by draw.

    Parameters
    ----------
    scenario : Scenario
        What spend does.
    spend : (L,) or (N, L), or Series by line, or DataFrame with lines as columns
        Total spend of one plan or of N plans, currency over the horizon. A Series or DataFrame is matched by
        line name.

    Returns
    -------
    DataFrame
        Index ``draw`` for one plan, ``(plan, draw)`` for several; one column a KPI, in its unit over the
        horizon, derived KPIs recomputed from their parts in each draw.

    Raises
    ------
    DataError
        If lines are missing or unknown, the shape is wrong, or spend is negative or not finite.
    """
    plans, labels = _plans(scenario, spend)
    leaves = Simulator.of(scenario).outcomes(plans)
    n_plans, n_draws, _ = leaves.shape
    values = kpi_values(scenario, leaves, plans)
    index: pd.Index = pd.RangeIndex(n_draws, name="draw")
    if labels is not None:
        index = pd.MultiIndex.from_product([labels, range(n_draws)], names=["plan", "draw"])
    return pd.DataFrame({name: value.reshape(n_plans * n_draws) for name, value in values.items()}, index=index)


def kpi_values(scenario: Scenario, leaves: Floats, plans: Floats) -> dict[str, Floats]:
    """Recompute all KPIs from additive ones.

    Parameters
    ----------
    leaves : (N, D, K) or (N, K)
        Additive KPIs.
    plans : (N, L)
        Spend by line.

    Returns
    -------
    dict
        By KPI: (N, D) or (N,).
    """
    total = plans.sum(axis=1)
    parts = {name: leaves[..., k] for k, name in enumerate(scenario.tree.leaves)}
    shape = leaves.shape[:-1]
    spend = np.broadcast_to(total.reshape(-1, *[1] * (len(shape) - 1)), shape)
    return scenario.tree.evaluate({**parts, SPEND: spend})


def _plans(scenario: Scenario, spend: pd.Series | pd.DataFrame | Floats) -> tuple[Floats, pd.Index | range | None]:
    lines = list(scenario.lines)
    labels: pd.Index | range | None = None
    if isinstance(spend, pd.Series | pd.DataFrame):
        names = spend.index if isinstance(spend, pd.Series) else spend.columns
        if sorted(map(str, names)) != sorted(lines):
            odd = sorted(set(map(str, names)) ^ set(lines)) or ["a line given twice"]
            raise DataError(f"spend does not match the scenario's lines: {odd[0]}", f"lines are: {lines}")
        if isinstance(spend, pd.DataFrame):
            labels = spend.index
        spend = spend[lines].to_numpy(dtype=object, na_value=np.nan)
    try:
        array = np.asarray(spend, dtype=float)
    except (TypeError, ValueError):
        raise DataError("spend holds something that is not a number", "give currency amounts") from None
    if array.ndim == 2 and labels is None:
        labels = range(len(array))
    if array.ndim not in (1, 2) or array.shape[-1] != len(lines):
        raise DataError(f"spend has shape {array.shape}", f"give ({len(lines)},) or (N, {len(lines)})")
    if not np.all(np.isfinite(array)) or np.any(array < 0):
        raise DataError("spend is negative, NaN or infinite", "give currency amounts of zero or more")
    return np.atleast_2d(array), labels
