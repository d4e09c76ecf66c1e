"""What is wanted: a stated trade-off between KPIs, on one stated scale.

Every KPI speaks on its scale ``u = (f - worst) / (best - worst)``, so that neither its unit nor the size of its
numbers says how much it matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from .documents import Spec
from .errors import SpecError
from .kpis import Kpi

Ends = Annotated[list[float], Field(min_length=2, max_length=2)]
# A scale narrower than this share of its own numbers turns a trivial difference into a full step.
SMALLEST_RANGE = 1e-3


class PreferencesSpec(Spec):
    """The ``preferences`` block.

    Attributes
    ----------
    weights : dict
        Importance by KPI: a step over the whole of one scale against a step over the whole of another.
    scale : dict
        ``[worst, best]`` of each weighted KPI in its unit, or ``payoff``: each KPI's own optimum and its
        lowest value over the others' optima, computed under the constraints without floors.
    floors : dict
        Bounds that any plan must keep on the expected value: least values of KPIs to maximize, most values
        of KPIs to minimize.
    """

    weights: dict[str, Annotated[float, Field(ge=0)]] = {}
    scale: dict[str, Ends | Literal["payoff"]] = {}
    floors: dict[str, float] = {}


def objectives(kpis: Mapping[str, Kpi], preferences: PreferencesSpec) -> tuple[str, ...]:
    """Return the KPIs to optimise, after checking that the trade-off between them is stated.

    Raises
    ------
    SpecError
        For an unknown KPI, a KPI without a direction, weights that sum to zero, a weight without a scale, a
        scale that runs against the direction or is too narrow, or two objectives with no stated trade-off.
    """
    for block in ("weights", "scale", "floors"):
        for name in getattr(preferences, block):
            _check_name(kpis, name, ("preferences", block, name))
    _check_weights(kpis, preferences)
    _check_scale(kpis, preferences)
    stated = tuple(preferences.weights)
    directed = [name for name, kpi in kpis.items() if kpi.direction is not None]
    wanted = [
        name
        for name in directed
        if kpis[name].role == "objective" or (kpis[name].role is None and name not in preferences.floors)
    ]
    if not stated and len(wanted) == 1:
        return (wanted[0],)
    if not wanted and not stated:
        raise SpecError("no KPI to optimise", "give one KPI a direction: maximize or minimize", path=("kpis",))
    if not stated:
        raise SpecError(
            f"no trade-off is stated between {' and '.join(wanted)}",
            "add preferences.weights with a scale, or give all but one a floor or 'role: monitor'",
            path=("preferences",),
        )
    for name in wanted:
        if name not in stated:
            raise SpecError(
                f"'{name}' has a direction but no part in the trade-off",
                "give it a weight, a floor, or 'role: monitor'",
                path=("kpis", name),
            )
    return stated


def _check_name(kpis: Mapping[str, Kpi], name: str, path: tuple[str, ...]) -> None:
    if name not in kpis:
        raise SpecError(f"unknown KPI '{name}'", f"KPIs are: {', '.join(kpis)}", path=path)
    if kpis[name].direction is None:
        raise SpecError(f"'{name}' has no direction", "add direction: maximize or minimize to it", path=path)


def _check_weights(kpis: Mapping[str, Kpi], preferences: PreferencesSpec) -> None:
    weights = preferences.weights
    if weights and sum(weights.values()) <= 0:
        raise SpecError("the weights sum to zero", "make one positive", path=("preferences", "weights"))
    for name in weights:
        if kpis[name].role in ("monitor", "counter"):
            raise SpecError(
                f"'{name}' is weighted but its role is {kpis[name].role}",
                "drop the weight, or set role: objective",
                path=("preferences", "weights", name),
            )
        if len(weights) > 1 and name not in preferences.scale:
            raise SpecError(
                f"'{name}' has a weight but no scale",
                f"add preferences.scale.{name}: [worst, best], or payoff",
                path=("preferences", "weights", name),
            )


def _check_scale(kpis: Mapping[str, Kpi], preferences: PreferencesSpec) -> None:
    for name, ends in preferences.scale.items():
        if ends == "payoff":
            continue
        worst, best = ends
        rising = kpis[name].direction == "maximize"
        path = ("preferences", "scale", name)
        if (best > worst) != rising or best == worst:
            raise SpecError(
                f"[{worst:g}, {best:g}] is not from worst to best for a KPI to {kpis[name].direction}",
                "write [worst, best]",
                path=path,
            )
        check_range(name, worst, best, path)


def check_range(name: str, worst: float, best: float, path: tuple[str, ...]) -> None:
    """Refuse a scale too narrow to carry a trade-off (`SMALLEST_RANGE` of its own numbers)."""
    size = max(abs(worst), abs(best))
    if abs(best - worst) < SMALLEST_RANGE * size:
        raise SpecError(
            f"the scale of '{name}', {worst:g} to {best:g}, is narrower than {SMALLEST_RANGE:.1%} of its values: "
            "a trivial difference would count like a full step",
            "pin a scale that means something, or make the KPI a guardrail or a monitor",
            path=path,
        )
