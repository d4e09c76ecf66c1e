"""What all importers share: periods, prices, the starter scenario, the summary."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from conftest import make_model

from optimizer import DataError, SpecError
from optimizer.evidence import imported
from optimizer.evidence.imported import Import, Price


def made(**given: object) -> Import:
    model = make_model(kpis=("orders",), **given)
    return Import(
        source="somewhere",
        model=model,
        checks=(),
        current=np.array([10.0, 20.123456789, 0.0]),
        currency="EUR",
        units={"orders": "orders"},
        attributes={"line0": {"channel": "tv"}},
    )


def days(*steps: int) -> list[date]:
    found = [date(2025, 1, 6)]
    for step in steps:
        found.append(found[-1] + timedelta(days=step))
    return found


def test_periods_are_days_or_weeks() -> None:
    assert imported.timing(days(7, 7, 7), "f", ()) == ("week", date(2025, 2, 3))
    assert imported.timing(days(1, 1), "f", ()) == ("day", date(2025, 1, 9))


@pytest.mark.parametrize(
    ("dates", "words"),
    [
        (days(7, 14, 7), "2025-01-27 follows 2025-01-13: 14 days apart"),
        (days(31, 28), "31 days apart"),
        (days(31, 31), "31 days apart"),
        (days(7, 7, 1), "1 days apart"),
        (days(7, -7), "-7 days apart"),
        (days(), "too few"),
    ],
)
def test_other_periods_are_refused(dates: list[date], words: str) -> None:
    with pytest.raises(DataError, match=words):
        imported.timing(dates, "f", ("when",))


def test_prices_are_told_and_their_moves() -> None:
    steady = Price.of("seen", np.array([10.0, 0.0, 20.0]), np.array([1.0, 0.0, 2.0]))
    moved = Price.of("clicks", np.array([10.0, 10.0]), np.array([1.0, 3.0]))
    notes = imported.price_notes({"tv": steady, "web": moved})
    assert "tv (0.1 for one of 'seen')" in notes[0]
    assert notes[1] == "The price moved, which these curves do not show: web (0.1 to 0.3)."
    assert len(imported.price_notes({"tv": steady})) == 1
    assert imported.price_notes({}) == []


def test_the_starter_spends_what_was_spent() -> None:
    data = made().starter("response.nc")
    assert data["horizon"] == {"start": "2026-01-05", "periods": 13, "every": "week"}
    assert [line["current"] for line in data["lines"]] == [130.0, 261.605, 0.0]
    assert data["constraints"]["budget"]["total"] == 391.605
    assert data["lines"][0]["channel"] == "tv"
    assert data["kpis"]["orders"]["direction"] == "maximize"


def test_attributes_do_not_hide_a_lines_own_fields() -> None:
    found = replace(made(), attributes={"line1": {"price": "high", "line": "x", "geo": "north"}})
    line = found.starter("response.nc")["lines"][1]
    assert {key: line[key] for key in ("price_", "line_", "geo")} == {
        "price_": "high",
        "line_": "x",
        "geo": "north",
    }


def test_the_starter_asks_for_what_it_cannot_know() -> None:
    with pytest.raises(SpecError, match="when the plan starts"):
        made(start=None).starter("response.nc")
    with pytest.raises(SpecError, match="no KPI 'reach'"):
        made().starter("response.nc", "reach")
    assert made(start=None).starter("r.nc", start=date(2026, 2, 2))["horizon"]["start"] == "2026-02-02"


def test_past_and_latest() -> None:
    spend = np.arange(40.0).reshape(2, 20)
    assert imported.past(spend, 3).tolist() == [[18, 19], [38, 39]]
    assert imported.past(spend, 1).shape == (2, 0)
    assert imported.past(spend, 99).shape == (2, 20)
    assert imported.latest(spend, "week").tolist() == [13.0, 33.0]
