"""ResponseModel: carry-over and curve parameters by draw, KPI and line, and what the evidence has seen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, Field, Tag

from . import curves
from .curves import Curve, Floats
from .documents import Spec
from .errors import DataError, SpecError

MAX_LENGTH = 104
FORMAT = "campaign-optimizer response 1"
CELL, BY_DRAW = ("kpi", "line"), ("draw", "kpi", "line")
VARIABLES = {
    "family": CELL,
    **dict.fromkeys(("scale", "first", "second", "rate"), BY_DRAW),
    "length": CELL,
    "normalised": CELL,
    "baseline": ("draw", "kpi", "period"),
    "observed": ("line", "bound"),
    "history": ("line", "past"),
}


class Adstock(Spec):
    """How an effect carries over: ``a[t] = sum_j w[j] m[t - j]``, ``w[j] = rate^j``.

    ``length`` counts the periods an effect lasts, the period of spending included. Normalised weights sum to
    one, so that steady spend of 100 a period is adstocked media of 100 a period.
    """

    kind: Literal["none", "geometric"] = "none"
    rate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    length: Annotated[int, Field(ge=1, le=MAX_LENGTH)] = 1
    normalised: bool = True


class LineResponse(Spec):
    """What one line does for one KPI."""

    curve: Curve
    adstock: Adstock = Adstock()


Entry = Annotated[
    Annotated[LineResponse, Tag("entry")] | Annotated[Literal["none"], Tag("none")],
    Discriminator(lambda entry: "none" if isinstance(entry, str) else "entry"),
]


class ResponseSpec(Spec):
    """The ``response`` block: a file made by ``fit`` or ``import``, or curves written out by KPI and line."""

    model_config = {**Spec.model_config, "extra": "allow"}
    __pydantic_extra__: dict[str, dict[str, Entry]] = Field(init=False)

    file: str | None = None
    sha256: str | None = None
    leave_out: list[str] = []

    @property
    def curves(self) -> Mapping[str, Mapping[str, Entry]]:
        """The curves written out, by KPI and line."""
        return self.__pydantic_extra__ or {}


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
        Geometric adstock rate.
    length : (K, L) int
        Adstock length in periods, the period of spending included; 1 is no carry-over.
    normalised : (K, L) bool
        Whether adstock weights sum to one.
    baseline : (D, K, P)
        KPI units a period without any of the lines. P = 1: the same in every period.
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
        }
        for name, shape in wanted.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise DataError(f"'{name}' has shape {array.shape}, not {shape}", path=(name,))
            if name != "observed" and not np.all(np.isfinite(array)):
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
        ]
        for name, good, what in checks:
            if not np.all(good):
                raise DataError(f"'{name}' holds {what}", path=(name,))

    def weights(self) -> Floats:
        """Adstock weights ``w[j] = rate^j``, current period first: (D, K, L, J + 1)."""
        lags = np.arange(int(self.length.max(initial=1)))
        weights = np.where(lags < self.length[..., None], self.rate[..., None] ** lags, 0.0)
        total = np.where(self.normalised, weights.sum(axis=-1), 1.0)
        return np.ascontiguousarray(weights / total[..., None])

    def concave(self) -> NDArray[np.bool_]:
        """Which responses have falling returns in every draw: (K, L)."""
        flags = [
            [curves.is_concave(int(code), self.second[:, k, i]) for i, code in enumerate(row)]
            for k, row in enumerate(self.family)
        ]
        return np.array(flags, dtype=bool).reshape(self.family.shape)

    def linear(self) -> NDArray[np.bool_]:
        """Which responses are straight lines: (K, L)."""
        return np.vectorize(curves.is_linear, otypes=[bool])(self.family)

    def select(self, kpis: Sequence[str], lines: Sequence[str]) -> ResponseModel:
        """Return the model with these KPIs and lines, in this order; every name must be known."""
        k = [self.kpis.index(name) for name in kpis]
        i = [self.lines.index(name) for name in lines]
        grid = np.ix_(k, i)
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
            **{name: getattr(self, name)[:, k][:, :, i] for name in ("scale", "first", "second", "rate")},
        )

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

        names = np.vectorize(curves.NAMES.__getitem__, otypes=[object])(self.family).astype(str)
        values = {name: getattr(self, name) for name in VARIABLES}
        values |= {"family": names, "normalised": self.normalised.astype(np.int8)}
        dataset = xr.Dataset(
            {name: (dims, values[name]) for name, dims in VARIABLES.items()},
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
    """Read a response file written by `ResponseModel.save`.

    Raises
    ------
    DataError
        If the file is missing, is not such a file, lacks a variable, or holds impossible numbers.
    """
    import h5py
    import xarray as xr

    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise DataError(what, "name a file made with 'campaign-optimizer fit'", file=str(path))
    try:
        # h5py first: it refuses what is no HDF5 file without leaving half-made objects behind.
        with h5py.File(path, "r") as file:
            file.visit(lambda name: None)
        with xr.open_dataset(path, engine="h5netcdf") as dataset:
            return _from_dataset(dataset.load())
    except DataError as error:
        error.file, error.hint = str(path), error.hint or "make the file anew with 'campaign-optimizer fit'"
        raise
    except Exception as error:  # whatever a damaged file makes the reader raise
        first = (str(error).strip().splitlines() or ["unreadable"])[0]
        raise DataError(
            f"not a response file: {first}", "make it with 'campaign-optimizer fit'", file=str(path)
        ) from None


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
    unknown = sorted(set(arrays["family"].ravel().tolist()) - set(curves.FAMILIES))
    if unknown:
        raise DataError(f"unknown curve family {unknown[0]!r}", "made by a newer version?", path=("family",))
    codes = np.vectorize(lambda name: curves.FAMILIES[name].code, otypes=[np.int64])(arrays["family"])
    if np.any(arrays["length"] != np.floor(arrays["length"])):
        raise DataError("'length' holds a part of a period", path=("length",))
    start = dataset.attrs.get("start")
    notes = str(dataset.attrs.get("notes", ""))
    return ResponseModel(
        kpis=tuple(str(name) for name in dataset["kpi"].values),
        lines=tuple(str(name) for name in dataset["line"].values),
        family=codes,
        length=arrays["length"].astype(np.int64),
        normalised=arrays["normalised"].astype(bool),
        start=date.fromisoformat(start) if start else None,
        period=dataset.attrs.get("period"),
        notes=tuple(notes.splitlines()),
        attributes={k[6:]: v for k, v in dataset.attrs.items() if k.startswith("about_")},
        **{
            name: np.ascontiguousarray(arrays[name], dtype=np.float64)
            for name in ("scale", "first", "second", "rate", "baseline", "observed", "history")
        },
    )


def from_spec(spec: ResponseSpec, kpis: Sequence[str], lines: Sequence[str]) -> ResponseModel:
    """Build a one-draw model from curves written out in a scenario.

    Raises
    ------
    SpecError
        If a KPI or line is unknown or has no entry.
    """
    for kpi, by_line in spec.curves.items():
        if kpi not in kpis:
            raise SpecError(
                f"'{kpi}' is not a KPI that lines add up to",
                f"those are: {', '.join(kpis) or 'none'}",
                path=("response", kpi),
            )
        for line in by_line:
            if line not in lines:
                raise SpecError(
                    f"unknown line '{line}'", f"lines are: {', '.join(lines)}", path=("response", kpi, line)
                )
    shape = (len(kpis), len(lines))
    family, length = np.zeros(shape, np.int64), np.ones(shape, np.int64)
    normalised = np.ones(shape, bool)
    scale, first, second, rate = np.zeros(shape), np.ones(shape), np.ones(shape), np.zeros(shape)
    for k, kpi in enumerate(kpis):
        by_line = spec.curves.get(kpi, {})
        for i, line in enumerate(lines):
            entry = by_line.get(line)
            if entry is None:
                raise SpecError(
                    f"says nothing about line '{line}'",
                    f"add its curve, or '{line}: none' if it does nothing for {kpi}",
                    path=("response", kpi),
                )
            if entry == "none":
                continue
            family[k, i], scale[k, i], first[k, i], second[k, i] = curves.parameters(entry.curve)
            if entry.adstock.kind == "geometric":
                rate[k, i], length[k, i] = entry.adstock.rate, entry.adstock.length
                normalised[k, i] = entry.adstock.normalised
    return ResponseModel(
        tuple(kpis),
        tuple(lines),
        family,
        scale[None],
        first[None],
        second[None],
        rate[None],
        length,
        normalised,
        baseline=np.zeros((1, len(kpis), 1)),
        observed=np.full((len(lines), 2), np.nan),
        history=np.zeros((len(lines), 0)),
    )


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
