"""Importers by the name of their source, with the options each has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import SpecError
from . import meridian, points, pymc_marketing, robyn
from .imported import Import

# The options each source has: needed ones True.
OPTIONS: dict[str, dict[str, bool]] = {
    "meridian": {"data": True, "config": True},
    "pymc-marketing": {},
    "robyn": {"ensemble": False},
    "points": {"period": True},
}


def read(source: str, file: Path, currency: str, kpi: str | None, options: Mapping[str, Any]) -> Import:
    """Import a file by the name of its source.

    Raises
    ------
    SpecError
        If an option is missing or belongs to another source, or the currency is no code.
    DataError
        As the importer does.
    """
    wanted = OPTIONS[source]
    for name, value in options.items():
        if value is not None and name not in wanted:
            owner = next(other for other, its in OPTIONS.items() if name in its)
            raise SpecError(f"--{name} belongs to {owner}, not to {source}", "leave it out")
    for name, needed in wanted.items():
        if needed and options[name] is None:
            raise SpecError(f"{source} needs --{name}", f"see 'campaign-optimizer import --help' for --{name}")
    if len(currency) != 3 or not currency.isascii() or not currency.isupper():
        raise SpecError(f"{currency!r} is not a currency code", "three capital letters, such as EUR, GBP or USD")
    given = {name: options[name] for name in wanted if options[name] is not None}
    if given.get("period", "week") not in ("day", "week"):
        raise SpecError(f"--period is '{given['period']}'", "day or week")
    if source == "points":
        return points.read(file, currency=currency, **given)
    readers: dict[str, Callable[..., Import]] = {
        "meridian": meridian.read,
        "pymc-marketing": pymc_marketing.read,
        "robyn": robyn.read,
    }
    return readers[source](file, currency=currency, kpi=kpi, **given)
