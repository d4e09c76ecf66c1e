"""Does an imported model do what its source did? Its responses, by our simulator, against the source's numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..curves import Floats
from ..errors import DataError
from ..response import ResponseModel
from ..simulate import Simulator

# An import is refused above this mismatch.
TOLERANCE = 1e-3
# Cells below this share of a line's greatest one in the same draw count as if they were that large.
FLOOR = 1e-3


@dataclass(frozen=True)
class Recomputation:
    """One comparison that an import stood.

    Attributes
    ----------
    kpi, line : str
        What was compared.
    against : str
        The source's numbers, in words.
    cells : int
        How many numbers were compared.
    worst : float
        Largest relative mismatch.
    """

    kpi: str
    line: str
    against: str
    cells: int
    worst: float


def by_period(model: ResponseModel, kpi: str, line: str, spend: Floats, season: Floats | None = None) -> Floats:
    """One line's effect on one KPI in each period, with nothing before the first.

    Parameters
    ----------
    spend : (T,)
        Currency a period.
    season : (T,), optional
        What each period's effect is multiplied by.

    Returns
    -------
    (D, T)
        KPI units.
    """
    one = model.select([kpi], [line])
    span = int(one.length[0, 0])
    # A period's effect depends on the last periods only: each window of them is a plan, its last period counted.
    windows = sliding_window_view(np.concatenate([np.zeros(span - 1), spend]), span)
    last = np.zeros((1, span))
    last[0, -1] = 1.0
    simulator = Simulator.of_response(
        one,
        unit=np.full((1, span), 1.0 / span),
        per_currency=np.ones((1, span)),
        history=np.zeros((1, 0)),
        season=last,
        baseline=np.zeros((one.draws, 1)),
    )
    found = simulator.line_outcomes(np.ascontiguousarray(windows[:, None, :]))[:, :, 0].T
    return found if season is None else found * season


def compare(
    ours: Floats,
    theirs: Floats,
    place: tuple[str, str],
    against: str,
    name: Callable[[tuple[int, ...]], str],
    file: str,
) -> Recomputation:
    """Hold our numbers against the source's.

    Parameters
    ----------
    ours, theirs : (D, ...)
        The first axis is draws.
    place : tuple of str
        KPI and line.
    against : str
        The source's numbers, in words.
    name : callable
        Names a cell by its index.

    Raises
    ------
    DataError
        Where the mismatch is above `TOLERANCE`; the worst cell is named.
    """
    flat = np.abs(theirs).reshape(len(theirs), -1)
    peak = flat.max(axis=1, initial=0.0).reshape(-1, *[1] * (theirs.ndim - 1))
    held = np.maximum(np.abs(theirs), np.maximum(FLOOR * peak, 1e-300))
    mismatch = np.abs(ours - theirs) / held
    worst = np.unravel_index(int(np.argmax(mismatch)), mismatch.shape)
    kpi, line = place
    # Said this way round NaN is a mismatch too.
    bad = ~(mismatch <= TOLERANCE)
    if bad.any():
        many = int(bad.sum())
        cell = name(tuple(int(index) for index in worst))
        raise DataError(
            f"'{line}', {cell}: {against} is {theirs[worst]:.6g}, recomputed from the parameters it is "
            f"{ours[worst]:.6g}; {many:,} of {mismatch.size:,} numbers differ by more than {TOLERANCE:g}",
            "parameters, data and settings do not belong together: channels, scales and adstock must be the fit's",
            path=(kpi, line),
            file=file,
        )
    return Recomputation(kpi, line, against, int(mismatch.size), float(mismatch[worst]))


def draw_and_date(dates: Sequence[object]) -> Callable[[tuple[int, ...]], str]:
    """Name cells of (D, T)."""
    return lambda index: f"draw {index[0]}, {dates[index[1]]}"


def adstocked(media: Floats, weights: Floats) -> Floats:
    """Media after carry-over, in plain sums: (D, T) from media (T,) or (D, T) and weights (D, J)."""
    found = np.zeros((len(weights), media.shape[-1]))
    for lag in range(min(weights.shape[1], media.shape[-1])):
        found[:, lag:] += weights[:, lag : lag + 1] * media[..., : media.shape[-1] - lag]
    return found


def hill(x: Floats, half: Floats, slope: Floats) -> Floats:
    """``x^slope / (x^slope + half^slope)``; half and slope (D,), x (D, T)."""
    power = x ** slope[:, None]
    return power / (power + (half**slope)[:, None])
