"""Reviews of KPIs: opened when a KPI leaves its reference, closed when three steps were taken.

While a red review is open on a KPI, no plan with that KPI is approved or made active.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from ..errors import DataError, SpecError
from .chain import Chain, Row, Writer, clean_name
from .states import RefusedError

Light = Literal["yellow", "red"]
# In the order they are taken: what one finds may make the next needless, and its note says so.
STEPS = ("data quality", "recalibration", "refit")
KINDS = ("review_opened", "review_step", "review_closed")


@dataclass(frozen=True)
class Review:
    """A review as its rows leave it.

    Attributes
    ----------
    id : str
        ``review-<number>``.
    kpi, light, reason : str
        What it is on, ``yellow`` or ``red``, and why.
    notes : tuple of str
        What was found in each step that was taken, in the order of `STEPS`.
    open : bool
        Whether it is still open.
    opened, closed : str
        Times, UTC; empty where not yet.
    """

    id: str
    kpi: str
    light: str
    reason: str
    opened: str
    notes: tuple[str, ...] = ()
    open: bool = True
    closed: str = ""

    @property
    def next(self) -> str | None:
        """The step to take next; None where all were taken."""
        return STEPS[len(self.notes)] if len(self.notes) < len(STEPS) else None


class Reviews:
    """Reviews of the KPIs of a ledger."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def list(self, kpi: str | None = None, *, closed: bool = False) -> list[Review]:
        """Open reviews, all or those on one KPI; with ``closed``, the others too."""
        found = _folded(self._chain.rows(kinds=KINDS, subject=kpi)).values()
        return [each for each in found if each.open or closed]

    def open(self, kpi: str, light: Light, reason: str, by: str) -> Review:
        """Open a review.

        Raises
        ------
        RefusedError
            If one of the same light is open on the KPI.
        """
        if light not in ("yellow", "red"):
            raise SpecError(f"no review is opened on {light}", "give yellow or red")
        name, who, why = clean_name(kpi, "the KPI"), clean_name(by, "the name"), _said(reason)
        with self._chain.writing() as writer:
            for each in _folded(writer.rows(kinds=KINDS, subject=name)).values():
                if each.open and each.light == light:
                    raise RefusedError(f"{each.id} is open on {name} already", "go on with that one")
            payload = {"id": f"review-{writer.last + 1}", "light": light, "reason": why}
            row = writer.append("review_opened", name, payload, who)
            return _after(None, row)

    def step(self, id: str, step: str, note: str, by: str) -> Review:
        """Note what a step found.

        Raises
        ------
        RefusedError
            If the review is closed, or another step comes first.
        """
        who, found = clean_name(by, "the name"), _said(note)
        with self._chain.writing() as writer:
            review = _one(writer, id)
            if step not in STEPS:
                raise SpecError(f"no step '{step}'", f"steps are: {', '.join(STEPS)}")
            if review.next != step:
                left = review.next
                raise RefusedError(
                    f"{id}: '{step}' is not the next step",
                    "close it" if left is None else f"the next is '{left}'; its note may say why it is not needed",
                )
            row = writer.append("review_step", review.kpi, {"id": id, "step": step, "note": found}, who)
            return _after(review, row)

    def close(self, id: str, note: str, by: str) -> Review:
        """End a review whose steps were all taken.

        Raises
        ------
        RefusedError
            If it is closed already, or a step is left.
        """
        who, found = clean_name(by, "the name"), _said(note)
        with self._chain.writing() as writer:
            review = _one(writer, id)
            if review.next is not None:
                raise RefusedError(
                    f"{id}: the step '{review.next}' is left", "take it, or note why it is not needed"
                )
            return _after(review, writer.append("review_closed", review.kpi, {"id": id, "note": found}, who))


def red(writer: Writer) -> set[str]:
    """KPIs on which a red review is open."""
    found = _folded(writer.rows(kinds=KINDS)).values()
    return {each.kpi for each in found if each.open and each.light == "red"}


def _one(writer: Writer, id: str) -> Review:
    review = _folded(writer.rows(kinds=KINDS)).get(id)
    if review is None:
        raise DataError(f"the ledger holds no review '{id}'", "'ledger review' shows those it holds")
    if not review.open:
        raise RefusedError(f"{id} is closed", "open a new one")
    return review


def _folded(rows: Iterable[Row]) -> dict[str, Review]:
    known: dict[str, Review] = {}
    for row in rows:
        id = row.payload["id"]
        known[id] = _after(known.get(id), row)
    return known


def _after(review: Review | None, row: Row) -> Review:
    if row.kind == "review_opened":
        found = row.payload
        return Review(found["id"], row.subject, found["light"], found["reason"], row.time)
    assert review is not None
    if row.kind == "review_step":
        return replace(review, notes=(*review.notes, row.payload["note"]))
    return replace(review, open=False, closed=row.time)


def _said(text: str) -> str:
    if not text.strip():
        raise SpecError("nothing is said", "say why in a sentence; it is kept")
    return text.strip()
