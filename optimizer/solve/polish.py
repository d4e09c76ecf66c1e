"""From a plan near the optimum to the optimum itself: SciPy's SLSQP on the exact mean responses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from .duality import BESIDE_ZERO
from .problem import Goal, Problem

Floats = NDArray[np.float64]

RULE_TOLERANCE = 1e-9


def polish(problem: Problem, start: Floats, goal: Goal) -> Floats:
    """Improve a plan without leaving the rules.

    Parameters
    ----------
    problem : Problem
        The scaled problem.
    start : (L,)
        Scaled spend that keeps every rule.
    goal : Goal
        What to maximise.

    Returns
    -------
    (L,)
        Scaled spend in the box; whether it keeps the other rules and is better is for the caller to check.
    """
    n, forms = len(start), [*problem.objectives, *problem.floors]
    n_goals = len(problem.objectives)
    reach = 0 if goal.reference is None else 1
    weights = goal.weights if goal.weights is not None else np.zeros(n_goals)
    seen: dict[bytes, tuple[Floats, Floats]] = {}

    def evaluate(v: Floats) -> tuple[Floats, Floats]:
        """Values (forms,) and gradients (forms, L + reach) at v = (z, level of the worst-off)."""
        key = v.tobytes()
        if key not in seen:
            effects, slopes = problem.effects(np.maximum(v[:n], BESIDE_ZERO))
            gradients = np.zeros((len(forms), n + reach))
            gradients[:, :n] = [form.gradient(slopes) for form in forms]
            seen.clear()
            seen[key] = np.array([form.value(effects, v[:n]) for form in forms]), gradients
        return seen[key]

    def room(v: Floats) -> Floats:
        values, _ = evaluate(v)
        parts = [values[n_goals:]]
        if goal.least is not None:
            parts.append(values[:n_goals] - goal.least)
        if goal.reference is not None:
            parts.append(values[:n_goals] - goal.reference - v[n])
        return np.concatenate(parts)

    def room_slope(v: Floats) -> Floats:
        _, gradients = evaluate(v)
        parts = [gradients[n_goals:]]
        if goal.least is not None:
            parts.append(gradients[:n_goals])
        if goal.reference is not None:
            level = np.zeros(n + 1)
            level[n] = 1.0
            parts.append(gradients[:n_goals] - level)
        return np.concatenate(parts)

    def loss(v: Floats) -> float:
        return -float(v[n]) if reach else -float(weights @ evaluate(v)[0][:n_goals])

    def loss_slope(v: Floats) -> Floats:
        if reach:
            return np.append(np.zeros(n), -1.0)
        return -weights @ evaluate(v)[1][:n_goals]

    rules: list[dict[str, Any]] = []
    A = np.hstack([problem.A, np.zeros((len(problem.b), reach))])
    several = (np.count_nonzero(problem.A, axis=1) > 1) | problem.equal
    for kind, rows in (("ineq", several & ~problem.equal), ("eq", problem.equal)):
        if rows.any():
            rules.append(_linear(kind, A[rows], problem.b[rows]))
    if problem.floors or goal.least is not None or reach:
        rules.append({"type": "ineq", "fun": room, "jac": room_slope})
    first = np.append(start, [goal.value(evaluate(np.append(start, [0.0] * reach))[0][:n_goals])] * reach)
    box = [*zip(problem.lower, problem.upper, strict=True), *[(None, None)] * reach]
    found = minimize(
        loss,
        first,
        jac=loss_slope,
        bounds=box,
        constraints=rules,
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 300},
    )
    return np.clip(found.x[:n], problem.lower, problem.upper)


def _linear(kind: str, A: Floats, b: Floats) -> dict[str, Any]:
    return {"type": kind, "fun": lambda v: b - A @ v, "jac": lambda v: -A}


def keeps_rules(problem: Problem, z: Floats) -> bool:
    """Whether scaled spend keeps the polyhedron to `RULE_TOLERANCE`."""
    room = problem.b - problem.A @ z
    room = np.where(problem.equal, -np.abs(room), room)
    return bool(np.all(room >= -RULE_TOLERANCE))
