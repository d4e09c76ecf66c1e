"""Effects on a proxy and on the KPI that counts: of tests, of a history, or known already."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import DataError, SpecError

Floats = NDArray[np.float64]
By = Literal["share", "level"]

FEWEST = 12
"""Effects below which nothing is said."""
LATER = 0.3
"""Share of the effects, the latest, kept aside to see whether what held before holds on."""
MOST_LAG = 13
CHANCE = 2.91
"""Correlation, times the root of the number of effects, that one lag in `MOST_LAG` + 1 passes by chance in 5 %."""


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
            shift: (correlation(part), CHANCE / np.sqrt(len(part)))
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


def correlation(table: pd.DataFrame) -> float:
    """Correlation of effects on the proxy with those on the goal, their sampling noise taken out."""
    columns = ["proxy", "goal", "var_proxy", "var_goal", "cov"]
    return float(moments(table[columns].to_numpy(dtype=float)[None])["correlation"][0])


def moments(values: Floats) -> dict[str, Floats]:
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
    return figures(cov, var_proxy, var_goal, agreed, weight.sum(axis=1))


def figures(cov: Floats, var_proxy: Floats, var_goal: Floats, agreed: Floats, weight: Floats) -> dict[str, Floats]:
    """The three figures from moments without noise, all (B,); NaN where nothing but noise moved."""
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(var_proxy > 0, cov / var_proxy, np.nan)
        both = np.where((var_proxy > 0) & (var_goal > 0), var_proxy * var_goal, np.nan)
        agreement = agreed / weight
    return {"slope": slope, "correlation": np.clip(cov / np.sqrt(both), -1.0, 1.0), "agreement": agreement}
