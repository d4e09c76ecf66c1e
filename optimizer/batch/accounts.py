"""A chunk of accounts as arrays, and what is wrong with those that cannot be solved.

A: accounts, R: rows (a line of an account each), K: KPIs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import curves
from ..decisions import STATES
from . import columns
from .columns import Numbers
from .rules import RulesSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MOST = 1e15
LEAST = 1e-30
# A budget may miss what the lines' ranges allow by this share: rounding.
NEAR = 1e-12
CODES = {name: family.code for name, family in curves.FAMILIES.items()}
# Where a family's parameters stand in a curve: its columns, and the most each may be.
SECOND = {"hill": ("slope", 20.0), "power": ("exponent", 1.0)}
FIRST = {"hill": "half", "michaelis_menten": "half", "logistic": "half", "tanh": "half", "log1p": "knee"}


@dataclass
class Accounts:
    """A chunk of accounts; the lines of an account stand together, by name.

    Attributes
    ----------
    names, lines : Arrow arrays
        Names of accounts (A,) and of lines (R,).
    starts : (A + 1,)
        First row of each account.
    current, lower, upper, budget : (R,), (R,), (R,), (A,)
        Currency.
    own_lower, own_upper : (R,)
        What ``min`` and ``max`` say, without step limits.
    observed : (2, R)
        Lowest and highest spend seen; NaN where not known.
    tier, draws, guardrail, quality : (A,)
        The tier's place in the rules, draws of its curves, `STATES` of the guardrail, 0 to 1; NaN where not known.
    family, at, values : (K, R), (K, 5, R + 1), flat
        Curves, as `kernels_batch` reads them.
    faults : dict
        The first fault of each account that has one, in words, by the account's place.
    """

    names: Any
    lines: Any
    starts: Ints
    table: Any
    current: Floats
    own_lower: Floats
    own_upper: Floats
    lower: Floats
    upper: Floats
    budget: Floats
    observed: Floats
    tier: Ints
    draws: Ints
    guardrail: Floats
    quality: Floats
    family: Ints
    at: Ints
    values: Floats
    faults: dict[int, str] = field(default_factory=dict)

    @property
    def sound(self) -> Bools:
        """Accounts without a fault: (A,)."""
        found = np.ones(len(self.starts) - 1, dtype=bool)
        found[list(self.faults)] = False
        return found


def read_accounts(table: Any, rules: RulesSpec) -> Accounts:
    """Turn a chunk's rows into arrays, and note the accounts that cannot be solved, each with the reason."""
    table, starts = _sorted(table)
    return _Reader(table, starts, rules).read()


def _sorted(table: Any) -> tuple[Any, Ints]:
    """The rows with accounts in the order they first come in and lines by name, and each account's first row."""
    import pyarrow.compute as pc

    account = pc.dictionary_encode(columns.texts(table, "account"))
    code = account.indices.to_numpy(zero_copy_only=False)
    line = pc.dictionary_encode(columns.texts(table, "line"))
    rank = np.empty(len(line.dictionary), np.int64)
    rank[pc.sort_indices(line.dictionary).to_numpy()] = np.arange(len(rank))
    order = np.lexsort((rank[line.indices.to_numpy(zero_copy_only=False)], code))
    if np.any(order[1:] < order[:-1]):
        table = table.take(order)
    return table, np.concatenate([[0], np.cumsum(np.bincount(code, minlength=len(account.dictionary)))])


