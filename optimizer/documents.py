"""YAML documents from users: read safely, checked against a model, errors with field path and line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.resolver import VersionedResolver

from .errors import OptimizerError, SpecError

SIZE_LIMIT = 300_000
DEPTH_LIMIT = 32
ERRORS_SHOWN = 5
DIGITS = 40
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

Place = tuple[str | int, ...]


class Spec(BaseModel):
    """Base of every checked document part: no unknown keys, no silent conversions, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _written_out(value: Any) -> Any:
    if isinstance(value, date) or (isinstance(value, str) and DATE.fullmatch(value)):
        return value
    raise SpecError(f"must be a date, not {_short(value)}", "write it as 2026-01-31")


# A date written as 2026-01-31; numbers that could be read as a time are not.
Day = Annotated[date, BeforeValidator(_written_out), Field(strict=False)]

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Document:
    """Plain data and the line each field stands on."""

    data: dict[str, Any]
    lines: dict[tuple[str | int, ...], int] = field(default_factory=dict)
    file: str | None = None

    def locate(self, error: OptimizerError) -> OptimizerError:
        """Fill in the file and line of an error that knows only its field path."""
        path = error.path
        while path and path not in self.lines:
            path = path[:-1]
        if error.line is None:
            error.line = self.lines.get(path)
        error.file = error.file or self.file
        return error


def read(path: str | Path) -> Document:
    """Read a YAML file.

    Raises
    ------
    SpecError
        If the file is missing, larger than 300 kB, not UTF-8, not YAML, or uses tags or aliases.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > SIZE_LIMIT:
            raise SpecError(
                f"the file has {size:,} bytes; at most {SIZE_LIMIT:,} are read",
                "keep long series in a response file and name it under 'response.file'",
                file=str(path),
            )
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(
            f"the file is not UTF-8 text (byte {error.start})",
            "save it as UTF-8",
            file=str(path),
        ) from None
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise SpecError(reason[0].lower() + reason[1:], "check the path", file=str(path)) from None
    return parse(text, str(path))


def parse(text: str, file: str | None = None) -> Document:
    """Parse YAML text into plain dicts, lists and scalars; see `read` for what is refused."""
    try:
        _refuse_unsafe(text, file)
        node = _reader().compose(text)
        lines: dict[Place, int] = {}
        _note_lines(node, (), lines, file)
        data = _reader().load(text)
    except SpecError:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = (error.problem or error.context or "not valid YAML").strip().splitlines()[0]
        if "\t" in problem or r"\t" in problem:
            problem, hint = "a tab where YAML wants spaces", "indent with spaces"
        elif "duplicate key" in problem:
            hint = "keep one of the two"
        else:
            hint = "check indentation, colons and quotes near this line"
        line = mark.line + 1 if mark else None
        raise SpecError(problem, hint, line=line, file=file) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpecError(
            f"the character U+{int(error.character):04X} may not stand in YAML", "remove it", line=line, file=file
        ) from None
    except (YAMLError, ValueError, OverflowError, RecursionError):
        raise SpecError(
            "holds something that cannot be read", "look for odd numbers, dates or characters", file=file
        ) from None
    if not isinstance(data, dict):
        what = "is empty" if data is None else "does not hold fields and values"
        raise SpecError(f"the file {what}", "start from 'campaign-optimizer new FILE'", file=file)
    return Document(data, lines, file)


class _PlainResolver(VersionedResolver):
    """Leaves dates as text, for the model to check, and merge keys as keys, for the model to refuse."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)
        # Resolved once more as if it stood in quotes.
        return super().resolve(kind, value, (False, True)) if str(tag).endswith((":timestamp", ":merge")) else tag


def _reader() -> YAML:
    reader = YAML(typ="safe", pure=True)
    reader.Resolver = _PlainResolver
    return reader


def _refuse_unsafe(text: str, file: str | None) -> None:
    depth = 0
    for event in _reader().parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, DocumentStartEvent) and (event.version or event.tags):
            above = [n for n, row in enumerate(text.splitlines(), start=1) if row.startswith("%")]
            raise SpecError("a directive (%YAML, %TAG) is not read", "remove the line", line=above[0], file=file)
        if isinstance(event, AliasEvent) or (isinstance(event, NodeEvent) and event.anchor):
            raise SpecError(
                "anchors and aliases (& and *) are not read", "write the value out", line=line, file=file
            )
        tag = getattr(event, "ctag", None) or getattr(event, "tag", None)
        if tag is not None and str(tag) not in ("", "None"):
            raise SpecError(f"the tag {tag} is not read", "remove it: plain values only", line=line, file=file)
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            depth += 1
            if depth > DEPTH_LIMIT:
                raise SpecError(f"nested deeper than {DEPTH_LIMIT} levels", "flatten it", line=line, file=file)
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            depth -= 1


