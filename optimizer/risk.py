"""What is at risk: a KPI against its own worst draws, and what plans are worth on draws that no search has seen.

A plan picked by some draws looks better on them than on others (the optimizer's curse: Smith & Winkler, Management
Science 52, 2006). Draws that were held out tell by how much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import SpecError
from .measured import kpi_means
from .preferences import MODES
from .simulate import Simulator

if TYPE_CHECKING:
    from .scenario import Scenario

Floats = NDArray[np.float64]


def with_risk(scenario: Scenario, risk: Mapping[str, float]) -> Scenario:
    """Return the scenario with the mean over the worst draws of some objectives as objectives beside them.

    Parameters
    ----------
    scenario : Scenario
        With curves by draw.
    risk : mapping
        By objective KPI, the share of its worst draws: 0.1 is a tenth.

    Raises
    ------
    SpecError
        If one is no objective, or the share is not between 0 and 1.
    """
    data = scenario.spec.model_dump(exclude_none=True, exclude={"hash"})
    said, kpis = data["preferences"], data["kpis"]
    weights = dict(scenario.spec.preferences.weights) or dict.fromkeys(scenario.objectives, 1.0)
    for name, share in risk.items():
        if name not in scenario.objectives:
            raise SpecError(
                f"'{name}' is no objective",
                f"objectives are: {', '.join(scenario.objectives)}",
                path=("risk", name),
            )
        if not 0 < share < 1:
            raise SpecError(f"{share:g} is no share of the draws", "0.1 is the worst tenth", path=("risk", name))
        worst = f"{name}, worst {share:.3g}"
        kpis[worst] = {"cvar": [name, float(share)], "role": "objective"}
        kpis[worst] |= {key: kpis[name][key] for key in ("direction", "unit") if key in kpis[name]}
        weights[worst] = weights[name]
    for mode in MODES:
        said.pop(mode, None)
    said["weights"], said["caution"] = weights, 0.0
    said["scale"] = {name: said["scale"].get(name, "payoff") for name in weights}
    return scenario.restated(data)


def on_fresh_draws(scenario: Scenario, plans: Floats) -> pd.DataFrame | None:
    """Simulate plans on the draws that were held out.

    Parameters
    ----------
    plans : (N, L) or (N, L, T)
        Spend; currency.

    Returns
    -------
    DataFrame or None
        One row a plan; for every KPI what is expected of it on those draws, then ``loss <kpi>``: how much less the
        plan gains over today's there than on the draws used, in the KPI's unit. What moves today's plan alike is
        no loss. None where none were held out.
    """
    if scenario.fresh is None:
        return None
    values, both = [], np.concatenate([plans, scenario.today[None]])
    for each in (scenario, replace(scenario, response=scenario.fresh)):
        values.append(pd.DataFrame(kpi_means(each, Simulator.of(each).outcomes(both), both)))
    used, fresh = values
    gained = [each.iloc[:-1] - each.iloc[-1] for each in values]
    signs = [-1.0 if scenario.spec.kpis[name].direction == "minimize" else 1.0 for name in used]
    return pd.concat([fresh.iloc[:-1], ((gained[0] - gained[1]) * signs).add_prefix("loss ")], axis=1)


def lost_words(share: float) -> str:
    """Return what a front loses, a share, or gains, where it is negative, in words."""
    return f"{'gains' if share < 0 else 'loses'} {100 * abs(share):.2g} %"
