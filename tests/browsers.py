"""A headless Chromium for tests that read pages as people do; one for all, with the network off."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def opened() -> Iterator[Any]:
    """Yield a browser; skip the tests that ask for one where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium on this machine: pages are not tested in a browser (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="pages in a browser need playwright")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield browser
        browser.close()
