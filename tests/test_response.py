"""ResponseModel: what it refuses, what of it survives a file, and how damaged files are met."""

from __future__ import annotations

import gc
import random
import sys
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
from conftest import make_model
from hypothesis import given, settings
from hypothesis import strategies as st

import optimizer as opt
from optimizer import response
from optimizer.curves import FAMILIES
from optimizer.synergy import Synergy


def same(one: opt.ResponseModel, other: opt.ResponseModel) -> None:
    for field in fields(one):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right, err_msg=field.name)
            assert left.dtype == right.dtype, field.name
        else:
            assert left == right, field.name


FULL = {
    "notes": ("Search and shopping rise and fall together.", "Zweite Notiz: übrig"),
    "attributes": {"method": "test", "seed": 3, "rate": 0.25, "nothing": ""},
}


@pytest.mark.parametrize(
    "model",
    [
        make_model(**FULL),
        make_model(1, ("umsatz €",), ("søk 搜索",), periods=1, past=0, start=None, period=None),
        make_model(2, ("a", "b"), ("x", "y"), period="day", start=date(1999, 12, 31)),
        make_model(3, ("a",), ("x", "y"), observed=np.array([[np.nan, np.nan], [0.0, 5.0]])),
        make_model(1, ("a", "b"), ("x",), family=np.array([[0], [5]]), scale=np.array([[[0.0], [1e-300]]])),
        make_model(2, synergy=Synergy((("kpi1", "line2", "line0"), ("kpi0", "line0", "line1")), np.eye(2))),
    ],
    ids=["full", "bare", "daily", "unobserved", "extreme", "synergy"],
)
def test_a_file_holds_all_of_a_model(tmp_path, model):
    path = tmp_path / "model.nc"
    model.save(path)
    same(response.load(path), model)
    assert [found.name for found in tmp_path.iterdir()] == ["model.nc"]


def test_saving_again_replaces_the_file(tmp_path):
    path = tmp_path / "model.nc"
    make_model(seed=1).save(path)
    make_model(seed=2).save(path)
    same(response.load(path), make_model(seed=2))


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.nc"
    make_model().save(path)
    for value in (None, True, {"a": 1}):
        with pytest.raises(Exception):  # noqa: B017, PT011
            make_model(attributes={"odd": value}).save(path)
        same(response.load(path), make_model())
        assert [found.name for found in tmp_path.iterdir()] == ["model.nc"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"scale": np.ones((5, 2, 2))}, "scale"),
        ({"scale": np.ones((4, 2, 3))}, "first"),
        ({"first": np.ones((5, 3, 2))}, "first"),
        ({"family": np.ones((3, 2), int)}, "family"),
        ({"baseline": np.ones((5, 3, 6))}, "baseline"),
        ({"baseline": np.ones((4, 2, 6))}, "baseline"),
        ({"observed": np.ones((3, 3))}, "observed"),
        ({"history": np.ones((2, 4))}, "history"),
        ({"length": np.ones(3, int)}, "length"),
        ({"scale": np.full((5, 2, 3), np.nan)}, "scale"),
        ({"second": np.full((5, 2, 3), np.inf)}, "second"),
        ({"baseline": np.full((5, 2, 6), np.nan)}, "baseline"),
        ({"history": np.full((3, 1), np.nan)}, "history"),
        ({"scale": np.full((5, 2, 3), -1e-9)}, "scale"),
        ({"first": np.zeros((5, 2, 3))}, "first"),
        ({"second": np.zeros((5, 2, 3))}, "second"),
        ({"rate": np.ones((5, 2, 3))}, "rate"),
        ({"rate": np.full((5, 2, 3), -0.1)}, "rate"),
        ({"length": np.zeros((2, 3), int)}, "length"),
        ({"length": np.full((2, 3), 105)}, "length"),
        ({"family": np.full((2, 3), max(f.code for f in FAMILIES.values()) + 1)}, "family"),
        ({"family": np.full((2, 3), -1)}, "family"),
        ({"history": np.full((3, 1), -1.0)}, "history"),
        ({"kpis": ("a", "b", "c")}, "family"),
        ({"lines": ("x", "y")}, "family"),
        ({"lines": ("x", "y", "x")}, "lines"),
        ({"kpis": ("a", "a")}, "kpis"),
    ],
)
def test_impossible_models_are_refused(changes, path):
    with pytest.raises(opt.DataError) as caught:
        replace(make_model(), **changes)
    assert caught.value.path == (path,)


