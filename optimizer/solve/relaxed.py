"""A problem without synergy and, over cells, without S-shapes, nowhere below the real one: it can be proven.

- Synergy: a line's effect times ``prod_j (1 + gain_j C_j)`` is at most its own effect times the largest value of
  the product. Shares of curves rise with spend, so each factor is largest or smallest where its giver spends all
  it may.
- S-shapes over cells: a Hill curve of slope ``s > 1`` is nowhere above ``tanh(c a / half)`` with
  ``c = max_r log(1 + 2 r^s) / 2 r``, as ``artanh(S) = log(1 + 2 r^s) / 2`` at ``r = a / half``; curves through
  points are nowhere above their upper hull. Where draws of one response lie on both sides of slope 1, a Hill curve
  of slope 1 with a larger scale takes the place of the steep ones.

What counts against a form is under-estimated in the same way. Every form of the relaxed problem is then nowhere
below the real one, and its bound is one on the real problem.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..curves import FAMILIES
from ..simulate import Simulator
from ..synergy import Synergy
from .forms import Form
from .own import OwnKpis
from .problem import Problem

if TYPE_CHECKING:
    from ..response import ResponseModel

Floats = NDArray[np.float64]

HILL, TANH, POINTS = (FAMILIES[name].code for name in ("hill", "tanh", "points"))
# Where a Hill curve of slope 1 must be raised: media from so little to so much of half saturation, log steps.
LOG_ENDS, STEPS = (-20.0, 20.0), 40_001


def relaxed(problem: Problem) -> Problem | None:
    """Return the problem over-estimated, on the same scale; None where its forms pull one KPI both ways.

    Floors that pull a KPI the other way than the objectives do are left out, which only raises the bound.
    """
    if any(_owned(problem, form) for form in problem.objectives):
        # Whatever bounds a function of the user's own, nobody has told.
        return None
    problem = _without_own(problem)
    signs = _signs(problem.objectives)
    if signs is None:
        return None
    floors = [form for form in problem.floors if _agree(form, signs)]
    return _with_response(problem, _over_estimated(problem, signs), floors)


def unlinked(problem: Problem) -> Problem:
    """Return the problem as if no line multiplied another's effect and no function moved: a guess, no bound."""
    problem = _without_own(problem)
    response = replace(problem.scenario.response, synergy=Synergy())
    return _with_response(problem, response, list(problem.floors))


def _owned(problem: Problem, form: Form) -> bool:
    """Whether a form counts a function of the user's own."""
    return bool(np.any(form.kpis[len(problem.size) - len(problem.own) :]))


def _without_own(problem: Problem) -> Problem:
    """The problem without functions of the user's own: floors on them left out, objectives without their part."""
    if not len(problem.own):
        return problem
    found, n = copy.copy(problem), len(problem.size) - len(problem.own)
    found.own, found.size = OwnKpis(problem.scenario, ()), problem.size[:n]
    found.objectives, found.floors = (
        tuple(replace(form, kpis=form.kpis[:n]) for form in forms)
        for forms in (problem.objectives, [form for form in problem.floors if not _owned(problem, form)])
    )
    return found


def _with_response(problem: Problem, response: ResponseModel, floors: list[Form]) -> Problem:
    """The same rules, forms and scale with another response."""
    found = copy.copy(problem)
    found.scenario = replace(problem.scenario, response=response)
    found.simulator = Simulator.of(found.scenario)
    found.floors, found.curved, found.tangled = tuple(floors), "", ""
    for name in ("straight", "_seasons"):
        vars(found).pop(name, None)
    for form in (*found.objectives, *found.floors):
        found._look_for_curves(form.name, form.kpis)
    return found


def _signs(forms: tuple[Form, ...]) -> Floats | None:
    """Which way each KPI counts: (K,) of 1, -1 and, where it does not count, 0; None where it counts both ways."""
    factors = np.sign(np.array([form.kpis for form in forms]))
    up, down = (factors > 0).any(axis=0), (factors < 0).any(axis=0)
    return None if np.any(up & down) else up.astype(float) - down


def _agree(form: Form, signs: Floats) -> bool:
    """Whether a floor counts each KPI the way the objectives do; KPIs that only floors count take theirs."""
    own = np.sign(form.kpis)
    agree = bool(np.all((own == 0) | (signs == 0) | (own == signs)))
    if agree:
        signs += np.where(signs == 0, own, 0.0)
    return agree


def _over_estimated(problem: Problem, signs: Floats) -> ResponseModel:
    model = problem.scenario.response
    parts: dict[str, Any] = {
        "family": model.family.copy(),
        "scale": model.scale * np.moveaxis(_factors(problem, signs), 2, 0),
        "first": model.first.copy(),
        "second": model.second.copy(),
        "points": model.points.copy(),
    }
    if problem.scenario.free:
        _straighten(model, signs, parts)
    return replace(model, synergy=Synergy(), **parts)


