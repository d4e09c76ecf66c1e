"""Experiments as audits: how large one has to be, what one found, each with its verdict and its picture's data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from ..errors import DataError, SpecError
from .experiments import (
    LEVEL,
    POWER,
    By,
    Difference,
    Effect,
    difference_in_differences,
    difference_power,
    no_worse,
    sample_size,
    two_proportions,
)
from .verdict import Verdict, stats_library

UNLIKELY = 0.001
"""Below this chance, groups were not split as they were meant to be."""
CURVE = 41
"""Points of a power curve."""
CALIBRATE = "calibrate the fit with it (fit --calibrate tests.yaml): an unsure lift counts for little by itself"


@dataclass(frozen=True)
class Trial:
    """An experiment planned or read.

    Attributes
    ----------
    kind : str
        ``plan``, ``plan-regions``, ``read`` or ``read-regions``.
    figures : dict
        The numbers behind the verdict.
    curve : list of dict
        Of a plan: ``x`` (people in all, or lift) and ``power``.
    series : list of dict
        Of regions: ``date``, ``group`` and ``value`` (1 on average before the test).
    effects : list of dict
        What was found: ``name``, ``value``, ``low``, ``high``.
    verdict : Verdict
    lift : Effect or None
        In all treated people or regions together: what a fit is calibrated with.
    """

    kind: str
    figures: dict[str, Any]
    verdict: Verdict
    curve: list[dict[str, float]] = field(default_factory=list)
    series: list[dict[str, Any]] = field(default_factory=list)
    effects: list[dict[str, Any]] = field(default_factory=list)
    lift: Effect | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data, numbers unrounded."""
        return {
            "audit": "experiment",
            "kind": self.kind,
            "figures": self.figures,
            "effects": self.effects,
            "curve": self.curve,
            "series": self.series,
            "lift": None if self.lift is None else self.lift.to_dict(),
            "verdict": self.verdict.to_dict(),
        }

    def as_test(
        self, name: str, line: str, kpi: str, spend: tuple[float, float], periods: int, part: float = 1.0
    ) -> dict[str, Any]:
        """Return the lift as an entry of the file that ``fit --calibrate`` takes.

        Parameters
        ----------
        spend : (2,)
            Of the line, a period, in the treated part: without the test and with it.
        periods : int
            Of the fit, that the test lasted.
        part : float
            Share of the market that was treated.

        Raises
        ------
        SpecError
            If the trial has no lift, or the entry would be none.
        """
        from .. import documents
        from ..evidence.calibrate import LiftTest

        if self.lift is None:
            raise SpecError("a plan has no lift", "read the experiment first")
        entry: dict[str, Any] = {"name": name, "line": line, "kpi": kpi, "spend": list(map(float, spend))}
        entry |= {"periods": periods, "part": float(part)}
        lift = self.lift
        entry |= {"lift": lift.value, "low": lift.low, "high": lift.high, "level": lift.level}
        documents.check(documents.Document(entry), LiftTest)
        return entry


def plan_people(
    rate: float,
    change: float,
    *,
    margin: float | None = None,
    power: float = POWER,
    level: float = LEVEL,
    per_period: float | None = None,
) -> Trial:
    """Say how many people an experiment on a share needs, and how long it takes; see `experiments.sample_size`.

    Parameters
    ----------
    rate, change, margin : float
        The control's share, the change to be found (or, with a margin, expected), and the loss allowed.
    per_period : float, optional
        People who come in a period, both sides together.
    """
    size = sample_size(rate, change, margin=margin, power=power, level=level)
    total = size.treated + size.control
    aim = (
        f"find a change of {100 * change:+.3g} points from {100 * rate:.3g} %"
        if margin is None
        else f"show that {100 * rate:.3g} % loses less than {100 * margin:.3g} points"
    )
    said = f"{size.treated:,} people on each side, {total:,} in all, {aim} in {100 * power:.0f} % of tests"
    figures: dict[str, Any] = {
        **{"rate": rate, "change": change, "margin": margin, "power": power, "level": level},
        **{"treated": size.treated, "control": size.control, "periods": None},
    }
    if per_period is not None:
        figures["periods"] = size.periods(per_period)
        said += f"; at {per_period:,.0f} a period that takes {figures['periods']:,}"
    sizes = np.unique(np.linspace(size.treated / 10, 2 * size.treated, CURVE).astype(int).clip(2))
    curve = [{"x": float(2 * n), "power": _power(n, rate, change, margin, level)} for n in sizes]
    todo = "split people by chance, run it to its end, and read it once: the first good day is no result"
    return Trial("plan", figures, Verdict("green", "planned", said, todo), curve)


