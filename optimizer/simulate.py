"""From plans to KPI outcomes, draw by draw."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import curves
from .amounts import read
from .delay import delayed
from .errors import DataError
from .measured import kpi_values
from .synergy import Links

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
        Adstock weights, zeros first for KPIs that come late.
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
    links : Links or None
        Which lines multiply each other's effects; see `synergy`.
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
    links: Links | None = None

    @classmethod
    def of(cls, scenario: Scenario) -> Simulator:
        """Prepare a scenario's response for simulation."""
        weights = delayed(scenario.response.weights(), scenario.delay)
        beyond = weights.shape[3] - 1 if scenario.spec.carry_out else 0
        price = scenario.price
        return cls.of_response(
            scenario.response,
            weights=weights,
            length=scenario.response.length + scenario.delay[:, None],
            unit=np.pad(scenario.shares / price, ((0, 0), (0, beyond))),
            per_currency=np.pad(1.0 / price, ((0, 0), (0, beyond))),
            history=scenario.history / price[:, :1],
            # After the horizon lines are as effective as the response says.
            season=np.pad(scenario.season, ((0, 0), (0, beyond)), constant_values=1.0),
            baseline=scenario.baseline,
        )

    @classmethod
    def of_response(cls, model: ResponseModel, **given: Floats | Ints) -> Simulator:
        """Prepare a response for simulation.

        Parameters
        ----------
        model : ResponseModel
            Weights and curves are taken from it.
        **given
            The attributes it cannot know: ``unit``, ``per_currency``, ``history``, ``season`` and ``baseline``;
            ``weights`` (D, K, L, J + 1) and ``length`` where they are not the model's own.
        """
        # The kernels are compiled for contiguous arrays, draws last.
        scale, first, second = (np.moveaxis(part, 0, 2) for part in (model.scale, model.first, model.second))
        arrays = {
            "weights": np.moveaxis(given.pop("weights", model.weights()), 0, 3),
            "length": model.length,
            "after": model.after.astype(np.int64),
            "family": model.family,
            "scale": scale,
            "first": first,
            "second": second,
            "knots": curves.pieces(model.points),
            **given,
        }
        links = model.synergy.links(model.kpis, model.lines)
        made: dict[str, Any] = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        return cls(**made, links=links)

    def only(self, lines: NDArray[np.bool_]) -> Simulator:
        """Return the simulator of what these lines (L,) do; the others still multiply their effects."""
        if self.links is None:
            return replace(self, family=self.family * lines)
        # A line that gives must still be there; without a scale it does nothing itself.
        family = np.where(lines | (self.links.slots >= 0), self.family, 0)
        return replace(self, family=family, scale=self.scale * lines[:, None])

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
            kernels.tasks(len(media), n_kpis, n_draws),
            media.size * n_kpis * n_draws,
        )
        if self.links is not None:
            from . import kernels_synergy

            given, links = self._given(), self.links
            _in_tasks(
                lambda start, stop: kernels_synergy.outcomes(media, given, links, start, stop, out),
                len(media) * n_kpis * kernels_synergy.blocks(n_draws),
                media.size * n_kpis * n_draws,
            )
        return np.ascontiguousarray(np.moveaxis(out, 1, 2))

    def effects(self, spend: Floats) -> tuple[Floats, Floats]:
        """Each line's effect, and the KPI's slope in the line's total spend.

        Effects add up to `line_outcomes`. Without synergy a line's slope is that of its own effect. With it, an
        effect has in it what other lines add to it, and a slope what the line adds to others' effects.

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
        # Copies: kernels are compiled anew for arrays that may not be written to.
        spend = np.array(spend, dtype=float)
        kernels.line_effects(spend, self.unit, *self._parameters(), value, slope)
        if self.links is not None:
            from . import kernels_synergy

            kernels_synergy.line_effects(spend, self.unit, self._given(), self.links, value, slope)
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
        counted = np.array(np.moveaxis(share, 1, 2), order="C")
        out = np.empty((len(media), n_kpis, *media.shape[1:]))
        _in_tasks(
            lambda start, stop: kernels.gradients(media, *self._parameters(), counted, start, stop, out),
            kernels.gradient_tasks(len(media), n_kpis, n_lines),
            media.size * n_kpis * n_draws,
        )
        if self.links is not None:
            from . import kernels_synergy

            given, links = self._given(), self.links
            _in_tasks(
                lambda start, stop: kernels_synergy.gradients(media, given, links, counted, start, stop, out),
                len(media) * n_kpis,
                media.size * n_kpis * n_draws,
            )
        return out * self.per_currency

    def _parameters(self) -> Parameters:
        """What the kernels take; lines that give or take do nothing there."""
        apart = self.family if self.links is None else np.where(self.links.slots >= 0, 0, self.family)
        return self._given(apart)

    def _given(self, family: Ints | None = None) -> Parameters:
        return (
            self.history,
            self.weights,
            self.length,
            self.after,
            self.family if family is None else family,
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
    ends = np.linspace(0, tasks, min(tasks, 8 * threads) + 1).astype(int).tolist()
    parts = list(pairwise(ends))

    def take() -> None:
        while parts:
            try:
                start, stop = parts.pop()
            except IndexError:  # Another thread was faster.
                return
            work(start, stop)

    # This thread works too. Were it only to wait, the last of the others would often be started on a processor
    # that has work, because this one's is not idle yet, and stay there for milliseconds.
    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(take) for _ in range(threads - 1)]
        take()
        for other in others:
            other.result()


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
        what comes without any line as ``"baseline"``. The parts of a draw add up to the whole; what lines add to
        a line's effect (synergy) is part of that line's.
    summary : bool
        Mean over draws, and the 5 % and 95 % quantiles, instead of draws.

    Returns
    -------
    DataFrame
        Index ``draw`` for one plan, ``(plan, draw)`` for several; one column a KPI, in its unit over the
        horizon, derived KPIs recomputed from their parts in each draw; means over the worst draws (``cvar``) and
        functions that give no draws are the same in each. With ``by`` its value comes before
        ``draw`` in the index, and columns are the additive KPIs. With ``summary`` the index ends in ``kpi``
        instead of ``draw``, and the columns are ``mean``, ``low`` and ``high``.

    Raises
    ------
    DataError
        If lines are missing or unknown, the shape is wrong or fits two readings, spend is negative or not finite,
        or no line has the attribute.
    """
    plans, labels = read(scenario, spend)
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
        masked = [simulator.only(group) for group in groups]
    baseline = np.broadcast_to(simulator.baseline, (len(plans), *simulator.baseline.shape))
    parts = np.stack([*(part.line_outcomes(plans) for part in masked), baseline], axis=1)
    return [*names, BASELINE], parts
