"""What steering by the ad platform's KPI costs in the KPI that the business wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import proxies
from ..errors import SpecError
from ..plan import Plan, plain, records
from ..simulate import Simulator
from .verdict import Verdict

if TYPE_CHECKING:
    from ..scenario import Scenario

Floats = NDArray[np.float64]

# Smaller changes of a KPI than this share of it are taken for none.
TOLERANCE = 0.01
# Marginal returns closer to each other than this are tied: at an optimum they are equal but for rounding.
TIED = 1e-3
INTERVAL = (0.05, 0.95)


@dataclass(frozen=True)
class Alignment:
    """The best plan for the platform's KPI held against the best one for the business.

    Attributes
    ----------
    kpi, goal : str
        The platform's KPI, and the KPI in whose units the loss is told.
    platform, business : Plan
        The plan that is best for the platform's KPI alone, under the rules but without floors: the platform
        knows of none. The plan that is best under the scenario's stated preferences.
    outcomes : DataFrame
        By KPI: ``today``, ``platform``, ``business`` (KPI units over the horizon), ``change`` (platform against
        business, a share; NaN where the business plan's is not positive) and ``unit``.
    regret : float
        What the platform's plan loses of the goal against the business plan: KPI units, positive is a loss.
    change : float
        The same as a share of the goal under the business plan; -0.306 is 30.6 % less.
    low, high : float
        90 % interval of ``change`` over the draws; NaN with a single draw.
    rank : float
        Kendall's tau between the lines' marginal returns in the two KPIs, at the plan half way between the two
        (at today's where the two are the same); NaN where one KPI's returns are all tied.
    moves : DataFrame
        By line: ``today``, ``platform``, ``business``, ``move`` (from the platform's plan to the business plan;
        currency), ``kpi per 1000`` and ``goal per 1000`` (at the plan half way), ``worth`` (units of the goal
        that one more unit of the platform's KPI stands for on this line: what to report to the platform as its
        value).
    verdict : Verdict
    """

    kpi: str
    goal: str
    platform: Plan
    business: Plan
    outcomes: pd.DataFrame
    regret: float
    change: float
    low: float
    high: float
    rank: float
    moves: pd.DataFrame
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data, numbers unrounded; NaN becomes null."""
        numbers = {name: plain(getattr(self, name)) for name in ("regret", "change", "low", "high", "rank")}
        return {
            "audit": "alignment",
            "scenario": self.business.scenario.name,
            "scenario_hash": self.business.scenario.hash,
            "platform_kpi": self.kpi,
            "goal": self.goal,
            **numbers,
            "outcomes": records(self.outcomes),
            "moves": records(self.moves),
            "certificates": {
                name: {"guarantee": plan.certificate.guarantee, "gap": plain(plan.certificate.gap)}
                for name, plan in (("platform", self.platform), ("business", self.business))
            },
            "verdict": self.verdict.to_dict(),
        }


def alignment(scenario: Scenario, *, goal: str | None = None, tolerance: float = TOLERANCE) -> Alignment:
    """Compare what the ad platform is set to optimise with what the scenario's preferences ask for.

    Red where the platform's KPI goes up while the goal goes down by more than the tolerance, from the business
    plan or from today's to the platform's; yellow where the loss is that large but not in 95 % of the draws.

    Parameters
    ----------
    scenario : Scenario
        With a ``platform_kpi``.
    goal : str, optional
        The KPI in whose units the loss is told; what the platform's KPI stands for unless given, else the
        only KPI that the preferences count.
    tolerance : float
        Share of a KPI below which a change counts as none.

    Raises
    ------
    SpecError
        If the scenario has no ``platform_kpi``, it or the goal has no direction, or it is not clear what the
        goal is.
    InfeasibleError, SolverError
        As `solve`.
    """
    from ..solve.routes import solve

    kpi, goal = _pair(scenario, goal)
    business = solve(scenario)
    platform = business if kpi == goal and _alone(scenario, goal) else solve(only(scenario, kpi))
    outcomes = _outcomes(scenario, platform, business)
    loss, draws = _loss(platform, business, goal)
    low, high = np.quantile(draws, INTERVAL) if len(draws) > 1 else (np.nan, np.nan)
    here = float(business.outcomes.loc[goal, "expected"])
    change = float(outcomes.loc[goal, "change"])
    middle = _half_way(scenario, platform, business)
    rises = _marginal(scenario, middle, kpi), _marginal(scenario, middle, goal)
    verdict = _verdict(scenario, (kpi, goal), outcomes, loss / abs(here) if here else np.nan, draws, tolerance)
    moves = _moves(scenario, platform, business, *rises)
    rank = _rank(*rises)
    return Alignment(
        kpi, goal, platform, business, outcomes, loss, change, float(low), float(high), rank, moves, verdict
    )


def _pair(scenario: Scenario, goal: str | None) -> tuple[str, str]:
    """Return the platform's KPI and the goal, or say what is missing."""
    kpis, kpi = scenario.spec.kpis, scenario.spec.platform_kpi
    if kpi is None:
        raise SpecError(
            "the scenario does not say what the ad platform optimises",
            "add platform_kpi, the KPI the platform is set to",
            path=("platform_kpi",),
        )
    if goal is None:
        goal = kpi
        while (end := kpis[goal].proxy_for) is not None:
            goal = end
        counted = proxies.counted(scenario)
        if goal == kpi and kpi not in counted:
            if len(counted) > 1:
                raise SpecError(
                    f"the preferences count {' and '.join(counted)}: which is '{kpi}' held against?",
                    f"name one with --goal, or say what it stands for in kpis.{kpi}.proxy_for",
                )
            goal = counted[0]
    for name in (kpi, goal):
        if name not in kpis:
            raise SpecError(f"unknown KPI '{name}'", f"KPIs are: {', '.join(kpis)}")
        if kpis[name].direction is None:
            raise SpecError(
                f"'{name}' has no direction", "add direction: maximize or minimize", path=("kpis", name)
            )
    return kpi, goal


def _alone(scenario: Scenario, goal: str) -> bool:
    return proxies.counted(scenario) == (goal,) and not scenario.spec.preferences.floors


def only(scenario: Scenario, kpi: str) -> Scenario:
    """Return the scenario with one KPI to optimise and no floors; the rules stay.

    What audits found of proxies is left out: the plan is for comparison, and nobody acts on it.
    """
    data = scenario.spec.model_dump(exclude_none=True, exclude={"hash"})
    data["preferences"] = {}
    for name, spec in data["kpis"].items():
        spec["role"] = "objective" if name == kpi else "monitor"
        spec.pop("proxy", None)
    return scenario.restated(data)


def _outcomes(scenario: Scenario, platform: Plan, business: Plan) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "today": business.outcomes["current"],
            "platform": platform.outcomes["expected"],
            "business": business.outcomes["expected"],
        }
    )
    table["change"] = np.where(table["business"] > 0, table["platform"] / table["business"] - 1.0, np.nan)
    table["unit"] = [scenario.spec.kpis[str(name)].unit for name in table.index]
    return table


