"""Experiments planned and read: two proportions, guardrails, and differences in differences over regions.

The tests, intervals and sample sizes are statsmodels'. A result is a lift with its standard error: what
`evidence.calibrate` takes.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..errors import DataError, SpecError
from .verdict import stats_library

LEVEL, POWER = 0.95, 0.8
# Fewer units on a side say nothing of how units vary.
LEAST_UNITS = 3
By = Literal["level", "share"]


@dataclass(frozen=True)
class Effect:
    """What an experiment found.

    Attributes
    ----------
    value, low, high, error : float
        The effect, its interval at ``level`` and its standard error.
    p : float
        How often chance alone would bring an effect as large; two-sided.
    level : float
        Of the interval.
    """

    value: float
    low: float
    high: float
    error: float
    p: float
    level: float

    def times(self, factor: float) -> Effect:
        """Return the effect in other units."""
        low, high = sorted((self.low * factor, self.high * factor))
        return Effect(self.value * factor, low, high, self.error * abs(factor), self.p, self.level)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data."""
        return asdict(self)


def two_proportions(
    successes: int, size: int, control_successes: int, control_size: int, *, level: float = LEVEL
) -> Effect:
    """Difference of two shares, treated less control, with Newcombe's interval and the score test.

    Raises
    ------
    DataError
        If a count is negative or above its size.
    """
    for name, count, of in (("treated", successes, size), ("control", control_successes, control_size)):
        if not 0 <= count <= of or of < 1:
            raise DataError(f"{count} of {of} is no share", "successes lie between 0 and the size", path=(name,))
    proportion = stats_library("statsmodels.stats.proportion")
    given = (successes, size, control_successes, control_size)
    low, high = proportion.confint_proportions_2indep(*given, method="newcomb", compare="diff", alpha=1 - level)
    share, control = successes / size, control_successes / control_size
    error = math.sqrt(share * (1 - share) / size + control * (1 - control) / control_size)
    p = 1.0
    if 0 < successes + control_successes < size + control_size:
        p = float(proportion.test_proportions_2indep(*given, method="score", compare="diff").pvalue)
    return Effect(share - control, float(low), float(high), error, p, level)


def no_worse(effect: Effect, margin: float) -> bool:
    """Whether a guardrail held: the whole interval lies above a loss of ``margin`` (non-inferiority).

    With a two-sided interval at 95 % a guardrail that is lost by the margin passes in 2.5 % of tests.

    Raises
    ------
    SpecError
        If the margin is not positive.
    """
    if margin <= 0:
        raise SpecError(f"a margin of {margin:g} allows no loss at all", "state how much may be lost")
    return effect.low > -margin


@dataclass(frozen=True)
class Size:
    """How large an experiment has to be.

    Attributes
    ----------
    treated, control : int
        People on each side.
    """

    treated: int
    control: int

    def periods(self, per_period: float) -> int:
        """How many periods it takes where so many people come in each, both sides together."""
        if per_period <= 0:
            raise SpecError("nobody comes, so no test can be run", "state how many people a period brings")
        return math.ceil((self.treated + self.control) / per_period)


def sample_size(
    rate: float,
    change: float,
    *,
    margin: float | None = None,
    power: float = POWER,
    level: float = LEVEL,
    control_per_treated: float = 1.0,
) -> Size:
    """People needed to find a change of a share, or to show that a guardrail is not lost.

    Parameters
    ----------
    rate : float
        Share of the control.
    change : float
        Its change that has to be found; with ``margin``, the change that is expected (0 for none).
    margin : float, optional
        The loss that a guardrail allows: the size is then that of `no_worse`.

    Raises
    ------
    SpecError
        If the shares are not between 0 and 1, or there is nothing to find.
    """
    if not (0 < rate < 1 and 0 < rate + change < 1):
        raise SpecError(f"shares of {rate:g} and {rate + change:g} cannot be", "state them between 0 and 1")
    if change == 0 if margin is None else change <= -margin:
        raise SpecError("there is nothing to find", "state a change, or a margin beyond the expected loss")
    if margin is None:
        # One side of a two-sided test: the other is all but never crossed.
        sizes = stats_library("statsmodels.stats.proportion").samplesize_proportions_2indep_onetail
        side = "larger" if change > 0 else "smaller"
        found = sizes(change, rate, power, ratio=control_per_treated, alpha=(1 - level) / 2, alternative=side)
    else:
        treated, control = (share * (1 - share) for share in (rate + change, rate))
        variance = (treated + control / control_per_treated) / (1 + 1 / control_per_treated)
        solve = stats_library("statsmodels.stats.power").NormalIndPower().solve_power
        found = solve(
            (change + margin) / math.sqrt(variance),
            alpha=(1 - level) / 2,
            power=power,
            ratio=control_per_treated,
            alternative="larger",
        )
    return Size(math.ceil(found), math.ceil(found * control_per_treated))


