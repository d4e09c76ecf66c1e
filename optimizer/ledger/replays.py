"""Compute a recorded run again: the same numbers, or the input that changed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OptimizerError
from ..versions import versions
from .chain import Row
from .runs import batch_hash, blocks, numbers_hash

if TYPE_CHECKING:
    from ..scenario import Functions

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Replay:
    """What came of computing a run again.

    Attributes
    ----------
    run : str
        The run.
    reproduced : bool
        Whether its numbers came out again, to the last bit.
    changed : tuple of str
        Inputs that are not as they were: files, settings in them, versions of packages.
    recorded, found : str
        Hash of the recorded result and of the new one; None where an input that is gone stood in the way.
    why : str
        In words.
    """

    run: str
    reproduced: bool
    changed: tuple[str, ...]
    recorded: str
    found: str | None
    why: str

    @property
    def sound(self) -> bool:
        """Whether the numbers came out again and no input has changed since."""
        return self.reproduced and not self.changed

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        return {
            "run": self.run,
            "reproduced": self.reproduced,
            "changed": list(self.changed),
            "recorded": self.recorded,
            "found": self.found,
            "why": self.why,
        }


def replay(run: Row, progress: Progress | None = None, functions: Functions | None = None) -> Replay:
    """Compute a run again from what the ledger holds of it and the files it names.

    The scenario (or the rules) is taken from the ledger. Whether its file still says the same is told beside it.
    """
    content = run.payload
    files = [fault for item in content["inputs"] if (fault := _file(item))]
    said = _scenario(content["scenario"], functions) if content["made"] == "plan" else _rules(content["rules"])
    changed = (*said, *files, *_versions(content["versions"]))
    recorded = content["result"]["hash"]
    found, trouble = None, ""
    if not files:
        try:
            found = _plan(content, functions) if content["made"] == "plan" else _batch(content, progress)
        except OptimizerError as error:
            trouble = error.message
    return Replay(
        run.subject, found == recorded, changed, recorded, found, _why(found == recorded, changed, trouble)
    )


def _why(same: bool, changed: tuple[str, ...], trouble: str) -> str:
    if same:
        return "the same numbers" + (", though an input has changed since" if changed else "")
    if trouble:
        return f"it cannot be computed: {trouble}"
    if changed:
        return "an input has changed since"
    return "other numbers from the same inputs and versions: another kind of machine, or a time limit"


def _plan(content: Mapping[str, Any], functions: Functions | None) -> str:
    from ..scenario import Scenario
    from ..solve.routes import solve

    said = content["scenario"]
    scenario = Scenario.from_dict(json.loads(said["resolved"]), said["directory"], functions=functions)
    return numbers_hash(solve(scenario, **content["options"]))


def _batch(content: Mapping[str, Any], progress: Progress | None) -> str:
    from ..batch import reallocate

    (accounts,) = content["inputs"]
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "batch"
        found = reallocate(
            accounts["file"],
            json.loads(content["rules"]["content"]),
            out=out,
            formats=("parquet",),
            progress=progress,
        )
        return batch_hash(found)


def _file(item: Mapping[str, str]) -> str:
    """What became of an input file; empty where it is as it was."""
    from ..batch.reading import Source
    from ..response import file_hash

    place = Path(item["file"])
    if not place.exists():
        return f"{item['what']} {place} is missing"
    try:
        now = Source.of(place).hash() if item["what"] == "accounts" else file_hash(place)
    except (OSError, OptimizerError):
        return f"{item['what']} {place} cannot be read"
    return "" if now == item["sha256"] else f"{item['what']} {place} was changed"


def _scenario(said: Mapping[str, Any], functions: Functions | None) -> list[str]:
    from ..scenario import Scenario

    if said["file"] is None:
        return []
    if not Path(said["file"]).exists():
        return [f"scenario {said['file']} is missing"]
    try:
        # A file of variants holds the scenario by its name.
        known = {each.name: each for each in Scenario.load_all(said["file"], functions=functions)}
        now = known.get(said["name"])
    except OptimizerError as error:
        return [f"scenario {said['file']} cannot be read: {error.message}"]
    if now is None:
        return [f"scenario {said['file']} was changed: name"]
    if now.hash == said["hash"]:
        return []
    found = blocks(now)
    names = sorted(name for name in {*found, *said["blocks"]} if found.get(name) != said["blocks"].get(name))
    # The file says the same, yet the hash is another: that of its response file is in it.
    return [f"scenario {said['file']} was changed: {', '.join(names)}"] if names else []


def _rules(said: Mapping[str, Any]) -> list[str]:
    from ..batch.rules import load_rules

    if said["file"] is None:
        return []
    if not Path(said["file"]).exists():
        return [f"rules {said['file']} are missing"]
    try:
        return [] if load_rules(said["file"]).hash == said["hash"] else [f"rules {said['file']} were changed"]
    except OptimizerError as error:
        return [f"rules {said['file']} cannot be read: {error.message}"]


def _versions(recorded: Mapping[str, str]) -> list[str]:
    now = versions()
    return [
        f"{name} is {now.get(name, 'not installed')}, was {before}"
        for name, before in recorded.items()
        if now.get(name) != before
    ]
