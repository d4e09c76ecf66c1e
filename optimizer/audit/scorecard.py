"""The scorecard: each KPI's value, target, light and trend, with the version of its definition and who owns it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import DataError, SpecError
from ..evidence.tabular import columns
from ..kpis import SPEND, Kpi
from ..plan import plain
from ..targets import light, met, required
from .rows import load

if TYPE_CHECKING:
    from ..ledger import Ledger
    from ..plan import Plan
    from ..scenario import Scenario

BEFORE = 4
"""Periods whose mean the latest is held against for the trend."""
LAYERS = ("operational", "business", "")
Row = dict[str, Any]


@dataclass(frozen=True)
class Scorecard:
    """Where every KPI stands.

    Attributes
    ----------
    scenario : str
        Its name.
    rows : tuple of dict
        One a KPI: ``kpi``, ``layer`` (``operational``, ``business`` or empty), ``role``, ``unit``, ``value``,
        ``period``, ``source`` (``history``, ``ledger`` or ``model``: what the curves say of today's plan over the
        horizon), ``low`` and ``high`` (what the target asks for), ``light``, ``trend`` (the latest against
        the mean of up to `BEFORE` periods before, a share), ``better`` (whether that is the good way), ``series``,
        ``version``, ``owner``, ``notes``.
    """

    scenario: str
    rows: tuple[Row, ...]

    def layer(self, name: str) -> list[Row]:
        """The KPIs of a layer."""
        return [row for row in self.rows if row["layer"] == name]

    def to_dict(self) -> Row:
        """Return everything as plain JSON data."""
        return {"scorecard": self.scenario, "before": BEFORE, "kpis": list(self.rows)}


def read_history(file: Path, date: str, scenario: Scenario) -> pd.DataFrame:
    """Read the KPIs of a scenario from the columns that bear their names; derived ones are recomputed.

    Returns
    -------
    DataFrame
        By date (as text), a column for each KPI that is known.

    Raises
    ------
    DataError, SpecError
        As `rows.load`; if no column is a KPI, or a date stands twice.
    """
    tree = scenario.tree
    header = columns(file)
    there = [name for name in (*tree.kpis, SPEND) if name in header]
    if not set(there) - {SPEND}:
        raise SpecError(
            f"{file} has no column named as a KPI", f"KPIs are: {', '.join(tree.kpis)}", path=("--history",)
        )
    # A KPI may be called as something that audits read as text.
    table = load(file, {"date": date} | {f"kpi {name}": name for name in there}).sort_values("date")
    twice = table["date"].duplicated()
    if twice.any():
        raise DataError(f"{table['date'][twice].iloc[0]} stands twice", "give one row a period", file=str(file))
    table = table.set_index(table.pop("date").astype(str)).rename(columns=lambda name: name.removeprefix("kpi "))
    unknown = np.full(len(table), np.nan)
    leaves = {
        name: table[name].to_numpy(dtype=float) if name in table else unknown
        for name in (*tree.leaves, *tree.functions, SPEND)
    }
    found = pd.DataFrame(tree.evaluate(leaves), index=table.index)
    for name in there:
        if name in tree.derived:
            # As it was measured, where its parts are not known.
            found[name] = found[name].fillna(table[name])
    return found.dropna(axis=1, how="all")


def scorecard(scenario: Scenario, history: pd.DataFrame | None = None, ledger: Ledger | None = None) -> Scorecard:
    """Say where every KPI of a scenario stands.

    Parameters
    ----------
    scenario : Scenario
        Whose definitions, targets and thresholds are used.
    history : DataFrame, optional
        As `read_history` gives it. A KPI that it lacks has its values from the ledger, else from the curves.
    ledger : Ledger, optional
        For versions, values and open reviews.
    """
    from ..simulate import simulate

    today = simulate(scenario, scenario.today).mean()
    rows = []
    for name, kpi in scenario.spec.kpis.items():
        series, source = _series(name, history, ledger)
        if not series:
            series, source = {"today": float(today[name])}, "model"
        rows.append(
            {
                **{"kpi": name, "layer": kpi.layer or "", "role": scenario.role(name), "unit": kpi.unit},
                **_standing(kpi, series, source),
                **{"owner": kpi.owner, **_recorded(name, kpi, ledger)},
            }
        )
        if any(note.startswith("review-") for note in rows[-1]["notes"]):
            rows[-1]["light"] = "red"
    return Scorecard(scenario.name, tuple(rows))


def of_plan(plan: Plan) -> Scorecard:
    """The scorecard of a plan: what each KPI comes to under it, the trend being the change from today's plan."""
    rows: list[Row] = []
    for name, kpi in plan.scenario.spec.kpis.items():
        outcome = plan.outcomes.loc[name]
        series = {"today": float(outcome["current"]), "plan": float(outcome["expected"])}
        head = {"kpi": name, "layer": kpi.layer or "", "role": plan.scenario.role(name), "unit": kpi.unit}
        tail: Row = {"owner": kpi.owner, "version": None, "notes": []}
        rows.append({**head, **_standing(kpi, series, "model"), **tail})
    return Scorecard(plan.scenario.name, tuple(rows))


