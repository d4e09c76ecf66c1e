"""Import a Google Meridian model: its posterior (netCDF) and the input data it was fitted to (CSV or Parquet).

With media ``m[g,t]`` of a channel, population ``p[g]`` (1 for a national model) and KPI ``k[g,t]``:

    scaled media      z[g,t] = m[g,t] / (p[g] * median of m / p over geos and periods with media)
    adstock           a[g,t] = sum_l w[l] z[g,t-l], l = 0 .. max_lag, weights alpha^l or binomial, adding up to 1
    response          beta[g] * hill(a; ec, slope) * p[g] * (standard deviation of k / p) * (revenue per KPI)

(Meridian 1 and 2, ``adstock_hill``, ``transformers`` and ``analyzer``.) One line is one channel in one geo.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import documents
from ..adstock import KINDS
from ..curves import FAMILIES, Floats
from ..errors import DataError, SpecError
from ..response import ResponseModel
from . import imported, netcdf
from .imported import Import, Price
from .meridian_data import (
    CHANNEL,
    GEO,
    MeridianData,
    MeridianSpec,
    check_channels,
    check_fitted,
    kpi_unit,
    media_unit,
    price,
    read_data,
)
from .netcdf import Inference
from .recompute import Recomputation, adstocked, by_period, compare, draw_and_date, hill

BY_CHANNEL = ("alpha_m", "ec_m", "slope_m")
# Parts of a model that this import leaves in the baseline.
LEFT = {"rf_channel": "reach and frequency channels", "organic_media_channel": "organic channels"}


@dataclass(frozen=True)
class _Fit:
    """Posterior and data together: D draws, M channels, G geos, L = M G lines.

    Attributes
    ----------
    lines : list of (g, m)
        Geo and channel of each line.
    price : (L,)
        Currency for one unit of media, the mean of the fitted periods.
    media_unit : (M,)
        Media per head in one unit of scaled media.
    kpi_unit : (G,)
        KPI in one unit of ``beta``.
    """

    file: str
    spec: MeridianSpec
    data: MeridianData
    channels: list[str]
    posterior: dict[str, Floats]
    returns: Floats | None
    lines: list[tuple[int, int]]
    price: Floats
    media_unit: Floats
    kpi_unit: Floats

    @property
    def length(self) -> int:
        """Adstock length in periods."""
        return min(self.spec.max_lag + 1, len(self.data.dates))

    def name(self, g: int, m: int) -> str:
        """Name of a line."""
        return f"{self.channels[m]} in {self.data.geos[g]}" if self.spec.geo else self.channels[m]

    def kind(self, m: int) -> str:
        """Adstock of a channel."""
        return self.spec.channels[self.channels[m]].adstock or self.spec.adstock


def read(
    path: str | Path, data: str | Path, config: str | Path, *, currency: str, kpi: str | None = None
) -> Import:
    """Read a fitted Meridian model.

    Parameters
    ----------
    path : path
        The inference data, netCDF; read as data.
    data : path
        The input data, CSV or Parquet, one row a period (and geo).
    config : path
        `MeridianSpec` as YAML.
    currency : str
        Of the spend, and of the revenue.
    kpi : str, optional
        What to call the KPI; ``revenue`` or its column's name unless given.

    Raises
    ------
    SpecError
        If the config is not usable.
    DataError
        If a file cannot be used, or the recomputed responses are not the model's.
    """
    document = documents.read(config)
    try:
        spec = documents.check(document, MeridianSpec)
        with netcdf.opened(path) as file:
            fitted, left = _fitted(file, Path(data), spec), _left_out(file)
        about = imported.origin("Google Meridian", {"model": path, "data": data, "config": config})
        return _import(fitted, left, about | {"currency": currency}, kpi)
    except SpecError as error:
        raise document.locate(error) from None


def _fitted(file: Inference, path: Path, spec: MeridianSpec) -> _Fit:
    channels = file.names("posterior", CHANNEL)
    check_channels(channels, spec, file)
    data = read_data(path, spec, channels)
    check_fitted(file, data, spec)
    posterior = {name: file.draws(name, (CHANNEL,)) for name in BY_CHANNEL}
    geos = file.names("posterior", GEO)
    order = [geos.index(geo) for geo in data.geos] if spec.geo else [0]
    posterior["beta_gm"] = file.draws("beta_gm", (GEO, CHANNEL))[:, order]
    _check_ranges(posterior, channels, file)
    lines = [(g, m) for m in range(len(channels)) for g in range(len(data.geos))]
    stored = file.has("posterior", "roi_m")
    # Before the prices, which a channel without media has not.
    unit = media_unit(data, channels)
    return _Fit(
        file=file.file,
        spec=spec,
        data=data,
        channels=channels,
        posterior=posterior,
        returns=file.draws("roi_m", (CHANNEL,)) if stored and spec.check_returns else None,
        lines=lines,
        price=np.array([price(data, g, m, channels[m]) for g, m in lines]),
        media_unit=unit,
        kpi_unit=kpi_unit(data),
    )


def _import(fit: _Fit, left: list[str], about: dict[str, Any], kpi: str | None) -> Import:
    data, spec = fit.data, fit.spec
    kpi = kpi or ("revenue" if spec.revenue_per_kpi else spec.kpi)
    model = _model(fit, kpi)
    checks, brought = _recompute(model, fit)
    period, start = imported.timing(data.dates, data.file, (spec.time,))
    model = replace(
        model,
        baseline=imported.baseline((data.kpi * data.worth).sum(axis=0), brought),
        start=start,
        period=period,
        notes=(*_notes(fit), *left, imported.BASELINE_NOTE),
        attributes=about | {"first": data.dates[0].isoformat(), "last": data.dates[-1].isoformat()},
    )
    return Import(
        source="Google Meridian",
        model=model,
        checks=tuple(checks),
        current=imported.latest(np.array([data.spend[g, :, m] for g, m in fit.lines]), period),
        currency=about["currency"],
        units={kpi: about["currency"] if spec.revenue_per_kpi else spec.kpi},
        attributes={
            fit.name(g, m): {"channel": fit.channels[m], **({"geo": data.geos[g]} if spec.geo else {})}
            for g, m in fit.lines
        },
        read={"channels": fit.channels, "geos": data.geos if spec.geo else [], "periods": len(data.dates)},
    )


def _check_ranges(posterior: dict[str, Floats], channels: list[str], file: Inference) -> None:
    limits: dict[str, tuple[Callable[[Floats], Any], str]] = {
        "alpha_m": (lambda x: (x >= 0) & (x < 1), "is not from 0 to below 1"),
        "ec_m": (lambda x: x > 0, "is not above 0"),
        "slope_m": (lambda x: x > 0, "is not above 0"),
        "beta_gm": (lambda x: x >= 0, "is negative: more media would do harm, which is not planned with"),
    }
    for name, (good, what) in limits.items():
        bad = np.argwhere(~good(posterior[name]))
        if len(bad):
            draw, channel = int(bad[0][0]), channels[int(bad[0][-1])]
            raise DataError(
                f"draw {draw}, '{channel}': {posterior[name][tuple(bad[0])]:g} {what}",
                "is this the posterior of a Meridian model?",
                path=("posterior", name),
                file=file.file,
            )


def _model(fit: _Fit, kpi: str) -> ResponseModel:
    """Meridian's parameters as curves on spend: the mean price of a unit of media carries them there."""
    data, spec, posterior = fit.data, fit.spec, fit.posterior
    geo, channel = (np.array(index) for index in zip(*fit.lines, strict=True))
    half = posterior["ec_m"][:, channel] * fit.media_unit[channel] * data.population[geo] * fit.price
    scale = posterior["beta_gm"][:, geo, channel] * (fit.kpi_unit * data.worth.mean(axis=1))[geo]
    # What the media would have cost at the mean price: the curves are in that money.
    spend = data.media[geo, :, channel] * fit.price[:, None]
    cell = (1, len(fit.lines))
    return ResponseModel(
        kpis=(kpi,),
        lines=tuple(fit.name(g, m) for g, m in fit.lines),
        family=np.full(cell, FAMILIES["hill"].code, dtype=np.int64),
        scale=scale[:, None],
        first=half[:, None],
        second=posterior["slope_m"][:, None, channel],
        rate=posterior["alpha_m"][:, None, channel],
        length=np.full(cell, fit.length, dtype=np.int64),
        normalised=np.ones(cell, dtype=bool),
        baseline=np.zeros((len(scale), 1, 1)),
        observed=np.column_stack([spend.min(axis=1), spend.max(axis=1)]),
        history=imported.past(spend, fit.length),
        carryover=np.array([[KINDS[fit.kind(m)] for m in channel]], dtype=np.int64),
        after=np.full(cell, spec.hill_before_adstock),
    )


