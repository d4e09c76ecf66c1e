"""Import a PyMC-Marketing model, as ``mmm.save`` writes it (netCDF, the model's specification in its attributes).

With spend ``x[t]`` of a channel:

    scaled spend      z = x / channel_scale
    adstock           a[t] = sum_l w[l] z[t-l], l = 0 .. l_max - 1; before the saturation, or after it
    saturation        `pymc_transforms.SATURATIONS`
    response          saturation(a) * target_scale

(PyMC-Marketing, ``mmm.transformers``.) One line is one channel, in each geo or the like where the model has such
dimensions. The channels are read as spend in currency.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from ..adstock import KINDS, MAX_LENGTH
from ..curves import FAMILIES, Floats
from ..errors import DataError
from ..response import ResponseModel
from . import imported, netcdf
from .imported import Import
from .netcdf import Inference
from .pymc_transforms import ADSTOCKS, SATURATIONS, Saturation, weights
from .recompute import TOLERANCE, Recomputation, adstocked, by_period, compare, draw_and_date

FORMULA = "PyMC-Marketing's formula"
SCALED, ORIGINAL = "channel_contribution", "channel_contribution_original_scale"


@dataclass(frozen=True)
class _Fit:
    """What was read: D draws, T periods, L lines."""

    file: str
    adstock: str
    length: int
    normalised: bool
    adstock_first: bool
    carry: dict[str, Floats]
    saturation: Saturation
    shape: dict[str, Floats]
    spend: Floats
    spend_unit: Floats
    kpi: Floats
    kpi_unit: Floats
    stored: tuple[str, ...]
    dates: list[date]
    cells: list[tuple[str, ...]]
    dims: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """Their names: channel, then the rest."""
        return tuple(cell[-1] + (f" in {', '.join(cell[:-1])}" if cell[:-1] else "") for cell in self.cells)


def read(path: str | Path, *, currency: str, kpi: str | None = None) -> Import:
    """Read a saved PyMC-Marketing model.

    Parameters
    ----------
    path : path
        The netCDF file; read as data.
    currency : str
        Of the spend.
    kpi : str, optional
        What to call the KPI; the target column's name unless given.

    Raises
    ------
    DataError
        If the file cannot be used, holds something no plan can be made with, or the recomputed contributions are
        not the model's.
    """
    with netcdf.opened(path) as file:
        spec = _Attributes(file)
        fit = _fit(file, spec)
        kpi = kpi or spec.text("target_column")
        model = _model(fit, kpi)
        checks, brought = _recompute(model, fit, file)
    period, start = imported.timing(fit.dates, fit.file, ("constant_data", "date"))
    notes = [
        imported.BASELINE_NOTE,
        "Channels are read as spend in currency; state prices if they are not.",
    ]
    if not fit.stored:
        notes.append("The file holds no contributions of its own: only the library's formula was recomputed.")
    about = imported.origin("PyMC-Marketing", {"model": path}, currency=currency)
    model = replace(
        model,
        baseline=imported.baseline(fit.kpi, brought),
        start=start,
        period=period,
        notes=tuple(notes),
        attributes=about | {"first": fit.dates[0].isoformat(), "last": fit.dates[-1].isoformat()},
    )
    return Import(
        source="PyMC-Marketing",
        model=model,
        checks=tuple(checks),
        current=imported.latest(fit.spend, period),
        currency=currency,
        units={kpi: kpi},
        attributes={
            line: dict(zip((*fit.dims, "channel"), cell, strict=True))
            for line, cell in zip(fit.lines, fit.cells, strict=True)
        },
        read={"adstock": fit.adstock, "saturation": spec.entry("saturation"), "periods": len(fit.dates)},
    )


class _Attributes:
    """The model's specification: JSON in the file's attributes."""

    def __init__(self, file: Inference) -> None:
        self.file = file

    def fault(self, name: str, message: str, hint: str) -> DataError:
        """Name a bad attribute."""
        return DataError(message, hint, path=("attributes", name), file=self.file.file)

    def text(self, name: str) -> str:
        """One attribute as it stands."""
        if name not in self.file.attributes:
            hint = "save the model with PyMC-Marketing 0.15 or newer (mmm.save)"
            raise self.fault(name, "the attribute is missing", hint)
        return self.file.attributes[name]

    def data(self, name: str, kind: type, default: Any = None) -> Any:
        """One attribute as plain data of this kind; the default where one is given and it is not there."""
        if default is not None and name not in self.file.attributes:
            return default
        try:
            found = json.loads(self.text(name))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, kind):
            raise self.fault(name, "the attribute cannot be read", "save the model again with mmm.save")
        return found

    def entry(self, name: str) -> str:
        """Which adstock or saturation it is."""
        return str(self.data(name, dict).get("lookup_name"))

    def check(self) -> None:
        """Refuse what no plan can be made with."""
        if self.data("time_varying_media", bool, False):
            what = "the channels' effects change over time (time_varying_media)"
            raise self.fault("time_varying_media", what, "fit with effects that stay the same to plan with them")
        if self.file.attributes.get("cost_per_unit", "null") != "null":
            what = "the channels are not in money (cost_per_unit)"
            raise self.fault("cost_per_unit", what, "fit the model on spend to plan money with it")


def _fit(file: Inference, spec: _Attributes) -> _Fit:
    spec.check()
    channels = file.names("posterior", "channel")
    dims = tuple(str(name) for name in spec.data("dims", list, []))
    _check_names(file, spec, channels, dims)
    axes = (*dims, "channel")
    adstock, saturation = spec.data("adstock", dict), spec.data("saturation", dict)
    kind, length, normalised, carry = _adstock(file, spec, adstock, axes)
    if saturation.get("lookup_name") not in SATURATIONS:
        what = f"the saturation {saturation.get('lookup_name')!r} has no counterpart here"
        raise spec.fault("saturation", what, f"there are: {', '.join(SATURATIONS)}")
    form = SATURATIONS[saturation["lookup_name"]]
    prefix = str(saturation.get("prefix", "saturation"))
    shape = {name: _flat(file.draws(f"{prefix}_{name}", axes)) for name in form.parameters}
    spend = file.numbers("constant_data", "channel_data", ("date", *axes)).reshape(-1, len(_cells(file, axes))).T
    target = file.numbers("constant_data", "target_data", ("date", *dims))
    unit = np.repeat(file.spread("constant_data", "target_scale", dims).ravel(), len(channels))
    stored = tuple(name for name in (SCALED, ORIGINAL) if file.has("posterior", name))
    spend_unit = file.spread("constant_data", "channel_scale", axes).ravel()
    for name, scale in (("channel_scale", spend_unit), ("target_scale", unit)):
        if np.any(scale <= 0):
            what, path = f"a scale of {scale.min():g}", ("constant_data", name)
            raise DataError(what, "fit without channels that were never on", path=path, file=file.file)
    if ORIGINAL not in stored:
        _check_target_scale(file, spec, target, dims)
    if np.any(spend < 0):
        raise DataError("negative spend", "fit without it", path=("constant_data", "channel_data"), file=file.file)
    return _Fit(
        file=file.file,
        adstock=kind,
        length=length,
        normalised=normalised,
        adstock_first=spec.data("adstock_first", bool, True),
        carry=carry,
        saturation=form,
        shape=shape,
        spend=np.ascontiguousarray(spend),
        spend_unit=spend_unit,
        kpi=target.reshape(len(target), -1).sum(axis=1),
        kpi_unit=unit,
        stored=stored,
        dates=_dates(file),
        cells=_cells(file, axes),
        dims=dims,
    )


def _flat(values: Floats) -> Floats:
    return np.ascontiguousarray(values.reshape(len(values), -1))


def _cells(file: Inference, axes: Sequence[str]) -> list[tuple[str, ...]]:
    return list(itertools.product(*(file.names("posterior", axis) for axis in axes)))


def _dates(file: Inference) -> list[date]:
    found = file.values("constant_data", "date", ("date",))
    if found.dtype.kind != "M":
        what, path = "the dates cannot be read", ("constant_data", "date")
        raise DataError(what, "save the model again with mmm.save", path=path, file=file.file)
    days: list[date] = found.astype("datetime64[D]").tolist()
    return days


def _check_names(file: Inference, spec: _Attributes, channels: list[str], dims: tuple[str, ...]) -> None:
    """Every part of the file must have the same channels, in the same order, with the same spend."""
    stated = [str(name) for name in spec.data("channel_columns", list)]
    for where, found in (("attributes", stated), ("constant_data", file.names("constant_data", "channel"))):
        if found != channels:
            raise DataError(
                f"the channels are {', '.join(channels)} in 'posterior' and {', '.join(found)} in '{where}'",
                "the file's parts do not belong together: save the model again",
                path=("posterior", "channel"),
                file=file.file,
            )
    dated = ("date",) if "date" in file.group("posterior").dims else ()
    for dim in (*dated, *dims):
        if file.names("constant_data", dim) != file.names("posterior", dim):
            what = f"'{dim}' differs between 'posterior' and 'constant_data'"
            raise DataError(what, "save the model again", path=("posterior", dim), file=file.file)
    if "fit_data" not in file.groups or dims:
        return
    spend = file.numbers("constant_data", "channel_data", ("date", "channel"))
    for i, channel in enumerate(channels):
        if file.has("fit_data", channel):
            given = file.numbers("fit_data", channel, file.group("fit_data")[channel].dims)
            if given.shape != spend[:, i].shape or not np.allclose(given, spend[:, i], rtol=1e-6, atol=0):
                what = f"the spend of '{channel}' is not that in 'fit_data'"
                hint = "are channels swapped, or scales changed? save the model again"
                raise DataError(what, hint, path=("constant_data", "channel_data"), file=file.file)


def _check_target_scale(file: Inference, spec: _Attributes, target: Floats, dims: tuple[str, ...]) -> None:
    """Contributions in scaled units do not show a wrong scale: hold it against the target itself."""
    scaling = spec.data("scaling", dict, {}).get("target", {})
    method, reduced = scaling.get("method"), scaling.get("dims", [])
    if method not in ("max", "mean"):
        return
    axes = (0, *(i for i, dim in enumerate(dims, start=1) if dim in reduced))
    found = getattr(np, method)(target, axis=axes)
    own = [dim for dim in dims if dim not in reduced]
    stated = file.numbers("constant_data", "target_scale", own)
    if not np.allclose(found, stated, rtol=TOLERANCE, atol=0.0):
        what = f"the target's scale is {np.ravel(stated)[0]:g}, its {method} {np.ravel(found)[0]:g}"
        path = ("constant_data", "target_scale")
        raise DataError(what, "save the fitted model again", path=path, file=file.file)


def _adstock(
    file: Inference, spec: _Attributes, adstock: Mapping[str, Any], axes: Sequence[str]
) -> tuple[str, int, bool, dict[str, Floats]]:
    """Kind, length, whether normalised, and parameters by their place in our model: (D, L) each."""
    kind = str(adstock.get("lookup_name"))
    if kind not in ADSTOCKS:
        raise spec.fault(
            "adstock", f"the adstock {kind!r} has no counterpart here", f"there are: {', '.join(ADSTOCKS)}"
        )
    if adstock.get("mode", "After") != "After":
        raise spec.fault("adstock", f"the mode {adstock['mode']!r} has no counterpart here", "only 'After' has")
    names, more = ADSTOCKS[kind]
    length = adstock.get("l_max", 1) if kind != "no_adstock" else 1
    if not isinstance(length, int) or isinstance(length, bool) or not 1 <= length + more <= MAX_LENGTH:
        raise spec.fault("adstock", f"l_max is {length!r}", f"a whole number up to {MAX_LENGTH - more}")
    prefix = str(adstock.get("prefix", "adstock"))
    carry = {place: _flat(file.draws(f"{prefix}_{name}", axes)) for place, name in names.items()}
    return kind, length + more, adstock.get("normalize") is True, carry


def _model(fit: _Fit, kpi: str) -> ResponseModel:
    """The library's parameters as curves on spend."""
    scale, first, second = fit.saturation.curve(**fit.shape)
    family = fit.saturation.family
    if family == "power":
        scale = scale / fit.spend_unit**second
    elif family == "linear":
        scale = scale / fit.spend_unit
    else:
        first = first * fit.spend_unit
    zeros, ones = np.zeros_like(scale), np.ones_like(scale)
    carry = {"rate": zeros, "spread": ones, "bend": ones} | fit.carry
    _check_ranges(fit, {"scale": scale, "first": first, "second": second} | carry)
    cell = (1, len(fit.cells))
    return ResponseModel(
        kpis=(kpi,),
        lines=fit.lines,
        family=np.full(cell, FAMILIES[family].code, dtype=np.int64),
        scale=(scale * fit.kpi_unit)[:, None],
        first=first[:, None],
        second=second[:, None],
        rate=carry["rate"][:, None],
        length=np.full(cell, fit.length, dtype=np.int64),
        normalised=np.full(cell, fit.normalised),
        baseline=np.zeros((len(scale), 1, 1)),
        observed=np.column_stack([fit.spend.min(axis=1), fit.spend.max(axis=1)]),
        history=imported.past(fit.spend, fit.length),
        carryover=np.full(cell, KINDS.get(fit.adstock, KINDS["geometric"]), dtype=np.int64),
        spread=carry["spread"][:, None],
        bend=carry["bend"][:, None],
        after=np.full(cell, not fit.adstock_first),
    )


