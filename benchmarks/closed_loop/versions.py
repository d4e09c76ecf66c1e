"""Which code a record was made by: records of other code are never counted with new ones."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PRODUCT = HERE.parents[1] / "optimizer"
# What makes a record; a test's record needs what chooses and weighs tests too.
PLANNED = ("worlds.py", "pipeline.py")
TESTED = (*PLANNED, "tests_to_run.py")
ADVICE = "next_test.py"
# What follows a plan and changes none.
AFTER = ("report", "ledger", "audit", "batch", "cli")


def code_of(name: str) -> str:
    """Return the hash of the sources that make a record of that file name."""
    tested = name == "tested.json"
    sources = [HERE / one for one in (TESTED if tested else PLANNED)]
    for path in sorted(PRODUCT.rglob("*.py")):
        part = path.relative_to(PRODUCT).parts[0]
        if not part.startswith(AFTER) and (tested or part != ADVICE):
            sources.append(path)
    found = hashlib.sha256()
    for path in sources:
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def of_one_code(out: Path, anew: bool) -> None:
    """Take away records that other code made, or, unless ``anew``, stop at them.

    Raises
    ------
    SystemExit
        If there are any and they are not to be taken away.
    """
    for name in ("record.json", "tested.json"):
        now = code_of(name)
        old = [path for path in sorted((out / "worlds").glob(f"*/{name}")) if _made_by(path) != now]
        if old and not anew:
            raise SystemExit(
                f"{len(old)} of {name} in {out} were made by other code; give --anew, or another --out"
            )
        for path in old:
            # Fits go with their records; what tests told leaves the fit as it is.
            shutil.rmtree(path.parent) if name == "record.json" else path.unlink()


def fresh(folder: Path) -> None:
    """Take away what other code left of a world whose record was never written."""
    mark, now = folder / "code.json", code_of("record.json")
    if folder.exists() and (not mark.exists() or _made_by(mark) != now):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(json.dumps({"code": now}))


def _made_by(path: Path) -> Any:
    return json.loads(path.read_text()).get("code")