def _recompute(model: ResponseModel, fit: _Fit) -> tuple[list[Recomputation], Floats]:
    """Compare by period with Meridian's formula, and over all periods with its own returns (``roi_m``).

    Also returns what all lines bring a period: (D,).
    """
    (kpi,), data = model.kpis, fit.data
    checks: list[Recomputation] = []
    mean_worth = data.worth.mean(axis=1, keepdims=True)
    season = np.divide(data.worth, mean_worth, out=np.ones_like(data.worth), where=mean_worth > 0)
    totals = np.zeros((model.draws, len(fit.channels)))
    for line, (g, m), cost in zip(model.lines, fit.lines, fit.price, strict=True):
        ours = by_period(model, kpi, line, data.media[g, :, m] * cost, season[g])
        theirs = _formula(fit, g, m)
        name = draw_and_date(data.dates)
        checks.append(compare(ours, theirs, (kpi, line), "Meridian's formula", name, fit.file))
        totals[:, m] += ours.sum(axis=1)
    if fit.returns is not None:
        ours = totals / data.spend.sum(axis=(0, 1))
        for m, channel in enumerate(fit.channels):
            what, place = "Meridian's own return (roi_m)", (kpi, channel)
            checks.append(compare(ours[:, m], fit.returns[:, m], place, what, _all_periods, fit.file))
    return checks, totals.sum(axis=1) / len(data.dates)


