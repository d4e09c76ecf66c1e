"""What PyMC-Marketing plans for a world: ``PYTHON peer_pymc_marketing.py FOLDER``, where PYTHON has it.

Settings are those of its own example of an MMM: geometric adstock of 8 weeks, logistic saturation, priors of
effects by shares of spend, two yearly waves and a trend. It reads ``task.json`` and ``history.csv`` and writes
``pymc-marketing.json``. Nothing of the product is imported.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from peer_files import processor, read, write
from pymc_extras.prior import Prior
from pymc_marketing.mmm import GeometricAdstock, LogisticSaturation
from pymc_marketing.mmm.multidimensional import MMM, MultiDimensionalBudgetOptimizerWrapper

CHAINS, TUNED, DRAWN = 2, 500, 500
WATCHED = ("adstock_alpha", "saturation_lam", "saturation_beta", "intercept_contribution", "y_sigma")


def main(folder: Path) -> None:
    """Fit the world of a folder, let the package's optimiser split the budget, and write the plan."""
    began = processor()
    task, history = read(folder)
    lines, periods = list(task["today"]), task["periods"]
    history["week"] = pd.to_datetime(history["week"])
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
    spent = {name: float(plan.sel(channel=name)) * periods for name in lines}
    write(folder, task, "pymc-marketing", spent, found, WATCHED, (fitted - began, processor() - fitted))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
