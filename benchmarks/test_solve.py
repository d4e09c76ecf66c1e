"""The separable route against SciPy's SLSQP and differential evolution, cvxpy and a dynamic programme, in turns.

    python -m pytest benchmarks/test_solve.py -s --benchmark-enable

Random problems of one budget: 5 to 50 lines, Hill slopes 0.6 to 4, ranges from tight to loose. All start from the
curves' parameters, the ranges and the budget as arrays, which is what is left of a scenario once it is read. From
there everything is inside our time: writing the curves out as terms, finding lines that are alike, making the
response tables, the search, its bound. SLSQP gets analytic gradients, all sizes about one,
and one start for its time: the budget in proportion to today's plan. cvxpy alone cannot take S-shaped curves, so
it gets them as straight pieces between points with a binary a piece, solved by HiGHS to 1e-4; its plan is then
simulated on the curves themselves.
"""

from __future__ import annotations

import platform
import statistics
import time
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import Bounds, differential_evolution, minimize

import optimizer as opt
from optimizer.solve.problem import Problem
from optimizer.solve.separable import SeparableSolver

Floats = NDArray[np.float64]
PROBLEMS, STARTS, EVOLVED = 200, 20, 20
PIECES = 32
TOLERANCE = 1e-6
BUDGET = 1000.0


def scenario(seed: int) -> opt.Scenario:
    """5 to 50 lines, current spend summing to the budget, its range from a tenth to thirty times of it."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 51))
    names = [f"line{i:02d}" for i in range(n)]
    current = rng.dirichlet(np.full(n, 3.0)) * BUDGET
    down, up = rng.choice([0.1, 0.3, 1.0]), rng.choice([0.1, 0.5, 5.0, 30.0])
    curves = {
        name: {
            "curve": {
                "kind": "hill",
                "scale": float(rng.lognormal(1.0, 0.7)),
                "half": float(rng.uniform(0.3, 3.0) * BUDGET / n),
                "slope": float(rng.uniform(0.6, 4.0)),
            }
        }
        for name in names
    }
    lines = [
        {
            "name": name,
            "current": float(at),
            "min": float(at * (1 - down)),
            "max": float(min(at * (1 + up), BUDGET)),
        }
        for name, at in zip(names, current, strict=True)
    ]
    return opt.Scenario.from_dict(
        {
            "name": f"random {seed}",
            "currency": "EUR",
            "horizon": {"start": "2026-01-05", "periods": 1},
            "lines": lines,
            "kpis": {"sales": {"direction": "maximize", "unit": "sales"}},
            "response": {"sales": curves},
            "constraints": {"budget": {"total": BUDGET}},
            "preferences": {},
        }
    )


@dataclass
class Rival:
    """The same curves and ranges as plain arrays: one period, one draw, no carry-over."""

    rate: Floats
    slope: Floats
    weight: Floats
    lower: Floats
    upper: Floats
    start: Floats

    @classmethod
    def of(cls, problem: Problem, solver: SeparableSolver) -> Rival:
        rate, _, slope, weight, _, _ = solver.tables.terms.table
        return cls(rate, slope, weight, problem.lower, problem.upper, problem.scaled(problem.scenario.current))

    def loss(self, z: Floats) -> tuple[float, Floats]:
        x = np.maximum(self.rate * z, 1e-12)
        power = x**-self.slope
        s = 1.0 / (1.0 + power)
        return -float(self.weight @ s), -self.weight * s * s * power * self.slope / x * self.rate

    def slsqp(self, start: Floats) -> Floats:
        """Variables in shares of an even split, so of about one."""
        n = len(start)
        ones = np.ones(n) / n

        def loss(v: Floats) -> tuple[float, Floats]:
            value, rise = self.loss(v / n)
            return value, rise / n

        found = minimize(
            loss,
            start * n,
            jac=True,
            bounds=Bounds(self.lower * n, self.upper * n),
            constraints=[{"type": "eq", "fun": lambda v: 1.0 - v @ ones, "jac": lambda v: -ones}],
            method="SLSQP",
            options={"maxiter": 500},
        )
        return np.asarray(found.x / n)

    def evolved(self, seed: int) -> Floats:
        """Differential evolution over splits put on the budget, all of a generation at once, then SLSQP."""

        def losses(v: Floats) -> Floats:
            x = np.maximum(self.rate[:, None] * self.within(v), 1e-12)
            return -self.weight @ (1.0 / (1.0 + x ** -self.slope[:, None]))

        found = differential_evolution(
            losses,
            Bounds(self.lower, self.upper),
            maxiter=200,
            popsize=8,
            seed=seed,
            polish=False,
            tol=1e-10,
            vectorized=True,
            updating="deferred",
        )
        return self.slsqp(self.within(found.x[:, None])[:, 0])

    def pieces(self) -> Floats:
        """The best split by cvxpy, of straight pieces between points of each curve."""
        import cvxpy as cp

        shares = np.linspace(0.0, 1.0, PIECES + 1)
        at = self.lower[:, None] + (self.upper - self.lower)[:, None] * shares
        x = np.maximum(self.rate[:, None] * at, 1e-12)
        value = self.weight[:, None] / (1.0 + x ** -self.slope[:, None])
        # What each point counts for; two neighbours share, those at the ends of the piece that is chosen.
        counts, chosen = cp.Variable(at.shape, nonneg=True), cp.Variable((len(at), PIECES), boolean=True)
        before = cp.hstack([chosen, np.zeros((len(at), 1))])
        after = cp.hstack([np.zeros((len(at), 1)), chosen])
        rules = [
            cp.sum(counts, axis=1) == 1,
            cp.sum(chosen, axis=1) == 1,
            counts <= before + after,
            cp.sum(cp.multiply(at, counts)) == 1,
        ]
        problem = cp.Problem(cp.Maximize(cp.sum(cp.multiply(value, counts))), rules)
        problem.solve(solver=cp.HIGHS, mip_rel_gap=1e-4, time_limit=30.0, threads=1)
        return self.within((at * counts.value).sum(axis=1)[:, None])[:, 0]

    def within(self, v: Floats) -> Floats:
        """The nearest splits of the budget within the ranges, (L, N), by bisection."""
        lower, upper = self.lower[:, None], self.upper[:, None]
        low, high = (lower - v).min(axis=0), (upper - v).max(axis=0)
        for _ in range(50):
            shift = 0.5 * (low + high)
            over = np.clip(v + shift, lower, upper).sum(axis=0) > 1.0
            low, high = np.where(over, low, shift), np.where(over, shift, high)
        return np.clip(v + low, lower, upper)

    def worth(self, z: Floats) -> float:
        """What a plan is worth; nothing if it breaks a range or the budget."""
        good = np.all((z >= self.lower - 1e-9) & (z <= self.upper + 1e-9)) and abs(z.sum() - 1.0) <= 1e-9
        return -self.loss(z)[0] if good else -np.inf

    def programme(self, steps: int) -> float:
        """The best split of ``steps`` parts of what is above the lower ends."""
        unit = (1.0 - self.lower.sum()) / steps
        best = np.full(steps + 1, -np.inf)
        best[0] = 0.0
        for i in range(len(self.rate)):
            most = min(int((self.upper[i] - self.lower[i]) / unit + 1e-9), steps)
            x = np.maximum(self.rate[i] * (self.lower[i] + unit * np.arange(most + 1)), 0.0)
            value = self.weight[i] * (1.0 - 1.0 / (1.0 + x ** self.slope[i]))
            new = np.full(steps + 1, -np.inf)
            for spent in range(most + 1):
                new[spent:] = np.maximum(new[spent:], best[: steps + 1 - spent] + value[spent])
            best = new
        return float(best[steps])


def timed(work, *args):
    start = time.perf_counter()
    out = work(*args)
    return out, time.perf_counter() - start


def solve_whole(problem: Problem) -> tuple[Floats, float]:
    """From a problem's arrays: terms, tables, the split and its bound; nothing is left from another call."""
    return SeparableSolver(problem).split(np.ones(1), TOLERANCE)


