"""Watch a KPI over time: control charts on its own variance, lights that do not flicker, the date it changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import DataError, SpecError
from ..plan import plain, records
from .verdict import Light, Verdict, stats_library

Floats = NDArray[np.float64]
Kind = Literal["binomial", "poisson", "normal"]
Worse = Literal["down", "up"]

WINDOW = 26
"""Periods over which the share of false alarms is held."""
FALSE = {"yellow": 0.2, "red": 0.05}
"""Share of stable windows in which a light comes on."""
SLACK = 0.5
"""What a CUSUM forgives a period, in standard deviations: half the shift it is quickest to find."""
MEMORY = 0.2
"""Weight of the latest period in the EWMA."""
CALM = 3
"""Periods in a row, well within the limits, after which a light goes back."""
FEWEST = 8
"""Periods a reference needs."""
FEWEST_EVENTS = 5.0
"""Expected events (and non-events) below which a period's z-score has no normal law."""
LEAST = 1e-15
"""Tail probability below which scores are no longer told apart (8 standard deviations)."""
SIMULATIONS = 20_000
ORDER: tuple[Light, ...] = ("green", "yellow", "red")

REVIEW = (
    ("data quality", "check that the source, the tracking and the definition are as they were"),
    ("recalibration", "set the KPI's reference or calibration anew on data since the change, as a new version"),
    ("refit", "fit the response again, and plan again, if the change stays"),
)


