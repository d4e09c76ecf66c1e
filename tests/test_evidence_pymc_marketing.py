"""PyMC-Marketing models: the export, every adstock and saturation made up, and everything that must be refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from peer_files import ADSTOCKS, PEERS, SATURATIONS, changed, needs, posterior_changed, pymc_model, refused

from optimizer.cli import main
from optimizer.evidence import pymc_marketing
from optimizer.evidence.imported import Import
from optimizer.evidence.recompute import by_period

MODEL = PEERS / "pymc_marketing" / "idata_logistic_full.nc"
RUNS = PEERS / "pymc_marketing" / "optimizer_logistic_p8.json"


@pytest.fixture(scope="module")
def export() -> Import:
    return pymc_marketing.read(needs(MODEL), currency="USD", kpi="sales")


def objective(found: Import, allocation: list[float], periods: int, l_max: int) -> float:
    """PyMC-Marketing's: spend repeated, then the carry-over, summed, mean over draws."""
    total = 0.0
    for line, spend in zip(found.model.lines, allocation, strict=True):
        series = np.concatenate([np.full(periods, spend), np.zeros(l_max)])
        total += by_period(found.model, "sales", line, series).sum(axis=1).mean()
    return float(total)


def test_stored_contributions_are_recomputed(export: Import) -> None:
    assert len({check.against for check in export.checks}) == 3
    assert max(check.worst for check in export.checks) < 1e-9
    assert export.model.draws == 600
    assert export.model.lines == ("x1", "x2")
    assert str(export.model.start) == "2021-09-06"


def test_every_optimiser_run_has_the_objective_the_library_says(export: Import) -> None:
    said = json.loads(RUNS.read_text())
    for run in said["runs"]:
        ours = objective(export, run["allocation"], said["num_periods"], said["l_max"])
        assert ours == pytest.approx(run["objective"], rel=1e-9)
    ours = objective(export, said["current"], said["num_periods"], said["l_max"])
    assert ours == pytest.approx(said["objective_at_current"], rel=1e-9)


