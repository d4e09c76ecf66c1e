"""From a history to a ResponseModel with draws: the columns, the fit of each KPI, and what is saved."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import documents
from ..curves import FAMILIES, Floats
from ..errors import DataError, SpecError
from ..response import ResponseModel, file_hash
from . import diagnostics
from .diagnostics import KpiFit
from .history import STEP, FitSpec, History, load_history
from .regression import Chances, Design, draw, estimate, grid, saturated

YEAR_DAYS = 365.25
# With fewer periods to fit on than this, or than two a baseline column and one a line, nothing is fitted.
LEAST_PERIODS = 20
METHOD = (
    "non-negative ridge regression towards equal returns on saturating, geometrically adstocked spend; "
    "circular block bootstrap"
)

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Fit:
    """A fitted model and what to know about it.

    Attributes
    ----------
    model : ResponseModel
        Michaelis-Menten curves (concave) on normalised geometric adstock, per period, media = spend.
    diagnostics : dict
        Plain data: ``kpis`` (fit, held-out error against plain forecasts, media share), ``lines`` (spend
        seen, periods on, own movement), ``effects`` (share and return by KPI and line with 90 % intervals,
        how much the data resolved), ``alike`` (pairs of lines that moved together).
    notes : tuple of str
        What the data cannot tell, in words; the same as ``model.notes``.
    repairs : tuple of str
        What was filled or left aside on reading, because the config asks for it.
    spec : FitSpec
        The config.
    """

    model: ResponseModel
    diagnostics: dict[str, Any]
    notes: tuple[str, ...]
    repairs: tuple[str, ...]
    spec: FitSpec

    def tables(self) -> dict[str, pd.DataFrame]:
        """Tables to read: ``kpis``, ``lines`` and ``effects``."""
        return diagnostics.tables(self.diagnostics, self.spec.currency)

    def to_json(self) -> str:
        """Everything but the draws, as JSON with sorted keys: the same fit gives the same bytes."""
        content = {
            "about": self.model.attributes,
            "config": self.spec.model_dump(mode="json"),
            "diagnostics": self.diagnostics,
            "notes": list(self.notes),
            "repairs": list(self.repairs),
        }
        return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"

    def save(self, folder: str | Path) -> None:
        """Write ``response.nc`` and ``fit.json``, both or none.

        Raises
        ------
        DataError
            If the folder cannot be made or written to.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fit-", dir=folder) as work:
                self.model.save(Path(work) / "response.nc")
                (Path(work) / "fit.json").write_text(self.to_json(), encoding="utf-8")
                for name in ("response.nc", "fit.json"):
                    (Path(work) / name).replace(folder / name)
        except OSError as error:
            reason = error.strerror or "cannot be written"
            raise DataError(
                reason[0].lower() + reason[1:], "name a folder to write to", file=str(folder)
            ) from None


