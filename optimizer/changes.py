"""What one scenario says otherwise than another, and scenarios that differ by one such change alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .response import file_hash
from .scenario import Scenario
from .variants import beside

# What a scenario is called and what is said about it change no plan.
TELL_NOTHING = ("name", "notes", "claims", "hash", "platform_kpi")


def changed(base: Scenario, other: Scenario) -> list[str]:
    """Return the blocks in which two scenarios differ: ``budget``, ``constraints``, ``response``, ``lines`` ..."""
    one, two = _blocks(base), _blocks(other)
    return [block for block in two if one.get(block) != two[block]]


def alone(base: Scenario, other: Scenario, block: str) -> Scenario:
    """Return the base with this one block of the other.

    Raises
    ------
    SpecError, DataError
        If the block does not stand without another that changed too.
    """
    data, said = _data(base), _data(other)
    if block == "budget":
        data["constraints"]["budget"] = said["constraints"]["budget"]
    elif block == "constraints":
        data["constraints"] = {**said["constraints"], "budget": data["constraints"]["budget"]}
    else:
        data[block] = said[block]
    if block == "response":
        data |= beside({block: said[block]}, other.directory, base.directory)
    data |= {"name": f"{other.name}: {block} alone"[:200], "claims": []}
    return replace(base.restated(data), base=base)


def evidence(scenario: Scenario) -> str | None:
    """Return what tells draws of one response from those of another; None for written curves.

    It is the file's hash, and the share of its draws that is held out.
    """
    file, held_out = scenario.spec.response.file, scenario.spec.response.held_out
    if file is None:
        return None
    found = file_hash(scenario.directory / file)
    return found if held_out is None else f"{found}, {held_out:g} held out"


def _data(scenario: Scenario) -> dict[str, Any]:
    return scenario.spec.model_dump(exclude_none=True, exclude={"hash"})


def _blocks(scenario: Scenario) -> dict[str, Any]:
    data = {key: value for key, value in _data(scenario).items() if key not in TELL_NOTHING}
    data["budget"] = data["constraints"].pop("budget")
    found = evidence(scenario)
    if found is not None:
        data["response"] |= {"file": found, "sha256": found}
    return data
