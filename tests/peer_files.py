"""Small models as their libraries save them, made up for the importers' tests, contributions worked out here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from optimizer.cli import main

PEERS = Path(__file__).parents[2] / "shared" / "data" / "peers"
HERE = Path(__file__).parent / "peers"
CHAINS, DRAWS = 2, 3


def needs(path: Path) -> Path:
    if not path.exists():
        pytest.skip("the peers' exports are not here")
    return path


def refused(capsys: pytest.CaptureFixture[str], out: Path, *arguments: object) -> str:
    """Run an import that must fail with one message and leave nothing behind; return the message."""
    assert main(["import", *map(str, arguments), "--currency", "EUR", "--out", str(out)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("hint: ") == 1
    assert "Traceback" not in said.err
    assert not out.exists()
    return said.err


def write_groups(path: Path, groups: Mapping[str, xr.Dataset], attributes: Mapping[str, str] = {}) -> Path:
    xr.Dataset(attrs=dict(attributes)).to_netcdf(path, engine="h5netcdf")
    for name, dataset in groups.items():
        dataset.to_netcdf(path, engine="h5netcdf", group=name, mode="a")
    return path


def changed(source: Path, target: Path, edit: Callable[[dict[str, xr.Dataset], dict[str, str]], None]) -> Path:
    """Copy inference data with its groups and attributes edited."""
    import h5py

    with h5py.File(source) as file:
        names = list(file)
    groups = {name: xr.load_dataset(source, engine="h5netcdf", group=name) for name in names}
    attributes = {
        name: value
        for name, value in xr.load_dataset(source, engine="h5netcdf").attrs.items()
        if isinstance(value, str)
    }
    edit(groups, attributes)
    return write_groups(target, groups, attributes)


def posterior_changed(source: Path, target: Path, edit: Callable[[xr.Dataset], xr.Dataset]) -> Path:
    return changed(source, target, lambda groups, _: groups.update(posterior=edit(groups["posterior"])))


def plain_adstock(media: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One draw's carry-over, term by term."""
    found = np.zeros(len(media))
    for t in range(len(media)):
        for lag in range(min(len(weights), t + 1)):
            found[t] += weights[lag] * media[t - lag]
    return found


