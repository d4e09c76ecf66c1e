"""What a history cannot tell, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date

from .demand import OWN_CHASING
from .diagnostics import Report
from .history import FitSpec, History
from .kinds import ODDS
from .regression import LEVEL_SD, WIDTHS
from .shapes import WORDS, CurveKind

# Where the notes begin to warn.
LITTLE_LEARNED = 0.2
OWN_MOVEMENT = 0.2
MOSTLY_OFF = 0.25
FAR_FROM_EXPECTED = 2.0
LONG_MEMORY = 0.6
NEGATIVE = -0.5
DISAGREE = 1.1
NEXT_TO_NOTHING = 0.15
OFF_FOR = {"day": 28, "week": 4}
LEAST_COVERED = 0.5
# Errors that differ by less say nothing.
CLEARLY = 1.05


def notes(found: Report, history: History, spec: FitSpec) -> tuple[str, ...]:
    """Say in words what the data cannot tell."""
    said = [
        "A quick fit on history alone: it finds what moved together, not what caused what. "
        "Check a large move by an experiment before it is made in full.",
        *_expectation(spec),
        *_line_notes(found, len(history.dates), spec.period),
        *[note for name in found["kpis"] for note in _kpi_notes(name, found, spec)],
        *_unseen_events(history, spec),
    ]
    control = " Controls stay at their mean of the last year." if spec.controls else ""
    said.append(
        f"The baseline forecast covers {spec.forecast} {spec.period}s: the linear trend carried on, season "
        f"repeated, events where the config dates them, and noise as the history had it.{control}"
    )
    return tuple(said)


def _expectation(spec: FitSpec) -> list[str]:
    shares = ", ".join(f"{kpi.media_share:.0%} of {name}" for name, kpi in spec.kpis.items())
    widths = ", ".join(f"{width:g}" for width in WIDTHS)
    said = [
        f"Before the data speak, all lines together are expected to bring {shares} (media_share), give or "
        f"take a factor of {math.exp(LEVEL_SD):.1f}, each in proportion to its spend within {widths} times that, "
        "and none to do harm; carry-over and saturation may be anything on a grid, curves are concave unless the "
        f"config or odds of {ODDS:.0f} to 1 in the history say otherwise. Where the data say little, "
        "this is what a curve holds: equal returns and wide doubt."
    ]
    if spec.chasing > 0:
        said.append(
            "Budgets may have followed demand: what lines do in step may be demand's doing for up to about "
            f"{spec.chasing:.1f} standard deviations of the unexplained part (chasing), what each does alone for "
            f"{OWN_CHASING * spec.chasing:.1f} in all. More data do not take this doubt away; an experiment does, "
            "or 'chasing: 0' where spend was set without a look at demand."
        )
    else:
        said.append("The config states that budgets did not follow demand (chasing: 0); nothing checks that.")
    return said


def _line_notes(found: Report, periods: int, period: str) -> list[str]:
    said, lines = [], found["lines"]
    if constant := [name for name, line in lines.items() if not line["varies"]]:
        said.append(f"{_listed(constant)}: spend never varied, so the history says nothing of the effect.")
    if off := [
        f"{name} (for {line['off_for']} {period}s)"
        for name, line in lines.items()
        if line["off_for"] >= OFF_FOR[period]
    ]:
        said.append(f"Switched off at the end of the history: {_listed(off)}; what they did may not hold now.")
    if mostly_off := [
        f"{name} ({line['periods_on']})"
        for name, line in lines.items()
        if line["periods_on"] < MOSTLY_OFF * periods
    ]:
        said.append(f"Mostly off ({period}s on, of {periods}): {_listed(mostly_off)}.")
    if shared := [
        f"{name} ({1 - line['own_movement']:.0%})"
        for name, line in lines.items()
        if line["varies"] and line["own_movement"] < OWN_MOVEMENT
    ]:
        said.append(
            f"Most of the movement of {_listed(shared)} is shared with other lines, trend, season, events or "
            "controls: what each does alone is hard to tell."
        )
    said += _curve_notes(lines)
    for pair in found["alike"]:
        said.append(
            f"{' and '.join(pair['lines'])} moved together (correlation {pair['correlation']:.2f}): "
            "the data cannot tell their effects apart."
        )
    return said


def _curve_notes(lines: Report) -> list[str]:
    """Which lines' histories speak against a concave curve."""
    fitted, crowded = [], []
    for name, line in lines.items():
        odds: dict[CurveKind, float] = line.get("log_odds", {})
        best: CurveKind = max(odds, key=odds.__getitem__, default="concave")
        if line["curve"] in odds:
            fitted.append(f"{name} ({WORDS[line['curve']]}, odds {_odds(odds[line['curve']])} to 1)")
        elif odds and odds[best] >= math.log(ODDS):
            crowded.append(f"{name} ({WORDS[best]}, odds {_odds(odds[best])} to 1)")
    said = []
    if fitted:
        said.append(
            f"The history speaks against a concave curve of {_listed(fitted)}: fitted so. "
            "State 'curve: concave' for a line that is."
        )
    if crowded:
        said.append(
            f"The history speaks against a concave curve of {_listed(crowded)}, fitted as concave all the same: "
            "too many lines have curves to choose from. State 'curve: concave' or 'linear' for others."
        )
    return said


