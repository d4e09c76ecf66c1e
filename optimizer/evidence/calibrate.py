"""Experiments correct a model: its draws are weighed by how well they foretell the lifts that were measured.

A draw that foretells lift m of a test that measured y with standard error s gets the weight
exp(-((m - y) / s)^2 / 2); the tests' weights multiply, and as many draws are taken anew in proportion to them
(systematic resampling). That is Bayes' rule, the model's draws being the prior. The effective sample size
(sum w)^2 / sum w^2 (Kish) says how many draws speak afterwards.

A test and a model that cannot both be right are not averaged: where the measured lift lies outside what the
model, with the test's own error, would have allowed in all but `SURPRISE` of cases, the test is told as a
conflict and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator
from scipy.special import ndtri

from .. import documents
from ..curves import Floats
from ..documents import Spec
from ..errors import SpecError
from ..response import ResponseModel
from .history import FitSpec
from .recompute import by_period
from .shapes import Ints

# Two-sided probability below which a test and a model are said to contradict each other.
SURPRISE = 0.02
# With fewer effective draws, intervals are rough.
FEW = 50.0
LOW, HIGH = 0.05, 0.95

Name = Annotated[str, Field(min_length=1, max_length=100)]
Amount = Annotated[float, Field(ge=0, le=1e15)]
Number = Annotated[float, Field(ge=-1e15, le=1e15)]


class LiftTest(Spec):
    """A measured lift: what a KPI gained because a line's spend was ``spend[1]`` a period and not ``spend[0]``.

    ``lift`` is the KPI's gain in all of the test's ``periods`` and the ``after`` periods counted behind them,
    with its standard error ``se``, or its interval ``low`` to ``high`` at ``level``. ``part`` is the share of
    the market that the test ran in; spend and lift are those of that part.
    """

    name: Name
    line: Name
    kpi: Name
    spend: Annotated[list[Amount], Field(min_length=2, max_length=2)]
    periods: Annotated[int, Field(ge=1, le=1000)]
    after: Annotated[int, Field(ge=0, le=1000)] = 0
    part: Annotated[float, Field(gt=0, le=1)] = 1.0
    lift: Number
    se: Annotated[float, Field(gt=0, le=1e15)] | None = None
    low: Number | None = None
    high: Number | None = None
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95

    @model_validator(mode="after")
    def _whole(self) -> LiftTest:
        if self.spend[0] == self.spend[1]:
            raise SpecError("the test changed no spend", "give spend a period without and with the test")
        ends = (self.low is not None, self.high is not None)
        if (self.se is None) == (ends == (False, False)) or ends in ((True, False), (False, True)):
            raise SpecError("needs either 'se', or 'low' and 'high'", "without its error a lift weighs nothing")
        if self.low is not None and self.high is not None and not self.low < self.lift < self.high:
            raise SpecError("the lift is not between 'low' and 'high'", "give the interval's ends")
        return self

    @property
    def error(self) -> float:
        """Standard error; an interval is read as that of a normal distribution."""
        if self.se is not None:
            return self.se
        assert self.low is not None
        assert self.high is not None
        return float((self.high - self.low) / (2 * ndtri(0.5 + self.level / 2)))

    @property
    def whole(self) -> tuple[float, float]:
        """Spend a period without and with the test as if it had been in the whole market."""
        return self.spend[0] / self.part, self.spend[1] / self.part


class LiftTests(Spec):
    """A file of tests: ``tests``, one entry each."""

    tests: Annotated[list[LiftTest], Field(min_length=1, max_length=100)]


@dataclass(frozen=True)
class LiftResult:
    """What one test did to the model.

    Attributes
    ----------
    spend : (float, float)
        Without and with the test, currency a period, of the whole market.
    measured, before, after : dict
        Lift as measured, as the model foretold it, and as it does now: ``mean``, ``low``, ``high`` (90 %).
    conflict : bool
        Whether test and model contradict each other; the test then changed nothing.
    surprise : float
        How rarely the model would have allowed a lift as far off; two-sided.
    effective : float
        Draws that this test alone would have left.
    """

    name: str
    line: str
    kpi: str
    spend: tuple[float, float]
    measured: dict[str, float]
    before: dict[str, float]
    after: dict[str, float]
    conflict: bool
    surprise: float
    effective: float


@dataclass(frozen=True)
class Calibration:
    """Weights of a model's draws, and what they come from.

    Attributes
    ----------
    weights : (D,)
        Sum 1.
    effective : float
        Draws that speak, of D.
    results : tuple of LiftResult
        One a test.
    """

    weights: Floats
    effective: float
    results: tuple[LiftResult, ...]

    @property
    def conflicts(self) -> tuple[LiftResult, ...]:
        """Tests that contradict the model."""
        return tuple(result for result in self.results if result.conflict)

    @property
    def tested(self) -> dict[str, tuple[float, float]]:
        """The least and the most that lines were tested at, currency a period, conflicts left out."""
        spend: dict[str, list[float]] = {}
        for result in self.results:
            if not result.conflict:
                spend.setdefault(result.line, []).extend(result.spend)
        return {line: (min(each), max(each)) for line, each in spend.items()}

    def pick(self, draws: int, seed: int) -> Ints:
        """Draws in proportion to their weights, evenly spread (systematic resampling): (draws,)."""
        places = (np.arange(draws) + np.random.default_rng([seed, 7]).random()) / draws
        return np.asarray(np.minimum(np.searchsorted(np.cumsum(self.weights), places), len(self.weights) - 1))

    def notes(self) -> tuple[str, ...]:
        """Say in words what the tests did."""
        said = []
        for one in self.results:
            spans = [f"{x['mean']:,.4g} ({x['low']:,.4g} to {x['high']:,.4g})" for x in (one.measured, one.before)]
            if one.conflict:
                said.append(
                    f"{one.name} and the model contradict each other: {one.line} lifted {one.kpi} by {spans[0]} "
                    f"as measured, {spans[1]} as modelled; both can hardly be right (probability "
                    f"{one.surprise:.2g}). "
                    "The test was not used. Find out which is wrong: another place or time, a spend that was not "
                    "kept to, a column missing from the config."
                )
            else:
                after = f"{one.after['mean']:,.4g} ({one.after['low']:,.4g} to {one.after['high']:,.4g})"
                said.append(
                    f"{one.name}: {one.line} lifted {one.kpi} by {spans[0]} as measured; the model foretold "
                    f"{spans[1]} before and {after} with it."
                )
        if self.effective < FEW:
            said.append(
                f"Only {self.effective:.0f} of {len(self.weights):,} draws speak after calibration: the tests say "
                "much more than the model did, and intervals are rough."
            )
        return tuple(said)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the weights as plain JSON data."""
        return {
            "draws": len(self.weights),
            "effective": self.effective,
            "tests": [asdict(result) for result in self.results],
        }


