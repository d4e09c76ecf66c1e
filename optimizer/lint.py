"""Is it the right plan to ask for? Findings about a scenario's KPIs and targets, each with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from .errors import InfeasibleError, field_path
from .horizon import DAYS
from .kpis import SPEND
from .proxies import behind
from .reach import Reach, reachability
from .scenario import Scenario

MOST_OBJECTIVES = 3
MOST_KPIS = 11


@dataclass(frozen=True)
class Finding:
    """Something about a scenario that its reader should know.

    Attributes
    ----------
    level : "error", "warning" or "note"
        ``error``: the plan would be for the wrong thing. ``warning``: it may be, or harm would go unseen.
        ``note``: worth a look.
    rule : str
        The rule's id.
    message : str
        What was found and why it matters.
    path : tuple of str or int
        The field, from the root of the scenario.
    """

    level: Literal["error", "warning", "note"]
    rule: str
    message: str
    path: tuple[str | int, ...]

    def __str__(self) -> str:
        return f"{self.level} [{self.rule}] {field_path(self.path)}: {self.message}"


def lint(scenario: Scenario, reaches: Sequence[Reach] | None = None) -> tuple[Finding, ...]:
    """Check what a scenario measures and wants.

    Parameters
    ----------
    scenario : Scenario
        Readable and consistent, or it would not have loaded.
    reaches : sequence of Reach, optional
        The result of `reachability` where it is at hand; computed if not given.

    Returns
    -------
    tuple of Finding
        Errors first, then warnings, then notes.
    """
    if reaches is None:
        try:
            reaches = reachability(scenario)
        except InfeasibleError:
            # No plan at all: the solver says so, and with which rules.
            reaches = ()
    found = [finding for rule in RULES for finding in rule(scenario)]
    found += _targets(reaches)
    levels = ("error", "warning", "note")
    return tuple(sorted(found, key=lambda finding: levels.index(finding.level)))


def _outcome_path(scenario: Scenario) -> Iterator[Finding]:
    kpis = scenario.spec.kpis
    unknown: set[str] = set()
    for name in scenario.objectives:
        if kpis[name].waiver or _leads_to_outcome(scenario, name):
            continue
        end = name
        while (further := kpis[end].proxy_for) is not None:
            end = further
        level = kpis[end].level
        if level is not None:
            what = f"is an {level}" if end == name else f"stands for '{end}', an {level}"
            yield Finding(
                "error",
                "no-outcome-path",
                f"'{name}' {what}, and nothing says which outcome it leads to: the plan would raise it whether or "
                "not the business gains. Name the KPI it stands for (proxy_for) or is part of.",
                ("kpis", name, "level"),
            )
        elif end not in unknown:
            unknown.add(end)
            yield Finding(
                "warning",
                "no-level",
                f"is '{end}' an input, an output or an outcome? Optimising what leads to no outcome can raise it "
                "and gain nothing. State its level.",
                ("kpis", end, "level"),
            )


def _leads_to_outcome(scenario: Scenario, name: str) -> bool:
    """Whether a KPI stands for an outcome or is part of one, directly or by way of others."""
    kpis = scenario.spec.kpis
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        if kpis[at].level == "outcome":
            return True
        waiting += [kpi for kpi, spec in kpis.items() if spec.formula is not None and at in spec.formula[1]]
        waiting += [end for end in (kpis[at].proxy_for,) if end is not None]
    return False


def _proxies(scenario: Scenario) -> Iterator[Finding]:
    for name in scenario.objectives:
        kpi = scenario.spec.kpis[name]
        if kpi.horizon == "proximal" and kpi.proxy_for is None and not kpi.waiver:
            yield Finding(
                "error",
                "no-proxy-for",
                f"'{name}' is proximal but stands for nothing: what is seen early is worth what it foretells. "
                "Name the KPI it stands for (proxy_for), or say in a waiver why it is accepted without.",
                ("kpis", name, "horizon"),
            )


def _audited(scenario: Scenario) -> Iterator[Finding]:
    """What audits found of the proxies that objectives are, or are made of."""
    kpis = scenario.spec.kpis
    told = {name: proxy for _, name, proxy in behind(kpis, scenario.objectives)}
    for name, proxy in told.items():
        goal, said = kpis[name].proxy_for, f" ({proxy.said})" if proxy.said else ""
        path = ("kpis", name, "proxy")
        if proxy.blocked:
            yield Finding(
                "error",
                "contradicted-proxy",
                f"'{name}' is optimised, but its audit contradicts that it stands for '{goal}'{said}: no plan is "
                "made. Optimise the goal itself, or accept it by name (waived_by, reason).",
                path,
            )
        elif proxy.waived_by:
            yield Finding(
                "warning",
                "waived-proxy",
                f"'{name}' is optimised although it is a contradicted proxy for '{goal}'{said}: waived by "
                f"{proxy.waived_by}, {proxy.reason}",
                path,
            )
        elif proxy.verdict != "supported":
            yield Finding(
                "warning",
                "unsupported-proxy",
                f"'{name}' is optimised, and whether it stands for '{goal}' is '{proxy.verdict}'{said}: keep the "
                "goal as a guardrail.",
                path,
            )


def _guards(scenario: Scenario) -> Iterator[Finding]:
    floors = scenario.spec.preferences.floors
    guarded = any(scenario.role(name) in ("guardrail", "counter") for name in scenario.spec.kpis)
    # A floor under one of several objectives guards it against the others.
    guarded |= bool(floors) and len(scenario.objectives) > 1
    if not guarded:
        yield Finding(
            "warning",
            "no-guard",
            "no KPI is a guardrail or a counter metric: what the plan harms on the way to its objectives would go "
            "unseen. Give a KPI a floor, or role: counter.",
            ("kpis",),
        )
    for name, kpi in scenario.spec.kpis.items():
        if kpi.role == "guardrail" and name not in floors:
            yield Finding(
                "warning",
                "guardrail-without-floor",
                f"'{name}' is called a guardrail but nothing bounds it: a plan may do to it what it likes. Add "
                f"preferences.floors.{name}, or make it a counter or a monitor.",
                ("kpis", name, "role"),
            )


def _counts(scenario: Scenario) -> Iterator[Finding]:
    objectives, tracked = len(scenario.objectives), len(scenario.spec.kpis)
    if objectives > MOST_OBJECTIVES:
        yield Finding(
            "warning",
            "too-many-objectives",
            f"{objectives} objectives: beyond {MOST_OBJECTIVES}, nobody can say what a plan gives up for what. "
            "Make some of them guardrails or monitors.",
            ("preferences",),
        )
    if tracked > MOST_KPIS:
        yield Finding(
            "warning",
            "too-many-kpis",
            f"{tracked} KPIs: beyond {MOST_KPIS}, the ones that matter are lost among the others. "
            "Keep those that a decision hangs on.",
            ("kpis",),
        )


def _so_whats(scenario: Scenario) -> Iterator[Finding]:
    for name, kpi in scenario.spec.kpis.items():
        role = scenario.role(name)
        if role != "monitor" and not kpi.so_what.strip():
            yield Finding(
                "warning",
                "no-so-what",
                f"'{name}' steers money as {'an' if role == 'objective' else 'a'} {role}, and nothing says what "
                "changes for the business when it moves. Fill in so_what.",
                ("kpis", name, "so_what"),
            )


def _definitions(scenario: Scenario) -> Iterator[Finding]:
    for name in scenario.objectives:
        kpi = scenario.spec.kpis[name]
        fields = ("goal", "source", "calculation", "owner")
        missing = [field for field in fields if not getattr(kpi, field).strip()]
        if kpi.formula is not None:
            # The formula is the calculation, and its parts have the sources.
            missing = [field for field in missing if field not in ("source", "calculation")]
        if missing:
            yield Finding(
                "note",
                "incomplete-definition",
                f"'{name}' is optimised without stated {', '.join(missing)}: two people may count it differently.",
                ("kpis", name),
            )


def _costs(scenario: Scenario) -> Iterator[Finding]:
    for kpi in scenario.spec.kpis.values():
        in_money = kpi.direction == "minimize" and scenario.spec.currency in kpi.unit.split()
        if in_money or (kpi.formula is not None and SPEND in kpi.formula[1]):
            return
    yield Finding(
        "note",
        "cost-not-counted",
        "no KPI counts what it costs. With the budget fixed that may be meant; else add one with 'spend' in it.",
        ("kpis",),
    )


def _deadlines(scenario: Scenario) -> Iterator[Finding]:
    horizon = scenario.spec.horizon
    last = horizon.start + timedelta(days=horizon.periods * DAYS[horizon.every] - 1)
    for name, kpi in scenario.spec.kpis.items():
        if kpi.target is not None and kpi.target.deadline is not None and kpi.target.deadline < last:
            yield Finding(
                "warning",
                "deadline-before-end",
                f"the target of '{name}' is due on {kpi.target.deadline}, but the plan counts what comes until "
                f"{last}: it may be met too late. Shorten the horizon or move the deadline.",
                ("kpis", name, "target", "deadline"),
            )


def _delays(scenario: Scenario) -> Iterator[Finding]:
    spec, leaves = scenario.spec, scenario.tree.leaves
    for name, kpi in spec.kpis.items():
        if not spec.carry_out and (kpi.delay or 0) >= spec.horizon.periods:
            yield Finding(
                "warning",
                "delay-beyond-end",
                f"all that the plan does for '{name}' comes after its end and is not counted. Count it "
                "(carry_out: true) or plan further ahead.",
                ("kpis", name, "delay"),
            )
        if kpi.proxy_for is None or kpi.lag is None or not {name, kpi.proxy_for} <= set(leaves):
            continue
        later = (spec.kpis[kpi.proxy_for].delay or 0) - (kpi.delay or 0)
        if later != kpi.lag:
            yield Finding(
                "note",
                "lag-without-delay",
                f"'{kpi.proxy_for}' follows '{name}' by {kpi.lag} {spec.horizon.every}s, but what lines do for it "
                f"is counted {later} {spec.horizon.every}s later: that goes by their delay. Make the two agree "
                "unless the response has the lag in it.",
                ("kpis", kpi.proxy_for, "delay"),
            )


def _packages(scenario: Scenario) -> Iterator[Finding]:
    for index in scenario.broken_packages:
        line = scenario.spec.lines[index]
        yield Finding(
            "warning",
            "current-not-in-packages",
            f"today's spend on '{line.name}', {line.current:,g}, is no whole number of packages of "
            f"{line.package:,g}: no plan can leave the line as it is. Check both figures.",
            ("lines", index, "package"),
        )


def _targets(reaches: Sequence[Reach]) -> Iterator[Finding]:
    for reach in reaches:
        path = ("kpis", reach.kpi, "target")
        message = f"the target of '{reach.kpi}' is {reach.words}"
        if reach.verdict == "unreachable":
            yield Finding("warning", "target-unreachable", message, path)
        elif reach.verdict == "undecided":
            yield Finding("note", "target-undecided", message, path)


RULES: tuple[Callable[[Scenario], Iterator[Finding]], ...] = (
    _outcome_path,
    _proxies,
    _audited,
    _guards,
    _counts,
    _so_whats,
    _definitions,
    _costs,
    _deadlines,
    _delays,
    _packages,
)
