"""Which releases a result was made with."""

from importlib import metadata

import pytest

from optimizer.versions import PACKAGES, versions


def test_each_is_what_is_installed() -> None:
    found = versions()
    assert tuple(found) == PACKAGES
    assert found["numpy"] == metadata.version("numpy")


def test_what_is_absent_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimizer.versions.PACKAGES", ("no-such-package",))
    assert versions() == {"no-such-package": "not installed"}
