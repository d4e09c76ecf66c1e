"""Meridian models: the sample's own export, made-up geo models, and everything that must be refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from peer_files import HERE, PEERS, meridian_geo, needs, posterior_changed, refused

from optimizer import DataError, SpecError
from optimizer.cli import main
from optimizer.evidence import meridian
from optimizer.evidence.imported import Import
from optimizer.evidence.recompute import by_period

MODEL, DATA = PEERS / "meridian" / "idata_national_full.nc", PEERS / "meridian" / "input_national.csv"
CONFIG = HERE / "meridian.yaml"


@pytest.fixture(scope="module")
def national() -> Import:
    return meridian.read(needs(MODEL), DATA, CONFIG, currency="USD")


def test_the_samples_returns_are_recomputed(national: Import) -> None:
    against = {check.against for check in national.checks}
    assert against == {"Meridian's formula", "Meridian's own return (roi_m)"}
    assert max(check.worst for check in national.checks) < 1e-12
    assert sum(check.cells for check in national.checks) == 5 * 200 * 156 + 5 * 200
    assert national.model.kpis == ("revenue",)
    assert national.model.draws == 200
    assert str(national.model.start) == "2024-01-22"


def test_every_optimiser_run_has_the_response_meridian_says(national: Import) -> None:
    """Before and after, at its rounded spend, in every run beside the export: mean over draws, by channel."""
    data = pd.read_csv(DATA)
    season = (data["revenue_per_conversion"] / data["revenue_per_conversion"].mean()).to_numpy()
    model, compared = national.model, 0
    for run in json.loads((PEERS / "meridian" / "optimizer_national.json").read_text()):
        for side in ("nonoptimized", "optimized"):
            spends, said = run[side]["spend"], run[side]["incremental_outcome"]["mean"]
            for channel, spend, mean in zip(run["channels"], spends, said, strict=True):
                media = data[f"{channel}_impression"].to_numpy()
                ours = by_period(model, "revenue", channel, spend * media / media.sum(), season)
                assert ours.sum(axis=1).mean() == pytest.approx(mean, rel=1e-3)
                compared += 1
    assert compared == 9 * 2 * 5


def test_response_curves_are_those_meridian_drew(national: Import) -> None:
    data = pd.read_csv(DATA)
    season = (data["revenue_per_conversion"] / data["revenue_per_conversion"].mean()).to_numpy()
    curves = pd.read_csv(PEERS / "meridian" / "response_curves_national.csv")
    curves = curves[curves["metric"] == "mean"]
    for row in curves.itertuples():
        media = data[f"{row.channel}_impression"].to_numpy()
        ours = by_period(national.model, "revenue", row.channel, row.spend * media / media.sum(), season)
        assert ours.sum(axis=1).mean() == pytest.approx(row.incremental_outcome, rel=1e-3, abs=1.0)


def test_notes_say_price_worth_and_what_is_left_out(national: Import) -> None:
    text = "\n".join(national.model.notes)
    for words in ("mean price of the fitted periods", "Channel2_impression", "Organic_channel0", "no forecast"):
        assert words in text
    assert "The price moved" not in text


def test_the_command_writes_a_scenario_that_plans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    options = ["--data", str(DATA), "--config", str(CONFIG), "--currency", "USD", "--out", str(out)]
    assert main(["import", "meridian", str(needs(MODEL)), *options]) == 0
    assert "Meridian's own return" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == [
        "import.json",
        "import.md",
        "response.nc",
        "scenario.yaml",
    ]
    assert main(["plan", str(out / "scenario.yaml"), "--out", str(out / "plan")]) == 0
    plan = json.loads((out / "plan" / "plan.json").read_text())
    assert plan["certificate"]["guarantee"] == "global"
    assert main(["import", "meridian", str(MODEL), *options]) == 2
    assert "add --force" in capsys.readouterr().err


@pytest.mark.parametrize("adstock", ["binomial", "geometric"])
@pytest.mark.parametrize("before", [False, True])
def test_geo_models(tmp_path: Path, adstock: str, before: bool) -> None:
    files = meridian_geo(tmp_path, adstock=adstock, before=before)
    found = meridian.read(*files, currency="EUR", kpi="sales")
    assert found.model.kpis == ("sales",)
    assert found.model.lines[:3] == ("tv in north", "tv in south", "tv in west")
    assert found.attributes["web in west"] == {"channel": "web", "geo": "west"}
    assert max(check.worst for check in found.checks) < 1e-9
    assert found.summary()["lines"]["tv in north"]["observed"][0] == 0.0
    assert any("The price moved" in note for note in found.model.notes)


def test_the_order_of_geos_in_the_file_changes_nothing(tmp_path: Path) -> None:
    files = meridian_geo(tmp_path)
    other = posterior_changed(files[0], tmp_path / "other.nc", lambda posterior: posterior.isel(geo=[2, 0, 1]))
    one = meridian.read(*files, currency="EUR").model
    two = meridian.read(other, *files[1:], currency="EUR").model
    assert one.lines == two.lines
    assert np.array_equal(one.scale, two.scale)


def test_a_line_that_was_never_on_has_its_channels_price(tmp_path: Path) -> None:
    model, data, config = meridian_geo(tmp_path)
    table = pd.read_csv(data)
    table.loc[table["geo"] == "west", ["tv_seen", "tv_spend"]] = 0.0
    table.to_csv(data, index=False)
    model = posterior_changed(model, tmp_path / "m.nc", lambda posterior: posterior.drop_vars("roi_m"))
    found = meridian.read(model, data, config, currency="EUR")
    text = "\n".join(found.model.notes)
    assert "Never on" in text
    assert "tv in west" in text
    assert "only its formula was recomputed" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.assign(ec_m=p["ec_m"] * 1.01), "Meridian's own return (roi_m) is"),
        (lambda p: p.assign_coords(media_channel=["web", "tv"]), "recomputed from the parameters"),
        (lambda p: p.assign_coords(media_channel=["tv", "radio"]), "no channel 'web'"),
        (lambda p: p.assign_coords(geo=["north", "south", "east"]), "'east' is in the model or the data only"),
        (lambda p: p.drop_vars("ec_m"), "posterior.ec_m: the variable is missing"),
        (lambda p: p.assign(ec_m=p["ec_m"].mean("draw")), "is by chain, media_channel"),
        (lambda p: p.assign(alpha_m=p["alpha_m"].where(p["draw"] != 1)), "NaN or infinite"),
        (lambda p: p.assign(beta_gm=-p["beta_gm"]), "more media would do harm"),
        (lambda p: p.assign(alpha_m=p["alpha_m"] * 0 + 1), "not from 0 to below 1"),
        (lambda p: p.assign(slope_m=p["slope_m"].astype(str)), "does not hold numbers"),
        (lambda p: p.drop_vars("media_channel"), "the names are missing"),
        (lambda p: p.isel(time=slice(3, None)), "the model was fitted to 27 periods"),
    ],
)
def test_changed_models_are_refused(tmp_path, capsys, change, words) -> None:
    model, data, config = meridian_geo(tmp_path)
    bad = posterior_changed(model, tmp_path / "bad.nc", change)
    message = refused(capsys, tmp_path / "out", "meridian", bad, "--data", data, "--config", config)
    assert words in message
    assert "bad.nc" in message or "input.csv" in message or "columns.yaml" in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.assign(tv_spend=t["tv_spend"] * 2), "Meridian's own return"),
        (lambda t: t.assign(orders=t["orders"] * 1.01), "Meridian's own return"),
        (lambda t: t.rename(columns={"tv_seen": "web_seen", "web_seen": "tv_seen"}), "Meridian's own return"),
        (lambda t: t.drop(columns="tv_seen"), "has no column 'tv_seen'"),
        (lambda t: t.iloc[:-3], "the data have 29"),
        (lambda t: t.drop(index=5), "'west' has no row on 2025-01-13"),
        (lambda t: pd.concat([t, t.iloc[[4]]]), "2025-01-13 stands twice for 'south'"),
        (lambda t: t.assign(tv_seen=t["tv_seen"].where(t.index != 7)), "the cell is blank"),
        (lambda t: t.assign(tv_seen=-t["tv_seen"]), "is too low"),
        (lambda t: t.assign(population=t["population"] + t.index), "the population changes"),
        (lambda t: t.assign(tv_spend=0.0), "media and no spend"),
        (lambda t: t.assign(tv_seen=0.0), "no media at all"),
        (lambda t: t.assign(orders="na"), "the cell is blank"),
        (lambda t: t.assign(orders="1,5"), "is not a number"),
    ],
)
def test_changed_data_are_refused(tmp_path, capsys, change, words) -> None:
    model, data, config = meridian_geo(tmp_path)
    change(pd.read_csv(data)).to_csv(data, index=False)
    message = refused(capsys, tmp_path / "out", "meridian", model, "--data", data, "--config", config)
    assert words in message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("max_lag: 3", "max_lag: 5", "Meridian's own return"),
        ("adstock: binomial", "adstock: geometric", "Meridian's own return"),
        ("adstock: binomial", "adstock: weibull", "columns.yaml:6: adstock"),
        ("population: population\n", "", "a geo model needs its populations"),
        ("geo: geo\npopulation: population\n", "", "the model has 3 geos"),
        ("kpi: orders\n", "", "kpi: is missing"),
        ("  web: {media: web_seen, spend: web_spend}\n", "", "says nothing about channel 'web'"),
        ("kpi: orders\n", "kpi: &a [*a]\n", "anchors and aliases"),
        ("kpi: orders\n", "kpi: !!python/object:os.system x\n", "the tag"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, capsys, old, new, words) -> None:
    model, data, config = meridian_geo(tmp_path)
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    message = refused(capsys, tmp_path / "out", "meridian", model, "--data", data, "--config", config)
    assert words in message


def test_broken_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data, config = meridian_geo(tmp_path)
    whole = model.read_bytes()
    (tmp_path / "text.nc").write_text("not netCDF")
    for name, content in (("cut.nc", whole[: len(whole) // 2]), ("empty.nc", b"")):
        (tmp_path / name).write_bytes(content)
    for name in ("cut.nc", "empty.nc", "text.nc", "missing.nc", "."):
        message = refused(
            capsys, tmp_path / "out", "meridian", tmp_path / name, "--data", data, "--config", config
        )
        assert str(tmp_path) in message
    for name in (".", "missing.csv"):
        refused(capsys, tmp_path / "out", "meridian", model, "--data", tmp_path / name, "--config", config)
    semicolons = tmp_path / "semicolons.csv"
    semicolons.write_text(data.read_text().replace(",", ";"))
    message = refused(capsys, tmp_path / "out", "meridian", model, "--data", semicolons, "--config", config)
    assert "separated by semicolons" in message
    bom = tmp_path / "bom.csv"
    bom.write_bytes(b"\xef\xbb\xbf" + data.read_bytes())
    assert meridian.read(model, bom, config, currency="EUR").model.draws == 6


def test_returns_of_a_part_of_the_periods_can_be_left_out(tmp_path: Path) -> None:
    model, data, config = meridian_geo(tmp_path)
    bad = posterior_changed(model, tmp_path / "part.nc", lambda p: p.assign(roi_m=p["roi_m"] * 1.3))
    with pytest.raises(DataError, match="roi_m"):
        meridian.read(bad, data, config, currency="EUR")
    config.write_text(config.read_text() + "check_returns: false\n")
    found = meridian.read(bad, data, config, currency="EUR")
    assert any("only its formula was recomputed" in note for note in found.model.notes)


def test_options_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data, _ = meridian_geo(tmp_path)
    assert "needs --data" in refused(capsys, tmp_path / "out", "meridian", model)
    assert "needs --config" in refused(capsys, tmp_path / "out", "meridian", model, "--data", data)
    assert "belongs to points" in refused(capsys, tmp_path / "out", "meridian", model, "--period", "week")


def test_errors_in_python_are_the_same(tmp_path: Path) -> None:
    model, data, config = meridian_geo(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        meridian.read(tmp_path / "no.nc", data, config, currency="EUR")
    config.write_text("kpi: [")
    with pytest.raises(SpecError):
        meridian.read(model, data, config, currency="EUR")
