"""The fit where the truth is known, and how long real brands take.

    python -m pytest benchmarks/test_fit.py -s

The quantity is each line's total effect over the history, as a share of the KPI; intervals hold 90 %.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fit_worlds import World, own_world, planned_world

from optimizer.evidence.backtest import backtest, summary
from optimizer.evidence.fit import fit
from optimizer.evidence.history import FitSpec, load_history

DATA = Path(__file__).parents[1].parent / "shared" / "data"
WORLDS: dict[str, tuple[Callable[..., World], dict[str, float]]] = {
    "own model": (own_world, {}),
    "lognormal returns": (planned_world, {}),
    "lines moving together": (planned_world, {"together": 0.9}),
    "seasonal pushes": (planned_world, {"push": 1.0}),
    "budgets that chase demand, some": (planned_world, {"chase": 0.3}),
    "budgets that chase demand, hard": (planned_world, {"chase": 1.0, "push": 0.5, "together": 0.5}),
}


@pytest.mark.parametrize("kind", WORLDS)
def test_coverage(kind: str) -> None:
    make, given = WORLDS[kind]
    inside, whole, widths, foretold, seconds, bent = [], [], [], [], [], 0
    for seed in range(100):
        world = make(10_000 + seed, **given)
        begun = time.perf_counter()
        found = fit(world.history, world.spec).diagnostics
        seconds.append(time.perf_counter() - begun)
        share = pd.DataFrame({line: one["share"] for line, one in found["effects"]["sales"].items()}).T
        inside += list((share["low"] <= world.shares) & (world.shares <= share["high"]))
        widths += list(share["high"] - share["low"])
        kpi = found["kpis"]["sales"]
        whole.append(kpi["media_share"]["low"] <= world.shares.sum() <= kpi["media_share"]["high"])
        foretold.append(kpi["holdout"]["covered"])
        bent += sum(line["curve"] != "concave" for line in found["lines"].values())
    print(
        f"\n{kind}: {np.mean(inside):.1%} of {len(inside)} lines within 90 % intervals (mean width "
        f"{np.mean(widths):.3f}), all lines together {np.mean(whole):.0%}, forecast periods within 80 % "
        f"{np.mean(foretold):.1%}, {np.median(seconds):.2f} s a fit; {bent} lines, all of them concave, were "
        "fitted as S-shaped or straight"
    )
    assert 0.80 <= np.mean(inside) <= 0.98


def brands() -> dict[str, FitSpec]:
    """A plain config of every series of the real brands: all lines that ever spent, two KPIs, no events."""
    table = pd.read_parquet(DATA / "conjura" / "weekly.parquet")
    found = {}
    for key, rows in table.groupby("MMM_TIMESERIES_ID"):
        spend = [name for name in rows if name.endswith("_SPEND") and (rows[name] > 0).any()]
        found[str(key)] = FitSpec(
            date="WEEK_START",
            period="week",
            filter={"MMM_TIMESERIES_ID": str(key)},
            lines={name.removesuffix("_SPEND").lower(): {"spend": name, "blank": "zero"} for name in spend},
            kpis={"new_customers": {"column": "FIRST_PURCHASES"}, "revenue": {"column": "REVENUE_NET"}},
            season=1,
        )
    return found


@pytest.mark.skipif(not DATA.exists(), reason="the data are not here")
def test_real_brands() -> None:
    for key, spec in brands().items():
        history = load_history(DATA / "conjura" / "weekly.parquet", spec)
        begun = time.perf_counter()
        found = fit(history, spec)
        seconds = time.perf_counter() - begun
        print(f"\n{key[:6]}: {len(spec.lines)} lines, 2 KPIs, {len(history.dates)} weeks in {seconds:.1f} s")
        told = ("witched off", "Mostly off", "history speaks")
        print("\n".join(note for note in found.notes if any(words in note for words in told)))
        print(summary(backtest(history, spec)).round(3).to_string())
        assert seconds < 60
