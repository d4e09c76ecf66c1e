"""What is printed of the tests that would teach most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from .formats import clean, number, percent
from .tables import block, columns, two

if TYPE_CHECKING:
    from ..next_test import NextTest

SHOWN = 5


def print_next_test(console: Console, found: NextTest) -> None:
    """Print the tests worth most, one a line: size, expected gain, and the lift each KPI is expected to show."""
    scenario = found.plan.scenario
    kpis, currency = list(found.error), scenario.spec.currency
    best = found.table.drop_duplicates("line").head(SHOWN)
    evidence = any(line.limits is not None for line in scenario.spec.lines)
    then = [f"{currency} then"] if evidence else []
    table = columns(
        "Test", f"{currency} a {scenario.spec.horizon.every}", *then, "Typical", "Worth", "Chance", *kpis
    )
    for _, row in best.iterrows():
        size = float(row["spend"])
        what = "off" if size == 0 else percent(size - 1, sign=True)
        lifts = (two(number(float(row[f"lift {kpi}"])), f"± {number(float(row[f'doubt {kpi}']))}") for kpi in kpis)
        typical = float(row["typical"]) / found.perfect if found.perfect > 0 else 0.0
        shares = [percent(typical), *(percent(float(row[name])) for name in ("gain_share", "chance"))]
        ends = [two(f"{number(float(row['min']))} to", number(float(row["max"])))] if evidence else []
        table.add_row(two(clean(row["line"]), what), number(float(row["amount"])), *ends, *shares, *lifts)
    console.print()
    every = f"{scenario.spec.horizon.every}s"
    foot = (
        f"{found.periods} {every} each, reckoned from {found.draws:,} draws. Typical: the gain from planning "
        "again with the result in the middle draw, which decides what comes first; worth: on average. Both are "
        "shares of what knowing everything would gain. Chance: how often the new plan would be better; a result "
        "may also change nothing. "
    )
    if evidence:
        foot += (
            f"Then: what the line may get in all {scenario.spec.horizon.periods} {every}, once its limits reach "
            "as far as it was tested. "
        )
    foot += f"Lifts are what is expected and the doubt; measured to {percent(_error(found))} of the KPI."
    console.print(block("What to test next", table, foot))


def _error(found: NextTest) -> float:
    """Standard error of a measured lift, as a share of the KPI."""
    kpi = next(iter(found.error))
    usual = float(found.plan.outcomes.loc[kpi, "current"]) / found.plan.scenario.spec.horizon.periods
    return found.error[kpi] / abs(usual * found.periods)
