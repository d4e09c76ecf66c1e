"""Fronts by evolution against plain pymoo, in one interleaved run: hypervolume by evaluations and by seconds.

    python -m pytest benchmarks/test_evolve.py -s -n 0

Five problems with carry-over: lines that multiply each other's effects, with and without coupled rules, two to
four KPIs, and free flighting with S-shapes. Plain pymoo: the same algorithm, population and number of evaluations,
rules as constraints instead of repair, a random start, one plan after the other evaluated with NumPy. Each of 11
seeds takes its turn on both. Seconds are those of the processor, which a busy machine does not blur; ours have
everything in them that `frontier` does once the scenario is loaded, bounds and start plans included. Ours counts
every plan simulated, and a gradient as two more. Hypervolumes are exact, on the scenario's scale.

The whole takes half an hour. What is measured is kept in pytest's cache by problem and seed for as long as the
code stays as it is, so that a run that is cut short goes on where it was, and one problem can be run alone
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
from typing import Any

import numpy as np
import pytest

import optimizer as opt
from optimizer.solve import ascent, evolve, evolved_front, values
from optimizer.solve.cells import CellProblem
from optimizer.solve.problem import Problem
from optimizer.volumes import dominated_volume

BUDGET = 1000.0
POPULATION, EVALUATIONS, SEEDS = 60, 6000, 11
MARKS = (1000, 2000, 4000, EVALUATIONS)
LENGTH = 6
# Seconds for a search of ours at most.
LIMIT = 20.0
Floats = np.ndarray
Trace = list[tuple[int, float, float]]


class World:
    """A random problem: its scenario, and the same in plain NumPy for one plan at a time.

    Hill curves of normalised geometric carry-over, every line giving to the next.
    """

    def __init__(self, lines: int, periods: int, kpis: int, seed: int, *, rules: bool = False, free: bool = False):
        rng = np.random.default_rng(seed)
        self.shape, self.free = (lines, periods), free
        size = (kpis, lines)
        self.scale = rng.uniform(1, 10, size)
        self.half = BUDGET / periods * rng.uniform(0.05, 0.4, size)
        self.slope = rng.uniform(0.7, 2.5, size)
        self.rate = rng.uniform(0.1, 0.7, size)
        self.gain = np.zeros(size) if free else rng.uniform(-0.3, 0.8, size)
        lags = self.rate[:, :, None] ** np.arange(LENGTH)
        self.weights = lags / lags.sum(axis=2, keepdims=True)
        self.genes = lines * (periods if free else 1)
        self.names = [f"line{i}" for i in range(lines)]
        self.kpis = [f"kpi{k}" for k in range(kpis)]
        self.groups = []
        if rules:
            self.groups = [rng.choice(lines, lines // 2, replace=False).tolist() for _ in range(8)]
        self.caps = [float(rng.uniform(0.35, 0.6) * BUDGET) for _ in self.groups]
        self.best = periods * self.scale.sum(axis=1) / 2
        self.scenario = opt.Scenario.from_dict(self._data())

    def _data(self) -> dict[str, Any]:
        lines, periods = self.shape
        response: dict[str, Any] = {
            kpi: {
                line: {
                    "curve": {
                        "kind": "hill",
                        "scale": float(self.scale[k, i]),
                        "half": float(self.half[k, i]),
                        "slope": float(self.slope[k, i]),
                    },
                    "adstock": {"kind": "geometric", "rate": float(self.rate[k, i]), "length": LENGTH},
                }
                for i, line in enumerate(self.names)
            }
            for k, kpi in enumerate(self.kpis)
        }
        if not self.free:
            response["synergy"] = {
                kpi: {self.names[i]: {self.names[(i + 1) % lines]: float(self.gain[k, i])} for i in range(lines)}
                for k, kpi in enumerate(self.kpis)
            }
        groups = [
            {"select": {"line": [self.names[i] for i in members]}, "max": cap, "name": f"rule {j}"}
            for j, (members, cap) in enumerate(zip(self.groups, self.caps, strict=True))
        ]
        return {
            "name": "benchmark",
            "currency": "EUR",
            "horizon": {"start": "2026-01-05", "periods": periods},
            "flighting": "free" if self.free else "flat",
            "lines": [{"name": line, "current": BUDGET / lines, "max": BUDGET} for line in self.names],
            "kpis": {kpi: {"direction": "maximize", "unit": "things"} for kpi in self.kpis},
            "response": response,
            "constraints": {"budget": {"max": BUDGET}, "groups": groups},
            "preferences": {
                "weights": dict.fromkeys(self.kpis, 1.0),
                "scale": {kpi: [0.0, float(best)] for kpi, best in zip(self.kpis, self.best, strict=True)},
            },
        }

    def score(self, genes: Floats) -> Floats:
        """KPIs of one plan on the scale: (K,)."""
        lines, periods = self.shape
        media = (
            genes.reshape(lines, periods) if self.free else np.repeat(genes[:, None] / periods, periods, axis=1)
        )
        stock = np.zeros((len(self.scale), lines, periods))
        for lag in range(min(LENGTH, periods)):
            stock[:, :, lag:] += self.weights[:, :, lag : lag + 1] * media[None, :, : periods - lag]
        power = (stock / self.half[:, :, None]) ** self.slope[:, :, None]
        share = power / (1.0 + power)
        effect = self.scale[:, :, None] * share * (1.0 + self.gain[:, :, None] * np.roll(share, -1, axis=1))
        return effect.sum(axis=(1, 2)) / self.best

    def room(self, genes: Floats) -> Floats:
        """Room under the budget and the groups' caps, as shares of the budget."""
        totals = genes.reshape(self.shape).sum(axis=1) if self.free else genes
        return (
            np.array(
                [BUDGET - totals.sum()]
                + [cap - totals[members].sum() for members, cap in zip(self.groups, self.caps, strict=True)]
            )
            / BUDGET
        )


