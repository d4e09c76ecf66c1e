"""Synergy: lines that make other lines work better, or worse.

``y[l, t] *= prod_j (1 + gain * C[j, t])`` over the lines ``j`` that give to line ``l`` for a KPI. ``C[j, t]`` is
the share of line ``j``'s own curve for the same KPI that arrives in the same period, without its scale and without
season: S of its adstocked media; where effects carry over after saturation, the sum of S carried over. It runs
from 0 to 1 for hill, michaelis_menten, logistic and tanh: there ``gain`` is what the giver at its most adds to the
taker's effect, 0.2 for a fifth. Other curves give by their own S: media for linear, its power or logarithm for
power and log1p, the effect stated for points.

The interaction of two linear lines is that of Naik & Raman (J. Marketing Research 40, 2003).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# So that products of many lines' gains stay numbers.
MOST_GAIN = 1000.0
# Names in a response file, one a pair.
NAMES = ("synergy_kpi", "synergy_giver", "synergy_taker")
GAIN = "synergy_gain"


class Links(NamedTuple):
    """Synergy as `kernels_synergy` takes it: what it calls ``slots``, ``ends``, ``givers`` and ``gain``."""

    slots: Ints
    ends: Ints
    givers: Ints
    gain: Floats


@dataclass(frozen=True, eq=False)
class Synergy:
    """Who gives how much to whom, by draw.

    Attributes
    ----------
    pairs : tuple of (str, str, str)
        KPI, giving line and taking line; in the order of KPI, taker and giver, whatever order they come in.
    gain : (D, P)
        What the giver's share of 1 adds to the taker's effect, as a share of it.
    """

    pairs: tuple[tuple[str, str, str], ...] = ()
    gain: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def __post_init__(self) -> None:
        if self.gain.ndim != 2 or self.gain.shape[1] != len(self.pairs):
            raise DataError(
                f"gains of shape {self.gain.shape} for {len(self.pairs)} pairs", path=("synergy", "gain")
            )
        keys = [(kpi, taker, giver) for kpi, giver, taker in self.pairs]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        object.__setattr__(self, "pairs", tuple(self.pairs[i] for i in order))
        object.__setattr__(self, "gain", self.gain[:, order])

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Synergy):
            return NotImplemented
        return self.pairs == other.pairs and (not self.pairs or np.array_equal(self.gain, other.gain))

    __hash__ = None  # type: ignore[assignment]

    def select(self, kpis: Sequence[str], lines: Sequence[str]) -> Synergy:
        """Return what is left among these KPIs and lines: who is gone gives nothing."""
        kept = [kpi in kpis and giver in lines and taker in lines for kpi, giver, taker in self.pairs]
        chosen = np.flatnonzero(kept)
        return Synergy(tuple(self.pairs[i] for i in chosen), self.gain[:, chosen])

    def check(self, draws: int, kpis: Sequence[str], lines: Sequence[str], most: Floats) -> None:
        """Refuse what cannot be.

        Parameters
        ----------
        draws : int
            How many the model has.
        most : (D, K, L)
            The largest share C each line can have; 0 where it does nothing.

        Raises
        ------
        DataError
            For unknown names, a pair given twice or with a line that does nothing, gains that are too large, or
            so far below zero that an effect could become negative.
        """
        if self.pairs and len(self.gain) != draws:
            raise DataError(f"gains for {len(self.gain)} draws, not {draws}", path=("synergy",))
        before = None
        for pair, gain in zip(self.pairs, self.gain.T, strict=True):
            kpi, giver, taker = pair
            path = ("synergy", kpi, taker, giver)
            for name, known, what in ((kpi, kpis, "KPI"), (giver, lines, "line"), (taker, lines, "line")):
                if name not in known:
                    raise DataError(f"unknown {what} '{name}'", f"there are: {', '.join(known)}", path=path)
            if giver == taker:
                raise DataError(f"'{giver}' gives to itself", "say it by its own curve", path=path)
            # In their order, the same pairs come next to each other.
            if pair == before:
                raise DataError(f"the gain of '{taker}' from '{giver}' is there twice", "keep one", path=path)
            before = pair
            gives, takes = (most[:, kpis.index(kpi), lines.index(name)] for name in (giver, taker))
            for name, shares in ((giver, gives), (taker, takes)):
                if np.all(shares == 0):
                    raise DataError(f"'{name}' does nothing for '{kpi}'", "drop the gain", path=path)
            _check_gain(gain, giver, taker, gives, path)

    def links(self, kpis: Sequence[str], lines: Sequence[str]) -> Links | None:
        """Return the pairs by number for the kernels, with KPIs and lines in this order; None without any."""
        if not self.pairs:
            return None
        index = np.array([(kpis.index(kpi), lines.index(to), lines.index(by)) for kpi, by, to in self.pairs])
        # By KPI and taker; a taker's givers stay in the order of their names, whatever the order of the lines.
        order = np.lexsort((index[:, 1], index[:, 0]))
        kpi, taker, giver = index[order].T
        shape = (len(kpis), len(lines))
        used = np.zeros(shape, dtype=bool)
        used[kpi, taker] = used[kpi, giver] = True
        slots = np.where(used, np.cumsum(used, axis=1, dtype=np.int64) - 1, -1)
        count = np.zeros(shape, dtype=np.int64)
        np.add.at(count, (kpi, taker), 1)
        stops = np.cumsum(count.ravel()).reshape(shape)
        ends = np.concatenate([stops[:, :1] - count[:, :1], stops], axis=1)
        return Links(slots, ends, slots[kpi, giver], np.ascontiguousarray(self.gain[:, order].T))

    def variables(self) -> dict[str, tuple[tuple[str, ...], Any]]:
        """Return variables for a response file, as `xarray.Dataset` takes them; none without synergy."""
        if not self.pairs:
            return {}
        named = {
            name: (("pair",), list(column)) for name, column in zip(NAMES, np.transpose(self.pairs), strict=True)
        }
        return {**named, GAIN: (("draw", "pair"), self.gain)}


def _check_gain(gain: Floats, giver: str, taker: str, most: Floats, path: tuple[str, ...]) -> None:
    """Refuse gains (D,) that are no numbers, too large, or too low for what the giver's share may be (D,)."""
    if not np.all(np.isfinite(gain)) or np.any(gain > MOST_GAIN):
        raise DataError(f"a gain that is not a number up to {MOST_GAIN:,.0f}", "0.2 is 20 %", path=path)
    with np.errstate(divide="ignore"):
        least = -1.0 / most
    # Normalised weights add up to 1 but for the last digits.
    if np.any(gain < least * (1 + 1e-9)):
        raise DataError(
            f"a gain of {gain.min():g} from '{giver}' would turn the effect of '{taker}' negative",
            f"for this curve of '{giver}' it may be {np.max(least) + 0.0:.6g} at the least",
            path=path,
        )


def from_variables(dataset: Mapping[Any, Any]) -> Synergy:
    """Read what `Synergy.variables` wrote; a file without them is one without synergy.

    Raises
    ------
    DataError
        If only some of them are there, or not as they should be.
    """
    found = [name for name in (*NAMES, GAIN) if name in dataset]
    if not found:
        return Synergy()
    for name in (*NAMES, GAIN):
        dims = {"draw", "pair"} if name == GAIN else {"pair"}
        if name not in found or set(dataset[name].dims) != dims:
            raise DataError(f"'{name}' is missing or not by {', '.join(sorted(dims))}", path=(name,))
    columns = [[str(value) for value in dataset[name].values] for name in NAMES]
    gain = np.ascontiguousarray(dataset[GAIN].transpose("draw", "pair").values, dtype=np.float64)
    kpis, givers, takers = columns
    return Synergy(tuple(zip(kpis, givers, takers, strict=True)), gain)
