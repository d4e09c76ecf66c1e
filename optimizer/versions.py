"""Which releases a result was made with."""

from __future__ import annotations

from importlib import metadata

PACKAGES = ("campaign-optimizer", "numpy", "scipy", "pandas", "numba", "cvxpy", "clarabel", "highspy", "pymoo")


def versions() -> dict[str, str]:
    """Return the versions of this package and of those that decide its numbers."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
