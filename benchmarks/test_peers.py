"""Our plans against the peers' optimisers on their own terms: what is reached, what is proven, how long it takes.

    python -m pytest benchmarks/test_peers.py -s

The peers' times are those of their exports (one machine like this); ours exclude the import of the model.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from peer_files import PEERS, needs
from peer_terms import meridian_runs, pymc_runs, robyn_runs

from optimizer import SolverError, solve


def peers_times() -> dict[str, float]:
    """Seconds by run."""
    runs = json.loads((PEERS / "meridian" / "optimizer_national.json").read_text())
    runs += json.loads((PEERS / "pymc_marketing" / "optimizer_logistic_p8.json").read_text())["runs"]
    found = {run["name"]: run["wall_s"] for run in runs}
    allocator = json.loads((PEERS / "robyn" / "allocator_spend_max_response_0.5.json").read_text())
    return found | {"max_response, 0.5 to 2 times": allocator["wall_s"]}


def test_table(tmp_path: Path) -> None:
    needs(PEERS)
    seconds = peers_times()
    print("\n| peer | run | reached by it | by us | more | proven gap | its time, s | ours, s |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for runs in (meridian_runs, pymc_runs, robyn_runs):
        for peer, name, scenario, reached in runs(tmp_path):
            begun = time.perf_counter()
            try:
                found = solve(scenario).certificate
            except SolverError as error:
                print(f"| {peer} | {name} | {reached:,.6g} | {error.message} | | | {seconds[name]:.2f} | |")
                continue
            ours = time.perf_counter() - begun
            print(
                f"| {peer} | {name} | {reached:,.1f} | {found.value:,.1f} | {found.value / reached - 1:+.4%} "
                f"| {found.gap:.0e} | {seconds[name]:.2f} | {ours:.2f} |"
            )
