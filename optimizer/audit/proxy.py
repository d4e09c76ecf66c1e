"""Does the KPI that is seen soon stand for the one that counts? Judged by effects, never by users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import DataError, SpecError
from ..plan import plain, records
from .verdict import Verdict

Floats = NDArray[np.float64]
By = Literal["share", "level"]

FEWEST = 12
"""Effects below which nothing is said."""
LATER = 0.3
"""Share of the effects, the latest, kept aside to see whether what held before holds on."""
RESAMPLES = 1000
GOOD = 0.5
"""Correlation of effects, and share of right choices above a coin's, that a supported proxy needs."""
MOST_LAG = 13
CHANCE = 2.91
"""Correlation, times the root of the number of effects, that one lag in `MOST_LAG` + 1 passes by chance in 5 %."""
SEED = 20260105
POINTS = 2000
"""Effects that the JSON and the picture hold at most, evenly picked."""
MANY = 5000
"""Effects, or blocks of them, of which resamples are drawn."""


@dataclass(frozen=True)
class Effects:
    """What moved: one row an effect, oldest first.

    Attributes
    ----------
    table : DataFrame
        ``proxy`` and ``goal`` (effect on each), ``segment`` (text), and the part of their sampling variance that
        is known: ``var_proxy``, ``var_goal``, ``cov`` (0 where it is not).
    kind : str
        ``tests`` (caused), ``effects`` (the same, their sampling noise unknown) or ``history`` (moved together).
    lag : int
        Periods by which the goal follows.
    lags : DataFrame
        Of a history whose lag was looked for: ``correlation`` of the earlier effects by ``lag``, and
        ``by chance``, the size that the best of so many lags has by chance in 5 %.
    """

    table: pd.DataFrame
    kind: str
    lag: int = 0
    lags: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class Proxy:
    """How far a proxy stands for a goal.

    Attributes
    ----------
    figures : DataFrame
        Rows ``slope`` (goal units for one unit of the proxy), ``correlation`` (of the effects, sampling noise
        taken out where it is known), ``agreement`` (share of effects, each weighing as its effect on the goal, in
        which both point the same way: the proxy would have chosen the winner); columns ``value``, ``low``,
        ``high`` (95 % bootstrap interval), ``earlier``, ``later`` (the value in the two slices of time).
    segments : DataFrame
        By segment: ``effects``, ``correlation``, ``agreement``, ``fails`` (the effects in it correlate negatively,
        and 97.5 % of the resamples do).
    effects, lag : int
        How many effects, and the periods by which the goal follows.
    kind : str
        As `Effects.kind`.
    lags : DataFrame
        As `Effects.lags`.
    verdict : Verdict
    """

    figures: pd.DataFrame
    segments: pd.DataFrame
    effects: int
    lag: int
    kind: str
    verdict: Verdict
    table: pd.DataFrame = field(repr=False)
    lags: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data, numbers unrounded; NaN becomes null."""
        return {
            "audit": "proxy",
            "kind": self.kind,
            "effects": self.effects,
            "lag": self.lag,
            "figures": records(self.figures),
            "segments": records(self.segments),
            "lags": records(self.lags),
            "points": [
                {key: plain(row[key]) for key in ("proxy", "goal", "segment")}
                for row in self.table.iloc[:: -(-max(len(self.table), 1) // POINTS)].to_dict(orient="records")
            ],
            "verdict": self.verdict.to_dict(),
        }


def effects_of_tests(rows: pd.DataFrame) -> Effects:
    """Return the effect of each test from the people in it.

    Parameters
    ----------
    rows : DataFrame
        One row a person: ``test`` (text), ``arm`` (two per test, the control first in alphabetical order),
        ``proxy``, ``goal`` (numbers); ``date`` puts tests in order, ``segment`` splits each test.

    Raises
    ------
    DataError
        If a test (in a segment) has not exactly two arms, or an arm fewer than two people.
    """
    rows = rows.assign(segment=rows.get("segment", "all"))
    rows = rows.assign(pp=rows["proxy"] ** 2, gg=rows["goal"] ** 2, pg=rows["proxy"] * rows["goal"])
    groups = rows.groupby(["segment", "test", "arm"], sort=True, observed=True)
    sums = groups[["proxy", "goal", "pp", "gg", "pg"]].mean()
    sums["n"] = groups.size()
    if "date" in rows:
        sums["date"] = groups["date"].min()
    found = []
    for (segment, test), arms in sums.groupby(level=["segment", "test"], sort=False):
        if len(arms) != 2 or arms["n"].min() < 2:
            counts = ", ".join(f"{arm[2]}: {n}" for arm, n in arms["n"].items())
            raise DataError(
                f"test '{test}' needs two arms of at least two people each, and has {counts}",
                "an effect is the difference between a treated arm and its control",
            )
        control, treated = arms.iloc[0], arms.iloc[1]
        found.append(_effect(str(segment), control, treated))
    table = pd.DataFrame(found)
    if "date" in table:
        table = table.sort_values("date", kind="stable").drop(columns="date")
    return Effects(table.reset_index(drop=True), "tests")


def _effect(segment: str, control: pd.Series, treated: pd.Series) -> dict[str, Any]:
    """One test's effects and their sampling covariance, from the means of each arm."""

    def spread(first: str, second: str, both: str) -> float:
        return float(sum((a[both] - a[first] * a[second]) / (a["n"] - 1) for a in (control, treated)))

    row: dict[str, Any] = {
        "proxy": treated["proxy"] - control["proxy"],
        "goal": treated["goal"] - control["goal"],
        "segment": segment,
        "var_proxy": spread("proxy", "proxy", "pp"),
        "var_goal": spread("goal", "goal", "gg"),
        "cov": spread("proxy", "goal", "pg"),
    }
    return row | ({"date": min(control["date"], treated["date"])} if "date" in control else {})


