"""Recommendations on their way: submitted, approved, made active, rolled back, each step a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import DataError, SpecError
from .chain import Chain, Row, Writer, clean_name
from .reviews import red
from .states import (
    MOVES,
    NEEDED,
    Decision,
    RefusedError,
    after,
    check_approver,
    edited_level,
    leads_to,
)

KINDS = ("recommendation", *MOVES)
Ids = list[str]


class Decisions:
    """Who agreed to what, and what is live.

    Every method that writes takes the name of who does it (``by``). ``id`` is ``run-7/acme``, or ``run-7`` where
    the run made one recommendation.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def get(self, id: str) -> Decision:
        """One recommendation as it stands.

        Raises
        ------
        DataError
            If there is none of this id.
        """
        return _one(self._chain, id)[1]

    def list(self, run: str | None = None, state: str | None = None, level: str | None = None) -> list[Decision]:
        """Recommendations in the order they were recorded, all or those asked for."""
        found = folded(self._chain.rows(kinds=KINDS)).values()
        return [each for each in found if _wanted(each, run, state, level)]

    def active(self, target: str) -> Decision | None:
        """The recommendation that is live for a scenario or account."""
        return _active(folded(self._chain.rows(kinds=KINDS, subject=target)).values())

    def content(self, id: str) -> dict[str, Any]:
        """What is recommended: ``level``, ``reasons``, ``currency``, ``current`` and ``spend`` by line.

        Spend is as recorded, or as last edited; for a scenario there are ``moves`` and ``risks`` as recorded too.
        """
        _, one = _one(self._chain, id)
        recorded = self._chain.rows(kinds=("recommendation",), subject=one.target)
        found = next(row.payload for row in recorded if row.payload["id"] == one.id)
        return {**found, "level": one.level, "spend": _spend(self._chain, one)}

    def spend(self, id: str) -> dict[str, float]:
        """Spend by line as recorded, or as last edited."""
        return _spend(self._chain, _one(self._chain, id)[1])

    def submit(self, id: str, by: str) -> Decision:
        """Ask for approval; what the level ``auto`` asks for is nobody's, so it is approved at once.

        Raises
        ------
        RefusedError
            If it is no draft, or needs nobody but a red review is open on a KPI of it.
        """
        return self._do(id, by, _submit)

    def approve(self, id: str, by: str) -> Decision:
        """Agree. It is approved once as many have as its level asks for.

        Raises
        ------
        RefusedError
            If it is not in review or is blocked, the person wrote it or has approved it before, or a red review is
            open on a KPI of it.
        """
        return self._do(id, by, _approve)

    def reject(self, id: str, by: str, reason: str) -> Decision:
        """Send it back to its authors; approvals given before count no more."""
        why = _reason(reason)
        return self._do(id, by, lambda writer, known, one, who: _write(writer, one, "reject", who, reason=why))

    def activate(self, id: str, by: str) -> Decision:
        """Make it the live one of its target; the one before is superseded.

        Raises
        ------
        RefusedError
            If it is not approved, or a red review is open on a KPI of it.
        """
        return self._do(id, by, _activate)

    def edit(self, id: str, by: str, spend: Mapping[str, float], reason: str) -> Decision:
        """Change the spend of some lines by hand: a draft again, at the level ``two_person`` at least.

        Raises
        ------
        RefusedError
            If it is active or was.
        SpecError
            For an unknown line, or spend that is no amount.
        """
        why = _reason(reason)

        def change(writer: Writer, known: dict[str, Decision], one: Decision, who: str) -> Decision:
            leads_to(one, "edit")
            now = {**_spend(writer, one), **_amounts(spend, _spend(writer, one))}
            return _write(writer, one, "edit", who, spend=now, reason=why, level=edited_level(one.level))

        return self._do(id, by, change)

    def rollback(self, id: str, by: str, reason: str, to: str | None = None) -> Decision:
        """End a live plan and make an older one live again, as a new row that holds its spend.

        Parameters
        ----------
        to : str, optional
            An older plan of the same target; the one that was live before unless given. Where none was, none is
            live afterwards.

        Returns
        -------
        Decision
            The plan that is live now, or else the one that ended.

        Raises
        ------
        RefusedError
            If the plan is not live, or the older one never was or is not of the same target.
        """
        why = _reason(reason)

        def back(writer: Writer, known: dict[str, Decision], one: Decision, who: str) -> Decision:
            leads_to(one, "rollback")
            wanted = one.replaced if to is None else _one(writer, to)[1].id
            older = known.get(wanted)
            if wanted and older is None:
                raise RefusedError(f"{wanted} is no plan of {one.target}", "name an older one of the same target")
            if older is not None:
                leads_to(older, "restore")
            ended = _write(writer, one, "rollback", who, reason=why, restores=wanted)
            if older is None:
                return ended
            return _write(writer, older, "restore", who, reason=why, spend=_spend(writer, older), ends=one.id)

        return self._do(id, by, back)

    def all(self, action: str, run: str, by: str, level: str | None = None) -> tuple[Ids, dict[str, str]]:
        """Submit, approve or activate all recommendations of a run that are in the state for it.

        Parameters
        ----------
        action : "submit", "approve" or "activate"
        level : str, optional
            Those of this level only.

        Returns
        -------
        done : list of str
            Ids of those it was done to.
        refused : dict
            The reason by id of those it was refused for; they stay as they are.
        """
        do = {"submit": _submit, "approve": _approve, "activate": _activate}[action]
        who = clean_name(by, "the name")
        done: Ids = []
        refused: dict[str, str] = {}
        with self._chain.writing() as writer:
            known = folded(writer.rows(kinds=KINDS))
            by_target: dict[str, dict[str, Decision]] = {}
            for each in known.values():
                by_target.setdefault(each.target, {})[each.id] = each
            chosen = [each for each in known.values() if _wanted(each, run, None, level)]
            if not chosen:
                raise _unknown(run)
            closed = red(writer)
            kpis = _kpis(writer, run)
            for one in chosen:
                if one.state not in MOVES[action]:
                    continue
                try:
                    do(writer, by_target[one.target], one, who, closed & kpis)
                    done.append(one.id)
                except RefusedError as error:
                    refused[one.id] = error.message
        return done, refused

    def _do(self, id: str, by: str, action: Callable[..., Decision]) -> Decision:
        who = clean_name(by, "the name")
        with self._chain.writing() as writer:
            known, one = _one(writer, id)
            return action(writer, known, one, who)


