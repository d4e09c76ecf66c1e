"""Budget-simulator points: read, recomputed, planned with, refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from peer_files import refused

from optimizer.cli import main
from optimizer.evidence import points

TEXT = """campaign,budget,clicks,conversions,value,current
Brand,100,200,20,1000,
Brand,300,450,40,1900,
Brand,200,350,32,1500,yes
Generic,500,300,10,900,no
Generic,1000,550,18,1600,yes
"""


def written(folder: Path, text: str = TEXT, name: str = "points.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_point_is_recomputed(tmp_path: Path) -> None:
    found = points.read(written(tmp_path), currency="EUR", period="week")
    assert found.model.kpis == ("clicks", "conversions", "value")
    assert found.model.lines == ("Brand", "Generic")
    assert sum(check.cells for check in found.checks) == 15
    assert max(check.worst for check in found.checks) < 1e-12
    assert found.current.tolist() == [200, 1000]
    assert found.model.observed.tolist() == [[100, 300], [500, 1000]]
    assert found.units["value"] == "EUR"
    assert not any("No present budget" in note for note in found.model.notes)


def test_columns_may_be_left_out_and_nothing_is_guessed(tmp_path: Path) -> None:
    found = points.read(
        written(tmp_path, "campaign,budget,clicks\nA,0,0\nA,10,1\nA,20,4\n"), currency="EUR", period="day"
    )
    assert found.model.kpis == ("clicks",)
    text = "\n".join(found.model.notes)
    assert "No present budget is marked; a middle one is taken instead: A." in text
    assert "Returns do not fall throughout" in text
    assert np.isnan(found.model.points[0, 0, 2]).all()


def test_the_command_writes_a_scenario_that_plans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = written(tmp_path), tmp_path / "out"
    options = ["--currency", "EUR", "--period", "week", "--out", str(out)]
    assert main(["import", "points", str(path), *options]) == 2
    assert "give --kpi, one of: clicks, conversions, value" in capsys.readouterr().err
    assert main(["import", "points", str(path), *options, "--kpi", "value"]) == 2
    assert "give --start" in capsys.readouterr().err
    assert not out.exists()
    options += ["--kpi", "value", "--start", "2026-01-05"]
    assert main(["import", "points", str(path), *options]) == 0
    assert main(["plan", str(out / "scenario.yaml"), "--out", str(out / "plan")]) == 0
    plan = json.loads((out / "plan" / "plan.json").read_text())
    assert plan["certificate"]["guarantee"] == "global"
    assert sum(plan["spend"].values()) == pytest.approx(13 * 1200)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Brand,300,450", "Brand,300,250", "points.csv:3: clicks: clicks fall from 350 to 250"),
        ("Brand,300", "Brand,200", "has the budget 200 twice"),
        ("Brand,300", "Brand,-300", "-300 is negative"),
        ("Brand,300", "Brand,inf", "infinite or too large"),
        ("Brand,300", "Brand,,", "cells, the header"),
        ("Brand,300,450", "Brand,300,", "the cell is blank"),
        ("Brand,300,450", "Brand,300,na", "the cell is blank"),
        ("Brand,300", "Brand,300 EUR", "'300 EUR' is not a number"),
        ("Brand,300", ",300", "no usable name"),
        ("Brand,100", "Brand,0", "200 clicks without a budget"),
        ("Generic,500,300,10,900,no", "Generic,500,300,10,900,yes", "two present budgets"),
        ("Generic,500,300,10,900,no", "Generic,500,300,10,900,maybe", "neither yes nor no"),
        ("clicks,conversions,value", "a,b,c", "none of the columns"),
        ("budget", "spend", "has no column 'budget'"),
        ("clicks", "budget", "stands twice in the file"),
    ],
)
def test_bad_points_are_refused(tmp_path, capsys, old, new, words) -> None:
    assert old in TEXT
    path = written(tmp_path, TEXT.replace(old, new, 1))
    message = refused(capsys, tmp_path / "out", "points", path, "--period", "week", "--kpi", "value")
    assert words in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (TEXT.replace(",", ";").encode(), "separated by semicolons"),
        (TEXT.encode("utf-16"), "UTF-8"),
        (b"", "the file is empty"),
        (TEXT.splitlines()[0].encode(), "no rows"),
        (b"PK\x03\x04", "a spreadsheet or zip file"),
        (b'campaign,budget,clicks\n"A,1,2\n', "not CSV"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path, capsys, content, words) -> None:
    path = tmp_path / "points.csv"
    path.write_bytes(content)
    assert words in refused(capsys, tmp_path / "out", "points", path, "--period", "week")


def test_places_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = written(tmp_path), tmp_path / "out"
    refused(capsys, out, "points", tmp_path, "--period", "week")
    refused(capsys, out, "points", tmp_path / "no.csv", "--period", "week")
    assert "needs --period" in refused(capsys, out, "points", path)
    assert "day or week" in refused(capsys, out, "points", path, "--period", "month")
    assert "belongs to meridian" in refused(capsys, out, "points", path, "--period", "week", "--data", path)
    for start in ("soon", "2026-02-31"):
        said = refused(capsys, out, "points", path, "--period", "week", "--kpi", "value", "--start", start)
        assert "--start" in said
    said = refused(capsys, out, "points", path, "--period", "week", "--kpi", "reach", "--start", "2026-01-05")
    assert "there is no KPI 'reach'" in said
    assert main(["import", "points", str(path), "--period", "week", "--currency", "euro", "--out", str(out)]) == 2
    assert "not a currency code" in capsys.readouterr().err
    assert main(["import", "excel", str(path), "--currency", "EUR", "--out", str(out)]) == 2


def test_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert points.read(path, currency="EUR", period="week").model.lines == ("Brand", "Generic")
