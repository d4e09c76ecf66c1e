"""A front as one file: JSON with everything it needs, the response included; data only, checked by its hash."""

from __future__ import annotations

import atexit
import base64
import binascii
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import DataError, OptimizerError
from .scenario import Functions, Scenario

FORMAT, VERSION = "campaign-optimizer front", 1
RESPONSE = "response.nc"
HINT = "make the file anew with Front.save"


def write_archive(path: str | Path, content: Mapping[str, Any], scenario: Scenario) -> None:
    """Write plain data and its scenario: to a temporary file beside it first, then renamed.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.part")
    try:
        text = json.dumps(_whole({**content, **_packed(scenario)}), allow_nan=False, ensure_ascii=False)
        temporary.write_bytes(text.encode())
        temporary.replace(path)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise DataError(f"cannot be written: {reason}", "name another file", file=str(path)) from None
    finally:
        if temporary.is_file():
            temporary.unlink()


def read_archive(path: str | Path, functions: Functions | None = None) -> tuple[dict[str, Any], Scenario]:
    """Read what `write_archive` wrote; ``functions`` are as for `Scenario.load`.

    Raises
    ------
    DataError
        If the file is missing, is not such a file, or was changed.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise DataError(what, "name a file made with Front.save", file=str(path))
    try:
        return _opened(json.loads(path.read_bytes()), functions)
    except OptimizerError as error:
        raise DataError(error.message, error.hint or HINT, path=error.path, file=str(path)) from None
    except (OSError, ValueError, RecursionError):
        raise DataError("cannot be read as a front", HINT, file=str(path)) from None


def _whole(content: Mapping[str, Any]) -> dict[str, Any]:
    return {"format": FORMAT, "version": VERSION, "sha256": _hash(content), "content": content}


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _packed(scenario: Scenario) -> dict[str, Any]:
    data, response = scenario.resolved(), None
    if scenario.spec.response.file is not None:
        response = base64.b64encode((scenario.directory / scenario.spec.response.file).read_bytes()).decode()
        data["response"]["file"] = RESPONSE
    return {"scenario": data, "response": response}


def _opened(data: Any, functions: Functions | None) -> tuple[dict[str, Any], Scenario]:
    if not isinstance(data, dict) or data.get("format") != FORMAT or not isinstance(data.get("content"), dict):
        raise DataError("is not a file made with Front.save", HINT)
    if data.get("version") != VERSION:
        raise DataError(f"is of version {data.get('version')!r}, not {VERSION}", "made by a newer release?")
    content = data["content"]
    if data.get("sha256") != _hash(content):
        raise DataError("the content was changed after it was saved", HINT)
    if not isinstance(content.get("scenario"), dict):
        raise DataError("holds no scenario", HINT)
    packed = content.get("response")
    place = Path(".") if packed is None else _unpacked(packed)
    return content, Scenario.from_dict(content["scenario"], place, functions=functions)


def _unpacked(packed: Any) -> Path:
    """Lay the response down in a folder of its own, for as long as the program runs."""
    try:
        response = base64.b64decode(packed, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise DataError("its response model cannot be read", HINT) from None
    directory = Path(tempfile.mkdtemp(prefix="campaign-front-"))
    atexit.register(shutil.rmtree, directory, True)
    (directory / RESPONSE).write_bytes(response)
    return directory
