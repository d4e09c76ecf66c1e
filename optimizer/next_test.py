"""What to test next: the line and size of experiment whose result would most improve the plan.

Preposterior analysis (Raiffa & Schlaifer, Applied Statistical Decision Theory, 1961): every draw is taken for the
truth in turn. It says what a test would measure, with the test's error; the measured lift weighs the other draws
anew, as `evidence.calibrate` does; the plan that is best for those weights replaces the present one, and gains
what it gains in the draw that was the truth. The mean gain over draws is what is expected of the test, the share
of results that gain is its chance. The truth is left out of the draws that a result weighs: it would be found
again by its own lift, and tests would seem to teach what no test can.

Which test comes first goes by what it gains in the middle draw: a test that gains much in few draws and nothing in
most is less likely to be the right one than its mean says.

A test also goes where the history has not been. Where a line's limits are said to be those of the evidence, they
move to what was tested, and the plans that a result may lead to with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .audit.experiments import Size, sample_size
from .errors import InfeasibleError, SolverError, SpecError
from .evidence.calibrate import LiftTest, foretold
from .plan import records

if TYPE_CHECKING:
    from .plan import Plan
    from .response import ResponseModel
    from .scenario import Scenario
    from .solve.problem import Problem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Spend during the test, in today's: near enough to what a plan would do that another kind of curve says the same.
SIZES = (0.0, 0.5, 1.5, 2.0)
PERIODS, ERROR = 6, 0.01
# Results a line's test may have, from which plans are made: groups of draws by their lift.
GROUPS = 5
# Results of each draw, by the test's error.
RESULTS = 4
# Draws that tell tests apart; in the closed loop 200 pick the wrong one more often.
DRAWS = 1000
# Plans need only be told apart.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class NextTest:
    """What to test.

    Attributes
    ----------
    table : DataFrame
        One row a line and size, the most valuable first: ``line``, ``spend`` (of today's during the test; 0 is
        off), ``amount`` (currency a period during the test), ``min`` and ``max`` (what the line may get after it,
        currency over the horizon: further than before where its ``limits`` are ``evidence``), ``gain`` (expected
        from replanning with the result, in steps of the scale; 0 where keeping the plan is better than following
        results), ``typical`` (gain in the middle draw, in steps: rows are ordered by it), ``gain_share`` (of what
        knowing everything would gain), ``chance`` (share of results after which the new plan is better than the
        present one; where a rule holds the plan a result may change nothing), then for each KPI ``lift <kpi>``
        (expected) and ``doubt <kpi>`` (its standard deviation over draws), in all periods of the test.
    periods : int
        Of the test.
    error : dict
        Standard error of the measured lift that was reckoned with, by KPI.
    perfect : float
        What knowing everything would gain (expected value of perfect information, over the plans looked at).
    plan : Plan
        The present plan.
    draws : int
        Draws reckoned with. Where the plan was picked by fewer of them, tests are held against the plan that all
        of them would pick.
    seed : int
        Of the errors that results came with.
    """

    table: pd.DataFrame
    periods: int
    error: dict[str, float]
    perfect: float
    plan: Plan
    draws: int
    seed: int

    @property
    def line(self) -> str:
        """The line whose test is worth most."""
        return str(self.table["line"].iloc[0])

    def test(self, line: str | None = None) -> dict[str, Any]:
        """Return the best test of a line (of all lines unless given): a row of the table as plain data."""
        rows = self.table if line is None else self.table[self.table["line"] == line]
        return {str(key): value for key, value in rows.iloc[0].items()}

    def people(self, kpi: str, rate: float, line: str | None = None) -> Size:
        """People needed on each side of a test by person, to find the expected lift.

        Parameters
        ----------
        kpi : str
            Counted once a person.
        rate : float
            Share of people who count without the change.

        Raises
        ------
        SpecError
            If the KPI has no part in the trade-off, no lift is expected, or the shares cannot be.
        """
        if kpi not in self.error:
            raise SpecError(f"'{kpi}' is not measured", f"there are: {', '.join(self.error)}")
        usual = _usual(self.plan, kpi, self.periods)
        return sample_size(rate, rate * float(self.test(line)[f"lift {kpi}"]) / usual)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the plan as plain JSON data."""
        return {
            "periods": self.periods,
            "error": self.error,
            "perfect": self.perfect,
            "draws": self.draws,
            "seed": self.seed,
            "tests": records(self.table.rename_axis("rank")),
        }