def meridian_geo(
    folder: Path, *, adstock: str = "binomial", before: bool = False, max_lag: int = 3
) -> tuple[Path, Path, Path]:
    """Write a geo model of two channels in three geos, its data and its config."""
    rng = np.random.default_rng(3)
    geos, channels, periods = ["north", "south", "west"], ["tv", "web"], 30
    population = np.array([1e5, 3e5, 5e4])
    dates = pd.date_range("2025-01-06", periods=periods, freq="W-MON")
    media = rng.gamma(2.0, 100.0, (3, periods, 2)) * population[:, None, None] / 1e5
    media[rng.random(media.shape) < 0.2] = 0.0
    spend = media * np.array([0.02, 0.5]) * rng.uniform(0.8, 1.2, media.shape)
    kpi = rng.gamma(5.0, 20.0, (3, periods)) * population[:, None] / 1e5
    worth = rng.uniform(3.0, 4.0, (3, periods))
    shape = (CHAINS, DRAWS, 2)
    alpha, ec = rng.uniform(0.1, 0.8, shape), rng.uniform(0.5, 2.0, shape)
    slope, beta = rng.uniform(0.7, 1.6, shape), rng.uniform(0.1, 1.0, (CHAINS, DRAWS, 3, 2))
    each = media / population[:, None, None]
    median = np.array([np.median(each[:, :, m][each[:, :, m] > 0]) for m in range(2)])
    spread = np.std(kpi / population[:, None])
    returns = np.zeros(shape)
    for c, d, g, m in np.ndindex(CHAINS, DRAWS, 3, 2):
        lag, a = np.arange(max_lag + 1), alpha[c, d, m]
        weights = (1 - lag / (max_lag + 1)) ** (1 / a - 1) if adstock == "binomial" else a**lag
        weights = weights / weights.sum()

        def hill(x: np.ndarray, half: float = ec[c, d, m], power: float = slope[c, d, m]) -> np.ndarray:
            return x**power / (x**power + half**power)

        z = each[g, :, m] / median[m]
        effect = plain_adstock(hill(z), weights) if before else hill(plain_adstock(z, weights))
        effect = effect * beta[c, d, g, m] * spread * population[g] * worth[g]
        returns[c, d, m] += effect.sum() / spend[:, :, m].sum()
    names = {"media_channel": channels, "geo": geos, "time": [str(day.date()) for day in dates]}
    by_channel, sample = ("chain", "draw", "media_channel"), {"chain": range(CHAINS), "draw": range(DRAWS)}
    posterior = xr.Dataset(
        {
            "alpha_m": (by_channel, alpha),
            "ec_m": (by_channel, ec),
            "slope_m": (by_channel, slope),
            "roi_m": (by_channel, returns),
            "beta_gm": (("chain", "draw", "geo", "media_channel"), beta),
        },
        coords={**names, **sample},
    )
    rows = [
        {
            "time": day.date().isoformat(),
            "geo": geo,
            "population": population[g],
            "orders": kpi[g, t],
            "worth": worth[g, t],
            **{f"{name}_seen": media[g, t, m] for m, name in enumerate(channels)},
            **{f"{name}_spend": spend[g, t, m] for m, name in enumerate(channels)},
        }
        for t, day in enumerate(dates)
        for g, geo in enumerate(geos)
    ]
    pd.DataFrame(rows).to_csv(folder / "input.csv", index=False)
    lines = "".join(f"  {name}: {{media: {name}_seen, spend: {name}_spend}}\n" for name in channels)
    (folder / "columns.yaml").write_text(
        "geo: geo\npopulation: population\nkpi: orders\nrevenue_per_kpi: worth\n"
        f"max_lag: {max_lag}\nadstock: {adstock}\nhill_before_adstock: {str(before).lower()}\nchannels:\n{lines}"
    )
    model = write_groups(folder / "model.nc", {"posterior": posterior})
    return model, folder / "input.csv", folder / "columns.yaml"


# The library's saturations, one draw at a time: parameters and the effect of scaled, adstocked spend.
SATURATIONS: dict[str, tuple[dict[str, tuple[float, float]], Callable[..., np.ndarray]]] = {
    "logistic": (
        {"lam": (0.5, 3), "beta": (0.1, 1)},
        lambda a, lam, beta: beta * (1 - np.exp(-lam * a)) / (1 + np.exp(-lam * a)),
    ),
    "inverse_scaled_logistic": (
        {"lam": (0.2, 1), "beta": (0.1, 1)},
        lambda a, lam, beta: beta * (1 - 3 ** (-a / lam)) / (1 + 3 ** (-a / lam)),
    ),
    "tanh": ({"b": (0.1, 1), "c": (0.5, 2)}, lambda a, b, c: b * np.tanh(a / (b * c))),
    "michaelis_menten": ({"alpha": (0.1, 1), "lam": (0.2, 1)}, lambda a, alpha, lam: alpha * a / (lam + a)),
    "hill": (
        {"slope": (0.7, 2), "kappa": (0.3, 1), "beta": (0.1, 1)},
        lambda a, slope, kappa, beta: beta * (1 - kappa**slope / (kappa**slope + a**slope)),
    ),
    "root": ({"alpha": (0.3, 0.9), "beta": (0.1, 1)}, lambda a, alpha, beta: beta * a**alpha),
    "no_saturation": ({"beta": (0.1, 1)}, lambda a, beta: beta * a),
}


def _weibull_pdf(n: int, lam: float, k: float) -> np.ndarray:
    t = np.arange(1, n + 1)
    density = k / lam * (t / lam) ** (k - 1) * np.exp(-((t / lam) ** k))
    return (density - density.min()) / (density.max() - density.min())


