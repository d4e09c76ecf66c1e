"""Evolution by pymoo: a population of plans, repaired to the rules, over generations; it can stop and go on.

The algorithm depends on the number of scores: a genetic algorithm for one, SMS-EMOA for two and three, AGE-MOEA-II
for more, R-NSGA-II where targets are given; or any of pymoo's. Floors are constraints: a plan that keeps them all
comes before one that does not.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import SpecError
from ..volumes import dominated_volume

Floats = NDArray[np.float64]

# Evolution ends when so many generations have added less than this share of the hypervolume, or of the best score.
WINDOW, PROGRESS = 30, 1e-4
BEST_PROGRESS = 1e-9
# From four scores up a hypervolume takes longer than a generation: it is measured now and then.
MOST_MEASURED, NOW_AND_THEN = 3, 5
INTERRUPTED, LATE = "it was interrupted", "the time limit was reached"


@dataclass(frozen=True)
class Generation:
    """How far evolution has come.

    Attributes
    ----------
    number : int
        Generations so far; 0 before the first.
    evaluations : int
        Plans simulated so far.
    hypervolume : float
        What the plans cover of the box they are measured in; the best score where there is but one.
    scores : (N, S)
        Of the plans that keep every limit, higher is better: on the scenario's scale where it states one.
    """

    number: int
    evaluations: int
    hypervolume: float
    scores: Floats = field(repr=False)


@dataclass(frozen=True)
class Evolution:
    """How to search where nothing can be proven.

    Attributes
    ----------
    population : int
        Plans a generation.
    evaluations : int
        Plans to simulate at most.
    seed : int
        Of the random numbers: the same seed finds the same plans.
    algorithm : callable, optional
        A class of pymoo's, or anything that takes its ``pop_size``, ``sampling`` and ``repair`` and returns an
        algorithm; picked by the number of KPIs unless given.
    checkpoint : str or Path, optional
        A file to keep every generation in. A search that finds it there goes on from it, and ends as if it had
        never stopped. It is read with pickle, limited to numbers and pymoo's own classes: open your own only.
    report : callable, optional
        Called with each `Generation`.
    """

    population: int = 100
    evaluations: int = 20_000
    seed: int = 0
    algorithm: Callable[..., Any] | None = None
    checkpoint: str | Path | None = None
    report: Callable[[Generation], None] | None = None

    def __post_init__(self) -> None:
        if self.population < 4 or self.evaluations < self.population:
            raise SpecError(
                f"a population of {self.population} and {self.evaluations} evaluations leave nothing to evolve",
                "at least 4 plans, and as many evaluations as plans",
            )


class Search(Protocol):
    """What is searched: a box of genes (n,), what they are worth, and how they are repaired."""

    lower: Floats
    upper: Floats
    scores: int
    limits: int

    def repair(self, genes: Floats) -> Floats:
        """Return genes (N, n) that keep every linear rule."""
        ...

    def evaluate(self, genes: Floats) -> tuple[Floats, Floats]:
        """Return scores (N, scores), higher is better, and the room in each limit (N, limits)."""
        ...


@dataclass
class Found:
    """Where evolution ended.

    Attributes
    ----------
    genes, scores, room : (N, n), (N, S), (N, F)
        The last population.
    generation, evaluations : int
        How far it came.
    volumes : list of float
        Hypervolume, or the best score, by generation.
    ended : str
        Why it stopped early, in words.
    algorithm : str
        The class that searched.
    """

    genes: Floats
    scores: Floats
    room: Floats
    generation: int = 0
    evaluations: int = 0
    volumes: list[float] = field(default_factory=list)
    ended: str = ""
    algorithm: str = ""

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which of the population keep every limit."""
        return np.asarray(np.all(self.room >= 0.0, axis=1))


def compiled() -> bool:
    """Whether pymoo's compiled modules are in use; warns where not."""
    from pymoo.functions import is_compiled

    found = bool(is_compiled())
    if not found:
        warnings.warn(
            "pymoo's compiled modules are missing, so sorting plans takes many times as long; install a wheel of "
            "pymoo for this platform (pip install --force-reinstall --only-binary :all: pymoo)",
            RuntimeWarning,
            stacklevel=2,
        )
    return found