def read_tests(path: str | Path, spec: FitSpec) -> list[LiftTest]:
    """Read a file of tests, YAML, of the lines and KPIs of a fit config.

    Raises
    ------
    SpecError
        If it is not usable; with its line.
    """
    document = documents.read(path)
    try:
        tests = documents.check(document, LiftTests).tests
        for i, test in enumerate(tests):
            for kind, name, known in (("line", test.line, spec.lines), ("kpi", test.kpi, spec.kpis)):
                if name not in known:
                    hint = f"the config has: {', '.join(known)}"
                    raise SpecError(f"'{name}' is not in the fit config", hint, path=("tests", i, kind))
    except SpecError as error:
        document.locate(error)
        raise
    return tests


def calibrate(model: ResponseModel, tests: Sequence[LiftTest]) -> Calibration:
    """Weigh a model's draws by the tests.

    Raises
    ------
    SpecError
        If a test names a line or KPI that the model has not.
    """
    logs, found = np.zeros(model.draws), []
    for i, test in enumerate(tests):
        for kind, name, known in (("line", test.line, model.lines), ("kpi", test.kpi, model.kpis)):
            if name not in known:
                raise SpecError(f"'{name}' is not in the model", f"there are: {', '.join(known)}", path=(i, kind))
        lift = foretold(model, test)
        surprise = _surprise(lift, test)
        own = -0.5 * ((lift - test.lift) / test.error) ** 2
        found.append((test, lift, surprise, _effective(own)))
        if surprise >= SURPRISE:
            logs += own
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    results = tuple(
        LiftResult(
            test.name,
            test.line,
            test.kpi,
            test.whole,
            _normal(test.lift, test.error),
            _summary(lift, np.full(model.draws, 1 / model.draws)),
            _summary(lift, weights),
            surprise < SURPRISE,
            surprise,
            effective,
        )
        for test, lift, surprise, effective in found
    )
    return Calibration(weights, _effective(logs), results)


def foretold(model: ResponseModel, test: LiftTest) -> Floats:
    """The lift that each draw foretells of a test: (D,) KPI units.

    Spend before the test was as it would have been without it; the model's is that of the whole market.
    """
    length = int(model.length[model.kpis.index(test.kpi), model.lines.index(test.line)])
    without, during = test.whole
    usual = np.full(length - 1 + test.periods + test.after, without)
    changed = usual.copy()
    changed[length - 1 : length - 1 + test.periods] = during
    gain = by_period(model, test.kpi, test.line, changed) - by_period(model, test.kpi, test.line, usual)
    return np.asarray(gain[:, length - 1 :].sum(axis=1) * test.part)


def _surprise(lift: Floats, test: LiftTest) -> float:
    """Two-sided probability, under the model and the test's error, of a lift as far off as the measured one."""
    from scipy.special import ndtr

    below = float(np.mean(ndtr((test.lift - lift) / test.error)))
    return 2 * min(below, 1 - below)


def _effective(logs: Floats) -> float:
    weights = np.exp(logs - logs.max())
    return float(weights.sum() ** 2 / np.sum(weights**2))


def _normal(mean: float, error: float) -> dict[str, float]:
    return {"mean": mean, "low": mean + float(ndtri(LOW)) * error, "high": mean + float(ndtri(HIGH)) * error}


def _summary(values: Floats, weights: Floats) -> dict[str, float]:
    order = np.argsort(values)
    at = np.searchsorted(np.cumsum(weights[order]), [LOW, HIGH])
    low, high = values[order][np.minimum(at, len(values) - 1)]
    return {"mean": float(values @ weights), "low": float(low), "high": float(high)}
