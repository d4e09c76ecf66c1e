"""A Robyn export as checked data: the model's JSON with its raw data, and the CSVs of a Pareto ensemble."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from ..curves import Floats
from ..errors import DataError
from .recompute import TOLERANCE
from .tabular import BYTES_LIMIT, Table, cell_number, read

ADSTOCKS = ("geometric", "weibull_cdf", "weibull_pdf")
HYPERPARAMETERS = {"geometric": ("alphas", "gammas", "thetas")}
WEIBULL = ("alphas", "gammas", "shapes", "scales")
FIELDS = {"alphas": "alpha", "gammas": "gamma", "thetas": "theta", "shapes": "shape", "scales": "scale"}
VERSION = re.compile(r"v(\d+)\.(\d+)")
# The first version whose inflexion starts at zero.
FROM_ZERO = (3, 12)
# As Robyn's own limits have it.
MOST_SHAPE = 20
Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Channel:
    """One channel's parameters, by Robyn's names, and its exported contribution over the window."""

    coefficient: float
    contribution: float
    alpha: float
    gamma: float
    theta: float = 0.0
    shape: float = 0.0
    scale: float = 0.0


@dataclass(frozen=True)
class Solution:
    """One model: its number, and its channels by line."""

    name: str
    channels: dict[str, Channel]


@dataclass(frozen=True)
class RobynData:
    """What a model was fitted to: R rows.

    Attributes
    ----------
    lines, spends, exposures : list of str
        Paid media: names, and the columns of spend and of what the model saw.
    columns : dict
        (R,) by column.
    values : (R,)
        The KPI.
    window : slice
        The rows modelled.
    total : float
        What the model's parts add up to in the window.
    """

    file: str
    version: str
    adstock: str
    inflexion_from_zero: bool
    date_column: str
    kpi: str
    kpi_is_money: bool
    lines: list[str]
    spends: list[str]
    exposures: list[str]
    organic: list[str]
    dates: list[date]
    columns: dict[str, Floats]
    values: Floats
    window: slice
    total: float
    warnings: list[str]


class _Document:
    """Plain data from JSON with the place of each part; R writes single values as lists of one."""

    def __init__(self, file: str, data: Any) -> None:
        self.file, self.data = file, data

    def fault(self, path: Place, message: str, hint: str = "export the model again with robyn_write") -> DataError:
        return DataError(message, hint, path=path, file=self.file)

    def get(self, *path: str | int) -> Any:
        found = self.data
        for i, part in enumerate(path):
            if not isinstance(found, dict) or part not in found:
                raise self.fault(path[: i + 1], "is missing")
            found = found[part]
        return found

    def one(self, *path: str | int) -> Any:
        found = self.get(*path)
        if isinstance(found, list):
            if len(found) != 1:
                raise self.fault(path, f"holds {len(found)} values, not one")
            return found[0]
        return found

    def text(self, *path: str | int) -> str:
        found = self.one(*path)
        if not isinstance(found, str):
            raise self.fault(path, f"is {_shown(found)}, not text")
        return found

    def texts(self, *path: str | int) -> list[str]:
        found = self.get(*path)
        found = [found] if isinstance(found, str) else found
        if not isinstance(found, list) or not all(isinstance(part, str) for part in found):
            raise self.fault(path, "is not a list of names")
        return list(found)

    def number(self, value: Any, path: Place) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.fault(path, f"is {_shown(value)}, not a number")
        if not math.isfinite(value) or abs(value) > 1e15:
            raise self.fault(path, f"is {_shown(value)}, infinite or too large")
        return float(value)

    def whole(self, *path: str | int) -> int:
        found = self.number(self.one(*path), path)
        if found != int(found):
            raise self.fault(path, f"is {found:g}, not a whole number")
        return int(found)


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:
        return "a number with thousands of digits"
    return text if len(text) <= 40 else f"{text[:40]}..."


def read_model(path: Path) -> tuple[RobynData, Solution]:
    """Read an exported model and its raw data.

    Raises
    ------
    DataError
        If the file is no such export, lacks a part, or holds text or NaN where numbers belong; with the place.
    """
    document = _Document(str(path), _json(path))
    version = document.text("InputCollect", "version")
    number = VERSION.search(version)
    if number is None:
        raise document.fault(("InputCollect", "version"), f"{version!r} names no version")
    adstock = document.text("InputCollect", "adstock")
    if adstock not in ADSTOCKS:
        hint = f"there are: {', '.join(ADSTOCKS)}"
        raise document.fault(("InputCollect", "adstock"), f"the adstock {adstock!r} is not known", hint)
    lines = document.texts("InputCollect", "paid_media_spends")
    # Which column the model saw: stated since 3.12, the variables themselves before.
    field = "paid_media_selected" if "paid_media_selected" in document.get("InputCollect") else "paid_media_vars"
    exposures = document.texts("InputCollect", field)
    if len(exposures) != len(lines) or not lines or len(set(lines)) < len(lines):
        raise document.fault(("InputCollect", field), "does not go with paid_media_spends")
    date_column, kpi = document.text("InputCollect", "date_var"), document.text("InputCollect", "dep_var")
    rows = _rows(document)
    start, end = (document.whole("InputCollect", f"rollingWindow{side}Which") for side in ("Start", "End"))
    if not 1 <= start < end <= len(rows):
        path_of = ("InputCollect", "rollingWindowStartWhich")
        raise document.fault(
            path_of, f"the window {start} to {end} is not within the {len(rows)} rows of raw data"
        )
    wanted = dict.fromkeys([*lines, *exposures])
    summary = _summary(document)
    data = RobynData(
        file=str(path),
        version=version,
        adstock=adstock,
        inflexion_from_zero=(int(number[1]), int(number[2])) >= FROM_ZERO,
        date_column=date_column,
        kpi=kpi,
        kpi_is_money=document.text("InputCollect", "dep_var_type") == "revenue",
        lines=exposures if len(set(exposures)) == len(exposures) else lines,
        spends=lines,
        exposures=exposures,
        organic=_texts_or_none(document, "organic_vars"),
        dates=_dates(document, rows, date_column),
        columns={name: _column(document, rows, name, 0.0) for name in wanted},
        values=_column(document, rows, kpi, -math.inf),
        window=slice(start - 1, end),
        total=math.fsum(part["decompAgg"] for part in summary.values()),
        warnings=_warnings(document),
    )
    _check_spend(document, data, summary)
    return data, _solution(document, data, summary)


def _json(path: Path) -> Any:
    try:
        size = path.stat().st_size
        if size > BYTES_LIMIT:
            what = f"the file has {size:,} bytes; at most {BYTES_LIMIT:,} are read"
            raise DataError(what, "export one model without its plots' data", file=str(path))
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise DataError(reason[0].lower() + reason[1:], "name the model's JSON file", file=str(path)) from None
    try:
        return json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse)
    except UnicodeDecodeError:
        what, line = "the file is not UTF-8 text", None
    except json.JSONDecodeError as error:
        what, line = f"not JSON: {error.msg[0].lower()}{error.msg[1:]}", error.lineno
    except RecursionError:
        what, line = "the file is nested too deeply", None
    except ValueError as error:
        what, line = f"not JSON: {str(error).splitlines()[0][:80]}", None
    raise DataError(what, "export the model again with robyn_write", line=line, file=str(path))


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a number JSON knows")


def _texts_or_none(document: _Document, name: str) -> list[str]:
    found = document.get("InputCollect").get(name)
    return document.texts("InputCollect", name) if found else []


def _warnings(document: _Document) -> list[str]:
    """What Robyn says of its own convergence."""
    collected = document.data.get("ModelsCollect")
    said = collected.get("conv_msg", []) if isinstance(collected, dict) else []
    return [text for text in said if isinstance(text, str) and "NOT" in text] if isinstance(said, list) else []


def _rows(document: _Document) -> list[dict[str, Any]]:
    rows = document.get("Extras", "raw_data")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise document.fault(("Extras", "raw_data"), "is not a list of rows")
    return rows


def _cell(document: _Document, rows: list[dict[str, Any]], row: int, name: str) -> Any:
    if name not in rows[row]:
        raise document.fault(("Extras", "raw_data", row, name), "is missing")
    return rows[row][name]


def _column(document: _Document, rows: list[dict[str, Any]], name: str, least: float) -> Floats:
    found = np.empty(len(rows))
    for row in range(len(rows)):
        place = ("Extras", "raw_data", row, name)
        found[row] = document.number(_cell(document, rows, row, name), place)
        if found[row] < least:
            raise document.fault(place, f"is {found[row]:g}, below {least:g}", "media and spend are 0 or more")
    return found


def _dates(document: _Document, rows: list[dict[str, Any]], name: str) -> list[date]:
    found = []
    for row in range(len(rows)):
        text = _cell(document, rows, row, name)
        try:
            found.append(date.fromisoformat(text[:10]))
        except (TypeError, ValueError):
            raise document.fault(("Extras", "raw_data", row, name), f"{_shown(text)} is not a date") from None
    return found


def _summary(document: _Document) -> dict[str, dict[str, float]]:
    """Coefficient, contribution and, for paid media, mean spend by variable."""
    parts = document.get("ExportedModel", "summary")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise document.fault(("ExportedModel", "summary"), "is not a list of variables")
    found: dict[str, dict[str, float]] = {}
    for row, part in enumerate(parts):
        place: Place = ("ExportedModel", "summary", row)
        name = part.get("variable")
        if not isinstance(name, str) or name in found:
            raise document.fault((*place, "variable"), "is no name, or there twice")
        for field in ("coef", "decompAgg"):
            if field not in part:
                raise document.fault((*place, field), f"is missing for '{name}'")
        fields = [field for field in ("coef", "decompAgg", "mean_spend") if field in part]
        found[name] = {field: document.number(part[field], (*place, field)) for field in fields}
    return found


def _check_spend(document: _Document, data: RobynData, summary: dict[str, dict[str, float]]) -> None:
    """Robyn's curves do not change with the media's scale: hold its spend against the figures it exported."""
    total = document.number(document.one("InputCollect", "paid_media_total"), ("InputCollect", "paid_media_total"))
    found = math.fsum(float(data.columns[name][data.window].sum()) for name in data.spends)
    if abs(found - total) > TOLERANCE * abs(total):
        what = f"spend adds up to {found:,.6g} in the window, the model says {total:,.6g}"
        raise document.fault(
            ("InputCollect", "paid_media_total"), what, "is this the data the model was fitted to?"
        )
    for line, column in zip(data.lines, data.spends, strict=True):
        stated = summary.get(line, {}).get("mean_spend")
        spend = data.columns[column]
        means = (float(spend.mean()), float(spend[data.window].mean()))
        if stated is not None and min(abs(mean - stated) for mean in means) > TOLERANCE * abs(stated):
            what = f"the mean spend is {means[0]:,.6g}, the model says {stated:,.6g}"
            raise document.fault(("Extras", "raw_data", column), what, "are columns swapped, or scales changed?")


def _solution(document: _Document, data: RobynData, summary: dict[str, dict[str, float]]) -> Solution:
    channels = {}
    for line in data.lines:
        if line not in summary:
            raise document.fault(("ExportedModel", "summary"), f"says nothing about '{line}'")
        values = {}
        for name in HYPERPARAMETERS.get(data.adstock, WEIBULL):
            place = ("ExportedModel", "hyper_values", f"{line}_{name}")
            values[FIELDS[name]] = document.number(document.one(*place), place)
        channel = Channel(summary[line]["coef"], summary[line]["decompAgg"], **values)
        _check_channel(line, channel, document.file, ("ExportedModel",))
        channels[line] = channel
    return Solution(document.text("ExportedModel", "select_model"), channels)


def _check_channel(line: str, channel: Channel, file: str, path: Place) -> None:
    checks = {
        "the coefficient is negative: more media would do harm": channel.coefficient >= 0,
        "alpha is not above 0": channel.alpha > 0,
        "gamma is not above 0 and up to 1": 0 < channel.gamma <= 1,
        "theta is not from 0 to below 1": 0 <= channel.theta < 1,
        f"shape is not from 0 to {MOST_SHAPE}": 0 <= channel.shape <= MOST_SHAPE,
        "scale is not from 0 to 1": 0 <= channel.scale <= 1,
    }
    for what, good in checks.items():
        if not good:
            raise DataError(f"'{line}': {what}", "choose another model", path=path, file=file)


def read_ensemble(folder: Path, data: RobynData) -> tuple[list[Solution], dict[str, str | Path]]:
    """Read every model of a Pareto ensemble, and name the files read.

    Raises
    ------
    DataError
        If a file or number is missing, or the two files hold other models.
    """
    paths: dict[str, Path] = {name: folder / f"pareto_{name}.csv" for name in ("hyperparameters", "aggregated")}
    names = HYPERPARAMETERS.get(data.adstock, WEIBULL)
    wanted: dict[str, Place] = {f"{line}_{name}": ("ensemble",) for line in data.lines for name in names}
    hyper = read(paths["hyperparameters"], {"solID": ("ensemble",), **wanted})
    parts = read(paths["aggregated"], dict.fromkeys(("solID", "rn", "coef", "xDecompAgg"), ("ensemble",)))
    keys = list(zip(map(str, parts.cells["solID"]), map(str, parts.cells["rn"]), strict=True))
    rows: dict[tuple[str, str], int] = {}
    for row, key in enumerate(keys):
        if key in rows:
            raise parts.fault(row, "rn", f"'{key[1]}' stands twice for model {key[0]}", "keep one")
        rows[key] = row
    solutions: list[Solution] = []
    for row, name in enumerate(map(str, hyper.cells["solID"])):
        if any(name == one.name for one in solutions):
            raise hyper.fault(row, "solID", f"model {name} stands twice", "keep one")
        channels = {}
        for line in data.lines:
            if (name, line) not in rows:
                what = f"model {name} of {hyper.file} has no row for '{line}'"
                raise DataError(what, "use both files of one run", path=("solID",), file=parts.file)
            values = {FIELDS[field]: _value(hyper, row, f"{line}_{field}") for field in names}
            at = rows[name, line]
            channel = Channel(_value(parts, at, "coef"), _value(parts, at, "xDecompAgg"), **values)
            _check_channel(f"{line}' of model '{name}", channel, hyper.file, ("solID",))
            channels[line] = channel
        solutions.append(Solution(name, channels))
    return solutions, {f"ensemble_{name}": path for name, path in paths.items()}


def _value(table: Table, row: int, column: str) -> float:
    value = cell_number(table, row, column)
    if value is None:
        raise table.fault(row, column, "the cell is blank (NA)", "export the ensemble again")
    return value