@dataclass(frozen=True)
class Difference:
    """A difference in differences.

    Attributes
    ----------
    effect : Effect
        A period and unit for ``by="level"``; as a share of what the units had before for ``by="share"``.
    lift : Effect
        In all treated units and periods of the test together.
    before : Effect
        What the two groups drifted apart a period before the test, in the units of ``effect``: the pre-trend.
        Away from zero, the groups were not alike, and the effect holds their drift too.
    series : DataFrame
        By date: ``treated`` and ``control``, each as a share of its mean before the test.
    treated, control : int
        Units on each side.
    """

    effect: Effect
    lift: Effect
    before: Effect
    series: pd.DataFrame
    treated: int
    control: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data."""
        series = {str(name): column.tolist() for name, column in self.series.items()}
        return {
            "effect": self.effect.to_dict(),
            "lift": self.lift.to_dict(),
            "before": self.before.to_dict(),
            "series": {"date": [str(day) for day in self.series.index], **series},
            "treated": self.treated,
            "control": self.control,
        }


def difference_in_differences(
    rows: pd.DataFrame,
    treated: Collection[str],
    start: date,
    end: date,
    *,
    by: By = "level",
    missing: Literal["zero"] | None = None,
    level: float = LEVEL,
) -> Difference:
    """Compare how treated and other units changed when the test began.

    Every unit counts once, by its mean before and during the test (Bertrand, Duflo & Mullainathan 2004, whose
    reason is that days of one unit are not independent); the change is regressed on treatment, with a variance
    that may differ between the groups (HC2). ``by="share"`` takes the change as a share of what the unit had
    before and weighs units by that, as geo-based regression does (Vaver & Koehler 2011): for units of very
    different sizes.

    Parameters
    ----------
    rows : DataFrame
        Columns ``unit``, ``date`` and ``value``; one row a unit and date, every unit with the same dates.
    treated : collection of str
        Treated units.
    start, end : date
        First and last date of the test; dates after it are left aside, and those before are the comparison.

    missing : "zero", optional
        What dates without a row mean; an error unless given.

    Raises
    ------
    DataError
        If dates are missing or twice, there are too few units or dates, or a share of nothing.
    """
    table, inside = _panel(rows, treated, start, end, missing)
    during = (table.index >= pd.Timestamp(start)) & (table.index <= pd.Timestamp(end))
    earlier = table[table.index < pd.Timestamp(start)]
    before = earlier.mean()
    if by == "share" and not (before > 0).all():
        name = str(before.index[int(np.argmin(before.to_numpy()))])
        raise DataError(f"'{name}' had nothing before the test", "leave it out, or compare by level")
    scale = before if by == "share" else pd.Series(1.0, index=before.index)
    weight = before if by == "share" else scale
    change = (table[during].mean() - before) / scale
    effect = _treatment(change, inside, weight, level)
    days = np.arange(len(earlier)) - (len(earlier) - 1) / 2
    slopes = pd.Series(days @ earlier.to_numpy() / (days @ days), index=earlier.columns) / scale
    kept = table[table.index <= pd.Timestamp(end)]
    series = pd.DataFrame(
        {"treated": kept.loc[:, inside].sum(axis=1), "control": kept.loc[:, ~inside].sum(axis=1)}
    )
    series = (series / series[: len(earlier)].mean()).rename_axis("date")
    return Difference(
        effect=effect,
        lift=effect.times(float(scale[inside].sum()) * int(during.sum())),
        before=_treatment(slopes, inside, weight, level),
        series=series.set_axis([day.date() for day in series.index]),
        treated=int(inside.sum()),
        control=int((~inside).sum()),
    )


def _panel(
    rows: pd.DataFrame, treated: Collection[str], start: date, end: date, missing: str | None = None
) -> tuple[pd.DataFrame, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Values by date and unit, and which units are treated."""
    table = rows.assign(unit=rows["unit"].astype(str), date=pd.to_datetime(rows["date"]))
    twice = table.duplicated(["unit", "date"])
    if twice.any():
        row = rows[twice].iloc[0]
        raise DataError(f"'{row['unit']}' has two rows on {row['date']}", "keep one row a unit and date")
    # Nothing in a cell stays nothing: a sum would make it zero.
    table = table.pivot_table(index="date", columns="unit", values="value", aggfunc="first", dropna=False)
    if missing == "zero":
        table = table.fillna(0.0)
    if table.isna().any(axis=None):
        unit = str(table.columns[table.isna().any()][0])
        raise DataError(
            f"'{unit}' lacks some of the dates",
            "state missing='zero' if that means none was counted; nothing is filled",
        )
    if unknown := sorted({str(name) for name in treated} - set(table.columns)):
        raise DataError(
            f"there is no unit '{unknown[0]}'", f"among others there are: {', '.join(table.columns[:5])}"
        )
    inside = table.columns.isin([str(name) for name in treated])
    if min(inside.sum(), (~inside).sum()) < LEAST_UNITS:
        raise DataError(
            f"{inside.sum()} treated and {(~inside).sum()} other units",
            f"at least {LEAST_UNITS} of each are needed",
        )
    days = (
        (table.index < pd.Timestamp(start)).sum(),
        ((table.index >= pd.Timestamp(start)) & (table.index <= pd.Timestamp(end))).sum(),
    )
    if days[0] < 2 or days[1] < 1:
        raise DataError(
            f"{days[0]} dates before the test and {days[1]} in it", "2 before and 1 in it are the least"
        )
    return table, inside


