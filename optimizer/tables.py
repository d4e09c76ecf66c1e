"""Response tables: what each line's total spend does to each KPI, flighting fixed, mean over draws.

Between grid points the tables hold lines that the response cannot cross (`kernels_tables`), so that a bound read
off them is proven, however coarse the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import kernels_tables, kernels_terms
from .kernels_tables import Tables
from .simulate import Simulator

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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
        order = np.ascontiguousarray(order, dtype=np.int64)
        response = (
            simulator.unit,
            simulator.history,
            simulator.weights,
            simulator.length,
            simulator.after,
            simulator.family,
            simulator.scale,
            simulator.first,
            simulator.second,
            simulator.knots,
            simulator.season,
        )
        sizes = np.ascontiguousarray(size, dtype=float)
        return cls(*kernels_terms.write_terms(order, float(money), sizes, response))


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
        at = np.full(len(self.count), np.nan)
        at[line] = z
        return bool(self.insert(at))

    def insert(self, z: Floats) -> int:
        """Add a grid point to each line (L,), none where it is NaN or one is there; return how many are new."""
        if self.count.max() == self.grid.shape[1]:
            self.grow()
        return int(kernels_tables.insert(z, self.arrays()))

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
