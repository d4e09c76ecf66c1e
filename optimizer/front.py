"""Front: the plans among which no KPI can be had better without another getting worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .markup import Block, card
from .plan import plain, records

if TYPE_CHECKING:
    from .scenario import Scenario


@dataclass(frozen=True)
class FrontCertificate:
    """How complete a front provably is.

    Attributes
    ----------
    guarantee : "global" or "none"
        ``global``: no plan outside the front adds more than ``gap`` of hypervolume above ``reference``. ``none``:
        that holds only for the stricter problem that ``why`` names.
    hypervolume, bound : float
        On the scale, above ``reference``: of the front (blends of its neighbouring plans included, which the
        concave curves attain at least), and the most any front could have.
    gap : float
        ``(bound - hypervolume) / bound``.
    reference : dict
        The lower corner of the measured box, in KPI units.
    route, why : str
        The module that found it, and why.
    solves : int
        Number of optimisation problems solved.
    """

    guarantee: Literal["global", "none"]
    hypervolume: float
    bound: float
    gap: float
    reference: Mapping[str, float]
    route: str
    why: str
    solves: int


@dataclass(frozen=True)
class Front:
    """A Pareto front under a scenario.

    Attributes
    ----------
    scenario : Scenario
        With every scale frozen to numbers.
    points : DataFrame
        One row a plan: a column for each objective KPI (expected value, in its unit over the horizon), then one
        for each line (``spend <line>``, currency over the horizon); sorted by the first KPI.
    payoff : DataFrame
        Row: the KPI optimised alone; column: the value each objective then takes.
    current : Series
        Today's value of each objective KPI.
    certificate : FrontCertificate
        How complete it provably is.
    """

    scenario: Scenario
    points: pd.DataFrame
    payoff: pd.DataFrame
    current: pd.Series
    certificate: FrontCertificate

    def spend(self, point: int) -> pd.Series:
        """Return the spend by line of one point, currency over the horizon."""
        row = self.points.iloc[point]
        return pd.Series({line: float(row[f"spend {line}"]) for line in self.scenario.lines}, name="spend")

    def _repr_html_(self) -> str:
        certificate = self.certificate
        lines = [
            f"{len(self.points)} plans from {certificate.solves} solves; {certificate.guarantee} guarantee, "
            f"hypervolume gap {certificate.gap:.2g}; money in {self.scenario.spec.currency}."
        ]
        payoff = self.payoff.rename_axis("optimised alone")
        current = self.current.to_frame().T.rename_axis("").set_axis(["today"])
        points = Block("Plans: KPIs and spend", self.points.rename_axis("point"))
        blocks = [Block("Payoff table", payoff), Block("Today", current), points]
        return card(f"Front: {self.scenario.name}", lines, blocks)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data, numbers unrounded."""
        scale = self.scenario.spec.preferences.scale
        return {
            "scenario": self.scenario.name,
            "scenario_hash": self.scenario.hash,
            "currency": self.scenario.spec.currency,
            "objectives": {
                name: {
                    "unit": self.scenario.spec.kpis[name].unit,
                    "direction": self.scenario.spec.kpis[name].direction,
                    "scale": scale.get(name),
                    "current": float(self.current[name]),
                }
                for name in self.scenario.objectives
            },
            "certificate": {key: plain(value) for key, value in asdict(self.certificate).items()},
            "payoff": records(self.payoff.rename_axis("optimised")),
            "points": records(self.points.rename_axis("point")),
        }


def non_dominated(values: np.ndarray) -> np.ndarray:
    """Return which rows no other row matches or beats on every column (higher is better): (N,) bool."""
    keep = np.ones(len(values), dtype=bool)
    for i, row in enumerate(values):
        better = np.all(values >= row, axis=1) & np.any(values > row, axis=1)
        twin = np.all(values == row, axis=1) & (np.arange(len(values)) < i)
        keep[i] = not np.any(better | twin)
    return keep
