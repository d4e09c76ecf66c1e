"""What a problem maximises and holds: forms of scaled effects and spend, goals made of them, a plan's values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..preferences import tail_weights

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Form:
    """``constant + kpis @ (sum over lines of effects) + spend * (sum of z)``: a KPI, or the room in a floor.

    Attributes
    ----------
    name : str
        The KPI, or the floor in words.
    kpis : (K,)
        Factor of each additive KPI's scaled effect.
    spend : float
        Factor of total spend in money units.
    constant : float
        The rest, mean over draws.
    unit : float
        Objectives: KPI units of one step of the form, negative where less is better. Floors: steps of the form
        for one unit of the KPI's limit; NaN where that depends on the plan.
    worst : float
        Objectives: the KPI where the form is zero.
    tail : float, optional
        Take the mean over this share of the worst draws instead of over all.
    constants : (D,)
        The rest by draw.
    """

    name: str
    kpis: Floats
    spend: float
    constant: float
    unit: float
    worst: float = 0.0
    tail: float | None = None
    constants: Floats | None = None

    def kpi(self, value: Floats | float) -> Any:
        """Return the KPI in its own unit, from the form's value."""
        return self.worst + self.unit * np.asarray(value)

    def at(self, effects: Effects, z: Floats) -> tuple[float, Floats]:
        """Value, and gradient by z (L,); both of a function that is concave where its curves are."""
        if self.tail is None:
            value = self.constant + self.kpis @ effects.value.mean(axis=0).sum(axis=1) + self.spend * z.sum()
            return float(value), self.kpis @ effects.slope.mean(axis=0) + self.spend
        values = self.constants + effects.value.sum(axis=2) @ self.kpis + self.spend * z.sum()
        order = np.argsort(values, kind="stable")
        weights = np.empty(len(values))
        weights[order] = tail_weights(self.tail, len(values))
        rises = np.einsum("d,dkl,k->l", weights, effects.slope, self.kpis) + self.spend
        return float(weights @ values), rises


@dataclass(frozen=True)
class Effects:
    """Scaled effects and their slopes by z: (D, K, L) each."""

    value: Floats
    slope: Floats


@dataclass(frozen=True)
class Goal:
    """What to maximise over the objective forms ``u`` (O,): ``weights @ u + min(u - reference)``.

    Attributes
    ----------
    weights : (O,)
        Weighted sum; zero where only the worst-off counts.
    reference : (O,), optional
        Adds the worst-off, ``min(u - reference)`` (achievement scalarising function in direction 1: Wierzbicki
        1980; with small weights its augmented form, Steuer & Choo 1983).
    least : (O,), optional
        Values every plan must reach.
    """

    weights: Floats
    reference: Floats | None = None
    least: Floats | None = None

    def value(self, u: Floats) -> float:
        """Return what is maximised, at ``u``."""
        worst = 0.0 if self.reference is None else float(np.min(u - self.reference))
        return float(self.weights @ u) + worst


@dataclass(frozen=True)
class State:
    """Everything about one plan: forms' values and gradients by z."""

    z: Floats
    u: Floats
    rises: Floats
    room: Floats
    room_rises: Floats
    effects: Effects
