"""The states of a recommendation: what may be done in which, and what its rows say it is in.

    draft -- submit --> review -- approve --> approved -- activate --> active -- supersede --> superseded
      ^                    |                      |                      |                        |
      +---- edit, reject --+----------------------+                      +-- rollback --> rolled_back
                                                                         ^                        |
                                                                         +-------- restore -------+

`approve` leaves it in review until as many have approved as its level asks for; with the level ``auto``, which
asks for nobody, `submit` leads to approved at once.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..decisions import LEVELS
from ..errors import SpecError
from .chain import Row

STATES = ("draft", "review", "approved", "active", "superseded", "rolled_back")
# What is done, and to what it leads by the state it is done in; everything else is refused.
MOVES: dict[str, dict[str, str]] = {
    "submit": {"draft": "review"},
    "approve": {"review": "approved"},
    "reject": {"review": "draft", "approved": "draft"},
    "edit": {"draft": "draft", "review": "draft", "approved": "draft"},
    "activate": {"approved": "active"},
    "supersede": {"active": "superseded"},
    "rollback": {"active": "rolled_back"},
    "restore": {"superseded": "active"},
}
# People who must agree, none of whom may have written it; nobody can agree to what is blocked.
NEEDED = {"auto": 0, "confirm": 1, "two_person": 2}
# The level of a plan that a person has changed: nothing has measured its risk.
EDITED = "two_person"
HINTS = {
    "draft": "submit it first",
    "review": "it waits for approval",
    "approved": "activate it, or reject it",
    "active": "roll it back, or activate another plan",
    "superseded": "roll back to it with --to",
    "rolled_back": "record and submit a new plan",
}


class RefusedError(SpecError):
    """A move that the rules of the ledger do not allow."""


@dataclass(frozen=True)
class Decision:
    """A recommendation as its rows leave it.

    Attributes
    ----------
    id : str
        ``run-<number>/<target>``.
    target : str
        What it is for, a scenario or an account: at most one recommendation of a target is active.
    state, level : str
        One of `STATES`; one of ``auto``, ``confirm``, ``two_person``, ``blocked``.
    authors : tuple of str
        Who recorded, edited or submitted it; none of them may approve it.
    approvals : tuple of str
        Who has approved it since it was last submitted.
    row : int
        The row that holds its present spend.
    activated : int
        The row that made it active last; 0 where it never was.
    replaced : str
        The recommendation that was active before it; empty where none was.
    """

    id: str
    target: str
    state: str
    level: str
    authors: tuple[str, ...]
    row: int
    approvals: tuple[str, ...] = ()
    activated: int = 0
    replaced: str = ""

    @property
    def missing(self) -> int | None:
        """How many must still approve; None where nobody can."""
        return None if self.level not in NEEDED else max(NEEDED[self.level] - len(self.approvals), 0)


def leads_to(decision: Decision, action: str) -> str:
    """The state that an action leads to.

    Raises
    ------
    RefusedError
        If it is not allowed in the state that the recommendation is in.
    """
    found = MOVES[action].get(decision.state)
    if found is None:
        allowed = " or ".join(said(state) for state in MOVES[action])
        raise RefusedError(
            f"{decision.id} is {said(decision.state)}; to {action}, it must be {allowed}",
            HINTS[decision.state],
        )
    return found


def check_approver(decision: Decision, by: str) -> None:
    """Refuse who may not approve.

    Raises
    ------
    RefusedError
        If it is blocked, or the person wrote it or has approved it before.
    """
    if decision.level not in NEEDED:
        raise RefusedError(
            f"{decision.id} is blocked: nobody can approve it",
            "change the plan, or what its decision rules object to, and record it anew",
        )
    if same_person(by, decision.authors):
        raise RefusedError(
            f"{by} wrote {decision.id} and cannot approve it", "another person must: nobody approves their own"
        )
    if same_person(by, decision.approvals):
        raise RefusedError(
            f"{by} has approved {decision.id} already", f"its level is {decision.level}: a second person must"
        )


def same_person(name: str, others: Iterable[str]) -> bool:
    """Whether a name is among others, whatever its case and spaces."""
    return _key(name) in {_key(other) for other in others}


def _key(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def said(state: str) -> str:
    """A state in words."""
    return "in review" if state == "review" else state.replace("_", " ")


def after(decision: Decision | None, row: Row) -> Decision:
    """A recommendation after one more of its rows."""
    if row.kind == "recommendation":
        found = row.payload
        return Decision(found["id"], row.subject, "draft", found["level"], (row.actor,), row.seq)
    assert decision is not None
    decision = replace(decision, state=row.payload["state"])
    if row.kind == "submit":
        return replace(decision, approvals=(), authors=_with(decision.authors, row.actor))
    if row.kind == "edit":
        changed = replace(decision, approvals=(), authors=_with(decision.authors, row.actor), row=row.seq)
        return replace(changed, level=row.payload["level"])
    if row.kind == "approve":
        return replace(decision, approvals=(*decision.approvals, row.actor))
    if row.kind == "reject":
        return replace(decision, approvals=())
    if row.kind == "activate":
        return replace(decision, activated=row.seq, replaced=row.payload["replaces"])
    return decision


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if same_person(name, names) else (*names, name)


def edited_level(level: str) -> str:
    """The level after a person changed the plan: never lower than before."""
    return max(level, EDITED, key=LEVELS.index)
