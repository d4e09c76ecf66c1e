"""From plans to KPI outcomes, draw by draw."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import curves
from .errors import DataError
from .kpis import SPEND

if TYPE_CHECKING:
    from .response import ResponseModel
    from .scenario import Scenario

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Plans x KPIs x lines x periods x draws from which threads repay their start: about 10 ms of work.
WORTH_THREADS = 3_000_000
BASELINE = "baseline"
Parameters = tuple[Floats, Floats, Ints, Ints, Ints, Floats, Floats, Floats, Floats, Floats]


@dataclass(frozen=True)
class Simulator:
    """A scenario's response as the arrays the kernels take; make one with `Simulator.of`.

    Attributes
    ----------
    unit : (L, T)
        Media in each period for one unit of a line's total spend, flighting fixed. Where effects after the
        horizon count, T includes the empty periods they fall into.
    per_currency : (L, T)
        Media that one unit of currency buys in each period; 0 after the horizon.
    history : (L, H)
        Media before the first period, the latest last.
    weights : (K, L, J + 1, D)
        Adstock weights.
    length, after, family : (K, L)
        Adstock lengths; 1 where effects carry over instead of media; curve families.
    scale, first, second : (K, L, D)
        Curve parameters.
    knots : (K, L, 3, P)
        Pieces of curves through points.
    season : (K, T)
        Seasonal effectiveness.
    baseline : (D, K)
        KPI units over the horizon without any line.
    """

    unit: Floats
    per_currency: Floats
    history: Floats
    weights: Floats
    length: Ints
    after: Ints
    family: Ints
    scale: Floats
    first: Floats
    second: Floats
    knots: Floats
    season: Floats
    baseline: Floats

    @classmethod
    def of(cls, scenario: Scenario) -> Simulator:
        """Prepare a scenario's response for simulation."""
        beyond = int(scenario.response.length.max(initial=1)) - 1 if scenario.spec.carry_out else 0
        price = scenario.price
        return cls.of_response(
            scenario.response,
            unit=np.pad(scenario.shares / price, ((0, 0), (0, beyond))),
            per_currency=np.pad(1.0 / price, ((0, 0), (0, beyond))),
            history=scenario.history / price[:, :1],
            # After the horizon lines are as effective as the response says.
            season=np.pad(scenario.season, ((0, 0), (0, beyond)), constant_values=1.0),
            baseline=scenario.baseline,
        )

    @classmethod
    def of_response(cls, model: ResponseModel, **given: Floats) -> Simulator:
        """Prepare a response for simulation.

        Parameters
        ----------
        model : ResponseModel
            Weights and curves are taken from it.
        **given
            The attributes it cannot know: ``unit``, ``per_currency``, ``history``, ``season`` and ``baseline``.
        """
        # The kernels are compiled for contiguous arrays, draws last.
        scale, first, second = (np.moveaxis(part, 0, 2) for part in (model.scale, model.first, model.second))
        arrays = {
            "weights": np.moveaxis(model.weights(), 0, 3),
            "length": model.length,
            "after": model.after.astype(np.int64),
            "family": model.family,
            "scale": scale,
            "first": first,
            "second": second,
            "knots": curves.pieces(model.points),
            **given,
        }
        return cls(**{name: np.ascontiguousarray(array) for name, array in arrays.items()})

    def media(self, spend: Floats) -> Floats:
        """Media bought: (N, L, T), for spend of (N, L) over the horizon or (N, L, T) by period."""
        if spend.ndim == 2:
            return np.ascontiguousarray(spend[:, :, None] * self.unit)
        beyond = self.unit.shape[1] - spend.shape[2]
        return np.ascontiguousarray(np.pad(spend, ((0, 0), (0, 0), (0, beyond))) * self.per_currency)

    def outcomes(self, spend: Floats) -> Floats:
        """Additive KPIs of plans by draw.

        Parameters
        ----------
        spend : (N, L) or (N, L, T)
            Currency by line over the horizon, or by line and period.

        Returns
        -------
        (N, D, K)
            KPI units over the horizon, baseline included.
        """
        return self.line_outcomes(spend) + self.baseline

    def line_outcomes(self, spend: Floats) -> Floats:
        """What the lines add to `outcomes`, the baseline left out: (N, D, K)."""
        from . import kernels

        media = self.media(spend)
        n_kpis, _, n_draws = self.scale.shape
        out = np.empty((len(media), n_kpis, n_draws))
        _in_tasks(
            lambda start, stop: kernels.outcomes(media, *self._parameters(), start, stop, out),
            len(media) * n_kpis * kernels.blocks(n_draws),
            media.size * n_kpis * n_draws,
        )
        return np.ascontiguousarray(np.moveaxis(out, 1, 2))

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

        value, slope = np.empty_like(self.scale), np.empty_like(self.scale)
        kernels.line_effects(
            np.ascontiguousarray(spend, dtype=float), self.unit, *self._parameters(), value, slope
        )
        return np.ascontiguousarray(np.moveaxis(value, 2, 0)), np.ascontiguousarray(np.moveaxis(slope, 2, 0))

    def gradients(self, spend: Floats, share: Floats | None = None) -> Floats:
        """Gradients of additive KPIs' means, or other weighted means over draws, by line and period.

        Parameters
        ----------
        spend : (N, L) or (N, L, T)
            Currency by line over the horizon, or by line and period.
        share : (N, D, K), optional
            What each draw counts for; all the same, ``1 / D``, unless given. `tail_shares` gives those of CVaR.

        Returns
        -------
        (N, K, L, T)
            KPI units per unit of currency in each period of the horizon.
        """
        from . import kernels

        media = self.media(spend)
        n_kpis, n_lines, n_draws = self.scale.shape
        if share is None:
            share = np.full((len(media), n_draws, n_kpis), 1.0 / n_draws)
        counted = np.ascontiguousarray(np.moveaxis(share, 1, 2))
        out = np.empty((len(media), n_kpis, *media.shape[1:]))
        _in_tasks(
            lambda start, stop: kernels.gradients(media, *self._parameters(), counted, start, stop, out),
            len(media) * n_kpis * n_lines,
            media.size * n_kpis * n_draws,
        )
        return out * self.per_currency

    def _parameters(self) -> Parameters:
        return (
            self.history,
            self.weights,
            self.length,
            self.after,
            self.family,
            self.scale,
            self.first,
            self.second,
            self.knots,
            self.season,
        )


