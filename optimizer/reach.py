"""Can the targets be reached at this budget? Each is tried with its KPI as the only objective, and proven."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import InfeasibleError, SolverError, SpecError
from .kpis import SPEND, Kpi
from .measured import kpi_means
from .simulate import Simulator, simulate
from .solve.routes import solve
from .targets import Direction, Percentile, Target, reaches, required

if TYPE_CHECKING:
    from .plan import Plan
    from .scenario import Scenario

Floats = NDArray[np.float64]
Limit = float | tuple[float, float]
Verdict = Literal["reachable", "unreachable", "undecided"]

# A value this close to its limit, as a share of it, has reached it: solvers stop within such a gap.
CLOSE = 1e-6
STEPS = 20


@dataclass(frozen=True)
class Reach:
    """Whether one KPI's target can be reached.

    Attributes
    ----------
    kpi : str
        The KPI with the target.
    verdict : "reachable", "unreachable" or "undecided"
        ``reachable``: a plan that keeps the rules does it. ``unreachable``: proven that none does.
    required : float or (float, float) or None
        What a plan must reach, in the KPI's unit; None where the target cannot be worked out.
    best : float
        The best value of a plan that was found; of a percentile, the largest share of draws; NaN if unknown.
    words : str
        The verdict with its figures, for people.
    """

    kpi: str
    verdict: Verdict
    required: Limit | None
    best: float
    words: str


@dataclass(frozen=True)
class _Optimum:
    """The best plan for one KPI alone, its value, and whether a limit is proven to be beyond every plan."""

    plan: Plan
    value: float
    beyond: bool


def reachability(scenario: Scenario) -> tuple[Reach, ...]:
    """Say of each KPI with a target whether it can be reached under the constraints, floors aside.

    The KPI is optimised alone. Ratios are optimised by Dinkelbach's method (Management Science 13, 1967): the
    best ``n / d`` is the ``r`` for which the best ``n - r d`` is zero.

    Returns
    -------
    tuple of Reach
        In the order of the KPIs.

    Raises
    ------
    InfeasibleError
        If no plan keeps the constraints.
    """
    targets = {name: kpi.target for name, kpi in scenario.spec.kpis.items() if kpi.target is not None}
    today = _expected(scenario, scenario.today) if targets else {}
    return tuple(_reach(scenario, name, target, today[name]) for name, target in targets.items())


def _reach(scenario: Scenario, name: str, target: Target, today: float) -> Reach:
    kpi = scenario.spec.kpis[name]
    try:
        limit = required(target, today)
    except SpecError as error:
        return Reach(name, "undecided", None, np.nan, f"undecided: {error.message}; {error.hint}")
    try:
        if isinstance(limit, tuple):
            return _band(scenario, name, limit, today)
        assert kpi.direction is not None, "only a band goes without: see Kpi"
        if target.percentile is not None:
            return _percentile(scenario, name, target.percentile, kpi.direction)
        return _level(scenario, name, limit, kpi.direction)
    except SolverError as error:
        reason = error.message
    has_it = target.percentile is None and bool(reaches(np.array(today), limit, kpi.direction))
    if has_it and _keeps(scenario, scenario.today):
        return Reach(name, "reachable", limit, today, f"reachable: today's plan has {_amount(today, kpi)}")
    return Reach(name, "undecided", limit, np.nan, f"undecided: {reason}")


def _level(scenario: Scenario, name: str, limit: float, direction: Direction) -> Reach:
    kpi = scenario.spec.kpis[name]
    best = _optimum(scenario, name, direction, limit)
    sign = 1.0 if direction == "maximize" else -1.0
    figures = f"{_figure(best.value)} against {_amount(limit, kpi)}"
    of_it = f"best is {_percent(best.value / limit)} of it ({figures})" if limit > 0 else f"best is {figures}"
    if sign * (best.value - limit) >= -CLOSE * max(abs(limit), abs(best.value)):
        return Reach(name, "reachable", limit, best.value, f"reachable: {of_it}")
    if best.beyond:
        return Reach(name, "unreachable", limit, best.value, f"unreachable: {of_it}")
    return Reach(name, "undecided", limit, best.value, f"undecided: no proof; the best plan found: {of_it}")


def _band(scenario: Scenario, name: str, band: tuple[float, float], today: float) -> Reach:
    """Look for the highest and the lowest value; between two plans every value is some plan's."""
    kpi = scenario.spec.kpis[name]
    found = [today] if _keeps(scenario, scenario.today) else []
    ends: tuple[tuple[Direction, float], ...] = (("maximize", band[0]), ("minimize", band[1]))
    text, reason = f"{_figure(band[0])} to {_amount(band[1], kpi)}", "no proof"
    for direction, end in ends:
        try:
            best = _optimum(scenario, name, direction, end)
        except SolverError as error:
            reason = error.message
            continue
        if best.beyond:
            word = "best" if direction == "maximize" else "least"
            figures = f"{word} is {_figure(best.value)} of {text}"
            if end > 0:
                edge = "lower" if direction == "maximize" else "upper"
                figures = f"{word} is {_percent(best.value / end)} of its {edge} end ({figures})"
            return Reach(name, "unreachable", band, best.value, f"unreachable: {figures}")
        found.append(best.value)
    values = np.array(found)
    inside = values[reaches(values, band, None)]
    # On/off rules leave holes: then a plan on either side says nothing about the middle.
    whole = scenario.polyhedron.switches is None
    if len(inside):
        return Reach(name, "reachable", band, float(inside[0]), f"reachable: {_figure(inside[0])} of {text}")
    if whole and len(values) and values.min() < band[0] and values.max() > band[1]:
        words = f"reachable: plans have {_figure(values.min())} to {_figure(values.max())}, {text} wanted"
        return Reach(name, "reachable", band, np.nan, words)
    return Reach(name, "undecided", band, np.nan, f"undecided: {reason}")