def _refuse_odd_scalar(node: ScalarNode, path: Place, file: str | None) -> None:
    line, text = node.start_mark.line + 1, node.value
    if node.style is None and len(text) > DIGITS and text.lstrip("+-").replace("_", "").isdigit():
        what, hint = f"a number with {len(text)} digits", f"at most {DIGITS} are read"
    elif any("\ud800" <= character <= "\udfff" for character in text):
        what, hint = "half of a two-part character (a lone surrogate)", "write the character itself"
    else:
        return
    raise SpecError(what, hint, path=path, line=line, file=file)


def _note_lines(node: Node | None, path: Place, lines: dict[Place, int], file: str | None) -> None:
    if node is None:
        return
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                raise SpecError("a field's name must be plain text", "mend it", line=line, file=file)
            _refuse_odd_scalar(key, path, file)
            if not str(key.tag).endswith(":str"):
                what = f"a field's name must be text, not {key.value or 'nothing'}"
                raise SpecError(what, "put it in quotes", path=path, line=line, file=file)
            lines[(*path, key.value)] = line
            _note_lines(value, (*path, key.value), lines, file)
    elif isinstance(node, ScalarNode):
        _refuse_odd_scalar(node, path, file)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, (*path, index), lines, file)


def check(document: Document, model: type[Model]) -> Model:
    """Check a document against a pydantic model.

    Raises
    ------
    SpecError
        With the first fault's field path, line and hint; further faults are listed in the message.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        faults = [_fault(document, item) for item in error.errors()]
    first, rest = faults[0], faults[1:]
    if rest:
        shown = "\n".join(f"  also {str(fault).splitlines()[0]}" for fault in rest[: ERRORS_SHOWN - 1])
        more = len(rest) - (ERRORS_SHOWN - 1)
        first.hint += f"\n{shown}" + (f"\n  and {more} more" if more > 0 else "")
    raise first


def _fault(document: Document, item: Any) -> SpecError:
    path = _document_path(document.data, item["loc"])
    kind, message = item["type"], item["msg"]
    inner = item.get("ctx", {}).get("error")
    hint = "see 'campaign-optimizer schema' for what may stand here"
    if isinstance(inner, SpecError):
        message, hint = inner.message, inner.hint or hint
        path = (*path, *inner.path)
    elif kind == "extra_forbidden":
        message, hint = f"unknown field '{path[-1]}'", "check the spelling, or remove it"
    elif kind == "missing":
        message, hint = "is missing", "add it"
    elif kind == "finite_number":
        message, hint = "must be a finite number", "NaN, infinity and numbers above 1e308 are not read"
    elif kind in ("float_type", "int_type", "int_from_float", "string_type"):
        wanted = {"f": "a number", "i": "a whole number", "s": "text"}[kind[0]]
        message = f"must be {wanted}, not {_short(item['input'])}"
        hint = "put it in quotes" if kind[0] == "s" else "write numbers without quotes, separators or units"
    elif kind in ("model_type", "dict_type", "model_attributes_type"):
        message, hint = (
            f"must hold fields and values, not {_short(item['input'])}",
            "see 'campaign-optimizer schema'",
        )
    elif kind == "union_tag_not_found":
        key = item["ctx"]["discriminator"].strip("'")
        message, hint, path = "is missing", "say which it is, as the schema lists them", (*path, key)
    elif kind.startswith("union_tag"):
        key = item["ctx"]["discriminator"].strip("'")
        known = item["ctx"].get("expected_tags", "one of those in the schema")
        message, path = f"'{key}' must be one of {known}", (*path, key)
    else:
        message = message.replace("Input should", "must")
        message = message[0].lower() + message[1:]
    fault = SpecError(message, hint, path=path)
    document.locate(fault)
    return fault


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:
        return "a number with thousands of digits"
    return text if len(text) <= 60 else f"{text[:60]}..."


def _document_path(data: Any, location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Drop the names of union members that pydantic puts into a location."""
    path: list[str | int] = []
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(data, dict) and (part in data or last):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            continue
        path.append(part)
    return tuple(path)
