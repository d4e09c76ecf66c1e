"""Functions of the user's own in a problem: their values by draw, and their slopes by differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..measured import own_values

if TYPE_CHECKING:
    from ..scenario import Scenario

Floats = NDArray[np.float64]

# Half the width of a difference, in money units: so wide that rounding costs no more than curvature does.
WIDTH = 1e-5


class OwnKpis:
    """The functions that a problem's forms count, in the order of the scenario's KPIs.

    Parameters
    ----------
    scenario : Scenario
        Whose functions they are.
    names : sequence of str
        The KPIs.

    Attributes
    ----------
    asked : int
        Plans they were asked for so far.
    """

    def __init__(self, scenario: Scenario, names: Sequence[str]) -> None:
        self.scenario, self.names = scenario, tuple(names)
        self.asked = 0

    def __len__(self) -> int:
        return len(self.names)

    def by_draw(self, names: Iterable[str]) -> bool:
        """Whether the function of any of these KPIs gives draws."""
        found = own_values(self.scenario, self.scenario.today[None], sorted(names))
        return any(each.ndim == 2 for each in found.values())

    def values(self, spend: Floats) -> Floats:
        """KPIs of plans, (N, L) or (N, L, T) currency, by draw: (N, D, F) KPI units."""
        self.asked += len(spend) * len(self.names)
        shape = (len(spend), self.scenario.response.draws)
        found = own_values(self.scenario, spend, self.names)
        rows = [np.broadcast_to(each[:, None] if each.ndim == 1 else each, shape) for each in found.values()]
        return np.stack(rows, axis=2) if rows else np.empty((*shape, 0))

    def sizes(self, today: Floats, others: Floats) -> Floats:
        """How much each KPI moves between today's plan and others: (F,) KPI units, 1 where it does not.

        Raises
        ------
        DataError
            If one gives two values for the same plan.
        """
        found = self.values(np.concatenate([today[None], today[None], others])).mean(axis=1)
        for name, (one, two) in zip(self.names, found[:2].T, strict=True):
            if one != two:
                raise DataError(
                    f"the function '{self.scenario.functions[name].name}' gives {one:g} and then {two:g} for the "
                    "same plan",
                    "take its random numbers from a fixed seed",
                    path=("kpis", name, "function"),
                )
        moved, level = np.abs(found - found[0]).max(axis=0), np.abs(found).max(axis=0)
        return np.where(moved > 1e-9 * level, moved, np.where(level > 0, level, 1.0))

    def slopes(self, z: Floats, lower: Floats, upper: Floats, spend: Callable[[Floats], Floats]) -> Floats:
        """Slopes by scaled spend z (n,): (D, F, n) KPI units a money unit.

        Central differences that stay within lower and upper (n,): one-sided at an end, 0 where there is no room.
        ``spend`` turns plans (N, n) into currency.
        """
        n = len(z)
        ahead, behind = np.minimum(z + WIDTH, upper) - z, z - np.maximum(z - WIDTH, lower)
        ahead, behind = np.maximum(ahead, 0.0), np.maximum(behind, 0.0)
        width = ahead + behind
        free = np.flatnonzero(width > 0)
        plans = np.repeat(z[None], 2 * len(free), axis=0)
        rows = np.arange(len(free))
        plans[rows, free] += ahead[free]
        plans[rows + len(free), free] -= behind[free]
        found = self.values(spend(np.maximum(plans, 0.0)))
        apart = (found[: len(free)] - found[len(free) :]) / width[free][:, None, None]
        slopes = np.zeros((*found.shape[1:], n))
        slopes[:, :, free] = np.moveaxis(apart, 0, 2)
        return slopes

    def said(self, variables: int) -> str:
        """What they cost, in words, of a problem with so many variables; empty where there are none."""
        if not self.names:
            return ""
        return (
            f"; {' and '.join(self.names)} took {self.asked:,} values, their slopes being differences of "
            f"{2 * variables} each, so that the search is slower than with curves alone"
        )
