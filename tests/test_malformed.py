"""Forty and more files that cannot be used: each one clear message, exit code 2, nothing written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest

from optimizer import Scenario, cli, terminal
from optimizer.documents import parse

SCENARIO = """\
name: tiny
currency: EUR
horizon: {start: 2026-01-05, periods: 4, every: week}
lines:
  - {name: search, channel: search, current: 6000, max: 10000}
  - {name: video, channel: video, current: 4000}
kpis:
  sales: {direction: maximize, unit: sales}
  cost: {direction: minimize, ratio: [spend, sales]}
response:
  sales:
    search: {curve: {kind: hill, scale: 100, half: 900}}
    video: {curve: {kind: power, scale: 2.0, exponent: 0.5}}
constraints:
  budget: {total: 10000}
  shares:
    - {select: {channel: video}, max: 0.8}
preferences:
  floors: {cost: 60}
"""
BOMB = "a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: [*b, *b, *b, *b]\n"


@dataclass(frozen=True)
class Edit:
    """The scenario with ``old`` replaced by ``new``, and what its message must say."""

    name: str
    old: str
    new: str
    place: str
    line: int
    says: str

    @property
    def text(self) -> str:
        assert SCENARIO.count(self.old) == 1, self.name
        return SCENARIO.replace(self.old, self.new)


EDITS = [
    Edit("missing field", "currency: EUR\n", "", "currency", 1, "is missing"),
    Edit("missing line field", ", current: 4000}", "}", "lines[1].current", 6, "is missing"),
    Edit("wrong type", "current: 4000", "current: many", "lines[1].current", 6, "must be a number"),
    Edit("quoted number", "current: 4000", "current: '4000'", "lines[1].current", 6, "must be a number"),
    Edit("fraction of a period", "periods: 4", "periods: 4.5", "horizon.periods", 3, "whole number"),
    Edit("list for a mapping", "{total: 10000}", "[10000]", "constraints.budget", 15, ""),
    Edit("unknown key", "  budget:", "  budgett: 3\n  budget:", "constraints.budgett", 15, "unknown field"),
    Edit("unknown top key", "preferences:", "prefs: {}\npreferences:", "prefs", 18, "unknown field"),
    Edit("not a number", "current: 4000", "current: .nan", "lines[1].current", 6, "finite"),
    Edit("infinite", "max: 10000", "max: .inf", "lines[0].max", 5, "finite"),
    Edit("number too large", "current: 4000", "current: 1e999", "lines[1].current", 6, "finite"),
    Edit("integer too large", "current: 4000", "current: 1" + 400 * "0", "lines[1].current", 6, ""),
    Edit("money too large", "current: 4000", "current: 1e18", "lines[1].current", 6, "less than or equal"),
    Edit("negative spend", "current: 4000", "current: -4000", "lines[1].current", 6, "greater than or equal to 0"),
    Edit("duplicate line", "name: video", "name: search", "lines[1].name", 6, "already lines[0]"),
    Edit("duplicate key", "currency: EUR", "currency: EUR\ncurrency: USD", "", 3, "duplicate"),
    Edit("min above max", "max: 10000", "min: 20000, max: 10000", "lines[0].min", 5, "above max"),
    Edit("share above one", "max: 0.8", "max: 80", "constraints.shares[0].max", 17, "less than or equal to 1"),
    Edit("share without bound", ", max: 0.8", "", "constraints.shares[0]", 17, "needs"),
    Edit("no budget", "{total: 10000}", "{}", "constraints.budget", 15, "needs"),
    Edit("two budgets", "{total: 10000}", "{total: 1, max: 2}", "constraints.budget", 15, "needs"),
    Edit("unknown attribute", "{channel: video}", "{chanel: video}", "constraints.shares[0].select", 17, "chanel"),
    Edit("unknown value", "{channel: video}", "{channel: tv}", "constraints.shares[0].select.channel", 17, "tv"),
    Edit("empty selector", "{channel: video}", "{}", "constraints.shares[0].select", 17, "selects no line"),
    Edit("bad date", "2026-01-05", "2026-02-31", "horizon.start", 3, ""),
    Edit("date in words", "2026-01-05", "next monday", "horizon.start", 3, ""),
    Edit("bad currency", "EUR", "euro", "currency", 2, ""),
    Edit(
        "unknown KPI in floors",
        "floors: {cost: 60}",
        "floors: {profit: 60}",
        "preferences.floors.profit",
        19,
        "profit",
    ),
    Edit(
        "unknown KPI in weights",
        "floors: {cost: 60}",
        "weights: {profit: 1}",
        "preferences.weights.profit",
        19,
        "profit",
    ),
    Edit(
        "weight without scale",
        "floors: {cost: 60}",
        "weights: {sales: 1, cost: 1}",
        "preferences.weights.sales",
        19,
        "scale",
    ),
    Edit("no trade-off", "floors: {cost: 60}", "floors: {}", "preferences", 18, "trade-off"),
    Edit(
        "scale backwards",
        "floors: {cost: 60}",
        "floors: {cost: 60}\n  weights: {sales: 1}\n  scale: {sales: [200, 100]}",
        "preferences.scale.sales",
        21,
        "worst to best",
    ),
    Edit("negative weight", "floors: {cost: 60}", "weights: {sales: -1}", "preferences.weights.sales", 19, ""),
    Edit("circular formula", "[spend, sales]", "[spend, cost]", "kpis.cost.ratio", 9, "part of itself"),
    Edit("ratio over unknown KPI", "[spend, sales]", "[spend, slaes]", "kpis.cost.ratio[1]", 9, "slaes"),
    Edit("reserved KPI name", "  sales: {d", "  spend: {d", "kpis.spend", 8, "reserved"),
    Edit(
        "line without response",
        "    video: {curve: {kind: power, scale: 2.0, exponent: 0.5}}\n",
        "",
        "response.sales",
        11,
        "video",
    ),
    Edit("response for nobody", "    video: {c", "    radio: {c", "response.sales.radio", 13, "radio"),
    Edit("unknown curve", "kind: power", "kind: magic", "response.sales.video.curve.kind", 13, "must be one of"),
    Edit("curve without kind", "kind: power, ", "", "response.sales.video.curve.kind", 13, "is missing"),
    Edit(
        "parameter of another curve",
        "exponent: 0.5",
        "half: 3",
        "response.sales.video.curve.exponent",
        13,
        "is missing",
    ),
    Edit("half of zero", "half: 900", "half: 0", "response.sales.search.curve.half", 12, "greater than 0"),
    Edit(
        "curves beside a file",
        "  sales:\n    s",
        "  file: gone.nc\n  sales:\n    s",
        "response",
        10,
        "beside a file",
    ),
    Edit("tab", "  budget:", "\tbudget:", "", 15, "tab"),
    Edit("open bracket", "{total: 10000}", "{total: 10000", "", 16, ""),
    Edit("object tag", "name: tiny", "name: !!python/object/apply:os.system ['true']", "", 1, "tag"),
    Edit("own tag", "name: tiny", "name: !secret tiny", "", 1, "tag"),
    Edit("anchor", "name: tiny", "name: &n tiny", "", 1, "anchors"),
    Edit("empty name", "name: tiny", "name: ''", "name", 1, ""),
    Edit(
        "change limit from zero",
        "current: 4000",
        "current: 0, change: {up: 0.5}",
        "lines[1].current",
        6,
        "percent",
    ),
]


FROM_FILE = (
    SCENARIO[: SCENARIO.index("response:")] + "response: {file: model.nc}\n" + SCENARIO[SCENARIO.index("cons") :]
)
FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "comments-only": (b"# nothing yet\n", "is empty"),
    "list": (b"- a\n- b\n", "fields and values"),
    "prose": (b"hello\n", "fields and values"),
    "latin-1": (SCENARIO.replace("tiny", "t\xefny").encode("latin-1"), "not UTF-8"),
    "utf-16": (SCENARIO.encode("utf-16"), "not UTF-8"),
    "binary": (bytes(range(256)), "not UTF-8"),
    "nul-byte": (SCENARIO.replace("tiny", "ti\0ny").encode(), "U+0000"),
    "five-megabytes": (SCENARIO.encode() + b"# " + b"x" * 5_000_000, "bytes"),
    "alias-bomb": (BOMB.encode(), "aliases"),
    "deep-lists": (b"x: " + b"[" * 50_000, "nested deeper"),
    "deep-mappings": ("\n".join(" " * depth + "a:" for depth in range(200)).encode(), "nested deeper"),
    "two-documents": (f"{SCENARIO}---\nname: b\n".encode(), "another document"),
    "list-as-key": (SCENARIO.replace("  budget:", "  ? [a, b]\n  : x\n  budget:").encode(), ""),
    "number-as-key": (SCENARIO.replace("  budget:", "  3: x\n  budget:").encode(), "name must be text"),
    "5000-digits": (SCENARIO.replace("periods: 4", "periods: " + 5000 * "9").encode(), ""),
}


def _fails(argv: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command; check what every refusal has in common; return its message."""
    before = sorted(folder.rglob("*"))
    code = cli.main(argv)
    out, err = capsys.readouterr()
    assert code == terminal.BAD_INPUT, err
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("error:") == 1
    assert "\n  hint: " in err
    assert "Traceback" not in err
    assert len(err) < 2000
    assert sorted(folder.rglob("*")) == before
    return err


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name.replace(" ", "-"))
def test_scenario_field(edit: Edit, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("scenario.yaml").write_text(edit.text, encoding="utf-8")
    message = _fails(["plan", "scenario.yaml", "--out", "out"], tmp_path, capsys)
    first = message.splitlines()[0]
    place = f"scenario.yaml:{edit.line}: " + (f"{edit.place}: " if edit.place else "")
    assert first.startswith(f"error: {place}")
    assert edit.says in first.removeprefix(f"error: {place}")


@pytest.mark.parametrize("name", FILES)
def test_scenario_file(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, says = FILES[name]
    Path("scenario.yaml").write_bytes(content)
    message = _fails(["plan", "scenario.yaml", "--out", "out"], tmp_path, capsys)
    assert message.startswith("error: scenario.yaml")
    assert says in message


@pytest.mark.parametrize("command", ["plan", "front", "check"])
def test_no_scenario(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such file" in _fails([command, "gone.yaml"], tmp_path, capsys)
    Path("folder.yaml").mkdir()
    assert "is a directory" in _fails([command, "folder.yaml"], tmp_path, capsys)


def _no_model(file: Path) -> None:
    """Leave the response file out."""


def _folder(file: Path) -> None:
    file.mkdir()


def _corrupt(file: Path) -> None:
    file.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 200)


def _text(file: Path) -> None:
    file.write_text("not a netCDF file")


def _foreign(file: Path) -> None:
    import xarray as xr

    xr.Dataset({"other": ("x", [1.0])}).to_netcdf(file, engine="h5netcdf")


def _model(**changes: object) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        model = Scenario.from_dict(parse(SCENARIO).data).response
        dataset = model.to_dataset()
        for name, change in changes.items():
            dataset = change(dataset) if callable(change) else dataset.assign({name: change})
        dataset.to_netcdf(file, engine="h5netcdf")

    return write


RESPONSES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (_no_model, "no such file"),
    "folder": (_folder, "is a folder"),
    "corrupt": (_corrupt, "not a response file"),
    "text": (_text, "not a response file"),
    "foreign": (_foreign, "not a response file"),
    "variable-missing": (_model(drop=lambda data: data.drop_vars("scale")), "scale"),
    "not-a-number": (_model(nan=lambda data: data.assign(scale=data["scale"] * float("nan"))), "NaN"),
    "negative": (_model(minus=lambda data: data.assign(scale=-data["scale"])), "negative"),
    "unknown-family": (
        _model(odd=lambda data: data.assign(family=data["family"].str.replace("hill", "x"))),
        "family",
    ),
    "one-line-short": (_model(cut=lambda data: data.isel(line=[0])), "no line 'video'"),
    "another-line": (_model(odd=lambda data: data.assign_coords(line=["search", "radio"])), "no line 'video'"),
}


@pytest.mark.parametrize("name", RESPONSES)
def test_response_file(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write, says = RESPONSES[name]
    Path("scenario.yaml").write_text(FROM_FILE, encoding="utf-8")
    write(Path("model.nc"))
    message = _fails(["plan", "scenario.yaml", "--out", "out"], tmp_path, capsys)
    assert message.startswith("error: scenario.yaml:10: response.file: ")
    assert says in message


def _history() -> list[str]:
    """Return thirty weeks of two lines and one KPI, as the rows of a CSV file."""
    monday = date(2024, 1, 1)
    rows = [
        f"{monday + timedelta(weeks=i)},{100 + 37 * (7 * i % 5)},{50 + 23 * (3 * i % 7)},{1000 + 11 * (5 * i % 9)}"
        for i in range(30)
    ]
    return ["week,search,video,sales", *rows]


def _row(cells: str) -> str:
    """Return the history with its sixth line replaced."""
    rows = _history()
    return "\n".join([*rows[:5], cells, *rows[6:]]) + "\n"


GOOD = "\n".join(_history()) + "\n"
CONFIG = """\
date: week
period: week
lines:
  search: {spend: search}
  video: {spend: video}
kpis:
  sales: {column: sales}
season: 0
draws: 20
holdout: 4

forecast: 4
carryover: 2
"""
HISTORIES: dict[str, tuple[str | bytes, str, str]] = {
    "empty": ("", "history.csv: ", "is empty"),
    "header-only": (_history()[0] + "\n", "history.csv: ", "no rows"),
    "latin-1": (GOOD.replace("week", "w\xefk").encode("latin-1"), "history.csv:1: ", "not UTF-8"),
    "utf-16": (GOOD.encode("utf-16"), "history.csv:1: ", "not UTF-8"),
    "text-for-a-number": (_row("2024-01-29,many,50,1000"), "history.csv:6: search: ", "not a number"),
    "thousands-separator": (_row('2024-01-29,"1,234",50,1000'), "history.csv:6: search: ", "not a number"),
    "formula": (_row("2024-01-29,=1+1,50,1000"), "history.csv:6: search: ", "not a number"),
    "not-a-number": (_row("2024-01-29,nan,50,1000"), "history.csv:6: search: ", "blank"),
    "blank": (_row("2024-01-29,,50,1000"), "history.csv:6: search: ", "blank"),
    "infinite": (_row("2024-01-29,inf,50,1000"), "history.csv:6: search: ", "infinite"),
    "too-large": (_row("2024-01-29,1e300,50,1000"), "history.csv:6: search: ", "too large"),
    "negative-spend": (_row("2024-01-29,-5,50,1000"), "history.csv:6: search: ", "negative spend"),
    "bad-date": (_row("2024-02-31,5,50,1000"), "history.csv:6: week: ", "not a date"),
    "american-date": (_row("01/29/2024,5,50,1000"), "history.csv:6: week: ", "not a date"),
    "duplicate-date": (_row("2024-01-22,5,50,1000"), "history.csv:6: week: ", "twice"),
    "missing-week": (GOOD.replace(_history()[5] + "\n", ""), "history.csv:6: week: ", "14 days apart"),
    "short-row": (_row("2024-01-29,5"), "history.csv:6: ", "cells"),
    "long-row": (_row("2024-01-29,5,50,1000,1"), "history.csv:6: ", "cells"),
    "nul-byte": (_row("2024-01-29,\0,50,1000"), "history.csv:6: ", "NUL"),
    "open-quote": (_row('"2024-01-29,5,50,1000'), "history.csv:31: ", "not CSV"),
    "duplicate-column": (GOOD.replace("video", "search"), "history.csv: search: ", "twice"),
    "missing-column": (GOOD.replace("video", "vidoe"), "fit.yaml:5: lines.video.spend: ", "no column 'video'"),
    "semicolons": (GOOD.replace(",", ";"), "fit.yaml:1: date: ", "no column"),
    "too-short": ("\n".join(_history()[:10]) + "\n", "history.csv: ", "too few"),
    "silent-line": (re.sub(r"(?m)^(\d+-\d+-\d+),\d+", r"\1,0", GOOD), "history.csv: search: ", "no spend"),
    "flat-kpi": (re.sub(r"(?m),\d+$", ",5", GOOD), "history.csv: sales: ", "never varies"),
}
CONFIGS: dict[str, tuple[str, str, str, str]] = {
    "unknown-key": ("season: 0", "seasn: 0", "8: seasn: ", "unknown field"),
    "wrong-type": ("draws: 20", "draws: many", "9: draws: ", "whole number"),
    "too-many-draws": ("draws: 20", "draws: 100000", "9: draws: ", "less than or equal"),
    "unknown-period": ("period: week", "period: month", "2: period: ", "'day' or 'week'"),
    "no-kpi": ("kpis:\n  sales: {column: sales}", "kpis: {}", "6: kpis: ", ""),
    "kpi-without-column": ("{column: sales}", "{}", "7: kpis.sales: ", "needs"),
    "column-used-twice": ("{spend: video}", "{spend: search}", "5: lines.video", "already"),
    "unknown-control": ("season: 0", "season: 0\ncontrols: [weather]", "9: controls[0]: ", "no column 'weather'"),
    "season-without-a-year": ("season: 0", "season: 2", "8: season: ", "a year of history"),
    "event-elsewhere": ("season: 0", "season: 0\nevents: {x: [2030-01-01]}", "9: events.x[0]: ", "outside"),
    "tab": ("  search: {", "\tsearch: {", "4: ", "tab"),
}


def _fit(tmp_path: Path, capsys: pytest.CaptureFixture[str], history: str | bytes, config: str) -> str:
    Path("history.csv").write_bytes(history if isinstance(history, bytes) else history.encode())
    Path("fit.yaml").write_text(config, encoding="utf-8")
    fitted = _fails(["fit", "history.csv", "--config", "fit.yaml", "--out", "out"], tmp_path, capsys)
    code = cli.main(["check", "history.csv", "--config", "fit.yaml"])
    out, err = capsys.readouterr()
    if code == terminal.BAD_INPUT:
        # No table, or a config that fits none: the same single message.
        assert (out, err) == ("", fitted)
    else:
        # A table: the same place is among everything that was found.
        assert (code, err) == (terminal.FINDING, "")
        place = re.match(r"error: ([^ ]*?:)(\d+:)?( [^ ]+:)?", fitted)
        assert place is not None
        assert place[0].removeprefix("error: ") in out
    return fitted


@pytest.mark.parametrize("name", HISTORIES)
def test_history(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, place, says = HISTORIES[name]
    message = _fit(tmp_path, capsys, content, CONFIG)
    assert message.startswith(f"error: {place}")
    assert says in message


@pytest.mark.parametrize("name", CONFIGS)
def test_fit_config(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, place, says = CONFIGS[name]
    assert CONFIG.count(old) == 1
    message = _fit(tmp_path, capsys, GOOD, CONFIG.replace(old, new))
    assert message.startswith(f"error: fit.yaml:{place}")
    assert says in message


def test_corrupt_parquet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("history.parquet").write_bytes(b"PAR1 and nothing else")
    Path("fit.yaml").write_text(CONFIG, encoding="utf-8")
    message = _fails(["fit", "history.parquet", "--config", "fit.yaml", "--out", "out"], tmp_path, capsys)
    assert "not a whole Parquet file" in message


def test_result_directory_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("scenario.yaml").write_text(SCENARIO, encoding="utf-8")
    Path("out").write_text("kept")
    assert "is a file, not a directory" in _fails(["plan", "scenario.yaml", "--out", "out"], tmp_path, capsys)
    assert "is a file, not a directory" in _fails(
        ["plan", "scenario.yaml", "--out", "out/deeper"], tmp_path, capsys
    )
    assert Path("out").read_text() == "kept"


def test_the_bases_are_sound(capsys: pytest.CaptureFixture[str]) -> None:
    """The files that all these are made from are accepted."""
    Path("scenario.yaml").write_text(SCENARIO, encoding="utf-8")
    assert cli.main(["check", "scenario.yaml"]) == terminal.DONE
    Path("history.csv").write_text(GOOD, encoding="utf-8")
    Path("fit.yaml").write_text(CONFIG, encoding="utf-8")
    assert cli.main(["check", "history.csv", "--config", "fit.yaml"]) == terminal.DONE
    Path("scenario.yaml").write_text(FROM_FILE, encoding="utf-8")
    _model()(Path("model.nc"))
    assert cli.main(["check", "scenario.yaml"]) == terminal.DONE