def effects_of_history(rows: pd.DataFrame, lag: int | None = None, by: By = "share") -> Effects:
    """Return the changes from one period to the next as effects, the goal's ``lag`` periods later.

    Changes are relative (log ratios), so that growth and size of segment drop out. Without a lag the one with the
    largest correlation in absolute value over the earlier slice is taken, so that the later one stays a test; 0
    where no lag shows more than the best of so many would by chance.

    Parameters
    ----------
    rows : DataFrame
        One row a period (and segment): ``date``, ``proxy``, ``goal`` (positive numbers), and maybe ``segment``.
    lag : int, optional
        Periods by which the goal follows.
    by : "share" or "level"
        ``level`` takes plain differences in each segment's own standard deviations instead, for series that can
        be 0 or negative.

    Raises
    ------
    DataError
        If a number is not positive (by share) or never changes (by level), a date stands twice in a segment, or
        periods are not evenly spaced.
    """
    rows = rows.assign(segment=rows.get("segment", "all"))
    wide = {}
    for segment, part in rows.groupby("segment", sort=True, observed=True):
        wide[str(segment)] = _changes(str(segment), part.sort_values("date"), by)
    choices = range(MOST_LAG + 1) if lag is None else [lag]
    lagged = {shift: _lagged(wide, shift) for shift in choices}
    lags = pd.DataFrame()
    if lag is None:
        # The same weeks for every lag, or the shorter series of a longer one would win by chance.
        last = max(len(part) for part in wide.values())
        earlier = {shift: t[t["at"] < (1 - LATER) * (last - MOST_LAG)] for shift, t in lagged.items()}
        found = {
            shift: (_correlation(part), CHANCE / np.sqrt(len(part)))
            for shift, part in earlier.items()
            if len(part) >= FEWEST
        }
        known = {shift: abs(size) for shift, (size, chance) in found.items() if abs(size) > chance}
        lag = max(known, key=lambda shift: known[shift]) if known else 0
        lags = pd.DataFrame.from_dict(found, orient="index", columns=["correlation", "by chance"])
        lags = lags.rename_axis("lag")
    table = lagged[lag].sort_values("at", kind="stable").drop(columns="at").reset_index(drop=True)
    return Effects(table, "history", lag, lags)


