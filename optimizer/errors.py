"""The errors a user can meet: what went wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

Path = Sequence[str | int]


def field_path(path: Path) -> str:
    """Write a field path the way a reader of the file would: ``lines[2].max``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


class OptimizerError(Exception):
    """Base of every error this package raises on purpose.

    Parameters
    ----------
    message : str
        What is wrong, in one sentence.
    hint : str
        What to do about it.
    path : sequence of str or int, optional
        The field, from the root of the document.
    line : int, optional
        Line in the file, counted from 1.
    file : str, optional
        The file as the user named it.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        path: Path = (),
        line: int | None = None,
        file: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.path = tuple(path)
        self.line = line
        self.file = file

    def __str__(self) -> str:
        place = self.file or ""
        if self.line is not None:
            place += f":{self.line}" if place else f"line {self.line}"
        parts = [part for part in (place, field_path(self.path)) if part]
        text = ": ".join([*parts, self.message])
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class DataError(OptimizerError):
    """A data file (history, response model, results) cannot be used as it is."""


class SpecError(OptimizerError, ValueError):
    """A scenario or configuration says something impossible, unclear or unknown.

    A ``ValueError`` too, so that one raised inside a pydantic validator is collected with the field's path.
    """


class InfeasibleError(OptimizerError):
    """No plan keeps every rule and floor at once."""


class SolverError(OptimizerError):
    """The problem is outside what a route can solve, or a solver gave up."""
