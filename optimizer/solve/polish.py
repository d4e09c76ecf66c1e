"""From a plan near the optimum to the optimum itself: SciPy's SLSQP on the exact mean responses."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController

from .forms import Goal, State
from .problem import Problem

Floats = NDArray[np.float64]


class _TimeUp(Exception):
    """Ends a minimisation; SciPy lets nothing else do so in the midst of one."""


def polish(problem: Problem, start: Floats, goal: Goal, late: Callable[[], bool] = lambda: False) -> Floats:
    """Improve a plan without leaving the rules.

    Parameters
    ----------
    problem : Problem
        The scaled problem.
    start : (L,)
        Scaled spend that keeps every rule, or nearly.
    goal : Goal
        What to maximise.
    late : callable, optional
        Whether time is up.

    Returns
    -------
    (L,)
        Scaled spend in the box, as far as it came in time; whether it keeps the other rules and is better is for
        the caller to check.
    """
    n = len(start)
    reach = 0 if goal.reference is None else 1
    seen: dict[bytes, State] = {}

    def state(v: Floats) -> State:
        key = v[:n].tobytes()
        if key not in seen:
            seen.clear()
            seen[key] = problem.state(v[:n])
        return seen[key]

    def room(v: Floats) -> Floats:
        """Room in floors, held objectives, and the objectives above the level of the worst-off, v[n]."""
        at = state(v)
        parts = [at.room]
        if goal.least is not None:
            parts.append(at.u - goal.least)
        if goal.reference is not None:
            parts.append(at.u - goal.reference - v[n])
        return np.concatenate(parts)

    def room_rises(v: Floats) -> Floats:
        at = state(v)
        parts = [np.pad(at.room_rises, ((0, 0), (0, reach)))]
        if goal.least is not None:
            parts.append(np.pad(at.rises, ((0, 0), (0, reach))))
        if goal.reference is not None:
            parts.append(np.pad(at.rises, ((0, 0), (0, 1)), constant_values=-1.0))
        return np.concatenate(parts)

    def loss(v: Floats) -> float:
        if late():
            raise _TimeUp
        return -float(goal.weights @ state(v).u) - (float(v[n]) if reach else 0.0)

    def loss_rise(v: Floats) -> Floats:
        return -np.append(goal.weights @ state(v).rises, [1.0] * reach)

    rules: list[dict[str, Any]] = []
    joint = problem.joint
    for kind, rows in (("ineq", joint & ~problem.equal), ("eq", joint & problem.equal)):
        if rows.any():
            rules.append(_linear(kind, np.pad(problem.A[rows], ((0, 0), (0, reach))), problem.b[rows]))
    if problem.floors or goal.least is not None or reach:
        rules.append({"type": "ineq", "fun": room, "jac": room_rises})
    first = np.append(start, [np.min(state(start).u - goal.reference)] if goal.reference is not None else [])
    box = [*zip(problem.lower, problem.upper, strict=True), *[(None, None)] * reach]
    at = [first]
    # Its matrices are tiny: more than one thread only wait for each other, long where the machine is busy.
    with _libraries().limit(limits=1, user_api="blas"), suppress(_TimeUp):
        found = minimize(
            loss,
            first,
            jac=loss_rise,
            bounds=box,
            constraints=rules,
            method="SLSQP",
            callback=lambda v: at.append(v.copy()),
            options={"ftol": 1e-14, "maxiter": 300},
        )
        at.append(found.x)
    return np.clip(at[-1][:n], problem.lower, problem.upper)


def _linear(kind: str, A: Floats, b: Floats) -> dict[str, Any]:
    return {"type": kind, "fun": lambda v: b - A @ v, "jac": lambda v: -A}


@cache
def _libraries() -> ThreadpoolController:
    """The linear algebra libraries that are loaded."""
    return ThreadpoolController()
