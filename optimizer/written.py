"""The response block of a scenario: curves written out, which make a one-draw model, or a file that is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Discriminator, Field, Tag

from . import curves
from .adstock import Adstock
from .curves import Curve
from .documents import Spec
from .errors import DataError, SpecError
from .response import BY_DRAW, ResponseModel, file_hash, load
from .synergy import Synergy


class LineResponse(Spec):
    """What one line does for one KPI."""

    curve: Curve
    adstock: Adstock = Adstock()


Entry = Annotated[
    Annotated[LineResponse, Tag("entry")] | Annotated[Literal["none"], Tag("none")],
    Discriminator(lambda entry: "none" if isinstance(entry, str) else "entry"),
]


Gain = Annotated[float, Field(ge=-1000, le=1000)]


class ResponseSpec(Spec):
    """The ``response`` block: a file made by ``fit`` or ``import``, or curves written out by KPI and line."""

    model_config = {**Spec.model_config, "extra": "allow"}
    __pydantic_extra__: dict[str, dict[str, Entry]] = Field(init=False)

    file: str | None = None
    sha256: str | None = None
    leave_out: list[str] = []
    held_out: Annotated[float, Field(gt=0, le=0.9)] | None = Field(
        None,
        description="Share of the file's draws that no search sees; plans are simulated on them in the end. A "
        "third where a mean over the worst draws is an objective, none otherwise.",
    )
    synergy: dict[str, dict[str, dict[str, Gain]]] | None = Field(
        None,
        description="By KPI and line, the lines that make it work better, and by how much: "
        "{orders: {search: {tv: 0.2}}} adds a fifth to what search does for orders where tv is at the most of its "
        "curve. Below zero: worse.",
    )

    @property
    def curves(self) -> Mapping[str, Mapping[str, Entry]]:
        """The curves written out, by KPI and line."""
        return self.__pydantic_extra__ or {}


def without_held_out(model: ResponseModel, share: float) -> tuple[ResponseModel, ResponseModel]:
    """Return the model with the draws that are used, and with those held out: evenly spread over the file.

    Raises
    ------
    SpecError
        If either is left without two draws.
    """
    before, after = np.arange(model.draws) * share, np.arange(1, model.draws + 1) * share
    out = np.floor(after + 1e-9) > np.floor(before + 1e-9)
    if out.sum() < 2 or (~out).sum() < 2:
        raise SpecError(
            f"{share:g} of {model.draws} draws leaves too few to use or to hold out",
            "hold out another share, or fit with more draws",
            path=("response", "held_out"),
        )
    return model.with_draws(np.flatnonzero(~out)), model.with_draws(np.flatnonzero(out))


def from_spec(spec: ResponseSpec, kpis: Sequence[str], lines: Sequence[str]) -> ResponseModel:
    """Build a one-draw model from curves written out in a scenario.

    Raises
    ------
    SpecError
        If a KPI or line is unknown or has no entry.
    """
    if spec.held_out is not None:
        raise SpecError("curves written out have one draw", "leave it out", path=("response", "held_out"))
    for kpi, by_line in spec.curves.items():
        if kpi not in kpis:
            raise SpecError(
                f"'{kpi}' is not a KPI that lines add up to",
                f"those are: {', '.join(kpis) or 'none'}",
                path=("response", kpi),
            )
        for line in by_line:
            if line not in lines:
                raise SpecError(
                    f"unknown line '{line}'", f"lines are: {', '.join(lines)}", path=("response", kpi, line)
                )
    shape = (len(kpis), len(lines))
    parts: dict[str, Any] = {
        "family": np.zeros(shape, np.int64),
        "length": np.ones(shape, np.int64),
        "normalised": np.ones(shape, bool),
        "carryover": np.zeros(shape, np.int64),
        "after": np.zeros(shape, bool),
    }
    for name in BY_DRAW:
        parts[name] = np.zeros((1, *shape)) if name in ("scale", "rate") else np.ones((1, *shape))
    points: dict[tuple[int, int], list[list[float]]] = {}
    for k, kpi in enumerate(kpis):
        by_line = spec.curves.get(kpi, {})
        for i, line in enumerate(lines):
            entry = by_line.get(line)
            if entry is None:
                raise SpecError(
                    f"says nothing about line '{line}'",
                    f"add its curve, or '{line}: none' if it does nothing for {kpi}",
                    path=("response", kpi),
                )
            if entry == "none":
                continue
            code, *numbers = curves.parameters(entry.curve)
            kind, length, *carried = entry.adstock.parameters()
            one = {
                "family": code,
                "length": length,
                "carryover": kind,
                "normalised": entry.adstock.normalised,
                "after": entry.adstock.after_saturation,
            }
            for name, cell in one.items():
                parts[name][k, i] = cell
            for name, number in zip(BY_DRAW, (*numbers, *carried), strict=True):
                parts[name][0, k, i] = number
            if entry.curve.kind == "points":
                points[k, i] = [point for point in entry.curve.points if point[0] > 0]
    table = np.full((*shape, max(map(len, points.values()), default=0), 2), np.nan)
    for place, found in points.items():
        table[place][: len(found)] = np.reshape(found, (-1, 2))
    try:
        return ResponseModel(
            tuple(kpis),
            tuple(lines),
            **parts,
            points=table,
            baseline=np.zeros((1, len(kpis), 1)),
            observed=np.full((len(lines), 2), np.nan),
            history=np.zeros((len(lines), 0)),
            synergy=_synergy(spec),
        )
    except DataError as error:
        # What a curve and an adstock may be is checked above: what is left are gains that cannot be.
        raise SpecError(error.message, error.hint, path=("response", *error.path)) from None


def _synergy(spec: ResponseSpec) -> Synergy:
    gains = {
        (kpi, giver, taker): gain
        for kpi, takers in (spec.synergy or {}).items()
        for taker, givers in takers.items()
        for giver, gain in givers.items()
    }
    return Synergy(tuple(gains), np.array([list(gains.values())]).reshape(1, -1))


def from_file(spec: ResponseSpec, kpis: Sequence[str], lines: Sequence[str], directory: Path) -> ResponseModel:
    """Read the model that a scenario's response names, for these KPIs and lines.

    Raises
    ------
    SpecError
        If curves stand beside the file, it is not the one pinned, lacks a KPI or line, or has one more.
    DataError
        If the file cannot be used.
    """
    if spec.curves or spec.synergy:
        what = f"curves for '{next(iter(spec.curves))}'" if spec.curves else "synergy"
        raise SpecError(f"{what} beside a file", "give one or the other", path=("response",))
    file = directory / str(spec.file)
    try:
        model = load(file)
    except DataError as error:
        error.file, error.message = None, f"{file}: {error.message}"
        error.path = ("response", "file")
        raise
    found = file_hash(file)
    if spec.sha256 is not None and spec.sha256 != found:
        raise SpecError(
            f"'{spec.file}' is not the file this scenario was made with",
            f"its SHA-256 is {found}",
            path=("response", "sha256"),
        )
    for kind, wanted, known in (("KPI", kpis, model.kpis), ("line", lines, model.lines)):
        for name in wanted:
            if name not in known:
                raise SpecError(
                    f"'{spec.file}' has no {kind} '{name}'",
                    f"it has: {', '.join(known)}",
                    path=("response", "file"),
                )
    for name in model.lines:
        if name not in lines and name not in spec.leave_out:
            raise SpecError(
                f"'{spec.file}' also has the line '{name}', which this scenario does not name",
                f"add it to lines (max: 0 keeps it off), or to response.leave_out: [{name}]",
                path=("response", "file"),
            )
    return model.select(kpis, lines)
