"""Slow, obvious twins of response tables and of the search over them, and random cases for both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from naive import saturation
from scipy.optimize import linprog

from optimizer.curves import FAMILIES, NAMES, pieces
from optimizer.kernels_terms import bend_of
from optimizer.simulate import Simulator
from optimizer.tables import Terms

POINTS = [[0.2, 0.1], [0.5, 0.9], [0.9, 0.9], [2.0, 1.3], [2.5, 3.0]]


def curve(family: str, x, second, points=POINTS):
    """S(x) as a textbook has it, in floats; ``x`` as a multiple of the first parameter."""
    x = np.asarray(x, dtype=float)
    with np.errstate(divide="ignore", over="ignore"):
        if family == "hill":
            return 1.0 / (1.0 + x ** -np.asarray(second, dtype=float))
        if family == "michaelis_menten":
            return 1.0 / (1.0 + 1.0 / x)
        if family == "power":
            return x ** np.asarray(second, dtype=float)
    if family == "log1p":
        return np.log1p(x)
    if family in ("logistic", "tanh"):
        return np.tanh(np.log(3.0) / 2.0 * x)
    if family == "points":
        return np.interp(x, [0.0, *[p[0] for p in points]], [0.0, *[p[1] for p in points]])
    return x if family == "linear" else np.zeros_like(x)


def exactly(family: str, x: float, second: float, points=POINTS) -> float:
    return float(saturation(family, x, 1.0, second, points))


def effect(terms: Terms, k: int, line: int, z):
    """Effect of a line on a KPI at each spend in ``z``, its terms added up one by one."""
    cell = k * terms.family.shape[1] + line
    z = np.asarray(z, dtype=float)
    total = np.full(z.shape, terms.constant[k, line])
    points = _points(terms.knots[k, line])
    for rate, offset, second, weight, _, _ in terms.table[:, terms.starts[cell] : terms.starts[cell + 1]].T:
        total = total + weight * curve(NAMES[int(terms.family[k, line])], rate * z + offset, second, points)
    return total


def response(terms: Terms, factors: Sequence[float], per_money: float, line: int, z):
    """What a line counts for at each spend in ``z``: effects times factors, and the spend itself."""
    return per_money * np.asarray(z) + sum(f * effect(terms, k, line, z) for k, f in enumerate(factors))


def terms_of(sim: Simulator, k: int, line: int, money: float, size: float) -> tuple[np.ndarray, float]:
    """Of one KPI and line, by period and draw: rates, offsets and weights (3, T * D), and a constant."""
    family, draws, (back, periods) = NAMES[int(sim.family[k, line])], sim.scale.shape[2], _spans(sim, line)
    # Media of the history and of the horizon, for one unit of z.
    fixed = np.concatenate([sim.history[line], np.zeros(periods)])
    free = np.concatenate([np.zeros(back), sim.unit[line] * money])
    season = np.concatenate([np.zeros(back), sim.season[k]])
    terms, constant = [], 0.0
    for d in range(draws):
        first = 1.0 if family in ("none", "linear", "power", "points") else sim.first[k, line, d]
        weights = sim.weights[k, line, : sim.length[k, line], d]
        scale = sim.scale[k, line, d] / (draws * size)
        for t in range(back + periods):
            if sim.after[k, line]:
                counted = scale * sum(w * season[t + j] for j, w in enumerate(weights) if t + j < len(season))
                if t >= back:
                    terms.append((free[t] / first, 0.0, counted))
                else:
                    points = _points(sim.knots[k, line])
                    constant += counted * float(curve(family, fixed[t] / first, sim.second[k, line, d], points))
            elif t >= back:
                rate, offset = (
                    sum(w * part[t - j] for j, w in enumerate(weights) if j <= t) / first for part in (free, fixed)
                )
                terms.append((rate, offset, scale * season[t]))
    return np.array(terms).T, constant


def _spans(sim: Simulator, line: int) -> tuple[int, int]:
    return sim.history.shape[1], len(sim.unit[line])


def _points(knots) -> list:
    start, width, gradient = knots[:, knots[1] > 0]
    return np.stack([start + width, np.cumsum(width * gradient)], axis=1).tolist()


def make_terms(
    rng: np.random.Generator,
    n_lines: int,
    n_kpis: int = 1,
    n_terms: int = 1,
    families: Sequence[str] = ("hill",),
    slopes: tuple[float, float] = (0.6, 4.0),
    history: bool = False,
) -> Terms:
    """Random terms over spends of about one in all; a line's effects are of about ``1 / n_lines``."""
    codes = np.array([[FAMILIES[rng.choice(list(families))].code for _ in range(n_lines)] for _ in range(n_kpis)])
    counts = np.where(codes.ravel() == FAMILIES["none"].code, 0, n_terms)
    m = int(counts.sum())
    code = np.repeat(codes.ravel(), counts)
    second = np.where(code == FAMILIES["power"].code, rng.uniform(0.3, 1.0, m), rng.uniform(*slopes, m))
    rate = n_lines / rng.uniform(0.3, 3.0, m)
    offset = rng.uniform(0.0, 1.0, m) * (rng.random(m) < 0.7) if history else np.zeros(m)
    weight = rng.lognormal(0.0, 0.7, m) / (n_lines * n_terms)
    bends = [bend_of(s) if c == FAMILIES["hill"].code else (0.0, 0.0) for c, s in zip(code, second, strict=True)]
    bend, steepest = np.array(bends).reshape(-1, 2).T
    knots = np.broadcast_to(pieces(np.array(POINTS)[None, None]), (n_kpis, n_lines, 3, len(POINTS)))
    constant = rng.normal(size=(n_kpis, n_lines)) if history else np.zeros((n_kpis, n_lines))
    return Terms(
        codes,
        np.ascontiguousarray(np.stack([rate, offset, second, weight, bend, steepest])),
        np.concatenate([[0], np.cumsum(counts)]),
        constant,
        np.array(knots),
    )


