"""Make up accounts for `campaign-optimizer reallocate`: python scenarios/batch/generate.py FILE --accounts 1000.

The same seed gives the same file. Every line has an S-shaped or a concave curve for each KPI, with draws; every
fourth account has points as an ad platform's budget simulator gives them instead.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

KPIS = {"orders": 0.02, "new_customers": 0.006}
CHANNELS = ("search", "social", "video", "display")


def accounts(number: int, lines: int = 6, draws: int = 20, seed: int = 7) -> pd.DataFrame:
    """Return made-up accounts in long form, one row a line."""
    rng = np.random.default_rng(seed)
    rows = number * lines
    size = np.repeat(rng.lognormal(7.5, 0.8, number), lines)
    current = np.round(size * rng.dirichlet(np.full(lines, 4.0), number).ravel(), 2)
    by_account = {
        "tier": rng.choice(["growth", "harvest"], number),
        "guardrail": rng.choice(["green", "yellow", "red"], number, p=[0.93, 0.06, 0.01]),
        "data_quality": np.round(rng.beta(30, 1, number), 3),
    }
    found = {
        "account": np.repeat([f"client {i:06d}" for i in range(number)], lines),
        "line": np.tile([f"{CHANNELS[i % 4]} {i + 1}" for i in range(lines)], number),
        "channel": np.tile([CHANNELS[i % 4] for i in range(lines)], number),
        "current": current,
        "min": np.zeros(rows),
        "max": np.round(3.0 * current, 2),
        "observed_low": np.round(0.5 * current, 2),
        "observed_high": np.round(1.4 * current, 2),
        **{name: np.repeat(values, lines) for name, values in by_account.items()},
    }
    pointed = np.repeat(np.arange(number) % 4 == 3, lines)
    for kpi, rate in KPIS.items():
        half = current * rng.lognormal(0.2, 0.4, rows)
        slope = np.where(rng.random(rows) < 0.4, rng.uniform(1.3, 2.5, rows), 1.0)
        scale = rate * current * rng.lognormal(0.7, 0.4, rows)
        noise = rng.lognormal(0.0, 0.1, (rows, draws))
        found[f"{kpi}.kind"] = np.where(pointed, "points", "hill")
        found[f"{kpi}.scale"] = _cells(scale[:, None] * noise, ~pointed)
        found[f"{kpi}.half"] = _cells(half[:, None], ~pointed)
        found[f"{kpi}.slope"] = _cells(slope[:, None], ~pointed)
        spend = current[:, None] * np.array([0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0])
        power = (spend / half[:, None]) ** slope[:, None]
        found[f"{kpi}.spend"] = _cells(spend, pointed)
        found[f"{kpi}.effect"] = _cells(scale[:, None] * power / (1.0 + power), pointed)
    return pd.DataFrame(found)


def _cells(numbers: np.ndarray, there: np.ndarray) -> list[list[float] | None]:
    """Lists of numbers, nothing where there are none."""
    return [row.tolist() if ok else None for row, ok in zip(np.round(numbers, 4), there, strict=True)]


def write(table: pd.DataFrame, file: Path) -> None:
    """Write Parquet, or CSV with the numbers of a cell between semicolons."""
    if file.suffix == ".parquet":
        table.to_parquet(file, index=False)
        return
    text = table.copy()
    for name in text.select_dtypes("object").columns:
        lists = text[name].map(lambda cell: isinstance(cell, list))
        text.loc[lists, name] = text.loc[lists, name].map(lambda cell: ";".join(map(repr, cell)))
    text.to_csv(file, index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make up accounts.")
    parser.add_argument("file", type=Path, help=".csv or .parquet")
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--lines", type=int, default=6)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    write(accounts(given.accounts, given.lines, given.draws, given.seed), given.file)
