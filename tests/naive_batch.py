"""Slow, obvious twins of the batch kernels, and small batches to try them on."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pandas as pd


def effect(curve: dict[str, Any], spend: float, draw: int = 0) -> float:
    """What one line adds to one KPI in one draw; the curve as the columns of an accounts file have it."""

    def number(name: str) -> float:
        value = curve[name]
        return float(value[draw if len(value) > 1 else 0]) if isinstance(value, list) else float(value)

    kind = curve["kind"]
    if kind == "none":
        return 0.0
    if kind == "points":
        return float(np.interp(spend, [0.0, *curve["spend"]], [0.0, *curve["effect"]]))
    if kind == "linear":
        return number("scale") * spend
    if kind == "power":
        return number("scale") * spend ** number("exponent")
    if kind == "log1p":
        return number("scale") * math.log1p(spend / number("knee"))
    half = number("half")
    if kind == "hill":
        slope = number("slope")
        return number("scale") * spend**slope / (half**slope + spend**slope) if spend > 0 else 0.0
    if kind == "michaelis_menten":
        return number("scale") * spend / (half + spend)
    if kind == "logistic":
        lam = math.log(3.0) / half
        return number("scale") * (1 - math.exp(-lam * spend)) / (1 + math.exp(-lam * spend))
    return number("scale") * math.tanh(math.atanh(0.5) * spend / half)


def curve_of(row: pd.Series, kpi: str) -> dict[str, Any]:
    """The curve of one row of an accounts table."""
    return {name[len(kpi) + 1 :]: row[name] for name in row.index if name.startswith(f"{kpi}.")}


def kpi_of(rows: pd.DataFrame, kpi: str, spend: np.ndarray, draws: int = 1) -> np.ndarray:
    """What an account's lines add to a KPI by draw: (D,)."""
    return np.array(
        [
            sum(effect(curve_of(row, kpi), x, d) for (_, row), x in zip(rows.iterrows(), spend, strict=True))
            for d in range(draws)
        ]
    )


def best_of_grid(worth: Any, lower: np.ndarray, upper: np.ndarray, budget: float, steps: int = 41) -> float:
    """The best worth of splits of a budget over two or three lines, by trying a grid."""
    axes = [np.linspace(low, high, steps) for low, high in zip(lower[:-1], upper[:-1], strict=True)]
    best = -np.inf
    for head in product(*axes):
        last = budget - sum(head)
        if lower[-1] - 1e-9 <= last <= upper[-1] + 1e-9:
            best = max(best, worth(np.array([*head, last])))
    return best


