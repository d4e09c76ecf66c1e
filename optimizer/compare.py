"""Scenarios compared: plans on one scale, paired differences, what moved, what drives it, and regret."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from . import changes
from .differences import Alone, alike, change_effects, kpi_differences, line_flows, line_moves
from .errors import OptimizerError, SpecError
from .markup import Block, card
from .plan import INTERVAL, Plan, plain, records
from .regret import regret_table
from .scenario import Scenario
from .solve.jobs import solve_all
from .solve.routes import frozen

TABLES = ("summary", "differences", "moves", "flows", "drivers", "regret", "failed")


@dataclass(frozen=True)
class Comparison:
    """Scenarios and their plans, held against the first of them, the base.

    Attributes
    ----------
    plans : dict of Plan
        By scenario name, the base first; without those that failed.
    summary : DataFrame
        By scenario: ``budget``, ``spend`` (currency over the horizon), ``value`` (the objective, in ``measure``),
        ``gap``, ``guarantee``, then the expected value of each of the base's KPIs.
    differences : DataFrame
        By scenario and KPI, each against the base: ``base``, ``planned`` (expected), ``difference``, ``low``,
        ``high`` (90 % interval of the difference, draw by draw; NaN with one draw), ``change`` (a share),
        ``p_better`` (share of draws in which the scenario is better; NaN with one draw, or where none differs),
        ``unit``, ``direction``, ``draws`` (``same``: paired; ``independent``: each with each, the two resting
        on different response files; ``one``) and ``driver`` (the change that moves the KPI most).
    moves : DataFrame
        By scenario and line: ``base``, ``planned``, ``difference`` (currency), ``share_base``, ``share`` (of
        spend).
    flows : DataFrame
        By scenario, ``from`` and ``to``: ``amount`` (currency). Each line that gains takes from every line that
        loses in proportion, spend in all from or to a row of its own.
    drivers : DataFrame
        By scenario and ``change``: what each change alone does to each KPI's expected value, all ``together``,
        and the ``interaction``: what they do together beyond their sum. ``error`` where a change does not stand
        alone or has no plan.
    regret : DataFrame
        By ``plan`` and ``scenario``: ``value`` of the plan under the scenario's response and preferences, ``best``
        (of the scenario's own plan), ``regret`` (how much worse than it), ``measure``, ``allowed`` and ``broken``
        (the scenario's rules the plan does not keep). A plan that is not allowed may come out ahead.
    failed : DataFrame
        By scenario: ``error`` and ``hint``.
    notes : tuple of str
        What could not be compared.
    """

    plans: Mapping[str, Plan]
    summary: pd.DataFrame
    differences: pd.DataFrame
    moves: pd.DataFrame
    flows: pd.DataFrame
    drivers: pd.DataFrame
    regret: pd.DataFrame
    failed: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def base(self) -> Plan:
        """The plan all others are held against."""
        return next(iter(self.plans.values()))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data, numbers unrounded; NaN becomes null."""
        scenario = self.base.scenario
        return {
            "base": scenario.name,
            "currency": scenario.spec.currency,
            "interval": INTERVAL,
            "scale": {name: plain(ends) for name, ends in scenario.spec.preferences.scale.items()},
            "notes": list(self.notes),
            "plans": {name: plan.to_dict() for name, plan in self.plans.items()},
            **{name: records(flat(getattr(self, name))) for name in TABLES},
        }

    def _repr_html_(self) -> str:
        lines = [
            f"{len(self.plans)} plans on the scale of the first; money in {self.base.scenario.spec.currency}."
        ]
        blocks = [
            Block("Plans", self.summary),
            Block(
                f"Differences from the base, {INTERVAL:.0%} interval",
                self.differences,
                ("difference", "low", "high"),
            ),
            Block("What moved, by line", self.moves, ("difference",)),
            Block("What each change does alone", self.drivers, tuple(self.drivers.columns)),
            Block("Regret of each plan under each scenario", self.regret),
            Block("Without a plan", self.failed),
        ]
        return card(f"Comparison with {self.base.scenario.name}", [*lines, *self.notes], blocks)


def flat(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the first level of its index alone as the index, the others as columns."""
    levels = table.index.names[1:]
    return table.reset_index(level=levels) if levels else table


def compare(
    scenarios: Sequence[Scenario],
    *,
    workers: int | None = 1,
    keep: str | Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> Comparison:
    """Plan scenarios on the scale of the first, and hold them against it.

    Parameters
    ----------
    scenarios : sequence of Scenario
        The base first. Scales given as ``payoff`` are the base's.
    workers, keep, progress
        Processes, a directory that lets an interrupted comparison go on, and a call with the share of the work
        done; see `solve.jobs.solve_all`.

    Returns
    -------
    Comparison
        Scenarios without a plan are listed with their error.

    Raises
    ------
    SpecError
        If no scenario is given, or two have the same name.
    OptimizerError
        If the base has no plan.
    """
    names = [scenario.name for scenario in scenarios]
    twice = [name for index, name in enumerate(names) if name in names[:index]]
    if not names or twice:
        what = f"two scenarios are called '{twice[0]}'" if twice else "no scenario is given"
        raise SpecError(what, "give each its own name" if twice else "name the base first")
    base = frozen(scenarios[0])
    ready: dict[str, Scenario] = {base.name: base}
    errors: dict[str, OptimizerError] = {}
    for scenario in scenarios[1:]:
        try:
            ready[scenario.name] = _on_scale(base, scenario)
        except OptimizerError as error:
            errors[scenario.name] = error
    singles, broken = _singles(base, ready)
    # What each change does alone is found beside the scenarios themselves: all are independent.
    asked = [*ready.values(), *singles.values()]
    results = solve_all(asked, workers=workers, keep=None if keep is None else Path(keep), progress=progress)
    plans: dict[str, Plan] = {}
    for name, result in zip(ready, results, strict=False):
        if isinstance(result, Plan):
            plans[name] = result
        elif name == base.name:
            raise result
        else:
            errors[name] = result
    alone = dict(zip(singles, results[len(ready) :], strict=True)) | broken
    return _tables(plans, alone, {name: errors[name] for name in names if name in errors})


def _tables(plans: dict[str, Plan], alone: Alone, errors: Mapping[str, OptimizerError]) -> Comparison:
    first, *rest = plans
    base, others = plans[first], {name: plans[name] for name in rest}
    drivers, moves = change_effects(base, others, alone), line_moves(base, others)
    failed = [(name, error.message, error.hint) for name, error in errors.items()]
    return Comparison(
        plans,
        _summary(plans),
        kpi_differences(base, others, drivers),
        moves,
        line_flows(moves),
        drivers,
        regret_table(plans),
        pd.DataFrame(failed, columns=["scenario", "error", "hint"]).set_index("scenario"),
        tuple(_notes(plans)),
    )


def _on_scale(base: Scenario, scenario: Scenario) -> Scenario:
    """The scenario with the base's scale.

    Raises
    ------
    SpecError
        If it states another one, or is in another currency.
    """
    if scenario.spec.currency != base.spec.currency:
        what = f"is in {scenario.spec.currency}, the base in {base.spec.currency}"
        raise SpecError(what, "state both in one currency", path=("currency",))
    for name, ends in scenario.spec.preferences.scale.items():
        known = base.spec.preferences.scale.get(name)
        if known is not None and ends not in ("payoff", known):
            raise SpecError(
                f"'{name}' has another scale than in the base, so that weights mean something else",
                f"take the base's: {known}",
                path=("preferences", "scale", name),
            )
    return frozen(replace(scenario, base=base))


def _singles(
    base: Scenario, ready: Mapping[str, Scenario]
) -> tuple[dict[tuple[str, str], Scenario], dict[tuple[str, str], OptimizerError]]:
    """For scenarios that change several things: the base with one of them at a time."""
    made: dict[tuple[str, str], Scenario] = {}
    broken: dict[tuple[str, str], OptimizerError] = {}
    for scenario in list(ready.values())[1:]:
        blocks = changes.changed(base, scenario)
        for block in blocks if len(blocks) > 1 else ():
            try:
                made[scenario.name, block] = frozen(changes.alone(base, scenario, block))
            except OptimizerError as error:
                broken[scenario.name, block] = error
    return made, broken


def _notes(plans: Mapping[str, Plan]) -> list[str]:
    base, found = next(iter(plans.values())), []
    for plan in list(plans.values())[1:]:
        name, spec, own = plan.scenario.name, plan.scenario.spec, base.scenario.spec
        apart = [kpi for kpi in {**own.kpis, **spec.kpis} if kpi not in alike(base, plan)]
        if apart:
            found.append(f"{name}: {', '.join(apart)} cannot be compared, not being the same KPIs as in the base.")
        if (spec.horizon.periods, spec.horizon.every) != (own.horizon.periods, own.horizon.every):
            found.append(f"{name} covers another length of time than the base: totals are not alike.")
    return found


def _summary(plans: Mapping[str, Plan]) -> pd.DataFrame:
    base, rows = next(iter(plans.values())), {}
    for name, plan in plans.items():
        certificate, expected = plan.certificate, plan.outcomes["expected"]
        rows[name] = {
            "budget": plan.scenario.spec.constraints.budget.amount,
            "spend": float(plan.totals.sum()),
            "value": certificate.value,
            "measure": certificate.measure,
            "gap": certificate.gap,
            "guarantee": certificate.guarantee,
            **{kpi: float(expected[kpi]) for kpi in alike(base, plan)},
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("scenario")
