"""Plan: spend by line (and period), what it is expected to do, and how good it provably is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .constraints import MAX_IN_PERIOD
from .markup import Block, card
from .measured import kpi_means, kpi_values, without_draws
from .preferences import Floor, bound, floor_label, measure
from .risk import on_fresh_draws
from .simulate import Simulator

if TYPE_CHECKING:
    from .scenario import Scenario

Floats = NDArray[np.float64]
Guarantee = Literal["global", "local", "none"]

INTERVAL = 0.9
# A rule with less room than this share of the money at stake is called binding.
BINDING = 1e-6


@dataclass(frozen=True)
class Certificate:
    """How good a result provably is.

    Attributes
    ----------
    guarantee : "global", "local" or "none"
        ``global``: no plan that keeps the rules is better than ``bound``, and the plan is there but for ``gap``.
        ``local``: no small change improves it. ``none``: it was found by search alone. With these two the bound
        holds too where there is one (NaN where not), but may be far from the plan.
    value, bound : float
        The plan's objective and the proven bound.
    gap : float
        How far ``value`` is from ``bound``: as it is on the stated scale, else as a share of the bound.
    measure : str
        What the two are in: ``scale`` (1 is best on every KPI), ``steps`` (of the scale, above the targets),
        ``front`` (steps from the worst to the best value on a front), the currency, or a KPI.
    route : str
        The solver module that found it.
    why : str
        Why this route, in words.
    """

    guarantee: Guarantee
    value: float
    bound: float
    gap: float
    measure: str
    route: str
    why: str


@dataclass(frozen=True)
class Plan:
    """A plan under a scenario.

    Attributes
    ----------
    scenario : Scenario
        With every scale frozen to numbers.
    spend : Series or DataFrame
        Currency over the horizon, by line; with free flighting by line and period, periods counted from 1.
    certificate : Certificate
        How good it provably is.
    prices : mapping
        Shadow price by rule or floor name, where the solver gave one: what the objective gains if the rule is
        loosened by 1,000 of currency (floors: by one unit of the KPI).
    """

    scenario: Scenario
    spend: pd.Series | pd.DataFrame
    certificate: Certificate
    prices: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def totals(self) -> pd.Series:
        """Currency over the horizon, by line."""
        by_line = self.spend.sum(axis=1) if isinstance(self.spend, pd.DataFrame) else self.spend
        return by_line.rename("spend")

    @cached_property
    def by_period(self) -> pd.DataFrame:
        """Currency by line and period, periods counted from 1."""
        if isinstance(self.spend, pd.DataFrame):
            return self.spend
        spread = self.totals.to_numpy(dtype=float)[:, None] * self.scenario.shares
        return pd.DataFrame(spread, self.totals.index, _periods(self.scenario))

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """What the plan does, by KPI, in the KPI's unit over the horizon.

        Columns ``current`` (today's spend), ``expected`` (mean over draws), ``low`` and ``high`` (90 % interval
        over draws; NaN with a single draw, and of KPIs that have no draws), ``change`` (expected against
        current, a share), ``change_low`` and ``change_high`` (its 90 % interval, draw by draw), ``p_better``
        (share of draws in which the plan is better than today's), then ``unit``, ``direction``, ``role``.
        """
        scenario = self.scenario
        expected = kpi_means(scenario, self._leaves, self._plans)
        rows = {name: self._outcome(name, expected[name], draws) for name, draws in self._by_draw.items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("kpi")

    @cached_property
    def fresh(self) -> pd.DataFrame | None:
        """What the plan does on draws that were held out of the search, by KPI; None where none were.

        Columns ``expected`` (on the draws used), ``fresh`` (on those held out) and ``loss`` (how much less it
        gains over today's plan there), in the KPI's unit.
        """
        found = on_fresh_draws(self.scenario, self._plans[1:])
        if found is None:
            return None
        rows = {
            name: {"expected": value, "fresh": found[name].iloc[0], "loss": found[f"loss {name}"].iloc[0]}
            for name, value in self.outcomes["expected"].items()
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("kpi")

    @cached_property
    def _plans(self) -> Floats:
        """Today's spend and the plan's: (2, L), with free flighting (2, L, T)."""
        return np.stack([self.scenario.today, self.spend.to_numpy(dtype=float)])

    @cached_property
    def _leaves(self) -> Floats:
        """Additive KPIs of both, by draw: (2, D, K)."""
        return Simulator.of(self.scenario).outcomes(self._plans)

    @cached_property
    def _by_draw(self) -> dict[str, Floats]:
        """Every KPI of both, by draw: (2, D)."""
        return kpi_values(self.scenario, self._leaves, self._plans)

    def _outcome(self, name: str, expected: Floats, by_draw: Floats) -> dict[str, Any]:
        kpi = self.scenario.spec.kpis[name]
        today, plan = by_draw
        tails = [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2]
        row: dict[str, Any] = {"current": expected[0], "expected": expected[1]}
        row |= dict.fromkeys(("low", "high"), np.nan) | {"change": _relative(expected[1], expected[0])}
        row |= dict.fromkeys(("change_low", "change_high", "p_better"), np.nan)
        if len(plan) > 1 and not self.without_draws(name):
            if np.all(np.isfinite(plan)):
                row["low"], row["high"] = np.quantile(plan, tails)
            if np.all(today > 0):
                row["change_low"], row["change_high"] = np.quantile(_relative(plan, today), tails)
            if kpi.direction is not None:
                sign = 1.0 if kpi.direction == "maximize" else -1.0
                row["p_better"] = float(np.mean(sign * (plan - today) > 0))
        return row | {"unit": kpi.unit, "direction": kpi.direction or "", "role": self.scenario.role(name)}

    def without_draws(self, name: str) -> bool:
        """Whether a KPI has one value for all draws, and so no interval; see `simulate.without_draws`."""
        return without_draws(self.scenario, name, self._by_draw[name])

    @cached_property
    def marginal(self) -> Floats:
        """What the next unit of currency on each line adds to each additive KPI: (K, L) KPI units.

        With free flighting it goes to the period where it brings most, of those the line's own limits leave open.
        """
        scenario, simulator = self.scenario, Simulator.of(self.scenario)
        spend = self.spend.to_numpy(dtype=float)
        if not scenario.free:
            return simulator.effects(spend)[1].mean(axis=0)
        rises = simulator.gradients(spend[None])[0, :, :, : spend.shape[1]]
        ceiling = scenario.polyhedron.box()[1].reshape(spend.shape)
        is_open = spend < ceiling - BINDING * max(float(spend.sum()), 1.0)
        return np.where(is_open.any(axis=1), np.where(is_open, rises, -np.inf).max(axis=2), 0.0)

    @cached_property
    def allocation(self) -> pd.DataFrame:
        """Where the money goes, by line.

        Columns ``current``, ``plan``, ``difference`` (currency over the horizon), ``change`` (a share of
        current; NaN from zero), ``share`` (of total spend), ``marginal <kpi>`` for each objective that lines add
        to (KPI units for the next 1,000 of currency), ``stopped_by`` (rules of this line that bind),
        ``observed_low`` and ``observed_high`` (spend a period the evidence holds), ``per_period`` (largest
        planned spend a period) and ``beyond_observed`` ("", "above" or "below").
        """
        scenario = self.scenario
        spend = self.totals.to_numpy(dtype=float)
        table = pd.DataFrame({"current": scenario.current, "plan": spend}, index=self.totals.index)
        table["difference"] = table["plan"] - table["current"]
        table["change"] = _relative(spend, scenario.current)
        table["share"] = spend / spend.sum() if spend.sum() > 0 else 0.0
        for name in scenario.objectives:
            if name in scenario.tree.leaves:
                k = scenario.tree.leaves.index(name)
                table[f"marginal {name}"] = 1000.0 * self.marginal[k]
        table["stopped_by"] = [", ".join(self._stopped_by(i, line)) for i, line in enumerate(table.index)]
        low, high = scenario.response.observed.T
        peak = self.by_period.to_numpy(dtype=float).max(axis=1)
        table["observed_low"], table["observed_high"], table["per_period"] = low, high, peak
        above, below = peak > high * (1 + 1e-9), peak < low * (1 - 1e-9)
        table["beyond_observed"] = np.where(above, "above", np.where(below, "below", ""))
        return table

    def _stopped_by(self, index: int, line: str) -> list[str]:
        """A line's own rules that bind; those about single periods together, where there are several."""
        polyhedron, binding = self.scenario.polyhedron, self.rules["binding"]
        names = [
            name[len(line) + 2 :]
            for name, owner in zip(polyhedron.names, polyhedron.owner, strict=True)
            if owner == index and binding[name]
        ]
        single = [name for name in names if name.startswith(MAX_IN_PERIOD)]
        if len(single) < 2:
            return names
        return [*(name for name in names if name not in single), f"max in {len(single)} periods"]

    @cached_property
    def rules(self) -> pd.DataFrame:
        """Every rule and floor.

        Columns ``slack`` (currency; floors: KPI units; rules on how many lines are on: lines), ``binding`` and
        ``shadow_price``.
        """
        polyhedron = self.scenario.polyhedron
        spend = self.spend.to_numpy(dtype=float)
        slack = polyhedron.slack(spend)
        stake = max(float(spend.sum()), 1.0 if spend.sum() == 0 else 0.0)
        rows = {
            name: {"slack": room, "binding": bool(room <= BINDING * stake)}
            for name, room in zip(polyhedron.names, slack, strict=True)
        }
        rows |= self._switch_rules(self.totals.to_numpy(dtype=float), stake)
        for name, limit in self.scenario.spec.preferences.floors.items():
            rising = self.scenario.spec.kpis[name].direction == "maximize"
            value = float(self.outcomes.loc[name, "expected"])
            if isinstance(limit, Floor):
                value = measure(limit, self._by_draw[name][1], rising)
            room = value - bound(limit) if rising else bound(limit) - value
            label = floor_label(name, limit, rising)
            rows[label] = {"slack": room, "binding": bool(room <= BINDING * abs(bound(limit)))}
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("rule")
        table["shadow_price"] = [self.prices.get(name, np.nan) for name in table.index]
        return table

    def _switch_rules(self, spend: Floats, stake: float) -> dict[str, dict[str, Any]]:
        """Minimum spends of the lines that are on, how many more lines may be, and packages (minus the miss)."""
        switches = self.scenario.polyhedron.switches
        if switches is None:
            return {}
        on = spend > BINDING * stake
        rows = {
            name: {"slack": room, "binding": bool(room <= BINDING * stake)}
            for name, room, held in zip(switches.names, spend - switches.least, on, strict=True)
            if name and held
        }
        for name, mask, count in switches.most:
            left = count - int((on & mask).sum())
            rows[name] = {"slack": float(left), "binding": left == 0}
        for name, miss in zip(switches.packages, switches.missed(spend), strict=True):
            if name:
                rows[name] = {"slack": -float(miss), "binding": True}
        return rows

    @cached_property
    def claims(self) -> pd.DataFrame:
        """The scenario's claims held against this plan.

        Columns ``claim`` and ``computed`` in words, ``reproduced`` (whether the computed figure is within the
        claim's tolerance), ``source``; empty where nothing is claimed.
        """
        rows = []
        for claim in self.scenario.spec.claims:
            row = self.outcomes.loc[claim.kpi]
            if claim.change is not None:
                stated, found = f"{100 * claim.change:+.1f} %", f"{100 * row['change']:+.1f} %"
                miss = abs(row["change"] - claim.change)
            else:
                stated = f"{claim.today:g} -> {claim.plan:g}"
                found = f"{row['current']:.4g} -> {row['expected']:.4g}"
                miss = max(abs(row["current"] - claim.today), abs(row["expected"] - claim.plan))
            rows.append((claim.kpi, stated, found, bool(miss <= claim.tolerance), claim.source))
        columns = ["kpi", "claim", "computed", "reproduced", "source"]
        return pd.DataFrame(rows, columns=columns).set_index("kpi")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know before acting, in words."""
        found = []
        table = self.allocation
        for line, row in table[table["beyond_observed"] != ""].iterrows():
            edge = row["observed_high"] if row["beyond_observed"] == "above" else row["observed_low"]
            found.append(
                f"{line}: {row['per_period']:,.0f} {self.scenario.spec.currency} a period is "
                f"{row['beyond_observed']} anything observed ({edge:,.0f}); its effect there is extrapolated."
            )
        for index, miss in self.scenario.broken_packages.items():
            spec = self.scenario.spec.lines[index]
            found.append(
                f"{spec.name}: today's spend of {spec.current:,.0f} {self.scenario.spec.currency} is no whole "
                f"number of packages of {spec.package:,g} ({miss:,.0f} off), so no plan can leave it as it is."
            )
        for name in self.scenario.functions:
            if self.scenario.response.draws > 1 and self.without_draws(name):
                found.append(f"{name}: its function gives no draws, so it has no interval.")
        if self.scenario.response.draws == 1:
            found.append("The curves come without uncertainty (one draw): no figure has an interval.")
        return (*found, *self.scenario.notes)

    def _repr_html_(self) -> str:
        scenario, certificate = self.scenario, self.certificate
        line = (
            f"{certificate.guarantee} guarantee, gap {certificate.gap:.2g} ({certificate.measure}), "
            f"route {certificate.route}; money in {scenario.spec.currency} over the horizon."
        )
        moves = self.allocation[["current", "plan", "difference", "change", "share", "stopped_by"]]
        outcomes = Block(f"Outcomes, {INTERVAL:.0%} interval", self.outcomes, ("change",))
        blocks = [outcomes, Block("Allocation", moves, ("difference", "change"))]
        return card(f"Plan: {scenario.name}", [line, *self.warnings], blocks)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data, numbers unrounded; NaN becomes null."""
        scenario = self.scenario
        return {
            "scenario": scenario.name,
            "scenario_hash": scenario.hash,
            "currency": scenario.spec.currency,
            "spend": {line: float(value) for line, value in self.totals.items()},
            "flighting": self._flighting(),
            "certificate": {key: plain(value) for key, value in asdict(self.certificate).items()},
            "outcomes": records(self.outcomes),
            "allocation": records(self.allocation),
            "rules": records(self.rules),
            "claims": records(self.claims),
            "preferences": scenario.spec.preferences.model_dump(mode="json", exclude_none=True),
            "interval": INTERVAL,
            "draws": scenario.response.draws,
            "evidence": {key: plain(value) for key, value in scenario.response.attributes.items()},
            "warnings": list(self.warnings),
        }

    def _flighting(self) -> dict[str, Any] | None:
        """First days of the periods, and spend by line in each, where it was chosen or shares are stated."""
        if self.scenario.spec.flighting == "flat":
            return None
        spend = {line: [float(value) for value in row] for line, row in self.by_period.iterrows()}
        return {"periods": self.scenario.spec.horizon.starts, "spend": spend}


def labelled(scenario: Scenario, spend: Floats) -> pd.Series | pd.DataFrame:
    """Return spend in the scenario's order as a plan holds it: (L,) as Series, (L, T) as DataFrame."""
    index = pd.Index(scenario.lines, name="line")
    if spend.ndim == 1:
        return pd.Series(spend, index=index, name="spend")
    return pd.DataFrame(spend, index=index, columns=_periods(scenario))


def _periods(scenario: Scenario) -> pd.Index:
    return pd.RangeIndex(1, scenario.spec.horizon.periods + 1, name="period")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table as a list of rows of plain JSON values, the index first."""
    return [
        {str(key): plain(value) for key, value in row.items()}
        for row in table.reset_index(names=table.index.name or "line").to_dict(orient="records")
    ]


def plain(value: Any) -> Any:
    """Return a NumPy or pandas scalar as a JSON value; NaN and infinity become None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _relative(new: Any, old: Any) -> Any:
    """Return ``new / old - 1``, NaN where ``old`` is not positive: a change in percent says nothing there."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(old) > 0, np.divide(new, old) - 1.0, np.nan)[()]
