"""Rules that the batch kernel does not know: which plans break them, and accounts as scenarios that have them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import curves
from ..constraints import Selector
from ..errors import DataError, InfeasibleError
from . import columns
from .accounts import FIRST, SECOND, Accounts, Bools, Floats
from .rules import RulesSpec

if TYPE_CHECKING:
    from ..scenario import Scenario

# A rule is kept to this share of the money, or of the KPI, at stake.
KEPT = 1e-9


def breaks(accounts: Accounts, rules: RulesSpec, plan: Floats, planned: Floats, kpis: Floats) -> Bools:
    """Whether an account's spend breaks a share, a minimum if on or a floor.

    Parameters
    ----------
    plan : (R,)
        Spend.
    planned, kpis : (A, K), (A, K, 7)
        What the plan does, and with its first column what today's spend does.
    """
    first, owner = accounts.starts[:-1], np.repeat(np.arange(len(accounts.starts) - 1), np.diff(accounts.starts))
    near = KEPT * accounts.budget
    bad = np.zeros(len(first), dtype=bool)
    for rule in rules.shares:
        picked = np.add.reduceat(np.where(_chosen(accounts, rule.select), plan, 0.0), first)
        whole = np.add.reduceat(np.where(_chosen(accounts, rule.of), plan, 0.0), first)
        if rule.max is not None:
            bad |= picked > rule.max * whole + near
        if rule.min is not None:
            bad |= picked < rule.min * whole - near
    for least in rules.minimum_if_on:
        off = _chosen(accounts, least.select) & (plan > near[owner]) & (plan < least.amount - near[owner])
        bad |= np.logical_or.reduceat(off, first)
    for k, (name, kpi) in enumerate(rules.kpis.items()):
        if name in rules.floors:
            limit = rules.floors[name] * kpis[:, k, 0]
            room = planned[:, k] - limit if kpi.direction == "maximize" else limit - planned[:, k]
            bad |= room < -KEPT * np.abs(limit)
    return bad


def _chosen(accounts: Accounts, select: Selector | None) -> Bools:
    """Which rows a selector picks: (R,)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    picked = np.ones(len(accounts.current), dtype=bool)
    for key, wanted in (select or {}).items():
        names = [wanted] if isinstance(wanted, str) else wanted
        column = accounts.lines if key == "line" else columns.texts(accounts.table, key)
        picked &= pc.is_in(column, pa.array(names, column.type)).to_numpy(zero_copy_only=False)
    return picked


def check_selectors(names: list[str], rules: RulesSpec, file: str) -> None:
    """Refuse rules that select by an attribute which the file has no column for.

    Raises
    ------
    DataError
        Naming the attribute.
    """
    known = ["line", *columns.attributes(names)]
    selectors: list[Selector | None] = [rule.select for rule in rules.shares]
    selectors += [rule.of for rule in rules.shares] + [least.select for least in rules.minimum_if_on]
    for key in (key for select in selectors for key in (select or {})):
        if key not in known:
            raise DataError(
                f"the rules select lines by '{key}', which is no column",
                f"lines are selected by: {', '.join(known)}",
                file=file,
            )


def scenario_of(accounts: Accounts, rules: RulesSpec, a: int, today: Floats) -> Scenario:
    """Return an account as a scenario; ``today`` (K,) is what its spend does today.

    Raises
    ------
    InfeasibleError
        If a rule wants a share of lines that the account has none of.
    """
    from ..response import ResponseModel
    from ..scenario import Scenario

    rows = range(int(accounts.starts[a]), int(accounts.starts[a + 1]))
    tier = list(rules.tiers.values())[accounts.tier[a]] if rules.tiers else rules.tradeoff
    scale = {
        name: [float(value * (1.0 + end)) for end in tier.scale[name]]
        for name, value in zip(rules.kpis, today, strict=True)
        if tier.weights.get(name)
    }
    preferences: dict[str, Any] = {"scale": scale, "values": dict(tier.values)}
    preferences["weights"] = {name: weight for name, weight in tier.weights.items() if weight > 0}
    preferences["floors"] = {
        name: float(share * today[list(rules.kpis).index(name)]) for name, share in rules.floors.items()
    }
    traded = preferences["weights"] or preferences["values"] or rules.kpis
    scenario = Scenario.from_dict(
        {
            "name": rules.name,
            "currency": rules.currency,
            "horizon": {"start": "2000-01-01", "periods": 1},
            "lines": [_line(accounts, row) for row in rows],
            "kpis": {
                name: {"direction": kpi.direction, "role": "objective" if name in traded else "monitor"}
                for name, kpi in rules.kpis.items()
            },
            "response": {
                name: {accounts.lines[row].as_py(): _entry(accounts, k, row) for row in rows}
                for k, name in enumerate(rules.kpis)
            },
            "constraints": _constraints(accounts, rules, a, rows),
            "preferences": {key: value for key, value in preferences.items() if value},
        }
    )
    model: ResponseModel = scenario.response
    draws = int(accounts.draws[a])
    if draws == 1:
        return scenario
    by_draw: dict[str, Any] = {
        name: np.array([[_draws(accounts, k, slot, row, draws) for row in rows] for k in range(len(rules.kpis))])
        for slot, name in enumerate(("scale", "first", "second"))
    }
    others: dict[str, Any] = {
        name: np.repeat(getattr(model, name), draws, axis=0) for name in ("rate", "spread", "bend", "baseline")
    }
    by_draw = {name: np.ascontiguousarray(np.moveaxis(value, 2, 0)) for name, value in by_draw.items()}
    return replace(scenario, response=replace(model, **by_draw, **others))