def _sign(scenario: Scenario, name: str) -> float:
    return 1.0 if scenario.spec.kpis[name].direction == "maximize" else -1.0


def _loss(platform: Plan, business: Plan, goal: str) -> tuple[float, Floats]:
    """Return what the goal loses on average, KPI units, and by draw as a share of the business plan's: (D,)."""
    from ..measured import kpi_values

    scenario = business.scenario
    plans = np.stack([platform.spend.to_numpy(dtype=float), business.spend.to_numpy(dtype=float)])
    draws = kpi_values(scenario, Simulator.of(scenario).outcomes(plans), plans)[goal]
    mean = platform.outcomes.loc[goal, "expected"] - business.outcomes.loc[goal, "expected"]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(draws[1] > 0, draws[0] / draws[1] - 1.0, np.nan)
    return -_sign(scenario, goal) * float(mean), shares


def _half_way(scenario: Scenario, platform: Plan, business: Plan) -> Floats:
    one, other = platform.spend.to_numpy(dtype=float), business.spend.to_numpy(dtype=float)
    if np.abs(one - other).sum() <= TOLERANCE * max(other.sum(), 1.0):
        return scenario.today
    return 0.5 * (one + other)


def _marginal(scenario: Scenario, spend: Floats, name: str) -> Floats:
    """What the next unit of currency on each line adds to a KPI, derived ones too: (L,) KPI units.

    Derived KPIs by central differences of a ten-thousandth of the plan's spend; with free flighting a line's money
    is spread as the line's own is.
    """
    from ..measured import kpi_means

    step = 1e-4 * max(float(spend.sum()), 1.0)
    totals = spend if spend.ndim == 1 else spend.sum(axis=1)
    plans = []
    for line in range(len(totals)):
        for sign in (1.0, -1.0):
            moved = spend.copy()
            room = sign * step if sign > 0 else -min(step, totals[line])
            if spend.ndim == 1:
                moved[line] += room
            else:
                shares = spend[line] / totals[line] if totals[line] > 0 else 1.0 / spend.shape[1]
                moved[line] += room * shares
            plans.append(moved)
    stack = np.stack(plans)
    leaves = Simulator.of(scenario).outcomes(stack)
    values = kpi_means(scenario, leaves, stack)[name].reshape(-1, 2)
    widths = step + np.minimum(step, totals)
    return (values[:, 0] - values[:, 1]) / widths * _sign(scenario, name)


