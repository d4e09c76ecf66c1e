"""The input data of a Google Meridian model: which columns were used, read by geo and period; its scales."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from ..adstock import MAX_LENGTH
from ..curves import Floats
from ..documents import Spec
from ..errors import DataError, SpecError
from .history import Name
from .netcdf import Inference
from .tabular import Table, cell_day, cell_number, read

CHANNEL, GEO = "media_channel", "geo"


class ChannelSpec(Spec):
    """The columns of one channel: its media (impressions, clicks) and its spend."""

    media: Name
    spend: Name
    adstock: Literal["geometric", "binomial"] | None = None


class MeridianSpec(Spec):
    """What neither the posterior nor its data say: which columns were used, and the model's settings.

    ``max_lag``, ``adstock`` and ``hill_before_adstock`` are those of Meridian's ``ModelSpec``; a channel's own
    ``adstock`` comes first. ``geo`` and ``population`` belong to geo models. ``check_returns: false`` belongs to
    models whose returns (``roi_m``) are for a part of the periods (``roi_calibration_period``): it leaves them out
    of the recomputation, which the notes then say.
    """

    time: Name = "time"
    geo: Name | None = None
    population: Name | None = None
    kpi: Name
    revenue_per_kpi: Name | None = None
    channels: Annotated[dict[Name, ChannelSpec], Field(min_length=1, max_length=200)]
    max_lag: Annotated[int, Field(ge=0, lt=MAX_LENGTH)] = 8
    adstock: Literal["geometric", "binomial"] = "geometric"
    hill_before_adstock: bool = False
    check_returns: bool = True

    @model_validator(mode="after")
    def _whole(self) -> MeridianSpec:
        if self.geo is not None and self.population is None:
            raise SpecError("a geo model needs its populations", "name their column", path=("population",))
        if self.geo is None and self.population is not None:
            raise SpecError("a national model has no population", "name the geos' column", path=("population",))
        return self


@dataclass(frozen=True)
class MeridianData:
    """The input data: G geos, T periods, M channels."""

    dates: list[date]
    geos: list[str]
    population: Floats
    kpi: Floats
    worth: Floats
    media: Floats
    spend: Floats
    file: str


def check_channels(channels: list[str], spec: MeridianSpec, file: Inference) -> None:
    """Raise SpecError unless the config names all of the model's channels, and the column of its geos."""
    geos = file.names("posterior", GEO)
    if spec.geo is None and len(geos) != 1:
        raise SpecError(f"the model has {len(geos)} geos", "name the column that holds them", path=("geo",))
    for name in spec.channels:
        if name not in channels:
            hint = f"its channels are: {', '.join(channels)}"
            raise SpecError(f"the model has no channel '{name}'", hint, path=("channels", name))
    for name in channels:
        if name not in spec.channels:
            raise SpecError(f"says nothing about channel '{name}' of {file.file}", "add it", path=("channels",))


