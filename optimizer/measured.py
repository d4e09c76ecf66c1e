"""Every KPI of plans: derived ones, means over the worst draws and functions, from additive KPIs and spend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .kpis import SPEND
from .preferences import tail_weights

if TYPE_CHECKING:
    from .scenario import Scenario

Floats = NDArray[np.float64]


def kpi_values(scenario: Scenario, leaves: Floats, plans: Floats) -> dict[str, Floats]:
    """Recompute all KPIs by draw from additive ones, and functions of the user's own from spend.

    Parameters
    ----------
    leaves : (N, D, K)
        Additive KPIs.
    plans : (N, L) or (N, L, T)
        Spend by line, or by line and period.

    Returns
    -------
    dict
        By KPI: (N, D); the same in every draw where a KPI has but one value: means over the worst draws, and
        functions that give no draws.
    """
    return _values(scenario, leaves, plans, leaves)


def kpi_means(scenario: Scenario, leaves: Floats, plans: Floats) -> dict[str, Floats]:
    """Return what all KPIs are expected to be: derived ones recomputed from the means of their parts.

    Parameters
    ----------
    leaves : (N, D, K)
        Additive KPIs.
    plans : (N, L) or (N, L, T)
        Spend by line, or by line and period.

    Returns
    -------
    dict
        By KPI: (N,).
    """
    return _values(scenario, leaves.mean(axis=1), plans, leaves)


def _values(scenario: Scenario, leaves: Floats, plans: Floats, by_draw: Floats) -> dict[str, Floats]:
    """All KPIs from additive ones, (N, D, K) or their means (N, K); the worst draws are of ``by_draw``."""
    tree, shape = scenario.tree, leaves.shape[:-1]
    own = own_values(scenario, plans, tree.functions)
    found = _computed(scenario, leaves, plans, own)
    draws = found
    if tree.tails and len(shape) == 1:
        draws = _computed(scenario, by_draw, plans, own)
    for name, (of, share) in tree.tails.items():
        sign = 1.0 if tree.kpis[name].direction == "maximize" else -1.0
        worst_first = np.sort(sign * draws[of], axis=1)
        mean = sign * (worst_first @ tail_weights(share, worst_first.shape[1]))
        found[name] = np.array(np.broadcast_to(mean.reshape(-1, *[1] * (len(shape) - 1)), shape))
    return {name: found[name] for name in tree.kpis}


def _computed(scenario: Scenario, leaves: Floats, plans: Floats, own: Mapping[str, Floats]) -> dict[str, Floats]:
    """All KPIs but means over the worst draws."""
    total = plans.reshape(len(plans), -1).sum(axis=1) if plans.size else np.zeros(len(plans))
    parts = {name: leaves[..., k] for k, name in enumerate(scenario.tree.leaves)}
    shape = leaves.shape[:-1]
    spend = np.broadcast_to(total.reshape(-1, *[1] * (len(shape) - 1)), shape)
    for name, values in own.items():
        drawn = values if values.ndim == 2 else values[:, None]
        parts[name] = np.broadcast_to(drawn if len(shape) == 2 else drawn.mean(axis=1), shape)
    return scenario.tree.evaluate({**parts, SPEND: spend})


def without_draws(scenario: Scenario, name: str, draws: Floats) -> bool:
    """Whether a KPI, of plans and by draw (N, D), has one value for all draws and so no interval.

    Means over the worst draws have, and what rests on functions of the user's own that give no draws.
    """
    if name in scenario.tree.tails:
        return True
    rests = bool(scenario.tree.rests_on(name) & scenario.functions.keys())
    return rests and bool(np.all(np.ptp(draws, axis=1) == 0))


def own_values(scenario: Scenario, plans: Floats, names: Sequence[str]) -> dict[str, Floats]:
    """Ask functions of the user's own for KPIs of plans.

    Parameters
    ----------
    plans : (N, L) or (N, L, T)
        Spend by line, or by line and period.
    names : sequence of str
        The KPIs.

    Returns
    -------
    dict
        By KPI: (N, D), or (N,) where the function gives no draws.

    Raises
    ------
    DataError
        If a function raises an error or returns anything but finite numbers of these shapes.
    """
    draws = scenario.response.draws
    return {name: scenario.functions[name].values(name, plans, scenario.lines, draws) for name in names}
