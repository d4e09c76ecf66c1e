"""Import a Robyn model: the JSON that Robyn exports, its raw data included; or all models of a Pareto ensemble.

With media ``x[t]`` of a channel over all rows of the raw data:

    adstock           geometric a[t] = x[t] + theta a[t-1], or Weibull weights (cdf or pdf) over all rows
    window            rollingWindowStartWhich .. rollingWindowEndWhich, counted from 1
    inflexion         gamma * max of a in the window; up to Robyn 3.11 (1 - gamma) min + gamma max
    response          coef / (1 + (inflexion / a)^alpha)

(Robyn 3, ``R/transformation.R``.) A Weibull's scale is a quantile of the rows, rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..adstock import KINDS, MAX_LENGTH
from ..curves import FAMILIES, Floats
from ..errors import DataError
from ..response import ResponseModel
from . import imported
from .imported import Import, Price
from .recompute import Recomputation, by_period, compare, draw_and_date
from .robyn_data import Channel, RobynData, Solution, read_ensemble, read_model

# Geometric carry-over goes on for ever; what is left of it below this share is cut off.
CUT = 1e-9
# How far the model's parts may add up to something else than the KPI.
KPI_MISMATCH = 0.2


@dataclass(frozen=True)
class _Fit:
    """Data and solutions, a draw each: D draws, L lines, R rows, T of them in the window.

    Attributes
    ----------
    media, spend : (L, R)
        By line and row.
    half : (D, L)
        Inflexion, in media.
    price : (L,)
        Currency for one unit of media, the mean of the window.
    """

    data: RobynData
    solutions: list[Solution]
    media: Floats
    spend: Floats
    half: Floats
    price: Floats

    def values(self, name: str) -> Floats:
        """A parameter of all solutions and lines: (D, L)."""
        found = [[getattr(one.channels[line], name) for line in self.data.lines] for one in self.solutions]
        return np.array(found, dtype=np.float64)


def read(path: str | Path, *, currency: str, kpi: str | None = None, ensemble: str | Path | None = None) -> Import:
    """Read an exported Robyn model.

    Parameters
    ----------
    path : path
        ``RobynModel-*.json`` with its raw data; read as data.
    currency : str
        Of the spend, and of a KPI that is revenue.
    kpi : str, optional
        What to call the KPI; the dependent variable's name unless given.
    ensemble : path, optional
        Folder with ``pareto_hyperparameters.csv`` and ``pareto_aggregated.csv`` of the same run: every model in it
        becomes a draw.

    Raises
    ------
    DataError
        If a file cannot be used, or the recomputed contributions are not the model's.
    """
    path = Path(path)
    data, own = read_model(path)
    files: dict[str, str | Path] = {"model": path}
    solutions = [own]
    if ensemble is not None:
        solutions, tables = read_ensemble(Path(ensemble), data)
        files |= tables
    fit = _fit(data, solutions)
    model = _model(fit, kpi or data.kpi)
    checks, brought = _recompute(model, fit)
    period, start = imported.timing(data.dates, data.file, ("Extras", "raw_data", data.date_column))
    about = imported.origin("Robyn", files, currency=currency, version=data.version)
    window = [day.isoformat() for day in (data.dates[data.window.start], data.dates[data.window.stop - 1])]
    model = replace(
        model,
        baseline=imported.baseline(data.values[data.window], brought),
        start=start,
        period=period,
        notes=_notes(fit),
        attributes=about | {"first": window[0], "last": window[1]},
    )
    return Import(
        source="Robyn",
        model=model,
        checks=tuple(checks),
        current=imported.latest(fit.spend, period),
        currency=currency,
        units={model.kpis[0]: currency if data.kpi_is_money else data.kpi},
        attributes={line: {"channel": line} for line in data.lines},
        read={"window": window, "rows": len(data.dates), "solutions": [one.name for one in solutions]},
    )


def _fit(data: RobynData, solutions: list[Solution]) -> _Fit:
    media = np.array([data.columns[name] for name in data.exposures])
    spend = np.array([data.columns[name] for name in data.spends])
    window = data.window
    for line, values, money in zip(data.lines, media, spend, strict=True):
        for what, series in (("media", values), ("spend", money)):
            if not series[window].sum() > 0:
                raise DataError(
                    f"'{line}' has no {what} in the modelled window",
                    "fit without it",
                    path=("Extras", "raw_data", line),
                    file=data.file,
                )
    half = np.array(
        [
            [
                _inflexion(data, _adstocked(data, series, one.channels[line])[window], one.channels[line].gamma)
                for line, series in zip(data.lines, media, strict=True)
            ]
            for one in solutions
        ]
    )
    return _Fit(data, solutions, media, spend, half, spend[:, window].sum(axis=1) / media[:, window].sum(axis=1))


def _inflexion(data: RobynData, adstocked: Floats, gamma: float) -> float:
    least = 0.0 if data.inflexion_from_zero else (1 - gamma) * float(adstocked.min())
    return least + gamma * float(adstocked.max())


def _adstocked(data: RobynData, media: Floats, channel: Channel) -> Floats:
    """Media after carry-over, as Robyn computes it: (R,)."""
    found = np.zeros_like(media)
    if data.adstock == "geometric":
        left = 0.0
        for row, value in enumerate(media):
            left = float(value) + channel.theta * left
            found[row] = left
        return found
    weight = _weibull(data, channel)
    for row, value in enumerate(media):
        found[row:] += value * weight[: len(media) - row]
    return found


def _weibull(data: RobynData, channel: Channel) -> Floats:
    """Robyn's Weibull weights over all rows: (R,)."""
    rows = len(data.dates)
    day = np.arange(1, rows + 1, dtype=float)
    if channel.shape == 0 or channel.scale == 0:
        return (day == 1).astype(float)
    scale = _weibull_scale(rows, channel.scale)
    with np.errstate(under="ignore"):
        if data.adstock == "weibull_cdf":
            return np.cumprod(np.concatenate([[1.0], np.exp(-((day[:-1] / scale) ** channel.shape))]))
        power = (day / scale) ** channel.shape
        density = channel.shape / day * power * np.exp(-power)
    low, high = density.min(), density.max()
    return (density - low) / (high - low) if high > low else (day == 1).astype(float)