ADSTOCKS: dict[str, tuple[dict[str, tuple[float, float]], Callable[..., np.ndarray]]] = {
    "no_adstock": ({}, lambda n: np.ones(1)),
    "geometric": ({"alpha": (0.1, 0.8)}, lambda n, alpha: alpha ** np.arange(n)),
    "delayed": (
        {"alpha": (0.1, 0.8), "theta": (0, 3)},
        lambda n, alpha, theta: alpha ** ((np.arange(n) - theta) ** 2),
    ),
    "weibull_pdf": ({"lam": (0.8, 3), "k": (0.5, 2)}, _weibull_pdf),
    "weibull_cdf": (
        {"lam": (0.8, 3), "k": (0.5, 2)},
        lambda n, lam, k: np.cumprod([1.0, *np.exp(-((np.arange(1, n + 1) / lam) ** k))]),
    ),
}


def pymc_model(
    path: Path,
    *,
    saturation: str = "logistic",
    adstock: str = "geometric",
    first: bool = True,
    normalize: bool = True,
    geos: bool = False,
    stored: bool = True,
) -> Path:
    """Write a model of two channels, by geo or not, the way the library saves one."""
    rng = np.random.default_rng(5)
    periods, l_max, channels = 25, 4, ["tv", "web"]
    dims = ["geo"] if geos else []
    names: dict[str, Any] = {"geo": ["north", "south"]} if geos else {}
    names |= {"channel": channels}
    sizes = tuple(len(values) for values in names.values())
    spend = rng.gamma(2.0, 50.0, (periods, *sizes))
    spend[rng.random(spend.shape) < 0.2] = 0.0
    target = rng.gamma(5.0, 100.0, (periods, *sizes[:-1]))
    scales = spend.max(axis=0), target.max(axis=0)
    chosen, carry = SATURATIONS[saturation], ADSTOCKS[adstock]
    drawn = {f"saturation_{name}": rng.uniform(*ends, (CHAINS, DRAWS, *sizes)) for name, ends in chosen[0].items()}
    # One of the adstock's parameters is shared by all geos.
    drawn |= {f"adstock_{name}": rng.uniform(*ends, (CHAINS, DRAWS, sizes[-1])) for name, ends in carry[0].items()}
    found = np.zeros((CHAINS, DRAWS, periods, *sizes))
    for place in np.ndindex(CHAINS, DRAWS, *sizes):
        sample, cell = place[:2], place[2:]
        weights = carry[1](l_max, **{name: drawn[f"adstock_{name}"][(*sample, cell[-1])] for name in carry[0]})
        weights = weights / weights.sum() if normalize else weights
        shape = {name: drawn[f"saturation_{name}"][place] for name in chosen[0]}
        z = spend[(slice(None), *cell)] / scales[0][cell]
        effect = (
            chosen[1](plain_adstock(z, weights), **shape)
            if first
            else plain_adstock(chosen[1](z, **shape), weights)
        )
        found[(*sample, slice(None), *cell)] = effect
    sample_dims = ("chain", "draw")
    by = {
        name: (*sample_dims, *(dims if values.ndim > 3 and geos else []), "channel")
        for name, values in drawn.items()
    }
    dates = {"date": pd.date_range("2025-01-06", periods=periods, freq="W-MON")}
    posterior = xr.Dataset({name: (by[name], values) for name, values in drawn.items()}, coords={**names})
    posterior = posterior.assign_coords(chain=range(CHAINS), draw=range(DRAWS), **dates)
    if stored:
        posterior["channel_contribution"] = ((*sample_dims, "date", *dims, "channel"), found)
    constant = xr.Dataset(
        {
            "channel_data": (("date", *dims, "channel"), spend),
            "target_data": (("date", *dims), target),
            "channel_scale": ((*dims, "channel"), scales[0]),
            "target_scale": (tuple(dims), scales[1]),
        },
        coords={**names, **dates},
    )
    attributes = {
        "dims": json.dumps(dims),
        "channel_columns": json.dumps(channels),
        "target_column": "orders",
        "adstock": json.dumps(
            {"lookup_name": adstock, "prefix": "adstock", "l_max": l_max, "normalize": normalize, "mode": "After"}
        ),
        "saturation": json.dumps({"lookup_name": saturation, "prefix": "saturation"}),
        "adstock_first": json.dumps(first),
        "scaling": json.dumps({"target": {"method": "max", "dims": []}, "channel": {"method": "max", "dims": []}}),
        "time_varying_media": "false",
        "cost_per_unit": "null",
    }
    return write_groups(path, {"posterior": posterior, "constant_data": constant}, attributes)


