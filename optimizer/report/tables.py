"""Tables for the terminal, readable at 80 columns. Text from files is never read as markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..lint import Finding
from ..reach import Reach
from .formats import between, between_percent, chance, clean, number, percent, room, signed
from .view import View

BEYOND = {"above": " ▲", "below": " ▼", "": ""}
# Heights of a strip that shows spend by period, and how many of them fit.
BLOCKS, STRIP = " ▁▂▃▄▅▆▇█", 32
PICKS = "the knee lies farthest out over the line, or plane, through the ends of the front"
COLOUR = {"better": "green", "worse": "red", "": ""}


def print_plan(console: Console, view: View) -> None:
    """Print a plan: outcomes, allocation, what stops more, scale, claims, proof and warnings."""
    print_title(console, view)
    parts = [_outcomes(view), _allocation(view), _limits(view)]
    if view.flighting:
        parts.insert(2, _flighting(view))
    if view.scale or view.tradeoff:
        parts.append(_scale(view))
    if view.data["claims"]:
        parts.append(_claims(view))
    for part in parts:
        console.print()
        console.print(part)
    console.print()
    console.print(Text(view.proof))
    print_warnings(console, view.data["warnings"])


def print_title(console: Console, view: View) -> None:
    """Print what a scenario is about."""
    console.print(Text(clean(view.data["scenario"]), style="bold"))
    console.print(Text(f"{view.horizon}, money in {view.currency} over the horizon", style="dim"))


def print_front(console: Console, view: View) -> None:
    """Print a front: its payoff table, and how complete it is."""
    data = view.front_data
    if data is None:
        return
    table = columns("Optimised alone", *map(clean, data["objectives"]))
    for row in data["payoff"]:
        table.add_row(clean(row["optimised"]), *(number(row[name]) for name in data["objectives"]))
    table.add_section()
    table.add_row("today", *(number(found["current"]) for found in data["objectives"].values()))
    console.print()
    console.print(block("Payoff table: each objective on its own", table))
    table = columns("Pick", *map(clean, data["objectives"]))
    for row in data["picks"]:
        table.add_row(row["pick"], *(number(row["kpis"][name]) for name in data["objectives"]))
    console.print()
    console.print(block("Picks from the front", table, PICKS))
    console.print()
    console.print(Text(view.front_proof))


def print_check(console: Console, view: View) -> None:
    """Print what a scenario comes to: the roles that were resolved, the scale, the rules, the warnings."""
    print_title(console, view)
    table = columns("KPI", "Role", "Direction", "Guardrail", "Formula", words=5)
    for row in view.kpis:
        limit = f"{row['limit']} {number(row['limit_value'])}" if row["limit"] else ""
        table.add_row(clean(row["kpi"]), row["role"], row["direction"], limit, clean(row["formula"]))
    console.print()
    console.print(block("KPIs", table))
    if view.scale or view.tradeoff:
        console.print()
        console.print(_scale(view))
    rules = view.data["rules"]
    binding = "; ".join(clean(rule["rule"]) for rule in rules if rule["binding"]) or "none"
    console.print()
    console.print(Text(f"{len(view.lines)} lines, {len(rules)} rules and guardrails."))
    console.print(Text(f"Binding in the best plan: {binding}."))
    print_warnings(console, view.data["warnings"])


def print_findings(console: Console, findings: Sequence[Finding], reaches: Sequence[Reach]) -> None:
    """Print whether targets can be reached, and what the linter found, errors first."""
    if reaches:
        console.print()
        console.print(Text("Targets", style="bold"))
    for reach in reaches:
        console.print(Text(clean(f"{reach.kpi}: {reach.words}")))
    if findings:
        console.print()
        console.print(Text("Findings", style="bold"))
    order = ("error", "warning", "note")
    for finding in sorted(findings, key=lambda finding: order.index(finding.level)):
        console.print(
            Text(clean(str(finding)), style={"error": "red", "warning": "yellow"}.get(finding.level, ""))
        )


def print_warnings(console: Console, warnings: Sequence[str], title: str = "Before acting") -> None:
    """Print what a reader must know, as a list."""
    if warnings:
        console.print()
        console.print(Text(title, style="bold"))
    for warning in warnings:
        bullet = Table.grid(padding=(0, 1))
        bullet.add_row("•", Text(clean(warning)))
        console.print(bullet)


def columns(*names: str, words: int = 1) -> Table:
    """Make an empty table; the first ``words`` columns hold text, the others numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for index, name in enumerate(names):
        table.add_column(Text(name), justify="left" if index < words else "right", overflow="fold")
    return table


def block(title: str, table: Table, foot: str = "") -> RenderableType:
    """Put a title above a table, and a remark below it."""
    parts: list[RenderableType] = [Text(title, style="bold"), table]
    if foot:
        parts.append(Text(foot, style="dim"))
    return Group(*parts)


def two(first: str, second: str, style: str = "") -> Text:
    """Put a figure over its interval or unit; one line where there is no second."""
    text = Text(first, style=style)
    if second:
        text.append(f"\n{second}", style="not bold dim")
    return text


