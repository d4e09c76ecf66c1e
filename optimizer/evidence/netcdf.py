"""Variables of a saved Bayesian model (inference data as netCDF), checked one by one as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..curves import Floats
from ..errors import DataError

# A compressed variable may say it is far larger than its file; more numbers than this are not unpacked.
CELLS_LIMIT = 100_000_000
SAMPLE = ("chain", "draw")
NOWHERE: Mapping[str, int] = MappingProxyType({})


@dataclass
class Inference:
    """An open file: its attributes, and its groups as `xarray.Dataset` read when asked."""

    file: str
    attributes: dict[str, Any]
    groups: tuple[str, ...]
    _open: dict[str, Any] = field(default_factory=dict)

    def group(self, name: str) -> Any:
        """Return a group, not loaded yet."""
        import xarray as xr

        if name not in self.groups:
            hint = f"it has: {', '.join(self.groups) or 'none'}; save the whole fitted model again"
            raise DataError(f"the file has no group '{name}'", hint, path=(name,), file=self.file)
        if name not in self._open:
            try:
                # Dimensions without names get some, so that a variable that has them can be refused by name.
                opened = xr.open_dataset(self.file, group=name, engine="h5netcdf", phony_dims="access")
                self._open[name] = opened
            except Exception as error:  # whatever a damaged file makes the reader raise
                raise _unreadable(error, self.file, (name,)) from None
        return self._open[name]

    def has(self, group: str, name: str) -> bool:
        """Whether a group holds a variable."""
        return group in self.groups and name in self.group(group)

    def names(self, group: str, dim: str) -> list[str]:
        """Names along a dimension."""
        dataset = self.group(group)
        if dim not in dataset.coords:
            raise DataError(
                "the names are missing", "save the fitted model again", path=(group, dim), file=self.file
            )
        return [str(name) for name in self._values(dataset[dim], (group, dim))]

    def values(self, group: str, name: str, dims: Sequence[str], at: Mapping[str, int] = NOWHERE) -> Any:
        """Return a variable's values in the order of ``dims``, whatever they are; see `numbers`."""
        dataset = self.group(group)
        if name not in dataset:
            hint = f"it has, among others: {', '.join(map(str, list(dataset.data_vars)[:12]))}"
            raise DataError("the variable is missing", hint, path=(group, name), file=self.file)
        found = dataset[name]
        if set(found.dims) != set(dims) or len(found.dims) != len(dims):
            what = ", ".join(map(str, found.dims)) or "nothing"
            raise DataError(
                f"the variable is by {what}, not by {', '.join(dims) or 'nothing'}",
                "save the fitted model again as the library writes it",
                path=(group, name),
                file=self.file,
            )
        return self._values(found.transpose(*dims).isel(dict(at)), (group, name))

    def numbers(self, group: str, name: str, dims: Sequence[str], at: Mapping[str, int] = NOWHERE) -> Floats:
        """Return a variable as finite numbers.

        Parameters
        ----------
        dims : sequence of str
            What it must be by; the result's axes.
        at : mapping
            Positions along some of them, which are then no axes: only that part is read.

        Raises
        ------
        DataError
            If it is missing, has other dimensions, or holds text, NaN or infinity; the first bad cell is named.
        """
        found = self.values(group, name, dims, at)
        if found.dtype.kind not in "fiub":
            raise DataError(
                "the variable does not hold numbers", "save the model again", path=(group, name), file=self.file
            )
        values = np.asarray(found, dtype=np.float64)
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            left = [dim for dim in dims if dim not in at]
            place = [*zip(left, bad[0], strict=True), *at.items()]
            cell = ", ".join(f"{dim} {index}" for dim, index in place)
            raise DataError(
                f"{len(bad):,} of {values.size:,} numbers are NaN or infinite, first {cell or 'the only one'}",
                "the sampler failed there: fit again",
                path=(group, name),
                file=self.file,
            )
        return values

    def draws(self, name: str, dims: Sequence[str] = ()) -> Floats:
        """Return a posterior variable with its chains put one after the other: (D, ...) over ``dims``.

        Dimensions it lacks are shared: the variable is repeated along them.
        """
        values = self.spread("posterior", name, dims, SAMPLE)
        return values.reshape(-1, *values.shape[2:])

    def spread(self, group: str, name: str, dims: Sequence[str], first: Sequence[str] = ()) -> Floats:
        """Return a variable over ``first``, which it must have, and ``dims``, along which it may be shared."""
        dataset = self.group(group)
        own = [dim for dim in dims if name not in dataset or dim in dataset[name].dims]
        values = self.numbers(group, name, (*first, *own))
        there = values.shape[: len(first)]
        sizes = [int(dataset.sizes[dim]) for dim in dims]
        values = values.reshape(
            (*there, *(size if dim in own else 1 for dim, size in zip(dims, sizes, strict=True)))
        )
        return np.ascontiguousarray(np.broadcast_to(values, (*there, *sizes)))

    def _values(self, variable: Any, path: tuple[str, ...]) -> Any:
        if variable.size > CELLS_LIMIT:
            raise DataError(
                f"the variable has {variable.size:,} cells; at most {CELLS_LIMIT:,} are read",
                "keep fewer draws",
                path=path,
                file=self.file,
            )
        try:
            return variable.values
        except Exception as error:  # whatever a damaged file makes the reader raise
            raise _unreadable(error, self.file, path) from None


@contextmanager
def opened(path: str | Path) -> Iterator[Inference]:
    """Open a saved model for reading, and close it again.

    Raises
    ------
    DataError
        If the file is missing, a folder, or no whole netCDF file.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise DataError(what, "name the netCDF file that the fitted model was saved to", file=str(path))
    try:
        # h5py first: it refuses what is no HDF5 file without leaving half-made objects behind.
        with h5py.File(path, "r") as file:
            _refuse_links(file, str(path))
            groups = tuple(name for name, item in file.items() if isinstance(item, h5py.Group))
            attributes = {name: value for name, value in file.attrs.items() if isinstance(value, str)}
    except DataError:
        raise
    except Exception as error:  # whatever a damaged file makes the reader raise
        raise _unreadable(error, str(path), ()) from None
    found = Inference(str(path), attributes, groups)
    try:
        yield found
    finally:
        for dataset in found._open.values():
            dataset.close()


def _refuse_links(file: Any, name: str) -> None:
    """Visit everything, which finds a truncated file; refuse links that would have other files read."""
    import h5py

    def look(group: Any) -> None:
        for key in group:
            outside = isinstance(group.get(key, getlink=True), h5py.ExternalLink)
            item = None if outside else group[key]
            if outside or (isinstance(item, h5py.Dataset) and item.external):
                hint = "save the model into one file"
                raise DataError("the file links to another file", hint, path=(key,), file=name)
            if isinstance(item, h5py.Group):
                look(item)

    look(file)


def _unreadable(error: Exception, file: str, path: tuple[str, ...]) -> DataError:
    first = (str(error).strip().splitlines() or ["unreadable"])[0].rstrip(".")
    return DataError(
        f"not a whole netCDF file: {first}", "save the fitted model again, or copy it anew", path=path, file=file
    )
