"""What is wanted: a stated trade-off between KPIs, on one stated scale.

Every KPI speaks on its scale ``u = (f - worst) / (best - worst)``, so that neither its unit nor the size of its
numbers says how much it matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, Field, Tag, model_validator

from .documents import Spec
from .errors import SpecError
from .kpis import Kpi

Floats = NDArray[np.float64]
Ends = Annotated[list[float], Field(min_length=2, max_length=2)]
Positive = Annotated[float, Field(gt=0, le=1e15)]
# A scale narrower than this share of its own numbers turns a trivial difference into a full step.
SMALLEST_RANGE = 5e-3
# Caution on curves fitted to a history, unless told otherwise: in the closed loop's tuning worlds it makes losses
# 60 % smaller than none does and costs 1 % of the gain. 0.1 makes them a third smaller and costs nothing that can
# be measured, but of 600 held-out worlds it harmed 28, of the last 200 of them more than the 5 % allowed.
CAUTION = 0.2
MODES = ("weights", "values", "exchange", "targets", "priorities")
NEED_SCALE = ("weights", "targets")


class Floor(Spec):
    """A bound that must hold with a probability, or on average over the worst share of draws (CVaR)."""

    value: float
    probability: Annotated[float, Field(ge=0.5, lt=1)] | None = None
    cvar: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.probability is None) == (self.cvar is None):
            raise SpecError(
                "needs either 'probability' or 'cvar'",
                "probability: 0.9 holds in 90 % of draws; cvar: 0.1 holds on average over the worst 10 %",
            )
        return self


class Priority(Spec):
    """One step of a lexicographic order; later KPIs may cost this one at most ``slack`` of its best value."""

    kpi: str
    slack: Annotated[float, Field(ge=0, le=1)] = 0.0


Limit = Annotated[
    Annotated[float, Tag("number")] | Annotated[Floor, Tag("floor")],
    Discriminator(lambda limit: "floor" if isinstance(limit, dict | Floor) else "number"),
]
Step = Annotated[
    Annotated[str, Tag("name")] | Annotated[Priority, Tag("priority")],
    Discriminator(lambda step: "priority" if isinstance(step, dict | Priority) else "name"),
]
Pair = Annotated[dict[str, Positive], Field(min_length=2, max_length=2)]


class PreferencesSpec(Spec):
    """The ``preferences`` block: one trade-off, a scale where it needs one, and floors.

    Attributes
    ----------
    weights : dict
        Importance by KPI: a step over the whole of one scale against a step over the whole of another.
    values : dict
        Money that one unit of each KPI is worth; of a KPI to minimize, what one unit costs.
    exchange : list of dict
        Amounts that are worth the same: ``{policies: 100, awareness: 5}``. Together they link all objectives.
    targets : dict
        A level for each KPI in its unit; the plan brings the KPI furthest behind as far forward as it can, in
        steps of the scale.
    priorities : list
        KPIs in order; each is optimised without giving up more than the slack of those before it.
    scale : dict
        ``[worst, best]`` of each KPI in its unit, or ``payoff``: its own optimum, and its lowest value over the
        optima of the others, under the constraints without floors.
    floors : dict
        Bounds any plan must keep: least values of KPIs to maximize, most values of KPIs to minimize. A number
        bounds the expected value; ``{value, probability}`` and ``{value, cvar}`` bound it over draws.
    caution : float, optional
        Standard deviations over draws of the change from today that are taken off its mean: 0 plans on the mean
        alone. Unless given it is `CAUTION` where curves were fitted to a history, and else 0. It needs weights,
        values, exchange or a single objective.
    """

    weights: dict[str, Annotated[float, Field(ge=0, le=1e15)]] = {}
    values: dict[str, Positive] = {}
    exchange: list[Pair] = []
    targets: dict[str, float] = {}
    priorities: list[Step] = []
    scale: dict[str, Ends | Literal["payoff"]] = {}
    floors: dict[str, Limit] = {}
    caution: Annotated[float, Field(ge=0, le=2)] | None = None

    @model_validator(mode="after")
    def _one_mode(self) -> Self:
        stated = [mode for mode in MODES if getattr(self, mode)]
        if len(stated) > 1:
            raise SpecError(
                f"both {stated[0]} and {stated[1]} say how KPIs trade off", "keep one", path=(stated[1],)
            )
        return self

    @property
    def mode(self) -> str | None:
        """How the trade-off is stated, None where a single KPI needs none."""
        return next((mode for mode in MODES if getattr(self, mode)), None)

    @property
    def order(self) -> list[Priority]:
        """The priorities, each written out."""
        return [Priority(kpi=step) if isinstance(step, str) else step for step in self.priorities]

    @property
    def traded(self) -> tuple[str, ...]:
        """The KPIs that take part in the trade-off."""
        if self.exchange:
            return tuple(dict.fromkeys(name for pair in self.exchange for name in pair))
        if self.priorities:
            return tuple(step.kpi for step in self.order)
        return tuple(self.weights or self.values or self.targets)

    @property
    def worth(self) -> dict[str, float]:
        """What one unit of each KPI is worth: in money (``values``), or in units of the first (``exchange``)."""
        if not self.exchange:
            return dict(self.values)
        worth = {self.traded[0]: 1.0}
        waiting = list(self.exchange)
        while waiting:
            known = [pair for pair in waiting if any(name in worth for name in pair)]
            if not known:
                raise SpecError(
                    f"nothing links '{next(iter(waiting[0]))}' to '{self.traded[0]}'",
                    "add a pair that does",
                    path=("preferences", "exchange"),
                )
            (one, amount), (other, equal) = known[0].items()
            if one not in worth:
                (one, amount), (other, equal) = (other, equal), (one, amount)
            found = worth[one] * amount / equal
            if abs(worth.setdefault(other, found) / found - 1.0) > 1e-9:
                raise SpecError(
                    f"the pairs contradict each other on '{other}'",
                    f"{worth[other]:g} or {found:g} of '{self.traded[0]}' for one?",
                    path=("preferences", "exchange"),
                )
            waiting.remove(known[0])
        return worth


def caution_of(
    preferences: PreferencesSpec, free: bool, synergy: bool, own: bool, tails: bool, fitted: bool
) -> float | None:
    """Return the caution a scenario is planned with: as stated, else `CAUTION` on curves fitted to a history.

    Raises
    ------
    SpecError
        If caution is asked for where no sum over line totals is maximised with a proof.
    """
    chances = [limit for limit in preferences.floors.values() if isinstance(limit, Floor) and limit.probability]
    obstacle = ""
    for what, there in (
        ("targets or priorities", preferences.mode in ("targets", "priorities")),
        ("free flighting", free),
        ("synergy", synergy),
        ("functions of the user's own", own),
        ("means over the worst draws", tails),
        ("a floor with a probability", bool(chances)),
    ):
        obstacle = obstacle or (what if there else "")
    if preferences.caution and obstacle:
        raise SpecError(
            f"caution does not go with {obstacle}", "leave it out, or state 0", path=("preferences", "caution")
        )
    if preferences.caution is None and fitted and not obstacle:
        return CAUTION
    return preferences.caution


def bound(limit: float | Floor) -> float:
    """Return the number a floor bounds the KPI by."""
    return limit.value if isinstance(limit, Floor) else limit


def floor_label(name: str, limit: float | Floor, rising: bool) -> str:
    """Name a floor (or ceiling) in words."""
    text = f"{name} {'at least' if rising else 'at most'} {bound(limit):g}"
    if not isinstance(limit, Floor):
        return text
    if limit.probability is not None:
        return f"{text} with probability {limit.probability:.0%}"
    return f"{text} over the worst {limit.cvar:.0%} of draws"


def tail_weights(share: float, draws: int) -> Floats:
    """Weights of draws sorted from the worst whose sum is the mean over the worst ``share``: (D,).

    The share of a draw that straddles the edge counts in part (Rockafellar & Uryasev, J. Risk 2, 2000).
    """
    return np.clip(share * draws - np.arange(draws), 0.0, 1.0) / (share * draws)


def measure(limit: float | Floor, values: Floats, rising: bool) -> float:
    """Return what a floor compares with its number, from a KPI's draws (D,).

    A plain number: the mean. ``cvar``: the mean over the worst draws. ``probability`` p: the best level that at
    least a share p of the draws reach.
    """
    if not isinstance(limit, Floor):
        return float(values.mean())
    worst_first = np.sort(values) if rising else np.sort(values)[::-1]
    if limit.cvar is not None:
        return float(tail_weights(limit.cvar, len(values)) @ worst_first)
    missed = int(np.floor((1 - float(limit.probability or 0.0)) * len(values) + 1e-9))
    return float(worst_first[min(missed, len(values) - 1)])


def objectives(kpis: Mapping[str, Kpi], preferences: PreferencesSpec) -> tuple[str, ...]:
    """Return the KPIs to optimise, after checking that the trade-off between them is stated.

    Raises
    ------
    SpecError
        For an unknown KPI, a KPI without a direction, a KPI traded off whose role says otherwise, weights that
        sum to zero, a weight or target without a scale, a scale that runs against the direction or is too
        narrow, or two objectives with no stated trade-off.
    """
    _check_names(kpis, preferences)
    _check_scale(kpis, preferences)
    if preferences.weights and sum(preferences.weights.values()) <= 0:
        raise SpecError("the weights sum to zero", "make one positive", path=("preferences", "weights"))
    traded = preferences.traded
    wanted = [
        name
        for name, kpi in kpis.items()
        if kpi.direction is not None
        and (kpi.role == "objective" or (kpi.role is None and name not in preferences.floors))
    ]
    if not traded and len(wanted) == 1:
        return (wanted[0],)
    if not wanted and not traded:
        raise SpecError("no KPI to optimise", "give one KPI a direction: maximize or minimize", path=("kpis",))
    if not traded:
        raise SpecError(
            f"no trade-off is stated between {' and '.join(wanted)}",
            "add preferences.weights with a scale, or give all but one a floor or 'role: monitor'",
            path=("preferences",),
        )
    for name in wanted:
        if name not in traded:
            raise SpecError(
                f"'{name}' has a direction but no part in the trade-off",
                f"give it a place in preferences.{preferences.mode}, a floor, or 'role: monitor'",
                path=("kpis", name),
            )
    # Working the worths out refuses pairs that contradict each other or leave a KPI out.
    _ = preferences.worth
    return traded


def _check_names(kpis: Mapping[str, Kpi], preferences: PreferencesSpec) -> None:
    named: list[tuple[str, tuple[str | int, ...]]] = []
    for block in ("weights", "values", "targets", "scale", "floors"):
        named += [(name, ("preferences", block, name)) for name in getattr(preferences, block)]
    for index, pair in enumerate(preferences.exchange):
        named += [(name, ("preferences", "exchange", index, name)) for name in pair]
    for index, step in enumerate(preferences.order):
        named.append((step.kpi, ("preferences", "priorities", index)))
    for name, path in named:
        if name not in kpis:
            raise SpecError(f"unknown KPI '{name}'", f"KPIs are: {', '.join(kpis)}", path=path)
        if kpis[name].direction is None:
            raise SpecError(f"'{name}' has no direction", "add direction: maximize or minimize to it", path=path)
        role = kpis[name].role
        if path[1] in MODES and role not in (None, "objective"):
            raise SpecError(
                f"'{name}' is traded off but its role is {role}",
                f"take it out of {path[1]}, or set role: objective",
                path=path,
            )
    for name, worth in preferences.values.items():
        known = kpis[name].value
        if known is not None and known != worth:
            raise SpecError(
                f"one unit of '{name}' is worth {worth:g} here and {known:g} in its definition",
                f"mend one of the two (kpis.{name}.value)",
                path=("preferences", "values", name),
            )
    steps = [step.kpi for step in preferences.order]
    for index, name in enumerate(steps):
        if name in steps[:index]:
            raise SpecError(f"'{name}' comes twice", "keep one", path=("preferences", "priorities", index))


def _check_scale(kpis: Mapping[str, Kpi], preferences: PreferencesSpec) -> None:
    if preferences.mode in NEED_SCALE and len(preferences.traded) > 1:
        for name in preferences.traded:
            if name not in preferences.scale:
                raise SpecError(
                    f"'{name}' has a {str(preferences.mode)[:-1]} but no scale",
                    f"add preferences.scale.{name}: [worst, best], or payoff",
                    path=("preferences", str(preferences.mode), name),
                )
    for name, ends in preferences.scale.items():
        if ends == "payoff":
            continue
        worst, best = ends
        rising = kpis[name].direction == "maximize"
        path = ("preferences", "scale", name)
        if (best > worst) != rising or best == worst:
            raise SpecError(
                f"[{worst:g}, {best:g}] is not from worst to best for a KPI to {kpis[name].direction}",
                "write [worst, best]",
                path=path,
            )
        check_range(name, float(worst), float(best), path)


def check_range(name: str, worst: float, best: float, path: Sequence[str]) -> None:
    """Refuse a scale too narrow to carry a trade-off (`SMALLEST_RANGE` of its own numbers)."""
    size = max(abs(worst), abs(best))
    if abs(best - worst) < SMALLEST_RANGE * size:
        raise SpecError(
            f"the scale of '{name}', {worst:g} to {best:g}, is narrower than {SMALLEST_RANGE:.1%} of its values: "
            "a trivial difference would count like a full step",
            "pin a scale that means something, or make the KPI a guardrail or a monitor",
            path=path,
        )
