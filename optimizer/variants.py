"""Variants of a scenario as plain data: what each overrides, how it is merged, and where it is said."""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from .documents import Document, Place, Spec
from .errors import OptimizerError, SpecError
from .preferences import MODES

BLOCKS = ("budget", "preferences", "constraints", "response")
# Parts of the preferences that are said KPI by KPI: a variant's are added to its base's.
BY_KPI = ("floors", "scale")
MOST = 1000
# One file in which these stand is about several scenarios.
SEVERAL = ("variants", "grid")

Name = Annotated[str, Field(min_length=1, max_length=200)]
Factor = Annotated[float, Field(gt=0, le=1000)]
Block = dict[str, Any]


class Overrides(Spec):
    """What a variant says otherwise than its base; ``budget`` is a multiplier of the base's."""

    budget: Factor | None = None
    preferences: Block | None = None
    constraints: Block | None = None
    response: Block | None = None


class VariantSpec(Overrides):
    """One of several variants in a file."""

    name: Name


class GridSpec(Spec):
    """Every combination of the budgets and of the named overrides of each block; ``{}`` overrides nothing."""

    budget: list[Factor] = []
    preferences: dict[Name, Block] = {}
    constraints: dict[Name, Block] = {}
    response: dict[Name, Block] = {}


class VariantFile(Overrides):
    """A file of one variant of ``base`` (``name`` and overrides), or of several (``variants``, ``grid``)."""

    base: Annotated[str, Field(min_length=1)]
    name: Name | None = None
    variants: list[VariantSpec] = []
    grid: GridSpec | None = None

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        several = bool(self.variants) or self.grid is not None
        if several == (self.name is not None):
            raise SpecError(
                "needs either a 'name' and overrides, or 'variants' or a 'grid'",
                "a file is one variant, or several with a name each",
            )
        stray = [block for block in BLOCKS if getattr(self, block) is not None]
        if several and stray:
            raise SpecError(
                f"'{stray[0]}' stands beside several variants", "say it in each of them", path=(stray[0],)
            )
        return self


@dataclass(frozen=True)
class Change:
    """A variant's name, what it overrides by block, and where in its file each block stands."""

    name: str
    blocks: Mapping[str, Any]
    places: Mapping[str, Place] = field(default_factory=dict)

    def locate(self, error: OptimizerError, document: Document, base: Document) -> OptimizerError:
        """Fill in file, line and path: the variant's where it says the field, else its base's."""
        path = error.path
        if path[:2] == ("constraints", "budget") and "budget" in self.places:
            error.path = self.places["budget"]
            return document.locate(error)
        start = self.places.get(str(path[0])) if path else None
        if start is not None:
            here = (*start, *path[1:])
            # How deep the variant must reach for its word to be the last; see `merged`.
            reach = 2 if path[0] == "response" or (len(path) > 1 and path[1] in BY_KPI) else 1
            if here[: len(start) + reach] in document.lines:
                error.path = here
                return document.locate(error)
        error.message = f"{error.message} (in the variant '{self.name}')"
        return base.locate(error)


def changes(file: VariantFile) -> list[Change]:
    """Return the variants that a file is about, in its order; the grid's last.

    Raises
    ------
    SpecError
        If there are none, more than `MOST`, or two of one name.
    """
    if file.name is not None:
        return [_change(file.name, file, ())]
    found = [_change(spec.name, spec, ("variants", i)) for i, spec in enumerate(file.variants)]
    found += itertools.islice(_cells(file.grid), MOST + 1) if file.grid is not None else []
    if len(found) > MOST:
        raise SpecError(f"more than {MOST} variants", "make the grid smaller", path=("grid",))
    if not found:
        raise SpecError("the grid is empty", "name budgets, or overrides of a block", path=("grid",))
    names = [change.name for change in found]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise SpecError(f"two variants are called '{name}'", "give each its own name", path=("variants",))
    return found