def _changes(segment: str, part: pd.DataFrame, by: By) -> pd.DataFrame:
    days = pd.to_datetime(part["date"])
    steps = days.diff().dropna().dt.days
    usual = int(steps.mode().iloc[0]) if len(steps) else 1
    if usual <= 0 or (steps != usual).any():
        odd = days[steps.index[(steps != usual) | (steps <= 0)][0]]
        raise DataError(
            f"the periods of '{segment}' are not evenly spaced: see {odd.date()}",
            "give one row for each period, none left out, none twice",
        )
    if by == "level":
        steps = part[["proxy", "goal"]].astype(float).diff().iloc[1:].reset_index(drop=True)
        still = [name for name in steps if not steps[name].std() > 0]
        if still:
            raise DataError(f"'{still[0]}' of '{segment}' never changes", "leave that segment out")
        return steps / steps.std()
    for name in ("proxy", "goal"):
        if (part[name] <= 0).any():
            worst = days[part.index[part[name] <= 0][0]]
            raise DataError(
                f"'{name}' is not positive on {worst.date()} in '{segment}': its change has no ratio",
                "use --change level, longer periods, or leave out the time in which nothing ran",
            )
    return np.log(part[["proxy", "goal"]]).diff().iloc[1:].reset_index(drop=True)


def _lagged(wide: dict[str, pd.DataFrame], shift: int) -> pd.DataFrame:
    proxies = np.concatenate([part["proxy"].to_numpy()[: max(len(part) - shift, 0)] for part in wide.values()])
    goals = np.concatenate([part["goal"].to_numpy()[shift:] for part in wide.values()])
    counts = [max(len(part) - shift, 0) for part in wide.values()]
    table = pd.DataFrame({"proxy": proxies, "goal": goals})
    table["at"] = np.concatenate([np.arange(count) for count in counts])
    return table.assign(segment=np.repeat(list(wide), counts), var_proxy=0.0, var_goal=0.0, cov=0.0)


def validate(effects: Effects, *, resamples: int = RESAMPLES) -> Proxy:
    """Judge whether effects on the proxy foretell effects on the goal.

    With people's data the two effects of a test share their people's noise: users who click more also buy more,
    whatever the test did. That part is known and is taken out of the covariance of the effects (method of
    moments; Cunningham & Kim, Interpreting Experiments with Multiple Outcomes, 2020).

    Parameters
    ----------
    effects : Effects
        From tests or from history.
    resamples : int
        Of effects, for the intervals; blocks of neighbouring ones where they come from a history.
    """
    table = effects.table
    rng = np.random.default_rng(SEED)
    values = table[["proxy", "goal", "var_proxy", "var_goal", "cov"]].to_numpy(dtype=float)
    draws = _draws(values, rng, resamples, 4 if effects.kind == "history" else 1)
    split = len(values) - int(np.ceil(LATER * len(values)))
    point, earlier, later = (_moments(part[None]) for part in (values, values[:split], values[split:]))
    rows = {}
    for name in ("slope", "correlation", "agreement"):
        low, high = _interval(draws[name])
        rows[name] = (point[name][0], low, high, earlier[name][0], later[name][0])
    columns = ["value", "low", "high", "earlier", "later"]
    figures = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("figure")
    segments = _segments(table, resamples, rng)
    return Proxy(
        figures,
        segments,
        len(values),
        effects.lag,
        effects.kind,
        _verdict(figures, segments, len(values), effects.kind),
        table,
        effects.lags,
    )


