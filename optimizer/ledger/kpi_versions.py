"""KPI definitions by version, and values that were measured under them.

A definition changes by a new version, never in place. A value belongs to the definition it was measured under:
after a rollback to an older version, that version's values are the KPI's history again, as they were.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import DataError, SpecError
from ..kpis import Kpi
from .chain import Chain, Row, Writer, canonical, clean_name
from .states import RefusedError

# What a scenario says of a KPI for its own horizon and purpose; all else is the definition.
OF_THE_SCENARIO = {"baseline", "season", "role", "proxy", "waiver"}


@dataclass(frozen=True)
class KpiVersion:
    """One version of a KPI's definition.

    Attributes
    ----------
    kpi : str
        The KPI.
    version : int
        Counted from 1.
    definition : mapping
        What a scenario's ``kpis`` block says of it, but for what belongs to one scenario (baseline, season, role,
        proxy, waiver).
    same_as : int
        The first version with this definition; itself but after a rollback.
    by, time, reason : str
        Who recorded it, when (UTC), and why.
    """

    kpi: str
    version: int
    definition: Mapping[str, Any]
    same_as: int
    by: str
    time: str
    reason: str


@dataclass(frozen=True)
class KpiValue:
    """A value of a KPI in a period, such as ``2026-11`` or ``2026-W48``, and the version it was measured under."""

    kpi: str
    period: str
    value: float
    version: int
    by: str
    time: str
    reason: str


class KpiVersions:
    """Definitions and values of the KPIs of a ledger."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def names(self) -> list[str]:
        """KPIs that have a definition, in the order they got it."""
        return list(dict.fromkeys(row.subject for row in self._chain.rows(kinds=("kpi",))))

    def versions(self, kpi: str) -> list[KpiVersion]:
        """All versions of a KPI, the first first; empty where it has none."""
        return list(_versions(self._chain, kpi))

    def current(self, kpi: str) -> KpiVersion | None:
        """The version that holds now."""
        found = self.versions(kpi)
        return found[-1] if found else None

    def check(self, kpis: Mapping[str, Kpi]) -> None:
        """Refuse KPIs whose definition is not that of their current version; those new to the ledger are welcome.

        Raises
        ------
        RefusedError
            If one is not, with the fields that differ.
        """
        _held(self._chain, kpis)

    def define(self, kpi: str, definition: Kpi | Mapping[str, Any], by: str, reason: str) -> KpiVersion:
        """Record a new version of a definition.

        Raises
        ------
        RefusedError
            If it says what the current version says.
        SpecError
            If it is no definition.
        """
        name, who = clean_name(kpi, "the KPI"), clean_name(by, "the name")
        content, why = defined(definition), _reason(reason)
        with self._chain.writing() as writer:
            before = list(_versions(writer, name))
            if before and not changed(before[-1].definition, content):
                raise RefusedError(
                    f"version {before[-1].version} of '{name}' says just that", "there is nothing to record"
                )
            return _define(writer, name, content, len(before) + 1, who, why)

    def rollback(self, kpi: str, by: str, reason: str, to: int | None = None) -> KpiVersion:
        """Restore an older version as a new one: its definition, and the values measured under it.

        Parameters
        ----------
        to : int, optional
            The version; the one before the current unless given.

        Raises
        ------
        DataError
            If there is no such version.
        RefusedError
            If it says what the current version says.
        """
        who, why = clean_name(by, "the name"), _reason(reason)
        with self._chain.writing() as writer:
            found = list(_versions(writer, kpi))
            wanted = len(found) - 1 if to is None else to
            if not 1 <= wanted <= len(found):
                if not found:
                    raise DataError(
                        f"the ledger holds no KPI '{kpi}'", "'ledger log --kind kpi' shows those it holds"
                    )
                raise DataError(f"'{kpi}' has no version {wanted}", f"versions are 1 to {len(found)}")
            older = found[wanted - 1]
            if older.same_as == found[-1].same_as:
                raise RefusedError(f"version {wanted} of '{kpi}' is what holds now", "there is nothing to restore")
            return _define(writer, kpi, dict(older.definition), len(found) + 1, who, why, older.same_as)

    def record_value(self, kpi: str, period: str, value: float, by: str, reason: str = "") -> KpiValue:
        """Record what was measured, under the current version.

        Parameters
        ----------
        reason : str, optional
            Needed where the period has another value already: why it is restated.

        Raises
        ------
        DataError
            If the KPI has no definition.
        RefusedError
            If the period has another value and no reason is given.
        """
        at, who = clean_name(period, "the period"), clean_name(by, "the name")
        if not math.isfinite(value):
            raise SpecError(f"a value of {value:g}", "give a number")
        with self._chain.writing() as writer:
            found = list(_versions(writer, kpi))
            if not found:
                raise DataError(f"the ledger holds no KPI '{kpi}'", "record its definition first: 'ledger define'")
            before = _values(writer, kpi, found).get(at)
            if before is not None and before.value != value and not reason.strip():
                raise RefusedError(
                    f"'{kpi}' is {before.value:g} in {at} already, measured under the same definition",
                    "give a reason to restate it; both stay in the ledger",
                )
            payload = {"period": at, "value": float(value), "version": found[-1].version, "reason": reason.strip()}
            return _value(writer.append("value", kpi, payload, who))

    def values(self, kpi: str) -> dict[str, KpiValue]:
        """The KPI's history under its current definition, by period: what was recorded last for each."""
        found = self.versions(kpi)
        return _values(self._chain, kpi, found) if found else {}

    def value(self, kpi: str, period: str) -> float | None:
        """The value in a period under the current definition; None where none was recorded."""
        found = self.values(kpi).get(period)
        return None if found is None else found.value