@dataclass(frozen=True)
class Drift:
    """A KPI held against its reference, period by period.

    Attributes
    ----------
    table : DataFrame
        By date: ``value`` (the rate, the count for one unit of exposure, or the mean), ``z`` (standard
        deviations to the worse side of the reference; NaN where the period is too small), ``cusum``, ``ewma``
        (both as shares of their red limits), ``light``.
    reference : float
        What the values are held against.
    spread : float
        By how much the reference periods vary more than the KPI's own law says, at least 1; 1 where not known.
    limits : DataFrame
        Rows ``yellow`` and ``red``, columns ``cusum`` and ``ewma`` (standard deviations), ``false_alarms`` (share
        of stable windows of `WINDOW` periods with that light).
    changed : date or None
        When the change began, best told; None while the light is green or grey.
    notes : tuple of str
        What was widened or left out.
    verdict : Verdict
    """

    table: pd.DataFrame
    reference: float
    spread: float
    limits: pd.DataFrame
    changed: Any
    notes: tuple[str, ...]
    verdict: Verdict

    @property
    def light(self) -> Light:
        """The light of the last period that is large enough to tell."""
        return self.verdict.light

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data, numbers unrounded; NaN becomes null."""
        steps = [{"step": name, "do": text, "state": "open"} for name, text in REVIEW]
        dated = self.table.assign(date=[str(day) for day in self.table.index]).set_index("date")
        return {
            "audit": "drift",
            "reference": plain(self.reference),
            "spread": plain(self.spread),
            "window": WINDOW,
            "limits": records(self.limits),
            "changed": None if self.changed is None else str(self.changed),
            "periods": records(dated),
            "review": steps if self.verdict.found else [],
            "notes": list(self.notes),
            "verdict": self.verdict.to_dict(),
        }


def monitor(
    periods: pd.DataFrame,
    kind: Kind,
    *,
    worse: Worse = "down",
    target: float | None = None,
    baseline: int | None = None,
) -> Drift:
    """Hold a KPI against a stated reference, or against its own first periods.

    A one-sided CUSUM (Page, Biometrika 41, 1954) and a one-sided EWMA (Roberts, Technometrics 1, 1959) of the
    periods' z-scores; a light comes on when either passes its limit. The limits come from simulations of stable
    series, with a reference estimated from as many periods as here, so that both together give the stated share of
    false alarms.

    Parameters
    ----------
    periods : DataFrame
        One row a period: ``date``, and ``value`` (``normal``: a mean), or ``count`` and ``size`` (``binomial``: of
        how many; ``poisson``: exposure, 1 unless given). Rows of one date are added up, for ``normal`` refused.
    kind : "binomial", "poisson" or "normal"
        The KPI's own law.
    worse : "down" or "up"
        The side on which it alarms.
    target : float, optional
        The reference as stated (for ``normal`` the spread still comes from a baseline).
    baseline : int, optional
        How many first periods are the reference; they are not watched.

    Raises
    ------
    SpecError
        If neither reference is given, or the baseline is too short.
    DataError
        If a count is negative, no whole number, or above its size, or a date of a ``normal`` KPI stands twice.
    """
    table = _by_date(periods, kind)
    _check_reference(kind, target, baseline, len(table))
    past = table.iloc[: baseline or 0]
    watched = table.iloc[baseline or 0 :]
    reference = target if target is not None else _mean(past)
    spread, notes = _spread(past, kind, reference)
    z = _scores(watched, kind, reference, spread) * (-1.0 if worse == "down" else 1.0)
    if np.isnan(z).any():
        notes += (f"{int(np.isnan(z).sum())} periods are too small to tell anything and are left out (grey)",)
    length = baseline if baseline is not None and target is None else 0
    found = limits(length, baseline or 0 if kind == "normal" else 0)
    chart = _chart(z, found)
    chart.insert(0, "value", (watched["count"] / watched["size"]).to_numpy())
    chart.index = pd.Index(watched.index, name="date")
    # A period too small to tell anything takes no light back.
    told = chart["light"][chart["light"] != "grey"]
    light: Light = told.iloc[-1] if len(told) else "grey"
    changed = _change_point(chart) if light in ("yellow", "red") else None
    verdict = _verdict(chart, light, reference, changed, worse)
    return Drift(chart, float(reference), spread, found, changed, notes, verdict)


def _by_date(periods: pd.DataFrame, kind: Kind) -> pd.DataFrame:
    if kind == "normal":
        rows = periods.assign(count=periods["value"], size=1.0)
        twice = rows["date"].duplicated()
        if twice.any():
            raise DataError(f"{rows['date'][twice].iloc[0]} stands twice", "give one mean a period")
        return rows.sort_values("date").set_index("date")[["count", "size"]].astype(float)
    rows = periods if "size" in periods else periods.assign(size=1.0)
    wrong = (rows["count"] < 0) | (rows["count"] % 1 != 0) | (rows["size"] <= 0)
    if kind == "binomial":
        wrong |= (rows["count"] > rows["size"]) | (rows["size"] % 1 != 0)
    if wrong.any():
        bad = rows[wrong].iloc[0]
        raise DataError(
            f"{bad['count']:g} of {bad['size']:g} on {bad['date']} cannot be a {kind} count",
            "counts are whole numbers from 0 up, for a rate not above their size",
        )
    if kind == "binomial" or rows["date"].is_unique:
        return rows.groupby("date", sort=True)[["count", "size"]].sum().astype(float)
    return rows.groupby("date", sort=True).agg({"count": "sum", "size": "first"}).astype(float)


def _check_reference(kind: Kind, target: float | None, baseline: int | None, periods: int) -> None:
    if target is None and baseline is None:
        raise SpecError(
            "there is nothing to hold the KPI against", "state a target, or a baseline of first periods"
        )
    if baseline is None and kind == "normal":
        raise SpecError("a mean's spread is not known", f"add a baseline of at least {FEWEST} first periods")
    if baseline is not None and not FEWEST <= baseline < periods:
        raise SpecError(
            f"a baseline of {baseline} periods out of {periods}",
            f"at least {FEWEST}, and fewer than there are",
        )
    if target is not None and ((kind == "binomial" and not 0 < target < 1) or (kind == "poisson" and target <= 0)):
        raise SpecError(f"a target of {target:g} is no {kind} rate", "a rate such as 0.14; a count above 0")


def _mean(past: pd.DataFrame) -> float:
    return float(past["count"].sum() / past["size"].sum())


def _scores(table: pd.DataFrame, kind: Kind, reference: float, spread: float) -> Floats:
    """Standard deviations above the reference, by the KPI's own law: (T,); NaN for periods too small.

    Of counts the normal quantile of their mid-p value: a low rate's lower tail is shorter than its upper one, and
    a plain z-score would come too late on the one side and too often on the other.
    """
    from scipy.stats import binom, norm, poisson

    count, size = table["count"].to_numpy(), table["size"].to_numpy()
    if kind == "normal":
        return (count - reference) / spread
    mean = reference * size
    law = binom(size, reference) if kind == "binomial" else poisson(mean)
    middle = np.clip(law.cdf(count) - 0.5 * law.pmf(count), LEAST, 1 - LEAST)
    least = np.minimum(mean, size - mean) if kind == "binomial" else mean
    return np.where(least >= FEWEST_EVENTS, norm.ppf(middle) / spread, np.nan)


def _spread(past: pd.DataFrame, kind: Kind, reference: float) -> tuple[float, tuple[str, ...]]:
    """Return how widely the reference varies: for a mean its standard deviation, else in the law's own."""
    if kind == "normal":
        found = float(past["count"].std(ddof=1))
        if not found > 0:
            raise DataError("the baseline never varies: nothing can be said about chance", "take more periods")
        return found, ()
    if past.empty:
        return 1.0, ()
    from scipy.stats import chi2

    centre = _mean(past)
    scores = _scores(past, kind, centre, 1.0) if centre > 0 and (kind == "poisson" or centre < 1) else np.empty(0)
    scores = scores[np.isfinite(scores)]
    freedom = len(scores) - 1
    if freedom < FEWEST - 1 or chi2.sf(float((scores**2).sum()), freedom) > 0.01:
        return 1.0, ()
    wider = float(np.sqrt((scores**2).sum() / freedom))
    return wider, (f"the baseline varies {wider:.1f} times as much as a {kind} count; limits are widened by that",)


