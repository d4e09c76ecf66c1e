"""HiGHS as it is spoken to: quiet, stopped by Ctrl-C, and each way it can end."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

import optimizer as opt
from optimizer.solve.highs import Program, maximise

ROOT = Path(__file__).parents[1]


def knapsacks(n: int, m: int, seed: int = 0) -> Program:
    """A program that takes long for its size: many knapsacks at once."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 100, (m, n)).astype(float)
    whole = np.ones(n, dtype=bool)
    return Program(
        rng.uniform(1, 10, n),
        np.zeros(n),
        np.ones(n),
        whole,
        csr_array(weights),
        np.full(m, -np.inf),
        weights.sum(1) / 2,
    )


def one_row(upper: float, low: float, high: float, whole: bool = False) -> Program:
    """Maximise x for ``low <= x <= high`` and ``0 <= x <= upper``."""
    ends = np.array([low]), np.array([high])
    return Program(np.ones(1), np.zeros(1), np.array([upper]), np.array([whole]), csr_array([[1.0]]), *ends)


@pytest.mark.parametrize("whole", [False, True])
def test_a_bound_comes_with_the_best(whole: bool) -> None:
    x, bound = maximise(one_row(10.0, 0.0, 3.5, whole), 0.0, 10.0)
    assert x == pytest.approx([3.0 if whole else 3.5])
    assert bound == pytest.approx(3.0 if whole else 3.5)


def test_what_cannot_be_is_infeasible() -> None:
    with pytest.raises(opt.InfeasibleError, match="no plan"):
        maximise(one_row(1.0, 2.0, 3.0), 0.0, 10.0)


def test_what_has_no_end_is_a_fault_of_the_solver() -> None:
    with pytest.raises(opt.SolverError, match=r"stopped: Unbounded"):
        maximise(one_row(np.inf, 0.0, np.inf), 0.0, 10.0)


def test_out_of_time_leaves_a_bound_and_perhaps_a_choice() -> None:
    program = knapsacks(80, 60)
    began = time.monotonic()
    x, bound = maximise(program, 0.0, 1.0)
    assert time.monotonic() - began < 10.0
    assert bound >= (0.0 if x is None else program.cost @ x)
    if x is not None:
        assert np.all(program.rows @ x <= program.high + 1e-6)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal to send to oneself that Ctrl-C sends")
def test_an_interrupt_ends_a_solve_and_leaves_nothing_behind() -> None:
    before = signal.getsignal(signal.SIGINT)
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        maximise(knapsacks(80, 60), 0.0, 60.0)
    assert time.monotonic() - began < 10.0
    assert signal.getsignal(signal.SIGINT) is before
    x, _ = maximise(one_row(1.0, 0.0, 3.0), 0.0, 10.0)
    assert x == pytest.approx([1.0])


def test_other_threads_solve_too() -> None:
    found: list[float] = []
    thread = threading.Thread(target=lambda: found.append(maximise(one_row(1.0, 0.0, 3.0), 0.0, 10.0)[1]))
    thread.start()
    thread.join(30.0)
    assert found == pytest.approx([1.0])


def test_nothing_is_printed() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "import optimizer as opt\n"
        "from test_piecewise import random_problem\n"
        "data = random_problem(1, shaped=0.0, shares=True, floor=0.9)\n"
        "opt.solve(opt.Scenario.from_dict(data))\n"
        "opt.solve(opt.Scenario.from_dict(data), route='mixed_integer')\n"
        "import cvxpy as cp\n"
        "x = cp.Variable()\n"
        "cp.Problem(cp.Maximize(x), [x <= 1]).solve(solver=cp.HIGHS)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout == ""
    assert found.stderr == ""
