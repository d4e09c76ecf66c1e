"""The notebooks in scenarios/: committed without output, and every cell runs in a fresh kernel."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "scenarios"
BOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert {book.stem for book in BOOKS} >= {"plan_a_budget", "compare_scenarios", "review_a_batch"}


@pytest.mark.parametrize("file", BOOKS, ids=lambda file: file.stem)
def test_committed_without_output_and_begins_with_a_title(file: Path) -> None:
    book = nbformat.read(file, as_version=4)
    nbformat.validate(book)
    assert book.cells[0].source.startswith("# ")
    for cell in book.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("file", BOOKS, ids=lambda file: file.stem)
def test_runs_from_top_to_bottom(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The kernel is a process of its own: it must find the package that is tested.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]))
    book = nbformat.read(file, as_version=4)
    NotebookClient(book, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in code)
    for output in (output for cell in code for output in cell.outputs):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.get("text")
    assert any("text/html" in output.get("data", {}) for cell in code for output in cell.outputs)
