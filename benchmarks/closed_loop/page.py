"""The page: what plans truly did in worlds whose truth is known, with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from optimizer.report.drawing import BLUE, GREY, INK, ORANGE, Figure, styled

from . import peers
from .measures import (
    CLASSES,
    HARM,
    PLANS,
    Record,
    beyond,
    by_advice,
    by_plan,
    captured,
    coverage,
    held_out,
    of_class,
)

SIZE = {"width": 620, "height": 240}
STYLE = (
    "body{font:16px/1.5 Arial,Helvetica,sans-serif;color:#1f2933;max-width:64rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}th,td{text-align:right;padding:.3rem .8rem;"
    "border-bottom:1px solid #e4e7eb}th:first-child,td:first-child{text-align:left}svg{width:100%;height:auto}"
    "figure{margin:1rem 0}figcaption{color:#5f6b7a}"
)
INTRO = (
    "Each world is a history by planners' habits over curves that only the referee knows. It is fitted and "
    "planned as a user does it; then the true outcome of the next quarter is taken for every plan under the same "
    "demand. Captured uplift is (true plan - true today) / (true oracle - true today), the oracle being the plan "
    "on the true curves under the same rules. A world is harmed where the weighted KPIs end more than "
    f"{HARM:.1%} below today's split."
)
TESTS = (
    "In each world the advised line is tested, and one that is drawn among the others; both tests are read with "
    "the same errors, and a plan is made after each result, within limits that reach as far as the line was "
    "tested. Compared are the mean true gains of those plans, without noise. Were the line drawn among all, it "
    "would tie with the advice wherever it is the advised one."
)
PEERS = (
    "Its own fit and its own budget optimiser on the same histories, with the same budget and limits by line, "
    "judged by the same truth. A peer fits one KPI: it gets the stated trade-off itself, the weighted sum of the "
    "KPIs."
)
HEADS = {
    "captured": "Captured, median",
    "together": "Captured, all together",
    "mean gain": "Mean gain",
    "regret": "Mean regret",
    "worse": "Worse than today",
    "harmed": "Harmed",
    "mean harm": "Mean harm",
    "worst": "Worst",
}
NAMES = {
    "plan": "The plan",
    "no caution": "Without caution",
    "point estimates": "Point estimates",
    "by return": "By return",
    "pymc-marketing": "PyMC-Marketing",
    "meridian": "Meridian",
}


def render(
    found: Sequence[Record], tests: Sequence[dict[str, Any]] = (), planned: Sequence[dict[str, Any]] = ()
) -> str:
    """Return the whole page as HTML."""
    parts = [f"<h1>Does the advice pay?</h1><p>{INTRO}</p>"]
    for title, held in (("Held-out worlds", True), ("Tuning worlds", False)):
        part = held_out(found, held)
        if part:
            parts.append(f"<h2>{title}: {len(part)}, seeds {part[0]['seed']} to {part[-1]['seed']}</h2>")
            parts += _section(part)
    if tests:
        parts += ["<h2>What to test next</h2>", f"<p>{TESTS}</p>", _tests(tests)]
    for peer in dict.fromkeys(plan["peer"] for plan in planned):
        parts += _peer(peers.beside(found, planned, peer), peer, peers.sampling(planned, peer))
    seconds = np.mean([record["seconds"] for record in found]) if found else 0.0
    parts.append(f"<p>{seconds:.1f} processor seconds a world.</p>")
    body = "\n".join(parts)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Does the advice pay?</title>'
        f"<style>{STYLE}</style><body>{body}</body></html>\n"
    )


def _section(part: Sequence[Record]) -> list[str]:
    out = []
    for kind in CLASSES:
        some = of_class(part, kind)
        if some:
            out += [f"<h3>{kind.capitalize()} ({len(some)})</h3>", _plans(some), _beyond(some)]
    out += [_picture(_spread(part)), _picture(_against(part)), "<h3>Intervals</h3>", _coverage(part)]
    out += ["<h3>By trade-off and difficulty</h3>", _groups(part)]
    return out


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["<table><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "\n".join([*lines, "</table>"])


def _peer(some: Sequence[Record], peer: str, chains: dict[str, Any]) -> list[str]:
    said = ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in chains.items()
    )
    seeds = ", ".join(str(record["seed"]) for record in some)
    head = f"<h2>Beside {NAMES[peer]}, worlds: {len(some)}</h2><p>{PEERS}</p>"
    return [
        head,
        _plans(some, (*PLANS, peer)),
        _beyond(some, (peer,)),
        f"<p>Seeds {seeds}. {NAMES[peer]}: {escape(said)}.</p>",
    ]


def _plans(some: Sequence[Record], plans: Sequence[str] = PLANS) -> str:
    table = by_plan(some, plans)
    rows = [
        [
            NAMES[str(plan)],
            *(f"{row[key]:.0%}" if key in ("captured", "together") else f"{row[key]:.2%}" for key in HEADS),
        ]
        for plan, row in table.iterrows()
    ]
    return _table(["", *HEADS.values()], rows)


def _beyond(some: Sequence[Record], baselines: Sequence[str] = PLANS[1:]) -> str:
    rows = [
        [
            NAMES[str(plan)],
            *(f"{row[key]:+.1%} ± {row[f'{key}, error']:.1%}" for key in ("captured", "together")),
            f"{row['harmed']:+.1%}",
            f"{row['better']:.0%}",
            f"{row['as good']:.0%}",
        ]
        for plan, row in beyond(some, baselines).iterrows()
    ]
    heads = [HEADS["captured"], HEADS["together"], HEADS["harmed"], "Plan better", "As good"]
    return _table(["The plan less, ± standard error", *heads], rows)


def _coverage(part: Sequence[Record]) -> str:
    kinds = list(part[0]["covered"])
    rows = [
        [kind, *(f"{coverage(some, key):.0%}" for key in kinds)]
        for kind in CLASSES
        if (some := of_class(part, kind))
    ]
    return _table(["Truth within", *kinds], rows)


def _groups(part: Sequence[Record]) -> str:
    noise = np.median([record["noise"] for record in part])
    groups = {
        **{f"sales weigh {w:.0%}": [r for r in part if r["weight"] == w] for w in (0.4, 0.6, 0.8)},
        "quiet": [r for r in part if r["noise"] <= noise],
        "noisy": [r for r in part if r["noise"] > noise],
        "3 to 6 lines": [r for r in part if r["lines"] <= 6],
        "7 to 12 lines": [r for r in part if r["lines"] > 6],
        "drift": [r for r in part if r["drift"]],
        "synergy": [r for r in part if r["synergy"]],
    }
    rows = []
    for name, some in groups.items():
        if some:
            row = by_plan(some).loc["plan"]
            rows.append(
                [name, str(len(some)), f"{row['captured']:.0%}", f"{row['regret']:.2%}", f"{row['harmed']:.1%}"]
            )
    return _table(["", "Worlds", HEADS["captured"], HEADS["regret"], HEADS["harmed"]], rows)


def _tests(tests: Sequence[dict[str, Any]]) -> str:
    figures = by_advice(tests)
    rows = [
        [
            name,
            f"{value:.0f}"
            if name == "worlds"
            else f"{value:.2%}"
            if name.startswith("gained")
            else f"{value:.0%}",
        ]
        for name, value in figures.items()
    ]
    return _table(["Following the advice once, then planning again", ""], rows)


def _picture(figure: Figure) -> str:
    return f"<figure>{figure.svg}<figcaption>{escape(figure.caption)}</figcaption></figure>"


def _spread(part: Sequence[Record]) -> Figure:
    """Captured uplift of every world, by plan."""
    import altair as alt

    rows = [
        {"plan": NAMES[plan], "captured": float(np.clip(captured(record, plan), -1, 1)), "habit": record["habit"]}
        for record in part
        for plan in PLANS
    ]
    order = [NAMES[plan] for plan in PLANS]
    base = alt.Chart(pd.DataFrame(rows).dropna())
    x = alt.X("captured:Q", title="captured uplift (cut off at -1)", axis=alt.Axis(format=".0%"))
    y = alt.Y("plan:N", sort=order, title=None)
    dots = base.mark_tick(color=BLUE, opacity=0.35, thickness=2).encode(x=x, y=y)
    middle = base.mark_point(shape="diamond", filled=True, size=140, color=ORANGE, opacity=1).encode(
        x=alt.X("median(captured):Q", title="captured uplift (cut off at -1)"), y=y
    )
    words = "Captured uplift by plan: " + "; ".join(
        f"{NAMES[plan]} {np.nanmedian([captured(r, plan) for r in part]):.0%} in the median" for plan in PLANS
    )
    chart = styled(alt.layer(dots, middle).properties(**SIZE))
    return Figure("Captured uplift, a stroke a world; the diamond is the median.", chart, words)


def _against(part: Sequence[Record]) -> Figure:
    """True gain of the plan against the oracle's."""
    import altair as alt

    rows = pd.DataFrame(
        [{"oracle": r["gain"]["oracle"], "plan": r["gain"]["plan"], "habit": r["habit"]} for r in part]
    )
    x = alt.X("oracle:Q", title="the oracle's true gain over today", axis=alt.Axis(format=".1%"))
    y = alt.Y("plan:Q", title="the plan's", axis=alt.Axis(format=".1%"))
    shapes = alt.Shape("habit:N", title=None)
    colours = alt.Color("habit:N", scale=alt.Scale(range=[BLUE, ORANGE, INK]), title=None)
    dots = alt.Chart(rows).mark_point(size=45, opacity=0.8).encode(x=x, y=y, shape=shapes, color=colours)
    span = [0.0, float(rows["oracle"].max())]
    ends = pd.DataFrame({"oracle": span, "plan": span})
    best = alt.Chart(ends).mark_line(color=GREY, strokeDash=[4, 4]).encode(x=x, y=y)
    words = (
        f"True gain of the plan against that of the oracle in {len(part)} worlds; none lies above the diagonal."
    )
    chart = styled(alt.layer(best, dots).properties(**SIZE))
    return Figure("True gain of plan and oracle; on the dashed line nothing was missed.", chart, words)