def test_the_command_writes_a_scenario_that_plans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert (
        main(
            [
                "import",
                "pymc-marketing",
                str(pymc_model(tmp_path / "m.nc")),
                "--currency",
                "EUR",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    assert "the stored contribution" in capsys.readouterr().out
    assert main(["plan", str(out / "scenario.yaml"), "--out", str(out / "plan")]) == 0
    summary = json.loads((out / "import.json").read_text())
    assert summary["read"]["saturation"] == "logistic"
    assert len(summary["checks"]) == 4


@pytest.mark.parametrize("saturation", SATURATIONS)
@pytest.mark.parametrize("first", [True, False])
def test_saturations(tmp_path: Path, saturation: str, first: bool) -> None:
    found = pymc_marketing.read(pymc_model(tmp_path / "m.nc", saturation=saturation, first=first), currency="EUR")
    assert max(check.worst for check in found.checks) < 1e-9
    assert len(found.checks) == 4


@pytest.mark.parametrize("adstock", ADSTOCKS)
@pytest.mark.parametrize("normalize", [True, False])
def test_adstocks(tmp_path: Path, adstock: str, normalize: bool) -> None:
    found = pymc_marketing.read(
        pymc_model(tmp_path / "m.nc", adstock=adstock, normalize=normalize), currency="EUR"
    )
    assert max(check.worst for check in found.checks) < 1e-9


def test_geos_become_lines(tmp_path: Path) -> None:
    found = pymc_marketing.read(pymc_model(tmp_path / "m.nc", geos=True), currency="EUR")
    assert found.model.lines == ("tv in north", "web in north", "tv in south", "web in south")
    assert found.attributes["web in south"] == {"geo": "south", "channel": "web"}
    assert max(check.worst for check in found.checks) < 1e-9
    assert found.model.kpis == ("orders",)


def test_without_stored_contributions_it_says_so(tmp_path: Path) -> None:
    found = pymc_marketing.read(pymc_model(tmp_path / "m.nc", stored=False), currency="EUR")
    assert any("no contributions of its own" in note for note in found.model.notes)


def swap(dataset: xr.Dataset) -> xr.Dataset:
    return dataset.assign_coords(channel=["web", "tv"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.assign(saturation_lam=p["saturation_lam"] * 1.01), "the stored contribution is"),
        (lambda p: p.assign(adstock_alpha=p["adstock_alpha"] * 1.05), "'tv', draw "),
        (swap, "the channels are web, tv in 'posterior' and tv, web in 'attributes'"),
        (lambda p: p.isel(channel=[1, 0]), "the channels are web, tv in 'posterior'"),
        (lambda p: p.drop_vars("saturation_beta"), "posterior.saturation_beta: the variable is missing"),
        (lambda p: p.assign(saturation_beta=p["saturation_beta"].isel(draw=0)), "is by chain, channel"),
        (
            lambda p: p.assign(saturation_lam=p["saturation_lam"].where(p["draw"] != 1)),
            "first chain 0, draw 1, channel 0",
        ),
        (lambda p: p.assign(saturation_beta=-p["saturation_beta"]), "more spend would do harm"),
        (lambda p: p.assign(adstock_alpha=p["adstock_alpha"] + 1), "rate is not from 0 to below 1"),
        (lambda p: p.assign(saturation_lam=p["saturation_lam"] * np.inf), "NaN or infinite"),
    ],
)
def test_changed_posteriors_are_refused(tmp_path, capsys, change, words) -> None:
    bad = posterior_changed(pymc_model(tmp_path / "m.nc"), tmp_path / "bad.nc", change)
    message = refused(capsys, tmp_path / "out", "pymc-marketing", bad)
    assert words in message
    assert "bad.nc" in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.assign(channel_scale=c["channel_scale"] * 2), "the stored contribution is"),
        (lambda c: c.assign(channel_data=c["channel_data"] * 2), "the stored contribution is"),
        (lambda c: c.assign(channel_data=-c["channel_data"]), "negative spend"),
        (lambda c: c.assign(target_scale=c["target_scale"] * 2), "the target's scale is"),
        (swap, "the channels are tv, web in 'posterior' and web, tv in 'constant_data'"),
        (lambda c: c.assign(channel_scale=c["channel_scale"] * 0), "constant_data.channel_scale: a scale of 0"),
        (lambda c: c.drop_vars("channel_scale"), "constant_data.channel_scale: the variable is missing"),
        (lambda c: c.isel(date=[0, 1, 2, 4, *range(5, 25)]), "'date' differs between"),
        (lambda c: c.assign_coords(date=range(25)), "'date' differs between"),
    ],
)
def test_changed_data_are_refused(tmp_path, capsys, change, words) -> None:
    source = pymc_model(tmp_path / "m.nc")
    bad = changed(
        source, tmp_path / "bad.nc", lambda groups, _: groups.update(constant_data=change(groups["constant_data"]))
    )
    message = refused(capsys, tmp_path / "out", "pymc-marketing", bad)
    assert words in message


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("adstock", "[" * 100_000, "the attribute cannot be read"),
        ("adstock", '{"lookup_name": "binomial"}', "the adstock 'binomial' has no counterpart here"),
        ("adstock", '{"lookup_name": "geometric", "l_max": "8"}', "l_max is '8'"),
        ("adstock", '{"lookup_name": "geometric", "l_max": 4, "mode": "Before"}', "the mode 'Before'"),
        ("adstock", '{"lookup_name": "geometric", "l_max": 3, "normalize": true}', "the stored contribution is"),
        ("adstock", '{"lookup_name": "geometric", "l_max": 4, "normalize": false}', "the stored contribution is"),
        ("saturation", '{"lookup_name": "hill_sigmoid"}', "the saturation 'hill_sigmoid' has no counterpart here"),
        ("saturation", '"logistic"', "the attribute cannot be read"),
        ("time_varying_media", "true", "change over time"),
        ("cost_per_unit", "{}", "not in money"),
        ("channel_columns", '["web", "tv"]', "in 'attributes'"),
        ("adstock_first", "false", "the stored contribution is"),
    ],
)
def test_changed_specifications_are_refused(tmp_path, capsys, name, value, words) -> None:
    source = pymc_model(tmp_path / "m.nc")
    bad = changed(source, tmp_path / "bad.nc", lambda _, attributes: attributes.update({name: value}))
    assert words in refused(capsys, tmp_path / "out", "pymc-marketing", bad)


def test_missing_parts_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = pymc_model(tmp_path / "m.nc")
    bad = changed(source, tmp_path / "a.nc", lambda _, attributes: attributes.pop("saturation"))
    assert "attributes.saturation: the attribute is missing" in refused(
        capsys, tmp_path / "o", "pymc-marketing", bad
    )
    bad = changed(source, tmp_path / "b.nc", lambda groups, _: groups.pop("constant_data"))
    assert "no group 'constant_data'" in refused(capsys, tmp_path / "o", "pymc-marketing", bad)
    whole = source.read_bytes()
    for size in (len(whole) // 3, len(whole) - 2000):
        cut = tmp_path / "cut.nc"
        cut.write_bytes(whole[:size])
        assert "cut.nc" in refused(capsys, tmp_path / "o", "pymc-marketing", cut)


def test_spend_of_the_fit_must_be_that_of_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = pymc_model(tmp_path / "m.nc")

    def edit(groups: dict[str, xr.Dataset], _: dict[str, str]) -> None:
        spend = groups["constant_data"]["channel_data"].values
        groups["fit_data"] = xr.Dataset({"tv": ("row", spend[:, 1]), "web": ("row", spend[:, 0])})

    message = refused(capsys, tmp_path / "o", "pymc-marketing", changed(source, tmp_path / "bad.nc", edit))
    assert "the spend of 'tv' is not that in 'fit_data'" in message


def test_a_posterior_of_another_shape_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both contributions and data cut, so that only dates tell."""

    def edit(groups: dict[str, xr.Dataset], _: dict[str, str]) -> None:
        for name in ("posterior", "constant_data"):
            groups[name] = groups[name].isel(date=[t for t in range(25) if t != 4])

    bad = changed(pymc_model(tmp_path / "m.nc"), tmp_path / "bad.nc", edit)
    refused(capsys, tmp_path / "o", "pymc-marketing", bad)
