"""What the worlds' records come to: uplift captured, harm done, what intervals held, regret; by difficulty."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Record = dict[str, Any]

# From this seed on worlds are held out: nothing was chosen by them.
HELD_OUT = 1000
HARM = 0.005
# Gains that differ by less are the same.
SAME = 1e-9
RESAMPLED = 2000
PLANS = ("plan", "no caution", "point estimates", "by return")
CLASSES = ("all", "clear", "blurred", "confounded")


def records(folder: Path, name: str = "record.json") -> list[Record]:
    """Read the records of all worlds that have one, by seed."""
    found = [json.loads(path.read_text()) for path in (folder / "worlds").glob(f"*/{name}")]
    return sorted(found, key=lambda record: int(record["seed"]))


def captured(record: Record, plan: str) -> float:
    """Share of the oracle's uplift: (true(plan) - true(today)) / (true(oracle) - true(today)); NaN without any."""
    most = record["gain"]["oracle"]
    return float(record["gain"][plan] / most) if most > 1e-6 else float("nan")


def of_class(found: Sequence[Record], name: str) -> list[Record]:
    """The records of one class of worlds."""
    return [record for record in found if name in ("all", record["habit"])]


def held_out(found: Sequence[Record], yes: bool) -> list[Record]:
    """The held-out records, or the others."""
    return [record for record in found if (record["seed"] >= HELD_OUT) == yes]


def by_plan(found: Sequence[Record], plans: Sequence[str] = PLANS) -> pd.DataFrame:
    """One row a plan: median captured uplift, uplift of all worlds together, harm and its size."""
    rows = {}
    for plan in plans:
        gains = np.array([record["gain"][plan] for record in found])
        most = np.array([record["gain"]["oracle"] for record in found])
        harmed = gains < -HARM
        rows[plan] = {
            "captured": float(np.nanmedian([captured(record, plan) for record in found])),
            "together": float(gains.sum() / most.sum()),
            "mean gain": float(gains.mean()),
            "regret": float(np.mean(most - gains)),
            "worse": float(np.mean(gains < 0)),
            "harmed": float(np.mean(harmed)),
            "mean harm": float(gains[harmed].mean()) if harmed.any() else 0.0,
            "worst": float(gains.min()),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("plan")


def beyond(found: Sequence[Record], baselines: Sequence[str] = PLANS[1:]) -> pd.DataFrame:
    """One row a baseline: how much more the plan captures in the same worlds, and how sure that is.

    Standard errors are those of worlds drawn anew with replacement (bootstrap, 2,000 times).
    """
    most = np.array([record["gain"]["oracle"] for record in found])
    gains = {plan: np.array([record["gain"][plan] for record in found]) for plan in ("plan", *baselines)}
    shares = {plan: np.array([captured(record, plan) for record in found]) for plan in gains}
    drawn = np.random.default_rng(1).integers(len(found), size=(RESAMPLED, len(found)))
    rows = {}
    for plan in baselines:
        more = gains["plan"] - gains[plan]
        middles = [np.nanmedian(shares[one][drawn], axis=1) for one in ("plan", plan)]
        rows[plan] = {
            "captured": float(np.nanmedian(shares["plan"]) - np.nanmedian(shares[plan])),
            "captured, error": float(np.std(middles[0] - middles[1])),
            "together": float(more.sum() / most.sum()),
            "together, error": float(np.std(more[drawn].sum(axis=1) / most[drawn].sum(axis=1))),
            "harmed": float(np.mean(gains["plan"] < -HARM) - np.mean(gains[plan] < -HARM)),
            "better": float(np.mean(more > SAME)),
            "as good": float(np.mean(np.abs(more) <= SAME)),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("baseline")


def coverage(found: Sequence[Record], kind: str = "outcome 80%") -> float:
    """Share of KPIs whose truth lies in the printed interval."""
    return float(np.mean([inside for record in found for inside in record["covered"][kind]]))


def by_advice(found: Sequence[Record]) -> dict[str, float]:
    """How following the advice compares with testing a line drawn among the others; see `tests_to_run`."""
    advised = np.array([record["after"][record["advised"]] for record in found])
    drawn = np.array([record["after"][record["drawn"]] for record in found])
    before = np.array([record["before"] for record in found])
    mine, other = advised.mean(axis=1), drawn.mean(axis=1)
    return {
        "worlds": len(found),
        "better than the line drawn": float(np.mean(mine > other + SAME)),
        "as good": float(np.mean(np.abs(mine - other) <= SAME)),
        "better, by single results": float(np.mean(advised > drawn + SAME)),
        "better than no test": float(np.mean(mine > before + SAME)),
        "gained by the advice": float(np.mean(mine - before)),
        "gained by the line drawn": float(np.mean(other - before)),
    }


def summary(found: Sequence[Record]) -> dict[str, Any]:
    """All figures, plain data: tuning and held-out worlds apart, by class."""
    out: dict[str, Any] = {}
    for name, held in (("tuning", False), ("held out", True)):
        part = held_out(found, held)
        classes = {kind: of_class(part, kind) for kind in CLASSES}
        out[name] = {
            kind: {
                "worlds": len(some),
                "plans": by_plan(some).to_dict("index"),
                "beyond": beyond(some).to_dict("index"),
                "coverage": {key: coverage(some, key) for key in some[0]["covered"]},
            }
            for kind, some in classes.items()
            if some
        }
    out["seconds a world"] = float(np.mean([record["seconds"] for record in found])) if found else 0.0
    return out
