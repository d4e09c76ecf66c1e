"""ResponseModel: carry-over and curve parameters by draw, KPI and line, and what the evidence has seen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import adstock, curves, synergy
from .adstock import MAX_LENGTH
from .curves import Floats
from .errors import DataError
from .synergy import Synergy

FORMAT = "campaign-optimizer response 1"
# The parameters that differ from draw to draw, in the order in which a curve and an adstock give theirs.
BY_DRAW = ("scale", "first", "second", "rate", "spread", "bend")
# Files read last whose models are held.
KEPT = 4
CELL = ("kpi", "line")
VARIABLES = {
    "family": CELL,
    "carryover": CELL,
    **dict.fromkeys(BY_DRAW, ("draw", *CELL)),
    "length": CELL,
    "normalised": CELL,
    "after": CELL,
    "points": (*CELL, "point", "axis"),
    "baseline": ("draw", "kpi", "period"),
    "observed": ("line", "bound"),
    "history": ("line", "past"),
}


@dataclass(frozen=True)
class ResponseModel:
    """What spend does: parameters by draw x KPI x line.

    D draws, K KPIs, L lines, J + 1 the longest adstock, P periods of baseline, H periods of history.

    Attributes
    ----------
    kpis, lines : tuple of str
        Names along K and L.
    family : (K, L) int
        Curve families by code, see `curves.FAMILIES`.
    scale, first, second : (D, K, L)
        KPI units a period at most (Hill and the like), media a period, shape; see `curves`.
    rate : (D, K, L)
        Rate of geometric, delayed and binomial adstocks.
    length : (K, L) int
        Adstock length in periods, the period of spending included; 1 is no carry-over.
    normalised : (K, L) bool
        Whether adstock weights sum to one.
    baseline : (D, K, P)
        KPI units a period without any of the lines. P = 1: the same in every period.
    carryover : (K, L) int
        Adstock kinds by code, see `adstock.KINDS`; geometric unless given.
    spread, bend : (D, K, L)
        Delay or Weibull scale, periods; Weibull shape. 1 unless given.
    after : (K, L) bool
        Whether effects carry over, each period's media saturating first; not unless given.
    points : (K, L, P, 2)
        Adstocked media and effect along curves through points, NaN after the last.
    synergy : Synergy
        What lines add to each other's effects; nothing unless given.
    start : date or None
        First date of `baseline`'s periods.
    period : "day", "week" or None
        Length of the model's period.
    observed : (L, 2)
        Lowest and highest spend a period the evidence holds, currency; NaN where it is not known.
    history : (L, H)
        Spend of the periods just before `start`, currency, the latest last.
    notes : tuple of str
        What the evidence cannot tell, in words.
    attributes : dict
        Where the model comes from (method, seed, versions, input hashes).
    """

    kpis: tuple[str, ...]
    lines: tuple[str, ...]
    family: NDArray[np.int64]
    scale: Floats
    first: Floats
    second: Floats
    rate: Floats
    length: NDArray[np.int64]
    normalised: NDArray[np.bool_]
    baseline: Floats
    observed: Floats
    history: Floats
    carryover: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    spread: Floats = field(default_factory=lambda: np.zeros(0))
    bend: Floats = field(default_factory=lambda: np.zeros(0))
    after: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    points: Floats = field(default_factory=lambda: np.zeros(0))
    synergy: Synergy = field(default_factory=Synergy)
    start: date | None = None
    period: str | None = None
    notes: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def draws(self) -> int:
        """Number of draws."""
        return int(self.scale.shape[0])

    def __post_init__(self) -> None:
        n_draws, n_kpis, n_lines = len(self.scale), len(self.kpis), len(self.lines)
        self._fill_in()
        wanted = {
            "family": (n_kpis, n_lines),
            "scale": (n_draws, n_kpis, n_lines),
            "first": (n_draws, n_kpis, n_lines),
            "second": (n_draws, n_kpis, n_lines),
            "rate": (n_draws, n_kpis, n_lines),
            "length": (n_kpis, n_lines),
            "normalised": (n_kpis, n_lines),
            "baseline": (n_draws, n_kpis, self.baseline.shape[-1]),
            "observed": (n_lines, 2),
            "history": (n_lines, self.history.shape[-1]),
            "carryover": (n_kpis, n_lines),
            **{name: (n_draws, n_kpis, n_lines) for name in ("spread", "bend") if getattr(self, name).ndim > 1},
            "after": (n_kpis, n_lines),
            "points": (n_kpis, n_lines, *self.points.shape[2:3], 2),
        }
        for name, shape in wanted.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise DataError(f"'{name}' has shape {array.shape}, not {shape}", path=(name,))
            if name not in ("observed", "points") and not np.all(np.isfinite(array)):
                raise DataError(f"'{name}' holds NaN or infinity", path=(name,))
        if n_draws == 0:
            raise DataError("the model has no draws", path=("scale",))
        for axis in ("kpis", "lines"):
            if len(set(getattr(self, axis))) < len(getattr(self, axis)):
                raise DataError(f"'{axis}' holds a name twice", path=(axis,))
        if self.period not in (None, "day", "week"):
            raise DataError(f"'period' is {self.period!r}, not day or week", path=("period",))
        checks = [
            ("family", np.isin(self.family, list(curves.NAMES)), "an unknown curve family"),
            ("scale", self.scale >= 0, "a negative number"),
            ("first", self.first > 0, "a number that is not positive"),
            ("second", self.second > 0, "a number that is not positive"),
            ("rate", (self.rate >= 0) & (self.rate < 1), "a number outside 0 to 1"),
            (
                "length",
                (self.length >= 1) & (self.length <= MAX_LENGTH),
                f"a length outside 1 to {MAX_LENGTH}",
            ),
            ("history", self.history >= 0, "negative spend"),
            ("carryover", np.isin(self.carryover, list(adstock.KIND_NAMES)), "an unknown adstock kind"),
            (
                "spread",
                self.by_draw("spread") >= np.where(adstock.is_weibull(self.carryover), 0.01, 0.0),
                "an impossible delay or scale",
            ),
            ("bend", self.by_draw("bend") > 0, "a number that is not positive"),
            ("points", curves.rising(self.points), "points that do not rise from (0, 0)"),
        ]
        for name, good, what in checks:
            if not np.all(good):
                raise DataError(f"'{name}' holds {what}", path=(name,))
        if self.synergy:
            self.synergy.check(n_draws, self.kpis, self.lines, self.most_shares())

    def _fill_in(self) -> None:
        """Put neutral values where the newer fields were left out."""
        neutral = {
            "carryover": np.zeros_like(self.family),
            "after": np.zeros(self.family.shape, bool),
            "points": np.zeros((*self.family.shape, 0, 2)),
        }
        for name, value in neutral.items():
            if getattr(self, name).ndim == 1:
                object.__setattr__(self, name, value)
        # Kept empty where it says nothing: so a model with other draws may be made from this one's parts.
        for name in ("spread", "bend"):
            if np.all(getattr(self, name) == 1.0):
                object.__setattr__(self, name, np.zeros(0))

    def by_draw(self, name: str) -> Floats:
        """One of `BY_DRAW`: (D, K, L); ones where it was left out."""
        given: Floats = getattr(self, name)
        return given if given.ndim > 1 else np.ones_like(self.scale)

    def weights(self) -> Floats:
        """Adstock weights, current period first: (D, K, L, J + 1)."""
        spread, bend = self.by_draw("spread"), self.by_draw("bend")
        found = np.zeros((*self.scale.shape, int(self.length.max(initial=1))))
        for k, line in np.ndindex(*self.family.shape):
            length = int(self.length[k, line])
            found[:, k, line, :length] = adstock.weights(
                int(self.carryover[k, line]),
                length,
                self.rate[:, k, line],
                spread[:, k, line],
                bend[:, k, line],
                bool(self.normalised[k, line]),
            )
        return found

    def most_shares(self) -> Floats:
        """The largest share of its own curve each line can have in a period, see `synergy`: (D, K, L)."""
        most = np.zeros(self.family.shape)
        for k, line in np.ndindex(*most.shape):
            most[k, line] = curves.most(int(self.family[k, line]), self.points[k, line])
        carried = np.where(self.after, self.weights().sum(axis=3), 1.0)
        with np.errstate(invalid="ignore"):
            return np.where(carried > 0, most * carried, 0.0)

    def concave(self) -> NDArray[np.bool_]:
        """Which responses have falling returns in every draw: (K, L)."""
        return curves.concave(self.family, self.second, self.points)

    def linear(self) -> NDArray[np.bool_]:
        """Which responses are straight lines: (K, L)."""
        return np.vectorize(curves.is_linear, otypes=[bool])(self.family)

    def select(self, kpis: Sequence[str], lines: Sequence[str]) -> ResponseModel:
        """Return the model with these KPIs and lines, in this order; every name must be known."""
        k = [self.kpis.index(name) for name in kpis]
        i = [self.lines.index(name) for name in lines]
        grid = np.ix_(k, i)
        by_draw: dict[str, Any] = {name: self.by_draw(name)[:, k][:, :, i] for name in BY_DRAW}
        return replace(
            self,
            kpis=tuple(kpis),
            lines=tuple(lines),
            family=self.family[grid],
            length=self.length[grid],
            normalised=self.normalised[grid],
            baseline=self.baseline[:, k],
            observed=self.observed[i],
            history=self.history[i],
            carryover=self.carryover[grid],
            after=self.after[grid],
            points=self.points[grid],
            synergy=self.synergy.select(kpis, lines),
            **by_draw,
        )

    def one_draw(self, draw: int) -> ResponseModel:
        """Return the model with this draw alone."""
        return self.with_draws(np.array([draw]))

    def with_draws(self, chosen: NDArray[np.int64]) -> ResponseModel:
        """Return the model with these draws, by number; a draw may stand twice."""
        by_draw: dict[str, Any] = {name: self.by_draw(name)[chosen] for name in BY_DRAW}
        gain = self.synergy.gain[chosen] if self.synergy else self.synergy.gain
        mutual = replace(self.synergy, gain=gain)
        return replace(self, baseline=self.baseline[chosen], synergy=mutual, **by_draw)

    def followed_by(self, other: ResponseModel) -> ResponseModel:
        """Return the model with the draws of ``other`` after its own; nothing else may differ."""
        by_draw: dict[str, Any] = {
            name: np.concatenate([self.by_draw(name), other.by_draw(name)]) for name in BY_DRAW
        }
        mutual = replace(self.synergy, gain=np.concatenate([self.synergy.gain, other.synergy.gain]))
        baseline = np.concatenate([self.baseline, other.baseline])
        return replace(self, baseline=baseline, synergy=mutual if self.synergy else self.synergy, **by_draw)

    def save(self, path: str | Path) -> None:
        """Write the model as netCDF: to a temporary file beside it first, then renamed."""
        path = Path(path)
        temporary = path.with_name(f".{path.name}.part")
        try:
            self.to_dataset().to_netcdf(temporary, engine="h5netcdf")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def to_dataset(self) -> Any:
        """Return the model as an `xarray.Dataset` with named dimensions."""
        import xarray as xr

        values = {name: getattr(self, name) for name in VARIABLES} | {name: self.by_draw(name) for name in BY_DRAW}
        values |= {
            "family": np.vectorize(curves.NAMES.__getitem__, otypes=[object])(self.family).astype(str),
            "carryover": np.vectorize(adstock.KIND_NAMES.__getitem__, otypes=[object])(self.carryover).astype(str),
            "normalised": self.normalised.astype(np.int8),
            "after": self.after.astype(np.int8),
        }
        dataset = xr.Dataset(
            {name: (dims, values[name]) for name, dims in VARIABLES.items()} | self.synergy.variables(),
            coords={"kpi": list(self.kpis), "line": list(self.lines), "bound": ["low", "high"]},
        )
        dataset.attrs = {f"about_{key}": value for key, value in self.attributes.items()}
        dataset.attrs |= {"notes": "\n".join(self.notes), "format": FORMAT}
        if self.start is not None:
            dataset.attrs["start"] = self.start.isoformat()
        if self.period is not None:
            dataset.attrs["period"] = self.period
        return dataset


def load(path: str | Path) -> ResponseModel:
    """Read a response file written by `ResponseModel.save`; while it stays as it is, once.

    Raises
    ------
    DataError
        If the file is missing, is not such a file, lacks a variable, or holds impossible numbers.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise DataError(what, "name a file made with 'campaign-optimizer fit'", file=str(path))
    try:
        return _read(path, file_hash(path))
    except DataError as error:
        error.file, error.hint = str(path), error.hint or "make the file anew with 'campaign-optimizer fit'"
        raise
    except Exception as error:  # whatever a damaged file makes the reader raise
        first = (str(error).strip().splitlines() or ["unreadable"])[0]
        raise DataError(
            f"not a response file: {first}", "make it with 'campaign-optimizer fit'", file=str(path)
        ) from None