def _in_tasks(work: Callable[[int, int], None], tasks: int, cells: int) -> None:
    """Do numbered tasks, in threads where there is enough to do. Kernels let go of the interpreter's lock."""
    threads = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, tasks)
    if cells < WORTH_THREADS or threads < 2:
        work(0, tasks)
        return
    # More parts than threads, so that one held up by something else does not hold up the rest.
    ends = np.linspace(0, tasks, min(tasks, 4 * threads) + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, ends[:-1], ends[1:]))


def tail_shares(outcomes: Floats, cvar: float, worst: Literal["low", "high"] = "low") -> Floats:
    """What each draw counts for in the mean of the worst of them (CVaR).

    Parameters
    ----------
    outcomes : (N, D, K)
        By draw.
    cvar : float
        0.1 is the mean of the worst tenth; a draw on the edge counts in part (Rockafellar & Uryasev 2002).
    worst : "low" or "high"
        Which end is bad.

    Returns
    -------
    (N, D, K)
        Adds up to 1 over draws.
    """
    n_draws = outcomes.shape[1]
    order = np.argsort(outcomes if worst == "low" else -outcomes, axis=1, kind="stable")
    tail = cvar * n_draws
    counted = np.clip(tail - np.arange(n_draws), 0.0, 1.0) / tail
    share = np.empty_like(outcomes)
    np.put_along_axis(share, order, np.broadcast_to(counted[None, :, None], outcomes.shape), axis=1)
    return share


