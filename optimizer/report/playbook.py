"""The KPI playbook: one page a KPI, made from its definition alone, so that a version is a page, byte for byte."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..kpis import FORMULAS
from ..ledger.kpi_versions import changed, defined

if TYPE_CHECKING:
    from ..kpis import Kpi
    from ..ledger import KpiVersion, Ledger

JOINERS = {"ratio": " / ", "product": " × ", "sum": " + ", "difference": " − "}
MEANING = (
    ("goal", "goal"),
    ("so_what", "so what"),
    ("level", "level"),
    ("layer", "layer"),
    ("horizon", "horizon"),
    ("proxy_for", "stands for"),
    ("lag", "follows by, periods"),
)
COUNTING = (("unit", "unit"), ("calculation", "calculation"), ("source", "source"), ("delay", "comes late by"))
PEOPLE = (("owner", "owner"), ("review", "reviewed"))
TODO = (
    ("green", "Nothing. Ask at the next review whether it is still the right KPI."),
    ("yellow", "Look at the source and the tracking before the next plan."),
    ("red", "Open a review: data quality, then recalibration, then refit. No plan with it goes live meanwhile."),
    ("grey", "Find out why there is no value; a plan must not lean on it."),
)
SIGNS = {"maximize": "more is better", "minimize": "less is better"}


def playbook(kpis: Mapping[str, Kpi], ledger: Ledger | None = None) -> dict[str, str]:
    """Return a page for each KPI by file name.

    Parameters
    ----------
    kpis : mapping of str to Kpi
        Definitions.
    ledger : Ledger, optional
        For the versions: a page is about the one that holds there, and says so where the scenario differs from it.
    """
    pages: dict[str, str] = {}
    for name, kpi in kpis.items():
        version = None if ledger is None else ledger.kpis.current(name)
        if version is not None and changed(version.definition, defined(kpi)):
            # What was agreed on is what the ledger holds.
            version = None
        stem = re.sub(r"[^\w-]+", "-", name).strip("-") or "kpi"
        while f"{stem}.html" in pages:
            stem += "-2"
        pages[f"{stem}.html"] = page(name, defined(kpi), version)
    return pages


def page(kpi: str, definition: Mapping[str, Any], version: KpiVersion | None = None) -> str:
    """Return the page of a definition; of the same version always the same bytes."""
    from .html import environment

    return (
        environment()
        .get_template("playbook.html")
        .render(
            kpi=kpi,
            version=_version(definition, version),
            parts=[
                ("What it is for", _said(definition, MEANING)),
                ("How it is counted", [*_formula(definition), *_said(definition, COUNTING)]),
                ("What is promised", _promises(definition)),
                ("Who answers for it", _said(definition, PEOPLE)),
                ("What to do when its light is", list(TODO)),
            ],
        )
    )


def _version(definition: Mapping[str, Any], version: KpiVersion | None) -> str:
    text = json.dumps(definition, sort_keys=True, ensure_ascii=False)
    short = hashlib.sha256(text.encode()).hexdigest()[:12]
    if version is None:
        return f"This definition is recorded in no ledger as the one that holds. Content {short}."
    same = "" if version.same_as == version.version else f", which restores version {version.same_as}"
    return (
        f"Version {version.version}{same}, by {version.by} on {version.time[:10]}: "
        f"{version.reason.rstrip('.')}. Content {short}."
    )


def _said(definition: Mapping[str, Any], fields: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return [(words, str(definition[field])) for field, words in fields if field in definition]


def _formula(definition: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [name for name in FORMULAS if name in definition]
    return [
        (
            "formula",
            JOINERS[name].join(part if isinstance(part, str) else f"{part:g}" for part in definition[name]),
        )
        for name in found
    ]


def _promises(definition: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if "direction" in definition:
        rows.append(("direction", SIGNS[definition["direction"]]))
    for field in ("target", "thresholds"):
        rows += [(f"{field}: {key}", _plain(value)) for key, value in sorted(definition.get(field, {}).items())]
    if "value" in definition:
        rows.append(("worth of one unit", f"{definition['value']:g}"))
    return rows


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(each)}" for key, each in sorted(value.items()))
    if isinstance(value, list):
        return " to ".join(_plain(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
