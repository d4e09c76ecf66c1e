"""KPIs that come late: all that lines do for them arrives some periods after the media works.

``y[k, t]`` is then what the response says for period ``t - delay[k]``, times the season of the period in which it
arrives. That is an adstock whose first ``delay[k]`` weights are zero, before saturation as after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .response import ResponseModel

if TYPE_CHECKING:
    from .stated import ScenarioSpec

Floats = NDArray[np.float64]


def delayed(weights: Floats, delay: NDArray[np.int64]) -> Floats:
    """Adstock weights (D, K, L, J + 1) with as many zeros before them as each KPI (K,) is late."""
    if not np.any(delay):
        return weights
    late = np.zeros((*weights.shape[:3], weights.shape[3] + int(delay.max())))
    for k, periods in enumerate(delay):
        late[:, k, :, periods : periods + weights.shape[3]] = weights[:, k]
    return late


def notes(spec: ScenarioSpec, model: ResponseModel) -> list[str]:
    """What is not counted of effects on KPIs that come late, in words."""
    found, every, periods = [], spec.horizon.every, spec.horizon.periods
    known = min(model.history.shape[1] if line.history is None else len(line.history) for line in spec.lines)
    for k, name in enumerate(model.kpis):
        late = spec.kpis[name].delay
        if not late:
            continue
        found.append(f"What lines do for {name} comes {_count(late, every)} late.")
        if not spec.carry_out:
            lost = f"the plan's last {_count(late, every)}" if late < periods else "the whole plan"
            found.append(f"What {lost} would do for {name} is not counted: it comes after the end.")
        if known < late + model.length[k].max() - 1:
            past = f"more than {_count(known, every)} before" if known else "before"
            found.append(f"Spend {past} the start is not known: what it does for {name} is not counted.")
    return found


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"
