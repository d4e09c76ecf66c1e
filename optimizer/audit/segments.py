"""Why a rate moved: other people (mix), or the same people otherwise (rate); and who a plan is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import DataError, SpecError
from ..plan import plain, records
from .verdict import Verdict, stats_library

if TYPE_CHECKING:
    from ..plan import Plan

SURE = 0.05
"""Error with which a segment's rate may be called moved when it is not, over all segments together."""


@dataclass(frozen=True)
class Segments:
    """A rate between two periods, by segment.

    Attributes
    ----------
    table : DataFrame
        By segment: ``size before``, ``size after``, ``rate before``, ``rate after`` (NaN where nobody was in it),
        ``mix`` and ``rate`` (what each adds to the change of the overall rate), ``p`` (two-sided test that the
        segment's own rate did not move; NaN where it cannot be tested).
    before, after : float
        The overall rate.
    mix, rate : float
        Sums of the table's columns; together exactly ``after - before``.
    reversal : bool
        Whether the overall rate went one way while no segment's went along with it, and some went the other.
    verdict : Verdict
    """

    table: pd.DataFrame
    before: float
    after: float
    mix: float
    rate: float
    reversal: bool
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data, numbers unrounded; NaN becomes null."""
        return {
            "audit": "segments",
            **{name: plain(getattr(self, name)) for name in ("before", "after", "mix", "rate")},
            "change": plain(self.after - self.before),
            "reversal": self.reversal,
            "segments": records(self.table),
            "verdict": self.verdict.to_dict(),
        }


def decompose(rows: pd.DataFrame, before: object = None, after: object = None) -> Segments:
    """Split the change of a rate into mix and rate (Kitagawa, J. Am. Stat. Assoc. 50, 1955).

    With shares w and rates r before (0) and after (1), segment s adds ``(w1 - w0) (r0 + r1) / 2`` as mix and
    ``(r1 - r0) (w0 + w1) / 2`` as rate. A segment that is empty at one end has no rate there and takes the other
    end's: all it adds is mix.

    Parameters
    ----------
    rows : DataFrame
        ``period``, ``segment``, ``count`` (of those who did it) and ``size`` (of how many); rows of the same
        period and segment are added up.
    before, after : optional
        The periods to compare; the first and the last unless given.

    Raises
    ------
    DataError
        If a count is negative or above its size, or a period has nobody in it.
    SpecError
        If a period named is not there, or there is only one.
    """
    wrong = (rows["count"] < 0) | (rows["count"] > rows["size"])
    if wrong.any():
        bad = rows[wrong].iloc[0]
        raise DataError(
            f"{bad['count']:g} of {bad['size']:g} in '{bad['segment']}', {bad['period']}, is no share",
            "a count is at least 0 and at most its size",
        )
    sums = rows.groupby(["period", "segment"], sort=True, observed=True)[["count", "size"]].sum()
    known = list(sums.index.get_level_values("period").unique())
    before, after = (known[0] if before is None else before), (known[-1] if after is None else after)
    for period in (before, after):
        if period not in known:
            shown = ", ".join(map(str, known[:12]))
            raise SpecError(f"there is no period '{period}'", f"periods are: {shown}")
    if before == after:
        raise SpecError("there is one period only", "give two to compare")
    # A segment that is nowhere to be seen in a period had nobody in it.
    ends = [sums.xs(period, level="period") for period in (before, after)]
    names = ends[0].index.union(ends[1].index)
    old, new = (end.reindex(names, fill_value=0.0).astype(float) for end in ends)
    for period, end in ((before, old), (after, new)):
        if end["size"].sum() <= 0:
            raise DataError(f"nobody is in '{period}'", "compare other periods")
    return _decomposed(old, new)


def _decomposed(old: pd.DataFrame, new: pd.DataFrame) -> Segments:
    share0, share1 = (end["size"] / end["size"].sum() for end in (old, new))
    rate0, rate1 = (end["count"] / end["size"].where(end["size"] > 0) for end in (old, new))
    table = pd.DataFrame(
        {"size before": old["size"], "size after": new["size"], "rate before": rate0, "rate after": rate1}
    ).rename_axis("segment")
    from_, to = rate0.fillna(rate1).fillna(0.0), rate1.fillna(rate0).fillna(0.0)
    table["mix"] = (share1 - share0) * (from_ + to) / 2
    table["rate"] = (to - from_) * (share0 + share1) / 2
    table["p"] = _tests(old, new)
    before, after = (float(end["count"].sum() / end["size"].sum()) for end in (old, new))
    moves = np.sign(to - from_) * np.sign(after - before)
    reversal = bool((moves <= 0).all() and (moves < 0).any())
    mix, rate = float(table["mix"].sum()), float(table["rate"].sum())
    return Segments(table, before, after, mix, rate, reversal, _verdict(table, before, after, reversal))


def _tests(old: pd.DataFrame, new: pd.DataFrame) -> list[float]:
    """Two-sided p-values that each segment's rate stayed as it was, pooled z-test."""
    proportion = stats_library("statsmodels.stats.proportion")
    found = []
    for name in old.index:
        counts = [float(end.loc[name, "count"]) for end in (old, new)]
        sizes = [float(end.loc[name, "size"]) for end in (old, new)]
        testable = min(sizes) > 0 and 0 < sum(counts) < sum(sizes)
        found.append(float(proportion.proportions_ztest(counts, sizes)[1]) if testable else float("nan"))
    return found