def _series(name: str, history: pd.DataFrame | None, ledger: Ledger | None) -> tuple[dict[str, float], str]:
    if history is not None and name in history:
        return {str(day): float(value) for day, value in history[name].items()}, "history"
    if ledger is not None:
        known = ledger.kpis.values(name)
        return {period: known[period].value for period in sorted(known)}, "ledger"
    return {}, ""


def _standing(kpi: Kpi, series: Mapping[str, float], source: str) -> Row:
    values = np.array(list(series.values()))
    period = list(series)[-1]
    trend = _trend(values)
    better = None
    if trend and kpi.direction is not None:
        better = (trend > 0) == (kpi.direction == "maximize")
    low, high = _wanted(kpi, values)
    return {
        **{"value": plain(float(values[-1])), "period": period, "source": source},
        **{"low": low, "high": high, "light": _light(kpi, values), "trend": plain(trend), "better": better},
        "series": [plain(float(value)) for value in values],
        "periods": list(series),
    }


def _trend(values: Sequence[float] | np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """The latest value against the mean of those before it, a share; NaN where that says nothing."""
    before = np.asarray(values[-1 - BEFORE : -1], dtype=float)
    before = before[np.isfinite(before)]
    if not len(before) or not before.mean() > 0:
        return float("nan")
    return float(values[-1] / before.mean() - 1.0)


def _wanted(kpi: Kpi, values: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float | None, float | None]:
    """What the target asks for: at least, at most."""
    if kpi.target is None:
        return None, None
    try:
        limit = required(kpi.target, float(values[0]))
    except SpecError:
        return None, None
    if isinstance(limit, tuple):
        return limit
    return (None, limit) if kpi.direction == "minimize" else (limit, None)


def _light(kpi: Kpi, values: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    """By the thresholds, with their hysteresis over the series; else by the target; grey without either."""
    if kpi.thresholds is not None and kpi.direction is not None:
        return light(values, kpi.thresholds, kpi.direction)[-1]
    if kpi.target is None or kpi.target.percentile is not None or not np.isfinite(values[-1]):
        return "grey"
    try:
        return "green" if met(kpi.target, values, kpi.direction, float(values[0])) else "red"
    except SpecError:
        return "grey"


def _recorded(name: str, kpi: Kpi, ledger: Ledger | None) -> Row:
    """The version that holds in the ledger, and what is open on it."""
    if ledger is None:
        return {"version": None, "notes": []}
    from ..ledger.kpi_versions import changed, defined

    notes = [f"{each.id} is open ({each.light})" for each in ledger.reviews.list(name) if each.light == "red"]
    version = ledger.kpis.current(name)
    if version is None:
        return {"version": None, "notes": [*notes, "no version is recorded"]}
    fields = changed(version.definition, defined(kpi))
    if fields:
        notes.append(f"the scenario says otherwise than version {version.version}: {', '.join(fields)}")
    return {"version": version.version, "notes": notes}