def hill(z: np.ndarray, half: float, slope: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value, slope and curvature of a Hill curve at spends above 0."""
    p = (z / half) ** slope
    value = p / (1 + p)
    return value, slope * p / (1 + p) ** 2 / z, slope * p * (slope - 1 - (slope + 1) * p) / (1 + p) ** 3 / z**2


def moves(current: np.ndarray, plan: np.ndarray) -> list[tuple[int, int, float]]:
    """Greatest giver to greatest taker until nothing is left; -1 is the budget itself."""
    left = {i: float(a - b) for i, (a, b) in enumerate(zip(current, plan, strict=True))}
    left[-1] = -sum(left.values())
    near = 4e-12 * float(current.sum() + plan.sum())
    if abs(left[-1]) <= near:
        left[-1] = 0.0
    found = []
    while len(found) < len(current):
        source, sink = max(left, key=left.__getitem__), min(left, key=left.__getitem__)
        moved = min(left[source], -left[sink])
        if moved <= 0:
            break
        if abs(left[source] - moved) <= near:
            moved = left[source]
        left[source] -= moved
        left[sink] += moved
        found.append((source, sink, moved))
    return found


ALL_KINDS = ("hill", "hill", "michaelis_menten", "points")
# Those that accounts are solved side by side with.
SMOOTH_KINDS = ("hill", "hill", "michaelis_menten")


def make_accounts(
    number: int = 4,
    lines: int = 3,
    kpis: int = 2,
    seed: int = 0,
    draws: int = 1,
    kinds: tuple[str, ...] = ALL_KINDS,
) -> pd.DataFrame:
    """Sound random accounts, with S-shaped, concave and pointed curves."""
    rng = np.random.default_rng(seed)
    rows = []
    for a in range(number):
        size = rng.lognormal(5, 1)
        for i in range(lines):
            current = float(size * rng.uniform(0.5, 1.5))
            row: dict[str, Any] = {"account": f"account {a}", "line": f"line {i}", "channel": "ab"[i % 2]}
            row |= {"current": current, "min": 0.2 * current, "max": 3.0 * current}
            row |= {"observed_low": 0.0, "observed_high": 1.5 * current}
            for k in range(kpis):
                row |= {f"kpi{k}.{name}": value for name, value in _curve(rng, current, draws, kinds).items()}
            rows.append(row)
    return pd.DataFrame(rows)


def _curve(rng: np.random.Generator, current: float, draws: int, kinds: tuple[str, ...]) -> dict[str, Any]:
    kind = str(rng.choice(kinds))
    scale = (current * rng.lognormal(0, 0.3) * rng.lognormal(0, 0.1, draws)).tolist()
    curve: dict[str, Any] = dict.fromkeys(("scale", "half", "slope", "spend", "effect"))
    half = current * rng.lognormal(0, 0.4)
    if kind == "points":
        spend = current * np.cumsum(rng.uniform(0.2, 0.8, 5))
        return {
            **curve,
            "kind": kind,
            "spend": spend.tolist(),
            "effect": np.cumsum(rng.uniform(0, current, 5)).tolist(),
        }
    return {
        **curve,
        "kind": kind,
        "scale": scale,
        "half": [half],
        "slope": [float(rng.choice([0.8, 1.0, 1.7, 2.5]))],
    }


def make_rules(kpis: int = 2, **changes: Any) -> dict[str, Any]:
    """Rules for `make_accounts`: equal weights where there is more than one KPI."""
    names = [f"kpi{k}" for k in range(kpis)]
    rules: dict[str, Any] = {
        "name": "test",
        "currency": "EUR",
        "kpis": {name: {"direction": "maximize"} for name in names},
        "decisions": {"confirm": {"shift": 0.1}, "two_person": {"shift": 0.3}},
        "tolerance": 1e-5,
    }
    if kpis > 1:
        rules["tradeoff"] = {"weights": dict.fromkeys(names, 1.0), "scale": {name: [-0.2, 0.2] for name in names}}
    return {**rules, **changes}


# Ways to break an account by one cell of its first line (column and value), and what must be said of it.
WAYS: list[tuple[str, Any, str]] = [
    ("current", None, "current is missing"),
    ("current", float("inf"), "current is not a finite number"),
    ("current", -5.0, "current -5 is negative"),
    ("current", 1e16, "current is above 1e+15"),
    ("min", float("inf"), "min is not a finite number"),
    ("min", 1e14, "is above max"),
    ("max", -1.0, "max -1 is negative"),
    ("line", None, "the line has no name"),
    ("line", "line 1", "comes twice"),
    ("currency", "USD", "currency 'EUR', but 'USD' on another line"),
    ("guardrail", "red", "but 'red' on another line"),
    ("kpi0.kind", "sigmoid", "kpi0.kind 'sigmoid' is none of"),
    ("kpi0.kind", None, "kpi0.kind '' is none of"),
    ("kpi0.scale", None, "kpi0.scale is missing"),
    ("kpi0.scale", -1.0, "kpi0.scale must hold numbers from 0"),
    ("kpi0.half", 0.0, "kpi0.half must hold numbers"),
    ("kpi0.half", float("inf"), "kpi0.half must hold numbers"),
    ("kpi0.slope", 99.0, "from 1e-30 to 20"),
    ("data_quality", 1.5, "data_quality is above 1"),
    ("observed_low", 1e12, "observed_low is above observed_high"),
]


def break_some(accounts: pd.DataFrame, share: float, seed: int) -> tuple[pd.DataFrame, dict[str, str]]:
    """Break a share of accounts, each in one of `WAYS`; return the table and what must be said of them by account.

    The accounts' lines stand together, and their numbers are single ones.
    """
    table = accounts.assign(currency="EUR", guardrail="green", data_quality=0.95, observed_low=0.0)
    first = np.flatnonzero(~table["account"].duplicated())
    picked = np.random.default_rng(seed).choice(first, max(int(share * len(first)), len(WAYS)), replace=False)
    names = table["account"].to_numpy()
    says = {}
    for i, row in enumerate(picked):
        column, value, reason = WAYS[i % len(WAYS)]
        table.loc[table.index[row], column] = value
        says[str(names[row])] = reason
    return table, says
