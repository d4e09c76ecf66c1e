"""Why no plan keeps every rule: a smallest set of rules that conflict, and what each would have to give.

Linear rules are checked by linear programs; floors by the most room they can all have at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, milp

from ..constraints import Polyhedron, Switches
from ..errors import InfeasibleError, SolverError
from ..measured import kpi_means, kpi_values
from ..preferences import Floor, bound, floor_label, measure
from .cells import problem_of
from .chance import chance_floors
from .forms import Goal
from .mixed_integer import MixedIntegerSolver
from .relaxed import relaxed
from .routes import pick_route

if TYPE_CHECKING:
    from ..scenario import Scenario

Floats = NDArray[np.float64]

# Rules miss each other by more than this share of the budget before they are called in conflict.
TOLERANCE = 1e-9
DINKELBACH = 30
# Seconds for one check under on/off rules or S-shaped curves; what is not proven by then is not called a conflict.
SECONDS = 20.0


@dataclass(frozen=True)
class Conflict:
    """A smallest set of rules no plan keeps together.

    Attributes
    ----------
    rules : tuple of str
        By name; without any one of them the others can be kept together.
    relaxations : dict
        By rule: how much looser it would have to be, currency, for a plan to keep all rules of the scenario;
        rules that cannot mend it alone are absent.
    together : dict
        The cheapest mix of relaxations that lets a plan keep all rules, currency.
    """

    rules: tuple[str, ...]
    relaxations: dict[str, float]
    together: dict[str, float]


class Rules:
    """Linear and on/off rules as one list of named members, any of which can be left out or loosened.

    Parameters
    ----------
    polyhedron : Polyhedron
        The rules; spend itself is never negative.
    money : float
        Currency that counts as one.
    """

    def __init__(self, polyhedron: Polyhedron, money: float) -> None:
        self.money = money
        self.A, self.b, self.equal = polyhedron.A.toarray(), polyhedron.b / money, polyhedron.equal
        self.switches = polyhedron.switches
        self.names = [*polyhedron.names, *_switch_names(self.switches)]
        self.rows = len(polyhedron.names)

    def least(self, members: list[int], loosened: list[int]) -> Floats | None:
        """Return the least total loosening (per member of ``loosened``) that lets a plan keep ``members``.

        None where no loosening of these does.
        """
        n, extra = self.A.shape[1], len(loosened)
        # Beside the switches, on or off, each line has a number of packages.
        n_on, n_packages = (n, n) if self.switches is not None else (0, 0)
        rest = n + n_on + n_packages
        width = rest + extra
        slack_at = {member: rest + position for position, member in enumerate(loosened)}
        rows, low, high = [], [], []
        for member in [member for member in members if member < self.rows]:
            row = np.zeros(width)
            row[:n] = self.A[member]
            for sign in (-1.0, 1.0) if self.equal[member] else (-1.0,):
                this = row * (1.0 if sign < 0 else -1.0)
                if member in slack_at:
                    this[slack_at[member]] = -1.0
                rows.append(this)
                low.append(-np.inf)
                high.append(self.b[member] if sign < 0 else -self.b[member])
        if self.switches is not None:
            self._switch_rows(self.switches, members, slack_at, rows, high, width)
            low = [-np.inf] * len(rows)
        cost = np.concatenate([np.zeros(rest), np.ones(extra)])
        whole = np.concatenate([np.zeros(n), np.ones(n_on + n_packages), np.zeros(extra)])
        ceiling = np.concatenate([np.full(n, np.inf), np.ones(n_on), np.full(n_packages + extra, np.inf)])
        rules = LinearConstraint(np.array(rows), np.array(low), np.array(high)) if rows else None
        found = milp(cost, integrality=whole, bounds=(0.0, ceiling), constraints=rules)
        return None if found.x is None else np.asarray(found.x[rest:])

    def _switch_rows(
        self,
        switches: Switches,
        members: list[int],
        slack_at: dict[int, int],
        rows: list[Floats],
        high: list[float],
        width: int,
    ) -> None:
        """Rows ``x <= big * on``, ``x >= least * on``, ``sum(on) <= most`` and ``x = package * number``.

        Spend cannot exceed ``big``.
        """
        n = self.A.shape[1]
        big = 10.0 * max(1.0, float(np.abs(self.b).max()))
        for i in range(n):
            row = np.zeros(width)
            row[i], row[n + i] = 1.0, -big
            rows.append(row)
            high.append(0.0)
        members_on = [member - self.rows for member in members if member >= self.rows]
        minimums = [i for i, name in enumerate(switches.names) if name]
        packed = [i for i, name in enumerate(switches.packages) if name]
        first_packed = len(minimums) + len(switches.most)
        for member in members_on:
            row = np.zeros(width)
            if member < len(minimums):
                i = minimums[member]
                row[i], row[n + i] = -1.0, switches.least[i] / self.money
                if member + self.rows in slack_at:
                    row[slack_at[member + self.rows]] = -1.0
                high.append(0.0)
            elif member < first_packed:
                _, mask, count = switches.most[member - len(minimums)]
                row[n : 2 * n] = mask
                high.append(float(count))
            else:
                i = packed[member - first_packed]
                row[i], row[2 * n + i] = 1.0, -switches.package[i] / self.money
                rows.append(-row)
                high += [0.0, 0.0]
            rows.append(row)

    def feasible(self, members: list[int]) -> bool:
        """Whether some plan keeps all of these rules."""
        found = self.least(members, [member for member in members if member < self.rows])
        return found is not None and float(found.sum()) <= TOLERANCE


def _switch_names(switches: Switches | None) -> list[str]:
    if switches is None:
        return []
    most = [name for name, _, _ in switches.most]
    return [*filter(None, switches.names), *most, *filter(None, switches.packages)]


def _with(switches: Switches | None, kept: list[str]) -> Switches | None:
    """Return the on/off rules and packages of these names alone."""
    if switches is None:
        return None
    least = np.where([name in kept for name in switches.names], switches.least, 0.0)
    package = np.where([name in kept for name in switches.packages], switches.package, 0.0)
    most = tuple(rule for rule in switches.most if rule[0] in kept)
    return replace(switches, least=least, package=package, most=most)


def find_conflict(scenario: Scenario) -> Conflict | None:
    """Return a smallest set of conflicting linear and on/off rules, or None if those alone can be kept.

    The set is what a deletion filter leaves (Chinneck & Dravnieks, ORSA J. Comp. 3, 1991).
    """
    money = scenario.spec.constraints.budget.amount or 1.0
    rules = Rules(scenario.polyhedron, money)
    everything = list(range(len(rules.names)))
    if rules.feasible(everything):
        return None
    left = list(everything)
    for member in everything:
        fewer = [other for other in left if other != member]
        if not rules.feasible(fewer):
            left = fewer
    relaxations = {}
    for member in left:
        found = rules.least(everything, [member])
        if found is not None and member < rules.rows:
            relaxations[rules.names[member]] = float(found[0]) * money
    mix = rules.least(everything, [member for member in everything if member < rules.rows])
    together = {}
    if mix is not None:
        together = {
            rules.names[member]: float(amount) * money
            for member, amount in zip(everything, mix, strict=False)
            if amount > TOLERANCE
        }
    return Conflict(tuple(rules.names[member] for member in left), relaxations, together)


def find_floor_conflict(scenario: Scenario) -> Conflict | None:
    """Return a smallest set of floors and rules in conflict where the rules alone can be kept.

    ``relaxations`` has, by floor, the level (KPI unit) that the rules and the other floors leave in reach.
    """
    # A floor with a probability is checked in a stricter form only, which proves nothing when it cannot be kept.
    chances = chance_floors(scenario)
    floors = {name: limit for name, limit in scenario.spec.preferences.floors.items() if name not in chances}
    whole = scenario.polyhedron
    names, rules = list(floors), [*whole.names, *_switch_names(whole.switches)]
    if not floors or _floors_kept(scenario, names, rules):
        return None
    for name in list(names):
        fewer = [other for other in names if other != name]
        if fewer and not _floors_kept(scenario, fewer, rules):
            names = fewer
    # Rows of single lines bound the problem; only rules between lines, on/off rules and packages are tried.
    single = {name for name, owner in zip(whole.names, whole.owner, strict=True) if owner >= 0}
    for rule in [rule for rule in rules if rule not in single]:
        fewer_rules = [other for other in rules if other != rule]
        if not _floors_kept(scenario, names, fewer_rules):
            rules = fewer_rules
    labels = {name: floor_label(name, floors[name], _rising(scenario, name)) for name in names}
    reach = {}
    for name in names:
        others = {other: limit for other, limit in floors.items() if other != name}
        level = best_level(scenario, name, others)
        if level is not None:
            reach[labels[name]] = level
    named = (*labels.values(), *[rule for rule in rules if rule not in single])
    return Conflict(named, reach, {})


def _rising(scenario: Scenario, name: str) -> bool:
    return scenario.spec.kpis[name].direction == "maximize"


def _floors_kept(scenario: Scenario, names: list[str], rules: list[str]) -> bool:
    """Whether some plan keeps these floors and rules, or at least none is proven to be impossible."""
    whole = scenario.polyhedron
    rows = [row for row, name in enumerate(whole.names) if name in rules]
    part = replace(
        whole,
        A=whole.A[rows],
        b=whole.b[rows],
        equal=whole.equal[rows],
        names=tuple(whole.names[row] for row in rows),
        owner=tuple(whole.owner[row] for row in rows),
        switches=_with(whole.switches, rules),
    )
    limits = {name: scenario.spec.preferences.floors[name] for name in names}
    problem = problem_of(replace(scenario, polyhedron=part), floors=limits)
    if problem.tangled or (scenario.free and problem.curved):
        above = relaxed(problem)
        if above is None:
            return True
        problem = above
    if problem.curved or part.switches is not None:
        try:
            MixedIntegerSolver(problem, SECONDS).maximise(Goal(np.zeros(len(problem.objectives))), 1e-7)
        except InfeasibleError:
            return False
        except SolverError:
            return True
        return True
    # The most room that all can have is not negative.
    problem.objectives, problem.floors = problem.floors, ()
    goal = Goal(np.zeros(len(problem.objectives)), np.zeros(len(problem.objectives)))
    return not problem.objectives or bool(pick_route(problem).maximise(goal, 1e-7).proof.bound >= -1e-9)


def best_level(scenario: Scenario, name: str, floors: dict[str, float | Floor]) -> float | None:
    """Return the best value a KPI with a floor can have under the rules and other floors.

    None if no plan with one was found. Ratios by Dinkelbach's iteration (Management Science 13, 1967).
    """
    limit = scenario.spec.preferences.floors[name]
    level, reached = bound(limit), None
    for _ in range(DINKELBACH):
        moved = limit.model_copy(update={"value": level}) if isinstance(limit, Floor) else level
        problem = problem_of(scenario, floors={**floors, name: moved})
        own = problem.floors[-1]
        problem.objectives, problem.floors = (own,), problem.floors[:-1]
        try:
            point = pick_route(problem, deadline=time.monotonic() + SECONDS).maximise(Goal(np.ones(1)), 1e-7)
        except (InfeasibleError, SolverError):
            return None
        spend = problem.spend(point.z)[None]
        draws = kpi_values(scenario, problem.simulator.outcomes(spend), spend)[name][0]
        if isinstance(limit, Floor):
            reached = measure(limit, draws, _rising(scenario, name))
        else:
            reached = float(kpi_means(scenario, problem.simulator.outcomes(spend), spend)[name][0])
        if abs(reached - level) <= 1e-9 * abs(level) or scenario.tree.affine(name) is not None:
            break
        level = reached
    return reached


def explain_infeasible(scenario: Scenario, error: InfeasibleError) -> InfeasibleError:
    """Return the error with the conflicting rules named and what would mend them."""
    conflict = find_conflict(scenario)
    if conflict is not None:
        currency = scenario.spec.currency
        ways = [f"loosen '{rule}' by {money:,.10g} {currency}" for rule, money in conflict.relaxations.items()]
        mix = [f"'{rule}' by {money:,.10g} {currency}" for rule, money in conflict.together.items()]
        hint = "either " + ", or ".join(ways) if ways else "loosen " + " and ".join(mix or ["one of them"])
    else:
        conflict = find_floor_conflict(scenario)
        if conflict is None:
            return error
        reach = [f"'{floor}' could be {level:,.6g}" for floor, level in conflict.relaxations.items()]
        hint = "with the others kept, " + ", or ".join(reach) if reach else "drop one of them"
    return InfeasibleError("no plan keeps these together: " + "; ".join(conflict.rules), hint)