WORLDS = {
    "synergy, 2 KPIs, 10 lines x 26 weeks": lambda: World(10, 26, 2, 1),
    "synergy, 3 KPIs, 16 lines x 52 weeks": lambda: World(16, 52, 3, 2),
    "synergy, 2 KPIs, 12 lines x 52 weeks, 9 coupled rows": lambda: World(12, 52, 2, 3, rules=True),
    "free flighting, 2 KPIs, 4 lines x 13 weeks": lambda: World(4, 13, 2, 4, free=True),
    "synergy, 4 KPIs, 12 lines x 26 weeks": lambda: World(12, 26, 4, 5),
}


def plain(world: World, seed: int) -> Trace:
    """Plain pymoo: (evaluations, seconds, hypervolume) by generation."""
    from pymoo.algorithms.moo.age2 import AGEMOEA2
    from pymoo.algorithms.moo.sms import SMSEMOA
    from pymoo.core.callback import Callback
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.optimize import minimize

    class Plans(ElementwiseProblem):
        def __init__(self) -> None:
            super().__init__(
                n_var=world.genes, n_obj=len(world.kpis), n_ieq_constr=1 + len(world.groups), xl=0.0, xu=BUDGET
            )

        def _evaluate(self, x, out, *args, **kwargs) -> None:
            out["F"], out["G"] = -world.score(x), -world.room(x)

    kept: list[tuple[int, float, Floats]] = []

    class Kept(Callback):
        def notify(self, algorithm) -> None:
            feasible = algorithm.pop.get("feas").reshape(-1)
            kept.append(
                (algorithm.evaluator.n_eval, time.process_time() - begun, -algorithm.pop.get("F")[feasible])
            )

    algorithm = (SMSEMOA if len(world.kpis) <= 3 else AGEMOEA2)(pop_size=POPULATION)
    begun = time.process_time()
    minimize(Plans(), algorithm, ("n_eval", EVALUATIONS), seed=seed, callback=Kept(), verbose=False)
    return [(count, seconds, dominated_volume(scores)) for count, seconds, scores in kept]


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