def _quantile_scale(rows: int, share: float) -> float:
    """R's quantile of 1 .. rows (type 7), rounded."""
    return float(round(float(np.quantile(np.arange(1, rows + 1), share))))


def robyn_model(
    folder: Path, *, adstock: str = "geometric", version: str = "v3.12.1", exposure: bool = False
) -> Path:
    """Write a Robyn export of two channels; with ``exposure`` one is modelled on impressions."""
    rng = np.random.default_rng(8)
    rows, start, end = 40, 5, 36
    media = {"tv": rng.gamma(2.0, 500.0, rows), "web": rng.gamma(2.0, 100.0, rows)}
    spend = dict(media)
    seen = {"tv": "tv", "web": "web_seen" if exposure else "web"}
    if exposure:
        media["web_seen"] = media.pop("web") * 30.0 * rng.uniform(0.9, 1.1, rows)
    hyper: dict[str, list[float]] = {}
    summary: list[dict[str, Any]] = [
        {"variable": "(Intercept)", "coef": 50_000, "decompAgg": 50_000.0 * (end - start + 1)}
    ]
    for name, column in seen.items():
        alpha, gamma = rng.uniform(0.6, 2.0), rng.uniform(0.3, 1.0)
        hyper |= {f"{column}_alphas": [alpha], f"{column}_gammas": [gamma]}
        if adstock == "geometric":
            theta = rng.uniform(0.1, 0.5)
            hyper[f"{column}_thetas"] = [theta]
            weights = theta ** np.arange(rows)
        else:
            shape, share = rng.uniform(0.5, 3.0), rng.uniform(0.02, 0.1)
            hyper |= {f"{column}_shapes": [shape], f"{column}_scales": [share]}
            lam = _quantile_scale(rows, share)
            if adstock == "weibull_pdf":
                weights = _weibull_pdf(rows, lam, shape)
            else:
                weights = np.cumprod([1.0, *np.exp(-((np.arange(1, rows) / lam) ** shape))])
        carried = plain_adstock(media[column], weights)[start - 1 : end]
        half = gamma * carried.max() + (0.0 if version >= "v3.12" else (1 - gamma) * carried.min())
        coefficient = float(rng.uniform(1e4, 1e5))
        brought = coefficient * carried**alpha / (carried**alpha + half**alpha)
        summary.append(
            {"variable": column, "coef": coefficient, "decompAgg": brought.sum(), "mean_spend": spend[name].mean()}
        )
    total = sum(part["decompAgg"] for part in summary)
    dates = pd.date_range("2025-01-06", periods=rows, freq="W-MON")
    raw = [
        {
            "DATE": str(day.date()),
            "revenue": total / (end - start + 1),
            "events": "na",
            **{name: float(values[row]) for name, values in {**spend, **media}.items()},
        }
        for row, day in enumerate(dates)
    ]
    document = {
        "InputCollect": {
            "version": [f"Robyn (dev) {version} [R-4.2.2]"],
            "adstock": [adstock],
            "date_var": ["DATE"],
            "dep_var": ["revenue"],
            "dep_var_type": ["revenue"],
            "paid_media_spends": list(spend),
            "paid_media_vars": list(seen.values()),
            "paid_media_total": [sum(values[start - 1 : end].sum() for values in spend.values())],
            "organic_vars": [],
            "rollingWindowStartWhich": [start],
            "rollingWindowEndWhich": [end],
        },
        "ModelsCollect": {"conv_msg": ["NRMSE NOT converged"]},
        "ExportedModel": {"select_model": ["1_2_3"], "summary": summary, "hyper_values": hyper},
        "Extras": {"raw_data": raw},
    }
    path = folder / "RobynModel-1_2_3.json"
    path.write_text(json.dumps(document))
    return path
