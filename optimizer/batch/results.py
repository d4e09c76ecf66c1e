"""What is written for a chunk: tables of accounts, lines, moves and failures, and its part of the summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..decisions import LEVELS, MEASURES, highest, levels, reasons
from ..plan import BINDING
from .accounts import Accounts, Floats, Ints
from .rules import RulesSpec
from .solving import Solved

KINDS = ("accounts", "lines", "moves", "failed")
STOPS = ("", "fixed", "min", "change down", "max", "change up")


@dataclass(frozen=True)
class Chunk:
    """The result of one chunk: Arrow tables by kind (`KINDS`), and what it adds to the summary."""

    tables: dict[str, Any]
    summary: dict[str, Any]


def tabulate(accounts: Accounts, rules: RulesSpec, solved: Solved) -> Chunk:
    """Write a chunk's result as tables."""
    import pyarrow as pa

    kept = np.flatnonzero(solved.wanted)
    rows = np.flatnonzero(np.repeat(solved.wanted, np.diff(accounts.starts)))
    measures = measured(accounts, solved)
    asked = levels(measures, rules.decisions)
    level = highest(asked)
    stops = _stops(accounts, rules, solved)
    tables = {
        "accounts": _accounts(accounts, rules, solved, measures, asked, level, stops).take(kept),
        "lines": _lines(accounts, rules, solved, stops).take(rows),
        "moves": _moves(accounts, solved),
        "failed": pa.table(
            {
                "account": accounts.names.take(pa.array(sorted(accounts.faults), pa.int64())),
                "reason": pa.array([accounts.faults[a] for a in sorted(accounts.faults)], pa.string()),
            }
        ),
    }
    return Chunk(tables, _summary(accounts, rules, solved, level, kept))


def measured(accounts: Accounts, solved: Solved) -> dict[str, Floats]:
    """The measures of risk of each account (A,), by name; NaN where not known."""
    from .. import kernels_accounts as entries

    first, plan = accounts.starts[:-1], solved.plan
    step = plan - accounts.current
    moved = np.maximum(_sums(np.maximum(step, 0.0), first), _sums(np.maximum(-step, 0.0), first))
    low, high = accounts.observed
    beyond = np.maximum(plan - high, 0.0) + np.maximum(np.nan_to_num(low) - plan, 0.0)
    kpis = solved.kpis
    with np.errstate(divide="ignore", invalid="ignore"):
        width = (kpis[:, :, entries.CHANGE_HIGH] - kpis[:, :, entries.CHANGE_LOW]) / kpis[:, :, entries.TODAY]
        spend = _sums(plan, first)
        return {
            "shift": moved / _sums(accounts.current, first),
            "spend_at_risk": moved,
            "extrapolation": np.where(spend > 0, _sums(beyond, first) / spend, 0.0),
            "interval": np.max(np.where(kpis[:, :, entries.TODAY] > 0, width, np.nan), axis=1),
            "guardrail": accounts.guardrail,
            "data_quality": accounts.quality,
        }


def _sums(values: Floats, first: Ints) -> Floats:
    return np.add.reduceat(values, first) if len(first) else np.zeros(0)


def _accounts(
    accounts: Accounts,
    rules: RulesSpec,
    solved: Solved,
    measures: dict[str, Floats],
    asked: Any,
    level: Ints,
    stops: Ints,
) -> Any:
    import pyarrow as pa

    from .. import kernels_accounts as entries

    first, found = accounts.starts[:-1], solved.found
    unit, was = found[:, entries.UNIT], found[:, entries.WAS]
    columns: dict[str, Any] = {
        "account": accounts.names,
        "level": pa.array(np.array(LEVELS, dtype=object)[level], pa.string()),
        "reasons": _reasons(asked, rules),
        "spend_today": _sums(accounts.current, first),
        "spend": _sums(solved.plan, first),
        "budget": accounts.budget,
        "gain": (found[:, entries.IS] - was) / unit,
        "most_gain": (found[:, entries.BOUND] - was) / unit,
        "gap": (found[:, entries.BOUND] - found[:, entries.IS]) / unit,
        "guarantee": pa.array(solved.guarantees, pa.string()),
        "route": pa.array(solved.routes, pa.string()),
        "p_improvement": _number(found[:, entries.BETTER]),
    }
    named = ("today", "expected", "low", "high", "change_low", "change_high", "p_better")
    for k, kpi in enumerate(rules.kpis):
        columns |= {f"{kpi}.{name}": _number(solved.kpis[:, k, place]) for place, name in enumerate(named)}
    columns |= {name: _number(measures[name]) for name in MEASURES if name != "guardrail"}
    states = np.array(["green", "yellow", "red", ""], dtype=object)
    state = states[np.where(np.isnan(accounts.guardrail), 3, accounts.guardrail).astype(np.int64)]
    columns["guardrail"] = pa.array(state, pa.string())
    columns["binding"] = _binding(accounts, solved, stops)
    return pa.table(columns)


def _number(values: Floats) -> Any:
    """Numbers with NaN as null: nothing is known there."""
    import pyarrow as pa

    return pa.array(values, pa.float64(), from_pandas=True)


def _reasons(asked: Any, rules: RulesSpec) -> Any:
    """Why each account's level is what it is: lists of text, each combination worded once."""
    import pyarrow as pa

    code = asked.astype(np.int64) @ (2 * len(LEVELS)) ** np.arange(len(MEASURES))
    _, place, kind = np.unique(code, return_index=True, return_inverse=True)
    words = [reasons(asked[at], rules.decisions) for at in place]
    return pa.array(words, pa.list_(pa.string())).take(pa.array(kind.ravel()))