def run_fit(
    history_path: str | Path,
    config_path: str | Path,
    out_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Fit:
    """Read config and history, fit, and save to ``out_dir`` if one is given.

    Raises
    ------
    SpecError
        If the config is not usable; with its file and line.
    DataError
        If the history is not usable, or the results cannot be written. Nothing is written after any error.
    """
    history, spec = check_history(history_path, config_path)
    result = fit(history, spec, progress, config_sha256=file_hash(config_path))
    if out_dir is not None:
        result.save(out_dir)
    return result


def check_history(history_path: str | Path, config_path: str | Path) -> tuple[History, FitSpec]:
    """Read config and history and check all that `fit` needs of them.

    Raises
    ------
    SpecError, DataError
        As `run_fit` does.
    """
    document = documents.read(config_path)
    try:
        spec = documents.check(document, FitSpec)
        history = load_history(history_path, spec)
        _check_enough(history, spec, _baseline_columns(history, spec).shape[1])
    except SpecError as error:
        document.locate(error)
        raise
    return history, spec


def fit(history: History, spec: FitSpec, progress: Progress | None = None, *, config_sha256: str = "") -> Fit:
    """Fit every KPI of a history; `regression` holds the method.

    Parameters
    ----------
    history : History
        T periods, L lines, K KPIs.
    spec : FitSpec
        How to fit.
    progress : callable, optional
        Called with the share done, 0 to 1.

    Raises
    ------
    DataError
        If there are too few periods, or a line, KPI or control that never varies or is never on.
    SpecError
        If an event lies outside the history and forecast, or season needs a longer history.
    """
    free = _baseline_columns(history, spec)
    _check_enough(history, spec, free.shape[1])
    # Random numbers go by position: in the order of names, the order in the config changes nothing.
    history = replace(history, spend=history.spend[sorted(spec.lines)])
    spend = history.spend.to_numpy(dtype=np.float64).T
    n_periods = spend.shape[1]
    typical = spend.sum(axis=1) / (spend > 0).sum(axis=1)
    points = grid(spec.period)
    curves = saturated(spend, typical, points, spec.carryover)
    design = Design.of(free[:n_periods], curves, spend.sum(axis=1) / spend.sum())
    chances = Chances.of(spec.seed, spec.draws, len(spend), n_periods, spec.block)
    fitted: list[KpiFit] = []
    for done, (name, kpi) in enumerate(spec.kpis.items(), start=1):
        values = history.kpis[name].to_numpy(dtype=np.float64)
        unit = float(np.mean(np.abs(values))) * kpi.media_share
        best = estimate(design, values / unit)
        draws = draw(design, values / unit, best, chances, spec.block)
        fitted.append(KpiFit(name, unit, values / unit, design, best, draws))
        if progress is not None:
            progress(done / len(spec.kpis))
    baseline = np.stack([one.draws.theta @ free[n_periods:].T * one.unit for one in fitted], axis=1)
    report = diagnostics.report(fitted, baseline, history, spec, points)
    notes = diagnostics.notes(report, history, spec)
    about = _about(history, spec, config_sha256)
    model = _model(history, spec, fitted, typical, points, curves.mean(axis=-1), baseline, notes, about)
    return Fit(model.select(list(spec.kpis), list(spec.lines)), report, notes, history.repairs, spec)


def _model(
    history: History,
    spec: FitSpec,
    fitted: list[KpiFit],
    typical: Floats,
    points: Floats,
    means: Floats,
    baseline: Floats,
    notes: tuple[str, ...],
    about: dict[str, str | int],
) -> ResponseModel:
    """Turn coefficients on columns of mean ``share`` into curves in currency and KPI units."""
    lines, spend = np.arange(len(typical)), history.spend.to_numpy(dtype=np.float64).T
    shape = np.stack([one.draws.shape for one in fitted], axis=1)
    gamma = np.stack([one.draws.gamma * one.unit for one in fitted], axis=1)
    cell = (len(fitted), len(lines))
    return ResponseModel(
        kpis=tuple(one.name for one in fitted),
        lines=tuple(str(name) for name in history.spend.columns),
        family=np.full(cell, FAMILIES["michaelis_menten"].code, dtype=np.int64),
        scale=gamma * fitted[0].design.share / means[lines, shape],
        first=points[shape, 1] * typical,
        second=np.ones(shape.shape),
        rate=points[shape, 0],
        length=np.full(cell, spec.carryover, dtype=np.int64),
        normalised=np.ones(cell, dtype=bool),
        baseline=baseline,
        observed=np.column_stack([spend.min(axis=1), spend.max(axis=1)]),
        history=np.ascontiguousarray(spend[:, -spec.carryover :]),
        start=(history.dates[-1] + STEP[spec.period]).date(),
        period=spec.period,
        notes=notes,
        attributes=about,
    )


def _about(history: History, spec: FitSpec, config_sha256: str) -> dict[str, str | int]:
    about: dict[str, str | int] = {
        "method": METHOD,
        "seed": spec.seed,
        "history_sha256": history.sha256,
        "rows": len(history.dates),
        "first": history.dates[0].date().isoformat(),
        "last": history.dates[-1].date().isoformat(),
    }
    if config_sha256:
        about["config_sha256"] = config_sha256
    if spec.currency:
        about["currency"] = spec.currency
    return about


def _baseline_columns(history: History, spec: FitSpec) -> Floats:
    """Columns of the baseline over history and forecast, all of the order of one: (T + P, q).

    Intercept, linear trend, ``season`` yearly sine and cosine pairs, for days the full weekly pattern (three
    pairs), named events as 0 or 1, controls in standard deviations (in the forecast at the last year's mean).
    """
    known, step = len(history.dates), STEP[spec.period].days
    total = known + spec.forecast
    day = np.arange(total) * step
    columns = [np.ones(total), np.arange(total) / known - 0.5]
    cycles = [day / YEAR_DAYS * h for h in range(1, spec.season + 1)]
    cycles += [day / 7 * h for h in (1, 2, 3)] if spec.period == "day" else []
    for cycle in cycles:
        columns += [np.cos(2 * np.pi * cycle), np.sin(2 * np.pi * cycle)]
    columns += [_event(name, history, spec, total) for name in spec.events]
    for name in spec.controls:
        values = history.controls[name].to_numpy(dtype=np.float64)
        if np.ptp(values) <= 1e-12 * np.abs(values).max():
            raise DataError("the control never varies", "leave it out", path=(name,), file=history.file)
        future = np.full(spec.forecast, values[-diagnostics.YEAR[spec.period] :].mean())
        columns.append((np.concatenate([values, future]) - values.mean()) / values.std())
    return np.column_stack(columns)


def _event(name: str, history: History, spec: FitSpec, total: int) -> Floats:
    """Ones in the periods that hold a date of the event: (T + P,)."""
    column, first, step = np.zeros(total), history.dates[0].date(), STEP[spec.period]
    last = first + total * step - timedelta(days=1)
    for i, day in enumerate(spec.events[name]):
        if not first <= day <= last:
            raise SpecError(
                f"{day} lies outside history and forecast, {first} to {last}",
                "leave it out, or make 'forecast' longer",
                path=("events", name, i),
            )
        column[(day - first) // step] = 1.0
    if not column[: len(history.dates)].any():
        raise SpecError(
            "the event has no date in the history, so its effect cannot be known",
            "add its date of a year before, or leave it out",
            path=("events", name),
        )
    return column


def _check_enough(history: History, spec: FitSpec, columns: int) -> None:
    periods, year = len(history.dates), diagnostics.YEAR[spec.period]
    if spec.season and periods < year:
        raise SpecError(
            f"{spec.season} yearly waves need a year of history; there are {periods} {spec.period}s",
            "state 'season: 0'",
            path=("season",),
        )
    least = spec.holdout + max(LEAST_PERIODS, 2 * columns + len(spec.lines))
    if periods < least:
        raise DataError(
            f"{periods} {spec.period}s are too few: {columns} baseline columns, {len(spec.lines)} lines and "
            f"{spec.holdout} held-out {spec.period}s need {least}",
            "use a longer history, fewer lines or controls, or a lower 'season'",
            file=history.file,
        )
    for name in spec.lines:
        if not (history.spend[name] > 0).any():
            raise DataError(
                f"line '{name}' has no spend in any {spec.period}",
                "leave it out",
                path=(name,),
                file=history.file,
            )
    for name in spec.kpis:
        values = history.kpis[name].to_numpy()
        if np.ptp(values) <= 1e-12 * np.abs(values).max():
            raise DataError(f"KPI '{name}' never varies", "check its column", path=(name,), file=history.file)