def _line(accounts: Accounts, row: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": accounts.lines[row].as_py(),
        "current": float(accounts.current[row]),
        "min": float(accounts.lower[row]),
        "max": float(accounts.upper[row]),
    }
    for name in columns.attributes(accounts.table.column_names):
        value = accounts.table.column(name)[row].as_py()
        if value is not None and name not in ("name", "locked", "change", "price", "history"):
            found[name] = str(value)
    return found


def _draws(accounts: Accounts, k: int, slot: int, row: int, draws: int) -> Floats:
    """One parameter of a curve by draw: (D,)."""
    numbers = accounts.values[accounts.at[k, slot, row] : accounts.at[k, slot, row + 1]]
    return np.broadcast_to(numbers if len(numbers) else np.ones(1), draws)


def _entry(accounts: Accounts, k: int, row: int) -> Any:
    """A curve as a scenario writes it; by draw, its mean parameters."""
    kind = curves.NAMES[int(accounts.family[k, row])]
    if kind == "none":
        return "none"
    slots = [accounts.values[accounts.at[k, slot, row] : accounts.at[k, slot, row + 1]] for slot in range(5)]
    curve: dict[str, Any] = {"kind": kind}
    if kind == "points":
        return {"curve": {**curve, "points": [[float(x), float(y)] for x, y in zip(*slots[3:], strict=True)]}}
    curve["scale"] = float(slots[0].mean())
    if kind in FIRST:
        curve[FIRST[kind]] = float(slots[1].mean())
    if kind in SECOND:
        curve[SECOND[kind][0]] = float(slots[2].mean())
    return {"curve": curve}


def _constraints(accounts: Accounts, rules: RulesSpec, a: int, rows: range) -> dict[str, Any]:
    budget = float(accounts.budget[a])
    own = slice(rows.start, rows.stop)
    found: dict[str, Any] = {"budget": {"total" if rules.budget.spend == "all" else "max": budget}}
    shares, least = [], []
    for rule in rules.shares:
        if _chosen(accounts, rule.select)[own].any() and _chosen(accounts, rule.of)[own].any():
            shares.append(rule)
        elif rule.min:
            raise InfeasibleError(
                "the account has no line that a rule wants a share of", "add one, or leave the account out"
            )
    for minimum in rules.minimum_if_on:
        if _chosen(accounts, minimum.select)[own].any():
            least.append(minimum)
    if shares:
        found["shares"] = [_plain(rule, accounts, own) for rule in shares]
    if least:
        found["minimum_if_on"] = [_plain(rule, accounts, own) for rule in least]
    return found


def _plain(rule: Any, accounts: Accounts, rows: slice) -> dict[str, Any]:
    """A rule with its selections as the names of the account's lines: not all values need be in every account."""
    data = rule.model_dump(exclude_none=True)
    for key in ("select", "of"):
        select = getattr(rule, key, None)
        if select is not None:
            picked = _chosen(accounts, select)[rows]
            data[key] = {"line": [accounts.lines[rows.start + int(i)].as_py() for i in np.flatnonzero(picked)]}
    if "name" not in data and "amount" not in data:
        data["name"] = f"share of {_words(rule.select)}" + (f" in {_words(rule.of)}" if rule.of else "")
    return data


def _words(select: Selector) -> str:
    from ..constraints import describe

    return describe(select)
