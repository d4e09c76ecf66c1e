"""Models of different KPIs as one ResponseModel with the same lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..curves import Floats
from ..errors import DataError
from ..response import BY_DRAW, ResponseModel
from ..synergy import Synergy

# How far two models may differ in the spend they know of the same periods, without a word and at all: curves put
# on money at a mean price see spend at that price.
SAME, APART = 0.01, 0.5


def combine(models: Sequence[ResponseModel], *, draws: int | None = None, seed: int = 1) -> ResponseModel:
    """Put models of different KPIs together.

    Lines are matched by name and follow the first model's order. With the same number of draws, the first draw of
    one model goes with the first of the next, and so on; where the numbers differ, or ``draws`` is given, each
    model's draws are drawn anew: models fitted apart say nothing of how their doubts go together.

    Parameters
    ----------
    models : sequence of ResponseModel
        At least one; no KPI twice.
    draws : int, optional
        Draws of the result, drawn at random from each model by itself, none twice unless more are asked for than
        there are.
    seed : int
        Of that draw.

    Raises
    ------
    DataError
        If lines, periods or starts differ, a KPI is there twice, draws differ in number and ``draws`` is not
        given, or two models know other spend of the same line and periods.
    """
    if not models:
        raise DataError("no models to combine", "give at least one")
    _check(models)
    first = models[0]
    kpis = tuple(name for model in models for name in model.kpis)
    models = [model.select(model.kpis, first.lines) for model in models]
    if draws is None and len({model.draws for model in models}) > 1:
        numbers = ", ".join(f"{' and '.join(model.kpis)}: {model.draws}" for model in models)
        raise DataError(f"the models differ in their number of draws ({numbers})", "give draws=, such as 1000")
    picks = _picks(models, draws, seed)
    by_draw = {
        name: np.concatenate(
            [model.by_draw(name)[pick] for model, pick in zip(models, picks, strict=True)], axis=1
        )
        for name in BY_DRAW
    }
    cells = {
        name: np.concatenate([getattr(model, name) for model in models])
        for name in ("family", "length", "normalised", "carryover", "after")
    }
    history, differ = _history(models)
    return ResponseModel(
        kpis=kpis,
        lines=first.lines,
        **by_draw,
        **cells,
        baseline=_baseline(models, picks),
        points=_points(models),
        observed=_observed(models),
        history=history,
        synergy=_synergy(models, picks),
        start=first.start,
        period=first.period,
        notes=(*_notes(models, draws, seed), *differ),
        attributes={
            f"{model.kpis[0]}_{key}": value for model in models for key, value in model.attributes.items()
        },
    )


def _synergy(models: Sequence[ResponseModel], picks: Sequence[NDArray[np.int64]]) -> Synergy:
    pairs = tuple(pair for model in models for pair in model.synergy.pairs)
    gains = [model.synergy.gain[pick] for model, pick in zip(models, picks, strict=True) if model.synergy]
    return Synergy(pairs, np.concatenate(gains, axis=1)) if gains else Synergy()


def _notes(models: Sequence[ResponseModel], draws: int | None, seed: int) -> list[str]:
    notes = [note if len(models) == 1 else f"{', '.join(m.kpis)}: {note}" for m in models for note in m.notes]
    if draws is not None:
        notes.append(f"{draws} draws, from each model by itself (seed {seed}): their doubts count as unrelated.")
    elif len(models) > 1 and models[0].draws > 1:
        notes.append("Draws of the combined models go together by number only: their doubts count as unrelated.")
    return notes


def _check(models: Sequence[ResponseModel]) -> None:
    first = models[0]
    seen: set[str] = set()
    for model in models:
        odd = sorted(set(model.lines) ^ set(first.lines))
        if odd:
            where = [f"'{line}' (only in {'the first' if line in first.lines else model.kpis[0]})" for line in odd]
            raise DataError(
                f"the models of {first.kpis[0]} and {model.kpis[0]} differ in their lines: {', '.join(where)}",
                "fit or import them for the same lines, named alike",
                path=("lines",),
            )
        for name in model.kpis:
            if name in seen:
                raise DataError(f"two models of '{name}'", "give each KPI its own name", path=("kpis",))
            seen.add(name)
        for name in ("period", "start"):
            if getattr(model, name) != getattr(first, name):
                raise DataError(
                    f"'{name}' is {getattr(first, name)} for {first.kpis[0]}, {getattr(model, name)} for "
                    f"{model.kpis[0]}",
                    "fit or import them over the same periods",
                    path=(name,),
                )


def _picks(models: Sequence[ResponseModel], draws: int | None, seed: int) -> list[NDArray[np.int64]]:
    if draws is None:
        return [np.arange(model.draws) for model in models]
    if draws < 1:
        raise DataError(f"{draws} draws", "give at least 1", path=("draws",))
    streams = np.random.SeedSequence(seed).spawn(len(models))
    return [
        np.random.default_rng(stream).choice(model.draws, draws, replace=draws > model.draws)
        for model, stream in zip(models, streams, strict=True)
    ]


def _baseline(models: Sequence[ResponseModel], picks: list[NDArray[np.int64]]) -> Floats:
    """Baselines side by side; one that holds for all periods is written out where another has more."""
    longest = max(model.baseline.shape[2] for model in models)
    parts = []
    for model, pick in zip(models, picks, strict=True):
        own = model.baseline[pick]
        if own.shape[2] not in (1, longest):
            what = f"baselines of {own.shape[2]} and {longest} periods"
            raise DataError(what, "fit both with the same forecast", path=("baseline",))
        parts.append(np.repeat(own, longest, axis=2) if own.shape[2] == 1 else own)
    return np.concatenate(parts, axis=1)


def _points(models: Sequence[ResponseModel]) -> Floats:
    most = max(model.points.shape[2] for model in models)
    return np.concatenate(
        [
            np.pad(m.points, ((0, 0), (0, 0), (0, most - m.points.shape[2]), (0, 0)), constant_values=np.nan)
            for m in models
        ]
    )


def _observed(models: Sequence[ResponseModel]) -> Floats:
    """What all models have seen of each line: beyond it, at least one extrapolates."""
    ends = np.array([model.observed for model in models])
    found = np.column_stack([ends[:, :, 0].max(axis=0), ends[:, :, 1].min(axis=0)])
    apart = found[:, 0] > found[:, 1]
    if apart.any():
        line = models[0].lines[int(np.argmax(apart))]
        what = f"the models have seen '{line}' at quite different spend"
        raise DataError(what, "are both in the same currency and period?", path=("observed", line))
    return found


def _history(models: Sequence[ResponseModel]) -> tuple[Floats, list[str]]:
    """The longest, and a note where another differs from its end."""
    longest = max((model.history for model in models), key=lambda history: history.shape[1])
    level = np.maximum(longest.mean(axis=1) if longest.size else np.zeros(len(longest)), 1e-300)
    notes = []
    for model in models:
        same = longest[:, longest.shape[1] - model.history.shape[1] :]
        off = np.abs(model.history - same).max(axis=1, initial=0.0) / level
        if np.any(off > APART):
            line = model.lines[int(np.argmax(off))]
            what = f"the models of {models[0].kpis[0]} and {model.kpis[0]} know other spend of '{line}'"
            raise DataError(what, "fit or import them from the same spend", path=("history", line))
        if np.any(off > SAME):
            lines = [line for line, much in zip(model.lines, off, strict=True) if much > SAME]
            notes.append(f"The models know slightly other spend before the plan; one is used: {', '.join(lines)}.")
    return longest, notes