def _weibull_scale(rows: int, quantile: float) -> float:
    """A quantile of 1 .. rows, rounded as R does, half to even."""
    return float(np.round(1 + (rows - 1) * quantile))


def _model(fit: _Fit, kpi: str) -> ResponseModel:
    """Robyn's parameters as curves on spend: the mean price of a unit of media carries them there."""
    data, rows = fit.data, len(fit.data.dates)
    cell = (1, len(data.lines))
    coefficient, slope = fit.values("coefficient"), fit.values("alpha")
    ones = np.ones_like(coefficient)
    rate, spread, bend, kind = np.zeros_like(ones), ones, ones, "geometric"
    if data.adstock == "geometric":
        rate = fit.values("theta")
        longest = rate.max(axis=0)
        with np.errstate(divide="ignore"):
            needed = np.where(longest > 0, np.log(CUT) / np.log(np.maximum(longest, 1e-300)), 1.0)
        length = np.clip(np.ceil(needed), 1, min(rows, MAX_LENGTH)).astype(np.int64)
    else:
        kind, bend = data.adstock, fit.values("shape")
        quantiles = fit.values("scale")
        if np.any(bend == 0) or np.any(quantiles == 0):
            what, hint = (
                "a Weibull adstock without carry-over (shape or scale 0)",
                "fit it with a geometric adstock",
            )
            raise DataError(what, hint, path=("ExportedModel", "hyper_values"), file=data.file)
        spread = np.vectorize(lambda q: _weibull_scale(rows, float(q)))(quantiles)
        length = np.full(cell[1], min(rows, MAX_LENGTH), dtype=np.int64)
    spend = fit.media * fit.price[:, None]
    seen = spend[:, data.window]
    return ResponseModel(
        kpis=(kpi,),
        lines=tuple(data.lines),
        family=np.full(cell, FAMILIES["hill"].code, dtype=np.int64),
        scale=coefficient[:, None],
        first=(fit.half * fit.price)[:, None],
        second=slope[:, None],
        rate=rate[:, None],
        length=length[None],
        normalised=np.zeros(cell, dtype=bool),
        baseline=np.zeros((len(ones), 1, 1)),
        observed=np.column_stack([seen.min(axis=1), seen.max(axis=1)]),
        history=imported.past(spend, int(length.max())),
        carryover=np.full(cell, KINDS[kind], dtype=np.int64),
        spread=spread[:, None],
        bend=bend[:, None],
    )


