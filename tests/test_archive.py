"""A front as one file: it comes back exactly, alone, and a file that is not one is refused in one message."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import make_model, make_scenario, scenario_on_file
from test_front import front_of

import optimizer as opt
from optimizer.archive import _hash


def same(one: opt.Front, other: opt.Front) -> bool:
    frames = all(getattr(one, name).equals(getattr(other, name)) for name in ("points", "payoff", "current"))
    return frames and one.certificate == other.certificate and one.to_dict() == other.to_dict()


def test_it_comes_back_exactly(tmp_path: Path) -> None:
    front = opt.frontier(opt.Scenario.from_dict(make_scenario(4, 3)), tolerance=0.2)
    front.save(tmp_path / "front.json")
    found = opt.Front.load(tmp_path / "front.json")
    assert same(front, found)
    assert found.scenario.hash == front.scenario.hash
    assert found.limits is not None
    assert found.knee().certificate == front.knee().certificate
    found.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "front.json").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.json", "front.json"]


def test_the_response_file_comes_along(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    front = opt.frontier(scenario_on_file(tmp_path / "made", make_model(4)), tolerance=0.2)
    front.save(tmp_path / "front.json")
    shutil.rmtree(tmp_path / "made")
    found = opt.Front.load(tmp_path / "front.json")
    assert same(opt.Front.load(tmp_path / "front.json"), found)
    plan = found.pick(weights={"kpi0": 1.0, "kpi1": 3.0})
    assert plan.outcomes.loc["kpi0", "expected"] in found.points["kpi0"].to_numpy()
    found.save(tmp_path / "again.json")
    assert same(opt.Front.load(tmp_path / "again.json"), front)


def test_a_front_without_limits_and_with_unknown_numbers_comes_back(tmp_path: Path) -> None:
    front = front_of()
    front.save(tmp_path / "front.json")
    assert same(opt.Front.load(tmp_path / "front.json"), front)
    unknown = front_of(gap=float("nan"))
    unknown.save(tmp_path / "front.json")
    assert opt.Front.load(tmp_path / "front.json").to_dict() == unknown.to_dict()


def changed(content: dict[str, Any], **parts: Any) -> bytes:
    content = {**content, **parts}
    whole = {"format": "campaign-optimizer front", "version": 1, "sha256": _hash(content), "content": content}
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    "parts",
    [
        {"points": []},
        {"points": [[1.0, 2.0]]},
        {"points": "many"},
        {"points": [[1.0, 2.0, 3.0, None]]},
        {"points": [[1.0, 2.0, 3.0, [4.0]]]},
        {"columns": ["kpi1", "kpi0", "spend line0", "spend line1"]},
        {"payoff": [[1.0, 2.0]]},
        {"current": [1.0]},
        {"limits": [[[1.0, 0.0]], [1.0]]},
        {"limits": [[[1.0, 0.0]], [1.0, 2.0], []]},
        {"limits": {"weights": 1}},
        {"certificate": None},
        {"certificate": {"guarantee": "global"}},
        {"scenario": 3},
        {"scenario": {"name": "x"}},
        {"response": 7},
        {"response": "not base64!"},
    ],
)
def test_a_malformed_file_gets_one_message(tmp_path: Path, parts: dict[str, Any]) -> None:
    path = tmp_path / "front.json"
    front_of().save(path)
    path.write_bytes(changed(json.loads(path.read_bytes())["content"], **parts))
    with pytest.raises(opt.DataError, match=r"front\.json") as caught:
        opt.Front.load(path)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("guarantee", "key"),
    [("proven", "guarantee"), ([1], "reference"), ({"kpi0": 1.0}, "reference"), (1, "blends")],
)
def test_a_certificate_must_be_whole(tmp_path: Path, guarantee: Any, key: str) -> None:
    path = tmp_path / "front.json"
    front_of().save(path)
    content = json.loads(path.read_bytes())["content"]
    path.write_bytes(changed(content, certificate=content["certificate"] | {key: guarantee}))
    with pytest.raises(opt.DataError, match="whole front"):
        opt.Front.load(path)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[1, 2]",
        b'{"format": 1}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"points": [',
        b"\x89HDF\r\n\x1a\n",
    ],
)
def test_what_is_no_front_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "front.json"
    path.write_bytes(text)
    with pytest.raises(opt.DataError, match=r"front\.json"):
        opt.Front.load(path)


def test_a_changed_number_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "front.json"
    front_of().save(path)
    path.write_bytes(path.read_bytes().replace(b"2.5", b"2.6"))
    with pytest.raises(opt.DataError, match="changed after it was saved"):
        opt.Front.load(path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "front.json"
    front_of().save(path)
    path.write_bytes(path.read_bytes().replace(b'"version": 1', b'"version": 2'))
    with pytest.raises(opt.DataError, match="version 2"):
        opt.Front.load(path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(opt.DataError, match="no such file"):
        opt.Front.load(tmp_path / "none.json")
    with pytest.raises(opt.DataError, match="is a folder"):
        opt.Front.load(tmp_path)
    with pytest.raises(opt.DataError, match="cannot be written"):
        front_of().save(tmp_path / "no" / "folder.json")


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "front.json"
    front_of().save(path)
    before = path.read_bytes()

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(opt.DataError, match="no space left"):
        front_of(solves=4).save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["front.json"]
