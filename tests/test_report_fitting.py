"""What a fit prints and its page: every line and KPI, numbers as in the JSON, text from files escaped."""

from __future__ import annotations

import io
import re

import pytest
from fit_worlds import own_world
from rich.console import Console

from optimizer.evidence.calibrate import LiftTest
from optimizer.evidence.fit import Fit, fit
from optimizer.report.fit_page import render_fit
from optimizer.report.fitting import print_fit
from optimizer.report.formats import percent


@pytest.fixture(scope="module")
def found() -> Fit:
    world = own_world(3, draws=40)
    test = LiftTest(name="<b>on & off</b>", line="line0", kpi="sales", spend=[0, 100], periods=2, lift=9e9, se=1.0)
    return fit(world.history, world.spec, tests=[test])


def test_page_holds_every_line_and_its_figures(found: Fit) -> None:
    page = render_fit(found)
    text = re.sub(r"<svg.*?</svg>", "", page, flags=re.S)
    for line, effect in found.diagnostics["effects"]["sales"].items():
        assert f"<figcaption>{line}</figcaption>" in page
        assert f"What {line} does for sales" in page
        assert percent(effect["share"]["mean"]) in text
    assert percent(found.diagnostics["kpis"]["sales"]["holdout"]["error"]) in text
    assert page.count("<svg") >= len(found.diagnostics["lines"]) + 3
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    for note in found.notes[1:4]:
        assert note.split(":")[0].split("'")[0][:40] in text
    assert render_fit(found) == page


def test_text_from_files_is_escaped(found: Fit) -> None:
    page = render_fit(found)
    assert "<b>on" not in page
    assert "&lt;b&gt;on &amp; off" in page
    assert "contradicts the model, not used" in page


def test_print(found: Fit) -> None:
    out = io.StringIO()
    print_fit(Console(file=out, width=120), found)
    said = out.getvalue()
    for words in ("foretells once 8 weeks", "no lines", "Lifts as experiments", "contradicts the model"):
        assert words in said
