"""Pick the route: `solve` one plan, or the `frontier` of all that are best for some trade-off."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..front import Front
    from ..plan import Plan
    from ..scenario import Scenario

TOLERANCE = 1e-6


def solve(scenario: Scenario, *, tolerance: float = TOLERANCE) -> Plan:
    """Find the best plan under the scenario's stated preferences.

    Parameters
    ----------
    scenario : Scenario
        A scale given as ``payoff`` is computed first and frozen in ``plan.scenario``.
    tolerance : float
        Largest accepted gap: on the stated scale, or as a share of the KPI where one KPI is optimised.

    Returns
    -------
    Plan
        With a certificate whose bound is proven.

    Raises
    ------
    InfeasibleError
        If no plan keeps every rule and floor.
    SolverError
        If the problem is outside what the routes can prove.
    """
    from . import convex

    return convex.solve(scenario, tolerance)


def frontier(
    scenario: Scenario, *, tolerance: float = 0.01, progress: Callable[[float], None] | None = None
) -> Front:
    """Find the Pareto front over the scenario's objective KPIs.

    Parameters
    ----------
    scenario : Scenario
        With two or three objective KPIs.
    tolerance : float
        Stop when an unseen plan could add at most this share of the front's hypervolume.
    progress : callable, optional
        Called with the share of the work done, 0 to 1.

    Returns
    -------
    Front
        Non-dominated plans and a certificate of how complete they are.

    Raises
    ------
    SpecError
        If fewer than two or more than three KPIs are objectives.
    InfeasibleError, SolverError
        As for `solve`.
    """
    from .frontier import outer_approximation

    return outer_approximation(scenario, tolerance, progress)
