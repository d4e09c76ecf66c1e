"""What an audit answers: a light, the answer in words, the reason, and what to do next."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any, Literal

from ..errors import SpecError

Light = Literal["green", "yellow", "red", "grey"]


@dataclass(frozen=True)
class Verdict:
    """The answer of an audit.

    Attributes
    ----------
    light : "green", "yellow", "red" or "grey"
        ``green``: nothing found. ``yellow``: watch it. ``red``: act. ``grey``: the data cannot tell.
    answer : str
        In a word or two, the same for the same finding: ``supported``, ``misaligned``.
    reason : str
        Why, with the figures.
    next : str
        What to do.
    """

    light: Light
    answer: str
    reason: str
    next: str

    @property
    def found(self) -> bool:
        """Whether somebody has to act on it."""
        return self.light == "red"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data."""
        return asdict(self)


def stats_library(name: str) -> ModuleType:
    """Import a library of the ``stats`` extra.

    Raises
    ------
    SpecError
        If it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SpecError(
            f"this audit needs {name.split('.')[0]}, which cannot be imported: {error}",
            "pip install 'campaign-optimizer[stats]'",
        ) from None