def _change(name: str, spec: Overrides, place: Place) -> Change:
    said = {block: getattr(spec, block) for block in BLOCKS if getattr(spec, block) is not None}
    return Change(name, said, {block: (*place, block) for block in said})


def _cells(grid: GridSpec) -> Iterator[Change]:
    axes: list[list[tuple[str, str, Any, Place]]] = []
    if grid.budget:
        budgets = enumerate(grid.budget)
        axes.append([("budget", f"budget {factor:.12g}", factor, ("grid", "budget", i)) for i, factor in budgets])
    for block in BLOCKS[1:]:
        named = getattr(grid, block)
        if named:
            axes.append([(block, label, said, ("grid", block, label)) for label, said in named.items()])
    for cell in itertools.product(*axes) if axes else ():
        blocks = {block: said for block, _, said, _ in cell}
        places = {block: place for block, _, _, place in cell}
        yield Change(", ".join(label for _, label, _, _ in cell), blocks, places)


def beside(blocks: Mapping[str, Any], source: Path, target: Path) -> dict[str, Any]:
    """Return the blocks with a response file named from the ``source`` directory named from ``target``."""
    found = dict(blocks)
    file = (found.get("response") or {}).get("file")
    if isinstance(file, str):
        try:
            moved = os.path.relpath(source / file, target)
        except ValueError:  # another drive
            moved = str((source / file).resolve())
        found["response"] = {**found["response"], "file": Path(moved).as_posix()}
    return found


def merged(base: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """Return a scenario's data with a variant's overrides.

    ``preferences``: what is said replaces the base's, a trade-off any other way of stating one; floors and scale
    are added KPI by KPI. ``constraints``: each rule said replaces the base's of that name. ``response``: a file
    replaces what the base has; curves replace the base's by KPI and line. None takes out what the base says.
    ``budget`` multiplies. Claims are about the base's plan and stay with it.

    Raises
    ------
    SpecError
        If the budget is given twice, or a KPI another scale than the base's.
    """
    data = copy.deepcopy(dict(base))
    data.pop("hash", None)
    said = copy.deepcopy(dict(change.blocks))
    data |= {"name": change.name, "claims": []}
    if "preferences" in said:
        data["preferences"] = _preferences(data.get("preferences", {}), said["preferences"])
    if "constraints" in said:
        if "budget" in said and "budget" in said["constraints"]:
            what = "both 'budget' and 'constraints.budget' are given"
            raise SpecError(what, "keep one", path=("constraints", "budget"))
        data["constraints"] = _without_none({**data["constraints"], **said["constraints"]})
    if "budget" in said:
        amounts = data["constraints"]["budget"]
        data["constraints"]["budget"] = {kind: amount * said["budget"] for kind, amount in amounts.items()}
    if "response" in said:
        data["response"] = _response(data["response"], said["response"])
    return data


def _without_none(block: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if value is not None}


def _preferences(base: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    restated = any(said.get(mode) for mode in MODES)
    found = {key: value for key, value in base.items() if not (restated and key in MODES)}
    for key, value in said.items():
        kept = found.get(key, {})
        if key in BY_KPI and isinstance(value, Mapping) and isinstance(kept, Mapping):
            for name, ends in value.items():
                if key == "scale" and name in kept and ends != kept[name]:
                    raise SpecError(
                        f"'{name}' has another scale in the base",
                        "variants are kept on the base's scale: take this out, or change the base",
                        path=("preferences", "scale", name),
                    )
            value = _without_none({**kept, **value})
        found[key] = value
    return _without_none(found)


def _response(base: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    if "file" in said:
        # A file is pinned by its own hash, and read whole.
        kept = {key: base[key] for key in ("leave_out",) if key in base}
        return _without_none({**kept, **said})
    found = dict(base)
    for key, value in said.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping) and key != "synergy"
        found[key] = {**found[key], **value} if both else value
    return _without_none(found)
