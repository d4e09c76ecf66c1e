"""Which kind of curve a line has where the config leaves it open: concave, unless the history speaks for another.

Lines left open are fitted as concave first, with curves that bend (`shapes.STEPS`): one that is all but straight
would hide the kinds that are not concave. Then a line's shape and size are integrated out, draw by draw, given all
that the draw says of the rest: once over its concave candidates, once over those of another kind, each candidate
of a kind as likely as any other. For what a draw says of the rest, r, and the history, y,

    p(y | other) / p(y | concave) = E[p(y | r, other) / p(y | r, concave)]

over draws of the concave fit: the odds of the other kind, both being as likely beforehand. What is used is
the mean of their logarithms, which is never above the logarithm of that mean. A line is fitted anew with the
kind that has the best odds for any KPI, if they are at least `ODDS` to one, and the lines that stay concave
are asked again; an S-shaped line may still turn out concave for another KPI, as some S-shaped candidates are.
That all lines together bring no more than a KPI has is left out here. In the end those that stay concave may
be all but straight as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ..curves import Floats
from .baseline import Baseline
from .history import FitSpec
from .regression import WIDTHS, Draws, Setup, assemble, baseline_parts, draw, stiffness, whitened
from .shapes import MOST_CANDIDATES, Candidates, CurveKind, GridKind, candidates, grid

# To one: what a kind that is not concave has to have, "very strong" evidence in Kass and Raftery (1995), Bayes
# Factors, JASA 90. Odds of 20 to 50 come of what a config leaves out, and made forecasts of real brands worse.
ODDS = 150.0
OTHERS: tuple[CurveKind, ...] = ("s_shaped", "linear")
# Draws that the odds are told by.
LOOKED_AT = 100

LogOdds: TypeAlias = dict[str, dict[CurveKind, float]]


@dataclass(frozen=True)
class Settled:
    """A regression whose lines all have a kind of curve.

    Attributes
    ----------
    setup : Setup
        Its columns.
    draws : tuple of Draws
        By series.
    log_odds : dict of dict of float
        Of each line left open, by name: natural logarithms of the odds of every other kind against concave, the
        largest of all series.
    """

    setup: Setup
    draws: tuple[Draws, ...]
    log_odds: LogOdds


def settle(
    spend: Floats,
    base: Baseline,
    lines: Sequence[str],
    spec: FitSpec,
    known: int,
    series: Sequence[tuple[Floats, float]],
    draws: int,
) -> Settled:
    """Fit series on the first ``known`` periods, each line with the kind of curve that the config or they ask for.

    Parameters
    ----------
    spend : (L, T)
        Currency a period.
    lines : sequence of str
        Names of the L lines in the config.
    series : sequence of ((known,), float)
        What to fit, in units of the regression, and the most all lines may bring of it.
    """
    kinds: dict[str, CurveKind] = {}
    for name in lines:
        stated = spec.lines[name].curve
        kinds[name] = "concave" if stated == "auto" else stated
    left_open = [name for name in lines if spec.lines[name].curve == "auto"]
    odds: LogOdds = {}
    while told := _told(kinds, found := _odds(kinds, left_open, spend, base, spec, known, series), spec):
        odds, kinds = odds | found, kinds | told
    setup = assemble(spend, base, kinds, spec, known)
    return Settled(setup, tuple(draw(setup, one, draws, spec.seed, most) for one, most in series), odds | found)


def _odds(
    kinds: Mapping[str, CurveKind],
    left_open: Sequence[str],
    spend: Floats,
    base: Baseline,
    spec: FitSpec,
    known: int,
    series: Sequence[tuple[Floats, float]],
) -> LogOdds:
    """Log odds of every other kind for the lines left open that are concave so far."""
    bent: dict[str, GridKind] = {name: "bent" for name in left_open if kinds[name] == "concave"}
    if not bent:
        return {}
    setup = assemble(spend, base, {**kinds, **bent}, spec, known)
    seen = spend[[list(kinds).index(name) for name in setup.lines]]
    others = [candidates(seen, [kind] * len(seen), spec.period, spec.carryover, known) for kind in OTHERS]
    best = np.max(
        [
            log_odds(setup, others, one, draw(setup, one, LOOKED_AT, spec.seed, most, agreed=np.inf))
            for one, most in series
        ],
        axis=0,
    )
    return {
        name: dict(zip(OTHERS, column.tolist(), strict=True))
        for name, column in zip(setup.lines, best.T, strict=True)
        if name in bent
    }


def _told(kinds: Mapping[str, CurveKind], odds: LogOdds, spec: FitSpec) -> dict[str, CurveKind]:
    """Kinds that the history speaks for, the clearest first, while there is room for their candidates."""
    best = {name: max(by_kind, key=lambda kind: by_kind[kind]) for name, by_kind in odds.items()}
    count, found = sum(len(grid(spec.period, kind)) for kind in kinds.values()), {}
    for name in sorted(best, key=lambda name: -odds[name][best[name]]):
        more = len(grid(spec.period, best[name])) - len(grid(spec.period, "concave"))
        if odds[name][best[name]] >= np.log(ODDS) and count + more <= MOST_CANDIDATES:
            found[name] = best[name]
            count += more
    return found


def log_odds(setup: Setup, others: Sequence[Candidates], series: Floats, draws: Draws) -> Floats:
    """Mean over draws of the log odds of other candidates against those of the setup, for each line: (O, L).

    Parameters
    ----------
    others : sequence of Candidates
        O kinds, of the same lines and periods.
    series : (known,)
        What was fitted, in units of the regression.
    draws : Draws
        What the setup's candidates made of it.
    """
    known, stiff = setup.known, stiffness(setup, series)
    odds = np.empty((len(others), *draws.gamma.shape))
    for memory in np.unique(draws.memory):
        here = np.flatnonzero(draws.memory == memory)
        some, left = draws.take(here), baseline_parts(setup, stiff, memory)[0]
        ours, *theirs = (whitened(media.columns[:, :known], memory) for media in (setup.media, *others))
        brought = some.gamma[:, :, None] * ours[some.shape]
        rest = whitened(series - some.control @ setup.signed[:known].T, memory) - brought.sum(axis=1)
        for i in range(len(setup.lines)):
            alone = rest + brought[:, i]
            own = _log_evidence(setup.media.of(ours, i), alone, left, some)
            for by_draw, other, columns in zip(odds, others, theirs, strict=True):
                by_draw[here, i] = _log_evidence(other.of(columns, i), alone, left, some) - own
    return odds.mean(axis=1)


def _log_evidence(columns: Floats, alone: Floats, left: Floats, draws: Draws) -> Floats:
    """Log likelihood of what a line leaves open to it, its candidate, width and size integrated out: (D,).

    Parameters
    ----------
    columns, alone : (G, known), (D, known)
        The line's candidates; what the rest of each draw leaves. Both whitened.
    left : (known, r)
        Singular parts of the baseline, which is integrated out too.

    Notes
    -----
    Up to what the candidates do not change. A size is normal about the level, never negative.
    """
    from scipy.special import log_ndtr, logsumexp

    inside = columns @ left
    own = (np.sum(columns**2, axis=1) - np.sum(inside**2, axis=1))[None, :, None]
    right = (alone @ columns.T - (alone @ left) @ inside.T)[:, :, None]
    variance, level = draws.variance[:, None, None], draws.level[:, None, None]
    sd = level * WIDTHS
    precision = own / variance + 1.0 / sd**2
    mean = (right / variance + level / sd**2) / precision
    logs = 0.5 * precision * mean**2 + log_ndtr(mean * np.sqrt(precision)) - 0.5 * np.log(precision)
    prior = 0.5 * (level / sd) ** 2 + log_ndtr(level / sd) + np.log(sd)
    return np.asarray(logsumexp(logs - prior, axis=(1, 2)) - np.log(len(columns) * len(WIDTHS)))
