"""Objectives and floors of many plans at once, as evolution asks for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..preferences import tail_weights
from .problem import Form, Problem

Floats = NDArray[np.float64]


def form_values(problem: Problem, plans: Floats) -> tuple[Floats, Floats]:
    """Simulate plans (N, n), scaled spend; return objective forms (N, O) and the room in floors (N, F)."""
    effects = problem.outcomes(plans)
    means, total = effects.mean(axis=1), plans.sum(axis=1)
    found = [
        np.array([_values(form, effects, means, total) for form in forms]).reshape(len(forms), len(plans)).T
        for forms in (problem.objectives, problem.floors)
    ]
    return found[0], found[1]


def _values(form: Form, effects: Floats, means: Floats, total: Floats) -> Floats:
    """One form of plans (N,), from effects (N, D, K), their means (N, K) and total scaled spend (N,)."""
    if form.tail is None:
        return np.asarray(form.constant + means @ form.kpis + form.spend * total)
    constants = form.constant if form.constants is None else form.constants
    values = constants + effects @ form.kpis + form.spend * total[:, None]
    return np.asarray(np.sort(values, axis=1) @ tail_weights(form.tail, values.shape[1]))