def _outcomes(view: View) -> RenderableType:
    names = ["KPI", "Today", "Plan", "Change"] + (["Better"] if view.has_intervals else [])
    table = columns(*names)
    for row in view.kpis:
        about = row["role"] if row["unit"] in ("", row["kpi"]) else f"{row['unit']}, {row['role']}"
        if row["limit"]:
            spare = room(row["rule"]["slack"], row["rule"]["binding"])
            about += f" {row['limit']} {number(row['limit_value'])} ({spare} to spare)"
            about += ", broken today" if row["today_breaks"] else ""
        ranges = ("", "")
        if view.has_intervals:
            ranges = (between(row["low"], row["high"]), between_percent(row["change_low"], row["change_high"]))
        cells: list[str | Text] = [
            two(clean(row["kpi"]), clean(about)),
            number(row["current"]),
            two(number(row["expected"]), ranges[0], "bold"),
            two(percent(row["change"], sign=True), ranges[1], COLOUR[row["verdict"]]),
        ]
        if view.has_intervals:
            cells.append(chance(row["p_better"]))
        table.add_row(*cells)
    interval = f" ({100 * view.data['interval']:.0f} % intervals below the figures)" if view.has_intervals else ""
    return block(f"What the plan does{interval}", table)


def _allocation(view: View) -> RenderableType:
    table = columns("Line", "Today", "Plan", "Change", "", "Share")
    total = view.totals
    for row in view.lines:
        table.add_row(
            clean(row["line"]) + BEYOND[row["beyond_observed"]],
            number(row["current"]),
            Text(number(row["plan"]), style="bold"),
            signed(row["difference"], total["plan"]),
            percent(row["change"], sign=True),
            percent(row["share"]),
        )
    table.add_section()
    table.add_row(
        "total",
        number(total["current"]),
        number(total["plan"]),
        signed(total["difference"], total["plan"]),
        percent(total["change"], sign=True),
        "",
    )
    beyond = any(row["beyond_observed"] for row in view.lines)
    foot = "▲ above, ▼ below any spend a period that was observed" if beyond else ""
    return block(f"Where the money goes, {view.currency}", table, foot)


def _flighting(view: View) -> RenderableType:
    starts = view.data["flighting"]["periods"]
    table = columns("Line", "Most a period", "In", "From first to last period")
    table.columns[-1].justify = "left"
    for row in view.flighting:
        when = starts[row["spend"].index(row["peak"])] if row["peak"] else ""
        table.add_row(clean(row["line"]), number(row["peak"]), when, Text(_strip(row["spend"])))
    return block(f"When the money is spent, {view.currency}", table)


def _strip(spend: Sequence[float]) -> str:
    """Draw a series as a strip of blocks, each as high as the largest value it stands for."""
    width = -(-len(spend) // STRIP)
    parts = [max(spend[i : i + width]) for i in range(0, len(spend), width)]
    top = max(parts) or 1.0
    return "".join(BLOCKS[min(len(BLOCKS) - 1, round(part / top * (len(BLOCKS) - 1)))] for part in parts)


def _limits(view: View) -> RenderableType:
    table = columns("Line", *map(clean, view.marginals), "Stopped by")
    table.columns[-1].justify = "left"
    for row in view.lines:
        stopped = Text(clean(row["stopped_by"]) or "nothing")
        table.add_row(clean(row["line"]), *(number(made["value"]) for made in row["marginals"]), stopped)
    starts = tuple(f"{row['line']}: " for row in view.lines)
    binding = [rule["rule"] for rule in view.data["rules"] if rule["binding"]]
    shared = "; ".join(rule for rule in binding if not rule.startswith(starts))
    foot = f"Rules that bind for the whole plan: {clean(shared)}" if shared else ""
    title = f"What the next 1,000 {view.currency} would bring, and what stops a line"
    return block(title, table, foot)


def _scale(view: View) -> RenderableType:
    table = columns("KPI", "Scale from", "Worst", "Best", "Weight", words=2)
    for row in view.scale:
        table.add_row(
            two(clean(row["kpi"]), "" if row["unit"] == row["kpi"] else clean(row["unit"])),
            row["origin"],
            number(row["worst"]),
            number(row["best"]),
            percent(row["part"]),
        )
    title = "The stated trade-off" + (", on one scale" if view.scale else "")
    parts = [Text(clean(sentence)) for sentence in (*view.tradeoff, *view.implied)]
    return Group(block(title, table) if view.scale else Text(title, style="bold"), *parts)


def _claims(view: View) -> RenderableType:
    table = columns("KPI", "Claimed", "Computed", "Verdict", words=4)
    for row in view.data["claims"]:
        good = row["reproduced"]
        verdict = Text("reproduced" if good else "NOT reproduced", style="green" if good else "bold red")
        table.add_row(two(clean(row["kpi"]), clean(row["source"])), row["claim"], row["computed"], verdict)
    return block("Claimed, and what the model gives", table)