def _rank(kpi: Floats, goal: Floats) -> float:
    """Kendall's tau-b of two lists, values within `TIED` of each other's size taken for equal."""
    from scipy.stats import kendalltau

    def rounded(values: Floats) -> Floats:
        size = float(np.abs(values).max(initial=0.0))
        return np.round(values / (TIED * size)) if size > 0 else np.zeros_like(values)

    one, other = rounded(kpi), rounded(goal)
    if len(one) < 2 or np.ptp(one) <= 1 or np.ptp(other) <= 1:
        return float("nan")
    return float(kendalltau(one, other).statistic)


def _moves(scenario: Scenario, platform: Plan, business: Plan, kpi: Floats, goal: Floats) -> pd.DataFrame:
    table = pd.DataFrame(
        {"today": scenario.current, "platform": platform.totals, "business": business.totals},
        index=business.totals.index,
    )
    table["move"] = table["business"] - table["platform"]
    table["kpi per 1000"], table["goal per 1000"] = 1000.0 * kpi, 1000.0 * goal
    table["worth"] = np.divide(goal, kpi, out=np.full_like(goal, np.nan), where=kpi > 0)
    return table


def _verdict(
    scenario: Scenario,
    names: tuple[str, str],
    outcomes: pd.DataFrame,
    loss: float,
    draws: Floats,
    tolerance: float,
) -> Verdict:
    kpi, goal = names
    gains = {start: _gains(scenario, names, outcomes, start) for start in ("business", "today")}
    parted = [start for start, (up, down) in gains.items() if up > tolerance and down < -tolerance]
    said = (
        f"steering by {kpi} costs {100 * max(loss, 0.0):.1f} % of {goal} against the plan the preferences ask for"
    )
    if not np.isfinite(loss):
        return Verdict(
            "grey", "cannot be told", f"{goal} has no value under the business plan", "check its formula"
        )
    if loss <= tolerance and not parted:
        return Verdict(
            "green", "aligned", f"{said}: the two plans do the same for it", "leave the platform as it is"
        )
    worse = float(np.mean(_sign(scenario, goal) * draws < 0))
    if len(draws) > 1 and worse < INTERVAL[1]:
        reason = f"{said}, but the evidence is unsure: {goal} is worse in {100 * worse:.0f} % of the draws only"
        return Verdict("yellow", "may be misaligned", reason, f"measure {goal} by line before moving money")
    best = "business" if "business" in parted or not parted else "today"
    up, down = gains[best]
    from_ = "the business plan" if best == "business" else "today's plan"
    return Verdict(
        "red",
        "misaligned",
        f"{said}: going from {from_} to the platform's makes {kpi} {100 * up:.1f} % better and "
        f"{goal} {-100 * down:.1f} % worse",
        f"make the moves below, or report each line's {kpi} to the platform at its worth in {goal}",
    )


def _gains(scenario: Scenario, names: tuple[str, str], outcomes: pd.DataFrame, start: str) -> tuple[float, float]:
    """Shares by which both KPIs get better from a plan to the platform's; 0 where a share says nothing."""
    found = []
    for name in names:
        before, after = float(outcomes.loc[name, start]), float(outcomes.loc[name, "platform"])
        sound = before > 0 and np.isfinite(after)
        found.append(_sign(scenario, name) * (after / before - 1.0) if sound else 0.0)
    return found[0], found[1]