def _recompute(model: ResponseModel, fit: _Fit) -> tuple[list[Recomputation], Floats]:
    """Compare by period with Robyn's formula, and over the window with the contributions it exported.

    Also returns what all lines bring a period: (D,).
    """
    data, (kpi,) = fit.data, model.kpis
    checks: list[Recomputation] = []
    total = np.zeros(model.draws)
    dates = data.dates[data.window]
    for i, line in enumerate(data.lines):
        ours = by_period(model, kpi, line, fit.media[i] * fit.price[i])[:, data.window]
        each = zip(fit.solutions, fit.half[:, i], strict=True)
        theirs = np.array([_formula(fit, i, one, float(half)) for one, half in each])
        place = (kpi, line)
        checks.append(compare(ours, theirs, place, "Robyn's formula", draw_and_date(dates), data.file))
        stored = np.array([one.channels[line].contribution for one in fit.solutions])
        summed = ours.sum(axis=1)
        against = "the exported contribution over the window"
        checks.append(compare(summed, stored, place, against, _solution(fit.solutions), data.file))
        total += ours.mean(axis=1)
    _check_kpi(fit)
    return checks, total


def _solution(solutions: Sequence[Solution]) -> Callable[[tuple[int, ...]], str]:
    return lambda index: f"model {solutions[index[0]].name}"


def _formula(fit: _Fit, i: int, one: Solution, half: float) -> Floats:
    """Robyn's response of one line in the window: (T,)."""
    channel = one.channels[fit.data.lines[i]]
    media = _adstocked(fit.data, fit.media[i], channel)[fit.data.window]
    with np.errstate(divide="ignore", over="ignore"):
        return channel.coefficient / (1.0 + (half / media) ** channel.alpha)


def _check_kpi(fit: _Fit) -> None:
    """The model's parts should add up to the KPI, near enough: else the KPI's column was changed."""
    found, parts = float(fit.data.values[fit.data.window].sum()), fit.data.total
    if abs(parts - found) > KPI_MISMATCH * abs(found):
        raise DataError(
            f"'{fit.data.kpi}' adds up to {found:.6g} in the window, the model's parts to {parts:.6g}",
            "is this the data the model was fitted to?",
            path=("Extras", "raw_data", fit.data.kpi),
            file=fit.data.file,
        )


def _notes(fit: _Fit) -> tuple[str, ...]:
    data, window = fit.data, fit.data.window
    prices = {
        line: Price.of(exposure, media[window], spend[window])
        for line, exposure, paid, media, spend in zip(
            data.lines, data.exposures, data.spends, fit.media, fit.spend, strict=True
        )
        if exposure != paid
    }
    notes = imported.price_notes(prices)
    idle = [data.lines[i] for i in np.flatnonzero(~np.any(fit.values("coefficient") > 0, axis=0))]
    if idle:
        notes.append(f"Without any effect in this model: {', '.join(idle)}.")
    if data.organic:
        notes.append(f"Not lines, in what comes anyway: organic channels ({', '.join(data.organic)}).")
    if len(fit.solutions) > 1:
        notes.append(
            f"The draws are {len(fit.solutions)} models of Robyn's Pareto front, all counted the same: they "
            "differ in what they trade off, and are no measure of doubt."
        )
    else:
        notes.append("One model without draws: nothing here says how sure its curves are.")
    if data.warnings:
        notes.append(f"Robyn says: {'; '.join(data.warnings)}.")
    return (*notes, imported.BASELINE_NOTE)
