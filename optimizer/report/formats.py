"""Numbers and sentences the way a planner writes them; None and NaN are a dash."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..risk import lost_words

DASH = "–"
# Beyond this size digits stop meaning anything and the number would burst its column.
HUGE = 1e15
# A proof is never quoted finer than this: below it lies rounding.
FINEST = 1e-6
NOISE = 1e-6
# What a gap is a share of, by the certificate's measure.
OF_SCALE = {
    "scale": " of the stated scale",
    "steps": " of the stated scale",
    "front": " of the range of the front",
}


def number(value: float | None) -> str:
    """Write an amount: whole with separators from 1,000 up, three significant digits below.

    >>> number(1234.5), number(0.08), number(12.0), number(None)
    ('1,234', '0.0800', '12', '–')
    """
    if value is None or not math.isfinite(value):
        return DASH
    size = abs(value)
    if size >= HUGE or 0 < size < 1e-4:
        return f"{value:.2e}"
    if size >= 999.5 or value == int(value):
        return f"{value + 0.0:,.0f}"
    rounded = float(f"{size:.3g}")
    return f"{value:.{max(0, 2 - math.floor(math.log10(rounded)))}f}"


def percent(share: float | None, sign: bool = False) -> str:
    """Write a share as a percentage with one decimal; with ``sign``, as a change.

    >>> percent(0.25), percent(0.4402, sign=True), percent(-0.00001, sign=True)
    ('25.0 %', '+44.0 %', '0.0 %')
    """
    if share is None or not math.isfinite(share):
        return DASH
    points = 100.0 * share
    if abs(points) >= 1e9:
        return f"{points:+.2e} %" if sign else f"{points:.2e} %"
    if abs(points) < 0.05:
        return "0.0 %"
    digits = 0 if abs(points) >= 1000 else 1
    return f"{points:+,.{digits}f} %" if sign else f"{points:,.{digits}f} %"


def signed(value: float | None, stake: float = 0.0) -> str:
    """Write a difference with its sign; less than a millionth of ``stake`` is rounding, and nothing.

    >>> signed(1500.0), signed(-2e-11, stake=1000.0)
    ('+1,500', '0')
    """
    if value is not None and abs(value) <= NOISE * stake:
        value = 0.0
    text = number(value)
    return f"+{text}" if value is not None and math.isfinite(value) and value > 0 else text


def room(slack: float | None, binding: bool) -> str:
    """Write a rule's slack; what binds has no room, its slack is solver noise."""
    return "0" if binding else number(slack)


def chance(probability: float | None) -> str:
    """Write a share of draws as a chance; a finite number of draws never proves certainty.

    >>> chance(0.5), chance(1.0), chance(0.0)
    ('50 %', '> 99 %', '< 1 %')
    """
    if probability is None or not math.isfinite(probability):
        return DASH
    if probability > 0.995:
        return "> 99 %"
    return "< 1 %" if probability < 0.005 else f"{100 * probability:.0f} %"


def between(low: float | None, high: float | None) -> str:
    """Write an interval of amounts."""
    if low is None or high is None:
        return DASH
    return f"{number(low)} to {number(high)}"


def between_percent(low: float | None, high: float | None) -> str:
    """Write an interval of changes."""
    if low is None or high is None:
        return DASH
    return f"{percent(low, sign=True)} to {percent(high, sign=True)}"


def clean(text: object) -> str:
    """Return text with control characters made visible, so that no file can steer a terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in str(text))


def _at_most(share: float) -> str:
    """Write a proven limit as a percentage, rounded up to one significant digit: the statement stays true."""
    share = max(share, FINEST)
    digits = -math.floor(math.log10(share))
    rounded = math.ceil(round(share * 10.0**digits, 9)) / 10.0**digits
    return f"{100 * rounded:.{max(0, digits - 2)}f} %"


def plan_proof(certificate: Mapping[str, Any]) -> str:
    """Say in one sentence how good a plan provably is.

    Parameters
    ----------
    certificate : mapping
        As in ``Plan.to_dict()["certificate"]``.
    """
    guarantee, gap = certificate["guarantee"], certificate["gap"]
    if guarantee == "global":
        what = _at_most(gap) + OF_SCALE.get(certificate["measure"], "")
        return f"No plan that keeps the rules is better than this one by more than {what} (proven)."
    reach = (
        f"No plan can be better by more than {_at_most(gap)} (proven)" if gap is not None else "No bound is known"
    )
    if guarantee == "local":
        return f"No small change improves this plan; a quite different one may be better. {reach}."
    return f"This plan was found by search, without proof that it is the best. {reach}."


def front_proof(certificate: Mapping[str, Any], n_points: int, lost: float | None = None) -> str:
    """Say in one sentence how complete a front provably is; both as in ``Front.to_dict()``."""
    found = f"{n_points} plans from {certificate['solves']} solves."
    if certificate["ended"]:
        found += f" The search stopped early: {certificate['ended']}."
    if certificate["guarantee"] == "global":
        return (
            "All plans that are missing from this front could together add at most "
            f"{_at_most(certificate['gap'])} to what it covers (proven). {found}"
            + ("" if lost is None else f" On draws that no search has seen it {lost_words(lost)} of it.")
        )
    return f"It is not proven that this front is complete: {certificate['why']}. {found}"