def _stops(accounts: Accounts, rules: RulesSpec, solved: Solved) -> Ints:
    """Which end of its range stops each line, as an index of `STOPS`: (R,)."""
    near = BINDING * np.repeat(accounts.budget, np.diff(accounts.starts))
    low, high, plan = accounts.lower, accounts.upper, solved.plan
    change = rules.change
    down = np.zeros(len(plan), dtype=bool) if change is None or change.down is None else low > accounts.own_lower
    step_up = np.inf if change is None or change.up is None else accounts.current * (1.0 + change.up)
    own = np.minimum(accounts.own_upper, step_up)
    stopped = np.zeros(len(plan), np.int64)
    at_low, at_high = (plan <= low + near) & (low > 0), (plan >= high - near) & (own <= high + near)
    stopped[at_high] = 4
    stopped[at_high & (step_up < accounts.own_upper)] = 5
    stopped[at_low] = 2
    stopped[at_low & down] = 3
    stopped[(high - low <= near) & (own <= high + near)] = 1
    return stopped


def _binding(accounts: Accounts, solved: Solved, stops: Ints) -> Any:
    """The rules that bind by account: lists of text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    stopped = np.flatnonzero(stops)
    text = pc.binary_join_element_wise(
        accounts.lines.take(pa.array(stopped)), pa.array(STOPS).take(pa.array(stops[stopped])), ": "
    )
    offsets = np.searchsorted(stopped, accounts.starts).astype(np.int32)
    found = pa.ListArray.from_arrays(pa.array(offsets), text)
    if not solved.binding:
        return found
    lists = found.to_pylist()
    for a, names in solved.binding.items():
        lists[a] = [*names, *lists[a]]
    return pa.array(lists, pa.list_(pa.string()))


def _lines(accounts: Accounts, rules: RulesSpec, solved: Solved, stops: Ints) -> Any:
    import pyarrow as pa

    plan = solved.plan
    low, high = accounts.observed
    with np.errstate(invalid="ignore"):
        beyond = np.where(plan > high, 1, np.where(plan < low, 2, 0))
    columns: dict[str, Any] = {
        "account": accounts.names.take(
            pa.array(np.repeat(np.arange(len(accounts.starts) - 1), np.diff(accounts.starts)))
        ),
        "line": accounts.lines,
        "current": accounts.current,
        "plan": plan,
        "difference": plan - accounts.current,
        "lower": accounts.lower,
        "upper": accounts.upper,
        "stopped_by": pa.array(STOPS).take(pa.array(stops)),
        "beyond_observed": pa.array(["", "above", "below"]).take(pa.array(beyond)),
    }
    for k, kpi in enumerate(rules.kpis):
        columns[f"{kpi}.marginal_today"] = 1000.0 * solved.marginal[0, k]
        columns[f"{kpi}.marginal"] = 1000.0 * solved.marginal[1, k]
    return pa.table(columns)


def _moves(accounts: Accounts, solved: Solved) -> Any:
    """One row a move; money that leaves or joins the budget comes from or goes to a line without a name."""
    import pyarrow as pa

    from .. import kernels_accounts as entries

    rows, n = len(accounts.current), len(accounts.starts) - 1
    count, giver, taker = np.zeros(n, np.int64), np.full(rows, -1), np.full(rows, -1)
    amount = np.zeros(rows)
    entries.find_moves(solved.wanted, accounts.starts, accounts.current, solved.plan, count, giver, taker, amount)
    owner = np.repeat(np.arange(n), count)
    at = accounts.starts[:-1][owner] + np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)

    def names(places: Ints) -> Any:
        return accounts.lines.take(pa.array(places, mask=places < 0))

    return pa.table(
        {
            "account": accounts.names.take(pa.array(owner)),
            "from": names(giver[at]),
            "to": names(taker[at]),
            "amount": amount[at],
        }
    )


def _summary(accounts: Accounts, rules: RulesSpec, solved: Solved, level: Ints, kept: Ints) -> dict[str, Any]:
    """Counts and sums of the solved accounts; sums are over accounts, KPI by KPI."""
    from .. import kernels_accounts as entries

    gap = (solved.found[kept, entries.BOUND] - solved.found[kept, entries.IS]) / solved.found[kept, entries.UNIT]
    moved = measured(accounts, solved)["spend_at_risk"][kept]
    routes, counts = np.unique(solved.routes[kept].astype(str), return_counts=True)
    return {
        "accounts": len(accounts.starts) - 1,
        "lines": len(accounts.current),
        "solved": len(kept),
        "failed": len(accounts.faults),
        "levels": {name: int(np.sum(level[kept] == i)) for i, name in enumerate(LEVELS)},
        "routes": dict(zip(routes.tolist(), counts.tolist(), strict=True)),
        "largest_gap": float(np.max(gap, initial=0.0)),
        "moved": float(np.sum(moved)),
        "spend_today": float(np.sum(_sums(accounts.current, accounts.starts[:-1])[kept])),
        "kpis": {
            kpi: {
                "today": float(np.sum(solved.kpis[kept, k, entries.TODAY])),
                "expected": float(np.sum(solved.kpis[kept, k, entries.PLANNED])),
            }
            for k, kpi in enumerate(rules.kpis)
        },
    }


def total(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Add up the chunks' summaries, in their order."""
    found: dict[str, Any] = {}
    for summary in summaries:
        found = _added(found, summary)
    return found


def _added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    found = dict(one)
    for key, value in other.items():
        if isinstance(value, dict):
            found[key] = _added(found.get(key, {}), value)
        elif key == "largest_gap":
            found[key] = max(found.get(key, 0.0), value)
        else:
            found[key] = found.get(key, 0) + value
    return found
