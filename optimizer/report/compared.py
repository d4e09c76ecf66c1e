"""The report of a comparison: one page that opens from disk and loads nothing, in the style of a plan's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from . import bars
from .drawing import Figure, axis_title
from .html import environment

Row = dict[str, Any]
# Beyond so many scenarios their bars by line are left to the table.
MOST_MOVES = 8


@dataclass(frozen=True)
class ComparedCharts:
    """The charts of a comparison, drawn from the content of comparison.json."""

    data: Mapping[str, Any]

    @cached_property
    def differences(self) -> list[Figure]:
        """Each KPI's difference from the base by scenario, with its interval."""
        found = []
        for kpi in dict.fromkeys(row["kpi"] for row in self.data["differences"]):
            rows = [
                {
                    "line": row["scenario"],
                    "difference": row["difference"],
                    "difference_low": row["low"],
                    "difference_high": row["high"],
                    "unit": row["unit"],
                }
                for row in self.data["differences"]
                if row["kpi"] == kpi
            ]
            if any(row["difference"] is not None for row in rows):
                title = f"Difference, {axis_title(kpi, rows[0]['unit'])}"
                found.append(bars.forest(kpi, title, rows, "difference"))
        return found

    @cached_property
    def moves(self) -> list[Figure]:
        """Change of spend by line, a chart a scenario; none where there are too many to look at."""
        names = list(dict.fromkeys(row["scenario"] for row in self.data["moves"]))
        if len(names) > MOST_MOVES:
            return []
        rows = {name: [row for row in self.data["moves"] if row["scenario"] == name] for name in names}
        return [bars.spend_change(rows[name], self.data["currency"], name) for name in names]

    def named(self) -> list[tuple[str, Figure]]:
        """Every chart with a name of its own."""
        kinds = (("difference", self.differences), ("moves", self.moves))
        return [(f"{kind} {figure.caption}", figure) for kind, figures in kinds for figure in figures]


def render_comparison(data: Mapping[str, Any]) -> str:
    """Render a comparison's report from the content of its JSON; text from files is escaped."""
    outcomes = {name: {row["kpi"]: row for row in plan["outcomes"]} for name, plan in data["plans"].items()}
    regret = {(row["plan"], row["scenario"]): row for row in data["regret"]}
    page = environment().get_template("compare.html")
    return page.render(
        data=data,
        title=f"{data['base']} – comparison",
        level=round(100 * data["interval"]),
        kpis=list(outcomes[data["base"]].values()),
        outcomes=outcomes,
        # Less than a millionth of what the base has is rounding.
        stakes={name: abs(row["expected"] or 0.0) for name, row in outcomes[data["base"]].items()},
        known=any(row["draws"] != "one" for row in data["differences"]),
        spread=any(row["low"] is not None for kpis in outcomes.values() for row in kpis.values()),
        regret=regret,
        measures={name: plan["certificate"]["measure"] for name, plan in data["plans"].items()},
        charts=ComparedCharts(data),
        script=None,
    )