def simulate(
    scenario: Scenario,
    spend: pd.Series | pd.DataFrame | Floats,
    *,
    by: str | None = None,
    summary: bool = False,
) -> pd.DataFrame:
    """Simulate plans: every KPI, by draw.

    Parameters
    ----------
    scenario : Scenario
        What spend does.
    spend : (L,), (L, T), (N, L) or (N, L, T), or Series by line, or DataFrame with lines as columns or as index
        Spend of one plan or of N plans: currency over the horizon by line, or currency by line and period. A
        Series or DataFrame is matched by line name: lines as columns are plans in rows, lines as index are one
        plan by period.
    by : str, optional
        ``"line"``, ``"period"`` or a line attribute (market, channel, ...): additive KPIs split up by it, with
        what comes without any line as ``"baseline"``. The parts of a draw add up to the whole.
    summary : bool
        Mean over draws, and the 5 % and 95 % quantiles, instead of draws.

    Returns
    -------
    DataFrame
        Index ``draw`` for one plan, ``(plan, draw)`` for several; one column a KPI, in its unit over the
        horizon, derived KPIs recomputed from their parts in each draw. With ``by`` its value comes before
        ``draw`` in the index, and columns are the additive KPIs. With ``summary`` the index ends in ``kpi``
        instead of ``draw``, and the columns are ``mean``, ``low`` and ``high``.

    Raises
    ------
    DataError
        If lines are missing or unknown, the shape is wrong or fits two readings, spend is negative or not finite,
        or no line has the attribute.
    """
    plans, labels = _plans(scenario, spend)
    simulator = Simulator.of(scenario)
    levels: list[tuple[str, list[object]]] = [("plan", list(labels))] if labels is not None else []
    if by is None:
        values = kpi_values(scenario, simulator.outcomes(plans), plans)
    else:
        names, parts = _parts(scenario, simulator, plans, by)
        values = {name: parts[..., k] for k, name in enumerate(scenario.tree.leaves)}
        levels.append((by, names))
    if summary:
        return _summary(values, levels)
    levels.append(("draw", list(range(simulator.scale.shape[2]))))
    return pd.DataFrame({name: value.reshape(-1) for name, value in values.items()}, index=_index(levels))


def _index(levels: list[tuple[str, list[object]]]) -> pd.Index:
    names = [name for name, _ in levels]
    if len(levels) == 1:
        return pd.Index(levels[0][1], name=names[0])
    return pd.MultiIndex.from_product([labels for _, labels in levels], names=names)


def _summary(values: dict[str, Floats], levels: list[tuple[str, list[object]]]) -> pd.DataFrame:
    draws = np.stack(list(values.values()), axis=-2)
    low, high = np.quantile(draws, [0.05, 0.95], axis=-1)
    columns = {"mean": draws.mean(axis=-1), "low": low, "high": high}
    index = _index([*levels, ("kpi", list(values))])
    return pd.DataFrame({name: column.reshape(-1) for name, column in columns.items()}, index=index)


def _parts(scenario: Scenario, simulator: Simulator, plans: Floats, by: str) -> tuple[list[object], Floats]:
    """Additive KPIs split up: the parts' names, and (N, parts, D, K). Each line or period is computed once."""
    if by == "period":
        horizon = simulator.season.shape[1]
        masked = [replace(simulator, season=simulator.season * (np.arange(horizon) == t)) for t in range(horizon)]
        names: list[object] = list(range(horizon))
    else:
        values = [line.attributes.get(by) for line in scenario.spec.lines]
        if not any(values):
            known = sorted({name for line in scenario.spec.lines for name in line.attributes})
            raise DataError(f"no line has the attribute '{by}'", f"there are: period, {', '.join(known)}")
        # Lines without the attribute come last, under no name.
        names = [*dict.fromkeys(value for value in values if value), *([""] if not all(values) else [])]
        groups = [np.array([(value or "") == name for value in values]) for name in names]
        masked = [replace(simulator, family=simulator.family * group) for group in groups]
    baseline = np.broadcast_to(simulator.baseline, (len(plans), *simulator.baseline.shape))
    parts = np.stack([*(part.line_outcomes(plans) for part in masked), baseline], axis=1)
    return [*names, BASELINE], parts


