"""Decision levels: what asks for them, in words, and that more risk never lowers one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer import SpecError
from optimizer.decisions import LEVELS, MEASURES, DecisionsSpec, highest, levels, reasons

NAN = float("nan")
STATED = {
    "confirm": {"shift": 0.1, "spend_at_risk": 100.0, "guardrail": "yellow", "data_quality": 0.9},
    "two_person": {"shift": 0.2, "interval": 0.5},
    "blocked": {"guardrail": "red", "data_quality": 0.5, "extrapolation": 0.4},
    "unknown": "two_person",
}
SAFE = {
    "shift": 0.0,
    "spend_at_risk": 0.0,
    "extrapolation": 0.0,
    "interval": 0.0,
    "guardrail": 0.0,
    "data_quality": 1.0,
}


def level_of(spec: DecisionsSpec, **values: float) -> str:
    return LEVELS[highest(levels({k: np.array([v]) for k, v in {**SAFE, **values}.items()}, spec))[0]]


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ({}, "auto"),
        ({"shift": 0.1}, "auto"),
        ({"shift": 0.11}, "confirm"),
        ({"shift": 0.21}, "two_person"),
        ({"guardrail": 1.0}, "confirm"),
        ({"guardrail": 2.0}, "blocked"),
        ({"data_quality": 0.9}, "auto"),
        ({"data_quality": 0.89}, "confirm"),
        ({"data_quality": 0.49}, "blocked"),
        ({"interval": NAN}, "two_person"),
        ({"interval": NAN, "extrapolation": 0.5}, "blocked"),
        ({"shift": float("inf")}, "two_person"),
    ],
)
def test_levels(values: dict[str, float], level: str) -> None:
    assert level_of(DecisionsSpec.model_validate(STATED), **values) == level


def test_a_measure_without_a_limit_asks_for_nothing_even_where_not_known() -> None:
    spec = DecisionsSpec.model_validate({"confirm": {"shift": 0.1}})
    assert level_of(spec, interval=NAN, guardrail=NAN, data_quality=NAN) == "auto"


def test_reasons_come_highest_first() -> None:
    spec = DecisionsSpec.model_validate(STATED)
    values = {**SAFE, "shift": 0.15, "interval": NAN, "guardrail": 2.0, "data_quality": 0.8}
    asked = levels({k: np.array([v]) for k, v in values.items()}, spec)
    assert reasons(asked[0], spec) == [
        "guardrail red: blocked",
        "interval is not known: two_person",
        "shift above 0.1: confirm",
        "data_quality below 0.9: confirm",
    ]


limits = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("shift", "spend_at_risk", "extrapolation", "interval"), st.floats(0, 10)),
        "guardrail": st.sampled_from(["yellow", "red"]),
        "data_quality": st.floats(0, 1),
    },
)


def spec_of(stated: dict[str, Any]) -> DecisionsSpec | None:
    try:
        return DecisionsSpec.model_validate(stated)
    except ValueError:
        return None


@given(
    st.fixed_dictionaries({"confirm": limits, "two_person": limits, "blocked": limits}),
    st.sampled_from(LEVELS[1:]),
    st.fixed_dictionaries({name: st.floats(0, 10) for name in MEASURES}),
    st.fixed_dictionaries({name: st.floats(0, 10) for name in MEASURES}),
)
def test_more_risk_never_lowers_the_level(
    stated: dict[str, Any], unknown: str, values: dict[str, float], more: dict[str, float]
) -> None:
    spec = spec_of({**stated, "unknown": unknown})
    if spec is None:
        return
    values = {**values, "data_quality": values["data_quality"] / 10, "guardrail": values["guardrail"] // 4}
    riskier = {k: v - more[k] if MEASURES[k] else v + more[k] for k, v in values.items()}
    order = LEVELS.index
    assert order(level_of(spec, **riskier)) >= order(level_of(spec, **values))


def test_a_level_stricter_than_the_one_below_is_refused() -> None:
    with pytest.raises(ValueError, match="stricter") as caught:
        DecisionsSpec.model_validate({"confirm": {"data_quality": 0.5}, "blocked": {"data_quality": 0.6}})
    assert isinstance(caught.value.errors()[0]["ctx"]["error"], SpecError)
