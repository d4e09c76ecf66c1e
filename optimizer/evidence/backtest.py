"""How the fit would have done on this history: learn to an origin, forecast at the spend that happened, go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ..errors import DataError
from .baseline import baseline
from .fit import check_enough, least
from .forecast import INTERVAL, Forecast, origins, rolled
from .history import FitSpec, History

Progress = Callable[[float], None]


def backtest(history: History, spec: FitSpec, progress: Progress | None = None) -> dict[str, Forecast]:
    """Forecast ``holdout`` periods from every origin that the history has room for, by KPI.

    Controls and events are taken as they came: the test is of curves and baseline, not of forecasts of prices.

    Raises
    ------
    SpecError, DataError
        As `fit` does.
    """
    base = baseline(history, spec)
    check_enough(history, spec, base)
    at = origins(len(history.dates), spec.holdout, least(spec, base))
    if not at:
        raise DataError("too short to forecast any of it", "use a longer history", file=history.file)
    lines = sorted(spec.lines)
    spend = history.spend[lines].to_numpy(dtype=np.float64).T
    found = {}
    for done, (name, kpi) in enumerate(spec.kpis.items(), start=1):
        values = history.kpis[name].to_numpy(dtype=np.float64)
        found[name] = rolled(spend, values, base, lines, spec, at, kpi.media_share)
        if progress is not None:
            progress(done / len(spec.kpis))
    return found


def summary(found: dict[str, Forecast]) -> pd.DataFrame:
    """One row a KPI: origins, errors, skill against forecasts that know no media, and what intervals held.

    Skill is the share of another forecast's error that the fit takes away, over the periods that both have:
    against ``last year`` (seasonal naive), the ``mean`` before the origin, and the same model ``without media``.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, forecast in found.items():
        rows[name] = {
            "origins": len(forecast.totals),
            "error": forecast.error(),
            "without media": forecast.error("without_media"),
            "skill, last year": forecast.skill("last_year"),
            "skill, mean": forecast.skill("mean"),
            "skill, without media": forecast.skill("without_media"),
            f"periods in {INTERVAL:.0%}": forecast.covered(),
            f"totals in {INTERVAL:.0%}": forecast.totals_covered(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("KPI")
