"""All charts of a report, drawn once: by section for the page, by name for files of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from . import bars
from .charts import CurveGroup, budget_charts, flighting_chart, front_charts, response_curves
from .drawing import Figure, axis_title
from .view import View

if TYPE_CHECKING:
    import altair as alt

    from ..front import Front
    from ..plan import Plan


@dataclass(frozen=True)
class Charts:
    """The charts of a view; a section without any has an empty list."""

    view: View

    @cached_property
    def change(self) -> list[Figure]:
        """Change of spend by line."""
        return [bars.spend_change(self.view.lines, self.view.currency)]

    @cached_property
    def waterfall(self) -> list[Figure]:
        """From today to the plan, a chart a KPI."""
        found = []
        for row in self.view.data["outcomes"]:
            if row["kpi"] in self.view.moved:
                effects = self.view.effects(row["kpi"])
                found.append(bars.waterfall(row["kpi"], row["unit"], row["current"], row["expected"], effects))
        return found

    @cached_property
    def returns(self) -> dict[str, list[Figure]]:
        """By KPI: marginal returns, returns, costs, and shares of spend and effect."""
        money = self.view.currency
        found = {}
        for kpi in self.view.moved:
            rows, of = self.view.effects(kpi), axis_title(kpi, self.view.unit(kpi))
            found[kpi] = [
                bars.dumbbells("What the next 1,000 brings", of, rows, "marginal_current", "marginal"),
                bars.forest("Return per 1,000 spent", of, rows, "return", "return_current"),
                bars.forest("Cost of one", f"{money} per unit of {kpi}", rows, "cost"),
                bars.shares("Share of spend and of the effect", rows),
            ]
        return found

    @cached_property
    def budgets(self) -> list[Figure]:
        """Each objective by budget."""
        return budget_charts(self.view)

    @cached_property
    def front(self) -> list[Figure]:
        """The front, a chart a pair of objectives."""
        return front_charts(self.view)

    @cached_property
    def calendar(self) -> list[Figure]:
        """Spend by line and period."""
        return flighting_chart(self.view)

    @cached_property
    def curves(self) -> list[CurveGroup]:
        """What each line does, by KPI."""
        return response_curves(self.view)

    def named(self) -> Iterator[tuple[str, Figure]]:
        """Every chart with a name of its own, in the order of the page."""
        for name in ("change", "waterfall", "budgets", "front", "calendar"):
            for figure in getattr(self, name):
                yield f"{name} {figure.caption}", figure
        for kpi, figures in self.returns.items():
            for figure in figures:
                yield f"{figure.caption} {kpi}", figure
        for group in self.curves:
            for figure in group.figures:
                yield f"curve {group.kpi} {figure.caption}", figure


def charts_of(plan: Plan, front: Front | None = None) -> dict[str, alt.LayerChart]:
    """Return the report's charts of a plan, and of a front where one is given, to show or restyle in a notebook.

    Parameters
    ----------
    plan : Plan
        Under the scenario's preferences.
    front : Front, optional
        Of the same scenario; without one there is no chart of it.

    Returns
    -------
    dict
        Altair charts by name, such as ``waterfall orders``, in the order of the report. Other budgets are not
        computed for it.
    """
    return {name: figure.chart for name, figure in Charts(View(plan, plan.scenario, front)).named()}
