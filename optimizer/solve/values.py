"""Objectives and floors of many plans at once, and their gradients, as searches ask for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..preferences import tail_weights
from .forms import Form
from .problem import Problem

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


def form_rises(problem: Problem, plans: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Simulate plans (N, n); return what `form_values` does, and gradients at `Problem.beside`.

    Returns
    -------
    (N, O), (N, F), (N, O, n), (N, F, n)
    """
    if len(problem.own):
        # Functions are asked plan by plan: their slopes are differences.
        states = [problem.state(z) for z in plans]
        return (
            np.array([state.u for state in states]),
            np.array([state.room for state in states]),
            np.array([state.rises for state in states]),
            np.array([state.room_rises for state in states]),
        )
    effects = problem.outcomes(plans)
    means, total = effects.mean(axis=1), plans.sum(axis=1)
    beside = _spend(problem, problem.beside(plans))
    mean = _slopes(problem, beside, None)
    found = []
    for forms in (problem.objectives, problem.floors):
        values, rises = np.empty((len(plans), len(forms))), np.empty((len(plans), len(forms), plans.shape[1]))
        for i, form in enumerate(forms):
            values[:, i] = _values(form, effects, means, total)
            slopes = mean if form.tail is None else _slopes(problem, beside, _counted(form, effects, total))
            rises[:, i] = np.einsum("k,nkj->nj", form.kpis, slopes) + form.spend
        found.append((values, rises))
    return found[0][0], found[1][0], found[0][1], found[1][1]


def _spend(problem: Problem, plans: Floats) -> Floats:
    """Currency of scaled plans (N, n), in the scenario's order: (N, L) or (N, L, T)."""
    spend = np.zeros_like(plans)
    spend[:, problem.columns] = plans * problem.money
    return spend.reshape(len(plans), len(problem.order), -1) if problem.scenario.free else spend


def _slopes(problem: Problem, spend: Floats, counted: Floats | None) -> Floats:
    """Gradients of scaled effects by z, each draw counted the same or as (N, D) says: (N, K, n)."""
    share = None
    if counted is not None:
        share = np.broadcast_to(counted[:, :, None], (*counted.shape, len(problem.size)))
    shares = problem.scenario.shares
    raw = problem.simulator.gradients(spend, share)[..., : shares.shape[1]]
    cells = raw.reshape(*raw.shape[:2], -1)
    raw = cells if problem.scenario.free else np.einsum("nklt,lt->nkl", raw, shares)
    return np.where(problem.pinned, 0.0, raw[:, :, problem.columns] * (problem.money / problem.size[:, None]))


def _counted(form: Form, effects: Floats, total: Floats) -> Floats:
    """What each draw counts for in a form over the worst draws: (N, D)."""
    values = _by_draw(form, effects, total)
    counted = np.empty_like(values)
    weights = np.broadcast_to(tail_weights(form.tail or 1.0, values.shape[1]), values.shape)
    np.put_along_axis(counted, np.argsort(values, axis=1, kind="stable"), weights, axis=1)
    return counted


def _by_draw(form: Form, effects: Floats, total: Floats) -> Floats:
    constants = form.constant if form.constants is None else form.constants
    return np.asarray(constants + effects @ form.kpis + form.spend * total[:, None])


def _values(form: Form, effects: Floats, means: Floats, total: Floats) -> Floats:
    """One form of plans (N,), from effects (N, D, K), their means (N, K) and total scaled spend (N,)."""
    if form.tail is None:
        return np.asarray(form.constant + means @ form.kpis + form.spend * total)
    values = _by_draw(form, effects, total)
    return np.asarray(np.sort(values, axis=1) @ tail_weights(form.tail, values.shape[1]))