def _factors(problem: Problem, signs: Floats) -> Floats:
    """The most that synergy multiplies each effect by, the least where the KPI counts against: (K, L, D)."""
    simulator = problem.simulator
    links = simulator.links
    if links is None:
        return np.ones_like(simulator.scale)
    spend = problem.spend(problem.upper)[None]
    n_kpis, n_lines = links.slots.shape
    alone = replace(simulator, links=None, scale=np.ones_like(simulator.scale), unit=simulator.media(spend)[0])
    periods = simulator.season.shape[1]
    against = signs < 0
    # Where no season counts nothing is multiplied: it stays at one.
    most = np.where(against[:, None, None], np.inf, 0.0) + np.zeros_like(simulator.scale)
    for t in range(periods):
        season = np.ascontiguousarray((np.arange(periods) == t) * np.ones((n_kpis, 1)))
        shares = np.moveaxis(replace(alone, season=season).effects(np.ones(n_lines))[0], 0, 2)
        for k, line in np.ndindex(n_kpis, n_lines):
            product = np.ones(shares.shape[2])
            for pair in range(links.ends[k, line], links.ends[k, line + 1]):
                giver = int(np.flatnonzero(links.slots[k] == links.givers[pair])[0])
                factor = 1.0 + links.gain[pair] * shares[k, giver]
                product *= np.clip(factor, 0.0, 1.0) if against[k] else np.maximum(factor, 1.0)
            pick = np.minimum if against[k] else np.maximum
            if simulator.season[k, t] > 0:
                most[k, line] = pick(most[k, line], product)
    seasonal = np.any(simulator.season > 0, axis=1)[:, None, None]
    return np.where(seasonal, most, 1.0)


def _straighten(model: ResponseModel, signs: Floats, parts: dict[str, Any]) -> None:
    """Replace what is not concave by something concave above it, what counts against by nothing; in place."""
    concave, straight = model.concave(), model.linear()
    for k, line in np.ndindex(*model.family.shape):
        if signs[k] < 0 and not straight[k, line]:
            parts["family"][k, line] = FAMILIES["none"].code
        if signs[k] < 0 or concave[k, line]:
            continue
        if model.family[k, line] == POINTS:
            parts["points"][k, line] = upper_hull(model.points[k, line])
            continue
        slope = model.second[:, k, line]
        if np.all(slope > 1.0):
            parts["family"][k, line] = TANH
            parts["first"][:, k, line] *= np.arctanh(0.5) / np.array([_steepest(s) for s in slope])
            parts["second"][:, k, line] = 1.0
        else:
            raised = np.array([_raised(s) for s in slope])
            parts["scale"][:, k, line] *= raised
            parts["second"][:, k, line] = np.minimum(slope, 1.0)


def _steepest(slope: float) -> float:
    """``max_r log(1 + 2 r^s) / 2 r`` for s > 1, a hair above.

    It lies where ``s y / (1 + y) = log(1 + y)`` with ``y = 2 r^s``. The difference of the two sides rises up to
    ``y = s - 1`` and falls beyond: one root, found by halving.
    """
    low, high = slope - 1.0, 4.0 * np.exp(slope)
    for _ in range(200):
        middle = 0.5 * (low + high)
        if slope * middle / (1.0 + middle) > np.log1p(middle):
            low = middle
        else:
            high = middle
    r = (0.5 * low) ** (1.0 / slope)
    return float(0.5 * np.log1p(low) / r) * (1.0 + 1e-12)


def _raised(slope: float) -> float:
    """By how much a Hill curve of slope 1 must be raised to be nowhere below one of slope s > 1.

    The logarithm of their ratio changes by no more than s with the logarithm of media, so a fine grid bounds it.
    """
    if slope <= 1.0:
        return 1.0
    logs = np.linspace(*LOG_ENDS, STEPS)
    ratio = -np.logaddexp(0.0, -slope * logs) + np.logaddexp(0.0, -logs)
    # Beyond the grid the ratio is that of the powers below, which falls, and next to one above.
    return float(np.exp(ratio.max() + slope * (logs[1] - logs[0]) / 2)) * (1.0 + 1e-8)


def upper_hull(points: Floats) -> Floats:
    """Return the upper hull of a rising curve through points (P, 2), NaN after the last; the same shape."""
    known = points[np.isfinite(points).all(axis=1)]
    known = known[(known[:, 0] > 0)]
    hull = [np.zeros(2)]
    for point in known:
        while len(hull) > 1:
            before = hull[-1] - hull[-2]
            after = point - hull[-1]
            if before[1] * after[0] > after[1] * before[0]:
                break
            hull.pop()
        hull.append(point)
    found = np.full_like(points, np.nan)
    found[: len(hull) - 1] = np.array(hull[1:]).reshape(-1, 2)
    return found
