"""Response tables: what each line's total spend does to each KPI, flighting fixed, mean over draws.

Between grid points the tables hold lines that the response cannot cross (`kernels_tables`), so that a bound read
off them is proven, however coarse the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import curves
from .simulate import Simulator

if TYPE_CHECKING:
    from .kernels_tables import Tables

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HILL, POINTS = curves.FAMILIES["hill"].code, curves.FAMILIES["points"].code
# Families whose axis is media itself, not media as a multiple of a first parameter.
PLAIN = ("none", "linear", "power", "points")


@dataclass(frozen=True)
class Terms:
    """Every line's mean effects as sums of ``weight * S(rate * z + offset)`` over its total spend ``z``.

    Attributes
    ----------
    family : (K, L)
        Curve family codes.
    table : (6, M)
        Rate, offset, second curve parameter, weight, bend and steepest slope, one column a term; the terms of a
        KPI and line stand together.
    starts : (K * L + 1,)
        Their first columns.
    constant : (K, L)
        What does not depend on spend: effects of the history that carry over.
    knots : (K, L, 3, P)
        Pieces of curves through points.
    """

    family: Ints
    table: Floats
    starts: Ints
    constant: Floats
    knots: Floats

    @classmethod
    def of(cls, simulator: Simulator, order: Ints, money: float, size: Floats) -> Terms:
        """Write out a simulator's mean effects.

        Parameters
        ----------
        simulator : Simulator
            A scenario's response.
        order : (L,)
            Lines in the order they are wanted in.
        money : float
            Currency per unit of z.
        size : (K,)
            KPI units per unit of an effect.
        """
        n_kpis, n_lines = len(size), len(order)
        parts, counts, constant = [], [0], np.zeros((n_kpis, n_lines))
        for k in range(n_kpis):
            for i, line in enumerate(order):
                part, constant[k, i] = _terms(simulator, k, int(line), money, float(size[k]))
                parts.append(part)
                counts.append(part.shape[1])
        return cls(
            np.ascontiguousarray(simulator.family[:, order]),
            np.ascontiguousarray(np.concatenate(parts, axis=1)),
            np.cumsum(counts),
            constant,
            np.ascontiguousarray(simulator.knots[:, order]),
        )

    def twins(self, lower: Floats, upper: Floats) -> Ints:
        """Number lines, the same number for lines that nothing tells apart: (L,).

        ``lower`` and ``upper`` (L,) are what they may spend.
        """
        n_kpis, n_lines = self.family.shape
        seen: dict[bytes, int] = {}
        out = np.empty(n_lines, dtype=np.int64)
        for line in range(n_lines):
            cells = [slice(*self.starts[k * n_lines + line :][:2]) for k in range(n_kpis)]
            parts = [self.family[:, line], self.constant[:, line], self.knots[:, line], lower[line], upper[line]]
            for cell in cells:
                parts += [cell.stop - cell.start, self.table[:, cell]]
            out[line] = seen.setdefault(b"".join(np.asarray(part).tobytes() for part in parts), line)
        return out


def _terms(simulator: Simulator, k: int, line: int, money: float, size: float) -> tuple[Floats, float]:
    """The terms of one KPI and line, (6, M), and its constant."""
    code = int(simulator.family[k, line])
    draws = simulator.scale.shape[2]
    scale = simulator.scale[k, line] / (draws * size)
    first = np.ones(draws) if curves.NAMES[code] in PLAIN else simulator.first[k, line]
    second = simulator.second[k, line]
    unit, history, season = simulator.unit[line] * money, simulator.history[line], simulator.season[k]
    weights = simulator.weights[k, line, : int(simulator.length[k, line])]
    periods, back = len(unit), len(history)
    rate, offset = np.zeros((periods, draws)), np.zeros((periods, draws))
    if code == curves.FAMILIES["none"].code:
        return np.zeros((6, 0)), 0.0
    constant = 0.0
    if simulator.after[k, line]:
        factor = np.zeros((back + periods, draws))
        ahead = np.concatenate([np.zeros(back), season])
        for lag, weight in enumerate(weights[: len(ahead)]):
            factor[: len(ahead) - lag] += ahead[lag:, None] * weight
        for h, media in enumerate(history):
            constant += float(np.sum(scale * factor[h] * _saturation(simulator, k, line, media / first)))
        rate, counted = unit[:, None] / first, factor[back:]
    else:
        for lag, weight in enumerate(weights):
            rate[lag:] += unit[: max(periods - lag, 0), None] * (weight / first)
            for t in range(max(0, lag - back), min(lag, periods)):
                offset[t] += history[back - (lag - t)] * (weight / first)
        counted = np.broadcast_to(season[:, None], rate.shape)
    # Periods alike in everything but what they count for are one term a draw.
    weight = counted * scale
    if periods > 1:
        _, where, kind = np.unique(np.hstack([rate, offset]), axis=0, return_index=True, return_inverse=True)
        each, weight = weight, np.zeros((len(where), draws))
        np.add.at(weight, kind.ravel(), each)
        rate, offset = rate[where], offset[where]
    seconds = np.broadcast_to(second, weight.shape)
    bend, steepest = _bend(code, seconds)
    rows = np.stack([rate, offset, seconds, weight, bend, steepest]).reshape(6, -1)
    return rows[:, rows[3] > 0], constant


def _saturation(simulator: Simulator, k: int, line: int, x: Floats) -> Floats:
    """S at one place by draw; ``x`` (D,) as a multiple of the first parameter."""
    from .kernels_curves import add_values

    out = np.zeros(len(x))
    ones = np.ones(len(x))
    add_values(int(simulator.family[k, line]), x, simulator.second[k, line], simulator.knots[k, line], ones, out)
    return out


def _bend(code: int, slope: Floats) -> tuple[Floats, Floats]:
    """Where Hill curves bend from convex to concave, and their slope there; 0 for curves that do not.

    ``d2/dx2 [x^s / (1 + x^s)] = 0`` at ``x^s = (s - 1) / (s + 1)``.
    """
    curved = (slope > 1.0) & (code == HILL)
    s = np.where(curved, slope, 2.0)
    power = (s - 1.0) / (s + 1.0)
    bend = power ** (1.0 / s)
    steepest = s * power / (1.0 + power) ** 2 / bend
    return np.where(curved, bend, 0.0), np.where(curved, steepest, 0.0)


class ResponseTables:
    """Values and proven lines on a grid that grows where it is needed.

    Parameters
    ----------
    terms : Terms
        What is tabulated.
    lower, upper : (L,)
        Ends of each line's grid; where they are equal the line has a single point.
    points : int
        Grid points a line to begin with.

    Attributes
    ----------
    grid, count : (L, G), (L,)
        Grid points of z, rising, and how many each line has.
    value : (K, L, G)
        Mean effects at the grid points.
    lines : (K, L, 4, G)
        Gradients of the lines over the interval to the right of each point: `kernels_tables.add_lines`.
    """

    def __init__(self, terms: Terms, lower: Floats, upper: Floats, points: int = 7) -> None:
        from . import kernels_tables

        self.terms = terms
        n_kpis, n_lines = terms.family.shape
        room = 4 * points
        self.grid, self.count = np.zeros((n_lines, room)), np.zeros(n_lines, dtype=np.int64)
        self.value, self.lines = np.zeros((n_kpis, n_lines, room)), np.zeros((n_kpis, n_lines, 4, room))
        self.work = np.empty((2, 3, terms.table.shape[1]))
        low, high = np.ascontiguousarray(lower, dtype=float), np.ascontiguousarray(upper, dtype=float)
        kernels_tables.begin(low, high, points, self.arrays())

    def add(self, line: int, z: float) -> bool:
        """Add a grid point to a line, unless one is there; tell whether."""
        from . import kernels_tables

        if self.count[line] == self.grid.shape[1]:
            self.grow()
        at = np.full(len(self.count), np.nan)
        at[line] = z
        return bool(kernels_tables.insert(at, self.arrays()))

    def grow(self) -> None:
        """Make room for twice as many points."""
        self.grid, self.value, self.lines = (
            np.concatenate([part, np.zeros_like(part)], axis=-1) for part in (self.grid, self.value, self.lines)
        )

    def arrays(self) -> Tables:
        """What the kernels share, in the order that `kernels_tables.insert` tells."""
        terms = self.terms
        return (
            terms.family,
            terms.table,
            terms.starts,
            terms.constant,
            terms.knots,
            self.grid,
            self.count,
            self.value,
            self.lines,
            self.work,
        )