def read_data(path: Path, spec: MeridianSpec, channels: list[str]) -> MeridianData:
    """Read the input data into arrays by geo and period."""
    wanted: dict[str, tuple[str | int, ...]] = {spec.time: ("time",), spec.kpi: ("kpi",)}
    for name in ("geo", "population", "revenue_per_kpi"):
        if getattr(spec, name) is not None:
            wanted[getattr(spec, name)] = (name,)
    for name in channels:
        wanted[spec.channels[name].media] = ("channels", name, "media")
        wanted[spec.channels[name].spend] = ("channels", name, "spend")
    table = read(path, wanted)
    days = [cell_day(table, row, spec.time) for row in range(len(table.places))]
    geos = [str(cell) for cell in table.cells[spec.geo]] if spec.geo else [""] * len(days)
    dates, names = sorted(set(days)), sorted(set(geos))
    rows: dict[tuple[str, date], int] = {}
    for row, key in enumerate(zip(geos, days, strict=True)):
        if key in rows:
            what = f"{key[1]} stands twice" + (f" for '{key[0]}'" if spec.geo else "")
            raise table.fault(row, spec.time, what, "keep one row of each")
        rows[key] = row
    for name in names:
        for day in dates:
            if (name, day) not in rows:
                raise DataError(f"'{name}' has no row on {day}", "add it", path=(str(spec.geo),), file=table.file)
    order = [[rows[name, day] for day in dates] for name in names]

    def column(name: str, least: float = -np.inf) -> Floats:
        return np.array([[_cell(table, row, name, least) for row in line] for line in order])

    population = column(spec.population, 1e-9) if spec.population else np.ones((len(names), len(dates)))
    if np.any(population != population[:, :1]):
        g, t = np.argwhere(population != population[:, :1])[0]
        raise table.fault(order[g][t], str(spec.population), "the population changes", "one figure a geo")
    return MeridianData(
        dates=dates,
        geos=names,
        population=population[:, 0],
        kpi=column(spec.kpi),
        worth=column(spec.revenue_per_kpi, 0.0) if spec.revenue_per_kpi else np.ones((len(names), len(dates))),
        media=np.stack([column(spec.channels[name].media, 0.0) for name in channels], axis=2),
        spend=np.stack([column(spec.channels[name].spend, 0.0) for name in channels], axis=2),
        file=table.file,
    )


def _cell(table: Table, row: int, column: str, least: float) -> float:
    value = cell_number(table, row, column)
    if value is None:
        raise table.fault(row, column, "the cell is blank (NaN)", "give the data the model was fitted to")
    if value < least:
        raise table.fault(row, column, f"{value:g} is too low", f"at least {least:g}")
    return value


def check_fitted(file: Inference, data: MeridianData, spec: MeridianSpec) -> None:
    """Are these the periods and geos the model was fitted to?"""
    fitted = [name[:10] for name in file.names("posterior", "time")]
    given = [day.isoformat() for day in data.dates]
    if fitted != given:
        odd = sorted(set(fitted) ^ set(given)) or ["their order"]
        raise DataError(
            f"the model was fitted to {len(fitted)} periods, {fitted[0]} to {fitted[-1]}; the data have "
            f"{len(given)}, {given[0]} to {given[-1]} (the first that differs: {odd[0]})",
            "give the data the model was fitted to",
            path=(spec.time,),
            file=data.file,
        )
    geos = file.names("posterior", GEO)
    if spec.geo is not None and sorted(geos) != data.geos:
        odd = sorted(set(geos) ^ set(data.geos))
        raise DataError(
            f"geo '{odd[0]}' is in the model or the data only",
            "both need the same",
            path=(spec.geo,),
            file=data.file,
        )


def media_unit(data: MeridianData, channels: list[str]) -> Floats:
    """Median of media per population over geos and periods with media: (M,)."""
    each = data.media / data.population[:, None, None]
    for m, name in enumerate(channels):
        if not np.any(each[:, :, m] > 0):
            raise DataError(
                f"channel '{name}' has no media at all", "check its column", path=(name,), file=data.file
            )
    return np.array([np.median(each[:, :, m][each[:, :, m] > 0]) for m in range(len(channels))])


def kpi_unit(data: MeridianData) -> Floats:
    """KPI units of one unit of ``beta``: (G,)."""
    return np.std(data.kpi / data.population[:, None]) * data.population


def price(data: MeridianData, g: int, m: int, line: str) -> float:
    """Mean price of a unit of media; the channel's where a geo had none."""
    media, spend = data.media[g, :, m], data.spend[g, :, m]
    if not np.any(media > 0):
        media, spend = data.media[:, :, m], data.spend[:, :, m]
    if not spend.sum() > 0:
        raise DataError(
            f"'{line}' has media and no spend: nothing says what it costs",
            "give the spend of each channel (and geo)",
            path=(line,),
            file=data.file,
        )
    return float(spend.sum() / media.sum())
