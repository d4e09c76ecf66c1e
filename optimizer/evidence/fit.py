"""From a history to a ResponseModel with draws: the columns, the fit of each KPI, and what is saved."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import documents
from ..curves import FAMILIES, Floats
from ..errors import DataError, SpecError
from ..response import ResponseModel, file_hash
from . import diagnostics, forecast, starter
from .baseline import YEAR, Baseline, baseline
from .calibrate import LiftTest, calibrate, read_tests
from .diagnostics import KpiFit
from .history import STEP, FitSpec, History, load_history
from .kinds import Settled, settle
from .notes import notes
from .posterior import ahead
from .regression import Setup, ceiling
from .shapes import FAMILY, MOST_CANDIDATES, grid

# With fewer periods to fit on than this, or than two a baseline column and one a line, nothing is fitted.
LEAST_PERIODS = 20
# Draws made where experiments weigh them: weights leave few of many.
CANDIDATES = 4000
METHOD = (
    "Bayesian regression on saturating, geometrically adstocked media with shrinkage towards equal returns, "
    "autocorrelated noise and doubt about budgets that follow demand; Gibbs sampling"
)

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Fit:
    """A fitted model and what to know about it.

    Attributes
    ----------
    model : ResponseModel
        Curves on normalised geometric adstock, per period, media = spend: Michaelis-Menten (concave) unless
        a line asks for another or the history speaks for one. The baseline's draws hold noise to come.
    diagnostics : dict
        Plain data: ``kpis`` (fit, error on periods not yet seen against plain forecasts, media share),
        ``lines`` (spend seen, in a period and in as many in a row as a plan has, and in tests, periods on, own
        movement, kind of curve and, where the config leaves it open, the log odds of others against concave),
        ``effects`` (share, return and curve by KPI and line with 90 % intervals, how much the data resolved),
        ``alike`` (pairs of lines that moved together), ``series`` (each KPI by period, as it was and as fitted),
        ``calibration`` where tests were given.
    notes : tuple of str
        What the data cannot tell, in words; the same as ``model.notes``.
    repairs : tuple of str
        What was filled or left aside on reading, because the config asks for it.
    spec : FitSpec
        The config.
    conflicts : int
        Tests that contradict the model, and were not used.
    """

    model: ResponseModel
    diagnostics: dict[str, Any]
    notes: tuple[str, ...]
    repairs: tuple[str, ...]
    spec: FitSpec
    conflicts: int = 0

    def tables(self) -> dict[str, pd.DataFrame]:
        """Tables to read: ``kpis``, ``lines`` and ``effects``."""
        return diagnostics.tables(self.diagnostics, self.spec.currency)

    def starter(self, response: str = "response.nc") -> dict[str, Any]:
        """Return a scenario that plans as it stands: the latest spend, every line free where the history has been.

        A line may get no less and no more than it got in as many periods in a row as the plan is for, or was
        tested at. It plans for the first KPI of the config.

        Parameters
        ----------
        response : str
            The response file, as the scenario names it.

        Raises
        ------
        SpecError
            If the config names no currency.
        """
        return starter.of_fit(self, response)

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
    *,
    tests_path: str | Path | None = None,
) -> Fit:
    """Read config and history, and tests if there are any, fit, and save to ``out_dir`` if one is given.

    Raises
    ------
    SpecError
        If the config or a test is not usable; with its file and line.
    DataError
        If the history is not usable, or the results cannot be written. Nothing is written after any error.
    """
    history, spec = check_history(history_path, config_path)
    tests = read_tests(tests_path, spec) if tests_path is not None else ()
    result = fit(history, spec, progress, tests=tests, config_sha256=file_hash(config_path))
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
        check_enough(history, spec, baseline(history, spec))
    except SpecError as error:
        document.locate(error)
        raise
    return history, spec


def fit(
    history: History,
    spec: FitSpec,
    progress: Progress | None = None,
    *,
    tests: Sequence[LiftTest] = (),
    config_sha256: str = "",
) -> Fit:
    """Fit every KPI of a history; `regression` holds the method, `calibrate` what tests do to it.

    Parameters
    ----------
    history : History
        T periods, L lines, K KPIs.
    spec : FitSpec
        How to fit.
    progress : callable, optional
        Called with the share done, 0 to 1.
    tests : sequence of LiftTest, optional
        Lifts measured by experiments.

    Raises
    ------
    DataError
        If there are too few periods, or a line, KPI or control that never varies or is never on.
    SpecError
        If an event lies outside the history and forecast, season needs a longer history, or a test is of a line
        or KPI that is not fitted.
    """
    base = baseline(history, spec)
    check_enough(history, spec, base)
    # Random numbers go by position: in the order of names, the order in the config changes nothing.
    history = replace(history, spend=history.spend[sorted(spec.lines)])
    settled, fitted = _by_kpi(history, spec, base, CANDIDATES if tests else spec.draws, progress)
    setup = settled.setup
    calibration = None
    if tests:
        calibration = calibrate(_model(history, spec, fitted, setup, _future(setup, fitted, spec)), tests)
        chosen = calibration.pick(spec.draws, spec.seed)
        fitted = [replace(one, draws=one.draws.take(chosen)) for one in fitted]
    future = _future(setup, fitted, spec)
    report = diagnostics.report(fitted, setup, future, history, spec)
    for name, by_kind in settled.log_odds.items():
        report["lines"][name]["log_odds"] = dict(by_kind)
    said = notes(report, history, spec)
    if calibration is not None:
        report["calibration"] = calibration.to_dict()
        said = (*calibration.notes(), *said)
    model = _model(history, spec, fitted, setup, future)
    for line, ends in calibration.tested.items() if calibration is not None else ():
        report["lines"][line]["tested"] = list(ends)
        seen = model.observed[model.lines.index(line)]
        seen[:] = min(seen[0], ends[0]), max(seen[1], ends[1])
    model = replace(model, notes=said, attributes=_about(history, spec, config_sha256, tests))
    conflicts = len(calibration.conflicts) if calibration is not None else 0
    return Fit(model.select(list(spec.kpis), list(spec.lines)), report, said, history.repairs, spec, conflicts)


def _spend(history: History) -> Floats:
    return history.spend.to_numpy(dtype=np.float64).T


def _by_kpi(
    history: History, spec: FitSpec, base: Baseline, count: int, progress: Progress | None
) -> tuple[Settled, list[KpiFit]]:
    """Fit every KPI, and forecast what it was from periods before."""
    units, series = [], []
    for name, kpi in spec.kpis.items():
        values = history.kpis[name].to_numpy(dtype=np.float64)
        units.append(float(np.mean(np.abs(values))) * kpi.media_share)
        series.append((values / units[-1], ceiling(values, kpi.media_share)))
    lines = list(history.spend.columns)
    settled = settle(_spend(history), base, lines, spec, len(history.dates), series, count)
    fitted = []
    for name, unit, (one, _), drawn in zip(spec.kpis, units, series, settled.draws, strict=True):
        fitted.append(KpiFit(name, unit, one, drawn, _foretold(history, spec, base, name)))
        if progress is not None:
            progress(len(fitted) / len(spec.kpis))
    return settled, fitted


def _foretold(history: History, spec: FitSpec, base: Baseline, name: str) -> forecast.Forecast:
    """Forecast what a KPI was from periods before."""
    values = history.kpis[name].to_numpy(dtype=np.float64)
    at = forecast.origins(len(values), spec.holdout, least(spec, base), spec.folds)
    lines = list(history.spend.columns)
    return forecast.rolled(_spend(history), values, base, lines, spec, at, spec.kpis[name].media_share)


def _future(setup: Setup, fitted: list[KpiFit], spec: FitSpec) -> Floats:
    """Baseline of the periods after the history, noise to come with it: (D, K, P) KPI units."""
    return np.stack([ahead(setup, one.draws, spec.seed)[1] * one.unit for one in fitted], axis=1)


def _model(
    history: History,
    spec: FitSpec,
    fitted: list[KpiFit],
    setup: Setup,
    future: Floats,
) -> ResponseModel:
    """Turn sizes of columns of mean ``share`` into curves in currency and KPI units."""
    spend, media = _spend(history), setup.media
    shape = np.stack([one.draws.shape for one in fitted], axis=1)
    gamma = np.stack([one.draws.gamma * one.unit for one in fitted], axis=1)
    straight = np.array([kind == "linear" for kind in media.kinds])
    cell = (len(fitted), len(media.kinds))
    codes = np.array([FAMILIES[FAMILY[kind]].code for kind in media.kinds], dtype=np.int64)
    scale = gamma * media.share / media.mean[shape]
    return ResponseModel(
        kpis=tuple(one.name for one in fitted),
        lines=tuple(str(name) for name in history.spend.columns),
        family=np.broadcast_to(codes, cell).copy(),
        # A straight line's adstock counts money, not typical spend.
        scale=np.where(straight, scale / media.typical, scale),
        first=np.where(straight, 1.0, media.half[shape] * media.typical),
        second=media.slope[shape],
        rate=media.rate[shape],
        length=np.full(cell, spec.carryover, dtype=np.int64),
        normalised=np.ones(cell, dtype=bool),
        baseline=future,
        observed=np.column_stack([spend.min(axis=1), spend.max(axis=1)]),
        history=np.ascontiguousarray(spend[:, -spec.carryover :]),
        start=(history.dates[-1] + STEP[spec.period]).date(),
        period=spec.period,
    )


def _about(history: History, spec: FitSpec, config_sha256: str, tests: Sequence[LiftTest]) -> dict[str, str | int]:
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
    if tests:
        about["calibrated_by"] = "; ".join(test.name for test in tests)
    if spec.currency:
        about["currency"] = spec.currency
    return about


def least(spec: FitSpec, base: Baseline) -> int:
    """The fewest periods a fit learns from."""
    return max(LEAST_PERIODS, 2 * (base.free.shape[1] + base.signed.shape[1]) + len(spec.lines))


def check_enough(history: History, spec: FitSpec, base: Baseline) -> None:
    """Refuse a history that is too short, or holds a line or KPI that there is nothing to learn of.

    Raises
    ------
    SpecError, DataError
        As `fit` does.
    """
    periods, year = len(history.dates), YEAR[spec.period]
    columns = base.free.shape[1] + base.signed.shape[1]
    if spec.season and periods < year:
        raise SpecError(
            f"{spec.season} yearly waves need a year of history; there are {periods} {spec.period}s",
            "state 'season: 0'",
            path=("season",),
        )
    needed = spec.holdout + least(spec, base)
    if periods < needed:
        raise DataError(
            f"{periods} {spec.period}s are too few: {columns} baseline columns, {len(spec.lines)} lines and "
            f"{spec.holdout} held-out {spec.period}s need {needed}",
            "use a longer history, fewer lines or controls, or a lower 'season'",
            file=history.file,
        )
    kinds = [line.curve for line in spec.lines.values()]
    count = sum(len(grid(spec.period, "concave" if kind == "auto" else kind)) for kind in kinds)
    if count > MOST_CANDIDATES:
        raise SpecError(
            f"{count:,} candidate curves are too many (at most {MOST_CANDIDATES:,})",
            "let fewer lines be 's_shaped'",
            path=("lines",),
        )
    if idle := [name for name in spec.lines if not (history.spend[name] > 0).any()]:
        raise DataError(
            f"no spend in any {spec.period}: {', '.join(idle)}",
            "leave out lines that were never used",
            path=(idle[0],),
            file=history.file,
        )
    for name in spec.kpis:
        values = history.kpis[name].to_numpy()
        if np.ptp(values) <= 1e-12 * np.abs(values).max():
            raise DataError(f"KPI '{name}' never varies", "check its column", path=(name,), file=history.file)