def test_certified_splits_against_local_and_evolutionary_search(benchmark: pytest.FixtureRequest) -> None:
    print(f"\n{platform.machine()}, {platform.system()}, Python {platform.python_version()}, ", end="")
    print(", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "numba", "cvxpy", "highspy")))
    gaps, below, start_below, above, ratios, ours, theirs = [], [], [], [], [], [], []
    evolved_below, pieces_below, pieces_ratios = [], [], []
    for seed in range(-1, PROBLEMS):
        problem = Problem(scenario(max(seed, 0)))
        solver = SeparableSolver(problem)
        rival = Rival.of(problem, solver)
        mine, slsqp = [], []
        for _ in range(3):
            (z, bound), seconds = timed(solve_whole, problem)
            mine.append(seconds)
            local, seconds = timed(rival.slsqp, rival.start)
            slsqp.append(seconds)
        if seed < 0:
            # Kernels were compiled, caches filled.
            continue
        value = rival.worth(z)
        rng = np.random.default_rng(seed)
        starts = rival.within(rng.dirichlet(np.ones(len(z)), STARTS).T).T
        best = max(rival.worth(rival.slsqp(start)) for start in starts)
        gaps.append((bound - value) / value)
        below.append((max(best, rival.worth(local)) - value) / value)
        start_below.append((value - rival.worth(local)) / value)
        above.append((rival.programme(400) - bound) / value)
        if seed < EVOLVED:
            evolved_below.append((rival.worth(rival.evolved(seed)) - value) / value)
            programmed, seconds = timed(rival.pieces)
            pieces_below.append((value - rival.worth(programmed)) / value)
            pieces_ratios.append(seconds / statistics.median(mine))
        ours.append(statistics.median(mine))
        theirs.append(statistics.median(slsqp))
        ratios.append(theirs[-1] / ours[-1])
    finite = [part for part in start_below if np.isfinite(part)]
    print(f"{PROBLEMS} problems: largest certified gap {max(gaps):.1e}")
    print(f"best of {STARTS} SLSQP starts above ours by at most {max(below):.1e}; ", end="")
    print(f"one start below by {np.mean(finite):.2%} on average, {max(finite):.2%} at worst")
    print(f"differential evolution ({EVOLVED} problems) above ours by at most {max(evolved_below):.1e}")
    print(
        f"cvxpy with {PIECES} pieces ({EVOLVED} problems) below by {np.mean(pieces_below):.2%} on average, ",
        end="",
    )
    print(f"{max(pieces_below):.2%} at worst, in {statistics.median(pieces_ratios):.0f} times our time")
    print(f"dynamic programme above the bound by at most {max(above):.1e}")
    print(
        f"median time {1e6 * statistics.median(ours):.0f} us, SLSQP {1e6 * statistics.median(theirs):.0f} us, ",
        end="",
    )
    print(f"median ratio {statistics.median(ratios):.0f}, worst tenth {np.quantile(ratios, 0.1):.0f}")
    assert max(gaps) <= 1e-4
    assert max(below) <= 1e-6
    assert max(evolved_below) <= 1e-6
    assert min(pieces_below) >= -1e-6
    assert max(above) <= 1e-11
    assert statistics.median(ratios) >= 20
    benchmark(solve_whole, problem)
