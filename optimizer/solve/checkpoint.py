"""Generations kept in a file: written beside it first, then renamed, so that it is always whole.

Kept is what changes from one generation to the next: the population, the random numbers, what the survival
remembers. Operators and the problem are not in it but those of the search that goes on. The file is a pickle, as
pymoo's individuals can be kept in no other way; what it may name is limited to NumPy, pymoo and our own record.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, SpecError

if TYPE_CHECKING:
    from .evolution import Found

FORMAT = "campaign-optimizer generations 1"
ALLOWED = ("numpy", "pymoo")
# Parts of an algorithm that do not change while it runs, or that belong to this run alone.
FIXED = {
    "problem",
    "termination",
    "callback",
    "display",
    "output",
    "repair",
    "initialization",
    "mating",
    "selection",
    "eliminate_duplicates",
    "evaluator",
    "survival",
    "history",
}
ALLOWED_NAMES = {
    ("optimizer.solve.evolution", "Found"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("builtins", "slice"),
    ("builtins", "range"),
    ("builtins", "complex"),
    ("builtins", "bytearray"),
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("collections", "deque"),
}


class _Writer(pickle.Pickler):
    def __init__(self, file: Any, shared: dict[str, Any]) -> None:
        super().__init__(file, protocol=5)
        self.names = {id(value): name for name, value in shared.items()}

    def persistent_id(self, obj: Any) -> str | None:
        return self.names.get(id(obj))


class _Reader(pickle.Unpickler):
    def __init__(self, file: Any, shared: dict[str, Any]) -> None:
        super().__init__(file)
        self.shared = shared

    def persistent_load(self, pid: Any) -> Any:
        return self.shared[pid]

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] in ALLOWED or (module, name) in ALLOWED_NAMES:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")


def save(path: str | Path, key: str, shared: dict[str, Any], algorithm: Any, found: Found) -> None:
    """Keep a generation.

    Parameters
    ----------
    path : str or Path
        The file.
    key : str
        What the search is of.
    shared : dict
        By name, objects that are not kept but put back by `load`.
    algorithm, found
        The state.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.part")
    buffer = io.BytesIO()
    try:
        _Writer(buffer, shared).dump((FORMAT, key, _state(algorithm), found))
    except (pickle.PicklingError, AttributeError, TypeError):
        raise SpecError(
            f"{type(algorithm).__name__} keeps what cannot be written to a file",
            "leave the checkpoint out, or use another algorithm",
        ) from None
    try:
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(path)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise DataError(f"cannot be written: {reason}", "name another checkpoint", file=str(path)) from None


def _state(algorithm: Any) -> dict[str, Any]:
    own = {name: value for name, value in vars(algorithm).items() if name not in FIXED}
    return {"own": own, "survival": vars(algorithm.survival), "evaluations": algorithm.evaluator.n_eval}


def load(path: str | Path, key: str, shared: dict[str, Any], algorithm: Any) -> Found | None:
    """Put an algorithm, made like the one that was kept, in its state; None where there is no such file.

    Raises
    ------
    DataError
        If the file is damaged, is no checkpoint, or is of another search.
    """
    path = Path(path)
    if not path.exists():
        return None
    hint = "remove it to start anew, or name another checkpoint"
    try:
        kept = _Reader(io.BytesIO(path.read_bytes()), shared).load()
        form, of, state, found = kept
    except Exception:  # whatever a damaged file makes the reader raise
        raise DataError("is not a checkpoint that can be read", hint, file=str(path)) from None
    if form != FORMAT or of != key:
        raise DataError("is the checkpoint of another search", hint, file=str(path))
    vars(algorithm).update(state["own"])
    vars(algorithm.survival).update(state["survival"])
    algorithm.evaluator.n_eval = state["evaluations"]
    return found
