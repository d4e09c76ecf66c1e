"""Fronts by evolution against plain pymoo, DESDEO and BoTorch: hypervolume by evaluations and by seconds.

    python -m pytest benchmarks/test_evolve.py -s -n 0

Five problems with carry-over: lines that multiply each other's effects, with and without coupled rules, two to
four KPIs, and free flighting with S-shapes. Plain pymoo: the same algorithm, population and number of evaluations,
rules as constraints instead of repair, a random start, one plan after the other evaluated with NumPy. Each of 11
seeds takes its turn on both. Seconds are those of the processor, which a busy machine does not blur; ours have
everything in them that `frontier` does once the scenario is loaded, bounds and start plans included. Ours counts
every plan simulated, and a gradient as two more. Hypervolumes are exact, on the scenario's scale.

Where they are installed, two more take part, on two problems with three seeds: DESDEO by NSGA-II, formulas given
in its own language and a generation evaluated at once (`pip install "desdeo>=2" "polars<2" six`, on Python 3.12),
and BoTorch by qLogNEHVI, the budget a rule of the acquisition, five plans a time (`pip install botorch`). Both may
count every plan that they evaluated. BoTorch is made for few evaluations, each of them dear: there only the same
time is asked for.

The whole takes half an hour. What is measured is kept in pytest's cache by rival, problem and seed for as long as
the code stays as it is, so that a run that is cut short goes on where it was, and a part can be run alone
(`-k free`). `--cache-clear` measures anew.
"""

from __future__ import annotations

import hashlib
import inspect
import platform
import statistics
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from evolve_rivals import (
    BUDGET,
    DEAR,
    EVALUATIONS,
    POPULATION,
    WORLDS,
    Floats,
    Rival,
    Trace,
    World,
    botorch,
    desdeo,
    formula,
    pymoo,
)

import optimizer as opt
from optimizer.solve import ascent, evolve, evolved_front, values
from optimizer.solve.cells import CellProblem
from optimizer.solve.problem import Problem
from optimizer.volumes import dominated_volume

SEEDS, FEW = 11, 3
MARKS = (1000, 2000, 4000, EVALUATIONS)
# Seconds for a search of ours at most.
LIMIT = 20.0


