"""What the ledger's commands print, and the files they write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.text import Text

from .files import csv_text, json_text
from .formats import clean, number, signed
from .tables import columns

if TYPE_CHECKING:
    from ..ledger import Decision, Replay, Review, Row, Verification


def print_verification(console: Console, found: Verification) -> None:
    """Print whether the chain is sound, or the first altered row; and the head to note."""
    if not found.sound:
        console.print(Text(clean(f"ALTERED: {found.fault}"), style="bold red"))
        console.print(Text(f"{found.rows:,} rows before it are sound."))
        return
    console.print(Text(f"{found.rows:,} rows, all sound.", style="bold"))
    console.print(Text(f"Head: {found.head}"), soft_wrap=True)
    console.print(Text("Note it elsewhere: 'ledger verify --head' then finds even a chain that was rewritten."))


def print_replay(console: Console, found: Replay) -> None:
    """Print whether the numbers came out again, and each input that changed."""
    console.print(Text(clean(f"{found.run}: {found.why}"), style="bold"), soft_wrap=True)
    for text in found.changed:
        console.print(Text(clean(f"  {text}")), soft_wrap=True)


def print_log(console: Console, rows: Sequence[Row], last: int) -> None:
    """Print rows of the ledger, at most the last ones."""
    table = columns("Row", "Time, UTC", "By", "What", "About", "Content", words=6)
    table.columns[1].no_wrap = True
    for row in rows[-last:]:
        said = map(clean, (row.actor, row.kind, row.subject, _brief(row)))
        table.add_row(str(row.seq), row.time[:16].replace("T", " "), *said)
    _print(console, table, len(rows), last, "rows")


def print_decisions(console: Console, found: Sequence[Decision], last: int) -> None:
    """Print recommendations, at most the last ones."""
    from ..ledger.states import said

    table = columns("Recommendation", "State", "Level", "Written by", "Approved by", words=5)
    for each in found[-last:]:
        people = (", ".join(map(clean, names)) for names in (each.authors, each.approvals))
        table.add_row(clean(each.id), said(each.state), each.level, *people)
    _print(console, table, len(found), last, "recommendations")


def print_decision(console: Console, found: Decision, content: Mapping[str, Any]) -> None:
    """Print one recommendation: what it moves, why its level is what it is, and who has agreed."""
    from ..ledger.states import said

    console.print(
        Text(clean(f"{found.id}: {said(found.state)}, level {found.level}"), style="bold"), soft_wrap=True
    )
    for reason in content["reasons"]:
        console.print(Text(clean(f"  {reason}")))
    people = {"Written by": found.authors, "Approved by": found.approvals}
    for what, names in people.items():
        console.print(Text(f"{what}: {', '.join(map(clean, names)) or 'nobody'}"))
    table = columns("Line", "Today", "Recommended", "Move")
    for line, amount in content["spend"].items():
        today = content["current"][line]
        table.add_row(clean(line), number(today), number(amount), signed(amount - today, today))
    console.print(table)
    console.print(Text(f"Money in {content.get('currency', 'the currency of the run')}.", style="dim"))


def print_reviews(console: Console, found: Sequence[Review]) -> None:
    """Print reviews and the step each waits for."""
    table = columns("Review", "KPI", "Light", "Opened, UTC", "Next", "Why", words=6)
    for each in found:
        waits = (each.next or "close it") if each.open else "closed"
        table.add_row(each.id, clean(each.kpi), each.light, each.opened[:19], waits, clean(each.reason))
    _print(console, table, len(found), len(found), "reviews")


def _print(console: Console, table: object, count: int, last: int, what: str) -> None:
    if not count:
        console.print(Text(f"No {what}."))
        return
    console.print(table)
    if count > last:
        console.print(Text(f"The last {last:,} of {count:,} {what}; --last shows more, --out writes all."))


def _brief(row: Row) -> str:
    """The few words that say most about a row."""
    said = row.payload
    parts = [said[name] for name in ("state", "level", "light", "step", "reason", "note") if said.get(name)]
    if row.kind == "run":
        parts = [said["made"], said["result"]["hash"][:12]]
    if row.kind == "review_opened":
        parts.insert(0, said["id"])
    if "version" in said:
        parts.append(f"version {said['version']}")
    if row.kind == "value":
        parts.append(f"{said['period']}: {said['value']:g}")
    return ", ".join(dict.fromkeys(map(str, parts)))


def log_files(rows: Sequence[Row]) -> dict[str, str | bytes]:
    """The rows as JSON with all their content, and as CSV."""
    names = ("seq", "time", "actor", "kind", "subject", "hash")
    data = [{name: getattr(row, name) for name in names} | {"payload": dict(row.payload)} for row in rows]
    table = pd.DataFrame([[getattr(row, name) for name in names] + [_brief(row)] for row in rows])
    table = table.set_axis([*names, "content"], axis=1) if rows else pd.DataFrame(columns=[*names, "content"])
    return {"log.json": json_text({"rows": data}), "log.csv": csv_text(table.set_index("seq"))}


def decision_files(found: Sequence[Decision]) -> dict[str, str | bytes]:
    """Recommendations as JSON and CSV."""
    data = [
        {
            "id": each.id,
            "target": each.target,
            "state": each.state,
            "level": each.level,
            "authors": list(each.authors),
            "approvals": list(each.approvals),
            "still_needed": each.missing,
        }
        for each in found
    ]
    names = ("id", "target", "state", "level", "authors", "approvals", "still_needed")
    table = pd.DataFrame(data, columns=list(names))
    for name in ("authors", "approvals"):
        table[name] = ["; ".join(people) for people in table[name]]
    return {"decisions.json": json_text({"decisions": data}), "decisions.csv": csv_text(table.set_index("id"))}
