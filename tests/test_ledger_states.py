"""Who may do what in which state: every action in every state, and the rules about people and reviews."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optimizer as opt
from optimizer.decisions import LEVELS
from optimizer.ledger import STATES, STEPS, Ledger, RefusedError, Row
from optimizer.ledger.decisions import record
from optimizer.ledger.states import MOVES, said


@pytest.fixture
def ledger(ledger_place: str) -> Iterator[Ledger]:
    with Ledger(ledger_place, create=True) as ledger:
        yield ledger


def draft(ledger: Ledger, level: str = "confirm", target: str = "acme", by: str = "ann") -> str:
    """Record a run of one recommendation, written by Ann."""
    with ledger.chain.writing() as writer:
        run = f"run-{writer.last + 1}"
        writer.append("run", run, {"made": "plan", "kpis": {"orders": 1}, "inputs": []}, by)
        advice = {"level": level, "spend": {"search": 60.0, "tv": 40.0}, "current": {"search": 50.0, "tv": 50.0}}
        return record(writer, run, target, advice, by)


def brought_to(ledger: Ledger, state: str) -> str:
    """A recommendation in a state, by the moves that lead there."""
    id = draft(ledger)
    steps: dict[str, Callable[[], object]] = {
        "review": lambda: ledger.decisions.submit(id, "ann"),
        "approved": lambda: ledger.decisions.approve(id, "bob"),
        "active": lambda: ledger.decisions.activate(id, "ann"),
    }
    reached = {"superseded": "active", "rolled_back": "active"}.get(state, state)
    for name, step in steps.items():
        if list(STATES).index(name) <= list(STATES).index(reached):
            step()
    if state == "superseded":
        other = draft(ledger)
        ledger.decisions.submit(other, "ann")
        ledger.decisions.approve(other, "bob")
        ledger.decisions.activate(other, "ann")
    if state == "rolled_back":
        ledger.decisions.rollback(id, "ann", "a mistake")
    assert ledger.decisions.get(id).state == state
    return id


DO: dict[str, Callable[[Ledger, str, str], object]] = {
    "submit": lambda ledger, id, by: ledger.decisions.submit(id, by),
    "approve": lambda ledger, id, by: ledger.decisions.approve(id, by),
    "reject": lambda ledger, id, by: ledger.decisions.reject(id, by, "too bold"),
    "edit": lambda ledger, id, by: ledger.decisions.edit(id, by, {"tv": 45.0}, "the client asks"),
    "activate": lambda ledger, id, by: ledger.decisions.activate(id, by),
    "rollback": lambda ledger, id, by: ledger.decisions.rollback(id, by, "it failed"),
}
ACTIONS = tuple(DO)
# All that is allowed, and where it leads; every other pair is refused.
ALLOWED = {
    ("draft", "submit"): "review",
    ("draft", "edit"): "draft",
    ("review", "approve"): "approved",
    ("review", "reject"): "draft",
    ("review", "edit"): "draft",
    ("approved", "reject"): "draft",
    ("approved", "edit"): "draft",
    ("approved", "activate"): "active",
    ("active", "rollback"): "rolled_back",
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("state", STATES)
def test_every_action_in_every_state(ledger: Ledger, state: str, action: str) -> None:
    id = brought_to(ledger, state)
    before = ledger.verify().rows
    if (state, action) in ALLOWED:
        DO[action](ledger, id, "cleo")
        assert ledger.decisions.get(id).state == ALLOWED[state, action]
        assert ledger.verify().rows == before + 1
    else:
        with pytest.raises(RefusedError, match=rf"{id} is {said(state)}; to {action}, it must be "):
            DO[action](ledger, id, "cleo")
        assert ledger.decisions.get(id).state == state
        assert ledger.verify().rows == before
    assert ledger.verify().sound


def test_the_table_tested_is_the_whole_table() -> None:
    stated = {(state, action): to for action, moves in MOVES.items() for state, to in moves.items()}
    follow = {("active", "supersede"): "superseded", ("superseded", "restore"): "active"}
    assert stated == ALLOWED | follow


# People


@pytest.mark.parametrize("by", ["ann", "Ann", " ANN ", "ａnn"])
def test_nobody_approves_their_own(ledger: Ledger, by: str) -> None:
    id = draft(ledger)
    ledger.decisions.submit(id, "dan")
    with pytest.raises(RefusedError, match="cannot approve it"):
        ledger.decisions.approve(id, by)
    with pytest.raises(RefusedError, match="cannot approve it"):
        ledger.decisions.approve(id, "dan")
    assert ledger.decisions.approve(id, "bob").state == "approved"


def test_who_edits_becomes_an_author(ledger: Ledger) -> None:
    id = draft(ledger)
    ledger.decisions.edit(id, "bob", {"tv": 45.0}, "the client asks")
    ledger.decisions.submit(id, "ann")
    with pytest.raises(RefusedError, match="bob wrote"):
        ledger.decisions.approve(id, "bob")


def test_two_person_needs_two_people(ledger: Ledger) -> None:
    id = draft(ledger, "two_person")
    ledger.decisions.submit(id, "ann")
    assert ledger.decisions.approve(id, "bob").state == "review"
    with pytest.raises(RefusedError, match=r"Bob has approved .* already"):
        ledger.decisions.approve(id, "Bob")
    with pytest.raises(RefusedError, match="wrote"):
        ledger.decisions.approve(id, "ann")
    with pytest.raises(RefusedError, match="is in review"):
        ledger.decisions.activate(id, "ann")
    found = ledger.decisions.approve(id, "cleo")
    assert (found.state, found.approvals, found.missing) == ("approved", ("bob", "cleo"), 0)


def test_blocked_is_never_approved(ledger: Ledger) -> None:
    id = draft(ledger, "blocked")
    ledger.decisions.submit(id, "ann")
    for by in ("bob", "cleo", "dan"):
        with pytest.raises(RefusedError, match="is blocked: nobody can approve it"):
            ledger.decisions.approve(id, by)
    ledger.decisions.edit(id, "ann", {"tv": 49.0}, "smaller")
    assert ledger.decisions.get(id).level == "blocked"


def test_auto_needs_nobody(ledger: Ledger) -> None:
    id = draft(ledger, "auto")
    assert ledger.decisions.submit(id, "ann").state == "approved"
    assert ledger.decisions.activate(id, "ann").state == "active"


@pytest.mark.parametrize("level", LEVELS)
def test_an_edit_resets_approval_and_asks_for_two(ledger: Ledger, level: str) -> None:
    id = draft(ledger, level)
    ledger.decisions.submit(id, "ann")
    if level in ("confirm", "two_person"):
        ledger.decisions.approve(id, "bob")
    found = ledger.decisions.edit(id, "cleo", {"tv": 45.0}, "the client asks")
    assert (found.state, found.approvals) == ("draft", ())
    assert found.level == ("blocked" if level == "blocked" else "two_person")
    assert ledger.decisions.spend(id) == {"search": 60.0, "tv": 45.0}
    if level != "blocked":
        ledger.decisions.submit(id, "ann")
        assert ledger.decisions.approve(id, "bob").state == "review"
        assert ledger.decisions.approve(id, "dan").state == "approved"


def test_a_rejection_takes_approvals_back(ledger: Ledger) -> None:
    id = draft(ledger, "two_person")
    ledger.decisions.submit(id, "ann")
    ledger.decisions.approve(id, "bob")
    ledger.decisions.reject(id, "cleo", "too bold")
    ledger.decisions.submit(id, "ann")
    assert ledger.decisions.approve(id, "bob").state == "review"


@pytest.mark.parametrize(
    ("spend", "says"),
    [
        ({"radio": 1.0}, "unknown line 'radio'"),
        ({"tv": -1.0}, "spend of -1"),
        ({"tv": float("nan")}, "nan"),
        ({}, "nothing to change"),
    ],
)
def test_an_edit_is_an_amount_on_a_line(ledger: Ledger, spend: dict[str, float], says: str) -> None:
    with pytest.raises(opt.SpecError, match=says):
        ledger.decisions.edit(draft(ledger), "ann", spend, "the client asks")


def test_names_and_reasons_are_said(ledger: Ledger) -> None:
    id = draft(ledger)
    for by in ("", "  ", "a\nb", "x" * 501):
        with pytest.raises(opt.SpecError, match="the name"):
            ledger.decisions.submit(id, by)
    ledger.decisions.submit(id, "ann")
    with pytest.raises(opt.SpecError, match="no reason is given"):
        ledger.decisions.reject(id, "bob", " ")
    for unknown in ("run-1/other", "run-9", "nonsense"):
        with pytest.raises(opt.DataError, match=f"no recommendation '{unknown}'"):
            ledger.decisions.submit(unknown, "ann")


# One live plan


def live(ledger: Ledger, target: str = "acme") -> str:
    id = draft(ledger, "auto", target)
    ledger.decisions.submit(id, "ann")
    ledger.decisions.activate(id, "ann")
    return id


def test_one_plan_of_a_target_is_live_and_a_rollback_restores_the_one_before(ledger: Ledger) -> None:
    first, other, second, third = live(ledger), live(ledger, "other"), live(ledger), live(ledger)
    state = {each.id: each.state for each in ledger.decisions.list()}
    assert state == {first: "superseded", other: "active", second: "superseded", third: "active"}
    assert ledger.decisions.rollback(third, "bob", "it failed").id == second
    assert ledger.log("acme")[-1].payload["spend"] == {"search": 60.0, "tv": 40.0}
    assert ledger.decisions.get(third).state == "rolled_back"
    assert ledger.decisions.active("acme").id == second
    assert ledger.decisions.rollback(second, "bob", "older still").id == first
    assert ledger.decisions.active("other").id == other


def test_a_rollback_to_a_named_plan(ledger: Ledger) -> None:
    first, _, third = live(ledger), live(ledger), live(ledger)
    other = live(ledger, "other")
    with pytest.raises(RefusedError, match=f"{other} is no plan of acme"):
        ledger.decisions.rollback(third, "bob", "it failed", to=other)
    waiting = draft(ledger)
    with pytest.raises(RefusedError, match=f"{waiting} is draft"):
        ledger.decisions.rollback(third, "bob", "it failed", to=waiting)
    assert ledger.decisions.rollback(third, "bob", "it failed", to=first).id == first


def test_a_rollback_of_the_first_leaves_none(ledger: Ledger) -> None:
    assert ledger.decisions.rollback(live(ledger), "bob", "it failed").state == "rolled_back"
    assert ledger.decisions.active("acme") is None


# Reviews


def closed(ledger: Ledger, id: str) -> None:
    for step in STEPS:
        ledger.reviews.step(id, step, "looked at", "bob")
    ledger.reviews.close(id, "mended", "bob")


def test_nothing_is_approved_or_activated_while_a_red_review_is_open(ledger: Ledger) -> None:
    waiting, ready, auto = draft(ledger, target="a"), draft(ledger, target="b"), draft(ledger, "auto", "c")
    for id in (waiting, ready):
        ledger.decisions.submit(id, "ann")
    ledger.decisions.approve(ready, "bob")
    ledger.reviews.open("orders", "yellow", "drifts", "ann")
    ledger.reviews.open("other kpi", "red", "fell", "ann")
    review = ledger.reviews.open("orders", "red", "fell since October", "ann")
    for refused in (
        lambda: ledger.decisions.approve(waiting, "bob"),
        lambda: ledger.decisions.activate(ready, "bob"),
        lambda: ledger.decisions.submit(auto, "ann"),
    ):
        with pytest.raises(RefusedError, match="a red review is open on orders"):
            refused()
    closed(ledger, review.id)
    assert ledger.decisions.approve(waiting, "bob").state == "approved"
    assert ledger.decisions.activate(ready, "bob").state == "active"
    assert ledger.decisions.submit(auto, "ann").state == "approved"


def test_a_review_takes_its_three_steps_in_order(ledger: Ledger) -> None:
    review = ledger.reviews.open("orders", "red", "fell", "ann")
    with pytest.raises(RefusedError, match="open on orders already"):
        ledger.reviews.open("orders", "red", "fell more", "ann")
    with pytest.raises(RefusedError, match="'refit' is not the next step"):
        ledger.reviews.step(review.id, "refit", "done", "bob")
    with pytest.raises(opt.SpecError, match="no step 'prayer'"):
        ledger.reviews.step(review.id, "prayer", "done", "bob")
    for step in STEPS:
        with pytest.raises(RefusedError, match=f"the step '{step}' is left"):
            ledger.reviews.close(review.id, "mended", "bob")
        assert ledger.reviews.list("orders")[0].next == step
        ledger.reviews.step(review.id, step, f"{step}: nothing", "bob")
    with pytest.raises(RefusedError, match="is not the next step"):
        ledger.reviews.step(review.id, "refit", "again", "bob")
    found = ledger.reviews.close(review.id, "mended", "bob")
    assert (found.open, found.notes) == (False, tuple(f"{step}: nothing" for step in STEPS))
    assert ledger.reviews.list() == []
    assert ledger.reviews.list(closed=True) == [found]
    with pytest.raises(RefusedError, match="is closed"):
        ledger.reviews.close(review.id, "again", "bob")
    with pytest.raises(opt.DataError, match="no review 'review-99'"):
        ledger.reviews.close("review-99", "again", "bob")
    assert ledger.reviews.open("orders", "red", "fell again", "ann").id != review.id
    with pytest.raises(opt.SpecError, match="no review is opened on green"):
        ledger.reviews.open("orders", "green", "fine", "ann")


# KPI versions


def test_a_definition_changes_by_a_new_version_and_after_a_rollback_history_is_as_it_was(ledger: Ledger) -> None:
    kpis = ledger.kpis
    first = {"direction": "maximize", "calculation": "forms sent"}
    assert kpis.define("forms", first, "ann", "as counted now").version == 1
    kpis.record_value("forms", "2026-09", 0.1 + 0.2, "ann")
    before = kpis.value("forms", "2026-09")
    with pytest.raises(RefusedError, match="version 1 of 'forms' says just that"):
        kpis.define("forms", {**first, "baseline": 3.0}, "ann", "another quarter")
    kpis.define("forms", {**first, "calculation": "forms sent by adults"}, "bob", "children do not buy")
    assert kpis.value("forms", "2026-09") is None
    kpis.record_value("forms", "2026-09", 0.25, "bob")
    assert (kpis.current("forms").version, kpis.value("forms", "2026-09")) == (2, 0.25)
    restored = kpis.rollback("forms", "ann", "counted wrong")
    assert (restored.version, restored.same_as, dict(restored.definition)) == (3, 1, first)
    assert kpis.value("forms", "2026-09") == before
    kpis.record_value("forms", "2026-10", 0.4, "ann")
    again = kpis.rollback("forms", "ann", "counted right", to=2)
    assert (again.version, again.same_as, kpis.value("forms", "2026-09")) == (4, 2, 0.25)
    assert kpis.rollback("forms", "ann", "for good", to=1).same_as == 1
    assert {period: value.value for period, value in kpis.values("forms").items()} == {
        "2026-09": before,
        "2026-10": 0.4,
    }
    assert [each.reason for each in kpis.versions("forms")][:2] == ["as counted now", "children do not buy"]
    assert kpis.names() == ["forms"]
    assert ledger.verify().sound


def test_values_are_restated_with_a_reason_only(ledger: Ledger) -> None:
    ledger.kpis.define("forms", {"direction": "maximize"}, "ann", "new")
    ledger.kpis.record_value("forms", "2026-09", 5.0, "ann")
    ledger.kpis.record_value("forms", "2026-09", 5.0, "ann")
    with pytest.raises(RefusedError, match="is 5 in 2026-09 already"):
        ledger.kpis.record_value("forms", "2026-09", 6.0, "ann")
    ledger.kpis.record_value("forms", "2026-09", 6.0, "ann", "late forms came in")
    assert ledger.kpis.value("forms", "2026-09") == 6.0
    for value in (float("nan"), float("inf")):
        with pytest.raises(opt.SpecError, match="a value of"):
            ledger.kpis.record_value("forms", "2026-10", value, "ann")


def test_what_there_is_not_is_said(ledger: Ledger) -> None:
    with pytest.raises(opt.DataError, match="no KPI 'forms'"):
        ledger.kpis.record_value("forms", "2026-09", 5.0, "ann")
    with pytest.raises(opt.DataError, match="no KPI 'forms'"):
        ledger.kpis.rollback("forms", "ann", "why")
    ledger.kpis.define("forms", {"direction": "maximize"}, "ann", "new")
    for version in (None, 0, 2):
        with pytest.raises(opt.DataError, match="has no version"):
            ledger.kpis.rollback("forms", "ann", "why", to=version)
    with pytest.raises(RefusedError, match="version 1 of 'forms' is what holds now"):
        ledger.kpis.rollback("forms", "ann", "why", to=1)
    with pytest.raises(opt.SpecError, match="direction"):
        ledger.kpis.define("other", {"direction": "sideways"}, "ann", "new")
    assert ledger.kpis.current("other") is None
    assert ledger.kpis.values("other") == {}


# Whatever is done in whatever order

PEOPLE = ("ann", "bob", "cleo")
STEP = st.tuples(st.sampled_from(list(ACTIONS)), st.sampled_from(PEOPLE), st.integers(0, 1))


def entitled(rows: list[Row], id: str) -> bool:
    """Whether a recommendation may be live by its rows alone, counted in the plainest way."""
    mine = [row for row in rows if row.payload.get("id") == id]
    level = [row.payload["level"] for row in mine if row.kind in ("recommendation", "edit")][-1]
    authors = {row.actor for row in mine if row.kind in ("recommendation", "edit", "submit")}
    since = max(i for i, row in enumerate(mine) if row.kind == "submit")
    agreed = {row.actor for row in mine[since:] if row.kind == "approve"} - authors
    return level != "blocked" and len(agreed) >= {"auto": 0, "confirm": 1, "two_person": 2}[level]


@settings(max_examples=12)
@given(level=st.sampled_from(LEVELS), steps=st.lists(STEP, min_size=4, max_size=16))
def test_nothing_goes_live_that_too_few_agreed_to(
    level: str, steps: list[tuple[str, str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Ledger(tmp_path_factory.mktemp("ledger") / "ledger.db", create=True) as ledger:
        ids = [draft(ledger, level), draft(ledger, level, by="cleo")]
        for action, by, which in steps:
            with suppress(RefusedError):
                DO[action](ledger, ids[which], by)
            live = [each.id for each in ledger.decisions.list(state="active")]
            ready = [each.id for each in ledger.decisions.list(state="approved")]
            assert len(live) <= 1
            assert all(entitled(ledger.log("acme"), id) for id in live + ready)
        assert ledger.verify().sound


# A whole batch


def test_a_batch_is_submitted_and_its_automatic_part_made_live_by_one_command_each(ledger: Ledger) -> None:
    with ledger.chain.writing() as writer:
        writer.append("run", "run-1", {"made": "reallocate", "kpis": {"orders": None}, "inputs": []}, "ann")
        for number in range(12):
            advice = {"level": LEVELS[number % 4], "spend": {"tv": 1.0}, "current": {"tv": 1.0}}
            record(writer, "run-1", f"account/{number}", advice, "ann")
    decisions = ledger.decisions
    with pytest.raises(opt.SpecError, match="run-1 made 12 recommendations"):
        decisions.submit("run-1", "ann")
    done, refused = decisions.all("submit", "run-1", "ann")
    assert (len(done), refused) == (12, {})
    done, refused = decisions.all("activate", "run-1", "ann", level="auto")
    assert (done, refused) == ([f"run-1/account/{number}" for number in (0, 4, 8)], {})
    done, refused = decisions.all("approve", "run-1", "bob")
    assert (len(done), len(refused)) == (6, 3)
    assert all("blocked" in reason for reason in refused.values())
    counts = [len(decisions.list("run-1", state)) for state in STATES]
    assert counts == [0, 6, 3, 3, 0, 0]
    assert decisions.all("approve", "run-1", "ann", level="two_person")[1].keys() == {
        f"run-1/account/{number}" for number in (2, 6, 10)
    }
    assert decisions.approve("run-1/account/2", "cleo").state == "approved"
    with pytest.raises(opt.DataError, match="no recommendation 'run-7'"):
        decisions.all("submit", "run-7", "ann")


def test_a_batch_is_held_back_by_a_red_review(ledger: Ledger) -> None:
    id = draft(ledger, "auto")
    ledger.reviews.open("orders", "red", "fell", "ann")
    done, refused = ledger.decisions.all("submit", id.split("/")[0], "ann")
    assert (done, list(refused)) == ([], [id])
    assert "a red review is open on orders" in refused[id]


def test_ledgers_opened_side_by_side_see_each_other(ledger: Ledger, ledger_place: str) -> None:
    id = draft(ledger)
    with Ledger(Path(ledger_place) if "://" not in ledger_place else ledger_place) as other:
        other.decisions.submit(id, "ann")
    assert ledger.decisions.get(id).state == "review"