class Counted:
    """Counts plans simulated by searches of ours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.plans = 0
        for kind in (Problem, CellProblem):
            monkeypatch.setattr(kind, "state", self._state(kind.state))
        for module in (evolve, evolved_front):
            monkeypatch.setattr(module, "form_values", self._values)
        monkeypatch.setattr(ascent, "form_rises", self._rises)

    def _state(self, real):
        def state(problem, z):
            # A value, and a gradient.
            self.plans += 3
            return real(problem, z)

        return state

    def _values(self, problem, plans):
        self.plans += len(plans)
        return values.form_values(problem, plans)

    def _rises(self, problem, plans):
        self.plans += 3 * len(plans)
        return values.form_rises(problem, plans)


def ours(world: World, seed: int, counted: Counted) -> tuple[Trace, opt.Front]:
    """Ours: (evaluations, seconds, hypervolume) as the search tells it, and the front."""
    kept: list[tuple[int, float, Floats]] = []

    def report(at) -> None:
        kept.append((counted.plans, time.process_time() - begun, at.scores))

    counted.plans, begun = 0, time.process_time()
    settings = opt.Evolution(POPULATION, EVALUATIONS, seed, report=report)
    front = opt.frontier(world.scenario, search=settings, time_limit=LIMIT)
    kept.append((counted.plans, time.process_time() - begun, front.points[world.kpis].to_numpy() / world.best))
    return [(count, seconds, dominated_volume(scores)) for count, seconds, scores in kept], front


def reached(trace: Trace, column: int, limit: float) -> float:
    """The largest hypervolume within so many evaluations (column 0) or seconds (1)."""
    return max((row[2] for row in trace if row[column] <= limit), default=0.0)


def spread(found: list[float]) -> str:
    low, middle, high = np.quantile(found, [0.25, 0.5, 0.75])
    return f"{middle:.4f} ({low:.4f} to {high:.4f})"


def code(rival: Rival) -> str:
    """What tells one state of the code that is measured from another."""
    root = Path(opt.__file__).parent
    parts = [path.read_bytes() for path in sorted(root.rglob("*.py"))]
    parts += [inspect.getsource(part).encode() for part in (World, formula, rival, Counted, ours)]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def measured(
    name: str, rival: Rival, seeds: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Trace], list[Trace], float]:
    """Traces of the rival and of ours by seed, each in its turn, and the gap of ours to its bound."""
    cache, counted = request.config.cache, Counted(monkeypatch)
    assert cache is not None
    start = f"evolve/{code(rival)}/{rival.__name__}/{list(WORLDS).index(name)}"
    runs = [cache.get(f"{start}/{seed}", None) for seed in range(seeds)]
    if None in runs:
        world = WORLDS[name]()
        rng = np.random.default_rng(0)
        genes = BUDGET * rng.dirichlet(np.ones(world.genes))
        table = opt.simulate(world.scenario, genes.reshape(world.shape) if world.free else genes)
        np.testing.assert_allclose(world.score(genes), table.iloc[0] / world.best, rtol=1e-9)
        # What compiles does so before the clock runs.
        opt.frontier(world.scenario, search=opt.Evolution(POPULATION, 2 * POPULATION))
        rival(world, seeds, 2 * min(POPULATION, world.genes + 2))
    for seed in range(seeds):
        if runs[seed] is None:
            theirs = rival(world, seed)
            own, front = ours(world, seed, counted)
            runs[seed] = {"theirs": theirs, "ours": own, "gap": front.certificate.gap}
            cache.set(f"{start}/{seed}", runs[seed])
    return [run["theirs"] for run in runs], [run["ours"] for run in runs], runs[0]["gap"]


def by_evaluations(theirs: list[Trace], own: list[Trace], marks: tuple[int, ...]) -> list[tuple[float, float]]:
    """Tell hypervolumes after so many evaluations; return the medians of ours and theirs."""
    found = []
    for mark in marks:
        two = [[reached(trace, 0, mark) for trace in traces] for traces in (own, theirs)]
        print(f"  {mark:5} evaluations: ours {spread(two[0])}, theirs {spread(two[1])}")
        found.append((statistics.median(two[0]), statistics.median(two[1])))
    return found


def by_seconds(theirs: list[Trace], own: list[Trace], gap: float) -> tuple[float, float]:
    """Tell hypervolumes after shares of their time; return the medians of ours and theirs after all of it."""
    seconds = [trace[-1][1] for trace in theirs]
    for share in (0.1, 0.25, 1.0):
        first = [reached(trace, 1, share * all_) for trace, all_ in zip(own, seconds, strict=True)]
        second = [reached(trace, 1, share * all_) for trace, all_ in zip(theirs, seconds, strict=True)]
        at = share * statistics.median(seconds)
        print(f"  {at:5.2f} seconds: ours {spread(first)}, theirs {spread(second)}")
    when, ratio = time_to_their_last(theirs, own)
    for who, traces in (("ours", own), ("theirs", theirs)):
        last, count, took = (statistics.median(values) for values in zip(*ends(traces), strict=True))
        print(f"  in the end: {who} {last:.4f} after {count:.0f} evaluations in {took:.2f} s")
    print(f"  theirs reached after {when:.2f} s, {ratio:.3f} of their time; our gap to the bound {gap:.1%}")
    return statistics.median(first), statistics.median(second)


def ends(traces: list[Trace]) -> list[tuple[float, int, float]]:
    return [(reached(trace, 1, np.inf), trace[-1][0], trace[-1][1]) for trace in traces]


def time_to_their_last(theirs: list[Trace], own: list[Trace]) -> tuple[float, float]:
    """Median seconds until ours has the rival's last median hypervolume, and as a share of the rival's."""
    enough = statistics.median(last for last, _, _ in ends(theirs))
    when = statistics.median(min((row[1] for row in trace if row[2] >= enough), default=np.inf) for trace in own)
    return when, when / statistics.median(trace[-1][1] for trace in theirs)


def told(name: str, rival: Rival) -> None:
    versions = f"{rival.__name__} {metadata.version(rival.__name__)}"
    print(f"\n{name}; {platform.machine()}, Python {platform.python_version()}, {versions}")


def ahead(
    name: str, rival: Rival, seeds: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours has at least as much at equal evaluations, and more at equal time."""
    theirs, own, gap = measured(name, rival, seeds, request, monkeypatch)
    told(name, rival)
    for first, second in by_evaluations(theirs, own, MARKS):
        assert first >= second
    first, second = by_seconds(theirs, own, gap)
    assert first > second


@pytest.mark.parametrize("name", WORLDS)
def test_against_plain_pymoo(name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead(name, pymoo, SEEDS, request, monkeypatch)


def test_a_tenth_of_their_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [measured(name, pymoo, SEEDS, request, monkeypatch)[:2] for name in WORLDS]
    ratios = [time_to_their_last(*pair)[1] for pair in pairs]
    print("\nplain pymoo's last reached in shares of its time:", ", ".join(f"{ratio:.3f}" for ratio in ratios))
    assert sum(ratio <= 0.1 for ratio in ratios) >= 3


@pytest.mark.parametrize("name", list(WORLDS)[:2])
def test_against_desdeo(name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("desdeo", reason='pip install "desdeo>=2" "polars<2" six, on Python 3.12')
    ahead(name, desdeo, FEW, request, monkeypatch)


@pytest.mark.parametrize("name", list(WORLDS)[:2])
def test_against_botorch(name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botorch", reason="pip install botorch")
    theirs, own, gap = measured(name, botorch, FEW, request, monkeypatch)
    told(name, botorch)
    by_evaluations(theirs, own, (50, DEAR))
    first, second = by_seconds(theirs, own, gap)
    assert first > second