def _power(people: int, rate: float, change: float, margin: float | None, level: float) -> float:
    """Chance that a test of so many people a side finds what it is for."""
    if margin is None:
        side = "larger" if change > 0 else "smaller"
        find = stats_library("statsmodels.stats.proportion").power_proportions_2indep
        given = {"ratio": 1, "alpha": (1 - level) / 2, "alternative": side, "return_results": False}
        return float(find(change, rate, people, **given))
    spread = np.sqrt(((rate + change) * (1 - rate - change) + rate * (1 - rate)) / 2)
    find = stats_library("statsmodels.stats.power").NormalIndPower().power
    return float(find((change + margin) / spread, people, (1 - level) / 2, ratio=1.0, alternative="larger"))


def plan_regions(
    rows: pd.DataFrame,
    treated: int,
    control: int,
    periods: int,
    lift: float,
    *,
    power: float = POWER,
    level: float = LEVEL,
    by: By = "share",
) -> Trial:
    """Say how likely a test over regions would find a lift; see `experiments.difference_power`."""
    if lift == 0:
        raise SpecError("a lift of 0 is nothing to find", "state the lift that has to be found")
    given = (rows, treated, control, periods)
    found = difference_power(*given, lift, level=level, by=by)
    size = f"{100 * lift:+.3g} %" if by == "share" else f"{lift:+.4g} a period and region"
    said = (
        f"with {treated} treated and {control} other regions over {periods} periods, a lift of {size} would be "
        f"found in {100 * found:.0f} % of tests, judged by how regions varied so far"
    )
    steps = np.linspace(0.0, 2 * lift, CURVE)[1:]
    curve = [{"x": float(x), "power": difference_power(*given, float(x), level=level, by=by)} for x in steps]
    figures = {"treated": treated, "control": control, "periods": periods, "lift": lift, "power": found}
    if found >= power:
        todo = "draw the treated regions by chance, and leave the others as they are until the end"
        return Trial("plan-regions", figures, Verdict("green", "large enough", said, todo), curve)
    todo = "take more regions, a longer test, or a larger change of spend"
    reason = f"{said}; {100 * power:.0f} % is wanted"
    return Trial("plan-regions", figures, Verdict("yellow", "too small", reason, todo), curve)


def read_people(
    rows: pd.DataFrame,
    control: str,
    *,
    margin: float | None = None,
    split: float | None = None,
    level: float = LEVEL,
) -> Trial:
    """Compare the shares of two groups of people.

    Parameters
    ----------
    rows : DataFrame
        ``arm`` (text), ``count`` (who did it; 0 or 1 where a row is a person) and maybe ``size`` (of how many).
    control : str
        The arm that is the control.
    margin : float, optional
        The share is a guardrail that may lose so much (`no_worse`).
    split : float, optional
        Share of people who were meant to be treated: checked by a binomial test.

    Raises
    ------
    DataError
        If there are not two arms, or counts are no whole numbers up to their size.
    SpecError
        If the control is no arm, or the split no share.
    """
    sizes = rows["size"] if "size" in rows else pd.Series(1.0, rows.index)
    if ((rows["count"] % 1 != 0) | (sizes % 1 != 0) | (rows["count"] > sizes) | (rows["count"] < 0)).any():
        raise DataError("counts are whole numbers from 0 to their size", "0 or 1 where a row is a person")
    sums = rows.assign(size=sizes).groupby("arm", observed=True)[["count", "size"]].sum()
    if control not in sums.index:
        raise SpecError(f"there is no arm '{control}'", f"arms are: {', '.join(map(str, sums.index[:8]))}")
    if len(sums) != 2:
        raise DataError(f"{len(sums)} arms", "give the rows of two: one treated, one control")
    name = str(next(arm for arm in sums.index if arm != control))
    done, of = (int(value) for value in sums.loc[name])
    before, base = (int(value) for value in sums.loc[control])
    effect = two_proportions(done, of, before, base, level=level)
    figures = {
        **{"treated": name, "control": control, "rate treated": done / of, "rate control": before / base},
        **{"people treated": of, "people control": base, "effect": effect.to_dict(), "margin": margin},
    }
    lift = effect.times(float(of))
    shown = [{"name": f"{name} against {control}", "value": effect.value, "low": effect.low, "high": effect.high}]
    verdict = _split(of, base, split) or _people_verdict(effect, figures, margin)
    return Trial("read", figures, verdict, effects=shown, lift=lift)


