"""Why a line gains or gives: what its next money is worth in its trade-off, today and under the plan."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..explain import ImpliedTradeoff
from ..measured import kpi_means
from ..plan import Plan, plain
from ..simulate import Simulator
from .effects import PER
from .robustness import worth

Floats = NDArray[np.float64]
Row = dict[str, Any]
# The step that slopes are taken over, as a share of all spend, and what is no move, likewise.
STEP = 1e-6
NO_MOVE = 1e-6
MORE, LESS = "its next money is worth more than elsewhere", "its next money is worth less than elsewhere"


def line_worth(plan: Plan, today: Plan, implied: ImpliedTradeoff | None) -> list[Row]:
    """Return what the next 1,000 on each line is worth, and why its spend changes.

    Worth is on the stated scale or in the unit of the objective, whatever the certificate measures in: the slope
    of the expected KPIs, derived ones included, each weighed as stated; under targets and priorities by the
    weights ``implied``, those for which the plan is the best one.

    Returns
    -------
    list of dict
        ``line``, ``current`` and ``plan`` (worth of the next 1,000), ``reason``. Empty where no trade-off
        gives money a single worth.
    """
    weighed = worth(plan) or _implied(implied)
    if weighed is None:
        return []
    before, after = (_slopes(each, weighed) for each in (today, plan))
    even = "as far as rules over several lines allow" if _shared(plan) else "until all are even"
    still = NO_MOVE * float(plan.totals.sum())
    rows = []
    for place, (line, row) in enumerate(plan.allocation.iterrows()):
        gains, end = row["difference"] > 0, "up to its limit" if row["difference"] > 0 else "down to its limit"
        reason = f"{MORE if gains else LESS}, {end if row['stopped_by'] else even}"
        if abs(row["difference"]) <= still:
            reason = "as today: " + ("its limits hold it" if row["stopped_by"] else "no move of it gains anything")
        rows.append({"line": line, "current": plain(before[place]), "plan": plain(after[place]), "reason": reason})
    return rows


def _implied(tradeoff: ImpliedTradeoff | None) -> dict[str, float] | None:
    """What one more unit of each objective counts for under implied weights."""
    if tradeoff is None or tradeoff.weights is None:
        return None
    ends = tradeoff.scale
    return {str(name): float(w) / (ends[name][1] - ends[name][0]) for name, w in tradeoff.weights.items()}


def _shared(plan: Plan) -> bool:
    """Whether anything but the budget and the lines' own limits binds."""
    own = ("budget: ", *(f"{line}: " for line in plan.scenario.lines))
    return any(not str(rule).startswith(own) for rule in plan.rules.index[plan.rules["binding"]])


def _slopes(plan: Plan, weighed: dict[str, float]) -> Floats:
    """Worth of the next 1,000 on each line: (L,)."""
    spend = plan.spend.to_numpy(dtype=float)
    step = STEP * max(float(spend.sum()), 1.0)
    totals = plan.totals.to_numpy(dtype=float)
    plans = np.tile(spend, (len(totals) + 1, *[1] * spend.ndim))
    for line in range(len(totals)):
        share: Any = 1.0
        if spend.ndim > 1:
            share = spend[line] / totals[line] if totals[line] > 0 else plan.scenario.shares[line]
        plans[line + 1, line] += step * share
    leaves = Simulator.of(plan.scenario).outcomes(plans)
    kpis = kpi_means(plan.scenario, leaves, plans)
    value = np.sum([factor * kpis[name] for name, factor in weighed.items()], axis=0)
    return np.asarray(PER * (value[1:] - value[0]) / step)