def _all_periods(index: tuple[int, ...]) -> str:
    return f"draw {index[0]}, all periods"


def _formula(fit: _Fit, g: int, m: int) -> Floats:
    """Meridian's response of one channel in one geo: (D, T)."""
    alpha, half, slope = (fit.posterior[name][:, m] for name in BY_CHANNEL)
    scaled = fit.data.media[g, :, m] / (fit.media_unit[m] * fit.data.population[g])
    lag = np.arange(fit.length)
    if fit.kind(m) == "geometric":
        weight = alpha[:, None] ** lag
    else:
        with np.errstate(divide="ignore"):
            weight = (1 - lag / fit.length) ** (1 / alpha[:, None] - 1)
    weight /= weight.sum(axis=1, keepdims=True)
    if fit.spec.hill_before_adstock:
        found = adstocked(hill(np.broadcast_to(scaled, (len(alpha), len(scaled))), half, slope), weight)
    else:
        found = hill(adstocked(scaled, weight), half, slope)
    return found * fit.posterior["beta_gm"][:, g, m, None] * fit.kpi_unit[g] * fit.data.worth[g]


def _notes(fit: _Fit) -> list[str]:
    data = fit.data
    prices, unknown = {}, []
    for g, m in fit.lines:
        media, spend = data.media[g, :, m], data.spend[g, :, m]
        if np.any((media > 0) & (spend > 0)):
            prices[fit.name(g, m)] = Price.of(fit.spec.channels[fit.channels[m]].media, media, spend)
        else:
            unknown.append(fit.name(g, m))
    notes = imported.price_notes(prices)
    if unknown:
        notes.append(f"Never on, so at the channel's price and with a guessed effect: {', '.join(unknown)}.")
    if fit.spec.revenue_per_kpi:
        low, high = data.worth.min(), data.worth.max()
        notes.append(
            f"Revenue is counted at the mean revenue per unit of '{fit.spec.kpi}' over the fitted periods "
            f"(periods: {low:.6g} to {high:.6g})."
        )
    if fit.returns is None:
        notes.append("Not held against Meridian's own returns (roi_m): only its formula was recomputed.")
    return notes


def _left_out(file: Inference) -> list[str]:
    """Name what of the model is no line."""
    coordinates: Any = file.group("posterior").coords
    found = {what: ", ".join(file.names("posterior", dim)) for dim, what in LEFT.items() if dim in coordinates}
    return [f"Not lines, in what comes anyway: {what} ({names})." for what, names in found.items()]