def _percentile(scenario: Scenario, name: str, target: Percentile, direction: Direction) -> Reach:
    kpi = scenario.spec.kpis[name]
    shares, worst_first = [], np.arange(0)
    for preferences in _percentile_preferences(name, target):
        try:
            plan = solve(_alone(scenario, name, direction, target.value, preferences))
        except (InfeasibleError, SolverError):
            # The floor only helps the search: without it, there was a plan.
            if not preferences:
                raise
            continue
        draws = simulate(scenario, plan.spend)[name].to_numpy()
        shares.append(float(reaches(draws, target.value, direction).mean()))
        if shares[-1] >= target.share:
            break
        worst_first = np.argsort(draws if direction == "maximize" else -draws)
    best = max(shares)
    words = f"{_amount(target.value, kpi)} in {_percent(best)} of draws, {_percent(target.share)} wanted"
    if best >= target.share:
        return Reach(name, "reachable", target.value, best, f"reachable: {words}")
    if _too_many_beyond(scenario, name, target, direction, worst_first):
        return Reach(name, "unreachable", target.value, best, f"unreachable: the best plan found has {words}")
    return Reach(name, "undecided", target.value, best, f"undecided: no proof; the best plan found has {words}")


def _too_many_beyond(
    scenario: Scenario, name: str, target: Percentile, direction: Direction, worst_first: NDArray[np.intp]
) -> bool:
    """Whether so many draws miss the value under any plan, each draw's own best one too, that too few are left."""
    alone = _alone(scenario, name, direction, target.value)
    for missing, draw in enumerate(worst_first, start=1):
        plan = solve(replace(alone, response=alone.response.one_draw(int(draw))))
        if not _beyond(scenario, name, direction, target.value, plan):
            return False
        if (len(worst_first) - missing) / len(worst_first) < target.share:
            return True
    return False


def _percentile_preferences(name: str, target: Percentile) -> Iterator[dict[str, Any]]:
    yield {}
    if 0.5 <= target.share < 1:
        yield {"floors": {name: {"value": target.value, "probability": target.share}}}