def evolve(
    search: Search,
    start: Floats,
    settings: Evolution,
    *,
    key: str = "",
    deadline: float = np.inf,
    targets: Floats | None = None,
    box: tuple[Floats, Floats] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Found:
    """Evolve a population.

    Parameters
    ----------
    search : Search
        What is searched.
    start : (P, n)
        The first population, as large as ``settings.population``; pymoo does not fill it up.
    settings : Evolution
        How.
    key : str
        What a checkpoint must be of to go on from it.
    deadline : float
        When to stop, on the clock of `time.monotonic`.
    targets : (S,), optional
        Scores to come near to: R-NSGA-II.
    box : ((S,), (S,)), optional
        Scores from which to which hypervolume is measured; 0 to 1 unless given.
    progress : callable, optional
        Called with the share of evaluations done.

    Raises
    ------
    DataError
        If the checkpoint is of another search, or damaged.
    """
    from .checkpoint import load, save

    compiled()
    problem, repair = _parts(search)
    algorithm = _algorithm(search, start, settings, repair, targets)
    algorithm.setup(problem, seed=settings.seed, termination=_never())
    shared = {"problem": problem, "repair": repair}
    named = type(algorithm).__name__
    found = Found(start, np.empty((0, search.scores)), np.empty((0, search.limits)), algorithm=named)
    kept = None if settings.checkpoint is None else load(settings.checkpoint, key, shared, algorithm)
    found = found if kept is None else replace(kept, ended="")
    try:
        while not _done(found, settings) and algorithm.has_next():
            if time.monotonic() > deadline:
                found.ended = LATE
                break
            algorithm.next()
            found = _taken(algorithm, found, box)
            if settings.checkpoint is not None:
                save(settings.checkpoint, key, shared, algorithm, found)
            _tell(found, settings, progress)
    except KeyboardInterrupt:
        found.ended = INTERRUPTED
    return found


def measured(scores: Floats, box: tuple[Floats, Floats] | None) -> Floats:
    """Return scores (N, S) in steps of a box."""
    return scores if box is None else (scores - box[0]) / (box[1] - box[0])


def _taken(algorithm: Any, before: Found, box: tuple[Floats, Floats] | None) -> Found:
    """The population as it is, and what it covers."""
    population = algorithm.pop
    scores, room = -population.get("F"), -population.get("G").reshape(len(population), -1)
    found = replace(
        before,
        genes=population.get("X"),
        scores=scores,
        room=room,
        generation=before.generation + 1,
        evaluations=algorithm.evaluator.n_eval,
    )
    kept = scores[found.kept]
    if not len(kept):
        volume = 0.0
    elif scores.shape[1] == 1:
        volume = float(kept.max())
    elif scores.shape[1] <= MOST_MEASURED or found.generation % NOW_AND_THEN == 1:
        volume = dominated_volume(measured(kept, box))
    else:
        volume = before.volumes[-1]
    found.volumes = [*before.volumes, volume]
    return found


def _tell(found: Found, settings: Evolution, progress: Callable[[float], None] | None) -> None:
    if progress is not None:
        progress(min(1.0, found.evaluations / settings.evaluations))
    if settings.report is not None:
        scores = found.scores[found.kept]
        settings.report(Generation(found.generation, found.evaluations, found.volumes[-1], scores))


def _done(found: Found, settings: Evolution) -> bool:
    """Whether evaluations are used up, or the last generations added next to nothing."""
    if found.evaluations + settings.population > settings.evaluations and found.generation:
        return True
    if len(found.volumes) <= WINDOW or not found.kept.any():
        return False
    now, before = found.volumes[-1], found.volumes[-1 - WINDOW]
    enough = BEST_PROGRESS if found.scores.shape[1] == 1 else PROGRESS
    return now - before <= enough * abs(now) and before != 0.0


def _parts(search: Search) -> tuple[Any, Any]:
    """The search as pymoo's problem and repair; scores are minimised there, and limits must not be positive."""
    from pymoo.core.problem import Problem
    from pymoo.core.repair import Repair

    class Plans(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(
                n_var=len(search.lower),
                n_obj=search.scores,
                n_ieq_constr=search.limits,
                xl=search.lower,
                xu=search.upper,
            )

        def _evaluate(self, x: Floats, out: dict[str, Floats], *args: Any, **kwargs: Any) -> None:
            scores, room = search.evaluate(x)
            out["F"] = -scores
            if search.limits:
                out["G"] = -room

    class Kept(Repair):  # type: ignore[misc]
        def _do(self, problem: Any, X: Floats, **kwargs: Any) -> Floats:
            return search.repair(X)

    return Plans(), Kept()


def _algorithm(search: Search, start: Floats, settings: Evolution, repair: Any, targets: Floats | None) -> Any:
    options = {"pop_size": settings.population, "sampling": start, "repair": repair}
    if settings.algorithm is not None:
        return settings.algorithm(**options)
    if search.scores == 1:
        from pymoo.algorithms.soo.nonconvex.ga import GA

        return GA(**options)
    if targets is not None:
        from pymoo.algorithms.moo.rnsga2 import RNSGA2

        return RNSGA2(ref_points=-targets[None], epsilon=0.01, **options)
    if search.scores <= MOST_MEASURED:
        from pymoo.algorithms.moo.sms import SMSEMOA

        return SMSEMOA(**options)
    from pymoo.algorithms.moo.age2 import AGEMOEA2

    return AGEMOEA2(**options)


def _never() -> Any:
    from pymoo.core.termination import NoTermination

    return NoTermination()
