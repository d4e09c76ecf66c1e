"""What an audit found of a KPI that stands for another, and who answers for using it nevertheless.

A plan for a proxy that was contradicted would be best for what lowers the goal: it is refused, unless somebody
waives that by name and with a reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from .documents import Spec
from .errors import DataError, SpecError

if TYPE_CHECKING:
    from .kpis import Kpi
    from .scenario import Scenario

CONTRADICTED = "contradicted"
ANSWERS = ("supported", "weak", CONTRADICTED, "cannot be told")
LARGEST = 200_000_000


class ProxySpec(Spec):
    """What `audit proxy` answered for this KPI against the one it stands for: its file, or the answer itself."""

    audit: str | None = Field(
        None, min_length=1, description="The audit-proxy.json that `audit proxy` wrote, seen from the scenario."
    )
    verdict: Literal["supported", "weak", "contradicted", "cannot be told"] | None = Field(
        None, description="Its answer, where the file is not at hand."
    )
    said: str = Field("", description="Its reason, in words.")
    waived_by: str = Field("", description="Who accepts a contradicted proxy as an objective.")
    reason: str = Field("", description="Why it is accepted nevertheless.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.audit is None) == (self.verdict is None):
            found = "says neither what was found nor where" if self.audit is None else "says it twice"
            raise SpecError(found, "give audit, the file, or verdict, the answer")
        if bool(self.waived_by.strip()) != bool(self.reason.strip()):
            field = "reason" if self.waived_by.strip() else "waived_by"
            raise SpecError("a waiver has a name and a reason", f"add {field}", path=(field,))
        if self.waived_by and self.verdict not in (None, CONTRADICTED):
            raise SpecError(
                "only a contradicted proxy is waived", "drop waived_by and reason", path=("waived_by",)
            )
        return self

    @property
    def blocked(self) -> bool:
        """Whether no plan may have it as an objective."""
        return self.verdict == CONTRADICTED and not self.waived_by


def settled(kpis: Mapping[str, Kpi], directory: Path) -> dict[str, Kpi]:
    """Read the audits that definitions name: the same definitions with the answers in their place.

    Raises
    ------
    DataError
        If a file cannot be read or holds no audit of a proxy.
    SpecError
        If it answers anything but contradicted and is waived.
    """
    found = dict(kpis)
    for name, kpi in kpis.items():
        if kpi.proxy is not None and kpi.proxy.audit is not None:
            answer = _read(directory / kpi.proxy.audit, ("kpis", name, "proxy", "audit"))
            waiver: dict[str, Any] = {"waived_by": kpi.proxy.waived_by, "reason": kpi.proxy.reason}
            if kpi.proxy.waived_by and answer["verdict"] != CONTRADICTED:
                raise SpecError(
                    f"the audit answers '{answer['verdict']}': there is nothing to waive",
                    "drop waived_by and reason",
                    path=("kpis", name, "proxy", "waived_by"),
                )
            found[name] = kpi.model_copy(update={"proxy": ProxySpec(**answer, **waiver)})
    return found


def _read(file: Path, path: tuple[str, ...]) -> dict[str, Any]:
    hint = "give the audit-proxy.json that 'audit proxy' wrote"
    try:
        if file.stat().st_size > LARGEST:
            raise DataError(f"'{file.name}' is too large for an audit", hint, path=path)
        data = json.loads(file.read_text(encoding="utf-8"))
        verdict = data["verdict"]
        found = {"verdict": verdict["answer"], "said": verdict["reason"]}
        if data["audit"] != "proxy" or found["verdict"] not in ANSWERS or not isinstance(found["said"], str):
            raise KeyError("audit")
    except OSError as error:
        raise DataError(f"cannot read '{file.name}': {error.strerror}", hint, path=path) from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"'{file.name}' is no audit of a proxy", hint, path=path) from None
    return found


def behind(kpis: Mapping[str, Kpi], objectives: Sequence[str]) -> Iterator[tuple[str, str, ProxySpec]]:
    """Each objective with the audited proxies that it is or is made of: objective, proxy, what was found."""
    for objective in objectives:
        waiting, seen = [objective], set()
        while waiting:
            name = waiting.pop(0)
            if name in seen or name not in kpis:
                continue
            seen.add(name)
            kpi = kpis[name]
            if kpi.proxy is not None:
                yield objective, name, kpi.proxy
            formula = kpi.formula
            waiting += [part for part in (formula[1] if formula else []) if isinstance(part, str)]


def counted(scenario: Scenario) -> tuple[str, ...]:
    """The objectives that the preferences give any weight."""
    weights = scenario.spec.preferences.weights
    return tuple(name for name in scenario.objectives if weights.get(name, 1.0) > 0)


def refuse_contradicted(scenario: Scenario, objectives: Sequence[str]) -> None:
    """Refuse to plan for a proxy that was contradicted and that nobody waived.

    Raises
    ------
    SpecError
        With the KPI, what the audit said, and what to do.
    """
    kpis = scenario.spec.kpis
    for objective, name, proxy in behind(kpis, objectives):
        if proxy.blocked:
            of = "" if objective == name else f", a part of '{objective}',"
            said = f": {proxy.said}" if proxy.said else ""
            raise SpecError(
                f"'{name}'{of} is a contradicted proxy for '{kpis[name].proxy_for}' and cannot be optimised{said}",
                f"optimise '{kpis[name].proxy_for}', or accept it by name: add waived_by and reason",
                path=("kpis", name, "proxy"),
            )


def notes(kpis: Mapping[str, Kpi], objectives: Sequence[str]) -> list[str]:
    """The waivers that a plan stands on, in words."""
    found = {name: proxy for _, name, proxy in behind(kpis, objectives) if proxy.waived_by}
    return [
        f"{name} is optimised although it is a contradicted proxy for {kpis[name].proxy_for}"
        f"{f' ({proxy.said})' if proxy.said else ''}: waived by {proxy.waived_by}, {proxy.reason.rstrip('.')}."
        for name, proxy in found.items()
    ]
