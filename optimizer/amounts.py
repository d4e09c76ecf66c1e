"""Spend as a caller gives it: matched by line name, its shape understood, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import DataError

if TYPE_CHECKING:
    from .scenario import Scenario

Floats = NDArray[np.float64]


def read(scenario: Scenario, spend: pd.Series | pd.DataFrame | Floats) -> tuple[Floats, pd.Index | range | None]:
    """Spend as (N, L) or (N, L, T), and the plans' labels; none for a single plan.

    Raises
    ------
    DataError
        If lines are missing or unknown, the shape is wrong or fits two readings, or spend is negative or not
        finite.
    """
    lines, periods = list(scenario.lines), scenario.spec.horizon.periods
    labels: pd.Index | range | None = None
    by_period = False
    if isinstance(spend, pd.Series | pd.DataFrame):
        by_period = isinstance(spend, pd.DataFrame) and sorted(map(str, spend.index)) == sorted(lines)
        names = spend.columns if isinstance(spend, pd.DataFrame) and not by_period else spend.index
        if sorted(map(str, names)) != sorted(lines):
            odd = sorted(set(map(str, names)) ^ set(lines)) or ["a line given twice"]
            raise DataError(f"spend does not match the scenario's lines: {odd[0]}", f"lines are: {lines}")
        if isinstance(spend, pd.DataFrame) and not by_period:
            labels = spend.index
        spend = spend.loc[lines] if by_period else spend[lines]
    array = _numbers(spend)
    if labels is None and not by_period and array.ndim == 2:
        fits_plans, by_period = array.shape[1] == len(lines), array.shape == (len(lines), periods)
        if fits_plans and by_period:
            raise DataError(
                f"spend of shape {array.shape} may be {len(lines)} plans, or one plan by line and period",
                "give a DataFrame with lines as columns (plans) or as index (periods), or three axes",
            )
        labels = None if by_period else range(len(array))
    if array.ndim == 3:
        labels = range(len(array))
    wanted = {1: (len(lines),), 2: (len(lines), periods) if by_period else (len(lines),), 3: (len(lines), periods)}
    own = array.shape if array.ndim == 1 or by_period else array.shape[1:]
    if own != wanted.get(array.ndim):
        shapes = f"({len(lines)},), (N, {len(lines)}), ({len(lines)}, {periods}) or (N, {len(lines)}, {periods})"
        raise DataError(f"spend has shape {array.shape}", f"give {shapes}")
    if not np.all(np.isfinite(array)) or np.any(array < 0):
        raise DataError("spend is negative, NaN or infinite", "give currency amounts of zero or more")
    return array[None] if labels is None else array, labels


def _numbers(spend: pd.Series | pd.DataFrame | Floats) -> Floats:
    try:
        if isinstance(spend, pd.Series | pd.DataFrame):
            return spend.astype(object).where(spend.notna(), np.nan).to_numpy(dtype=float)
        return np.asarray(spend, dtype=float)
    except (ValueError, TypeError):
        raise DataError("spend holds something that is not a number", "give currency amounts") from None