@dataclass(frozen=True)
class _Trial:
    """A test that may be chosen: spend in today's and a period, what the line may get after it, over the horizon.

    All draws foretell ``lifts`` (D, K), ``units`` in standard errors.
    """

    line: str
    size: float
    amount: float
    limits: tuple[float, float]
    lifts: Floats
    units: Floats

    def row(self, gains: Floats, perfect: float, kpis: list[str]) -> dict[str, Any]:
        """The test's row of the table; ``gains`` (R, D) are by result and draw."""
        gain = max(float(gains.mean()), 0.0)
        row: dict[str, Any] = {"line": self.line, "spend": self.size, "amount": self.amount}
        row |= dict(zip(("min", "max"), self.limits, strict=True))
        row |= {"gain": gain, "typical": float(np.median(gains.mean(axis=0)))}
        row |= {"gain_share": gain / perfect if perfect > 0 else 0.0}
        row |= {"chance": float(np.mean(gains > 0))}
        for name, lift in zip(kpis, self.lifts.T, strict=True):
            row |= {f"lift {name}": float(lift.mean()), f"doubt {name}": float(lift.std())}
        return row


def what_to_test(
    plan: Plan,
    *,
    periods: int = PERIODS,
    error: float = ERROR,
    sizes: tuple[float, ...] = SIZES,
    seed: int = 1,
) -> NextTest:
    """Find the line and size of test whose result would most improve a plan.

    Draws that were held out of planning (``response.held_out``) are reckoned with too: at most `DRAWS`, evenly
    spread.

    Parameters
    ----------
    plan : Plan
        Under a weighted trade-off or a single objective, on curves with draws, over line totals.
    periods : int
        How long a test would take.
    error : float
        Standard error of a measured lift, as a share of the KPI in the test's time and place. That of your regions
        comes from `audit.experiments.difference_power`.
    sizes : tuple of float
        Spend during the test that may be chosen, in today's: 0 is off, 1.5 half as much again.
    seed : int
        Of the errors that results come with.

    Raises
    ------
    SpecError
        If the curves have a single draw, or the preferences state no weighted sum.
    """
    from .solve.cells import problem_of
    from .solve.tradeoff import goal_of

    scenario = plan.scenario
    if scenario.response.draws < 2:
        raise SpecError("the curves come without uncertainty", "fit a history, so that there is doubt to resolve")
    if scenario.free or scenario.spec.preferences.mode in ("targets", "priorities"):
        raise SpecError(
            "what a test is worth is reckoned for a weighted sum and given flighting",
            "state weights, values or exchange, and flighting",
        )
    present = _on_all_draws(plan)
    scenario = present.scenario
    problem = problem_of(scenario)
    goal = goal_of(problem)
    kpis = np.sum(
        [weight * form.kpis for weight, form in zip(goal.weights, problem.objectives, strict=True)], axis=0
    )
    counted = [scenario.response.kpis[k] for k in np.flatnonzero(kpis)]
    errors = {name: error * _usual(present, name, periods) for name in counted}
    trials = _trials(scenario, sizes, periods, errors)
    # One size of each line says how its draws differ.
    plans = _plans(problem, goal, present, [next(by).units for _, by in groupby(trials, lambda one: one.line)])
    opened = [_opened(present, trial) for trial in trials]
    worth = _worth(problem, kpis, goal, np.vstack([plans, *opened]))
    perfect = float((worth.max(axis=1) - worth[:, 0]).mean())
    # Which test each plan needs; those within today's limits need none.
    needs = np.repeat(np.arange(len(trials) + 1), [len(plans), *map(len, opened)])
    # The same errors for every test: what differs between tests is what they tell.
    results = np.random.default_rng(seed).standard_normal((RESULTS, len(worth), len(counted)))
    gains = [
        _gains(worth[:, (needs == 0) | (needs == i)], trial.units, results)
        for i, trial in enumerate(trials, start=1)
    ]
    rows = [trial.row(one, perfect, counted) for trial, one in zip(trials, gains, strict=True)]
    table = pd.DataFrame(rows).sort_values(["typical", "gain"], ascending=False, kind="stable", ignore_index=True)
    return NextTest(table, periods, errors, perfect, plan, scenario.response.draws, seed)


