"""An audit as one self-contained page: the verdict, its picture, its figures, what to do next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .audit_pictures import CHARTS, HEIGHT, ROW, WIDTH
from .drawing import Figure, styled
from .formats import between, clean, number, percent

Row = dict[str, Any]
Columns = Mapping[str, tuple[str, Callable[[Any], str] | None]]
TITLES = {
    "alignment": "Does the platform steer where the business wants to go?",
    "proxy": "Does the proxy stand for its goal?",
    "segments": "Why did the rate move?",
    "drift": "Is the KPI still where it was?",
    "leads": "Which leads count?",
    "experiment": "The experiment",
}


def render_audit(name: str, data: Row) -> str:
    """Render an audit's page from what its JSON holds; text from files is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("optimizer.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clean"] = clean
    caption, chart = CHARTS[name](data)
    bars = len(data["moves" if name == "alignment" else "segments"]) if name in ("alignment", "segments") else 0
    drawn = styled(chart.properties(width=WIDTH, height=max(HEIGHT, ROW * bars)))
    svg = Markup(Figure(caption, drawn, caption).svg)
    template = environment.get_template("audit.html")
    return template.render(
        title=TITLES[name],
        verdict=data["verdict"],
        caption=caption,
        svg=svg,
        tables=TABLES[name](data),
        notes=data.get("notes", []),
    )


def _table(title: str, rows: list[Row], columns: Columns) -> Row:
    """A table of some keys of rows: by key the heading, and how a number is written (None: text)."""
    body = [
        [
            (str(row[key]) if show is None else show(row[key]), show is not None)
            for key, (_, show) in columns.items()
        ]
        for row in rows
    ]
    return {"title": title, "head": [(head, show is not None) for head, show in columns.values()], "rows": body}


def _change(share: float | None) -> str:
    return percent(share, sign=True)


def _points(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:+.3f}"


def _rate(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.4g} %"


def _alignment(data: Row) -> list[Row]:
    plans = {name: (name, number) for name in ("today", "platform", "business")}
    outcomes = {"kpi": ("KPI", None), **plans, "change": ("platform against business", _change)}
    worth = f"one of {data['platform_kpi']} is worth, in {data['goal']}"
    moves = {"line": ("line", None), **plans, "move": ("move", number), "worth": (worth, number)}
    return [
        _table("What each plan brings", data["outcomes"], outcomes),
        _table("The moves that mend it", data["moves"], moves),
    ]


def _proxy(data: Row) -> list[Row]:
    rows = [{**row, "interval": between(row["low"], row["high"])} for row in data["figures"]]
    figures: Columns = {
        **{"figure": ("", None), "value": ("value", number), "interval": ("95 % interval", str)},
        **{"earlier": ("earlier effects", number), "later": ("latest effects", number)},
    }
    found = [_table(f"Over {data['effects']} effects", rows, figures)]
    if len(data["segments"]) > 1:
        columns: Columns = {
            **{"segment": ("segment", None), "effects": ("effects", number)},
            **{"correlation": ("correlation", number), "agreement": ("chose right", percent)},
        }
        found.append(_table("By segment", data["segments"], columns))
    if data["lags"]:
        lags: Columns = {
            **{"lag": ("lag", str), "correlation": ("correlation", number)},
            "by chance": ("the best lag has by chance", number),
        }
        found.append(_table("By periods until the goal follows, earlier effects", data["lags"], lags))
    return found


def _segments(data: Row) -> list[Row]:
    columns: Columns = {
        **{"segment": ("segment", None), "size before": ("size before", number), "size after": ("after", number)},
        **{"rate before": ("rate before", _rate), "rate after": ("after", _rate)},
        **{"mix": ("mix, points", _points), "rate": ("rate, points", _points)},
    }
    total = {"segment": "all", "size before": None, "size after": None, "rate before": data["before"]}
    total |= {"rate after": data["after"], "mix": data["mix"], "rate": data["rate"]}
    return [_table("What each segment adds to the change", [*data["segments"], total], columns)]


def _drift(data: Row) -> list[Row]:
    columns: Columns = {
        **{"light": ("light", None), "cusum": ("CUSUM limit", number), "ewma": ("EWMA limit", number)},
        "false_alarms": (f"comes on in {data['window']} stable periods", percent),
    }
    found = [_table("Limits, in standard deviations", data["limits"], columns)]
    if data["review"]:
        steps: Columns = {"step": ("step", None), "do": ("what to do", None)}
        found.append(_table("The review", data["review"], steps))
    return found


def _leads(data: Row) -> list[Row]:
    columns: Columns = {
        **{"choice": ("a lead counts by", None), "counted": ("the KPI", number)},
        **{"purchases caught": ("purchases caught", percent), "rate": ("purchases a counted lead", _rate)},
    }
    found = [_table("Each way to count, on the later leads", data["choices"], columns)]
    if data["plans"]:
        names = [key for key in data["plans"][0] if key not in ("choice", "purchases", "lost")]
        plans = {
            **{"choice": ("planned by", None), "purchases": ("purchases", number), "lost": ("lost", percent)},
            **{name: (name, number) for name in names},
        }
        found.append(_table("What each way does to the plan; spend by line", data["plans"], plans))
    return found


def _experiment(data: Row) -> list[Row]:
    known = {key: value for key, value in data["figures"].items() if isinstance(value, int | float | str)}
    rows = [
        {"what": key, "value": value if isinstance(value, str) else number(value)} for key, value in known.items()
    ]
    return [_table("Figures", rows, {"what": ("", None), "value": ("", str)})]


TABLES: dict[str, Callable[[Row], list[Row]]] = {
    "alignment": _alignment,
    "proxy": _proxy,
    "segments": _segments,
    "drift": _drift,
    "leads": _leads,
    "experiment": _experiment,
}
