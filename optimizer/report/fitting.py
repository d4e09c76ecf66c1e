"""What a fit and a history check print: figures to judge the evidence by, before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.text import Text

from ..evidence.shapes import WORDS
from .formats import DASH, between, clean, number, percent
from .tables import block, columns, print_warnings, two

LIFTS = ("measured", "before", "after")

if TYPE_CHECKING:
    from ..evidence.checks import Report
    from ..evidence.fit import Fit
    from ..evidence.forecast import Forecast
    from ..evidence.history import FitSpec, History


def print_fit(console: Console, fit: Fit) -> None:
    """Print a fit: how well it foretells, what it saw of each line, what each line does, what it cannot tell."""
    about = fit.model.attributes
    console.print(Text(f"{about['rows']} {fit.spec.period}s, {about['first']} to {about['last']}", style="dim"))
    for title, table in (
        (_foretells(fit), _kpis(fit)),
        (f"What the history saw of each line, spend a {fit.spec.period}", _lines(fit)),
        ("What each line does", _effects(fit)),
    ):
        console.print()
        console.print(block(title, table))
    if "calibration" in fit.diagnostics:
        console.print()
        console.print(block("Lifts as experiments measured them, and as the model foretells them", _tests(fit)))
    print_warnings(console, fit.repairs, "Filled or left aside on reading, as the config asks")
    print_warnings(console, fit.notes, "What the data cannot tell")


def _foretells(fit: Fit) -> str:
    origins = next(iter(fit.diagnostics["kpis"].values()))["holdout"]["origins"]
    times = "once" if origins == 1 else f"{origins} times"
    return f"How well the fit foretells {times} {fit.spec.holdout} {fit.spec.period}s that it has not seen"


def _kpis(fit: Fit) -> Any:
    table = columns("KPI", "Error", "no lines", "mean", "last year", "R2 fitted", "Media share")
    for name, kpi in fit.diagnostics["kpis"].items():
        held, share = kpi["holdout"], kpi["media_share"]
        table.add_row(
            clean(name),
            Text(percent(held["error"]), style="bold"),
            percent(held["error_without_media"]),
            percent(held["error_of_mean"]),
            percent(held["error_of_last_year"]),
            _plain(kpi["r2"]),
            two(percent(share["mean"]), _range(share)),
        )
    return table


def _lines(fit: Fit) -> Any:
    table = columns("Line", "Lowest", "Mean", "Highest", "Periods on", "Own movement", "Curve")
    for name, line in fit.diagnostics["lines"].items():
        table.add_row(
            clean(name),
            number(line["low"]),
            number(line["mean"]),
            number(line["high"]),
            number(line["periods_on"]),
            percent(line["own_movement"]),
            Text(WORDS[line["curve"]]),
        )
    return table


def _effects(fit: Fit) -> Any:
    table = columns("KPI", "Line", "Share of KPI", f"Per 1,000 {fit.spec.currency or 'spent'}", "Learned", words=2)
    for kpi, by_line in fit.diagnostics["effects"].items():
        for line, effect in by_line.items():
            share, gain = effect["share"], {key: 1000 * value for key, value in effect["return"].items()}
            table.add_row(
                clean(kpi),
                clean(line),
                two(percent(share["mean"]), _range(share)),
                two(number(gain["mean"]), between(gain["low"], gain["high"])),
                percent(effect["learned"]),
            )
        table.add_section()
    return table


def _tests(fit: Fit) -> Any:
    table = columns("Test", "Line", "KPI", "Measured", "Before", "After", "", words=3)
    for test in fit.diagnostics["calibration"]["tests"]:
        lifts = (two(number(x["mean"]), between(x["low"], x["high"])) for x in (test[k] for k in LIFTS))
        names = (clean(test[key]) for key in ("name", "line", "kpi"))
        told = Text("contradicts the model", style="red") if test["conflict"] else Text("used")
        table.add_row(*names, *lifts, told)
    return table


def _range(interval: dict[str, float]) -> str:
    return f"{percent(interval['low'])} to {percent(interval['high'])}"


def _plain(value: float | None) -> str:
    return DASH if value is None else f"{value:.2f}"


def print_history(console: Console, history: History, spec: FitSpec) -> None:
    """Print that a history is sound: its extent, each line's spend, each KPI, what was filled or left aside."""
    first, last = history.dates[0].date(), history.dates[-1].date()
    console.print(Text(f"{len(history.dates)} {history.period}s, {first} to {last}", style="dim"))
    for title, frame in (("Spend", history.spend), ("KPIs", history.kpis), ("Controls", history.controls)):
        if not len(frame.columns):
            continue
        table = columns(title, "Lowest", "Mean", "Highest", "Total", f"{history.period.title()}s at zero")
        for name in frame.columns:
            values = frame[name]
            table.add_row(
                clean(name),
                *(number(float(x)) for x in (values.min(), values.mean(), values.max(), values.sum())),
                number(float((values == 0).sum())),
            )
        unit = (
            f", {spec.currency} a {history.period}"
            if title == "Spend" and spec.currency
            else f" a {history.period}"
        )
        console.print()
        console.print(block(title + unit, table))
    print_warnings(console, history.repairs, "Filled or left aside on reading, as the config asks")
    console.print()
    console.print(Text(f"{clean(history.file)} is sound.", style="green"))


def print_backtest(console: Console, found: dict[str, Forecast], spec: FitSpec) -> None:
    """Print how forecasts from every origin did: errors, skill, and what the intervals held."""
    from ..evidence.backtest import summary

    table = columns("KPI", "Origins", "Error", "Skill: last year", "mean", "no lines", "In 80 %", "Totals")
    for name, row in summary(found).drop(columns="without media").iterrows():
        shares = (percent(None if pd.isna(value) else float(value)) for value in row.iloc[1:])
        table.add_row(clean(name), number(float(row["origins"])), *shares)
    console.print()
    foot = (
        "Skill: the share of the error of last year's value, of the mean so far and of the same model without any "
        "line that the fit takes away; negative where it does worse. In 80 %: periods, and totals over them, that "
        "lie within. Controls and events are taken as they came."
    )
    console.print(block(f"{spec.holdout} {spec.period}s ahead at the spend that happened", table, foot))


def print_data_findings(console: Console, report: Report) -> None:
    """Print everything a check of a history found, errors first."""
    if not report.findings:
        return
    errors = sum(finding.level == "error" for finding in report.findings)
    console.print()
    console.print(Text(f"{len(report.findings)} findings, {errors} of them errors", style="bold"))
    for finding in report.findings:
        style = {"error": "red", "warning": "yellow"}.get(finding.level, "")
        console.print(Text(clean(finding), style=style), soft_wrap=True)