@lru_cache(maxsize=KEPT)
def _read(path: Path, _content: str) -> ResponseModel:
    """Read a file, of which many scenarios may be variants; its hash tells whether it changed."""
    import h5py
    import xarray as xr

    # h5py first: it refuses what is no HDF5 file without leaving half-made objects behind.
    with h5py.File(path, "r") as file:
        file.visit(lambda name: None)
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        return _from_dataset(dataset.load())


def _from_dataset(dataset: Any) -> ResponseModel:
    found = str(dataset.attrs.get("format", ""))
    if found != FORMAT:
        raise DataError(
            f"not a response file this version can read (its format is {found or 'not stated'!r})",
            "make it with 'campaign-optimizer fit'",
            path=("format",),
        )
    for name, dims in VARIABLES.items():
        if name not in dataset or set(dataset[name].dims) != set(dims):
            raise DataError(f"'{name}' is missing or not by {', '.join(dims)}", path=(name,))
    arrays = {name: dataset[name].transpose(*dims).values for name, dims in VARIABLES.items()}
    for name in ("kpi", "line"):
        if name not in dataset.coords:
            raise DataError(f"the names along '{name}' are missing", path=(f"{name}s",))
    if np.any(arrays["length"] != np.floor(arrays["length"])):
        raise DataError("'length' holds a part of a period", path=("length",))
    families = {name: family.code for name, family in curves.FAMILIES.items()}
    numbers = (*BY_DRAW, "points", "baseline", "observed", "history")
    parts: dict[str, Any] = {
        "family": _codes(arrays["family"], "family", "curve family", families),
        "carryover": _codes(arrays["carryover"], "carryover", "adstock kind", adstock.KINDS),
        "length": arrays["length"].astype(np.int64),
        "normalised": arrays["normalised"].astype(bool),
        "after": arrays["after"].astype(bool),
        **{name: np.ascontiguousarray(arrays[name], dtype=np.float64) for name in numbers},
    }
    start = dataset.attrs.get("start")
    notes = str(dataset.attrs.get("notes", ""))
    return ResponseModel(
        kpis=tuple(str(name) for name in dataset["kpi"].values),
        lines=tuple(str(name) for name in dataset["line"].values),
        start=date.fromisoformat(start) if start else None,
        period=dataset.attrs.get("period"),
        notes=tuple(notes.splitlines()),
        attributes={k[6:]: v for k, v in dataset.attrs.items() if k.startswith("about_")},
        synergy=synergy.from_variables(dataset),
        **parts,
    )


def _codes(values: Any, name: str, what: str, known: Mapping[str, int]) -> NDArray[np.int64]:
    unknown = sorted(set(values.ravel().tolist()) - set(known))
    if unknown:
        raise DataError(f"unknown {what} {unknown[0]!r}", "made by a newer version?", path=(name,))
    return np.vectorize(known.__getitem__, otypes=[np.int64])(values)


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
