"""A batch on a cluster: the same bytes as here, also where a worker dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from naive_batch import make_accounts, make_rules
from test_batch_files import content

import optimizer as opt
from optimizer.batch import cluster
from optimizer.cli import main

distributed = pytest.importorskip("distributed", reason="needs the extra [distributed]")


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
    ) as found:
        yield found


def here(directory: Path) -> tuple[Path, dict[str, Any], dict[str, str]]:
    """Accounts, rules, and the files of a run in threads."""
    file, rules = directory / "a.parquet", make_rules()
    accounts = make_accounts(60, seed=11, draws=2)
    accounts["current"] = accounts["current"].where(accounts["account"] != "account 7", -1.0)
    accounts.to_parquet(file)
    opt.reallocate(file, rules, out=directory / "here", chunk=5)
    return file, rules, content(directory / "here")


def test_two_workers_write_the_same_bytes(workers: Any, tmp_path: Path) -> None:
    file, rules, wanted = here(tmp_path)
    seen: list[tuple[int, int]] = []
    out = tmp_path / "there"
    found = opt.reallocate(
        file,
        rules,
        out=out,
        chunk=5,
        scheduler=workers.scheduler_address,
        progress=lambda done, n: seen.append((done, n)),
    )
    assert content(out) == wanted
    assert seen == [(done, 60) for done in range(5, 61, 5)]
    assert list(found.failed.index) == ["account 7"]
    # What one run has finished the other keeps.
    (out / "lines" / "000003.parquet").unlink()
    assert opt.reallocate(file, rules, out=out, chunk=5).kept == 55
    assert content(out) == wanted


def test_a_worker_that_is_killed_changes_nothing(workers: Any, tmp_path: Path) -> None:
    file, rules, wanted = here(tmp_path)
    killed: list[int] = []

    def kill(done: int, n: int) -> None:
        if not killed:
            killed.append(workers.workers[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    opt.reallocate(
        file, rules, out=tmp_path / "there", chunk=5, scheduler=workers.scheduler_address, progress=kill
    )
    assert killed
    assert content(tmp_path / "there") == wanted


def test_tables_come_back_where_no_files_are_asked_for(workers: Any) -> None:
    accounts, rules = make_accounts(4), make_rules()
    found = opt.reallocate(accounts, rules, chunk=2, scheduler=workers.scheduler_address)
    assert found.lines.equals(opt.reallocate(accounts, rules).lines)


def test_a_worker_with_other_packages_is_refused(
    workers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "versions", lambda: {"numpy": "0.1"})
    with pytest.raises(opt.DataError, match="a worker has numpy"):
        opt.reallocate(make_accounts(2), make_rules(), scheduler=workers.scheduler_address)


def test_a_cluster_that_is_not_there_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 0.2)
    for address in ("tcp://127.0.0.1:9", "nowhere at all"):
        with pytest.raises(opt.SpecError, match="no scheduler answers at"):
            opt.reallocate(make_accounts(1), make_rules(), scheduler=address)
    make_accounts(1).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "rules.yaml").write_text(str(make_rules()))
    command = ["reallocate", str(tmp_path / "a.parquet"), "--rules", str(tmp_path / "rules.yaml")]
    assert main([*command, "--out", str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "no scheduler answers" in capsys.readouterr().err


def test_a_cluster_without_workers_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as empty,
        pytest.raises(opt.SolverError, match="has no workers"),
    ):
        opt.reallocate(make_accounts(1), make_rules(), scheduler=empty.scheduler_address)
