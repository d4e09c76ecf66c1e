"""Builders the tests share: small random scenarios as plain data, and response models with many draws."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from ruamel.yaml import YAML

import optimizer
from optimizer import ResponseModel, Scenario
from optimizer.curves import FAMILIES

# Benchmarks that tests try lie beside them; at the end, so that the package under test is the installed one.
sys.path.append(str(Path(__file__).parents[1]))

# numba looks at a kernel's own file only: after a change to one that it calls, its compiled form would be stale.
SOURCES = list(Path(optimizer.__file__).parent.glob("kernels*.py"))
NEWEST = max(path.stat().st_mtime for path in SOURCES)
for compiled in Path(optimizer.__file__).parent.glob("__pycache__/kernels*.nb[ci]"):
    if compiled.stat().st_mtime < NEWEST:
        compiled.unlink(missing_ok=True)

# The same examples in every run, and no clock: compiling a kernel takes seconds.
settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("repeatable")


# Files that take longest begin, so that no process is left alone with one at the end; those that would compile the
# same kernels do not stand side by side.
LONGEST = (
    *(
        "batch_files",
        "flighting",
        "kernels_synergy",
        "evidence_fit",
        "audit_experiments",
        "evolved_front",
        "compare",
    ),
    *("kernels_search", "evidence_forecast", "report_large", "conjura", "readme", "cli", "chance", "batch"),
    *("response", "kernels", "highs"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files; each keeps the order of its tests."""
    rank = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def make_scenario(
    lines: int = 3,
    kpis: int = 1,
    seed: int = 0,
    *,
    periods: int = 4,
    budget: float = 1000.0,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a sound random scenario as plain data for `Scenario.from_dict`.

    Lines are ``line0`` .. with ``channel`` a, b, a, b ...; KPIs are ``kpi0`` .., all to maximise, weighted equally
    on pinned scales; curves are concave Hill. ``changes`` replaces top-level blocks.
    """
    rng = np.random.default_rng(seed)
    names, measured = [f"line{i}" for i in range(lines)], [f"kpi{k}" for k in range(kpis)]
    data: dict[str, Any] = {
        "name": "test",
        "currency": "EUR",
        "horizon": {"start": "2026-01-05", "periods": periods},
        "lines": [
            {"name": name, "current": budget / lines, "max": budget, "channel": "ab"[i % 2]}
            for i, name in enumerate(names)
        ],
        "kpis": {kpi: {"direction": "maximize", "unit": "things"} for kpi in measured},
        "response": {kpi: {line: hill_entry(rng) for line in names} for kpi in measured},
        "constraints": {"budget": {"total": budget}},
        "preferences": {},
    }
    if kpis > 1:
        data["preferences"] = {
            "weights": dict.fromkeys(measured, 1.0),
            "scale": {kpi: [0.0, 50.0] for kpi in measured},
        }
    return data | dict(changes or {})


def hill_entry(rng: np.random.Generator) -> dict[str, Any]:
    """Return one line's concave Hill curve with geometric carry-over, as plain data."""
    return {
        "curve": {
            "kind": "hill",
            "scale": float(rng.uniform(1, 10)),
            "half": float(rng.uniform(20, 200)),
            "slope": float(rng.uniform(0.6, 1.0)),
        },
        "adstock": {"kind": "geometric", "rate": float(rng.uniform(0, 0.8)), "length": 3},
    }


def make_model(
    draws: int = 5,
    kpis: tuple[str, ...] = ("kpi0", "kpi1"),
    lines: tuple[str, ...] = ("line0", "line1", "line2"),
    *,
    periods: int = 6,
    past: int = 2,
    seed: int = 0,
    **fields: Any,
) -> ResponseModel:
    """Return a random response model: all concave families, carry-over up to three periods."""
    rng = np.random.default_rng(seed)
    cell, by_draw = (len(kpis), len(lines)), (draws, len(kpis), len(lines))
    codes = [FAMILIES[name].code for name in ("hill", "michaelis_menten", "power", "log1p", "linear")]
    parts: dict[str, Any] = {
        "kpis": kpis,
        "lines": lines,
        "family": np.resize(codes, cell).astype(np.int64),
        "scale": rng.uniform(1, 10, by_draw),
        "first": rng.uniform(20, 200, by_draw),
        "second": rng.uniform(0.5, 1.0, by_draw),
        "rate": rng.uniform(0, 0.8, by_draw),
        "length": rng.integers(1, 4, cell),
        "normalised": rng.random(cell) < 0.5,
        "baseline": rng.uniform(1, 5, (draws, len(kpis), periods)),
        "observed": np.tile([0.0, 1e6], (len(lines), 1)),
        "history": rng.uniform(10, 100, (len(lines), past)),
        "start": date(2026, 1, 5),
        "period": "week",
    }
    return ResponseModel(**(parts | fields))


def write_yaml(data: Mapping[str, Any], path: Path) -> Path:
    """Write a scenario's plain data to a file; return it."""
    with path.open("w", encoding="utf-8") as stream:
        YAML(pure=True).dump(data, stream)
    return path


def scenario_on_file(
    directory: Path, model: ResponseModel, *, periods: int = 4, changes: Mapping[str, Any] | None = None
) -> Scenario:
    """Save a model and return a scenario of its KPIs and lines that reads it."""
    model.save(directory / "response.nc")
    data = make_scenario(len(model.lines), len(model.kpis), periods=periods)
    for line, name in zip(data["lines"], model.lines, strict=True):
        line["name"] = name
    data["kpis"] = {name: {"direction": "maximize", "unit": "things"} for name in model.kpis}
    data["response"] = {"file": "response.nc"}
    if len(model.kpis) > 1:
        scale = {name: [0.0, 500.0] for name in model.kpis}
        data["preferences"] = {"weights": dict.fromkeys(model.kpis, 1.0), "scale": scale}
    return Scenario.from_dict(data | dict(changes or {}), directory)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a new ledger can be made: a file, or a schema of its own in the PostgreSQL of `.ci/postgres`."""
    if request.param == "sqlite":
        yield str(tmp_path / "ledger.db")
        return
    url = os.environ.get("LEDGER_POSTGRES")
    if not url:
        pytest.skip("no PostgreSQL: run the tests by '.ci/postgres pytest'")
    import psycopg

    schema = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{schema}"
        connection.execute(f"DROP SCHEMA {schema} CASCADE")
