"""What every importer returns: a response model, how it was checked, and a scenario to start from."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ..constraints import Line
from ..curves import Floats
from ..errors import DataError, SpecError
from ..response import ResponseModel, file_hash
from .history import STEP
from .recompute import TOLERANCE, Recomputation
from .starter import PERIODS, rounded, scenario

# How far the starter lets a line move: files hold too little of the history to say.
CHANGE = 0.3
# From where a price is said to have moved.
PRICE_MOVED = 0.05
BASELINE_NOTE = (
    "What comes without the lines is taken as the mean of the fitted periods: the KPI less what the model "
    "gives the lines. It is no forecast."
)


@dataclass(frozen=True)
class Import:
    """An imported model.

    Attributes
    ----------
    source : str
        The library or platform it comes from.
    model : ResponseModel
        Curves on spend in currency.
    checks : tuple of Recomputation
        The comparisons it stood.
    current : (L,)
        Spend a period of the latest periods known, currency.
    currency : str
        Three letters.
    units : mapping
        Unit by KPI.
    attributes : mapping
        What rules can select each line by.
    read : mapping
        What was read, in plain data.
    """

    source: str
    model: ResponseModel
    checks: tuple[Recomputation, ...]
    current: Floats
    currency: str
    units: Mapping[str, str]
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    read: Mapping[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Return what was read, how it was checked and what it cannot tell, as plain data."""
        model = self.model
        return {
            "source": self.source,
            "about": model.attributes,
            "read": dict(self.read),
            "kpis": {name: {"unit": self.units[name]} for name in model.kpis},
            "draws": model.draws,
            "period": model.period,
            "start": model.start.isoformat() if model.start else None,
            "currency": self.currency,
            "lines": {
                name: {
                    "attributes": dict(self.attributes.get(name, {})),
                    "current": float(spend),
                    "observed": [None if np.isnan(end) else float(end) for end in ends],
                    "falling_returns": bool(model.concave()[:, i].all()),
                }
                for i, (name, spend, ends) in enumerate(
                    zip(model.lines, self.current, model.observed, strict=True)
                )
            },
            "tolerance": TOLERANCE,
            "checks": [vars(check) for check in self.checks],
            "notes": list(model.notes),
        }

    def starter(self, response: str, kpi: str | None = None, start: date | None = None) -> dict[str, Any]:
        """Return a scenario that plans as it stands: the latest spend, every line free to move by 30 %.

        Parameters
        ----------
        response : str
            The response file, as the scenario names it.
        kpi : str, optional
            The KPI to plan for; needed where there are several.
        start : date, optional
            First day of the horizon; the response's own start unless given.

        Raises
        ------
        SpecError
            If the KPI is unknown, or not said where there are several; or no date is known.
        """
        kpi = self._objective(kpi)
        start = start or self.model.start
        if start is None:
            raise SpecError("nothing says when the plan starts", "give --start, such as 2026-01-05")
        every = self.model.period or "week"
        periods = PERIODS[every]
        lines = [
            {
                "name": name,
                "current": rounded(float(spend) * periods),
                **_selectable(self.attributes.get(name, {})),
            }
            for name, spend in zip(self.model.lines, self.current, strict=True)
        ]
        said = (
            f"Today's plan is what was spent a {every} lately, for {periods} {every}s. State your own, and "
            "the rules that hold for you."
        )
        return scenario(
            f"{kpi}, from {self.source}",
            self.currency,
            (start, periods, every),
            lines,
            {name: self.units[name] for name in self.model.kpis},
            kpi,
            {"file": response},
            {"change": {"up": CHANGE, "down": CHANGE}},
            [said],
        )

    def _objective(self, kpi: str | None) -> str:
        names = self.model.kpis
        if kpi is None and len(names) > 1:
            raise SpecError("several KPIs and none to plan for", f"give --kpi, one of: {', '.join(names)}")
        if kpi is not None and kpi not in names:
            raise SpecError(f"there is no KPI '{kpi}'", f"there are: {', '.join(names)}")
        return kpi or names[0]


def _selectable(attributes: Mapping[str, str]) -> dict[str, str]:
    """Attributes under names that a scenario's line has no other use for."""
    taken = {*Line.model_fields, "line"}
    return {f"{name}_" if name in taken else name: value for name, value in attributes.items()}


def timing(dates: Sequence[date], file: str, path: tuple[str, ...]) -> tuple[str, date]:
    """Length of the periods and the first day after them.

    Raises
    ------
    DataError
        If the dates are not one day or one week apart throughout.
    """
    if len(dates) < 2:
        raise DataError(f"{len(dates)} periods are too few", "import a whole fit", path=path, file=file)
    steps = {later - before for before, later in itertools.pairwise(dates)}
    for period, step in STEP.items():
        if steps == {step}:
            return period, dates[-1] + step
    odd = next(
        (before, later)
        for before, later in itertools.pairwise(dates)
        if len(steps) == 1 or later - before != dates[1] - dates[0] or later - before not in STEP.values()
    )
    raise DataError(
        f"{odd[1]} follows {odd[0]}: {(odd[1] - odd[0]) // timedelta(days=1)} days apart",
        "plans are by day or by week, and every period needs its row",
        path=path,
        file=file,
    )


def latest(spend: Floats, period: str) -> Floats:
    """Mean spend a period over the latest periods: (L,) from (L, T)."""
    return spend[:, -PERIODS[period] :].mean(axis=1)


def baseline(observed: Floats, lines: Floats) -> Floats:
    """KPI a period without any line, the mean of the fitted periods: (D, 1, 1).

    Parameters
    ----------
    observed : (T,)
        The KPI as it was.
    lines : (D,)
        What all lines brought, a period.
    """
    return (float(observed.mean()) - lines)[:, None, None]


def past(spend: Floats, length: int) -> Floats:
    """The periods that go on working after the last one: (L, H) of (L, T)."""
    return np.ascontiguousarray(spend[:, spend.shape[1] - min(length - 1, spend.shape[1]) :])


@dataclass(frozen=True)
class Price:
    """What carries a line's curve from media to money: the mean price of the fitted periods, and its range."""

    column: str
    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, column: str, media: Floats, spend: Floats) -> Price:
        """Price of media of (T,) for spend of (T,); its range is over periods with both."""
        on = (media > 0) & (spend > 0)
        mean = float(spend.sum() / media.sum())
        prices = spend[on] / media[on] if on.any() else np.array([mean])
        return cls(column, mean, float(prices.min()), float(prices.max()))


def price_notes(prices: Mapping[str, Price]) -> list[str]:
    """Say how curves on media became curves on money, and where the price moved."""
    if not prices:
        return []
    notes = [
        "Put on money at each line's mean price of the fitted periods, as the model's curves are on media: "
        + ", ".join(f"{line} ({price.mean:.4g} for one of '{price.column}')" for line, price in prices.items())
        + "."
    ]
    moved = [
        f"{line} ({price.low:.4g} to {price.high:.4g})"
        for line, price in prices.items()
        if price.high > price.low * (1 + PRICE_MOVED)
    ]
    if moved:
        notes.append(f"The price moved, which these curves do not show: {', '.join(moved)}.")
    return notes


def origin(source: str, files: Mapping[str, str | Path], **more: str | int | float) -> dict[str, Any]:
    """What an imported model says about itself: the method and its input files' hashes."""
    hashes = {f"{name}_sha256": file_hash(path) for name, path in files.items()}
    return {"method": f"imported from {source}", **hashes, **more}