def _kpi_notes(name: str, found: Report, spec: FitSpec) -> list[str]:
    kpi, effects, said = found["kpis"][name], found["effects"][name], []
    little = [line for line, effect in effects.items() if effect["learned"] < LITTLE_LEARNED]
    if little:
        said.append(
            f"{name}: the data say little about {_listed(little)}; less than {LITTLE_LEARNED:.0%} of the "
            "doubt is resolved, the rest is the expectation (media_share)."
        )
    nothing = [line for line, e in effects.items() if e["share"]["low"] <= NEXT_TO_NOTHING * e["share"]["mean"]]
    if nothing:
        said.append(f"{name}: {_listed(nothing)} may do nothing at all (the 90 % interval all but touches zero).")
    negative = [line for line, e in effects.items() if e["score_free_of_sign"] < NEGATIVE]
    if negative:
        said.append(
            f"{name}: left free, the effect of {_listed(negative)} would come out negative: something that went "
            f"against {name} at the time is missing from the config. The near-zero reported in its place does "
            "not prove that it does nothing; test before cutting it."
        )
    share, expected = kpi["media_share"]["mean"], kpi["media_share_expected"]
    if share > FAR_FROM_EXPECTED * expected or share < expected / FAR_FROM_EXPECTED:
        said.append(
            f"{name}: the data put the share of all lines at {share:.0%}, far from the {expected:.0%} "
            "expected; check the config, and state another media_share if you find it credible."
        )
    said += _forecast_notes(name, kpi["holdout"], spec.period)
    if kpi["memory"] > LONG_MEMORY:
        said.append(f"{name}: misses come in runs; something that moves {name} is missing from the config.")
    if kpi["agreement"] > DISAGREE:
        said.append(
            f"{name}: the sampler's chains do not agree (R-hat {kpi['agreement']:.2f}): intervals may be off."
        )
    if kpi["baseline_draws_below_zero"] > 0:
        said.append(
            f"{name}: in {kpi['baseline_draws_below_zero']:.0%} of draws the baseline forecast falls below "
            f"zero in some {spec.period}; it is left as it is."
        )
    return said


def _forecast_notes(name: str, held: Report, period: str) -> list[str]:
    said = []
    where = f"on {held['origins']} times {held['periods']} {period}s not yet seen"
    naive = [held[key] for key in ("error_of_mean", "error_of_last_year") if held[key] is not None]
    if held["error"] > CLEARLY * min(naive):
        said.append(
            f"{name}: {where}, the fit misses by {held['error']:.0%}, a plain forecast (mean, or last year) by "
            f"{min(naive):.0%}: do not trust its level."
        )
    if held["error"] > CLEARLY * held["error_without_media"]:
        said.append(
            f"{name}: {where}, the same model without any line misses by {held['error_without_media']:.0%}, "
            f"with them by {held['error']:.0%}: forecasts do not confirm the lines' effects."
        )
    if held["covered"] < LEAST_COVERED:
        said.append(
            f"{name}: {where}, only {held['covered']:.0%} lay within their {held['interval']:.0%} intervals: "
            f"something that moves {name} is missing, and doubt is larger than shown."
        )
    return said


def _unseen_events(history: History, spec: FitSpec) -> list[str]:
    cut = history.dates[-spec.holdout].date()
    unseen = [name for name in spec.named_events if _first(name, history, spec) >= cut]
    if not unseen:
        return []
    return [f"The held-out {spec.period}s hold {_listed(unseen)}, not seen before: no fit can predict them."]


def _first(name: str, history: History, spec: FitSpec) -> date:
    """First day of an event's first period."""
    days = list(spec.events.get(name, ()))
    if name in spec.event_columns:
        days += [day.date() for day in history.dates[history.marks[name].to_numpy() != 0]]
    return min(days)


def _odds(log_odds: float) -> str:
    """What to one, from natural logarithms."""
    return f"{math.exp(log_odds):.0f}" if log_odds < math.log(1000) else "above 1,000"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
