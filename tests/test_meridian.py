"""Google Meridian's own posterior through our parameters (the data are not part of the project).

A national model, fitted by google-meridian 2.1.0 on its sample data and exported with what its optimiser
said. The response is a Hill curve after a normalised geometric adstock, by channel and draw.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_model, make_scenario

import optimizer as opt
from optimizer.curves import FAMILIES

PEER = Path(__file__).parents[2] / "shared" / "data" / "peers" / "meridian"
pytestmark = pytest.mark.skipif(not PEER.exists(), reason="Meridian's export is not here")

# Meridian's carry-over in this fit: the period of spending and eight more.
LENGTH = 9
# The plans of the peer's optimiser are rounded to this much money, and their media with them.
ROUNDED = 1e5


class Peer:
    """What the export holds, and Meridian's formulas in plain NumPy."""

    def __init__(self) -> None:
        import xarray as xr

        table = pd.read_csv(PEER / "input_national.csv")
        with xr.open_dataset(PEER / "idata_national_full.nc", group="posterior", engine="h5netcdf") as found:
            posterior = found.load()
        self.channels = [str(name) for name in posterior["media_channel"].values]
        # One geo: a national model. Chains one after the other.
        self.alpha, self.half, self.slope, self.beta = (
            posterior[name].transpose("chain", "draw", ..., "media_channel").values.reshape(-1, len(self.channels))
            for name in ("alpha_m", "ec_m", "slope_m", "beta_gm")
        )
        self.media = table[[f"{name}_impression" for name in self.channels]].to_numpy(dtype=float)
        self.spend = table[[f"{name}_spend" for name in self.channels]].to_numpy(dtype=float)
        self.unit = np.array([np.median(column[column > 0]) for column in self.media.T])
        self.worth = table["revenue_per_conversion"].to_numpy()
        self.size = float(table["conversions"].std(ddof=0))

    def predicted(self, times: Any = 1.0) -> np.ndarray:
        """Revenue by draw, channel and week, media everywhere ``times`` (C,) what it was."""
        scaled = self.media / self.unit * times
        weights = self.alpha[:, None] ** np.arange(LENGTH)[:, None]
        weights /= weights.sum(axis=1, keepdims=True)
        adstocked = np.zeros((len(self.alpha), *scaled.shape))
        for lag in range(LENGTH):
            adstocked[:, lag:] += weights[:, None, lag] * scaled[: len(scaled) - lag]
        power = adstocked ** self.slope[:, None]
        effect = self.beta[:, None] * power / (power + self.half[:, None] ** self.slope[:, None])
        return np.moveaxis(effect * self.size * self.worth[:, None], 1, 2)


@pytest.fixture(scope="module")
def peer() -> Peer:
    return Peer()


@pytest.fixture(scope="module")
def scenario(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> opt.Scenario:
    """The same in our parameters: impressions bought at each week's price, revenue a conversion as season."""
    weeks, lines = peer.spend.shape
    directory = tmp_path_factory.mktemp("meridian")
    by_draw = (len(peer.alpha), 1, lines)
    model = make_model(
        by_draw[0],
        ("revenue",),
        tuple(peer.channels),
        family=np.full((1, lines), FAMILIES["hill"].code),
        scale=(peer.beta * peer.size).reshape(by_draw),
        first=(peer.half * peer.unit).reshape(by_draw),
        second=peer.slope.reshape(by_draw),
        rate=peer.alpha.reshape(by_draw),
        length=np.full((1, lines), LENGTH),
        normalised=np.ones((1, lines), dtype=bool),
        baseline=np.zeros((by_draw[0], 1, 1)),
        history=np.zeros((lines, 0)),
    )
    model.save(directory / "response.nc")
    # A week without media has no price: any will do.
    price = np.where(peer.media > 0, peer.spend, 1.0) / np.where(peer.media > 0, peer.media, 1.0)
    data = make_scenario(lines, 1, periods=weeks)
    for line, name, prices in zip(data["lines"], peer.channels, price.T, strict=True):
        line |= {"name": name, "price": prices.tolist()}
    data["kpis"] = {
        "revenue": {"direction": "maximize", "unit": "revenue", "season": [float(worth) for worth in peer.worth]}
    }
    data["response"] = {"file": "response.nc"}
    return opt.Scenario.from_dict(data, directory)


def test_predictions_are_reproduced_by_draw_channel_and_week(peer: Peer, scenario: opt.Scenario) -> None:
    wanted = peer.predicted()
    draws, channels, weeks = wanted.shape
    by_channel = opt.simulate(scenario, peer.spend.T, by="line")["revenue"].drop("baseline", level="line")
    found = by_channel.to_numpy().reshape(channels, draws).T
    np.testing.assert_allclose(found, wanted.sum(axis=2), rtol=1e-12)
    by_week = opt.simulate(scenario, peer.spend.T, by="period")["revenue"].drop("baseline", level="period")
    np.testing.assert_allclose(by_week.to_numpy().reshape(weeks, draws).T, wanted.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(
        opt.simulate(scenario, peer.spend.T)["revenue"], wanted.sum(axis=(1, 2)), rtol=1e-12
    )


def test_the_peers_response_curves_are_reproduced(peer: Peer, scenario: opt.Scenario) -> None:
    curves = pd.read_csv(PEER / "response_curves_national.csv")
    times = np.sort(curves["spend_multiplier"].unique())
    plans = times[:, None, None] * peer.spend.T
    found = opt.simulate(scenario, plans, by="line", summary=True).xs("revenue", level="kpi")
    ours = {"mean": "mean", "ci_lo": "low", "ci_hi": "high"}
    assert set(curves["metric"]) == set(ours)
    for (channel, metric), rows in curves.groupby(["channel", "metric"]):
        rows = rows.sort_values("spend_multiplier")
        np.testing.assert_allclose(rows["spend"], times * peer.spend[:, peer.channels.index(channel)].sum())
        values = found.xs(channel, level="line")[ours[metric]]
        np.testing.assert_allclose(values, rows["incremental_outcome"], rtol=1e-6, err_msg=f"{channel} {metric}")


def test_what_the_peers_optimiser_says_of_its_plans_is_reproduced(peer: Peer, scenario: opt.Scenario) -> None:
    runs = json.loads((PEER / "optimizer_national.json").read_text())
    assert len(runs) > 5
    actual = peer.spend.sum(axis=0)
    for run in runs:
        assert run["channels"] == peer.channels
        for case in ("nonoptimized", "optimized"):
            spend = np.array(run[case]["spend"])
            np.testing.assert_allclose(spend / ROUNDED, np.round(spend / ROUNDED), rtol=1e-12)
            # Flighting and price stay as they were: each week's spend is scaled alike.
            plan = peer.spend.T * (spend / actual)[:, None]
            found = opt.simulate(scenario, plan, by="line", summary=True).xs("revenue", level="kpi")
            for theirs, ours in [("mean", "mean"), ("ci_lo", "low"), ("ci_hi", "high")]:
                wanted = run[case]["incremental_outcome"][theirs]
                values = found.loc[peer.channels, ours]
                np.testing.assert_allclose(values, wanted, rtol=1e-6, err_msg=f"{run['name']} {case} {theirs}")
