"""The files of a plan: JSON, CSV, workbook and report; charts of their own where they are asked for."""

from __future__ import annotations

from pathlib import Path

from .drawing import chart_files
from .figures import Charts
from .files import csv_text, json_text, resolved_text
from .html import render
from .plan_book import plan_workbook
from .view import View


def plan_files(view: View, directory: Path, charts: Charts | None = None) -> dict[str, str | bytes]:
    """Return the files of a plan, and of its front where there is one, by name; ``charts`` are not drawn again."""
    found, front = view.plan, view.front
    files: dict[str, str | bytes] = {
        "plan.json": json_text(view.data),
        "spend.csv": csv_text(found.allocation),
        "outcomes.csv": csv_text(found.outcomes),
        "curves.json": json_text({"curves": view.curves}),
        "plan.xlsx": plan_workbook(view),
        "scenario.resolved.yaml": resolved_text(found.scenario, directory),
    }
    if found.scenario.spec.flighting != "flat":
        files["flighting.csv"] = csv_text(found.by_period.set_axis(found.scenario.spec.horizon.starts, axis=1))
    if front is not None and view.front_data is not None:
        files["front.json"] = json_text(view.front_data)
        files["front.csv"] = csv_text(front.points.rename_axis("point"))
    files["report.html"] = render(view, charts)
    return files


def plan_charts(charts: Charts) -> dict[str, str | bytes]:
    """Return every chart of the report as SVG and PNG."""
    return chart_files(charts.named())
