"""Runs: what was computed from what, with which versions, and the recommendations that came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..functions import told
from ..plan import Plan, plain
from ..versions import versions
from .chain import BLOCK, LONGEST, Chain, Row, Writer, canonical, clean_name
from .decisions import record
from .kpi_versions import hold

if TYPE_CHECKING:
    from ..batch import Progress, Reallocation
    from ..batch.rules import RulesSpec
    from ..recommend import Recommendation
    from ..scenario import Scenario


class Runs:
    """Runs of a ledger."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def get(self, id: str) -> Row:
        """The row of a run, ``run-<number>``.

        Raises
        ------
        DataError
            If there is none of this id.
        """
        found = next(self._chain.rows(kinds=("run",), subject=id), None)
        if found is None:
            raise DataError(f"the ledger holds no run '{id}'", "'ledger log --kind run' shows those it holds")
        return found

    def record_plan(
        self,
        scenario: Scenario,
        found: Recommendation,
        by: str,
        *,
        file: str | Path | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """Record a plan and what it recommends, as a draft.

        Parameters
        ----------
        scenario : Scenario
            As it was planned; KPIs new to the ledger get their first version.
        found : Recommendation
            From `recommend`, with its plan.
        file : path, optional
            The scenario's file, to tell later whether it was changed.
        options : mapping, optional
            What `solve` was given besides: ``time_limit``, ``route``, ``tolerance``, ``seed``.

        Returns
        -------
        str
            The id of the recommendation, ``run-<number>/<scenario name>``.

        Raises
        ------
        RefusedError
            If the definition of a KPI is not that of its current version in the ledger.
        """
        who, plan, spec = clean_name(by, "the name"), found.plan, scenario.spec
        content = {
            "made": "plan",
            "scenario": {
                "name": scenario.name,
                "hash": scenario.hash,
                "file": None if file is None else str(Path(file).resolve()),
                "directory": str(plan.scenario.directory.resolve()),
                "blocks": blocks(scenario),
                "resolved": ordered(plan.scenario.resolved()),
            },
            "inputs": _response(scenario),
            "options": dict(options or {}),
            "seed": (options or {}).get("seed"),
            "versions": versions(),
            "result": {"hash": numbers_hash(plan), "certificate": _certificate(plan)},
        }
        said = found.to_dict()
        advice = {name: said[name] for name in ("level", "reasons", "risks", "moves")}
        current = dict(zip(scenario.lines, scenario.current.tolist(), strict=True))
        spend = {line: float(amount) for line, amount in plan.totals.items()}
        if scenario.functions:
            content["functions"] = told(scenario.functions)
        with self._chain.writing() as writer:
            content["kpis"] = hold(writer, spec.kpis, who)
            run = _run(writer, content, who)
            advice |= {"currency": spec.currency, "current": current, "spend": spend}
            return record(writer, run, clean_name(scenario.name, "the scenario's name"), advice, who)

    def record_batch(
        self,
        found: Reallocation,
        accounts: str | Path,
        rules: RulesSpec,
        by: str,
        *,
        file: str | Path | None = None,
        progress: Progress | None = None,
    ) -> str:
        """Record a batch and a recommendation for each account it solved, as drafts.

        Parameters
        ----------
        accounts : path
            What it was made from.
        rules : RulesSpec
            As it was solved; ``file`` is where they were read.
        progress : callable, optional
            Called with the accounts recorded and their number.

        Returns
        -------
        str
            The id of the run. Recommendations are ``run-<number>/<account>``.
        """
        from ..batch.reading import Source

        who, source = clean_name(by, "the name"), Source.of(accounts)
        content = {
            "made": "reallocate",
            "rules": {
                "name": rules.name,
                "hash": rules.hash,
                "file": None if file is None else str(Path(file).resolve()),
                "content": ordered(rules.model_dump(mode="json", exclude_none=True)),
            },
            "inputs": [{"what": "accounts", "file": str(Path(accounts).resolve()), "sha256": source.hash()}],
            "seed": None,
            "versions": versions(),
            "summary": found.summary,
            "result": {"hash": batch_hash(found)},
            "kpis": dict.fromkeys(rules.kpis),
        }
        with self._chain.writing() as writer:
            run = _run(writer, content, who)
            for done, (account, advice) in enumerate(_advice(found), start=1):
                record(writer, run, account, {**advice, "currency": rules.currency}, who)
                if progress is not None and done % BLOCK == 0:
                    progress(done, found.summary["solved"])
        return run


def _run(writer: Writer, content: Mapping[str, Any], by: str) -> str:
    run = f"run-{writer.last + 1}"
    writer.append("run", run, content, by)
    return run


def blocks(scenario: Scenario) -> dict[str, str]:
    """A hash of each block of a scenario as its file states it, to name those that changed."""
    data = scenario.spec.model_dump(mode="json", exclude_none=True, exclude={"hash"})
    return {name: hashlib.sha256(canonical(block).encode()).hexdigest() for name, block in data.items()}


def ordered(data: Mapping[str, Any]) -> str:
    """JSON that keeps the order of KPIs and lines: sums in another order may differ in the last bit."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def _response(scenario: Scenario) -> list[dict[str, str]]:
    from ..response import file_hash

    if scenario.spec.response.file is None:
        return []
    file = (scenario.directory / scenario.spec.response.file).resolve()
    return [{"what": "response file", "file": str(file), "sha256": file_hash(file)}]


def _certificate(plan: Plan) -> dict[str, Any]:
    found = plan.certificate
    names = ("guarantee", "value", "bound", "gap", "measure", "route")
    return {name: plain(getattr(found, name)) for name in names}


def numbers_hash(plan: Plan) -> str:
    """SHA-256 of a plan's numbers: its spend by line and period, and what it does."""
    data = plan.to_dict()
    return hashlib.sha256(canonical([data["spend"], data["flighting"], data["outcomes"]]).encode()).hexdigest()


def batch_hash(found: Reallocation) -> str:
    """SHA-256 of a batch's result: names and spend of every line, and what failed; whatever the chunks."""
    names, numbers, failed = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    for table in found.pieces("lines"):
        pairs = zip(table["account"].to_pylist(), table["line"].to_pylist(), strict=True)
        names.update("".join(canonical(pair) for pair in pairs).encode())
        numbers.update(table["plan"].to_numpy().astype("<f8").tobytes())
    for table in found.pieces("failed"):
        failed.update("".join(canonical(name) for name in table["account"].to_pylist()).encode())
    parts = [part.hexdigest() for part in (names, numbers, failed)]
    return hashlib.sha256(canonical(parts).encode()).hexdigest()


def _advice(found: Reallocation) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each solved account and what is recorded of it, in the order of the results."""
    for accounts, lines in zip(found.pieces("accounts"), found.pieces("lines"), strict=True):
        names = accounts["account"].to_pylist()
        owner, line = lines["account"].to_pylist(), lines["line"].to_pylist()
        current, plan = lines["current"].to_pylist(), lines["plan"].to_pylist()
        counts = _runs_of(owner)
        ends = np.cumsum(counts)
        level, reasons = accounts["level"].to_pylist(), accounts["reasons"].to_pylist()
        for name, asked, why, count, end in zip(names, level, reasons, counts, ends, strict=True):
            part = slice(end - count, end)
            yield (
                shown(name),
                {
                    "level": asked,
                    "reasons": why,
                    "current": dict(zip(line[part], current[part], strict=True)),
                    "spend": dict(zip(line[part], plan[part], strict=True)),
                },
            )


def _runs_of(names: list[str]) -> list[int]:
    """How many rows each account has, which stand together."""
    counts: list[int] = []
    before = None
    for name in names:
        if name != before:
            counts.append(0)
        counts[-1] += 1
        before = name
    return counts


def shown(name: str) -> str:
    """An account's name as the ledger holds it: what cannot be shown is written as an escape."""
    escaped = "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in name)
    if len(escaped) > LONGEST or escaped != escaped.strip() or not escaped:
        escaped = f"{escaped.strip()[: LONGEST - 70]} {hashlib.sha256(name.encode()).hexdigest()}"
    return escaped
