"""YAML from anybody: what is refused, and that each refusal names the field, the line and what to do."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
from ruamel.yaml import YAML

import optimizer as opt
from optimizer import documents
from optimizer.documents import DEPTH_LIMIT, ERRORS_SHOWN, SIZE_LIMIT, Document

# Line numbers below are counted in this text.
SCENARIO = """\
name: tiny
currency: EUR
horizon: {start: 2026-01-05, periods: 2}
lines:
  - name: search
    current: 60
    channel: paid
  - {name: tv, current: 40, max: 80}
kpis:
  sales:
    direction: maximize
  cost: {direction: minimize, ratio: [spend, sales]}
response:
  sales:
    search: {curve: {kind: hill, scale: 10, half: 20}}
    tv:
      curve:
        kind: power
        scale: 2
        exponent: 0.5
constraints:
  budget:
    total: 100
preferences:
  floors:
    cost: 50
"""

BOMB = "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\n"


def refusal(path: pathlib.Path) -> opt.SpecError:
    with pytest.raises(opt.SpecError) as caught:
        opt.Scenario.load(path)
    return caught.value


def load(tmp_path: pathlib.Path, text: str | bytes) -> opt.Scenario:
    path = tmp_path / "scenario.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return opt.Scenario.load(path)


def edited(tmp_path: pathlib.Path, old: str, new: str) -> opt.SpecError:
    assert SCENARIO.count(old) == 1, old
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO.replace(old, new), encoding="utf-8")
    return refusal(path)


def test_the_sound_text_is_read(tmp_path):
    assert load(tmp_path, SCENARIO).lines == ("search", "tv")


def test_plain_values_keep_their_types():
    text = "i: 3\nf: 2.5e-1\ns: text\nb: true\nn: null\nl: [1, {x: y}]\nq: '5'\nyes: no\n"
    data = documents.parse(text).data
    assert data == {
        "i": 3,
        "f": 0.25,
        "s": "text",
        "b": True,
        "n": None,
        "l": [1, {"x": "y"}],
        "q": "5",
        "yes": "no",
    }


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("ok: 1\na: !!python/object/apply:os.system ['true']\n", 2, "tag"),
        ("ok: 1\na: !!python/name:os.system\n", 2, "tag"),
        ("a: !include other.yaml\n", 1, "tag"),
        ("a: !!str 5\n", 1, "tag"),
        ("a:\n  - ! 5\n", 2, "tag"),
        ("!!map {a: 1}\n", 1, "tag"),
        ("a: !!set {x, y}\n", 1, "tag"),
        ("a: !!binary aGk=\n", 1, "tag"),
        (BOMB, 1, "anchors and aliases"),
        ("b: 1\na: *b\n", 2, "anchors and aliases"),
        ("a: 1\nb: &x 2\n", 2, "anchors and aliases"),
        ("&x a: 1\n", 1, "anchors and aliases"),
        ("a: " + "[" * 40 + "]" * 40 + "\n", 1, "nested deeper"),
        ("\n" + "".join(f"{' ' * i}a:\n" for i in range(40)), DEPTH_LIMIT + 2, "nested deeper"),
        ("a: 1\n\tb: 2\n", 2, "tab"),
        ("a:\n\t- 1\n", 2, "tab"),
        ("a: 1\nb: 2\na: 3\n", 3, "duplicate key"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", 4, "duplicate key"),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
        ("# a\n%YAML 1.1\n---\na: yes\n", 2, "directive"),
        ("%TAG ! tag:x,2000:\n---\na: 1\n", 1, "directive"),
        ("a: [1, 2\n", 2, "expected"),
        ("a: 'x\n", 2, "end of stream"),
        ("a: b: c\n", 1, "mapping values"),
        ("a: @x\n", 1, "cannot start any token"),
        ("a: 1\n? {b: 1}\n: 2\n", 2, "name|key"),
        ("a: 1\n[b, c]: 2\n", 2, "name|key"),
        ("a: 1\n[[b]]: 2\n", 2, "name|key"),
    ],
)
def test_unsafe_or_broken_yaml_is_refused_with_its_line(tmp_path, text, line, said):
    path = tmp_path / "scenario.yaml"
    path.write_text(text, encoding="utf-8")
    error = refusal(path)
    assert re.search(said, error.message)
    assert error.line == line
    assert error.file == str(path)
    assert error.hint
    assert str(error).startswith(f"{path}:{line}: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("null\n", "is empty"),
        ("- a\n- b\n", "fields and values"),
        ("just words\n", "fields and values"),
        ("42\n", "fields and values"),
        ("a: \x00\n", "character"),
        ("a: \x07\n", "character"),
    ],
)
def test_what_is_no_document_is_refused(text, said):
    with pytest.raises(opt.SpecError, match=said) as caught:
        documents.parse(text, "some.yaml")
    assert caught.value.file == "some.yaml"
    assert caught.value.hint


@pytest.mark.parametrize("value", ["2026-02-30", "2026-01-05 99:99:99", "9" * 5000], ids=["day", "hour", "digits"])
def test_a_value_that_cannot_be_read_is_refused_with_its_line(tmp_path, value):
    error = edited(tmp_path, "start: 2026-01-05", f"start: {value}")
    assert error.line == 3
    assert error.file


@pytest.mark.parametrize(
    "value", ["0x" + "f" * 10_000, "9" * 400, "1e400", "-.inf", ".nan", "1" + "0" * 308 + "0"]
)
def test_a_number_too_large_is_refused_in_few_words(tmp_path, value):
    error = edited(tmp_path, "current: 60", f"current: {value}")
    assert error.line == 6
    assert len(error.message) < 200


def test_depth_up_to_the_limit_is_read():
    inner = DEPTH_LIMIT - 1
    assert documents.parse("a: " + "[" * inner + "]" * inner + "\n").data["a"]


def test_many_fields_side_by_side_are_not_deep():
    text = "".join(f"- {{x: [{i}]}}\n" for i in range(5 * DEPTH_LIMIT))
    assert len(documents.parse(f"a:\n{text}").data["a"]) == 5 * DEPTH_LIMIT


def test_size_limit(tmp_path):
    path = tmp_path / "large.yaml"
    comment = "#" * 99 + "\n"
    path.write_text(SCENARIO + comment * (SIZE_LIMIT // 100 + 1), encoding="utf-8")
    error = refusal(path)
    assert f"{SIZE_LIMIT:,}" in error.message
    assert error.hint
    path.write_text(SCENARIO + comment * 100, encoding="utf-8")
    assert opt.Scenario.load(path).name == "tiny"


def test_missing_file_and_directory(tmp_path):
    for path in (tmp_path / "nowhere.yaml", tmp_path):
        error = refusal(path)
        assert error.file == str(path)
        assert error.hint


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "cp1252"])
def test_other_encodings_are_refused(tmp_path, encoding):
    with pytest.raises(opt.SpecError, match="UTF-8"):
        load(tmp_path, SCENARIO.replace("tiny", "très petit").encode(encoding))


def test_byte_order_mark_line_ends_and_letters_of_all_kinds_are_read(tmp_path):
    name = "très petit 小さい 🎯"
    text = "\ufeff" + SCENARIO.replace("tiny", name).replace("\n", "\r\n")
    assert load(tmp_path, text).name == name
    error = refusal_of(tmp_path, text.replace("current: 60", "current: sixty"))
    assert error.line == 6


def refusal_of(tmp_path: pathlib.Path, text: str) -> opt.SpecError:
    path = tmp_path / "scenario.yaml"
    path.write_bytes(text.encode())
    return refusal(path)


@pytest.mark.parametrize("place", ["name: tiny", "search: {curve", "    direction: maximize"])
def test_half_characters_are_refused(tmp_path, place):
    # A lone surrogate cannot be written to any file or terminal.
    half = '"\\ud800"'
    new = {
        "name: tiny": f"name: {half}",
        "search: {curve": f"{half}: {{curve",
        "    direction: maximize": f"    direction: maximize\n    so_what: {half}",
    }[place]
    error = edited(tmp_path, place, new)
    str(error).encode("utf-8")
    assert error.line is not None


@pytest.mark.parametrize(
    ("old", "new", "path", "line", "said"),
    [
        ("name: tiny", "name: 5", "name", 1, "text"),
        ("current: 60", "current: sixty", "lines[0].current", 6, "number"),
        ("current: 60", "current: '60'", "lines[0].current", 6, "number"),
        ("current: 60", "current: 60 EUR", "lines[0].current", 6, "number"),
        ("current: 60", "current: true", "lines[0].current", 6, "number"),
        ("current: 60", "current:", "lines[0].current", 6, "number"),
        ("current: 60", "current: [60]", "lines[0].current", 6, "number"),
        ("current: 60", "current: .nan", "lines[0].current", 6, "finite"),
        ("current: 60", "current: -1", "lines[0].current", 6, "greater than or equal"),
        ("current: 60", "curent: 60", "lines[0].current", 5, "missing"),
        ("max: 80", "max: 80, min: 90", "lines[1].min", 8, "above max"),
        ("name: tv", "name: search", "lines[1].name", 8, "already"),
        ("periods: 2", "periods: 2.5", "horizon.periods", 3, "whole number"),
        ("periods: 2", "periods: 0", "horizon.periods", 3, "greater than or equal to 1"),
        ("periods: 2", "periods: 2, every: month", "horizon.every", 3, "'day' or 'week'"),
        ("start: 2026-01-05", "start: soon", "horizon.start", 3, "date"),
        ("start: 2026-01-05", "start: 0", "horizon.start", 3, "date"),
        ("start: 2026-01-05", "start: 86400", "horizon.start", 3, "date"),
        ("start: 2026-01-05", "start: '86400'", "horizon.start", 3, "date"),
        ("currency: EUR", "currency: euro", "currency", 2, "euro"),
        ("currency: EUR", "curency: EUR", "currency", 1, "missing"),
        ("direction: maximize", "direction: up", "kpis.sales.direction", 11, "'maximize' or 'minimize'"),
        ("direction: maximize", "directon: maximize", "kpis.sales.directon", 11, "unknown field"),
        ("[spend, sales]", "[spend]", "kpis.cost.ratio", 12, "at least 2"),
        ("[spend, sales]", "[spend, sale]", "kpis.cost.ratio[1]", 12, "unknown KPI"),
        ("[spend, sales]", "[spend, [sales]]", "kpis.cost.ratio[1]", 12, ""),
        ("[spend, sales]", "[spend, sales], baseline: 3", "kpis.cost.baseline", 12, "baseline"),
        ("half: 20", "half: 0", "response.sales.search.curve.half", 15, "greater than"),
        ("half: 20", "knee: 20", "response.sales.search.curve.half", 15, "missing"),
        ("kind: power", "kind: root", "response.sales.tv.curve.kind", 18, "one of"),
        ("kind: power", "type: power", "response.sales.tv.curve.kind", 17, ""),
        ("exponent: 0.5", "exponent: 1.5", "response.sales.tv.curve.exponent", 20, "less than or equal to 1"),
        ("    tv:\n      curve:", "    tv: nothing\n    x:\n      curve:", "response.sales.tv", 16, "none"),
        ("    tv:\n      curve:", "    radio:\n      curve:", "response.sales.radio", 16, "unknown line"),
        ("total: 100", "total: 100\n    max: 90", "constraints.budget", 22, "max"),
        ("total: 100", "total: 1e16", "constraints.budget.total", 23, "less than or equal"),
        ("cost: 50", "costs: 50", "preferences.floors.costs", 26, "unknown KPI"),
        ("cost: 50", "cost: low", "preferences.floors.cost", 26, "number"),
        (
            "preferences:",
            "flighting: {search: [0.5, 0.6], tv: [0, 1]}\npreferences:",
            "flighting.search",
            24,
            "1.1",
        ),
        (
            "preferences:",
            "flighting: {search: [1.5, -0.5], tv: [0, 1]}\npreferences:",
            "flighting.search[1]",
            24,
            "",
        ),
        ("preferences:", "flighting: {search: even, tv: [0, 1]}\npreferences:", "flighting.search", 24, ""),
        ("preferences:", "flighting: even\npreferences:", "flighting", 24, "flat"),
        ("max: 80", "max: 80, change: {upp: 1}", "lines[1].change.upp", 8, "unknown field"),
        ("max: 80", "max: 80, change: {up: a}", "lines[1].change.up", 8, "number"),
        ("max: 80", "max: 80, change: fixed", "lines[1].change", 8, "free"),
        ("  floors:", "  scale: {sales: [1, best]}\n  floors:", "preferences.scale.sales[1]", 25, "number"),
        ("  floors:", "  scale: {sales: paid}\n  floors:", "preferences.scale.sales", 25, "payoff"),
    ],
)
def test_faults_name_the_field_and_its_line(tmp_path, old, new, path, line, said):
    error = edited(tmp_path, old, new)
    text = str(error)
    assert error.file
    assert error.hint
    assert text.startswith(f"{error.file}:{line}: {path}: "), text
    assert said in text
    # Where the union's other member would have failed too is of no use to anybody.
    assert "literal[" not in text


@pytest.mark.parametrize("key", ["1", "1.5", "null", ".nan", "true"])
def test_keys_that_are_no_text_are_refused_with_their_line(tmp_path, key):
    for old, indent, line in (
        ("preferences:", "", 24),
        ("    channel: paid", "    ", 7),
        ("    cost: 50", "    ", 26),
    ):
        error = edited(tmp_path, old, f"{indent}{key}: 2\n{old}")
        assert re.search("text|string", error.message)
        assert "[key]" not in str(error)
        assert error.line == line


def test_further_faults_are_listed_but_not_all(tmp_path):
    text = SCENARIO.replace("60", "a").replace("40", "b").replace("exponent: 0.5", "exponent: c")
    text = text.replace("scale: 10", "scale: d").replace("scale: 2", "scale: e").replace("total: 100", "total: f")
    text = text.replace("name: tiny", "name: 7")
    error = refusal_of(tmp_path, text)
    assert error.path == ("name",)
    shown = [line.strip() for line in str(error).splitlines() if line.strip().startswith("also ")]
    assert len(shown) == ERRORS_SHOWN - 1
    assert re.match(r"also .*scenario\.yaml:6: lines\[0\]\.current: ", shown[0])
    assert str(error).splitlines()[-1].strip() == "and 2 more"


def test_locate_falls_back_to_the_nearest_field_above():
    document = Document({}, {(): 1, ("lines",): 4, ("lines", 0): 5}, "x.yaml")
    error = document.locate(opt.SpecError("bad", path=("lines", 0, "max")))
    assert (error.line, error.file) == (5, "x.yaml")
    error = document.locate(opt.SpecError("bad", path=("elsewhere",)))
    assert error.line == 1
    error = document.locate(opt.SpecError("bad", path=("lines",), line=9, file="y.yaml"))
    assert (error.line, error.file) == (9, "y.yaml")


def test_lines_are_noted_for_every_field():
    lines = documents.parse("a: 1\nb:\n  - x: 2\n    y: 3\n  - z\nc: {d: 4,\n  e: 5}\n").lines
    wanted = {"a": 1, "b": 2, "b.0": 3, "b.0.x": 3, "b.0.y": 4, "b.1": 5, "c": 6, "c.d": 6, "c.e": 7}
    assert {".".join(map(str, path)): line for path, line in lines.items() if path} == wanted


def test_what_is_read_is_what_ruamel_reads():
    # Dates aside, which the model reads.
    text = SCENARIO.replace("2026-01-05", "soon")
    assert documents.parse(text).data == YAML(typ="safe", pure=True).load(text)


def plain(data: Any) -> bool:
    if isinstance(data, dict):
        return all(isinstance(key, str) and plain(value) for key, value in data.items())
    if isinstance(data, list):
        return all(map(plain, data))
    return type(data).__name__ in ("str", "int", "float", "bool", "NoneType", "date")


def test_only_plain_types_come_out():
    assert plain(documents.parse(SCENARIO).data)
