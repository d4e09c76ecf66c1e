"""The region of the scale in which a front is measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..preferences import SMALLEST_RANGE
from .problem import Problem

Floats = NDArray[np.float64]

# Three objectives and more: the payoff table's worst values may lie above the nadir, so the box starts lower.
MARGIN = 0.1


class Box:
    """From the worst to the best value of each objective over the payoff table.

    Parameters
    ----------
    problem : Problem
        Whose objective forms the table is of.
    table : (O, O)
        Row: the objective optimised alone; column: the value each objective form then takes.
    """

    def __init__(self, problem: Problem, table: Floats) -> None:
        best, worst = np.diag(table), table.min(axis=0)
        kpis = np.array([abs(float(form.kpi(u))) for form, u in zip(problem.objectives, best, strict=True)])
        units = np.array([abs(form.unit) for form in problem.objectives])
        # Where KPIs hardly conflict the box stays as wide as a range must be to mean anything.
        span = np.maximum(best - worst, SMALLEST_RANGE * np.maximum(kpis, 1e-9 * units) / units)
        self.best = best
        self.low = best - span * (1.0 + (MARGIN if len(table) > 2 else 0.0))

    def ends(self, problem: Problem) -> dict[str, tuple[float, float]]:
        """Return ``(worst, best)`` by objective in KPI units, from the forms' values."""
        forms = zip(problem.objectives, self.low, self.best, strict=True)
        return {form.name: (float(form.kpi(low)), float(form.kpi(best))) for form, low, best in forms}