def _draws(values: Floats, rng: np.random.Generator, resamples: int, block: int) -> dict[str, Floats]:
    """Slope, correlation and agreement of each resample: (B,) each.

    Of very many effects, `MANY` blocks of neighbours are drawn by their sums: to draw each by itself would take
    a thousand times the memory of the file.
    """
    if len(values) <= MANY:
        return _moments(values[_resampled(rng, len(values), resamples, block)])
    proxy, goal = (values[:, :2] - values[:, :2].mean(axis=0)).T
    right = np.abs(values[:, 1]) * (values[:, 0] * values[:, 1] > 0)
    parts = [np.ones(len(values)), proxy, goal, proxy**2, goal**2, proxy * goal, *values[:, 2:].T]
    starts = np.linspace(0, len(values), MANY, endpoint=False).astype(np.int64)
    columns = np.stack([*parts, np.abs(values[:, 1]), right], axis=1)
    sums = np.add.reduceat(columns, starts, axis=0)
    n, p, g, pp, gg, pg, vp, vg, cov, weight, agreed = np.stack(
        [sums[rng.integers(0, MANY, MANY)].sum(axis=0) for _ in range(resamples)]
    ).T
    var_proxy, var_goal = (pp - p**2 / n) / (n - 1) - vp / n, (gg - g**2 / n) / (n - 1) - vg / n
    return _figures((pg - p * g / n) / (n - 1) - cov / n, var_proxy, var_goal, agreed, weight)