def _optimum(scenario: Scenario, name: str, direction: Direction, limit: float) -> _Optimum:
    sign = 1.0 if direction == "maximize" else -1.0
    plan = solve(_alone(scenario, name, direction, limit))
    value = _expected(scenario, plan.spend.to_numpy())[name]
    beyond = _beyond(scenario, name, direction, limit, plan)
    if scenario.tree.affine(name) is not None:
        return _Optimum(plan, value, beyond)
    for _ in range(STEPS):
        if not np.isfinite(value):
            raise SolverError(f"'{name}' has no value in the plan that is best for it: its denominator is zero")
        better = solve(_alone(scenario, name, direction, value))
        found = _expected(scenario, better.spend.to_numpy())[name]
        if not sign * (found - value) > CLOSE * abs(value):
            break
        plan, value = better, found
    return _Optimum(plan, value, beyond)


def _beyond(scenario: Scenario, name: str, direction: Direction, limit: float, plan: Plan) -> bool:
    """Whether the best plan for a KPI alone proves that none has the limit."""
    if scenario.tree.affine(name) is None:
        # What was optimised is the room that a ratio's parts leave to the limit.
        return plan.certificate.bound < 0
    return plan.certificate.bound < limit if direction == "maximize" else plan.certificate.bound > limit


def _alone(
    scenario: Scenario,
    name: str,
    direction: Direction,
    limit: float,
    preferences: Mapping[str, Any] | None = None,
) -> Scenario:
    """Return the scenario with one KPI as its objective; of a ratio, the room its parts leave to the limit."""
    data = scenario.resolved()
    del data["hash"]
    for kpi in data["kpis"].values():
        kpi["role"] = "monitor"
        for field in ("target", "thresholds"):
            kpi.pop(field, None)
    data["preferences"] = dict(preferences or {})
    data["kpis"][name]["direction"] = direction
    if scenario.tree.affine(name) is None:
        parts = _ratio(scenario, name)
        allowed, room = (_new_name(data["kpis"], f"{word} {name[:150]}") for word in ("allowed for", "room in"))
        data["kpis"][allowed] = {"product": [limit, parts[1]]}
        sides = [parts[0], allowed] if direction == "maximize" else [allowed, parts[0]]
        data["kpis"][room] = {"difference": sides, "direction": "maximize", "role": "objective"}
    else:
        data["kpis"][name]["role"] = "objective"
    return scenario.restated(data)


def _ratio(scenario: Scenario, name: str) -> list[str | float]:
    """Return numerator and denominator, after checking that the ratio can be optimised by them."""
    parts, sides = scenario.spec.kpis[name].ratio, scenario.tree.ratio(name)
    if parts is None or sides is None:
        raise SolverError(f"the formula of '{name}' is not linear in its parts: no route can prove its best plan")
    factors = np.array([sides[1].coefficients.get(leaf, 0.0) for leaf in scenario.tree.leaves])
    rising = sides[1].coefficients.get(SPEND, 0.0) >= 0 and bool(np.all(factors >= 0))
    if not rising or sides[1].constant + float((scenario.baseline @ factors).min()) < 0:
        raise SolverError(f"the denominator of '{name}' may be negative: no route can prove its best plan")
    return parts


def _new_name(names: Collection[str], wanted: str) -> str:
    while wanted in names:
        wanted += "_"
    return wanted


def _expected(scenario: Scenario, spend: Floats) -> dict[str, float]:
    """Every KPI of one plan (L,) or (L, T), expected."""
    plans = spend[None]
    leaves = Simulator.of(scenario).outcomes(plans)
    return {name: float(value[0]) for name, value in kpi_means(scenario, leaves, plans).items()}


def _keeps(scenario: Scenario, spend: Floats) -> bool:
    """Whether a plan keeps every rule, to a millionth of the money."""
    room = CLOSE * max(float(spend.sum()), 1.0)
    switches = scenario.polyhedron.switches
    kept = bool(np.all(scenario.polyhedron.slack(spend) >= -room))
    return kept and (switches is None or switches.kept(spend, room))


def _amount(value: float, kpi: Kpi) -> str:
    return f"{_figure(value)} {kpi.unit}".rstrip()


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _percent(share: float) -> str:
    """Write a share in percent, with as many decimals as it takes not to claim 100 % wrongly."""
    for decimals in range(4):
        text = f"{100 * share:,.{decimals}f}"
        if float(text.replace(",", "")) != 100 or abs(share - 1) <= CLOSE:
            break
    return f"{text} %"