def _treatment(values: pd.Series, inside: Any, weight: pd.Series, level: float) -> Effect:
    """Treated units' mean less the others', weighted, with an interval that lets the groups vary unlike."""
    api = stats_library("statsmodels.api")
    design = api.add_constant(inside.astype(float))
    fitted = api.WLS(values.to_numpy(), design, weights=weight.to_numpy()).fit(cov_type="HC2", use_t=True)
    low, high = fitted.conf_int(1 - level)[1]
    return Effect(
        float(fitted.params[1]), float(low), float(high), float(fitted.bse[1]), float(fitted.pvalues[1]), level
    )


def difference_power(
    rows: pd.DataFrame,
    treated: int,
    control: int,
    periods: int,
    lift: float,
    *,
    level: float = LEVEL,
    by: By = "level",
) -> float:
    """Chance that a difference in differences would find a lift, judged by how units changed before.

    Parameters
    ----------
    rows : DataFrame
        Columns ``unit``, ``date`` and ``value`` of a time without a test.
    treated, control : int
        Units on each side.
    periods : int
        Dates of the test; as many before it are its comparison.
    lift : float
        A period and unit, or as a share for ``by="share"``.

    Raises
    ------
    DataError
        If the history is shorter than twice the test.
    """
    table, _ = _panel(rows, sorted({str(name) for name in rows["unit"]})[:LEAST_UNITS], *_last(rows, periods))
    if len(table) < 2 * periods:
        raise DataError(f"{len(table)} dates are too few", f"a test of {periods} needs {2 * periods} before it")
    changes = []
    # Every stretch that a test and its comparison could have lain in.
    for at in range(len(table) - 2 * periods, -1, -periods):
        first, second = table.iloc[at : at + periods].mean(), table.iloc[at + periods : at + 2 * periods].mean()
        change = (second - first) / (first if by == "share" else 1.0)
        changes.append(float(change.var(ddof=1)))
    spread = math.sqrt(float(np.mean(changes)))
    power = stats_library("statsmodels.stats.power").TTestIndPower().power
    # The side the lift is on: the other is all but never crossed, and its tail has no value where lifts are large.
    one_side = (1 - level) / 2
    return float(power(abs(lift) / spread, treated, one_side, ratio=control / treated, alternative="larger"))


def _last(rows: pd.DataFrame, periods: int) -> tuple[date, date]:
    days = sorted(pd.to_datetime(rows["date"]).unique())
    return days[max(len(days) - periods, 0)].date(), days[-1].date()
