"""Compile a scenario's rules over lines into one polyhedron, its rows named for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .constraints import MAX_IN_PERIOD, Change, ConstraintsSpec, Line, Polyhedron, Switches, chosen, describe
from .errors import SpecError

Floats = NDArray[np.float64]


class _Rows:
    """Collects rows while rules are compiled.

    Rules speak of line totals (L,) or of lines by period (L, T). With fixed flighting both come to a row over
    totals, with free flighting to a row over every line and period.
    """

    def __init__(self, shares: Floats, free: bool) -> None:
        self.shares = shares
        self.free = free
        # Of each row, where it is not zero, and what it is there.
        self.places: list[NDArray[np.int64]] = []
        self.factors: list[Floats] = []
        self.b: list[float] = []
        self.equal: list[bool] = []
        self.names: list[str] = []
        self.owner: list[int] = []

    def add(self, name: str, row: Any, bound: float, equal: bool = False, owner: int = -1) -> None:
        if name in self.names:
            raise SpecError(f"two rules are called '{name}'", "give one of them a 'name'", path=("constraints",))
        over = self._over_variables(np.asarray(row, dtype=float))
        at = np.flatnonzero(over)
        self.places.append(at)
        self.factors.append(over[at])
        self.b.append(float(bound))
        self.equal.append(equal)
        self.names.append(name)
        self.owner.append(owner)

    def _over_variables(self, row: Floats) -> Floats:
        """Return a row (L,) or (L, T) over the plan's variables: (L,), or (L * T,) with free flighting."""
        if self.free:
            by_period = row if row.ndim == 2 else np.broadcast_to(row[:, None], self.shares.shape)
            return by_period.reshape(-1)
        return row if row.ndim == 1 else (row * self.shares).sum(axis=1)

    def matrix(self) -> Any:
        """All rows as one sparse matrix."""
        from scipy import sparse

        ends = np.cumsum([0, *map(len, self.places)])
        parts = (np.concatenate(self.factors), np.concatenate(self.places), ends)
        return sparse.csr_matrix(parts, shape=(len(self.b), self.shares.size if self.free else len(self.shares)))

    def between(self, label: str, row: Any, low: float | None, high: float | None) -> None:
        """Add the rows of ``low <= row @ x <= high``."""
        if high is not None:
            self.add(f"{label}: at most {high:,g}", row, high)
        if low is not None:
            self.add(f"{label}: at least {low:,g}", -np.asarray(row, dtype=float), -low)


def compile_rules(lines: Sequence[Line], rules: ConstraintsSpec, shares: Floats, free: bool = False) -> Polyhedron:
    """Compile lines and rules into one polyhedron: over total spend by line, or by line and period.

    Parameters
    ----------
    lines : sequence of Line
        L lines.
    rules : ConstraintsSpec
        The ``constraints`` block.
    shares : (L, T)
        Share of each line's total spend by period, for rules about periods.
    free : bool
        Spend by line and period is the plan's to choose; of ``shares`` only the shape counts then.

    Raises
    ------
    SpecError
        For a selector that picks nothing, a period outside the horizon, two rules of one name, or a change
        limit on a line without current spend.
    """
    rows = _Rows(shares, free)
    money = rules.budget.amount - rules.reserve
    less = f" less {rules.reserve:,g} kept for tests" if rules.reserve else ""
    kind = "total" if rules.budget.total is not None else "at most"
    rows.add(f"budget: {kind}{less}", np.ones(len(lines)), money, equal=rules.budget.total is not None)
    for index, line in enumerate(lines):
        _line_rows(rows, index, line, len(lines), rules.change)
        if line.max_per_period is not None:
            _period_rows(rows, index, line, line.max_per_period)
    _group_rows(rows, lines, rules)
    for index, rule in enumerate(rules.shares):
        path = ("constraints", "shares", index)
        picked = chosen(rule.select, lines, (*path, "select")).astype(float)
        whole = chosen(rule.of, lines, (*path, "of")).astype(float)
        label = rule.name or f"share of {describe(rule.select)}" + (f" in {describe(rule.of)}" if rule.of else "")
        if rule.max is not None:
            rows.add(f"{label}: at most {rule.max:.1%}", picked - rule.max * whole, 0.0)
        if rule.min is not None:
            rows.add(f"{label}: at least {rule.min:.1%}", rule.min * whole - picked, 0.0)
    _pacing_rows(rows, lines, rules)
    switches = _switches(lines, rules)
    b, equal = np.array(rows.b), np.array(rows.equal)
    return Polyhedron(rows.matrix(), b, equal, tuple(rows.names), tuple(rows.owner), switches)