@lru_cache(maxsize=64)
def limits(reference: int, spread: int = 0) -> pd.DataFrame:
    """Simulate the limits at which stable series give the stated share of false alarms; see `Drift.limits`.

    Parameters
    ----------
    reference, spread : int
        Periods from which the reference, and the standard deviation, were estimated; 0 where they are known.
    """
    rng = np.random.default_rng(20260105)
    z = rng.standard_normal((SIMULATIONS, WINDOW))
    if reference:
        z -= rng.standard_normal((SIMULATIONS, 1)) / np.sqrt(reference)
    if spread:
        z /= np.sqrt(rng.chisquare(spread - 1, (SIMULATIONS, 1)) / (spread - 1))
    peaks = np.stack([path.max(axis=1) for path in _paths(z)])
    # Each chart's highest point by its rank among all series: then one level serves both.
    highest = (peaks.argsort(axis=1).argsort(axis=1) / SIMULATIONS).max(axis=0)
    rows = {}
    for light, share in FALSE.items():
        level = float(np.quantile(highest, 1 - share))
        rows[light] = (*(float(np.quantile(peak, level)) for peak in peaks), share)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["cusum", "ewma", "false_alarms"]).rename_axis(
        "light"
    )


def _paths(z: Floats) -> tuple[Floats, Floats]:
    """CUSUM and EWMA of series (S, T): both (S, T)."""
    cusum, ewma = np.zeros_like(z), np.zeros_like(z)
    total, mean = np.zeros(len(z)), np.zeros(len(z))
    for t in range(z.shape[1]):
        total = np.maximum(0.0, total + z[:, t] - SLACK)
        mean = (1 - MEMORY) * mean + MEMORY * z[:, t]
        cusum[:, t], ewma[:, t] = total, mean
    return cusum, ewma


def _chart(z: Floats, limits: pd.DataFrame) -> pd.DataFrame:
    """Run both charts over one series, with lights that come on at once and go back after `CALM` calm periods.

    The CUSUM is held at its red limit: it could otherwise climb so far that a mended KPI stayed red for months.
    """
    red, yellow = limits.loc["red"], limits.loc["yellow"]
    total = mean = 0.0
    calm = light = 0
    rows: list[tuple[float, float, float, Light]] = []
    for score in z:
        if np.isnan(score):
            last = rows[-1][1:3] if rows else (0.0, 0.0)
            rows.append((score, *last, "grey"))
            continue
        total = min(max(0.0, total + score - SLACK), float(red["cusum"]))
        mean = (1 - MEMORY) * mean + MEMORY * score
        level = 2 if _beyond(total, mean, red) else 1 if _beyond(total, mean, yellow) else 0
        calm = calm + 1 if not _beyond(2 * total, 2 * mean, yellow) else 0
        light = max(light, level) if calm < CALM else level
        rows.append((score, total / red["cusum"], mean / red["ewma"], ORDER[light]))
    return pd.DataFrame(rows, columns=["z", "cusum", "ewma", "light"])


def _beyond(total: float, mean: float, limit: pd.Series) -> bool:
    return bool(total >= limit["cusum"] or mean >= limit["ewma"])


def _change_point(chart: pd.DataFrame) -> Any:
    """Return the date from which the scores are best told from those before by a shift of their mean."""
    ruptures = stats_library("ruptures")
    known = chart.dropna(subset="z")
    if len(known) < 4:
        return known.index[0]
    ends = ruptures.Binseg(model="l2", min_size=2, jump=1).fit(known["z"].to_numpy()).predict(n_bkps=1)
    return known.index[ends[0]] if ends[0] < len(known) else known.index[0]


def _verdict(chart: pd.DataFrame, light: Light, reference: float, changed: Any, worse: Worse) -> Verdict:
    if light == "grey":
        reason = f"each of {len(chart)} periods has fewer than {FEWEST_EVENTS:g} expected events"
        return Verdict("grey", "cannot be told", reason, "watch longer periods")
    recent = chart["value"].iloc[-min(4, len(chart)) :].mean()
    said = f"{recent:.4g} on average over the latest {min(4, len(chart))} periods against {reference:.4g}"
    if light == "green":
        return Verdict("green", "stable", f"{said}: within what chance does", "nothing")
    way = "fallen" if worse == "down" else "risen"
    if light == "yellow":
        reason = f"{said}: more than chance does in four stable windows of five; it may have {way} since {changed}"
        return Verdict("yellow", "may drift", reason, "look at the source before the next plan")
    reason = (
        f"{said}: it has {way} since about {changed}; chance does that in {100 * FALSE['red']:.0f} % of "
        f"{WINDOW} stable periods"
    )
    return Verdict("red", "drifting", reason, "review: data quality, then recalibration, then refit")
