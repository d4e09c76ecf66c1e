"""Charts with a row for each line: what moves, what it does to the outcome, returns, shares and intervals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from .drawing import BLUE, GREY, INK, ORANGE, PALE, PLAN, TODAY, Figure, axis, axis_title, short, styled
from .formats import clean, number, signed

if TYPE_CHECKING:
    import altair as alt

Row = dict[str, Any]
WIDTH, ROW, FRAME = 420, 27, 52
# Labels are set in up to two rows of so many characters.
WRAP = 22
# Room for a figure right of the longest bar of a waterfall.
LABEL = 80
KIND = "kind"
TEXTS = (KIND, "said")
POINT = {**PLAN, "size": 80}
OPEN = {**TODAY, "size": 60}


def wrapped(name: str) -> str:
    """Return a name in at most two rows, broken after a space, underscore or hyphen; longer ones are cut."""
    name = clean(name).replace("\n", " ")
    if len(name) <= WRAP:
        return name
    places = [found.end() for found in re.finditer(r"[ _\-]", name[: WRAP + 1])]
    cut = places[-1] if places else WRAP
    rest = name[cut:]
    return f"{name[:cut]}\n{rest if len(rest) <= WRAP else f'{rest[: WRAP - 1]}…'}"


def spend_change(rows: Sequence[Row], currency: str, caption: str = "Change of spend") -> Figure:
    """Draw how each line's spend changes; ``rows`` with ``line`` and ``difference``."""
    import altair as alt

    frame = _frame(rows, ["difference"])
    frame["gains"] = frame["difference"] >= 0
    chart = alt.layer(
        alt.Chart(frame)
        .mark_bar(height={"band": 0.62})
        .encode(x=_x("difference", f"Change, {currency} over the horizon", frame), y=_y(frame), color=_signs()),
        _zero(),
    )
    said = "; ".join(f"{row['line']} {signed(row['difference'])}" for row in rows)
    return _figure(caption, chart, frame, f"{caption}: change of spend by line in {currency}: {said}.")


def waterfall(kpi: str, unit: str, today: float, plan: float, rows: Sequence[Row]) -> Figure:
    """Draw how a KPI gets from today to the plan, line by line, from zero; ``rows``: ``line``, ``difference``."""
    import altair as alt

    steps: list[Row] = [{"line": "today", "start": 0.0, "end": today, KIND: "total", "said": number(today)}]
    at = today
    for row in rows:
        kind, start, at = "more" if row["difference"] >= 0 else "less", at, at + row["difference"]
        said = signed(row["difference"], abs(today))
        steps.append({"line": row["line"], "start": start, "end": at, KIND: kind, "said": said})
    steps.append({"line": "plan", "start": 0.0, "end": plan, KIND: "total", "said": number(plan)})
    frame = _frame(steps, ["start", "end", KIND, "said"])
    frame["right"] = frame[["start", "end"]].max(axis=1)
    kinds = alt.Scale(domain=["total", "more", "less"], range=[PALE, BLUE, ORANGE])
    x, y = _x("start", axis_title(kpi, unit), frame, also="end", room=1.0 + LABEL / WIDTH), _y(frame)
    # The stroke keeps a step in sight that is small beside the whole.
    bar = alt.Chart(frame).mark_bar(height={"band": 0.62}, strokeWidth=1.5)
    colours: dict[str, Any] = {"color": alt.Color(f"{KIND}:N", scale=kinds, legend=None)}
    edges = alt.Scale(domain=["total", "more", "less"], range=["transparent", BLUE, ORANGE])
    colours["stroke"] = alt.Stroke(f"{KIND}:N", scale=edges, legend=None)
    text = alt.Chart(frame).mark_text(align="left", dx=5, fontSize=11, color=INK)
    chart = alt.layer(
        bar.encode(x=x, x2="end:Q", y=y, **colours), text.encode(x=alt.X("right:Q"), y=y, text="said:N"), _zero()
    )
    said = "; ".join(f"{row['line']} {signed(row['difference'])}" for row in rows)
    words = f"{kpi} from {number(today)} today to {number(plan)} under the plan: {said}."
    return _figure(kpi, chart, frame, words)


def dumbbells(caption: str, title: str, rows: Sequence[Row], before: str, after: str) -> Figure:
    """Draw a figure of each line before and after, on an axis from zero."""
    import altair as alt

    frame = _frame(rows, [before, after])
    x = _x(before, title, frame, also=after)
    chart = alt.layer(
        alt.Chart(frame).mark_rule(color=GREY, strokeWidth=2).encode(x=x, x2=f"{after}:Q", y=_y(frame)),
        alt.Chart(frame).mark_point(**OPEN).encode(x=x, y=_y(frame)),
        alt.Chart(frame).mark_point(**POINT).encode(x=alt.X(f"{after}:Q"), y=_y(frame)),
        _zero(),
    )
    said = "; ".join(f"{row['line']} {number(row[before])} and {number(row[after])}" for row in rows)
    return _figure(caption, chart, frame, f"{caption}, today and under the plan: {said}.")