def test_one_bad_number_is_enough():
    scale = make_model().scale.copy()
    scale[3, 1, 2] = np.nan
    with pytest.raises(opt.DataError, match="scale"):
        make_model(scale=scale)


def test_a_model_without_draws_is_refused():
    empty = {name: np.empty((0, 2, 3)) for name in ("scale", "first", "second", "rate")}
    with pytest.raises(opt.DataError, match="no draws"):
        make_model(**empty, baseline=np.empty((0, 2, 6)))


@given(
    st.lists(st.floats(0, 0.99), min_size=1, max_size=3),
    st.integers(1, 6),
    st.integers(1, 6),
    st.booleans(),
)
@settings(max_examples=60)
def test_adstock_weights_agree_with_their_twin(rates, one, other, normalised):
    cell, by_draw = (1, 2), (len(rates), 1, 2)
    model = make_model(
        len(rates),
        ("k",),
        ("x", "y"),
        rate=np.broadcast_to(np.array(rates)[:, None, None], by_draw).copy(),
        length=np.array([[one, other]]),
        normalised=np.full(cell, normalised),
    )
    weights = model.weights()
    assert weights.shape == (*by_draw, max(one, other))
    for d, rate in enumerate(rates):
        for line, length in enumerate((one, other)):
            wanted = naive.adstock_weights(rate, length, normalised)
            found = weights[d, 0, line]
            np.testing.assert_allclose(found[:length], wanted, rtol=1e-13, atol=1e-300)
            assert not found[length:].any()


def test_adstock_weights_by_hand():
    model = make_model(
        1,
        ("k",),
        ("x", "y"),
        rate=np.full((1, 1, 2), 0.5),
        length=np.array([[3, 2]]),
        normalised=np.array([[True, False]]),
    )
    np.testing.assert_allclose(model.weights()[0, 0], [[4 / 7, 2 / 7, 1 / 7], [1.0, 0.5, 0.0]], rtol=1e-15)


def test_select_takes_parts_in_the_order_asked_for():
    model = make_model(kpis=("a", "b"), lines=("x", "y", "z"), **FULL)
    part = model.select(["b", "a"], ["z", "x"])
    assert (part.kpis, part.lines) == (("b", "a"), ("z", "x"))
    for name in ("scale", "first", "second", "rate"):
        for d in range(model.draws):
            wanted = getattr(model, name)[d]
            assert getattr(part, name)[d].tolist() == [
                [wanted[1, 2], wanted[1, 0]],
                [wanted[0, 2], wanted[0, 0]],
            ]
    for name in ("family", "length", "normalised"):
        wanted = getattr(model, name)
        assert getattr(part, name).tolist() == [[wanted[1, 2], wanted[1, 0]], [wanted[0, 2], wanted[0, 0]]]
    assert part.baseline.tolist() == model.baseline[:, ::-1].tolist()
    assert part.observed.tolist() == [model.observed[2].tolist(), model.observed[0].tolist()]
    assert part.history.tolist() == [model.history[2].tolist(), model.history[0].tolist()]
    assert (part.start, part.notes, part.attributes) == (model.start, model.notes, model.attributes)
    same(model.select(model.kpis, model.lines), model)


def test_concave_and_linear_look_at_every_draw():
    codes = [[FAMILIES[name].code for name in ("none", "linear", "hill", "hill", "hill", "power", "log1p")]]
    second = np.ones((3, 1, 7))
    second[1, 0, 3] = 1.0 + 1e-9
    second[:, 0, 4] = 0.5
    second[:, 0, 6] = 7.0
    lines = tuple("abcdefg")
    model = make_model(3, ("k",), lines, family=np.array(codes), second=second)
    assert model.concave().tolist() == [[True, True, True, False, True, True, True]]
    assert model.linear().tolist() == [[True, True, False, False, False, False, False]]


# Files


def test_a_missing_file_and_a_directory(tmp_path):
    for path in (tmp_path / "nowhere.nc", tmp_path):
        with pytest.raises(opt.DataError) as caught:
            response.load(path)
        assert caught.value.file == str(path)
        assert caught.value.hint