def _on_all_draws(plan: Plan) -> Plan:
    """The plan that all draws would pick, held out or not; the plan itself where they did."""
    from .solve.routes import solve

    scenario = plan.scenario
    model = scenario.response if scenario.fresh is None else scenario.response.followed_by(scenario.fresh)
    if model.draws > DRAWS:
        model = model.with_draws(np.arange(DRAWS) * model.draws // DRAWS)
    if model is scenario.response:
        return plan
    return solve(replace(scenario, response=model, fresh=None), tolerance=TOLERANCE)


def _trials(scenario: Scenario, sizes: tuple[float, ...], periods: int, errors: dict[str, float]) -> list[_Trial]:
    """All tests that may be chosen, line by line."""
    found = []
    for line, usual in zip(scenario.lines, scenario.current / scenario.spec.horizon.periods, strict=True):
        for size in sizes:
            if usual > 0 and size != 1.0:
                amount = usual * size
                lifts = _lifts(scenario.response, line, usual, amount, periods, list(errors))
                limits, units = _limits(scenario, line, amount), lifts / np.array(list(errors.values()))
                found.append(_Trial(line, size, amount, limits, lifts, units))
    return found


def _usual(plan: Plan, kpi: str, periods: int) -> float:
    """A KPI in as many periods as a test takes, at today's spend."""
    return abs(float(plan.outcomes.loc[kpi, "current"])) / plan.scenario.spec.horizon.periods * periods


def _lifts(model: ResponseModel, line: str, usual: float, amount: float, periods: int, kpis: list[str]) -> Floats:
    """The lift that every draw foretells: (D, K)."""
    found = []
    for kpi in kpis:
        test = LiftTest(name=line, line=line, kpi=kpi, spend=[usual, amount], periods=periods, lift=0.0, se=1.0)
        found.append(foretold(model, test))
    return np.stack(found, axis=1)


def _held(scenario: Scenario, line: str) -> tuple[float, float]:
    """What a line may get: currency over the horizon."""
    said = scenario.spec.lines[scenario.lines.index(line)]
    return said.min, scenario.spec.constraints.budget.amount if said.max is None else said.max


def _limits(scenario: Scenario, line: str, amount: float) -> tuple[float, float]:
    """What a line may get after a test at an amount a period: currency over the horizon."""
    least, most = _held(scenario, line)
    if scenario.spec.lines[scenario.lines.index(line)].limits is None:
        return least, most
    tested = amount * scenario.spec.horizon.periods
    return min(least, tested), max(most, tested)


def _plans(problem: Problem, goal: Any, plan: Plan, scaled: list[Floats]) -> Floats:
    """Plans that a result may lead to within today's limits, the present one first: (N, L) scaled spend."""
    start = problem.scaled(plan.totals.to_numpy(dtype=float))
    return np.array([start, *(z for units in scaled for z in _best(problem, goal, start, _groups(units)))])


def _opened(plan: Plan, trial: _Trial) -> Floats:
    """Plans that a result may lead to because the test moves the line's limits: (N, L) scaled spend, or none."""
    from .solve.cells import problem_of
    from .solve.tradeoff import goal_of

    if trial.limits == _held(plan.scenario, trial.line):
        return np.empty((0, len(plan.scenario.lines)))
    problem = problem_of(plan.scenario.with_limits({trial.line: trial.limits}))
    start = problem.scaled(plan.totals.to_numpy(dtype=float))
    # The limits alone may be worth a move, whatever the result: that of all draws together.
    groups = [np.arange(len(trial.units)), *_groups(trial.units)]
    return np.array(_best(problem, goal_of(problem), start, groups)).reshape(-1, len(start))


def _groups(units: Floats) -> list[Ints]:
    """Draws that foretell about the same lifts (D, K) of a test; none where all foretell the same."""
    if float(units.std(axis=0).max()) < 1e-9:
        return []
    # All KPIs of a test together: the direction in which draws differ most.
    away = units - units.mean(axis=0)
    along = away @ np.linalg.svd(away, full_matrices=False)[2][0]
    return np.array_split(np.argsort(along, kind="stable"), GROUPS)


def _best(problem: Problem, goal: Any, start: Floats, groups: list[Ints]) -> list[Floats]:
    """The best plan for each group of draws: (L,) scaled spend each."""
    from .solve.cautious import weighted
    from .solve.routes import pick_route

    found = []
    for group in groups:
        share = np.zeros(problem.simulator.scale.shape[2])
        share[group] = len(share) / len(group)
        try:
            found.append(pick_route(weighted(problem, share)).maximise(goal, TOLERANCE, near=start).z)
        except (InfeasibleError, SolverError):
            continue
    return found


def _worth(problem: Problem, kpis: Floats, goal: Any, plans: Floats) -> Floats:
    """What plans are worth by draw, on the goal, without what all have in common: (D, N)."""
    spend = float(goal.weights @ [form.spend for form in problem.objectives])
    parts = [problem.effects(z).value.sum(axis=2) @ kpis + spend * z.sum() for z in plans]
    return np.stack(parts, axis=1)


def _gains(worth: Floats, units: Floats, errors: Floats) -> Floats:
    """What replanning with a test's result gains, by its error and the draw that is the truth: (R, D).

    ``worth`` (D, N) of plans by draw, the present plan first; ``units`` (D, K) lifts in standard errors;
    ``errors`` (R, D, K) standard normal.
    """
    more = worth - worth[:, :1]
    truth = np.arange(len(worth))
    gains = np.empty(errors.shape[:2])
    for error, row in zip(errors, gains, strict=True):
        square = np.zeros((len(worth), len(worth)))
        for unit, off in zip(units.T, error.T, strict=True):
            away = np.subtract.outer(unit + off, unit)
            square += np.square(away, out=away)
        np.fill_diagonal(square, np.inf)
        # From the nearest draw on: where none is near, an exact test would leave no weight at all. What weights
        # sum to picks no other plan.
        square -= square.min(axis=1, keepdims=True)
        square /= -2
        row[:] = more[truth, (np.exp(square, out=square) @ more).argmax(axis=1)]
    return gains