def _verdict(table: pd.DataFrame, before: float, after: float, reversal: bool) -> Verdict:
    mix, rate = 100 * table["mix"].sum(), 100 * table["rate"].sum()
    said = (
        f"the overall rate went from {100 * before:.2f} to {100 * after:.2f} %: mix {mix:+.3f} and rate "
        f"{rate:+.3f} points"
    )
    sure = table.index[table["p"] * max(table["p"].notna().sum(), 1) < SURE]
    if reversal:
        way = "up" if after > before else "down"
        chance = "" if len(sure) else "; each segment's own move may be chance"
        return Verdict(
            "red",
            "reversal",
            f"{said}; it went {way} while no segment's rate did{chance}",
            "steer by the segments' rates, not by the overall one",
        )
    if mix * rate < 0 and abs(mix) > abs(rate):
        return Verdict(
            "yellow",
            "mix hides the rates",
            f"{said}: who came moved it more than what they did, the other way",
            "look at the segments before the overall rate is used",
        )
    moved = ", ".join(str(name) for name in sure) or "none beyond chance"
    return Verdict("green", "no reversal", f"{said}; rates that moved: {moved}", "nothing")


def by_segment(plan: Plan, attribute: str) -> pd.DataFrame:
    """Say who a plan is for: spend and outcomes by an attribute of the lines.

    A least share for a segment is a rule: ``constraints.shares`` in the scenario.

    Parameters
    ----------
    plan : Plan
    attribute : str
        Of the lines, such as ``segment``.

    Returns
    -------
    DataFrame
        By segment: ``spend`` (currency over the horizon) and ``spend share``, then each additive KPI as what the
        segment's lines add to it (mean over draws), and ``<kpi> share`` of what all lines add.

    Raises
    ------
    DataError
        If no line has the attribute.
    """
    from ..simulate import BASELINE, simulate

    scenario = plan.scenario
    parts = simulate(scenario, plan.spend, by=attribute)
    added = parts.drop(index=BASELINE, level=attribute).groupby(level=attribute, sort=False).mean()
    values = [line.attributes.get(attribute) or "" for line in scenario.spec.lines]
    table = plan.totals.groupby(values).sum().reindex(added.index).to_frame("spend").join(added)
    for column in list(table.columns):
        total = float(table[column].sum())
        table[f"{column} share"] = table[column] / total if total > 0 else np.nan
    return table