def folded(found: Iterable[Row]) -> dict[str, Decision]:
    """Recommendations by id from their rows, in the order they were recorded."""
    known: dict[str, Decision] = {}
    for row in found:
        id = row.payload["id"]
        known[id] = after(known.get(id), row)
    return known


def record(writer: Writer, run: str, target: str, payload: Mapping[str, Any], by: str) -> str:
    """Add a recommendation to an open transaction and return its id."""
    id = f"{run}/{target}"
    writer.append("recommendation", target, {"id": id, "run": run, **payload}, by)
    return id


def _one(log: Chain | Writer, id: str) -> tuple[dict[str, Decision], Decision]:
    """All recommendations of the target that an id is about, and the one it names."""
    run, _, target = id.partition("/")
    if not target:
        found = [each for each in folded(log.rows(kinds=KINDS)).values() if _wanted(each, run, None, None)]
        if not found:
            raise _unknown(id)
        if len(found) > 1:
            raise SpecError(f"{run} made {len(found):,} recommendations", f"name one, such as {found[0].id}")
        target = found[0].target
    known = folded(log.rows(kinds=KINDS, subject=target))
    if f"{run}/{target}" not in known:
        raise _unknown(id)
    return known, known[f"{run}/{target}"]


def _unknown(id: str) -> DataError:
    return DataError(f"the ledger holds no recommendation '{id}'", "'ledger list' shows those it holds")


def _wanted(decision: Decision, run: str | None, state: str | None, level: str | None) -> bool:
    of_run = run is None or decision.id.partition("/")[0] == run
    return of_run and state in (None, decision.state) and level in (None, decision.level)


def _active(found: Iterable[Decision]) -> Decision | None:
    return next((each for each in found if each.state == "active"), None)


def _write(writer: Writer, one: Decision, action: str, by: str, **content: Any) -> Decision:
    """Add the row of an action; ``state`` is where it leads."""
    state = content.pop("state", None) or leads_to(one, action)
    row = writer.append(action, one.target, {"id": one.id, "state": state, **content}, by)
    return after(one, row)


def _submit(
    writer: Writer, known: dict[str, Decision], one: Decision, by: str, closed: set[str] | None = None
) -> Decision:
    state = leads_to(one, "submit")
    if NEEDED.get(one.level) == 0:
        _check_reviews(writer, one, closed)
        state = "approved"
    return _write(writer, one, "submit", by, state=state, level=one.level)


def _approve(
    writer: Writer, known: dict[str, Decision], one: Decision, by: str, closed: set[str] | None = None
) -> Decision:
    state = leads_to(one, "approve")
    check_approver(one, by)
    _check_reviews(writer, one, closed)
    return _write(writer, one, "approve", by, state=state if one.missing == 1 else one.state)


def _activate(
    writer: Writer, known: dict[str, Decision], one: Decision, by: str, closed: set[str] | None = None
) -> Decision:
    leads_to(one, "activate")
    _check_reviews(writer, one, closed)
    before = _active(known.values())
    if before is not None:
        known[before.id] = _write(writer, before, "supersede", by, by_plan=one.id)
    replaced = before.id if before is not None else ""
    known[one.id] = _write(writer, one, "activate", by, replaces=replaced)
    return known[one.id]


def _check_reviews(writer: Writer, one: Decision, closed: set[str] | None) -> None:
    """Refuse while a red review is open on a KPI of the plan."""
    found = red(writer) & _kpis(writer, one.id.partition("/")[0]) if closed is None else closed
    if found:
        raise RefusedError(
            f"{one.id}: a red review is open on {' and '.join(sorted(found))}",
            "close the review first: 'ledger review' shows its steps",
        )


def _kpis(writer: Writer, run: str) -> set[str]:
    found = next(writer.rows(kinds=("run",), subject=run), None)
    if found is None:
        raise DataError(f"the ledger holds no run '{run}'", "'ledger log --kind run' shows those it holds")
    return set(found.payload["kpis"])


def _spend(log: Chain | Writer, one: Decision) -> dict[str, float]:
    return dict(next(log.rows(subject=one.target, after=one.row - 1)).payload["spend"])


def _amounts(spend: Mapping[str, float], known: Mapping[str, float]) -> dict[str, float]:
    if not spend:
        raise SpecError("nothing to change", "name lines and their spend")
    for line, amount in spend.items():
        if line not in known:
            raise SpecError(f"unknown line '{line}'", f"lines are: {', '.join(known)}")
        if not math.isfinite(amount) or amount < 0:
            raise SpecError(f"spend of {amount:g} on '{line}'", "give an amount of money, 0 or more")
    return {line: float(amount) for line, amount in spend.items()}


def _reason(text: str) -> str:
    if not text.strip():
        raise SpecError("no reason is given", "say why in a sentence; it is kept")
    return text.strip()
