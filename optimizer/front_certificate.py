"""How complete a front provably is, and what a certificate in a file must say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

Guarantee = Literal["global", "none"]


@dataclass(frozen=True)
class FrontCertificate:
    """How complete a front provably is.

    Attributes
    ----------
    guarantee : "global" or "none"
        ``global``: no plan outside the front adds more than ``gap`` of hypervolume above ``reference``. ``none``:
        that holds only for the stricter problem, or only before the points were filtered, as ``why`` says.
    hypervolume, bound : float
        On the scale, above ``reference``: of the front (blends of its neighbouring plans included where
        ``blends`` says so), and the most any front could have; NaN where nothing bounds it.
    gap : float
        ``(bound - hypervolume) / bound``.
    reference : dict
        The lower corner of the measured box, in KPI units.
    route, why : str
        The module that found it, and why.
    solves : int
        Number of optimisation problems solved.
    blends : bool
        Whether the hypervolume counts blends of neighbouring plans, which concave curves attain at least.
    ended : str
        Why the search was stopped before its gap was small enough, in words; empty where it was not.
    seed : int, optional
        Of the random numbers, where the search took any.
    """

    guarantee: Guarantee
    hypervolume: float
    bound: float
    gap: float
    reference: Mapping[str, float]
    route: str
    why: str
    solves: int
    blends: bool = False
    ended: str = ""
    seed: int | None = None


def share_missing(hypervolume: float, bound: float) -> float:
    """Return the share of a bound that is not attained; NaN where there is no bound."""
    gap = (bound - hypervolume) / bound
    return gap if math.isnan(gap) else max(0.0, gap)


def read_certificate(data: Any, names: list[str]) -> FrontCertificate:
    """Return a certificate from plain data; ValueError or TypeError where it is none."""
    found = dict(data)
    for key in ("hypervolume", "bound", "gap"):
        found[key] = math.nan if found[key] is None else float(found[key])
    sound = (
        set(found) == {field.name for field in fields(FrontCertificate)}
        and found["guarantee"] in get_args(Guarantee)
        and list(found["reference"]) == names
        and isinstance(found["blends"], bool)
        and isinstance(found["solves"], int)
        and all(isinstance(found[key], str) for key in ("route", "why", "ended"))
        and isinstance(found["seed"], int | None)
    )
    if not sound:
        raise ValueError
    return FrontCertificate(**found | {"reference": {name: float(found["reference"][name]) for name in names}})
