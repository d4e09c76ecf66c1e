"""HiGHS, spoken to directly: its bound on what it did not find, quiet, and stopped by Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InfeasibleError, SolverError

Floats = NDArray[np.float64]

OPTIONS = {
    "output_flag": False,
    "mip_rel_gap": 0.0,
    # Wider than the others leaves a bound true; at 1e-9 HiGHS 1.16 was seen to call a plan optimal that others
    # beat by far.
    "mip_feasibility_tolerance": 1e-7,
    "primal_feasibility_tolerance": 1e-9,
    "dual_feasibility_tolerance": 1e-9,
}


@dataclass(frozen=True)
class Program:
    """Maximise ``cost @ x`` for ``low <= rows @ x <= high`` and ``lower <= x <= upper``.

    Attributes
    ----------
    cost, lower, upper : (N,)
        By column.
    whole : (N,) bool
        Columns that are whole numbers.
    rows : (M, N) sparse, by row
        Factors.
    low, high : (M,)
        Ends of the rows.
    """

    cost: Floats
    lower: Floats
    upper: Floats
    whole: NDArray[np.bool_]
    rows: Any
    low: Floats
    high: Floats


def quiet_solver() -> Any:
    """Return a solver that has printed nothing; nor will those made after it in this process.

    HiGHS greets on the console with the first solver of a process, before any of its options can be set. This
    one keeps its greeting off the console; the greeting then counts as said, for solvers that cvxpy makes too.
    """
    import highspy

    class Quiet(highspy.Highs):  # type: ignore[misc, unused-ignore]
        def enableCallbacks(self) -> Any:
            self.setOptionValue("log_to_console", False)
            return super().enableCallbacks()  # type: ignore[no-untyped-call, unused-ignore]

    return Quiet()  # type: ignore[no-untyped-call, unused-ignore]


def maximise(program: Program, gap: float, seconds: float) -> tuple[Floats | None, float]:
    """Solve a program.

    Parameters
    ----------
    program : Program
        What to solve.
    gap : float
        How far from its bound the solver may stop.
    seconds : float
        When it must.

    Returns
    -------
    x : (N,) or None
        The best that was found, None where nothing was in time.
    bound : float
        No x has a higher ``cost @ x``, to the solver's tolerances; infinite where none is known.

    Raises
    ------
    InfeasibleError
        If there is no x.
    SolverError
        If the solver failed.
    """
    import highspy

    solver = quiet_solver()
    for option, value in {**OPTIONS, "mip_abs_gap": gap, "time_limit": max(seconds, 0.01)}.items():
        solver.setOptionValue(option, value)
    solver.passModel(_loaded(program))
    with _stopped_by_interrupt(solver):
        solver.run()
    statuses = highspy.HighsModelStatus
    status, found = solver.getModelStatus(), solver.getInfo()
    if status in (statuses.kInfeasible, statuses.kUnboundedOrInfeasible):
        raise InfeasibleError("no plan keeps every rule and floor at once", "loosen a rule or a floor")
    if status not in (statuses.kOptimal, statuses.kTimeLimit, statuses.kInterrupt):
        raise SolverError(
            f"the mixed-integer solver stopped: {solver.modelStatusToString(status)}",
            "loosen the tightest rules slightly, or report this as a fault",
        )
    if program.whole.any():
        bound = float(found.mip_dual_bound)
    else:
        bound = float(found.objective_function_value) if status == statuses.kOptimal else np.inf
    there = found.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    return np.array(solver.getSolution().col_value) if there else None, bound


def _loaded(program: Program) -> Any:
    import highspy

    loaded = highspy.HighsLp()
    loaded.num_row_, loaded.num_col_ = program.rows.shape
    loaded.col_cost_, loaded.col_lower_, loaded.col_upper_ = program.cost, program.lower, program.upper
    loaded.row_lower_, loaded.row_upper_ = program.low, program.high
    loaded.sense_ = highspy.ObjSense.kMaximize
    loaded.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    loaded.a_matrix_.start_, loaded.a_matrix_.index_ = program.rows.indptr, program.rows.indices
    loaded.a_matrix_.value_ = program.rows.data
    kinds = {True: highspy.HighsVarType.kInteger, False: highspy.HighsVarType.kContinuous}
    loaded.integrality_ = [kinds[whole] for whole in program.whole.tolist()]
    return loaded


@contextmanager
def _stopped_by_interrupt(solver: Any) -> Iterator[None]:
    """Let Ctrl-C end a solve at once, as KeyboardInterrupt; without this it would wait until HiGHS is done.

    The signal's handler may not raise while HiGHS calls back, so it asks the solver to stop.
    """
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield
        return
    asked: list[tuple[int, Any]] = []

    def stop(number: int, frame: Any) -> None:
        asked.append((number, frame))
        solver.cancelSolve()

    solver.HandleUserInterrupt = True
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if asked:
        usual(*asked[0])
