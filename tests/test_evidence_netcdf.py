"""Reading saved models as data: damage, links to other files, and variables that claim to be huge."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from peer_files import write_groups

from optimizer import DataError
from optimizer.evidence import netcdf


def model(folder: Path) -> Path:
    posterior = xr.Dataset(
        {
            "shared": (("chain", "draw"), np.arange(6.0).reshape(2, 3)),
            "own": (("channel", "draw", "chain"), np.arange(24.0).reshape(4, 3, 2)),
        },
        coords={"chain": [0, 1], "draw": [0, 1, 2], "channel": list("abcd")},
    )
    return write_groups(folder / "m.nc", {"posterior": posterior}, {"note": "text"})


def test_draws_are_chains_in_a_row(tmp_path: Path) -> None:
    with netcdf.opened(model(tmp_path)) as file:
        own = file.draws("own", ("channel",))
        shared = file.draws("shared", ("channel",))
        assert file.names("posterior", "channel") == list("abcd")
        assert file.attributes["note"] == "text"
        assert file.has("posterior", "own")
        assert not file.has("prior", "own")
    assert own.shape == shared.shape == (6, 4)
    assert own[:, 0].tolist() == [0, 2, 4, 1, 3, 5]
    assert shared[:, 3].tolist() == [0, 1, 2, 3, 4, 5]


def test_missing_things_are_named(tmp_path: Path) -> None:
    with netcdf.opened(model(tmp_path)) as file:
        with pytest.raises(DataError, match="no group 'prior'") as caught:
            file.group("prior")
        assert "posterior" in caught.value.hint
        with pytest.raises(DataError, match="the variable is missing"):
            file.draws("other", ("channel",))
        with pytest.raises(DataError, match="is by channel, draw, chain, not by chain, draw"):
            file.numbers("posterior", "own", ("chain", "draw"))


@pytest.mark.parametrize("kind", ["soft", "raw"])
def test_links_to_other_files_are_refused(tmp_path: Path, kind: str) -> None:
    """Nothing but the named file is read."""
    path = model(tmp_path)
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(80))
    with h5py.File(path, "a") as file:
        if kind == "soft":
            file["posterior/outside"] = h5py.ExternalLink("other.nc", "/posterior")
        else:
            file["posterior"].create_dataset("outside", (10,), "f8", external=[(str(secret), 0, 80)])
    with pytest.raises(DataError, match="links to another file"), netcdf.opened(path):
        pass


def test_groups_that_hold_themselves_are_refused(tmp_path: Path) -> None:
    path = model(tmp_path)
    with h5py.File(path, "a") as file:
        file["posterior/again"] = file["posterior"]
    with pytest.raises(DataError), netcdf.opened(path):
        pass


def test_variables_that_claim_to_be_huge_are_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.nc"
    with h5py.File(path, "w") as file:
        group = file.create_group("posterior")
        group.create_dataset("x", (10**7, 10**5), "f8", chunks=(1000, 1000), compression="gzip")
        for dim, name in enumerate(("chain", "draw")):
            group["x"].dims[dim].label = name
    assert path.stat().st_size < 100_000
    with netcdf.opened(path) as file:
        names = file.group("posterior")["x"].dims
        with pytest.raises(DataError, match="at most 100,000,000 are read"):
            file.numbers("posterior", "x", names)


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    for path, words in ((tmp_path, "is a folder"), (tmp_path / "no.nc", "no such file")):
        with pytest.raises(DataError, match=words), netcdf.opened(path):
            pass


def test_every_cut_of_a_file_is_one_clear_error(tmp_path: Path) -> None:
    whole = model(tmp_path).read_bytes()
    path = tmp_path / "cut.nc"
    for size in range(0, len(whole), max(1, len(whole) // 23)):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError) as caught, netcdf.opened(path) as file:
            file.draws("own", ("channel",))
        assert caught.value.file == str(path)
        assert caught.value.hint