def defined(definition: Kpi | Mapping[str, Any]) -> dict[str, Any]:
    """The part of a KPI's block that defines it, defaults left out."""
    from .. import documents

    if not isinstance(definition, Kpi):
        definition = documents.check(documents.Document(dict(definition)), Kpi)
    return definition.model_dump(mode="json", exclude_none=True, exclude_defaults=True, exclude=OF_THE_SCENARIO)


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Fields in which two definitions differ."""
    return sorted(name for name in {*before, *now} if canonical(before.get(name)) != canonical(now.get(name)))


def hold(writer: Writer, kpis: Mapping[str, Kpi], by: str) -> dict[str, int]:
    """Return the current version of each KPI; those new to the ledger get their first.

    Raises
    ------
    RefusedError
        If a definition is not that of the current version.
    """
    held = _held(writer, kpis)
    for name in [name for name, version in held.items() if not version]:
        held[name] = _define(writer, name, defined(kpis[name]), 1, by, "first seen").version
    return held


def _held(log: Chain | Writer, kpis: Mapping[str, Kpi]) -> dict[str, int]:
    """The current version of each KPI, 0 where it has none; refused as `hold` tells."""
    held = {}
    for name, kpi in kpis.items():
        before = list(_versions(log, name))
        fields = changed(before[-1].definition, defined(kpi)) if before else []
        if fields:
            raise RefusedError(
                f"the definition of '{name}' is not that of version {before[-1].version} in the ledger: "
                f"{', '.join(fields)}",
                "undo the change, or record a new version first: 'ledger define'",
                path=("kpis", name),
            )
        held[name] = len(before)
    return held


def _define(
    writer: Writer,
    kpi: str,
    definition: dict[str, Any],
    version: int,
    by: str,
    reason: str,
    same_as: int | None = None,
) -> KpiVersion:
    payload = {"version": version, "definition": definition, "same_as": same_as or version, "reason": reason}
    return _version(writer.append("kpi", kpi, payload, by))


def _versions(log: Chain | Writer, kpi: str) -> Iterator[KpiVersion]:
    return (_version(row) for row in log.rows(kinds=("kpi",), subject=kpi))


def _version(row: Row) -> KpiVersion:
    found = row.payload
    return KpiVersion(
        row.subject, found["version"], found["definition"], found["same_as"], row.actor, row.time, found["reason"]
    )


def _values(log: Chain | Writer, kpi: str, versions: list[KpiVersion]) -> dict[str, KpiValue]:
    same = {each.version for each in versions if each.same_as == versions[-1].same_as}
    found = (_value(row) for row in log.rows(kinds=("value",), subject=kpi))
    return {each.period: each for each in found if each.version in same}


def _value(row: Row) -> KpiValue:
    found = row.payload
    return KpiValue(
        row.subject, found["period"], found["value"], found["version"], row.actor, row.time, found["reason"]
    )


def _reason(text: str) -> str:
    if not text.strip():
        raise SpecError("no reason is given", "say why in a sentence; it is kept")
    return text.strip()