class _Reader:
    """Reads one chunk; faults are noted in the order of the checks, one an account."""

    def __init__(self, table: Any, starts: Ints, rules: RulesSpec) -> None:
        self.table, self.starts, self.rules = table, starts, rules
        self.owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        self.lines = columns.texts(table, "line")
        self.faults: dict[int, str] = {}

    def blame(self, bad: Bools, says: str | Callable[[int], str], about_line: bool = True) -> None:
        """Note a fault of the accounts of bad rows (R,)."""
        for row in np.flatnonzero(bad):
            account = int(self.owner[row])
            if account not in self.faults:
                text = says if isinstance(says, str) else says(int(row))
                line = f"line '{self.lines[row].as_py()}': " if about_line else ""
                self.faults[account] = line + text

    def read(self) -> Accounts:
        rules, starts = self.rules, self.starts
        names = columns.texts(self.table, "account").take(starts[:-1])
        self._check_names()
        self._mapped("currency", {"": 0.0, rules.currency: 0.0}, f"is not the rules' {rules.currency}")
        tier = self._tiers()
        guardrail, quality = self._states(), self._quality()
        current = self._amount("current", np.nan)
        self.blame(np.isnan(current), "current is missing")
        low, high = self._amount("min", 0.0), self._amount("max", MOST)
        self.blame(low > high, lambda row: f"min {low[row]:,g} is above max {high[row]:,g}")
        seen = np.stack([self._amount("observed_low", np.nan), self._amount("observed_high", np.nan)])
        self.blame(seen[0] > seen[1], "observed_low is above observed_high")
        draws, family, at, values = self._curves()
        budget, lower, upper = self._ranges(current, low, high)
        return Accounts(
            names,
            self.lines,
            starts,
            self.table,
            current,
            low,
            high,
            lower,
            upper,
            budget,
            seen,
            tier,
            draws,
            guardrail,
            quality,
            family,
            at,
            values,
            self.faults,
        )

    def _check_names(self) -> None:
        import pyarrow.compute as pc

        for column in columns.NAMES:
            empty = pc.equal(columns.texts(self.table, column), "").to_numpy(zero_copy_only=False)
            self.blame(empty, f"the {column} has no name", about_line=False)
        code = pc.dictionary_encode(self.lines).indices.to_numpy(zero_copy_only=False)
        again = np.zeros(len(code), dtype=bool)
        again[1:] = (code[1:] == code[:-1]) & (self.owner[1:] == self.owner[:-1])
        self.blame(again, "comes twice")

    def _mapped(self, column: str, known: Mapping[str, float], says: str) -> Floats:
        """What a text stands for that is the same in all rows of an account: (A,); ``known`` says for which."""
        import pyarrow.compute as pc

        encoded = pc.dictionary_encode(columns.texts(self.table, column))
        code = encoded.indices.to_numpy(zero_copy_only=False)
        first, words = code[self.starts[:-1]][self.owner], encoded.dictionary.to_pylist()
        self.blame(
            code != first, lambda row: f"{column} '{words[code[row]]}', but '{words[first[row]]}' on another line"
        )
        odd = np.array([word not in known for word in words], dtype=bool)
        self.blame(odd[first], lambda row: f"{column} '{words[first[row]]}' {says}", about_line=False)
        return np.array([known.get(word, -1.0) for word in words])[code[self.starts[:-1]]]

    def _tiers(self) -> Ints:
        tiers = list(self.rules.tiers)
        if not tiers:
            return np.zeros(len(self.starts) - 1, np.int64)
        places = {name: float(place) for place, name in enumerate(tiers)}
        return self._mapped("tier", places, "is none of the rules'").astype(np.int64)

    def _states(self) -> Floats:
        return self._mapped("guardrail", {"": np.nan, **STATES}, f"is none of {', '.join(STATES)}")

    def _quality(self) -> Floats:
        found = self._amount("data_quality", np.nan)
        self.blame(found > 1.0, "data_quality is above 1")
        first = found[self.starts[:-1]]
        same = (found == first[self.owner]) | (np.isnan(found) & np.isnan(first[self.owner]))
        self.blame(~same, "data_quality differs from that of another line")
        return first

    def _amount(self, column: str, without: float) -> Floats:
        """One number of zero or more a row (R,); ``without`` where the cell is empty."""
        cells = columns.numbers(self.table, column)
        found, odd = cells.single()
        empty = cells.counts == 0
        self.blame(odd & ~empty, f"{column} holds several numbers")
        self.blame(~empty & ~odd & ~np.isfinite(found), f"{column} is not a finite number")
        self.blame(found < 0, lambda row: f"{column} {found[row]:,g} is negative")
        self.blame(np.isfinite(found) & (found > MOST), f"{column} is above {MOST:g}")
        return np.where(empty, without, found)

    def _curves(self) -> tuple[Ints, Ints, Ints, Floats]:
        """Draws (A,), families (K, R), and where the curves' numbers are."""
        rows, n_kpis = self.table.num_rows, len(self.rules.kpis)
        family, at = np.zeros((n_kpis, rows), np.int64), np.zeros((n_kpis, 5, rows + 1), np.int64)
        values, base = [np.zeros(0)], 0
        draws = np.ones(len(self.starts) - 1, np.int64)
        for k, kpi in enumerate(self.rules.kpis):
            family[k] = self._families(kpi)
            for slot, cells in enumerate(self._numbers_of(kpi, family[k])):
                at[k, slot] = cells.at + base
                values.append(cells.values)
                base += len(cells.values)
                if slot < 3:
                    draws = np.maximum(draws, np.maximum.reduceat(cells.counts, self.starts[:-1]))
        for k, kpi in enumerate(self.rules.kpis):
            for slot in range(3):
                self._check_draws(kpi, np.diff(at[k, slot]), draws[self.owner])
        return draws, family, at, np.concatenate(values)

    def _check_draws(self, kpi: str, count: Ints, draws: Ints) -> None:
        self.blame(
            (count > 1) & (count != draws),
            lambda row: f"{kpi} has {count[row]} draws where the account has {draws[row]}",
        )

    def _families(self, kpi: str) -> Ints:
        import pyarrow.compute as pc

        kinds = pc.dictionary_encode(columns.texts(self.table, f"{kpi}.kind"))
        known = kinds.dictionary.to_pylist()
        code = np.array([CODES.get(name, -1) for name in known] or [0])[
            kinds.indices.to_numpy(zero_copy_only=False)
        ]
        self.blame(
            code < 0,
            lambda row: f"{kpi}.kind '{known[kinds.indices[row].as_py()]}' is none of {', '.join(CODES)}",
        )
        return np.maximum(code, 0)

    def _numbers_of(self, kpi: str, family: Ints) -> list[Numbers]:
        """Scale, first and second parameter, spend and effect of points; checked."""
        is_points, there = family == CODES["points"], family > 0
        scale = columns.numbers(self.table, f"{kpi}.scale")
        self._check(scale, f"{kpi}.scale", there & ~is_points, 0.0, MOST)
        first = self._slot(kpi, family, FIRST, dict.fromkeys(FIRST.values(), MOST))
        second = self._slot(
            kpi, family, {name: column for name, (column, _) in SECOND.items()}, dict(SECOND.values())
        )
        spend, effect = (columns.numbers(self.table, f"{kpi}.{name}") for name in ("spend", "effect"))
        self._check_points(kpi, spend, effect, is_points)
        return [_only(scale, there), first, second, _only(spend, is_points), _only(effect, is_points)]

    def _slot(self, kpi: str, family: Ints, column_of: dict[str, str], most: dict[str, float]) -> Numbers:
        """One parameter of every row's curve, from the column that its family has it in."""
        found = Numbers(np.zeros(0), np.zeros(len(family) + 1, np.int64))
        for column in dict.fromkeys(column_of.values()):
            codes = [CODES[name] for name, part in column_of.items() if part == column]
            rows = np.isin(family, codes)
            if not rows.any():
                continue
            cells = columns.numbers(self.table, f"{kpi}.{column}")
            self._check(cells, f"{kpi}.{column}", rows, LEAST, most[column])
            found = _merged(found, _only(cells, rows))
        return found

    def _check(self, cells: Numbers, column: str, rows: Bools, least: float, most: float) -> None:
        """Blame rows whose curve needs numbers from ``least`` to ``most`` here and has others or none."""
        self.blame(rows & (cells.counts == 0), f"{column} is missing")
        with np.errstate(invalid="ignore"):
            good = (cells.values >= least) & (cells.values <= most)
        owner = np.repeat(np.arange(len(rows)), cells.counts)
        bad = np.zeros(len(rows), dtype=bool)
        bad[owner[~good]] = True
        self.blame(rows & bad, f"{column} must hold numbers from {least:g} to {most:g}")

    def _check_points(self, kpi: str, spend: Numbers, effect: Numbers, rows: Bools) -> None:
        self.blame(rows & (spend.counts != effect.counts), f"{kpi}.spend and {kpi}.effect differ in length")
        self._check(spend, f"{kpi}.spend", rows, 0.0, MOST)
        self._check(effect, f"{kpi}.effect", rows, 0.0, MOST)
        for cells, strictly, says in ((spend, True, "spend does not rise"), (effect, False, "effect falls")):
            owner = np.repeat(np.arange(len(rows)), cells.counts)
            bad = np.zeros(len(rows), dtype=bool)
            if len(owner) > 1:
                step = np.diff(cells.values)
                falls = (step <= 0 if strictly else step < 0) & (owner[1:] == owner[:-1])
                bad[owner[1:][falls]] = True
            self.blame(rows & bad, f"{kpi}.{says} along the points")
        if len(spend.values) and len(effect.values):
            first = rows & (spend.counts > 0) & (effect.counts > 0)
            x = np.where(first, spend.values[np.minimum(spend.at[:-1], len(spend.values) - 1)], np.nan)
            y = np.where(first, effect.values[np.minimum(effect.at[:-1], len(effect.values) - 1)], np.nan)
            self.blame((x == 0) & (y > 0), f"{kpi}.effect at no spend is not 0: give what spend adds")

    def _ranges(self, current: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
        """Budgets (A,), and the least and most each line may spend (R,), step limits included."""
        rules, first = self.rules, self.starts[:-1]
        today = np.add.reduceat(current, first) if len(first) else np.zeros(0)
        budget = today * (1.0 + rules.budget.change)
        self.blame((today == 0)[self.owner], "spends nothing today: a budget relative to it is none", False)
        lower, upper = low.copy(), np.minimum(high, np.nan_to_num(budget)[self.owner])
        # Where today's spend is outside min and max, those come first: a step may not be too short to reach them.
        if rules.change is not None and rules.change.down is not None:
            lower = np.maximum(lower, current * (1.0 - rules.change.down))
        if rules.change is not None and rules.change.up is not None:
            upper = np.minimum(upper, current * (1.0 + rules.change.up))
        self.blame(
            lower > upper * (1.0 + NEAR),
            lambda row: f"must spend {lower[row]:,g} at least and {upper[row]:,g} at most",
        )
        least, most = (np.add.reduceat(part, first) if len(first) else np.zeros(0) for part in (lower, upper))

        def says(spend: str, amounts: Floats) -> Callable[[int], str]:
            return lambda row: (
                f"the lines {spend} {amounts[self.owner[row]]:,g}; the budget is {budget[self.owner[row]]:,g}"
            )

        over = least > budget * (1.0 + NEAR)
        self.blame(over[self.owner], says("must together spend at least", least), about_line=False)
        if rules.budget.spend == "all":
            short = most < budget * (1.0 - NEAR)
            self.blame(short[self.owner], says("may together spend at most", most), about_line=False)
        return budget, np.minimum(lower, upper), upper


def _only(cells: Numbers, rows: Bools) -> Numbers:
    """The numbers of some rows; the others have none."""
    counts = np.where(rows, cells.counts, 0)
    return Numbers(cells.values[np.repeat(rows, cells.counts)], np.concatenate([[0], np.cumsum(counts)]))


def _merged(one: Numbers, other: Numbers) -> Numbers:
    """Both columns' numbers, no row having some in both."""
    at = one.at + other.at
    values = np.empty(int(at[-1]))
    for cells in (one, other):
        counts = cells.counts
        begin = np.repeat(at[:-1] - cells.at[:-1], counts)
        values[begin + np.arange(len(cells.values))] = cells.values
    return Numbers(values, at)
