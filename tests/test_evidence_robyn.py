"""Robyn models: the export and its ensemble, every adstock made up, and everything that must be refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from peer_files import PEERS, needs, refused, robyn_model

from optimizer.cli import main
from optimizer.evidence import robyn

FOLDER = PEERS / "robyn"
MODEL = FOLDER / "RobynModel-1_277_1.json"


def test_exported_contributions_are_recomputed() -> None:
    found = robyn.read(needs(MODEL), currency="EUR")
    # Geometric carry-over is cut off where next to nothing is left: that is the mismatch.
    assert max(check.worst for check in found.checks) < 1e-5
    assert found.model.lines == ("tv_S", "ooh_S", "print_S", "facebook_S", "search_S")
    text = "\n".join(found.model.notes)
    for words in ("newsletter", "NOT converged", "without draws"):
        assert words in text
    slopes = dict(zip(found.model.lines, found.model.second[0, 0], strict=True))
    assert slopes["facebook_S"] > 1 > slopes["tv_S"]
    assert not found.summary()["lines"]["facebook_S"]["falling_returns"]


def test_half_saturation_is_the_inflexion_robyn_wrote() -> None:
    """Spend is what this model saw, so the price is 1."""
    found = robyn.read(needs(MODEL), currency="EUR")
    written = pd.read_csv(FOLDER / "selected_resultHypParam.csv").iloc[0]
    for i, line in enumerate(found.model.lines):
        assert found.model.first[0, 0, i] == pytest.approx(written[f"{line}_inflexion"], rel=1e-9)


def test_an_ensemble_becomes_draws() -> None:
    found = robyn.read(needs(MODEL), currency="EUR", ensemble=FOLDER)
    assert found.model.draws == 4
    assert found.read["solutions"][0] == "1_277_1"
    assert max(check.worst for check in found.checks) < 1e-5
    one = robyn.read(MODEL, currency="EUR").model
    assert np.allclose(found.model.scale[0], one.scale[0])
    assert any("4 models of Robyn's Pareto front" in note for note in found.model.notes)


@pytest.mark.parametrize("adstock", ["geometric", "weibull_cdf", "weibull_pdf"])
@pytest.mark.parametrize("version", ["v3.12.1", "v3.11.0"])
@pytest.mark.parametrize("exposure", [False, True])
def test_made_up_models(tmp_path: Path, adstock: str, version: str, exposure: bool) -> None:
    path = robyn_model(tmp_path, adstock=adstock, version=version, exposure=exposure)
    found = robyn.read(path, currency="EUR", kpi="sales")
    assert max(check.worst for check in found.checks) < 1e-5
    assert found.model.lines == ("tv", "web_seen" if exposure else "web")
    assert found.units == {"sales": "EUR"}
    assert any("'web_seen'" in note for note in found.model.notes) == exposure
    # In money the line has spent what it spent.
    assert found.model.observed[1, 1] < 1000


def test_the_command_writes_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = robyn_model(tmp_path), tmp_path / "out"
    assert main(["import", "robyn", str(path), "--currency", "EUR", "--out", str(out)]) == 0
    assert "the exported contribution" in capsys.readouterr().out
    assert "NRMSE NOT converged" in (out / "import.md").read_text()
    assert (out / "response.nc").stat().st_size > 1000


def test_impossible_weibulls_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value, words in (
        ("tv_shapes", 99999.0, "shape is not from 0 to 20"),
        ("tv_scales", 1.5, "scale is not from 0 to 1"),
        ("tv_shapes", 0.0, "without carry-over"),
    ):
        path = robyn_model(tmp_path, adstock="weibull_pdf")
        document = json.loads(path.read_text())
        document["ExportedModel"]["hyper_values"][name] = [value]
        path.write_text(json.dumps(document))
        assert words in refused(capsys, tmp_path / "out", "robyn", path)


def edit(document: dict[str, Any], place: list[Any], value: Any) -> None:
    for part in place[:-1]:
        document = document[part]
    if value is KeyError:
        del document[place[-1]]
    else:
        document[place[-1]] = value


ROW = ["Extras", "raw_data", 7]
SUMMARY = ["ExportedModel", "summary", 1]
HYPER = ["ExportedModel", "hyper_values"]
INPUT = ["InputCollect"]


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ([*SUMMARY, "coef"], 12345.0, "the exported contribution over the window is"),
        ([*SUMMARY, "coef"], "12345", "ExportedModel.summary[1].coef: is '12345', not a number"),
        ([*SUMMARY, "coef"], -5.0, "'tv': the coefficient is negative"),
        ([*SUMMARY, "decompAgg"], KeyError, "is missing for 'tv'"),
        ([*SUMMARY, "variable"], "web", "is no name, or there twice"),
        ([*SUMMARY, "variable"], "radio", "says nothing about 'tv'"),
        (["ExportedModel", "summary"], {}, "is not a list of variables"),
        ([*HYPER, "tv_alphas"], [0.1], "the exported contribution over the window is"),
        ([*HYPER, "tv_alphas"], [1, 2], "holds 2 values, not one"),
        ([*HYPER, "tv_alphas"], ["NA"], "is 'NA', not a number"),
        ([*HYPER, "tv_alphas"], [True], "is True, not a number"),
        ([*HYPER, "tv_thetas"], [1.0], "theta is not from 0 to below 1"),
        ([*HYPER, "tv_thetas"], [0.999], "the exported contribution over the window is|Robyn's formula is"),
        ([*HYPER, "tv_gammas"], KeyError, "ExportedModel.hyper_values.tv_gammas: is missing"),
        ([*ROW, "tv"], "na", "Extras.raw_data[7].tv: is 'na', not a number"),
        ([*ROW, "tv"], -1, "is -1, below 0"),
        ([*ROW, "tv"], 1e300, "infinite or too large"),
        ([*ROW, "tv"], KeyError, "Extras.raw_data[7].tv: is missing"),
        ([*ROW, "tv"], 1e6, "spend adds up to"),
        ([*ROW, "revenue"], 1e9, "'revenue' adds up to"),
        ([*ROW, "DATE"], "last week", "is not a date"),
        ([*ROW, "DATE"], "2025-02-25", "days apart"),
        (["Extras", "raw_data"], {}, "is not a list of rows"),
        (["Extras"], KeyError, "Extras: is missing"),
        ([*INPUT, "adstock"], ["wave"], "the adstock 'wave' is not known"),
        ([*INPUT, "version"], ["Robyn"], "names no version"),
        ([*INPUT, "version"], ["v3.11"], "Robyn's formula|the exported contribution"),
        ([*INPUT, "rollingWindowEndWhich"], [99], "is not within the 40 rows"),
        ([*INPUT, "rollingWindowStartWhich"], [5.5], "not a whole number"),
        ([*INPUT, "paid_media_vars"], ["tv"], "does not go with paid_media_spends"),
        ([*INPUT, "paid_media_spends"], [1, 2], "is not a list of names"),
        ([*INPUT, "dep_var"], ["profit"], "Extras.raw_data[0].profit: is missing"),
    ],
)
def test_changed_models_are_refused(tmp_path, capsys, place, value, words) -> None:
    path = robyn_model(tmp_path)
    document = json.loads(path.read_text())
    edit(document, place, value)
    path.write_text(json.dumps(document))
    message = refused(capsys, tmp_path / "out", "robyn", path)
    assert any(word in message for word in words.split("|")), message


def test_swapped_channels_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = robyn_model(tmp_path)
    document = json.loads(path.read_text())
    for row in document["Extras"]["raw_data"]:
        row["tv"], row["web"] = row["web"], row["tv"]
    path.write_text(json.dumps(document))
    assert "are columns swapped" in refused(capsys, tmp_path / "out", "robyn", path)
    path = robyn_model(tmp_path)
    document = json.loads(path.read_text())
    one, two = document["ExportedModel"]["summary"][1:]
    one["coef"], two["coef"] = two["coef"], one["coef"]
    path.write_text(json.dumps(document))
    assert "the exported contribution" in refused(capsys, tmp_path / "out", "robyn", path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1, 2]", "InputCollect: is missing"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"InputCollect": NaN}', "NaN is not a number JSON knows"),
        (b'{"InputCollect": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_what_is_no_export_is_refused(tmp_path, capsys, content, words) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(content)
    assert words in refused(capsys, tmp_path / "out", "robyn", path)


def test_folders_and_missing_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, tmp_path / "out", "robyn", tmp_path)
    refused(capsys, tmp_path / "out", "robyn", tmp_path / "no.json")
    path = robyn_model(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "not JSON" in refused(capsys, tmp_path / "out", "robyn", path)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("aggregated", lambda t: t.assign(coef=t["coef"] * 1.5), "the exported contribution"),
        ("aggregated", lambda t: t[t["rn"] != "tv_S"], "has no row for 'tv_S'"),
        ("aggregated", lambda t: pd.concat([t, t]), "stands twice"),
        ("aggregated", lambda t: t.drop(columns="coef"), "has no column 'coef'"),
        ("aggregated", lambda t: t.assign(coef="NA"), "the cell is blank"),
        ("hyperparameters", lambda t: t.assign(tv_S_thetas=1.5), "theta is not from 0"),
        ("hyperparameters", lambda t: t.assign(tv_S_thetas="fast"), "'fast' is not a number"),
        ("hyperparameters", lambda t: pd.concat([t, t]), "stands twice"),
        ("hyperparameters", lambda t: t.iloc[:0], "column names and no rows"),
    ],
)
def test_changed_ensembles_are_refused(tmp_path, capsys, name, change, words) -> None:
    needs(MODEL)
    for each in ("aggregated", "hyperparameters"):
        shutil.copy(FOLDER / f"pareto_{each}.csv", tmp_path)
    path = tmp_path / f"pareto_{name}.csv"
    path.chmod(0o644)
    change(pd.read_csv(path)).to_csv(path, index=False)
    message = refused(capsys, tmp_path / "out", "robyn", MODEL, "--ensemble", tmp_path)
    assert words in message


def test_an_ensemble_without_files_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = robyn_model(tmp_path)
    message = refused(capsys, tmp_path / "out", "robyn", path, "--ensemble", tmp_path)
    assert "pareto_hyperparameters.csv" in message
