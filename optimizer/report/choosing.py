"""What the page's script needs to let readers choose a plan of the front: its data, and leave to run."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from .view import View

Row = dict[str, Any]


@dataclass(frozen=True)
class Script:
    """A script with its data; ``hash`` names it in the page's content security policy."""

    code: str
    data: str

    @property
    def hash(self) -> str:
        """The policy's name of the script."""
        digest = hashlib.sha256(self.code.encode()).digest()
        return f"sha256-{base64.b64encode(digest).decode()}"


def script(view: View) -> Script | None:
    """Return the script that goes with a front, None without one."""
    if view.front_data is None:
        return None
    code = resources.files("optimizer.report").joinpath("front.js").read_text(encoding="utf-8")
    text = json.dumps(content(view), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    # Within a script element only these could end it or begin a comment.
    return Script(code, text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def content(view: View) -> Row:
    """Return the script's data; every number is one of plan.json or front.json."""
    front = view.front_data or {}
    points = front["points"]
    ends, rising = {}, {}
    for name, about in front["objectives"].items():
        values = [point[name] for point in points]
        rising[name] = about["direction"] == "maximize"
        ends[name] = [min(values), max(values)] if rising[name] else [max(values), min(values)]
    outcomes = ("kpi", "unit", "current", "expected", "low", "high")
    return {
        "names": list(front["objectives"]),
        "scale": view.pick_scale,
        "ends": ends,
        "rising": rising,
        "points": points,
        "outcomes": front["outcomes"],
        "picks": [{"pick": row["pick"], "point": row["point"]} for row in front["picks"]],
        "kpis": [{key: row[key] for key in outcomes} for row in view.kpis],
        "lines": [{key: row[key] for key in ("line", "current", "plan")} for row in view.lines],
    }
