"""The scenario to start from that a fit or an import writes: it plans as it stands."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from numpy.lib.stride_tricks import sliding_window_view

from ..curves import Floats
from ..errors import SpecError

if TYPE_CHECKING:
    from .fit import Fit

# The starter's horizon.
PERIODS = {"week": 13, "day": 28}
# Draws of a fit that pick plans: with more, plans in the closed loop are no better and take longer.
PICKING = 200
# An amount's digits.
DIGITS = 6
CODE = re.compile(r"[A-Z]{3}")


def stretches(spend: Floats, periods: int) -> list[dict[str, Any]]:
    """Money of the latest ``periods`` in a row, and the least and most of any: plain data by line, of (L, T)."""
    periods = min(periods, spend.shape[1])
    sums = sliding_window_view(spend, periods, axis=1).sum(axis=2)
    return [
        {"periods": periods, "spend": float(one[-1]), "least": float(one.min()), "most": float(one.max())}
        for one in sums
    ]


def scenario(
    name: str,
    currency: str,
    horizon: tuple[date, int, str],
    lines: Sequence[Mapping[str, Any]],
    kpis: Mapping[str, str],
    kpi: str,
    response: Mapping[str, Any],
    rules: Mapping[str, Any],
    notes: Sequence[str],
) -> dict[str, Any]:
    """Write today's plan and its budget as a scenario that maximises one KPI.

    Parameters
    ----------
    horizon : (start, periods, every)
    lines : sequence of mapping
        Each with ``name`` and ``current``.
    kpis : mapping
        Unit by KPI.
    kpi : str
        The one to plan for.
    response : mapping
        The response block.
    rules : mapping
        Constraints besides the budget.
    """
    start, periods, every = horizon
    return {
        "name": name,
        "currency": currency,
        "horizon": {"start": start.isoformat(), "periods": periods, "every": every},
        "lines": [dict(line) for line in lines],
        "kpis": {
            key: {"unit": unit, **({"direction": "maximize"} if key == kpi else {})} for key, unit in kpis.items()
        },
        "response": dict(response),
        "constraints": {"budget": {"total": math.fsum(line["current"] for line in lines)}, **rules},
        "preferences": {},
        "notes": list(notes),
    }


def rounded(amount: float, how: Any = round) -> float:
    """An amount of few digits; ``how`` is round, floor or ceil."""
    if amount == 0:
        return 0.0
    places = DIGITS - 1 - math.floor(math.log10(abs(amount)))
    factor = 10.0 ** abs(places)
    if places >= 0:
        return float(how(amount * factor)) / factor
    return float(how(amount / factor)) * factor


def of_fit(fit: Fit, response: str) -> dict[str, Any]:
    """Return the scenario to start from after a fit, see `Fit.starter`.

    Raises
    ------
    SpecError
        If the config names no currency.
    """
    spec, start = fit.spec, fit.model.start
    if spec.currency is None or not CODE.fullmatch(spec.currency):
        raise SpecError("the config names no currency", "add 'currency', three capital letters, such as EUR")
    assert start is not None
    found = fit.diagnostics["lines"]
    periods = next(iter(found.values()))["latest"]["periods"]
    lines = []
    for name in spec.lines:
        latest, tested = found[name]["latest"], found[name].get("tested", ())
        ends = [latest["least"], latest["most"], *(periods * amount for amount in tested)]
        lines.append(
            {
                "name": name,
                "current": rounded(latest["spend"]),
                "min": rounded(min(ends), math.floor),
                "max": rounded(max(ends), math.ceil),
                "limits": "evidence",
            }
        )
    about, kpi = fit.model.attributes, next(iter(spec.kpis))
    every = f"{periods} {spec.period}s"
    notes = [
        f"Today's plan ('current') is what was spent in the latest {every}.",
        f"'min' and 'max' of a line are the least and the most that was spent on it in any {every} in a row, "
        f"{about['first']} to {about['last']}: beyond them no {spec.period} of the history says what money does. "
        "Where you know better, or must move less, write your own, and take 'limits: evidence' away: it says that "
        "a test beyond them may move them.",
    ]
    if tested := [name for name in spec.lines if "tested" in found[name]]:
        notes.append(f"So far as it was tested in an experiment, a line may go further: {', '.join(tested)}.")
    # Nothing, where so few would be left out that there is little to learn from them.
    block: dict[str, Any] = {"file": response}
    if (draws := fit.model.draws) >= 2 * PICKING:
        block["held_out"] = math.ceil(10_000 * (1 - PICKING / draws) - 1e-6) / 10_000
        notes.append(
            f"Plans are picked by {PICKING} of the fit's {draws:,} draws. The others are held out: they say what "
            "a plan or a front loses on draws that it was not picked by, and help to say what to test next."
        )
    if len(spec.kpis) > 1:
        notes.append(f"This plans for {kpi} alone. State what the other KPIs are worth beside it.")
    return scenario(
        f"{kpi}, from history",
        spec.currency,
        (start, periods, spec.period),
        lines,
        {name: name for name in spec.kpis},
        kpi,
        block,
        {},
        notes,
    )
