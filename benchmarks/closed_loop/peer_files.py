"""What the peers' scripts share: the world they read, and the plan they write. Runs in a peer's own interpreter.

Nothing of the product is imported.
"""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import arviz as az
import pandas as pd


def processor() -> float:
    """Processor seconds so far."""
    return sum(os.times()[:4])


def read(folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """What is to be planned, and the history."""
    return json.loads((folder / "task.json").read_text()), pd.read_csv(folder / "history.csv")


def write(
    folder: Path,
    task: dict[str, Any],
    package: str,
    plan: dict[str, float],
    found: Any,
    watched: tuple[str, ...],
    seconds: tuple[float, float],
) -> None:
    """Write a plan as ``<folder>/<peer>.json``, with how well chains (``found``) mixed in what is ``watched``.

    ``seconds``: of processor, for the fit and for the plan.
    """
    peer = package.removeprefix("google-")
    chains, draws = (found.posterior.sizes[name] for name in ("chain", "draw"))
    names = [name for name in watched if name in found.posterior]
    out = {
        "seed": task["seed"],
        "task": task["hash"],
        "peer": peer,
        "version": version(package),
        "plan": plan,
        "r-hat": float(az.rhat(found, var_names=names).to_array().max()),
        "divergences": int(found.sample_stats.diverging.sum()),
        "draws": chains * draws,
        "fit seconds": seconds[0],
        "plan seconds": seconds[1],
    }
    part = folder / f".{peer}.json.part"
    part.write_text(json.dumps(out, indent=1))
    part.replace(folder / f"{peer}.json")
