"""What a KPI does without any of the lines: trend, season, days of the week, events and controls, as columns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from ..curves import Floats
from ..errors import DataError, SpecError
from .history import STEP, FitSpec, History

YEAR = {"day": 364, "week": 52}
YEAR_DAYS = 365.25
# Prior standard deviations about zero, in standard deviations of the KPI. They matter where a history is too
# short to know a season or an event; a whole year of data leaves nothing of them.
TREND_SD, SEASON_SD, EVENT_SD, CONTROL_SD = 2.0, 1.0, 5.0, 1.0


@dataclass(frozen=True)
class Baseline:
    """Columns over history and forecast, T + P periods.

    Attributes
    ----------
    free : (T + P, q)
        Columns that may do either: intercept first, then trend, season, events and controls.
    sd : (q,)
        Prior standard deviation of each coefficient, in those of the KPI; infinite for the intercept.
    signed : (T + P, c)
        Controls whose sign the config states, turned so that they can only add.
    """

    free: Floats
    sd: Floats
    signed: Floats


def baseline(history: History, spec: FitSpec) -> Baseline:
    """Build the columns, all of the order of one.

    Intercept, linear trend, ``season`` yearly sine and cosine pairs, for days the full weekly pattern (three
    pairs), named events as 0 or 1, controls in standard deviations (in the forecast at the last year's mean).

    Raises
    ------
    SpecError
        If an event lies outside history and forecast, or has no date in the history.
    DataError
        If a control never varies.
    """
    known, step = len(history.dates), STEP[spec.period].days
    total = known + spec.forecast
    day = np.arange(total) * step
    columns, sd = [np.ones(total), np.arange(total) / known - 0.5], [np.inf, TREND_SD]
    cycles = [day / YEAR_DAYS * h for h in range(1, spec.season + 1)]
    cycles += [day / 7 * h for h in (1, 2, 3)] if spec.period == "day" else []
    for cycle in cycles:
        columns += [np.cos(2 * np.pi * cycle), np.sin(2 * np.pi * cycle)]
        sd += [SEASON_SD, SEASON_SD]
    for name in spec.named_events:
        columns.append(_event(name, history, spec, total))
        sd.append(EVENT_SD)
    signed = []
    for name in spec.controls:
        values = _control(name, history, spec)
        sign = spec.signs.get(name)
        if sign is None:
            columns.append(values)
            sd.append(CONTROL_SD)
        else:
            signed.append(values if sign == "positive" else -values)
    return Baseline(np.column_stack(columns), np.array(sd), np.array(signed).reshape(-1, total).T)


def _control(name: str, history: History, spec: FitSpec) -> Floats:
    """A control in standard deviations, in the forecast at the last year's mean: (T + P,)."""
    values = history.controls[name].to_numpy(dtype=np.float64)
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        raise DataError("the control never varies", "leave it out", path=(name,), file=history.file)
    future = np.full(spec.forecast, values[-YEAR[spec.period] :].mean())
    return np.asarray((np.concatenate([values, future]) - values.mean()) / values.std())


def _event(name: str, history: History, spec: FitSpec, total: int) -> Floats:
    """Ones in the periods that hold a date of the event, or where its column is not zero: (T + P,)."""
    column, first, step = np.zeros(total), history.dates[0].date(), STEP[spec.period]
    last = first + total * step - timedelta(days=1)
    for i, day in enumerate(spec.events.get(name, ())):
        if not first <= day <= last:
            raise SpecError(
                f"{day} lies outside history and forecast, {first} to {last}",
                "leave it out, or make 'forecast' longer",
                path=("events", name, i),
            )
        column[(day - first) // step] = 1.0
    if name in spec.event_columns:
        column[: len(history.dates)][history.marks[name].to_numpy() != 0] = 1.0
    if not column[: len(history.dates)].any():
        raise SpecError(
            "the event has no date in the history, so its effect cannot be known",
            "add its date of a year before, or leave it out",
            path=("events" if name in spec.events else "event_columns", name),
        )
    return column
