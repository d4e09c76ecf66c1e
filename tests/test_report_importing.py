"""What an import writes beside the response: names from a file can break neither table nor terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from peer_files import pymc_model
from rich.console import Console

from optimizer import DataError, Scenario, SpecError
from optimizer.evidence import pymc_marketing, sources
from optimizer.evidence.imported import Import
from optimizer.report.files import write_all
from optimizer.report.importing import import_files, print_import, summary_text


@pytest.fixture
def found(tmp_path: Path) -> Import:
    return pymc_marketing.read(pymc_model(tmp_path / "m.nc"), currency="EUR", kpi="a|b\x1b[31m")


def test_files_agree_and_load(tmp_path: Path, found: Import) -> None:
    files = import_files(found, None, None)
    write_all(tmp_path / "out", files)
    scenario = Scenario.load(tmp_path / "out" / "scenario.yaml")
    assert scenario.lines == found.model.lines
    summary = json.loads((tmp_path / "out" / "import.json").read_text())
    assert summary["draws"] == found.model.draws
    assert summary["lines"]["tv"]["current"] == pytest.approx(scenario.current[0] / 13, rel=1e-5)


def test_names_are_made_harmless(found: Import) -> None:
    text = summary_text(found)
    assert "\x1b" not in text
    assert "a\\|b" in text
    console = Console(record=True, width=200)
    print_import(console, found)
    assert "\x1b[31m" not in console.export_text()


@pytest.mark.parametrize("start", ["2026-13-01", "01/02/2026", "2026-1-5"])
def test_a_start_that_is_no_date(found: Import, start: str) -> None:
    with pytest.raises(SpecError, match="--start"):
        import_files(found, None, start)


def test_sources_by_name(tmp_path: Path) -> None:
    none = {"data": None, "config": None, "ensemble": None, "period": None}
    path = pymc_model(tmp_path / "m.nc")
    assert sources.read("pymc-marketing", path, "EUR", None, none).model.kpis == ("orders",)
    with pytest.raises(SpecError, match="--ensemble belongs to robyn"):
        sources.read("pymc-marketing", path, "EUR", None, none | {"ensemble": tmp_path})
    with pytest.raises(DataError):
        sources.read("robyn", path, "EUR", None, none)