def _split(treated: int, control: int, split: float | None) -> Verdict | None:
    if split is None:
        return None
    if not 0 < split < 1:
        raise SpecError(f"a split of {split:g} is no share", "such as 0.5")
    from scipy.stats import binomtest

    if binomtest(treated, treated + control, split).pvalue >= UNLIKELY:
        return None
    said = (
        f"{100 * treated / (treated + control):.2f} % of people were treated where {100 * split:.4g} % were meant "
        "to be: who is missing is not missing by chance, so the groups are not alike"
    )
    return Verdict("red", "split is broken", said, "find out who was lost before any result is used")


def _people_verdict(effect: Effect, figures: dict[str, Any], margin: float | None) -> Verdict:
    said = (
        f"{100 * figures['rate treated']:.3g} % against {100 * figures['rate control']:.3g} %: "
        f"{_points(effect.value)} ({100 * effect.level:.0f} % interval {_points(effect.low)} to "
        f"{_points(effect.high)})"
    )
    if margin is None:
        return _moved(effect, said)
    lost = f"a loss of {100 * margin:.3g} points"
    if no_worse(effect, margin):
        return Verdict("green", "guardrail held", f"{said}: {lost} is ruled out", "go on")
    if effect.high < -margin:
        return Verdict("red", "guardrail lost", f"{said}: more than {lost} is sure", "stop what was tested")
    return Verdict(
        "grey", "cannot be told", f"{said}: {lost} is not ruled out", "take more people, or treat it as lost"
    )


def _points(value: float) -> str:
    return f"{100 * value:+.3g} points"


def _moved(effect: Effect, said: str) -> Verdict:
    """What an interval says of an effect that was wanted up."""
    if effect.low > 0:
        return Verdict("green", "it works", f"{said}: above 0", CALIBRATE)
    if effect.high < 0:
        return Verdict("red", "it harms", f"{said}: below 0", "stop what was tested")
    return Verdict("grey", "cannot be told", f"{said}: 0 lies in it", CALIBRATE)


def read_regions(
    rows: pd.DataFrame,
    treated: Sequence[str],
    start: date,
    end: date,
    *,
    by: By = "share",
    level: float = LEVEL,
) -> Trial:
    """Compare how treated and other regions changed; see `experiments.difference_in_differences`."""
    found = difference_in_differences(rows, treated, start, end, by=by, level=level)
    effect, before = found.effect, found.before
    scale, unit = (100.0, " %") if by == "share" else (1.0, " a period and region")
    said = (
        f"treated regions changed by {scale * effect.value:+.3g}{unit} against the others ({100 * level:.0f} % "
        f"interval {scale * effect.low:+.3g} to {scale * effect.high:+.3g}), {found.lift.value:+,.4g} in all"
    )
    drifted = not before.low <= 0 <= before.high
    verdict = _moved(effect, said)
    if drifted:
        reason = f"{said}; but before the test the groups drifted apart already: the effect holds that drift too"
        verdict = Verdict("yellow", "groups not alike", reason, "choose regions that moved alike, and test again")
    figures = {
        **{"treated": found.treated, "control": found.control, "start": str(start), "end": str(end), "by": by},
        **{"effect": effect.to_dict(), "before": before.to_dict()},
    }
    shown = [{"name": "effect", "value": effect.value, "low": effect.low, "high": effect.high}]
    return Trial("read-regions", figures, verdict, series=_series(found), effects=shown, lift=found.lift)


def _series(found: Difference) -> list[dict[str, Any]]:
    table = found.series
    return [
        {"date": str(day), "group": str(name), "value": float(value)}
        for name, column in table.items()
        for day, value in column.items()
    ]