def envelope(x, y, at: float) -> float:
    """Least concave function over points, at a place: the highest of all chords and points there."""
    best = -np.inf
    for x0, y0 in zip(x, y, strict=True):
        if x0 == at:
            best = max(best, y0)
        for x1, y1 in zip(x, y, strict=True):
            if x0 < at < x1:
                best = max(best, y0 + (y1 - y0) * (at - x0) / (x1 - x0))
    return best


def best_of_pieces(x: list, y: list, budget: float, exactly: bool) -> float:
    """The best split over concave piecewise linear responses, as a linear program over their pieces."""
    widths = np.concatenate([np.diff(part) for part in x])
    slopes = np.concatenate([np.diff(part) for part in y]) / np.where(widths > 0, widths, 1.0)
    fixed, base = sum(part[0] for part in x), sum(part[0] for part in y)
    if not len(widths):
        return float(base)
    row, room = np.ones((1, len(widths))), [budget - fixed]
    rule = {"A_eq": row, "b_eq": room} if exactly else {"A_ub": row, "b_ub": room}
    found = linprog(-slopes, bounds=list(zip(np.zeros(len(widths)), widths, strict=True)), method="highs", **rule)
    assert found.status == 0
    return float(base - found.fun)


def best_of_grid(responses: list, lower, upper, budget: float, steps: int, exactly: bool = True) -> float:
    """The best split on a grid of ``steps`` units of budget above the lower ends, by dynamic programming.

    ``responses`` are functions of spends. Every split tried is a real one, so no proven bound is below it.
    """
    unit = (budget - float(np.sum(lower))) / steps
    best = np.full(steps + 1, -np.inf)
    best[0] = 0.0
    for line, value in enumerate(responses):
        most = min(int(np.floor((upper[line] - lower[line]) / unit + 1e-9)), steps) if unit > 0 else 0
        at = value(np.minimum(lower[line] + unit * np.arange(most + 1), upper[line]))
        new = np.full(steps + 1, -np.inf)
        for spent in range(most + 1):
            new[spent:] = np.maximum(new[spent:], best[: steps + 1 - spent] + at[spent])
        best = new
    return float(best[steps] if exactly else best.max())