def kpi_values(scenario: Scenario, leaves: Floats, plans: Floats) -> dict[str, Floats]:
    """Recompute all KPIs from additive ones.

    Parameters
    ----------
    leaves : (N, D, K) or (N, K)
        Additive KPIs.
    plans : (N, L) or (N, L, T)
        Spend by line, or by line and period.

    Returns
    -------
    dict
        By KPI: (N, D) or (N,).
    """
    total = plans.reshape(len(plans), -1).sum(axis=1) if plans.size else np.zeros(len(plans))
    parts = {name: leaves[..., k] for k, name in enumerate(scenario.tree.leaves)}
    shape = leaves.shape[:-1]
    spend = np.broadcast_to(total.reshape(-1, *[1] * (len(shape) - 1)), shape)
    return scenario.tree.evaluate({**parts, SPEND: spend})


def _plans(scenario: Scenario, spend: pd.Series | pd.DataFrame | Floats) -> tuple[Floats, pd.Index | range | None]:
    """Spend as (N, L) or (N, L, T), and the plans' labels; none for a single plan."""
    lines, periods = list(scenario.lines), scenario.spec.horizon.periods
    labels: pd.Index | range | None = None
    by_period = False
    if isinstance(spend, pd.Series | pd.DataFrame):
        by_period = isinstance(spend, pd.DataFrame) and sorted(map(str, spend.index)) == sorted(lines)
        names = spend.columns if isinstance(spend, pd.DataFrame) and not by_period else spend.index
        if sorted(map(str, names)) != sorted(lines):
            odd = sorted(set(map(str, names)) ^ set(lines)) or ["a line given twice"]
            raise DataError(f"spend does not match the scenario's lines: {odd[0]}", f"lines are: {lines}")
        if isinstance(spend, pd.DataFrame) and not by_period:
            labels = spend.index
        spend = spend.loc[lines] if by_period else spend[lines]
    array = _numbers(spend)
    if labels is None and not by_period and array.ndim == 2:
        fits_plans, by_period = array.shape[1] == len(lines), array.shape == (len(lines), periods)
        if fits_plans and by_period:
            raise DataError(
                f"spend of shape {array.shape} may be {len(lines)} plans, or one plan by line and period",
                "give a DataFrame with lines as columns (plans) or as index (periods), or three axes",
            )
        labels = None if by_period else range(len(array))
    if array.ndim == 3:
        labels = range(len(array))
    wanted = {1: (len(lines),), 2: (len(lines), periods) if by_period else (len(lines),), 3: (len(lines), periods)}
    own = array.shape if array.ndim == 1 or by_period else array.shape[1:]
    if own != wanted.get(array.ndim):
        shapes = f"({len(lines)},), (N, {len(lines)}), ({len(lines)}, {periods}) or (N, {len(lines)}, {periods})"
        raise DataError(f"spend has shape {array.shape}", f"give {shapes}")
    if not np.all(np.isfinite(array)) or np.any(array < 0):
        raise DataError("spend is negative, NaN or infinite", "give currency amounts of zero or more")
    return array[None] if labels is None else array, labels


def _numbers(spend: pd.Series | pd.DataFrame | Floats) -> Floats:
    try:
        if isinstance(spend, pd.Series | pd.DataFrame):
            return spend.astype(object).where(spend.notna(), np.nan).to_numpy(dtype=float)
        return np.asarray(spend, dtype=float)
    except (ValueError, TypeError):
        raise DataError("spend holds something that is not a number", "give currency amounts") from None