def _check_ranges(fit: _Fit, values: Mapping[str, Floats]) -> None:
    """Refuse draws that no plan can be made with, and name the first."""
    least = 0.01 if fit.adstock.startswith("weibull") else 0.0
    limits: dict[str, tuple[Callable[[Floats], Any], str]] = {
        "scale": (lambda x: x >= 0, "more spend would do harm"),
        "first": (lambda x: x > 0, "its half saturation is not above 0"),
        "second": (lambda x: (x > 0) & ((x <= 1) | (fit.saturation.family != "power")), "its shape is impossible"),
        "rate": (lambda x: (x >= 0) & (x < 1), "its adstock's rate is not from 0 to below 1"),
        "spread": (lambda x: x >= least, "its adstock's delay or scale is impossible"),
        "bend": (lambda x: x > 0, "its adstock's shape is not above 0"),
    }
    for name, (good, what) in limits.items():
        bad = np.argwhere(~good(values[name]))
        if len(bad):
            draw, line = (int(index) for index in bad[0])
            raise DataError(
                f"'{fit.lines[line]}', draw {draw}: {what} ({values[name][draw, line]:g})",
                "give its prior a range that excludes this, and fit again",
                path=("posterior",),
                file=fit.file,
            )


def _recompute(model: ResponseModel, fit: _Fit, file: Inference) -> tuple[list[Recomputation], Floats]:
    """Compare with the library's formula and with the contributions in the file, by draw and period.

    Also returns what all lines bring a period: (D,).
    """
    (kpi,) = model.kpis
    checks, total, name = [], np.zeros(model.draws), draw_and_date(fit.dates)
    for i, line in enumerate(model.lines):
        ours = by_period(model, kpi, line, fit.spend[i])
        total += ours.mean(axis=1)
        theirs = {FORMULA: _formula(fit, i)}
        if SCALED in fit.stored:
            theirs["the stored contribution"] = _stored(fit, file, SCALED, i) * fit.kpi_unit[i]
        if ORIGINAL in fit.stored:
            theirs["the stored contribution (original scale)"] = _stored(fit, file, ORIGINAL, i)
        checks += [
            compare(ours, numbers, (kpi, line), against, name, fit.file) for against, numbers in theirs.items()
        ]
    return checks, total


def _stored(fit: _Fit, file: Inference, name: str, i: int) -> Floats:
    """One line's contribution in the file: (D, T). Those of all lines at once may not fit into memory."""
    axes = (*fit.dims, "channel")
    spot = np.unravel_index(i, [len(file.names("posterior", axis)) for axis in axes])
    at = {axis: int(index) for axis, index in zip(axes, spot, strict=True)}
    found = file.numbers("posterior", name, (*netcdf.SAMPLE, "date", *axes), at)
    return found.reshape(-1, found.shape[-1])


def _formula(fit: _Fit, i: int) -> Floats:
    """The library's contribution of one line in the target's units: (D, T)."""
    scaled = fit.spend[i] / fit.spend_unit[i]
    shape = {name: values[:, i] for name, values in fit.shape.items()}
    draws = len(next(iter(shape.values())))
    weight = weights(fit.adstock, fit.length, fit.normalised, draws, **{n: v[:, i] for n, v in fit.carry.items()})
    if fit.adstock_first:
        found = fit.saturation.formula(adstocked(scaled, weight), **shape)
    else:
        media = np.broadcast_to(scaled, (draws, len(scaled)))
        found = adstocked(fit.saturation.formula(media, **shape), weight)
    return found * fit.kpi_unit[i]