def code() -> str:
    """What tells one state of the code that is measured from another."""
    root = Path(opt.__file__).parent
    parts = [path.read_bytes() for path in sorted(root.rglob("*.py"))]
    parts += [inspect.getsource(part).encode() for part in (World, plain, Counted, ours)]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def measured(
    name: str, config: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Trace], list[Trace], float]:
    """Traces of plain pymoo and of ours by seed, each in its turn, and the gap of ours to its bound."""
    assert config.cache is not None
    version, counted = code(), Counted(monkeypatch)
    keys = [f"evolve/{version}/{list(WORLDS).index(name)}/{seed}" for seed in range(SEEDS)]
    runs = [config.cache.get(key, None) for key in keys]
    if None in runs:
        world = WORLDS[name]()
        rng = np.random.default_rng(0)
        genes = BUDGET * rng.dirichlet(np.ones(world.genes))
        table = opt.simulate(world.scenario, genes.reshape(world.shape) if world.free else genes)
        np.testing.assert_allclose(world.score(genes), table.iloc[0] / world.best, rtol=1e-9)
        # What compiles does so before the clock runs.
        opt.frontier(world.scenario, search=opt.Evolution(POPULATION, 2 * POPULATION))
    for seed, key in enumerate(keys):
        if runs[seed] is None:
            rival = plain(world, seed)
            own, front = ours(world, seed, counted)
            runs[seed] = {"rival": rival, "own": own, "gap": front.certificate.gap}
            config.cache.set(key, runs[seed])
    return [run["rival"] for run in runs], [run["own"] for run in runs], runs[0]["gap"]


def time_to_its_last(rival: list[Trace], own: list[Trace]) -> tuple[float, float]:
    """Median seconds until ours has plain pymoo's last median hypervolume, and as a share of plain pymoo's."""
    enough = statistics.median(reached(trace, 1, np.inf) for trace in rival)
    when = statistics.median(min((row[1] for row in trace if row[2] >= enough), default=np.inf) for trace in own)
    return when, when / statistics.median(trace[-1][1] for trace in rival)


@pytest.mark.parametrize("name", WORLDS)
def test_against_plain_pymoo(name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    rival, own, gap = measured(name, request.config, monkeypatch)
    print(f"\n{platform.machine()}, Python {platform.python_version()}, pymoo {metadata.version('pymoo')}")
    print(name)
    seconds = [trace[-1][1] for trace in rival]
    for mark in MARKS:
        two = [[reached(trace, 0, mark) for trace in traces] for traces in (own, rival)]
        print(f"  {mark:5} evaluations: ours {spread(two[0])}, plain {spread(two[1])}")
        assert statistics.median(two[0]) >= statistics.median(two[1])
    for share in (0.1, 0.25, 1.0):
        pairs = zip(own, rival, seconds, strict=True)
        two = [[reached(o, 1, share * s), reached(r, 1, share * s)] for o, r, s in pairs]
        first, second = (list(part) for part in zip(*two, strict=True))
        at = share * statistics.median(seconds)
        print(f"  {at:5.2f} seconds: ours {spread(first)}, plain {spread(second)}")
    assert statistics.median(first) > statistics.median(second)
    when, ratio = time_to_its_last(rival, own)
    print(f"  in the end: ours {spread([trace[-1][2] for trace in own])} ", end="")
    print(f"in {statistics.median([trace[-1][1] for trace in own]):.2f} s, ", end="")
    print(f"plain {spread([reached(trace, 1, np.inf) for trace in rival])} in {statistics.median(seconds):.2f} s")
    print(f"  plain's last reached after {when:.2f} s, {ratio:.3f} of its time; gap to the bound {gap:.1%}")


def test_a_tenth_of_its_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    ratios = [time_to_its_last(*measured(name, request.config, monkeypatch)[:2])[1] for name in WORLDS]
    print("\nplain's last reached in shares of its time:", ", ".join(f"{ratio:.3f}" for ratio in ratios))
    assert sum(ratio <= 0.1 for ratio in ratios) >= 3
