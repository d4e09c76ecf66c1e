"""What PyMC-Marketing plans for a world: ``PYTHON peer_pymc_marketing.py FOLDER``, where PYTHON has it.

Settings are those of its own example of an MMM: geometric adstock of 8 weeks, logistic saturation, priors of
effects by shares of spend, two yearly waves and a trend. It reads ``task.json`` and ``history.csv`` and writes
``pymc-marketing.json``. Nothing of the product is imported.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
from pymc_extras.prior import Prior
from pymc_marketing.mmm import GeometricAdstock, LogisticSaturation
from pymc_marketing.mmm.multidimensional import MMM, MultiDimensionalBudgetOptimizerWrapper

CHAINS, TUNED, DRAWN = 2, 500, 500
WATCHED = ("adstock_alpha", "saturation_lam", "saturation_beta", "intercept_contribution", "y_sigma")


def processor() -> float:
    """Processor seconds so far, those of compilers that it started included."""
    return sum(os.times()[:4])


def main(folder: Path) -> None:
    """Fit the world of a folder, let the package's optimiser split the budget, and write the plan."""
    began = processor()
    task = json.loads((folder / "task.json").read_text())
    lines, periods = list(task["today"]), task["periods"]
    history = pd.read_csv(folder / "history.csv", parse_dates=["week"])
    history["trend"] = np.arange(len(history), dtype=float)
    spend = history[lines].sum()
    prior = {
        "intercept": Prior("Normal", mu=0.5, sigma=0.2),
        "saturation_beta": Prior(
            "HalfNormal", sigma=(len(lines) * spend / spend.sum()).to_numpy(), dims="channel"
        ),
        "gamma_control": Prior("Normal", mu=0, sigma=0.05, dims="control"),
        "gamma_fourier": Prior("Laplace", mu=0, b=0.2, dims="fourier_mode"),
        "likelihood": Prior("Normal", sigma=Prior("HalfNormal", sigma=6), dims="date"),
    }
    model = MMM(
        date_column="week",
        target_column="y",
        channel_columns=lines,
        control_columns=["trend"],
        yearly_seasonality=2,
        adstock=GeometricAdstock(l_max=8),
        saturation=LogisticSaturation(),
        model_config=prior,
    )
    inputs = history[["week", *lines, "trend"]]
    model.build_model(inputs, history["y"])
    model.add_original_scale_contribution_variable(["channel_contribution"])
    found = model.fit(
        inputs,
        history["y"],
        nuts_sampler="nutpie",
        chains=CHAINS,
        cores=1,
        tune=TUNED,
        draws=DRAWN,
        target_accept=0.9,
        random_seed=task["seed"],
        progressbar=False,
    )
    fitted = processor()
    wrapper = MultiDimensionalBudgetOptimizerWrapper(model, start_date=task["start"], end_date=task["end"])
    if wrapper.num_periods != periods:
        raise SystemExit(f"{wrapper.num_periods} periods are planned, not {periods}")
    plan, _ = wrapper.optimize_budget(
        budget=task["budget"] / periods,
        budget_bounds={name: (low / periods, high / periods) for name, (low, high) in task["limits"].items()},
    )
    watched = [name for name in WATCHED if name in found.posterior]
    out = {
        "seed": task["seed"],
        "task": task["hash"],
        "peer": "pymc-marketing",
        "version": version("pymc-marketing"),
        "plan": {name: float(plan.sel(channel=name)) * periods for name in lines},
        "r-hat": float(az.rhat(found, var_names=watched).to_array().max()),
        "divergences": int(found.sample_stats.diverging.sum()),
        "draws": CHAINS * DRAWN,
        "fit seconds": fitted - began,
        "plan seconds": processor() - fitted,
    }
    part = folder / ".pymc-marketing.json.part"
    part.write_text(json.dumps(out, indent=1))
    part.replace(folder / "pymc-marketing.json")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
