"""Who a plan is for: spend and what it brings, by each attribute of the lines."""

from __future__ import annotations

from typing import Any

from ..audit.segments import by_segment
from ..plan import Plan, plain

Row = dict[str, Any]
UNNAMED = "(none)"
# What tells every line from every other: the allocation has it.
OWN = ("name", "line")


def segments(plan: Plan, today: Plan) -> list[Row]:
    """Return a plan split up by each attribute that tells its lines apart.

    Returns
    -------
    list of dict
        ``attribute`` and ``rows``: ``segment``, ``current`` and ``plan`` (currency over the horizon), their shares
        ``share_current`` and ``share``, and ``kpis``: by additive KPI ``current``, ``expected`` (what the lines
        add, what earlier spend carries in included) and ``share``.
    """
    scenario = plan.scenario
    lines = scenario.spec.lines
    names = dict.fromkeys(name for line in lines for name in line.attributes if name not in OWN)
    found = []
    for attribute in names:
        if len({line.attributes.get(attribute) for line in lines}) < 2:
            continue
        before, after = by_segment(today, attribute), by_segment(plan, attribute)
        rows = []
        for segment in after.index:
            kpis = {
                kpi: {
                    "current": plain(before.loc[segment, kpi]),
                    "expected": plain(after.loc[segment, kpi]),
                    "share": plain(after.loc[segment, f"{kpi} share"]),
                }
                for kpi in scenario.tree.leaves
            }
            row = {"segment": str(segment) or UNNAMED, "kpis": kpis}
            for key, table in (("current", before), ("plan", after)):
                row[key] = plain(table.loc[segment, "spend"])
            row["share_current"] = plain(before.loc[segment, "spend share"])
            row["share"] = plain(after.loc[segment, "spend share"])
            rows.append(row)
        found.append({"attribute": attribute, "rows": rows})
    return found
