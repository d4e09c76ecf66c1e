"""The time a plan covers, and a response cut to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from .documents import Day, Spec
from .errors import SpecError
from .response import ResponseModel

DAYS = {"day": 1, "week": 7}


class Horizon(Spec):
    """The time a plan covers: ``periods`` periods from ``start``."""

    start: Day
    periods: Annotated[int, Field(ge=1, le=1000)]
    every: Literal["day", "week"] = "week"

    @property
    def starts(self) -> list[str]:
        """The first day of every period, ISO."""
        return [(self.start + timedelta(days=DAYS[self.every] * t)).isoformat() for t in range(self.periods)]


def at_horizon(model: ResponseModel, horizon: Horizon) -> tuple[ResponseModel, tuple[str, ...]]:
    """Cut a model's baseline to the horizon, and keep its spend history only where it adjoins.

    Returns
    -------
    ResponseModel, tuple of str
        And notes on what is not known.

    Raises
    ------
    SpecError
        If the model is by another period, or does not foresee the horizon.
    """
    if model.period is not None and model.period != horizon.every:
        raise SpecError(
            f"the response was fitted by {model.period}, the horizon is by {horizon.every}",
            f"set every: {model.period}",
            path=("horizon", "every"),
        )
    periods = horizon.periods
    foreseen = model.baseline.shape[2]
    if foreseen == 1:
        model = replace(model, baseline=np.repeat(model.baseline, periods, axis=2))
    if model.start is None:
        if foreseen not in (1, periods):
            raise SpecError(
                f"the response has a baseline for {foreseen} periods of unknown date, the horizon has {periods}",
                "give it a start date, or a baseline of one period that holds for all",
                path=("horizon", "periods"),
            )
        return model, ()
    days = (horizon.start - model.start).days
    offset, rest = divmod(days, DAYS[horizon.every])
    if rest or offset < 0 or (foreseen > 1 and offset + periods > foreseen):
        raise SpecError(
            f"the horizon is outside the {foreseen} {horizon.every}s from {model.start} the response foresees",
            "start on a period of the response, or fit again with a longer forecast",
            path=("horizon", "start"),
        )
    first = offset if foreseen > 1 else 0
    baseline = model.baseline[:, :, first : first + periods]
    if offset == 0:
        return replace(model, baseline=baseline), ()
    note = f"Spend between {model.start} and {horizon.start} is not known: no effect of it is carried in."
    return replace(model, baseline=baseline, history=model.history[:, :0]), (note,)
