"""Run worlds and write the page: ``python -m benchmarks.closed_loop --seeds 0:200 --out closed_loop``.

Seeds from 1000 on are held out; up to 2799 they have been looked at, and fresh ones begin there. A world that has
its record is not run again, so that an interrupted run goes on where it was. Records of other code are told and
not counted: ``--anew`` takes them and their fits away. ``--peer NAME=PYTHON`` also lets a peer plan the worlds,
see `peers`.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

# Worlds run beside each other: more threads in each would only wait.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from optimizer import terminal  # noqa: E402

from . import peers  # noqa: E402
from .measures import by_advice, records, summary  # noqa: E402
from .page import render  # noqa: E402
from .pipeline import judge, write_json  # noqa: E402
from .tests_to_run import try_tests  # noqa: E402
from .versions import code_of, fresh, of_one_code  # noqa: E402
from .worlds import world  # noqa: E402


def _one(seed: int, out: Path, tests: bool, rivals: dict[str, str]) -> None:
    folder = out / "worlds" / str(seed)
    record = folder / "record.json"
    if not record.exists():
        fresh(folder)
        write_json(record, judge(world(seed), folder) | {"code": code_of(record.name)})
    tested = folder / "tested.json"
    if tests and not tested.exists():
        write_json(tested, try_tests(world(seed), folder) | {"code": code_of(tested.name)})
    for name, python in rivals.items():
        peers.run(name, python, world(seed), out / "peers" / str(seed), folder)


def _peer(text: str) -> tuple[str, str]:
    name, _, python = text.partition("=")
    if name not in peers.INSTALLED_BY or not python:
        raise argparse.ArgumentTypeError(f"NAME=PYTHON is asked for; names are {', '.join(peers.INSTALLED_BY)}")
    return name, python


def _seeds(text: str) -> range:
    first, last = text.split(":")
    return range(int(first), int(last))


def main() -> None:
    """Run the worlds asked for, and write the page over all that have a record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.closed_loop", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, nargs="*", default=[], metavar="FIRST:LAST")
    parser.add_argument("--out", type=Path, default=Path("closed_loop"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tests", action="store_true", help="also follow what to test next, and a random test")
    parser.add_argument(
        "--peer", type=_peer, nargs="*", default=[], metavar="NAME=PYTHON", help="a peer to try too"
    )
    parser.add_argument("--anew", action="store_true", help="take away what other code left in --out")
    given = parser.parse_args()
    of_one_code(given.out, given.anew)
    rivals = {name: python for name, python in given.peer if peers.there(name, python)}
    seeds = [seed for span in given.seeds for seed in span]
    with terminal.progress("Worlds") as progress, ProcessPoolExecutor(given.workers) as pool:
        running = [pool.submit(_one, seed, given.out, given.tests, rivals) for seed in seeds]
        for done, future in enumerate(as_completed(running), start=1):
            future.result()
            progress(done / len(running))
    found = records(given.out)
    tests = records(given.out, "tested.json")
    planned = peers.plans(given.out)
    figures = summary(found) | ({"tests": by_advice(tests)} if tests else {})
    figures |= {"peers": peers.figures(found, planned)} if planned else {}
    write_json(given.out / "summary.json", figures)
    page = given.out / "index.html"
    page.write_text(render(found, tests, planned))
    print(f"{len(found)} worlds: {page}")


if __name__ == "__main__":
    main()
