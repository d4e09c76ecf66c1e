"""Which releases a result was made with."""

from __future__ import annotations

from functools import cache
from importlib import metadata

PACKAGES = ("campaign-optimizer", "numpy", "scipy", "pandas", "numba", "cvxpy", "clarabel", "highspy", "pymoo")


def versions() -> dict[str, str]:
    """Return the versions of this package and of those that decide its numbers."""
    return {name: _version(name) for name in PACKAGES}


@cache
def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
