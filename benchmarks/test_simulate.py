"""The simulation core against vectorised NumPy, a plain numba loop and JAX, in one interleaved run.

    python -m pytest benchmarks/test_simulate.py -s --benchmark-enable

A cell is one (plan, line, period, draw) through adstock and Hill. Rivals take turns, so that a noisy neighbour
disturbs all of them; medians are printed, and the time both processors together were at work, which shows what
neighbours have taken. NumPy uses one thread, the others all.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from numba import njit, prange

from optimizer.simulate import Simulator

PLANS, LINES, PERIODS, DRAWS, LAGS = 64, 20, 52, 500, 8


def simulator(lines: int = LINES, periods: int = PERIODS, draws: int = DRAWS, lags: int = LAGS) -> Simulator:
    """One KPI, Hill after normalised geometric adstock."""
    rng = np.random.default_rng(0)
    cells, whole = (1, lines, draws), np.zeros((1, lines), np.int64)
    weights = rng.uniform(0.1, 0.8, (1, lines, 1, draws)) ** np.arange(lags)[:, None]
    return Simulator(
        unit=np.full((lines, periods), 1 / periods),
        per_currency=np.ones((lines, periods)),
        history=np.zeros((lines, 0)),
        weights=weights / weights.sum(axis=2, keepdims=True),
        length=whole + lags,
        after=whole,
        family=whole + 2,
        scale=rng.uniform(1, 9, cells),
        first=rng.uniform(20, 200, cells),
        second=rng.uniform(0.5, 3, cells),
        knots=np.zeros((1, lines, 3, 0)),
        season=np.ones((1, periods)),
        baseline=np.zeros((draws, 1)),
    )


def spending(plans: int = PLANS, lines: int = LINES, periods: int = PERIODS) -> np.ndarray:
    return np.random.default_rng(1).uniform(10, 300, (plans, lines, periods))


def vectorised(sim: Simulator, spend: np.ndarray) -> np.ndarray:
    """NumPy at its best here: by plan and line, so that temporaries (T, D) stay in the cache, and in place.

    Its own `power`, `log2` with `exp2`, and `tanh` in place of the last three steps are no faster.
    """
    n_plans, n_lines, periods = spend.shape
    weights, scale, power = sim.weights[0] / sim.first[0][:, None], sim.scale[0], -sim.second[0]
    lags, ones = weights.shape[1], np.ones(periods)
    out = np.zeros((n_plans, scale.shape[1]))
    window = np.zeros((periods, lags))
    carried = np.empty((periods, scale.shape[1]))
    for n in range(n_plans):
        for line in range(n_lines):
            for j in range(lags):
                window[j:, j] = spend[n, line, : periods - j]
            np.matmul(window, weights[line], out=carried)
            np.log(carried, out=carried)
            carried *= power[line]
            np.exp(carried, out=carried)
            carried += 1.0
            np.reciprocal(carried, out=carried)
            out[n] += scale[line] * (ones @ carried)
    return out


@njit(parallel=True, error_model="numpy")
def plain(spend, weights, scale, first, second, out):
    """The loop as one would write it down, plans in parallel."""
    n_plans, n_lines, periods = spend.shape
    lags, draws = weights.shape[1:]
    for n in prange(n_plans):
        for d in range(draws):
            total = 0.0
            for line in range(n_lines):
                for t in range(periods):
                    a = 0.0
                    for j in range(min(lags, t + 1)):
                        a += weights[line, j, d] * spend[n, line, t - j]
                    total += scale[line, d] / (1.0 + (first[line, d] / a) ** second[line, d])
            out[n, d] = total


def with_jax(sim: Simulator, spend: np.ndarray) -> Callable[[], object] | None:
    """The same as one compiled JAX program, plan by plan; None where JAX is not installed."""
    try:
        import jax
    except ImportError:
        return None
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    weights, scale, first, second = (
        jnp.asarray(part[0]) for part in (sim.weights, sim.scale, sim.first, sim.second)
    )
    lags = weights.shape[1]

    def one(plan):
        padded = jnp.pad(plan, ((0, 0), (lags - 1, 0)))
        window = jnp.stack([padded[:, lags - 1 - j : padded.shape[1] - j] for j in range(lags)], axis=2)
        carried = jnp.einsum("ltj,ljd->ltd", window, weights)
        return (scale[:, None] / (1 + (first[:, None] / carried) ** second[:, None])).sum(axis=(0, 1))

    run = jax.jit(lambda plans: jax.lax.map(one, plans))
    plans = jnp.asarray(spend)
    return lambda: run(plans).block_until_ready()


def in_turns(
    rivals: dict[str, Callable[[], object]], rounds: int = 7, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median seconds of each, taking turns, after a run that is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in rivals}
    for run in rivals.values():
        run()
    for _ in range(rounds):
        for name, run in rivals.items():
            start = clock()
            run()
            taken[name].append(clock() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def test_against_rivals():
    sim, spend = simulator(), spending()
    parts = [part[0] for part in (sim.weights, sim.scale, sim.first, sim.second)]
    out = np.empty((PLANS, DRAWS))
    np.testing.assert_allclose(sim.outcomes(spend)[:, :, 0], vectorised(sim, spend), rtol=1e-12)
    plain(spend, *parts, out)
    np.testing.assert_allclose(sim.outcomes(spend)[:, :, 0], out, rtol=1e-12)
    rivals: dict[str, Callable[[], object]] = {
        "kernel": lambda: sim.outcomes(spend),
        "vectorised NumPy": lambda: vectorised(sim, spend),
        "plain numba loop": lambda: plain(spend, *parts, out),
    }
    jax = with_jax(sim, spend)
    if jax is not None:
        rivals["JAX"] = jax
    medians, work = in_turns(rivals, 15), in_turns(rivals, clock=time.process_time)
    cells = PLANS * LINES * PERIODS * DRAWS
    print(f"\n{PLANS} plans x {LINES} lines x {PERIODS} periods x {DRAWS} draws, {LAGS} lags")
    for name, seconds in medians.items():
        ratio = seconds / medians["kernel"]
        print(
            f"{name:18} {seconds * 1e3:8.1f} ms  {cells / seconds / 1e6:7.0f} M cells/s  {ratio:5.1f} x the kernel"
            f"  ({work[name] * 1e3:.0f} ms of processors)"
        )


def test_memory():
    sim, spend = simulator(), spending()
    sim.outcomes(spend)
    tracemalloc.start()
    out = sim.outcomes(spend)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"\npeak over inputs, output included: {peak / 2**20:.1f} MB (output {out.nbytes / 2**20:.1f} MB)")


def test_one_plan_and_its_gradient():
    sim, spend = simulator(), spending(1)
    medians = in_turns(
        {
            "one plan": lambda: sim.outcomes(spend),
            "its gradient": lambda: sim.gradients(spend),
            "effects and slopes": lambda: sim.effects(spend[0].sum(axis=1)),
        },
        21,
    )
    for name, seconds in medians.items():
        print(f"\n{name:18} {seconds * 1e3:6.2f} ms  {seconds / medians['one plan']:4.1f} x forward", end="")


def test_growth():
    """Processor time for twice, four and eight times the plans, lines, periods or draws, as a multiple."""
    base = {"plans": 8, "lines": 10, "periods": 26, "draws": 256}
    print()
    for name in base:
        runs, growth = {}, {}
        for factor in (1, 2, 4, 8):
            size = base | {name: base[name] * factor}
            sim = simulator(size["lines"], size["periods"], size["draws"])
            spend = spending(size["plans"], size["lines"], size["periods"])
            runs[str(size[name])] = lambda sim=sim, spend=spend: sim.outcomes(spend)
        medians = in_turns(runs, 15, time.process_time)
        first = next(iter(medians.values()))
        growth = {size: round(seconds / first, 2) for size, seconds in medians.items()}
        print(f"{name:8} {growth}")


@pytest.mark.parametrize("plans", [1, PLANS])
def test_outcomes(benchmark, plans):
    sim, spend = simulator(), spending(plans)
    sim.outcomes(spend)
    benchmark(sim.outcomes, spend)
