"""Peers as baselines: their own fit and budget optimiser on the same worlds, judged by the same truth.

    python -m benchmarks.closed_loop --seeds 1000:1010 --peer pymc-marketing=peers/bin/python

A peer runs in an interpreter of its own (``python -m venv peers; peers/bin/pip install pymc-marketing nutpie``),
which gets a folder with the history and the task and leaves a plan there. Peers fit one KPI. They get the stated
trade-off itself: the weighted sum of the KPIs, each over its mean of the last 52 weeks, which is what our plan
maximises too. Budget and limits by line are the same. A world that was planned is not planned again, unless it has
changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .measures import PLANS, Record, beyond, by_plan
from .pipeline import FITTED, Referee, limits, usual, write_json
from .worlds import QUARTER, World, world

HERE = Path(__file__).parent
# What a peer's interpreter needs.
INSTALLED_BY = {"pymc-marketing": "pip install pymc-marketing nutpie", "meridian": "pip install google-meridian"}


def hand_over(made: World, folder: Path, fitted: Path) -> str:
    """Write what a peer reads, with the limits that plans of our fit keep to, and return the task's hash."""
    folder.mkdir(parents=True, exist_ok=True)
    table = made.table()
    typical = usual(made)
    table["y"] = sum(weight * table[name] / typical[name] for name, weight in made.weights.items())
    today = dict(zip(made.lines, made.today.tolist(), strict=True))
    text = table[["week", *made.lines, "y"]].to_csv(index=False)
    task: dict[str, Any] = {
        "seed": made.seed,
        "start": made.start.isoformat(),
        "end": (made.start + timedelta(weeks=QUARTER - 1)).isoformat(),
        "periods": QUARTER,
        "today": today,
        "budget": float(made.today.sum()),
        "limits": {name: list(ends) for name, ends in limits(fitted).items()},
    }
    found = hashlib.sha256((text + json.dumps(task)).encode()).hexdigest()[:16]
    (folder / "history.csv").write_text(text)
    write_json(folder / "task.json", task | {"hash": found})
    return found


def run(peer: str, python: str, made: World, folder: Path, fitted: Path) -> None:
    """Let a peer plan a world, unless it did; ``fitted`` is where our fit of it is.

    Raises
    ------
    SystemExit
        If it fails, with the last lines of what it said.
    """
    task, out = hand_over(made, folder, fitted), folder / f"{peer}.json"
    if out.exists() and json.loads(out.read_text())["task"] == task:
        return
    script = HERE / f"peer_{peer.replace('-', '_')}.py"
    # Its interpreter must not find the product, nor ours its packages.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, str(script), str(folder.resolve())], env=env, capture_output=True, text=True, cwd=folder
    )
    if done.returncode:
        raise SystemExit(f"{peer} failed on world {made.seed}:\n" + "\n".join(done.stderr.splitlines()[-12:]))


def there(peer: str, python: str) -> bool:
    """Whether an interpreter has a peer; says how to get it if not."""
    module = peer.replace("-", "_")
    asked = [python, "-c", f"import importlib.util as u, sys; sys.exit(u.find_spec('{module}') is None)"]
    try:
        found = subprocess.run(asked, capture_output=True).returncode == 0
    except OSError:
        found = False
    if not found:
        print(f"{peer} is left out: {python} does not have it ({INSTALLED_BY[peer]})")
    return found


def plans(out: Path) -> list[dict[str, Any]]:
    """The peers' plans of worlds that have a record of ours, each with its true gain."""
    found = []
    for path in sorted((out / "peers").glob("*/*.json")):
        if path.stem not in INSTALLED_BY:
            continue
        plan = json.loads(path.read_text())
        folder = out / "worlds" / str(plan["seed"])
        if not (folder / "record.json").exists() or not (folder / FITTED).exists():
            continue
        made = world(plan["seed"])
        spend = np.array([plan["plan"][name] for name in made.lines])
        found.append(plan | {"gain": Referee(made, folder).gain(spend)})
    return found


def beside(found: Sequence[Record], planned: Sequence[dict[str, Any]], peer: str) -> list[Record]:
    """Our records of the worlds that a peer planned, its gain among ours."""
    gains = {plan["seed"]: plan["gain"] for plan in planned if plan["peer"] == peer}
    mine = [record for record in found if record["seed"] in gains]
    return [record | {"gain": record["gain"] | {peer: gains[record["seed"]]}} for record in mine]


def sampling(planned: Sequence[dict[str, Any]], peer: str) -> dict[str, Any]:
    """How well a peer's chains mixed, and what it took, over its worlds."""
    mine = pd.DataFrame([plan for plan in planned if plan["peer"] == peer])
    return {
        "version": mine["version"].iloc[-1],
        "draws": int(mine["draws"].median()),
        "r-hat, median": float(mine["r-hat"].median()),
        "r-hat, worst": float(mine["r-hat"].max()),
        "divergences": int(mine["divergences"].sum()),
        "seconds a fit": float(mine["fit seconds"].median()),
        "seconds a plan": float(mine["plan seconds"].median()),
    }


def figures(found: Sequence[Record], planned: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All figures of the peers, plain data: each on the worlds that it planned, with our plans beside it."""
    out: dict[str, Any] = {}
    for peer in dict.fromkeys(plan["peer"] for plan in planned):
        some = beside(found, planned, peer)
        table = by_plan(some, (*PLANS, peer))
        out[peer] = {
            "seeds": [record["seed"] for record in some],
            "plans": table.to_dict("index"),
            "beyond": beyond(some, (peer,)).to_dict("index"),
            "sampling": sampling(planned, peer),
        }
    return out