def saved(path: Path) -> bytes:
    make_model().save(path)
    return path.read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        lambda whole: b"",
        lambda whole: b"not a netCDF file",
        lambda whole: whole[:8],
        lambda whole: whole[:1000],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: whole[:100] + bytes(100) + whole[200:],
        lambda whole: b"CDF\x01" + bytes(100),
        lambda whole: b"PK\x03\x04",
    ],
    ids=["empty", "text", "signature", "head", "half", "last byte", "zeros within", "netCDF 3", "zip"],
)
def test_other_files_are_refused_quietly(tmp_path, monkeypatch, content):
    # Objects of the netCDF library that die half made must not write a traceback to the user's terminal.
    noise: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: noise.append(repr(found.exc_value)))
    path = tmp_path / "model.nc"
    path.write_bytes(content(saved(path)))
    with pytest.raises(opt.DataError) as caught:
        response.load(path)
    assert caught.value.file == str(path)
    assert caught.value.hint
    del caught
    gc.collect()
    assert not noise


def test_damaged_files_give_a_data_error_or_a_sound_model(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    path = tmp_path / "model.nc"
    whole = saved(path)
    rng = random.Random(7)
    refused: list[opt.DataError] = []
    others: list[str] = []
    for attempt in range(90):
        damaged = bytearray(whole)
        for _ in range(1 + attempt % 3):
            damaged[rng.randrange(rng.choice([200, 2000, len(whole)]))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            response.load(path)
        except opt.DataError as error:
            refused.append(error)
        except Exception as error:
            others.append(repr(error))
    # Whatever died half made dies here, not in the middle of another test.
    gc.collect()
    assert not others
    assert len(refused) > 10
    for error in refused:
        assert error.file == str(path)
        assert len(str(error)) < 2000


def save(dataset: Any, path: Any) -> Any:
    dataset.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.drop_vars("first"), "first"),
        (lambda data: data.drop_vars("family"), "family"),
        (lambda data: data.drop_vars("line"), "line"),
        (lambda data: data.drop_vars("kpi"), "kpi"),
        (lambda data: data.assign_attrs(format="something else"), "not a response file"),
        (lambda data: data.assign_attrs(format="campaign-optimizer response 2"), "version|format"),
        (lambda data: data.assign(family=data["family"].where(False, "sigmoid")), "sigmoid"),
        (lambda data: data.assign(scale=-data["scale"]), "scale"),
        (lambda data: data.assign(scale=data["scale"] * np.nan), "scale"),
        (lambda data: data.assign(rate=data["rate"] + 1.0), "rate"),
        (lambda data: data.assign(length=data["length"] + 0.5), "length"),
        (lambda data: data.assign(length=data["length"] * 1000), "length"),
        (lambda data: data.assign(scale=data["scale"].astype(str) + "x"), "scale|float"),
        (lambda data: data.assign_attrs(start="soon"), "soon|start"),
        (lambda data: data.assign_attrs(start=5), "start|str"),
        (lambda data: data.assign_attrs(period="month"), "month|period"),
        (lambda data: data.assign_coords(line=["x", "x", "z"]), "line"),
        (lambda data: data.isel(draw=slice(0, 0)), "draw"),
    ],
    ids=[
        "first",
        "family",
        "lines",
        "kpis",
        "format",
        "newer",
        "unknown family",
        "negative",
        "nan",
        "rate",
        "half period",
        "long",
        "text",
        "start",
        "number start",
        "month",
        "twin lines",
        "no draws",
    ],
)
def test_files_with_a_part_wrong_are_refused(tmp_path, change, said):
    path = save(change(make_model().to_dataset()), tmp_path / "model.nc")
    with pytest.raises(opt.DataError, match=said) as caught:
        response.load(path)
    assert caught.value.file == str(path)


def test_dimensions_are_read_by_name(tmp_path):
    # As many draws and KPIs as lines: read by position, a transposed file would be taken for another model.
    model = make_model(3, ("a", "b", "c"), ("x", "y", "z"))
    turned = model.to_dataset().transpose("line", "kpi", "draw", ...)
    same(response.load(save(turned, tmp_path / "model.nc")), model)


def test_file_hash_is_of_the_bytes(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    assert response.file_hash(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_replacing_a_part_checks_again():
    with pytest.raises(opt.DataError):
        replace(make_model(), rate=np.full((5, 2, 3), 2.0))
