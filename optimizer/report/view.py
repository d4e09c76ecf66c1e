"""The facts behind every table and chart, gathered once: the JSON, and what the scenario says of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from ..audit.scorecard import of_plan
from ..explain import Explanation
from ..front import Front
from ..plan import Plan, labelled, plain
from ..preferences import Floor, bound, floor_label
from ..scenario import Scenario
from ..versions import versions
from . import formats, robustness
from .facts import plan_facts
from .points import picks, point_outcomes
from .shapes import response_points

Row = dict[str, Any]
ROLES = ("objective", "guardrail", "counter", "monitor")
DEFINITIONS = (
    *("goal", "level", "layer", "horizon", "proxy_for", "so_what", "source", "calculation"),
    *("owner", "review", "waiver"),
)
MARGINAL = "marginal "
SMALLEST_WEIGHT = 1e-6


@dataclass(frozen=True)
class View:
    """A plan, and a front where one was computed, ready to be shown.

    Attributes
    ----------
    plan : Plan
        The plan under the stated preferences.
    given : Scenario
        The scenario as the file states it, its scales not yet frozen.
    front : Front, optional
        The front, if asked for.
    explanation : Explanation, optional
        What the plan's trade-offs come to, where they can be read off.
    outlook : dict, optional
        What other budgets would do, as `outlook.outlook` says it.
    """

    plan: Plan
    given: Scenario
    front: Front | None = None
    explanation: Explanation | None = None
    outlook: Row | None = None

    @cached_property
    def data(self) -> Row:
        """The content of plan.json."""
        return {
            **self.plan.to_dict(),
            "explanation": None if self.explanation is None else self.explanation.to_dict(),
            "totals": self._totals(),
            "scale": self._scale(),
            "outlook": self.outlook,
            "scorecard": list(of_plan(self.plan).rows),
            **plan_facts(self.plan, self.explanation),
            "versions": versions(),
        }

    @cached_property
    def front_data(self) -> Row | None:
        """The content of front.json, if there is a front."""
        if self.front is None:
            return None
        front = self.front
        box = {str(name): [float(row["worst"]), float(row["best"])] for name, row in front.box.iterrows()}
        chosen = picks(front, self.plan)
        spends = {"plan": self.plan.spend, "today": labelled(self.scenario, self.scenario.today)}
        spends |= {row["pick"]: front.spend(row["point"]) for row in chosen}
        spends |= {f"{robustness.POINT}{point}": front.spend(point) for point in range(len(front.points))}
        return {
            **front.to_dict(),
            "box": box,
            "outcomes": point_outcomes(front),
            "picks": chosen,
            "regret": robustness.regret(self.plan, spends),
            "versions": versions(),
        }

    @cached_property
    def curves(self) -> list[Row]:
        """The content of curves.json: what each line does at every spend."""
        return response_points(self)

    @property
    def picks(self) -> list[Row]:
        """Points of the front that say most, if there is a front."""
        return [] if self.front_data is None else list(self.front_data["picks"])

    @property
    def regret(self) -> Row | None:
        """How far plans are behind the best known one, draw by draw; of the whole front if there is one."""
        found: Row | None = (self.front_data or self.data)["regret"]
        return found

    def effects(self, kpi: str) -> list[Row]:
        """What each line brings of one KPI, in the order of the lines."""
        return [row for row in self.data["effects"] if row["kpi"] == kpi]

    def effect(self, kpi: str, line: str) -> Row | None:
        """What one line brings of one KPI, None where it has no curve for it."""
        return next((row for row in self.effects(kpi) if row["line"] == line), None)

    def unit(self, kpi: str) -> str:
        """A KPI's unit."""
        return self.scenario.spec.kpis[kpi].unit

    @cached_property
    def moved(self) -> list[str]:
        """Additive KPIs to show line by line: those that objectives are made of."""
        tree, found, waiting = self.scenario.tree, set(), list(self.scenario.objectives)
        while waiting:
            name = waiting.pop()
            formula = tree.kpis[name].formula if name in tree.kpis else None
            if formula is not None:
                waiting += [part for part in formula[1] if isinstance(part, str)]
            elif name in tree.leaves:
                found.add(name)
        return [name for name in tree.leaves if name in found]

    @property
    def scenario(self) -> Scenario:
        """The scenario with its scales frozen."""
        return self.plan.scenario

    @property
    def currency(self) -> str:
        """The scenario's currency code."""
        return self.scenario.spec.currency

    @property
    def horizon(self) -> str:
        """The horizon in words."""
        horizon = self.scenario.spec.horizon
        plural = "" if horizon.periods == 1 else "s"
        return f"{horizon.periods} {horizon.every}{plural} from {horizon.start.isoformat()}"

    @property
    def has_intervals(self) -> bool:
        """Whether the response holds more than one draw."""
        return int(self.data["draws"]) > 1

    @property
    def has_observed(self) -> bool:
        """Whether the evidence says what spend it has seen."""
        return any(row["observed_high"] is not None for row in self.data["allocation"])

    @property
    def weighted(self) -> bool:
        """Whether several KPIs are optimised together, on the stated scale."""
        return len(self.scenario.objectives) > 1

    @cached_property
    def kpis(self) -> list[Row]:
        """KPIs by role: outcomes, ``verdict``, guardrail ``limit``, ``rule``, ``today_breaks``, definitions."""
        floors = self.scenario.spec.preferences.floors
        rules = {rule["rule"]: rule for rule in self.data["rules"]}
        rows = []
        for outcome in self.data["outcomes"]:
            name = outcome["kpi"]
            row: Row = {**outcome, "limit": "", "limit_value": None, "rule": None, "today_breaks": False}
            if name in floors:
                rising = outcome["direction"] == "maximize"
                limit, today = bound(floors[name]), outcome["current"]
                row["limit"], row["limit_value"] = "at least" if rising else "at most", limit
                row["rule"] = rules[floor_label(name, floors[name], rising)]
                # A floor over draws is not held against today's expected value: that would be another question.
                expected = not isinstance(floors[name], Floor) and today is not None and today != limit
                row["today_breaks"] = expected and (today < limit) == rising
            row["verdict"] = _verdict(outcome)
            rows.append({**row, **self._definition(name)})
        return sorted(rows, key=lambda row: ROLES.index(row["role"]))

    def _definition(self, name: str) -> Row:
        kpi = self.scenario.spec.kpis[name]
        formula, parts = kpi.formula or ("", [])
        joiner = {"ratio": " / ", "product": " × ", "sum": " + ", "difference": " − "}.get(formula, "")
        words = joiner.join(part if isinstance(part, str) else f"{part:g}" for part in parts)
        return {**{key: getattr(kpi, key) or "" for key in DEFINITIONS}, "formula": words}

    @property
    def marginals(self) -> list[str]:
        """The objectives that lines add to directly."""
        return [name for name in self.scenario.objectives if name in self.scenario.tree.leaves]

    @cached_property
    def lines(self) -> list[Row]:
        """Lines with their allocation; ``marginals`` (``value``, ``low``, ``high``) as `marginals` orders them."""
        return [
            {**row, "marginals": [self._marginal(row, name) for name in self.marginals]}
            for row in self.data["allocation"]
        ]

    def _marginal(self, line: Row, kpi: str) -> Row:
        effect = self.effect(kpi, line["line"]) or {}
        ends = {end: effect.get(f"marginal_{end}") for end in ("low", "high")}
        return {"value": line[f"{MARGINAL}{kpi}"], **ends}

    @cached_property
    def flighting(self) -> list[Row]:
        """Lines with their ``spend`` in every period and its ``peak``; nothing where it is the same in all."""
        found = self.data["flighting"]
        if found is None:
            return []
        return [{"line": line, "spend": spend, "peak": max(spend)} for line, spend in found["spend"].items()]

    @property
    def binding(self) -> list[Row]:
        """Rules and floors that bind."""
        return [rule for rule in self.data["rules"] if rule["binding"]]

    @property
    def dearest(self) -> Row | None:
        """The rule that binds with the largest shadow price, None where none has one."""
        priced = [rule for rule in self.binding if rule["shadow_price"]]
        return max(priced, key=lambda rule: abs(rule["shadow_price"]), default=None)

    @property
    def measure(self) -> str:
        """What the objective is counted in, in words."""
        measure = str(self.data["certificate"]["measure"])
        return "stated scale (1 is best on all)" if measure in ("scale", "steps") else f"objective ({measure})"

    @property
    def pick_scale(self) -> dict[str, list[float]]:
        """The scale that picks by weights are on: the stated one, or the front's box."""
        data = self.front_data or {"objectives": {}}
        if not self.on_stated_scale:
            return dict(data["box"])
        return {name: [float(end) for end in about["scale"]] for name, about in data["objectives"].items()}

    @property
    def on_stated_scale(self) -> bool:
        """Whether the scenario has a scale for every objective."""
        data = self.front_data or {"objectives": {}}
        return all(about["scale"] not in (None, "payoff") for about in data["objectives"].values())

    @property
    def first_weights(self) -> dict[str, int]:
        """Where sliders for weights begin, in percent: as stated, else what makes the plan best, else even."""
        names = list(self.scenario.objectives)
        stated = self.scenario.spec.preferences.weights
        implied = None if self.explanation is None else self.explanation.plan.weights
        found = stated or ({} if implied is None or not self.on_stated_scale else dict(implied))
        total = sum(found.values())
        return {name: round(100 * (found.get(name, 0.0) / total if total else 1 / len(names))) for name in names}

    @property
    def loose(self) -> list[Row]:
        """Rules and floors that leave room."""
        return [rule for rule in self.data["rules"] if not rule["binding"]]

    @property
    def totals(self) -> Row:
        """Total spend ``current`` and ``plan``, their ``difference`` and ``change``."""
        found: Row = self.data["totals"]
        return found

    def _totals(self) -> Row:
        current, plan = float(self.scenario.current.sum()), float(self.plan.totals.sum())
        change = plan / current - 1.0 if current else None
        return {"current": current, "plan": plan, "difference": plan - current, "change": change}

    @property
    def scale(self) -> list[Row]:
        """Pinned scales: ``worst`` and ``best`` in KPI units, ``weight``, ``part`` of all weights, ``origin``."""
        found: list[Row] = self.data["scale"]
        return found

    def _scale(self) -> list[Row]:
        preferences = self.scenario.spec.preferences
        total = sum(preferences.weights.values())
        rows = []
        for name in self.scenario.objectives:
            ends = preferences.scale.get(name)
            if not self.weighted or ends is None or ends == "payoff":
                continue
            weight = preferences.weights.get(name)
            payoff = self.given.spec.preferences.scale.get(name) == "payoff"
            rows.append(
                {
                    "kpi": name,
                    "unit": self.scenario.spec.kpis[name].unit,
                    "worst": ends[0],
                    "best": ends[1],
                    "weight": weight,
                    "part": None if weight is None else weight / total,
                    "origin": "payoff table, without guardrails" if payoff else "stated",
                }
            )
        return rows

    @property
    def tradeoff(self) -> list[str]:
        """A trade-off stated otherwise than by weights, in sentences."""
        preferences, currency = self.scenario.spec.preferences, self.currency
        found = [
            f"One unit of {name} is worth {value:g} {currency}." for name, value in preferences.values.items()
        ]
        for pair in preferences.exchange:
            first, second = (f"{amount:g} of {name}" for name, amount in pair.items())
            found.append(f"{first} is worth as much as {second}.")
        found += [f"The target for {name} is {value:g}." for name, value in preferences.targets.items()]
        for place, step in enumerate(preferences.order, start=1):
            found.append(f"Priority {place}: {step.kpi}; the later ones may cost {step.slack:.1%} of its best.")
        return found

    @property
    def states_worth(self) -> bool:
        """Whether the stated trade-off itself says what each objective is worth: not by targets or priorities."""
        return self.scenario.spec.preferences.mode not in ("targets", "priorities")

    @property
    def implied_weights(self) -> str:
        """The weights for which the plan is the best one, in words."""
        weights = None if self.explanation is None else self.explanation.plan.weights
        return "" if weights is None else _shares(weights)

    @property
    def implied(self) -> list[str]:
        """What the objectives exchange for at the plan, and what today's plan says of the trade-off."""
        if self.explanation is None or len(self.scenario.objectives) < 2:
            return []
        found = []
        rates, weights = self.explanation.plan.exchange, self.explanation.plan.weights
        for one, other in itertools.combinations(self.scenario.objectives, 2):
            # Where one of the two counts for nothing there is no rate between them.
            if rates is not None and weights is not None and min(weights[one], weights[other]) > SMALLEST_WEIGHT:
                rate = plain(rates.loc[one, other])
                found.append(
                    f"At this plan, {formats.number(1.0)} more of {other} costs {formats.number(rate)} of {one}."
                )
        today = self.explanation.today
        if today.gain is not None:
            gains = " and ".join(f"{formats.number(gain)} of {name}" for name, gain in today.gain.items())
            found.append(f"Today's plan is beaten on every objective: {gains} can be had at once (proven).")
        elif today.weights is not None:
            found.append(
                f"Today's plan would be the best one for weights of {_shares(today.weights)} on this scale."
            )
        elif today.unsupported:
            found.append("No plan is ahead of today's on every objective, but it is the best one for no weights.")
        else:
            found.append("Today's plan is not among those that the rules and guardrails allow.")
        return found

    @property
    def proof(self) -> str:
        """The plan's certificate in one sentence."""
        return formats.plan_proof(self.data["certificate"])

    @property
    def front_proof(self) -> str:
        """The front's certificate in one sentence."""
        if self.front_data is None:
            return ""
        return formats.front_proof(
            self.front_data["certificate"], len(self.front_data["points"]), self.front_data["lost"]
        )


def _shares(weights: pd.Series) -> str:
    return ", ".join(f"{name} {formats.percent(w)}" for name, w in weights.items())


def _verdict(outcome: Row) -> str:
    """Say whether the expected change is for the better: ``better``, ``worse`` or nothing."""
    today, plan, direction = outcome["current"], outcome["expected"], outcome["direction"]
    if today is None or plan is None or not direction or today == plan:
        return ""
    return "better" if (plan > today) == (direction == "maximize") else "worse"