def shares(caption: str, rows: Sequence[Row]) -> Figure:
    """Draw each line's share of spend beside its share of the effect; ``spend_share``, ``effect_share``."""
    import altair as alt

    frame = _frame(rows, ["spend_share", "effect_share"])
    long = frame.melt(
        id_vars=["line"], value_vars=["spend_share", "effect_share"], var_name="of", value_name="part"
    )
    order = ["spend_share", "effect_share"]
    chart = (
        alt.Chart(long)
        .mark_bar()
        .encode(
            x=alt.X("part:Q", title="Share of all lines", scale=alt.Scale(zero=True), axis=alt.Axis(format="%")),
            y=_y(frame),
            yOffset=alt.YOffset("of:N", sort=order, scale=alt.Scale(paddingOuter=0.25)),
            color=alt.Color("of:N", scale=alt.Scale(domain=order, range=[PALE, BLUE]), legend=None),
        )
    )
    said = "; ".join(
        f"{row['line']} {100 * row['spend_share']:.1f} % of spend, {100 * (row['effect_share'] or 0):.1f} %"
        for row in rows
    )
    words = f"{caption}, by line: {said} of the effect."
    return _figure(caption, alt.layer(chart, _zero()), frame, words)


def forest(caption: str, title: str, rows: Sequence[Row], name: str, today: str = "") -> Figure:
    """Draw a figure of each row with its interval, on an axis from zero; ``today`` names what is marked beside."""
    import altair as alt

    known = [row for row in rows if row[name] is not None]
    columns = [name, f"{name}_low", f"{name}_high", *([today] if today else [])]
    frame = _frame(known, columns)
    x = _x(name, title, frame, also=f"{name}_high", third=f"{name}_low")
    layers: list[Any] = []
    if frame[f"{name}_low"].notna().any():
        rule = alt.Chart(frame[frame[f"{name}_low"].notna()]).mark_rule(color=BLUE, strokeWidth=3)
        layers.append(rule.encode(x=alt.X(f"{name}_low:Q"), x2=f"{name}_high:Q", y=_y(frame)))
    if today:
        layers.append(alt.Chart(frame).mark_point(**OPEN).encode(x=alt.X(f"{today}:Q"), y=_y(frame)))
    layers.append(alt.Chart(frame).mark_point(**POINT).encode(x=x, y=_y(frame)))
    said = "; ".join(_said(row, name) for row in known)
    return _figure(caption, alt.layer(_zero(), *layers), frame, f"{caption}, {title}: {said}.")


def _said(row: Row, name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    between = "" if low is None else f" ({number(low)} to {number(high)})"
    return f"{row['line']} {number(row[name])}{between}"


def _frame(rows: Sequence[Row], columns: Sequence[str]) -> pd.DataFrame:
    made = pd.DataFrame([{column: row[column] for column in columns} for row in rows], columns=list(columns))
    made = made.astype({column: float for column in columns if column not in TEXTS})
    # A number before the label keeps rows apart whose labels are cut to the same.
    made["line"] = [f"{place}\t{wrapped(str(row['line']))}" for place, row in enumerate(rows)]
    return made


def _y(frame: pd.DataFrame) -> alt.Y:
    import altair as alt

    label = "split(slice(datum.label, indexof(datum.label, '\\t') + 1), '\\n')"
    # Two rows stand around the middle of their bar: the first above it, the second below.
    middle: Any = {"condition": {"test": "indexof(datum.label, '\\n') >= 0", "value": "bottom"}, "value": "middle"}
    shown = alt.Axis(
        labelExpr=label, labelBaseline=middle, domain=False, ticks=False, labelPadding=6, labelLineHeight=13
    )
    return alt.Y("line:N", sort=list(frame["line"]), title=None, axis=shown)


def _x(name: str, title: str, frame: pd.DataFrame, also: str = "", third: str = "", room: float = 1.0) -> alt.X:
    """Return an axis through zero; with ``room``, it ends by so much beyond the largest value."""
    import altair as alt

    columns = [column for column in (name, also, third) if column]
    largest = float(frame[columns].abs().max().max()) if len(frame) else 0.0
    scale = alt.Scale(zero=True)
    if room > 1.0 and largest > 0:
        ends = frame[columns].to_numpy()
        scale = alt.Scale(domain=[min(0.0, ends.min()), max(0.0, ends.max()) * room], nice=False)
    return alt.X(f"{name}:Q", title=short(title), scale=scale, axis=axis(largest, 5))


def _signs() -> alt.Color:
    import altair as alt

    return alt.Color("gains:N", scale=alt.Scale(domain=[True, False], range=[BLUE, ORANGE]), legend=None)


def _zero() -> Any:
    import altair as alt

    return alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=INK, strokeWidth=1).encode(x=alt.X("zero:Q"))


def _figure(caption: str, chart: Any, frame: pd.DataFrame, words: str) -> Figure:
    height = FRAME + ROW * max(1, len(frame))
    return Figure(caption, styled(chart.properties(width=WIDTH, height=height)), words)