def _line_rows(rows: _Rows, index: int, line: Line, n_lines: int, change: Change | None) -> None:
    unit = np.eye(n_lines)[index]
    if line.locked:
        rows.add(f"{line.name}: locked", unit, line.current, True, index)
        return
    # Where a test can move it, what stops a line says so.
    whose = "" if line.limits is None else " of the evidence"
    rows.add(f"{line.name}: min{whose}", -unit, -line.min, owner=index)
    if line.max is not None:
        rows.add(f"{line.name}: max{whose}", unit, line.max, owner=index)
    limit = change if line.change is None else None if line.change == "free" else line.change
    if limit is None:
        return
    if line.current == 0 and limit.up is not None:
        raise SpecError(
            "a change limit in percent keeps a line without current spend at zero",
            f"give '{line.name}' its own 'change: free' and a max, or 'locked: true'",
            path=("lines", index, "current"),
        )
    if limit.up is not None:
        rows.add(f"{line.name}: change up {limit.up:.0%}", unit, line.current * (1 + limit.up), owner=index)
    if limit.down is not None:
        rows.add(
            f"{line.name}: change down {limit.down:.0%}", -unit, -line.current * (1 - limit.down), owner=index
        )


def _period_rows(rows: _Rows, index: int, line: Line, most: float) -> None:
    """Cap a line's spend in every period; with fixed flighting the largest period says it all."""
    for t in range(rows.shares.shape[1]) if rows.free else [int(np.argmax(rows.shares[index]))]:
        cell = np.zeros(rows.shares.shape)
        cell[index, t] = 1.0
        rows.add(f"{line.name}: {MAX_IN_PERIOD} {t + 1}", cell, most, owner=index)


def _group_rows(rows: _Rows, lines: Sequence[Line], rules: ConstraintsSpec) -> None:
    periods = rows.shares.shape[1]
    for index, rule in enumerate(rules.groups):
        path = ("constraints", "groups", index)
        picked = chosen(rule.select, lines, (*path, "select")).astype(float)
        label = rule.name or f"spend on {describe(rule.select)}"
        first, last = rule.first or 1, rule.last or periods
        if last > periods:
            raise SpecError(f"period {last} is after the last, {periods}", "mend it", path=(*path, "last"))
        if first > periods:
            raise SpecError(f"period {first} is after the last, {periods}", "mend it", path=(*path, "first"))
        if rule.name is None and (rule.first or rule.last):
            label += f" in periods {first} to {last}"
        within = np.zeros(periods)
        within[first - 1 : last] = 1.0
        rows.between(label, picked[:, None] * within, rule.min, rule.max)


def _pacing_rows(rows: _Rows, lines: Sequence[Line], rules: ConstraintsSpec) -> None:
    periods = rows.shares.shape[1]
    for index, rule in enumerate(rules.pacing):
        picked = chosen(rule.select, lines, ("constraints", "pacing", index, "select"))[:, None]
        label = f"pacing of {describe(rule.select)}"
        for t in range(1, periods):
            before, after = picked * np.eye(periods)[t - 1], picked * np.eye(periods)[t]
            if rule.up is not None:
                rows.add(f"{label}: period {t + 1} up {rule.up:.0%}", after - (1 + rule.up) * before, 0.0)
            if rule.down is not None:
                rows.add(f"{label}: period {t + 1} down {rule.down:.0%}", (1 - rule.down) * before - after, 0.0)


def _switches(lines: Sequence[Line], rules: ConstraintsSpec) -> Switches | None:
    package = np.array([line.package or 0.0 for line in lines])
    if not rules.minimum_if_on and not rules.most_on and not package.any():
        return None
    decided, least = np.zeros(len(lines), dtype=bool), np.zeros(len(lines))
    most = []
    for index, rule in enumerate(rules.minimum_if_on):
        picked = chosen(rule.select, lines, ("constraints", "minimum_if_on", index, "select"))
        decided |= picked
        least = np.where(picked, np.maximum(least, rule.amount), least)
    for index, cap in enumerate(rules.most_on):
        picked = chosen(cap.select, lines, ("constraints", "most_on", index, "select"))
        decided |= picked
        most.append((f"at most {cap.lines} on of {describe(cap.select)}", picked, cap.lines))
    names = tuple(
        f"{line.name}: at least {amount:,g} if on" if amount > 0 else ""
        for line, amount in zip(lines, least, strict=True)
    )
    packages = tuple(
        f"{line.name}: whole packages of {size:,g}" if size > 0 else ""
        for line, size in zip(lines, package, strict=True)
    )
    return Switches(decided, least, tuple(most), names, package, packages)
