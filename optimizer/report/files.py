"""Result files: computed in full first, then written so that nothing half-written is ever left."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from ..errors import DataError
from ..scenario import Scenario

# Text that begins with one of these is run as a formula by spreadsheets; CSV cells get a leading ' instead.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def json_text(data: Mapping[str, Any]) -> str:
    """Return JSON with sorted keys; the same data give the same bytes."""
    return json.dumps(data, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV, its index first; unrounded numbers, nothing for NaN.

    Text that begins with ``= + - @``, a tab or a line break gets a leading ``'``, so that no spreadsheet runs
    it as a formula.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_cell(name) for name in (table.index.name or "", *table.columns)])
    for name, row in zip(table.index, table.itertuples(index=False, name=None), strict=True):
        writer.writerow([_cell(value) for value in (name, *row)])
    return buffer.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA_STARTS) else value
    if isinstance(value, float):
        return "" if value != value else repr(float(value))
    return value


def resolved_text(scenario: Scenario, directory: Path) -> str:
    """Return the resolved scenario as YAML that loads again from ``directory``."""
    data = scenario.resolved()
    if scenario.spec.response.file is not None:
        source = (scenario.directory / scenario.spec.response.file).resolve()
        try:
            data["response"]["file"] = Path(os.path.relpath(source, directory.resolve())).as_posix()
        except ValueError:  # another drive
            data["response"]["file"] = source.as_posix()
    return yaml_text(data)


def yaml_text(data: Mapping[str, Any]) -> str:
    """Return plain data as YAML that is read again."""
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.allow_unicode = True
    yaml.width = 110
    # An object met twice would be written as an alias, which is not read.
    yaml.representer.ignore_aliases = lambda *_: True
    buffer = io.StringIO()
    yaml.dump(dict(data), buffer)
    return buffer.getvalue()


def check_directory(directory: Path) -> None:
    """Refuse a result directory that cannot be one, before any work is done.

    Raises
    ------
    DataError
        If the path, or one above it, is a file.
    """
    for place in (directory, *directory.parents):
        if place.exists():
            if not place.is_dir():
                raise DataError("is a file, not a directory", "name another with --out", file=str(place))
            return


def write_all(directory: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files into a directory: all to temporary names first, then each renamed into place.

    Parameters
    ----------
    directory : Path
        Made if it does not exist, and removed again if writing fails.
    files : mapping
        Text or bytes by file name.

    Raises
    ------
    DataError
        If the directory cannot be made or written to; nothing of ours is left in it then.
    """
    made = not directory.exists()
    parts = {name: directory / f".{name}.part" for name in files}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            parts[name].write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
        for name, part in parts.items():
            part.replace(directory / name)
    except OSError as error:
        _remove(parts, directory if made else None)
        reason = (error.strerror or "unknown reason").lower()
        raise DataError(f"cannot be written: {reason}", "name another with --out", file=str(directory)) from None


def _remove(parts: Mapping[str, Path], directory: Path | None) -> None:
    try:
        for part in parts.values():
            part.unlink(missing_ok=True)
        if directory is not None and directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()
    except OSError:
        return