def _resampled(rng: np.random.Generator, size: int, resamples: int, block: int) -> NDArray[np.int64]:
    """Rows of each resample: (B, N); whole blocks of neighbours, the end joined to the start."""
    if size == 0:
        return np.zeros((resamples, 0), dtype=np.int64)
    starts = rng.integers(0, size, (resamples, -(-size // block)))
    return ((starts[:, :, None] + np.arange(block)).reshape(resamples, -1) % size)[:, :size]


def _moments(values: Floats) -> dict[str, Floats]:
    """Slope, correlation and agreement of each sample, values (B, N, 5): (B,) each.

    NaN where nothing but noise moved.
    """
    if values.shape[1] < 2:
        return {name: np.full(len(values), np.nan) for name in ("slope", "correlation", "agreement")}
    proxy, goal = values[:, :, 0], values[:, :, 1]
    noise = values[:, :, 2:].mean(axis=1)
    across = values.shape[1] - 1
    one, other = proxy - proxy.mean(axis=1, keepdims=True), goal - goal.mean(axis=1, keepdims=True)
    var_proxy = (one**2).sum(axis=1) / across - noise[:, 0]
    var_goal = (other**2).sum(axis=1) / across - noise[:, 1]
    cov = (one * other).sum(axis=1) / across - noise[:, 2]
    weight = np.abs(goal)
    agreed = (weight * (proxy * goal > 0)).sum(axis=1)
    return _figures(cov, var_proxy, var_goal, agreed, weight.sum(axis=1))


def _figures(
    cov: Floats, var_proxy: Floats, var_goal: Floats, agreed: Floats, weight: Floats
) -> dict[str, Floats]:
    """The three figures from moments without noise, all (B,); NaN where nothing but noise moved."""
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(var_proxy > 0, cov / var_proxy, np.nan)
        both = np.where((var_proxy > 0) & (var_goal > 0), var_proxy * var_goal, np.nan)
        agreement = agreed / weight
    return {"slope": slope, "correlation": np.clip(cov / np.sqrt(both), -1.0, 1.0), "agreement": agreement}


def _interval(draws: Floats) -> tuple[float, float]:
    """The 95 % interval; without ends where more than one resample in twenty has no value."""
    if np.isnan(draws).mean() > 0.05:
        return float("nan"), float("nan")
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _correlation(table: pd.DataFrame) -> float:
    columns = ["proxy", "goal", "var_proxy", "var_goal", "cov"]
    return float(_moments(table[columns].to_numpy(dtype=float)[None])["correlation"][0])


def _segments(table: pd.DataFrame, resamples: int, rng: np.random.Generator) -> pd.DataFrame:
    rows = {}
    for segment, part in table.groupby("segment", sort=True):
        values = part[["proxy", "goal", "var_proxy", "var_goal", "cov"]].to_numpy(dtype=float)
        point = _moments(values[None])
        fails = False
        if len(values) >= FEWEST and point["correlation"][0] < 0:
            fails = _interval(_draws(values, rng, resamples, 1)["correlation"])[1] < 0
        rows[segment] = (len(values), point["correlation"][0], point["agreement"][0], bool(fails))
    columns = ["effects", "correlation", "agreement", "fails"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("segment")


def _verdict(figures: pd.DataFrame, segments: pd.DataFrame, count: int, kind: str) -> Verdict:
    """Say it in words; see `Proxy` for what the figures are."""
    test_it = "run tests that move the proxy, and follow their people until the goal is known"
    if count < FEWEST:
        reason = f"{count} effects; below {FEWEST} chance alone makes any picture"
        return Verdict("grey", "cannot be told", reason, test_it)
    value, low, high, _, later = (float(x) for x in figures.loc["correlation"])
    if not np.isfinite([value, low, high]).all():
        reason = f"over {count} effects, what moved cannot be told from sampling noise"
        return Verdict("grey", "cannot be told", reason, test_it)
    agreed = float(figures.loc["agreement", "value"])
    said = (
        f"over {count} {'changes in the history' if kind == 'history' else 'tests'} the effects correlate by "
        f"{value:+.2f} (95 % interval {low:+.2f} to {high:+.2f}), and the proxy would have chosen right in "
        f"{100 * agreed:.0f} % (weighted by what was at stake)"
    )
    if high < 0:
        return Verdict("red", "contradicted", f"{said}: what raises it lowers the goal", "do not optimise for it")
    if low <= 0:
        if high < GOOD:
            return Verdict("yellow", "weak", f"{said}: a good proxy is ruled out", "look for another proxy")
        return Verdict("grey", "cannot be told", f"{said}: both a good and a useless proxy are possible", test_it)
    failing = [str(name) for name in segments.index[segments["fails"]]]
    doubts = _doubts(value, agreed, later, failing)
    if kind == "effects":
        doubts.append(
            "how much of that is noise which both effects share is not known: judge it from people's rows"
        )
    if doubts:
        return Verdict(
            "yellow", "weak", f"{said}, but {', and '.join(doubts)}", "use it with its goal as guardrail"
        )
    caution = "" if kind != "history" else "; a history shows what moved together, not what caused what"
    return Verdict("green", "supported", said + caution, "use it, and ask again when something changes")


def _doubts(value: float, agreed: float, later: float, failing: Sequence[str]) -> list[str]:
    found = []
    if value < GOOD:
        found.append(f"{GOOD} and more is wanted")
    if agreed < 0.5 + GOOD / 2:
        found.append(f"it chooses right in less than {100 * (0.5 + GOOD / 2):.0f} %")
    if not np.isfinite(later):
        found.append("the latest effects alone cannot be told from noise")
    elif later <= GOOD * value:
        found.append(f"the latest effects correlate by {later:+.2f} only")
    if failing:
        found.append(f"it points the wrong way in {', '.join(failing)}")
    return found


def effects_of_rows(rows: pd.DataFrame) -> Effects:
    """Take effects that are known already: one row each, ``proxy`` and ``goal``, oldest first.

    ``segment`` splits them; ``var_proxy``, ``var_goal`` and ``cov`` are their sampling variances and covariance.
    Without them the noise that both effects of a test share cannot be told from the proxy's worth, and no proxy
    is supported.
    """
    if not {"proxy", "goal"} <= set(rows.columns):
        raise SpecError("effects need the columns proxy and goal", "name them")
    given = rows.assign(segment=rows.get("segment", "all"))
    noise = ["var_proxy", "var_goal", "cov"]
    known = set(noise) <= set(rows.columns)
    if not known:
        given[noise] = 0.0
    return Effects(given.reset_index(drop=True), "tests" if known else "effects")
